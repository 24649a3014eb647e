/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/each.h"

#include <stdio.h>

#include "base/err.h"
#include "base/guard.h"
#include "runtime/runtime.h"

int each_id(struct runtime *rt, const char *name, char ret_id[65], struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	int r = instance_find(rt, name, &in, e);

	if (r == 0)
		memcpy(ret_id, in.id, sizeof(in.id));
	return r;
}

int each_container(int argc, char **argv, each_fn act, void *arg, struct err *e)
{
	struct runtime *rt;
	int status = 0;
	int r = cmd_runtime(&rt, e);

	if (r < 0)
		return r;
	for (int i = 0; i < argc; i++) {
		struct err one = { 0 };
		char id[65];

		r = each_id(rt, argv[i], id, &one);
		if (r == 0)
			r = act(rt, id, arg, &one);
		if (r < 0)
			status = cmd_fail(&one);
		else
			puts(argv[i]);
		fflush(stdout);
	}
	return status;
}
