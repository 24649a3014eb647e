/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Each lower becomes a descriptor: a directory as it is, an EROFS image as a detached mount of its own. The
 * overlay is configured with these descriptors (detached lowers and O_PATH in FSCONFIG_SET_FD: Linux 6.15)
 * and mounted detached.
 *
 * An older kernel wants layers that are mounted in the caller's mount namespace. Then a child does the same
 * work in a private copy of the namespace: it attaches each layer on top of "/" (absolute paths still start
 * at the old root, so nothing gets hidden), names the layers "/proc/self/fd/N", and leaves the finished mount
 * in the descriptor table it shares with us. Before "lowerdir+" (Linux 6.8) the options are one string for
 * mount(2).
 *
 * An image file is mounted as it is (Linux 6.12, when its file system can: not tmpfs), else through a loop
 * device that clears itself.
 */
#include "fs/overlay.h"

#include <linux/loop.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fs/overlay_internal.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/ns.h"

enum {
	LOWER_MAX = 500, /* the kernel's own limit of layers */
	LOOP_TRIES = 64, /* others take the free device we were told of */
};

enum overlay_way overlay__ways = OVERLAY_ANY;

/* The descriptors of one overlay. Allocated before any clone: the child must not. */
struct layers {
	int upper, work; /* -1: none */
	size_t n;
	int fd[];
};

static void layers_free(struct layers *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n; i++)
		guard_close(&l->fd[i]);
	guard_close(&l->upper);
	guard_close(&l->work);
	free(l);
}
GUARD_FREEP(layers, struct layers)

/* loop_attach() - a loop device over @fd, read-only, gone with its last user. Return: device fd. */
static int loop_attach(int fd, struct err *e)
{
	struct loop_config config = {
		.fd = (unsigned)fd,
		.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
	};
	auto_close int control = file_open(AT_FDCWD, "/dev/loop-control", O_RDWR, 0);
	int r;

	if (control < 0)
		return err_sys(e, -control, "loop device: /dev/loop-control");
	for (int i = 0; i < LOOP_TRIES; i++) {
		auto_close int dev = -1;
		char path[FD_PATH_SIZE];
		long n = SYS2(SYS_ioctl, control, LOOP_CTL_GET_FREE);

		if (n < 0)
			return err_sys(e, (int)-n, "loop device: none free");
		str_format(path, sizeof(path), "/dev/loop%ld", n);
		dev = file_open(AT_FDCWD, path, O_RDONLY, 0);
		if (dev < 0)
			return err_sys(e, -dev, "loop device: %s", path);
		r = (int)SYS3(SYS_ioctl, dev, LOOP_CONFIGURE, &config);
		if (r == 0)
			return TAKE_FD(dev);
		if (r != -EBUSY)
			return err_sys(e, -r, "loop device: %s", path);
	}
	return err_sys(e, EBUSY, "loop device: none free");
}

/* erofs_mount_source() - @source (a file or a block device) as a detached mount. */
static int erofs_mount_source(int source, struct err *e)
{
	auto_close int ctx = mnt_fsopen("erofs");
	char path[FD_PATH_SIZE];
	int r = ctx;

	if (r < 0)
		return err_sys(e, -r, "the kernel offers no EROFS");
	r = mnt_config_string(ctx, "source", fd_path(source, path));
	if (r >= 0)
		r = mnt_config_flag(ctx, "ro");
	if (r >= 0)
		r = mnt_config_create(ctx);
	if (r >= 0)
		r = mnt_fsmount(ctx, MOUNT_ATTR_RDONLY);
	return r < 0 ? mnt_fail(ctx, -r, "mount as EROFS", e) : r;
}

static int erofs_mount(int image, struct err *e)
{
	auto_close int dev = -1;
	int r = -ENOTBLK;

	if (overlay__ways & OVERLAY_FILE_BACKED)
		r = erofs_mount_source(image, e);
	/* -EINVAL: a damaged image, or a file system that cannot back a mount: the loop device tells */
	if (r != -ENOTBLK && r != -EINVAL)
		return r;
	dev = loop_attach(image, e);
	return dev < 0 ? dev : erofs_mount_source(dev, e);
}

int overlay_layer_open(const char *path, struct err *e)
{
	auto_close int fd = file_open(AT_FDCWD, path, O_RDONLY, 0);
	struct stat st;
	int r;

	if (fd < 0)
		return err_sys(e, -fd, "layer '%s'", path);
	r = file_fstatat(fd, "", &st, AT_EMPTY_PATH);
	if (r < 0)
		return err_sys(e, -r, "layer '%s'", path);
	if (S_ISDIR(st.st_mode))
		return TAKE_FD(fd);
	r = erofs_mount(fd, e);
	return r < 0 ? err_wrap(e, r, "layer '%s'", path) : r;
}

/* empty_open() - a lower with nothing in it: the kernel wants one under an upper, and two without. */
static int empty_open(struct err *e)
{
	auto_close int ctx = mnt_fsopen("tmpfs");
	int r = ctx;

	if (r >= 0)
		r = mnt_config_string(ctx, "mode", "0755");
	if (r >= 0)
		r = mnt_config_create(ctx);
	if (r >= 0)
		r = mnt_fsmount(ctx, MOUNT_ATTR_RDONLY);
	return r < 0 ? err_sys(e, -r, "empty layer: tmpfs") : r;
}

/* attach_hidden() - a mount of this namespace that no path leads to, except through its descriptor. */
static int attach_hidden(int tree, struct err *e)
{
	int r = mnt_attach_at(tree, AT_FDCWD, "/", 0);

	return r < 0 ? err_sys(e, -r, "attach a layer") : 0;
}

static int layers_add(struct layers *l, int fd, bool attach, bool is_mount, struct err *e)
{
	if (fd < 0)
		return fd;
	l->fd[l->n++] = fd;
	return attach && is_mount ? attach_hidden(fd, e) : 0;
}

static int dir_open(const char *what, const char *path, struct err *e)
{
	int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);

	return fd < 0 ? err_sys(e, -fd, "%s directory '%s'", what, path) : fd;
}

/*
 * volatile_marker() - the kernel marks the work directory of an unsynced upper and refuses to mount it again.
 * To whoever discards the upper anyway it says nothing; anyone else must not go on with what a crash may have
 * torn.
 */
static int volatile_marker(int work, bool discard, struct err *e)
{
	static const char marker[] = "work/incompat/volatile";
	struct stat st;

	if (file_fstatat(work, marker, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (!discard)
		return err_set(
			e, EUCLEAN,
			"the upper directory was used unsynced ('volatile') before: its contents cannot "
			"be trusted");
	file_unlink(work, "work/incompat/volatile/dirty", 0);
	file_unlink(work, marker, AT_REMOVEDIR);
	file_unlink(work, "work/incompat", AT_REMOVEDIR);
	return 0;
}

/* layers_open() - descriptors for all of @o; @attach: mounts among them go into this mount namespace. */
static int layers_open(const struct overlay *o, struct layers *l, bool attach, struct err *e)
{
	size_t need = o->upper ? 1 : 2;
	int r = 0;

	for (size_t i = 0; i < o->n_lower && r >= 0; i++) {
		int fd = overlay_layer_open(o->lower[i], e);
		/* F_GETFL tells them apart: a mount descriptor is O_PATH, our directories are not */
		bool is_mount = fd >= 0 && (SYS2(SYS_fcntl, fd, F_GETFL) & O_PATH);

		r = layers_add(l, fd, attach, is_mount, e);
	}
	while (r >= 0 && l->n < need)
		r = layers_add(l, empty_open(e), attach, true, e);
	if (r < 0 || !o->upper)
		return r < 0 ? r : 0;
	l->upper = dir_open("upper", o->upper, e);
	if (l->upper < 0)
		return l->upper;
	l->work = dir_open("work", o->work, e);
	return l->work < 0 ? l->work : volatile_marker(l->work, o->discard, e);
}

static int config_layer(int ctx, const char *key, int fd, bool by_fd)
{
	char path[FD_PATH_SIZE];

	return by_fd ? mnt_config_fd(ctx, key, fd) : mnt_config_string(ctx, key, fd_path(fd, path));
}

static int config_layers(int ctx, const struct layers *l, bool by_fd)
{
	int r = 0;

	for (size_t i = 0; i < l->n && r >= 0; i++)
		r = config_layer(ctx, "lowerdir+", l->fd[i], by_fd);
	if (r >= 0 && l->upper >= 0) {
		r = config_layer(ctx, "upperdir", l->upper, by_fd);
		if (r >= 0)
			r = config_layer(ctx, "workdir", l->work, by_fd);
	}
	return r;
}

/* config_options() - an upper must stand on its own (commit, diff) and a layer must not redirect: both off,
 * by name. */
static int config_options(int ctx, const struct overlay *o)
{
	static const char *const option[][2] = {
		{ "redirect_dir", "nofollow" },
		{ "metacopy", "off" },
		{ "index", "off" },
	};
	int r = mnt_config_string(ctx, "source", "hull");

	for (size_t i = 0; i < sizeof(option) / sizeof(option[0]) && r >= 0; i++)
		r = mnt_config_string(ctx, option[i][0], option[i][1]);
	if (r >= 0 && o->discard && o->upper)
		r = mnt_config_flag(ctx, "volatile");
	if (r >= 0 && o->userxattr)
		r = mnt_config_flag(ctx, "userxattr");
	return r;
}

/* compose() - the overlay over @l, detached. */
static int compose(const struct overlay *o, const struct layers *l, bool by_fd, struct err *e)
{
	auto_close int ctx = mnt_fsopen("overlay");
	int r = ctx;

	if (r < 0)
		return err_sys(e, -r, "the kernel offers no overlay");
	r = config_layers(ctx, l, by_fd);
	if (r >= 0)
		r = config_options(ctx, o);
	if (r >= 0)
		r = mnt_config_create(ctx);
	if (r >= 0)
		r = mnt_fsmount(ctx, o->upper ? 0 : MOUNT_ATTR_RDONLY);
	return r < 0 ? mnt_fail(ctx, -r, "mount the overlay", e) : r;
}

/* compose_mount2() - as compose(), for kernels whose overlay takes one option string only. */
static int compose_mount2(const struct overlay *o, const struct layers *l, struct err *e)
{
	enum { OPTIONS_SIZE = 4096 };      /* mount(2) reads one page */
	static char options[OPTIONS_SIZE]; /* a child's own copy: nothing here may allocate */
	size_t at = str_format(options, sizeof(options), "redirect_dir=nofollow,metacopy=off,index=off%s%s",
			       o->discard && o->upper ? ",volatile" : "", o->userxattr ? ",userxattr" : "");
	int r;

	for (size_t i = 0; i < l->n && at < sizeof(options); i++)
		at += str_format(options + at, sizeof(options) - at, "%s/proc/self/fd/%d",
				 i ? ":" : ",lowerdir=", l->fd[i]);
	if (l->upper >= 0 && at < sizeof(options))
		at += str_format(options + at, sizeof(options) - at,
				 ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", l->upper, l->work);
	if (at >= sizeof(options))
		return err_set(e, E2BIG,
			       "mount overlay: %zu layers are more than this kernel's one page of options "
			       "can name",
			       l->n);
	r = (int)SYS5(SYS_mount, "hull", "/", "overlay", o->upper ? 0 : MS_RDONLY, options);
	if (r < 0)
		return err_sys(e, -r, "mount overlay of %zu layers", l->n);
	/* ".." of the root is the root and what is mounted on it: the overlay */
	r = mnt_open_tree(AT_FDCWD, "/..", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return r < 0 ? err_sys(e, -r, "detach the overlay") : r;
}

/* compose_private() - in the child, which is alone in its mount namespace. */
static int compose_private(const struct overlay *o, struct layers *l, struct err *e)
{
	int r = mnt_propagation("/", MS_REC | MS_PRIVATE);

	if (r < 0) /* never attach where it could propagate to the host */
		return err_sys(e, -r, "make a private mount namespace");
	r = layers_open(o, l, true, e);
	if (r < 0)
		return r;
	r = overlay__ways & OVERLAY_LOWERDIR_ADD ? compose(o, l, false, e) : -EINVAL;
	return r == -EINVAL ? compose_mount2(o, l, e) : r;
}

struct answer {
	int fd; /* or -errno */
	struct err e;
};

/*
 * The child shares our descriptor table (so the mount needs no sending) but not our mount namespace. It gives
 * back what it opened itself.
 */
static int overlay_open_in_child(const struct overlay *o, struct layers *l, struct err *e)
{
	struct answer answer = { .fd = -EIO };
	auto_close int pidfd = -1;
	int pipe_fd[2];
	siginfo_t info;
	pid_t pid;
	int r = file_pipe(pipe_fd);

	if (r < 0)
		return err_sys(e, -r, "mount overlay: pipe");
	pid = ns_clone(CLONE_FILES | CLONE_NEWNS, -1, &pidfd);
	if (pid == 0) {
		answer.fd = compose_private(o, l, &answer.e);
		layers_free(l);
		_exit(file_write(pipe_fd[1], &answer, sizeof(answer)) < 0);
	}
	if (pid > 0) {
		pidfd_wait(pidfd, &info, WEXITED | __WALL);
		close(pipe_fd[1]);
		if (file_read(pipe_fd[0], &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
			answer.fd = err_set(&answer.e, EIO, "mount overlay: the child that mounts died");
	} else {
		close(pipe_fd[1]);
		answer.fd = err_sys(&answer.e, (int)-pid, "mount overlay: private mount namespace");
	}
	close(pipe_fd[0]);
	if (answer.fd < 0 && e)
		*e = answer.e;
	return answer.fd;
}

static struct layers *layers_new(size_t n)
{
	struct layers *l = calloc(1, sizeof(*l) + (n + 2) * sizeof(l->fd[0]));

	if (l)
		l->upper = l->work = -1;
	return l;
}

/* keep_lowers() - what the caller closes instead of us */
static void keep_lowers(const struct overlay *o, struct layers *l)
{
	for (size_t i = 0; o->keep && i < o->n_lower; i++)
		o->keep[i] = TAKE_FD(l->fd[i]);
}

int overlay_open(const struct overlay *o, struct err *e)
{
	auto_free_(layers) struct layers *l = layers_new(o->n_lower);
	struct err first = { 0 };
	int r = -EINVAL;

	for (size_t i = 0; o->keep && i < o->n_lower; i++)
		o->keep[i] = -1;
	if (o->n_lower > LOWER_MAX)
		return err_set(e, E2BIG, "mount overlay: %zu layers, the kernel takes %d", o->n_lower,
			       LOWER_MAX);
	if (!l)
		return err_set(e, ENOMEM, "mount overlay: out of memory");
	if (overlay__ways & OVERLAY_BY_FD) {
		r = layers_open(o, l, false, &first);
		if (r >= 0)
			r = compose(o, l, true, &first);
		else
			r = r == -EINVAL ? -EUCLEAN : r; /* a bad layer stays bad in a child */
	}
	if (r >= 0 || (r != -EINVAL && r != -EBADF)) {
		if (r >= 0)
			keep_lowers(o, l);
		else if (e)
			*e = first;
		return r;
	}
	layers_free(l);
	l = layers_new(o->n_lower);
	if (!l)
		return err_set(e, ENOMEM, "mount overlay: out of memory");
	return overlay_open_in_child(o, l, e);
}

/*
 * A socket has no contents to be wrong, so this probe never makes the kernel log anything: with file-backed
 * mounts opening the source fails (-ENXIO), without them it is just no block device (-ENOTBLK).
 */
static int erofs_probe(void)
{
	auto_close int ctx = mnt_fsopen("erofs");
	auto_close int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char path[FD_PATH_SIZE];
	int r;

	if (ctx < 0 || sock < 0)
		return -ENODEV;
	r = mnt_config_string(ctx, "source", fd_path(sock, path));
	return r < 0 ? r : mnt_config_create(ctx);
}

bool overlay_erofs_mountable(void)
{
	static int known; /* 1 yes, -1 no */
	int r;

	if (known)
		return known > 0;
	r = erofs_probe();
	if (r == -ENOTBLK) {
		auto_close int control = file_open(AT_FDCWD, "/dev/loop-control", O_RDWR, 0);

		r = control < 0 ? control : -ENXIO;
	}
	known = r == -ENXIO ? 1 : -1;
	return known > 0;
}
