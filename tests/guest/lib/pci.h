/* SPDX-License-Identifier: Apache-2.0 */
/* pci.h - configuration space of bus 0, by the memory window or (command line: "ports") by ports */
#ifndef PCI_H
#define PCI_H

#include "guest.h"

enum { PCI_DEVICES = 32 };

bool pci_there(void);
uint32_t pci_read(unsigned device, unsigned reg); /* the word that holds @reg */
void pci_write(unsigned device, unsigned reg, uint32_t v);
/* pci_bar() - where the device's memory BAR is, mapped; @move: put it below 4 GiB first */
uint64_t pci_bar(unsigned device, bool move);

/* memory_map() - make [addr, addr + bytes) above 4 GiB reachable, @device memory uncached */
void memory_map(uint64_t addr, uint64_t bytes, bool device);

#endif
