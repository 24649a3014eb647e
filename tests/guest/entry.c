/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c - what the loader told: protocol, command line, memory map, initramfs, ACPI */
#include "guest.h"

static void print_acpi(void)
{
	const uint8_t *p = (const uint8_t *)boot.rsdp;
	uint8_t sum = 0;

	if (boot.entry == ENTRY_MULTIBOOT) /* its version 1 does not tell: look where a BIOS would have it */
		p = (const uint8_t *)0xe0000;
	for (int i = 0; i < 36; i++)
		sum = (uint8_t)(sum + p[i]);
	print("acpi %s, sum %u\n", memcmp(p, "RSD PTR ", 8) == 0 ? "found" : "missing", sum);
}

int guest_main(void)
{
	static const char *const name[] = { "pvh", "linux64", "multiboot" };
	uint64_t sum = 0;

	print("entry %s\n", name[boot.entry]);
	print("cmdline '%s'\n", boot.cmdline);
	for (unsigned i = 0; i < boot.n_map; i++)
		print("map 0x%lx 0x%lx %u\n", boot.map[i].addr, boot.map[i].size, boot.map[i].type);
	for (uint64_t i = 0; i < boot.initrd_bytes; i++)
		sum += ((const uint8_t *)boot.initrd)[i];
	print("initrd %lu bytes, sum %lu\n", boot.initrd_bytes, sum);
	print_acpi();
	return 0;
}
