/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail.h - before the first guest instruction a machine's process gives up whatever it does not need to run one
 *
 * Theory of operation. What a guest may take over is this process: its memory, its descriptors, its system calls. So, in
 * this order: everything a machine uses is open already; jail_enter() makes it a nobody in namespaces of its own, its
 * root an empty read-only directory, without capabilities and without a way to get
 * any; then each thread closes the last door behind itself with jail_filter(): it may make only the system calls that
 * its kind of work is annotated with, any other ends the process.
 *
 * Non-goals: the kernel's own faults behind the calls that are left (ioctl of /dev/kvm, read, write, ...).
 */
#ifndef VM_JAIL_H
#define VM_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

struct jail_config {
	uid_t uid; /* who the process becomes when it is root; else it stays who it is */
	gid_t gid;
	/* Capabilities (bits) that threads made before jail_drop() have, over the files that its descriptors reach: a server of shared
	 * directories. Root only; then the user stays, and his namespace. */
	uint64_t keep_caps;
	bool host_net;    /* the user-mode network connects out of the host's namespace */
	unsigned max_fds; /* RLIMIT_NOFILE; 0: as it is */
	/* Somebody else may have jailed the process already: one that is not root and may not make namespaces stays where it is. */
	bool may_stay;
};

/**
 * jail_enter() - namespaces, empty root, no capabilities, limits; for good
 * Context: one thread; call it last before threads are made.
 * Return: 0; -errno with @e: the process is half in and must end
 */
int jail_enter(const struct jail_config *c, struct err *e);

/* jail_drop() - the calling thread, and those it makes from now on, have no capabilities either. */
int jail_drop(struct err *e);

/* What a thread does. The union of kinds is one filter. */
enum jail_work {
	JAIL_CPU = 1 << 0,     /* runs a processor, and answers for devices' registers */
	JAIL_LOOP = 1 << 1,    /* serves devices and requests */
	JAIL_SOCKETS = 1 << 2, /* and passes streams on: vsock */
	JAIL_NET = 1 << 3,     /* and opens the host's network: the user-mode stack */
	JAIL_SHARE = 1 << 4,   /* serves a shared directory */
	JAIL_PCI = 1 << 5,     /* and BARs of PCI devices move */
	/* and makes devices, or what is behind them, anew: the loop of a machine with PCI or whose disks can be exchanged */
	JAIL_HOTPLUG = 1 << 6,
	JAIL_RING = 1 << 7, /* and these have rings of requests: disks that are asynchronous */
	/* and gives the guest memory, and takes it: the loop of a machine with PCI or memory hot-plug */
	JAIL_MEMORY = 1 << 8,
	JAIL_API = 1 << 9,    /* and answers requests of another process, which passes it files */
	JAIL_FETCH = 1 << 10, /* asks for memory ahead, and does nothing else */
	JAIL_DEBUG = 1 << 11, /* and has a debugger as client, who changes what processors hold */
	JAIL_SPLIT = 1 << 12, /* and the I/O APIC is the engine's */
};

/* jail_filter() - the calling thread may make no other system calls than those of @work (enum jail_work, or'ed; never 0). @trap:
 * SIGSYS can be caught, to exit with a code. */
int jail_filter(unsigned work, bool trap, struct err *e);

#endif
