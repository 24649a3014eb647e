/* SPDX-License-Identifier: Apache-2.0 */
#include "container/process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

static char dir[40];
static int top = -1;

static int setup(void **state)
{
	static const char *const sub[] = { "bin", "sbin", "etc", "work", "proc" };

	(void)state;
	str_copy(dir, sizeof(dir), "/tmp/hull-test-proc.XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
		return -1;
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(sub); i++)
		if (mkdirat(top, sub[i], 0755) < 0)
			return -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&top);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static void put(const char *at, const char *text, mode_t mode)
{
	auto_close int fd = openat(top, at, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* in_root() - @fn in a child whose root is the temporary directory; what it and its exec write to @out. */
static int in_root(void (*fn)(void *), void *arg, struct buf *out)
{
	int fds[2], status;
	pid_t pid;

	if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0) {
		print_message("# skipped: wants root and a busybox\n");
		skip();
	}
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		if (chroot(dir) < 0 || chdir("/") < 0)
			_exit(99);
		fn(arg);
		_exit(98);
	}
	close(fds[1]);
	assert_int_equal(file_slurp(fds[0], out, 1 << 20), 0);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* --- finding the program ---------------------------------------------------------------------------------------- */

struct find {
	const char *cwd, *arg0, *path;
};

static void find(void *arg)
{
	const struct find *f = arg;
	auto_free char *path = f->path ? str_printf("PATH=%s", f->path) : NULL;
	char *args[] = { (char *)f->arg0, NULL }, *env[] = { path, NULL };
	const struct oci_process p = { .cwd = f->cwd, .args = { args, 1 }, .env = { env, path ? 1 : 0 } };
	struct ct_proc pr = CT_PROC_INIT;
	struct err e = { 0 };
	int r;

	pr.p = &p;
	r = ct_proc_find(&pr, &e);
	dprintf(1, "%s", r < 0 ? e.text : pr.exe);
	_exit(r < 0);
}

static void test_the_program_is_found_as_people_expect(void **state)
{
	static const struct {
		struct find f;
		const char *want;
	} t[] = {
		{ { "/", "prog", "/bin:/sbin" }, "/bin/prog" },
		{ { "/", "prog", "/none:/sbin:/bin" }, "/sbin/prog" },
		{ { "/", "prog", "/etc:/sbin" }, "/sbin/prog" }, /* "/etc/prog" is a directory */
		{ { "/", "/bin/prog", NULL }, "/bin/prog" },
		{ { "/bin", "./prog", NULL }, "./prog" },
		{ { "/", "none", "/bin" }, "exec: \"none\": executable file not found in $PATH" },
		{ { "/bin", "prog", "" }, "exec: \"prog\": executable file not found in $PATH" },
		{ { "/bin", "prog", NULL }, "exec: \"prog\": executable file not found in $PATH" },
		{ { "/", "plain", "/bin" }, "exec: \"plain\": permission denied" },
		{ { "/", "/bin/plain", "/bin" }, "exec: \"/bin/plain\": permission denied" },
		{ { "/", "/bin", "/bin" }, "exec: \"/bin\": is a directory" },
		{ { "/", "/bin/none", "/bin" },
		  "exec: \"/bin/none\": stat /bin/none: no such file or directory" },
		{ { "/", "/bin/prog/x", "/bin" },
		  "exec: \"/bin/prog/x\": stat /bin/prog/x: no such file or directory" },
		{ { "/none", "prog", "/bin" }, "process.cwd: chdir to '/none': No such file or directory" },
		{ { "/bin/prog", "prog", "/bin" }, "process.cwd: chdir to '/bin/prog': Not a directory" },
	};

	(void)state;
	put("bin/prog", "#!/bin/sh\n", 0755);
	put("sbin/prog", "#!/bin/sh\n", 0755);
	put("bin/plain", "", 0644);
	assert_int_equal(mkdirat(top, "etc/prog", 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_fini(buf) struct buf out = { 0 };

		in_root(find, (void *)&t[i].f, &out);
		assert_string_equal(buf_str(&out), t[i].want);
	}
}

/* outside() - there is no procfs here to name a descriptor by, so by fchdir(2). */
static void outside(void *arg)
{
	if (fchdir(*(int *)arg) < 0)
		_exit(97);
	find(&(struct find){ ".", "/bin/prog", NULL });
}

static void test_a_working_directory_outside_of_the_root_is_refused(void **state)
{
	auto_fini(buf) struct buf out = { 0 };
	auto_close int host = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	put("bin/prog", "#!/bin/sh\n", 0755);
	assert_int_equal(in_root(outside, &host, &out), 1 << 8);
	assert_string_equal(buf_str(&out), "process.cwd: '.' is outside of the container's root");
}

/* --- becoming the program ------------------------------------------------------------------------------------------ */

static void become(void *arg)
{
	struct ct_proc *pr = arg;
	struct err e = { 0 };

	if (ct_proc_find(pr, &e) == 0)
		ct_proc_exec(pr, &e);
	dprintf(1, "%s", e.text);
	_exit(1);
}

/* put_busybox() - the program that says what it is. */
static void put_busybox(void)
{
	char cmd[80];

	str_format(cmd, sizeof(cmd), "cp /bin/busybox %s/bin/", dir);
	assert_int_equal(system(cmd), 0);
}

static struct oci_process busybox(char **args)
{
	struct oci_process p = { .cwd = "/", .no_new_privileges = true };

	for (p.args.v = args; args[p.args.n];)
		p.args.n++;
	return p;
}

static void test_home_is_what_the_containers_passwd_says(void **state)
{
	static const struct {
		const char *passwd;
		uint32_t uid;
		const char *cwd, *want;
	} t[] = {
		{ "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:\n", 0, "/", "HOME=/root\n" },
		{ "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:\n", 1000, "/",
		  "HOME=/home/user\n" },
		{ "root:x:0:0:root:/root:/bin/sh\n", 0, "/work", "HOME=/root\n" },
		{ "root:x:0:0:root:/root:/bin/sh", 7, "/", "HOME=/\n" },
		{ "", 0, "/", "HOME=/\n" },
		{ "a:x:0:0:\nb:x:0\n:::::\n\n0\nr:x:0:0:r:/here", 0, "/", "HOME=/here\n" },
		{ "x:x:00:0::/no:\nx:x:0x0:0::/no:\nx:x:10:0::/no:\n", 0, "/", "HOME=/\n" },
	};
	char *args[] = { (char *)"/bin/busybox", (char *)"env", NULL };

	(void)state;
	put_busybox();
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_fini(buf) struct buf out = { 0 };
		struct oci_process p = busybox(args);
		struct ct_proc pr = CT_PROC_INIT;

		put("etc/passwd", t[i].passwd, 0644);
		p.cwd = t[i].cwd;
		p.user.uid = t[i].uid;
		pr.p = &p;
		assert_int_equal(in_root(become, &pr, &out), 0);
		assert_string_equal(buf_str(&out), t[i].want);
	}
}

static void test_a_passwd_that_is_no_file_does_not_block(void **state)
{
	char *args[] = { (char *)"/bin/busybox", (char *)"env", NULL };
	auto_fini(buf) struct buf out = { 0 };
	struct oci_process p = busybox(args);
	struct ct_proc pr = CT_PROC_INIT;

	(void)state;
	put_busybox();
	assert_int_equal(mkfifoat(top, "etc/passwd", 0644), 0);
	pr.p = &p;
	alarm(20);
	assert_int_equal(in_root(become, &pr, &out), 0);
	alarm(0);
	assert_string_equal(buf_str(&out), "HOME=/\n");
}

static void test_the_program_is_who_the_configuration_says(void **state)
{
	char *args[] = { (char *)"/bin/busybox", (char *)"sh", (char *)"-c",
			 (char *)"/bin/busybox id; umask; ulimit -n; ulimit -Hn; /bin/busybox pwd", NULL };
	char *env[] = { (char *)"HOME=/x", NULL };
	uint32_t gids[] = { 3, 4 };
	struct oci_rlimit lim = {
		.resource = RLIMIT_NOFILE, .name = "RLIMIT_NOFILE", .soft = 20, .hard = 30
	};
	auto_fini(buf) struct buf out = { 0 };
	struct oci_process p = busybox(args);
	struct ct_proc pr = CT_PROC_INIT;

	(void)state;
	put_busybox();
	p.cwd = "/work";
	p.env = (struct oci_strs){ env, 1 };
	p.user = (struct oci_user){ .uid = 1000,
				    .gid = 2000,
				    .umask = { true, 027 },
				    .additional_gids = gids,
				    .n_additional_gids = 2 };
	p.rlimits = &lim;
	p.n_rlimits = 1;
	pr.p = &p;
	assert_int_equal(in_root(become, &pr, &out), 0);
	assert_string_equal(buf_str(&out), "uid=1000 gid=2000 groups=3,4\n0027\n20\n30\n/work\n");
}

static void test_a_limit_of_three_descriptors_does_not_hinder_us(void **state)
{
	char *args[] = { (char *)"/bin/busybox", (char *)"echo", (char *)"done", NULL };
	struct oci_rlimit lim[] = { { RLIMIT_NOFILE, "RLIMIT_NOFILE", 3, 3 },
				    { RLIMIT_NPROC, "RLIMIT_NPROC", 1, 1 },
				    { RLIMIT_FSIZE, "RLIMIT_FSIZE", 0, 0 } };
	auto_fini(buf) struct buf out = { 0 };
	struct oci_process p = busybox(args);
	struct ct_proc pr = CT_PROC_INIT;

	(void)state;
	put_busybox();
	p.rlimits = lim;
	p.n_rlimits = ARRAY_SIZE(lim);
	pr.p = &p;
	assert_int_equal(in_root(become, &pr, &out), 0);
	assert_string_equal(buf_str(&out), "done\n");
}

static void test_limits_are_raised_early_and_never_lowered_early(void **state)
{
	struct oci_rlimit low = { RLIMIT_NOFILE, "RLIMIT_NOFILE", 3, 3 };
	struct oci_rlimit high = { RLIMIT_NOFILE, "RLIMIT_NOFILE", 3, UINT64_MAX };
	struct oci_process p = { .rlimits = &low, .n_rlimits = 1 };
	struct err e = { 0 };
	struct rlimit before, after;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(ct_proc_limits(&p, 0, &e), 0);
	getrlimit(RLIMIT_NOFILE, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	p.rlimits = &high; /* more than fs.nr_open */
	assert_int_equal(ct_proc_limits(&p, 0, &e), -EPERM);
	assert_string_equal(e.text, "process.rlimits[0] RLIMIT_NOFILE: Operation not permitted");
}

/* leaky() - as become(), with a descriptor of the host that nobody marked, and two that are to be kept. */
static void leaky(void *arg)
{
	for (int fd = 3; fd < 10; fd++)
		dup2(0, fd);
	((struct ct_proc *)arg)->preserve_fds = 2;
	become(arg);
}

static void test_no_descriptor_survives_but_those_to_be_kept(void **state)
{
	char *args[] = {
		(char *)"/bin/busybox", (char *)"sh", (char *)"-c",
		(char *)"for n in 0 1 2 3 4 5 6 7 8 9; do (true <&$n) 2>/etc/x && echo $n; done; true", NULL
	};
	auto_fini(buf) struct buf out = { 0 };
	struct oci_process p = busybox(args);
	struct ct_proc pr = CT_PROC_INIT;

	(void)state;
	put_busybox();
	pr.p = &p;
	assert_int_equal(in_root(leaky, &pr, &out), 0);
	assert_string_equal(buf_str(&out), "0\n1\n2\n3\n4\n");
}

static void test_an_exec_that_fails_says_why(void **state)
{
	static const struct {
		const char *text, *want;
	} t[] = {
		{ "not a program", "exec format error" },
		{ "#!/no/such/shell\n", "its interpreter or loader is missing" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char *args[] = { (char *)"/bin/bad", NULL };
		auto_fini(buf) struct buf out = { 0 };
		struct oci_process p = busybox(args);
		struct ct_proc pr = CT_PROC_INIT;

		put("bin/bad", t[i].text, 0755);
		pr.p = &p;
		assert_int_equal(in_root(become, &pr, &out), 1 << 8);
		assert_true(str_starts(buf_str(&out), "exec: \"/bin/bad\": "));
		assert_non_null(strstr(buf_str(&out), t[i].want));
	}
}

/* --- standard streams ---------------------------------------------------------------------------------------------- */

static void test_streams_may_be_given_in_any_order(void **state)
{
	static const int order[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 2, 0 },    { 2, 0, 1 }, { 1, 1, 1 },
					{ 5, 6, 7 }, { 7, 0, 0 }, { -1, -1, -1 }, { 6, -1, 6 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			const struct ct_stdio io = { { order[i][0], order[i][1], order[i][2] } };
			struct oci_process p = { .user.uid = geteuid() };
			struct ct_proc pr = CT_PROC_INIT;
			ino_t ino[10];
			struct stat st;

			for (int fd = 0; fd < 10; fd++) {
				char name[8];

				str_format(name, sizeof(name), "f%d", fd);
				close(fd);
				if (openat(top, name, O_RDWR | O_CREAT, 0600) < 0 && fd != top)
					_exit(90);
				ino[fd] = fstat(fd, &st) == 0 ? st.st_ino : 0;
				if (fd == top)
					_exit(91);
			}
			pr.p = &p;
			if (ct_proc_stdio(&pr, &io, -1, NULL) < 0)
				_exit(92);
			for (int n = 0; n < 3; n++) {
				if (fstat(n, &st) < 0 || fcntl(n, F_GETFD) != 0)
					_exit(93);
				if (order[i][n] < 0 ? st.st_rdev != 0x103 : st.st_ino != ino[order[i][n]])
					_exit(10 + n);
			}
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

static int far_top(void **state)
{
	int r = setup(state), fd = fcntl(top, F_DUPFD_CLOEXEC, 50);

	close(top);
	top = fd;
	return r;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_the_program_is_found_as_people_expect),
		T(test_a_working_directory_outside_of_the_root_is_refused),
		T(test_home_is_what_the_containers_passwd_says),
		T(test_a_passwd_that_is_no_file_does_not_block),
		T(test_the_program_is_who_the_configuration_says),
		T(test_a_limit_of_three_descriptors_does_not_hinder_us),
		T(test_limits_are_raised_early_and_never_lowered_early),
		T(test_no_descriptor_survives_but_those_to_be_kept),
		T(test_an_exec_that_fails_says_why),
		cmocka_unit_test_setup_teardown(test_streams_may_be_given_in_any_order, far_top, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
