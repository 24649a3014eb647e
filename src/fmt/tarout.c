/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/tarout.h"

#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

enum { BLOCK_BYTES = 512, NAME_LEN = 100, SIZE_OCTAL_BITS = 33, ID_OCTAL_BITS = 21 };

/* Spec: POSIX.1-2017 pax, "ustar Interchange Format" */
struct ustar {
	char name[NAME_LEN], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type;
	char link[NAME_LEN], magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155],
		rest[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK_BYTES, "a header is one block");

static const char type_flag[TAR_TYPE_COUNT] = {
	[TAR_FILE] = '0',  [TAR_LINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHAR] = '3',
	[TAR_BLOCK] = '4', [TAR_DIR] = '5',  [TAR_FIFO] = '6',
};

void tarout_init(struct tarout *t, int (*write)(void *arg, const void *bytes, size_t len, struct err *e),
		 void *arg)
{
	*t = (struct tarout){ .write = write, .arg = arg };
}

void tarout_fini(struct tarout *t)
{
	buf_fini(&t->pax);
}

static int put(struct tarout *t, const void *bytes, size_t len, struct err *e)
{
	int r = len > 0 ? t->write(t->arg, bytes, len, e) : 0;

	if (r >= 0)
		t->bytes += len;
	return r;
}

static int put_padding(struct tarout *t, struct err *e)
{
	static const char zeros[BLOCK_BYTES];

	return put(t, zeros, (size_t)(-t->bytes & (BLOCK_BYTES - 1)), e);
}

/* octal() - @n in all but the last byte of a field; what does not fit is 0 here and stands in the pax header.
 */
static void octal(char *field, size_t size, uint64_t n)
{
	char digits[24];

	if (n >> (3 * (size - 1)))
		n = 0;
	str_format(digits, sizeof(digits), "%0*llo", (int)size - 1, (unsigned long long)n);
	memcpy(field, digits, size - 1);
}

static int put_header(struct tarout *t, const struct tar_entry *n, char flag, const char *name, struct err *e)
{
	struct ustar h = { .magic = "ustar", .version = { '0', '0' }, .type = flag };
	const size_t name_len = strlen(name), link_len = strlen(n->link);
	unsigned sum = 0;

	memcpy(h.name, name, name_len < NAME_LEN ? name_len : NAME_LEN);
	memcpy(h.link, n->link, link_len < NAME_LEN ? link_len : NAME_LEN);
	octal(h.mode, sizeof(h.mode), n->mode);
	octal(h.uid, sizeof(h.uid), n->uid);
	octal(h.gid, sizeof(h.gid), n->gid);
	octal(h.size, sizeof(h.size), n->size);
	octal(h.mtime, sizeof(h.mtime), n->mtime_s < 0 ? 0 : (uint64_t)n->mtime_s);
	octal(h.major, sizeof(h.major), n->major);
	octal(h.minor, sizeof(h.minor), n->minor);
	memset(h.sum, ' ', sizeof(h.sum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const uint8_t *)&h)[i];
	octal(h.sum, sizeof(h.sum) - 1, sum);
	h.sum[6] = '\0';
	return put(t, &h, sizeof(h), e);
}

/* pax_record() - "LEN key=value\n", where LEN counts itself. */
static void pax_record(struct buf *b, const char *prefix, const char *key, const void *value, size_t len)
{
	size_t rest = strlen(prefix) + strlen(key) + len + 3; /* ' ', '=', newline */
	size_t total = rest + 1;
	char digits[24];

	while (rest + str_format(digits, sizeof(digits), "%zu", total) != total)
		total = rest + strlen(digits);
	buf_printf(b, "%s %s%s=", digits, prefix, key);
	buf_put(b, value, len);
	buf_putc(b, '\n');
}

static void pax_number(struct buf *b, const char *key, uint64_t n)
{
	char text[24];

	pax_record(b, "", key, text, str_format(text, sizeof(text), "%llu", (unsigned long long)n));
}

static void pax_time(struct buf *b, int64_t s, uint32_t ns)
{
	const bool negative = s < 0;
	uint64_t whole = negative ? (uint64_t)-s : (uint64_t)s;
	char text[48];
	size_t len;

	if (negative && ns > 0) { /* -1.25 is -2 s and 750000000 ns */
		whole--;
		ns = 1000000000 - ns;
	}
	len = str_format(text, sizeof(text), "%s%llu.%09u", negative ? "-" : "", (unsigned long long)whole,
			 ns);
	while (text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	pax_record(b, "", "mtime", text, len);
}

static void pax_collect(struct buf *b, const struct tar_entry *n, const char *name, size_t name_len)
{
	const size_t link_len = strlen(n->link);

	if (n->size >> SIZE_OCTAL_BITS)
		pax_number(b, "size", n->size);
	if (n->uid >> ID_OCTAL_BITS)
		pax_number(b, "uid", n->uid);
	if (n->gid >> ID_OCTAL_BITS)
		pax_number(b, "gid", n->gid);
	if (n->mtime_ns > 0 || n->mtime_s < 0 || n->mtime_s >> SIZE_OCTAL_BITS)
		pax_time(b, n->mtime_s, n->mtime_ns);
	if (name_len > NAME_LEN)
		pax_record(b, "", "path", name, name_len);
	if (link_len > NAME_LEN)
		pax_record(b, "", "linkpath", n->link, link_len);
	for (size_t i = 0; i < n->n_xattrs; i++)
		pax_record(b, "SCHILY.xattr.", n->xattrs[i].name, n->xattrs[i].value, n->xattrs[i].len);
}

static int put_pax(struct tarout *t, struct err *e)
{
	const struct tar_entry x = { .mode = 0644, .link = "", .size = t->pax.len };
	int r = buf_finish(&t->pax);

	if (r < 0)
		return err_sys(e, -r, "tar");
	if (t->pax.len == 0)
		return 0;
	r = put_header(t, &x, 'x', "pax_header", e);
	if (r >= 0)
		r = put(t, t->pax.data, t->pax.len, e);
	return r < 0 ? r : put_padding(t, e);
}

int tarout_entry(struct tarout *t, const struct tar_entry *n, struct err *e)
{
	auto_fini(buf) struct buf slashed = { 0 };
	const char *name = n->name;
	int r;

	BUG_ON(t->left > 0);
	if (n->type == TAR_DIR && !str_ends(name, "/")) {
		buf_printf(&slashed, "%s/", name);
		name = buf_str(&slashed);
		if (buf_finish(&slashed) < 0)
			return err_sys(e, ENOMEM, "tar");
	}
	t->pax.len = 0;
	pax_collect(&t->pax, n, name, strlen(name));
	r = put_pax(t, e);
	if (r >= 0)
		r = put_header(t, n, type_flag[n->type], name, e);
	if (r >= 0)
		t->left = n->size;
	return r;
}

int tarout_data(struct tarout *t, const void *bytes, size_t len, struct err *e)
{
	int r;

	BUG_ON(len > t->left);
	r = put(t, bytes, len, e);
	if (r >= 0)
		t->left -= len;
	return r < 0 || t->left > 0 ? r : put_padding(t, e);
}

int tarout_file(struct tarout *t, const char *name, const void *bytes, size_t len, struct err *e)
{
	const struct tar_entry n = { .type = TAR_FILE, .name = name, .link = "", .mode = 0644, .size = len };
	int r = tarout_entry(t, &n, e);

	return r < 0 ? r : tarout_data(t, bytes, len, e);
}

int tarout_end(struct tarout *t, struct err *e)
{
	static const char zeros[2 * BLOCK_BYTES];

	BUG_ON(t->left > 0);
	return put(t, zeros, sizeof(zeros), e);
}
