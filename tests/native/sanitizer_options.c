/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the sanitizers, compiled in: the init is started with an empty environment.
 * No leak check: it ends by execve or exit, and what it maps lives as long as it does; the check
 * would also need ptrace, which PR_SET_DUMPABLE denies.
 */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0:exitcode=99:detect_stack_use_after_return=1";
}

const char *__ubsan_default_options(void)
{
	return "exitcode=99:print_stacktrace=1";
}
