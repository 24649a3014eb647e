/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "runtime/runtime_internal.h"
#include "store/store.h"
#include "sys/file.h"

static char dir[] = "/tmp/hull-config-test-XXXXXX";
static struct runtime *rt;
static int dirfd_;

static const char image_text[] =
	"{\"config\":{\"Env\":[\"PATH=/p\",\"A=image\"],\"Cmd\":[\"run\",\"it\"],\"Entrypoint\":[\"/e\"],"
	"\"User\":\"u\",\"WorkingDir\":\"/w\",\"Volumes\":{\"/"
	"data\":{}},\"Labels\":{\"l\":\"image\"},\"StopSignal\":\"SIGINT\","
	"\"Healthcheck\":{\"Test\":[\"CMD\",\"/check\"],\"Retries\":4}}}";

static int setup(void **state)
{
	struct err e = { 0 };

	(void)state;
	if (!mkdtemp(dir) || runtime_open(&rt, dir, NULL, &e) < 0)
		return -1;
	if (file_mkdir(store_rootfd(runtime_store(rt)), "instances/x", 0700) < 0)
		return -1;
	dirfd_ = openat(store_rootfd(runtime_store(rt)), "instances/x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(dirfd_);
	runtime_close(rt);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static struct instance_config given(void)
{
	return (struct instance_config){ .image = strdup("img"),
					 .stop_timeout_s = -1,
					 .memory_swappiness = -1 };
}

static int make(const struct instance_config *c, json_t **ret, struct err *e)
{
	struct image im = { .id = "sha256:x", .config = (char *)(uintptr_t)image_text };
	const struct config_from from = {
		.rt = rt, .c = c, .im = &im, .id = "0123456789ab", .dirfd = dirfd_
	};
	int r = config_make(&from, ret, e);

	config_forget_volumes(rt, dirfd_);
	unlinkat(dirfd_, INSTANCE_VOLUMES, 0);
	return r;
}

static void assert_json(const json_t *got, const char *want)
{
	char *text = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
}

static void test_config_takes_what_the_image_says(void **state)
{
	struct instance_config c = given();
	json_t *all = NULL;
	struct err e = { 0 };

	(void)state;
	if (make(&c, &all, &e) != 0)
		fail_msg("%s", e.text);
	assert_json(instance__get(all, "Config", "Env"), "[\"PATH=/p\",\"A=image\"]");
	assert_json(instance__get(all, NULL, "Path"), "\"/e\"");
	assert_json(instance__get(all, NULL, "Args"), "[\"run\",\"it\"]");
	assert_json(instance__get(all, "Config", "Hostname"), "\"0123456789ab\"");
	assert_json(instance__get(all, "Config", "StopSignal"), "\"SIGINT\"");
	assert_json(instance__get(instance__get(all, "Config", "Healthcheck"), NULL, "Retries"), "4");
	assert_int_equal(json_array_size(json_object_get(all, "Mounts")), 1);
	assert_true(instance__bool(json_array_get(json_object_get(all, "Mounts"), 0), NULL, "Anonymous"));
	json_decref(all);
	instance_config_fini(&c);
}

static void test_config_flags_win_over_the_image(void **state)
{
	struct instance_config c = given();
	json_t *all = NULL;
	struct err e = { 0 };

	(void)state;
	c.entrypoint_set = true; /* --entrypoint "" drops the image's command, too */
	strv_add(&c.cmd, "mine");
	strv_add(&c.env, "A=flag");
	strv_add(&c.env, "PATH"); /* taken out */
	strv_add(&c.env, "B=");
	strv_add(&c.labels, "l=flag");
	strv_add(&c.mounts, "type=tmpfs,dst=/data/,tmpfs-size=1m");
	c.no_healthcheck = true;
	c.user = strdup("9");
	if (make(&c, &all, &e) != 0)
		fail_msg("%s", e.text);
	assert_json(instance__get(all, "Config", "Env"), "[\"A=flag\",\"B=\"]");
	assert_json(instance__get(all, NULL, "Path"), "\"mine\"");
	assert_json(instance__get(all, "Config", "Labels"), "{\"l\":\"flag\"}");
	assert_json(instance__get(all, "Config", "Healthcheck"), "{\"Test\":[\"NONE\"]}");
	assert_int_equal(json_array_size(json_object_get(all, "Mounts")),
			 1); /* stands in for the image's volume */
	json_decref(all);
	instance_config_fini(&c);
}

static void test_config_reads_mounts(void **state)
{
	static const struct {
		const char *text, *options;
		int rc;
	} row[] = {
		{ "type=bind,src=/tmp,dst=/a", "[\"rbind\",\"rprivate\"]", 0 },
		{ "type=bind,source=/tmp,target=/a,readonly", "[\"rbind\",\"rro\",\"rprivate\"]", 0 },
		{ "type=bind,src=/tmp,dst=/a,ro=true,bind-recursive=writable",
		  "[\"rbind\",\"ro\",\"rprivate\"]", 0 },
		{ "type=bind,src=/tmp,dst=/a,ro=false,bind-propagation=rshared", "[\"rbind\",\"rshared\"]",
		  0 },
		{ "type=bind,src=/tmp,dst=/a,bind-nonrecursive", "[\"bind\",\"rprivate\"]", 0 },
		{ "type=bind,\"src=/tmp\",dst=/a,z", "[\"rbind\",\"rprivate\"]", 0 },
		{ "type=tmpfs,dst=/t,tmpfs-size=64k,tmpfs-mode=0700,exec",
		  "[\"noexec\",\"nosuid\",\"nodev\",\"size=64k\",\"mode=0700\",\"exec\"]", 0 },
		{ "dst=/v", "[\"rbind\",\"rprivate\"]", 0 },
		{ "type=bind,src=/nonexistent/x,dst=/a", NULL, -ENOENT },
		{ "type=bind,src=tmp,dst=/a", NULL, -EINVAL },
		{ "type=bind,src=/tmp,dst=a", NULL, -EINVAL },
		{ "type=bind,src=/tmp,dst=/", NULL, -EINVAL },
		{ "type=bind,src=/tmp,dst=/../.", NULL, -EINVAL },
		{ "type=bind,src=/tmp", NULL, -EINVAL },
		{ "type=nfs,src=/tmp,dst=/a", NULL, -EINVAL },
		{ "type=bind,src=/tmp,dst=/a,nonsense=1", NULL, -EINVAL },
		{ "type=bind,src=/tmp,dst=/a,bind-propagation=odd", NULL, -EINVAL },
		{ "type=volume,src=../../etc,dst=/a", NULL, -EINVAL },
		{ "type=tmpfs,dst=/t,tmpfs-size=lots", NULL, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct instance_config c = given();
		json_t *all = NULL;
		struct err e = { 0 };
		int r;

		strv_add(&c.mounts, row[i].text);
		r = make(&c, &all, &e);
		if (r != row[i].rc)
			fail_msg("'%s': got %d (%s), want %d", row[i].text, r, e.text, row[i].rc);
		if (r == 0)
			assert_json(
				json_object_get(json_array_get(json_object_get(all, "Mounts"), 0), "Options"),
				row[i].options);
		json_decref(all);
		instance_config_fini(&c);
	}
}

static void test_config_refuses_two_mounts_at_one_place(void **state)
{
	struct instance_config c = given();
	json_t *all = NULL;

	(void)state;
	strv_add(&c.mounts, "type=bind,src=/tmp,dst=/a");
	strv_add(&c.mounts, "type=tmpfs,dst=/a/");
	assert_int_equal(make(&c, &all, NULL), -EINVAL);
	instance_config_fini(&c);
}

static void test_config_refuses_bad_flags_by_name(void **state)
{
	static const struct {
		size_t list;
		const char *value, *names;
	} row[] = {
		{ offsetof(struct instance_config, cap_add), "FLY", "--cap-add" },
		{ offsetof(struct instance_config, ulimits), "files=3", "--ulimit" },
		{ offsetof(struct instance_config, ulimits), "nofile=x", "--ulimit" },
		{ offsetof(struct instance_config, devices), "dev/null", "--device" },
		{ offsetof(struct instance_config, devices), "/etc/passwd", "--device" },
		{ offsetof(struct instance_config, security_opt), "magic", "--security-opt" },
		{ offsetof(struct instance_config, security_opt), "seccomp=/nonexistent", "--security-opt" },
		{ offsetof(struct instance_config, sysctls), "vm.swappiness=1", "--sysctl" },
		{ offsetof(struct instance_config, log_opts), "colour=red", "--log-opt" },
		{ offsetof(struct instance_config, log_opts), "max-size=-1", "--log-opt" },
		{ offsetof(struct instance_config, device_read_bps), "sda:1", "--device-read-bps" },
		{ offsetof(struct instance_config, ports), "80:80", "--publish" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct instance_config c = given();
		json_t *host = NULL;
		struct err e = { 0 };

		strv_add((struct strv *)((char *)&c + row[i].list), row[i].value);
		if (config_host(&c, &host, &e) >= 0 || !strstr(e.text, row[i].names))
			fail_msg("%s '%s': %s", row[i].names, row[i].value, e.text);
		instance_config_fini(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_takes_what_the_image_says),
		cmocka_unit_test(test_config_flags_win_over_the_image),
		cmocka_unit_test(test_config_reads_mounts),
		cmocka_unit_test(test_config_refuses_two_mounts_at_one_place),
		cmocka_unit_test(test_config_refuses_bad_flags_by_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
