/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.h - linux.seccomp as a filter program, compiled once and kept */
#ifndef CONTAINER_SECCOMP_H
#define CONTAINER_SECCOMP_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "fmt/oci.h"

struct err;

struct ct_seccomp {
	struct sock_filter *insns; /* owned; NULL: no filter */
	size_t n;
	uint64_t flags; /* SECCOMP_FILTER_FLAG_x */
};

/**
 * ct_seccomp_compile() - @s as BPF, from the cache below @cache_dirfd when the same was compiled before
 * @cache_dirfd: a directory only we can write, or -1: no cache
 *
 * System calls newer than any the profile's author can have known answer ENOSYS rather than a default EPERM, so that
 * programs fall back to older ones.
 * Return: 0; -errno naming the field: an action, operator or flag this kernel or library lacks is refused
 * Spec: OCI runtime-spec 1.3, config-linux.md "Seccomp"
 */
int ct_seccomp_compile(struct ct_seccomp *ret_f, const struct oci_seccomp *s, int cache_dirfd, struct err *e);

/* ct_seccomp_load() - into this process. Return: 0; the listener's descriptor with SECCOMP_FILTER_FLAG_NEW_LISTENER; -errno. */
int ct_seccomp_load(const struct ct_seccomp *f);

void ct_seccomp_fini(struct ct_seccomp *f);

#endif
