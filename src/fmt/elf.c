/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/elf.h"

#include <elf.h>
#include <string.h>

#include "base/err.h"

bool elf_is(const void *bytes, size_t len)
{
	return len >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
}

static int malformed(struct err *e, const char *why)
{
	return err_set(e, ENOEXEC, "ELF: %s", why);
}

static int take_table(struct elf *f, uint64_t offset, unsigned n, unsigned entry_bytes, uint64_t file_bytes,
		      struct err *e)
{
	if (n == 0 || n > ELF_SEGMENTS_MAX)
		return err_set(e, ENOEXEC, "ELF: %u program headers, want 1 to %d", n, ELF_SEGMENTS_MAX);
	if (entry_bytes != (f->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return err_set(e, ENOEXEC, "ELF: program headers of %u bytes", entry_bytes);
	f->table_offset = offset;
	f->entry_bytes = entry_bytes;
	f->table_bytes = (size_t)n * entry_bytes;
	if (f->table_bytes > file_bytes || offset > file_bytes - f->table_bytes)
		return malformed(e, "program headers behind the end of the file");
	return 0;
}

int elf_header(struct elf *ret, const void *bytes, size_t len, uint64_t file_bytes, struct err *e)
{
	const unsigned char *id = bytes;
	struct elf f = { 0 };
	uint16_t type, machine;
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;
	int r;

	if (!elf_is(bytes, len) || len < sizeof(h32))
		return malformed(e, "no header");
	f.is64 = id[EI_CLASS] == ELFCLASS64;
	if ((!f.is64 && id[EI_CLASS] != ELFCLASS32) || id[EI_DATA] != ELFDATA2LSB ||
	    id[EI_VERSION] != EV_CURRENT)
		return malformed(e, "neither 32 nor 64 bits, or not little-endian");
	if (f.is64 && len < sizeof(h64))
		return malformed(e, "no header");
	if (f.is64) {
		memcpy(&h64, bytes, sizeof(h64));
		type = h64.e_type;
		machine = h64.e_machine;
		f.entry = h64.e_entry;
		r = take_table(&f, h64.e_phoff, h64.e_phnum, h64.e_phentsize, file_bytes, e);
	} else {
		memcpy(&h32, bytes, sizeof(h32));
		type = h32.e_type;
		machine = h32.e_machine;
		f.entry = h32.e_entry;
		r = take_table(&f, h32.e_phoff, h32.e_phnum, h32.e_phentsize, file_bytes, e);
	}
	if (type != ET_EXEC && type != ET_DYN)
		return err_set(e, ENOEXEC, "ELF: type %u, want an executable", type);
	if (machine != EM_X86_64 && machine != EM_386)
		return err_set(e, ENOEXEC, "ELF: for machine %u, want x86", machine);
	if (r < 0)
		return r;
	*ret = f;
	return 0;
}

/* one_header() - either kind of program header as the wider one */
static Elf64_Phdr one_header(const struct elf *f, const uint8_t *at)
{
	Elf64_Phdr p;
	Elf32_Phdr n;

	if (f->is64) {
		memcpy(&p, at, sizeof(p));
		return p;
	}
	memcpy(&n, at, sizeof(n));
	return (Elf64_Phdr){ .p_type = n.p_type,
			     .p_flags = n.p_flags,
			     .p_offset = n.p_offset,
			     .p_vaddr = n.p_vaddr,
			     .p_paddr = n.p_paddr,
			     .p_filesz = n.p_filesz,
			     .p_memsz = n.p_memsz };
}

static int check_segment(const struct elf *f, unsigned nr, const struct elf_segment *s, uint64_t file_bytes,
			 struct err *e)
{
	if (s->file_bytes > file_bytes || s->offset > file_bytes - s->file_bytes)
		return err_set(e, ENOEXEC, "ELF: segment %u: behind the end of the file", nr);
	if (s->file_bytes > s->mem_bytes)
		return err_set(e, ENOEXEC, "ELF: segment %u: longer in the file than in memory", nr);
	if (s->addr + s->mem_bytes < s->addr || s->vaddr + s->mem_bytes < s->vaddr)
		return err_set(e, ENOEXEC, "ELF: segment %u: wraps around the end of the address space", nr);
	for (unsigned i = 0; i < f->n; i++)
		if (s->addr < f->seg[i].addr + f->seg[i].mem_bytes && f->seg[i].addr < s->addr + s->mem_bytes)
			return err_set(e, ENOEXEC, "ELF: segment %u (0x%llx-0x%llx) overlaps one at 0x%llx",
				       nr, (unsigned long long)s->addr,
				       (unsigned long long)(s->addr + s->mem_bytes),
				       (unsigned long long)f->seg[i].addr);
	return 0;
}

/* fix_entry() - as a physical address: kernels linked high may have told the virtual one */
static int fix_entry(struct elf *f, struct err *e)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->entry >= f->seg[i].addr && f->entry - f->seg[i].addr < f->seg[i].mem_bytes)
			return 0;
	for (unsigned i = 0; i < f->n; i++)
		if (f->entry >= f->seg[i].vaddr && f->entry - f->seg[i].vaddr < f->seg[i].mem_bytes) {
			f->entry = f->seg[i].addr + (f->entry - f->seg[i].vaddr);
			return 0;
		}
	return err_set(e, ENOEXEC, "ELF: entry point 0x%llx in no segment", (unsigned long long)f->entry);
}

int elf_segments(struct elf *f, const void *table, uint64_t file_bytes, struct err *e)
{
	const uint8_t *at = table;

	f->n = f->n_notes = 0;
	for (unsigned i = 0; i < f->table_bytes / f->entry_bytes; i++, at += f->entry_bytes) {
		Elf64_Phdr p = one_header(f, at);
		struct elf_segment s = { p.p_offset, p.p_filesz, p.p_paddr, p.p_memsz, p.p_vaddr };
		int r;

		if (p.p_type == PT_LOAD && p.p_memsz > 0) {
			r = check_segment(f, i, &s, file_bytes, e);
			if (r < 0)
				return r;
			f->seg[f->n++] = s;
		} else if (p.p_type == PT_NOTE && p.p_filesz > 0) {
			if (s.file_bytes > file_bytes || s.offset > file_bytes - s.file_bytes)
				return err_set(e, ENOEXEC, "ELF: notes behind the end of the file");
			f->note[f->n_notes++] = s;
		}
	}
	if (f->n == 0)
		return malformed(e, "nothing to load");
	return fix_entry(f, e);
}

const void *elf_note(const void *notes, size_t len, const char *name, uint32_t type, size_t *ret_len)
{
	const uint8_t *p = notes;
	size_t name_len = strlen(name) + 1;

	while (len >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h; /* the same for both classes; names and contents are padded to 4 */
		uint64_t desc_at, next;

		memcpy(&h, p, sizeof(h));
		desc_at = sizeof(h) + (((uint64_t)h.n_namesz + 3) & ~(uint64_t)3);
		next = desc_at + (((uint64_t)h.n_descsz + 3) & ~(uint64_t)3);
		if (desc_at + h.n_descsz > len)
			return NULL;
		if (h.n_type == type && h.n_namesz == name_len &&
		    memcmp(p + sizeof(h), name, name_len) == 0) {
			*ret_len = h.n_descsz;
			return p + desc_at;
		}
		if (next > len)
			return NULL;
		p += next;
		len -= next;
	}
	return NULL;
}
