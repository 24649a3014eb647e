/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_config.c - the whole configuration: from a file (--config-file), and as GET /vm/config tells it */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

enum { CPU_CONFIG_BYTES_MAX = 1 << 20 };

/* --- from a file ---------------------------------------------------------------------------------------------- */

/* Keys in the order they are applied: what others refer to comes first. */
static const struct {
	char key[20], path[20]; /* @path: of the PUT that takes such a body */
	bool list;
} entries[] = {
	{ "logger", "/logger", false },
	{ "metrics", "/metrics", false },
	{ "machine-config", "/machine-config", false },
	{ "cpu-config", "/cpu-config", false },
	{ "boot-source", "/boot-source", false },
	{ "drives", "/drives", true },
	{ "pmem", "/pmem", true },
	{ "network-interfaces", "/network-interfaces", true },
	{ "balloon", "/balloon", false },
	{ "vsock", "/vsock", false },
	{ "mmds-config", "/mmds/config", false },
	{ "entropy", "/entropy", false },
	{ "memory-hotplug", "/hotplug/memory", false },
};

/* apply_file() - "cpu-config" may name a file that holds the object. */
static int apply_file(struct fc *f, const char *path, const char *name, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf text = { 0 };
	struct json_doc doc = { .arena = &a, .e = e };
	struct json_at root;
	int r = file_slurp_at(AT_FDCWD, name, &text, CPU_CONFIG_BYTES_MAX);

	if (r < 0)
		return err_sys(e, -r, "'%s'", name);
	root = json_parse(&doc, buf_str(&text), text.len);
	r = json_finish(&doc);
	if (r == 0)
		r = fc__apply(f, path, &root, e);
	return r < 0 ? err_wrap(e, r, "'%s'", name) : 0;
}

static int apply_list(struct fc *f, const char *path, const struct json_at *list, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < json_count(list) && r == 0; i++) {
		struct json_at at = json_item(list, i);

		r = fc__apply(f, path, &at, e);
	}
	return r;
}

static int apply_entry(struct fc *f, const struct json_at *root, size_t i, struct err *e)
{
	const char *key = entries[i].key;
	struct json_at at = { .value = NULL };
	const struct json_value *v = NULL;
	int r;

	if (!json_has(root, key))
		return 0;
	for (size_t k = 0; k < json_count(root); k++)
		if (str_eq(root->value->item[k].key, key))
			v = &root->value->item[k];
	if (v && v->kind == JV_STRING && str_eq(key, "cpu-config"))
		return apply_file(f, entries[i].path, v->string, e);
	at = entries[i].list ? json_read_list(root, key) : json_read_obj(root, key);
	r = json_finish(root->doc);
	if (r < 0)
		return r;
	return entries[i].list ? apply_list(f, entries[i].path, &at, e) :
				 fc__apply(f, entries[i].path, &at, e);
}

int fc__load_config(struct fc *f, const char *text, size_t len, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf known = { 0 };
	struct json_doc doc = { .arena = &a, .e = e };
	struct json_at root = json_parse(&doc, text, len);

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		buf_printf(&known, "%s%s", i ? " " : "", entries[i].key);
	if (buf_finish(&known) < 0)
		return err_sys(e, ENOMEM, "configuration");
	if (doc.rc == 0)
		fc__fields(&root, buf_str(&known));
	json_need(&root, "boot-source");
	if (json_finish(&doc) < 0)
		return doc.rc;
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		int r = apply_entry(f, &root, i, e);

		if (r < 0)
			return e->text[0] ? r : err_set(e, -r, "%s", entries[i].key);
	}
	return 0;
}

/* --- as it stands --------------------------------------------------------------------------------------------- */

static void put_drives(const struct machine_config *m, struct json_out *o)
{
	json_put_open(o, "drives", '[');
	for (unsigned i = 0; i < m->n_drives; i++) {
		const struct machine_drive *d = &m->drive[i];

		json_put_open(o, NULL, '{');
		json_put_str(o, "drive_id", d->id);
		json_put_str(o, "partuuid", d->partuuid);
		json_put_bool(o, "is_root_device", d->root);
		json_put_str(o, "cache_type", d->writeback ? "Writeback" : "Unsafe");
		json_put_bool(o, "is_read_only", d->readonly);
		json_put_str(o, "path_on_host", d->file.path);
		fc__put_limiter(o, "rate_limiter", &d->limit);
		json_put_str(o, "io_engine", d->async ? "Async" : "Sync");
		json_put_str(o, "socket", NULL);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
}

static void put_pmems(const struct machine_config *m, struct json_out *o)
{
	json_put_open(o, "pmem", '[');
	for (unsigned i = 0; i < m->n_pmems; i++) {
		const struct machine_pmem *p = &m->pmem[i];

		json_put_open(o, NULL, '{');
		json_put_str(o, "id", p->id);
		json_put_str(o, "path_on_host", p->file.path);
		json_put_bool(o, "root_device", p->root);
		json_put_bool(o, "read_only", p->readonly);
		fc__put_limiter(o, "rate_limiter", &p->limit);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
}

static void put_nets(const struct machine_config *m, struct json_out *o)
{
	json_put_open(o, "network-interfaces", '[');
	for (unsigned i = 0; i < m->n_nets; i++) {
		const struct machine_net *n = &m->net[i];
		char mac[18];

		str_format(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", n->mac[0], n->mac[1], n->mac[2],
			   n->mac[3], n->mac[4], n->mac[5]);
		json_put_open(o, NULL, '{');
		json_put_str(o, "iface_id", n->id);
		json_put_str(o, "host_dev_name", n->host_dev);
		json_put_str(o, "guest_mac", n->has_mac ? mac : NULL);
		if (n->mtu)
			json_put_u64(o, "mtu", n->mtu);
		fc__put_limiter(o, "rx_rate_limiter", &n->rx);
		fc__put_limiter(o, "tx_rate_limiter", &n->tx);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
}

static void put_mmds(const struct fc *f, struct json_out *o)
{
	const struct machine_config *m = fc__config(f);
	const struct mmds_config *c = mmds_config(f->mmds);
	struct in_addr in = { .s_addr = htonl(c->ipv4_address ? c->ipv4_address : MMDS_ADDRESS_DEFAULT) };
	char text[INET_ADDRSTRLEN];

	if (!f->has_mmds_config) {
		json_put_str(o, "mmds-config", NULL);
		return;
	}
	json_put_open(o, "mmds-config", '{');
	json_put_str(o, "version", c->version == MMDS_V2 ? "V2" : "V1");
	json_put_open(o, "network_interfaces", '[');
	for (unsigned i = 0; i < m->n_nets; i++)
		if (m->net[i].mmds)
			json_put_str(o, NULL, m->net[i].id);
	json_put_close(o, ']');
	json_put_str(o, "ipv4_address", inet_ntop(AF_INET, &in, text, sizeof(text)));
	json_put_bool(o, "imds_compat", c->imds_compat);
	json_put_close(o, '}');
}

static void put_log(const struct fc *f, struct json_out *o)
{
	if (!f->log.set && !f->log.path) {
		json_put_str(o, "logger", NULL);
	} else {
		json_put_open(o, "logger", '{');
		json_put_str(o, "log_path", f->log.path);
		json_put_str(o, "level", fc__level_name(f->log.level));
		json_put_bool(o, "show_level", f->log.show_level);
		json_put_bool(o, "show_log_origin", f->log.show_origin);
		json_put_str(o, "module", f->log.module);
		json_put_close(o, '}');
	}
	if (!f->metrics.path) {
		json_put_str(o, "metrics", NULL);
	} else {
		json_put_open(o, "metrics", '{');
		json_put_str(o, "metrics_path", f->metrics.path);
		json_put_bool(o, "emit_id", f->metrics.emit_id);
		if (f->metrics.properties)
			json_put_raw(o, "properties", f->metrics.properties);
		json_put_close(o, '}');
	}
}

static void put_boot(const struct fc *f, struct json_out *o)
{
	const struct machine_config *m = fc__config(f);

	json_put_open(o, "boot-source", '{');
	json_put_str(o, "kernel_image_path", m->kernel.path ? m->kernel.path : "");
	json_put_str(o, "initrd_path", m->initrd.path);
	json_put_str(o, "boot_args", f->boot_args);
	json_put_close(o, '}');
}

/* put_part() - what a GET of its own gives, or null. */
static void put_part(struct fc *f, struct json_out *o, const char *key, fc_handler *get, bool there)
{
	auto_fini(buf) struct buf part = { 0 };
	struct err e = { 0 };
	struct fc_call c = { .f = f, .e = &e, .out = { .to = &part } };

	if (there && get(&c) == 0 && buf_finish(&part) == 0)
		json_put_raw(o, key, part.data);
	else
		json_put_str(o, key, NULL);
}

static void put_vsock(const struct machine_config *m, struct json_out *o)
{
	if (!m->vsock.on) {
		json_put_str(o, "vsock", NULL);
		return;
	}
	json_put_open(o, "vsock", '{');
	json_put_u64(o, "guest_cid", m->vsock.cid);
	json_put_str(o, "uds_path", m->vsock.uds_path);
	json_put_close(o, '}');
}

static void put_memhp(const struct machine_config *m, struct json_out *o)
{
	if (!m->memhp.on) {
		json_put_str(o, "memory-hotplug", NULL);
		return;
	}
	json_put_open(o, "memory-hotplug", '{');
	json_put_u64(o, "total_size_mib", m->memhp.total_mib);
	json_put_u64(o, "slot_size_mib", m->memhp.slot_mib);
	json_put_u64(o, "block_size_mib", m->memhp.block_mib);
	json_put_close(o, '}');
}

int fc__get_vm_config(struct fc_call *c)
{
	const struct machine_config *m = fc__config(c->f);
	struct json_out *o = &c->out;

	json_put_open(o, NULL, '{');
	put_part(c->f, o, "balloon", fc__get_balloon, m->balloon.on);
	put_drives(m, o);
	put_boot(c->f, o);
	json_put_raw(o, "cpu-config", c->f->cpu_json ? c->f->cpu_json : "null");
	put_log(c->f, o);
	put_part(c->f, o, "machine-config", fc__get_machine, true);
	put_memhp(m, o);
	put_mmds(c->f, o);
	put_nets(m, o);
	put_pmems(m, o);
	put_vsock(m, o);
	if (m->rng) {
		json_put_open(o, "entropy", '{');
		fc__put_limiter(o, "rate_limiter", &m->rng_limit);
		json_put_close(o, '}');
	} else {
		json_put_str(o, "entropy", NULL);
	}
	json_put_close(o, '}');
	return 0;
}
