/* SPDX-License-Identifier: Apache-2.0 */
/* oci_internal.h - what the parts of the config.json parser share: readers of shapes, tables of names */
#ifndef FMT_OCI_INTERNAL_H
#define FMT_OCI_INTERNAL_H

#include "fmt/json.h"
#include "fmt/oci.h"

/* A table of names; what `features` lists and the parser accepts is this one thing. */
struct oci__names {
	const struct json_name *v;
	size_t n;
};

extern const struct oci__names oci__ns_types, oci__rlimits, oci__schedulers, oci__scheduler_flags,
	oci__io_classes, oci__propagations, oci__memory_modes, oci__memory_flags, oci__personalities,
	oci__seccomp_actions, oci__seccomp_operators, oci__seccomp_arches, oci__seccomp_flags;

/* oci__name() - one, which must be there; oci__flags() - a list, or-ed. */
uint64_t oci__name(const struct json_at *at, const char *key, const struct oci__names *names);
uint64_t oci__flags(const struct json_at *at, const char *key, const struct oci__names *names);

const char *oci__str(const struct json_at *at, const char *key);     /* NULL: absent, or "" */
const char *oci__path(const struct json_at *at, const char *key);    /* as oci__str(); absolute */
const char *oci__cpus(const struct json_at *at, const char *key);    /* as oci__str(); "0-3,7" */
struct json_at oci__list(const struct json_at *at, const char *key); /* no longer than OCI_LIST_MAX */
struct json_at oci__map(const struct json_at *at, const char *key);
struct oci_strs oci__strs(const struct json_at *at, const char *key);
struct oci_strs oci__paths(const struct json_at *at, const char *key);
struct oci_kvs oci__kvs(const struct json_at *at, const char *key);
struct oci_idmaps oci__idmaps(const struct json_at *at, const char *key);
struct oci_u64 oci__u64(const struct json_at *at, const char *key, uint64_t max);
struct oci_i64 oci__i64(const struct json_at *at, const char *key, int64_t min, int64_t max);

void oci__process(const struct json_at *at, struct oci_process *p);
void oci__mount(const struct json_at *at, struct oci_mount *m);
void oci__linux(const struct json_at *at, struct oci_linux *l);
void oci__resources(const struct json_at *at, struct oci_resources *r);
const struct oci_seccomp *oci__seccomp(const struct json_at *at);

/* oci__mount_option() - the n-th known mount option in alphabetical order, or NULL behind the last. */
const char *oci__mount_option(size_t n);

#endif
