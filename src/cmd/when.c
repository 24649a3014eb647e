/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/when.h"

#include <errno.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

/* parse_epoch() - "1700000000" or with a fraction */
static int parse_epoch(const char *text, nsec_t *ret_ns)
{
	char seconds[64];

	if (text[strspn(text, "0123456789.")] || !str_copy(seconds, sizeof(seconds) - 1, text))
		return -EINVAL;
	strcat(seconds, "s"); /* then it has the form of a duration */
	return time_parse_duration(seconds, ret_ns);
}

/* parse_local() - a time without a zone */
static int parse_local(const char *text, nsec_t *ret_ns)
{
	static const char *const form[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d" };

	for (size_t i = 0; i < ARRAY_SIZE(form); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(text, form[i], &tm);

		if (end && !*end) {
			*ret_ns = (nsec_t)mktime(&tm) * NSEC_PER_SEC;
			return 0;
		}
	}
	return -EINVAL;
}

int when_parse(const char *flag, const char *text, nsec_t *ret_ns, struct err *e)
{
	nsec_t ago;

	if (!text || time_parse_rfc3339(text, ret_ns) == 0 || parse_local(text, ret_ns) == 0 ||
	    parse_epoch(text, ret_ns) == 0)
		return 0;
	if (*text && time_parse_duration(text, &ago) == 0) {
		*ret_ns = time_now_ns(CLOCK_REALTIME) - ago;
		return 0;
	}
	return err_set(e, EINVAL,
		       "invalid argument \"%s\" for --%s: a time such as 2026-01-02T13:23:37Z, or 10m for "
		       "ten minutes ago, "
		       "is wanted",
		       text, flag);
}
