/* SPDX-License-Identifier: Apache-2.0 */
/* disk_info.c - hull disk info, map, check */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "cmd/disk.h"
#include "cmd/table.h"

struct info_opts {
	const char *format, *output, *repair;
	bool json, quiet;
};
#define OPT(member) offsetof(struct info_opts, member)

#define FORMAT_OPT                                                                                           \
	{                                                                                                    \
		"format", 'f', OPT_STRING, OPT(format), "FORMAT",                                            \
			"raw or qcow2; without it: qcow2 if the name ends in .qcow2, else raw", "raw qcow2"  \
	}
#define JSON_OPTS                                                                                            \
	{ "json", 0, OPT_FLAG, OPT(json), NULL, "As JSON, in the words of qemu-img", NULL },                 \
	{                                                                                                    \
		"output", 0, OPT_STRING, OPT(output), "FORMAT", "human or json", "human json"                \
	}

static const struct opt info_opts[] = { FORMAT_OPT, JSON_OPTS, { 0 } };

/* --- info ------------------------------------------------------------------------------------------------- */

static json_t *json_snapshots(struct blk *b)
{
	const struct qcow2_snapshot *s;
	json_t *all = json_array();
	unsigned n;

	qcow2_snapshot_list(b, &s, &n);
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(all,
				      json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "id", s[i].id, "name",
						s[i].name, "vm-state-size", (json_int_t)s[i].vm_state_bytes,
						"date-sec", (json_int_t)s[i].date_s, "date-nsec",
						(json_int_t)s[i].date_ns, "vm-clock-sec",
						(json_int_t)(s[i].clock_ns / 1000000000), "vm-clock-nsec",
						(json_int_t)(s[i].clock_ns % 1000000000)));
	return all;
}

static json_t *json_qcow2(const struct qcow2_header *h)
{
	json_t *d = json_pack("{s:s, s:s, s:i}", "compat", h->version == 2 ? "0.10" : "1.1",
			      "compression-type", h->compression == QCOW2_ZSTD ? "zstd" : "zlib",
			      "refcount-bits", 1 << h->refcount_order);

	if (h->version >= 3) {
		json_object_set_new(d, "lazy-refcounts", json_boolean(h->compatible & QCOW2_COMPATIBLE_LAZY));
		json_object_set_new(d, "corrupt", json_boolean(h->incompatible & QCOW2_INCOMPATIBLE_CORRUPT));
		json_object_set_new(d, "extended-l2", json_false());
	}
	return json_pack("{s:s, s:o}", "type", "qcow2", "data", d);
}

static json_t *info_json(const char *path, struct blk *b, const struct blk_info *i)
{
	json_t *v = json_pack("{s:s, s:s, s:I, s:I, s:b}", "filename", path, "format", i->format,
			      "virtual-size", (json_int_t)i->size, "actual-size", (json_int_t)i->allocated,
			      "dirty-flag", (int)i->dirty);
	const struct qcow2_header *h;

	if (!blk_is_qcow2(b))
		return v;
	h = qcow2_header(b);
	json_object_set_new(v, "cluster-size", json_integer(i->cluster));
	json_object_set_new(v, "format-specific", json_qcow2(h));
	if (h->n_snapshots)
		json_object_set_new(v, "snapshots", json_snapshots(b));
	if (h->backing[0])
		json_object_set_new(v, "backing-filename", json_string(h->backing));
	if (h->backing_format[0])
		json_object_set_new(v, "backing-filename-format", json_string(h->backing_format));
	return v;
}

static void info_text(const char *path, struct blk *b, const struct blk_info *i)
{
	char size[32], used[32];

	printf("image: %s\nformat: %s\nvirtual size: %s (%llu bytes)\ndisk size: %s\n", path, i->format,
	       str_from_bytes(i->size, size, sizeof(size)), (unsigned long long)i->size,
	       str_from_bytes(i->allocated, used, sizeof(used)));
	if (blk_is_qcow2(b)) {
		const struct qcow2_header *h = qcow2_header(b);

		printf("cluster size: %u\ncompat: %s\ncompression type: %s\nrefcount bits: %u\n", i->cluster,
		       h->version == 2 ? "0.10" : "1.1", h->compression == QCOW2_ZSTD ? "zstd" : "zlib",
		       1U << h->refcount_order);
		if (h->backing[0])
			printf("backing file: %s\nbacking file format: %s\n", h->backing, h->backing_format);
		if (h->n_snapshots)
			printf("snapshots: %u\n", h->n_snapshots);
		if (h->incompatible & QCOW2_INCOMPATIBLE_CORRUPT)
			printf("marked corrupt: yes\n");
		if (i->dirty)
			printf("cleanly closed: no (put right when it is next opened for writing)\n");
	}
}

static int info_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct info_opts *o = opts;
	int json = disk_wants_json(o->json, o->output, e), r;
	struct blk_info i;
	struct blk *b;

	(void)argc;
	if (json < 0)
		return json;
	r = disk_open(&b, &(struct disk_image){ .path = argv[0], .format = o->format, .no_backing = true },
		      e);
	if (r < 0)
		return r;
	blk_info(b, &i);
	if (json)
		disk_print_json(info_json(argv[0], b, &i));
	else
		info_text(argv[0], b, &i);
	blk_close(b);
	return 0;
}

/* --- map -------------------------------------------------------------------------------------------------- */

static int map_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct info_opts *o = opts;
	int json = disk_wants_json(o->json, o->output, e), r;
	json_t *all = json_array();
	struct blk *b;

	(void)argc;
	r = json < 0 ? json : disk_open(&b, &(struct disk_image){ .path = argv[0], .format = o->format }, e);
	if (r < 0) {
		json_decref(all);
		return r;
	}
	for (uint64_t at = 0, len; at < blk_size(b) && r == 0; at += len) {
		bool data;

		r = blk_map(b, at, &len, &data);
		if (r < 0)
			break;
		if (json)
			json_array_append_new(all, json_pack("{s:I, s:I, s:b, s:b}", "start", (json_int_t)at,
							     "length", (json_int_t)len, "zero", (int)!data,
							     "data", (int)data));
		else
			printf("%-16llu%-16llu%s\n", (unsigned long long)at, (unsigned long long)len,
			       data ? "data" : "zero");
	}
	blk_close(b);
	if (json && r == 0)
		disk_print_json(json_incref(all));
	json_decref(all);
	return r < 0 ? err_sys(e, -r, "'%s'", argv[0]) : 0;
}

/* --- check ------------------------------------------------------------------------------------------------ */

static const struct opt check_opts[] = {
	FORMAT_OPT,
	JSON_OPTS,
	{ "repair", 'r', OPT_STRING, OPT(repair), "WHAT",
	  "leaks: free what nothing refers to; all: refcounts too low, too", "leaks all" },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Only the exit status", NULL },
	{ 0 }
};

enum { CHECK_CLEAN = 0, CHECK_ERRORS = 2, CHECK_LEAKS = 3 };

static void tell_line(void *arg, const char *line)
{
	const struct info_opts *o = arg;

	if (!o->quiet)
		fprintf(stderr, "%s\n", line);
}

static void check_text(const struct qcow2_check *c)
{
	if (c->errors_fixed || c->leaks_fixed)
		printf("%llu errors and %llu leaks were found and put right.\n",
		       (unsigned long long)c->errors_fixed, (unsigned long long)c->leaks_fixed);
	if (c->errors == c->errors_fixed && c->leaks == c->leaks_fixed)
		printf("No errors are in the image.\n");
	else
		printf("%llu errors and %llu leaked clusters are in the image.\n",
		       (unsigned long long)(c->errors - c->errors_fixed),
		       (unsigned long long)(c->leaks - c->leaks_fixed));
	printf("%llu of %llu clusters allocated, %llu compressed\nimage end: %llu\n",
	       (unsigned long long)c->allocated, (unsigned long long)c->clusters,
	       (unsigned long long)c->compressed, (unsigned long long)c->end);
}

static json_t *check_json(const char *path, const struct qcow2_check *c)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "filename", path,
			 "format", "qcow2", "check-errors", (json_int_t)0, "corruptions",
			 (json_int_t)(c->errors - c->errors_fixed), "corruptions-fixed",
			 (json_int_t)c->errors_fixed, "leaks", (json_int_t)(c->leaks - c->leaks_fixed),
			 "leaks-fixed", (json_int_t)c->leaks_fixed, "total-clusters", (json_int_t)c->clusters,
			 "allocated-clusters", (json_int_t)c->allocated, "compressed-clusters",
			 (json_int_t)c->compressed, "image-end-offset", (json_int_t)c->end);
}

static int check_fix(const char *repair, enum qcow2_fix *ret_fix, struct err *e)
{
	*ret_fix = !repair ? QCOW2_FIX_NONE : str_eq(repair, "leaks") ? QCOW2_FIX_LEAKS : QCOW2_FIX_ALL;
	if (repair && !str_eq(repair, "leaks") && !str_eq(repair, "all"))
		return err_set(e, EINVAL, "-r %s: only leaks and all are known", repair);
	return 0;
}

static int check_main(void *opts, int argc, char **argv, struct err *e)
{
	struct info_opts *o = opts;
	int json = disk_wants_json(o->json, o->output, e), r;
	enum qcow2_fix fix;
	struct qcow2_check c;
	struct blk *b;

	(void)argc;
	r = json < 0 ? json : check_fix(o->repair, &fix, e);
	r = r < 0 ? r :
		    disk_open(&b,
			      &(struct disk_image){ .path = argv[0],
						    .format = o->format,
						    .writable = fix != QCOW2_FIX_NONE,
						    .as_is = true,
						    .no_backing = true },
			      e);
	if (r < 0)
		return r;
	if (!blk_is_qcow2(b))
		r = err_set(e, EOPNOTSUPP, "'%s' is raw: there is nothing to check", argv[0]);
	else
		r = qcow2_check(b, fix, &c, tell_line, o, e);
	if (r < 0) {
		blk_close(b);
		return r;
	}
	r = disk_close(b, argv[0], e);
	if (r < 0)
		return r;
	if (json)
		disk_print_json(check_json(argv[0], &c));
	else if (!o->quiet)
		check_text(&c);
	return c.errors > c.errors_fixed ? CHECK_ERRORS : c.leaks > c.leaks_fixed ? CHECK_LEAKS : CHECK_CLEAN;
}

const struct cmd cmd_disk_info = {
	.name = "disk info",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE",
	.summary = "What a disk image is: format, sizes, backing file",
	.examples = "hull disk info vm.qcow2\nin words\n\nhull disk info --json vm.qcow2\nfor programs",
	.opts = info_opts,
	.opts_size = sizeof(struct info_opts),
	.min_args = 1,
	.max_args = 1,
	.run = info_main,
	.complete = "@file",
};

const struct cmd cmd_disk_map = {
	.name = "disk map",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE",
	.summary = "Which parts of a disk hold data",
	.opts = info_opts,
	.opts_size = sizeof(struct info_opts),
	.min_args = 1,
	.max_args = 1,
	.run = map_main,
	.complete = "@file",
};

const struct cmd cmd_disk_check = {
	.name = "disk check",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE",
	.summary = "Check a qcow2 image, and put it right",
	.about = "Compares every cluster's reference count with what refers to it.\n\n"
		 "Exit status: 0 nothing is wrong (any more), 1 the check could not be made, 2 errors, 3 "
		 "only leaked clusters.",
	.examples = "hull disk check -r all vm.qcow2\ncheck and repair",
	.opts = check_opts,
	.opts_size = sizeof(struct info_opts),
	.min_args = 1,
	.max_args = 1,
	.run = check_main,
	.complete = "@file",
};
