/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void test_session_reads_detach_keys(void **state)
{
	static const struct {
		const char *text;
		int n;
		unsigned char key[4];
	} row[] = {
		{ NULL, 2, { 0x10, 0x11 } },
		{ "ctrl-a,d", 2, { 1, 'd' } },
		{ "ctrl-[", 1, { 0x1b } },
		{ "ctrl-@,x,y", 3, { 0, 'x', 'y' } },
		{ "", 0, { 0 } },
		{ "ctrl-", -EINVAL, { 0 } },
		{ "ab", -EINVAL, { 0 } },
		{ "ctrl-A", -EINVAL, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		unsigned char keys[SESSION_KEYS_MAX];
		int n = session_keys(row[i].text, keys, NULL);

		if (n != row[i].n)
			fail_msg("'%s': got %d, want %d", row[i].text, n, row[i].n);
		if (n > 0)
			assert_memory_equal(keys, row[i].key, (size_t)n);
	}
}

static void test_session_detaches_only_on_the_whole_sequence(void **state)
{
	static const unsigned char keys[] = { 16, 17 };
	static const struct {
		const char *in;
		bool done;
	} row[] = {
		{ "abc", false },      { "\x10", false },      { "\x10\x11", true },
		{ "a\x10\x11", true }, { "\x10x\x11", false }, { "\x10\x10\x11", true },
		{ "\x11\x10", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		int at = 0;

		if (session_detach_at(keys, 2, &at, row[i].in, strlen(row[i].in)) != row[i].done)
			fail_msg("row %zu", i);
	}
	{
		int at = 0; /* typed one by one */

		assert_false(session_detach_at(keys, 2, &at, "\x10", 1));
		assert_true(session_detach_at(keys, 2, &at, "\x11", 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session_reads_detach_keys),
		cmocka_unit_test(test_session_detaches_only_on_the_whole_sequence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
