/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: what no runtime can do without. `floor ROOTFS PROGRAM` clones a
 * process into new namespaces, makes the default mounts below ROOTFS, changes
 * the root, executes PROGRAM and waits for it. No configuration, no state, no
 * cgroup, no capability, no filter: whatever a runtime does beyond this is its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

struct mounted {
	const char *type, *target;
	unsigned long flags;
	const char *data;
};

/* `orlop spec`'s, and runc's. */
static const struct mounted mounts[] = {
	{ "proc", "proc", 0, "" },
	{ "tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k" },
	{ "devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620" },
	{ "tmpfs", "dev/shm", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k" },
	{ "mqueue", "dev/mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, "" },
	{ "sysfs", "sys", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, "" },
};

static const struct {
	const char *name;
	unsigned int major, minor;
} devices[] = {
	{ "dev/null", 1, 3 },	{ "dev/zero", 1, 5 },	 { "dev/full", 1, 7 },
	{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
};

static void need(long result, const char *call)
{
	if (result >= 0)
		return;
	fprintf(stderr, "floor: %s: %s\n", call, strerror(errno));
	_exit(125);
}

static void make_devices(void)
{
	umask(0);
	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++)
		need(mknod(devices[i].name, S_IFCHR | 0666,
			   makedev(devices[i].major, devices[i].minor)),
		     devices[i].name);
}

static void enter(const char *rootfs)
{
	need(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "slave");
	need(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), "bind");
	need(chdir(rootfs), "chdir");
	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		const struct mounted *m = &mounts[i];

		if (strchr(m->target, '/'))
			need(mkdir(m->target, 0755), m->target);
		need(mount(m->type, m->target, m->type, m->flags, m->data), m->target);
	}
	make_devices();
	need(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	need(umount2(".", MNT_DETACH), "umount");
	need(chdir("/"), "chdir");
}

int main(int argc, char **argv)
{
	struct clone_args args = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWCGROUP,
		.exit_signal = SIGCHLD,
	};
	int status;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: floor ROOTFS PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	need(pid, "clone3");
	if (!pid) {
		char *none[] = { NULL };

		enter(argv[1]);
		execve(argv[2], argv + 2, none);
		need(-1, argv[2]);
	}
	need(waitpid(pid, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
