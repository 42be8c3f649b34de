/* SPDX-License-Identifier: Apache-2.0 */
/* The process itself: session, limits, stdio, executable. */
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/resource.h>
#include <linux/stat.h>

#include "init.h"

int write_file(struct context *ctx, int dir, const char *path, const char *text)
{
	int fd = (int)STEP(ctx, openat, dir, path, O_WRONLY | O_CLOEXEC, 0);
	long r;

	if (fd < 0)
		return fd;
	r = STEP(ctx, write, fd, text, strlen(text));
	close_fd(&fd);
	return r < 0 ? (int)r : 0;
}

int op_oom_score(struct context *ctx, const struct plan_op *op)
{
	int64_t score = (int64_t)op->number[0];
	uint64_t n = score < 0 ? 0 - (uint64_t)score : (uint64_t)score;
	char text[24], *p = text + sizeof(text) - 1;

	*p = 0;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	if (score < 0)
		*--p = '-';
	return write_file(ctx, AT_FDCWD, "/proc/self/oom_score_adj", p);
}

/* execve made the process dumpable; its memory and descriptors are the host's (CVE-2016-9962). */
int op_non_dumpable(struct context *ctx, const struct plan_op *op)
{
	(void)op;
	return (int)STEP(ctx, prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0);
}

int op_setsid(struct context *ctx, const struct plan_op *op)
{
	long r = STEP(ctx, setsid);

	(void)op;
	return r < 0 ? (int)r : 0;
}

/* The fourth field of "type;uid;gid;permissions;description" (keyctl_describe(3)). */
static int permissions_of(const char *description, uint32_t *permissions)
{
	int field = 0;
	char c;

	*permissions = 0;
	for (; *description; description++) {
		c = *description;
		if (c == ';')
			field++;
		else if (field == 3 && c >= '0' && c <= '9')
			*permissions = *permissions << 4 | (uint32_t)(c - '0');
		else if (field == 3 && c >= 'a' && c <= 'f')
			*permissions = *permissions << 4 | (uint32_t)(c - 'a' + 10);
	}
	return field < 4 ? -EPROTO : 0;
}

/* Found by its name again: exec joins it, and must have the permission to search it. */
static int add_permissions(struct context *ctx, long key, uint64_t more)
{
	static char description[1024];
	uint32_t permissions;
	long n = STEP(ctx, keyctl, KEYCTL_DESCRIBE, key, description, sizeof(description) - 1, 0);
	int r;

	if (n < 0)
		return (int)n;
	r = permissions_of(description, &permissions);
	return r < 0 ? r : (int)STEP(ctx, keyctl, KEYCTL_SETPERM, key, permissions | more, 0, 0);
}

int op_keyring(struct context *ctx, const struct plan_op *op)
{
	long key = STEP(ctx, keyctl, KEYCTL_JOIN_SESSION_KEYRING, plan_string(ctx, op->string[1]), 0, 0, 0);

	if (key == -ENOSYS) /* a kernel without keyrings, or a filter that hides them: nothing to separate */
		return 0;
	if (key < 0)
		return (int)key;
	return op->number[0] ? add_permissions(ctx, key, op->number[0]) : 0;
}

/* Its result is what it was before. */
int op_personality(struct context *ctx, const struct plan_op *op)
{
	long r = STEP(ctx, personality, op->number[0]);

	return r < 0 ? (int)r : 0;
}

int op_rlimit(struct context *ctx, const struct plan_op *op)
{
	struct rlimit64 limit = { op->number[1], op->number[2] };

	return (int)STEP(ctx, prlimit64, 0, op->number[0], &limit, NULL);
}

static int is_null(const struct statx *st)
{
	return (st->stx_mode & S_IFMT) == S_IFCHR && st->stx_rdev_major == 1 && st->stx_rdev_minor == 3;
}

/*
 * The host's /dev/null becomes the container's own, where it has one: criu can
 * dump no file of a mount that is not the container's.
 */
static int reopen_null(struct context *ctx, int fd)
{
	struct statx st;
	int own, r;

	own = (int)STEP(ctx, openat, AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (own < 0)
		return 0;
	r = file_mode(ctx, own, &st);
	SYS(close, own);
	if (r < 0 || !is_null(&st))
		return r;
	own = (int)STEP(ctx, openat, AT_FDCWD, "/dev/null", O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
	if (own < 0)
		return 0; /* not for this user: as it was */
	r = file_mode(ctx, own, &st);
	if (!r && is_null(&st))
		r = (int)STEP(ctx, dup3, own, fd, 0);
	SYS(close, own);
	return r < 0 ? r : 0;
}

/*
 * /proc/self/fd/1 (a log file that is a link to it, say) can be opened again
 * only by its owner. /dev/null is everybody's, and a terminal that this
 * container was not given stays its owner's.
 */
int op_stdio_owner(struct context *ctx, const struct plan_op *op)
{
	struct statx st;
	int fd, r;

	for (fd = 0; fd < 3; fd++) {
		r = file_mode(ctx, fd, &st);
		if (r == -EBADF)
			continue;
		if (!r && is_null(&st))
			r = reopen_null(ctx, fd);
		if (r < 0)
			return r;
		if ((st.stx_mode & S_IFMT) == S_IFCHR &&
		    (ctx->tty < 0 ? 1 : st.stx_rdev_major == 1))
			continue;
		if (st.stx_uid == op->number[0])
			continue;
		r = (int)STEP(ctx, fchown, fd, op->number[0], -1);
		/* not ours, no id in this user namespace, a read-only file system: as it was */
		if (r < 0 && r != -EPERM && r != -EINVAL && r != -EROFS)
			return r;
	}
	return 0;
}

int op_umask(struct context *ctx, const struct plan_op *op)
{
	STEP(ctx, umask, op->number[0]);
	return 0;
}

static int is_executable(struct context *ctx, const char *path)
{
	struct statx st;
	int r = (int)STEP(ctx, statx, AT_FDCWD, path, 0, STATX_TYPE | STATX_MODE, &st);

	if (r < 0)
		return r;
	if ((st.stx_mode & S_IFMT) == S_IFDIR)
		return -EISDIR;
	/* by the effective ids and capabilities, as execve will look */
	r = (int)STEP(ctx, faccessat2, AT_FDCWD, path, 1 /* X_OK */, AT_EACCESS);
	if (r == -ENOSYS)
		r = (st.stx_mode & 0111) ? 0 : -EACCES;
	return r;
}

/*
 * What execve takes, made before the filter is loaded: behind it there is
 * execve, and nothing that a profile would have to allow for our sake.
 */
static int prepare_exec(struct context *ctx, const struct plan_op *op)
{
	const struct plan_op *end = ctx->ops + ctx->header->op_count;

	while (op < end && op->code != OP_EXEC)
		op++;
	if (op == end)
		return -EPROTO;
	ctx->argv = plan_list(ctx, op->string[2], op->number[0]);
	ctx->env = plan_list(ctx, op->string[3], op->number[1]);
	if (!ctx->argv || !ctx->env)
		return -ENOMEM;
	if (*ctx->home)
		ctx->env[op->number[1]] = ctx->home;
	return 0;
}

/* In create already, as the container's user, so that a wrong name fails early. */
int op_lookup(struct context *ctx, const struct plan_op *op)
{
	char **candidates = plan_list(ctx, op->string[2], op->number[0]);
	int r, worst = -ENOENT;

	if (!candidates)
		return -ENOMEM;
	for (; *candidates; candidates++) {
		r = is_executable(ctx, *candidates);
		if (!r) {
			ctx->program = *candidates;
			return prepare_exec(ctx, op);
		}
		if (r != -ENOENT && r != -ENOTDIR)
			worst = r;
		else if (op->number[0] == 1)
			worst = r;
	}
	return worst;
}

int op_exec(struct context *ctx, const struct plan_op *op)
{
	(void)op;
	if (!ctx->program || !ctx->argv || !ctx->env)
		return -EPROTO;
	return (int)STEP(ctx, execve, ctx->program, ctx->argv, ctx->env);
}
