/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar_fuzz.c - hostile bytes into the tar reader, in runs of odd lengths; the first byte of the input chooses
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *p;
	size_t len, run;
};

static ssize_t next(void *arg, const uint8_t **ret, struct err *e)
{
	struct bytes *b = arg;
	size_t n = b->len < b->run ? b->len : b->run;

	(void)e;
	*ret = b->p;
	b->p += n;
	b->len -= n;
	return (ssize_t)n;
}

/*
 * Nothing random has a right checksum: give one to every block, so that what is behind that door gets its
 * share.
 */
static void put_sums(uint8_t *p, size_t len)
{
	for (; len >= 512; p += 512, len -= 512) {
		unsigned sum = 0;
		char text[8];

		memset(p + 148, ' ', 8);
		for (int i = 0; i < 512; i++)
			sum += p[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(p + 148, text, 7);
	}
}

static void read_all(struct tar *t)
{
	const struct tar_entry *n;
	const uint8_t *p;
	struct err e = { 0 };
	ssize_t r;

	while (tar_next(t, &n, &e) > 0) {
		uint64_t got = 0;

		/* what an entry points to must be readable in full */
		BUG_ON(strlen(n->name) > TAR_EXTRA_MAX || strlen(n->link) > TAR_EXTRA_MAX);
		for (size_t i = 0; i < n->n_xattrs; i++)
			BUG_ON(!*n->xattrs[i].name ||
			       memchr(n->xattrs[i].value, 0, n->xattrs[i].len + 1) == NULL);
		while ((r = tar_read(t, &p, &e)) > 0)
			got += (uint64_t)r;
		BUG_ON(r == 0 && n->type == TAR_FILE && got != n->size);
		BUG_ON(r < 0 && !e.code);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free uint8_t *copy = NULL;
	struct bytes b;
	struct tar *t;

	if (size < 1)
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		put_sums(copy, size - 1);
	b = (struct bytes){ copy, size - 1, 1 + (size_t)7 * (data[0] >> 1) };
	t = tar_new(&(struct source){ next, &b });
	if (t)
		read_all(t);
	tar_free(t);
	return 0;
}
