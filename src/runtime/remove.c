/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remove.c - an instance goes
 *
 * Order: what runs, then the row, then the directory. Killed before the row is gone, `rm` does it all again;
 * afterwards runtime_sweep() finds a directory without a row.
 *
 * A directory goes in two steps: renamed into the store's trash, under its lock, and deleted there. Whoever waited for the
 * lock, or comes by a descriptor opened before, finds it in another place (runtime__lock()).
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
	runtime__run_delete(rt->run_fd, in->id); /* which the shim may have been about to do */
	return r;
}

static int delete_row(struct runtime *rt, const char *id, struct err *e)
{
	store_reserve_use(rt->store);
	return runtime__run(rt, e, "DELETE FROM instance WHERE id = ?", "s", id);
}

static const char *trash_path(const char *id, char *dst)
{
	str_format(dst, RUN_PATH_SIZE, INSTANCE_TRASH "%s", id);
	return dst;
}

int instance__trash(const struct runtime *rt, const char *id, int dirfd)
{
	char from[16 + INSTANCE_ID_SIZE], to[RUN_PATH_SIZE];
	int root = store_rootfd(rt->store), r = file_lock(dirfd, true, false);

	str_format(from, sizeof(from), "instances/%s", id);
	return r < 0 ? r : file_rename(root, from, root, trash_path(id, to), RENAME_NOREPLACE);
}

void instance__trash_delete(const char *root, const char *id)
{
	auto_close int fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
	char path[RUN_PATH_SIZE];

	if (fd >= 0)
		file_remove_tree(fd, trash_path(id, path), NULL);
}

static int delete_dir(const struct runtime *rt, const char *id, struct err *e)
{
	char path[16 + INSTANCE_ID_SIZE];

	str_format(path, sizeof(path), "instances/%s", id);
	return file_remove_tree(store_rootfd(rt->store), path, e);
}

/* forget() - row, anonymous volumes, directory @dir (@later: into the trash). On a disk too full for the first what the last holds goes first, and makes room. */
static int forget(struct runtime *rt, const struct instance *in, int dir, bool later, struct err *e)
{
	struct err why = { 0 };
	int r = 0, row = delete_row(rt, in->id, &why);

	if (row < 0 && row != -ENOSPC)
		return err_set(e, -row, "%s", why.text);
	if (dir >= 0)
		config_forget_volumes(rt, dir);
	if (!later || row < 0 || instance__trash(rt, in->id, dir) < 0)
		r = delete_dir(rt, in->id, e);
	if (r >= 0 && row < 0)
		r = delete_row(rt, in->id, e);
	if (r < 0)
		return r;
	store_reserve_keep(rt->store);
	event_emit(rt, "container", "destroy", in->id,
		   json_pack("{s:s,s:s}", "name", in->name, "image", in->image));
	return 0;
}

int instance__remove_ended(struct runtime *rt, struct instance *in, int dirfd, pid_t shim, struct err *e)
{
	auto_close int lock = runtime__lock_of(rt, in->id, dirfd, NULL);
	int r;

	if (lock < 0)
		return 0;
	r = instance__reread(in, dirfd, e);
	if (r < 0 || in->shim_pid != shim) /* started again meanwhile, or somebody has killed the shim */
		return r;
	r = forget(rt, in, dirfd, true, e);
	return r < 0 ? err_wrap(e, r, "remove '%s'", in->name) : 1;
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
		if (lock < 0) /* another command has removed it meanwhile, or only taken away its directory */
			fd_close(&dir);
		instance__reread(&in, dir, NULL);
	}
	if (instance__live(&in) && !force)
		return err_set(e, EBUSY, "remove '%s': it is %s; stop it, or use -f", in.name,
			       instance_status_name(in.status));
	if (!force && instance__stirs(rt, &in))
		return err_set(e, EBUSY, "remove '%s': it still runs: %s", in.name,
			       in.error ? in.error : "use -f");
	r = end_life(rt, &in, e);
	if (r >= 0 && !volumes && dir >= 0)
		file_unlink(dir, INSTANCE_VOLUMES, 0); /* they stay, also when the rest is left to a sweep */
	if (r >= 0)
		r = forget(rt, &in, dir, false, e);
	return r < 0 ? err_wrap(e, r, "remove '%s'", in.name) : 0;
}
