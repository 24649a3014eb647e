/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.c - what CPUID says: the table that the machine was given, and what follows from the processor's state
 * Spec: Intel SDM volume 2A, CPUID; volume 1, 13.4 and 13.5 (sizes of the XSAVE area)
 */
#include "engine/bt/space/system.h"

enum { EAX, EBX, ECX, EDX };

enum leaf {
	LEAF_FEATURES = 1,
	LEAF_FEATURES_7 = 7,
	LEAF_TOPOLOGY = 0xb,
	LEAF_XSAVE = 0xd,
	LEAF_TOPOLOGY_2 = 0x1f,
};

enum {
	CR4_PKE = 1 << 22,
	EDX_APIC = 1 << 9,
	ECX_OSXSAVE = 1 << 27,
	ECX_OSPKE = 1 << 4,
	APIC_ENABLED = 1 << 11,
	XSAVE_LEGACY = 576, /* bytes: the x87 and SSE area and the header */
	XSAVE_ALIGNED = 2,  /* ECX: the compact form starts it at a multiple of 64 */
	XSAVE_PARTS_END = 63,
};
#define CLASS_MASK 0xf0000000U /* of leaves: basic, hypervisor, extended */
#define INTEL      0x756e6547U /* leaf 0, EBX */

static const struct x86_cpuid *find(const struct bt_cpu *c, uint32_t leaf, uint32_t subleaf)
{
	for (const struct x86_cpuid *t = c->cpuid; t < c->cpuid + c->n_cpuid && t < c->cpuid + BT_CPUID_MAX;
	     t++)
		if (t->leaf == leaf && (!t->indexed || t->subleaf == subleaf))
			return t;
	return NULL;
}

/* beyond() - leaves past the last one of their class: one vendor's processors answer with their last basic leaf */
static const struct x86_cpuid *beyond(const struct bt_cpu *c, uint32_t leaf, uint32_t subleaf)
{
	const struct x86_cpuid *basic = find(c, 0, 0), *first = find(c, leaf & CLASS_MASK, 0);

	if (!basic || basic->ebx != INTEL || (first && leaf <= first->eax))
		return NULL;
	return find(c, basic->eax, subleaf);
}

/* xsave_size() - bytes for what XCR0 has turned on */
static uint32_t xsave_size(const struct bt_cpu *c, bool compact)
{
	uint32_t size = XSAVE_LEGACY;

	for (unsigned i = 2; i < XSAVE_PARTS_END; i++) {
		const struct x86_cpuid *t = c->xcr0 >> i & 1 ? find(c, LEAF_XSAVE, i) : NULL;

		if (!t)
			continue;
		if (compact)
			size = (t->ecx & XSAVE_ALIGNED ? (size + 63) & ~63U : size) + t->eax;
		else if (t->ebx + t->eax > size)
			size = t->ebx + t->eax;
	}
	return size;
}

static void set_bit(uint32_t *reg, uint32_t bit, bool on)
{
	*reg = on ? *reg | bit : *reg & ~bit;
}

/* Levels that are not there say which they are and whose the answer is. */
static void topology(const struct bt_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	if (!find(c, leaf, 0))
		return;
	if (!find(c, leaf, subleaf))
		r[ECX] = subleaf & 0xff;
	r[EDX] = c->lapic.id;
}

void bt_cpuid(const struct bt_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t ret_reg[4])
{
	const struct x86_cpuid *t = find(c, leaf, subleaf);
	uint32_t *r = ret_reg;

	if (!t)
		t = beyond(c, leaf, subleaf);
	r[EAX] = t ? t->eax : 0;
	r[EBX] = t ? t->ebx : 0;
	r[ECX] = t ? t->ecx : 0;
	r[EDX] = t ? t->edx : 0;
	if (t && t->leaf != leaf) { /* the last basic leaf's: it may be one of those below */
		leaf = t->leaf;
		subleaf = t->subleaf;
	}
	switch (leaf) {
	case LEAF_FEATURES:
		set_bit(&r[ECX], ECX_OSXSAVE, c->cr4 & X86_CR4_OSXSAVE);
		if (!(c->apic_base & APIC_ENABLED))
			r[EDX] &= ~(uint32_t)EDX_APIC;
		r[EBX] = (r[EBX] & 0xffffff) | c->lapic.id << 24;
		break;
	case LEAF_FEATURES_7:
		if (subleaf == 0)
			set_bit(&r[ECX], ECX_OSPKE, c->cr4 & CR4_PKE);
		break;
	case LEAF_TOPOLOGY:
	case LEAF_TOPOLOGY_2: topology(c, leaf, subleaf, r); break;
	case LEAF_XSAVE:
		if (t && subleaf < 2)
			r[EBX] = xsave_size(c, subleaf == 1);
		break;
	default: break;
	}
}

bool bt_has(const struct bt_cpu *c, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	const struct x86_cpuid *t = find(c, leaf, subleaf);
	uint32_t r[4];

	if (c->n_cpuid == 0)
		return true;
	if (!t)
		return false;
	r[EAX] = t->eax;
	r[EBX] = t->ebx;
	r[ECX] = t->ecx;
	r[EDX] = t->edx;
	return r[reg & 3] >> bit & 1;
}
