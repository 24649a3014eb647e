/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci_internal.h"

#include <errno.h>
#include <string.h>

uint64_t oci__name(const struct json_at *at, const char *key, const struct oci__names *names)
{
	json_need(at, key);
	return json_read_name(at, key, names->v, names->n, 0);
}

uint64_t oci__flags(const struct json_at *at, const char *key, const struct oci__names *names)
{
	struct json_at list = oci__list(at, key);
	uint64_t flags = 0;

	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		flags |= oci__name(&item, NULL, names);
	}
	return flags;
}

const char *oci__str(const struct json_at *at, const char *key)
{
	const char *s = json_read_str(at, key);

	return s && *s ? s : NULL;
}

const char *oci__path(const struct json_at *at, const char *key)
{
	const char *s = oci__str(at, key);

	if (s && *s != '/')
		json_fail(at, key, EINVAL, "got '%.128s', want an absolute path", s);
	return s;
}

/* cpus_valid() - numbers and ranges between commas, each range upwards. */
static bool cpus_valid(const char *s)
{
	for (;; s++) {
		char *end;
		unsigned long from, to;

		if (*s < '0' || *s > '9')
			return false;
		from = to = strtoul(s, &end, 10);
		if (*end == '-') {
			if (end[1] < '0' || end[1] > '9')
				return false;
			to = strtoul(end + 1, &end, 10);
		}
		if (to < from || to > UINT16_MAX)
			return false;
		if (!*end)
			return true;
		if (*end != ',')
			return false;
		s = end;
	}
}

const char *oci__cpus(const struct json_at *at, const char *key)
{
	const char *s = oci__str(at, key);

	if (s && !cpus_valid(s))
		json_fail(at, key, EINVAL, "got '%.128s', want numbers and ranges such as 0-3,7", s);
	return s;
}

static struct json_at bounded(const struct json_at *at, struct json_at many)
{
	if (json_count(&many) > OCI_LIST_MAX) {
		json_fail(&many, NULL, EINVAL, "got %zu entries, want at most %d", json_count(&many),
			  OCI_LIST_MAX);
		return (struct json_at){ .doc = at->doc };
	}
	return many;
}

struct json_at oci__list(const struct json_at *at, const char *key)
{
	return bounded(at, json_read_list(at, key));
}

struct json_at oci__map(const struct json_at *at, const char *key)
{
	return bounded(at, json_read_obj(at, key));
}

struct oci_strs oci__strs(const struct json_at *at, const char *key)
{
	struct json_at list = oci__list(at, key);
	size_t n = json_count(&list);
	struct oci_strs strs = { .v = n ? json_alloc(at, n + 1, sizeof(*strs.v)) : NULL };

	for (size_t i = 0; strs.v && i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		if (json_need(&item, NULL))
			strs.v[strs.n++] = (char *)json_read_str(&item, NULL);
	}
	return strs;
}

struct oci_strs oci__paths(const struct json_at *at, const char *key)
{
	struct json_at list = json_read_list(at, key);
	struct oci_strs strs = oci__strs(at, key);

	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		if (!oci__path(&item, NULL))
			json_fail(&item, NULL, EINVAL, "got '', want an absolute path");
	}
	return strs;
}

struct oci_kvs oci__kvs(const struct json_at *at, const char *key)
{
	struct json_at map = oci__map(at, key);
	struct oci_kvs kvs = { .v = json_alloc(at, json_count(&map), sizeof(*kvs.v)) };

	for (size_t i = 0; i < json_count(&map); i++) {
		struct json_at item = json_item(&map, i);

		if (json_need(&item, NULL))
			kvs.v[kvs.n++] =
				(struct oci_kv){ .key = item.key, .value = json_read_str(&item, NULL) };
	}
	return kvs;
}

struct oci_idmaps oci__idmaps(const struct json_at *at, const char *key)
{
	struct json_at list = oci__list(at, key);
	struct oci_idmaps maps = { .v = json_alloc(at, json_count(&list), sizeof(*maps.v)) };

	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i), obj = json_read_obj(&item, NULL);
		struct oci_idmap m;

		json_need(&obj, "containerID");
		json_need(&obj, "hostID");
		json_need(&obj, "size");
		m.container_id = (uint32_t)json_read_u64(&obj, "containerID", UINT32_MAX, 0);
		m.host_id = (uint32_t)json_read_u64(&obj, "hostID", UINT32_MAX, 0);
		m.size = (uint32_t)json_read_u64(&obj, "size", UINT32_MAX, 0);
		if (m.size == 0 || UINT32_MAX - m.size < m.container_id || UINT32_MAX - m.size < m.host_id)
			json_fail(&obj, "size", EINVAL, "got %u, want at least one id and none beyond %u",
				  m.size, UINT32_MAX - 1);
		if (json_count(&list))
			maps.v[maps.n++] = m;
	}
	return maps;
}

struct oci_u64 oci__u64(const struct json_at *at, const char *key, uint64_t max)
{
	return (struct oci_u64){ .set = json_has(at, key), .v = json_read_u64(at, key, max, 0) };
}

struct oci_i64 oci__i64(const struct json_at *at, const char *key, int64_t min, int64_t max)
{
	return (struct oci_i64){ .set = json_has(at, key), .v = json_read_i64(at, key, min, max) };
}
