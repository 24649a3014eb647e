/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_async.c - requests that run beside each other
 *
 * Theory of operation. Tables are looked up and changed at once, in memory, when a request is submitted; only the data moves through the
 * ring, in pieces (children) of one request (parent), straight from and to whichever file of the chain holds it. Copying of what
 * surrounds a new piece and decompressing are done at once, too.
 *
 * A flush with changed tables goes through states. Meanwhile whatever changes anything waits in q->held; reads go on.
 *
 *	NONE --flush--> DRAIN --no writes under way--> DATA --fdatasync done, commit--> TABLES --fdatasync done--> NONE
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blk/qcow2_internal.h"

static int need_pools(struct qcow2 *q)
{
	if (q->children)
		return 0;
	q->parents = calloc(BLK_INFLIGHT_MAX, sizeof(*q->parents));
	q->children = calloc(QCOW2_CHILDREN_MAX, sizeof(*q->children));
	if (!q->parents || !q->children) {
		free(q->parents);
		free(q->children);
		q->parents = NULL;
		q->children = NULL;
		return -ENOMEM;
	}
	for (unsigned i = 0; i < BLK_INFLIGHT_MAX; i++) {
		q->parents[i].next = q->parent_free;
		q->parent_free = &q->parents[i];
	}
	for (unsigned i = 0; i < QCOW2_CHILDREN_MAX; i++) {
		q->children[i].next = q->child_free;
		q->child_free = &q->children[i];
	}
	return 0;
}

void qcow2_async_fini(struct qcow2 *q)
{
	free(q->parents);
	free(q->children);
}

static void parent_put(struct qcow2 *q, struct qcow2_parent *p)
{
	struct blk_request *r = p->r;
	int result = p->result;

	if (--p->left > 0)
		return;
	p->next = q->parent_free;
	q->parent_free = p;
	blk_done(&q->blk, r, result);
}

static void child_settle(struct qcow2 *q, struct qcow2_child *c, int result)
{
	struct qcow2_parent *p = c->parent;

	c->next = q->child_free;
	q->child_free = c;
	if (result < 0 && p->result == 0)
		p->result = result;
	parent_put(q, p);
}

/* start_child() - @len bytes of @p's request from @skip on, at @at of @fd; by a blocking call when the pools are empty */
static uint64_t start_child(struct qcow2 *q, struct qcow2_parent *p, uint64_t skip, int fd, uint64_t at,
			    uint64_t len)
{
	const struct blk_request *r = p->r;
	struct qcow2_child *c = q->child_free;
	bool write = r->op == BLK_WRITE;
	struct iovec part[BLK_IOV_MAX];
	uint64_t got = len;
	unsigned n;

	if (c) {
		q->child_free = c->next;
		c->parent = p;
		c->r = (struct blk_request){ .op = r->op, .offset = at, .iov = r->iov, .n_iov = r->n_iov };
		if (len < r->len) {
			c->r.n_iov = iov_part(r->iov, r->n_iov, skip, len, c->iov, QCOW2_CHILD_IOV, &got);
			c->r.iov = c->iov;
		}
		c->r.len = got;
		if (aio_start(q->blk.aio, fd, &c->r) == 0) {
			p->left++;
			q->n_children++;
			q->n_writes += write;
			return got;
		}
		c->next = q->child_free;
		q->child_free = c;
	}
	n = iov_part(r->iov, r->n_iov, skip, len, part, BLK_IOV_MAX, &got);
	p->result = p->result ? p->result : plain_rw(fd, write, at, part, n, got);
	return got;
}

static void start_read(struct qcow2 *q, struct qcow2_parent *p)
{
	const struct blk_request *r = p->r;

	for (uint64_t done = 0; done < r->len && p->result == 0;) {
		struct blk_run run;
		int rc = map_read(q, r->offset + done, r->len - done, &run);

		if (rc == 0 && run.kind == BLK_RUN_FILE)
			run.len = start_child(q, p, done, run.fd, run.at, run.len);
		else if (rc == 0)
			rc = qcow2_read(q, r->offset + done, r->iov, r->n_iov, done, run.len);
		if (rc < 0)
			p->result = rc;
		else
			done += run.len;
	}
}

static void start_write(struct qcow2 *q, struct qcow2_parent *p)
{
	const struct blk_request *r = p->r;

	for (uint64_t done = 0; done < r->len && p->result == 0;) {
		uint64_t at, run, sent = 0;
		int rc = map_write(q, r->offset + done, r->len - done, &at, &run);

		if (rc < 0) {
			p->result = rc;
			return;
		}
		while (sent < run && p->result == 0)
			sent += start_child(q, p, done + sent, q->blk.fd, at + sent, run - sent);
		done += run;
	}
}

/* --- flush ------------------------------------------------------------------------------------------------ */

static void flush_go(struct qcow2 *q);

/* flush_sync() - fdatasync(2) through the ring; at once when the ring is full */
static void flush_sync(struct qcow2 *q, enum qcow2_flush state)
{
	q->flush = state;
	q->sync = (struct blk_request){ .op = BLK_FLUSH };
	if (!q->blk.no_sync && aio_start(q->blk.aio, q->blk.fd, &q->sync) == 0)
		return;
	qcow2_async_done(&q->blk, &q->sync, q->blk.no_sync ? 0 : plain_sync(q->blk.fd));
}

/* flush_end() - tell who asked, and let go who waits */
static void flush_end(struct qcow2 *q, int result)
{
	struct blk_request *done = q->flushing, *r = q->held;

	q->flush = QCOW2_FLUSH_NONE;
	q->flushing = NULL;
	q->hold = false;
	q->held = q->held_last = NULL;
	if (done)
		blk_done(&q->blk, done, result);
	while (r) {
		struct blk_request *next = (struct blk_request *)(uintptr_t)r->cookie;

		qcow2_async_submit(&q->blk, r);
		r = next;
	}
}

static void flush_synced(struct qcow2 *q, int result)
{
	if (result < 0) {
		flush_end(q, result); /* the tables stay as they are in memory: another flush tries again */
		return;
	}
	if (q->flush == QCOW2_FLUSH_TABLES) {
		meta_give_back(q);
		flush_end(q, 0);
		return;
	}
	result = meta_commit(q);
	if (result < 0)
		flush_end(q, result);
	else
		flush_sync(q, QCOW2_FLUSH_TABLES);
}

static void flush_go(struct qcow2 *q)
{
	if (q->flush == QCOW2_FLUSH_DRAIN && q->n_writes == 0)
		flush_sync(q, QCOW2_FLUSH_DATA);
}

static void flush_begin(struct qcow2 *q, struct blk_request *r)
{
	q->flushing = r;
	q->hold = true;
	q->flush = QCOW2_FLUSH_DRAIN;
	flush_go(q);
}

static void hold(struct qcow2 *q, struct blk_request *r)
{
	r->cookie = 0;
	if (q->held_last)
		q->held_last->cookie = (uintptr_t)r;
	else
		q->held = r;
	q->held_last = r;
}

void qcow2_async_drain(struct qcow2 *q)
{
	while (q->blk.aio && (q->n_writes > 0 || q->flush != QCOW2_FLUSH_NONE))
		if (aio_reap(q->blk.aio, true, qcow2_async_done, q) < 0)
			break;
}

void qcow2_async_done(void *b, struct blk_request *r, int result)
{
	struct qcow2 *q = b;

	if (r == &q->sync) {
		flush_synced(q, result);
		return;
	}
	q->n_children--;
	q->n_writes -= r->op == BLK_WRITE;
	child_settle(q, (struct qcow2_child *)r, result);
	flush_go(q);
}

/* --- submit ----------------------------------------------------------------------------------------------- */

static void submit_moving(struct qcow2 *q, struct blk_request *r)
{
	struct qcow2_parent *p = need_pools(q) == 0 ? q->parent_free : NULL;

	if (!p) {
		blk_done(&q->blk, r,
			 r->op == BLK_WRITE ? qcow2_write(q, r->offset, r->iov, r->n_iov, 0, r->len) :
					      qcow2_read(q, r->offset, r->iov, r->n_iov, 0, r->len));
		return;
	}
	q->parent_free = p->next;
	*p = (struct qcow2_parent){ .r = r, .left = 1 };
	if (r->op == BLK_WRITE)
		start_write(q, p);
	else
		start_read(q, p);
	parent_put(q, p);
}

/* start_flush() - Return: false: no room for it */
static bool start_flush(struct qcow2 *q, struct blk_request *r)
{
	struct qcow2_parent *p = q->parent_free;
	struct qcow2_child *c = q->child_free;

	if (!c)
		return false;
	c->r = (struct blk_request){ .op = BLK_FLUSH };
	if (aio_start(q->blk.aio, q->blk.fd, &c->r) < 0)
		return false;
	q->child_free = c->next;
	q->parent_free = p->next;
	*p = (struct qcow2_parent){ .r = r, .left = 1 };
	c->parent = p;
	q->n_children++;
	return true;
}

/* submit_flush() - nothing changed but data: one fdatasync(2), beside everything else */
static void submit_flush(struct qcow2 *q, struct blk_request *r)
{
	if (q->failed)
		blk_done(&q->blk, r, -EIO);
	else if (meta_is_dirty(q))
		flush_begin(q, r);
	else if (q->blk.no_sync)
		blk_done(&q->blk, r, 0);
	else if (need_pools(q) < 0 || !q->parent_free || !start_flush(q, r))
		blk_done(&q->blk, r, plain_sync(q->blk.fd));
}

int qcow2_async_submit(struct blk *b, struct blk_request *r)
{
	struct qcow2 *q = qcow2_of(b);

	if (r->op == BLK_READ) {
		submit_moving(q, r);
		return 0;
	}
	if (!q->hold && r->op != BLK_FLUSH && q->meta.n_dirty >= META_DIRTY_MAX)
		flush_begin(q, NULL); /* a commit is due */
	if (q->hold) {
		hold(q, r);
		return 0;
	}
	switch (r->op) {
	case BLK_WRITE: submit_moving(q, r); break;
	case BLK_FLUSH: submit_flush(q, r); break;
	case BLK_DISCARD: blk_done(b, r, qcow2_discard_range(q, r->offset, r->len)); break;
	default: blk_done(b, r, qcow2_zero(q, r->offset, r->len, r->unmap));
	}
	return 0;
}
