/* SPDX-License-Identifier: Apache-2.0 */
/* boot_testing.h - kernels made in memory, for the loader's tests */
#ifndef VM_BOOT_TESTING_H
#define VM_BOOT_TESTING_H

#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bug.h"
#include "base/guard.h"
#include "sys/file.h"

enum { TEST_LOAD = 0x200000, TEST_TEXT_OFFSET = 0x1000, TEST_TEXT_BYTES = 0x2000, TEST_BSS = 0x1000 };

/* A 64-bit ELF: one segment at 2 MiB and, when @pvh, a note with that entry point. */
struct test_elf {
	Elf64_Ehdr h;
	Elf64_Phdr p[2];
	struct {
		Elf64_Nhdr h;
		char name[4];
		uint32_t entry;
	} note;
	uint8_t pad[TEST_TEXT_OFFSET - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr) - 20];
	uint8_t text[TEST_TEXT_BYTES];
};

static inline void test_elf(struct test_elf *t, uint32_t pvh)
{
	static_assert(offsetof(struct test_elf, text) == TEST_TEXT_OFFSET, "no holes");
	*t = (struct test_elf){
		.h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		       .e_type = ET_EXEC,
		       .e_machine = EM_X86_64,
		       .e_version = EV_CURRENT,
		       .e_entry = TEST_LOAD + 0x10,
		       .e_phoff = offsetof(struct test_elf, p),
		       .e_ehsize = sizeof(Elf64_Ehdr),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 2 },
		.p = { { .p_type = PT_LOAD,
			 .p_flags = 7,
			 .p_offset = TEST_TEXT_OFFSET,
			 .p_vaddr = TEST_LOAD,
			 .p_paddr = TEST_LOAD,
			 .p_filesz = TEST_TEXT_BYTES,
			 .p_memsz = TEST_TEXT_BYTES + TEST_BSS },
		       { .p_type = pvh ? PT_NOTE : PT_NULL,
			 .p_offset = offsetof(struct test_elf, note),
			 .p_filesz = sizeof(t->note) } },
		.note = { { 4, 4, 18 }, "Xen", pvh },
	};
	for (size_t i = 0; i < sizeof(t->text); i++)
		t->text[i] = (uint8_t)(i * 7 + 3);
}

/* test_file() - an open file with these bytes */
static inline int test_file(const void *bytes, size_t len)
{
	int fd = file_memfd("kernel", 0);

	BUG_ON(fd < 0 || file_write(fd, bytes, len) < 0);
	return fd;
}

/* test_compress() - as the kernel's build does it, the length behind all but gzip. Return: bytes */
static inline size_t test_compress(const char *kind, const void *src, size_t len, uint8_t *dst, size_t room)
{
	uint32_t tail = (uint32_t)len;
	size_t n = 0;

	if (strcmp(kind, "gzip") == 0) {
		z_stream z = { .next_in = (Bytef *)src,
			       .avail_in = (uInt)len,
			       .next_out = dst,
			       .avail_out = (uInt)room };

		BUG_ON(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK);
		BUG_ON(deflate(&z, Z_FINISH) != Z_STREAM_END);
		n = room - z.avail_out;
		deflateEnd(&z);
		return n;
	}
	if (strcmp(kind, "xz") == 0) {
		BUG_ON(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, src, len, dst, &n, room) !=
		       LZMA_OK);
	} else if (strcmp(kind, "lzma") == 0) {
		lzma_stream z = LZMA_STREAM_INIT;
		lzma_options_lzma o;

		BUG_ON(lzma_lzma_preset(&o, 6) || lzma_alone_encoder(&z, &o) != LZMA_OK);
		z.next_in = src;
		z.avail_in = len;
		z.next_out = dst;
		z.avail_out = room;
		BUG_ON(lzma_code(&z, LZMA_FINISH) != LZMA_STREAM_END);
		n = room - z.avail_out;
		lzma_end(&z);
	} else if (strcmp(kind, "zstd") == 0) {
		n = ZSTD_compress(dst, room, src, len, 3);
		BUG_ON(ZSTD_isError(n));
	} else {
		const uint32_t magic = 0x184c2102;
		uint32_t block =
			(uint32_t)LZ4_compress_default(src, (char *)dst + 8, (int)len, (int)room - 8);

		memcpy(dst, &magic, 4);
		memcpy(dst + 4, &block, 4);
		n = block + 8;
	}
	memcpy(dst + n, &tail, 4);
	return n + 4;
}

/* test_bzimage() - a setup header of protocol 2.15 and the payload. Return: bytes */
static inline size_t test_bzimage(uint8_t *dst, const uint8_t *payload, size_t len)
{
	enum { SECTS = 1 };
	const uint32_t offset = 0x40, n = (uint32_t)len;
	const size_t at = (SECTS + 1) * 512;

	memset(dst, 0, at + offset);
	dst[0x1f1] = SECTS;
	dst[0x1fe] = 0x55;
	dst[0x1ff] = 0xaa;
	dst[0x201] = 0x6a;
	memcpy(dst + 0x202, "HdrS\x0f\x02", 6);
	memcpy(dst + 0x22c, "\xff\xff\xff\x7f", 4);
	dst[0x236] = 1;
	memcpy(dst + 0x238, "\xff\x07\0\0", 4);
	memcpy(dst + 0x248, &offset, 4);
	memcpy(dst + 0x24c, &n, 4);
	memcpy(dst + at + offset, payload, len);
	return at + offset + len;
}

#endif
