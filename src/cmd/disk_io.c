/* SPDX-License-Identifier: Apache-2.0 */
/* disk_io.c - hull disk io: read and write parts of a disk from the command line or a script */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/disk.h"
#include "cmd/table.h"
#include "sys/file.h"

struct io_opts {
	const char *format;
	bool readonly, no_sync;
};
#define OPT(member) offsetof(struct io_opts, member)

static const struct opt io_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT",
	  "raw or qcow2; without it: qcow2 if the name ends in .qcow2, else raw", "raw qcow2" },
	{ "read-only", 'r', OPT_FLAG, OPT(readonly), NULL, "Open for reading only", NULL },
	{ "no-sync", 0, OPT_FLAG, OPT(no_sync), NULL, "Do not wait for the host's disk", NULL },
	{ 0 }
};

enum { WORDS_MAX = 4, IO_BYTES_MAX = 256 << 20 };

/* One line: "write 4k 512 7". */
struct line {
	char *word[WORDS_MAX];
	int n;
	uint64_t number[WORDS_MAX]; /* of the words behind the first */
};

static int do_write(struct blk *b, const struct line *l, struct err *e)
{
	auto_free uint8_t *buf = NULL;
	ssize_t n = (ssize_t)l->number[2];
	int r;

	if (l->number[2] > IO_BYTES_MAX)
		return err_set(e, EINVAL, "at most %d bytes at a time", IO_BYTES_MAX);
	buf = malloc(l->number[2] + 1);
	if (!buf)
		return err_sys(e, ENOMEM, "write");
	if (l->n > 3)
		memset(buf, (int)l->number[3], l->number[2]);
	else
		n = file_read(STDIN_FILENO, buf, l->number[2]);
	if (n < 0 || (uint64_t)n != l->number[2])
		return err_set(e, EIO, "standard input has not %llu bytes", (unsigned long long)l->number[2]);
	r = blk_pwrite(b, buf, l->number[2], l->number[1]);
	return r < 0 ? err_sys(e, -r, "write") : 0;
}

static int do_read(struct blk *b, const struct line *l, struct err *e)
{
	auto_free uint8_t *buf = NULL;
	int r;

	if (l->number[2] > IO_BYTES_MAX)
		return err_set(e, EINVAL, "at most %d bytes at a time", IO_BYTES_MAX);
	buf = malloc(l->number[2] + 1);
	r = buf ? blk_pread(b, buf, l->number[2], l->number[1]) : -ENOMEM;
	if (r < 0)
		return err_sys(e, -r, "read");
	if (l->n == 3)
		return file_write(STDOUT_FILENO, buf, l->number[2]);
	for (uint64_t i = 0; i < l->number[2]; i++)
		if (buf[i] != (uint8_t)l->number[3])
			return err_set(e, EBADMSG, "byte %llu is %u, not %u",
				       (unsigned long long)(l->number[1] + i), buf[i],
				       (unsigned)l->number[3]);
	return 0;
}

static int do_zero(struct blk *b, const struct line *l, struct err *e)
{
	int r = blk_zeroes(b, l->number[1], l->number[2], str_eq(l->word[0], "unmap"));

	return r < 0 ? err_sys(e, -r, "%s", l->word[0]) : 0;
}

static int do_discard(struct blk *b, const struct line *l, struct err *e)
{
	int r = blk_discard(b, l->number[1], l->number[2]);

	return r < 0 ? err_sys(e, -r, "discard") : 0;
}

static int do_flush(struct blk *b, const struct line *l, struct err *e)
{
	int r = blk_flush(b);

	(void)l;
	return r < 0 ? err_sys(e, -r, "flush") : 0;
}

static int do_resize(struct blk *b, const struct line *l, struct err *e)
{
	return blk_resize(b, l->number[1], e);
}

static int do_snapshot(struct blk *b, const struct line *l, struct err *e)
{
	if (!blk_is_qcow2(b))
		return err_set(e, EOPNOTSUPP, "a raw disk has no snapshots");
	return str_eq(l->word[0], "snapshot") ? qcow2_snapshot_create(b, l->word[1], e) :
	       str_eq(l->word[0], "apply")    ? qcow2_snapshot_apply(b, l->word[1], e) :
						qcow2_snapshot_delete(b, l->word[1], e);
}

static int do_say(struct blk *b, const struct line *l, struct err *e)
{
	(void)b;
	(void)e;
	puts(l->word[1]);
	fflush(stdout);
	return 0;
}

static const struct verb {
	const char *name;
	int min, max; /* words behind it */
	bool name_follows;
	int (*run)(struct blk *b, const struct line *l, struct err *e);
} verbs[] = {
	{ "write", 2, 3, false, do_write },     { "read", 2, 3, false, do_read },
	{ "zero", 2, 2, false, do_zero },       { "unmap", 2, 2, false, do_zero },
	{ "discard", 2, 2, false, do_discard }, { "flush", 0, 0, false, do_flush },
	{ "resize", 1, 1, false, do_resize },   { "snapshot", 1, 1, true, do_snapshot },
	{ "apply", 1, 1, true, do_snapshot },   { "delete", 1, 1, true, do_snapshot },
	{ "say", 1, 1, true, do_say },
};

static int run_line(struct blk *b, char *text, struct err *e)
{
	struct line l = { 0 };
	char *save;

	for (char *w = strtok_r(text, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save)) {
		if (l.n == WORDS_MAX)
			return err_set(e, EINVAL, "too many words");
		l.word[l.n++] = w;
	}
	for (size_t i = 0; i < ARRAY_SIZE(verbs) && l.n; i++) {
		if (!str_eq(verbs[i].name, l.word[0]))
			continue;
		if (l.n - 1 < verbs[i].min || l.n - 1 > verbs[i].max)
			return err_set(e, EINVAL, "%s: %d to %d words follow it", l.word[0], verbs[i].min,
				       verbs[i].max);
		for (int k = 1; k < l.n && !verbs[i].name_follows; k++) {
			int64_t n;

			if (str_to_bytes(l.word[k], &n) < 0 || n < 0)
				return err_set(e, EINVAL, "%s %s: a number is wanted", l.word[0], l.word[k]);
			l.number[k] = (uint64_t)n;
		}
		return verbs[i].run(b, &l, e);
	}
	return l.n ? err_set(e, EINVAL, "'%s': no such operation", l.word[0]) : 0;
}

static int run_script(struct blk *b, struct err *e)
{
	auto_free char *text = NULL;
	size_t size = 0;
	int r = 0;

	for (int n = 1; r == 0 && getline(&text, &size, stdin) >= 0; n++) {
		r = run_line(b, text, e);
		if (r < 0)
			err_wrap(e, r, "line %d", n);
	}
	return r;
}

static int io_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct io_opts *o = opts;
	struct blk *b;
	int r = disk_open(&b,
			  &(struct disk_image){ .path = argv[0],
						.format = o->format,
						.writable = !o->readonly,
						.no_sync = o->no_sync },
			  e);

	if (r < 0)
		return r;
	for (int i = 1; i < argc && r == 0; i++)
		r = run_line(b, argv[i], e);
	if (argc == 1)
		r = run_script(b, e);
	if (r < 0) {
		blk_close(b);
		return r;
	}
	return disk_close(b, argv[0], e);
}

const struct cmd cmd_disk_io = {
	.name = "disk io",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE [OPERATION...]",
	.summary = "Read and write parts of a disk",
	.about = "Each OPERATION is one argument; without any, one is read from each line of standard "
		 "input.\n\n"
		 "write OFFSET LENGTH [BYTE]: that byte (0 to 255), or standard input. read OFFSET LENGTH "
		 "[BYTE]: to standard output, "
		 "or compared with the byte. zero OFFSET LENGTH, unmap OFFSET LENGTH: zeroes, keeping the "
		 "space or giving it back. "
		 "discard OFFSET LENGTH, flush, resize SIZE; snapshot NAME, apply NAME, delete NAME; say "
		 "WORD: to standard output, at "
		 "once, so that a script knows how far it is.",
	.examples = "hull disk io vm.qcow2 'read 0 512' | xxd\nlook at the first sector\n\n"
		    "hull disk io disk.img 'write 1M 4k 0' flush\noverwrite a part with zeroes",
	.opts = io_opts,
	.opts_size = sizeof(struct io_opts),
	.min_args = 1,
	.max_args = -1,
	.run = io_main,
	.complete = "@file",
};
