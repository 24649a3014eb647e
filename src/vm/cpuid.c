/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.c - from what an engine offers to what one processor shows
 *
 * Theory of operation. Four steps, each on the table in place: (1) leaves and features that no guest of hull's may see go
 * away: what the processor's state has no room for (AMX), what a snapshot could not carry or what tells of the host
 * (performance counters, monitoring, SGX, tracing, nested virtualization, power management); (2) a named model narrows the
 * rest; (3) topology: each processor, or each pair of them, is a core of one package, its APIC id is its number; (4) what follows from the rest is
 * computed: sizes of saved state, highest leaves, clock frequencies.
 *
 * An engine that knows the guest's TSC frequency says so in leaf 0x40000010, EAX, in kHz; the guest sees it as leaf 0x15.
 *
 * Spec: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; Linux, Documentation/virt/kvm/x86/cpuid.rst
 */
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/engine.h"
#include "vm/boot.h"
#include "vm/cpuid_internal.h"

enum {
	LEAF_HYPERVISOR = 0x40000000,
	LEAF_KVM_FEATURES = 0x40000001,
	LEAF_CLOCK = 0x40000010,
	LEAF_TOPOLOGY = 0xb,
	LEAF_TOPOLOGY2 = 0x1f,
	LEAF_TSC = 0x15,
	LEAF_MHZ = 0x16,
	LEAF_XSAVE = 0xd,
	LEVEL_SMT = 1,
	LEVEL_CORE = 2,
	XSAVE_LEGACY_BYTES = 576, /* x87, SSE and the header */
	XCR0_X87_SSE = 3,
	XCR0_AVX = 4,
	XCR0_AVX512 = 0xe0,
	XSAVE_COMPONENTS = 63,
};

struct x86_cpuid *cpuid__find(const struct cpuid_work *w, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->t[i].leaf == leaf && (!w->t[i].indexed || w->t[i].subleaf == subleaf))
			return &w->t[i];
	return NULL;
}

uint32_t *cpuid__reg(struct x86_cpuid *c, enum cpuid_reg r)
{
	uint32_t *const reg[] = { &c->eax, &c->ebx, &c->ecx, &c->edx };

	return reg[r];
}

static void drop(struct cpuid_work *w, uint32_t first, uint32_t last)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < w->n; i++)
		if (w->t[i].leaf < first || w->t[i].leaf > last)
			w->t[kept++] = w->t[i];
	w->n = kept;
}

static void add(struct cpuid_work *w, struct x86_cpuid c)
{
	if (w->n >= ENGINE_CPUID_MAX)
		w->full = true;
	else
		w->t[w->n++] = c;
}

static bool vendor_is(const struct x86_cpuid *c, const char *name)
{
	char v[13] = { 0 };

	memcpy(v, &c->ebx, 4);
	memcpy(v + 4, &c->edx, 4);
	memcpy(v + 8, &c->ecx, 4);
	return strcmp(v, name) == 0;
}

/* --- 1: what no guest sees --------------------------------------------------------------------------------------- */

#define BIT(n) (1U << (n))

/* Taken away, by word; @value is 0 everywhere. */
static const struct cpuid_word hidden[] = {
	/* DTES64 MONITOR DS-CPL VMX SMX EIST TM2 CNXT-ID SDBG xTPR PDCM DCA; OSXSAVE follows CR4 and is the engine's */
	{ 1, 0, CPUID_ECX, 0x0004cdfc | BIT(27), 0 },
	/* PSN DS ACPI TM IA64 PBE */
	{ 1, 0, CPUID_EDX, BIT(18) | BIT(21) | BIT(22) | BIT(29) | BIT(30) | BIT(31), 0 },
	/* all but ARAT: the local timer does not stop */
	{ 6, 0, CPUID_EAX, ~BIT(2), 0 },
	{ 6, 0, CPUID_EBX, UINT32_MAX, 0 },
	{ 6, 0, CPUID_ECX, UINT32_MAX, 0 },
	{ 6, 0, CPUID_EDX, UINT32_MAX, 0 },
	/* SGX PQM MPX PQE PT */
	{ 7, 0, CPUID_EBX, BIT(2) | BIT(12) | BIT(14) | BIT(15) | BIT(25), 0 },
	/* PKU OSPKE WAITPKG SHSTK TME LA57 KL BUS_LOCK ENQCMD SGX_LC PKS */
	{ 7, 0, CPUID_ECX,
	  BIT(3) | BIT(4) | BIT(5) | BIT(7) | BIT(13) | BIT(16) | BIT(23) | BIT(24) | BIT(29) | BIT(30) |
		  BIT(31),
	  0 },
	/* UINTR PCONFIG LBR IBT AMX_BF16 AMX_TILE AMX_INT8 */
	{ 7, 0, CPUID_EDX, BIT(5) | BIT(18) | BIT(19) | BIT(20) | BIT(22) | BIT(24) | BIT(25), 0 },
	/* AMX_FP16 HRESET LAM FRED */
	{ 7, 1, CPUID_EAX, BIT(17) | BIT(21) | BIT(22) | BIT(26), 0 },
	/* AMX_COMPLEX, CET_SSS */
	{ 7, 1, CPUID_EDX, BIT(8) | BIT(18), 0 },
	{ LEAF_XSAVE, 0, CPUID_EAX, ~(uint32_t)(XCR0_X87_SSE | XCR0_AVX | XCR0_AVX512), 0 },
	{ LEAF_XSAVE, 0, CPUID_EDX, UINT32_MAX, 0 },
	/* XFD; supervisor state */
	{ LEAF_XSAVE, 1, CPUID_EAX, BIT(4), 0 },
	{ LEAF_XSAVE, 1, CPUID_ECX, UINT32_MAX, 0 },
	{ LEAF_XSAVE, 1, CPUID_EDX, UINT32_MAX, 0 },
	/* SVM ExtApicSpace IBS SKINIT WDT LWP NodeId PerfCtrs MONITORX */
	{ 0x80000001, 0, CPUID_ECX,
	  BIT(2) | BIT(3) | BIT(10) | BIT(12) | BIT(13) | BIT(15) | BIT(19) | BIT(23) | BIT(24) | BIT(28) |
		  BIT(29),
	  0 },
	/* all but the invariant TSC */
	{ 0x80000007, 0, CPUID_EDX, ~BIT(8), 0 },
	{ 0x80000007, 0, CPUID_EBX, UINT32_MAX, 0 },
	/* page faults delivered as interrupts: not in a snapshot; the rest as the engine has it */
	{ LEAF_KVM_FEATURES, 0, CPUID_EAX, BIT(4) | BIT(10) | BIT(14) | BIT(16) | BIT(17), 0 },
};

static void apply(struct cpuid_work *w, const struct cpuid_word *word)
{
	struct x86_cpuid *c = cpuid__find(w, word->leaf, word->subleaf);
	uint32_t *r;

	if (!c)
		return;
	r = cpuid__reg(c, word->reg);
	*r = (*r & ~word->mask) | (word->value & word->mask);
}

static void hide(struct cpuid_work *w)
{
	static const struct {
		uint32_t first, last;
	} gone[] = {
		{ 5, 5 },                   /* MONITOR */
		{ 9, 0xb },                 /* DCA, performance counters; topology is made anew */
		{ 0xf, 0x14 },              /* resource control, SGX, tracing */
		{ 0x17, 0x20 },             /* SoC, TLB, key locker, AMX, LBR, topology, history reset */
		{ 0x8000000a, 0x8000000a }, /* SVM */
		{ 0x8000001b, 0x8000001c }, /* IBS, LWP */
		{ 0x8000001f, 0x80000020 }, /* memory encryption, bandwidth */
		{ 0x80000022, 0x80000028 }, /* counters, encryption, topology */
		{ 0x40000100, 0x4fffffff }, /* another hypervisor's */
	};

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		drop(w, gone[i].first, gone[i].last);
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		apply(w, &hidden[i]);
}

/* --- 3: topology -------------------------------------------------------------------------------------------------- */

static unsigned bits_for(unsigned cpus)
{
	unsigned bits = 0;

	while (1U << bits < cpus)
		bits++;
	return bits;
}

static void topology_levels(struct cpuid_work *w, uint32_t leaf, unsigned cpu, unsigned cpus,
			    unsigned threads)
{
	const struct x86_cpuid smt = { leaf, 0, bits_for(threads), threads, LEVEL_SMT << 8 | 0, cpu, 1 };
	const struct x86_cpuid core = { leaf, 1, bits_for(cpus), cpus, LEVEL_CORE << 8 | 1, cpu, 1 };
	const struct x86_cpuid end = { leaf, 2, 0, 0, 2, cpu, 1 };

	add(w, smt);
	add(w, core);
	add(w, end);
}

/* caches() - which of them share one: the last level all, the others those of a core */
static void caches(struct cpuid_work *w, uint32_t leaf, unsigned cpus, unsigned threads, bool has_cores)
{
	enum {
		TYPE = 0x1f,
		LEVEL_SHIFT = 5,
		LEVEL = 7,
		SHARING_SHIFT = 14,
		SHARING = 0xfff,
		CORES_SHIFT = 26
	};
	uint32_t ids = (1U << bits_for(cpus)) - 1;

	for (unsigned i = 0; i < w->n; i++) {
		struct x86_cpuid *c = &w->t[i];
		uint32_t sharing;

		if (c->leaf != leaf || (c->eax & TYPE) == 0)
			continue;
		sharing = (c->eax >> LEVEL_SHIFT & LEVEL) >= 3 ? ids : threads - 1;
		c->eax &= (1U << SHARING_SHIFT) - 1;
		c->eax |= sharing << SHARING_SHIFT;
		if (has_cores)
			c->eax |= ids / threads << CORES_SHIFT;
	}
}

static void topology(struct cpuid_work *w, unsigned cpu, unsigned cpus, unsigned threads)
{
	struct x86_cpuid *c = cpuid__find(w, 1, 0);
	unsigned ids = 1U << bits_for(cpus);

	if (c) {
		c->ebx = (c->ebx & 0xffff) | (cpus > 1 ? ids : 0) << 16 | cpu << 24;
		c->edx = (c->edx & ~BIT(28)) |
			 (cpus > 1 ? BIT(28) : 0); /* HTT: more than one in the package */
	}
	topology_levels(w, LEAF_TOPOLOGY, cpu, cpus, threads);
	topology_levels(w, LEAF_TOPOLOGY2, cpu, cpus, threads);
	caches(w, 4, cpus, threads, true);
	caches(w, 0x8000001d, cpus, threads, false);
	if (w->vendor != CPUID_AMD)
		return;
	c = cpuid__find(w, 0x80000001, 0);
	if (c)
		c->ecx = (c->ecx & ~BIT(1)) | (cpus > 1 ? BIT(1) : 0); /* CmpLegacy: they are cores */
	c = cpuid__find(w, 0x80000008, 0);
	if (c)
		c->ecx = bits_for(cpus) << 12 | (cpus - 1);
	c = cpuid__find(w, 0x8000001e, 0);
	if (c)
		*c = (struct x86_cpuid){ 0x8000001e, 0, cpu,       (threads - 1) << 8 | cpu / threads,
					 0,          0, c->indexed };
}

/* --- 4: what follows ---------------------------------------------------------------------------------------------- */

/* xsave() - only the state that is left, and how long it is. All that the largest has must fit struct x86_state. */
static void xsave(struct cpuid_work *w)
{
	struct x86_cpuid *c = cpuid__find(w, LEAF_XSAVE, 0), *one = cpuid__find(w, 1, 0);
	uint32_t xcr0, bytes = XSAVE_LEGACY_BYTES;
	unsigned kept = 0;

	if (!c)
		return;
	if (one && !(one->ecx & BIT(26))) /* no XSAVE: none of it */
		c->eax = c->ebx = c->ecx = 0;
	xcr0 = c->eax;
	if ((xcr0 & XCR0_AVX512) != XCR0_AVX512 || !(xcr0 & XCR0_AVX))
		xcr0 &= ~(uint32_t)XCR0_AVX512;
	for (unsigned i = 0; i < w->n; i++) {
		const struct x86_cpuid *s = &w->t[i];
		bool component = s->leaf == LEAF_XSAVE && s->subleaf >= 2;

		if (component && (s->subleaf > 31 || !(xcr0 >> s->subleaf & 1)))
			continue;
		if (component && s->ebx + s->eax > bytes)
			bytes = s->ebx + s->eax;
		w->t[kept++] = *s;
	}
	w->n = kept;
	c = cpuid__find(w, LEAF_XSAVE, 0);
	c->eax = xcr0;
	c->ebx = xcr0 ? XSAVE_LEGACY_BYTES : 0; /* at reset; the engine keeps it in step with XCR0 */
	c->ecx = xcr0 ? bytes : 0;
	c = cpuid__find(w, LEAF_XSAVE, 1);
	if (c && !xcr0)
		c->eax = c->ebx = 0;
}

static void clock(struct cpuid_work *w)
{
	const struct x86_cpuid *c = cpuid__find(w, LEAF_CLOCK, 0);
	uint32_t khz = c ? c->eax : 0;

	drop(w, LEAF_CLOCK, LEAF_CLOCK);
	if (khz == 0 || khz > UINT32_MAX / 500)
		return;
	drop(w, LEAF_TSC, LEAF_MHZ);
	/* The crystal runs at half the TSC's rate: exact to the kHz, and no product overflows 32 bits. */
	add(w, (struct x86_cpuid){ LEAF_TSC, 0, 1, 2, khz * 500, 0, 0 });
	if (w->vendor == CPUID_INTEL)
		add(w, (struct x86_cpuid){ LEAF_MHZ, 0, khz / 1000, khz / 1000, 100, 0, 0 });
}

/* hypervisor() - KVM's leaves, with no feature when the engine offers none: Linux then still skips what only iron needs */
static void hypervisor(struct cpuid_work *w)
{
	struct x86_cpuid *c = cpuid__find(w, 1, 0);

	if (c)
		c->ecx |= BIT(31);
	drop(w, LEAF_HYPERVISOR, LEAF_HYPERVISOR);
	add(w, (struct x86_cpuid){ LEAF_HYPERVISOR, 0, LEAF_KVM_FEATURES, 0x4b4d564b, 0x564b4d56, 0x4d, 0 });
	if (!cpuid__find(w, LEAF_KVM_FEATURES, 0))
		add(w, (struct x86_cpuid){ .leaf = LEAF_KVM_FEATURES });
}

static void highest(struct cpuid_work *w)
{
	struct x86_cpuid *basic = cpuid__find(w, 0, 0);
	uint32_t top = 0;

	for (unsigned i = 0; i < w->n; i++)
		if (w->t[i].leaf < LEAF_HYPERVISOR && w->t[i].leaf > top)
			top = w->t[i].leaf;
	if (basic)
		basic->eax = top;
}

int cpuid_table(struct x86_cpuid *table, unsigned *n, const char *model, unsigned cpu, unsigned cpus,
		unsigned threads, struct err *e)
{
	struct cpuid_work w = { .t = table, .n = *n };
	const struct x86_cpuid *zero = cpuid__find(&w, 0, 0);
	struct x86_cpuid *wide;
	int r;

	if (!zero || *n > ENGINE_CPUID_MAX)
		return err_set(e, EINVAL, "the engine offers no CPUID");
	if (cpus < 1 || cpus > BOOT_CPUS_MAX || cpu >= cpus)
		return err_set(e, EINVAL, "processor %u of %u, want at most %d", cpu, cpus, BOOT_CPUS_MAX);
	if (cpus == 1)
		threads = 1;
	if (threads < 1 || threads > 2 || cpus % threads)
		return err_set(e, EINVAL, "%u processors in cores of %u", cpus, threads);
	w.vendor = vendor_is(zero, "GenuineIntel")                                    ? CPUID_INTEL :
		   vendor_is(zero, "AuthenticAMD") || vendor_is(zero, "HygonGenuine") ? CPUID_AMD :
											CPUID_ANY;
	hide(&w);
	r = model && !str_eq(model, "host") ? cpuid__model(&w, model, e) : 0;
	if (r < 0)
		return r;
	topology(&w, cpu, cpus, threads);
	xsave(&w);
	clock(&w);
	hypervisor(&w);
	highest(&w);
	wide = cpuid__find(&w, 0x80000008, 0);
	if (wide && (wide->eax >> 8 & 0xff) > 48) /* no LA57, so 48 bits */
		wide->eax = (wide->eax & ~0xff00U) | 48 << 8;
	if (w.full)
		return err_set(e, ENOSPC, "CPUID: more than %d entries", ENGINE_CPUID_MAX);
	*n = w.n;
	return 0;
}
