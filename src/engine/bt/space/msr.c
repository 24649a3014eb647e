/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr.c - model-specific registers: those there are, and what reading and writing them does
 *
 * Theory of operation. A row of a table says of each register where its value is: a member of struct bt_cpu, a place among the kept
 * ones, or a function. A row belongs to a feature that CPUID shows; without it the register is not there: #GP. What a snapshot of another engine
 * has beyond the table is kept and can be read and written by the guest as it did there, but has no effect.
 *
 * The paravirtual clock is the guest's TSC in nanoseconds: one straight line, the same for all processors.
 * Spec: Intel SDM volume 4; Linux, Documentation/virt/kvm/x86/msr.rst
 */
#include <time.h>

#include <sys/syscall.h>

#include "engine/bt/space/host.h"
#include "engine/bt/space/lapic.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/system.h"

enum { EAX, EBX, ECX, EDX };

enum msr {
	MSR_PLATFORM_ID = 0x17,
	MSR_TSC = 0x10,
	MSR_KVM_WALL_OLD = 0x11,
	MSR_KVM_TIME_OLD = 0x12,
	MSR_APIC_BASE = 0x1b,
	MSR_SMI_COUNT = 0x34,
	MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48,
	MSR_PRED_CMD = 0x49,
	MSR_UCODE_WRITE = 0x79,
	MSR_UCODE_REV = 0x8b,
	MSR_MTRR_CAP = 0xfe,
	MSR_ARCH_CAPABILITIES = 0x10a,
	MSR_FLUSH_CMD = 0x10b,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_DEBUGCTL = 0x1d9,
	MSR_MTRR_FIRST = 0x200,
	MSR_MTRR_LAST = 0x20f,
	MSR_MTRR_FIX_64K = 0x250,
	MSR_MTRR_FIX_16K = 0x258,
	MSR_MTRR_FIX_4K = 0x268,
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC = 0x800,
	MSR_X2APIC_LAST = 0x8ff,
	MSR_XSS = 0xda0,
	MSR_KVM_WALL = 0x4b564d00,
	MSR_KVM_TIME = 0x4b564d01,
};
#define MSR_EFER           0xc0000080U
#define MSR_STAR           0xc0000081U
#define MSR_LSTAR          0xc0000082U
#define MSR_CSTAR          0xc0000083U
#define MSR_SFMASK         0xc0000084U
#define MSR_FS_BASE        0xc0000100U
#define MSR_GS_BASE        0xc0000101U
#define MSR_KERNEL_GS_BASE 0xc0000102U
#define MSR_TSC_AUX        0xc0000103U
#define MSR_AMD_SYSCFG     0xc0010010U
#define MSR_AMD_HWCR       0xc0010015U
#define MSR_AMD_NB_CFG     0xc001001fU
#define MSR_AMD_DE_CFG     0xc0011029U

/* Nothing that needs a mitigation is here: user and kernel code are translated, and the host has its own. */
#define ARCH_CAPABILITIES                                                                                    \
	(1ULL << 0 | 1ULL << 1 | 1ULL << 3 | 1ULL << 4 | 1ULL << 5 | 1ULL << 6 | 1ULL << 8 | 1ULL << 13 |    \
	 1ULL << 14 | 1ULL << 15 | 1ULL << 20 | 1ULL << 24 | 1ULL << 26 | 1ULL << 27 | 1ULL << 62)
#define UCODE_REV         0x100000000ULL
#define PAT_RESET         0x0007040600070406ULL
#define MISC_ENABLE_RESET 0x1801ULL /* fast strings; no branch trace, no PEBS */
#define SPEC_CTRL_VALID   0x47fULL
#define VENDOR_AMD        0x68747541U

enum {
	DEBUGCTL_IGNORED =
		3, /* last branches, stepping by branches: taken and forgotten, as other hypervisors do */
	MTRR_CAP = 0x508, /* write-combining, fixed ranges, 8 variable */
	MTRR_DEF_VALID = 0xcff,
	DE_CFG_LFENCE = 2, /* it serializes */
	HWCR_TSC_FREQUENCY = 1 << 24,
};

enum rule {            /* what a value must be */
	    RULE_MASK, /* no bits outside the row's @valid */
	    RULE_CANONICAL,
	    RULE_TYPES,      /* eight memory types */
	    RULE_READ_ONLY,  /* #GP */
	    RULE_IGNORED,    /* any; it stays as it is */
	    RULE_WRITE_ONLY, /* within @valid; reading is #GP */
};

enum vendor { ANY, AMD };

struct row {
	uint32_t index;
	uint16_t offset; /* of the member; 0: it is kept */
	uint8_t rule, vendor, saved;
	struct {
		uint32_t leaf;
		uint8_t reg, bit;
	} feature; /* leaf 0: none */
	uint64_t valid, reset;
};

#define MEMBER(x)     .offset = offsetof(struct bt_cpu, x)
#define WITH(l, r, b) .feature = { l, r, b }

static const struct row rows[] = {
	{ MSR_SYSENTER_CS, MEMBER(sysenter_cs), RULE_MASK, .valid = UINT32_MAX, .saved = 1 },
	{ MSR_SYSENTER_ESP, MEMBER(sysenter_esp), RULE_CANONICAL, .saved = 1 },
	{ MSR_SYSENTER_EIP, MEMBER(sysenter_eip), RULE_CANONICAL, .saved = 1 },
	{ MSR_STAR, MEMBER(star), RULE_MASK, .valid = UINT64_MAX, .saved = 1 },
	{ MSR_LSTAR, MEMBER(lstar), RULE_CANONICAL, .saved = 1 },
	{ MSR_CSTAR, MEMBER(cstar), RULE_CANONICAL, .saved = 1 },
	{ MSR_SFMASK, MEMBER(sfmask), RULE_MASK, .valid = UINT32_MAX, .saved = 1 },
	{ MSR_FS_BASE, MEMBER(fs_base), RULE_CANONICAL },
	{ MSR_GS_BASE, MEMBER(gs_base), RULE_CANONICAL },
	{ MSR_KERNEL_GS_BASE, MEMBER(kernel_gs_base), RULE_CANONICAL, .saved = 1 },
	{ MSR_TSC_AUX, MEMBER(tsc_aux), RULE_MASK, .valid = UINT32_MAX, .saved = 1,
	  WITH(0x80000001, EDX, 27) },
	{ MSR_PAT, MEMBER(pat), RULE_TYPES, .saved = 1, .reset = PAT_RESET },
	{ MSR_MISC_ENABLE, MEMBER(misc_enable), RULE_MASK, .valid = 0x400c51889, .saved = 1,
	  .reset = MISC_ENABLE_RESET },
	{ MSR_PLATFORM_ID, .rule = RULE_READ_ONLY },
	{ MSR_SMI_COUNT, .rule = RULE_READ_ONLY },
	{ MSR_SPEC_CTRL, .rule = RULE_MASK, .valid = SPEC_CTRL_VALID, .saved = 1, WITH(7, EDX, 26) },
	{ MSR_PRED_CMD, .rule = RULE_WRITE_ONLY, .valid = 1, WITH(7, EDX, 26) },
	{ MSR_FLUSH_CMD, .rule = RULE_WRITE_ONLY, .valid = 1, WITH(7, EDX, 28) },
	{ MSR_ARCH_CAPABILITIES, .rule = RULE_READ_ONLY, .reset = ARCH_CAPABILITIES, WITH(7, EDX, 29) },
	{ MSR_UCODE_REV, .rule = RULE_IGNORED, .reset = UCODE_REV },
	{ MSR_UCODE_WRITE, .rule = RULE_WRITE_ONLY, .valid = UINT64_MAX },
	{ MSR_MCG_CAP, .rule = RULE_READ_ONLY, WITH(1, EDX, 14) },
	{ MSR_MCG_STATUS, .rule = RULE_MASK, .valid = 7, .saved = 1, WITH(1, EDX, 14) },
	{ MSR_DEBUGCTL, .rule = RULE_IGNORED, .valid = DEBUGCTL_IGNORED },
	{ MSR_MTRR_CAP, .rule = RULE_READ_ONLY, .reset = MTRR_CAP, WITH(1, EDX, 12) },
	{ MSR_MTRR_DEF_TYPE, .rule = RULE_MASK, .valid = MTRR_DEF_VALID, .saved = 1, WITH(1, EDX, 12) },
	{ MSR_XSS, .rule = RULE_MASK, .valid = 0, .saved = 1, WITH(0xd, EAX, 3) },
	{ MSR_AMD_SYSCFG, .rule = RULE_READ_ONLY, .vendor = AMD },
	{ MSR_AMD_HWCR, .rule = RULE_MASK, .valid = HWCR_TSC_FREQUENCY, .vendor = AMD },
	{ MSR_AMD_NB_CFG, .rule = RULE_IGNORED, .vendor = AMD },
	{ MSR_AMD_DE_CFG, .rule = RULE_MASK, .valid = DE_CFG_LFENCE, .reset = DE_CFG_LFENCE, .vendor = AMD },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static int refuse(struct bt_cpu *c)
{
	return bt_raise_code(c, X86_GP, 0);
}

uint64_t bt_tsc(const struct bt_cpu *c)
{
	return bt_host_tsc() + c->tsc_offset;
}

/* The kept ones. */
static struct x86_msr *kept_find(const struct bt_cpu *c, uint32_t index)
{
	for (unsigned i = 0; i < c->n_kept; i++)
		if (c->kept[i].index == index)
			return (struct x86_msr *)&c->kept[i];
	return NULL;
}

static uint64_t kept_get(const struct bt_cpu *c, uint32_t index)
{
	const struct x86_msr *m = kept_find(c, index);

	return m ? m->value : 0;
}

/* kept_set() - Return: false when there is no room */
static bool kept_set(struct bt_cpu *c, uint32_t index, uint64_t value)
{
	struct x86_msr *m = kept_find(c, index);

	if (!m && c->n_kept == BT_MSR_KEPT_MAX)
		return false;
	if (!m) {
		m = &c->kept[c->n_kept++];
		m->index = index;
	}
	m->value = value;
	return true;
}

static bool is_amd(const struct bt_cpu *c)
{
	uint32_t r[4];

	bt_cpuid(c, 0, 0, r);
	return r[EBX] == VENDOR_AMD;
}

static bool is_there(const struct bt_cpu *c, const struct row *row)
{
	if (row->vendor == AMD && !is_amd(c))
		return false;
	return row->feature.leaf == 0 ||
	       bt_has(c, row->feature.leaf, row->feature.leaf == 0xd, row->feature.reg, row->feature.bit);
}

static const struct row *row_find(const struct bt_cpu *c, uint32_t index)
{
	for (const struct row *row = rows; row < rows + ROWS; row++)
		if (row->index == index)
			return is_there(c, row) ? row : NULL;
	return NULL;
}

static uint64_t *member(const struct bt_cpu *c, const struct row *row)
{
	return (uint64_t *)(void *)((uint8_t *)c + row->offset);
}

static uint64_t row_get(const struct bt_cpu *c, const struct row *row)
{
	if (row->offset)
		return *member(c, row);
	return row->rule == RULE_READ_ONLY || row->rule == RULE_IGNORED ? row->reset :
									  kept_get(c, row->index);
}

static bool is_type(uint64_t t)
{
	return t <= 7 && t != 2 && t != 3;
}

static bool are_types(uint64_t value, bool with_7)
{
	for (unsigned i = 0; i < 64; i += 8)
		if (!is_type(value >> i & 0xff) || (!with_7 && (value >> i & 0xff) == 7))
			return false;
	return true;
}

static bool row_takes(const struct row *row, uint64_t value)
{
	switch (row->rule) {
	case RULE_MASK:
	case RULE_WRITE_ONLY: return !(value & ~row->valid);
	case RULE_IGNORED: return row->index != MSR_DEBUGCTL || !(value & ~row->valid);
	case RULE_CANONICAL: return bt_is_canonical(value);
	case RULE_TYPES: return are_types(value, true);
	default: return false;
	}
}

static void row_set(struct bt_cpu *c, const struct row *row, uint64_t value)
{
	if (row->offset)
		*member(c, row) = value;
	else if (row->rule == RULE_MASK)
		kept_set(c, row->index, value); /* its place has been there since the reset */
}

/* Memory types of ranges: kept, with no effect; all memory is write-back. */
static bool is_mtrr(uint32_t index)
{
	return (index >= MSR_MTRR_FIRST && index <= MSR_MTRR_LAST) || index == MSR_MTRR_FIX_64K ||
	       index == MSR_MTRR_FIX_16K || index == MSR_MTRR_FIX_16K + 1 ||
	       (index >= MSR_MTRR_FIX_4K && index < MSR_MTRR_FIX_4K + 8);
}

static bool mtrr_takes(uint32_t index, uint64_t value)
{
	if (index > MSR_MTRR_LAST)
		return are_types(value, false);
	if (index & 1)
		return !(value & ~((BT_PHYS_END - 0x1000) | 0x800));
	return !(value & ~((BT_PHYS_END - 0x1000) | 0xff)) && is_type(value & 0xff) && (value & 0xff) != 7;
}

/* The paravirtual clock. Spec: msr.rst; the layouts are the guest's */
struct pvclock_time {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
};
struct pvclock_wall {
	uint32_t version, sec, ns;
};

enum { PVCLOCK_STABLE = 1, PVCLOCK_ON = 1, NS_BITS = 34 };
#define NS_IN_SEC 1000000000ULL

/* pvclock_scale() - nanoseconds are (ticks << shift) * mul >> 32; @mul has its highest bit set, for precision */
static void pvclock_scale(uint64_t khz, struct pvclock_time *t)
{
	uint64_t m = (NS_IN_SEC << NS_BITS) / (khz * 1000);

	for (t->shift = 32 - NS_BITS; m > UINT32_MAX; t->shift++)
		m >>= 1;
	for (; m && m < 1U << 31; t->shift--)
		m <<= 1;
	t->mul = (uint32_t)m;
}

static uint64_t pvclock_ns(uint64_t tsc, const struct pvclock_time *t)
{
	tsc = t->shift < 0 ? tsc >> -t->shift : tsc << t->shift;
	return (uint64_t)((unsigned __int128)tsc * t->mul >> 32);
}

/* Both: the version is odd while the rest changes. Addresses that are no memory are the guest's mistake: nothing is written. */
static void time_write(struct bt_cpu *c, uint64_t gpa)
{
	struct pvclock_time *to, t = { .ns = c->vm->clock_ahead, .flags = PVCLOCK_STABLE };

	to = (struct pvclock_time *)(void *)bt_ram(c->vm, gpa, sizeof(*to), true);
	if (!to || gpa & 3)
		return;
	pvclock_scale(c->vm->tsc_khz, &t);
	c->world->code_written(c, gpa, sizeof(*to));
	t.version = (__atomic_load_n(&to->version, __ATOMIC_RELAXED) | 1) + 2;
	__atomic_store_n(&to->version, t.version, __ATOMIC_SEQ_CST);
	__builtin_memcpy((uint8_t *)to + 4, (const uint8_t *)&t + 4, sizeof(t) - 4);
	__atomic_store_n(&to->version, t.version + 1, __ATOMIC_SEQ_CST);
}

/* wall_write() - the time of day when the clock above was 0 */
static void wall_write(struct bt_cpu *c, uint64_t gpa)
{
	struct pvclock_wall *to = (struct pvclock_wall *)(void *)bt_ram(c->vm, gpa, sizeof(*to), true);
	struct timespec now = { 0 };
	struct pvclock_time scale;
	uint64_t ns, since;
	uint32_t version;

	if (!to || gpa & 3 || BT_CALL(SYS_clock_gettime, CLOCK_REALTIME, &now) < 0)
		return;
	pvclock_scale(c->vm->tsc_khz, &scale);
	since = pvclock_ns(bt_tsc(c), &scale) + c->vm->clock_ahead;
	ns = (uint64_t)now.tv_sec * NS_IN_SEC + (uint64_t)now.tv_nsec;
	ns = ns > since ? ns - since : 0;
	c->world->code_written(c, gpa, sizeof(*to));
	version = (__atomic_load_n(&to->version, __ATOMIC_RELAXED) | 1) + 2;
	__atomic_store_n(&to->version, version, __ATOMIC_SEQ_CST);
	to->sec = (uint32_t)(ns / NS_IN_SEC);
	to->ns = (uint32_t)(ns % NS_IN_SEC);
	__atomic_store_n(&to->version, version + 1, __ATOMIC_SEQ_CST);
}

static bool has_pvclock(const struct bt_cpu *c, uint32_t index)
{
	unsigned bit = index == MSR_KVM_WALL_OLD || index == MSR_KVM_TIME_OLD ? 0 : 3;

	return c->vm->tsc_khz && bt_has(c, 0x40000001, 0, EAX, bit);
}

/* The two names of each register are one. */
static uint32_t pvclock_index(uint32_t index)
{
	return index == MSR_KVM_WALL_OLD ? MSR_KVM_WALL : index == MSR_KVM_TIME_OLD ? MSR_KVM_TIME : index;
}

static int pvclock_write(struct bt_cpu *c, uint32_t index, uint64_t value)
{
	if (!has_pvclock(c, index))
		return refuse(c);
	index = pvclock_index(index);
	kept_set(c, index, value);
	if (index == MSR_KVM_WALL)
		wall_write(c, value);
	else if (value & PVCLOCK_ON)
		time_write(c, value & ~(uint64_t)PVCLOCK_ON);
	return BT_OK;
}

/* time_again() - what the guest has of its clock is not right any more. */
static void time_again(struct bt_cpu *c)
{
	if (kept_get(c, MSR_KVM_TIME) & PVCLOCK_ON && c->vm->tsc_khz)
		time_write(c, kept_get(c, MSR_KVM_TIME) & ~(uint64_t)PVCLOCK_ON);
}

static void tsc_move(struct bt_cpu *c, uint64_t by)
{
	c->tsc_offset += by;
	c->world->timer(c); /* its deadline is in the guest's TSC */
	time_again(c);
}

void bt_clock_set_ahead(struct bt_cpu *c, uint64_t ns)
{
	c->vm->clock_ahead = ns;
	time_again(c);
}

static void tsc_adjust(struct bt_cpu *c, uint64_t value)
{
	tsc_move(c, value - kept_get(c, MSR_TSC_ADJUST));
	kept_set(c, MSR_TSC_ADJUST, value);
}

static int efer_write(struct bt_cpu *c, uint64_t value)
{
	uint64_t was = c->efer;

	if (value & ~bt_efer_valid(c) || (c->cr0 & X86_CR0_PG && (was ^ value) & X86_EFER_LME))
		return refuse(c);
	c->efer = (value & ~(uint64_t)X86_EFER_LMA) | (was & X86_EFER_LMA);
	if ((was ^ value) & X86_EFER_NX)
		c->world->flush(c, BT_FLUSH_ALL, 0);
	return BT_OK;
}

static bool is_x2apic(const struct bt_cpu *c)
{
	return (c->apic_base & (APIC_BASE_ON | APIC_BASE_X2)) == (APIC_BASE_ON | APIC_BASE_X2);
}

int bt_msr_read(struct bt_cpu *c, uint32_t index, uint64_t *ret_value)
{
	const struct row *row = row_find(c, index);
	const struct x86_msr *m;

	if (row && row->rule != RULE_WRITE_ONLY) {
		*ret_value = row_get(c, row);
		return BT_OK;
	}
	if (row)
		return refuse(c);
	if (index >= MSR_X2APIC && index <= MSR_X2APIC_LAST)
		return is_x2apic(c) ? bt_lapic_read(c, index - MSR_X2APIC, ret_value) : refuse(c);
	switch (index) {
	case MSR_TSC: *ret_value = bt_tsc(c); return BT_OK;
	case MSR_APIC_BASE: *ret_value = c->apic_base; return BT_OK;
	case MSR_EFER: *ret_value = c->efer; return BT_OK;
	case MSR_TSC_DEADLINE:
		if (!bt_has(c, 1, 0, ECX, 24))
			return refuse(c);
		*ret_value = bt_lapic_tsc_deadline(c);
		return BT_OK;
	case MSR_TSC_ADJUST:
		if (!bt_has(c, 7, 0, EBX, 1))
			return refuse(c);
		*ret_value = kept_get(c, index);
		return BT_OK;
	case MSR_KVM_WALL_OLD:
	case MSR_KVM_TIME_OLD:
	case MSR_KVM_WALL:
	case MSR_KVM_TIME:
		if (!has_pvclock(c, index))
			return refuse(c);
		*ret_value = kept_get(c, pvclock_index(index));
		return BT_OK;
	default: break;
	}
	if (is_mtrr(index) && bt_has(c, 1, 0, EDX, 12)) {
		*ret_value = kept_get(c, index);
		return BT_OK;
	}
	m = kept_find(c, index);
	for (row = rows; m && row < rows + ROWS; row++)
		if (row->index == index) /* of a feature that is not shown */
			return refuse(c);
	if (!m)
		return refuse(c);
	*ret_value = m->value;
	return BT_OK;
}

/* other_write() - registers that are in no row and have no meaning: memory types, and what a snapshot brought */
static int other_write(struct bt_cpu *c, uint32_t index, uint64_t value)
{
	if (is_mtrr(index) && bt_has(c, 1, 0, EDX, 12))
		return mtrr_takes(index, value) && kept_set(c, index, value) ? BT_OK : refuse(c);
	for (const struct row *row = rows; row < rows + ROWS; row++)
		if (row->index == index)
			return refuse(c);
	return kept_find(c, index) && kept_set(c, index, value) ? BT_OK : refuse(c);
}

int bt_msr_write(struct bt_cpu *c, uint32_t index, uint64_t value)
{
	const struct row *row = row_find(c, index);

	if (row) {
		if (!row_takes(row, value))
			return refuse(c);
		row_set(c, row, value);
		return BT_OK;
	}
	if (index >= MSR_X2APIC && index <= MSR_X2APIC_LAST)
		return is_x2apic(c) ? bt_lapic_write(c, index - MSR_X2APIC, value) : refuse(c);
	switch (index) {
	case MSR_TSC: tsc_adjust(c, kept_get(c, MSR_TSC_ADJUST) + value - bt_tsc(c)); return BT_OK;
	case MSR_TSC_ADJUST:
		if (!bt_has(c, 7, 0, EBX, 1))
			return refuse(c);
		tsc_adjust(c, value);
		return BT_OK;
	case MSR_APIC_BASE: return bt_lapic_set_base(c, value);
	case MSR_EFER: return efer_write(c, value);
	case MSR_TSC_DEADLINE:
		if (!bt_has(c, 1, 0, ECX, 24))
			return refuse(c);
		bt_lapic_set_tsc_deadline(c, value);
		return BT_OK;
	case MSR_KVM_WALL_OLD:
	case MSR_KVM_TIME_OLD:
	case MSR_KVM_WALL:
	case MSR_KVM_TIME: return pvclock_write(c, index, value);
	default: return other_write(c, index, value);
	}
}

/* Those that have a place from the start, so that writing them cannot fail for want of room. */
static const uint32_t always_kept[] = { MSR_TSC_ADJUST, MSR_KVM_WALL, MSR_KVM_TIME };
enum { ALWAYS_KEPT = sizeof(always_kept) / sizeof(always_kept[0]) };

void bt_msr_reset(struct bt_cpu *c)
{
	c->n_kept = 0;
	for (const struct row *row = rows; row < rows + ROWS; row++) {
		if (row->offset)
			*member(c, row) = row->reset;
		else if (row->rule == RULE_MASK)
			kept_set(c, row->index, row->reset);
	}
	for (unsigned i = 0; i < ALWAYS_KEPT; i++)
		kept_set(c, always_kept[i], 0);
}

static void put(struct x86_msr *msr, unsigned *n, uint32_t index, uint64_t value)
{
	if (*n < X86_MSRS_MAX)
		msr[(*n)++] = (struct x86_msr){ .index = index, .value = value };
}

static bool is_row_or_always(uint32_t index)
{
	for (unsigned i = 0; i < ROWS; i++)
		if (rows[i].index == index)
			return true;
	for (unsigned i = 0; i < ALWAYS_KEPT; i++)
		if (always_kept[i] == index)
			return true;
	return false;
}

/* The TSC comes first, for deadlines are in it; then what is here, only as far as the guest can see it. */
unsigned bt_msr_save(const struct bt_cpu *c, struct x86_msr *ret_msr)
{
	unsigned n = 0;

	put(ret_msr, &n, MSR_TSC, bt_tsc(c));
	if (bt_has(c, 7, 0, EBX, 1))
		put(ret_msr, &n, MSR_TSC_ADJUST, kept_get(c, MSR_TSC_ADJUST));
	for (const struct row *row = rows; row < rows + ROWS; row++)
		if (row->saved && is_there(c, row))
			put(ret_msr, &n, row->index, row_get(c, row));
	if (has_pvclock(c, MSR_KVM_WALL)) {
		put(ret_msr, &n, MSR_KVM_WALL, kept_get(c, MSR_KVM_WALL));
		put(ret_msr, &n, MSR_KVM_TIME, kept_get(c, MSR_KVM_TIME));
	}
	for (unsigned i = 0; i < c->n_kept; i++)
		if (!is_row_or_always(c->kept[i].index))
			put(ret_msr, &n, c->kept[i].index, c->kept[i].value);
	if (bt_has(c, 1, 0, ECX, 24))
		put(ret_msr, &n, MSR_TSC_DEADLINE, bt_lapic_tsc_deadline(c));
	return n;
}

/* Registers that bt_msr_restore() has a way of its own for; all others it does not know are kept. */
static bool is_special(uint32_t index)
{
	switch (index) {
	case MSR_TSC:
	case MSR_TSC_DEADLINE:
	case MSR_APIC_BASE:
	case MSR_KVM_WALL_OLD:
	case MSR_KVM_TIME_OLD: return true;
	default: return index == MSR_EFER || is_row_or_always(index);
	}
}

bool bt_msr_can_restore(const struct bt_cpu *c, const struct x86_msr *msr, unsigned n)
{
	unsigned more = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct row *row = row_find(c, msr[i].index);

		if (row && row->saved && !row_takes(row, msr[i].value) && row->rule != RULE_MASK)
			return false;
		if (!is_special(msr[i].index) && msr[i].value && !kept_find(c, msr[i].index))
			more++;
	}
	return c->n_kept + more <= BT_MSR_KEPT_MAX;
}

/* restore_one() - everything but the TSC and what runs by it; another engine's bits beyond ours are cut off */
static void restore_one(struct bt_cpu *c, uint32_t index, uint64_t value)
{
	const struct row *row = row_find(c, index);

	if (row) {
		if (row->rule == RULE_MASK)
			value &= row->valid;
		if (row_takes(row, value))
			row_set(c, row, value);
		return;
	}
	if (index == MSR_TSC_ADJUST || index == MSR_KVM_WALL ||
	    (!is_special(index) && (value || kept_find(c, index))))
		kept_set(c, index, value);
}

void bt_msr_restore(struct bt_cpu *c, const struct x86_msr *msr, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (msr[i].index == MSR_TSC)
			c->tsc_offset = msr[i].value - bt_host_tsc();
		else
			restore_one(c, msr[i].index, msr[i].value);
	for (unsigned i = 0; i < n; i++) {
		if (msr[i].index == MSR_TSC_DEADLINE)
			bt_lapic_set_tsc_deadline(c, msr[i].value);
		else if (msr[i].index == MSR_KVM_TIME && has_pvclock(c, MSR_KVM_TIME))
			pvclock_write(c, MSR_KVM_TIME, msr[i].value);
	}
}
