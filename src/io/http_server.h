/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_server.h - HTTP/1.x on a Unix socket, served by the loop's one thread: one request after the other, one handler
 *
 * Connections stay open, requests may be sent before the last one is answered, Expect: 100-continue is answered. A request
 * that is no HTTP, is of a method nobody serves, or has a body beyond the limit gets 400 and {"error": "..."}; where the
 * next request begins is not known then, so the connection ends. A connection beyond the limit gets 503 and ends.
 */
#ifndef IO_HTTP_SERVER_H
#define IO_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct err;
struct http_request;
struct http_server;
struct loop;

enum {
	HTTP_SERVER_CONNECTIONS_MAX = 64,
	HTTP_SERVER_OUT_MAX = 1 << 20, /* bytes of answers that wait before a connection's requests wait */
};

struct http_server_peer {
	uid_t uid;
	pid_t pid;
};

struct http_server_request {
	const struct http_request *head; /* borrowed, as the body is, until the handler returns */
	const char *body;                /* NUL behind it; NULL: none was sent */
	size_t len;
	struct http_server_peer peer;
};

struct http_server_reply {
	int status;      /* 200 unless the handler says otherwise */
	bool has_body;   /* @body is sent, be it empty */
	bool deprecated; /* Deprecation: true */
	struct buf body;
};

struct http_server_config {
	const char *name;     /* of the Server field; borrowed for good */
	size_t body_max;      /* bytes */
	unsigned connections; /* at most, 1 to HTTP_SERVER_CONNECTIONS_MAX */
	unsigned methods;     /* 1 << HTTP_GET | ... */
	/* serve() - one request; may stop the loop, not close the server. */
	void (*serve)(void *arg, const struct http_server_request *q, struct http_server_reply *ret);
	/* refused() - a request that never became one; may be NULL. */
	void (*refused)(void *arg, const char *why);
	/* may() - is this peer served? NULL: whoever could open the socket. One that is not gets 403. */
	bool (*may)(void *arg, const struct http_server_peer *peer);
	void *arg;
};

/* http_server_open() - @listener: a listening stream socket; taken, also on failure. */
int http_server_open(struct http_server **ret_s, struct loop *loop, int listener,
		     const struct http_server_config *c, struct err *e);

/* http_server_close() - what is answered already is sent first, for at most a second. Takes NULL. */
void http_server_close(struct http_server *s);

#endif
