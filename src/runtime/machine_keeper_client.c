/* SPDX-License-Identifier: Apache-2.0 */
/* machine_keeper_client.c - those who are connected to a machine's keeper; see machine_keeper.c */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "runtime/machine_internal.h"
#include "sys/sock.h"

static void on_client(void *arg, uint32_t events);

int keeper__client_add(struct keeper *k, int fd)
{
	struct keeper_client *c = k->n_clients < KEEPER_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (c) {
		c->keeper = k;
		c->file[0] = c->file[1] = -1;
		c->source = (struct loop_source){ .fd = -1, .ready = on_client, .arg = c };
	}
	if (!c || loop_add(&k->loop, &c->source, fd, EPOLLIN) < 0) {
		close(fd);
		free(c);
		return -ENOMEM;
	}
	c->next = k->clients;
	k->clients = c;
	k->n_clients++;
	return 0;
}

static void files_close(struct keeper_client *c)
{
	while (c->n_files > 0)
		fd_close(&c->file[--c->n_files]);
}

void keeper__client_close(struct keeper_client *c)
{
	struct keeper *k = c->keeper;
	bool held = c->holds;
	int fd = c->source.fd;

	for (struct keeper_client **p = &k->clients; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	k->n_clients--;
	if (k->asker == c)
		k->asker = NULL;
	loop_remove(&k->loop, &c->source);
	close(fd);
	files_close(c);
	free(c);
	if (held && !k->loop.stop)
		keeper__release(k);
}

void keeper__client_accept(void *keeper, uint32_t events)
{
	struct keeper *k = keeper;
	int fd = sock_accept(k->listener.fd);
	uid_t uid;

	(void)events;
	if (fd < 0)
		return;
	if (sock_peer_uid(fd, &uid) < 0 || (uid != geteuid() && uid != 0))
		close(fd);
	else
		keeper__client_add(k, fd);
}

void keeper__clients_want(struct keeper *k)
{
	for (struct keeper_client *c = k->clients; c; c = c->next)
		loop_want(&k->loop, &c->source, k->pending && c->input ? 0 : EPOLLIN);
}

void keeper__send(struct keeper_client *c, enum msg type, const void *bytes, size_t len)
{
	frame_send(c->source.fd, (uint8_t)type, bytes, len, -1, false);
}

static void refuse(struct keeper_client *c, int r, const char *text)
{
	struct msg_failed m = { .code = -r };

	err_set(&m.e, -r, "%s",
		r == -EBUSY && !text ? "it is just being changed, try again" :
		text                 ? text :
				       err_name(-r));
	keeper__send(c, PROTO_DONE, &m, sizeof(m));
}

static bool is_held(const struct keeper *k)
{
	for (const struct keeper_client *c = k->clients; c; c = c->next)
		if (c->holds)
			return true;
	return false;
}

static void change(struct keeper_client *c, enum keeper_task task)
{
	struct keeper *k = c->keeper;
	bool paused = k->state.status == INSTANCE_PAUSED;
	int r;

	if (is_held(k)) {
		refuse(c, -EBUSY, "a snapshot of it is being made");
		return;
	}
	if (paused == (task == TASK_PAUSE)) {
		refuse(c, -EBUSY, paused ? "it is paused already" : "it is not paused");
		return;
	}
	r = keeper__task(k, task, c, NULL, 0);
	if (r < 0)
		refuse(c, r, NULL);
}

void keeper__hold(struct keeper_client *c)
{
	static const struct msg_failed done;
	struct keeper *k = c->keeper;
	int r;

	if (is_held(k)) {
		refuse(c, -EBUSY, "a snapshot of it is being made already");
		return;
	}
	c->will_hold = k->task == TASK_RESUME; /* for whoever held it before */
	if (c->will_hold)
		return;
	if (k->state.status == INSTANCE_PAUSED) {
		keeper__send(c, PROTO_DONE, &done, sizeof(done));
		return;
	}
	r = keeper__task(k, TASK_PAUSE, c, NULL, 0);
	if (r < 0)
		refuse(c, r, NULL);
	else
		c->holds = true;
}

static void save(struct keeper_client *c, const struct msg_save *m)
{
	struct keeper *k = c->keeper;
	int r = 0;

	if (c->n_files != KEEPER_FILES || k->state.status != INSTANCE_PAUSED || k->task != TASK_NONE) {
		refuse(c, k->task != TASK_NONE ? -EBUSY : -EINVAL, NULL);
		return;
	}
	if (m->diff &&
	    (!*k->from->snapshot_id || strncmp(m->base, k->from->snapshot_id, sizeof(m->base)) != 0)) {
		refuse(c, -EINVAL, "its last snapshot is another: a difference would miss what lies between");
		return;
	}
	for (unsigned i = 0; i < KEEPER_FILES && r == 0; i++)
		r = frame_send(k->from->machine, PROTO_FILE, NULL, 0, c->file[i], false);
	files_close(c);
	str_copy(k->saving_id, sizeof(k->saving_id), m->id);
	if (r == 0)
		r = keeper__task(k, TASK_SAVE, c, m, sizeof(*m));
	if (r < 0)
		refuse(c, r, NULL);
}

static void count(struct keeper_client *c)
{
	struct keeper *k = c->keeper;
	int r = c->n_files != 1 ? -EINVAL : k->task != TASK_NONE ? -EBUSY : 0;

	if (r == 0)
		r = frame_send(k->from->machine, PROTO_FILE, NULL, 0, c->file[0], false);
	files_close(c);
	if (r == 0)
		r = keeper__task(k, TASK_COUNT, c, NULL, 0);
	if (r < 0)
		refuse(c, r, NULL);
}

/* serve() - one message. @fd: taken. Return: false when the connection is to be closed. */
static bool serve(struct keeper_client *c, uint8_t type, const char *bytes, size_t len, int fd)
{
	static const struct msg_failed done;
	struct msg_stop stop = { .timeout_s = -1 };
	struct msg_save saving = { 0 };
	auto_close int mine = fd;

	memcpy(&stop, bytes, len == sizeof(stop) ? len : 0);
	memcpy(&saving, bytes, len == sizeof(saving) ? len : 0);
	saving.id[sizeof(saving.id) - 1] = saving.base[sizeof(saving.base) - 1] = '\0';
	switch (type) {
	case PROTO_ATTACH:
		c->input = len == sizeof(struct msg_attach) && (*bytes & ATTACH_STDIN);
		c->output = len == sizeof(struct msg_attach) && (*bytes & ATTACH_STDOUT);
		return true;
	case PROTO_STDIN:
		if (c->input)
			keeper__type(c->keeper, bytes, len);
		return true;
	case PROTO_STDIN_END: /* a serial line has no end */
	case PROTO_RESIZE:
	case PROTO_PROXY: return true;
	case PROTO_KILL:
		keeper__kill(c->keeper);
		keeper__send(c, PROTO_DONE, &done, sizeof(done));
		c->waits = true;
		return true;
	case PROTO_STOP:
		c->waits = true;
		keeper__stop(c->keeper, stop.timeout_s);
		return true;
	case PROTO_WAIT: c->waits = true; return true;
	case PROTO_PAUSE: change(c, TASK_PAUSE); return true;
	case PROTO_RESUME: change(c, TASK_RESUME); return true;
	case PROTO_HOLD: keeper__hold(c); return true;
	case PROTO_FILE:
		if (c->n_files < KEEPER_FILES && mine >= 0)
			c->file[c->n_files++] = TAKE_FD(mine);
		return true;
	case PROTO_SAVE: save(c, &saving); return true;
	case PROTO_COUNT: count(c); return true;
	default: return false;
	}
}

static void on_client(void *arg, uint32_t events)
{
	static char bytes[FRAME_MAX]; /* one for all: a message is served before the next is read */
	struct keeper_client *c = arg;
	uint8_t type;
	int fd = -1;
	ssize_t n;

	(void)events;
	n = frame_recv(c->source.fd, &type, bytes, sizeof(bytes), &fd, false);
	if (n == -EAGAIN)
		return;
	if (n < 0 || !serve(c, type, bytes, (size_t)n, fd))
		keeper__client_close(c);
}
