/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/bzimage.h"

#include <string.h>

#include "base/err.h"

enum {
	OFF_SETUP_SECTS = 0x1f1,
	OFF_BOOT_FLAG = 0x1fe,
	OFF_JUMP_LEN = 0x201, /* the header ends at 0x202 + this */
	OFF_MAGIC = 0x202,
	OFF_VERSION = 0x206,
	OFF_INITRD_MAX = 0x22c,
	OFF_XLOADFLAGS = 0x236,
	OFF_CMDLINE_SIZE = 0x238,
	OFF_PAYLOAD = 0x248,
	OFF_PAYLOAD_LEN = 0x24c,
	VERSION_MIN = 0x20c, /* xloadflags: Linux 3.8 */
	XLF_KERNEL_64 = 1,
	SECTOR = 512,
	SETUP_SECTS_DEFAULT = 4,
};

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
	return u16(p) | (uint32_t)u16(p + 2) << 16;
}

bool bzimage_is(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	return len >= OFF_VERSION + 2 && u16(p + OFF_BOOT_FLAG) == 0xaa55 &&
	       memcmp(p + OFF_MAGIC, "HdrS", 4) == 0;
}

int bzimage_parse(struct bzimage *ret, const void *bytes, size_t len, uint64_t file_bytes, struct err *e)
{
	struct bzimage z = { 0 };
	const uint8_t *p = bytes;
	uint64_t setup_sects, end;

	if (!bzimage_is(bytes, len) || len < BZIMAGE_HEAD_BYTES)
		return err_set(e, ENOEXEC, "bzImage: no setup header");
	z.version = u16(p + OFF_VERSION);
	if (z.version < VERSION_MIN)
		return err_set(e, EOPNOTSUPP,
			       "bzImage: boot protocol %u.%02u, want 2.12 or newer (Linux 3.8)",
			       z.version >> 8, z.version & 0xffu);
	if (!(u16(p + OFF_XLOADFLAGS) & XLF_KERNEL_64))
		return err_set(e, EOPNOTSUPP, "bzImage: a 32-bit kernel, want one for x86-64");
	setup_sects = p[OFF_SETUP_SECTS] ? p[OFF_SETUP_SECTS] : SETUP_SECTS_DEFAULT;
	z.payload_offset = (setup_sects + 1) * SECTOR + u32(p + OFF_PAYLOAD);
	z.payload_bytes = u32(p + OFF_PAYLOAD_LEN);
	end = z.payload_offset + z.payload_bytes;
	if (z.payload_bytes < 16 || end > file_bytes)
		return err_set(e, ENOEXEC, "bzImage: compressed kernel at %llu-%llu, the file has %llu bytes",
			       (unsigned long long)z.payload_offset, (unsigned long long)end,
			       (unsigned long long)file_bytes);
	z.initrd_addr_max = u32(p + OFF_INITRD_MAX);
	z.cmdline_bytes_max = u32(p + OFF_CMDLINE_SIZE);
	z.setup_bytes = (size_t)OFF_MAGIC + p[OFF_JUMP_LEN] - BZIMAGE_SETUP_OFFSET;
	if (z.setup_bytes > BZIMAGE_SETUP_BYTES)
		z.setup_bytes = BZIMAGE_SETUP_BYTES;
	memcpy(z.setup, p + BZIMAGE_SETUP_OFFSET, z.setup_bytes);
	*ret = z;
	return 0;
}

const char *bzimage_compression(const void *payload, size_t len)
{
	static const struct {
		const char *name;
		uint8_t len, magic[8];
	} kinds[] = {
		{ "gzip", 2, { 0x1f, 0x8b } },
		{ "xz", 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
		{ "zstd", 4, { 0x28, 0xb5, 0x2f, 0xfd } },
		{ "lz4", 4, { 0x02, 0x21, 0x4c, 0x18 } },
		{ "lzma", 3, { 0x5d, 0, 0 } },
		{ "bzip2", 3, { 'B', 'Z', 'h' } },
		{ "lzo", 4, { 0x89, 'L', 'Z', 'O' } },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (len >= kinds[i].len && memcmp(payload, kinds[i].magic, kinds[i].len) == 0)
			return kinds[i].name;
	return NULL;
}
