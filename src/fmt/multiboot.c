/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/multiboot.h"

#include <string.h>

#include "base/err.h"

enum {
	MAGIC = 0x1badb002,
	FLAG_VIDEO = 1 << 2,
	FLAG_ADDRESSES = 1 << 16,
	MUST_UNDERSTAND = 0xffff,
	KNOWN = 3, /* modules on pages (they are), memory information (it is there) */
	MIN_BYTES = 12,
	WORDS_ADDRESSES = 8,
};

static int take_addresses(struct multiboot *m, const uint32_t *w, struct err *e)
{
	m->has_addresses = true;
	m->header_addr = w[3];
	m->load_addr = w[4];
	m->load_end = w[5]; /* 0: to the end of the file */
	m->bss_end = w[6];  /* 0: none */
	m->entry = w[7];
	if (m->header_addr < m->load_addr || m->header_addr - m->load_addr > m->offset)
		return err_set(e, ENOEXEC, "multiboot: load address 0x%x does not fit header address 0x%x",
			       m->load_addr, m->header_addr);
	if ((m->load_end && m->load_end <= m->load_addr) || (m->bss_end && m->bss_end < m->load_end))
		return err_set(e, ENOEXEC, "multiboot: load 0x%x, load end 0x%x, bss end 0x%x", m->load_addr,
			       m->load_end, m->bss_end);
	return 1;
}

int multiboot_find(struct multiboot *ret, const void *bytes, size_t len, struct err *e)
{
	struct multiboot m = { 0 };
	uint32_t w[WORDS_ADDRESSES] = { 0 };

	if (len > MULTIBOOT_SEARCH_BYTES)
		len = MULTIBOOT_SEARCH_BYTES;
	for (size_t at = 0; at + MIN_BYTES <= len; at += 4) {
		int r = 1;

		memcpy(w, (const uint8_t *)bytes + at, MIN_BYTES);
		if (w[0] != MAGIC || w[0] + w[1] + w[2] != 0)
			continue;
		m.offset = (uint32_t)at;
		if (w[1] & FLAG_VIDEO)
			return err_set(e, EOPNOTSUPP,
				       "multiboot: wants a graphics mode, which there is none of");
		if (w[1] & MUST_UNDERSTAND & ~KNOWN)
			return err_set(e, EOPNOTSUPP, "multiboot: flags 0x%x, which nobody here understands",
				       w[1]);
		if (w[1] & FLAG_ADDRESSES) {
			if (at + sizeof(w) > len)
				return err_set(e, ENOEXEC, "multiboot: the header is cut short");
			memcpy(w, (const uint8_t *)bytes + at, sizeof(w));
			r = take_addresses(&m, w, e);
		}
		if (r > 0)
			*ret = m;
		return r;
	}
	return 0;
}
