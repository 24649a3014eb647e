/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/pcibus.h"

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "fmt/record.h"

enum { PCIBUS_RECORD_VERSION = 1, DEVICE_BYTES = 1 << 15, FUNCTION_BYTES = 1 << 12 };

/* An unremarkable host bridge: drivers look at the class. */
static const uint8_t bridge[64] = {
	[PCI_VENDOR_ID] = 0x86,     [PCI_VENDOR_ID + 1] = 0x80,    [PCI_DEVICE_ID] = 0x57,
	[PCI_DEVICE_ID + 1] = 0x0d, [PCI_CLASS_DEVICE + 1] = 0x06,
};

static bool inside(const struct pcibus_window *w, uint64_t base)
{
	return w->size >= VPCI_BAR_BYTES && base >= w->base && base - w->base <= w->size - VPCI_BAR_BYTES;
}

/* placed() - a guest may write any address to a BAR: only those in a window count. vpci's lock is held: one at a time. */
static void placed(void *arg, uint64_t base, bool decoded)
{
	struct pcibus_slot *s = arg;
	struct pcibus *b = s->bus;

	if (!inside(&b->mem32, base) && !inside(&b->mem64, base))
		return;
	__atomic_store_n(&s->base, decoded ? base : 0, __ATOMIC_RELEASE); /* pairs with the load in route() */
	if (b->host.doorbells)
		b->host.doorbells(b->host.arg, s->fn.d, base, decoded);
}

static void msi(void *arg, uint64_t addr, uint32_t data)
{
	struct pcibus_slot *s = arg;

	s->bus->host.msi(s->bus->host.arg, addr, data);
}

void pcibus_init(struct pcibus *b, const struct pcibus_host *host, struct pcibus_window mem32,
		 struct pcibus_window mem64)
{
	BUG_ON(mem64.size < (uint64_t)PCIBUS_DEVICES * VPCI_BAR_BYTES || mem64.base % VPCI_BAR_BYTES);
	memset(b, 0, sizeof(*b));
	b->host = *host;
	b->mem32 = mem32;
	b->mem64 = mem64;
	pthread_rwlock_init(&b->hot, NULL);
	for (unsigned i = 0; i < PCIBUS_DEVICES; i++)
		b->slot[i].bus = b;
}

void pcibus_fini(struct pcibus *b)
{
	if (!b->mem64.size)
		return;
	for (unsigned i = 1; i < PCIBUS_DEVICES; i++)
		pcibus_unplug(b, i);
	pthread_rwlock_destroy(&b->hot);
	b->mem64.size = 0;
}

static int free_number(const struct pcibus *b, int number, struct err *e)
{
	if (number > 0)
		return number >= PCIBUS_DEVICES || b->slot[number].used ?
			       err_set(e, EBUSY, "pci: device number %d is taken", number) :
			       number;
	for (number = 1; number < PCIBUS_DEVICES; number++)
		if (!b->slot[number].used)
			return number;
	return err_set(e, ENOSPC, "pci: more than %d devices", PCIBUS_DEVICES - 1);
}

int pcibus_plug(struct pcibus *b, struct vdev *d, int number, struct err *e)
{
	struct pcibus_slot *s;

	pthread_rwlock_wrlock(&b->hot);
	number = free_number(b, number, e);
	if (number > 0 && number < PCIBUS_DEVICES) {
		s = &b->slot[number];
		vpci_init(&s->fn, d, &(struct vpci_host){ msi, placed, s });
		s->used = true;
		vpci_place(&s->fn, b->mem64.base + (uint64_t)number * VPCI_BAR_BYTES);
	}
	pthread_rwlock_unlock(&b->hot);
	return number;
}

void pcibus_unplug(struct pcibus *b, unsigned number)
{
	struct pcibus_slot *s = &b->slot[number];

	pthread_rwlock_wrlock(&b->hot);
	if (s->used) {
		if (s->base)
			placed(s, s->base, false);
		s->used = false;
		vpci_fini(&s->fn);
	}
	pthread_rwlock_unlock(&b->hot);
}

int pcibus_find(const struct pcibus *b, const struct vdev *d)
{
	for (int i = 1; i < PCIBUS_DEVICES; i++)
		if (b->slot[i].used && b->slot[i].fn.d == d)
			return i;
	return -ENOENT;
}

void pcibus_resume(struct pcibus *b)
{
	for (unsigned i = 1; i < PCIBUS_DEVICES; i++)
		if (b->slot[i].used)
			vpci_resume(&b->slot[i].fn);
}

/* --- configuration space ------------------------------------------------------------------------------------ */

/* config_read() - @off as in the ECAM window. Who is not there answers with ones. */
static void config_read(struct pcibus *b, uint64_t off, void *dst, unsigned len)
{
	uint64_t number = off / DEVICE_BYTES;
	unsigned reg = (unsigned)(off % FUNCTION_BYTES);

	memset(dst, 0xff, len);
	if (number >= PCIBUS_DEVICES || off % DEVICE_BYTES >= FUNCTION_BYTES || len > 4 || reg % len)
		return;
	if (number == 0) {
		for (unsigned i = 0; i < len; i++)
			((uint8_t *)dst)[i] = reg + i < sizeof(bridge) ? bridge[reg + i] : 0;
		return;
	}
	pthread_rwlock_rdlock(&b->hot);
	if (b->slot[number].used)
		vpci_config_read(&b->slot[number].fn, reg, dst, len);
	pthread_rwlock_unlock(&b->hot);
}

static void config_write(struct pcibus *b, uint64_t off, const void *src, unsigned len)
{
	uint64_t number = off / DEVICE_BYTES;

	if (number == 0 || number >= PCIBUS_DEVICES || off % DEVICE_BYTES >= FUNCTION_BYTES)
		return;
	pthread_rwlock_rdlock(&b->hot);
	if (b->slot[number].used)
		vpci_config_write(&b->slot[number].fn, (unsigned)(off % FUNCTION_BYTES), src, len);
	pthread_rwlock_unlock(&b->hot);
}

void pcibus_ecam_read(void *bus, uint64_t off, void *dst, unsigned len)
{
	config_read(bus, off, dst, len);
}

void pcibus_ecam_write(void *bus, uint64_t off, const void *src, unsigned len)
{
	config_write(bus, off, src, len);
}

/*
 * selected() - what 0xcf8 holds, as an offset into the ECAM window: enable 31, bus 23-16, device 15-11, function 10-8, register
 * 7-2. Return: false: none.
 */
static bool selected(struct pcibus *b, unsigned byte, uint64_t *ret_off)
{
	uint32_t a = __atomic_load_n(&b->address, __ATOMIC_RELAXED);

	if (!(a >> 31) || (a >> 16 & 0xff))
		return false;
	*ret_off = (uint64_t)(a >> 11 & 31) * DEVICE_BYTES + (uint64_t)(a >> 8 & 7) * FUNCTION_BYTES +
		   (a & 0xfc) + byte;
	return true;
}

void pcibus_port_read(void *bus, uint64_t off, void *dst, unsigned len)
{
	struct pcibus *b = bus;
	uint32_t a = htole32(__atomic_load_n(&b->address, __ATOMIC_RELAXED));
	uint64_t to;

	memset(dst, 0xff, len);
	if (off == 0 && len == sizeof(a))
		memcpy(dst, &a, sizeof(a));
	else if (off >= 4 && off + len <= PCIBUS_PORTS && selected(b, (unsigned)off - 4, &to))
		config_read(b, to, dst, len);
}

void pcibus_port_write(void *bus, uint64_t off, const void *src, unsigned len)
{
	struct pcibus *b = bus;
	uint32_t a;
	uint64_t to;

	if (off == 0 && len == sizeof(a)) {
		memcpy(&a, src, sizeof(a));
		__atomic_store_n(&b->address, le32toh(a) & 0x80fffffc, __ATOMIC_RELAXED);
	} else if (off >= 4 && off + len <= PCIBUS_PORTS && selected(b, (unsigned)off - 4, &to)) {
		config_write(b, to, src, len);
	}
}

/* --- BARs --------------------------------------------------------------------------------------------------- */

/* route() - the function whose BAR holds @addr; the lowest number wins where a guest has put one over another. */
static struct vpci *route(struct pcibus *b, uint64_t addr, uint64_t *ret_off)
{
	for (unsigned i = 1; i < PCIBUS_DEVICES; i++) {
		uint64_t base = __atomic_load_n(&b->slot[i].base, __ATOMIC_ACQUIRE); /* pairs with placed() */

		if (b->slot[i].used && base && addr - base < VPCI_BAR_BYTES) {
			*ret_off = addr - base;
			return &b->slot[i].fn;
		}
	}
	return NULL;
}

static void window_read(struct pcibus *b, uint64_t addr, void *dst, unsigned len)
{
	struct vpci *p;
	uint64_t off;

	memset(dst, 0xff, len);
	pthread_rwlock_rdlock(&b->hot);
	p = route(b, addr, &off);
	if (p)
		vpci_bar_read(p, off, dst, len);
	pthread_rwlock_unlock(&b->hot);
}

static void window_write(struct pcibus *b, uint64_t addr, const void *src, unsigned len)
{
	struct vpci *p;
	uint64_t off;

	pthread_rwlock_rdlock(&b->hot);
	p = route(b, addr, &off);
	if (p)
		vpci_bar_write(p, off, src, len);
	pthread_rwlock_unlock(&b->hot);
}

void pcibus_mem32_read(void *bus, uint64_t off, void *dst, unsigned len)
{
	window_read(bus, ((struct pcibus *)bus)->mem32.base + off, dst, len);
}

void pcibus_mem32_write(void *bus, uint64_t off, const void *src, unsigned len)
{
	window_write(bus, ((struct pcibus *)bus)->mem32.base + off, src, len);
}

void pcibus_mem64_read(void *bus, uint64_t off, void *dst, unsigned len)
{
	window_read(bus, ((struct pcibus *)bus)->mem64.base + off, dst, len);
}

void pcibus_mem64_write(void *bus, uint64_t off, const void *src, unsigned len)
{
	window_write(bus, ((struct pcibus *)bus)->mem64.base + off, src, len);
}

/* --- state -------------------------------------------------------------------------------------------------- */

void pcibus_save(struct pcibus *b, struct record_out *o)
{
	record_begin(o, "PCIBUS", PCIBUS_RECORD_VERSION);
	record_put_u32(o, __atomic_load_n(&b->address, __ATOMIC_RELAXED));
	for (unsigned i = 1; i < PCIBUS_DEVICES; i++) {
		record_put_u8(o, b->slot[i].used);
		if (b->slot[i].used)
			vpci_save(&b->slot[i].fn, o);
	}
	record_end(o);
}

void pcibus_restore(struct pcibus *b, struct record_in *in)
{
	record_open(in, "PCIBUS", PCIBUS_RECORD_VERSION);
	b->address = record_get_u32(in) & 0x80fffffc;
	for (unsigned i = 1; i < PCIBUS_DEVICES && in->rc == 0; i++) {
		uint8_t used = record_get_u8(in);

		if (in->rc == 0 && used != b->slot[i].used)
			record_fail(in, "pci: device number %u is %s in the state", i,
				    used ? "taken" : "free");
		else if (in->rc == 0 && used)
			vpci_restore(&b->slot[i].fn, in);
	}
	record_close(in);
}
