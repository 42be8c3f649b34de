/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HOME where the configuration has none: the container's own /etc/passwd
 * tells. The file is the image's: it may be anything, of any length.
 */
#include <linux/stat.h>

#include "init.h"

enum { PASSWD_MAX = 1 << 20, FIELD_UID = 2, FIELD_HOME = 5 };

struct line {
	int field;              /* of passwd(5), from 0 */
	uint64_t uid;
	int digits;
	char home[PATH_MAX];
	size_t used;
};

static void start_line(struct line *line)
{
	line->field = 0;
	line->uid = 0;
	line->digits = 0;
	line->used = 0;
}

static void take(struct line *line, char c)
{
	if (c == ':') {
		line->field++;
	} else if (line->field == FIELD_UID) {
		line->digits = c >= '0' && c <= '9' && line->digits >= 0 && line->digits < 10 ?
				       line->digits + 1 : -1;
		line->uid = line->uid * 10 + (uint64_t)(c - '0');
	} else if (line->field == FIELD_HOME && line->used < sizeof(line->home) - 1) {
		line->home[line->used++] = c;
	}
}

/* The first line of this uid, as getpwuid(3) takes it. */
static int finish(struct context *ctx, struct line *line, uint64_t uid)
{
	if (line->field < FIELD_HOME || line->digits <= 0 || line->uid != uid || !line->used)
		return 0;
	line->home[line->used] = 0;
	copy_string(ctx->home + 5, sizeof(ctx->home) - 5, line->home);
	return 1;
}

static void search(struct context *ctx, int fd, uint64_t uid)
{
	static struct line line;
	char text[1024];
	long n, i, total = 0;

	start_line(&line);
	while (total < PASSWD_MAX && (n = SYS(read, fd, text, sizeof(text))) > 0) {
		total += n;
		for (i = 0; i < n; i++) {
			if (text[i] != '\n') {
				take(&line, text[i]);
				continue;
			}
			if (finish(ctx, &line, uid))
				return;
			start_line(&line);
		}
	}
	finish(ctx, &line, uid);
}

int op_home(struct context *ctx, const struct plan_op *op)
{
	struct statx st;
	int fd;

	copy_string(ctx->home, sizeof(ctx->home), "HOME=/");
	/* Not to wait for a fifo's writer, nor to open a device for more than its status. */
	fd = (int)STEP(ctx, openat, AT_FDCWD, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (!file_mode(ctx, fd, &st) && (st.stx_mode & S_IFMT) == S_IFREG)
		search(ctx, fd, op->number[0]);
	close_fd(&fd);
	return 0;
}
