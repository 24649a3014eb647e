/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vsock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "virtio/vsock_internal.h"
#include "virtio/vsock_testing.h"

enum { P = 5000, HOST_PORT = 52 };

/* --- the host's side ------------------------------------------------------------------------------------- */

static int host_listen(struct guest *g, const char *name)
{
	int fd = sock_listen_at(g->dirfd, name, SOCK_STREAM | SOCK_NONBLOCK, 0600);

	assert_true(fd >= 0);
	return fd;
}

/* readable() - within @ms, the machine's loop running meanwhile. */
static bool readable(struct guest *g, int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (; ms > 0; ms -= 2) {
		if (poll(&p, 1, 0) > 0)
			return true;
		if (!driver_has_used(&g->t, 0))
			driver_wait(&g->t, 0, 1);
		else
			usleep(1000);
	}
	return false;
}

static void expect_host(struct guest *g, int fd, const char *want)
{
	char got[64] = { 0 };

	assert_true(readable(g, fd, 2000));
	assert_int_equal(recv(fd, got, strlen(want), MSG_WAITALL), strlen(want));
	assert_string_equal(got, want);
}

static void expect_host_eof(struct guest *g, int fd, int ms)
{
	char c;

	assert_true(readable(g, fd, ms));
	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), 0);
}

/* guest_to_host() - an open connection from guest port P to HOST_PORT. Return: the host's end. */
static int guest_to_host(struct guest *g)
{
	int listener = host_listen(g, "v.sock_52"), fd;

	assert_true(guest_send(g, VIRTIO_VSOCK_OP_REQUEST, P, HOST_PORT, 0, NULL, 0));
	assert_int_equal(guest_recv(g, 1000), VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(le32toh(g->h.src_port), HOST_PORT);
	assert_int_equal(le32toh(g->h.dst_port), P);
	assert_int_equal(le32toh(g->h.buf_alloc), VSOCK_WINDOW);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

/* host_to_guest() - an open connection from the host to guest port P. Return: the host's end; *ret_port: its port. */
static int host_to_guest(struct guest *g, uint32_t *ret_port)
{
	int fd = sock_connect_at(g->dirfd, "v.sock", SOCK_STREAM);
	char want[32];

	assert_true(fd >= 0);
	assert_int_equal(send(fd, "CONNECT 5000\n", 13, 0), 13);
	assert_int_equal(guest_recv(g, 1000), VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(le32toh(g->h.dst_port), P);
	*ret_port = le32toh(g->h.src_port);
	assert_true(guest_send(g, VIRTIO_VSOCK_OP_RESPONSE, P, *ret_port, 0, NULL, 0));
	snprintf(want, sizeof(want), "OK %u\n", *ret_port);
	expect_host(g, fd, want);
	return fd;
}

static struct vsock *device(struct guest *g)
{
	return (struct vsock *)g->t.d;
}

static void expect_nothing(struct guest *g)
{
	unsigned op = guest_recv(g, 20);

	if (op)
		print_error("unexpected packet %u\n", op);
	assert_int_equal(op, 0);
}

/* --- connections ----------------------------------------------------------------------------------------- */

static void test_guest_connects_and_bytes_go_both_ways_on_every_layout(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct guest g;
		int fd;

		guest_begin(&g);
		guest_up(&g, driver_layouts[l].features, 16);
		fd = guest_to_host(&g);
		assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RW, P, HOST_PORT, 0, "hello", 5));
		expect_host(&g, fd, "hello");
		assert_int_equal(send(fd, "hi", 2, 0), 2);
		assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RW);
		assert_memory_equal(g.data, "hi", 2);
		assert_int_equal(le32toh(g.h.fwd_cnt), 5);
		/* the host goes: both halves are shut, and the guest's RST ends it */
		close(fd);
		assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_SHUTDOWN);
		assert_int_equal(le32toh(g.h.flags), 3);
		assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RST, P, HOST_PORT, 0, NULL, 0));
		assert_int_equal(device(&g)->n_conns, 0);
		expect_nothing(&g);
		guest_end(&g);
	}
}

static void test_host_connects_with_the_greeting_and_bytes_behind_it_are_kept(void **state)
{
	struct guest g;
	uint32_t port;
	int fd, other;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	fd = host_to_guest(&g, &port);
	assert_true(port >= VSOCK_PORT_FIRST);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RW, P, port, 0, "abc", 3));
	expect_host(&g, fd, "abc");
	/* one that does not wait for OK, and whose line comes in pieces */
	other = sock_connect_at(g.dirfd, "v.sock", SOCK_STREAM);
	assert_int_equal(send(other, "CONN", 4, 0), 4);
	expect_nothing(&g);
	assert_int_equal(send(other, "ECT 7\nearly", 11, 0), 11);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(le32toh(g.h.dst_port), 7);
	assert_true(le32toh(g.h.src_port) != port);
	port = le32toh(g.h.src_port);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RESPONSE, 7, port, 0, NULL, 0));
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RW);
	assert_memory_equal(g.data, "early", 5);
	close(fd);
	close(other);
	guest_end(&g);
}

static void test_a_connection_the_guest_refuses_or_never_answers_ends_for_the_host(void **state)
{
	struct guest g;
	int fd;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	fd = sock_connect_at(g.dirfd, "v.sock", SOCK_STREAM);
	assert_int_equal(send(fd, "CONNECT 9\n", 10, 0), 10);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_REQUEST);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RST, 9, le32toh(g.h.src_port), 0, NULL, 0));
	expect_host_eof(&g, fd, 500);
	close(fd);
	fd = sock_connect_at(g.dirfd, "v.sock", SOCK_STREAM);
	assert_int_equal(send(fd, "CONNECT 9\n", 10, 0), 10);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(guest_recv(&g, 4000), VIRTIO_VSOCK_OP_RST);
	expect_host_eof(&g, fd, 500);
	assert_int_equal(device(&g)->n_conns, 0);
	close(fd);
	guest_end(&g);
}

static void test_greeting_is_parsed_strictly(void **state)
{
	static const struct {
		const char *text;
		int want;
		uint32_t port;
	} cases[] = {
		{ "CONNECT 1\n", 10, 1 },
		{ "CONNECT 4294967295\nrest", 19, UINT32_MAX },
		{ "CONNECT 0\n", 10, 0 },
		{ "CONNECT 4294967296\n", -EPROTO, 0 },
		{ "CONNECT \n", -EPROTO, 0 },
		{ "CONNECT -1\n", -EPROTO, 0 },
		{ "CONNECT 1 \n", -EPROTO, 0 },
		{ "CONNECT 1\r\n", -EPROTO, 0 },
		{ "connect 1\n", -EPROTO, 0 },
		{ "GET / HTTP/1.1\r\n", -EPROTO, 0 },
		{ "\n", -EPROTO, 0 },
		{ "CONNECT 00000000000000000000000000000000000000001\n", -EPROTO, 0 },
		{ "", 0, 0 },
		{ "CON", 0, 0 },
		{ "CONNECT 12", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].text);
		uint32_t port = 0;
		int r = vsock_greeting_parse(cases[i].text,
					     len > VSOCK_GREETING_MAX ? VSOCK_GREETING_MAX : len, &port);

		if (r != cases[i].want || port != cases[i].port)
			print_error("'%s': want %d, port %u; got %d, %u\n", cases[i].text, cases[i].want,
				    cases[i].port, r, port);
		assert_int_equal(r, cases[i].want);
		assert_int_equal(port, cases[i].port);
	}
}

static void test_a_bad_greeting_closes_the_connection(void **state)
{
	struct guest g;
	int fd;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 4);
	fd = sock_connect_at(g.dirfd, "v.sock", SOCK_STREAM);
	assert_int_equal(send(fd, "HELO\n", 5, 0), 5);
	assert_true(readable(&g, fd, 1000));
	assert_int_equal(device(&g)->n_conns, 0);
	close(fd);
	guest_end(&g);
}

static void test_only_a_socket_of_the_right_name_is_connected_to(void **state)
{
	static const struct {
		uint32_t port;
		const char *what;
	} cases[] = { { 1, "nothing there" },
		      { 2, "a symlink to a listening socket" },
		      { 3, "a file" },
		      { 4, "a socket nobody listens on" } };
	struct guest g;
	int listener;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	listener = host_listen(&g, "real");
	assert_int_equal(symlinkat("real", g.dirfd, "v.sock_2"), 0);
	close(openat(g.dirfd, "v.sock_3", O_CREAT | O_WRONLY, 0600));
	close(host_listen(&g, "v.sock_4"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned op;

		assert_true(guest_send(&g, VIRTIO_VSOCK_OP_REQUEST, P, cases[i].port, 0, NULL, 0));
		op = guest_recv(&g, 1000);
		if (op != VIRTIO_VSOCK_OP_RST)
			print_error("%s: want RST, got %u\n", cases[i].what, op);
		assert_int_equal(op, VIRTIO_VSOCK_OP_RST);
		assert_int_equal(le32toh(g.h.src_port), cases[i].port);
		assert_int_equal(le32toh(g.h.dst_port), P);
	}
	assert_int_equal(device(&g)->n_conns, 0);
	close(listener);
	guest_end(&g);
}

/* --- closing --------------------------------------------------------------------------------------------- */

static void test_each_half_closes_alone(void **state)
{
	struct guest g;
	int fd;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	fd = guest_to_host(&g);
	/* the host has said all it wants, and still listens */
	assert_int_equal(send(fd, "last", 4, 0), 4);
	shutdown(fd, SHUT_WR);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RW);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(le32toh(g.h.flags), VIRTIO_VSOCK_SHUTDOWN_SEND);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RW, P, HOST_PORT, 0, "more", 4));
	expect_host(&g, fd, "more");
	/* the guest too: the host's end of file, and both halves are gone */
	assert_true(
		guest_send(&g, VIRTIO_VSOCK_OP_SHUTDOWN, P, HOST_PORT, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0));
	expect_host_eof(&g, fd, 500);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_SHUTDOWN, P, HOST_PORT, 3, NULL, 0));
	for (unsigned op = guest_recv(&g, 1000); op != VIRTIO_VSOCK_OP_RST; op = guest_recv(&g, 1000))
		assert_int_equal(op, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(device(&g)->n_conns, 0);
	close(fd);
	guest_end(&g);
}

static void test_the_guest_stops_reading_and_the_host_gets_epipe(void **state)
{
	struct guest g;
	int fd;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	fd = guest_to_host(&g);
	assert_true(
		guest_send(&g, VIRTIO_VSOCK_OP_SHUTDOWN, P, HOST_PORT, VIRTIO_VSOCK_SHUTDOWN_RCV, NULL, 0));
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RW, P, HOST_PORT, 0, "still", 5));
	expect_host(&g, fd, "still");
	close(fd);
	guest_end(&g);
}

static void test_what_the_guest_sent_before_it_closed_reaches_a_slow_host(void **state)
{
	static uint8_t block[VSOCK_PKT_MAX], got[VSOCK_PKT_MAX];
	struct guest g;
	size_t total = 0, n = 0;
	int fd;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	fd = guest_to_host(&g);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 7);
	for (int i = 0; i < 5; i++, total += sizeof(block))
		assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RW, P, HOST_PORT, 0, block, sizeof(block)));
	assert_true(device(&g)->conn[0].buf_len > 0); /* more than the socket takes */
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_SHUTDOWN, P, HOST_PORT, 3, NULL, 0));
	while (guest_recv(&g, 1000) != VIRTIO_VSOCK_OP_RST)
		;
	assert_true(
		guest_send(&g, VIRTIO_VSOCK_OP_REQUEST, P, HOST_PORT, 0, NULL, 0)); /* the ports are free */
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RST);
	while (n < total) {
		ssize_t r;

		assert_true(readable(&g, fd, 1000));
		r = recv(fd, got, sizeof(got), 0);
		assert_true(r > 0);
		for (ssize_t k = 0; k < r; k++)
			assert_int_equal(got[k], block[(n + (size_t)k) % sizeof(block)]);
		n += (size_t)r;
	}
	expect_host_eof(&g, fd, 1000);
	assert_int_equal(device(&g)->n_conns, 0);
	close(fd);
	guest_end(&g);
}

/* --- credit ---------------------------------------------------------------------------------------------- */

static void test_a_guest_that_sends_beyond_its_credit_is_reset(void **state)
{
	static uint8_t block[VSOCK_PKT_MAX];
	struct guest g;
	unsigned op = 0;
	int fd, i;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	fd = guest_to_host(&g);
	for (i = 0; i < 64 && device(&g)->conn[0].state == VSOCK_OPEN; i++) {
		const struct vsock_conn *c = &device(&g)->conn[0];

		assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RW, P, HOST_PORT, 0, block, sizeof(block)));
		assert_true(c->buf_len <= c->window);
	}
	assert_true(i > 4 && i < 64);
	while (op != VIRTIO_VSOCK_OP_RST)
		op = guest_recv(&g, 1000);
	assert_int_equal(device(&g)->n_conns, 0);
	assert_int_equal(device(&g)->n_nonsense, 1);
	close(fd);
	guest_end(&g);
}

static void test_the_host_sends_no_more_than_the_guests_credit(void **state)
{
	static uint8_t block[20000];
	struct guest g;
	uint32_t got = 0;
	int fd;

	(void)state;
	guest_begin(&g);
	g.alloc = 10000;
	guest_up(&g, 0, 16);
	fd = guest_to_host(&g);
	assert_int_equal(send(fd, block, sizeof(block), 0), sizeof(block));
	for (;;) {
		unsigned op = guest_recv(&g, 1000);

		if (op == VIRTIO_VSOCK_OP_CREDIT_REQUEST)
			break;
		assert_int_equal(op, VIRTIO_VSOCK_OP_RW);
		got += le32toh(g.h.len);
	}
	assert_int_equal(got, 10000);
	expect_nothing(&g);
	g.fwd = 5000;
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, P, HOST_PORT, 0, NULL, 0));
	while (got < 15000) {
		assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RW);
		got += le32toh(g.h.len);
	}
	assert_int_equal(got, 15000);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	/* a guest whose figures make no sense gets nothing */
	g.fwd = 0xfffff000;
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, P, HOST_PORT, 0, NULL, 0));
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	expect_nothing(&g);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_CREDIT_REQUEST, P, HOST_PORT, 0, NULL, 0));
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(le32toh(g.h.buf_alloc), VSOCK_WINDOW);
	close(fd);
	guest_end(&g);
}

/* --- nonsense -------------------------------------------------------------------------------------------- */

static void test_nonsense_is_refused_and_ends_the_connection_it_names(void **state)
{
	static const struct {
		const char *what;
		unsigned op;
		uint32_t type, extra;
		bool answered; /* also when there is no such connection */
	} cases[] = {
		{ "an unknown type", VIRTIO_VSOCK_OP_RW, 7, 0, true },
		{ "SEQPACKET", VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_TYPE_SEQPACKET, 0, true },
		{ "operation 0", 0, VIRTIO_VSOCK_TYPE_STREAM, 0, true },
		{ "operation 8", 8, VIRTIO_VSOCK_TYPE_STREAM, 0, true },
		{ "operation 0xffff", 0xffff, VIRTIO_VSOCK_TYPE_STREAM, 0, true },
		{ "more bytes than the chain has", VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_TYPE_STREAM, 1, true },
		{ "2^32 - 1 bytes", VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_TYPE_STREAM, UINT32_MAX, true },
		{ "a second answer", VIRTIO_VSOCK_OP_RESPONSE, VIRTIO_VSOCK_TYPE_STREAM, 0, true },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int open = 0; open < 2; open++) {
			struct guest g;
			int fd = -1;
			unsigned op;

			guest_begin(&g);
			guest_up(&g, 0, 8);
			if (open)
				fd = guest_to_host(&g);
			g.type = cases[i].type;
			g.claim_extra = cases[i].extra;
			assert_true(guest_send(&g, cases[i].op, P, HOST_PORT, 0, NULL, 0));
			op = guest_recv(&g, 200);
			if (op != VIRTIO_VSOCK_OP_RST)
				print_error("%s (%d): want RST, got %u\n", cases[i].what, open, op);
			assert_int_equal(op, VIRTIO_VSOCK_OP_RST);
			if (open)
				expect_host_eof(&g, fd, 500);
			assert_int_equal(device(&g)->n_conns, 0);
			assert_false(vdev_get_status(g.t.d) & VDEV_S_NEEDS_RESET);
			if (fd >= 0)
				close(fd);
			guest_end(&g);
		}
}

static void test_packets_for_others_and_resets_of_nothing_are_dropped(void **state)
{
	struct guest g;
	struct driver_buf b;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 8);
	g.dst = 77;
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_REQUEST, P, HOST_PORT, 0, NULL, 0));
	g.dst = VSOCK_CID_HOST;
	g.src = GUEST_CID + 1;
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_REQUEST, P, HOST_PORT, 0, NULL, 0));
	g.src = GUEST_CID;
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_RST, P, HOST_PORT, 0, NULL, 0));
	b = (struct driver_buf){ g.tx_gpa, HDR_BYTES - 1, false };
	assert_true(driver_add(&g.t, TXQ, &b, 1) >= 0);
	driver_kick(&g.t, TXQ);
	assert_true(driver_used(&g.t, TXQ, NULL) >= 0);
	expect_nothing(&g);
	assert_int_equal(device(&g)->n_nonsense, 3);
	guest_end(&g);
}

static void test_refusals_without_room_stop_the_guests_queue_and_go_on_with_room(void **state)
{
	enum { N = 200 };
	struct guest g;
	unsigned taken = 0, answered = 0;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 0);
	for (int i = 0; i < N; i++)
		assert_true(guest_queue(&g, VIRTIO_VSOCK_OP_RW, P, HOST_PORT, 0, NULL, 0) >= 0);
	driver_kick(&g.t, TXQ);
	while (driver_used(&g.t, TXQ, NULL) >= 0)
		taken++;
	assert_true(taken > 0 && taken <= VSOCK_RSTS_MAX);
	guest_post(&g, 8);
	while (answered < N) {
		assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RST);
		answered++;
		while (driver_used(&g.t, TXQ, NULL) >= 0)
			taken++;
	}
	while (driver_used(&g.t, TXQ, NULL) >= 0)
		taken++;
	assert_int_equal(taken, N);
	expect_nothing(&g);
	guest_end(&g);
}

static struct loop hostile_loop = { .epfd = -1 };
static int hostile_dir = -1;

static struct vdev *hostile_make(struct driver *t)
{
	struct vsock_config c = { .cid = GUEST_CID, .dirfd = hostile_dir, .name = "v.sock" };
	struct vdev *d = NULL;

	BUG_ON(vsock_new(&d, &c, &t->mem, &hostile_loop, NULL) < 0);
	return d;
}

static void test_broken_rings_need_a_reset_and_work_after_it(void **state)
{
	char dir[] = "/tmp/hull-vsock-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	hostile_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(loop_init(&hostile_loop), 0);
	driver_hostile_all(hostile_make, TXQ, 0);
	loop_fini(&hostile_loop);
	close(hostile_dir);
	file_remove_tree(AT_FDCWD, dir, NULL);
}

/* --- limits ---------------------------------------------------------------------------------------------- */

static void test_no_more_than_1023_connections_and_a_closing_one_makes_room(void **state)
{
	static int host[VSOCK_CONNS_MAX];
	struct rlimit old, want;
	struct guest g;
	int listener, fd;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	want = (struct rlimit){ 4096, old.rlim_max };
	if (old.rlim_cur < 4096 && (old.rlim_max < 4096 || setrlimit(RLIMIT_NOFILE, &want) < 0)) {
		print_message("not enough descriptors here\n");
		skip();
	}
	guest_begin(&g);
	guest_up(&g, 0, 16);
	listener = host_listen(&g, "v.sock_52");
	for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
		assert_true(guest_send(&g, VIRTIO_VSOCK_OP_REQUEST, P + i, HOST_PORT, 0, NULL, 0));
		assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RESPONSE);
		host[i] = accept(listener, NULL, NULL);
		assert_true(host[i] >= 0);
	}
	assert_int_equal(le32toh(g.h.buf_alloc), VSOCK_WINDOW_SMALL);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_REQUEST, 1, HOST_PORT, 0, NULL, 0));
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RST);
	fd = sock_connect_at(g.dirfd, "v.sock", SOCK_STREAM);
	expect_host_eof(&g, fd, 1000);
	close(fd);
	close(host[0]); /* the guest is told, does not answer, and loses it when the slot is needed */
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_true(guest_send(&g, VIRTIO_VSOCK_OP_REQUEST, 1, HOST_PORT, 0, NULL, 0));
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RST);
	assert_int_equal(le32toh(g.h.dst_port), P);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(device(&g)->n_conns, VSOCK_CONNS_MAX);
	for (uint32_t i = 1; i < VSOCK_CONNS_MAX; i++)
		close(host[i]);
	close(listener);
	guest_end(&g);
	setrlimit(RLIMIT_NOFILE, &old);
}

/* --- life ------------------------------------------------------------------------------------------------ */

static void test_the_socket_file_goes_with_the_device_but_not_somebody_elses(void **state)
{
	struct guest g;
	struct vdev *d;

	(void)state;
	guest_begin(&g);
	d = guest_device(&g, "a");
	assert_int_equal(faccessat(g.dirfd, "a", F_OK, 0), 0);
	{
		struct vsock_config c = { .cid = 3, .dirfd = g.dirfd, .name = "a" };
		struct vdev *second = NULL;
		struct err e = { 0 };

		assert_int_equal(vsock_new(&second, &c, &g.t.mem, &g.loop, &e), -EADDRINUSE);
		assert_null(second);
		assert_string_equal(e.text, "vsock: socket 'a': Address already in use");
	}
	assert_int_equal(faccessat(g.dirfd, "a", F_OK, 0), 0);
	vdev_free(d);
	assert_int_equal(faccessat(g.dirfd, "a", F_OK, 0), -1);
	d = guest_device(&g, "a");
	assert_int_equal(unlinkat(g.dirfd, "a", 0), 0);
	close(openat(g.dirfd, "a", O_CREAT | O_WRONLY, 0600));
	vdev_free(d);
	assert_int_equal(faccessat(g.dirfd, "a", F_OK, 0), 0);
	guest_end(&g);
}

static void test_a_configuration_that_cannot_be_is_refused(void **state)
{
	static const struct {
		uint64_t cid;
		const char *name;
	} cases[] = { { 0, "a" },          { 2, "a" }, { UINT32_MAX, "a" },
		      { 1ULL << 32, "a" }, { 3, "" },  { 3, "../a" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vsock_config c = { .cid = cases[i].cid, .dirfd = AT_FDCWD, .name = cases[i].name };
		struct vdev *d = NULL;
		struct err e = { 0 };

		assert_int_equal(vsock_new(&d, &c, NULL, NULL, &e), -EINVAL);
		assert_null(d);
	}
}

static void expect_event(struct guest *g)
{
	uint32_t id = 9;

	assert_int_equal(driver_request(&g->t, EVQ, NULL, 0, &id, sizeof(id)), 4);
	assert_int_equal(le32toh(id), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
}

static void test_a_snapshot_ends_connections_on_both_machines_and_listens_on(void **state)
{
	struct buf b = { 0 };
	struct record_out o = { .to = &b };
	struct guest g;
	struct err e = { 0 };
	uint32_t port;
	int fd;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	fd = host_to_guest(&g, &port);
	vdev_pause(g.t.d);
	vdev_save(g.t.d, &o);
	assert_int_equal(buf_finish(&b), 0);
	buf_fini(&b);
	expect_host_eof(&g, fd, 100);
	close(fd);
	vdev_resume(g.t.d); /* the one that was saved runs on */
	expect_event(&g);
	close(host_to_guest(&g, &port));
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(driver_move(&g.t, guest_device(&g, "w.sock"), &e), 0); /* and its clone elsewhere */
	expect_event(&g);
	assert_int_equal(faccessat(g.dirfd, "v.sock", F_OK, 0), -1);
	fd = sock_connect_at(g.dirfd, "w.sock", SOCK_STREAM);
	assert_int_equal(send(fd, "CONNECT 1\n", 10, 0), 10);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_REQUEST);
	close(fd);
	guest_end(&g);
}

static void test_a_reset_closes_the_hosts_ends_and_later_clients_wait_for_the_driver(void **state)
{
	struct guest g;
	int fd, late;

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 16);
	fd = guest_to_host(&g);
	vdev_set_status(g.t.d, 0);
	expect_host_eof(&g, fd, 100);
	close(fd);
	late = sock_connect_at(g.dirfd, "v.sock", SOCK_STREAM);
	assert_int_equal(send(late, "CONNECT 3\n", 10, 0), 10);
	driver_restart(&g.t, VDEV_F_PACKED, 0);
	guest_post(&g, 8);
	assert_int_equal(guest_recv(&g, 1000), VIRTIO_VSOCK_OP_REQUEST);
	close(late);
	guest_end(&g);
}

static void test_configuration_space_says_the_cid(void **state)
{
	struct guest g;
	uint64_t cid = 0;
	uint8_t beyond[4];

	(void)state;
	guest_begin(&g);
	guest_up(&g, 0, 0);
	vdev_config_read(g.t.d, 0, &cid, 8);
	assert_int_equal(le64toh(cid), GUEST_CID);
	vdev_config_read(g.t.d, 4, &beyond, 4);
	assert_memory_equal(beyond, "\0\0\0\0", 4);
	vdev_config_read(g.t.d, 0xfffffffc, &beyond, 4);
	assert_memory_equal(beyond, "\0\0\0\0", 4);
	guest_end(&g);
}

/* --- many bytes ------------------------------------------------------------------------------------------ */

enum { STREAM_BYTES = 64 << 20 };

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 2654435761U >> 13);
}

static void *drain(void *arg)
{
	static uint8_t got[1 << 16];
	int fd = *(int *)arg;
	uint64_t n = 0;
	ssize_t r;

	while (n < STREAM_BYTES && (r = recv(fd, got, sizeof(got), 0)) > 0) {
		for (ssize_t i = 0; i < r; i += 61) /* some of them: the check must not be what is measured */
			if (got[i] != pattern(n + (uint64_t)i))
				return (void *)1;
		n += (uint64_t)r;
	}
	return n == STREAM_BYTES ? NULL : (void *)2;
}

static double seconds_since(nsec_t start)
{
	return (double)(time_now_ns(CLOCK_MONOTONIC) - start) / 1e9;
}

/* stream_out() - as fast as credit allows, as a driver would. */
static void stream_out(struct guest *g, int fd)
{
	static uint8_t block[VSOCK_PKT_MAX];
	uint32_t sent = 0, fwd = 0;
	nsec_t start = time_now_ns(CLOCK_MONOTONIC);
	pthread_t reader;
	void *failed;

	assert_int_equal(pthread_create(&reader, NULL, drain, &fd), 0);
	while (sent < STREAM_BYTES) {
		if (sent - fwd <= VSOCK_WINDOW - sizeof(block)) {
			for (size_t i = 0; i < sizeof(block); i++)
				block[i] = pattern(sent + i);
			assert_true(guest_send(g, VIRTIO_VSOCK_OP_RW, P, HOST_PORT, 0, block, sizeof(block)));
			sent += sizeof(block);
		}
		while (sent - fwd > VSOCK_WINDOW - sizeof(block) || driver_has_used(&g->t, 0)) {
			assert_int_equal(guest_recv(g, 5000), VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			fwd = le32toh(g->h.fwd_cnt);
		}
	}
	while (device(g)->conn[0].buf_len > 0)
		driver_wait(&g->t, 0, 1);
	pthread_join(reader, &failed);
	assert_null(failed);
	print_message("guest to host: %.0f MB/s\n", STREAM_BYTES / 1e6 / seconds_since(start));
}

static void *fill(void *arg)
{
	static uint8_t block[1 << 16];
	int fd = *(int *)arg;
	uint64_t n = 0;

	while (n < STREAM_BYTES) {
		ssize_t r;

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = pattern(n + i);
		r = send(fd, block, sizeof(block), MSG_NOSIGNAL);
		if (r != sizeof(block))
			return (void *)1;
		n += (uint64_t)r;
	}
	return NULL;
}

static void stream_in(struct guest *g, int fd)
{
	nsec_t start = time_now_ns(CLOCK_MONOTONIC);
	uint32_t got = 0;
	pthread_t writer;
	void *failed;

	assert_int_equal(pthread_create(&writer, NULL, fill, &fd), 0);
	while (got < STREAM_BYTES) {
		unsigned op = guest_recv(g, 5000);

		if (op == VIRTIO_VSOCK_OP_RW) {
			for (uint32_t i = 0; i < le32toh(g->h.len); i += 61)
				assert_int_equal(g->data[i], pattern(got + i));
			got += le32toh(g->h.len);
		}
		if (op == VIRTIO_VSOCK_OP_CREDIT_REQUEST || got - g->fwd > GUEST_ALLOC / 2) {
			g->fwd = got;
			assert_true(guest_send(g, VIRTIO_VSOCK_OP_CREDIT_UPDATE, P, HOST_PORT, 0, NULL, 0));
		}
	}
	pthread_join(writer, &failed);
	assert_null(failed);
	print_message("host to guest: %.0f MB/s\n", STREAM_BYTES / 1e6 / seconds_since(start));
}

static void test_long_streams_arrive_whole_both_ways(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l += 3) {
		struct guest g;
		int fd;

		guest_begin(&g);
		guest_up(&g, driver_layouts[l].features, 64);
		fd = guest_to_host(&g);
		stream_out(&g, fd);
		stream_in(&g, fd);
		close(fd);
		guest_end(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest_connects_and_bytes_go_both_ways_on_every_layout),
		cmocka_unit_test(test_host_connects_with_the_greeting_and_bytes_behind_it_are_kept),
		cmocka_unit_test(test_a_connection_the_guest_refuses_or_never_answers_ends_for_the_host),
		cmocka_unit_test(test_greeting_is_parsed_strictly),
		cmocka_unit_test(test_a_bad_greeting_closes_the_connection),
		cmocka_unit_test(test_only_a_socket_of_the_right_name_is_connected_to),
		cmocka_unit_test(test_each_half_closes_alone),
		cmocka_unit_test(test_the_guest_stops_reading_and_the_host_gets_epipe),
		cmocka_unit_test(test_what_the_guest_sent_before_it_closed_reaches_a_slow_host),
		cmocka_unit_test(test_a_guest_that_sends_beyond_its_credit_is_reset),
		cmocka_unit_test(test_the_host_sends_no_more_than_the_guests_credit),
		cmocka_unit_test(test_nonsense_is_refused_and_ends_the_connection_it_names),
		cmocka_unit_test(test_packets_for_others_and_resets_of_nothing_are_dropped),
		cmocka_unit_test(test_refusals_without_room_stop_the_guests_queue_and_go_on_with_room),
		cmocka_unit_test(test_broken_rings_need_a_reset_and_work_after_it),
		cmocka_unit_test(test_no_more_than_1023_connections_and_a_closing_one_makes_room),
		cmocka_unit_test(test_the_socket_file_goes_with_the_device_but_not_somebody_elses),
		cmocka_unit_test(test_a_configuration_that_cannot_be_is_refused),
		cmocka_unit_test(test_a_snapshot_ends_connections_on_both_machines_and_listens_on),
		cmocka_unit_test(test_a_reset_closes_the_hosts_ends_and_later_clients_wait_for_the_driver),
		cmocka_unit_test(test_configuration_space_says_the_cid),
		cmocka_unit_test(test_long_streams_arrive_whole_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
