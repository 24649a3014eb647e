/* SPDX-License-Identifier: Apache-2.0 */
/* root.c - looking into an instance: its files, its processes, what it uses */
#include "base/err.h"
#include "base/guard.h"
#include "runtime/rootfs.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"

int instance_root(struct runtime *rt, const char *id, struct err *e)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	auto_fini(instance) struct instance in = { 0 };
	auto_free char *dir = NULL;
	int r = instance_find(rt, id, &in, e);

	if (r < 0)
		return r;
	if (in.status == INSTANCE_RUNNING || in.status == INSTANCE_PAUSED) {
		r = instance__iso(rt, &in, &i, e);
		return r < 0 ? r : iso_root(i, e);
	}
	dir = runtime__path(rt, in.id);
	return dir ? rootfs_open(dir, NULL, e) : err_sys(e, ENOMEM, "container '%s'", in.name);
}

int instance_upper(struct runtime *rt, const char *id, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_close int dir = -1;
	int fd, r = instance_find(rt, id, &in, e);

	if (r < 0)
		return r;
	dir = runtime__dir(rt, in.id, e);
	if (dir < 0)
		return dir;
	fd = file_open(dir, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return fd < 0 ? err_sys(e, -fd, "container '%s': what it has changed", in.name) : fd;
}

int instance_pids(struct runtime *rt, const char *id, pid_t **ret_pids, size_t *ret_n, struct err *e)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	auto_fini(instance) struct instance in = { 0 };
	int r = instance_find(rt, id, &in, e);

	if (r >= 0)
		r = instance__need_live(&in, "list the processes of", e);
	if (r >= 0)
		r = instance__iso(rt, &in, &i, e);
	return r < 0 ? r : iso_pids(i, ret_pids, ret_n, e);
}

int instance_usage(struct runtime *rt, const char *id, struct iso_usage *ret_u, struct err *e)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	auto_fini(instance) struct instance in = { 0 };
	int r = instance_find(rt, id, &in, e);

	if (r >= 0)
		r = instance__need_live(&in, "measure", e);
	if (r >= 0)
		r = instance__iso(rt, &in, &i, e);
	return r < 0 ? r : iso_usage(i, ret_u, e);
}
