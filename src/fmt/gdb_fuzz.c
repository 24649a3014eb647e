/* SPDX-License-Identifier: Apache-2.0 */
/* gdb_fuzz.c - hostile bytes into the remote protocol: whole, and cut anywhere, must come to the same */
#include "fmt/gdb.h"

#include <string.h>

#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* next() - the next event of @in, @run bytes at a time. Return: how many bytes were taken. */
static size_t next(struct gdb_input *in, const uint8_t *p, size_t len, size_t run, enum gdb_event *ret_event)
{
	size_t at = 0;

	*ret_event = GDB_EVENT_NONE;
	while (at < len && *ret_event == GDB_EVENT_NONE) {
		size_t n = len - at < run ? len - at : run, got = gdb_feed(in, p + at, n, ret_event);

		BUG_ON(got > n || (*ret_event == GDB_EVENT_NONE && got != n));
		at += got;
	}
	return at;
}

static void parse(struct gdb_input *in)
{
	struct gdb_command c;

	gdb_parse(in, &c);
	BUG_ON((unsigned)c.op >= GDB_OP_COUNT || c.n_actions > GDB_ACTIONS_MAX);
	BUG_ON(c.n_data && (c.data < in->data || c.data + c.n_data > in->data + in->len));
	BUG_ON(c.op == GDB_MEM_WRITE && c.n_data != c.len);
	BUG_ON((unsigned)c.point > GDB_POINT_ACCESS && c.op != GDB_MALFORMED);
	for (unsigned i = 0; i < c.n_actions; i++)
		BUG_ON(c.op != GDB_MALFORMED && c.action[i].thread < GDB_THREAD_ALL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gdb_input a, b;
	size_t at = 1, at_b = 1;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	while (at < size) {
		enum gdb_event ea, eb;

		at += next(&a, data + at, size - at, size, &ea);
		at_b += next(&b, data + at_b, size - at_b, 1 + (size_t)data[0] % 97, &eb);
		BUG_ON(at != at_b || ea != eb);
		if (ea != GDB_EVENT_PACKET)
			continue;
		BUG_ON(a.len != b.len || a.len > GDB_PACKET_MAX || memcmp(a.data, b.data, a.len + 1) != 0);
		parse(&a);
	}
	return 0;
}
