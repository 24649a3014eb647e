/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci_msix.c - vectors, their table and what pends
 *
 * Everything is under msix_lock, the innermost: an interrupt comes with the device's lock held.
 */
#include <endian.h>
#include <string.h>

#include "fmt/record.h"
#include "virtio/pci_internal.h"

enum { ENTRY_BYTES = 16, CONTROL_AT = 12, CONTROL_MASKED = 1 };

static void lock(struct vpci *p)
{
	pthread_mutex_lock(&p->msix_lock);
}

static void unlock(struct vpci *p)
{
	pthread_mutex_unlock(&p->msix_lock);
}

static void send_or_pend(struct vpci *p, uint16_t v)
{
	if (v >= p->n_vectors)
		return;
	if (p->msix_masked || p->vector[v].masked) {
		p->pending |= 1ULL << v;
		return;
	}
	p->pending &= ~(1ULL << v);
	p->host.msi(p->host.arg, p->vector[v].addr, p->vector[v].data);
}

/* send_pending() - after something was unmasked. */
static void send_pending(struct vpci *p)
{
	for (uint16_t v = 0; p->msix_on && v < p->n_vectors; v++)
		if (p->pending >> v & 1)
			send_or_pend(p, v);
}

void vpci__interrupt(void *arg, int queue)
{
	struct vpci *p = arg;

	lock(p);
	if (p->msix_on)
		send_or_pend(p, queue < 0 ? p->config_vector : p->queue_vector[queue]);
	else
		/* for a driver that polls the ISR; pairs with the exchange at its read. Spec: virtio 1.2 §4.1.4.5 */
		__atomic_fetch_or(&p->isr, queue < 0 ? 2 : 1, __ATOMIC_SEQ_CST);
	unlock(p);
}

void vpci__msix_reset(struct vpci *p)
{
	lock(p);
	p->config_vector = VPCI_NO_VECTOR;
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		p->queue_vector[i] = VPCI_NO_VECTOR;
	unlock(p);
}

void vpci__msix_control(struct vpci *p, bool on, bool masked)
{
	lock(p);
	p->msix_on = on;
	p->msix_masked = masked;
	send_pending(p);
	unlock(p);
}

static uint16_t *vector_of(struct vpci *p, int queue)
{
	return queue < 0 ? &p->config_vector : &p->queue_vector[queue];
}

uint16_t vpci__msix_vector(struct vpci *p, int queue)
{
	uint16_t v;

	lock(p);
	v = *vector_of(p, queue);
	unlock(p);
	return v;
}

/* Spec: virtio 1.2 §4.1.5.1.2: one that is not there reads back as NO_VECTOR */
void vpci__msix_set_vector(struct vpci *p, int queue, uint16_t v)
{
	lock(p);
	*vector_of(p, queue) = v < p->n_vectors ? v : VPCI_NO_VECTOR;
	unlock(p);
}

static void entry_get(const struct vpci_vector *v, uint8_t *dst)
{
	uint64_t addr = htole64(v->addr);
	uint32_t data = htole32(v->data), control = htole32(v->masked ? CONTROL_MASKED : 0);

	memcpy(dst, &addr, sizeof(addr));
	memcpy(dst + 8, &data, sizeof(data));
	memcpy(dst + CONTROL_AT, &control, sizeof(control));
}

static void entry_put(struct vpci_vector *v, const uint8_t *src)
{
	uint64_t addr;
	uint32_t data, control;

	memcpy(&addr, src, sizeof(addr));
	memcpy(&data, src + 8, sizeof(data));
	memcpy(&control, src + CONTROL_AT, sizeof(control));
	v->addr = le64toh(addr);
	v->data = le32toh(data);
	v->masked = le32toh(control) & CONTROL_MASKED;
}

/* in_table() - accesses are of 4 or 8 bytes, aligned. Spec: PCI 3.0 §6.8.2 */
static bool in_table(const struct vpci *p, unsigned off, unsigned len)
{
	return (len == 4 || len == 8) && off % len == 0 && off + len <= p->n_vectors * ENTRY_BYTES;
}

void vpci__table_read(struct vpci *p, unsigned off, void *data, unsigned len)
{
	uint8_t entry[ENTRY_BYTES];

	if (!in_table(p, off, len))
		return;
	lock(p);
	entry_get(&p->vector[off / ENTRY_BYTES], entry);
	unlock(p);
	memcpy(data, entry + off % ENTRY_BYTES, len);
}

void vpci__table_write(struct vpci *p, unsigned off, const void *data, unsigned len)
{
	uint8_t entry[ENTRY_BYTES];

	if (!in_table(p, off, len))
		return;
	lock(p);
	entry_get(&p->vector[off / ENTRY_BYTES], entry);
	memcpy(entry + off % ENTRY_BYTES, data, len);
	entry_put(&p->vector[off / ENTRY_BYTES], entry);
	send_pending(p);
	unlock(p);
}

void vpci__pba_read(struct vpci *p, unsigned off, void *data, unsigned len)
{
	uint64_t bits;

	if ((len != 4 && len != 8) || off % len || off + len > sizeof(bits))
		return;
	lock(p);
	bits = htole64(p->pending);
	unlock(p);
	memcpy(data, (uint8_t *)&bits + off, len);
}

void vpci__msix_save(struct vpci *p, struct record_out *o)
{
	lock(p);
	record_put_u16(o, (uint16_t)p->n_vectors);
	record_put_u16(o, p->config_vector);
	for (unsigned i = 0; i < p->d->n_queues; i++)
		record_put_u16(o, p->queue_vector[i]);
	for (unsigned v = 0; v < p->n_vectors; v++) {
		uint8_t entry[ENTRY_BYTES];

		entry_get(&p->vector[v], entry);
		record_put(o, entry, sizeof(entry));
	}
	record_put_u64(o, p->pending);
	unlock(p);
}

void vpci__msix_restore(struct vpci *p, struct record_in *in)
{
	unsigned n = record_get_u16(in);

	if (in->rc == 0 && n != p->n_vectors)
		record_fail(in, "%u interrupt vectors, there are %u", n, p->n_vectors);
	vpci__msix_set_vector(p, -1, record_get_u16(in));
	for (unsigned i = 0; i < p->d->n_queues; i++)
		vpci__msix_set_vector(p, (int)i, record_get_u16(in));
	lock(p);
	for (unsigned v = 0; v < p->n_vectors; v++) {
		uint8_t entry[ENTRY_BYTES];

		record_get(in, entry, sizeof(entry));
		entry_put(&p->vector[v], entry);
	}
	p->pending = record_get_u64(in) & ((1ULL << p->n_vectors) - 1);
	unlock(p);
}
