/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmu_fuzz.c - page tables, descriptor tables and gates of random bytes: every walk, load and event ends, in guest memory or in a fault
 *
 * The input: control registers and where to go first, then what guest memory begins with.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "engine/bt/space/cpu.h"
#include "engine/bt/space/event.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"
#include "engine/bt/space/system.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAM_SIZE = 64 << 10, ACTIONS = 8 };

struct head {
	uint64_t va[ACTIONS], cr3, gdt, idt, tr, rsp;
	uint32_t cr4, rflags;
	uint16_t selector[ACTIONS], cs_attr, ss_attr;
	uint8_t action[ACTIONS], mode, access;
};

static void io(struct bt_cpu *c, struct bt_io *x)
{
	(void)c;
	BUG_ON(x->size != 1 && x->size != 2 && x->size != 4 && x->size != 8);
	if (!x->write)
		x->data = 0;
}

static void flush(struct bt_cpu *c, enum bt_flush what, uint64_t va)
{
	(void)c;
	(void)what;
	(void)va;
}

static void code_made(struct bt_cpu *c, uint64_t gpa)
{
	(void)c;
	(void)gpa;
}

static void code_written(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	BUG_ON(!bt_ram(c->vm, gpa, len, true));
}

static void timer(struct bt_cpu *c)
{
	(void)c;
}

static void ipi(struct bt_cpu *c, const struct bt_ipi *x)
{
	(void)c;
	(void)x;
}

static void eoi(struct bt_cpu *c, unsigned vector)
{
	(void)c;
	BUG_ON(vector > 255);
}

static uint8_t acknowledge(struct bt_cpu *c)
{
	(void)c;
	return 0;
}

static const struct bt_world world = {
	.io = io,
	.timer = timer,
	.flush = flush,
	.code_made = code_made,
	.code_written = code_written,
	.ipi = ipi,
	.eoi = eoi,
	.acknowledge = acknowledge,
};

static void set_mode(struct bt_cpu *c, const struct head *h)
{
	c->cr0 = X86_CR0_PE | X86_CR0_ET | (h->mode & 1 ? X86_CR0_PG : 0) | (h->mode & 2 ? X86_CR0_WP : 0);
	c->cr4 = h->cr4 & bt_cr4_valid(c);
	c->efer = h->mode & 4 ? X86_EFER_NX | X86_EFER_SCE : 0;
	if (h->mode & 8 && h->mode & 1) {
		c->efer |= X86_EFER_LME | X86_EFER_LMA;
		c->cr4 |= X86_CR4_PAE;
	}
	if (h->mode & 16) {
		c->cr0 = X86_CR0_ET;
		c->efer &= ~(uint64_t)X86_EFER_LMA;
	}
	c->cr3 = h->cr3 % RAM_SIZE;
	c->rflags = (h->rflags & ~(uint32_t)X86_VM) | 2;
	c->gdt = (struct x86_table){ .base = h->gdt, .limit = 0xffff };
	c->idt = (struct x86_table){ .base = h->idt, .limit = 0xfff };
	c->seg[X86_TR].base = h->tr;
	c->seg[X86_CS].attr = h->cs_attr & 0xf0ff;
	c->seg[X86_SS].attr = h->ss_attr & 0xf1ff;
	c->gpr[X86_RSP] = h->rsp;
}

static void act(struct bt_cpu *c, const struct head *h, unsigned i)
{
	uint8_t buf[64] = { 0 }, *p;
	uint64_t va = h->va[i];
	uint16_t selector = h->selector[i];
	struct bt_page page;
	unsigned size = 2U << (selector & 1);

	switch (h->action[i] % 13) {
	case 0:
		if (bt_walk(c, va, h->access & 15, &page) == BT_OK)
			BUG_ON(page.gpa >= BT_PHYS_END || (page.gpa ^ va) & 0xfff);
		break;
	case 1: (void)bt_load(c, va, buf, 1 + selector % 64, h->access & 4); break;
	case 2: (void)bt_store(c, va, buf, 1 + selector % 64, h->access & 4); break;
	case 3: (void)bt_fetch(c, va, buf, 15); break;
	case 4:
		if (bt_reach(c, va, 8, h->access & 4, &p) == BT_OK && p)
			*p ^= 1;
		break;
	case 5: (void)bt_seg_load(c, h->access & 7, selector); break;
	case 6: (void)bt_far_jump(c, selector, va); break;
	case 7: (void)bt_far_call(c, selector, va, size); break;
	case 8: (void)bt_far_return(c, bt_is_long(c) ? 8 : size, h->access); break;
	case 9: (void)bt_iret(c, bt_is_long(c) ? 8 : size); break;
	case 10:
		(void)bt_event_deliver(c, h->access % 3, selector & 0xff, selector & 0x100, (uint32_t)va);
		break;
	case 11: (void)bt_cr_write(c, selector & 15, va); break;
	case 12: (void)bt_lapic_write(c, selector & 0x3f, va); break;
	default: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct head h;
	struct bt_vm vm = { 0 };
	struct bt_cpu *c;
	uint8_t *ram;

	if (size < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	c = calloc(1, sizeof(*c));
	ram = aligned_alloc(4096, RAM_SIZE);
	BUG_ON(!c || !ram);
	memset(ram, 0, RAM_SIZE);
	size -= sizeof(h);
	memcpy(ram, data + sizeof(h), size < RAM_SIZE ? size : RAM_SIZE);
	vm.slot[0] = (struct bt_slot){ .size = RAM_SIZE / 2, .host = ram };
	vm.slot[1] = (struct bt_slot){
		.gpa = RAM_SIZE / 2, .size = RAM_SIZE / 2, .host = ram + RAM_SIZE / 2, .readonly = h.mode & 32
	};
	bt_slots_sort(&vm);
	c->vm = &vm;
	c->world = &world;
	bt_cpu_reset(c, 0);
	set_mode(c, &h);
	for (unsigned i = 0; i < ACTIONS; i++)
		act(c, &h, i);
	free(ram);
	free(c);
	return 0;
}
