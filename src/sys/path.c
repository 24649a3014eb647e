/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/path.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"

enum { PATH_LINKS_MAX = 40, PATH_RACES_MAX = 64 };

int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long r;

	if (!*path)
		path = ".";
	/* -EAGAIN: a rename raced with ".." somewhere; the kernel asks to try again, an attacker may ask for ever */
	for (int i = 0; i < PATH_RACES_MAX; i++) {
		r = SYS4(SYS_openat2, rootfd, path, &how, sizeof(how));
		if (r != -EAGAIN && r != -EINTR)
			break;
	}
	return (int)r;
}

/* link_target() - what the symlink @name in @dirfd says, or -errno (-EINVAL: not a symlink). */
static int link_target(int dirfd, const char *name, char *dst, size_t size)
{
	long r = SYS4(SYS_readlinkat, dirfd, name, dst, size - 1);

	if (r < 0)
		return (int)r;
	if ((size_t)r == size - 1)
		return -ENAMETOOLONG;
	dst[r] = '\0';
	return 0;
}

/*
 * A path being made: components move from @todo to @done. @done never holds "..", and is opened anew in the
 * root for each step, so whatever somebody swaps meanwhile, the step still ends inside.
 */
struct walk {
	int rootfd;
	char done[PATH_MAX]; /* "" or "a/b/c" */
	char todo[PATH_MAX];
	int links;
};

/* walk_next() - take the next component off w->todo into @name; false at the end. */
static bool walk_next(struct walk *w, char *name)
{
	char *p = w->todo + strspn(w->todo, "/");
	size_t n = strcspn(p, "/");

	if (n == 0 || n > NAME_MAX) {
		w->todo[0] = '\0';
		name[0] = '\0';
		return n > 0;
	}
	memcpy(name, p, n);
	name[n] = '\0';
	memmove(w->todo, p + n, strlen(p + n) + 1);
	return true;
}

static bool walk_at_end(const struct walk *w)
{
	return w->todo[strspn(w->todo, "/")] == '\0';
}

static void walk_up(struct walk *w)
{
	char *slash = strrchr(w->done, '/');

	if (slash)
		*slash = '\0';
	else
		w->done[0] = '\0';
}

static int walk_down(struct walk *w, const char *name)
{
	size_t n = strlen(w->done);

	return str_format(w->done + n, sizeof(w->done) - n, "%s%s", n ? "/" : "", name) <
			       sizeof(w->done) - n ?
		       0 :
		       -ENAMETOOLONG;
}

/* walk_link() - replace the symlink just met by what it says. */
static int walk_link(struct walk *w, const char *target)
{
	char rest[PATH_MAX];

	if (++w->links > PATH_LINKS_MAX)
		return -ELOOP;
	str_copy(rest, sizeof(rest), w->todo);
	if (*target == '/')
		w->done[0] = '\0';
	return str_format(w->todo, sizeof(w->todo), "%s/%s", target, rest) < sizeof(w->todo) ? 0 :
											       -ENAMETOOLONG;
}

static int walk_dir(const struct walk *w)
{
	return path_open_in_root(w->rootfd, w->done, O_PATH | O_DIRECTORY, 0);
}

/* walk_make() - one component that is not there yet. */
static int walk_make(const struct walk *w, int dirfd, const char *name, bool is_dir, mode_t mode)
{
	int r;

	if (!walk_at_end(w))
		return file_mkdir(dirfd, name, 0755);
	if (is_dir)
		return file_mkdir(dirfd, name, mode);
	r = file_open(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	fd_close(&r);
	return 0;
}

/* walk_step() - make sure that @name exists in w->done, and go on into it. */
static int walk_step(struct walk *w, const char *name, bool is_dir, mode_t mode)
{
	auto_close int dirfd = walk_dir(w);
	char target[PATH_MAX];
	struct stat st;
	int r;

	if (dirfd < 0)
		return dirfd;
	r = file_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
	if (r == -ENOENT) {
		r = walk_make(w, dirfd, name, is_dir, mode);
		return r < 0 ? r : walk_down(w, name);
	}
	if (r < 0)
		return r;
	if (!S_ISLNK(st.st_mode))
		return walk_down(w, name);
	r = link_target(dirfd, name, target, sizeof(target));
	return r < 0 ? r : walk_link(w, target);
}

int path_make_in_root(int rootfd, const char *path, bool is_dir, mode_t mode, struct err *e)
{
	struct walk w = { .rootfd = rootfd };
	char name[NAME_MAX + 1];
	struct stat st;
	int fd, r = 0;

	fd = path_open_in_root(rootfd, path, O_PATH, 0); /* the usual case: it is there */
	if (fd == -ENOENT) {
		if (!str_copy(w.todo, sizeof(w.todo), path))
			r = -ENAMETOOLONG;
		while (r >= 0 && walk_next(&w, name)) {
			if (!name[0])
				r = -ENAMETOOLONG;
			else if (str_eq(name, ".."))
				walk_up(&w);
			else if (!str_eq(name, "."))
				r = walk_step(&w, name, is_dir, mode);
		}
		fd = r < 0 ? r : path_open_in_root(rootfd, w.done, O_PATH, 0);
	}
	if (fd < 0)
		return err_sys(e, -fd, "%s", path);
	r = file_fstatat(fd, "", &st, AT_EMPTY_PATH);
	if (r == 0 && is_dir && !S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	if (r == 0 && !is_dir && S_ISDIR(st.st_mode))
		r = -EISDIR;
	if (r < 0) {
		fd_close(&fd);
		return err_sys(e, -r, "%s", path);
	}
	return fd;
}

int path_parent_in_root(int rootfd, const char *path, bool make, char **ret_name)
{
	auto_free char *dir = strdup(path);
	char *end, *name;
	int fd;

	if (!dir)
		return -ENOMEM;
	for (end = dir + strlen(dir); end > dir && end[-1] == '/'; end--)
		end[-1] = '\0';
	name = strrchr(dir, '/');
	name = name ? name + 1 : dir;
	if (!*name || str_eq(name, ".") || str_eq(name, ".."))
		return -EINVAL;
	name = strdup(name);
	if (!name)
		return -ENOMEM;
	dir[strlen(dir) - strlen(name)] = '\0';
	fd = make ? path_make_in_root(rootfd, dir, true, 0755, NULL) :
		    path_open_in_root(rootfd, dir, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		free(name);
	else
		*ret_name = name;
	return fd;
}

int path_reopen(int fd, int flags)
{
	char path[FD_PATH_SIZE];

	return file_open(AT_FDCWD, fd_path(fd, path), flags & ~O_NOFOLLOW, 0);
}
