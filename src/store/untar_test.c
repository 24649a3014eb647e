/* SPDX-License-Identifier: Apache-2.0 */
/* store_tar_tree() and store_untar_into(): the copies that go into and out of live roots */
#include "store/store_testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fmt/tar.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char *in_dir(const char *name)
{
	return str_printf("%s/%s", testing_dir, name);
}

static int open_dir(const char *name)
{
	auto_free char *path = in_dir(name);
	int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);

	assert_true(fd >= 0);
	return fd;
}

static int run(const char *script)
{
	auto_free char *cmd = str_printf("cd %s && { %s; }", testing_dir, script);

	return system(cmd);
}

static void entry(struct tarout *out, enum tar_type type, const char *name, const char *text)
{
	struct tar_entry n = { .type = type,
			       .name = name,
			       .link = "",
			       .mode = type == TAR_DIR ? 0751 : 0640,
			       .mtime_s = 1234567890 };

	if (type == TAR_SYMLINK || type == TAR_LINK)
		n.link = text;
	else
		n.size = strlen(text);
	assert_int_equal(tarout_entry(out, &n, NULL), 0);
	if (n.size > 0)
		assert_int_equal(tarout_data(out, text, n.size, NULL), 0);
}

/* one() - an archive of a single entry. */
static int one(enum tar_type type, const char *name, const char *text)
{
	auto_fini(buf) struct buf tar = { 0 };
	struct tarout out;

	tarout_init(&out, testing_buf_write, &tar);
	entry(&out, type, name, text);
	assert_int_equal(tarout_end(&out, NULL), 0);
	tarout_fini(&out);
	return testing_fd(tar.data, tar.len);
}

static void assert_file(const char *name, const char *want)
{
	auto_fini(buf) struct buf b = { 0 };
	auto_free char *path = in_dir(name);

	assert_int_equal(file_slurp_at(AT_FDCWD, path, &b, 1000), 0);
	assert_string_equal(buf_str(&b), want);
}

static void test_tree_comes_back_as_it_was(void **state)
{
	auto_close int from = -1;
	auto_close int to = -1;
	auto_close int tar = file_memfd("tar", 0);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(run("mkdir -p from/d/e to; echo x >from/d/f; ln from/d/f from/d/g; ln -s nowhere "
			     "from/l; mkfifo from/p;"
			     " chmod 4755 from/d/f; touch -d @1111111111.5 from/d/f from/d; head -c 200000 "
			     "/dev/urandom >from/big;"
			     " long=$(printf 'y%.0s' $(seq 200)); echo z >from/$long"),
			 0);
	from = open_dir("from");
	to = open_dir("to");
	must(store_tar_tree(from, "/", "", tar, &e), e);
	lseek(tar, 0, SEEK_SET);
	must(store_untar_into(to, "/", tar, true, &e), e);
	assert_int_equal(run("diff -r -x p --no-dereference from to && (cd from; find . | sort | xargs stat "
			     "-c '%n %a %u %g %h %Y %F %s') >1 &&"
			     " (cd to; find . | sort | xargs stat -c '%n %a %u %g %h %Y %F %s') >2 && grep "
			     "-v '^\\. ' 1 >1a;"
			     " grep -v '^\\. ' 2 | diff - 1a"),
			 0);
}

static void test_one_file_is_copied_under_another_name(void **state)
{
	auto_close int from = -1;
	auto_close int to = -1;
	auto_close int tar = file_memfd("tar", 0);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(run("mkdir -p cp/etc cp2; echo hello >cp/etc/hosts; ln -s /etc cp/link"), 0);
	from = open_dir("cp");
	to = open_dir("cp2");
	must(store_tar_tree(from, "/link/hosts", "new", tar, &e), e);
	lseek(tar, 0, SEEK_SET);
	must(store_untar_into(to, ".", tar, false, &e), e);
	assert_file("cp2/new", "hello\n");
	assert_int_equal(store_tar_tree(from, "/no/such", "x", tar, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/no/such"));
}

static void test_untar_never_leaves_the_root(void **state)
{
	static const struct {
		enum tar_type type;
		const char *name, *text, *lands;
		int want;
	} c[] = {
		{ TAR_FILE, "out/a", "1", "jail/a", 0 },   /* "out" -> "/": the root's own */
		{ TAR_FILE, "up/b", "1", "jail/b", 0 },    /* "up" -> "../../..": stops there */
		{ TAR_FILE, "abs/c", "1", NULL, -ENOENT }, /* a target outside is not there */
		{ TAR_FILE, "/d", "1", "jail/d", 0 },
		{ TAR_FILE, "../e", "1", NULL, -EINVAL },
		{ TAR_FILE, "x/../../e", "1", NULL, -EINVAL },
		{ TAR_FILE, "last", "1", "jail/last", 0 }, /* a symlink itself is replaced, not followed */
		{ TAR_LINK, "hard", "../outside/secret", NULL, -EINVAL },
		{ TAR_LINK, "hard", "abs/secret", NULL, -ENOENT },
		{ TAR_DIR, "last2", "", NULL, -ENOTDIR },
		{ TAR_FILE, "dir", "1", NULL, -EISDIR },
	};
	auto_free char *outside = in_dir("outside"), *setup = NULL;
	auto_close int jail = -1;

	(void)state;
	setup = str_printf("mkdir -p jail/dir/sub outside; echo secret >outside/secret; ln -s / jail/out; ln "
			   "-s ../../.. jail/up;"
			   " ln -s %s jail/abs; ln -s %s/secret jail/last; ln -s %s jail/last2",
			   outside, outside, outside);
	assert_int_equal(run(setup), 0);
	jail = open_dir("jail");
	for (size_t i = 0; i < COUNT(c); i++) {
		auto_close int tar = one(c[i].type, c[i].name, c[i].text);
		struct err e = { 0 };
		int r = store_untar_into(jail, "/", tar, true, &e);

		/* a dangling way out may also be made inside the root: either is inside */
		if (c[i].want == -ENOENT && r == 0)
			r = -ENOENT;
		if (r != c[i].want)
			print_error("'%s': got %d (%s), want %d\n", c[i].name, r, e.text, c[i].want);
		assert_int_equal(r, c[i].want);
		if (c[i].lands)
			assert_file(c[i].lands, "1");
	}
	assert_file("outside/secret", "secret\n");
	assert_int_equal(run("test \"$(ls outside)\" = secret"), 0);
}

/* --- races ---------------------------------------------------------------------------------------------- */

static atomic_bool stop_swapping;

/* swap() - race/d is a directory, is a symlink to outside, is a directory, ... */
static void *swap(void *arg)
{
	auto_free char *d = in_dir("race/d"), *l = in_dir("race/l");

	(void)arg;
	while (!atomic_load(&stop_swapping))
		syscall(SYS_renameat2, AT_FDCWD, d, AT_FDCWD, l, 2 /* RENAME_EXCHANGE */);
	return NULL;
}

static void test_untar_and_tar_stay_inside_while_a_directory_is_swapped_for_a_symlink(void **state)
{
	enum { ROUNDS = 3000 };
	auto_free char *target = in_dir("target"), *setup = NULL;
	auto_close int race = -1;
	pthread_t thread;
	int inside = 0;

	(void)state;
	setup = str_printf("mkdir -p race/d target; echo host-secret >target/secret; echo mine "
			   ">race/d/secret; ln -s %s race/l",
			   target);
	assert_int_equal(run(setup), 0);
	race = open_dir("race");
	atomic_store(&stop_swapping, false);
	assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		auto_close int tar = one(TAR_FILE, "d/evil", "evil");
		auto_close int out = file_memfd("out", 0);
		auto_fini(buf) struct buf got = { 0 };

		inside += store_untar_into(race, "/", tar, true, NULL) == 0;
		store_tar_tree(race, "/d/secret", "s", out, NULL);
		store_tar_tree(race, "/", "", out, NULL);
		lseek(out, 0, SEEK_SET);
		assert_int_equal(file_slurp(out, &got, 1 << 20), 0);
		assert_null(memmem(got.data ? got.data : "", got.len, "host-secret", 11));
	}
	atomic_store(&stop_swapping, true);
	pthread_join(thread, NULL);
	assert_true(inside > 0); /* or the race was none */
	assert_int_equal(run("test \"$(ls target)\" = secret"), 0);
}

static void test_tar_of_a_file_that_shrinks_is_still_an_archive(void **state)
{
	auto_close int from = -1;
	auto_close int file = -1;
	auto_close int out = file_memfd("out", 0);
	auto_free char *path = in_dir("shrink/f");

	(void)state;
	assert_int_equal(run("mkdir -p shrink; head -c 3000000 /dev/zero >shrink/f; echo end >shrink/g"), 0);
	from = open_dir("shrink");
	file = file_open(AT_FDCWD, path, O_WRONLY, 0);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(store_tar_tree(from, "/", "", out, NULL) < 0);
		assert_int_equal(ftruncate(file, 1000), 0);
		assert_int_equal(ftruncate(file, 3000000), 0);
		{
			int status;
			auto_free char *list = NULL;

			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_int_equal(status, 0);
			list = str_printf("tar -tf /proc/%d/fd/%d | tr '\\n' ' ' | grep -qx 'f g '",
					  (int)getpid(), out);
			lseek(out, 0, SEEK_SET);
			assert_int_equal(run(list), 0);
			assert_int_equal(ftruncate(out, 0), 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree_comes_back_as_it_was),
		cmocka_unit_test(test_one_file_is_copied_under_another_name),
		cmocka_unit_test(test_untar_never_leaves_the_root),
		cmocka_unit_test(test_untar_and_tar_stay_inside_while_a_directory_is_swapped_for_a_symlink),
		cmocka_unit_test(test_tar_of_a_file_that_shrinks_is_still_an_archive),
	};

	return cmocka_run_group_tests(tests, testing_setup, testing_teardown);
}
