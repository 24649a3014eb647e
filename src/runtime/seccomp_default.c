/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_default.c - Docker's default profile: what is not allowed here fails with EPERM
 *
 * Not on the list are calls that reach beyond the namespaces, or old kernel interfaces with a history of
 * holes. A capability that would be useless without its calls brings them along.
 */
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "fmt/json.h"
#include "runtime/spec.h"

#define CAP(name) (1ULL << CAP_##name)

/* Space-separated. */
static const char always[] =
	"accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 "
	"clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
	"clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 "
	"dup3 "
	"epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
	"epoll_wait_old "
	"eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 "
	"fallocate "
	"fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync "
	"fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 "
	"fsync "
	"ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat "
	"getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups "
	"getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid "
	"getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt "
	"get_thread_area gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch "
	"inotify_init "
	"inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents "
	"io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule "
	"landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen "
	"listmount "
	"listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise "
	"map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock "
	"mlock2 "
	"mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 "
	"mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock "
	"munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause "
	"pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 "
	"prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev "
	"pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg "
	"remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe "
	"rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
	"rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr "
	"sched_getparam "
	"sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval "
	"sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler "
	"sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile "
	"sendfile64 "
	"sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups "
	"setgroups32 "
	"setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 "
	"setreuid "
	"setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid "
	"setuid32 "
	"setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask "
	"sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink "
	"symlinkat "
	"sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun "
	"timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime "
	"timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit "
	"umask "
	"uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid "
	"waitpid write writev";

/* Harmless since Linux 4.8, where seccomp looks after ptrace has. */
static const char after_4_8[] = "process_vm_readv process_vm_writev ptrace";
static const char x86_only[] = "arch_prctl modify_ldt";

static const struct {
	uint64_t cap;
	const char *names;
} with_cap[] = {
	{ CAP(DAC_READ_SEARCH), "open_by_handle_at" },
	{ CAP(SYS_ADMIN),
	  "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
	  "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open "
	  "quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare" },
	{ CAP(SYS_BOOT), "reboot" },
	{ CAP(SYS_CHROOT), "chroot" },
	{ CAP(SYS_MODULE), "delete_module init_module finit_module" },
	{ CAP(SYS_PACCT), "acct" },
	{ CAP(SYS_PTRACE), "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace" },
	{ CAP(SYS_RAWIO), "iopl ioperm" },
	{ CAP(SYS_TIME), "settimeofday stime clock_settime clock_settime64" },
	{ CAP(SYS_TTY_CONFIG), "vhangup" },
	{ CAP(SYS_NICE), "get_mempolicy mbind set_mempolicy set_mempolicy_home_node" },
	{ CAP(SYSLOG), "syslog" },
	{ CAP(BPF), "bpf" },
	{ CAP(PERFMON), "perf_event_open" },
};

/* Allowed for these values of the first argument. AF_ALG (38) and AF_VSOCK (40) are what is left out of
 * socket(2): both lead around the network namespace. personality(2): Linux, 32 bit, BSD-like returns; "which
 * one is it". */
static const struct {
	const char *name, *op;
	uint64_t value;
} by_first[] = {
	{ "socket", "SCMP_CMP_LT", AF_ALG },       { "socket", "SCMP_CMP_EQ", 39 },
	{ "socket", "SCMP_CMP_GT", AF_VSOCK },     { "personality", "SCMP_CMP_EQ", 0x0 },
	{ "personality", "SCMP_CMP_EQ", 0x8 },     { "personality", "SCMP_CMP_EQ", 0x20000 },
	{ "personality", "SCMP_CMP_EQ", 0x20008 }, { "personality", "SCMP_CMP_EQ", 0xffffffff },
};

enum {
	CLONE_NAMESPACES = 0x7e020000, /* the CLONE_NEW* flags that clone(2) knows */
	ENOSYS_NUMBER = 38, /* clone3 hides its flags in memory: "not there" makes libc use clone */
};

static void put_names(struct json_out *o, const char *names)
{
	while (*names) {
		size_t len = strcspn(names, " ");
		char one[48];

		BUG_ON(len >= sizeof(one));
		memcpy(one, names, len);
		one[len] = '\0';
		json_put_str(o, NULL, one);
		names += len + (names[len] == ' ');
	}
}

static void open_rule(struct json_out *o, const char *const *names, size_t n, const char *action)
{
	json_put_open(o, NULL, '{');
	json_put_open(o, "names", '[');
	for (size_t i = 0; i < n; i++)
		put_names(o, names[i]);
	json_put_close(o, ']');
	json_put_str(o, "action", action);
}

static void put_arg_rule(struct json_out *o, const char *name, uint64_t value, uint64_t value_two,
			 const char *op)
{
	open_rule(o, &name, 1, "SCMP_ACT_ALLOW");
	json_put_open(o, "args", '[');
	json_put_open(o, NULL, '{');
	json_put_u64(o, "index", 0);
	json_put_u64(o, "value", value);
	json_put_u64(o, "valueTwo", value_two);
	json_put_str(o, "op", op);
	json_put_close(o, '}');
	json_put_close(o, ']');
	json_put_close(o, '}');
}

void spec_seccomp_default(struct json_out *o, uint64_t caps)
{
	static const char *const arch[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32" };
	const char *allow[3 + ARRAY_SIZE(with_cap)] = { always, after_4_8, x86_only };
	const char *clone3 = "clone3";
	size_t n = 3;

	for (size_t i = 0; i < ARRAY_SIZE(with_cap); i++)
		if (caps & with_cap[i].cap)
			allow[n++] = with_cap[i].names;
	json_put_open(o, "seccomp", '{');
	json_put_str(o, "defaultAction", "SCMP_ACT_ERRNO");
	json_put_u64(o, "defaultErrnoRet", 1);
	json_put_strs(o, "architectures", (char *const *)(uintptr_t)arch, ARRAY_SIZE(arch));
	json_put_open(o, "syscalls", '[');
	open_rule(o, allow, n, "SCMP_ACT_ALLOW");
	json_put_close(o, '}');
	for (size_t i = 0; i < ARRAY_SIZE(by_first); i++)
		put_arg_rule(o, by_first[i].name, by_first[i].value, 0, by_first[i].op);
	if (!(caps & CAP(SYS_ADMIN))) {
		put_arg_rule(o, "clone", CLONE_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ");
		open_rule(o, &clone3, 1, "SCMP_ACT_ERRNO");
		json_put_u64(o, "errnoRet", ENOSYS_NUMBER);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
	json_put_close(o, '}');
}
