/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. A request is matched in this order, and the first that fails answers 400 with {"fault_message"}: path
 * and method, body there or not there, JSON, fields, state, the handler. Only as many parts of a path as a row names are
 * looked at, unless the row says exact: GET /version/anything is GET /version.
 */
#include <assert.h>
#include <string.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"
#include "io/http_server.h"

enum body { BODY_NONE, BODY_NEEDED, BODY_OPTIONAL, BODY_RAW }; /* RAW: the handler reads the text itself */

enum {
	EXACT = 1,
	RESOURCE = 2,
	SAVED = 4
}; /* RESOURCE: what a snapshot would bring; SAVED: GET of the configuration */

struct route {
	uint8_t method, when, body, flags;
	char metric[20];    /* the name in get_, put_, patch_api_requests; "": none */
	char path[24];      /* "*" is an id */
	const char *fields; /* of the body; NULL: the handler looks */
	fc_handler *run;
};

/* clang-format off */
static const struct route routes[] = {
	{ HTTP_GET, FC_ALWAYS, BODY_NONE, EXACT, "instance_info", "", NULL, fc__get_root },
	{ HTTP_GET, FC_ALWAYS, BODY_NONE, 0, "vmm_version", "version", NULL, fc__get_version },
	{ HTTP_GET, FC_ALWAYS, BODY_NONE, 0, "", "vm/config", NULL, fc__get_vm_config },
	{ HTTP_GET, FC_ALWAYS, BODY_NONE, 0, "machine_cfg", "machine-config", NULL, fc__get_machine },
	{ HTTP_GET, FC_ALWAYS, BODY_NONE, 0, "mmds", "mmds", NULL, fc__get_mmds },
	{ HTTP_GET, FC_AFTER, BODY_NONE, 0, "balloon", "balloon/statistics", NULL, fc__get_balloon_stats },
	{ HTTP_GET, FC_AFTER, BODY_NONE, 0, "balloon", "balloon/hinting/status", NULL, fc__balloon_hint_status },
	{ HTTP_GET, FC_ALWAYS, BODY_NONE, EXACT, "balloon", "balloon", NULL, fc__get_balloon },
	{ HTTP_GET, FC_AFTER, BODY_NONE, 0, "hotplug_memory", "hotplug/memory", NULL, fc__get_memhp },

	{ HTTP_PUT, FC_ALWAYS, BODY_NEEDED, 0, "actions", "actions", "action_type", fc__put_actions },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, RESOURCE, "machine_cfg", "machine-config",
	  "vcpu_count mem_size_mib smt cpu_template track_dirty_pages huge_pages gdb_socket_path", fc__put_machine },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, RESOURCE, "boot_source", "boot-source",
	  "kernel_image_path initrd_path boot_args", fc__put_boot },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, 0, "cpu_cfg", "cpu-config",
	  "kvm_capabilities cpuid_modifiers msr_modifiers reg_modifiers vcpu_features", fc__put_cpu },
	{ HTTP_PUT, FC_ALWAYS, BODY_NEEDED, RESOURCE, "drive", "drives/*",
	  "drive_id is_root_device partuuid cache_type is_read_only path_on_host rate_limiter io_engine socket",
	  fc__put_drive },
	{ HTTP_PUT, FC_ALWAYS, BODY_NEEDED, RESOURCE, "pmem", "pmem/*",
	  "id path_on_host root_device read_only rate_limiter", fc__put_pmem },
	{ HTTP_PUT, FC_ALWAYS, BODY_NEEDED, RESOURCE, "network", "network-interfaces/*",
	  "iface_id host_dev_name guest_mac mtu rx_rate_limiter tx_rate_limiter", fc__put_net },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, RESOURCE, "vsock", "vsock", "vsock_id guest_cid uds_path", fc__put_vsock },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, RESOURCE, "balloon", "balloon",
	  "amount_mib deflate_on_oom stats_polling_interval_s free_page_hinting free_page_reporting", fc__put_balloon },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, RESOURCE, "hotplug_memory", "hotplug/memory",
	  "total_size_mib slot_size_mib block_size_mib", fc__put_memhp },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, RESOURCE, "", "entropy", "rate_limiter", fc__put_entropy },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, 0, "serial", "serial", "serial_out_path rate_limiter", fc__put_serial },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, 0, "logger", "logger",
	  "log_path level show_level show_log_origin module", fc__put_logger },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, 0, "metrics", "metrics", NULL, fc__put_metrics },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, RESOURCE, "mmds", "mmds/config",
	  "version network_interfaces ipv4_address imds_compat", fc__put_mmds_config },
	{ HTTP_PUT, FC_ALWAYS, BODY_RAW, EXACT, "mmds", "mmds", NULL, fc__put_mmds },
	{ HTTP_PUT, FC_AFTER, BODY_NEEDED, EXACT, "", "snapshot/create",
	  "snapshot_type snapshot_path mem_file_path", fc__snapshot_create },
	{ HTTP_PUT, FC_BEFORE, BODY_NEEDED, EXACT, "", "snapshot/load",
	  "snapshot_path mem_backend mem_file_path track_dirty_pages enable_diff_snapshots resume_vm network_overrides "
	  "vsock_override clock_realtime huge_pages ahead_path", fc__snapshot_load },

	{ HTTP_PATCH, FC_AFTER, BODY_NEEDED, 0, "", "vm", "state", fc__patch_vm },
	{ HTTP_PATCH, FC_BEFORE, BODY_NEEDED, RESOURCE, "machine_cfg", "machine-config",
	  "vcpu_count mem_size_mib smt cpu_template track_dirty_pages huge_pages gdb_socket_path", fc__patch_machine },
	{ HTTP_PATCH, FC_AFTER, BODY_NEEDED, 0, "drive", "drives/*", "drive_id path_on_host rate_limiter",
	  fc__patch_drive },
	{ HTTP_PATCH, FC_AFTER, BODY_NEEDED, 0, "pmem", "pmem/*", "id rate_limiter", fc__patch_pmem },
	{ HTTP_PATCH, FC_AFTER, BODY_NEEDED, 0, "network", "network-interfaces/*",
	  "iface_id rx_rate_limiter tx_rate_limiter", fc__patch_net },
	{ HTTP_PATCH, FC_AFTER, BODY_NEEDED, 0, "balloon", "balloon/statistics", "stats_polling_interval_s",
	  fc__patch_balloon_stats },
	{ HTTP_PATCH, FC_AFTER, BODY_OPTIONAL, 0, "balloon", "balloon/hinting/start", "acknowledge_on_stop",
	  fc__balloon_hint_start },
	{ HTTP_PATCH, FC_AFTER, BODY_OPTIONAL, 0, "balloon", "balloon/hinting/stop", "", fc__balloon_hint_stop },
	{ HTTP_PATCH, FC_AFTER, BODY_NEEDED, EXACT, "balloon", "balloon", "amount_mib", fc__patch_balloon },
	{ HTTP_PATCH, FC_AFTER, BODY_NEEDED, 0, "hotplug_memory", "hotplug/memory", "requested_size_mib",
	  fc__patch_memhp },
	{ HTTP_PATCH, FC_ALWAYS, BODY_RAW, EXACT, "mmds", "mmds", NULL, fc__patch_mmds },

	{ HTTP_DELETE, FC_AFTER, BODY_NONE, 0, "", "drives/*", NULL, fc__delete_drive },
	{ HTTP_DELETE, FC_AFTER, BODY_NONE, 0, "", "pmem/*", NULL, fc__delete_pmem },
	{ HTTP_DELETE, FC_AFTER, BODY_NONE, 0, "", "network-interfaces/*", NULL, fc__delete_net },
};
/* clang-format on */

static_assert(ARRAY_SIZE(routes) <= FC_ROUTES_MAX, "a counter for each");

enum fc_when fc__state(const struct fc *f)
{
	if (!f->m)
		return FC_BEFORE;
	return machine_state(f->m) == MACHINE_PAUSED ? FC_PAUSED : FC_RUNNING;
}

/* match() - does @path, behind its first slash, belong to the row? *ret_id: what stands for '*', copied to @id. */
static bool match(const struct route *r, const char *path, char *id, size_t size)
{
	const char *want = r->path;

	*id = '\0';
	while (*want) {
		size_t n = strcspn(want, "/"), have = strcspn(path, "/");

		if (want[0] == '*')
			str_format(id, size, "%.*s", (int)have, path);
		else if (n != have || memcmp(want, path, n) != 0)
			return false;
		want += n + (want[n] == '/');
		path += have + (path[have] == '/');
	}
	return !(r->flags & EXACT) || !*path;
}

static const struct route *find(unsigned method, const char *target, char *id, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (routes[i].method == method && match(&routes[i], target + 1, id, size))
			return &routes[i];
	return NULL;
}

static int check_state(const struct route *r, const struct fc *f, struct err *e)
{
	if (r->when & fc__state(f))
		return 0;
	return err_set(e, EBUSY, "The requested operation is not supported %s the microVM",
		       f->m ? "after starting" : "before starting");
}

static int run(const struct route *r, struct fc_call *c)
{
	int rc = check_state(r, c->f, c->e);

	if (rc == 0 && c->body && r->fields)
		fc__fields(c->body, r->fields);
	if (rc == 0 && c->body)
		rc = json_finish(c->body->doc);
	if (rc == 0)
		rc = r->run(c);
	if (rc == 0 && c->body) /* what a handler read wrongly and did not ask about */
		rc = json_finish(c->body->doc);
	if (rc == 0 && (r->flags & RESOURCE))
		c->f->touched = true;
	c->f->n.route[r - routes]++;
	c->f->n.route_fails[r - routes] += rc < 0;
	c->f->n.deprecated += c->deprecated;
	return rc;
}

/* run_text() - the body's text as JSON, then the route. */
static int run_text(const struct route *r, struct fc_call *c)
{
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc doc = { .arena = &a, .e = c->e };
	struct json_at root;
	int rc;

	if (!c->text || r->body == BODY_RAW)
		return run(r, c);
	root = json_parse(&doc, c->text, c->len);
	if (json_finish(&doc) < 0)
		return err_wrap(c->e, doc.rc, "The body is no JSON");
	c->body = &root;
	rc = run(r, c);
	c->body = NULL;
	return rc;
}

static int check_body(const struct route *r, const struct http_server_request *q, struct err *e)
{
	if (r->body == BODY_NONE && q->body)
		return err_set(e, EINVAL, "%s request cannot have a body", q->head->method_name);
	if ((r->body == BODY_NEEDED || r->body == BODY_RAW) && !q->body)
		return err_set(e, EINVAL, "Empty %s request", q->head->method_name);
	return 0;
}

static int route(struct fc_call *c, const struct http_server_request *q)
{
	const struct route *r = find(q->head->method, q->head->target, c->path_id, sizeof(c->path_id));
	int rc;

	if (!r && q->head->method == HTTP_GET && q->body)
		return err_set(c->e, EINVAL, "GET request cannot have a body");
	if (!r)
		return err_set(c->e, ENOENT, "Invalid request method and/or path: %s %.256s",
			       q->head->method_name, q->head->target);
	rc = check_body(r, q, c->e);
	if (rc < 0)
		return rc;
	c->text = q->body;
	c->len = q->len;
	c->id = c->path_id;
	return run_text(r, c);
}

static void put_fault(struct buf *to, const struct err *e)
{
	struct json_out o = { .to = to };

	to->len = 0;
	json_put_open(&o, NULL, '{');
	json_put_str(&o, "fault_message", e->text);
	json_put_close(&o, '}');
}

void fc__serve(void *arg, const struct http_server_request *q, struct http_server_reply *ret)
{
	struct err e = { 0 };
	struct fc_call c = { .f = arg, .e = &e, .out = { .to = &ret->body } };
	int rc;

	fc__log(c.f, FC_INFO, "API: %s %.200s from user %u, process %d", q->head->method_name,
		q->head->target, q->peer.uid, (int)q->peer.pid);
	rc = route(&c, q);
	ret->deprecated = c.deprecated;
	if (rc < 0) {
		put_fault(&ret->body, &e);
		ret->has_body = true;
		ret->status = c.status ? c.status : 400;
		fc__log(c.f, FC_ERROR, "API: %d: %s", ret->status, e.text);
		return;
	}
	ret->has_body = ret->body.len > 0;
	ret->status = c.status ? c.status : ret->has_body ? 200 : 204;
	fc__log(c.f, FC_INFO, "API: %d", ret->status);
}

int fc__apply(struct fc *f, const char *path, const struct json_at *body, struct err *e)
{
	auto_fini(buf) struct buf reply = { 0 };
	struct fc_call c = { .f = f, .body = body, .e = e, .out = { .to = &reply } };
	char id[8];
	const struct route *r = find(HTTP_PUT, path, id, sizeof(id));

	BUG_ON(!r);
	return run(r, &c);
}

/* put_group() - one method's rows, those of one name added up; @fails: and how many of them failed. */
static void put_group(const struct fc *f, struct json_out *o, const char *group, unsigned method, bool fails)
{
	char name[40];

	json_put_open(o, group, '{');
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		uint64_t n = 0, bad = 0;
		size_t first = 0;

		if (routes[i].method != method || !routes[i].metric[0])
			continue;
		while (routes[first].method != method || !str_eq(routes[first].metric, routes[i].metric))
			first++;
		if (first != i)
			continue; /* added up already */
		for (size_t k = i; k < ARRAY_SIZE(routes); k++)
			if (routes[k].method == method && str_eq(routes[k].metric, routes[i].metric)) {
				n += f->n.route[k];
				bad += f->n.route_fails[k];
			}
		str_format(name, sizeof(name), "%s_count", routes[i].metric);
		json_put_u64(o, name, n);
		str_format(name, sizeof(name), "%s_fails", routes[i].metric);
		if (fails)
			json_put_u64(o, name, bad);
	}
	json_put_close(o, '}');
}

void fc__put_route_metrics(const struct fc *f, struct json_out *o)
{
	put_group(f, o, "get_api_requests", HTTP_GET, false);
	put_group(f, o, "put_api_requests", HTTP_PUT, true);
	put_group(f, o, "patch_api_requests", HTTP_PATCH, true);
}
