/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/vm_options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "runtime/machine.h"
#include "vm/machine.h"

enum kind { TEXT, PATH, LIST, BOOL, NUMBER, NUMBER32 };

/* How each option is kept. What is not here is not kept. */
static const struct kept {
	const char *key;
	enum kind kind;
	size_t offset;
	const char *path_after; /* of a list, or text: its items are paths when they begin so */
	char path_end;          /* and end before this */
} kept[] = {
	{ "Kernel", PATH, offsetof(struct vm_opts, kernel), NULL, 0 },
	{ "Initrd", PATH, offsetof(struct vm_opts, initrd), NULL, 0 },
	{ "CommandLine", TEXT, offsetof(struct vm_opts, cmdline), NULL, 0 },
	{ "Memory", NUMBER, offsetof(struct vm_opts, memory), NULL, 0 },
	{ "Cpus", NUMBER32, offsetof(struct vm_opts, cpus), NULL, 0 },
	{ "CpuModel", TEXT, offsetof(struct vm_opts, cpu), NULL, 0 },
	{ "Engine", TEXT, offsetof(struct vm_opts, engine), NULL, 0 },
	{ "Irqchip", TEXT, offsetof(struct vm_opts, irqchip), NULL, 0 },
	{ "Disks", LIST, offsetof(struct vm_opts, disk), "", ',' },
	{ "Pmems", LIST, offsetof(struct vm_opts, pmem), "", ',' },
	{ "Networks", LIST, offsetof(struct vm_opts, net), "switch=", 0 },
	{ "Shares", LIST, offsetof(struct vm_opts, share), "", ':' },
	{ "Vsock", TEXT, offsetof(struct vm_opts, vsock), NULL, 0 },
	{ "Balloon", TEXT, offsetof(struct vm_opts, balloon), NULL, 0 },
	{ "Gdb", TEXT, offsetof(struct vm_opts, gdb), "", ',' },
	{ "Pin", TEXT, offsetof(struct vm_opts, pin), NULL, 0 },
	{ "Pci", BOOL, offsetof(struct vm_opts, pci), NULL, 0 },
	{ "Rng", BOOL, offsetof(struct vm_opts, rng), NULL, 0 },
	{ "VirtioConsole", BOOL, offsetof(struct vm_opts, virtio_console), NULL, 0 },
	{ "TrackDirty", BOOL, offsetof(struct vm_opts, track_dirty), NULL, 0 },
	{ "NoJail", BOOL, offsetof(struct vm_opts, no_jail), NULL, 0 },
	{ "CpuWeight", NUMBER, offsetof(struct vm_opts, cpu_weight), NULL, 0 },
	{ "NanoCpus", NUMBER, offsetof(struct vm_opts, nano_cpus), NULL, 0 },
	{ "MemoryMax", NUMBER, offsetof(struct vm_opts, memory_max), NULL, 0 },
};

char *vm_absolute(const char *path)
{
	auto_free char *here = *path == '/' ? NULL : getcwd(NULL, 0);

	if (*path == '/')
		return strdup(path);
	return here ? str_printf("%s/%s", here, path) : NULL;
}

static json_t *absolute_json(const char *path)
{
	auto_free char *whole = vm_absolute(path);

	return whole ? json_string(whole) : NULL;
}

/* item_json() - one of a list, the path in it absolute. */
static json_t *item_json(const struct kept *k, const char *item)
{
	const char *path = str_after(item, k->path_after);
	const char *end = path && k->path_end ? strchr(path, k->path_end) : NULL;
	auto_free char *middle = NULL, *whole = NULL;

	if (!path || !*path)
		return json_string(item);
	middle = end ? strndup(path, (size_t)(end - path)) : strdup(path);
	whole = middle ? vm_absolute(middle) : NULL;
	return whole ? json_format("%s%s%s", k->path_after, whole, end ? end : "") : NULL;
}

/* vsock_json() - "CID,uds=PATH" */
static json_t *vsock_json(const char *value)
{
	const char *uds = strstr(value, ",uds=");
	auto_free char *whole = uds ? vm_absolute(uds + 5) : NULL;

	return whole ? json_format("%.*s,uds=%s", (int)(uds - value), value, whole) : json_string(value);
}

static json_t *value_json(const struct kept *k, const void *slot)
{
	const char *text = k->kind == TEXT || k->kind == PATH ? *(const char *const *)slot : NULL;
	const struct strv *list = slot;
	json_t *array;

	switch (k->kind) {
	case TEXT:
		if (!text)
			return NULL;
		if (str_eq(k->key, "Vsock"))
			return vsock_json(text);
		return k->path_after ? item_json(k, text) : json_string(text);
	case PATH: return text ? absolute_json(text) : NULL;
	case BOOL: return json_boolean(*(const bool *)slot);
	case NUMBER: return json_integer(*(const int64_t *)slot);
	case NUMBER32: return json_integer(*(const int *)slot);
	case LIST: break;
	}
	array = json_array();
	for (size_t i = 0; i < list->len; i++)
		if (json_array_append_new(array, item_json(k, list->item[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static void value_read(const struct kept *k, void *slot, const json_t *v)
{
	json_t *item;
	size_t i;

	switch (k->kind) {
	case TEXT:
	case PATH: *(const char **)slot = json_string_value(v); break;
	case BOOL: *(bool *)slot = json_is_true(v); break;
	case NUMBER: *(int64_t *)slot = json_integer_value(v); break;
	case NUMBER32: *(int *)slot = (int)json_integer_value(v); break;
	case LIST:
		json_array_foreach(v, i, item) if (json_is_string(item))
			strv_add(slot, json_string_value(item));
		break;
	}
}

static int check_limits(const struct vm_opts *o, struct err *e)
{
	enum { WEIGHT_MAX = 10000 };

	if (o->cpu_weight < 0 || o->cpu_weight > WEIGHT_MAX)
		return err_set(e, EINVAL, "invalid argument \"%lld\" for --cpu-weight: want 1 to %d",
			       (long long)o->cpu_weight, WEIGHT_MAX);
	if (o->memory_max < 0 || (o->memory_max && o->memory_max < o->memory))
		return err_set(e, EINVAL, "--memory-max: less than the guest's own memory");
	return 0;
}

json_t *vm_options_json(struct vm_opts *o, struct err *e)
{
	struct machine_config c;
	json_t *options;
	int r;

	machine_config_defaults(&c);
	o->dry = true;
	r = check_limits(o, e);
	if (r == 0)
		r = vm_config_read(&c, o, e);
	machine_config_fini(&c);
	if (r < 0)
		return NULL;
	options = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		json_t *v = value_json(&kept[i], (const char *)o + kept[i].offset);

		if (!v && (kept[i].kind == PATH || kept[i].kind == TEXT) &&
		    !*(const char *const *)(const void *)((const char *)o + kept[i].offset))
			continue; /* not given */
		if (!v || json_object_set_new(options, kept[i].key, v) < 0) {
			err_set(e, EILSEQ, "%s: it is no UTF-8 text and cannot be kept", kept[i].key);
			json_decref(options);
			return NULL;
		}
	}
	return options;
}

static void opts_free(struct vm_opts *o)
{
	strv_fini(&o->disk);
	strv_fini(&o->pmem);
	strv_fini(&o->net);
	strv_fini(&o->share);
}

int vm_options_launch(struct machines *ms, const struct instance *in, bool restoring,
		      struct machine_config *c, struct machines_launch *l, struct err *e)
{
	const json_t *options = json_object_get(in->config, "Options");
	struct vm_opts o = { .restoring = restoring };
	auto_free char *vsock = NULL, *own = machines_vsock_path(ms, in->id);
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		value_read(&kept[i], (char *)&o + kept[i].offset, json_object_get(options, kept[i].key));
	if (o.vsock && !strchr(o.vsock, ',') && own) {
		vsock = str_printf("%s,uds=%s", o.vsock, own);
		o.vsock = vsock;
	}
	if (!o.engine)
		o.engine = cmd_engine();
	r = vm_config_read(c, &o, e);
	if (r == 0) {
		str_format(c->id, sizeof(c->id), "%.12s", in->id);
		l->config = c;
		l->limits = (struct machines_limits){ o.cpu_weight, o.nano_cpus, o.memory_max };
	}
	opts_free(&o);
	return r < 0 ? err_wrap(e, r, "machine '%s'", in->name) : 0;
}

struct machines_disk *vm_options_disks(const json_t *options, struct strv *ret_text, size_t *ret_n)
{
	const json_t *disks = json_object_get(options, "Disks");
	struct machines_disk *d = calloc(json_array_size(disks) + 1, sizeof(*d));
	size_t i;
	json_t *item;

	*ret_n = 0;
	if (!d)
		return NULL;
	json_array_foreach(disks, i, item)
	{
		const char *text = json_string_value(item) ? json_string_value(item) : "";
		const char *comma = strchr(text, ',');

		strv_addf(ret_text, "disk%zu", i);
		strv_addf(ret_text, "%.*s", (int)(comma ? (size_t)(comma - text) : strlen(text)), text);
		if (strv_finish(ret_text) < 0)
			break;
		d[i] = (struct machines_disk){
			.id = ret_text->item[2 * i],
			.path = ret_text->item[2 * i + 1],
			.format = comma && strstr(comma, ",format=qcow2") ? "qcow2" : "raw",
			.readonly = comma && (strstr(comma, ",ro,") || str_ends(comma, ",ro")),
			.backing = comma && strstr(comma, ",backing"),
		};
		*ret_n = i + 1;
	}
	return d;
}
