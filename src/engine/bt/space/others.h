/* SPDX-License-Identifier: Apache-2.0 */
/*
 * others.h - what the processors of a machine tell each other: where they have translated code, and that it has been written
 *
 * Theory of operation. Each processor translates for itself. A page that any of them has translated from is mapped writable by none: a
 * store to it faults, is interpreted, and tells those whose blocks it touches. Before a processor reads a page to translate from it, it
 * takes the others' writable views away: it notes the page in its own bits, which all of them see, tells the others, and waits until
 * each has listened or is outside its guest, for it listens before it goes back. While it waits it listens itself.
 *
 * That a store is seen late is the architecture's: who changes code that another processor runs makes that one serialize, and whatever
 * serializes leaves translated code, or is an interrupt.
 */
#ifndef ENGINE_BT_SPACE_OTHERS_H
#define ENGINE_BT_SPACE_OTHERS_H

#include "engine/bt/space/cpu.h"

void bt_others_code_made(struct bt_cpu *c, uint64_t gpa); /* before the page is read */
void bt_others_code_written(struct bt_cpu *c, uint64_t gpa, size_t len,
			    bool often); /* @often: all of the page, and not for the first time */
bool bt_others_code_has(const struct bt_cpu *c,
			uint64_t gpa); /* has any of them, this one too, code on the page? */
bool bt_others_have_told(const struct bt_cpu *c);
/* bt_others_listen() - @may_drop: no block is being made, so that all of them may be dropped. */
void bt_others_listen(struct bt_cpu *c, bool may_drop);

#endif
