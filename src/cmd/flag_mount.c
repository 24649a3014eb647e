/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/run_flags.h"

/* put_field() - one more field of a CSV record, quoted when it must be */
static void put_field(struct buf *b, const char *key, const char *value)
{
	const char *eq = value ? "=" : "";
	bool quote = value && strpbrk(value, ",\"\n");

	if (b->len > 0)
		buf_putc(b, ',');
	buf_printf(b, "%s%s%s", quote ? "\"" : "", key, eq);
	for (const char *s = value ? value : ""; *s; s++) {
		if (*s == '"')
			buf_putc(b, '"');
		buf_putc(b, *s);
	}
	if (quote)
		buf_putc(b, '"');
}

static int take_record(struct strv *mounts, struct buf *b, struct err *e)
{
	if (buf_finish(b) < 0)
		return err_sys(e, ENOMEM, "reading the mounts");
	strv_add(mounts, buf_str(b));
	return 0;
}

/* put_volume_option() - one word behind the second colon of -v. Return: false when it means nothing. */
static bool put_volume_option(struct buf *b, const char *word, bool bind)
{
	static const char *const propagation[] = { "private", "rprivate", "shared",
						   "rshared", "slave",    "rslave" };
	static const char *const ignored[] = { "", "rw", "consistent", "cached",
					       "delegated" }; /* what is so anyway */

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (str_eq(word, ignored[i]))
			return true;
	if (str_eq(word, "ro") || str_eq(word, "z") || str_eq(word, "Z")) {
		put_field(b, str_eq(word, "ro") ? "readonly" : word, NULL);
		return true;
	}
	if (str_eq(word, "nocopy") && !bind) {
		put_field(b, "volume-nocopy", NULL);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(propagation) && bind; i++)
		if (str_eq(word, propagation[i])) {
			put_field(b, "bind-propagation", word);
			return true;
		}
	return false;
}

static int put_volume_options(struct buf *b, const char *text, const char *options, bool bind, struct err *e)
{
	auto_fini(strv) struct strv word = { 0 };

	strv_split(&word, options, ',');
	for (size_t i = 0; i < word.len; i++)
		if (!put_volume_option(b, word.item[i], bind))
			return err_set(e, EINVAL,
				       "invalid argument \"%s\" for --volume: '%s' is not an option of a %s",
				       text, word.item[i], bind ? "bind mount" : "volume");
	return 0;
}

/* put_source() - a path (made absolute) is a bind mount, a word the name of a volume */
static int put_source(struct buf *b, const char *text, const char *source, struct err *e)
{
	auto_free char *here = NULL;
	auto_free char *path = NULL;

	if (*source == '/') {
		put_field(b, "type", "bind");
		put_field(b, "src", source);
		return 0;
	}
	if (*source != '.') {
		if (strchr(source, '/'))
			return flag_bad(e, "volume", text,
					"a volume's name has no '/'; a path starts with '/' or './'");
		put_field(b, "type", "volume");
		put_field(b, "src", source);
		return 0;
	}
	here = realpath(".", NULL);
	path = here ? str_printf("%s/%s", here, source) : NULL;
	if (!path)
		return err_sys(e, errno, "--volume %s: the working directory", text);
	put_field(b, "type", "bind");
	put_field(b, "src", path);
	return 0;
}

static int put_anonymous(struct buf *b)
{
	put_field(b, "type", "volume");
	return 0;
}

int flag_volume(struct strv *mounts, const char *text, struct err *e)
{
	auto_fini(strv) struct strv part = { 0 };
	auto_fini(buf) struct buf b = { 0 };
	const char *target, *options;
	bool bind;
	int r;

	strv_split(&part, text, ':');
	if (strv_finish(&part) < 0)
		return err_sys(e, ENOMEM, "--volume");
	if (part.len > 3)
		return flag_bad(e, "volume", text, "more than two colons");
	target = part.item[part.len > 1 ? 1 : 0];
	options = part.len > 2 ? part.item[2] : "";
	if (*target != '/' || str_eq(target, "/"))
		return flag_bad(e, "volume", text,
				"an absolute path inside the container, not '/', is wanted");
	if (part.len > 1 && !*part.item[0])
		return flag_bad(e, "volume", text, "nothing in front of the colon");
	bind = part.len > 1 && strchr("/.", part.item[0][0]);
	if (part.len > 1)
		r = put_source(&b, text, part.item[0], e);
	else
		r = put_anonymous(&b);
	if (r < 0)
		return r;
	put_field(&b, "dst", target);
	r = put_volume_options(&b, text, options, bind, e);
	if (r < 0)
		return r;
	if (bind)
		put_field(&b, "bind-create-src", NULL);
	return take_record(mounts, &b, e);
}

int flag_tmpfs(struct strv *mounts, const char *text, struct err *e)
{
	auto_fini(strv) struct strv word = { 0 };
	auto_fini(buf) struct buf b = { 0 };
	auto_free char *target = strndup(text, strcspn(text, ":"));
	const char *options = strchr(text, ':');

	if (!target)
		return err_sys(e, ENOMEM, "--tmpfs");
	if (*target != '/' || str_eq(target, "/"))
		return flag_bad(e, "tmpfs", text,
				"an absolute path inside the container, not '/', is wanted");
	put_field(&b, "type", "tmpfs");
	put_field(&b, "dst", target);
	if (options)
		strv_split(&word, options + 1, ',');
	for (size_t i = 0; i < word.len; i++) {
		const char *size = str_after(word.item[i], "size=");
		const char *mode = str_after(word.item[i], "mode=");
		int64_t bytes;

		if (size && str_to_bytes(size, &bytes) < 0 && !str_ends(size, "%"))
			return flag_bad(e, "tmpfs", text, "size= wants a size such as 64m");
		if (mode && (!*mode || strspn(mode, "01234567") != strlen(mode)))
			return flag_bad(e, "tmpfs", text, "mode= wants octal digits");
		if (size)
			put_field(&b, "tmpfs-size", size);
		else if (mode)
			put_field(&b, "tmpfs-mode", mode);
		else if (*word.item[i])
			put_field(&b, word.item[i], NULL);
	}
	return take_record(mounts, &b, e);
}
