/* SPDX-License-Identifier: Apache-2.0 */
/* archive.c - images and trees as tar archives: save, load, import, export */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/each.h"
#include "cmd/table.h"
#include "runtime/runtime.h"
#include "sys/file.h"

struct archive_opts {
	const char *output, *input, *message;
	bool quiet;
	struct strv change;
};
#define OPT(member) offsetof(struct archive_opts, member)

static const struct opt output_opts[] = { { "output", 'o', OPT_STRING, OPT(output), "FILE",
					    "Write to this file, not to standard output", "@file" },
					  { 0 } };

static const struct opt load_opts[] = {
	{ "input", 'i', OPT_STRING, OPT(input), "FILE", "Read this file, not standard input", "@file" },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Do not name what was loaded", NULL },
	{ 0 }
};

static const struct opt import_opts[] = { { "change", 'c', OPT_LIST, OPT(change), "INSTRUCTION",
					    "A Dockerfile instruction for the image: 'CMD [\"sh\"]'", NULL },
					  { "message", 'm', OPT_STRING, OPT(message), "TEXT",
					    "A comment for its history", NULL },
					  { 0 } };

typedef int (*write_fn)(struct runtime *rt, int argc, char **argv, int fd, struct err *e);

/*
 * write_file() - into "FILE.tmp" and renamed when complete, so that nobody takes half an archive for a
 * whole one
 */
static int write_file(const char *path, write_fn write_to, struct runtime *rt, int argc, char **argv,
		      struct err *e)
{
	auto_free char *part = str_printf("%s.%d.tmp", path, getpid());
	auto_close int fd = part ? file_open(AT_FDCWD, part, O_WRONLY | O_CREAT | O_EXCL, 0600) : -ENOMEM;
	int r;

	if (fd < 0)
		return err_sys(e, -fd, "%s", path);
	r = write_to(rt, argc, argv, fd, e);
	if (r == 0) {
		r = file_rename(AT_FDCWD, part, AT_FDCWD, path, 0);
		if (r < 0)
			err_sys(e, -r, "%s", path);
	}
	if (r < 0)
		file_unlink(AT_FDCWD, part, 0);
	return r;
}

/*
 * write_out() - to --output: a regular file by rename, anything else (a device, a pipe) and standard
 * output as it is
 */
static int write_out(const struct archive_opts *o, write_fn write_to, int argc, char **argv, struct err *e)
{
	auto_close int fd = -1;
	struct runtime *rt;
	struct stat st;
	int r = cmd_runtime(&rt, e);

	if (r < 0)
		return r;
	if (!o->output && isatty(STDOUT_FILENO))
		return err_set(e, EINVAL,
			       "an archive does not belong on a terminal; use --output FILE, or a pipe");
	if (!o->output)
		return write_to(rt, argc, argv, STDOUT_FILENO, e);
	if (file_fstatat(AT_FDCWD, o->output, &st, 0) < 0 || S_ISREG(st.st_mode))
		return write_file(o->output, write_to, rt, argc, argv, e);
	fd = file_open(AT_FDCWD, o->output, O_WRONLY, 0);
	if (fd < 0)
		return err_sys(e, -fd, "%s", o->output);
	return write_to(rt, argc, argv, fd, e);
}

static int save_to(struct runtime *rt, int argc, char **argv, int fd, struct err *e)
{
	return store_save(runtime_store(rt), argv, (size_t)argc, fd, e);
}

static int export_to(struct runtime *rt, int argc, char **argv, int fd, struct err *e)
{
	auto_close int root = -1;
	char id[65];
	int r = each_id(rt, argv[0], id, e);

	(void)argc;
	if (r == 0)
		r = root = instance_root(rt, id, e);
	return r < 0 ? r : store_tar_tree(root, "/", "", fd, e);
}

static int save_main(void *o, int argc, char **argv, struct err *e)
{
	return write_out(o, save_to, argc, argv, e);
}

static int export_main(void *o, int argc, char **argv, struct err *e)
{
	return write_out(o, export_to, argc, argv, e);
}

/* open_input() - @path, or NULL and "-" for standard input. Return: fd the caller closes, or -errno. */
static int open_input(const char *path, struct err *e)
{
	int fd;

	if (path && !str_eq(path, "-")) {
		fd = file_open(AT_FDCWD, path, O_RDONLY, 0);
		return fd < 0 ? err_sys(e, -fd, "%s", path) : fd;
	}
	if (isatty(STDIN_FILENO))
		return err_set(e, EINVAL, "standard input is a terminal; name a file, or pipe an archive in");
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? err_sys(e, errno, "standard input") : fd;
}

static int load_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct archive_opts *o = opts;
	auto_fini(strv) struct strv loaded = { 0 };
	auto_close int fd = -1;
	struct runtime *rt;
	int r;

	(void)argc;
	(void)argv;
	r = fd = open_input(o->input, e);
	if (r >= 0)
		r = cmd_runtime(&rt, e);
	if (r < 0)
		return r;
	r = store_load(runtime_store(rt), fd, &loaded, e);
	for (size_t i = 0; i < loaded.len; i++)
		event_emit(rt, "image", "load", loaded.item[i], json_pack("{s:s}", "name", loaded.item[i]));
	for (size_t i = 0; i < loaded.len && !o->quiet; i++)
		printf("Loaded image%s: %s\n", str_starts(loaded.item[i], "sha256:") ? " ID" : "",
		       loaded.item[i]);
	return r;
}

static int import_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct archive_opts *o = opts;
	char id[STORE_DIGEST_SIZE];
	auto_close int fd = -1;
	struct runtime *rt;
	int r;

	if (str_starts(argv[0], "http://") || str_starts(argv[0], "https://"))
		return err_set(e, EOPNOTSUPP,
			       "%s: import from a URL is not there yet; download it and pipe it in", argv[0]);
	r = fd = open_input(argv[0], e);
	if (r >= 0)
		r = cmd_runtime(&rt, e);
	if (r == 0)
		r = store_import(runtime_store(rt), fd, argc > 1 ? argv[1] : NULL, o->change.item,
				 o->change.len, o->message, id, e);
	if (r == 0) {
		puts(id);
		event_emit(rt, "image", "import", id, json_pack("{s:s}", "name", argc > 1 ? argv[1] : id));
	}
	return r;
}

const struct cmd cmd_save = {
	.name = "save",
	.aliases = "image save",
	.group = CMD_IMAGES,
	.args = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Write images to a tar archive",
	.about = "Writes images, with all their layers and names, as one tar archive that hull-load(1), "
		 "docker load and every tool that reads "
		 "an OCI layout take.",
	.examples = "hull save -o app.tar app:1 app:2\nTwo images in one file\n\nhull save app:1 | zstd | "
		    "ssh host 'zstd -d | hull load'\n"
		    "To another machine",
	.opts = output_opts,
	.opts_size = sizeof(struct archive_opts),
	.min_args = 1,
	.max_args = -1,
	.run = save_main,
	.complete = "@image",
};

const struct cmd cmd_load = {
	.name = "load",
	.aliases = "image load",
	.group = CMD_IMAGES,
	.args = "[OPTIONS]",
	.summary = "Take images from a tar archive",
	.about = "Reads an archive as hull save, docker save or podman save write it, or an OCI layout in a "
		 "tar; compressed or not.",
	.opts = load_opts,
	.opts_size = sizeof(struct archive_opts),
	.max_args = 0,
	.run = load_main,
};

const struct cmd cmd_import = {
	.name = "import",
	.aliases = "image import",
	.group = CMD_IMAGES,
	.args = "[OPTIONS] FILE|- [REPOSITORY[:TAG]]",
	.summary = "Make an image from the tar archive of a file system",
	.examples = "tar -C rootfs -c . | hull import -c 'CMD [\"sh\"]' - base:1\nAn image from a directory",
	.opts = import_opts,
	.opts_size = sizeof(struct archive_opts),
	.min_args = 1,
	.max_args = 2,
	.run = import_main,
	.complete = "@file",
};

const struct cmd cmd_export = {
	.name = "export",
	.aliases = "container export",
	.group = CMD_LOOK,
	.args = "[OPTIONS] CONTAINER",
	.summary = "Write a container's file system as a tar archive",
	.opts = output_opts,
	.opts_size = sizeof(struct archive_opts),
	.min_args = 1,
	.max_args = 1,
	.run = export_main,
	.complete = "@container",
};
