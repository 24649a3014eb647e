/* SPDX-License-Identifier: Apache-2.0 */
/* disk_make.c - hull disk create, resize, snapshot */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "cmd/disk.h"
#include "cmd/print.h"
#include "cmd/table.h"

struct make_opts {
	const char *format, *backing, *backing_format;
	struct strv options;
	bool shrink, list, quiet;
	const char *create, *apply, *delete;
};
#define OPT(member) offsetof(struct make_opts, member)

#define FORMAT_HELP "raw or qcow2; without it: qcow2 if the name ends in .qcow2, else raw"

static const struct opt create_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT", FORMAT_HELP, "raw qcow2" },
	{ "backing", 'b', OPT_STRING, OPT(backing), "FILE",
	  "What the new image does not hold itself is read from FILE (relative to the new image)", "@file" },
	{ "backing-format", 'F', OPT_STRING, OPT(backing_format), "FORMAT",
	  "Of the backing file; never guessed", "raw qcow2" },
	{ "options", 'o', OPT_LIST, OPT(options), "KEY=VALUE,...",
	  "cluster_size=64K, compat=1.1 or 0.10, refcount_bits=16, lazy_refcounts=on, compression_type=zstd",
	  NULL },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Say nothing", NULL },
	{ 0 }
};

static int create_main(void *opts, int argc, char **argv, struct err *e)
{
	struct make_opts *o = opts;
	struct qcow2_create c = qcow2_create_default;
	int r = argc > 1 ? disk_size(argv[1], &c.size, e) : 0;

	if (r < 0)
		return r;
	c.backing = o->backing;
	c.backing_format = o->backing_format;
	r = disk_create(argv[0], o->format, &c, argc > 1, &o->options, e);
	if (r == 0 && !o->quiet)
		printf("%s\n", argv[0]);
	return r;
}

static const struct opt resize_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT", FORMAT_HELP, "raw qcow2" },
	{ "shrink", 0, OPT_FLAG, OPT(shrink), NULL, "Yes, cut off what is behind the new end", NULL },
	{ 0 }
};

static int resize_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct make_opts *o = opts;
	const char *text = argv[1];
	char sign = text[0] == '+' || text[0] == '-' ? *text++ : 0;
	uint64_t size, now;
	struct blk *b;
	int r = disk_size(text, &size, e);

	(void)argc;
	r = r < 0 ? r :
		    disk_open(&b,
			      &(struct disk_image){ .path = argv[0], .format = o->format, .writable = true },
			      e);
	if (r < 0)
		return r;
	now = blk_size(b);
	if (sign == '-' && size > now)
		r = err_set(e, EINVAL, "'%s' has only %llu bytes", argv[0], (unsigned long long)now);
	size = sign == '+' ? now + size : sign == '-' ? now - size : size;
	if (r == 0 && size < now && !o->shrink)
		r = err_set(e, EINVAL, "'%s': what is behind byte %llu would be lost: say --shrink", argv[0],
			    (unsigned long long)size);
	if (r == 0)
		r = blk_resize(b, size, e);
	if (r < 0) {
		blk_close(b);
		return r;
	}
	return disk_close(b, argv[0], e);
}

static const struct opt snapshot_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT", FORMAT_HELP, "qcow2" },
	{ "list", 'l', OPT_FLAG, OPT(list), NULL, "List them (also without any option)", NULL },
	{ "create", 'c', OPT_STRING, OPT(create), "NAME", "Keep what the disk holds now under NAME", NULL },
	{ "apply", 'a', OPT_STRING, OPT(apply), "NAME", "The disk holds again what it held then", NULL },
	{ "delete", 'd', OPT_STRING, OPT(delete), "NAME", "Forget one; its space is free again", NULL },
	{ 0 }
};

static void list_snapshots(struct blk *b)
{
	const struct qcow2_snapshot *s;
	unsigned n;

	qcow2_snapshot_list(b, &s, &n);
	if (n)
		printf("%-10s%-24s%10s  %-20s\n", "ID", "TAG", "DISK SIZE", "DATE");
	for (unsigned i = 0; i < n; i++) {
		char size[32], date[TIME_RFC3339_SIZE];

		time_rfc3339((nsec_t)s[i].date_s * NSEC_PER_SEC, date);
		printf("%-10s%-24s%10s  %.19s\n", s[i].id, s[i].name,
		       str_from_bytes(s[i].disk_size, size, sizeof(size)), date);
	}
}

static int snapshot_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct make_opts *o = opts;
	bool changes = o->create || o->apply || o->delete;
	struct blk *b;
	int r;

	(void)argc;
	if ((o->create != NULL) + (o->apply != NULL) + (o->delete != NULL) + o->list > 1)
		return err_set(e, EINVAL, "one of -l, -c, -a and -d at a time");
	r = disk_open(
		&b,
		&(struct disk_image){
			.path = argv[0], .format = o->format, .writable = changes, .no_backing = !changes },
		e);
	if (r < 0)
		return r;
	if (!blk_is_qcow2(b))
		r = err_set(e, EOPNOTSUPP, "'%s' is raw: it has no snapshots", argv[0]);
	else if (o->create)
		r = qcow2_snapshot_create(b, o->create, e);
	else if (o->apply)
		r = qcow2_snapshot_apply(b, o->apply, e);
	else if (o->delete)
		r = qcow2_snapshot_delete(b, o->delete, e);
	else
		list_snapshots(b);
	if (r < 0) {
		blk_close(b);
		return r;
	}
	return disk_close(b, argv[0], e);
}

const struct cmd cmd_disk_create = {
	.name = "disk create",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE [SIZE]",
	.summary = "Make an empty disk image",
	.about = "Makes FILE, a disk of SIZE bytes (512M, 10G) that reads as zeroes, or as its backing file.",
	.examples = "hull disk create -f qcow2 vm.qcow2 20G\nan image that grows as it is written to, up to "
		    "20 GiB\n\n"
		    "hull disk create -b base.qcow2 -F qcow2 clone.qcow2\na copy of base.qcow2 that holds "
		    "only what differs",
	.opts = create_opts,
	.opts_size = sizeof(struct make_opts),
	.min_args = 1,
	.max_args = 2,
	.run = create_main,
	.complete = "@file",
};

const struct cmd cmd_disk_resize = {
	.name = "disk resize",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE [+|-]SIZE",
	.summary = "Make a disk larger or smaller",
	.examples = "hull disk resize vm.qcow2 +10G\n10 GiB more, which read as zeroes",
	.opts = resize_opts,
	.opts_size = sizeof(struct make_opts),
	.min_args = 2,
	.max_args = 2,
	.run = resize_main,
	.complete = "@file",
};

const struct cmd cmd_disk_snapshot = {
	.name = "disk snapshot",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE",
	.summary = "Snapshots inside a qcow2 image: list, make, go back, remove",
	.examples = "hull disk snapshot -c before-upgrade vm.qcow2\nkeep what the disk holds\n\n"
		    "hull disk snapshot -a before-upgrade vm.qcow2\ngo back to it",
	.opts = snapshot_opts,
	.opts_size = sizeof(struct make_opts),
	.min_args = 1,
	.max_args = 1,
	.run = snapshot_main,
	.complete = "@file",
};
