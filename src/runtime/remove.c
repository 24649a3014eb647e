/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remove.c - an instance goes
 *
 * Order: what runs, then the row, then the directory. Killed before the row is gone, `rm` does it all again;
 * afterwards runtime_sweep() finds a directory without a row.
 */
#include <poll.h>
#include <signal.h>

#include "base/err.h"
#include "base/guard.h"
#include "runtime/config.h"
#include "runtime/launch.h"
#include "runtime/runtime_internal.h"
#include "runtime/state.h"
#include "sys/file.h"
#include "sys/ns.h"

enum { SHIM_END_MS = 5000 };

static pid_t shim_of(const struct runtime *rt, const struct instance *in)
{
	pid_t pid = state_shim(in);

	return pid > 0 ? pid : runtime__shim_pid(rt, in->id);
}

/* end_shim() - nobody may write state.json or start the workload again. */
static int end_shim(const struct runtime *rt, const struct instance *in, struct err *e)
{
	pid_t pid = shim_of(rt, in);
	auto_close int pidfd = pid > 0 ? pidfd_open(pid) : -1;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd < 0 ||
	    shim_of(rt, in) != pid) /* asked again: now the descriptor and the number are of one process */
		return 0;
	pidfd_send(pidfd, SIGKILL);
	if (poll(&p, 1, SHIM_END_MS) == 0)
		return err_set(e, EBUSY, "its shim (process %d) does not end", (int)pid);
	return 0;
}

/* end_workload() - of which the level knows nothing any more. */
static void end_workload(const struct instance *in)
{
	auto_close int pidfd = in->pid > 0 ? pidfd_open(in->pid) : -1;

	if (pidfd >= 0 && proc_alive(in->pid, (uint64_t)instance__int(in->state, NULL, "PidStart")))
		pidfd_send(pidfd, SIGKILL);
}

static int end_life(struct runtime *rt, const struct instance *in, struct err *e)
{
	char path[16 + INSTANCE_ID_SIZE];
	struct stat st;
	int r = end_shim(rt, in, e);

	str_format(path, sizeof(path), RUNTIME_LEVEL_DIR "/%s", in->id);
	if (r >= 0 && file_fstatat(rt->run_fd, path, &st, 0) == 0)
		r = launch_remove(instance__str(in->config, "HostConfig", "Isolation"), rt->levels, in->id,
				  NULL, e);
	else if (r >= 0)
		end_workload(in);
	file_remove_tree(rt->run_fd, runtime__run_path(in->id, path), NULL);
	return r;
}

static int delete_row(struct runtime *rt, const char *id, struct err *e)
{
	store_reserve_use(rt->store);
	return runtime__run(rt, e, "DELETE FROM instance WHERE id = ?", "s", id);
}

/* forget() - @dir: its directory, or -1 when that is gone. On a disk too full for that what it holds goes first, and makes room. */
static int forget(struct runtime *rt, const struct instance *in, int dir, bool volumes, struct err *e)
{
	char path[16 + INSTANCE_ID_SIZE];
	struct err why = { 0 };
	int r, row;

	if (!volumes && dir >= 0)
		file_unlink(dir, INSTANCE_VOLUMES, 0); /* they stay, also when the rest is left to a sweep */
	row = delete_row(rt, in->id, &why);
	if (row < 0 && row != -ENOSPC)
		return err_set(e, -row, "%s", why.text);
	if (dir >= 0)
		config_forget_volumes(rt, dir);
	str_format(path, sizeof(path), "instances/%s", in->id);
	r = file_remove_tree(store_rootfd(rt->store), path, e);
	if (r >= 0 && row < 0)
		r = delete_row(rt, in->id, e);
	if (r < 0)
		return r;
	store_reserve_keep(rt->store);
	event_emit(rt, "container", "destroy", in->id,
		   json_pack("{s:s,s:s}", "name", in->name, "image", in->image));
	return 0;
}

int instance_remove(struct runtime *rt, const char *id, bool force, bool volumes, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_close int dir = -1;
	auto_close int lock = -1;
	int r = instance_find(rt, id, &in, e);

	if (r < 0)
		return r;
	dir = runtime__dir(rt, in.id,
			   NULL); /* may be gone: somebody else's hand, or half of an earlier removal */
	if (dir >= 0) {
		lock = runtime__lock_of(rt, in.id, dir, e);
		if (lock < 0 && lock != -ENOENT)
			return lock;
		instance__reread(&in, dir, NULL);
	}
	if (instance__live(&in) && !force)
		return err_set(e, EBUSY, "remove '%s': it is %s; stop it, or use -f", in.name,
			       instance_status_name(in.status));
	if (!force && instance__stirs(rt, &in))
		return err_set(e, EBUSY, "remove '%s': it still runs: %s", in.name,
			       in.error ? in.error : "use -f");
	r = end_life(rt, &in, e);
	if (r >= 0)
		r = forget(rt, &in, dir, volumes, e);
	return r < 0 ? err_wrap(e, r, "remove '%s'", in.name) : 0;
}
