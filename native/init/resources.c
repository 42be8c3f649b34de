/* SPDX-License-Identifier: Apache-2.0 */
/* Where and how the process runs: scheduler, processors, memory nodes, I/O. */
#include <linux/ioprio.h>

#include "init.h"

enum { CPUS_MAX = 1024 /* bytes: more processors than the kernel can be built for */ };

/* Of the whole thread group of one: threads inherit it (sched(7)). */
int op_scheduler(struct context *ctx, const struct plan_op *op)
{
	const void *attributes = plan_bytes(ctx, op->string[2], op->number[0]);
	uint32_t size; /* the kernel believes what struct sched_attr begins with */

	if (!attributes || op->number[0] < sizeof(size))
		return -EINVAL;
	memcpy(&size, attributes, sizeof(size));
	if (size != op->number[0])
		return -EINVAL;
	return (int)STEP(ctx, sched_setattr, 0, attributes, 0);
}

/* The standard speaks of the process group; OP_SETSID made the process the only one in its own. */
int op_io_priority(struct context *ctx, const struct plan_op *op)
{
	return (int)STEP(ctx, ioprio_set, IOPRIO_WHO_PGRP, 0, op->number[0]);
}

/*
 * Without a set: the caller's own affinity is not the container's business.
 * Every bit is set, those of processors that are not there yet too; the kernel
 * leaves out what the cpuset does not have (sched_setaffinity(2)). If it can't
 * be, the affinity stays as it is, as in runc.
 */
int op_affinity(struct context *ctx, const struct plan_op *op)
{
	static uint8_t all[CPUS_MAX];
	const void *cpus = plan_bytes(ctx, op->string[2], op->number[0]);

	if (!op->number[0]) {
		memset(all, 0xff, sizeof(all));
		SYS(sched_setaffinity, 0, sizeof(all), all);
		return 0;
	}
	return cpus ? (int)STEP(ctx, sched_setaffinity, 0, op->number[0], cpus) : -EINVAL;
}

/* The kernel reads one bit less than it is told (mm/mempolicy.c, get_nodes). */
int op_memory_policy(struct context *ctx, const struct plan_op *op)
{
	uint64_t size = op->number[1];
	const void *nodes = size ? plan_bytes(ctx, op->string[2], size) : NULL;

	if (size && !nodes)
		return -EINVAL;
	return (int)STEP(ctx, set_mempolicy, op->number[0], nodes, size ? size * 8 + 1 : 0);
}
