/* SPDX-License-Identifier: Apache-2.0 */
#include "pci.h"

enum {
	ADDRESS_PORT = 0xcf8,
	DATA_PORT = 0xcfc,
	COMMAND = 4,
	COMMAND_MEMORY = 2,
	COMMAND_MASTER = 4,
	BAR0 = 0x10,
	BAR1 = 0x14,
	BAR_BYTES = 0x8000,
	TABLES = 8, /* each maps 1 GiB */
	PTE_PRESENT_USER_WRITE = 7,
	PTE_UNCACHED = 0x10,
	PTE_LARGE = 0x80,
};

#define ECAM     0xeec00000ULL
#define NEW_BARS 0xd0000000ULL

extern uint64_t pml4[512];

static bool by_ports(void)
{
	static int known = -1;

	if (known < 0)
		known = cmdline_has("ports") != NULL;
	return known;
}

uint32_t pci_read(unsigned device, unsigned reg)
{
	if (!by_ports())
		return read32(ECAM + device * 0x8000ULL + (reg & ~3U));
	outl(ADDRESS_PORT, 1U << 31 | device << 11 | (reg & ~3U));
	return inl(DATA_PORT);
}

void pci_write(unsigned device, unsigned reg, uint32_t v)
{
	if (!by_ports()) {
		write32(ECAM + device * 0x8000ULL + (reg & ~3U), v);
		return;
	}
	outl(ADDRESS_PORT, 1U << 31 | device << 11 | (reg & ~3U));
	outl(DATA_PORT, v);
}

bool pci_there(void)
{
	return pci_read(0, 0) != 0xffffffff && pci_read(0, 8) >> 16 == 0x0600; /* a host bridge */
}

uint64_t pci_bar(unsigned device, bool move)
{
	uint64_t at = NEW_BARS + device * (uint64_t)BAR_BYTES;

	if (move) {
		pci_write(device, COMMAND, 0);
		pci_write(device, BAR0, (uint32_t)at);
		pci_write(device, BAR1, (uint32_t)(at >> 32));
	}
	pci_write(device, COMMAND, COMMAND_MEMORY | COMMAND_MASTER);
	at = (pci_read(device, BAR0) & ~15U) | (uint64_t)pci_read(device, BAR1) << 32;
	memory_map(at, BAR_BYTES, true);
	return at;
}

/* page_table() - the one that @entry points to, made if there is none */
static uint64_t *page_table(uint64_t *entry)
{
	static uint64_t table[TABLES][512] __attribute__((aligned(4096)));
	static unsigned n;

	if (!*entry) {
		if (n == TABLES)
			panic("memory: out of page tables");
		*entry = (uint64_t)table[n++] | PTE_PRESENT_USER_WRITE;
	}
	return (uint64_t *)(*entry & ~0xfffULL);
}

void memory_map(uint64_t addr, uint64_t bytes, bool device)
{
	uint64_t end = addr + bytes;

	for (addr &= ~0x1fffffULL; addr < end; addr += 0x200000) {
		uint64_t *pdpt = page_table(&pml4[addr >> 39 & 511]);
		uint64_t *entry = &page_table(&pdpt[addr >> 30 & 511])[addr >> 21 & 511];

		if (!*entry)
			*entry = addr | PTE_PRESENT_USER_WRITE | PTE_LARGE | (device ? PTE_UNCACHED : 0);
	}
}
