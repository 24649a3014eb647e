/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/guard.h"
#include "base/str.h"
#include "sys/cred.h"

static void test_a_clone_is_our_child_with_a_pidfd(void **state)
{
	siginfo_t info = { 0 };
	int pidfd = -1;
	pid_t pid = ns_clone(0, -1, &pidfd);

	(void)state;
	if (pid == 0)
		_exit(7);
	assert_true(pid > 0);
	assert_int_equal(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pidfd_wait(pidfd, &info, WEXITED), 0);
	assert_int_equal(info.si_pid, pid);
	assert_int_equal(info.si_code, CLD_EXITED);
	assert_int_equal(info.si_status, 7);
	assert_int_equal(pidfd_wait(pidfd, &info, WEXITED), -ECHILD);
	assert_int_equal(pidfd_send(pidfd, SIGKILL), -ESRCH);
	close(pidfd);
}

static void test_a_signal_goes_through_the_pidfd(void **state)
{
	siginfo_t info = { 0 };
	pid_t pid = ns_fork();
	int pidfd;

	(void)state;
	if (pid == 0) {
		pause();
		_exit(0);
	}
	pidfd = pidfd_open(pid);
	assert_int_equal(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pidfd_send(pidfd, SIGTERM), 0);
	assert_int_equal(pidfd_wait(pidfd, &info, WEXITED), 0);
	assert_int_equal(info.si_code, CLD_KILLED);
	assert_int_equal(info.si_status, SIGTERM);
	close(pidfd);
}

static void test_a_clone_enters_new_namespaces(void **state)
{
	siginfo_t info = { 0 };
	int pidfd = -1;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("# skipped: wants root\n");
		skip();
	}
	pid = ns_clone(CLONE_NEWPID | CLONE_NEWUTS, -1, &pidfd);
	if (pid == 0)
		_exit(getpid() == 1 && sethostname("hull-test", 9) == 0 ? 0 : 1);
	assert_true(pid > 1);
	assert_int_equal(pidfd_wait(pidfd, &info, WEXITED), 0);
	assert_int_equal(info.si_status, 0);
	close(pidfd);
}

static void test_what_the_kernel_refuses_is_an_error_and_no_process(void **state)
{
	int pidfd = -1;

	(void)state;
	assert_int_equal(ns_clone(CLONE_NEWNS | CLONE_FS, -1, &pidfd), -EINVAL);
	assert_int_equal(pidfd, -1);
	assert_int_equal(ns_set(0, CLONE_NEWNET), -EINVAL);
	assert_int_equal(pidfd_open(0x7fffffff), -ESRCH);
}

static void test_a_process_is_known_by_number_and_start(void **state)
{
	int64_t start = proc_start_time(getpid());

	(void)state;
	assert_true(start > 0);
	assert_true(proc_alive(getpid(), 0));
	assert_true(proc_alive(getpid(), (uint64_t)start));
	assert_false(proc_alive(getpid(), (uint64_t)start + 1)); /* the number is somebody else's now */
	assert_false(proc_alive(0, 0));
	assert_false(proc_alive(-1, 0));
	assert_false(proc_alive(0x7fffffff, 0));
	assert_int_equal(proc_start_time(0x7fffffff), -ESRCH);
}

static void test_a_zombie_is_not_alive(void **state)
{
	siginfo_t info;
	pid_t pid = ns_fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_true(proc_start_time(pid) > 0);
	assert_false(proc_alive(pid, 0));
	waitpid(pid, NULL, 0);
}

static void test_a_name_may_look_like_the_rest_of_its_stat_line(void **state)
{
	int64_t start = proc_start_time(getpid());
	char was[16];

	(void)state;
	prctl(PR_GET_NAME, was);
	prctl(PR_SET_NAME, ") Z 1 2 3 (");
	assert_true(proc_alive(getpid(), (uint64_t)start));
	assert_true(proc_start_time(getpid()) == start);
	prctl(PR_SET_NAME, was);
}

/* --- who a process is ------------------------------------------------------------------------------------------ */

/* drop() - in a child: everything but one capability goes, and nothing comes back. */
static int drop(void)
{
	const uint64_t chown = 1, kill = 1 << 5;
	struct cred_caps caps = { .effective = chown, .permitted = chown | kill }, got;

	if (cred_bound_caps(chown | kill) < 0 || cred_set_caps(&caps) < 0 || cred_get_caps(&got) < 0)
		return 1;
	if (memcmp(&got, &caps, sizeof(got)) != 0)
		return 2;
	for (int cap = 0; cap <= cred_last_cap(); cap++)
		if (prctl(PR_CAPBSET_READ, cap) != (cap == 0 || cap == 5))
			return 3;
	caps.permitted |= 1 << 21;
	if (cred_set_caps(&caps) != -EPERM)
		return 4;
	if (cred_ambient_caps(chown) != -EPERM) /* it is not inheritable */
		return 5;
	caps = (struct cred_caps){ .effective = chown, .permitted = chown, .inheritable = chown };
	if (cred_set_caps(&caps) < 0 || cred_ambient_caps(chown) < 0)
		return 6;
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0) == 1 ? 0 : 7;
}

static void test_capabilities_are_dropped_for_good(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("# skipped: wants root\n");
		skip();
	}
	pid = ns_fork();
	if (pid == 0)
		_exit(drop());
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_true(cred_last_cap() >= 40 && cred_last_cap() < CRED_CAP_MAX);
}

static void test_ids_are_changed_all_three(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("# skipped: wants root\n");
		skip();
	}
	pid = ns_fork();
	if (pid == 0) {
		const gid_t groups[] = { 3, 4 };
		gid_t got[4], r, e, s;
		uid_t ru, eu, su;

		if (cred_set_groups(groups, 2) < 0 || getgroups(4, got) != 2 || got[1] != 4)
			_exit(1);
		if (cred_set_ids(1000, 2000) < 0 || getresgid(&r, &e, &s) < 0 || getresuid(&ru, &eu, &su) < 0)
			_exit(2);
		if (r != 2000 || e != 2000 || s != 2000 || ru != 1000 || eu != 1000 || su != 1000)
			_exit(3);
		_exit(cred_set_ids(0, 0) == -EPERM ? 0 : 4);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_clone_is_our_child_with_a_pidfd),
		cmocka_unit_test(test_a_signal_goes_through_the_pidfd),
		cmocka_unit_test(test_a_clone_enters_new_namespaces),
		cmocka_unit_test(test_what_the_kernel_refuses_is_an_error_and_no_process),
		cmocka_unit_test(test_a_process_is_known_by_number_and_start),
		cmocka_unit_test(test_a_zombie_is_not_alive),
		cmocka_unit_test(test_a_name_may_look_like_the_rest_of_its_stat_line),
		cmocka_unit_test(test_capabilities_are_dropped_for_good),
		cmocka_unit_test(test_ids_are_changed_all_three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
