/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fmt/oci.h"
#include "io/frame.h"
#include "runtime/config.h"
#include "runtime/proto.h"
#include "runtime/runtime_internal.h"
#include "runtime/shim_config.h"
#include "runtime/spec.h"
#include "sys/file.h"

/* apply() - the given limits to the workload that runs. */
static int apply(struct runtime *rt, const struct instance *in, const json_t *given, struct err *e)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf text = { 0 };
	struct oci_resources res = { 0 };
	int r = spec_resources(given, &text, e);

	if (r >= 0)
		r = oci_resources_parse(&res, buf_str(&text), text.len, &a, e);
	if (r >= 0)
		r = instance__iso(rt, in, &i, e);
	return r < 0 ? r : iso_update(i, &res, e);
}

/* object_end() - behind the JSON object that begins at @p, or NULL. */
static const char *object_end(const char *p)
{
	bool quoted = false;

	for (int depth = 0; *p; p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && *p == '{')
			depth++;
		else if (!quoted && *p == '}' && --depth == 0)
			return p + 1;
	}
	return NULL;
}

/*
 * respell() - the specification that a restart by the shim reads gets the new limits, nothing else
 * It is text of our own making: inside a string every quote has a backslash in front, so that this finds the
 * member alone.
 */
static int respell(const struct instance *in, int own, struct err *e)
{
	static const char member[] = "\"resources\":{";
	auto_fini(buf) struct buf old = { 0 };
	auto_fini(buf) struct buf text = { 0 };
	struct json_out o = { .to = &text };
	const char *at, *end;
	int r = file_slurp_at(own, INSTANCE_SPEC, &old, INSTANCE_TEXT_MAX);

	if (r < 0)
		return err_sys(e, -r, INSTANCE_SPEC);
	at = strstr(buf_str(&old), member);
	end = at ? object_end(at + strlen(member) - 1) : NULL;
	if (!end)
		return err_set(e, EBADMSG, INSTANCE_SPEC " has no resources");
	buf_put(&text, old.data, (size_t)(at - old.data));
	r = spec__resources(json_object_get(in->config, "HostConfig"), false, &o, e);
	buf_puts(&text, end);
	if (r < 0)
		return r;
	r = buf_finish(&text);
	return r < 0 ? err_sys(e, -r, INSTANCE_SPEC) :
		       file_replace(own, INSTANCE_SPEC, buf_str(&text), text.len, 0600, false, e);
}

/* tell_shim() - the restart policy is the shim's. */
static int tell_shim(struct runtime *rt, const struct instance *in, struct err *e)
{
	auto_close int own = -1;
	auto_close int sock = -1;
	char path[RUN_PATH_SIZE];
	struct msg_failed done;
	uint8_t type;
	int r;

	if (!instance__live(in)) /* each start writes it anew */
		return 0;
	own = file_open(rt->run_fd, runtime__run_path(in->id, path), O_RDONLY | O_DIRECTORY, 0);
	if (own < 0)
		return 0; /* it has just ended: the next start makes everything new */
	r = shim_config_write(rt, in, own, e);
	if (r >= 0)
		r = respell(in, own, e);
	if (r < 0)
		return r;
	sock = runtime__shim(rt, in->id);
	if (sock < 0)
		return 0; /* it has just ended: the next start reads the new one */
	r = frame_send(sock, PROTO_RELOAD, NULL, 0, -1, true);
	if (r >= 0)
		frame_recv(sock, &type, &done, sizeof(done), NULL, true);
	return 0;
}

int instance_update(struct runtime *rt, const char *id, const struct instance_config *c, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_json json_t *given = json_object();
	auto_close int dir = -1;
	auto_close int lock = -1;
	int r = instance_find(rt, id, &in, e);

	if (r >= 0)
		r = config_limits(c, given, e);
	if (r < 0)
		return r;
	dir = runtime__dir(rt, in.id, e);
	lock = dir < 0 ? dir : runtime__lock_of(rt, in.id, dir, e);
	if (lock < 0)
		return lock;
	r = instance__reread(&in, dir, e);
	if (r >= 0 && (in.status == INSTANCE_RUNNING || in.status == INSTANCE_PAUSED))
		r = apply(rt, &in, given, e);
	if (r >= 0)
		r = config_limits(c, json_object_get(in.config, "HostConfig"), e);
	if (r >= 0)
		r = instance__save(rt, &in, e);
	if (r >= 0)
		r = tell_shim(rt, &in, e);
	return r < 0 ? err_wrap(e, r, "update '%s'", in.name) : 0;
}
