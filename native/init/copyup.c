/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpcopyup: a tmpfs begins as a copy of the directory that it covers. Both
 * sides are held by descriptor; the source is the image's and is never
 * followed through a symbolic link.
 */
#include <linux/stat.h>

#include "init.h"

enum { DEPTH = 64, DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

struct entry { /* struct linux_dirent64, getdents64(2) */
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

static int copy_directory(struct context *ctx, int from, int to, int depth);

static int copy_data(struct context *ctx, int from, int to, const char *name, uint32_t mode)
{
	long n;
	int in, out = -1;

	in = (int)STEP(ctx, openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (in < 0)
		return in;
	out = (int)STEP(ctx, openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 07777);
	n = out;
	while (n >= 0 && (n = STEP(ctx, sendfile, out, in, NULL, 1 << 20)) > 0)
		;
	close_fd(&in);
	close_fd(&out);
	return (int)n;
}

static int copy_link(struct context *ctx, int from, int to, const char *name)
{
	char target[PATH_MAX];
	long n = STEP(ctx, readlinkat, from, name, target, sizeof(target) - 1);

	if (n < 0)
		return (int)n;
	target[n] = 0;
	return (int)STEP(ctx, symlinkat, target, to, name);
}

static int copy_subdirectory(struct context *ctx, int from, int to, const char *name, int depth)
{
	int in, out, r = (int)STEP(ctx, mkdirat, to, name, 0700);

	if (r < 0)
		return r;
	in = (int)STEP(ctx, openat, from, name, DIR_FLAGS, 0);
	if (in < 0)
		return in;
	out = (int)STEP(ctx, openat, to, name, DIR_FLAGS, 0);
	r = out < 0 ? out : copy_directory(ctx, in, out, depth + 1);
	close_fd(&in);
	close_fd(&out);
	return r;
}

static int copy_entry(struct context *ctx, int from, int to, const char *name, int depth)
{
	struct statx st;
	uint32_t type;
	int r = (int)STEP(ctx, statx, from, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st);

	if (r < 0)
		return r;
	type = st.stx_mode & S_IFMT;
	if (type == S_IFDIR)
		r = copy_subdirectory(ctx, from, to, name, depth);
	else if (type == S_IFREG)
		r = copy_data(ctx, from, to, name, st.stx_mode);
	else if (type == S_IFLNK)
		r = copy_link(ctx, from, to, name);
	else
		return 0; /* sockets, fifos and devices are not content */
	if (!r)
		r = (int)STEP(ctx, fchownat, to, name, st.stx_uid, st.stx_gid, AT_SYMLINK_NOFOLLOW);
	if (!r && type != S_IFLNK) /* last: chown clears the set-user-id bit */
		r = (int)STEP(ctx, fchmodat, to, name, st.stx_mode & 07777);
	return r;
}

static int is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int copy_directory(struct context *ctx, int from, int to, int depth)
{
	_Alignas(8) char buffer[2048];
	const struct entry *e;
	long n, at;
	int r;

	if (depth > DEPTH)
		return -ELOOP;
	while ((n = STEP(ctx, getdents64, from, buffer, sizeof(buffer))) > 0) {
		for (at = 0; at < n; at += e->length) {
			e = (const void *)(buffer + at);
			r = is_dot(e->name) ? 0 : copy_entry(ctx, from, to, e->name, depth);
			if (r < 0)
				return r;
		}
	}
	return (int)n;
}

/* The content alone: owner and permissions of `to` are those it was mounted with, as in runc. */
int copy_up(struct context *ctx, int from, int to)
{
	int in, out, r;

	in = (int)STEP(ctx, openat, from, ".", DIR_FLAGS, 0);
	if (in < 0)
		return in;
	out = (int)STEP(ctx, openat, to, ".", DIR_FLAGS, 0);
	r = out < 0 ? out : copy_directory(ctx, in, out, 0);
	close_fd(&in);
	close_fd(&out);
	return r;
}
