/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References, as people type them: [domain[:port]/]path[:tag][@digest]
 * Spec: distribution reference grammar; a first part without '.', ':' or capitals that is not "localhost" is
 * no domain.
 */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"
#include "store/store_internal.h"

enum { REF_NAME_MAX = 255, REF_TAG_MAX = 128 };

static const char default_domain[] = "docker.io/", default_path[] = "docker.io/library/";

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* part_ok() - alphanumerics, with '.', '_', "__" or dashes between them. */
static bool part_ok(const char *s, size_t len)
{
	size_t i = 0;

	if (len == 0)
		return false;
	for (;;) {
		size_t start = i;

		while (i < len && is_lower_alnum(s[i]))
			i++;
		if (i == start)
			return false;
		if (i == len)
			return true;
		start = i;
		if (s[i] == '-') {
			while (i < len && s[i] == '-')
				i++;
		} else if (s[i] == '_') {
			while (i < len && s[i] == '_' && i - start < 2)
				i++;
		} else if (s[i] == '.') {
			i++;
		} else {
			return false;
		}
	}
}

static bool path_ok(const char *s, size_t len)
{
	const char *end = s + len;

	for (;;) {
		const char *slash = memchr(s, '/', (size_t)(end - s));

		if (!part_ok(s, (size_t)((slash ? slash : end) - s)))
			return false;
		if (!slash)
			return true;
		s = slash + 1;
	}
}

static bool domain_ok(const char *s, size_t len)
{
	const char *colon = memchr(s, ':', len);
	size_t host = colon ? (size_t)(colon - s) : len;

	if (s[0] == '[') { /* IPv6 */
		const char *close = memchr(s, ']', len);

		if (!close)
			return false;
		for (const char *p = s + 1; p < close; p++)
			if (!strchr("0123456789abcdefABCDEF:", *p))
				return false;
		host = (size_t)(close + 1 - s);
		colon = host < len ? close + 1 : NULL;
		if (colon && *colon != ':')
			return false;
	} else {
		for (size_t i = 0; i < host; i++)
			if (!is_alnum(s[i]) && (i == 0 || i + 1 == host || (s[i] != '-' && s[i] != '.')))
				return false;
	}
	if (host == 0 || (colon && host + 1 == len))
		return false;
	for (size_t i = host + 1; colon && i < len; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return true;
}

/* domain_len() - of the first part when it is one, without the slash; 0: there is none. */
static size_t domain_len(const char *name, size_t len)
{
	const char *slash = memchr(name, '/', len);
	size_t n = slash ? (size_t)(slash - name) : 0;

	if (n == 9 && memcmp(name, "localhost", 9) == 0)
		return n;
	for (size_t i = 0; i < n; i++)
		if (name[i] == '.' || name[i] == ':' || (name[i] >= 'A' && name[i] <= 'Z'))
			return n;
	return 0;
}

static bool tag_ok(const char *s, size_t len)
{
	if (len == 0 || len > REF_TAG_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(s[i]) && s[i] != '_' && (i == 0 || (s[i] != '.' && s[i] != '-')))
			return false;
	return true;
}

static const char *find_last(const char *s, size_t len, char c)
{
	return memrchr(s, c, len);
}

static bool has_upper(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] >= 'A' && s[i] <= 'Z')
			return true;
	return false;
}

int image_ref_normalize(const char *ref, char **ret_full, struct err *e)
{
	auto_fini(buf) struct buf full = { 0 };
	const char *at = strchr(ref, '@');
	size_t len = at ? (size_t)(at - ref) : strlen(ref);
	const char *slash = find_last(ref, len, '/');
	const char *colon = find_last(slash ? slash : ref, (size_t)(ref + len - (slash ? slash : ref)), ':');
	size_t name_len = colon ? (size_t)(colon - ref) : len;
	size_t domain = domain_len(ref, name_len);
	const char *path = domain ? ref + domain + 1 : ref;
	size_t path_len = (size_t)(ref + name_len - path);

	if (len == 0 || len > REF_NAME_MAX + 1 + REF_TAG_MAX)
		return err_set(e, EINVAL, "invalid reference format: '%.80s'", ref);
	if (has_upper(path, path_len))
		return err_set(e, EINVAL,
			       "invalid reference format: repository name '%.80s' must be lowercase", ref);
	if ((domain && !domain_ok(ref, domain)) || !path_ok(path, path_len) || name_len > REF_NAME_MAX ||
	    (colon && !tag_ok(colon + 1, (size_t)(ref + len - colon - 1))) || (at && !digest_valid(at + 1)))
		return err_set(e, EINVAL, "invalid reference format: '%.80s'", ref);

	if (!domain || (domain == 15 && memcmp(ref, "index.docker.io", 15) == 0))
		buf_puts(&full, memchr(path, '/', path_len) ? default_domain : default_path);
	else if (domain == 9 && memcmp(ref, "docker.io", 9) == 0 && !memchr(path, '/', path_len))
		buf_puts(&full, default_path);
	else
		buf_put(&full, ref, domain + 1);
	buf_put(&full, path, path_len);
	if (colon)
		buf_put(&full, colon, (size_t)(ref + len - colon));
	else if (!at)
		buf_puts(&full, ":latest");
	if (at)
		buf_puts(&full, at);
	*ret_full = buf_take(&full);
	return *ret_full ? 0 : err_sys(e, ENOMEM, "reference '%.80s'", ref);
}

const char *image_ref_familiar(const char *full)
{
	const char *rest = str_after(full, default_path);

	if (rest && !strchr(rest, '/'))
		return rest;
	rest = str_after(full, default_domain);
	return rest && strchr(rest, '/') ? rest : full;
}
