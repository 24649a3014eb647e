/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_tree.c - names: a hash of (directory, name), and each directory's list of them */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/erofs_internal.h"

enum { FIRST_TABLE = 1024, LINKS_FOLLOWED_MAX = 40 };

void *erofs__alloc(struct erofs *w, size_t size, struct err *e)
{
	void *p = NULL;

	if (size > EROFS_META_BYTES_MAX - w->mem) {
		w->rc = err_set(e, E2BIG, "more than %d MiB of names and attributes",
				EROFS_META_BYTES_MAX >> 20);
		return NULL;
	}
	p = arena_alloc(&w->arena, size);
	if (p)
		w->mem += size;
	else
		w->rc = err_sys(e, ENOMEM, "names");
	return p;
}

/* hash() - keyed by an address, so that an archive cannot choose names that all meet in one chain */
static uint64_t hash(const struct erofs *w, const struct edir *dir, const char *name, size_t len)
{
	uint64_t h = w->seed ^ (uintptr_t)dir ^ len;

	while (len > 0) {
		size_t n = len < 8 ? len : 8;
		uint64_t part = 0;
		unsigned __int128 wide;

		memcpy(&part, name, n);
		wide = (unsigned __int128)(h ^ part) * 0x9e3779b97f4a7c15;
		h = (uint64_t)wide ^ (uint64_t)(wide >> 64) ^ w->seed;
		name += n;
		len -= n;
	}
	return h ^ h >> 29;
}

static struct edent *lookup(const struct erofs *w, const struct edir *dir, const char *name, size_t len)
{
	struct edent *d = w->table[hash(w, dir, name, len) & (w->n_table - 1)];

	while (d && !(d->parent == dir && d->len == len && memcmp(d->name, name, len) == 0))
		d = d->chain;
	return d;
}

static int grow(struct erofs *w)
{
	const size_t n = w->n_table ? 2 * w->n_table : FIRST_TABLE;
	struct edent **table = calloc(n, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < w->n_table; i++) {
		for (struct edent *d = w->table[i], *next; d; d = next) {
			struct edent **slot = &table[hash(w, d->parent, d->name, d->len) & (n - 1)];

			next = d->chain;
			d->chain = *slot;
			*slot = d;
		}
	}
	free(w->table);
	w->table = table;
	w->n_table = n;
	return 0;
}

static int new_dent(struct erofs *w, struct edir *dir, const char *name, size_t len, struct edent **ret,
		    struct err *e)
{
	const size_t size = sizeof(struct edent) + len;
	struct edent **slot, *d;

	if (w->n_dents >= w->n_table && grow(w) < 0)
		return err_sys(e, ENOMEM, "names");
	d = erofs__alloc(w, size, e);
	if (!d)
		return w->rc;
	d->parent = dir;
	d->len = (uint8_t)len;
	memcpy(d->name, name, len);
	slot = &w->table[hash(w, dir, name, len) & (w->n_table - 1)];
	d->chain = *slot;
	*slot = d;
	d->next = dir->first;
	dir->first = d;
	w->n_dents++;
	*ret = d;
	return 0;
}

int erofs__tree_new_dir(struct erofs *w, struct edir *parent, struct edir **ret, struct err *e)
{
	struct edir *d;

	if (parent && parent->depth >= EROFS_DEPTH_MAX)
		return err_set(e, E2BIG, "directories more than %d deep", EROFS_DEPTH_MAX);
	if (w->n_inodes++ >= EROFS_INODES_MAX)
		return err_set(e, E2BIG, "more than %d inodes", EROFS_INODES_MAX);
	d = erofs__alloc(w, sizeof(*d), e);
	if (!d)
		return w->rc;
	d->n.fmt = S_IFDIR;
	d->parent = parent ? parent : d;
	d->depth = parent ? parent->depth + 1 : 0;
	d->mode = 0755;
	d->mtime_s = w->time_s;
	d->mtime_ns = w->time_ns;
	*ret = d;
	return 0;
}

int erofs__tree_init(struct erofs *w, struct err *e)
{
	w->seed = (uintptr_t)w * 0xd6e8feb86659fd93 ^ (uintptr_t)&grow;
	if (grow(w) < 0)
		return -ENOMEM;
	return erofs__tree_new_dir(w, NULL, &w->root, e);
}

/* --- walking ---------------------------------------------------------------------------------------- */
/* A path on its way: symlinks among the parents are put in front of what is left of it. */
struct walk {
	struct edir *dir;
	const char *todo;
	int links;
	char text[2][PATH_MAX]; /* @todo points into one of them once a symlink was met */
	int at;
};

/*
 * component() - the next one of w->todo; its length, 0 at the end. "a//b" and "./" come from symlinks alone.
 */
static size_t component(struct walk *w)
{
	for (;;) {
		size_t n;

		w->todo += strspn(w->todo, "/");
		n = strcspn(w->todo, "/");
		if (n != 1 || w->todo[0] != '.')
			return n;
		w->todo++;
	}
}

static int follow(const struct erofs *w, struct walk *k, const struct esymlink *s)
{
	char *dst = k->text[k->at ^= 1];

	if (++k->links > LINKS_FOLLOWED_MAX)
		return -ELOOP;
	if (str_format(dst, PATH_MAX, "%s/%s", s->target, k->todo) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (s->target[0] == '/')
		k->dir = w->root;
	k->todo = dst;
	return 0;
}

/* enter() - @d is a parent on the way: make it one when nothing is there, or a whiteout */
static int enter(struct erofs *w, struct walk *k, struct edent *d, struct err *e)
{
	struct edir *made;
	int r;

	if (!d->node || d->node->whiteout) {
		r = erofs__tree_new_dir(w, k->dir, &made, e);
		if (r < 0)
			return r;
		made->opaque = d->node;
		d->node = &made->n;
	}
	if (S_ISLNK(d->node->fmt))
		return follow(w, k, (struct esymlink *)d->node);
	if (!S_ISDIR(d->node->fmt))
		return -ENOTDIR;
	k->dir = edir_of(d->node);
	return 0;
}

/* step() - one component of the way; @make: missing ones are made. -ENOENT when they are not to be. */
static int step(struct erofs *w, struct walk *k, size_t len, bool make, struct err *e)
{
	const char *name = k->todo;
	struct edent *d;
	int r;

	k->todo += len;
	if (len == 2 && memcmp(name, "..", 2) == 0) {
		k->dir = k->dir->parent;
		return 0;
	}
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	d = lookup(w, k->dir, name, len);
	if (!make && (!d || !d->node || d->node->whiteout))
		return -ENOENT;
	if (!d) {
		r = new_dent(w, k->dir, name, len, &d, e);
		if (r < 0)
			return r;
	}
	return enter(w, k, d, e);
}

/* walk() - up to the last component, which is left in @k. Return: its length (0: the root itself); -errno */
static int walk(struct erofs *w, struct walk *k, const char *path, bool make, struct err *e)
{
	size_t len;
	int r;

	k->dir = w->root;
	k->todo = path;
	k->links = k->at = 0;
	for (;;) {
		len = component(k);
		if (k->todo[len + strspn(k->todo + len, "/")] == '\0')
			return (int)len;
		r = step(w, k, len, make, e);
		if (r < 0)
			return r;
	}
}

static bool is_clean(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 0 || n > NAME_MAX || (n == 1 && path[0] == '.') ||
		    (n == 2 && memcmp(path, "..", 2) == 0))
			return false;
		path += n;
		if (*path == '/' && !*++path)
			return false;
	}
	return true;
}

int erofs__tree_place(struct erofs *w, const char *path, struct edent **ret, struct err *e)
{
	struct err why = { 0 };
	struct edent *d;
	struct walk k;
	int r;

	if (!is_clean(path) || !*path)
		return err_set(e, EINVAL, "not a clean path");
	r = walk(w, &k, path, true, &why);
	if (r < 0 && why.code)
		return err_set(e, -r, "%s", why.text);
	if (r < 0)
		return err_sys(e, -r, "a parent");
	d = lookup(w, k.dir, k.todo, (size_t)r);
	if (!d) {
		r = new_dent(w, k.dir, k.todo, (size_t)r, &d, e);
		if (r < 0)
			return r;
	}
	*ret = d;
	return 0;
}

struct enode *erofs__tree_find(struct erofs *w, const char *path)
{
	struct edent *d;
	struct walk k;
	int r;

	if (!is_clean(path))
		return NULL;
	r = walk(w, &k, path, false, NULL);
	if (r <= 0)
		return r == 0 ? &w->root->n : NULL;
	d = lookup(w, k.dir, k.todo, (size_t)r);
	return d ? d->node : NULL;
}

/* The depth of the recursion is EROFS_DEPTH_MAX at most. */
void erofs__tree_drop(struct erofs *w, struct edent *d)
{
	struct enode *n = d->node;

	d->node = NULL;
	if (!n)
		return;
	if (!S_ISDIR(n->fmt)) {
		n->nlink--;
		return;
	}
	for (struct edent *child = edir_of(n)->first; child; child = child->next)
		erofs__tree_drop(w, child);
}

/* --- for the layout --------------------------------------------------------------------------------- */
static bool is_after(const struct edent *a, const struct edent *b)
{
	const size_t n = a->len < b->len ? a->len : b->len;
	int r = memcmp(a->name, b->name, n);

	return r > 0 || (r == 0 && a->len > b->len);
}

static struct edent *merge(struct edent *a, struct edent *b)
{
	struct edent *head = NULL, **end = &head;

	while (a && b) {
		struct edent **less = is_after(a, b) ? &b : &a;

		*end = *less;
		end = &(*less)->next;
		*less = (*less)->next;
	}
	*end = a ? a : b;
	return head;
}

/* Merge sort of a list, bottom up: bin[i] holds 2^i sorted names. Names removed again go. */
void erofs__tree_sort(struct edir *dir)
{
	struct edent *bin[32] = { 0 }, *next;

	for (struct edent *d = dir->first; d; d = next) {
		struct edent *list = d;
		size_t i;

		next = d->next;
		if (!d->node)
			continue;
		d->next = NULL;
		for (i = 0; bin[i]; i++) {
			list = merge(bin[i], list);
			bin[i] = NULL;
		}
		bin[i] = list;
	}
	dir->first = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(bin); i++)
		dir->first = merge(bin[i], dir->first);
}

int erofs__tree_dot(struct erofs *w, struct edir *d, const char *name, struct edir *to, struct err *e)
{
	const size_t len = strlen(name), size = sizeof(struct edent) + len;
	struct edent *dot = erofs__alloc(w, size, e);

	if (!dot)
		return w->rc;
	dot->node = &to->n;
	dot->len = (uint8_t)len;
	memcpy(dot->name, name, len);
	dot->next = d->first;
	d->first = dot;
	return 0;
}
