/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "gen/syscalls.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/sched.h"

static const char root_mount[] =
	"/proc"; /* a directory that is there: the new root is put on it, and becomes "/" */

/*
 * What every thread needs whatever it does: libc's locks, clocks the vDSO cannot answer, the end, and memory that malloc(3)
 * takes and gives back (never executable); qsort(3) asks how much of it there is.
 *
 * syscalls(common): futex clock_gettime gettimeofday nanosleep clock_nanosleep exit exit_group rt_sigreturn
 *	rt_sigprocmask sched_yield restart_syscall rseq set_robust_list getpid gettid sysinfo munmap madvise brk
 *	mmap[2]&PROT_EXEC=0 mprotect[2]&PROT_EXEC=0 mremap close write read
 */

/*
 * The user-mode network is the guest's way out: sockets to anywhere are what it is for.
 *
 * syscalls(net): socket[0]=AF_INET,AF_INET6 connect accept4 bind listen sendto recvfrom sendmsg recvmsg shutdown
 *	getsockopt setsockopt getsockname getpeername epoll_ctl ioctl[1]=FIONREAD,FIONBIO fcntl
 */

/*
 * What the sanitizers' run time does at the end of a thread or to tell what it found.
 *
 * syscalls(sanitizer): sigaltstack mmap munmap mprotect madvise open openat readlink prctl getrlimit prlimit64 stat fstat
 *	newfstatat sysinfo sched_getaffinity getuid rt_sigaction ptrace clone wait4 pipe2 uname
 */

/* be_nobody() - root becomes @uid; the files of /proc/self stay ours to write. */
static int be_nobody(const struct jail_config *c)
{
	int r = 0;

	if (geteuid() != 0 || c->uid == 0)
		return 0;
	if (!cred_groups_denied())
		r = cred_set_groups(NULL, 0);
	if (r >= 0)
		r = cred_set_ids(c->uid, c->gid);
	if (r >= 0)
		r = cred_prctl(PR_SET_DUMPABLE, 1, 0);
	return r;
}

/* map_ids() - in the new user namespace we are who we were, and nobody else is anybody. */
static int map_ids(uid_t uid, gid_t gid)
{
	char line[64];
	int r;

	str_format(line, sizeof(line), "%u %u 1", uid, uid);
	r = file_put(AT_FDCWD, "/proc/self/uid_map", line);
	if (r == -ENOENT) /* no procfs, as in a jailer's jail: we are nobody at all, which is less */
		return 0;
	if (r >= 0)
		r = file_put(AT_FDCWD, "/proc/self/setgroups", "deny");
	str_format(line, sizeof(line), "%u %u 1", gid, gid);
	return r < 0 ? r : file_put(AT_FDCWD, "/proc/self/gid_map", line);
}

static int new_root(void)
{
	auto_close int fs = mnt_fsopen("tmpfs");
	int r = fs;

	if (r >= 0)
		r = mnt_config_string(fs, "size", "64k");
	if (r >= 0)
		r = mnt_config_string(fs, "mode", "0755");
	if (r >= 0)
		r = mnt_config_create(fs);
	return r < 0 ? r :
		       mnt_fsmount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					       MOUNT_ATTR_NOEXEC);
}

/* empty_root() - a read-only tmpfs with nothing in it becomes "/"; all other mounts leave the namespace. */
static int empty_root(void)
{
	auto_close int root = new_root();
	auto_close int at = file_open(AT_FDCWD, root_mount, O_PATH | O_DIRECTORY, 0);
	int r;

	if (at == -ENOENT)
		at = file_open(AT_FDCWD, "/dev", O_PATH | O_DIRECTORY, 0);
	r = root < 0 ? root : at;

	if (r >= 0)
		r = mnt_propagation("/", MS_SLAVE | MS_REC);
	if (r >= 0)
		r = mnt_attach(root, at);
	if (r >= 0)
		r = (int)SYS1(SYS_fchdir, root);
	if (r >= 0)
		r = (int)SYS2(SYS_pivot_root, ".", ".");
	if (r >= 0)
		r = mnt_detach_at(".");
	return r < 0 ? r : (int)SYS1(SYS_chdir, "/");
}

/* only_caps() - of the calling thread, for good. @bare: it may be one that has none, and then cannot shrink its bounding set. */
static int only_caps(uint64_t keep, bool bare)
{
	const struct cred_caps caps = { .effective = keep, .permitted = keep };
	int r = cred_ambient_caps(0);

	if (r >= 0)
		r = cred_bound_caps(keep);
	if (r == -EPERM && bare)
		r = 0;
	return r < 0 ? r : cred_set_caps(&caps);
}

static int no_powers(const struct jail_config *c)
{
	int r = only_caps(c->keep_caps, c->may_stay);

	if (r >= 0)
		r = cred_prctl(PR_SET_NO_NEW_PRIVS, 1, 0);
	if (r >= 0)
		r = cred_prctl(PR_SET_DUMPABLE, 0, 0);
	if (r >= 0)
		r = sched_set_rlimit(RLIMIT_CORE, 0, 0);
	if (r >= 0 && c->max_fds)
		r = sched_set_rlimit(RLIMIT_NOFILE, c->max_fds, c->max_fds);
	return r;
}

/* other_user() - nobody, in a user namespace where nobody else is anybody. */
static int other_user(const struct jail_config *c, int ns)
{
	uid_t uid;
	gid_t gid;
	int r = be_nobody(c);

	uid = geteuid(); /* asked now: in the new namespace nobody has a name yet */
	gid = getegid();
	if (r >= 0)
		r = ns_unshare(ns | CLONE_NEWUSER);
	return r < 0 ? r : map_ids(uid, gid);
}

#ifdef __SANITIZE_ADDRESS__
/* LeakSanitizer looks from a task that traces its process: from a jail that would hang. It asks this at the end. */
static bool is_jailed;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return is_jailed;
}
#endif

int jail_enter(const struct jail_config *c, struct err *e)
{
	int ns = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | (c->host_net ? 0 : CLONE_NEWNET);
	bool may_stay = c->may_stay && geteuid() != 0;
	int parent_death = 0, r;

	cred_prctl(PR_GET_PDEATHSIG, (unsigned long)&parent_death, 0);
	r = c->keep_caps ? ns_unshare(ns) : other_user(c, ns);
	if (r < 0 && !may_stay)
		return err_sys(e, -r, "jail: namespaces and a user of its own");
	if (r >= 0)
		r = empty_root();
	if (r < 0 && !may_stay)
		return err_sys(e, -r, "jail: empty root directory");
	r = no_powers(c);
	if (r >= 0 && parent_death) /* a change of user has taken it */
		r = cred_prctl(PR_SET_PDEATHSIG, (unsigned long)parent_death, 0);
#ifdef __SANITIZE_ADDRESS__
	is_jailed = true;
#endif
	return r < 0 ? err_sys(e, -r, "jail: give up powers") : 0;
}

int jail_drop(struct err *e)
{
	const struct cred_caps none = { 0 }; /* the bounding set stays: nothing gains by exec any more */
	int r = cred_set_caps(&none);

	return r < 0 ? err_sys(e, -r, "jail: give up capabilities") : 0;
}

int jail_filter(unsigned work, bool trap, struct err *e)
{
	static const struct {
		unsigned work;
		const struct filter_rule *rule;
		size_t n;
	} group[] = {
		{ JAIL_CPU, syscalls_cpu, ARRAY_SIZE(syscalls_cpu) },
		{ JAIL_LOOP, syscalls_loop, ARRAY_SIZE(syscalls_loop) },
		{ JAIL_CPU | JAIL_LOOP | JAIL_SHARE, syscalls_device, ARRAY_SIZE(syscalls_device) },
		{ JAIL_SHARE, syscalls_share, ARRAY_SIZE(syscalls_share) },
		{ JAIL_SOCKETS, syscalls_sockets, ARRAY_SIZE(syscalls_sockets) },
		{ JAIL_NET, syscalls_net, ARRAY_SIZE(syscalls_net) },
		{ JAIL_PCI, syscalls_pci, ARRAY_SIZE(syscalls_pci) },
		{ JAIL_SPLIT, syscalls_split, ARRAY_SIZE(syscalls_split) },
		{ JAIL_HOTPLUG, syscalls_hotplug, ARRAY_SIZE(syscalls_hotplug) },
		{ JAIL_API, syscalls_api, ARRAY_SIZE(syscalls_api) },
		{ JAIL_RING, syscalls_ring, ARRAY_SIZE(syscalls_ring) },
		{ JAIL_MEMORY, syscalls_memory, ARRAY_SIZE(syscalls_memory) },
		{ JAIL_DEBUG, syscalls_debug, ARRAY_SIZE(syscalls_debug) },
		{ JAIL_FETCH, syscalls_fetch, ARRAY_SIZE(syscalls_fetch) },
		{ ~0U, syscalls_common, ARRAY_SIZE(syscalls_common) },
#ifdef __SANITIZE_ADDRESS__
		{ ~0U, syscalls_sanitizer, ARRAY_SIZE(syscalls_sanitizer) },
#endif
	};
	/* one thread wakes another; nobody else's */
	const struct filter_rule own[] = { { SYS_tgkill, 0, ~0U, (uint32_t)getpid() } };
	struct filter f = { 0 };

	BUG_ON(work == 0); /* not even what every thread needs: it would die of its first call */
	filter_allow(&f, own, ARRAY_SIZE(own));
	for (size_t i = 0; i < ARRAY_SIZE(group); i++)
		if (work & group[i].work)
			filter_allow(&f, group[i].rule, group[i].n);
	return filter_install(&f, trap ? FILTER_TRAP : FILTER_KILL, e);
}
