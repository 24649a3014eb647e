/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_disks.c - drives and pmem devices, before the start and while it runs */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

static void drive_fini(struct machine_drive *d)
{
	fc__file_fini(&d->file);
	free(d->partuuid);
	*d = (struct machine_drive){ .file.fd = -1 };
}

/* open_disk() - a regular file or a block device. */
static int open_disk(struct fc *f, struct machine_file *file, const char *path, bool readonly, struct err *e)
{
	struct stat st;
	int r = fc__open(f, file, FC_FILE_DISK, path, readonly ? O_RDONLY : O_RDWR,
			 "Unable to open the backing file", e);

	if (r < 0)
		return r;
	if (fstat(file->fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return err_set(
			e, EINVAL,
			"Unable to use the backing file '%s': it is no regular file and no block device",
			path);
	return 0;
}

/* other_root() - is a device other than @kind's @id the root already? */
static const char *other_root(const struct machine_config *c, enum machine_device kind, const char *id)
{
	for (unsigned i = 0; i < c->n_drives; i++)
		if (c->drive[i].root && (kind != MACHINE_DEVICE_DRIVE || !str_eq(c->drive[i].id, id)))
			return c->drive[i].id;
	for (unsigned i = 0; i < c->n_pmems; i++)
		if (c->pmem[i].root && (kind != MACHINE_DEVICE_PMEM || !str_eq(c->pmem[i].id, id)))
			return c->pmem[i].id;
	return NULL;
}

static int refuse_root(struct fc_call *c, enum machine_device kind, const char *id)
{
	const char *other = other_root(fc__config(c->f), kind, id);

	if (c->f->m)
		return err_set(c->e, EINVAL, "A root device cannot be added after starting the microVM");
	if (other)
		return err_set(c->e, EEXIST, "A root block device already exists: '%s'", other);
	return 0;
}

/* read_drive() - the body but for its file. */
static const char *read_drive(struct fc_call *c, struct machine_drive *d)
{
	enum { UNSAFE, WRITEBACK };
	static const struct json_name cache[] = { { "Unsafe", UNSAFE }, { "Writeback", WRITEBACK } };
	static const struct json_name io[] = { { "Sync", 0 }, { "Async", 1 } };
	const struct json_at *b = c->body;
	const char *path = json_read_str(b, "path_on_host"), *uuid = json_read_str(b, "partuuid");

	fc__read_id(c, "drive_id", d->id);
	json_need(b, "is_root_device");
	d->root = json_read_bool(b, "is_root_device", false);
	d->readonly = json_read_bool(b, "is_read_only", false);
	d->writeback = json_read_name(b, "cache_type", cache, 2, UNSAFE) == WRITEBACK;
	d->async = json_read_name(b, "io_engine", io, 2, 0);
	str_copy(d->format, sizeof(d->format), "raw");
	fc__read_limiter(b, "rate_limiter", &d->limit);
	if (json_has(b, "socket") &&
	    (path || json_has(b, "is_read_only") || json_has(b, "rate_limiter") || json_has(b, "io_engine")))
		json_fail(b, NULL, EINVAL,
			  "fields of a virtio drive and of a vhost-user drive exclude each other");
	else if (json_has(b, "socket"))
		json_fail(b, "socket", EOPNOTSUPP, "vhost-user drives are not there yet");
	else
		json_need(b, "path_on_host");
	if (json_finish(b->doc) == 0)
		fc__set_str(&d->partuuid, uuid, c->e);
	return path;
}

static int place_drive(struct fc_call *c, struct machine_drive *d)
{
	struct machine_config *m = &c->f->c;
	unsigned at = 0;

	while (at < m->n_drives && !str_eq(m->drive[at].id, d->id))
		at++;
	if (at == m->n_drives) {
		if (!fc__grow(c, (void **)&m->drive, &m->n_drives, sizeof(*m->drive), MACHINE_DRIVES_MAX,
			      "drives"))
			return -c->e->code;
		m->drive[at].file.fd = -1;
	}
	drive_fini(&m->drive[at]);
	if (d->root) { /* /dev/vda is the root's */
		memmove(m->drive + 1, m->drive, at * sizeof(*m->drive));
		at = 0;
	}
	m->drive[at] = *d;
	*d = (struct machine_drive){ .file.fd = -1 };
	return 0;
}

int fc__put_drive(struct fc_call *c)
{
	struct machine_drive d = { .file.fd = -1 };
	const char *path = read_drive(c, &d);
	int r = json_finish(c->body->doc);

	if (r == 0 && d.root)
		r = refuse_root(c, MACHINE_DEVICE_DRIVE, d.id);
	if (r == 0)
		r = open_disk(c->f, &d.file, path, d.readonly, c->e);
	if (r == 0)
		r = c->f->m ? machine_drive_add(c->f->m, &d, c->e) : place_drive(c, &d);
	if (r < 0 || !c->f->m)
		drive_fini(&d);
	return r;
}

static const struct machine_drive *find_drive(const struct machine_config *m, const char *id)
{
	for (unsigned i = 0; i < m->n_drives; i++)
		if (str_eq(m->drive[i].id, id))
			return &m->drive[i];
	return NULL;
}

int fc__patch_drive(struct fc_call *c)
{
	struct machine_file file = { .fd = -1 };
	const char *path = json_read_str(c->body, "path_on_host");
	const struct machine_drive *d;
	struct limiter_config limit;
	char id[MACHINE_NAME_MAX + 1];
	int r;

	fc__read_id(c, "drive_id", id);
	r = json_finish(c->body->doc);
	if (r < 0)
		return r;
	d = find_drive(fc__config(c->f), id);
	if (!d)
		return err_set(c->e, ENOENT, "Drive '%s': there is none", id);
	limit = d->limit;
	fc__read_limiter(c->body, "rate_limiter", &limit);
	r = json_finish(c->body->doc);
	if (r == 0 && !path && !json_has(c->body, "rate_limiter"))
		return err_set(c->e, EINVAL,
			       "Drive '%s': only a vhost-user drive reads its configuration again", id);
	if (r == 0 && path)
		r = open_disk(c->f, &file, path, d->readonly, c->e);
	if (r == 0 && path)
		r = machine_drive_path(c->f->m, id, &file, c->e);
	if (r == 0 && json_has(c->body, "rate_limiter"))
		r = machine_drive_limit(c->f->m, id, &limit, c->e);
	fc__file_fini(&file); /* what was taken is not there any more */
	return r;
}

static int delete_device(struct fc_call *c, enum machine_device kind)
{
	if (!fc__config(c->f)->pci)
		return err_set(c->e, EOPNOTSUPP, "PCI is not enabled");
	return machine_device_remove(c->f->m, kind, c->id, c->e);
}

int fc__delete_drive(struct fc_call *c)
{
	const struct machine_drive *d = find_drive(fc__config(c->f), c->id);

	if (d && d->root)
		return err_set(c->e, EBUSY, "Drive '%s' is the root device", c->id);
	return delete_device(c, MACHINE_DEVICE_DRIVE);
}

int fc__delete_pmem(struct fc_call *c)
{
	return delete_device(c, MACHINE_DEVICE_PMEM);
}

int fc__delete_net(struct fc_call *c)
{
	return delete_device(c, MACHINE_DEVICE_NET);
}

/* --- pmem ----------------------------------------------------------------------------------------------------- */

static int place_pmem(struct fc_call *c, struct machine_pmem *p)
{
	struct machine_config *m = &c->f->c;
	unsigned at = 0;

	while (at < m->n_pmems && !str_eq(m->pmem[at].id, p->id))
		at++;
	if (at == m->n_pmems) {
		if (!fc__grow(c, (void **)&m->pmem, &m->n_pmems, sizeof(*m->pmem), MACHINE_PMEMS_MAX,
			      "pmem devices"))
			return -c->e->code;
		m->pmem[at].file.fd = -1;
	}
	fc__file_fini(&m->pmem[at].file);
	m->pmem[at] = *p;
	p->file = (struct machine_file){ .fd = -1 };
	return 0;
}

int fc__put_pmem(struct fc_call *c)
{
	struct machine_pmem p = { .file.fd = -1 };
	const char *path = json_read_str(c->body, "path_on_host");
	struct stat st;
	int r;

	fc__read_id(c, "id", p.id);
	json_need(c->body, "path_on_host");
	p.root = json_read_bool(c->body, "root_device", false);
	p.readonly = json_read_bool(c->body, "read_only", false);
	fc__read_limiter(c->body, "rate_limiter", &p.limit);
	r = json_finish(c->body->doc);
	if (r == 0 && p.root)
		r = refuse_root(c, MACHINE_DEVICE_PMEM, p.id);
	if (r == 0)
		r = open_disk(c->f, &p.file, path, p.readonly, c->e);
	if (r == 0 && (fstat(p.file.fd, &st) < 0 || (S_ISREG(st.st_mode) && st.st_size == 0)))
		r = err_set(c->e, EINVAL, "The backing file '%s' is empty", path);
	if (r == 0)
		r = c->f->m ? machine_pmem_add(c->f->m, &p, c->e) : place_pmem(c, &p);
	if (r < 0 || !c->f->m)
		fc__file_fini(&p.file);
	return r;
}

int fc__patch_pmem(struct fc_call *c)
{
	const struct machine_config *m = fc__config(c->f);
	struct limiter_config limit;
	char id[MACHINE_NAME_MAX + 1];
	unsigned at = 0;
	int r;

	fc__read_id(c, "id", id);
	r = json_finish(c->body->doc);
	if (r < 0)
		return r;
	while (at < m->n_pmems && !str_eq(m->pmem[at].id, id))
		at++;
	if (at == m->n_pmems)
		return err_set(c->e, ENOENT, "Pmem device '%s': there is none", id);
	limit = m->pmem[at].limit;
	fc__read_limiter(c->body, "rate_limiter", &limit);
	r = json_finish(c->body->doc);
	return r < 0 ? r : machine_pmem_limit(c->f->m, id, &limit, c->e);
}
