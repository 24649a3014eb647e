/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/debug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "engine/engine.h"
#include "sys/file.h"

enum { MEM_BYTES = 0x6000, CODE_AT = 0x1000, STACK_AT = 0x3000, TABLES_AT = 0x3000, PORT = 0x10 };
enum { CR0_PE = 1, CR0_ET = 0x10, CR4_PAE = 0x20, EFER_LONG = 0x500, FLAGS_IOPL3 = 0x3002 };
#define CR0_PG 0x80000000U

/* again: push rax; out PORT,al; pop rax; jmp again: what is looked for comes before the port */
static const uint8_t code[] = { 0x50, 0xe6, PORT, 0x58, 0xeb, 0xfa };

struct rig {
	struct engine_vm *vm;
	struct engine_cpu *cpu;
	uint8_t *mem; /* owned mapping */
	int fd;
	struct x86_state state;
};

static void rig_fini(struct rig *g)
{
	engine_cpu_free(g->cpu);
	engine_vm_free(g->vm);
	if (g->mem)
		munmap(g->mem, MEM_BYTES);
	fd_close(&g->fd);
}

static int rig_init(struct rig *g, const struct engine_ops *ops, struct err *e)
{
	const struct engine_config c = { .n_cpus = 1, .no_irqchip = true };
	/* the first 2 MiB where they are, for every ring */
	static const uint64_t entry[] = { TABLES_AT + 0x1007, TABLES_AT + 0x2007, 0x87 };
	struct engine_mem m = { .size = MEM_BYTES, .shared = true };
	int r = engine_vm_new(ops, &g->vm, &c, e);

	if (r < 0)
		return r;
	g->fd = file_memfd("hull-debug", MFD_CLOEXEC);
	if (g->fd < 0 || ftruncate(g->fd, MEM_BYTES) < 0)
		return err_sys(e, g->fd < 0 ? -g->fd : errno, "memory");
	m.host = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (m.host == MAP_FAILED)
		return err_sys(e, errno, "memory");
	g->mem = m.host;
	m.fd = g->fd;
	memcpy(g->mem + CODE_AT, code, sizeof(code));
	for (size_t i = 0; i < ARRAY_SIZE(entry); i++)
		memcpy(g->mem + TABLES_AT + 0x1000 * i, &entry[i], sizeof(entry[i]));
	r = engine_mem_set(g->vm, &m, e);
	return r < 0 ? r : engine_cpu_new(g->vm, 0, &g->cpu, e);
}

/*
 * start() - at the code in 64-bit mode of that ring, which a KVM of software may run otherwise than older modes. It may use ports, so it
 * needs no kernel.
 */
static int start(struct rig *g, unsigned ring, struct err *e)
{
	struct x86_state *s = &g->state;
	unsigned dpl = ring << 5;

	*s = (struct x86_state){ .rip = CODE_AT,
				 .rflags = FLAGS_IOPL3,
				 .cr0 = CR0_PG | CR0_PE | CR0_ET,
				 .cr3 = TABLES_AT,
				 .cr4 = CR4_PAE,
				 .efer = EFER_LONG };
	s->gpr[X86_RSP] = STACK_AT;
	for (int i = 0; i < X86_LDTR; i++)
		s->seg[i] = (struct x86_segment){ .limit = 0xffffffff,
						  .selector = (uint16_t)(16 | ring),
						  .attr = (uint16_t)(0xc093 | dpl) };
	s->seg[X86_CS].selector = (uint16_t)(8 | ring);
	s->seg[X86_CS].attr = (uint16_t)(0xa09b | dpl);
	s->seg[X86_LDTR].attr = 0x82;
	s->seg[X86_TR] = (struct x86_segment){ .limit = 0x67, .attr = 0x8b };
	return engine_cpu_set(g->cpu, s, e);
}

/* settle() - the access of the last exit is completed, so that the state may be set. */
static int settle(struct rig *g, struct err *e)
{
	const struct x86_debug none = { 0 };
	struct engine_exit x;
	int r;

	engine_cpu_kick(g->cpu);
	do
		r = engine_cpu_run(g->cpu, &x);
	while (r == 0 && x.kind != ENGINE_EXIT_KICKED && x.kind != ENGINE_EXIT_ERROR);
	if (r == 0)
		r = engine_cpu_debug(g->cpu, &none);
	return r < 0 ? err_sys(e, -r, "the guest") : 0;
}

/* stops() - does the guest of that ring, before it comes to its port? */
static int stops(struct rig *g, unsigned ring, struct x86_point at, bool *ret_it_does, struct err *e)
{
	const struct x86_debug d = { .n = 1, .point = { at } };
	struct engine_exit x = { 0 };
	int r = start(g, ring, e);

	if (r < 0)
		return r;
	r = engine_cpu_debug(g->cpu, &d);
	if (r == 0)
		do
			r = engine_cpu_run(g->cpu, &x);
		while (r == 0 && x.kind == ENGINE_EXIT_KICKED);
	if (r < 0)
		return err_sys(e, -r, "the guest");
	if (x.kind != ENGINE_EXIT_DEBUG && !(x.kind == ENGINE_EXIT_IO && x.addr == PORT))
		return err_set(e, EIO, "the guest does not do what it should: exit %d%s%s", x.kind,
			       x.text[0] ? ": " : "", x.text);
	*ret_it_does = x.kind == ENGINE_EXIT_DEBUG;
	return settle(g, e);
}

int engine_debug_try(const struct engine_ops *ops, struct engine_debugs *ret_d, struct err *e)
{
	const struct x86_point store = { .addr = STACK_AT - 8, .kind = X86_POINT_WRITE, .len = 8 },
			       second = { .addr = CODE_AT + 1, .len = 1 };
	struct engine_debugs d = { 0 };
	struct rig g = { .fd = -1 };
	int r = rig_init(&g, ops, e);

	if (r == 0)
		r = stops(&g, 0, store, &d.data, e);
	if (r == 0)
		r = stops(&g, 3, second, &d.user, e);
	rig_fini(&g);
	if (r < 0)
		return err_wrap(e, r, "engine '%s': try how it is debugged", ops->name);
	*ret_d = d;
	return 0;
}
