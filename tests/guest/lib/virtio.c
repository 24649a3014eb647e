/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

#include "cpu.h"

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
       EVENT_DESC = 2,

       DEVICES = 64,
       LISTENERS = 8,
};

static struct virtio *listener[LISTENERS];

bool virtio_find(struct virtio *v, unsigned id, unsigned nth)
{
	uint64_t base = cmdline_u64("base", 0xc0001000), stride = cmdline_u64("stride", 0x1000);
	unsigned gsi = (unsigned)cmdline_u64("gsi", 5);

	for (unsigned i = 0; i < DEVICES; i++, base += stride) {
		if (read32(base + R_MAGIC) != 0x74726976)
			return false;
		if (read32(base + R_DEVICE) != id || nth-- > 0)
			continue;
		if (read32(base + R_VERSION) != 2)
			panic("virtio %u: version %u", id, read32(base + R_VERSION));
		*v = (struct virtio){ .base = base, .gsi = gsi + i };
		return true;
	}
	return false;
}

uint64_t virtio_offered(const struct virtio *v)
{
	uint64_t low;

	write32(v->base + R_FEATURES_SEL, 0);
	low = read32(v->base + R_FEATURES);
	write32(v->base + R_FEATURES_SEL, 1);
	return low | (uint64_t)read32(v->base + R_FEATURES) << 32;
}

uint32_t virtio_status(const struct virtio *v)
{
	return read32(v->base + R_STATUS);
}

void virtio_reset(struct virtio *v)
{
	write32(v->base + R_STATUS, 0);
	spin_until(virtio_status(v) == 0);
}

void virtio_begin(struct virtio *v, uint64_t wanted)
{
	uint64_t generic = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT | VIRTIO_F_PACKED;

	if (!cmdline_has("packed"))
		generic &= ~VIRTIO_F_PACKED;
	if (cmdline_has("noevent"))
		generic &= ~VIRTIO_F_EVENT_IDX;
	if (!cmdline_has("indirect"))
		generic &= ~VIRTIO_F_INDIRECT;
	virtio_reset(v);
	write32(v->base + R_STATUS, S_ACKNOWLEDGE);
	write32(v->base + R_STATUS, S_ACKNOWLEDGE | S_DRIVER);
	v->features = virtio_offered(v) & (wanted | generic);
	if (!(v->features & VIRTIO_F_VERSION_1))
		panic("virtio: not of version 1");
	write32(v->base + R_DRIVER_FEATURES_SEL, 0);
	write32(v->base + R_DRIVER_FEATURES, (uint32_t)v->features);
	write32(v->base + R_DRIVER_FEATURES_SEL, 1);
	write32(v->base + R_DRIVER_FEATURES, (uint32_t)(v->features >> 32));
	write32(v->base + R_STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
	if (!(virtio_status(v) & S_FEATURES_OK))
		panic("virtio: features 0x%lx refused", v->features);
}

static void write64(uint64_t addr, const volatile void *p)
{
	write32(addr, (uint32_t)(uint64_t)p);
	write32(addr + 4, (uint32_t)((uint64_t)p >> 32));
}

void virtq_init(struct virtio *v, struct virtq *q, unsigned index)
{
	uint32_t max;

	memset(q, 0, sizeof(*q));
	q->v = v;
	q->index = index;
	q->packed = v->features & VIRTIO_F_PACKED;
	q->wrap = q->used_wrap = true;
	write32(v->base + R_QUEUE_SEL, index);
	max = read32(v->base + R_QUEUE_MAX);
	if (max == 0)
		panic("virtio: no queue %u", index);
	q->size = max < VIRTQ_SIZE_MAX ? max : VIRTQ_SIZE_MAX;
	for (unsigned i = 0; i < q->size; i++)
		q->free[q->n_free++] = (uint16_t)(q->size - 1 - i);
	write32(v->base + R_QUEUE_SIZE, q->size);
	write64(v->base + R_DESC, q->desc);
	write64(v->base + R_AVAIL, q->packed ? (void *)&q->driver_event : (void *)&q->avail);
	write64(v->base + R_USED, q->packed ? (volatile void *)&q->device_event : (volatile void *)&q->used);
	/* The rings have room for VIRTQ_SIZE_MAX; with fewer, event indices lie right behind the ring. */
	if (!q->packed && q->size != VIRTQ_SIZE_MAX && (v->features & VIRTIO_F_EVENT_IDX))
		panic("virtio: a queue of %u", q->size);
	write32(v->base + R_QUEUE_READY, 1);
}

static void on_irq(struct trap_frame *f)
{
	for (unsigned i = 0; i < LISTENERS && listener[i]; i++) {
		struct virtio *v = listener[i];
		uint32_t why;

		if (v->vector != f->vector)
			continue;
		why = read32(v->base + R_IRQ_STATUS);
		write32(v->base + R_IRQ_ACK, why);
		v->irqs += why & 1;
		v->config_irqs += why >> 1 & 1;
	}
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
	ioapic_route(v->gsi, vector, 0, false);
	write32(v->base + R_STATUS, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
}

uint8_t virtio_config8(const struct virtio *v, unsigned at)
{
	return *(volatile uint8_t *)(v->base + R_CONFIG + at);
}

uint32_t virtio_config32(const struct virtio *v, unsigned at)
{
	return read32(v->base + R_CONFIG + at);
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
		uint16_t event = q->used.avail_event;

		wanted = (uint16_t)(q->next - event - 1) < (uint16_t)(q->next - q->kicked);
	} else {
		wanted = !(q->used.flags & 1);
	}
	q->kicked = q->next;
	if (wanted)
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
	*(volatile uint16_t *)&q->avail.used_event = q->used_next;
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
	for (int i = 0; i < 1000 && v->irqs == 0; i++)
		relax();
	irq_off();
	return v->irqs > 0;
}
