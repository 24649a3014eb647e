/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/gmem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "sys/call.h"
#include "sys/file.h"

enum { MIB = 1 << 20, PAGE = GMEM_PAGE };

#define HIGH 0x100000000ULL

static void must(int r, const struct err *e)
{
	if (r < 0)
		print_error("%s\n", e->text);
	assert_true(r >= 0);
}

static void two_regions(struct gmem *m)
{
	struct err e = { 0 };

	must(gmem_add_ram(m, HIGH, 4 * MIB, GMEM_PAGES_SMALL, &e), &e);
	must(gmem_add_ram(m, 0, 2 * MIB, GMEM_PAGES_THP, &e), &e);
}

static void test_gmem_points_only_into_one_region(void **state)
{
	static const struct {
		gpa_t addr;
		uint64_t len;
		bool good;
	} row[] = {
		{ 0, 1, true },
		{ 0, 2 * MIB, true },
		{ 0, 2 * MIB + 1, false },
		{ 2 * MIB - 1, 1, true },
		{ 2 * MIB - 1, 2, false },
		{ 2 * MIB, 0, false },
		{ 2 * MIB - 1, 0, true },
		{ HIGH - 1, 1, false },
		{ HIGH - 1, 2, false },
		{ HIGH, 4 * MIB, true },
		{ HIGH + 5, 4 * MIB - 5, true },
		{ HIGH + 5, 4 * MIB - 4, false },
		{ HIGH + 5, UINT64_MAX, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX, UINT64_MAX, false },
		{ UINT64_MAX - 10, 20, false },
	};
	auto_fini(gmem) struct gmem m = { 0 };

	(void)state;
	two_regions(&m);
	assert_int_equal(m.n, 2);
	assert_true(m.region[0].base == 0 && m.region[1].base == HIGH);
	assert_int_equal(gmem_ram_bytes(&m), 6 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		bool got = gmem_ptr(&m, row[i].addr, row[i].len) != NULL;

		if (got != row[i].good)
			print_error("0x%llx + 0x%llx: want %d got %d\n", (unsigned long long)row[i].addr,
				    (unsigned long long)row[i].len, row[i].good, got);
		assert_int_equal(got, row[i].good);
	}
	for (unsigned i = 0; i < m.n; i++) /* so that huge pages fit */
		assert_int_equal((uintptr_t)m.region[i].host % (2 * MIB), m.region[i].base % (2 * MIB));
}

static void test_gmem_refuses_regions_that_overlap_or_are_not_pages(void **state)
{
	static const struct {
		gpa_t base;
		uint64_t size;
	} bad[] = {
		{ 0, PAGE },
		{ 2 * MIB - PAGE, 2 * PAGE },
		{ HIGH - PAGE, 2 * PAGE },
		{ HIGH + 4 * MIB - 1, PAGE },
		{ HIGH / 2, 0 },
		{ HIGH / 2 + 1, PAGE },
		{ HIGH / 2, PAGE + 1 },
		{ 0, 2 * HIGH },
		{ 0 - (gpa_t)PAGE, 2 * PAGE },
	};
	auto_fini(gmem) struct gmem m = { 0 };
	struct err e = { 0 };

	(void)state;
	two_regions(&m);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(gmem_add_ram(&m, bad[i].base, bad[i].size, GMEM_PAGES_SMALL, &e), -EINVAL);
	assert_int_equal(m.n, 2);
	while (m.n < GMEM_REGIONS_MAX)
		must(gmem_add_ram(&m, 2 * HIGH + m.n * (gpa_t)PAGE, PAGE, GMEM_PAGES_SMALL, &e), &e);
	assert_int_equal(gmem_add_ram(&m, 4 * HIGH, PAGE, GMEM_PAGES_SMALL, &e), -ENOSPC);
}

static void test_gmem_copies_across_neighbours(void **state)
{
	auto_fini(gmem) struct gmem m = { 0 };
	struct err e = { 0 };
	char got[16];
	void *host;

	(void)state;
	must(gmem_add_ram(&m, PAGE, PAGE, GMEM_PAGES_SMALL, &e), &e);
	must(gmem_add_ram(&m, 0, PAGE, GMEM_PAGES_SMALL, &e), &e);
	assert_int_equal(gmem_write(&m, PAGE - 3, "abcdefg", 7), 0);
	assert_int_equal(gmem_read(&m, PAGE - 3, got, 7), 0);
	assert_memory_equal(got, "abcdefg", 7);
	assert_int_equal(gmem_span(&m, PAGE - 3, 7, true, &host), 3);
	assert_memory_equal(host, "abc", 3);
	assert_int_equal(gmem_write(&m, 2 * PAGE - 3, "abcdefg", 7), -EFAULT);
	assert_int_equal(gmem_read(&m, UINT64_MAX - 2, got, 7), -EFAULT);
}

static void test_gmem_remembers_the_pages_it_wrote(void **state)
{
	auto_fini(gmem) struct gmem m = { 0 };
	uint64_t bits[16] = { 0 };
	struct err e = { 0 };

	(void)state;
	two_regions(&m);
	gmem_mark(&m, 0, PAGE); /* not tracked: nothing happens */
	must(gmem_track(&m, &e), &e);
	assert_int_equal(gmem_write(&m, HIGH + PAGE - 1, "ab", 2), 0);
	gmem_mark(&m, HIGH + 64ULL * PAGE, 1);
	gmem_mark(&m, HIGH + 4ULL * MIB - 1, 100); /* what is beyond is nobody's */
	gmem_dirty_take(&m, 1, bits);
	assert_int_equal(bits[0], 3);
	assert_int_equal(bits[1], 1);
	assert_true(bits[15] == 1ULL << 63);
	memset(bits, 0, sizeof(bits));
	gmem_dirty_take(&m, 1, bits);
	gmem_dirty_take(&m, 0, bits);
	assert_int_equal(bits[0] | bits[1] | bits[15], 0);
}

static int file_of(size_t size, char fill)
{
	static char page[PAGE];
	int fd = file_memfd("test", 0);

	assert_true(fd >= 0);
	memset(page, fill, sizeof(page));
	while (size > 0) {
		size_t n = size < PAGE ? size : PAGE;

		assert_int_equal(file_write(fd, page, n), 0);
		size -= n;
	}
	return fd;
}

static void test_gmem_maps_a_snapshot_privately(void **state)
{
	auto_fini(gmem) struct gmem m = { 0 };
	auto_close int fd = file_of(4 * PAGE, 'x');
	struct err e = { 0 };
	char got[2];

	(void)state;
	must(gmem_add_file(&m, 0, 2 * PAGE, dup(fd), PAGE, false, false, true, &e), &e);
	assert_int_equal(gmem_write(&m, 0, "ab", 2), 0);
	assert_int_equal(pread(fd, got, 2, PAGE), 2);
	assert_memory_equal(got, "xx", 2);
	/* given back, the snapshot's bytes must not show again */
	assert_int_equal(gmem_discard(&m, 0, 2 * PAGE), 0);
	assert_int_equal(gmem_read(&m, PAGE, got, 2), 0);
	assert_memory_equal(got, "\0\0", 2);
}

static void test_gmem_refuses_a_short_memory_file(void **state)
{
	auto_fini(gmem) struct gmem m = { 0 };
	struct err e = { 0 };
	int fd = file_of(2 * PAGE - 1, 'x');

	(void)state;
	assert_int_equal(gmem_add_file(&m, 0, 2 * PAGE, fd, 0, false, false, true, &e), -EINVAL);
	assert_non_null(strstr(e.text, "8191 of 8192"));
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken */
	fd = file_of(PAGE, 'x');
	assert_int_equal(gmem_add_file(&m, 0, PAGE, fd, 1, false, false, true, &e), -EINVAL);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(m.n, 0);
}

static void test_gmem_fills_up_a_short_device_file(void **state)
{
	auto_fini(gmem) struct gmem m = { 0 };
	auto_close int fd = file_of(PAGE + 1, 'x');
	struct err e = { 0 };
	char got[2] = { 1, 1 };

	(void)state;
	must(gmem_add_file(&m, 0, 2 * MIB, dup(fd), 0, true, false, false, &e), &e);
	assert_int_equal(gmem_ram_bytes(&m), 0);
	assert_int_equal(m.region[0].fd_bytes, PAGE + 1);
	assert_int_equal(gmem_read(&m, PAGE, got, 2), 0);
	assert_memory_equal(got, "x\0", 2);
	assert_int_equal(gmem_write(&m, 2 * MIB - 2, "ab", 2), 0);
	assert_int_equal(gmem_in_file(&m.region[0]), 2 * PAGE);
	assert_int_equal(pread(m.region[0].tail_fd, got, 2, 2 * MIB - 2 * PAGE - 2),
			 2); /* others can map it, too */
	assert_memory_equal(got, "ab", 2);
	assert_int_equal(gmem_write(&m, 1, "ab", 2), 0);
	assert_int_equal(pread(fd, got, 2, 1), 2);
	assert_memory_equal(got, "ab", 2);
}

static void test_gmem_does_not_hand_out_readonly_memory_for_writing(void **state)
{
	auto_fini(gmem) struct gmem m = { 0 };
	struct err e = { 0 };
	char got[2];
	void *host;

	(void)state;
	must(gmem_add_file(&m, 0, PAGE, file_of(PAGE, 'x'), 0, true, true, false, &e), &e);
	assert_null(gmem_ptr(&m, 0, 1));
	assert_non_null(gmem_find(&m, 0, 1));
	assert_int_equal(gmem_read(&m, 0, got, 2), 0);
	assert_int_equal(gmem_write(&m, 0, got, 2), -EFAULT);
	assert_int_equal(gmem_span(&m, 0, 2, true, &host), 0);
	assert_int_equal(gmem_span(&m, 0, 2, false, &host), 2);
}

static void test_gmem_gives_pages_back(void **state)
{
	auto_fini(gmem) struct gmem m = { 0 };
	struct err e = { 0 };
	struct stat before, after;
	char got[1];

	(void)state;
	must(gmem_add_ram(&m, 0, MIB, GMEM_PAGES_SMALL, &e), &e);
	memset(m.region[0].host, 'x', MIB);
	assert_int_equal(fstat(m.region[0].fd, &before), 0);
	assert_int_equal(gmem_discard(&m, 1, MIB / 2), 0);
	assert_int_equal(fstat(m.region[0].fd, &after), 0);
	assert_int_equal((before.st_blocks - after.st_blocks) * 512, MIB / 2 - PAGE);
	gmem_read(&m, 0, got, 1);
	assert_int_equal(got[0], 'x'); /* a part of a page */
	gmem_read(&m, PAGE, got, 1);
	assert_int_equal(got[0], 0);
	assert_int_equal(gmem_discard(&m, MIB - PAGE, 2 * PAGE), -EFAULT);
}

static void test_gmem_gives_no_pointer_to_blocks_that_are_not_there(void **state)
{
	struct gmem m = { 0 };
	struct err e = { 0 };
	char byte = 1;
	void *p;

	(void)state;
	two_regions(&m);
	assert_int_equal(gmem_blocks(&m, HIGH, 3 * MIB, false, &e), -EINVAL);
	assert_int_equal(gmem_blocks(&m, HIGH + MIB, MIB, false, &e), -EINVAL);
	must(gmem_blocks(&m, HIGH, MIB, false, &e), &e);
	assert_null(gmem_ptr(&m, HIGH, 1));
	assert_int_equal(gmem_span(&m, HIGH, 1, false, &p), 0);
	assert_int_equal(gmem_write(&m, HIGH + 5, &byte, 1), -EFAULT);
	assert_non_null(gmem_find(&m, HIGH, 4 * MIB));
	gmem_set_there(&m, HIGH + MIB, 2 * MIB, true);
	assert_non_null(gmem_ptr(&m, HIGH + MIB, 2 * MIB));
	assert_null(gmem_ptr(&m, HIGH + MIB, 2 * MIB + 1));
	assert_null(gmem_ptr(&m, HIGH + MIB - 1, 2));
	assert_int_equal(gmem_span(&m, HIGH + MIB + 7, 3 * MIB, true, &p), 2 * MIB - 7);
	assert_int_equal(gmem_span(&m, HIGH + MIB + 7, 9, true, &p), 9);
	assert_int_equal(gmem_span(&m, HIGH + 3 * MIB, 9, true, &p), 0);
	gmem_set_there(&m, HIGH + MIB, MIB, false);
	assert_null(gmem_ptr(&m, HIGH + MIB, 1));
	assert_int_equal(gmem_write(&m, HIGH + 2 * MIB, &byte, 1), 0);
	gmem_set_there(&m, 0, MIB, false); /* made of no blocks */
	assert_non_null(gmem_ptr(&m, 0, 1));
	must(gmem_blocks(&m, HIGH, 2 * MIB, true, &e), &e);
	assert_non_null(gmem_ptr(&m, HIGH, 4 * MIB));
	gmem_fini(&m);
}

static void test_gmem_memory_file_cannot_change_its_size(void **state)
{
	auto_fini(gmem) struct gmem m = { 0 };
	struct err e = { 0 };

	(void)state;
	must(gmem_add_ram(&m, 0, MIB, GMEM_PAGES_SMALL, &e), &e);
	assert_int_equal(ftruncate(m.region[0].fd, PAGE), -1);
}

static int calls_left;

static long failing_call(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr != SYS_munmap && nr != SYS_close && nr != SYS_madvise && calls_left-- == 0)
		return -ENOMEM;
	return sys_call_real(nr, a, b, c, d, e, f);
}

static void test_gmem_leaves_nothing_behind_when_a_call_fails(void **state)
{
	int lowest = dup(0), after, n = 0, r;

	(void)state;
	close(lowest);
	do {
		struct gmem m = { 0 };
		struct err e = { 0 };

		calls_left = n++;
		sys_call = failing_call;
		r = gmem_add_ram(&m, 0, MIB, GMEM_PAGES_SMALL, &e);
		sys_call = sys_call_real;
		if (r < 0) {
			assert_int_equal(r, -ENOMEM);
			assert_int_equal(e.code, ENOMEM);
			assert_int_equal(m.n, 0);
		}
		gmem_fini(&m);
		after = dup(0);
		close(after);
		assert_int_equal(after, lowest);
	} while (r < 0);
	assert_true(n > 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gmem_points_only_into_one_region),
		cmocka_unit_test(test_gmem_refuses_regions_that_overlap_or_are_not_pages),
		cmocka_unit_test(test_gmem_copies_across_neighbours),
		cmocka_unit_test(test_gmem_remembers_the_pages_it_wrote),
		cmocka_unit_test(test_gmem_maps_a_snapshot_privately),
		cmocka_unit_test(test_gmem_refuses_a_short_memory_file),
		cmocka_unit_test(test_gmem_fills_up_a_short_device_file),
		cmocka_unit_test(test_gmem_does_not_hand_out_readonly_memory_for_writing),
		cmocka_unit_test(test_gmem_gives_pages_back),
		cmocka_unit_test(test_gmem_gives_no_pointer_to_blocks_that_are_not_there),
		cmocka_unit_test(test_gmem_memory_file_cannot_change_its_size),
		cmocka_unit_test(test_gmem_leaves_nothing_behind_when_a_call_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
