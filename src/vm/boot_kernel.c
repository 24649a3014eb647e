/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_kernel.c - what kind of kernel a file is, and its bytes into guest memory
 *
 * The file is the user's, or an image's: hostile. Its headers are copied, parsed by fmt/, and each address is checked against
 * guest memory before a byte is written. Guest memory is fresh: what a segment has beyond its bytes in the file is zero.
 */
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/elf.h"
#include "fmt/multiboot.h"
#include "vm/boot_internal.h"

enum { NOTE_PVH_ENTRY = 18 }; /* XEN_ELFNOTE_PHYS32_ENTRY */

/* room() - where guest memory takes a piece of a kernel */
static int room(struct boot *b, const char *what, uint64_t addr, uint64_t len, uint8_t **ret_to,
		struct err *e)
{
	const struct gmem_region *g = gmem_find(b->img->mem, addr, len);

	if (addr < BOOT_HIGH)
		return err_set(e, ENOEXEC, "%s (0x%llx-0x%llx): below 0x%x, which is the loader's", what,
			       (unsigned long long)addr, (unsigned long long)(addr + len), BOOT_HIGH);
	if (!g || !g->ram || g->readonly)
		return err_set(e, ENOMEM, "%s (0x%llx-0x%llx): outside of guest memory (%llu MiB)", what,
			       (unsigned long long)addr, (unsigned long long)(addr + len),
			       (unsigned long long)gmem_ram_bytes(b->img->mem) >> 20);
	if (addr + len > b->kernel_end)
		b->kernel_end = addr + len;
	*ret_to = gmem_ptr(b->img->mem, addr, len);
	return 0;
}

static int load_elf(struct boot *b, const struct elf *f, struct err *e)
{
	for (unsigned i = 0; i < f->n; i++) {
		const struct elf_segment *s = &f->seg[i];
		uint8_t *to = NULL;
		char what[24];
		int r;

		str_format(what, sizeof(what), "segment %u", i);
		r = room(b, what, s->addr, s->mem_bytes, &to, e);
		if (r < 0)
			return r;
		r = boot__file_read(&b->kernel, s->offset, to, s->file_bytes, e);
		if (r < 0)
			return r;
		gmem_mark(b->img->mem, s->addr, s->file_bytes);
	}
	b->entry = f->entry;
	return 0;
}

/* pvh_entry() - what the file's notes say. Return: 1 with *ret_entry, 0 no such note, -errno */
static int pvh_entry(struct boot *b, const struct elf *f, uint64_t *ret_entry, struct err *e)
{
	for (unsigned i = 0; i < f->n_notes; i++) {
		uint64_t len = f->note[i].file_bytes;
		auto_free uint8_t *notes = NULL;
		const uint8_t *desc;
		size_t n;
		int r;

		if (len > ELF_NOTES_BYTES_MAX)
			return err_set(e, ENOEXEC, "ELF: %llu bytes of notes, at most %d are taken",
				       (unsigned long long)len, ELF_NOTES_BYTES_MAX);
		notes = malloc(len);
		if (!notes)
			return err_sys(e, ENOMEM, "notes");
		r = boot__file_read(&b->kernel, f->note[i].offset, notes, len, e);
		if (r < 0)
			return r;
		desc = elf_note(notes, len, "Xen", NOTE_PVH_ENTRY, &n);
		if (!desc)
			continue;
		if (n != 4 && n != 8)
			return err_set(e, ENOEXEC, "ELF: a PVH entry note of %zu bytes, want 4 or 8", n);
		*ret_entry = 0;
		memcpy(ret_entry, desc, n);
		return 1;
	}
	return 0;
}

static bool inside(const struct elf *f, uint64_t addr)
{
	for (unsigned i = 0; i < f->n; i++)
		if (addr >= f->seg[i].addr && addr - f->seg[i].addr < f->seg[i].mem_bytes)
			return true;
	return false;
}

/* choose() - the protocol of an ELF that may offer several. Return: 0, -errno */
static int choose(struct boot *b, const struct elf *f, bool has_multiboot, struct err *e)
{
	enum boot_protocol want = b->img->protocol;
	uint64_t pvh = 0;
	int has_pvh = pvh_entry(b, f, &pvh, e);

	if (has_pvh < 0)
		return has_pvh;
	if (want == BOOT_AUTO && b->is_bzimage)
		want = BOOT_LINUX64;
	if (want == BOOT_AUTO)
		want = has_pvh ? BOOT_PVH : has_multiboot ? BOOT_MULTIBOOT : BOOT_LINUX64;
	if (want == BOOT_PVH && !has_pvh)
		return err_set(e, ENOEXEC, "no PVH entry: an ELF note 18 of \"Xen\" is wanted");
	if (want == BOOT_MULTIBOOT && !has_multiboot)
		return err_set(e, ENOEXEC, "no multiboot header in its first %d bytes",
			       MULTIBOOT_SEARCH_BYTES);
	if (want == BOOT_LINUX64 && !f->is64)
		return err_set(e, ENOEXEC, "a 32-bit ELF with neither PVH note nor multiboot header");
	b->protocol = want;
	if (want == BOOT_PVH)
		b->entry = pvh;
	if (!inside(f, b->entry) || (want != BOOT_LINUX64 && b->entry > UINT32_MAX))
		return err_set(e, ENOEXEC, "entry point 0x%llx in no segment, or beyond 4 GiB",
			       (unsigned long long)b->entry);
	return 0;
}

static int raw_kernel(struct boot *b, const struct multiboot *m, struct err *e);

static int elf_read(const struct boot_file *file, struct elf *f, struct err *e)
{
	uint8_t head[ELF_HEADER_BYTES], table[ELF_TABLE_BYTES_MAX];
	size_t n = file->size < sizeof(head) ? (size_t)file->size : sizeof(head);
	int r = boot__file_read(file, 0, head, n, e);

	if (r >= 0)
		r = elf_header(f, head, n, file->size, e);
	if (r >= 0)
		r = boot__file_read(file, f->table_offset, table, f->table_bytes, e);
	return r < 0 ? r : elf_segments(f, table, file->size, e);
}

/* elf_kernel() - @m: its multiboot header; NULL: none */
static int elf_kernel(struct boot *b, const struct multiboot *m, struct err *e)
{
	auto_free struct elf *f = malloc(sizeof(*f));
	int r;

	if (!f)
		return err_sys(e, ENOMEM, "ELF");
	r = elf_read(&b->kernel, f, e);
	b->entry = r >= 0 ? f->entry : 0;
	if (r >= 0)
		r = choose(b, f, m != NULL, e);
	if (r >= 0 && b->protocol == BOOT_MULTIBOOT && m->has_addresses) /* they win. Spec: 3.1.3 */
		return raw_kernel(b, m, e);
	if (r >= 0) {
		uint64_t entry = b->entry;

		r = load_elf(b, f, e);
		b->entry = entry;
	}
	return r < 0 ? r : 0;
}

/* raw_kernel() - no ELF: the multiboot header's addresses say where the file goes */
static int raw_kernel(struct boot *b, const struct multiboot *m, struct err *e)
{
	uint64_t offset = m->offset - (m->header_addr - m->load_addr);
	uint64_t in_file = b->kernel.size - offset, len, all;
	uint8_t *to = NULL;
	int r;

	len = m->load_end ? m->load_end - m->load_addr : in_file;
	if (len > in_file)
		return err_set(e, ENOEXEC, "multiboot: wants %llu bytes from %llu on, the file ends before",
			       (unsigned long long)len, (unsigned long long)offset);
	all = m->bss_end ? m->bss_end - m->load_addr : len;
	if (all < len)
		return err_set(e, ENOEXEC, "multiboot: ends at 0x%x, before what is loaded", m->bss_end);
	if (m->entry < m->load_addr || m->entry - m->load_addr >= all)
		return err_set(e, ENOEXEC, "multiboot: entry point 0x%x outside of what is loaded", m->entry);
	r = room(b, "multiboot image", m->load_addr, all, &to, e);
	if (r < 0)
		return r;
	r = boot__file_read(&b->kernel, offset, to, len, e);
	if (r < 0)
		return r;
	gmem_mark(b->img->mem, m->load_addr, len);
	b->protocol = BOOT_MULTIBOOT;
	b->entry = m->entry;
	return 0;
}

/* unpack() - a bzImage: its compressed kernel takes the place of the file */
static int unpack(struct boot *b, const uint8_t *head, size_t n, struct err *e)
{
	uint8_t magic[8];
	const char *kind;
	uint64_t len;
	int r;

	r = bzimage_parse(&b->bz, head, n, b->kernel.size, e);
	if (r >= 0)
		r = boot__file_read(&b->kernel, b->bz.payload_offset, magic, sizeof(magic), e);
	if (r < 0)
		return r;
	b->is_bzimage = true;
	len = b->bz.payload_bytes;
	kind = bzimage_compression(magic, sizeof(magic));
	if (!kind || strcmp(kind, "bzip2") == 0 || strcmp(kind, "lzo") == 0)
		return err_set(e, EOPNOTSUPP, "bzImage: compressed with %s, want gzip, xz, zstd, lz4 or lzma",
			       kind ? kind : "something unknown");
	/* Behind all but gzip, whose format has it, the kernel's build puts the length in 4 bytes. */
	if (strcmp(kind, "gzip") != 0)
		len -= 4;
	r = boot__file_decompress(&b->kernel, b->bz.payload_offset, len, kind, e);
	if (r < 0)
		return err_wrap(e, r, "bzImage");
	r = boot__file_read(&b->kernel, 0, magic, sizeof(magic), e);
	if (r < 0 || !elf_is(magic, sizeof(magic)))
		return err_set(e, ENOEXEC, "bzImage: no ELF inside");
	return 0;
}

int boot__kernel(struct boot *b, struct err *e)
{
	auto_free uint8_t *head = malloc(MULTIBOOT_SEARCH_BYTES);
	size_t n = b->kernel.size < MULTIBOOT_SEARCH_BYTES ? (size_t)b->kernel.size : MULTIBOOT_SEARCH_BYTES;
	enum boot_protocol want = b->img->protocol;
	struct multiboot m;
	int has_multiboot = 0, r;

	if (!head)
		return err_sys(e, ENOMEM, "header");
	r = boot__file_read(&b->kernel, 0, head, n, e);
	if (r < 0)
		return r;
	if (bzimage_is(head, n)) {
		r = unpack(b, head, n, e);
		return r < 0 ? r : elf_kernel(b, NULL, e);
	}
	if (want == BOOT_AUTO || want == BOOT_MULTIBOOT)
		has_multiboot = multiboot_find(&m, head, n, e);
	if (has_multiboot < 0)
		return has_multiboot;
	if (elf_is(head, n))
		return elf_kernel(b, has_multiboot > 0 ? &m : NULL, e);
	if (has_multiboot && m.has_addresses)
		return raw_kernel(b, &m, e);
	return err_set(e, ENOEXEC, "neither an ELF nor a bzImage nor a multiboot kernel");
}

bool boot_is_system(int kernel_fd)
{
	auto_free struct elf *elf = malloc(sizeof(*elf));
	uint8_t head[BZIMAGE_HEAD_BYTES];
	struct boot_file f;
	size_t n;

	if (!elf || boot__file_open(&f, kernel_fd, NULL, NULL) < 0)
		return false;
	n = f.size < sizeof(head) ? (size_t)f.size : sizeof(head);
	if (boot__file_read(&f, 0, head, n, NULL) < 0)
		return false;
	if (bzimage_is(head, n))
		return true;
	if (!elf_is(head, n) || elf_read(&f, elf, NULL) < 0)
		return false;
	for (unsigned i = 0; i < elf->n; i++)
		if (elf->seg[i].vaddr >> 63)
			return true;
	return false;
}
