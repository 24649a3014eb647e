/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>

#include "base/bug.h"
#include "base/guard.h"
#include "sys/call.h"

/* syscalls(loop): epoll_ctl epoll_wait epoll_pwait read write */
int loop_init(struct loop *l)
{
	int fd = (int)SYS1(SYS_epoll_create1, EPOLL_CLOEXEC);

	l->epfd = fd;
	return fd < 0 ? fd : 0;
}

void loop_fini(struct loop *l)
{
	fd_close(&l->epfd);
	l->timers = NULL;
}

static int control(struct loop *l, int op, struct loop_source *s)
{
	struct epoll_event ev = { .events = s->events, .data.ptr = s };

	return (int)SYS4(SYS_epoll_ctl, l->epfd, op, s->fd, &ev);
}

int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events)
{
	int r;

	s->fd = fd;
	s->events = events;
	r = control(l, EPOLL_CTL_ADD, s);
	if (r < 0)
		s->fd = -1;
	return r;
}

int loop_want(struct loop *l, struct loop_source *s, uint32_t events)
{
	if (s->fd < 0 || s->events == events)
		return 0;
	s->events = events;
	return control(l, EPOLL_CTL_MOD, s);
}

void loop_remove(struct loop *l, struct loop_source *s)
{
	if (s->fd < 0)
		return;
	control(l, EPOLL_CTL_DEL, s);
	s->fd = -1;
	for (int i = 0; i < l->n_batch; i++) /* it may be ready in the batch that is being served */
		if (l->batch[i].data.ptr == s)
			l->batch[i].data.ptr = NULL;
}

void loop_timer_off(struct loop *l, struct loop_timer *t)
{
	for (struct loop_timer **p = &l->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	t->at = 0;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, nsec_t in_ns)
{
	struct loop_timer **p = &l->timers;

	loop_timer_off(l, t);
	t->at = time_now_ns(CLOCK_MONOTONIC) + (in_ns > 0 ? in_ns : 0);
	while (*p && (*p)->at <= t->at)
		p = &(*p)->next;
	t->next = *p;
	*p = t;
}

/* fire_due() - every deadline that has passed. Return: ms until the next one, -1: none. */
static int fire_due(struct loop *l)
{
	while (l->timers && !l->stop) {
		struct loop_timer *t = l->timers;
		nsec_t left = t->at - time_now_ns(CLOCK_MONOTONIC);

		if (left > 0)
			return left / NSEC_PER_MSEC >= INT_MAX ?
				       INT_MAX :
				       (int)((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
		loop_timer_off(l, t);
		t->fire(t->arg);
	}
	return -1;
}

int loop_run(struct loop *l)
{
	while (!l->stop) {
		int wait_ms = fire_due(l);
		long n;

		if (l->stop)
			break;
		n = SYS6(SYS_epoll_pwait, l->epfd, l->batch, LOOP_BATCH, wait_ms, NULL, 0);
		if (n < 0 && n != -EINTR)
			return (int)n;
		l->n_batch = n < 0 ? 0 : (int)n;
		for (int i = 0; i < l->n_batch && !l->stop; i++) {
			struct loop_source *s = l->batch[i].data.ptr;

			if (s)
				s->ready(s->arg, l->batch[i].events);
		}
		l->n_batch = 0;
	}
	return 0;
}
