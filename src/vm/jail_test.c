/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

enum { REFUSED = 40, ALLOWED = 41, NOT_IN = 42, NOBODY = 65534 };

static char sock_dir[] = "/tmp/hull-jail-XXXXXX";

static const struct jail_config plain = { .uid = NOBODY, .gid = NOBODY };

/* What a program that has taken the process over would try. Each says whether it got what it wanted. */
static bool try_open(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0;
}

static bool try_create(void)
{
	return open("/x", O_WRONLY | O_CREAT, 0600) >= 0;
}

static bool try_climb(void)
{
	return open("../../../../etc/passwd", O_RDONLY) >= 0;
}

static bool try_exec(void)
{
	char *argv[] = { (char *)"true", NULL };

	execv("/bin/true", argv);
	execv("/proc/self/exe", argv);
	return false;
}

static bool try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
}

static bool try_read_parent(void)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { sock_dir, 1 };

	return process_vm_readv(getppid(), &to, 1, &from, 1, 0) == 1;
}

static bool try_mount(void)
{
	return mount("none", "/", "tmpfs", 0, NULL) == 0;
}

static bool try_remount(void)
{
	return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0;
}

static bool try_umount(void)
{
	return umount2("/", MNT_DETACH) == 0;
}

static bool try_namespace(void)
{
	return unshare(CLONE_NEWNET) == 0; /* would give powers over it */
}

static bool try_root(void)
{
	return setuid(0) == 0 && geteuid() == 0;
}

static bool try_connect_inet(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0); /* port 9 of this machine's loopback: needs a route to it */
	struct sockaddr sa = { .sa_family = AF_INET, .sa_data = { 0, 9, 127, 0, 0, 1 } };

	return s >= 0 && connect(s, &sa, sizeof(sa)) == 0;
}

/* The parent listens at an abstract name and at a path. */
static bool try_connect_abstract(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(sa.sun_path + 1, sock_dir, sizeof(sock_dir));
	return s >= 0 && connect(s, (struct sockaddr *)&sa, sizeof(sa)) == 0;
}

static bool try_connect_path(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	str_format(sa.sun_path, sizeof(sa.sun_path), "%s/sock", sock_dir);
	return s >= 0 && connect(s, (struct sockaddr *)&sa, sizeof(sa)) == 0;
}

static bool try_module(void)
{
	return syscall(SYS_init_module, "", 0UL, "") == 0;
}

static bool try_kill_parent(void)
{
	return kill(getppid(), 0) == 0;
}

static bool try_executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool try_keyring(void)
{
	return syscall(SYS_keyctl, 0, -3, 1) >= 0;
}

static bool try_bpf(void)
{
	union bpf_attr map = {
		.map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 4, .max_entries = 1
	};

	return syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map)) >= 0;
}

static const struct attack {
	const char *name;
	bool (*get)(void);
	bool namespaces_let; /* the filter alone stops it */
} attacks[] = {
	{ "open a file of the host", try_open, false },
	{ "create a file", try_create, false },
	{ "climb out of the root", try_climb, false },
	{ "execute a program", try_exec, false },
	{ "trace another process", try_ptrace, false },
	{ "read another process's memory", try_read_parent, false },
	{ "mount", try_mount, false },
	{ "make the root writable", try_remount, false },
	{ "unmount", try_umount, false },
	{ "make a namespace", try_namespace, false },
	{ "become root", try_root, false },
	{ "reach the host's network", try_connect_inet, false },
	{ "reach an abstract socket of the host", try_connect_abstract, false },
	{ "reach a socket of the host by its path", try_connect_path, false },
	{ "load a module", try_module, false },
	{ "signal another process", try_kill_parent, false },
	{ "make memory executable", try_executable_memory, true },
	{ "use keyrings", try_keyring, true },
	{ "make a map in the kernel", try_bpf, false },
};

/* in_jail() - a child enters @c, shuts @work's filter behind itself unless it is 0, and tries. Return: its wait status. */
static int in_jail(const struct jail_config *c, unsigned work, bool (*get)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct err e = { 0 };

		if (jail_enter(c, &e) < 0 || (work && jail_filter(work, false, &e) < 0)) {
			(void)!write(STDERR_FILENO, e.text, strlen(e.text));
			_exit(NOT_IN);
		}
		_exit(get() ? ALLOWED : REFUSED);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_namespaces_alone_keep_the_host_out_of_reach(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		int status = in_jail(&plain, 0, attacks[i].get);

		if (!WIFEXITED(status) ||
		    WEXITSTATUS(status) != (attacks[i].namespaces_let ? ALLOWED : REFUSED))
			fail_msg("%s: want %s, got status %#x", attacks[i].name,
				 attacks[i].namespaces_let ? "allowed" : "refused", (unsigned)status);
	}
}

static void test_the_filter_ends_a_process_that_tries(void **state)
{
	static const unsigned kinds[] = { JAIL_CPU, JAIL_LOOP, JAIL_CPU | JAIL_SOCKETS,
					  JAIL_LOOP | JAIL_SOCKETS, JAIL_FETCH };

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	print_message("the sanitizer's run time makes some of these calls itself\n");
	skip();
#endif
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
			int status = in_jail(&plain, kinds[k], attacks[i].get);

			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
				fail_msg("%s, kind %u: want killed by SIGSYS, got status %#x",
					 attacks[i].name, kinds[k], (unsigned)status);
		}
}

static bool work_as_usual(void)
{
	int pair[2] = { -1, -1 };
	char *p = malloc(1 << 20);

	if (!p)
		return false;
	memset(p, 1, 1 << 20);
	free(p);
	return read(pair[0], pair, 1) < 0 && tgkill(getpid(), gettid(), 0) == 0;
}

static void test_usual_work_goes_on_behind_the_filter(void **state)
{
	(void)state;
	assert_int_equal(in_jail(&plain, JAIL_CPU, work_as_usual), ALLOWED << 8);
	assert_int_equal(in_jail(&plain, JAIL_LOOP, work_as_usual), ALLOWED << 8);
}

static int listen_at(const struct sockaddr_un *sa, socklen_t len)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return s < 0 || bind(s, (const struct sockaddr *)sa, len) < 0 || listen(s, 8) < 0 ? -1 : s;
}

static int setup(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)state;
	if (!mkdtemp(sock_dir) || chmod(sock_dir, 0755) < 0)
		return -1;
	memcpy(sa.sun_path + 1, sock_dir, sizeof(sock_dir));
	if (listen_at(&sa, sizeof(sa)) < 0)
		return -1;
	memset(sa.sun_path, 0, sizeof(sa.sun_path));
	str_format(sa.sun_path, sizeof(sa.sun_path), "%s/sock", sock_dir);
	if (listen_at(&sa, sizeof(sa)) < 0 || chmod(sa.sun_path, 0777) < 0)
		return -1;
	return 0;
}

static int teardown(void **state)
{
	char path[64];

	(void)state;
	str_format(path, sizeof(path), "%s/sock", sock_dir);
	unlink(path);
	return rmdir(sock_dir);
}

/* can_nest() - some hosts forbid user namespaces, which is said and not taken for a pass. */
static bool can_nest(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit((geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0) ||
		      unshare(CLONE_NEWUSER) < 0);
	waitpid(pid, &status, 0);
	return status == 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_namespaces_alone_keep_the_host_out_of_reach),
		cmocka_unit_test(test_the_filter_ends_a_process_that_tries),
		cmocka_unit_test(test_usual_work_goes_on_behind_the_filter),
	};

	if (!can_nest()) {
		puts("1..1\nok 1 # skip this host lets no user make a user namespace");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
