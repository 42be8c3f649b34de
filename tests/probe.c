/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program inside the tests' containers: static, so that a root file
 * system needs nothing else. `probe FACT [ARGUMENT...]` prints what a process
 * in the container sees as plain text, a fact a line; an error goes to
 * standard error with the call's name, and the status is 1. Several facts may
 * follow each other, separated by "--": one container answers them all.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int failed(const char *call, const char *what)
{
	fprintf(stderr, "probe: %s: %s: %s\n", call, what, strerror(errno));
	return 1;
}

static long number(const char *text)
{
	char *end;
	long value = strtol(text, &end, 0);

	if (*end || end == text) {
		fprintf(stderr, "probe: %s: not a number\n", text);
		exit(2);
	}
	return value;
}

/* ---- files ---- */

static int copy(int from, int to)
{
	char buffer[65536];
	ssize_t n;

	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(to, buffer + done, (size_t)(n - done));

			if (w < 0)
				return failed("write", "output");
			done += w;
		}
	return n < 0 ? failed("read", "input") : 0;
}

static int print_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int status;

	if (fd < 0)
		return failed("open", path);
	fflush(stdout);
	status = copy(fd, STDOUT_FILENO);
	close(fd);
	return status;
}

static int do_cat(int argc, char **argv)
{
	int status = 0;

	for (int i = 1; i < argc; i++)
		status |= print_file(argv[i]);
	return status;
}

/* write FILE TEXT: makes the file if it isn't there. */
static int do_write(int argc, char **argv)
{
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	size_t length = argc > 2 ? strlen(argv[2]) : 0;

	if (fd < 0)
		return failed("open", argv[1]);
	if (write(fd, argc > 2 ? argv[2] : "", length) != (ssize_t)length)
		return failed("write", argv[1]);
	return close(fd) ? failed("close", argv[1]) : 0;
}

/* save FILE: standard input, at the end of FILE. As a hook it keeps the state that it was given. */
static int do_save(int argc, char **argv)
{
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	(void)argc;
	if (fd < 0)
		return failed("open", argv[1]);
	if (copy(STDIN_FILENO, fd))
		return 1;
	return close(fd) ? failed("close", argv[1]) : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int do_ls(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : ".";
	DIR *directory = opendir(path);
	char *names[4096];
	size_t count = 0;

	if (!directory)
		return failed("opendir", path);
	for (struct dirent *e; (e = readdir(directory)) && count < 4096;)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			names[count++] = strdup(e->d_name);
	closedir(directory);
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++) {
		puts(names[i]);
		free(names[i]);
	}
	return 0;
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "directory";
	case S_IFLNK: return "link";
	case S_IFCHR: return "char";
	case S_IFBLK: return "block";
	case S_IFIFO: return "fifo";
	case S_IFSOCK: return "socket";
	default: return "unknown";
	}
}

/* stat PATH...: type, permissions, owner, device number, size. Links aren't followed. */
static int do_stat(int argc, char **argv)
{
	struct stat s;

	for (int i = 1; i < argc; i++) {
		if (lstat(argv[i], &s))
			return failed("lstat", argv[i]);
		printf("%s %s %04o %u:%u %u:%u %jd\n", argv[i], type_name(s.st_mode),
		       s.st_mode & 07777, s.st_uid, s.st_gid, major(s.st_rdev), minor(s.st_rdev),
		       (intmax_t)s.st_size);
	}
	return 0;
}

static int do_readlink(int argc, char **argv)
{
	char target[4096];

	for (int i = 1; i < argc; i++) {
		ssize_t n = readlink(argv[i], target, sizeof(target) - 1);

		if (n < 0)
			return failed("readlink", argv[i]);
		target[n] = 0;
		puts(target);
	}
	return 0;
}

/* access PATH...: which of r, w, x (as the effective user) the kernel grants. */
static int do_access(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		printf("%s %s%s%s\n", argv[i],
		       faccessat(AT_FDCWD, argv[i], R_OK, AT_EACCESS) ? "-" : "r",
		       faccessat(AT_FDCWD, argv[i], W_OK, AT_EACCESS) ? "-" : "w",
		       faccessat(AT_FDCWD, argv[i], X_OK, AT_EACCESS) ? "-" : "x");
	return 0;
}

static int do_mkdir(int argc, char **argv)
{
	(void)argc;
	return mkdir(argv[1], 0755) ? failed("mkdir", argv[1]) : 0;
}

static void print_attempt(const char *name, int result)
{
	printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "ok");
	if (result > 0)
		close(result);
}

/* device c|b MAJOR MINOR: may the node be made; opened to read, to write, for both? */
static int do_device(int argc, char **argv)
{
	mode_t type = argv[1][0] == 'b' ? S_IFBLK : S_IFCHR;
	char path[32];

	(void)argc;
	snprintf(path, sizeof(path), "/tmp/device-%d", getpid());
	print_attempt("mknod", mknod(path, type | 0600, makedev(number(argv[2]), number(argv[3]))));
	print_attempt("read", open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	print_attempt("write", open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC));
	print_attempt("both", open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC));
	unlink(path);
	return 0;
}

static int do_rm(int argc, char **argv)
{
	(void)argc;
	return remove(argv[1]) ? failed("remove", argv[1]) : 0;
}

/* ---- identity and limits ---- */

static int do_hostname(int argc, char **argv)
{
	char name[65] = "";

	(void)argc, (void)argv;
	if (gethostname(name, sizeof(name) - 1))
		return failed("gethostname", "");
	puts(name);
	return 0;
}

static int do_domainname(int argc, char **argv)
{
	char name[65] = "";

	(void)argc, (void)argv;
	if (getdomainname(name, sizeof(name) - 1))
		return failed("getdomainname", "");
	puts(name);
	return 0;
}

static int do_cwd(int argc, char **argv)
{
	char path[4096];

	(void)argc, (void)argv;
	/* The system call: glibc falls back on /proc, and hides "(unreachable)". */
	if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
		return failed("getcwd", "");
	puts(path);
	return 0;
}

static int do_args(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		puts(argv[i]);
	return 0;
}

static int do_env(int argc, char **argv)
{
	if (argc > 1) {
		const char *value = getenv(argv[1]);

		if (!value)
			return 1;
		puts(value);
		return 0;
	}
	for (char **e = environ; *e; e++)
		puts(*e);
	return 0;
}

static int do_id(int argc, char **argv)
{
	gid_t groups[65536];
	int count = getgroups(65536, groups);

	(void)argc, (void)argv;
	printf("uid %u\neuid %u\ngid %u\negid %u\ngroups", getuid(), geteuid(), getgid(),
	       getegid());
	for (int i = 0; i < count; i++)
		printf(" %u", groups[i]);
	puts("");
	return 0;
}

static int do_umask(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("%04o\n", umask(0));
	return 0;
}

/* The lines of /proc/self/status that begin with one of the names. */
static int print_status(const char *const *names)
{
	char line[4096];
	FILE *file = fopen("/proc/self/status", "re");

	if (!file)
		return failed("fopen", "/proc/self/status");
	while (fgets(line, sizeof(line), file))
		for (const char *const *name = names; *name; name++)
			if (!strncmp(line, *name, strlen(*name)) && line[strlen(*name)] == ':') {
				char *value = line + strlen(*name) + 1;

				printf("%s %s", *name, value + strspn(value, " \t"));
			}
	fclose(file);
	return 0;
}

static int do_caps(int argc, char **argv)
{
	static const char *const names[] = { "CapInh", "CapPrm",     "CapEff",	"CapBnd",
					     "CapAmb", "NoNewPrivs", "Seccomp", NULL };

	(void)argc, (void)argv;
	return print_status(names);
}

static int do_signals(int argc, char **argv)
{
	static const char *const names[] = {
		"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", NULL
	};

	(void)argc, (void)argv;
	return print_status(names);
}

static int do_rlimits(int argc, char **argv)
{
	static const char *const names[RLIM_NLIMITS] = {
		[RLIMIT_CPU] = "RLIMIT_CPU",	       [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
		[RLIMIT_DATA] = "RLIMIT_DATA",	       [RLIMIT_STACK] = "RLIMIT_STACK",
		[RLIMIT_CORE] = "RLIMIT_CORE",	       [RLIMIT_RSS] = "RLIMIT_RSS",
		[RLIMIT_NPROC] = "RLIMIT_NPROC",       [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
		[RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",   [RLIMIT_AS] = "RLIMIT_AS",
		[RLIMIT_LOCKS] = "RLIMIT_LOCKS",       [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
		[RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE", [RLIMIT_NICE] = "RLIMIT_NICE",
		[RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",     [RLIMIT_RTTIME] = "RLIMIT_RTTIME",
	};
	struct rlimit limit;

	(void)argc, (void)argv;
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		if (getrlimit(i, &limit))
			return failed("getrlimit", names[i]);
		printf("%s %jd %jd\n", names[i], (intmax_t)limit.rlim_cur,
		       (intmax_t)limit.rlim_max);
	}
	return 0;
}

/* sched: what sched_getattr(2) says of the program. */
static int do_sched(int argc, char **argv)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} a = { 0 };

	(void)argc, (void)argv;
	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0))
		return failed("sched_getattr", "");
	printf("policy %u\nflags %" PRIu64 "\nnice %d\npriority %u\nruntime %" PRIu64
	       "\ndeadline %" PRIu64 "\nperiod %" PRIu64 "\n",
	       a.policy, a.flags, a.nice, a.priority, a.runtime, a.deadline, a.period);
	return 0;
}

/* ioprio: class and level (ioprio_get(2)) of the program, then of its process group. */
static int do_ioprio(int argc, char **argv)
{
	(void)argc, (void)argv;
	for (int who = 1; who <= 2; who++) {
		long value = syscall(SYS_ioprio_get, who, 0);

		if (value < 0)
			return failed("ioprio_get", "");
		printf("%ld %ld\n", value >> 13, value & 7);
	}
	return 0;
}

static int do_affinity(int argc, char **argv)
{
	static const char *const names[] = { "Cpus_allowed_list", "Mems_allowed_list", NULL };

	(void)argc, (void)argv;
	return print_status(names);
}

/* mempolicy: mode with its flags, and the first 64 nodes (get_mempolicy(2)). */
static int do_mempolicy(int argc, char **argv)
{
	uint64_t nodes[16] = { 0 };
	int mode;

	(void)argc, (void)argv;
	if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof(nodes) * 8, NULL, 0))
		return failed("get_mempolicy", "");
	printf("mode %#x\nnodes %#" PRIx64 "\n", (unsigned int)mode, nodes[0]);
	return 0;
}

static int do_machine(int argc, char **argv)
{
	struct utsname name;

	(void)argc, (void)argv;
	if (uname(&name))
		return failed("uname", "");
	puts(name.machine);
	return 0;
}

/* keyring: the session keyring's serial number, and its description (keyctl_describe(3)). */
static int do_keyring(int argc, char **argv)
{
	char text[1024] = "";
	long serial = syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3 /* session */, 0);

	(void)argc, (void)argv;
	if (serial < 0 || syscall(SYS_keyctl, 6 /* DESCRIBE */, serial, text, sizeof(text) - 1) < 0)
		return failed("keyctl", "");
	printf("serial %ld\ndescription %s\n", serial, text);
	return 0;
}

static int do_pid(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("pid %d\nppid %d\npgid %d\nsid %d\n", getpid(), getppid(), getpgid(0), getsid(0));
	return 0;
}

static int do_mounts(int argc, char **argv)
{
	(void)argc, (void)argv;
	return print_file("/proc/self/mountinfo");
}

static int do_oom_score_adj(int argc, char **argv)
{
	(void)argc, (void)argv;
	return print_file("/proc/self/oom_score_adj");
}

static int do_ns(int argc, char **argv)
{
	static const char *const names[] = { "cgroup", "ipc",  "mnt",  "net",
					     "pid",    "time", "user", "uts" };
	char path[64], target[64];

	(void)argc, (void)argv;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		if (n < 0) {
			if (errno == ENOENT)
				continue; /* a kernel without this namespace */
			return failed("readlink", path);
		}
		target[n] = 0;
		puts(target);
	}
	return 0;
}

/* ---- descriptors and terminals ---- */

static int do_fds(int argc, char **argv)
{
	char path[64], target[4096];

	(void)argc, (void)argv;
	for (int fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		target[n < 0 ? 0 : n] = 0;
		printf("%d %s\n", fd, target);
	}
	return 0;
}

static int do_tty(int argc, char **argv)
{
	struct winsize size;
	char name[256];

	(void)argc, (void)argv;
	for (int fd = 0; fd < 3; fd++) {
		if (!isatty(fd)) {
			printf("%d -\n", fd);
			continue;
		}
		if (ttyname_r(fd, name, sizeof(name)))
			strcpy(name, "?");
		if (ioctl(fd, TIOCGWINSZ, &size))
			return failed("TIOCGWINSZ", name);
		printf("%d %s %ux%u\n", fd, name, size.ws_col, size.ws_row);
	}
	printf("controlling %s\n", tcgetsid(0) == getsid(0) ? "yes" : "no");
	return 0;
}

static int do_echo(int argc, char **argv)
{
	(void)argc, (void)argv;
	fflush(stdout);
	return copy(STDIN_FILENO, STDOUT_FILENO);
}

/* A socket connected to a path; -1 with errno where there is none. */
static int connected(int type, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	return fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) ? -1 : fd;
}

static int do_connect(int argc, char **argv)
{
	int fd = connected(SOCK_STREAM, argv[1]);

	(void)argc;
	if (fd < 0)
		return failed("connect", argv[1]);
	fflush(stdout);
	return copy(fd, STDOUT_FILENO);
}

/* notify TEXT...: each a datagram to NOTIFY_SOCKET (sd_notify(3)). */
static int do_notify(int argc, char **argv)
{
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = path ? connected(SOCK_DGRAM, path) : -1;

	if (fd < 0)
		return failed("connect", path ? path : "NOTIFY_SOCKET");
	for (int i = 1; i < argc; i++)
		if (send(fd, argv[i], strlen(argv[i]), 0) < 0)
			return failed("send", argv[i]);
	close(fd);
	return 0;
}

/* netif: name, index and flags of each interface. */
static int do_netif(int argc, char **argv)
{
	struct if_nameindex *all = if_nameindex();
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)argc, (void)argv;
	if (!all || fd < 0)
		return failed("if_nameindex", "");
	for (struct if_nameindex *i = all; i->if_name; i++) {
		struct ifreq request = { 0 };

		strncpy(request.ifr_name, i->if_name, IFNAMSIZ - 1);
		if (ioctl(fd, SIOCGIFFLAGS, &request))
			return failed("SIOCGIFFLAGS", i->if_name);
		printf("%s %u %s%s\n", i->if_name, i->if_index,
		       request.ifr_flags & IFF_UP ? "up" : "down",
		       request.ifr_flags & IFF_LOOPBACK ? " loopback" : "");
	}
	if_freenameindex(all);
	close(fd);
	return 0;
}

static int do_time(int argc, char **argv)
{
	struct timespec monotonic, boottime;

	(void)argc, (void)argv;
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	clock_gettime(CLOCK_BOOTTIME, &boottime);
	printf("monotonic %jd.%09ld\nboottime %jd.%09ld\n", (intmax_t)monotonic.tv_sec,
	       monotonic.tv_nsec, (intmax_t)boottime.tv_sec, boottime.tv_nsec);
	return 0;
}

/* ---- behaviour ---- */

static int do_true(int argc, char **argv)
{
	(void)argc, (void)argv;
	return 0;
}

static int do_exit(int argc, char **argv)
{
	exit(argc > 1 ? (int)number(argv[1]) : 0);
}

static int signal_number(const char *name)
{
	if (*name >= '0' && *name <= '9')
		return (int)number(name);
	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (int i = 1; i < 32; i++)
		if (!strcmp(sigabbrev_np(i), name))
			return i;
	fprintf(stderr, "probe: %s: not a signal\n", name);
	exit(2);
}

/* killself SIG: not as pid 1, which is immune to its own signals with their default action. */
static int do_killself(int argc, char **argv)
{
	int which = signal_number(argv[1]);

	(void)argc;
	signal(which, SIG_DFL);
	fflush(stdout);
	raise(which);
	return failed("raise", "survived");
}

/* sleep: until a signal ends it. As pid 1 only handled signals do, hence the handler. */
_Noreturn static void leave(int which)
{
	_exit(128 + which);
}

static int do_sleep(int argc, char **argv)
{
	(void)argc, (void)argv;
	signal(SIGTERM, leave);
	signal(SIGINT, leave);
	puts("ready");
	fflush(stdout);
	while (pause())
		;
	return 0;
}

/* trap SIG...: prints "ready", waits for one of the signals, prints its name. */
static int do_trap(int argc, char **argv)
{
	sigset_t set;
	int received;

	sigemptyset(&set);
	for (int i = 1; i < argc; i++)
		sigaddset(&set, signal_number(argv[i]));
	sigprocmask(SIG_BLOCK, &set, NULL);
	puts("ready");
	fflush(stdout);
	if (sigwait(&set, &received))
		return failed("sigwait", "");
	printf("SIG%s\n", sigabbrev_np(received));
	return 0;
}

/* mem N: touches N KiB of anonymous memory. */
static int do_mem(int argc, char **argv)
{
	size_t size = (size_t)number(argv[1]) * 1024;
	volatile char *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argc;
	if (memory == MAP_FAILED)
		return failed("mmap", argv[1]);
	for (size_t i = 0; i < size; i += 4096)
		memory[i] = 1;
	printf("touched %zu KiB\n", size / 1024);
	return 0;
}

/* fork N: keeps up to N children at once; prints how many there could be. */
static int do_fork(int argc, char **argv)
{
	long wanted = number(argv[1]), made = 0;
	int gate[2];
	char byte;

	(void)argc;
	fflush(stdout);
	if (pipe2(gate, O_CLOEXEC))
		return failed("pipe2", "");
	while (made < wanted) {
		pid_t child = fork();

		if (child < 0)
			break;
		if (!child) {
			close(gate[1]);
			_exit(read(gate[0], &byte, 1) != 0);
		}
		made++;
	}
	printf("forked %ld%s%s\n", made, made < wanted ? " " : "",
	       made < wanted ? strerrorname_np(errno) : "");
	close(gate[1]);
	while (wait(NULL) > 0)
		;
	return 0;
}

/* syscall NR [ARGUMENT...]: the raw call; prints its result, or the name of its error. */
static int do_syscall(int argc, char **argv)
{
	long a[7] = { 0 };

	for (int i = 1; i < argc && i < 8; i++)
		a[i - 1] = number(argv[i]);
	fflush(stdout);
	long result = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);

	if (result < 0)
		puts(strerrorname_np(errno) ?: "unknown");
	else
		printf("%ld\n", result);
	return 0;
}

static const struct {
	const char *name;
	int (*print)(int argc, char **argv);
	int needs; /* arguments */
} facts[] = {
	{ "access", do_access, 1 },
	{ "affinity", do_affinity, 0 },
	{ "args", do_args, 0 },
	{ "caps", do_caps, 0 },
	{ "cat", do_cat, 1 },
	{ "connect", do_connect, 1 },
	{ "cwd", do_cwd, 0 },
	{ "device", do_device, 3 },
	{ "domainname", do_domainname, 0 },
	{ "echo", do_echo, 0 },
	{ "env", do_env, 0 },
	{ "exit", do_exit, 0 },
	{ "fds", do_fds, 0 },
	{ "fork", do_fork, 1 },
	{ "hostname", do_hostname, 0 },
	{ "id", do_id, 0 },
	{ "ioprio", do_ioprio, 0 },
	{ "keyring", do_keyring, 0 },
	{ "killself", do_killself, 1 },
	{ "ls", do_ls, 0 },
	{ "machine", do_machine, 0 },
	{ "mem", do_mem, 1 },
	{ "mempolicy", do_mempolicy, 0 },
	{ "mkdir", do_mkdir, 1 },
	{ "mounts", do_mounts, 0 },
	{ "netif", do_netif, 0 },
	{ "notify", do_notify, 1 },
	{ "ns", do_ns, 0 },
	{ "oom_score_adj", do_oom_score_adj, 0 },
	{ "pid", do_pid, 0 },
	{ "readlink", do_readlink, 1 },
	{ "rlimits", do_rlimits, 0 },
	{ "rm", do_rm, 1 },
	{ "save", do_save, 1 },
	{ "sched", do_sched, 0 },
	{ "signals", do_signals, 0 },
	{ "sleep", do_sleep, 0 },
	{ "stat", do_stat, 1 },
	{ "syscall", do_syscall, 1 },
	{ "time", do_time, 0 },
	{ "trap", do_trap, 1 },
	{ "true", do_true, 0 },
	{ "tty", do_tty, 0 },
	{ "umask", do_umask, 0 },
	{ "write", do_write, 1 },
};

static int print_fact(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++)
		if (!strcmp(facts[i].name, argv[0]) && argc > facts[i].needs)
			return facts[i].print(argc, argv);
	fprintf(stderr, "probe: %s: no such fact, or an argument is missing\n", argv[0]);
	return 2;
}

int main(int argc, char **argv)
{
	int status = 0;

	for (int first = 1, next; first < argc; first = next + 1) {
		for (next = first; next < argc && strcmp(argv[next], "--"); next++)
			;
		if (next == first)
			continue;
		argv[next] = NULL;
		status = print_fact(next - first, argv + first);
		if (status)
			break;
	}
	return fflush(stdout) ? failed("write", "output") : status;
}
