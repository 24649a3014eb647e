/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.c - memory that is plugged and unplugged as the host asks: what is plugged holds what is written, what is not is not there,
 * what comes again is zero. Ends after "changes=N" of the host's requests.
 */
#include "cpu.h"
#include "pci.h"
#include "virtio.h"

enum {
	VECTOR = 0x58,
	BLOCK_AT = 0, /* of the configuration. Spec: virtio 1.2 §5.15.4 */
	BASE_AT = 16,
	SIZE_AT = 24,
	PLUGGED_AT = 40,
	REQUESTED_AT = 48,
	PLUG = 0,
	UNPLUG = 1,
	UNPLUG_ALL = 2,
	STATE = 3,
	NEEDS_RESET = 64,
	MIB = 1 << 20,
};

static struct virtio v;
static struct virtq q;
static uint64_t base, block;

static struct {
	uint16_t type, pad[3];
	uint64_t addr;
	uint16_t n, pad2[3];
} ask;
static struct {
	uint16_t type, pad[3];
	uint16_t state;
} answer;

static unsigned request(uint16_t type, uint64_t addr, uint64_t n)
{
	uint32_t len;

	ask.type = type;
	ask.addr = addr;
	ask.n = (uint16_t)n;
	answer.type = 0xeeee;
	virtq_add(&q, (struct virtq_buf[]){ { &ask, sizeof(ask), false }, { &answer, sizeof(answer), true } },
		  2);
	virtq_kick(&q);
	virtq_wait(&q, &len);
	return answer.type;
}

/* touch() - ring 3: every page of [from, to). Return: how many held something */
static uint64_t from, to;
static long touch(void *arg)
{
	long held = 0;

	(void)arg;
	for (uint64_t at = from; at < to; at += 4096) {
		volatile uint64_t *p = (volatile uint64_t *)at;

		held += *p != 0;
		*p = at;
	}
	return held;
}

static void follow(uint64_t plugged, uint64_t want)
{
	uint64_t lo = plugged < want ? plugged : want, hi = plugged < want ? want : plugged;
	unsigned r = request(plugged < want ? PLUG : UNPLUG, base + lo, (hi - lo) / block);

	print("%s %lu MiB: %u", plugged < want ? "plug" : "unplug", (hi - lo) / MIB, r);
	if (r == 0 && plugged < want) {
		from = base + lo;
		to = base + hi;
		print(", %ld pages held something", ring3(touch, NULL));
	}
	print(", %lu MiB are there\n", virtio_config64(&v, PLUGGED_AT) / MIB);
}

int guest_main(void)
{
	uint64_t changes = cmdline_u64("changes", 1), size, want = 0, plugged;

	lapic_on();
	if (!virtio_find(&v, VIRTIO_MEM, 0))
		panic("no memory hot-plug");
	virtio_begin(&v, virtio_offered(&v));
	virtq_init(&v, &q, 0);
	virtio_ready(&v, VECTOR);
	block = virtio_config64(&v, BLOCK_AT);
	base = virtio_config64(&v, BASE_AT);
	size = virtio_config64(&v, SIZE_AT);
	memory_map(base, size, false);
	print("%lu MiB in blocks of %lu, plugged %lu\n", size / MIB, block / MIB,
	      virtio_config64(&v, PLUGGED_AT) / MIB);
	print("too much: %u, beyond: %u, state %u %u\n", request(PLUG, base, 1),
	      request(UNPLUG, base + size, 1), request(STATE, base, 1), answer.state);
	print("not there: 0x%lx\n", *(volatile uint64_t *)base);
	while (changes > 0) {
		wait_irq();
		plugged = virtio_config64(&v, PLUGGED_AT);
		want = virtio_config64(&v, REQUESTED_AT);
		if (plugged == want)
			continue;
		follow(plugged, want);
		changes--;
	}
	print("not there: 0x%lx\n", *(volatile uint64_t *)(base + want));
	/* nor is it to devices */
	virtq_add(&q,
		  (struct virtq_buf[]){ { &ask, sizeof(ask), false }, { (void *)(base + want), 16, true } },
		  2);
	virtq_kick(&q);
	spin_until(virtio_status(&v) & NEEDS_RESET);
	print("the device needs a reset\n");
	return 0;
}
