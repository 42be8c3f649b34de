/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile process does while the runtime works beside it; static, as
 * the probe is. Each goes on until its standard input ends, and then prints
 * what it saw, a line each, so that a test can tell a harmless attack from one
 * that never ran.
 *
 *   attack swap A B   exchange two names (renameat2(2)), over and over
 *   attack look       reach into every other process through /proc
 *   attack send PID   signals that a handler must survive
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int goes_on(void)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };

	return poll(&input, 1, 0) == 0;
}

static int do_swap(char **names)
{
	long swaps = 0;

	puts("ready");
	fflush(stdout);
	while (goes_on())
		for (int i = 0; i < 100; i++)
			swaps += !renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE);
	printf("swaps %ld\n", swaps);
	return 0;
}

struct seen {
	long tries;
	long inits; /* looked at while it was the runtime's, not yet the user's program */
	char self[64];
};

static void read_name(const char *pid, char *name, size_t size)
{
	char path[300];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, name, size - 1);
		close(fd);
	}
	name[n > 0 ? n : 0] = 0;
}

/* Opening one that belongs to a program of this container is nobody's loss: it is `attack` too. */
static void reach(struct seen *seen, const char *pid, const char *what, int flags)
{
	char path[600], link[300] = "", name[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
	read_name(pid, name, sizeof(name));
	seen->tries++;
	if (!*name)
		goto out;
	if (strcmp(name, seen->self))
		seen->inits++;
	if (fd >= 0 && strcmp(name, seen->self)) {
		if (readlink(path, link, sizeof(link) - 1) < 0)
			strcpy(link, "?");
		printf("reached %s of %s: %s\n", what, strtok(name, "\n"), link);
		fflush(stdout);
	}
out:
	if (fd >= 0)
		close(fd);
}

static void reach_descriptors(struct seen *seen, const char *pid)
{
	char path[300], what[300];
	struct dirent *entry;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	directory = opendir(path);
	if (!directory)
		return;
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.') {
			snprintf(what, sizeof(what), "fd/%s", entry->d_name);
			reach(seen, pid, what, O_PATH);
		}
	closedir(directory);
}

static int do_look(char **names)
{
	static const char *const places[] = { "cwd/.", "root/.", "ns/mnt", "exe" };
	static const char *const texts[] = { "maps", "environ", "mem", "auxv" };
	struct seen seen = { 0 };
	struct dirent *entry;
	DIR *proc;

	(void)names;
	read_name("self", seen.self, sizeof(seen.self));
	puts("ready");
	fflush(stdout);
	while (goes_on()) {
		proc = opendir("/proc");
		while (proc && (entry = readdir(proc))) {
			if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || atoi(entry->d_name) == getpid())
				continue;
			for (size_t i = 0; i < 4; i++) {
				reach(&seen, entry->d_name, places[i], O_PATH);
				reach(&seen, entry->d_name, texts[i], O_RDONLY);
			}
			reach(&seen, entry->d_name, "exe", O_WRONLY);
			reach_descriptors(&seen, entry->d_name);
		}
		closedir(proc);
	}
	printf("tries %ld\ninits %ld\n", seen.tries, seen.inits);
	return 0;
}

static int do_send(char **names)
{
	static const int signals[] = { SIGCHLD, SIGWINCH, SIGCONT, SIGURG };
	int pid = atoi(names[0]);
	long sent = 0;

	puts("ready");
	fflush(stdout);
	while (goes_on())
		for (size_t i = 0; i < 4; i++)
			sent += !kill(pid, signals[i]);
	printf("sent %ld\n", sent);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "swap"))
		return do_swap(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "look"))
		return do_look(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "send"))
		return do_send(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "true"))
		return 0;
	fprintf(stderr, "attack: swap A B | look | send PID | true\n");
	return 2;
}
