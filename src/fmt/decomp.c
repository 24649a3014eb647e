/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/decomp.h"

#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/err.h"
#include "base/guard.h"

enum {
	OUT_BYTES = 256 << 10,
	LZ4_MAGIC = 0x184c2102,
	LZ4_BLOCK_BYTES = 8 << 20, /* what a block decodes to, at most */
	LZ4_WORD = 4,              /* bytes of a magic number, of a block's length */
};

struct decomp;

struct decomp_ops {
	const char *name;
	uint8_t magic[6];
	size_t magic_len;
	int (*open)(struct decomp *d);
	/*
	 * step() - decode from d->in to d->out. Return: 1 at the end of a member, 0 to go on, -errno with @e
	 * set
	 */
	int (*step)(struct decomp *d, struct err *e);
	void (*close)(struct decomp *d);
};

/* Blocks are decoded whole. @in has room for the longest, @out for what it becomes; both come with the first block. */
struct lz4 {
	uint8_t *in, *out; /* owned */
	uint8_t word[LZ4_WORD];
	uint32_t have_word, want, have; /* bytes of @word; of the block: its length, what is there */
	uint32_t out_at, out_len;       /* what is decoded and not yet handed on */
};

struct decomp {
	const struct decomp_ops *ops; /* NULL: plain bytes pass through */
	struct source from;
	const uint8_t *in; /* borrowed from @from */
	size_t in_len;
	size_t out_len; /* decoded bytes in @out */
	bool in_member; /* the input must not end here */
	bool done;
	union {
		z_stream gz;
		ZSTD_DStream *zstd;
		lzma_stream xz;
		struct lz4 lz4;
	} u;
	uint8_t out[OUT_BYTES];
};

static int damaged(const struct decomp *d, const char *why, struct err *e)
{
	return err_set(e, EBADMSG, "%s: %s", decomp_name(d), why ? why : "damaged data");
}

/* --- gzip: RFC 1952 --------------------------------------------------------------------------------- */
static int gz_open(struct decomp *d)
{
	return inflateInit2(&d->u.gz, 16 + MAX_WBITS) == Z_OK ? 0 : -ENOMEM;
}

static int gz_step(struct decomp *d, struct err *e)
{
	z_stream *z = &d->u.gz;
	int r;

	if (!d->in_member)
		inflateReset(z);
	z->next_in = (Bytef *)d->in;
	z->avail_in = d->in_len < UINT32_MAX ? (uInt)d->in_len : UINT32_MAX;
	z->next_out = d->out + d->out_len;
	z->avail_out = (uInt)(OUT_BYTES - d->out_len);
	r = inflate(z, Z_NO_FLUSH);
	d->in_len -= (size_t)(z->next_in - d->in);
	d->in = z->next_in;
	d->out_len = OUT_BYTES - z->avail_out;
	if (r == Z_STREAM_END)
		return 1;
	if (r == Z_MEM_ERROR)
		return err_sys(e, ENOMEM, "gzip");
	return r == Z_OK || r == Z_BUF_ERROR ? 0 : damaged(d, z->msg, e);
}

static void gz_close(struct decomp *d)
{
	inflateEnd(&d->u.gz);
}

/* --- zstd: RFC 8878 --------------------------------------------------------------------------------- */
static int zstd_open(struct decomp *d)
{
	d->u.zstd = ZSTD_createDStream();
	if (!d->u.zstd)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(d->u.zstd, ZSTD_d_windowLogMax, DECOMP_WINDOW_LOG_MAX);
	return 0;
}

static int zstd_step(struct decomp *d, struct err *e)
{
	ZSTD_inBuffer in = { d->in, d->in_len, 0 };
	ZSTD_outBuffer out = { d->out, OUT_BYTES, d->out_len };
	size_t r = ZSTD_decompressStream(d->u.zstd, &out, &in);

	if (ZSTD_isError(r))
		return damaged(d, ZSTD_getErrorName(r), e);
	d->in += in.pos;
	d->in_len -= in.pos;
	d->out_len = out.pos;
	return r == 0;
}

static void zstd_close(struct decomp *d)
{
	ZSTD_freeDStream(d->u.zstd);
}

/* --- xz --------------------------------------------------------------------------------------------- */
static int xz_open(struct decomp *d)
{
	d->u.xz = (lzma_stream)LZMA_STREAM_INIT;
	return lzma_stream_decoder(&d->u.xz, DECOMP_XZ_MEM_MAX, LZMA_CONCATENATED) == LZMA_OK ? 0 : -ENOMEM;
}

/*
 * xz_step() - liblzma itself goes from stream to stream, and is told the end of the input by no input at all.
 */
static int xz_step(struct decomp *d, struct err *e)
{
	lzma_stream *z = &d->u.xz;
	lzma_ret r;

	z->next_in = d->in;
	z->avail_in = d->in_len;
	z->next_out = d->out + d->out_len;
	z->avail_out = OUT_BYTES - d->out_len;
	r = lzma_code(z, d->in_len == 0 ? LZMA_FINISH : LZMA_RUN);
	d->in = z->next_in;
	d->in_len = z->avail_in;
	d->out_len = OUT_BYTES - z->avail_out;
	switch (r) {
	case LZMA_OK: return 0;
	case LZMA_STREAM_END: return 1;
	case LZMA_BUF_ERROR: return damaged(d, "cut short", e);
	case LZMA_MEM_ERROR: return err_sys(e, ENOMEM, "xz");
	case LZMA_MEMLIMIT_ERROR: return damaged(d, "wants more memory than is allowed", e);
	default: return damaged(d, NULL, e);
	}
}

static void xz_close(struct decomp *d)
{
	lzma_end(&d->u.xz);
}

static int lzma_open(struct decomp *d)
{
	d->u.xz = (lzma_stream)LZMA_STREAM_INIT;
	return lzma_alone_decoder(&d->u.xz, DECOMP_XZ_MEM_MAX) == LZMA_OK ? 0 : -ENOMEM;
}

/* lzma_step() - there is only one, and the decoder behind its end would say "end" for ever */
static int lzma_step(struct decomp *d, struct err *e)
{
	int r = xz_step(d, e);

	return r == 1 && d->in_len > 0 ? damaged(d, "something else follows its end", e) : r;
}

/* --- lz4, the legacy frame: a magic number, then blocks of a length and its bytes until the input ends -------- */

static int lz4_open(struct decomp *d)
{
	memset(&d->u.lz4, 0, sizeof(d->u.lz4));
	return 0;
}

static void lz4_close(struct decomp *d)
{
	free(d->u.lz4.in);
	free(d->u.lz4.out);
}

/* take() - from the input to @to, which has @have of @want bytes. Return: true when it has them all */
static bool take(struct decomp *d, uint8_t *to, uint32_t *have, uint32_t want)
{
	size_t n = want - *have < d->in_len ? want - *have : d->in_len;

	memcpy(to + *have, d->in, n);
	*have += (uint32_t)n;
	d->in += n;
	d->in_len -= n;
	return *have == want;
}

/* lz4_length() - the word in front of a block, or a magic number: frames may follow one another */
static int lz4_length(struct decomp *d, struct err *e)
{
	struct lz4 *z = &d->u.lz4;
	uint32_t v = z->word[0] | (uint32_t)z->word[1] << 8 | (uint32_t)z->word[2] << 16 |
		     (uint32_t)z->word[3] << 24;

	z->have_word = 0;
	if (v == LZ4_MAGIC)
		return 0;
	if (v == 0 || v > (uint32_t)LZ4_compressBound(LZ4_BLOCK_BYTES))
		return damaged(d, "a block's length makes no sense", e);
	if (!z->in)
		z->in = malloc((size_t)LZ4_compressBound(LZ4_BLOCK_BYTES));
	if (!z->out)
		z->out = malloc(LZ4_BLOCK_BYTES);
	if (!z->in || !z->out)
		return err_sys(e, ENOMEM, "lz4");
	z->want = v;
	z->have = 0;
	return 0;
}

static void lz4_hand_on(struct decomp *d)
{
	struct lz4 *z = &d->u.lz4;
	size_t n = z->out_len - z->out_at;

	if (n > OUT_BYTES - d->out_len)
		n = OUT_BYTES - d->out_len;
	memcpy(d->out + d->out_len, z->out + z->out_at, n);
	z->out_at += (uint32_t)n;
	d->out_len += n;
}

/* lz4_step() - to the stream's caller each block is a member: the input may end behind one */
static int lz4_step(struct decomp *d, struct err *e)
{
	struct lz4 *z = &d->u.lz4;
	int r;

	if (z->out_at == z->out_len && z->want == 0) {
		if (!take(d, z->word, &z->have_word, LZ4_WORD))
			return 0;
		r = lz4_length(d, e);
		if (r < 0 || z->want == 0)
			return r;
	}
	if (z->want > 0) {
		if (!take(d, z->in, &z->have, z->want))
			return 0;
		r = LZ4_decompress_safe((const char *)z->in, (char *)z->out, (int)z->want, LZ4_BLOCK_BYTES);
		if (r < 0)
			return damaged(d, NULL, e);
		z->want = 0;
		z->out_at = 0;
		z->out_len = (uint32_t)r;
	}
	lz4_hand_on(d);
	return z->out_at == z->out_len;
}

static const struct decomp_ops kinds[] = {
	{ "gzip", { 0x1f, 0x8b }, 2, gz_open, gz_step, gz_close },
	{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, zstd_open, zstd_step, zstd_close },
	{ "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, xz_open, xz_step, xz_close },
	{ "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4, lz4_open, lz4_step, lz4_close },
	/* Without a magic number worth the name: only by decomp_new_as(). */
	{ "lzma", { 0x5d }, 0, lzma_open, lzma_step, xz_close },
};

/* A zstd stream may open with a skippable frame: magic 0x184D2A50 to 0x184D2A5F, little endian. */
static bool is_skippable(const uint8_t *p, size_t len)
{
	return len >= 4 && (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18;
}

static const struct decomp_ops *kind_of(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].magic_len > 0 && len >= kinds[i].magic_len &&
		    memcmp(p, kinds[i].magic, kinds[i].magic_len) == 0)
			return &kinds[i];
	return is_skippable(p, len) ? &kinds[1] : NULL;
}

/* refill() - more input when none is left. Return: 1, 0 at the end of the input, -errno */
static int refill(struct decomp *d, struct err *e)
{
	ssize_t n;

	if (d->in_len > 0)
		return 1;
	n = d->from.next(d->from.arg, &d->in, e);
	if (n > 0)
		d->in_len = (size_t)n;
	return n < 0 ? (int)n : n > 0;
}

static const struct decomp_ops *kind_named(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(name, kinds[i].name) == 0)
			return &kinds[i];
	return NULL;
}

static int new_decomp(struct decomp **ret_d, const struct source *from, const struct decomp_ops *as,
		      struct err *e)
{
	struct decomp *d = malloc(sizeof(*d)); /* not zeroed: @out is large and written before it is read */
	int r;

	if (!d)
		return err_sys(e, ENOMEM, "decompress");
	memset(d, 0, offsetof(struct decomp, out));
	d->from = *from;
	r = refill(d, e);
	if (r > 0)
		d->ops = as ? as : kind_of(d->in, d->in_len);
	if (r >= 0 && d->ops) {
		r = d->ops->open(d);
		if (r < 0) {
			err_sys(e, -r, "%s", d->ops->name);
			d->ops = NULL;
		}
	}
	if (r < 0) {
		decomp_free(d);
		return r;
	}
	*ret_d = d;
	return 0;
}

int decomp_new(struct decomp **ret_d, const struct source *from, struct err *e)
{
	return new_decomp(ret_d, from, NULL, e);
}

int decomp_new_as(struct decomp **ret_d, const struct source *from, const char *name, struct err *e)
{
	const struct decomp_ops *as = kind_named(name);

	if (!as)
		return err_set(e, EOPNOTSUPP, "%s: no decoder for it", name);
	return new_decomp(ret_d, from, as, e);
}

void decomp_free(struct decomp *d)
{
	if (d && d->ops)
		d->ops->close(d);
	free(d);
}

const char *decomp_name(const struct decomp *d)
{
	return d->ops ? d->ops->name : "plain";
}

/* starts_member() - with a member behind us, what follows must begin another one of the same kind. */
static bool starts_member(const struct decomp *d)
{
	/* Four bytes may be split over two runs of input: the decoder itself then judges the rest. */
	if (d->ops == &kinds[1])
		return d->in_len < 4 || is_skippable(d->in, d->in_len) ||
		       memcmp(d->in, kinds[1].magic, kinds[1].magic_len) == 0;
	return d->ops->step == lz4_step || d->in[0] == d->ops->magic[0];
}

/* decode() - until d->out is full or the input at its end. Return: 0, -errno */
static int decode(struct decomp *d, struct err *e)
{
	while (d->out_len < OUT_BYTES) {
		int more = refill(d, e), r;
		size_t had;

		if (more < 0)
			return more;
		if (more == 0 && !d->in_member) {
			d->done = true;
			return 0;
		}
		if (!d->in_member && !starts_member(d))
			return damaged(d, "something else follows its end", e);
		had = d->out_len;
		r = d->ops->step(d, e);
		if (r < 0)
			return r;
		/*
		 * Without input a decoder may still hold output, but once it yields nothing the end is
		 * missing.
		 */
		if (more == 0 && r == 0 && d->out_len == had)
			return damaged(d, "cut short", e);
		d->in_member = r == 0;
	}
	return 0;
}

static ssize_t decomp_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct decomp *d = arg;
	int r;

	if (!d->ops) { /* plain: hand the source's own bytes through */
		size_t n;

		r = refill(d, e);
		if (r <= 0)
			return r;
		*ret_bytes = d->in;
		n = d->in_len;
		d->in_len = 0;
		return (ssize_t)n;
	}
	if (d->done)
		return 0;
	d->out_len = 0;
	r = decode(d, e);
	if (r < 0)
		return r;
	*ret_bytes = d->out;
	return (ssize_t)d->out_len;
}

struct source decomp_source(struct decomp *d)
{
	return (struct source){ decomp_next, d };
}
