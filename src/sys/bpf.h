/* SPDX-License-Identifier: Apache-2.0 */
/* bpf.h - load a device filter and hang it on a cgroup v2 directory */
#ifndef SYS_BPF_H
#define SYS_BPF_H

#include <stddef.h>
#include <stdint.h>

struct bpf_insn;
struct err;

enum { BPF_ATTACHED_MAX = 64 }; /* as many programs as the kernel lets one group have */

/**
 * bpf_load_device() - load @n instructions as a BPF_PROG_TYPE_CGROUP_DEVICE program
 * RLIMIT_MEMLOCK is never touched: kernels from 5.11 charge the group's memory instead.
 * Return: a descriptor; -EPERM says which privilege or limit the kernel may want; -EINVAL, -EACCES from the
 * verifier.
 */
int bpf_load_device(const struct bpf_insn *insn, size_t n, struct err *e);

/* bpf_attach_device() - beside what is attached already (BPF_F_ALLOW_MULTI); a device must pass every
 * program. */
int bpf_attach_device(int cgroup_fd, int prog_fd);
int bpf_detach_device(int cgroup_fd, int prog_fd);

/* bpf_query_device() - ids of the programs attached to the group itself. Return: how many, or -errno. */
int bpf_query_device(int cgroup_fd, uint32_t ret_ids[BPF_ATTACHED_MAX]);
int bpf_open_id(uint32_t id); /* a descriptor of a loaded program, or -errno */

#endif
