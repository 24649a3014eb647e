/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/mmio.h"

#include <endian.h>
#include <string.h>

#include "fmt/record.h"
#include "virtio/vdev.h"

enum { MAGIC = 0x74726976, VERSION = 2, VENDOR = 0x6c6c7568 /* "hull" */, VMMIO_RECORD_VERSION = 1 };

enum reg { /* Spec: virtio 1.2 §4.2.2 */
	   R_MAGIC = 0x000,
	   R_VERSION = 0x004,
	   R_DEVICE = 0x008,
	   R_VENDOR = 0x00c,
	   R_DEVICE_FEATURES = 0x010,
	   R_DEVICE_FEATURES_SEL = 0x014,
	   R_DRIVER_FEATURES = 0x020,
	   R_DRIVER_FEATURES_SEL = 0x024,
	   R_QUEUE_SEL = 0x030,
	   R_QUEUE_NUM_MAX = 0x034,
	   R_QUEUE_NUM = 0x038,
	   R_QUEUE_READY = 0x044,
	   R_QUEUE_NOTIFY = VMMIO_NOTIFY,
	   R_INTERRUPT_STATUS = 0x060,
	   R_INTERRUPT_ACK = 0x064,
	   R_STATUS = 0x070,
	   R_QUEUE_DESC_LOW = 0x080,
	   R_QUEUE_DESC_HIGH = 0x084,
	   R_QUEUE_DRIVER_LOW = 0x090,
	   R_QUEUE_DRIVER_HIGH = 0x094,
	   R_QUEUE_DEVICE_LOW = 0x0a0,
	   R_QUEUE_DEVICE_HIGH = 0x0a4,
	   R_SHM_SEL = 0x0ac,
	   R_SHM_LEN_LOW = 0x0b0,
	   R_SHM_LEN_HIGH = 0x0b4,
	   R_SHM_BASE_LOW = 0x0b8,
	   R_SHM_BASE_HIGH = 0x0bc,
	   R_GENERATION = 0x0fc,
};

enum { PENDING_QUEUE = 1, PENDING_CONFIG = 2 };

/* d->lock may be held: nothing but the atomic and the line. */
static void interrupt(void *arg, int queue)
{
	struct vmmio *m = arg;

	/* full barriers on both sides: the bit after what it tells of; pairs with the driver's acknowledging before it looks */
	__atomic_fetch_or(&m->pending, queue < 0 ? PENDING_CONFIG : PENDING_QUEUE, __ATOMIC_SEQ_CST);
	m->irq(m->arg);
}

void vmmio_init(struct vmmio *m, struct vdev *d, void (*irq)(void *arg), void *arg)
{
	*m = (struct vmmio){ .d = d, .irq = irq, .arg = arg };
	pthread_mutex_init(&m->lock, NULL);
	d->interrupt = interrupt;
	d->interrupt_arg = m;
}

void vmmio_fini(struct vmmio *m)
{
	if (!m->d)
		return;
	pthread_mutex_destroy(&m->lock);
	m->d = NULL;
}

/* shm_word() - a region that is not there is 2^64 - 1 bytes long. Spec: virtio 1.2 §4.2.2.1 */
static uint32_t shm_word(const struct vmmio *m, uint64_t reg)
{
	uint64_t base = UINT64_MAX, size = UINT64_MAX;

	if (m->shm_sel < VDEV_SHM_MAX && m->d->shm[m->shm_sel].size > 0) {
		base = m->d->shm[m->shm_sel].base;
		size = m->d->shm[m->shm_sel].size;
	}
	switch (reg) {
	case R_SHM_LEN_LOW: return (uint32_t)size;
	case R_SHM_LEN_HIGH: return (uint32_t)(size >> 32);
	case R_SHM_BASE_LOW: return (uint32_t)base;
	default: return (uint32_t)(base >> 32);
	}
}

static uint32_t read_reg(struct vmmio *m, uint64_t reg)
{
	struct vdev *d = m->d;

	switch (reg) {
	case R_MAGIC: return MAGIC;
	case R_VERSION: return VERSION;
	case R_DEVICE: return d->ops->id;
	case R_VENDOR: return VENDOR;
	case R_DEVICE_FEATURES:
		return m->features_sel < 2 ? (uint32_t)(d->offered >> (32 * m->features_sel)) : 0;
	case R_QUEUE_NUM_MAX: return m->queue_sel < d->n_queues ? d->queue_max : 0;
	case R_QUEUE_READY: return vdev_queue_read(d, m->queue_sel, VDEV_Q_ENABLE);
	case R_INTERRUPT_STATUS: return __atomic_load_n(&m->pending, __ATOMIC_SEQ_CST);
	case R_STATUS: return vdev_get_status(d);
	case R_SHM_LEN_LOW:
	case R_SHM_LEN_HIGH:
	case R_SHM_BASE_LOW:
	case R_SHM_BASE_HIGH: return shm_word(m, reg);
	case R_GENERATION: return vdev_generation(d);
	default: m->n_ignored++; return 0;
	}
}

static void write_status(struct vmmio *m, uint32_t v)
{
	if (v > UINT8_MAX) {
		m->n_ignored++;
		return;
	}
	vdev_set_status(m->d, (uint8_t)v);
	if (v == 0) /* the device is quiet by now: nothing sets a bit after this. Spec: §4.2.2.1 */
		__atomic_store_n(&m->pending, 0, __ATOMIC_SEQ_CST);
}

static void write_reg(struct vmmio *m, uint64_t reg, uint32_t v)
{
	struct vdev *d = m->d;
	uint32_t q = m->queue_sel;

	switch (reg) {
	case R_DEVICE_FEATURES_SEL: m->features_sel = v; break;
	case R_DRIVER_FEATURES: vdev_set_features_word(d, m->driver_sel, v); break;
	case R_DRIVER_FEATURES_SEL: m->driver_sel = v; break;
	case R_QUEUE_SEL: m->queue_sel = v; break;
	case R_QUEUE_NUM: vdev_queue_write(d, q, VDEV_Q_SIZE, v); break;
	case R_QUEUE_READY: vdev_queue_write(d, q, VDEV_Q_ENABLE, v); break;
	case R_QUEUE_NOTIFY: vdev_kick(d, v); break;
	case R_INTERRUPT_ACK: __atomic_fetch_and(&m->pending, ~v, __ATOMIC_SEQ_CST); break;
	case R_STATUS: write_status(m, v); break;
	case R_QUEUE_DESC_LOW: vdev_queue_write(d, q, VDEV_Q_DESC_LO, v); break;
	case R_QUEUE_DESC_HIGH: vdev_queue_write(d, q, VDEV_Q_DESC_HI, v); break;
	case R_QUEUE_DRIVER_LOW: vdev_queue_write(d, q, VDEV_Q_AVAIL_LO, v); break;
	case R_QUEUE_DRIVER_HIGH: vdev_queue_write(d, q, VDEV_Q_AVAIL_HI, v); break;
	case R_QUEUE_DEVICE_LOW: vdev_queue_write(d, q, VDEV_Q_USED_LO, v); break;
	case R_QUEUE_DEVICE_HIGH: vdev_queue_write(d, q, VDEV_Q_USED_HI, v); break;
	case R_SHM_SEL: m->shm_sel = v; break;
	default: m->n_ignored++; break;
	}
}

void vmmio_read(struct vmmio *m, uint64_t off, void *data, unsigned len)
{
	uint32_t v;

	memset(data, 0, len);
	if (off >= VMMIO_CONFIG) {
		if (off < VMMIO_BYTES)
			vdev_config_read(m->d, (unsigned)(off - VMMIO_CONFIG), data, len);
		return;
	}
	pthread_mutex_lock(&m->lock);
	if (len == sizeof(v) && off % sizeof(v) == 0) {
		v = htole32(read_reg(m, off));
		memcpy(data, &v, sizeof(v));
	} else {
		m->n_ignored++;
	}
	pthread_mutex_unlock(&m->lock);
}

void vmmio_write(struct vmmio *m, uint64_t off, const void *data, unsigned len)
{
	uint32_t v;

	if (off >= VMMIO_CONFIG) {
		if (off < VMMIO_BYTES)
			vdev_config_write(m->d, (unsigned)(off - VMMIO_CONFIG), data, len);
		return;
	}
	if (off == R_QUEUE_NOTIFY && len == sizeof(v)) { /* the data path: no lock */
		memcpy(&v, data, sizeof(v));
		vdev_kick(m->d, le32toh(v));
		return;
	}
	pthread_mutex_lock(&m->lock);
	if (len == sizeof(v) && off % sizeof(v) == 0) {
		memcpy(&v, data, sizeof(v));
		write_reg(m, off, le32toh(v));
	} else {
		m->n_ignored++;
	}
	pthread_mutex_unlock(&m->lock);
}

void vmmio_save(struct vmmio *m, struct record_out *o)
{
	record_begin(o, "VMMIO", VMMIO_RECORD_VERSION);
	record_put_u32(o, m->features_sel);
	record_put_u32(o, m->driver_sel);
	record_put_u32(o, m->queue_sel);
	record_put_u32(o, m->shm_sel);
	record_put_u32(o, __atomic_load_n(&m->pending, __ATOMIC_SEQ_CST));
	vdev_save(m->d, o);
	record_end(o);
}

void vmmio_restore(struct vmmio *m, struct record_in *in)
{
	record_open(in, "VMMIO", VMMIO_RECORD_VERSION);
	m->features_sel = record_get_u32(in); /* any value is one that a driver may have written */
	m->driver_sel = record_get_u32(in);
	m->queue_sel = record_get_u32(in);
	m->shm_sel = record_get_u32(in);
	m->pending = record_get_u32(in) & (PENDING_QUEUE | PENDING_CONFIG);
	vdev_restore(m->d, in);
	record_close(in);
}

void vmmio_resume(struct vmmio *m)
{
	vdev_resume(m->d);
	if (__atomic_load_n(&m->pending, __ATOMIC_SEQ_CST))
		m->irq(m->arg);
}
