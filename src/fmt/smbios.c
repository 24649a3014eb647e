/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/smbios.h"

#include <string.h>

#include "base/buf.h"

void smbios_entry(uint8_t dst[SMBIOS_ENTRY_BYTES], uint64_t addr, uint32_t len)
{
	static const uint8_t anchor[] = { '_', 'S', 'M', '3', '_' };
	uint8_t sum = 0;

	memset(dst, 0, SMBIOS_ENTRY_BYTES);
	memcpy(dst, anchor, sizeof(anchor));
	dst[6] = SMBIOS_ENTRY_BYTES;
	dst[7] = 3;  /* 3.0 */
	dst[10] = 1; /* entry point revision */
	memcpy(dst + 12, &len, sizeof(len));
	memcpy(dst + 16, &addr, sizeof(addr));
	for (int i = 0; i < SMBIOS_ENTRY_BYTES; i++)
		sum = (uint8_t)(sum + dst[i]);
	dst[5] = (uint8_t)-sum;
}

/* strings() - behind a structure: each with its NUL, and one more at the end; two when there are none */
static void strings(struct buf *b, const char *first, const char *second, const char *third)
{
	const char *const s[] = { first, second, third };

	for (int i = 0; i < 3; i++)
		if (s[i])
			buf_put(b, s[i], strlen(s[i]) + 1);
	if (!first)
		buf_putc(b, '\0');
	buf_putc(b, '\0');
}

void smbios_tables(struct buf *b, const char *version, const uint8_t uuid[16])
{
	uint8_t firmware[24] = { 0, sizeof(firmware), 0, 0 };
	uint8_t system[27] = { 1, sizeof(system), 1, 0 };
	const uint8_t end[4] = { 127, sizeof(end), 2, 0 };

	firmware[4] = 1;       /* vendor */
	firmware[5] = 2;       /* version */
	firmware[8] = 3;       /* release date */
	firmware[10] = 1 << 3; /* characteristics: not supported */
	firmware[19] = 1 << 4; /* extension byte 2: a virtual machine */
	buf_put(b, firmware, sizeof(firmware));
	strings(b, "hull", version, "01/01/2026");
	system[4] = 1; /* manufacturer */
	system[5] = 2; /* product */
	system[6] = 3; /* version */
	if (uuid)
		memcpy(system + 8, uuid, 16);
	system[24] = 6; /* woken by the power switch */
	buf_put(b, system, sizeof(system));
	strings(b, "hull", "hull machine", version);
	buf_put(b, end, sizeof(end));
	strings(b, NULL, NULL, NULL);
}
