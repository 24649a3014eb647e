/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - the virtio console: says hello there, and sends lines back until "quit" */
#include "cpu.h"
#include "virtio.h"

enum { VECTOR = 0x58, BUF = 64, BUFS = 4 };

static struct virtio v;
static struct virtq rx, tx;
static char in[VIRTQ_SIZE_MAX][BUF], line[256];
static char *in_of[VIRTQ_SIZE_MAX];

static void say(const char *s, size_t len)
{
	uint32_t n;

	virtq_add(&tx, &(struct virtq_buf){ (void *)s, (uint32_t)len, false }, 1);
	virtq_kick(&tx);
	virtq_wait(&tx, &n);
}

static void offer(char *p)
{
	in_of[virtq_add(&rx, &(struct virtq_buf){ p, BUF, true }, 1)] = p;
}

int guest_main(void)
{
	size_t n = 0;

	lapic_on();
	if (!virtio_find(&v, VIRTIO_CONSOLE, 0))
		panic("no console");
	virtio_begin(&v, 0);
	virtq_init(&v, &rx, 0);
	virtq_init(&v, &tx, 1);
	virtio_ready(&v, VECTOR);
	say("console\n", 8);
	if (!cmdline_has("echo"))
		return 0;
	for (unsigned i = 0; i < BUFS; i++)
		offer(in[i]);
	virtq_kick(&rx);
	for (;;) {
		uint32_t len;
		char *p = in_of[virtq_wait(&rx, &len)];

		for (uint32_t i = 0; i < len; i++) {
			if (n < sizeof(line))
				line[n++] = p[i];
			if (p[i] != '\n')
				continue;
			if (n == 5 && memcmp(line, "quit\n", 5) == 0)
				return 0;
			say(line, n);
			n = 0;
		}
		offer(p);
		virtq_kick(&rx);
	}
}
