/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orlop-init: reads a plan, checks it, carries it out.
 *
 *   orlop-init BASE
 *
 * Descriptors: 0-2 the container's stdio, 3..BASE-1 preserved for it, BASE the
 * channel to the parent. Over that comes the plan, as BASE+1, with its table,
 * BASE+2 and on. It decides nothing: an operation that fails ends it (a
 * half-confined process never goes on), after a message that says which one
 * and why.
 */
#include <linux/mman.h>
#include <linux/close_range.h>
#include <linux/signal.h>

#include "init.h"

#ifndef SIG_DFL
#define SIG_DFL ((__sighandler_t)0)
#endif

const char *plan_string(const struct context *ctx, uint32_t offset)
{
	return (const char *)ctx->plan + ctx->header->blob_offset + offset; /* offset was checked */
}

const void *plan_bytes(const struct context *ctx, uint32_t offset, uint64_t size)
{
	uint64_t blob = ctx->header->total - ctx->header->blob_offset;

	if (size > blob || offset > blob - size)
		return NULL;
	return plan_string(ctx, offset);
}

int plan_fd(const struct context *ctx, const struct plan_op *op)
{
	return op->fd < 0 ? -EBADF : ctx->fd_base + 2 + op->fd;
}

char **plan_list(const struct context *ctx, uint32_t offset, uint64_t count)
{
	const char *s = plan_string(ctx, offset), *end = (const char *)ctx->plan + ctx->header->total;
	uint64_t i;
	long memory;
	char **list;

	if (count > ctx->header->total) /* each string takes a byte at least */
		return NULL;
	memory = SYS(mmap, NULL, (count + 2) * sizeof(char *), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory < 0 && memory > -4096)
		return NULL;
	list = (char **)memory;
	for (i = 0; i < count; i++) {
		if (s >= end) /* the blob ends with a NUL, so that strlen stops in time */
			return NULL;
		list[i] = (char *)(uintptr_t)s;
		s += strlen(s) + 1;
	}
	list[count] = NULL;
	return list;
}

int copy_string(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	if (n >= size) {
		memcpy(to, from, size - 1);
		to[size - 1] = 0;
		return -ENAMETOOLONG;
	}
	memcpy(to, from, n + 1);
	return 0;
}

void say(struct context *ctx, const char *detail)
{
	copy_string(ctx->detail, sizeof(ctx->detail), detail);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		SYS(close, *fd);
	*fd = -1;
}

/* Refuse whatever is not exactly a plan of this version: nothing below looks again. */
static int check_plan(const uint8_t *plan, uint64_t size)
{
	const struct plan_header *h = (const void *)plan;
	const struct plan_op *ops = (const void *)(plan + sizeof(*h));
	uint64_t blob;
	uint32_t i, j;

	if (size < sizeof(*h) || h->magic != PLAN_MAGIC || h->version != PLAN_VERSION ||
	    h->op_size != sizeof(struct plan_op) || h->total != size || h->fd_count > PLAN_MAX_FDS)
		return -EPROTO;
	if (h->op_count > (size - sizeof(*h)) / sizeof(struct plan_op) ||
	    h->blob_offset != sizeof(*h) + h->op_count * sizeof(struct plan_op) ||
	    h->blob_offset >= size)
		return -EPROTO;
	blob = size - h->blob_offset;
	if (plan[h->blob_offset] || plan[size - 1]) /* "" is offset 0, and every string ends */
		return -EPROTO;
	for (i = 0; i < h->op_count; i++) {
		if (ops[i].code == OP_NONE || ops[i].code >= PLAN_CODES ||
		    ops[i].fd < -1 || ops[i].fd >= (int64_t)h->fd_count)
			return -EPROTO;
		for (j = 0; j < PLAN_STRINGS; j++)
			if (ops[i].string[j] >= blob)
				return -EPROTO;
	}
	return 0;
}

static int load_plan(struct context *ctx, int fd)
{
	long size = STEP(ctx, lseek, fd, 0, 2 /* SEEK_END */), memory;
	int r;

	if (size < 0)
		return (int)size;
	if (size < (long)sizeof(struct plan_header) || size > PLAN_MAX_SIZE)
		return -EPROTO;
	memory = STEP(ctx, mmap, NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (memory < 0 && memory > -4096)
		return (int)memory;
	ctx->step = "plan";
	r = check_plan((const uint8_t *)memory, (uint64_t)size);
	if (r < 0)
		return r;
	ctx->plan = (const uint8_t *)memory;
	ctx->header = (const void *)ctx->plan;
	ctx->ops = (const void *)(ctx->plan + sizeof(*ctx->header));
	return 0;
}

/*
 * Ignored signals and the mask survive clone and exec (Python ignores SIGPIPE
 * and SIGXFSZ); the container's process starts with neither.
 */
static void reset_signals(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} action = { 0 };
	uint64_t none = 0;
	int n;

	for (n = 1; n <= 64; n++)
		SYS(rt_sigaction, n, &action, NULL, sizeof(none));
	SYS(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

static int run(struct context *ctx, const struct plan_op *op)
{
	switch ((enum plan_code)op->code) {
	case OP_OOM_SCORE: return op_oom_score(ctx, op);
	case OP_NON_DUMPABLE: return op_non_dumpable(ctx, op);
	case OP_CGROUP: return op_cgroup(ctx, op);
	case OP_UNSHARE: return op_unshare(ctx, op);
	case OP_SETNS: return op_setns(ctx, op);
	case OP_TIME: return op_time(ctx, op);
	case OP_FORK: return op_fork(ctx, op);
	case OP_SYNC: return op_sync(ctx, op);
	case OP_BECOME_ROOT: return op_become_root(ctx, op);
	case OP_SETSID: return op_setsid(ctx, op);
	case OP_KEYRING: return op_keyring(ctx, op);
	case OP_LOOPBACK: return op_loopback(ctx, op);
	case OP_HOSTNAME: return op_hostname(ctx, op);
	case OP_DOMAINNAME: return op_domainname(ctx, op);
	case OP_SYSCTL: return op_sysctl(ctx, op);
	case OP_PROPAGATION: return op_propagation(ctx, op);
	case OP_ROOTFS: return op_rootfs(ctx, op);
	case OP_MOUNT: return op_mount(ctx, op);
	case OP_BIND: return op_bind(ctx, op);
	case OP_ATTR: return op_attr(ctx, op);
	case OP_SYMLINK: return op_symlink(ctx, op);
	case OP_DEVICE: return op_device(ctx, op);
	case OP_MASK: return op_mask(ctx, op);
	case OP_READONLY: return op_readonly(ctx, op);
	case OP_CONSOLE: return op_console(ctx, op);
	case OP_HOOK: return op_hook(ctx, op);
	case OP_PIVOT: return op_pivot(ctx, op);
	case OP_RLIMIT: return op_rlimit(ctx, op);
	case OP_STDIO_OWNER: return op_stdio_owner(ctx, op);
	case OP_NO_NEW_PRIVS: return op_no_new_privs(ctx, op);
	case OP_BOUNDING: return op_bounding(ctx, op);
	case OP_GROUPS: return op_groups(ctx, op);
	case OP_USER: return op_user(ctx, op);
	case OP_CAPABILITIES: return op_capabilities(ctx, op);
	case OP_UMASK: return op_umask(ctx, op);
	case OP_CWD: return op_cwd(ctx, op);
	case OP_LOOKUP: return op_lookup(ctx, op);
	case OP_READY: return op_ready(ctx, op);
	case OP_WAIT_START: return op_wait_start(ctx, op);
	case OP_SECCOMP: return op_seccomp(ctx, op);
	case OP_EXEC: return op_exec(ctx, op);
	case OP_MKDIR: return op_mkdir(ctx, op);
	case OP_HOME: return op_home(ctx, op);
	case OP_SCHEDULER: return op_scheduler(ctx, op);
	case OP_IO_PRIORITY: return op_io_priority(ctx, op);
	case OP_AFFINITY: return op_affinity(ctx, op);
	case OP_PERSONALITY: return op_personality(ctx, op);
	case OP_LABEL: return op_label(ctx, op);
	case OP_MEMORY_POLICY: return op_memory_policy(ctx, op);
	case OP_FILE_LABEL: return op_file_label(ctx, op);
	case OP_REMOUNT: return op_remount(ctx, op);
	case OP_BIND_LINK: return op_bind(ctx, op);
	case OP_CLOCK: return op_clock(ctx, op);
	case OP_NONE:
	case PLAN_CODES: break;
	}
	return -EPROTO;
}

static int parse_base(const char *text)
{
	int n = 0;

	for (; *text; text++) {
		if (*text < '0' || *text > '9' || n > 100000)
			return -1;
		n = n * 10 + (*text - '0');
	}
	return n;
}

/*
 * From ctx->next on, to the end, or to a failure, which is reported. deputy:
 * only up to what the container's process must do for itself (deputy.c).
 */
int run_plan(struct context *ctx, int deputy)
{
	const struct plan_op *op;
	uint32_t index;
	int r;

	while (ctx->next < ctx->header->op_count) {
		op = &ctx->ops[ctx->next];
		if (deputy && (op->code == OP_CAPABILITIES || op->code == OP_EXEC))
			return 0;
		index = ctx->next++;
		if (ctx->times)
			note_time(ctx, index);
		ctx->step = "";
		memset(ctx->detail, 0, sizeof(ctx->detail)); /* what an earlier operation had to say */
		r = run(ctx, op);
		if (r < 0) {
			report_failure(ctx, index, op, -r);
			return r;
		}
		if (op->code == OP_SECCOMP && !deputy)
			ctx->times = NULL; /* behind the filter there is no call that it might deny */
	}
	return -EPROTO; /* a plan ends with OP_EXEC */
}

int init_main(int argc, char **argv)
{
	static struct context ctx; /* one page of .bss rather than of stack */
	int r;

#if defined(ORLOP_HOSTED) /* a fuzzer calls this again and again */
	memset(&ctx, 0, sizeof(ctx));
#endif
	ctx.root = ctx.mount = ctx.null = ctx.empty = ctx.tty = ctx.state = ctx.notify = ctx.fault = -1;
	ctx.fd_base = argc == 2 ? parse_base(argv[1]) : -1;
	if (ctx.fd_base < 3)
		return 2;
	ctx.channel = ctx.report = ctx.fd_base;
	reset_signals();
	SYS(umask, 0);
	SYS(prctl, 15 /* PR_SET_NAME */, "orlop-init", 0, 0, 0);
	r = (int)STEP(&ctx, close_range, ctx.fd_base, ~0U, CLOSE_RANGE_CLOEXEC);
	if (!r)
		r = receive_plan(&ctx);
	if (!r)
		r = load_plan(&ctx, ctx.fd_base + 1);
	if (r < 0) {
		report_failure(&ctx, 0, NULL, -r);
		return 1;
	}
	run_plan(&ctx, 0);
	return 1;
}
