/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/dockerignore.h"

#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/glob.h"

/*
 * clean() - in place: no empty, "." or ".." components, no slash at either end; ".." goes up and stops at
 * the root.
 */
static void clean(char *path)
{
	char *out = path, *p = path;

	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (out > path && *--out != '/')
				;
		} else if (n > 0 && !(n == 1 && *p == '.')) {
			if (out > path)
				*out++ = '/';
			memmove(out, p, n);
			out += n;
		}
		p += n;
		p += *p == '/';
	}
	*out = '\0';
}

/* add_line() - one line, without its end. */
static int add_line(struct dockerignore *di, char *line, struct arena *a)
{
	bool keep = false;
	char *end;

	if (*line == '#')
		return 0;
	line += strspn(line, " \t\r");
	for (end = line + strlen(line); end > line && strchr(" \t\r", end[-1]); end--)
		end[-1] = '\0';
	if (*line == '!') {
		keep = true;
		line++;
		line += strspn(line, " \t");
	}
	if (!*line)
		return keep ? -EINVAL : 0;
	clean(line);
	if (!*line)
		return 0; /* "." or "/": the context itself cannot be left out */
	if (glob_check(line) < 0)
		return -EINVAL;
	if (di->n == DOCKERIGNORE_PATTERNS_MAX)
		return -E2BIG;
	di->rule[di->n] = (struct dockerignore_rule){ arena_strdup(a, line), keep };
	di->has_keep |= keep;
	return di->rule[di->n++].pattern ? 0 : -ENOMEM;
}

int dockerignore_parse(struct dockerignore *ret, const char *name, const char *text, size_t len,
		       struct arena *a, struct err *e)
{
	struct dockerignore di = { 0 };
	char *copy, *line, *next;
	size_t lines = 1;
	int r;

	if (len > DOCKERIGNORE_BYTES_MAX)
		return err_set(e, E2BIG, "%s: larger than %d bytes", name, DOCKERIGNORE_BYTES_MAX);
	if (memchr(text, '\0', len))
		return err_set(e, EINVAL, "%s: not a text file: it holds a NUL byte", name);
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	copy = arena_strndup(a, text, len);
	di.rule = arena_array(a, lines < DOCKERIGNORE_PATTERNS_MAX ? lines : DOCKERIGNORE_PATTERNS_MAX,
			      sizeof(*di.rule));
	if (!copy || !di.rule)
		return err_set(e, ENOMEM, "%s: out of memory", name);
	line = str_starts(copy, "\xEF\xBB\xBF") ? copy + 3 : copy;
	for (unsigned number = 1; line; line = next, number++) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		r = add_line(&di, line, a);
		if (r == -EINVAL)
			return err_set(e, EINVAL, "%s:%u: '%s': not a pattern", name, number, line);
		if (r < 0)
			return err_sys(e, -r, "%s:%u", name, number);
	}
	*ret = di;
	return 0;
}

/* rule_matches() - the path itself or a directory above it. */
static bool rule_matches(const char *pattern, const char *path)
{
	for (const char *end = path;; end++) {
		if (*end && *end != '/')
			continue;
		if (glob_match(pattern, path, (size_t)(end - path), GLOB_PATH | GLOB_STARSTAR))
			return true;
		if (!*end)
			return false;
	}
}

bool dockerignore_excludes(const struct dockerignore *di, const char *path)
{
	for (size_t i = di->n; i > 0; i--) {
		if (rule_matches(di->rule[i - 1].pattern, path))
			return !di->rule[i - 1].keep;
	}
	return false;
}
