/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/vm_options.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "runtime/machine.h"
#include "sys/file.h"
#include "vm/machine.h"

static char dir[] = "/tmp/hull-options-test-XXXXXX";
static struct machines *ms;

static int setup(void **state)
{
	struct err e = { 0 };
	auto_free char *root = NULL, *run = NULL;

	(void)state;
	if (!mkdtemp(dir) || chdir(dir) < 0)
		return -1;
	root = str_printf("%s/root", dir);
	run = str_printf("%s/run", dir);
	close(open("kernel", O_CREAT | O_WRONLY, 0600));
	close(open("disk", O_CREAT | O_WRONLY, 0600));
	mkdir("shared", 0700);
	return machines_open(&ms, root, run, &e);
}

static int teardown(void **state)
{
	(void)state;
	machines_close(ms);
	return chdir("/") < 0 || file_remove_tree(AT_FDCWD, dir, NULL) < 0;
}

static json_t *options_of(struct vm_opts *o, struct err *e)
{
	json_t *options = vm_options_json(o, e);

	strv_fini(&o->disk);
	strv_fini(&o->net);
	strv_fini(&o->share);
	return options;
}

static void full(struct vm_opts *o)
{
	*o = (struct vm_opts){
		.kernel = "kernel", .cmdline = "a b", .vsock = "7,uds=sock", .pin = "0,0", .rng = true
	};
	vm_config_defaults(o);
	o->cpus = 2;
	o->cpu_weight = 50;
	o->nano_cpus = 1500000000;
	strv_add(&o->disk, "disk,ro");
	strv_add(&o->disk, "/dev/null,format=raw");
	strv_add(&o->net, "switch=sw");
	strv_add(&o->net, "user");
	strv_add(&o->share, "shared:tag:ro");
}

static void test_paths_are_kept_absolute_and_the_rest_as_typed(void **state)
{
	const struct {
		const char *key;
		size_t i;
		const char *want; /* '@' stands for the directory */
	} row[] = {
		{ "Disks", 0, "@/disk,ro" },        { "Disks", 1, "/dev/null,format=raw" },
		{ "Networks", 0, "switch=@/sw" },   { "Networks", 1, "user" },
		{ "Shares", 0, "@/shared:tag:ro" },
	};
	struct err e = { 0 };
	struct vm_opts o;
	json_t *options;
	auto_free char *kernel = str_printf("%s/kernel", dir), *vsock = str_printf("7,uds=%s/sock", dir);

	(void)state;
	full(&o);
	options = options_of(&o, &e);
	assert_non_null(options);
	assert_string_equal(json_string_value(json_object_get(options, "Kernel")), kernel);
	assert_string_equal(json_string_value(json_object_get(options, "Vsock")), vsock);
	assert_string_equal(json_string_value(json_object_get(options, "CommandLine")), "a b");
	assert_null(json_object_get(options, "Initrd"));
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const char *at = strchr(row[i].want, '@');
		auto_free char *want =
			at ? str_printf("%.*s%s%s", (int)(at - row[i].want), row[i].want, dir, at + 1) :
			     strdup(row[i].want);

		assert_string_equal(
			json_string_value(json_array_get(json_object_get(options, row[i].key), row[i].i)),
			want);
	}
	json_decref(options);
}

static void test_what_is_kept_is_what_a_start_reads(void **state)
{
	struct machines_launch l = { .state_fd = -1, .mem_fd = -1 };
	struct instance in = { .id = "0123456789abcdef" };
	struct machine_config c;
	struct err e = { 0 };
	struct vm_opts o;
	json_t *options;

	(void)state;
	full(&o);
	options = options_of(&o, &e);
	in.config = json_pack("{s:o}", "Options", options);
	machine_config_defaults(&c);
	assert_int_equal(vm_options_launch(ms, &in, false, &c, &l, &e), 0);
	assert_ptr_equal(l.config, &c);
	assert_string_equal(c.id, "0123456789ab");
	assert_int_equal(c.cpus, 2);
	assert_int_equal(c.mem_bytes, 128 << 20);
	assert_string_equal(c.cmdline, "a b");
	assert_int_equal(c.n_drives, 2);
	assert_true(c.drive[0].readonly && !c.drive[1].readonly && c.drive[0].file.fd >= 0);
	assert_int_equal(c.n_nets, 2);
	assert_int_equal(c.n_shares, 1);
	assert_int_equal(c.vsock.cid, 7);
	assert_int_equal(c.pin.len, 2);
	assert_true(c.rng && !c.console && c.jail.on);
	assert_int_equal(l.limits.cpu_weight, 50);
	assert_int_equal(l.limits.nano_cpus, 1500000000);
	machine_config_fini(&c);
	json_decref(in.config);
}

static void test_a_vsock_without_a_path_has_one_of_the_machine(void **state)
{
	struct machines_launch l = { .state_fd = -1, .mem_fd = -1 };
	struct instance in = { .id = "0123456789abcdef" };
	struct vm_opts o = { .kernel = "kernel", .vsock = "7" };
	auto_free char *want = str_printf("%s/run/machine/0123456789ab.vsock", dir);
	struct machine_config c;
	struct err e = { 0 };

	(void)state;
	vm_config_defaults(&o);
	in.config = json_pack("{s:o}", "Options", options_of(&o, &e));
	machine_config_defaults(&c);
	assert_int_equal(vm_options_launch(ms, &in, false, &c, &l, &e), 0);
	assert_string_equal(c.vsock.uds_path, want);
	machine_config_fini(&c);
	json_decref(in.config);
}

static void test_what_a_start_could_not_read_is_refused_when_it_is_made(void **state)
{
	const struct {
		struct vm_opts o;
		const char *disk, *says;
	} row[] = {
		{ { .kernel = NULL }, NULL, "needs --kernel" },
		{ { .kernel = "nothing" }, NULL, "nothing" },
		{ { .kernel = "kernel" }, "nodisk", "nodisk" },
		{ { .kernel = "kernel", .cpu_weight = -1 }, NULL, "--cpu-weight" },
		{ { .kernel = "kernel", .memory_max = 1 << 20 }, NULL, "--memory-max" },
		{ { .kernel = "kernel", .pin = "0,0" }, NULL, "2 lists for 1 processors" },
		{ { .kernel = "kernel", .pin = "" }, NULL, "--pin" },
		{ { .kernel = "kernel", .engine = "vax" }, NULL, "engine 'vax': want auto, kvm" },
		{ { .kernel = "kernel", .irqchip = "none" }, NULL, "--irqchip: want kernel or split" },
		{ { .kernel = "kernel", .cmdline = "\xff" }, NULL, "CommandLine: it is no UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct vm_opts o = row[i].o;
		struct err e = { 0 };

		vm_config_defaults(&o);
		if (row[i].o.engine)
			o.engine = row[i].o.engine;
		if (row[i].disk)
			strv_add(&o.disk, row[i].disk);
		assert_null(options_of(&o, &e));
		if (!strstr(e.text, row[i].says))
			fail_msg("row %zu: '%s', want '%s' in it", i, e.text, row[i].says);
	}
}

static bool same(const char *a, const char *b)
{
	return a && b ? str_eq(a, b) : a == b;
}

static void test_the_engine_is_the_options_then_the_environments(void **state)
{
	static const struct {
		const char *option, *variable, *want, *kept;
	} row[] = {
		{ NULL, NULL, NULL, NULL },    { NULL, "", NULL, NULL },       { NULL, "bt", "bt", "bt" },
		{ "kvm", "bt", "kvm", "kvm" }, { "auto", "bt", NULL, "auto" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct machines_launch l = { 0 };
		struct instance in = { .id = "0123456789abcdef" };
		struct vm_opts o = { .kernel = "kernel" };
		struct machine_config c;
		struct err e = { 0 };
		const char *kept;
		json_t *options;

		unsetenv("HULL_ENGINE");
		if (row[i].variable)
			setenv("HULL_ENGINE", row[i].variable, 1);
		vm_config_defaults(&o);
		if (row[i].option)
			o.engine = row[i].option;
		options = options_of(&o, &e);
		unsetenv("HULL_ENGINE");
		kept = json_string_value(json_object_get(options, "Engine"));
		if (!options || !same(kept, row[i].kept))
			fail_msg("row %zu: kept '%s' (%s)", i, kept ? kept : "(null)", e.text);
		in.config = json_pack("{s:o}", "Options", options);
		machine_config_defaults(&c);
		assert_int_equal(vm_options_launch(ms, &in, false, &c, &l, &e), 0);
		json_decref(in.config); /* the configuration does not need it */
		if (!same(c.engine, row[i].want))
			fail_msg("row %zu: engine '%s'", i, c.engine ? c.engine : "(null)");
		machine_config_fini(&c);
	}
}

static void test_disks_are_told_apart_by_what_was_said_of_them(void **state)
{
	json_t *options = json_pack("{s:[s,s,s,s]}", "Disks", "/a", "/b,format=qcow2,ro", "/c,ro,format=raw",
				    "/d,format=qcow2,backing");
	auto_fini(strv) struct strv text = { 0 };
	struct machines_disk *d;
	size_t n;

	(void)state;
	d = vm_options_disks(options, &text, &n);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(d[i].path[1], 'a' + (int)i);
		assert_int_equal(d[i].path[2], 0);
		assert_int_equal(d[i].id[4], '0' + (int)i);
		assert_string_equal(d[i].format, i % 2 ? "qcow2" : "raw");
		assert_int_equal(d[i].readonly, i == 1 || i == 2);
		assert_int_equal(d[i].backing, i == 3);
	}
	free(d);
	json_decref(options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_are_kept_absolute_and_the_rest_as_typed),
		cmocka_unit_test(test_what_is_kept_is_what_a_start_reads),
		cmocka_unit_test(test_a_vsock_without_a_path_has_one_of_the_machine),
		cmocka_unit_test(test_what_a_start_could_not_read_is_refused_when_it_is_made),
		cmocka_unit_test(test_the_engine_is_the_options_then_the_environments),
		cmocka_unit_test(test_disks_are_told_apart_by_what_was_said_of_them),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
