/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the time goes, for `--timeline`: a file shared with the parent has a
 * number for each operation, the time at which it began. Without OP_CLOCK the
 * price is a test of a pointer. CLOCK_REALTIME, because a time namespace
 * shifts all others (time_namespaces(7)), and the parent's would not match.
 */
#include <linux/mman.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "init.h"

int op_clock(struct context *ctx, const struct plan_op *op)
{
	uint64_t size = (uint64_t)ctx->header->op_count * sizeof(*ctx->times);
	int fd = plan_fd(ctx, op);
	long r = STEP(ctx, lseek, fd, 0, 2 /* SEEK_END */);

	if (r < 0)
		return (int)r;
	if ((uint64_t)r < size)
		return -EPROTO;
	r = STEP(ctx, mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r < 0 && r > -4096)
		return (int)r;
	ctx->times = (uint64_t *)r;
	return 0;
}

void note_time(struct context *ctx, uint32_t index)
{
	struct __kernel_old_timespec now = { 0 };

	if (!SYS(clock_gettime, CLOCK_REALTIME, &now))
		ctx->times[index] = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
