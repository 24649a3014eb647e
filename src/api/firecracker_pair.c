/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firecracker_pair.c - messages between the API process and the machine's process, and the machine's side of them
 *
 * syscalls(api): read write recvmsg
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"
#include "io/http_server.h"
#include "sys/file.h"
#include "sys/sock.h"

/* --- frames --------------------------------------------------------------------------------------------------- */

int fc__msg_send(int fd, enum fc_msg_kind kind, const struct fc_part *part, unsigned n)
{
	struct fc_msg m = { .kind = kind };
	int r;

	for (unsigned i = 0; i < n; i++)
		m.len += part[i].len;
	r = file_write(fd, &m, sizeof(m));
	for (unsigned i = 0; i < n && r >= 0; i++)
		if (part[i].len)
			r = file_write(fd, part[i].bytes, part[i].len);
	return r < 0 ? r : 0;
}

/* read_all() - Return: 0; -EPIPE the peer is gone; -errno. */
static int read_all(int fd, void *dst, size_t len)
{
	ssize_t n = file_read(fd, dst, len);

	return n < 0 ? (int)n : (size_t)n < len ? -EPIPE : 0;
}

int fc__msg_head(int fd, struct fc_msg *ret_m)
{
	return read_all(fd, ret_m, sizeof(*ret_m));
}

int fc__msg_body(int fd, uint64_t len, struct buf *b)
{
	while (len > 0) { /* bit by bit: room is made for what has come, not for what was promised */
		size_t n = len < FC_MSG_READ_BYTES ? (size_t)len : FC_MSG_READ_BYTES;
		void *at = buf_room(b, n);
		int r = at ? read_all(fd, at, n) : -ENOMEM;

		if (r < 0)
			return r;
		b->len += n;
		len -= n;
	}
	return buf_finish(b);
}

/* --- the machine's side --------------------------------------------------------------------------------------- */

int fc__ask(struct fc *f, enum fc_file which)
{
	const uint32_t file = which;
	const struct fc_part part = { &file, sizeof(file) };
	struct {
		struct fc_msg m;
		int64_t rc;
	} got;
	int fd = -1;
	ssize_t n = fc__msg_send(f->pair, FC_MSG_OPEN, &part, 1);

	if (n == 0)
		n = sock_recv_fd(f->pair, &got, sizeof(got), &fd);
	if (n < 0)
		return (int)n;
	if (n != sizeof(got) || got.m.kind != FC_MSG_FILE || (got.rc >= 0) != (fd >= 0)) {
		fd_close(&fd);
		return -EPROTO;
	}
	return fd >= 0 ? fd : (int)got.rc;
}

int fc__open_fd(struct fc *f, enum fc_file which, const char *path, int flags)
{
	if (!f->m)
		return file_open(AT_FDCWD, path, flags | O_CLOEXEC | O_NOCTTY, 0644);
	return f->pair < 0 ? -EPERM : fc__ask(f, which);
}

int fc__tell_runs(struct fc *f, struct err *e)
{
	const struct machine_config *c = fc__config(f);
	struct fc_msg_drive d[MACHINE_DRIVES_MAX] = { 0 };
	struct fc_part part = { d, c->n_drives * sizeof(d[0]) };
	int r;

	if (f->pair < 0)
		return 0;
	for (unsigned i = 0; i < c->n_drives; i++) {
		str_copy(d[i].id, sizeof(d[i].id), c->drive[i].id);
		d[i].readonly = c->drive[i].readonly;
	}
	r = fc__msg_send(f->pair, FC_MSG_RUNS, &part, 1);
	return r < 0 ? err_sys(e, -r, "the API's process") : 0;
}

/* answer() - one request that came over the pair. */
static int answer(struct fc *f, struct buf *b)
{
	static const char *const name[HTTP_METHOD_COUNT] = {
		[HTTP_GET] = "GET", [HTTP_PUT] = "PUT", [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE"
	};
	auto_free struct http_request *head = calloc(1, sizeof(*head));
	struct http_server_request q = { .head = head };
	struct http_server_reply reply = { .status = 200 };
	struct fc_msg_request m;
	struct fc_msg_reply to = { 0 };
	size_t at = sizeof(m);
	int r;

	if (!head)
		return -ENOMEM;
	if (b->len < sizeof(m))
		return -EPROTO;
	memcpy(&m, b->data, sizeof(m));
	if (m.method >= HTTP_METHOD_COUNT || !name[m.method] || m.target_len == 0 ||
	    m.target_len > b->len - at || b->data[at + m.target_len - 1] != '\0')
		return -EPROTO;
	head->method = (enum http_method)m.method;
	head->method_name = name[m.method];
	head->target = b->data + at;
	at += m.target_len;
	q.body = m.has_body ? buf_str(b) + at : NULL;
	q.len = b->len - at;
	q.peer = (struct http_server_peer){ .uid = m.uid, .pid = m.pid };
	f->since = m.since;
	fc__serve(f, &q, &reply);
	f->since = 0;
	r = buf_finish(&reply.body);
	to.status = r < 0 ? 500 : (uint32_t)reply.status;
	to.has_body = r == 0 && reply.has_body;
	to.deprecated = reply.deprecated;
	r = fc__msg_send(
		f->pair, FC_MSG_REPLY,
		(const struct fc_part[]){ { &to, sizeof(to) },
					  { buf_str(&reply.body), to.has_body ? reply.body.len : 0 } },
		2);
	buf_fini(&reply.body);
	return r;
}

static void pair_ready(void *arg, uint32_t events)
{
	struct fc *f = arg;
	auto_fini(buf) struct buf b = { 0 };
	struct fc_msg m;
	int r = fc__msg_head(f->pair, &m);

	(void)events;
	if (r == 0)
		r = fc__msg_body(f->pair, m.len, &b);
	if (r == 0 && m.kind == FC_MSG_REQUEST)
		r = answer(f, &b);
	else if (r == 0 && m.kind == FC_MSG_REFUSED)
		fc__refused(f, buf_str(&b));
	else if (r == 0)
		r = -EPROTO;
	if (r == 0)
		return;
	loop_remove(&f->loop, &f->pair_source); /* nobody is there any more to serve the API */
	err_sys(&f->why, -r, "the API's process");
	fc__end(f, FC_EXIT_GENERIC);
}

int fc__pair_open(struct fc *f, struct err *e)
{
	int r;

	if (f->pair < 0)
		return 0;
	f->pair_source = (struct loop_source){ .fd = -1, .ready = pair_ready, .arg = f };
	r = loop_add(&f->loop, &f->pair_source, f->pair, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "event loop") : 0;
}
