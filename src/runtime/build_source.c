/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: COPY and ADD in three moves. plan: words and flags, without touching a file, enough
 * for the quick cache key of --from. open: the sources, found below the source root by
 * openat2(RESOLVE_IN_ROOT), so a symlink of a hostile context ends inside of it; one that is named is
 * followed, those found on the way through a directory are copied as they are. walk: see build_tree.c.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/decomp.h"
#include "fmt/glob.h"
#include "runtime/build_internal.h"
#include "sys/file.h"
#include "sys/path.h"

enum { COPY_SOURCES_MAX = 100000 };

/* --- plan ----------------------------------------------------------------------------------------------- */

const struct build_stage *build__stage_find(const struct build *b, const struct build_stage *before,
					    const char *name)
{
	const struct build_stage *found = NULL;
	uint64_t number;

	for (const struct build_stage *s = b->stages; s < before; s++) {
		if (s->df->name && strcasecmp(s->df->name, name) == 0)
			found = s;
	}
	if (!found && str_to_u64(name, &number) == 0 && number < (uint64_t)(before - b->stages))
		found = &b->stages[number];
	return found;
}

static int from_layers(struct build_copy *c, struct err *e)
{
	const struct build_stage *stage = build__stage_find(c->b, c->stage, c->from);
	auto_fini(image) struct image im = { 0 };
	int r;

	if (stage) {
		for (size_t i = 0; i < stage->layers.len; i++)
			strv_add(&c->from_layers, stage->layers.item[i]);
		return strv_finish(&c->from_layers);
	}
	r = store_image_find(c->b->store, c->from, &im, e);
	if (r < 0)
		return err_wrap(e, r, "--from=%s: neither a stage nor an image", c->from);
	for (size_t i = 0; i < im.n_layers; i++)
		strv_add(&c->from_layers, im.layers[i]);
	return strv_finish(&c->from_layers);
}

static int octal(const char *text, mode_t *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 8);

	if (!*text || *end || n > 07777)
		return -EINVAL;
	*ret = (mode_t)n;
	return 0;
}

static int flags(struct build_copy *c, struct err *e)
{
	const char *chown = df_flag(c->inst, "chown"), *chmod = df_flag(c->inst, "chmod");
	char *text;
	int r = 0;

	if (chown) {
		r = build__expand(&c->stage->scope, chown, &text, &c->b->arena, e);
		c->chown = r >= 0 ? text : NULL;
	}
	if (r >= 0 && chmod) {
		r = build__expand(&c->stage->scope, chmod, &text, &c->b->arena, e);
		if (r >= 0 && octal(text, &c->mode) < 0)
			r = err_set(e, EINVAL, "--chmod=%s: not an octal mode", text);
		c->mode_set = true;
	}
	c->from = df_flag(c->inst, "from");
	if (r >= 0 && c->from)
		r = from_layers(c, e);
	return r;
}

static int add(struct build_copy *c, const struct build_source *s, struct err *e)
{
	if (c->n == COPY_SOURCES_MAX)
		return err_set(e, E2BIG, "more than %d sources", COPY_SOURCES_MAX);
	if (c->n == c->room) {
		size_t room = c->room ? 4 * c->room : 16;
		struct build_source *v = arena_array(&c->b->arena, room, sizeof(*v));

		if (!v)
			return err_set(e, ENOMEM, "out of memory");
		if (c->n > 0)
			memcpy(v, c->v, c->n * sizeof(*v));
		c->v = v;
		c->room = room;
	}
	c->v[c->n++] = *s;
	return 0;
}

static int destination(struct build_copy *c, struct err *e)
{
	char *text;
	size_t len;
	int r = build__expand(&c->stage->scope, c->inst->words[c->inst->n_words - 1], &text, &c->b->arena, e);

	if (r < 0)
		return r;
	if (!*text)
		return err_set(e, EINVAL, "an empty destination");
	len = strlen(text);
	c->dest_slash = text[len - 1] == '/' || str_eq(text, ".") || str_ends(text, "/.");
	if (c->inst->n_words > 2 && !c->dest_slash)
		return err_set(e, EINVAL, "with more than one source the destination must end with '/'");
	return build__abs_path(c->stage->scope.image, text, &c->dest, &c->b->arena);
}

int build__copy_plan(struct build_copy *c, struct build *b, struct build_stage *s, const struct df_inst *inst,
		     struct err *e)
{
	int r;

	*c = (struct build_copy){
		.b = b,
		.stage = s,
		.inst = inst,
		.name = df_op_name(inst->op),
		.srcfd = -1,
		.other = BUILD_ROOT_NONE,
		.rootfd = -1,
	};
	r = flags(c, e);
	if (r >= 0)
		r = destination(c, e);
	return r < 0 ? err_wrap(e, r, "%s", c->name) : 0;
}

void build_copy_fini(struct build_copy *c)
{
	build_root_fini(&c->other);
	strv_fini(&c->from_layers);
}

/* --- open ----------------------------------------------------------------------------------------------- */

/* add_path() - @path if it is there. @must: it was named, not found by a pattern. */
static int add_path(struct build_copy *c, const char *path, bool must, struct err *e)
{
	struct build_source s = { .path = arena_strdup(&c->b->arena, path) };
	auto_close int fd = path_open_in_root(c->srcfd, path, O_PATH, 0);
	bool skipped;

	if (!s.path)
		return err_set(e, ENOMEM, "out of memory");
	if (fd < 0 || fstat(fd, &s.st) < 0) {
		if (!must && (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP))
			return 0;
		if (fd == -ENOENT || fd == -ENOTDIR)
			return err_set(e, ENOENT, "'%s': not found in %s", path,
				       c->from ? c->from : "the build context");
		return err_sys(e, fd < 0 ? -fd : errno, "'%s'", path);
	}
	skipped = build__copy_skips(c, path) && !(S_ISDIR(s.st.st_mode) && c->b->ignore.has_keep);
	if (skipped)
		return must ? err_set(e, ENOENT, "'%s': left out of the build context by .dockerignore",
				      path) :
			      0;
	if (!S_ISREG(s.st.st_mode) && !S_ISDIR(s.st.st_mode))
		return must ? err_set(e, EINVAL, "'%s': neither a file nor a directory", path) : 0;
	return add(c, &s, e);
}

/* add_pattern() - @rest's components below @done, each against the names that are there. */
static int add_pattern(struct build_copy *c, const char *done, const char *rest, struct err *e)
{
	size_t n = strcspn(rest, "/");
	auto_free char *part = strndup(rest, n);
	auto_fini(strv) struct strv names = { 0 };
	int r = 0;

	if (!part)
		return err_set(e, ENOMEM, "out of memory");
	if (glob_has_magic(part)) {
		auto_close int dir = path_open_in_root(c->srcfd, done, O_RDONLY | O_DIRECTORY, 0);

		if (dir < 0)
			return 0; /* a pattern over nothing matches nothing */
		r = build__list(dir, &names);
	} else {
		strv_add(&names, part);
	}
	for (size_t i = 0; i < names.len && r >= 0; i++) {
		auto_free char *path = str_printf("%s%s%s", done, *done ? "/" : "", names.item[i]);

		if (!path)
			return err_set(e, ENOMEM, "out of memory");
		if (glob_has_magic(part) &&
		    !glob_match(part, names.item[i], strlen(names.item[i]), GLOB_PATH))
			continue;
		r = rest[n] ? add_pattern(c, path, rest + n + 1, e) : add_path(c, path, false, e);
	}
	return r;
}

/* climbs() - does @path lead above where it starts? */
static bool climbs(const char *path)
{
	int depth = 0;

	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.')
			depth--;
		else if (n > 0 && !(n == 1 && *path == '.'))
			depth++;
		if (depth < 0)
			return true;
		path += n;
		path += *path == '/';
	}
	return false;
}

bool build__is_remote(const char *word)
{
	return str_starts(word, "http://") || str_starts(word, "https://") || str_starts(word, "git://") ||
	       str_starts(word, "git@") || str_starts(word, "ssh://") || str_starts(word, "ftp://");
}

static int add_doc(struct build_copy *c, const struct df_heredoc *doc, struct err *e)
{
	const struct df_vars vars = { .lookup = build__scope_get, .arg = &c->stage->scope, .escape = '\\' };
	struct build_source s = { .path = doc->name, .doc = doc, .doc_text = doc->text };
	int r = 0;

	if (strchr(doc->name, '/') || str_eq(doc->name, ".") || str_eq(doc->name, ".."))
		return err_set(e, EINVAL, "'%s' cannot be the name of a file", doc->name);
	if (doc->expand) {
		char *text;

		r = df_expand_doc(&vars, doc->text, &text, &c->b->arena, e);
		s.doc_text = text;
	}
	return r < 0 ? r : add(c, &s, e);
}

static int add_word(struct build_copy *c, const char *word, struct err *e)
{
	char *text, *path;
	int r;

	for (size_t i = 0; i < c->inst->n_docs; i++) {
		if (str_eq(c->inst->docs[i].word, word))
			return add_doc(c, &c->inst->docs[i], e);
	}
	r = build__expand(&c->stage->scope, word, &text, &c->b->arena, e);
	if (r < 0)
		return r;
	if (c->inst->op == DF_ADD && build__is_remote(text))
		return err_set(e, EOPNOTSUPP, "'%s': a URL is not supported yet", text);
	if (c->srcfd < 0)
		return err_set(e, ENOENT, "'%s': there is no build context", text);
	if (!c->from && climbs(text))
		return err_set(e, EPERM, "'%s': forbidden path outside the build context", text);
	path = build__clean_path(text, &c->b->arena);
	if (!path)
		return err_set(e, ENOMEM, "out of memory");
	return glob_has_magic(path) ? add_pattern(c, "", path + 1, e) : add_path(c, path + 1, true, e);
}

/* Bytes of an open file, for the decoder. */
struct fd_source {
	int fd;
	uint8_t bytes[65536];
};

static ssize_t fd_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct fd_source *s = arg;
	ssize_t n = file_read(s->fd, s->bytes, sizeof(s->bytes));

	if (n < 0)
		return err_sys(e, (int)-n, "read");
	*ret_bytes = s->bytes;
	return n;
}

/* head_of_tar() - does the decoded stream begin with a tar header? */
static bool head_of_tar(const struct source *plain)
{
	uint8_t head[512];
	size_t have = 0;

	while (have < sizeof(head)) {
		const uint8_t *bytes;
		ssize_t n = plain->next(plain->arg, &bytes, NULL);

		if (n <= 0)
			return false;
		if ((size_t)n > sizeof(head) - have)
			n = (ssize_t)(sizeof(head) - have);
		memcpy(head + have, bytes, (size_t)n);
		have += (size_t)n;
	}
	return memcmp(head + 257, "ustar", 5) == 0;
}

static bool is_archive(int fd)
{
	auto_free struct fd_source *s = malloc(sizeof(*s));
	struct source from = { .next = fd_next, .arg = s }, plain;
	struct decomp *d = NULL;
	bool yes;

	if (!s)
		return false;
	s->fd = fd;
	if (decomp_new(&d, &from, NULL) < 0)
		return false;
	plain = decomp_source(d);
	yes = head_of_tar(&plain);
	decomp_free(d);
	return yes;
}

int build__copy_untar_fd(struct build_copy *c, int fd, struct err *e)
{
	auto_free struct fd_source *s = malloc(sizeof(*s));
	struct source from = { .next = fd_next, .arg = s }, plain;
	auto_close int out = file_open(store_rootfd(c->b->store), "tmp", O_TMPFILE | O_RDWR, 0600);
	struct decomp *d = NULL;
	const uint8_t *bytes;
	ssize_t n;
	int r;

	if (!s || out < 0)
		return err_sys(e, s ? -out : ENOMEM, "temporary file");
	s->fd = fd;
	r = decomp_new(&d, &from, e);
	if (r < 0)
		return r;
	plain = decomp_source(d);
	while (r >= 0 && (n = plain.next(plain.arg, &bytes, e)) != 0) {
		r = n < 0 ? (int)n : file_write(out, bytes, (size_t)n);
		if (r < 0 && n > 0)
			err_sys(e, -r, "write to a temporary file");
	}
	decomp_free(d);
	if (r >= 0 && lseek(out, 0, SEEK_SET) < 0)
		r = err_sys(e, errno, "seek");
	return r < 0 ? r : TAKE_FD(out);
}

/* find_archives() - which sources of an ADD are to be unpacked. */
static int find_archives(struct build_copy *c)
{
	for (size_t i = 0; i < c->n; i++) {
		auto_close int fd = -1;

		if (c->v[i].doc || !S_ISREG(c->v[i].st.st_mode))
			continue;
		fd = path_open_in_root(c->srcfd, c->v[i].path, O_RDONLY | O_NONBLOCK, 0);
		if (fd < 0)
			return fd;
		c->v[i].unpack = is_archive(fd);
	}
	return 0;
}

int build__copy_open(struct build_copy *c, struct err *e)
{
	int r = 0;

	c->srcfd = c->b->ctxfd;
	if (c->from) {
		r = build__root_open(&c->other, c->b->store, &c->from_layers, e);
		c->srcfd = c->other.mount;
	}
	for (size_t i = 0; i + 1 < c->inst->n_words && r >= 0; i++)
		r = add_word(c, c->inst->words[i], e);
	if (r >= 0 && c->n == 0)
		r = err_set(e, ENOENT, "no file matches in %s", c->from ? c->from : "the build context");
	if (r >= 0 && c->n > 1 && !c->dest_slash)
		r = err_set(e, EINVAL, "with more than one source the destination must end with '/'");
	if (r >= 0 && c->inst->op == DF_ADD)
		r = find_archives(c);
	return r < 0 ? err_wrap(e, r, "%s", c->name) : 0;
}
