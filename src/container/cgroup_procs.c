/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_procs.c - the processes of a group and of the groups below it: list, freeze, kill, remove
 *
 * The container's root may own what is below its group and may nest groups at will: walks are bounded by
 * CGROUP_DEPTH_MAX, and removing needs two descriptors however deep it goes.
 */
#include "container/cgroup_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/eventfd.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "sys/call.h"
#include "sys/file.h"

enum {
	PROCS_MAX_BYTES = 64 << 20, /* cgroup.procs of four million processes */
	FREEZE_WAIT_MS = 2000,
	KILL_ROUNDS = 60,       /* without a freezer a fork may outrun us; each round kills what it finds */
	REMOVE_STEPS = 1 << 16, /* groups removed in one go */
};

struct linux_dirent { /* struct linux_dirent64 of the kernel */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Called for each child group with its name. Return: not 0 ends the listing. */
typedef int (*child_fn)(int dirfd, const char *name, void *arg);

static int each_child(int dirfd, child_fn fn, void *arg)
{
	_Alignas(struct linux_dirent) char block[4096];
	auto_close int fd = file_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0); /* its own offset */
	long n;

	if (fd < 0)
		return fd;
	while ((n = SYS3(SYS_getdents64, fd, block, sizeof(block))) > 0) {
		for (long at = 0; at < n;) {
			const struct linux_dirent *d = (const struct linux_dirent *)(block + at);
			int r;

			at += d->reclen;
			if (d->type != DT_DIR || str_eq(d->name, ".") || str_eq(d->name, ".."))
				continue;
			r = fn(fd, d->name, arg);
			if (r != 0)
				return r;
		}
	}
	return (int)n;
}

/* --- list ----------------------------------------------------------------------------------------------- */

struct pid_list {
	struct buf text; /* all cgroup.procs one behind the other */
	int depth;
};

static int collect(int dirfd, struct pid_list *l);

static int collect_child(int dirfd, const char *name, void *arg)
{
	auto_close int fd = file_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0);

	if (fd == -ENOENT)
		return 0;
	return fd < 0 ? fd : collect(fd, arg);
}

static int collect(int dirfd, struct pid_list *l)
{
	int r = file_slurp_at(dirfd, "cgroup.procs", &l->text, PROCS_MAX_BYTES);

	if (r == -EOPNOTSUPP) /* a threaded group: its domain above has named the processes */
		r = 0;
	if (r == -ENODEV || r == -ENOENT) /* removed meanwhile */
		return 0;
	if (r < 0)
		return r;
	if (++l->depth > CGROUP_DEPTH_MAX)
		return -ELOOP;
	r = each_child(dirfd, collect_child, l);
	l->depth--;
	return r;
}

/* procs_hierarchy() - the one to ask who is in; v1's freezer first, as freezing and listing then agree. */
static const struct cgroup_hierarchy *procs_hierarchy(const struct cgroup *cg)
{
	static const char *const order[] = { "freezer", "devices", "pids", "memory" };
	const struct cgroup_hierarchy *h = NULL;

	if (cg->layout == CGROUP_V2)
		return cgroup__v2(cg);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && !h; i++)
		h = cgroup__v1(cg, order[i]);
	for (size_t i = 0; i < cg->n && !h; i++)
		if (cg->h[i].dirfd >= 0)
			h = &cg->h[i];
	return h;
}

int cgroup_pids(const struct cgroup *cg, pid_t **ret_pids, size_t *ret_n, struct err *e)
{
	const struct cgroup_hierarchy *h = procs_hierarchy(cg);
	struct pid_list l = { 0 };
	size_t lines = 0, n = 0;
	pid_t *pids;
	int r = h ? collect(h->dirfd, &l) : 0;

	if (r == 0)
		r = buf_finish(&l.text);
	if (r < 0) {
		buf_fini(&l.text);
		return err_sys(e, -r, "cgroup '%s%s': cgroup.procs", h->mount, h->path);
	}
	for (size_t i = 0; i < l.text.len; i++)
		lines += l.text.data[i] == '\n';
	pids = calloc(lines + 1, sizeof(*pids));
	for (const char *s = buf_str(&l.text); pids && *s; s = strchrnul(s, '\n'), s += *s == '\n') {
		pid_t pid = (pid_t)strtol(s, NULL, 10);

		if (pid > 0 && n < lines) /* 0: a process of a pid namespace we cannot see into */
			pids[n++] = pid;
	}
	buf_fini(&l.text);
	if (!pids)
		return err_sys(e, ENOMEM, "cgroup.procs");
	*ret_pids = pids;
	*ret_n = n;
	return 0;
}

int cgroup__populated(int dirfd)
{
	char text[32];
	int r = cgroup__read(dirfd, "cgroup.procs", text, sizeof(text));

	return r > 0 ? 1 : r == -EOPNOTSUPP ? 0 : r;
}

/* --- freeze --------------------------------------------------------------------------------------------- */

static bool v1_frozen(int dirfd)
{
	char state[32];

	return cgroup__read(dirfd, "freezer.state", state, sizeof(state)) > 0 && str_starts(state, "FROZEN");
}

static bool v2_frozen(int dirfd)
{
	char text[256];
	uint64_t n;

	return cgroup__read(dirfd, "cgroup.events", text, sizeof(text)) > 0 &&
	       cgroup__key_u64(text, "frozen", &n) == 0 && n == 1;
}

/* A v1 group stays FREEZING while a task forks or sleeps where it cannot be stopped; asking again takes in
 * what came new. */
static int v1_freeze(int dirfd, bool freeze)
{
	nsec_t end = time_now_ns(CLOCK_MONOTONIC) + FREEZE_WAIT_MS * NSEC_PER_MSEC;
	struct timespec wait = { .tv_nsec = 10000 };
	int r;

	do {
		r = file_put(dirfd, "freezer.state", freeze ? "FROZEN" : "THAWED");
		if (r < 0 || !freeze || v1_frozen(dirfd))
			return r;
		nanosleep(&wait, NULL);
		if (wait.tv_nsec < 10 * NSEC_PER_MSEC)
			wait.tv_nsec *= 2;
	} while (time_now_ns(CLOCK_MONOTONIC) < end);
	file_put(dirfd, "freezer.state", "THAWED"); /* not half frozen */
	return -ETIMEDOUT;
}

static int v2_freeze(int dirfd, bool freeze)
{
	nsec_t end = time_now_ns(CLOCK_MONOTONIC) + FREEZE_WAIT_MS * NSEC_PER_MSEC;
	auto_close int events = file_open(dirfd, "cgroup.events", O_RDONLY, 0);
	int r = file_put(dirfd, "cgroup.freeze", freeze ? "1" : "0");

	if (r < 0 || events < 0)
		return r < 0 ? r : events;
	while (v2_frozen(dirfd) != freeze) {
		struct pollfd p = { .fd = events, .events = POLLPRI };
		char text[256];

		if (time_now_ns(CLOCK_MONOTONIC) >= end) {
			if (freeze)
				file_put(dirfd, "cgroup.freeze", "0");
			return -ETIMEDOUT;
		}
		poll(&p, 1, 20); /* the kernel signals each change; reading takes the signal back */
		if (SYS4(SYS_pread64, events, text, sizeof(text), 0) < 0)
			return -ENODEV;
	}
	return 0;
}

int cgroup_freeze(struct cgroup *cg, bool freeze, struct err *e)
{
	const struct cgroup_hierarchy *h = cgroup__v1(cg, "freezer");
	int r;

	if (!h)
		h = cgroup__v2(cg);
	if (!h)
		return err_set(e, ENOTSUP, "cgroup '%s': no freezer (neither v1's nor cgroup.freeze)",
			       cg->path);
	r = h->v2 ? v2_freeze(h->dirfd, freeze) : v1_freeze(h->dirfd, freeze);
	return r < 0 ? err_sys(e, -r, "cgroup '%s%s': %s", h->mount, h->path, freeze ? "freeze" : "thaw") : 0;
}

bool cgroup_frozen(const struct cgroup *cg)
{
	const struct cgroup_hierarchy *v1 = cgroup__v1(cg, "freezer"), *v2 = cgroup__v2(cg);

	return v1 ? v1_frozen(v1->dirfd) : v2 && v2_frozen(v2->dirfd);
}

/* --- kill ----------------------------------------------------------------------------------------------- */

/* signal_all() - Return: how many were there, or -errno. */
static int signal_all(const struct cgroup *cg, int sig, struct err *e)
{
	auto_free pid_t *pids = NULL;
	size_t n = 0;
	int r = cgroup_pids(cg, &pids, &n, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		r = (int)SYS2(SYS_kill, pids[i], sig);
		if (r < 0 && r != -ESRCH)
			return err_sys(e, -r, "cgroup '%s': signal %d to process %d", cg->path, sig,
				       (int)pids[i]);
	}
	return (int)n;
}

/* kill_unfrozen() - no freezer: again and again until nobody is left. */
static int kill_unfrozen(struct cgroup *cg, int sig, struct err *e)
{
	struct timespec wait = { .tv_nsec = 50000 };
	int r = signal_all(cg, sig, e);

	for (int i = 0; sig == SIGKILL && r > 0 && i < KILL_ROUNDS; i++) {
		nanosleep(&wait, NULL);
		if (wait.tv_nsec < 10 * NSEC_PER_MSEC)
			wait.tv_nsec *= 2;
		r = signal_all(cg, sig, e);
	}
	return r < 0 ? r : 0;
}

int cgroup_kill(struct cgroup *cg, int sig, struct err *e)
{
	const struct cgroup_hierarchy *v2 = cgroup__v2(cg);
	bool was_frozen;
	int r;

	if (v2 && sig == SIGKILL && file_put(v2->dirfd, "cgroup.kill", "1") == 0) {
		if (cg->layout == CGROUP_V2)
			return 0;
		if (cgroup_frozen(cg)) /* by v1, which lets nobody die before it is thawed */
			cgroup_freeze(cg, false, NULL);
		return kill_unfrozen(cg, sig, e); /* who was in a v1 group only */
	}
	/* Frozen, nobody forks away from the list, and no number on it can come to mean another process. */
	was_frozen = cgroup_frozen(cg);
	if (!was_frozen && cgroup_freeze(cg, true, NULL) < 0)
		return kill_unfrozen(cg, sig, e);
	r = signal_all(cg, sig, e);
	/* v1 delivers even SIGKILL only to the thawed; any other signal leaves a paused container paused. */
	if (!was_frozen || sig == SIGKILL)
		cgroup_freeze(cg, false, NULL);
	return r < 0 ? r : 0;
}

/* --- remove --------------------------------------------------------------------------------------------- */

struct removal {
	int steps;
	int child; /* a group that has groups itself, to go into; -1: none */
};

static int remove_child(int dirfd, const char *name, void *arg)
{
	struct removal *m = arg;
	int r = file_unlink(dirfd, name, AT_REMOVEDIR);

	if (r == 0 || r == -ENOENT)
		return ++m->steps > REMOVE_STEPS ? -E2BIG : 0;
	if (r != -EBUSY && r != -ENOTEMPTY)
		return r;
	m->child = file_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	return m->child < 0 ? m->child : 1;
}

/*
 * remove_below() - every group below @top. Down into the first one that cannot be removed at once, up again
 * by ".." when nothing is left in it: two descriptors at any depth. A group without children that still
 * cannot go has processes.
 */
static int remove_below(int top)
{
	auto_close int at = file_open(top, ".", O_RDONLY | O_DIRECTORY, 0);
	struct removal m = { .child = -1 };
	int depth = 0;

	while (at >= 0) {
		int steps = m.steps;
		bool came_down = m.child >= 0;
		int r;

		m.child = -1;
		r = each_child(at, remove_child, &m);
		if (r < 0)
			return r;
		if (r > 0) {
			close(at);
			at = m.child;
			depth++;
			if (++m.steps > REMOVE_STEPS)
				return -E2BIG;
			continue;
		}
		if (came_down && m.steps == steps)
			return -EBUSY;
		if (depth-- == 0)
			return 0;
		r = file_open(at, "..", O_RDONLY | O_DIRECTORY, 0);
		close(at);
		at = r;
	}
	return at;
}

int cgroup__remove(const struct cgroup_hierarchy *h)
{
	char full[CGROUP__FULL_MAX];
	auto_close int fd = -1;
	int r = file_unlink(AT_FDCWD, cgroup__full_path(h, full), AT_REMOVEDIR);

	if (r == 0 || r == -ENOENT)
		return 0;
	if (r != -EBUSY && r != -ENOTEMPTY)
		return r;
	fd = cgroup__open_dir(h);
	if (fd == -ENOENT)
		return 0;
	r = fd < 0 ? fd : remove_below(fd);
	if (r < 0)
		return r;
	r = file_unlink(AT_FDCWD, full, AT_REMOVEDIR);
	return r == -ENOENT ? 0 : r;
}

/* remove_empty() - @h may be NULL. */
static bool remove_empty(const struct cgroup_hierarchy *h)
{
	char full[CGROUP__FULL_MAX];
	int r = h ? file_unlink(AT_FDCWD, cgroup__full_path(h, full), AT_REMOVEDIR) : 0;

	return r == 0 || r == -ENOENT;
}

bool cgroup_delete_empty(struct cgroup *cg)
{
	const struct cgroup_hierarchy *v2 = cgroup__v2(cg), *h = procs_hierarchy(cg);

	return remove_empty(h) && (v2 == h || remove_empty(v2));
}

/* --- out of memory -------------------------------------------------------------------------------------- */

static int v1_oom_fd(int dirfd)
{
	auto_close int control = file_open(dirfd, "memory.oom_control", O_RDONLY, 0);
	auto_close int event = (int)SYS2(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
	char text[32];
	int r;

	if (control < 0 || event < 0)
		return -1;
	str_format(text, sizeof(text), "%d %d", event, control);
	r = file_put(dirfd, "cgroup.event_control", text);
	return r < 0 ? -1 : TAKE_FD(event);
}

static int v2_oom_fd(int dirfd)
{
	auto_close int fd = (int)SYS1(SYS_inotify_init1, IN_CLOEXEC | IN_NONBLOCK);
	char path[FD_PATH_SIZE + 16], dir[FD_PATH_SIZE];

	str_format(path, sizeof(path), "%s/memory.events", fd_path(dirfd, dir));
	if (fd < 0 || SYS3(SYS_inotify_add_watch, fd, path, IN_MODIFY) < 0)
		return -1;
	return TAKE_FD(fd);
}

int cgroup_oom_fd(const struct cgroup *cg)
{
	const struct cgroup_hierarchy *v1 = cgroup__v1(cg, "memory"), *v2 = cgroup__v2(cg);

	return v1 ? v1_oom_fd(v1->dirfd) : v2 ? v2_oom_fd(v2->dirfd) : -1;
}

uint64_t cgroup_oom_kills(const struct cgroup *cg)
{
	const struct cgroup_hierarchy *h = cgroup__v1(cg, "memory");
	uint64_t n = 0;
	char text[512];

	if (!h)
		h = cgroup__v2(cg);
	if (h &&
	    cgroup__read(h->dirfd, h->v2 ? "memory.events" : "memory.oom_control", text, sizeof(text)) > 0)
		cgroup__key_u64(text, "oom_kill", &n);
	return n;
}
