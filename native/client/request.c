/* SPDX-License-Identifier: Apache-2.0 */
/* This call, as the worker needs it: arguments, environment, umask, working directory, descriptors. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"

extern char **environ;

/* Our open descriptors but `ours` and what lists them. Returns their count, or -1: too many, no /proc. */
static int open_descriptors(int ours, int *found, int most)
{
	DIR *list = opendir("/proc/self/fd");
	struct dirent *entry;
	int count = 0;

	if (!list)
		return -1;
	while ((entry = readdir(list))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == ours || fd == dirfd(list))
			continue;
		if (count == most) {
			count = -1;
			break;
		}
		found[count++] = fd;
	}
	closedir(list);
	return count;
}

static void write_list(FILE *file, int count, char *const *texts)
{
	fprintf(file, "%d%c", count, 0);
	for (int i = 0; i < count; i++)
		fprintf(file, "%s%c", texts[i], 0);
}

static int length_of(char *const *texts)
{
	int count = 0;

	while (texts[count])
		count++;
	return count;
}

static void write_request(FILE *file, const char *program, int argc, char *const *argv, const int *fds, int count)
{
	mode_t mask = umask(0);

	umask(mask);
	fprintf(file, "%d%c%s%c%d%c%d%c", CALL_PROTOCOL, 0, program, 0, (int)mask, 0, count, 0);
	for (int i = 0; i < count; i++)
		fprintf(file, "%d%c", fds[i], 0);
	write_list(file, argc - 1, argv + 1);
	write_list(file, length_of(environ), environ);
}

static int request_file(const char *program, int argc, char *const *argv, const int *fds, int count)
{
	int fd = memfd_create("orlop-request", MFD_CLOEXEC);
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *file = copy < 0 ? NULL : fdopen(copy, "w");
	bool failed;

	if (!file) {
		if (copy >= 0)
			close(copy);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	write_request(file, program, argc, argv, fds, count);
	failed = ferror(file);
	if (fclose(file) != 0 || failed) {
		close(fd);
		return -1;
	}
	return fd;
}

bool request_send(int channel, const char *program, int argc, char *const *argv)
{
	int fds[2 + CALL_MOST_FDS];
	int count = open_descriptors(channel, fds + 2, CALL_MOST_FDS - 2);
	bool sent = false;

	if (count < 0)
		return false;
	fds[0] = request_file(program, argc, argv, fds + 2, count);
	fds[1] = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fds[0] >= 0 && fds[1] >= 0)
		sent = channel_send(channel, "", 1, fds, 2 + count);
	if (fds[0] >= 0)
		close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	return sent;
}
