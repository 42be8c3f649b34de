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

enum { MNT_DETACH_FLAG = 2, STAT_MOUNT_ROOT = 0x2000, CONFIG_VALUE_MAX = 255 };

int clone_tree(struct context *ctx, int fd, const char *path, unsigned int flags)
{
	return (int)STEP(ctx, open_tree, fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}

int attach_tree(struct context *ctx, int tree, int target)
{
	return (int)STEP(ctx, move_mount, tree, "", target, "",
			 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int set_attributes(struct context *ctx, int fd, int recursive, const uint64_t number[4])
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

static int set_propagation(struct context *ctx, int fd, uint64_t propagation)
{
	struct mount_attr attr = { .propagation = propagation & ~(uint64_t)MS_REC };

	if (!propagation)
		return 0;
	return (int)STEP(ctx, mount_setattr, fd, "",
			 AT_EMPTY_PATH | (propagation & MS_REC ? AT_RECURSIVE : 0U), &attr, sizeof(attr));
}

int op_propagation(struct context *ctx, const struct plan_op *op)
{
	struct statx st;
	struct statx below = { 0 };
	int r, up, fd = (int)STEP(ctx, openat, AT_FDCWD, plan_string(ctx, op->string[1]),
				  O_PATH | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	while (!(r = file_mode(ctx, fd, &st)) && !(st.stx_attributes & STAT_MOUNT_ROOT)) {
		if (st.stx_ino == below.stx_ino && st.stx_dev_major == below.stx_dev_major &&
		    st.stx_dev_minor == below.stx_dev_minor) { /* / is no mount, as in a chroot */
			r = -EINVAL;
			break;
		}
		below = st;
		up = (int)STEP(ctx, openat, fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		close_fd(&fd);
		fd = up;
		if (fd < 0)
			return fd;
	}
	if (!r)
		r = set_propagation(ctx, fd, op->number[0]);
	close_fd(&fd);
	return r;
}

/* Bound on itself: a mount that pivot_root takes, and whose attributes are the container's alone. */
int op_rootfs(struct context *ctx, const struct plan_op *op)
{
	const char *path = plan_string(ctx, op->string[1]);
	int r, target, tree;

	target = (int)STEP(ctx, openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (target < 0)
		return target;
	tree = op->fd >= 0 ? plan_fd(ctx, op) :
			     clone_tree(ctx, target, "", AT_EMPTY_PATH | AT_RECURSIVE);
	r = tree < 0 ? tree : attach_tree(ctx, tree, target);
	close_fd(&target);
	ctx->root = tree;
	return r;
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
	char key[64];
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

static int new_filesystem(struct context *ctx, const struct plan_op *op, char **options)
{
	const char *source = plan_string(ctx, op->string[3]);
	int r, fs = (int)STEP(ctx, fsopen, plan_string(ctx, op->string[2]), FSOPEN_CLOEXEC);

	if (fs < 0)
		return fs;
	r = *source ? (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0) : 0;
	for (; !r && *options; options++) {
		r = configure(ctx, fs, *options);
		if (r < 0)
			say(ctx, *options);
	}
	if (!r)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (!r) {
		r = (int)STEP(ctx, fsmount, fs, FSMOUNT_CLOEXEC,
			      op->number[0] & ~(uint64_t)(op->flags & FLAG_COPY_UP ? MOUNT_ATTR_RDONLY : 0));
		if (r >= 0) {
			close_fd(&fs);
			return r;
		}
	}
	say_log(ctx, fs);
	close_fd(&fs);
	return r;
}

static int too_long(char **options)
{
	for (; *options; options++)
		if (strlen(*options) > CONFIG_VALUE_MAX)
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

/*
 * fsconfig(2) takes 255 bytes a value, an overlay's lowerdir may need a page:
 * mount(2) then, on the target by descriptor (/proc here is the host's).
 */
static int mount_at(struct context *ctx, const struct plan_op *op, char **options, int target)
{
	char data[4096], path[] = "/proc/self/fd/..........";
	size_t used = 0, length;
	char *digit = path + sizeof(path) - 1;
	int n = target, r;

	for (; *options; options++) {
		length = strlen(*options);
		if (used + length + 4 > sizeof(data))
			return -E2BIG;
		used += join_option(data + used, *options, length);
		data[used++] = ',';
	}
	data[used ? used - 1 : 0] = 0;
	for (*digit = 0; n; n /= 10)
		*--digit = (char)('0' + n % 10);
	memcpy(path + 14, digit, strlen(digit) + 1);
	r = (int)STEP(ctx, mount, plan_string(ctx, op->string[3]), path, plan_string(ctx, op->string[2]),
		      op->number[3], data);
	return r < 0 ? r : path_open(ctx, plan_string(ctx, op->string[1]), O_PATH, 0);
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

int op_mount(struct context *ctx, const struct plan_op *op)
{
	char **options = plan_list(ctx, op->string[4], op->number[2]);
	uint64_t resolve = op->flags & FLAG_ORDINARY ? RESOLVE_NO_SYMLINKS : 0;
	int tree, target;

	if (!options)
		return -ENOMEM;
	close_fd(&ctx->mount);
	target = path_make(ctx, plan_string(ctx, op->string[1]), S_IFDIR, 0755, resolve);
	if (target == -ELOOP && resolve)
		say(ctx, "must be mounted on an ordinary directory");
	if (target < 0)
		return target;
	tree = too_long(options) ? mount_at(ctx, op, options, target) :
				   attach_filesystem(ctx, op, options, target);
	close_fd(&target);
	if (tree < 0)
		return tree;
	ctx->mount = tree;
	return set_propagation(ctx, tree, op->number[1]);
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

int op_bind(struct context *ctx, const struct plan_op *op)
{
	struct statx st;
	int r, target, tree;

	close_fd(&ctx->mount);
	tree = source_tree(ctx, op);
	if (tree < 0)
		return tree;
	ctx->mount = tree;
	r = file_mode(ctx, tree, &st);
	if (r < 0)
		return r;
	target = path_make(ctx, plan_string(ctx, op->string[1]),
			   (st.stx_mode & S_IFMT) == S_IFDIR ? S_IFDIR : S_IFREG,
			   (st.stx_mode & S_IFMT) == S_IFDIR ? 0755 : 0644,
			   op->flags & FLAG_TARGET_NOFOLLOW ? RESOLVE_NO_SYMLINKS : 0);
	if (target < 0)
		return target;
	r = same_kind(ctx, tree, target);
	if (!r)
		r = set_attributes(ctx, tree, 0, op->number);
	if (!r)
		r = attach_tree(ctx, tree, target);
	close_fd(&target);
	return r < 0 ? r : set_propagation(ctx, tree, op->number[3]);
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

/* A file is masked by the host's /dev/null, and nothing that only has its name (CVE-2025-31133). */
static int null_tree(struct context *ctx)
{
	struct statx st;
	int r;

	if (ctx->null < 0) {
		ctx->null = (int)STEP(ctx, openat, AT_FDCWD, "/dev/null", O_PATH | O_CLOEXEC, 0);
		if (ctx->null < 0)
			return ctx->null;
	}
	r = file_mode(ctx, ctx->null, &st);
	if (r < 0)
		return r;
	if ((st.stx_mode & S_IFMT) != S_IFCHR || st.stx_rdev_major != 1 || st.stx_rdev_minor != 3) {
		say(ctx, "/dev/null is not the null device");
		return -ENODEV;
	}
	return clone_tree(ctx, ctx->null, "", AT_EMPTY_PATH);
}

/* One read-only tmpfs serves all masked directories: pid 1 of the host sees one mount come and go, not a dozen. */
static int empty_tree(struct context *ctx, const char *label)
{
	int r, tree, fs;

	if (ctx->empty >= 0)
		return clone_tree(ctx, ctx->empty, "", AT_EMPTY_PATH);
	fs = (int)STEP(ctx, fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return fs;
	r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0);
	if (!r)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_STRING, "mode", "755", 0);
	if (!r && *label)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_SET_STRING, "context", label, 0);
	if (!r)
		r = (int)STEP(ctx, fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	tree = r < 0 ? r : (int)STEP(ctx, fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY |
				     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	close_fd(&fs);
	return tree;
}

static int present(struct context *ctx, const struct plan_op *op)
{
	int fd = path_open(ctx, plan_string(ctx, op->string[1]), O_PATH, 0);

	return fd == -ENOTDIR ? -ENOENT : fd;
}

int op_mask(struct context *ctx, const struct plan_op *op)
{
	struct statx st;
	int r, tree, target = present(ctx, op);

	if (target == -ENOENT)
		return 0; /* nothing there to be seen */
	if (target < 0)
		return target;
	r = file_mode(ctx, target, &st);
	if (r < 0)
		return r;
	tree = (st.stx_mode & S_IFMT) == S_IFDIR ? empty_tree(ctx, plan_string(ctx, op->string[2])) :
						  null_tree(ctx);
	r = tree < 0 ? tree : attach_tree(ctx, tree, target);
	close_fd(&target);
	if (ctx->empty < 0 && (st.stx_mode & S_IFMT) == S_IFDIR)
		ctx->empty = tree; /* attached now, and may be cloned */
	else
		close_fd(&tree);
	return r;
}

int op_readonly(struct context *ctx, const struct plan_op *op)
{
	const uint64_t number[4] = { MOUNT_ATTR_RDONLY };
	int r, tree, target = present(ctx, op);

	if (target == -ENOENT)
		return 0;
	if (target < 0)
		return target;
	tree = clone_tree(ctx, target, "", AT_EMPTY_PATH | AT_RECURSIVE);
	r = tree < 0 ? tree : set_attributes(ctx, tree, 1, number);
	if (!r)
		r = attach_tree(ctx, tree, target);
	close_fd(&target);
	close_fd(&tree);
	return r;
}

/*
 * pivot_root(".", "."): the old root ends on top of the new one and is
 * unmounted from there, with no directory in the image for it (pivot_root(2)).
 */
static int change_root(struct context *ctx)
{
	int r, old = (int)STEP(ctx, openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	if (old < 0)
		return old;
	r = (int)STEP(ctx, fchdir, ctx->root);
	if (!r)
		r = (int)STEP(ctx, pivot_root, ".", ".");
	if (!r)
		r = (int)STEP(ctx, fchdir, old);
	if (!r) /* the host's mounts must not see the unmount */
		r = (int)STEP(ctx, mount, NULL, ".", NULL, MS_SLAVE | MS_REC, NULL);
	if (!r)
		r = (int)STEP(ctx, umount2, ".", MNT_DETACH_FLAG);
	close_fd(&old);
	return r < 0 ? r : (int)STEP(ctx, chdir, "/");
}

int op_pivot(struct context *ctx, const struct plan_op *op)
{
	const uint64_t number[4] = { op->number[1] };
	int r;

	if (op->flags & FLAG_CHROOT) {
		r = (int)STEP(ctx, openat, AT_FDCWD, plan_string(ctx, op->string[1]),
			      O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (r < 0)
			return r;
		close_fd(&ctx->root);
		ctx->root = r;
		r = (int)STEP(ctx, fchdir, ctx->root);
		if (!r)
			r = (int)STEP(ctx, chroot, ".");
		return r < 0 ? r : (int)STEP(ctx, chdir, "/");
	}
	r = change_root(ctx);
	if (!r)
		r = set_propagation(ctx, ctx->root, op->number[0]);
	return r < 0 ? r : set_attributes(ctx, ctx->root, 0, number);
}
