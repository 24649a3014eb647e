/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - one container's control groups, whatever the host's layout
 *
 * Three layouts: v2 alone; v1 alone (a hierarchy for each controller); hybrid (v1 controllers beside a v2
 * mount that has none or a few of them). A container has one path; in each hierarchy that is in use it
 * becomes a directory.
 */
#ifndef CONTAINER_CGROUP_H
#define CONTAINER_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fmt/oci.h"

struct buf;
struct err;

enum cgroup_layout { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2, CGROUP_LAYOUT_COUNT };
enum cgroup_manager { CGROUP_FS, CGROUP_SYSTEMD, CGROUP_DISABLED };

enum {
	CGROUP_HIERARCHY_MAX = 16,
	CGROUP_PATH_MAX = 512,  /* a longer path is refused */
	CGROUP_DEPTH_MAX = 256, /* groups inside a container's group deeper than this are an error (-ELOOP) */
};

/* One hierarchy the container is in. */
struct cgroup_hierarchy {
	char controllers[64];       /* v1: "cpu,cpuacct" as mounted, or "name=systemd"; v2: "" */
	char mount[128];            /* where it is mounted: "/sys/fs/cgroup/cpu" */
	char path[CGROUP_PATH_MAX]; /* the container's directory below that: "/hull/ID" */
	bool v2;
	bool made;             /* this object created the directory */
	unsigned made_parents; /* and so many of the directories above it */
	int dirfd;             /* the container's directory in it, O_DIRECTORY; -1 until created or opened */
};

struct cgroup {
	enum cgroup_layout layout;
	enum cgroup_manager manager;
	char path[CGROUP_PATH_MAX]; /* "/hull/ID", from cgroupsPath, checked: no "..", bounded */
	struct cgroup_hierarchy h[CGROUP_HIERARCHY_MAX];
	size_t n;
	char ignored[256]; /* rootless: limits that were asked for and nobody enforces, "memory cpu" */
	char skipped[256]; /* named controllers this host's tree lacks, "memory cpu", for one warning */
	char unit[256];    /* CGROUP_SYSTEMD: "prefix-name.scope" */
	char slice[128];   /* CGROUP_SYSTEMD: "machine.slice" */
	pid_t keeper; /* CGROUP_SYSTEMD: a child that keeps the scope alive until cgroup_fini(); 0: none */
};

/* What `hull stats` shows of one container. */
struct cgroup_usage {
	uint64_t cpu_ns;
	uint64_t mem_bytes;       /* without the page cache the kernel can drop at once (inactive_file) */
	uint64_t mem_limit_bytes; /* UINT64_MAX: none */
	uint64_t pids;
	uint64_t io_read_bytes, io_write_bytes;
};

/**
 * cgroup_open() - find the layout and where the container's directories are or will be; changes nothing
 * @cgroups_path: linux.cgroupsPath: absolute below the mounts; relative below the caller's own cgroup, as
 * runc takes it; with CGROUP_SYSTEMD "slice:prefix:name"; NULL: "/<id>" below the caller's own (as runc's
 * default)
 * Return: 0, also when no hierarchy is mounted (CGROUP_NONE: then cgroup_create() refuses every limit by
 * name); -EINVAL for a path with "..", a control character, or none but the root; -errno. Delete
 * with cgroup_fini(), which takes {0}.
 */
int cgroup_open(struct cgroup *cg, const char *cgroups_path, const char *id, enum cgroup_manager manager,
		struct err *e);

/* cgroup_delegated() - may the caller make @cg's directory where controller @v1, or on a v2 tree @v2, is? */
bool cgroup_delegated(const struct cgroup *cg, const char *v1, const char *v2);

/**
 * cgroup_create() - make the directories and set every limit of @r, before anybody is in
 * @r: may be NULL: no limits. The device filter is made in any case: the rules of @r behind an implied "deny
 * all", and behind them the devices every container may use (/dev/null and so on), as runc does.
 * @rootless: a directory that cannot be made or a limit that cannot be written is skipped with its name in
 * cg->skipped
 * Return: 0; -errno naming the field of the specification and the file ("linux.resources.memory.limit:
 * memory.max: ..."), and then nothing it made remains and @cg is as after cgroup_fini(). An existing group
 * with processes in it is refused (-EBUSY) as runc does.
 */
int cgroup_create(struct cgroup *cg, const struct oci_resources *r, bool rootless, struct err *e);

/* cgroup_any() - is there a group of the container's own in any hierarchy? */
bool cgroup_any(const struct cgroup *cg);

/* cgroup_v2_fd() - the v2 directory to be born in by CLONE_INTO_CGROUP, or -1; borrowed. */
int cgroup_v2_fd(const struct cgroup *cg);

/**
 * cgroup_join_open() - in the parent: open each v1 "tasks" file (and v2 cgroup.procs when !into_v2), for
 * cgroup_join()
 * @ret_fds: CGROUP_HIERARCHY_MAX descriptors, O_CLOEXEC, caller closes
 * cgroup_join() - in the child, single-threaded: write "0" to each. Writing one's own thread to a v1 "tasks"
 * file skips the kernel's global thread-group lock that writing a pid to cgroup.procs takes, and so costs
 * microseconds, not milliseconds.
 */
int cgroup_join_open(const struct cgroup *cg, bool into_v2, int *ret_fds, size_t *ret_n, struct err *e);
int cgroup_join(const int *fds, size_t n);

/**
 * cgroup_open_sub() - for `exec --cgroup`: the groups @sub below the container's own, which must exist
 * @sub: "/path", or "cpu,memory:/path" for these v1 controllers alone; the others stay at the container's
 * group Return: 0; -EINVAL, -ENOENT. @ret_cg is for cgroup_join_open() and cgroup_v2_fd(); delete with
 * cgroup_fini().
 */
int cgroup_open_sub(struct cgroup *ret_cg, const struct cgroup *cg, const char *sub, struct err *e);

/* cgroup_update() - of a live container: what @r does not name stays as it is, the device filter too when @r
 * has no rule. */
int cgroup_update(struct cgroup *cg, const struct oci_resources *r, struct err *e);
int cgroup_freeze(struct cgroup *cg, bool freeze, struct err *e); /* waits until it holds, bounded */
bool cgroup_frozen(const struct cgroup *cg);
int cgroup_kill(struct cgroup *cg, int sig, struct err *e); /* every process, children groups too */
/* cgroup_pids() - children groups too; caller frees. */
int cgroup_pids(const struct cgroup *cg, pid_t **ret_pids, size_t *ret_n, struct err *e);
/* cgroup_stats() - runc's `events --stats` "data" object. */
int cgroup_stats(const struct cgroup *cg, struct buf *json, struct err *e);
int cgroup_usage(const struct cgroup *cg, struct cgroup_usage *ret_u); /* what a hierarchy lacks is 0 */
/* cgroup_oom_fd() - readable on an OOM kill (v1: eventfd, v2: inotify of memory.events, look at
 * cgroup_oom_kills()); caller closes; -1: none. */
int cgroup_oom_fd(const struct cgroup *cg);
uint64_t cgroup_oom_kills(const struct cgroup *cg);
/* cgroup_delete_empty() - the groups in which cgroup_kill() looks for processes are removed, as nobody is in them nor in groups
 * below. The rest is cgroup_delete()'s. False: somebody is, or may be. */
bool cgroup_delete_empty(struct cgroup *cg);
/* cgroup_delete() - directories gone, bottom up, retried for 3 s while the kernel reaps; 0 when there are
 * none. */
int cgroup_delete(struct cgroup *cg, struct err *e);

/* cgroup_mount() - what an OCI mount of type "cgroup" shows: all hierarchies of the host's layout at @dstfd
 * (the container's own view when it has a cgroup namespace, else bind mounts of its own directories), with
 * mount attributes @attr. In the container's mount namespace, before pivot_root. */
int cgroup_mount(const struct cgroup *cg, int dstfd, uint64_t attr, bool has_cgroup_ns, struct err *e);

/* cgroup_save() / cgroup_load() - what `delete`, `update` and the others need later, as text in the state
 * file. */
void cgroup_save(const struct cgroup *cg, struct buf *text);
int cgroup_load(struct cgroup *cg, const char *text, struct err *e);
void cgroup_fini(struct cgroup *cg);

#endif
