/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.h - one guest instruction as host instructions that do the same where the guest's memory is elsewhere */
#ifndef ENGINE_BT_SPACE_REWRITE_H
#define ENGINE_BT_SPACE_REWRITE_H

#include "engine/bt/space/emit.h"
#include "engine/bt/space/translate.h"
#include "fmt/x86.h"

/* rewrite_possible() - of the classes that compute or move: can it be copied or rewritten for @mode? @next: the address behind it. */
bool rewrite_possible(const struct x86_insn *i, enum bt_mode mode, uint64_t next);

/* rewrite() - one for which that was so. @code: its bytes; @entry: what offsets in @r count from; @r gets undo, saved, shifted, select. */
void rewrite(struct emit *e, const struct x86_insn *i, const uint8_t *code, enum bt_mode mode, uint64_t next,
	     const uint8_t *entry, struct bt_record *r);

#endif
