/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/ioctl.h>

#include "base/str.h"
#include "runtime/build_internal.h"
#include "sys/file.h"

static void say(struct build_progress *p, const char *text)
{
	file_write(p->fd, text, strlen(text)); /* a reader that went away must not fail the build */
}

/* seconds() - since the step began, "1.2". */
static const char *seconds(const struct build_progress *p, char *dst, size_t size)
{
	int64_t ds = (time_now_ns(CLOCK_MONOTONIC) - p->started) / (NSEC_PER_SEC / 10);

	str_format(dst, size, "%lld.%lld", (long long)(ds / 10), (long long)(ds % 10));
	return dst;
}

/* redraw() - the terminal's one line: title, and the last thing the step said. */
static void redraw(struct build_progress *p, const char *what)
{
	struct winsize ws = { .ws_col = 80 };
	char line[512];

	if (ioctl(p->fd, TIOCGWINSZ, &ws) < 0 || ws.ws_col < 20)
		ws.ws_col = 80;
	str_format(line, ws.ws_col < sizeof(line) ? ws.ws_col : sizeof(line), "=> %s%s%s", p->title,
		   *what ? ": " : "", what);
	for (char *c = line; *c; c++)
		*c = (unsigned char)*c < ' ' ? ' ' : *c;
	say(p, "\r\033[K");
	say(p, line);
}

void build__progress_begin(struct build_progress *p, const char *title)
{
	char line[300];

	p->n++;
	p->started = time_now_ns(CLOCK_MONOTONIC);
	p->line.len = p->tail.len = 0;
	str_copy(p->title, sizeof(p->title), title);
	if (p->kind == BUILD_TTY) {
		redraw(p, "");
	} else if (p->kind == BUILD_PLAIN) {
		str_format(line, sizeof(line), "#%u %s\n", p->n, p->title);
		say(p, line);
	}
}

/* put_line() - one whole line of a step's output. */
static void put_line(struct build_progress *p)
{
	struct buf out = { 0 };
	char since[32];

	if (p->kind == BUILD_PLAIN) {
		buf_printf(&out, "#%u %s %s\n", p->n, seconds(p, since, sizeof(since)), buf_str(&p->line));
		if (buf_finish(&out) == 0)
			file_write(p->fd, out.data, out.len);
	} else {
		if (p->tail.len > BUILD_TAIL_MAX)
			p->tail.len = 0;
		buf_printf(&p->tail, "%s\n", buf_str(&p->line));
		if (p->kind == BUILD_TTY)
			redraw(p, buf_str(&p->line));
	}
	buf_fini(&out);
	p->line.len = 0;
	if (p->line.data)
		*p->line.data = '\0';
}

void build__progress_output(struct build_progress *p, const char *bytes, size_t len)
{
	while (len > 0) {
		const char *end = memchr(bytes, '\n', len);
		size_t n = end ? (size_t)(end - bytes) : len;

		if (n > BUILD_TAIL_MAX - p->line.len)
			n = BUILD_TAIL_MAX - p->line.len;
		buf_put(&p->line, bytes, n);
		if (end == bytes + n || p->line.len == BUILD_TAIL_MAX)
			put_line(p);
		n += end == bytes + n;
		bytes += n;
		len -= n;
	}
}

void build__progress_end(struct build_progress *p, bool cached, bool failed)
{
	char since[32], line[400];

	if (p->line.len > 0)
		put_line(p);
	if (failed && p->kind != BUILD_PLAIN) {
		if (p->kind == BUILD_TTY)
			say(p, "\r\033[K");
		file_write(p->fd, buf_str(&p->tail), p->tail.len);
		return;
	}
	seconds(p, since, sizeof(since));
	if (p->kind == BUILD_TTY) {
		redraw(p, "");
		str_format(line, sizeof(line), "  %s%s\n", cached ? "CACHED" : since, cached ? "" : "s");
		say(p, line);
	} else if (p->kind == BUILD_PLAIN) {
		str_format(line, sizeof(line), "#%u %s%s%s\n", p->n,
			   failed ? "FAILED " :
			   cached ? "CACHED" :
				    "DONE ",
			   cached ? "" : since, cached ? "" : "s");
		say(p, line);
	}
}

void build_progress_fini(struct build_progress *p)
{
	buf_fini(&p->line);
	buf_fini(&p->tail);
}
