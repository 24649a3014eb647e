/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmem.c - regions of guest memory, kept in order of address
 *
 * Theory of operation. A region's mapping is placed so that its host address and its guest address agree modulo 2 MiB: only then
 * can a huge page of the host be one of the guest. Nothing is reserved in swap (MAP_NORESERVE): a machine's size is a
 * promise to the guest, not to the host. Pages of hugetlbfs are the exception: they are reserved at once, since running
 * out of them later is a SIGBUS in the middle of a guest's instruction.
 *
 * The memory file is sealed against change of size: whoever else maps it (an engine's processes) cannot take pages away
 * from under this one.
 *
 * Dirty bits are set by any thread (devices, requests) and taken by one: relaxed atomics are enough, because the taker
 * looks only while the machine is paused, and pausing orders both sides.
 *
 * syscalls(device): madvise
 * syscalls(hotplug): memfd_create ftruncate fcntl
 */
#include "mem/gmem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/call.h"
#include "sys/file.h"

enum { HUGE_BYTES = 2 << 20, WORD_BITS = 64 };

static long map_pages(void *at, uint64_t size, int prot, int flags, int fd, uint64_t offset)
{
	return SYS6(SYS_mmap, at, size, prot, flags, fd, offset);
}

/* place() - reserve @size bytes of address space that agree with @base modulo 2 MiB. Return: the address or -errno. */
static long place(gpa_t base, uint64_t size)
{
	uint64_t whole = size + HUGE_BYTES, skip;
	long at = map_pages(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at < 0)
		return at;
	skip = (base - (uint64_t)at) & (HUGE_BYTES - 1);
	if (skip > 0)
		SYS2(SYS_munmap, at, skip);
	SYS2(SYS_munmap, (uint64_t)at + skip + size, HUGE_BYTES - skip);
	return at + (long)skip;
}

/* file_make() - the memory file of a RAM region. Return: descriptor or -errno. */
static int file_make(uint64_t size, enum gmem_pages pages)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	auto_close int fd = -1;
	long r;

	if (pages == GMEM_PAGES_2M)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	fd = file_memfd("guest", flags);
	if (fd < 0)
		return fd;
	r = SYS2(SYS_ftruncate, fd, size);
	if (r >= 0)
		r = SYS3(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return r < 0 ? (int)r : TAKE_FD(fd);
}

uint64_t gmem_in_file(const struct gmem_region *r)
{
	uint64_t n = (r->fd_bytes + GMEM_PAGE - 1) & ~(uint64_t)(GMEM_PAGE - 1);

	return n < r->size ? n : r->size;
}

/* region_map() - map what @r describes; on failure it has no mapping. */
static int region_map(struct gmem_region *r, int extra)
{
	int prot = PROT_READ | (r->readonly && r->shared ? 0 : PROT_WRITE);
	int flags = MAP_FIXED | (r->shared ? MAP_SHARED : MAP_PRIVATE) | extra;
	uint64_t in_file = gmem_in_file(r);
	long at = place(r->base, r->size), got = 0;

	if (at < 0)
		return (int)at;
	if (in_file > 0)
		got = map_pages((void *)at, in_file, prot, flags, r->fd, r->fd_offset);
	if (got >= 0 && in_file < r->size)
		got = r->tail_fd = file_make(r->size - in_file, GMEM_PAGES_SMALL);
	if (got >= 0 && in_file < r->size)
		got = map_pages((void *)(at + (long)in_file), r->size - in_file, prot,
				MAP_FIXED | MAP_SHARED | MAP_NORESERVE, r->tail_fd, 0);
	if (got < 0) {
		SYS2(SYS_munmap, at, r->size);
		return (int)got;
	}
	SYS3(SYS_madvise, at, r->size,
	     MADV_DONTDUMP); /* a core file of the monitor is not the guest's memory */
	r->host = (uint8_t *)at;
	return 0;
}

static void region_fini(struct gmem_region *r)
{
	if (r->host)
		SYS2(SYS_munmap, r->host, r->size);
	fd_close(&r->fd);
	fd_close(&r->tail_fd);
	free(r->there);
	free(r->dirty);
	*r = (struct gmem_region){ .fd = -1, .tail_fd = -1 };
}

/* slot_find() - where a region of these bounds belongs. Return: index or -errno. */
static int slot_find(const struct gmem *m, gpa_t base, uint64_t size, struct err *e)
{
	unsigned i = 0;

	if (size == 0 || ((base | size) & (GMEM_PAGE - 1)) || base + size < base)
		return err_set(e, EINVAL, "memory at 0x%llx, 0x%llx bytes: not whole pages",
			       (unsigned long long)base, (unsigned long long)size);
	if (m->n == GMEM_REGIONS_MAX)
		return err_set(e, ENOSPC, "memory at 0x%llx: more than %d regions", (unsigned long long)base,
			       GMEM_REGIONS_MAX);
	while (i < m->n && m->region[i].base < base)
		i++;
	if ((i < m->n && base + size > m->region[i].base) ||
	    (i > 0 && m->region[i - 1].base + m->region[i - 1].size > base))
		return err_set(e, EINVAL, "memory at 0x%llx, 0x%llx bytes: overlaps another region",
			       (unsigned long long)base, (unsigned long long)size);
	return (int)i;
}

/* region_add() - map @r and put it at @slot. @r is taken, also on failure. */
static int region_add(struct gmem *m, int slot, struct gmem_region *r, int extra, struct err *e)
{
	int rc = region_map(r, extra);

	if (rc < 0) {
		err_sys(e, -rc, "memory at 0x%llx, 0x%llx bytes: map", (unsigned long long)r->base,
			(unsigned long long)r->size);
		region_fini(r);
		return rc;
	}
	memmove(&m->region[slot + 1], &m->region[slot], (m->n - (unsigned)slot) * sizeof(*r));
	m->region[slot] = *r;
	m->n++;
	return 0;
}

int gmem_add_ram(struct gmem *m, gpa_t base, uint64_t size, enum gmem_pages pages, struct err *e)
{
	struct gmem_region r = { .base = base, .size = size, .fd = -1, .tail_fd = -1, .fd_bytes = size };
	int rc, slot;

	if (pages == GMEM_PAGES_2M && ((base | size) & (HUGE_BYTES - 1)))
		return err_set(e, EINVAL, "memory at 0x%llx, 0x%llx bytes: not whole huge pages",
			       (unsigned long long)base, (unsigned long long)size);
	slot = slot_find(m, base, size, e);
	if (slot < 0)
		return slot;
	r.shared = r.ram = true;
	r.fd = file_make(size, pages);
	if (r.fd < 0)
		return err_sys(e, -r.fd, "memory at 0x%llx, 0x%llx bytes: memory file",
			       (unsigned long long)base, (unsigned long long)size);
	rc = region_add(m, slot, &r, pages == GMEM_PAGES_2M ? 0 : MAP_NORESERVE, e);
	if (rc == 0 && pages == GMEM_PAGES_THP) /* a wish: without it the pages are small */
		SYS3(SYS_madvise, m->region[slot].host, size, MADV_HUGEPAGE);
	return rc;
}

/* file_bytes() - how much of [offset, offset + size) the file has. Return: 0 or -errno. */
static int file_bytes(int fd, uint64_t offset, uint64_t size, uint64_t *ret)
{
	off_t end = (off_t)SYS3(SYS_lseek, fd, 0, SEEK_END); /* a block device's fstat(2) says 0 */

	if (end < 0)
		return (int)end;
	*ret = (uint64_t)end <= offset ? 0 : (uint64_t)end - offset;
	if (*ret > size)
		*ret = size;
	return 0;
}

int gmem_add_file(struct gmem *m, gpa_t base, uint64_t size, int fd, uint64_t offset, bool shared,
		  bool readonly, bool ram, struct err *e)
{
	struct gmem_region r = { .base = base, .size = size, .fd = fd, .tail_fd = -1, .fd_offset = offset };
	int slot = slot_find(m, base, size, e);
	int rc;

	if (slot >= 0 && (offset & (GMEM_PAGE - 1)))
		slot = err_set(e, EINVAL, "memory at 0x%llx: file offset 0x%llx is not of whole pages",
			       (unsigned long long)base, (unsigned long long)offset);
	if (slot < 0) {
		fd_close(&fd);
		return slot;
	}
	r.shared = shared;
	r.readonly = readonly;
	r.ram = ram;
	rc = file_bytes(fd, offset, size, &r.fd_bytes);
	if (rc < 0)
		err_sys(e, -rc, "memory at 0x%llx: size of its file", (unsigned long long)base);
	else if (ram && r.fd_bytes < size)
		rc = err_set(e, EINVAL, "memory at 0x%llx: its file has %llu of %llu bytes",
			     (unsigned long long)base, (unsigned long long)r.fd_bytes,
			     (unsigned long long)size);
	if (rc < 0) {
		fd_close(&fd);
		return rc;
	}
	return region_add(m, slot, &r, MAP_NORESERVE, e);
}

void gmem_remove(struct gmem *m, gpa_t base)
{
	unsigned i = 0;

	while (i < m->n && m->region[i].base != base)
		i++;
	if (i == m->n)
		return;
	region_fini(&m->region[i]);
	m->n--;
	memmove(&m->region[i], &m->region[i + 1], (m->n - i) * sizeof(m->region[0]));
}

static size_t dirty_words(const struct gmem_region *r)
{
	return (size_t)((r->size / GMEM_PAGE + WORD_BITS - 1) / WORD_BITS);
}

int gmem_track(struct gmem *m, struct err *e)
{
	for (unsigned i = 0; i < m->n; i++) {
		struct gmem_region *r = &m->region[i];

		if (r->dirty || !r->ram)
			continue;
		r->dirty = calloc(dirty_words(r), sizeof(*r->dirty));
		if (!r->dirty)
			return err_sys(e, ENOMEM, "memory at 0x%llx: dirty bits",
				       (unsigned long long)r->base);
	}
	return 0;
}

/* region_mark() - @offset and @len are inside @r. */
static void region_mark(const struct gmem_region *r, uint64_t offset, uint64_t len)
{
	uint64_t last = (offset + len - 1) / GMEM_PAGE;

	for (uint64_t page = offset / GMEM_PAGE; page <= last; page++) {
		uint64_t *word = &r->dirty[page / WORD_BITS], bit = 1ULL << (page % WORD_BITS);

		/* pairs with the exchange in gmem_dirty_take(); the look first keeps a hot line shared */
		if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
			__atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
	}
}

void gmem_mark(const struct gmem *m, gpa_t addr, uint64_t len)
{
	if (m->marked && len > 0)
		m->marked(m->marked_arg, addr, len);
	while (len > 0) {
		const struct gmem_region *r = gmem_find(m, addr, 1);
		uint64_t n;

		if (!r)
			return;
		n = r->size - (addr - r->base);
		if (n > len)
			n = len;
		if (r->dirty)
			region_mark(r, addr - r->base, n);
		addr += n;
		len -= n;
	}
}

void gmem_dirty_take(struct gmem *m, unsigned i, uint64_t *bits)
{
	struct gmem_region *r = &m->region[i];

	if (!r->dirty)
		return;
	for (size_t w = 0; w < dirty_words(r); w++) /* pairs with region_mark() */
		if (__atomic_load_n(&r->dirty[w], __ATOMIC_RELAXED))
			bits[w] |= __atomic_exchange_n(&r->dirty[w], 0, __ATOMIC_RELAXED);
}

const struct gmem_region *gmem_find(const struct gmem *m, gpa_t addr, uint64_t len)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct gmem_region *r = &m->region[i];
		uint64_t offset = addr - r->base;

		/* an address below the base wraps to a huge offset: one comparison answers for both ends */
		if (offset < r->size)
			return (len ? len : 1) <= r->size - offset ? r : NULL;
	}
	return NULL;
}

/* there() - of the @len bytes from @offset on, how many are there, from the first one on. */
static uint64_t there(const struct gmem_region *r, uint64_t offset, uint64_t len)
{
	uint64_t at = offset, end = offset + len;

	if (!r->there)
		return len;
	while (at < end) { /* relaxed: what a block that comes has in it is zero, and what went is nobody's */
		uint64_t i = at / r->block;

		if (!(__atomic_load_n(&r->there[i / 8], __ATOMIC_RELAXED) >> i % 8 & 1))
			break;
		at = (i + 1) * r->block;
	}
	return at < end ? at > offset ? at - offset : 0 : len;
}

int gmem_blocks(struct gmem *m, gpa_t base, uint64_t block, bool all, struct err *e)
{
	struct gmem_region *r = NULL;
	uint64_t n;

	for (unsigned i = 0; i < m->n; i++)
		if (m->region[i].base == base)
			r = &m->region[i];
	if (!r || block == 0 || r->size % block)
		return err_set(e, EINVAL, "memory at 0x%llx: cannot be of blocks of 0x%llx bytes",
			       (unsigned long long)base, (unsigned long long)block);
	n = (r->size / block + 7) / 8;
	free(r->there);
	r->there = malloc(n);
	if (!r->there)
		return err_sys(e, ENOMEM, "memory at 0x%llx: blocks", (unsigned long long)base);
	memset(r->there, all ? 0xff : 0, n);
	r->block = block;
	return 0;
}

void gmem_set_there(const struct gmem *m, gpa_t addr, uint64_t len, bool on)
{
	const struct gmem_region *r = gmem_find(m, addr, len);

	if (!r || !r->there)
		return;
	for (uint64_t i = (addr - r->base) / r->block; i < (addr - r->base + len) / r->block; i++) {
		uint8_t bit = (uint8_t)(1 << i % 8);

		if (on)
			__atomic_fetch_or(&r->there[i / 8], bit, __ATOMIC_RELAXED);
		else
			__atomic_fetch_and(&r->there[i / 8], (uint8_t)~bit, __ATOMIC_RELAXED);
	}
}

void *gmem_ptr(const struct gmem *m, gpa_t addr, uint64_t len)
{
	const struct gmem_region *r = gmem_find(m, addr, len);

	if (!r || r->readonly || there(r, addr - r->base, len) < len)
		return NULL;
	return r->host + (addr - r->base);
}

uint64_t gmem_span(const struct gmem *m, gpa_t addr, uint64_t len, bool write, void **ret_host)
{
	const struct gmem_region *r = gmem_find(m, addr, 1);
	uint64_t left;

	if (!r || (write && r->readonly))
		return 0;
	left = r->size - (addr - r->base);
	*ret_host = r->host + (addr - r->base);
	return there(r, addr - r->base, len < left ? len : left);
}

/* region_discard() - whole pages inside @r. A shared region's pages are the file's; a private one's are its own copies
 * and, under them, a snapshot's that must not show again: fresh zero pages go over both. */
static int region_discard(const struct gmem_region *r, uint64_t offset, uint64_t len)
{
	long rc;

	if (r->shared) /* not by fallocate(2): a page fault handler is told of this, and gives zeroes afterwards */
		return (int)SYS3(SYS_madvise, r->host + offset, len, MADV_REMOVE);
	rc = map_pages(r->host + offset, len, PROT_READ | PROT_WRITE,
		       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rc >= 0)
		SYS3(SYS_madvise, r->host + offset, len, MADV_DONTDUMP);
	return rc < 0 ? (int)rc : 0;
}

int gmem_discard(const struct gmem *m, gpa_t addr, uint64_t len)
{
	const struct gmem_region *r = gmem_find(m, addr, len);
	uint64_t from, to;
	int rc;

	if (!r || !r->ram || r->readonly)
		return -EFAULT;
	from = (addr - r->base + GMEM_PAGE - 1) & ~(uint64_t)(GMEM_PAGE - 1);
	to = (addr - r->base + len) & ~(uint64_t)(GMEM_PAGE - 1);
	if (from >= to)
		return 0;
	rc = region_discard(r, from, to - from);
	if (rc == 0 && r->dirty)
		region_mark(r, from, to - from); /* a difference to the last snapshot: zeroes now */
	return rc;
}

int gmem_read(const struct gmem *m, gpa_t addr, void *dst, size_t len)
{
	uint8_t *to = dst;
	void *host;

	while (len > 0) {
		uint64_t n = gmem_span(m, addr, len, false, &host);

		if (n == 0)
			return -EFAULT;
		memcpy(to, host, n);
		to += n;
		addr += n;
		len -= n;
	}
	return 0;
}

int gmem_write(const struct gmem *m, gpa_t addr, const void *src, size_t len)
{
	const uint8_t *from = src;
	void *host;

	while (len > 0) {
		uint64_t n = gmem_span(m, addr, len, true, &host);

		if (n == 0)
			return -EFAULT;
		memcpy(host, from, n);
		gmem_mark(m, addr, n);
		from += n;
		addr += n;
		len -= n;
	}
	return 0;
}

uint64_t gmem_ram_bytes(const struct gmem *m)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < m->n; i++)
		if (m->region[i].ram)
			sum += m->region[i].size;
	return sum;
}

void gmem_fini(struct gmem *m)
{
	for (unsigned i = 0; i < m->n; i++)
		region_fini(&m->region[i]);
	m->n = 0;
}
