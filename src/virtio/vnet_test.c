/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vnet.h"

#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "net/link.h"
#include "net/mmds.h"
#include "virtio/driver_testing.h"

#define BIT(n) (1ULL << (n))

enum { RX, TX, CTRL };

/* --- a link that the test holds in its hand ----------------------------------------------------------------- */

enum { FRAMES_MAX = 600 };

struct wire {
	struct link link;
	struct {
		uint8_t *bytes; /* owned */
		size_t len;
	} in[FRAMES_MAX], out[FRAMES_MAX]; /* to the guest; from the guest */
	unsigned n_in, next_in, n_out;
	bool full; /* send() says -EAGAIN */
	unsigned tun_f, n_recv;
	bool *freed;
};

static int wire_send(struct link *l, const struct iovec *iov, unsigned n)
{
	struct wire *w = (struct wire *)l;
	size_t len = link_iov_bytes(iov, n);

	if (w->full)
		return -EAGAIN;
	BUG_ON(w->n_out == FRAMES_MAX);
	w->out[w->n_out].bytes = malloc(len);
	BUG_ON(!w->out[w->n_out].bytes);
	w->out[w->n_out].len = link_iov_copy(w->out[w->n_out].bytes, len, iov, n, 0);
	w->n_out++;
	return 0;
}

static long wire_recv(struct link *l, const struct iovec *iov, unsigned n)
{
	struct wire *w = (struct wire *)l;
	unsigned at = w->next_in;

	w->n_recv++;
	if (at == w->n_in)
		return -EAGAIN;
	w->next_in++;
	if (link_iov_fill(iov, n, 0, w->in[at].bytes, w->in[at].len) < w->in[at].len)
		return -EMSGSIZE;
	return (long)w->in[at].len;
}

static int wire_offloads(struct link *l, unsigned tun_f)
{
	((struct wire *)l)->tun_f = tun_f;
	return 0;
}

static void wire_free(struct link *l)
{
	struct wire *w = (struct wire *)l;

	for (unsigned i = 0; i < FRAMES_MAX; i++) {
		free(w->in[i].bytes);
		free(w->out[i].bytes);
	}
	if (w->freed)
		*w->freed = true;
	free(w);
}

static const struct link_ops wire_ops = {
	.name = "wire",
	.send = wire_send,
	.recv = wire_recv,
	.offloads = wire_offloads,
	.free = wire_free,
};

static struct wire *wire_new(void)
{
	struct wire *w = calloc(1, sizeof(*w));

	BUG_ON(!w);
	w->link = (struct link){ .ops = &wire_ops,
				 .host_offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN };
	return w;
}

/* wire_put() - a frame of @len bytes for the guest, each byte telling where it is. */
static void wire_put(struct wire *w, size_t len, uint8_t mark)
{
	uint8_t *p = malloc(len);

	BUG_ON(!p || w->n_in == FRAMES_MAX);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(mark + i * 31 + (i >> 8));
	w->in[w->n_in].bytes = p;
	w->in[w->n_in++].len = len;
}

/* --- a card ------------------------------------------------------------------------------------------------- */

struct fixture {
	struct driver t;
	struct loop loop;
	struct wire *w;
	struct vnet_config c;
};

static const uint64_t ALL =
	BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_CSUM) |
	BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
	BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CTRL_VQ) |
	BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);

static struct vdev *card(struct fixture *f)
{
	struct vdev *d = NULL;
	struct err e = { 0 };

	f->w = wire_new();
	if (vnet_new(&d, &f->c, &f->w->link, &f->t.mem, &f->loop, &e) < 0)
		fail_msg("%s", e.text);
	return d;
}

static void up(struct fixture *f, uint64_t features)
{
	f->loop = (struct loop){ .epfd = -1 };
	assert_int_equal(loop_init(&f->loop), 0);
	driver_init(&f->t, 16 << 20);
	if (!f->c.name)
		f->c = (struct vnet_config){ .name = "network interface 'eth0'",
					     .has_mac = true,
					     .mac = { 2, 0, 0, 0, 0, 1 },
					     .mtu = 1400 };
	driver_start(&f->t, card(f), features);
}

static void down(struct fixture *f)
{
	driver_fini(&f->t);
	loop_fini(&f->loop);
}

static void stop(void *arg)
{
	((struct loop *)arg)->stop = true;
}

/* turn() - the loop, for @ms. */
static void turn(struct fixture *f, int ms)
{
	struct loop_timer late = { .fire = stop, .arg = &f->loop };

	f->loop.stop = false;
	loop_timer_set(&f->loop, &late, ms * NSEC_PER_MSEC);
	assert_int_equal(loop_run(&f->loop), 0);
}

/* add_rx() - @n buffers of @len bytes, in @segs segments each. Return: guest address of the first; they lie in a row. */
static gpa_t add_rx(struct fixture *f, unsigned n, uint32_t len, unsigned segs)
{
	gpa_t at = driver_alloc(&f->t, (uint64_t)n * len, 4096);

	for (unsigned i = 0; i < n; i++) {
		struct driver_buf b[8];
		uint32_t done = 0;

		for (unsigned k = 0; k < segs; k++) {
			uint32_t here = k + 1 < segs ? len / segs : len - done;

			b[k] = (struct driver_buf){ at + (gpa_t)i * len + done, here, true };
			done += here;
		}
		assert_true(driver_add(&f->t, RX, b, segs) >= 0);
	}
	return at;
}

/* check_frame() - @got is the frame wire_put() made, but for num_buffers. */
static void check_frame(const uint8_t *got, size_t len, uint8_t mark, unsigned bufs)
{
	for (size_t i = 0; i < len; i++)
		if (i != 10 && i != 11)
			assert_int_equal(got[i], (uint8_t)(mark + i * 31 + (i >> 8)));
	assert_int_equal(got[10] | got[11] << 8, bufs);
}

/* NOLINTNEXTLINE(bugprone-macro-parentheses): a variable's name takes none */
#define EACH_LAYOUT(l) for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)

static void test_vnet_tells_its_configuration(void **state)
{
	struct fixture f = { 0 };
	struct virtio_net_config c;
	uint8_t far[8];

	(void)state;
	up(&f, ALL);
	vdev_config_read(f.t.d, 0, &c, sizeof(c));
	assert_memory_equal(c.mac, "\x02\0\0\0\0\x01", 6);
	assert_int_equal(c.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(c.mtu, 1400);
	vdev_config_read(f.t.d, UINT32_MAX - 3, far, sizeof(far));
	assert_memory_equal(far, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(f.w->tun_f, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
	assert_false(f.t.d->offered & BIT(VIRTIO_NET_F_GUEST_UFO)); /* the link does not know it */
	down(&f);
}

static void test_vnet_sends_frames_as_they_lie_in_the_guest(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct fixture f = { 0 };
		uint8_t frame[1514 + 12];

		up(&f, ALL | driver_layouts[l].features);
		for (unsigned i = 0; i < sizeof(frame); i++)
			frame[i] = (uint8_t)(i * 3);
		for (int round = 0; round < 300; round++) {
			gpa_t brk = f.t.brk, at = driver_put(&f.t, frame, sizeof(frame));
			struct driver_buf b[] = { { at, 12, false },
						  { at + 12, 1000, false },
						  { at + 1012, 514, false } };

			f.w->n_out = 0;
			assert_true(driver_add(&f.t, TX, b, 3) >= 0);
			driver_kick(&f.t, TX);
			assert_int_equal(f.w->n_out, 1);
			assert_int_equal(f.w->out[0].len, sizeof(frame));
			assert_memory_equal(f.w->out[0].bytes, frame, sizeof(frame));
			free(f.w->out[0].bytes);
			f.w->out[0].bytes = NULL;
			assert_true(driver_used(&f.t, TX, NULL) >= 0);
			f.t.brk = brk;
		}
		assert_int_equal(f.t.n_interrupts[TX],
				 f.t.event_idx && !f.t.packed ? 1 : 300); /* asked once, told once */
		down(&f);
	}
}

static void test_vnet_receives_with_one_interrupt_for_many(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct fixture f = { 0 };
		uint32_t len;
		gpa_t at;

		up(&f, ALL | driver_layouts[l].features);
		at = add_rx(&f, 32, 1600, 2);
		driver_kick(&f.t, RX);
		assert_int_equal(f.t.n_interrupts[RX], 0);
		for (int i = 0; i < 20; i++)
			wire_put(f.w, 100 + (size_t)i * 70, (uint8_t)i);
		f.w->link.ready(f.w->link.arg);
		for (int i = 0; i < 20; i++) {
			assert_true(driver_used(&f.t, RX, &len) >= 0);
			assert_int_equal(len, 100 + i * 70);
			check_frame(driver_ptr(&f.t, at + (gpa_t)i * 1600, len), len, (uint8_t)i, 1);
		}
		assert_int_equal(driver_used(&f.t, RX, NULL), -EAGAIN);
		assert_int_equal(f.t.n_interrupts[RX], 1);
		down(&f);
	}
}

/* used_frame() - take the chains of one frame back: they must all be there. Return: bytes. */
static size_t used_frame(struct fixture *f, gpa_t first, unsigned want)
{
	size_t sum = 0;
	uint32_t len = 0;

	(void)first;
	for (unsigned i = 0; i < want; i++) {
		assert_true(driver_used(&f->t, RX, &len) >= 0);
		sum += len;
	}
	return sum;
}

static void test_vnet_spreads_a_long_frame_over_buffers(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct fixture f = { 0 };
		size_t big = 65000;
		gpa_t at;

		up(&f, ALL | driver_layouts[l].features);
		at = add_rx(&f, 100, 2048, 1);
		/* the first comes unexpected, the second finds the pool full, the third is short again */
		wire_put(f.w, big, 1);
		wire_put(f.w, big, 2);
		wire_put(f.w, 60, 3);
		driver_kick(&f.t, RX);
		assert_int_equal(used_frame(&f, at, 32), big);
		check_frame(driver_ptr(&f.t, at, big), big, 1, 32);
		assert_int_equal(used_frame(&f, at, 32), big);
		check_frame(driver_ptr(&f.t, at + 32 * 2048, big), big, 2, 32);
		assert_int_equal(used_frame(&f, at, 1), 60);
		check_frame(driver_ptr(&f.t, at + 64 * 2048, 60), 60, 3, 1);
		assert_int_equal(driver_used(&f.t, RX, NULL), -EAGAIN);
		down(&f);
	}
}

static void test_vnet_keeps_a_frame_that_finds_too_few_buffers(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct vnet_counts n;
		struct fixture f = { 0 };
		gpa_t at;

		up(&f, ALL | driver_layouts[l].features);
		at = add_rx(&f, 3, 2000, 1);
		wire_put(f.w, 9000, 7);
		wire_put(f.w, 500, 8);
		driver_kick(&f.t, RX);
		assert_int_equal(driver_used(&f.t, RX, NULL), -EAGAIN);
		vnet_counts(f.t.d, &n);
		assert_int_equal(n.rx_no_buffers, 1);
		f.t.brk = at + 3 * 2000; /* the next lie right behind */
		for (unsigned i = 3; i < 8; i++) {
			struct driver_buf b = { at + 2000 * i, 2000, true };

			driver_alloc(&f.t, 2000, 1);
			assert_true(driver_add(&f.t, RX, &b, 1) >= 0);
			driver_should_kick(&f.t, RX);
		}
		driver_kick(&f.t, RX);
		assert_int_equal(used_frame(&f, at, 5), 9000);
		check_frame(driver_ptr(&f.t, at, 9000), 9000, 7, 5);
		assert_int_equal(used_frame(&f, at, 1), 500);
		down(&f);
	}
}

static void test_vnet_asks_for_kicks_only_while_it_lacks_buffers(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct fixture f = { 0 };

		up(&f, ALL | driver_layouts[l].features);
		wire_put(f.w, 100, 1);
		f.w->link.ready(f.w->link.arg); /* a frame, and nowhere to put it */
		add_rx(&f, 1, 2000, 1);
		assert_true(driver_should_kick(&f.t, RX));
		add_rx(&f, 1, 2000, 1);
		driver_kick(&f.t, RX);
		assert_int_equal(used_frame(&f, 0, 1), 100);
		add_rx(&f, 1, 2000, 1);
		assert_false(driver_should_kick(&f.t, RX)); /* it has one left */
		down(&f);
	}
}

static void test_vnet_drops_what_is_too_long_without_mergeable_buffers(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct fixture f = { 0 };
		gpa_t at;

		up(&f, (ALL & ~BIT(VIRTIO_NET_F_MRG_RXBUF)) | driver_layouts[l].features);
		at = add_rx(&f, 4, 1526, 2);
		wire_put(f.w, 4000, 1);
		wire_put(f.w, 1526, 2);
		driver_kick(&f.t, RX);
		assert_int_equal(used_frame(&f, at, 1), 1526);
		check_frame(driver_ptr(&f.t, at, 1526), 1526, 2, 1);
		assert_int_equal(driver_used(&f.t, RX, NULL), -EAGAIN);
		down(&f);
	}
}

static void test_vnet_waits_for_a_full_link(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct fixture f = { 0 };
		uint8_t frame[100] = { 0 };
		struct driver_buf b = { 0 };

		up(&f, ALL | driver_layouts[l].features);
		f.w->full = true;
		b = (struct driver_buf){ driver_put(&f.t, frame, sizeof(frame)), sizeof(frame), false };
		for (int i = 0; i < 5; i++)
			assert_true(driver_add(&f.t, TX, &b, 1) >= 0);
		driver_kick(&f.t, TX);
		assert_int_equal(driver_used(&f.t, TX, NULL), -EAGAIN);
		f.w->full = false;
		f.w->link.ready(f.w->link.arg);
		for (int i = 0; i < 5; i++)
			assert_true(driver_used(&f.t, TX, NULL) >= 0);
		assert_int_equal(f.w->n_out, 5);
		assert_int_equal(f.t.n_interrupts[TX], 1);
		down(&f);
	}
}

static void test_vnet_gives_bad_chains_back_and_goes_on(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct fixture f = { 0 };
		struct vnet_counts n;
		gpa_t at;
		uint32_t len;

		up(&f, ALL | driver_layouts[l].features);
		at = driver_alloc(&f.t, 1 << 20, 4096);
		struct driver_buf tx[] = { { at, 25, false },
					   { at, LINK_FRAME_MAX + 1, false },
					   { at, 64, true } };
		struct driver_buf rx[] = { { at, 25, true }, { at, 2000, false } };

		for (int i = 0; i < 3; i++)
			assert_true(driver_add(&f.t, TX, &tx[i], 1) >= 0);
		driver_kick(&f.t, TX);
		for (int i = 0; i < 3; i++)
			assert_true(driver_used(&f.t, TX, &len) >= 0);
		assert_int_equal(f.w->n_out, 0);
		for (int i = 0; i < 2; i++)
			assert_true(driver_add(&f.t, RX, &rx[i], 1) >= 0);
		add_rx(&f, 1, 2000, 1);
		wire_put(f.w, 77, 1);
		driver_kick(&f.t, RX);
		for (int i = 0; i < 3; i++) {
			assert_true(driver_used(&f.t, RX, &len) >= 0);
			assert_int_equal(len, i < 2 ? 0 : 77);
		}
		vnet_counts(f.t.d, &n);
		assert_int_equal(n.tx_bad, 3);
		assert_int_equal(n.rx_bad, 2);
		assert_int_equal(n.rx_frames, 1);
		assert_int_equal(f.t.d->status, 15);
		down(&f);
	}
}

static uint8_t control(struct fixture *f, uint8_t class, uint8_t cmd, const void *data, size_t len)
{
	uint8_t out[16] = { class, cmd }, ack = 0xee;

	memcpy(out + 2, data, len);
	assert_int_equal(driver_request(&f->t, CTRL, out, (uint32_t)(2 + len), &ack, 1), 1);
	return ack;
}

static void test_vnet_obeys_its_control_queue(void **state)
{
	struct virtio_net_config c;
	struct fixture f = { 0 };
	uint64_t bits = htole64(BIT(VIRTIO_NET_F_GUEST_CSUM));

	(void)state;
	up(&f, ALL);
	assert_int_equal(control(&f, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "\1", 1), VIRTIO_NET_OK);
	assert_int_equal(control(&f, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x02hull!", 6),
			 VIRTIO_NET_OK);
	vdev_config_read(f.t.d, 0, &c, sizeof(c));
	assert_memory_equal(c.mac, "\x02hull!", 6);
	assert_int_equal(control(&f, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x02hul", 4),
			 VIRTIO_NET_ERR);
	assert_int_equal(control(&f, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &bits, 8), VIRTIO_NET_OK);
	assert_int_equal(f.w->tun_f, TUN_F_CSUM);
	bits = htole64(BIT(VIRTIO_NET_F_GUEST_ECN)); /* not negotiated */
	assert_int_equal(control(&f, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &bits, 8), VIRTIO_NET_ERR);
	assert_int_equal(control(&f, 77, 0, "", 0), VIRTIO_NET_ERR);
	down(&f);
}

static void test_vnet_keeps_to_its_limits(void **state)
{
	struct fixture f = { 0 };
	struct vnet_limits off = { 0 };
	struct bucket_config none = { 0 };
	uint8_t frame[100] = { 0 };
	struct driver_buf b;
	struct vnet_counts n;
	int back = 0;

	(void)state;
	f.c = (struct vnet_config){ .name = "eth0",
				    .rx.ops = { .size = 3, .refill_ms = 60000 },
				    .tx.bytes = { .size = 250, .refill_ms = 60000 } };
	up(&f, ALL);
	add_rx(&f, 10, 2000, 1);
	for (int i = 0; i < 5; i++)
		wire_put(f.w, 100, (uint8_t)i);
	driver_kick(&f.t, RX);
	assert_int_equal(used_frame(&f, 0, 3), 300);
	assert_int_equal(driver_used(&f.t, RX, NULL), -EAGAIN);
	b = (struct driver_buf){ driver_put(&f.t, frame, sizeof(frame)), sizeof(frame), false };
	for (int i = 0; i < 5; i++)
		assert_true(driver_add(&f.t, TX, &b, 1) >= 0);
	driver_kick(&f.t, TX);
	while (driver_used(&f.t, TX, NULL) >= 0)
		back++;
	assert_in_range(back, 2, 3);
	vnet_counts(f.t.d, &n);
	assert_int_equal(n.rx_limited, 1);
	assert_int_equal(n.tx_limited, 1);
	off.rx_ops = off.tx_bytes = &none; /* from now on: no limits */
	vnet_limit(f.t.d, &off);
	turn(&f, 20);
	assert_int_equal(used_frame(&f, 0, 2), 200);
	while (driver_used(&f.t, TX, NULL) >= 0)
		back++;
	assert_int_equal(back, 5);
	down(&f);
}

static void test_vnet_goes_on_when_the_limiters_time_has_come(void **state)
{
	struct fixture f = { 0 };
	int got = 0;

	(void)state;
	f.c = (struct vnet_config){ .name = "eth0", .rx.ops = { .size = 2, .refill_ms = 100 } };
	up(&f, ALL);
	add_rx(&f, 10, 2000, 1);
	for (int i = 0; i < 5; i++)
		wire_put(f.w, 100, (uint8_t)i);
	driver_kick(&f.t, RX);
	assert_int_equal(used_frame(&f, 0, 2), 200);
	for (int i = 0; i < 100 && got < 3; i++) {
		turn(&f, 20);
		while (driver_used(&f.t, RX, NULL) >= 0)
			got++;
	}
	assert_int_equal(got, 3);
	down(&f);
}

static void test_vnet_goes_on_after_a_snapshot(void **state)
{
	(void)state;
	EACH_LAYOUT(l)
	{
		struct fixture f = { 0 };
		struct err e = { 0 };
		struct virtio_net_config c;
		uint64_t bits = htole64(BIT(VIRTIO_NET_F_GUEST_CSUM));
		struct vdev *fresh;

		up(&f, ALL | driver_layouts[l].features);
		add_rx(&f, 10, 2000, 1);
		wire_put(f.w, 100, 1);
		driver_kick(&f.t, RX);
		assert_int_equal(used_frame(&f, 0, 1), 100);
		assert_int_equal(control(&f, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &bits, 8), VIRTIO_NET_OK);
		assert_int_equal(
			control(&f, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x02hull!", 6),
			VIRTIO_NET_OK);
		fresh = card(&f);
		if (driver_move(&f.t, fresh, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(f.w->tun_f, TUN_F_CSUM);
		vdev_config_read(f.t.d, 0, &c, sizeof(c));
		assert_memory_equal(c.mac, "\x02hull!", 6);
		wire_put(f.w, 6000, 2);
		f.w->link.ready(f.w->link.arg);
		assert_int_equal(used_frame(&f, 0, 3), 6000);
		down(&f);
	}
}

static void test_vnet_answers_for_the_metadata_service_itself(void **state)
{
	static const uint8_t ask[] = "\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\x02hull!\x08\x06"
				     "\0\1\x08\0\6\4\0\1\x02hull!\xa9\xfe\1\1\0\0\0\0\0\0\xa9\xfe\xa9\xfe";
	struct fixture f = { 0 };
	uint8_t other[sizeof(ask) - 1], *got;
	struct mmds *m;
	gpa_t at;

	(void)state;
	assert_int_equal(mmds_new(&m, 1000, NULL), 0);
	f.c = (struct vnet_config){ .name = "eth0", .mmds = m };
	up(&f, ALL);
	at = add_rx(&f, 2, 2000, 1);
	assert_int_equal(driver_request(&f.t, TX, ask, sizeof(ask) - 1, NULL, 0), 0);
	assert_int_equal(f.w->n_out, 0);
	assert_int_equal(used_frame(&f, at, 1), 54);
	got = driver_ptr(&f.t, at, 54);
	assert_memory_equal(got + 12, "\x02hull!\x06\x01\x23\x45\x67\x01\x08\x06", 14);
	assert_memory_equal(got + 34, "\x06\x01\x23\x45\x67\x01\xa9\xfe\xa9\xfe\x02hull!\xa9\xfe\1\1", 20);
	memcpy(other, ask, sizeof(other)); /* another's address goes to the link */
	other[sizeof(other) - 1] = 1;
	assert_int_equal(driver_request(&f.t, TX, other, sizeof(other), NULL, 0), 0);
	assert_int_equal(f.w->n_out, 1);
	assert_int_equal(vnet_mmds_counts(f.t.d)->rx_accepted, 1);
	down(&f);
	mmds_free(m);
}

static void test_vnet_refuses_an_mtu_and_frees_the_link(void **state)
{
	struct vnet_config c = { .name = "network interface 'eth0'", .mtu = 67 };
	struct wire *w = wire_new();
	struct vdev *d = NULL;
	struct err e = { 0 };
	bool freed = false;

	(void)state;
	w->freed = &freed;
	assert_int_equal(vnet_new(&d, &c, &w->link, NULL, NULL, &e), -EINVAL);
	assert_string_equal(e.text, "network interface 'eth0': mtu: 67, want 68 to 65535");
	assert_true(freed);
}

/* --- hostile queues ----------------------------------------------------------------------------------------- */

static struct loop hostile_loop;

static struct vdev *hostile_card(struct driver *t)
{
	static const struct vnet_config c = { .name = "eth0" };
	struct wire *w = wire_new();
	struct vdev *d;

	for (int i = 0; i < 5; i++)
		wire_put(w, 100, 1);
	BUG_ON(vnet_new(&d, &c, &w->link, &t->mem, &hostile_loop, NULL) < 0);
	return d;
}

static void test_vnet_survives_hostile_queues(void **state)
{
	(void)state;
	hostile_loop.epfd = -1;
	assert_int_equal(loop_init(&hostile_loop), 0);
	for (unsigned q = RX; q <= CTRL; q++)
		driver_hostile_all(hostile_card, q, ALL);
	loop_fini(&hostile_loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vnet_tells_its_configuration),
		cmocka_unit_test(test_vnet_sends_frames_as_they_lie_in_the_guest),
		cmocka_unit_test(test_vnet_receives_with_one_interrupt_for_many),
		cmocka_unit_test(test_vnet_spreads_a_long_frame_over_buffers),
		cmocka_unit_test(test_vnet_keeps_a_frame_that_finds_too_few_buffers),
		cmocka_unit_test(test_vnet_asks_for_kicks_only_while_it_lacks_buffers),
		cmocka_unit_test(test_vnet_drops_what_is_too_long_without_mergeable_buffers),
		cmocka_unit_test(test_vnet_waits_for_a_full_link),
		cmocka_unit_test(test_vnet_gives_bad_chains_back_and_goes_on),
		cmocka_unit_test(test_vnet_obeys_its_control_queue),
		cmocka_unit_test(test_vnet_keeps_to_its_limits),
		cmocka_unit_test(test_vnet_goes_on_when_the_limiters_time_has_come),
		cmocka_unit_test(test_vnet_goes_on_after_a_snapshot),
		cmocka_unit_test(test_vnet_answers_for_the_metadata_service_itself),
		cmocka_unit_test(test_vnet_refuses_an_mtu_and_frees_the_link),
		cmocka_unit_test(test_vnet_survives_hostile_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
