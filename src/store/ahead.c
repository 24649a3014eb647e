/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead.c - one thread reads, one takes; a ring of slots between them
 *
 * The reader owns slots [taken, filled + 1), the taker the one it was given last; @lock guards the two
 * counters and the flags, never the bytes. The first failure or end ends the reader, and is what the taker
 * finds behind the last slot.
 */
#include "store/ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct ahead {
	struct source from;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t moved;   /* either counter, or a flag */
	unsigned filled, taken; /* slots, counted from the start; filled - taken <= AHEAD_SLOTS */
	bool holding;           /* the taker has slot @taken, and gives it back at its next call */
	bool ended, stop;
	ssize_t rc; /* of the end */
	struct err e;
	size_t len[AHEAD_SLOTS];
	uint8_t slot[AHEAD_SLOTS][AHEAD_SLOT_BYTES];
};

/* put() - @len bytes into slots. Return: false when nobody wants any more */
static bool put(struct ahead *a, const uint8_t *bytes, size_t len)
{
	bool stop = false;

	while (len > 0 && !stop) {
		const size_t n = len < AHEAD_SLOT_BYTES ? len : AHEAD_SLOT_BYTES;
		unsigned i;

		pthread_mutex_lock(&a->lock);
		while (a->filled - a->taken == AHEAD_SLOTS && !a->stop)
			pthread_cond_wait(&a->moved, &a->lock);
		stop = a->stop;
		i = a->filled % AHEAD_SLOTS;
		pthread_mutex_unlock(&a->lock);
		if (stop)
			break;
		memcpy(a->slot[i], bytes, n);
		pthread_mutex_lock(&a->lock);
		a->len[i] = n;
		a->filled++;
		pthread_cond_signal(&a->moved);
		pthread_mutex_unlock(&a->lock);
		bytes += n;
		len -= n;
	}
	return !stop;
}

static void *reader(void *arg)
{
	struct ahead *a = arg;
	const uint8_t *bytes;
	struct err e = { 0 };
	ssize_t n;

	do {
		n = a->from.next(a->from.arg, &bytes, &e);
	} while (n > 0 && put(a, bytes, (size_t)n));
	pthread_mutex_lock(&a->lock);
	a->ended = true;
	a->rc = n < 0 ? n : 0;
	a->e = e;
	pthread_cond_signal(&a->moved);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

struct ahead *ahead_new(const struct source *from)
{
	struct ahead *a = malloc(sizeof(*a)); /* not zeroed: @slot is large */
	sigset_t all, old;
	int r;

	if (!a)
		return NULL;
	memset(a, 0, offsetof(struct ahead, slot));
	a->from = *from;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->moved, NULL);
	sigfillset(&all); /* signals are the callers' business */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&a->thread, NULL, reader, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		free(a);
		return NULL;
	}
	return a;
}

void ahead_free(struct ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->moved);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->moved);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static ssize_t ahead_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct ahead *a = arg;
	ssize_t n;

	pthread_mutex_lock(&a->lock);
	if (a->holding) {
		a->holding = false;
		a->taken++;
		pthread_cond_signal(&a->moved);
	}
	while (a->filled == a->taken && !a->ended)
		pthread_cond_wait(&a->moved, &a->lock);
	if (a->filled != a->taken) {
		a->holding = true;
		*ret_bytes = a->slot[a->taken % AHEAD_SLOTS];
		n = (ssize_t)a->len[a->taken % AHEAD_SLOTS];
	} else {
		n = a->rc;
		if (n < 0)
			err_set(e, (int)-n, "%s", a->e.text);
	}
	pthread_mutex_unlock(&a->lock);
	return n;
}

struct source ahead_source(struct ahead *a)
{
	return (struct source){ ahead_next, a };
}
