/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "fmt/record.h"
#include "vm/snapshot_internal.h"

enum { CPU_VERSION = 1, CPUID_VERSION = 1 };

static void put_u64s(struct record_out *o, const uint64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		record_put_u64(o, v[i]);
}

static void get_u64s(struct record_in *in, uint64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i] = record_get_u64(in);
}

static void segments_save(const struct x86_state *s, struct record_out *o)
{
	for (int i = 0; i < X86_SEG_COUNT; i++) {
		record_put_u64(o, s->seg[i].base);
		record_put_u32(o, s->seg[i].limit);
		record_put_u16(o, s->seg[i].selector);
		record_put_u16(o, s->seg[i].attr);
	}
	record_put_u64(o, s->gdt.base);
	record_put_u16(o, s->gdt.limit);
	record_put_u64(o, s->idt.base);
	record_put_u16(o, s->idt.limit);
}

static void segments_restore(struct x86_state *s, struct record_in *in)
{
	for (int i = 0; i < X86_SEG_COUNT; i++) {
		s->seg[i].base = record_get_u64(in);
		s->seg[i].limit = record_get_u32(in);
		s->seg[i].selector = record_get_u16(in);
		s->seg[i].attr = record_get_u16(in);
	}
	s->gdt.base = record_get_u64(in);
	s->gdt.limit = record_get_u16(in);
	s->idt.base = record_get_u64(in);
	s->idt.limit = record_get_u16(in);
}

static void events_save(const struct x86_events *x, struct record_out *o)
{
	const uint8_t bytes[] = { x->exception_injected,
				  x->exception_nr,
				  x->exception_has_code,
				  x->exception_pending,
				  x->exception_has_payload,
				  x->interrupt_injected,
				  x->interrupt_nr,
				  x->interrupt_soft,
				  x->interrupt_shadow,
				  x->nmi_injected,
				  x->nmi_pending,
				  x->nmi_masked,
				  x->smi_smm,
				  x->smi_pending,
				  x->smi_inside_nmi,
				  x->smi_latched_init };

	record_put(o, bytes, sizeof(bytes));
	record_put_u32(o, x->exception_code);
	record_put_u64(o, x->exception_payload);
	record_put_u32(o, x->sipi_vector);
}

static void events_restore(struct x86_events *x, struct record_in *in)
{
	uint8_t *const bytes[] = { &x->exception_injected,
				   &x->exception_nr,
				   &x->exception_has_code,
				   &x->exception_pending,
				   &x->exception_has_payload,
				   &x->interrupt_injected,
				   &x->interrupt_nr,
				   &x->interrupt_soft,
				   &x->interrupt_shadow,
				   &x->nmi_injected,
				   &x->nmi_pending,
				   &x->nmi_masked,
				   &x->smi_smm,
				   &x->smi_pending,
				   &x->smi_inside_nmi,
				   &x->smi_latched_init };

	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++)
		*bytes[i] = record_get_u8(in);
	x->exception_code = record_get_u32(in);
	x->exception_payload = record_get_u64(in);
	x->sipi_vector = record_get_u32(in);
}

static void cpuid_save(const struct x86_cpuid *t, unsigned n, struct record_out *o)
{
	record_begin(o, "cpuid", CPUID_VERSION);
	record_put_u32(o, n);
	for (unsigned i = 0; i < n; i++) {
		const uint32_t row[] = { t[i].leaf, t[i].subleaf, t[i].indexed, t[i].eax,
					 t[i].ebx,  t[i].ecx,     t[i].edx };

		for (size_t k = 0; k < ARRAY_SIZE(row); k++)
			record_put_u32(o, row[k]);
	}
	record_end(o);
}

static void cpuid_restore(struct x86_cpuid *t, unsigned *ret_n, struct record_in *in)
{
	uint32_t n;

	*ret_n = 0;
	if (!record_open(in, "cpuid", CPUID_VERSION))
		return;
	n = record_get_u32(in);
	if (n > ENGINE_CPUID_MAX) {
		record_fail(in, "%u entries, at most %d", n, ENGINE_CPUID_MAX);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		t[i].leaf = record_get_u32(in);
		t[i].subleaf = record_get_u32(in);
		t[i].indexed = record_get_u32(in) != 0;
		t[i].eax = record_get_u32(in);
		t[i].ebx = record_get_u32(in);
		t[i].ecx = record_get_u32(in);
		t[i].edx = record_get_u32(in);
	}
	*ret_n = n;
	record_close(in);
}

void snapshot__cpu_save(const struct x86_state *s, const struct x86_cpuid *cpuid, unsigned n,
			struct record_out *o)
{
	record_begin(o, "cpu", CPU_VERSION);
	put_u64s(o, s->gpr, X86_GPR_COUNT);
	record_put_u64(o, s->rip);
	record_put_u64(o, s->rflags);
	segments_save(s, o);
	put_u64s(o,
		 (const uint64_t[]){ s->cr0, s->cr2, s->cr3, s->cr4, s->cr8, s->efer, s->apic_base, s->xcr0 },
		 8);
	put_u64s(o, s->dr, ARRAY_SIZE(s->dr));
	record_put_u64(o, s->dr6);
	record_put_u64(o, s->dr7);
	record_put_u8(o, (uint8_t)s->run);
	events_save(&s->events, o);
	record_put_u32(o, s->tsc_khz);
	record_put_u32(o, s->n_msrs);
	for (uint32_t i = 0; i < s->n_msrs; i++) {
		record_put_u32(o, s->msr[i].index);
		record_put_u64(o, s->msr[i].value);
	}
	record_put(o, s->lapic, sizeof(s->lapic));
	record_put_u32(o, s->xsave_len);
	record_put(o, s->xsave, s->xsave_len);
	cpuid_save(cpuid, n, o);
	record_end(o);
}

static void msrs_restore(struct x86_state *s, struct record_in *in)
{
	s->n_msrs = record_get_u32(in);
	if (s->n_msrs > X86_MSRS_MAX) {
		record_fail(in, "%u MSRs, at most %d", s->n_msrs, X86_MSRS_MAX);
		s->n_msrs = 0;
	}
	for (uint32_t i = 0; i < s->n_msrs; i++) {
		s->msr[i].index = record_get_u32(in);
		s->msr[i].value = record_get_u64(in);
	}
}

static void xsave_restore(struct x86_state *s, struct record_in *in)
{
	s->xsave_len = record_get_u32(in);
	if (s->xsave_len > X86_XSAVE_MAX) {
		record_fail(in, "%u bytes of XSAVE area, at most %d", s->xsave_len, X86_XSAVE_MAX);
		s->xsave_len = 0;
	}
	record_get(in, s->xsave, s->xsave_len);
}

void snapshot__cpu_restore(struct x86_state *s, struct x86_cpuid *cpuid, unsigned *ret_n,
			   struct record_in *in)
{
	uint64_t *const cr[] = { &s->cr0, &s->cr2,  &s->cr3,       &s->cr4,
				 &s->cr8, &s->efer, &s->apic_base, &s->xcr0 };
	uint8_t run;

	memset(s, 0, sizeof(*s));
	*ret_n = 0;
	if (!record_open(in, "cpu", CPU_VERSION))
		return;
	get_u64s(in, s->gpr, X86_GPR_COUNT);
	s->rip = record_get_u64(in);
	s->rflags = record_get_u64(in);
	segments_restore(s, in);
	for (size_t i = 0; i < ARRAY_SIZE(cr); i++)
		*cr[i] = record_get_u64(in);
	get_u64s(in, s->dr, ARRAY_SIZE(s->dr));
	s->dr6 = record_get_u64(in);
	s->dr7 = record_get_u64(in);
	run = record_get_u8(in);
	if (run >= X86_RUN_COUNT)
		record_fail(in, "run state %u", run);
	else
		s->run = (enum x86_run)run;
	events_restore(&s->events, in);
	s->tsc_khz = record_get_u32(in);
	msrs_restore(s, in);
	record_get(in, s->lapic, sizeof(s->lapic));
	xsave_restore(s, in);
	cpuid_restore(cpuid, ret_n, in);
	record_close(in);
}

/* --- does the host have it? ----------------------------------------------------------------------------------- */

/* Registers whose bits are features that a guest may have seen and uses; what CPUID says elsewhere is sizes and names. */
static const struct {
	uint32_t leaf, subleaf;
	size_t reg;
	const char *name;
	uint32_t
		ignore; /* bits that are not the host's to have: the machine's own, or copies of control bits */
} features[] = {
	{ 1, 0, offsetof(struct x86_cpuid, ecx), "1.ECX",
	  1U << 31 | 1U << 27 | 1U << 24 | 1U << 21 | 1U << 3 },
	{ 1, 0, offsetof(struct x86_cpuid, edx), "1.EDX", 1U << 28 },
	{ 7, 0, offsetof(struct x86_cpuid, ebx), "7.EBX", 0 },
	{ 7, 0, offsetof(struct x86_cpuid, ecx), "7.ECX", 1U << 4 },
	{ 7, 0, offsetof(struct x86_cpuid, edx), "7.EDX", 0 },
	{ 7, 1, offsetof(struct x86_cpuid, eax), "7.1.EAX", 0 },
	{ 0xd, 0, offsetof(struct x86_cpuid, eax), "0xd.EAX", 0 },
	{ 0xd, 1, offsetof(struct x86_cpuid, eax), "0xd.1.EAX", 0 },
	{ 0x80000001, 0, offsetof(struct x86_cpuid, ecx), "0x80000001.ECX", 1U << 1 | 1U << 22 },
	{ 0x80000001, 0, offsetof(struct x86_cpuid, edx), "0x80000001.EDX", 0 },
};

static uint32_t leaf_reg(const struct x86_cpuid *t, unsigned n, uint32_t leaf, uint32_t subleaf, size_t reg)
{
	uint32_t v;

	for (unsigned i = 0; i < n; i++)
		if (t[i].leaf == leaf && (!t[i].indexed || t[i].subleaf == subleaf)) {
			memcpy(&v, (const char *)&t[i] + reg, sizeof(v));
			return v;
		}
	return 0;
}

int snapshot__cpuid_fits(const struct x86_cpuid *saved, unsigned n_saved, const struct x86_cpuid *host,
			 unsigned n_host, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		uint32_t has = leaf_reg(host, n_host, features[i].leaf, features[i].subleaf, features[i].reg);
		uint32_t wants =
			leaf_reg(saved, n_saved, features[i].leaf, features[i].subleaf, features[i].reg);
		uint32_t lacks = wants & ~has & ~features[i].ignore;

		if (lacks)
			return err_set(e, EOPNOTSUPP,
				       "this host's processor lacks what the saved one has: CPUID %s, bit %d",
				       features[i].name, __builtin_ctz(lacks));
	}
	return 0;
}
