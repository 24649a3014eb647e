/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_shrink.h - a filter program that says the same in fewer instructions */
#ifndef CONTAINER_SECCOMP_SHRINK_H
#define CONTAINER_SECCOMP_SHRINK_H

#include <linux/filter.h>
#include <stddef.h>

struct buf;

/**
 * seccomp_shrink() - append to @out a program with the results of @in, for every architecture, call and argument
 * @in: one the kernel would take
 * Return: 0; -EOPNOTSUPP: nothing is appended, since @in does what is not understood here, or cannot be made shorter; -ENOMEM
 */
int seccomp_shrink(const struct sock_filter *in, size_t n, struct buf *out);

#endif
