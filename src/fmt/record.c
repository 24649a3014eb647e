/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/record.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

enum { FLAG_MANDATORY = 1, HEADER_BYTES = 16, LENGTH_AT = 12 };

/* --- writing ------------------------------------------------------------------------------------------------ */

static void begin(struct record_out *o, const char *tag, uint16_t version, uint16_t flags)
{
	static const char padding[RECORD_TAG_MAX];
	size_t len = strlen(tag);

	BUG_ON(o->depth >= RECORD_DEPTH_MAX || len == 0 || len > RECORD_TAG_MAX || version == 0);
	record_put(o, tag, len);
	record_put(o, padding, RECORD_TAG_MAX - len);
	record_put_u16(o, version);
	record_put_u16(o, flags);
	record_put_u32(o, 0); /* the length, when it is known */
	o->start[o->depth++] = o->to->len;
}

void record_begin(struct record_out *o, const char *tag, uint16_t version)
{
	begin(o, tag, version, FLAG_MANDATORY);
}

void record_begin_optional(struct record_out *o, const char *tag, uint16_t version)
{
	begin(o, tag, version, 0);
}

void record_end(struct record_out *o)
{
	uint32_t le;
	size_t start, len;

	BUG_ON(o->depth == 0);
	start = o->start[--o->depth];
	if (o->to->rc < 0)
		return;
	len = o->to->len - start;
	if (len > UINT32_MAX) {
		o->to->rc = -EMSGSIZE;
		return;
	}
	le = htole32((uint32_t)len);
	memcpy(o->to->data + start - sizeof(le), &le, sizeof(le));
}

void record_put(struct record_out *o, const void *bytes, size_t len)
{
	buf_put(o->to, bytes, len);
}

void record_put_u8(struct record_out *o, uint8_t v)
{
	buf_put(o->to, &v, sizeof(v));
}

void record_put_u16(struct record_out *o, uint16_t v)
{
	v = htole16(v);
	buf_put(o->to, &v, sizeof(v));
}

void record_put_u32(struct record_out *o, uint32_t v)
{
	v = htole32(v);
	buf_put(o->to, &v, sizeof(v));
}

void record_put_u64(struct record_out *o, uint64_t v)
{
	v = htole64(v);
	buf_put(o->to, &v, sizeof(v));
}

void record_put_str(struct record_out *o, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	if (len > UINT16_MAX) {
		if (o->to->rc == 0)
			o->to->rc = -EMSGSIZE;
		return;
	}
	record_put_u16(o, (uint16_t)len);
	if (len > 0)
		record_put(o, s, len);
}

/* --- reading ------------------------------------------------------------------------------------------------ */

void record_init(struct record_in *in, const void *bytes, size_t len, struct err *e)
{
	memset(in, 0, sizeof(*in));
	in->at = bytes;
	in->end = in->at + len;
	in->e = e;
}

void record_fail(struct record_in *in, const char *fmt, ...)
{
	char where[(RECORD_TAG_MAX + 1) * RECORD_DEPTH_MAX + 1] = "", text[256];
	size_t at = 0;
	va_list ap;

	if (in->rc < 0)
		return;
	for (int i = 0; i < in->depth; i++)
		at += str_format(where + at, sizeof(where) - at, "%s%s", i ? "/" : "", in->level[i].tag);
	va_start(ap, fmt);
	str_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	in->rc = err_set(in->e, EBADMSG, "%s%s%s", where, at ? ": " : "", text);
	in->at = in->end; /* nothing is left for whoever asks */
}

/* A record's header, copied out; its payload is inside the open record. */
struct header {
	char tag[RECORD_TAG_MAX + 1];
	uint16_t version, flags;
	const uint8_t *payload, *end;
};

/* tag_copy() - printable and padded with NULs only, so that it can go into an error text. */
static bool tag_copy(char *dst, const uint8_t *src)
{
	int len = 0;

	while (len < RECORD_TAG_MAX && src[len] > ' ' && src[len] < 0x7f)
		len++;
	for (int i = len; i < RECORD_TAG_MAX; i++)
		if (src[i])
			return false;
	memcpy(dst, src, (size_t)len);
	dst[len] = '\0';
	return len > 0;
}

/* header_get() - the next record's, without going past it. Return: false at the end, and after a failure. */
static bool header_get(struct record_in *in, struct header *h)
{
	uint32_t len;

	if (in->rc < 0 || in->at == in->end)
		return false;
	if (record_left(in) < HEADER_BYTES) {
		record_fail(in, "%zu bytes where a record should begin", record_left(in));
		return false;
	}
	if (!tag_copy(h->tag, in->at)) {
		record_fail(in, "no tag where a record should begin");
		return false;
	}
	memcpy(&h->version, in->at + 8, sizeof(h->version));
	memcpy(&h->flags, in->at + 10, sizeof(h->flags));
	memcpy(&len, in->at + LENGTH_AT, sizeof(len));
	h->version = le16toh(h->version);
	h->flags = le16toh(h->flags);
	len = le32toh(len);
	if (len > record_left(in) - HEADER_BYTES) {
		record_fail(in, "record '%s' has %u bytes, %zu are there", h->tag, len,
			    record_left(in) - HEADER_BYTES);
		return false;
	}
	if (h->version == 0) {
		record_fail(in, "record '%s' has version 0", h->tag);
		return false;
	}
	h->payload = in->at + HEADER_BYTES;
	h->end = h->payload + len;
	return true;
}

uint16_t record_open(struct record_in *in, const char *tag, uint16_t newest)
{
	struct header h;

	for (;;) {
		if (!header_get(in, &h)) {
			record_fail(in, "record '%s' is missing", tag);
			return 0;
		}
		if (strcmp(h.tag, tag) == 0)
			break;
		if (h.flags & FLAG_MANDATORY) {
			record_fail(in, "record '%s' where '%s' should be", h.tag, tag);
			return 0;
		}
		in->at = h.end;
	}
	/* a mandatory record of a newer version holds something this reader would lose */
	if (h.version > newest && (h.flags & FLAG_MANDATORY)) {
		record_fail(in, "record '%s' has version %u, known up to %u", tag, h.version, newest);
		return 0;
	}
	if (in->depth == RECORD_DEPTH_MAX) {
		record_fail(in, "records nest deeper than %d", RECORD_DEPTH_MAX);
		return 0;
	}
	in->level[in->depth].end = in->end;
	in->level[in->depth].version = h.version;
	in->level[in->depth].newest = newest;
	memcpy(in->level[in->depth].tag, h.tag, sizeof(h.tag));
	in->depth++;
	in->at = h.payload;
	in->end = h.end;
	return h.version;
}

bool record_peek(struct record_in *in, char *tag)
{
	struct header h;

	if (!header_get(in, &h)) {
		*tag = '\0';
		return false;
	}
	memcpy(tag, h.tag, sizeof(h.tag));
	return true;
}

void record_close(struct record_in *in)
{
	int top = in->depth - 1;

	if (in->rc < 0)
		return;
	BUG_ON(in->depth == 0);
	if (in->at != in->end && in->level[top].version <= in->level[top].newest) {
		record_fail(in, "%zu bytes too many", record_left(in));
		return;
	}
	in->at = in->end;
	in->end = in->level[top].end;
	in->depth--;
}

size_t record_left(const struct record_in *in)
{
	return (size_t)(in->end - in->at);
}

const void *record_take(struct record_in *in, size_t len)
{
	const void *at = in->at;

	if (in->rc < 0)
		return NULL;
	if (len > record_left(in)) {
		record_fail(in, "%zu bytes wanted, %zu are there", len, record_left(in));
		return NULL;
	}
	in->at += len;
	return at;
}

void record_get(struct record_in *in, void *dst, size_t len)
{
	const void *from = record_take(in, len);

	if (from && len > 0)
		memcpy(dst, from, len);
	else if (len > 0)
		memset(dst, 0, len);
}

uint8_t record_get_u8(struct record_in *in)
{
	uint8_t v;

	record_get(in, &v, sizeof(v));
	return v;
}

uint16_t record_get_u16(struct record_in *in)
{
	uint16_t v;

	record_get(in, &v, sizeof(v));
	return le16toh(v);
}

uint32_t record_get_u32(struct record_in *in)
{
	uint32_t v;

	record_get(in, &v, sizeof(v));
	return le32toh(v);
}

uint64_t record_get_u64(struct record_in *in)
{
	uint64_t v;

	record_get(in, &v, sizeof(v));
	return le64toh(v);
}

void record_get_str(struct record_in *in, char *dst, size_t size)
{
	uint16_t len = record_get_u16(in);
	const char *from;

	*dst = '\0';
	if (in->rc == 0 && len >= size)
		record_fail(in, "a string of %u bytes, at most %zu fit", len, size - 1);
	from = record_take(in, len);
	if (from && memchr(from, '\0', len)) {
		record_fail(in, "a string with a NUL in it");
		return;
	}
	if (!from)
		return;
	memcpy(dst, from, len);
	dst[len] = '\0';
}

int record_finish(const struct record_in *in)
{
	if (in->rc < 0)
		return in->rc;
	BUG_ON(in->depth > 0);
	if (in->at != in->end)
		return err_set(in->e, EBADMSG, "%zu bytes behind the last record", record_left(in));
	return 0;
}
