/* SPDX-License-Identifier: Apache-2.0 */
#include "container/userns.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/ns.h"

static int put(pid_t pid, const char *file, const char *text)
{
	char path[64];

	str_format(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return file_put(AT_FDCWD, path, text);
}

static int map_directly(pid_t pid, const char *file, const struct oci_idmaps *m, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int r;

	for (size_t i = 0; i < m->n; i++)
		buf_printf(&text, "%u %u %u\n", m->v[i].container_id, m->v[i].host_id, m->v[i].size);
	r = buf_finish(&text);
	if (r == 0)
		r = put(pid, file, buf_str(&text));
	return r < 0 ? err_sys(e, -r, "%s", file) : 0;
}

/* map_by_helper() - newuidmap(1) checks /etc/subuid and is set-user-id. */
static int map_by_helper(pid_t pid, const char *helper, const struct oci_idmaps *m, struct err *e)
{
	auto_fini(strv) struct strv argv = { 0 };
	auto_close int pidfd = -1;
	siginfo_t info;
	pid_t child;
	int r;

	strv_add(&argv, helper);
	strv_addf(&argv, "%d", (int)pid);
	for (size_t i = 0; i < m->n; i++) {
		strv_addf(&argv, "%u", m->v[i].container_id);
		strv_addf(&argv, "%u", m->v[i].host_id);
		strv_addf(&argv, "%u", m->v[i].size);
	}
	r = strv_finish(&argv);
	if (r < 0)
		return err_sys(e, -r, "%s", helper);
	child = ns_clone(0, -1, &pidfd);
	if (child == 0) {
		execvp(helper, argv.item);
		_exit(127);
	}
	r = child < 0 ? (int)child : pidfd_wait(pidfd, &info, WEXITED);
	if (r < 0)
		return err_sys(e, -r, "%s", helper);
	if (info.si_code == CLD_EXITED && info.si_status == 127)
		return err_set(e, ENOENT, "%s: not found; install the package uidmap", helper);
	if (info.si_code != CLD_EXITED || info.si_status != 0)
		return err_set(e, EPERM, "%s refused the mapping; see /etc/subuid and /etc/subgid", helper);
	return 0;
}

static bool one_own_id(const struct oci_idmaps *m, uint32_t own)
{
	return m->n == 1 && m->v[0].size == 1 && m->v[0].host_id == own;
}

int userns_map(pid_t pid, const struct oci_idmaps *uids, const struct oci_idmaps *gids, bool rootless,
	       struct err *e)
{
	int r;

	if (!rootless || one_own_id(uids, geteuid()))
		r = map_directly(pid, "uid_map", uids, e);
	else
		r = map_by_helper(pid, "newuidmap", uids, e);
	if (r < 0)
		return err_wrap(e, r, "linux.uidMappings");
	if (rootless && !one_own_id(gids, getegid())) {
		r = map_by_helper(pid, "newgidmap", gids, e);
	} else {
		r = rootless ? put(pid, "setgroups", "deny") : 0;
		r = r < 0 ? err_sys(e, -r, "setgroups") : map_directly(pid, "gid_map", gids, e);
	}
	return r < 0 ? err_wrap(e, r, "linux.gidMappings") : 0;
}
