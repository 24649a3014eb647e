/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver_fuzzing.h - a hostile driver that follows a script of bytes: the whole of a device's fuzz target but its making
 *
 *	int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
 *	{
 *		return driver_fuzz(make, VDEV_F_..., data, size);
 *	}
 *
 * The script mixes well-formed chains, raw ring writes, hostile chains, kicks, resets, configuration accesses, register
 * writes at the wrong time, pause, and save with restore (of bytes it may spoil). Guest memory is small, so that random
 * addresses hit it.
 */
#ifndef VIRTIO_DRIVER_FUZZING_H
#define VIRTIO_DRIVER_FUZZING_H

#include "virtio/driver_testing.h"

enum {
	FUZZ_MEM = 2 << 20,
	FUZZ_STEPS_MAX = 200,
	FUZZ_QUEUE_SIZE = 8,
	FUZZ_DATA = 0x2000,
	FUZZ_DATA_BYTES = 0xc000
};

struct driver_fuzzer {
	struct driver t;
	const uint8_t *at, *end;
	struct vdev *(*make)(struct driver *t);
	uint64_t features;
	gpa_t brk;
};

static inline uint8_t fuzz_u8(struct driver_fuzzer *f)
{
	return f->at < f->end ? *f->at++ : 0;
}

static inline uint64_t fuzz_uint(struct driver_fuzzer *f, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned k = 0; k < bytes; k++)
		v = v << 8 | fuzz_u8(f);
	return v;
}

/* fuzz_bytes() - up to @len bytes of the script; what it lacks is zero. */
static inline void fuzz_bytes(struct driver_fuzzer *f, void *dst, size_t len)
{
	size_t n = (size_t)(f->end - f->at) < len ? (size_t)(f->end - f->at) : len;

	memcpy(dst, f->at, n);
	memset((uint8_t *)dst + n, 0, len - n);
	f->at += n;
}

static inline void fuzz_restart(struct driver_fuzzer *f, uint8_t how)
{
	f->t.brk = f->brk;
	driver_restart(&f->t,
		       (f->features | driver_layouts[how % DRIVER_LAYOUTS].features) &
			       ~(how & 0x80 ? fuzz_uint(f, 4) : 0),
		       how & 0x40 ? 0 : FUZZ_QUEUE_SIZE);
}

/* fuzz_chain() - a chain that a driver might make: its readable part begins with the script's bytes. */
static inline void fuzz_chain(struct driver_fuzzer *f, unsigned i)
{
	uint8_t shape = fuzz_u8(f), n_out = shape & 3, n_in = shape >> 2 & 3;
	struct driver_buf b[8];
	unsigned n = 0;

	for (; n < n_out; n++) {
		uint8_t len = fuzz_u8(f);

		b[n] = (struct driver_buf){ FUZZ_DATA + 0x1000 * (gpa_t)n, len, false };
		fuzz_bytes(f, driver_ptr(&f->t, b[n].gpa, len + 1U), len);
	}
	for (; n < (unsigned)n_out + n_in; n++)
		b[n] = (struct driver_buf){ FUZZ_DATA + 0x1000 * (gpa_t)n, (uint32_t)fuzz_uint(f, 2) % 0x2000,
					    true };
	if (shape & 0x40 && n > 0)
		b[n - 1].len = (uint32_t)fuzz_uint(f, 4);
	if (n > 0 && driver_add(&f->t, i, b, n) < 0)
		f->t.q[i].n_free = f->t.q[i].size; /* what does not come back is gone: go on */
	if (!(shape & 0x80))
		driver_kick(&f->t, i);
}

static inline void fuzz_raw(struct driver_fuzzer *f, unsigned i)
{
	struct driver_queue *q = &f->t.q[i];
	uint8_t what = fuzz_u8(f), len = fuzz_u8(f);
	gpa_t at = what & 1 ? q->desc_gpa : what & 2 ? q->avail_gpa : q->used_gpa;
	uint8_t bytes[256];

	if (what & 4)
		at = q->table_gpa;
	fuzz_bytes(f, bytes, len);
	gmem_write(&f->t.mem, at + (what >> 3), bytes, len);
}

static inline void fuzz_config(struct driver_fuzzer *f)
{
	uint8_t bytes[8], len = 1 + fuzz_u8(f) % 8;
	uint16_t off = (uint16_t)fuzz_uint(f, 2);

	fuzz_bytes(f, bytes, len);
	vdev_config_write(f->t.d, off % (off & 1 ? 64 : 0x1000), bytes, len);
	vdev_config_read(f->t.d, off % (off & 1 ? 64 : 0x1000), bytes, len);
}

/* fuzz_move() - save, spoil perhaps, restore into a new device. */
static inline void fuzz_move(struct driver_fuzzer *f)
{
	uint8_t spoil = fuzz_u8(f);
	struct buf b = { 0 };
	struct record_out o = { .to = &b };
	struct record_in in;
	struct err e = { 0 };

	vdev_pause(f->t.d);
	vdev_save(f->t.d, &o);
	BUG_ON(buf_finish(&b) < 0);
	vdev_free(f->t.d);
	f->t.d = f->make(&f->t);
	f->t.d->interrupt = driver_interrupt;
	f->t.d->interrupt_arg = &f->t;
	for (int k = 0; k < (spoil & 7); k++)
		b.data[fuzz_uint(f, 2) % b.len] = (char)fuzz_u8(f);
	record_init(&in, b.data, b.len, &e);
	vdev_restore(f->t.d, &in);
	BUG_ON(record_finish(&in) < 0 && !(spoil & 7));
	buf_fini(&b);
	vdev_resume(f->t.d);
}

static inline void fuzz_step(struct driver_fuzzer *f)
{
	uint8_t op = fuzz_u8(f);
	unsigned i = (op >> 4) % f->t.d->n_queues;

	switch (op & 15) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4: fuzz_chain(f, i); break;
	case 5:
	case 6: driver_kick(&f->t, i); break;
	case 7: fuzz_raw(f, i); break;
	case 8: driver_hostile(&f->t, i, fuzz_u8(f) % HOSTILE_COUNT); break;
	case 9: fuzz_restart(f, fuzz_u8(f)); break;
	case 10: fuzz_config(f); break;
	case 11:
		vdev_queue_write(f->t.d, i, fuzz_u8(f) % (VDEV_Q_REG_COUNT + 1), (uint32_t)fuzz_uint(f, 4));
		break;
	case 12: vdev_set_status(f->t.d, fuzz_u8(f)); break;
	case 13: fuzz_move(f); break;
	case 14:
		vdev_pause(f->t.d);
		driver_kick(&f->t, i);
		vdev_resume(f->t.d);
		break;
	default: /* give ids back, so that long scripts go on; the device may have written nonsense where it was told to */
		f->t.q[i].n_free = f->t.q[i].size;
		break;
	}
}

static inline int driver_fuzz(struct vdev *(*make)(struct driver *t), uint64_t features, const uint8_t *data,
			      size_t size)
{
	struct driver_fuzzer f = { .at = data, .end = data + size, .make = make, .features = features };

	driver_init(&f.t, FUZZ_MEM);
	f.t.d = make(&f.t);
	f.t.d->interrupt = driver_interrupt;
	f.t.d->interrupt_arg = &f.t;
	f.brk = f.t.brk;
	fuzz_restart(&f, fuzz_u8(&f) & 0x7f);
	for (int n = 0; n < FUZZ_STEPS_MAX && f.at < f.end; n++)
		fuzz_step(&f);
	driver_fini(&f.t);
	return 0;
}

#endif
