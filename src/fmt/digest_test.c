/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"

#define SHA256_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA512_ABC                                                                                           \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                                   \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static void test_digest_gives_the_known_sums(void **state)
{
	char text[DIGEST_TEXT_SIZE];
	struct digest d;

	(void)state;
	digest_of("", 0, text);
	assert_string_equal(text, "sha256:" SHA256_EMPTY);
	digest_init(&d, DIGEST_SHA512);
	digest_update(&d, "a", 1);
	digest_update(&d, "bc", 2);
	digest_final(&d, text);
	assert_string_equal(text, "sha512:" SHA512_ABC);
}

static void test_digest_takes_only_its_grammar(void **state)
{
	static const char *const good[] = { "sha256:" SHA256_EMPTY, "sha512:" SHA512_ABC };
	static const char *const bad[] = {
		"",
		"sha256",
		"sha256:",
		SHA256_EMPTY,
		"sha256:" SHA256_EMPTY "0",
		"sha256:" SHA512_ABC,
		"sha512:" SHA256_EMPTY,
		"SHA256:" SHA256_EMPTY,
		"md5:d41d8cd98f00b204e9800998ecf8427e",
		"sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
		"sha256:../../../../../../../../../../../../../../../../../../etc/passwd",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85/",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85\n",
	};
	enum digest_alg alg = DIGEST_ALG_COUNT;
	const char *hex = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(digest_parse(good[i], &alg, &hex), 0);
	assert_int_equal(alg, DIGEST_SHA512);
	assert_string_equal(hex, SHA512_ABC);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (digest_valid(bad[i]))
			fail_msg("'%s' was taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest_gives_the_known_sums),
		cmocka_unit_test(test_digest_takes_only_its_grammar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
