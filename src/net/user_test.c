/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "net/guest_testing.h"
#include "net/inet.h"

static bool can;
static struct guest g;

#define NEED_TAP()                                                                                           \
	do {                                                                                                 \
		if (!can) {                                                                                  \
			print_message("needs /dev/net/tun and a network namespace\n");                       \
			skip();                                                                              \
		}                                                                                            \
	} while (0)

static void up(const struct link_user_config *c, bool offloads)
{
	struct link *l = NULL;
	struct err e = { 0 };

	guest_up(&g, "10.0.2.15", "10.0.2.2");
	guest_on_host(&g, true);
	if (link_open_user(&l, &g.loop, c, &e) < 0)
		fail_msg("%s", e.text);
	guest_on_host(&g, false);
	guest_link(&g, l, offloads);
}

/* host_socket() - on the host's loopback, bound to a port of the kernel's choice; TCP: listening. */
static int host_socket(int type, uint16_t *ret_port)
{
	struct sockaddr_in a = guest_addr("127.0.0.1", 0);
	socklen_t len = sizeof(a);
	struct timeval t = { .tv_sec = 10 };
	int fd;

	guest_on_host(&g, true);
	fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	guest_on_host(&g, false);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 128), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* pair() - a connection from the guest to the host. */
static void pair(int *ret_guest, int *ret_host)
{
	uint16_t port;
	int l = host_socket(SOCK_STREAM, &port);
	struct timeval t = { .tv_sec = 10 };

	*ret_guest = guest_connect("10.0.2.2", port);
	if (*ret_guest < 0)
		fail_msg("connect: %s", err_name(-*ret_guest));
	*ret_host = accept(l, NULL, NULL);
	assert_true(*ret_host >= 0);
	setsockopt(*ret_host, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(*ret_host, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	close(l);
}

/* --- streams of bytes that tell where they are ---------------------------------------------------------------- */

enum { CHUNK = 256 << 10 };

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

struct stream {
	int fd;
	size_t len;
	bool end; /* shutdown(2) behind it */
	bool good;
};

static void *write_stream(void *arg)
{
	struct stream *s = arg;
	uint8_t *b = malloc(CHUNK);
	size_t at = 0;

	BUG_ON(!b);
	while (at < s->len) {
		size_t n = s->len - at < CHUNK ? s->len - at : CHUNK;
		ssize_t r;

		for (size_t i = 0; i < n; i++)
			b[i] = byte_at(at + i);
		r = send(s->fd, b, n, MSG_NOSIGNAL);
		if (r <= 0)
			break;
		at += (size_t)r;
	}
	s->good = at == s->len;
	if (s->end)
		shutdown(s->fd, SHUT_WR);
	free(b);
	return NULL;
}

/* read_stream() - up to its end, or @len bytes. Return: bytes; SIZE_MAX: one was wrong. */
static size_t read_stream(int fd, size_t len)
{
	uint8_t *b = malloc(CHUNK);
	size_t at = 0;
	ssize_t r = 0;

	BUG_ON(!b);
	while (at < len && (r = read(fd, b, CHUNK)) > 0)
		for (ssize_t i = 0; i < r; i++)
			if (b[i] != byte_at(at++)) {
				free(b);
				return SIZE_MAX;
			}
	if (r < 0)
		print_message("read: %s\n", err_name(errno));
	free(b);
	return at;
}

static void transfer(int from, int to, size_t len, const char *what)
{
	struct stream s = { .fd = from, .len = len, .end = true };
	nsec_t start = time_now_ns(CLOCK_MONOTONIC), took;
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, write_stream, &s), 0);
	assert_int_equal(read_stream(to, SIZE_MAX), len);
	pthread_join(t, NULL);
	assert_true(s.good);
	took = time_now_ns(CLOCK_MONOTONIC) - start;
	if (what)
		print_message("user-mode network, %s: %.0f MB/s\n", what, (double)len * 1e3 / (double)took);
}

static void test_user_carries_streams_both_ways(void **state)
{
	(void)state;
	NEED_TAP();
	for (int offloads = 0; offloads < 2; offloads++) {
		size_t len = offloads ? 64 << 20 : 16 << 20;
		int a, b;

		up(&(struct link_user_config){ 0 }, offloads);
		pair(&a, &b);
		transfer(a, b, len, offloads ? "from the guest, with offloads" : "from the guest, without");
		transfer(b, a, len, offloads ? "to the guest, with offloads" : "to the guest, without");
		close(a);
		close(b);
		guest_down(&g);
	}
}

static void test_user_passes_each_end_on_by_itself(void **state)
{
	int a, b;
	char c;

	(void)state;
	NEED_TAP();
	up(&(struct link_user_config){ 0 }, true);
	pair(&a, &b);
	assert_int_equal(write(a, "question", 8), 8);
	shutdown(a, SHUT_WR);
	for (int i = 0; i < 8; i++)
		assert_int_equal(read(b, &c, 1), 1);
	assert_int_equal(read(b, &c, 1), 0);
	transfer(b, a, 1 << 20, NULL); /* the other direction lives on */
	close(a);
	close(b);
	guest_down(&g);
}

static void test_user_tells_refusals_and_resets(void **state)
{
	struct linger now = { .l_onoff = 1 };
	uint16_t port;
	int a, b, l;
	char c;

	(void)state;
	NEED_TAP();
	up(&(struct link_user_config){ 0 }, true);
	l = host_socket(SOCK_STREAM, &port);
	close(l);
	assert_int_equal(guest_connect("10.0.2.2", port), -ECONNREFUSED);
	assert_int_equal(guest_connect("127.1.2.3", 1), -ECONNREFUSED); /* the guest's own */
	pair(&a, &b);
	assert_int_equal(write(b, "x", 1), 1);
	assert_int_equal(read(a, &c, 1), 1);
	setsockopt(b, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(b);
	assert_int_equal(read(a, &c, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(a);
	pair(&a, &b);
	setsockopt(a, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(a);
	assert_int_equal(read(b, &c, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(b);
	guest_down(&g);
}

static void test_user_waits_for_slow_readers(void **state)
{
	(void)state;
	NEED_TAP();
	up(&(struct link_user_config){ 0 }, true);
	for (int to_guest = 0; to_guest < 2; to_guest++) {
		struct stream s = { .len = 12 << 20, .end = true };
		pthread_t t;
		int a, b;

		pair(&a, &b);
		s.fd = to_guest ? b : a;
		assert_int_equal(pthread_create(&t, NULL, write_stream, &s), 0);
		usleep(700000); /* every buffer on the way is full, windows are shut and probed */
		assert_int_equal(read_stream(to_guest ? a : b, SIZE_MAX), s.len);
		pthread_join(t, NULL);
		assert_true(s.good);
		close(a);
		close(b);
	}
	guest_down(&g);
}

static void test_user_carries_many_connections(void **state)
{
	enum { MANY = 200 };
	int a[MANY], b[MANY], l;
	uint16_t port;

	(void)state;
	NEED_TAP();
	up(&(struct link_user_config){ 0 }, true);
	l = host_socket(SOCK_STREAM, &port);
	for (int i = 0; i < MANY; i++) {
		a[i] = guest_connect("10.0.2.2", port);
		assert_true(a[i] >= 0);
		b[i] = accept(l, NULL, NULL);
		assert_true(b[i] >= 0);
	}
	for (int i = 0; i < MANY; i++) {
		uint8_t c = (uint8_t)i, d = 0;

		assert_int_equal(write(a[i], &c, 1), 1);
		assert_int_equal(read(b[i], &d, 1), 1);
		assert_int_equal(d, c);
		assert_int_equal(write(b[i], &c, 1), 1);
		assert_int_equal(read(a[i], &d, 1), 1);
		assert_int_equal(d, c);
		close(a[i]);
		close(b[i]);
	}
	close(l);
	guest_down(&g);
}

static void test_user_carries_datagrams(void **state)
{
	struct sockaddr_in to, from;
	socklen_t len = sizeof(from);
	struct timeval t = { .tv_sec = 5 };
	char got[2000], data[1400];
	uint16_t port;
	int h, a;

	(void)state;
	NEED_TAP();
	up(&(struct link_user_config){ 0 }, false);
	h = host_socket(SOCK_DGRAM, &port);
	a = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	to = guest_addr("10.0.2.2", port);
	memset(data, 'd', sizeof(data));
	for (int i = 0; i < 300; i++) { /* more conversations than there may be: new ones push old ones out */
		int b = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		assert_int_equal(sendto(b, data, 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
		assert_int_equal(recvfrom(h, got, sizeof(got), 0, (struct sockaddr *)&from, &len), 1);
		close(b);
	}
	assert_int_equal(sendto(a, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(data));
	assert_int_equal(recvfrom(h, got, sizeof(got), 0, (struct sockaddr *)&from, &len), sizeof(data));
	assert_int_equal(sendto(h, data, 1001, 0, (struct sockaddr *)&from, len), 1001);
	assert_int_equal(recvfrom(a, got, sizeof(got), 0, (struct sockaddr *)&from, &len), 1001);
	assert_int_equal(from.sin_port, htons(port));
	assert_int_equal(from.sin_addr.s_addr, to.sin_addr.s_addr);
	assert_memory_equal(got, data, 1001);
	close(a);
	close(h);
	guest_down(&g);
}

static void test_user_answers_pings_of_the_gateway(void **state)
{
	struct sockaddr_in to = guest_addr("10.0.2.2", 0);
	struct timeval t = { .tv_sec = 5 };
	uint8_t got[200], ping[64] = { ICMP_ECHO, 0, 0, 0, 0x12, 0x34, 0, 1 };
	int fd, r;

	(void)state;
	NEED_TAP();
	up(&(struct link_user_config){ .restricted = true }, true);
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	inet_put16(ping + 2, inet_csum(inet_sum(0, ping, sizeof(ping))));
	assert_int_equal(sendto(fd, ping, sizeof(ping), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(ping));
	do {
		r = (int)recv(fd, got, sizeof(got), 0);
	} while (r > 20 && got[20] != ICMP_ECHOREPLY);
	assert_int_equal(r, 20 + sizeof(ping));
	assert_memory_equal(got + 24, ping + 4, 60);
	close(fd);
	guest_down(&g);
}

static void test_user_forwards_ports_also_when_restricted(void **state)
{
	struct link_user_config c = { .restricted = true,
				      .hostfwd = "tcp:127.0.0.1:18080-:80,udp:127.0.0.1:18053-:53" };
	struct sockaddr_in a = guest_addr("10.0.2.15", 80), to;
	struct timeval t = { .tv_sec = 5 };
	socklen_t len = sizeof(to);
	char got[10];
	int l, h, s, u;

	(void)state;
	NEED_TAP();
	up(&c, true);
	l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 5), 0);
	guest_on_host(&g, true);
	h = guest_connect("127.0.0.1", 18080);
	guest_on_host(&g, false);
	assert_true(h >= 0);
	setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	s = accept(l, NULL, NULL);
	assert_true(s >= 0);
	transfer(h, s, 1 << 20, NULL);
	transfer(s, h, 1 << 20, NULL);
	close(h);
	close(s);
	close(l);
	u = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	a = guest_addr("10.0.2.15", 53);
	assert_int_equal(bind(u, (struct sockaddr *)&a, sizeof(a)), 0);
	guest_on_host(&g, true);
	h = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	guest_on_host(&g, false);
	setsockopt(u, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(h, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	to = guest_addr("127.0.0.1", 18053);
	assert_int_equal(sendto(h, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
	assert_int_equal(recvfrom(u, got, sizeof(got), 0, (struct sockaddr *)&to, &len), 3);
	assert_int_equal(sendto(u, "answer", 6, 0, (struct sockaddr *)&to, sizeof(to)), 6);
	assert_int_equal(recv(h, got, sizeof(got), 0), 6);
	close(h);
	close(u);
	assert_int_equal(guest_connect("10.0.2.2", 18080), -ECONNREFUSED); /* out goes nothing */
	guest_down(&g);
}

static void test_user_refuses_ports_it_cannot_forward(void **state)
{
	static const struct {
		const char *text, *want;
	} row[] = {
		{ "tcp:80-:80x",
		  "forwarded port 'tcp:80-:80x': want tcp|udp:[HOST-IP]:PORT-[GUEST-IP]:PORT" },
		{ "sctp::80-:80",
		  "forwarded port 'sctp::80-:80': want tcp|udp:[HOST-IP]:PORT-[GUEST-IP]:PORT" },
		{ "tcp::80", "forwarded port 'tcp::80': want tcp|udp:[HOST-IP]:PORT-[GUEST-IP]:PORT" },
		{ "tcp::0-:80", "forwarded port 'tcp::0-:80': want tcp|udp:[HOST-IP]:PORT-[GUEST-IP]:PORT" },
		{ "tcp:127.0.0.1:18099-10.9.9.9:80", "forwarded port 'tcp:127.0.0.1:18099-10.9.9.9:80': the "
						     "guest's address is not in its network" },
		{ "tcp:192.0.2.1:18099-:80",
		  "forwarded port 'tcp:192.0.2.1:18099-:80': Cannot assign requested address" },
	};
	struct loop loop = { .epfd = -1 };

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		struct link *l = NULL;
		struct err e = { 0 };

		assert_true(link_open_user(&l, &loop, &(struct link_user_config){ .hostfwd = row[i].text },
					   &e) < 0);
		assert_string_equal(e.text, row[i].want);
	}
	loop_fini(&loop);
}

/* --- DHCP, frame by frame ------------------------------------------------------------------------------------- */

static size_t discover(uint8_t *f, uint8_t type, uint32_t wants)
{
	uint8_t *eth = f + LINK_HDR_BYTES, *p = eth + 42;
	size_t len = 12 + 42 + 300;

	memset(f, 0, len);
	memcpy(eth, "\xff\xff\xff\xff\xff\xff\x02hull!\x08\x00", 14);
	eth[14] = 0x45;
	inet_put16(eth + 16, 20 + 8 + 300);
	eth[23] = INET_UDP;
	memset(eth + 30, 0xff, 4);
	inet_put16(eth + 34, 68);
	inet_put16(eth + 36, 67);
	inet_put16(eth + 38, 308);
	memcpy(p, "\1\1\6\0hull", 8);
	memcpy(p + 28, "\x02hull!", 6);
	memcpy(p + 236, "\x63\x82\x53\x63\x35\1", 6);
	p[242] = type;
	p[243] = 50;
	p[244] = 4;
	inet_put32(p + 245, wants);
	p[249] = 255;
	return len;
}

static void test_user_gives_addresses(void **state)
{
	static const struct {
		uint8_t type;
		uint32_t wants;
		uint8_t answer;
	} row[] = { { 1, 0, 2 }, { 3, 0x0a00020f, 5 }, { 3, 0x0a000210, 6 } };
	struct loop loop = { .epfd = -1 };
	struct link *l = NULL;
	uint8_t f[2000];

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(link_open_user(&l, &loop, &(struct link_user_config){ 0 }, NULL), 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		struct iovec iov = { f, discover(f, row[i].type, row[i].wants) };
		const uint8_t *p = f + 12 + 42;
		struct inet_frame v;
		long r;

		assert_int_equal(link_send(l, &iov, 1), 0);
		iov.iov_len = sizeof(f);
		r = link_recv(l, &iov, 1);
		assert_int_equal(r, 12 + 42 + 300);
		assert_int_equal(inet_parse(&v, f + 12, (size_t)r - 12), 0);
		assert_int_equal(inet_get16(f + 12 + v.l4 + 2), 68);
		assert_int_equal(inet_csum(inet_sum(inet_pseudo(f + 12, &v, 308), f + 12 + v.l4, 308)), 0);
		assert_memory_equal(p + 4, "hull", 4);
		assert_int_equal(p[242], row[i].answer);
		assert_int_equal(inet_get32(p + 16), row[i].answer == 6 ? 0 : 0x0a00020f);
		assert_int_equal(link_recv(l, &iov, 1), -EAGAIN);
	}
	link_free(l);
	loop_fini(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user_forwards_ports_also_when_restricted),
		cmocka_unit_test(test_user_gives_addresses),
		cmocka_unit_test(test_user_refuses_ports_it_cannot_forward),
		cmocka_unit_test(test_user_answers_pings_of_the_gateway),
		cmocka_unit_test(test_user_carries_datagrams),
		cmocka_unit_test(test_user_passes_each_end_on_by_itself),
		cmocka_unit_test(test_user_tells_refusals_and_resets),
		cmocka_unit_test(test_user_waits_for_slow_readers),
		cmocka_unit_test(test_user_carries_many_connections),
		cmocka_unit_test(test_user_carries_streams_both_ways),
	};

	can = guest_possible();
	if (can)
		assert_int_equal(sock_loopback_up(), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
