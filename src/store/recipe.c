/* SPDX-License-Identifier: Apache-2.0 */
#include "store/recipe.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/tar.h"
#include "store/stream.h"
#include "sys/file.h"
#include "sys/path.h"

enum { LEVEL = 3, LITERAL_MAX = 1 << 16, NAME_BYTES_MAX = 1 << 16, CHUNK_BYTES = 1 << 16 };
enum kind { LITERAL, CONTENT, END };

static const char magic[8] = "hullrcp1";

/* --- recording ------------------------------------------------------------------------------------------ */

struct recorder {
	struct source from;
	int out_fd, recipe_fd;
	ZSTD_CCtx *zstd;
	struct buf literal;
	const uint8_t *run; /* what the tar reader has at hand, and where that stands in the tar */
	uint64_t run_at, run_end;
	uint64_t done;        /* everything before is in the recipe */
	uint64_t content_end; /* > done: we are in the contents of a file */
	uint8_t packed[CHUNK_BYTES];
	struct err e; /* of our own writing */
	int rc;
};

/* pack() - into the compressed file; sticky. */
static void pack(struct recorder *w, const void *bytes, size_t len, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = { .src = bytes, .size = len };
	size_t left;

	do {
		ZSTD_outBuffer out = { .dst = w->packed, .size = sizeof(w->packed) };
		int r;

		if (w->rc < 0)
			return;
		left = ZSTD_compressStream2(w->zstd, &out, &in, how);
		if (ZSTD_isError(left)) {
			w->rc = err_set(&w->e, EIO, "recipe: %s", ZSTD_getErrorName(left));
			return;
		}
		r = file_write(w->recipe_fd, w->packed, out.pos);
		if (r < 0)
			w->rc = err_sys(&w->e, -r, "write recipe");
	} while (in.pos < in.size || (how == ZSTD_e_end && left > 0));
}

static void pack_head(struct recorder *w, enum kind kind, uint64_t len)
{
	uint8_t head[9] = { (uint8_t)kind };
	uint64_t le = htole64(len);

	memcpy(head + 1, &le, sizeof(le));
	pack(w, head, sizeof(head), ZSTD_e_continue);
}

static void literal_flush(struct recorder *w)
{
	if (w->literal.len == 0)
		return;
	pack_head(w, LITERAL, w->literal.len);
	pack(w, w->literal.data, w->literal.len, ZSTD_e_continue);
	w->literal.len = 0;
}

/* done_to() - what lies before @end in the run: contents are passed over, the rest is kept. */
static void done_to(struct recorder *w, uint64_t end)
{
	if (w->done < w->content_end)
		w->done = w->content_end < end ? w->content_end : end;
	if (w->done < end) {
		buf_put(&w->literal, w->run + (w->done - w->run_at), end - w->done);
		w->done = end;
	}
	if (buf_finish(&w->literal) < 0)
		w->rc = err_sys(&w->e, ENOMEM, "recipe");
	else if (w->literal.len >= LITERAL_MAX)
		literal_flush(w);
}

/* record_next() - the tar reader has used up its run (it asks only then), and has told us of the files that
 * began in it. */
static ssize_t record_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct recorder *w = arg;
	ssize_t n;
	int r;

	done_to(w, w->run_end);
	n = w->from.next(w->from.arg, ret_bytes, e);
	if (n <= 0)
		return n;
	w->run = *ret_bytes;
	w->run_at = w->run_end;
	w->run_end += (uint64_t)n;
	r = file_write(w->out_fd, w->run, (size_t)n);
	return r < 0 ? err_sys(e, -r, "pass a layer on") : n;
}

static bool is_whiteout(const char *name)
{
	const char *slash = strrchr(name, '/');

	return str_starts(slash ? slash + 1 : name, ".wh.");
}

/* record_file() - the @size bytes from @at on are the contents of @name. */
static void record_file(struct recorder *w, uint64_t at, const struct tar_entry *n)
{
	const uint32_t len = (uint32_t)strlen(n->name), le = htole32(len);

	done_to(w, at);
	literal_flush(w);
	pack_head(w, CONTENT, n->size);
	pack(w, &le, sizeof(le), ZSTD_e_continue);
	pack(w, n->name, len, ZSTD_e_continue);
	w->content_end = at + n->size;
}

static void recorder_fini(struct recorder *w)
{
	ZSTD_freeCCtx(w->zstd);
	buf_fini(&w->literal);
}

static int record_entries(struct recorder *w, struct tar *t, bool *ret_whole, struct err *e)
{
	const struct tar_entry *n;
	bool whole = true;
	int r;

	while ((r = tar_next(t, &n, e)) > 0) {
		whole &= w->content_end <= tar_offset(t); /* a sparse file announces more than it stores */
		if (whole && n->type == TAR_FILE && n->size > 0 && !is_whiteout(n->name) &&
		    strlen(n->name) <= NAME_BYTES_MAX)
			record_file(w, tar_offset(t), n);
	}
	if (r >= 0)
		r = tar_drain(t, e);
	if (r < 0)
		return r;
	done_to(w, w->run_end);
	*ret_whole = whole && w->content_end <= w->run_end;
	literal_flush(w);
	pack_head(w, END, 0);
	pack(w, NULL, 0, ZSTD_e_end);
	if (w->rc < 0 && e)
		*e = w->e;
	return w->rc;
}

int recipe_record(const struct source *from, int out_fd, int recipe_fd, bool *ret_whole, struct err *e)
{
	struct recorder *w = calloc(1, sizeof(*w));
	struct source source = { .next = record_next, .arg = w };
	struct tar *t = tar_new(&source);
	int r = -ENOMEM;

	if (w) {
		w->from = *from;
		w->out_fd = out_fd;
		w->recipe_fd = recipe_fd;
		w->zstd = ZSTD_createCCtx();
	}
	if (t && w && w->zstd) {
		ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL);
		ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1);
		pack(w, magic, sizeof(magic), ZSTD_e_continue);
		r = record_entries(w, t, ret_whole, e);
	} else {
		err_sys(e, ENOMEM, "recipe");
	}
	tar_free(t);
	if (w)
		recorder_fini(w);
	free(w);
	return r;
}

/* --- replaying ------------------------------------------------------------------------------------------ */

struct replay {
	struct stream_fd file;
	ZSTD_DCtx *zstd;
	ZSTD_inBuffer in;
	int rootfd;
	int (*write)(void *arg, const void *bytes, size_t len, struct err *e);
	void *arg;
	char bytes[CHUNK_BYTES];
};

static int unpack(struct replay *p, void *dst, size_t len, struct err *e)
{
	ZSTD_outBuffer out = { .dst = dst, .size = len };

	while (out.pos < out.size) {
		size_t r;

		if (p->in.pos == p->in.size) {
			const uint8_t *bytes;
			ssize_t n = stream_fd_source(&p->file).next(&p->file, &bytes, e);

			if (n < 0)
				return (int)n;
			if (n == 0)
				return err_set(e, EBADMSG, "recipe: cut short");
			p->in = (ZSTD_inBuffer){ .src = bytes, .size = (size_t)n };
		}
		r = ZSTD_decompressStream(p->zstd, &out, &p->in);
		if (ZSTD_isError(r))
			return err_set(e, EBADMSG, "recipe: %s", ZSTD_getErrorName(r));
	}
	return 0;
}

static int replay_literal(struct replay *p, uint64_t len, struct err *e)
{
	int r = 0;

	while (len > 0 && r >= 0) {
		size_t n = len < sizeof(p->bytes) ? (size_t)len : sizeof(p->bytes);

		r = unpack(p, p->bytes, n, e);
		if (r >= 0)
			r = p->write(p->arg, p->bytes, n, e);
		len -= n;
	}
	return r;
}

static int replay_file(struct replay *p, const char *name, uint64_t len, struct err *e)
{
	auto_close int fd = path_open_in_root(p->rootfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return err_sys(e, -fd, "'%s'", name);
	if (file_fstatat(fd, "", &st, AT_EMPTY_PATH) < 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != len)
		return err_set(e, EBADMSG, "'%s': not the file it was", name);
	while (len > 0) {
		size_t want = len < sizeof(p->bytes) ? (size_t)len : sizeof(p->bytes);
		ssize_t n = file_read(fd, p->bytes, want);
		int r;

		if (n < 0 || (size_t)n < want)
			return err_sys(e, n < 0 ? (int)-n : EIO, "read '%s'", name);
		r = p->write(p->arg, p->bytes, want, e);
		if (r < 0)
			return r;
		len -= want;
	}
	return 0;
}

static int replay_content(struct replay *p, uint64_t len, struct err *e)
{
	auto_free char *name = NULL;
	uint32_t le;
	int r = unpack(p, &le, sizeof(le), e);

	if (r < 0)
		return r;
	le = le32toh(le);
	if (le > NAME_BYTES_MAX)
		return err_set(e, EBADMSG, "recipe: damaged");
	name = calloc(1, (size_t)le + 1);
	if (!name)
		return err_sys(e, ENOMEM, "recipe");
	r = unpack(p, name, le, e);
	return r < 0 ? r : replay_file(p, name, len, e);
}

static int replay_records(struct replay *p, struct err *e)
{
	char head[sizeof(magic)];
	uint8_t record[9];
	uint64_t len;
	int r = unpack(p, head, sizeof(head), e);

	if (r >= 0 && memcmp(head, magic, sizeof(magic)) != 0)
		r = err_set(e, EBADMSG, "recipe: of another format");
	while (r >= 0) {
		r = unpack(p, record, sizeof(record), e);
		if (r < 0 || record[0] == END)
			break;
		memcpy(&len, record + 1, sizeof(len));
		len = le64toh(len);
		if (record[0] == LITERAL)
			r = replay_literal(p, len, e);
		else if (record[0] == CONTENT)
			r = replay_content(p, len, e);
		else
			r = err_set(e, EBADMSG, "recipe: damaged");
	}
	return r;
}

int recipe_replay(int recipe_fd, int rootfd,
		  int (*write)(void *arg, const void *bytes, size_t len, struct err *e), void *arg,
		  struct err *e)
{
	struct replay *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_sys(e, ENOMEM, "recipe");
	stream_fd_init(&p->file, recipe_fd);
	p->zstd = ZSTD_createDCtx();
	p->rootfd = rootfd;
	p->write = write;
	p->arg = arg;
	r = p->zstd ? replay_records(p, e) : err_sys(e, ENOMEM, "recipe");
	ZSTD_freeDCtx(p->zstd);
	free(p);
	return r;
}
