/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerignore.h - which files of a build context are left out
 *
 * One pattern a line; '#' opens a comment, '!' takes back what an earlier line excluded; the last line that
 * matches a path, or one of its parents, decides. Paths are relative to the context's root, without "./"
 * and without a slash at either end.
 */
#ifndef FMT_DOCKERIGNORE_H
#define FMT_DOCKERIGNORE_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct err;

enum { DOCKERIGNORE_BYTES_MAX = 1 << 20, DOCKERIGNORE_PATTERNS_MAX = 10000 };

struct dockerignore_rule {
	const char *pattern;
	bool keep;
}; /* keep: it had a '!' */

struct dockerignore {
	struct dockerignore_rule *rule; /* the arena's */
	size_t n;
	bool has_keep; /* only then need an excluded directory be searched */
};

/**
 * dockerignore_parse() - the text of a .dockerignore file
 * @name: of the file, for errors
 * Return: 0; -EINVAL "name:3: '[': not a pattern"; -E2BIG; -ENOMEM
 */
int dockerignore_parse(struct dockerignore *ret, const char *name, const char *text, size_t len,
		       struct arena *a, struct err *e);

/* dockerignore_excludes() - is @path left out? */
bool dockerignore_excludes(const struct dockerignore *di, const char *path);

#endif
