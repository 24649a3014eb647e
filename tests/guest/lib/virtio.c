/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

#include "cpu.h"
#include "pci.h"

enum { /* registers. Spec: virtio 1.2 §4.2.2 */
       R_MAGIC = 0x00,
       R_VERSION = 0x04,
       R_DEVICE = 0x08,
       R_FEATURES = 0x10,
       R_FEATURES_SEL = 0x14,
       R_DRIVER_FEATURES = 0x20,
       R_DRIVER_FEATURES_SEL = 0x24,
       R_QUEUE_SEL = 0x30,
       R_QUEUE_MAX = 0x34,
       R_QUEUE_SIZE = 0x38,
       R_QUEUE_READY = 0x44,
       R_NOTIFY = 0x50,
       R_IRQ_STATUS = 0x60,
       R_IRQ_ACK = 0x64,
       R_STATUS = 0x70,
       R_DESC = 0x80,
       R_AVAIL = 0x90,
       R_USED = 0xa0,
       R_CONFIG = 0x100,

       S_ACKNOWLEDGE = 1,
       S_DRIVER = 2,
       S_DRIVER_OK = 4,
       S_FEATURES_OK = 8,

       DESC_NEXT = 1,
       DESC_WRITE = 2,
       DESC_INDIRECT = 4,
       PACKED_AVAIL = 1 << 7,
       PACKED_USED = 1 << 15,
       EVENT_DISABLE = 1,
       AVAIL_NO_INTERRUPT = 1,
       USED_EVENT_FAR = 0x8000, /* from the index that is next: not reached before it moves on */
       EVENT_DESC = 2,

       DEVICES = 64,
       LISTENERS = 8,
       CONFIG_VECTOR = 0x40, /* on PCI: so much above the one of the queues */
};

enum { /* registers in a PCI device's common window. Spec: virtio 1.2 §4.1.4.3 */
       P_FEATURES_SEL = 0,
       P_FEATURES = 4,
       P_DRIVER_FEATURES_SEL = 8,
       P_DRIVER_FEATURES = 12,
       P_CONFIG_VECTOR = 16,
       P_STATUS = 20,
       P_QUEUE_SEL = 22,
       P_QUEUE_SIZE = 24,
       P_QUEUE_VECTOR = 26,
       P_QUEUE_ENABLE = 28,
       P_QUEUE_NOTIFY = 30,
       P_DESC = 32,
       P_AVAIL = 40,
       P_USED = 48,
};

static struct virtio *listener[LISTENERS];

static void write16(uint64_t addr, uint16_t v)
{
	*(volatile uint16_t *)addr = v;
}

static uint16_t read16(uint64_t addr)
{
	return *(volatile uint16_t *)addr;
}

static bool find_registers(struct virtio *v, unsigned id, unsigned nth)
{
	uint64_t base = cmdline_u64("base", 0xc0001000), stride = cmdline_u64("stride", 0x1000);
	unsigned gsi = (unsigned)cmdline_u64("gsi", 5);

	for (unsigned i = 0; i < DEVICES; i++, base += stride) {
		if (read32(base + R_MAGIC) != 0x74726976)
			return false;
		if (read32(base + R_VERSION) != 2)
			panic("virtio: not of version 2");
		if (read32(base + R_DEVICE) != id || nth-- > 0)
			continue;
		*v = (struct virtio){ .base = base, .config = base + R_CONFIG, .gsi = gsi + i % 19 };
		return true;
	}
	return false;
}

static bool find_pci(struct virtio *v, unsigned id, unsigned nth)
{
	for (unsigned i = 1; i < PCI_DEVICES; i++) {
		if (pci_read(i, 0) != (0x1af4 | (0x1040 + id) << 16) || nth-- > 0)
			continue;
		*v = (struct virtio){ .pci = i };
		return true;
	}
	return false;
}

/* windows() - where the registers are, from the capabilities; the BAR goes where the command line wants it */
static void windows(struct virtio *v)
{
	uint64_t bar = pci_bar(v->pci, cmdline_has("move") != NULL);
	unsigned at = pci_read(v->pci, 0x34) & 0xff;

	for (; at; at = pci_read(v->pci, at) >> 8 & 0xff) {
		uint32_t head = pci_read(v->pci, at);

		if ((head & 0xff) == 0x11) {
			v->msix_at = at;
			v->msix = bar + (pci_read(v->pci, at + 4) & ~7U);
			v->pba = bar + (pci_read(v->pci, at + 8) & ~7U);
		}
		if ((head & 0xff) != 9)
			continue;
		switch (head >> 24) {
		case 1: v->base = bar + pci_read(v->pci, at + 8); break;
		case 2:
			v->notify = bar + pci_read(v->pci, at + 8);
			v->notify_each = pci_read(v->pci, at + 16);
			break;
		case 4: v->config = bar + pci_read(v->pci, at + 8); break;
		default: break;
		}
	}
	if (!v->base || !v->notify || !v->config || !v->msix)
		panic("virtio: PCI device %u lacks a window", v->pci);
}

bool virtio_find(struct virtio *v, unsigned id, unsigned nth)
{
	if (read32(cmdline_u64("base", 0xc0001000) + R_MAGIC) == 0x74726976)
		return find_registers(v, id, nth);
	if (!pci_there() || !find_pci(v, id, nth))
		return false;
	windows(v);
	return true;
}

uint64_t virtio_offered(const struct virtio *v)
{
	uint64_t sel = v->base + (v->pci ? P_FEATURES_SEL : R_FEATURES_SEL);
	uint64_t at = v->base + (v->pci ? P_FEATURES : R_FEATURES), low;

	write32(sel, 0);
	low = read32(at);
	write32(sel, 1);
	return low | (uint64_t)read32(at) << 32;
}

uint32_t virtio_status(const struct virtio *v)
{
	return v->pci ? *(volatile uint8_t *)(v->base + P_STATUS) : read32(v->base + R_STATUS);
}

static void set_status(const struct virtio *v, uint8_t status)
{
	if (v->pci)
		*(volatile uint8_t *)(v->base + P_STATUS) = status;
	else
		write32(v->base + R_STATUS, status);
}

void virtio_reset(struct virtio *v)
{
	set_status(v, 0);
	spin_until(virtio_status(v) == 0);
}

void virtio_begin(struct virtio *v, uint64_t wanted)
{
	uint64_t generic = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT | VIRTIO_F_PACKED;
	uint64_t sel = v->base + (v->pci ? P_DRIVER_FEATURES_SEL : R_DRIVER_FEATURES_SEL);
	uint64_t at = v->base + (v->pci ? P_DRIVER_FEATURES : R_DRIVER_FEATURES);

	if (!cmdline_has("packed"))
		generic &= ~VIRTIO_F_PACKED;
	if (cmdline_has("noevent"))
		generic &= ~VIRTIO_F_EVENT_IDX;
	if (!cmdline_has("indirect"))
		generic &= ~VIRTIO_F_INDIRECT;
	virtio_reset(v);
	set_status(v, S_ACKNOWLEDGE);
	set_status(v, S_ACKNOWLEDGE | S_DRIVER);
	v->features = virtio_offered(v) & (wanted | generic);
	if (!(v->features & VIRTIO_F_VERSION_1))
		panic("virtio: not of version 1");
	write32(sel, 0);
	write32(at, (uint32_t)v->features);
	write32(sel, 1);
	write32(at, (uint32_t)(v->features >> 32));
	set_status(v, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
	if (!(virtio_status(v) & S_FEATURES_OK))
		panic("virtio: features 0x%lx refused", v->features);
}

static void write64(uint64_t addr, const volatile void *p)
{
	write32(addr, (uint32_t)(uint64_t)p);
	write32(addr + 4, (uint32_t)((uint64_t)p >> 32));
}

static unsigned queue_max(const struct virtio *v, unsigned index)
{
	if (v->pci) {
		write16(v->base + P_QUEUE_SEL, (uint16_t)index);
		return read16(v->base + P_QUEUE_SIZE);
	}
	write32(v->base + R_QUEUE_SEL, index);
	return read32(v->base + R_QUEUE_MAX);
}

/* rings_set() - of the queue that is selected */
static void rings_set(const struct virtio *v, struct virtq *q)
{
	volatile void *driver = q->packed ? (volatile void *)&q->driver_event : (volatile void *)&q->avail;
	volatile void *device = q->packed ? (volatile void *)&q->device_event : (volatile void *)&q->used;

	if (v->pci) {
		write16(v->base + P_QUEUE_SIZE, (uint16_t)q->size);
		write64(v->base + P_DESC, q->desc);
		write64(v->base + P_AVAIL, driver);
		write64(v->base + P_USED, device);
		q->doorbell = v->notify + (uint64_t)read16(v->base + P_QUEUE_NOTIFY) * v->notify_each;
		write16(v->base + P_QUEUE_VECTOR, cmdline_has("shared") ? 1 : (uint16_t)(q->index + 1));
		write16(v->base + P_QUEUE_ENABLE, 1);
		return;
	}
	write32(v->base + R_QUEUE_SIZE, q->size);
	write64(v->base + R_DESC, q->desc);
	write64(v->base + R_AVAIL, driver);
	write64(v->base + R_USED, device);
	write32(v->base + R_QUEUE_READY, 1);
}

/* used_event() - Spec: virtio 1.2 §2.7.6: right behind the ring */
static volatile uint16_t *used_event(struct virtq *q)
{
	return &q->avail.ring[q->size];
}

void virtq_init(struct virtio *v, struct virtq *q, unsigned index)
{
	unsigned max, want = (unsigned)cmdline_u64("queue", VIRTQ_SIZE);

	memset(q, 0, offsetof(struct virtq, table));
	q->v = v;
	q->index = index;
	q->packed = v->features & VIRTIO_F_PACKED;
	q->wrap = q->used_wrap = true;
	max = queue_max(v, index);
	if (max == 0)
		panic("virtio: no queue %u", index);
	if (want > VIRTQ_SIZE_MAX)
		panic("queue=%u", want);
	q->size = max < want ? max : want;
	for (unsigned i = 0; i < q->size; i++)
		q->free[q->n_free++] = (uint16_t)(q->size - 1 - i);
	rings_set(v, q);
}

static void on_irq(struct trap_frame *f)
{
	for (unsigned i = 0; i < LISTENERS && listener[i]; i++) {
		struct virtio *v = listener[i];
		uint32_t why;

		if (v->pci) {
			v->irqs += v->vector == f->vector;
			v->config_irqs += v->vector + (unsigned)CONFIG_VECTOR == f->vector;
			continue;
		}
		if (v->vector != f->vector)
			continue;
		why = read32(v->base + R_IRQ_STATUS);
		write32(v->base + R_IRQ_ACK, why);
		v->irqs += why & 1;
		v->config_irqs += why >> 1 & 1;
	}
}

/* msix_on() - entry 0 for the configuration, the others for queues. Spec: PCI 3.0 §6.8.2; SDM 3A 11.11 */
static void msix_on(struct virtio *v)
{
	unsigned n = (pci_read(v->pci, v->msix_at) >> 16 & 0x7ff) + 1;

	for (unsigned i = 0; i < n; i++) {
		write32(v->msix + 16 * i, 0xfee00000);
		write32(v->msix + 16 * i + 4, 0);
		write32(v->msix + 16 * i + 8, i ? v->vector : v->vector + CONFIG_VECTOR);
		write32(v->msix + 16 * i + 12, 0);
	}
	write16(v->base + P_CONFIG_VECTOR, 0);
	if (read16(v->base + P_CONFIG_VECTOR) != 0)
		panic("virtio: no vector for the configuration");
	pci_write(v->pci, v->msix_at, 1U << 31 | (pci_read(v->pci, v->msix_at) & 0xffff));
}

void virtio_ready(struct virtio *v, uint8_t vector)
{
	unsigned i = 0;

	while (i < LISTENERS && listener[i] && listener[i] != v)
		i++;
	if (i == LISTENERS)
		panic("virtio: too many devices");
	listener[i] = v;
	v->vector = vector;
	trap_on(vector, on_irq);
	if (v->pci) {
		trap_on(vector + CONFIG_VECTOR, on_irq);
		msix_on(v);
	} else {
		ioapic_route(v->gsi, vector, 0, false);
	}
	set_status(v, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
}

void virtio_ack(const struct virtio *v)
{
	write32(v->base + R_IRQ_ACK, 1);
}

uint8_t virtio_config8(const struct virtio *v, unsigned at)
{
	return *(volatile uint8_t *)(v->config + at);
}

uint32_t virtio_config32(const struct virtio *v, unsigned at)
{
	return read32(v->config + at);
}

void virtio_config_write32(const struct virtio *v, unsigned at, uint32_t value)
{
	write32(v->config + at, value);
}

uint64_t virtio_config64(const struct virtio *v, unsigned at)
{
	return virtio_config32(v, at) | (uint64_t)virtio_config32(v, at + 4) << 32;
}

/* --- chains ------------------------------------------------------------------------------------------------------- */

/* fill_table() - an indirect table: ids and nexts as each layout wants them */
static void fill_table(struct virtq *q, struct virtq_desc *t, const struct virtq_buf *buf, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint16_t write = buf[i].device_writes ? DESC_WRITE : 0, more = i + 1 < n ? DESC_NEXT : 0;

		t[i].addr = (uint64_t)buf[i].p;
		t[i].len = buf[i].len;
		t[i].a = q->packed ? 0 : write | more;
		t[i].b = q->packed ? write : (uint16_t)(i + 1);
	}
}

static uint16_t add_split(struct virtq *q, const struct virtq_buf *buf, unsigned n, bool indirect)
{
	uint16_t head = 0, slot = 0;

	for (unsigned i = n; i-- > 0;) { /* from the end: each knows the next */
		slot = q->free[--q->n_free];
		q->desc[slot].addr = (uint64_t)buf[i].p;
		q->desc[slot].len = buf[i].len;
		q->desc[slot].a = (buf[i].device_writes ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0) |
				  (indirect ? DESC_INDIRECT : 0);
		q->desc[slot].b = head;
		head = slot;
	}
	q->n_desc[head] = (uint8_t)n;
	q->avail.ring[q->next % q->size] = head;
	barrier();
	q->next++;
	*(volatile uint16_t *)&q->avail.idx = q->next;
	return head;
}

static uint16_t add_packed(struct virtq *q, const struct virtq_buf *buf, unsigned n, bool indirect)
{
	uint16_t id = q->free[--q->n_free], first = q->next, first_flags = 0;

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = (buf[i].device_writes ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0) |
				 (indirect ? DESC_INDIRECT : 0) | (q->wrap ? PACKED_AVAIL : PACKED_USED);

		q->desc[q->next].addr = (uint64_t)buf[i].p;
		q->desc[q->next].len = buf[i].len;
		q->desc[q->next].a = id;
		if (i == 0)
			first_flags = flags;
		else
			q->desc[q->next].b = flags;
		if (++q->next == q->size) {
			q->next = 0;
			q->wrap = !q->wrap;
		}
	}
	q->n_desc[id] = (uint8_t)n;
	barrier();
	*(volatile uint16_t *)&q->desc[first].b = first_flags; /* the whole chain becomes visible */
	return id;
}

uint16_t virtq_add(struct virtq *q, const struct virtq_buf *buf, unsigned n)
{
	bool indirect = (q->v->features & VIRTIO_F_INDIRECT) && n > 1;
	struct virtq_buf one;

	if (n > VIRTQ_BUFS_MAX || q->n_free < n)
		panic("virtio: queue %u is full", q->index);
	if (indirect) {
		struct virtq_desc *t = q->table[q->free[q->n_free - 1]];

		fill_table(q, t, buf, n);
		one = (struct virtq_buf){ t, n * (uint32_t)sizeof(*t), false };
		return q->packed ? add_packed(q, &one, 1, true) : add_split(q, &one, 1, true);
	}
	return q->packed ? add_packed(q, buf, n, false) : add_split(q, buf, n, false);
}

void virtq_kick(struct virtq *q)
{
	bool wanted = true;

	__asm__ volatile("mfence" ::: "memory"); /* what is added before what the device wants to be told */
	if (q->packed) {
		wanted = (q->device_event.flags & 3) != EVENT_DISABLE;
	} else if (q->v->features & VIRTIO_F_EVENT_IDX) {
		uint16_t event = (uint16_t)q->used.ring[q->size].id;

		wanted = (uint16_t)(q->next - event - 1) < (uint16_t)(q->next - q->kicked);
	} else {
		wanted = !(q->used.flags & 1);
	}
	q->kicked = q->next;
	if (wanted && q->v->pci)
		write16(q->doorbell, (uint16_t)q->index);
	else if (wanted)
		write32(q->v->base + R_NOTIFY, q->index);
}

static bool take_split(struct virtq *q, uint16_t *ret_id, uint32_t *ret_len)
{
	uint16_t head, slot;

	if (q->used.idx == q->used_next)
		return false;
	barrier();
	head = (uint16_t)q->used.ring[q->used_next % q->size].id;
	*ret_len = q->used.ring[q->used_next % q->size].len;
	if (head >= q->size || q->n_desc[head] == 0)
		panic("virtio: queue %u: chain %u came back, nobody sent it", q->index, head);
	slot = head;
	for (unsigned i = 0; i < q->n_desc[head]; i++) {
		q->free[q->n_free++] = slot;
		slot = q->desc[slot].b;
	}
	q->n_desc[head] = 0;
	q->used_next++;
	*used_event(q) = (uint16_t)(q->used_next + (q->quiet ? USED_EVENT_FAR : 0));
	*ret_id = head;
	return true;
}

static bool take_packed(struct virtq *q, uint16_t *ret_id, uint32_t *ret_len)
{
	volatile struct virtq_desc *d = &q->desc[q->used_next];
	uint16_t flags = d->b, id;
	bool avail = flags & PACKED_AVAIL, used = flags & PACKED_USED;

	if (avail != used || used != q->used_wrap)
		return false;
	barrier();
	id = d->a;
	*ret_len = d->len;
	if (id >= q->size || q->n_desc[id] == 0)
		panic("virtio: queue %u: chain %u came back, nobody sent it", q->index, id);
	q->used_next = (uint16_t)(q->used_next + q->n_desc[id]);
	if (q->used_next >= q->size) {
		q->used_next = (uint16_t)(q->used_next - q->size);
		q->used_wrap = !q->used_wrap;
	}
	q->n_desc[id] = 0;
	q->free[q->n_free++] = id;
	*ret_id = id;
	return true;
}

bool virtq_take(struct virtq *q, uint16_t *ret_id, uint32_t *ret_len)
{
	return q->packed ? take_packed(q, ret_id, ret_len) : take_split(q, ret_id, ret_len);
}

void virtq_quiet(struct virtq *q)
{
	q->quiet = true;
	q->driver_event.flags = EVENT_DISABLE;
	if (!(q->v->features & VIRTIO_F_EVENT_IDX))
		*(volatile uint16_t *)&q->avail.flags = AVAIL_NO_INTERRUPT;
	*used_event(q) = (uint16_t)(q->used_next + USED_EVENT_FAR);
}

bool virtq_loud(struct virtq *q, uint16_t skip)
{
	q->quiet = false;
	q->driver_event.flags = 0;
	*(volatile uint16_t *)&q->avail.flags = 0;
	*used_event(q) = (uint16_t)(q->used_next + skip);
	__asm__ volatile("mfence" ::: "memory"); /* what the device reads before what it may have written meanwhile */
	if (q->packed) {
		uint16_t flags = *(volatile uint16_t *)&q->desc[q->used_next].b;

		return !(flags & PACKED_AVAIL) == !(flags & PACKED_USED) &&
		       !(flags & PACKED_USED) == !q->used_wrap;
	}
	return (uint16_t)(q->used.idx - q->used_next) > skip;
}

uint16_t virtq_wait(struct virtq *q, uint32_t *ret_len)
{
	uint16_t id;

	irq_off();
	while (!virtq_take(q, &id, ret_len)) {
		if (cmdline_has("poll"))
			relax();
		else
			wait_irq();
	}
	return id;
}

bool virtio_irqs(const struct virtio *v)
{
	irq_on();
	for (int i = 0; i < 200000 && v->irqs == 0; i++)
		relax();
	irq_off();
	return v->irqs > 0;
}
