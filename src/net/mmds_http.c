/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmds_http.c - what the metadata service answers to a request
 *
 * Texts and codes are those that programs in guests know from Firecracker's service; the IMDS form (names, one a line, a slash
 * behind those that have more below) is what cloud-init and its like read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"
#include "net/mmds_internal.h"

static const char TOKEN_PATH[] = "/latest/api/token";
static const char TEXT[] = "text/plain", JSON[] = "application/json";

/* Both spellings of a header, ours first: the other is what programs written for another cloud's service send. */
#define TOKEN     "X-metadata-token"
#define TOKEN_AWS "X-aws-ec2-metadata-token"
#define TTL       "X-metadata-token-ttl-seconds"
#define TTL_AWS   "X-aws-ec2-metadata-token-ttl-seconds"

struct answer {
	int status;
	const char *type;
	const char *allow;
	char fields[80];
	struct buf body;
};

static void say(struct answer *a, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void say(struct answer *a, int status, const char *fmt, ...)
{
	char text[MMDS_REQUEST_MAX];
	va_list ap;

	va_start(ap, fmt);
	str_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	a->status = status;
	a->type = TEXT;
	buf_puts(&a->body, text);
}

static const char *either(const struct http_request *r, const char *name, const char *other)
{
	const char *v = http_request_field(r, name);

	return v ? v : http_request_field(r, other);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* names() - the members of an object in the order of the alphabet, one a line. */
static void names(struct buf *to, const json_t *object)
{
	size_t n = json_object_size(object), i = 0;
	auto_free const char **all = calloc(n + 1, sizeof(*all));
	const char *key;
	json_t *value;

	if (!all) {
		to->rc = -ENOMEM;
		return;
	}
	json_object_foreach((json_t *)object, key, value) /* only read */
		all[i++] = key;
	qsort(all, n, sizeof(*all), by_name);
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(to, '\n');
		buf_puts(to, all[i]);
		if (json_is_object(json_object_get(object, all[i])))
			buf_putc(to, '/');
	}
}

/* wants_json() - Accept. Return: 1 JSON, 0 text, -1 neither of them. */
static int wants_json(const struct http_request *r)
{
	const char *v = http_request_field(r, "Accept");
	size_t n;

	if (!v)
		return 0;
	n = strcspn(v, ";, \t"); /* the first is what is preferred; its parameters do not matter */
	if (n == strlen(JSON) && strncasecmp(v, JSON, n) == 0)
		return 1;
	if ((n == strlen(TEXT) && strncasecmp(v, TEXT, n) == 0) || (n == 3 && strncmp(v, "*/*", 3) == 0))
		return 0;
	return -1;
}

static void get(const struct mmds *m, const struct http_request *r, struct answer *a)
{
	const json_t *value = mmds__lookup(m, r->target);
	int json = wants_json(r);

	if (!value) {
		say(a, 404, "Resource not found: %s.", r->target);
		return;
	}
	if (json < 0) {
		say(a, 400, "Invalid header. Reason: Unsupported Accept value: want %s or %s.", JSON, TEXT);
		return;
	}
	a->status = 200;
	if (json && !m->config.imds_compat) {
		a->type = JSON;
		mmds__text(&a->body, value);
		return;
	}
	a->type = TEXT;
	if (json_is_object(value))
		names(&a->body, value);
	else if (json_is_string(value))
		buf_puts(&a->body, json_string_value(value));
	else
		say(a, 501, "Cannot retrieve value. The value has an unsupported type.");
}

static void get_checked(struct mmds *m, struct mmds_counts *n, const struct http_request *r, struct answer *a)
{
	const char *token = either(r, TOKEN, TOKEN_AWS);
	bool v2 = m->config.version == MMDS_V2;

	n->rx_no_token += !token;
	n->rx_invalid_token += token && !mmds__token_ok(m, token);
	if (v2 && !token)
		say(a, 401,
		    "No MMDS token provided. Use `X-metadata-token` or `X-aws-ec2-metadata-token` header to "
		    "specify the session token.");
	else if (v2 && !mmds__token_ok(m, token))
		say(a, 401, "MMDS token not valid.");
	else
		get(m, r, a);
}

static void put_token(const struct mmds *m, const struct http_request *r, struct answer *a)
{
	const char *ttl = either(r, TTL, TTL_AWS);
	char token[MMDS_TOKEN_MAX];
	uint64_t s;

	if (strcmp(r->target, TOKEN_PATH) != 0) {
		say(a, 404, "Resource not found: %s.", r->target);
		return;
	}
	/* A proxy is not the guest: what it is sent may come from anywhere. */
	if (http_request_field(r, "X-Forwarded-For")) {
		say(a, 400, "Invalid header. Reason: Unsupported header name. Key: X-Forwarded-For.");
		return;
	}
	if (!ttl) {
		say(a, 400,
		    "Token time to live value not found. Use `X-metadata-token-ttl-seconds` or "
		    "`X-aws-ec2-metadata-token-ttl-seconds` header to specify the token's lifetime.");
		return;
	}
	if (str_to_u64(ttl, &s) < 0 || s < MMDS_TTL_MIN_S || s > MMDS_TTL_MAX_S) {
		say(a, 400,
		    "Invalid time to live value provided for token: %s. Please provide a value between %d "
		    "and %d.",
		    ttl, MMDS_TTL_MIN_S, MMDS_TTL_MAX_S);
		return;
	}
	mmds__token(m, (unsigned)s, token);
	say(a, 200, "%s", token);
	str_format(a->fields, sizeof(a->fields), "%s: %llu\r\n", http_request_field(r, TTL) ? TTL : TTL_AWS,
		   (unsigned long long)s);
}

static void put(struct answer *a, const struct http_request *r, bool close, struct buf *to)
{
	struct http_response h = { .status = a->status,
				   .minor = r ? r->minor : 1,
				   .server = "Firecracker API",
				   .close = close,
				   .allow = a->allow,
				   .fields = *a->fields ? a->fields : NULL,
				   .type = a->type,
				   .body = buf_str(&a->body),
				   .body_len = a->body.len };

	if (a->body.rc < 0)
		to->rc = a->body.rc;
	http_response_put(to, &h);
	buf_fini(&a->body);
}

void mmds__answer(struct mmds *m, struct mmds_counts *n, const struct http_request *r, bool close,
		  struct buf *to)
{
	struct answer a = { .status = 200 };

	if (r->method == HTTP_GET) {
		get_checked(m, n, r, &a);
	} else if (r->method == HTTP_PUT) {
		put_token(m, r, &a);
	} else {
		a.allow = "GET, PUT";
		say(&a, 405, "Not allowed HTTP method.");
	}
	put(&a, r, close, to);
}

void mmds__refuse(const char *why, struct buf *to)
{
	struct answer a = { 0 };

	say(&a, 400, "Invalid request: %s", why);
	put(&a, NULL, true, to);
}
