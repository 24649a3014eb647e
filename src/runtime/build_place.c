/* SPDX-License-Identifier: Apache-2.0 */
/* build_place.c - where COPY and ADD put what they found: the destination, resolved inside the new root */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "runtime/build_internal.h"
#include "runtime/user.h"
#include "sys/file.h"
#include "sys/path.h"

/* find_owner() - --chown's names, in the new root's own passwd and group files. */
static int find_owner(struct build_copy *c, struct err *e)
{
	struct user u = { 0 };
	int r;

	if (!c->chown || c->owner_set)
		return 0;
	r = user_find(c->rootfd, c->chown, NULL, 0, &u, e);
	if (r < 0)
		return err_wrap(e, r, "--chown=%s", c->chown);
	c->uid = u.uid;
	c->gid = strchr(c->chown, ':') ? u.gid : u.uid; /* a lone user is also the group, as Docker has it */
	c->owner_set = true;
	user_fini(&u);
	return 0;
}

/*
 * dest_dir() - @path in the new root, made with its parents when missing. Return: descriptor; *ret_new: the
 * last one is new.
 */
static int dest_dir(struct build_copy *c, const char *path, bool *ret_new, struct err *e)
{
	char part[PATH_MAX];

	*ret_new = false;
	if (!str_copy(part, sizeof(part), path))
		return err_set(e, ENAMETOOLONG, "'%.100s...': too long", path);
	for (char *end = part;;) {
		auto_close int dir = -1;
		char saved;

		end += *end == '/';
		end = strchrnul(end, '/');
		saved = *end;
		*end = '\0';
		dir = path_open_in_root(c->rootfd, part, O_PATH | O_DIRECTORY, 0);
		*ret_new = dir == -ENOENT;
		if (dir == -ENOENT) {
			dir = path_make_in_root(c->rootfd, part, true, 0755, e);
			if (dir >= 0 && c->owner_set && fchownat(dir, "", c->uid, c->gid, AT_EMPTY_PATH) < 0)
				return err_sys(e, errno, "chown '%s'", part);
		}
		if (dir < 0)
			return dir == -ENOTDIR ? err_set(e, ENOTDIR, "'%s': not a directory", part) :
						 err_sys(e, -dir, "'%s'", part);
		if (!saved)
			break;
		*end = saved;
	}
	int fd = path_open_in_root(c->rootfd, path, O_RDONLY | O_DIRECTORY, 0);

	return fd < 0 ? err_sys(e, -fd, "'%s'", path) : fd;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool dest_is_dir(const struct build_copy *c)
{
	auto_close int fd = path_open_in_root(c->rootfd, c->dest, O_PATH | O_DIRECTORY, 0);

	return c->dest_slash || fd >= 0;
}

/*
 * dest_file() - the open file that @name is to go to: in the destination, or the destination itself, through
 * the symlinks that the image has there.
 */
static int dest_file(struct build_copy *c, const char *name, struct err *e)
{
	auto_close int dir = -1;
	auto_free char *parent = NULL;
	struct stat st;
	bool is_new;

	if (dest_is_dir(c)) {
		dir = dest_dir(c, c->dest, &is_new, e);
		return dir < 0 ? dir : build__copy_create(dir, name, e);
	}
	parent = strndup(c->dest, (size_t)(base_name(c->dest) - c->dest));
	if (!parent)
		return err_set(e, ENOMEM, "out of memory");
	dir = dest_dir(c, parent, &is_new, e);
	if (dir < 0)
		return dir;
	if (file_fstatat(dir, base_name(c->dest), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
		auto_close int target = path_make_in_root(c->rootfd, c->dest, false, 0600, e);
		int fd = target < 0 ? target : path_reopen(target, O_WRONLY | O_TRUNC);

		return target >= 0 && fd < 0 ? err_sys(e, -fd, "'%s'", c->dest) : fd;
	}
	return build__copy_create(dir, base_name(c->dest), e);
}

static int walk_doc(struct build_copy *c, const struct build_source *s, struct err *e)
{
	struct stat st = { .st_mode = S_IFREG | 0644, .st_size = (off_t)strlen(s->doc_text) };
	auto_close int out = -1;
	int r;

	build__copy_digest(c, s->doc->name, &st);
	build__key_str(c->digest, s->doc_text);
	if (c->rootfd < 0)
		return 0;
	out = dest_file(c, s->doc->name, e);
	r = out < 0 ? out : file_write(out, s->doc_text, strlen(s->doc_text));
	if (r < 0)
		return out < 0 ? r : err_sys(e, -r, "write '%s'", s->doc->name);
	clock_gettime(CLOCK_REALTIME, &st.st_mtim);
	st.st_atim = st.st_mtim;
	return build__copy_meta(c, out, &st, e);
}

static int walk_dir(struct build_copy *c, const struct build_source *s, struct err *e)
{
	auto_close int from = path_open_in_root(c->srcfd, s->path, O_RDONLY | O_DIRECTORY, 0);
	auto_close int to = -1;
	bool is_new = false;
	int r;

	if (from < 0)
		return err_sys(e, -from, "'%s'", s->path);
	build__key_str(c->digest, "directory");
	if (c->rootfd >= 0) {
		to = dest_dir(c, c->dest, &is_new, e);
		if (to < 0)
			return to;
	}
	r = build__copy_children(c, from, s->path, to, e);
	/* the source root itself is nobody's to describe */
	return r >= 0 && is_new && *s->path ? build__copy_meta(c, to, &s->st, e) : r;
}

/* walk_archive() - ADD of an archive: digested as the file it is, unpacked into the destination. */
static int walk_archive(struct build_copy *c, int in, const struct stat *st, struct err *e)
{
	auto_close int tar = -1, dir = -1;
	bool is_new;
	int r;

	build__key_str(c->digest, "archive");
	r = build__copy_file(c, in, st, -1, e);
	if (r < 0 || c->rootfd < 0)
		return r;
	if (lseek(in, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "seek");
	dir = dest_dir(c, c->dest, &is_new, e);
	if (dir < 0)
		return dir;
	tar = build__copy_untar_fd(c, in, e);
	return tar < 0 ? tar : store_untar_into(c->rootfd, c->dest, tar, true, e);
}

static int walk_file(struct build_copy *c, const struct build_source *s, struct err *e)
{
	auto_close int in = path_open_in_root(c->srcfd, s->path, O_RDONLY | O_NONBLOCK, 0);
	auto_close int out = -1;
	struct stat st;

	if (in < 0 || fstat(in, &st) < 0)
		return err_sys(e, in < 0 ? -in : errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(e, EAGAIN, "it was replaced while it was read");
	build__copy_digest(c, base_name(s->path), &st);
	if (s->unpack)
		return walk_archive(c, in, &st, e);
	if (c->rootfd >= 0) {
		out = dest_file(c, base_name(s->path), e);
		if (out < 0)
			return out;
	}
	return build__copy_file(c, in, &st, out, e);
}

int build__copy_walk(struct build_copy *c, struct err *e)
{
	int r = c->rootfd < 0 ? 0 : find_owner(c, e);

	for (size_t i = 0; i < c->n && r >= 0; i++) {
		const struct build_source *s = &c->v[i];

		if (s->doc)
			r = walk_doc(c, s, e);
		else if (S_ISDIR(s->st.st_mode))
			r = walk_dir(c, s, e);
		else
			r = walk_file(c, s, e);
		if (r < 0 && !S_ISDIR(s->st.st_mode))
			err_wrap(e, r, "'%s'", s->path);
	}
	return r < 0 ? err_wrap(e, r, "%s", c->name) : 0;
}
