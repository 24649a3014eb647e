/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "cmd/run_flags.h"
#include "cmd/when.h"

static const struct cmd run_like = { .name = "run",
				     .opts = run_flag_opts + RUN_FLAGS_RUN,
				     .opts_size = sizeof(struct run_flags),
				     .max_args = -1,
				     .options_first = true };

/* given() - @line as `hull run` would take it. Return: as run_flags_finish(). */
static int given(struct run_flags *f, struct err *e, const char *line)
{
	struct strv word = { 0 };
	char *argv[64];
	int first;

	*f = (struct run_flags){ 0 };
	run_flags_defaults(f);
	strv_split(&word, line, ' ');
	memcpy(argv, word.item, word.len * sizeof(*argv));
	first = opt_parse(&run_like, f, (int)word.len, argv, e);
	if (first >= 0)
		first = run_flags_finish(f, (int)word.len - first, argv + first, e);
	strv_fini(&word); /* before anything is looked at: only borrowed strings may still point at it */
	return first;
}

static void forget(struct run_flags *f)
{
	instance_config_fini(&f->config);
	opt_fini(&run_like, f);
}

static void test_run_flags_reach_the_configuration(void **state)
{
	struct run_flags f;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(given(&f, &e,
			       "-dit --rm --name n -h host -e A=1 -w /w -u 1:2 --read-only --cap-add NET_RAW "
			       "-m 64m --cpus 0.5 "
			       "--memory-swap -1 --pids-limit 9 --stop-timeout 3 --entrypoint /e --label a=b "
			       "--label c --health-cmd x "
			       "--oom-score-adj -5 --tmpfs /t --network host image cmd -x"),
			 0);
	assert_true(f.detach && f.config.open_stdin && f.config.tty && f.config.auto_remove &&
		    f.config.read_only);
	assert_string_equal(f.config.name, "n");
	assert_string_equal(f.config.hostname, "host");
	assert_string_equal(f.config.env.item[0], "A=1");
	assert_string_equal(f.config.user, "1:2");
	assert_int_equal(f.config.memory, 64 << 20);
	assert_int_equal(f.config.memory_swap, -1);
	assert_int_equal(f.config.nano_cpus, 500000000);
	assert_int_equal(f.config.pids_limit, 9);
	assert_int_equal(f.config.stop_timeout_s, 3);
	assert_true(f.config.entrypoint_set);
	assert_string_equal(f.config.entrypoint.item[0], "/e");
	assert_string_equal(f.config.labels.item[1], "c=");
	assert_string_equal(f.config.health.cmd, "x");
	assert_true(f.config.oom_score_adj_set);
	assert_int_equal(f.config.oom_score_adj, -5);
	assert_string_equal(f.config.network, "host");
	assert_string_equal(f.config.image, "image");
	assert_int_equal(f.config.cmd.len, 2);
	assert_string_equal(f.config.cmd.item[1], "-x");
	forget(&f);
}

static void test_run_flags_tell_absent_from_given(void **state)
{
	struct run_flags f;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(given(&f, &e, "image"), 0);
	assert_false(f.config.entrypoint_set || f.config.oom_score_adj_set);
	assert_int_equal(f.config.stop_timeout_s, -1);
	assert_int_equal(f.config.memory_swappiness, -1);
	assert_true(f.sig_proxy);
	forget(&f);
	assert_int_equal(given(&f, &e, "--entrypoint= image"), 0);
	assert_true(f.config.entrypoint_set);
	assert_int_equal(f.config.entrypoint.len, 0);
	forget(&f);
}

static void test_run_flags_refuse_what_contradicts_itself(void **state)
{
	static const struct {
		const char *line, *why;
	} c[] = {
		{ "-m 1m i", "--memory" },
		{ "--memory-swap 64m i", "--memory-swap" },
		{ "-m 64m --memory-swap 32m i", "--memory-swap" },
		{ "-m 64m --memory-reservation 128m i", "--memory-reservation" },
		{ "--memory-swappiness 101 i", "--memory-swappiness" },
		{ "--cpus 1 --cpu-quota 1000 i", "--cpus cannot go together" },
		{ "--cpus 0.001 i", "--cpus" },
		{ "--cpus 100000 i", "--cpus" },
		{ "--cpu-period 5 i", "--cpu-period" },
		{ "--blkio-weight 5 i", "--blkio-weight" },
		{ "--rm --restart always i", "--rm" },
		{ "--restart sometimes i", "--restart" },
		{ "--restart on-failure:x i", "--restart" },
		{ "--no-healthcheck --health-cmd x i", "--no-healthcheck" },
		{ "--oom-score-adj 1001 i", "--oom-score-adj" },
		{ "-p 80:80 i", "--publish" },
		{ "-P i", "--publish-all" },
		{ "--network bridge i", "--network" },
		{ "--pull always i", "--pull" },
		{ "--pull often i", "--pull" },
		{ "--platform linux/arm64 i", "--platform" },
		{ "--stop-signal NOPE i", "--stop-signal" },
		{ "-w rel i", "--workdir" },
		{ "-e =x i", "--env" },
		{ "-l =x i", "--label" },
		{ "--uts host -h x i", "--hostname" },
		{ "--add-host foo i", "--add-host" },
		{ "-v a:b:c:d i", "--volume" },
		{ "-v rel/ative:/x i", "--volume" },
		{ "-v /a:rel i", "--volume" },
		{ "-v /a:/ i", "--volume" },
		{ "-v /a:/b:bogus i", "'bogus'" },
		{ "-v n:/b:rshared i", "'rshared'" },
		{ "--tmpfs rel i", "--tmpfs" },
		{ "--env-file /nonexistent i", "/nonexistent" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct run_flags f;
		struct err e = { 0 };
		int r = given(&f, &e, c[i].line);

		if (r >= 0 || !strstr(e.text, c[i].why))
			fail_msg("'%s': want '%s', got %d '%s'", c[i].line, c[i].why, r, e.text);
		forget(&f);
	}
}

/* What a command takes begins at a number in the header: it must be where the table says so. */
static void test_run_flags_share_one_table(void **state)
{
	(void)state;
	assert_string_equal(run_flag_opts[RUN_FLAGS_CREATE - 1].name, "sig-proxy");
	assert_string_equal(run_flag_opts[RUN_FLAGS_CREATE].name, "add-host");
	assert_string_equal(run_flag_opts[RUN_FLAGS_UPDATE - 1].name, "workdir");
	assert_string_equal(run_flag_opts[RUN_FLAGS_UPDATE].name, "blkio-weight");
}

static void test_flag_volume_becomes_a_mount(void **state)
{
	static const struct {
		const char *text, *want;
	} c[] = {
		{ "/a:/b", "type=bind,src=/a,dst=/b,bind-create-src" },
		{ "/a:/b:ro", "type=bind,src=/a,dst=/b,readonly,bind-create-src" },
		{ "/a:/b:rw,rshared,z",
		  "type=bind,src=/a,dst=/b,bind-propagation=rshared,z,bind-create-src" },
		{ "name:/b", "type=volume,src=name,dst=/b" },
		{ "name:/b:nocopy,ro", "type=volume,src=name,dst=/b,volume-nocopy,readonly" },
		{ "/b", "type=volume,dst=/b" },
		{ "/a,1:/b", "type=bind,\"src=/a,1\",dst=/b,bind-create-src" },
		{ "/a\"q:/b", "type=bind,\"src=/a\"\"q\",dst=/b,bind-create-src" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct strv mounts = { 0 };
		struct err e = { 0 };

		assert_int_equal(flag_volume(&mounts, c[i].text, &e), 0);
		assert_string_equal(mounts.item[0], c[i].want);
		strv_fini(&mounts);
	}
}

static void test_flag_tmpfs_becomes_a_mount(void **state)
{
	struct strv mounts = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(flag_tmpfs(&mounts, "/t:size=1m,mode=700,noexec", &e), 0);
	assert_int_equal(flag_tmpfs(&mounts, "/t", &e), 0);
	assert_string_equal(mounts.item[0], "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700,noexec");
	assert_string_equal(mounts.item[1], "type=tmpfs,dst=/t");
	strv_fini(&mounts);
}

/* env_file() - flag_env_file() on a file that holds @text */
static int env_file(struct strv *env, const char *text, struct err *e)
{
	char path[] = "/tmp/hull-env-XXXXXX";
	int fd = mkstemp(path);
	int r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	r = flag_env_file(env, path, e);
	unlink(path);
	return r;
}

static void test_flag_env_file_reads_as_docker_does(void **state)
{
	struct strv env = { 0 };
	struct err e = { 0 };

	(void)state;
	setenv("HULL_TEST_HERE", "here", 1);
	unsetenv("HULL_TEST_GONE");
	assert_int_equal(env_file(&env,
				  "\xef\xbb\xbf# comment\nA=1\n\n  B= two words "
				  "\r\nHULL_TEST_HERE\nHULL_TEST_GONE\nC=a=b#c",
				  &e),
			 0);
	assert_int_equal(env.len, 4);
	assert_string_equal(env.item[0], "A=1");
	assert_string_equal(env.item[1], "B= two words ");
	assert_string_equal(env.item[2], "HULL_TEST_HERE=here");
	assert_string_equal(env.item[3], "C=a=b#c");
	strv_fini(&env);
}

static void test_flag_env_file_names_the_bad_line(void **state)
{
	static const struct {
		const char *text, *why;
	} c[] = {
		{ "A=1\n=x\n", ":2: no name" },
		{ "A B=1\n", ":1: a blank in the name" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct strv env = { 0 };
		struct err e = { 0 };

		assert_int_equal(env_file(&env, c[i].text, &e), -EINVAL);
		if (!strstr(e.text, c[i].why))
			fail_msg("want '%s', got '%s'", c[i].why, e.text);
		strv_fini(&env);
	}
}

static void test_flag_signal_knows_names_and_numbers(void **state)
{
	static const struct {
		const char *name;
		int want;
	} c[] = {
		{ "TERM", SIGTERM }, { "SIGTERM", SIGTERM }, { "sigkill", SIGKILL },  { "9", 9 },
		{ "RTMIN+3", 37 },   { "SIGRTMAX", 64 },     { "0", -EINVAL },        { "NOPE", -EINVAL },
		{ "99", -EINVAL },   { "", -EINVAL },        { "RTMIN+99", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		if (flag_signal(c[i].name) != c[i].want)
			fail_msg("'%s': want %d, got %d", c[i].name, c[i].want, flag_signal(c[i].name));
}

static void test_when_reads_points_in_time(void **state)
{
	nsec_t ns = 0, now = time_now_ns(CLOCK_REALTIME);
	struct err e = { 0 };

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	assert_int_equal(when_parse("since", "1970-01-01T00:00:01Z", &ns, &e), 0);
	assert_int_equal(ns, NSEC_PER_SEC);
	assert_int_equal(when_parse("since", "1970-01-02", &ns, &e), 0);
	assert_int_equal(ns, 86400 * NSEC_PER_SEC);
	assert_int_equal(when_parse("since", "1970-01-01T00:01:00", &ns, &e), 0);
	assert_int_equal(ns, 60 * NSEC_PER_SEC);
	assert_int_equal(when_parse("since", "12.5", &ns, &e), 0);
	assert_int_equal(ns, 12 * NSEC_PER_SEC + NSEC_PER_SEC / 2);
	assert_int_equal(when_parse("since", "10m", &ns, &e), 0);
	assert_true(now - ns >= 599 * NSEC_PER_SEC && now - ns <= 601 * NSEC_PER_SEC);
	ns = 7;
	assert_int_equal(when_parse("since", NULL, &ns, &e), 0);
	assert_int_equal(ns, 7);
	assert_int_equal(when_parse("since", "soon", &ns, &e), -EINVAL);
	assert_int_equal(when_parse("since", "", &ns, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_flags_reach_the_configuration),
		cmocka_unit_test(test_run_flags_tell_absent_from_given),
		cmocka_unit_test(test_run_flags_refuse_what_contradicts_itself),
		cmocka_unit_test(test_run_flags_share_one_table),
		cmocka_unit_test(test_flag_volume_becomes_a_mount),
		cmocka_unit_test(test_flag_tmpfs_becomes_a_mount),
		cmocka_unit_test(test_flag_env_file_reads_as_docker_does),
		cmocka_unit_test(test_flag_env_file_names_the_bad_line),
		cmocka_unit_test(test_flag_signal_knows_names_and_numbers),
		cmocka_unit_test(test_when_reads_points_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
