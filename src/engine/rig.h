/* SPDX-License-Identifier: Apache-2.0 */
/* rig.h - a machine of one processor and 2 MiB, to try an engine with a few bytes of 64-bit code */
#ifndef ENGINE_RIG_H
#define ENGINE_RIG_H

#include "engine/engine.h"

enum { RIG_BYTES = 2 << 20, RIG_FREE_AT = 0x10000 /* from here on it is the caller's */ };

/* Empty value RIG_NONE, which rig_fini() takes as well. */
struct rig {
	struct engine_vm *vm;
	struct engine_cpu *cpu;
	uint8_t *mem; /* owned mapping */
	int fd;
};
#define RIG_NONE                                                                                             \
	{                                                                                                    \
		.fd = -1                                                                                     \
	}

int rig_init(struct rig *g, const struct engine_ops *ops, struct err *e); /* rig_fini() also when it fails */
void rig_fini(struct rig *g);

/* rig_settle() - the access of the last exit is completed, so that the state is whole and may be set. */
int rig_settle(struct rig *g, struct err *e);
/* rig_start() - at @rip in that ring, which may use ports, so it needs no kernel. Its stack grows down from @rsp, RBX is 1. */
int rig_start(struct rig *g, unsigned ring, uint64_t rip, uint64_t rsp, struct err *e);
/* rig_run() - to the next exit that is no kick. Return: 0, or -errno with @e. */
int rig_run(struct rig *g, struct engine_exit *x, struct err *e);
int rig_failed(const struct engine_exit *x,
	       struct err *e); /* the guest has come out with @x, and should not */

#endif
