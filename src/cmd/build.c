/* SPDX-License-Identifier: Apache-2.0 */
/* build.c - build */
#include "runtime/build.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/table.h"
#include "runtime/runtime.h"
#include "sys/file.h"

struct build_opts {
	struct strv tags, args, labels;
	const char *file, *target, *network, *platform, *progress, *iidfile;
	bool no_cache, quiet, pull_flag;
};

#define AT(member) offsetof(struct build_opts, member)

static const struct opt build_options[] = {
	{ "build-arg", 0, OPT_LIST, AT(args), "NAME[=VALUE]",
	  "set an ARG; without a value, from the environment", NULL },
	{ "file", 'f', OPT_STRING, AT(file), "FILE",
	  "the Dockerfile; - is standard input (default: PATH/Dockerfile)", "@file" },
	{ "iidfile", 0, OPT_STRING, AT(iidfile), "FILE", "write the image's id to FILE", "@file" },
	{ "label", 0, OPT_LIST, AT(labels), "NAME=VALUE", "add a label to the image", NULL },
	{ "network", 0, OPT_STRING, AT(network), "MODE", "network of RUN: none (default) or host",
	  "none host" },
	{ "no-cache", 0, OPT_FLAG, AT(no_cache), NULL, "make every step anew", NULL },
	{ "platform", 0, OPT_STRING, AT(platform), "OS/ARCH", "only this machine's own", NULL },
	{ "progress", 0, OPT_STRING, AT(progress), "HOW", "auto, plain, tty or quiet",
	  "auto plain tty quiet" },
	{ "pull", 0, OPT_FLAG, AT(pull_flag), NULL, "not supported yet: images come from the store", NULL },
	{ "quiet", 'q', OPT_FLAG, AT(quiet), NULL, "print the image's id alone", NULL },
	{ "tag", 't', OPT_LIST, AT(tags), "NAME[:TAG]", "name the image; may be given several times", NULL },
	{ "target", 0, OPT_STRING, AT(target), "STAGE", "build this stage and what it needs", NULL },
	{ 0 },
};

static int progress_kind(const struct build_opts *o, enum build_progress_kind *ret, struct err *e)
{
	static const char *const names[] = {
		[BUILD_AUTO] = "auto",
		[BUILD_PLAIN] = "plain",
		[BUILD_TTY] = "tty",
		[BUILD_QUIET] = "quiet",
	};

	*ret = o->quiet ? BUILD_QUIET : BUILD_AUTO;
	if (!o->progress || o->quiet)
		return 0;
	for (int i = 0; i < 4; i++) {
		if (str_eq(o->progress, names[i])) {
			*ret = (enum build_progress_kind)i;
			return 0;
		}
	}
	return err_set(e, EINVAL, "--progress %s: not auto, plain, tty or quiet", o->progress);
}

static int write_iid(const char *path, const char *id, struct err *e)
{
	auto_close int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	int r = fd < 0 ? fd : file_write(fd, id, strlen(id));

	return r < 0 ? err_sys(e, -r, "--iidfile %s", path) : 0;
}

static int build_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct build_opts *o = opts;
	struct build_config c = {
		.context = argv[0],
		.file = o->file,
		.target = o->target,
		.network = o->network,
		.args = &o->args,
		.labels = &o->labels,
		.tags = &o->tags,
		.no_cache = o->no_cache,
	};
	char id[STORE_DIGEST_SIZE];
	struct runtime *rt;
	int r;

	(void)argc;
	if (o->pull_flag)
		return err_set(e, EOPNOTSUPP,
			       "--pull: there are no registries yet; base images come from the store (hull "
			       "load, import)");
	if (str_eq(argv[0], "-")) { /* the Dockerfile alone, without a context */
		if (o->file && !str_eq(o->file, "-"))
			return err_set(e, EOPNOTSUPP,
				       "a build context from standard input is not supported yet");
		c.context = NULL;
		c.file = "-";
	}
	r = progress_kind(o, &c.progress, e);
	if (r >= 0)
		r = cmd_runtime(&rt, e);
	if (r >= 0 && o->platform)
		r = build_platform_check(o->platform, e);
	if (r >= 0)
		r = build_image(rt, &c, id, e);
	if (r >= 0 && o->iidfile)
		r = write_iid(o->iidfile, id, e);
	if (r < 0)
		return r;
	if (c.progress == BUILD_QUIET) {
		printf("%s\n", id);
	} else {
		fprintf(stderr, "built %s\n", id);
		for (size_t i = 0; i < o->tags.len; i++)
			fprintf(stderr, "tagged %s\n", o->tags.item[i]);
	}
	return 0;
}

const struct cmd cmd_build = {
	.name = "build",
	.aliases = "image build",
	.group = CMD_IMAGES,
	.args = "[OPTIONS] PATH|-",
	.summary = "Make an image from a Dockerfile",
	.about = "Runs the instructions of PATH/Dockerfile, or of the file named by --file, and puts the "
		 "result into the store. "
		 "Files for COPY and ADD come from PATH, without those that PATH/.dockerignore leaves out. "
		 "With - in place of "
		 "PATH the Dockerfile is read from standard input and there are no files.\n\n"
		 "Every step is cached by content: it is made again when the layers below it, the "
		 "instruction or the files it "
		 "copies have changed. RUN has no network unless --network host is given.\n\n"
		 "With SOURCE_DATE_EPOCH in the environment no time in the image is later than that.",
	.examples = "hull build -t hello .\nbuild the image hello from the current directory\n\n"
		    "hull build --target test --build-arg VERSION=2 .\nbuild the stage test with an argument",
	.opts = build_options,
	.opts_size = sizeof(struct build_opts),
	.min_args = 1,
	.max_args = 1,
	.makes_processes = true,
	.run = build_main,
	.complete = "@dir",
};
