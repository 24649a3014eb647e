/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead.h - a source read ahead by a thread: decoding on one processor while another writes what was decoded
 */
#ifndef STORE_AHEAD_H
#define STORE_AHEAD_H

#include "fmt/source.h"

struct ahead;

enum { AHEAD_SLOTS = 4, AHEAD_SLOT_BYTES = 256 << 10 };

/**
 * ahead_new() - start reading @from
 * @from: copied; what it points to belongs to the thread until ahead_free() has returned
 * Return: NULL when there is no memory or thread to be had: then read @from itself
 */
struct ahead *ahead_new(const struct source *from);
struct source ahead_source(struct ahead *a); /* the same bytes; borrows @a */
void ahead_free(struct ahead *a);            /* stops the thread, at the next run of bytes at the latest */

#endif
