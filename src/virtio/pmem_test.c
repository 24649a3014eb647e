/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/pmem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "sys/call.h"
#include "sys/file.h"
#include "virtio/driver_testing.h"
#include "virtio/limiter.h"

#define BASE 0x100000000ULL

static bool readonly;

static struct vdev *make(struct driver *t)
{
	struct vdev *d = NULL;

	if (!gmem_find(&t->mem, BASE, 1)) {
		int fd = file_memfd("pmem", 0);

		BUG_ON(fd < 0 || file_write(fd, "hello", 5) < 0);
		BUG_ON(gmem_add_file(&t->mem, BASE, PMEM_ALIGN, fd, 0, true, readonly, false, NULL) < 0);
	}
	BUG_ON(pmem_new(&d, &t->mem, NULL, "pmem 'p'", BASE, NULL, NULL) < 0);
	return d;
}

static unsigned n_syncs;
static long sync_rc;

static long counting(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr != SYS_fsync && nr != SYS_fdatasync)
		return sys_call_real(nr, a, b, c, d, e, f);
	n_syncs++;
	return sync_rc;
}

/* flush() - Return: the device's answer. */
static uint32_t flush(struct driver *t, uint32_t type)
{
	uint32_t le = htole32(type), ret = 77;

	assert_int_equal(driver_request(t, 0, &le, 4, &ret, 4), 4);
	return le32toh(ret);
}

static void test_pmem_flushes_its_file(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct driver t;

		driver_init(&t, 16 << 20);
		driver_start(&t, make(&t), driver_layouts[l].features);
		n_syncs = 0;
		sync_rc = 0;
		sys_call = counting;
		assert_int_equal(flush(&t, 0), 0);
		assert_int_equal(n_syncs, 1);
		sync_rc = -EIO;
		assert_int_equal(flush(&t, 0), 1);
		assert_int_equal(flush(&t, 1), 1); /* no such request */
		assert_int_equal(n_syncs, 2);
		sys_call = sys_call_real;
		driver_fini(&t);
	}
}

static void test_pmem_tells_where_it_is(void **state)
{
	struct driver t;
	uint64_t config[2];

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 0);
	vdev_config_read(t.d, 0, config, sizeof(config));
	assert_true(le64toh(config[0]) == BASE && le64toh(config[1]) == PMEM_ALIGN);
	vdev_config_read(t.d, 12, config, sizeof(config)); /* over the end: zeroes */
	assert_true(config[0] == 0);
	driver_fini(&t);
}

static void test_pmem_answers_requests_of_odd_shape(void **state)
{
	struct driver t;
	uint32_t ret = 0;

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 0);
	assert_int_equal(driver_request(&t, 0, "abc", 3, &ret, 4), 4); /* too short to say anything */
	assert_int_equal(le32toh(ret), 1);
	assert_int_equal(driver_request(&t, 0, "\0\0\0\0", 4, &ret, 3), 0);
	assert_int_equal(driver_request(&t, 0, "\0\0\0\0", 4, NULL, 0), 0);
	driver_fini(&t);
}

static void test_pmem_that_is_readonly_has_nothing_to_flush(void **state)
{
	struct driver t;

	(void)state;
	readonly = true;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 0);
	readonly = false;
	n_syncs = 0;
	sys_call = counting;
	assert_int_equal(flush(&t, 0), 0);
	sys_call = sys_call_real;
	assert_int_equal(n_syncs, 0);
	driver_fini(&t);
}

static void test_pmem_limit_holds_flushes_back(void **state)
{
	static const struct bucket_config one = { .size = 1, .refill_ms = 3600 * 1000 }, off;
	struct driver t;
	struct driver_buf b[2] = { { 0x2000, 4, false }, { 0x3000, 4, true } };

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 0);
	pmem_limit(t.d, NULL, &one);
	assert_int_equal(flush(&t, 0), 0);
	driver_add(&t, 0, b, 2);
	driver_kick(&t, 0);
	assert_false(driver_has_used(&t, 0));
	pmem_limit(t.d, NULL, &off);
	driver_kick(&t, 0);
	assert_true(driver_has_used(&t, 0));
	driver_fini(&t);
}

static void test_pmem_moves_to_the_same_place_only(void **state)
{
	struct err e = { 0 };
	struct vdev *d = NULL;
	struct driver t;
	int fd = file_memfd("pmem", 0);

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 0);
	assert_int_equal(driver_move(&t, make(&t), &e), 0);
	assert_int_equal(flush(&t, 0), 0);
	assert_int_equal(gmem_add_file(&t.mem, 2 * BASE, PMEM_ALIGN, fd, 0, true, false, false, &e), 0);
	assert_int_equal(pmem_new(&d, &t.mem, NULL, "pmem 'q'", 2 * BASE, NULL, &e), 0);
	assert_int_equal(driver_move(&t, d, &e), -EBADMSG);
	driver_fini(&t);
}

static void test_pmem_wants_a_region_of_its_own(void **state)
{
	struct err e = { 0 };
	struct vdev *d = NULL;
	struct driver t;

	(void)state;
	driver_init(&t, 16 << 20);
	assert_int_equal(pmem_new(&d, &t.mem, NULL, "pmem", 0, NULL, &e), -EINVAL); /* RAM */
	assert_int_equal(pmem_new(&d, &t.mem, NULL, "pmem", BASE, NULL, &e), -EINVAL);
	driver_fini(&t);
}

static void test_pmem_refuses_hostile_rings(void **state)
{
	(void)state;
	driver_hostile_all(make, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pmem_flushes_its_file),
		cmocka_unit_test(test_pmem_tells_where_it_is),
		cmocka_unit_test(test_pmem_answers_requests_of_odd_shape),
		cmocka_unit_test(test_pmem_that_is_readonly_has_nothing_to_flush),
		cmocka_unit_test(test_pmem_limit_holds_flushes_back),
		cmocka_unit_test(test_pmem_moves_to_the_same_place_only),
		cmocka_unit_test(test_pmem_wants_a_region_of_its_own),
		cmocka_unit_test(test_pmem_refuses_hostile_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
