/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.h - ACPI tables as bytes: their frame, and the little of AML that describes a machine's fixed devices
 *
 * Sticky, as the buf is that everything goes to: nothing here fails, buf_finish() tells. What is opened is closed in reverse
 * order, with the mark that opening gave.
 *
 * Spec: ACPI 6.5: 5.2 (tables), 6.4 (resources), 20.2 (AML)
 */
#ifndef FMT_ACPI_H
#define FMT_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum { ACPI_HEADER_BYTES = 36, ACPI_RSDP_BYTES = 36 };

/* --- tables --- */
size_t acpi_table_begin(struct buf *b, const char *signature, uint8_t revision);
void acpi_table_end(struct buf *b, size_t mark); /* length and checksum */
void acpi_u8(struct buf *b, uint8_t v);
void acpi_u16(struct buf *b, uint16_t v);
void acpi_u32(struct buf *b, uint32_t v);
void acpi_u64(struct buf *b, uint64_t v);
void acpi_zero(struct buf *b, size_t n);
void acpi_rsdp(uint8_t dst[ACPI_RSDP_BYTES], uint64_t xsdt);
uint8_t acpi_sum(const void *bytes, size_t len); /* 0 when a checksum in there is right */

/* --- AML: what opens returns a mark for aml_close() --- */
size_t aml_scope(struct buf *b, const char *name);  /* Scope(\NAME), 4 letters */
size_t aml_device(struct buf *b, const char *name); /* Device(NAME) */
size_t aml_method(struct buf *b, const char *name, unsigned args);
size_t aml_if_arg0_is(struct buf *b, uint64_t v); /* If (LEqual(Arg0, v)) */
void aml_close(struct buf *b, size_t mark);
void aml_notify(struct buf *b, const char *name, uint8_t v);

void aml_int(struct buf *b, uint64_t v);
void aml_name(struct buf *b, const char *name); /* Name(NAME, what follows) */
void aml_name_int(struct buf *b, const char *name, uint64_t v);
void aml_name_str(struct buf *b, const char *name, const char *s);
void aml_name_pnp(struct buf *b, const char *name, const char *id);                /* "PNP0501" as EISA id */
void aml_name_ints(struct buf *b, const char *name, const uint64_t *v, uint8_t n); /* Package of integers */
void aml_name_strs(struct buf *b, const char *name, const char *const *s, uint8_t n);

/* --- resources: Name(_CRS, ResourceTemplate()) --- */
size_t aml_crs(struct buf *b);
void aml_crs_end(struct buf *b, size_t mark);
void aml_memory(struct buf *b, uint32_t base, uint32_t bytes);
void aml_io(struct buf *b, uint16_t port, uint8_t n);
void aml_irq(struct buf *b, uint32_t gsi); /* edge, active high, exclusive */
void aml_bus_range(struct buf *b, uint16_t first, uint16_t last);
void aml_window(struct buf *b, uint64_t base, uint64_t bytes); /* of a bridge: memory it passes on */

#endif
