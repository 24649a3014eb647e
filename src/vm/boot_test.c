/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/boot.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/err.h"
#include "fmt/acpi.h"
#include "vm/boot_testing.h"

enum { MIB = 1 << 20, ROOM = 1 << 20, RSDP = 0xe0000, ZERO_PAGE = 0x7000 };

struct fixture {
	struct gmem mem;
	struct boot_image b;
	struct x86_state s;
	struct err e;
	struct test_elf elf;
	uint8_t bytes[ROOM], packed[ROOM];
	size_t len;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (gmem_add_ram(&f->mem, 0, 16 * MIB, GMEM_PAGES_SMALL, &f->e) < 0)
		return -1;
	f->b = (struct boot_image){ .mem = &f->mem,
				    .kernel_name = "k",
				    .kernel_fd = -1,
				    .initrd_fd = -1,
				    .cmdline = "a=b",
				    .cpus = 1 };
	test_elf(&f->elf, TEST_LOAD + 0x20);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gmem_fini(&f->mem);
	free(f);
	return 0;
}

static int load(struct fixture *f, const void *kernel, size_t len)
{
	auto_close int fd = test_file(kernel, len);

	f->b.kernel_fd = fd;
	memset(&f->e, 0, sizeof(f->e));
	return boot_load(&f->b, &f->s, &f->e);
}

static void must_load(struct fixture *f, const void *kernel, size_t len)
{
	int r = load(f, kernel, len);

	if (r < 0)
		fail_msg("boot_load: %s", f->e.text);
}

static const void *at(struct fixture *f, gpa_t addr)
{
	return gmem_ptr(&f->mem, addr, 1);
}

static uint32_t u32(struct fixture *f, gpa_t addr)
{
	uint32_t v = 0;

	assert_int_equal(gmem_read(&f->mem, addr, &v, sizeof(v)), 0);
	return v;
}

static uint64_t u64(struct fixture *f, gpa_t addr)
{
	return u32(f, addr) | (uint64_t)u32(f, addr + 4) << 32;
}

static void test_an_elf_with_a_pvh_note_is_entered_in_32_bits(void **state)
{
	struct fixture *f = *state;
	gpa_t info;

	must_load(f, &f->elf, sizeof(f->elf));
	assert_int_equal(f->s.rip, TEST_LOAD + 0x20);
	assert_int_equal(f->s.cr0 & 0x80000001, 1);
	assert_int_equal(f->s.efer, 0);
	assert_int_equal(f->s.seg[X86_CS].attr, 0xc09b);
	info = f->s.gpr[X86_RBX];
	assert_int_equal(u32(f, info), 0x336ec578);
	assert_string_equal(at(f, u64(f, info + 24)), "a=b");
	assert_int_equal(u64(f, info + 32), RSDP);
	assert_int_equal(u32(f, info + 12), 0); /* no module */
	assert_memory_equal(at(f, TEST_LOAD), f->elf.text, TEST_TEXT_BYTES);
}

static void test_any_other_elf_is_entered_in_long_mode_with_a_zero_page(void **state)
{
	struct fixture *f = *state;
	uint64_t pdpt, pd;

	test_elf(&f->elf, 0);
	must_load(f, &f->elf, sizeof(f->elf));
	assert_int_equal(f->s.rip, TEST_LOAD + 0x10);
	assert_int_equal(f->s.efer, 0x500);
	assert_int_equal(f->s.cr0 >> 31, 1);
	assert_int_equal(f->s.seg[X86_CS].attr, 0xa09b);
	assert_int_equal(f->s.gpr[X86_RSI], ZERO_PAGE);
	assert_int_equal(u32(f, ZERO_PAGE + 0x202), 0x53726448);
	assert_string_equal(at(f, u32(f, ZERO_PAGE + 0x228)), "a=b");
	assert_int_equal(*(const uint8_t *)at(f, ZERO_PAGE + 0x1e8), 3);
	/* The last of the first 4 GiB is mapped to itself. */
	pdpt = u64(f, f->s.cr3) & ~0xfffULL;
	pd = u64(f, pdpt + 3 * 8) & ~0xfffULL;
	assert_int_equal(u64(f, pd + 511 * 8), 0xffe00083);
}

static void test_no_pic_reaches_the_first_processor(void **state)
{
	enum { LINT0 = 0x350, MASKED_EXTINT = 0x10700 };
	struct fixture *f = *state;
	uint32_t lint0 = 0x700;

	must_load(f, &f->elf, sizeof(f->elf)); /* of a state that does not tell */
	assert_int_equal(f->s.lapic[0x30], 0x14);
	assert_memory_equal(f->s.lapic + LINT0, &(uint32_t){ MASKED_EXTINT }, 4);
	memset(f->s.lapic, 0, sizeof(f->s.lapic)); /* of one that does */
	f->s.lapic[0x30] = 0x15;
	memcpy(f->s.lapic + LINT0, &lint0, sizeof(lint0));
	must_load(f, &f->elf, sizeof(f->elf));
	assert_int_equal(f->s.lapic[0x30], 0x15);
	assert_memory_equal(f->s.lapic + LINT0, &(uint32_t){ MASKED_EXTINT }, 4);
}

static void test_the_protocol_can_be_told(void **state)
{
	struct fixture *f = *state;

	f->b.protocol = BOOT_LINUX64;
	must_load(f, &f->elf, sizeof(f->elf));
	assert_int_equal(f->s.efer, 0x500);
	f->b.protocol = BOOT_MULTIBOOT;
	assert_int_equal(load(f, &f->elf, sizeof(f->elf)), -ENOEXEC);
	assert_string_equal(f->e.text, "kernel 'k': no multiboot header in its first 8192 bytes");
}

static void test_multiboot_addresses_load_what_is_no_elf(void **state)
{
	struct fixture *f = *state;
	uint32_t *h = (uint32_t *)(f->bytes + 0x100);
	const uint32_t header[] = {
		0x1badb002, 0x10003, 0, 0x300100, 0x300000, 0x300800, 0x301000, 0x300200
	};
	gpa_t info;

	memcpy(h, header, sizeof(header));
	h[2] = 0 - h[0] - h[1];
	f->bytes[0x7ff] = 0x5a;
	must_load(f, f->bytes, 0x1000);
	assert_int_equal(f->s.rip, 0x300200);
	assert_int_equal(f->s.gpr[X86_RAX], 0x2badb002);
	info = f->s.gpr[X86_RBX];
	assert_int_equal(u32(f, info), 0x4d);
	assert_int_equal(u32(f, info + 8), 15 * 1024);
	assert_int_equal(*(const uint8_t *)at(f, 0x3007ff), 0x5a);
}

static void test_every_compression_of_a_bzimage_gives_the_same_kernel(void **state)
{
	static const char *const kinds[] = { "gzip", "xz", "zstd", "lz4", "lzma" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t n = test_compress(kinds[i], &f->elf, sizeof(f->elf), f->packed, ROOM);

		memset(gmem_ptr(&f->mem, TEST_LOAD, TEST_TEXT_BYTES), 0, TEST_TEXT_BYTES);
		print_message("# %s\n", kinds[i]);
		must_load(f, f->bytes, test_bzimage(f->bytes, f->packed, n));
		assert_int_equal(f->s.rip, TEST_LOAD + 0x10); /* 64-bit entry, although there is a PVH note */
		assert_int_equal(f->s.efer, 0x500);
		assert_memory_equal(at(f, TEST_LOAD), f->elf.text, TEST_TEXT_BYTES);
		assert_int_equal(*(const uint8_t *)at(f, ZERO_PAGE + 0x206), 0x0f); /* its own setup header */
	}
}

static bool is_system(const void *bytes, size_t len)
{
	auto_close int fd = test_file(bytes, len);

	return boot_is_system(fd);
}

static void test_a_bzimage_and_an_elf_for_the_upper_half_are_an_operating_systems(void **state)
{
	struct fixture *f = *state;
	size_t n = test_compress("gzip", &f->elf, sizeof(f->elf), f->packed, ROOM);

	assert_true(is_system(f->bytes, test_bzimage(f->bytes, f->packed, n)));
	assert_false(is_system(&f->elf, sizeof(f->elf)));
	f->elf.p[0].p_vaddr = 0xffffffff81000000;
	assert_true(is_system(&f->elf, sizeof(f->elf)));
	assert_false(is_system(&f->elf, 100)); /* cut off in its table */
	assert_false(is_system("\0", 1));
	assert_false(boot_is_system(-1));
}

static void test_nokaslr_is_passed_on_as_the_decompressor_would(void **state)
{
	struct fixture *f = *state;

	f->b.protocol = BOOT_LINUX64;
	must_load(f, &f->elf, sizeof(f->elf));
	assert_int_equal(*(const uint8_t *)at(f, ZERO_PAGE + 0x211), 3);
	f->b.cmdline = "quiet nokaslr";
	must_load(f, &f->elf, sizeof(f->elf));
	assert_int_equal(*(const uint8_t *)at(f, ZERO_PAGE + 0x211), 1);
	f->b.cmdline = "xnokaslr nokaslry";
	must_load(f, &f->elf, sizeof(f->elf));
	assert_int_equal(*(const uint8_t *)at(f, ZERO_PAGE + 0x211), 3);
}

static void test_the_initramfs_lies_at_the_end_of_memory(void **state)
{
	struct fixture *f = *state;
	auto_close int fd = test_file("0123456789", 10);
	gpa_t module;

	f->b.initrd_fd = fd;
	must_load(f, &f->elf, sizeof(f->elf));
	module = u64(f, f->s.gpr[X86_RBX] + 16);
	assert_int_equal(u64(f, module), 16 * MIB - 4096);
	assert_int_equal(u64(f, module + 8), 10);
	assert_memory_equal(at(f, 16 * MIB - 4096), "0123456789", 10);
}

static void test_memory_from_4_gib_on_is_in_the_map_and_hotplug_is_not(void **state)
{
	struct fixture *f = *state;
	uint64_t map;

	assert_int_equal(gmem_add_ram(&f->mem, 1ULL << 32, MIB, GMEM_PAGES_SMALL, NULL), 0);
	assert_int_equal(gmem_add_ram(&f->mem, 1ULL << 33, MIB, GMEM_PAGES_SMALL, NULL), 0);
	f->b.hotplug_base = 1ULL << 33;
	must_load(f, &f->elf, sizeof(f->elf));
	map = u64(f, f->s.gpr[X86_RBX] + 40);
	assert_int_equal(u32(f, f->s.gpr[X86_RBX] + 48), 4);
	assert_int_equal(u64(f, map + 3 * 24), 1ULL << 32);
	assert_int_equal(u64(f, map + 3 * 24 + 8), MIB);
}

/* Each spoils the good kernel in one way. */
static void longer_than_file(struct fixture *f)
{
	f->elf.p[0].p_filesz = f->elf.p[0].p_memsz = 1 << 20;
}
static void longer_in_file(struct fixture *f)
{
	f->elf.p[0].p_memsz = 1;
}
static void wraps(struct fixture *f)
{
	f->elf.p[0].p_paddr = UINT64_MAX - 0x1000;
}
static void low(struct fixture *f)
{
	f->elf.p[0].p_paddr = f->elf.p[0].p_vaddr = 0x8000;
	f->elf.h.e_entry = 0x8010;
	f->elf.note.entry = 0x8010;
}
static void high(struct fixture *f)
{
	f->elf.p[0].p_paddr = f->elf.p[0].p_vaddr = 0xfffe000;
	f->elf.h.e_entry = 0xfffe010;
	f->elf.note.entry = 0xfffe010;
}
static void overlapping(struct fixture *f)
{
	f->elf.p[1] = f->elf.p[0];
	f->elf.p[1].p_paddr += 0x1000;
}
static void no_segments(struct fixture *f)
{
	f->elf.p[0].p_type = PT_NULL;
}
static void many_headers(struct fixture *f)
{
	f->elf.h.e_phnum = 100;
}
static void for_arm(struct fixture *f)
{
	f->elf.h.e_machine = EM_AARCH64;
}
static void object(struct fixture *f)
{
	f->elf.h.e_type = ET_REL;
}
static void entry_outside(struct fixture *f)
{
	f->elf.h.e_entry = 4;
}
static void pvh_outside(struct fixture *f)
{
	f->elf.note.entry = 4;
}
static void odd_note(struct fixture *f)
{
	f->elf.note.h.n_descsz = 2;
}
static void short_file(struct fixture *f)
{
	f->len = 40;
}
static void text_file(struct fixture *f)
{
	memset(&f->elf, 'x', sizeof(f->elf));
}
static void empty(struct fixture *f)
{
	f->len = 0;
}
static void long_line(struct fixture *f)
{
	memset(f->bytes, 'x', BOOT_CMDLINE_MAX + 1);
	f->b.cmdline = (char *)f->bytes;
}
static void no_cpus(struct fixture *f)
{
	f->b.cpus = 33;
}

static void test_each_refusal_says_what_where_and_why(void **state)
{
	static const struct {
		void (*spoil)(struct fixture *f);
		int rc;
		const char *text;
	} t[] = {
		{ longer_than_file, ENOEXEC, "kernel 'k': ELF: segment 0: behind the end of the file" },
		{ longer_in_file, ENOEXEC, "kernel 'k': ELF: segment 0: longer in the file than in memory" },
		{ wraps, ENOEXEC, "kernel 'k': ELF: segment 0: wraps around the end of the address space" },
		{ low, ENOEXEC,
		  "kernel 'k': segment 0 (0x8000-0xb000): below 0x100000, which is the loader's" },
		{ high, ENOMEM,
		  "kernel 'k': segment 0 (0xfffe000-0x10001000): outside of guest memory (16 MiB)" },
		{ overlapping, ENOEXEC,
		  "kernel 'k': ELF: segment 1 (0x201000-0x204000) overlaps one at 0x200000" },
		{ no_segments, ENOEXEC, "kernel 'k': ELF: nothing to load" },
		{ many_headers, ENOEXEC, "kernel 'k': ELF: 100 program headers, want 1 to 64" },
		{ for_arm, ENOEXEC, "kernel 'k': ELF: for machine 183, want x86" },
		{ object, ENOEXEC, "kernel 'k': ELF: type 1, want an executable" },
		{ entry_outside, ENOEXEC, "kernel 'k': ELF: entry point 0x4 in no segment" },
		{ pvh_outside, ENOEXEC, "kernel 'k': entry point 0x4 in no segment, or beyond 4 GiB" },
		{ odd_note, ENOEXEC, "kernel 'k': ELF: a PVH entry note of 2 bytes, want 4 or 8" },
		{ short_file, ENOEXEC, "kernel 'k': ELF: no header" },
		{ text_file, ENOEXEC, "kernel 'k': neither an ELF nor a bzImage nor a multiboot kernel" },
		{ empty, ENOEXEC, "kernel 'k': the file is empty" },
		{ long_line, EINVAL, "command line: 2048 bytes, at most 2047" },
		{ no_cpus, EINVAL, "cpus: 33, want 1 to 32" },
	};
	struct fixture *f = *state;
	const struct boot_image good = f->b;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct x86_state before = f->s;
		int r;

		f->b = good;
		f->len = sizeof(f->elf);
		test_elf(&f->elf, TEST_LOAD + 0x20);
		t[i].spoil(f);
		r = load(f, &f->elf, f->len);
		if (r != -t[i].rc || strcmp(f->e.text, t[i].text) != 0)
			fail_msg("case %zu: want %d '%s'\n      got %d '%s'", i, -t[i].rc, t[i].text, r,
				 f->e.text);
		assert_memory_equal(&f->s, &before, sizeof(before));
	}
}

static void test_a_damaged_bzimage_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t n = test_compress("xz", &f->elf, sizeof(f->elf), f->packed, ROOM);
	size_t all = test_bzimage(f->bytes, f->packed, n);
	static const char payload[] = "BZh91AY&SYxxxxxxxxxxxx";

	assert_int_equal(load(f, f->bytes, all - 1), -ENOEXEC);
	f->bytes[0x236] = 0;
	assert_int_equal(load(f, f->bytes, all), -EOPNOTSUPP);
	assert_string_equal(f->e.text, "kernel 'k': bzImage: a 32-bit kernel, want one for x86-64");
	f->bytes[0x236] = 1;
	f->bytes[all - n / 2] ^= 0xff;
	assert_int_equal(load(f, f->bytes, all), -EBADMSG);
	assert_string_equal(f->e.text, "kernel 'k': bzImage: xz: damaged data");
	all = test_bzimage(f->bytes, (const uint8_t *)payload, sizeof(payload));
	assert_int_equal(load(f, f->bytes, all), -EOPNOTSUPP);
	assert_string_equal(f->e.text,
			    "kernel 'k': bzImage: compressed with bzip2, want gzip, xz, zstd, lz4 or lzma");
	n = test_compress("lzma", &f->elf, sizeof(f->elf), f->packed, ROOM);
	memcpy(f->packed + n - 4, "]]]]]]]]", 8); /* as if another one followed */
	assert_int_equal(load(f, f->bytes, test_bzimage(f->bytes, f->packed, n + 4)), -EBADMSG);
	assert_string_equal(f->e.text, "kernel 'k': bzImage: lzma: something else follows its end");
	n = test_compress("zstd", "no kernel", 9, f->packed, ROOM);
	assert_int_equal(load(f, f->bytes, test_bzimage(f->bytes, f->packed, n)), -ENOEXEC);
	assert_string_equal(f->e.text, "kernel 'k': bzImage: no ELF inside");
}

static void test_an_initramfs_that_does_not_fit_is_refused(void **state)
{
	struct fixture *f = *state;
	auto_close int fd = test_file("", 0);

	f->b.initrd_fd = fd;
	f->b.initrd_name = "i";
	assert_int_equal(load(f, &f->elf, sizeof(f->elf)), -ENOEXEC);
	assert_string_equal(f->e.text, "initramfs 'i': the file is empty");
	assert_int_equal(ftruncate(fd, 16 * MIB), 0);
	assert_int_equal(load(f, &f->elf, sizeof(f->elf)), -ENOMEM);
	assert_string_equal(f->e.text,
			    "initramfs 'i': 16777216 bytes do not fit between the kernel's end at 0x203000 "
			    "and 0x1000000");
}

/* --- ACPI -------------------------------------------------------------------------------------------------------- */

/* all_devices() - a machine that has everything the tables can tell */
static void all_devices(struct fixture *f)
{
	static const struct boot_device dev[] = { { 0xc0001000, 4096, 5 }, { 0xc0002000, 4096, 6 } };

	f->b.cpus = 32;
	f->b.dev = dev;
	f->b.n_dev = ARRAY_SIZE(dev);
	f->b.serial = f->b.i8042 = f->b.pvpanic = f->b.vmgenid = f->b.pci = true;
	f->b.vmgenid_gsi = 9;
	memset(f->b.guid, 0xab, sizeof(f->b.guid));
	f->b.reset_port = 0x64;
	f->b.reset_value = 0xfe;
	f->b.sleep_port = 0x600;
	f->b.ecam = (struct boot_window){ 0xeec00000, 256 << 20 };
	f->b.pci_mem32 = (struct boot_window){ 0xd0000000, 0x10000000 };
	f->b.pci_mem64 = (struct boot_window){ 1ULL << 38, 1ULL << 38 };
	must_load(f, &f->elf, sizeof(f->elf));
}

/* table() - the @n-th that the XSDT names; its checksum is right */
static gpa_t table(struct fixture *f, unsigned n)
{
	gpa_t xsdt = u64(f, RSDP + 24), t;

	assert_int_equal(acpi_sum(at(f, RSDP), 20), 0);
	assert_int_equal(acpi_sum(at(f, RSDP), 36), 0);
	assert_int_equal(acpi_sum(at(f, xsdt), u32(f, xsdt + 4)), 0);
	if (36 + n * 8 >= u32(f, xsdt + 4))
		return 0;
	t = u64(f, xsdt + 36 + n * 8);
	assert_int_equal(acpi_sum(at(f, t), u32(f, t + 4)), 0);
	return t;
}

static void test_acpi_is_hardware_reduced_and_names_each_processor(void **state)
{
	struct fixture *f = *state;
	gpa_t t;

	all_devices(f);
	t = table(f, 0);
	assert_memory_equal(at(f, t), "FACP", 4);
	assert_int_equal(u32(f, t + 4), 276);
	assert_int_equal(u32(f, t + 112), 1 << 0 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20);
	assert_int_equal(u64(f, t + 120), 0x64);
	assert_int_equal(*(const uint8_t *)at(f, t + 128), 0xfe);
	t = table(f, 1);
	assert_memory_equal(at(f, t), "APIC", 4);
	assert_int_equal(u32(f, t + 4), 44 + 32 * 8 + 12);
	t = table(f, 2);
	assert_memory_equal(at(f, t), "MCFG", 4);
	assert_int_equal(u64(f, t + 44), 0xeec00000);
	assert_int_equal(table(f, 3), 0);
	assert_int_equal(*(const uint8_t *)at(f, BOOT_VMGENID_GPA + 15), 0xab);
}

static void test_iasl_takes_every_table_without_a_warning(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/hull-acpi.XXXXXX", path[64], cmd[512];
	gpa_t t[4];
	int r;

	if (system("command -v iasl >/dev/null") != 0) {
		print_message("# iasl is not installed\n");
		skip();
	}
	all_devices(f);
	t[0] = table(f, 0);
	t[1] = table(f, 1);
	t[2] = table(f, 2);
	t[3] = u64(f, t[0] + 140);
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_close int fd = -1;

		snprintf(path, sizeof(path), "%s/%.4s.dat", dir, (const char *)at(f, t[i]));
		fd = file_open(AT_FDCWD, path, O_CREAT | O_WRONLY, 0600);
		assert_int_equal(file_write(fd, at(f, t[i]), u32(f, t[i] + 4)), 0);
	}
	/* Disassembled without complaint; the DSDT compiled again gives the same names. */
	snprintf(cmd, sizeof(cmd),
		 "cd %s && iasl -d *.dat >log 2>&1 && ! grep -iE 'error|warning|invalid' log *.dsl && "
		 "iasl DSDT.dsl >log2 2>&1 && grep -q ' 0 Errors, 0 Warnings' log2 && grep -q LNRO0005 "
		 "DSDT.dsl && "
		 "grep -q 'Notify (VGEN, 0x80)' DSDT.dsl || { cat log log2; exit 1; }",
		 dir);
	r = system(cmd);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(r, 0);
}

static void test_smbios_can_be_found_and_summed(void **state)
{
	struct fixture *f = *state;

	must_load(f, &f->elf, sizeof(f->elf));
	assert_memory_equal(at(f, 0xf0000), "_SM3_", 5);
	assert_int_equal(acpi_sum(at(f, 0xf0000), 24), 0);
	assert_int_equal(*(const uint8_t *)at(f, u64(f, 0xf0010)), 0); /* type 0 first */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_an_elf_with_a_pvh_note_is_entered_in_32_bits),
		T(test_any_other_elf_is_entered_in_long_mode_with_a_zero_page),
		T(test_no_pic_reaches_the_first_processor),
		T(test_the_protocol_can_be_told),
		T(test_multiboot_addresses_load_what_is_no_elf),
		T(test_every_compression_of_a_bzimage_gives_the_same_kernel),
		T(test_a_bzimage_and_an_elf_for_the_upper_half_are_an_operating_systems),
		T(test_nokaslr_is_passed_on_as_the_decompressor_would),
		T(test_the_initramfs_lies_at_the_end_of_memory),
		T(test_memory_from_4_gib_on_is_in_the_map_and_hotplug_is_not),
		T(test_each_refusal_says_what_where_and_why),
		T(test_a_damaged_bzimage_is_refused),
		T(test_an_initramfs_that_does_not_fit_is_refused),
		T(test_acpi_is_hardware_reduced_and_names_each_processor),
		T(test_iasl_takes_every_table_without_a_warning),
		T(test_smbios_can_be_found_and_summed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
