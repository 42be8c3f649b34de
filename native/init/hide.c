/* SPDX-License-Identifier: Apache-2.0 */
/* maskedPaths and readonlyPaths: what of the container's own files it may not see or change. */
#include <linux/mount.h>
#include <linux/stat.h>

#include "init.h"

/* A file is masked by the host's /dev/null, and nothing that only has its name (CVE-2025-31133). */
static int null_tree(struct context *ctx)
{
	struct statx st;
	int r;

	if (ctx->null < 0) {
		ctx->null = (int)STEP(ctx, openat, AT_FDCWD, "/dev/null", O_PATH | O_CLOEXEC, 0);
		if (ctx->null < 0)
			return ctx->null;
	}
	r = file_mode(ctx, ctx->null, &st);
	if (r < 0)
		return r;
	if ((st.stx_mode & S_IFMT) != S_IFCHR || st.stx_rdev_major != 1 || st.stx_rdev_minor != 3) {
		say(ctx, "/dev/null is not the null device");
		return -ENODEV;
	}
	return clone_tree(ctx, ctx->null, "", AT_EMPTY_PATH);
}

/* One read-only tmpfs serves all masked directories: pid 1 of the host sees one mount come and go, not a dozen. */
static int empty_tree(struct context *ctx, const char *label)
{
	int r, tree, fs;

	if (ctx->empty >= 0)
		return clone_tree(ctx, ctx->empty, "", AT_EMPTY_PATH);
	fs = (int)STEP(ctx, fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return fs;
	r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0);
	if (!r)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_STRING, "mode", "755", 0);
	if (!r && *label)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_STRING, "context", label, 0);
	if (!r)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	tree = r < 0 ? r : (int)STEP(ctx, fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY |
				     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	close_fd(&fs);
	return tree;
}

static int present(struct context *ctx, const struct plan_op *op)
{
	int fd = path_open(ctx, plan_string(ctx, op->string[1]), O_PATH, 0);

	return fd == -ENOTDIR ? -ENOENT : fd;
}

int op_mask(struct context *ctx, const struct plan_op *op)
{
	struct statx st;
	int r, tree, target = present(ctx, op);

	if (target == -ENOENT)
		return 0; /* nothing there to be seen */
	if (target < 0)
		return target;
	r = file_mode(ctx, target, &st);
	if (r < 0)
		return r;
	tree = (st.stx_mode & S_IFMT) == S_IFDIR ? empty_tree(ctx, plan_string(ctx, op->string[2])) :
						  null_tree(ctx);
	r = tree < 0 ? tree : attach_tree(ctx, tree, target);
	close_fd(&target);
	if (ctx->empty < 0 && (st.stx_mode & S_IFMT) == S_IFDIR)
		ctx->empty = tree; /* attached now, and may be cloned */
	else
		close_fd(&tree);
	return r;
}

int op_readonly(struct context *ctx, const struct plan_op *op)
{
	const uint64_t number[4] = { MOUNT_ATTR_RDONLY };
	int r, tree, target = present(ctx, op);

	if (target == -ENOENT)
		return 0;
	if (target < 0)
		return target;
	tree = clone_tree(ctx, target, "", AT_EMPTY_PATH | AT_RECURSIVE);
	r = tree < 0 ? tree : set_attributes(ctx, tree, 1, number);
	if (!r)
		r = attach_tree(ctx, tree, target);
	close_fd(&target);
	close_fd(&tree);
	return r;
}
