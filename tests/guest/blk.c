/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk.c - a disk: what its sectors hold (each its own number, as the test made them), what is written and read back, flush,
 * discard, what is refused. "ro": the disk is read-only
 */
#include "cpu.h"
#include "virtio.h"

enum {
	VECTOR = 0x58,
	SECTOR = 512,
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_ID = 8,
	T_DISCARD = 11,
	T_ZEROES = 13,
	F_RO = 1 << 5,
	F_FLUSH = 1 << 9,
	F_DISCARD = 1 << 13,
	F_ZEROES = 1 << 14,
	DEPTH = 16,
	ROUNDS = 20,
};

struct header {
	uint32_t type, zero;
	uint64_t sector;
};

static struct virtio v;
static struct virtq q;
static struct header header[VIRTQ_SIZE_MAX];
static uint8_t status[VIRTQ_SIZE_MAX], data[DEPTH][8 * SECTOR] __attribute__((aligned(4096)));
static uint8_t *status_of[VIRTQ_SIZE_MAX];

static void send(unsigned slot, uint32_t type, uint64_t sector, void *p, uint32_t len)
{
	struct virtq_buf buf[3] = { { &header[slot], sizeof(header[slot]), false },
				    { p, len, type == T_IN || type == T_ID },
				    { &status[slot], 1, true } };

	header[slot] = (struct header){ type, 0, sector };
	status[slot] = 0xee;
	if (!len)
		buf[1] = buf[2];
	status_of[virtq_add(&q, buf, len ? 3 : 2)] = &status[slot];
}

static unsigned finish(void)
{
	uint32_t len;

	return *status_of[virtq_wait(&q, &len)];
}

static unsigned one(uint32_t type, uint64_t sector, void *p, uint32_t len)
{
	send(0, type, sector, p, len);
	virtq_kick(&q);
	return finish();
}

static bool holds(const uint8_t *p, uint64_t first, unsigned sectors)
{
	for (unsigned i = 0; i < sectors; i++) {
		uint64_t nr;

		__builtin_memcpy(&nr, p + i * SECTOR, sizeof(nr));
		if (nr != first + i)
			return false;
	}
	return true;
}

static void read_many(uint64_t sectors)
{
	unsigned good = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < DEPTH; i++)
			send(i, T_IN, (round * DEPTH + i) * 8 % (sectors - 8), data[i], 8 * SECTOR);
		virtq_kick(&q);
		for (unsigned i = 0; i < DEPTH; i++)
			if (finish() != 0)
				panic("read failed");
		for (unsigned i = 0; i < DEPTH; i++)
			good += holds(data[i], (round * DEPTH + i) * 8 % (sectors - 8), 8);
	}
	print("%u of %u reads right\n", good, ROUNDS * DEPTH);
}

static void write_and_back(void)
{
	unsigned r;

	memset(data[0], 0xa5, 8 * SECTOR);
	r = one(T_OUT, 8, data[0], 8 * SECTOR);
	if (v.features & F_RO) {
		print("write to a read-only disk: status %u\n", r);
		return;
	}
	print("write %u, flush %u\n", r, v.features & F_FLUSH ? one(T_FLUSH, 0, NULL, 0) : 0);
	memset(data[1], 0, 8 * SECTOR);
	r = one(T_IN, 8, data[1], 8 * SECTOR);
	print("read %u, %s\n", r, memcmp(data[0], data[1], 8 * SECTOR) == 0 ? "the same" : "different");
	if (v.features & F_ZEROES) {
		struct {
			uint64_t sector;
			uint32_t n, flags;
		} range = { 8, 8, 0 };

		r = one(T_ZEROES, 0, &range, sizeof(range));
		one(T_IN, 8, data[1], 8 * SECTOR);
		print("zeroes %u, %s\n", r,
		      data[1][0] == 0 && data[1][8 * SECTOR - 1] == 0 ? "gone" : "still there");
	}
}

/* code_from_disk() - the disk puts code where other code has run: it is the new one that runs */
static void code_from_disk(void)
{
	uint32_t (*const code)(void) = (uint32_t (*)(void))(uintptr_t)data[2];
	uint32_t right = 0;

	for (uint32_t n = 0; n < 3; n++) {
		const uint8_t mov[] = { 0xb8, (uint8_t)n, 0, 0, 0, 0xc3 }; /* mov eax, n; ret */

		memset(data[1], 0x90, SECTOR);
		memcpy(data[1] + SECTOR - sizeof(mov), mov, sizeof(mov));
		if (one(T_OUT, 16 + n, data[1], SECTOR) != 0)
			panic("write failed");
	}
	for (uint32_t n = 0; n < 30; n++) {
		one(T_IN, 16 + n % 3, data[2], SECTOR);
		right += code() == n % 3;
	}
	print("code from the disk: %u of 30 right\n", right);
}

int guest_main(void)
{
	uint64_t sectors;

	lapic_on();
	if (!virtio_find(&v, VIRTIO_BLK, (unsigned)cmdline_u64("nth", 0)))
		panic("no disk");
	virtio_begin(&v, F_RO | F_FLUSH | F_DISCARD | F_ZEROES);
	virtq_init(&v, &q, 0);
	virtio_ready(&v, VECTOR);
	sectors = virtio_config64(&v, 0);
	print("%lu sectors%s\n", sectors, v.features & F_RO ? ", read-only" : "");
	if (sectors < 64)
		panic("too small for this test");
	read_many(sectors);
	write_and_back();
	if (!(v.features & F_RO))
		code_from_disk();
	print("beyond the end: status %u\n", one(T_IN, sectors, data[0], SECTOR));
	print("unknown request: status %u\n", one(77, 0, data[0], SECTOR));
	print("interrupts %s\n", virtio_irqs(&v) ? "came" : "did not come");
	return 0;
}
