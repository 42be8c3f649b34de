/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `orlop`, as it is called, and `containerd-shim-orlop-v1`: one program, which goes by its name. Where a warm
 * planner of our own user is running, it decides and this program does what only it can do; where none is, or it
 * says that something differs, NAME-cold beside this program starts the interpreter, which does the same work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

enum { PATH_SIZE = 4096 };

static char self[PATH_SIZE]; /* this program: the planner's must be the same */
static char program[PATH_SIZE + sizeof("-cold")];
static const char *name; /* the last part of `self` */

static bool find_programs(void)
{
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (size <= 0)
		return false;
	self[size] = '\0';
	name = strrchr(self, '/') + 1;
	snprintf(program, sizeof(program), "%s-cold", self);
	return true;
}

static void cold(char **argv)
{
	execv(program, argv);
	fprintf(stderr, "%s: %s: %s\n", name, program, strerror(errno));
}

/* One operation and its answer; false where the connection is of no more use. */
static bool act(int channel, const struct message *message)
{
	struct call_answer answer = { 0 };
	int pidfd = -1;
	bool sent;

	switch (message->op.kind) {
	case CALL_SPAWN:
		child_spawn(message, &answer, &pidfd);
		break;
	case CALL_RUN:
		child_run(message, &answer);
		break;
	case CALL_WAIT:
		child_wait(message, &answer);
		break;
	case CALL_FOREGROUND:
		if (foreground_begin(message->op.numbers[0] != 0) < 0)
			answer.error = errno;
		break;
	case CALL_TERMINAL:
		if (message->fd_count == 1)
			foreground_attach(fcntl(message->fds[0], F_DUPFD_CLOEXEC, 3));
		break;
	default:
		return false;
	}
	sent = channel_send(channel, &answer, sizeof(answer), &pidfd, pidfd >= 0);
	if (pidfd >= 0)
		close(pidfd);
	return sent;
}

static int call(int argc, char **argv);

/* What remains to be done once the process has ended and the worker is gone, as a call of its own. */
static void finish(struct message *message)
{
	int count = (int)message->op.numbers[1];
	struct texts words = { 0 };
	bool given = message->fd_count == 1 && count > 0 && texts_read(&words, message->fds[0], count);
	pid_t child = -1;

	message_close(message);
	/* A child: neither may keep us from telling the status that we know. */
	if (given)
		child = fork();
	if (child == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		_exit(call(count, words.list));
	}
	if (child > 0)
		waitpid(child, NULL, 0);
	texts_free(&words);
}

/* The worker's operations, until it is done: true, and its last message. */
static bool work(int channel, struct message *message)
{
	while (channel_receive(channel, message)) {
		if (message->op.kind == CALL_EXIT || message->op.kind == CALL_SERVE)
			return true;
		if (!act(channel, message))
			return false;
		message_close(message);
	}
	return false;
}

/* A process in the foreground, and what comes after it. Returns the exit status. */
static int serve_process(int channel, struct message *message)
{
	static struct message rest;
	int status = foreground_serve((pid_t)message->op.numbers[0]);

	if (message->fd_count == 0)
		return status;
	if (channel_send(channel, "", 1, NULL, 0) && work(channel, &rest) && rest.op.kind == CALL_EXIT) {
		message_close(message);
		return rest.op.numbers[0] ? (int)rest.op.numbers[0] : status;
	}
	close(channel);
	finish(message);
	return status;
}

/* The worker's operations. Returns the exit status. */
static int serve(int channel)
{
	static struct message message;

	if (!work(channel, &message)) {
		foreground_restore();
		fprintf(stderr, "%s: the planner ended before the work was done\n", name);
		return 1;
	}
	if (message.op.kind == CALL_SERVE)
		return serve_process(channel, &message);
	foreground_restore();
	return (int)message.op.numbers[0];
}

/* Hand the call to a planner; false where it is to be done cold. */
static bool accepted(int channel, int argc, char **argv)
{
	static struct message message;

	return channel_receive(channel, &message) && message.op.kind == CALL_HELLO &&
	       message.op.numbers[0] == CALL_PROTOCOL && request_send(channel, self, argc, argv) &&
	       channel_receive(channel, &message) && message.op.kind == CALL_ACCEPT && channel_wait_long(channel);
}

/*
 * What only the process itself can do: say when it began, pass on what a container says to a manager, and be
 * above what criu starts (a container of one of these names is done cold, too, and no worse for it).
 */
static bool command_line_is_its_own(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "restore") == 0 || strcmp(argv[i], "checkpoint") == 0)
			return true;
		if (strncmp(argv[i] + strspn(argv[i], "-"), "timeline", strlen("timeline")) == 0 && argv[i][0] == '-')
			return true;
	}
	return getenv("NOTIFY_SOCKET") != NULL;
}

/* Whatever comes to an end at once can be handed on; being a shim, a template or a planner can't. */
static bool shim_is_its_own(int argc, char **argv)
{
	const char *last = argv[argc - 1];

	return strcmp(last, "start") != 0 && strcmp(last, "delete") != 0 && strcmp(last, "-info") != 0;
}

/* The first is what a program of any other name is. */
static const struct face {
	const char *name;
	struct planner planner;
	bool (*is_its_own)(int argc, char **argv);
} faces[] = {
	{ "orlop", { "ORLOP_PLANNER", "orlop-planner.sock" }, command_line_is_its_own },
	{ "containerd-shim-orlop-v1", { "ORLOP_SHIM_PLANNER", "orlop-shim-planner.sock" }, shim_is_its_own },
};

static const struct face *find_face(void)
{
	for (size_t i = 1; i < sizeof(faces) / sizeof(*faces); i++)
		if (strcmp(name, faces[i].name) == 0)
			return &faces[i];
	return &faces[0];
}

static int call(int argc, char **argv)
{
	const struct face *face = find_face();
	int channel = face->is_its_own(argc, argv) ? -1 : channel_connect(&face->planner);

	if (channel >= 0 && accepted(channel, argc, argv))
		return serve(channel);
	if (channel >= 0)
		close(channel);
	cold(argv);
	return 1;
}

int main(int argc, char **argv)
{
	if (!find_programs()) {
		fprintf(stderr, "%s: /proc/self/exe: %s\n", argc > 0 ? argv[0] : "orlop", strerror(errno));
		return 1;
	}
	return call(argc, argv);
}
