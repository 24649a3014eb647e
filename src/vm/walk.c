/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/walk.h"

#include <errno.h>
#include <stdbool.h>

enum {
	PAGE_BITS = 12,
	PTE_PRESENT = 1 << 0,
	PTE_LARGE = 1 << 7,
	CR4_PSE = 1 << 4,
	CR4_PAE = 1 << 5,
	CR4_LA57 = 1 << 12,
	EFER_LMA = 1 << 10,
};
#define CR0_PG      0x80000000U
#define PTE_ADDRESS 0x000ffffffffff000ULL
#define PSE_HIGH(e) (((e)&0x1fe000ULL) << 19) /* bits 32 to 39 of a page of 4 MiB. Spec: table 4-4 */

struct paging {
	unsigned levels, bits, top_bits; /* index bits of a table, of the first one */
	unsigned large_up_to;            /* the highest level, the last being 0, that can have large pages */
};

static struct paging paging_of(const struct x86_state *s)
{
	if (s->efer & EFER_LMA)
		return (struct paging){ s->cr4 & CR4_LA57 ? 5 : 4, 9, 9, 2 };
	if (s->cr4 & CR4_PAE)
		return (struct paging){ 3, 9, 2, 1 };
	return (struct paging){ 2, 10, 10, s->cr4 & CR4_PSE ? 1 : 0 };
}

static bool is_canonical(uint64_t va, unsigned bits)
{
	return (uint64_t)((int64_t)(va << (64 - bits)) >> (64 - bits)) == va;
}

int walk_linear(const struct gmem *mem, const struct x86_state *s, uint64_t va, gpa_t *ret_gpa)
{
	const struct paging p = paging_of(s);
	unsigned bytes = p.bits == 9 ? 8 : 4;
	uint64_t table = s->cr3 & (p.top_bits == 2 ? ~31ULL : PTE_ADDRESS), entry = 0;

	if (!(s->efer & EFER_LMA))
		va = (uint32_t)va;
	else if (!is_canonical(va, PAGE_BITS + p.levels * p.bits))
		return -EFAULT;
	if (!(s->cr0 & CR0_PG)) {
		*ret_gpa = va;
		return 0;
	}
	for (unsigned level = p.levels; level-- > 0; table = entry & PTE_ADDRESS) {
		unsigned shift = PAGE_BITS + level * p.bits;
		unsigned index_bits = level == p.levels - 1 ? p.top_bits : p.bits;
		uint64_t index = va >> shift & ((1ULL << index_bits) - 1), low = (1ULL << shift) - 1;

		entry = 0;
		if (gmem_read(mem, table + index * bytes, &entry, bytes) < 0 || !(entry & PTE_PRESENT))
			return -EFAULT;
		if (level > 0 && !(level <= p.large_up_to && entry & PTE_LARGE))
			continue;
		*ret_gpa = (entry & PTE_ADDRESS & ~low) | (va & low);
		if (level > 0 && bytes == 4)
			*ret_gpa |= PSE_HIGH(entry);
		return 0;
	}
	return -EFAULT;
}

/* part() - of @len bytes at @va, those on one page. */
static size_t part(uint64_t va, size_t len)
{
	size_t room = GMEM_PAGE - (va & (GMEM_PAGE - 1));

	return len < room ? len : room;
}

size_t walk_read(const struct gmem *mem, const struct x86_state *s, uint64_t va, void *dst, size_t len)
{
	uint8_t *to = dst;
	size_t done = 0;

	while (done < len) {
		size_t n = part(va + done, len - done);
		gpa_t gpa;

		if (walk_linear(mem, s, va + done, &gpa) < 0 || gmem_read(mem, gpa, to + done, n) < 0)
			break;
		done += n;
	}
	return done;
}

int walk_write(const struct gmem *mem, const struct x86_state *s, uint64_t va, const void *src, size_t len)
{
	const uint8_t *from = src;
	size_t n;
	gpa_t gpa;

	for (size_t done = 0; done < len; done += n) {
		n = part(va + done, len - done);
		if (walk_linear(mem, s, va + done, &gpa) < 0 || !gmem_ptr(mem, gpa, n))
			return -EFAULT;
	}
	for (size_t done = 0; done < len; done += n) {
		n = part(va + done, len - done);
		if (walk_linear(mem, s, va + done, &gpa) < 0 || gmem_write(mem, gpa, from + done, n) < 0)
			return -EFAULT;
	}
	return 0;
}
