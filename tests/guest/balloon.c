/* SPDX-License-Identifier: Apache-2.0 */
/* balloon.c - gives the host as many pages as it asks for, takes them back, and finds them usable */
#include "cpu.h"
#include "virtio.h"

enum { VECTOR = 0x58, PAGE = 4096, FIRST = 16 << 20, BATCH = 256, ACTUAL = 4 };

static struct virtio v;
static struct virtq inflate, deflate;
static uint32_t pfn[BATCH];

static long touch(void *arg)
{
	uint64_t pages = (uint64_t)arg;
	long wrong = 0;

	for (uint64_t i = 0; i < pages; i++) {
		volatile uint64_t *p = (volatile uint64_t *)(FIRST + i * PAGE);

		*p = i;
		wrong += *p != i;
	}
	return wrong;
}

static long fill(void *arg)
{
	uint32_t first = (uint32_t)(uint64_t)arg;

	for (uint32_t i = 0; i < BATCH; i++)
		pfn[i] = first + i;
	return 0;
}

static void move(struct virtq *q, uint32_t pages)
{
	uint32_t len;

	for (uint32_t done = 0; done < pages; done += BATCH) {
		uint32_t n = pages - done < BATCH ? pages - done : BATCH;

		ring3(fill, (void *)(uint64_t)(FIRST / PAGE + done));
		virtq_add(q, &(struct virtq_buf){ pfn, n * (uint32_t)sizeof(pfn[0]), false }, 1);
		virtq_kick(q);
		virtq_wait(q, &len);
	}
}

int guest_main(void)
{
	uint32_t want;

	lapic_on();
	if (!virtio_find(&v, VIRTIO_BALLOON, 0))
		panic("no balloon");
	virtio_begin(&v, 0);
	virtq_init(&v, &inflate, 0);
	virtq_init(&v, &deflate, 1);
	virtio_ready(&v, VECTOR);
	want = virtio_config32(&v, 0);
	print("wants %u pages\n", want);
	ring3(touch, (void *)(uint64_t)want);
	move(&inflate, want);
	virtio_config_write32(&v, ACTUAL, want);
	print("gave %u\n", virtio_config32(&v, ACTUAL));
	move(&deflate, want);
	virtio_config_write32(&v, ACTUAL, 0);
	print("took back, %ld wrong\n", ring3(touch, (void *)(uint64_t)want));
	return 0;
}
