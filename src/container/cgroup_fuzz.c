/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_fuzz.c - the texts and messages this module reads; the first byte chooses which */
#include <stdlib.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/cgroup_internal.h"
#include "container/devfilter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What cgroup_load() takes, cgroup_save() must write so that it is taken again, the same. */
static void fuzz_load(const char *text)
{
	auto_fini(buf) struct buf once = { 0 }, twice = { 0 };
	auto_fini(cgroup) struct cgroup a = { 0 }, b = { 0 };

	if (cgroup_load(&a, text, NULL) < 0)
		return;
	cgroup_save(&a, &once);
	if (cgroup_load(&b, buf_str(&once), NULL) < 0)
		abort();
	cgroup_save(&b, &twice);
	if (!str_eq(buf_str(&once), buf_str(&twice)))
		abort();
}

static void fuzz_paths(const char *text)
{
	struct cgroup cg = { 0 };
	char path[CGROUP_PATH_MAX];

	if (cgroup__check_path(path, sizeof(path), text, NULL) == 0 &&
	    (path[0] != '/' || strstr(path, "/../")))
		abort();
	if (cgroup__systemd_parse(&cg, text, "id", NULL) == 0 && (cg.path[0] != '/' || strchr(cg.unit, '/')))
		abort();
}

/* What stands in for systemd says @data: after "OK" any bytes may come. */
static void fuzz_answer(const uint8_t *data, size_t size)
{
	struct cgroup cg = { .unit = "a.scope", .slice = "b.slice" };
	int s[2];

	if (size > 4096 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0)
		return;
	if (send(s[1], "OK\n", 3, MSG_NOSIGNAL) == 3 &&
	    send(s[1], data, size, MSG_NOSIGNAL) == (ssize_t)size) {
		shutdown(s[1], SHUT_WR);
		cgroup__systemd_call_start(s[0], false, &cg, NULL, NULL);
	}
	close(s[0]);
	close(s[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fini(devfilter) struct devfilter f = { 0 };
	auto_free char *text = size > 0 ? strndup((const char *)data + 1, size - 1) : NULL;

	if (!text)
		return 0;
	switch (data[0] % 4) {
	case 0: fuzz_load(text); break;
	case 1: fuzz_paths(text); break;
	case 2: fuzz_answer(data + 1, size - 1); break;
	default: devfilter_parse(&f, text);
	}
	return 0;
}
