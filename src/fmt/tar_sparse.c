/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_sparse.c - maps of sparse files. Spec: GNU tar manual, "Storing Sparse Files" (old GNU, pax 0.0, 0.1,
 * 1.0)
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "fmt/tar_internal.h"

enum {
	S_MAP = 386,
	S_MAP_COUNT = 4,
	S_MORE = 482,
	S_SIZE = 483,
	S_EXT_COUNT = 21,
	S_EXT_MORE = 504,
	S_PIECE = 24
};

int tar__sparse_add(struct tar *t, uint64_t off, uint64_t len, struct err *e)
{
	if (t->n_map == TAR_SPARSE_MAX)
		return err_set(e, E2BIG, "tar: at byte %llu: a sparse file of more than %d pieces",
			       (unsigned long long)t->offset, TAR_SPARSE_MAX);
	if (t->n_map == t->cap_map) {
		size_t cap = t->cap_map ? 2 * t->cap_map : 16;
		struct tar_piece *map = reallocarray(t->map, cap, sizeof(*map));

		if (!map)
			return err_sys(e, ENOMEM, "tar");
		t->map = map;
		t->cap_map = cap;
	}
	t->map[t->n_map++] = (struct tar_piece){ off, len };
	return 0;
}

int tar__sparse_set_len(struct tar *t, uint64_t len, struct err *e)
{
	if (t->n_map == 0)
		return tar__malformed(t, e, "a sparse piece has a length and no offset");
	t->map[t->n_map - 1].len = len;
	return 0;
}

int tar__sparse_check(const struct tar *t, uint64_t size, struct err *e)
{
	uint64_t end = 0, stored = 0;

	for (size_t i = 0; i < t->n_map; i++) {
		const struct tar_piece *m = &t->map[i];

		if (m->off < end || m->off > size || m->len > size - m->off)
			return tar__malformed(t, e, "'%.60s': its sparse pieces overlap or leave the file",
					      t->entry.name);
		end = m->off + m->len;
		stored += m->len;
	}
	if (stored != t->left)
		return tar__malformed(t, e, "'%.60s': its sparse pieces do not add up to its data",
				      t->entry.name);
	return 0;
}

static int add_pieces(struct tar *t, const uint8_t *p, int count, struct err *e)
{
	for (const uint8_t *end = p + (size_t)count * S_PIECE; p < end && *p; p += S_PIECE) {
		int64_t off, len;
		int r;

		if (tar__number(p, 12, &off) < 0 || tar__number(p + 12, 12, &len) < 0 || off < 0 || len < 0)
			return tar__malformed(t, e, "a sparse piece is no number");
		r = tar__sparse_add(t, (uint64_t)off, (uint64_t)len, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int tar__sparse_old_gnu(struct tar *t, const uint8_t *header, struct err *e)
{
	uint8_t block[TAR_BLOCK_BYTES];
	bool more = header[S_MORE];
	int64_t size;
	int r;

	if (tar__number(header + S_SIZE, 12, &size) < 0 || size < 0)
		return tar__malformed(t, e, "a sparse file's size is no number");
	t->entry.size = (uint64_t)size;
	t->n_map = 0;
	r = add_pieces(t, header + S_MAP, S_MAP_COUNT, e);
	while (r >= 0 && more) {
		r = tar__take(t, block, sizeof(block), e);
		if (r >= 0)
			r = add_pieces(t, block, S_EXT_COUNT, e);
		more = r >= 0 && block[S_EXT_MORE];
	}
	return r;
}

int tar__sparse_from_list(struct tar *t, char *list, struct err *e)
{
	uint64_t n[2];
	char *rest = list, *word;
	int have = 0, r;

	t->n_map = 0;
	while ((word = strsep(&rest, ",")) && *word) {
		if (str_to_u64(word, &n[have]) < 0)
			return tar__malformed(t, e, "a sparse map holds '%.20s'", word);
		if (++have < 2)
			continue;
		r = tar__sparse_add(t, n[0], n[1], e);
		if (r < 0)
			return r;
		have = 0;
	}
	return have == 0 && !word ? 0 : tar__malformed(t, e, "a sparse map is cut short");
}

/* A reader of the decimal lines in front of a 1.0 file's data, block by block. */
struct lines {
	uint8_t block[TAR_BLOCK_BYTES];
	size_t at;
};

static int line_number(struct tar *t, struct lines *l, uint64_t *ret, struct err *e)
{
	uint64_t n = 0;

	for (int digits = 0; digits < 20; digits++) {
		uint8_t c;

		if (l->at == sizeof(l->block)) {
			int r = t->left < sizeof(l->block) ?
					tar__malformed(t, e, "a sparse map is cut short") :
					tar__take(t, l->block, sizeof(l->block), e);

			if (r < 0)
				return r;
			t->left -= sizeof(l->block);
			l->at = 0;
		}
		c = l->block[l->at++];
		if (c == '\n' && digits > 0) {
			*ret = n;
			return 0;
		}
		if (c < '0' || c > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, c - '0', &n))
			break;
	}
	return tar__malformed(t, e, "a sparse map holds something that is no number");
}

int tar__sparse_from_data(struct tar *t, struct err *e)
{
	struct lines l = { .at = TAR_BLOCK_BYTES };
	uint64_t count = 0, off = 0, len = 0;
	int r = line_number(t, &l, &count, e);

	t->n_map = 0;
	for (; r >= 0 && count > 0; count--) {
		r = line_number(t, &l, &off, e);
		if (r >= 0)
			r = line_number(t, &l, &len, e);
		if (r >= 0)
			r = tar__sparse_add(t, off, len, e);
	}
	return r;
}
