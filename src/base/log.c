/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"

enum { LOG_LINE_MAX = 2048 }; /* bytes; a longer line is cut */

static const char *const level_name[LOG_LEVEL_COUNT] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static struct {
	int fd;
	enum log_format format;
	enum log_level most;
} to = { .fd = STDERR_FILENO, .format = LOG_TEXT, .most = LOG_INFO };

void log_setup(int fd, enum log_format format, enum log_level most)
{
	to.fd = fd;
	to.format = format;
	to.most = most;
}

enum log_level log_most(void)
{
	return to.most;
}

/* json_escape() - @src as the inside of a JSON string; control characters, which no message needs, become spaces. */
static void json_escape(char *dst, size_t size, const char *src)
{
	size_t n = 0;

	for (; *src && n + 3 < size; src++) {
		if (*src == '"' || *src == '\\')
			dst[n++] = '\\';
		dst[n++] = (unsigned char)*src < 0x20 ? ' ' : *src;
	}
	dst[n] = '\0';
}

void log_at(enum log_level level, const char *area, const char *fmt, ...)
{
	char msg[LOG_LINE_MAX / 2], safe[LOG_LINE_MAX - 128], line[LOG_LINE_MAX], when[TIME_RFC3339_SIZE];
	va_list ap;
	size_t n;

	if (level > to.most)
		return;
	va_start(ap, fmt);
	str_vformat(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (to.format == LOG_JSON) {
		json_escape(safe, sizeof(safe), msg);
		n = str_format(line, sizeof(line),
			       "{\"level\":\"%s\",\"area\":\"%s\",\"msg\":\"%s\",\"time\":\"%s\"}\n",
			       level_name[level], area, safe,
			       time_rfc3339(time_now_ns(CLOCK_REALTIME), when));
	} else if (level == LOG_INFO) {
		n = str_format(line, sizeof(line), "hull: %s\n", msg);
	} else {
		n = str_format(line, sizeof(line), "hull: %s: %s\n", level_name[level], msg);
	}
	if (n >= sizeof(line))
		n = sizeof(line) - 1;
	if (write(to.fd, line, n) < 0)
		return; /* nowhere left to say it */
}
