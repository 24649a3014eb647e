/* SPDX-License-Identifier: Apache-2.0 */
/* vmgenid.c - the machine's generation: found in the tables, and told by an interrupt when it has become another */
#include "cpu.h"

enum { VECTOR = 0x60, GSI = 3, BYTES = 16, TABLE_LEN_AT = 4, XSDT_AT = 24, DSDT_AT = 140, HEADER = 36 };

static volatile unsigned told;

static void on_change(struct trap_frame *f)
{
	(void)f;
	told++;
}

static uint64_t u64_at(uint64_t p)
{
	return read32(p) | (uint64_t)read32(p + 4) << 32;
}

/* dsdt() - by RSDP, XSDT and FADT */
static uint64_t dsdt(void)
{
	uint64_t xsdt = u64_at(boot.rsdp + XSDT_AT);

	for (uint64_t at = xsdt + HEADER; at < xsdt + read32(xsdt + TABLE_LEN_AT); at += 8)
		if (memcmp((const void *)u64_at(at), "FACP", 4) == 0)
			return u64_at(u64_at(at) + DSDT_AT);
	panic("no FADT");
}

/* generation() - where it is: the first element of the package named ADDR, an integer of 4 bytes */
static uint64_t generation(void)
{
	const uint8_t *p = (const uint8_t *)dsdt(), *end = p + read32((uint64_t)p + TABLE_LEN_AT);

	for (p += HEADER; p < end - 12; p++)
		if (memcmp(p, "ADDR", 4) == 0 && p[4] == 0x12 && p[7] == 0x0c)
			return read32((uint64_t)p + 8);
	panic("no generation in the DSDT");
}

static void show(const char *what, const uint8_t *g)
{
	print("%s %016lx%016lx\n", what, u64_at((uint64_t)g), u64_at((uint64_t)g + 8));
}

int guest_main(void)
{
	const uint8_t *now = (const uint8_t *)generation();
	uint8_t was[BYTES];

	lapic_on();
	trap_on(VECTOR, on_change);
	ioapic_route(GSI, VECTOR, 0, false);
	memcpy(was, now, BYTES);
	show("generation", was);
	while (!told)
		wait_irq();
	show("told, now", now);
	print("%s\n", memcmp(was, now, BYTES) ? "another" : "the same");
	return 0;
}
