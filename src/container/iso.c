/* SPDX-License-Identifier: Apache-2.0 */
/* iso.c - the container level behind the contract of iso/iso.h */
#include "iso/iso.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/container.h"
#include "sys/file.h"
#include "sys/ns.h"

struct iso_ct {
	struct iso iso;
	struct ct *ct; /* owned */
};

static struct ct *ct_of(const struct iso *i)
{
	return ((const struct iso_ct *)i)->ct;
}

static int probe(struct err *e)
{
	struct stat st;

	return stat("/proc/self/ns/mnt", &st) < 0 ? err_sys(e, errno, "container: namespaces") : 0;
}

/* wrap() - takes @ct, or its absence with @r. */
static int wrap(struct iso **ret_i, struct ct *ct, int r, struct err *e)
{
	struct iso_ct *c;

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c) {
		ct_free(ct);
		return err_sys(e, ENOMEM, "container");
	}
	c->iso.ops = &iso_container;
	c->iso.pid = ct->pid;
	c->iso.pidfd = ct->pidfd;
	c->ct = ct;
	*ret_i = &c->iso;
	return 0;
}

static int create(struct iso **ret_i, const struct iso_spec *s, struct err *e)
{
	const struct ct_config c = {
		.root = s->state_root,
		.id = s->id,
		.bundle = s->bundle,
		.spec = s->oci,
		.config_text = s->config_text,
		.config_len = s->config_len,
		.rootfs_fd = s->rootfs_fd,
		.console_fd = s->console_fd,
		.cgroup_manager = s->systemd_cgroup ? CGROUP_SYSTEMD : CGROUP_FS,
		.stdio = { { s->stdio[0], s->stdio[1], s->stdio[2] } },
		.rootless = s->rootless,
		.run = s->start,
	};
	struct ct *ct = NULL;
	int r = ct_create(&ct, &c, e);

	return wrap(ret_i, ct, r, e);
}

static int open_(struct iso **ret_i, const char *state_root, const char *id, struct err *e)
{
	struct ct *ct = NULL;
	int r = ct_open(&ct, state_root, id, e);

	return wrap(ret_i, ct, r, e);
}

static enum iso_state state(const struct iso *i)
{
	static const enum iso_state as[CT_STATUS_COUNT] = {
		[CT_CREATING] = ISO_CREATED, [CT_CREATED] = ISO_CREATED, [CT_RUNNING] = ISO_RUNNING,
		[CT_PAUSED] = ISO_PAUSED,    [CT_STOPPED] = ISO_STOPPED,
	};

	return as[ct_status(ct_of(i))];
}

static int start(struct iso *i, struct err *e)
{
	return ct_start(ct_of(i), e);
}

static int signal_(struct iso *i, int sig, bool all, struct err *e)
{
	return ct_kill(ct_of(i), sig, all, e);
}

static int exec(struct iso *i, const struct iso_exec *x, int *ret_pidfd, struct err *e)
{
	const struct ct_exec cx = {
		.process = x->process,
		.console_fd = x->console_fd,
		.stdio = { { x->stdio[0], x->stdio[1], x->stdio[2] } },
	};

	return ct_exec(ct_of(i), &cx, ret_pidfd, e);
}

static int pause_(struct iso *i, struct err *e)
{
	return ct_pause(ct_of(i), e);
}

static int resume(struct iso *i, struct err *e)
{
	return ct_resume(ct_of(i), e);
}

static int update(struct iso *i, const struct oci_resources *r, struct err *e)
{
	return ct_update(ct_of(i), r, e);
}

static int pids(struct iso *i, pid_t **ret_pids, size_t *ret_n, struct err *e)
{
	return ct_pids(ct_of(i), ret_pids, ret_n, e);
}

static int usage(struct iso *i, struct iso_usage *ret_u, struct err *e)
{
	const struct cgroup *cg = &ct_of(i)->cgroup;
	struct cgroup_usage u;
	int r = cgroup_usage(cg, &u);

	if (r < 0)
		return err_sys(e, -r, "container '%s': usage", ct_of(i)->id);
	*ret_u = (struct iso_usage){
		.cpu_ns = u.cpu_ns,
		.mem_bytes = u.mem_bytes,
		.mem_limit_bytes = u.mem_limit_bytes,
		.pids = u.pids,
		.io_read_bytes = u.io_read_bytes,
		.io_write_bytes = u.io_write_bytes,
		.oom_kills = cgroup_oom_kills(cg),
	};
	return 0;
}

static uint64_t oom_kills(struct iso *i)
{
	return cgroup_oom_kills(&ct_of(i)->cgroup);
}

static int root(struct iso *i, struct err *e)
{
	const struct ct *ct = ct_of(i);
	char path[64];
	int fd;

	if (ct->pidfd < 0)
		return err_set(e, ESRCH, "container '%s' is not running", ct->id);
	str_format(path, sizeof(path), "/proc/%d/root", (int)ct->pid);
	fd = file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return err_sys(e, -fd, "container '%s': its root", ct->id);
	if (proc_alive(ct->pid,
		       ct->start_time)) /* so it was init's, not that of a later process of the same number */
		return fd;
	fd_close(&fd);
	return err_set(e, ESRCH, "container '%s' has stopped", ct->id);
}

static int remove_(struct iso *i, int trash, struct err *e)
{
	return ct_delete_into(ct_of(i), true, trash, e);
}

static void free_(struct iso *i)
{
	if (i)
		ct_free(ct_of(i));
	free(i);
}

const struct iso_ops iso_container = {
	.name = "container",
	.probe = probe,
	.create = create,
	.open = open_,
	.state = state,
	.start = start,
	.signal = signal_,
	.exec = exec,
	.pause = pause_,
	.resume = resume,
	.update = update,
	.pids = pids,
	.usage = usage,
	.oom_kills = oom_kills,
	.root = root,
	.remove = remove_,
	.free = free_,
};
