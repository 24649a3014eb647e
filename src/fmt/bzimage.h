/* SPDX-License-Identifier: Apache-2.0 */
/* bzimage.h - the setup header of a Linux bzImage. Spec: Linux, Documentation/arch/x86/boot.rst */
#ifndef FMT_BZIMAGE_H
#define FMT_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
	BZIMAGE_HEAD_BYTES = 0x280, /* of the file: enough to hold the setup header */
	BZIMAGE_SETUP_OFFSET = 0x1f1,
	BZIMAGE_SETUP_BYTES = BZIMAGE_HEAD_BYTES - BZIMAGE_SETUP_OFFSET,
};

struct bzimage {
	uint16_t version;        /* of the boot protocol */
	uint64_t payload_offset; /* in the file: the compressed kernel */
	uint64_t payload_bytes;
	uint32_t initrd_addr_max;           /* the highest address an initramfs' last byte may have */
	uint32_t cmdline_bytes_max;         /* without the NUL */
	size_t setup_bytes;                 /* of @setup that the file gave */
	uint8_t setup[BZIMAGE_SETUP_BYTES]; /* copied into the zero page */
};

bool bzimage_is(const void *bytes, size_t len);

/* bzimage_parse() - @bytes: the file's first @len. Return: 0; -EOPNOTSUPP too old or 32 bits; -ENOEXEC malformed */
int bzimage_parse(struct bzimage *ret, const void *bytes, size_t len, uint64_t file_bytes, struct err *e);

/* bzimage_compression() - the name of the compression a payload starts with, or NULL; "gzip", "lzo", ... */
const char *bzimage_compression(const void *payload, size_t len);

#endif
