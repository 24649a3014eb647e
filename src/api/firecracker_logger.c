/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_logger.c - PUT /logger, and the lines: "<local time> [<id>:<thread>:<LEVEL>:<file>:<line>] text" */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "api/firecracker_internal.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

enum { LOG_BURST = 10, LOG_TEXT_MAX = 1024 };
#define LOG_WINDOW_NS (5 * NSEC_PER_SEC)

static const char *const level_name[FC_LEVEL_COUNT] = {
	[FC_OFF] = "Off",   [FC_ERROR] = "Error", [FC_WARN] = "Warning",
	[FC_INFO] = "Info", [FC_DEBUG] = "Debug", [FC_TRACE] = "Trace",
};
static const char *const level_mark[FC_LEVEL_COUNT] = { "OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE" };

const char *fc__level_name(enum fc_level level)
{
	return level_name[level];
}

int fc__level_find(const char *name)
{
	for (int i = 0; i < FC_LEVEL_COUNT; i++)
		if (strcasecmp(name, level_name[i]) == 0)
			return i;
	return strcasecmp(name, "warn") == 0 ? FC_WARN : -EINVAL;
}

int fc_level_check(const char *level, struct err *e)
{
	if (fc__level_find(level) >= 0)
		return 0;
	return err_set(e, EINVAL,
		       "Invalid level '%.32s', want one of Off, Error, Warning, Info, Debug, Trace", level);
}

/* admitted() - may this place say one more? */
static bool admitted(struct fc_site *s, nsec_t now)
{
	if (s->n == 0 || now - s->since > LOG_WINDOW_NS) {
		s->since = now;
		s->n = 0;
	}
	if (s->n >= LOG_BURST) {
		s->dropped++;
		return false;
	}
	s->n++;
	return true;
}

/* wanted() - @l->module is a prefix of the file's place in the source: "api", "api/firecracker_routes". */
static bool wanted(const struct fc_log *l, enum fc_level level, const char *file)
{
	const char *at = str_after(file, "src/");

	if (level > l->level)
		return false;
	return !l->module || str_starts(at ? at : file, l->module);
}

static size_t put_head(const struct fc_log *l, char *dst, size_t size, enum fc_level level, const char *file,
		       int line)
{
	char origin[96] = "";
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	if (l->show_origin)
		str_format(origin, sizeof(origin), ":%s:%d", file, line);
	return str_format(dst, size, "%04d-%02d-%02dT%02d:%02d:%02d.%09ld [%s:%s%s%s%s] ", tm.tm_year + 1900,
			  tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec, l->id,
			  l->thread, l->show_level ? ":" : "", l->show_level ? level_mark[level] : "",
			  origin);
}

void fc__log_at(struct fc_log *l, struct fc_site *site, enum fc_level level, const char *file, int line,
		const char *fmt, ...)
{
	char text[LOG_TEXT_MAX];
	unsigned dropped = site->dropped;
	va_list ap;
	size_t n;

	if (!wanted(l, level, file))
		return;
	if (!admitted(site, time_now_ns(CLOCK_MONOTONIC))) {
		l->missed++;
		return;
	}
	n = put_head(l, text, sizeof(text), level, file, line);
	if (dropped) {
		n += str_format(text + n, sizeof(text) - n, "(%u messages before were too many) ", dropped);
		site->dropped = 0;
	}
	va_start(ap, fmt);
	n += str_vformat(text + n, sizeof(text) - n, fmt, ap);
	va_end(ap);
	if (n > sizeof(text) - 2)
		n = sizeof(text) - 2;
	for (size_t i = 0; i < n; i++) /* a request's words cannot forge a line */
		if ((unsigned char)text[i] < ' ')
			text[i] = '?';
	text[n] = '\n';
	if (write(l->path ? l->fd : STDOUT_FILENO, text, n + 1) != (ssize_t)(n + 1))
		l->missed++;
}

int fc__open_log(struct fc *f, const char *path, struct err *e)
{
	/* reading and writing: a FIFO opens without anybody at its other end */
	auto_close int fd = file_open(AT_FDCWD, path,
				      O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
	int r;

	if (fd < 0)
		return err_sys(e, -fd, "Log file '%s'", path);
	r = fc__set_str(&f->log.path, path, e);
	if (r < 0)
		return r;
	fd_close(&f->log.fd);
	f->log.fd = TAKE_FD(fd);
	return 0;
}

int fc__put_logger(struct fc_call *c)
{
	const char *path = json_read_str(c->body, "log_path"), *level = json_read_str(c->body, "level"),
		   *module = json_read_str(c->body, "module");
	bool show_level = json_read_bool(c->body, "show_level", c->f->log.show_level);
	bool show_origin = json_read_bool(c->body, "show_log_origin", c->f->log.show_origin);
	int at = level ? fc__level_find(level) : (int)c->f->log.level, r;

	if (at < 0)
		json_fail(c->body, "level", EINVAL,
			  "got '%.32s', want one of Off, Error, Warning, Info, Debug, Trace", level);
	r = json_finish(c->body->doc);
	if (r == 0 && path)
		r = fc__open_log(c->f, path, c->e);
	if (r == 0 && module)
		r = fc__set_str(&c->f->log.module, module, c->e);
	if (r < 0)
		return r;
	c->f->log.level = (enum fc_level)at;
	c->f->log.show_level = show_level;
	c->f->log.show_origin = show_origin;
	c->f->log.set = true;
	return 0;
}
