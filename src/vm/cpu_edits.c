/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "vm/machine.h"

static uint32_t edited(uint32_t v, const struct machine_bits *b)
{
	return (uint32_t)((v & ~b->mask) | (b->value & b->mask));
}

static int edit_leaf(const struct machine_cpuid_edit *c, struct x86_cpuid *table, unsigned n)
{
	int rc = -ENOENT;

	for (unsigned i = 0; i < n; i++) {
		struct x86_cpuid *t = &table[i];

		if (t->leaf != c->leaf || (t->indexed ? t->subleaf : 0) != c->subleaf)
			continue;
		t->eax = edited(t->eax, &c->reg[0]);
		t->ebx = edited(t->ebx, &c->reg[1]);
		t->ecx = edited(t->ecx, &c->reg[2]);
		t->edx = edited(t->edx, &c->reg[3]);
		rc = 0;
	}
	return rc;
}

int machine_cpu_edit_cpuid(const struct machine_cpu_edits *c, struct x86_cpuid *table, unsigned n,
			   struct err *e)
{
	for (unsigned i = 0; i < c->n_cpuid; i++)
		if (edit_leaf(&c->cpuid[i], table, n) < 0)
			return err_set(e, ENOENT, "CPUID leaf 0x%x, subleaf 0x%x: this machine has none",
				       c->cpuid[i].leaf, c->cpuid[i].subleaf);
	return 0;
}

int machine_cpu_edit_msrs(const struct machine_cpu_edits *c, struct x86_state *s, struct err *e)
{
	for (unsigned i = 0; i < c->n_msrs; i++) {
		const struct machine_msr_edit *m = &c->msr[i];
		unsigned at = 0;

		while (at < s->n_msrs && s->msr[at].index != m->index)
			at++;
		if (at == s->n_msrs) {
			if (at == X86_MSRS_MAX)
				return err_set(e, ENOSPC, "MSR 0x%x: more than %d MSRs", m->index,
					       X86_MSRS_MAX);
			s->msr[s->n_msrs++] = (struct x86_msr){ .index = m->index };
		}
		s->msr[at].value = (s->msr[at].value & ~m->bits.mask) | (m->bits.value & m->bits.mask);
	}
	return 0;
}
