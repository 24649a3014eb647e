/* SPDX-License-Identifier: Apache-2.0 */
#include "container/mount_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/rootfs.h"
#include "fmt/oci.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"

#ifndef SELINUX_MAGIC
#define SELINUX_MAGIC 0xf97cff8c
#endif

enum { FS_VALUE_MAX = 256 }; /* fsconfig(2) takes strings shorter than this */

static bool one_of(const char *s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(s, list[i]))
			return true;
	return false;
}

/*
 * is_kernel_fs() - nothing on a disk behind it: read-only is then the mount's matter, never the shared
 * superblock's.
 */
static bool is_kernel_fs(const char *fstype)
{
	static const char *const types[] = {
		"proc",   "sysfs",   "tmpfs",       "devpts",     "mqueue",   "cgroup",    "cgroup2",
		"bpf",    "debugfs", "tracefs",     "securityfs", "configfs", "hugetlbfs", "efivarfs",
		"pstore", "fusectl", "binfmt_misc", "selinuxfs",  "ramfs",
	};

	return one_of(fstype, types, ARRAY_SIZE(types));
}

static int config_dir(int fs, const char *key, const char *path)
{
	auto_close int fd = -1;

	if (strlen(path) < FS_VALUE_MAX)
		return mnt_config_string(fs, key, path);
	fd = file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0); /* Linux 6.13 and later take a descriptor */
	return fd < 0 ? fd : mnt_config_fd(fs, key, fd);
}

/*
 * config_lower() - overlay's "lowerdir=a:b::data", layer by layer, when it is longer than fsconfig(2)
 * takes (Linux 6.5).
 */
static int config_lower(int fs, const char *value)
{
	auto_free char *copy = strdup(value);
	const char *key = "lowerdir+";
	int r = copy ? 0 : -ENOMEM;

	if (strchr(value, '\\'))
		return -ENAMETOOLONG; /* an escaped colon */
	for (char *p = copy; r == 0 && p;) {
		char *dir = strsep(&p, ":");

		if (*dir)
			r = config_dir(fs, key, dir);
		else
			key = "datadir+";
	}
	return r;
}

static int config_option(int fs, const char *fstype, const char *option)
{
	static const char *const dirs[] = { "upperdir", "workdir", "lowerdir+", "datadir+" };
	const char *value = strchr(option, '=');
	char key[64];

	if (!value)
		return mnt_config_flag(fs, option);
	if ((size_t)(value - option) >= sizeof(key))
		return -EINVAL;
	str_format(key, sizeof(key), "%.*s", (int)(value - option), option);
	value++;
	if (strlen(value) < FS_VALUE_MAX)
		return mnt_config_string(fs, key, value);
	if (!str_eq(fstype, "overlay"))
		return -ENAMETOOLONG;
	if (str_eq(key, "lowerdir"))
		return config_lower(fs, value);
	return one_of(key, dirs, ARRAY_SIZE(dirs)) ? config_dir(fs, key, value) : -ENAMETOOLONG;
}

/*
 * config_flags() - the superblock's flags; MS_SILENT has no meaning here: the kernel's complaints go
 * into our error.
 */
static int config_flags(const struct mount_job *j, int fs, struct err *e)
{
	static const struct {
		uint64_t bit;
		const char *key;
	} flags[] = {
		{ MS_RDONLY, "ro" },         { MS_SYNCHRONOUS, "sync" }, { MS_DIRSYNC, "dirsync" },
		{ MS_LAZYTIME, "lazytime" }, { MS_MANDLOCK, "mand" },    { MS_I_VERSION, "iversion" },
	};
	uint64_t want = j->m->sb_flags;

	if (j->m->type && is_kernel_fs(j->m->type))
		want &= ~(uint64_t)MS_RDONLY;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		int r = want & flags[i].bit ? mnt_config_flag(fs, flags[i].key) : 0;

		if (r < 0)
			return mnt_fail(fs, -r, flags[i].key, e);
	}
	return 0;
}

static int config_options(const struct mount_job *j, int fs, struct err *e)
{
	int r = config_flags(j, fs, e);

	for (size_t i = 0; r == 0 && i < j->m->data.n; i++) {
		r = config_option(fs, j->m->type, j->m->data.v[i]);
		if (r < 0)
			return err_wrap(e, mnt_fail(fs, -r, j->m->data.v[i], e), "option");
	}
	return r;
}

static bool has_option(const struct oci_mount *m, const char *prefix)
{
	for (size_t i = 0; i < m->data.n; i++)
		if (str_starts(m->data.v[i], prefix))
			return true;
	return false;
}

static bool selinux_enabled(void)
{
	auto_close int fd = file_open(AT_FDCWD, "/sys/fs/selinux", O_PATH | O_DIRECTORY, 0);

	return fd >= 0 && mnt_fstype_is(fd, (long)SELINUX_MAGIC);
}

/* config_label() - linux.mountLabel on what holds files of the container's own. */
static int config_label(const struct mount_job *j, int fs, struct err *e)
{
	static const char *const unlabelled[] = { "proc", "sysfs", "mqueue", "cgroup", "cgroup2" };
	const char *label = j->r->spec->linux.mount_label;
	int r;

	if (!label || !*label || one_of(j->m->type, unlabelled, ARRAY_SIZE(unlabelled)))
		return 0;
	if (!selinux_enabled())
		return err_set(e, ENOTSUP, "linux.mountLabel: SELinux is not enabled here");
	r = mnt_config_string(fs, "context", label);
	return r < 0 ? mnt_fail(fs, -r, "linux.mountLabel", e) : 0;
}

/* config() - all that goes into a new superblock. */
static int config(const struct mount_job *j, int fs, mode_t tmpfs_mode, struct err *e)
{
	const struct oci_mount *m = j->m;
	char mode[16];
	int r = 0;

	if (m->source && *m->source)
		r = mnt_config_string(fs, "source", m->source);
	if (r < 0)
		return mnt_fail(fs, -r, "source", e);
	if (tmpfs_mode && !has_option(m, "mode=")) {
		str_format(mode, sizeof(mode), "%o", (unsigned)tmpfs_mode);
		r = mnt_config_string(fs, "mode", mode);
		if (r < 0)
			return mnt_fail(fs, -r, "mode", e);
	}
	r = config_options(j, fs, e);
	return r < 0 ? r : config_label(j, fs, e);
}

/* label_queue() - mqueue takes no context option; its root is labelled instead. */
static int label_queue(const struct mount_job *j, int tree, struct err *e)
{
	const char *label = j->r->spec->linux.mount_label;
	auto_close int dir = -1;
	long r;

	if (!label || !*label || !str_eq(j->m->type, "mqueue") || !selinux_enabled())
		return 0;
	dir = file_open(tree, ".", O_RDONLY | O_DIRECTORY, 0);
	r = dir < 0 ? dir : SYS5(SYS_fsetxattr, dir, "security.selinux", label, strlen(label) + 1, 0);
	return r < 0 ? err_sys(e, (int)-r, "linux.mountLabel") : 0;
}

int mount__make_fs(const struct mount_job *j, mode_t tmpfs_mode, struct err *e)
{
	auto_close int fs = mnt_fsopen(j->m->type);
	auto_close int tree = -1;
	int r;

	if (fs == -ENODEV)
		return err_set(e, ENODEV, "type: no such file system in this kernel");
	if (fs < 0)
		return err_sys(e, -fs, "type");
	r = config(j, fs, tmpfs_mode, e);
	if (r < 0)
		return r;
	r = mnt_config_create(fs);
	if (r < 0)
		return mnt_fail(fs, -r, "make file system", e);
	tree = mnt_fsmount(fs, (unsigned)j->attr);
	if (tree == -EPERM && str_eq(j->m->type, "proc"))
		return err_set(
			e, EPERM,
			"make mount: a user namespace may not see more of procfs than /proc here shows");
	if (tree < 0)
		return mnt_fail(fs, -tree, "make mount", e);
	r = label_queue(j, tree, e);
	return r < 0 ? r : TAKE_FD(tree);
}

int mount__reconfigure(const struct mount_job *j, int dst, struct err *e)
{
	auto_close int fs = -1;
	int r;

	if (j->m->data.n == 0 && j->m->sb_flags == 0)
		return 0;
	fs = (int)SYS3(SYS_fspick, dst, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
	if (fs < 0)
		return err_sys(e, -fs, "remount");
	r = config_options(j, fs, e);
	if (r < 0)
		return r;
	r = (int)SYS5(SYS_fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
	return r < 0 ? mnt_fail(fs, -r, "remount", e) : 0;
}
