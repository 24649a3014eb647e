/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/digest.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/str.h"

static const struct {
	const char *prefix;
	size_t bytes;
} algs[] = {
	[DIGEST_SHA256] = { "sha256:", SHA256_DIGEST_LENGTH },
	[DIGEST_SHA512] = { "sha512:", SHA512_DIGEST_LENGTH },
};
static_assert(ARRAY_SIZE(algs) == DIGEST_ALG_COUNT, "one row for each algorithm");

void digest_init(struct digest *d, enum digest_alg alg)
{
	d->alg = alg;
	if (alg == DIGEST_SHA512)
		SHA512_Init(&d->u.sha512);
	else
		SHA256_Init(&d->u.sha256);
}

void digest_update(struct digest *d, const void *bytes, size_t len)
{
	if (d->alg == DIGEST_SHA512)
		SHA512_Update(&d->u.sha512, bytes, len);
	else
		SHA256_Update(&d->u.sha256, bytes, len);
}

void digest_final(struct digest *d, char *ret_text)
{
	unsigned char sum[SHA512_DIGEST_LENGTH];
	size_t n = strlen(algs[d->alg].prefix);

	if (d->alg == DIGEST_SHA512)
		SHA512_Final(sum, &d->u.sha512);
	else
		SHA256_Final(sum, &d->u.sha256);
	memcpy(ret_text, algs[d->alg].prefix, n);
	str_hex(ret_text + n, sum, algs[d->alg].bytes);
}

void digest_of(const void *bytes, size_t len, char *ret_text)
{
	struct digest d;

	digest_init(&d, DIGEST_SHA256);
	digest_update(&d, bytes, len);
	digest_final(&d, ret_text);
}

int digest_parse(const char *text, enum digest_alg *ret_alg, const char **ret_hex)
{
	for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
		const char *hex = str_after(text, algs[i].prefix);

		if (!hex)
			continue;
		if (strlen(hex) != 2 * algs[i].bytes || strspn(hex, "0123456789abcdef") != 2 * algs[i].bytes)
			return -EINVAL;
		if (ret_alg)
			*ret_alg = (enum digest_alg)i;
		if (ret_hex)
			*ret_hex = hex;
		return 0;
	}
	return -EINVAL;
}

bool digest_valid(const char *text)
{
	return digest_parse(text, NULL, NULL) == 0;
}
