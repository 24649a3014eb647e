/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <assert.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

enum { GUEST_PAGE = 4096 };

/* find_any() - the first that can; else what each of them said. */
static const struct engine_ops *find_any(struct err *e)
{
	char why[400] = "";
	size_t len = 0;

	for (const struct engine_ops *const *t = engine_table; *t; t++) {
		struct err one = { 0 };

		if ((*t)->probe(&one) == 0)
			return *t;
		if (len < sizeof(why))
			len += str_format(why + len, sizeof(why) - len, "%s%s: %s", len ? "; " : "",
					  (*t)->name, one.text);
	}
	err_set(e, ENODEV, "no engine can run here: %s", why);
	return NULL;
}

/* by_name() - Return: -EINVAL with @e; *ret_ops NULL: any */
static int by_name(const char *name, const struct engine_ops **ret_ops, struct err *e)
{
	char all[64] = "";
	size_t len = 0;

	*ret_ops = NULL;
	if (!name || !*name || str_eq(name, "auto"))
		return 0;
	for (const struct engine_ops *const *t = engine_table; *t; t++) {
		if (len < sizeof(all))
			len += str_format(all + len, sizeof(all) - len, ", %s", (*t)->name);
		if (!str_eq((*t)->name, name))
			continue;
		*ret_ops = *t;
		return 0;
	}
	return err_set(e, EINVAL, "engine '%s': want auto%s", name, all);
}

int engine_name_check(const char *name, const char **ret_name, struct err *e)
{
	const struct engine_ops *ops;
	int r = by_name(name, &ops, e);

	if (r == 0)
		*ret_name = ops ? ops->name : NULL;
	return r;
}

const struct engine_ops *engine_find(const char *name, struct err *e)
{
	const struct engine_ops *ops;
	int r = by_name(name, &ops, e);

	if (r < 0)
		return NULL;
	if (!ops)
		return find_any(e);
	r = ops->probe(e);
	if (r == 0)
		return ops;
	err_wrap(e, r, "engine '%s'", name);
	return NULL;
}

int engine_vm_new(const struct engine_ops *ops, struct engine_vm **ret_vm, const struct engine_config *c,
		  struct err *e)
{
	if (c->n_cpus < 1 || c->n_cpus > ENGINE_CPUS_MAX)
		return err_set(e, EINVAL, "%u processors, want 1 to %d", c->n_cpus, ENGINE_CPUS_MAX);
	if (c->split_irqchip && c->no_irqchip)
		return err_set(e, EINVAL, "an interrupt controller cannot be split and absent");
	return ops->vm_new(ret_vm, c, e);
}

void engine_vm_free(struct engine_vm *vm)
{
	if (vm)
		vm->ops->vm_free(vm);
}

static int mem_check(const struct engine_mem *m, struct err *e)
{
	uint64_t end;

	if (m->size && (m->gpa % GUEST_PAGE || m->size % GUEST_PAGE || (uintptr_t)m->host % GUEST_PAGE ||
			__builtin_add_overflow(m->gpa, m->size, &end)))
		return err_set(e, EINVAL, "memory slot %u: 0x%llx bytes at 0x%llx: whole pages are wanted",
			       m->slot, (unsigned long long)m->size, (unsigned long long)m->gpa);
	return 0;
}

int engine_mem_set(struct engine_vm *vm, const struct engine_mem *m, struct err *e)
{
	int r = mem_check(m, e);

	return r < 0 ? r : vm->ops->mem_set(vm, m, e);
}

int engine_mem_begin(struct engine_vm *vm, const struct engine_mem *m, unsigned n, struct err *e)
{
	bool beside = vm->ops->mem_begin && n <= ENGINE_BEGIN_MAX;
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++)
		r = beside ? mem_check(&m[i], e) : engine_mem_set(vm, &m[i], e);
	return r == 0 && beside ? vm->ops->mem_begin(vm, m, n, e) : r;
}

int engine_dirty_get(struct engine_vm *vm, unsigned slot, uint64_t *bits, size_t n_words)
{
	return vm->ops->dirty_get ? vm->ops->dirty_get(vm, slot, bits, n_words) : -EOPNOTSUPP;
}

int engine_irq_set(struct engine_vm *vm, unsigned gsi, bool level)
{
	if (gsi >= ENGINE_GSIS)
		return -EINVAL;
	return vm->ops->irq_set ? vm->ops->irq_set(vm, gsi, level) : -EOPNOTSUPP;
}

int engine_msi_send(struct engine_vm *vm, uint64_t addr, uint32_t data)
{
	return vm->ops->msi_send ? vm->ops->msi_send(vm, addr, data) : -EOPNOTSUPP;
}

int engine_irqfd(struct engine_vm *vm, unsigned gsi, int fd, bool on)
{
	if (gsi >= ENGINE_GSIS || fd < 0)
		return -EINVAL;
	return vm->ops->irqfd ? vm->ops->irqfd(vm, gsi, fd, on) : -EOPNOTSUPP;
}

int engine_ioeventfd(struct engine_vm *vm, bool port, uint64_t addr, unsigned len, int64_t match, int fd,
		     bool on)
{
	if (fd < 0 || (len != 0 && len != 1 && len != 2 && len != 4 && len != 8) || (port && addr > 0xffff))
		return -EINVAL;
	return vm->ops->ioeventfd ? vm->ops->ioeventfd(vm, port, addr, len, match, fd, on) : -EOPNOTSUPP;
}

int engine_cpuid_host(struct engine_vm *vm, struct x86_cpuid *table, unsigned *n, struct err *e)
{
	return vm->ops->cpuid_host(vm, table, n, e);
}

void engine_vm_save(struct engine_vm *vm, struct record_out *o, struct err *e)
{
	vm->ops->vm_save(vm, o, e);
}

void engine_vm_restore(struct engine_vm *vm, struct record_in *in)
{
	vm->ops->vm_restore(vm, in);
}

int engine_vm_catch_up(struct engine_vm *vm, struct err *e)
{
	if (!vm->ops->vm_catch_up)
		return err_set(e, EOPNOTSUPP, "engine '%s': no clock that could catch up", vm->ops->name);
	return vm->ops->vm_catch_up(vm, e);
}

int engine_cpu_new(struct engine_vm *vm, unsigned index, struct engine_cpu **ret_cpu, struct err *e)
{
	if (index >= ENGINE_CPUS_MAX)
		return err_set(e, EINVAL, "processor %u: at most %d", index, ENGINE_CPUS_MAX);
	return vm->ops->cpu_new(vm, index, ret_cpu, e);
}

void engine_cpu_free(struct engine_cpu *cpu)
{
	if (cpu)
		cpu->vm->ops->cpu_free(cpu);
}

int engine_cpu_cpuid(struct engine_cpu *cpu, const struct x86_cpuid *table, unsigned n, struct err *e)
{
	if (n > ENGINE_CPUID_MAX)
		return err_set(e, E2BIG, "%u CPUID leaves, at most %d", n, ENGINE_CPUID_MAX);
	return cpu->vm->ops->cpu_cpuid(cpu, table, n, e);
}

int engine_cpu_run(struct engine_cpu *cpu, struct engine_exit *x)
{
	int r = cpu->vm->ops->cpu_run(cpu, x);

	BUG_ON(r == 0 && (unsigned)x->kind >= ENGINE_EXIT_COUNT);
	return r;
}

void engine_cpu_kick(struct engine_cpu *cpu)
{
	cpu->vm->ops->cpu_kick(cpu);
}

int engine_cpu_get(struct engine_cpu *cpu, struct x86_state *s, struct err *e)
{
	return cpu->vm->ops->cpu_get(cpu, s, e);
}

int engine_cpu_set(struct engine_cpu *cpu, const struct x86_state *s, struct err *e)
{
	if (s->n_msrs > X86_MSRS_MAX || s->xsave_len > X86_XSAVE_MAX || s->run >= X86_RUN_COUNT)
		return err_set(e, EINVAL, "processor %u: a state that makes no sense", cpu->index);
	return cpu->vm->ops->cpu_set(cpu, s, e);
}

int engine_cpu_nmi(struct engine_cpu *cpu)
{
	return cpu->vm->ops->cpu_nmi ? cpu->vm->ops->cpu_nmi(cpu) : -EOPNOTSUPP;
}

int engine_debug_check(const struct engine_vm *vm, const struct x86_debug *d)
{
	if (!vm->ops->cpu_debug)
		return -EOPNOTSUPP;
	if (d->n > vm->ops->points || d->n > X86_POINTS_MAX)
		return -ENOSPC;
	for (unsigned i = 0; i < d->n; i++) {
		const struct x86_point *p = &d->point[i];

		if (p->kind > X86_POINT_TOUCH || p->len < 1 || p->len > 8 || p->len & (p->len - 1) ||
		    p->addr % p->len || (p->kind == X86_POINT_RUN && p->len != 1))
			return -EINVAL;
	}
	return 0;
}

int engine_cpu_debug(struct engine_cpu *cpu, const struct x86_debug *d)
{
	int r = engine_debug_check(cpu->vm, d);

	return r < 0 ? r : cpu->vm->ops->cpu_debug(cpu, d);
}

unsigned engine_cpu_counters(struct engine_cpu *cpu, struct engine_counter c[ENGINE_COUNTERS_MAX])
{
	static const char *const name[] = {
		[ENGINE_EXIT_IO] = "exit-io",       [ENGINE_EXIT_MMIO] = "exit-mmio",
		[ENGINE_EXIT_HALT] = "exit-halt",   [ENGINE_EXIT_SHUTDOWN] = "exit-shutdown",
		[ENGINE_EXIT_RESET] = "exit-reset", [ENGINE_EXIT_KICKED] = "exit-kicked",
		[ENGINE_EXIT_DEBUG] = "exit-debug", [ENGINE_EXIT_ERROR] = "exit-error",
	};
	const struct engine_ops *ops = cpu->vm->ops;
	uint64_t by_kind[ENGINE_EXIT_COUNT];
	unsigned n = 0;

	static_assert(ARRAY_SIZE(name) == ENGINE_EXIT_COUNT, "each kind has a name");
	if (ops->cpu_stats) {
		ops->cpu_stats(cpu, by_kind);
		for (; n < ENGINE_EXIT_COUNT; n++)
			c[n] = (struct engine_counter){ name[n], by_kind[n] };
	}
	if (ops->cpu_counters)
		n += ops->cpu_counters(cpu, c + n, ENGINE_COUNTERS_MAX - n);
	return n;
}
