/* SPDX-License-Identifier: Apache-2.0 */
/* pmem.c - a file as memory: read, written, flushed; "ro": only read */
#include "cpu.h"
#include "pci.h"
#include "virtio.h"

enum { VECTOR = 0x58, START_AT = 0, SIZE_AT = 8, T_FLUSH = 0, MIB = 1 << 20, FILE_BYTES = 3 * MIB };

static struct virtio v;
static struct virtq q;
static uint32_t type, answer;

static uint32_t ask(uint32_t what)
{
	uint32_t len;

	type = what;
	answer = 0xeeeeeeee;
	virtq_add(&q,
		  (struct virtq_buf[]){ { &type, sizeof(type), false }, { &answer, sizeof(answer), true } },
		  2);
	virtq_kick(&q);
	virtq_wait(&q, &len);
	return answer;
}

int guest_main(void)
{
	uint64_t at, bytes;
	char *text;

	lapic_on();
	if (!virtio_find(&v, VIRTIO_PMEM, 0))
		panic("no pmem");
	virtio_begin(&v, 0);
	virtq_init(&v, &q, 0);
	virtio_ready(&v, VECTOR);
	at = virtio_config64(&v, START_AT);
	bytes = virtio_config64(&v, SIZE_AT);
	memory_map(at, bytes, false);
	text = (char *)at;
	print("%lu MiB, '%s'\n", bytes / MIB, text);
	if (!cmdline_has("ro"))
		memcpy(text, "from the guest", 15);
	print("flush %u\n", ask(T_FLUSH));
	print("unknown request %u\n", ask(77));
	if (bytes > FILE_BYTES)
		print("past the end of the file: %u\n", (unsigned)text[FILE_BYTES]);
	return 0;
}
