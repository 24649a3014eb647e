/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_internal.h - the parts of a snapshot: configuration, processors, memory */
#ifndef VM_SNAPSHOT_INTERNAL_H
#define VM_SNAPSHOT_INTERNAL_H

#include "vm/machine_internal.h"

struct record_in;
struct record_out;

/* snapshot_config.c - what a machine was made of. Restored strings are owned by @c, descriptors are -1: files are opened by name later. */
void snapshot__config_save(const struct machine_config *c, struct record_out *o);
void snapshot__config_restore(struct machine_config *c, struct record_in *in);

/* snapshot_cpu.c - a processor's whole state, and what it shows by CPUID. */
void snapshot__cpu_save(const struct x86_state *s, const struct x86_cpuid *cpuid, unsigned n,
			struct record_out *o);
void snapshot__cpu_restore(struct x86_state *s, struct x86_cpuid *cpuid, unsigned *ret_n,
			   struct record_in *in);
/* snapshot__cpuid_fits() - can a processor of this host, which offers @host, be what @saved says? Names the first that it lacks. */
int snapshot__cpuid_fits(const struct x86_cpuid *saved, unsigned n_saved, const struct x86_cpuid *host,
			 unsigned n_host, struct err *e);

/* snapshot_mem.c */
void snapshot__layout_save(const struct gmem *mem, struct record_out *o);
/* snapshot__layout_restore() - which of the saved machine's memory lies where in the memory file. */
void snapshot__layout_restore(struct machine_source *s, struct record_in *in);
/* snapshot__mem_save() - all of it, or what was written since the last snapshot; holes for what is zero or was not. */
int snapshot__mem_save(struct machine *m, enum machine_snapshot kind, int fd, struct err *e);
/* snapshot__uffd_hand_over() - faults of all of @mem's memory go to whoever listens at @sock. Return: 0; -errno. */
int snapshot__uffd_hand_over(const struct gmem *mem, const struct machine_source *s, int sock, struct err *e);

#endif
