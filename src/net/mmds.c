/* SPDX-License-Identifier: Apache-2.0 */
#include "net/mmds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "fmt/digest.h"
#include "fmt/json.h"
#include "net/mmds_internal.h"

enum { MAC_HEX = 48, TOKEN_CHARS = 16 + MAC_HEX, BLOCK = 64 };

int mmds_new(struct mmds **ret_m, size_t limit, struct err *e)
{
	struct mmds *m = calloc(1, sizeof(*m));

	if (!m)
		return err_sys(e, ENOMEM, "metadata store");
	m->limit = limit;
	m->config.ipv4_address = MMDS_ADDRESS_DEFAULT;
	if (getrandom(m->key, sizeof(m->key), 0) != sizeof(m->key)) {
		int code = errno;

		free(m);
		return err_sys(e, code, "metadata store: getrandom");
	}
	*ret_m = m;
	return 0;
}

void mmds_free(struct mmds *m)
{
	if (!m)
		return;
	json_decref(m->doc);
	explicit_bzero(m->key, sizeof(m->key));
	free(m);
}

/* Spec: RFC 3927 §2.1: the first and last 256 addresses are reserved */
int mmds_configure(struct mmds *m, const struct mmds_config *c, struct err *e)
{
	uint32_t a = c->ipv4_address ? c->ipv4_address : MMDS_ADDRESS_DEFAULT;

	if (a < 0xa9fe0100U || a > 0xa9fefeffU)
		return err_set(e, EINVAL,
			       "the MMDS IPv4 address %u.%u.%u.%u is not valid: want a link-local one",
			       a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
	m->config = *c;
	m->config.ipv4_address = a;
	return 0;
}

const struct mmds_config *mmds_config(const struct mmds *m)
{
	return &m->config;
}

bool mmds_has_data(const struct mmds *m)
{
	return m->doc != NULL;
}

static int dump(const char *bytes, size_t len, void *to)
{
	buf_put(to, bytes, len);
	return 0;
}

/* Keys in the order of the alphabet, as listings have them: what a guest sees does not depend on how it was put. */
void mmds__text(struct buf *to, const json_t *value)
{
	if (json_dump_callback(value, dump, to, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) < 0)
		to->rc = -ENOMEM;
}

void mmds_get(const struct mmds *m, struct buf *to)
{
	if (m->doc)
		mmds__text(to, m->doc);
	else
		buf_puts(to, "null");
}

/* replace() - @doc, taken, becomes the document if it fits. */
static int replace(struct mmds *m, json_t *doc, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int r;

	mmds__text(&text, doc);
	r = buf_finish(&text);
	if (r == 0 && text.len > m->limit)
		r = err_set(e, EMSGSIZE, "The MMDS patch request doesn't fit.");
	else if (r < 0)
		r = err_sys(e, -r, "metadata of %zu bytes", text.len);
	if (r < 0) {
		json_decref(doc);
		return r;
	}
	json_decref(m->doc);
	m->doc = doc;
	return 0;
}

int mmds_put(struct mmds *m, const char *json, size_t len, struct err *e)
{
	json_t *doc;
	int r = json_tree_parse(&doc, json, len, e);

	return r < 0 ? r : replace(m, doc, e);
}

/* merge() - @patch into @target (taken; NULL: there is nothing). Return: the result, the caller's; NULL: no memory.
 * Spec: RFC 7396 §2. As deep as the parser lets a document be. */
static json_t *merge(json_t *target, const json_t *patch)
{
	const char *key;
	json_t *value;

	if (!json_is_object(patch)) {
		json_decref(target);
		return json_deep_copy(patch);
	}
	if (!json_is_object(target)) {
		json_decref(target);
		target = json_object();
	}
	json_object_foreach((json_t *)patch, key, value)
	{ /* only read */
		json_t *old = json_object_get(target, key);

		if (json_is_null(value)) {
			json_object_del(target, key);
			continue;
		}
		if (json_object_set_new(target, key, merge(json_incref(old), value)) < 0) {
			json_decref(target);
			return NULL;
		}
	}
	return target;
}

int mmds_patch(struct mmds *m, const char *json, size_t len, struct err *e)
{
	json_t *patch, *doc;
	int r;

	if (!m->doc)
		return err_set(e, ENODATA, "The MMDS data store is not initialized.");
	r = json_tree_parse(&patch, json, len, e);
	if (r < 0)
		return r;
	doc = json_deep_copy(m->doc); /* the document stays as it is until the new one is known to fit */
	doc = doc ? merge(doc, patch) : NULL;
	json_decref(patch);
	return doc ? replace(m, doc, e) : err_sys(e, ENOMEM, "metadata");
}

/* --- lookup ------------------------------------------------------------------------------------------------- */

static const json_t *step(const json_t *at, const char *name)
{
	uint64_t i;

	if (json_is_object(at))
		return json_object_get(at, name);
	if (!json_is_array(at) || (name[0] == '0' && name[1]) || str_to_u64(name, &i) < 0)
		return NULL;
	return json_array_get(at, i);
}

/* Slashes that repeat count once, and one at the end for nothing; else a JSON pointer. Spec: RFC 6901 §4 */
const json_t *mmds__lookup(const struct mmds *m, const char *path)
{
	const json_t *at = m->doc;
	char name[MMDS_REQUEST_MAX];

	while (at && *path) {
		size_t n = 0;

		while (*path == '/')
			path++;
		if (!*path)
			break;
		while (*path && *path != '/') {
			if (n + 1 == sizeof(name))
				return NULL;
			if (path[0] == '~' && (path[1] == '0' || path[1] == '1'))
				name[n++] = *++path == '0' ? '~' : '/';
			else
				name[n++] = *path;
			path++;
		}
		name[n] = '\0';
		at = step(at, name);
	}
	return at;
}

/* --- tokens ------------------------------------------------------------------------------------------------- */

/*
 * A token is the time it ends (milliseconds of CLOCK_MONOTONIC) and a code over it that only this process can make. So none
 * needs to be kept, however many a guest asks for.
 */
static void code(const struct mmds *m, const char *text, char *ret_hex)
{
	uint8_t pad[BLOCK] = { 0 }, sum[SHA256_DIGEST_LENGTH];
	SHA256_CTX c;

	/* HMAC. Spec: RFC 2104 §2 */
	memcpy(pad, m->key, sizeof(m->key));
	for (size_t i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36;
	SHA256_Init(&c);
	SHA256_Update(&c, pad, BLOCK);
	SHA256_Update(&c, text, strlen(text));
	SHA256_Final(sum, &c);
	for (size_t i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&c);
	SHA256_Update(&c, pad, BLOCK);
	SHA256_Update(&c, sum, sizeof(sum));
	SHA256_Final(sum, &c);
	str_hex(ret_hex, sum, MAC_HEX / 2);
}

static uint64_t now_ms(void)
{
	return (uint64_t)(time_now_ns(CLOCK_MONOTONIC) / NSEC_PER_MSEC);
}

static void make(const struct mmds *m, uint64_t until_ms, char *ret_token)
{
	str_format(ret_token, MMDS_TOKEN_MAX, "%016llx", (unsigned long long)until_ms);
	code(m, ret_token, ret_token + 16);
}

void mmds__token(const struct mmds *m, unsigned ttl_s, char *ret_token)
{
	make(m, now_ms() + ttl_s * 1000ULL, ret_token);
}

bool mmds__token_ok(const struct mmds *m, const char *token)
{
	char want[MMDS_TOKEN_MAX];
	uint64_t until = 0;
	unsigned differ = 0;

	if (strlen(token) != TOKEN_CHARS)
		return false;
	for (int i = 0; i < 16; i++) {
		const char *digits = "0123456789abcdef", *at = strchr(digits, token[i]);

		if (!at)
			return false;
		until = until << 4 | (uint64_t)(at - digits);
	}
	make(m, until, want);
	for (int i = 0; i < TOKEN_CHARS; i++) /* takes the same time wherever they differ */
		differ |= (unsigned)(uint8_t)(want[i] ^ token[i]);
	return differ == 0 && until > now_ms();
}
