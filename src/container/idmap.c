/* SPDX-License-Identifier: Apache-2.0 */
#include "container/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/oci.h"
#include "sys/file.h"
#include "sys/ns.h"

static int put_map(int proc, const char *file, const struct oci_idmaps *maps, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int r;

	for (size_t i = 0; i < maps->n; i++)
		buf_printf(&text, "%u %u %u\n", maps->v[i].container_id, maps->v[i].host_id, maps->v[i].size);
	r = buf_finish(&text);
	if (r == 0)
		r = file_put(proc, file, buf_str(&text));
	return r < 0 ? err_sys(e, -r, "%s", file) : 0;
}

/* map_and_open() - @pid, our child, waits in its new user namespace: give it the maps and take hold of it. */
static int map_and_open(pid_t pid, const struct oci_idmaps *uids, const struct oci_idmaps *gids,
			struct err *e)
{
	auto_close int proc = -1;
	char path[32];
	int r;

	str_format(path, sizeof(path), "/proc/%d", (int)pid);
	proc = file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
	if (proc < 0)
		return err_sys(e, -proc, "%s", path);
	r = put_map(proc, "uid_map", uids, e);
	if (r == 0)
		r = put_map(proc, "gid_map", gids, e);
	if (r < 0)
		return r;
	r = file_open(proc, "ns/user", O_RDONLY, 0);
	return r < 0 ? err_sys(e, -r, "%s/ns/user", path) : r;
}

/* wait_for_end() - the child: until the parent has gone or kills us. */
static _Noreturn void wait_for_end(int pipe_rd)
{
	char c;

	while (read(pipe_rd, &c, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

int ct_idmap_userns(const struct oci_idmaps *uids, const struct oci_idmaps *gids, struct err *e)
{
	auto_close int pidfd = -1;
	int pipe_fd[2], r;
	siginfo_t info;
	pid_t pid;

	if (uids->n == 0 || gids->n == 0)
		return err_set(e, EINVAL, "id mapping: both uidMappings and gidMappings are needed");
	r = file_pipe(pipe_fd);
	if (r < 0)
		return err_sys(e, -r, "id mapping");
	pid = ns_clone(CLONE_NEWUSER, -1, &pidfd);
	if (pid == 0) {
		close(pipe_fd[1]);
		wait_for_end(pipe_fd[0]);
	}
	r = pid < 0 ? err_sys(e, -pid, "user namespace") : map_and_open(pid, uids, gids, e);
	fd_close(&pipe_fd[0]);
	fd_close(&pipe_fd[1]);
	if (pid > 0)
		pidfd_wait(pidfd, &info, WEXITED);
	return r < 0 ? err_wrap(e, r, "id mapping") : r;
}
