/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hotplug.c - looks for a disk that comes while the guest runs, uses it, waits until it is gone; "rounds=N" times. A pmem device
 * that comes is read too.
 */
#include "cpu.h"
#include "pci.h"
#include "virtio.h"

enum { VECTOR = 0x58, SECTOR = 512, T_IN = 0, T_OUT = 1, GONE = 0xff };

static struct virtio v;
static struct virtq q;
static uint8_t data[SECTOR] __attribute__((aligned(512)));

static unsigned request(uint32_t type, uint64_t sector)
{
	static struct {
		uint32_t type, zero;
		uint64_t sector;
	} header;
	static uint8_t status;
	uint32_t len;

	header.type = type;
	header.sector = sector;
	status = 0xee;
	virtq_add(&q,
		  (struct virtq_buf[]){ { &header, sizeof(header), false },
					{ data, SECTOR, type == T_IN },
					{ &status, 1, true } },
		  3);
	virtq_kick(&q);
	virtq_wait(&q, &len);
	return status;
}

static void use_disk(void)
{
	unsigned r;

	virtio_begin(&v, 0);
	virtq_init(&v, &q, 0);
	virtio_ready(&v, VECTOR);
	r = request(T_IN, 0);
	data[SECTOR - 1] = 0;
	print("disk %u: %lu sectors, read %u: %s\n", v.pci, virtio_config64(&v, 0), r, (char *)data);
	memset(data, 'G', SECTOR);
	print("write %u\n", request(T_OUT, 1));
}

static void use_memory(void)
{
	uint64_t at = virtio_config64(&v, 0);

	memory_map(at, virtio_config64(&v, 8), false);
	print("memory %u: %s\n", v.pci, (const char *)at);
}

static bool find(void)
{
	return virtio_find(&v, VIRTIO_BLK, 0) || virtio_find(&v, VIRTIO_PMEM, 0);
}

int guest_main(void)
{
	uint64_t rounds = cmdline_u64("rounds", 1);

	lapic_on();
	if (find())
		panic("there is a device already");
	print("ready\n");
	for (; rounds > 0; rounds--) {
		while (!find())
			relax();
		if (pci_read(v.pci, 0) >> 16 == 0x1040 + VIRTIO_PMEM)
			use_memory();
		else
			use_disk();
		while (pci_read(v.pci, 0) != 0xffffffff)
			relax();
		print("gone\n");
	}
	return 0;
}
