/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/boot.h"

#include <string.h>

#include "base/err.h"
#include "vm/boot_internal.h"

static const uint64_t GIB4 = 1ULL << 32;

const char *boot_cmdline_default(bool serial)
{
	return serial ? "console=ttyS0 reboot=k panic=-1" : "reboot=k panic=-1";
}

int boot__put(const struct boot *b, gpa_t at, const void *bytes, size_t len, struct err *e)
{
	int r = gmem_write(b->img->mem, at, bytes, len);

	return r < 0 ? err_sys(e, -r, "table of %zu bytes at 0x%llx", len, (unsigned long long)at) : 0;
}

static int check_image(const struct boot_image *b, struct err *e)
{
	const struct gmem_region *low = gmem_find(b->mem, 0, 2ULL * BOOT_HIGH);

	if (!low || !low->ram || low->readonly)
		return err_set(e, ENOMEM, "guest memory: want at least 2 MiB from address 0");
	if (b->cpus < 1 || b->cpus > BOOT_CPUS_MAX)
		return err_set(e, EINVAL, "cpus: %u, want 1 to %d", b->cpus, BOOT_CPUS_MAX);
	if (b->n_dev > BOOT_DEVICES_MAX)
		return err_set(e, EINVAL, "%u devices, at most %d", b->n_dev, BOOT_DEVICES_MAX);
	for (unsigned i = 0; i < b->n_dev; i++)
		if (b->dev[i].addr + b->dev[i].size > GIB4)
			return err_set(e, EINVAL, "device %u: at 0x%llx, beyond 4 GiB", i,
				       (unsigned long long)b->dev[i].addr);
	return 0;
}

static int make_map(struct boot *b, struct err *e)
{
	const struct boot_image *img = b->img;
	unsigned *n = &b->n_map;
	bool ok = true;

	for (unsigned i = 0; i < img->mem->n; i++) {
		const struct gmem_region *g = &img->mem->region[i];
		uint64_t base = g->base, size = g->size;

		if (!g->ram || (img->hotplug_base && base >= img->hotplug_base))
			continue;
		if (base == 0) {
			ok &= e820_add(b->map, n, BOOT_MAP_MAX, 0, BOOT_LOW_END, E820_RAM);
			ok &= e820_add(b->map, n, BOOT_MAP_MAX, BOOT_LOW_END, BOOT_HIGH - BOOT_LOW_END,
				       E820_RESERVED);
			base = BOOT_HIGH;
			size -= BOOT_HIGH;
		}
		ok &= e820_add(b->map, n, BOOT_MAP_MAX, base, size, g->readonly ? E820_RESERVED : E820_RAM);
	}
	if (img->pci) /* Linux believes the MCFG only where the map, or a motherboard device, agrees */
		ok &= e820_add(b->map, n, BOOT_MAP_MAX, img->ecam.base, img->ecam.size, E820_RESERVED);
	return ok ? 0 : err_set(e, ENOSPC, "memory map: more than %d entries", BOOT_MAP_MAX);
}

static int put_cmdline(struct boot *b, struct err *e)
{
	size_t len = strlen(b->cmdline), max = BOOT_CMDLINE_MAX;

	if (b->is_bzimage && b->bz.cmdline_bytes_max && b->bz.cmdline_bytes_max < max)
		max = b->bz.cmdline_bytes_max;
	if (len > max)
		return err_set(e, EINVAL, "command line: %zu bytes, at most %zu", len, max);
	return boot__put(b, BOOT_AT_CMDLINE, b->cmdline, len + 1, e);
}

/* put_initrd() - whole pages as high as they can be: below 3 GiB, above the kernel */
static int put_initrd(struct boot *b, struct err *e)
{
	const struct gmem_region *low = gmem_find(b->img->mem, 0, 1);
	struct boot_file f;
	uint64_t top = low->size, pages, kernel_end = b->kernel_end;
	int r;

	if (b->img->initrd_fd < 0)
		return 0;
	r = boot__file_open(&f, b->img->initrd_fd, b->img->initrd_name, e);
	if (r < 0)
		return r;
	if (b->is_bzimage && b->bz.initrd_addr_max && b->bz.initrd_addr_max < top)
		top = (b->bz.initrd_addr_max + 1ULL) & ~(uint64_t)(GMEM_PAGE - 1);
	if (kernel_end > low->size) /* the kernel is in another region */
		kernel_end = BOOT_HIGH;
	kernel_end = (kernel_end + GMEM_PAGE - 1) & ~(uint64_t)(GMEM_PAGE - 1);
	pages = (f.size + GMEM_PAGE - 1) & ~(uint64_t)(GMEM_PAGE - 1);
	if (top < kernel_end || pages > top - kernel_end)
		return err_set(
			e, ENOMEM, "%llu bytes do not fit between the kernel's end at 0x%llx and 0x%llx",
			(unsigned long long)f.size, (unsigned long long)kernel_end, (unsigned long long)top);
	b->initrd = top - pages;
	b->initrd_bytes = f.size;
	r = boot__file_read(&f, 0, gmem_ptr(b->img->mem, b->initrd, f.size), f.size, e);
	if (r >= 0)
		gmem_mark(b->img->mem, b->initrd, f.size);
	return r;
}

static int load(struct boot *b, struct x86_state *bsp, struct err *e)
{
	const char *name = b->img->kernel_name ? b->img->kernel_name : "kernel";
	const char *initrd = b->img->initrd_name ? b->img->initrd_name : "initramfs";
	int r;

	r = boot__file_open(&b->kernel, b->img->kernel_fd, name, e);
	if (r >= 0)
		r = boot__kernel(b, e);
	if (r < 0)
		return err_wrap(e, r, "kernel '%s'", name);
	r = put_cmdline(b, e);
	if (r < 0)
		return r;
	r = put_initrd(b, e);
	if (r < 0)
		return err_wrap(e, r, "initramfs '%s'", initrd);
	r = make_map(b, e);
	if (r >= 0)
		r = boot__tables(b, e);
	if (r >= 0)
		r = boot__enter(b, bsp, e);
	return r;
}

int boot_load(const struct boot_image *img, struct x86_state *bsp, struct err *e)
{
	struct boot b = { .img = img, .cmdline = img->cmdline };
	int r;

	if (!b.cmdline)
		b.cmdline = boot_cmdline_default(img->serial);
	r = check_image(img, e);
	if (r >= 0)
		r = load(&b, bsp, e);
	boot__file_fini(&b.kernel);
	return r < 0 ? r : 0;
}
