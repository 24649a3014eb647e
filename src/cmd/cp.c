/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cp.c - copy files between a container and the host, or two containers
 *
 * Theory of operation. Both ends are a root descriptor and a clean path below it; a child writes the source
 * as tar into a pipe and the parent unpacks it at the other end. All that touches a container's files goes
 * through descriptors resolved inside its root, so what a symlink in there says, or comes to say while we
 * copy, never leads out of it. The host is the root "/".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/each.h"
#include "cmd/table.h"
#include "runtime/runtime.h"
#include "sys/file.h"
#include "sys/path.h"

enum { LINKS_MAX = 40 }; /* as the kernel follows at most */

struct cp_opts {
	bool archive, follow, quiet;
};

static const struct opt cp_opts[] = { { "archive", 'a', OPT_FLAG, offsetof(struct cp_opts, archive), NULL,
					"Keep owners (else the files are yours, or root's)", NULL },
				      { "follow-link", 'L', OPT_FLAG, offsetof(struct cp_opts, follow), NULL,
					"Copy what a symlink SRC_PATH points to", NULL },
				      { "quiet", 'q', OPT_FLAG, offsetof(struct cp_opts, quiet), NULL,
					"Accepted: there is no progress output", NULL },
				      { 0 } };

/* One end of a copy. */
struct end {
	const char *text; /* as typed */
	bool stdio;       /* "-" */
	bool in_container;
	int rootfd;   /* owned; -1 with stdio */
	char *path;   /* owned; absolute and clean: "/a/b", "/" */
	bool slash;   /* ended with '/': it must be a directory */
	bool content; /* ended with "/.": what is in it, not it */
	bool exists;
	mode_t mode; /* when it exists */
};

static void end_fini(struct end *n)
{
	fd_close(&n->rootfd);
	free(n->path);
}

/* clean_path() - @path from "/" without ".", ".." and empty parts. Caller frees. */
static char *clean_path(const char *path)
{
	auto_fini(strv) struct strv part = { 0 };
	auto_fini(strv) struct strv kept = { 0 };
	struct buf b = { 0 };

	strv_split(&part, path, '/');
	for (size_t i = 0; i < part.len; i++) {
		if (str_eq(part.item[i], "..") && kept.len > 0)
			free(kept.item[--kept.len]);
		else if (*part.item[i] && !str_eq(part.item[i], ".") && !str_eq(part.item[i], ".."))
			strv_add(&kept, part.item[i]);
	}
	for (size_t i = 0; i < kept.len; i++)
		buf_printf(&b, "/%s", kept.item[i]);
	if (kept.len == 0)
		buf_putc(&b, '/');
	return strv_finish(&part) < 0 || strv_finish(&kept) < 0 ? NULL : buf_take(&b);
}

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* parent_path() - of a clean path; caller frees */
static char *parent_path(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* container_colon() - the colon behind a container's name, or NULL for a path of the host */
static const char *container_colon(const char *text)
{
	const char *colon = strchr(text, ':');

	return *text == '/' || *text == '.' || !colon || memchr(text, '/', (size_t)(colon - text)) ? NULL :
												     colon;
}

static int open_container(struct end *n, const char *colon, struct err *e)
{
	auto_free char *name = strndup(n->text, (size_t)(colon - n->text));
	struct runtime *rt;
	char id[65];
	int r;

	if (!name)
		return err_sys(e, ENOMEM, "copy");
	if (!*name || !colon[1])
		return err_set(e, EINVAL, "'%s': CONTAINER:PATH is wanted", n->text);
	r = cmd_runtime(&rt, e);
	if (r == 0)
		r = each_id(rt, name, id, e);
	if (r == 0)
		r = n->rootfd = instance_root(rt, id, e);
	if (r < 0)
		return r;
	n->in_container = true;
	n->path = clean_path(colon + 1);
	return n->path ? 0 : err_sys(e, ENOMEM, "copy");
}

static int open_host(struct end *n, struct err *e)
{
	auto_free char *here = getcwd(NULL, 0);
	auto_free char *path = here ? str_printf("%s/%s", *n->text == '/' ? "" : here, n->text) : NULL;

	if (!path)
		return err_sys(e, errno, "the working directory");
	n->rootfd = file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	if (n->rootfd < 0)
		return err_sys(e, -n->rootfd, "/");
	n->path = clean_path(path);
	return n->path ? 0 : err_sys(e, ENOMEM, "copy");
}

static int end_open(struct end *n, struct err *e)
{
	const char *colon = container_colon(n->text);

	if (str_eq(n->text, "-")) {
		n->stdio = true;
		return 0;
	}
	n->slash = str_ends(n->text, "/") || str_ends(n->text, "/.") || str_eq(n->text, ".") ||
		   str_ends(n->text, "/..");
	n->content = str_ends(n->text, "/.") || str_eq(n->text, ".");
	return colon ? open_container(n, colon, e) : open_host(n, e);
}

/*
 * read_link() - what the symlink at @path says. Return: false when it is none, or not there. Caller frees
 * *ret_to.
 */
static bool read_link(int rootfd, const char *path, char **ret_to)
{
	auto_free char *parent = parent_path(path);
	auto_close int dir = parent ? path_open_in_root(rootfd, parent, O_PATH | O_DIRECTORY, 0) : -ENOMEM;
	char to[4096];
	ssize_t len = dir < 0 ? -1 : readlinkat(dir, base_name(path), to, sizeof(to) - 1);

	if (len <= 0)
		return false;
	to[len] = '\0';
	*ret_to = *to == '/' ? clean_path(to) : NULL;
	if (*to != '/') {
		auto_free char *both = str_printf("%s/%s", parent, to);

		*ret_to = both ? clean_path(both) : NULL;
	}
	return *ret_to;
}

static int follow_links(struct end *n, struct err *e)
{
	for (int i = 0; i < LINKS_MAX; i++) {
		char *to;

		if (str_eq(n->path, "/") || !read_link(n->rootfd, n->path, &to))
			return 0;
		free(n->path);
		n->path = to;
	}
	return err_sys(e, ELOOP, "'%s'", n->text);
}

/* end_look() - what is there, a last symlink followed when @follow */
static int end_look(struct end *n, bool follow, struct err *e)
{
	auto_close int fd = -1;
	struct stat st;
	int r = follow || n->slash ? follow_links(n, e) : 0;

	if (r < 0)
		return r;
	fd = path_open_in_root(n->rootfd, n->path, O_PATH | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return err_sys(e, -fd, "'%s'", n->text);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "'%s'", n->text);
	n->exists = true;
	n->mode = st.st_mode;
	if (n->slash && !S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "'%s': not a directory", n->text);
	return 0;
}

/* Where the source goes: under @name into directory @into; name "": only what is in it. */
struct plan {
	const char *name;
	char *into;
};

static int plan_copy(const struct end *src, const struct end *dst, struct plan *p, struct err *e)
{
	bool into_dir = dst->exists && S_ISDIR(dst->mode);

	if (S_ISDIR(src->mode) && dst->exists && !into_dir)
		return err_set(e, ENOTDIR, "cannot copy directory '%s' onto '%s', which is not a directory",
			       src->text, dst->text);
	if (!S_ISDIR(src->mode) && !dst->exists && dst->slash)
		return err_set(e, ENOENT, "'%s': no such directory", dst->text);
	if (into_dir) {
		p->name = src->content ? "" : base_name(src->path);
		p->into = strdup(dst->path);
	} else {
		p->name = base_name(dst->path);
		p->into = parent_path(dst->path);
	}
	return p->into ? 0 : err_sys(e, ENOMEM, "copy");
}

static int need_dir(const struct end *dst, const char *into, struct err *e)
{
	auto_close int fd = path_open_in_root(dst->rootfd, into, O_PATH | O_DIRECTORY, 0);

	return fd < 0 ? err_sys(e, -fd, "'%s': directory '%s'%s", dst->text, into,
				dst->in_container ? " in the container" : "") :
			0;
}

/* pack() - the child: @src as tar into @out; a failure goes up @why whole */
static _Noreturn void pack(const struct end *src, const char *name, int out, int why)
{
	struct err e = { 0 };
	int r = store_tar_tree(src->rootfd, src->path, name, out, &e);

	if (r < 0)
		file_write(why, &e, sizeof(e));
	_exit(r < 0);
}

/* transfer() - @src, called @name, into directory @into of @dst */
static int transfer(const struct end *src, const char *name, const struct end *dst, const char *into,
		    bool keep_owner, struct err *e)
{
	int data[2], why[2];
	struct err child = { 0 };
	int r = file_pipe(data), status = 0;
	pid_t pid;

	if (r >= 0)
		r = file_pipe(why);
	if (r < 0)
		return err_sys(e, -r, "copy");
	pid = fork();
	if (pid == 0) {
		close(data[0]); /* or it would wait for itself to read, were we to fail */
		pack(src, name, data[1], why[1]);
	}
	close(data[1]);
	close(why[1]);
	r = pid < 0 ? err_sys(e, errno, "copy") : store_untar_into(dst->rootfd, into, data[0], keep_owner, e);
	close(data[0]); /* a child that still writes ends by SIGPIPE */
	if (pid > 0 && file_read(why[0], &child, sizeof(child)) == sizeof(child) &&
	    (r == 0 || child.code != EPIPE)) {
		*e = child; /* what broke the stream, not that it broke */
		r = -child.code;
	}
	close(why[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == 0 && pid > 0 && status != 0)
		r = err_set(e, EIO, "'%s': reading it ended early", src->text);
	return r;
}

static int copy_to_stdout(struct end *src, const struct cp_opts *o, struct err *e)
{
	int r = end_look(src, o->follow, e);

	if (r < 0)
		return r;
	if (!src->exists)
		return err_set(e, ENOENT, "'%s': no such file or directory", src->text);
	if (isatty(STDOUT_FILENO))
		return err_set(e, EINVAL, "an archive does not belong on a terminal; use a pipe");
	return store_tar_tree(src->rootfd, src->path, src->content ? "" : base_name(src->path), STDOUT_FILENO,
			      e);
}

static int copy_from_stdin(struct end *dst, struct err *e)
{
	int r = end_look(dst, true, e);

	if (r < 0)
		return r;
	if (!dst->exists || !S_ISDIR(dst->mode))
		return err_set(e, ENOTDIR, "'%s': an archive needs a directory that is there", dst->text);
	return store_untar_into(dst->rootfd, dst->path, STDIN_FILENO, true, e);
}

static int copy(struct end *src, struct end *dst, const struct cp_opts *o, struct err *e)
{
	struct plan p = { 0 };
	int r = end_look(src, o->follow, e);

	if (r == 0 && !src->exists)
		r = err_set(e, ENOENT, "'%s': no such file or directory", src->text);
	if (r == 0)
		r = end_look(dst, true, e);
	if (r == 0)
		r = plan_copy(src, dst, &p, e);
	if (r == 0)
		r = need_dir(dst, p.into, e);
	if (r == 0)
		r = transfer(src, p.name, dst, p.into, o->archive, e);
	free(p.into);
	return r;
}

static int cp_main(void *opts, int argc, char **argv, struct err *e)
{
	auto_fini(end) struct end src = { .text = argv[0], .rootfd = -1 };
	auto_fini(end) struct end dst = { .text = argv[1], .rootfd = -1 };
	int r = end_open(&src, e);

	(void)argc;
	if (r == 0)
		r = end_open(&dst, e);
	if (r < 0)
		return r;
	if (!src.in_container && !dst.in_container)
		return err_set(e, EINVAL, "neither '%s' nor '%s' is CONTAINER:PATH", argv[0], argv[1]);
	if (dst.stdio)
		return copy_to_stdout(&src, opts, e);
	if (src.stdio)
		return copy_from_stdin(&dst, e);
	return copy(&src, &dst, opts, e);
}

const struct cmd cmd_cp = {
	.name = "cp",
	.aliases = "container cp",
	.group = CMD_LOOK,
	.args = "[OPTIONS] [CONTAINER:]SRC_PATH|- [CONTAINER:]DEST_PATH|-",
	.summary = "Copy files between a container and the host",
	.about = "Copies a file or a directory tree; the container may run or not. A directory goes into a "
		 "destination directory that is "
		 "there, and becomes the destination that is not; with '/.' behind it only what is in it "
		 "goes. '-' as source reads a tar "
		 "archive from standard input and unpacks it in the destination directory; as destination it "
		 "writes one to standard "
		 "output.\n\nA path of the host that has a colon in its name is written with './' in front.",
	.examples = "hull cp web:/etc/nginx ./conf\nOut of a container\n\nhull cp site/. web:/srv\nWhat is "
		    "in site into /srv\n\n"
		    "tar -c . | hull cp - web:/srv\nAn archive",
	.opts = cp_opts,
	.opts_size = sizeof(struct cp_opts),
	.min_args = 2,
	.max_args = 2,
	.run = cp_main,
	.complete = "@container",
};
