/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is unpacked is compared with tar's work in store/layer_test.c; here who else is around, and who we
 * are.
 */
#include "store/layer_testing.h"

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/bug.h"
#include "base/err.h"
#include "store/layer.h"

enum { NOBODY = 65534 };

/* --- somebody swaps a directory for a symlink that leads outside, as fast as he can ----------------- */
struct racer {
	int dirfd;
	atomic_bool stop;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	while (!r->stop)
		syscall(SYS_renameat2, r->dirfd, "d", r->dirfd, "evil", RENAME_EXCHANGE);
	return NULL;
}

static void test_unpack_never_leaves_the_root_while_parents_are_swapped(void **state)
{
	auto_fini(temp_dir) struct temp_dir outside = temp_dir(), tree = temp_dir();
	auto_fini(buf) struct buf b = { 0 };
	auto_close int fd = -1;
	struct racer racer = { .dirfd = tree.fd };
	struct layer_result r;
	char name[64];
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 3000; i++) { /* the parent changes with each, so each is resolved anew */
		snprintf(name, sizeof(name), "d/sub/f%d", i);
		put_file(&b, name, "x");
		snprintf(name, sizeof(name), "d/s%d", i);
		put_link(&b, i % 2 ? '2' : '1', name, i % 2 ? "t" : "d/sub/f0");
		snprintf(name, sizeof(name), "d/.wh.w%d", i);
		put_file(&b, name, "");
	}
	put_end(&b);
	fd = fd_of(b.data, b.len);
	assert_int_equal(mkdirat(outside.fd, "sub", 0777), 0);
	assert_int_equal(mkdirat(tree.fd, "d", 0777), 0);
	assert_int_equal(symlinkat(outside.path, tree.fd, "evil"), 0);
	assert_int_equal(pthread_create(&thread, NULL, race, &racer), 0);
	for (int i = 0; i < 3; i++) {
		lseek(fd, 0, SEEK_SET);
		/* May fail, may not escape */
		layer_unpack(fd, tree.fd, geteuid() ? LAYER_ROOTLESS : 0, &r, NULL);
	}
	racer.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(count_names(outside.fd), 1);
	fd_close(&fd);
	fd = openat(outside.fd, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(count_names(fd), 0);
}

/* --- a user without any privilege ------------------------------------------------------------------- */
static void put_lower(struct buf *b)
{
	put_dir(b, "locked", 0555);
	put_file(b, "locked/f", "lower");
	put_file(b, "gone", "lower");
	put_dir(b, "opaque", 0700);
	put_file(b, "opaque/old", "lower");
	put_tar(b, (struct tar_spec){ .type = '3', .name = "null", .mode = 0666, .major = 1, .minor = 3 });
	put_tar(b, (struct tar_spec){ .type = '0', .name = "owned", .mode = 04755, .uid = 12, .gid = 34 });
	put_pax(b, "SCHILY.xattr.user.k", "v", 1);
	put_file(b, "marked", "x");
	put_pax(b, "SCHILY.xattr.security.capability", "not ours", 8);
	put_file(b, "unmarked", "x");
	put_dir(b, "locked", 0111);
	put_end(b);
}

static void put_upper(struct buf *b)
{
	put_file(b, ".wh.gone", "");
	put_dir(b, "opaque", 0700);
	put_file(b, "opaque/.wh..wh..opq", "");
	put_file(b, "opaque/new", "upper");
	put_end(b);
}

/* leave() - the child's way out; what it printed must be seen */
static _Noreturn void leave(int code)
{
	fflush(stdout);
	_exit(code);
}

#define CHECK(expr)                                                                                          \
	do {                                                                                                 \
		if (!(expr)) {                                                                               \
			printf("rootless: %s is not so\n", #expr);                                           \
			leave(1);                                                                            \
		}                                                                                            \
	} while (0)

static int unpack_at(int dirfd, const char *name, void (*put)(struct buf *b), uint64_t *ret_skipped)
{
	auto_fini(buf) struct buf b = { 0 };
	auto_close int fd = -1, dir = -1;
	struct layer_result r = { 0 };
	struct err e = { 0 };

	put(&b);
	put_end(&b);
	fd = fd_of(b.data, b.len);
	CHECK(mkdirat(dirfd, name, 0755) == 0);
	dir = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (layer_unpack(fd, dir, LAYER_ROOTLESS, &r, &e) < 0) {
		printf("rootless: %s\n", e.text);
		leave(1);
	}
	*ret_skipped = r.skipped;
	return TAKE_FD(dir);
}

static int put_text(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : file_write(fd, text, strlen(text));
}

static void check_overlay(int dirfd)
{
	auto_close int fs = -1, m = -1, lo = -1, up = -1;
	struct stat st;

	/* Goes along into the new mount namespace, as open descriptors do not */
	CHECK(fchdir(dirfd) == 0);

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || put_text("/proc/self/setgroups", "deny") < 0 ||
	    put_text("/proc/self/uid_map", "0 65534 1") < 0 ||
	    put_text("/proc/self/gid_map", "0 65534 1") < 0) {
		printf("skipped: no user namespaces for users here\n");
		leave(77);
	}
	lo = open("lo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	up = open("up", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fs = mnt_fsopen("overlay");
	CHECK(lo >= 0 && up >= 0 && fs >= 0);
	if (mnt_config_fd(fs, "lowerdir+", up) < 0 || mnt_config_fd(fs, "lowerdir+", lo) < 0) {
		printf("skipped: no overlay by descriptors here\n");
		leave(77);
	}
	CHECK(mnt_config_flag(fs, "userxattr") >= 0 && mnt_config_create(fs) >= 0);
	m = mnt_fsmount(fs, 0);
	CHECK(m >= 0);
	CHECK(fstatat(m, "gone", &st, 0) < 0);
	CHECK(fstatat(m, "opaque/old", &st, 0) < 0);
	CHECK(fstatat(m, "opaque/new", &st, 0) == 0);
	CHECK(fstatat(m, "owned", &st, 0) == 0 && st.st_uid == 0);
}

static void as_nobody(int dirfd)
{
	auto_close int lo = -1, up = -1, marked = -1;
	uint64_t skipped = 0, none;
	char value[8];
	struct stat st;

	lo = unpack_at(dirfd, "lo", put_lower, &skipped);
	up = unpack_at(dirfd, "up", put_upper, &none);
	CHECK(skipped == 1 && none == 0);
	CHECK(fstatat(lo, "null", &st, 0) < 0);
	CHECK(fstatat(lo, "owned", &st, 0) == 0 && st.st_uid == NOBODY && (st.st_mode & 07777) == 04755);
	/* The later of the two */
	CHECK(fstatat(lo, "locked", &st, 0) == 0 && (st.st_mode & 07777) == 0111);
	marked = openat(lo, "marked", O_RDONLY | O_CLOEXEC);
	CHECK(fgetxattr(marked, "user.k", value, sizeof(value)) == 1 && value[0] == 'v');
	check_overlay(dirfd);
	leave(0);
}

static void test_unpack_rootless_makes_layers_for_a_user_namespace(void **state)
{
	auto_fini(temp_dir) struct temp_dir t = temp_dir();
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		printf("skipped: not root, so cannot become somebody else\n");
		skip();
	}
	assert_int_equal(fchown(t.fd, NOBODY, NOBODY), 0);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		CHECK(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0);
		CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
		CHECK(prctl(PR_SET_DUMPABLE, 1) == 0); /* or /proc/self is not ours */
		as_nobody(t.fd);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpack_never_leaves_the_root_while_parents_are_swapped),
		cmocka_unit_test(test_unpack_rootless_makes_layers_for_a_user_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
