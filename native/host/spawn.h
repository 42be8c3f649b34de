/* SPDX-License-Identifier: Apache-2.0 */
/* Start the init: one clone3 that shares memory until the exec, as vfork(2) does. */
#ifndef ORLOP_SPAWN_H
#define ORLOP_SPAWN_H
#include <stdint.h>

enum {
	SPAWN_KEEP_CAPABILITIES = 1, /* new user namespace: the exec comes before the id maps */
	SPAWN_NO_VFORK = 2,          /* into a frozen cgroup: waiting for the exec would hang the caller */
};

struct spawn {
	uint64_t clone_flags; /* CLONE_NEW* only */
	int32_t cgroup;       /* directory of a cgroup v2, -1: the caller's */
	int32_t flags;        /* SPAWN_* */
	int32_t executable;   /* sealed orlop-init */
	int32_t base;         /* how many of `fds` belong to the container; the init's argument */
	int32_t fd_count;     /* fds[i] becomes descriptor i; all others are closed; -1 leaves i closed */
	const int32_t *fds;
	int32_t pidfd;        /* out */
	int32_t error;        /* out: errno, 0: the init runs */
	const char *step;     /* out: the system call that failed */
};

/* The child's pid, in the caller's pid namespace, or -1 with `error` and `step` set. */
int orlop_spawn(struct spawn *spawn);

#endif
