/* SPDX-License-Identifier: Apache-2.0 */
/* oci_names.c - every name of the specification that stands for a number */
#include "fmt/oci_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include "base/bug.h"
#include "base/str.h"

#define NAMES(table, ...)                                                                                    \
	static const struct json_name table##_names[] = { __VA_ARGS__ };                                     \
	const struct oci__names oci__##table = { table##_names, ARRAY_SIZE(table##_names) }
#define NAME(constant)                                                                                       \
	{                                                                                                    \
#constant, (uint64_t)(constant)                                                              \
	}

#ifndef MPOL_WEIGHTED_INTERLEAVE
#define MPOL_WEIGHTED_INTERLEAVE 6 /* Linux 6.9 */
#endif
#ifndef SCMP_ARCH_LOONGARCH64 /* libseccomp 2.6 */
#define SCMP_ARCH_LOONGARCH64 (258 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE)
#define SCMP_ARCH_M68K        AUDIT_ARCH_M68K
#define SCMP_ARCH_SH          AUDIT_ARCH_SHEL
#define SCMP_ARCH_SHEB        AUDIT_ARCH_SH
#endif

NAMES(ns_types, { "cgroup", OCI_NS_CGROUP }, { "ipc", OCI_NS_IPC }, { "mount", OCI_NS_MOUNT },
      { "network", OCI_NS_NETWORK }, { "pid", OCI_NS_PID }, { "time", OCI_NS_TIME }, { "user", OCI_NS_USER },
      { "uts", OCI_NS_UTS });

NAMES(rlimits, NAME(RLIMIT_AS), NAME(RLIMIT_CORE), NAME(RLIMIT_CPU), NAME(RLIMIT_DATA), NAME(RLIMIT_FSIZE),
      NAME(RLIMIT_LOCKS), NAME(RLIMIT_MEMLOCK), NAME(RLIMIT_MSGQUEUE), NAME(RLIMIT_NICE), NAME(RLIMIT_NOFILE),
      NAME(RLIMIT_NPROC), NAME(RLIMIT_RSS), NAME(RLIMIT_RTPRIO), NAME(RLIMIT_RTTIME), NAME(RLIMIT_SIGPENDING),
      NAME(RLIMIT_STACK));

NAMES(schedulers, { "SCHED_OTHER", SCHED_NORMAL }, NAME(SCHED_FIFO), NAME(SCHED_RR), NAME(SCHED_BATCH),
      NAME(SCHED_IDLE), NAME(SCHED_DEADLINE));

NAMES(scheduler_flags, NAME(SCHED_FLAG_RESET_ON_FORK), NAME(SCHED_FLAG_RECLAIM), NAME(SCHED_FLAG_DL_OVERRUN),
      NAME(SCHED_FLAG_KEEP_POLICY), NAME(SCHED_FLAG_KEEP_PARAMS), NAME(SCHED_FLAG_UTIL_CLAMP_MIN),
      NAME(SCHED_FLAG_UTIL_CLAMP_MAX));

NAMES(io_classes, NAME(IOPRIO_CLASS_RT), NAME(IOPRIO_CLASS_BE), NAME(IOPRIO_CLASS_IDLE));

NAMES(propagations, { "shared", MS_SHARED }, { "slave", MS_SLAVE }, { "private", MS_PRIVATE },
      { "unbindable", MS_UNBINDABLE }, { "rshared", MS_SHARED | MS_REC }, { "rslave", MS_SLAVE | MS_REC },
      { "rprivate", MS_PRIVATE | MS_REC }, { "runbindable", MS_UNBINDABLE | MS_REC });

NAMES(memory_modes, NAME(MPOL_BIND), NAME(MPOL_DEFAULT), NAME(MPOL_INTERLEAVE), NAME(MPOL_LOCAL),
      NAME(MPOL_PREFERRED), NAME(MPOL_PREFERRED_MANY), NAME(MPOL_WEIGHTED_INTERLEAVE));

NAMES(memory_flags, NAME(MPOL_F_NUMA_BALANCING), NAME(MPOL_F_RELATIVE_NODES), NAME(MPOL_F_STATIC_NODES));

NAMES(personalities, { "LINUX", PER_LINUX }, { "LINUX32", PER_LINUX32 });

NAMES(seccomp_actions, { "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW }, { "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO },
      { "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD }, { "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS },
      { "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD }, { "SCMP_ACT_LOG", SECCOMP_RET_LOG },
      { "SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF }, { "SCMP_ACT_TRACE", SECCOMP_RET_TRACE },
      { "SCMP_ACT_TRAP", SECCOMP_RET_TRAP });

NAMES(seccomp_operators, NAME(SCMP_CMP_EQ), NAME(SCMP_CMP_GE), NAME(SCMP_CMP_GT), NAME(SCMP_CMP_LE),
      NAME(SCMP_CMP_LT), NAME(SCMP_CMP_MASKED_EQ), NAME(SCMP_CMP_NE));

NAMES(seccomp_arches, NAME(SCMP_ARCH_AARCH64), NAME(SCMP_ARCH_ARM), NAME(SCMP_ARCH_LOONGARCH64),
      NAME(SCMP_ARCH_M68K), NAME(SCMP_ARCH_MIPS), NAME(SCMP_ARCH_MIPS64), NAME(SCMP_ARCH_MIPS64N32),
      NAME(SCMP_ARCH_MIPSEL), NAME(SCMP_ARCH_MIPSEL64), NAME(SCMP_ARCH_MIPSEL64N32), NAME(SCMP_ARCH_PARISC),
      NAME(SCMP_ARCH_PARISC64), NAME(SCMP_ARCH_PPC), NAME(SCMP_ARCH_PPC64), NAME(SCMP_ARCH_PPC64LE),
      NAME(SCMP_ARCH_RISCV64), NAME(SCMP_ARCH_S390), NAME(SCMP_ARCH_S390X), NAME(SCMP_ARCH_SH),
      NAME(SCMP_ARCH_SHEB), NAME(SCMP_ARCH_X32), NAME(SCMP_ARCH_X86), NAME(SCMP_ARCH_X86_64));

/* TSYNC means nothing for the one thread that loads the filter, and excludes a listener: known, no bit. */
NAMES(seccomp_flags, { "SECCOMP_FILTER_FLAG_TSYNC", 0 }, NAME(SECCOMP_FILTER_FLAG_SPEC_ALLOW),
      NAME(SECCOMP_FILTER_FLAG_LOG), NAME(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV));

/* --- namespaces, hooks ---------------------------------------------------------------------------------- */

static const struct {
	const char *name, *file;
	int flag;
} ns_table[] = {
	[OCI_NS_PID] = { "pid", "pid", CLONE_NEWPID },
	[OCI_NS_NETWORK] = { "network", "net", CLONE_NEWNET },
	[OCI_NS_MOUNT] = { "mount", "mnt", CLONE_NEWNS },
	[OCI_NS_IPC] = { "ipc", "ipc", CLONE_NEWIPC },
	[OCI_NS_UTS] = { "uts", "uts", CLONE_NEWUTS },
	[OCI_NS_USER] = { "user", "user", CLONE_NEWUSER },
	[OCI_NS_CGROUP] = { "cgroup", "cgroup", CLONE_NEWCGROUP },
	[OCI_NS_TIME] = { "time", "time", CLONE_NEWTIME },
};
static_assert(ARRAY_SIZE(ns_table) == OCI_NS_COUNT, "every namespace has its names");

const char *oci_ns_name(enum oci_ns ns)
{
	return ns_table[ns].name;
}

const char *oci_ns_file(enum oci_ns ns)
{
	return ns_table[ns].file;
}

int oci_ns_flag(enum oci_ns ns)
{
	return ns_table[ns].flag;
}

const char *oci_hook_name(enum oci_hook_kind k)
{
	static const char *const name[] = {
		[OCI_HOOK_PRESTART] = "prestart",
		[OCI_HOOK_CREATE_RUNTIME] = "createRuntime",
		[OCI_HOOK_CREATE_CONTAINER] = "createContainer",
		[OCI_HOOK_START_CONTAINER] = "startContainer",
		[OCI_HOOK_POSTSTART] = "poststart",
		[OCI_HOOK_POSTSTOP] = "poststop",
	};

	static_assert(ARRAY_SIZE(name) == OCI_HOOK_KIND_COUNT, "every hook has its name");
	return name[k];
}

/* --- capabilities --------------------------------------------------------------------------------------- */

static const char *const cap_names[] = {
	[CAP_CHOWN] = "CAP_CHOWN",
	[CAP_DAC_OVERRIDE] = "CAP_DAC_OVERRIDE",
	[CAP_DAC_READ_SEARCH] = "CAP_DAC_READ_SEARCH",
	[CAP_FOWNER] = "CAP_FOWNER",
	[CAP_FSETID] = "CAP_FSETID",
	[CAP_KILL] = "CAP_KILL",
	[CAP_SETGID] = "CAP_SETGID",
	[CAP_SETUID] = "CAP_SETUID",
	[CAP_SETPCAP] = "CAP_SETPCAP",
	[CAP_LINUX_IMMUTABLE] = "CAP_LINUX_IMMUTABLE",
	[CAP_NET_BIND_SERVICE] = "CAP_NET_BIND_SERVICE",
	[CAP_NET_BROADCAST] = "CAP_NET_BROADCAST",
	[CAP_NET_ADMIN] = "CAP_NET_ADMIN",
	[CAP_NET_RAW] = "CAP_NET_RAW",
	[CAP_IPC_LOCK] = "CAP_IPC_LOCK",
	[CAP_IPC_OWNER] = "CAP_IPC_OWNER",
	[CAP_SYS_MODULE] = "CAP_SYS_MODULE",
	[CAP_SYS_RAWIO] = "CAP_SYS_RAWIO",
	[CAP_SYS_CHROOT] = "CAP_SYS_CHROOT",
	[CAP_SYS_PTRACE] = "CAP_SYS_PTRACE",
	[CAP_SYS_PACCT] = "CAP_SYS_PACCT",
	[CAP_SYS_ADMIN] = "CAP_SYS_ADMIN",
	[CAP_SYS_BOOT] = "CAP_SYS_BOOT",
	[CAP_SYS_NICE] = "CAP_SYS_NICE",
	[CAP_SYS_RESOURCE] = "CAP_SYS_RESOURCE",
	[CAP_SYS_TIME] = "CAP_SYS_TIME",
	[CAP_SYS_TTY_CONFIG] = "CAP_SYS_TTY_CONFIG",
	[CAP_MKNOD] = "CAP_MKNOD",
	[CAP_LEASE] = "CAP_LEASE",
	[CAP_AUDIT_WRITE] = "CAP_AUDIT_WRITE",
	[CAP_AUDIT_CONTROL] = "CAP_AUDIT_CONTROL",
	[CAP_SETFCAP] = "CAP_SETFCAP",
	[CAP_MAC_OVERRIDE] = "CAP_MAC_OVERRIDE",
	[CAP_MAC_ADMIN] = "CAP_MAC_ADMIN",
	[CAP_SYSLOG] = "CAP_SYSLOG",
	[CAP_WAKE_ALARM] = "CAP_WAKE_ALARM",
	[CAP_BLOCK_SUSPEND] = "CAP_BLOCK_SUSPEND",
	[CAP_AUDIT_READ] = "CAP_AUDIT_READ",
	[CAP_PERFMON] = "CAP_PERFMON",
	[CAP_BPF] = "CAP_BPF",
	[CAP_CHECKPOINT_RESTORE] = "CAP_CHECKPOINT_RESTORE",
};
static_assert(ARRAY_SIZE(cap_names) == CAP_CHECKPOINT_RESTORE + 1, "every capability has its name");

int oci_cap_from_name(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (size_t i = 0; i < ARRAY_SIZE(cap_names); i++)
		if (strcasecmp(name, cap_names[i] + 4) == 0)
			return (int)i;
	return -EINVAL;
}

const char *oci_cap_name(int cap)
{
	return cap >= 0 && (size_t)cap < ARRAY_SIZE(cap_names) ? cap_names[cap] : NULL;
}

/* --- signals -------------------------------------------------------------------------------------------- */

/* The kernel's; glibc keeps the first two real-time signals to itself and so moves SIGRTMIN. */
enum { SIGNAL_RTMIN = 34, SIGNAL_RTMAX = 64 };

static const struct {
	const char *name;
	int sig;
} signal_table[] = {
	{ "HUP", SIGHUP },         { "INT", SIGINT },       { "QUIT", SIGQUIT }, { "ILL", SIGILL },
	{ "TRAP", SIGTRAP },       { "ABRT", SIGABRT },     { "BUS", SIGBUS },   { "FPE", SIGFPE },
	{ "KILL", SIGKILL },       { "USR1", SIGUSR1 },     { "SEGV", SIGSEGV }, { "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE },       { "ALRM", SIGALRM },     { "TERM", SIGTERM }, { "STKFLT", SIGSTKFLT },
	{ "CHLD", SIGCHLD },       { "CONT", SIGCONT },     { "STOP", SIGSTOP }, { "TSTP", SIGTSTP },
	{ "TTIN", SIGTTIN },       { "TTOU", SIGTTOU },     { "URG", SIGURG },   { "XCPU", SIGXCPU },
	{ "XFSZ", SIGXFSZ },       { "VTALRM", SIGVTALRM }, { "PROF", SIGPROF }, { "WINCH", SIGWINCH },
	{ "IO", SIGIO },           { "PWR", SIGPWR },       { "SYS", SIGSYS },   { "RTMIN", SIGNAL_RTMIN },
	{ "RTMAX", SIGNAL_RTMAX }, { "IOT", SIGABRT },      { "POLL", SIGIO },   { "CLD", SIGCHLD },
	{ "UNUSED", SIGSYS }, /* other names, last */
};

/* realtime_signal() - "RTMIN+3", "RTMAX-2"; @name is behind "SIG". */
static int realtime_signal(const char *name)
{
	bool from_min = strncasecmp(name, "RTMIN+", 6) == 0;
	uint64_t n;

	if (!from_min && strncasecmp(name, "RTMAX-", 6) != 0)
		return -EINVAL;
	if (str_to_u64(name + 6, &n) < 0 || n > SIGNAL_RTMAX - SIGNAL_RTMIN)
		return -EINVAL;
	return from_min ? SIGNAL_RTMIN + (int)n : SIGNAL_RTMAX - (int)n;
}

int oci_signal_from_name(const char *name)
{
	uint64_t n;

	if (str_to_u64(name, &n) == 0)
		return n <= SIGNAL_RTMAX ? (int)n : -EINVAL;
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (size_t i = 0; i < ARRAY_SIZE(signal_table); i++)
		if (strcasecmp(name, signal_table[i].name) == 0)
			return signal_table[i].sig;
	return realtime_signal(name);
}

const char *oci_signal_name(int sig)
{
	for (size_t i = 0; i < ARRAY_SIZE(signal_table); i++)
		if (signal_table[i].sig == sig)
			return signal_table[i].name;
	return NULL;
}
