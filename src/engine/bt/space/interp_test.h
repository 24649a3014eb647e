/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp_test.h - one instruction at a time, in 64-bit, 32-bit and real mode, for the tests of interp*.c
 *
 * Vector registers are the host's, as in a space process, where no C code touches them; here it may, so those tested are high ones, and
 * no wider than 128 bits.
 */
#ifndef ENGINE_BT_SPACE_INTERP_TEST_H
#define ENGINE_BT_SPACE_INTERP_TEST_H

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine/bt/space/cpu_test.h"
#include "engine/bt/space/interp.h"

enum {
	HANDLERS = 0x50000, /* of vector n at HANDLERS + 16 * n */
	DATA = 0x60000,
	HOLE = 0x70000,    /* a page that is not there */
	LOCKED = 0x72000,  /* one that is read-only */
	DEVICE = 0x400000, /* linear address of DEVICE_GPA, in long mode */
	SIGNAL_STACK = 65536,
	NO_VECTOR = 256,
};
#define DEVICE_GPA 0x40000000U

static struct fixture *current; /* for the signal handler */

static inline void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)info;
	if (!bt_interp_native_fault(&current->c, context, sig))
		_exit(99);
}

static inline int set_up(void **state)
{
	static uint8_t signal_stack[SIGNAL_STACK];
	stack_t ss = { .ss_sp = signal_stack, .ss_size = SIGNAL_STACK };
	void *native = mmap(NULL, BT_NATIVE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	BUG_ON(native == MAP_FAILED);
	fixture_setup(state);
	current = *state;
	bt_interp_init(&current->c, native);
	sigaltstack(&ss, NULL);
	return 0;
}

/* take_signals() - in each test: cmocka takes them for itself before. */
static inline void take_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	for (size_t k = 0; k < ARRAY_SIZE(signals); k++)
		sigaction(signals[k], &sa, NULL);
}

static inline int tear_down(void **state)
{
	munmap(current->c.native, BT_NATIVE_BYTES);
	return fixture_teardown(state);
}

/* --- modes ------------------------------------------------------------------------------------------------------------ */

static unsigned word;      /* bytes of what an exception pushes: 2, 4, 8 in real, protected and long mode */
static uint64_t code_at;   /* rip of the instruction under test */
static uint64_t stack_top; /* RSP before it */

static inline void begin(struct fixture *f)
{
	f->c.rip = code_at;
	f->c.gpr[X86_RSP] = stack_top;
}

/* ready() - what all modes begin with */
static inline void ready(struct fixture *f, unsigned word_bytes, uint64_t rip, uint64_t rsp)
{
	f->c.cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXSAVE | X86_CR4_OSXMMEXCPT;
	f->c.xcr0 = 7;
	f->c.rflags = 2;
	f->c.shadow = false;
	word = word_bytes;
	code_at = rip;
	stack_top = rsp;
	begin(f);
	take_signals();
}

static inline void long_mode(struct fixture *f)
{
	bt_cpu_reset(&f->c, 0);
	fixture_long(f);
	ram_put(f, PD + 16, DEVICE_GPA | 0x83, 8);
	ram_put(f, PT + HOLE / 4096 * 8, 0, 8);
	ram_put(f, PT + LOCKED / 4096 * 8, LOCKED | 1, 8);
	for (uint64_t v = 0; v < 256; v++) {
		uint64_t at = HANDLERS + 16 * v;

		ram_put(f, IDT + 16 * v, (at & 0xffff) | SEL_CODE64 << 16 | 0xeeULL << 40 | (at >> 16) << 48,
			8);
		ram_put(f, IDT + 16 * v + 8, 0, 8);
	}
	ready(f, 8, KERNEL_CODE, KERNEL_STACK - 0x100);
}

/* protected_mode() - 32-bit, without paging */
static inline void protected_mode(struct fixture *f)
{
	bt_cpu_reset(&f->c, 0);
	fixture_protected(f);
	for (uint64_t v = 0; v < 256; v++) {
		uint64_t at = HANDLERS + 16 * v;

		ram_put(f, IDT + 8 * v, (at & 0xffff) | SEL_CODE32 << 16 | 0xeeULL << 40 | (at >> 16) << 48,
			8);
	}
	ready(f, 4, KERNEL_CODE, KERNEL_STACK - 0x100);
}

/* real_mode() - code at 4000:0, the stack at 3000:f00, data from 6000:0 */
static inline void real_mode(struct fixture *f)
{
	bt_cpu_reset(&f->c, 0);
	for (int s = 0; s < X86_LDTR; s++)
		bt_seg_real(&f->c, (enum x86_seg)s, s == X86_CS ? 0x4000 : s == X86_SS ? 0x3000 : 0x6000);
	for (uint64_t v = 0; v < 256; v++)
		ram_put(f, 4 * v, (uint64_t)HANDLERS << 12 | 16 * v, 4);
	ready(f, 2, 0, 0xf00);
}

static inline uint64_t linear(const struct fixture *f, enum x86_seg s, uint64_t offset)
{
	return (bt_is_long(&f->c) ? 0 : f->c.seg[s].base) + offset;
}

/* steps() - the instruction at CS:rip, which is put there. */
static inline enum bt_step steps(struct fixture *f, const void *code, size_t len)
{
	uint64_t at = linear(f, X86_CS, f->c.rip);

	BUG_ON(at + len > RAM_SIZE);
	memcpy(f->ram + at, code, len);
	return bt_interp(&f->c);
}

/* vector_of() - of the handler that rip is at; NO_VECTOR. */
static inline unsigned vector_of(const struct fixture *f)
{
	uint64_t off = linear(f, X86_CS, f->c.rip) - HANDLERS;

	return off < 256 * 16 ? (unsigned)off / 16 : NO_VECTOR;
}

/* stacked() - word @n of the stack */
static inline uint64_t stacked(const struct fixture *f, unsigned n)
{
	return ram_get(f, linear(f, X86_SS, f->c.gpr[X86_RSP]) + (uint64_t)n * word, word);
}

#define CODE(s) (s), sizeof(s) - 1

/* runs() - and goes on behind it. */
static inline void runs(struct fixture *f, const char *code, size_t len)
{
	f->c.rip = code_at;
	check_eq("step", steps(f, code, len), BT_STEP_ON);
	check_eq("exception", vector_of(f), NO_VECTOR);
	check_eq("rip", f->c.rip, code_at + len);
}

/* raises() - @code ends in this exception, whose frame has @rip; everything is as before then. Error codes are compared where there is one. */
static inline void raises(struct fixture *f, const char *code, size_t len, unsigned vector, int want_code,
			  uint64_t rip)
{
	uint64_t was[X86_GPR_COUNT], flags = f->c.rflags;
	unsigned n = 0;

	begin(f);
	memcpy(was, f->c.gpr, sizeof(was));
	check_eq("step", steps(f, code, len), BT_STEP_ON);
	check_eq("exception", vector_of(f), vector);
	if (want_code >= 0)
		check_eq("error code", stacked(f, n++), want_code);
	check_eq("rip pushed", stacked(f, n), rip);
	check_eq("flags pushed", stacked(f, n + 2) & ~(uint64_t)X86_RF, flags);
	if (word == 8)
		check_eq("rsp pushed", stacked(f, n + 3), stack_top);
	else
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top - (uint64_t)(n + 3) * word);
	begin(f);
	f->c.rflags = flags;
	for (int r = 0; r < X86_GPR_COUNT; r++)
		check_eq("register", f->c.gpr[r], was[r]);
	if (word == 2)
		bt_seg_real(&f->c, X86_CS, 0x4000);
}

static inline void faults(struct fixture *f, const char *code, size_t len, unsigned vector, int want_code)
{
	raises(f, code, len, vector, want_code, code_at);
}

#define NEED_HOST(feature)                                                                                   \
	if (!__builtin_cpu_supports(feature)) {                                                              \
		print_message("# the host has no " feature "\n");                                            \
		skip();                                                                                      \
	}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
