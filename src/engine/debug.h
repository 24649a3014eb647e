/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug.h - which of a debugger's wishes an engine hears on this host: tried on a machine of a few pages that is made for it
 *
 * A KVM that is itself software may take all of KVM_SET_GUEST_DEBUG and act on a part: nothing but a try tells.
 */
#ifndef ENGINE_DEBUG_H
#define ENGINE_DEBUG_H

#include <stdbool.h>

struct engine_ops;
struct err;

struct engine_debugs {
	bool data; /* memory can be watched */
	bool user; /* ring 3 stops at an address, and makes single steps; where it does not, a step there is the guest's to see */
};

/* engine_debug_try() - Return: 0; -errno with @e: no such machine can be made, or it does not do what it should */
int engine_debug_try(const struct engine_ops *ops, struct engine_debugs *ret_d, struct err *e);

#endif
