/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_enter.c - what each boot protocol hands over in memory and in the first processor's registers
 *
 * Spec: Xen, docs/misc/pvh.pandoc and hvm_start_info; Linux, Documentation/arch/x86/boot.rst "64-bit boot protocol";
 * Multiboot 0.6.96, 3.2 and 3.3
 */
#include <assert.h>
#include <string.h>
#include <sys/random.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"
#include "vm/boot_internal.h"

enum {
	/* x86_segment.attr: type, S, P; D/B or L; G */
	ATTR_CODE32 = 0xc09b,
	ATTR_CODE64 = 0xa09b,
	ATTR_DATA = 0xc093,
	ATTR_TSS_BUSY = 0x008b,
	ATTR_UNUSABLE = 0x0100,
	SEL_CODE = 0x10, /* Linux's __BOOT_CS, __BOOT_DS */
	SEL_DATA = 0x18,
	SEL_TSS = 0x20,
	GDT_ENTRIES = 5,
	CR0_PE = 1,
	CR0_ET = 1 << 4,
	CR4_PAE = 1 << 5,
	EFER_LME_LMA = 0x500,
	RFLAGS_ONE = 2,
	MSR_MISC_ENABLE = 0x1a0,
	MISC_ENABLE_FAST_STRING = 1,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MTRR_ENABLE_WB = 0x806,
};

enum { /* the local APIC's registers */
       LAPIC_VERSION = 0x30,
       LAPIC_DFR = 0xe0,
       LAPIC_SVR = 0xf0,
       LAPIC_LVT_TIMER = 0x320,
       LAPIC_LVT_LINT0 = 0x350,
       LAPIC_LVT_ERROR = 0x370,
       LAPIC_RESET_VERSION = 0x50014,
       LVT_MASKED = 1 << 16,
       LVT_EXTINT = 0x700,
};

static const uint64_t CR0_PG = 1ULL << 31;

/* --- the processor ---------------------------------------------------------------------------------------------- */

static void set_msr(struct x86_state *s, uint32_t index, uint64_t value)
{
	uint32_t i = 0;

	while (i < s->n_msrs && s->msr[i].index != index)
		i++;
	if (i == X86_MSRS_MAX)
		return;
	s->msr[i] = (struct x86_msr){ index, value };
	if (i == s->n_msrs)
		s->n_msrs++;
}

/* descriptor() - a segment as the GDT spells it; system descriptors' upper halves are not needed here */
static uint64_t descriptor(const struct x86_segment *g)
{
	uint64_t limit = g->attr & 0x8000 ? g->limit >> 12 : g->limit;

	return (limit & 0xffff) | (g->base & 0xffffff) << 16 | (uint64_t)(g->attr & 0xff) << 40 |
	       (limit >> 16 & 0xf) << 48 | (uint64_t)(g->attr >> 12 & 0xf) << 52 |
	       (g->base >> 24 & 0xff) << 56;
}

static void lapic_set(struct x86_state *s, unsigned reg, uint32_t v)
{
	memcpy(s->lapic + reg, &v, sizeof(v));
}

/*
 * mask_lint0() - the local APIC as it is after reset, or as @s has it, but closed to a PIC
 * An engine may let one through to the first processor. A hardware-reduced kernel knows of no PIC, so nobody masks it: the
 * first edge of line 4 would arrive as vector 4.
 */
static void mask_lint0(struct x86_state *s)
{
	uint32_t lvt = LVT_EXTINT;

	if (s->lapic[LAPIC_VERSION] == 0) { /* not told: reset state. Spec: SDM 3A 11.4.7.1 */
		lapic_set(s, LAPIC_VERSION, LAPIC_RESET_VERSION);
		lapic_set(s, LAPIC_DFR, UINT32_MAX);
		lapic_set(s, LAPIC_SVR, 0xff);
		for (unsigned reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg += 16)
			lapic_set(s, reg, LVT_MASKED);
	} else {
		memcpy(&lvt, s->lapic + LAPIC_LVT_LINT0, sizeof(lvt));
	}
	lapic_set(s, LAPIC_LVT_LINT0, lvt | LVT_MASKED);
}

/* flat() - flat segments, in 32-bit protected or in long mode, with a GDT in memory that says the same */
static int flat(const struct boot *b, struct x86_state *s, bool long_mode, struct err *e)
{
	const struct x86_segment code = { 0, UINT32_MAX, SEL_CODE, long_mode ? ATTR_CODE64 : ATTR_CODE32 };
	const struct x86_segment data = { 0, UINT32_MAX, SEL_DATA, ATTR_DATA };
	const struct x86_segment tss = { 0, 0x67, SEL_TSS, ATTR_TSS_BUSY };
	const uint64_t gdt[GDT_ENTRIES] = { 0, 0, descriptor(&code), descriptor(&data), descriptor(&tss) };

	memset(s->gpr, 0, sizeof(s->gpr));
	for (unsigned i = X86_ES; i <= X86_GS; i++)
		s->seg[i] = i == X86_CS ? code : data;
	s->seg[X86_TR] = tss;
	s->seg[X86_LDTR] = (struct x86_segment){ .attr = ATTR_UNUSABLE };
	s->gdt = (struct x86_table){ BOOT_AT_GDT, sizeof(gdt) - 1 };
	s->idt = (struct x86_table){ 0, 0 };
	s->rflags = RFLAGS_ONE;
	s->cr0 = CR0_PE | CR0_ET;
	s->cr3 = s->cr4 = s->efer = 0;
	s->rip = b->entry;
	s->run = X86_RUNNABLE;
	/* What firmware leaves: fast strings on, and all memory write-back where no MTRR says otherwise. */
	set_msr(s, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING);
	set_msr(s, MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WB);
	mask_lint0(s);
	return boot__put(b, BOOT_AT_GDT, gdt, sizeof(gdt), e);
}

/* --- PVH -------------------------------------------------------------------------------------------------------- */

struct pvh_start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t n_memmap, reserved;
};

struct pvh_module {
	uint64_t addr, size, cmdline, reserved;
};

struct pvh_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};

static int enter_pvh(struct boot *b, struct x86_state *s, struct err *e)
{
	struct {
		struct pvh_start_info info;
		struct pvh_module initrd;
		struct pvh_memmap map[BOOT_MAP_MAX];
	} t = { 0 };
	int r;

	static_assert(sizeof(t) <= BOOT_AT_MB - BOOT_AT_PVH, "the tables fit their page");
	t.info = (struct pvh_start_info){
		.magic = 0x336ec578,
		.version = 1,
		.n_modules = b->initrd_bytes > 0,
		.modlist = b->initrd_bytes > 0 ? BOOT_AT_PVH + sizeof(t.info) : 0,
		.cmdline = BOOT_AT_CMDLINE,
		.rsdp = b->rsdp,
		.memmap = BOOT_AT_PVH + sizeof(t.info) + sizeof(t.initrd),
		.n_memmap = b->n_map,
	};
	t.initrd = (struct pvh_module){ b->initrd, b->initrd_bytes, 0, 0 };
	for (unsigned i = 0; i < b->n_map; i++)
		t.map[i] = (struct pvh_memmap){ b->map[i].addr, b->map[i].size, b->map[i].type, 0 };
	r = boot__put(b, BOOT_AT_PVH, &t, sizeof(t), e);
	if (r >= 0)
		r = flat(b, s, false, e);
	s->gpr[X86_RBX] = BOOT_AT_PVH;
	return r;
}

/* --- multiboot 1 ------------------------------------------------------------------------------------------------ */

struct mb_info {
	uint32_t flags, mem_lower_kib, mem_upper_kib, boot_device, cmdline, n_modules, modlist, syms[4];
	uint32_t mmap_bytes, mmap;
};

struct mb_module {
	uint32_t start, end, cmdline, reserved;
};

struct mb_memmap {
	uint32_t size; /* of what follows */
	struct e820_entry e;
} __attribute__((packed));

static int enter_multiboot(struct boot *b, struct x86_state *s, struct err *e)
{
	enum {
		HAS_MEM = 1,
		HAS_CMDLINE = 4,
		HAS_MODULES = 8,
		HAS_MAP = 64,
		BOOTED_BY_MULTIBOOT = 0x2badb002
	};
	struct {
		struct mb_info info;
		struct mb_module initrd;
		struct mb_memmap map[BOOT_MAP_MAX];
	} t = { 0 };
	int r;

	static_assert(sizeof(t) <= 4096, "the tables fit their page");
	t.info = (struct mb_info){
		.flags = HAS_MEM | HAS_CMDLINE | HAS_MODULES | HAS_MAP,
		.mem_lower_kib = BOOT_LOW_END >> 10,
		.mem_upper_kib = (uint32_t)(e820_ram_bytes(b->map, b->n_map, BOOT_HIGH, 1ULL << 32) >> 10),
		.cmdline = BOOT_AT_CMDLINE,
		.n_modules = b->initrd_bytes > 0,
		.modlist = BOOT_AT_MB + sizeof(t.info),
		.mmap_bytes = b->n_map * (uint32_t)sizeof(t.map[0]),
		.mmap = BOOT_AT_MB + sizeof(t.info) + sizeof(t.initrd),
	};
	/* Below 3 GiB, so 32 bits hold it. */
	t.initrd = (struct mb_module){ (uint32_t)b->initrd, (uint32_t)(b->initrd + b->initrd_bytes), 0, 0 };
	for (unsigned i = 0; i < b->n_map; i++)
		t.map[i] = (struct mb_memmap){ sizeof(t.map[i].e), b->map[i] };
	r = boot__put(b, BOOT_AT_MB, &t, sizeof(t), e);
	if (r >= 0)
		r = flat(b, s, false, e);
	s->gpr[X86_RAX] = BOOTED_BY_MULTIBOOT;
	s->gpr[X86_RBX] = BOOT_AT_MB;
	return r;
}

/* --- Linux, 64 bits --------------------------------------------------------------------------------------------- */

enum { /* offsets in the zero page */
       ZP_ACPI_RSDP = 0x070,
       ZP_EXT_RAMDISK_IMAGE = 0x0c0,
       ZP_EXT_RAMDISK_SIZE = 0x0c4,
       ZP_E820_COUNT = 0x1e8,
       ZP_BOOT_FLAG = 0x1fe,
       ZP_MAGIC = 0x202,
       ZP_TYPE_OF_LOADER = 0x210,
       ZP_LOADFLAGS = 0x211,
       ZP_RAMDISK_IMAGE = 0x218,
       ZP_RAMDISK_SIZE = 0x21c,
       ZP_CMDLINE = 0x228,
       ZP_KERNEL_ALIGNMENT = 0x230,
       ZP_SETUP_DATA = 0x250,
       ZP_E820 = 0x2d0,
       ZP_BYTES = 4096,
       LOADER_UNKNOWN = 0xff,
       LOADED_HIGH = 1,
       KASLR_FLAG = 2, /* memory layout may be random; the text stays where its file says */
       SETUP_RNG_SEED = 9,
       SEED_BYTES = 32,
};

static void put32(uint8_t *zp, unsigned at, uint32_t v)
{
	memcpy(zp + at, &v, sizeof(v));
}

static void put64(uint8_t *zp, unsigned at, uint64_t v)
{
	memcpy(zp + at, &v, sizeof(v));
}

/* has_word() - is @word one of the command line's words? */
static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = line; (at = strstr(at, word)); at += len)
		if ((at == line || at[-1] == ' ') && (at[len] == '\0' || at[len] == ' '))
			return true;
	return false;
}

/* put_seed() - entropy for the kernel's first random numbers; it wipes what it has read */
static int put_seed(const struct boot *b, struct err *e)
{
	struct {
		uint64_t next;
		uint32_t type, len;
		uint8_t data[SEED_BYTES];
	} seed = { .type = SETUP_RNG_SEED, .len = SEED_BYTES };

	if (getrandom(seed.data, sizeof(seed.data), 0) != sizeof(seed.data))
		return err_sys(e, errno, "random seed");
	return boot__put(b, BOOT_AT_SETUP_DATA, &seed, sizeof(seed), e);
}

static int put_zero_page(const struct boot *b, struct err *e)
{
	uint8_t zp[ZP_BYTES] = { 0 };
	uint8_t loadflags;

	if (b->is_bzimage) {
		memcpy(zp + BZIMAGE_SETUP_OFFSET, b->bz.setup, b->bz.setup_bytes);
	} else {
		zp[ZP_BOOT_FLAG] = 0x55;
		zp[ZP_BOOT_FLAG + 1] = 0xaa;
		put32(zp, ZP_MAGIC, 0x53726448); /* "HdrS" */
		put32(zp, ZP_KERNEL_ALIGNMENT, 0x1000000);
	}
	loadflags = zp[ZP_LOADFLAGS] & (uint8_t)~KASLR_FLAG;
	zp[ZP_LOADFLAGS] = loadflags | LOADED_HIGH | (has_word(b->cmdline, "nokaslr") ? 0 : KASLR_FLAG);
	zp[ZP_TYPE_OF_LOADER] = LOADER_UNKNOWN;
	put64(zp, ZP_ACPI_RSDP, b->rsdp);
	put32(zp, ZP_RAMDISK_IMAGE, (uint32_t)b->initrd);
	put32(zp, ZP_EXT_RAMDISK_IMAGE, (uint32_t)(b->initrd >> 32));
	put32(zp, ZP_RAMDISK_SIZE, (uint32_t)b->initrd_bytes);
	put32(zp, ZP_EXT_RAMDISK_SIZE, (uint32_t)(b->initrd_bytes >> 32));
	put32(zp, ZP_CMDLINE, BOOT_AT_CMDLINE);
	put64(zp, ZP_SETUP_DATA, BOOT_AT_SETUP_DATA);
	zp[ZP_E820_COUNT] = (uint8_t)b->n_map;
	memcpy(zp + ZP_E820, b->map, b->n_map * sizeof(b->map[0]));
	return boot__put(b, BOOT_AT_ZERO_PAGE, zp, sizeof(zp), e);
}

/* put_page_tables() - the first 4 GiB, one to one, writable */
static int put_page_tables(const struct boot *b, struct err *e)
{
	enum { ENTRIES = 512, TABLE = 4096, PRESENT_WRITE = 3, LARGE = 0x80, GIBS = 4 };
	const uint64_t pdpt_at = BOOT_AT_PAGE_TABLES + TABLE, pd_at = pdpt_at + TABLE;
	uint64_t t[ENTRIES] = { pdpt_at | PRESENT_WRITE };
	int r = boot__put(b, BOOT_AT_PAGE_TABLES, t, sizeof(t), e);

	static_assert(BOOT_AT_PAGE_TABLES + (2 + GIBS) * TABLE <= BOOT_AT_SETUP_DATA,
		      "tables fit their place");
	for (unsigned i = 0; i < GIBS; i++)
		t[i] = (pd_at + (uint64_t)i * TABLE) | PRESENT_WRITE;
	if (r >= 0)
		r = boot__put(b, pdpt_at, t, sizeof(t), e);
	for (uint64_t g = 0; g < GIBS && r >= 0; g++) {
		for (uint64_t i = 0; i < ENTRIES; i++)
			t[i] = (g << 30 | i << 21) | PRESENT_WRITE | LARGE;
		r = boot__put(b, pd_at + g * TABLE, t, sizeof(t), e);
	}
	return r;
}

static int enter_linux64(struct boot *b, struct x86_state *s, struct err *e)
{
	int r = put_zero_page(b, e);

	if (r >= 0)
		r = put_seed(b, e);
	if (r >= 0)
		r = put_page_tables(b, e);
	if (r >= 0)
		r = flat(b, s, true, e);
	s->cr0 |= CR0_PG;
	s->cr3 = BOOT_AT_PAGE_TABLES;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME_LMA;
	s->gpr[X86_RSI] = BOOT_AT_ZERO_PAGE;
	s->gpr[X86_RSP] = s->gpr[X86_RBP] = BOOT_AT_STACK;
	return r;
}

int boot__enter(struct boot *b, struct x86_state *bsp, struct err *e)
{
	static int (*const enter[])(struct boot *, struct x86_state *, struct err *) = {
		[BOOT_AUTO] = NULL,
		[BOOT_PVH] = enter_pvh,
		[BOOT_LINUX64] = enter_linux64,
		[BOOT_MULTIBOOT] = enter_multiboot,
	};

	static_assert(ARRAY_SIZE(enter) == BOOT_PROTOCOL_COUNT, "each protocol");
	return enter[b->protocol](b, bsp, e);
}
