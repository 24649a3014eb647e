/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - a kernel file, an initramfs and a command line become memory and a first processor that is about to run
 *
 * Theory of operation. What kind of kernel a file is, is told by its content:
 *
 *	ELF with a PVH note                32-bit protected mode, %ebx: hvm_start_info
 *	ELF with a multiboot 1 header      32-bit protected mode, %ebx: multiboot information
 *	any other ELF for x86-64           long mode, %rsi: Linux's zero page
 *	bzImage                            decompressed here; its ELF inside is entered in long mode
 *	other bytes, multiboot header      loaded where the header's address fields say
 *
 * The first MiB of guest memory is the loader's; no kernel may have a segment there:
 *
 *	0x00500  GDT             0x08000  a small stack      0x20000  command line
 *	0x01000  PVH tables      0x09000  page tables        0x9fc00  end of low memory
 *	0x02000  multiboot       0x0f000  setup_data         0xe0000  ACPI (0xef000: VMGenID's 16 bytes)
 *	0x07000  zero page                                   0xf0000  SMBIOS
 *
 * From 0x9fc00 to 1 MiB the memory map says "reserved". The initramfs lies as high as it can below 3 GiB.
 *
 * ACPI is hardware-reduced: no PM timer, no PIC, no PIT. A guest gets its time from the TSC (CPUID leaf 0x15 or kvmclock).
 */
#ifndef VM_BOOT_H
#define VM_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/x86_state.h"
#include "mem/gmem.h"

struct err;

enum {
	BOOT_CMDLINE_MAX = 2047,         /* bytes, without the NUL: Linux's own COMMAND_LINE_SIZE */
	BOOT_KERNEL_BYTES_MAX = 1 << 30, /* of a kernel file, and of what it decompresses to */
	BOOT_DEVICES_MAX = 64,
	BOOT_CPUS_MAX = 32,
	BOOT_VMGENID_GPA = 0xef000,
};

enum boot_protocol { BOOT_AUTO, BOOT_PVH, BOOT_LINUX64, BOOT_MULTIBOOT, BOOT_PROTOCOL_COUNT };

struct boot_device { /* a virtio-mmio window, for the DSDT */
	uint64_t addr;
	unsigned size, gsi;
};

struct boot_window { /* size 0: none */
	uint64_t base, size;
};

/*
 * boot_is_system() - is the kernel file an operating system's: a bzImage, or an ELF file with a segment for the upper half of the
 * address space? Such a kernel does much in ring 0. No: also a file that cannot be read.
 */
bool boot_is_system(int kernel_fd);

struct boot_image {
	const struct gmem *mem;      /* borrowed, as all pointers here */
	const char *kernel_name;     /* for messages; NULL: "kernel" */
	const char *initrd_name;     /* likewise; NULL: "initramfs" */
	int kernel_fd;               /* a regular file; read from its start, whatever its offset is */
	int initrd_fd;               /* -1: none */
	const char *cmdline;         /* NULL: boot_cmdline_default() */
	enum boot_protocol protocol; /* BOOT_AUTO: as the file's content says */
	unsigned cpus;               /* 1 to BOOT_CPUS_MAX; APIC ids are 0 to cpus - 1 */
	const struct boot_device *dev;
	unsigned n_dev;
	bool serial;  /* COM1: 0x3f8, GSI 4 */
	bool i8042;   /* 0x60, 0x64, GSI 1 */
	bool pvpanic; /* port 0x505 */
	bool vmgenid; /* the GUID at BOOT_VMGENID_GPA is @guid; its changes are told by @vmgenid_gsi */
	unsigned vmgenid_gsi; /* edge */
	uint8_t guid[16];     /* what VMGenID shows first */
	uint16_t reset_port;  /* ACPI reset register; 0: none */
	uint8_t reset_value;  /* what written there resets (i8042: port 0x64, value 0xfe) */
	uint16_t sleep_port;  /* ACPI sleep control register, status at + 1; 0: none. Power off: write 0x34 */
	uint64_t
		hotplug_base; /* memory regions from here on are not in the map (virtio-mem, pmem); 0: none */
	bool pci;             /* the three windows below */
	struct boot_window ecam, pci_mem32, pci_mem64;
};

/**
 * boot_load() - put the kernel, its tables and its initramfs into guest memory
 * @bsp: in: the first processor after reset, as engine_cpu_get() gives it, or all zero; out: to be started. What a boot protocol
 *       says nothing about (floating point) stays as it was; LINT0 is masked, two MSRs are set or added.
 * Return: 0; -ENOEXEC no kernel that can be booted; -EOPNOTSUPP a compression or protocol unknown here; -EFBIG; -ENOMEM guest
 *         memory too small; -EINVAL; what pread(2) says; all with @e naming file, place and reason
 */
int boot_load(const struct boot_image *img, struct x86_state *bsp, struct err *e);

/* boot_cmdline_default() - what a kernel is told when nobody says anything: "" without a serial port. */
const char *boot_cmdline_default(bool serial);

/* --- CPUID (cpuid.c) ------------------------------------------------------------------------------------------- */

/**
 * cpuid_table() - what one processor's CPUID shows
 * @table, @n: in: what the engine offers (engine_cpuid_host()); out: what the guest sees. Room for ENGINE_CPUID_MAX entries.
 * @model: NULL or "host": all the engine has that a guest may see; else x86-64-v2, -v3, -v4, T2, T2S, T2CL, T2A or C3
 * @cpu:   0 to @cpus - 1: also its APIC id
 * @threads: of each core: 1, or 2 (@cpus is 1 or even)
 * Return: 0; -ENOENT no such model, and @e lists those there are; -EOPNOTSUPP the host lacks what @model promises, and @e
 *         names it; -ENOSPC
 */
int cpuid_table(struct x86_cpuid *table, unsigned *n, const char *model, unsigned cpu, unsigned cpus,
		unsigned threads, struct err *e);

/* cpuid_model_msrs() - what @model says of MSRs, in a processor's state before its first instruction */
void cpuid_model_msrs(const char *model, struct x86_state *s);
bool cpuid_model_has_msrs(const char *model);

#endif
