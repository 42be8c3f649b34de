/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to a warm planner: found, checked, and its messages. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

/* The variable names the socket; empty, it forbids the planner. Returns false for none. */
static bool socket_path(const struct planner *planner, char *path, size_t size)
{
	const char *given = getenv(planner->variable);
	const char *directory = getenv("XDG_RUNTIME_DIR");
	int length;

	if (given)
		length = snprintf(path, size, "%s", given);
	else if (geteuid() == 0)
		length = snprintf(path, size, "/run/%s", planner->socket);
	else if (directory && directory[0] == '/')
		length = snprintf(path, size, "%s/%s", directory, planner->socket);
	else
		return false;
	return length > 0 && (size_t)length < size;
}

static bool set_timeout(int fd, int option, long milliseconds)
{
	struct timeval time = { .tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000 };

	return setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time)) == 0;
}

/*
 * A connection to our own user's planner, or -1. Where its queue is full
 * (SO_SNDTIMEO limits connect(2), too: unix(7)), or nobody answers for a second,
 * a cold start is quicker.
 */
int channel_connect(const struct planner *planner)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd;

	if (!socket_path(planner, address.sun_path, sizeof(address.sun_path)))
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (!set_timeout(fd, SO_SNDTIMEO, 100) || !set_timeout(fd, SO_RCVTIMEO, 1000) ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Once the worker has said that it is at work, it may take any time. */
bool channel_wait_long(int channel)
{
	return set_timeout(channel, SO_RCVTIMEO, 0) && set_timeout(channel, SO_SNDTIMEO, 0);
}

static void take_descriptors(struct msghdr *header, struct message *message)
{
	struct cmsghdr *each;

	message->fd_count = 0;
	for (each = CMSG_FIRSTHDR(header); each; each = CMSG_NXTHDR(header, each)) {
		if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS)
			continue;
		message->fd_count = (int)((each->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(message->fds, CMSG_DATA(each), (size_t)message->fd_count * sizeof(int));
	}
}

static bool is_whole(const struct message *message, size_t size, int flags)
{
	size_t expected = sizeof(message->op) + (size_t)message->op.count * sizeof(int32_t);
	uint32_t i;

	if (size < sizeof(message->op) || message->op.count > CALL_MOST_FDS || size != expected)
		return false;
	if (flags & (MSG_TRUNC | MSG_CTRUNC))
		return false;
	for (i = 0; i < message->op.count; i++)
		if (message->table[i] < -1 || message->table[i] >= message->fd_count)
			return false;
	return true;
}

bool channel_receive(int channel, struct message *message)
{
	struct iovec parts[2] = {
		{ &message->op, sizeof(message->op) },
		{ message->table, sizeof(message->table) },
	};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(message->fds))];
	struct msghdr header = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t size;

	do
		size = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (size <= 0)
		return false;
	take_descriptors(&header, message);
	if (is_whole(message, (size_t)size, header.msg_flags))
		return true;
	message_close(message);
	return false;
}

void message_close(struct message *message)
{
	while (message->fd_count > 0)
		close(message->fds[--message->fd_count]);
}

bool channel_send(int channel, const void *data, size_t size, const int *fds, int count)
{
	struct iovec part = { (void *)data, size };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * (CALL_MOST_FDS + 2))];
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t sent;

	if (count > 0) {
		size_t length = (size_t)count * sizeof(int);
		struct cmsghdr *first;

		memset(control, 0, sizeof(control));
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(length);
		first = CMSG_FIRSTHDR(&header);
		if (!first)
			return false;
		first->cmsg_level = SOL_SOCKET;
		first->cmsg_type = SCM_RIGHTS;
		first->cmsg_len = CMSG_LEN(length);
		memcpy(CMSG_DATA(first), fds, length);
	}
	do
		sent = sendmsg(channel, &header, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)size;
}
