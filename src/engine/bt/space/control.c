/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - control and debug registers, XCR0, and what follows from them
 *
 * Flushes: more than the architecture asks for where that is cheap. The host's mappings were made under CR0.WP, CR4.SMEP and the
 * like; whatever changes one of these has all made anew. In PAE mode the four top entries are only checked here: walks read them
 * again (mmu.c).
 * Spec: Intel SDM volume 3, chapters 2.5, 2.6, 4.1, 4.10.4, 9.8.5, 17.2
 */
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"
#include "engine/bt/space/system.h"

enum { EAX, EBX, ECX, EDX };

enum {
	CR4_ALWAYS = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |
		     X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT,
	CR4_MAPPINGS = X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP,
	CR0_KEPT = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM,
	PCID_MASK = 0xfff,
	PDPTE_RESERVED = 0x1e6,
	PDPTES = 4,
};
#define CR3_KEEP (1ULL << 63)

enum { DR6_RESET = 0xffff0ff0U, DR6_WRITABLE = 0xe00f, DR6_BD = 1 << 13, DR7_GD = 1 << 13, DR7_ONE = 0x400 };
#define DR7_WRITABLE 0xffff23ffU

enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4, XCR0_MPX = 3 << 3, XCR0_AVX512 = 7 << 5 };

static const struct {
	uint32_t bit, leaf;
	uint8_t reg, feature;
} cr4_features[] = {
	{ X86_CR4_UMIP, 7, ECX, 2 },     { X86_CR4_FSGSBASE, 7, EBX, 0 }, { X86_CR4_PCIDE, 1, ECX, 17 },
	{ X86_CR4_OSXSAVE, 1, ECX, 26 }, { X86_CR4_SMEP, 7, EBX, 7 },     { X86_CR4_SMAP, 7, EBX, 20 },
};

uint64_t bt_cr4_valid(const struct bt_cpu *c)
{
	uint64_t valid = CR4_ALWAYS;

	for (unsigned i = 0; i < sizeof(cr4_features) / sizeof(cr4_features[0]); i++)
		if (bt_has(c, cr4_features[i].leaf, 0, cr4_features[i].reg, cr4_features[i].feature))
			valid |= cr4_features[i].bit;
	return valid;
}

uint64_t bt_efer_valid(const struct bt_cpu *c)
{
	return (bt_has(c, 0x80000001, 0, EDX, 11) ? X86_EFER_SCE : 0) |
	       (bt_has(c, 0x80000001, 0, EDX, 29) ? X86_EFER_LME | X86_EFER_LMA : 0) |
	       (bt_has(c, 0x80000001, 0, EDX, 20) ? X86_EFER_NX : 0) |
	       (bt_has(c, 0x80000021, 0, EAX, 8) ? X86_EFER_AUTO_IBRS : 0);
}

bool bt_xcr0_valid(const struct bt_cpu *c, uint64_t value)
{
	uint64_t shown = XCR0_X87 | XCR0_SSE | XCR0_AVX;

	if (c->n_cpuid > 0) {
		shown = 0;
		for (unsigned i = 0; i < 64; i++)
			if (bt_has(c, 0xd, 0, i < 32 ? EAX : EDX, i & 31))
				shown |= 1ULL << i;
	}
	if (!(value & XCR0_X87) || value & ~shown)
		return false;
	if (value & XCR0_AVX && !(value & XCR0_SSE))
		return false;
	if (value & XCR0_MPX && (value & XCR0_MPX) != XCR0_MPX)
		return false;
	return !(value & XCR0_AVX512) || ((value & XCR0_AVX512) == XCR0_AVX512 && value & XCR0_AVX);
}

static int refuse(struct bt_cpu *c)
{
	return bt_raise_code(c, X86_GP, 0);
}

/* pdptes_check() - PAE's top entries, as loading CR3 does */
static int pdptes_check(struct bt_cpu *c, uint64_t cr3)
{
	const uint64_t *e =
		(const uint64_t *)(const void *)bt_ram(c->vm, cr3 & 0xffffffe0, PDPTES * sizeof(*e), false);

	for (unsigned i = 0; e && i < PDPTES; i++) {
		uint64_t value = __atomic_load_n(e + i, __ATOMIC_RELAXED);

		if (value & 1 && value & (PDPTE_RESERVED | ~(BT_PHYS_END - 1)))
			return refuse(c);
	}
	return BT_OK;
}

static bool is_pae(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return cr0 & X86_CR0_PG && cr4 & X86_CR4_PAE && !(efer & X86_EFER_LME);
}

/* paging_on() - may CR0.PG be set? */
static int paging_on(struct bt_cpu *c, uint64_t value)
{
	if (!(value & X86_CR0_PE))
		return refuse(c);
	if (!(c->efer & X86_EFER_LME))
		return is_pae(value, c->cr4, c->efer) ? pdptes_check(c, c->cr3) : BT_OK;
	if (!(c->cr4 & X86_CR4_PAE) || c->seg[X86_CS].attr & BT_ATTR_L ||
	    (c->seg[X86_TR].attr & 15) < BT_TSS_32)
		return refuse(c);
	return BT_OK;
}

static int cr0_write(struct bt_cpu *c, uint64_t value)
{
	uint64_t was = c->cr0, changed;

	if (value >> 32 || (value & X86_CR0_NW && !(value & X86_CR0_CD)) ||
	    (value & X86_CR0_PG && !(value & X86_CR0_PE)))
		return refuse(c);
	if (value & X86_CR0_PG && !(was & X86_CR0_PG) && paging_on(c, value) < 0)
		return BT_FAULT;
	if (!(value & X86_CR0_PG) && was & X86_CR0_PG && (bt_is_long(c) || c->cr4 & X86_CR4_PCIDE))
		return refuse(c);
	c->cr0 = (value & (CR0_KEPT | X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
	changed = c->cr0 ^ was;
	if (changed & X86_CR0_PG) {
		c->efer &= ~(uint64_t)X86_EFER_LMA;
		if (c->cr0 & X86_CR0_PG && c->efer & X86_EFER_LME)
			c->efer |= X86_EFER_LMA;
	}
	if (changed & (X86_CR0_PG | X86_CR0_WP))
		c->world->flush(c, BT_FLUSH_ALL, 0);
	return BT_OK;
}

static int cr3_write(struct bt_cpu *c, uint64_t value)
{
	uint64_t keep = c->cr4 & X86_CR4_PCIDE ? value & CR3_KEEP : 0;

	if (!(c->efer & X86_EFER_LMA))
		value = (uint32_t)value;
	if ((value & ~keep) & ~(BT_PHYS_END - 1))
		return refuse(c);
	if (is_pae(c->cr0, c->cr4, c->efer) && pdptes_check(c, value) < 0)
		return BT_FAULT;
	c->cr3 = value & ~keep;
	c->world->flush(c, BT_FLUSH_SPACE, value);
	return BT_OK;
}

static int cr4_write(struct bt_cpu *c, uint64_t value)
{
	uint64_t changed = c->cr4 ^ value;

	if (value & ~bt_cr4_valid(c))
		return refuse(c);
	if (c->efer & X86_EFER_LMA && !(value & X86_CR4_PAE))
		return refuse(c);
	if (changed & value & X86_CR4_PCIDE && (!(c->efer & X86_EFER_LMA) || c->cr3 & PCID_MASK))
		return refuse(c);
	if (is_pae(c->cr0, value, c->efer) && changed & CR4_MAPPINGS && pdptes_check(c, c->cr3) < 0)
		return BT_FAULT;
	c->cr4 = value;
	if (changed & CR4_MAPPINGS)
		c->world->flush(c, BT_FLUSH_ALL, 0);
	return BT_OK;
}

int bt_cr_read(struct bt_cpu *c, unsigned n, uint64_t *ret_value)
{
	switch (n) {
	case 0: *ret_value = c->cr0; return BT_OK;
	case 2: *ret_value = c->cr2; return BT_OK;
	case 3: *ret_value = c->cr3; return BT_OK;
	case 4: *ret_value = c->cr4; return BT_OK;
	case 8: *ret_value = c->lapic.tpr >> 4; return BT_OK;
	default: return bt_raise(c, X86_UD);
	}
}

int bt_cr_write(struct bt_cpu *c, unsigned n, uint64_t value)
{
	switch (n) {
	case 0: return cr0_write(c, value);
	case 2: c->cr2 = value; return BT_OK;
	case 3: return cr3_write(c, value);
	case 4: return cr4_write(c, value);
	case 8:
		if (value > 15)
			return refuse(c);
		c->lapic.tpr = (uint32_t)value << 4;
		return BT_OK;
	default: return bt_raise(c, X86_UD);
	}
}

/* dr_check() - may debug register @n be touched? 4 and 5 are 6 and 7, or none. */
static int dr_check(struct bt_cpu *c, unsigned *n)
{
	if (*n > 7 || ((*n == 4 || *n == 5) && c->cr4 & X86_CR4_DE))
		return bt_raise(c, X86_UD);
	if (*n == 4 || *n == 5)
		*n += 2;
	if (!(c->dr7 & DR7_GD))
		return BT_OK;
	bt_raise(c, X86_DB);
	c->fault.dr6 = DR6_BD;
	return BT_FAULT;
}

int bt_dr_read(struct bt_cpu *c, unsigned n, uint64_t *ret_value)
{
	if (dr_check(c, &n) < 0)
		return BT_FAULT;
	*ret_value = n == 6 ? c->dr6 : n == 7 ? c->dr7 : c->dr[n];
	return BT_OK;
}

int bt_dr_write(struct bt_cpu *c, unsigned n, uint64_t value)
{
	if (dr_check(c, &n) < 0)
		return BT_FAULT;
	if (n >= 6 && value >> 32)
		return refuse(c);
	if (n == 6)
		c->dr6 = (value & DR6_WRITABLE) | DR6_RESET;
	else if (n == 7)
		c->dr7 = (value & DR7_WRITABLE) | DR7_ONE;
	else
		c->dr[n] = value;
	return BT_OK;
}

int bt_xsetbv(struct bt_cpu *c, uint32_t index, uint64_t value)
{
	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return bt_raise(c, X86_UD);
	if (index != 0 || !bt_xcr0_valid(c, value))
		return refuse(c);
	c->xcr0 = value;
	return BT_OK;
}
