/* SPDX-License-Identifier: Apache-2.0 */
/* The root: out of the host's propagation, bound on itself, and made the process's own for good. */
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/stat.h>

#include "init.h"

enum { MNT_DETACH_FLAG = 2, STAT_MOUNT_ROOT = 0x2000 };

int op_propagation(struct context *ctx, const struct plan_op *op)
{
	struct statx st;
	struct statx below = { 0 };
	int r, up, fd = (int)STEP(ctx, openat, AT_FDCWD, plan_string(ctx, op->string[1]),
				  O_PATH | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	while (!(r = file_mode(ctx, fd, &st)) && !(st.stx_attributes & STAT_MOUNT_ROOT)) {
		if (st.stx_ino == below.stx_ino && st.stx_dev_major == below.stx_dev_major &&
		    st.stx_dev_minor == below.stx_dev_minor) { /* / is no mount, as in a chroot */
			r = -EINVAL;
			break;
		}
		below = st;
		up = (int)STEP(ctx, openat, fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		close_fd(&fd);
		fd = up;
		if (fd < 0)
			return fd;
	}
	if (!r)
		r = set_propagation(ctx, fd, op->number[0]);
	close_fd(&fd);
	return r;
}

/* Bound on itself: a mount that pivot_root takes, and whose attributes are the container's alone. */
int op_rootfs(struct context *ctx, const struct plan_op *op)
{
	const char *path = plan_string(ctx, op->string[1]);
	int r, target, tree;

	target = (int)STEP(ctx, openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (target < 0)
		return target;
	tree = op->fd >= 0 ? plan_fd(ctx, op) :
			     clone_tree(ctx, target, "", AT_EMPTY_PATH | AT_RECURSIVE);
	r = tree < 0 ? tree : set_propagation(ctx, tree, op->number[0]);
	if (!r)
		r = attach_tree(ctx, tree, target);
	close_fd(&target);
	ctx->root = tree;
	return r;
}

/*
 * pivot_root(".", "."): the old root ends on top of the new one and is
 * unmounted from there, with no directory in the image for it (pivot_root(2)).
 */
static int change_root(struct context *ctx)
{
	int r, old = (int)STEP(ctx, openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	if (old < 0)
		return old;
	r = (int)STEP(ctx, fchdir, ctx->root);
	if (!r)
		r = (int)STEP(ctx, pivot_root, ".", ".");
	if (!r)
		r = (int)STEP(ctx, fchdir, old);
	if (!r) /* the host's mounts must not see the unmount */
		r = (int)STEP(ctx, mount, NULL, ".", NULL, MS_SLAVE | MS_REC, NULL);
	if (!r)
		r = (int)STEP(ctx, umount2, ".", MNT_DETACH_FLAG);
	close_fd(&old);
	return r < 0 ? r : (int)STEP(ctx, chdir, "/");
}

enum { FIELDS = 5, TABLE_MAX = 64 << 20 }; /* as far as the mount point; bytes of mountinfo */

/* All of /proc/self/mountinfo, NUL-terminated, in memory of its own; NULL: `error` says why not. */
static char *read_mountinfo(struct context *ctx, int *error)
{
	long memory, n = 0, used = 0;
	int fd = (int)STEP(ctx, openat, AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC, 0);

	*error = fd;
	if (fd < 0)
		return NULL;
	memory = STEP(ctx, mmap, NULL, TABLE_MAX, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory < 0 && memory > -4096) {
		close_fd(&fd);
		*error = (int)memory;
		return NULL;
	}
	while ((n = STEP(ctx, read, fd, memory + used, TABLE_MAX - 1 - used)) > 0)
		used += n;
	close_fd(&fd);
	*error = n < 0 ? (int)n : used == TABLE_MAX - 1 ? -E2BIG : 0;
	return *error ? NULL : (char *)memory;
}

/* Octal escapes of blanks in a mount point (proc_pid_mountinfo(5)), in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = 0;
}

static char *split(char **rest)
{
	char *field = *rest, *end = field;

	while (*end && *end != ' ')
		end++;
	*rest = *end ? end + 1 : end;
	*end = 0;
	return field;
}

static int same(const char *a, const char *b)
{
	return strlen(a) == strlen(b) && !memcmp(a, b, strlen(a));
}

/* The mount point of a line of mountinfo that shows a whole proc or sysfs outside the rootfs, else NULL. */
static char *whole_kernel_mount(char *line, const char *rootfs)
{
	char *field[FIELDS] = { NULL }, *kind;
	size_t n = strlen(rootfs);
	int i;

	for (i = 0; i < FIELDS; i++)
		field[i] = split(&line);
	while (*line && !same(split(&line), "-"))
		;
	kind = split(&line);
	unescape(field[4]);
	if (!same(field[3], "/") || (!same(kind, "proc") && !same(kind, "sysfs")))
		return NULL;
	if (strlen(field[4]) >= n && !memcmp(field[4], rootfs, n) && (!field[4][n] || field[4][n] == '/'))
		return NULL;
	return field[4];
}

/* Locked by a user namespace above, it can't be unmounted: then it is covered, which takes the view away as well. */
static int remove_mount(struct context *ctx, const char *path)
{
	int r = (int)STEP(ctx, umount2, path, MNT_DETACH_FLAG);

	if (r == -EINVAL || r == -EPERM)
		r = (int)STEP(ctx, mount, "tmpfs", path, "tmpfs", MS_RDONLY, NULL);
	return r == -ENOENT || r == -ENOTDIR ? 0 : r; /* gone, with the mount that it was on */
}

/*
 * chroot(2) leaves the old root's mounts in the namespace, and the kernel
 * allows a new proc or sysfs to whoever sees a whole one already
 * (mount_too_revealing() of the kernel): the host's must not be what the
 * container is measured by.
 */
static int remove_kernel_mounts(struct context *ctx, const char *rootfs)
{
	char *line, *next, *point, *table;
	int r;

	table = read_mountinfo(ctx, &r);
	for (line = table; !r && line && *line; line = next) {
		for (next = line; *next && *next != '\n'; next++)
			;
		if (*next)
			*next++ = 0;
		point = whole_kernel_mount(line, rootfs);
		if (point)
			r = remove_mount(ctx, point);
	}
	if (table)
		SYS(munmap, table, TABLE_MAX);
	return r;
}

/* Instead of pivot_root(2), which needs a root that is a mount on another (not the initial ramfs). */
static int move_root(struct context *ctx, const char *rootfs)
{
	int r = remove_kernel_mounts(ctx, rootfs);

	if (!r)
		r = (int)STEP(ctx, move_mount, ctx->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
	if (!r)
		r = (int)STEP(ctx, fchdir, ctx->root);
	if (!r)
		r = (int)STEP(ctx, chroot, ".");
	return r < 0 ? r : (int)STEP(ctx, chdir, "/");
}

static int enter_shared_namespace(struct context *ctx, const char *path)
{
	int r = (int)STEP(ctx, openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	if (r < 0)
		return r;
	close_fd(&ctx->root);
	ctx->root = r;
	r = (int)STEP(ctx, fchdir, ctx->root);
	if (!r)
		r = (int)STEP(ctx, chroot, ".");
	return r < 0 ? r : (int)STEP(ctx, chdir, "/");
}

int op_pivot(struct context *ctx, const struct plan_op *op)
{
	const uint64_t number[4] = { op->number[1] };
	const char *path = plan_string(ctx, op->string[1]);
	int r;

	if (op->flags & FLAG_CHROOT)
		return enter_shared_namespace(ctx, path);
	r = op->flags & FLAG_MOVE ? move_root(ctx, path) : change_root(ctx);
	if (!r)
		r = set_propagation(ctx, ctx->root, op->number[0]);
	return r < 0 ? r : set_attributes(ctx, ctx->root, 0, number);
}
