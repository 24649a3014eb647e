/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_log.c - what a machine's console said: raw bytes, since a terminal's output has no lines one could rely on
 *
 * console.log is the newest part, console.log.1 the one before: each at most MACHINES_LOG_MAX bytes.
 */
#include "base/err.h"
#include "base/guard.h"
#include "runtime/machine_internal.h"
#include "sys/file.h"

#define LOG_BEFORE MACHINES_LOG ".1"

static int log_open(struct machines_log *l)
{
	struct stat st;

	l->fd = file_open(l->dirfd, MACHINES_LOG, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	if (l->fd < 0)
		return l->fd;
	l->size = fstat(l->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

void machines__log_put(struct machines_log *l, const char *bytes, size_t len)
{
	if (l->fd >= 0 && l->size + len > MACHINES_LOG_MAX) {
		fd_close(&l->fd);
		file_rename(l->dirfd, MACHINES_LOG, l->dirfd, LOG_BEFORE, 0);
	}
	if (l->fd < 0 && log_open(l) < 0)
		return;
	if (file_write(l->fd, bytes, len) >= 0) /* a full disk loses it, nothing else */
		l->size += len;
}

static int copy_out(int dirfd, const char *name, int out_fd)
{
	auto_close int fd = file_open(dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
	char bytes[4096];
	ssize_t n = 0;
	int r = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	while (r >= 0 && (n = file_read(fd, bytes, sizeof(bytes))) > 0)
		r = file_write(out_fd, bytes, (size_t)n);
	return n < 0 ? (int)n : r;
}

int machines_log(struct machines *ms, const char *id, int out_fd, struct err *e)
{
	auto_close int dir = machines__dir(ms, id, e);
	int r = dir < 0 ? dir : copy_out(dir, LOG_BEFORE, out_fd);

	if (dir >= 0 && r >= 0)
		r = copy_out(dir, MACHINES_LOG, out_fd);
	return dir < 0 ? r : r < 0 ? err_sys(e, -r, "the console's log") : 0;
}
