/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmu.c - the guest's page tables walked in C, and its memory reached through them
 *
 * Theory of operation. Every walk starts afresh at CR3: what the host has mapped is the guest's TLB, nothing here is. A walk reads its
 * entries once, judges what it read, and then sets accessed and dirty bits by compare-and-exchange against just that; when another
 * processor was faster, it walks again. In PAE mode the four top entries are read at each walk, too, not kept since the last
 * load of CR3: a guest that changes them without loading CR3 sees the change early.
 *
 * Tables outside memory read as zero, not present. Accessed bits that lie in read-only memory stay as they are.
 */
#include "engine/bt/space/mmu.h"

#include "engine/bt/space/debug.h"
#include "engine/bt/space/system.h"

enum pte {
	PTE_PRESENT = 1 << 0,
	PTE_WRITE = 1 << 1,
	PTE_USER = 1 << 2,
	PTE_ACCESSED = 1 << 5,
	PTE_DIRTY = 1 << 6,
	PTE_LARGE = 1 << 7,
	PTE_GLOBAL = 1 << 8,
};
#define PTE_NX   (1ULL << 63)
#define PTE_ADDR (BT_PHYS_END - 0x1000)

enum code {
	CODE_PRESENT = 1 << 0,
	CODE_WRITE = 1 << 1,
	CODE_USER = 1 << 2,
	CODE_RESERVED = 1 << 3,
	CODE_FETCH = 1 << 4,
};

enum { PAGE = 4096, LEVELS_MAX = 4, RACES_MAX = 1000 };

struct paging { /* one of the ways to read tables */
	uint8_t levels, index_bits, entry_bytes;
	uint8_t large_levels;  /* bit n: an entry of level n can be a large page */
	uint64_t root;         /* the bits of CR3 that count */
	uint64_t reserved;     /* in each entry; without NX */
	uint64_t reserved_top; /* in an entry of the highest level, besides */
	bool bare_top;         /* the highest level has no rights and no accessed bits */
};

static const struct paging paging_32 = {
	.levels = 2, .index_bits = 10, .entry_bytes = 4, .large_levels = 1 << 2, .root = 0xfffff000
};
static const struct paging paging_32_small = { /* without CR4.PSE */
					       .levels = 2,
					       .index_bits = 10,
					       .entry_bytes = 4,
					       .root = 0xfffff000
};
static const struct paging paging_pae = {
	.levels = 3,
	.index_bits = 9,
	.entry_bytes = 8,
	.large_levels = 1 << 2,
	.root = 0xffffffe0,
	.reserved = ~(BT_PHYS_END - 1) & ~PTE_NX,
	.reserved_top = PTE_NX | 0x1e6,
	.bare_top = true,
};
static const struct paging paging_4 = {
	.levels = 4,
	.index_bits = 9,
	.entry_bytes = 8,
	.large_levels = 1 << 2 | 1 << 3,
	.root = PTE_ADDR,
	.reserved = ~(BT_PHYS_END - 1) & ((1ULL << 52) - 1),
	.reserved_top = PTE_LARGE,
};

struct walk {
	const struct bt_vm *vm;
	const struct paging *mode;
	uint64_t nx; /* PTE_NX when it counts, 0: it is reserved */
	uint64_t va;
	uint64_t rights;   /* PTE_WRITE and PTE_USER of all entries together, PTE_NX of any */
	unsigned n, shift; /* entries read; bits of the page's size */
	struct {
		uint64_t gpa, value;
	} entry[LEVELS_MAX];
};

/* Guest memory as other processors see it change: one access for each natural size, whatever its alignment. */
typedef uint16_t any16 __attribute__((aligned(1), may_alias));
typedef uint32_t any32 __attribute__((aligned(1), may_alias));
typedef uint64_t any64 __attribute__((aligned(1), may_alias));

static void copy_once(uint8_t *to, const uint8_t *from, size_t n)
{
	switch (n) {
	case 1: *(volatile uint8_t *)to = *(const volatile uint8_t *)from; break;
	case 2: *(volatile any16 *)to = *(const volatile any16 *)from; break;
	case 4: *(volatile any32 *)to = *(const volatile any32 *)from; break;
	case 8: *(volatile any64 *)to = *(const volatile any64 *)from; break;
	default: __builtin_memcpy(to, from, n);
	}
}

const struct bt_slot *bt_slot_of(const struct bt_vm *vm, uint64_t gpa, size_t len)
{
	unsigned from = 0, to = vm->n_slots;

	while (from < to) {
		unsigned middle = (from + to) / 2;
		const struct bt_slot *s = &vm->slot[vm->by_gpa[middle]];

		if (gpa < s->gpa)
			to = middle;
		else if (gpa - s->gpa >= s->size)
			from = middle + 1;
		else
			return len <= s->size - (gpa - s->gpa) ? s : NULL;
	}
	return NULL;
}

void bt_slots_sort(struct bt_vm *vm)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BT_SLOTS_MAX; i++) {
		unsigned at = n;

		if (!vm->slot[i].size)
			continue;
		for (; at > 0 && vm->slot[vm->by_gpa[at - 1]].gpa > vm->slot[i].gpa; at--)
			vm->by_gpa[at] = vm->by_gpa[at - 1];
		vm->by_gpa[at] = (uint16_t)i;
		n++;
	}
	vm->n_slots = n;
}

uint8_t *bt_ram(const struct bt_vm *vm, uint64_t gpa, size_t len, bool write)
{
	const struct bt_slot *s = bt_slot_of(vm, gpa, len);

	if (!s || (write && s->readonly))
		return NULL;
	if (write && s->log) {
		bt_log_note(vm, gpa);
		bt_log_note(vm, gpa + len - 1);
	}
	return s->host + (gpa - s->gpa);
}

static uint64_t entry_read(const struct walk *w, uint64_t gpa)
{
	const uint8_t *p = bt_ram(w->vm, gpa, w->mode->entry_bytes, false);
	uint64_t value = 0;

	if (p)
		copy_once((uint8_t *)&value, p, w->mode->entry_bytes);
	return value;
}

/* entry_mark() - @bits into entry @i, if it still is what was read. Return: false when it is not. */
static bool entry_mark(struct walk *w, unsigned i, uint64_t bits)
{
	uint64_t was = w->entry[i].value, now = was | bits;
	uint32_t was32 = (uint32_t)was;
	uint8_t *p;

	if (now == was)
		return true;
	p = bt_ram(w->vm, w->entry[i].gpa, w->mode->entry_bytes, true);
	if (!p)
		return true;
	w->entry[i].value = now;
	if (w->mode->entry_bytes == 4)
		return __atomic_compare_exchange_n((uint32_t *)(void *)p, &was32, (uint32_t)now, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint64_t *)(void *)p, &was, now, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static bool is_leaf(const struct paging *m, unsigned level, uint64_t value)
{
	return level == 1 || (m->large_levels >> level & 1 && value & PTE_LARGE);
}

static uint64_t reserved_bits(const struct walk *w, unsigned level, unsigned shift, uint64_t value)
{
	const struct paging *m = w->mode;
	uint64_t bits = m->reserved;

	if (m->entry_bytes == 4) /* bits 13 to 20 are address bits 32 to 39 */
		return level == 2 && is_leaf(m, level, value) ? 1 << 21 : 0;
	if (!w->nx)
		bits |= PTE_NX;
	if (level == m->levels)
		bits |= m->reserved_top;
	else if (level > 1 && is_leaf(m, level, value))
		bits |= ((1ULL << shift) - 1) & ~0x1fffULL;
	return bits;
}

static uint64_t leaf_address(const struct walk *w, uint64_t value)
{
	uint64_t inside = (1ULL << w->shift) - 1;

	if (w->mode->entry_bytes == 4 && w->shift == 22)
		return (value & 0xffc00000) | (value >> 13 & 0xff) << 32 | (w->va & inside);
	return (value & PTE_ADDR & ~inside) | (w->va & inside);
}

/* walk_tables() - reads down to the page. Return: 0, or the page fault's code without what says how it was accessed; -1: not present */
static int walk_tables(struct walk *w, uint64_t cr3)
{
	const struct paging *m = w->mode;
	uint64_t table = cr3 & m->root;

	w->n = 0;
	w->rights = PTE_WRITE | PTE_USER;
	for (unsigned level = m->levels; level > 0; level--) {
		unsigned shift = 12 + (level - 1) * m->index_bits;
		uint64_t gpa = table + (w->va >> shift & ((1U << m->index_bits) - 1)) * m->entry_bytes;
		uint64_t value = entry_read(w, gpa);

		if (!(value & PTE_PRESENT))
			return -1;
		if (value & reserved_bits(w, level, shift, value))
			return CODE_PRESENT | CODE_RESERVED;
		if (level < m->levels || !m->bare_top) {
			w->entry[w->n].gpa = gpa;
			w->entry[w->n++].value = value;
			w->rights =
				(w->rights & value & (PTE_WRITE | PTE_USER)) | ((w->rights | value) & w->nx);
		}
		w->shift = shift;
		if (is_leaf(m, level, value))
			break;
		table = value & PTE_ADDR;
	}
	return 0;
}

/*
 * is_allowed() - the rights of all levels against the access
 * Spec: Intel SDM volume 3, 4.6.1
 */
static bool is_allowed(const struct bt_cpu *c, uint64_t rights, unsigned access)
{
	bool user_page = rights & PTE_USER, writable = rights & PTE_WRITE;

	if (access & BT_FETCH && rights & PTE_NX)
		return false;
	if (!(access & BT_SYSTEM) && bt_cpl(c) == 3)
		return user_page && (writable || !(access & BT_WRITE));
	if (access & BT_FETCH)
		return !(user_page && c->cr4 & X86_CR4_SMEP);
	if (user_page && c->cr4 & X86_CR4_SMAP && (access & BT_SYSTEM || !(c->rflags & X86_AC)))
		return false;
	return writable || !(access & BT_WRITE) || !(c->cr0 & X86_CR0_WP);
}

static int page_fault(struct bt_cpu *c, uint64_t va, unsigned access, unsigned code)
{
	if (access & BT_QUIET)
		return BT_FAULT;
	if (access & BT_WRITE)
		code |= CODE_WRITE;
	if (!(access & BT_SYSTEM) && bt_cpl(c) == 3)
		code |= CODE_USER;
	if (access & BT_FETCH && (c->cr4 & X86_CR4_SMEP || (c->cr4 & X86_CR4_PAE && c->efer & X86_EFER_NX)))
		code |= CODE_FETCH;
	bt_raise_code(c, X86_PAGE, code);
	c->fault.cr2 = va;
	return BT_FAULT;
}

static bool mark_used(struct walk *w, unsigned access)
{
	for (unsigned i = 0; i < w->n; i++) {
		bool dirty = i == w->n - 1 && access & BT_WRITE;

		if (!entry_mark(w, i, PTE_ACCESSED | (dirty ? PTE_DIRTY : 0)))
			return false;
	}
	return true;
}

static const struct paging *paging_of(const struct bt_cpu *c)
{
	if (c->efer & X86_EFER_LMA)
		return &paging_4;
	if (c->cr4 & X86_CR4_PAE)
		return &paging_pae;
	return c->cr4 & X86_CR4_PSE ? &paging_32 : &paging_32_small;
}

int bt_walk(struct bt_cpu *c, uint64_t va, unsigned access, struct bt_page *ret_page)
{
	struct walk w = { .vm = c->vm, .nx = c->efer & X86_EFER_NX ? PTE_NX : 0 };
	uint64_t leaf;

	if (!(c->efer & X86_EFER_LMA))
		va = (uint32_t)va;
	else if (!bt_is_canonical(va))
		return access & BT_QUIET ? BT_FAULT : bt_raise_code(c, X86_GP, 0);
	if (!(c->cr0 & X86_CR0_PG)) {
		*ret_page = (struct bt_page){
			.gpa = va, .shift = 12, .writable = true, .user = true, .exec = true, .dirty = true
		};
		return BT_OK;
	}
	w.va = va;
	w.mode = paging_of(c);
	for (unsigned races = 0;; races++) {
		int code = walk_tables(&w, c->cr3);

		if (code != 0)
			return page_fault(c, va, access, code < 0 ? 0 : (unsigned)code);
		if (!is_allowed(c, w.rights, access))
			return page_fault(c, va, access, CODE_PRESENT);
		if (access & BT_QUIET || mark_used(&w, access))
			break;
		if (races == RACES_MAX) /* the guest fights itself; it may as well have unmapped the page */
			return page_fault(c, va, access, 0);
	}
	leaf = w.entry[w.n - 1].value;
	*ret_page = (struct bt_page){
		.gpa = leaf_address(&w, leaf),
		.shift = (uint8_t)w.shift,
		.writable = w.rights & PTE_WRITE,
		.user = w.rights & PTE_USER,
		.exec = !(w.rights & PTE_NX),
		.dirty = leaf & PTE_DIRTY,
		.global = leaf & PTE_GLOBAL && c->cr4 & X86_CR4_PGE,
	};
	return BT_OK;
}

/* The bytes of an access on each of the two pages it can touch. */
struct span {
	uint64_t gpa[2];
	size_t len[2];
};

static int span_walk(struct bt_cpu *c, uint64_t va, size_t n, unsigned access, struct span *s)
{
	struct bt_page p;
	size_t room = PAGE - (va & (PAGE - 1));

	s->len[0] = n < room ? n : room;
	s->len[1] = n - s->len[0];
	for (int i = 0; i < 2 && s->len[i] > 0; i++) {
		if (bt_walk(c, i == 0 ? va : va + room, access, &p) < 0)
			return BT_FAULT;
		s->gpa[i] = p.gpa;
	}
	bt_debug_touches(c, va, n, access & BT_WRITE);
	return BT_OK;
}

/* The APIC's registers are 32 bits wide, 16 bytes apart; parts of one can be read, only a whole one written. */
static void lapic_access(struct bt_cpu *c, struct bt_io *io)
{
	unsigned reg = (io->addr & (PAGE - 1)) >> 4, at = io->addr & 15;
	uint64_t value = 0;

	if (io->write) {
		if (at == 0 && io->size >= 4)
			(void)bt_lapic_write(c, reg, (uint32_t)io->data);
		return;
	}
	if (at < 4 && bt_lapic_read(c, reg, &value) == BT_OK)
		value = (uint32_t)value >> at * 8;
	io->data = value;
}

/* device_access() - what is no memory, in pieces of 8, 4, 2 and 1 bytes */
static void device_access(struct bt_cpu *c, uint64_t gpa, uint8_t *buf, size_t n, bool write)
{
	while (n > 0) {
		struct bt_io io = { .write = write, .addr = gpa };

		io.size = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
		if (write)
			__builtin_memcpy(&io.data, buf, io.size);
		if (bt_lapic_has_page(c, gpa)) {
			lapic_access(c, &io);
		} else {
			bt_count(c, BT_COUNT_IO);
			c->world->io(c, &io);
		}
		if (!write)
			__builtin_memcpy(buf, &io.data, io.size);
		gpa += io.size;
		buf += io.size;
		n -= io.size;
	}
}

int bt_load(struct bt_cpu *c, uint64_t va, void *buf, size_t n, unsigned access)
{
	struct span s = { 0 };
	uint8_t *to = buf;

	if (span_walk(c, va, n, access, &s) < 0)
		return BT_FAULT;
	for (int i = 0; i < 2 && s.len[i] > 0; to += s.len[i++]) {
		const uint8_t *p = bt_ram(c->vm, s.gpa[i], s.len[i], false);

		if (p)
			copy_once(to, p, s.len[i]);
		else
			device_access(c, s.gpa[i], to, s.len[i], false);
	}
	return BT_OK;
}

int bt_store(struct bt_cpu *c, uint64_t va, const void *buf, size_t n, unsigned access)
{
	struct span s = { 0 };
	const uint8_t *from = buf;

	if (span_walk(c, va, n, access | BT_WRITE, &s) < 0)
		return BT_FAULT;
	for (int i = 0; i < 2 && s.len[i] > 0; from += s.len[i++]) {
		uint8_t *p = bt_ram(c->vm, s.gpa[i], s.len[i], true);

		if (p) {
			c->world->code_written(c, s.gpa[i], s.len[i]);
			copy_once(p, from, s.len[i]);
		} else {
			device_access(c, s.gpa[i], (uint8_t *)from, s.len[i], true);
		}
	}
	return BT_OK;
}

int bt_fetch(struct bt_cpu *c, uint64_t va, uint8_t *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		size_t room = PAGE - ((va + done) & (PAGE - 1)), len = n - done < room ? n - done : room;
		const uint8_t *p;
		struct bt_page page = { 0 };

		if (bt_walk(c, va + done, BT_FETCH, &page) < 0)
			return done > 0 ? (int)done : BT_FAULT;
		p = bt_ram(c->vm, page.gpa, len, false);
		if (p)
			__builtin_memcpy(buf + done, p, len);
		else
			__builtin_memset(buf + done, 0xff,
					 len); /* nobody answers a fetch: no device is asked */
		done += len;
	}
	return (int)done;
}

int bt_reach(struct bt_cpu *c, uint64_t va, size_t n, unsigned access, uint8_t **ret_p)
{
	struct bt_page page = { 0 };
	uint8_t *p;

	*ret_p = NULL;
	if ((va & (PAGE - 1)) + n > PAGE)
		return BT_OK;
	if (bt_walk(c, va, access | BT_WRITE, &page) < 0)
		return BT_FAULT;
	bt_debug_touches(c, va, n, true);
	p = bt_ram(c->vm, page.gpa, n, true);
	if (p)
		c->world->code_written(c, page.gpa, n);
	*ret_p = p;
	return BT_OK;
}
