/* SPDX-License-Identifier: Apache-2.0 */
/* smbios.h - who made this machine: SMBIOS 3 with the fewest structures that guests look for. Spec: DMTF DSP0134 3.6 */
#ifndef FMT_SMBIOS_H
#define FMT_SMBIOS_H

#include <stddef.h>
#include <stdint.h>

struct buf;

enum { SMBIOS_ENTRY_BYTES = 24 };

/* smbios_entry() - the entry point, for tables of @len bytes at @addr */
void smbios_entry(uint8_t dst[SMBIOS_ENTRY_BYTES], uint64_t addr, uint32_t len);

/* smbios_tables() - firmware (says: virtual), system, end; @uuid: NULL for none. Sticky in @b. */
void smbios_tables(struct buf *b, const char *version, const uint8_t uuid[16]);

#endif
