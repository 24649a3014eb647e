/* SPDX-License-Identifier: Apache-2.0 */
/* machine_store.c - the machines there are: their directories and names; see machine.h */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/event.h"
#include "runtime/machine_internal.h"
#include "runtime/name.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"

enum { LINK_SIZE = 3 + INSTANCE_ID_SIZE, NAMES_TRIED = 20, KILL_WAIT_MS = 5000 };

/* --- opening ---------------------------------------------------------------------------------------------------- */

static int open_dir(const char *base, const char *below, struct err *e)
{
	auto_free char *path = str_printf("%s%s", base, below);
	int r = path ? file_mkdirs(AT_FDCWD, path, 0700) : -ENOMEM;

	if (r >= 0)
		r = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	return r < 0 ? err_sys(e, -r, "directory '%s%s'", base, below) : r;
}

int machines_open(struct machines **ret_ms, const char *root, const char *run_root, struct err *e)
{
	struct machines *ms = calloc(1, sizeof(*ms));
	int r;

	if (!ms)
		return err_sys(e, ENOMEM, "machines");
	ms->dirfd = ms->run_fd = ms->events_fd = -1;
	r = runtime_roots(root, run_root, &ms->root, &ms->run_root, e);
	if (r >= 0)
		r = ms->dirfd = open_dir(ms->root, "/machines", e);
	if (r >= 0) {
		r = file_mkdir(ms->dirfd, MACHINES_NAMES, 0700);
		if (r < 0)
			err_sys(e, -r, "%s/machines/" MACHINES_NAMES, ms->root);
	}
	if (r >= 0)
		r = ms->run_fd = open_dir(ms->run_root, "/" MACHINES_RUN, e);
	if (r >= 0)
		r = ms->events_fd = open_dir(ms->run_root, "", e);
	if (r < 0) {
		machines_close(ms);
		return r;
	}
	*ret_ms = ms;
	return 0;
}

void machines_close(struct machines *ms)
{
	if (!ms)
		return;
	fd_close(&ms->dirfd);
	fd_close(&ms->run_fd);
	fd_close(&ms->events_fd);
	free(ms->root);
	free(ms->run_root);
	free(ms);
}

char *machines_path(const struct machines *ms, const char *id)
{
	return str_printf("%s/machines/%s", ms->root, id);
}

char *machines_vsock_path(const struct machines *ms, const char *id)
{
	return str_printf("%s/" MACHINES_RUN "/%.12s.vsock", ms->run_root, id);
}

void machines__event(int events_fd, const char *action, const char *id, const char *name)
{
	const char *pairs[] = { "name", name };

	event__append(events_fd, "machine", action, id, pairs, 1);
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static bool is_id(const char *s)
{
	return strlen(s) == INSTANCE_ID_SIZE - 1 && strspn(s, "0123456789abcdef") == INSTANCE_ID_SIZE - 1;
}

/* name_path() - NULL when it cannot be a name: it comes from a person. */
static const char *name_path(const char *name, char *dst, size_t size)
{
	if (name_check(name, NULL) < 0)
		return NULL;
	str_format(dst, size, MACHINES_NAMES "/%s", name);
	return dst;
}

/* id_of() - of the machine called @name. -ENOENT: there is none. */
static int id_of(const struct machines *ms, const char *name, char ret_id[INSTANCE_ID_SIZE])
{
	char path[sizeof(MACHINES_NAMES) + NAME_MAX_BYTES + 1], to[LINK_SIZE + 1];
	ssize_t n;

	if (!name_path(name, path, sizeof(path)))
		return -ENOENT;
	n = readlinkat(ms->dirfd, path, to, sizeof(to) - 1);
	if (n < 0)
		return -errno;
	to[n] = '\0';
	if (n != LINK_SIZE - 1 || !str_starts(to, "../") || !is_id(to + 3))
		return -ENOENT;
	memcpy(ret_id, to + 3, INSTANCE_ID_SIZE);
	return 0;
}

static int names_of(const struct machines *ms, const char *where, struct strv *names)
{
	int fd = file_open(ms->dirfd, where, O_RDONLY | O_DIRECTORY, 0);
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

/* has_name() - is @id a machine, or what a killed command left? */
static bool has_name(const struct machines *ms, const struct strv *names, const char *id)
{
	char of[INSTANCE_ID_SIZE];

	for (size_t i = 0; i < names->len; i++)
		if (id_of(ms, names->item[i], of) == 0 && str_eq(of, id))
			return true;
	return false;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

int machines__dir(const struct machines *ms, const char *id, struct err *e)
{
	int fd = file_open(ms->dirfd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	return fd < 0 ? err_sys(e, -fd, "%s/machines/%s", ms->root, id) : fd;
}

int machines__lock(const struct machines *ms, const char *id, int dirfd, bool wait, struct err *e)
{
	auto_close int fd = file_open(dirfd, INSTANCE_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	struct stat mine, there;
	int r = fd < 0 ? fd : file_lock(fd, true, wait);

	if (r < 0)
		return r == -EWOULDBLOCK ? r : err_sys(e, -r, "lock the machine");
	if (fstat(dirfd, &mine) < 0 || file_fstatat(ms->dirfd, id, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    mine.st_ino != there.st_ino)
		return err_set(e, ENOENT, "the machine has just been removed");
	return TAKE_FD(fd);
}

static int read_config(struct instance *in, int dirfd, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	const char *name, *created;
	int r = file_slurp_at(dirfd, MACHINES_CONFIG, &b, INSTANCE_TEXT_MAX);

	if (r >= 0)
		r = json_tree_parse(&in->config, buf_str(&b), b.len, e);
	if (r < 0)
		return err_wrap(e, r, "machine %.12s: " MACHINES_CONFIG "%s%s", in->id,
				e && e->text[0] ? "" : " ", e && e->text[0] ? "" : err_name(-r));
	name = instance__str(in->config, NULL, "Name");
	created = instance__str(in->config, NULL, "Created");
	if (!name || !created || time_parse_rfc3339(created, &in->created_ns) < 0)
		return err_set(e, EBADMSG, "machine %.12s: " MACHINES_CONFIG " is damaged", in->id);
	in->name = strdup(name);
	return in->name ? 0 : err_sys(e, ENOMEM, "machine %.12s", in->id);
}

static int read_state(struct instance *in, int dirfd, struct err *e)
{
	int r = state_read(dirfd, in, e);

	if (r == 0 && in->status == INSTANCE_DEAD) {
		free(in->error);
		in->error = strdup("its keeper was killed; 'hull vm start' starts it again, 'hull vm rm -f' "
				   "removes it");
		json_object_set_new(in->state, "Error", json_string(in->error ? in->error : ""));
	}
	return r;
}

int machines__read(struct machines *ms, const char *id, struct instance *ret_in, struct err *e)
{
	auto_close int dir = machines__dir(ms, id, e);
	struct instance in = { 0 };
	int r = dir < 0 ? dir : 0;

	str_copy(in.id, sizeof(in.id), id);
	if (r == 0)
		r = read_config(&in, dir, e);
	if (r == 0)
		r = read_state(&in, dir, e);
	if (r < 0) {
		instance_fini(&in);
		return r;
	}
	*ret_in = in;
	return 0;
}

int machines_id(struct machines *ms, const char *name, char ret_id[65], struct err *e)
{
	auto_fini(strv) struct strv names = { 0 };
	char one[INSTANCE_ID_SIZE];
	size_t len = strlen(name), found = 0;

	if (id_of(ms, name, ret_id) == 0)
		return 0;
	if (len > 0 && len < INSTANCE_ID_SIZE && strspn(name, "0123456789abcdef") == len)
		names_of(ms, MACHINES_NAMES, &names);
	for (size_t i = 0; i < names.len; i++)
		if (id_of(ms, names.item[i], one) == 0 && str_starts(one, name)) {
			memcpy(ret_id, one, sizeof(one));
			found++;
		}
	if (found > 1)
		return err_set(e, EEXIST, "'%s' begins the ids of several machines", name);
	return found ? 0 : err_set(e, ENOENT, "no such machine: '%s'", name);
}

int machines_find(struct machines *ms, const char *name, struct instance *ret_in, struct err *e)
{
	char id[INSTANCE_ID_SIZE];
	int r = machines_id(ms, name, id, e);

	return r < 0 ? r : machines__read(ms, id, ret_in, e);
}

int machines_each(struct machines *ms, int (*each)(void *arg, const struct instance *in), void *arg,
		  struct err *e)
{
	auto_fini(strv) struct strv names = { 0 };
	char id[INSTANCE_ID_SIZE];
	int r = names_of(ms, MACHINES_NAMES, &names);

	if (r < 0)
		return err_sys(e, -r, "%s/machines", ms->root);
	for (size_t i = 0; i < names.len && r >= 0; i++) {
		auto_fini(instance) struct instance in = { 0 };

		if (id_of(ms, names.item[i], id) < 0 || machines__read(ms, id, &in, NULL) < 0)
			continue; /* removed meanwhile, or damaged: one must not hide the others */
		r = each(arg, &in);
	}
	return r < 0 ? r : 0;
}

/* --- making ----------------------------------------------------------------------------------------------------- */

/* name_take() - the name now leads to @id. -EEXIST: to another. */
static int name_take(const struct machines *ms, const char *name, const char *id)
{
	char path[sizeof(MACHINES_NAMES) + NAME_MAX_BYTES + 1], to[LINK_SIZE], other[INSTANCE_ID_SIZE];
	struct stat st;

	name_path(name, path, sizeof(path));
	str_format(to, sizeof(to), "../%s", id);
	if (symlinkat(to, ms->dirfd, path) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (id_of(ms, name, other) == 0 &&
	    file_fstatat(ms->dirfd, other, &st, AT_SYMLINK_NOFOLLOW) == -ENOENT) {
		file_unlink(ms->dirfd, path, 0); /* somebody removed the directory by hand */
		return symlinkat(to, ms->dirfd, path) == 0 ? 0 : -errno;
	}
	return -EEXIST;
}

static int write_config(int dirfd, const char *id, const char *name, json_t *options, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	char when[TIME_RFC3339_SIZE];
	auto_json json_t *c = json_pack("{s:s,s:s,s:s,s:O}", "Id", id, "Name", name, "Created",
					time_rfc3339(time_now_ns(CLOCK_REALTIME), when), "Options", options);

	if (!c)
		return err_sys(e, ENOMEM, "machine '%s'", name);
	json_tree_text(&b, c, 2);
	if (buf_finish(&b) < 0)
		return err_sys(e, ENOMEM, "machine '%s'", name);
	return file_replace(dirfd, MACHINES_CONFIG, buf_str(&b), b.len, 0600, true, e);
}

/* make_as() - one try of a name. -EEXIST: it is taken. */
static int make_as(struct machines *ms, const char *id, int dirfd, const char *name, json_t *options,
		   struct err *e)
{
	int r = write_config(dirfd, id, name, options, e);

	if (r >= 0)
		r = name_take(ms, name, id);
	return r;
}

int machines_create(struct machines *ms, const char *name, json_t *options, machines_filler *fill, void *arg,
		    char ret_id[65], struct err *e)
{
	char id[INSTANCE_ID_SIZE], made_up[64];
	auto_close int dir = -1, lock = -1;
	int r = name ? name_check(name, e) : 0;

	if (r < 0)
		return r;
	name_id(id);
	r = file_mkdir(ms->dirfd, id, 0700);
	if (r < 0)
		return err_sys(e, -r, "%s/machines/%s", ms->root, id);
	dir = machines__dir(ms, id, e);
	lock = dir < 0 ? dir : machines__lock(ms, id, dir, true, e); /* no sweep takes it for garbage */
	r = lock < 0 ? lock : fill ? fill(arg, ms, id, options, e) : 0;
	r = r < 0 ? r : -EEXIST;
	for (int i = 0; r == -EEXIST && i < (name ? 1 : NAMES_TRIED); i++) {
		if (!name)
			name_random(made_up, sizeof(made_up), i);
		r = make_as(ms, id, dir, name ? name : made_up, options, e);
	}
	if (r < 0) {
		file_remove_tree(ms->dirfd, id, NULL);
		return r == -EEXIST && name && !(e && e->code) ?
			       err_set(e, EEXIST, "the name '%s' is in use by another machine", name) :
		       e && e->code ? r :
				      err_sys(e, -r, "create the machine");
	}
	machines__event(ms->events_fd, "create", id, name ? name : made_up);
	memcpy(ret_id, id, sizeof(id));
	return 0;
}

/* --- cleaning and removing -------------------------------------------------------------------------------------- */

/* end_orphan() - a machine whose keeper was killed ends by itself; one that cannot (it is stopped) is helped. */
static void end_orphan(const struct instance *in)
{
	uint64_t start = (uint64_t)instance__int(in->state, NULL, "PidStart");
	auto_close int fd = in->pid > 0 && start ? pidfd_open(in->pid) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || !proc_alive(in->pid, start))
		return;
	pidfd_send(fd, SIGKILL);
	poll(&p, 1, KILL_WAIT_MS);
}

void machines__clean(const struct machines *ms, const struct instance *in, int dirfd)
{
	auto_free char *vsock = machines_vsock_path(ms, in->id);

	if (in->state)
		end_orphan(in);
	file_unlink(ms->run_fd, in->id, 0);
	if (vsock)
		file_unlink(AT_FDCWD, vsock, 0);
	machines__group_clean(dirfd);
}

/* remove_locked() - the name goes first: from then on it is garbage that any sweep may finish with. */
static int remove_locked(struct machines *ms, const struct instance *in, int dirfd, struct err *e)
{
	char path[sizeof(MACHINES_NAMES) + NAME_MAX_BYTES + 1], of[INSTANCE_ID_SIZE];
	auto_fini(strv) struct strv names = { 0 };
	int r = 0;

	machines__clean(ms, in, dirfd);
	if (in->name)
		strv_add(&names, in->name);
	else /* its configuration cannot be read */
		names_of(ms, MACHINES_NAMES, &names);
	for (size_t i = 0; i < names.len && r == 0; i++)
		if (id_of(ms, names.item[i], of) == 0 && str_eq(of, in->id) &&
		    name_path(names.item[i], path, sizeof(path)))
			r = file_unlink(ms->dirfd, path, 0);
	if (r < 0)
		return err_sys(e, -r, "the name of machine %.12s", in->id);
	return file_remove_tree(ms->dirfd, in->id, e);
}

/* read_removed() - also of one whose configuration is damaged: its state, at least. */
static int read_removed(const char *id, int dirfd, bool force, struct instance *in, struct err *e)
{
	int r = read_config(in, dirfd, e);

	if (r < 0 && !force)
		return r;
	if (r < 0 && e)
		*e = (struct err){ 0 };
	str_copy(in->id, sizeof(in->id), id);
	return read_state(in, dirfd, e);
}

int machines_remove(struct machines *ms, const char *id, bool force, struct err *e)
{
	auto_fini(instance) struct instance in = { .id = "" };
	auto_close int dir = machines__dir(ms, id, e), lock = -1;
	int r = dir;

	str_copy(in.id, sizeof(in.id), id);
	if (r >= 0)
		r = read_removed(id, dir, force, &in, e);
	if (r < 0)
		return r;
	if (!force && (instance__live(&in) || machines__has_keeper(ms, id)))
		return err_set(e, EBUSY, "remove '%s': it runs; 'hull vm stop' it first, or 'hull vm rm -f'",
			       in.name);
	if (in.status != INSTANCE_CREATED && in.status != INSTANCE_EXITED)
		machines__kill(ms,
			       &in); /* also when its state is damaged; whether it went well is seen below */
	lock = machines__lock(ms, id, dir, true, e);
	r = lock < 0 ? lock : instance__reread(&in, dir, e);
	if (r >= 0 && instance__live(&in))
		r = err_set(e, EBUSY, "remove '%s': it still runs", in.name ? in.name : id);
	if (r >= 0)
		r = remove_locked(ms, &in, dir, e);
	if (r >= 0)
		machines__event(ms->events_fd, "destroy", id, in.name ? in.name : "");
	return r;
}

/* sweep_one() - a directory without a name is what is left of a create or rm; a machine without keeper leaves a socket and a group. */
static void sweep_one(struct machines *ms, const struct strv *names, const char *id)
{
	auto_close int dir = machines__dir(ms, id, NULL);
	auto_close int lock = dir < 0 ? dir : machines__lock(ms, id, dir, false, NULL);
	auto_fini(instance) struct instance in = { 0 };

	if (lock < 0) /* it is being made, started or removed just now */
		return;
	str_copy(in.id, sizeof(in.id), id);
	if (read_state(&in, dir, NULL) < 0 || instance__live(&in) || machines__has_keeper(ms, id))
		return;
	if (has_name(ms, names, id))
		machines__clean(ms, &in, dir);
	else
		remove_locked(ms, &in, dir, NULL);
}

int machines_sweep(struct machines *ms, struct err *e)
{
	auto_fini(strv) struct strv names = { 0 }, ids = { 0 };
	int r = names_of(ms, ".", &ids); /* before the names: a machine made in between has one */

	if (r >= 0)
		r = names_of(ms, MACHINES_NAMES, &names);
	if (r < 0)
		return err_sys(e, -r, "%s/machines", ms->root);
	for (size_t i = 0; i < ids.len; i++)
		if (is_id(ids.item[i]))
			sweep_one(ms, &names, ids.item[i]);
	return 0;
}
