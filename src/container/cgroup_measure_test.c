/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_measure_test.c - limits are proved by what the limited get, not by reading the files back */
#include "container/cgroup_test.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sys/ns.h"

#define NUM(n)                                                                                               \
	{                                                                                                    \
		.set = true, .v = (n)                                                                        \
	}

enum { RUN_MS = 2000 };

static const enum cgroup_layout with_v1[] = { CGROUP_HYBRID, CGROUP_V1 };
static const enum cgroup_layout with_v2[] = { CGROUP_V2 };

static void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* end() - kill, reap, remove. */
static int end(struct cgroup *cg, pid_t pid)
{
	struct err e = { 0 };

	CHECK_OK(cgroup_kill(cg, SIGKILL, &e), &e);
	if (pid > 0)
		CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK_OK(cgroup_delete(cg, &e), &e);
	return TEST_OK;
}

/* busy() - never sleeps, on processor 0. */
static void busy(void *arg)
{
	volatile uint64_t *counter = arg;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	for (;;)
		if (counter)
			(*counter)++;
}

static int make(struct cgroup *cg, const char *name, const struct oci_resources *r)
{
	struct err e = { 0 };

	CHECK_OK(cgroup_open(cg, test_path(name), "id", CGROUP_FS, &e), &e);
	CHECK_OK(cgroup_create(cg, r, false, &e), &e);
	return TEST_OK;
}

static uint64_t cpu_ns(const struct cgroup *cg)
{
	struct cgroup_usage u = { 0 };

	cgroup_usage(cg, &u);
	return u.cpu_ns;
}

static int weights(enum cgroup_layout layout)
{
	struct oci_resources one = { .cpu.shares = NUM(512) }, two = { .cpu.shares = NUM(1024) };
	auto_fini(cgroup) struct cgroup a = { 0 }, b = { 0 };
	double share;
	uint64_t ran_a, ran_b;
	pid_t pa, pb;

	(void)layout;
	CHECK(make(&a, "one", &one) == TEST_OK);
	CHECK(make(&b, "two", &two) == TEST_OK);
	pa = spawn(&a, busy, NULL);
	pb = spawn(&b, busy, NULL);
	CHECK(pa > 0 && pb > 0);
	sleep_ms(200);
	ran_a = cpu_ns(&a);
	ran_b = cpu_ns(&b);
	sleep_ms(RUN_MS);
	ran_a = cpu_ns(&a) - ran_a;
	ran_b = cpu_ns(&b) - ran_b;
	CHECK(end(&a, pa) == TEST_OK);
	CHECK(end(&b, pb) == TEST_OK);
	share = (double)ran_a / (double)(ran_a + ran_b);
	fprintf(stderr, "    weights 1:2: %.3f and %.3f of the processor time they had\n", share, 1 - share);
	CHECK(share > 0.28 && share < 0.39);
	return TEST_OK;
}

static void test_weights_of_one_and_two_give_a_third_and_two_thirds(void **state)
{
	(void)state;
	in_layouts(weights, with_v1, ARRAY_SIZE(with_v1));
}

static int quota(enum cgroup_layout layout)
{
	struct oci_resources r = { .cpu.quota = NUM(20000), .cpu.period = NUM(100000) };
	auto_fini(cgroup) struct cgroup cg = { 0 };
	nsec_t start;
	uint64_t ran;
	double part;
	pid_t pid;

	(void)layout;
	CHECK(make(&cg, "quota", &r) == TEST_OK);
	pid = spawn(&cg, busy, NULL);
	CHECK(pid > 0);
	sleep_ms(100);
	start = time_now_ns(CLOCK_MONOTONIC);
	ran = cpu_ns(&cg);
	sleep_ms(RUN_MS);
	part = (double)(cpu_ns(&cg) - ran) / (double)(time_now_ns(CLOCK_MONOTONIC) - start);
	CHECK(end(&cg, pid) == TEST_OK);
	fprintf(stderr, "    quota 20%%: %.3f of a processor\n", part);
	CHECK(part > 0.10 && part < 0.24);
	return TEST_OK;
}

static void test_a_quota_of_a_fifth_gives_no_more_than_a_fifth(void **state)
{
	(void)state;
	in_layouts(quota, with_v1, ARRAY_SIZE(with_v1));
}

enum { MEMORY_LIMIT = 24 << 20, MEMORY_USE = 96 << 20 };

static void hog(void *arg)
{
	char *p = mmap(NULL, MEMORY_USE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	if (p == MAP_FAILED)
		_exit(TEST_FAILED);
	for (size_t i = 0; i < MEMORY_USE; i += 4096)
		p[i] = 1;
	_exit(TEST_OK);
}

static int memory(enum cgroup_layout layout)
{
	struct oci_resources r = { .memory.limit = NUM(MEMORY_LIMIT), .memory.swap = NUM(MEMORY_LIMIT) };
	struct oci_resources more = { .memory.limit = NUM(2 * MEMORY_USE),
				      .memory.swap = NUM(2 * MEMORY_USE) };
	auto_fini(cgroup) struct cgroup cg = { 0 };
	auto_close int oom = -1;
	struct pollfd p = { .events = POLLIN | POLLPRI };
	struct cgroup_usage u;
	struct err e = { 0 };
	int status;
	pid_t pid;

	(void)layout;
	CHECK(make(&cg, "memory", &r) == TEST_OK);
	oom = cgroup_oom_fd(&cg);
	CHECK(oom >= 0 && cgroup_oom_kills(&cg) == 0);
	CHECK(cgroup_usage(&cg, &u) == 0 && u.mem_limit_bytes == MEMORY_LIMIT);
	pid = spawn(&cg, hog, NULL);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(cgroup_oom_kills(&cg) == 1);
	p.fd = oom;
	CHECK(poll(&p, 1, 1000) == 1);
	CHECK_OK(cgroup_update(&cg, &more, &e), &e); /* up: memory and swap first */
	pid = spawn(&cg, hog, NULL);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == TEST_OK);
	CHECK_OK(cgroup_update(&cg, &r, &e), &e); /* down again: memory first */
	CHECK(cgroup_usage(&cg, &u) == 0 && u.mem_limit_bytes == MEMORY_LIMIT);
	return end(&cg, 0);
}

static void test_memory_beyond_the_limit_kills_and_is_counted(void **state)
{
	(void)state;
	in_layouts(memory, with_v1, ARRAY_SIZE(with_v1));
}

static void forker(void *arg)
{
	int made = 0;

	(void)arg;
	for (int i = 0; i < 64; i++) {
		pid_t pid = fork();

		if (pid == 0)
			for (;;)
				pause();
		if (pid < 0)
			break;
		made++;
	}
	_exit(made); /* the children stay; the group is killed as a whole */
}

static int pids(enum cgroup_layout layout)
{
	struct oci_resources r = { .pids_limit = NUM(6) };
	auto_fini(cgroup) struct cgroup cg = { 0 };
	int status;
	pid_t pid;

	(void)layout;
	CHECK(make(&cg, "pids", &r) == TEST_OK);
	pid = spawn(&cg, forker, NULL);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	return end(&cg, 0);
}

static void test_a_limit_of_six_processes_lets_the_first_make_five(void **state)
{
	(void)state;
	in_layouts(pids, with_v1, ARRAY_SIZE(with_v1));
}

static int freezes(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	volatile uint64_t *counter =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct err e = { 0 };
	uint64_t was;
	pid_t pid;

	(void)layout;
	CHECK(counter != MAP_FAILED);
	CHECK(make(&cg, "freezes", NULL) == TEST_OK);
	pid = spawn(&cg, busy, (void *)counter);
	CHECK(pid > 0);
	sleep_ms(50);
	CHECK_OK(cgroup_freeze(&cg, true, &e), &e);
	was = *counter;
	CHECK(was > 0);
	sleep_ms(200);
	CHECK(*counter == was);
	CHECK_OK(cgroup_freeze(&cg, false, &e), &e);
	for (int i = 0; i < 100 && *counter == was; i++)
		sleep_ms(10);
	CHECK(*counter > was);
	return end(&cg, pid);
}

static void test_a_frozen_group_makes_no_progress(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(freezes);
}

/* A fork bomb under a limit of processes is gone after one cgroup_kill(), whatever it made meanwhile. */
static void bomb(void *arg)
{
	(void)arg;
	for (;;)
		if (fork() < 0)
			sched_yield();
}

static int kills(enum cgroup_layout layout)
{
	struct oci_resources r = { .pids_limit = NUM(40) };
	auto_fini(cgroup) struct cgroup cg = { 0 };
	auto_free pid_t *left = NULL;
	struct err e = { 0 };
	size_t n = 1;
	pid_t pid;

	(void)layout;
	CHECK(make(&cg, "kills", &r) == TEST_OK);
	pid = spawn(&cg, bomb, NULL);
	CHECK(pid > 0);
	sleep_ms(100);
	CHECK_OK(cgroup_kill(&cg, SIGKILL, &e), &e);
	CHECK(waitpid(pid, NULL, 0) == pid);
	for (int i = 0; i < 200 && n > 0; i++) { /* they die, none of them forks */
		free(TAKE_PTR(left));
		CHECK_OK(cgroup_pids(&cg, &left, &n, &e), &e);
		sleep_ms(5);
	}
	CHECK(n == 0);
	CHECK_OK(cgroup_delete(&cg, &e), &e);
	return TEST_OK;
}

static void test_a_fork_bomb_dies_at_one_kill(void **state)
{
	(void)state;
	in_layouts(kills, with_v1, ARRAY_SIZE(with_v1));
}

static int compare_ns(const void *a, const void *b)
{
	nsec_t x = *(const nsec_t *)a, y = *(const nsec_t *)b;

	return x < y ? -1 : x > y;
}

/* speed() - what a container pays for its groups; the bound is far off, the figure printed is what to look
 * at. */
static int speed(enum cgroup_layout layout)
{
	enum { ROUNDS = 41 };
	struct oci_resources r = { .memory.limit = NUM(64 << 20),
				   .pids_limit = NUM(100),
				   .cpu.shares = NUM(512) };
	nsec_t took[ROUNDS];
	struct err e = { 0 };

	if (layout == CGROUP_V2)
		r = (struct oci_resources){ 0 };
	for (int i = 0; i < ROUNDS; i++) {
		auto_fini(cgroup) struct cgroup cg = { 0 };
		int fds[CGROUP_HIERARCHY_MAX], status;
		nsec_t start = time_now_ns(CLOCK_MONOTONIC);
		size_t n;
		pid_t pid;

		CHECK(make(&cg, "speed", &r) == TEST_OK);
		CHECK_OK(cgroup_join_open(&cg, true, fds, &n, &e), &e);
		pid = fork();
		if (pid == 0)
			_exit(cgroup_join(fds, n) < 0);
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
		for (size_t k = 0; k < n; k++)
			close(fds[k]);
		CHECK_OK(cgroup_delete(&cg, &e), &e);
		took[i] = time_now_ns(CLOCK_MONOTONIC) - start;
	}
	qsort(took, ROUNDS, sizeof(took[0]), compare_ns);
	fprintf(stderr, "    open, create, fork, join v1, delete: median %lld us\n",
		(long long)took[ROUNDS / 2] / 1000);
	CHECK(took[ROUNDS / 2] < 20 * NSEC_PER_MSEC);
	return TEST_OK;
}

static void test_making_and_removing_groups_takes_no_noticeable_time(void **state)
{
	(void)state;
	IN_ALL_LAYOUTS(speed);
}

/* The kernel's own path into the v2 group at birth. */
static int born_in(enum cgroup_layout layout)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	auto_free pid_t *found = NULL;
	struct err e = { 0 };
	size_t n;
	pid_t pid;

	(void)layout;
	CHECK(make(&cg, "born", NULL) == TEST_OK);
	pid = ns_clone(0, cgroup_v2_fd(&cg), NULL);
	if (pid == 0)
		for (;;)
			pause();
	CHECK(pid > 0);
	CHECK_OK(cgroup_pids(&cg, &found, &n, &e), &e);
	CHECK(n == 1 && found[0] == pid);
	return end(&cg, pid);
}

static void test_a_process_is_born_in_its_v2_group(void **state)
{
	(void)state;
	in_layouts(born_in, with_v2, ARRAY_SIZE(with_v2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights_of_one_and_two_give_a_third_and_two_thirds),
		cmocka_unit_test(test_a_quota_of_a_fifth_gives_no_more_than_a_fifth),
		cmocka_unit_test(test_memory_beyond_the_limit_kills_and_is_counted),
		cmocka_unit_test(test_a_limit_of_six_processes_lets_the_first_make_five),
		cmocka_unit_test(test_a_frozen_group_makes_no_progress),
		cmocka_unit_test(test_a_fork_bomb_dies_at_one_kill),
		cmocka_unit_test(test_making_and_removing_groups_takes_no_noticeable_time),
		cmocka_unit_test(test_a_process_is_born_in_its_v2_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
