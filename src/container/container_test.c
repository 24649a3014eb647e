/* SPDX-License-Identifier: Apache-2.0 */
#include "container/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/container_internal.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/seal.h"

enum { FAULTS_MAX = 2000 }; /* no container takes so many calls */

static char dir[40], root[64];
static int top = -1;

static int setup(void **state)
{
	(void)state;
	str_copy(dir, sizeof(dir), "/tmp/hull-test-ct.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	str_format(root, sizeof(root), "%s/state", dir);
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top < 0 || file_mkdirs(top, "state", 0700) < 0 ? -1 : 0;
}

/* remove_groups() - "x" of a test that failed, and the group above it, which stays when a container goes. */
static void remove_groups(const char *hierarchy)
{
	char path[512];

	str_format(path, sizeof(path), "%s/hull-test-ct-%d/x", hierarchy, (int)getpid());
	rmdir(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

static int teardown(void **state)
{
	struct dirent *de;
	char path[300];
	DIR *d = opendir("/sys/fs/cgroup");

	(void)state;
	sys_call = sys_call_real;
	alarm(0);
	while (waitpid(-1, NULL, WNOHANG) > 0) /* of a test that failed */
		;
	while (d && (de = readdir(d))) {
		str_format(path, sizeof(path), "/sys/fs/cgroup/%s", de->d_name);
		remove_groups(path);
	}
	if (d)
		closedir(d);
	remove_groups("/sys/fs/cgroup");
	fd_close(&top);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static void test_an_id_is_a_plain_name(void **state)
{
	static const char *const good[] = { "a", "A-b_c+d.e", "0", "...", ".a" };
	static const char *const bad[] = { "",    ".",        "..",  "a/b",      "/",
					   "a b", "@seccomp", "a\n", "\303\244", "a:b" };
	char lengthy[CT_ID_MAX + 2];
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(ct_id_check(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(ct_id_check(bad[i], &e), -EINVAL);
		assert_true(str_starts(e.text, "container id"));
	}
	memset(lengthy, 'a', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_int_equal(ct_id_check(lengthy, NULL), -EINVAL);
	lengthy[CT_ID_MAX] = '\0';
	assert_int_equal(ct_id_check(lengthy, NULL), 0);
}

/* --- the state on disk -------------------------------------------------------------------------------------------- */

/* save() - a container "x" that @pid and @start_time say runs. */
static void save(pid_t pid, uint64_t start_time)
{
	struct ct ct = { .id = (char *)"x",
			 .bundle = (char *)"/b \"q\"\\",
			 .rootfs = (char *)"/b/r",
			 .pid = pid,
			 .start_time = start_time,
			 .created_ns = 1795233274123456789,
			 .rootless = true,
			 .owner = 1234,
			 .ready = true,
			 .annotations = (char *)"{\"k\":\"v\"}",
			 .pidfd = -1 };

	assert_int_equal(file_mkdirs(top, "state/x", 0700), 0);
	ct.dirfd = openat(top, "state/x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ct__save(&ct, NULL), 0);
	close(ct.dirfd);
}

static void test_what_was_saved_is_read_back(void **state)
{
	struct err e = { 0 };
	struct ct *ct;

	(void)state;
	save(getpid(), (uint64_t)proc_start_time(getpid()));
	assert_int_equal(ct_open(&ct, root, "x", &e), 0);
	assert_string_equal(ct->bundle, "/b \"q\"\\");
	assert_string_equal(ct->rootfs, "/b/r");
	assert_int_equal(ct->pid, getpid());
	assert_true(ct->created_ns == 1795233274123456789);
	assert_true(ct->rootless);
	assert_true(ct->ready);
	assert_int_equal(ct->owner, 1234);
	assert_string_equal(ct->annotations, "{\"k\":\"v\"}");
	assert_int_equal(ct_status(ct), CT_CREATED);
	ct_free(ct);
	assert_int_equal(ct_open(&ct, root, "y", &e), -ENOENT);
	assert_string_equal(e.text, "container 'y' does not exist");
}

static void test_a_number_that_is_anothers_by_now_is_not_the_container(void **state)
{
	struct ct *ct;

	(void)state;
	save(getpid(), (uint64_t)proc_start_time(getpid()) + 1);
	assert_int_equal(ct_open(&ct, root, "x", NULL), 0);
	assert_int_equal(ct_status(ct), CT_STOPPED);
	assert_int_equal(ct->pid, 0);
	assert_int_equal(ct->pidfd, -1);
	assert_int_equal(ct_kill(ct, SIGKILL, false, NULL), -ESRCH); /* or this program would not go on */
	ct_free(ct);
}

static void test_a_phase_tells_created_from_running(void **state)
{
	static const struct {
		const char *phase;
		enum ct_status want;
	} t[] = { { "c", CT_CREATED }, { "r", CT_RUNNING } };

	(void)state;
	save(getpid(), (uint64_t)proc_start_time(getpid()));
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct ct *ct;

		assert_int_equal(file_replace(top, "state/x/phase", t[i].phase, 1, 0600, false, NULL), 0);
		assert_int_equal(ct_open(&ct, root, "x", NULL), 0);
		assert_int_equal(ct_status(ct), t[i].want);
		ct_free(ct);
	}
}

static void test_a_damaged_state_is_an_error_and_can_be_deleted(void **state)
{
	auto_fini(buf) struct buf good = { 0 };
	struct ct *ct;
	size_t refused = 0;

	(void)state;
	save(getpid(), 1);
	assert_int_equal(file_slurp_at(top, "state/x/state.json", &good, 1 << 20), 0);
	for (size_t i = 0; i < 2 * good.len; i++) { /* cut short; then a byte flipped */
		auto_fini(buf) struct buf bad = { 0 };
		struct err e = { 0 };
		int r;

		buf_put(&bad, good.data, i < good.len ? i : good.len);
		if (i >= good.len)
			bad.data[i - good.len] ^= 0x10;
		assert_int_equal(
			file_replace(top, "state/x/state.json", buf_str(&bad), bad.len, 0600, false, NULL),
			0);
		r = ct_open(&ct, root, "x", &e);
		if (r == 0) {
			assert_true(i >= good.len - 1); /* the last byte is a closing brace */
			ct_free(ct);
			continue;
		}
		refused++;
		assert_true(str_starts(e.text, "container 'x': state.json: "));
	}
	assert_true(refused > good.len);
	assert_int_equal(ct_delete_damaged(root, "x", NULL), 0);
	assert_int_equal(ct_open(&ct, root, "x", NULL), -ENOENT);
	assert_int_equal(ct_delete_damaged(root, "x", NULL), -ENOENT);
}

static void test_what_a_killed_creator_left_can_be_deleted(void **state)
{
	struct ct *ct;

	(void)state;
	assert_int_equal(file_mkdirs(top, "state/x", 0700), 0); /* no file in it yet */
	assert_int_equal(ct_open(&ct, root, "x", NULL), 0);
	assert_int_equal(ct_status(ct), CT_STOPPED);
	assert_int_equal(ct_delete(ct, false, NULL), 0);
	ct_free(ct);
	assert_int_equal(ct_open(&ct, root, "x", NULL), -ENOENT);
}

static void test_a_list_has_containers_only(void **state)
{
	char **ids;
	size_t n;

	(void)state;
	assert_int_equal(ct_list("/nonexistent/hull", &ids, &n, NULL), 0);
	assert_int_equal(n, 0);
	save(0, 0);
	assert_int_equal(file_mkdirs(top, "state/" CT_SECCOMP_CACHE, 0700), 0);
	assert_int_equal(ct_list(root, &ids, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(ids[0], "x");
	free(ids[0]);
	free(ids);
}

/* --- a tiny container ------------------------------------------------------------------------------------------- */

#define NEW_ALL                                                                                              \
	"{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":"           \
	"\"network\"},{\"type\":\"cgroup\"}"

/* The second is entered by a stage, the third makes a user namespace besides. */
static const char *const namespaces[] = {
	NEW_ALL,
	"{\"type\":\"pid\",\"path\":\"/proc/self/ns/pid\"},{\"type\":\"mount\"},{\"type\":\"uts\"}",
	"{\"type\":\"ipc\",\"path\":\"/proc/self/ns/"
	"ipc\"},{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"user\"}],"
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000}],"
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000}",
};

struct tiny {
	struct arena arena;
	struct oci_spec spec;
	struct ct_config c;
	char cgroup[64];
};

/* tiny() - a configuration with something of every kind that is made and must be unmade; skips without root or busybox. */
static struct tiny *tiny(int variant, const char *args)
{
	static struct tiny t;
	char path[96];
	const char *text;

	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0) {
		print_message("# skipped: wants root and a busybox\n");
		skip();
	}
	t = (struct tiny){ 0 };
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(file_mkdirs(top, "rootfs/proc", 0755), 0);
	assert_int_equal(file_mkdirs(top, "rootfs/dev", 0755), 0);
	assert_int_equal(file_mkdirs(top, variant == 2 ? "rootfs/new" : "rootfs/bin", 0755), 0);
	assert_int_equal(file_mkdirs(top, "rootfs/bin", 0755), 0);
	str_format(path, sizeof(path), "cp /bin/busybox %s/rootfs/bin/", dir);
	assert_int_equal(system(path), 0);
	str_format(t.cgroup, sizeof(t.cgroup), "/hull-test-ct-%d", (int)getpid());
	text = arena_printf(
		&t.arena,
		"{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/"
		"\",\"args\":%s,"
		"\"env\":[\"PATH=/bin\"],\"user\":{\"uid\":0,\"gid\":0},\"noNewPrivileges\":true,"
		"\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\"],\"effective\":["
		"\"CAP_KILL\"]},"
		"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":50,\"hard\":60}]},"
		"\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/true\"}]},"
		"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
		"{\"destination\":\"/"
		"new\",\"type\":\"bind\",\"source\":\"%s\",\"options\":[\"rbind\",\"ro\"]}],"
		"\"linux\":{\"namespaces\":[%s],\"cgroupsPath\":\"%s/x\",\"maskedPaths\":[\"/proc/keys\"],"
		"\"readonlyPaths\":[\"/proc/"
		"sys\"],\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":["
		"{\"names\":[\"acct\"],\"action\":\"SCMP_ACT_ERRNO\"}]}}}",
		args, root, namespaces[variant], t.cgroup);
	t.c = (struct ct_config){
		.root = root,
		.id = "x",
		.bundle = dir,
		.spec = &t.spec,
		.config_text = text,
		.config_len = strlen(text),
		.rootfs_fd = -1,
		.stdio = { { -1, -1, -1 } },
		.console_fd = -1,
	};
	assert_int_equal(oci_spec_parse(&t.spec, text, strlen(text), &t.arena, NULL), 0);
	return &t;
}

static void tiny_fini(struct tiny *t)
{
	arena_fini(&t->arena);
}

/* count() - entries of a directory whose names do not begin with a dot or "@". */
static int count(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;
	int n = 0;

	while (d && (de = readdir(d)))
		n += de->d_name[0] != '.' && de->d_name[0] != '@';
	if (d)
		closedir(d);
	return n;
}

/* cgroups() - how many directories hierarchies have for the container "x". */
static int cgroups(const struct tiny *t)
{
	char path[512];
	struct dirent *de;
	DIR *d = opendir("/sys/fs/cgroup");
	int n = 0;

	while (d && (de = readdir(d))) {
		str_format(path, sizeof(path), "/sys/fs/cgroup/%s%s/x", de->d_name, t->cgroup);
		n += access(path, F_OK) == 0;
	}
	if (d)
		closedir(d);
	str_format(path, sizeof(path), "/sys/fs/cgroup%s/x", t->cgroup);
	return n + (access(path, F_OK) == 0);
}

/* reap() - when it was the waiting that failed: whoever is still our child, but for @keep. */
static void reap(int hit, pid_t keep)
{
	auto_fini(buf) struct buf b = { 0 };

	if (hit - 1 != SYS_waitid || file_slurp_at(AT_FDCWD, "/proc/thread-self/children", &b, 4096) < 0)
		return;
	for (char *s = strtok(b.data, " "); s; s = strtok(NULL, " ")) {
		pid_t pid = (pid_t)strtol(s, NULL, 10);

		if (pid == keep)
			continue;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

/* nothing_left() - after a failure or a delete. Return: what is left, for the message; NULL: nothing. */
static const char *nothing_left(const struct tiny *t, int fds)
{
	siginfo_t info = { 0 };

	if (count(root) != 0)
		return "a state directory";
	if (cgroups(t) != 0)
		return "a cgroup";
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		return info.si_pid ? "a zombie" : "a process";
	return count("/proc/self/fd") == fds ? NULL : "a descriptor";
}

/* --- the n-th call fails ------------------------------------------------------------------------------------------ */

static struct {
	pid_t main;
	bool in_main; /* fail in this process; else in every one that it makes */
	int left;
	int *hit;  /* shared with them: has it happened? */
	long only; /* this call; 0: any */
} fault;

static long failing(long nr, long a, long b, long c, long d, long e, long f)
{
	bool here = (syscall(SYS_getpid) == fault.main) == fault.in_main;

	if (here && (!fault.only || nr == fault.only) && fault.left-- == 0) {
		*fault.hit = 1 + (int)nr;
		return -EIO;
	}
	return sys_call_real(nr, a, b, c, d, e, f);
}

static void arm(int n, bool in_main)
{
	if (!fault.hit)
		fault.hit = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fault.main = getpid();
	fault.in_main = in_main;
	fault.left = n;
	fault.only = 0;
	*fault.hit = 0;
	sys_call = failing;
}

/* create_with_faults() - for n = 0, 1, ... the n-th call on one side fails: an error with a text and nothing left, or success. */
static void create_with_faults(int variant, bool in_main)
{
	struct tiny *t = tiny(variant, "[\"/bin/busybox\",\"sleep\",\"1000\"]");
	int failed = 0, fds = count("/proc/self/fd"), n;

	for (n = 0; n < FAULTS_MAX; n++) {
		struct err e = { 0 };
		struct ct *ct = NULL;
		const char *left;
		int r, hit;

		alarm(60); /* it must not hang */
		arm(n, in_main);
		r = ct_create(&ct, &t->c, &e);
		sys_call = sys_call_real;
		hit = *fault.hit;
		if (r == 0) {
			if (ct_status(ct) !=
			    CT_CREATED) /* init may fail after it has said that it is ready */
				assert_true(hit && !in_main);
			assert_int_equal(ct_delete(ct, true, &e), 0);
			waitpid(ct->pid, NULL, 0);
			ct_free(ct);
			if (!hit)
				break;
		} else {
			failed++;
			if (!e.code || !e.text[0])
				print_message("# n=%d call %d: no text\n", n, hit - 1);
			assert_true(e.code != 0 && e.text[0]);
		}
		reap(hit, 0);
		left = nothing_left(t, fds);
		if (left)
			print_message("# n=%d call %d: %s is left; r=%d '%s'\n", n, hit - 1, left, r, e.text);
		assert_null(left);
	}
	alarm(0);
	tiny_fini(t);
	print_message("# %d of %d faults were errors\n", failed, n);
	assert_in_range(n, 20, FAULTS_MAX - 1);
	assert_in_range(failed, n / 2, n);
}

static void test_create_is_done_or_not_done_whichever_call_of_the_parent_fails(void **state)
{
	(void)state;
	create_with_faults(0, true);
}

static void test_create_is_done_or_not_done_whichever_call_of_init_fails(void **state)
{
	(void)state;
	create_with_faults(0, false);
}

static void test_create_with_a_stage_is_done_or_not_done_whichever_call_of_the_parent_fails(void **state)
{
	(void)state;
	create_with_faults(1, true);
}

static void test_create_with_a_stage_is_done_or_not_done_whichever_call_of_it_or_init_fails(void **state)
{
	(void)state;
	create_with_faults(1, false);
}

static void
test_create_with_a_user_namespace_is_done_or_not_done_whichever_call_of_the_parent_fails(void **state)
{
	(void)state;
	create_with_faults(2, true);
}

static void test_create_with_a_user_namespace_is_done_or_not_done_whichever_call_of_init_fails(void **state)
{
	(void)state;
	create_with_faults(2, false);
}

/* run() - what a container whose process is to run at once comes to. */
static void test_run_is_done_or_not_done_whichever_call_fails(void **state)
{
	int failed = 0, fds, n = 0;
	struct tiny *t;

	(void)state;
	t = tiny(0, "[\"/bin/busybox\",\"sleep\",\"1000\"]");
	t->spec.hooks[OCI_HOOK_CREATE_RUNTIME].n =
		0; /* nothing makes init wait for its parent but the record of its pid */
	t->c.run = true;
	fds = count("/proc/self/fd");
	for (int side = 0; side < 2; side++)
		for (n = 0; n < FAULTS_MAX; n++) {
			struct err e = { 0 };
			struct ct *ct = NULL;
			const char *left;
			int r;

			alarm(60);
			arm(n, side);
			r = ct_create(&ct, &t->c, &e);
			sys_call = sys_call_real;
			if (r == 0) {
				assert_int_equal(ct_status(ct), CT_RUNNING);
				assert_int_equal(ct_delete(ct, true, &e), 0);
				waitpid(ct->pid, NULL, 0);
				ct_free(ct);
				if (!*fault.hit)
					break;
			}
			failed += r < 0;
			assert_true(r == 0 || e.text[0]);
			reap(*fault.hit, 0);
			left = nothing_left(t, fds);
			if (left)
				print_message("# n=%d call %d: %s is left; r=%d '%s'\n", n, *fault.hit - 1,
					      left, r, e.text);
			assert_null(left);
		}
	alarm(0);
	tiny_fini(t);
	assert_true(failed > 50);
}

/* exec_with_faults() - the same for one more process, which must leave the container as it was. */
static void test_exec_is_done_or_not_done_whichever_call_fails(void **state)
{
	struct tiny *t;
	struct err e = { 0 };
	struct ct *ct = NULL;
	char *args[] = { (char *)"/bin/busybox", (char *)"true", NULL };
	struct oci_process p;
	struct ct_exec x = { .process = &p, .stdio = { { -1, -1, -1 } }, .console_fd = -1 };
	int fds, failed = 0, n = 0;

	(void)state;
	t = tiny(0, "[\"/bin/busybox\",\"sleep\",\"1000\"]");
	p = t->spec.process;
	p.args = (struct oci_strs){ args, 2 };
	assert_int_equal(ct_create(&ct, &t->c, &e), 0);
	assert_int_equal(ct_start(ct, &e), 0);
	fds = count("/proc/self/fd");
	for (int side = 0; side < 2; side++)
		for (n = 0; n < FAULTS_MAX; n++) {
			siginfo_t info = { 0 };
			int pidfd = -1, hit;
			pid_t pid;

			e = (struct err){ 0 };
			alarm(60);
			arm(n, side);
			pid = ct_exec(ct, &x, &pidfd, &e);
			sys_call = sys_call_real;
			hit = *fault.hit;
			if (pid > 0) {
				assert_int_equal(pidfd_wait(pidfd, &info, WEXITED), 0);
				assert_int_equal(info.si_status, 0);
				close(pidfd);
			} else if (!e.code || !e.text[0]) {
				fail_msg("n=%d call %d: no text", n, hit - 1);
			}
			failed += pid < 0;
			if (count("/proc/self/fd") != fds)
				fail_msg("n=%d call %d: a descriptor is left: '%s'", n, hit - 1, e.text);
			reap(hit, ct->pid);
			info.si_pid = 0;
			assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT),
					 0); /* init itself */
			if (info.si_pid)
				fail_msg("n=%d call %d: a zombie is left: '%s'", n, hit - 1, e.text);
			assert_int_equal(ct_status(ct), CT_RUNNING);
			if (!hit)
				break;
		}
	alarm(0);
	assert_true(failed > 40);
	assert_int_equal(ct_delete(ct, true, &e), 0);
	waitpid(ct->pid, NULL, 0);
	ct_free(ct);
	tiny_fini(t);
}

/* --- steps of a life ----------------------------------------------------------------------------------------------- */

static void test_a_container_goes_from_created_to_running_to_stopped(void **state)
{
	struct tiny *t = tiny(0, "[\"/bin/busybox\",\"sleep\",\"1000\"]");
	struct err e = { 0 };
	struct ct *ct = NULL, *again = NULL;

	(void)state;
	assert_int_equal(ct_create(&ct, &t->c, &e), 0);
	assert_int_equal(ct_create(&again, &t->c, &e), -EEXIST);
	assert_string_equal(e.text, "container with given ID already exists: 'x'");
	assert_int_equal(ct_status(ct), CT_CREATED);
	assert_int_equal(ct_start(ct, &e), 0);
	assert_int_equal(ct_status(ct), CT_RUNNING);
	assert_int_equal(ct_start(ct, &e), -EBUSY);
	assert_int_equal(ct_delete(ct, false, &e), -EBUSY);
	assert_int_equal(ct_pause(ct, &e), 0);
	assert_int_equal(ct_status(ct), CT_PAUSED);
	assert_int_equal(ct_pause(ct, &e), -EBUSY);
	assert_int_equal(ct_kill(ct, SIGKILL, false, &e), 0); /* also of a frozen one */
	assert_int_equal(waitpid(ct->pid, NULL, 0), ct->pid);
	assert_int_equal(ct_status(ct), CT_STOPPED);
	assert_int_equal(ct_kill(ct, SIGTERM, false, &e), -ESRCH);
	assert_string_equal(e.text, "container not running");
	assert_int_equal(ct_resume(ct, &e), -EBUSY);
	assert_int_equal(ct_start(ct, &e), -ESRCH);
	assert_int_equal(ct_delete(ct, false, &e), 0);
	ct_free(ct);
	assert_null(nothing_left(t, count("/proc/self/fd")));
	tiny_fini(t);
}

static void test_start_of_one_whose_init_was_killed_is_an_error(void **state)
{
	struct tiny *t = tiny(0, "[\"/bin/busybox\",\"true\"]");
	struct err e = { 0 };
	struct ct *ct = NULL;
	pid_t pid;

	(void)state;
	for (int round = 0; round < 20; round++) {
		assert_int_equal(ct_create(&ct, &t->c, &e), 0);
		pid = fork(); /* it dies while ct_start() is under way, or before */
		if (pid == 0) {
			usleep((useconds_t)round * 20);
			_exit(pidfd_send(ct->pidfd, SIGKILL) < 0);
		}
		if (ct_start(ct, &e) == 0)
			assert_int_equal(ct__phase(ct), 'r'); /* it had told us that it goes on */
		else
			assert_true(e.text[0]);
		waitpid(pid, NULL, 0);
		waitpid(ct->pid, NULL, 0);
		assert_int_equal(ct_delete(ct, true, &e), 0);
		ct_free(ct);
	}
	tiny_fini(t);
}

/* runs() - is anybody in the container's groups? */
static bool runs(const struct ct *ct)
{
	pid_t *pids = NULL;
	size_t n = 0;

	if (cgroup_pids(&ct->cgroup, &pids, &n, NULL) < 0)
		return false;
	free(pids);
	return n > 0;
}

static void test_a_creator_that_is_killed_leaves_no_workload_that_nobody_finds(void **state)
{
	struct tiny *t = tiny(0, "[\"/bin/busybox\",\"sleep\",\"1000\"]");
	int found = 0, status;

	(void)state;
	t->spec.hooks[OCI_HOOK_CREATE_RUNTIME].n = 0;
	t->c.run = true;
	for (int round = 0; round < 100; round++) {
		struct ct *ct = NULL;
		pid_t pid = fork();

		if (pid == 0)
			_exit(ct_create(&ct, &t->c, NULL) < 0);
		usleep((useconds_t)round * 100);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		if (ct_open(&ct, root, "x", NULL) < 0)
			continue; /* killed before there was anything */
		found++;
		for (int i = 0; ct_status(ct) == CT_STOPPED && runs(ct) && i < 1000; i++)
			usleep(10000); /* an init that lost its parent ends by itself, once it has the processor */
		assert_true(ct_status(ct) != CT_STOPPED || !runs(ct));
		if (ct_delete(ct, true, NULL) < 0) /* init may be on its way out yet */
			assert_int_equal(ct_delete(ct, true, NULL), 0);
		ct_free(ct);
		assert_int_equal(count(root), 0);
		for (int i = 0; i < 100 && cgroups(t); i++)
			usleep(10000);
		assert_int_equal(cgroups(t), 0);
	}
	assert_true(found > 0);
	tiny_fini(t);
}

static void test_poststop_hooks_run_also_for_one_that_could_not_be_made(void **state)
{
	struct tiny *t = tiny(0, "[\"nonexistent\"]");
	char *args[] = { (char *)"touch", str_printf("%s/poststop", dir), NULL };
	struct err e = { 0 };
	struct ct *ct = NULL;
	auto_fini(buf) struct buf text = { 0 };
	const char *hooks = strstr(t->c.config_text, "\"hooks\":{");

	(void)state;
	buf_put(&text, t->c.config_text, (size_t)(hooks - t->c.config_text));
	buf_printf(&text,
		   "\"hooks\":{\"poststop\":[{\"path\":\"/usr/bin/touch\",\"args\":[\"touch\",\"%s\"]}],",
		   args[1]);
	buf_puts(&text, hooks + strlen("\"hooks\":{"));
	t->c.config_text = text.data;
	t->c.config_len = text.len;
	assert_int_equal(oci_spec_parse(&t->spec, text.data, text.len, &t->arena, &e), 0);
	assert_int_equal(ct_create(&ct, &t->c, &e), -ENOENT);
	assert_string_equal(e.text, "exec: \"nonexistent\": executable file not found in $PATH");
	assert_int_equal(access(args[1], F_OK), 0);
	free(args[1]);
	assert_null(nothing_left(t, count("/proc/self/fd")));
	tiny_fini(t);
}

static void test_a_group_that_was_there_before_survives_a_failure(void **state)
{
	struct tiny *t = tiny(0, "[\"/bin/busybox\",\"true\"]");
	auto_fini(cgroup) struct cgroup cg = { 0 };
	struct err e = { 0 };
	struct ct *ct = NULL;
	char path[64];
	int were;

	(void)state;
	str_format(path, sizeof(path), "%s/x", t->cgroup);
	assert_int_equal(cgroup_open(&cg, path, "x", CGROUP_FS, &e), 0);
	assert_int_equal(cgroup_create(&cg, NULL, false, &e), 0); /* another's, empty as yet */
	were = cgroups(t);
	assert_true(were > 0);
	arm(0, true);
	fault.only = SYS_socket; /* start.sock comes before the groups are taken over */
	assert_int_equal(ct_create(&ct, &t->c, &e), -EIO);
	sys_call = sys_call_real;
	assert_string_equal(e.text, "start.sock: Input/output error");
	assert_int_equal(cgroups(t), were);
	cgroup_delete(&cg, NULL);
	tiny_fini(t);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	struct err e = { 0 };
	const struct CMUnitTest tests[] = {
		T(test_an_id_is_a_plain_name),
		T(test_what_was_saved_is_read_back),
		T(test_a_number_that_is_anothers_by_now_is_not_the_container),
		T(test_a_phase_tells_created_from_running),
		T(test_a_damaged_state_is_an_error_and_can_be_deleted),
		T(test_what_a_killed_creator_left_can_be_deleted),
		T(test_a_list_has_containers_only),
		T(test_a_container_goes_from_created_to_running_to_stopped),
		T(test_start_of_one_whose_init_was_killed_is_an_error),
		T(test_a_creator_that_is_killed_leaves_no_workload_that_nobody_finds),
		T(test_poststop_hooks_run_also_for_one_that_could_not_be_made),
		T(test_a_group_that_was_there_before_survives_a_failure),
		T(test_create_is_done_or_not_done_whichever_call_of_the_parent_fails),
		T(test_create_is_done_or_not_done_whichever_call_of_init_fails),
		T(test_create_with_a_stage_is_done_or_not_done_whichever_call_of_the_parent_fails),
		T(test_create_with_a_stage_is_done_or_not_done_whichever_call_of_it_or_init_fails),
		T(test_create_with_a_user_namespace_is_done_or_not_done_whichever_call_of_the_parent_fails),
		T(test_create_with_a_user_namespace_is_done_or_not_done_whichever_call_of_init_fails),
		T(test_run_is_done_or_not_done_whichever_call_fails),
		T(test_exec_is_done_or_not_done_whichever_call_fails),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	if (seal_self(argv, &e) < 0) /* ct_create() asks for it; this program starts again */
		fprintf(stderr, "%s\n", e.text);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
