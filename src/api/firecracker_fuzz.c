/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firecracker_fuzz.c - hostile requests into the API before a machine runs: method by the first byte, path up to the first newline,
 * then the body. What would open files is left out: the fuzzer would open the host's.
 */
#include <stdlib.h>
#include <string.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"
#include "io/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = { "/machine-config",
				     "/cpu-config",
				     "/balloon",
				     "/hotplug/memory",
				     "/entropy",
				     "/mmds",
				     "/mmds/config",
				     "/vm/config",
				     "/vm",
				     "/vsock",
				     "/actions",
				     "/balloon/statistics",
				     "/drives/rootfs",
				     "/balloon/hinting/start" };

/* opens_files() - a PUT of these names files; other methods come to nothing before a machine runs. */
static bool opens_files(const struct http_request *q)
{
	static const char *const path[] = { "/drives",  "/pmem",   "/network-interfaces", "/logger",
					    "/metrics", "/serial", "/boot-source",        "/snapshot" };

	for (size_t i = 0; q->method == HTTP_PUT && i < ARRAY_SIZE(path); i++)
		if (str_starts(q->target, path[i]))
			return true;
	return false;
}

static void check_reply(const struct http_server_reply *r)
{
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc doc = { .arena = &a };
	struct json_at root;

	BUG_ON(r->status != 200 && r->status != 204 && r->status != 400 && r->status != 413);
	BUG_ON(r->has_body == (r->status == 204));
	if (!r->has_body)
		return;
	root = json_parse(&doc, buf_str(&r->body), r->body.len);
	if (doc.rc < 0) /* the metadata store's reader and ours differ in depth and numbers */
		return;
	BUG_ON((r->status >= 400) != json_has(&root, "fault_message"));
}

static void check_config(const struct fc *f)
{
	const struct machine_config *c = &f->c;

	BUG_ON(c->cpus < 1 || c->cpus > ENGINE_CPUS_MAX || c->mem_bytes == 0 || c->mem_bytes % (1 << 20));
	BUG_ON(c->balloon.on && c->balloon.mib > c->mem_bytes >> 20);
	BUG_ON(c->memhp.on &&
	       (c->memhp.total_mib % c->memhp.slot_mib || c->memhp.slot_mib % c->memhp.block_mib));
	BUG_ON(c->cpu_edits.n_cpuid > MACHINE_CPUID_EDITS_MAX || c->cpu_edits.n_msrs > MACHINE_MSR_EDITS_MAX);
	BUG_ON(c->vsock.on && c->vsock.cid < 3);
}

static void ask(struct fc *f, struct http_request *q, const char *body, size_t len)
{
	struct http_server_reply reply = { .status = 200 };
	struct http_server_request r = { .head = q, .body = len ? body : NULL, .len = len };

	if (opens_files(q))
		return;
	fc__serve(f, &r, &reply);
	if (q->method != HTTP_GET || !str_eq(q->target, "/mmds")) /* what a user put there */
		check_reply(&reply);
	check_config(f);
	buf_fini(&reply.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum http_method methods[] = { HTTP_GET, HTTP_PUT, HTTP_PATCH, HTTP_DELETE };
	static const char *const names[] = { "GET", "PUT", "PATCH", "DELETE" };
	static struct http_request q;
	struct fc_options o = { .id = "fuzz", .mmds_max = FC_PAYLOAD_DEFAULT };
	struct fc f = { .o = &o,
			.loop.epfd = -1,
			.pair = -1,
			.serial.fd = -1,
			.log.fd = -1,
			.metrics.fd = -1,
			.log.id = "fuzz" };
	auto_free char *text = malloc(size + 1);
	char *line, *next;

	if (!text || mmds_new(&f.mmds, o.mmds_max, NULL) < 0)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	machine_config_defaults(&f.c);
	for (line = text; line && *line;
	     line = next) { /* a few requests, a line each: later ones meet what earlier ones set */
		unsigned char first = (unsigned char)*line;
		char *body = strchr(line, ' ');

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (body && (!next || body < next))
			*body++ = '\0';
		else
			body = line + strlen(line);
		http_request_init(&q);
		q.method = methods[first % 4];
		q.method_name = names[first % 4];
		q.target = line[1] == '/' ? line + 1 : paths[first / 4 % ARRAY_SIZE(paths)];
		ask(&f, &q, body, strlen(body));
	}
	machine_config_fini(&f.c);
	mmds_free(f.mmds);
	free(f.gdb_path);
	free(f.cpu_json);
	return 0;
}
