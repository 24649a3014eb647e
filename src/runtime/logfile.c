/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/logfile.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"

void logfile_init(struct logfile *l, int dirfd, uint64_t max_size, unsigned max_files)
{
	*l = (struct logfile){ .dirfd = dirfd, .fd = -1, .max_size = max_size, .max_files = max_files };
}

void logfile_fini(struct logfile *l)
{
	for (int i = 0; i < LOGFILE_STREAMS; i++)
		free(l->partial[i].text);
	fd_close(&l->fd);
	memset(l->partial, 0, sizeof(l->partial));
}

/* utf8_len() - bytes of the well-formed character at @s, 0 when it is none. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80                 ? 1 :
		   s[0] >= 0xc2 && s[0] < 0xe0 ? 2 :
		   (s[0] & 0xf0) == 0xe0       ? 3 :
		   s[0] >= 0xf0 && s[0] < 0xf5 ? 4 :
						 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))) ||
	    (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))))
		return 0;
	return n;
}

/* put_ascii() - as Docker writes it: what HTML would trip over is escaped, too. */
static void put_ascii(struct buf *b, unsigned char c)
{
	if (c == '"' || c == '\\')
		buf_printf(b, "\\%c", c);
	else if (c == '\n')
		buf_puts(b, "\\n");
	else if (c == '\r')
		buf_puts(b, "\\r");
	else if (c < 0x20 || c == '<' || c == '>' || c == '&')
		buf_printf(b, "\\u%04x", c);
	else
		buf_putc(b, (char)c);
}

static void put_text(struct buf *b, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_len(s + i, len - i);
		if (n == 1) {
			put_ascii(b, s[i]);
		} else if (n == 0) {
			buf_puts(b, "\\ufffd");
			n = 1;
		} else if (n == 3 && s[i] == 0xe2 && s[i + 1] == 0x80 && (s[i + 2] & ~1) == 0xa8) {
			buf_printf(b, "\\u202%c", s[i + 2] & 1 ? '9' : '8'); /* line ends to JavaScript */
		} else {
			buf_put(b, s + i, n);
		}
	}
}

static void put_entry(struct buf *b, enum logfile_stream stream, const char *text, size_t len, nsec_t when)
{
	char time[TIME_RFC3339_SIZE];

	buf_puts(b, "{\"log\":\"");
	put_text(b, text, len);
	buf_printf(b, "\",\"stream\":\"%s\",\"time\":\"%s\"}\n",
		   stream == LOGFILE_STDERR ? "stderr" : "stdout", time_rfc3339(when, time));
}

static void log_name(char *dst, size_t size, unsigned n)
{
	str_format(dst, size, n ? INSTANCE_LOG ".%u" : INSTANCE_LOG, n);
}

static void rotate(struct logfile *l)
{
	char from[24], to[24];

	fd_close(&l->fd);
	l->size = 0;
	for (unsigned n = l->max_files - 1; n > 0; n--) {
		log_name(from, sizeof(from), n - 1);
		log_name(to, sizeof(to), n);
		file_rename(l->dirfd, from, l->dirfd, to, 0); /* the oldest is replaced */
	}
	if (l->max_files == 1)
		file_unlink(l->dirfd, INSTANCE_LOG, 0);
}

static int open_log(struct logfile *l)
{
	struct stat st;

	l->fd = file_open(l->dirfd, INSTANCE_LOG, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
	if (l->fd < 0)
		return l->fd;
	l->size = fstat(l->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

/* fitting() - bytes of the whole lines that still fit; a line longer than the limit has a file of its own. */
static size_t fitting(const struct logfile *l, const char *text, size_t len)
{
	size_t room = l->max_size > l->size ? l->max_size - l->size : 0;
	const char *end;

	if (!l->max_size || len <= room)
		return len;
	end = memrchr(text, '\n', room);
	if (!end && l->size == 0)
		end = memchr(text, '\n', len);
	return end ? (size_t)(end - text) + 1 : 0;
}

static int write_out(struct logfile *l, const struct buf *b)
{
	int r = b->len == 0 ? 0 : buf_finish(b);

	for (size_t at = 0, n; at < b->len && r >= 0; at += n) {
		if (l->fd < 0)
			r = open_log(l);
		n = r < 0 ? 0 : fitting(l, b->data + at, b->len - at);
		if (n == 0 && r >= 0)
			rotate(l);
		if (n > 0)
			r = file_write(l->fd, b->data + at, n);
		if (r >= 0)
			l->size += n;
	}
	return r;
}

/* keep() - the beginning of a line; at rest there is none and nothing is allocated. */
static int keep(struct logfile *l, enum logfile_stream stream, const char *bytes, size_t len)
{
	if (!l->partial[stream].text)
		l->partial[stream].text = malloc(LOGFILE_LINE_MAX);
	if (!l->partial[stream].text)
		return -ENOMEM;
	memcpy(l->partial[stream].text + l->partial[stream].len, bytes, len);
	l->partial[stream].len += len;
	return 0;
}

static void end_partial(struct logfile *l, enum logfile_stream stream, struct buf *b, nsec_t when)
{
	if (l->partial[stream].len > 0)
		put_entry(b, stream, l->partial[stream].text, l->partial[stream].len, when);
	free(l->partial[stream].text);
	l->partial[stream].text = NULL;
	l->partial[stream].len = 0;
}

int logfile_put(struct logfile *l, enum logfile_stream stream, const char *bytes, size_t len, nsec_t when)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = 0;

	if (l->max_files == 0)
		return 0;
	while (len > 0 && r >= 0) {
		size_t room = LOGFILE_LINE_MAX - l->partial[stream].len;
		size_t most = len < room ? len : room;
		const char *end = memchr(bytes, '\n', most);
		size_t n = end ? (size_t)(end - bytes) + 1 : most;

		if (l->partial[stream].len == 0 && (end || n == LOGFILE_LINE_MAX)) {
			put_entry(&b, stream, bytes, n, when); /* the usual case: whole lines, not copied */
		} else {
			r = keep(l, stream, bytes, n);
			if (r >= 0 && (end || l->partial[stream].len == LOGFILE_LINE_MAX))
				end_partial(l, stream, &b, when);
		}
		bytes += n;
		len -= n;
	}
	return r < 0 ? r : write_out(l, &b);
}

int logfile_flush(struct logfile *l, nsec_t when)
{
	auto_fini(buf) struct buf b = { 0 };

	for (int i = 0; i < LOGFILE_STREAMS; i++)
		end_partial(l, (enum logfile_stream)i, &b, when);
	return l->max_files ? write_out(l, &b) : 0;
}
