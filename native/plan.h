/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: what Python decided, as orlop-init executes it.
 *
 *   +--------------------+ 0
 *   | struct plan_header |
 *   +--------------------+ sizeof(struct plan_header)
 *   | struct plan_op     | x op_count, in order of execution
 *   +--------------------+ blob_offset
 *   | blob               | NUL-terminated strings, lists of them, raw bytes
 *   +--------------------+ total
 *
 * Fixed-width integers in native byte order, no pointers. A string is named
 * by its offset in the blob; offset 0 is the empty string. A list is a run of
 * NUL-terminated strings, its length in one of the operation's numbers.
 * Descriptors are indices into the table that travels with the plan.
 *
 * This file holds enums and structs only: the compiler and cffi read the same
 * text (native/build.py strips the preprocessor's lines). A change of meaning
 * or layout is a new PLAN_VERSION.
 */
#ifndef ORLOP_PLAN_H
#define ORLOP_PLAN_H
#include <stdint.h>

enum {
	PLAN_MAGIC = 0x504c524f, /* "ORLP" in memory on little-endian machines */
	PLAN_VERSION = 1,
	PLAN_STRINGS = 6,
	PLAN_NUMBERS = 4,
	PLAN_MAX_SIZE = 0x2000000, /* 32 MiB: arguments and environment have room */
	PLAN_MAX_FDS = 128,
};

struct plan_header {
	uint32_t magic;
	uint16_t version;
	uint16_t op_size;
	uint32_t total;
	uint32_t op_count;
	uint32_t blob_offset;
	uint32_t fd_count;
};

/* string[0] is the JSON pointer that the operation came from, string[1] what it acts on. */
struct plan_op {
	uint16_t code;
	uint16_t flags;
	int32_t fd; /* index into the descriptor table, -1: none */
	uint32_t string[6];
	uint64_t number[4];
};

/*
 * For each operation: what its strings, numbers, fd and flags mean. "path" is
 * always resolved inside the rootfs by file descriptor.
 */
enum plan_code {
	OP_NONE = 0,          /* never valid */
	OP_OOM_SCORE = 1,     /* [0] oom_score_adj, two's complement */
	OP_NON_DUMPABLE = 2,  /* no ptrace and no /proc/PID/fd for the container's processes */
	OP_CGROUP = 3,        /* fd: a cgroup's tasks or cgroup.procs, open for writing; writes 0 */
	OP_UNSHARE = 4,       /* [0] CLONE_NEW* flags */
	OP_SETNS = 5,         /* fd: namespace or pidfd; [0] CLONE_NEW* flags; FLAG_TRY, FLAG_RETRY */
	OP_TIME = 6,          /* s1 the text for timens_offsets, may be empty */
	OP_FORK = 7,          /* [0] CLONE_NEW* flags: the second stage, a sibling of the first */
	OP_SYNC = 8,          /* [0] enum plan_sync */
	OP_BECOME_ROOT = 9,   /* uid and gid 0 of the user namespace; FLAG_NO_SETGROUPS */
	OP_SETSID = 10,
	OP_KEYRING = 11,      /* s1 the session keyring's name, [0] permissions added, keyctl_setperm(3) */
	OP_LOOPBACK = 12,     /* lo up */
	OP_HOSTNAME = 13,     /* s1 */
	OP_DOMAINNAME = 14,   /* s1 */
	OP_SYSCTL = 15,       /* s1 path below /proc/sys, s2 value */
	OP_PROPAGATION = 16,  /* s1 host path: the mount that holds it; [0] MS_* propagation */
	OP_ROOTFS = 17,       /* s1 host path, or fd: a detached tree; [0] MS_* propagation, 0: as it is */
	OP_MOUNT = 18,        /* s1 path, s2 type, s3 source, s4 options, s5 an option for the mode of a
	                         directory that is there; [0] MOUNT_ATTR_*, [1] propagation,
	                         [2] number of options, [3] MS_* of the old call */
	OP_BIND = 19,         /* s1 path, s2 host path (or fd: a detached tree, and s3 words for who makes it);
	                         [0] attributes to set, [1] to clear, [2] to clear where the kernel
	                         lets us, [3] propagation */
	OP_ATTR = 20,         /* s1 path: the mount made last, or FLAG_BY_PATH; numbers as OP_BIND */
	OP_SYMLINK = 21,      /* s1 path, s2 target; FLAG_REPLACE */
	OP_DEVICE = 22,       /* s1 path, s2 host path of a node to bind, FLAG_TRY: if mknod(2) is refused;
	                         [0] mode with type, [1] dev_t, [2] uid, [3] gid */
	OP_MASK = 23,         /* s1 path, s2 SELinux label of a directory's mask, may be empty */
	OP_READONLY = 24,     /* s1 path */
	OP_CONSOLE = 25,      /* a pty of the rootfs's devpts to the parent; [0] rows, [1] columns */
	OP_HOOK = 26,         /* s1 executable, s2 argv, s3 env; [0] argc, [1] envc, [2] seconds,
	                         [3] 1: the HOME of OP_HOME too */
	OP_PIVOT = 27,        /* [0] MS_* propagation of the new root, 0: as it is;
	                         [1] MOUNT_ATTR_* for it; FLAG_CHROOT, FLAG_MOVE */
	OP_RLIMIT = 28,       /* [0] resource, [1] soft, [2] hard */
	OP_STDIO_OWNER = 29,  /* [0] uid that may reopen its stdio through /proc/self/fd */
	OP_NO_NEW_PRIVS = 30,
	OP_BOUNDING = 31,     /* [0] set of capabilities that stay */
	OP_GROUPS = 32,       /* s1 raw uint32_t gid_t values, [0] how many */
	OP_USER = 33,         /* [0] uid, [1] gid; permitted capabilities are kept */
	OP_CAPABILITIES = 34, /* [0] effective, [1] permitted, [2] inheritable, [3] ambient */
	OP_UMASK = 35,        /* [0] */
	OP_CWD = 36,          /* s1 absolute path; FLAG_TRY, FLAG_SECOND_TRY */
	OP_LOOKUP = 37,       /* s1 the name asked for, s2 candidates, [0] how many */
	OP_READY = 38,        /* the container is created; the channel ends */
	OP_WAIT_START = 39,   /* fd: listening socket */
	OP_SECCOMP = 40,      /* s1 raw struct sock_filter, [0] how many, [1] SECCOMP_FILTER_FLAG_* */
	OP_EXEC = 41,         /* s1 the name asked for, s2 argv, s3 env; [0] argc, [1] envc */
	OP_MKDIR = 42,        /* s1 path, [0] mode */
	OP_HOME = 43,         /* HOME for OP_EXEC: that of [0] uid in the root's /etc/passwd, or / */
	OP_SCHEDULER = 44,    /* s2 raw struct sched_attr, [0] its size */
	OP_IO_PRIORITY = 45,  /* [0] class and level, as ioprio_set(2) takes them */
	OP_AFFINITY = 46,     /* s2 raw set of CPUs, [0] its size, 0: all that the cgroup allows */
	OP_PERSONALITY = 47,  /* [0] PER_* */
	OP_LABEL = 48,        /* fd: the host's /proc; s1 path below it, s2 another where that is not
	                         there, s3 what is written */
	OP_MEMORY_POLICY = 49, /* s2 raw set of nodes, [0] mode and flags, [1] its size */
	OP_FILE_LABEL = 50,   /* s1 SELinux label for the root of the mount made last */
	OP_REMOUNT = 51,      /* s1 path of a mount, s4 options of its file system; [0] to [2] as OP_BIND,
	                         [3] number of options, 0: the file system stays as it is */
	OP_BIND_LINK = 52,    /* as OP_BIND; a source that is a symbolic link is made again at s1 */
	OP_CLOCK = 53,        /* fd: a file of a uint64_t for each operation: CLOCK_REALTIME, in ns, when it began */
	PLAN_CODES = 54,
};

enum plan_flag {
	FLAG_TRY = 1,           /* OP_SETNS, OP_CWD: go on after a refusal, a later operation tries again */
	FLAG_RETRY = 2,         /* OP_SETNS: only where FLAG_TRY did not succeed */
	FLAG_RECURSIVE = 4,     /* OP_BIND, OP_ATTR, OP_ROOTFS: the whole tree */
	FLAG_ORDINARY = 8,      /* OP_MOUNT, OP_REMOUNT: no symbolic link on the way (CVE-2019-19921) */
	FLAG_COPY_UP = 16,      /* OP_MOUNT: fill the tmpfs with what it covers */
	FLAG_NO_SETGROUPS = 32, /* OP_BECOME_ROOT: setgroups(2) is denied in this user namespace */
	FLAG_REPLACE = 64,      /* OP_SYMLINK: in place of what is there */
	FLAG_DROP_SETUP = 128,  /* OP_CAPABILITIES: give up what FLAG_KEEP_SETUP kept */
	FLAG_CHROOT = 256,      /* OP_PIVOT: the mount namespace is not ours: chroot(2) only */
	FLAG_MOVE = 512,        /* OP_PIVOT: a root that pivot_root(2) refuses, on a ramfs for instance */
	FLAG_SOURCE_NOFOLLOW = 1024, /* OP_BIND */
	FLAG_TARGET_NOFOLLOW = 2048, /* OP_BIND, OP_MOUNT, OP_REMOUNT: on a symbolic link itself */
	FLAG_SECOND_TRY = 4096, /* OP_CWD: after the change of user, if the first was refused */
	FLAG_KEEP_SETUP = 8192, /* OP_CAPABILITIES: keep CAP_SYS_ADMIN in hand for OP_SECCOMP */
	FLAG_NOTIFY = 16384,    /* OP_SECCOMP: the notify descriptor goes to the parent; a deputy without the
	                           filter carries out what follows, up to OP_CAPABILITIES or OP_EXEC */
	FLAG_BY_PATH = 32768,   /* OP_ATTR: the mount at s1, not the one made last */
};

/* What the init waits for; the parent answers with a struct plan_answer. */
enum plan_sync {
	SYNC_IDMAP = 1,   /* uid_map, gid_map written */
	SYNC_HOOKS = 2,   /* prestart and createRuntime hooks have run */
	SYNC_CONSOLE = 3, /* the message carries the pty's master */
	SYNC_NOTIFY = 4,  /* the message carries the seccomp notify descriptor */
	SYNC_READY = 5,   /* status "created" is on disk */
	SYNC_STATE = 6,   /* the answer carries a file with the state, for OP_HOOK */
	SYNC_PREPARE = 7, /* what only the parent can do: limits above the hard ones */
	SYNC_CREATED = 8, /* as SYNC_STATE, with status "created", for startContainer hooks */
	SYNC_NETWORK = 9, /* network devices are in the container's namespace */
	SYNC_SCOPE = 10,  /* the parent has moved this process into its cgroup */
	SYNC_KNOWN = 11,  /* whoever is to end the process of an exec, if need be, has a pidfd of it */
};

enum plan_kind {
	KIND_SYNC = 1,   /* value: enum plan_sync */
	KIND_STAGE = 2,  /* value: pid of the second stage, in the first one's pid namespace */
	KIND_FAILED = 3, /* error: errno; the first stage or the operation could not go on */
};

/* One SOCK_SEQPACKET message, init to parent, or init to `start`. */
struct plan_message {
	uint32_t kind;
	uint32_t op;    /* index of the operation */
	uint32_t code;  /* enum plan_code */
	uint32_t value;
	int32_t error;
	char step[28];  /* the system call that failed */
	char text[976]; /* pointer, subject, detail: three NUL-terminated strings */
};

/* Parent to init; SYNC_STATE's comes with a descriptor. */
struct plan_answer {
	int32_t error; /* not 0: give up */
};

#endif
