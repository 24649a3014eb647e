/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid_models.c - named models: what a machine shows that is to run on several kinds of host
 *
 * A level (x86-64-v2, ...) is exact: a guest sees these features and no others, on every host that has them; a host that
 * lacks one refuses. What protects against speculation stays as the host has it: without it a guest would protect itself
 * less, or slower. A template (T2, ...) is Firecracker's: bits it names become what it says, all else is the host's.
 *
 * Spec: x86-64 psABI 3.1.1 "Microarchitecture levels"; Firecracker, docs/cpu_templates
 */
#include <string.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "engine/engine.h"
#include "vm/boot.h"
#include "vm/cpuid_internal.h"

#define BIT(n) (1U << (n))

/* --- levels ------------------------------------------------------------------------------------------------------- */

enum { LEVELS = 3, WORDS = 10 };

/* What any level has: a 64-bit processor with what a kernel counts on. PSE..SSE2; x2APIC, deadline timer */
#define BASE_1_EDX  0x078bab7f
#define BASE_1_ECX  (BIT(21) | BIT(24))
#define V2_1_ECX    (BASE_1_ECX | BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23))
#define V3_1_ECX    (V2_1_ECX | BIT(12) | BIT(22) | BIT(26) | BIT(28) | BIT(29))
#define V3_7_EBX    (BIT(3) | BIT(5) | BIT(8))
#define V4_7_EBX    (V3_7_EBX | BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31))
#define BASE_81_EDX (BIT(11) | BIT(20) | BIT(29)) /* SYSCALL NX LM */

static const struct level_word {
	uint32_t leaf, subleaf;
	enum cpuid_reg reg;
	uint32_t want[LEVELS]; /* v2, v3, v4: there must be these, and there are no others */
	uint32_t free;         /* as the host has it */
} level_word[WORDS] = {
	{ 1, 0, CPUID_ECX, { V2_1_ECX, V3_1_ECX, V3_1_ECX }, BIT(31) },
	{ 1, 0, CPUID_EDX, { BASE_1_EDX, BASE_1_EDX, BASE_1_EDX }, BIT(7) | BIT(12) | BIT(14) },
	{ 7, 0, CPUID_EBX, { 0, V3_7_EBX, V4_7_EBX }, 0 },
	{ 7, 0, CPUID_ECX, { 0, 0, 0 }, 0 },
	/* SRBDS_CTRL MD_CLEAR SPEC_CTRL STIBP ARCH_CAPABILITIES SSBD */
	{ 7, 0, CPUID_EDX, { 0, 0, 0 }, BIT(9) | BIT(10) | BIT(26) | BIT(27) | BIT(29) | BIT(31) },
	{ 7, 1, CPUID_EAX, { 0, 0, 0 }, 0 },
	/* LAHF; LZCNT. AMD: CmpLegacy and TopologyExtensions tell of the topology, they follow */
	{ 0x80000001, 0, CPUID_ECX, { BIT(0), BIT(0) | BIT(5), BIT(0) | BIT(5) }, BIT(1) | BIT(22) },
	/* AMD repeats leaf 1's bits 0-9, 12-17, 23, 24 */
	{ 0x80000001, 0, CPUID_EDX, { BASE_81_EDX, BASE_81_EDX, BASE_81_EDX }, 0x0183f3ff },
	{ 0x80000008, 0, CPUID_EBX, { 0, 0, 0 }, BIT(12) | BIT(14) | BIT(15) | BIT(24) | BIT(25) | BIT(26) },
	{ 0xd, 1, CPUID_EAX, { 0, 0, 0 }, 0 },
};

static int lacks(struct err *e, const char *name, const struct level_word *l, uint32_t missing)
{
	static const char *const reg[] = { "EAX", "EBX", "ECX", "EDX" };

	return err_set(e, EOPNOTSUPP, "cpu model '%s': this host lacks CPUID leaf 0x%x %s bits 0x%x", name,
		       l->leaf, reg[l->reg], missing);
}

static int level(struct cpuid_work *w, const char *name, unsigned nr, struct err *e)
{
	static const uint32_t xcr0[LEVELS] = { 0, 7, 0xe7 };
	struct x86_cpuid *c;

	for (size_t i = 0; i < WORDS; i++) {
		const struct level_word *l = &level_word[i];
		uint32_t *r;

		c = cpuid__find(w, l->leaf, l->subleaf);
		r = c ? cpuid__reg(c, l->reg) : NULL;
		if (l->want[nr] & ~(r ? *r : 0))
			return lacks(e, name, l, l->want[nr] & ~(r ? *r : 0));
		if (r)
			*r &= l->want[nr] | l->free;
	}
	for (unsigned i = 0; i < w->n; i++) /* features that are newer than the levels */
		if (w->t[i].leaf == 7 && w->t[i].subleaf >= 1)
			w->t[i].ebx = w->t[i].ecx = w->t[i].edx = 0;
	c = cpuid__find(w, 0xd, 0);
	if (c)
		c->eax &= xcr0[nr];
	return 0;
}

/* --- Firecracker's templates --------------------------------------------------------------------------------------- */

#define CLEAR(leaf, subleaf, reg, mask)                                                                      \
	{                                                                                                    \
		leaf, subleaf, reg, mask, 0                                                                  \
	}

/* What T2, T2S, T2CL and T2A have in common: Haswell, and what every instance that follows has as well. */
#define T2_COMMON                                                                                            \
	{ 1, 0, CPUID_EAX, 0x0fff3fff, 0x000306f2 }, CLEAR(1, 0, CPUID_ECX, 0x0004cdfc),                     \
		{ 1, 0, CPUID_EDX, 0xe8641080, 0x00001080 }, CLEAR(7, 0, CPUID_ECX, 0x40415f5e),             \
		CLEAR(7, 0, CPUID_EDX, 0x0000011c), CLEAR(0xd, 0, CPUID_EAX, 0x2f8),                         \
		CLEAR(0xd, 1, CPUID_EAX, 0xe)

static const struct cpuid_word t2[] = {
	T2_COMMON,
	{ 7, 0, CPUID_EBX, 0xffeffa54, 0x00000200 },
	CLEAR(0x80000001, 0, CPUID_ECX, 0x20000100),
	CLEAR(0x80000001, 0, CPUID_EDX, 0x04000000),
	CLEAR(0x80000008, 0, CPUID_EBX, 0x00000200),
};

static const struct cpuid_word t2s[] = {
	T2_COMMON,
	{ 7, 0, CPUID_EBX, 0xffefda14, 0x00000200 },
	CLEAR(0x80000001, 0, CPUID_ECX, 0x20000100),
	CLEAR(0x80000001, 0, CPUID_EDX, 0x04000000),
	CLEAR(0x80000008, 0, CPUID_EBX, 0x00000200),
};

static const struct cpuid_word t2cl[] = {
	T2_COMMON,
	{ 7, 0, CPUID_EBX, 0xffefda14, 0x00000200 },
	CLEAR(0x80000001, 0, CPUID_ECX, 0x200001c0),
	CLEAR(0x80000001, 0, CPUID_EDX, 0x07c00000),
	CLEAR(0x80000008, 0, CPUID_EBX, 0x00000200),
};

static const struct cpuid_word t2a[] = {
	T2_COMMON,
	{ 7, 0, CPUID_EBX, 0xffefda14, 0x00000200 },
	CLEAR(0x80000001, 0, CPUID_ECX, 0x200001c0),
	CLEAR(0x80000001, 0, CPUID_EDX, 0x07c00000),
	{ 0x80000008, 0, CPUID_EBX, 0x000c0205, 0x000c0000 },
};

static const struct cpuid_word c3[] = {
	{ 1, 0, CPUID_EAX, 0x0fff3fff, 0x000306e4 },
	CLEAR(1, 0, CPUID_ECX, 0x0040dd3c),
	{ 1, 0, CPUID_EDX, 0xa8641080, 0x00001080 },
	CLEAR(7, 0, CPUID_EBX, 0xffafdd3c),
	CLEAR(7, 0, CPUID_ECX, 0x4041481e),
	CLEAR(7, 0, CPUID_EDX, 0x0000000c),
	CLEAR(0xd, 0, CPUID_EAX, 0x2f8),
	CLEAR(0xd, 1, CPUID_EAX, 0xe),
	CLEAR(0x80000001, 0, CPUID_ECX, 0x00000120),
	CLEAR(0x80000001, 0, CPUID_EDX, 0x04000000),
};

static const struct model {
	const char *name;
	unsigned level; /* 0: a template */
	enum cpuid_vendor vendor;
	const struct cpuid_word *word;
	size_t n_words;
	uint64_t arch_cap_mask, arch_cap; /* of IA32_ARCH_CAPABILITIES; mask 0: as the host has it */
} models[] = {
	{ "x86-64-v2", 1, CPUID_ANY, NULL, 0, 0, 0 },
	{ "x86-64-v3", 2, CPUID_ANY, NULL, 0, 0, 0 },
	{ "x86-64-v4", 3, CPUID_ANY, NULL, 0, 0, 0 },
	{ "T2", 0, CPUID_INTEL, t2, ARRAY_SIZE(t2), 0, 0 },
	{ "T2S", 0, CPUID_INTEL, t2s, ARRAY_SIZE(t2s), UINT64_MAX, 0xc4c },
	{ "T2CL", 0, CPUID_INTEL, t2cl, ARRAY_SIZE(t2cl), 0xfffffffff2f51e00, 0 },
	{ "T2A", 0, CPUID_AMD, t2a, ARRAY_SIZE(t2a), 0, 0 },
	{ "C3", 0, CPUID_INTEL, c3, ARRAY_SIZE(c3), 0, 0 },
};

static const struct model *model_named(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(models); i++)
		if (strcmp(name, models[i].name) == 0)
			return &models[i];
	return NULL;
}

static int no_model(const char *name, struct err *e)
{
	auto_fini(buf) struct buf list = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		buf_printf(&list, ", %s", models[i].name);
	return err_set(e, ENOENT, "cpu model '%s': want host%s", name, buf_str(&list));
}

int cpuid__model(struct cpuid_work *w, const char *name, struct err *e)
{
	const struct model *m = model_named(name);

	if (!m)
		return no_model(name, e);
	if (m->vendor != CPUID_ANY && m->vendor != w->vendor)
		return err_set(e, EOPNOTSUPP, "cpu model '%s': for processors of %s only", name,
			       m->vendor == CPUID_AMD ? "AMD" : "Intel");
	if (m->level > 0)
		return level(w, name, m->level - 1, e);
	for (size_t i = 0; i < m->n_words; i++) {
		struct x86_cpuid *c = cpuid__find(w, m->word[i].leaf, m->word[i].subleaf);
		uint32_t *r = c ? cpuid__reg(c, m->word[i].reg) : NULL;

		if (r)
			*r = (*r & ~m->word[i].mask) | (m->word[i].value & m->word[i].mask);
	}
	return 0;
}

bool cpuid_model_has_msrs(const char *model)
{
	const struct model *m = model_named(model);

	return m && m->arch_cap_mask;
}

void cpuid_model_msrs(const char *model, struct x86_state *s)
{
	enum { MSR_ARCH_CAPABILITIES = 0x10a };
	const struct model *m = model_named(model);

	for (uint32_t i = 0; m && i < s->n_msrs; i++)
		if (s->msr[i].index == MSR_ARCH_CAPABILITIES)
			s->msr[i].value = (s->msr[i].value & ~m->arch_cap_mask) | m->arch_cap;
}
