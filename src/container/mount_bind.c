/* SPDX-License-Identifier: Apache-2.0 */
#include "container/mount_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/idmap.h"
#include "container/rootfs.h"
#include "fmt/oci.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/path.h"

static int clone_path(const struct oci_mount *m)
{
	unsigned flags = OPEN_TREE_CLONE;

	if (m->flags & OCI_MOUNT_RBIND)
		flags |= AT_RECURSIVE;
	if (m->flags & OCI_MOUNT_SRC_NOFOLLOW)
		flags |= AT_SYMLINK_NOFOLLOW;
	return mnt_open_tree(AT_FDCWD, m->source, flags);
}

/* foreign_pid() - whose mounts "/proc/PID/root/..." leads into, *ret_path as that one sees it; 0: ours. */
static pid_t foreign_pid(const struct oci_mount *m, const char **ret_path)
{
	const char *digits = m->source ? str_after(m->source, "/proc/") : NULL;
	size_t n = digits ? strspn(digits, "0123456789") : 0;

	if (!(m->flags & OCI_MOUNT_BIND) || n == 0 || n > 9 || !str_starts(digits + n, "/root/"))
		return 0;
	*ret_path = digits + n + strlen("/root");
	return (pid_t)strtol(digits, NULL, 10);
}

/*
 * clone_foreign() - a mount of another mount namespace can only be cloned in there: a child that has our
 * descriptors goes and does it. Links in @path are that namespace's, the last component must be none.
 */
static int clone_foreign(pid_t pid, const char *path)
{
	auto_close int pidfd = pidfd_open(pid);
	auto_close int child_fd = -1;
	int pipe_fd[2], tree = -EIO, r = pidfd < 0 ? pidfd : file_pipe(pipe_fd);
	siginfo_t info;
	pid_t child;

	if (r < 0)
		return r;
	child = ns_clone(CLONE_FILES, -1, &child_fd);
	if (child == 0) {
		r = ns_set(pidfd, CLONE_NEWNS);
		if (r >= 0)
			r = mnt_open_tree(AT_FDCWD, path,
					  OPEN_TREE_CLONE | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
		file_write(pipe_fd[1], &r, sizeof(r));
		_exit(0);
	}
	if (child > 0) {
		pidfd_wait(child_fd, &info, WEXITED);
		close(pipe_fd[1]); /* it is ours, too: only now does the pipe have an end */
		if (read(pipe_fd[0], &tree, sizeof(tree)) != sizeof(tree))
			tree = -EIO;
	} else {
		tree = child;
		close(pipe_fd[1]);
	}
	close(pipe_fd[0]);
	return tree;
}

/*
 * mount__clone_source() - init's own view of the source is preferred to the parent's clone: there the
 * host's read-only and nosuid are locked against the container's root, in a clone from outside its user
 * namespace they are not.
 */
int mount__clone_source(const struct mount_job *j, struct err *e)
{
	bool idmap = j->m->flags & OCI_MOUNT_IDMAP;
	const char *path;
	int tree = -EACCES;

	if (j->early >= 0) {
		tree = (int)SYS3(SYS_fcntl, j->early, F_DUPFD_CLOEXEC, 0);
		return tree < 0 ? err_sys(e, -tree, "source '%s'", j->m->source) : tree;
	}
	if (idmap && j->given < 0)
		return err_set(
			e, EINVAL,
			"id-mapped, and its source was not opened before the container's first process");
	if (!idmap)
		tree = clone_path(j->m);
	if ((tree == -EACCES || (tree == -EINVAL && foreign_pid(j->m, &path))) && j->given >= 0)
		tree = (int)SYS3(SYS_fcntl, j->given, F_DUPFD_CLOEXEC, 0);
	if (tree == -EINVAL && !(j->m->flags & OCI_MOUNT_RBIND) && (j->r->new_userns || j->r->rootless))
		return err_set(
			e, EINVAL,
			"source '%s': a user namespace may not leave out the mounts below it; use rbind",
			j->m->source);
	return tree < 0 ? err_sys(e, -tree, "source '%s'", j->m->source) : tree;
}

int ct_mount_open_early(struct ct_rootfs *r, struct err *e)
{
	const size_t n = r->spec->n_mounts;

	r->early_fds = n ? malloc(n * sizeof(*r->early_fds)) : NULL;
	if (n && !r->early_fds)
		return err_sys(e, ENOMEM, "mounts");
	for (size_t i = 0; i < n; i++)
		r->early_fds[i] = -1;
	for (size_t i = 0; i < n; i++) {
		const struct oci_mount *m = &r->spec->mounts[i];
		struct mount_job j = {
			.r = r, .m = m, .given = r->source_fds ? r->source_fds[i] : -1, .early = -1
		};

		if (!(m->flags & OCI_MOUNT_BIND) || (m->flags & (OCI_MOUNT_REMOUNT | OCI_MOUNT_COPY_SYMLINK)))
			continue;
		r->early_fds[i] = mount__clone_source(&j, e);
		if (r->early_fds[i] < 0)
			return err_wrap(e, r->early_fds[i], "mounts[%zu] '%s' (%s)", i, m->destination,
					m->type);
	}
	return 0;
}

/* link_text() - what the symlink says; -EINVAL when it is none. */
static int link_text(int dirfd, const char *path, char *dst, size_t size)
{
	long n = SYS4(SYS_readlinkat, dirfd, path, dst, size - 1);

	if (n < 0)
		return (int)n;
	dst[n] = '\0';
	return 0;
}

int mount__copy_symlink(const struct mount_job *j, struct err *e)
{
	auto_free char *name = NULL;
	auto_close int dir = -1;
	char want[PATH_MAX], found[PATH_MAX];
	int r = link_text(AT_FDCWD, j->m->source, want, sizeof(want));

	if (r == -EINVAL)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "source '%s'", j->m->source);
	dir = path_parent_in_root(j->rootfd, j->dest, true, &name);
	r = dir < 0 ? dir : (int)SYS3(SYS_symlinkat, want, dir, name);
	if (r == -EEXIST && link_text(dir, name, found, sizeof(found)) == 0 && str_eq(want, found))
		return 1;
	return r < 0 ? err_sys(e, -r, "copy symlink") : 1;
}

/* One user namespace descriptor, kept for the next mount of the same mapping. */
struct idmap_cache {
	const struct oci_idmaps *uids, *gids;
	int fd;
};

static void idmap_cache_fini(struct idmap_cache *c)
{
	fd_close(&c->fd);
}

static bool same_maps(const struct oci_idmaps *a, const struct oci_idmaps *b)
{
	return a && b && a->n == b->n && memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0;
}

/*
 * userns_for() - the user namespace that stands for @m's mapping: its own, or the container's. Borrowed
 * from @c.
 */
static int userns_for(const struct oci_spec *spec, const struct oci_mount *m, struct idmap_cache *c,
		      struct err *e)
{
	const struct oci_linux *l = &spec->linux;
	bool own = m->uid_mappings.n > 0;
	const struct oci_idmaps *uids = own ? &m->uid_mappings : &l->uid_mappings;
	const struct oci_idmaps *gids = own ? &m->gid_mappings : &l->gid_mappings;

	if (c->fd >= 0 && same_maps(uids, c->uids) && same_maps(gids, c->gids))
		return c->fd;
	if (uids->n == 0 && !l->ns[OCI_NS_USER].path)
		return err_set(e, EINVAL,
			       "idmap: neither the mount nor linux has uidMappings and gidMappings");
	fd_close(&c->fd);
	if (uids->n == 0) {
		c->fd = file_open(AT_FDCWD, l->ns[OCI_NS_USER].path, O_RDONLY, 0);
		if (c->fd < 0)
			return err_sys(e, -c->fd, "idmap: user namespace '%s'", l->ns[OCI_NS_USER].path);
	} else {
		c->fd = ct_idmap_userns(uids, gids, e);
	}
	c->uids = uids;
	c->gids = gids;
	return c->fd;
}

static int set_idmap(const struct oci_mount *m, int tree, int userns, struct err *e)
{
	int r = mnt_set_attr(tree, MOUNT_ATTR_IDMAP, 0, 0, userns, m->flags & OCI_MOUNT_RIDMAP);

	if (r == -EINVAL)
		return err_set(e, EINVAL, "idmap: the file system of '%s' does not support it in this kernel",
			       m->source);
	return r < 0 ? err_sys(e, -r, "idmap '%s'", m->source) : 0;
}

/* open_source() - one entry's clone for init into *ret_fd, which stays as it is when init can do without. */
static int open_source(const struct oci_spec *spec, const struct oci_mount *m, struct idmap_cache *c,
		       int *ret_fd, struct err *e)
{
	bool idmap = m->flags & OCI_MOUNT_IDMAP;
	const char *path = NULL;
	pid_t foreign = foreign_pid(m, &path);
	auto_close int tree = -1;
	int r = 0;

	if (!(m->flags & OCI_MOUNT_BIND) || (m->flags & OCI_MOUNT_REMOUNT))
		return 0;
	if (!idmap && !foreign && !spec->linux.ns[OCI_NS_USER].present)
		return 0;
	tree = foreign ? clone_foreign(foreign, path) : clone_path(m);
	if (tree < 0)
		return idmap ? err_sys(e, -tree, "source '%s'", m->source) : 0;
	if (idmap) {
		r = userns_for(spec, m, c, e);
		if (r >= 0)
			r = set_idmap(m, tree, r, e);
	}
	if (r >= 0)
		*ret_fd = TAKE_FD(tree);
	return r < 0 ? r : 0;
}

int ct_mount_open_sources(const struct oci_spec *spec, int *fds, struct err *e)
{
	auto_fini(idmap_cache) struct idmap_cache cache = { .fd = -1 };

	for (size_t i = 0; i < spec->n_mounts; i++)
		fds[i] = -1;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		int r = open_source(spec, &spec->mounts[i], &cache, &fds[i], e);

		if (r < 0) {
			for (size_t k = 0; k < i; k++)
				fd_close(&fds[k]);
			return err_wrap(e, r, "mounts[%zu] '%s'", i, spec->mounts[i].destination);
		}
	}
	return 0;
}
