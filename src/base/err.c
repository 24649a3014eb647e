/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <string.h>

#include "base/str.h"

const char *err_name(int code)
{
	const char *text = strerrordesc_np(code);

	return text ? text : "unknown error";
}

/* err_one_line() - names in a text come from outside: no newline, and nothing that steers a terminal. */
static void err_one_line(struct err *e)
{
	for (char *c = e->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -code;
	e->code = code;
	va_start(ap, fmt);
	str_vformat(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	err_one_line(e);
	return -code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	if (!e)
		return -code;
	e->code = code;
	va_start(ap, fmt);
	n = str_vformat(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n < sizeof(e->text))
		str_format(e->text + n, sizeof(e->text) - n, ": %s", err_name(code));
	err_one_line(e);
	return -code;
}

int err_wrap(struct err *e, int rc, const char *fmt, ...)
{
	char was[sizeof(e->text)];
	va_list ap;
	size_t n;

	if (!e)
		return rc;
	if (!e->code)
		e->code = -rc;
	if (!e->text[0])
		str_copy(e->text, sizeof(e->text), err_name(-rc));
	memcpy(was, e->text, sizeof(was));
	va_start(ap, fmt);
	n = str_vformat(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n < sizeof(e->text))
		str_format(e->text + n, sizeof(e->text) - n, ": %s", was);
	err_one_line(e);
	return rc;
}
