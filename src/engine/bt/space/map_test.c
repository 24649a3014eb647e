/* SPDX-License-Identifier: Apache-2.0 */
/* map_test.c - real mappings of a file that stands for guest memory, made, flushed, and taken back where code is */
#include "engine/bt/space/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/translate_internal.h"

#define RAM_BYTES   (8UL << 20)
#define GRANULE     (2UL << 20)
#define USER_VA     0x20000000UL         /* a place of the user's */
#define KERNEL_VA   0xffff888000000000UL /* Linux' direct map */
#define KERNEL_HOST (KERNEL_VA + BT_SHIFT)

static struct bt_cpu *cpu;
static struct bt_vm vm;
static uint8_t *ram;
static bool has_places;
static int writer[2];

#define NEED_PLACES()                                                                                        \
	if (!has_places) {                                                                                   \
		print_message("# the addresses of a space process are taken (a sanitizer's)\n");             \
		skip();                                                                                      \
	}

static void *map_at(uint64_t at, size_t size)
{
	void *p = mmap((void *)(uintptr_t)at, size, PROT_READ | PROT_WRITE,
		       MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == (void *)(uintptr_t)at ? p : NULL;
}

static void *room(size_t size)
{
	void *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static uint64_t written[RAM_BYTES / 4096 / 64];

static int set_up(void **state)
{
	struct bt_process *p = bt_process();
	int fd = memfd_create("guest", MFD_CLOEXEC);

	(void)state;
	assert_true(fd >= 0 && ftruncate(fd, (off_t)RAM_BYTES) == 0 && pipe(writer) == 0);
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cpu = calloc(1, sizeof(*cpu));
	assert_true(ram != MAP_FAILED && cpu);
	has_places = map_at(BT_TABLE_BASE, BT_TABLES_SIZE) && map_at(BT_ARENA_BASE, BT_ARENA_SIZE);
	cpu->vm = &vm;
	vm.slot[0] = (struct bt_slot){ .size = RAM_BYTES, .host = ram, .fd = fd };
	bt_slots_sort(&vm);
	vm.written = written;
	p->granule = room(1UL << 26);
	p->flushable = room(BT_GRANULES_MAX * sizeof(*p->flushable));
	p->global = room(BT_GRANULES_MAX * sizeof(*p->global));
	p->page_views = room((RAM_BYTES >> 12) * sizeof(*p->page_views));
	p->chunk_views = room((RAM_BYTES >> 21) * sizeof(*p->chunk_views));
	p->view = room(BT_VIEWS_MAX * sizeof(*p->view));
	p->store_count = room(RAM_BYTES >> 12);
	p->n_views = p->views_age = 1;
	return p->granule && p->flushable && p->global && p->page_views && p->chunk_views && p->view &&
			       p->store_count ?
		       0 :
		       -1;
}

/* flush() - each test begins with nothing mapped. */
static int flush(void **state)
{
	(void)state;
	if (has_places)
		bt_map_flush(cpu, BT_FLUSH_ALL, 0);
	vm.slot[0].log = false;
	memset(written, 0, sizeof(written));
	return 0;
}

/* can_write() - asked of the kernel, which says EFAULT where we would be killed. A byte 7 is written where it can be. */
static bool can_write(uint64_t host)
{
	const char byte = 7;
	char rest;

	assert_int_equal(write(writer[1], &byte, 1), 1);
	if (read(writer[0], (void *)(uintptr_t)host, 1) == 1)
		return true;
	assert_int_equal(read(writer[0], &rest, 1), 1);
	return false;
}

static bool can_read(uint64_t host)
{
	char byte;

	if (write(writer[1], (const void *)(uintptr_t)host, 1) != 1)
		return false;
	assert_int_equal(read(writer[0], &byte, 1), 1);
	return true;
}

static struct bt_page page_of(uint64_t gpa, unsigned shift, bool global)
{
	return (struct bt_page){ .gpa = gpa,
				 .shift = (uint8_t)shift,
				 .writable = true,
				 .user = !global,
				 .exec = true,
				 .dirty = true,
				 .global = global };
}

static enum bt_map map_user(uint64_t va, uint64_t gpa)
{
	struct bt_page p = page_of(gpa, 12, false);

	return bt_map_page(cpu, va, va, &p, true);
}

static enum bt_map map_read(uint64_t host, uint64_t va, uint64_t gpa, unsigned shift)
{
	struct bt_page p = page_of(gpa, shift, host != va);

	return bt_map_page(cpu, host, va, &p, false);
}

static enum bt_map map_kernel(uint64_t va, uint64_t gpa, unsigned shift)
{
	struct bt_page p = page_of(gpa, shift, true);

	return bt_map_page(cpu, va + BT_SHIFT, va, &p, true);
}

static void test_a_page_is_the_guests_until_it_is_flushed(void **state)
{
	(void)state;
	NEED_PLACES();
	assert_int_equal(map_user(USER_VA + 0x123, 0x5123), BT_MAPPED);
	assert_true(can_write(USER_VA + 0x456));
	assert_int_equal(ram[0x5456], 7);
	bt_map_flush(cpu, BT_FLUSH_PAGE, USER_VA);
	assert_false(can_read(USER_VA));
}

/* A heap that is put anywhere in 64 TiB often comes to lie where the largest guest's memory would end. */
static void test_only_as_much_is_the_engines_as_there_is_memory(void **state)
{
	const uint64_t end = BT_RAM_BASE + ((RAM_BYTES + 0x1fffff) & ~0x1fffffUL);

	(void)state;
	NEED_PLACES();
	assert_int_equal(map_user(end - 4096, 0x5000), BT_MAP_NOT);
	assert_int_equal(map_user(end, 0x5000), BT_MAPPED);
	assert_true(can_write(end));
	assert_int_equal(map_user(BT_KERNEL_VIEW - 4096, 0x6000), BT_MAPPED);
	bt_map_flush(cpu, BT_FLUSH_SPACE, 0);
	assert_false(can_read(end));
	assert_false(can_read(BT_KERNEL_VIEW - 4096));
}

static void test_what_is_global_outlives_a_change_of_spaces(void **state)
{
	(void)state;
	NEED_PLACES();
	assert_int_equal(map_user(USER_VA, 0x1000), BT_MAPPED);
	assert_int_equal(map_kernel(KERNEL_VA, 0x2000, 12), BT_MAPPED);
	bt_map_flush(cpu, BT_FLUSH_SPACE, 0);
	assert_false(can_read(USER_VA));
	assert_true(can_read(KERNEL_HOST));
	bt_map_flush(cpu, BT_FLUSH_ALL, 0);
	assert_false(can_read(KERNEL_HOST));
}

static void test_an_address_in_a_large_page_flushes_all_of_it(void **state)
{
	(void)state;
	NEED_PLACES();
	assert_int_equal(map_kernel(KERNEL_VA + GRANULE, GRANULE, 21), BT_MAPPED);
	assert_true(can_write(KERNEL_HOST + GRANULE + 0x100000));
	assert_int_equal(ram[GRANULE + 0x100000], 7);
	bt_map_flush(cpu, BT_FLUSH_PAGE, KERNEL_VA + GRANULE + 0x5000);
	assert_false(can_read(KERNEL_HOST + GRANULE));
}

static void test_places_of_the_engine_are_never_the_guests(void **state)
{
	static const uint64_t ours[] = { BT_PROGRAM_BASE,   BT_CPU_BASE,   BT_CACHE_BASE,
					 BT_WINDOW_END - 1, BT_ARENA_BASE, BT_RAM_BASE };

	(void)state;
	NEED_PLACES();
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		assert_int_equal(map_user(ours[i], 0x1000), BT_MAP_NOT);
	assert_int_equal(map_user(USER_VA, RAM_BYTES), BT_MAP_NOT); /* no memory */
}

static void test_a_page_that_becomes_code_is_read_only_wherever_it_is_seen(void **state)
{
	(void)state;
	NEED_PLACES();
	assert_int_equal(map_user(USER_VA, 0x3000), BT_MAPPED);
	assert_int_equal(map_user(USER_VA + 0x9000, 0x3000), BT_MAPPED);
	assert_int_equal(map_kernel(KERNEL_VA, 0, 21), BT_MAPPED);
	bt_map_protect(cpu, 0x3000);
	assert_false(can_write(USER_VA));
	assert_false(can_write(USER_VA + 0x9000));
	assert_false(can_write(KERNEL_HOST + 0x3000));
	assert_true(can_read(KERNEL_HOST + 0x3000));
	assert_true(can_write(KERNEL_HOST + 0x4000)); /* its neighbour is as before */
}

static void test_full_lists_are_emptied_and_never_refuse_a_page(void **state)
{
	struct bt_process *p = bt_process();

	(void)state;
	NEED_PLACES();
	p->n_flushable = BT_GRANULES_MAX; /* of granules that have gone since */
	assert_int_equal(map_user(USER_VA, 0x1000), BT_MAPPED);
	assert_true(can_write(USER_VA));
	p->n_global = BT_GRANULES_MAX;
	assert_int_equal(map_kernel(KERNEL_VA, 0x2000, 12), BT_MAPPED);
	assert_true(can_write(KERNEL_HOST));
}

static void test_what_cannot_be_remembered_is_not_left_writable(void **state)
{
	struct bt_process *p = bt_process();

	(void)state;
	NEED_PLACES();
	p->n_views = BT_VIEWS_MAX;
	assert_int_equal(map_kernel(KERNEL_VA, 0, 21), BT_MAPPED);
	assert_true(can_write(KERNEL_HOST));
	for (uint64_t at = 0; at < GRANULE; at += 4096)
		bt_map_protect(cpu, at);
	for (uint64_t at = 0; at < GRANULE; at += 4096)
		assert_false(can_write(KERNEL_HOST + at));
}

static void test_a_page_with_a_log_is_read_only_until_it_is_written(void **state)
{
	(void)state;
	NEED_PLACES();
	vm.slot[0].log = true;
	assert_int_equal(map_read(USER_VA, USER_VA, 0x3000, 12), BT_MAPPED);
	assert_true(can_read(USER_VA));
	assert_false(can_write(USER_VA));
	assert_int_equal(written[0], 0);
	assert_int_equal(map_user(USER_VA, 0x3000), BT_MAPPED);
	assert_true(can_write(USER_VA));
	assert_int_equal(written[0], 1 << 3);
	assert_int_equal(map_read(USER_VA + 0x9000, USER_VA + 0x9000, 0x3000, 12),
			 BT_MAPPED); /* it is noted already */
	assert_true(can_write(USER_VA + 0x9000));
	bt_map_protect(cpu, 0x3000);
	assert_false(can_write(USER_VA));
	assert_false(can_write(USER_VA + 0x9000));
}

static void test_of_a_large_page_with_a_log_only_what_is_written_becomes_writable(void **state)
{
	(void)state;
	NEED_PLACES();
	vm.slot[0].log = true;
	assert_int_equal(map_read(KERNEL_HOST, KERNEL_VA, 0, 21), BT_MAPPED);
	assert_true(can_read(KERNEL_HOST + 0x100000)); /* all of it came at once */
	assert_false(can_write(KERNEL_HOST));
	assert_int_equal(map_kernel(KERNEL_VA + 0x41000, 0x41000, 21), BT_MAPPED);
	assert_true(can_write(KERNEL_HOST + 0x41000));
	assert_false(can_write(KERNEL_HOST + 0x40000));
	assert_false(can_write(KERNEL_HOST + 0x42000));
	assert_int_equal(written[0], 0);
	assert_int_equal(written[1], 2);
	bt_map_protect(cpu, 0x41000);
	assert_false(can_write(KERNEL_HOST + 0x41000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_page_is_the_guests_until_it_is_flushed, flush),
		cmocka_unit_test_setup(test_only_as_much_is_the_engines_as_there_is_memory, flush),
		cmocka_unit_test_setup(test_what_is_global_outlives_a_change_of_spaces, flush),
		cmocka_unit_test_setup(test_an_address_in_a_large_page_flushes_all_of_it, flush),
		cmocka_unit_test_setup(test_places_of_the_engine_are_never_the_guests, flush),
		cmocka_unit_test_setup(test_a_page_that_becomes_code_is_read_only_wherever_it_is_seen, flush),
		cmocka_unit_test_setup(test_full_lists_are_emptied_and_never_refuse_a_page, flush),
		cmocka_unit_test_setup(test_what_cannot_be_remembered_is_not_left_writable, flush),
		cmocka_unit_test_setup(test_a_page_with_a_log_is_read_only_until_it_is_written, flush),
		cmocka_unit_test_setup(test_of_a_large_page_with_a_log_only_what_is_written_becomes_writable,
				       flush),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
