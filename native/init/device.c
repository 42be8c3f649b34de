/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes, the links of /dev, the console. */
#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/stat.h>

#include "init.h"

static uint32_t device_major(uint64_t dev)
{
	return (uint32_t)((dev >> 8 & 0xfff) | (dev >> 32 & 0xfffff000));
}

static uint32_t device_minor(uint64_t dev)
{
	return (uint32_t)((dev & 0xff) | (dev >> 12 & 0xffffff00));
}

static int is_device(const struct statx *st, const struct plan_op *op)
{
	return (st->stx_mode & S_IFMT) == (op->number[0] & S_IFMT) &&
	       st->stx_rdev_major == device_major(op->number[1]) &&
	       st->stx_rdev_minor == device_minor(op->number[1]);
}

/* What is there, made now or found, is the device: held by descriptor, so that nothing else gets its owner. */
static int finish_device(struct context *ctx, int dir, const char *name, const struct plan_op *op)
{
	struct statx st;
	int r, fd = (int)STEP(ctx, openat, dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	r = file_mode(ctx, fd, &st);
	if (!r && !is_device(&st, op)) {
		say(ctx, "another file is in its place");
		r = -EEXIST;
	}
	if (!r)
		r = (int)STEP(ctx, fchownat, fd, "", op->number[2], op->number[3], AT_EMPTY_PATH);
	close_fd(&fd);
	return r;
}

/* The file that a device is bound on: a new one, an empty one of an earlier start, or the device itself. */
static int device_target(struct context *ctx, int dir, const char *name, const struct plan_op *op)
{
	struct statx st;
	int fd, r = (int)STEP(ctx, mknodat, dir, name, S_IFREG | 0644, 0);

	if (r < 0 && r != -EEXIST)
		return r;
	fd = (int)STEP(ctx, openat, dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = file_mode(ctx, fd, &st);
	if (!r && !is_device(&st, op) && ((st.stx_mode & S_IFMT) != S_IFREG || st.stx_size)) {
		say(ctx, "another file is in its place");
		r = -EEXIST;
	}
	if (r < 0)
		close_fd(&fd);
	return r < 0 ? r : fd;
}

/* mknod(2) of a device is not for a user namespace's root: the host's node, if it is the same device. */
static int bind_device(struct context *ctx, int dir, const char *name, const struct plan_op *op)
{
	struct statx st;
	int r, target, tree = clone_tree(ctx, AT_FDCWD, plan_string(ctx, op->string[2]), 0);

	if (tree < 0) {
		say(ctx, "making device nodes is refused here, and the host has none at this path");
		return tree;
	}
	r = file_mode(ctx, tree, &st);
	if (!r && !is_device(&st, op)) {
		say(ctx, "making device nodes is refused here, and the host's file at this path is another");
		r = -ENODEV;
	}
	target = r < 0 ? r : device_target(ctx, dir, name, op);
	r = target < 0 ? target : attach_tree(ctx, tree, target);
	close_fd(&target);
	close_fd(&tree);
	return r;
}

int op_device(struct context *ctx, const struct plan_op *op)
{
	char name[NAME_MAX + 1];
	int bind = *plan_string(ctx, op->string[2]), r = -EPERM;
	int dir = path_parent(ctx, plan_string(ctx, op->string[1]), name, 0);

	if (dir < 0)
		return dir;
	if (!bind || (op->flags & FLAG_TRY))
		r = (int)STEP(ctx, mknodat, dir, name, op->number[0], op->number[1]);
	if (bind && r == -EPERM)
		r = bind_device(ctx, dir, name, op);
	else if (!r || r == -EEXIST)
		r = finish_device(ctx, dir, name, op);
	close_fd(&dir);
	return r;
}

int op_symlink(struct context *ctx, const struct plan_op *op)
{
	char name[NAME_MAX + 1];
	int r, dir = path_parent(ctx, plan_string(ctx, op->string[1]), name, 0);

	if (dir < 0)
		return dir;
	if (op->flags & FLAG_REPLACE) {
		r = (int)STEP(ctx, unlinkat, dir, name, 0);
		if (r < 0 && r != -ENOENT) {
			close_fd(&dir);
			return r;
		}
	}
	r = (int)STEP(ctx, symlinkat, plan_string(ctx, op->string[2]), dir, name);
	close_fd(&dir);
	return r == -EEXIST ? 0 : r; /* the image has a file of its own there */
}

/* The multiplexer of the rootfs's own devpts; a file that only has its name would be the image's choice. */
static int open_ptmx(struct context *ctx)
{
	struct statx st;
	int r, fd = path_open(ctx, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0);

	if (fd < 0) {
		say(ctx, "a terminal needs a devpts mount on /dev/pts");
		return fd;
	}
	r = on_filesystem(ctx, fd, 0x1cd1 /* DEVPTS_SUPER_MAGIC */);
	if (r == 1)
		r = file_mode(ctx, fd, &st) < 0 || st.stx_rdev_major != 5 || st.stx_rdev_minor != 2 ? 0 : 1;
	if (r == 1)
		return fd;
	close_fd(&fd);
	say(ctx, "/dev/pts/ptmx of the root file system is not a devpts multiplexer");
	return r < 0 ? r : -ENODEV;
}

/*
 * The slave comes from the master itself (TIOCGPTPEER), never from a path:
 * /dev/pts/N could be swapped before it is bound (CVE-2025-52565).
 */
static int bind_console(struct context *ctx, int slave)
{
	int r, tree, target = path_make(ctx, "/dev/console", S_IFREG, 0600, 0);

	if (target < 0)
		return target;
	tree = clone_tree(ctx, slave, "", AT_EMPTY_PATH);
	r = tree < 0 ? tree : attach_tree(ctx, tree, target);
	close_fd(&target);
	close_fd(&tree);
	return r;
}

static int become_terminal(struct context *ctx, int slave)
{
	int fd, r = 0;

	for (fd = 0; r >= 0 && fd < 3; fd++)
		r = (int)STEP(ctx, dup3, slave, fd, 0);
	return r < 0 ? r : (int)STEP(ctx, ioctl, 0, TIOCSCTTY, 0);
}

int op_console(struct context *ctx, const struct plan_op *op)
{
	struct winsize size = { .ws_row = (unsigned short)op->number[0],
				.ws_col = (unsigned short)op->number[1] };
	int unlock = 0, master = open_ptmx(ctx), r;

	if (master < 0)
		return master;
	r = (int)STEP(ctx, ioctl, master, TIOCSPTLCK, &unlock);
	if (!r && (size.ws_row || size.ws_col))
		r = (int)STEP(ctx, ioctl, master, TIOCSWINSZ, &size);
	if (!r)
		r = (int)STEP(ctx, ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (r >= 0) {
		ctx->tty = r;
		/* exec has no console of its own to show */
		r = op->string[1] && *plan_string(ctx, op->string[1]) ? bind_console(ctx, ctx->tty) : 0;
	}
	if (!r)
		r = sync_parent(ctx, (uint32_t)(op - ctx->ops), SYNC_CONSOLE, master);
	close_fd(&master);
	return r < 0 ? r : become_terminal(ctx, ctx->tty);
}
