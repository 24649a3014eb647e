/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/tar.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "fmt/tar_internal.h"

/* The header block. Spec: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format" */
enum {
	H_NAME = 0,
	H_MODE = 100,
	H_UID = 108,
	H_GID = 116,
	H_SIZE = 124,
	H_MTIME = 136,
	H_SUM = 148,
	H_TYPE = 156,
	H_LINK = 157,
	H_MAGIC = 257,
	H_MAJOR = 329,
	H_MINOR = 337,
	H_PREFIX = 345,
	H_STAR = 508,
	H_NAME_LEN = 100,
	H_PREFIX_LEN = 155,
	H_STAR_PREFIX_LEN = 131,
};

struct tar *tar_new(const struct source *from)
{
	struct tar *t = calloc(1, sizeof(*t));

	if (t)
		t->from = *from;
	return t;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	buf_fini(&t->long_name);
	buf_fini(&t->long_link);
	buf_fini(&t->pax);
	free(t->map);
	free(t);
}

bool tar_has_end(const struct tar *t)
{
	return t->has_end;
}

uint64_t tar_offset(const struct tar *t)
{
	return t->offset;
}

int tar__malformed(const struct tar *t, struct err *e, const char *fmt, ...)
{
	char why[160];
	va_list ap;

	va_start(ap, fmt);
	str_vformat(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(e, EBADMSG, "tar: at byte %llu: %s", (unsigned long long)t->offset, why);
}

/* --- bytes in --------------------------------------------------------------------------------------- */
/* refill() - Return: 1, 0 at the end of the input, -errno */
static int refill(struct tar *t, struct err *e)
{
	ssize_t n;

	if (t->have > 0)
		return 1;
	n = t->from.next(t->from.arg, &t->p, e);
	if (n > 0)
		t->have = (size_t)n;
	return n < 0 ? (int)n : n > 0;
}

/* run() - the next bytes at hand, at most @max of them. Return: how many; 0 at the end; -errno */
static ssize_t run(struct tar *t, uint64_t max, const uint8_t **ret, struct err *e)
{
	int r = refill(t, e);
	size_t n;

	if (r <= 0)
		return r;
	n = t->have < max ? t->have : (size_t)max;
	*ret = t->p;
	t->p += n;
	t->have -= n;
	t->offset += n;
	return (ssize_t)n;
}

/* take() - @len bytes to @dst. Return: how many there were, short only at the end; -errno */
static ssize_t take(struct tar *t, void *dst, size_t len, struct err *e)
{
	size_t done = 0;

	while (done < len) {
		const uint8_t *p;
		ssize_t n = run(t, len - done, &p, e);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		memcpy((char *)dst + done, p, (size_t)n);
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int tar__take(struct tar *t, void *dst, size_t len, struct err *e)
{
	ssize_t n = take(t, dst, len, e);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : tar__malformed(t, e, "cut short");
}

static int skip(struct tar *t, uint64_t len, struct err *e)
{
	while (len > 0) {
		const uint8_t *p;
		ssize_t n = run(t, len, &p, e);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return tar__malformed(t, e, "cut short, %llu bytes are missing",
					      (unsigned long long)len);
		len -= (uint64_t)n;
	}
	return 0;
}

int tar_drain(struct tar *t, struct err *e)
{
	const uint8_t *p;
	ssize_t n;

	do {
		n = run(t, UINT64_MAX, &p, e);
	} while (n > 0);
	return (int)n;
}

/* --- header fields ---------------------------------------------------------------------------------- */
static int number_256(const uint8_t *field, size_t len, int64_t *ret)
{
	const bool negative = field[0] & 0x40;
	uint64_t n = negative ? ~UINT64_C(0) << 6 | (field[0] & 0x3f) : field[0] & 0x3f;

	for (size_t i = 1; i < len; i++) {
		/* the nine top bits must all be copies of the sign, or shifting loses something */
		if ((int64_t)n >> 55 != (negative ? -1 : 0))
			return -EINVAL;
		n = n << 8 | field[i];
	}
	*ret = (int64_t)n;
	return 0;
}

int tar__number(const uint8_t *field, size_t len, int64_t *ret)
{
	uint64_t n = 0;
	size_t i = 0;

	if (field[0] & 0x80)
		return number_256(field, len, ret);
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++) {
		if (n >> 60)
			return -EINVAL;
		n = n << 3 | (uint64_t)(field[i] - '0');
	}
	if (i < len && field[i] != ' ' && field[i] != '\0')
		return -EINVAL;
	*ret = (int64_t)n;
	return 0;
}

/* number() - a field that must lie in 0..@max */
static int number(const uint8_t *field, size_t len, uint64_t max, uint64_t *ret)
{
	int64_t n;

	if (tar__number(field, len, &n) < 0 || n < 0 || (uint64_t)n > max)
		return -EINVAL;
	*ret = (uint64_t)n;
	return 0;
}

static bool sum_matches(const uint8_t *h)
{
	int64_t want, plain = 0, with_sign = 0; /* old tars summed signed characters */

	if (tar__number(h + H_SUM, 8, &want) < 0)
		return false;
	for (int i = 0; i < TAR_BLOCK_BYTES; i++) {
		const uint8_t c = i >= H_SUM && i < H_SUM + 8 ? ' ' : h[i];

		plain += c;
		with_sign += (int8_t)c;
	}
	return want == plain || want == with_sign;
}

static bool is_zero(const uint8_t *h)
{
	return h[0] == 0 && memcmp(h, h + 1, TAR_BLOCK_BYTES - 1) == 0;
}

/* read_header() - Return: 1; 0 at the end of the archive; -errno */
static int read_header(struct tar *t, uint8_t *h, struct err *e)
{
	ssize_t n = take(t, h, TAR_BLOCK_BYTES, e);

	if (n <= 0)
		return (int)n;
	if (n < TAR_BLOCK_BYTES)
		return tar__malformed(t, e, "cut short in a header");
	if (!is_zero(h)) {
		if (!sum_matches(h))
			return tar__malformed(t, e,
					      "a header's checksum is wrong: not a tar archive, or damaged");
		return 1;
	}
	n = take(t, h, TAR_BLOCK_BYTES, e);
	if (n < 0)
		return (int)n;
	if (n == TAR_BLOCK_BYTES && !is_zero(h))
		return tar__malformed(t, e, "something follows a lone block of zeros");
	t->has_end = true;
	return 0;
}

/* field_name() - "prefix/name" into @dst of TAR_BLOCK_BYTES; only POSIX headers have a prefix. */
static void field_name(const uint8_t *h, char *dst)
{
	const bool posix = memcmp(h + H_MAGIC, "ustar", 6) == 0;
	const int prefix_len = memcmp(h + H_STAR, "tar", 4) == 0 ? H_STAR_PREFIX_LEN : H_PREFIX_LEN;

	if (posix && h[H_PREFIX])
		str_format(dst, TAR_BLOCK_BYTES, "%.*s/%.*s", prefix_len, (const char *)h + H_PREFIX,
			   H_NAME_LEN, (const char *)h + H_NAME);
	else
		str_format(dst, TAR_BLOCK_BYTES, "%.*s", H_NAME_LEN, (const char *)h + H_NAME);
}

/* --- headers in front of an entry ------------------------------------------------------------------- */
static unsigned padding(uint64_t size)
{
	return (unsigned)(-size & (TAR_BLOCK_BYTES - 1));
}

/* read_extra() - the body of a header that speaks of the entry to come */
static int read_extra(struct tar *t, uint64_t size, struct buf *b, struct err *e)
{
	void *room;
	int r;

	if (size > TAR_EXTRA_MAX)
		return err_set(e, E2BIG, "tar: at byte %llu: a header of %llu bytes, the limit is %d",
			       (unsigned long long)t->offset, (unsigned long long)size, TAR_EXTRA_MAX);
	b->len = 0;
	room = buf_room(b, size);
	if (!room)
		return err_sys(e, ENOMEM, "tar");
	r = tar__take(t, room, size, e);
	if (r < 0)
		return r;
	b->len = size;
	b->data[size] = '\0';
	return skip(t, padding(size), e);
}

static int read_long(struct tar *t, uint64_t size, struct buf *b, const char **ret, struct err *e)
{
	int r = read_extra(t, size, b, e);

	if (r < 0)
		return r;
	if (strlen(b->data) + 1 < size)
		return tar__malformed(t, e, "a long name holds a zero byte");
	*ret = b->data;
	return 0;
}

/*
 * read_meta() - Return: 1 when @h was about the entry to come, and is dealt with; 0 when it is an entry;
 * -errno
 */
static int read_meta(struct tar *t, const uint8_t *h, uint64_t size, struct err *e)
{
	int r;

	switch (h[H_TYPE]) {
	case 'x':
	case 'X': /* Solaris wrote it so */
		r = read_extra(t, size, &t->pax, e);
		if (r >= 0)
			r = tar__parse_pax(t, e);
		break;
	case 'L': r = read_long(t, size, &t->long_name, &t->over.long_name, e); break;
	case 'K': r = read_long(t, size, &t->long_link, &t->over.long_link, e); break;
	/* For all entries to come: git puts a comment here; nothing in it may name or place a file */
	case 'g':
	case 'V': /* volume label */
		r = skip(t, size, e);
		if (r >= 0)
			r = skip(t, padding(size), e);
		break;
	default: return 0;
	}
	return r < 0 ? r : 1;
}

/* --- entries ---------------------------------------------------------------------------------------- */
/* type_of() - Return: enum tar_type; -EINVAL for one that is none */
static int type_of(uint8_t flag, const char *name)
{
	switch (flag) {
	case '0':
	case '\0':
	case '7': /* "contiguous": a file everywhere */
		/* V7 had no directories but by name */
		return str_ends(name, "/") ? TAR_DIR : TAR_FILE;
	case 'S': return TAR_FILE;
	case '1': return TAR_LINK;
	case '2': return TAR_SYMLINK;
	case '3': return TAR_CHAR;
	case '4': return TAR_BLOCK;
	case 'D': /* GNU incremental: a directory, its data a listing */
	case '5': return TAR_DIR;
	case '6': return TAR_FIFO;
	default: return -EINVAL;
	}
}

static int read_numbers(struct tar *t, const uint8_t *h, struct err *e)
{
	struct tar_entry *n = &t->entry;
	uint64_t mode = 0, uid = t->over.uid, gid = t->over.gid, major = 0, minor = 0;
	const char *what = NULL;

	if (number(h + H_MODE, 8, UINT32_MAX, &mode) < 0)
		what = "mode";
	if (!t->over.has_uid && number(h + H_UID, 8, UINT32_MAX - 1, &uid) < 0)
		what = "user id";
	if (!t->over.has_gid && number(h + H_GID, 8, UINT32_MAX - 1, &gid) < 0)
		what = "group id";
	if (t->over.has_mtime) {
		n->mtime_s = t->over.mtime_s;
		n->mtime_ns = t->over.mtime_ns;
	} else if (tar__number(h + H_MTIME, 12, &n->mtime_s) < 0) {
		what = "time";
	}
	if ((n->type == TAR_CHAR || n->type == TAR_BLOCK) &&
	    (number(h + H_MAJOR, 8, 0xfff, &major) < 0 || number(h + H_MINOR, 8, 0xfffff, &minor) < 0))
		what = "device number";
	if (what)
		return tar__malformed(t, e, "'%.60s': the %s is no number, or out of range", n->name, what);
	n->mode = mode & 07777;
	n->uid = (uint32_t)uid;
	n->gid = (uint32_t)gid;
	n->major = (uint32_t)major;
	n->minor = (uint32_t)minor;
	return 0;
}

/* read_map() - where the stored bytes lie in the file; an ordinary file is one piece. */
static int read_map(struct tar *t, const uint8_t *h, struct err *e)
{
	struct tar_entry *n = &t->entry;
	int r;

	t->pos = t->at_map = 0;
	if (h[H_TYPE] != 'S' && !t->over.sparse) {
		t->n_map = 0;
		n->size = t->left;
		return tar__sparse_add(t, 0, t->left, e);
	}
	n->size = t->over.sparse_size;
	if (h[H_TYPE] == 'S')
		r = tar__sparse_old_gnu(t, h, e);
	else
		r = t->over.sparse_major == 1 ? tar__sparse_from_data(t, e) : 0;
	return r < 0 ? r : tar__sparse_check(t, n->size, e);
}

/* first() - the strongest of those that are there; the header's own always is. */
static const char *first(const char *a, const char *b, const char *c, const char *own)
{
	return a ? a : b ? b : c ? c : own;
}

static int read_entry(struct tar *t, const uint8_t *h, uint64_t size, struct err *e)
{
	struct tar_entry *n = &t->entry;
	int r;

	*n = (struct tar_entry){ .xattrs = t->xattrs, .n_xattrs = t->over.n_xattrs, .link = "" };
	field_name(h, t->name);
	str_format(t->link, sizeof(t->link), "%.*s", H_NAME_LEN, (const char *)h + H_LINK);
	n->name = first(t->over.sparse_name, t->over.name, t->over.long_name, t->name);
	r = type_of(h[H_TYPE], n->name);
	if (r < 0)
		return tar__malformed(t, e, "'%.60s': unknown type of entry 0x%02x", n->name, h[H_TYPE]);
	n->type = (enum tar_type)r;
	if (n->type == TAR_LINK || n->type == TAR_SYMLINK)
		n->link = first(NULL, t->over.link, t->over.long_link, t->link);
	r = read_numbers(t, h, e);
	if (r < 0)
		return r;
	/* Only these have data, whatever the size field of the others says. */
	t->left = h[H_TYPE] == 'D' || n->type == TAR_FILE || strchr("07", h[H_TYPE]) ? size : 0;
	t->pad = padding(t->left);
	return n->type == TAR_FILE ? read_map(t, h, e) : 0;
}

int tar_next(struct tar *t, const struct tar_entry **ret, struct err *e)
{
	uint8_t h[TAR_BLOCK_BYTES] = { 0 };
	bool meta = false;
	uint64_t size = 0;
	int r;

	if (t->done)
		return 0;
	r = skip(t, t->left, e);
	if (r >= 0)
		r = skip(t, t->pad, e);
	t->left = t->pad = 0;
	t->over = (struct tar_over){ 0 };
	t->n_map = 0;
	while (r >= 0) {
		r = read_header(t, h, e);
		if (r == 0) {
			t->done = true;
			return meta ? tar__malformed(t, e, "cut short behind an extended header") : 0;
		}
		if (r > 0 && number(h + H_SIZE, 12, INT64_MAX, &size) < 0)
			r = tar__malformed(t, e, "a header's size is no number");
		if (r > 0)
			r = read_meta(t, h, size, e);
		if (r == 0)
			break;
		meta = meta || (h[H_TYPE] != 'g' && h[H_TYPE] != 'V');
	}
	if (r >= 0)
		r = read_entry(t, h, t->over.has_size ? t->over.size : size, e);
	if (r < 0) {
		t->done = true;
		return r;
	}
	*ret = &t->entry;
	return 1;
}

ssize_t tar_read(struct tar *t, const uint8_t **ret_bytes, struct err *e)
{
	const struct tar_piece *m;
	uint64_t upto;
	ssize_t n;

	if (t->entry.type != TAR_FILE || t->pos >= t->entry.size)
		return 0;
	while (t->at_map < t->n_map && t->map[t->at_map].off + t->map[t->at_map].len <= t->pos)
		t->at_map++;
	m = t->at_map < t->n_map ? &t->map[t->at_map] : NULL;
	upto = m ? m->off : t->entry.size;
	if (t->pos < upto) {
		n = upto - t->pos < SSIZE_MAX / 2 ? (ssize_t)(upto - t->pos) : SSIZE_MAX / 2;
		*ret_bytes = NULL;
	} else {
		n = run(t, m->off + m->len - t->pos, ret_bytes, e);
		if (n <= 0)
			return n < 0 ? n :
				       tar__malformed(t, e, "cut short in the data of '%.60s'",
						      t->entry.name);
		t->left -= (uint64_t)n;
	}
	t->pos += (uint64_t)n;
	return n;
}
