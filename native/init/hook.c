/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks that run in the container's namespaces (createContainer before the
 * root changes, startContainer after). The state is on their stdin; what they
 * print is part of the message when they fail.
 */
#include <linux/close_range.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/time_types.h>
#include <linux/wait.h>

#include "init.h"

enum { SIGNAL_CHILD = 17, SIGNAL_KILL = 9, TIMED_OUT = 1 };

struct child_status { /* the part of siginfo_t that waitid(2) fills, padded to its 128 bytes */
	int signal, error, code, unused;
	int pid;
	unsigned int uid;
	int status;
	int rest[25];
};

/* Descriptor 3 is the one that says why execve failed; it ends with a successful one. */
__attribute__((noreturn)) static void hook_child(struct context *ctx, const struct plan_op *op,
						 char **argv, char **env, int output, int refusal)
{
	int error;

	if (ctx->root >= 0) /* createContainer: as runc, where a relative path is the container's */
		SYS(fchdir, ctx->root);
	if (ctx->state >= 0) {
		SYS(lseek, ctx->state, 0, 0);
		SYS(dup3, ctx->state, 0, 0);
	}
	SYS(dup3, output, 1, 0);
	SYS(dup3, output, 2, 0);
	SYS(dup3, refusal, 3, O_CLOEXEC);
	SYS(close_range, 4, ~0U, 0);
	error = (int)-SYS(execve, plan_string(ctx, op->string[1]), argv, env);
	SYS(write, 3, &error, sizeof(error));
	for (;;)
		SYS(exit_group, 127);
}

/* Collect output until the hook has ended; 0, TIMED_OUT or -errno. A child that the hook leaves may keep the pipe. */
static int watch(struct context *ctx, int pidfd, int output, uint64_t seconds)
{
	struct pollfd fds[2] = { { pidfd, POLLIN, 0 }, { output, POLLIN, 0 } };
	struct __kernel_timespec limit = { (int64_t)seconds, 0 };
	char text[256];
	size_t used = strlen(ctx->detail);
	long r, n, i;

	for (;;) {
		r = STEP(ctx, ppoll, fds, 2, seconds ? &limit : NULL, NULL, 8); /* the kernel updates the limit */
		if (r == -EINTR)
			continue;
		if (r <= 0)
			return r ? (int)r : TIMED_OUT;
		if (fds[1].revents) {
			n = SYS(read, output, text, sizeof(text) - 1);
			if (n <= 0)
				fds[1].fd = -1;
			for (i = 0; i < n && used < sizeof(ctx->detail) - 1; i++)
				ctx->detail[used++] = text[i];
			if (fds[1].fd >= 0)
				continue;
		}
		if (fds[0].revents)
			return 0;
	}
}

static void say_status(struct context *ctx, const struct child_status *status)
{
	char said[sizeof(ctx->detail)], *p = ctx->detail;
	const char *how = status->code == 1 /* CLD_EXITED */ ? "exit status " : "killed by signal ";
	int n = status->status, digits = n > 99 ? 100 : n > 9 ? 10 : 1;

	memcpy(said, ctx->detail, sizeof(said));
	while (*how)
		*p++ = *how++;
	for (; digits; digits /= 10)
		*p++ = (char)('0' + n / digits % 10);
	if (*said) {
		*p++ = ':';
		*p++ = ' ';
	}
	copy_string(p, sizeof(ctx->detail) - (size_t)(p - ctx->detail), said);
}

static int start_hook(struct context *ctx, const struct plan_op *op, char **argv, char **env,
		      const int output[2], int *pidfd)
{
	int refusal[2], error = 0, r;
	struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uintptr_t)pidfd,
				   .exit_signal = SIGNAL_CHILD };
	long pid;

	r = (int)STEP(ctx, pipe2, refusal, O_CLOEXEC);
	if (r < 0)
		return r;
	pid = STEP(ctx, clone3, &args, CLONE_ARGS_SIZE_VER0);
	if (pid == -ENOSYS)
		pid = STEP(ctx, clone, CLONE_PIDFD | SIGNAL_CHILD, 0, pidfd, 0, 0);
	if (pid == 0)
		hook_child(ctx, op, argv, env, output[1], refusal[1]);
	close_fd(&refusal[1]);
	if (pid > 0)
		while (SYS(read, refusal[0], &error, sizeof(error)) == -EINTR)
			;
	close_fd(&refusal[0]);
	if (pid > 0 && error) {
		SYS(waitid, P_PID, pid, NULL, 4 /* WEXITED */, NULL);
		close_fd(pidfd);
		ctx->step = "execve";
		/* linux/err.h: MAX_ERRNO is 4095. */
		return error > 0 && error < 4096 ? -error : -EINVAL;
	}
	return (int)pid;
}

static int run_hook(struct context *ctx, const struct plan_op *op, char **argv, char **env)
{
	int output[2], pidfd = -1, pid, r;
	struct child_status status = { 0 };

	r = (int)STEP(ctx, pipe2, output, O_CLOEXEC);
	if (r < 0)
		return r;
	pid = start_hook(ctx, op, argv, env, output, &pidfd);
	close_fd(&output[1]);
	if (pid > 0) {
		r = watch(ctx, pidfd, output[0], op->number[2]);
		if (r)
			SYS(kill, pid, SIGNAL_KILL);
		SYS(waitid, P_PID, pid, &status, 4 /* WEXITED */, NULL);
		close_fd(&pidfd);
	}
	close_fd(&output[0]);
	if (pid < 0)
		return pid;
	ctx->step = "";
	if (r == TIMED_OUT)
		return -ETIMEDOUT;
	if (r < 0)
		return r;
	if (status.code == 1 /* CLD_EXITED */ && !status.status)
		return 0;
	say_status(ctx, &status);
	return -ECHILD;
}

int op_hook(struct context *ctx, const struct plan_op *op)
{
	char **argv = plan_list(ctx, op->string[2], op->number[0]);
	char **env = plan_list(ctx, op->string[3], op->number[1]);

	if (!argv || !env)
		return -ENOMEM;
	if (op->number[3] && *ctx->home)
		env[op->number[1]] = ctx->home; /* plan_list has room for one more */
	return run_hook(ctx, op, argv, env);
}
