/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firecracker_front_fuzz.c - a machine that was taken over talks to the API's process: messages while each kind of request is
 * under way. The first byte chooses the request; then messages: kind, length (a byte each), content.
 */
#include <string.h>

#include "api/firecracker_front.h"
#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	enum http_method method;
	const char *target, *body;
	unsigned may; /* enum fc_file, a bit each */
} requests[] = {
	{ HTTP_GET, "/", NULL, 0 },
	{ HTTP_PATCH, "/drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"/named\"}", 1 << FC_FILE_DISK },
	{ HTTP_PUT, "/drives/b", "{\"drive_id\":\"b\",\"is_read_only\":true,\"path_on_host\":\"/named\"}",
	  1 << FC_FILE_DISK },
	{ HTTP_PUT, "/network-interfaces/n", "{\"iface_id\":\"n\",\"host_dev_name\":\"/named\"}",
	  1 << FC_FILE_TAP },
	{ HTTP_PUT, "/snapshot/create", "{\"snapshot_path\":\"/named\",\"mem_file_path\":\"/named\"}",
	  1 << FC_FILE_STATE | 1 << FC_FILE_MEM },
	{ HTTP_PUT, "/snapshot/load", "{\"snapshot_path\":\"/named\"}", 0 },
	{ HTTP_DELETE, "/drives/a", NULL, 0 },
};
static size_t at;
static unsigned n_opened;

static int note_open(const char *path, enum fc_how how)
{
	BUG_ON(!str_eq(path, "/named") || (unsigned)how > FC_HOW_TAP);
	n_opened++;
	return -ENOENT;
}

static void check(const struct fc_front *f)
{
	BUG_ON(f->n_drives > MACHINE_DRIVES_MAX || (f->asked & ~requests[at].may));
	BUG_ON(n_opened > (unsigned)__builtin_popcount(requests[at].may));
	for (unsigned i = 0; i < f->n_drives; i++)
		BUG_ON(!f->drive[i].id[0] || !memchr(f->drive[i].id, '\0', sizeof(f->drive[i].id)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fc_options o = { .payload_max = FC_PAYLOAD_DEFAULT,
					     .mmds_max = FC_PAYLOAD_DEFAULT };
	static struct http_request head;
	struct http_server_request q = { .head = &head };
	struct http_server_reply reply = { 0 };
	struct fc_front f;
	int r = 0;

	if (size < 1)
		return 0;
	at = data[0] % ARRAY_SIZE(requests);
	n_opened = 0;
	fc__front_init(&f, &o);
	f.open = note_open;
	f.q = &q;
	head.method = requests[at].method;
	head.target = requests[at].target;
	q.body = requests[at].body;
	q.len = q.body ? strlen(q.body) : 0;
	for (size_t i = 1; i + 2 <= size && r == 0;) {
		uint32_t kind = data[i];
		size_t len = (size_t)data[i + 1] * 5; /* 66 for each drive: up to 16 of them are in reach */

		i += 2;
		if (len > size - i)
			len = size - i;
		if (len > fc__front_limit(&f, kind))
			len = (size_t)fc__front_limit(&f, kind);
		r = fc__front_take(&f, kind, data + i, len, &reply);
		BUG_ON(r != 0 && r != 1 && r != -EPROTO);
		BUG_ON(r == 1 && (reply.status < 200 || reply.status > 500));
		check(&f);
		i += len;
	}
	buf_fini(&reply.body);
	return 0;
}
