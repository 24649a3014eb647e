/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_read.c - one loop for every sink: bytes, digests, decompression, tar entries, whiteouts
 *
 * bytes -> [blob digest] -> decomp -> [tar digest] -> tar -> entries -> sink. A plain tar is digested once.
 * In a large compressed one what stands before the tar digest is done by a thread (ahead.h).
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/decomp.h"
#include "store/ahead.h"
#include "store/layer_internal.h"
#include "sys/file.h"

/* A compressed layer larger than this is decoded by a thread of its own. */
enum { AHEAD_WORTH_BYTES = LAYER_READ_BYTES };

#define WH_PREFIX      ".wh."
#define WH_META_PREFIX ".wh..wh."
#define WH_OPAQUE      ".wh..wh..opq"

/* A source that digests what passes through. */
struct tee {
	struct source from;
	struct digest sum, sum512;
	uint64_t bytes;
	bool want512, off;
};

struct reader {
	struct tee blob, plain;
	struct decomp *decomp;
	struct ahead *ahead; /* NULL: everything is done in turn */
	struct tar *tar;
	struct layer_sink *sink;
	uint64_t entries;
	char path[PATH_MAX], target[PATH_MAX];
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
};

static ssize_t tee_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct tee *t = arg;
	ssize_t n = t->from.next(t->from.arg, ret_bytes, e);

	if (n <= 0)
		return n;
	t->bytes += (uint64_t)n;
	if (!t->off)
		digest_update(&t->sum, *ret_bytes, (size_t)n);
	if (t->want512 && !t->off)
		digest_update(&t->sum512, *ret_bytes, (size_t)n);
	return n;
}

static void tee_init(struct tee *t, struct source from, bool want512)
{
	*t = (struct tee){ .from = from, .want512 = want512 };
	digest_init(&t->sum, DIGEST_SHA256);
	digest_init(&t->sum512, DIGEST_SHA512);
}

/* --- names ------------------------------------------------------------------------------------------ */
/*
 * clean_path() - @in as a path below the root of the layer. @dst holds PATH_MAX. Return: 0, -errno with @e
 * set
 */
static int clean_path(const char *in, char *dst, struct err *e)
{
	size_t len = 0;

	while (*in) {
		const size_t n = strcspn(in, "/");

		if (n == 2 && memcmp(in, "..", 2) == 0)
			return err_set(e, EBADMSG, "'..' in a path is not allowed");
		if (n > NAME_MAX)
			return err_set(e, ENAMETOOLONG, "a name of %zu bytes, the limit is %d", n, NAME_MAX);
		if (n > 0 && !(n == 1 && *in == '.')) {
			if (len + n + 2 > PATH_MAX)
				return err_set(e, ENAMETOOLONG, "the path is longer than %d bytes",
					       PATH_MAX - 1);
			if (len > 0)
				dst[len++] = '/';
			memcpy(dst + len, in, n);
			len += n;
		}
		in += n + (in[n] == '/');
	}
	dst[len] = '\0';
	return 0;
}

static char *base_of(char *path)
{
	char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* has_wh_parent() - is one of the directories on the way named as only whiteouts are? */
static const char *wh_parent(const char *path)
{
	const char *slash;

	for (; (slash = strchr(path, '/')); path = slash + 1)
		if (str_starts(path, WH_PREFIX))
			return path;
	return NULL;
}

/* cut_base() - "a/b" becomes "a", "a" becomes "". */
static void cut_base(char *path)
{
	char *base = base_of(path);

	base[base > path ? -1 : 0] = '\0';
}

/* whiteout() - Return: 1 when r->path was one and is dealt with; 0; -errno */
static int whiteout(struct reader *r, struct err *e)
{
	char *base = base_of(r->path), *name;
	const char *parent = wh_parent(r->path);
	int rc = 0;

	if (parent && !str_starts(parent, WH_META_PREFIX))
		return err_set(e, EBADMSG, "a directory's name begins with '%s', which is for whiteouts",
			       WH_PREFIX);
	if (!parent && !str_starts(base, WH_PREFIX))
		return 0;
	name = base + strlen(WH_PREFIX);
	if (!parent && str_eq(base, WH_OPAQUE)) {
		cut_base(r->path);
		rc = r->sink->ops->opaque(r->sink, r->path, e);
	} else if (!parent && !str_starts(base, WH_META_PREFIX)) {
		if (!*name || str_eq(name, ".") || str_eq(name, ".."))
			return err_set(e, EBADMSG, "a whiteout of no name");
		memmove(base, name, strlen(name) + 1);
		rc = r->sink->ops->whiteout(r->sink, r->path, e);
	} /* else: what AUFS kept for itself, of no meaning to anyone else */
	return rc < 0 ? rc : 1;
}

/* --- entries ---------------------------------------------------------------------------------------- */
static int copy_data(struct reader *r, struct err *e)
{
	const struct layer_sink_ops *ops = r->sink->ops;
	const uint8_t *bytes;
	ssize_t n;
	int rc;

	while ((n = tar_read(r->tar, &bytes, e)) > 0) {
		rc = ops->data(r->sink, bytes, (uint64_t)n, e);
		if (rc < 0)
			return rc;
	}
	if (n < 0)
		return (int)n;
	return ops->file_end ? ops->file_end(r->sink, e) : 0;
}

/* take_xattrs() - all but those by which a layer could speak to overlayfs behind our back */
static size_t take_xattrs(struct reader *r, const struct tar_entry *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_xattrs; i++)
		if (!str_starts(t->xattrs[i].name, "trusted.overlay.") &&
		    !str_starts(t->xattrs[i].name, "user.overlay."))
			r->xattrs[n++] = t->xattrs[i];
	return n;
}

static int entry(struct reader *r, const struct tar_entry *t, struct err *e)
{
	const struct layer_sink_ops *ops = r->sink->ops;
	struct layer_entry n = { .path = r->path, .target = t->link, .tar = t, .xattrs = r->xattrs };
	int rc = clean_path(t->name, r->path, e);

	if (rc < 0)
		return rc;
	rc = whiteout(r, e);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (!r->path[0] && t->type != TAR_DIR)
		return err_set(e, EBADMSG, "an empty name, and not a directory's");
	n.n_xattrs = take_xattrs(r, t);
	switch (t->type) {
	case TAR_DIR: return ops->dir(r->sink, &n, e);
	case TAR_FILE: rc = ops->file(r->sink, &n, e); return rc < 0 ? rc : copy_data(r, e);
	case TAR_SYMLINK:
		if (!*n.target || strlen(n.target) >= PATH_MAX)
			return err_set(e, EBADMSG, "a symlink's target of %zu bytes", strlen(n.target));
		return ops->symlink(r->sink, &n, e);
	case TAR_LINK:
		rc = clean_path(t->link, r->target, e);
		n.target = r->target;
		return rc < 0 ? err_wrap(e, rc, "hard link to '%.200s'", t->link) : ops->link(r->sink, &n, e);
	default: return ops->node(r->sink, &n, e);
	}
}

static int entries(struct reader *r, unsigned flags, struct err *e)
{
	const struct tar_entry *t;
	int rc;

	while ((rc = tar_next(r->tar, &t, e)) > 0) {
		if (++r->entries > LAYER_ENTRIES_MAX)
			return err_set(e, E2BIG, "more than %d entries", LAYER_ENTRIES_MAX);
		rc = entry(r, t, e);
		if (rc < 0)
			return err_wrap(e, rc, "entry '%.200s'", t->name);
	}
	if (rc >= 0 && !tar_has_end(r->tar) && !(flags & LAYER_END_OPTIONAL))
		return err_set(e, EBADMSG, "tar: cut short: no end-of-archive behind byte %llu",
			       (unsigned long long)tar_offset(r->tar));
	return rc < 0 ? rc : tar_drain(r->tar, e);
}

/* --- digests ---------------------------------------------------------------------------------------- */
static int check_digest(const char *expect, struct tee *blob, struct tee *plain,
			const struct layer_result *res, struct err *e)
{
	char blob512[DIGEST_TEXT_SIZE] = "", plain512[DIGEST_TEXT_SIZE] = "";

	if (str_eq(expect, res->blob_digest) || str_eq(expect, res->diff_id))
		return 0;
	if (blob->want512) {
		digest_final(&blob->sum512, blob512);
		if (!plain->off)
			digest_final(&plain->sum512, plain512);
		if (str_eq(expect, blob512) || str_eq(expect, plain512))
			return 0;
	}
	return err_set(e, EBADMSG, "the digest is %s and not %s", blob->want512 ? blob512 : res->blob_digest,
		       expect);
}

static void reader_fini(struct reader **pp)
{
	struct reader *r = *pp;

	if (!r)
		return;
	tar_free(r->tar);
	ahead_free(r->ahead); /* before what its thread uses */
	decomp_free(r->decomp);
	free(r);
}

/* one_line() - names from the layer are in the text; control characters in them must not break the line. */
static int one_line(struct err *e, int rc)
{
	for (unsigned char *p = (unsigned char *)e->text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	return rc;
}

static int run(struct reader *r, const char *expect, unsigned flags, struct layer_result *ret, struct err *e)
{
	struct layer_result res = { 0 };
	struct source plain;
	bool is_plain;
	int rc;

	rc = decomp_new(&r->decomp, &(struct source){ tee_next, &r->blob }, e);
	if (rc < 0)
		return rc;
	plain = decomp_source(r->decomp);
	is_plain = str_eq(decomp_name(r->decomp), "plain");
	if (!is_plain && r->blob.bytes >= AHEAD_WORTH_BYTES)
		r->ahead = ahead_new(&plain);
	tee_init(&r->plain, r->ahead ? ahead_source(r->ahead) : plain, r->blob.want512);
	r->plain.off = is_plain;
	r->tar = tar_new(&(struct source){ tee_next, &r->plain });
	if (!r->tar)
		return err_sys(e, ENOMEM, "tar");
	rc = entries(r, flags, e);
	if (rc < 0)
		return rc;
	ahead_free(r->ahead); /* at its end; r->blob is ours again */
	r->ahead = NULL;
	digest_final(&r->blob.sum, res.blob_digest);
	if (r->plain.off)
		memcpy(res.diff_id, res.blob_digest, sizeof(res.diff_id));
	else
		digest_final(&r->plain.sum, res.diff_id);
	res.tar_bytes = r->plain.bytes;
	res.blob_bytes = r->blob.bytes;
	res.files = r->entries;
	rc = expect ? check_digest(expect, &r->blob, &r->plain, &res, e) : 0;
	if (rc >= 0)
		rc = r->sink->ops->finish(r->sink, res.diff_id, e);
	if (rc >= 0)
		*ret = res;
	return rc;
}

int layer__read(const struct source *from, struct layer_sink *sink, const char *expect, unsigned flags,
		struct layer_result *ret, struct err *e)
{
	__attribute__((cleanup(reader_fini))) struct reader *r = NULL;
	enum digest_alg alg = DIGEST_SHA256;
	struct err why = { 0 };
	int rc;

	if (expect && digest_parse(expect, &alg, NULL) < 0)
		return err_set(e, EINVAL, "'%.80s' is no digest", expect);
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_sys(e, ENOMEM, "layer");
	tee_init(&r->blob, *from, alg == DIGEST_SHA512);
	r->sink = sink;
	rc = run(r, expect, flags | (expect ? LAYER_END_OPTIONAL : 0), ret, &why);
	if (rc < 0) {
		one_line(&why, rc);
		return err_set(e, -rc, "layer: %s", why.text);
	}
	return 0;
}

static ssize_t input_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct layer_input *in = arg;
	ssize_t n = file_read(in->fd, in->bytes, LAYER_READ_BYTES);

	if (n < 0)
		return err_sys(e, (int)-n, "read");
	*ret_bytes = in->bytes;
	return n;
}

int layer__read_fd(int fd, struct layer_sink *sink, const char *expect, unsigned flags,
		   struct layer_result *ret, struct err *e)
{
	auto_free uint8_t *bytes = malloc(LAYER_READ_BYTES);
	struct layer_input in = { .fd = fd, .bytes = bytes };

	if (!bytes)
		return err_sys(e, ENOMEM, "layer");
	return layer__read(&(struct source){ input_next, &in }, sink, expect, flags, ret, e);
}
