/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscalls(loop): ioctl[1]=PAGEMAP_SCAN pwrite64
 * syscalls(fetch): madvise
 */
#include "vm/workingset.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/guard.h"
#include "sys/pagemap.h"
#include "vm/machine_internal.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { SCAN_AT_ONCE = 512 };

static const char magic[8] = { 'H', 'U', 'L', 'L', 'W', 'S', 'E', 'T' };

struct head {
	char magic[8];
	uint64_t bytes;  /* of the memory file */
	uint32_t n, sum; /* of the ranges' words, so that a list cut off half-way is none */
};

static uint32_t sum_of(const struct workingset *w)
{
	uint64_t sum = 1;

	for (uint32_t i = 0; i < w->n; i++)
		sum = sum * 31 + w->range[i].offset * 7 + w->range[i].len;
	return (uint32_t)(sum ^ sum >> 32);
}

static bool is_sane(const struct workingset *w, uint64_t bytes)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		const struct workingset_range *r = &w->range[i];

		if (((r->offset | r->len) & (GMEM_PAGE - 1)) || r->len == 0 || r->offset < end ||
		    r->offset > bytes || r->len > bytes - r->offset)
			return false;
		end = r->offset + r->len;
	}
	return true;
}

int workingset_read(struct workingset *w, int fd, uint64_t bytes)
{
	struct head h;
	size_t len;

	*w = (struct workingset){ 0 };
	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || memcmp(h.magic, magic, sizeof(magic)) != 0 ||
	    le64toh(h.bytes) != bytes || le32toh(h.n) > WORKINGSET_RANGES_MAX)
		return -EBADMSG;
	w->n = le32toh(h.n);
	len = w->n * sizeof(*w->range);
	w->range = malloc(len + 1);
	if (!w->range || pread(fd, w->range, len, sizeof(h)) != (ssize_t)len) {
		workingset_fini(w);
		return -EBADMSG;
	}
	for (uint32_t i = 0; i < w->n; i++) {
		w->range[i].offset = le64toh(w->range[i].offset);
		w->range[i].len = le64toh(w->range[i].len);
	}
	if (!is_sane(w, bytes) || sum_of(w) != le32toh(h.sum)) {
		workingset_fini(w);
		return -EBADMSG;
	}
	return 0;
}

bool workingset_is_list(int fd)
{
	struct head h;
	ssize_t n = pread(fd, &h, sizeof(h), 0);

	return n == 0 || (n >= (ssize_t)sizeof(magic) && memcmp(h.magic, magic, sizeof(magic)) == 0);
}

void workingset_begin(int fd)
{
	if (pwrite(fd, magic, sizeof(magic), 0) < 0) /* then it is empty, which will do */
		return;
}

int workingset_write(const struct workingset *w, int fd, uint64_t bytes)
{
	struct head h = { .bytes = htole64(bytes), .n = htole32(w->n), .sum = htole32(sum_of(w)) };
	size_t len = w->n * sizeof(*w->range);
	auto_free struct workingset_range *le = malloc(len + 1);

	if (!le)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n; i++)
		le[i] = (struct workingset_range){ htole64(w->range[i].offset), htole64(w->range[i].len) };
	memcpy(h.magic, magic, sizeof(magic));
	if (pwrite(fd, le, len, sizeof(h)) != (ssize_t)len || pwrite(fd, &h, sizeof(h), 0) != sizeof(h))
		return -EIO;
	return 0;
}

/* add() - a range behind the last one, or one with it. False: no room. */
static bool add(struct workingset *w, uint64_t offset, uint64_t len)
{
	struct workingset_range *last = w->n ? &w->range[w->n - 1] : NULL;

	if (last && last->offset + last->len == offset) {
		last->len += len;
		return true;
	}
	if (w->n == WORKINGSET_RANGES_MAX)
		return false;
	w->range[w->n++] = (struct workingset_range){ offset, len };
	return true;
}

/* scan_region() - the part of the file at @offset, mapped as @g. */
static int scan_region(struct workingset *w, const struct gmem_region *g, uint64_t offset, int fd)
{
	struct page_region found[SCAN_AT_ONCE];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)g->host,
		.end = (uintptr_t)g->host + g->size,
		.vec = (uintptr_t)found,
		.vec_len = SCAN_AT_ONCE,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};

	while (scan.start < scan.end) {
		int n = ioctl(fd, PAGEMAP_SCAN, &scan);

		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++)
			if (!add(w, offset + (found[i].start - (uintptr_t)g->host),
				 found[i].end - found[i].start))
				return 0;
		if (scan.walk_end <= scan.start)
			break;
		scan.start = scan.walk_end;
	}
	return 0;
}

/* region_of() - where part @i of the memory file is mapped; NULL: it is not. */
static const struct gmem_region *region_of(const struct gmem *mem, const struct machine_source *s, unsigned i)
{
	const struct gmem_region *g = gmem_find(mem, s->part[i].base, s->part[i].size);

	return g && g->ram && !g->shared ? g : NULL;
}

int workingset_scan(struct workingset *w, const struct gmem *mem, const struct machine_source *s,
		    int pagemap_fd)
{
	int r = 0;

	*w = (struct workingset){ .range = malloc(WORKINGSET_RANGES_MAX * sizeof(*w->range)) };
	if (!w->range)
		return -ENOMEM;
	for (unsigned i = 0; i < s->n && r == 0; i++) {
		const struct gmem_region *g = region_of(mem, s, i);

		if (g)
			r = scan_region(w, g, s->part[i].offset, pagemap_fd);
	}
	if (r < 0)
		workingset_fini(w);
	return r;
}

void workingset_fetch(const struct workingset *w, const struct gmem *mem, const struct machine_source *s,
		      const bool *stop)
{
	unsigned part = 0;

	for (uint32_t i = 0; i < w->n && !__atomic_load_n(stop, __ATOMIC_RELAXED); i++) {
		const struct workingset_range *r = &w->range[i];
		const struct gmem_region *g;
		uint64_t in, len = r->len;
		void *at;

		while (part < s->n && r->offset >= s->part[part].offset + s->part[part].size)
			part++;
		if (part == s->n)
			return;
		g = region_of(mem, s, part);
		in = r->offset - s->part[part].offset;
		if (len > s->part[part].size - in)
			len = s->part[part].size - in;
		if (!g)
			continue;
		at = g->host + in;
		if (madvise(at, len, MADV_POPULATE_READ) < 0)
			madvise(at, len, MADV_WILLNEED); /* before Linux 5.14 */
	}
}

void workingset_fini(struct workingset *w)
{
	free(w->range);
	*w = (struct workingset){ 0 };
}
