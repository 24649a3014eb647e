/* SPDX-License-Identifier: Apache-2.0 */
/* A full disk, and the store of a user who is not root: each in a process of its own */
#include "store/store_testing.h"

#include <sched.h>
#include <sys/wait.h>

#include "fs/overlay.h"
#include "sys/call.h"
#include "sys/mount.h"

enum { SKIPPED = 77 };

/* in_child() - asserts do not cross a fork: the child says what failed, and its status is the result. */
static void in_child(int (*body)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(body());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		skip();
	assert_int_equal(status, 0);
}

static int failed(const char *what, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", what, e->text);
	return 1;
}

static int put(struct store *st, const char *name, size_t n, size_t len, char *diff_id, struct err *e)
{
	auto_fini(buf) struct buf tar = { 0 };
	auto_close int fd = -1;

	testing_layer(&tar, name, n, len);
	fd = testing_fd(tar.data, tar.len);
	return store_layer_put(st, fd, NULL, diff_id, e);
}

static int on_a_full_disk(void)
{
	auto_free char *dir = str_printf("%s/small", testing_dir),
		       *root = str_printf("%s/small/root", testing_dir);
	auto_free char *left = str_printf("test -z \"$(ls -A %s/layers %s/tmp | grep -v :)\"", root, root);
	char diff_id[STORE_DIGEST_SIZE], id[STORE_DIGEST_SIZE];
	struct store *st = NULL;
	struct err e = { 0 };

	if (unshare(CLONE_NEWNS) < 0 || mnt_propagation("/", MS_REC | MS_PRIVATE) < 0 ||
	    mkdir(dir, 0700) < 0 || SYS5(SYS_mount, "small", dir, "tmpfs", 0, "size=2m") < 0) {
		fprintf(stderr, "needs to mount a tmpfs\n");
		return SKIPPED;
	}
	if (store_open(&st, root, &e) < 0)
		return failed("open", &e);
	if (put(st, "big", 40, 100000, diff_id, &e) != -ENOSPC)
		return failed("a layer of 4 MB on 2 MB", &e);
	if (!strstr(e.text, "no space left") || strchr(e.text, '\n'))
		return failed("text", &e);
	if (system(left) != 0)
		return failed("something is left", &e);
	if (put(st, "small", 2, 1000, diff_id, &e) < 0) /* what fits still goes in */
		return failed("small layer", &e);
	testing_put_image(st, "image", "small:1", id);
	store_close(st);
	return 0;
}

static void test_layer_that_does_not_fit_on_the_disk_leaves_nothing(void **state)
{
	(void)state;
	in_child(on_a_full_disk);
}

static int as_nobody(void)
{
	auto_free char *dir = str_printf("%s/nobody", testing_dir),
		       *root = str_printf("%s/nobody/root", testing_dir);
	auto_free char *path = NULL, *archive = str_printf("%s/nobody/saved.tar", testing_dir);
	auto_close int out = -1;
	char *refs[] = { "nobody:1" };
	char id[STORE_DIGEST_SIZE];
	struct store *st = NULL;
	auto_fini(image) struct image im = { 0 };
	struct err e = { 0 };

	if (geteuid() != 0) {
		fprintf(stderr, "needs root to become another user\n");
		return SKIPPED;
	}
	if (chmod(testing_dir, 0755) < 0 || mkdir(dir, 0700) < 0 || chown(dir, 65534, 65534) < 0 ||
	    setgid(65534) < 0 || setuid(65534) < 0)
		return failed("become nobody", &e);
	if (overlay_erofs_mountable())
		return failed("a user cannot mount EROFS", &e);
	if (store_open(&st, root, &e) < 0)
		return failed("open", &e);
	testing_put_image(st, "nobody", refs[0], id);
	if (store_image_find(st, refs[0], &im, &e) < 0 || store_layer_path(st, im.layers[0], &path, &e) < 0)
		return failed("find", &e);
	if (!str_ends(path, ".tree"))
		return failed(path, &e);
	out = file_open(AT_FDCWD, archive, O_WRONLY | O_CREAT, 0600);
	if (store_save(st, refs, 1, out, &e) < 0 ||
	    store_save_changed(st)) /* other owners than ours are in the recipe */
		return failed("save", &e);
	if (store_image_remove(st, refs[0], false, NULL, &e) < 0 || access(path, F_OK) == 0)
		return failed("remove", &e);
	store_close(st);
	return 0;
}

static void test_store_of_a_user_keeps_trees_and_saves_the_same_bytes(void **state)
{
	(void)state;
	in_child(as_nobody);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layer_that_does_not_fit_on_the_disk_leaves_nothing),
		cmocka_unit_test(test_store_of_a_user_keeps_trees_and_saves_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, testing_setup, testing_teardown);
}
