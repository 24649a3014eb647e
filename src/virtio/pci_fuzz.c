/* SPDX-License-Identifier: Apache-2.0 */
/* pci_fuzz.c - both transports under random register accesses of any size, and restored from spoilt state */
#include "virtio/echo_testing.h"
#include "virtio/mmio.h"
#include "virtio/pci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct access {
	uint8_t what, len;
	uint16_t off;
	uint8_t data[8];
};

static void msi(void *arg, uint64_t addr, uint32_t data)
{
	*(uint64_t *)arg += addr + data;
}

static void irq(void *arg)
{
	++*(uint64_t *)arg;
}

static void step(struct vpci *p, struct vmmio *m, struct access a)
{
	unsigned len = 1 + a.len % 8;

	switch (a.what % 8) {
	case 0: vpci_config_read(p, a.off, a.data, len); break;
	case 1: vpci_config_write(p, a.off, a.data, len); break;
	case 2: vpci_bar_read(p, a.off, a.data, len); break;
	case 3: vpci_bar_write(p, a.off, a.data, len); break;
	case 4: vmmio_read(m, a.off, a.data, len); break;
	case 5: vmmio_write(m, a.off, a.data, len); break;
	case 6: vdev_serve(p->d, a.off & 1); break;
	default: vdev_config_changed(p->d); break;
	}
}

static void restore(struct driver *t, const uint8_t *data, size_t size)
{
	struct echo *x = echo_new(t, NULL);
	struct record_in in;
	uint64_t sum = 0;
	struct vpci p;

	vpci_init(&p, &x->d, &(struct vpci_host){ msi, NULL, &sum });
	record_init(&in, data, size, NULL);
	vpci_restore(&p, &in);
	vpci_resume(&p);
	vdev_serve(&x->d, 0);
	vpci_fini(&p);
	vdev_free(&x->d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b = { 0 };
	struct record_out o = { .to = &b };
	uint64_t sum = 0;
	struct driver t;
	struct echo *x[2];
	struct vmmio m;
	struct vpci p;
	struct access a;

	driver_init(&t, 1 << 20);
	for (int i = 0; i < 2; i++)
		x[i] = echo_new(&t, NULL);
	vpci_init(&p, &x[0]->d, &(struct vpci_host){ msi, NULL, &sum });
	vmmio_init(&m, &x[1]->d, irq, &sum);
	for (; size >= sizeof(a); data += sizeof(a), size -= sizeof(a)) {
		memcpy(&a, data, sizeof(a));
		step(&p, &m, a);
	}
	vpci_save(&p, &o);
	BUG_ON(buf_finish(&b) < 0);
	for (size_t i = 0; i + 1 < size; i += 2) /* what is left spoils it */
		b.data[data[i] * 4UL % b.len] ^= (char)data[i + 1];
	restore(&t, (const uint8_t *)b.data, b.len);
	restore(&t, data, size);
	buf_fini(&b);
	vpci_fini(&p);
	vmmio_fini(&m);
	for (int i = 0; i < 2; i++)
		vdev_free(&x[i]->d);
	driver_fini(&t);
	return 0;
}
