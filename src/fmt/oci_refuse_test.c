/* SPDX-License-Identifier: Apache-2.0 */
/* oci_refuse_test.c - every refusal of oci_spec_parse(), by its text */
#include "fmt/oci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

#define HEAD "'ociVersion':'1.3.0','root':{'path':'rootfs'}"

struct refusal {
	const char *members, *error;
}; /* the members beside HEAD; ' for quotes */

static void check_refusals(const struct refusal *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		auto_fini(arena) struct arena a = { 0 };
		auto_free char *text = str_printf("{" HEAD ",%s}", x[i].members);
		struct oci_spec spec = { .root_path = "untouched" };
		struct err e = { 0 };
		int r;

		for (char *c = text; *c; c++)
			if (*c == '\'')
				*c = '"';
		r = oci_spec_parse(&spec, text, strlen(text), &a, &e);
		assert_string_equal(e.text, x[i].error);
		assert_true(r == -EINVAL || r == -ENOTSUP);
		assert_string_equal(spec.root_path, "untouched");
	}
}

static void test_oci_refuses_a_bad_top(void **state)
{
	static const struct refusal cases[] = {
		{ "'root':5", "root: got a number, want an object" },
		{ "'root':null", "root: missing" },
		{ "'root':{}", "root.path: missing" },
		{ "'root':{'path':''}", "root.path: got '', want a path" },
		{ "'ociVersion':null", "ociVersion: missing" },
		{ "'ociVersion':'1.4.0'", "ociVersion: got '1.4.0', want 1.0.0 to 1.3.x" },
		{ "'hostname':'h'", "hostname: given without a uts namespace" },
		{ "'domainname':'h'", "domainname: given without a uts namespace" },
		{ "'hooks':{'poststop':[{'path':'x'}]}",
		  "hooks.poststop[0].path: got 'x', want an absolute path" },
		{ "'hooks':{'prestart':[{}]}", "hooks.prestart[0].path: missing" },
		{ "'hooks':{'prestart':[{'path':'/x','timeout':-1}]}",
		  "hooks.prestart[0].timeout: got -1, want a number from 1 to 2147483647" },
		{ "'annotations':{'a':5}", "annotations.a: got a number, want a string" },
		{ "'x' 5", "line 1, column 52: expected ':'" },
	};

	(void)state;
	check_refusals(cases, ARRAY_SIZE(cases));
}

#define PROCESS(members) "'process':{'cwd':'/'," members "}"

static void test_oci_refuses_a_bad_process(void **state)
{
	static const struct refusal cases[] = {
		{ "'process':{}", "process.cwd: missing" },
		{ "'process':{'cwd':'w'}", "process.cwd: got 'w', want an absolute path" },
		{ "'process':{'cwd':''}", "process.cwd: got '', want an absolute path" },
		{ PROCESS("'user':{'uid':'0'}"),
		  "process.user.uid: got a string, want a number from 0 to 4294967295" },
		{ PROCESS("'user':{'gid':-1}"),
		  "process.user.gid: got a negative number, want a number from 0 to 4294967295" },
		{ PROCESS("'user':{'umask':512}"),
		  "process.user.umask: got 512, want a number from 0 to 511" },
		{ PROCESS("'args':['']"), "process.args: entry 0: got '', want a program" },
		{ PROCESS("'args':['a',5]"), "process.args[1]: got a number, want a string" },
		{ PROCESS("'args':[null]"), "process.args[0]: missing" },
		{ PROCESS("'env':['A=b','B']"), "process.env: entry 1: got 'B', want name=value" },
		{ PROCESS("'env':['=b']"), "process.env: entry 0: got '=b', want name=value" },
		{ PROCESS("'rlimits':[{'type':'NOFILE','soft':1,'hard':1}]"),
		  "process.rlimits[0].type: got 'NOFILE', want one of RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, "
		  "RLIMIT_DATA, "
		  "RLIMIT_FSIZE, RLIMIT_LOCKS, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_NOFILE, "
		  "RLIMIT_NPROC, RLIMIT_RSS, RLIMIT_RTPRIO, RLIMIT_RTTIME, RLIMIT_SIGPENDING, RLIMIT_STACK" },
		{ PROCESS("'rlimits':[{'type':'RLIMIT_CPU','soft':1,'hard':1},"
			  "{'type':'RLIMIT_CPU','soft':1,'hard':1}]"),
		  "process.rlimits[1].type: 'RLIMIT_CPU' is there twice" },
		{ PROCESS("'rlimits':[{'type':'RLIMIT_CPU','soft':2,'hard':1}]"),
		  "process.rlimits[0].soft: got 2, want no more than the hard limit of 1" },
		{ PROCESS("'rlimits':[{'type':'RLIMIT_CPU','soft':2}]"), "process.rlimits[0].hard: missing" },
		{ PROCESS("'oomScoreAdj':1001"),
		  "process.oomScoreAdj: got 1001, want a number from -1000 to 1000" },
		{ PROCESS("'capabilities':{'bounding':['KILL']}"),
		  "process.capabilities.bounding[0]: got 'KILL', want a name that begins with CAP_" },
		{ PROCESS("'scheduler':{'policy':'SCHED_ISO'}"),
		  "process.scheduler.policy: Linux reserves SCHED_ISO and has never had it" },
		{ PROCESS("'scheduler':{}"), "process.scheduler.policy: missing" },
		{ PROCESS("'scheduler':{'policy':'SCHED_BATCH','nice':20}"),
		  "process.scheduler.nice: got 20, want a number from -20 to 19" },
		{ PROCESS("'scheduler':{'policy':'SCHED_OTHER','priority':1}"),
		  "process.scheduler.priority: only for SCHED_FIFO and SCHED_RR" },
		{ PROCESS("'scheduler':{'policy':'SCHED_RR','period':1}"),
		  "process.scheduler: runtime, deadline and period are only for SCHED_DEADLINE" },
		{ PROCESS("'ioPriority':{'class':'IOPRIO_CLASS_RT','priority':8}"),
		  "process.ioPriority.priority: got 8, want a number from 0 to 7" },
		{ PROCESS("'execCPUAffinity':{'initial':'3-1'}"),
		  "process.execCPUAffinity.initial: got '3-1', want numbers and ranges such as 0-3,7" },
		{ PROCESS("'execCPUAffinity':{'final':'0-3,'}"),
		  "process.execCPUAffinity.final: got '0-3,', want numbers and ranges such as 0-3,7" },
	};

	(void)state;
	check_refusals(cases, ARRAY_SIZE(cases));
}

#define MOUNT(members) "'mounts':[{'destination':'/d'," members "}]"
#define MAP            "[{'containerID':0,'hostID':0,'size':1}]"

static void test_oci_refuses_bad_mounts(void **state)
{
	static const struct refusal cases[] = {
		{ "'mounts':[{'type':'proc'}]", "mounts[0].destination: missing" },
		{ "'mounts':[{'destination':'','type':'proc'}]",
		  "mounts[0].destination: got '', want a path" },
		{ MOUNT("'source':'/s'"), "mounts[0].type: missing, and it is no bind mount" },
		{ MOUNT("'type':'bind','source':'/s'"),
		  "mounts[0].type: bind without the option bind or rbind" },
		{ MOUNT("'options':['bind']"), "mounts[0].source: missing: a bind mount needs one" },
		{ MOUNT("'source':'/s','options':['bind','size=5']"),
		  "mounts[0].options: a bind mount cannot take the file system option 'size=5'" },
		{ MOUNT("'type':'proc','options':['tmpcopyup']"),
		  "mounts[0].options: tmpcopyup is for tmpfs only" },
		{ MOUNT("'type':'tmpfs','options':['src-nofollow']"),
		  "mounts[0].options: copy-symlink, src-nofollow and dest-nofollow are for bind mounts "
		  "only" },
		{ MOUNT("'source':'/s','options':['bind','dest-nofollow','copy-symlink']"),
		  "mounts[0].options: copy-symlink excludes src-nofollow and dest-nofollow" },
		{ MOUNT("'source':'/s','options':['bind','idmap']"),
		  "mounts: '/d': idmap with neither mappings nor a user namespace" },
		{ MOUNT("'source':'/s','options':['bind'],'uidMappings':" MAP),
		  "mounts[0].gidMappings: missing beside the other" },
		{ MOUNT("'type':'tmpfs','options':['rslave','shared']"),
		  "mounts[0].options: option 'shared' after another propagation is not supported: give one" },
		{ MOUNT("'type':'tmpfs','options':'ro'"), "mounts[0].options: got a string, want a list" },
	};

	(void)state;
	check_refusals(cases, ARRAY_SIZE(cases));
}

#define LINUX(members) "'linux':{" members "}"
#define NS(type)       "'namespaces':[{'type':'" type "'}]"

static void test_oci_refuses_bad_linux(void **state)
{
	static const struct refusal cases[] = {
		{ LINUX("'namespaces':[{'type':'net'}]"),
		  "linux.namespaces[0].type: got 'net', want one of cgroup, ipc, mount, network, pid, time, "
		  "user, uts" },
		{ LINUX("'namespaces':[{'type':'pid'},{'type':'pid'}]"),
		  "linux.namespaces[1].type: 'pid' is there twice" },
		{ LINUX("'namespaces':[{'type':'pid','path':'x'}]"),
		  "linux.namespaces[0].path: got 'x', want an absolute path" },
		{ LINUX("'uidMappings':" MAP), "linux.uidMappings: given without a user namespace" },
		{ LINUX(NS("user")), "linux.uidMappings: missing: a new user namespace needs them" },
		{ LINUX(NS("user") ",'uidMappings':" MAP),
		  "linux.gidMappings: missing: a new user namespace needs them" },
		{ LINUX(NS("user") ",'uidMappings':[{'containerID':0,'hostID':4294967295,'size':1}]"),
		  "linux.uidMappings[0].size: got 1, want at least one id and none beyond 4294967294" },
		{ LINUX(NS("user") ",'uidMappings':[{'containerID':0,'hostID':0,'size':0}]"),
		  "linux.uidMappings[0].size: got 0, want at least one id and none beyond 4294967294" },
		{ LINUX("'timeOffsets':{'boottime':{'secs':1}}"),
		  "linux.timeOffsets: given without a time namespace" },
		{ LINUX("'namespaces':[{'type':'time','path':'/"
			"p'}],'timeOffsets':{'boottime':{'secs':1}}"),
		  "linux.timeOffsets: given, but the time namespace is joined by path" },
		{ LINUX(NS("time") ",'timeOffsets':{'realtime':{}}"),
		  "linux.timeOffsets.realtime: unknown clock, want boottime or monotonic" },
		{ LINUX(NS("time") ",'timeOffsets':{'boottime':{'nanosecs':1000000000}}"),
		  "linux.timeOffsets.boottime.nanosecs: got 1000000000, want a number from 0 to 999999999" },
		{ LINUX("'devices':[{'type':'c','path':'dev','major':1,'minor':1}]"),
		  "linux.devices[0].path: got 'dev', want an absolute path" },
		{ LINUX("'devices':[{'type':'c','path':'/dev','major':1}]"),
		  "linux.devices[0].minor: missing" },
		{ LINUX("'devices':[{'type':'x','path':'/dev'}]"),
		  "linux.devices[0].type: got 'x', want one of c, b, u, p" },
		{ LINUX("'devices':[{'type':'p','path':'/dev','fileMode':65536}]"),
		  "linux.devices[0].fileMode: got 65536, want permission bits" },
		{ LINUX("'netDevices':{'eth0':{}}"), "linux.netDevices: given without a network namespace" },
		{ LINUX(NS("network") ",'netDevices':{'a/b':{}}"),
		  "linux.netDevices.a/b: 'a/b' is no name of a network device" },
		{ LINUX(NS("network") ",'netDevices':{'a':{'name':'1234567890123456'}}"),
		  "linux.netDevices.a: '1234567890123456' is no name of a network device" },
		{ LINUX("'maskedPaths':['/proc/kcore']"),
		  "linux.maskedPaths: given without a mount namespace" },
		{ LINUX("'readonlyPaths':['proc']"),
		  "linux.readonlyPaths[0]: got 'proc', want an absolute path" },
		{ LINUX("'maskedPaths':['']"), "linux.maskedPaths[0]: got '', want an absolute path" },
		{ LINUX("'rootfsPropagation':'none'"),
		  "linux.rootfsPropagation: got 'none', want one of shared, slave, "
		  "private, unbindable, rshared, rslave, rprivate, runbindable" },
		{ LINUX("'personality':{'domain':'LINUX','flags':['X']}"),
		  "linux.personality.flags: no flag is supported" },
		{ LINUX("'memoryPolicy':{'mode':'MPOL_BIND'}"),
		  "linux.memoryPolicy.nodes: missing: mode MPOL_BIND needs at least one" },
		{ LINUX("'memoryPolicy':{'mode':'MPOL_LOCAL','nodes':'0'}"),
		  "linux.memoryPolicy.nodes: given, but mode MPOL_LOCAL takes none" },
		{ LINUX("'intelRdt':{'closID':'a/b'}"),
		  "linux.intelRdt.closID: got 'a/b', want one path component or /" },
		{ LINUX("'intelRdt':{'memBwSchema':'L3:0=1'}"),
		  "linux.intelRdt.memBwSchema: got 'L3:0=1', want one line that begins with 'MB:'" },
		{ LINUX("'sysctl':{'a':1}"), "linux.sysctl.a: got a number, want a string" },
	};

	(void)state;
	check_refusals(cases, ARRAY_SIZE(cases));
}

#define SECCOMP(members) "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_ALLOW'," members "}}"
#define RULE(members)    SECCOMP("'syscalls':[{'names':['read']," members "}]")

static void test_oci_refuses_bad_seccomp(void **state)
{
	static const struct refusal cases[] = {
		{ SECCOMP("'defaultErrnoRet':1"),
		  "linux.seccomp.defaultErrnoRet: action SCMP_ACT_ALLOW returns no errno" },
		{ SECCOMP("'architectures':['X86']"),
		  "linux.seccomp.architectures[0]: got 'X86', want one of "
		  "SCMP_ARCH_AARCH64, SCMP_ARCH_ARM, SCMP_ARCH_LOONGARCH64, SCMP_ARCH_M68K, SCMP_ARCH_MIPS, "
		  "SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS64N32, SCMP_ARCH_MIPSEL, SCMP_ARCH_MIPSEL64, "
		  "SCMP_ARCH_MIPSEL64N32, SCMP_ARCH_PARISC, SCMP_ARCH_PARISC64, SCMP_ARCH_PPC, ..." },
		{ SECCOMP("'flags':['X']"),
		  "linux.seccomp.flags[0]: got 'X', want one of SECCOMP_FILTER_FLAG_TSYNC, "
		  "SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_LOG, "
		  "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" },
		{ SECCOMP("'syscalls':[{'action':'SCMP_ACT_LOG'}]"),
		  "linux.seccomp.syscalls[0].names: got none, want at least one system call" },
		{ RULE("'action':'ALLOW'"),
		  "linux.seccomp.syscalls[0].action: got 'ALLOW', want one of "
		  "SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, "
		  "SCMP_ACT_KILL_THREAD, "
		  "SCMP_ACT_LOG, SCMP_ACT_NOTIFY, SCMP_ACT_TRACE, SCMP_ACT_TRAP" },
		{ RULE("'x':1"), "linux.seccomp.syscalls[0].action: missing" },
		{ RULE("'action':'SCMP_ACT_KILL','errnoRet':1"),
		  "linux.seccomp.syscalls[0].errnoRet: action SCMP_ACT_KILL returns no errno" },
		{ RULE("'action':'SCMP_ACT_ERRNO','errnoRet':4096"),
		  "linux.seccomp.syscalls[0].errnoRet: got 4096, want a number from 0 to 4095" },
		{ RULE("'action':'SCMP_ACT_LOG','args':[{'index':6,'value':0,'op':'SCMP_CMP_"
		       "EQ'}]"),
		  "linux.seccomp.syscalls[0].args[0].index: got 6, want a number from 0 to 5" },
		{ RULE("'action':'SCMP_ACT_LOG','args':[{'index':0,'value':0}]"),
		  "linux.seccomp.syscalls[0].args[0].op: missing" },
		{ RULE("'action':'SCMP_ACT_NOTIFY'"),
		  "linux.seccomp.listenerPath: missing, and a rule's action is SCMP_ACT_NOTIFY" },
		{ SECCOMP("'listenerMetadata':'m'"),
		  "linux.seccomp.listenerMetadata: given without listenerPath" },
		{ "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_NOTIFY','listenerPath':'/l'}}",
		  "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default: nobody could send its "
		  "descriptor" },
		{ SECCOMP("'flags':['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV']"),
		  "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with "
		  "SCMP_ACT_NOTIFY" },
	};

	(void)state;
	check_refusals(cases, ARRAY_SIZE(cases));
}

#define RESOURCES(members) "'linux':{'resources':{" members "}}"

static void test_oci_refuses_bad_resources(void **state)
{
	static const struct refusal cases[] = {
		{ RESOURCES("'devices':[{'allow':true}]"),
		  "linux.resources.devices[0].access: got '', want letters of rwm" },
		{ RESOURCES("'devices':[{'access':'rx'}]"),
		  "linux.resources.devices[0].access: got 'rx', want letters of rwm" },
		{ RESOURCES("'devices':[{'type':'p','access':'r'}]"),
		  "linux.resources.devices[0].type: got 'p', want one of a, b, c" },
		{ RESOURCES("'memory':{'limit':-2}"),
		  "linux.resources.memory.limit: got -2, want a number from -1 to 9223372036854775807" },
		{ RESOURCES("'memory':{'swappiness':101}"),
		  "linux.resources.memory.swappiness: got 101, want a number from 0 to 100" },
		{ RESOURCES("'cpu':{'quota':5,'burst':6}"),
		  "linux.resources.cpu.burst: got 6, want no more than the quota of 5" },
		{ RESOURCES("'cpu':{'cpus':'a'}"),
		  "linux.resources.cpu.cpus: got 'a', want numbers and ranges such as 0-3,7" },
		{ RESOURCES("'blockIO':{'weight':9}"),
		  "linux.resources.blockIO.weight: got 9, want a number from 10 to 1000" },
		{ RESOURCES("'blockIO':{'weight':1001}"),
		  "linux.resources.blockIO.weight: got 1001, want a number from 0 to 1000" },
		{ RESOURCES("'blockIO':{'weightDevice':[{'major':1,'minor':1}]}"),
		  "linux.resources.blockIO.weightDevice[0].weight: missing, and so is leafWeight" },
		{ RESOURCES("'blockIO':{'throttleReadBpsDevice':[{'major':1,'minor':1}]}"),
		  "linux.resources.blockIO.throttleReadBpsDevice[0].rate: missing" },
		{ RESOURCES("'hugepageLimits':[{'pageSize':'../x','limit':1}]"),
		  "linux.resources.hugepageLimits[0].pageSize: got '../x', want one such as 64KB, 2MB or "
		  "1GB" },
		{ RESOURCES("'rdma':{'m':{}}"),
		  "linux.resources.rdma.m.hcaHandles: missing, and so is hcaObjects" },
		{ RESOURCES("'unified':{'a/b':'1'}"), "linux.resources.unified: 'a/b' is no file name" },
		{ RESOURCES("'unified':{'..':'1'}"), "linux.resources.unified: '..' is no file name" },
		{ RESOURCES("'pids':{'limit':-2}"),
		  "linux.resources.pids.limit: got -2, want a number from -1 to 9223372036854775807" },
	};

	(void)state;
	check_refusals(cases, ARRAY_SIZE(cases));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oci_refuses_a_bad_top),
		cmocka_unit_test(test_oci_refuses_a_bad_process),
		cmocka_unit_test(test_oci_refuses_bad_mounts),
		cmocka_unit_test(test_oci_refuses_bad_linux),
		cmocka_unit_test(test_oci_refuses_bad_seccomp),
		cmocka_unit_test(test_oci_refuses_bad_resources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
