/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - one thread, many descriptors and deadlines: epoll
 *
 * Sources and timers live in their owners' structs; the loop only borrows them. A source may be removed from
 * any callback, its own too.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/time.h"

enum { LOOP_BATCH = 16 };

struct loop_source {
	int fd;          /* borrowed; -1 while not in a loop */
	uint32_t events; /* EPOLLIN, EPOLLOUT asked for */
	void (*ready)(void *arg, uint32_t events);
	void *arg;
};

struct loop_timer {
	nsec_t at; /* CLOCK_MONOTONIC; 0: off */
	void (*fire)(void *arg);
	void *arg;
	struct loop_timer *next;
};

struct loop {
	int epfd;  /* owned */
	bool stop; /* a callback sets it to make loop_run() return */
	struct loop_timer *timers;
	struct epoll_event batch[LOOP_BATCH];
	int n_batch;
};

int loop_init(struct loop *l); /* @l is {.epfd = -1} */
void loop_fini(struct loop *l);
int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events);
int loop_want(struct loop *l, struct loop_source *s, uint32_t events); /* no call when nothing changes */
void loop_remove(struct loop *l, struct loop_source *s);               /* also when it is in no loop */
void loop_timer_set(struct loop *l, struct loop_timer *t,
		    nsec_t in_ns); /* from now; replaces an earlier deadline */
void loop_timer_off(struct loop *l, struct loop_timer *t);
int loop_run(struct loop *l); /* until l->stop; -errno of epoll itself */

#endif
