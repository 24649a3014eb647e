/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/subid.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

enum { ID_FILE_BYTES_MAX = 4 << 20, NAME_SIZE = 256 };

static char *next_line(char **at)
{
	char *line = *at, *end;

	if (!line || !*line)
		return NULL;
	end = strchrnul(line, '\n');
	*at = *end ? end + 1 : end;
	*end = '\0';
	return line;
}

void subid_map(struct subid_map *ret, const char *path, const char *name, uid_t uid, uint32_t own)
{
	auto_fini(buf) struct buf text = { 0 };
	char who[NAME_SIZE], number[16], *at, *line;
	uint32_t next = 1;

	ret->range[0] = (struct oci_idmap){ 0, own, 1 };
	ret->list = (struct oci_idmaps){ ret->range, 1 };
	str_format(number, sizeof(number), "%u", (unsigned)uid);
	if (file_slurp_at(AT_FDCWD, path, &text, ID_FILE_BYTES_MAX) < 0)
		return;
	for (at = text.data; (line = next_line(&at)) && ret->list.n <= SUBID_RANGES_MAX;) {
		unsigned first, count;

		if (sscanf(line, "%255[^:]:%u:%u", who, &first, &count) != 3 || count == 0 ||
		    count > UINT32_MAX - next || count - 1 > UINT32_MAX - first)
			continue;
		if (!str_eq(who, number) && !(*name && str_eq(who, name)))
			continue;
		ret->range[ret->list.n++] = (struct oci_idmap){ next, first, count };
		next += count;
	}
}

void subid_name(const char *path, uid_t uid, char *dst, size_t size)
{
	auto_fini(buf) struct buf text = { 0 };
	char who[NAME_SIZE], *at, *line;
	unsigned n;

	*dst = '\0';
	if (file_slurp_at(AT_FDCWD, path, &text, ID_FILE_BYTES_MAX) < 0)
		return;
	for (at = text.data; (line = next_line(&at));)
		if (sscanf(line, "%255[^:]:%*[^:]:%u:", who, &n) == 2 && n == uid) {
			str_copy(dst, size, who);
			return;
		}
}
