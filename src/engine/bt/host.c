/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - what the bt engine takes from this host: features it needs, features a guest may see, the clock
 *
 * Theory of operation. Translated code is the host's own, so a guest may compute with whatever this processor has that the translator
 * and the interpreter know. What only kernels see is the engine's: it is shown because the engine does it, not because the host
 * has it. What a kernel would spend time on to keep its users from speculating is not needed where it cannot
 * help: guest kernel and guest user both run in the host's ring 3 (docs/bt.md), so the table says that the processor is
 * not affected.
 *
 * Spec: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E
 */
#include <cpuid.h>
#include <errno.h>
#include <sys/auxv.h>
#include <time.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/time.h"
#include "engine/bt/bt_internal.h"

enum { EAX, EBX, ECX, EDX };

#define BIT(n) (1U << (n))
#define AMD    0x68747541U /* leaf 0, EBX */

enum {
	LEAF_LAST = 0xd, /* of the host's basic leaves */
	LEAF_XSAVE = 0xd,
	LEAF_KVM = 0x40000000,
	LEAF_KVM_FEATURES = 0x40000001,
	LEAF_CLOCK = 0x40000010,
	LEAF_EXTENDED = 0x80000000,
	HWCAP2_FSGSBASE = 2,
	CALIBRATE_MS = 5,
	PHYSICAL_BITS = 46, /* as the tables are walked: space/mmu.h */
	VIRTUAL_BITS = 48,
};

/* What a guest sees of a leaf's register: the host's bits in @pass, and those in @own whatever the host has. */
static const struct feature {
	uint32_t leaf, subleaf;
	unsigned reg;
	uint32_t pass, own;
} feature[] = {
	/* SSE3 PCLMULQDQ SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND; PCID, x2APIC, deadline timer, hypervisor */
	{ 1, 0, ECX, 0x76d83203 & ~(BIT(21) | BIT(24)), BIT(17) | BIT(21) | BIT(24) | BIT(31) },
	/* FPU VME DE PSE TSC MSR PAE CX8 APIC SEP PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
	{ 1, 0, EDX, 0, 0x078bab7f },
	{ 6, 0, EAX, 0, BIT(2) }, /* the local timer never stops */
	/* BMI1 AVX2 BMI2 ERMS RDSEED ADX CLFLUSHOPT CLWB SHA; FSGSBASE TSC_ADJUST SMEP SMAP */
	{ 7, 0, EBX, BIT(3) | BIT(5) | BIT(8) | BIT(9) | BIT(18) | BIT(19) | BIT(23) | BIT(24) | BIT(29),
	  BIT(0) | BIT(1) | BIT(7) | BIT(20) },
	/* GFNI VAES VPCLMULQDQ RDPID; UMIP */
	{ 7, 0, ECX, BIT(8) | BIT(9) | BIT(10) | BIT(22), BIT(2) },
	/* fast short REP MOV; SERIALIZE, which spares kernels an IRET */
	{ 7, 0, EDX, BIT(4), BIT(14) },
	{ LEAF_XSAVE, 0, EAX, 7, 0 }, /* x87, SSE, AVX */
	{ LEAF_XSAVE, 0, EBX, ~0U, 0 },
	{ LEAF_XSAVE, 0, ECX, ~0U, 0 },
	{ LEAF_XSAVE, 1, EAX, BIT(0) | BIT(1) | BIT(2), 0 }, /* XSAVEOPT XSAVEC XGETBV 1 */
	{ LEAF_XSAVE, 2, EAX, ~0U, 0 },
	{ LEAF_XSAVE, 2, EBX, ~0U, 0 },
	{ LEAF_XSAVE, 2, ECX, ~0U, 0 },
	{ LEAF_KVM_FEATURES, 0, EAX, 0,
	  BIT(3) | BIT(24) }, /* kvmclock, which is the same on all processors */
	/* LAHF ABM SSE4A MisalignSSE 3DNowPrefetch TopologyExtensions, as AMD calls them */
	{ 0x80000001, 0, ECX, BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(22), 0 },
	/* AMD repeats leaf 1; SYSCALL NX PDPE1GB RDTSCP LM */
	{ 0x80000001, 0, EDX, 0x0183a37f, BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29) },
	{ 0x80000007, 0, EDX, 0, BIT(8) }, /* the TSC does not change its pace */
	{ 0x80000008, 0, EAX, 0, PHYSICAL_BITS | VIRTUAL_BITS << 8 },
	{ 0x80000008, 0, EBX, BIT(0), 0 }, /* CLZERO */
};

/* AMD: speculative stores, branch type confusion; LFENCE waits, automatic IBRS, SRSO; TSA */
static const struct feature not_affected[] = {
	{ 0x80000008, 0, EBX, 0, BIT(26) | BIT(29) },
	{ 0x80000021, 0, EAX, 0, BIT(2) | BIT(8) | BIT(29) },
	{ 0x80000021, 0, ECX, 0, BIT(1) | BIT(2) },
};

/* What is shown as it is: who made the processor, its model and name, its caches. */
static const struct {
	uint32_t leaf;
	unsigned subleaves;
} shown[] = {
	{ 0, 0 },          { 1, 0 },          { 2, 0 },          { 4, 8 },
	{ 0x80000000, 0 }, { 0x80000001, 0 }, { 0x80000002, 0 }, { 0x80000003, 0 },
	{ 0x80000004, 0 }, { 0x80000005, 0 }, { 0x80000006, 0 }, { 0x8000001d, 8 },
};

static struct x86_cpuid host_leaf(uint32_t leaf, uint32_t subleaf, bool indexed)
{
	struct x86_cpuid c = { .leaf = leaf, .subleaf = subleaf, .indexed = indexed };
	uint32_t eax, ebx, ecx, edx;

	__cpuid(leaf & LEAF_EXTENDED, eax, ebx, ecx, edx);
	if (leaf <= eax)
		__cpuid_count(leaf, subleaf, c.eax, c.ebx, c.ecx, c.edx);
	return c;
}

struct table {
	struct x86_cpuid *t;
	unsigned n, room;
};

static struct x86_cpuid *table_get(struct table *t, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->t[i].leaf == leaf && t->t[i].subleaf == subleaf)
			return &t->t[i];
	if (t->n >= t->room)
		return NULL;
	t->t[t->n] = (struct x86_cpuid){ .leaf = leaf,
					 .subleaf = subleaf,
					 .indexed = leaf == 7 || leaf == LEAF_XSAVE };
	return &t->t[t->n++];
}

static uint32_t *reg_of(struct x86_cpuid *c, unsigned reg)
{
	uint32_t *const r[] = { &c->eax, &c->ebx, &c->ecx, &c->edx };

	return r[reg];
}

/* features_put() - the host's leaf is asked once for all registers of it, which stand together. */
static int features_put(struct table *t, const struct feature *f, size_t n)
{
	struct x86_cpuid host = { .leaf = ~0U };

	for (size_t i = 0; i < n; i++) {
		struct x86_cpuid *c = table_get(t, f[i].leaf, f[i].subleaf);

		if (!c)
			return -E2BIG;
		if (host.leaf != f[i].leaf || host.subleaf != f[i].subleaf)
			host = host_leaf(f[i].leaf, f[i].subleaf, true);
		*reg_of(c, f[i].reg) = (*reg_of(&host, f[i].reg) & f[i].pass) | f[i].own;
	}
	return 0;
}

static int shown_put(struct table *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		unsigned s = 0;

		do {
			struct x86_cpuid c = host_leaf(shown[i].leaf, s, shown[i].subleaves != 0);

			if (shown[i].subleaves && !(c.eax & 31)) /* no more caches */
				break;
			if (t->n >= t->room)
				return -E2BIG;
			t->t[t->n++] = c;
		} while (++s < shown[i].subleaves);
	}
	return 0;
}

int bt__cpuid_host(struct engine_vm *vm, struct x86_cpuid *table, unsigned *n, struct err *e)
{
	struct table t = { .t = table, .room = *n };
	int r = shown_put(&t);

	(void)vm;
	if (r == 0 && table[0].ebx == AMD)
		r = features_put(&t, not_affected, ARRAY_SIZE(not_affected));
	if (r == 0)
		r = features_put(&t, feature, ARRAY_SIZE(feature));
	if (r == 0 && t.n + 1 > t.room)
		r = -E2BIG;
	if (r < 0)
		return err_set(e, E2BIG, "CPUID: more than %u entries", t.room);
	table[0].eax = LEAF_LAST;
	table[t.n++] = (struct x86_cpuid){ .leaf = LEAF_CLOCK, .eax = bt__tsc_khz() };
	*n = t.n;
	return 0;
}

int bt__host_check(struct err *e)
{
	struct x86_cpuid c = host_leaf(7, 0, true);

	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		return err_set(e, ENOTSUP, "the bt engine: this processor, or its kernel, lacks FSGSBASE");
	if (!(c.ebx & BIT(8)))
		return err_set(e, ENOTSUP, "the bt engine: this processor lacks BMI2");
	return 0;
}

static uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static uint32_t calibrate(void)
{
	nsec_t start = time_now_ns(CLOCK_MONOTONIC_RAW), now;
	uint64_t first = tsc(), last;

	do {
		const struct timespec rest = { .tv_nsec = CALIBRATE_MS * NSEC_PER_MSEC };

		nanosleep(&rest, NULL);
		now = time_now_ns(CLOCK_MONOTONIC_RAW);
		last = tsc();
	} while (now - start < CALIBRATE_MS * NSEC_PER_MSEC);
	return (uint32_t)((last - first) * 1000000 / (uint64_t)(now - start));
}

/* bt__tsc_khz() - told by the processor where it knows, else measured once. */
uint32_t bt__tsc_khz(void)
{
	static uint32_t known; /* atomic */
	uint32_t khz = __atomic_load_n(&known, __ATOMIC_RELAXED);
	struct x86_cpuid c;

	if (khz)
		return khz;
	c = host_leaf(0x15, 0, false);
	if (c.eax && c.ebx && c.ecx)
		khz = (uint32_t)((uint64_t)c.ecx * c.ebx / c.eax / 1000);
	else
		khz = calibrate();
	__atomic_store_n(&known, khz, __ATOMIC_RELAXED);
	return khz;
}
