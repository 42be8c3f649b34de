/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of orlop-init share: the context and the operations. */
#ifndef ORLOP_INIT_H
#define ORLOP_INIT_H
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/stat.h>

#include "../plan.h"
#include "sys.h"

struct context {
	const uint8_t *plan; /* the whole of it, checked, read-only */
	const struct plan_header *header;
	const struct plan_op *ops;
	int fd_base;      /* first number that is not the container's: its stdio and preserved ones are below */
	int channel;      /* to the parent, or -1 */
	int report;       /* where a failure is told: the channel, later the caller of `start` */
	int root;         /* the rootfs, O_PATH, or -1 */
	int mount;        /* the mount made last, O_PATH, or -1 */
	int null;         /* detached mount of the host's /dev/null, or -1 */
	int empty;        /* detached read-only tmpfs, or -1 */
	int tty;          /* the console's slave, or -1 */
	int state;        /* file with the container's state, or -1 */
	int notify;       /* the filter's, from its loading until it is handed on, or -1 */
	int fault;        /* userfaultfd of the gate, while the deputy works, or -1 */
	char *gate;       /* where the container's process waits for the deputy */
	uint32_t next;    /* index of the operation after the one under way */
	uint64_t *times;  /* when each operation began, or NULL: nobody asks (clock.c) */
	uint64_t joined;  /* CLONE_NEW* flags of namespaces joined */
	const char *program; /* found by OP_LOOKUP */
	char **argv, **env;      /* for OP_EXEC, made by OP_LOOKUP */
	char home[5 + PATH_MAX]; /* "HOME=…", found by OP_HOME */
	int cwd_refused;  /* OP_CWD is to be tried again as the container's user */
	const char *step; /* system call under way, for the report */
	char detail[512]; /* what else there is to say about a failure */
};

enum { FD_PATH = 32 }; /* "/proc/self/fd/N" has room in it */

/* Name the system call and go on with its result. */
#define STEP(ctx, name, ...) ((ctx)->step = #name, SYS(name, ##__VA_ARGS__))

/* init.c */
int init_main(int argc, char **argv);
int run_plan(struct context *ctx, int deputy);
const char *plan_string(const struct context *ctx, uint32_t offset);
const void *plan_bytes(const struct context *ctx, uint32_t offset, uint64_t size);
int plan_fd(const struct context *ctx, const struct plan_op *op);
/* The first `count` strings of a list as a vector of its own memory, NULL-terminated, with room
 * for one more; NULL: no memory or no such list. */
char **plan_list(const struct context *ctx, uint32_t offset, uint64_t count);
int copy_string(char *to, size_t size, const char *from);
void say(struct context *ctx, const char *detail);
void close_fd(int *fd);

/* channel.c */
int receive_plan(struct context *ctx);
int send_message(int socket, const struct plan_message *message, int fd);
void report_failure(struct context *ctx, uint32_t index, const struct plan_op *op, int error);
int sync_parent(struct context *ctx, uint32_t index, uint32_t what, int fd);
int op_sync(struct context *ctx, const struct plan_op *op);
int op_ready(struct context *ctx, const struct plan_op *op);
int op_wait_start(struct context *ctx, const struct plan_op *op);

/* A bit of our own among RESOLVE_*: the last component is not followed. */
#define PATH_NOFOLLOW (1ULL << 63)

/* path.c: every path of the rootfs is resolved here */
int path_open(struct context *ctx, const char *path, int flags, uint64_t resolve);
int path_make(struct context *ctx, const char *path, uint32_t type, uint32_t mode, uint64_t resolve);
int path_parent(struct context *ctx, const char *path, char *name, uint64_t resolve);
int file_mode(struct context *ctx, int fd, struct statx *st);
const char *fd_path(char text[FD_PATH], int fd);
int on_filesystem(struct context *ctx, int fd, long magic);
int op_mkdir(struct context *ctx, const struct plan_op *op);
int op_cwd(struct context *ctx, const struct plan_op *op);

/* namespace.c */
int op_cgroup(struct context *ctx, const struct plan_op *op);
int op_unshare(struct context *ctx, const struct plan_op *op);
int op_setns(struct context *ctx, const struct plan_op *op);
int op_time(struct context *ctx, const struct plan_op *op);
int op_fork(struct context *ctx, const struct plan_op *op);
int drop_groups(struct context *ctx);
int op_become_root(struct context *ctx, const struct plan_op *op);
int op_loopback(struct context *ctx, const struct plan_op *op);
int op_hostname(struct context *ctx, const struct plan_op *op);
int op_domainname(struct context *ctx, const struct plan_op *op);
int op_sysctl(struct context *ctx, const struct plan_op *op);

/* mount.c */
int op_mount(struct context *ctx, const struct plan_op *op);
int op_bind(struct context *ctx, const struct plan_op *op);
int op_attr(struct context *ctx, const struct plan_op *op);
int op_remount(struct context *ctx, const struct plan_op *op);
int clone_tree(struct context *ctx, int fd, const char *path, unsigned int flags);
int attach_tree(struct context *ctx, int tree, int target);
int set_attributes(struct context *ctx, int fd, int recursive, const uint64_t number[4]);
int set_propagation(struct context *ctx, int fd, uint64_t propagation);

/* hide.c */
int op_mask(struct context *ctx, const struct plan_op *op);
int op_readonly(struct context *ctx, const struct plan_op *op);

/* root.c */
int op_propagation(struct context *ctx, const struct plan_op *op);
int op_rootfs(struct context *ctx, const struct plan_op *op);
int op_pivot(struct context *ctx, const struct plan_op *op);

/* copyup.c */
int copy_up(struct context *ctx, int from, int to);

/* device.c */
int op_device(struct context *ctx, const struct plan_op *op);
int op_symlink(struct context *ctx, const struct plan_op *op);
int op_console(struct context *ctx, const struct plan_op *op);

/* deputy.c */
int start_deputy(struct context *ctx);
void wait_for_deputy(struct context *ctx);

/* clock.c */
int op_clock(struct context *ctx, const struct plan_op *op);
void note_time(struct context *ctx, uint32_t index);

/* home.c */
int op_home(struct context *ctx, const struct plan_op *op);

/* hook.c */
int op_hook(struct context *ctx, const struct plan_op *op);

/* process.c */
int op_oom_score(struct context *ctx, const struct plan_op *op);
int op_non_dumpable(struct context *ctx, const struct plan_op *op);
int op_setsid(struct context *ctx, const struct plan_op *op);
int op_keyring(struct context *ctx, const struct plan_op *op);
int op_personality(struct context *ctx, const struct plan_op *op);
int op_rlimit(struct context *ctx, const struct plan_op *op);
int op_stdio_owner(struct context *ctx, const struct plan_op *op);
int op_umask(struct context *ctx, const struct plan_op *op);
int op_lookup(struct context *ctx, const struct plan_op *op);
int op_exec(struct context *ctx, const struct plan_op *op);
int write_file(struct context *ctx, int dir, const char *path, const char *text);

/* resources.c */
int op_scheduler(struct context *ctx, const struct plan_op *op);
int op_io_priority(struct context *ctx, const struct plan_op *op);
int op_affinity(struct context *ctx, const struct plan_op *op);
int op_memory_policy(struct context *ctx, const struct plan_op *op);

/* label.c */
int op_label(struct context *ctx, const struct plan_op *op);
int op_file_label(struct context *ctx, const struct plan_op *op);

/* privilege.c */
int op_no_new_privs(struct context *ctx, const struct plan_op *op);
int op_bounding(struct context *ctx, const struct plan_op *op);
int op_groups(struct context *ctx, const struct plan_op *op);
int op_user(struct context *ctx, const struct plan_op *op);
int op_capabilities(struct context *ctx, const struct plan_op *op);
int op_seccomp(struct context *ctx, const struct plan_op *op);

#endif
