/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_layout.c - which hierarchies there are and where a container's directories lie in them
 *
 * Theory of operation: one statfs(2) of /sys/fs/cgroup tells v2 alone. Otherwise /proc/self/cgroup lists what
 * the kernel has, and each hierarchy is looked for where every distribution mounts it. /proc/self/mountinfo
 * is long and slow to read, so it is asked only about a hierarchy that is not there, and about a mount that
 * shows a part of a hierarchy only (a container in a container without a cgroup namespace).
 */
#include "container/cgroup_internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"

enum { PROC_FILE_MAX = 4 << 20 };

static const char *const layout_name[CGROUP_LAYOUT_COUNT] = {
	[CGROUP_NONE] = "none",
	[CGROUP_V1] = "v1",
	[CGROUP_HYBRID] = "hybrid",
	[CGROUP_V2] = "v2",
};

static const char *const manager_name[] = {
	[CGROUP_FS] = "fs",
	[CGROUP_SYSTEMD] = "systemd",
	[CGROUP_DISABLED] = "disabled",
};

static bool on_fs(const char *path, long magic)
{
	struct statfs st;

	return SYS2(SYS_statfs, path, &st) == 0 && (long)st.f_type == magic;
}

bool cgroup__word_in(const char *list, const char *sep, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		size_t n = strcspn(list, sep);

		if (n == len && memcmp(list, word, n) == 0)
			return true;
		list += n;
		list += strspn(list, sep);
	}
	return false;
}

const char *cgroup__full_path(const struct cgroup_hierarchy *h, char *dst)
{
	str_format(dst, CGROUP__FULL_MAX, "%s%s", h->mount, h->path);
	return dst;
}

int cgroup__open_dir(const struct cgroup_hierarchy *h)
{
	char full[CGROUP__FULL_MAX];
	auto_close int fd = file_open(AT_FDCWD, cgroup__full_path(h, full), O_RDONLY | O_DIRECTORY, 0);
	struct statfs st;
	long r;

	if (fd < 0)
		return fd;
	r = SYS2(SYS_fstatfs, fd, &st);
	if (r < 0)
		return (int)r;
	if ((long)st.f_type != (h->v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
		return -EXDEV; /* something else is mounted there by now */
	return TAKE_FD(fd);
}

const struct cgroup_hierarchy *cgroup__v1(const struct cgroup *cg, const char *controller)
{
	for (size_t i = 0; i < cg->n; i++)
		if (!cg->h[i].v2 && cg->h[i].dirfd >= 0 &&
		    cgroup__word_in(cg->h[i].controllers, ",", controller))
			return &cg->h[i];
	return NULL;
}

const struct cgroup_hierarchy *cgroup__v2(const struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++)
		if (cg->h[i].v2 && cg->h[i].dirfd >= 0)
			return &cg->h[i];
	return NULL;
}

int cgroup__check_path(char *dst, size_t size, const char *path, struct err *e)
{
	size_t n = 0;

	for (const char *s = path; *s;) {
		size_t len = strcspn(s, "/");

		if ((len == 2 && s[0] == '.' && s[1] == '.'))
			return err_set(e, EINVAL, "cgroupsPath '%s': must not hold '..'", path);
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)s[i] < ' ' || s[i] == 127)
				return err_set(e, EINVAL, "cgroupsPath: holds a control character");
		if (len > 0 && !(len == 1 && s[0] == '.')) {
			if (len > 255 || n + len + 2 > size)
				return err_set(e, ENAMETOOLONG, "cgroupsPath: longer than %zu bytes", size);
			dst[n++] = '/';
			memcpy(dst + n, s, len);
			n += len;
		}
		s += len;
		s += *s == '/';
	}
	if (n == 0) /* to kill or to freeze "the container" would be to do it to the host */
		return err_set(e, EINVAL, "cgroupsPath '%s': the root group cannot be a container's", path);
	dst[n] = '\0';
	return 0;
}

/* --- /proc/self/mountinfo, only when something is not where it usually is ------------------------------- */

/* next_field() - cut one space-separated field off *@s, its \040 escapes undone in place. */
static char *next_field(char **s)
{
	char *field = *s, *to = *s, *p;

	for (p = *s; *p && *p != ' ' && *p != '\n';) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
		    p[3] <= '7') {
			*to++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 4;
		} else {
			*to++ = *p++;
		}
	}
	*s = *p ? p + 1 : p;
	*to = '\0';
	return field;
}

/* mount_matches() - is this mountinfo line (changed in place) the hierarchy? @controllers "" is v2. */
static bool mount_matches(char *line, const char *controllers, char **ret_root, char **ret_point)
{
	char *type, *options, *f;

	for (int i = 0; i < 3; i++)
		next_field(&line);
	*ret_root = next_field(&line);
	*ret_point = next_field(&line);
	do {
		f = next_field(&line);
	} while (*f && !str_eq(f, "-"));
	type = next_field(&line);
	next_field(&line);
	options = next_field(&line);
	if (!*controllers)
		return str_eq(type, "cgroup2");
	if (!str_eq(type, "cgroup"))
		return false;
	for (const char *s = controllers; *s; s += strcspn(s, ","), s += *s == ',') {
		char one[64];

		str_format(one, sizeof(one), "%.*s", (int)strcspn(s, ","), s);
		if (!cgroup__word_in(options, ",", one))
			return false;
	}
	return true;
}

/* find_mount() - where mountinfo says @h's hierarchy is; @ret_root of CGROUP_PATH_MAX: which part of it that
 * mount shows. */
static int find_mount(struct cgroup_hierarchy *h, char *ret_root)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = file_slurp_at(AT_FDCWD, "/proc/self/mountinfo", &b, PROC_FILE_MAX);

	if (r < 0)
		return r;
	for (char *line = b.data, *next; line && *line; line = next) {
		char *root, *point;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (mount_matches(line, h->controllers, &root, &point) &&
		    str_copy(ret_root, CGROUP_PATH_MAX, root) && str_copy(h->mount, sizeof(h->mount), point))
			return 0;
	}
	return -ENOENT;
}

/* --- cgroup_open() -------------------------------------------------------------------------------------- */

/* What all hierarchies of one cgroup_open() share. */
struct place {
	const char *inner;  /* checked path, "/hull/ID" */
	bool relative;      /* below the caller's own group */
	bool parent_of_own; /* below the group above that */
};

static bool usual_mount(struct cgroup_hierarchy *h)
{
	const char *name = str_after(h->controllers, "name=");
	long magic = h->v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC;

	if (h->v2)
		name = "unified";
	else if (!name)
		name = h->controllers;
	str_format(h->mount, sizeof(h->mount), CGROUP__ROOT "/%s", name);
	if (on_fs(h->mount, magic))
		return true;
	/* "cpu,cpuacct" is a link beside "cpu" on some hosts, and the other way round on others */
	str_format(h->mount, sizeof(h->mount), CGROUP__ROOT "/%.*s", (int)strcspn(name, ","), name);
	return on_fs(h->mount, magic);
}

/* own_path() - the caller's group as seen through @h's mount, without its trailing slash: "" is the mount
 * itself. */
static int own_path(struct cgroup_hierarchy *h, const char *own, bool parent, char *dst)
{
	char full[CGROUP__FULL_MAX], root[CGROUP_PATH_MAX];
	const char *below;
	char *slash;

	str_copy(dst, CGROUP_PATH_MAX, str_eq(own, "/") ? "" : own);
	str_format(full, sizeof(full), "%s%s", h->mount, dst);
	if (!on_fs(full, h->v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC)) {
		if (find_mount(h, root) < 0)
			return -ENOENT;
		below = str_after(own, root);
		str_copy(dst, CGROUP_PATH_MAX, below && (*below == '/' || !*below) ? below : "");
	}
	slash = parent ? strrchr(dst, '/') : NULL;
	if (slash) {
		*slash = '\0';
		str_format(full, sizeof(full), "%s%s", h->mount, dst);
		if (SYS3(SYS_faccessat, AT_FDCWD, full, W_OK) == -EACCES)
			*slash = '/'; /* what is delegated to us begins with our own */
	}
	return 0;
}

static int place_hierarchy(struct cgroup_hierarchy *h, const struct place *p, const char *own, struct err *e)
{
	char base[CGROUP_PATH_MAX] = "";
	int r = p->relative ? own_path(h, own, p->parent_of_own, base) : 0;

	if (r < 0)
		return err_sys(e, -r, "cgroup: the caller's own group '%s' below %s", own, h->mount);
	if (str_format(h->path, sizeof(h->path), "%s%s", base, p->inner) >= sizeof(h->path))
		return err_set(e, ENAMETOOLONG, "cgroupsPath: longer than %d bytes", CGROUP_PATH_MAX);
	return 0;
}

/* add_line() - one line of /proc/self/cgroup, "4:memory:/user". A hierarchy that is mounted nowhere is passed
 * over. */
static int add_line(struct cgroup *cg, char *line, const struct place *p, struct err *e)
{
	struct cgroup_hierarchy h = { .dirfd = -1 };
	char root[CGROUP_PATH_MAX];
	char *controllers = strchr(line, ':');
	char *own = controllers ? strchr(controllers + 1, ':') : NULL;
	int r;

	if (!own)
		return 0;
	*controllers++ = *own++ = '\0';
	if (!str_copy(h.controllers, sizeof(h.controllers), controllers))
		return 0;
	h.v2 = !*controllers;
	/* no mountinfo for the v2 tree: beside v1 it is optional, and "unified" where somebody wants it */
	if (!usual_mount(&h) && (h.v2 || find_mount(&h, root) < 0))
		return 0;
	if (cg->n == CGROUP_HIERARCHY_MAX)
		return err_set(e, E2BIG, "cgroup: more than %d hierarchies", CGROUP_HIERARCHY_MAX);
	r = place_hierarchy(&h, p, own, e);
	if (r < 0)
		return r;
	cg->h[cg->n++] = h;
	if (h.v2)
		cg->layout = cg->layout == CGROUP_V1 ? CGROUP_HYBRID : CGROUP_V2;
	else
		cg->layout =
			cg->layout == CGROUP_V2 || cg->layout == CGROUP_HYBRID ? CGROUP_HYBRID : CGROUP_V1;
	return 0;
}

static int open_v2(struct cgroup *cg, struct place *p, struct err *e)
{
	struct cgroup_hierarchy *h = &cg->h[0];
	auto_fini(buf) struct buf b = { 0 };
	const char *own = "/";
	int r;

	*h = (struct cgroup_hierarchy){ .v2 = true, .dirfd = -1, .mount = CGROUP__ROOT };
	if (p->relative) {
		char *line;

		r = file_slurp_at(AT_FDCWD, "/proc/self/cgroup", &b, PROC_FILE_MAX);
		if (r < 0)
			return err_sys(e, -r, "/proc/self/cgroup");
		line = strstr(b.data ? b.data : "", "0::/");
		if (line) {
			own = line + 3;
			line[strcspn(line, "\n")] = '\0';
		}
		/* The caller is in its own group; a v2 group with processes cannot hand controllers down. */
		p->parent_of_own = true;
	}
	r = place_hierarchy(h, p, own, e);
	if (r < 0)
		return r;
	cg->n = 1;
	cg->layout = CGROUP_V2;
	return 0;
}

static int open_v1(struct cgroup *cg, const struct place *p, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = file_slurp_at(AT_FDCWD, "/proc/self/cgroup", &b, PROC_FILE_MAX);

	if (r < 0)
		return err_sys(e, -r, "/proc/self/cgroup");
	for (char *line = b.data, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		r = add_line(cg, line, p, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_open(struct cgroup *cg, const char *cgroups_path, const char *id, enum cgroup_manager manager,
		struct err *e)
{
	struct place p = { .inner = cg->path,
			   .relative = !cgroups_path || !*cgroups_path || *cgroups_path != '/' };
	int r;

	*cg = (struct cgroup){ .manager = manager };
	if (manager == CGROUP_DISABLED)
		return 0;
	if (manager == CGROUP_SYSTEMD) {
		r = cgroup__systemd_parse(cg, cgroups_path, id, e);
		p.relative = false;
	} else {
		r = cgroup__check_path(cg->path, sizeof(cg->path),
				       cgroups_path && *cgroups_path ? cgroups_path : id, e);
	}
	if (r < 0)
		return r;
	if (on_fs(CGROUP__ROOT, CGROUP2_SUPER_MAGIC))
		r = open_v2(cg, &p, e);
	else
		r = open_v1(cg, &p, e);
	if (r < 0)
		cgroup_fini(cg);
	return r;
}

bool cgroup_delegated(const struct cgroup *cg, const char *v1, const char *v2)
{
	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_hierarchy *h = &cg->h[i];
		auto_close int dir = -1;
		char full[CGROUP__FULL_MAX], list[256];

		if (!h->v2 && !cgroup__word_in(h->controllers, ",", v1))
			continue;
		cgroup__full_path(h, full);
		while ((dir = file_open(AT_FDCWD, full, O_RDONLY | O_DIRECTORY, 0)) == -ENOENT &&
		       strlen(full) > strlen(h->mount))
			*strrchr(full, '/') = '\0';
		if (dir < 0 || SYS3(SYS_faccessat, dir, ".", W_OK) < 0)
			continue;
		if (!h->v2)
			return true;
		/* a group hands down what it has, unless processes are in it */
		if (cgroup__read(dir,
				 cgroup__populated(dir) ? "cgroup.subtree_control" : "cgroup.controllers",
				 list, sizeof(list)) > 0 &&
		    cgroup__word_in(list, " \n", v2))
			return true;
	}
	return false;
}

/* --- the state file ------------------------------------------------------------------------------------- */

/*
 * Lines of words behind single tabs; no path holds a control character:
 *	cgroup <layout> <manager> <path> <unit> <slice>
 *	h v1|v2 <controllers> <mount> <path>
 */
void cgroup_save(const struct cgroup *cg, struct buf *text)
{
	buf_printf(text, "cgroup\t%s\t%s\t%s\t%s\t%s\n", layout_name[cg->layout], manager_name[cg->manager],
		   cg->path, cg->unit, cg->slice);
	for (size_t i = 0; i < cg->n; i++)
		buf_printf(text, "h\t%s\t%s\t%s\t%s\n", cg->h[i].v2 ? "v2" : "v1", cg->h[i].controllers,
			   cg->h[i].mount, cg->h[i].path);
}

static int name_index(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(names[i], name))
			return (int)i;
	return -EINVAL;
}

/* load_line() - one saved line. Return: 0, or -EINVAL. */
static int load_line(struct cgroup *cg, const char *line)
{
	auto_fini(strv) struct strv w = { 0 };
	struct cgroup_hierarchy *h = &cg->h[cg->n];
	int layout, manager;

	strv_split(&w, line, '\t');
	if (strv_finish(&w) < 0)
		return -ENOMEM;
	if (w.len == 6 && str_eq(w.item[0], "cgroup")) {
		layout = name_index(layout_name, CGROUP_LAYOUT_COUNT, w.item[1]);
		manager = name_index(manager_name, CGROUP_DISABLED + 1, w.item[2]);
		if (layout < 0 || manager < 0)
			return -EINVAL;
		cg->layout = (enum cgroup_layout)layout;
		cg->manager = (enum cgroup_manager)manager;
		if (!str_copy(cg->path, sizeof(cg->path), w.item[3]) ||
		    !str_copy(cg->unit, sizeof(cg->unit), w.item[4]) ||
		    !str_copy(cg->slice, sizeof(cg->slice), w.item[5]))
			return -EINVAL;
		return 0;
	}
	if (w.len != 5 || !str_eq(w.item[0], "h") || cg->n == CGROUP_HIERARCHY_MAX)
		return -EINVAL;
	*h = (struct cgroup_hierarchy){ .v2 = str_eq(w.item[1], "v2"), .dirfd = -1 };
	if (!str_copy(h->controllers, sizeof(h->controllers), w.item[2]) || w.item[3][0] != '/' ||
	    !str_copy(h->mount, sizeof(h->mount), w.item[3]) ||
	    cgroup__check_path(h->path, sizeof(h->path), w.item[4], NULL) < 0)
		return -EINVAL;
	cg->n++;
	return 0;
}

int cgroup_load(struct cgroup *cg, const char *text, struct err *e)
{
	auto_fini(strv) struct strv lines = { 0 };
	int r = 0;

	*cg = (struct cgroup){ 0 };
	strv_split(&lines, text, '\n');
	r = strv_finish(&lines);
	for (size_t i = 0; i < lines.len && r == 0; i++)
		if (lines.item[i][0])
			r = load_line(cg, lines.item[i]);
	if (r < 0) {
		cgroup_fini(cg);
		return err_set(e, -r, "cgroup: the saved state cannot be read");
	}
	for (size_t i = 0; i < cg->n; i++) {
		int fd = cgroup__open_dir(&cg->h[i]);

		cg->h[i].dirfd = fd < 0 ? -1 : fd; /* gone already: delete has nothing to do there */
	}
	return 0;
}
