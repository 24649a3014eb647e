/* SPDX-License-Identifier: Apache-2.0 */
#include "net/link.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "io/loop.h"
#include "sys/tun.h"

static const char tap_name[] = "hulltap0";
static bool can; /* this process has a network namespace of its own and may make taps in it */

#define NEED_TAP()                                                                                           \
	do {                                                                                                 \
		if (!can) {                                                                                  \
			print_message("needs /dev/net/tun and a network namespace\n");                       \
			skip();                                                                              \
		}                                                                                            \
	} while (0)

struct world {
	struct loop loop;
	struct loop_timer late;
	struct link *link;
	int packet; /* the host's side of the tap */
	int told;
};

static void too_late(void *arg)
{
	((struct world *)arg)->loop.stop = true;
}

static void told(void *arg)
{
	struct world *w = arg;

	w->told++;
	w->loop.stop = true;
}

/* wait_told() - until ready() was called, or @ms have passed. */
static bool wait_told(struct world *w, int ms)
{
	w->told = 0;
	w->loop.stop = false;
	w->late = (struct loop_timer){ .fire = too_late, .arg = w };
	loop_timer_set(&w->loop, &w->late, ms * NSEC_PER_MSEC);
	assert_int_equal(loop_run(&w->loop), 0);
	loop_timer_off(&w->loop, &w->late);
	return w->told > 0;
}

static int packet_socket(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(tap_name) };

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void world_up(struct world *w)
{
	struct err e = { 0 };

	*w = (struct world){ .loop.epfd = -1 };
	assert_int_equal(loop_init(&w->loop), 0);
	if (link_open_tap(&w->link, &w->loop, tap_name, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(tun_set_up(tap_name), 0);
	w->link->ready = told;
	w->link->arg = w;
	w->packet = packet_socket();
}

static void world_down(struct world *w)
{
	link_free(w->link);
	loop_fini(&w->loop);
	close(w->packet);
}

/* make_frame() - header and an Ethernet frame of a type nobody knows, with @len bytes behind it. */
static size_t make_frame(uint8_t *to, size_t len, uint8_t mark)
{
	memset(to, 0, LINK_HDR_BYTES);
	memset(to + LINK_HDR_BYTES, 0xff, 6);
	memcpy(to + LINK_HDR_BYTES + 6, "\x02hull\x01\x88\xb5", 8);
	memset(to + LINK_HDR_BYTES + LINK_ETH_BYTES, mark, len);
	return LINK_HDR_BYTES + LINK_ETH_BYTES + len;
}

/* packet_recv() - the next frame of our type on the host's side, others are passed over. */
static ssize_t packet_recv(int fd, uint8_t *to, size_t size)
{
	for (int i = 0; i < 1000; i++) {
		ssize_t n = recv(fd, to, size, 0);

		if (n >= LINK_ETH_BYTES && memcmp(to + 12, "\x88\xb5", 2) == 0)
			return n;
		if (n < 0)
			usleep(1000);
	}
	return -1;
}

static void test_tap_carries_frames_to_the_host(void **state)
{
	uint8_t frame[200], got[2000];
	struct world w;
	size_t len;

	(void)state;
	NEED_TAP();
	world_up(&w);
	len = make_frame(frame, 100, 0x5a);
	struct iovec iov[] = { { frame, 30 }, { frame + 30, len - 30 } };
	assert_int_equal(link_send(w.link, iov, 2), 0);
	assert_int_equal(packet_recv(w.packet, got, sizeof(got)), len - LINK_HDR_BYTES);
	assert_memory_equal(got, frame + LINK_HDR_BYTES, len - LINK_HDR_BYTES);
	world_down(&w);
}

/* recv_ours() - the next frame of our type; the kernel's own (neighbour discovery) are passed over. */
static long recv_ours(struct world *w, uint8_t *to, size_t size)
{
	for (int i = 0; i < 100; i++) {
		struct iovec iov = { to, size };
		long n = link_recv(w->link, &iov, 1);

		if (n >= LINK_HDR_BYTES + LINK_ETH_BYTES &&
		    memcmp(to + LINK_HDR_BYTES + 12, "\x88\xb5", 2) == 0)
			return n;
		if (n == -EAGAIN && !wait_told(w, 500))
			return n;
	}
	return -ETIME;
}

static void test_tap_wakes_the_card_when_a_frame_comes(void **state)
{
	uint8_t frame[200], got[2000];
	struct world w;
	size_t len;

	(void)state;
	NEED_TAP();
	world_up(&w);
	len = make_frame(frame, 64, 0x11);
	assert_int_equal(send(w.packet, frame + LINK_HDR_BYTES, len - LINK_HDR_BYTES, 0),
			 len - LINK_HDR_BYTES);
	assert_int_equal(recv_ours(&w, got, sizeof(got)), len);
	assert_memory_equal(got + LINK_HDR_BYTES, frame + LINK_HDR_BYTES, len - LINK_HDR_BYTES);
	world_down(&w);
}

static void test_tap_drops_a_frame_that_does_not_fit(void **state)
{
	uint8_t frame[1000], got[2000];
	struct world w;
	struct iovec small;
	size_t len;
	long r;

	(void)state;
	NEED_TAP();
	world_up(&w);
	while (wait_told(&w, 50)) /* what the kernel says by itself when a device comes up */
		while (recv_ours(&w, got, sizeof(got)) != -EAGAIN)
			;
	len = make_frame(frame, 500, 1);
	assert_true(send(w.packet, frame + LINK_HDR_BYTES, len - LINK_HDR_BYTES, 0) > 0);
	make_frame(frame, 500, 2);
	assert_true(send(w.packet, frame + LINK_HDR_BYTES, len - LINK_HDR_BYTES, 0) > 0);
	small = (struct iovec){ got, len - 1 };
	do {
		r = link_recv(w.link, &small, 1);
	} while (r > 0 && (size_t)r < len - 1); /* the kernel's own again */
	assert_int_equal(r, -EMSGSIZE);
	assert_int_equal(w.link->n_dropped, 1);
	assert_int_equal(recv_ours(&w, got, sizeof(got)), len);
	assert_int_equal(got[LINK_HDR_BYTES + LINK_ETH_BYTES], 2);
	world_down(&w);
}

static void test_tap_refuses_in_one_line_that_names_it(void **state)
{
	static const struct {
		const char *name, *want;
		int code;
	} cases[] = {
		{ "lo", "tap 'lo': not a tap device, or not a device name of 1 to 15 bytes", EINVAL },
		{ "", "tap '': not a tap device, or not a device name of 1 to 15 bytes", EINVAL },
		{ "a-name-too-long-for-it",
		  "tap 'a-name-too-long-for-it': not a tap device, or not a device name of 1 to 15 bytes",
		  EINVAL },
		{ tap_name, "tap 'hulltap0': in use by another process", EBUSY },
	};
	struct world w;

	(void)state;
	NEED_TAP();
	world_up(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct link *l = NULL;
		struct err e = { 0 };

		assert_int_equal(link_open_tap(&l, &w.loop, cases[i].name, &e), -cases[i].code);
		assert_string_equal(e.text, cases[i].want);
		assert_null(l);
	}
	world_down(&w);
}

static void test_tap_takes_an_open_descriptor_and_no_other(void **state)
{
	struct loop loop = { .epfd = -1 };
	struct link *l = NULL;
	struct err e = { 0 };
	int p[2];

	(void)state;
	NEED_TAP();
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(link_take_tap(&l, &loop, tun_open("hulltap1", NULL), &e), 0);
	assert_int_equal(link_offloads(l, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6), 0);
	link_free(l);
	assert_int_equal(pipe(p), 0);
	assert_true(link_take_tap(&l, &loop, p[0], &e) < 0);
	assert_non_null(strstr(e.text, "is not a tap device"));
	assert_int_equal(close(p[0]), -1); /* it was taken */
	close(p[1]);
	loop_fini(&loop);
}

static void test_link_drops_frames_of_impossible_lengths(void **state)
{
	static uint8_t big[LINK_FRAME_MAX + 1];
	struct world w;
	struct iovec iov;

	(void)state;
	NEED_TAP();
	world_up(&w);
	iov = (struct iovec){ big, sizeof(big) };
	assert_int_equal(link_send(w.link, &iov, 1), 0);
	iov.iov_len = LINK_HDR_BYTES + LINK_ETH_BYTES - 1;
	assert_int_equal(link_send(w.link, &iov, 1), 0);
	assert_int_equal(w.link->n_dropped, 2);
	assert_int_equal(link_recv(w.link, &iov, 1), -ENOBUFS);
	world_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tap_carries_frames_to_the_host),
		cmocka_unit_test(test_tap_wakes_the_card_when_a_frame_comes),
		cmocka_unit_test(test_tap_drops_a_frame_that_does_not_fit),
		cmocka_unit_test(test_tap_refuses_in_one_line_that_names_it),
		cmocka_unit_test(test_tap_takes_an_open_descriptor_and_no_other),
		cmocka_unit_test(test_link_drops_frames_of_impossible_lengths),
	};

	can = unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
