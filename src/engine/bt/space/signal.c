/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signal.c - what the host tells of guest code: faults, and interrupts from outside
 *
 * Theory of operation. A fault in translated code has one of two reasons. The engine's own: the page is not mapped yet, or is mapped
 * read-only for now; the guest's page tables decide, the page is mapped, the instruction runs again. Or the guest's: then the
 * exact state before the instruction is recovered and the interpreter carries it out once more, which raises the exception,
 * reaches the device, or stores into code. Nothing here has to guess what the guest did wrong.
 *
 * The timer's signal and the kick from outside may come anywhere. At a guest instruction's border the state is stored and translated
 * code is left; inside one, the host's trap flag is set, and each trap looks again: a handful of host instructions later the
 * border is there. In C code it is enough to set bt_cpu.attention, which bt_enter() looks at.
 *
 * Context: an alternate stack; the other signals of this file are blocked, except that faults inside a handler end the process.
 */
#include "engine/bt/space/signal.h"

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "engine/bt/space/host.h"
#include "engine/bt/space/interp.h"
#include "engine/bt/space/map.h"
#include "engine/bt/space/others.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/run.h"
#include "engine/bt/space/spaces.h"
#include "engine/bt/space/translate.h"

enum { ERR_WRITE = 2, TRAP_PAGE = 14, FLAG_TRAP = 0x100 };

/* The host's registers in x86's order. */
static const uint8_t context_reg[X86_GPR_COUNT] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void regs_get(const ucontext_t *uc, uint64_t reg[X86_GPR_COUNT])
{
	for (int i = 0; i < X86_GPR_COUNT; i++)
		reg[i] = (uint64_t)uc->uc_mcontext.gregs[context_reg[i]];
}

/* leave() - translated code is left: registers are the guest's at @rip, in the form bt_enter() takes back. */
static void leave(struct bt_cpu *c, ucontext_t *uc, const uint64_t reg[X86_GPR_COUNT], uint64_t rip,
		  unsigned mode)
{
	greg_t *g = uc->uc_mcontext.gregs;

	for (int i = 0; i < X86_GPR_COUNT; i++)
		c->gpr[i] = reg[i];
	c->flags = (uint64_t)g[REG_EFL] & BT_HOST_FLAGS;
	c->rip = rip;
	c->left_mode = mode;
	g[REG_EFL] &= ~(greg_t)(FLAG_TRAP | X86_DF);
	g[REG_RIP] = (greg_t)(uintptr_t)bt_leave_signal();
	bt_process()->stepping = false;
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

/* is_near() - is the address one that a string instruction at @reg could touch? */
static bool is_near(uint64_t host, uint64_t reg)
{
	return host - reg + 64 < 128;
}

/*
 * guest_address() - which address of the guest's the access meant. The instruction's own choice decides, never the range: a guest's
 * page may lie anywhere. @raw: the host's registers at the fault.
 */
static uint64_t guest_address(const struct bt_cpu *c, const struct bt_record *rec,
			      const uint64_t raw[X86_GPR_COUNT], uint64_t host)
{
	bool shifted = rec->mode != BT_USER;

	if (rec->mode != BT_USER && rec->shifted) {
		if ((rec->shifted & 2) && is_near(host, raw[X86_RDI]))
			shifted = c->scratch[BT_SELECT_RDI] != 0;
		else if ((rec->shifted & 1) && is_near(host, raw[X86_RSI]))
			shifted = c->scratch[BT_SELECT_RSI] != 0;
	} else if (rec->select >= 0) {
		shifted = raw[rec->select] != 0;
	}
	return shifted ? host - BT_SHIFT : host;
}

/* map_for() - the engine's own reason: mapped, and the instruction may run again. */
static bool map_for(struct bt_cpu *c, const ucontext_t *uc, const struct bt_record *rec,
		    const uint64_t raw[X86_GPR_COUNT], uint64_t host)
{
	bool write = uc->uc_mcontext.gregs[REG_ERR] & ERR_WRITE;
	uint64_t va = guest_address(c, rec, raw, host);
	struct bt_page page;

	/* the flag that SMAP looks at is in the mode while translated code runs */
	c->rflags = rec->mode == BT_KERNEL_AC ? c->rflags | X86_AC :
		    rec->mode == BT_KERNEL    ? c->rflags & ~(uint64_t)X86_AC :
						c->rflags;
	if (bt_walk(c, va, write ? BT_WRITE : 0, &page) < 0)
		return false;
	if (host == va && rec->mode != BT_USER && !page.user) /* a kernel's own page in the user half */
		return false;
	if (!c->home && (host == va || !page.global)) {
		bt_process()->must_leave = true;
		return false;
	}
	if (host == va && page.global)
		c->spaces.global_users = true;
	return bt_map_page(c, host, va, &page, write) == BT_MAPPED;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct bt_cpu *c = bt_cpu_here();
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	const void *pc = (const void *)(uintptr_t)g[REG_RIP];
	uint64_t raw[X86_GPR_COUNT], reg[X86_GPR_COUNT];
	const struct bt_block *b = bt_block_at(pc);
	const struct bt_record *rec;
	enum bt_recover how;

	if (sig == SIGTRAP && bt_process()->stepping) {
		bt_signal_border(c, uc);
		return;
	}
	if (bt_interp_native_fault(c, uc, sig))
		return;
	if (!b)
		bt_die(c, "signal %d at %p outside translated code, address %p", sig, pc, info->si_addr);
	bt_count(c, BT_COUNT_FAULT);
	regs_get(uc, raw);
	for (int i = 0; i < X86_GPR_COUNT; i++)
		reg[i] = raw[i];
	rec = bt_recover(c, b, pc, reg, &how);
	if (sig == SIGSEGV && g[REG_TRAPNO] == TRAP_PAGE &&
	    map_for(c, uc, rec, raw, (uint64_t)(uintptr_t)info->si_addr))
		return;
	if (how != BT_RECOVER_BEFORE)
		bt_die(c, "signal %d behind the work of the instruction at 0x%lx", sig, b->rip + rec->guest);
	c->left_step = true;
	leave(c, uc, reg, b->rip + rec->guest, rec->mode);
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

static void step_on(ucontext_t *uc, bool on)
{
	bt_process()->stepping = on;
	if (on)
		uc->uc_mcontext.gregs[REG_EFL] |= FLAG_TRAP;
	else
		uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)FLAG_TRAP;
}

/* bt_signal_border() - leave if this is a guest instruction's border, else go on to the next host instruction. */
void bt_signal_border(struct bt_cpu *c, void *context)
{
	ucontext_t *uc = context;
	const void *pc = (const void *)(uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	const struct bt_block *b = bt_block_at(pc);
	const struct bt_record *rec;
	uint64_t reg[X86_GPR_COUNT];
	enum bt_recover how;

	if (bt_is_entering(pc)) { /* nothing of the guest has run: leave as if nobody had come */
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)bt_leave_signal();
		step_on(uc, false);
		return;
	}
	if (!bt_is_cache(pc)) { /* C: it looks itself before it enters again */
		step_on(uc, false);
		return;
	}
	if (!b || (const uint8_t *)pc < b->entry) {
		step_on(uc, true);
		return;
	}
	if (c->if_clear && !c->exchange->kick &&
	    !bt_others_have_told(c)) { /* interrupts are off: bt_cpu.quiet makes it leave once they are on */
		step_on(uc, false);
		return;
	}
	regs_get(uc, reg);
	rec = bt_recover(c, b, pc, reg, &how);
	if (how != BT_RECOVER_BEFORE) {
		step_on(uc, true);
		return;
	}
	c->left_step = false;
	leave(c, uc, reg, b->rip + rec->guest, rec->mode);
}

static void on_call(int sig, siginfo_t *info, void *context)
{
	struct bt_cpu *c = bt_cpu_here();

	(void)info;
	if (sig == SIGIO)
		bt_kick_drain();
	else
		bt_process()->timer_armed =
			0; /* by the host's clock it may have come before the TSC is there: then once more */
	if (c->exchange->runner != bt_process()->index) /* too late: whoever runs looks himself */
		return;
	bt_count(c, BT_COUNT_SIGNAL);
	bt_spaces_loosen(c);
	c->quiet = 0;
	c->attention = 1;
	__atomic_store_n(&c->exchange->asleep, 0, __ATOMIC_SEQ_CST); /* it was about to sleep: it does not */
	bt_signal_border(c, context);
}

/* --- set-up --------------------------------------------------------------------------------------------------------- */

struct kernel_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

#define SA_RESTORER 0x04000000

void bt_sigreturn(void);
__asm__(".globl bt_sigreturn\n"
	"bt_sigreturn:\n"
	"	mov $15, %eax\n" /* rt_sigreturn(2) */
	"	syscall\n");

long bt_signals_init(void *stack, size_t stack_bytes)
{
	static const uint8_t fault[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	static const uint8_t call[] = { SIGALRM, SIGIO };
	stack_t ss = { .ss_sp = stack, .ss_size = stack_bytes };
	struct kernel_sigaction sa = { .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER,
				       .restorer = bt_sigreturn };
	long r = BT_CALL(SYS_sigaltstack, &ss, 0);

	for (size_t i = 0; i < sizeof(call); i++)
		sa.mask |= 1UL << (call[i] - 1);
	sa.handler = on_fault;
	for (size_t i = 0; i < sizeof(fault) && r >= 0; i++)
		r = BT_CALL(SYS_rt_sigaction, fault[i], &sa, 0, 8);
	sa.handler = on_call;
	for (size_t i = 0; i < sizeof(call) && r >= 0; i++)
		r = BT_CALL(SYS_rt_sigaction, call[i], &sa, 0, 8);
	return r;
}
