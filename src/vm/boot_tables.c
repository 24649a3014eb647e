/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_tables.c - ACPI and SMBIOS: what the machine tells a kernel about itself
 *
 * Hardware-reduced ACPI: no PM registers, no SCI, no PIC and no PIT. Linux then takes interrupts of fixed devices from the
 * DSDT alone, so even COM1 is described there. The MADT is not optional: without it Linux uses no I/O APIC and no local timer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/acpi.h"
#include "fmt/smbios.h"
#include "vm/boot_internal.h"

enum {
	LAPIC_ADDR = 0xfee00000,
	IOAPIC_ADDR = 0xfec00000,
	COM1_PORT = 0x3f8,
	COM1_PORTS = 8,
	COM1_GSI = 4,
	I8042_GSI = 1,
	PVPANIC_PORT = 0x505,
	GUID_BYTES = 16,
	VMGENID_CHANGED = 0x80,
	SLEEP_TYPE_S5 = 5,
	/* FADT */
	FADT_WBINVD = 1 << 0,
	FADT_NO_POWER_BUTTON = 1 << 4,
	FADT_NO_SLEEP_BUTTON = 1 << 5,
	FADT_RESET_REG = 1 << 10,
	FADT_HW_REDUCED = 1 << 20,
	ARCH_8042 = 1 << 1,
	ARCH_NO_VGA = 1 << 2,
};

/* --- DSDT -------------------------------------------------------------------------------------------------------- */

static void dsdt_virtio(struct buf *t, const struct boot_image *img)
{
	for (unsigned i = 0; i < img->n_dev; i++) {
		char name[8];
		size_t dev, crs;

		str_format(name, sizeof(name), "V%03u", i);
		dev = aml_device(t, name);
		aml_name_str(t, "_HID", "LNRO0005");
		aml_name_int(t, "_UID", i);
		aml_name_int(t, "_CCA", 1);
		crs = aml_crs(t);
		aml_memory(t, (uint32_t)img->dev[i].addr, img->dev[i].size);
		aml_irq(t, img->dev[i].gsi);
		aml_crs_end(t, crs);
		aml_close(t, dev);
	}
}

static void dsdt_legacy(struct buf *t, const struct boot_image *img)
{
	size_t dev, crs;

	if (img->serial) {
		dev = aml_device(t, "COM1");
		aml_name_pnp(t, "_HID", "PNP0501");
		aml_name_int(t, "_UID", 0);
		crs = aml_crs(t);
		aml_io(t, COM1_PORT, COM1_PORTS);
		aml_irq(t, COM1_GSI);
		aml_crs_end(t, crs);
		aml_close(t, dev);
	}
	if (img->i8042) {
		dev = aml_device(t, "KBD_");
		aml_name_pnp(t, "_HID", "PNP0303");
		crs = aml_crs(t);
		aml_io(t, 0x60, 1);
		aml_io(t, 0x64, 1);
		aml_irq(t, I8042_GSI);
		aml_crs_end(t, crs);
		aml_close(t, dev);
	}
	if (img->pvpanic) {
		dev = aml_device(t, "PEVT");
		aml_name_str(t, "_HID", "QEMU0001"); /* the name its drivers know */
		crs = aml_crs(t);
		aml_io(t, PVPANIC_PORT, 1);
		aml_crs_end(t, crs);
		aml_close(t, dev);
	}
}

/* dsdt_vmgenid() - the generation's identifier, and the event device whose interrupt says that it changed */
static void dsdt_vmgenid(struct buf *t, const struct boot_image *img)
{
	static const char *const ids[] = { "VM_Gen_Counter", "VMGENCTR" };
	const uint64_t addr[] = { BOOT_VMGENID_GPA, 0 };
	size_t dev, crs, method, cond;

	dev = aml_device(t, "VGEN");
	aml_name_str(t, "_HID", "HULL0001");
	aml_name_strs(t, "_CID", ids, 2);
	aml_name_str(t, "_DDN", "VM_Gen_Counter");
	aml_name_ints(t, "ADDR", addr, 2);
	aml_close(t, dev);

	dev = aml_device(t, "GED_");
	aml_name_str(t, "_HID", "ACPI0013");
	aml_name_int(t, "_UID", 0);
	crs = aml_crs(t);
	aml_irq(t, img->vmgenid_gsi);
	aml_crs_end(t, crs);
	method = aml_method(t, "_EVT", 1);
	cond = aml_if_arg0_is(t, img->vmgenid_gsi);
	aml_notify(t, "VGEN", VMGENID_CHANGED);
	aml_close(t, cond);
	aml_close(t, method);
	aml_close(t, dev);
}

static void dsdt_pci(struct buf *t, const struct boot_image *img)
{
	size_t dev = aml_device(t, "PCI0"), crs;

	aml_name_pnp(t, "_HID", "PNP0A08");
	aml_name_pnp(t, "_CID", "PNP0A03");
	aml_name_int(t, "_SEG", 0);
	aml_name_int(t, "_UID", 0);
	aml_name_int(t, "_CCA", 1);
	crs = aml_crs(t);
	aml_bus_range(t, 0, (uint16_t)((img->ecam.size >> 20) - 1));
	if (img->pci_mem32.size)
		aml_window(t, img->pci_mem32.base, img->pci_mem32.size);
	if (img->pci_mem64.size)
		aml_window(t, img->pci_mem64.base, img->pci_mem64.size);
	aml_crs_end(t, crs);
	aml_close(t, dev);
}

static void dsdt(struct buf *t, const struct boot_image *img)
{
	static const uint64_t s5[] = { SLEEP_TYPE_S5, 0, 0, 0 };
	size_t table = acpi_table_begin(t, "DSDT", 2), sb = aml_scope(t, "_SB_");

	dsdt_legacy(t, img);
	dsdt_virtio(t, img);
	if (img->vmgenid)
		dsdt_vmgenid(t, img);
	if (img->pci)
		dsdt_pci(t, img);
	aml_close(t, sb);
	if (img->sleep_port)
		aml_name_ints(t, "_S5_", s5, 4);
	acpi_table_end(t, table);
}

/* --- the fixed tables --------------------------------------------------------------------------------------------- */

/* gas() - a generic address: one byte-wide port; 0: none */
static void gas(struct buf *t, uint16_t port)
{
	acpi_u8(t, port ? 1 : 0); /* system I/O */
	acpi_u8(t, port ? 8 : 0);
	acpi_u8(t, 0);
	acpi_u8(t, port ? 1 : 0);
	acpi_u64(t, port);
}

static void fadt(struct buf *t, const struct boot_image *img, uint64_t dsdt_at)
{
	enum { OFF_ARCH = 109, OFF_FLAGS = 112, OFF_X_DSDT = 140, OFF_SLEEP = 244, MINOR = 5 };
	uint32_t flags = FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_HW_REDUCED;
	size_t table = acpi_table_begin(t, "FACP", 6);

	acpi_zero(t, OFF_ARCH - ACPI_HEADER_BYTES);
	acpi_u16(t, ARCH_NO_VGA | (img->i8042 ? ARCH_8042 : 0));
	acpi_u8(t, 0);
	acpi_u32(t, flags | (img->reset_port ? FADT_RESET_REG : 0));
	gas(t, img->reset_port);
	acpi_u8(t, img->reset_value);
	acpi_u16(t, 0); /* ARM flags */
	acpi_u8(t, MINOR);
	acpi_u64(t, 0); /* no FACS: hardware-reduced */
	acpi_u64(t, dsdt_at);
	acpi_zero(t, OFF_SLEEP - OFF_X_DSDT - 8);
	gas(t, img->sleep_port);
	gas(t, img->sleep_port ? img->sleep_port + 1 : 0);
	buf_put(t, "HULL\0\0\0", 8); /* hypervisor vendor */
	acpi_table_end(t, table);
}

static void madt(struct buf *t, const struct boot_image *img)
{
	size_t table = acpi_table_begin(t, "APIC", 5);

	acpi_u32(t, LAPIC_ADDR);
	acpi_u32(t, 0); /* flags: no 8259 */
	for (unsigned i = 0; i < img->cpus; i++) {
		acpi_u8(t, 0); /* processor local APIC */
		acpi_u8(t, 8);
		acpi_u8(t, (uint8_t)i);
		acpi_u8(t, (uint8_t)i);
		acpi_u32(t, 1); /* enabled */
	}
	acpi_u8(t, 1); /* I/O APIC */
	acpi_u8(t, 12);
	acpi_u8(t, 0);
	acpi_u8(t, 0);
	acpi_u32(t, IOAPIC_ADDR);
	acpi_u32(t, 0); /* its first GSI */
	acpi_table_end(t, table);
}

static void mcfg(struct buf *t, const struct boot_image *img)
{
	size_t table = acpi_table_begin(t, "MCFG", 1);

	acpi_u64(t, 0);
	acpi_u64(t, img->ecam.base);
	acpi_u16(t, 0); /* segment */
	acpi_u8(t, 0);
	acpi_u8(t, (uint8_t)((img->ecam.size >> 20) - 1));
	acpi_u32(t, 0);
	acpi_table_end(t, table);
}

static void align(struct buf *t)
{
	while (t->rc == 0 && t->len % 16)
		buf_putc(t, '\0');
}

/* put_acpi() - one run of bytes from BOOT_AT_ACPI on: RSDP, DSDT, FADT, MADT, MCFG, XSDT */
static int put_acpi(struct boot *b, struct err *e)
{
	auto_fini(buf) struct buf t = { 0 };
	uint64_t at[4];
	size_t n = 0, table, dsdt_at;

	acpi_zero(&t, ACPI_RSDP_BYTES);
	align(&t);
	dsdt_at = t.len;
	dsdt(&t, b->img);
	align(&t);
	at[n++] = BOOT_AT_ACPI + t.len;
	fadt(&t, b->img, BOOT_AT_ACPI + dsdt_at);
	align(&t);
	at[n++] = BOOT_AT_ACPI + t.len;
	madt(&t, b->img);
	align(&t);
	if (b->img->pci) {
		at[n++] = BOOT_AT_ACPI + t.len;
		mcfg(&t, b->img);
		align(&t);
	}
	table = acpi_table_begin(&t, "XSDT", 1);
	for (size_t i = 0; i < n; i++)
		acpi_u64(&t, at[i]);
	acpi_table_end(&t, table);
	if (buf_finish(&t) < 0)
		return err_sys(e, ENOMEM, "ACPI tables");
	if (t.len > BOOT_VMGENID_GPA - BOOT_AT_ACPI)
		return err_set(e, ENOSPC, "ACPI tables: %zu bytes, at most %d", t.len,
			       BOOT_VMGENID_GPA - BOOT_AT_ACPI);
	acpi_rsdp((uint8_t *)t.data, BOOT_AT_ACPI + table);
	b->rsdp = BOOT_AT_ACPI;
	return boot__put(b, BOOT_AT_ACPI, t.data, t.len, e);
}

static int put_smbios(struct boot *b, struct err *e)
{
	auto_fini(buf) struct buf t = { 0 };
	uint8_t entry[SMBIOS_ENTRY_BYTES];
	const gpa_t tables = BOOT_AT_SMBIOS + 32;
	int r;

	smbios_tables(&t, HULL_VERSION, NULL);
	if (buf_finish(&t) < 0)
		return err_sys(e, ENOMEM, "SMBIOS tables");
	smbios_entry(entry, tables, (uint32_t)t.len);
	r = boot__put(b, BOOT_AT_SMBIOS, entry, sizeof(entry), e);
	return r < 0 ? r : boot__put(b, tables, t.data, t.len, e);
}

int boot__tables(struct boot *b, struct err *e)
{
	int r = put_acpi(b, e);

	if (r >= 0)
		r = put_smbios(b, e);
	if (r >= 0 && b->img->vmgenid)
		r = boot__put(b, BOOT_VMGENID_GPA, b->img->guid, GUID_BYTES, e);
	return r;
}
