/* SPDX-License-Identifier: Apache-2.0 */
/* vm_config.h - the options that describe a machine, for every command that makes one */
#ifndef CMD_VM_CONFIG_H
#define CMD_VM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/cmd.h"

struct err;
struct machine_config;

struct vm_opts {
	const char *kernel, *initrd, *cmdline, *engine, *irqchip, *cpu, *vsock, *balloon, *pin, *name, *gdb;
	struct strv disk, net, share, pmem;
	int64_t memory; /* bytes */
	int cpus;
	bool rng, virtio_console, no_jail, track_dirty, pci;
	int64_t cpu_weight, nano_cpus, memory_max; /* 0: not given */
	bool dry;                                  /* nothing of the host is changed: no tap is made */
	bool restoring; /* no kernel is wanted, and the snapshot has the last word */
};

enum { VM_OPTS_RUN = 4 }; /* vm_config_opts + VM_OPTS_RUN are those of a machine without a name */

extern const struct opt vm_config_opts[];
void vm_config_defaults(void *opts);

/**
 * vm_config_read() - what was typed becomes a configuration; files are opened
 * @c: as machine_config_defaults() made it; the caller frees it in any case
 * Return: 0; -EINVAL and what open(2) says, with @e naming the option
 */
int vm_config_read(struct machine_config *c, const struct vm_opts *o, struct err *e);

#endif
