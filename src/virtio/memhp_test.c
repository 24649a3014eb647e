/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/memhp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "virtio/driver_testing.h"

#define MIB       (1ULL << 20)
#define BASE      (1ULL << 32)
#define BLOCK     (2 * MIB)
#define SLOT      (8 * MIB)
#define SIZE      (32 * MIB)
#define REQUESTED (16 * MIB)

static unsigned slots; /* a bit for each */
static int slot_rc;

static int slot_set(void *arg, gpa_t base, uint64_t size, bool on)
{
	unsigned bit = 1U << (base - BASE) / SLOT;

	(void)arg;
	assert_int_equal(size, SLOT);
	assert_int_equal(!!(slots & bit), !on);
	if (on && slot_rc < 0)
		return slot_rc;
	slots ^= bit;
	return 0;
}

static struct vdev *make(struct driver *t)
{
	const struct memhp_config c = { BASE, SIZE, SLOT, BLOCK, REQUESTED, slot_set, NULL };
	struct vdev *d = NULL;

	slots = 0;
	slot_rc = 0;
	if (!gmem_find(&t->mem, BASE, 1))
		BUG_ON(gmem_add_ram(&t->mem, BASE, SIZE, GMEM_PAGES_SMALL, NULL) < 0);
	BUG_ON(memhp_new(&d, &t->mem, NULL, &c, NULL) < 0);
	return d;
}

enum { PLUG, UNPLUG, ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };

/* ask() - Return: the answer, and a state above it. */
static int ask(struct driver *t, uint16_t type, uint64_t addr, uint16_t n)
{
	uint16_t req[12] = { htole16(type) }, resp[5] = { 0 };
	uint64_t le = htole64(addr);

	memcpy(&req[4], &le, 8);
	req[8] = htole16(n);
	assert_int_equal(driver_request(t, 0, req, 24, resp, 10), 10);
	return le16toh(resp[0]) | le16toh(resp[4]) << 8;
}

static uint64_t plugged(struct driver *t)
{
	struct memhp_status s;

	memhp_status(t->d, &s);
	return s.plugged;
}

static void test_memhp_plugs_and_unplugs_blocks(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct driver t;

		driver_init(&t, 16 << 20);
		driver_start(&t, make(&t), driver_layouts[l].features);
		assert_int_equal(ask(&t, STATE, BASE, 16), ACK | 1 << 8);
		assert_int_equal(ask(&t, PLUG, BASE + 2 * BLOCK, 3), ACK);
		assert_int_equal(slots, 3); /* blocks 2 to 4: two slots */
		assert_int_equal(plugged(&t), 3 * BLOCK);
		assert_int_equal(ask(&t, STATE, BASE + 2 * BLOCK, 3), ACK);
		assert_int_equal(ask(&t, STATE, BASE + BLOCK, 3), ACK | 2 << 8);
		assert_int_equal(ask(&t, STATE, BASE, 2), ACK | 1 << 8);
		assert_int_equal(ask(&t, PLUG, BASE + 4 * BLOCK, 2), ERROR); /* one is plugged already */
		assert_int_equal(ask(&t, UNPLUG, BASE + 4 * BLOCK, 2), ERROR);
		assert_int_equal(ask(&t, UNPLUG, BASE + 4 * BLOCK, 1), ACK);
		assert_int_equal(slots, 1);
		assert_int_equal(ask(&t, PLUG, BASE + 8 * BLOCK, 6), ACK);
		assert_int_equal(ask(&t, PLUG, BASE, 1), NACK); /* all that was asked for */
		assert_int_equal(plugged(&t), REQUESTED);
		assert_int_equal(ask(&t, ALL, 0, 0), ACK);
		assert_int_equal(plugged(&t), 0);
		assert_int_equal(slots, 0);
		driver_fini(&t);
	}
}

static void test_memhp_refuses_ranges_that_are_not_its_own(void **state)
{
	static const struct {
		uint64_t addr;
		uint16_t n;
	} bad[] = {
		{ BASE, 0 },
		{ BASE, 17 },
		{ BASE, UINT16_MAX },
		{ BASE + 1, 1 },
		{ BASE + BLOCK / 2, 1 },
		{ BASE - BLOCK, 1 },
		{ BASE + SIZE, 1 },
		{ BASE + SIZE - BLOCK, 2 },
		{ 0, 1 },
		{ UINT64_MAX - BLOCK + 1, 1 },
		{ UINT64_MAX, UINT16_MAX },
	};
	struct driver t;

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 2);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (uint16_t type = 0; type < 6; type++)
			if (type != ALL)
				assert_int_equal(ask(&t, type, bad[i].addr, bad[i].n), ERROR);
	assert_int_equal(ask(&t, 4, BASE, 1), ERROR); /* no such request */
	assert_int_equal(plugged(&t), 0);
	assert_int_equal(driver_request(&t, 0, "abc", 3, (char[10]){ 0 }, 10), 0);
	assert_int_equal(driver_request(&t, 0, (char[24]){ 0 }, 24, (char[9]){ 0 }, 9), 0);
	driver_fini(&t);
}

static void test_memhp_gives_unplugged_blocks_to_the_host(void **state)
{
	struct driver t;
	struct stat st;
	char got;

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 2);
	assert_int_equal(ask(&t, PLUG, BASE, 4), ACK);
	memset(driver_ptr(&t, BASE, 4 * BLOCK), 1, 4 * BLOCK);
	assert_int_equal(ask(&t, UNPLUG, BASE + BLOCK, 2), ACK);
	assert_int_equal(fstat(t.mem.region[1].fd, &st), 0);
	assert_int_equal(st.st_blocks * 512, 2 * BLOCK);
	assert_int_equal(gmem_read(&t.mem, BASE + BLOCK, &got, 1), 0);
	assert_int_equal(got, 0);
	driver_fini(&t);
}

static void test_memhp_that_gets_no_slot_says_busy_and_undoes(void **state)
{
	struct driver t;

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 2);
	assert_int_equal(ask(&t, PLUG, BASE, 1), ACK);
	slot_rc = -ENOSPC;
	assert_int_equal(ask(&t, PLUG, BASE + BLOCK, 4), BUSY); /* into the second slot */
	assert_int_equal(plugged(&t), BLOCK);
	assert_int_equal(slots, 1);
	slot_rc = 0;
	assert_int_equal(ask(&t, PLUG, BASE + BLOCK, 4), ACK);
	driver_fini(&t);
}

static void test_memhp_asks_through_the_configuration(void **state)
{
	struct err e = { 0 };
	struct driver t;
	struct vdev *d;
	uint64_t v[7];

	(void)state;
	driver_init(&t, 16 << 20);
	d = make(&t);
	assert_int_equal(memhp_request(d, 0, &e), -ENODEV);
	driver_start(&t, d, 2);
	assert_int_equal(memhp_request(d, SIZE, &e), 0);
	assert_int_equal(t.n_config, 1);
	assert_int_equal(memhp_request(d, SIZE + BLOCK, &e), -EINVAL);
	assert_int_equal(memhp_request(d, BLOCK / 2, &e), -EINVAL);
	assert_int_equal(ask(&t, PLUG, BASE, 16), ACK);
	vdev_config_read(d, 0, v, sizeof(v));
	assert_true(le64toh(v[0]) == BLOCK && le64toh(v[2]) == BASE && le64toh(v[3]) == SIZE);
	assert_true(le64toh(v[4]) == SIZE && le64toh(v[5]) == SIZE && le64toh(v[6]) == SIZE);
	driver_fini(&t);
}

static void test_memhp_keeps_blocks_over_reset_and_move(void **state)
{
	struct err e = { 0 };
	struct driver t;

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 2);
	assert_int_equal(ask(&t, PLUG, BASE + 3 * BLOCK, 5), ACK);
	assert_int_equal(driver_restart(&t, VDEV_F_PACKED, 0), 15);
	assert_int_equal(plugged(&t), 5 * BLOCK);
	assert_int_equal(memhp_request(t.d, SIZE, &e), 0);
	assert_int_equal(driver_move(&t, make(&t), &e), 0);
	assert_int_equal(plugged(&t), 5 * BLOCK);
	assert_int_equal(slots, 3);
	assert_int_equal(ask(&t, STATE, BASE + 3 * BLOCK, 5), ACK);
	assert_int_equal(ask(&t, PLUG, BASE + 8 * BLOCK, 8), ACK);
	driver_fini(&t);
}

static void test_memhp_refuses_impossible_sizes(void **state)
{
	static const struct memhp_config bad[] = {
		{ .base = BASE, .size = SIZE, .slot = SLOT, .block = MIB },
		{ .base = BASE, .size = SIZE, .slot = SLOT, .block = 3 * MIB },
		{ .base = BASE, .size = SIZE, .slot = 9 * MIB, .block = BLOCK },
		{ .base = BASE, .size = SIZE, .slot = 3 * BLOCK, .block = BLOCK },
		{ .base = BASE, .size = SIZE, .slot = BLOCK, .block = SLOT },
		{ .base = BASE, .size = 0, .slot = SLOT, .block = BLOCK },
		{ .base = BASE, .size = 2 * SIZE, .slot = SLOT, .block = BLOCK },
		{ .base = BASE, .size = SIZE, .slot = SLOT, .block = 0 },
		{ .base = BASE, .size = SIZE, .slot = SLOT, .block = BLOCK, .requested = SIZE + BLOCK },
		{ .base = BASE, .size = SIZE, .slot = SLOT, .block = BLOCK, .requested = MIB },
		{ .base = BASE * 2, .size = SIZE, .slot = SLOT, .block = BLOCK },
	};
	struct driver t;

	(void)state;
	driver_init(&t, 16 << 20);
	assert_int_equal(gmem_add_ram(&t.mem, BASE, SIZE, GMEM_PAGES_SMALL, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vdev *d = NULL;
		struct err e = { 0 };

		assert_int_equal(memhp_new(&d, &t.mem, NULL, &bad[i], &e), -EINVAL);
		assert_null(d);
	}
	driver_fini(&t);
}

static void test_memhp_refuses_hostile_rings(void **state)
{
	(void)state;
	driver_hostile_all(make, 0, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memhp_plugs_and_unplugs_blocks),
		cmocka_unit_test(test_memhp_refuses_ranges_that_are_not_its_own),
		cmocka_unit_test(test_memhp_gives_unplugged_blocks_to_the_host),
		cmocka_unit_test(test_memhp_that_gets_no_slot_says_busy_and_undoes),
		cmocka_unit_test(test_memhp_asks_through_the_configuration),
		cmocka_unit_test(test_memhp_keeps_blocks_over_reset_and_move),
		cmocka_unit_test(test_memhp_refuses_impossible_sizes),
		cmocka_unit_test(test_memhp_refuses_hostile_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
