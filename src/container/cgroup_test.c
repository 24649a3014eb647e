/* SPDX-License-Identifier: Apache-2.0 */
#include "container/cgroup_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/call.h"

#define NUM(n)                                                                                               \
	{                                                                                                    \
		.set = true, .v = (n)                                                                        \
	}

/* --- text only ------------------------------------------------------------------------------------------ */

static void test_takes_a_path_and_refuses_what_leads_elsewhere(void **state)
{
	static const struct {
		const char *in, *want;
		int rc;
	} cases[] = {
		{ "/hull/a", "/hull/a", 0 },
		{ "hull/a", "/hull/a", 0 },
		{ "//hull///./a/", "/hull/a", 0 },
		{ "/..a/b..", "/..a/b..", 0 },
		{ "/hull/../a", NULL, -EINVAL },
		{ "..", NULL, -EINVAL },
		{ "/a\nb", NULL, -EINVAL },
		{ "/", NULL, -EINVAL },
		{ "", NULL, -EINVAL },
		{ "/./.", NULL, -EINVAL },
	};
	char path[CGROUP_PATH_MAX], longer[CGROUP_PATH_MAX + 8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = cgroup__check_path(path, sizeof(path), cases[i].in, NULL);

		if (r != cases[i].rc || (r == 0 && !str_eq(path, cases[i].want)))
			fail_msg("'%s': want %d '%s', got %d '%s'", cases[i].in, cases[i].rc, cases[i].want,
				 r, path);
	}
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	for (size_t i = 0; i < sizeof(longer) - 1; i += 100)
		longer[i] = '/';
	assert_int_equal(cgroup__check_path(path, sizeof(path), longer, NULL), -ENAMETOOLONG);
}

static void test_shares_become_weights_through_the_three_fixed_points(void **state)
{
	static const struct {
		uint64_t shares, weight;
	} cases[] = {
		{ 1, 1 },          { 2, 1 },    { 1024, 100 }, { 262144, 10000 },
		{ 999999, 10000 }, { 512, 59 }, { 2048, 174 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cgroup__shares_to_weight(cases[i].shares), cases[i].weight);
	for (uint64_t s = 2; s < 262144; s += 7)
		assert_true(cgroup__shares_to_weight(s) <= cgroup__shares_to_weight(s + 7));
}

static void test_the_saved_state_is_read_back_and_bad_ones_are_refused(void **state)
{
	static const char *const bad[] = {
		"cgroup\tv9\tfs\t/a\t\t\n",
		"cgroup\tv2\tfs\n",
		"h\tv2\t\t/sys/fs/cgroup\t/../etc\n",
		"h\tv2\t\tsys\t/a\n",
		"x\n",
		"h\tv2\t\t/sys/fs/cgroup\t/\n",
	};
	struct cgroup cg = { .layout = CGROUP_HYBRID, .manager = CGROUP_FS, .path = "/a b/c", .n = 2 }, back;
	auto_fini(buf) struct buf text = { 0 }, again = { 0 };
	struct err e = { 0 };

	(void)state;
	cg.h[0] = (struct cgroup_hierarchy){
		.controllers = "cpu,cpuacct", .mount = "/nowhere/cpu", .path = "/a b/c", .dirfd = -1
	};
	cg.h[1] = (struct cgroup_hierarchy){
		.v2 = true, .mount = "/nowhere", .path = "/own/a b/c", .dirfd = -1
	};
	cgroup_save(&cg, &text);
	assert_int_equal(cgroup_load(&back, buf_str(&text), &e), 0);
	cgroup_save(&back, &again);
	assert_string_equal(buf_str(&text), buf_str(&again));
	assert_int_equal(back.h[0].dirfd, -1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cgroup_load(&back, bad[i], &e), -EINVAL);
	cgroup_fini(&cg);
}

static void test_an_empty_group_object_can_be_released(void **state)
{
	struct cgroup cg = { 0 };

	(void)state;
	cgroup_fini(&cg);
	assert_int_equal(cgroup_open(&cg, "/a", "id", CGROUP_DISABLED, NULL), 0);
	assert_int_equal(cgroup_create(&cg, NULL, false, NULL), 0);
	assert_int_equal(cgroup_delete(&cg, NULL), 0);
	cgroup_fini(&cg);
}

static struct oci_hugepage huge[] = { { "2MB", 4194304 } };

/* --- the real thing, under each layout ------------------------------------------------------------------ */

static void sleeper(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

/* exists() - is a directory of @cg still there anywhere? */
static bool exists(const struct cgroup *cg)
{
	char full[CGROUP__FULL_MAX];

	for (size_t i = 0; i < cg->n; i++)
		if (access(cgroup__full_path(&cg->h[i], full), F_OK) == 0)
			return true;
	return false;
}

/* left() - the same by name, for one whose making failed. */
static bool left(const char *name)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };

	return cgroup_open(&cg, test_path(name), "id", CGROUP_FS, NULL) == 0 && exists(&cg);
}

static int life(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 }, second = { 0 }, loaded = { 0 };
	auto_fini(buf) struct buf text = { 0 }, json = { 0 };
	auto_free pid_t *pids = NULL;
	struct err e = { 0 };
	size_t n;
	pid_t pid;

	CHECK_OK(cgroup_open(&cg, test_path("life"), "id", CGROUP_FS, &e), &e);
	CHECK(cg.layout == layout && !exists(&cg));
	CHECK_OK(cgroup_create(&cg, NULL, false, &e), &e);
	CHECK((cgroup_v2_fd(&cg) >= 0) == (layout != CGROUP_V1));
	CHECK((cgroup__v1(&cg, "memory") != NULL) == (layout != CGROUP_V2));
	pid = spawn(&cg, sleeper, NULL);
	CHECK(pid > 0);
	CHECK_OK(cgroup_pids(&cg, &pids, &n, &e), &e);
	CHECK(n == 1 && pids[0] == pid);

	CHECK_OK(cgroup_open(&second, test_path("life"), "id", CGROUP_FS, &e), &e);
	CHECK(cgroup_create(&second, NULL, false, &e) == -EBUSY);
	CHECK_OK(cgroup_kill(&second, SIGKILL, &e), &e); /* the other one's group is not its business */
	CHECK_OK(cgroup_delete(&second, &e), &e);
	CHECK(exists(&cg) && kill(pid, 0) == 0 && waitpid(pid, NULL, WNOHANG) == 0);

	cgroup_save(&cg, &text);
	CHECK_OK(cgroup_load(&loaded, buf_str(&text), &e), &e);
	CHECK_OK(cgroup_freeze(&loaded, true, &e), &e);
	CHECK(cgroup_frozen(&cg));
	CHECK_OK(cgroup_freeze(&loaded, false, &e), &e);
	CHECK(!cgroup_frozen(&cg));
	CHECK_OK(cgroup_stats(&loaded, &json, &e), &e);

	CHECK_OK(cgroup_freeze(&cg, true, &e), &e);
	CHECK_OK(cgroup_kill(&cg, SIGKILL, &e), &e); /* of a paused container */
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK_OK(cgroup_delete(&loaded, &e), &e);
	CHECK(!exists(&cg));
	CHECK_OK(cgroup_delete(&cg, &e), &e); /* nothing there is nothing to do */
	return TEST_OK;
}

static void test_a_group_is_made_joined_frozen_killed_and_removed(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(life);
}

/* make_nested() - @depth groups one in the other in every hierarchy, @width side by side at each level. */
static int make_nested(const struct cgroup *cg, int depth, int width)
{
	for (size_t i = 0; i < cg->n; i++) {
		char path[CGROUP__FULL_MAX + 512];
		size_t len;

		cgroup__full_path(&cg->h[i], path);
		for (int k = 0; k < depth; k++) {
			len = strlen(path);
			for (int w = width - 1; w >= 0; w--) {
				str_format(path + len, sizeof(path) - len, "/g%d", w);
				CHECK(mkdir(path, 0755) == 0);
			}
		}
	}
	return TEST_OK;
}

static int nested(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	struct err e = { 0 };

	(void)layout;
	CHECK_OK(cgroup_open(&cg, test_path("nested"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&cg, NULL, false, &e), &e);
	CHECK(make_nested(&cg, 20, 3) == TEST_OK);
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	CHECK(!exists(&cg));
	return TEST_OK;
}

static void test_groups_made_inside_are_removed_at_any_depth(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(nested);
}

/* A process in a group inside is found, killed, and stands in the way of deleting until then. */
static int inner(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 }, in = { 0 };
	auto_free pid_t *pids = NULL;
	struct err e = { 0 };
	pid_t pid;
	size_t n;

	(void)layout;
	CHECK_OK(cgroup_open(&cg, test_path("inner"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&cg, NULL, false, &e), &e);
	CHECK_OK(cgroup_open(&in, test_path("inner/a/b"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&in, NULL, false, &e), &e);
	pid = spawn(&in, sleeper, NULL);
	CHECK(pid > 0);
	CHECK_OK(cgroup_pids(&cg, &pids, &n, &e), &e);
	CHECK(n == 1 && pids[0] == pid);
	CHECK(cgroup__remove(&cg.h[0]) == -EBUSY);
	CHECK(!cgroup_delete_empty(&cg) && exists(&cg));
	CHECK_OK(cgroup_kill(&cg, SIGTERM, &e), &e);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(!cgroup_delete_empty(&cg) && exists(&cg)); /* the groups inside may yet be joined */
	CHECK(cgroup_delete_empty(&in));
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	CHECK(!exists(&cg) && !exists(&in));
	CHECK(cgroup_delete_empty(&cg));
	return TEST_OK;
}

static void test_processes_in_inner_groups_count(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(inner);
}

static int sub_group(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 }, in = { 0 }, sub = { 0 };
	struct err e = { 0 };

	CHECK_OK(cgroup_open(&cg, test_path("sub"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&cg, NULL, false, &e), &e);
	CHECK_OK(cgroup_open(&in, test_path("sub/a"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&in, NULL, false, &e), &e);
	CHECK_OK(cgroup_open_sub(&sub, &cg, "/a", &e), &e);
	for (size_t i = 0; i < sub.n; i++)
		CHECK(str_ends(sub.h[i].path, "/sub/a") && sub.h[i].dirfd >= 0);
	cgroup_fini(&sub);
	CHECK(cgroup_open_sub(&sub, &cg, "/none", &e) == -ENOENT);
	CHECK(cgroup_open_sub(&sub, &cg, "/../../x", &e) == -EINVAL);
	CHECK(cgroup_open_sub(&sub, &cg, "nothing:/a", &e) == -EINVAL);
	if (layout != CGROUP_V2) {
		CHECK_OK(cgroup_open_sub(&sub, &cg, "cpu,pids:/a", &e), &e);
		CHECK(str_ends(cgroup__v1(&sub, "pids")->path, "/sub/a"));
		CHECK(str_ends(cgroup__v1(&sub, "memory")->path, "/sub"));
	}
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	return TEST_OK;
}

static void test_exec_finds_a_group_below_the_containers(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(sub_group);
}

/* Who may make no group runs without one, and is told which. */
static int unprivileged(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	struct oci_resources r = { .pids_limit = NUM(10) };
	struct err e = { 0 };
	int fds[CGROUP_HIERARCHY_MAX], status;
	pid_t pid = fork();
	size_t n;

	(void)layout;
	if (pid != 0) {
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		return WEXITSTATUS(status);
	}
	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		_exit(TEST_FAILED);
	if (cgroup_open(&cg, test_path("user"), "id", CGROUP_FS, &e) < 0 ||
	    cgroup_create(&cg, &r, false, NULL) != -EACCES ||
	    cgroup_open(&cg, test_path("user"), "id", CGROUP_FS, &e) < 0 ||
	    cgroup_create(&cg, &r, true, &e) < 0 || e.text[0] ||
	    cgroup_join_open(&cg, false, fds, &n, &e) < 0 || n != 0 || cgroup_delete(&cg, &e) < 0)
		_exit(TEST_FAILED);
	_exit(cgroup__word_in(cg.ignored, " ", "pids") && cgroup__word_in(cg.skipped, " ", "devices") ?
		      TEST_OK :
		      TEST_FAILED);
}

static void test_an_unprivileged_user_is_told_what_is_ignored(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(unprivileged);
}

static int failed_create(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	struct oci_device_rule bad = { .allow = true, .type = 'c', .major = NUM(99999), .read = true };
	struct oci_resources r = { .devices = &bad, .n_devices = 1 };
	struct err e = { 0 };

	(void)layout;
	CHECK_OK(cgroup_open(&cg, test_path("deep/er/failed"), "id", CGROUP_FS, &e), &e);
	CHECK(cgroup_create(&cg, &r, false, &e) == -ERANGE);
	CHECK(strstr(e.text, "linux.resources.devices[0]"));
	CHECK(cg.n == 0);
	CHECK(!left("deep/er/failed") && !left("deep/er") && !left("deep"));
	return TEST_OK;
}

static void test_a_failed_create_leaves_nothing(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(failed_create);
}

/* v2 of this host may lack a controller: asked for, it is refused by name; not asked for, it is in the list.
 */
static int missing(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	struct oci_resources r = { .memory.limit = NUM(1 << 24) };
	struct err e = { 0 };

	(void)layout;
	CHECK_OK(cgroup_open(&cg, test_path("missing"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&cg, NULL, false, &e), &e);
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	SKIP_UNLESS(cgroup__word_in(cg.skipped, " ", "memory"),
		    "the v2 tree of this host has the memory controller");
	CHECK(cgroup_create(&cg, &r, false, &e) == -ENOTSUP);
	CHECK(strstr(e.text, "linux.resources.memory.limit: no cgroup controller 'memory'"));
	CHECK(!left("missing"));
	CHECK_OK(cgroup_open(&cg, test_path("missing"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&cg, &r, true, &e), &e); /* rootless: skipped */
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	return TEST_OK;
}

static void test_a_controller_v2_lacks_is_refused_only_when_asked_for(void **state)
{
	static const enum cgroup_layout v2[] = { CGROUP_V2 };

	(void)state;
	in_layouts(missing, v2, 1);
}

static int relative(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup outer = { 0 }, cg = { 0 };
	struct err e = { 0 };
	int fds[CGROUP_HIERARCHY_MAX];
	size_t n;

	SKIP_UNLESS(layout != CGROUP_V2,
		    "below the parent of one's own group: nothing to tell from the root here");
	CHECK_OK(cgroup_open(&outer, test_path("outer"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&outer, NULL, false, &e), &e);
	CHECK_OK(cgroup_join_open(&outer, false, fds, &n, &e), &e);
	if (fork() == 0) {
		bool good = cgroup_join(fds, n) == 0 && cgroup_open(&cg, NULL, "box", CGROUP_FS, &e) == 0;

		for (size_t i = 0; i < cg.n; i++)
			good = good && str_ends(cg.h[i].path, "/outer/box");
		_exit(good ? TEST_OK : TEST_FAILED);
	}
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	{
		int status;

		CHECK(wait(&status) > 0);
		CHECK(status == 0);
	}
	CHECK_OK(cgroup_delete(&outer, &e), &e);
	return TEST_OK;
}

static void test_a_relative_path_is_below_the_callers_own_group(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(relative);
}

/* A limit whose controller only the v2 side of a hybrid host has. */
static int huge_pages(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	struct oci_resources r = { .hugepages = huge, .n_hugepages = 1 };
	struct err e = { 0 };
	uint64_t n = 0;
	int rc;

	CHECK_OK(cgroup_open(&cg, test_path("huge"), "id", CGROUP_FS, &e), &e);
	rc = cgroup_create(&cg, &r, false, &e);
	if (layout == CGROUP_V1 && rc == -ENOTSUP) {
		CHECK(strstr(e.text, "linux.resources.hugepageLimits"));
		return TEST_OK;
	}
	SKIP_UNLESS(rc != -ENOTSUP, e.text);
	CHECK_OK(rc, &e);
	if (!cgroup__v1(&cg, "hugetlb"))
		CHECK(cgroup__read_u64(cgroup_v2_fd(&cg), "hugetlb.2MB.max", &n) == 0 && n == huge[0].limit);
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	return TEST_OK;
}

static void test_a_hybrid_host_takes_from_v2_what_v1_lacks(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(huge_pages);
}

/* --- the mount a container sees ------------------------------------------------------------------------- */

/* looks_at() - in the group: mount at @dir, then only the container's own groups may be seen there, and not
 * written. */
static int looks_at(const struct cgroup *cg, const char *dir, bool ns)
{
	auto_close int dst = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *procs = cg->layout == CGROUP_V2 ? "cgroup.procs" : "memory/cgroup.procs";
	char path[256], text[64] = "", want[32];
	struct err e = { 0 };

	if (ns)
		CHECK(unshare(CLONE_NEWCGROUP) == 0);
	CHECK_OK(cgroup_mount(cg, dst,
			      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
			      ns, &e),
		 &e);
	str_format(path, sizeof(path), "%s/%s", dir, procs);
	CHECK(cgroup__read(AT_FDCWD, path, text, sizeof(text)) > 0);
	str_format(want, sizeof(want), "%d\n", (int)getpid());
	CHECK(str_eq(text, want));
	CHECK(file_put(AT_FDCWD, path, "0") == -EROFS);
	str_format(path, sizeof(path), "%s/new", dir);
	CHECK(mkdir(path, 0755) < 0 && errno == EROFS);
	return TEST_OK;
}

static int mounts(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	char dir[] = "/tmp/hull-cgroup-test-XXXXXX";
	struct err e = { 0 };
	int status = 0;

	(void)layout;
	CHECK_OK(cgroup_open(&cg, test_path("mounts"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&cg, NULL, false, &e), &e);
	CHECK(mkdtemp(dir) != NULL);
	for (int ns = 0; ns < 2 && status == 0; ns++) {
		int fds[CGROUP_HIERARCHY_MAX];
		size_t n;

		CHECK_OK(cgroup_join_open(&cg, false, fds, &n, &e), &e);
		if (fork() == 0) {
			bool in = unshare(CLONE_NEWNS) == 0 && cgroup_join(fds, n) == 0;

			_exit(in ? looks_at(&cg, dir, ns) : TEST_FAILED);
		}
		CHECK(wait(&status) > 0);
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
	}
	rmdir(dir);
	CHECK(status == 0);
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	return TEST_OK;
}

static void test_a_cgroup_mount_shows_the_containers_own_groups_only(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(mounts);
}

/* --- devices -------------------------------------------------------------------------------------------- */

/* tries() - exit 0 when every device opens or not as wanted; runs in the group. */
struct
try {
	const char *path;
	int want;
};

static void tries(void *arg)
{
	for (const struct try *t = arg; t->path; t++) {
		int fd = open(t->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		int got = fd < 0 ? -errno : 0;

		if (got != t->want) {
			fprintf(stderr, "%s: want %d, got %d\n", t->path, t->want, got);
			_exit(TEST_FAILED);
		}
		close(fd);
	}
	_exit(TEST_OK);
}

static int try_devices(const struct cgroup *cg, const struct try *t)
{
	pid_t pid = spawn(cg, tries, (void *)t);
	int status;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : TEST_FAILED;
}

static int devices(enum cgroup_layout layout)
{
	char node[] = "/tmp/hull-cgroup-test-XXXXXX";
	struct oci_device_rule allow = {
		.allow = true, .type = 'c', .major = NUM(1), .minor = NUM(11), .read = true
	};
	struct oci_device_rule everything = {
		.allow = true, .type = 'a', .read = true, .write = true, .mknod = true
	};
	struct try closed[] = { { "/dev/null", 0 }, { node, -EPERM }, { NULL, 0 } };
	struct try opened[] = { { "/dev/null", 0 }, { node, 0 }, { NULL, 0 } };
	auto_fini(cgroup) struct cgroup cg = { 0 };
	struct oci_resources r = { 0 };
	struct err e = { 0 };
	int fd;

	(void)layout;
	close(mkstemp(node));
	unlink(node);
	SKIP_UNLESS(mknod(node, S_IFCHR | 0600, makedev(1, 11)) == 0, "no mknod(2) here");
	fd = open(node, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		unlink(node);
	SKIP_UNLESS(fd >= 0, "the kernel's log cannot be opened even outside");
	close(fd);
	CHECK_OK(cgroup_open(&cg, test_path("devices"), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(&cg, &r, false, &e), &e);
	CHECK(try_devices(&cg, closed) == TEST_OK);
	r = (struct oci_resources){ .devices = &allow, .n_devices = 1 };
	CHECK_OK(cgroup_update(&cg, &r, &e), &e);
	CHECK(try_devices(&cg, opened) == TEST_OK);
	allow.allow = false;
	CHECK_OK(cgroup_update(&cg, &r, &e), &e);
	CHECK(try_devices(&cg, closed) == TEST_OK);
	r.devices = &everything;
	CHECK_OK(cgroup_update(&cg, &r, &e), &e);
	CHECK(try_devices(&cg, opened) == TEST_OK);
	r.devices = &allow;
	CHECK_OK(cgroup_update(&cg, &r, &e), &e);
	CHECK(try_devices(&cg, closed) == TEST_OK);
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	unlink(node);
	return TEST_OK;
}

static void test_the_device_filter_holds_and_follows_updates(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(devices);
}

/* --- every system call may fail ------------------------------------------------------------------------- */

static long calls, fail_at;

static long failing_call(long nr, long a, long b, long c, long d, long e, long f)
{
	if (++calls == fail_at)
		return -EIO;
	return sys_call_real(nr, a, b, c, d, e, f);
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static int injected(enum cgroup_layout layout)
{
	struct oci_resources r = { .pids_limit = NUM(10), .memory.limit = NUM(1 << 24) };
	int fds = count_fds(), refused = 0;
	bool done = false;

	if (layout == CGROUP_V2)
		r = (struct oci_resources){ 0 };
	for (long at = 1; !done; at++) {
		struct cgroup cg = { 0 };
		struct err e = { 0 };
		int rc;

		calls = 0;
		fail_at = at;
		sys_call = failing_call;
		rc = cgroup_open(&cg, test_path("injected"), "id", CGROUP_FS, &e);
		if (rc == 0)
			rc = cgroup_create(&cg, &r, false, &e);
		sys_call = sys_call_real;
		done = calls < at;
		CHECK(rc == 0 || e.text[0]);
		refused += rc < 0;
		CHECK(rc == 0 || !left("injected"));
		if (rc == 0)
			CHECK_OK(cgroup_delete(&cg, &e), &e);
		cgroup_fini(&cg);
		CHECK(count_fds() == fds);
	}
	CHECK(refused > 3);
	return TEST_OK;
}

static void test_whichever_call_fails_nothing_is_left_half_made(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(injected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_a_path_and_refuses_what_leads_elsewhere),
		cmocka_unit_test(test_shares_become_weights_through_the_three_fixed_points),
		cmocka_unit_test(test_the_saved_state_is_read_back_and_bad_ones_are_refused),
		cmocka_unit_test(test_an_empty_group_object_can_be_released),
		cmocka_unit_test(test_a_group_is_made_joined_frozen_killed_and_removed),
		cmocka_unit_test(test_groups_made_inside_are_removed_at_any_depth),
		cmocka_unit_test(test_processes_in_inner_groups_count),
		cmocka_unit_test(test_exec_finds_a_group_below_the_containers),
		cmocka_unit_test(test_an_unprivileged_user_is_told_what_is_ignored),
		cmocka_unit_test(test_a_failed_create_leaves_nothing),
		cmocka_unit_test(test_a_controller_v2_lacks_is_refused_only_when_asked_for),
		cmocka_unit_test(test_a_relative_path_is_below_the_callers_own_group),
		cmocka_unit_test(test_a_hybrid_host_takes_from_v2_what_v1_lacks),
		cmocka_unit_test(test_a_cgroup_mount_shows_the_containers_own_groups_only),
		cmocka_unit_test(test_the_device_filter_holds_and_follows_updates),
		cmocka_unit_test(test_whichever_call_fails_nothing_is_left_half_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
