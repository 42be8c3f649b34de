/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel to the parent, and later to the caller of `start`.
 *
 *   init                                parent
 *    | <-- count + plan, its table ------- |   once it is compiled: the init is there before
 *    | -- KIND_STAGE pid (OP_FORK) ------> |   waits for this one, reaps the first stage
 *    | -- KIND_SYNC what [+ fd] ---------> |   does its part
 *    | <-- plan_answer [+ state file] ---- |
 *    | -- KIND_SYNC SYNC_READY ----------> |   writes status "created"
 *    | <-- plan_answer ------------------- |   the channel ends
 *    | -- KIND_FAILED at any time -------> |
 *
 *   init                                start
 *    | <== connect, one byte "go" ======== |
 *    | -- end of file: execve succeeded -> |   or KIND_FAILED
 */
#include <asm/socket.h>
#include <linux/close_range.h>
#include <linux/socket.h>
#include <linux/uio.h>

#include "init.h"

struct message_header { /* struct user_msghdr of the kernel's sendmsg(2) */
	void *name;
	int name_length;
	struct iovec *vector;
	size_t vectors;
	void *control;
	size_t control_length;
	unsigned int flags;
};

struct control_fd { /* struct cmsghdr with one descriptor; lengths as CMSG_LEN, CMSG_SPACE */
	size_t length;
	int level;
	int type;
	int fd;
	int padding;
};

struct control_table { /* the same with the plan and its table */
	size_t length;
	int level;
	int type;
	int fd[1 + PLAN_MAX_FDS];
};

enum { LEVEL_SOCKET = 1, RIGHTS = 1, TRUNCATED = 0x8, NO_SIGNAL = 0x4000, CLOEXEC_FD = 0x40000000 };

int send_message(int socket, const struct plan_message *message, int fd)
{
	struct iovec vector = { (void *)(uintptr_t)message, sizeof(*message) };
	struct control_fd control = { offsetof(struct control_fd, padding), LEVEL_SOCKET, RIGHTS, fd, 0 };
	struct message_header header = { .vector = &vector, .vectors = 1 };
	long r;

	header.control = &control;
	header.control_length = sizeof(control);
	do /* behind the container's filter, write(2) is what nearly every profile allows */
		r = fd >= 0 ? SYS(sendmsg, socket, &header, NO_SIGNAL) :
			      SYS(write, socket, message, sizeof(*message));
	while (r == -EINTR);
	return r < 0 ? (int)r : 0;
}

/*
 * Received descriptors have the lowest numbers that are free, in their order.
 * Where the container's stdio has a gap they are too low, and never too high.
 */
static int place_table(struct context *ctx, const int *fd, uint32_t count)
{
	int r, number;

	while (count--) {
		number = ctx->fd_base + 1 + (int)count;
		if (fd[count] == number)
			continue;
		r = (int)STEP(ctx, dup3, fd[count], number, O_CLOEXEC);
		if (r < 0)
			return r;
		SYS(close, fd[count]);
	}
	return 0;
}

/* What comes first, when the parent has it: the plan and its table, and before them how many. */
int receive_plan(struct context *ctx)
{
	static struct control_table control;
	uint32_t count = 0;
	struct iovec vector = { &count, sizeof(count) };
	struct message_header header = { .vector = &vector, .vectors = 1, .control = &control,
					 .control_length = sizeof(control) };
	long r;

	do
		r = STEP(ctx, recvmsg, ctx->channel, &header, CLOEXEC_FD);
	while (r == -EINTR);
	if (r < 0)
		return (int)r;
	if (r != sizeof(count)) { /* end of file: the parent is gone, or has nothing for us */
		ctx->report = -1;
		return -ECANCELED;
	}
	if (!count || count > 1 + PLAN_MAX_FDS)
		return -EPROTO;
	if (header.flags & TRUNCATED || header.control_length < offsetof(struct control_table, fd) ||
	    control.type != RIGHTS || control.length != offsetof(struct control_table, fd) + count * sizeof(int))
		return -EMFILE; /* RLIMIT_NOFILE: the rest was dropped (unix(7)) */
	return place_table(ctx, control.fd, count);
}

static int receive_answer(struct context *ctx, int *fd)
{
	struct plan_answer answer;
	struct iovec vector = { &answer, sizeof(answer) };
	struct control_fd control = { 0 };
	struct message_header header = { .vector = &vector, .vectors = 1, .control = &control,
					 .control_length = sizeof(control) };
	long r;

	do
		r = STEP(ctx, recvmsg, ctx->channel, &header, CLOEXEC_FD);
	while (r == -EINTR);
	if (r < 0)
		return (int)r;
	if (r != sizeof(answer)) /* end of file: the parent is gone, its half-made container too */
		return -ECANCELED;
	*fd = header.control_length && control.type == RIGHTS ? control.fd : -1;
	return answer.error ? -ECANCELED : 0;
}

static size_t add_text(char *text, size_t used, size_t size, const char *s)
{
	if (used >= size)
		return used;
	copy_string(text + used, size - used, s);
	return used + strlen(text + used) + 1;
}

void report_failure(struct context *ctx, uint32_t index, const struct plan_op *op, int error)
{
	static struct plan_message m;
	size_t used;

	if (ctx->report < 0)
		return;
	m.kind = KIND_FAILED;
	m.op = index;
	m.code = op ? op->code : OP_NONE;
	m.error = error;
	copy_string(m.step, sizeof(m.step), ctx->step);
	/* The last byte stays NUL. A pointer may take a third, the detail what is left. */
	used = add_text(m.text, 0, sizeof(m.text) / 3, op ? plan_string(ctx, op->string[0]) : "");
	used = add_text(m.text, used, sizeof(m.text) * 2 / 3,
			op && op->code != OP_GROUPS && op->code != OP_SECCOMP ?
				plan_string(ctx, op->string[1]) : "");
	add_text(m.text, used, sizeof(m.text), ctx->detail);
	send_message(ctx->report, &m, -1);
}

int sync_parent(struct context *ctx, uint32_t index, uint32_t what, int fd)
{
	static struct plan_message m;
	int r, received = -1;

	m.kind = KIND_SYNC;
	m.op = index;
	m.code = ctx->ops[index].code;
	m.value = what;
	ctx->step = "sendmsg";
	r = send_message(ctx->channel, &m, fd);
	if (!r)
		r = receive_answer(ctx, &received);
	if (received >= 0) {
		close_fd(&ctx->state);
		ctx->state = received;
	}
	return r;
}

static uint32_t index_of(const struct context *ctx, const struct plan_op *op)
{
	return (uint32_t)(op - ctx->ops);
}

int op_sync(struct context *ctx, const struct plan_op *op)
{
	return sync_parent(ctx, index_of(ctx, op), (uint32_t)op->number[0], -1);
}

/* The container is created. From here the parent may go; nobody hears of a failure until `start`. */
int op_ready(struct context *ctx, const struct plan_op *op)
{
	int r = sync_parent(ctx, index_of(ctx, op), SYNC_READY, -1);

	if (r < 0)
		return r;
	close_fd(&ctx->channel);
	ctx->report = -1;
	return 0;
}

/* Move a descriptor to the next number of those that are kept; what was there is not needed any more. */
static int keep(struct context *ctx, int *fd, int *next)
{
	int r;

	if (*fd < 0)
		return 0;
	r = *fd == *next ? 0 : (int)STEP(ctx, dup3, *fd, *next, O_CLOEXEC);
	if (r < 0)
		return r;
	*fd = (*next)++;
	return 0;
}

/*
 * Whether both ends are of one user: of a listening socket, SO_PEERCRED is who
 * called listen(2), our parent (unix(7)). Ids are those of our user namespace
 * for both.
 */
static int same_user(struct context *ctx, int listener, int connection)
{
	struct { /* struct ucred */
		uint32_t pid, uid, gid;
	} ours = { 0 }, theirs = { 0 };
	int size = sizeof(ours), r;

	r = (int)STEP(ctx, getsockopt, listener, LEVEL_SOCKET, SO_PEERCRED, &ours, &size);
	if (!r)
		r = (int)STEP(ctx, getsockopt, connection, LEVEL_SOCKET, SO_PEERCRED, &theirs, &size);
	return r < 0 ? r : ours.uid == theirs.uid;
}

/*
 * Wait until `start` connects and says go. Meanwhile this process holds only
 * what it needs: no descriptor of the host's file system (CVE-2016-9962).
 */
int op_wait_start(struct context *ctx, const struct plan_op *op)
{
	int listener = plan_fd(ctx, op), kept = ctx->fd_base, connection;
	long r;
	char go;

	ctx->step = "dup3";
	r = listener < 0 ? listener : keep(ctx, &listener, &kept);
	if (!r)
		r = keep(ctx, &ctx->state, &kept); /* for startContainer hooks */
	if (!r)
		r = keep(ctx, &ctx->fault, &kept);
	if (r < 0)
		return (int)r;
	ctx->root = ctx->mount = ctx->null = ctx->empty = ctx->tty = -1;
	r = STEP(ctx, close_range, kept, ~0U, 0);
	if (r < 0)
		return (int)r;
	for (;;) {
		r = STEP(ctx, accept4, listener, NULL, NULL, O_CLOEXEC);
		if (r == -EINTR || r == -ECONNABORTED)
			continue;
		if (r < 0)
			return (int)r;
		connection = (int)r;
		r = same_user(ctx, listener, connection);
		if (r < 0)
			return (int)r;
		while (r == 1) {
			r = STEP(ctx, read, connection, &go, 1);
			if (r == 1)
				goto out;
			r = r == -EINTR;
		}
		SYS(close, connection); /* another user's, or killed before it said go: the next one may */
	}
out:
	SYS(close, listener);
	ctx->report = connection;
	return 0;
}
