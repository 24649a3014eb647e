/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/title.h"

#include <string.h>
#include <unistd.h>

#include "base/str.h"

/* The strings of arguments and environment, which the kernel lays out one behind the other. */
static char *start;
static size_t room;

/* follow() - as far as each string begins where the one before it ended. */
static char *follow(char **list, char *end)
{
	for (; *list && *list == end; list++)
		end += strlen(end) + 1;
	return end;
}

void title_init(char **argv)
{
	char *end;

	if (!argv[0])
		return;
	end = follow(argv, argv[0]);
	end = follow(environ, end);
	start = argv[0];
	room = (size_t)(end - start);
}

void title_set(const char *text)
{
	static char *none[] = { NULL };

	environ = none;
	if (room < 2)
		return;
	memset(start, 0, room);
	str_format(start, room, "%s", text);
}
