/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the native program that is `orlop` and the shim's. */
#ifndef ORLOP_CLIENT_H
#define ORLOP_CLIENT_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "protocol.h"

/* A message: what it says, and the descriptors that came with it. */
struct message {
	struct call_op op;
	int32_t table[CALL_MOST_FDS];
	int fds[CALL_MOST_FDS];
	int fd_count;
};

/* Where a program's planner is: a variable that names its socket, and the socket's usual name. */
struct planner {
	const char *variable;
	const char *socket;
};

/* channel.c: false is the end of the connection, or what makes it useless. */
int channel_connect(const struct planner *planner);
bool channel_wait_long(int channel);
bool channel_receive(int channel, struct message *message);
bool channel_send(int channel, const void *data, size_t size, const int *fds, int count);
void message_close(struct message *message);

/* request.c: false where this call can't be described, and has to be done cold. */
bool request_send(int channel, const char *program, int argc, char *const *argv);

/* children.c: the answers to CALL_SPAWN, CALL_RUN and CALL_WAIT; spawn's pidfd is the caller's to close. */
void child_spawn(const struct message *message, struct call_answer *answer, int *pidfd);
void child_run(const struct message *message, struct call_answer *answer);
void child_wait(const struct message *message, struct call_answer *answer);

/* The NUL-terminated texts of a file, as a list that ends with NULL. */
struct texts {
	char **list;
	char *content;
};
/* False where there are not so many, or no memory; to be freed in any case. */
bool texts_read(struct texts *texts, int fd, int count);
void texts_free(struct texts *texts);

/* foreground.c */
int foreground_begin(bool subreaper);
void foreground_attach(int master);
void foreground_restore(void);
int foreground_serve(pid_t pid);

#endif
