/* SPDX-License-Identifier: Apache-2.0 */
/* reset.c - each way a guest can end: "how=i8042|acpi|off|triple|halt|panic|exception" */
#include "cpu.h"

static bool is(const char *how, const char *name)
{
	return memcmp(how, name, strlen(name)) == 0;
}

static uint64_t at64(uint64_t addr)
{
	uint64_t v;

	__builtin_memcpy(&v, (const void *)addr, sizeof(v));
	return v;
}

/* fadt() - by RSDP and XSDT, as an operating system would */
static uint64_t fadt(void)
{
	uint64_t xsdt = at64((boot.rsdp ? boot.rsdp : 0xe0000) + 24);
	uint32_t len = read32(xsdt + 4);

	for (uint64_t at = xsdt + 36; at < xsdt + len; at += 8)
		if (memcmp((const void *)at64(at), "FACP", 4) == 0)
			return at64(at);
	panic("no FADT");
}

int guest_main(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };
	const char *how = cmdline_has("how");

	if (!how)
		panic("how=...");
	if (is(how, "exception"))
		*(volatile int *)0xffff800000000000 = 1;
	print("ending\n");
	if (is(how, "i8042")) {
		outb(0x64, 0xfe);
	} else if (is(how, "acpi")) {
		uint64_t t = fadt();

		outb((uint16_t)at64(t + 120), *(const uint8_t *)(t + 128));
	} else if (is(how, "off")) {
		outb((uint16_t)at64(fadt() + 248), 5 << 2 | 1 << 5);
	} else if (is(how, "panic")) {
		outb(0x505, 1);
	} else if (is(how, "triple")) {
		__asm__ volatile("lidt %0; ud2" ::"m"(none));
	} else if (is(how, "halt")) {
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	panic("still here");
}
