/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/print.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

static bool word_in(const char *words, const char *word, size_t len)
{
	while (*words) {
		size_t n = strcspn(words, " ");

		if (n == len && memcmp(words, word, len) == 0)
			return true;
		words += n + (words[n] == ' ');
	}
	return false;
}

int filter_check(const struct strv *filters, const char *keys, struct err *e)
{
	for (size_t i = 0; i < filters->len; i++) {
		const char *f = filters->item[i];
		size_t len = strcspn(f, "=");

		if (!f[len])
			return err_set(e, EINVAL, "invalid argument \"%s\" for --filter: KEY=VALUE is wanted",
				       f);
		if (len > 0 && word_in(keys, f, len))
			continue;
		return err_set(e, EINVAL, "invalid argument \"%s\" for --filter: no such key; there are: %s",
			       f, keys);
	}
	return 0;
}

/* filter_value() - the value when @f is for @key, else NULL */
static const char *filter_value(const char *f, const char *key)
{
	size_t len = strlen(key);

	return strncmp(f, key, len) == 0 && f[len] == '=' ? f + len + 1 : NULL;
}

bool filter_has(const struct strv *filters, const char *key)
{
	for (size_t i = 0; i < filters->len; i++)
		if (filter_value(filters->item[i], key))
			return true;
	return false;
}

bool filter_match(const struct strv *filters, const char *key, bool (*is)(const void *arg, const char *value),
		  const void *arg)
{
	bool asked = false;

	for (size_t i = 0; i < filters->len; i++) {
		const char *value = filter_value(filters->item[i], key);

		if (value && is(arg, value))
			return true;
		asked |= value != NULL;
	}
	return !asked;
}

static bool has_label(const json_t *labels, const char *want)
{
	size_t len = strcspn(want, "=");
	const json_t *value = json_object_getn(labels, want, len);

	return value && (!want[len] || str_eq(json_string_value(value), want + len + 1));
}

bool filter_labels(const struct strv *filters, const json_t *labels)
{
	for (size_t i = 0; i < filters->len; i++) {
		const char *yes = filter_value(filters->item[i], "label");
		const char *no = filter_value(filters->item[i], "label!");

		if ((yes && !has_label(labels, yes)) || (no && has_label(labels, no)))
			return false;
	}
	return true;
}

bool filter_equals(const void *arg, const char *value)
{
	return str_eq(arg, value);
}

bool filter_contains(const void *arg, const char *value)
{
	return arg && strstr(arg, value);
}

bool filter_prefix(const void *arg, const char *value)
{
	return arg && str_starts(arg, value);
}
