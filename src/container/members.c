/* SPDX-License-Identifier: Apache-2.0 */
/* members.c - the processes of a container that has no cgroup: those in its pid namespace */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "container/container_internal.h"
#include "sys/call.h"

enum { LINK_SIZE = 48 };

/* pid_ns() - "pid:[4026531836]" of process @pid. Return: whether it could be read. */
static bool pid_ns(int proc, const char *pid, char dst[LINK_SIZE])
{
	char path[32];
	long n = -1;

	if (str_format(path, sizeof(path), "%s/ns/pid", pid) < sizeof(path))
		n = SYS4(SYS_readlinkat, proc, path, dst, LINK_SIZE - 1);
	dst[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

static void collect(DIR *proc, const char *wanted, struct buf *pids)
{
	struct dirent *de;
	char ns[LINK_SIZE];

	while ((de = readdir(proc))) {
		pid_t pid = (pid_t)strtol(de->d_name, NULL, 10);

		if (pid > 0 && pid_ns(dirfd(proc), de->d_name, ns) && str_eq(ns, wanted))
			buf_put(pids, &pid, sizeof(pid));
	}
}

int ct__members(pid_t init, pid_t **ret_pids, size_t *ret_n, struct err *e)
{
	DIR *proc = opendir("/proc");
	struct buf pids = { 0 };
	char wanted[LINK_SIZE], name[16];

	if (!proc)
		return err_sys(e, errno, "/proc");
	str_format(name, sizeof(name), "%d", (int)init);
	if (init > 0 && pid_ns(dirfd(proc), name, wanted))
		collect(proc, wanted, &pids);
	closedir(proc);
	if (buf_finish(&pids) < 0) {
		buf_fini(&pids);
		return err_sys(e, ENOMEM, "/proc");
	}
	*ret_n = pids.len / sizeof(pid_t);
	*ret_pids = pids.len ? (pid_t *)(void *)buf_take(&pids) : calloc(1, sizeof(pid_t));
	return *ret_pids ? 0 : err_sys(e, ENOMEM, "/proc");
}
