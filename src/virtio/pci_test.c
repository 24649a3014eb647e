/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/pci.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/guard.h"
#include "virtio/echo_testing.h"

#define BASE 0x4000008000ULL

struct fixture {
	struct driver t;
	struct echo *x;
	struct vpci p;
	unsigned n_msis, n_placed;
	uint64_t addr, base;
	uint32_t data;
	bool decoded;
};

static void msi(void *arg, uint64_t addr, uint32_t data)
{
	struct fixture *f = arg;

	f->n_msis++;
	f->addr = addr;
	f->data = data;
}

static void placed(void *arg, uint64_t base, bool decoded)
{
	struct fixture *f = arg;

	f->n_placed++;
	f->base = base;
	f->decoded = decoded;
}

static void make(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	driver_init(&f->t, 16 << 20);
	f->x = echo_new(&f->t, NULL);
	f->t.d = &f->x->d;
	vpci_init(&f->p, f->t.d, &(struct vpci_host){ msi, placed, f });
}

static void gone(struct fixture *f)
{
	vpci_fini(&f->p);
	driver_fini(&f->t);
}

static uint32_t crd(struct fixture *f, unsigned off, unsigned len)
{
	uint32_t v = 0;

	vpci_config_read(&f->p, off, &v, len);
	return v;
}

static void cwr(struct fixture *f, unsigned off, uint32_t v, unsigned len)
{
	vpci_config_write(&f->p, off, &v, len);
}

static uint32_t rd(struct fixture *f, uint64_t off, unsigned len)
{
	uint64_t v = 0;

	vpci_bar_read(&f->p, off, &v, len);
	return (uint32_t)v;
}

static void wr(struct fixture *f, uint64_t off, uint32_t v, unsigned len)
{
	vpci_bar_write(&f->p, off, &v, len);
}

/* cap() - where the capability of this kind is, by the list, as a driver finds it. */
static unsigned cap(struct fixture *f, uint8_t id, uint8_t type)
{
	unsigned at = crd(f, PCI_CAPABILITY_LIST, 1);

	for (int n = 0; at && n < 48; n++) {
		if (crd(f, at, 1) == id && (id != PCI_CAP_ID_VNDR || crd(f, at + 3, 1) == type))
			return at;
		at = crd(f, at + 1, 1);
	}
	return 0;
}

static uint32_t where(struct fixture *f, uint8_t type)
{
	unsigned at = cap(f, PCI_CAP_ID_VNDR, type);

	assert_true(at != 0);
	assert_int_equal(crd(f, at + 4, 1), 0); /* BAR */
	return crd(f, at + 8, 4);
}

/* up() - as a driver brings it up. Spec: virtio 1.2 §4.1.5 */
static void up(struct fixture *f, unsigned layout)
{
	uint64_t features = driver_layouts[layout].features | VDEV_F_VERSION_1;
	uint32_t common, table;

	make(f);
	vpci_place(&f->p, BASE);
	common = where(f, VIRTIO_PCI_CAP_COMMON_CFG);
	table = crd(f, cap(f, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_TABLE, 4);
	wr(f, common + 20, 0, 1);
	wr(f, common + 20, 1, 1);
	wr(f, common + 20, 3, 1);
	for (uint32_t i = 0; i < 2; i++) {
		wr(f, common + 8, i, 4);
		wr(f, common + 12, (uint32_t)(features >> (32 * i)), 4);
	}
	wr(f, common + 20, 11, 1);
	assert_int_equal(rd(f, common + 20, 1), 11);
	driver_features(&f->t, features);
	for (uint32_t v = 0; v < 3; v++) {
		wr(f, table + 16 * v, 0xfee00000 + v, 4);
		wr(f, table + 16 * v + 8, 0x40 + v, 4);
		wr(f, table + 16 * v + 12, 0, 4);
	}
	cwr(f, cap(f, PCI_CAP_ID_MSIX, 0) + 2, PCI_MSIX_FLAGS_ENABLE, 2);
	wr(f, common + 16, 0, 2);
	for (uint32_t i = 0; i < rd(f, common + 18, 2); i++) {
		struct driver_queue *q = &f->t.q[i];

		wr(f, common + 22, i, 2);
		assert_int_equal(rd(f, common + 24, 2), 256);
		driver_queue_layout(&f->t, i, 64);
		wr(f, common + 24, 64, 2);
		wr(f, common + 26, i + 1U, 2);
		assert_int_equal(rd(f, common + 26, 2), i + 1);
		wr(f, common + 32, (uint32_t)q->desc_gpa, 4);
		wr(f, common + 40, (uint32_t)q->avail_gpa, 4);
		wr(f, common + 48, (uint32_t)q->used_gpa, 4);
		wr(f, common + 28, 1, 2);
		assert_int_equal(rd(f, common + 28, 2), 1);
		assert_int_equal(rd(f, common + 30, 2), i);
	}
	wr(f, common + 20, 15, 1);
	assert_int_equal(rd(f, common + 20, 1), 15);
}

static void test_pci_brings_a_device_up_by_its_registers(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		char in[4];

		up(&f, l);
		for (unsigned n = 0; n < 100; n++) {
			assert_int_equal(driver_request(&f.t, n & 1, "abcd", 4, in, 4), 4);
			driver_quiet(&f.t, n & 1, false);
		}
		assert_int_equal(f.n_msis, 100);
		assert_int_equal(f.data, 0x42); /* queue 1 */
		assert_int_equal(f.addr, 0xfee00002);
		vdev_config_changed(f.t.d);
		assert_int_equal(f.data, 0x40);
		assert_int_equal(rd(&f, 0x15, 1), 1); /* generation */
		assert_int_equal(f.x->d.n_ignored, 0);
		gone(&f);
	}
}

static void test_pci_identity_is_a_modern_devices(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	assert_int_equal(crd(&f, 0, 4), 0x10441af4);
	assert_int_equal(crd(&f, PCI_REVISION_ID, 1), 1);
	assert_int_equal(crd(&f, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(crd(&f, PCI_INTERRUPT_PIN, 1), 0);
	for (uint8_t type = 1; type <= 5; type++)
		assert_true(cap(&f, PCI_CAP_ID_VNDR, type) != 0);
	assert_int_equal(crd(&f, cap(&f, PCI_CAP_ID_MSIX, 0) + 2, 2), 2); /* three vectors */
	gone(&f);
}

static void test_pci_bar_is_sized_and_moved(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	cwr(&f, PCI_BASE_ADDRESS_0, UINT32_MAX, 4);
	cwr(&f, PCI_BASE_ADDRESS_1, UINT32_MAX, 4);
	assert_int_equal(crd(&f, PCI_BASE_ADDRESS_0, 4), (uint32_t) ~(VPCI_BAR_BYTES - 1) | 4);
	assert_int_equal(crd(&f, PCI_BASE_ADDRESS_1, 4), UINT32_MAX);
	assert_int_equal(crd(&f, PCI_BASE_ADDRESS_2, 4), 0);
	cwr(&f, PCI_BASE_ADDRESS_0, 0xd0000000, 4);
	cwr(&f, PCI_BASE_ADDRESS_1, 1, 4);
	assert_int_equal(f.n_placed, 0); /* decoding is off */
	cwr(&f, PCI_COMMAND, 0xffff, 2);
	assert_int_equal(crd(&f, PCI_COMMAND, 2), 0x406);
	assert_true(f.decoded && f.base == 0x1d0000000);
	cwr(&f, PCI_COMMAND, 0x406, 2); /* nothing new */
	assert_int_equal(f.n_placed, 1);
	cwr(&f, PCI_BASE_ADDRESS_1, 2, 4); /* moved while decoded: off there, on here */
	assert_int_equal(f.n_placed, 3);
	assert_true(f.decoded && f.base == 0x2d0000000);
	cwr(&f, PCI_COMMAND, 0, 2);
	assert_false(f.decoded);
	gone(&f);
}

static void test_pci_masked_vectors_pend(void **state)
{
	struct fixture f;
	char in[4];
	unsigned msix;

	(void)state;
	up(&f, 0);
	msix = cap(&f, PCI_CAP_ID_MSIX, 0) + 2;
	wr(&f, 0x4000 + 16 + 12, 1, 4); /* vector 1, of queue 0 */
	driver_request(&f.t, 0, "abcd", 4, in, 4);
	driver_request(&f.t, 0, "abcd", 4, in, 4);
	assert_int_equal(f.n_msis, 0);
	assert_int_equal(rd(&f, 0x5000, 4), 2);
	wr(&f, 0x4000 + 16 + 12, 0, 4);
	assert_int_equal(f.n_msis, 1); /* once */
	assert_int_equal(rd(&f, 0x5000, 8), 0);
	cwr(&f, msix, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	driver_request(&f.t, 1, "abcd", 4, in, 4);
	assert_int_equal(f.n_msis, 1);
	cwr(&f, msix, PCI_MSIX_FLAGS_ENABLE, 2);
	assert_int_equal(f.n_msis, 2);
	cwr(&f, msix, 0, 2); /* off: the ISR is what a driver can poll */
	driver_request(&f.t, 1, "abcd", 4, in, 4);
	vdev_config_changed(f.t.d);
	assert_int_equal(f.n_msis, 2);
	assert_int_equal(rd(&f, 0x1000, 1), 3);
	assert_int_equal(rd(&f, 0x1000, 1), 0); /* reading clears */
	gone(&f);
}

static void test_pci_vectors_that_are_not_there_read_back_as_none(void **state)
{
	struct fixture f;
	char in[4];

	(void)state;
	up(&f, 0);
	wr(&f, 16, 3, 2);
	assert_int_equal(rd(&f, 16, 2), VPCI_NO_VECTOR);
	wr(&f, 22, 0, 2);
	wr(&f, 26, 1000, 2);
	assert_int_equal(rd(&f, 26, 2), VPCI_NO_VECTOR);
	driver_request(&f.t, 0, "abcd", 4, in, 4); /* no vector: no message */
	vdev_config_changed(f.t.d);
	assert_int_equal(f.n_msis, 0);
	wr(&f, 22, 2, 2); /* no such queue */
	assert_int_equal(rd(&f, 24, 2), 0);
	assert_int_equal(rd(&f, 26, 2), VPCI_NO_VECTOR);
	wr(&f, 26, 0, 2);
	wr(&f, 20, 0, 1);
	wr(&f, 22, 1, 2);
	assert_int_equal(rd(&f, 26, 2), VPCI_NO_VECTOR); /* a reset forgets them */
	gone(&f);
}

static void test_pci_notify_kicks_the_queue_of_its_address(void **state)
{
	struct fixture f;
	uint64_t n = 0;

	(void)state;
	up(&f, 0);
	assert_int_equal(where(&f, VIRTIO_PCI_CAP_NOTIFY_CFG), VPCI_NOTIFY);
	wr(&f, VPCI_NOTIFY + 4, 0, 2);
	wr(&f, VPCI_NOTIFY + 4, 77, 4);
	wr(&f, VPCI_NOTIFY + 5, 0, 2);
	wr(&f, VPCI_NOTIFY + 0xffc, 0, 2);
	assert_int_equal(read(f.x->d.kick_fd[1], &n, 8), 8);
	assert_int_equal(n, 2);
	assert_int_equal(read(f.x->d.kick_fd[0], &n, 8), -1);
	gone(&f);
}

static void test_pci_window_reaches_the_bar(void **state)
{
	struct fixture f;
	unsigned at;

	(void)state;
	up(&f, 0);
	at = cap(&f, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG);
	f.x->config[3] = 99;
	cwr(&f, at + 4, 0, 1);
	cwr(&f, at + 8, 0x2003, 4);
	cwr(&f, at + 12, 1, 4);
	assert_int_equal(crd(&f, at + 16, 1), 99);
	cwr(&f, at + 16, 98, 1);
	assert_int_equal(f.x->config[3], 98);
	assert_int_equal(crd(&f, at + 16, 4), 0); /* not the length it was set to */
	cwr(&f, at + 8, UINT32_MAX, 4);
	assert_int_equal(crd(&f, at + 16, 1), 0);
	cwr(&f, at + 8, 0x2003, 4);
	cwr(&f, at + 4, 1, 1); /* no such BAR */
	assert_int_equal(crd(&f, at + 16, 1), 0);
	gone(&f);
}

static void test_pci_odd_accesses_do_nothing(void **state)
{
	struct fixture f;
	struct vdev before;
	char in[4];

	(void)state;
	up(&f, 0);
	before = f.x->d;
	for (uint64_t off = 0; off < 64; off++)
		for (unsigned len = 1; len <= 8; len++) {
			uint64_t ones = UINT64_MAX, got;

			if (off >= 56 || len == 3 || len > 4 || off % len)
				vpci_bar_write(&f.p, off, &ones, len);
			vpci_bar_read(&f.p, off, &got, len);
		}
	for (unsigned off = 0; off < 300; off++) { /* read-only, most of it */
		uint8_t all[8] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

		vpci_config_write(&f.p, off, all, 3);
		vpci_config_write(&f.p, off, all, 8);
		if (off % 4)
			vpci_config_write(&f.p, off, all, 4);
	}
	cwr(&f, 0, 0, 4);
	cwr(&f, PCI_CAPABILITY_LIST, 0, 1);
	assert_int_equal(crd(&f, 0, 4), 0x10441af4);
	vpci_bar_write(&f.p, UINT64_MAX, in, 1);
	vpci_bar_read(&f.p, VPCI_BAR_BYTES - 1, in, 4);
	assert_memory_equal(&before, &f.x->d, sizeof(before));
	assert_int_equal(driver_request(&f.t, 0, "abcd", 4, in, 4), 4);
	gone(&f);
}

static void test_pci_state_moves_with_the_device(void **state)
{
	struct fixture f;
	auto_fini(buf) struct buf b = { 0 };
	struct record_out o = { .to = &b };
	struct record_in in;
	struct err e = { 0 };
	char got[4];

	(void)state;
	up(&f, 3);
	driver_request(&f.t, 0, "abcd", 4, got, 4);
	wr(&f, 0x4000 + 16 + 12, 1, 4);
	driver_request(&f.t, 0, "abcd", 4, got, 4); /* pends */
	vdev_pause(f.t.d);
	vpci_save(&f.p, &o);
	vdev_free(f.t.d);
	f.x = echo_new(&f.t, NULL);
	f.t.d = &f.x->d;
	f.n_msis = 0;
	f.decoded = false;
	vpci_init(&f.p, f.t.d, &(struct vpci_host){ msi, placed, &f });
	record_init(&in, b.data, b.len, &e);
	vpci_restore(&f.p, &in);
	assert_int_equal(record_finish(&in), 0);
	assert_true(f.decoded && f.base == BASE);
	vpci_resume(&f.p);
	assert_int_equal(rd(&f, 0x5000, 4), 2);
	wr(&f, 0x4000 + 16 + 12, 0, 4);
	assert_int_equal(f.n_msis, 1);
	assert_int_equal(f.data, 0x41);
	for (unsigned n = 0; n < 100; n++)
		assert_int_equal(driver_request(&f.t, 1, "abcd", 4, got, 4), 4);
	assert_int_equal(f.data, 0x42);
	gone(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pci_brings_a_device_up_by_its_registers),
		cmocka_unit_test(test_pci_identity_is_a_modern_devices),
		cmocka_unit_test(test_pci_bar_is_sized_and_moved),
		cmocka_unit_test(test_pci_masked_vectors_pend),
		cmocka_unit_test(test_pci_vectors_that_are_not_there_read_back_as_none),
		cmocka_unit_test(test_pci_notify_kicks_the_queue_of_its_address),
		cmocka_unit_test(test_pci_window_reaches_the_bar),
		cmocka_unit_test(test_pci_odd_accesses_do_nothing),
		cmocka_unit_test(test_pci_state_moves_with_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
