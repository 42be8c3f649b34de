/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process in the foreground, as runtime/foreground.py serves it: signals go to it,
 * its terminal is ours, its end is ours.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "client.h"

enum { CHUNK = 32768, SIGNALED = 128 };
enum { SIGNALS, MASTER, INPUT }; /* what is polled */

/* Not forwarded: what can't be blocked, what is ours, and faults of our own (signal(7)). */
static const int own[] = { SIGKILL, SIGSTOP, SIGPIPE, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTTIN, SIGTTOU };

static int signals = -1;
static int master = -1;
static bool raw, input_ended;
static struct termios saved;
static int guard_pipe = -1; /* its guard puts the terminal back when we end without a word */
static pid_t guard;

/* From now on signals wait for us instead of ending us. Returns 0, or -1 with errno. */
int foreground_begin(bool subreaper)
{
	sigset_t set;

	if (subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -1;
	sigfillset(&set);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		sigdelset(&set, own[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return signals < 0 ? -1 : 0;
}

/* Give the container's terminal the size of ours; one of no size is one that nobody sized. */
static void resize(void)
{
	struct winsize size;

	if (ioctl(0, TIOCGWINSZ, &size) == 0 && (size.ws_row || size.ws_col))
		ioctl(master, TIOCSWINSZ, &size);
}

/*
 * The guard, as runtime/terminal_guard.py: in a session of its own, so that what is
 * sent to our group is not meant for it, and no SIGTTOU stops it; with no descriptor
 * but the terminal's, so that nobody waits for it.
 */
static void watch(int reader, const struct termios *mode)
{
	struct termios now;
	char word;

	setsid();
	dup2(reader, 1);
	close_range(2, ~0U, 0);
	if (read(1, &word, 1) == 0 && tcgetattr(0, &now) == 0 && now.c_lflag == mode->c_lflag &&
	    now.c_iflag == mode->c_iflag && now.c_oflag == mode->c_oflag)
		tcsetattr(0, TCSANOW, &saved);
	_exit(0);
}

static void start_guard(const struct termios *mode)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return; /* the call goes on without: it is for its killing only */
	guard = fork();
	if (guard == 0)
		watch(ends[0], mode);
	close(ends[0]);
	guard_pipe = ends[1];
}

static void end_guard(void)
{
	if (guard_pipe < 0)
		return;
	if (write(guard_pipe, ".", 1) < 0) {
		/* it was killed itself */
	}
	close(guard_pipe);
	guard_pipe = -1;
	waitpid(guard, NULL, 0);
}

/* The container's terminal: from now on ours, if standard input is one, is in raw mode. */
void foreground_attach(int descriptor)
{
	struct termios mode;

	master = descriptor;
	if (tcgetattr(0, &mode) < 0)
		return;
	saved = mode;
	cfmakeraw(&mode);
	mode.c_cc[VMIN] = saved.c_cc[VMIN];
	mode.c_cc[VTIME] = saved.c_cc[VTIME];
	raw = tcsetattr(0, TCSANOW, &mode) == 0;
	if (raw)
		start_guard(&mode);
	resize();
}

/* May be called at any time, and again. */
void foreground_restore(void)
{
	if (raw)
		tcsetattr(0, TCSADRAIN, &saved);
	raw = false;
	end_guard();
}

static bool write_all(int fd, const char *data, ssize_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, data, (size_t)size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		data += written;
		size -= written;
	}
	return true;
}

static void copy_input(struct pollfd *input)
{
	static const char end_of_file = 4; /* for the program, if its terminal is in canonical mode */
	char data[CHUNK];
	ssize_t size = read(0, data, sizeof(data));

	if (size > 0) {
		write_all(master, data, size);
		return;
	}
	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	input->fd = -1;
	if (!input_ended)
		write_all(master, &end_of_file, 1);
	input_ended = true;
}

/* False at the end of the container's terminal: EIO once its last slave was closed. */
static bool copy_output(void)
{
	char data[CHUNK];
	ssize_t size = read(master, data, sizeof(data));

	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	return size > 0 && write_all(1, data, size);
}

/* What the container wrote before it ended. */
static void drain(void)
{
	struct pollfd output = { master, POLLIN, 0 };

	while (poll(&output, 1, 0) > 0 && copy_output())
		;
}

static void forward(pid_t pid)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGWINCH && master >= 0)
			resize();
		else if (info.ssi_signo != SIGCHLD)
			kill(pid, (int)info.ssi_signo); /* our child, not waited for: the pid is its own */
	}
}

/* Wait for whatever ended: a subreaper has others' children, too. True once it was `pid`. */
static bool reap(pid_t pid, int *result)
{
	int status;
	pid_t ended;

	while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
		if (ended == pid) {
			*result = WIFSIGNALED(status) ? SIGNALED + WTERMSIG(status) : WEXITSTATUS(status);
			return true;
		}
	}
	*result = 1;
	return ended < 0 && errno == ECHILD;
}

/* Serve a child of ours until it ends. Returns its status as a shell has it. */
int foreground_serve(pid_t pid)
{
	struct pollfd polled[3] = { { signals, POLLIN, 0 }, { master, POLLIN, 0 }, { -1, POLLIN, 0 } };
	int status;

	if (master >= 0)
		polled[INPUT].fd = 0;
	while (!reap(pid, &status)) {
		if (poll(polled, 3, -1) < 0)
			continue;
		if (polled[SIGNALS].revents)
			forward(pid);
		if (polled[MASTER].revents && !copy_output())
			polled[MASTER].fd = -1;
		if (polled[INPUT].revents)
			copy_input(&polled[INPUT]);
	}
	if (master >= 0)
		drain();
	foreground_restore();
	return status;
}
