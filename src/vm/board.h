/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board.h - where everything of a machine lies; said here once
 *
 *	0x0000_0000  RAM, up to 3 GiB                 0xfec0_0000  IOAPIC (24 lines)
 *	0xc000_0000  boot timer, one page             0xfee0_0000  local APICs
 *	0xc000_1000  virtio-mmio, 4 KiB a device      0xfffb_c000  four pages that KVM keeps for itself
 *	0xc100_0000  PCI BARs below 4 GiB           0x1_0000_0000  the rest of RAM, then memory that is plugged in
 *	0xeec0_0000  PCI configuration (ECAM)      0x40_0000_0000  PCI BARs above 4 GiB, or behind RAM
 *
 *	port 0x060, 0x064  i8042 (line 1)             port 0x3f8  COM1 (line 4)
 *	port 0x070, 0x071  CMOS clock                 port 0x505  pvpanic
 *	port 0x0f4         debug exit                 port 0x600  ACPI sleep control and status
 *	port 0xcf8         PCI configuration          port 0x602  ACPI reset
 *
 * Lines 5 to 23 belong to virtio-mmio devices, in the order they are plugged in; from the twentieth on they share.
 */
#ifndef VM_BOARD_H
#define VM_BOARD_H

#include <stdint.h>

#define BOARD_LOW_RAM_END 0xc0000000ULL
#define BOARD_HIGH_RAM    0x100000000ULL

#define BOARD_BOOT_TIMER  0xc0000000ULL
#define BOARD_VIRTIO_MMIO 0xc0001000ULL
#define BOARD_PCI_MEM32   0xc1000000ULL
#define BOARD_PCI_ECAM    0xeec00000ULL
#define BOARD_PCI_MEM64   0x4000000000ULL

enum {
	BOARD_PAGE = 4096,
	BOARD_VIRTIO_MMIO_BYTES = 4096,
	BOARD_DEVICES_MAX = 64, /* virtio devices of one machine */
	BOARD_PCI_ECAM_BYTES = 1 << 20,
	BOARD_PCI_MEM64_BYTES = 1 << 30,
	BOARD_PCI_MEM32_BYTES = BOARD_PCI_ECAM - BOARD_PCI_MEM32,

	BOARD_GSI_I8042 = 1,
	BOARD_GSI_VMGENID = 3,
	BOARD_GSI_SERIAL = 4,
	BOARD_GSI_VIRTIO = 5,
	BOARD_GSI_END = 24,

	BOARD_PORT_I8042_DATA = 0x60,
	BOARD_PORT_I8042_COMMAND = 0x64,
	BOARD_PORT_CMOS = 0x70,
	BOARD_PORT_DEBUG_EXIT = 0xf4,
	BOARD_PORT_SERIAL = 0x3f8,
	BOARD_PORT_PVPANIC = 0x505,
	BOARD_PORT_SLEEP = 0x600, /* control; status behind it */
	BOARD_PORT_RESET = 0x602,
	BOARD_RESET_VALUE = 1,
};

/* board_virtio_addr(), board_virtio_gsi() - of the @i-th virtio-mmio device. */
static inline uint64_t board_virtio_addr(unsigned i)
{
	return BOARD_VIRTIO_MMIO + (uint64_t)i * BOARD_VIRTIO_MMIO_BYTES;
}

static inline unsigned board_virtio_gsi(unsigned i)
{
	return BOARD_GSI_VIRTIO + i % (BOARD_GSI_END - BOARD_GSI_VIRTIO);
}

#endif
