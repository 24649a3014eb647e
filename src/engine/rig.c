/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/file.h"

enum { PML4_AT = 0x1000, PDPT_AT = 0x2000, PD_AT = 0x3000 };
enum { PRESENT = 1, WRITE = 2, USER = 4, LARGE = 0x80 };
enum {
	CR0_PE = 1,
	CR0_ET = 0x10,
	CR0_NE = 0x20,
	CR0_WP = 0x10000,
	CR4_PAE = 0x20,
	EFER_LME = 0x100,
	EFER_LMA = 0x400
};
#define CR0_PG      0x80000000U
#define FLAGS_IOPL3 0x3002U

void rig_fini(struct rig *g)
{
	engine_cpu_free(g->cpu);
	engine_vm_free(g->vm);
	if (g->mem)
		munmap(g->mem, RIG_BYTES);
	fd_close(&g->fd);
}

static void put64(struct rig *g, uint64_t gpa, uint64_t value)
{
	memcpy(g->mem + gpa, &value, sizeof(value));
}

int rig_init(struct rig *g, const struct engine_ops *ops, struct err *e)
{
	const struct engine_config c = { .n_cpus = 1, .no_irqchip = true };
	struct engine_mem m = { .size = RIG_BYTES, .shared = true };
	int r = engine_vm_new(ops, &g->vm, &c, e);

	if (r < 0)
		return r;
	g->fd = file_memfd("hull-rig", MFD_CLOEXEC);
	if (g->fd < 0 || ftruncate(g->fd, RIG_BYTES) < 0)
		return err_sys(e, g->fd < 0 ? -g->fd : errno, "2 MiB of memory");
	m.host = mmap(NULL, RIG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (m.host == MAP_FAILED)
		return err_sys(e, errno, "2 MiB of memory");
	g->mem = m.host;
	m.fd = g->fd;
	put64(g, PML4_AT, PDPT_AT | PRESENT | WRITE | USER);
	put64(g, PDPT_AT, PD_AT | PRESENT | WRITE | USER);
	put64(g, PD_AT, PRESENT | WRITE | USER | LARGE);
	r = engine_mem_set(g->vm, &m, e);
	return r < 0 ? r : engine_cpu_new(g->vm, 0, &g->cpu, e);
}

int rig_settle(struct rig *g, struct err *e)
{
	struct engine_exit x;
	int r;

	engine_cpu_kick(g->cpu);
	do
		r = engine_cpu_run(g->cpu, &x);
	while (r == 0 && (x.kind == ENGINE_EXIT_IO || x.kind == ENGINE_EXIT_DEBUG));
	if (r < 0)
		return err_sys(e, -r, "the guest");
	return x.kind == ENGINE_EXIT_KICKED ? 0 : err_set(e, EIO, "no kick arrives: exit %d", x.kind);
}

int rig_start(struct rig *g, unsigned ring, uint64_t rip, uint64_t rsp, struct err *e)
{
	static const struct x86_segment no = { .attr = 0x82 };
	auto_free struct x86_state *s = calloc(1, sizeof(*s));
	unsigned dpl = ring << 5;
	int r;

	if (!s)
		return err_sys(e, ENOMEM, "a processor's state");
	s->rip = rip;
	s->gpr[X86_RSP] = rsp;
	s->gpr[X86_RBX] = 1;
	s->rflags = FLAGS_IOPL3;
	for (int i = 0; i < X86_LDTR; i++)
		s->seg[i] = (struct x86_segment){ .limit = 0xffffffff,
						  .selector = (uint16_t)(16 | ring),
						  .attr = (uint16_t)(0xc093 | dpl) };
	s->seg[X86_CS].selector = (uint16_t)(8 | ring);
	s->seg[X86_CS].attr = (uint16_t)(0xa09b | dpl);
	s->seg[X86_LDTR] = no;
	s->seg[X86_TR] = (struct x86_segment){ .limit = 0x67, .attr = 0x8b };
	s->cr0 = CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_PE;
	s->cr3 = PML4_AT;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
	r = rig_settle(g, e);
	return r < 0 ? r : engine_cpu_set(g->cpu, s, e);
}

int rig_run(struct rig *g, struct engine_exit *x, struct err *e)
{
	int r;

	do
		r = engine_cpu_run(g->cpu, x);
	while (r == 0 && x->kind == ENGINE_EXIT_KICKED);
	return r < 0 ? err_sys(e, -r, "the guest") : 0;
}

int rig_failed(const struct engine_exit *x, struct err *e)
{
	return err_set(e, EIO, "the guest does not do what it should: exit %d%s%s", x->kind,
		       x->text[0] ? ": " : "", x->text);
}
