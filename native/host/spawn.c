/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child shares the caller's memory until execve (CLONE_VM | CLONE_VFORK):
 * no page table of a Python process is copied, and what it does here is raw
 * system calls on a stack of its own. All signals are blocked meanwhile, so
 * that no handler of the caller runs in it.
 */
#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../init/sys.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum { CHILD_SIZE = 4096, STACK_SIZE = 64 * 1024 }; /* behind both: struct child's high */

struct child {
	struct spawn *spawn;
	int *high; /* a place for each descriptor */
	char *argv[3];
	bool joins; /* the cgroup, by itself */
	volatile int error; /* in memory that both see, vfork or not */
	const char *volatile step;
};

static void child_fail(struct child *child, const char *step, long error)
{
	child->step = step;
	child->error = (int)-error;
	SYS(exit_group, 127);
	__builtin_unreachable();
}

/*
 * execve computes capabilities anew, and an id that is not mapped yet is not
 * root: without ambient ones nothing would be left for the init to work with
 * (capabilities(7), user_namespaces(7)).
 */
static void keep_capabilities(struct child *child)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	int cap;
	long r = SYS(capget, &header, data);

	if (r < 0)
		child_fail(child, "capget", r);
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	r = SYS(capset, &header, data);
	if (r < 0)
		child_fail(child, "capset", r);
	for (cap = 0; cap < 64; cap++) {
		if (!(data[cap / 32].permitted >> (cap % 32) & 1))
			continue;
		r = SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
		if (r < 0)
			child_fail(child, "prctl(PR_CAP_AMBIENT_RAISE)", r);
	}
}

/* First out of the way, then into place: a number may be both a source and a target. */
static long place_descriptors(struct child *child)
{
	struct spawn *s = child->spawn;
	long executable, r;
	int i, *high = child->high;

	for (i = 0; i < s->fd_count; i++) {
		high[i] = -1;
		if (s->fds[i] < 0)
			continue;
		r = SYS(fcntl, s->fds[i], F_DUPFD_CLOEXEC, s->fd_count + 1);
		if (r < 0)
			child_fail(child, "fcntl(F_DUPFD_CLOEXEC)", r);
		high[i] = (int)r;
	}
	executable = SYS(fcntl, s->executable, F_DUPFD_CLOEXEC, s->fd_count + 1);
	if (executable < 0)
		child_fail(child, "fcntl(F_DUPFD_CLOEXEC)", executable);
	for (i = 0; i < s->fd_count; i++) {
		if (high[i] < 0) {
			SYS(close, i);
			continue;
		}
		r = SYS(dup3, high[i], i, 0);
		if (r < 0)
			child_fail(child, "dup3", r);
	}
	r = SYS(dup3, executable, s->fd_count, O_CLOEXEC);
	if (r < 0)
		child_fail(child, "dup3", r);
	r = SYS(close_range, s->fd_count + 1, ~0U, 0);
	if (r < 0)
		child_fail(child, "close_range", r);
	return s->fd_count;
}

/* Where clone3 is hidden: what CLONE_INTO_CGROUP would have done. */
static void join_cgroup(struct child *child)
{
	long fd = SYS(openat, child->spawn->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	long r;

	if (fd < 0)
		child_fail(child, "open(cgroup.procs)", fd);
	r = SYS(write, fd, "0", 1);
	if (r < 0)
		child_fail(child, "write(cgroup.procs)", r);
}

static int child_main(void *argument)
{
	struct child *child = argument;
	char *environment[] = { NULL };
	long executable, r;

	if (child->joins)
		join_cgroup(child);
	if (child->spawn->flags & SPAWN_KEEP_CAPABILITIES)
		keep_capabilities(child);
	executable = place_descriptors(child);
	r = SYS(execveat, executable, "", child->argv, environment, AT_EMPTY_PATH);
	child_fail(child, "execveat", r);
	return 0;
}

#if defined(__x86_64__) && !defined(ORLOP_HOSTED)

/* clone3 with a new stack: glibc has no wrapper. The child calls entry(argument) and does not return. */
static long clone3_on_stack(struct clone_args *args, size_t size, int (*entry)(void *), void *argument)
{
	long r;
	register void *rbx_entry __asm__("r12") = (void *)entry;
	register void *rbx_argument __asm__("r13") = argument;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(r)
			 : "a"(__NR_clone3), "D"(args), "S"(size), "r"(rbx_entry), "r"(rbx_argument)
			 : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
	return r;
}
#define HAVE_CLONE3_ON_STACK 1

#elif defined(__aarch64__) && !defined(ORLOP_HOSTED)

static long clone3_on_stack(struct clone_args *args, size_t size, int (*entry)(void *), void *argument)
{
	register long x8 __asm__("x8") = __NR_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = (long)size;
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
			 : "r"(x8), "r"(x1), "r"(x20), "r"(x21)
			 : "x30", "memory", "cc");
	return x0;
}
#define HAVE_CLONE3_ON_STACK 1

#else
#define HAVE_CLONE3_ON_STACK 0
#endif

static long start_child(struct child *child, void *stack)
{
	struct spawn *s = child->spawn;
	int pidfd = -1;
	struct clone_args args = {
		.flags = s->clone_flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid;

	if (s->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)s->cgroup;
	}
	if (HAVE_CLONE3_ON_STACK && !(s->flags & SPAWN_NO_VFORK)) {
#if HAVE_CLONE3_ON_STACK
		args.flags |= CLONE_VM | CLONE_VFORK;
		args.stack = (uint64_t)(uintptr_t)stack;
		args.stack_size = STACK_SIZE;
		pid = clone3_on_stack(&args, sizeof(args), child_main, child);
#endif
	} else {
		pid = SYS(clone3, &args, sizeof(args));
		if (pid == 0)
			child_main(child);
	}
	/*
	 * An outer filter may hide clone3, whose flags it can't inspect. The old call
	 * does the same, except for what only clone3 knows (clone(2)): a cgroup is joined
	 * afterwards, which is too late for a cgroup namespace.
	 */
	if (pid == -ENOSYS && !(s->clone_flags & (CLONE_NEWTIME | CLONE_NEWCGROUP))) {
		child->joins = s->cgroup >= 0;
		pid = SYS(clone, s->clone_flags | CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
		if (pid == 0)
			child_main(child);
		child->step = "clone";
	}
	s->pidfd = pidfd;
	return pid;
}

/* Without vfork the child's error comes later: its end, or the end of the close-on-exec pipe, is the parent's to see. */
static int spawn_blocked(struct spawn *spawn, void *memory)
{
	struct child *child = memory;
	char number[12];
	long pid;

	snprintf(number, sizeof(number), "%d", spawn->base);
	*child = (struct child){ .spawn = spawn, .argv = { "orlop-init", number, NULL }, .step = "clone3" };
	child->high = (int *)((char *)memory + CHILD_SIZE + STACK_SIZE);
	pid = start_child(child, (char *)memory + CHILD_SIZE);
	if (pid < 0) {
		spawn->error = (int)-pid;
		spawn->step = child->step;
		return -1;
	}
	if (child->error) { /* it is gone, or about to go */
		spawn->error = child->error;
		spawn->step = child->step;
		waitpid((pid_t)pid, NULL, __WALL);
		close(spawn->pidfd);
		spawn->pidfd = -1;
		return -1;
	}
	spawn->error = 0;
	return (int)pid;
}

int orlop_spawn(struct spawn *spawn)
{
	size_t size = CHILD_SIZE + STACK_SIZE + (size_t)spawn->fd_count * sizeof(int);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigset_t all, before;
	int pid;

	spawn->pidfd = -1;
	if (memory == MAP_FAILED) {
		spawn->error = errno;
		spawn->step = "mmap";
		return -1;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = spawn_blocked(spawn, memory);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	munmap(memory, size);
	return pid;
}
