/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_read.c - what handlers have in common: fields, ids, limiters, files */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

/* among() - is @word one of @words, which blanks separate? */
static bool among(const char *words, const char *word)
{
	size_t len = strlen(word);

	while (*words) {
		size_t n = strcspn(words, " ");

		if (n == len && memcmp(words, word, n) == 0)
			return true;
		words += n;
		words += strspn(words, " ");
	}
	return false;
}

void fc__fields(const struct json_at *at, const char *known)
{
	json_read_obj(at, NULL); /* or it says what it got */
	for (size_t i = 0; i < json_count(at); i++) {
		const char *key = at->value->item[i].key;

		if (!among(known, key)) {
			json_fail(at, NULL, EINVAL, "unknown field '%.64s', want one of: %s", key, known);
			return;
		}
		for (size_t k = 0; k < i; k++)
			if (str_eq(at->value->item[k].key, key)) {
				json_fail(at, key, EINVAL, "given twice");
				return;
			}
	}
}

static int check_name(const char *s, struct err *e)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	size_t len = strlen(s);

	if (len == 0)
		return err_set(e, EINVAL, "The ID cannot be empty");
	if (s[strspn(s, good)])
		return err_set(e, EINVAL,
			       "API Resource IDs can only contain alphanumeric characters and underscores");
	if (len > MACHINE_NAME_MAX)
		return err_set(e, EINVAL, "The ID is longer than %d characters", MACHINE_NAME_MAX);
	return 0;
}

void fc__read_id(struct fc_call *c, const char *key, char *dst)
{
	const char *s = json_read_str(c->body, key);
	struct err e = { 0 };

	*dst = '\0';
	if (c->id && check_name(c->id, &e) < 0) {
		json_fail(c->body, NULL, EINVAL, "%s", e.text);
		return;
	}
	json_need(c->body, key);
	if (json_finish(c->body->doc) < 0)
		return;
	if (check_name(s, &e) < 0)
		json_fail(c->body, key, EINVAL, "%s", e.text);
	else if (c->id && !str_eq(c->id, s))
		json_fail(c->body, key, EINVAL,
			  "The id from the path [%s] does not match the id from the body [%s]", c->id, s);
	else
		str_copy(dst, MACHINE_NAME_MAX + 1, s);
}

void fc__read_bucket(const struct json_at *at, const char *key, struct bucket_config *b)
{
	struct json_at o = json_read_obj(at, key);

	if (!o.value)
		return;
	json_need(&o, "size");
	json_need(&o, "refill_time");
	*b = (struct bucket_config){
		.size = json_read_u64(&o, "size", UINT64_MAX, 0),
		.refill_ms = json_read_u64(&o, "refill_time", UINT64_MAX / NSEC_PER_MSEC, 0),
		.burst = json_read_u64(&o, "one_time_burst", UINT64_MAX, 0),
	};
}

void fc__read_limiter(const struct json_at *at, const char *key, struct limiter_config *l)
{
	struct json_at o = json_read_obj(at, key);

	if (!o.value)
		return;
	fc__fields(&o, "bandwidth ops");
	fc__read_bucket(&o, "bandwidth", &l->bytes);
	fc__read_bucket(&o, "ops", &l->ops);
}

static bool bucket_on(const struct bucket_config *b)
{
	return b->size && b->refill_ms;
}

static void put_bucket(struct json_out *o, const char *key, const struct bucket_config *b)
{
	if (!bucket_on(b)) {
		json_put_str(o, key, NULL);
		return;
	}
	json_put_open(o, key, '{');
	json_put_u64(o, "size", b->size);
	json_put_u64(o, "one_time_burst", b->burst);
	json_put_u64(o, "refill_time", b->refill_ms);
	json_put_close(o, '}');
}

void fc__put_limiter(struct json_out *o, const char *key, const struct limiter_config *l)
{
	if (!bucket_on(&l->bytes) && !bucket_on(&l->ops)) {
		json_put_str(o, key, NULL);
		return;
	}
	json_put_open(o, key, '{');
	put_bucket(o, "bandwidth", &l->bytes);
	put_bucket(o, "ops", &l->ops);
	json_put_close(o, '}');
}

void fc__file_fini(struct machine_file *f)
{
	free(f->path);
	fd_close(&f->fd);
	f->path = NULL;
}

int fc__open(struct fc *f, struct machine_file *file, enum fc_file which, const char *path, int flags,
	     const char *what, struct err *e)
{
	auto_close int fd = fc__open_fd(f, which, path, flags | O_NONBLOCK);
	char *copy;

	if (fd < 0)
		return err_sys(e, -fd, "%s '%s'", what, path);
	copy = strdup(path);
	if (!copy)
		return err_sys(e, ENOMEM, "%s '%s'", what, path);
	fc__file_fini(file);
	*file = (struct machine_file){ .path = copy, .fd = TAKE_FD(fd) };
	return 0;
}

void *fc__grow(struct fc_call *c, void **array, unsigned *n, size_t size, unsigned max, const char *what)
{
	void *more;

	if (*n == max) {
		err_set(c->e, ENOSPC, "More than %u %s", max, what);
		return NULL;
	}
	more = realloc(*array, (*n + 1) * size);
	if (!more) {
		err_sys(c->e, ENOMEM, "%s", what);
		return NULL;
	}
	*array = more;
	return memset((char *)more + (size_t)(*n)++ * size, 0, size);
}

int fc__set_str(char **dst, const char *s, struct err *e)
{
	char *copy = s ? strdup(s) : NULL;

	if (s && !copy)
		return err_sys(e, ENOMEM, "'%.64s'", s);
	free(*dst);
	*dst = copy;
	return 0;
}

static void put_value(struct json_out *o, const struct json_value *v)
{
	switch (v->kind) {
	case JV_LIST:
	case JV_OBJECT:
		json_put_open(o, v->key, v->kind == JV_LIST ? '[' : '{');
		for (uint32_t i = 0; i < v->n; i++)
			put_value(o, &v->item[i]);
		json_put_close(o, v->kind == JV_LIST ? ']' : '}');
		break;
	case JV_STRING: json_put_str(o, v->key, v->string); break;
	case JV_UINT: json_put_u64(o, v->key, v->number); break;
	case JV_NEGATIVE: json_put_i64(o, v->key, v->negative); break;
	case JV_BOOL: json_put_bool(o, v->key, v->truth); break;
	default: json_put_str(o, v->key, NULL); break;
	}
}

int fc__keep_json(char **dst, const struct json_at *at, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	struct json_out o = { .to = &text };
	struct json_value v = *at->value;

	v.key = NULL;
	put_value(&o, &v);
	if (buf_finish(&text) < 0)
		return err_sys(e, ENOMEM, "configuration");
	free(*dst);
	*dst = buf_take(&text);
	return 0;
}

int fc__not_yet(struct fc_call *c, const char *what)
{
	return err_set(c->e, EOPNOTSUPP, "%s: not there yet", what);
}
