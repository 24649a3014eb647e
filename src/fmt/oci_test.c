/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <jansson.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

#define HEAD "'ociVersion':'1.3.0','root':{'path':'rootfs'}"

/* parse() - oci_spec_parse() of a text whose quotes are written '. */
static int parse(struct oci_spec *spec, const char *text, struct arena *a, struct err *e)
{
	char *json = arena_strdup(a, text);

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	return oci_spec_parse(spec, json, strlen(json), a, e);
}

/* --- what is accepted ----------------------------------------------------------------------------------- */

static const char full[] =
	"{" HEAD ",'unknown':[{}],'hostname':'h','domainname':'d',"
	"'process':{'terminal':true,'consoleSize':{'height':25,'width':80},"
	" 'user':{'uid':1,'gid':2,'umask':63,'additionalGids':[5,4294967295]},"
	" 'args':['sh',''],'env':['A=b','C='],'cwd':'/w','noNewPrivileges':true,'oomScoreAdj':-1000,"
	" 'capabilities':{'bounding':['CAP_CHOWN','CAP_CHECKPOINT_RESTORE','CAP_FROM_THE_FUTURE'],"
	"  'ambient':['CAP_KILL']},"
	" 'rlimits':[{'type':'RLIMIT_NOFILE','soft':1024,'hard':18446744073709551615}],"
	" 'apparmorProfile':'aa','selinuxLabel':'',"
	" 'scheduler':{'policy':'SCHED_DEADLINE','flags':['SCHED_FLAG_RECLAIM','SCHED_FLAG_KEEP_POLICY'],"
	"  'runtime':1,'deadline':2,'period':3},"
	" 'ioPriority':{'class':'IOPRIO_CLASS_IDLE','priority':4},"
	" 'execCPUAffinity':{'initial':'7','final':'0-3,7'}},"
	"'mounts':[{'destination':'/proc','type':'proc','source':'proc'},"
	" {'destination':'data','type':'none','source':'/v','options':['rbind','ro','rslave','ridmap'],"
	"  'uidMappings':[{'containerID':0,'hostID':1000,'size':10}],"
	"  'gidMappings':[{'containerID':0,'hostID':1000,'size':10}]}],"
	"'hooks':{'prestart':[{'path':'/a','args':['a','b'],'env':['K=v'],'timeout':5}],"
	" 'poststop':[{'path':'/b'}]},"
	"'annotations':{'k':'v','e':'','k':'last'},"
	"'linux':{'namespaces':[{'type':'pid'},{'type':'network','path':'/run/netns/a'},{'type':'mount'},"
	"  {'type':'uts','path':''},{'type':'user'},{'type':'time'}],"
	" 'uidMappings':[{'containerID':0,'hostID':1000,'size':32000}],"
	" 'gidMappings':[{'containerID':0,'hostID':1000,'size':32000}],"
	" 'timeOffsets':{'monotonic':{'secs':-172800,'nanosecs':5}},"
	" 'devices':[{'path':'/dev/fuse','type':'c','major':10,'minor':229,'fileMode':8630,'uid':3,"
	"  'gid':4},"
	"  {'path':'/dev/p','type':'p'}],"
	" 'netDevices':{'eth0':{'name':'c%d'},'eth1':{}},"
	" 'cgroupsPath':'/a/b','sysctl':{'net.ipv4.ip_forward':'1'},"
	" 'intelRdt':{'closID':'g','schemata':['L3:0=7f0'],'memBwSchema':'MB:0=20',"
	"  'enableMonitoring':true},"
	" 'memoryPolicy':{'mode':'MPOL_INTERLEAVE','nodes':'2-3','flags':['MPOL_F_STATIC_NODES']},"
	" 'rootfsPropagation':'slave','maskedPaths':['/proc/kcore'],'readonlyPaths':['/proc/sys',"
	"  '/proc/bus'],"
	" 'mountLabel':'ml','personality':{'domain':'LINUX32','flags':[]},"
	" 'seccomp':{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':38,"
	"  'architectures':['SCMP_ARCH_X86_64','SCMP_ARCH_X32'],'flags':['SECCOMP_FILTER_FLAG_LOG'],"
	"  'listenerPath':'/run/l','listenerMetadata':'m',"
	"  'syscalls':[{'names':['read','write'],'action':'SCMP_ACT_ALLOW'},"
	"   {'names':['clone'],'action':'SCMP_ACT_ERRNO','args':[{'index':5,'value':18446744073709551615,"
	"    'valueTwo':2,'op':'SCMP_CMP_MASKED_EQ'}]},"
	"   {'names':['mknod'],'action':'SCMP_ACT_NOTIFY'},"
	"   {'names':['ptrace'],'action':'SCMP_ACT_TRACE','errnoRet':65535}]},"
	" 'resources':{'devices':[{'allow':false,'access':'rwm'},"
	"   {'allow':true,'type':'c','major':10,'minor':-1,'access':'rm'}],"
	"  'memory':{'limit':536870912,'swap':-1,'swappiness':18446744073709551615,"
	"   'disableOOMKiller':true,"
	"   'checkBeforeUpdate':true},"
	"  'cpu':{'shares':1024,'quota':100000,'burst':5,'period':50000,'cpus':'2-3','mems':'','idle':1},"
	"  'pids':{'limit':0},'blockIO':{'weight':0,'leafWeight':10,"
	"   'weightDevice':[{'major':8,'minor':0,'weight':500}],"
	"   'throttleWriteIOPSDevice':[{'major':8,'minor':16,'rate':300}]},"
	"  'hugepageLimits':[{'pageSize':'2MB','limit':18446744073709551615}],"
	"  'network':{'classID':1048577,'priorities':[{'name':'eth0','priority':500}]},"
	"  'rdma':{'mlx5_1':{'hcaHandles':3}},'unified':{'io.max':'x'}}}}";

struct parsed {
	struct arena arena;
	struct oci_spec spec;
};

static int parse_full(void **state)
{
	struct parsed *p = calloc(1, sizeof(*p));
	struct err e = { 0 };

	if (!p || parse(&p->spec, full, &p->arena, &e) < 0) {
		print_error("%s\n", e.text);
		free(p);
		return -1;
	}
	*state = p;
	return 0;
}

static int free_full(void **state)
{
	struct parsed *p = *state;

	arena_fini(&p->arena);
	free(p);
	return 0;
}

static void test_oci_reads_the_top(void **state)
{
	const struct oci_spec *s = &((struct parsed *)*state)->spec;

	assert_string_equal(s->oci_version, "1.3.0");
	assert_string_equal(s->root_path, "rootfs");
	assert_false(s->root_readonly);
	assert_string_equal(s->hostname, "h");
	assert_string_equal(s->domainname, "d");
	assert_string_equal(oci_kvs_get(&s->annotations, "k"), "last");
	assert_string_equal(oci_kvs_get(&s->annotations, "e"), "");
	assert_null(oci_kvs_get(&s->annotations, "none"));
	assert_int_equal(s->hooks[OCI_HOOK_PRESTART].n, 1);
	assert_string_equal(s->hooks[OCI_HOOK_PRESTART].v[0].args.v[1], "b");
	assert_null(s->hooks[OCI_HOOK_PRESTART].v[0].args.v[2]);
	assert_int_equal(s->hooks[OCI_HOOK_PRESTART].v[0].timeout_s, 5);
	assert_string_equal(s->hooks[OCI_HOOK_POSTSTOP].v[0].path, "/b");
	assert_int_equal(s->hooks[OCI_HOOK_POSTSTOP].v[0].timeout_s, 0);
	assert_int_equal(s->hooks[OCI_HOOK_POSTSTART].n, 0);
}

static void test_oci_reads_the_process(void **state)
{
	const struct oci_process *p = &((struct parsed *)*state)->spec.process;

	assert_true(p->terminal && p->no_new_privileges && p->has_capabilities);
	assert_int_equal(p->console_rows, 25);
	assert_int_equal(p->console_cols, 80);
	assert_int_equal(p->user.uid, 1);
	assert_int_equal(p->user.gid, 2);
	assert_int_equal(p->user.umask.v, 077);
	assert_int_equal(p->user.n_additional_gids, 2);
	assert_int_equal(p->user.additional_gids[1], UINT32_MAX);
	assert_int_equal(p->args.n, 2);
	assert_null(p->args.v[2]);
	assert_string_equal(p->env.v[1], "C=");
	assert_string_equal(p->cwd, "/w");
	assert_true(p->caps[OCI_CAP_BOUNDING] == (1ULL << CAP_CHOWN | 1ULL << CAP_CHECKPOINT_RESTORE));
	assert_true(p->caps[OCI_CAP_AMBIENT] == 1ULL << CAP_KILL);
	assert_true(p->caps[OCI_CAP_INHERITABLE] == 0);
	assert_int_equal(p->rlimits[0].resource, RLIMIT_NOFILE);
	assert_true(p->rlimits[0].hard == UINT64_MAX && p->rlimits[0].soft == 1024);
	assert_string_equal(p->apparmor_profile, "aa");
	assert_null(p->selinux_label);
	assert_true(p->oom_score_adj.set && p->oom_score_adj.v == -1000);
	assert_int_equal(p->scheduler->policy, SCHED_DEADLINE);
	assert_int_equal(p->scheduler->flags, SCHED_FLAG_RECLAIM | SCHED_FLAG_KEEP_POLICY);
	assert_int_equal(p->scheduler->period, 3);
	assert_int_equal(p->io_priority->class, IOPRIO_CLASS_IDLE);
	assert_int_equal(p->io_priority->priority, 4);
	assert_string_equal(p->exec_affinity_final, "0-3,7");
}

static void test_oci_reads_mounts(void **state)
{
	const struct oci_spec *s = &((struct parsed *)*state)->spec;
	const struct oci_mount *m = &s->mounts[1];

	assert_int_equal(s->n_mounts, 2);
	assert_string_equal(s->mounts[0].type, "proc");
	assert_int_equal(s->mounts[0].flags, 0);
	assert_string_equal(m->destination, "data");
	assert_string_equal(m->type, "bind");
	assert_int_equal(m->flags, OCI_MOUNT_BIND | OCI_MOUNT_RBIND | OCI_MOUNT_IDMAP | OCI_MOUNT_RIDMAP);
	assert_int_equal(m->attr_set, MOUNT_ATTR_RDONLY);
	assert_int_equal(m->propagation, MS_SLAVE);
	assert_true(m->propagation_rec);
	assert_int_equal(m->uid_mappings.v[0].host_id, 1000);
}

static void test_oci_reads_linux(void **state)
{
	const struct oci_linux *l = &((struct parsed *)*state)->spec.linux;

	assert_true(l->ns[OCI_NS_PID].present && !l->ns[OCI_NS_PID].path);
	assert_string_equal(l->ns[OCI_NS_NETWORK].path, "/run/netns/a");
	assert_null(l->ns[OCI_NS_UTS].path);
	assert_false(l->ns[OCI_NS_IPC].present);
	assert_int_equal(l->gid_mappings.v[0].size, 32000);
	assert_true(l->monotonic.set && !l->boottime.set);
	assert_true(l->monotonic.secs == -172800 && l->monotonic.nanosecs == 5);
	assert_int_equal(l->n_devices, 2);
	assert_int_equal(l->devices[0].mode.v, 0666);
	assert_int_equal(l->devices[0].minor, 229);
	assert_int_equal(l->devices[1].type, 'p');
	assert_false(l->devices[1].mode.set);
	assert_string_equal(l->net_devices[0].name, "c%d");
	assert_string_equal(l->net_devices[1].host_name, "eth1");
	assert_null(l->net_devices[1].name);
	assert_string_equal(l->cgroups_path, "/a/b");
	assert_string_equal(l->sysctl.v[0].key, "net.ipv4.ip_forward");
	assert_string_equal(l->rdt->schemata.v[0], "L3:0=7f0");
	assert_true(l->rdt->enable_monitoring);
	assert_int_equal(l->memory_policy->mode, MPOL_INTERLEAVE);
	assert_int_equal(l->memory_policy->flags, MPOL_F_STATIC_NODES);
	assert_int_equal(l->rootfs_propagation, MS_SLAVE);
	assert_int_equal(l->readonly_paths.n, 2);
	assert_string_equal(l->mount_label, "ml");
	assert_int_equal(l->personality->domain, PER_LINUX32);
}

static void test_oci_reads_seccomp(void **state)
{
	const struct oci_seccomp *s = ((struct parsed *)*state)->spec.linux.seccomp;

	assert_int_equal(s->default_action, SECCOMP_RET_ERRNO | 38);
	assert_int_equal(s->n_arches, 2);
	assert_int_equal(s->arches[1], SCMP_ARCH_X32);
	assert_int_equal(s->flags, SECCOMP_FILTER_FLAG_LOG);
	assert_string_equal(s->listener_metadata, "m");
	assert_int_equal(s->n_rules, 4);
	assert_int_equal(s->rules[0].action, SECCOMP_RET_ALLOW);
	assert_string_equal(s->rules[0].names.v[1], "write");
	assert_int_equal(s->rules[1].action, SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(s->rules[1].args[0].index, 5);
	assert_true(s->rules[1].args[0].value == UINT64_MAX && s->rules[1].args[0].value_two == 2);
	assert_int_equal(s->rules[1].args[0].op, SCMP_CMP_MASKED_EQ);
	assert_int_equal(s->rules[2].action, SECCOMP_RET_USER_NOTIF);
	assert_int_equal(s->rules[3].action, SECCOMP_RET_TRACE | 65535);
}

static void test_oci_reads_resources(void **state)
{
	const struct oci_resources *r = &((struct parsed *)*state)->spec.linux.resources;

	assert_int_equal(r->n_devices, 2);
	assert_true(!r->devices[0].allow && r->devices[0].type == 'a' && !r->devices[0].major.set);
	assert_true(r->devices[1].read && !r->devices[1].write && r->devices[1].mknod);
	assert_int_equal(r->devices[1].minor.v, -1);
	assert_int_equal(r->memory.limit.v, 536870912);
	assert_int_equal(r->memory.swap.v, -1);
	assert_false(r->memory.swappiness.set);
	assert_false(r->memory.reservation.set);
	assert_true(r->memory.disable_oom_killer && r->memory.check_before_update);
	assert_int_equal(r->cpu.shares.v, 1024);
	assert_int_equal(r->cpu.burst.v, 5);
	assert_string_equal(r->cpu.cpus, "2-3");
	assert_null(r->cpu.mems);
	assert_true(r->pids_limit.set && r->pids_limit.v == 0);
	assert_false(r->block_io.weight.set);
	assert_int_equal(r->block_io.leaf_weight.v, 10);
	assert_int_equal(r->block_io.weight_devices[0].weight.v, 500);
	assert_int_equal(r->block_io.throttle[OCI_WRITE_IOPS].v[0].rate, 300);
	assert_int_equal(r->block_io.throttle[OCI_READ_BPS].n, 0);
	assert_true(r->hugepages[0].limit == UINT64_MAX);
	assert_int_equal(r->network.class_id.v, 1048577);
	assert_int_equal(r->network.priorities[0].priority, 500);
	assert_true(r->rdma[0].hca_handles.v == 3 && !r->rdma[0].hca_objects.set);
	assert_string_equal(r->unified.v[0].value, "x");
}

static void test_oci_accepts_versions_1_0_to_1_3(void **state)
{
	static const struct {
		const char *version;
		int r;
	} cases[] = {
		{ "1.0.0", 0 },         { "1.0.2-dev", 0 },  { "1.1.0-rc.2", 0 },   { "1.2.1+dev", 0 },
		{ "1.3.0", 0 },         { "1.3.17", 0 },     { "1.4.0", -ENOTSUP }, { "2.0.0", -ENOTSUP },
		{ "0.5.0", -ENOTSUP },  { "1.3", -ENOTSUP }, { "1.3.", -ENOTSUP },  { "1.30.0", -ENOTSUP },
		{ "1.3.0x", -ENOTSUP }, { "", -ENOTSUP },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct oci_spec spec;
		char text[128];

		str_format(text, sizeof(text), "{'ociVersion':'%s','root':{'path':'r'}}", cases[i].version);
		assert_int_equal(parse(&spec, text, &a, NULL), cases[i].r);
	}
}

/* --- the other doors ------------------------------------------------------------------------------------ */

static void test_oci_seccomp_without_action_and_calls_is_none(void **state)
{
	static const char none[] = "{" HEAD ",'linux':{'seccomp':{}}}";
	static const char speculating[] = "{" HEAD ",'linux':{'seccomp':{'defaultAction':'SCMP_ACT_KILL'}}}";
	static const char empty[] =
		"{" HEAD ",'linux':{'seccomp':{'defaultAction':'SCMP_ACT_KILL','flags':[]}}}";
	auto_fini(arena) struct arena a = { 0 };
	struct oci_spec s;

	(void)state;
	assert_int_equal(parse(&s, none, &a, NULL), 0);
	assert_null(s.linux.seccomp);
	assert_int_equal(parse(&s, speculating, &a, NULL), 0);
	assert_int_equal(s.linux.seccomp->default_action, SECCOMP_RET_KILL_THREAD);
	assert_int_equal(s.linux.seccomp->flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	assert_int_equal(parse(&s, empty, &a, NULL), 0);
	assert_int_equal(s.linux.seccomp->flags, 0);
}

static void test_oci_refuses_a_huge_text_and_a_list_for_an_object(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_free char *huge = calloc(1, OCI_CONFIG_BYTES_MAX + 1);
	struct oci_spec s;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(oci_spec_parse(&s, huge, OCI_CONFIG_BYTES_MAX + 1, &a, &e), -EINVAL);
	assert_string_equal(e.text, "16777217 bytes of JSON, want at most 16777216");
	assert_int_equal(oci_spec_parse(&s, "[]", 2, &a, &e), -EINVAL);
	assert_string_equal(e.text, "got a list, want an object");
}

static void test_oci_reads_a_process_and_resources_alone(void **state)
{
	static const char process[] = "{\"args\":[\"id\"],\"cwd\":\"/\",\"user\":{\"uid\":7}}";
	static const char resources[] = "{\"memory\":{\"limit\":5},\"pids\":{\"limit\":9}}";
	auto_fini(arena) struct arena a = { 0 };
	struct oci_resources r;
	struct oci_process p;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(oci_process_parse(&p, process, strlen(process), &a, &e), 0);
	assert_int_equal(p.user.uid, 7);
	assert_string_equal(p.args.v[0], "id");
	assert_int_equal(oci_process_parse(&p, "{}", 2, &a, &e), -EINVAL);
	assert_string_equal(e.text, "cwd: missing");
	assert_int_equal(oci_resources_parse(&r, resources, strlen(resources), &a, &e), 0);
	assert_int_equal(r.memory.limit.v, 5);
	assert_int_equal(r.pids_limit.v, 9);
	assert_int_equal(oci_resources_parse(&r, "{\"cpu\":1}", 9, &a, &e), -EINVAL);
	assert_string_equal(e.text, "cpu: got a number, want an object");
}

#define ATIME MOUNT_ATTR__ATIME

static void test_oci_sorts_mount_options(void **state)
{
	static const struct {
		const char *options; /* by blanks */
		uint64_t set, clr, rec_set, rec_clr, sb, propagation;
		const char *data;
	} cases[] = {
		{ "defaults", 0, 0, 0, 0, 0, 0, "" },
		{ "ro nosuid nodev noexec",
		  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, 0, 0,
		  MS_RDONLY, 0, "" },
		{ "ro rw", 0, MOUNT_ATTR_RDONLY, 0, 0, 0, 0, "" },
		{ "rw ro", MOUNT_ATTR_RDONLY, 0, 0, 0, MS_RDONLY, 0, "" },
		{ "noatime", MOUNT_ATTR_NOATIME, ATIME, 0, 0, 0, 0, "" },
		{ "noatime strictatime", MOUNT_ATTR_STRICTATIME, ATIME, 0, 0, 0, 0, "" },
		{ "noatime atime", 0, ATIME, 0, 0, 0, 0, "" },
		{ "noatime norelatime nostrictatime", MOUNT_ATTR_NOATIME, ATIME, 0, 0, 0, 0, "" },
		{ "strictatime relatime nodiratime", MOUNT_ATTR_NODIRATIME, ATIME, 0, 0, 0, 0, "" },
		{ "rro rnosuid rnoatime", 0, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME,
		  ATIME, 0, 0, "" },
		{ "rrw rexec rsymfollow", 0, 0, 0,
		  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW, 0, 0, "" },
		{ "ro rrw", MOUNT_ATTR_RDONLY, 0, 0, MOUNT_ATTR_RDONLY, MS_RDONLY, 0, "" },
		{ "sync dirsync lazytime iversion mand silent", 0, 0, 0, 0,
		  MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME | MS_I_VERSION | MS_MANDLOCK | MS_SILENT, 0, "" },
		{ "sync async silent loud lazytime nolazytime", 0, 0, 0, 0, 0, 0, "" },
		{ "rprivate private", 0, 0, 0, 0, 0, MS_PRIVATE | MS_REC, "" },
		{ "private rshared", 0, 0, 0, 0, 0, MS_SHARED | MS_REC, "" },
		{ "unbindable", 0, 0, 0, 0, 0, MS_UNBINDABLE, "" },
		{ "mode=755 nosuid acl size=65536k", MOUNT_ATTR_NOSUID, 0, 0, 0, 0, 0,
		  "mode=755 acl size=65536k " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		auto_fini(strv) struct strv options = { 0 };
		struct oci_mount m = { 0 };
		char data[128] = "";

		strv_split(&options, cases[i].options, ' ');
		assert_int_equal(oci_mount_parse_options(&m, options.item, options.len, &a, NULL), 0);
		assert_int_equal(m.attr_set, cases[i].set);
		assert_int_equal(m.attr_clr, cases[i].clr);
		assert_int_equal(m.rec_set, cases[i].rec_set);
		assert_int_equal(m.rec_clr, cases[i].rec_clr);
		assert_int_equal(m.sb_flags, cases[i].sb);
		assert_int_equal(m.propagation | (m.propagation_rec ? MS_REC : 0), cases[i].propagation);
		for (size_t k = 0; k < m.data.n; k++)
			str_format(data + strlen(data), sizeof(data) - strlen(data), "%s ", m.data.v[k]);
		assert_string_equal(data, cases[i].data);
		assert_true(m.data.n == 0 || !m.data.v[m.data.n]);
	}
}

static void test_oci_knows_names(void **state)
{
	static const struct {
		const char *name;
		int n;
	} signals[] = {
		{ "TERM", SIGTERM }, { "SIGTERM", SIGTERM },  { "sigkill", SIGKILL }, { "15", 15 },
		{ "0", 0 },          { "SIGRTMIN", 34 },      { "SIGRTMIN+3", 37 },   { "RTMAX-1", 63 },
		{ "RTMIN+30", 64 },  { "RTMIN+31", -EINVAL }, { "65", -EINVAL },      { "-9", -EINVAL },
		{ "FOO", -EINVAL },  { "", -EINVAL },         { "SIG", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		assert_int_equal(oci_signal_from_name(signals[i].name), signals[i].n);
	assert_string_equal(oci_signal_name(SIGTERM), "TERM");
	assert_string_equal(oci_signal_name(SIGABRT), "ABRT");
	assert_null(oci_signal_name(50));
	assert_int_equal(oci_cap_from_name("CAP_SYS_ADMIN"), CAP_SYS_ADMIN);
	assert_int_equal(oci_cap_from_name("sys_admin"), CAP_SYS_ADMIN);
	assert_int_equal(oci_cap_from_name("CAP_"), -EINVAL);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		assert_int_equal(oci_cap_from_name(oci_cap_name(cap)), cap);
	assert_null(oci_cap_name(CAP_LAST_CAP + 1));
	assert_null(oci_cap_name(-1));
	assert_string_equal(oci_ns_name(OCI_NS_NETWORK), "network");
	assert_string_equal(oci_ns_file(OCI_NS_NETWORK), "net");
	assert_int_equal(oci_ns_flag(OCI_NS_NETWORK), CLONE_NEWNET);
	assert_string_equal(oci_hook_name(OCI_HOOK_CREATE_RUNTIME), "createRuntime");
}

/* --- what the runtime offers ---------------------------------------------------------------------------- */

static void test_oci_accepts_its_own_default(void **state)
{
	(void)state;
	for (int rootless = 0; rootless < 2; rootless++) {
		auto_fini(arena) struct arena a = { 0 };
		auto_free char *text = oci_spec_default(rootless);
		struct oci_spec spec;
		struct err e = { 0 };

		assert_non_null(text);
		assert_int_equal(oci_spec_parse(&spec, text, strlen(text), &a, &e), 0);
		assert_int_equal(spec.n_mounts, 7);
		assert_int_equal(spec.linux.uid_mappings.n, rootless);
		assert_int_equal(spec.linux.ns[OCI_NS_USER].present, rootless);
	}
}

/* runc_spec() - what `runc spec` writes, or NULL when there is no runc. */
static json_t *runc_spec(bool rootless)
{
	char dir[] = "/tmp/hull-oci-test-XXXXXX", command[128], path[64];
	json_t *spec = NULL;

	if (!mkdtemp(dir))
		return NULL;
	str_format(command, sizeof(command), "runc spec%s -b %s 2>/dev/null", rootless ? " --rootless" : "",
		   dir);
	str_format(path, sizeof(path), "%s/config.json", dir);
	if (system(command) == 0)
		spec = json_load_file(path, 0, NULL);
	unlink(path);
	rmdir(dir);
	return spec;
}

static void test_oci_default_is_that_of_runc(void **state)
{
	(void)state;
	for (int rootless = 0; rootless < 2; rootless++) {
		auto_free char *text = oci_spec_default(rootless);
		json_t *theirs = runc_spec(rootless), *ours = json_loads(text, 0, NULL);

		if (!theirs) {
			json_decref(ours);
			print_message("skipped: no runc here to compare with\n");
			skip();
		}
		json_object_set_new(theirs, "ociVersion", json_string(OCI_VERSION));
		json_object_set_new(theirs, "hostname", json_string("hull"));
		assert_true(json_equal(ours, theirs));
		json_decref(ours);
		json_decref(theirs);
	}
}

static void test_oci_features_are_what_the_parser_reads(void **state)
{
	auto_free char *text = oci_features();
	json_t *features = json_loads(text, 0, NULL), *options = json_object_get(features, "mountOptions"),
	       *v;
	const char *before = "";
	size_t i;

	(void)state;
	assert_non_null(features);
	assert_string_equal(json_string_value(json_object_get(features, "ociVersionMax")), "1.3.0");
	assert_int_equal(json_array_size(json_object_get(features, "hooks")), OCI_HOOK_KIND_COUNT);
	json_array_foreach(options, i, v)
	{
		auto_fini(arena) struct arena a = { 0 };
		char *option = (char *)json_string_value(v);
		struct oci_mount m = { 0 };

		assert_true(strcmp(before, option) < 0); /* the lookup bisects: order is correctness */
		assert_int_equal(oci_mount_parse_options(&m, &option, 1, &a, NULL), 0);
		assert_int_equal(m.data.n, 0);
		before = option;
	}
	assert_int_equal(i, 65);
	v = json_object_get(json_object_get(features, "linux"), "capabilities");
	assert_int_equal(json_array_size(v), CAP_LAST_CAP + 1);
	json_decref(features);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_oci_reads_the_top, parse_full, free_full),
		cmocka_unit_test_setup_teardown(test_oci_reads_the_process, parse_full, free_full),
		cmocka_unit_test_setup_teardown(test_oci_reads_mounts, parse_full, free_full),
		cmocka_unit_test_setup_teardown(test_oci_reads_linux, parse_full, free_full),
		cmocka_unit_test_setup_teardown(test_oci_reads_seccomp, parse_full, free_full),
		cmocka_unit_test_setup_teardown(test_oci_reads_resources, parse_full, free_full),
		cmocka_unit_test(test_oci_accepts_versions_1_0_to_1_3),
		cmocka_unit_test(test_oci_seccomp_without_action_and_calls_is_none),
		cmocka_unit_test(test_oci_refuses_a_huge_text_and_a_list_for_an_object),
		cmocka_unit_test(test_oci_reads_a_process_and_resources_alone),
		cmocka_unit_test(test_oci_sorts_mount_options),
		cmocka_unit_test(test_oci_knows_names),
		cmocka_unit_test(test_oci_accepts_its_own_default),
		cmocka_unit_test(test_oci_default_is_that_of_runc),
		cmocka_unit_test(test_oci_features_are_what_the_parser_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
