/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_api.c - what machine.h promises and no other file gives yet: each refuses and says so. Weak, so that the file that
 * implements one needs no change here; its line here goes then.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "vm/machine.h"

#define WEAK __attribute__((weak))

static int not_yet(struct err *e, const char *what)
{
	return err_set(e, ENOSYS, "%s is not there yet", what);
}

#define REFUSE(name, what, ...)                                                                              \
	WEAK int name(__VA_ARGS__, struct err *e)                                                            \
	{                                                                                                    \
		return not_yet(e, what);                                                                     \
	}

#pragma GCC diagnostic ignored "-Wunused-parameter"
REFUSE(machine_drive_add, "hot-plug of drives", struct machine *m, struct machine_drive *d)
REFUSE(machine_net_add, "hot-plug of cards", struct machine *m, struct machine_net *n)
REFUSE(machine_pmem_add, "hot-plug of pmem devices", struct machine *m, struct machine_pmem *p)
REFUSE(machine_device_remove, "hot-unplug", struct machine *m, enum machine_device kind, const char *id)
