/* SPDX-License-Identifier: Apache-2.0 */
/* rng.c - random bytes: enough of them, and not the same twice */
#include "cpu.h"
#include "virtio.h"

enum { VECTOR = 0x58, BYTES = 256, ROUNDS = 100 };

static struct virtio v;
static struct virtq q;
static uint8_t a[BYTES], b[BYTES];

static uint32_t get(uint8_t *dst)
{
	uint32_t len = 0;

	virtq_add(&q, &(struct virtq_buf){ dst, BYTES, true }, 1);
	virtq_kick(&q);
	virtq_wait(&q, &len);
	return len;
}

int guest_main(void)
{
	uint32_t first, second;
	unsigned n = 0;

	lapic_on();
	if (!virtio_find(&v, VIRTIO_RNG, 0))
		panic("no rng");
	virtio_begin(&v, 0);
	virtq_init(&v, &q, 0);
	virtio_ready(&v, VECTOR);
	first = get(a);
	second = get(b);
	print("rng %s\n", first > 0 && first <= BYTES && second > 0 ? "gives" : "gives nothing");
	print("%s\n", memcmp(a, b, BYTES) != 0 ? "different" : "the same");
	for (int i = 0; i < ROUNDS; i++)
		n += get(a) > 0;
	print("%u more, interrupts %s\n", n, virtio_irqs(&v) ? "came" : "did not come");
	return 0;
}
