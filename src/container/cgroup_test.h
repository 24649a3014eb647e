/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_test.h - what cgroup_test.c and cgroup_measure_test.c share: layouts in private mount namespaces,
 * and workloads */
#ifndef CONTAINER_CGROUP_TEST_H
#define CONTAINER_CGROUP_TEST_H

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "container/cgroup_internal.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"

enum { TEST_OK = 0, TEST_FAILED = 1, TEST_SKIP = 77 };

/* In a forked child an assertion of cmocka would jump back into the parent's copy of the run: these return
 * instead. */
#define CHECK(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                           \
			return TEST_FAILED;                                                                  \
		}                                                                                            \
	} while (0)

#define CHECK_OK(call, err)                                                                                  \
	do {                                                                                                 \
		int r_ = (call);                                                                             \
		if (r_ < 0) {                                                                                \
			fprintf(stderr, "%s:%d: %s: %d: %s\n", __FILE__, __LINE__, #call, r_, (err)->text);  \
			return TEST_FAILED;                                                                  \
		}                                                                                            \
	} while (0)

#define SKIP_UNLESS(cond, why)                                                                               \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "skipped: %s\n", why);                                               \
			return TEST_SKIP;                                                                    \
		}                                                                                            \
	} while (0)

/* A test body; @layout is what the child's /sys/fs/cgroup shows. */
typedef int (*layout_fn)(enum cgroup_layout layout);

static const char *test_path(const char *name)
{
	static char path[128];

	str_format(path, sizeof(path), "/hull-test-cgroup-%d/%s", (int)getpid(), name);
	return path;
}

/* enter_layout() - make this process see @layout. Return: false when this host cannot show it. */
static bool enter_layout(enum cgroup_layout layout)
{
	struct cgroup cg;
	bool same;

	if (unshare(CLONE_NEWNS) < 0 || mnt_propagation("/", MS_REC | MS_PRIVATE) < 0)
		return false;
	if (layout == CGROUP_V1)
		mnt_detach_at("/sys/fs/cgroup/unified");
	if (layout == CGROUP_V2 && SYS5(SYS_mount, "cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) < 0)
		return false;
	if (cgroup_open(&cg, "/hull-test", "id", CGROUP_FS, NULL) < 0)
		return false;
	same = cg.layout == layout;
	cgroup_fini(&cg);
	return same;
}

/* remove_parent() - the directory test_path() puts everything in, and whoever a failed test left there. */
static void remove_parent(void)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };

	if (cgroup_open(&cg, test_path("x"), "id", CGROUP_FS, NULL) < 0)
		return;
	for (size_t i = 0; i < cg.n; i++) {
		*strrchr(cg.h[i].path, '/') = '\0';
		cg.h[i].dirfd = cgroup__open_dir(&cg.h[i]);
	}
	cgroup_kill(&cg, SIGKILL, NULL);
	cgroup_delete(&cg, NULL);
}

static const char *v2_root_file(enum cgroup_layout layout)
{
	return layout == CGROUP_V2 ? "/sys/fs/cgroup/cgroup.subtree_control" :
				     "/sys/fs/cgroup/unified/cgroup.subtree_control";
}

/* take_back() - controllers handed down from the v2 root meanwhile: @before is what its subtree_control held.
 */
static void take_back(enum cgroup_layout layout, const char *before)
{
	char now[256] = "", one[64], *rest;

	cgroup__read(AT_FDCWD, v2_root_file(layout), now, sizeof(now));
	for (char *s = strtok_r(now, " \n", &rest); s; s = strtok_r(NULL, " \n", &rest)) {
		if (cgroup__word_in(before, " \n", s))
			continue;
		str_format(one, sizeof(one), "-%s", s);
		file_put(AT_FDCWD, v2_root_file(layout), one);
	}
}

static int run_layout(layout_fn fn, enum cgroup_layout layout)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int r = TEST_SKIP;
		char before[256] = "";

		if (enter_layout(layout)) {
			cgroup__read(AT_FDCWD, v2_root_file(layout), before, sizeof(before));
			r = fn(layout);
			remove_parent();
			take_back(layout, before);
		} else {
			fprintf(stderr, "skipped: this host cannot show the layout\n");
		}
		fflush(NULL);
		_exit(r);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return TEST_FAILED;
	return WEXITSTATUS(status);
}

/* in_layouts() - run @fn under each layout; a failure in any fails the test. */
static void in_layouts(layout_fn fn, const enum cgroup_layout *layouts, size_t n)
{
	static const char *const name[] = {
		[CGROUP_V1] = "v1", [CGROUP_HYBRID] = "hybrid", [CGROUP_V2] = "v2"
	};
	size_t skipped = 0;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: wants root\n");
		skip();
	}
	for (size_t i = 0; i < n; i++) {
		int r = run_layout(fn, layouts[i]);

		fprintf(stderr, "    %s: %s\n", name[layouts[i]],
			r == TEST_OK   ? "ok" :
			r == TEST_SKIP ? "skipped" :
					 "FAILED");
		assert_int_not_equal(r, TEST_FAILED);
		skipped += r == TEST_SKIP;
	}
	if (skipped == n)
		skip();
}

#define IN_ALL_LAYOUTS(fn)                                                                                   \
	do {                                                                                                 \
		static const enum cgroup_layout all_[] = { CGROUP_HYBRID, CGROUP_V1, CGROUP_V2 };            \
		in_layouts((fn), all_, ARRAY_SIZE(all_));                                                    \
	} while (0)

/* spawn() - a child in @cg running @fn, which ends it; it dies with us. Return: its pid, or -1. */
static pid_t spawn(const struct cgroup *cg, void (*fn)(void *), void *arg)
{
	int fds[CGROUP_HIERARCHY_MAX], go[2];
	size_t n;
	pid_t pid;
	char c = 0;

	if (pipe(go) < 0 || cgroup_join_open(cg, false, fds, &n, NULL) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int r = cgroup_join(fds, n);

		if (write(go[1], r < 0 ? "n" : "y", 1) == 1 && r == 0)
			fn(arg);
		_exit(TEST_FAILED);
	}
	if (pid > 0 && (read(go[0], &c, 1) != 1 || c != 'y')) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	close(go[0]);
	close(go[1]);
	return pid;
}

#endif
