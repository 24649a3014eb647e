/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_fuzz.c - hostile bytes as a FUSE request: what comes through must be inside them, and mean what fuse.h says */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/guard.h"
#include "fmt/fuse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s, const uint8_t *args, size_t len, size_t max)
{
	if (!s)
		return;
	BUG_ON((const uint8_t *)s < args || (const uint8_t *)s >= args + len);
	BUG_ON(!memchr(s, 0, len - (size_t)((const uint8_t *)s - args)));
	BUG_ON(!*s || strlen(s) > max);
}

static void check(const struct fuse_request *r, const uint8_t *args, size_t len)
{
	size_t sum = 0;
	uint32_t op = r->h.opcode;

	check_text(r->name, args, len, FUSE_NAME_BYTES_MAX);
	check_text(r->name2, args, len, FUSE_TARGET_BYTES_MAX);
	if (r->name && op != FUSE_GETXATTR && op != FUSE_SETXATTR && op != FUSE_REMOVEXATTR)
		BUG_ON(strchr(r->name, '/') || strcmp(r->name, "..") == 0 || strcmp(r->name, ".") == 0);
	if (r->name2 && op != FUSE_SYMLINK)
		BUG_ON(strchr(r->name2, '/') || strcmp(r->name2, "..") == 0);
	for (unsigned i = 0; i < r->n_forgets; i++)
		sum += r->forgets[i].nlookup;
	for (uint32_t i = 0; i < r->value_len; i++)
		sum += ((const uint8_t *)r->value)[i];
	if (op == FUSE_COPY_FILE_RANGE)
		sum += r->in.copy->flags;
	if (op == FUSE_SETATTR)
		sum += r->in.setattr->unused5;
	if (op == FUSE_INIT)
		sum += r->in.init->unused[10];
	__asm__ volatile("" : : "r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free uint8_t *args = NULL;
	struct fuse_in_header h = { 0 };
	struct fuse_request r;
	size_t len;

	if (size < 2)
		return 0;
	h.opcode = data[0];
	h.len = (uint32_t)size;
	len = fuse_args_len(&h, size - 2);
	args = malloc(len ? len : 1); /* of the exact size: one byte too far is seen */
	if (!args)
		return 0;
	memcpy(args, data + 2, len);
	if (fuse_parse(&h, args, len, data[1] & 1, &r) == 0)
		check(&r, args, len);
	return 0;
}
