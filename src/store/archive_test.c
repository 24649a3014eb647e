/* SPDX-License-Identifier: Apache-2.0 */
/* save, load, import and export; archives of other programs; commands killed in the middle */
#include "store/store_testing.h"

#include <signal.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/time.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char *in_dir(const char *name)
{
	return str_printf("%s/%s", testing_dir, name);
}

static struct store *open_other(const char *name)
{
	auto_free char *root = in_dir(name);
	struct store *st = NULL;
	struct err e = { 0 };

	must(store_open(&st, root, &e), e);
	return st;
}

static int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int run(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;

	va_start(ap, fmt);
	str_vformat(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd);
}

static bool have(const char *program)
{
	return run("command -v %s >/dev/null 2>&1", program) == 0;
}

/* foreign_layer() - as GNU tar writes it: GNU headers, long names, links, an odd order, blocks of 20. */
static void foreign_layer(const char *options, const char *name)
{
	const char *more =
		strstr(options, "ustar") ? "rm a/x* a/long_link" : ":"; /* a name ustar has no room for */
	static const char make[] = "set -e; rm -rf %s/src; mkdir -p %s/src/a/b %s/src/etc; cd %s/src; echo "
				   "one >a/one; head -c 100000 /dev/urandom >a/b/big;"
				   " : >empty; ln a/one a/same; ln -s ../a/one etc/link; mkfifo a/fifo; echo "
				   "secret >etc/shadow; chmod 0 etc/shadow;"
				   " long=$(printf 'x%%.0s' $(seq 120)); echo long >a/$long; ln -s $long "
				   "a/long_link; chmod 4755 a/one; touch -d @1500000000.123 a;"
				   " %s; tar %s -cf %s/%s etc a empty";

	assert_int_equal(run(make, testing_dir, testing_dir, testing_dir, testing_dir, more, options,
			     testing_dir, name),
			 0);
}

/* docker_archive() - as `docker save` of old: the config, a directory for each layer, manifest.json last. */
static void docker_archive(const char *layer, const char *tag, const char *name)
{
	static const char make[] =
		"set -e; cd %s; rm -rf da; mkdir -p da/1; cp %s da/1/layer.tar; d=$(sha256sum "
		"<da/1/layer.tar | cut -c1-64);"
		" printf "
		"'{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["
		"\"sha256:%%s\"]}}' $d"
		" >da/config.json; c=$(sha256sum <da/config.json | cut -c1-64); mv da/config.json da/$c.json;"
		" printf '[{\"Config\":\"%%s.json\",\"RepoTags\":[\"%s\"],\"Layers\":[\"1/layer.tar\"]}]' $c "
		">da/manifest.json;"
		" tar -C da -cf %s $c.json 1 manifest.json";

	assert_int_equal(run(make, testing_dir, layer, tag, name), 0);
}

static int load(struct store *st, const char *name, struct strv *loaded, struct err *e)
{
	auto_free char *path = in_dir(name);
	auto_close int fd = file_open(AT_FDCWD, path, O_RDONLY, 0);

	assert_true(fd >= 0);
	return store_load(st, fd, loaded, e);
}

static int save(struct store *st, const char *ref, const char *name, struct err *e)
{
	auto_free char *path = in_dir(name);
	auto_close int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char *refs[] = { (char *)ref };

	assert_true(fd >= 0);
	return store_save(st, refs, 1, fd, e);
}

static void test_load_of_what_save_wrote_gives_the_same_ids(void **state)
{
	struct store *st = testing_open(), *other = open_other("other");
	auto_fini(image) struct image a = { 0 }, b = { 0 };
	auto_fini(strv) struct strv loaded = { 0 };
	char id[STORE_DIGEST_SIZE];
	struct err e = { 0 };

	(void)state;
	testing_put_image(st, "round", "example.com/round:trip", id);
	must(save(st, "example.com/round:trip", "round.tar", &e), e);
	must(load(other, "round.tar", &loaded, &e), e);
	assert_int_equal(loaded.len, 1);
	assert_string_equal(loaded.item[0], "example.com/round:trip");
	must(store_image_find(st, id, &a, &e), e);
	must(store_image_find(other, "example.com/round:trip", &b, &e), e);
	assert_string_equal(a.id, b.id);
	assert_string_equal(a.manifest, b.manifest);
	assert_string_equal(a.config, b.config);
	assert_string_equal(a.layers[0], b.layers[0]);
	must(save(other, "example.com/round:trip", "again.tar", &e), e); /* byte for byte */
	assert_int_equal(run("cmp %s/round.tar %s/again.tar", testing_dir, testing_dir), 0);
	store_close(st);
	store_close(other);
}

static void test_save_makes_foreign_layers_again_byte_for_byte(void **state)
{
	static const char *const options[] = {
		"--format=gnu",    "--format=pax",
		"--format=ustar",  "--format=gnu -b 64",
		"--format=oldgnu", "--format=pax --pax-option=globexthdr.comment:=hello,delete=atime",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(options); i++) {
		auto_free char *root = str_printf("foreign%zu", i), *tag = str_printf("foreign:%zu", i);
		struct store *st = open_other(root);
		auto_fini(image) struct image im = { 0 };
		struct err e = { 0 };

		foreign_layer(options[i], "layer.tar");
		docker_archive("layer.tar", tag, "foreign.tar");
		must(load(st, "foreign.tar", NULL, &e), e);
		must(store_image_find(st, tag, &im, &e), e);
		must(save(st, tag, "saved.tar", &e), e);
		if (store_save_changed(st))
			print_error("tar %s: another digest\n", options[i]);
		assert_int_equal(store_save_changed(st), 0);
		assert_int_equal(run("cd %s && tar -xOf saved.tar blobs/sha256/%s | cmp - layer.tar",
				     testing_dir, im.layers[0] + 7),
				 0);
		store_close(st);
	}
}

static void test_save_of_a_layer_it_cannot_repeat_says_so(void **state)
{
	struct store *st = open_other("sparse"), *other = open_other("sparse2");
	auto_fini(image) struct image a = { 0 }, b = { 0 };
	auto_fini(strv) struct strv loaded = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(run("cd %s && rm -rf sp && mkdir sp && truncate -s 1M sp/hole && echo x >>sp/hole "
			     "&& tar -S -C sp -cf layer.tar hole",
			     testing_dir),
			 0);
	docker_archive("layer.tar", "sparse:1", "sparse.tar");
	must(load(st, "sparse.tar", NULL, &e), e);
	must(save(st, "sparse:1", "saved.tar", &e), e);
	assert_int_equal(store_save_changed(st), 1);
	must(load(other, "saved.tar", &loaded, &e), e); /* and yet it is a whole image */
	must(store_image_find(st, "sparse:1", &a, &e), e);
	must(store_image_find(other, "sparse:1", &b, &e), e);
	assert_string_not_equal(a.id, b.id);
	must(save(other, "sparse:1", "saved2.tar", &e), e);
	assert_int_equal(store_save_changed(other), 0);
	store_close(st);
	store_close(other);
}

static void test_load_takes_compressed_archives_and_pipes(void **state)
{
	static const char *const pack[] = { "gzip -c", "zstd -qc", "xz -0c", "cat" };
	struct err e = { 0 };

	(void)state;
	foreign_layer("--format=gnu", "layer.tar");
	docker_archive("layer.tar", "packed:1", "plain.tar");
	for (size_t i = 0; i < COUNT(pack); i++) {
		auto_free char *root = str_printf("packed%zu", i), *cmd = NULL;
		struct store *st = open_other(root);
		auto_fini(image) struct image im = { 0 };
		FILE *p;

		if (run("echo | %s >/dev/null 2>&1", pack[i]) != 0)
			continue;
		cmd = str_printf("%s <%s/plain.tar", pack[i], testing_dir);
		p = popen(cmd, "r");
		assert_non_null(p);
		must(store_load(st, fileno(p), NULL, &e), e);
		assert_int_equal(pclose(p), 0);
		must(store_image_find(st, "packed:1", &im, &e), e);
		store_close(st);
	}
}

static void test_load_refuses_archives_that_lie(void **state)
{
	static const struct {
		const char *change, *want;
	} c[] = {
		{ "sed -i s/sha256:/sha256:0/ *.json", "not a digest" },
		{ "printf garbage >>1/layer.tar; sed -i s/xx// manifest.json; truncate -s 5000 1/layer.tar",
		  "layer" },
		{ "rm 1/layer.tar", "missing from the archive" },
		{ "sed -i 's/\"Layers\":.*/\"Layers\":[]}]/' manifest.json", "names 0 layers" },
		{ "sed -i 's:1/layer.tar:../../../../etc/passwd:' manifest.json",
		  "missing from the archive" },
		{ "echo '[{}]' >manifest.json", "Config" },
		{ "echo 'no json' >manifest.json", "line 1" },
		{ "rm manifest.json", "neither manifest.json" },
		{ "sed -i 's/lies:1/LIES:1/' manifest.json", "invalid reference" },
	};
	struct err e = { 0 };

	(void)state;
	foreign_layer("--format=gnu", "layer.tar");
	for (size_t i = 0; i < COUNT(c); i++) {
		auto_free char *root = str_printf("lies%zu", i);
		struct store *st = open_other(root);

		docker_archive("layer.tar", "lies:1", "lies.tar");
		assert_int_equal(
			run("cd %s/da && { %s; } && tar -cf ../lies.tar .", testing_dir, c[i].change), 0);
		assert_true(load(st, "lies.tar", NULL, &e) < 0);
		if (!strstr(e.text, c[i].want))
			print_error("%s: got '%s', want '%s'\n", c[i].change, e.text, c[i].want);
		assert_non_null(strstr(e.text, c[i].want));
		assert_null(strchr(e.text, '\n'));
		store_close(st);
		assert_int_equal(run("test -z \"$(ls -A %s/%s/tmp)\"", testing_dir, root), 0);
	}
}

static void test_load_takes_what_skopeo_writes_and_skopeo_takes_what_we_save(void **state)
{
	static const char *const kind[] = { "docker-archive:%s/sk.tar:skopeo:1",
					    "oci-archive:%s/sk.tar:docker.io/library/skopeo:1" };
	struct store *st = testing_open();
	char id[STORE_DIGEST_SIZE];
	struct err e = { 0 };

	(void)state;
	if (!have("skopeo")) {
		print_message("needs skopeo\n");
		store_close(st);
		skip();
	}
	testing_put_image(st, "skopeo", "skopeo:1", id);
	must(save(st, "skopeo:1", "ours.tar", &e), e);
	for (size_t i = 0; i < COUNT(kind); i++) {
		auto_free char *root = str_printf("skopeo%zu", i), *to = NULL;
		struct store *other = open_other(root);
		auto_fini(image) struct image im = { 0 };
		auto_fini(strv) struct strv loaded = { 0 };
		char target[256];

		to = strdup(kind[i]);
		assert_non_null(strstr(to, "%s"));
		str_format(target, sizeof(target), "%.*s%s%s", (int)(strstr(to, "%s") - to), to, testing_dir,
			   strstr(to, "%s") + 2);
		assert_int_equal(
			run("rm -f %s/sk.tar; skopeo copy -q --insecure-policy docker-archive:%s/ours.tar %s",
			    testing_dir, testing_dir, target),
			0);
		must(load(other, "sk.tar", &loaded, &e), e);
		must(store_image_find(other, "skopeo:1", &im, &e), e);
		store_close(other);
		/* and our archive as the OCI layout that it is, too */
		assert_int_equal(
			run("rm -f %s/sk.tar; skopeo copy -q --insecure-policy oci-archive:%s/ours.tar %s",
			    testing_dir, testing_dir, target),
			0);
	}
	store_close(st);
}

static void test_import_makes_an_image_and_applies_the_changes(void **state)
{
	static const char *const change[] = {
		"CMD [\"/bin/x\", \"y\"]",
		"ENV A=1 B='two words'",
		"ENV A=3",
		"LABEL l=\"v\"",
		"EXPOSE 80 53/udp",
		"WORKDIR /w",
		"USER me",
		"VOLUME /data",
		"ENTRYPOINT run this",
	};
	static const char *const want[] = {
		"\"Cmd\":[\"/bin/x\",\"y\"]",
		"\"Env\":[\"A=3\",\"B=two words\"]",
		"\"Labels\":{\"l\":\"v\"}",
		"\"80/tcp\":{}",
		"\"53/udp\":{}",
		"\"WorkingDir\":\"/w\"",
		"\"User\":\"me\"",
		"\"Volumes\":{\"/data\":{}}",
		"\"Entrypoint\":[\"/bin/sh\",\"-c\",\"run this\"]",
		"\"comment\":\"hi\"",
	};
	struct store *st = testing_open();
	auto_fini(buf) struct buf tar = { 0 };
	auto_fini(image) struct image im = { 0 };
	char id[STORE_DIGEST_SIZE];
	auto_close int fd = -1;
	struct err e = { 0 };

	(void)state;
	testing_layer(&tar, "import", 2, 100);
	fd = testing_fd(tar.data, tar.len);
	must(store_import(st, fd, "import:1", (char *const *)change, COUNT(change), "hi", id, &e), e);
	must(store_image_find(st, "import:1", &im, &e), e);
	for (size_t i = 0; i < COUNT(want); i++) {
		auto_fini(strv) struct strv dense = { 0 };
		auto_fini(buf) struct buf text = { 0 };

		for (const char *p = im.config; *p; p++) /* blanks between members are nobody's business */
			if (*p != ' ' || p[-1] != ',')
				if (*p != ' ' || p[-1] != ':')
					buf_putc(&text, *p);
		if (!strstr(buf_str(&text), want[i]))
			print_error("want %s in %s\n", want[i], buf_str(&text));
		assert_non_null(strstr(buf_str(&text), want[i]));
	}
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(store_import(st, fd, NULL, (char *const[]){ "RUN true" }, 1, NULL, id, &e), -EINVAL);
	assert_non_null(strstr(e.text, "RUN"));
	store_close(st);
}

/* --- upper directories ---------------------------------------------------------------------------------- */

static void test_layer_of_an_upper_directory_can_be_made_again(void **state)
{
	struct store *st = open_other("upper"), *other = open_other("upper2");
	auto_free char *dir = in_dir("up"), *config = NULL, *opaque = NULL, *attributed = NULL;
	char diff_id[STORE_DIGEST_SIZE], again[STORE_DIGEST_SIZE], id[STORE_DIGEST_SIZE];
	char *layers[] = { diff_id };
	auto_close int fd = -1;
	bool empty = true;
	struct err e = { 0 };

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root for whiteouts\n");
		skip();
	}
	assert_int_equal(run("set -e; mkdir -p %s/d/sub %s/opq; cd %s; echo hi >d/f; ln d/f d/g; ln -s f "
			     "d/s; mknod d/gone c 0 0; mkfifo p;"
			     " : >opq/new; chown 7:8 d/f; chmod 1777 d/sub; head -c 9000 /dev/zero >d/z; "
			     "mknod d/null c 1 3",
			     dir, dir, dir),
			 0);
	opaque = str_printf("%s/opq", dir);
	attributed = str_printf("%s/d/f", dir);
	assert_int_equal(setxattr(opaque, "trusted.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(setxattr(attributed, "trusted.b", "2", 1, 0), 0);
	assert_int_equal(setxattr(attributed, "trusted.a", "1\0", 2, 0), 0);
	fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	must(store_layer_from_upper(st, fd, diff_id, &empty, &e), e);
	assert_false(empty);
	must(store_layer_from_upper(st, fd, again, &empty, &e), e);
	assert_string_equal(diff_id, again);
	config = str_printf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
			    "\"diff_ids\":[\"%s\"]}}",
			    diff_id);
	must(store_image_put(st, config, strlen(config), layers, 1, "upper:1", id, &e), e);
	assert_int_equal(save(st, "upper:1", "upper.tar", &e), 0); /* without a recipe */
	must(load(other, "upper.tar", NULL, &e), e);
	assert_int_equal(
		run("cd %s; tar -xOf upper.tar blobs/sha256/%s | tar -t | tr '\\n' ' ' | grep -q "
		    "'^d/ d/f d/g d/.wh.gone d/null d/s d/sub/ d/z opq/ opq/.wh..wh..opq opq/new p $'",
		    testing_dir, diff_id + 7),
		0);
	store_close(st);
	store_close(other);
}

static void test_layer_of_an_empty_upper_directory_is_none(void **state)
{
	struct store *st = testing_open();
	auto_free char *dir = in_dir("nothing");
	char diff_id[STORE_DIGEST_SIZE];
	auto_close int fd = -1;
	bool empty = false;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(mkdir(dir, 0755), 0);
	fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	must(store_layer_from_upper(st, fd, diff_id, &empty, &e), e);
	assert_true(empty);
	store_close(st);
}

/* --- kill -9 -------------------------------------------------------------------------------------------- */

static void load_until_killed(const char *archive, unsigned delay_us)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *st = open_other("killed");

		_exit(load(st, archive, NULL, NULL) < 0);
	}
	usleep(delay_us);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_load_killed_at_any_moment_leaves_nothing_that_prune_does_not_find(void **state)
{
	enum { ROUNDS = 40 };
	auto_free char *list = in_dir("killed");
	struct store *timed = open_other("timed");
	struct err e = { 0 };
	unsigned span_us;
	nsec_t start;
	int whole = 0;

	(void)state;
	assert_int_equal(run("cd %s && rm -rf src && mkdir src && cd src && for i in $(seq 300); do head -c "
			     "20000 /dev/urandom >f$i; done &&"
			     " tar -cf ../layer.tar .",
			     testing_dir),
			 0);
	docker_archive("layer.tar", "killed:1", "killed.tar");
	start = time_now_ns(CLOCK_MONOTONIC);
	must(load(timed, "killed.tar", NULL, &e), e);
	span_us = (unsigned)((time_now_ns(CLOCK_MONOTONIC) - start) / 1000) * 2;
	store_close(timed);
	for (unsigned i = 0; i < ROUNDS; i++) {
		auto_fini(image) struct image im = { 0 };
		struct store *st;
		uint64_t freed;
		int r;

		load_until_killed("killed.tar", i * span_us / ROUNDS + (i * 7919) % 977);
		st = open_other("killed");
		r = store_image_find(st, "killed:1", &im, &e);
		if (r == 0) { /* then all of it is there */
			auto_free char *path = NULL;

			must(store_layer_path(st, im.layers[0], &path, &e), e);
			assert_int_equal(save(st, "killed:1", "killed-saved.tar", &e), 0);
			whole++;
		} else {
			assert_int_equal(r, -ENOENT);
		}
		store_close(st);
		st = open_other("killed");
		must(store_prune(st, true, true, false, NULL, &freed, &e), e);
		store_close(st);
		assert_int_equal(run("test -z \"$(find %s/tmp %s/layers %s/blobs/sha256 -mindepth 1)\"", list,
				     list, list),
				 0);
	}
	print_message("%d of %d loads were whole when killed\n", whole, ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_of_what_save_wrote_gives_the_same_ids),
		cmocka_unit_test(test_save_makes_foreign_layers_again_byte_for_byte),
		cmocka_unit_test(test_save_of_a_layer_it_cannot_repeat_says_so),
		cmocka_unit_test(test_load_takes_compressed_archives_and_pipes),
		cmocka_unit_test(test_load_refuses_archives_that_lie),
		cmocka_unit_test(test_load_takes_what_skopeo_writes_and_skopeo_takes_what_we_save),
		cmocka_unit_test(test_import_makes_an_image_and_applies_the_changes),
		cmocka_unit_test(test_layer_of_an_upper_directory_can_be_made_again),
		cmocka_unit_test(test_layer_of_an_empty_upper_directory_is_none),
		cmocka_unit_test(test_load_killed_at_any_moment_leaves_nothing_that_prune_does_not_find),
	};

	return cmocka_run_group_tests(tests, testing_setup, testing_teardown);
}
