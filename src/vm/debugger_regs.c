/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debugger_regs.c - see debugger_regs.h
 *
 * The order is that of target.xml, which gdb takes its numbers from. Vector and x87 registers are in the XSAVE area; what its header
 * says is in its initial state reads as that, and writing one says that it is not any more.
 *
 * Spec: Debugging with GDB, appendix G.5.16 "x86 Features"; Intel SDM volume 1, 13.4.1 the legacy region of an XSAVE area, 8.1.7 tags
 */
#include "vm/debugger_regs.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/bug.h"

enum {
	XSAVE_FCW = 0,
	XSAVE_FSW = 2,
	XSAVE_TAGS = 4, /* abridged: a bit for each register that is not empty */
	XSAVE_FOP = 6,
	XSAVE_FIP = 8,
	XSAVE_FDP = 16,
	XSAVE_MXCSR = 24,
	XSAVE_ST0 = 32,
	XSAVE_XMM0 = 160,
	XSAVE_BV = 512,
	PART_X87 = 1,
	PART_SSE = 2,
	ST_BYTES = 10,
	SLOT_BYTES = 16, /* of a register in the area */
	FCW_INIT = 0x37f,
	CR4_LA57 = 1 << 12,
};
#define FLAGS_WRITABLE 0x3f7fd5U

enum kind { PLAIN, RIP, FLAGS, SELECTOR, BASE, X87, TAGS, X87_NONE, SSE };

struct reg {
	char name[9];
	uint8_t bits;
	uint8_t kind;
	uint16_t at; /* in the state, or its XSAVE area */
	const char *type;
};

#define AT(member) offsetof(struct x86_state, member)
#define GPR(name, n)                                                                                         \
	{                                                                                                    \
		name, 64, PLAIN, AT(gpr[n]), "int64"                                                         \
	}
#define SEG(name, n)                                                                                         \
	{                                                                                                    \
		name, 32, SELECTOR, AT(seg[n].selector), "int32"                                             \
	}
#define ST(n)                                                                                                \
	{                                                                                                    \
		"st" #n, 80, X87, XSAVE_ST0 + SLOT_BYTES *(n), "i387_ext"                                    \
	}
#define XMM(n)                                                                                               \
	{                                                                                                    \
		"xmm" #n, 128, SSE, XSAVE_XMM0 + SLOT_BYTES *(n), "vec128"                                   \
	}

static const struct reg core[] = {
	GPR("rax", X86_RAX),
	GPR("rbx", X86_RBX),
	GPR("rcx", X86_RCX),
	GPR("rdx", X86_RDX),
	GPR("rsi", X86_RSI),
	GPR("rdi", X86_RDI),
	{ "rbp", 64, PLAIN, AT(gpr[X86_RBP]), "data_ptr" },
	{ "rsp", 64, PLAIN, AT(gpr[X86_RSP]), "data_ptr" },
	GPR("r8", 8),
	GPR("r9", 9),
	GPR("r10", 10),
	GPR("r11", 11),
	GPR("r12", 12),
	GPR("r13", 13),
	GPR("r14", 14),
	GPR("r15", 15),
	{ "rip", 64, RIP, AT(rip), "code_ptr" },
	{ "eflags", 32, FLAGS, AT(rflags), "i386_eflags" },
	SEG("cs", X86_CS),
	SEG("ss", X86_SS),
	SEG("ds", X86_DS),
	SEG("es", X86_ES),
	SEG("fs", X86_FS),
	SEG("gs", X86_GS),
	ST(0),
	ST(1),
	ST(2),
	ST(3),
	ST(4),
	ST(5),
	ST(6),
	ST(7),
	{ "fctrl", 32, X87, XSAVE_FCW, "int" },
	{ "fstat", 32, X87, XSAVE_FSW, "int" },
	{ "ftag", 32, TAGS, XSAVE_TAGS, "int" },
	{ "fiseg", 32, X87_NONE, 0, "int" },
	{ "fioff", 32, X87, XSAVE_FIP, "int" },
	{ "foseg", 32, X87_NONE, 0, "int" },
	{ "fooff", 32, X87, XSAVE_FDP, "int" },
	{ "fop", 32, X87, XSAVE_FOP, "int" },
};
static const struct reg sse[] = {
	XMM(0),
	XMM(1),
	XMM(2),
	XMM(3),
	XMM(4),
	XMM(5),
	XMM(6),
	XMM(7),
	XMM(8),
	XMM(9),
	XMM(10),
	XMM(11),
	XMM(12),
	XMM(13),
	XMM(14),
	XMM(15),
	{ "mxcsr", 32, SSE, XSAVE_MXCSR, "i386_mxcsr" },
};
static const struct reg segments[] = {
	{ "fs_base", 64, BASE, AT(seg[X86_FS].base), "int" },
	{ "gs_base", 64, BASE, AT(seg[X86_GS].base), "int" },
};
static const struct reg control[] = {
	{ "cr0", 64, PLAIN, AT(cr0), "int" }, { "cr2", 64, PLAIN, AT(cr2), "int" },
	{ "cr3", 64, PLAIN, AT(cr3), "int" }, { "cr4", 64, PLAIN, AT(cr4), "int" },
	{ "cr8", 64, PLAIN, AT(cr8), "int" }, { "efer", 64, PLAIN, AT(efer), "int" },
};

static const struct {
	const char *feature, *types;
	const struct reg *reg;
	unsigned n;
} set[] = {
	{ "org.gnu.gdb.i386.core",
	  "<flags id=\"i386_eflags\" size=\"4\">"
	  "<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"\" start=\"1\" end=\"1\"/>"
	  "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
	  "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
	  "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
	  "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
	  "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"
	  "<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
	  "<field name=\"VIF\" start=\"19\" end=\"19\"/><field name=\"VIP\" start=\"20\" end=\"20\"/>"
	  "<field name=\"ID\" start=\"21\" end=\"21\"/></flags>",
	  core, ARRAY_SIZE(core) },
	{ "org.gnu.gdb.i386.sse",
	  "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" "
	  "count=\"2\"/>"
	  "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	  "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	  "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" "
	  "type=\"v2d\"/>"
	  "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
	  "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
	  "<field name=\"uint128\" type=\"uint128\"/></union>"
	  "<flags id=\"i386_mxcsr\" size=\"4\">"
	  "<field name=\"IE\" start=\"0\" end=\"0\"/><field name=\"DE\" start=\"1\" end=\"1\"/>"
	  "<field name=\"ZE\" start=\"2\" end=\"2\"/><field name=\"OE\" start=\"3\" end=\"3\"/>"
	  "<field name=\"UE\" start=\"4\" end=\"4\"/><field name=\"PE\" start=\"5\" end=\"5\"/>"
	  "<field name=\"DAZ\" start=\"6\" end=\"6\"/><field name=\"IM\" start=\"7\" end=\"7\"/>"
	  "<field name=\"DM\" start=\"8\" end=\"8\"/><field name=\"ZM\" start=\"9\" end=\"9\"/>"
	  "<field name=\"OM\" start=\"10\" end=\"10\"/><field name=\"UM\" start=\"11\" end=\"11\"/>"
	  "<field name=\"PM\" start=\"12\" end=\"12\"/><field name=\"FZ\" start=\"15\" end=\"15\"/></flags>",
	  sse, ARRAY_SIZE(sse) },
	{ "org.gnu.gdb.i386.segments", "", segments, ARRAY_SIZE(segments) },
	{ "hull.control", "", control, ARRAY_SIZE(control) },
};

static const struct reg *find(unsigned n)
{
	for (size_t i = 0; i < ARRAY_SIZE(set); n -= set[i++].n)
		if (n < set[i].n)
			return &set[i].reg[n];
	return NULL;
}

unsigned debugger_regs(void)
{
	return ARRAY_SIZE(core) + ARRAY_SIZE(sse) + ARRAY_SIZE(segments) + ARRAY_SIZE(control);
}

unsigned debugger_reg_bytes(unsigned n)
{
	const struct reg *r = find(n);

	return r ? r->bits / 8 : 0;
}

void debugger_regs_describe(struct buf *b)
{
	buf_puts(b,
		 "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
		 "<architecture>i386:x86-64</architecture>");
	for (size_t i = 0; i < ARRAY_SIZE(set); i++) {
		buf_printf(b, "<feature name=\"%s\">%s", set[i].feature, set[i].types);
		for (unsigned k = 0; k < set[i].n; k++)
			buf_printf(b, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>", set[i].reg[k].name,
				   set[i].reg[k].bits, set[i].reg[k].type);
		buf_puts(b, "</feature>");
	}
	buf_puts(b, "</target>");
}

/* --- x87 and SSE -------------------------------------------------------------------------------------------------- */

static unsigned part_of(const struct reg *r)
{
	return r->kind == SSE ? PART_SSE : PART_X87;
}

static bool is_initial(const struct x86_state *s, unsigned part)
{
	return !(s->xsave[XSAVE_BV] & part);
}

/* bytes_of() - that a register has in the area; gdb's 32 bits of a control register are mostly air. */
static unsigned bytes_of(const struct reg *r)
{
	bool is_short = r->at == XSAVE_FCW || r->at == XSAVE_FSW || r->at == XSAVE_TAGS || r->at == XSAVE_FOP;

	return is_short ? 2 : r->bits / 8;
}

/* tag_word() - two bits for each register, as FSTENV tells them: valid, zero, special, empty */
static uint16_t tag_word(const struct x86_state *s)
{
	unsigned top = s->xsave[XSAVE_FSW + 1] >> 3 & 7;
	uint16_t tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		const uint8_t *st = s->xsave + XSAVE_ST0 + (size_t)SLOT_BYTES * ((i - top) & 7);
		uint64_t fraction;
		uint16_t exponent;
		unsigned tag = 0;

		memcpy(&fraction, st, sizeof(fraction));
		memcpy(&exponent, st + 8, sizeof(exponent));
		exponent &= 0x7fff;
		if (!(s->xsave[XSAVE_TAGS] >> i & 1))
			tag = 3;
		else if (exponent == 0 && fraction == 0)
			tag = 1;
		else if (exponent == 0 || exponent == 0x7fff || !(fraction >> 63))
			tag = 2;
		tags |= (uint16_t)(tag << 2 * i);
	}
	return tags;
}

static void area_get(const struct x86_state *s, const struct reg *r, uint8_t *value)
{
	static const uint16_t fcw = FCW_INIT, empty = 0xffff;
	uint16_t tags;

	if (r->kind == X87_NONE || s->xsave_len < XSAVE_BV + 8)
		return;
	if (!is_initial(s, part_of(r)) || r->at == XSAVE_MXCSR) { /* which is always saved */
		tags = tag_word(s);
		memcpy(value, r->kind == TAGS ? (const uint8_t *)&tags : s->xsave + r->at, bytes_of(r));
	} else if (r->kind == TAGS) {
		memcpy(value, &empty, sizeof(empty));
	} else if (r->kind == X87 && r->at == XSAVE_FCW) {
		memcpy(value, &fcw, sizeof(fcw));
	}
}

/* part_begin() - the part is not in its initial state any more: what was not there is written out. */
static void part_begin(struct x86_state *s, unsigned part)
{
	static const uint16_t fcw = FCW_INIT;

	if (!is_initial(s, part))
		return;
	if (part == PART_X87) {
		memset(s->xsave, 0, XSAVE_MXCSR);
		memset(s->xsave + XSAVE_ST0, 0, XSAVE_XMM0 - XSAVE_ST0);
		memcpy(s->xsave + XSAVE_FCW, &fcw, sizeof(fcw));
	} else {
		memset(s->xsave + XSAVE_XMM0, 0, (size_t)16 * SLOT_BYTES);
	}
	s->xsave[XSAVE_BV] |= (uint8_t)part;
}

static int area_set(struct x86_state *s, const struct reg *r, const uint8_t *value)
{
	if (s->xsave_len < XSAVE_BV + 8)
		return -EOPNOTSUPP;
	part_begin(s, part_of(r));
	if (r->kind == TAGS) {
		uint16_t tags;

		memcpy(&tags, value, sizeof(tags));
		s->xsave[XSAVE_TAGS] = 0;
		for (unsigned i = 0; i < 8; i++)
			s->xsave[XSAVE_TAGS] |= (uint8_t)((tags >> 2 * i & 3) != 3) << i;
	} else if (r->kind != X87_NONE) {
		memcpy(s->xsave + r->at, value, bytes_of(r));
	}
	return 0;
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

unsigned debugger_reg_get(const struct x86_state *s, unsigned n, uint8_t value[DEBUGGER_REG_BYTES_MAX])
{
	const struct reg *r = find(n);
	const uint8_t *p = (const uint8_t *)s;

	if (!r)
		return 0;
	memset(value, 0, DEBUGGER_REG_BYTES_MAX);
	switch ((enum kind)r->kind) {
	case PLAIN:
	case RIP:
	case FLAGS:
	case BASE: memcpy(value, p + r->at, r->bits / 8); break;
	case SELECTOR: memcpy(value, p + r->at, sizeof(uint16_t)); break;
	case X87:
	case TAGS:
	case X87_NONE:
	case SSE: area_get(s, r, value); break;
	}
	return r->bits / 8;
}

static bool is_canonical(const struct x86_state *s, uint64_t va)
{
	unsigned out = s->cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(va << out) >> out) == va;
}

int debugger_reg_set(struct x86_state *s, unsigned n, const uint8_t *value, unsigned len)
{
	uint8_t has[DEBUGGER_REG_BYTES_MAX], *p = (uint8_t *)s;
	const struct reg *r = find(n);
	uint64_t v = 0;

	if (!r || len != r->bits / 8U)
		return -EINVAL;
	memcpy(&v, value, len < sizeof(v) ? len : sizeof(v));
	debugger_reg_get(s, n, has);
	if (memcmp(has, value, len) == 0)
		return 0;
	switch ((enum kind)r->kind) {
	case SELECTOR: return -EOPNOTSUPP; /* a segment is more than that */
	case RIP:
	case BASE:
		if (!is_canonical(s, v))
			return -EINVAL;
		memcpy(p + r->at, &v, sizeof(v));
		return 0;
	case FLAGS:
		v = (v & FLAGS_WRITABLE) | 2;
		memcpy(p + r->at, &v, sizeof(v));
		return 0;
	case PLAIN: memcpy(p + r->at, &v, sizeof(v)); return 0;
	default: return area_set(s, r, value);
	}
}
