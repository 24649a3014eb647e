/* SPDX-License-Identifier: Apache-2.0 */
/* glob.h - shell patterns over strings; time and memory are bounded by pattern length times text length */
#ifndef FMT_GLOB_H
#define FMT_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	GLOB_PATH = 1 << 0,     /* '*', '?' and '[...]' stop at '/' */
	GLOB_STARSTAR = 1 << 1, /* "**" is any number of whole path components, also none */
};

enum { GLOB_PATTERN_MAX = 4096 };

/**
 * glob_match() - does the whole of @text (@len bytes) match @pattern?
 * '*', '?', '[a-z]', '[^a-z]', '[!a-z]', and '\' for a character as it is.
 * A pattern that is too long or not well formed matches nothing; glob_check() tells.
 */
bool glob_match(const char *pattern, const char *text, size_t len, unsigned flags);

/* glob_prefix() - length of the longest part of @text, from its beginning, that matches; -1: none does. */
ssize_t glob_prefix(const char *pattern, const char *text, size_t len, unsigned flags);

/* glob_check() - 0, or -EINVAL: an open '[', a last '\', or longer than GLOB_PATTERN_MAX. */
int glob_check(const char *pattern);

/* glob_has_magic() - would it match anything but itself? */
bool glob_has_magic(const char *pattern);

#endif
