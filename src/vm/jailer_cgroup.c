/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jailer_cgroup.c - "FILE=VALUE" of the jailer: cgroups PARENT/ID, version 1 (one hierarchy for each controller) or 2
 *
 * A file's controller is what stands before its first dot. Paths are walked by descriptors; the hierarchy's mount is found in
 * /proc/self/mounts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"
#include "vm/jailer_internal.h"

enum { MOUNTS_BYTES_MAX = 4 << 20, CONTROLLER_MAX = 32, VALUE_MAX = 4096 };

struct setting { /* of one argument */
	char controller[CONTROLLER_MAX];
	char file[128];
	const char *value;
};

static int parse(const char *arg, struct setting *s, struct err *e)
{
	const char *eq = strchr(arg, '='), *dot = strchr(arg, '.');

	if (!eq || !eq[1] || !dot || dot > eq || dot == arg || (size_t)(dot - arg) >= sizeof(s->controller) ||
	    (size_t)(eq - arg) >= sizeof(s->file))
		return err_set(e, EINVAL, "--cgroup '%s': want FILE=VALUE, as cpu.shares=10", arg);
	str_format(s->controller, sizeof(s->controller), "%.*s", (int)(dot - arg), arg);
	str_format(s->file, sizeof(s->file), "%.*s", (int)(eq - arg), arg);
	s->value = eq + 1;
	if (strchr(s->file, '/') || strstr(s->file, ".."))
		return err_set(e, EINVAL, "--cgroup '%s': want a file's name, not a path", arg);
	return 0;
}

static bool has_option(const char *options, const char *word)
{
	size_t len = strlen(word);

	while (*options) {
		size_t n = strcspn(options, ",");

		if (n == len && memcmp(options, word, n) == 0)
			return true;
		options += n + (options[n] == ',');
	}
	return false;
}

/* open_hierarchy() - the mount of version 2, or of version 1's @controller. Return: directory, or -ENOENT, -errno. */
static int open_hierarchy(const char *controller, unsigned version)
{
	auto_fini(buf) struct buf text = { 0 };
	char *line, *next;
	int r = file_slurp_at(AT_FDCWD, "/proc/self/mounts", &text, MOUNTS_BYTES_MAX);

	if (r < 0)
		return r;
	for (line = text.data; line && *line; line = next) {
		char *field[4], *at = line;
		int n = 0;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		while (n < 4 && (field[n] = strsep(&at, " ")))
			n++;
		if (n < 4 || !str_eq(field[2], version == 2 ? "cgroup2" : "cgroup"))
			continue;
		if (version == 2 || has_option(field[3], controller))
			return file_open(AT_FDCWD, field[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	}
	return -ENOENT;
}

/* inherit() - version 1's cpuset begins empty, and then takes no process: as the parent has it. */
static int inherit(int parent, int dir, const char *file)
{
	auto_fini(buf) struct buf text = { 0 };
	int r = file_slurp_at(dir, file, &text, VALUE_MAX);

	if (r < 0 || (text.len && text.data[0] != '\n'))
		return r == -ENOENT ? 0 : r;
	r = file_slurp_at(parent, file, &text, VALUE_MAX);
	return r < 0 ? r : file_put(dir, file, buf_str(&text));
}

/* step() - the cgroup @name of @dir, made when missing; @controller is to be had in it. @dir is taken. */
static int step(int dir, const char *name, const char *controller, unsigned version)
{
	auto_close int parent = dir;
	auto_close int child = -1;
	char enable[CONTROLLER_MAX + 1];
	int r;

	str_format(enable, sizeof(enable), "+%s", controller);
	if (version == 2 && *controller) {
		r = file_put(parent, "cgroup.subtree_control", enable);
		if (r < 0)
			return r;
	}
	r = file_mkdir(parent, name, 0755);
	if (r >= 0)
		r = child = file_open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (r >= 0 && version == 1 && str_eq(controller, "cpuset")) {
		r = inherit(parent, child, "cpuset.cpus");
		if (r >= 0)
			r = inherit(parent, child, "cpuset.mems");
	}
	return r < 0 ? r : TAKE_FD(child);
}

/* open_cgroup() - PARENT/ID below the hierarchy; @id NULL: PARENT. */
static int open_cgroup(const struct jailer_config *c, const char *parent, const char *id,
		       const char *controller)
{
	auto_free char *path = strdup(parent);
	int dir = open_hierarchy(controller, c->cgroup_version);
	char *at = path, *name;

	if (!path) {
		fd_close(&dir);
		return -ENOMEM;
	}
	while (dir >= 0 && (name = strsep(&at, "/")))
		if (*name)
			dir = step(dir, name, controller, c->cgroup_version);
	return dir >= 0 && id ? step(dir, id, controller, c->cgroup_version) : dir;
}

static int check_parent(const char *parent, struct err *e)
{
	for (const char *at = parent; *at;) {
		size_t n = strcspn(at, "/");

		if (*parent == '/' || (n == 2 && memcmp(at, "..", 2) == 0))
			return err_set(e, EINVAL, "--parent-cgroup '%s': want a relative path without '..'",
				       parent);
		at += n + (at[n] == '/');
	}
	return 0;
}

static int join(int dir)
{
	char pid[24];

	str_format(pid, sizeof(pid), "%d", (int)getpid());
	return file_put(dir, "cgroup.procs", pid);
}

static int apply(const struct jailer_config *c, const char *parent, const char *arg, struct err *e)
{
	struct setting s;
	auto_close int dir = -1;
	int r = parse(arg, &s, e);

	if (r < 0)
		return r;
	r = dir = open_cgroup(c, parent, c->id, s.controller);
	if (r == -ENOENT)
		return err_set(e, ENOENT, "--cgroup '%s': no hierarchy of version %u has the controller '%s'",
			       arg, c->cgroup_version, s.controller);
	if (r >= 0)
		r = file_put(dir, s.file, s.value);
	if (r >= 0)
		r = join(dir);
	return r < 0 ? err_sys(e, -r, "--cgroup '%s'", arg) : 0;
}

int jailer__cgroups(const struct jailer_config *c, const char *name, struct err *e)
{
	const char *parent = c->parent_cgroup ? c->parent_cgroup : name;
	int r = check_parent(parent, e);

	for (unsigned i = 0; i < c->n_cgroups && r >= 0; i++)
		r = apply(c, parent, c->cgroup[i], e);
	/* version 2, a parent and nothing else: the parent itself, which the administrator has made */
	if (r >= 0 && c->n_cgroups == 0 && c->parent_cgroup && c->cgroup_version == 2) {
		auto_close int dir = open_cgroup(c, parent, NULL, "");

		r = dir < 0 ? dir : join(dir);
		if (r < 0)
			return err_sys(e, -r, "--parent-cgroup '%s'", parent);
	}
	return r;
}
