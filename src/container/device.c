/* SPDX-License-Identifier: Apache-2.0 */
#include "container/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/mount.h"
#include "container/rootfs.h"
#include "fmt/oci.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/path.h"

/* Spec: OCI runtime-spec 1.3, config-linux.md "Default Devices" (console and ptmx are made otherwise) */
static const struct oci_device default_devices[] = {
	{ .type = 'c', .path = "/dev/null", .major = 1, .minor = 3 },
	{ .type = 'c', .path = "/dev/zero", .major = 1, .minor = 5 },
	{ .type = 'c', .path = "/dev/full", .major = 1, .minor = 7 },
	{ .type = 'c', .path = "/dev/random", .major = 1, .minor = 8 },
	{ .type = 'c', .path = "/dev/urandom", .major = 1, .minor = 9 },
	{ .type = 'c', .path = "/dev/tty", .major = 5, .minor = 0 },
};

struct dev_dir {
	int rootfd; /* borrowed */
	int fd;     /* "/dev", no symlink; owned */
	bool bind;  /* nodes cannot be made here */
};

static void dev_dir_fini(struct dev_dir *d)
{
	fd_close(&d->fd);
}

/*
 * dev_dir_open() - CVE-2026-41579: a /dev that is a symlink would have nodes made, and removed, where it
 * points.
 */
static int dev_dir_open(int rootfd, bool make, struct err *e)
{
	int fd = ct_open_no_symlinks(rootfd, "/dev", O_DIRECTORY);

	if (fd == -ENOENT && make) {
		fd = file_mkdir(rootfd, "dev", 0755);
		if (fd == 0)
			fd = ct_open_no_symlinks(rootfd, "/dev", O_DIRECTORY);
	}
	if (fd == -ELOOP)
		return err_set(e, ENOTDIR, "/dev: is a symlink in the root file system");
	return fd < 0 ? err_sys(e, -fd, "/dev") : fd;
}

static mode_t device_type(const struct oci_device *d)
{
	return d->type == 'b' ? S_IFBLK : d->type == 'p' ? S_IFIFO : S_IFCHR;
}

static bool is_device(int fd, const struct oci_device *d)
{
	struct stat st;

	if (file_fstatat(fd, "", &st, AT_EMPTY_PATH) < 0 || (st.st_mode & S_IFMT) != device_type(d))
		return false;
	return d->type == 'p' || st.st_rdev == makedev((unsigned)d->major, (unsigned)d->minor);
}

/*
 * host_node() - the host's node of the same device: under the same path, else under its number. O_PATH,
 * checked.
 */
static int host_node(const struct oci_device *d)
{
	auto_close int fd = file_open(AT_FDCWD, d->path, O_PATH, 0);
	char path[64];

	if (fd >= 0 && is_device(fd, d))
		return TAKE_FD(fd);
	fd_close(&fd);
	str_format(path, sizeof(path), "/dev/%s/%u:%u", d->type == 'b' ? "block" : "char", (unsigned)d->major,
		   (unsigned)d->minor);
	fd = file_open(AT_FDCWD, path, O_PATH, 0);
	if (fd >= 0 && is_device(fd, d))
		return TAKE_FD(fd);
	return -ENODEV;
}

/*
 * bind_target() - a file named @name in @dir to mount on, made when missing; never a symlink or a
 * directory.
 */
static int bind_target(int dir, const char *name)
{
	auto_close int fd = file_open(dir, name, O_PATH | O_NOFOLLOW, 0);
	struct stat st;
	int r;

	if (fd == -ENOENT) {
		fd = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
		if (fd < 0)
			return fd;
		fd_close(&fd);
		fd = file_open(dir, name, O_PATH | O_NOFOLLOW, 0);
	}
	r = fd < 0 ? fd : file_fstatat(fd, "", &st, AT_EMPTY_PATH);
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
		return S_ISLNK(st.st_mode) ? -ELOOP : -EISDIR;
	return TAKE_FD(fd);
}

static int bind_on(int src, int dir, const char *name)
{
	auto_close int dst = bind_target(dir, name);
	auto_close int tree = -1;
	int r;

	if (dst < 0)
		return dst;
	tree = mnt_open_tree(src, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	r = tree < 0 ? tree : mnt_set_attr(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, 0, -1, false);
	return r < 0 ? r : mnt_attach(tree, dst);
}

static int bind_node(int dir, const char *name, const struct oci_device *d, struct err *e)
{
	auto_close int src = host_node(d);
	int r;

	if (src == -ENODEV)
		return err_set(e, ENODEV, "the host has no such node to bind");
	r = src < 0 ? src : bind_on(src, dir, name);
	return r < 0 ? err_sys(e, -r, "bind the host's node") : 0;
}

/* make_node() - mknod, or what is there already when it is the same. -EPERM: not allowed here. */
static int make_node(int dir, const char *name, const struct oci_device *d, struct err *e)
{
	mode_t perm = d->mode.set ? (mode_t)(d->mode.v & 07777) : 0666;
	auto_close int fd = -1;
	long r = SYS4(SYS_mknodat, dir, name, device_type(d) | perm,
		      makedev((unsigned)d->major, (unsigned)d->minor));

	if (r == -EPERM)
		return -EPERM;
	if (r < 0 && r != -EEXIST)
		return err_sys(e, (int)-r, "make");
	if (r == 0 && d->uid == 0 && d->gid == 0)
		return 0;
	fd = file_open(dir, name, O_PATH | O_NOFOLLOW, 0);
	if (fd < 0 || !is_device(fd, d))
		return err_set(e, EEXIST, "the root file system has something else there");
	if (r == -EEXIST)
		return 0;
	r = SYS5(SYS_fchownat, fd, "", d->uid, d->gid, AT_EMPTY_PATH);
	return r < 0 ? err_sys(e, (int)-r, "owner") : 0;
}

/* device_dir() - the directory @d's node goes into, made when missing, and the node's name (caller frees). */
static int device_dir(const struct dev_dir *dev, const char *path, char **ret_name)
{
	const char *in_dev = str_after(path, "/dev/");

	return in_dev ? path_parent_in_root(dev->fd, in_dev, true, ret_name) :
			path_parent_in_root(dev->rootfd, path, true, ret_name);
}

static int make_device(const struct dev_dir *dev, const struct oci_device *d, struct err *e)
{
	auto_free char *name = NULL;
	auto_close int dir = -1;
	char path[CT_PATH_MAX];
	int r = ct_path_clean(path, d->path);

	if (r == 0 && str_eq(path, "/dev/ptmx"))
		return 0; /* the container's own, whatever is asked */
	dir = r < 0 ? r : device_dir(dev, path, &name);
	if (dir < 0)
		return err_sys(e, -dir, "device '%s'", d->path);
	r = dev->bind && d->type != 'p' ? -EPERM : make_node(dir, name, d, e);
	if (r == -EPERM)
		r = bind_node(dir, name, d, e);
	return r < 0 ? err_wrap(e, r, "device '%s' (%c %lld:%lld)", d->path, d->type, (long long)d->major,
				(long long)d->minor) :
		       0;
}

/* make_default() - as make_device(), straight in /dev and unless linux.devices has the same path. */
static int make_default(const struct dev_dir *dev, const struct oci_spec *spec, const struct oci_device *d,
			struct err *e)
{
	const char *name = d->path + strlen("/dev/");
	int r;

	for (size_t i = 0; i < spec->linux.n_devices; i++)
		if (str_eq(spec->linux.devices[i].path, d->path))
			return 0;
	r = dev->bind ? -EPERM : make_node(dev->fd, name, d, e);
	if (r == -EPERM)
		r = bind_node(dev->fd, name, d, e);
	return r < 0 ? err_wrap(e, r, "device '%s'", d->path) : 0;
}

static int make_link(int dev, const char *name, const char *target, bool replace, struct err *e)
{
	long r = SYS3(SYS_symlinkat, target, dev, name);

	if (r == -EEXIST && !replace)
		return 0;
	if (r == -EEXIST) {
		r = file_unlink(dev, name, 0);
		if (r == 0)
			r = SYS3(SYS_symlinkat, target, dev, name);
	}
	return r < 0 ? err_sys(e, (int)-r, "/dev/%s", name) : 0;
}

/*
 * make_links() - Spec: runtime-linux.md "Dev symbolic links"; /dev/ptmx always shows the container's own
 * devpts.
 */
static int make_links(int dev, struct err *e)
{
	static const struct {
		const char *name, *target;
	} links[] = {
		{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
		{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
		{ "core", "/proc/kcore" },
	};
	size_t n = ARRAY_SIZE(links);
	struct stat st;

	if (file_fstatat(AT_FDCWD, "/proc/kcore", &st, AT_SYMLINK_NOFOLLOW) < 0)
		n--; /* a kernel without it gets no link to it */
	for (size_t i = 0; i < n; i++) {
		int r = make_link(dev, links[i].name, links[i].target, false, e);

		if (r < 0)
			return r;
	}
	return make_link(dev, "ptmx", "pts/ptmx", true, e);
}

int ct_device_make_all(const struct ct_rootfs *r, int rootfd, struct err *e)
{
	auto_fini(dev_dir) struct dev_dir dev = {
		.rootfd = rootfd,
		.fd = dev_dir_open(rootfd, true, e),
		.bind = r->new_userns || r->rootless,
	};
	int rc = dev.fd;

	for (size_t i = 0; rc >= 0 && i < ARRAY_SIZE(default_devices); i++)
		rc = make_default(&dev, r->spec, &default_devices[i], e);
	for (size_t i = 0; rc >= 0 && i < r->spec->linux.n_devices; i++)
		rc = make_device(&dev, &r->spec->linux.devices[i], e);
	if (rc >= 0)
		rc = make_links(dev.fd, e);
	if (rc >= 0 && r->spec->has_process && r->spec->process.terminal) {
		auto_close int console = bind_target(dev.fd, "console");

		if (console < 0)
			return err_sys(e, -console, "/dev/console");
	}
	return rc < 0 ? rc : 0;
}

int ct_device_open_null(int rootfd, struct err *e)
{
	static const struct oci_device null = { .type = 'c', .major = 1, .minor = 3 };
	auto_close int fd = path_open_in_root(rootfd, "/dev/null", O_PATH, 0);

	if (fd < 0)
		return err_sys(e, -fd, "/dev/null");
	if (!is_device(fd, &null))
		return err_set(e, EPERM, "/dev/null: is not the null device");
	return TAKE_FD(fd);
}

/*
 * open_ptmx() - the multiplexer of the devpts at the container's /dev/pts: nothing can be planted inside
 * a devpts.
 */
static int open_ptmx(int rootfd, struct err *e)
{
	struct open_how how = {
		.flags = O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	auto_close int pts = path_open_in_root(rootfd, "/dev/pts", O_PATH | O_DIRECTORY, 0);
	long fd;

	if (pts < 0)
		return err_sys(e, -pts, "/dev/pts");
	if (!mnt_fstype_is(pts, DEVPTS_SUPER_MAGIC))
		return err_set(e, EPERM, "/dev/pts: is not a devpts");
	fd = SYS4(SYS_openat2, pts, "ptmx", &how, sizeof(how));
	return fd < 0 ? err_sys(e, (int)-fd, "/dev/pts/ptmx") : (int)fd;
}

int ct_device_open_terminal(int rootfd, int *ret_master, int *ret_slave, struct err *e)
{
	auto_close int master = open_ptmx(rootfd, e);
	auto_close int slave = -1;
	auto_close int dev = -1;
	int unlock = 0;
	long r;

	if (master < 0)
		return master;
	r = SYS3(SYS_ioctl, master, TIOCSPTLCK, &unlock);
	if (r == 0)
		r = SYS3(SYS_ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (r < 0)
		return err_sys(e, (int)-r, "terminal");
	slave = (int)r;
	dev = dev_dir_open(rootfd, false, e);
	if (dev < 0)
		return dev;
	/* CVE-2025-52565: what is bound is the descriptor the kernel gave us, what it is bound on is no
	 * symlink. */
	r = bind_on(slave, dev, "console");
	if (r < 0)
		return err_sys(e, (int)-r, "/dev/console");
	*ret_master = TAKE_FD(master);
	*ret_slave = TAKE_FD(slave);
	return 0;
}
