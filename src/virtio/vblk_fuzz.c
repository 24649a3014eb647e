/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vblk_fuzz.c - a driver that does what it likes: bytes over its rings, chains and headers of any shape, kicks, resets; on a raw disk
 * and on a qcow2 image, blocking and through a ring
 */
#include "virtio/vblk.h"

#include <linux/virtio_blk.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blk/qcow2.h"
#include "virtio/driver_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct in {
	const uint8_t *p, *end;
};

static unsigned take(struct in *in, unsigned n)
{
	unsigned v = 0;

	while (n-- > 0 && in->p < in->end)
		v = v << 8 | *in->p++;
	return v;
}

/* scribble() - the input's bytes somewhere over a queue's rings. */
static void scribble(struct driver *t, struct in *in, unsigned q)
{
	gpa_t base[] = { t->q[q].desc_gpa, t->q[q].avail_gpa, t->q[q].used_gpa, t->q[q].table_gpa };
	gpa_t at = base[take(in, 1) % 4] + take(in, 2) % 4096;
	unsigned n = take(in, 1) % 40;
	uint8_t *p = driver_ptr(t, at, n + 1);

	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)take(in, 1);
}

/* chain() - mostly a header that could be meant, then segments of any kind */
static void chain(struct driver *t, struct in *in, unsigned q)
{
	struct virtio_blk_outhdr *h = driver_ptr(t, 0x1000, sizeof(*h));
	struct driver_buf b[8];
	unsigned n = 2 + take(in, 1) % 6, readable = take(in, 1) % 9;

	h->type = htole32(take(in, 1) % 16);
	h->sector = htole64(take(in, 2));
	b[0] = (struct driver_buf){ 0x1000, 16, readable == 0 };
	for (unsigned i = 1; i < n; i++)
		b[i] = (struct driver_buf){ 0x1010 + take(in, 2) * 8, i & 1 ? take(in, 1) * 512 : take(in, 1),
					    i >= readable };
	driver_add(t, q, b, n);
}

static void one(struct driver *t, struct in *in)
{
	unsigned op = take(in, 1), q = op / 8 % 2;

	switch (op % 8) {
	case 0: scribble(t, in, q); break;
	case 1:
	case 2: chain(t, in, q); break;
	case 3: vdev_config_write(t->d, take(in, 1), in->p, in->p < in->end); break;
	case 4:
		vdev_pause(t->d);
		vdev_resume(t->d);
		break;
	case 5:
		if (take(in, 1) % 16 == 7) {
			t->brk = 0x100000;
			driver_restart(t, ~0ULL, 0);
		}
		break;
	default: driver_kick(t, q); break;
	}
}

static struct blk *disk(bool qcow2, bool async)
{
	struct qcow2_create c = qcow2_create_default;
	struct blk_options o = { .format = qcow2 ? "qcow2" : "raw",
				 .async = async,
				 .ring = true,
				 .no_sync = true,
				 .backing_dirfd = -1 };
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct blk *b;

	c.size = 1 << 20;
	c.cluster = 4096;
	BUG_ON(fd < 0);
	if (qcow2)
		BUG_ON(qcow2_make(fd, &c, NULL) < 0);
	else
		BUG_ON(ftruncate(fd, 1 << 20) < 0);
	BUG_ON(blk_open(&b, fd, &o, NULL) < 0);
	return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vblk_config c = { .name = "drive", .queues = 2, .writeback = true };
	struct loop loop = { .epfd = -1 };
	struct in in = { data, data + size };
	unsigned how = take(&in, 1);
	struct vdev *d;
	struct driver t;

	BUG_ON(loop_init(&loop) < 0);
	driver_init(&t, 4 << 20);
	t.brk = 0x100000;
	c.disk = disk(how & 4, how & 8);
	if (how & 16)
		c.limit.ops = (struct bucket_config){ .size = 3, .refill_ms = 1 };
	BUG_ON(vblk_new(&d, &c, &t.mem, &loop, NULL) < 0);
	driver_start(&t, d, driver_layouts[how % 4].features | (d->offered & 0xffffff));
	while (in.p < in.end)
		one(&t, &in);
	driver_fini(&t);
	loop_fini(&loop);
	return 0;
}
