/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "fmt/oci_internal.h"

/* version_known() - "1.0.0" to "1.3.x", with any "-pre" or "+build" behind. */
static bool version_known(const char *s)
{
	size_t digits;

	if (!str_starts(s, "1.") || s[2] < '0' || s[2] > '3' || s[3] != '.')
		return false;
	digits = strspn(s + 4, "0123456789");
	return digits > 0 && (!s[4 + digits] || s[4 + digits] == '-' || s[4 + digits] == '+');
}

static void read_version(const struct json_at *at, struct oci_spec *spec)
{
	json_need(at, "ociVersion");
	spec->oci_version = json_read_str(at, "ociVersion");
	if (spec->oci_version && !version_known(spec->oci_version))
		json_fail(at, "ociVersion", ENOTSUP, "got '%.32s', want 1.0.0 to 1.3.x", spec->oci_version);
}

static void read_root(const struct json_at *at, struct oci_spec *spec)
{
	struct json_at root = json_read_obj(at, "root");

	json_need(at, "root");
	spec->root_path = oci__str(&root, "path");
	if (!spec->root_path)
		json_fail(&root, "path", EINVAL, "%s",
			  json_has(&root, "path") ? "got '', want a path" : "missing");
	spec->root_readonly = json_read_bool(&root, "readonly", false);
}

static void read_mounts(const struct json_at *at, struct oci_spec *spec)
{
	struct json_at list = oci__list(at, "mounts");

	spec->mounts = json_alloc(at, json_count(&list), sizeof(*spec->mounts));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		oci__mount(&item, &spec->mounts[spec->n_mounts++]);
	}
}

static void read_hook(const struct json_at *at, struct oci_hook *h)
{
	struct json_at obj = json_read_obj(at, NULL);

	h->path = oci__path(&obj, "path");
	if (!h->path)
		json_fail(&obj, "path", EINVAL, "%s",
			  json_has(&obj, "path") ? "got '', want an absolute path" : "missing");
	h->args = oci__strs(&obj, "args");
	h->env = oci__strs(&obj, "env");
	/* Spec: "If set, timeout MUST be greater than zero" */
	if (json_has(&obj, "timeout"))
		h->timeout_s = json_read_i64(&obj, "timeout", 1, INT32_MAX);
}

static void read_hooks(const struct json_at *at, struct oci_spec *spec)
{
	struct json_at hooks = json_read_obj(at, "hooks");

	for (int k = 0; k < OCI_HOOK_KIND_COUNT; k++) {
		struct json_at list = oci__list(&hooks, oci_hook_name(k));
		struct oci_hooks *to = &spec->hooks[k];

		to->v = json_alloc(at, json_count(&list), sizeof(*to->v));
		for (size_t i = 0; i < json_count(&list); i++) {
			struct json_at item = json_item(&list, i);

			read_hook(&item, &to->v[to->n++]);
		}
	}
}

/* check_spec() - what two members say together. */
static void check_spec(const struct json_at *at, const struct oci_spec *spec)
{
	const struct oci_namespace *ns = spec->linux.ns;

	if (spec->hostname && !ns[OCI_NS_UTS].present)
		json_fail(at, "hostname", EINVAL, "given without a uts namespace");
	if (spec->domainname && !ns[OCI_NS_UTS].present)
		json_fail(at, "domainname", EINVAL, "given without a uts namespace");
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct oci_mount *m = &spec->mounts[i];

		/* Spec: "no [...] mappings [...] and the container isn't using user namespaces, an error" */
		if ((m->flags & OCI_MOUNT_IDMAP) && !m->uid_mappings.n && !ns[OCI_NS_USER].present)
			json_fail(at, "mounts", EINVAL,
				  "'%.128s': idmap with neither mappings nor a user namespace",
				  m->destination);
	}
}

/* open_text() - the document's root, an object. */
static struct json_at open_text(struct json_doc *doc, const char *json, size_t len)
{
	struct json_at root = { .doc = doc };

	if (len > OCI_CONFIG_BYTES_MAX)
		doc->rc = err_set(doc->e, EINVAL, "%zu bytes of JSON, want at most %d", len,
				  OCI_CONFIG_BYTES_MAX);
	else
		root = json_parse(doc, json, len);
	json_need(&root, NULL);
	return json_read_obj(&root, NULL);
}

int oci_spec_parse(struct oci_spec *ret_spec, const char *json, size_t len, struct arena *a, struct err *e)
{
	struct json_doc doc = { .arena = a, .e = e };
	struct json_at root = open_text(&doc, json, len);
	struct json_at process = json_read_obj(&root, "process"), linux_ = json_read_obj(&root, "linux");
	struct oci_spec spec = { 0 };

	read_version(&root, &spec);
	read_root(&root, &spec);
	spec.has_process = json_has(&process, NULL);
	if (spec.has_process)
		oci__process(&process, &spec.process);
	spec.hostname = oci__str(&root, "hostname");
	spec.domainname = oci__str(&root, "domainname");
	read_mounts(&root, &spec);
	read_hooks(&root, &spec);
	spec.annotations = oci__kvs(&root, "annotations");
	oci__linux(&linux_, &spec.linux);
	check_spec(&root, &spec);
	if (json_finish(&doc) == 0)
		*ret_spec = spec;
	return json_finish(&doc);
}

int oci_process_parse(struct oci_process *ret_p, const char *json, size_t len, struct arena *a, struct err *e)
{
	struct json_doc doc = { .arena = a, .e = e };
	struct json_at root = open_text(&doc, json, len);
	struct oci_process p = { 0 };

	oci__process(&root, &p);
	if (json_finish(&doc) == 0)
		*ret_p = p;
	return json_finish(&doc);
}

int oci_resources_parse(struct oci_resources *ret_r, const char *json, size_t len, struct arena *a,
			struct err *e)
{
	struct json_doc doc = { .arena = a, .e = e };
	struct json_at root = open_text(&doc, json, len);
	struct oci_resources r = { 0 };

	oci__resources(&root, &r);
	if (json_finish(&doc) == 0)
		*ret_r = r;
	return json_finish(&doc);
}

const char *oci_kvs_get(const struct oci_kvs *kvs, const char *key)
{
	for (size_t i = kvs->n; i > 0; i--) /* of a repeated key the last one counts */
		if (strcmp(kvs->v[i - 1].key, key) == 0)
			return kvs->v[i - 1].value;
	return NULL;
}
