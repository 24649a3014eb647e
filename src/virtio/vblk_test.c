/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vblk.h"

#include <linux/virtio_blk.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/guard.h"
#include "blk/blk.h"
#include "sys/call.h"
#include "virtio/driver_testing.h"

enum { DISK_SECTORS = 8192, MEM_BYTES = 16 << 20 };

#define F(bit) (1ULL << VIRTIO_BLK_F_##bit)

struct setting {
	bool readonly, writethrough, async;
	unsigned queues;
	struct limiter_config limit;
};

static struct loop loop;
static int disk_fd = -1; /* the file behind the drive, borrowed */

static struct blk *disk(uint64_t sectors, bool readonly, bool async)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	struct err e = { 0 };
	struct blk *b = NULL;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(sectors * 512)), 0);
	disk_fd = fd;
	if (blk_open(&b, fd,
		     &(struct blk_options){
			     .format = "raw", .readonly = readonly, .async = async, .ring = true },
		     &e) < 0)
		fail_msg("%s", e.text);
	return b;
}

static struct vdev *drive(struct driver *t, const struct setting *s)
{
	struct vblk_config c = { .name = "drive 'test'",
				 .disk = disk(DISK_SECTORS, s->readonly, s->async),
				 .id = "serial-number-longer-than-twenty",
				 .writeback = !s->writethrough,
				 .queues = s->queues,
				 .limit = s->limit };
	struct err e = { 0 };
	struct vdev *d = NULL;

	if (vblk_new(&d, &c, &t->mem, &loop, &e) < 0)
		fail_msg("%s", e.text);
	return d;
}

static void start(struct driver *t, const struct setting *s, uint64_t features)
{
	struct vdev *d;

	driver_init(t, MEM_BYTES);
	d = drive(t, s);
	driver_start(t, d, features & d->offered);
}

static int setup(void **state)
{
	(void)state;
	loop = (struct loop){ .epfd = -1 };
	return loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	sys_call = sys_call_real;
	loop_fini(&loop);
	return 0;
}

/* request() - Return: the status byte; -1 it did not come back. @data goes out, or comes in. */
static int request(struct driver *t, uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	struct virtio_blk_outhdr hdr = { .type = htole32(type), .sector = htole64(sector) };
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct driver_buf b[3];
	gpa_t brk = t->brk;
	unsigned n = 0;
	uint32_t used = 0;
	int status;

	b[n++] = (struct driver_buf){ driver_put(t, &hdr, sizeof(hdr)), sizeof(hdr), false };
	if (len)
		b[n++] = (struct driver_buf){ driver_put(t, data, len), len, in };
	driver_alloc(t, 16, 16); /* so that the status is a segment of its own */
	b[n++] = (struct driver_buf){ driver_put(t, "\xff", 1), 1, true };
	assert_true(driver_add(t, 0, b, n) >= 0);
	driver_kick(t, 0);
	if (!driver_has_used(t, 0) && !driver_wait(t, 0, 5000))
		return -1;
	assert_true(driver_used(t, 0, &used) >= 0);
	if (in && len)
		memcpy(data, driver_ptr(t, b[1].gpa, len), len);
	status = *(uint8_t *)driver_ptr(t, b[n - 1].gpa, 1);
	if (in && status == VIRTIO_BLK_S_OK)
		assert_int_equal(used, len + 1);
	t->brk = brk;
	return status;
}

static void config(struct driver *t, struct virtio_blk_config *c)
{
	vdev_config_read(t->d, 0, c, sizeof(*c));
}

/* --- what a driver sees ----------------------------------------------------------------------------------- */

static void round_trips(const struct setting *s, uint64_t layout)
{
	static uint8_t out[65536], in[65536];
	struct vblk_counts n;
	struct driver t;

	start(&t, s, layout | F(FLUSH) | F(CONFIG_WCE) | F(SEG_MAX));
	for (unsigned i = 0; i < 20; i++) {
		uint32_t len = 512 * (1 + i * 6);

		memset(out, (int)i + 1, len);
		assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, i * 150UL, out, len), VIRTIO_BLK_S_OK);
	}
	for (unsigned i = 0; i < 20; i++) {
		uint32_t len = 512 * (1 + i * 6);

		memset(out, (int)i + 1, len);
		assert_int_equal(request(&t, VIRTIO_BLK_T_IN, i * 150UL, in, len), VIRTIO_BLK_S_OK);
		assert_memory_equal(in, out, len);
	}
	assert_int_equal(request(&t, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
	vblk_counts(t.d, &n);
	assert_int_equal(n.reads, 20);
	assert_int_equal(n.writes, 20);
	assert_int_equal(n.read_bytes, n.write_bytes);
	assert_int_equal(n.failures + n.invalid, 0);
	assert_true(t.n_interrupts[0] > 0);
	driver_fini(&t);
}

static void test_what_is_written_is_read_on_every_layout(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		round_trips(&(struct setting){ 0 }, driver_layouts[l].features);
		round_trips(&(struct setting){ .async = true }, driver_layouts[l].features);
		round_trips(&(struct setting){ .async = true, .writethrough = true },
			    driver_layouts[l].features);
	}
}

static void test_the_configuration_space_describes_the_disk(void **state)
{
	struct virtio_blk_config c;
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ .queues = 4 }, F(MQ) | F(CONFIG_WCE) | F(FLUSH));
	config(&t, &c);
	assert_int_equal(le64toh(c.capacity), DISK_SECTORS);
	assert_int_equal(le32toh(c.seg_max), 254);
	assert_int_equal(le16toh(c.num_queues), 4);
	assert_int_equal(c.wce, 1);
	assert_int_equal(le32toh(c.max_discard_seg), 1);
	assert_true(t.d->offered & F(MQ));
	assert_false(t.d->offered & F(RO));
	driver_fini(&t);
}

static void test_get_id_is_cut_to_twenty_bytes(void **state)
{
	char id[21] = "";
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ 0 }, 0);
	assert_int_equal(request(&t, VIRTIO_BLK_T_GET_ID, 0, id, 20), VIRTIO_BLK_S_OK);
	assert_string_equal(id, "serial-number-longer");
	driver_fini(&t);
}

static void test_requests_that_make_no_sense_get_an_error_and_do_nothing(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		int want;
	} cases[] = {
		{ VIRTIO_BLK_T_IN, DISK_SECTORS, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, DISK_SECTORS - 1, 1024, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, UINT64_MAX / 512, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, 511, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, 100, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, 15, VIRTIO_BLK_S_IOERR },
		{ 77, 0, 512, VIRTIO_BLK_S_UNSUPP },
	};
	uint8_t buf[1024] = { 1 };
	struct vblk_counts n;
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ .async = true }, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int got = request(&t, cases[i].type, cases[i].sector, buf, cases[i].len);

		if (got != cases[i].want)
			fail_msg("case %zu: want %d, got %d", i, cases[i].want, got);
	}
	vblk_counts(t.d, &n);
	assert_int_equal(n.invalid, sizeof(cases) / sizeof(cases[0]));
	assert_int_equal(n.writes + n.reads + n.failures, 0);
	driver_fini(&t);
}

static void test_a_chain_without_header_or_status_goes_back_and_hurts_nobody(void **state)
{
	struct driver_buf b = { 0x1000, 512, true }, c = { 0x1000, 20, false };
	uint8_t buf[512];
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ .async = true }, 0);
	assert_true(driver_add(&t, 0, &b, 1) >= 0);
	assert_true(driver_add(&t, 0, &c, 1) >= 0);
	driver_kick(&t, 0);
	assert_true(driver_used(&t, 0, NULL) >= 0);
	assert_true(driver_used(&t, 0, NULL) >= 0);
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 0, buf, 512), VIRTIO_BLK_S_OK);
	driver_fini(&t);
}

static void test_segments_may_be_cut_anywhere(void **state)
{
	static uint8_t out[2048], got[2048];
	struct virtio_blk_outhdr hdr = { .type = htole32(VIRTIO_BLK_T_OUT), .sector = htole64(3) };
	uint8_t *p;
	struct driver t;

	(void)state;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	start(&t, &(struct setting){ .async = true }, 0);
	p = driver_ptr(&t, 0x1000, 0x4000);
	memcpy(p, &hdr, 10); /* the header over two segments, data behind it in the second */
	memcpy(p + 0x100, (char *)&hdr + 10, 6);
	memcpy(p + 0x106, out, 2000);
	memcpy(p + 0x1000, out + 2000, 48);
	{
		struct driver_buf b[] = { { 0x1000, 10, false },
					  { 0x1100, 2006, false },
					  { 0x2000, 48, false },
					  { 0x3000, 1, true } };

		assert_true(driver_add(&t, 0, b, 4) >= 0);
	}
	driver_kick(&t, 0);
	assert_true(driver_has_used(&t, 0) || driver_wait(&t, 0, 5000));
	assert_true(driver_used(&t, 0, NULL) >= 0);
	assert_int_equal(p[0x2000], VIRTIO_BLK_S_OK);
	hdr.type = htole32(VIRTIO_BLK_T_IN);
	memcpy(p, &hdr, sizeof(hdr));
	memset(p + 0x100, 0xee, 0x3000);
	{
		/* the status byte is the last of a segment of data */
		struct driver_buf b[] = { { 0x1000, 16, false },
					  { 0x1100, 1000, true },
					  { 0x2000, 1049, true } };

		assert_true(driver_add(&t, 0, b, 3) >= 0);
	}
	driver_kick(&t, 0);
	assert_true(driver_has_used(&t, 0) || driver_wait(&t, 0, 5000));
	assert_true(driver_used(&t, 0, NULL) >= 0);
	memcpy(got, p + 0x100, 1000);
	memcpy(got + 1000, p + 0x1000, 1048);
	assert_memory_equal(got, out, sizeof(out));
	assert_int_equal(p[0x1000 + 1048], VIRTIO_BLK_S_OK);
	driver_fini(&t);
}

static void test_a_read_only_drive_refuses_to_write(void **state)
{
	struct virtio_blk_discard_write_zeroes range = { .num_sectors = htole32(8) };
	uint8_t buf[512] = { 0 };
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ .readonly = true }, F(RO));
	assert_true(t.d->offered & F(RO));
	assert_false(t.d->offered & (F(DISCARD) | F(WRITE_ZEROES)));
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&t, VIRTIO_BLK_T_DISCARD, 0, &range, sizeof(range)), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&t, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range, sizeof(range)),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 0, buf, 512), VIRTIO_BLK_S_OK);
	driver_fini(&t);
}

static void test_discard_and_write_zeroes_take_one_range(void **state)
{
	struct virtio_blk_discard_write_zeroes range = { .sector = htole64(8), .num_sectors = htole32(16) };
	static uint8_t buf[65536];
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ .async = true }, F(DISCARD) | F(WRITE_ZEROES));
	memset(buf, 1, sizeof(buf));
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, sizeof(buf)), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&t, VIRTIO_BLK_T_DISCARD, 0, &range, sizeof(range)), VIRTIO_BLK_S_OK);
	range.sector = htole64(64);
	assert_int_equal(request(&t, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range, sizeof(range)), VIRTIO_BLK_S_OK);
	range.flags = htole32(1);
	assert_int_equal(request(&t, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range, sizeof(range)), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&t, VIRTIO_BLK_T_DISCARD, 0, &range, sizeof(range)), VIRTIO_BLK_S_UNSUPP);
	range.flags = htole32(6);
	assert_int_equal(request(&t, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range, sizeof(range)),
			 VIRTIO_BLK_S_UNSUPP);
	range = (struct virtio_blk_discard_write_zeroes){ .sector = htole64(DISK_SECTORS - 1),
							  .num_sectors = htole32(2) };
	assert_int_equal(request(&t, VIRTIO_BLK_T_DISCARD, 0, &range, sizeof(range)), VIRTIO_BLK_S_IOERR);
	range = (struct virtio_blk_discard_write_zeroes){ .num_sectors = htole32(UINT32_MAX) };
	assert_int_equal(request(&t, VIRTIO_BLK_T_WRITE_ZEROES, 0, &range, sizeof(range)),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 0, buf, sizeof(buf)), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < sizeof(buf); i++) {
		bool zero = (i >= 8 * 512 && i < 24 * 512) || (i >= 64 * 512 && i < 80 * 512);

		assert_int_equal(buf[i], !zero);
	}
	driver_fini(&t);
}

/* --- when writes are safe --------------------------------------------------------------------------------- */

static unsigned n_syncs;

static long count_syncs(long nr, long a, long b, long c, long d, long e, long f)
{
	n_syncs += nr == SYS_fdatasync;
	return sys_call_real(nr, a, b, c, d, e, f);
}

static void test_without_a_write_cache_each_write_is_followed_by_a_flush(void **state)
{
	uint8_t buf[512] = { 0 }, off = 0, on = 1;
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ 0 }, F(FLUSH) | F(CONFIG_WCE));
	sys_call = count_syncs;
	n_syncs = 0;
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(n_syncs, 0);
	vdev_config_write(t.d, offsetof(struct virtio_blk_config, wce), &off, 1);
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(n_syncs, 1);
	vdev_config_write(t.d, offsetof(struct virtio_blk_config, wce), &on, 1);
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(n_syncs, 1);
	driver_restart(&t, 0, 0); /* a driver that cannot flush */
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(n_syncs, 2);
	driver_fini(&t);
}

/* --- many at once ----------------------------------------------------------------------------------------- */

static unsigned add_reads(struct driver *t, unsigned n)
{
	struct virtio_blk_outhdr hdr = { .type = htole32(VIRTIO_BLK_T_IN) };
	gpa_t h = driver_put(t, &hdr, sizeof(hdr)), data = driver_alloc(t, 4096, 4096),
	      s = driver_alloc(t, 64, 64);
	unsigned added = 0;

	while (added < n) {
		struct driver_buf b[] = { { h, sizeof(hdr), false },
					  { data, 512, true },
					  { s + 32, 1, true } };

		if (driver_add(t, 0, b, 3) < 0)
			break;
		added++;
	}
	return added;
}

static unsigned collect(struct driver *t, unsigned want)
{
	unsigned got = 0;

	while (got < want && (driver_has_used(t, 0) || driver_wait(t, 0, 5000)))
		while (driver_used(t, 0, NULL) >= 0)
			got++;
	return got;
}

/* interrupts_of_a_full_ring() - @head_start_ms: how long the disk may work before the device looks at what is done */
static unsigned interrupts_of_a_full_ring(uint64_t features, unsigned head_start_ms)
{
	unsigned n, interrupts;
	struct driver t;

	start(&t, &(struct setting){ .async = true }, features);
	n = add_reads(&t, 1000);
	assert_true(n >= 85);
	driver_kick(&t, 0);
	usleep(head_start_ms * 1000);
	assert_int_equal(collect(&t, n), n);
	interrupts = t.n_interrupts[0];
	driver_fini(&t);
	return interrupts;
}

static void test_a_full_ring_is_served_in_one_go_with_few_interrupts(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		unsigned least = UINT_MAX;

		/* on a busy machine the disk is slow, and what comes one by one is told one by one: it gets more time */
		for (unsigned tries = 0; tries < 10 && least > 8; tries++) {
			unsigned now =
				interrupts_of_a_full_ring(driver_layouts[l].features, 30 * tries * tries);

			least = now < least ? now : least;
		}
		assert_in_range(least, 1, 8);
	}
}

static void test_reset_and_pause_leave_nothing_under_way(void **state)
{
	uint8_t buf[512];
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ .async = true }, VDEV_F_INDIRECT);
	assert_true(add_reads(&t, 100) == 100);
	driver_kick(&t, 0);
	vdev_pause(t.d);
	for (unsigned i = 0; i < 100; i++)
		assert_true(driver_used(&t, 0, NULL) >= 0);
	vdev_resume(t.d);
	assert_true(add_reads(&t, 100) == 100);
	driver_kick(&t, 0);
	t.brk = 0x10000;
	driver_restart(&t, 0, 0);
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 0, buf, 512), VIRTIO_BLK_S_OK);
	driver_fini(&t);
}

static void test_state_moves_to_another_drive(void **state)
{
	uint8_t buf[512] = { 0 }, off = 0;
	struct setting s = { .async = true };
	struct virtio_blk_config c;
	struct err e = { 0 };
	struct driver t;

	(void)state;
	start(&t, &s, F(FLUSH) | F(CONFIG_WCE) | VDEV_F_PACKED);
	vdev_config_write(t.d, offsetof(struct virtio_blk_config, wce), &off, 1);
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_OK);
	if (driver_move(&t, drive(&t, &s), &e) < 0)
		fail_msg("%s", e.text);
	config(&t, &c);
	assert_int_equal(c.wce, 0);
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 0, buf, 512), VIRTIO_BLK_S_OK);
	driver_fini(&t);
}

/* --- limits, and another file ----------------------------------------------------------------------------- */

static void test_a_limited_drive_makes_requests_wait_and_loses_none(void **state)
{
	struct setting s = { .async = true, .limit.ops = { .size = 10, .refill_ms = 100 } };
	struct vblk_counts n;
	struct driver t;
	nsec_t begin = time_now_ns(CLOCK_MONOTONIC);

	(void)state;
	start(&t, &s, VDEV_F_INDIRECT);
	assert_true(add_reads(&t, 25) == 25);
	driver_kick(&t, 0);
	assert_int_equal(collect(&t, 25), 25);
	assert_true(time_now_ns(CLOCK_MONOTONIC) - begin >= 100 * NSEC_PER_MSEC);
	vblk_counts(t.d, &n);
	assert_true(n.throttled >= 1 && n.limiter_events >= 1);
	assert_true(add_reads(&t, 30) == 30);
	driver_kick(&t, 0);
	vblk_limit(t.d, NULL, &(struct bucket_config){ 0 }); /* no limit any more: what waits goes at once */
	assert_int_equal(collect(&t, 30), 30);
	driver_fini(&t);
}

static void test_another_file_takes_the_place_and_the_driver_is_told(void **state)
{
	uint8_t buf[512] = { 0 };
	struct virtio_blk_config c;
	struct vblk_counts n;
	struct err e = { 0 };
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ .async = true }, 0);
	memset(buf, 7, 512);
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(vblk_set_disk(t.d, disk(100, false, true), &e), 0);
	assert_int_equal(t.n_config, 1);
	config(&t, &c);
	assert_int_equal(le64toh(c.capacity), 100);
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 0, buf, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(buf[0], 0);
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 100, buf, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vblk_set_disk(t.d, disk(100, true, true), &e), -EINVAL);
	assert_string_equal(e.text, "drive 'test': a drive cannot become read-only, or writable");
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_OK);
	vblk_counts(t.d, &n);
	assert_int_equal(n.updates, 1);
	assert_int_equal(n.update_failures, 1);
	driver_fini(&t);
}

static long broken_disk(long nr, long a, long b, long c, long d, long e, long f)
{
	return nr == SYS_preadv || nr == SYS_pwritev ? -EIO : sys_call_real(nr, a, b, c, d, e, f);
}

static void test_a_broken_disk_is_an_error_of_the_request_alone(void **state)
{
	uint8_t buf[512] = { 0 };
	struct vblk_counts n;
	struct driver t;

	(void)state;
	start(&t, &(struct setting){ 0 }, 0);
	sys_call = broken_disk;
	assert_int_equal(request(&t, VIRTIO_BLK_T_OUT, 0, buf, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 0, buf, 512), VIRTIO_BLK_S_IOERR);
	sys_call = sys_call_real;
	assert_int_equal(request(&t, VIRTIO_BLK_T_IN, 0, buf, 512), VIRTIO_BLK_S_OK);
	vblk_counts(t.d, &n);
	assert_int_equal(n.failures, 2);
	driver_fini(&t);
}

static struct vdev *hostile_drive(struct driver *t)
{
	return drive(t, &(struct setting){ .async = true });
}

static void test_rings_that_cannot_be_trusted_need_a_reset(void **state)
{
	(void)state;
	driver_hostile_all(hostile_drive, 0, 0);
}

static void test_too_many_queues_are_refused(void **state)
{
	struct vblk_config c = { .name = "d", .disk = disk(8, false, false), .queues = 17 };
	struct gmem mem = { 0 };
	struct err e = { 0 };
	struct vdev *d;

	(void)state;
	assert_int_equal(vblk_new(&d, &c, &mem, &loop, &e), -EINVAL);
	assert_string_equal(e.text, "d: 17 queues, at most 16");
	assert_int_equal(fcntl(disk_fd, F_GETFD), -1); /* the disk is closed */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_written_is_read_on_every_layout),
		TEST(test_the_configuration_space_describes_the_disk),
		TEST(test_get_id_is_cut_to_twenty_bytes),
		TEST(test_requests_that_make_no_sense_get_an_error_and_do_nothing),
		TEST(test_a_chain_without_header_or_status_goes_back_and_hurts_nobody),
		TEST(test_segments_may_be_cut_anywhere),
		TEST(test_a_read_only_drive_refuses_to_write),
		TEST(test_discard_and_write_zeroes_take_one_range),
		TEST(test_without_a_write_cache_each_write_is_followed_by_a_flush),
		TEST(test_a_full_ring_is_served_in_one_go_with_few_interrupts),
		TEST(test_reset_and_pause_leave_nothing_under_way),
		TEST(test_state_moves_to_another_drive),
		TEST(test_a_limited_drive_makes_requests_wait_and_loses_none),
		TEST(test_another_file_takes_the_place_and_the_driver_is_told),
		TEST(test_a_broken_disk_is_an_error_of_the_request_alone),
		TEST(test_rings_that_cannot_be_trusted_need_a_reset),
		TEST(test_too_many_queues_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
