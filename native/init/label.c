/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels of security modules. They are asked for in /proc/self/attr, and a
 * /proc of the image that takes the words and does nothing would leave the
 * container unconfined (CVE-2019-16884, CVE-2025-52881): only the host's own
 * will do, through a descriptor that the parent opened.
 */
#include <linux/openat2.h>

#include "init.h"

int op_label(struct context *ctx, const struct plan_op *op)
{
	struct open_how how = { .flags = O_WRONLY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };
	const char *other = plan_string(ctx, op->string[2]), *text = plan_string(ctx, op->string[3]);
	int fd, r, proc = plan_fd(ctx, op);
	long n;

	if (proc < 0)
		return proc;
	fd = (int)STEP(ctx, openat2, proc, plan_string(ctx, op->string[1]), &how, sizeof(how));
	if (fd == -ENOENT && *other)
		fd = (int)STEP(ctx, openat2, proc, other, &how, sizeof(how));
	if (fd < 0)
		return fd;
	r = on_filesystem(ctx, fd, 0x9fa0 /* PROC_SUPER_MAGIC */);
	if (r == 1) {
		n = STEP(ctx, write, fd, text, strlen(text));
		r = n < 0 ? (int)n : 0;
	} else if (!r) {
		r = -EXDEV;
	}
	close_fd(&fd);
	return r;
}

/* For file systems whose label can't be an option when they are mounted: mqueue is the kernel's own mount. */
int op_file_label(struct context *ctx, const struct plan_op *op)
{
	const char *label = plan_string(ctx, op->string[1]);
	char path[FD_PATH];

	if (ctx->mount < 0)
		return -EBADF;
	return (int)STEP(ctx, setxattr, fd_path(path, ctx->mount), "security.selinux", label, strlen(label) + 1, 0);
}
