/* SPDX-License-Identifier: Apache-2.0 */
/* console_fuzz.c - a guest that writes its rings as it likes, and a terminal that comes and goes: the input is a program of both */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "base/guard.h"
#include "virtio/console.h"
#include "virtio/driver_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RXQ, TXQ, BUF_BYTES = 1 << 17 };

struct input {
	const uint8_t *p;
	size_t left;
};

static struct driver t;
static struct loop loop;
static int in[2], out[2];
static gpa_t buf;

static uint8_t take(struct input *k)
{
	if (k->left == 0)
		return 0;
	k->left--;
	return *k->p++;
}

/* chain() - up to four segments, the later ones perhaps for the device to write */
static void chain(struct input *k)
{
	uint8_t what = take(k);
	unsigned q = what & 1, n = 1 + (what >> 1 & 3), write_from = what >> 3 & 7;
	struct driver_buf b[4];

	for (unsigned i = 0; i < n; i++)
		b[i] = (struct driver_buf){ buf + take(k), (uint32_t)take(k) << (take(k) & 8),
					    i >= write_from };
	driver_add(&t, q, b, n);
	driver_kick(&t, q);
}

/* scribble() - over a ring, behind the driver's back */
static void scribble(struct input *k)
{
	struct driver_queue *q = &t.q[take(k) & 1];
	uint8_t *p = take(k) & 1 ? (uint8_t *)q->avail : (uint8_t *)q->desc;

	p[take(k)] = take(k);
	driver_kick(&t, RXQ);
	driver_kick(&t, TXQ);
}

static void host(struct input *k)
{
	static uint8_t block[70000];

	switch (take(k) & 3) {
	case 0: (void)!write(in[1], block, (size_t)take(k) << 5); break;
	case 1: (void)!read(out[0], block, (size_t)take(k) << 8); break;
	case 2: fd_close(&in[1]); break;
	default: fd_close(&out[0]); break;
	}
}

static void step(struct input *k)
{
	uint8_t word[4] = { 0 };

	switch (take(k) & 7) {
	case 0:
	case 1: chain(k); break;
	case 2: scribble(k); break;
	case 3: host(k); break;
	case 4: driver_wait(&t, RXQ, 0); break;
	case 5:
		word[0] = take(k);
		vdev_config_write(t.d, take(k), word, 1U << (take(k) % 3));
		vdev_config_read(t.d, take(k), word, sizeof(word));
		break;
	case 6: console_resize(t.d, take(k), take(k)); break;
	default:
		vdev_pause(t.d);
		vdev_resume(t.d);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input k = { data, size };
	struct console_config c = { 0 };
	struct vdev *d = NULL;

	signal(SIGPIPE, SIG_IGN);
	loop = (struct loop){ .epfd = -1 };
	BUG_ON(loop_init(&loop) < 0 || pipe2(in, O_CLOEXEC | O_NONBLOCK) < 0 ||
	       pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0);
	driver_init(&t, 4 << 20);
	c.in_fd = in[0];
	c.out_fd = out[1];
	BUG_ON(console_new(&d, &c, &t.mem, &loop, NULL) < 0);
	driver_start(&t, d, driver_layouts[take(&k) % DRIVER_LAYOUTS].features);
	buf = driver_alloc(&t, BUF_BYTES, 16);
	while (k.left > 0)
		step(&k);
	driver_fini(&t);
	loop_fini(&loop);
	for (int i = 0; i < 2; i++) {
		fd_close(&in[i]);
		fd_close(&out[i]);
	}
	return 0;
}
