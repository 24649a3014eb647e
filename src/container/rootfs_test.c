/* SPDX-License-Identifier: Apache-2.0 */
#include "container/rootfs.h"

#include <linux/magic.h>

#include "container/mount.h"
#include "container/rootfs_test.h"
#include "container/userns.h"
#include "sys/call.h"

/* --- the whole --- */

#define DEFAULT_MOUNTS                                                                                       \
	PROC_MOUNT                                                                                           \
	"," DEV_MOUNT "," PTS_MOUNT ","                                                                      \
	"{\"destination\":\"/dev/"                                                                           \
	"shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","          \
	"\"mode=1777\",\"size=65536k\"]},"                                                                   \
	"{\"destination\":\"/dev/"                                                                           \
	"mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\","             \
	"\"nodev\"]},"                                                                                       \
	"{\"destination\":\"/"                                                                               \
	"sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\","                  \
	"\"nodev\",\"ro\"]}"
#define DEFAULT_PATHS                                                                                        \
	"\"maskedPaths\":[\"/proc/asound\",\"/proc/acpi\",\"/proc/kcore\",\"/proc/keys\","                   \
	"\"/proc/latency_stats\",\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\",\"/sys/"   \
	"firmware\","                                                                                        \
	"\"/proc/scsi\"],\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\"/proc/" \
	"sysrq-trigger\"]"

static void default_spec(struct box *b)
{
	box_spec(b, "\"root\":{\"path\":\"root\",\"readonly\":true},", DEFAULT_MOUNTS, DEFAULT_PATHS);
}

static void whole(struct box *b)
{
	char cwd[256];

	put_file(in(b, "root/etc/name"), "inside");
	default_spec(b);
	build(b);
	CHECK(str_eq(getcwd(cwd, sizeof(cwd)), "/"), "%s", cwd);
	CHECK(str_eq(get_file("/etc/name"), "inside"), "%s", get_file("/etc/name"));
	CHECK(access("/tmp", F_OK) < 0 && errno == ENOENT, "the host's /tmp is in sight");
	check_device("/dev/null", 1, 3);
	check_device("/dev/zero", 1, 5);
	check_device("/dev/full", 1, 7);
	check_device("/dev/random", 1, 8);
	check_device("/dev/urandom", 1, 9);
	check_device("/dev/tty", 5, 0);
	check_link("/dev/fd", "/proc/self/fd");
	check_link("/dev/stdin", "/proc/self/fd/0");
	check_link("/dev/stdout", "/proc/self/fd/1");
	check_link("/dev/stderr", "/proc/self/fd/2");
	check_link("/dev/ptmx", "pts/ptmx");
	CHECK(has_word(mount_opts("/"), "ro"), "/: %s", mount_opts("/"));
	CHECK(str_starts(mount_opts("/sys"), "ro,nosuid,nodev,noexec"), "%s", mount_opts("/sys"));
	CHECK(str_starts(mount_opts("/dev/shm"), "rw,nosuid,nodev,noexec"), "%s", mount_opts("/dev/shm"));
	CHECK(strstr(mount_line("/dev"), " - tmpfs tmpfs rw,size=65536k,mode=755"), "%s", mount_line("/dev"));
	CHECK(has_word(mount_opts("/proc/sys"), "ro"), "%s", mount_opts("/proc/sys"));
	CHECK(open("/proc/sys/kernel/msgmax", O_WRONLY | O_CLOEXEC) < 0 && errno == EROFS, "%m");
	CHECK(open("/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EROFS, "%m");
	check_device("/proc/keys", 1, 3);
	CHECK(mount_line("/proc/scsi") == NULL || has_word(mount_opts("/proc/scsi"), "ro"), "%s",
	      mount_line("/proc/scsi"));
	CHECK(rmdir("/sys/firmware/x") < 0, "?");
}

static void test_rootfs_builds_the_default_configuration(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, whole);
}

static void no_pivot(struct box *b)
{
	static const char *const hidden[] = { "proc", "sys" };
	int old = open("/", O_PATH | O_CLOEXEC);

	b->r.no_pivot = true;
	whole(b);
	for (size_t i = 0; i < 2; i++) {
		int fd = openat(old, hidden[i], O_PATH | O_CLOEXEC);

		CHECK(!mnt_fstype_is(fd, PROC_SUPER_MAGIC) && !mnt_fstype_is(fd, SYSFS_MAGIC),
		      "the host's /%s is still there", hidden[i]);
	}
	CHECK(strstr(get_file("/proc/self/mountinfo"), " - proc proc"), "no /proc");
}

static void test_rootfs_enters_by_moving_the_root_when_pivoting_is_off(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, no_pivot);
}

static void detached_root(struct box *b)
{
	int tree = mnt_open_tree(AT_FDCWD, in(b, "root"), OPEN_TREE_CLONE);

	CHECK(tree >= 0, "open_tree: %d", tree);
	b->r.rootfs_fd = tree;
	b->r.rootfs = in(b, "vol");
	whole(b);
}

/*
 * The directory the root is attached on has sources of binds in it: they are the host's, not what the
 * root has there.
 */
static void covered_source(struct box *b)
{
	auto_fini(buf) struct buf mounts = { 0 };

	put_file(in(b, "vol/file"), "host");
	put_file(in(b, "root/file"), "image");
	b->r.rootfs_fd = mnt_open_tree(AT_FDCWD, in(b, "root"), OPEN_TREE_CLONE);
	b->r.rootfs = in(b, "vol");
	buf_printf(&mounts, "{\"destination\":\"/bound\",\"source\":\"%s\",\"options\":[\"bind\"]}",
		   in(b, "vol/file"));
	box_spec(b, "", buf_str(&mounts), "");
	build(b);
	CHECK(str_eq(get_file("/bound"), "host"), "%s", get_file("/bound"));
	CHECK(str_eq(get_file("/file"), "image"), "%s", get_file("/file"));
	ct_rootfs_fini(&b->r);
}

static void without_cgroup(struct box *b)
{
	box_spec(b, "", PROC_MOUNT ",{\"destination\":\"/cg\",\"type\":\"cgroup\"}", "");
	build(b);
	CHECK(has_word(mount_opts("/cg"), "ro"), "%s", mount_opts("/cg"));
	CHECK(mkdir("/cg/x", 0700) < 0 && errno == EROFS, "%m");
}

static void test_mount_of_cgroups_is_empty_when_there_are_none(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, without_cgroup);
}

static void test_rootfs_opens_sources_before_a_detached_root_covers_them(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, covered_source);
}

static void test_rootfs_takes_a_detached_mount_as_root(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, detached_root);
}

static void host_ns(struct box *b)
{
	parse(b, "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"root\"},\"mounts\":[" PROC_MOUNT
		 "],\"linux\":{}}");
	refused(b, EINVAL, "mounts: needs a mount namespace");
	parse(b, "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"root\"},\"linux\":{}}");
	build(b);
	check_device("/dev/null", 1, 3);
}

static void test_rootfs_mounts_nothing_in_the_hosts_namespace(void **state)
{
	(void)state;
	run_box(CLONE_NEWNS, NULL, host_ns); /* the configuration has none: that is what counts */
}

/* --- propagation --- */

/* In a namespace that stands for the host's, all shared, a box runs in one more. */
static void propagation(struct box *b)
{
	static const struct {
		const char *json, *want;
		bool peer;
	} cases[] = {
		{ "", "", false },
		{ "\"rootfsPropagation\":\"rslave\"", "", false },
		{ "\"rootfsPropagation\":\"rprivate\"", "", false },
		{ "\"rootfsPropagation\":\"private\"", "", false },
		{ "\"rootfsPropagation\":\"shared\"", "shared:", true },
		{ "\"rootfsPropagation\":\"rshared\"", "shared:", true },
		{ "\"rootfsPropagation\":\"unbindable\"", "unbindable", false },
	};

	char root[1024];

	CHECK_INT(mnt_propagation("/", MS_PRIVATE | MS_REC), 0);
	CHECK_INT(mnt_attach_at(mnt_open_tree(AT_FDCWD, in(b, "root"), OPEN_TREE_CLONE), AT_FDCWD,
				in(b, "root"), 0),
		  0);
	CHECK_INT(mnt_propagation("/", MS_SHARED | MS_REC), 0);
	str_copy(root, sizeof(root), mount_line(in(b, "root")));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_fini(buf) struct buf mounts = { 0 };
		char seen[256];
		int status, fs;
		pid_t pid = fork();

		str_copy(seen, sizeof(seen), in(b, "vol/sub"));
		mkdir(seen, 0755);
		if (pid == 0) {
			CHECK_INT(unshare(CLONE_NEWNS), 0);
			buf_printf(
				&mounts,
				PROC_MOUNT
				",{\"destination\":\"/v\",\"source\":\"%s\",\"options\":[\"rbind\",\"%s\"]}",
				in(b, "vol"), cases[i].peer ? "rshared" : "rslave");
			box_spec(b, "", buf_str(&mounts), cases[i].json);
			build(b);
			CHECK(!*cases[i].want || strstr(mount_line("/"), cases[i].want), "%s",
			      mount_line("/"));
			CHECK(*cases[i].want || !strstr(mount_line("/"), "shared:"), "%s", mount_line("/"));
			fs = mnt_fsopen("tmpfs");
			CHECK_INT(mnt_config_create(fs), 0);
			CHECK_INT(mnt_attach_at(mnt_fsmount(fs, 0), AT_FDCWD, "/v/sub", 0), 0);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		CHECK(status == 0, "case %s", cases[i].json);
		CHECK(str_eq(mount_line(in(b, "root")), root), "case %s: the root mount leaked: %s",
		      cases[i].json, mount_line(in(b, "root")));
		CHECK(mount_line("/proc") && mount_line("/sys"), "case %s: the host lost its mounts",
		      cases[i].json);
		CHECK(!!mount_line(seen) == cases[i].peer, "case %s: %s", cases[i].json, mount_line(seen));
		if (cases[i].peer)
			CHECK_INT(mnt_detach_at(seen), 0);
	}
}

static void test_rootfs_propagation_is_as_asked_and_never_leaks(void **state)
{
	(void)state;
	run_box(CLONE_NEWNS, NULL, propagation);
}

static void mount_propagation(struct box *b)
{
	static const char *const kinds[] = { "private",  "slave",  "shared", "unbindable",
					     "rprivate", "rslave", "rshared" };
	auto_fini(buf) struct buf mounts = { 0 };
	int status;
	pid_t pid;

	CHECK_INT(mnt_propagation("/", MS_PRIVATE | MS_REC) | mnt_propagation("/", MS_SHARED | MS_REC), 0);
	pid = fork();
	if (pid > 0) { /* the masters live on here */
		waitpid(pid, &status, 0);
		_exit(status ? 1 : 0);
	}
	CHECK_INT(unshare(CLONE_NEWNS), 0);
	buf_printf(&mounts, PROC_MOUNT);
	for (size_t i = 0; i < 7; i++)
		buf_printf(&mounts,
			   ",{\"destination\":\"/%s\",\"source\":\"%s\",\"options\":[\"rbind\",\"%s\"]}",
			   kinds[i], in(b, "vol"), kinds[i]);
	box_spec(b, "", buf_str(&mounts), "");
	build(b);
	CHECK(!strstr(mount_line("/private"), "master:") && !strstr(mount_line("/private"), "shared:"),
	      "private");
	CHECK(!strstr(mount_line("/rprivate"), "master:") && !strstr(mount_line("/rprivate"), "shared:"),
	      "rprivate");
	CHECK(strstr(mount_line("/slave"), "master:") && strstr(mount_line("/rslave"), "master:"), "slave");
	CHECK(strstr(mount_line("/shared"), "shared:") && strstr(mount_line("/rshared"), "shared:"),
	      "shared");
	CHECK(strstr(mount_line("/unbindable"), "unbindable"), "unbindable");
}

static void test_mounts_get_their_own_propagation(void **state)
{
	(void)state;
	run_box(CLONE_NEWNS, NULL, mount_propagation);
}

/* --- user namespaces --- */

#define MAPS_JSON                                                                                            \
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"                            \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]"

/* mapped() - become root of a new user namespace with @flags more, ids 0.. mapped to 100000.. */
static void mapped(struct box *b, int flags)
{
	static struct oci_idmap map = { .container_id = 0, .host_id = 100000, .size = 65536 };
	struct oci_idmaps maps = { .v = &map, .n = 1 };
	int ask[2], answer[2], status;
	char c = 0;
	pid_t pid, me = getpid();

	CHECK_INT(pipe(ask) | pipe(answer), 0);
	pid = fork();
	if (pid == 0) {
		CHECK_INT(read(ask[0], &c, 1), 1);
		CHECK(userns_map(me, &maps, &maps, false, &b->e) == 0, "%s", b->e.text);
		CHECK_INT(write(answer[1], &c, 1), 1);
		_exit(0);
	}
	CHECK_INT(unshare(CLONE_NEWUSER | CLONE_NEWNS | flags), 0);
	CHECK_INT(write(ask[1], &c, 1), 1);
	CHECK_INT(read(answer[0], &c, 1), 1);
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	CHECK_INT(syscall(SYS_setresgid, 0, 0, 0) | syscall(SYS_setresuid, 0, 0, 0), 0);
	for (int i = 0; i < 2; i++) {
		close(ask[i]);
		close(answer[i]);
	}
	b->r.new_userns = true;
	if (flags & CLONE_NEWPID) { /* takes effect for children */
		pid = fork();
		if (pid > 0) {
			waitpid(pid, &status, 0);
			_exit(status ? 1 : 0);
		}
	}
}

static void own_root(struct box *b)
{
	static const char *const own[] = { "root", "root/proc", "root/sys", "root/dev", "root/etc", "vol" };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		CHECK_INT(chown(in(b, own[i]), 100000, 100000), 0);
}

static void in_userns(struct box *b)
{
	own_root(b);
	mapped(b, CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP);
	box_spec(b, "", DEFAULT_MOUNTS, DEFAULT_PATHS "," MAPS_JSON);
	build(b);
	check_device("/dev/null", 1, 3);
	CHECK(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0, "%m");
	CHECK(mount_line("/dev/null"), "/dev/null is not the host's");
	CHECK(strstr(mount_line("/sys"), " - sysfs sysfs"), "%s", mount_line("/sys"));
	check_device("/proc/keys", 1, 3);
	CHECK(has_word(mount_opts("/proc/sys"), "ro"), "%s", mount_opts("/proc/sys"));
}

static void sysfs_of_host(struct box *b)
{
	own_root(b);
	mapped(b, CLONE_NEWPID);
	box_spec(b, "",
		 PROC_MOUNT
		 ",{\"destination\":\"/sys\",\"type\":\"sysfs\",\"options\":[\"rw\",\"nosuid\",\"noexec\"]}",
		 MAPS_JSON);
	build(b);
	CHECK(has_word(mount_opts("/sys"), "ro") && has_word(mount_opts("/sys"), "noexec"), "%s",
	      mount_opts("/sys"));
	CHECK(!mount_line("/sys/fs/cgroup") || has_word(mount_opts("/sys/fs/cgroup"), "ro"), "%s",
	      mount_opts("/sys/fs/cgroup"));
	CHECK(access("/sys/kernel", F_OK) == 0, "%m");
}

static void locked(struct box *b)
{
	auto_fini(buf) struct buf mounts = { 0 };
	int fs = mnt_fsopen("tmpfs"), r;

	own_root(b);
	CHECK_INT(mnt_config_create(fs), 0);
	CHECK_INT(mnt_attach_at(mnt_fsmount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID), AT_FDCWD,
				in(b, "vol"), 0),
		  0);
	mapped(b, CLONE_NEWPID | CLONE_NEWNET);
	buf_printf(&mounts,
		   PROC_MOUNT ",{\"destination\":\"/v\",\"source\":\"%s\",\"options\":[\"bind\",\"nodev\"]}",
		   in(b, "vol"));
	box_spec(b, "", buf_str(&mounts), MAPS_JSON);
	CHECK(prepare(b) == 0, "%s", b->e.text);
	buf_fini(&mounts);
	mounts = (struct buf){ 0 };
	buf_printf(&mounts, "{\"destination\":\"/w\",\"source\":\"%s\",\"options\":[\"bind\",\"rw\"]}",
		   in(b, "vol"));
	box_spec(b, "", buf_str(&mounts), MAPS_JSON);
	r = prepare(b);
	CHECK(r == -EPERM && strstr(b->e.text, "locked in a user namespace"), "%d %s", r, b->e.text);
}

static void unreachable_source(struct box *b)
{
	auto_fini(buf) struct buf mounts = { 0 };
	auto_fini(buf) struct buf json = { 0 };

	put_file(in(b, "vol/file"), "secret");
	CHECK_INT(mkdir(in(b, "outside/data"), 0755) | chmod(in(b, "outside"), 0700), 0);
	put_file(in(b, "outside/data/file"), "reached");
	own_root(b);
	buf_printf(&json,
		   "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"root\"},\"mounts\":[{\"destination\":\"/"
		   "v\",\"source\":\"%s\","
		   "\"options\":[\"bind\",\"ro\"]}],\"linux\":{\"namespaces\":[{\"type\":\"user\"},{\"type\":"
		   "\"mount\"}]," MAPS_JSON "}}",
		   in(b, "outside/data"));
	parse(b, buf_str(&json));
	CHECK(ct_mount_open_sources(&b->spec, b->fds, &b->e) == 0, "%s", b->e.text);
	mapped(b, 0);
	CHECK(prepare(b) == -EACCES, "the directory can be reached without help: no test");
	b->r.source_fds = b->fds;
	build(b);
	CHECK(str_eq(get_file("/v/file"), "reached"), "%s", get_file("/v/file"));
	CHECK(open("/v/file", O_WRONLY | O_CLOEXEC) < 0, "writable");
}

static void test_rootfs_in_a_user_namespace_binds_the_hosts_devices(void **state)
{
	(void)state;
	run_box(CLONE_NEWNS, NULL, in_userns);
}

static void test_rootfs_takes_the_hosts_sysfs_read_only_without_a_network_namespace(void **state)
{
	(void)state;
	run_box(CLONE_NEWNS, NULL, sysfs_of_host);
}

static void test_mount_keeps_locked_attributes_and_refuses_to_clear_them(void **state)
{
	(void)state;
	run_box(CLONE_NEWNS, NULL, locked);
}

static void test_mount_uses_the_parents_clone_of_a_source_it_cannot_reach(void **state)
{
	(void)state;
	run_box(CLONE_NEWNS, NULL, unreachable_source);
}

/* --- sysctl --- */

static void sysctls(struct box *b)
{
	box_spec(
		b, "", PROC_MOUNT,
		"\"readonlyPaths\":[\"/proc/sys\"],\"sysctl\":{\"net.ipv4.ip_forward\":\"1\","
		"\"net/ipv4/"
		"ip_unprivileged_port_start\":\"80\",\"kernel.shmmni\":\"1234\",\"fs.mqueue.msg_max\":\"77\","
		"\"kernel.domainname\":\"example.org\"}");
	build(b);
	CHECK(str_eq(get_file("/proc/sys/net/ipv4/ip_forward"), "1\n"), "ip_forward");
	CHECK(str_eq(get_file("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "80\n"), "port_start");
	CHECK(str_eq(get_file("/proc/sys/kernel/shmmni"), "1234\n"), "shmmni");
	CHECK(str_eq(get_file("/proc/sys/fs/mqueue/msg_max"), "77\n"), "msg_max");
	CHECK(str_eq(get_file("/proc/sys/kernel/domainname"), "example.org\n"), "domainname");
}

static void test_sysctls_reach_the_containers_namespaces(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, sysctls);
}

static void sysctl_redirected(struct box *b)
{
	CHECK_INT(mkdir(in(b, "root/proc/sys"), 0755) | mkdir(in(b, "root/proc/sys/kernel"), 0755), 0);
	put_file(in(b, "root/proc/sys/kernel/shmmni"), "plain");
	box_spec(b, "", "", "\"sysctl\":{\"kernel.shmmni\":\"1234\"}");
	build(b);
	CHECK(str_eq(get_file("/proc/sys/kernel/shmmni"), "plain"), "written to a plain file");
}

/* no_proc() - a kernel that refuses us a procfs of our own, as in a user namespace that sees a masked one. */
static long no_proc(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr == SYS_fsopen && str_eq((const char *)a, "proc"))
		return -EPERM;
	return sys_call_real(nr, a, b, c, d, e, f);
}

static void sysctl_through_container(struct box *b)
{
	static const struct {
		const char *mounts;
		int want;
	} cases[] = {
		{ PROC_MOUNT, 0 },
		{ "", -EPERM }, /* /proc is a plain directory */
		{ "{\"destination\":\"/proc\",\"source\":\"/proc/sys\",\"options\":[\"bind\"]}", -EPERM },
	};

	CHECK_INT(mkdir(in(b, "root/proc/sys"), 0755) | mkdir(in(b, "root/proc/sys/kernel"), 0755), 0);
	put_file(in(b, "root/proc/sys/kernel/shmmni"), "plain");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status, r;
		pid_t pid = fork();

		if (pid == 0) {
			CHECK_INT(unshare(CLONE_NEWNS), 0);
			box_spec(b, "", cases[i].mounts, "\"sysctl\":{\"kernel.shmmni\":\"1234\"}");
			CHECK(prepare(b) == 0, "%s", b->e.text);
			sys_call = no_proc;
			r = ct_rootfs_enter(&b->r, b->rootfd, &b->e);
			CHECK(r == cases[i].want, "got %d %s", r, b->e.text);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		CHECK(status == 0, "case '%s'", cases[i].mounts);
	}
	CHECK(str_eq(get_file(in(b, "root/proc/sys/kernel/shmmni")), "plain"), "written to a plain file");
	CHECK(str_eq(get_file("/proc/sys/kernel/shmmni"), "1234\n"), "not written");
}

/* sysctl_covered() - CVE-2025-52881: another part of procfs over the parameter's directory. */
static void sysctl_covered(struct box *b)
{
	int r;

	box_spec(b, "", PROC_MOUNT, "\"sysctl\":{\"kernel.shmmni\":\"1234\"}");
	CHECK(prepare(b) == 0, "%s", b->e.text);
	r = mnt_attach_at(mnt_open_tree(b->rootfd, "proc/sys/fs", OPEN_TREE_CLONE), b->rootfd,
			  "proc/sys/kernel", 0);
	CHECK_INT(r, 0);
	sys_call = no_proc;
	r = ct_rootfs_enter(&b->r, b->rootfd, &b->e);
	CHECK(r == -EXDEV, "got %d %s", r, b->e.text);
}

static void test_sysctls_are_written_through_a_verified_proc_of_the_container(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, sysctl_through_container);
	run_box(NS_ALL, NULL, sysctl_covered);
}

static void test_sysctls_are_never_written_to_what_is_not_procfs(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, sysctl_redirected);
}

/* --- failures --- */

static int fail_at, calls;

static long fail_nth(long nr, long a, long b, long c, long d, long e, long f)
{
	return ++calls == fail_at ? -EIO : sys_call_real(nr, a, b, c, d, e, f);
}

static unsigned long long open_fds(void)
{
	unsigned long long set = 0;

	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			set |= 1ULL << fd;
	return set;
}

/* one_fault() - the @n-th call fails. Return: false when there are not so many. */
static bool one_fault(struct box *b, int n)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		unsigned long long before;
		int r;

		CHECK_INT(unshare(CLONE_NEWNS), 0);
		default_spec(b);
		before = open_fds();
		fail_at = n;
		sys_call = fail_nth;
		r = prepare(b);
		if (r == 0)
			r = ct_rootfs_enter(&b->r, b->rootfd, &b->e);
		sys_call = sys_call_real;
		ct_rootfs_fini(&b->r);
		fd_close(&b->rootfd);
		CHECK(open_fds() == before, "call %d: descriptors %llx, want %llx", n, open_fds(), before);
		CHECK(r >= 0 || (b->e.code && b->e.text[0]), "call %d: no error text for %d", n, r);
		_exit(calls < n ? 2 : 0);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) != 1, "call %d", n);
	return WEXITSTATUS(status) == 0;
}

static void faults(struct box *b)
{
	int n = 1;

	while (one_fault(b, n))
		n++;
	CHECK(n > 100 && n < 1000, "%d calls", n);
}

static void test_rootfs_reports_every_failing_call_and_leaks_no_descriptor(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, faults);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rootfs_builds_the_default_configuration),
		cmocka_unit_test(test_rootfs_enters_by_moving_the_root_when_pivoting_is_off),
		cmocka_unit_test(test_rootfs_takes_a_detached_mount_as_root),
		cmocka_unit_test(test_mount_of_cgroups_is_empty_when_there_are_none),
		cmocka_unit_test(test_rootfs_opens_sources_before_a_detached_root_covers_them),
		cmocka_unit_test(test_rootfs_mounts_nothing_in_the_hosts_namespace),
		cmocka_unit_test(test_rootfs_propagation_is_as_asked_and_never_leaks),
		cmocka_unit_test(test_mounts_get_their_own_propagation),
		cmocka_unit_test(test_rootfs_in_a_user_namespace_binds_the_hosts_devices),
		cmocka_unit_test(test_rootfs_takes_the_hosts_sysfs_read_only_without_a_network_namespace),
		cmocka_unit_test(test_mount_keeps_locked_attributes_and_refuses_to_clear_them),
		cmocka_unit_test(test_mount_uses_the_parents_clone_of_a_source_it_cannot_reach),
		cmocka_unit_test(test_sysctls_reach_the_containers_namespaces),
		cmocka_unit_test(test_sysctls_are_never_written_to_what_is_not_procfs),
		cmocka_unit_test(test_sysctls_are_written_through_a_verified_proc_of_the_container),
		cmocka_unit_test(test_rootfs_reports_every_failing_call_and_leaks_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
