/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - descriptors and whole small files; every descriptor made here is O_CLOEXEC */
#ifndef SYS_FILE_H
#define SYS_FILE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct buf;
struct err;

/* Thin: the call, EINTR retried, -errno. @dirfd may be AT_FDCWD. */
int file_open(int dirfd, const char *path, int flags, mode_t mode);
int file_mkdir(int dirfd, const char *path, mode_t mode); /* 0 also when the directory is there already */
int file_unlink(int dirfd, const char *path, int flags);
int file_rename(int olddir, const char *oldpath, int newdir, const char *newpath, unsigned flags);
int file_fstatat(int dirfd, const char *path, struct stat *ret_st, int flags);
int file_pipe(int ret_fd[2]);
int file_memfd(const char *name, unsigned flags);
int file_sync(int fd);

/* file_read() / file_write() - as much as there is or as @len, across short counts. Return: bytes, or -errno. */
ssize_t file_read(int fd, void *dst, size_t len);
int file_write(int fd, const void *src, size_t len);

/* file_slurp() - all of an open file behind what @b holds; -EFBIG beyond @max bytes. */
int file_slurp(int fd, struct buf *b, size_t max);
/* file_slurp_at() - the same by path; -errno only, no text. */
int file_slurp_at(int dirfd, const char *path, struct buf *b, size_t max);

/* file_replace() - @path holds exactly @len bytes of @src or what it held before: temp, fsync when @sync, rename. */
int file_replace(int dirfd, const char *path, const void *src, size_t len, mode_t mode, bool sync,
		 struct err *e);

/* file_put() - write @text to an existing file (procfs, sysfs, cgroupfs) in one write(2). */
int file_put(int dirfd, const char *path, const char *text);

/* file_mkdirs() - mkdir -p on a trusted path of our own (store and state roots), never inside a container's root. */
int file_mkdirs(int dirfd, const char *path, mode_t mode);

/**
 * file_mkdir_private() - a directory that nobody else can have put there or can write to, in a place where others may (/tmp)
 * Return: 0; -EPERM when what stands there is another's, a symlink, or open to others
 */
int file_mkdir_private(const char *path);

/* file_remove_tree() - rm -rf @name below @dirfd by descriptors, not following symlinks nor crossing into mounts. */
int file_remove_tree(int dirfd, const char *name, struct err *e);

/* file_lock() - flock(2) on an open file; released by close, so no lock outlives its holder. -EWOULDBLOCK if !@wait. */
int file_lock(int fd, bool exclusive, bool wait);

/* fd_path() - "/proc/self/fd/N" for calls that take only paths; @dst of FD_PATH_SIZE. */
enum { FD_PATH_SIZE = 32 };
const char *fd_path(int fd, char *dst);

/* fd_cloexec_from() - mark every descriptor >= @first close-on-exec (close_range(2)); fd_close_from() closes them. */
int fd_cloexec_from(int first);
int fd_close_from(int first);
/* fd_list() - those open from 3 on, at most @max. Return: how many; -errno. */
int fd_list(int *ret_fd, int max);
int fd_dup_to(int fd, int target, bool cloexec); /* dup3, also when fd == target */

/* fd_fill_stdio() - /dev/null for each of 0, 1, 2 that the caller left closed: else the next thing opened is somebody's stdin. */
int fd_fill_stdio(void);

#endif
