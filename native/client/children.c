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
	strncpy(answer->step, step, sizeof(answer->step) - 1);
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

char **texts_read(int fd, int count)
{
	struct stat status;
	char **texts, *content, *end;
	ssize_t size = -1;

	if (fstat(fd, &status) < 0 || count < 0)
		return NULL;
	texts = calloc((size_t)count + 1, sizeof(*texts));
	content = malloc((size_t)status.st_size + 1);
	if (texts && content)
		size = pread(fd, content, (size_t)status.st_size, 0);
	if (size != status.st_size) {
		free(texts);
		free(content);
		return NULL;
	}
	content[size] = '\0';
	end = content + size;
	for (int i = 0; i < count; i++, content += strlen(content) + 1) {
		if (content >= end) {
			free(texts);
			return NULL;
		}
		texts[i] = content;
	}
	return texts;
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

void child_run(const struct message *message, struct call_answer *answer)
{
	int arguments = (int)message->op.numbers[0], variables = (int)message->op.numbers[1];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **texts, **args;
	pid_t pid;
	int error;

	if (message->fd_count != 5 || arguments < 0 || variables < 0) {
		fail(answer, "posix_spawn", EBADMSG);
		return;
	}
	texts = texts_read(message->fds[0], 1 + arguments + variables);
	args = calloc((size_t)arguments + 1, sizeof(*args));
	if (!texts || !args) {
		fail(answer, "posix_spawn", ENOMEM);
		free(args);
		return;
	}
	memcpy(args, texts + 1, (size_t)arguments * sizeof(*args));
	error = prepare(&actions, &attributes, message->fds);
	if (!error)
		error = posix_spawn(&pid, texts[0], &actions, &attributes, args, texts + 1 + arguments);
	if (error)
		fail(answer, "posix_spawn", error);
	else
		answer->value = pid;
	free(args);
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
