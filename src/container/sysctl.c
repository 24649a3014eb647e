/* SPDX-License-Identifier: Apache-2.0 */
#include "container/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/mount.h"
#include "fmt/oci.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"

enum { SYSCTL_KEY_MAX = 256, SYSCTL_VALUE_MAX = 4096, PROC_ROOT_INODE = 1 };

/*
 * key_path() - "net.ipv4.ip_forward" as "net/ipv4/ip_forward". As sysctl(8) has it, a key whose first
 * separator is '/' is a path already; otherwise '.' separates and '/' stands for a '.' inside a part (an
 * interface "eth0.1").
 * Return: -EINVAL for an empty part or one of dots only, which could lead elsewhere.
 */
static int key_path(const char *key, char *dst, size_t size)
{
	const char *first = key + strcspn(key, "./");
	bool dots = *first == '.';

	if (!*first || !str_copy(dst, size, key))
		return -EINVAL;
	for (char *p = dst; dots && *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	for (const char *p = dst;; p++) {
		size_t n = strcspn(p, "/");

		if (n == 0 || strspn(p, ".") >= n)
			return -EINVAL;
		p += n;
		if (!*p)
			return 0;
	}
}

static int need(const struct oci_spec *spec, enum oci_ns ns, const char *key, struct err *e)
{
	if (spec->linux.ns[ns].present)
		return 0;
	return err_set(e, EPERM, "linux.sysctl '%s': needs an own %s namespace: this one is the host's", key,
		       oci_ns_name(ns));
}

static bool is_ipc(const char *path)
{
	static const char *const keys[] = {
		"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
		"kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (str_eq(path, keys[i]))
			return true;
	return str_starts(path, "fs/mqueue/");
}

static int check_key(const struct oci_spec *spec, const char *key, const char *path, struct err *e)
{
	if (is_ipc(path))
		return need(spec, OCI_NS_IPC, key, e);
	if (str_starts(path, "net/"))
		return need(spec, OCI_NS_NETWORK, key, e);
	if (str_starts(path, "user/"))
		return need(spec, OCI_NS_USER, key, e);
	if (str_eq(path, "kernel/domainname") && spec->domainname)
		return err_set(e, EINVAL, "linux.sysctl '%s': conflicts with \"domainname\"", key);
	if (str_eq(path, "kernel/domainname"))
		return need(spec, OCI_NS_UTS, key, e);
	if (str_eq(path, "kernel/hostname"))
		return err_set(e, EINVAL, "linux.sysctl '%s': is what \"hostname\" sets", key);
	return err_set(e, EPERM, "linux.sysctl '%s': belongs to no namespace, so it is the host's", key);
}

/* check_one() - key and value; @dst gets the path below /proc/sys. */
static int check_one(const struct oci_spec *spec, const struct oci_kv *kv, char *dst, struct err *e)
{
	if (key_path(kv->key, dst, SYSCTL_KEY_MAX) < 0)
		return err_set(e, EINVAL, "linux.sysctl '%s': is not a key", kv->key);
	for (const char *p = kv->value; *p; p++) /* one value, so one line */
		if ((unsigned char)*p < ' ' && *p != '\t')
			return err_set(e, EINVAL, "linux.sysctl '%s': the value has a control character",
				       kv->key);
	if (strlen(kv->value) >= SYSCTL_VALUE_MAX)
		return err_set(e, EINVAL, "linux.sysctl '%s': the value is longer than %d bytes", kv->key,
			       SYSCTL_VALUE_MAX - 1);
	return check_key(spec, kv->key, dst, e);
}

/* is_own_netns() - does @path name the network namespace we are in? */
static int is_own_netns(const char *path, bool *ret_own, struct err *e)
{
	struct stat own, other;
	int r = file_fstatat(AT_FDCWD, "/proc/self/ns/net", &own, 0);

	if (r >= 0)
		r = file_fstatat(AT_FDCWD, path, &other, 0);
	if (r < 0)
		return err_sys(e, -r, "linux.namespaces: network '%s'", path);
	*ret_own = own.st_dev == other.st_dev && own.st_ino == other.st_ino;
	return 0;
}

int ct_sysctl_check(const struct oci_spec *spec, struct err *e)
{
	const char *netns = spec->linux.ns[OCI_NS_NETWORK].path;
	char path[SYSCTL_KEY_MAX];
	bool own = false;

	for (size_t i = 0; i < spec->linux.sysctl.n; i++) {
		int r = check_one(spec, &spec->linux.sysctl.v[i], path, e);

		if (r == 0 && netns && str_starts(path, "net/"))
			r = is_own_netns(netns, &own, e);
		if (r < 0)
			return r;
		if (own)
			return err_set(e, EPERM, "linux.sysctl '%s': the network namespace is the host's",
				       spec->linux.sysctl.v[i].key);
	}
	return 0;
}

/* is_proc_root() - the root of a procfs itself, not a directory of one bound there. */
static bool is_proc_root(int fd)
{
	struct stat st;

	return mnt_fstype_is(fd, PROC_SUPER_MAGIC) && file_fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 &&
	       st.st_ino == PROC_ROOT_INODE;
}

/* has_sysctls() - of its own, not covered, and to be written. */
static bool has_sysctls(int proc)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV };
	auto_close int sys = (int)SYS4(SYS_openat2, proc, "sys", &how, sizeof(how));
	struct statvfs fs;

	return sys >= 0 && fstatvfs(proc, &fs) == 0 && !(fs.f_flag & ST_RDONLY);
}

/*
 * open_proc() - the container's, verified; where that has nothing to write, one that nobody can reach
 * The second costs the wait for everybody who might still look at it, when it is closed.
 */
static int open_proc(int rootfd, struct err *e)
{
	auto_close int proc = ct_open_no_symlinks(rootfd, "/proc", O_DIRECTORY);
	auto_close int fs = -1;
	auto_close int own = -1;
	int r;

	if (proc >= 0 && is_proc_root(proc) && has_sysctls(proc))
		return TAKE_FD(proc);
	fs = mnt_fsopen("proc");
	r = fs < 0 ? fs : mnt_config_create(fs);
	if (r == 0)
		r = own = mnt_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (r < 0)
		return err_sys(e, -r, "linux.sysctl: a procfs with sysctls (the container's /proc has none)");
	return TAKE_FD(own);
}

static int write_one(int proc, const char *path, const char *value)
{
	struct open_how how = {
		.flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	auto_close int fd = (int)SYS4(SYS_openat2, proc, path, &how, sizeof(how));
	size_t len = strlen(value);
	long n;

	if (fd < 0)
		return fd;
	if (!mnt_fstype_is(fd, PROC_SUPER_MAGIC))
		return -EXDEV;
	n = SYS3(SYS_write, fd, value, len); /* at once: a second write would be a second value */
	return n < 0 ? (int)n : (size_t)n == len ? 0 : -EIO;
}

int ct_sysctl_apply(const struct oci_spec *spec, int rootfd, struct err *e)
{
	char path[4 + SYSCTL_KEY_MAX] = "sys/";
	auto_close int proc = -1;

	if (spec->linux.sysctl.n == 0)
		return 0;
	proc = open_proc(rootfd, e);
	if (proc < 0)
		return proc;
	for (size_t i = 0; i < spec->linux.sysctl.n; i++) {
		const struct oci_kv *kv = &spec->linux.sysctl.v[i];
		int r = check_one(spec, kv, path + strlen("sys/"), e);

		if (r < 0)
			return r;
		r = write_one(proc, path, kv->value);
		if (r < 0)
			return err_sys(e, -r, "linux.sysctl '%s'", kv->key);
	}
	return 0;
}
