/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter that notifies is loaded in create, because someone must hand its
 * descriptor on; the program starts later. From the filter on, each of our own
 * calls would be held up, or refused, as the program's: seccomp_unotify(2) has
 * no exception for whoever loaded it. So nothing of ours is behind it:
 *
 *   the container's process            deputy, a thread without the filter
 *    | starts the deputy                | waits for a fault
 *    | seccomp(2)                       |
 *    | touches the gate, and sleeps --> | hands the descriptor on
 *    :                                  | waits for `start`, runs hooks
 *    | goes on <----------------------- | lets go of the gate, ends
 *    | capset(2) if it must, execve(2)
 *
 * The gate is a page whose fault nobody but the deputy answers
 * (userfaultfd(2)): a way to sleep that takes no system call. The deputy ends
 * before, or with, execve: it is a thread, and leaves nobody to be waited for.
 */
#include <asm/ioctl.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>

#include "init.h"

enum { PAGE = 65536 /* of any architecture */, STACK = 65536 };

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* Linux 5.11 */
#endif

static const unsigned long THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
				    CLONE_SYSVSEM;

#if defined(ORLOP_HOSTED)

int clone(int (*entry)(void *), void *stack, int flags, void *argument, ...);

static long start_thread(char *stack, int (*entry)(void *), void *argument)
{
	int r = clone(entry, stack, (int)THREAD, argument);

	return r < 0 ? -errno : r;
}

#elif defined(__x86_64__)

/* entry(argument) on the new stack; it does not return. */
static long start_thread(char *stack, int (*entry)(void *), void *argument)
{
	long r;
	register long none_child __asm__("r10") = 0;
	register long none_tls __asm__("r8") = 0;
	register void *to_call __asm__("r12") = (void *)entry;
	register void *to_pass __asm__("r13") = argument;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(r)
			 : "a"(__NR_clone), "D"(THREAD), "S"(stack), "d"(0), "r"(none_child),
			   "r"(none_tls), "r"(to_call), "r"(to_pass)
			 : "rcx", "r11", "memory", "cc");
	return r;
}

#elif defined(__aarch64__)

static long start_thread(char *stack, int (*entry)(void *), void *argument)
{
	register long x8 __asm__("x8") = __NR_clone;
	register long x0 __asm__("x0") = (long)THREAD;
	register char *x1 __asm__("x1") = stack;
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;
	register void *x20 __asm__("x20") = (void *)entry;
	register void *x21 __asm__("x21") = argument;

	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, #0\n\t"
			 "mov x0, x21\n\t"
			 "blr x20\n\t"
			 "brk #1\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x20), "r"(x21)
			 : "x30", "memory", "cc");
	return x0;
}

#endif

static int map(struct context *ctx, size_t size, char **address)
{
	long r = STEP(ctx, mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (r < 0 && r > -4096)
		return (int)r;
	*address = (char *)r;
	return 0;
}

/* A page that nobody fills in until ctx->fault is closed. */
static int make_gate(struct context *ctx)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range.len = PAGE, .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *gate;
	int r = map(ctx, PAGE, &gate);

	if (r < 0)
		return r;
	ctx->fault = (int)STEP(ctx, userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (ctx->fault < 0)
		return ctx->fault;
	ctx->gate = gate;
	range.range.start = (uintptr_t)gate;
	r = (int)STEP(ctx, ioctl, ctx->fault, UFFDIO_API, &api);
	if (!r)
		r = (int)STEP(ctx, ioctl, ctx->fault, UFFDIO_REGISTER, &range);
	return r;
}

/* Everything up to what only the container's process can do for itself. */
static int stand_in(struct context *ctx)
{
	struct uffd_msg fault;
	uint32_t loader = ctx->next - 1;
	long r;
	int failed;

	do /* without STEP: the container's process is still at it */
		r = SYS(read, ctx->fault, &fault, sizeof(fault));
	while (r == -EINTR);
	ctx->step = "read";
	failed = r < 0 ? (int)r : sync_parent(ctx, loader, SYNC_NOTIFY, ctx->notify);
	if (failed) {
		report_failure(ctx, loader, &ctx->ops[loader], -failed);
		return failed;
	}
	close_fd(&ctx->notify);
	return run_plan(ctx, 1);
}

__attribute__((noreturn)) static void leave(int failed)
{
	if (failed)
		SYS(exit_group, 1); /* the container's process too */
	SYS(exit, 0);
	__builtin_trap();
}

static int deputy_main(void *argument)
{
	struct context *ctx = argument;
	int failed = stand_in(ctx);

	if (!failed)
		close_fd(&ctx->fault); /* the container's process wakes */
	leave(failed);
}

int start_deputy(struct context *ctx)
{
	char *stack;
	int r = map(ctx, STACK, &stack);
	long pid;

	if (!r)
		r = make_gate(ctx);
	if (r < 0)
		return r;
	ctx->step = "clone";
	pid = start_thread(stack + STACK, deputy_main, ctx);
	return pid < 0 ? (int)pid : 0;
}

void wait_for_deputy(struct context *ctx)
{
	__asm__ volatile("" ::: "memory"); /* what the deputy reads, and what it leaves, is in memory */
	(void)*(volatile char *)ctx->gate;
	__asm__ volatile("" ::: "memory");
}
