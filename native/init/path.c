/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of the rootfs. The image is hostile, and volumes may be shared with
 * running containers that swap directories for symbolic links while we look
 * (CVE-2021-30465, CVE-2024-45310): every look-up is one openat2 below the
 * rootfs descriptor, every creation happens in a directory held by descriptor,
 * and what is used afterwards is the descriptor, never the path again.
 */
#include <linux/openat2.h>
#include <linux/stat.h>

#include "init.h"

enum { RACES = 128, LINKS = 16 }; /* retries of EAGAIN (openat2(2)); dangling links followed */

int path_open(struct context *ctx, const char *path, int flags, uint64_t resolve)
{
	int nofollow = resolve & PATH_NOFOLLOW ? O_NOFOLLOW : 0;
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC | nofollow),
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS |
					   (resolve & ~PATH_NOFOLLOW) };
	int tries = RACES;
	long r;

	while (*path == '/')
		path++;
	do
		r = STEP(ctx, openat2, ctx->root, *path ? path : ".", &how, sizeof(how));
	while ((r == -EAGAIN || r == -EINTR) && --tries);
	return (int)r;
}

/* The directory that holds `path`, and the last component in `name` (NAME_MAX + 1 bytes). */
int path_parent(struct context *ctx, const char *path, char *name, uint64_t resolve)
{
	char dir[PATH_MAX];
	size_t end, slash;

	if (copy_string(dir, sizeof(dir), path) < 0)
		return -ENAMETOOLONG;
	for (end = strlen(dir); end && dir[end - 1] == '/'; end--)
		dir[end - 1] = 0;
	for (slash = end; slash && dir[slash - 1] != '/'; slash--)
		;
	if (slash == end)
		return -EINVAL; /* the root itself has no parent */
	if (copy_string(name, NAME_MAX + 1, dir + slash) < 0)
		return -ENAMETOOLONG;
	dir[slash] = 0;
	return path_make(ctx, dir, S_IFDIR, 0755, resolve);
}

static int make_entry(struct context *ctx, int dir, const char *name, uint32_t type, uint32_t mode)
{
	int r;

	if (type == S_IFDIR)
		r = (int)STEP(ctx, mkdirat, dir, name, mode);
	else
		r = (int)STEP(ctx, mknodat, dir, name, S_IFREG | mode, 0);
	return r == -EEXIST ? 0 : r; /* somebody was quicker, or a dangling link: opened again, in the root */
}

/* Where a dangling link at dir/name points, as a path of the rootfs: its target is made, as at its plain path. */
static int link_target(struct context *ctx, int dir, const char *name, char *path, size_t length)
{
	char target[PATH_MAX];
	long n = STEP(ctx, readlinkat, dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return (int)n;
	target[n] = 0;
	if (target[0] == '/')
		return copy_string(path, PATH_MAX, target);
	return copy_string(path + length, PATH_MAX - length, target);
}

/*
 * Open `path` (O_PATH), making what is missing: directories on the way, and at
 * its end a directory or an empty file (`type`).
 */
static int make_from(struct context *ctx, const char *path, uint32_t type, uint32_t mode,
		     uint64_t resolve, int links)
{
	char done[PATH_MAX], name[NAME_MAX + 1];
	size_t used = 0, start, length;
	uint64_t lookup;
	int dir, fd, r;

	dir = path_open(ctx, "/", O_PATH | O_DIRECTORY, 0);
	done[used++] = '/';
	for (;;) {
		while (*path == '/')
			path++;
		if (dir < 0 || !*path)
			return dir;
		start = used;
		for (length = 0; path[length] && path[length] != '/'; length++)
			;
		if (length > NAME_MAX || used + length + 2 > sizeof(done)) {
			close_fd(&dir);
			return -ENAMETOOLONG;
		}
		memcpy(name, path, length);
		name[length] = 0;
		memcpy(done + used, name, length + 1);
		used += length;
		path += length;
		while (*path == '/')
			path++;
		lookup = *path ? resolve & ~PATH_NOFOLLOW : resolve;
		fd = path_open(ctx, done, O_PATH | (*path ? O_DIRECTORY : 0), lookup);
		if (fd == -ENOENT) {
			r = make_entry(ctx, dir, name, *path ? S_IFDIR : type, *path ? 0755 : mode);
			fd = r < 0 ? r : path_open(ctx, done, O_PATH | (*path ? O_DIRECTORY : 0), lookup);
			if (fd == -ENOENT && links > 0 && !link_target(ctx, dir, name, done, start)) {
				char target[PATH_MAX];

				copy_string(target, sizeof(target), done);
				fd = make_from(ctx, target, *path ? S_IFDIR : type, *path ? 0755 : mode,
					       lookup, links - 1);
				used = strlen(done);
			}
		}
		close_fd(&dir);
		dir = fd;
		if (*path) {
			if (used + 2 > sizeof(done)) {
				close_fd(&dir);
				return -ENAMETOOLONG;
			}
			done[used++] = '/';
			done[used] = 0;
		}
	}
}

int path_make(struct context *ctx, const char *path, uint32_t type, uint32_t mode, uint64_t resolve)
{
	int fd = path_open(ctx, path, O_PATH, resolve); /* it is nearly always there */

	return fd == -ENOENT ? make_from(ctx, path, type, mode, resolve, LINKS) : fd;
}

int file_mode(struct context *ctx, int fd, struct statx *st)
{
	return (int)STEP(ctx, statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, st);
}

/* For calls that take a path only. */
const char *fd_path(char text[FD_PATH], int fd)
{
	static const char directory[] = "/proc/self/fd/";
	char *p = text + FD_PATH - 1;

	*p = 0;
	do
		*--p = (char)('0' + fd % 10);
	while (fd /= 10);
	p -= sizeof(directory) - 1;
	memcpy(p, directory, sizeof(directory) - 1);
	return p;
}

/* 1 if `fd` is on a file system with this magic number (statfs(2)), 0 if not, -errno. */
int on_filesystem(struct context *ctx, int fd, long magic)
{
	long st[32]; /* struct statfs begins with f_type on 64-bit architectures */
	long r = STEP(ctx, fstatfs, fd, st);

	return r < 0 ? (int)r : st[0] == magic;
}

int op_mkdir(struct context *ctx, const struct plan_op *op)
{
	int fd = path_make(ctx, plan_string(ctx, op->string[1]), S_IFDIR, (uint32_t)op->number[0], 0);

	if (fd < 0)
		return fd;
	close_fd(&fd);
	return 0;
}

/*
 * A working directory outside the root would be a way out (CVE-2024-21626:
 * /proc/self/fd/N of a leaked descriptor): getcwd(2) says "(unreachable)" then.
 */
static int check_cwd(struct context *ctx)
{
	char where[PATH_MAX];
	long r = STEP(ctx, getcwd, where, sizeof(where));

	if (r < 0)
		return (int)r;
	if (where[0] != '/') {
		say(ctx, "current working directory is outside of container mount namespace root");
		return -ENOENT;
	}
	return 0;
}

int op_cwd(struct context *ctx, const struct plan_op *op)
{
	const char *path = plan_string(ctx, op->string[1]);
	int r;

	if ((op->flags & FLAG_SECOND_TRY) && !ctx->cwd_refused)
		return 0;
	r = (int)STEP(ctx, chdir, path);
	if (r == -EACCES && (op->flags & FLAG_TRY)) {
		ctx->cwd_refused = 1; /* NFS with root squashed: the container's user may get in */
		return 0;
	}
	return r < 0 ? r : check_cwd(ctx);
}
