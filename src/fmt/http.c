/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: bytes are copied into the request's own head, line by line; a line that is whole is checked and cut
 * into strings in place (its CR becomes the NUL). An empty line ends the head. After a failure nothing moves any more.
 */
#include "fmt/http.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/str.h"

static const char *const method_name[HTTP_METHOD_COUNT] = {
	[HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
	[HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
};

void http_request_init(struct http_request *r)
{
	/* not the whole of it: @head and @field are written before they are read */
	memset(r, 0, offsetof(struct http_request, field));
	r->n_fields = 0;
	r->body_len = 0;
	r->has_length = r->expects = r->keep_alive = false;
	r->used = r->line = 0;
}

static int bad(struct http_request *r, int code, const char *why)
{
	r->why = why;
	return -code;
}

/* is_token() - Spec: RFC 9110 §5.6.2 */
static bool is_token(const char *s)
{
	static const char mark[] = "!#$%&'*+-.^_`|~";

	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z') ||
		      strchr(mark, *s)))
			return false;
	return true;
}

/* clean() - no byte that could end a string or a line behind our back. */
static bool clean(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* take_target() - the path in origin form, or out of "http://host/path". Spec: RFC 9112 §3.2 */
static int take_target(struct http_request *r, const char *t)
{
	const char *host = str_after(t, "http://");

	if (host) {
		t = strchr(host, '/');
		if (!t)
			t = "/";
	}
	if (*t != '/')
		return bad(r, EBADMSG, "Invalid URI: a path is wanted");
	r->target = t;
	return 0;
}

static int request_line(struct http_request *r, char *line)
{
	char *target = strchr(line, ' '), *version;

	if (!target)
		return bad(r, EBADMSG, "Invalid request line");
	*target++ = '\0';
	version = strchr(target, ' ');
	if (!version)
		return bad(r, EBADMSG, "Invalid request line");
	*version++ = '\0';
	if (!is_token(line))
		return bad(r, EBADMSG, "Invalid HTTP method");
	r->method_name = line;
	r->method = HTTP_OTHER;
	for (int m = HTTP_OTHER + 1; m < HTTP_METHOD_COUNT; m++)
		if (str_eq(line, method_name[m]))
			r->method = (enum http_method)m;
	if (str_eq(version, "HTTP/1.1"))
		r->minor = 1;
	else if (str_eq(version, "HTTP/1.0"))
		r->minor = 0;
	else
		return bad(r, EBADMSG, "Unsupported HTTP version");
	r->keep_alive = r->minor == 1;
	return take_target(r, target);
}

static int content_length(struct http_request *r, const char *value)
{
	uint64_t n;

	if (*value < '0' || *value > '9' || str_to_u64(value, &n) < 0)
		return bad(r, EBADMSG, "Invalid value in Content-Length");
	if (r->has_length && n != r->body_len)
		return bad(r, EBADMSG, "Two Content-Lengths that differ");
	r->has_length = true;
	r->body_len = n;
	return 0;
}

/* lists() - is @word one of the comma-separated words of @value? */
static bool lists(const char *value, const char *word)
{
	size_t len = strlen(word);

	while (*value) {
		size_t n;

		value += strspn(value, " \t,");
		n = strcspn(value, " \t,");
		if (n == len && strncasecmp(value, word, n) == 0)
			return true;
		value += n;
	}
	return false;
}

/* known_field() - what changes how the bytes that follow are read. */
static int known_field(struct http_request *r, const char *name, const char *value)
{
	if (strcasecmp(name, "Content-Length") == 0)
		return content_length(r, value);
	if (strcasecmp(name, "Transfer-Encoding") == 0 && strcasecmp(value, "identity") != 0)
		return bad(r, EBADMSG, "Transfer-Encoding is not supported");
	if (strcasecmp(name, "Expect") == 0 && strcasecmp(value, "100-continue") == 0)
		r->expects = r->minor == 1; /* RFC 9110 §10.1.1: not for 1.0 */
	if (strcasecmp(name, "Connection") == 0) {
		if (lists(value, "close"))
			r->keep_alive = false;
		else if (lists(value, "keep-alive"))
			r->keep_alive = true;
	}
	return 0;
}

static int field_line(struct http_request *r, char *line, size_t len)
{
	char *value = strchr(line, ':'), *end = line + len;

	if (!value)
		return bad(r, EBADMSG, "Invalid header: no colon");
	*value++ = '\0';
	if (!is_token(line))
		return bad(r, EBADMSG,
			   "Invalid header name"); /* a folded line, too: it begins with a space */
	value += strspn(value, " \t");
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	if (r->n_fields == HTTP_FIELDS_MAX)
		return bad(r, EMSGSIZE, "Too many headers");
	r->field[r->n_fields].name = line;
	r->field[r->n_fields++].value = value;
	return known_field(r, line, value);
}

/* line_done() - a whole line stands at r->line, its CRLF the last bytes of what is there. */
static int line_done(struct http_request *r)
{
	char *line = r->head + r->line;
	size_t len = r->used - r->line - 2;

	line[len] = '\0';
	r->line = r->used;
	if (!clean(line, len))
		return bad(r, EBADMSG, "Invalid byte in a line of the request");
	if (!r->method_name)
		return len == 0 ? bad(r, EBADMSG, "Invalid request line") : request_line(r, line);
	if (len > 0)
		return field_line(r, line, len);
	r->done = true;
	return 0;
}

ssize_t http_request_feed(struct http_request *r, const void *bytes, size_t len)
{
	const char *from = bytes;
	size_t i = 0;

	while (i < len && !r->done && !r->why) {
		char c = from[i++];

		if (r->used - r->line >= HTTP_LINE_MAX)
			return bad(r, EMSGSIZE, "A line of the request is longer than 1024 bytes");
		if (r->used >= HTTP_HEAD_MAX)
			return bad(r, EMSGSIZE, "The request's headers are longer than 8192 bytes");
		r->head[r->used++] = c;
		if (c == '\n') {
			int rc;

			if (r->used - r->line < 2 || r->head[r->used - 2] != '\r')
				return bad(r, EBADMSG, "A line of the request does not end with CRLF");
			rc = line_done(r);
			if (rc < 0)
				return rc;
		}
	}
	return r->why ? -EBADMSG : (ssize_t)i;
}

const char *http_request_field(const struct http_request *r, const char *name)
{
	for (unsigned i = 0; i < r->n_fields; i++)
		if (strcasecmp(r->field[i].name, name) == 0)
			return r->field[i].value;
	return NULL;
}

static void put_status(struct buf *to, unsigned minor, int status, const char *server, bool close)
{
	buf_printf(to, "HTTP/1.%u %d \r\nServer: %s\r\nConnection: %s\r\n", minor, status, server,
		   close ? "close" : "keep-alive");
}

void http_response_put(struct buf *to, const struct http_response *r)
{
	put_status(to, r->minor, r->status, r->server, r->close);
	if (r->deprecated)
		buf_puts(to, "Deprecation: true\r\n");
	if (r->allow)
		buf_printf(to, "Allow: %s\r\n", r->allow);
	if (r->fields)
		buf_puts(to, r->fields);
	if (r->body)
		buf_printf(to, "Content-Type: %s\r\nContent-Length: %zu\r\n",
			   r->type ? r->type : "application/json", r->body_len);
	buf_puts(to, "\r\n");
	if (r->body)
		buf_put(to, r->body, r->body_len);
}

void http_continue_put(struct buf *to, unsigned minor, const char *server)
{
	put_status(to, minor, 100, server, false);
	buf_puts(to, "\r\n");
}
