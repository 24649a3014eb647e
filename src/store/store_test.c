/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_testing.h"

#include <sys/wait.h>

#include "base/time.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_refs_are_normalized_as_docker_does(void **state)
{
	static const char digest[] =
		"@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const struct {
		const char *ref, *want, *familiar;
	} c[] = {
		{ "alpine", "docker.io/library/alpine:latest", "alpine:latest" },
		{ "alpine:3.18", "docker.io/library/alpine:3.18", "alpine:3.18" },
		{ "me/app", "docker.io/me/app:latest", "me/app:latest" },
		{ "docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest" },
		{ "index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest" },
		{ "localhost/x", "localhost/x:latest", "localhost/x:latest" },
		{ "localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y" },
		{ "reg.example.com/a/b/c:T_1.2-x", "reg.example.com/a/b/c:T_1.2-x",
		  "reg.example.com/a/b/c:T_1.2-x" },
		{ "[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest" },
		{ "a__b/c-d.e_f", "docker.io/a__b/c-d.e_f:latest", "a__b/c-d.e_f:latest" },
		{ "Host/x", "Host/x:latest", "Host/x:latest" },
		{ "docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest" },
		{ "Alpine", NULL, NULL },
		{ "", NULL, NULL },
		{ "a:", NULL, NULL },
		{ "a/", NULL, NULL },
		{ "/a", NULL, NULL },
		{ "a//b", NULL, NULL },
		{ "a___b", NULL, NULL },
		{ "-a", NULL, NULL },
		{ "a-", NULL, NULL },
		{ "a..b", NULL, NULL },
		{ "a:-x", NULL, NULL },
		{ "a@sha256:12", NULL, NULL },
		{ "../a", NULL, NULL },
		{ "a b", NULL, NULL },
		{ "host:port/a", NULL, NULL },
		{ "a:b:c", NULL, NULL },
	};
	auto_free char *with_digest = str_printf("alpine%s", digest), *full = NULL;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(c); i++) {
		auto_free char *got = NULL;
		int r = image_ref_normalize(c[i].ref, &got, &e);

		if ((r == 0) != (c[i].want != NULL))
			print_error("'%s': got %d %s\n", c[i].ref, r, got ? got : e.text);
		assert_int_equal(r == 0, c[i].want != NULL);
		if (!c[i].want)
			continue;
		assert_string_equal(got, c[i].want);
		assert_string_equal(image_ref_familiar(got), c[i].familiar);
	}
	must(image_ref_normalize(with_digest, &full, &e), e);
	assert_true(str_starts(full, "docker.io/library/alpine@sha256:"));
}

static void test_store_gives_back_a_blob_and_notices_when_it_was_changed(void **state)
{
	struct store *st = testing_open();
	auto_fini(buf) struct buf b = { 0 };
	char digest[STORE_DIGEST_SIZE];
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct err e = { 0 };

	(void)state;
	must(store_blob_put(st, "hello", 5, digest, &e), e);
	must(store_blob_put(st, "hello", 5, digest, &e), e);
	must(store_blob_get(st, digest, 100, &b, &e), e);
	assert_string_equal(buf_str(&b), "hello");
	assert_int_equal(store_blob_get(st, digest, 4, &b, &e), -EFBIG);
	assert_int_equal(store_blob_get(st, "sha256:../../etc/passwd", 100, &b, &e), -EINVAL);

	path = str_printf("%s/blobs/sha256/%s", testing_root, digest + 7);
	fd = file_open(AT_FDCWD, path, O_WRONLY | O_TRUNC, 0);
	assert_true(fd >= 0);
	assert_int_equal(store_blob_get(st, digest, 100, &b, &e), -EBADMSG);
	assert_non_null(strstr(e.text, digest + 7));
	store_close(st);
}

static void test_store_finds_an_image_by_name_id_and_prefix(void **state)
{
	struct store *st = testing_open();
	char id[STORE_DIGEST_SIZE], prefix[16];
	const char *ref[] = { "find:1", "docker.io/library/find:1", id, id + 7, prefix };
	struct err e = { 0 };

	(void)state;
	testing_put_image(st, "find", "find:1", id);
	str_format(prefix, sizeof(prefix), "%.12s", id + 7);
	for (size_t i = 0; i < COUNT(ref); i++) {
		auto_fini(image) struct image im = { 0 };

		must(store_image_find(st, ref[i], &im, &e), e);
		assert_string_equal(im.id, id);
		assert_int_equal(im.n_layers, 1);
		assert_true(im.size_bytes > 15000);
		assert_int_equal(im.tags.len, 1);
		assert_string_equal(im.tags.item[0], "docker.io/library/find:1");
		assert_int_equal(im.created_ns / NSEC_PER_SEC, 1767323045);
		assert_non_null(strstr(im.config, "\"find\""));
	}
	{
		auto_fini(image) struct image im = { 0 };

		assert_int_equal(store_image_find(st, "find:2", &im, &e), -ENOENT);
		assert_string_equal(e.text, "no such image: 'find:2'");
		assert_int_equal(store_image_find(st, "Find", &im, &e), -EINVAL);
	}
	store_close(st);
}

static bool used_by_nobody_but(void *arg, const char *image_id, char *ret_by, size_t size)
{
	str_copy(ret_by, size, "web");
	return str_eq(arg, image_id);
}

static bool exists(const char *fmt, const char *hex)
{
	auto_free char *name = str_printf(fmt, hex);
	auto_free char *path = str_printf("%s/%s", testing_root, name);

	return access(path, F_OK) == 0;
}

static void test_store_removes_an_image_with_its_last_name(void **state)
{
	struct store *st = testing_open();
	auto_fini(strv) struct strv told = { 0 };
	auto_fini(image) struct image im = { 0 }, gone = { 0 };
	char id[STORE_DIGEST_SIZE];
	struct err e = { 0 };

	(void)state;
	testing_put_image(st, "rm", "rm:1", id);
	must(store_image_tag(st, "rm:1", "example.com/rm:2", &e), e);
	must(store_image_find(st, id, &im, &e), e);
	assert_int_equal(im.tags.len, 2);
	assert_int_equal(store_image_remove(st, id, false, NULL, &e), -EBUSY); /* which of the two? */
	must(store_image_remove(st, "rm:1", false, &told, &e), e);
	assert_int_equal(told.len, 1);
	assert_string_equal(told.item[0], "Untagged: rm:1");

	store_set_in_use(st, used_by_nobody_but, id);
	assert_int_equal(store_image_remove(st, "example.com/rm:2", false, NULL, &e), -EBUSY);
	assert_non_null(strstr(e.text, "web"));
	must(store_image_remove(st, "example.com/rm:2", true, &told, &e), e); /* its name goes, it stays */
	image_fini(&im);
	must(store_image_find(st, id, &im, &e), e);
	assert_int_equal(im.tags.len, 0);

	store_set_in_use(st, NULL, NULL);
	must(store_image_remove(st, id, false, &told, &e), e);
	assert_int_equal(store_image_find(st, id, &gone, &e), -ENOENT);
	assert_false(exists("layers/%s.erofs", im.layers[0] + 7) ||
		     exists("layers/%s.tree", im.layers[0] + 7));
	assert_false(exists("layers/%s.recipe", im.layers[0] + 7));
	assert_false(exists("blobs/sha256/%s", id + 7));
	assert_false(exists("blobs/sha256/%s", im.manifest + 7));
	store_close(st);
}

static void test_store_keeps_a_layer_that_another_writer_may_want(void **state)
{
	struct store *st = testing_open(), *writer = testing_open();
	char id[STORE_DIGEST_SIZE], diff_id[STORE_DIGEST_SIZE];
	auto_free char *path = NULL;
	uint64_t freed;
	struct err e = { 0 };

	(void)state;
	testing_put_layer(writer, "pending", 2, 100, diff_id);
	testing_put_image(st, "other", "other:1", id);
	must(store_image_remove(st, "other:1", false, NULL, &e), e);
	must(store_prune(st, false, true, false, NULL, &freed, &e), e);
	must(store_layer_path(writer, diff_id, &path, &e), e); /* no image yet, but its writer lives */
	store_close(writer);
	must(store_prune(st, false, true, false, NULL, &freed, &e), e);
	assert_true(freed > 0);
	assert_int_equal(access(path, F_OK), -1);
	store_close(st);
}

static void test_store_says_which_layer_is_missing_or_cut_short(void **state)
{
	struct store *st = testing_open();
	auto_free char *path = NULL, *again = NULL;
	char diff_id[STORE_DIGEST_SIZE];
	struct err e = { 0 };

	(void)state;
	testing_put_layer(st, "cut", 3, 5000, diff_id);
	must(store_layer_path(st, diff_id, &path, &e), e);
	if (!str_ends(path, ".erofs")) {
		print_message("no EROFS here: a tree cannot be cut short\n");
		store_close(st);
		skip();
	}
	assert_int_equal(truncate(path, 4096), 0);
	assert_int_equal(store_layer_path(st, diff_id, &again, &e), -EBADMSG);
	assert_non_null(strstr(e.text, diff_id));
	testing_put_layer(st, "cut", 3, 5000, diff_id); /* put anew, it is whole */
	must(store_layer_path(st, diff_id, &again, &e), e);
	assert_int_equal(unlink(path), 0);
	free(again);
	again = NULL;
	assert_int_equal(store_layer_path(st, diff_id, &again, &e), -ENOENT);
	store_close(st);
}

static void test_store_refuses_a_layer_of_another_digest(void **state)
{
	struct store *st = testing_open();
	auto_fini(buf) struct buf tar = { 0 };
	auto_close int fd = -1;
	char want[STORE_DIGEST_SIZE], got[STORE_DIGEST_SIZE], other[STORE_DIGEST_SIZE];
	struct err e = { 0 };

	(void)state;
	testing_layer(&tar, "expected", 1, 10);
	digest_of(tar.data, tar.len, want);
	digest_of("", 0, other);
	fd = testing_fd(tar.data, tar.len);
	assert_int_equal(store_layer_put(st, fd, other, got, &e), -EBADMSG);
	lseek(fd, 0, SEEK_SET);
	must(store_layer_put(st, fd, want, got, &e), e);
	assert_string_equal(got, want);
	tar.data[700] ^= 1;
	{
		auto_close int damaged = testing_fd(tar.data, tar.len);

		assert_int_equal(store_layer_put(st, damaged, NULL, got, &e), -EBADMSG);
	}
	store_close(st);
}

static void test_store_tells_of_a_damaged_database(void **state)
{
	auto_free char *root = str_printf("%s/damaged", testing_dir);
	auto_free char *db = str_printf("%s/hull.db", root);
	struct store *st = NULL;
	struct err e = { 0 };
	auto_close int fd = -1;

	(void)state;
	assert_int_equal(mkdir(root, 0700), 0);
	fd = file_open(AT_FDCWD, db, O_WRONLY | O_CREAT, 0600);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(file_write(fd, "this is no database ", 20), 0);
	assert_int_equal(store_open(&st, root, &e), -EBADMSG);
	assert_non_null(strstr(e.text, db));
	assert_non_null(strstr(e.text, "move it away"));
}

static void test_store_takes_the_same_image_from_several_processes_at_once(void **state)
{
	enum { WRITERS = 6 };
	pid_t pid[WRITERS];
	struct store *st;
	auto_fini(image) struct image im = { 0 };
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < WRITERS; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0) {
			char id[STORE_DIGEST_SIZE], tag[32];

			st = testing_open();
			str_format(tag, sizeof(tag), "many:%d", i);
			for (int n = 0; n < 5; n++)
				testing_put_image(st, "many", tag, id);
			store_close(st);
			_exit(0);
		}
	}
	for (int i = 0; i < WRITERS; i++) {
		int status;

		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	st = testing_open();
	must(store_image_find(st, "many:3", &im, &e), e);
	assert_int_equal(im.tags.len, WRITERS);
	store_close(st);
}

static void test_store_sweeps_what_a_killed_command_left_but_not_a_live_ones(void **state)
{
	auto_free char *dead = str_printf("%s/tmp/dead", testing_root),
		       *live = str_printf("%s/tmp/live", testing_root);
	auto_free char *inside = str_printf("%s/tmp/dead/file", testing_root);
	auto_close int fd = -1;
	auto_close int made = -1;

	(void)state;
	store_close(testing_open());
	assert_int_equal(mkdir(dead, 0700), 0);
	assert_int_equal(mkdir(live, 0700), 0);
	made = file_open(AT_FDCWD, inside, O_CREAT | O_WRONLY, 0600);
	fd = file_open(AT_FDCWD, live, O_RDONLY | O_DIRECTORY, 0);
	assert_int_equal(file_lock(fd, true, false), 0);
	store_close(testing_open());
	assert_int_equal(access(dead, F_OK), -1);
	assert_int_equal(access(live, F_OK), 0);
	fd_close(&fd);
	store_close(testing_open());
	assert_int_equal(access(live, F_OK), -1);
}

static int count_volume(void *arg, const char *name, const char *path)
{
	assert_non_null(strstr(path, name));
	(*(int *)arg)++;
	return 0;
}

static void test_volumes_are_made_listed_and_removed(void **state)
{
	struct store *st = testing_open();
	auto_free char *path = NULL, *again = NULL;
	bool fresh = false;
	struct err e = { 0 };
	int n = 0;

	(void)state;
	must(store_volume_make(st, "data", &path, &fresh, &e), e);
	assert_true(fresh);
	assert_int_equal(access(path, W_OK), 0);
	must(store_volume_make(st, "data", &again, &fresh, &e), e);
	assert_false(fresh);
	assert_string_equal(path, again);
	assert_int_equal(store_volume_make(st, "../x", NULL, NULL, &e), -EINVAL);
	assert_int_equal(store_volume_make(st, "", NULL, NULL, &e), -EINVAL);
	must(store_volume_each(st, count_volume, &n, &e), e);
	assert_int_equal(n, 1);
	must(store_volume_remove(st, "data", &e), e);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(store_volume_remove(st, "data", &e), -ENOENT);
	store_close(st);
}

static bool volume_used(void *arg, const char *name, char *ret_by, size_t size)
{
	str_copy(ret_by, size, "web");
	return str_eq(arg, name);
}

static void test_prune_takes_only_anonymous_volumes_that_nobody_uses(void **state)
{
	static const char free_one[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static char used_one[] = "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const name[] = { free_one, used_one, "named" };
	struct store *st = testing_open();
	auto_free char *gone = NULL;
	uint64_t freed;
	struct err e = { 0 };
	int n = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(name); i++)
		must(store_volume_make(st, name[i], NULL, NULL, &e), e);
	assert_int_equal(store_prune(st, false, false, true, NULL, &freed, &e), -EOPNOTSUPP);
	store_set_volume_in_use(st, volume_used, used_one);
	must(store_prune(st, false, false, true, NULL, &freed, &e), e);
	must(store_volume_each(st, count_volume, &n, &e), e);
	assert_int_equal(n, 2);
	gone = str_printf("%s/volumes/%s", testing_root, free_one);
	assert_int_equal(access(gone, F_OK), -1);
	must(store_volume_remove(st, used_one, &e), e);
	must(store_volume_remove(st, "named", &e), e);
	store_close(st);
}

static void test_build_cache_keeps_its_layers(void **state)
{
	struct store *st = testing_open();
	char diff_id[STORE_DIGEST_SIZE], got[STORE_DIGEST_SIZE];
	auto_free char *config = NULL, *path = NULL;
	uint64_t freed;
	struct store_usage u;
	struct err e = { 0 };

	(void)state;
	testing_put_layer(st, "cached", 2, 100, diff_id);
	assert_int_equal(store_cache_get(st, "key", got, &config, &e), 0);
	must(store_cache_put(st, "key", diff_id, "{}", &e), e);
	store_close(st);
	st = testing_open();
	must(store_prune(st, false, false, false, NULL, &freed, &e), e);
	assert_int_equal(store_cache_get(st, "key", got, &config, &e), 1);
	assert_string_equal(got, diff_id);
	assert_string_equal(config, "{}");
	must(store_usage(st, &u, &e), e);
	assert_int_equal(u.cache, 1);
	assert_true(u.cache_bytes > 0);
	must(store_prune(st, false, true, false, NULL, &freed, &e), e);
	assert_int_equal(store_layer_path(st, diff_id, &path, &e), -ENOENT);
	store_close(st);
}

static int note_history(void *arg, const struct store_history *h)
{
	strv_addf(arg, "%s %s %s", h->id ? "top" : "-", h->created_by, h->diff_id ? "layer" : "empty");
	return 0;
}

static void test_history_is_newest_first_and_knows_its_layers(void **state)
{
	struct store *st = testing_open();
	auto_fini(image) struct image im = { 0 };
	auto_fini(strv) struct strv lines = { 0 };
	char id[STORE_DIGEST_SIZE];
	struct err e = { 0 };

	(void)state;
	testing_put_image(st, "history", "history:1", id);
	must(store_image_find(st, "history:1", &im, &e), e);
	must(store_image_history(st, &im, note_history, &lines, &e), e);
	assert_int_equal(lines.len, 2);
	assert_string_equal(lines.item[0], "top second empty");
	assert_string_equal(lines.item[1], "- first layer");
	store_close(st);
}

static void test_store_prunes_dangling_and_unused_images(void **state)
{
	struct store *st = testing_open();
	char old[STORE_DIGEST_SIZE], id[STORE_DIGEST_SIZE];
	auto_fini(image) struct image im = { 0 }, kept = { 0 };
	uint64_t freed;
	struct err e = { 0 };

	(void)state;
	testing_put_image(st, "old", "moved:1", old);
	testing_put_image(st, "new", "moved:1", id); /* takes the name along */
	store_close(st);
	st = testing_open();
	must(store_prune(st, false, false, false, NULL, &freed, &e), e);
	assert_int_equal(store_image_find(st, old, &im, &e), -ENOENT);
	must(store_image_find(st, "moved:1", &kept, &e), e);
	must(store_prune(st, true, false, false, NULL, &freed, &e), e);
	assert_int_equal(store_image_find(st, "moved:1", &im, &e), -ENOENT);
	store_close(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refs_are_normalized_as_docker_does),
		cmocka_unit_test(test_store_gives_back_a_blob_and_notices_when_it_was_changed),
		cmocka_unit_test(test_store_finds_an_image_by_name_id_and_prefix),
		cmocka_unit_test(test_store_removes_an_image_with_its_last_name),
		cmocka_unit_test(test_store_keeps_a_layer_that_another_writer_may_want),
		cmocka_unit_test(test_store_says_which_layer_is_missing_or_cut_short),
		cmocka_unit_test(test_store_refuses_a_layer_of_another_digest),
		cmocka_unit_test(test_store_tells_of_a_damaged_database),
		cmocka_unit_test(test_store_takes_the_same_image_from_several_processes_at_once),
		cmocka_unit_test(test_store_sweeps_what_a_killed_command_left_but_not_a_live_ones),
		cmocka_unit_test(test_volumes_are_made_listed_and_removed),
		cmocka_unit_test(test_prune_takes_only_anonymous_volumes_that_nobody_uses),
		cmocka_unit_test(test_build_cache_keeps_its_layers),
		cmocka_unit_test(test_history_is_newest_first_and_knows_its_layers),
		cmocka_unit_test(test_store_prunes_dangling_and_unused_images),
	};

	return cmocka_run_group_tests(tests, testing_setup, testing_teardown);
}
