/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_convert.c - a profile as `--security-opt seccomp=FILE` takes it: OCI's form, or Docker's with
 * conditions */
#include "base/err.h"
#include "base/guard.h"
#include "fmt/oci.h"
#include "runtime/runtime_internal.h"
#include "runtime/spec.h"

/* any_cap() - does the workload have one (or @all) of the list? */
static bool any_cap(const json_t *list, uint64_t caps, bool all)
{
	size_t i, n = json_array_size(list), hit = 0;
	json_t *one;

	json_array_foreach(list, i, one)
	{
		int cap = oci_cap_from_name(json_string_value(one) ? json_string_value(one) : "");

		hit += cap >= 0 && (caps & 1ULL << cap);
	}
	return all ? hit == n : hit > 0;
}

static bool any_arch(const json_t *list)
{
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one) if (str_eq(json_string_value(one), "amd64") ||
					     str_eq(json_string_value(one), "x86") ||
					     str_eq(json_string_value(one), "x32")) return true;
	return false;
}

/* applies() - Docker's conditions; minKernel is always met: hull needs a newer one itself. */
static bool applies(const json_t *rule, uint64_t caps)
{
	const json_t *in = json_object_get(rule, "includes"), *out = json_object_get(rule, "excludes");
	const json_t *in_caps = json_object_get(in, "caps"), *in_arches = json_object_get(in, "arches");

	if (json_array_size(in_caps) > 0 && !any_cap(in_caps, caps, true))
		return false;
	if (json_array_size(in_arches) > 0 && !any_arch(in_arches))
		return false;
	if (any_cap(json_object_get(out, "caps"), caps, false) || any_arch(json_object_get(out, "arches")))
		return false;
	return json_string_length(json_object_get(out, "minKernel")) == 0;
}

static void set_arches(json_t *to, const json_t *profile)
{
	json_t *list = json_array(), *one;
	size_t i;

	json_array_foreach(json_object_get(profile, "archMap"), i, one)
	{
		if (!str_eq(instance__str(one, NULL, "architecture"), "SCMP_ARCH_X86_64"))
			continue;
		json_array_append(list, json_object_get(one, "architecture"));
		json_array_extend(list, json_object_get(one, "subArchitectures"));
	}
	json_object_set_new(to, "architectures", list);
}

static void add_rule(json_t *list, const json_t *rule)
{
	json_t *copy = json_deep_copy(rule);
	json_t *name = json_object_get(copy, "name");

	if (name) /* the form of long ago */
		json_object_set_new(copy, "names", json_pack("[O]", name));
	json_object_del(copy, "name");
	json_object_del(copy, "includes");
	json_object_del(copy, "excludes");
	json_object_del(copy, "comment");
	json_array_append_new(list, copy);
}

int spec_seccomp_convert(const json_t *profile, uint64_t caps, json_t **ret, struct err *e)
{
	auto_json json_t *to = NULL;
	json_t *rules = json_array(), *rule;
	size_t i;

	if (!json_is_object(profile) || !json_is_string(json_object_get(profile, "defaultAction"))) {
		json_decref(rules);
		return err_set(e, EINVAL, "not a seccomp profile: no defaultAction");
	}
	to = json_deep_copy(profile);
	json_object_set_new(to, "syscalls", rules);
	json_array_foreach(json_object_get(profile, "syscalls"), i,
			   rule) if (json_is_object(rule) && applies(rule, caps)) add_rule(rules, rule);
	if (json_object_get(profile, "archMap"))
		set_arches(to, profile);
	json_object_del(to, "archMap");
	*ret = TAKE_PTR(to);
	return 0;
}
