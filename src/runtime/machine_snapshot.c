/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_snapshot.c - a machine in a directory, and what a clone needs of it
 *
 * Theory of operation. The directory has snapshot.json, which names all the others: state-X, memory-X and a copy of each disk
 * that can be written, DISK-X, with X from the snapshot's own id. A snapshot is made beside the one that is there and
 * takes its place when snapshot.json is renamed over the old one; then the old files go, and those of one that was
 * killed. Nothing is ever written in place: machines that were restored from the old one keep what they have mapped. The
 * first restore adds ahead-X, the list of the memory that it touched first; it goes with its snapshot.
 *
 * The machine is paused from before its state is saved until its disks are copied, by a hold that ends with our connection.
 * A difference is merged into a copy of the memory that is there, made before the pause; so the pause is as long as what
 * was written since. Dirty pages are counted from the machine's last snapshot: the keeper remembers which that was.
 *
 * A clone's disk is an overlay in its own directory over a hard link to the snapshot's copy: it outlives the snapshot, and shares
 * its bytes with other clones. Across file systems the link is a copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <dirent.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "blk/qcow2.h"
#include "fmt/json.h"
#include "runtime/machine_internal.h"
#include "runtime/name.h"
#include "sys/file.h"

#define SNAPSHOT_INFO "snapshot.json"

enum { FILE_NAME_SIZE = 96, SHORT = 12, COPY_BYTES = 1 << 20 };

/* --- copying ---------------------------------------------------------------------------------------------------- */

static int copy_range(int from, int to, off_t at, off_t end)
{
	off_t out = at;

	while (at < end) {
		ssize_t n = copy_file_range(from, &at, to, &out, (size_t)(end - at), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

/* copy_data() - what of @from is no hole, onto the same places of @to. */
static int copy_data(int from, int to)
{
	off_t end = 0, at;
	int r = 0;

	while (r == 0) {
		at = lseek(from, end, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(from, at, SEEK_HOLE);
		r = end < 0 ? -errno : copy_range(from, to, at, end);
	}
	return r;
}

static int copy_file(int from, int to)
{
	struct stat st;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return -errno;
	return copy_data(from, to);
}

/* copy_disk() - what a guest sees of a disk, backing files and all, as raw bytes. */
static int copy_disk(struct blk *b, int to)
{
	uint64_t size = blk_size(b), len;
	auto_free char *bytes = malloc(COPY_BYTES);
	int r = bytes ? 0 : -ENOMEM;

	if (r == 0 && ftruncate(to, (off_t)size) < 0)
		r = -errno;
	for (uint64_t at = 0; at < size && r == 0; at += len) {
		bool data;

		r = blk_map(b, at, &len, &data);
		if (r < 0 || !data)
			continue;
		len = len < COPY_BYTES ? len : COPY_BYTES;
		r = blk_pread(b, bytes, len, at);
		if (r == 0 && pwrite(to, bytes, len, (off_t)at) != (ssize_t)len)
			r = -EIO;
	}
	return r;
}

/* disk_open() - @fd: taken; @path: where it is, for the relative names of backing files */
static int disk_open(struct blk **ret_b, int fd, const char *path, const char *format, bool backing,
		     struct err *e)
{
	const char *slash = strrchr(path, '/');
	auto_free char *above = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
	auto_close int dir = backing && above ? file_open(AT_FDCWD, above, O_PATH | O_DIRECTORY, 0) : -1;
	const struct blk_options o = { .format = format,
				       .readonly = true,
				       .as_is = true,
				       .backing_max = backing ? BLK_BACKING_MAX : 0,
				       .backing_anywhere = backing,
				       .backing_dirfd = dir };

	return blk_open(ret_b, fd, &o, e);
}

/* --- saving ------------------------------------------------------------------------------------------------------ */

struct saving {
	const struct machines_save *s;
	struct instance in;
	char id[INSTANCE_ID_SIZE];
	json_t *base, *info;  /* owned: the snapshot that is there, or NULL; the one being made */
	int state, mem, sock; /* owned; @mem: all of it, or the difference */
};

static void saving_fini(struct saving *v)
{
	instance_fini(&v->in);
	json_decref(v->base);
	json_decref(v->info);
	fd_close(&v->state);
	fd_close(&v->mem);
	fd_close(&v->sock);
}

/* plain_name() - a file of the directory itself. */
static bool plain_name(const char *name)
{
	return name && *name && *name != '.' && strlen(name) < FILE_NAME_SIZE && !strchr(name, '/');
}

static const char *file_name(const struct saving *v, const char *what, char *dst)
{
	str_format(dst, FILE_NAME_SIZE, "%.64s-%.*s", what, SHORT, v->id);
	return dst;
}

static int file_make(const struct saving *v, const char *what, struct err *e)
{
	char name[FILE_NAME_SIZE];
	int fd = file_open(v->s->dirfd, file_name(v, what, name), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
			   0600);

	return fd < 0 ? err_sys(e, -fd, "%s", name) : fd;
}

static int read_info(int dirfd, json_t **ret_info, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = file_slurp_at(dirfd, SNAPSHOT_INFO, &b, INSTANCE_TEXT_MAX);

	if (r < 0)
		return err_sys(e, -r, SNAPSHOT_INFO);
	r = json_tree_parse(ret_info, buf_str(&b), b.len, e);
	return r < 0 ? err_wrap(e, r, SNAPSHOT_INFO) : 0;
}

/* ask() - one request to the keeper. */
static int ask(const struct saving *v, uint8_t type, const void *bytes, size_t len, struct err *e)
{
	int r = frame_send(v->sock, type, bytes, len, -1, true);

	return r < 0 ? err_sys(e, -r, "its keeper") : machines__done(v->sock, e);
}

static int save_state(const struct saving *v, struct err *e)
{
	struct msg_save m = { .diff = v->s->diff };
	int r = frame_send(v->sock, PROTO_FILE, NULL, 0, v->state, true);

	memcpy(m.id, v->id, sizeof(m.id));
	if (v->s->diff)
		str_copy(m.base, sizeof(m.base), instance__str(v->base, NULL, "Id"));
	if (r >= 0)
		r = frame_send(v->sock, PROTO_FILE, NULL, 0, v->mem, true);
	return r < 0 ? err_sys(e, -r, "its keeper") : ask(v, PROTO_SAVE, &m, sizeof(m), e);
}

/*
 * flatten() - an overlay with what lies below it: from a copy of its own file, since the machine has that locked
 * The copy has no name when it is read, so nothing of it stays.
 */
static int flatten(const struct saving *v, const struct machines_disk *d, int from, int to, struct err *e)
{
	auto_close int own = file_make(v, "overlay", e);
	auto_blk struct blk *b = NULL;
	char name[FILE_NAME_SIZE];
	int r = own < 0 ? own : copy_file(from, own);

	if (own < 0)
		return own;
	file_unlink(v->s->dirfd, file_name(v, "overlay", name), 0);
	if (r < 0)
		return err_sys(e, -r, "copy disk '%s'", d->path);
	r = disk_open(&b, TAKE_FD(own), d->path, d->format, true, e);
	if (r < 0)
		return r;
	r = copy_disk(b, to);
	return r < 0 ? err_sys(e, -r, "copy disk '%s'", d->path) : 0;
}

static int copy_plain(const struct machines_disk *d, int from, int to, struct err *e)
{
	struct stat st;
	int r = fstat(from, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? copy_file(from, to) : 1;

	if (r == 1) { /* a block device */
		auto_blk struct blk *b = NULL;

		r = disk_open(&b, TAKE_FD(from), d->path, d->format, false, e);
		if (r < 0)
			return r;
		r = copy_disk(b, to);
	}
	return r < 0 ? err_sys(e, -r, "copy disk '%s'", d->path) : 0;
}

static int save_disk(struct saving *v, const struct machines_disk *d, json_t *disks, struct err *e)
{
	auto_close int to = file_make(v, d->id, e), from = -1;
	char name[FILE_NAME_SIZE];
	int r = to < 0 ? to : 0;

	if (r < 0)
		return r;
	from = file_open(AT_FDCWD, d->path, O_RDONLY, 0);
	if (from < 0)
		return err_sys(e, -from, "disk '%s'", d->path);
	r = d->backing ? flatten(v, d, from, to, e) : copy_plain(d, from, to, e);
	if (r == 0)
		json_object_set_new(disks, d->id,
				    json_pack("{s:s,s:s}", "File", file_name(v, d->id, name), "Format",
					      d->backing ? "raw" : d->format));
	return r;
}

static int save_disks(struct saving *v, struct err *e)
{
	json_t *disks = json_object();
	int r = 0;

	json_object_set_new(v->info, "Disks", disks);
	for (size_t i = 0; i < v->s->n_disks && r == 0; i++)
		if (!v->s->disk[i].readonly)
			r = save_disk(v, &v->s->disk[i], disks, e);
	return r;
}

/* files_make() - also the copy of the memory that a difference is merged into. */
static int files_make(struct saving *v, int *ret_whole, struct err *e)
{
	auto_close int was = -1, whole = -1;
	const char *name = NULL;
	int r;

	v->state = file_make(v, "state", e);
	v->mem = v->state < 0 ? v->state : file_make(v, v->s->diff ? "difference" : "memory", e);
	if (v->mem < 0 || !v->s->diff)
		return v->mem < 0 ? v->mem : 0;
	r = read_info(v->s->dirfd, &v->base, e);
	if (r < 0)
		return err_wrap(e, r, "a difference needs the snapshot before it");
	name = instance__str(v->base, NULL, "Memory");
	if (!plain_name(name) || !instance__str(v->base, NULL, "Id"))
		return err_set(e, EBADMSG, SNAPSHOT_INFO " is damaged");
	was = file_open(v->s->dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
	whole = was < 0 ? err_sys(e, -was, "%s", name) : file_make(v, "memory", e);
	if (whole < 0)
		return whole;
	r = copy_file(was, whole);
	*ret_whole = TAKE_FD(whole);
	return r < 0 ? err_sys(e, -r, "copy the memory") : 0;
}

static int info_begin(struct saving *v, struct err *e)
{
	char state[FILE_NAME_SIZE], memory[FILE_NAME_SIZE], when[TIME_RFC3339_SIZE];

	v->info = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:O}", "Id", v->id, "Machine", v->in.id, "Name",
			    v->in.name, "Created", time_rfc3339(time_now_ns(CLOCK_REALTIME), when), "State",
			    file_name(v, "state", state), "Memory", file_name(v, "memory", memory), "Options",
			    json_object_get(v->in.config, "Options"));
	return v->info ? 0 : err_sys(e, ENOMEM, "snapshot");
}

static int info_write(const struct saving *v, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };

	json_tree_text(&b, v->info, 2);
	if (buf_finish(&b) < 0)
		return err_sys(e, ENOMEM, SNAPSHOT_INFO);
	return file_replace(v->s->dirfd, SNAPSHOT_INFO, buf_str(&b), b.len, 0600, true, e);
}

/* remove_others() - files of other snapshots, in place of this one, or of one that was killed; only names such as ours. */
static void remove_others(const struct saving *v, bool failed)
{
	int fd = file_open(v->s->dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	auto_fini(strv) struct strv gone = { 0 };
	struct dirent *de;

	while (d && (de = readdir(d))) {
		const char *dash = strrchr(de->d_name, '-');
		bool ours =
			dash && strlen(dash + 1) == SHORT && strspn(dash + 1, "0123456789abcdef") == SHORT;
		bool half = str_starts(de->d_name, SNAPSHOT_INFO ".") && str_ends(de->d_name, ".tmp");
		bool this = ours && strncmp(dash + 1, v->id, SHORT) == 0;
		bool extra = this && str_starts(de->d_name, "difference-");

		if (half || (ours && (this == failed || extra)))
			strv_add(&gone, de->d_name);
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < gone.len; i++)
		file_unlink(v->s->dirfd, gone.item[i], 0);
}

static int save_held(struct saving *v, struct err *e)
{
	int r = ask(v, PROTO_HOLD, NULL, 0, e);

	if (r == 0)
		r = save_state(v, e);
	if (r == 0)
		r = save_disks(v, e);
	fd_close(&v->sock); /* and it goes on */
	return r;
}

static int save_all(struct saving *v, struct err *e)
{
	auto_close int whole = -1;
	int r = info_begin(v, e);

	if (r == 0)
		r = files_make(v, &whole, e);
	if (r == 0)
		r = save_held(v, e);
	if (r == 0 && whole >= 0) {
		r = copy_data(v->mem, whole);
		if (r >= 0)
			r = file_sync(whole);
		if (r < 0)
			err_sys(e, -r, "merge the difference");
	}
	return r < 0 ? r : info_write(v, e);
}

int machines_save(struct machines *ms, const char *id, const struct machines_save *s, struct err *e)
{
	auto_fini(saving) struct saving v = { .s = s, .state = -1, .mem = -1, .sock = -1 };
	int r = machines__read(ms, id, &v.in, e);

	if (r < 0)
		return r;
	name_id(v.id);
	v.sock = machines__connect(ms, &v.in, e);
	if (v.sock == -ESRCH)
		return err_set(e, EBUSY, "snapshot '%s': it does not run", v.in.name);
	if (s->diff && !instance__bool(v.in.config, "Options", "TrackDirty"))
		return err_set(e, EINVAL,
			       "snapshot '%s': a difference needs a machine made with --track-dirty",
			       v.in.name);
	r = v.sock < 0 ? v.sock : file_lock(s->dirfd, true, false);
	if (r == -EWOULDBLOCK)
		err_set(e, EBUSY, "another snapshot is being made there");
	if (r >= 0) {
		r = save_all(&v, e);
		remove_others(&v, r < 0);
		file_sync(s->dirfd);
	}
	if (r >= 0)
		machines__event(ms->events_fd, "snapshot", id, v.in.name);
	return r < 0 ? err_wrap(e, r, "snapshot '%s'", v.in.name) : 0;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static int open_named(const struct machines_snapshot *s, const char *key, struct err *e)
{
	const char *name = instance__str(s->info, NULL, key);
	int fd;

	if (!plain_name(name))
		return err_set(e, EBADMSG, SNAPSHOT_INFO ": %s: want the name of a file beside it", key);
	fd = file_open(s->dirfd, name, O_RDONLY | O_NOFOLLOW, 0);
	return fd < 0 ? err_sys(e, -fd, "%s", name) : fd;
}

/* find_ahead() - the list's name follows from the memory's, which open_named() has judged; a snapshot with other names has none. */
static int find_ahead(struct machines_snapshot *s, const char *dir)
{
	const char *id = str_after(instance__str(s->info, NULL, "Memory"), "memory-");

	if (!id)
		return 0;
	s->ahead_path = str_printf("%s/ahead-%s", dir, id);
	return s->ahead_path ? 0 : -ENOMEM;
}

int machines_snapshot_open(struct machines_snapshot *s, const char *dir, struct err *e)
{
	const char *id;
	int r = s->dirfd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);

	if (r < 0)
		return err_sys(e, -r, "snapshot '%s'", dir);
	r = read_info(s->dirfd, &s->info, e);
	id = r < 0 ? NULL : instance__str(s->info, NULL, "Id");
	if (r >= 0 && (!id || !str_copy(s->id, sizeof(s->id), id)))
		r = err_set(e, EBADMSG, SNAPSHOT_INFO ": Id: missing");
	if (r >= 0)
		r = s->state_fd = open_named(s, "State", e);
	if (r >= 0)
		r = s->mem_fd = open_named(s, "Memory", e);
	if (r >= 0 && (r = find_ahead(s, dir)) < 0)
		err_sys(e, -r, "working set");
	if (r >= 0 && !json_is_object(json_object_get(s->info, "Options")))
		r = err_set(e, EBADMSG, SNAPSHOT_INFO ": Options: missing");
	return r < 0 ? err_wrap(e, r, "snapshot '%s'", dir) : 0;
}

void machines_snapshot_fini(struct machines_snapshot *s)
{
	json_decref(s->info);
	s->info = NULL;
	free(s->ahead_path);
	s->ahead_path = NULL;
	fd_close(&s->dirfd);
	fd_close(&s->state_fd);
	fd_close(&s->mem_fd);
}

/* base_make() - the snapshot's copy of a disk under the clone's own name for it. */
static int base_make(const struct machines_snapshot *s, const char *file, int dir, const char *base,
		     struct err *e)
{
	auto_close int from = -1, to = -1;
	int r;

	if (linkat(s->dirfd, file, dir, base, 0) == 0)
		return 0;
	if (errno != EXDEV && errno != EPERM && errno != EMLINK)
		return err_sys(e, errno, "%s", file);
	from = file_open(s->dirfd, file, O_RDONLY | O_NOFOLLOW, 0);
	to = from < 0 ? from : file_open(dir, base, O_RDWR | O_CREAT | O_EXCL, 0600);
	r = to < 0 ? to : copy_file(from, to);
	return r < 0 ? err_sys(e, -r, "copy %s", file) : 0;
}

static int overlay_make(int dir, const char *name, const char *base, const char *format, struct err *e)
{
	struct qcow2_create c = qcow2_create_default;
	auto_blk struct blk *b = NULL;
	auto_close int fd = -1;
	int from = file_open(AT_FDCWD, base, O_RDONLY, 0);
	int r = from < 0 ? err_sys(e, -from, "%s", base) : disk_open(&b, from, base, format, false, e);

	if (r < 0)
		return r;
	c.size = blk_size(b);
	c.backing = base;
	c.backing_format = format;
	fd = file_open(dir, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	return fd < 0 ? err_sys(e, -fd, "%s", name) : qcow2_make(fd, &c, e);
}

int machines_clone_disk(struct machines *ms, const char *id, const struct machines_snapshot *s,
			const char *disk, char **ret_path, struct err *e)
{
	const json_t *d = json_object_get(json_object_get(s->info, "Disks"), disk);
	const char *file = instance__str(d, NULL, "File"), *format = instance__str(d, NULL, "Format");
	auto_close int dir = machines__dir(ms, id, e);
	auto_free char *path = str_printf("%s/machines/%s/%s.qcow2", ms->root, id, disk);
	auto_free char *base = str_printf("%s/machines/%s/%s.base", ms->root, id, disk);
	int r;

	if (dir < 0)
		return dir;
	if (!path || !base)
		return err_sys(e, ENOMEM, "disk '%s'", disk);
	if (!d)
		return err_set(e, ENOENT,
			       "disk '%s': the snapshot has no copy of it, --disk %s=FILE names one", disk,
			       disk);
	if (!plain_name(file) || !format || (!str_eq(format, "raw") && !str_eq(format, "qcow2")))
		return err_set(e, EBADMSG, SNAPSHOT_INFO ": Disks.%s is damaged", disk);
	r = base_make(s, file, dir, strrchr(base, '/') + 1, e);
	if (r == 0)
		r = overlay_make(dir, strrchr(path, '/') + 1, base, format, e);
	if (r < 0)
		return err_wrap(e, r, "disk '%s'", disk);
	*ret_path = TAKE_PTR(path);
	return 0;
}
