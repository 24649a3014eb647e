/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/memhp.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_mem.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fmt/record.h"
#include "virtio/vdev.h"

#define F_UNPLUGGED_INACCESSIBLE (1ULL << 1)

enum { TURN_MAX = 64 };

struct memhp {
	struct vdev d;
	struct memhp_config c;
	unsigned n_blocks, per_slot, n_slots;
	uint64_t plugged;  /* bytes */
	uint8_t *bits;     /* owned; a bit for each block: plugged */
	uint32_t *in_slot; /* owned; plugged blocks of each slot */
};

static bool is_plugged(const struct memhp *m, unsigned block)
{
	return m->bits[block / 8] >> block % 8 & 1;
}

/* count() - how many of [first, first + n) are plugged. */
static unsigned count(const struct memhp *m, unsigned first, unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = first; i < first + n; i++)
		sum += is_plugged(m, i);
	return sum;
}

static int slot_tell(struct memhp *m, unsigned slot, bool on)
{
	return m->c.slot_set ? m->c.slot_set(m->c.arg, m->c.base + slot * m->c.slot, m->c.slot, on) : 0;
}

static int plug_one(struct memhp *m, unsigned block)
{
	unsigned slot = block / m->per_slot;
	int r = m->in_slot[slot] == 0 ? slot_tell(m, slot, true) : 0;

	if (r < 0)
		return r;
	m->in_slot[slot]++;
	gmem_set_there(m->d.mem, m->c.base + block * m->c.block, m->c.block, true);
	m->bits[block / 8] |= (uint8_t)(1 << block % 8);
	m->plugged += m->c.block;
	return 0;
}

static void unplug_one(struct memhp *m, unsigned block)
{
	unsigned slot = block / m->per_slot;

	gmem_discard(m->d.mem, m->c.base + block * m->c.block,
		     m->c.block); /* syscalls: fallocate, mmap, madvise */
	gmem_set_there(m->d.mem, m->c.base + block * m->c.block, m->c.block, false);
	m->bits[block / 8] &= (uint8_t) ~(1 << block % 8);
	m->plugged -= m->c.block;
	if (--m->in_slot[slot] == 0)
		slot_tell(m, slot, false); /* one that cannot be taken away holds nothing */
}

/* --- requests. Spec: virtio 1.2 §5.15.6 --------------------------------------------------------------------- */

static uint16_t plug(struct memhp *m, unsigned first, unsigned n)
{
	if (m->plugged + n * m->c.block > m->c.requested)
		return VIRTIO_MEM_RESP_NACK;
	if (count(m, first, n) != 0)
		return VIRTIO_MEM_RESP_ERROR;
	for (unsigned i = 0; i < n; i++)
		if (plug_one(m, first + i) < 0) {
			while (i-- > 0) /* all or nothing */
				unplug_one(m, first + i);
			return VIRTIO_MEM_RESP_BUSY;
		}
	return VIRTIO_MEM_RESP_ACK;
}

static uint16_t unplug(struct memhp *m, unsigned first, unsigned n)
{
	if (count(m, first, n) != n)
		return VIRTIO_MEM_RESP_ERROR;
	for (unsigned i = 0; i < n; i++)
		unplug_one(m, first + i);
	return VIRTIO_MEM_RESP_ACK;
}

static uint16_t unplug_all(struct memhp *m)
{
	for (unsigned i = 0; i < m->n_blocks && m->plugged > 0; i++)
		if (is_plugged(m, i))
			unplug_one(m, i);
	return VIRTIO_MEM_RESP_ACK;
}

static uint16_t state_of(const struct memhp *m, unsigned first, unsigned n)
{
	unsigned there = count(m, first, n);

	return there == n ? VIRTIO_MEM_STATE_PLUGGED :
	       there == 0 ? VIRTIO_MEM_STATE_UNPLUGGED :
			    VIRTIO_MEM_STATE_MIXED;
}

/* range() - blocks that a request names; inside the region, and some. */
static bool range(const struct memhp *m, uint64_t addr, uint16_t n, unsigned *ret_first)
{
	uint64_t offset = addr - m->c.base; /* an address below wraps to a huge one */

	if (n == 0 || offset >= m->c.size || offset % m->c.block || n > (m->c.size - offset) / m->c.block)
		return false;
	*ret_first = (unsigned)(offset / m->c.block);
	return true;
}

static void answer(struct memhp *m, const struct virtio_mem_req *req, struct virtio_mem_resp *resp)
{
	uint16_t n = le16toh(req->u.plug.nb_blocks), type = le16toh(req->type), r = VIRTIO_MEM_RESP_ERROR;
	unsigned first = 0;
	/* the three requests with a range have it at the same place */
	bool good = range(m, le64toh(req->u.plug.addr), n, &first);

	if (type == VIRTIO_MEM_REQ_UNPLUG_ALL) {
		r = unplug_all(m);
	} else if (good && type == VIRTIO_MEM_REQ_PLUG) {
		r = plug(m, first, n);
	} else if (good && type == VIRTIO_MEM_REQ_UNPLUG) {
		r = unplug(m, first, n);
	} else if (good && type == VIRTIO_MEM_REQ_STATE) {
		resp->u.state.state = htole16(state_of(m, first, n));
		r = VIRTIO_MEM_RESP_ACK;
	}
	resp->type = htole16(r);
}

static int memhp_serve(struct vdev *d, unsigned i)
{
	struct memhp *m = (struct memhp *)d;
	struct vq *q = &d->vq[i];
	struct vq_chain c;
	int r;

	for (int n = 0; (r = vq_pop(q, &c)) > 0; n++) {
		struct virtio_mem_req req;
		struct virtio_mem_resp resp = { 0 };

		/* nothing is done for who leaves no room for the answer */
		if (c.out_left >= sizeof(resp) && vq_read(&c, &req, sizeof(req)) == 0) {
			answer(m, &req, &resp);
			vq_write(q, &c, &resp, sizeof(resp));
		}
		r = vq_push(q, &c);
		if (r < 0)
			break;
		if (n == TURN_MAX) {
			vdev_kick(d, i); /* later */
			break;
		}
	}
	vdev_notify(d, i);
	return r < 0 ? r : 0;
}

/* --- the device --------------------------------------------------------------------------------------------- */

static void memhp_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	const struct memhp *m = (const struct memhp *)d;
	struct virtio_mem_config c = { .block_size = htole64(m->c.block),
				       .addr = htole64(m->c.base),
				       .region_size = htole64(m->c.size),
				       .usable_region_size = htole64(m->c.size),
				       .plugged_size = htole64(m->plugged),
				       .requested_size = htole64(m->c.requested) };

	if (off < sizeof(c))
		memcpy(dst, (const char *)&c + off, len < sizeof(c) - off ? len : sizeof(c) - off);
}

static void memhp_reset(struct vdev *d)
{
	(void)d; /* plugged memory stays plugged. Spec: virtio 1.2 §5.15.5.2 */
}

static void memhp_save(struct vdev *d, struct record_out *o)
{
	const struct memhp *m = (const struct memhp *)d;

	record_put_u64(o, m->c.base);
	record_put_u64(o, m->c.size);
	record_put_u64(o, m->c.block);
	record_put_u64(o, m->c.requested);
	record_put(o, m->bits, (m->n_blocks + 7) / 8);
}

static void memhp_restore(struct vdev *d, struct record_in *in)
{
	struct memhp *m = (struct memhp *)d;
	uint64_t base = record_get_u64(in), size = record_get_u64(in), block = record_get_u64(in);
	uint64_t requested = record_get_u64(in);
	const uint8_t *bits;

	if (in->rc == 0 && (base != m->c.base || size != m->c.size || block != m->c.block))
		record_fail(in, "%s: another region", d->name);
	if (in->rc == 0 && (requested > m->c.size || requested % m->c.block))
		record_fail(in, "%s: 0x%llx bytes requested", d->name, (unsigned long long)requested);
	bits = record_take(in, (m->n_blocks + 7) / 8);
	if (!bits)
		return;
	m->c.requested = requested;
	gmem_set_there(d->mem, m->c.base, m->c.size, false);
	for (unsigned i = 0; i < m->n_blocks; i++)
		if ((bits[i / 8] >> i % 8 & 1) && !is_plugged(m, i) && plug_one(m, i) < 0) {
			record_fail(in, "%s: memory cannot be plugged again", d->name);
			return;
		}
}

static void memhp_free(struct vdev *d)
{
	struct memhp *m = (struct memhp *)d;

	vdev_fini(d);
	free(m->bits);
	free(m->in_slot);
	free(m);
}

static const struct vdev_ops memhp_ops = {
	.name = "mem",
	.id = VDEV_MEM,
	.config_read = memhp_config_read,
	.serve = memhp_serve,
	.reset = memhp_reset,
	.save = memhp_save,
	.restore = memhp_restore,
	.free = memhp_free,
};

static int check(const struct gmem *mem, const struct memhp_config *c, struct err *e)
{
	const struct gmem_region *r = gmem_find(mem, c->base, c->size);

	if (c->block < MEMHP_BLOCK_MIN || (c->block & (c->block - 1)) || c->slot < c->block ||
	    c->slot % c->block || c->size < c->slot || c->size % c->slot ||
	    c->size / c->block > MEMHP_BLOCKS_MAX)
		return err_set(e, EINVAL,
			       "hotplug memory: 0x%llx bytes in slots of 0x%llx in blocks of 0x%llx",
			       (unsigned long long)c->size, (unsigned long long)c->slot,
			       (unsigned long long)c->block);
	if (c->requested > c->size || c->requested % c->block)
		return err_set(e, EINVAL, "hotplug memory: 0x%llx bytes requested",
			       (unsigned long long)c->requested);
	if (!r || !r->ram || r->readonly || c->base % c->block)
		return err_set(e, EINVAL, "hotplug memory: no region at 0x%llx", (unsigned long long)c->base);
	return 0;
}

int memhp_new(struct vdev **ret, const struct gmem *mem, struct loop *loop, const struct memhp_config *c,
	      struct err *e)
{
	struct memhp *m;
	int r = check(mem, c, e);

	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_sys(e, ENOMEM, "hotplug memory");
	m->c = *c;
	m->n_blocks = (unsigned)(c->size / c->block);
	m->per_slot = (unsigned)(c->slot / c->block);
	m->n_slots = (unsigned)(c->size / c->slot);
	m->bits = calloc((m->n_blocks + 7) / 8, 1);
	m->in_slot = calloc(m->n_slots, sizeof(*m->in_slot));
	r = m->bits && m->in_slot ? vdev_init(&m->d, &memhp_ops, "hotplug memory", mem, loop,
					      F_UNPLUGGED_INACCESSIBLE, 1, e) :
				    err_sys(e, ENOMEM, "hotplug memory");
	if (r < 0) {
		memhp_free(&m->d);
		return r;
	}
	*ret = &m->d;
	return 0;
}

int memhp_request(struct vdev *d, uint64_t bytes, struct err *e)
{
	struct memhp *m = (struct memhp *)d;
	int r = 0;

	if (bytes > m->c.size || bytes % m->c.block)
		return err_set(e, EINVAL,
			       "hotplug memory: 0x%llx bytes, want a multiple of 0x%llx up to 0x%llx",
			       (unsigned long long)bytes, (unsigned long long)m->c.block,
			       (unsigned long long)m->c.size);
	pthread_mutex_lock(&d->lock);
	if (vdev_is_active(d)) {
		m->c.requested = bytes;
		vdev_config_changed(d);
	} else {
		r = err_set(e, ENODEV, "hotplug memory: the guest's driver is not up");
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

void memhp_status(struct vdev *d, struct memhp_status *ret)
{
	const struct memhp *m = (const struct memhp *)d;

	pthread_mutex_lock(&d->lock);
	*ret = (struct memhp_status){ m->c.size, m->c.slot, m->c.block, m->plugged, m->c.requested };
	pthread_mutex_unlock(&d->lock);
}
