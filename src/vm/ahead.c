/* SPDX-License-Identifier: Apache-2.0 */
/* ahead.c - a restored machine's working set: fetched by a thread of its own, or looked at after a while; see workingset.h */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/file.h"
#include "vm/jail.h"
#include "vm/machine_internal.h"
#include "vm/workingset.h"

struct machine_ahead {
	struct workingset set; /* to fetch */
	pthread_t thread;
	bool has_thread, stop;
	struct loop_timer timer; /* to look */
	int pagemap, out;        /* owned; -1: nothing to look at */
};

int machine__ahead_new(struct machine *m, const char *path, struct err *e)
{
	struct machine_ahead *a;
	auto_close int in = -1;

	if (!path)
		return 0;
	a = m->ahead = calloc(1, sizeof(*a));
	if (!a)
		return err_sys(e, ENOMEM, "a machine");
	a->pagemap = a->out = -1;
	in = file_open(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (in >= 0 && workingset_read(&a->set, in, m->source.bytes) == 0)
		return 0;
	if (in < 0 ? in != -ENOENT :
		     !workingset_is_list(in)) /* a hint only, and what is something else stays */
		return 0;
	a->pagemap = file_open(AT_FDCWD, "/proc/self/pagemap", O_RDONLY, 0);
	if (a->pagemap < 0) /* no /proc, as in a jailer's jail */
		return 0;
	if (in >= 0) /* its writer was killed, or is at it, and then it is written in vain */
		file_unlink(AT_FDCWD, path, 0);
	a->out = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (a->out >= 0)
		workingset_begin(a->out);
	return 0;
}

static void *fetch(void *arg)
{
	struct machine *m = arg;

	pthread_setname_np(pthread_self(), "fetch ahead");
	if (!m->config.jail.on || jail_filter(JAIL_FETCH, m->config.jail.trap, NULL) == 0)
		workingset_fetch(&m->ahead->set, &m->mem, &m->source, &m->ahead->stop);
	return NULL;
}

static void look(void *arg)
{
	struct machine *m = arg;
	struct workingset set;

	if (workingset_scan(&set, &m->mem, &m->source, m->ahead->pagemap) == 0)
		workingset_write(&set, m->ahead->out,
				 m->source.bytes); /* not written: the next one looks at nothing, too */
	workingset_fini(&set);
	fd_close(&m->ahead->pagemap);
	fd_close(&m->ahead->out);
}

int machine__ahead_start(struct machine *m, struct err *e)
{
	struct machine_ahead *a = m->ahead;
	int r;

	if (!a)
		return 0;
	if (a->pagemap >= 0 && a->out >= 0) {
		a->timer = (struct loop_timer){ .fire = look, .arg = m };
		loop_timer_set(m->loop, &a->timer, WORKINGSET_AFTER_NS);
	}
	if (a->set.n == 0)
		return 0;
	r = pthread_create(&a->thread, NULL, fetch, m);
	a->has_thread = r == 0;
	return r ? err_sys(e, r, "a thread") : 0;
}

void machine__ahead_stop(struct machine *m)
{
	struct machine_ahead *a = m->ahead;

	if (!a || !a->has_thread)
		return;
	__atomic_store_n(&a->stop, true, __ATOMIC_RELAXED);
	pthread_join(a->thread, NULL);
	a->has_thread = false;
}

void machine__ahead_free(struct machine *m)
{
	struct machine_ahead *a = m->ahead;

	if (!a)
		return;
	machine__ahead_stop(m);
	loop_timer_off(m->loop, &a->timer);
	workingset_fini(&a->set);
	fd_close(&a->pagemap);
	fd_close(&a->out);
	free(a);
	m->ahead = NULL;
}
