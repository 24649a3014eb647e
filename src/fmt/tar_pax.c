/* SPDX-License-Identifier: Apache-2.0 */
/* tar_pax.c - pax extended headers. Spec: POSIX.1-2017 pax, "pax Extended Header" */
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/tar_internal.h"

/* One record's value: @text is NUL-terminated in place, @len counts what was there. */
struct value {
	char *text;
	size_t len;
};

static bool is_text(struct value v)
{
	return strlen(v.text) == v.len;
}

static int pax_path(struct tar *t, struct value v, struct err *e)
{
	if (!is_text(v))
		return tar__malformed(t, e, "a name holds a zero byte");
	t->over.name = v.len > 0 ? v.text : NULL; /* empty: as if the record were not there */
	return 0;
}

static int pax_link(struct tar *t, struct value v, struct err *e)
{
	if (!is_text(v))
		return tar__malformed(t, e, "a link's target holds a zero byte");
	t->over.link = v.len > 0 ? v.text : NULL;
	return 0;
}

static int pax_number(const struct tar *t, struct value v, uint64_t max, uint64_t *ret, struct err *e)
{
	if (!is_text(v) || str_to_u64(v.text, ret) < 0 || *ret > max)
		return tar__malformed(t, e, "a pax number is none, or out of range: '%.40s'", v.text);
	return 0;
}

static int pax_size(struct tar *t, struct value v, struct err *e)
{
	t->over.has_size = true;
	return pax_number(t, v, INT64_MAX, &t->over.size, e);
}

static int pax_uid(struct tar *t, struct value v, struct err *e)
{
	uint64_t n = 0;
	int r = pax_number(t, v, UINT32_MAX - 1, &n, e);

	t->over.has_uid = true;
	t->over.uid = (uint32_t)n;
	return r;
}

static int pax_gid(struct tar *t, struct value v, struct err *e)
{
	uint64_t n = 0;
	int r = pax_number(t, v, UINT32_MAX - 1, &n, e);

	t->over.has_gid = true;
	t->over.gid = (uint32_t)n;
	return r;
}

/* "[-]seconds[.fraction]"; digits beyond nanoseconds are dropped */
static int pax_mtime(struct tar *t, struct value v, struct err *e)
{
	const char *p = v.text + (v.text[0] == '-');
	size_t whole = strspn(p, "0123456789");
	uint32_t ns = 0, unit = 100000000;
	int64_t s = 0;

	for (size_t i = 0; i < whole; i++)
		if (__builtin_mul_overflow(s, 10, &s) || __builtin_add_overflow(s, p[i] - '0', &s))
			whole = 0;
	p += whole;
	if (whole > 0 && *p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			ns += unit * (uint32_t)(*p - '0');
	if (whole == 0 || *p != '\0' || !is_text(v))
		return tar__malformed(t, e, "a pax time is none, or out of range: '%.40s'", v.text);
	if (v.text[0] == '-') {
		s = ns > 0 ? -s - 1 : -s;
		ns = ns > 0 ? 1000000000 - ns : 0;
	}
	t->over.has_mtime = true;
	t->over.mtime_s = s;
	t->over.mtime_ns = ns;
	return 0;
}

static int pax_sparse_size(struct tar *t, struct value v, struct err *e)
{
	t->over.sparse = true;
	return pax_number(t, v, INT64_MAX, &t->over.sparse_size, e);
}

static int pax_sparse_major(struct tar *t, struct value v, struct err *e)
{
	uint64_t n = 0;
	int r = pax_number(t, v, 1, &n, e);

	t->over.sparse = true;
	t->over.sparse_major = (unsigned)n;
	return r;
}

static int pax_sparse_name(struct tar *t, struct value v, struct err *e)
{
	if (!is_text(v) || v.len == 0)
		return tar__malformed(t, e, "a name is empty or holds a zero byte");
	t->over.sparse_name = v.text;
	return 0;
}

static int pax_sparse_offset(struct tar *t, struct value v, struct err *e)
{
	uint64_t n = 0;
	int r = pax_number(t, v, INT64_MAX, &n, e);

	return r < 0 ? r : tar__sparse_add(t, n, 0, e);
}

static int pax_sparse_numbytes(struct tar *t, struct value v, struct err *e)
{
	uint64_t n = 0;
	int r = pax_number(t, v, INT64_MAX, &n, e);

	return r < 0 ? r : tar__sparse_set_len(t, n, e);
}

static int pax_sparse_map(struct tar *t, struct value v, struct err *e)
{
	t->over.sparse = true;
	return tar__sparse_from_list(t, v.text, e);
}

static const struct {
	const char *key;
	int (*set)(struct tar *t, struct value v, struct err *e);
} keys[] = {
	{ "path", pax_path },
	{ "linkpath", pax_link },
	{ "size", pax_size },
	{ "uid", pax_uid },
	{ "gid", pax_gid },
	{ "mtime", pax_mtime },
	{ "GNU.sparse.major", pax_sparse_major },
	{ "GNU.sparse.name", pax_sparse_name },
	{ "GNU.sparse.realsize", pax_sparse_size },
	{ "GNU.sparse.size", pax_sparse_size },
	{ "GNU.sparse.offset", pax_sparse_offset },
	{ "GNU.sparse.numbytes", pax_sparse_numbytes },
	{ "GNU.sparse.map", pax_sparse_map },
};

static int pax_xattr(struct tar *t, const char *name, struct value v, struct err *e)
{
	size_t i;

	if (!*name)
		return tar__malformed(t, e, "an extended attribute without a name");
	for (i = 0; i < t->over.n_xattrs && !str_eq(t->xattrs[i].name, name); i++)
		;
	if (i == TAR_XATTRS_MAX)
		return err_set(e, E2BIG, "tar: at byte %llu: more than %d extended attributes",
			       (unsigned long long)t->offset, TAR_XATTRS_MAX);
	if (i == t->over.n_xattrs)
		t->over.n_xattrs++;
	t->xattrs[i] = (struct tar_xattr){ name, v.text, v.len }; /* the later of two counts */
	return 0;
}

static int pax_record(struct tar *t, const char *key, struct value v, struct err *e)
{
	const char *name = str_after(key, "SCHILY.xattr.");

	if (name)
		return pax_xattr(t, name, v, e);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (str_eq(key, keys[i].key))
			return keys[i].set(t, v, e);
	return 0; /* what it does not know, a reader passes over */
}

/* "LEN KEY=VALUE\n", LEN counting all of it */
int tar__parse_pax(struct tar *t, struct err *e)
{
	char *p = t->pax.data, *end = p + t->pax.len;

	/* What an earlier pax header said is void: its strings pointed into the buffer this one fills. */
	t->over = (struct tar_over){ .long_name = t->over.long_name, .long_link = t->over.long_link };
	t->n_map = 0;
	while (p < end) {
		size_t len = 0, digits = strspn(p, "0123456789");
		char *key = p + digits + 1, *eq;
		int r;

		for (size_t i = 0; i < digits && digits < 10; i++)
			len = len * 10 + (size_t)(p[i] - '0');
		if (len <= digits + 1 || len > (size_t)(end - p) || p[digits] != ' ' || p[len - 1] != '\n')
			return tar__malformed(t, e, "a pax record's length is wrong");
		eq = memchr(key, '=', (size_t)(p + len - 1 - key));
		if (!eq)
			return tar__malformed(t, e, "a pax record without '='");
		*eq = '\0';
		p[len - 1] = '\0';
		r = pax_record(t, key, (struct value){ eq + 1, (size_t)(p + len - 1 - (eq + 1)) }, e);
		if (r < 0)
			return r;
		p += len;
	}
	return 0;
}
