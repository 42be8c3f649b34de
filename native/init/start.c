/* SPDX-License-Identifier: Apache-2.0 */
/* Entry point and the few functions that the compiler expects of a libc. */
#include "init.h"

#if !defined(ORLOP_HOSTED)

/* The kernel enters with argc at the stack pointer and argv behind it (System V ABI, 3.4.1). */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tbl start\n");
#endif

/* -mstack-protector-guard=global: the canary is an ordinary variable. */
uintptr_t __stack_chk_guard;

__attribute__((noreturn)) void __stack_chk_fail(void);
__attribute__((noreturn)) void start(long *stack);

void __stack_chk_fail(void)
{
	SYS(exit_group, 134);
	__builtin_trap();
}

__attribute__((used, optimize("no-stack-protector"))) void start(long *stack)
{
	char **argv = (char **)(stack + 1);
	char **env = argv + stack[0] + 1;
	long *aux;

	while (*env)
		env++;
	for (aux = (long *)(env + 1); aux[0]; aux += 2)
		if (aux[0] == 25) /* AT_RANDOM: 16 random bytes */
			__stack_chk_guard = *(uintptr_t *)aux[1] & ~(uintptr_t)0xff;
	SYS(exit_group, init_main((int)stack[0], argv));
	__builtin_trap(); /* a filter that denies even this: the signal kills the init of a pid namespace too */
}

void *memcpy(void *to, const void *from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	while (size--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	unsigned char *t = to;

	while (size--)
		*t++ = (unsigned char)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a, *y = b;

	for (; size--; x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

#else

int main(int argc, char **argv)
{
	return init_main(argc, argv);
}

#endif
