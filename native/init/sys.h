/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls without a libc: results are 0 or more, or -errno.
 *
 * orlop-init is linked with nothing. It runs between clone and execve, where
 * only raw system calls are safe (glibc caches the thread id), it must fit
 * under a memory limit of a few hundred KiB, and it is copied into a sealed
 * memfd at each start, so that each KiB counts. ORLOP_HOSTED builds the same
 * code on a libc, for sanitizers, fuzzers and further architectures.
 */
#ifndef ORLOP_SYS_H
#define ORLOP_SYS_H
#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#if defined(ORLOP_HOSTED)

#include <errno.h>
long syscall(long number, ...);

static inline long sys_call6(long n, long a, long b, long c, long d, long e, long f)
{
	long r = syscall(n, a, b, c, d, e, f);

	return r == -1 ? -errno : r;
}

#elif defined(__x86_64__)

static inline long sys_call6(long n, long a, long b, long c, long d, long e, long f)
{
	long r;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

#elif defined(__aarch64__)

static inline long sys_call6(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

#else
#error "no system call sequence for this architecture: build with -DORLOP_HOSTED"
#endif

/* Arguments may be integers or pointers; a missing one is 0. */
#define SYS_ARG(x) ((long)(x))
#define SYS_PICK(n, a, b, c, d, e, f, ...) \
	sys_call6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), SYS_ARG(f))
#define SYS(name, ...) SYS_PICK(__NR_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

#if !defined(ORLOP_HOSTED)
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);
#else
#include <string.h>
#endif

#endif
