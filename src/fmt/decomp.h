/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decomp.h - gzip, zstd, xz, lz4 (its legacy frame) or nothing: told by the first bytes, decoded as a stream
 *
 * Several gzip members, zstd frames (skippable ones too) or xz streams behind one another are one stream, as
 * their tools have it. Bytes behind the end that begin none are an error: a layer has no tail that nobody
 * looks at.
 */
#ifndef FMT_DECOMP_H
#define FMT_DECOMP_H

#include "fmt/source.h"

struct decomp;

/* What a decoder may take for its window; a hostile header asks for more and is refused. */
enum { DECOMP_WINDOW_LOG_MAX = 27, DECOMP_XZ_MEM_MAX = 192 << 20 };

/**
 * decomp_new() - a decoder for what @from gives
 * @from: copied; what it points to is borrowed. Its first run holds 6 bytes, unless the whole stream is
 *        shorter.
 * Return: 0; -EBADMSG, -ENOMEM or what @from says, with @e set
 */
int decomp_new(struct decomp **ret_d, const struct source *from, struct err *e);
/* decomp_new_as() - the same, without looking: one of decomp_name()'s, or "lzma". -EOPNOTSUPP: no such decoder */
int decomp_new_as(struct decomp **ret_d, const struct source *from, const char *name, struct err *e);
void decomp_free(struct decomp *d);

/* decomp_source() - the decoded bytes; borrows @d. Damaged or cut input is -EBADMSG. */
struct source decomp_source(struct decomp *d);

/* decomp_name() - "gzip", "zstd", "xz", "lz4", "lzma" or "plain" */
const char *decomp_name(const struct decomp *d);

#endif
