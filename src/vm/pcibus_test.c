/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/pcibus.h"

#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/guard.h"
#include "virtio/echo_testing.h"

#define MEM32 0xc1000000ULL
#define MEM64 0x4000000000ULL

struct fixture {
	struct driver t;
	struct pcibus b;
	struct vdev *d[2];
	uint64_t bells[2]; /* where each device's are; 0: nowhere */
	unsigned n_msis;
};

static void msi(void *arg, uint64_t addr, uint32_t data)
{
	(void)addr;
	(void)data;
	((struct fixture *)arg)->n_msis++;
}

static void doorbells(void *arg, struct vdev *d, uint64_t base, bool on)
{
	struct fixture *f = arg;
	uint64_t *at = &f->bells[d == f->d[1]];

	assert_int_equal(*at != 0, !on); /* in pairs */
	*at = on ? base : 0;
}

static void make(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	driver_init(&f->t, 16 << 20);
	pcibus_init(&f->b, &(struct pcibus_host){ msi, doorbells, f },
		    (struct pcibus_window){ MEM32, 1 << 20 }, (struct pcibus_window){ MEM64, 16 << 20 });
	for (int i = 0; i < 2; i++)
		f->d[i] = &echo_new(&f->t, NULL)->d;
}

static void gone(struct fixture *f)
{
	pcibus_fini(&f->b);
	assert_int_equal(f->bells[0] | f->bells[1], 0);
	for (int i = 0; i < 2; i++)
		vdev_free(f->d[i]);
	driver_fini(&f->t);
}

static uint32_t ecam(struct fixture *f, unsigned number, unsigned reg, unsigned len)
{
	uint32_t v = 0;

	pcibus_ecam_read(&f->b, number << 15 | reg, &v, len);
	return v;
}

static void ecam_wr(struct fixture *f, unsigned number, unsigned reg, uint32_t v)
{
	pcibus_ecam_write(&f->b, number << 15 | reg, &v, 4);
}

static uint32_t port(struct fixture *f, uint32_t address, unsigned byte, unsigned len)
{
	uint32_t v = 0;

	pcibus_port_write(&f->b, 0, &address, 4);
	pcibus_port_read(&f->b, 4 + byte, &v, len);
	return v;
}

static void test_pcibus_lists_what_is_plugged(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	assert_int_equal(pcibus_plug(&f.b, f.d[0], -1, NULL), 1);
	assert_int_equal(pcibus_plug(&f.b, f.d[1], 7, NULL), 7);
	assert_int_equal(pcibus_find(&f.b, f.d[1]), 7);
	for (unsigned i = 0; i < 32; i++) {
		uint32_t want = i == 0 ? 0x0d578086 : i == 1 || i == 7 ? 0x10441af4 : UINT32_MAX;

		assert_int_equal(ecam(&f, i, 0, 4), want);
		assert_int_equal(port(&f, 1U << 31 | i << 11, 0, 4), want);
		assert_int_equal(ecam(&f, i, 1 << 12, 4), UINT32_MAX); /* function 1 */
	}
	assert_int_equal(ecam(&f, 0, PCI_CLASS_REVISION, 4), 0x06000000);
	assert_int_equal(ecam(&f, 1, 0x100, 4), 0); /* no extended capabilities */
	assert_int_equal(port(&f, 1U << 31 | 1 << 11, 2, 2), 0x1044);
	assert_int_equal(port(&f, 1 << 11, 0, 4), UINT32_MAX);                      /* not enabled */
	assert_int_equal(port(&f, 1U << 31 | 1 << 16 | 1 << 11, 0, 4), UINT32_MAX); /* another bus */
	gone(&f);
}

static void test_pcibus_routes_bars_to_where_they_are(void **state)
{
	struct fixture f;
	uint32_t v;

	(void)state;
	make(&f);
	pcibus_plug(&f.b, f.d[0], 1, NULL);
	pcibus_plug(&f.b, f.d[1], 2, NULL);
	assert_true(f.bells[0] == MEM64 + VPCI_BAR_BYTES && f.bells[1] == MEM64 + 2 * VPCI_BAR_BYTES);
	((struct echo *)f.d[1])->config[0] = 42;
	pcibus_mem64_read(&f.b, 2 * VPCI_BAR_BYTES + 0x2000, &v, 4);
	assert_int_equal(v, 42);
	pcibus_mem64_read(&f.b, 3 * VPCI_BAR_BYTES + 0x2000, &v, 4);
	assert_int_equal(v, UINT32_MAX);
	ecam_wr(&f, 2, PCI_BASE_ADDRESS_0, MEM32 + 0x8000); /* below 4 GiB, in two steps as a driver does */
	assert_true(f.bells[1] == 0);                       /* 0x40c1008000: in no window */
	ecam_wr(&f, 2, PCI_BASE_ADDRESS_1, 0);
	assert_true(f.bells[1] == MEM32 + 0x8000);
	pcibus_mem32_read(&f.b, 0x8000 + 0x2000, &v, 4);
	assert_int_equal(v, 42);
	pcibus_mem64_read(&f.b, 2 * VPCI_BAR_BYTES + 0x2000, &v, 4);
	assert_int_equal(v, UINT32_MAX);
	ecam_wr(&f, 2, PCI_BASE_ADDRESS_0, 0); /* over RAM: not decoded */
	assert_true(f.bells[1] == 0);
	ecam_wr(&f, 2, PCI_BASE_ADDRESS_0, UINT32_MAX);
	ecam_wr(&f, 2, PCI_BASE_ADDRESS_1, UINT32_MAX);
	assert_true(f.bells[1] == 0);
	gone(&f);
}

static void test_pcibus_lets_devices_go_and_come(void **state)
{
	struct fixture f;
	struct err e = { 0 };
	uint32_t v;

	(void)state;
	make(&f);
	assert_int_equal(pcibus_plug(&f.b, f.d[0], 3, NULL), 3);
	assert_int_equal(pcibus_plug(&f.b, f.d[1], 3, &e), -EBUSY);
	assert_int_equal(pcibus_plug(&f.b, f.d[1], 32, &e), -EBUSY);
	pcibus_unplug(&f.b, 3);
	assert_true(f.bells[0] == 0);
	assert_int_equal(ecam(&f, 3, 0, 4), UINT32_MAX);
	pcibus_mem64_read(&f.b, 3 * VPCI_BAR_BYTES, &v, 4);
	assert_int_equal(v, UINT32_MAX);
	pcibus_unplug(&f.b, 3);
	assert_int_equal(pcibus_find(&f.b, f.d[0]), -ENOENT);
	assert_int_equal(pcibus_plug(&f.b, f.d[1], 3, NULL), 3);
	for (int i = 1; i < 32; i++)
		f.b.slot[i].used |= i != 3;
	assert_int_equal(pcibus_plug(&f.b, f.d[0], -1, &e), -ENOSPC);
	for (int i = 1; i < 32; i++)
		f.b.slot[i].used = i == 3;
	gone(&f);
}

static void test_pcibus_odd_accesses_meet_nobody(void **state)
{
	struct fixture f;
	uint8_t data[8] = { 0 };

	(void)state;
	make(&f);
	pcibus_plug(&f.b, f.d[0], 1, NULL);
	for (uint64_t off = 0; off < PCIBUS_ECAM_BYTES; off += 509)
		for (unsigned len = 1; len <= 8; len++) {
			pcibus_ecam_read(&f.b, off, data, len);
			if (off >> 15 != 1)
				pcibus_ecam_write(&f.b, off, data, len);
		}
	for (uint64_t off = 0; off < 8; off++)
		for (unsigned len = 1; off + len <= 8; len++) {
			pcibus_port_read(&f.b, off, data, len);
			pcibus_port_write(&f.b, off, data, len);
		}
	assert_int_equal(ecam(&f, 1, 0, 4), 0x10441af4);
	gone(&f);
}

static void test_pcibus_state_wants_the_same_devices(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct record_out o = { .to = &b };
	struct record_in in;
	struct err e = { 0 };
	struct fixture f;

	(void)state;
	make(&f);
	pcibus_plug(&f.b, f.d[0], 5, NULL);
	ecam_wr(&f, 5, PCI_BASE_ADDRESS_0, (uint32_t)MEM64 + 0x80000);
	pcibus_save(&f.b, &o);
	pcibus_unplug(&f.b, 5);
	pcibus_plug(&f.b, f.d[0], 5, NULL);
	record_init(&in, b.data, b.len, &e);
	pcibus_restore(&f.b, &in);
	assert_int_equal(record_finish(&in), 0);
	assert_true(f.bells[0] == MEM64 + 0x80000);
	pcibus_resume(&f.b);
	pcibus_unplug(&f.b, 5);
	pcibus_plug(&f.b, f.d[0], 4, NULL);
	record_init(&in, b.data, b.len, &e);
	pcibus_restore(&f.b, &in);
	assert_int_equal(record_finish(&in), -EBADMSG);
	assert_non_null(strstr(e.text, "device number 4 is free in the state"));
	gone(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pcibus_lists_what_is_plugged),
		cmocka_unit_test(test_pcibus_routes_bars_to_where_they_are),
		cmocka_unit_test(test_pcibus_lets_devices_go_and_come),
		cmocka_unit_test(test_pcibus_odd_accesses_meet_nobody),
		cmocka_unit_test(test_pcibus_state_wants_the_same_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
