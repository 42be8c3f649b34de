/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a warm planner's worker (runtime/warm.py) and the program that the user called (main.c here)
 * say to each other, on a SOCK_SEQPACKET of the unix domain:
 *
 *   worker: struct call_op of CALL_HELLO     client: one byte; descriptors: the request, the working
 *                                            directory, and those that the request numbers
 *   worker: CALL_ACCEPT (or CALL_COLD)
 *   worker: an operation                     client: struct call_answer
 *   ...
 *   worker: CALL_EXIT, and is gone
 *      or:  CALL_SERVE, and the client serves a process. When this has ended soon, the worker is still
 *           there: one byte of the client's, and it does what comes then, operations as above, CALL_EXIT.
 *           Otherwise it is gone, and the client makes a call of it.
 *
 * A request is a file of texts, each with its NUL: the protocol's number, the client's program by
 * its path, the umask, then three lists, each led by its length: the numbers of the descriptors, the arguments (without
 * the program's name), the environment.
 */
#ifndef ORLOP_PROTOCOL_H
#define ORLOP_PROTOCOL_H
#include <stdint.h>

enum {
	CALL_PROTOCOL = 1,
	CALL_MOST_FDS = 240, /* of one message: SCM_MAX_FD is 253 */
	CALL_NUMBERS = 6,
};

enum call_kind {
	CALL_HELLO = 1,      /* numbers: protocol */
	CALL_COLD = 2,       /* do it yourself */
	CALL_ACCEPT = 3,     /* from now on it is the worker's to do */
	CALL_EXIT = 4,       /* numbers: status */
	CALL_SPAWN = 5,      /* the init; numbers: clone_flags, flags, base, whether there is a cgroup; a table of
	                        fd_count indices follows; answer: pid, and its pidfd */
	CALL_RUN = 6,        /* a hook; numbers: count of args, of env; descriptors: path, args and env as texts,
	                        directory, stdin, stdout, stderr; answer: pid */
	CALL_WAIT = 7,       /* numbers: pid; answer: wait status */
	CALL_FOREGROUND = 8, /* numbers: whether to be a subreaper; signals wait from now on */
	CALL_TERMINAL = 9,   /* descriptor: the master of the container's terminal */
	CALL_SERVE = 10,     /* numbers: pid, count of words; descriptor, if any: a command line to call once
	                        the process has ended and the worker is gone */
};

struct call_op {
	uint32_t kind;
	uint32_t count; /* of the int32_t that follow: indices of descriptors of this message, -1 for none */
	int64_t numbers[CALL_NUMBERS];
};

struct call_answer {
	int64_t value;
	int32_t error; /* errno, 0: none */
	char step[52]; /* the system call that failed */
};

#endif
