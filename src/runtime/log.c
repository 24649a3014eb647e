/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - reading an instance's log back: rotated files, time window, the last lines, following */
#include <poll.h>
#include <sys/inotify.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/runtime_internal.h"
#include "sys/call.h"
#include "sys/file.h"

enum { FILES_MAX = 1000, CHUNK = 65536 };

struct reading {
	const struct instance_log_query *q;
	int (*line)(void *arg, const char *stream, nsec_t when, const char *text, size_t len);
	void *arg;
	struct buf rest; /* an entry that has not ended yet */
	int64_t skip;    /* entries still to be left out (tail) */
};

static int give(struct reading *rd, const char *entry, size_t len)
{
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc doc = { .arena = &a };
	struct json_at at = json_parse(&doc, entry, len);
	const char *text = json_read_str(&at, "log"), *stream = json_read_str(&at, "stream");
	const char *time = json_read_str(&at, "time");
	nsec_t when;

	if (json_finish(&doc) < 0 || !text || !stream || !time || time_parse_rfc3339(time, &when) < 0)
		return 0; /* cut short by a full disk or a kill */
	if (rd->skip > 0) {
		rd->skip--;
		return 0;
	}
	if (when < rd->q->since || (rd->q->until && when > rd->q->until))
		return 0;
	return rd->line(rd->arg, stream, when, text, strlen(text));
}

static int read_on(struct reading *rd, int fd)
{
	for (;;) {
		char *room = buf_room(&rd->rest, CHUNK), *entry, *end;
		ssize_t n = room ? file_read(fd, room, CHUNK) : -ENOMEM;
		int r = 0;

		if (n <= 0)
			return (int)n;
		rd->rest.len += (size_t)n;
		entry = rd->rest.data;
		while (r == 0 &&
		       (end = memchr(entry, '\n', rd->rest.len - (size_t)(entry - rd->rest.data)))) {
			r = give(rd, entry, (size_t)(end - entry));
			entry = end + 1;
		}
		if (r != 0)
			return r;
		rd->rest.len -= (size_t)(entry - rd->rest.data);
		memmove(rd->rest.data, entry, rd->rest.len);
	}
}

/* count_lines() - of a whole file, from where it stands; back at the start afterwards. */
static int64_t count_lines(int fd)
{
	static char chunk[CHUNK];
	int64_t n = 0;
	ssize_t len;

	while ((len = file_read(fd, chunk, sizeof(chunk))) > 0)
		for (const char *p = chunk, *end = chunk + len; (p = memchr(p, '\n', (size_t)(end - p))); p++)
			n++;
	lseek(fd, 0, SEEK_SET);
	return n;
}

/* open_all() - the files, oldest first, the current one (or -1) last. */
static int open_all(int dir, int *fd, int max)
{
	int n = 0;

	for (int i = 1; n < max - 1; i++, n++) {
		char name[24];

		str_format(name, sizeof(name), INSTANCE_LOG ".%d", i);
		fd[n] = file_open(dir, name, O_RDONLY, 0);
		if (fd[n] < 0)
			break;
	}
	for (int i = 0; i < n / 2; i++) {
		int other = fd[i];

		fd[i] = fd[n - 1 - i];
		fd[n - 1 - i] = other;
	}
	fd[n] = file_open(dir, INSTANCE_LOG, O_RDONLY, 0);
	return n + 1;
}

static bool still_lives(struct runtime *rt, const char *id)
{
	auto_fini(instance) struct instance in = { 0 };

	return instance_find(rt, id, &in, NULL) == 0 && instance__live(&in);
}

static int wait_change(int notify, nsec_t until)
{
	struct pollfd p = { .fd = notify, .events = POLLIN };
	nsec_t left = until ? until - time_now_ns(CLOCK_REALTIME) : 0;
	char events[4096];

	if (until && left <= 0)
		return 0;
	if (poll(&p, 1, until ? (int)(left / NSEC_PER_MSEC) + 1 : -1) > 0)
		SYS3(SYS_read, notify, events, sizeof(events));
	return 1;
}

/* follow() - until the instance ends; then what was written in between, once more. */
static int follow(struct runtime *rt, const char *id, int dir, struct reading *rd, int notify, int *fd)
{
	int r = 0;

	for (bool lives = true; lives && r == 0;) {
		struct stat mine, now;

		if (wait_change(notify, rd->q->until) == 0)
			return 0;
		lives = still_lives(rt, id);
		if (*fd >= 0)
			r = read_on(rd, *fd);
		while (r == 0 && file_fstatat(dir, INSTANCE_LOG, &now, 0) == 0 &&
		       (*fd < 0 || (fstat(*fd, &mine) == 0 && mine.st_ino != now.st_ino))) {
			fd_close(fd);
			*fd = file_open(dir, INSTANCE_LOG, O_RDONLY, 0);
			r = *fd < 0 ? *fd : read_on(rd, *fd);
		}
	}
	return r;
}

static int read_files(struct reading *rd, int *fd, int n)
{
	int64_t lines = 0;
	int r = 0;

	for (int i = 0; i < n && rd->q->tail >= 0; i++)
		lines += fd[i] >= 0 ? count_lines(fd[i]) : 0;
	rd->skip = rd->q->tail >= 0 && lines > rd->q->tail ? lines - rd->q->tail : 0;
	for (int i = 0; i < n && r == 0; i++)
		if (fd[i] >= 0)
			r = read_on(rd, fd[i]);
	return r;
}

int instance_log(struct runtime *rt, const char *id, const struct instance_log_query *q,
		 int (*line)(void *arg, const char *stream, nsec_t when, const char *text, size_t len),
		 void *arg, struct err *e)
{
	struct reading rd = { .q = q, .line = line, .arg = arg };
	auto_fini(instance) struct instance in = { 0 };
	auto_free int *fd = calloc(FILES_MAX + 1, sizeof(int));
	auto_free char *path = NULL;
	auto_close int dir = -1;
	auto_close int notify = -1;
	int n, r = instance_find(rt, id, &in, e);

	if (r < 0)
		return r;
	if (str_eq(instance__str(json_object_get(in.config, "HostConfig"), "LogConfig", "Type"), "none"))
		return err_set(e, EOPNOTSUPP, "container '%s' has no log: its log driver is 'none'", in.name);
	dir = runtime__dir(rt, in.id, e);
	path = runtime__path(rt, in.id);
	if (dir < 0 || !path || !fd)
		return dir < 0 ? dir : err_sys(e, ENOMEM, "log");
	if (q->follow && instance__live(&in)) {
		notify = (int)SYS1(SYS_inotify_init1, IN_CLOEXEC);
		if (notify < 0 ||
		    inotify_add_watch(notify, path, IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF) < 0)
			return err_sys(e, notify < 0 ? -notify : errno, "follow the log of '%s'", in.name);
	}
	n = open_all(dir, fd, FILES_MAX);
	r = read_files(&rd, fd, n);
	if (r == 0 && notify >= 0 && still_lives(rt, in.id))
		r = follow(rt, in.id, dir, &rd, notify, &fd[n - 1]);
	else if (r == 0 && notify >= 0 && fd[n - 1] >= 0)
		r = read_on(&rd, fd[n - 1]);
	for (int i = 0; i < n; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	buf_fini(&rd.rest);
	return r < 0 ? err_sys(e, -r, "log of '%s'", in.name) : r;
}
