/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native `orlop` as a function of bytes: messages of a worker, and the texts that come with them.
 *
 * Nothing is started: posix_spawn(3), waitpid(2) and the init's start are functions of this file,
 * which read all that they are given, for the address sanitizer to see. The input is a count of
 * descriptors, a length and so many bytes of texts, and behind them the message.
 *
 * With libFuzzer (scripts/fuzz.sh), or with STANDALONE on files, for compilers without it.
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../native/client/client.h"
#include "../../native/host/spawn.h"

enum { MOST_FDS = 8, MOST_BYTES = 4096 };

int fuzz_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attributes, char *const *args, char *const *env);
pid_t fuzz_waitpid(pid_t pid, int *status, int options);
int fuzz_orlop_spawn(struct spawn *spawn);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sum;
static int kinds[CALL_SERVE + 1]; /* of the messages that were whole */

int fuzz_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attributes, char *const *args, char *const *env)
{
	(void)actions;
	(void)attributes;
	sum += strlen(path);
	for (; *args; args++)
		sum += strlen(*args);
	for (; *env; env++)
		sum += strlen(*env);
	*pid = 1;
	return 0;
}

pid_t fuzz_waitpid(pid_t pid, int *status, int options)
{
	(void)options;
	if (pid <= 0)
		abort(); /* "any child" is the init's, too */
	*status = 0;
	return pid;
}

int fuzz_orlop_spawn(struct spawn *spawn)
{
	for (int i = 0; i < spawn->fd_count; i++)
		sum += (size_t)spawn->fds[i];
	spawn->pidfd = -1;
	return 1;
}

static void act(const struct message *message)
{
	struct call_answer answer = { 0 };
	struct texts words;
	int pidfd = -1;

	if (message->op.kind <= CALL_SERVE)
		kinds[message->op.kind]++;
	if (message->op.kind == CALL_SPAWN)
		child_spawn(message, &answer, &pidfd);
	if (message->op.kind == CALL_RUN)
		child_run(message, &answer);
	if (message->op.kind == CALL_WAIT)
		child_wait(message, &answer);
	if (message->op.kind == CALL_SERVE && message->fd_count == 1) {
		if (texts_read(&words, message->fds[0], (int)message->op.numbers[1]))
			for (char **each = words.list; *each; each++)
				sum += strlen(*each);
		texts_free(&words);
	}
	if (memchr(answer.step, '\0', sizeof(answer.step)) == NULL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int count = size > 2 ? data[0] % (MOST_FDS + 1) : 0, fds[MOST_FDS], ends[2];
	size_t length = size > 2 ? data[1] : 0;
	static struct message message;

	if (size < 3 || size - 2 < length || size > MOST_BYTES)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		abort();
	for (int i = 0; i < count; i++) {
		fds[i] = memfd_create("texts", MFD_CLOEXEC);
		if (fds[i] < 0 || pwrite(fds[i], data + 2, length, 0) != (ssize_t)length)
			abort();
	}
	if (channel_send(ends[0], data + 2 + length, size - 2 - length, fds, count) &&
	    channel_receive(ends[1], &message)) {
		act(&message);
		message_close(&message);
	}
	for (int i = 0; i < count; i++)
		close(fds[i]);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

#ifdef STANDALONE
int main(int argc, char **argv)
{
	static uint8_t data[MOST_BYTES];
	int first = dup(0), last;

	close(first);
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "re");
		size_t size = file ? fread(data, 1, sizeof(data), file) : 0;
		uint8_t *exact = malloc(size + !size);

		if (!file || !exact)
			return 1;
		fclose(file);
		memcpy(exact, data, size);
		LLVMFuzzerTestOneInput(exact, size);
		free(exact);
	}
	last = dup(0);
	printf("%d %d %d %d %d\n", argc - 1, last - first, kinds[CALL_SPAWN], kinds[CALL_RUN], kinds[CALL_SERVE]);
	return 0;
}
#endif
