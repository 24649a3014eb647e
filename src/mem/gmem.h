/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem.h - a guest's physical memory as this process sees it: regions of a memory file, and one checked way in
 *
 * Guest-physical addresses have their own type. Nothing but gmem_ptr() turns one into a pointer, and it says NULL for
 * whatever is not wholly inside one region. What is read through it may change under the reader at any moment: copy once
 * (gmem_read()), check the copy.
 *
 * The map is laid out before the first processor runs; memory that is plugged in later is a region from the start, whose
 * pages the balloon or hot-plug device gives and takes back. Who changes the map afterwards (a pmem device comes or goes)
 * sees to it that nobody looks at it meanwhile, or holds a pointer that it gave.
 */
#ifndef MEM_GMEM_H
#define MEM_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

typedef uint64_t gpa_t;

enum { GMEM_REGIONS_MAX = 16, GMEM_PAGE = 4096 };

/* Where a region's pages come from. */
enum gmem_pages { GMEM_PAGES_SMALL, GMEM_PAGES_THP, GMEM_PAGES_2M, GMEM_PAGES_COUNT };

struct gmem_region {
	gpa_t base;         /* page aligned */
	uint64_t size;      /* bytes, whole pages */
	uint8_t *host;      /* owned mapping */
	int fd;             /* owned memory file behind it, or -1 */
	uint64_t fd_offset; /* of @base in @fd */
	bool shared;        /* other processes see what is written (MAP_SHARED); else copy on write */
	bool readonly;      /* to the guest */
	bool ram; /* part of the machine's memory: in snapshots and in the memory map; else a device's (pmem) */
	uint64_t fd_bytes; /* of @fd from @fd_offset; less than @size: the rest is zero memory of @tail_fd */
	int tail_fd;       /* owned memory file, from its start; -1: @fd has all */
	uint8_t *there; /* owned; a bit for each block that is there (gmem_set_there()); NULL: all of it is */
	uint64_t block; /* bytes of one */
	bool has_slot;  /* the board's: the guest sees it, by this slot of the engine */
	unsigned slot;
	uint64_t *dirty; /* owned; a bit for each page that this process wrote; NULL: not tracked */
};

struct gmem {
	struct gmem_region region[GMEM_REGIONS_MAX]; /* by address */
	unsigned n;
	/* is told of what gmem_mark() is told, in the same thread; NULL: nobody */
	void (*marked)(void *arg, gpa_t addr, uint64_t len);
	void *marked_arg;
};

/**
 * gmem_add_ram() - make a region of fresh zero memory: a memfd, mapped shared
 * @base, @size: page aligned; must not touch another region
 * Return: 0; -EINVAL overlap or alignment; -ENOSPC too many; -ENOMEM; what memfd_create(2) and mmap(2) say
 */
int gmem_add_ram(struct gmem *m, gpa_t base, uint64_t size, enum gmem_pages pages, struct err *e);

/**
 * gmem_add_file() - map @size bytes of @fd from @offset: a snapshot's memory (private) or a pmem device (shared)
 * @fd: taken, also on failure. Machine memory must be in it to the last byte; what a device's file lacks reads as zeroes,
 *      and what is written there is gone with the process.
 * Return: as gmem_add_ram(); -EINVAL also: the file is too short
 */
int gmem_add_file(struct gmem *m, gpa_t base, uint64_t size, int fd, uint64_t offset, bool shared,
		  bool readonly, bool ram, struct err *e);

/* gmem_in_file() - bytes of @r, whole pages, that are mapped from @fd: what is behind is @tail_fd. */
uint64_t gmem_in_file(const struct gmem_region *r);

/**
 * gmem_blocks() - the region at @base is made of blocks of @block bytes, of which all or none are there now
 *
 * What is not there is no memory to devices: no pointer leads to it.
 */
int gmem_blocks(struct gmem *m, gpa_t base, uint64_t block, bool all, struct err *e);
/* gmem_set_there() - whole blocks come or go; nothing happens to their pages. A region without blocks: nothing. Any thread looks. */
void gmem_set_there(const struct gmem *m, gpa_t addr, uint64_t len, bool on);

/* gmem_remove() - the region that begins at @base, if there is one. */
void gmem_remove(struct gmem *m, gpa_t base);

/* gmem_track() - remember from now on which pages this process writes (gmem_mark()), cleared by gmem_dirty_take(). */
int gmem_track(struct gmem *m, struct err *e);

/* gmem_mark() - this process has written there through a pointer, and the guest does not know yet. Cheap when nothing is tracked. Any thread. */
void gmem_mark(const struct gmem *m, gpa_t addr, uint64_t len);

/* gmem_dirty_take() - OR region @i's bits into @bits (a bit a page) and clear them. */
void gmem_dirty_take(struct gmem *m, unsigned i, uint64_t *bits);

/* gmem_find() - the region that holds all of [addr, addr + len), or NULL. @len 0 counts as 1. */
const struct gmem_region *gmem_find(const struct gmem *m, gpa_t addr, uint64_t len);

/* gmem_ptr() - for reading and writing; NULL unless all of it lies in one region that the guest may write. */
void *gmem_ptr(const struct gmem *m, gpa_t addr, uint64_t len);

/**
 * gmem_span() - as much of [addr, addr + len) from its start as lies in one region, for buffers that may cross from a region
 * into the next
 * @write: only memory that the guest may write
 * Return: bytes, with *ret_host; 0: @addr is nowhere
 */
uint64_t gmem_span(const struct gmem *m, gpa_t addr, uint64_t len, bool write, void **ret_host);

/* gmem_discard() - give the pages of [addr, addr + len) of a ram region back to the host; they read as zeroes afterwards.
 * Partial pages at the ends stay. Return: 0; -EFAULT; what madvise(2) and mmap(2) say. */
int gmem_discard(const struct gmem *m, gpa_t addr, uint64_t len);

/* gmem_read(), gmem_write() - copy; may cross from a region into the next. Return: 0, -EFAULT. gmem_write() marks. */
int gmem_read(const struct gmem *m, gpa_t addr, void *dst, size_t len);
int gmem_write(const struct gmem *m, gpa_t addr, const void *src, size_t len);

/* gmem_ram_bytes() - the sum of the regions that are the machine's memory. */
uint64_t gmem_ram_bytes(const struct gmem *m);

void gmem_fini(struct gmem *m);

#endif
