/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - HTTP/1.0 and 1.1 on bytes: a request's head as it arrives, a response as it leaves; no I/O
 *
 *	http_request_init(&r);
 *	n = http_request_feed(&r, bytes, len);	n < 0: r.why says what is wrong, and where the next request begins is not known
 *	r.done					the head is whole; r.body_len bytes of body come next, then the next request
 *
 * Everything the peer can raise has a limit below. Lines end with CRLF; a body's length is told by Content-Length alone:
 * a Transfer-Encoding other than identity is refused, as are two lengths that differ, so that nobody can disagree about
 * where a request ends.
 *
 * Spec: RFC 9112 §2 message, §3 request line, §5 field syntax, §6 body length; RFC 9110 §10.1.1 Expect
 */
#ifndef FMT_HTTP_H
#define FMT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

enum {
	HTTP_LINE_MAX = 1024, /* bytes of one line of the head, with its CRLF */
	HTTP_HEAD_MAX = 8192, /* bytes of all of them */
	HTTP_FIELDS_MAX = 64,
};

enum http_method { /* case-sensitive; whatever else is a token is HTTP_OTHER */
		   HTTP_OTHER,
		   HTTP_GET,
		   HTTP_HEAD,
		   HTTP_POST,
		   HTTP_PUT,
		   HTTP_PATCH,
		   HTTP_DELETE,
		   HTTP_OPTIONS,
		   HTTP_METHOD_COUNT
};

struct http_request {
	bool done;       /* the head is whole */
	const char *why; /* static; what is wrong, after a failure */

	enum http_method method;
	const char *method_name; /* as sent; this and all below point into @head */
	const char *target;      /* "/a/b?c": from the first slash of the path, not decoded */
	unsigned minor;          /* HTTP/1.@minor: 0 or 1 */
	struct {
		const char *name, *value; /* value without white space around it */
	} field[HTTP_FIELDS_MAX];
	unsigned n_fields;
	uint64_t body_len; /* bytes */
	bool has_length;   /* Content-Length was given, be it 0 */
	bool expects;      /* Expect: 100-continue: the body comes once it is answered */
	bool keep_alive;   /* the peer wants to send more: HTTP/1.1 without "close", 1.0 with "keep-alive" */

	char head[HTTP_HEAD_MAX];
	unsigned used, line; /* bytes in @head; where the line under way begins */
};

void http_request_init(struct http_request *r);

/**
 * http_request_feed() - take bytes of a head until it is whole
 * Return: bytes taken, all of them unless the head became whole (r->done): the rest is body; -EBADMSG it makes no sense,
 * -EMSGSIZE a limit: with r->why, and the connection cannot be used further
 */
ssize_t http_request_feed(struct http_request *r, const void *bytes, size_t len);

/* http_request_field() - the value of the first field of that name (any case), or NULL. */
const char *http_request_field(const struct http_request *r, const char *name);

struct http_response {
	int status;
	unsigned minor;     /* of the version in the status line: the request's */
	const char *server; /* "Firecracker API" */
	bool close;         /* Connection: close; else keep-alive */
	bool deprecated;    /* Deprecation: true */
	const char *allow;  /* Allow: "GET, PUT"; NULL: not told */
	const char *fields; /* more of them, each line with its CRLF; NULL: none */
	const char *type;   /* of the body; NULL: application/json */
	const char *body;   /* borrowed; NULL: none, and then no Content-Type nor Content-Length */
	size_t body_len;
};

/* http_response_put() - append it: "HTTP/1.1 204 \r\n", Server, Connection, Deprecation, Allow, Content-Type, Content-Length,
 * body. The reason phrase is empty. */
void http_response_put(struct buf *to, const struct http_response *r);

/* http_continue_put() - the interim answer to r->expects: "HTTP/1.1 100 \r\n" and the same fields. */
void http_continue_put(struct buf *to, unsigned minor, const char *server);

#endif
