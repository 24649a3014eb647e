/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid_internal.h - the table while it is worked on, and the named models */
#ifndef VM_CPUID_INTERNAL_H
#define VM_CPUID_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/x86_state.h"

struct err;

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };
enum cpuid_vendor { CPUID_ANY, CPUID_INTEL, CPUID_AMD };

struct cpuid_word { /* the bits of @mask become those of @value */
	uint32_t leaf, subleaf;
	enum cpuid_reg reg;
	uint32_t mask, value;
};

struct cpuid_work {
	struct x86_cpuid *t; /* borrowed, room for ENGINE_CPUID_MAX */
	unsigned n;
	enum cpuid_vendor vendor;
	bool full; /* an entry found no room */
};

struct x86_cpuid *cpuid__find(const struct cpuid_work *w, uint32_t leaf, uint32_t subleaf);
uint32_t *cpuid__reg(struct x86_cpuid *c, enum cpuid_reg r);

/* cpuid__model() - make the host's features those of a named model; 0, -ENOENT, -EOPNOTSUPP */
int cpuid__model(struct cpuid_work *w, const char *name, struct err *e);

#endif
