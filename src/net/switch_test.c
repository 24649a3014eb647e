/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "io/loop.h"
#include "net/inet.h"
#include "net/link.h"
#include "sys/file.h"
#include "sys/sock.h"

enum { MEMBERS = 3, ALL_OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN };

struct world {
	char top[32], dir[48];
	struct loop loop;
	struct loop_timer late;
	struct link *m[MEMBERS];
	int told;
};

static uint8_t got[LINK_FRAME_MAX];

static void stop(void *arg)
{
	((struct world *)arg)->loop.stop = true;
}

static void told(void *arg)
{
	((struct world *)arg)->told++;
}

/* turn() - what the loop has to do for @ms. */
static void turn(struct world *w, int ms)
{
	w->loop.stop = false;
	w->late = (struct loop_timer){ .fire = stop, .arg = w };
	loop_timer_set(&w->loop, &w->late, ms * NSEC_PER_MSEC);
	assert_int_equal(loop_run(&w->loop), 0);
}

static struct link *join(struct world *w)
{
	struct link *l = NULL;
	struct err e = { 0 };

	if (link_open_switch(&l, &w->loop, w->dir, &e) < 0)
		fail_msg("%s", e.text);
	l->ready = told;
	l->arg = w;
	link_offloads(l, ALL_OFFLOADS);
	return l;
}

static void world_up(struct world *w, int members)
{
	*w = (struct world){ .loop.epfd = -1 };
	strcpy(w->top, "/tmp/hull-switch-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	str_format(w->dir, sizeof(w->dir), "%s/sw", w->top);
	assert_int_equal(loop_init(&w->loop), 0);
	for (int i = 0; i < members; i++)
		w->m[i] = join(w);
	turn(w, 5);
}

static void world_down(struct world *w)
{
	for (int i = 0; i < MEMBERS; i++)
		link_free(w->m[i]);
	loop_fini(&w->loop);
	assert_int_equal(file_remove_tree(AT_FDCWD, w->top, NULL), 0);
}

/* hand_over() - a frame of @len payload bytes; address 0xff is everybody's. */
static int hand_over(struct world *w, int from, int to, uint8_t mark, size_t len)
{
	static uint8_t f[LINK_FRAME_MAX];
	struct iovec iov = { f, LINK_HDR_BYTES + LINK_ETH_BYTES + len };

	memset(f, 0, LINK_HDR_BYTES);
	memset(f + 12, to == 0xff ? 0xff : 0x02, 6);
	if (to != 0xff)
		f[17] = (uint8_t)to;
	memcpy(f + 18, "\x02\x02\x02\x02\x02\x00\x88\xb5", 8);
	f[23] = (uint8_t)from;
	memset(f + 26, mark, len);
	return link_send(w->m[from], &iov, 1);
}

/* send_from() - at once. */
static int send_from(struct world *w, int from, int to, uint8_t mark, size_t len)
{
	int r = hand_over(w, from, to, mark, len);

	return r < 0 ? r : link_flush(w->m[from]);
}

static long recv_at(struct world *w, int at)
{
	struct iovec iov[] = { { got, 20 }, { got + 20, 100 }, { got + 120, sizeof(got) - 120 } };

	return link_recv(w->m[at], iov, 3);
}

static void test_switch_floods_until_it_has_learned(void **state)
{
	struct world w;

	(void)state;
	world_up(&w, 3);
	assert_int_equal(send_from(&w, 0, 0xff, 7, 50), 0);
	turn(&w, 5);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(recv_at(&w, i), 76);
		assert_int_equal(got[26], 7);
		assert_int_equal(recv_at(&w, i), -EAGAIN);
	}
	assert_int_equal(recv_at(&w, 0), -EAGAIN); /* not to oneself */
	assert_int_equal(send_from(&w, 1, 0, 8, 60), 0);
	turn(&w, 5);
	assert_int_equal(recv_at(&w, 0), 86);
	assert_int_equal(got[26], 8);
	assert_int_equal(recv_at(&w, 2), -EAGAIN); /* member 1 knew where 0 is */
	assert_true(w.told > 0);
	world_down(&w);
}

static void test_switch_survives_the_death_of_its_first_member(void **state)
{
	struct world w;
	int names = 0;

	(void)state;
	world_up(&w, 3);
	link_free(w.m[0]);
	w.m[0] = NULL;
	assert_int_equal(send_from(&w, 1, 0xff, 1, 50), 0);
	turn(&w, 5);
	assert_int_equal(recv_at(&w, 2), 76);
	w.m[0] = join(&w); /* removes the dead one's name */
	turn(&w, 5);
	assert_int_equal(send_from(&w, 2, 0xff, 2, 50), 0);
	turn(&w, 5);
	assert_int_equal(recv_at(&w, 0), 76);
	assert_int_equal(recv_at(&w, 1), 76);

	DIR *d = opendir(w.dir);
	struct dirent *n;

	assert_non_null(d);
	while ((n = readdir(d)))
		names += str_starts(n->d_name, "m-");
	closedir(d);
	assert_int_equal(names, 3);
	world_down(&w);
}

static void test_switch_refuses_a_directory_that_others_can_write_to(void **state)
{
	struct link *l = NULL;
	struct err e = { 0 };
	struct world w;

	(void)state;
	world_up(&w, 0);
	assert_int_equal(mkdir(w.dir, 0700), 0);
	assert_int_equal(chmod(w.dir, 0777), 0);
	assert_int_equal(link_open_switch(&l, &w.loop, w.dir, &e), -EPERM);
	assert_non_null(strstr(e.text, "not a directory that is this user's alone"));
	world_down(&w);
}

/* --- offloads ----------------------------------------------------------------------------------------------- */

enum { SEGMENT = 1000, SEGMENTS = 5, TAIL = 123, TCP_AT = 12 + 14 + 20, DATA_AT = TCP_AT + 20 };

/* put_tso() - one TCP segment of SEGMENTS * SEGMENT + TAIL bytes that is left to be cut and summed. */
static size_t put_tso(uint8_t *f, bool v6)
{
	size_t data = (size_t)SEGMENTS * SEGMENT + TAIL, l3 = v6 ? 40 : 20, at = 26 + l3;
	struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				    .gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
				    .gso_size = SEGMENT,
				    .csum_start = (uint16_t)(14 + l3),
				    .csum_offset = 16,
				    .hdr_len = (uint16_t)(34 + l3) };
	struct inet_frame v;

	memset(f, 0, at + 20);
	memcpy(f, &h, sizeof(h));
	memset(f + 12, 0xff, 6);
	memcpy(f + 18, "\x02\x02\x02\x02\x02\x00", 6);
	inet_put16(f + 24, v6 ? ETHERTYPE_V6 : ETHERTYPE_V4);
	if (v6) {
		f[26] = 0x60;
		inet_put16(f + 30, (uint32_t)(20 + data));
		f[32] = INET_TCP;
		f[33] = 64;
		f[34] = f[50] = 0xfe;
		f[49] = 1;
		f[65] = 2;
	} else {
		f[26] = 0x45;
		inet_put16(f + 28, (uint32_t)(40 + data));
		f[34] = 64;
		f[35] = INET_TCP;
		memcpy(f + 38, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
		inet_v4_csum(f + 26);
	}
	inet_put32(f + at + 4, 0xfffffc00); /* the numbers wrap on the way */
	f[at + 12] = 5 << 4;
	f[at + 13] = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR;
	for (size_t i = 0; i < data; i++)
		f[at + 20 + i] = (uint8_t)(i * 7);
	assert_int_equal(inet_parse(&v, f + 12, at - 12 + 20 + data), 0);
	inet_put16(f + at + 16, (uint16_t)~inet_csum(inet_pseudo(f + 12, &v, (uint32_t)(20 + data))));
	return at + 20 + data;
}

static void check_segment(size_t i, size_t l3, long len)
{
	size_t data = i < SEGMENTS ? SEGMENT : TAIL, at = 26 + l3;
	uint8_t *tcp = got + at, first = i == 0 ? TCP_CWR : 0, last = i == SEGMENTS ? TCP_FIN | TCP_PSH : 0;
	struct inet_frame v;

	assert_int_equal(len, at + 20 + data);
	assert_int_equal(got[0], 0);
	assert_int_equal(got[1], 0);
	assert_int_equal(inet_parse(&v, got + 12, (size_t)len - 12), 0);
	assert_int_equal(v.end, len - 12);
	assert_int_equal(inet_get32(tcp + 4), (uint32_t)(0xfffffc00 + i * SEGMENT));
	assert_int_equal(tcp[13], TCP_ACK | first | last);
	for (size_t k = 0; k < data; k++)
		assert_int_equal(tcp[20 + k], (uint8_t)((i * SEGMENT + k) * 7));
	/* a right sum, summed with itself, is none */
	assert_int_equal(
		inet_csum(inet_sum(inet_pseudo(got + 12, &v, (uint32_t)(20 + data)), tcp, 20 + data)), 0);
	if (l3 == 20)
		assert_int_equal(inet_csum(inet_sum(0, got + 26, 20)), 0);
}

static void test_switch_passes_offloads_to_who_takes_them_and_cuts_for_the_others(void **state)
{
	static uint8_t f[8192];
	struct world w;

	(void)state;
	world_up(&w, 3);
	link_offloads(w.m[2], 0);
	for (int v6 = 0; v6 < 2; v6++) {
		struct iovec iov = { f, put_tso(f, v6) };

		assert_int_equal(link_send(w.m[0], &iov, 1), 0);
		turn(&w, 5);
		assert_int_equal(recv_at(&w, 1), iov.iov_len);
		assert_memory_equal(got, f, iov.iov_len);
		for (size_t i = 0; i <= SEGMENTS; i++)
			check_segment(i, v6 ? 40 : 20, recv_at(&w, 2));
		assert_int_equal(recv_at(&w, 2), -EAGAIN);
	}
	world_down(&w);
}

static void test_switch_drops_headers_that_lie(void **state)
{
	static const struct virtio_net_hdr cases[] = {
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 5000, .csum_offset = 16 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 65535 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .gso_type = VIRTIO_NET_HDR_GSO_UDP,
		  .gso_size = 1000 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = 0x77, .gso_size = 1000 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000 },
	};
	static uint8_t f[8192];
	struct world w;
	size_t len;

	(void)state;
	world_up(&w, 3);
	link_offloads(w.m[2], 0);
	len = put_tso(f, false);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		/* the first two lie only about a frame of 100 bytes */
		struct iovec iov = { f, i < 2 ? 100 : len };

		memcpy(f, &cases[i], sizeof(cases[i]));
		assert_int_equal(link_send(w.m[0], &iov, 1), 0);
		turn(&w, 2);
		for (int k = 1; k < 3; k++) {
			assert_int_equal(recv_at(&w, k), -EMSGSIZE);
			assert_int_equal(recv_at(&w, k), -EAGAIN);
		}
	}
	world_down(&w);
}

static void test_switch_waits_for_a_slow_member_but_not_for_ever(void **state)
{
	struct world w;
	int r = 0, sent = 0;

	(void)state;
	world_up(&w, 2);
	send_from(&w, 1, 0xff, 1, 50);
	turn(&w, 5);
	assert_int_equal(recv_at(&w, 0), 76); /* learned: what follows is for member 1 alone */
	while (sent < 10000 && (r = send_from(&w, 0, 1, 2, 60000)) == 0)
		sent++;
	assert_int_equal(r, -EAGAIN);
	assert_true(sent > 0);
	w.told = 0;
	turn(&w, 100);
	assert_true(w.told > 0); /* the card is told to try again */
	assert_int_equal(send_from(&w, 0, 1, 3, 60000), 0);
	assert_int_equal(w.m[0]->n_dropped, 1);
	for (int i = 0; i < sent; i++)
		assert_int_equal(recv_at(&w, 1), 60026);
	assert_int_equal(recv_at(&w, 1), -EAGAIN);
	assert_int_equal(send_from(&w, 0, 1, 4, 60000), 0); /* and when it takes again, it gets again */
	turn(&w, 5);
	assert_int_equal(recv_at(&w, 1), 60026);
	assert_int_equal(got[26], 4);
	world_down(&w);
}

static void test_switch_small_frames_sent_together_arrive_in_order(void **state)
{
	/* to whom, how long: bundles end where another's begin, where a long frame comes, and when they are full */
	static const struct {
		int to;
		size_t len;
	} frame[] = { { 1, 0 },  { 1, 1 },  { 1, 1500 }, { 1, 2022 },  { 1, 2023 }, { 1, 60000 }, { 1, 50 },
		      { 2, 60 }, { 2, 61 }, { 1, 62 },   { 0xff, 63 }, { 1, 64 },   { 2, 65 } };
	struct world w;

	(void)state;
	world_up(&w, 3);
	send_from(&w, 1, 0xff, 1, 50);
	send_from(&w, 2, 0xff, 1, 50);
	turn(&w, 5);
	assert_int_equal(recv_at(&w, 0), 76); /* learned where both are */
	assert_int_equal(recv_at(&w, 0), 76);
	for (int offloads = 0; offloads < 2; offloads++) {
		for (int k = 1; k < 3; k++) {
			while (recv_at(&w, k) > 0)
				;
			assert_int_equal(link_offloads(w.m[k], offloads ? TUN_F_CSUM | TUN_F_TSO4 |
										  TUN_F_TSO6 | TUN_F_TSO_ECN :
									  0),
					 0);
		}
		for (size_t i = 0; i < sizeof(frame) / sizeof(*frame); i++)
			assert_int_equal(hand_over(&w, 0, frame[i].to, (uint8_t)i, frame[i].len), 0);
		assert_int_equal(link_flush(w.m[0]), 0);
		turn(&w, 5);
		for (int k = 1; k < 3; k++) {
			for (size_t i = 0; i < sizeof(frame) / sizeof(*frame); i++) {
				if (frame[i].to != 0xff && frame[i].to != k)
					continue;
				assert_int_equal(recv_at(&w, k), 26 + frame[i].len);
				if (frame[i].len > 0)
					assert_int_equal(got[26 + frame[i].len - 1], i);
			}
			assert_int_equal(recv_at(&w, k), -EAGAIN);
			assert_int_equal(w.m[k]->n_dropped, 0);
		}
	}
	/* more than one message takes */
	for (int i = 0; i < 100; i++)
		assert_int_equal(hand_over(&w, 0, 1, (uint8_t)i, 1500), 0);
	assert_int_equal(link_flush(w.m[0]), 0);
	turn(&w, 5);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(recv_at(&w, 1), 1526);
		assert_int_equal(got[26 + 1499], i);
	}
	assert_int_equal(w.m[0]->n_dropped, 0);
	world_down(&w);
}

/* stranger() - a connection of our own to the only member. */
static int stranger(struct world *w)
{
	DIR *d = opendir(w->dir);
	struct dirent *n;
	int fd = -1;

	assert_non_null(d);
	while (fd < 0 && (n = readdir(d)))
		if (strncmp(n->d_name, "m-", 2) == 0)
			fd = sock_connect_at(dirfd(d), n->d_name, SOCK_SEQPACKET);
	closedir(d);
	assert_true(fd >= 0);
	turn(w, 5);
	return fd;
}

static void test_switch_drops_bundles_that_lie(void **state)
{
	/* lengths of frames, ended by 0; -1: what is there is shorter than that one */
	static const struct {
		int len[4];
		int good, bad;
	} bundle[] = {
		{ { 26, 60, 0 }, 2, 0 }, { { 26, 25, 60, 0 }, 1, 1 }, { { 60, -1, 0 }, 1, 1 },
		{ { -1, 0 }, 0, 1 },     { { 2000, 26, 0 }, 2, 0 },
	};
	struct world w;
	int fd;

	(void)state;
	world_up(&w, 1);
	fd = stranger(&w);
	for (size_t i = 0; i < sizeof(bundle) / sizeof(*bundle); i++) {
		uint8_t m[8192] = { 0x80 };
		uint64_t before = w.m[0]->n_dropped;
		size_t at = 2;

		for (const int *l = bundle[i].len; *l; l++) {
			uint16_t len = *l < 0 ? 100 : (uint16_t)*l;

			memcpy(m + at, &len, sizeof(len));
			at += 2 + (*l < 0 ? 90 : (size_t)len);
		}
		for (int trail = 0; trail < 2; trail++) { /* half a length at the end is a lie too */
			assert_int_equal(send(fd, m, at + (size_t)trail, 0), at + (size_t)trail);
			turn(&w, 5);
			for (int k = 0; k < bundle[i].good; k++)
				assert_int_equal(recv_at(&w, 0), bundle[i].len[k]);
			for (int k = 0; k < bundle[i].bad || (trail && k == 0); k++)
				assert_int_equal(recv_at(&w, 0), -EMSGSIZE);
			assert_int_equal(recv_at(&w, 0), -EAGAIN);
		}
		assert_int_equal(w.m[0]->n_dropped - before, 2 * bundle[i].bad + !bundle[i].bad);
	}
	close(fd);
	world_down(&w);
}

/* --- several processes -------------------------------------------------------------------------------------- */

enum { CHILDREN = 6 };

/* child() - join at the same time as the others, talk to all until each of the others was heard. Exit 0: all were. */
static int child(const char *dir, int go, int id)
{
	struct world w = { .loop.epfd = -1 };
	unsigned heard = 1U << id, all = (1U << CHILDREN) - 1;
	char c;

	str_format(w.dir, sizeof(w.dir), "%s", dir);
	if (read(go, &c, 1) != 0) /* the parent closes: all start */
		return 2;
	if (loop_init(&w.loop) < 0 || link_open_switch(&w.m[0], &w.loop, w.dir, NULL) < 0)
		return 3;
	for (int i = 0, after = 0; i < 500 && after < 15; i++, after += heard == all) {
		send_from(&w, 0, 0xff, (uint8_t)id, 50);
		turn(&w, 10);
		while (recv_at(&w, 0) > 0)
			heard |= 1U << got[26];
	}
	return heard == all ? 0 : 64 + (int)heard;
}

static void test_switch_connects_all_who_join_at_once(void **state)
{
	pid_t pid[CHILDREN];
	struct world w;
	int go[2];

	(void)state;
	world_up(&w, 0);
	assert_int_equal(pipe(go), 0);
	for (int i = 0; i < CHILDREN; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0) {
			close(go[1]);
			_exit(child(w.dir, go[0], i));
		}
	}
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < CHILDREN; i++) {
		int status;

		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	world_down(&w);
}

static void test_switch_throughput_is_printed(void **state)
{
	static const size_t sizes[] = { 1500, 60000 };
	struct world w;

	(void)state;
	world_up(&w, 2);
	send_from(&w, 1, 0xff, 1, 50);
	turn(&w, 5);
	assert_int_equal(recv_at(&w, 0), 76);
	w.m[0]->ready = w.m[1]->ready = stop;
	for (size_t k = 0; k < 2; k++) {
		nsec_t start = time_now_ns(CLOCK_MONOTONIC), took;
		int n = 0;

		while (time_now_ns(CLOCK_MONOTONIC) - start < 200 * NSEC_PER_MSEC) {
			for (int i = 0; i < 8 && hand_over(&w, 0, 1, 1, sizes[k]) == 0; i++)
				;
			link_flush(w.m[0]);
			turn(&w, 20);
			while (recv_at(&w, 1) > 0)
				n++;
		}
		took = time_now_ns(CLOCK_MONOTONIC) - start;
		print_message("switch, one thread: %zu-byte frames: %.0f frames/s, %.0f MB/s\n", sizes[k],
			      n * 1e9 / (double)took, n * (double)sizes[k] * 1e3 / (double)took);
		assert_true(n > 0);
	}
	world_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_switch_floods_until_it_has_learned),
		cmocka_unit_test(test_switch_survives_the_death_of_its_first_member),
		cmocka_unit_test(test_switch_refuses_a_directory_that_others_can_write_to),
		cmocka_unit_test(test_switch_passes_offloads_to_who_takes_them_and_cuts_for_the_others),
		cmocka_unit_test(test_switch_drops_headers_that_lie),
		cmocka_unit_test(test_switch_waits_for_a_slow_member_but_not_for_ever),
		cmocka_unit_test(test_switch_small_frames_sent_together_arrive_in_order),
		cmocka_unit_test(test_switch_drops_bundles_that_lie),
		cmocka_unit_test(test_switch_connects_all_who_join_at_once),
		cmocka_unit_test(test_switch_throughput_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
