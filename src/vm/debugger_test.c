/* SPDX-License-Identifier: Apache-2.0 */
/* debugger_test.c - a debugger at a machine of a few bytes, beside whoever else starts, pauses and ends it; skips where no engine runs */
#include <sys/socket.h>
#include <sys/un.h>

#include "base/bug.h"
#include "base/str.h"
#include "fmt/gdb.h"
#include "vm/machine_testing.h"

enum { GUEST_AT = LOAD_AT + HEADER_BYTES, JUMP_AT = GUEST_AT + 6, WAIT_MS = 10000 };

struct client {
	int fd;
	char got[8192];
	size_t len;
};

static struct client client;

/* listen_at() - an address that the kernel has chosen. Return: the socket. */
static int listen_at(struct sockaddr_un *ret_addr, socklen_t *ret_len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*ret_addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*ret_len = sizeof(*ret_addr);
	assert_true(fd >= 0);
	assert_return_code(bind(fd, (struct sockaddr *)ret_addr, sizeof(sa_family_t)), errno);
	assert_return_code(getsockname(fd, (struct sockaddr *)ret_addr, ret_len), errno);
	assert_return_code(listen(fd, 4), errno);
	return fd;
}

static struct sockaddr_un addr;
static socklen_t addr_len;

static void open_debugged(struct world *w, bool wait)
{
	world_open(w, counting, sizeof(counting));
	w->c.gdb.fd = listen_at(&addr, &addr_len);
	w->c.gdb.wait = wait;
	world_make(w);
}

static void come(struct world *w)
{
	client = (struct client){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
	assert_return_code(connect(client.fd, (struct sockaddr *)&addr, addr_len), errno);
	run(w, 5);
}

static void go(void)
{
	close(client.fd);
}

static void say(const char *text)
{
	auto_fini(buf) struct buf b = { 0 };

	if (*text == '\x03')
		buf_puts(&b, text);
	else
		gdb_put_packet(&b, text, strlen(text));
	assert_int_equal(send(client.fd, b.data, b.len, MSG_NOSIGNAL), b.len);
}

/* hears() - the next packet is @want; its sum is not looked at. */
static void hears(struct world *w, const char *want)
{
	char *begin, *end = NULL;

	for (int ms = 0; ms < WAIT_MS && !end; ms++) {
		ssize_t n = recv(client.fd, client.got + client.len, sizeof(client.got) - 1 - client.len, 0);

		if (n > 0)
			client.len += (size_t)n;
		client.got[client.len] = '\0';
		end = strchr(client.got, '#');
		if (end && end[1] && end[2])
			break;
		end = NULL;
		run(w, 1);
	}
	if (!end)
		fail_msg("want '%s', got no answer: '%s'", want, client.got);
	*end = '\0';
	begin = strchr(client.got, '$');
	assert_non_null(begin);
	if (!str_eq(begin + 1, want))
		fail_msg("want '%s', got '%s'", want, begin + 1);
	client.len -= (size_t)(end + 3 - client.got);
	memmove(client.got, end + 3, client.len + 1);
}

static void asks(struct world *w, const char *text, const char *want)
{
	say(text);
	hears(w, want);
}

static bool counts(struct world *w)
{
	uint32_t before = counter(w);

	for (int k = 0; k < 200 && counter(w) == before; k++)
		run(w, 1);
	return counter(w) != before;
}

static void stands(struct world *w)
{
	uint32_t before = counter(w);

	run(w, 5);
	assert_int_equal(counter(w), before);
}

static void test_a_guest_waits_and_stops_where_it_is_told_to(void **state)
{
	char text[64];
	struct world w;

	(void)state;
	open_debugged(&w, true);
	assert_return_code(machine_start(w.m, &w.e), 0);
	stands(&w);
	come(&w);
	asks(&w, "?", "T05thread:1;");
	stands(&w);
	str_format(text, sizeof(text), "Z1,%x,1", JUMP_AT);
	asks(&w, text, "OK");
	asks(&w, "qSupported:hwbreak+",
	     "PacketSize=4000;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+;QStartNoAckMode+");
	asks(&w, "vCont;c", "T05thread:1;hwbreak:;");
	assert_int_equal(counter(&w), 1);
	asks(&w, "vCont;s:1", "T05thread:1;");
	asks(&w, "vCont;s:1", "T05thread:1;");
	assert_int_equal(counter(&w), 2);
	str_format(text, sizeof(text), "m%x,4", GUEST_COUNTER);
	asks(&w, text, "02000000");
	text[0] = 'M';
	str_copy(text + strlen(text), 16, ":00010000");
	asks(&w, text, "OK");
	assert_int_equal(counter(&w), 256);
	go();
	assert_true(counts(&w)); /* without its breakpoint */
	world_close(&w);
}

static void test_what_is_held_and_what_is_paused_are_two_things(void **state)
{
	struct world w;

	(void)state;
	open_debugged(&w, false);
	assert_return_code(machine_start(w.m, &w.e), 0);
	assert_true(counts(&w));
	come(&w);
	stands(&w);
	assert_int_equal(machine_state(w.m), MACHINE_RUNNING);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	assert_return_code(machine_resume(w.m, &w.e), 0);
	stands(&w);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	asks(&w, "qC", "QC1");
	say("vCont;c");
	stands(&w);
	asks(&w, "qC", "E10"); /* he has let go, and has to say so again */
	assert_return_code(machine_resume(w.m, &w.e), 0);
	assert_true(counts(&w));
	asks(&w, "\x03", "T02thread:1;");
	stands(&w);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	go();
	stands(&w);
	assert_return_code(machine_resume(w.m, &w.e), 0);
	assert_true(counts(&w));
	world_close(&w);
}

static void test_the_end_is_told_to_who_waits_for_it(void **state)
{
	static const uint8_t exits[] = { 0xb0, 0x2a, 0xe6, 0xf4, 0xf4 };
	struct world w;

	(void)state;
	world_open(&w, exits, sizeof(exits));
	w.c.gdb.fd = listen_at(&addr, &addr_len);
	w.c.gdb.wait = true;
	world_make(&w);
	assert_return_code(machine_start(w.m, &w.e), 0);
	come(&w);
	asks(&w, "vCont;c", "W2a");
	assert_int_equal(w.status, 42);
	go();
	world_close(&w);
	open_debugged(&w, false);
	assert_return_code(machine_start(w.m, &w.e), 0);
	come(&w);
	say("vCont;c");
	run(&w, 5);
	machine_stop(w.m);
	hears(&w, "X09");
	go();
	world_close(&w);
	open_debugged(&w, false);
	assert_return_code(machine_start(w.m, &w.e), 0);
	come(&w);
	asks(&w, "vKill;1", "OK");
	run(&w, 5);
	assert_true(w.n_ended == 1 && w.how == MACHINE_END_KILLED);
	go();
	world_close(&w);
}

static void test_the_next_may_come_when_the_last_one_has_just_gone(void **state)
{
	struct world w;

	(void)state;
	open_debugged(&w, true);
	assert_return_code(machine_start(w.m, &w.e), 0);
	for (int i = 0; i < 20; i++) {
		come(&w);
		say("g");
		say("m0,1000");
		go();
		come(&w);
		asks(&w, "qC", "QC1");
		go();
	}
	come(&w);
	go();
	assert_true(counts(&w));
	world_close(&w);
}

static void test_processors_stop_together_and_step_alone(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, counting, sizeof(counting));
	w.c.gdb.fd = listen_at(&addr, &addr_len);
	w.c.cpus = 3; /* two of them wait to be started */
	world_make(&w);
	assert_return_code(machine_start(w.m, &w.e), 0);
	come(&w);
	asks(&w, "qfThreadInfo", "m1,2,3");
	for (int i = 0; i < 40; i++) {
		say("vCont;c");
		if (i % 2)
			assert_true(counts(&w));
		asks(&w, "\x03", "T02thread:1;");
		stands(&w);
		asks(&w, "vCont;s:1", "T05thread:1;");
	}
	asks(&w, "Hg3", "OK");
	asks(&w, "qC", "QC3");
	say("vCont;c:2");
	stands(&w);
	asks(&w, "\x03", "T02thread:3;");
	go();
	world_close(&w);
}

static void test_a_debugger_may_come_and_go_and_the_machine_be_freed_at_any_time(void **state)
{
	static const char *const words[] = { "", "vCont;c", "vCont;s:1", "Z0,100026,1", "m0", "g", "\x03" };
	struct world w;

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		open_debugged(&w, i % 2);
		w.c.cpus = 1 + i % 2;
		if (i % 3)
			assert_return_code(machine_start(w.m, &w.e), 0);
		come(&w);
		say(words[i % ARRAY_SIZE(words)]);
		say(words[i / 7 % ARRAY_SIZE(words)]);
		if (i % 4)
			run(&w, 1);
		if (i % 5 == 0)
			go();
		if (i % 5 == 0 && i % 4)
			run(&w, 1);
		world_close(&w);
		if (i % 5)
			go();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_guest_waits_and_stops_where_it_is_told_to),
		cmocka_unit_test(test_what_is_held_and_what_is_paused_are_two_things),
		cmocka_unit_test(test_the_end_is_told_to_who_waits_for_it),
		cmocka_unit_test(test_the_next_may_come_when_the_last_one_has_just_gone),
		cmocka_unit_test(test_processors_stop_together_and_step_alone),
		cmocka_unit_test(test_a_debugger_may_come_and_go_and_the_machine_be_freed_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
