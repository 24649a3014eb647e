/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c - making, joining and removing a container's groups
 *
 * Theory of operation: cgroup_create() makes the directory in every hierarchy, v2 controllers are handed down
 * from the root as they are missing, the limits are written, and only then does anybody come in: by
 * CLONE_INTO_CGROUP in the v2 tree, by writing "0" to each v1 "tasks" file from the child itself. What fails
 * half-way is taken back. Directories above the container's own stay when the container goes, as other
 * runtimes leave them: another may be about to use them.
 */
#include "container/cgroup_internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>

#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "sys/call.h"
#include "sys/file.h"

enum {
	MKDIR_TRIES = 8,       /* somebody may remove a parent between our making it and using it */
	DELETE_WAIT_MS = 3000, /* in all, for the kernel to reap */
};

/* Controllers a container's v2 group should have, asked for or not, so that they can be counted and limited
 * later. */
static const char *const v2_controllers[] = { "cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma" };

void cgroup_fini(struct cgroup *cg)
{
	cgroup__keeper_end(cg);
	for (size_t i = 0; i < cg->n; i++)
		fd_close(&cg->h[i].dirfd);
	*cg = (struct cgroup){ 0 };
}

int cgroup_v2_fd(const struct cgroup *cg)
{
	const struct cgroup_hierarchy *h = cgroup__v2(cg);

	return h ? h->dirfd : -1;
}

bool cgroup_any(const struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++)
		if (cg->h[i].dirfd >= 0)
			return true;
	return false;
}

/* --- directories ---------------------------------------------------------------------------------------- */

/* make_parents() - every directory above the last component of @full that is missing below @mount_len. */
static int make_parents(struct cgroup_hierarchy *h, char *full, size_t mount_len)
{
	for (char *s = full + mount_len + 1; (s = strchr(s, '/')); s++) {
		int r;

		*s = '\0';
		r = (int)SYS3(SYS_mkdirat, AT_FDCWD, full, 0755);
		*s = '/';
		if (r == 0)
			h->made_parents++;
		else if (r != -EEXIST)
			return r;
	}
	return 0;
}

static int make_dir(struct cgroup_hierarchy *h)
{
	char full[CGROUP__FULL_MAX];
	int r = -ENOENT;

	cgroup__full_path(h, full);
	for (int i = 0; i < MKDIR_TRIES && r == -ENOENT; i++) {
		r = (int)SYS3(SYS_mkdirat, AT_FDCWD, full, 0755);
		if (r == -ENOENT) {
			r = make_parents(h, full, strlen(h->mount));
			r = r < 0 ? r : -ENOENT;
		}
	}
	if (r < 0 && r != -EEXIST)
		return r;
	h->made = r == 0;
	r = cgroup__open_dir(h);
	if (r < 0)
		return r;
	h->dirfd = r;
	return 0;
}

/* unmake() - remove what create made; others may have moved into the directories above by now, those then
 * stay. */
static void unmake(struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++) {
		struct cgroup_hierarchy *h = &cg->h[i];
		char full[CGROUP__FULL_MAX];

		fd_close(&h->dirfd);
		if (h->made)
			cgroup__remove(h);
		cgroup__full_path(h, full);
		for (; h->made_parents > 0; h->made_parents--) {
			*strrchr(full, '/') = '\0';
			if (file_unlink(AT_FDCWD, full, AT_REMOVEDIR) < 0)
				break;
		}
		h->made = false;
		h->made_parents = 0;
	}
}

/*
 * fill_cpuset() - a new v1 cpuset group has no processor and no memory node and so takes no process: give it
 * its parent's, which may be as empty. @depth bounds the way up; the root is never empty.
 */
static int fill_cpuset(int dirfd, bool fresh, int depth)
{
	static const char *const file[] = { "cpuset.cpus", "cpuset.mems" };
	auto_close int parent = file_open(dirfd, "..", O_RDONLY | O_DIRECTORY, 0);
	int r = parent < 0 ? parent : 0;

	for (int i = 0; i < 2 && r >= 0; i++) {
		char value[CGROUP__VALUE_MAX];

		if (!fresh && cgroup__read(dirfd, file[i], value, sizeof(value)) > 0 && value[0] != '\n')
			continue;
		r = cgroup__read(parent, file[i], value, sizeof(value));
		if (r >= 0 && value[strspn(value, "\n")] == '\0') {
			r = depth > 0 ? fill_cpuset(parent, false, depth - 1) : -ELOOP;
			r = r < 0 ? r : cgroup__read(parent, file[i], value, sizeof(value));
		}
		if (r >= 0)
			r = file_put(dirfd, file[i], value);
	}
	return r;
}

/* hand_down() - in one directory above the container's: enable what is @wanted, available, and not enabled
 * yet. */
static void hand_down(const char *dir, const char *const *wanted, size_t n)
{
	auto_close int fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	char have[256], on[256], all[256] = "";
	size_t len = 0;

	if (fd < 0 || cgroup__read(fd, "cgroup.controllers", have, sizeof(have)) < 0 ||
	    cgroup__read(fd, "cgroup.subtree_control", on, sizeof(on)) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (cgroup__word_in(have, " \n", wanted[i]) && !cgroup__word_in(on, " \n", wanted[i]))
			len += str_format(all + len, sizeof(all) - len, "%s+%s", len ? " " : "", wanted[i]);
	if (len == 0 || file_put(fd, "cgroup.subtree_control", all) == 0)
		return;
	/* One that cannot be had (real-time threads hold "cpu", say) must not cost the others. */
	for (size_t i = 0; i < n; i++) {
		char one[32];

		str_format(one, sizeof(one), "+%s", wanted[i]);
		if (strstr(all, one))
			file_put(fd, "cgroup.subtree_control", one);
	}
}

/*
 * v2_enable() - hand controllers down to the container's group, as far as they go. What did not arrive is
 * found missing in the group's own cgroup.controllers, and refused there if a limit needs it.
 */
static void v2_enable(const struct cgroup_hierarchy *h, const char *const *wanted, size_t n)
{
	char full[CGROUP__FULL_MAX];
	size_t mount_len = strlen(h->mount);

	cgroup__full_path(h, full);
	for (char *s = full + mount_len; s; s = strchr(s + 1, '/')) {
		*s = '\0';
		hand_down(full, wanted, n);
		*s = '/';
	}
}

/* v2_check_type() - a group under a threaded one is born unusable; it can only become threaded itself. */
static int v2_check_type(const struct cgroup_hierarchy *h, struct err *e)
{
	char type[32];
	int r = cgroup__read(h->dirfd, "cgroup.type", type, sizeof(type));

	if (r < 0 || !str_starts(type, "domain invalid"))
		return 0;
	r = file_put(h->dirfd, "cgroup.type", "threaded");
	return r < 0 ? err_sys(e, -r, "cgroup '%s': below a threaded group: cgroup.type", h->path) : 0;
}

static int check_empty(const struct cgroup_hierarchy *h, struct err *e)
{
	char state[32];
	int r = cgroup__populated(h->dirfd);

	if (r < 0)
		return err_sys(e, -r, "cgroup '%s%s': cgroup.procs", h->mount, h->path);
	if (r > 0)
		return err_set(e, EBUSY, "cgroup '%s%s': is not empty: processes are in it", h->mount,
			       h->path);
	if (cgroup__read(h->dirfd, h->v2 ? "cgroup.freeze" : "freezer.state", state, sizeof(state)) > 0 &&
	    (state[0] == '1' || str_starts(state, "FRO") || str_starts(state, "FREEZING")))
		return err_set(e, EBUSY, "cgroup '%s%s': is frozen, whoever joined it would never run",
			       h->mount, h->path);
	return 0;
}

static bool denied(int rc)
{
	return rc == -EACCES || rc == -EPERM || rc == -EROFS;
}

static int create_dirs(struct cgroup *cg, bool rootless, struct err *e)
{
	for (size_t i = 0; i < cg->n; i++) {
		struct cgroup_hierarchy *h = &cg->h[i];
		int r = make_dir(h);

		if (r < 0 && rootless && denied(r)) {
			cgroup__skip(cg, h->v2 ? "unified" : h->controllers);
			continue;
		}
		if (r < 0)
			return err_sys(e, -r, "cgroup '%s%s'", h->mount, h->path);
		if (h->made || cg->keeper > 0) /* what systemd made holds the keeper already */
			continue;
		r = check_empty(h, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int prepare_v2(struct cgroup *cg, const struct oci_resources *r, struct err *e)
{
	const struct cgroup_hierarchy *h = cgroup__v2(cg);
	static const char *const hugetlb[] = { "hugetlb" };
	static const char *const rdma[] = { "rdma" };

	if (!h)
		return 0;
	if (cg->layout == CGROUP_V2) {
		v2_enable(h, v2_controllers, sizeof(v2_controllers) / sizeof(v2_controllers[0]));
		return v2_check_type(h, e);
	}
	/* Beside v1 the v2 tree is left alone unless a limit can only be had there. */
	if (r && (r->n_hugepages || r->unified.n) && !cgroup__v1(cg, "hugetlb"))
		v2_enable(h, hugetlb, 1);
	if (r && (r->n_rdma || r->unified.n) && !cgroup__v1(cg, "rdma"))
		v2_enable(h, rdma, 1);
	for (size_t i = 0; r && r->unified.n && i < sizeof(v2_controllers) / sizeof(v2_controllers[0]); i++)
		v2_enable(h, &v2_controllers[i], 1);
	return 0;
}

static int create_inside(struct cgroup *cg, const struct oci_resources *r, bool rootless, struct err *e)
{
	static const struct oci_resources none;
	const struct cgroup_hierarchy *cpuset;
	int rc = create_dirs(cg, rootless, e);

	if (rc < 0)
		return rc;
	cpuset = cgroup__v1(cg, "cpuset");
	rc = cpuset ? fill_cpuset(cpuset->dirfd, cpuset->made, CGROUP_DEPTH_MAX) : 0;
	if (rc < 0)
		return err_sys(e, -rc, "cgroup '%s%s': cpuset.cpus and cpuset.mems", cpuset->mount,
			       cpuset->path);
	rc = prepare_v2(cg, r, e);
	if (rc < 0)
		return rc;
	rc = cgroup__set_limits(cg, r ? r : &none, true, rootless, e);
	if (rc < 0)
		return rc;
	rc = cgroup__set_devices(cg, r ? r : &none, true, e);
	if (rc < 0 && rootless) {
		cgroup__skip(cg, "devices");
		if (e)
			*e = (struct err){ 0 };
		rc = 0;
	}
	return rc;
}

int cgroup_create(struct cgroup *cg, const struct oci_resources *r, bool rootless, struct err *e)
{
	int rc;

	if (cg->manager == CGROUP_DISABLED)
		return 0;
	rc = cg->manager == CGROUP_SYSTEMD ? cgroup__systemd_start(cg, r, e) : 0;
	if (rc == 0)
		rc = create_inside(cg, r, rootless, e);
	if (rc < 0) {
		cgroup__keeper_end(cg);
		unmake(cg);
		cg->n = 0; /* what is left there is another's: a later kill or delete must not find it */
	}
	return rc;
}

int cgroup_update(struct cgroup *cg, const struct oci_resources *r, struct err *e)
{
	int rc = cgroup__set_limits(cg, r, false, false, e);

	if (rc < 0 || r->n_devices == 0)
		return rc;
	return cgroup__set_devices(cg, r, false, e);
}

static bool any_word_in(const char *list, const char *words, size_t len)
{
	char one[64];

	for (size_t at = 0; at < len; at += strcspn(words + at, ",:") + 1) {
		str_format(one, sizeof(one), "%.*s", (int)strcspn(words + at, ",:"), words + at);
		if (cgroup__word_in(list, ",", one))
			return true;
	}
	return false;
}

int cgroup_open_sub(struct cgroup *ret_cg, const struct cgroup *cg, const char *sub, struct err *e)
{
	const char *colon = strchr(sub, ':'), *below = colon ? colon + 1 : sub;
	auto_fini(cgroup) struct cgroup to = *cg;
	char path[CGROUP_PATH_MAX] = "";
	bool any = !colon;

	to.keeper = 0;
	for (size_t i = 0; i < to.n; i++)
		to.h[i].dirfd = -1;
	if (below[strspn(below, "/")] && cgroup__check_path(path, sizeof(path), below, NULL) < 0)
		return err_set(e, EINVAL, "cgroup '%s': is not a path below the container's own", sub);
	for (size_t i = 0; i < to.n; i++) {
		struct cgroup_hierarchy *h = &to.h[i];
		size_t len = strlen(h->path);
		bool here = !colon || any_word_in(h->controllers, sub, (size_t)(colon - sub));

		any = any || here;
		if (here &&
		    str_format(h->path + len, sizeof(h->path) - len, "%s", path) >= sizeof(h->path) - len)
			return err_set(e, ENAMETOOLONG, "cgroup '%s': longer than %d bytes", sub,
				       CGROUP_PATH_MAX);
		if (cg->h[i].dirfd < 0)
			continue;
		h->dirfd = cgroup__open_dir(h);
		if (h->dirfd < 0)
			return err_sys(e, -h->dirfd, "cgroup '%s%s'", h->mount, h->path);
	}
	if (!any)
		return err_set(e, EINVAL, "cgroup '%s': the container is in no hierarchy of that controller",
			       sub);
	*ret_cg = to;
	to = (struct cgroup){ 0 };
	return 0;
}

/* --- joining -------------------------------------------------------------------------------------------- */

int cgroup_join_open(const struct cgroup *cg, bool into_v2, int *ret_fds, size_t *ret_n, struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_hierarchy *h = &cg->h[i];
		int fd;

		if (h->dirfd < 0 || (h->v2 && into_v2))
			continue;
		fd = file_open(h->dirfd, h->v2 ? "cgroup.procs" : "tasks", O_WRONLY, 0);
		if (fd < 0) {
			while (n > 0)
				close(ret_fds[--n]);
			return err_sys(e, -fd, "cgroup '%s%s': %s", h->mount, h->path,
				       h->v2 ? "cgroup.procs" : "tasks");
		}
		ret_fds[n++] = fd;
	}
	*ret_n = n;
	return 0;
}

int cgroup_join(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = file_write(fds[i], "0", 1);

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- removing ------------------------------------------------------------------------------------------- */

int cgroup_delete(struct cgroup *cg, struct err *e)
{
	nsec_t end = time_now_ns(CLOCK_MONOTONIC) + DELETE_WAIT_MS * NSEC_PER_MSEC;
	int wait_ms = 1;

	cgroup__keeper_end(cg);
	for (;;) {
		const struct cgroup_hierarchy *left = NULL;
		int rc = 0;

		for (size_t i = 0; i < cg->n; i++) {
			int r;

			fd_close(&cg->h[i].dirfd);
			r = cgroup__remove(&cg->h[i]);
			if (r < 0 && !left) {
				left = &cg->h[i];
				rc = r;
			}
		}
		if (!left)
			break;
		if (rc != -EBUSY || time_now_ns(CLOCK_MONOTONIC) >= end)
			return err_sys(e, -rc, "cgroup '%s%s': cannot be removed", left->mount, left->path);
		poll(NULL, 0, wait_ms);
		wait_ms = wait_ms < 100 ? wait_ms * 2 : wait_ms;
	}
	if (cg->manager == CGROUP_SYSTEMD)
		cgroup__systemd_stop(cg);
	return 0;
}
