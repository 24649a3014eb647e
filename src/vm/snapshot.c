/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - a paused machine as two files, and a machine out of them
 *
 * Theory of operation. The state file is a header (magic, format, length, digest) and records: configuration, memory layout,
 * the engine's own parts, processors, board, devices. The memory file is raw (snapshot_mem.c). Restoring goes the way of a
 * boot: the same machine_make() from the same kind of configuration, with the memory file in place of fresh memory and the saved
 * registers in place of a kernel. Every field passes the validator that a guest's own write would pass; the digest
 * tells a damaged file from a forged one, and is no proof of who wrote it.
 *
 * What a configuration read from a file names is opened by the caller's open_file(), which may refuse.
 *
 * A clone is a restore with fresh_identity: the same memory and processors, its own generation id, told to the guest by
 * interrupt before its first instruction, so that it reseeds.
 *
 * syscalls(loop): fstat newfstatat[3]=AT_EMPTY_PATH
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/digest.h"
#include "fmt/record.h"
#include "sys/file.h"
#include "vm/snapshot_internal.h"

enum {
	FORMAT = 1,
	STATE_BYTES_MAX = 64 << 20,
	MACHINE_VERSION = 1,
	VM_VERSION = 1,
	ENGINE_VERSION = 1,
	ENGINE_NAME_MAX = 15
};
#define ENGINE_TAG "runs-on"

struct head {
	char magic[8];
	uint32_t format, reserved;
	uint64_t len;                    /* of the records */
	char digest[DIGEST_SHA256_SIZE]; /* of them */
};

static const char magic[8] = { 'H', 'U', 'L', 'L', 'S', 'N', 'A', 'P' };

/* --- saving ----------------------------------------------------------------------------------------------------- */

static int cpus_save(struct machine *m, struct record_out *o, struct err *e)
{
	auto_free struct x86_state *s = malloc(sizeof(*s));
	int r = s ? 0 : err_sys(e, ENOMEM, "processors");

	for (unsigned i = 0; i < m->n_cpus && r == 0; i++) {
		r = engine_cpu_get(m->cpu[i].cpu, s, e);
		if (r == 0)
			snapshot__cpu_save(s, m->cpu[i].cpuid, m->cpu[i].n_cpuid, o);
	}
	return r;
}

/* Which engine it runs on; readers that do not know of it skip it. */
static void engine_save(const struct machine *m, struct record_out *o)
{
	record_begin_optional(o, ENGINE_TAG, ENGINE_VERSION);
	record_put_str(o, m->vm->ops->name);
	record_end(o);
}

static void engine_restore(struct machine_source *s, struct record_in *in)
{
	char tag[RECORD_TAG_MAX + 1], name[ENGINE_NAME_MAX + 1];

	if (!record_peek(in, tag) || !str_eq(tag, ENGINE_TAG) || !record_open(in, ENGINE_TAG, ENGINE_VERSION))
		return;
	record_get_str(in, name, sizeof(name));
	record_close(in);
	if (in->rc == 0)
		engine_name_check(name, &s->engine, NULL); /* one that nobody knows here is none */
}

static int state_save(struct machine *m, struct buf *b, struct err *e)
{
	struct record_out o = { .to = b };
	struct err why = { 0 };
	int r;

	record_begin(&o, "machine", MACHINE_VERSION);
	engine_save(m, &o);
	snapshot__config_save(&m->config, &o);
	snapshot__layout_save(&m->mem, &o);
	r = cpus_save(m, &o, e);
	record_begin(&o, "engine",
		     VM_VERSION); /* behind the processors: see engine.h on the order of a restore */
	engine_vm_save(m->vm, &o, &why);
	record_end(&o);
	if (r == 0 && why.code)
		r = err_set(e, why.code, "%s", why.text);
	machine__board_save(m, &o);
	machine__devices_save(m, &o);
	record_end(&o);
	return r < 0 ? r : buf_finish(b) < 0 ? err_sys(e, -buf_finish(b), "state") : 0;
}

static int state_write(int fd, const struct buf *b)
{
	struct head h = { .format = FORMAT, .len = b->len };
	int r;

	memcpy(h.magic, magic, sizeof(magic));
	digest_of(b->data, b->len, h.digest);
	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	r = file_write(fd, &h, sizeof(h));
	if (r >= 0)
		r = file_write(fd, b->data, b->len);
	return r < 0 ? r : file_sync(fd);
}

/* check_files() - none that is still needed is written over. Callers have not cut them off yet. */
static int check_files(const struct machine_source *s, int state_fd, int mem_fd, struct err *e)
{
	static const char *const name[] = { "state file", "memory file" };
	struct stat st[2];

	for (unsigned i = 0; i < 2; i++) {
		if (fstat(i ? mem_fd : state_fd, &st[i]) < 0)
			return err_sys(e, errno, "%s", name[i]);
		if (s->ino && st[i].st_ino == s->ino && st[i].st_dev == s->dev)
			return err_set(e, EBUSY,
				       "%s: the machine was restored from this file and still has its memory "
				       "in it; save into another",
				       name[i]);
	}
	if (S_ISREG(st[0].st_mode) && st[0].st_ino == st[1].st_ino && st[0].st_dev == st[1].st_dev)
		return err_set(e, EINVAL, "state and memory are the same file; want two");
	return 0;
}

int machine_save(struct machine *m, enum machine_snapshot kind, int state_fd, int mem_fd, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	int r;

	if (m->state != MACHINE_PAUSED)
		return err_set(e, EBUSY, "a snapshot needs a paused machine");
	/* memory that was fresh at the boot: its memory file knows every page that was ever touched */
	if (kind == MACHINE_SNAPSHOT_DIFF && !m->config.track_dirty && m->source.n)
		return err_set(e, EINVAL, "a difference of a restored machine needs its dirty pages tracked");
	r = check_files(&m->source, state_fd, mem_fd, e);
	if (r == 0)
		r = state_save(m, &b, e);
	if (r == 0) {
		r = state_write(state_fd, &b);
		if (r < 0)
			err_sys(e, -r, "state file");
	}
	if (r == 0)
		r = snapshot__mem_save(m, kind, mem_fd, e);
	if (r == 0 && (r = file_sync(mem_fd)) < 0)
		err_sys(e, -r, "memory file");
	return r;
}

/* --- restoring -------------------------------------------------------------------------------------------------- */

/* state_read() - the whole file, its header checked. */
static int state_read(int fd, struct buf *b, struct head *h, struct err *e)
{
	char digest[DIGEST_SHA256_SIZE];
	int r = file_slurp(fd, b, STATE_BYTES_MAX);

	if (r < 0)
		return err_sys(e, -r, "state file");
	if (b->len < sizeof(*h))
		return err_set(e, EINVAL, "state file: %zu bytes are not even its header", b->len);
	memcpy(h, b->data, sizeof(*h));
	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		return err_set(e, EINVAL, "state file: not a snapshot of hull's");
	if (h->format != FORMAT)
		return err_set(e, EINVAL, "state file: format %u, this program reads %d", h->format, FORMAT);
	if (h->len != b->len - sizeof(*h))
		return err_set(e, EINVAL,
			       "state file: %zu bytes, its header says %llu: it was cut off or changed",
			       b->len - sizeof(*h), (unsigned long long)h->len);
	digest_of(b->data + sizeof(*h), h->len, digest);
	if (memcmp(digest, h->digest, sizeof(digest)) != 0)
		return err_set(e, EBADMSG, "state file: its digest is wrong: it was damaged");
	return 0;
}

int machine_snapshot_format(int fd, struct err *e)
{
	struct head h;
	ssize_t n = fd < 0 ? 0 : file_read(fd, &h, sizeof(h));

	if (fd < 0)
		return FORMAT;
	if (n < 0)
		return err_sys(e, (int)-n, "state file");
	if (n < (ssize_t)sizeof(h) || memcmp(h.magic, magic, sizeof(magic)) != 0 || h.format > INT32_MAX)
		return err_set(e, EINVAL, "state file: not a snapshot of hull's");
	return (int)h.format;
}

/* open_one() - what the configuration names. */
static int open_one(const struct machine_restore *r, const char *what, struct machine_file *f, int flags,
		    struct err *e)
{
	int fd;

	if (f->fd >= 0)
		return 0;
	if (!f->path)
		return err_set(e, EINVAL, "%s: the snapshot names no file", what);
	fd = r->open_file ? r->open_file(r->arg, what, f->path, flags, e) :
			    file_open(AT_FDCWD, f->path, flags, 0);
	if (fd < 0)
		return r->open_file ? fd : err_sys(e, -fd, "%s '%s'", what, f->path);
	f->fd = fd;
	return 0;
}

static int open_files(const struct machine_restore *r, struct machine_config *c, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < c->n_drives && rc == 0; i++)
		rc = open_one(r, "drive", &c->drive[i].file, c->drive[i].readonly ? O_RDONLY : O_RDWR, e);
	for (unsigned i = 0; i < c->n_pmems && rc == 0; i++)
		rc = open_one(r, "pmem device", &c->pmem[i].file, c->pmem[i].readonly ? O_RDONLY : O_RDWR, e);
	for (unsigned i = 0; i < c->n_shares && rc == 0; i++)
		rc = open_one(r, "share", &c->share[i].dir, O_RDONLY | O_DIRECTORY, e);
	return rc;
}

static int replace(char **slot, const char *text, struct err *e)
{
	char *copy = strdup(text);

	if (!copy)
		return err_sys(e, ENOMEM, "a machine");
	free(*slot);
	*slot = copy;
	return 0;
}

/* overrides() - what the clone has of its own. */
static int overrides(const struct machine_restore *r, struct machine_config *c, struct err *e)
{
	int rc = 0;

	c->track_dirty = r->track_dirty;
	c->engine = r->engine;
	c->mmds = r->mmds;
	c->jail = r->jail;
	c->serial_in = r->serial_in;
	c->serial_out = r->serial_out;
	if (r->vsock_path && !c->vsock.on)
		return err_set(e, EINVAL, "vsock: the snapshot has none to override");
	if (r->vsock_path)
		rc = replace(&c->vsock.uds_path, r->vsock_path, e);
	for (const char *const *p = r->net_override; p && p[0] && rc == 0; p += 2) {
		unsigned i = 0;

		while (i < c->n_nets && !str_eq(c->net[i].id, p[0]))
			i++;
		rc = i == c->n_nets ? err_set(e, ENOENT,
					      "network card '%s': the snapshot has none of this name", p[0]) :
				      replace(&c->net[i].host_dev, p[1], e);
	}
	return rc;
}

/* state_restore() - the machine's parts take their state; nothing of it may run before. */
static int state_restore(struct machine *m, struct cpu_scratch *s, unsigned n_host, struct record_in *in,
			 struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->config.cpus && r == 0; i++) {
		unsigned n;

		snapshot__cpu_restore(&s->state, s->table, &n, in);
		r = in->rc;
		if (r == 0)
			r = snapshot__cpuid_fits(s->table, n, s->host, n_host, e);
		if (r == 0)
			r = machine__cpuid_keep(m, i, s->table, n, e);
		if (r == 0)
			r = engine_cpu_set(m->cpu[i].cpu, &s->state, e);
	}
	if (r < 0)
		return r;
	if (record_open(in, "engine", VM_VERSION)) {
		engine_vm_restore(m->vm, in);
		record_close(in);
	}
	machine__board_restore(m, in);
	machine__devices_restore(m, in);
	record_close(in);
	return record_finish(in);
}

/* machine_from() - everything from @in: the order is that of the file. */
static int machine_from(struct machine *m, const struct machine_restore *r, struct record_in *in,
			struct err *e)
{
	auto_free struct cpu_scratch *s = calloc(1, sizeof(*s));
	unsigned n_host = ENGINE_CPUID_MAX;
	struct stat st;
	int rc = s ? 0 : err_sys(e, ENOMEM, "a machine");

	if (rc == 0 && record_open(in, "machine", MACHINE_VERSION)) {
		engine_restore(&m->source, in);
		snapshot__config_restore(&m->config, in);
		snapshot__layout_restore(&m->source, in);
	}
	if (rc == 0)
		rc = in->rc;
	if (rc == 0)
		rc = overrides(r, &m->config, e);
	if (rc == 0 && r->adopt)
		rc = r->adopt(r->arg, &m->config, e);
	if (rc == 0)
		rc = open_files(r, &m->config, e);
	if (rc == 0)
		rc = machine__config_check_saved(&m->config, e);
	if (rc < 0)
		return rc;
	m->source.fd = r->mem.fd;
	if (r->mem.fd >= 0) {
		if (fstat(r->mem.fd, &st) < 0)
			return err_sys(e, errno, "memory file");
		m->source.dev = st.st_dev;
		m->source.ino = st.st_ino;
	}
	rc = machine__make(m, e);
	m->source.fd = -1;
	if (rc == 0 && r->uffd_sock >= 0 && m->vm->ops->shared_memory)
		rc = err_set(e, EOPNOTSUPP,
			     "engine '%s': its processes map the memory, too, and no page fault handler is "
			     "told of what they lack",
			     m->vm->ops->name);
	if (rc == 0 && r->uffd_sock >= 0) { /* first: a page that anything has looked at is asked of nobody */
		m->lazy = true;
		rc = snapshot__uffd_hand_over(&m->mem, &m->source, r->uffd_sock, e);
	}
	if (rc == 0 &&
	    !m->vm->ops->shared_memory) /* else all of it is there: nothing is to be listed or fetched */
		rc = machine__ahead_new(m, r->ahead_path, e);
	if (rc == 0) /* while the engine is at its memory, which takes as long */
		rc = machine__jail(m, e);
	if (rc == 0)
		rc = engine_cpuid_host(m->vm, s->host, &n_host, e);
	if (rc == 0)
		rc = machine__cpus_add(m, e);
	if (rc == 0)
		rc = state_restore(m, s, n_host, in, e);
	return rc == 0 && r->clock_realtime ? engine_vm_catch_up(m->vm, e) : rc;
}

int machine_restore(struct machine **ret_m, struct machine_restore *r, struct loop *loop,
		    const struct machine_events *ev, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	struct machine *m = machine__alloc(loop, ev);
	struct record_in in;
	struct head h;
	int rc = m ? state_read(r->state.fd, &b, &h, e) : err_sys(e, ENOMEM, "a machine");

	if (rc == 0) {
		record_init(&in, b.data + sizeof(h), b.len - sizeof(h), e);
		rc = machine_from(m, r, &in, e);
	}
	if (rc == 0)
		m->state = MACHINE_PAUSED;
	if (rc == 0 && r->fresh_identity)
		rc = machine__guid_renew(m, true, e);
	if (rc == 0 && r->resume)
		rc = machine_resume(m, e);
	fd_close(&r->state.fd);
	fd_close(&r->mem.fd);
	fd_close(&r->uffd_sock);
	if (rc < 0) {
		machine_free(m);
		return err_wrap(e, rc, "restore");
	}
	*ret_m = m;
	return 0;
}
