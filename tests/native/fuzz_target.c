/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orlop-init as a function of bytes: the plan, and what a kernel answers.
 *
 * The init's files are compiled with -Dsyscall=fuzz_kernel (sys.h, ORLOP_HOSTED), so that no
 * operation touches the machine, and a fuzzer tries tens of thousands of plans a second. The
 * input is a plan (as long as its header says), and behind it a byte for each answer; where they
 * end, the kernel says yes. The plan is copied to memory of its exact size, and all that the init
 * hands to the kernel is read here, for the address sanitizer to see.
 *
 * With libFuzzer (scripts/fuzz.sh), or with STANDALONE on files, for compilers without it.
 */
#include <errno.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "../../native/plan.h"

enum { BASE = 3, MAX_CALLS = 3000, MAX_MAPS = 64, MAX_MAP = 1 << 24 };

long fuzz_kernel(long number, ...);
int init_main(int argc, char **argv);
struct context;
int start_deputy(struct context *ctx);
void wait_for_deputy(struct context *ctx);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static jmp_buf ended;
static const uint8_t *plan, *answers;
static size_t plan_size, answers_left;
static void *maps[MAX_MAPS];
static int map_count, calls, has_plan;
static volatile unsigned int sum;

/* The filter that notifies needs a thread; tests/native/test_privilege.py has it. */
int start_deputy(struct context *ctx)
{
	(void)ctx;
	return -ENOSYS;
}

void wait_for_deputy(struct context *ctx)
{
	(void)ctx;
}

static unsigned int answer(void)
{
	if (!answers_left)
		return 0;
	answers_left--;
	return *answers++;
}

static void look_at(const void *memory, size_t size)
{
	const uint8_t *p = memory;

	for (size_t i = 0; p && i < size; i++)
		sum += p[i];
}

static void look_at_text(long address)
{
	if (address)
		sum += (unsigned int)strlen((const char *)address);
}

static void look_at_list(long address)
{
	for (char **list = (char **)address; list && *list; list++)
		look_at_text((long)*list);
}

static long fill(void *memory, size_t room, size_t otherwise)
{
	uint8_t *p = memory;
	size_t n = answers_left ? answer() : otherwise;

	if (n > room)
		n = room;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)answer();
	return (long)n;
}

static long map(size_t length, int fd)
{
	void *memory;

	if (map_count == MAX_MAPS || length > MAX_MAP)
		return -ENOMEM;
	memory = calloc(1, length ? length : 1);
	if (fd >= 0)
		memcpy(memory, plan, length < plan_size ? length : plan_size);
	maps[map_count++] = memory;
	return (long)memory;
}

static long receive_plan(struct msghdr *header)
{
	struct cmsghdr *control = header->msg_control;

	has_plan = 1;
	*(uint32_t *)header->msg_iov->iov_base = 1;
	*control = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	*(int *)(void *)CMSG_DATA(control) = BASE + 1;
	return sizeof(uint32_t);
}

static long receive(struct msghdr *header)
{
	struct plan_answer *to = header->msg_iov->iov_base;
	unsigned int kind = answer();
	struct cmsghdr *control = header->msg_control;

	memset(to, 0, sizeof(*to));
	to->error = kind == 1;
	if (kind & 2) {
		control->cmsg_len = CMSG_LEN(sizeof(int));
		control->cmsg_level = SOL_SOCKET;
		control->cmsg_type = SCM_RIGHTS;
		*(int *)(void *)CMSG_DATA(control) = 50;
	} else {
		header->msg_controllen = 0;
	}
	return kind == 4 ? 0 : (long)sizeof(*to);
}

static void look_at_message(const struct msghdr *header)
{
	look_at(header->msg_iov->iov_base, header->msg_iov->iov_len);
	look_at(header->msg_control, header->msg_controllen);
}

static long list_directory(uint8_t *to)
{
	static const uint8_t entry[24] = { [16] = 24, [18] = 8, [19] = 'n' };

	if (!(answer() & 1))
		return 0;
	memcpy(to, entry, sizeof(entry));
	return sizeof(entry);
}

static long describe(struct statx *st)
{
	static const uint16_t modes[] = { 0040755, 0100644, 0020666, 0120777, 0010644, 0060660 };
	unsigned int a = answer();

	memset(st, 0, sizeof(*st));
	st->stx_mode = modes[a % 6];
	st->stx_mnt_id = a >> 4;
	st->stx_rdev_major = 1;
	st->stx_rdev_minor = a & 8 ? 5 : 3;
	st->stx_size = (uint64_t)(a & 64 ? 1 << 20 : 3);
	return 0;
}

static long describe_file_system(struct statfs *st)
{
	static const long magic[] = { 0x9fa0, 0x1cd1, 0x62656572, 0x01021994 };

	memset(st, 0, sizeof(*st));
	st->f_type = magic[answer() % 4];
	return 0;
}

static long poll_all(struct pollfd *fds, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		fds[i].revents = fds[i].fd >= 0 && answer() % 2 == 0 ? POLLIN : 0;
	return answer() == 3 ? 0 : 1;
}

/* Paths and names among the arguments, a bit each. */
static unsigned int texts(long number)
{
	switch (number) {
	case SYS_chdir: case SYS_chroot: case SYS_sethostname: case SYS_setdomainname: case SYS_fsopen:
		return 1;
	case SYS_openat: case SYS_openat2: case SYS_open_tree: case SYS_mkdirat: case SYS_mknodat:
	case SYS_unlinkat: case SYS_statx: case SYS_readlinkat: case SYS_faccessat2: case SYS_fchownat:
	case SYS_fchmodat: case SYS_mount_setattr: case SYS_fspick: case SYS_execve: return 2;
	case SYS_symlinkat: return 5;
	case SYS_mount: return 23;
	case SYS_fsconfig: return 4;
	case SYS_move_mount: return 10;
	case SYS_setxattr: return 3;
	default: return 0;
	}
}

/* Memory among the arguments that comes with its size. */
static void look_at_memory(long number, const long *a)
{
	uint32_t size; /* of struct sched_attr, which begins with it */

	switch (number) {
	case SYS_write: look_at((void *)a[1], (size_t)a[2]); break;
	case SYS_sendmsg: look_at_message((void *)a[1]); break;
	case SYS_setgroups: look_at((void *)a[1], (size_t)a[0] * 4); break;
	case SYS_sched_setaffinity: look_at((void *)a[2], (size_t)a[1]); break;
	case SYS_set_mempolicy: look_at((void *)a[1], ((size_t)a[2] + 62) / 64 * 8); break;
	case SYS_sched_setattr: memcpy(&size, (void *)a[1], sizeof(size)), look_at((void *)a[1], size); break;
	case SYS_openat2: look_at((void *)a[2], (size_t)a[3]); break;
	case SYS_clone3: look_at((void *)a[0], (size_t)a[1]); break;
	default: break;
	}
}

static long respond(long number, long *a)
{
	switch (number) {
	case SYS_lseek: return a[0] == BASE + 1 ? (long)plan_size : 0;
	case SYS_mmap: return map((size_t)a[1], (int)a[4]);
	case SYS_execve: look_at_list(a[1]), look_at_list(a[2]), longjmp(ended, 1);
	case SYS_exit: case SYS_exit_group: longjmp(ended, 1);
	case SYS_read: return fill((void *)a[1], (size_t)a[2], a[2] == 1);
	case SYS_readlinkat: return fill((void *)a[2], (size_t)a[3], 1);
	case SYS_getcwd: memcpy((void *)a[0], answer() ? "(u" : "/", 2); return 2;
	case SYS_recvmsg: return has_plan ? receive((void *)a[1]) : receive_plan((void *)a[1]);
	case SYS_write: return a[2];
	case SYS_sendfile: return answer() & 1;
	case SYS_getdents64: return list_directory((void *)a[1]);
	case SYS_statx: return describe((void *)a[4]);
	case SYS_fstatfs: return describe_file_system((void *)a[1]);
	case SYS_ppoll: return poll_all((void *)a[0], (unsigned long)a[1]);
	case SYS_pipe2: ((int *)a[0])[0] = 60, ((int *)a[0])[1] = 61; return 0;
	case SYS_getsockopt: *(uint8_t *)(a[3] + 4) = (uint8_t)answer(); return 0;
	case SYS_clone: case SYS_clone3: return answer() & 1 ? 0 : 7;
	case SYS_openat: case SYS_openat2: case SYS_open_tree: case SYS_fsopen: case SYS_fsmount:
	case SYS_fspick: case SYS_socket: case SYS_accept4: case SYS_fcntl: return 40 + calls % 200;
	case SYS_dup3: return a[1];
	default: return 0;
	}
}

long fuzz_kernel(long number, ...)
{
	static const int errors[] = { EPERM, ENOENT, EINTR, EACCES, EEXIST, EINVAL, ENOSYS, ELOOP };
	unsigned int text = texts(number), mood;
	long a[6], r;
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (++calls > MAX_CALLS)
		longjmp(ended, 1);
	for (int i = 0; i < 5; i++)
		if (text & 1U << i)
			look_at_text(a[i]);
	look_at_memory(number, a);
	/* What starts a run can't fail in a way that is of interest, and what ends it can't at all. */
	mood = !has_plan || number == SYS_mmap || number == SYS_lseek ? 0 : answer();
	r = mood >= 248 && number != SYS_exit_group && number != SYS_exit ? -errors[mood - 248] :
									   respond(number, a);
	if (r >= 0 || r < -4095)
		return r;
	errno = (int)-r;
	return -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct plan_header *header = (const void *)data;
	char base[] = "3", name[] = "orlop-init", *argv[] = { name, base, NULL };

	plan_size = size >= sizeof(*header) && header->total < size ? header->total : size;
	plan = data;
	answers = data + plan_size;
	answers_left = size - plan_size;
	map_count = calls = has_plan = 0;
	if (!setjmp(ended))
		init_main(2, argv);
	while (map_count)
		free(maps[--map_count]);
	return 0;
}

#if defined(STANDALONE)

int main(int argc, char **argv)
{
	static uint8_t data[1 << 20] __attribute__((aligned(8)));
	size_t size;
	FILE *file;

	for (int i = 1; i < argc; i++) {
		file = fopen(argv[i], "rb");
		if (!file)
			return 2;
		size = fread(data, 1, sizeof(data), file);
		fclose(file);
		LLVMFuzzerTestOneInput(data, size);
	}
	printf("%d\n", argc - 1);
	return 0;
}

#endif
