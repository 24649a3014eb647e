/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86.h - x86 instructions taken apart: lengths, operands, and what a translator has to know of each
 *
 * Theory of operation. x86_decode() reads one instruction with a table for each opcode map. It tells where each field is, so that a
 * translator can copy the bytes and change one; what ModRM's two operands are and how they are used; which general registers it uses
 * beside those; and its class. It knows 16-, 32- and 64-bit code; legacy, VEX and EVEX encodings. What it does not know, or
 * what #UDs in every mode, is X86_INVALID.
 *
 * No I/O, no state, no libc: also compiled into the space program.
 *
 * Spec: Intel SDM volume 2, chapter 2 and appendix A
 */
#ifndef FMT_X86_H
#define FMT_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { X86_INSN_MAX = 15, X86_NONE = -1 };

enum x86_map { X86_MAP_1, X86_MAP_0F, X86_MAP_0F38, X86_MAP_0F3A, X86_MAP_COUNT };
enum x86_form { X86_LEGACY, X86_VEX, X86_EVEX };

/* What kind of work it is: the first question of translator and interpreter. */
enum x86_class {
	X86_INVALID,
	X86_PLAIN, /* general registers, flags and its operands; nothing else */
	X86_NOP,   /* NOP, ENDBR, hints, PREFETCH: an operand is only an address */
	X86_LEA,
	X86_VECTOR, /* x87, MMX, SSE, AVX, AVX-512, AES...: may also use general registers as its operands say */
	X86_XSAVE, /* XSAVE, XRSTOR families, FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, FLDENV...: state to and from memory */
	X86_STRING, /* MOVS CMPS STOS LODS SCAS; not INS, OUTS */
	X86_STACK, /* PUSH POP of a general register, an operand or an immediate; ENTER, LEAVE, PUSHA, POPA */
	X86_PUSHF,
	X86_POPF,
	X86_JCC,
	X86_LOOP,    /* LOOPcc, JCXZ */
	X86_JMP,     /* near, direct */
	X86_JMP_IND, /* near, through an operand */
	X86_CALL,
	X86_CALL_IND,
	X86_RET, /* near */
	X86_FAR, /* JMP, CALL, RET far; IRET */
	X86_IRET,
	X86_SYSCALL,
	X86_SYSRET,
	X86_SYSENTER,
	X86_SYSEXIT,
	X86_INT, /* INT n, INT3, INT1, INTO, UD0, UD1, UD2 */
	X86_CLI,
	X86_STI,
	X86_STAC,
	X86_CLAC,
	X86_SWAPGS,
	X86_HLT,
	X86_IO, /* IN OUT INS OUTS */
	X86_FSGSBASE,
	X86_CPUID,
	X86_RDTSC, /* RDTSC, RDTSCP */
	X86_SERIALIZE,
	X86_SYSTEM, /* all else that is privileged or tells of the system: MOV CR, MOV DR, MOV to and from segments, LGDT, SGDT, LAR, VERW, RDMSR,
		      * INVLPG, XGETBV, XSETBV, RDPMC, RDPID, VMCALL, CLTS, POP of a segment, LDS, PUSH of a segment... */
	X86_CLASS_COUNT
};

/* What ModRM.reg or ModRM.rm stand for when they are registers. */
enum x86_operand {
	X86_OP_NONE,
	X86_OP_GPR,
	X86_OP_GPR8,
	X86_OP_VECTOR,
	X86_OP_SEGMENT,
	X86_OP_CONTROL,
	X86_OP_DEBUG,
	X86_OP_X87,
	X86_OP_MASK
};
enum x86_use { X86_READ = 1, X86_WRITTEN = 2 };

struct x86_insn {
	uint8_t len;
	uint8_t class; /* enum x86_class */
	uint8_t bits;  /* 16, 32 or 64: the mode it was decoded for */
	uint8_t form;  /* enum x86_form */
	uint8_t map;   /* enum x86_map */
	uint8_t opcode;

	/* prefixes */
	bool lock, p66, p67;
	uint8_t rep; /* 0, 0xf2, 0xf3: the last of them, also where it is part of the opcode */
	int8_t segment; /* enum x86_seg that an override prefix names (in 64-bit code only FS and GS count); X86_NONE */
	uint8_t rex; /* as it stands; for VEX and EVEX what it would be; 0: none. 0x8: W, 0x4: R, 0x2: X, 0x1: B */
	/* VEX, EVEX: implied prefix 0-3 (none 66 f3 f2), extra register (not inverted any more), vector length 0-2 */
	uint8_t pp, vvvv, vl;
	bool evex_rr, evex_vv, evex_bcst; /* EVEX: R', V', b */

	/* where its parts begin, in bytes from its start; 0: it has none */
	uint8_t at_opcode; /* the last opcode byte */
	uint8_t at_escape; /* REX, VEX or EVEX; else the first opcode byte, 0f included: what new prefixes go in front of */
	uint8_t at_modrm, at_sib, at_disp, at_imm;
	uint8_t disp_len, imm_len;

	/* operands */
	bool has_modrm, is_mem, rip_relative;
	uint8_t modrm, mod, reg, rm; /* reg, rm with REX's (EVEX's) bits */
	/* of the memory operand, general register or X86_NONE; 16-bit addressing too. VSIB: index is a vector */
	int8_t base, index;
	bool vsib;
	uint8_t scale; /* 1 2 4 8 */
	int64_t disp;
	uint64_t imm;               /* sign-extended where the instruction does so; branches: the distance */
	uint16_t imm2;              /* ENTER's second, a far pointer's selector */
	uint8_t op_size, addr_size; /* bytes: 1, 2, 4, 8; 2, 4, 8 */
	uint8_t mem_size; /* bytes of the memory operand, where the table knows: 1 to 64; 0: not known (XSAVE, x87 environments) */
	uint8_t reg_is, rm_is;     /* enum x86_operand */
	uint8_t reg_use, rm_use;   /* OR of enum x86_use: as it stands, memory too */
	uint8_t vvvv_is, vvvv_use; /* BMI's general register, or a vector */
	/* General registers beside those: bit n is register n; string and stack ones too. Those of an opcode's low three
	 * bits (PUSH r, XCHG r, MOV r, imm, BSWAP) are here as well. */
	uint16_t implicit_read, implicit_written;
	uint8_t opcode_reg; /* that register, with REX.B; only for those opcodes */
	uint8_t cc;         /* condition of Jcc, SETcc, CMOVcc */
	bool moffs; /* MOV to or from an absolute address: disp holds it, is_mem is set, there is no ModRM */
};

/**
 * x86_decode() - one instruction
 * @code, @n: bytes there are, 1 to 15 are looked at
 * @bits: 16, 32, 64
 * Return: its length; 0 when @n bytes do not hold it whole; -1 when it is longer than 15 bytes (#GP); class X86_INVALID: length as far as it was read
 */
int x86_decode(struct x86_insn *ret_insn, const uint8_t *code, size_t n, unsigned bits);

/* x86_is_stack() - does its memory operand go to the stack segment by default (base RSP or RBP)? */
static inline bool x86_is_stack(const struct x86_insn *i)
{
	return i->is_mem && (i->base == 4 || i->base == 5);
}

#endif
