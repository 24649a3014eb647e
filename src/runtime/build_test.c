/* SPDX-License-Identifier: Apache-2.0 */
/* Builds without RUN, in a store of their own; the result is looked at through a mount of its layers. */
#include "runtime/build.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "runtime/build_internal.h"
#include "runtime/runtime.h"
#include "sys/file.h"
#include "sys/path.h"

static struct {
	char dir[64];
	int fd; /* of dir: root/, run/, ctx/ */
	struct runtime *rt;
} t;

static int set_up(void **state)
{
	auto_free char *root = NULL, *run = NULL;
	struct err e = { 0 };

	(void)state;
	str_copy(t.dir, sizeof(t.dir), "/tmp/hull-build-test-XXXXXX");
	if (!mkdtemp(t.dir))
		return -1;
	t.fd = file_open(AT_FDCWD, t.dir, O_RDONLY | O_DIRECTORY, 0);
	root = str_printf("%s/root", t.dir);
	run = str_printf("%s/run", t.dir);
	if (geteuid() != 0)
		return 0;
	if (runtime_open(&t.rt, root, run, &e) < 0) {
		fprintf(stderr, "runtime_open: %s\n", e.text);
		return -1;
	}
	return file_mkdir(t.fd, "ctx", 0755);
}

static int tear_down(void **state)
{
	(void)state;
	runtime_close(t.rt);
	close(t.fd);
	return file_remove_tree(AT_FDCWD, t.dir, NULL);
}

static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("needs root: overlay mounts\n");
		skip();
	}
}

static void put(const char *path, const char *text, mode_t mode)
{
	auto_free char *at = str_printf("ctx/%s", path), *dir = strdup(at);
	struct err e = { 0 };

	*strrchr(dir, '/') = '\0';
	assert_int_equal(file_mkdirs(t.fd, dir, 0755), 0);
	if (file_replace(t.fd, at, text, strlen(text), mode, false, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(fchmodat(t.fd, at, mode, 0), 0);
}

/* new_context() - empty but for a Dockerfile. */
static void new_context(const char *dockerfile)
{
	assert_int_equal(file_remove_tree(t.fd, "ctx", NULL), 0);
	assert_int_equal(file_mkdir(t.fd, "ctx", 0755), 0);
	put("Dockerfile", dockerfile, 0644);
}

static int build_with(const char *tag, const char *target, const struct strv *args, char *id, struct err *e)
{
	auto_free char *ctx = str_printf("%s/ctx", t.dir);
	auto_fini(strv) struct strv tags = { 0 };
	struct build_config c = {
		.context = ctx, .target = target, .args = args, .tags = &tags, .progress = BUILD_QUIET
	};

	*e = (struct err){ 0 };
	if (tag)
		strv_add(&tags, tag);
	return build_image(t.rt, &c, id, e);
}

static void build_well(const char *tag, char *id)
{
	struct err e;

	if (build_with(tag, NULL, NULL, id, &e) < 0)
		fail_msg("%s", e.text);
}

static void open_image(const char *id, struct build_root *root)
{
	auto_fini(image) struct image im = { 0 };
	auto_fini(strv) struct strv layers = { 0 };
	struct err e = { 0 };

	if (store_image_find(runtime_store(t.rt), id, &im, &e) < 0)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < im.n_layers; i++)
		strv_add(&layers, im.layers[i]);
	if (build__root_open(root, runtime_store(t.rt), &layers, &e) < 0)
		fail_msg("%s", e.text);
}

static json_t *config_of(const char *id)
{
	auto_fini(image) struct image im = { 0 };
	struct err e = { 0 };

	if (store_image_find(runtime_store(t.rt), id, &im, &e) < 0)
		fail_msg("%s", e.text);
	return json_loads(im.config, 0, NULL);
}

/* look() - "type mode uid:gid content" of one path; "-" when it is not there. */
static const char *look(const struct build_root *root, const char *path, char *dst, size_t size)
{
	auto_free char *name = NULL;
	auto_close int dir = path_parent_in_root(root->mount, path, false, &name);
	char text[256] = "";
	struct stat st;

	if (dir < 0 || file_fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return "-";
	if (S_ISLNK(st.st_mode)) {
		assert_true(readlinkat(dir, name, text, sizeof(text) - 1) > 0);
		str_format(dst, size, "link %s", text);
		return dst;
	}
	if (S_ISREG(st.st_mode)) {
		auto_close int fd = file_open(dir, name, O_RDONLY, 0);

		assert_true(file_read(fd, text, sizeof(text) - 1) >= 0);
	}
	str_format(dst, size, "%s %o %u:%u%s%s", S_ISDIR(st.st_mode) ? "dir" : "file", st.st_mode & 07777,
		   st.st_uid, st.st_gid, *text ? " " : "", text);
	return dst;
}

static void expect(const struct build_root *root, const char *path, const char *want)
{
	char got[512];
	const char *is = look(root, path, got, sizeof(got));

	if (strcmp(is, want) != 0)
		fail_msg("%s: got '%s', want '%s'", path, is, want);
}

static void test_build_copies_as_docker_does(void **state)
{
	auto_fini(build_root) struct build_root root = BUILD_ROOT_NONE;
	char id[STORE_DIGEST_SIZE];

	(void)state;
	need_root();
	new_context("FROM scratch\n"
		    "COPY a.txt /one\n"          /* a file to a name */
		    "COPY a.txt /two/\n"         /* into a directory that is made */
		    "COPY a.txt two\n"           /* into one that is there */
		    "COPY dir /three\n"          /* a directory's content */
		    "COPY *.txt d?r/x* /four/\n" /* patterns, also of no match */
		    "COPY nope* a.txt /five/\n"
		    "COPY [\"sp ace\", \"/six\"]\n"
		    "WORKDIR /w/x\nCOPY a.txt .\nCOPY a.txt ../y\n"
		    "COPY --chmod=0640 --chown=7:8 a.txt /own/er\n"
		    "COPY --chown=9 dir /own/dir\n"
		    "COPY link /followed\n"
		    "COPY <<doc <<'raw' /docs/\n$HOME ${x:-y}\ndoc\n$HOME\nraw\n");
	put("a.txt", "A", 0644);
	put("b.txt", "B", 0755);
	put("dir/x1", "X", 0600);
	put("dir/sub/y", "Y", 0644);
	put("sp ace", "S", 0644);
	assert_int_equal(symlinkat("../../../../etc/passwd", file_open(t.fd, "ctx/dir", O_PATH, 0), "escape"),
			 0);
	assert_int_equal(symlinkat("a.txt", file_open(t.fd, "ctx", O_PATH, 0), "link"), 0);
	build_well("copied", id);
	open_image(id, &root);
	expect(&root, "/one", "file 644 0:0 A");
	expect(&root, "/two", "dir 755 0:0");
	expect(&root, "/two/a.txt", "file 644 0:0 A");
	expect(&root, "/three/x1", "file 600 0:0 X");
	expect(&root, "/three/sub/y", "file 644 0:0 Y");
	expect(&root, "/three/escape", "link ../../../../etc/passwd");
	expect(&root, "/four/a.txt", "file 644 0:0 A");
	expect(&root, "/four/b.txt", "file 755 0:0 B");
	expect(&root, "/four/x1", "file 600 0:0 X");
	expect(&root, "/five/a.txt", "file 644 0:0 A");
	expect(&root, "/six", "file 644 0:0 S");
	expect(&root, "/w/x/a.txt", "file 644 0:0 A");
	expect(&root, "/w/y", "file 644 0:0 A");
	expect(&root, "/own", "dir 755 7:8");
	expect(&root, "/own/er", "file 640 7:8 A");
	expect(&root, "/own/dir/sub/y", "file 644 9:9 Y");
	expect(&root, "/followed", "file 644 0:0 A");
	expect(&root, "/docs/doc", "file 644 0:0  y\n");
	expect(&root, "/docs/raw", "file 644 0:0 $HOME\n");
}

static void test_build_follows_the_images_own_links(void **state)
{
	auto_fini(build_root) struct build_root root = BUILD_ROOT_NONE;
	char id[STORE_DIGEST_SIZE];

	(void)state;
	need_root();
	new_context("FROM scratch\nCOPY tree /\nCOPY a /abs/in\nCOPY a /up/in\nCOPY a /file\n");
	put("a", "A", 0644);
	put("tree/usr/lib/old", "O", 0644);
	put("tree/target", "T", 0644);
	assert_int_equal(symlinkat("/usr/lib", file_open(t.fd, "ctx/tree", O_PATH, 0), "abs"), 0);
	assert_int_equal(symlinkat("../../../usr", file_open(t.fd, "ctx/tree", O_PATH, 0), "up"), 0);
	assert_int_equal(symlinkat("target", file_open(t.fd, "ctx/tree", O_PATH, 0), "file"), 0);
	build_well(NULL, id);
	open_image(id, &root);
	expect(&root, "/usr/lib/in", "file 644 0:0 A");
	expect(&root, "/usr/in", "file 644 0:0 A");
	expect(&root, "/abs", "link /usr/lib");
	expect(&root, "/file", "link target");
	expect(&root, "/target", "file 644 0:0 A");
	assert_int_equal(access("/usr/in", F_OK), -1);
}

static void test_build_keeps_to_its_context(void **state)
{
	static const struct {
		const char *dockerfile, *want;
	} cases[] = {
		{ "FROM scratch\nCOPY ../x /\n",
		  "Dockerfile:2: COPY: '../x': forbidden path outside the build context" },
		{ "FROM scratch\nCOPY a/../../x /\n",
		  "Dockerfile:2: COPY: 'a/../../x': forbidden path outside the build context" },
		{ "FROM scratch\n\nCOPY nope /\n",
		  "Dockerfile:3: COPY: 'nope': not found in the build context" },
		{ "FROM scratch\nCOPY no* /\n", "Dockerfile:2: COPY: no file matches in the build context" },
		{ "FROM scratch\nCOPY hidden /\n",
		  "Dockerfile:2: COPY: 'hidden': left out of the build context by .dockerignore" },
		{ "FROM scratch\nCOPY out /\n", "Dockerfile:2: COPY: 'out': not found in the build context" },
		{ "FROM scratch\nCOPY a b /c\n",
		  "Dockerfile:2: COPY: with more than one source the destination must end with '/'" },
		{ "FROM scratch\nCOPY a /b\nCOPY a /b/c\n",
		  "Dockerfile:3: COPY: 'a': '/b': not a directory" },
		{ "FROM scratch\nADD https://a.example/b /\n",
		  "Dockerfile:2: ADD of a URL is not supported yet" },
		{ "FROM scratch\nRUN --mount=type=cache,target=/a b\n",
		  "Dockerfile:2: RUN --mount is not supported yet" },
		{ "FROM no-such-image\n", "Dockerfile:1: FROM no-such-image: no such image" },
		{ "FROM --platform=linux/s390x scratch\n",
		  "Dockerfile:1: FROM: --platform=linux/s390x: only linux/" },
		{ "FROM scratch\nCOPY --from=nobody / /\n",
		  "Dockerfile:2: COPY: --from=nobody: neither a stage nor an image" },
		{ "FROM scratch\nSTOPSIGNAL WHAT\n", "Dockerfile:2: STOPSIGNAL: 'WHAT' is not a signal" },
		{ "FROM scratch\nCOPY --chown=nobody a /\n", "Dockerfile:2: COPY: --chown=nobody: " },
		{ "FROM scratch\nENV a=${b:?wanted}\n", "Dockerfile:2: ENV: b: wanted" },
	};

	(void)state;
	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char id[STORE_DIGEST_SIZE];
		struct err e;

		new_context(cases[i].dockerfile);
		put("a", "A", 0644);
		put("b", "B", 0644);
		put("hidden", "H", 0644);
		put(".dockerignore", "hidden\n", 0644);
		assert_int_equal(
			symlinkat("../../../../../../etc/hostname", file_open(t.fd, "ctx", O_PATH, 0), "out"),
			0);
		assert_true(build_with(NULL, NULL, NULL, id, &e) < 0);
		if (!str_starts(e.text, cases[i].want))
			fail_msg("got '%s', want '%s'", e.text, cases[i].want);
	}
}

static void test_build_leaves_out_what_is_ignored(void **state)
{
	auto_fini(build_root) struct build_root root = BUILD_ROOT_NONE;
	char id[STORE_DIGEST_SIZE];

	(void)state;
	need_root();
	new_context("FROM scratch\nCOPY . /\n");
	put(".dockerignore", "*.o\nlib\n!lib/keep/*\nDockerfile\n.dockerignore\n", 0644);
	put("x.o", "", 0644);
	put("sub/x.o", "O", 0644);
	put("lib/drop", "D", 0644);
	put("lib/keep/this", "K", 0644);
	build_well(NULL, id);
	open_image(id, &root);
	expect(&root, "/x.o", "-");
	expect(&root, "/Dockerfile", "-");
	expect(&root, "/sub/x.o", "file 644 0:0 O");
	expect(&root, "/lib/drop", "-");
	expect(&root, "/lib/keep/this", "file 644 0:0 K");
}

static void test_build_caches_by_content(void **state)
{
	char one[STORE_DIGEST_SIZE], two[STORE_DIGEST_SIZE];
	const struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	(void)state;
	need_root();
	new_context(
		"FROM scratch AS a\nCOPY f /f\nCOPY g /g\nFROM scratch\nCOPY --from=a /f /f\nLABEL x=y\n");
	put("f", "F", 0644);
	put("g", "G", 0644);
	build_well(NULL, one);
	assert_int_equal(utimensat(t.fd, "ctx/f", old, 0), 0);
	put("g", "G2", 0644); /* only in stage a: what is copied from it stays the same */
	build_well(NULL, two);
	assert_string_equal(one, two);
	put("f", "F2", 0644);
	build_well(NULL, two);
	assert_string_not_equal(one, two);
	put("f", "F", 0644);
	build_well(NULL, two);
	assert_string_equal(one, two);
	assert_int_equal(fchmodat(t.fd, "ctx/f", 0755, 0), 0);
	build_well(NULL, two);
	assert_string_not_equal(one, two);
}

static void test_build_is_reproducible_with_an_epoch(void **state)
{
	char one[STORE_DIGEST_SIZE], two[STORE_DIGEST_SIZE];
	auto_free char *ctx = str_printf("%s/ctx", t.dir);
	struct build_config c = { .context = ctx, .progress = BUILD_QUIET, .no_cache = true };
	struct err e = { 0 };

	(void)state;
	need_root();
	new_context("FROM scratch\nWORKDIR /made/here\nCOPY f /d/f\nCOPY <<x /x\ntext\nx\nENV a=b\n");
	put("f", "F", 0644);
	setenv("SOURCE_DATE_EPOCH", "1000000000", 1);
	if (build_image(t.rt, &c, one, &e) < 0)
		fail_msg("%s", e.text);
	usleep(20000);
	put("f", "F", 0644);
	assert_int_equal(build_image(t.rt, &c, two, &e), 0);
	unsetenv("SOURCE_DATE_EPOCH");
	assert_string_equal(one, two);
}

static void test_build_writes_the_configuration(void **state)
{
	auto_fini(strv) struct strv args = { 0 };
	char id[STORE_DIGEST_SIZE];
	json_t *image, *want, *got;
	struct err e;

	(void)state;
	need_root();
	new_context("ARG base=scratch\nARG v=1\nFROM $base\nARG v\nARG w=2\nARG x\nENV a=$v b=\"${w} c\" "
		    "PATH=/bin\nENV a=$a$b\n"
		    "LABEL l='m n'\nEXPOSE 80 443/udp\nVOLUME /v \"/w\"\nUSER u:g\nWORKDIR /d\nWORKDIR e\n"
		    "ENTRYPOINT [\"/x\"]\nCMD y $a\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s --retries=3 "
		    "CMD z\n"
		    "SHELL [\"/bin/q\"]\nONBUILD RUN r\n");
	strv_add(&args, "w=W");
	if (build_with("configured", NULL, &args, id, &e) < 0)
		fail_msg("%s", e.text);
	image = config_of("configured");
	want = json_loads(
		"{\"Env\":[\"a=1W c\",\"b=W c\",\"PATH=/bin\"],\"Labels\":{\"l\":\"m n\"},"
		"\"ExposedPorts\":{\"80/tcp\":{},\"443/udp\":{}},\"Volumes\":{\"/v\":{},\"/"
		"w\":{}},\"User\":\"u:g\","
		"\"WorkingDir\":\"/d/e\",\"Entrypoint\":[\"/x\"],\"Cmd\":[\"/bin/sh\",\"-c\",\"y $a\"],"
		"\"StopSignal\":\"SIGINT\",\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"z\"],\"Interval\":"
		"5000000000,"
		"\"Retries\":3},\"Shell\":[\"/bin/q\"],\"OnBuild\":[\"RUN r\"]}",
		0, NULL);
	got = json_object_get(image, "config");
	if (!json_equal(got, want))
		fail_msg("got %s", json_dumps(got, 0));
	assert_int_equal(json_array_size(json_object_get(image, "history")), 17);
	json_decref(image);
	json_decref(want);
}

static void test_build_skips_stages_nobody_needs(void **state)
{
	char id[STORE_DIGEST_SIZE];
	struct err e;

	(void)state;
	need_root();
	new_context(
		"FROM scratch AS base\nENV in=base\nFROM no-such-image AS unused\nRUN --mount=type=ssh x\n"
		"FROM base AS mid\nCOPY a /a\nFROM mid\nCOPY --from=0 / /\nFROM unused AS last\n");
	put("a", "A", 0644);
	if (build_with(NULL, "3", NULL, id, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(build_with(NULL, "MID", NULL, id, &e) >= 0);
	assert_true(build_with(NULL, "absent", NULL, id, &e) < 0);
	assert_string_equal(e.text, "Dockerfile: no stage is called 'absent'");
	assert_true(build_with(NULL, NULL, NULL, id, &e) < 0);
}

static void test_build_runs_a_base_images_triggers(void **state)
{
	auto_fini(build_root) struct build_root root = BUILD_ROOT_NONE;
	char id[STORE_DIGEST_SIZE];

	(void)state;
	need_root();
	new_context("FROM scratch\nONBUILD COPY a /triggered\nONBUILD ENV t=1\n");
	build_well("trigger-base", id);
	new_context("FROM trigger-base\nENV own=$t\n");
	put("a", "A", 0644);
	build_well("trigger-child", id);
	open_image(id, &root);
	expect(&root, "/triggered", "file 644 0:0 A");
	json_t *image = config_of("trigger-child");

	assert_null(json_object_get(json_object_get(image, "config"), "OnBuild"));
	assert_string_equal(json_string_value(json_array_get(
				    json_object_get(json_object_get(image, "config"), "Env"), 1)),
			    "own=1");
	json_decref(image);
}

static void test_build_unpacks_archives_for_add_alone(void **state)
{
	auto_fini(build_root) struct build_root root = BUILD_ROOT_NONE;
	auto_free char *make = str_printf(
		"cd %s/ctx && mkdir t && echo in >t/f && tar czf a.tgz t && tar cf a.tar t", t.dir);
	char id[STORE_DIGEST_SIZE];

	(void)state;
	need_root();
	new_context("FROM scratch\nADD a.tgz /z/\nADD a.tar /p\nCOPY a.tar /c/\nADD plain /q/\n");
	put("plain", "P", 0644);
	assert_int_equal(system(make), 0);
	build_well(NULL, id);
	open_image(id, &root);
	expect(&root, "/z/t/f", "file 644 0:0 in\n");
	expect(&root, "/p/t/f", "file 644 0:0 in\n");
	expect(&root, "/q/plain", "file 644 0:0 P");
	expect(&root, "/c/t", "-");
	assert_true(path_open_in_root(root.mount, "/c/a.tar", O_PATH, 0) >= 0);
}

static void test_build_leaves_nothing_but_temporaries_when_killed(void **state)
{
	auto_free char *tmp = str_printf("%s/root/tmp", t.dir);
	auto_fini(strv) struct strv left = { 0 };
	struct err e = { 0 };

	(void)state;
	need_root();
	new_context("FROM scratch\nCOPY . /\n");
	for (int i = 0; i < 300; i++) {
		auto_free char *name = str_printf("d%d/f", i);

		put(name, "text", 0644);
	}
	for (int i = 0; i < 20; i++) {
		char id[STORE_DIGEST_SIZE];
		pid_t pid = fork();

		if (pid == 0) {
			put("changing", i % 2 ? "a" : "b", 0644);
			_exit(build_with("killed", NULL, NULL, id, &e) < 0);
		}
		usleep((useconds_t)(i * 1500));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	assert_true(runtime_prune(t.rt, false, &left, &(uint64_t){ 0 }, &e) >= 0);
	auto_close int fd = file_open(AT_FDCWD, tmp, O_RDONLY | O_DIRECTORY, 0);
	auto_fini(strv) struct strv names = { 0 };

	assert_int_equal(build__list(fd, &names), 0);
	assert_int_equal(names.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build_copies_as_docker_does),
		cmocka_unit_test(test_build_follows_the_images_own_links),
		cmocka_unit_test(test_build_keeps_to_its_context),
		cmocka_unit_test(test_build_leaves_out_what_is_ignored),
		cmocka_unit_test(test_build_caches_by_content),
		cmocka_unit_test(test_build_is_reproducible_with_an_epoch),
		cmocka_unit_test(test_build_writes_the_configuration),
		cmocka_unit_test(test_build_skips_stages_nobody_needs),
		cmocka_unit_test(test_build_runs_a_base_images_triggers),
		cmocka_unit_test(test_build_unpacks_archives_for_add_alone),
		cmocka_unit_test(test_build_leaves_nothing_but_temporaries_when_killed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
