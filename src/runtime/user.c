/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/user.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/path.h"

/* An /etc/passwd or /etc/group, cut into lines and fields as they are asked for. */
struct table {
	struct buf text;
	char *at;
};

static void table_fini(struct table *t)
{
	buf_fini(&t->text);
}

/* table_open() - a missing file is an empty table; what is no plain file, or too large, is refused, never
 * read. */
static int table_open(struct table *t, int rootfd, const char *path, struct err *e)
{
	auto_close int fd = path_open_in_root(rootfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;
	int r;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd == -ELOOP)
		return err_set(e, ENOTSUP, "%s is a symbolic link in the image: not followed", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, fd < 0 ? -fd : errno, "the image's %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ENOTSUP, "%s is not a regular file in the image", path);
	r = file_slurp(fd, &t->text, USER_FILE_MAX);
	if (r < 0)
		return err_sys(e, -r, "the image's %s", path);
	if (memchr(buf_str(&t->text), '\0', t->text.len))
		return err_set(e, EINVAL, "the image's %s holds a NUL byte", path);
	t->at = t->text.data;
	return 0;
}

/* next_line() - the fields of the next line, cut at ':'. Return: how many (at most @max); 0 at the end. */
static size_t next_line(struct table *t, char **field, size_t max)
{
	while (t->at && *t->at) {
		char *line = t->at, *end = strchr(line, '\n');
		size_t n = 0;

		t->at = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		if (!*line || *line == '#' || strlen(line) > USER_LINE_MAX)
			continue;
		for (char *p = line; p && n < max; n++) {
			field[n] = p;
			p = strchr(p, ':');
			if (p)
				*p++ = '\0';
		}
		return n;
	}
	return 0;
}

static bool to_id(const char *text, uint32_t *ret_id)
{
	uint64_t n;

	if (str_to_u64(text, &n) < 0 || n > INT32_MAX)
		return false;
	*ret_id = (uint32_t)n;
	return true;
}

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

/* Who was found in /etc/passwd. */
struct found {
	char *name, *home;
}; /* owned */

static void found_fini(struct found *f)
{
	free(f->name);
	free(f->home);
}

static int find_passwd(int rootfd, const char *user, struct user *u, struct found *f, struct err *e)
{
	auto_fini(table) struct table t = { 0 };
	bool numeric = is_number(user);
	char *field[7];
	size_t n;
	int r;

	if (numeric && !to_id(user, &u->uid))
		return err_set(e, EINVAL, "user '%.64s': not from 0 to 2147483647", user);
	r = table_open(&t, rootfd, "/etc/passwd", e);
	if (r < 0)
		return r;
	while ((n = next_line(&t, field, 7)) > 0) {
		uint32_t uid, gid;

		if (n < 6 || !to_id(field[2], &uid) || !to_id(field[3], &gid))
			continue;
		if (numeric ? uid != u->uid : !str_eq(field[0], user))
			continue;
		u->uid = uid;
		u->gid = gid;
		f->name = strdup(field[0]);
		f->home = strdup(field[5]);
		return f->name && f->home ? 0 : err_sys(e, ENOMEM, "user '%.64s'", user);
	}
	return numeric ? 0 : err_set(e, ENOENT, "no user '%.64s' in the image's /etc/passwd", user);
}

static bool lists(char *members, const char *name)
{
	size_t len = strlen(name);

	for (char *p = members; p && *p; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, name, len) == 0 && (p[len] == ',' || p[len] == '\0'))
			return true;
	return false;
}

static int add_group(struct user *u, uint32_t gid, struct err *e)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (u->groups[i] == gid)
			return 0;
	if (u->n_groups == USER_GROUPS_MAX)
		return err_set(e, E2BIG, "more than %d groups", (int)USER_GROUPS_MAX);
	if (!u->groups)
		u->groups = calloc(USER_GROUPS_MAX, sizeof(*u->groups));
	if (!u->groups)
		return err_sys(e, ENOMEM, "groups");
	u->groups[u->n_groups++] = gid;
	return 0;
}

/* find_groups() - one pass: the group named @group becomes the first, groups that list @member are added. */
static int find_groups(int rootfd, const char *group, const char *member, struct user *u, struct err *e)
{
	auto_fini(table) struct table t = { 0 };
	bool found = !group || is_number(group);
	char *field[4];
	size_t n;
	int r;

	if (group && is_number(group) && !to_id(group, &u->gid))
		return err_set(e, EINVAL, "group '%.64s': not from 0 to 2147483647", group);
	if (found && !member)
		return 0;
	r = table_open(&t, rootfd, "/etc/group", e);
	while (r >= 0 && (n = next_line(&t, field, 4)) > 0) {
		uint32_t gid;

		if (n < 3 || !to_id(field[2], &gid))
			continue;
		if (!found && str_eq(field[0], group)) {
			u->gid = gid;
			found = true;
		}
		if (member && n == 4 && lists(field[3], member))
			r = add_group(u, gid, e);
	}
	if (r < 0)
		return r;
	return found ? 0 : err_set(e, ENOENT, "no group '%.64s' in the image's /etc/group", group);
}

static int find_extra(int rootfd, const char *group, struct user *u, struct err *e)
{
	struct user one = { 0 };
	int r = *group ? find_groups(rootfd, group, NULL, &one, e) :
			 err_set(e, EINVAL, "an empty group name");

	return r < 0 ? r : add_group(u, one.gid, e);
}

int user_find(int rootfd, const char *text, char *const *extra, size_t n_extra, struct user *ret_u,
	      struct err *e)
{
	auto_fini(user) struct user u = { 0 };
	auto_fini(found) struct found f = { 0 };
	const char *colon = text ? strchr(text, ':') : NULL;
	auto_free char *name = strndup(text ? text : "", colon ? (size_t)(colon - text) :
							 text  ? strlen(text) :
								 0);
	int r;

	if (!name)
		return err_sys(e, ENOMEM, "user");
	if (colon && (!colon[1] || strchr(colon + 1, ':')))
		return err_set(e, EINVAL, "user '%.64s': USER[:GROUP] is wanted", text);
	r = find_passwd(rootfd, *name ? name : "0", &u, &f, e);
	if (r >= 0)
		r = find_groups(rootfd, colon ? colon + 1 : NULL, colon ? NULL : f.name, &u, e);
	for (size_t i = 0; i < n_extra && r >= 0; i++)
		r = find_extra(rootfd, extra[i], &u, e);
	if (r < 0)
		return r;
	u.home = f.home && *f.home == '/' ? TAKE_PTR(f.home) : strdup("/");
	if (!u.home)
		return err_sys(e, ENOMEM, "user");
	*ret_u = u;
	u = (struct user){ 0 };
	return 0;
}

void user_fini(struct user *u)
{
	free(u->groups);
	free(u->home);
	*u = (struct user){ 0 };
}
