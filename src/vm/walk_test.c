/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/walk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"

enum { MEM_BYTES = 4 << 20, CR3 = 0x10000, P = 1, PS = 0x80 };

static struct gmem mem;

static int setup(void **state)
{
	struct err e = { 0 };

	(void)state;
	mem = (struct gmem){ 0 };
	return gmem_add_ram(&mem, 0, MEM_BYTES, GMEM_PAGES_SMALL, &e);
}

static int teardown(void **state)
{
	(void)state;
	gmem_fini(&mem);
	return 0;
}

static void put(gpa_t at, uint64_t entry, size_t bytes)
{
	assert_return_code(gmem_write(&mem, at, &entry, bytes), 0);
}

static void leads(const struct x86_state *s, uint64_t va, int64_t want) /* -1: nowhere */
{
	gpa_t gpa = 0;
	int r = walk_linear(&mem, s, va, &gpa);

	if (want < 0 ? r != -EFAULT : r != 0 || gpa != (gpa_t)want)
		fail_msg("0x%llx: want 0x%llx, got %d, 0x%llx", (unsigned long long)va,
			 (unsigned long long)want, r, (unsigned long long)gpa);
}

static const struct x86_state long_mode = {
	.cr0 = 0x80000011, .cr3 = CR3 | 0xfff, .cr4 = 0x20, .efer = 0x500
};

static void test_long_mode_goes_down_four_or_five_tables(void **state)
{
	struct x86_state s = long_mode;

	(void)state;
	put(CR3 + 8 * 511, 0x8000000000011000 | P, 8); /* NX is nothing to us */
	put(0x11000 + 8 * 510, 0x12000 | P, 8);
	put(0x11000 + 8 * 1, 0x40000000 | P | PS, 8);
	put(0x12000 + 8 * 8, 0x13000 | P, 8);
	put(0x12000 + 8 * 9, 0x200000 | P | PS | 0x1000 /* PAT */, 8);
	put(0x13000 + 8 * 3, 0x7000 | P | PS /* PAT */, 8);
	leads(&s, 0xffffffff81003123, 0x7123);
	leads(&s, 0xffffffff81004123, -1);
	leads(&s, 0xffffffff81234567, 0x234567);
	leads(&s, 0xffffff8056789abc, 0x56789abc);
	leads(&s, 0x0000ff8056789abc, -1); /* not canonical */
	leads(&s, 0x7fffffffffff, -1);
	s.cr4 |= 1 << 12;
	s.cr3 = 0x14000;
	put(0x14000 + 8 * 511, CR3 | P, 8);
	leads(&s, 0xffffffff81003123, 0x7123);
	leads(&s, 0x01ffffff81003123, -1);
}

static void test_older_modes_go_down_theirs(void **state)
{
	struct x86_state s = { .cr0 = 0x11, .cr3 = CR3 };

	(void)state;
	leads(&s, 0xffffffff00001234, 0x1234); /* no paging: 32 bits, as they are */
	s.cr0 |= 0x80000000;
	put(CR3 + 4 * 1, 0x11000 | P, 4);
	put(CR3 + 4 * 2, 0x1402000 | P | PS | 0x2000, 4);
	put(0x11000 + 4 * 5, 0x9000 | P, 4);
	leads(&s, 0x405678, 0x9678);
	leads(&s, 0x406678, -1);
	leads(&s, 0x812345, -1); /* without PSE it is a table, which is no memory */
	s.cr4 = 0x10;
	leads(&s, 0x812345, 0x101412345);
	s.cr4 = 0x20;
	s.cr3 = 0x12020;
	put(0x12020 + 8 * 3, 0x13000 | P, 8);
	put(0x13000 + 8 * 1, 0x14000 | P, 8);
	put(0x13000 + 8 * 2, 0x600000 | P | PS, 8);
	put(0x14000 + 8 * 7, 0x1234567000 | P, 8);
	leads(&s, 0xc0207abc, 0x1234567abc);
	leads(&s, 0xc0412345, 0x612345);
	leads(&s, 0x40207abc, -1);
}

static void test_tables_that_loop_or_lie_nowhere_end(void **state)
{
	struct x86_state s = long_mode;

	(void)state;
	put(CR3, CR3 | P, 8);
	leads(&s, 0, CR3);
	put(CR3, 0x000ffffffffff000 | P, 8);
	leads(&s, 0, -1);
	s.cr3 = ~0ULL;
	leads(&s, 0, -1);
}

static void test_bytes_are_copied_over_pages_and_up_to_what_is_not_there(void **state)
{
	static uint8_t in[2 * GMEM_PAGE], out[3 * GMEM_PAGE];
	const struct x86_state s = long_mode;

	(void)state;
	put(CR3, 0x11000 | P, 8);
	put(0x11000, 0x12000 | P, 8);
	put(0x12000, 0x13000 | P, 8);
	put(0x13000 + 8 * 1, 0x25000 | P, 8);
	put(0x13000 + 8 * 2, 0x21000 | P, 8);
	put(0x13000 + 8 * 4, 0xfe000000 | P, 8); /* a device's */
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7);
	assert_return_code(walk_write(&mem, &s, 0x1000, in, sizeof(in)), 0);
	assert_int_equal(walk_read(&mem, &s, 0x1000, out, sizeof(out)), sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	assert_return_code(gmem_read(&mem, 0x21000, out, GMEM_PAGE), 0);
	assert_memory_equal(in + GMEM_PAGE, out, GMEM_PAGE);
	memset(in, 0xee, sizeof(in));
	assert_int_equal(walk_write(&mem, &s, 0x2ff0, in, 32), -EFAULT);
	assert_int_equal(walk_read(&mem, &s, 0x2ff0, out, 32), 16);
	assert_true(out[0] != 0xee);
	assert_int_equal(walk_read(&mem, &s, 0x4000, out, 4), 0);
	assert_int_equal(walk_write(&mem, &s, 0x4000, in, 4), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_long_mode_goes_down_four_or_five_tables, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_older_modes_go_down_theirs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_that_loop_or_lie_nowhere_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_are_copied_over_pages_and_up_to_what_is_not_there,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
