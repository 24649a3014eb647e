/* SPDX-License-Identifier: Apache-2.0 */
/* engine_table.c - the one file that knows every engine; the order is the order of preference */
#include "engine/engine.h"

const struct engine_ops *const engine_table[] = { &engine_kvm, &engine_bt, NULL };
