/* SPDX-License-Identifier: Apache-2.0 */
/* docs.h - the texts that docs_write() writes; each appends to a buf */
#ifndef CMD_DOCS_H
#define CMD_DOCS_H

#include <stddef.h>

struct buf;
struct cmd;

void docs_man(const struct cmd *c, struct buf *b);                /* hull-run(1) */
void docs_man_all(struct buf *b);                                 /* hull(1) */
void docs_page_name(const struct cmd *c, char *dst, size_t size); /* "hull-system-df" */
void docs_bash(struct buf *b);
void docs_zsh(struct buf *b);

#endif
