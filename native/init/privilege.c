/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up: ids, capabilities, no_new_privs, seccomp. */
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "init.h"

int op_no_new_privs(struct context *ctx, const struct plan_op *op)
{
	(void)op;
	return (int)STEP(ctx, prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int op_bounding(struct context *ctx, const struct plan_op *op)
{
	int cap;
	long r;

	for (cap = 0; cap < 64; cap++) {
		if (op->number[0] >> cap & 1)
			continue;
		r = STEP(ctx, prctl, PR_CAPBSET_READ, cap, 0, 0, 0);
		if (r == -EINVAL) /* past the kernel's last capability */
			break;
		if (r == 1)
			r = STEP(ctx, prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
		if (r < 0)
			return (int)r;
	}
	return 0;
}

int op_groups(struct context *ctx, const struct plan_op *op)
{
	uint64_t count = op->number[0];
	const void *groups = count > 65536 ? NULL : plan_bytes(ctx, op->string[1], count * sizeof(uint32_t));

	if (!groups)
		return -EINVAL;
	if (!count)
		return drop_groups(ctx);
	return (int)STEP(ctx, setgroups, count, groups);
}

int op_user(struct context *ctx, const struct plan_op *op)
{
	long r;

	/* setresuid(2): -1 leaves an id as it is, and so root. */
	if (op->number[0] >= UINT32_MAX || op->number[1] >= UINT32_MAX)
		return -EINVAL;
	r = STEP(ctx, prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (!r)
		r = STEP(ctx, setresgid, op->number[1], op->number[1], op->number[1]);
	if (!r)
		r = STEP(ctx, setresuid, op->number[0], op->number[0], op->number[0]);
	if (!r)
		r = STEP(ctx, prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0);
	if (!r) /* a change of ids sets it to fs.suid_dumpable, which may be 1 (prctl(2)) */
		r = STEP(ctx, prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	return (int)r;
}

static int set_capabilities(struct context *ctx, uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32) },
	};

	return (int)STEP(ctx, capset, &header, data);
}

/*
 * FLAG_KEEP_SETUP: a filter without no_new_privs needs CAP_SYS_ADMIN to load
 * (seccomp(2)) and is loaded last, so that it need not allow what we do: the
 * capability stays until then, and FLAG_DROP_SETUP is the one call behind the filter.
 */
int op_capabilities(struct context *ctx, const struct plan_op *op)
{
	uint64_t extra = op->flags & FLAG_KEEP_SETUP ? (uint64_t)1 << CAP_SYS_ADMIN : 0;
	int cap, r;

	r = set_capabilities(ctx, op->number[0] | extra, op->number[1] | extra, op->number[2]);
	if (r < 0)
		return r;
	if (op->flags & FLAG_DROP_SETUP)
		return 0;
	r = (int)STEP(ctx, prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (cap = 0; !r && cap < 64; cap++)
		if (op->number[3] >> cap & 1)
			r = (int)STEP(ctx, prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	return r;
}

/* FLAG_NOTIFY: the rest of the plan, up to what is left for execve, is the deputy's (deputy.c). */
int op_seccomp(struct context *ctx, const struct plan_op *op)
{
	uint64_t count = op->number[0];
	struct sock_fprog program = { .len = (unsigned short)count };
	int r;

	if (!count || count > BPF_MAXINSNS)
		return -EINVAL;
	program.filter = (struct sock_filter *)(uintptr_t)plan_bytes(ctx, op->string[1],
								     count * sizeof(struct sock_filter));
	if (!program.filter)
		return -EINVAL;
	if (op->flags & FLAG_NOTIFY) {
		r = start_deputy(ctx);
		if (r < 0)
			return r;
	}
	r = (int)STEP(ctx, seccomp, SECCOMP_SET_MODE_FILTER, op->number[1], &program);
	if (r < 0 || !(op->flags & FLAG_NOTIFY))
		return r;
	ctx->notify = r;
	wait_for_deputy(ctx);
	return 0;
}
