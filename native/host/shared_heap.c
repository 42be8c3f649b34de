/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fork has its own copy of each page that it has written to, for good, also
 * where the page is again what it was: reference counts go up and down. So the
 * process that is to be forked puts its heap into a file in memory and maps
 * that in place, privately. A fork compares what it has copied with the file,
 * and lets go of what is the same (MADV_DONTNEED): the next access finds the
 * file's page, which is one for all.
 *
 * Both work with raw system calls, their own stack and memory that is no part
 * of the heap: nothing may change between a look at a page and what follows.
 */
#define _GNU_SOURCE
#include "shared_heap.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/memfd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../init/sys.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

enum {
	PAGE = 4096,
	MOST_REGIONS = 256,
	MOST_LEFT_OUT = 256,
	THREAD_LOCAL = 8 * 4096, /* bytes around errno: the static TLS of all libraries is smaller */
	TEXT = 256 * 1024, /* of /proc/self/maps: a hundred bytes a line */
	ENTRIES = 4096,    /* of /proc/self/pagemap, at a time */
	SLACK = 1 << 30,   /* bytes by which realloc(3) may make a mapping longer than the file's content */
};

#define IS_PRESENT (1ULL << 63)
#define IS_SWAPPED (1ULL << 62)
#define IS_OF_FILE (1ULL << 61) /* or shared: no copy of ours (pagemap.rst) */
#define IS_OURS (1ULL << 56)    /* nobody else has it; a copy of our parent's is not, before we write to it */

struct region {
	uint64_t start, end, offset; /* offset: in the file */
};

/* Mapped for each call, and shared, so that it is no heap itself. */
struct work {
	struct region regions[MOST_REGIONS], others[MOST_LEFT_OUT];
	int count, left_out;
	uint64_t entries[ENTRIES];
	uint64_t *pages; /* for list_copied: the caller's */
	int64_t found, most;
	char name[512]; /* of the program */
	char text[TEXT + 1];
};

static struct {
	uint64_t device, inode, size;
	const char *view; /* of the file */
} image;

static long fail(long error)
{
	return -error;
}

static struct work *get_work(void)
{
	long memory = SYS(mmap, NULL, sizeof(struct work), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory < 0 && memory > -4096 ? NULL : (struct work *)memory;
}

static long read_text(const char *path, char *text, size_t size)
{
	long fd = SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), r;
	size_t used = 0;

	if (fd < 0)
		return fd;
	while ((r = SYS(read, fd, text + used, size - used)) > 0)
		used += (size_t)r;
	SYS(close, fd);
	if (r < 0)
		return r;
	if (used == size) /* there may be more */
		return fail(E2BIG);
	text[used] = 0;
	return (long)used;
}

static uint64_t number(const char **text, unsigned int base)
{
	uint64_t value = 0;
	unsigned int digit;

	for (;; (*text)++) {
		digit = (unsigned char)**text;
		digit = digit >= '0' && digit <= '9' ? digit - '0' :
			digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : 99;
		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

/* One line of /proc/self/maps (proc_pid_maps(5)): START-END PERMS OFFSET MAJOR:MINOR INODE NAME */
struct mapping {
	uint64_t start, end, offset, device, inode;
	const char *permissions, *name;
};

static const char *parse(const char *line, struct mapping *m)
{
	uint64_t major;

	m->start = number(&line, 16);
	line++;
	m->end = number(&line, 16);
	m->permissions = ++line;
	line += 5;
	m->offset = number(&line, 16);
	line++;
	major = number(&line, 16);
	line++;
	m->device = major << 32 | number(&line, 16);
	line++;
	m->inode = number(&line, 10);
	while (*line == ' ')
		line++;
	m->name = line;
	while (*line && *line != '\n')
		line++;
	return *line ? line + 1 : line;
}

static bool is_named(const struct mapping *m, const char *name)
{
	size_t size = strlen(name);

	return !strncmp(m->name, name, size) && (m->name[size] == '\n' || !m->name[size]);
}

static void leave_out(struct work *w, uint64_t start, uint64_t end)
{
	if (w->left_out < MOST_LEFT_OUT)
		w->others[w->left_out] = (struct region){ start & -(uint64_t)PAGE, (end + PAGE - 1) & -(uint64_t)PAGE, 0 };
	w->left_out++;
}

static int leave_out_library(struct dl_phdr_info *info, size_t size, void *work)
{
	const ElfW(Phdr) * part;
	uint64_t start;
	int i;

	(void)size;
	for (i = 0; *info->dlpi_name && i < info->dlpi_phnum; i++) {
		part = &info->dlpi_phdr[i];
		start = info->dlpi_addr + part->p_vaddr;
		if (part->p_type == PT_LOAD && part->p_flags & PF_W)
			leave_out(work, start, start + part->p_memsz);
	}
	return 0;
}

/* What of a mapping is heap: all but the parts that are left out, lowest first. */
static long add_regions(struct work *w, uint64_t start, uint64_t end, uint64_t *size)
{
	const struct region *next;
	uint64_t until;
	int i;

	while (start < end) {
		next = NULL;
		for (i = 0; i < w->left_out; i++)
			if (w->others[i].end > start && w->others[i].start < end &&
			    (!next || w->others[i].start < next->start))
				next = &w->others[i];
		until = next ? next->start : end;
		if (until > start) {
			if (w->count == MOST_REGIONS)
				return fail(E2BIG);
			w->regions[w->count++] = (struct region){ start, until, *size };
			*size += until - start;
		}
		start = next ? next->end : end;
	}
	return 0;
}

/*
 * Heap: what malloc and the interpreter have mapped, brk's part, and the
 * program's own data. Not what this very code writes to: its stack, the
 * libraries' data, and the thread's own, where the kernel writes too (rseq(2)).
 */
static long find_heap(struct work *w)
{
	struct mapping m;
	uint64_t size = 0;
	const char *line;
	bool is_heap;
	long r = SYS(readlinkat, AT_FDCWD, "/proc/self/exe", w->name, sizeof(w->name) - 1);

	dl_iterate_phdr(leave_out_library, w);
	leave_out(w, (uintptr_t)&errno - THREAD_LOCAL, (uintptr_t)&errno + THREAD_LOCAL);
	if (w->left_out > MOST_LEFT_OUT)
		return fail(E2BIG);
	if (r >= 0)
		r = read_text("/proc/self/maps", w->text, TEXT);
	if (r < 0)
		return r;
	for (line = w->text; *line;) {
		line = parse(line, &m);
		is_heap = m.inode ? is_named(&m, w->name) : *m.name == '\n' || is_named(&m, "[heap]");
		r = is_heap && !strncmp(m.permissions, "rw-p", 4) ? add_regions(w, m.start, m.end, &size) : 0;
		if (r < 0)
			return r;
	}
	return (long)size;
}

/* What is known of some pages from an address on; how many of them. */
static long look(struct work *w, int pagemap, uint64_t start, uint64_t end)
{
	uint64_t count = (end - start) / PAGE;
	long r;

	if (count > ENTRIES)
		count = ENTRIES;
	r = SYS(pread64, pagemap, w->entries, count * 8, start / PAGE * 8);
	return r < 0 ? r : r == (long)count * 8 ? (long)count : fail(EIO);
}

/* What was never touched stays a hole. */
static long copy_region(struct work *w, int pagemap, int file, const struct region *region)
{
	uint64_t at = region->start, offset;
	long i, r, count;

	while (at < region->end) {
		count = look(w, pagemap, at, region->end);
		if (count < 0)
			return count;
		for (i = 0; i < count; i++, at += PAGE) {
			if (!(w->entries[i] & (IS_PRESENT | IS_SWAPPED)))
				continue;
			offset = region->offset + (at - region->start);
			r = SYS(pwrite64, file, at, PAGE, offset);
			if (r != PAGE)
				return r < 0 ? r : fail(EIO);
		}
	}
	return 0;
}

static long make_file(void)
{
	long file = SYS(memfd_create, "orlop-heap", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (file == -EINVAL) /* before Linux 6.3 */
		file = SYS(memfd_create, "orlop-heap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return file;
}

static long fill(struct work *w, int file, uint64_t size)
{
	long pagemap = SYS(openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0), r;
	int i;

	if (pagemap < 0)
		return pagemap;
	r = SYS(ftruncate, file, size + SLACK);
	for (i = 0; !r && i < w->count; i++)
		r = copy_region(w, (int)pagemap, file, &w->regions[i]);
	SYS(close, pagemap);
	if (!r)
		r = SYS(fcntl, file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return r;
}

/*
 * First all aside, where a failure changes nothing; then each to its place,
 * which takes no memory but a few bytes of the kernel's.
 */
static long map_in_place(struct work *w, int file)
{
	long aside[MOST_REGIONS], r = 0;
	struct region *region;
	uint64_t size;
	int i, made;

	for (made = 0; made < w->count; made++) {
		region = &w->regions[made];
		aside[made] = r = SYS(mmap, NULL, region->end - region->start, PROT_READ | PROT_WRITE, MAP_PRIVATE,
				      file, region->offset);
		if (r < 0 && r > -4096)
			break;
	}
	for (i = 0; i < made; i++) {
		region = &w->regions[i];
		size = region->end - region->start;
		if (made < w->count)
			SYS(munmap, aside[i], size);
		else if (SYS(mremap, aside[i], size, size, MREMAP_MAYMOVE | MREMAP_FIXED, region->start) !=
			 (long)region->start)
			abort(); /* there may be nothing any more where the heap was */
		else
			SYS(madvise, region->start, size, MADV_POPULATE_READ); /* Linux 5.14: else as it is read */
	}
	return made < w->count ? r : 0;
}

/* The file as /proc/self/maps names it. */
static long identify(struct work *w, uint64_t view)
{
	struct mapping m;
	const char *line;
	long r = read_text("/proc/self/maps", w->text, TEXT);

	if (r < 0)
		return r;
	for (line = w->text; *line;) {
		line = parse(line, &m);
		if (m.start == view) {
			image.device = m.device;
			image.inode = m.inode;
			return 0;
		}
	}
	return fail(ENOENT);
}

static long share(struct work *w)
{
	long size = find_heap(w), file, r, view;

	if (size <= 0)
		return size;
	file = make_file();
	if (file < 0)
		return file;
	r = fill(w, (int)file, (uint64_t)size);
	view = r ? r : SYS(mmap, NULL, size, PROT_READ, MAP_SHARED, file, 0);
	if (view < 0 && view > -4096) {
		SYS(close, file);
		return view;
	}
	r = identify(w, (uint64_t)view);
	if (!r)
		r = map_in_place(w, (int)file);
	SYS(close, file);
	if (r) {
		SYS(munmap, view, size);
		return r;
	}
	image.size = (uint64_t)size;
	image.view = (const char *)view;
	return size;
}

/*
 * Whether each thread but ours waits for a futex without an end (proc(5),
 * "syscall"): only we could wake it, and it writes nothing meanwhile.
 */
static long others_sleep(struct work *w)
{
	long fd = SYS(openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), size, r = 1;
	const char prefix[] = "/proc/self/task/", suffix[] = "/syscall";
	long self = SYS(gettid);
	const char *at, *text;
	uint64_t call, argument;
	char path[64];
	int i;

	if (fd < 0)
		return fd;
	size = SYS(getdents64, fd, w->entries, sizeof(w->entries)); /* of a few threads: all at once */
	SYS(close, fd);
	if (size < 0 || size > (long)sizeof(w->entries) / 2) /* so many are never all asleep */
		return size < 0 ? size : 0;
	/* struct linux_dirent64: inode, offset, length (16 bits), type, name */
	for (at = (const char *)w->entries; r == 1 && at < (const char *)w->entries + size;
	     at += *(const uint16_t *)(const void *)(at + 16)) {
		text = at + 19;
		if (*text == '.' || (long)number(&text, 10) == self)
			continue;
		if (strlen(at + 19) > 20)
			return fail(EIO);
		memcpy(path, prefix, sizeof(prefix));
		strcat(path, at + 19);
		strcat(path, suffix);
		r = read_text(path, w->text, TEXT);
		if (r < 0)
			return r;
		text = w->text; /* "running", or: number, six arguments, stack, program counter */
		r = *text >= '0' && *text <= '9';
		call = number(&text, 10);
		argument = 0;
		for (i = 0; r && i < 4; i++) {
			text += 3; /* " 0x" */
			argument = number(&text, 16);
		}
		r = r && call == __NR_futex && !argument;
	}
	return r;
}

static bool is_copied(uint64_t entry)
{
	return entry & IS_PRESENT && !(entry & IS_OF_FILE);
}

static long give_back_in(struct work *w, int pagemap, const struct mapping *m)
{
	const char *view = image.view + m->offset;
	uint64_t at = m->start, run = 0;
	long i, r, count, given = 0;
	bool is_same;

	while (at < m->end) {
		count = look(w, pagemap, at, m->end);
		if (count < 0)
			return count;
		for (i = 0; i <= count; i++, at += PAGE) {
			is_same = i < count && is_copied(w->entries[i]) &&
				  !memcmp((const void *)at, view + (at - m->start), PAGE);
			if (is_same && !run)
				run = at;
			if (is_same || !run)
				continue;
			r = SYS(madvise, run, at - run, MADV_DONTNEED);
			if (r < 0)
				return r;
			given += (long)(at - run);
			run = 0;
		}
		at -= PAGE; /* of the turn that ended the last run */
	}
	return given;
}

static long list_copied_in(struct work *w, int pagemap, const struct mapping *m)
{
	uint64_t at = m->start;
	long i, count, found = w->found;

	while (at < m->end) {
		count = look(w, pagemap, at, m->end);
		if (count < 0)
			return count;
		for (i = 0; i < count; i++, at += PAGE)
			if (is_copied(w->entries[i]) && w->entries[i] & IS_OURS && w->found < w->most)
				w->pages[w->found++] = at;
	}
	return w->found - found;
}

/* Do something for each mapping of the file that is the heap; the sum of what comes of it. */
static long for_each(struct work *w, long (*act)(struct work *, int, const struct mapping *))
{
	long pagemap, r = read_text("/proc/self/maps", w->text, TEXT), sum = 0;
	struct mapping m;
	const char *line;

	if (r < 0)
		return r;
	pagemap = SYS(openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	if (pagemap < 0)
		return pagemap;
	for (line = w->text; *line && r >= 0;) {
		line = parse(line, &m);
		if (m.inode != image.inode || m.device != image.device || strncmp(m.permissions, "rw-p", 4))
			continue;
		if (m.offset + (m.end - m.start) > image.size) /* made longer by realloc(3) */
			continue;
		r = act(w, (int)pagemap, &m);
		sum += r;
	}
	SYS(close, pagemap);
	return r < 0 ? r : sum;
}

static long give_back(struct work *w)
{
	long r = others_sleep(w);

	if (r != 1)
		return r;
	r = for_each(w, give_back_in);
	SYS(madvise, image.view, image.size, MADV_DONTNEED); /* what was compared is not needed any more */
	return r;
}

static long list_copied(struct work *w)
{
	return for_each(w, list_copied_in);
}

/* No handler of ours runs meanwhile. */
static int64_t undisturbed(long (*act)(struct work *), uint64_t *pages, int64_t most)
{
	uint64_t all = ~0ULL, before;
	struct work *w = get_work();
	long r;

	if (!w)
		return fail(ENOMEM);
	w->pages = pages;
	w->most = most;
	SYS(rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof(all));
	r = act(w);
	SYS(rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	SYS(munmap, w, sizeof(*w));
	return r;
}

static long share_alone(struct work *w)
{
	long r = read_text("/proc/self/stat", w->text, TEXT);
	const char *at;
	int i;

	if (r < 0)
		return r;
	at = strrchr(w->text, ')');
	for (i = 0; at && i < 18; i++) /* field 20: threads (proc_pid_stat(5)) */
		at = strchr(at + 1, ' ');
	if (!at || strncmp(at, " 1 ", 3))
		return fail(EBUSY);
	return share(w);
}

int64_t orlop_share_heap(void)
{
	if (image.view)
		return fail(EEXIST);
	return sysconf(_SC_PAGESIZE) == PAGE ? undisturbed(share_alone, NULL, 0) : fail(ENOSYS);
}

int64_t orlop_give_back(void)
{
	return image.view ? undisturbed(give_back, NULL, 0) : 0;
}

int64_t orlop_copied_pages(uint64_t *pages, int64_t most)
{
	return image.view ? undisturbed(list_copied, pages, most) : 0;
}

int64_t orlop_copy_pages(const uint64_t *pages, int64_t count)
{
	int64_t i = 0, run;
	long r = 0;

	while (i < count && !r) {
		for (run = 1; i + run < count && pages[i + run] == pages[i] + (uint64_t)run * PAGE; run++)
			;
		r = SYS(madvise, pages[i], run * PAGE, MADV_POPULATE_WRITE);
		i += run;
	}
	return r;
}
