/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devfilter.h - linux.resources.devices as something a kernel enforces
 *
 * Theory of operation: the rules are an ordered list; for each kind of access (read, write, mknod) the last
 * rule that matches the device decides. Before them stands an implied "deny everything", behind them the
 * devices every container may use. Cgroup v2 takes that as a BPF program, exactly. Cgroup v1 knows a default
 * and a set of exceptions: the list is flattened into that, and one that cannot be (a part of an earlier
 * range taken back) is refused, never approximated.
 */
#ifndef CONTAINER_DEVFILTER_H
#define CONTAINER_DEVFILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fmt/oci.h"

struct bpf_insn;
struct err;

enum {
	DEVFILTER_RULES_MAX = 4096, /* more rules are refused */
	DEVFILTER_READ = 1,
	DEVFILTER_WRITE = 2,
	DEVFILTER_MKNOD = 4,
	DEVFILTER_ALL = 7,
	DEVFILTER_LINE_SIZE = 64,
};

/* One device or range of devices. */
struct devfilter_rule {
	bool allow;
	bool wanted;          /* from the configuration, not from the default list */
	char type;            /* 'b' 'c' */
	int64_t major, minor; /* -1: any */
	unsigned access;      /* DEVFILTER_x */
};

struct devfilter {
	bool allow;                  /* what no rule matches */
	struct devfilter_rule *rule; /* owned */
	size_t n;
	size_t cap;
};

/* devfilter_build() - @rules and the default devices in order; those before the last "all devices" are gone,
 * it is ->allow. Return: 0; -E2BIG, -EINVAL (a rule without access, a number out of range), -ENOMEM. */
int devfilter_build(struct devfilter *ret_f, const struct oci_device_rule *rules, size_t n, struct err *e);

/* devfilter_flatten() - in place: no two rules overlap in a way that makes their order matter, and each says
 * the contrary of ->allow. Return: 0; -ENOTSUP when v1 cannot express it. */
int devfilter_flatten(struct devfilter *f, struct err *e);

/* devfilter_compile() - a built (not flattened) filter as a program. Return: caller frees *ret_insn; -ENOMEM.
 */
int devfilter_compile(const struct devfilter *f, struct bpf_insn **ret_insn, size_t *ret_n);

/* devfilter_parse() - what v1's devices.list holds ("a *:* rwm" or one exception for each line). */
int devfilter_parse(struct devfilter *ret_f, const char *list);

/* devfilter_has() - is exactly this range with exactly this access in @f? */
bool devfilter_has(const struct devfilter *f, const struct devfilter_rule *r);

/* devfilter_line() - "c 1:* rwm", as devices.allow takes it; @dst of DEVFILTER_LINE_SIZE. */
const char *devfilter_line(const struct devfilter_rule *r, char *dst);
void devfilter_fini(struct devfilter *f);

#endif
