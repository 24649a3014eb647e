/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_xattr.c - extended attributes: behind the inode, or once for all inodes that have the same
 *
 * An inode is written before we know who else will have its attributes. So the first time one is met it goes
 * inline, and from the second time on into the shared area, which is written at the end. What was met is kept
 * in tables of fixed size where newer evicts older: a missed chance costs some bytes and nothing else.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/erofs_internal.h"

enum { MET_COUNT = 4096, HEADER_BYTES = 12, H_SHARED_COUNT = 4 };

struct eshared {
	struct buf area;
	struct buf entry, here;  /* scratch: one attribute; those of an inode that go inline */
	uint64_t met[MET_COUNT]; /* hash of an attribute written inline */
	struct {
		uint64_t hash;
		uint32_t at, len; /* in @area; len 0: empty */
	} kept[MET_COUNT];
};

/* Spec: EROFS on-disk format, xattr name indexes */
static const struct {
	const char *prefix;
	uint8_t index;
	bool whole; /* the prefix is the whole name */
} prefixes[] = {
	{ "user.", 1, false },
	{ "system.posix_acl_access", 2, true },
	{ "system.posix_acl_default", 3, true },
	{ "trusted.", 4, false },
	{ "security.", 6, false },
};

int erofs__xattr_init(struct erofs *w)
{
	w->shared = calloc(1, sizeof(*w->shared));
	return w->shared ? 0 : -ENOMEM;
}

void erofs__xattr_fini(struct erofs *w)
{
	if (!w->shared)
		return;
	buf_fini(&w->shared->area);
	buf_fini(&w->shared->entry);
	buf_fini(&w->shared->here);
	free(w->shared);
	w->shared = NULL;
}

const struct buf *erofs__xattr_shared(const struct erofs *w)
{
	return &w->shared->area;
}

/* put_entry() - Return: false when EROFS has no index for this name; nothing is put then. */
static bool put_entry(struct buf *b, const char *name, const void *value, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		const char *rest = str_after(name, prefixes[i].prefix);
		const uint16_t size = htole16((uint16_t)len);

		if (!rest || prefixes[i].whole != (*rest == '\0'))
			continue;
		buf_putc(b, (char)strlen(rest));
		buf_putc(b, (char)prefixes[i].index);
		buf_put(b, &size, sizeof(size));
		buf_puts(b, rest);
		buf_put(b, value, len);
		buf_put(b, "\0\0\0", -b->len & 3);
		return true;
	}
	return false;
}

static uint64_t hash(const struct buf *b)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a: the same on every machine, as the image must be */

	for (size_t i = 0; i < b->len; i++)
		h = (h ^ (uint8_t)b->data[i]) * 0x100000001b3;
	return h ? h : 1;
}

/* share() - the id of w->shared->entry in the shared area; -1 to have it inline */
static int64_t share(struct eshared *s, bool at_once)
{
	const uint64_t h = hash(&s->entry);
	const size_t i = (h ^ h >> 32) % MET_COUNT;
	const bool known = s->kept[i].hash == h && s->kept[i].len == s->entry.len &&
			   memcmp(s->area.data + s->kept[i].at, s->entry.data, s->entry.len) == 0;

	if (known)
		return s->kept[i].at / 4;
	if (s->met[i] != h && !at_once) {
		s->met[i] = h;
		return -1;
	}
	if (s->area.rc < 0 || s->area.len + s->entry.len > EROFS_SHARED_BYTES_MAX)
		return -1;
	s->kept[i].hash = h;
	s->kept[i].at = (uint32_t)s->area.len;
	s->kept[i].len = (uint32_t)s->entry.len;
	buf_put(&s->area, s->entry.data, s->entry.len);
	return s->kept[i].at / 4;
}

static void put_header(struct buf *b, const uint32_t *ids, size_t n)
{
	uint8_t header[HEADER_BYTES] = { [H_SHARED_COUNT] = (uint8_t)n };

	buf_put(b, header, sizeof(header));
	buf_put(b, ids, n * sizeof(*ids));
}

void erofs__xattr_add(struct buf *b, const char *name, const void *value, size_t len)
{
	if (b->len == 0)
		put_header(b, NULL, 0);
	put_entry(b, name, value, len);
}

int erofs__xattr_encode(struct erofs *w, const struct erofs_attr *a, bool at_once, struct buf *b,
			struct err *e)
{
	struct eshared *s = w->shared;
	uint32_t ids[EROFS_XATTRS_MAX];
	size_t n_ids = 0;

	s->here.len = 0;
	if (a->n_xattrs > EROFS_XATTRS_MAX)
		return err_set(e, E2BIG, "more than %d extended attributes", EROFS_XATTRS_MAX);
	for (size_t i = 0; i < a->n_xattrs; i++) {
		const struct erofs_xattr *x = &a->xattrs[i];
		int64_t id;

		if (strlen(x->name) > UINT8_MAX || x->len > UINT16_MAX)
			return err_set(e, E2BIG, "extended attribute '%.40s' is too large", x->name);
		s->entry.len = 0;
		if (!put_entry(&s->entry, x->name, x->value, x->len))
			continue;
		if (buf_finish(&s->entry) < 0)
			break;
		id = share(s, at_once);
		if (id >= 0)
			ids[n_ids++] = htole32((uint32_t)id);
		else
			buf_put(&s->here, s->entry.data, s->entry.len);
	}
	if (s->here.len > EROFS_XATTR_BYTES_MAX)
		return err_set(e, E2BIG, "more than %d KiB of extended attributes",
			       EROFS_XATTR_BYTES_MAX >> 10);
	if (n_ids > 0 || s->here.len > 0) {
		put_header(b, ids, n_ids);
		buf_put(b, s->here.data, s->here.len);
	}
	if (buf_finish(&s->entry) < 0 || buf_finish(&s->here) < 0 || buf_finish(&s->area) < 0 ||
	    buf_finish(b) < 0)
		return err_sys(e, ENOMEM, "extended attributes");
	return 0;
}
