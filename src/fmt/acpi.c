/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/acpi.h"

#include <string.h>

#include "base/buf.h"

enum {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_STRING = 0x0d,
	AML_QWORD = 0x0e,
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_METHOD = 0x14,
	AML_EXT = 0x5b,
	AML_EXT_DEVICE = 0x82,
	AML_ARG0 = 0x68,
	AML_NOTIFY = 0x86,
	AML_LEQUAL = 0x93,
	AML_IF = 0xa0,
	PKG_BYTES_MAX = 4, /* of a PkgLength */
	OFF_LENGTH = 4,
	OFF_CHECKSUM = 9,
};

void acpi_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, sizeof(v));
}

void acpi_u16(struct buf *b, uint16_t v)
{
	buf_put(b, &v, sizeof(v));
}

void acpi_u32(struct buf *b, uint32_t v)
{
	buf_put(b, &v, sizeof(v));
}

void acpi_u64(struct buf *b, uint64_t v)
{
	buf_put(b, &v, sizeof(v));
}

void acpi_zero(struct buf *b, size_t n)
{
	void *to = buf_room(b, n);

	if (!to)
		return;
	memset(to, 0, n);
	b->len += n;
}

uint8_t acpi_sum(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint8_t sum = 0;

	while (len-- > 0)
		sum = (uint8_t)(sum + *p++);
	return sum;
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

size_t acpi_table_begin(struct buf *b, const char *signature, uint8_t revision)
{
	size_t mark = b->len;

	buf_put(b, signature, 4);
	acpi_u32(b, 0);
	acpi_u8(b, revision);
	acpi_u8(b, 0);
	buf_put(b, "HULL  ", 6);
	buf_put(b, "HULLMACH", 8);
	acpi_u32(b, 1);
	buf_put(b, "HULL", 4);
	acpi_u32(b, 1);
	return mark;
}

void acpi_table_end(struct buf *b, size_t mark)
{
	uint32_t len = (uint32_t)(b->len - mark);

	if (b->rc < 0)
		return;
	memcpy(b->data + mark + OFF_LENGTH, &len, sizeof(len));
	b->data[mark + OFF_CHECKSUM] = (char)-acpi_sum(b->data + mark, len);
}

void acpi_rsdp(uint8_t dst[ACPI_RSDP_BYTES], uint64_t xsdt)
{
	enum {
		V1_BYTES = 20,
		OFF_V1_SUM = 8,
		OFF_REVISION = 15,
		OFF_LEN = 20,
		OFF_XSDT = 24,
		OFF_V2_SUM = 32
	};
	static const uint8_t signature[] = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' };
	static const uint8_t oem[] = { 'H', 'U', 'L', 'L', ' ', ' ' };
	const uint32_t len = ACPI_RSDP_BYTES;

	memset(dst, 0, ACPI_RSDP_BYTES);
	memcpy(dst, signature, sizeof(signature));
	memcpy(dst + 9, oem, sizeof(oem));
	dst[OFF_REVISION] = 2;
	memcpy(dst + OFF_LEN, &len, sizeof(len));
	memcpy(dst + OFF_XSDT, &xsdt, sizeof(xsdt));
	dst[OFF_V1_SUM] = (uint8_t)-acpi_sum(dst, V1_BYTES);
	dst[OFF_V2_SUM] = (uint8_t)-acpi_sum(dst, ACPI_RSDP_BYTES);
}

/* --- AML --------------------------------------------------------------------------------------------------------- */

/* pkg_length() - 20.2.4: itself included, in as few bytes as do. Return: how many */
static size_t pkg_length(uint8_t dst[PKG_BYTES_MAX], size_t body)
{
	size_t n = body + 1 < 0x40 ? 1 : body + 2 < 0x1000 ? 2 : body + 3 < 0x100000 ? 3 : 4;
	size_t all = body + n;

	if (n == 1) {
		dst[0] = (uint8_t)all;
		return 1;
	}
	dst[0] = (uint8_t)((n - 1) << 6 | (all & 0xf));
	for (size_t i = 1; i < n; i++)
		dst[i] = (uint8_t)(all >> (8 * i - 4));
	return n;
}

/* aml_close() - the mark is where the length goes: what is behind it moves up */
void aml_close(struct buf *b, size_t mark)
{
	uint8_t len[PKG_BYTES_MAX];
	size_t body = b->len - mark, n = pkg_length(len, body);

	if (!buf_room(b, n))
		return;
	memmove(b->data + mark + n, b->data + mark, body);
	memcpy(b->data + mark, len, n);
	b->len += n;
}

static size_t open_named(struct buf *b, const char *name)
{
	size_t mark = b->len;

	buf_put(b, name, strlen(name));
	return mark;
}

size_t aml_scope(struct buf *b, const char *name)
{
	size_t mark;

	acpi_u8(b, AML_SCOPE);
	mark = b->len;
	buf_putc(b, '\\');
	buf_put(b, name, 4);
	return mark;
}

size_t aml_device(struct buf *b, const char *name)
{
	acpi_u8(b, AML_EXT);
	acpi_u8(b, AML_EXT_DEVICE);
	return open_named(b, name);
}

size_t aml_method(struct buf *b, const char *name, unsigned args)
{
	size_t mark;

	acpi_u8(b, AML_METHOD);
	mark = open_named(b, name);
	acpi_u8(b, (uint8_t)args);
	return mark;
}

size_t aml_if_arg0_is(struct buf *b, uint64_t v)
{
	size_t mark;

	acpi_u8(b, AML_IF);
	mark = b->len;
	acpi_u8(b, AML_LEQUAL);
	acpi_u8(b, AML_ARG0);
	aml_int(b, v);
	return mark;
}

void aml_notify(struct buf *b, const char *name, uint8_t v)
{
	acpi_u8(b, AML_NOTIFY);
	buf_puts(b, name);
	aml_int(b, v);
}

void aml_int(struct buf *b, uint64_t v)
{
	if (v <= 1) {
		acpi_u8(b, v ? AML_ONE : AML_ZERO);
	} else if (v <= UINT8_MAX) {
		acpi_u8(b, AML_BYTE);
		acpi_u8(b, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		acpi_u8(b, AML_WORD);
		acpi_u16(b, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		acpi_u8(b, AML_DWORD);
		acpi_u32(b, (uint32_t)v);
	} else {
		acpi_u8(b, AML_QWORD);
		acpi_u64(b, v);
	}
}

static void aml_str(struct buf *b, const char *s)
{
	acpi_u8(b, AML_STRING);
	buf_put(b, s, strlen(s) + 1);
}

void aml_name(struct buf *b, const char *name)
{
	acpi_u8(b, AML_NAME);
	buf_put(b, name, 4);
}

void aml_name_int(struct buf *b, const char *name, uint64_t v)
{
	aml_name(b, name);
	aml_int(b, v);
}

void aml_name_str(struct buf *b, const char *name, const char *s)
{
	aml_name(b, name);
	aml_str(b, s);
}

static uint32_t hex_digit(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* aml_name_pnp() - three letters in 5 bits each, four digits; big-endian in a DWord. Spec: 19.3.4 */
void aml_name_pnp(struct buf *b, const char *name, const char *id)
{
	uint32_t v = 0;

	for (int i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t)(id[i] - 'A' + 1) & 0x1f);
	for (int i = 3; i < 7; i++)
		v = v << 4 | hex_digit(id[i]);
	aml_name(b, name);
	acpi_u8(b, AML_DWORD);
	acpi_u32(b, __builtin_bswap32(v));
}

static size_t package(struct buf *b, uint8_t n)
{
	size_t mark;

	acpi_u8(b, AML_PACKAGE);
	mark = b->len;
	acpi_u8(b, n);
	return mark;
}

void aml_name_ints(struct buf *b, const char *name, const uint64_t *v, uint8_t n)
{
	size_t mark;

	aml_name(b, name);
	mark = package(b, n);
	for (uint8_t i = 0; i < n; i++)
		aml_int(b, v[i]);
	aml_close(b, mark);
}

void aml_name_strs(struct buf *b, const char *name, const char *const *s, uint8_t n)
{
	size_t mark;

	aml_name(b, name);
	mark = package(b, n);
	for (uint8_t i = 0; i < n; i++)
		aml_str(b, s[i]);
	aml_close(b, mark);
}

/* --- resources ---------------------------------------------------------------------------------------------------- */

enum {
	RES_IO = 0x47,
	RES_IO_DECODE16 = 1,
	RES_END = 0x79,
	RES_MEMORY32_FIXED = 0x86,
	RES_DWORD = 0x87,
	RES_WORD = 0x88,
	RES_IRQ = 0x89,
	RES_QWORD = 0x8a,
	TYPE_MEMORY = 0,
	TYPE_BUS = 2,
	FLAG_PRODUCER_FIXED = 0x0c, /* both ends fixed, positive decode */
	MEMORY_RW = 1,
	IRQ_CONSUMER_EDGE_HIGH = 3,
};

/*
 * aml_crs() - a Buffer's length is an integer in front of its bytes: always a Word here, so that its place is known
 * The mark is the PkgLength's place; behind it lie 3 bytes of length, then the resources.
 */
size_t aml_crs(struct buf *b)
{
	size_t mark;

	aml_name(b, "_CRS");
	acpi_u8(b, AML_BUFFER);
	mark = b->len;
	acpi_u8(b, AML_WORD);
	acpi_u16(b, 0);
	return mark;
}

void aml_crs_end(struct buf *b, size_t mark)
{
	uint16_t len;

	acpi_u8(b, RES_END);
	acpi_u8(b, 0); /* checksum 0: there is none */
	if (b->rc < 0)
		return;
	len = (uint16_t)(b->len - mark - 3);
	memcpy(b->data + mark + 1, &len, sizeof(len));
	aml_close(b, mark);
}

void aml_memory(struct buf *b, uint32_t base, uint32_t bytes)
{
	acpi_u8(b, RES_MEMORY32_FIXED);
	acpi_u16(b, 9);
	acpi_u8(b, MEMORY_RW);
	acpi_u32(b, base);
	acpi_u32(b, bytes);
}

void aml_io(struct buf *b, uint16_t port, uint8_t n)
{
	acpi_u8(b, RES_IO);
	acpi_u8(b, RES_IO_DECODE16);
	acpi_u16(b, port);
	acpi_u16(b, port);
	acpi_u8(b, 1);
	acpi_u8(b, n);
}

void aml_irq(struct buf *b, uint32_t gsi)
{
	acpi_u8(b, RES_IRQ);
	acpi_u16(b, 6);
	acpi_u8(b, IRQ_CONSUMER_EDGE_HIGH);
	acpi_u8(b, 1);
	acpi_u32(b, gsi);
}

void aml_bus_range(struct buf *b, uint16_t first, uint16_t last)
{
	acpi_u8(b, RES_WORD);
	acpi_u16(b, 13);
	acpi_u8(b, TYPE_BUS);
	acpi_u8(b, FLAG_PRODUCER_FIXED);
	acpi_u8(b, 0);
	acpi_u16(b, 0);
	acpi_u16(b, first);
	acpi_u16(b, last);
	acpi_u16(b, 0);
	acpi_u16(b, (uint16_t)(last - first + 1));
}

void aml_window(struct buf *b, uint64_t base, uint64_t bytes)
{
	uint64_t last = base + bytes - 1;
	bool wide = last > UINT32_MAX;
	const uint64_t field[] = { 0, base, last, 0, bytes };

	acpi_u8(b, wide ? RES_QWORD : RES_DWORD);
	acpi_u16(b, wide ? 43 : 23);
	acpi_u8(b, TYPE_MEMORY);
	acpi_u8(b, FLAG_PRODUCER_FIXED);
	acpi_u8(b, MEMORY_RW);
	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++) {
		if (wide)
			acpi_u64(b, field[i]);
		else
			acpi_u32(b, (uint32_t)field[i]);
	}
}
