/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/gdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"

static struct gdb_input in;
static struct gdb_command c;

/* events() - of @text, a letter for each: P, B, I. */
static const char *events(const char *text, size_t len)
{
	static const char letter[] = {
		[GDB_EVENT_PACKET] = 'P', [GDB_EVENT_BAD] = 'B', [GDB_EVENT_INTERRUPT] = 'I'
	};
	static char all[64];
	size_t n = 0, at = 0;

	memset(&in, 0, sizeof(in));
	while (at < len && n < sizeof(all) - 1) {
		enum gdb_event e;

		at += gdb_feed(&in, text + at, len - at, &e);
		if (e != GDB_EVENT_NONE)
			all[n++] = letter[e];
	}
	all[n] = '\0';
	return all;
}

static void test_packets_are_found_checked_and_unescaped(void **state)
{
	static const struct {
		const char *text, *events, *last;
	} one[] = {
		{ "$g#67", "P", "g" },
		{ "+-+$g#67+", "P", "g" },
		{ "noise$g#67$?#3f", "PP", "?" },
		{ "\x03", "I", "" },
		{ "\x03$g#67\x03", "IPI", "g" },
		{ "$\x03#03", "P", "\x03" },
		{ "$g#68", "B", "g" },
		{ "$g#6x", "B", "g" },
		{ "$g#x", "B", "g" },
		{ "$g$?#3f", "P", "?" },
		{ "$X}]}\x03#b2", "P", "X}#" },
		{ "$a}#de", "B", "a" },
		{ "$#00", "P", "" },
		{ "$g#6", "", "g" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(one); i++) {
		const char *got = events(one[i].text, strlen(one[i].text));

		if (!str_eq(got, one[i].events) || !str_eq((char *)in.data, one[i].last))
			fail_msg("%zu: want '%s' \"%s\", got '%s' \"%s\"", i, one[i].events, one[i].last, got,
				 in.data);
	}
}

static void test_a_packet_that_is_too_long_is_bad_and_the_next_is_not(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	auto_free char *text = malloc(GDB_PACKET_MAX + 2);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', GDB_PACKET_MAX + 2);
	gdb_put_packet(&b, text, GDB_PACKET_MAX);
	gdb_put_packet(&b, text, GDB_PACKET_MAX + 1);
	gdb_put_packet(&b, "?", 1);
	assert_string_equal(events(b.data, b.len), "PBP");
	assert_string_equal((char *)in.data, "?");
}

static void parse(const char *text)
{
	auto_fini(buf) struct buf b = { 0 };

	gdb_put_packet(&b, text, strlen(text));
	assert_string_equal(events(b.data, b.len), "P");
	gdb_parse(&in, &c);
}

static void test_commands_are_what_they_say(void **state)
{
	(void)state;
	parse("mffffffff81000000,40");
	assert_int_equal(c.op, GDB_MEM_READ);
	assert_true(c.addr == 0xffffffff81000000 && c.len == 0x40);
	parse("M10,2:beEF");
	assert_int_equal(c.op, GDB_MEM_WRITE);
	assert_true(c.addr == 0x10 && c.n_data == 2);
	assert_memory_equal(c.data, "\xbe\xef", 2);
	parse("X10,3:a$}");
	assert_int_equal(c.op, GDB_MEM_WRITE);
	assert_memory_equal(c.data, "a$}", 3);
	parse("X10,0:");
	assert_true(c.op == GDB_MEM_WRITE && c.n_data == 0);
	parse("P1f=0102");
	assert_int_equal(c.op, GDB_REG_WRITE);
	assert_true(c.addr == 0x1f && c.n_data == 2);
	parse("Z2,1000,8");
	assert_int_equal(c.op, GDB_POINT_SET);
	assert_true(c.point == GDB_POINT_WRITE && c.addr == 0x1000 && c.len == 8);
	parse("Hg-1");
	assert_true(c.op == GDB_THREAD_FOR && c.thread == GDB_THREAD_ALL && !c.resumes);
	parse("Hc2");
	assert_true(c.op == GDB_THREAD_FOR && c.thread == 2 && c.resumes);
	parse("qXfer:features:read:target.xml:0,ffb");
	assert_true(c.op == GDB_TARGET_XML && c.addr == 0 && c.len == 0xffb);
	parse("qSupported:multiprocess+;swbreak+;hwbreak-;xmlRegisters=i386");
	assert_true(c.op == GDB_SUPPORTED && c.tells_soft && !c.tells_hard);
}

static void test_each_way_to_go_on_is_a_list_of_actions(void **state)
{
	(void)state;
	parse("vCont;s:2;c");
	assert_int_equal(c.op, GDB_RESUME);
	assert_int_equal(c.n_actions, 2);
	assert_true(c.action[0].thread == 2 && c.action[0].step);
	assert_true(c.action[1].thread == GDB_THREAD_ALL && !c.action[1].step);
	parse("vCont;C05:-1;S0b:1");
	assert_true(c.n_actions == 2 && !c.action[0].step && c.action[1].step && c.action[1].thread == 1);
	parse("s");
	assert_true(c.op == GDB_RESUME && c.n_actions == 1 && c.action[0].step &&
		    c.action[0].thread == GDB_THREAD_ANY);
	parse("C05");
	assert_true(c.op == GDB_RESUME && c.n_actions == 1 && !c.action[0].step);
}

static void test_what_is_unknown_and_what_is_malformed_are_told_apart(void **state)
{
	static const char *const unknown[] = { "",         "vMustReplyEmpty",
					       "qTStatus", "!",
					       "vCont",    "qCRC:0,1",
					       "g1",       "qXfer:memory-map:read::0,10",
					       "\xff" };
	static const char *const malformed[] = {
		"m",
		"m1",
		"m1,",
		"m,1",
		"mx,1",
		"m1,1,",
		"m12345678123456781,1",
		"M1,2:ab",
		"M1,1:a",
		"M1,1:ag",
		"X1,2:a",
		"p",
		"P1",
		"P1=a",
		"Z5,0,1",
		"Z1,0",
		"Z1,0,1;x",
		"Hx1",
		"Hg",
		"Hg-2",
		"Hg80000000",
		"T",
		"Tp1.1",
		"C",
		"c1",
		"vCont;",
		"vCont;x",
		"vCont;c;",
		"vCont;c:",
		"vCont;C:1",
		"vCont;c1",
		"D;",
		"vKill;x",
		"G0",
		"qThreadExtraInfo,",
		"qXfer:features:read:target.xml:",
		"qXfer:features:read:target.xml:0",
		"vCont;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c;c",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		parse(unknown[i]);
		if (c.op != GDB_UNKNOWN)
			fail_msg("'%s' is known: %d", unknown[i], c.op);
	}
	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
		parse(malformed[i]);
		if (c.op != GDB_MALFORMED)
			fail_msg("'%s' is not malformed: %d", malformed[i], c.op);
	}
}

static void test_replies_are_escaped_and_summed(void **state)
{
	auto_fini(buf) struct buf b = { 0 };

	(void)state;
	gdb_put_packet(&b, "", 0);
	gdb_put_packet(&b, "OK", 2);
	gdb_put_packet(&b, "a#b", 3);
	gdb_put_hex(&b, "\x01\xfe", 2);
	assert_string_equal(buf_str(&b), "$#00$OK#9a$a}\x03"
					 "b#4301fe");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets_are_found_checked_and_unescaped),
		cmocka_unit_test(test_a_packet_that_is_too_long_is_bad_and_the_next_is_not),
		cmocka_unit_test(test_commands_are_what_they_say),
		cmocka_unit_test(test_each_way_to_go_on_is_a_list_of_actions),
		cmocka_unit_test(test_what_is_unknown_and_what_is_malformed_are_told_apart),
		cmocka_unit_test(test_replies_are_escaped_and_summed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
