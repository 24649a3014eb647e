/* SPDX-License-Identifier: Apache-2.0 */
/* digest.h - content digests: "sha256:<64 hex>" and "sha512:<128 hex>"; no unchecked one may become a path */
#ifndef FMT_DIGEST_H
#define FMT_DIGEST_H

#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>

enum digest_alg { DIGEST_SHA256, DIGEST_SHA512, DIGEST_ALG_COUNT };

enum {
	DIGEST_SHA256_SIZE = 72, /* "sha256:" + 64 hex + NUL */
	DIGEST_TEXT_SIZE = 136,  /* the longest one and its NUL */
};

struct digest {
	enum digest_alg alg;
	union {
		SHA256_CTX sha256;
		SHA512_CTX sha512;
	} u;
};

void digest_init(struct digest *d, enum digest_alg alg);
void digest_update(struct digest *d, const void *bytes, size_t len);

/*
 * digest_final() - the text of what went in; @ret_text holds DIGEST_TEXT_SIZE (SHA-256: DIGEST_SHA256_SIZE is
 * enough).
 */
void digest_final(struct digest *d, char *ret_text);

/* digest_of() - SHA-256 of bytes at hand; @ret_text holds DIGEST_SHA256_SIZE. */
void digest_of(const void *bytes, size_t len, char *ret_text);

/**
 * digest_parse() - check the grammar: a known algorithm, ':', exactly its number of lower-case hex digits
 * @ret_alg, @ret_hex: may be NULL; *ret_hex points into @text
 * Return: 0; -EINVAL
 * Spec:   OCI image-spec descriptor.md "Digests"
 */
int digest_parse(const char *text, enum digest_alg *ret_alg, const char **ret_hex);
bool digest_valid(const char *text);

#endif
