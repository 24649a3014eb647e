/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_snapshot.c - PUT /snapshot/create and /snapshot/load */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/sock.h"

enum { OVERRIDES_MAX = MACHINE_NETS_MAX };

static int make_file(struct fc *f, enum fc_file which, const char *path, struct err *e)
{
	int fd = fc__ask(f, which);

	return fd < 0 ? err_sys(e, -fd, "Snapshot file '%s'", path) : fd;
}

int fc__snapshot_create(struct fc_call *c)
{
	static const struct json_name types[] = { { "Full", MACHINE_SNAPSHOT_FULL },
						  { "Diff", MACHINE_SNAPSHOT_DIFF } };
	const struct json_at *b = c->body;
	const char *path = json_read_str(b, "snapshot_path"), *mem_path = json_read_str(b, "mem_file_path");
	enum machine_snapshot kind =
		(enum machine_snapshot)json_read_name(b, "snapshot_type", types, 2, MACHINE_SNAPSHOT_FULL);
	nsec_t since = time_now_ns(CLOCK_MONOTONIC);
	auto_close int state = -1;
	auto_close int mem = -1;
	int r;

	json_need(b, "snapshot_path");
	json_need(b, "mem_file_path");
	r = json_finish(b->doc);
	if (r < 0)
		return r;
	if (fc__state(c->f) != FC_PAUSED)
		return err_set(c->e, EBUSY, "Cannot create a snapshot: the microVM is not paused");
	state = make_file(c->f, FC_FILE_STATE, path, c->e);
	if (state < 0)
		return state;
	mem = make_file(c->f, FC_FILE_MEM, mem_path, c->e);
	if (mem < 0)
		return mem;
	r = machine_save(c->f->m, kind, state, mem, c->e);
	if (r < 0)
		return err_wrap(c->e, r, "Cannot create a snapshot in '%.99s', memory '%.99s'", path,
				mem_path);
	fc__took(c->f, kind == MACHINE_SNAPSHOT_FULL ? FC_LAT_FULL_CREATE : FC_LAT_DIFF_CREATE, since);
	return 0;
}

/* --- load ----------------------------------------------------------------------------------------------------- */

struct load {
	const char *path, *mem_path;
	bool uffd;
	const char *override[2 * OVERRIDES_MAX + 1];
	struct machine_restore r;
};

/* read_memory() - exactly one of mem_backend and the older mem_file_path. */
static void read_memory(struct fc_call *c, struct load *l)
{
	static const struct json_name types[] = { { "File", 0 }, { "Uffd", 1 } };
	struct json_at b = json_read_obj(c->body, "mem_backend");
	bool file = json_has(c->body, "mem_file_path");

	if (!!b.value == file) {
		json_fail(c->body, NULL, EINVAL, "want exactly one of mem_backend and mem_file_path");
		return;
	}
	c->deprecated |= file;
	l->mem_path = json_read_str(c->body, "mem_file_path");
	if (file)
		return;
	fc__fields(&b, "backend_type backend_path");
	json_need(&b, "backend_type");
	json_need(&b, "backend_path");
	l->uffd = json_read_name(&b, "backend_type", types, 2, 0);
	l->mem_path = json_read_str(&b, "backend_path");
}

static void read_overrides(struct fc_call *c, struct load *l)
{
	struct json_at list = json_read_list(c->body, "network_overrides"),
		       vsock = json_read_obj(c->body, "vsock_override");
	size_t n = json_count(&list);

	if (n > OVERRIDES_MAX)
		json_fail(c->body, "network_overrides", EINVAL, "more than %d", OVERRIDES_MAX);
	for (size_t i = 0; i < n && i < OVERRIDES_MAX; i++) {
		struct json_at at = json_item(&list, i);

		json_need(&at, "iface_id");
		json_need(&at, "host_dev_name");
		l->override[2 * i] = json_read_str(&at, "iface_id");
		l->override[2 * i + 1] = json_read_str(&at, "host_dev_name");
	}
	if (n)
		l->r.net_override = l->override;
	if (!vsock.value)
		return;
	json_need(&vsock, "uds_path");
	l->r.vsock_path = json_read_str(&vsock, "uds_path");
}

static void read_load(struct fc_call *c, struct load *l)
{
	enum { SAVED = FC_HUGE_2M + 1 };
	static const struct json_name huge[] = { { "Snapshot", SAVED },
						 { "None", FC_HUGE_NONE },
						 { "Transparent", FC_HUGE_THP },
						 { "2M", FC_HUGE_2M } };
	const struct json_at *b = c->body;
	uint64_t pages;

	json_need(b, "snapshot_path");
	l->path = json_read_str(b, "snapshot_path");
	read_memory(c, l);
	read_overrides(c, l);
	l->r.resume = json_read_bool(b, "resume_vm", false);
	l->r.ahead_path = json_read_str(b, "ahead_path");
	if (l->r.ahead_path && l->uffd)
		json_fail(b, "ahead_path", EINVAL, "needs a memory backend of type File");
	if (json_has(b, "enable_diff_snapshots"))
		c->deprecated = true;
	if (json_has(b, "enable_diff_snapshots") && json_has(b, "track_dirty_pages"))
		json_fail(b, NULL, EINVAL,
			  "track_dirty_pages and enable_diff_snapshots mean the same: want one");
	l->r.track_dirty = json_read_bool(b, "track_dirty_pages", false) ||
			   json_read_bool(b, "enable_diff_snapshots", false);
	l->r.clock_realtime = json_read_bool(b, "clock_realtime", false);
	pages = json_read_name(b, "huge_pages", huge, ARRAY_SIZE(huge), SAVED);
	if (pages == FC_HUGE_2M && !l->uffd)
		json_fail(b, "huge_pages", EINVAL, "2M needs a memory backend of type Uffd");
	else if (pages != SAVED)
		json_fail(b, "huge_pages", EOPNOTSUPP, "only Snapshot is there yet");
}

static int open_load(struct fc_call *c, struct load *l)
{
	struct machine_restore *r = &l->r;
	int rc = fc__open(c->f, &r->state, FC_FILE_STATE, l->path, O_RDONLY, "Snapshot file", c->e);

	if (rc == 0 && !l->uffd)
		rc = fc__open(c->f, &r->mem, FC_FILE_MEM, l->mem_path, O_RDONLY, "Memory file", c->e);
	if (rc == 0 && l->uffd) {
		r->uffd_sock = sock_connect_at(AT_FDCWD, l->mem_path, SOCK_STREAM);
		if (r->uffd_sock < 0)
			rc = err_sys(c->e, -r->uffd_sock, "Page fault handler's socket '%s'", l->mem_path);
	}
	return rc;
}

static int load(struct fc_call *c, struct load *l)
{
	bool resume = l->r.resume;
	int r = open_load(c, l);

	if (r == 0) {
		l->r.resume = false; /* it may run only when the API's process knows */
		l->r.jail = c->f->c.jail;
		l->r.mmds = c->f->mmds;
		l->r.engine = c->f->o->engine;
		l->r.serial_in = c->f->c.serial_in;
		l->r.serial_out = c->f->serial.fd >= 0 ? c->f->serial.fd : c->f->c.serial_out;
		c->f->events = fc__events(c->f);
		r = machine_restore(&c->f->m, &l->r, &c->f->loop, &c->f->events, c->e);
	}
	if (r == 0)
		r = fc__before_guest(c->f, c->e);
	if (r == 0 && resume)
		r = machine_resume(c->f->m, c->e);
	fc__file_fini(&l->r.state);
	fc__file_fini(&l->r.mem);
	fd_close(&l->r.uffd_sock);
	return r;
}

int fc__snapshot_load(struct fc_call *c)
{
	struct load l = { .r = { .state.fd = -1, .mem.fd = -1, .uffd_sock = -1, .fresh_identity = true } };
	nsec_t since = time_now_ns(CLOCK_MONOTONIC);
	int r;

	read_load(c, &l);
	r = json_finish(c->body->doc);
	if (r < 0)
		return r;
	if (c->f->touched)
		return err_set(c->e, EBUSY,
			       "Loading a snapshot is not allowed after configuring boot-specific resources");
	r = load(c, &l);
	if (r < 0) {
		r = err_wrap(c->e, r, "Cannot load the snapshot");
		c->f->why = *c->e;
		fc__end(c->f, FC_EXIT_GENERIC);
		return r;
	}
	fc__took(c->f, FC_LAT_LOAD, since);
	return 0;
}
