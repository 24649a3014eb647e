/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count.c - counts ticks of its timer for ever, and tells when it is asked, so that one sees whether it went on where it was
 *
 * Keys on COM1: 'c' the count; 'w' writes it into the disk's first sector, 'r' reads that; 's' spins in ring 3 from now on;
 * 'q' ends with status 3.
 */
#include "cpu.h"
#include "virtio.h"

enum { VECTOR = 0x70, DISK_VECTOR = 0x58, COM1 = 0x3f8, LSR_RX = 1, TICK = 1000000, T_IN = 0, T_OUT = 1 };

static volatile uint64_t ticks;
static struct virtio v;
static struct virtq q;
static uint64_t sector[64];
static struct {
	uint32_t type, zero;
	uint64_t sector;
} header;
static uint8_t status;

static void tick(struct trap_frame *f)
{
	(void)f;
	ticks++;
}

static void disk(uint32_t type)
{
	struct virtq_buf buf[3] = { { &header, sizeof(header), false },
				    { sector, sizeof(sector), type == T_IN },
				    { &status, 1, true } };
	uint32_t len;

	header.type = type;
	status = 0xee;
	virtq_add(&q, buf, 3);
	virtq_kick(&q);
	virtq_wait(&q, &len);
	print("%s %lu, status %u\n", type == T_IN ? "disk" : "wrote", sector[0], status);
}

static _Noreturn long spin(void *arg)
{
	(void)arg;
	for (;;)
		barrier();
}

static void obey(char key)
{
	switch (key) {
	case 'c': print("count %lu\n", ticks); break;
	case 'w':
		sector[0] = ticks;
		disk(T_OUT);
		break;
	case 'r': disk(T_IN); break;
	case 's':
		print("spinning\n");
		ring3(spin, 0);
		break;
	case 'q': guest_exit(3);
	default: break;
	}
}

int guest_main(void)
{
	lapic_on();
	trap_on(VECTOR, tick);
	if (virtio_find(&v, VIRTIO_BLK, 0)) {
		virtio_begin(&v, 0);
		virtq_init(&v, &q, 0);
		virtio_ready(&v, DISK_VECTOR);
	}
	lapic_timer_periodic(VECTOR, TICK);
	print("counting\n");
	if (cmdline_has("spin"))
		obey('s');
	for (;;) {
		wait_irq();
		while (inb(COM1 + 5) & LSR_RX)
			obey((char)inb(COM1));
	}
}
