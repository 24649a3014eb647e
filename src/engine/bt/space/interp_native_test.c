/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp_native_test.c - computing instructions in each mode, against the same run by the host
 *
 * The host's side is inline assembly, encoded by the assembler. The interpreter's is bytes, made here for each mode, so that neither
 * the decoder nor the translator has a say in what is expected.
 */
#include "engine/bt/space/interp_test.h"

struct regs { /* an instruction's: A, C and D, and the flags */
	uint64_t a, c, d, flags;
};

#define HOST(name, text)                                                                                     \
	static void host_##name(struct regs *r)                                                              \
	{                                                                                                    \
		__asm__ volatile("sub $128, %%rsp\n\t"                                                       \
				 "push %3\n\tpopf\n\t" text "\n\tpushf\n\tpop %3\n\t"                        \
				 "add $128, %%rsp"                                                           \
				 : "+a"(r->a), "+c"(r->c), "+d"(r->d), "+r"(r->flags)                        \
				 :                                                                           \
				 : "cc", "memory");                                                          \
	}
#define HOST_SIZES(name, op, p8, p16, p32, p64)                                                              \
	HOST(name##8, op " " p8)                                                                             \
	HOST(name##16, op " " p16)                                                                           \
	HOST(name##32, op " " p32)                                                                           \
	HOST(name##64, op " " p64)
#define HOST_CA(op)  HOST_SIZES(op, #op, "%%cl, %%al", "%%cx, %%ax", "%%ecx, %%eax", "%%rcx, %%rax")
#define HOST_CD(op)  HOST_SIZES(op, #op, "%%cl, %%dl", "%%cx, %%dx", "%%ecx, %%edx", "%%rcx, %%rdx")
#define HOST_A(op)   HOST_SIZES(op, #op, "%%al", "%%ax", "%%eax", "%%rax")
#define HOST_C(op)   HOST_SIZES(op, #op, "%%cl", "%%cx", "%%ecx", "%%rcx")
#define HOST_BY(op)  HOST_SIZES(op, #op, "%%cl, %%al", "%%cl, %%ax", "%%cl, %%eax", "%%cl, %%rax")
#define HOST_BY1(op) HOST_SIZES(op##1, #op, "$1, %%al", "$1, %%ax", "$1, %%eax", "$1, %%rax")

HOST_CA(add)
HOST_CA(or)
HOST_CA(adc)
HOST_CA(sbb)
HOST_CA(and)
HOST_CA(sub)
HOST_CA(xor)
HOST_CA(cmp)
HOST_CA(test)
HOST_CA(xchg)
HOST_CA(xadd)
HOST_CD(cmpxchg)
HOST_A(inc)
HOST_A(dec)
HOST_A(not )
HOST_A(neg)
HOST_C(mul)
HOST_C(imul)
HOST_BY(rol)
HOST_BY(ror)
HOST_BY(rcl)
HOST_BY(rcr)
HOST_BY(shl)
HOST_BY(shr)
HOST_BY(sar)
HOST_BY1(rcr)
HOST_BY1(sar)
#define HOST_WIDE(name, op, p16, p32, p64)                                                                   \
	HOST(name##16, op " " p16) HOST(name##32, op " " p32) HOST(name##64, op " " p64)
HOST_WIDE(shld, "shld %%cl,", "%%dx, %%ax", "%%edx, %%eax", "%%rdx, %%rax")
HOST_WIDE(shrd, "shrd $5,", "%%dx, %%ax", "%%edx, %%eax", "%%rdx, %%rax")
HOST_WIDE(bsf, "bsf", "%%ax, %%dx", "%%eax, %%edx", "%%rax, %%rdx")
HOST_WIDE(bsr, "bsr", "%%ax, %%dx", "%%eax, %%edx", "%%rax, %%rdx")
HOST_WIDE(popcnt, "popcnt", "%%ax, %%dx", "%%eax, %%edx", "%%rax, %%rdx")
HOST_WIDE(imul2, "imul", "%%ax, %%dx", "%%eax, %%edx", "%%rax, %%rdx")
HOST_WIDE(imul3, "imul $-77,", "%%ax, %%dx", "%%eax, %%edx", "%%rax, %%rdx")
HOST_WIDE(movsx, "movsx", "%%al, %%dx", "%%al, %%edx", "%%al, %%rdx")
HOST_WIDE(movzx, "movzx", "%%al, %%dx", "%%al, %%edx", "%%al, %%rdx")
HOST_WIDE(bt, "bt $11,", "%%ax", "%%eax", "%%rax")
HOST_WIDE(btc, "btc $14,", "%%ax", "%%eax", "%%rax")
HOST_WIDE(cmovbe, "cmovbe", "%%ax, %%dx", "%%eax, %%edx", "%%rax, %%rdx")
HOST_WIDE(adc_imm, "adc $-3,", "%%ax", "%%eax", "%%rax")
HOST(cwd16, "cwd")
HOST(cwd32, "cdq")
HOST(cwd64, "cqo")
HOST(cbw16, "cbw")
HOST(cbw32, "cwde")
HOST(cbw64, "cdqe")
HOST(lahf8, "lahf")
HOST(sahf8, "sahf")
HOST(stc8, "stc")
HOST(cmc8, "cmc")
HOST(seta8, "seta %%dl")
HOST(setl8, "setl %%dl")

/* One instruction: its opcode without prefixes, ModRM as between registers (0: none) and an immediate of a byte. */
struct insn {
	const char *what;
	uint8_t n8, code8[3], n, code[3], modrm, n_imm, imm;
	void (*host[4])(struct regs *); /* of 1, 2, 4, 8 bytes; NULL: none */
};

#define ALL(x)                                                                                               \
	{                                                                                                    \
		host_##x##8, host_##x##16, host_##x##32, host_##x##64                                        \
	}
#define WIDE(x)                                                                                              \
	{                                                                                                    \
		NULL, host_##x##16, host_##x##32, host_##x##64                                               \
	}
#define BYTE(x)                                                                                              \
	{                                                                                                    \
		host_##x##8                                                                                  \
	}

static const struct insn insns[] = {
	{ "add", 1, { 0x00 }, 1, { 0x01 }, 0xc8, 0, 0, ALL(add) },
	{ "or", 1, { 0x08 }, 1, { 0x09 }, 0xc8, 0, 0, ALL(or) },
	{ "adc", 1, { 0x10 }, 1, { 0x11 }, 0xc8, 0, 0, ALL(adc) },
	{ "sbb", 1, { 0x18 }, 1, { 0x19 }, 0xc8, 0, 0, ALL(sbb) },
	{ "and", 1, { 0x20 }, 1, { 0x21 }, 0xc8, 0, 0, ALL(and) },
	{ "sub", 1, { 0x28 }, 1, { 0x29 }, 0xc8, 0, 0, ALL(sub) },
	{ "xor", 1, { 0x30 }, 1, { 0x31 }, 0xc8, 0, 0, ALL(xor) },
	{ "cmp", 1, { 0x38 }, 1, { 0x39 }, 0xc8, 0, 0, ALL(cmp) },
	{ "test", 1, { 0x84 }, 1, { 0x85 }, 0xc8, 0, 0, ALL(test) },
	{ "xchg", 1, { 0x86 }, 1, { 0x87 }, 0xc8, 0, 0, ALL(xchg) },
	{ "xadd", 2, { 0x0f, 0xc0 }, 2, { 0x0f, 0xc1 }, 0xc8, 0, 0, ALL(xadd) },
	{ "cmpxchg", 2, { 0x0f, 0xb0 }, 2, { 0x0f, 0xb1 }, 0xca, 0, 0, ALL(cmpxchg) },
	{ "inc", 1, { 0xfe }, 1, { 0xff }, 0xc0, 0, 0, ALL(inc) },
	{ "dec", 1, { 0xfe }, 1, { 0xff }, 0xc8, 0, 0, ALL(dec) },
	{ "not", 1, { 0xf6 }, 1, { 0xf7 }, 0xd0, 0, 0, ALL(not ) },
	{ "neg", 1, { 0xf6 }, 1, { 0xf7 }, 0xd8, 0, 0, ALL(neg) },
	{ "mul", 1, { 0xf6 }, 1, { 0xf7 }, 0xe1, 0, 0, ALL(mul) },
	{ "imul", 1, { 0xf6 }, 1, { 0xf7 }, 0xe9, 0, 0, ALL(imul) },
	{ "rol", 1, { 0xd2 }, 1, { 0xd3 }, 0xc0, 0, 0, ALL(rol) },
	{ "ror", 1, { 0xd2 }, 1, { 0xd3 }, 0xc8, 0, 0, ALL(ror) },
	{ "rcl", 1, { 0xd2 }, 1, { 0xd3 }, 0xd0, 0, 0, ALL(rcl) },
	{ "rcr", 1, { 0xd2 }, 1, { 0xd3 }, 0xd8, 0, 0, ALL(rcr) },
	{ "shl", 1, { 0xd2 }, 1, { 0xd3 }, 0xe0, 0, 0, ALL(shl) },
	{ "shr", 1, { 0xd2 }, 1, { 0xd3 }, 0xe8, 0, 0, ALL(shr) },
	{ "sar", 1, { 0xd2 }, 1, { 0xd3 }, 0xf8, 0, 0, ALL(sar) },
	{ "rcr 1", 1, { 0xd0 }, 1, { 0xd1 }, 0xd8, 0, 0, ALL(rcr1) },
	{ "sar 1", 1, { 0xc0 }, 1, { 0xc1 }, 0xf8, 1, 1, ALL(sar1) },
	{ "shld", 0, { 0 }, 2, { 0x0f, 0xa5 }, 0xd0, 0, 0, WIDE(shld) },
	{ "shrd", 0, { 0 }, 2, { 0x0f, 0xac }, 0xd0, 1, 5, WIDE(shrd) },
	{ "bsf", 0, { 0 }, 2, { 0x0f, 0xbc }, 0xd0, 0, 0, WIDE(bsf) },
	{ "bsr", 0, { 0 }, 2, { 0x0f, 0xbd }, 0xd0, 0, 0, WIDE(bsr) },
	{ "popcnt", 0, { 0 }, 3, { 0xf3, 0x0f, 0xb8 }, 0xd0, 0, 0, WIDE(popcnt) },
	{ "imul r, r/m", 0, { 0 }, 2, { 0x0f, 0xaf }, 0xd0, 0, 0, WIDE(imul2) },
	{ "imul r, r/m, i", 0, { 0 }, 1, { 0x6b }, 0xd0, 1, (uint8_t)-77, WIDE(imul3) },
	{ "movsx", 0, { 0 }, 2, { 0x0f, 0xbe }, 0xd0, 0, 0, WIDE(movsx) },
	{ "movzx", 0, { 0 }, 2, { 0x0f, 0xb6 }, 0xd0, 0, 0, WIDE(movzx) },
	{ "bt", 0, { 0 }, 2, { 0x0f, 0xba }, 0xe0, 1, 11, WIDE(bt) },
	{ "btc", 0, { 0 }, 2, { 0x0f, 0xba }, 0xf8, 1, 14, WIDE(btc) },
	{ "cmovbe", 0, { 0 }, 2, { 0x0f, 0x46 }, 0xd0, 0, 0, WIDE(cmovbe) },
	{ "adc i", 0, { 0 }, 1, { 0x83 }, 0xd0, 1, (uint8_t)-3, WIDE(adc_imm) },
	{ "cwd", 0, { 0 }, 1, { 0x99 }, 0, 0, 0, WIDE(cwd) },
	{ "cbw", 0, { 0 }, 1, { 0x98 }, 0, 0, 0, WIDE(cbw) },
	{ "lahf", 1, { 0x9f }, 0, { 0 }, 0, 0, 0, BYTE(lahf) },
	{ "sahf", 1, { 0x9e }, 0, { 0 }, 0, 0, 0, BYTE(sahf) },
	{ "stc", 1, { 0xf9 }, 0, { 0 }, 0, 0, 0, BYTE(stc) },
	{ "cmc", 1, { 0xf5 }, 0, { 0 }, 0, 0, 0, BYTE(cmc) },
	{ "seta", 2, { 0x0f, 0x97 }, 0, { 0 }, 0xc2, 0, 0, BYTE(seta) },
	{ "setl", 2, { 0x0f, 0x9c }, 0, { 0 }, 0xc2, 0, 0, BYTE(setl) },
};

static const struct mode {
	unsigned bits;
	void (*enter)(struct fixture *f);
} modes[] = { { 64, long_mode }, { 32, protected_mode }, { 16, real_mode } };

/* encode() - @i for operands of 1 << @size bytes; its operand in memory at [RDI], which 16-bit code has as [BX]. */
static unsigned encode(const struct insn *i, unsigned bits, unsigned size, bool memory, uint8_t *code)
{
	const uint8_t *op = size ? i->code : i->code8;
	unsigned n = 0, from = 0, n_op = size ? i->n : i->n8;

	if (size == 1 ? bits != 16 : size == 2 && bits == 16)
		code[n++] = 0x66;
	if (op[0] == 0xf3) /* what is part of the opcode comes before REX */
		code[n++] = op[from++];
	if (size == 3)
		code[n++] = 0x48;
	for (; from < n_op; from++)
		code[n++] = op[from];
	if (i->modrm)
		code[n++] = memory ? (i->modrm & 0x38) | 7 : i->modrm;
	if (i->n_imm)
		code[n++] = i->imm;
	return n;
}

static uint64_t *rm_of(struct regs *r, unsigned modrm)
{
	return (modrm & 7) == 0 ? &r->a : (modrm & 7) == 1 ? &r->c : &r->d;
}

static uint64_t interesting(unsigned bits)
{
	static const uint64_t corner[] = { 0,
					   1,
					   0x7f,
					   0x80,
					   0xff,
					   0x7fff,
					   0x8000,
					   0xffff,
					   0x7fffffff,
					   0x80000000,
					   0xffffffff,
					   0x7fffffffffffffff,
					   0x8000000000000000,
					   0xffffffffffffffff };
	uint64_t v = random() % 3 ? (uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random() :
				    corner[(size_t)random() % ARRAY_SIZE(corner)];

	return bits == 64 ? v : (uint32_t)v;
}

/* compares() - one run of @i, by the host and by the interpreter. */
static void compares(struct fixture *f, const struct insn *i, const struct mode *m, unsigned size,
		     bool memory)
{
	struct regs r = { interesting(m->bits), interesting(m->bits), interesting(m->bits),
			  (uint64_t)random() & X86_ARITH };
	uint64_t at = m->bits == 16 ? DATA - 0x60000 : DATA, before = *rm_of(&r, i->modrm), want, got;
	unsigned bytes = 1U << size, len;
	uint8_t code[16];

	len = encode(i, m->bits, size, memory, code);
	f->c.gpr[X86_RDI] = f->c.gpr[X86_RBX] = at;
	f->c.gpr[X86_RAX] = r.a;
	f->c.gpr[X86_RCX] = r.c;
	f->c.gpr[X86_RDX] = r.d;
	f->c.rflags = r.flags | 2 | X86_IF;
	ram_put(f, DATA, before, 8);
	runs(f, (const char *)code, len);
	i->host[size](&r);
	want = *rm_of(&r, i->modrm);
	if (memory) {
		uint64_t mask = size == 3 ? ~0ULL : (1ULL << (8 * bytes)) - 1;

		want = (before & ~mask) | (want & mask);
		got = ram_get(f, DATA, 8);
		if (got != want)
			fail_msg("%s, %u bits, %u bytes: memory: got 0x%lx, want 0x%lx", i->what, m->bits,
				 bytes, got, want);
		*rm_of(&r, i->modrm) = before;
	}
	if (f->c.gpr[X86_RAX] != r.a || f->c.gpr[X86_RCX] != r.c || f->c.gpr[X86_RDX] != r.d)
		fail_msg("%s, %u bits, %u bytes: got 0x%lx 0x%lx 0x%lx, want 0x%lx 0x%lx 0x%lx", i->what,
			 m->bits, bytes, f->c.gpr[X86_RAX], f->c.gpr[X86_RCX], f->c.gpr[X86_RDX], r.a, r.c,
			 r.d);
	if (f->c.rflags != ((r.flags & X86_ARITH) | 2 | X86_IF))
		fail_msg("%s, %u bits, %u bytes: flags: got 0x%lx, want 0x%lx", i->what, m->bits, bytes,
			 f->c.rflags, r.flags & X86_ARITH);
}

static void test_computing_is_the_host_s_in_every_mode(void **state)
{
	struct fixture *f = *state;

	srandom(3);
	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m].enter(f);
		for (size_t k = 0; k < ARRAY_SIZE(insns); k++)
			for (unsigned size = 0; size < (modes[m].bits == 64 ? 4 : 3); size++)
				for (unsigned n = 0; n < 200 && insns[k].host[size]; n++)
					compares(f, &insns[k], &modes[m], size, insns[k].modrm && n & 1);
	}
}

static void test_division_and_its_exception(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m].enter(f);
		f->c.gpr[X86_RAX] = 1000;
		f->c.gpr[X86_RCX] = 7;
		f->c.gpr[X86_RDX] = 0;
		runs(f, CODE("\xf7\xf1")); /* DIV ecx; cx */
		check_eq("quotient", f->c.gpr[X86_RAX], 142);
		check_eq("remainder", f->c.gpr[X86_RDX], 6);
		f->c.gpr[X86_RAX] = 0x12;
		f->c.gpr[X86_RDX] = 8;
		faults(f, CODE("\xf7\xf1"), X86_DE, -1); /* too large */
		f->c.gpr[X86_RCX] = 0;
		faults(f, CODE("\xf6\xf9"), X86_DE, -1); /* IDIV cl */
	}
}

static void test_high_bytes_and_prefixes_of_the_operand_s_size(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m].enter(f);
		f->c.gpr[X86_RAX] = 0x11223344;
		f->c.gpr[X86_RDI] = f->c.gpr[X86_RBX] = m == 2 ? 0 : DATA;
		ram_put(f, DATA, 0, 8);
		runs(f, CODE("\x00\xe0")); /* ADD al, ah */
		check_eq("al + ah", f->c.gpr[X86_RAX], 0x11223377);
		runs(f, CODE("\x88\x27")); /* MOV [rdi], ah */
		check_eq("ah in memory", ram_get(f, DATA, 8), 0x33);
		runs(f, CODE("\xb4\x99")); /* MOV ah, 0x99 */
		check_eq("ah", f->c.gpr[X86_RAX], 0x11229977);
	}
	long_mode(f);
	f->c.gpr[X86_RSI] = 0x1234;
	f->c.gpr[X86_RAX] = 0xffffffffffffff00;
	runs(f, CODE("\x40\x00\xf0")); /* ADD al, sil */
	check_eq("al + sil", f->c.gpr[X86_RAX], 0xffffffffffffff34);
	protected_mode(f);
	f->c.gpr[X86_RAX] = 0xffffffff;
	runs(f, CODE("\x40")); /* INC eax */
	check_eq("inc", f->c.gpr[X86_RAX], 0);
	runs(f, CODE("\x66\x4f")); /* DEC di */
	real_mode(f);
	f->c.gpr[X86_RCX] = 0x5ffff;
	runs(f, CODE("\x41")); /* INC cx */
	check_eq("inc", f->c.gpr[X86_RCX], 0x50000);
	runs(f, CODE("\x66\x49")); /* DEC ecx */
	check_eq("dec", f->c.gpr[X86_RCX], 0x4ffff);
	f->c.gpr[X86_RBX] = 0;
	ram_put(f, DATA, 0x11223344, 4);
	runs(f, CODE("\x66\x0f\x38\xf0\x07")); /* MOVBE eax, [bx] */
	check_eq("bytes turned", f->c.gpr[X86_RAX], 0x44332211);
	f->c.gpr[X86_RAX] = 0;
	runs(f, CODE("\x0f\x38\xf0\x07")); /* MOVBE ax, [bx] */
	check_eq("bytes turned", f->c.gpr[X86_RAX], 0x4433);
}

static void test_bit_strings_reach_beyond_their_operand(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		int64_t bit = m == 2 ? 0x123 : 0x1234;

		modes[m].enter(f);
		f->c.gpr[X86_RDI] = f->c.gpr[X86_RBX] = m == 2 ? 0x1000 : DATA + 0x1000;
		memset(f->ram + DATA, 0, 0x2000);
		f->c.gpr[X86_RCX] = (uint64_t)bit;
		runs(f, CODE("\x0f\xab\x0f")); /* BTS [rdi], ecx */
		check_eq("carry", f->c.rflags & X86_CF, 0);
		check_eq("bit", ram_get(f, DATA + 0x1000 + (uint64_t)bit / 8, 1), 1U << (bit & 7));
		runs(f, CODE("\xf0\x0f\xab\x0f")); /* LOCK */
		check_eq("carry", f->c.rflags & X86_CF, 1);
		f->c.gpr[X86_RCX] = m == 2 ? 0xfffd : 0xfffffffd; /* -3 */
		runs(f, CODE("\x0f\xbb\x0f"));                    /* BTC */
		check_eq("bit before", ram_get(f, DATA + 0xfff, 1), 0x20);
		runs(f, CODE("\xf0\x0f\xb3\x0f")); /* LOCK BTR */
		check_eq("bit before", ram_get(f, DATA + 0xfff, 1), 0);
		check_eq("rcx", f->c.gpr[X86_RCX], m == 2 ? 0xfffd : 0xfffffffd);
	}
}

static void test_vex_in_32_bit_code_has_32_bits_and_in_real_mode_is_undefined(void **state)
{
	static const uint32_t what[] = { 0x2000, 3, 0x77777777, 0 };
	uint32_t got[4];
	struct fixture *f = *state;

	NEED_HOST("bmi")
	protected_mode(f);
	f->c.gpr[X86_RAX] = 0x0f0f0f0f;
	f->c.gpr[X86_RCX] = 0x12345678;
	f->c.gpr[X86_RDI] = DATA;
	ram_put(f, DATA, 0xffffffffffffffff, 8);
	runs(f, CODE("\xc4\xe2\x78\xf2\xd1")); /* ANDN edx, eax, ecx */
	check_eq("andn", f->c.gpr[X86_RDX], 0x10305070);
	runs(f, CODE("\xc4\xe2\xf8\xf2\x17")); /* the same with W, of [edi] */
	check_eq("andn", f->c.gpr[X86_RDX], 0xf0f0f0f0);
	runs(f, CODE("\xc4\xc2\x38\xf2\xd1")); /* with bits for registers that are not there: vvvv 0111, B */
	check_eq("andn", f->c.gpr[X86_RDX], 0x10305070);
	memcpy(f->ram + DATA, what, sizeof(what));
	f->c.rip = code_at;
	memcpy(f->ram + KERNEL_CODE, "\xc5\xfa\x7f\x3f", 4); /* VMOVDQU [edi], xmm7 */
	__asm__ volatile("vmovdqu %0, %%xmm7" ::"m"(what));
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	memcpy(got, f->ram + DATA, sizeof(got));
	assert_memory_equal(got, what, sizeof(what));
	f->c.xcr0 = 1;
	faults(f, CODE("\xc5\xfa\x7f\x3f"), X86_UD, -1);
	f->c.xcr0 = 7;
	f->c.cr0 |= X86_CR0_TS;
	faults(f, CODE("\xc5\xfa\x7f\x3f"), X86_NM, -1);
	faults(f, CODE("\xd9\xe8"), X86_NM, -1);
	f->c.cr0 &= ~(uint64_t)X86_CR0_TS;
	real_mode(f);
	faults(f, CODE("\xc4\xe2\x78\xf2\xd1"), X86_UD, -1);
	faults(f, CODE("\xc5\xfa\x7f\x3f"), X86_UD, -1);
}

static void test_x87_state_goes_through_memory(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m].enter(f);
		f->c.gpr[X86_RDI] = f->c.gpr[X86_RBX] = m == 2 ? 0 : DATA;
		memset(f->ram + DATA, 0x5a, 128);
		runs(f, CODE("\xdb\xe3")); /* FNINIT */
		runs(f, CODE("\xd9\xeb")); /* FLDPI */
		runs(f, CODE("\xdd\x37")); /* FNSAVE [rdi] */
		check_eq("control word", ram_get(f, DATA, 2), 0x37f);
		check_eq("behind it", ram_get(f, DATA + (m == 2 ? 94 : 108), 1), 0x5a);
		check_eq("pi", ram_get(f, DATA + (m == 2 ? 14 : 28), 8), 0xc90fdaa22168c235);
		runs(f, CODE("\xdd\x27")); /* FRSTOR [rdi] */
		runs(f, CODE("\xdd\x1f")); /* FSTP qword [rdi] */
		check_eq("pi", ram_get(f, DATA, 8), 0x400921fb54442d18);
		runs(f, CODE("\x0f\xae\x07")); /* FXSAVE [rdi] */
		check_eq("control word", ram_get(f, DATA, 2), 0x37f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_computing_is_the_host_s_in_every_mode),
		TEST(test_division_and_its_exception),
		TEST(test_high_bytes_and_prefixes_of_the_operand_s_size),
		TEST(test_bit_strings_reach_beyond_their_operand),
		TEST(test_vex_in_32_bit_code_has_32_bits_and_in_real_mode_is_undefined),
		TEST(test_x87_state_goes_through_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
