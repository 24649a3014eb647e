/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_process.c - the process that is a named machine: jailed, one loop, told what to do by its keeper
 *
 * Theory of operation. It is forked with everything open that it will ever use. The socket to its keeper carries one request
 * at a time, each answered; files for a snapshot come as descriptors. The end of that socket is the end of the
 * machine. It cannot be asked by anybody else, and it asks nobody.
 *
 * syscalls(loop): recvmsg sendmsg pwrite64
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/machine_internal.h"
#include "sys/title.h"
#include "vm/machine.h"

struct process {
	struct machines_process *p;
	struct loop loop;
	struct loop_source keeper;
	struct machine *m;
	int file[KEEPER_FILES]; /* owned; for the next snapshot: state, memory */
	unsigned n_files;
};

static void answer(struct process *s, uint8_t type, int r, const struct err *e)
{
	struct msg_failed m = { .code = r < 0 ? -r : 0 };

	if (r < 0)
		m.e = *e;
	frame_send(s->p->sock, type, &m, sizeof(m), -1, true);
}

static void on_ended(void *arg, enum machine_end how, int status, const char *why)
{
	struct process *s = arg;
	struct machines_ended m = { .how = (int32_t)how, .status = status };

	str_copy(m.why, sizeof(m.why), why);
	frame_send(s->p->sock, MACHINES_ENDED, &m, sizeof(m), -1, true);
	s->loop.stop = true;
}

static void files_close(struct process *s)
{
	while (s->n_files > 0)
		fd_close(&s->file[--s->n_files]);
}

static int save(struct process *s, const struct msg_save *m, struct err *e)
{
	int r;

	if (s->n_files != KEEPER_FILES)
		return err_set(e, EINVAL, "a snapshot needs two files");
	r = machine_save(s->m, m->diff ? MACHINE_SNAPSHOT_DIFF : MACHINE_SNAPSHOT_FULL, s->file[0],
			 s->file[1], e);
	files_close(s);
	return r;
}

/* count() - what the engine has counted, as JSON into the file that came. */
static int count(struct process *s, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	struct json_out o = { .to = &b };
	ssize_t n = 0;

	if (s->n_files != 1)
		return err_set(e, EINVAL, "counters need a file");
	machine_counters(s->m, &o);
	if (buf_finish(&b) == 0)
		n = pwrite(s->file[0], b.data, b.len, 0);
	files_close(s);
	return n > 0 && (size_t)n == b.len ? 0 : err_set(e, EIO, "its counters could not be written");
}

/* serve() - one request. @fd: taken. */
static void serve(struct process *s, uint8_t type, const struct msg_save *m, int fd)
{
	auto_close int mine = fd;
	struct err e = { 0 };

	switch (type) {
	case PROTO_PAUSE: answer(s, PROTO_DONE, machine_pause(s->m, &e), &e); break;
	case PROTO_RESUME: answer(s, PROTO_DONE, machine_resume(s->m, &e), &e); break;
	case MACHINES_POWER: answer(s, MACHINES_POWERED, machine_ctrl_alt_del(s->m, &e), &e); break;
	case MACHINES_SAVE: answer(s, PROTO_DONE, save(s, m, &e), &e); break;
	case MACHINES_COUNT: answer(s, PROTO_DONE, count(s, &e), &e); break;
	case PROTO_FILE:
		if (s->n_files < KEEPER_FILES)
			s->file[s->n_files++] = TAKE_FD(mine);
		break;
	default: break;
	}
}

static void on_keeper(void *arg, uint32_t events)
{
	struct process *s = arg;
	struct msg_save m = { 0 };
	uint8_t type;
	int fd = -1;
	ssize_t n = frame_recv(s->p->sock, &type, &m, sizeof(m), &fd, false);

	(void)events;
	if (n >= 0)
		serve(s, type, &m, fd);
	else if (n != -EAGAIN) { /* without a keeper there is no machine */
		machine_stop(s->m);
		s->loop.stop = true;
	}
}

/* adopt_drive() - of the saved drive everything but its id is what the clone has. */
static int adopt_drive(struct machine_drive *saved, struct machine_config *own, struct err *e)
{
	for (unsigned i = 0; i < own->n_drives; i++) {
		struct machine_drive *d = &own->drive[i];

		if (!str_eq(d->id, saved->id) || d->file.fd < 0)
			continue;
		if (d->readonly != saved->readonly)
			return err_set(e, EINVAL, "disk '%s': the snapshot has it %s", saved->id,
				       saved->readonly ? "read-only" : "writable");
		free(saved->file.path);
		saved->file = d->file;
		memcpy(saved->format, d->format, sizeof(saved->format));
		saved->backing = d->backing;
		d->file = (struct machine_file){ .fd = -1 };
		return 0;
	}
	return err_set(e, EINVAL, "disk '%s': the snapshot's state has it, its configuration does not",
		       saved->id);
}

static int adopt_pmem(struct machine_pmem *saved, struct machine_config *own, struct err *e)
{
	for (unsigned i = 0; i < own->n_pmems; i++) {
		struct machine_pmem *p = &own->pmem[i];

		if (!str_eq(p->id, saved->id) || p->file.fd < 0 || p->readonly != saved->readonly)
			continue;
		free(saved->file.path);
		saved->file = p->file;
		p->file = (struct machine_file){ .fd = -1 };
		return 0;
	}
	return err_set(e, EINVAL, "pmem '%s': the snapshot's state has it, its configuration does not so",
		       saved->id);
}

static int adopt_net(struct machine_net *saved, struct machine_config *own, struct err *e)
{
	for (unsigned i = 0; i < own->n_nets; i++) {
		struct machine_net *n = &own->net[i];

		if (!str_eq(n->id, saved->id))
			continue;
		free(saved->host_dev);
		saved->kind = n->kind;
		saved->host_dev = TAKE_PTR(n->host_dev);
		saved->tap_fd = TAKE_FD(n->tap_fd);
		return 0;
	}
	return err_set(e, EINVAL,
		       "network card '%s': the snapshot's state has it, its configuration does not",
		       saved->id);
}

static int adopt_share(struct machine_share *saved, struct machine_config *own, struct err *e)
{
	for (unsigned i = 0; i < own->n_shares; i++) {
		struct machine_share *d = &own->share[i];

		if (!str_eq(d->tag, saved->tag) || d->dir.fd < 0)
			continue;
		free(saved->dir.path);
		saved->dir = d->dir;
		saved->readonly = d->readonly;
		d->dir = (struct machine_file){ .fd = -1 };
		return 0;
	}
	return err_set(e, EINVAL, "share '%s': the snapshot's state has it, its configuration does not",
		       saved->tag);
}

/*
 * adopt() - whatever the state file names on the host is replaced by what the clone's own configuration has opened
 * A state file can thus name whatever it likes: nothing is opened because of it.
 */
static int adopt(void *arg, struct machine_config *saved, struct err *e)
{
	struct machine_config *own = arg;
	int r = 0;

	for (unsigned i = 0; i < saved->n_drives && r == 0; i++)
		r = adopt_drive(&saved->drive[i], own, e);
	for (unsigned i = 0; i < saved->n_pmems && r == 0; i++)
		r = adopt_pmem(&saved->pmem[i], own, e);
	for (unsigned i = 0; i < saved->n_nets && r == 0; i++)
		r = adopt_net(&saved->net[i], own, e);
	for (unsigned i = 0; i < saved->n_shares && r == 0; i++)
		r = adopt_share(&saved->share[i], own, e);
	if (r == 0 && saved->vsock.on != own->vsock.on)
		r = err_set(e, EINVAL, "vsock: the snapshot's state and its configuration differ");
	if (r < 0)
		return r;
	free(saved->vsock.uds_path);
	saved->vsock.uds_path = TAKE_PTR(own->vsock.uds_path);
	strv_fini(&saved->pin);
	saved->gdb = own->gdb;
	own->gdb.fd = -1;
	saved->pin = own->pin;
	own->pin = (struct strv){ 0 };
	return 0;
}

static int restore(struct process *s, const struct machine_events *ev, struct err *e)
{
	struct machines_launch *l = s->p->launch;
	struct machine_restore r = {
		.state = { .fd = l->state_fd },
		.mem = { .fd = l->mem_fd },
		.uffd_sock = -1,
		.ahead_path = l->ahead_path,
		.track_dirty = l->config->track_dirty,
		.resume = true,
		.fresh_identity = true,
		.jail = l->config->jail,
		.serial_in = s->p->console_in,
		.serial_out = s->p->console_out,
		.engine = l->config->engine,
		.adopt = adopt,
		.arg = l->config,
	};

	l->state_fd = l->mem_fd = -1;
	return machine_restore(&s->m, &r, &s->loop, ev, e);
}

static int make(struct process *s, struct err *e)
{
	const struct machine_events ev = { .ended = on_ended, .arg = s };
	struct machine_config *c = s->p->launch->config;
	int r = loop_init(&s->loop);

	if (r == 0)
		r = loop_add(&s->loop, &s->keeper, s->p->sock, EPOLLIN);
	if (r < 0)
		return err_sys(e, -r, "the event loop");
	if (s->p->launch->state_fd >= 0)
		return restore(s, &ev, e);
	c->serial_in = s->p->console_in;
	c->serial_out = s->p->console_out;
	r = machine_new(&s->m, c, &s->loop, &ev, e);
	return r < 0 ? r : machine_start(s->m, e);
}

void machines__process(struct machines_process *p)
{
	struct process s = {
		.p = p,
		.loop = { .epfd = -1 },
		.keeper = { .fd = -1, .ready = on_keeper, .arg = &s },
		.file = { -1, -1 },
	};
	char title[32 + MACHINE_NAME_MAX];
	struct err e = { 0 };
	int r;

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG,
	      SIGKILL); /* until it becomes another user; from then on the socket's end tells */
	prctl(PR_SET_NAME, "hull-machine");
	str_format(title, sizeof(title), "hull machine %.64s", p->name);
	title_set(title);
	r = make(&s, &e);
	answer(&s, r < 0 ? PROTO_FAILED : PROTO_STARTED, r, &e);
	if (r == 0)
		loop_run(&s.loop);
	machine_free(s.m); /* what disks hold back is written */
	_exit(r < 0);
}
