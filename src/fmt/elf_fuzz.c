/* SPDX-License-Identifier: Apache-2.0 */
/* elf_fuzz.c - hostile executables: whatever is accepted lies inside the file and is entered inside a segment */
#include "fmt/elf.h"

#include "base/bug.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct elf *f, size_t size)
{
	bool inside = false;

	BUG_ON(f->n == 0 || f->n > ELF_SEGMENTS_MAX);
	for (unsigned i = 0; i < f->n; i++) {
		const struct elf_segment *s = &f->seg[i];

		BUG_ON(s->offset > size || s->file_bytes > size - s->offset || s->file_bytes > s->mem_bytes);
		inside |= f->entry >= s->addr && f->entry < s->addr + s->mem_bytes;
	}
	BUG_ON(!inside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct elf f;
	const uint8_t *note;
	size_t n;

	note = elf_note(data, size, "Xen", 18, &n);
	BUG_ON(note && (note < data || n > size || note > data + size - n));
	if (elf_header(&f, data, size < ELF_HEADER_BYTES ? size : ELF_HEADER_BYTES, size, &e) < 0 ||
	    elf_segments(&f, data + f.table_offset, size, &e) < 0) {
		BUG_ON(!e.code);
		return 0;
	}
	check(&f, size);
	for (unsigned i = 0; i < f.n_notes; i++)
		elf_note(data + f.note[i].offset, f.note[i].file_bytes, "Xen", 18, &n);
	return 0;
}
