/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode.h - make names and set attributes, relative to descriptors; thin: the call, -errno
 *
 * No call here follows a symlink in the last component. Those that take an @fd take an O_PATH one as well.
 */
#ifndef SYS_INODE_H
#define SYS_INODE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

int inode_mknod(int dirfd, const char *name, mode_t mode, dev_t dev);
int inode_symlink(const char *target, int dirfd, const char *name);
int inode_link(int olddir, const char *oldname, int newdir, const char *newname);
/* inode_publish() - give the O_TMPFILE file @fd a name; -EEXIST when it is taken. */
int inode_publish(int fd, int dirfd, const char *name);

int inode_chown(int fd, uid_t uid, gid_t gid);
int inode_chmod(int fd, mode_t mode);                /* not for symlinks */
int inode_set_mtime(int fd, int64_t s, uint32_t ns); /* access time: the same */
int inode_set_xattr(int fd, const char *name, const void *value, size_t len);
ssize_t inode_get_xattr(int fd, const char *name, void *dst, size_t size);

int inode_pwrite(int fd, const void *src, size_t len, uint64_t at); /* all of it */
int inode_truncate(int fd, uint64_t size);
int inode_syncfs(int fd);
/* inode_write_soon() - ask for write-back of a part of a file, not waiting for it; a hint. */
void inode_write_soon(int fd, uint64_t at, uint64_t len);

#endif
