/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/seal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/path.h"

static const char self_path[] = "/proc/self/exe";

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

bool seal_is_on(void)
{
	auto_close int fd = file_open(AT_FDCWD, self_path, O_RDONLY, 0);
	struct statvfs fs;
	long seals;

	if (fd < 0)
		return false;
	if (fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_RDONLY)
		return true;
	seals = SYS2(SYS_fcntl, fd, F_GET_SEALS);
	return seals >= 0 && (seals & SEALS) == SEALS;
}

/* open_here() - our file by its path, when that is still the same file. Return: detached mount of it, or -errno. */
static int open_here(void)
{
	auto_close int fd = -1;
	struct stat own, found;
	char path[PATH_MAX];
	long n = SYS4(SYS_readlinkat, AT_FDCWD, self_path, path, sizeof(path) - 1);

	if (n < 0)
		return (int)n;
	path[n] = '\0';
	fd = file_open(AT_FDCWD, path, O_PATH | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	if (stat(self_path, &own) < 0 || fstat(fd, &found) < 0 || own.st_dev != found.st_dev ||
	    own.st_ino != found.st_ino)
		return -ESTALE;
	return mnt_open_tree(fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
}

/* seal_mount() - our file on a detached read-only mount of its own. Return: O_PATH descriptor to execute, or -errno. */
static int seal_mount(void)
{
	auto_close int tree = mnt_open_tree(AT_FDCWD, self_path, OPEN_TREE_CLONE);
	int r;

	if (tree == -EINVAL) /* we are in a younger mount namespace, where our path leads to its copy */
		tree = open_here();
	if (tree < 0)
		return tree;
	r = mnt_set_attr(tree, MOUNT_ATTR_RDONLY, 0, 0, -1, false);
	return r < 0 ? r : TAKE_FD(tree);
}

/* seal_copy() - our file in sealed memory. */
static int seal_copy(void)
{
	auto_close int src = file_open(AT_FDCWD, self_path, O_RDONLY, 0);
	auto_close int mem = file_memfd("hull", MFD_ALLOW_SEALING);
	long r;

	if (src < 0 || mem < 0)
		return src < 0 ? src : mem;
	do {
		r = SYS4(SYS_sendfile, mem, src, NULL, 1 << 30);
	} while (r > 0 || r == -EINTR);
	if (r == 0)
		r = SYS3(SYS_fcntl, mem, F_ADD_SEALS, SEALS);
	return r < 0 ? (int)r : path_reopen(mem, O_RDONLY); /* a file open for writing cannot be executed */
}

int seal_open(void)
{
	int fd = seal_is_on() ? file_open(AT_FDCWD, self_path, O_PATH, 0) : seal_mount();

	return fd < 0 ? seal_copy() : fd;
}

int seal_self(char *const *argv, struct err *e)
{
	auto_close int fd = -1;
	int r;

	if (seal_is_on())
		return 0;
	fd = seal_open();
	if (fd < 0)
		return err_sys(e, -fd, "protect the program's own file (%s)", self_path);
	/* O_CLOEXEC: exec keeps the file by itself; with the descriptor the mount leaves its last namespace */
	r = (int)SYS5(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	return err_sys(e, -r, "start again from a protected copy of %s", self_path);
}
