/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_file.c - reading the small files of a group */
#include "container/cgroup_internal.h"

#include <fcntl.h>

#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"

int cgroup__read(int dirfd, const char *file, char *dst, size_t size)
{
	auto_close int fd = file_open(dirfd, file, O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = file_read(fd, dst, size - 1);
	if (n < 0)
		return (int)n;
	dst[n] = '\0';
	return (int)n;
}

int cgroup__read_u64(int dirfd, const char *file, uint64_t *ret_n)
{
	char text[64];
	int r = cgroup__read(dirfd, file, text, sizeof(text));

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	if (str_eq(text, "max") || str_eq(text, "-1")) {
		*ret_n = UINT64_MAX;
		return 0;
	}
	return str_to_u64(text, ret_n);
}

int cgroup__key_u64(const char *text, const char *key, uint64_t *ret_n)
{
	size_t len = strlen(key);

	for (const char *s = text; *s; s = strchrnul(s, '\n'), s += *s == '\n') {
		char number[32];
		size_t digits;

		if (strncmp(s, key, len) != 0 || s[len] != ' ')
			continue;
		s += len + 1;
		digits = strcspn(s, "\n");
		if (digits >= sizeof(number))
			return -ERANGE;
		memcpy(number, s, digits);
		number[digits] = '\0';
		return str_to_u64(number, ret_n);
	}
	return -ENOENT;
}
