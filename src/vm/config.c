/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - a machine's configuration: empty, checked, freed */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "vm/boot.h"
#include "vm/machine_internal.h"

#define MIB (1ULL << 20)

enum { CID_FIRST = 3, MTU_MIN = 68, MEMORY_MIB_MAX = 1 << 20, HUGE_PAGE_MIB = 2 };

void machine_config_defaults(struct machine_config *c)
{
	*c = (struct machine_config){ .cpus = 1,
				      .mem_bytes = 128 * MIB,
				      .kernel.fd = -1,
				      .initrd.fd = -1,
				      .gdb.fd = -1,
				      .serial = true,
				      .i8042 = true,
				      .serial_in = -1,
				      .serial_out = -1 };
}

static void file_fini(struct machine_file *f)
{
	free(f->path);
	fd_close(&f->fd);
	f->path = NULL;
}

void machine_config_fini(struct machine_config *c)
{
	file_fini(&c->kernel);
	file_fini(&c->initrd);
	fd_close(&c->gdb.fd);
	free(c->cmdline);
	free(c->cpu_model);
	for (unsigned i = 0; i < c->n_drives; i++) {
		file_fini(&c->drive[i].file);
		free(c->drive[i].partuuid);
	}
	for (unsigned i = 0; i < c->n_nets; i++) {
		free(c->net[i].host_dev);
		fd_close(&c->net[i].tap_fd);
	}
	for (unsigned i = 0; i < c->n_pmems; i++)
		file_fini(&c->pmem[i].file);
	for (unsigned i = 0; i < c->n_shares; i++)
		file_fini(&c->share[i].dir);
	free(c->drive);
	free(c->net);
	free(c->pmem);
	free(c->share);
	free(c->vsock.uds_path);
	free(c->cpu_edits.cpuid);
	free(c->cpu_edits.msr);
	strv_fini(&c->pin);
	machine_config_defaults(c);
}

static int check_cpus(const struct machine_config *c, struct err *e)
{
	if (c->cpus < 1 || c->cpus > ENGINE_CPUS_MAX)
		return err_set(e, EINVAL, "cpus: %u, want 1 to %d", c->cpus, ENGINE_CPUS_MAX);
	if (c->smt && c->cpus > 1 && c->cpus % 2)
		return err_set(e, EINVAL, "cpus: %u, want an even number with smt", c->cpus);
	return 0;
}

static int check_memory(const struct machine_config *c, struct err *e)
{
	if (c->mem_bytes == 0 || c->mem_bytes % MIB || c->mem_bytes / MIB > MEMORY_MIB_MAX)
		return err_set(e, EINVAL, "memory: %llu bytes, want 1 MiB to %d GiB in whole MiB",
			       (unsigned long long)c->mem_bytes, MEMORY_MIB_MAX / 1024);
	if ((unsigned)c->pages >= GMEM_PAGES_COUNT)
		return err_set(e, EINVAL, "memory: pages of no known size");
	if (c->pages == GMEM_PAGES_2M && c->mem_bytes % (HUGE_PAGE_MIB * MIB))
		return err_set(e, EINVAL, "memory: %llu MiB, want a multiple of %d MiB with huge pages",
			       (unsigned long long)(c->mem_bytes / MIB), HUGE_PAGE_MIB);
	if (c->balloon.on && c->balloon.mib > c->mem_bytes / MIB)
		return err_set(e, EINVAL, "balloon: %u MiB of a memory of %llu", c->balloon.mib,
			       (unsigned long long)(c->mem_bytes / MIB));
	return 0;
}

static int check_kernel(const struct machine_config *c, struct err *e)
{
	if (c->kernel.fd < 0)
		return err_set(e, EINVAL, "kernel: none is given");
	if (c->cmdline && strlen(c->cmdline) > BOOT_CMDLINE_MAX)
		return err_set(e, EINVAL, "command line: %zu bytes, at most %d", strlen(c->cmdline),
			       BOOT_CMDLINE_MAX);
	return 0;
}

/* check_id() - of the @i-th of an array of structs that begin with their id. */
static int check_id(const char *what, const void *array, size_t size, unsigned i, struct err *e)
{
	const char *id = (const char *)array + i * size;

	if (!*id || strnlen(id, MACHINE_NAME_MAX + 1) > MACHINE_NAME_MAX)
		return err_set(e, EINVAL, "%s %u: its id is empty or longer than %d", what, i,
			       MACHINE_NAME_MAX);
	for (unsigned k = 0; k < i; k++)
		if (str_eq((const char *)array + k * size, id))
			return err_set(e, EEXIST, "%s '%s': there are two", what, id);
	return 0;
}

static int check_count(const char *what, unsigned n, unsigned max, struct err *e)
{
	return n > max ? err_set(e, E2BIG, "%ss: %u, at most %u", what, n, max) : 0;
}

static int check_drives(const struct machine_config *c, struct err *e)
{
	int roots = 0, r = check_count("drive", c->n_drives, MACHINE_DRIVES_MAX, e);

	for (unsigned i = 0; i < c->n_drives && r == 0; i++) {
		const struct machine_drive *d = &c->drive[i];

		r = check_id("drive", c->drive, sizeof(*d), i, e);
		if (r == 0 && !str_eq(d->format, "raw") && !str_eq(d->format, "qcow2"))
			r = err_set(e, EINVAL, "drive '%s': format '%s', want raw or qcow2", d->id,
				    d->format);
		if (r == 0 && d->file.fd < 0)
			r = err_set(e, EINVAL, "drive '%s': no file is open", d->id);
		roots += d->root;
	}
	r = r < 0 ? r : check_count("pmem device", c->n_pmems, MACHINE_PMEMS_MAX, e);
	for (unsigned i = 0; i < c->n_pmems && r == 0; i++) {
		r = check_id("pmem device", c->pmem, sizeof(c->pmem[0]), i, e);
		roots += c->pmem[i].root;
	}
	return r == 0 && roots > 1 ? err_set(e, EINVAL, "%d root devices, at most one", roots) : r;
}

static int check_nets(const struct machine_config *c, struct err *e)
{
	int r = check_count("network card", c->n_nets, MACHINE_NETS_MAX, e);

	for (unsigned i = 0; i < c->n_nets && r == 0; i++) {
		const struct machine_net *n = &c->net[i];

		r = check_id("network card", c->net, sizeof(*n), i, e);
		if (r == 0 && n->mtu && n->mtu < MTU_MIN)
			r = err_set(e, EINVAL, "network card '%s': mtu %u, at least %d", n->id, n->mtu,
				    MTU_MIN);
		for (unsigned k = 0; k < i && r == 0 && n->has_mac; k++)
			if (c->net[k].has_mac && memcmp(c->net[k].mac, n->mac, sizeof(n->mac)) == 0)
				r = err_set(e, EEXIST, "network card '%s': its MAC address is that of '%s'",
					    n->id, c->net[k].id);
	}
	return r;
}

static int check_shares(const struct machine_config *c, struct err *e)
{
	int r = check_count("share", c->n_shares, MACHINE_SHARES_MAX, e);

	for (unsigned i = 0; i < c->n_shares && r == 0; i++) {
		r = check_id("share", c->share, sizeof(c->share[0]), i, e);
		if (r == 0 && c->share[i].dir.fd < 0)
			r = err_set(e, EINVAL, "share '%s': no directory is open", c->share[i].tag);
	}
	return r;
}

static int check_vsock(const struct machine_config *c, struct err *e)
{
	if (!c->vsock.on)
		return 0;
	if (c->vsock.cid < CID_FIRST || c->vsock.cid > UINT32_MAX - 1)
		return err_set(e, EINVAL, "vsock: cid %llu, want %d or more",
			       (unsigned long long)c->vsock.cid, CID_FIRST);
	return 0;
}

int machine__config_check_saved(const struct machine_config *c, struct err *e)
{
	static int (*const check[])(const struct machine_config *, struct err *) = {
		check_cpus, check_memory, check_drives, check_nets, check_shares, check_vsock,
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(check) / sizeof(check[0]) && r == 0; i++)
		r = check[i](c, e);
	return r;
}

int machine_config_check(const struct machine_config *c, struct err *e)
{
	int r = check_kernel(c, e);

	return r < 0 ? r : machine__config_check_saved(c, e);
}
