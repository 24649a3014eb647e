/* SPDX-License-Identifier: Apache-2.0 */
/* pause.c - pause and unpause */
#include "cmd/each.h"
#include "cmd/table.h"
#include "runtime/runtime.h"

static int pause_one(struct runtime *rt, const char *id, void *arg, struct err *e)
{
	(void)arg;
	return instance_pause(rt, id, e);
}

static int resume_one(struct runtime *rt, const char *id, void *arg, struct err *e)
{
	(void)arg;
	return instance_resume(rt, id, e);
}

static int pause_main(void *o, int argc, char **argv, struct err *e)
{
	(void)o;
	return each_container(argc, argv, pause_one, NULL, e);
}

static int unpause_main(void *o, int argc, char **argv, struct err *e)
{
	(void)o;
	return each_container(argc, argv, resume_one, NULL, e);
}

const struct cmd cmd_pause = {
	.name = "pause",
	.aliases = "container pause",
	.group = CMD_LIFE,
	.args = "CONTAINER [CONTAINER...]",
	.summary = "Halt all processes of containers",
	.about = "Freezes every process of a container where it stands; hull-unpause(1) lets them go on.",
	.min_args = 1,
	.max_args = -1,
	.run = pause_main,
	.complete = "@container",
};

const struct cmd cmd_unpause = {
	.name = "unpause",
	.aliases = "container unpause",
	.group = CMD_LIFE,
	.args = "CONTAINER [CONTAINER...]",
	.summary = "Let paused containers go on",
	.min_args = 1,
	.max_args = -1,
	.run = unpause_main,
	.complete = "@container",
};
