/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/x86.h"

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "base/bug.h"

/* --- against another decoder ------------------------------------------------------------------------------------ */

static const struct {
	unsigned bits;
	ZydisMachineMode mode;
	ZydisStackWidth stack;
} modes[] = {
	{ 64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	{ 32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
	{ 16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
};

static int gpr_of(ZydisRegister r)
{
	ZydisRegister e = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);

	return e >= ZYDIS_REGISTER_RAX && e <= ZYDIS_REGISTER_R15 ? (int)(e - ZYDIS_REGISTER_RAX) : X86_NONE;
}

/* regs_of() - all general registers that ours says are used, explicit, implicit or for addresses. */
static void regs_of(const struct x86_insn *i, unsigned *ret_read, unsigned *ret_written)
{
	unsigned read = i->implicit_read, written = i->implicit_written, reg;

	if (i->reg_is == X86_OP_GPR || i->reg_is == X86_OP_GPR8) {
		reg = i->reg_is == X86_OP_GPR8 && !i->rex && i->reg > 3 ? i->reg - 4U : i->reg;
		read |= i->reg_use & X86_READ ? 1U << reg : 0;
		written |= i->reg_use & X86_WRITTEN ? 1U << reg : 0;
	}
	if (!i->is_mem && (i->rm_is == X86_OP_GPR || i->rm_is == X86_OP_GPR8)) {
		reg = i->rm_is == X86_OP_GPR8 && !i->rex && i->rm > 3 ? i->rm - 4U : i->rm;
		read |= i->rm_use & X86_READ ? 1U << reg : 0;
		written |= i->rm_use & X86_WRITTEN ? 1U << reg : 0;
	}
	if (i->vvvv_is == X86_OP_GPR) {
		read |= i->vvvv_use & X86_READ ? 1U << i->vvvv : 0;
		written |= i->vvvv_use & X86_WRITTEN ? 1U << i->vvvv : 0;
	}
	if (i->is_mem && i->base != X86_NONE)
		read |= 1U << i->base;
	if (i->is_mem && i->index != X86_NONE && !i->vsib)
		read |= 1U << i->index;
	*ret_read = read;
	*ret_written = written;
}

static bool is_used_by_both(const struct x86_insn *i)
{
	switch (i->class) { /* where a register is an operand of data, not of the system */
	case X86_PLAIN:
	case X86_LEA:
	case X86_VECTOR:
	case X86_STRING:
	case X86_STACK:
	case X86_RET:
	case X86_CALL:
	case X86_CALL_IND:
	case X86_JMP_IND: return true;
	default: return false;
	}
}

static void show(const uint8_t *code, unsigned bits, const char *what, const struct x86_insn *i,
		 const ZydisDecodedInstruction *z)
{
	fprintf(stderr, "%u-bit", bits);
	for (int k = 0; k < 15; k++)
		fprintf(stderr, " %02x", code[k]);
	fprintf(stderr, ": %s: ours len %u class %u, theirs len %u %s\n", what, i->len, i->class, z->length,
		ZydisMnemonicGetString(z->mnemonic));
}

/* is_foreign() - what no processor has any more, or hull never shows: sizes of its operands are not asked for. */
static bool is_foreign(const ZydisDecodedInstruction *z)
{
	switch (z->meta.isa_set) {
	case ZYDIS_ISA_SET_FMA4:
	case ZYDIS_ISA_SET_AVX512ER_512:
	case ZYDIS_ISA_SET_AVX512ER_SCALAR:
	case ZYDIS_ISA_SET_AVX512PF_512:
	case ZYDIS_ISA_SET_AVX512_4FMAPS_512:
	case ZYDIS_ISA_SET_AVX512_4FMAPS_SCALAR:
	case ZYDIS_ISA_SET_AVX512_4VNNIW_512:
	case ZYDIS_ISA_SET_AMX_TILE:
	case ZYDIS_ISA_SET_CET:
	case ZYDIS_ISA_SET_KEYLOCKER:
	case ZYDIS_ISA_SET_KEYLOCKER_WIDE: return true;
	default: return false;
	}
}

/* compare_memory() - how many bytes of memory it touches, and whether it writes them. */
static const char *compare_memory(const struct x86_insn *i, const ZydisDecodedInstruction *z,
				  const ZydisDecodedOperand *op)
{
	bool data = i->class == X86_VECTOR || i->class == X86_PLAIN;

	if (!data || is_foreign(z) || (i->map == X86_MAP_0F && i->opcode == 0xae)) /* CLFLUSH */
		return NULL;
	if (i->mem_size * 8U != op->size && !(i->map == X86_MAP_1 && i->opcode == 0x63 && i->op_size == 2))
		return "operand's size";
	if ((op->mem.type == ZYDIS_MEMOP_TYPE_VSIB) != i->vsib)
		return "vector of indices";
	if (!(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != !(i->rm_use & X86_WRITTEN))
		return "operand written";
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ && !(i->rm_use & X86_READ))
		return "operand read";
	return NULL;
}

struct tally { /* of instructions that the other decoder knows: read by ours as well, and not */
	unsigned compared, refused;
};

/* compare() - one instruction, both ways. Return: NULL, or what differs. */
static const char *compare(const ZydisDecoder *d, const uint8_t *code, unsigned bits, struct tally *t)
{
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct x86_insn i;
	int len = x86_decode(&i, code, 15, bits);
	const char *diff = NULL;
	unsigned read, written, z_read = 0, z_written = 0;

	memset(&z, 0, sizeof(z));
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(d, code, 15, &z, op)))
		return NULL; /* theirs is stricter with what never occurs; ours raises #UD when it runs */
	if (z.encoding == ZYDIS_INSTRUCTION_ENCODING_XOP || z.encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW ||
	    z.meta.isa_set == ZYDIS_ISA_SET_AMD3DNOW || z.encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX)
		return NULL;
	if (i.class == X86_INVALID) {
		t->refused++;
		return NULL;
	}
	t->compared++;
	if (len != z.length)
		diff = "length";
	for (int k = 0; k < z.operand_count; k++) {
		bool visible = k < z.operand_count_visible;

		if (visible && op[k].type == ZYDIS_OPERAND_TYPE_MEMORY && i.is_mem && !i.moffs) {
			if (op[k].mem.base != ZYDIS_REGISTER_RIP && op[k].mem.base != ZYDIS_REGISTER_EIP &&
			    gpr_of(op[k].mem.base) != i.base)
				diff = "base";
			else if (!i.vsib && gpr_of(op[k].mem.index) != i.index)
				diff = "index";
			else if (op[k].mem.disp.value != i.disp)
				diff = "displacement";
			else if (i.index != X86_NONE && op[k].mem.scale != i.scale)
				diff = "scale";
			else if (!diff)
				diff = compare_memory(&i, &z, &op[k]);
		}
		if (op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (visible || z.meta.category != ZYDIS_CATEGORY_STRINGOP)) {
			int b = gpr_of(op[k].mem.base), x = gpr_of(op[k].mem.index);

			z_read |= (b >= 0 ? 1U << b : 0) | (x >= 0 ? 1U << x : 0);
		}
		if (op[k].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			int reg = gpr_of(op[k].reg.value);
			unsigned bit = reg >= 0 ? 1U << reg : 0;

			z_read |= op[k].actions & ZYDIS_OPERAND_ACTION_MASK_READ ? bit : 0;
			z_written |= op[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? bit : 0;
		}
	}
	regs_of(&i, &read, &written);
	/* all that theirs reads or writes must be known to ours; ours may know more */
	if (!diff && is_used_by_both(&i) && ((z_read | z_written) & ~(read | written)))
		diff = "registers used";
	if (!diff && is_used_by_both(&i) && (z_written & ~written))
		diff = "registers written";
	if (diff)
		show(code, bits, diff, &i, &z);
	return diff;
}

static void test_random_bytes_are_read_as_another_decoder_reads_them(void **state)
{
	struct tally t = { 0 };
	unsigned bad = 0;

	(void)state;
	srandom(1);
	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		ZydisDecoder d;

		ZydisDecoderInit(&d, modes[m].mode, modes[m].stack);
		for (int n = 0; n < 600000 && bad < 20; n++) {
			uint8_t code[15];

			for (size_t k = 0; k < sizeof(code); k++)
				code[k] = (uint8_t)(random() >> 7);
			if (n % 3 == 0)
				code[0] = 0x0f;
			else if (n % 3 == 1)
				code[0] = (uint8_t[]){
					0xc4, 0xc5, 0x66, 0xf3, 0xf2, 0x48, 0x41, 0x65
				}[n / 3 % 8];
			if (compare(&d, code, modes[m].bits, &t))
				bad++;
		}
	}
	assert_int_equal(bad, 0);
	assert_in_range(t.compared, 1000000, UINT32_MAX);
	assert_in_range(t.refused, 0, t.compared / 50); /* what is hidden by CPUID, or is as good as gone */
}

static void test_random_evex_is_read_as_another_decoder_reads_it(void **state)
{
	struct tally t = { 0 };
	unsigned bad = 0;

	(void)state;
	srandom(2);
	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		ZydisDecoder d;

		ZydisDecoderInit(&d, modes[m].mode, modes[m].stack);
		for (int n = 0; n < 1500000 && bad < 20; n++) {
			uint8_t code[15];

			for (size_t k = 0; k < sizeof(code); k++)
				code[k] = (uint8_t)(random() >> 7);
			code[0] = 0x62;
			code[1] = (uint8_t)((code[1] & 0xf0) | (1 + code[14] % 3) |
					    (modes[m].bits == 64 ? 0 : 0xc0));
			code[2] |= 4;
			if (compare(&d, code, modes[m].bits, &t))
				bad++;
		}
	}
	assert_int_equal(bad, 0);
	assert_in_range(t.compared, 80000, UINT32_MAX);
	assert_in_range(t.refused, 0, t.compared / 20); /* half precision */
}

static void test_a_real_program_is_read_as_another_decoder_reads_it(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ZydisDecoder d;
	struct stat st = { 0 };
	struct tally t = { 0 };
	unsigned bad = 0;
	Elf64_Ehdr *eh;
	Elf64_Phdr *ph;

	(void)state;
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	eh = mmap(NULL, (size_t)st.st_size + 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(eh, MAP_FAILED);
	ZydisDecoderInit(&d, modes[0].mode, modes[0].stack);
	ph = (Elf64_Phdr *)((char *)eh + eh->e_phoff);
	for (int k = 0; k < eh->e_phnum; k++)
		for (uint64_t at = 0;
		     ph[k].p_type == PT_LOAD && (ph[k].p_flags & PF_X) && at + 15 < ph[k].p_filesz;) {
			const uint8_t *code = (uint8_t *)eh + ph[k].p_offset + at;
			struct x86_insn i = { 0 };
			int len = x86_decode(&i, code, 15, 64);

			if (compare(&d, code, 64, &t) && ++bad > 20)
				break;
			at += len > 0 ? (uint64_t)len : 1;
		}
	assert_int_equal(bad, 0);
	assert_in_range(t.compared, 4000, UINT32_MAX);
	assert_int_equal(t.refused, 0);
	munmap(eh, (size_t)st.st_size + 4096);
	close(fd);
}

/* --- by hand ------------------------------------------------------------------------------------------------------ */

static void test_each_class_has_its_instructions(void **state)
{
	static const struct {
		const char *code;
		unsigned bits, len;
		enum x86_class class;
	} cases[] = {
		{ "\x48\x89\xd8", 64, 3, X86_PLAIN },
		{ "\x0f\x1f\x44\x00\x00", 64, 5, X86_NOP },
		{ "\xf3\x0f\x1e\xfa", 64, 4, X86_NOP },
		{ "\xf3\x90", 64, 2, X86_NOP },
		{ "\x48\x8d\x05\x01\x02\x03\x04", 64, 7, X86_LEA },
		{ "\x66\x0f\x6f\x00", 64, 4, X86_VECTOR },
		{ "\xc5\xfd\x6f\x07", 64, 4, X86_VECTOR },
		{ "\x62\xf1\x7c\x48\x10\x00", 64, 6, X86_VECTOR },
		{ "\xd9\xe8", 64, 2, X86_VECTOR },
		{ "\x48\x0f\xae\x27", 64, 4, X86_XSAVE },
		{ "\x0f\xae\x17", 64, 3, X86_XSAVE },
		{ "\xf3\x48\xa5", 64, 3, X86_STRING },
		{ "\x41\x57", 64, 2, X86_STACK },
		{ "\xc9", 64, 1, X86_STACK },
		{ "\x9c", 64, 1, X86_PUSHF },
		{ "\x9d", 64, 1, X86_POPF },
		{ "\x75\xfe", 64, 2, X86_JCC },
		{ "\x0f\x84\x00\x00\x00\x00", 64, 6, X86_JCC },
		{ "\xe3\x00", 64, 2, X86_LOOP },
		{ "\xe9\x00\x00\x00\x00", 64, 5, X86_JMP },
		{ "\xe9\x00\x00", 16, 3, X86_JMP },
		{ "\xff\xe0", 64, 2, X86_JMP_IND },
		{ "\xe8\x00\x00\x00\x00", 64, 5, X86_CALL },
		{ "\xff\x15\x00\x00\x00\x00", 64, 6, X86_CALL_IND },
		{ "\xc3", 64, 1, X86_RET },
		{ "\x48\xcb", 64, 2, X86_FAR },
		{ "\xea\x00\x00\x00\xf0", 16, 5, X86_FAR },
		{ "\x48\xcf", 64, 2, X86_IRET },
		{ "\x0f\x05", 64, 2, X86_SYSCALL },
		{ "\x48\x0f\x07", 64, 3, X86_SYSRET },
		{ "\xcd\x80", 64, 2, X86_INT },
		{ "\x0f\x0b", 64, 2, X86_INT },
		{ "\xfa", 64, 1, X86_CLI },
		{ "\xfb", 64, 1, X86_STI },
		{ "\x0f\x01\xcb", 64, 3, X86_STAC },
		{ "\x0f\x01\xca", 64, 3, X86_CLAC },
		{ "\x0f\x01\xf8", 64, 3, X86_SWAPGS },
		{ "\xf4", 64, 1, X86_HLT },
		{ "\xec", 64, 1, X86_IO },
		{ "\x6e", 64, 1, X86_IO },
		{ "\xf3\x48\x0f\xae\xd0", 64, 5, X86_FSGSBASE },
		{ "\x0f\xa2", 64, 2, X86_CPUID },
		{ "\x0f\x01\xf9", 64, 3, X86_RDTSC },
		{ "\x0f\x01\xe8", 64, 3, X86_SERIALIZE },
		{ "\x0f\x22\xd8", 64, 3, X86_SYSTEM },
		{ "\x8e\xd8", 64, 2, X86_SYSTEM },
		{ "\x0f\x01\x38", 64, 3, X86_SYSTEM },
		{ "\x0f\x20\x18\x00", 64, 3, X86_SYSTEM }, /* mod is ignored for control registers */
		{ "\x06", 64, 1, X86_INVALID },
		{ "\xf0\x89\xd8", 64, 3, X86_INVALID }, /* LOCK without memory */
		{ "\xf0\x01\x18", 64, 3, X86_PLAIN },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		uint8_t code[15] = { 0 };
		struct x86_insn i;

		memcpy(code, cases[k].code, cases[k].len);
		x86_decode(&i, code, 15, cases[k].bits);
		if (i.len != cases[k].len || i.class != cases[k].class)
			fail_msg("case %zu: got length %u class %u, want %u and %u", k, i.len, i.class,
				 cases[k].len, cases[k].class);
	}
}

static void test_an_instruction_that_is_cut_off_or_too_long_is_told_apart(void **state)
{
	uint8_t code[16] = { 0x48, 0x81, 0x84, 0x88 };
	struct x86_insn i;

	(void)state;
	for (size_t n = 1; n < 12; n++)
		assert_int_equal(x86_decode(&i, code, n, 64), 0);
	assert_int_equal(x86_decode(&i, code, 12, 64), 12);
	memset(code, 0x66, 15);
	assert_int_equal(x86_decode(&i, code, 16, 64), -1);
}

static void test_rex_counts_only_right_before_the_opcode(void **state)
{
	struct x86_insn i;

	(void)state;
	assert_int_equal(x86_decode(&i, (const uint8_t *)"\x48\x66\x89\xd8", 4, 64), 4);
	assert_int_equal(i.op_size, 2);
	assert_int_equal(x86_decode(&i, (const uint8_t *)"\x66\x48\x89\xd8", 4, 64), 4);
	assert_int_equal(i.op_size, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_class_has_its_instructions),
		cmocka_unit_test(test_an_instruction_that_is_cut_off_or_too_long_is_told_apart),
		cmocka_unit_test(test_rex_counts_only_right_before_the_opcode),
		cmocka_unit_test(test_random_bytes_are_read_as_another_decoder_reads_them),
		cmocka_unit_test(test_random_evex_is_read_as_another_decoder_reads_it),
		cmocka_unit_test(test_a_real_program_is_read_as_another_decoder_reads_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
