/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/oci.h"

static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* make() - the specification of a configuration written with ' for ". */
static int make(const char *config, struct oci_spec *spec, struct arena *a, struct err *e)
{
	char text[8192];
	struct spec_input in = { .id = id, .dir = "/i" };
	struct buf json = { 0 };
	int r;

	str_copy(text, sizeof(text), config);
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	in.rootfs_fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a tree without /etc */
	in.config = json_loads(text, 0, NULL);
	assert_non_null(in.config);
	r = spec_make(&in, &json, e);
	if (r == 0)
		r = oci_spec_parse(spec, buf_str(&json), json.len, a, e);
	json_decref((json_t *)(uintptr_t)in.config);
	buf_fini(&json);
	close(in.rootfs_fd);
	return r;
}

#define BASE                                                                                                 \
	"'Path':'/bin/x','Args':['y'],'Config':{'Hostname':'h','WorkingDir':'/w','Env':['A=1','PATH=/b']}"

static const struct oci_mount *mount_at(const struct oci_spec *s, const char *target)
{
	for (size_t i = 0; i < s->n_mounts; i++)
		if (str_eq(s->mounts[i].destination, target))
			return &s->mounts[i];
	return NULL;
}

static bool has_word(const struct oci_strs *list, const char *word)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_eq(list->v[i], word))
			return true;
	return false;
}

static void test_spec_has_dockers_defaults(void **state)
{
	static const char *const target[] = {
		"/proc",       "/dev",     "/dev/pts",   "/sys",          "/sys/fs/cgroup",
		"/dev/mqueue", "/dev/shm", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"
	};
	struct arena a = { 0 };
	struct oci_spec s;
	struct err e = { 0 };

	(void)state;
	if (make("{" BASE ",'HostConfig':{'NetworkMode':'none','ShmSize':67108864}}", &s, &a, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(s.process.caps[OCI_CAP_BOUNDING],
			 0xa80425fb); /* the 14 as `docker run` shows them in CapBnd */
	assert_int_equal(s.process.caps[OCI_CAP_EFFECTIVE], 0xa80425fb);
	assert_int_equal(s.process.caps[OCI_CAP_INHERITABLE], 0);
	assert_int_equal(s.process.n_rlimits, 0);
	assert_false(s.process.oom_score_adj.set);
	assert_string_equal(s.process.cwd, "/w");
	assert_true(has_word(&s.process.env, "A=1"));
	assert_true(has_word(&s.process.env, "PATH=/b"));
	assert_true(has_word(&s.process.env, "HOSTNAME=h"));
	assert_true(has_word(&s.process.env, "HOME=/"));
	for (size_t i = 0; i < sizeof(target) / sizeof(target[0]); i++)
		if (!mount_at(&s, target[i]))
			fail_msg("no mount at %s", target[i]);
	assert_true(has_word(&s.linux.masked_paths, "/proc/kcore"));
	assert_true(has_word(&s.linux.masked_paths, "/sys/firmware"));
	assert_int_equal(s.linux.readonly_paths.n, 5);
	assert_true(s.linux.ns[OCI_NS_NETWORK].present && s.linux.ns[OCI_NS_PID].present &&
		    s.linux.ns[OCI_NS_IPC].present);
	assert_string_equal(s.linux.cgroups_path + strlen("/hull/"), id);
	assert_non_null(s.linux.seccomp);
	assert_int_equal(s.linux.resources.n_devices, 8);
	arena_fini(&a);
}

static void test_spec_follows_flags(void **state)
{
	static const struct {
		const char *host;
		uint64_t bounding;
		bool seccomp, network, masked;
	} row[] = {
		{ "'CapDrop':['ALL'],'CapAdd':['CAP_NET_ADMIN']", 1ULL << CAP_NET_ADMIN, true, true, true },
		{ "'CapDrop':['CAP_CHOWN']", 0xa80425fa, true, true, true },
		{ "'NetworkMode':'host'", 0xa80425fb, true, false, true },
		{ "'SecurityOpt':['seccomp=unconfined']", 0xa80425fb, false, true, true },
		{ "'SecurityOpt':['systempaths=unconfined']", 0xa80425fb, true, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct arena a = { 0 };
		struct oci_spec s;
		struct err e = { 0 };
		char text[1024];

		str_format(text, sizeof(text), "{" BASE ",'HostConfig':{%s}}", row[i].host);
		if (make(text, &s, &a, &e) != 0)
			fail_msg("row %zu: %s", i, e.text);
		if (s.process.caps[OCI_CAP_BOUNDING] != row[i].bounding ||
		    !s.linux.seccomp == row[i].seccomp ||
		    s.linux.ns[OCI_NS_NETWORK].present != row[i].network ||
		    (s.linux.masked_paths.n > 0) != row[i].masked)
			fail_msg("row %zu (%s)", i, row[i].host);
		arena_fini(&a);
	}
}

static void test_spec_gives_no_capability_to_who_is_not_root(void **state)
{
	struct arena a = { 0 };
	struct oci_spec s;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(make("{'Path':'x','Config':{'User':'5:6'},'HostConfig':{}}", &s, &a, &e), 0);
	assert_int_equal(s.process.user.uid, 5);
	assert_int_equal(s.process.user.gid, 6);
	assert_int_equal(s.process.caps[OCI_CAP_EFFECTIVE], 0);
	assert_int_equal(s.process.caps[OCI_CAP_PERMITTED], 0);
	assert_int_equal(s.process.caps[OCI_CAP_BOUNDING], 0xa80425fb);
	assert_int_equal(make("{'Path':'x','Config':{'User':'ann'},'HostConfig':{}}", &s, &a, &e), -ENOENT);
	arena_fini(&a);
}

static void test_spec_turns_limits_into_what_the_kernel_takes(void **state)
{
	struct arena a = { 0 };
	struct oci_spec s;
	struct err e = { 0 };

	(void)state;
	if (make("{" BASE
		 ",'HostConfig':{'Memory':1048576,'NanoCpus':1500000000,'PidsLimit':9,'CpusetCpus':'0',"
		 "'Ulimits':[{'Name':'nofile','Soft':5,'Hard':-1}]}}",
		 &s, &a, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(s.linux.resources.memory.limit.v, 1048576);
	assert_int_equal(s.linux.resources.memory.swap.v, 2097152);
	assert_int_equal(s.linux.resources.cpu.quota.v, 150000);
	assert_int_equal(s.linux.resources.cpu.period.v, 100000);
	assert_int_equal(s.linux.resources.pids_limit.v, 9);
	assert_string_equal(s.linux.resources.cpu.cpus, "0");
	assert_int_equal(s.process.n_rlimits, 1);
	assert_int_equal(s.process.rlimits[0].soft, 5);
	assert_true(s.process.rlimits[0].hard == UINT64_MAX);
	arena_fini(&a);
}

static void test_spec_orders_mounts_and_lets_a_flag_replace_its_own(void **state)
{
	struct arena a = { 0 };
	struct oci_spec s;
	struct err e = { 0 };

	(void)state;
	if (make("{" BASE ",'HostConfig':{},'Mounts':[{'Type':'bind','Source':'/1','Destination':'/a/b/"
		 "c','Options':['rbind','rro']},"
		 "{'Type':'bind','Source':'/2','Destination':'/a','Options':['rbind']},"
		 "{'Type':'bind','Source':'/3','Destination':'/etc/hosts/','Options':['rbind']},"
		 "{'Type':'tmpfs','Source':'','Destination':'/dev/shm','Options':['size=1m']}]}",
		 &s, &a, &e) != 0)
		fail_msg("%s", e.text);
	assert_true(mount_at(&s, "/a") < mount_at(&s, "/a/b/c"));
	assert_null(mount_at(&s, "/etc/hosts"));
	assert_string_equal(mount_at(&s, "/etc/hosts/")->source, "/3");
	assert_int_equal(mount_at(&s, "/dev/shm")->data.n, 1);
	assert_true(mount_at(&s, "/a/b/c")->rec_set != 0);
	arena_fini(&a);
}

/* --- seccomp: what a rule set says to one call --------------------------------------------- */

static const struct oci_seccomp_rule *rule_for(const struct oci_seccomp *p, const char *name, uint32_t action)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (has_word(&p->rules[i].names, name) &&
		    (p->rules[i].action & 0xffff0000) == (action & 0xffff0000))
			return &p->rules[i];
	return NULL;
}

static void test_spec_seccomp_denies_what_docker_denies(void **state)
{
	static const char *const denied[] = { "mount",
					      "unshare",
					      "setns",
					      "bpf",
					      "perf_event_open",
					      "keyctl",
					      "add_key",
					      "request_key",
					      "init_module",
					      "kexec_load",
					      "userfaultfd",
					      "io_uring_setup",
					      "open_by_handle_at",
					      "reboot",
					      "swapon",
					      "ioperm",
					      "pivot_root",
					      "acct",
					      "settimeofday",
					      "vhangup",
					      "move_pages",
					      "nfsservctl" };
	static const char *const allowed[] = { "read",      "openat2",    "ptrace",
					       "chroot",    "arch_prctl", "landlock_create_ruleset",
					       "statmount", "futex_waitv" };
	struct arena a = { 0 };
	struct oci_spec s;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(make("{" BASE ",'HostConfig':{}}", &s, &a, &e), 0);
	assert_int_equal(s.linux.seccomp->n_arches, 3);
	assert_int_equal(s.linux.seccomp->default_action & 0xffff0000, SCMP_ACT_ERRNO(0));
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		if (rule_for(s.linux.seccomp, denied[i], SCMP_ACT_ALLOW))
			fail_msg("%s is allowed", denied[i]);
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (!rule_for(s.linux.seccomp, allowed[i], SCMP_ACT_ALLOW))
			fail_msg("%s is not allowed", allowed[i]);
	assert_int_equal(rule_for(s.linux.seccomp, "clone", SCMP_ACT_ALLOW)->n_args, 1);
	assert_int_equal(rule_for(s.linux.seccomp, "clone", SCMP_ACT_ALLOW)->args[0].value, 0x7e020000);
	assert_int_equal(rule_for(s.linux.seccomp, "socket", SCMP_ACT_ALLOW)->n_args, 1);
	assert_int_equal(rule_for(s.linux.seccomp, "personality", SCMP_ACT_ALLOW)->n_args, 1);
	assert_non_null(rule_for(s.linux.seccomp, "clone3", SCMP_ACT_ERRNO(38)));
	assert_int_equal(make("{" BASE ",'HostConfig':{'CapAdd':['CAP_SYS_ADMIN']}}", &s, &a, &e), 0);
	assert_int_equal(rule_for(s.linux.seccomp, "clone", SCMP_ACT_ALLOW)->n_args, 0);
	assert_non_null(rule_for(s.linux.seccomp, "mount", SCMP_ACT_ALLOW));
	assert_null(rule_for(s.linux.seccomp, "clone3", SCMP_ACT_ERRNO(38)));
	arena_fini(&a);
}

static void test_spec_seccomp_converts_conditions_of_dockers_profiles(void **state)
{
	static const char profile[] =
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\","
		"\"subArchitectures\":[\"SCMP_ARCH_X86\"]}],\"syscalls\":["
		"{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}"
		"},"
		"{\"names\":[\"b\"],\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}"
		"},"
		"{\"names\":[\"c\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"arches\":[\"arm64\"]}},"
		"{\"name\":\"d\",\"action\":\"SCMP_ACT_ALLOW\"}]}";
	json_t *in = json_loads(profile, 0, NULL), *out = NULL, *junk = json_loads("[]", 0, NULL);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(spec_seccomp_convert(in, 0, &out, &e), 0);
	assert_int_equal(json_array_size(json_object_get(out, "syscalls")), 2); /* b, d */
	assert_int_equal(json_array_size(json_object_get(out, "architectures")), 2);
	json_decref(out);
	assert_int_equal(spec_seccomp_convert(in, 1ULL << CAP_SYS_ADMIN, &out, &e), 0);
	assert_string_equal(
		json_string_value(json_array_get(
			json_object_get(json_array_get(json_object_get(out, "syscalls"), 0), "names"), 0)),
		"a");
	json_decref(out);
	assert_int_equal(spec_seccomp_convert(junk, 0, &out, &e), -EINVAL);
	json_decref(junk);
	json_decref(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec_has_dockers_defaults),
		cmocka_unit_test(test_spec_follows_flags),
		cmocka_unit_test(test_spec_gives_no_capability_to_who_is_not_root),
		cmocka_unit_test(test_spec_turns_limits_into_what_the_kernel_takes),
		cmocka_unit_test(test_spec_orders_mounts_and_lets_a_flag_replace_its_own),
		cmocka_unit_test(test_spec_seccomp_denies_what_docker_denies),
		cmocka_unit_test(test_spec_seccomp_converts_conditions_of_dockers_profiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
