/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/run_flags.h"
#include "sys/file.h"

enum { ENV_FILE_BYTES_MAX = 1 << 20 };

/*
 * put_variable() - "VAR=VALUE" as it is, "VAR" with the value it has here; unset here: nothing, as Docker
 * does
 */
static void put_variable(struct strv *env, const char *text)
{
	const char *value;

	if (strchr(text, '=')) {
		strv_add(env, text);
		return;
	}
	value = getenv(text);
	if (value)
		strv_addf(env, "%s=%s", text, value);
}

int flag_env(struct strv *env, const char *text, struct err *e)
{
	if (!*text || *text == '=')
		return flag_bad(e, "env", text, "VAR[=VALUE] is wanted");
	put_variable(env, text);
	return 0;
}

static int put_line(struct strv *env, const char *path, int number, char *line, struct err *e)
{
	size_t len = strlen(line);
	size_t name;

	if (len > 0 && line[len - 1] == '\r')
		line[len - 1] = '\0';
	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return 0;
	name = strcspn(line, "=");
	if (name == 0)
		return err_set(e, EINVAL, "%s:%d: no name in front of '='", path, number);
	if (strcspn(line, " \t") < name)
		return err_set(e, EINVAL, "%s:%d: a blank in the name '%.*s'", path, number, (int)name, line);
	put_variable(env, line);
	return 0;
}

int flag_env_file(struct strv *env, const char *path, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	char *line, *rest;
	int r = file_slurp_at(AT_FDCWD, path, &b, ENV_FILE_BYTES_MAX);

	if (r < 0)
		return err_sys(e, -r, "%s", path);
	if (b.len == 0)
		return 0;
	if (memchr(b.data, '\0', b.len))
		return err_set(e, EINVAL, "%s: holds a NUL byte", path);
	rest = b.data + (str_starts(b.data, "\xef\xbb\xbf") ? 3 : 0); /* a byte order mark */
	for (int number = 1; r >= 0 && (line = strsep(&rest, "\n")); number++)
		r = put_line(env, path, number, line, e);
	return r < 0 ? r : 0;
}
