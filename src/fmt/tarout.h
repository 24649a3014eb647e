/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tarout.h - tar archives, written: ustar, with a pax header where ustar cannot say it
 *
 * The bytes depend on nothing but the entries: no owner names, no time of writing, one way to say each thing.
 * So the digest of an archive made again from the same tree is the same.
 */
#ifndef FMT_TAROUT_H
#define FMT_TAROUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "fmt/tar.h"

struct err;

struct tarout {
	/* write() - Return: 0, or -errno with @e set */
	int (*write)(void *arg, const void *bytes, size_t len, struct err *e);
	void *arg;
	uint64_t bytes; /* written so far */
	uint64_t left;  /* of the entry's data */
	struct buf pax;
};

void tarout_init(struct tarout *t, int (*write)(void *arg, const void *bytes, size_t len, struct err *e),
		 void *arg);
void tarout_fini(struct tarout *t);

/* tarout_entry() - a header; @n->size bytes of data follow by tarout_data(). Extended attributes go out in
 * their order. */
int tarout_entry(struct tarout *t, const struct tar_entry *n, struct err *e);
int tarout_data(struct tarout *t, const void *bytes, size_t len, struct err *e);
/* tarout_file() - a whole regular file of mode 0644, owner 0, time 0. */
int tarout_file(struct tarout *t, const char *name, const void *bytes, size_t len, struct err *e);
int tarout_end(struct tarout *t, struct err *e);

#endif
