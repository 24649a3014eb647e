/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * An unprivileged user may own user namespaces, and is almighty in them. So a command of his first enters one,
 * as its root, and from there on everything goes its usual way: overlays, mounts, network namespaces, signals.
 * User 0 there is himself; users from 1 on are the ranges that /etc/subuid and /etc/subgid give him, mapped by
 * newuidmap(1) and newgidmap(1). Where these programs or the ranges are missing, 0 is the only user.
 *
 * Only who is in the same namespace can enter a container, or signal a process that is one of the further
 * users: all commands must meet in one namespace, not each in one like it. A namespace exists for as long as
 * somebody is in it, and every shim and workload is. Hence the file "<run>/userns" has its number; a command
 * looks among the user's processes for one that is in it, and joins. When there is none then nothing runs, and
 * the command makes a new namespace. The file is locked meanwhile, so that of two first commands one joins the
 * other. No process is kept for this, and nothing is left when the last instance ends.
 *
 * The kernel gives numbers of namespaces out again. What has the number now is joined only when the user owns
 * it and is its root, and then it serves as well as any.
 *
 * The mount namespace is each command's own: what hull mounts is detached (fs/overlay.h) and nobody else's
 * concern.
 */
#include "runtime/rootless.h"

#include <dirent.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "container/cgroup.h"
#include "container/userns.h"
#include "runtime/runtime.h"
#include "runtime/subid.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/ns.h"

enum { MAP_BYTES_MAX = 4096 };

#define USERNS_FILE "userns"

/* --- the map -------------------------------------------------------------------------------------------------- */

/* make_maps() - one's own id as 0, then the ranges; of users and groups either both have some or neither is to. */
static void make_maps(struct subid_map *uids, struct subid_map *gids)
{
	uid_t uid = geteuid();
	char name[256];

	subid_name("/etc/passwd", uid, name, sizeof(name));
	subid_map(uids, "/etc/subuid", name, uid, uid);
	subid_map(gids, "/etc/subgid", name, uid, getegid());
	if (uids->list.n == 1 || gids->list.n == 1)
		uids->list.n = gids->list.n = 1;
}

static int write_maps(pid_t pid, struct err *e)
{
	struct subid_map uids, gids;
	int r;

	make_maps(&uids, &gids);
	r = userns_map(pid, &uids.list, &gids.list, true, e);
	if (r == -ENOENT && uids.list.n > 1) { /* no newuidmap(1): nothing has been written yet */
		uids.list.n = gids.list.n = 1;
		r = userns_map(pid, &uids.list, &gids.list, true, e);
	}
	return r;
}

/* --- a new namespace ------------------------------------------------------------------------------------------ */

/*
 * mapper() - the child that stays outside, from where alone the maps can be written
 * @go: a byte comes when its parent is inside, nothing when that failed; @answer: takes a struct err
 */
static _Noreturn void mapper(pid_t pid, int go, int answer)
{
	struct err e = { 0 };
	char c;
	int r = file_read(go, &c, 1) == 1 ? write_maps(pid, &e) : -ECANCELED;

	if (r >= 0)
		e = (struct err){ 0 };
	_exit(file_write(answer, &e, sizeof(e)) < 0);
}

static int unshare_ns(struct err *e)
{
	int r = ns_unshare(CLONE_NEWUSER | CLONE_NEWNS);

	if (r < 0)
		return err_sys(
			e, -r,
			"a user namespace of your own (are they allowed here? see user.max_user_namespaces "
			"and kernel.unprivileged_userns_clone in sysctl(8))");
	return 0;
}

static int make_userns(struct err *e)
{
	int go[2] = { -1, -1 }, answer[2] = { -1, -1 };
	auto_close int pidfd = -1;
	struct err theirs = { .code = EIO, .text = "the process that maps ids died" };
	siginfo_t info;
	pid_t pid, own = getpid();
	int r = file_pipe(go);

	if (r >= 0)
		r = file_pipe(answer);
	pid = r < 0 ? r : ns_clone(0, -1, &pidfd);
	if (pid == 0) {
		close(go[1]);
		mapper(own, go[0], answer[1]);
	}
	fd_close(&go[0]);
	fd_close(&answer[1]);
	r = pid < 0 ? err_sys(e, -pid, "rootless") : unshare_ns(e);
	if (r >= 0 &&
	    (file_write(go[1], "", 1) < 0 ||
	     file_read(answer[0], &theirs, sizeof(theirs)) != (ssize_t)sizeof(theirs) || theirs.code))
		r = err_set(e, theirs.code, "%s", theirs.text);
	fd_close(&go[1]);
	fd_close(&answer[0]);
	if (pid > 0)
		pidfd_wait(pidfd, &info, WEXITED);
	return r;
}

/* --- the one that is there ------------------------------------------------------------------------------------ */

/* is_ours() - is @ns, which process @pid is in, @uid's own, and is @uid root in it? */
static bool is_ours(int ns, int proc, const char *pid, uid_t uid)
{
	auto_fini(buf) struct buf map = { 0 };
	unsigned inside, outside;
	uid_t owner;
	char path[32];

	str_format(path, sizeof(path), "%s/uid_map", pid);
	return SYS3(SYS_ioctl, ns, NS_GET_OWNER_UID, &owner) == 0 && owner == uid &&
	       file_slurp_at(proc, path, &map, MAP_BYTES_MAX) == 0 &&
	       sscanf(buf_str(&map), "%u %u", &inside, &outside) == 2 && inside == 0 && outside == uid;
}

/* live_userns() - user namespace number @ino, by any process that is in it. Return: descriptor; -ENOENT. */
static int live_userns(uint64_t ino)
{
	DIR *proc = opendir("/proc");
	struct dirent *de;
	char want[48], path[32], link[48];
	int found = -ENOENT;

	str_format(want, sizeof(want), "user:[%llu]", (unsigned long long)ino);
	while (proc && found < 0 && (de = readdir(proc))) {
		auto_close int fd = -1;
		struct stat st;
		long n;

		if (de->d_name[0] < '1' || de->d_name[0] > '9' ||
		    str_format(path, sizeof(path), "%s/ns/user", de->d_name) >= sizeof(path))
			continue;
		n = SYS4(SYS_readlinkat, dirfd(proc), path, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = '\0';
		if (!str_eq(link, want))
			continue;
		fd = file_open(dirfd(proc), path, O_RDONLY, 0);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == ino &&
		    is_ours(fd, dirfd(proc), de->d_name, geteuid()))
			found = TAKE_FD(fd);
	}
	if (proc)
		closedir(proc);
	return found;
}

static int join_userns(int ns, struct err *e)
{
	int r = ns_set(ns, CLONE_NEWUSER);

	if (r >= 0)
		r = ns_unshare(CLONE_NEWNS);
	return r < 0 ? err_sys(e, -r, "join the user namespace of your instances") : 0;
}

static uint64_t saved_ino(int file)
{
	auto_fini(buf) struct buf b = { 0 };
	uint64_t ino = 0;

	return file_slurp(file, &b, MAP_BYTES_MAX) == 0 && str_to_u64(buf_str(&b), &ino) == 0 ? ino : 0;
}

static int save_ino(int file, struct err *e)
{
	struct stat st;
	char text[24];
	size_t n;
	int r = stat("/proc/self/ns/user", &st) < 0 ? -errno : 0;

	n = str_format(text, sizeof(text), "%llu", (unsigned long long)st.st_ino);
	if (r >= 0 && (ftruncate(file, 0) < 0 || pwrite(file, text, n, 0) != (ssize_t)n))
		r = -errno;
	return r < 0 ? err_sys(e, -r, USERNS_FILE) : 0;
}

/* enter() - under the lock of "<run>/userns". */
static int enter(int file, struct err *e)
{
	uint64_t ino = saved_ino(file);
	auto_close int ns = ino ? live_userns(ino) : -ENOENT;
	int r = ns >= 0 ? join_userns(ns, e) : make_userns(e);

	return r >= 0 && ns < 0 ? save_ino(file, e) : r;
}

static int open_userns_file(const char *run, struct err *e)
{
	auto_close int file = -1;
	auto_free char *path = str_printf("%s/" USERNS_FILE, run);
	auto_free char *parent = strdup(run);
	int r = path && parent ? 0 : -ENOMEM;

	if (r >= 0 && strrchr(parent, '/') > parent) {
		*strrchr(parent, '/') = '\0';
		r = file_mkdirs(AT_FDCWD, parent, 0700);
	}
	if (r >= 0)
		r = file_mkdir_private(run);
	if (r == -EPERM)
		return err_set(
			e, EPERM,
			"run directory '%s': is not yours alone; --run-root or XDG_RUNTIME_DIR names another",
			run);
	if (r >= 0)
		r = file = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (r >= 0)
		r = file_lock(file, true, true);
	return r < 0 ? err_sys(e, -r, "run directory '%s'", run) : TAKE_FD(file);
}

int rootless_enter(const char **root, const char **run_root, struct err *e)
{
	auto_free char *own = NULL;
	auto_free char *run = NULL;
	auto_close int file = -1;
	int r;

	if (geteuid() == 0)
		return 0;
	r = runtime_roots(*root, *run_root, &own, &run, e);
	if (r < 0)
		return r;
	file = open_userns_file(run, e);
	r = file < 0 ? file : enter(file, e);
	if (r < 0)
		return err_wrap(e, r, "rootless");
	if (setenv("HULL_ROOT", own, 1) < 0 || setenv("HULL_RUN_ROOT", run, 1) < 0)
		return err_sys(e, ENOMEM, "rootless");
	*root = getenv("HULL_ROOT");
	*run_root = getenv("HULL_RUN_ROOT");
	return 0;
}

/* --- limits --------------------------------------------------------------------------------------------------- */

void rootless_warn(const struct instance_config *c, struct strv *warnings)
{
	const struct {
		const char *flag, *v1, *v2;
		bool asked;
	} limit[] = {
		{ "--memory", "memory", "memory", c->memory > 0 },
		{ "--memory-swap", "memory", "memory", c->memory_swap != 0 },
		{ "--memory-reservation", "memory", "memory", c->memory_reservation > 0 },
		{ "--cpus", "cpu", "cpu", c->nano_cpus > 0 },
		{ "--cpu-shares", "cpu", "cpu", c->cpu_shares > 0 },
		{ "--cpu-quota", "cpu", "cpu", c->cpu_quota > 0 },
		{ "--cpuset-cpus", "cpuset", "cpuset", c->cpuset_cpus != NULL },
		{ "--cpuset-mems", "cpuset", "cpuset", c->cpuset_mems != NULL },
		{ "--pids-limit", "pids", "pids", c->pids_limit > 0 },
		{ "--blkio-weight", "blkio", "io", c->blkio_weight > 0 },
		{ "--device-read-bps", "blkio", "io", c->device_read_bps.len > 0 },
		{ "--device-write-bps", "blkio", "io", c->device_write_bps.len > 0 },
		{ "--device-read-iops", "blkio", "io", c->device_read_iops.len > 0 },
		{ "--device-write-iops", "blkio", "io", c->device_write_iops.len > 0 },
	};
	auto_fini(cgroup) struct cgroup cg = { 0 };
	const char *path = c->cgroup_parent ? c->cgroup_parent : "hull/probe";

	if (!cred_in_userns() || cgroup_open(&cg, path, "probe", CGROUP_FS, NULL) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(limit); i++)
		if (limit[i].asked && !cgroup_delegated(&cg, limit[i].v1, limit[i].v2))
			strv_addf(warnings,
				  "%s needs a cgroup delegated to you with controller '%s', and there is "
				  "none: the limit "
				  "is ignored",
				  limit[i].flag, cg.layout == CGROUP_V2 ? limit[i].v2 : limit[i].v1);
}
