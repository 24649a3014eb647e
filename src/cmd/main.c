/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <signal.h>

#include "base/bug.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "sys/file.h"
#include "sys/title.h"

enum { KEPT_BYTES = 4 << 20, PAD_BYTES = 256 << 10 };

/* called_as_runtime() - a link with a runtime's name makes hull that runtime */
static bool called_as_runtime(const char *path)
{
	static const char *const name[] = { "hull-oci", "runc", "crun" };
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < ARRAY_SIZE(name); i++)
		if (str_eq(slash ? slash + 1 : path, name[i]))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	title_init(argv);
	if (fd_fill_stdio() < 0)
		return 125;
	signal(SIGCHLD,
	       SIG_DFL); /* whoever ignores it hands that down, and then nobody's end can be waited for */
	/* Started thousands of times an hour, this comes before anything is set up. */
	if (argc > 0 && called_as_runtime(argv[0]))
		return oci_main(argc, argv);
	if (argc > 1 && str_eq(argv[1], "oci"))
		return oci_main(argc - 1, argv + 1);
	/* A command lives for milliseconds: what it frees it will want again, and each page got anew costs a fault. */
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	mallopt(M_TOP_PAD, PAD_BYTES);
	return cmd_main(argc, argv);
}
