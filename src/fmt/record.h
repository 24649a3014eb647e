/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - versioned machine state as bytes: typed, length-prefixed records that nest
 *
 * Writing is sticky (the buf's failure is reported once, at the end); so is reading: after the first failure every read
 * returns zero, and record_finish() tells what and where. Integers are little-endian. A record is
 *
 *	tag[8] (ASCII, NUL padded)  version u16  flags u16 (bit 0: a reader that does not know the tag must refuse)
 *	length u32 of the payload   payload
 *
 * A reader skips records whose tag it was not asked for unless they are mandatory; it may stop before the payload's end
 * only when the record's version is newer than its own. The text is hostile: every length is checked against what is
 * there before it is used.
 */
#ifndef FMT_RECORD_H
#define FMT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

enum { RECORD_DEPTH_MAX = 8, RECORD_TAG_MAX = 8 };

struct record_out {
	struct buf *to; /* borrowed */
	size_t start[RECORD_DEPTH_MAX];
	int depth;
};

/* record_begin() - a reader that does not know the tag refuses; record_begin_optional(): it goes on. @version >= 1. */
void record_begin(struct record_out *o, const char *tag, uint16_t version);
void record_begin_optional(struct record_out *o, const char *tag, uint16_t version);
void record_end(struct record_out *o);
void record_put(struct record_out *o, const void *bytes, size_t len);
void record_put_u8(struct record_out *o, uint8_t v);
void record_put_u16(struct record_out *o, uint16_t v);
void record_put_u32(struct record_out *o, uint32_t v);
void record_put_u64(struct record_out *o, uint64_t v);
void record_put_str(struct record_out *o, const char *s); /* u16 length, bytes; NULL is "" */

struct record_in {
	const uint8_t *at, *end; /* of the innermost open record; borrowed */
	struct {
		const uint8_t *end;
		char tag[RECORD_TAG_MAX + 1];
		uint16_t version, newest;
	} level[RECORD_DEPTH_MAX];
	int depth;
	int rc;        /* first failure */
	struct err *e; /* borrowed; may be NULL */
};

void record_init(struct record_in *in, const void *bytes, size_t len, struct err *e);

/**
 * record_open() - go into the next record, which must be @tag; others before it that are not mandatory are skipped
 * @newest: the newest version the caller understands
 * Return: the record's version, >= 1; 0 after a failure
 */
uint16_t record_open(struct record_in *in, const char *tag, uint16_t newest);
/* record_peek() - the next record's tag into @tag[RECORD_TAG_MAX + 1]; false at the end of the open record. */
bool record_peek(struct record_in *in, char *tag);
void record_close(struct record_in *in); /* bytes left over in a record of a known version are a failure */
size_t record_left(const struct record_in *in);
void record_get(struct record_in *in, void *dst, size_t len); /* zeroes after a failure */
uint8_t record_get_u8(struct record_in *in);
uint16_t record_get_u16(struct record_in *in);
uint32_t record_get_u32(struct record_in *in);
uint64_t record_get_u64(struct record_in *in);
/* record_get_str() - into @dst of @size bytes with its NUL; too long is a failure. */
void record_get_str(struct record_in *in, char *dst, size_t size);
const void *record_take(struct record_in *in, size_t len); /* borrowed from the input; NULL after a failure */
/* record_fail() - the content makes no sense: "TAG/TAG: text". Keeps the first failure. */
void record_fail(struct record_in *in, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* record_finish() - 0, or -EBADMSG with the text set; also when there is more than the caller asked for. */
int record_finish(const struct record_in *in);

#endif
