/* SPDX-License-Identifier: Apache-2.0 */
#include "container/sysctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/oci.h"

/* A bit for each namespace the configuration has. */
#define NS(x) (1u << OCI_NS_##x)

static int check(unsigned ns, const char *netns, const char *key, const char *value, struct err *e)
{
	struct oci_kv kv = { .key = key, .value = value };
	struct oci_spec spec = { .linux.sysctl = { .v = &kv, .n = 1 } };

	for (int i = 0; i < OCI_NS_COUNT; i++)
		spec.linux.ns[i].present = ns & (1u << i);
	spec.linux.ns[OCI_NS_NETWORK].path = netns;
	return ct_sysctl_check(&spec, e);
}

static void test_sysctl_allows_only_keys_of_own_namespaces(void **state)
{
	static const struct {
		unsigned ns;
		const char *key;
		int want;
	} cases[] = {
		{ NS(IPC), "kernel.msgmax", 0 },
		{ NS(IPC), "kernel/shm_rmid_forced", 0 },
		{ NS(IPC), "fs.mqueue.queues_max", 0 },
		{ NS(NETWORK), "net.ipv4.ip_forward", 0 },
		{ NS(NETWORK), "net/ipv4/conf/eth0.1/rp_filter", 0 },
		{ NS(NETWORK), "net.ipv4.conf.eth0/1.rp_filter", 0 },
		{ NS(UTS), "kernel.domainname", 0 },
		{ NS(USER), "user.max_user_namespaces", 0 },
		{ 0, "kernel.msgmax", -EPERM },
		{ NS(NETWORK), "fs.mqueue.queues_max", -EPERM },
		{ NS(IPC), "net.ipv4.ip_forward", -EPERM },
		{ NS(NETWORK), "user.max_user_namespaces", -EPERM },
		{ NS(NETWORK) | NS(IPC), "kernel.domainname", -EPERM },
		{ NS(UTS), "kernel.hostname", -EINVAL },
		{ ~0u, "kernel.core_pattern", -EPERM },
		{ ~0u, "kernel.msgmaxx", -EPERM },
		{ ~0u, "vm.swappiness", -EPERM },
		{ ~0u, "fs.file-max", -EPERM },
		{ ~0u, "netfoo.x", -EPERM },
		{ ~0u, "net", -EINVAL },
		{ ~0u, "", -EINVAL },
		{ ~0u, "net/../kernel/core_pattern", -EINVAL },
		{ ~0u, "net.ipv4.//.kernel", -EINVAL },
		{ ~0u, "net/./ipv4/ip_forward", -EINVAL },
		{ ~0u, "net..ipv4", -EINVAL },
		{ ~0u, "net.ipv4.", -EINVAL },
		{ ~0u, "/net/ipv4/ip_forward", -EINVAL },
		{ ~0u, ".net.ipv4", -EINVAL },
		{ ~0u, "net/...", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = { 0 };
		int r = check(cases[i].ns, NULL, cases[i].key, "1", &e);

		if (r != cases[i].want)
			fail_msg("'%s': got %d (%s), want %d", cases[i].key, r, e.text, cases[i].want);
		if (r < 0 && !str_starts(e.text, "linux.sysctl '"))
			fail_msg("'%s': text '%s'", cases[i].key, e.text);
	}
}

static void test_sysctl_refuses_values_of_more_than_one_line(void **state)
{
	char longest[4097];
	struct err e;

	(void)state;
	assert_int_equal(check(NS(IPC), NULL, "kernel.sem", "250\t32000 32 128", &e), 0);
	assert_int_equal(check(NS(IPC), NULL, "kernel.shm_rmid_forced", "1\n2", &e), -EINVAL);
	assert_int_equal(check(NS(IPC), NULL, "kernel.shm_rmid_forced", "1\r", &e), -EINVAL);
	memset(longest, '1', sizeof(longest));
	longest[4096] = '\0';
	assert_int_equal(check(NS(IPC), NULL, "kernel.msgmax", longest, &e), -EINVAL);
}

static void test_sysctl_takes_the_callers_network_namespace_for_the_hosts(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(check(NS(NETWORK), "/proc/self/ns/net", "net.ipv4.ip_forward", "1", &e), -EPERM);
	assert_non_null(strstr(e.text, "is the host's"));
	assert_int_equal(check(NS(NETWORK) | NS(IPC), "/proc/self/ns/net", "kernel.msgmax", "1", &e), 0);
	assert_int_equal(check(NS(NETWORK), "/nonexistent/ns", "net.ipv4.ip_forward", "1", &e), -ENOENT);
	assert_int_equal(check(NS(NETWORK), "/proc/self/ns/uts", "net.ipv4.ip_forward", "1", &e), 0);
}

static void test_sysctl_refuses_a_domain_name_given_twice(void **state)
{
	struct oci_kv kv = { .key = "kernel.domainname", .value = "a" };
	struct oci_spec spec = { .domainname = "b", .linux.sysctl = { .v = &kv, .n = 1 } };
	struct err e = { 0 };

	(void)state;
	spec.linux.ns[OCI_NS_UTS].present = true;
	assert_int_equal(ct_sysctl_check(&spec, &e), -EINVAL);
	assert_string_equal(e.text, "linux.sysctl 'kernel.domainname': conflicts with \"domainname\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sysctl_refuses_a_domain_name_given_twice),
		cmocka_unit_test(test_sysctl_allows_only_keys_of_own_namespaces),
		cmocka_unit_test(test_sysctl_refuses_values_of_more_than_one_line),
		cmocka_unit_test(test_sysctl_takes_the_callers_network_namespace_for_the_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
