/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `step MILLISECONDS COMMAND...`: run a runtime, and stop what it starts (the
 * init, from its clone on to the execve of the user's program) before each of
 * its system calls for some time, so that an attacker beside it has time to
 * look at each of its states. Prints `stops N` to standard error; the status
 * is the command's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64 };

struct tracee {
	pid_t pid;
	bool slow;    /* it is stopped */
	bool in_call; /* its next stop is the end of a system call */
};

static struct tracee tracees[MOST];
static long stops;

static struct tracee *find(pid_t pid)
{
	struct tracee *unused = NULL;

	for (int i = 0; i < MOST; i++) {
		if (tracees[i].pid == pid)
			return &tracees[i];
		if (!tracees[i].pid && !unused)
			unused = &tracees[i];
	}
	if (!unused) {
		fprintf(stderr, "step: more than %d processes\n", MOST);
		exit(2);
	}
	*unused = (struct tracee){ .pid = pid, .slow = true };
	return unused;
}

static bool is_init(pid_t pid)
{
	char path[64], words[16] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	file = fopen(path, "r");
	if (file) {
		if (!fread(words, 1, sizeof(words) - 1, file))
			words[0] = 0;
		fclose(file);
	}
	return !strcmp(words, "orlop-init");
}

static void go_on(struct tracee *tracee, int number)
{
	ptrace(tracee->slow ? PTRACE_SYSCALL : PTRACE_CONT, tracee->pid, 0, (long)number);
}

static void stopped(struct tracee *tracee, int status, useconds_t pause)
{
	int number = WSTOPSIG(status), event = status >> 16;

	if (event == PTRACE_EVENT_EXEC) {
		tracee->slow = tracee->slow && is_init(tracee->pid);
		tracee->in_call = true; /* of execve itself */
		number = 0;
	} else if (event) {
		number = 0; /* a child, which stops by itself; or its own first stop */
	} else if (number == (SIGTRAP | 0x80)) {
		tracee->in_call = !tracee->in_call;
		if (tracee->in_call) {
			stops++;
			usleep(pause);
		}
		number = 0;
	} else if (number == SIGSTOP) {
		number = 0; /* a new tracee's */
	}
	go_on(tracee, number);
}

int main(int argc, char **argv)
{
	long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
		       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	int status, result = 2;
	pid_t pid, root;

	if (argc < 3) {
		fprintf(stderr, "usage: step MILLISECONDS COMMAND...\n");
		return 2;
	}
	root = fork();
	if (!root) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execv(argv[2], argv + 2);
		_exit(127);
	}
	waitpid(root, &status, 0);
	find(root)->slow = false;
	ptrace(PTRACE_SETOPTIONS, root, 0, options);
	ptrace(PTRACE_CONT, root, 0, 0);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status)) {
			stopped(find(pid), status, (useconds_t)atoi(argv[1]) * 1000);
			continue;
		}
		if (pid == root)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		find(pid)->pid = 0;
		if (pid == root)
			break; /* what it leaves running goes on without us, or ends with PTRACE_O_EXITKILL */
	}
	fprintf(stderr, "stops %ld\n", stops);
	return result;
}
