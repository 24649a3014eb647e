/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.h - little-endian ELF executables for x86, 32 and 64 bits: what a loader needs of them, checked
 *
 * No I/O: the caller reads the header, then the table that it names, then the notes. After elf_segments() every segment lies
 * inside the file and in an address range of its own, and the entry point is a physical address inside one of them.
 */
#ifndef FMT_ELF_H
#define FMT_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
	ELF_HEADER_BYTES = 64, /* what elf_header() likes to see; fewer for 32 bits */
	ELF_SEGMENTS_MAX = 64,
	ELF_TABLE_BYTES_MAX = ELF_SEGMENTS_MAX * 56,
	ELF_NOTES_BYTES_MAX = 64 << 10, /* of one segment of notes */
};

struct elf_segment {
	uint64_t offset, file_bytes; /* in the file */
	uint64_t addr, mem_bytes;    /* physical; mem_bytes >= file_bytes, what is behind is zero */
	uint64_t vaddr;
};

struct elf {
	bool is64;
	uint64_t entry;
	uint64_t table_offset;
	size_t table_bytes, entry_bytes;
	unsigned n, n_notes;
	struct elf_segment seg[ELF_SEGMENTS_MAX];  /* to be loaded; as the file has them */
	struct elf_segment note[ELF_SEGMENTS_MAX]; /* @offset, @file_bytes */
};

bool elf_is(const void *bytes, size_t len);

/**
 * elf_header() - the header, and where the table of segments is
 * @bytes, @len: the file's start
 * @file_bytes:  how long the whole file is
 * Return: 0; -ENOEXEC not for x86, not an executable, or malformed, with @e set
 */
int elf_header(struct elf *ret, const void *bytes, size_t len, uint64_t file_bytes, struct err *e);

/* elf_segments() - @table: the f->table_bytes bytes at f->table_offset. Return: as above */
int elf_segments(struct elf *f, const void *table, uint64_t file_bytes, struct err *e);

/* elf_note() - what the note @type of owner @name says, in a segment of notes; NULL: there is none, or it is malformed. */
const void *elf_note(const void *notes, size_t len, const char *name, uint32_t type, size_t *ret_len);

#endif
