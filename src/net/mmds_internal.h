/* SPDX-License-Identifier: Apache-2.0 */
/* mmds_internal.h - what the store, the answers and the responder know of each other */
#ifndef NET_MMDS_INTERNAL_H
#define NET_MMDS_INTERNAL_H

#include <jansson.h>

#include "net/mmds.h"

enum { MMDS_KEY_BYTES = 32 };

struct mmds {
	struct mmds_config config;
	size_t limit;
	json_t *doc; /* owned; NULL: nothing was put */
	uint8_t key
		[MMDS_KEY_BYTES]; /* of the tokens; never leaves the process, so a clone knows none of its parent's */
};

struct http_request;

/* mmds__lookup() - the value at a path as a guest writes it; NULL: there is none. Borrowed. */
const json_t *mmds__lookup(const struct mmds *m, const char *path);
void mmds__text(struct buf *to, const json_t *value);

/* mmds__answer() - the whole HTTP response to a request whose head is whole. @close: the connection ends behind it. */
void mmds__answer(struct mmds *m, struct mmds_counts *n, const struct http_request *r, bool close,
		  struct buf *to);
/* mmds__refuse() - 400 with @why to bytes that are no request; the connection ends. */
void mmds__refuse(const char *why, struct buf *to);

void mmds__token(const struct mmds *m, unsigned ttl_s, char *ret_token); /* MMDS_TOKEN_MAX bytes */
bool mmds__token_ok(const struct mmds *m, const char *token);

#endif
