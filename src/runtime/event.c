/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.c - one JSON object a line, appended in one write(2) by whoever did it
 *
 * Lines of different writers do not mix: O_APPEND. When the file is large whoever notices renames it; a
 * writer that had it open still ends up in the older one, which a reader reads first.
 */
#include "runtime/event.h"

#include <limits.h>
#include <poll.h>
#include <sys/inotify.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/runtime_internal.h"
#include "sys/call.h"
#include "sys/file.h"

#define EVENT_FILE     "events.json"
#define EVENT_FILE_OLD "events.json.1"

static void open_line(struct json_out *o, const char *type, const char *action, const char *id)
{
	json_put_open(o, NULL, '{');
	json_put_str(o, "status", action);
	json_put_str(o, "id", id);
	json_put_str(o, "Type", type);
	json_put_str(o, "Action", action);
	json_put_open(o, "Actor", '{');
	json_put_str(o, "ID", id);
	json_put_open(o, "Attributes", '{');
}

static void close_line(struct json_out *o)
{
	nsec_t now = time_now_ns(CLOCK_REALTIME);

	json_put_close(o, '}');
	json_put_close(o, '}');
	json_put_str(o, "scope", "local");
	json_put_i64(o, "time", now / NSEC_PER_SEC);
	json_put_i64(o, "timeNano", now);
	json_put_close(o, '}');
	buf_putc(o->to, '\n');
}

static void append(int run_fd, const struct buf *line)
{
	auto_close int fd = file_open(run_fd, EVENT_FILE, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0 || buf_finish(line) < 0)
		return;
	file_write(fd, line->data, line->len);
	if (fstat(fd, &st) == 0 && st.st_size > EVENT_FILE_MAX)
		file_rename(run_fd, EVENT_FILE, run_fd, EVENT_FILE_OLD, 0);
}

void event__append(int run_fd, const char *type, const char *action, const char *id, const char *const *pairs,
		   size_t n)
{
	auto_fini(buf) struct buf line = { 0 };
	struct json_out o = { .to = &line };

	open_line(&o, type, action, id);
	for (size_t i = 0; i < n; i++)
		json_put_str(&o, pairs[2 * i], pairs[2 * i + 1]);
	close_line(&o);
	append(run_fd, &line);
}

void event_emit(struct runtime *rt, const char *type, const char *action, const char *id, json_t *attributes)
{
	auto_fini(buf) struct buf line = { 0 };
	struct json_out o = { .to = &line };

	open_line(&o, type, action, id);
	for (void *i = json_object_iter(attributes); i; i = json_object_iter_next(attributes, i))
		json_put_str(&o, json_object_iter_key(i), json_string_value(json_object_iter_value(i)));
	close_line(&o);
	append(rt->run_fd, &line);
	json_decref(attributes);
}

/* --- reading --------------------------------------------- */

struct reading {
	nsec_t since, until; /* until 0: no end */
	int (*each)(void *arg, const json_t *event);
	void *arg;
	struct buf rest; /* a line that has not ended yet */
};

static int give_line(struct reading *rd, const char *line, size_t len)
{
	auto_json json_t *event = NULL;
	nsec_t when;

	if (json_tree_parse(&event, line, len, NULL) < 0) /* cut by a full disk, say */
		return 0;
	when = json_integer_value(json_object_get(event, "timeNano"));
	if (when < rd->since || (rd->until && when > rd->until))
		return 0;
	return rd->each(rd->arg, event);
}

/* read_on() - whole lines from where @fd stands. */
static int read_on(struct reading *rd, int fd)
{
	int r = 0;

	for (;;) {
		char *room = buf_room(&rd->rest, 16384), *line, *end;
		ssize_t n = room ? file_read(fd, room, 16384) : -ENOMEM;

		if (n <= 0)
			return (int)n;
		rd->rest.len += (size_t)n;
		rd->rest.data[rd->rest.len] = '\0';
		line = rd->rest.data;
		while (r == 0 && (end = memchr(line, '\n', rd->rest.len - (size_t)(line - rd->rest.data)))) {
			r = give_line(rd, line, (size_t)(end - line));
			line = end + 1;
		}
		if (r != 0)
			return r;
		rd->rest.len -= (size_t)(line - rd->rest.data);
		memmove(rd->rest.data, line, rd->rest.len);
	}
}

static int wait_change(int notify, nsec_t until)
{
	struct pollfd p = { .fd = notify, .events = POLLIN };
	nsec_t left = until ? until - time_now_ns(CLOCK_REALTIME) : 0;
	char events[4096];
	int n;

	if (until && left <= 0)
		return 0;
	n = poll(&p, 1,
		 until ? (int)(left / NSEC_PER_MSEC < INT_MAX ? left / NSEC_PER_MSEC + 1 : INT_MAX) : -1);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (n > 0 && SYS3(SYS_read, notify, events, sizeof(events)) < 0)
		return 1;
	return 1;
}

static int follow(struct runtime *rt, struct reading *rd, int notify, int *fd)
{
	int r;

	while ((r = wait_change(notify, rd->until)) > 0) {
		struct stat mine, now;

		r = read_on(rd, *fd);
		if (r != 0)
			return r;
		/* rotated: go on with the new one */
		if (fstat(*fd, &mine) == 0 && file_fstatat(rt->run_fd, EVENT_FILE, &now, 0) == 0 &&
		    mine.st_ino != now.st_ino) {
			fd_close(fd);
			*fd = file_open(rt->run_fd, EVENT_FILE, O_RDONLY, 0);
			if (*fd < 0)
				return *fd;
			r = read_on(rd, *fd);
			if (r != 0)
				return r;
		}
	}
	return r;
}

int event_read(struct runtime *rt, nsec_t since, nsec_t until, bool follow_on,
	       int (*each)(void *arg, const json_t *event), void *arg, struct err *e)
{
	struct reading rd = { .since = since, .until = until, .each = each, .arg = arg };
	auto_close int old = file_open(rt->run_fd, EVENT_FILE_OLD, O_RDONLY, 0);
	auto_close int fd = file_open(rt->run_fd, EVENT_FILE, O_RDONLY | (follow_on ? O_CREAT : 0), 0600);
	auto_close int notify = follow_on ? (int)SYS1(SYS_inotify_init1, IN_CLOEXEC) : -1;
	int r = 0;

	if (follow_on &&
	    (notify < 0 || inotify_add_watch(notify, rt->run_root, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0))
		r = notify < 0 ? notify : -errno;
	if (r == 0 && old >= 0)
		r = read_on(&rd, old);
	rd.rest.len = 0;
	if (r == 0 && fd >= 0)
		r = read_on(&rd, fd);
	if (r == 0 && follow_on)
		r = follow(rt, &rd, notify, &fd);
	buf_fini(&rd.rest);
	return r < 0 ? err_sys(e, -r, "%s/" EVENT_FILE, rt->run_root) : r;
}
