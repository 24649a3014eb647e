/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VM_JAILER_INTERNAL_H
#define VM_JAILER_INTERNAL_H

#include "vm/jailer.h"

/* jailer__cgroups() - make PARENT/ID in each hierarchy that is asked for, write its files, move this process there. */
int jailer__cgroups(const struct jailer_config *c, const char *name, struct err *e);

#endif
