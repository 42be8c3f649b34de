/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: joining, making, and what is set inside them. */
#include <asm/ioctls.h>
#include <linux/if.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/sockios.h>

#include "init.h"

/* What a plan may ask of clone and unshare: never shared memory or descriptors. */
static const uint64_t NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				   CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;

/* "0" is the writer itself: no RCU grace period in the parent, and on v1 `tasks` takes no global lock. */
int op_cgroup(struct context *ctx, const struct plan_op *op)
{
	long r = STEP(ctx, write, plan_fd(ctx, op), "0", 1);

	return r < 0 ? (int)r : 0;
}

int op_unshare(struct context *ctx, const struct plan_op *op)
{
	if (op->number[0] & ~NAMESPACES)
		return -EINVAL;
	return (int)STEP(ctx, unshare, op->number[0]);
}

/*
 * FLAG_TRY and FLAG_RETRY: a namespace may belong to the runtime's user
 * namespace or to the one that is joined: the first pass takes those that this
 * process may join as it is, the second, as a member of the joined one, the rest.
 */
int op_setns(struct context *ctx, const struct plan_op *op)
{
	uint64_t type = op->number[0];
	int r;

	if ((op->flags & FLAG_RETRY) && (ctx->joined & type) == type)
		return 0;
	r = (int)STEP(ctx, setns, plan_fd(ctx, op), type);
	if (r == -EPERM && (op->flags & FLAG_TRY))
		return 0;
	if (r < 0)
		return r;
	ctx->joined |= type;
	if (type & CLONE_NEWNS) {
		close_fd(&ctx->root);
		ctx->root = (int)STEP(ctx, openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		return ctx->root < 0 ? ctx->root : 0;
	}
	return 0;
}

/* The offsets are frozen once a process lives in the namespace: write them, then join (time_namespaces(7)). */
int op_time(struct context *ctx, const struct plan_op *op)
{
	const char *offsets = plan_string(ctx, op->string[1]);
	int fd, r = (int)STEP(ctx, unshare, CLONE_NEWTIME);

	if (r < 0)
		return r;
	if (*offsets) {
		r = write_file(ctx, AT_FDCWD, "/proc/self/timens_offsets", offsets);
		if (r < 0)
			return r;
	}
	fd = (int)STEP(ctx, openat, AT_FDCWD, "/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = (int)STEP(ctx, setns, fd, CLONE_NEWTIME);
	close_fd(&fd);
	return r;
}

/*
 * Pid namespaces are entered by children only, and a new namespace belongs to
 * the user namespace of its maker: this stage joined, the next one is made.
 * CLONE_PARENT keeps it the parent's child.
 */
int op_fork(struct context *ctx, const struct plan_op *op)
{
	static struct plan_message m;
	struct clone_args args = { .flags = op->number[0] | CLONE_PARENT };
	long pid;
	int r;

	if (op->number[0] & ~NAMESPACES)
		return -EINVAL;
	pid = STEP(ctx, clone3, &args, CLONE_ARGS_SIZE_VER0);
	if (pid == -ENOSYS)
		pid = STEP(ctx, clone, op->number[0] | CLONE_PARENT, 0, 0, 0, 0);
	if (pid <= 0)
		return (int)pid;
	m.kind = KIND_STAGE;
	m.value = (uint32_t)pid;
	r = send_message(ctx->channel, &m, -1);
	SYS(exit_group, r < 0);
	return 0;
}

/*
 * A namespace that an unprivileged user made denies setgroups(2) for good:
 * whoever has no groups left to give up may go on.
 */
int drop_groups(struct context *ctx)
{
	int r = (int)STEP(ctx, setgroups, 0, NULL);

	return r == -EPERM && SYS(getgroups, 0, NULL) == 0 ? 0 : r;
}

int op_become_root(struct context *ctx, const struct plan_op *op)
{
	int r = 0;

	if (!(op->flags & FLAG_NO_SETGROUPS))
		r = drop_groups(ctx);
	if (!r)
		r = (int)STEP(ctx, setresgid, 0, 0, 0);
	if (!r)
		r = (int)STEP(ctx, setresuid, 0, 0, 0);
	return r;
}

int op_loopback(struct context *ctx, const struct plan_op *op)
{
	struct ifreq request = { .ifr_ifrn.ifrn_name = "lo" };
	int r, fd = (int)STEP(ctx, socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);

	(void)op;
	if (fd < 0)
		return fd;
	r = (int)STEP(ctx, ioctl, fd, SIOCGIFFLAGS, &request);
	if (!r) {
		request.ifr_ifru.ifru_flags |= IFF_UP;
		r = (int)STEP(ctx, ioctl, fd, SIOCSIFFLAGS, &request);
	}
	close_fd(&fd);
	return r;
}

int op_hostname(struct context *ctx, const struct plan_op *op)
{
	const char *name = plan_string(ctx, op->string[1]);

	return (int)STEP(ctx, sethostname, name, strlen(name));
}

int op_domainname(struct context *ctx, const struct plan_op *op)
{
	const char *name = plan_string(ctx, op->string[1]);

	return (int)STEP(ctx, setdomainname, name, strlen(name));
}

/*
 * Before the rootfs is entered, /proc is the host's own: no file of the
 * container can stand in its way (CVE-2025-52881). What the file shows is
 * chosen by the writer's namespaces.
 */
int op_sysctl(struct context *ctx, const struct plan_op *op)
{
	struct open_how how = { .flags = O_WRONLY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	const char *value = plan_string(ctx, op->string[2]);
	int fd, r, dir = (int)STEP(ctx, openat, AT_FDCWD, "/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	long n;

	if (dir < 0)
		return dir;
	fd = (int)STEP(ctx, openat2, dir, plan_string(ctx, op->string[1]), &how, sizeof(how));
	close_fd(&dir);
	if (fd < 0)
		return fd;
	r = on_filesystem(ctx, fd, 0x9fa0 /* PROC_SUPER_MAGIC */);
	if (r == 1) {
		n = STEP(ctx, write, fd, value, strlen(value));
		r = n < 0 ? (int)n : 0;
	} else if (!r) {
		r = -EXDEV;
	}
	close_fd(&fd);
	return r;
}
