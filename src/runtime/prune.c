/* SPDX-License-Identifier: Apache-2.0 */
/* prune.c - what nobody needs any more, and what killed commands left */
#include <dirent.h>

#include "base/err.h"
#include "base/guard.h"
#include "runtime/build_internal.h"
#include "runtime/config.h"
#include "runtime/launch.h"
#include "runtime/machine.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"

/* names_in() - the entries of a directory. */
static int names_in(int dirfd, const char *path, struct strv *names)
{
	int fd = file_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	while ((de = readdir(d)))
		if (de->d_name[0] != '.')
			strv_add(names, de->d_name);
	closedir(d);
	return strv_finish(names);
}

static bool is_id(const char *name)
{
	return strlen(name) == INSTANCE_ID_SIZE - 1 &&
	       strspn(name, "0123456789abcdef") == INSTANCE_ID_SIZE - 1;
}

static bool has_row(struct runtime *rt, const char *id)
{
	sqlite3_stmt *q = runtime__query(rt, NULL, "SELECT 1 FROM instance WHERE id = ?", "s", id);
	int r = runtime__step(rt, q, NULL);

	if (q)
		sqlite3_reset(q);
	return r != 0; /* a database that cannot be asked does not make anything garbage */
}

/* sweep_dir() - one directory below "instances". Return: 1 when it was removed. */
static int sweep_dir(struct runtime *rt, int all, const char *id)
{
	auto_close int dir = file_open(all, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	auto_close int lock = -1;

	if (dir < 0)
		return 0;
	lock = runtime__lock(rt, dir, false, NULL);
	if (lock < 0 || has_row(rt, id)) /* locked: it is being made or removed just now */
		return 0;
	config_forget_volumes(rt, dir);
	return file_remove_tree(all, id, NULL) == 0;
}

static int sweep_dirs(struct runtime *rt, struct err *e)
{
	auto_close int all = file_open(store_rootfd(rt->store), "instances", O_RDONLY | O_DIRECTORY, 0);
	auto_fini(strv) struct strv ids = { 0 };
	int n = 0, r = all < 0 ? all : file_lock(all, true, true);

	if (r >= 0)
		r = names_in(all, ".", &ids);
	if (r < 0)
		return err_sys(e, -r, "%s/instances", rt->root);
	file_lock(all, false, true); /* who makes one from now on is not in our list */
	for (size_t i = 0; i < ids.len; i++)
		n += is_id(ids.item[i]) ? sweep_dir(rt, all, ids.item[i]) : 0;
	return n;
}

/* level_of() - the level of an instance that may be gone; there is only one yet that leaves state. */
static const char *level_of(const struct instance *in)
{
	const char *level = in->config ? instance__str(in->config, "HostConfig", "Isolation") : NULL;

	return level ? level : "container";
}

/* sweep_run() - state and run directories of instances that have no shim. */
static int sweep_run(struct runtime *rt, const char *where, bool level, struct err *e)
{
	auto_fini(strv) struct strv ids = { 0 };
	int n = 0, r = names_in(rt->run_fd, where, &ids);

	if (r < 0)
		return err_sys(e, -r, "%s/%s", rt->run_root, where);
	for (size_t i = 0; i < ids.len; i++) {
		auto_fini(instance) struct instance in = { 0 };
		auto_close int dir = runtime__dir(rt, ids.item[i], NULL);
		auto_close int lock = dir < 0 ? -1 : runtime__lock(rt, dir, false, NULL);
		char path[32 + INSTANCE_ID_SIZE];

		if (!is_id(ids.item[i]) ||
		    (dir >= 0 && lock < 0)) /* the level's own affair; just being started */
			continue;
		if (instance_find(rt, ids.item[i], &in, NULL) == 0 && instance__stirs(rt, &in))
			continue;
		str_format(path, sizeof(path), "%s/%s", where, ids.item[i]);
		if (level) {
			r = launch_remove(level_of(&in), rt->levels, ids.item[i], NULL, e);
			if (r < 0)
				file_remove_tree(rt->run_fd, path,
						 NULL); /* state nobody can read keeps nothing alive */
		} else {
			file_remove_tree(rt->run_fd, path, NULL);
		}
		n++;
	}
	return n;
}

/* sweep_rm() - --rm instances whose end nobody was there to see. */
struct sweep_rm {
	struct runtime *rt;
	struct strv ids;
};

static int note_rm(void *arg, const struct instance *in)
{
	struct sweep_rm *s = arg;

	if (instance__bool(in->config, "HostConfig", "AutoRemove") &&
	    (in->status == INSTANCE_EXITED || in->status == INSTANCE_DEAD))
		strv_add(&s->ids, in->id);
	return 0;
}

static int sweep_rm(struct runtime *rt, struct err *e)
{
	struct sweep_rm s = { .rt = rt };
	int r = instance_each(rt, note_rm, &s, e);

	for (size_t i = 0; i < s.ids.len; i++)
		instance_remove(rt, s.ids.item[i], true, true, NULL);
	strv_fini(&s.ids);
	return r;
}

/* sweep_trash() - run directories whose shim was killed while it deleted them. */
static void sweep_trash(struct runtime *rt)
{
	auto_close int all = file_open(rt->run_fd, RUNTIME_TRASH_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	auto_fini(strv) struct strv ids = { 0 };

	if (all < 0 || names_in(all, ".", &ids) < 0)
		return;
	for (size_t i = 0; i < ids.len; i++) {
		auto_close int dir = file_open(all, ids.item[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

		if (dir >= 0 && file_lock(dir, true, false) == 0)
			file_remove_tree(all, ids.item[i], NULL);
	}
}

int runtime_sweep(struct runtime *rt, struct err *e)
{
	int r = sweep_run(rt, RUNTIME_LEVEL_DIR, true, e);

	if (r >= 0)
		r = sweep_run(rt, RUNTIME_SHIM_DIR, false, e);
	sweep_trash(rt);
	if (r >= 0)
		r = sweep_dirs(rt, e);
	if (r >= 0)
		build__sweep(rt->store);
	return r < 0 ? r : 0;
}

struct pruning {
	struct runtime *rt;
	struct strv ids;
};

static int note_stopped(void *arg, const struct instance *in)
{
	struct pruning *p = arg;

	if (!instance__live(in))
		strv_add(&p->ids, in->id);
	return 0;
}

/* tree_bytes() - what a directory holds; mounts and links are not followed. */
static uint64_t tree_bytes(int dirfd, const char *name)
{
	auto_fini(strv) struct strv names = { 0 };
	auto_close int fd = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	uint64_t sum = 0;
	struct stat st;

	if (fd < 0)
		return file_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ?
			       (uint64_t)st.st_blocks * 512 :
			       0;
	names_in(fd, ".", &names);
	for (size_t i = 0; i < names.len; i++)
		sum += tree_bytes(fd, names.item[i]);
	return sum;
}

/* sweep_machines() - of those with names; where there has never been one nothing is made. */
static int sweep_machines(struct runtime *rt, struct err *e)
{
	auto_machines struct machines *ms = NULL;
	struct stat st;
	int r;

	if (file_fstatat(store_rootfd(rt->store), "machines", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	r = machines_open(&ms, rt->root, rt->run_root, e);
	return r < 0 ? r : machines_sweep(ms, e);
}

int runtime_prune(struct runtime *rt, bool stopped, struct strv *told, uint64_t *ret_freed, struct err *e)
{
	struct pruning p = { .rt = rt };
	int r = sweep_rm(rt, e);

	if (r >= 0 && stopped)
		r = instance_each(rt, note_stopped, &p, e);
	for (size_t i = 0; i < p.ids.len && r >= 0; i++) {
		char path[16 + INSTANCE_ID_SIZE];
		uint64_t bytes;

		str_format(path, sizeof(path), "instances/%s", p.ids.item[i]);
		bytes = tree_bytes(store_rootfd(rt->store), path);
		r = instance_remove(rt, p.ids.item[i], false, false, e);
		if (r == -ENOENT || r == -EBUSY) { /* removed or started meanwhile */
			r = 0;
			continue;
		}
		if (r >= 0 && told)
			strv_add(told, p.ids.item[i]);
		if (r >= 0 && ret_freed)
			*ret_freed += bytes;
	}
	strv_fini(&p.ids);
	if (r >= 0)
		r = sweep_machines(rt, e);
	return r < 0 ? r : runtime_sweep(rt, e);
}
