/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to be this process's child: the container's init, which goes to whoever
 * adopts our orphans (containerd's shim, conmon), and hooks, which inherit our
 * cgroup, resource limits and namespaces.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../host/spawn.h"
#include "client.h"

static void fail(struct call_answer *answer, const char *step, int error)
{
	answer->error = error;
	snprintf(answer->step, sizeof(answer->step), "%s", step);
}

/* Descriptors: the executable, a cgroup if there is one, then those of the table. */
void child_spawn(const struct message *message, struct call_answer *answer, int *pidfd)
{
	const int64_t *numbers = message->op.numbers;
	bool has_cgroup = numbers[3] != 0;
	int32_t fds[CALL_MOST_FDS];
	struct spawn spawn = {
		.clone_flags = (uint64_t)numbers[0],
		.flags = (int32_t)numbers[1],
		.base = (int32_t)numbers[2],
		.fd_count = (int32_t)message->op.count,
		.fds = fds,
	};
	int pid;

	if (message->fd_count < 1 + has_cgroup) {
		fail(answer, "spawn", EBADMSG);
		return;
	}
	spawn.executable = message->fds[0];
	spawn.cgroup = has_cgroup ? message->fds[1] : -1;
	for (int i = 0; i < spawn.fd_count; i++)
		fds[i] = message->table[i] < 0 ? -1 : message->fds[message->table[i]];
	pid = orlop_spawn(&spawn);
	if (pid < 0) {
		fail(answer, spawn.step, spawn.error);
		return;
	}
	answer->value = pid;
	*pidfd = spawn.pidfd;
}

static bool read_whole(int fd, char **content, size_t *size)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return false;
	*size = (size_t)status.st_size;
	*content = calloc(1, *size + 1); /* the last text has its end in any case */
	return *content && pread(fd, *content, *size, 0) == status.st_size;
}

bool texts_read(struct texts *texts, int fd, int count)
{
	size_t size = 0, at = 0;

	*texts = (struct texts){ 0 };
	if (count < 0 || !read_whole(fd, &texts->content, &size) || (size_t)count > size)
		return false; /* a text has a byte at least: its NUL */
	texts->list = calloc((size_t)count + 1, sizeof(*texts->list));
	for (int i = 0; texts->list && i < count; i++, at += strlen(texts->content + at) + 1) {
		if (at >= size)
			return false;
		texts->list[i] = texts->content + at;
	}
	return texts->list != NULL;
}

void texts_free(struct texts *texts)
{
	free(texts->list);
	free(texts->content);
}

/* As runtime/caller.py starts one: what Python ignores is at its default, and no signal blocked. */
static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, const int *fds)
{
	sigset_t defaults, none;
	int error = posix_spawn_file_actions_init(actions);

	if (error)
		return error;
	error = posix_spawnattr_init(attributes);
	if (error)
		return error;
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGXFSZ);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &defaults);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	for (int i = 0; i < 3 && !error; i++)
		error = posix_spawn_file_actions_adddup2(actions, fds[2 + i], i);
	return error ? error : posix_spawn_file_actions_addfchdir_np(actions, fds[1]);
}

static int start_program(const struct message *message, char **texts, int arguments, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **args = calloc((size_t)arguments + 1, sizeof(*args));
	int error;

	if (!args)
		return ENOMEM;
	if (!texts[0]) {
		free(args);
		return EBADMSG;
	}
	memcpy(args, texts + 1, (size_t)arguments * sizeof(*args));
	error = prepare(&actions, &attributes, message->fds);
	if (!error)
		error = posix_spawn(pid, texts[0], &actions, &attributes, args, texts + 1 + arguments);
	free(args);
	return error;
}

/* Two of them and one more are an int. */
static bool is_count(int64_t number)
{
	return number >= 0 && number < 1 << 30;
}

void child_run(const struct message *message, struct call_answer *answer)
{
	const int64_t *numbers = message->op.numbers;
	struct texts texts = { 0 };
	pid_t pid = 0;
	int error = EBADMSG;

	if (message->fd_count == 5 && is_count(numbers[0]) && is_count(numbers[1]) &&
	    texts_read(&texts, message->fds[0], 1 + (int)numbers[0] + (int)numbers[1]))
		error = start_program(message, texts.list, (int)numbers[0], &pid);
	texts_free(&texts);
	if (error)
		fail(answer, "posix_spawn", error);
	else
		answer->value = pid;
}

void child_wait(const struct message *message, struct call_answer *answer)
{
	pid_t pid = (pid_t)message->op.numbers[0];
	int status;
	pid_t ended;

	if (pid <= 0) { /* never "any child" */
		fail(answer, "waitpid", ECHILD);
		return;
	}
	do
		ended = waitpid(pid, &status, 0);
	while (ended < 0 && errno == EINTR);
	if (ended < 0)
		fail(answer, "waitpid", errno);
	else
		answer->value = status;
}
