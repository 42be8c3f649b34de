/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts, by descriptor: a tree is made or cloned detached, gets its
 * attributes, and is attached to a target that is held open. Nothing is ever
 * mounted on a path that could have changed its meaning meanwhile.
 */
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "init.h"

enum { STAT_MOUNT_ROOT = 0x2000, CONFIG_KEY_MAX = 63, CONFIG_VALUE_MAX = 255 };

int clone_tree(struct context *ctx, int fd, const char *path, unsigned int flags)
{
	return (int)STEP(ctx, open_tree, fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}

int attach_tree(struct context *ctx, int tree, int target)
{
	return (int)STEP(ctx, move_mount, tree, "", target, "",
			 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int set_attributes(struct context *ctx, int fd, int recursive, const uint64_t number[4])
{
	struct mount_attr attr = { .attr_set = number[0], .attr_clr = number[1] | number[2] };
	unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);
	int r;

	if (!attr.attr_set && !attr.attr_clr)
		return 0;
	r = (int)STEP(ctx, mount_setattr, fd, "", flags, &attr, sizeof(attr));
	if (r == -EPERM && number[2]) { /* locked by a user namespace above: what was not asked for may stay */
		attr.attr_clr = number[1];
		r = (int)STEP(ctx, mount_setattr, fd, "", flags, &attr, sizeof(attr));
	}
	return r;
}

int set_propagation(struct context *ctx, int fd, uint64_t propagation)
{
	struct mount_attr attr = { .propagation = propagation & ~(uint64_t)MS_REC };

	if (!propagation)
		return 0;
	return (int)STEP(ctx, mount_setattr, fd, "",
			 AT_EMPTY_PATH | (propagation & MS_REC ? AT_RECURSIVE : 0U), &attr, sizeof(attr));
}

/* The kernel's own words on a refused option: "e tmpfs: Bad value for 'size'". */
static void say_log(struct context *ctx, int fs)
{
	char text[256];
	long n = SYS(read, fs, text, sizeof(text) - 1);

	if (n <= 2)
		return;
	text[n] = 0;
	if (text[n - 1] == '\n')
		text[n - 1] = 0;
	say(ctx, text + 2); /* behind the class: "e " */
}

static int configure(struct context *ctx, int fs, const char *option)
{
	char key[CONFIG_KEY_MAX + 1];
	size_t n;

	for (n = 0; option[n] && option[n] != '='; n++)
		if (n == sizeof(key) - 1)
			return -EINVAL;
	memcpy(key, option, n);
	key[n] = 0;
	if (!option[n])
		return (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0);
	return (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_STRING, key, option + n + 1, 0);
}

static int configure_all(struct context *ctx, int fs, char **options)
{
	int r = 0;

	for (; !r && *options; options++) {
		r = configure(ctx, fs, *options);
		if (r < 0)
			say(ctx, *options);
	}
	return r;
}

static int new_filesystem(struct context *ctx, const struct plan_op *op, char **options)
{
	const char *source = plan_string(ctx, op->string[3]);
	int r, fs = (int)STEP(ctx, fsopen, plan_string(ctx, op->string[2]), FSOPEN_CLOEXEC);

	if (fs < 0)
		return fs;
	r = *source ? (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0) : 0;
	if (!r)
		r = configure_all(ctx, fs, options);
	if (!r)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (!r)
		r = (int)STEP(ctx, fsmount, fs, FSMOUNT_CLOEXEC,
			      op->number[0] & ~(uint64_t)(op->flags & FLAG_COPY_UP ? MOUNT_ATTR_RDONLY : 0));
	if (r >= 0) {
		close_fd(&fs);
		return r;
	}
	say_log(ctx, fs);
	close_fd(&fs);
	return r;
}

/* What the new calls can't say: values of more than 255 bytes, and SB_I_VERSION. */
static int needs_old_call(const struct plan_op *op, char **options)
{
	size_t n;

	if (op->number[3] & MS_I_VERSION)
		return 1;
	for (; *options; options++) {
		for (n = 0; (*options)[n] && (*options)[n] != '='; n++)
			;
		if (n > CONFIG_KEY_MAX || strlen(*options + n) > CONFIG_VALUE_MAX + 1)
			return 1;
	}
	return 0;
}

/* Flags of mount(2), and in number[3]: a file system's own parser may not know them. */
static int is_flag(const char *option)
{
	static const char names[][12] = { "ro", "rw", "sync", "async", "dirsync", "lazytime",
					  "nolazytime", "mand", "nomand" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(option) == strlen(names[i]) && !memcmp(option, names[i], strlen(option)))
			return 1;
	return 0;
}

/* A label has commas in it (s0:c1,c2): SELinux takes it in quotes here, and only here. */
static size_t join_option(char *data, const char *option, size_t length)
{
	static const char context[] = "context=";
	const size_t key = sizeof(context) - 1;

	if (length <= key || memcmp(option, context, key)) {
		memcpy(data, option, length);
		return length;
	}
	memcpy(data, context, key);
	data[key] = '"';
	memcpy(data + key + 1, option + key, length - key);
	data[length + 1] = '"';
	return length + 2;
}

static int join(struct context *ctx, char **options, char data[4096])
{
	size_t used = 0, length;

	for (; *options; options++) {
		if (is_flag(*options))
			continue;
		length = strlen(*options);
		if (used + length + 4 > 4096) {
			say(ctx, "the options are longer than a page");
			return -E2BIG;
		}
		used += join_option(data + used, *options, length);
		data[used++] = ',';
	}
	data[used ? used - 1 : 0] = 0;
	return 0;
}

/* mount(2) on a target by descriptor: /proc is still the host's here. Returns the new mount. */
static int mount_at(struct context *ctx, const struct plan_op *op, char **options, int target)
{
	char data[4096], path[] = "/proc/self/fd/..........";
	char *digit = path + sizeof(path) - 1;
	struct statx st;
	int fd, n = target, r = join(ctx, options, data);

	if (r < 0)
		return r;
	for (*digit = 0; n; n /= 10)
		*--digit = (char)('0' + n % 10);
	memcpy(path + 14, digit, strlen(digit) + 1);
	r = (int)STEP(ctx, mount, plan_string(ctx, op->string[3]), path, plan_string(ctx, op->string[2]),
		      op->number[3], data);
	if (r < 0)
		return r;
	fd = path_open(ctx, plan_string(ctx, op->string[1]), O_PATH, 0);
	r = fd < 0 ? fd : file_mode(ctx, fd, &st);
	if (!r && !(st.stx_attributes & STAT_MOUNT_ROOT)) { /* another container moved it away meanwhile */
		say(ctx, "the mount point was replaced");
		r = -ENOTDIR;
	}
	if (r < 0)
		close_fd(&fd);
	return r < 0 ? r : fd;
}

static int attach_filesystem(struct context *ctx, const struct plan_op *op, char **options, int target)
{
	int r, tree = new_filesystem(ctx, op, options);

	if (tree < 0)
		return tree;
	r = op->flags & FLAG_COPY_UP ? copy_up(ctx, target, tree) : 0;
	if (!r && (op->flags & FLAG_COPY_UP))
		r = set_attributes(ctx, tree, 0, (const uint64_t[4]){ op->number[0] & MOUNT_ATTR_RDONLY });
	if (!r)
		r = attach_tree(ctx, tree, target);
	if (r < 0)
		close_fd(&tree);
	return r < 0 ? r : tree;
}

/* A mount on the root itself is what later paths begin at. */
static int follow_root(struct context *ctx, int target, int tree)
{
	struct statx root, st;
	int r = file_mode(ctx, ctx->root, &root);

	if (!r)
		r = file_mode(ctx, target, &st);
	if (r < 0 || root.stx_mnt_id != st.stx_mnt_id || root.stx_ino != st.stx_ino)
		return r;
	r = (int)STEP(ctx, fcntl, tree, F_DUPFD_CLOEXEC, 0);
	if (r < 0)
		return r;
	close_fd(&ctx->root);
	ctx->root = r;
	return 0;
}

static uint64_t target_lookup(const struct plan_op *op)
{
	if (op->flags & FLAG_ORDINARY)
		return RESOLVE_NO_SYMLINKS;
	return op->flags & FLAG_TARGET_NOFOLLOW ? PATH_NOFOLLOW : 0;
}

/* "mode=0755": the option `name` with the permissions of a directory. */
static int mode_option(struct context *ctx, const char *name, int fd, char option[16])
{
	size_t length = strlen(name), digit;
	struct statx st;
	int r = length > 8 ? -EPROTO : file_mode(ctx, fd, &st);

	if (r < 0)
		return r;
	memcpy(option, name, length);
	option[length] = '=';
	for (digit = 0; digit < 4; digit++)
		option[length + 1 + digit] = (char)('0' + (st.stx_mode >> (9 - 3 * digit) & 7));
	option[length + 5] = 0;
	return 0;
}

/* The directory to mount on; one that was there may have an option to give. */
static int mount_target(struct context *ctx, const struct plan_op *op, char option[16])
{
	const char *path = plan_string(ctx, op->string[1]), *name = plan_string(ctx, op->string[5]);
	int r, target = path_open(ctx, path, O_PATH, target_lookup(op));

	if (target == -ENOENT)
		return path_make(ctx, path, S_IFDIR, 0755, target_lookup(op));
	if (target == -ELOOP && (op->flags & FLAG_ORDINARY))
		say(ctx, "must be mounted on an ordinary directory");
	r = target < 0 || !*name ? 0 : mode_option(ctx, name, target, option);
	if (r < 0)
		close_fd(&target);
	return r < 0 ? r : target;
}

int op_mount(struct context *ctx, const struct plan_op *op)
{
	char **options = plan_list(ctx, op->string[4], op->number[2]);
	char mode[16] = "";
	int r, tree, target;

	if (!options)
		return -ENOMEM;
	close_fd(&ctx->mount);
	target = mount_target(ctx, op, mode);
	if (target < 0)
		return target;
	if (*mode) {
		options[op->number[2]] = mode;
		options[op->number[2] + 1] = NULL;
	}
	tree = needs_old_call(op, options) ? mount_at(ctx, op, options, target) :
					     attach_filesystem(ctx, op, options, target);
	r = tree < 0 ? tree : follow_root(ctx, target, tree);
	close_fd(&target);
	if (tree < 0)
		return tree;
	ctx->mount = tree;
	return r < 0 ? r : set_propagation(ctx, tree, op->number[1]);
}

static int source_tree(struct context *ctx, const struct plan_op *op)
{
	if (op->fd >= 0)
		return plan_fd(ctx, op);
	return clone_tree(ctx, AT_FDCWD, plan_string(ctx, op->string[2]),
			  (op->flags & FLAG_RECURSIVE ? AT_RECURSIVE : 0U) |
				  (op->flags & FLAG_SOURCE_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0U));
}

/* The kernel says "Invalid argument" to a file on a directory; what it means is well known. */
static int same_kind(struct context *ctx, int tree, int target)
{
	struct statx a, b;
	int r = file_mode(ctx, tree, &a);

	if (!r)
		r = file_mode(ctx, target, &b);
	if (r < 0)
		return r;
	if (((a.stx_mode & S_IFMT) == S_IFDIR) == ((b.stx_mode & S_IFMT) == S_IFDIR))
		return 0;
	ctx->step = "move_mount";
	say(ctx, (a.stx_mode & S_IFMT) == S_IFDIR ? "a directory on a file" : "a file on a directory");
	return -ENOTDIR;
}

/* copy-symlink (crun(1)): what is there already must be the same link. */
static int copy_link(struct context *ctx, const struct plan_op *op, int source)
{
	char name[NAME_MAX + 1], target[PATH_MAX], found[PATH_MAX];
	long n = STEP(ctx, readlinkat, source, "", target, sizeof(target) - 1), length;
	int dir, r;

	if (n < 0)
		return (int)n;
	target[n] = 0;
	dir = path_parent(ctx, plan_string(ctx, op->string[1]), name, 0);
	if (dir < 0)
		return dir;
	r = (int)STEP(ctx, symlinkat, target, dir, name);
	if (r == -EEXIST) {
		length = SYS(readlinkat, dir, name, found, sizeof(found));
		if (length == n && !memcmp(found, target, (size_t)n))
			r = 0;
		else
			say(ctx, "another file is in its place");
	}
	close_fd(&dir);
	return r;
}

static int bind_tree(struct context *ctx, const struct plan_op *op, int tree, uint32_t type)
{
	int r, target = path_make(ctx, plan_string(ctx, op->string[1]), type == S_IFDIR ? S_IFDIR : S_IFREG,
				  type == S_IFDIR ? 0755 : 0644, target_lookup(op));

	if (target < 0)
		return target;
	r = same_kind(ctx, tree, target);
	if (!r)
		r = set_attributes(ctx, tree, 0, op->number);
	if (!r)
		r = attach_tree(ctx, tree, target);
	if (!r)
		r = follow_root(ctx, target, tree);
	close_fd(&target);
	return r < 0 ? r : set_propagation(ctx, tree, op->number[3]);
}

int op_bind(struct context *ctx, const struct plan_op *op)
{
	struct statx st;
	int r, tree;

	close_fd(&ctx->mount);
	tree = source_tree(ctx, op);
	if (tree < 0)
		return tree;
	ctx->mount = tree;
	r = file_mode(ctx, tree, &st);
	if (r < 0)
		return r;
	if (op->code == OP_BIND_LINK && (st.stx_mode & S_IFMT) == S_IFLNK)
		return copy_link(ctx, op, tree);
	return bind_tree(ctx, op, tree, st.stx_mode & S_IFMT);
}

int op_attr(struct context *ctx, const struct plan_op *op)
{
	int r, fd = ctx->mount, opened = -1;

	if (op->flags & FLAG_BY_PATH) {
		fd = opened = path_open(ctx, plan_string(ctx, op->string[1]), O_PATH, 0);
		if (fd < 0)
			return fd;
	}
	r = set_attributes(ctx, fd, op->flags & FLAG_RECURSIVE, op->number);
	if (!r)
		r = set_propagation(ctx, fd, op->number[3]);
	close_fd(&opened);
	return r;
}

static int reconfigure(struct context *ctx, int target, char **options)
{
	int r, fs = (int)STEP(ctx, fspick, target, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);

	if (fs < 0)
		return fs;
	r = configure_all(ctx, fs, options);
	if (!r)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
	if (r < 0)
		say_log(ctx, fs);
	close_fd(&fs);
	return r;
}

/* MS_REMOUNT of mount(2), with MS_BIND where there are no options: the mount's attributes alone. */
int op_remount(struct context *ctx, const struct plan_op *op)
{
	char **options = plan_list(ctx, op->string[4], op->number[3]);
	struct statx st;
	int r;

	if (!options)
		return -ENOMEM;
	close_fd(&ctx->mount);
	r = path_open(ctx, plan_string(ctx, op->string[1]), O_PATH, target_lookup(op));
	if (r == -ELOOP && (op->flags & FLAG_ORDINARY))
		say(ctx, "no symbolic link may lead to it");
	if (r < 0)
		return r;
	ctx->mount = r;
	r = file_mode(ctx, ctx->mount, &st);
	if (!r && !(st.stx_attributes & STAT_MOUNT_ROOT)) {
		say(ctx, "nothing is mounted there");
		r = -EINVAL;
	}
	if (!r && *options)
		r = reconfigure(ctx, ctx->mount, options);
	return r < 0 ? r : set_attributes(ctx, ctx->mount, 0, op->number);
}
