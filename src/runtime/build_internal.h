/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_internal.h - what the parts of the builder share
 *
 * build.c plans stages and makes the image; build_meta.c edits configurations; build_step.c makes a layer
 * or finds it in the cache; build_source.c finds what COPY and ADD name, build_tree.c copies and digests
 * it; build_run.c runs; build_progress.c tells.
 */
#ifndef RUNTIME_BUILD_INTERNAL_H
#define RUNTIME_BUILD_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"
#include "fmt/digest.h"
#include "fmt/dockerfile.h"
#include "fmt/dockerignore.h"
#include "runtime/build.h"

/* --- progress ------------------------------------------------------------------------------------------- */

enum { BUILD_TAIL_MAX = 65536 }; /* bytes of a failed step's output shown on a terminal */

struct build_progress {
	enum build_progress_kind kind; /* never BUILD_AUTO */
	int fd;                        /* borrowed */
	unsigned n;                    /* of the step under way, from 1 */
	char title[256];
	nsec_t started;
	struct buf line; /* output not yet ended by a newline */
	struct buf tail; /* output kept for the case of failure */
};

void build__progress_begin(struct build_progress *p, const char *title);
void build__progress_output(struct build_progress *p, const char *bytes, size_t len);
void build__progress_end(struct build_progress *p, bool cached, bool failed);
void build_progress_fini(struct build_progress *p);

/* --- the build ------------------------------------------------------------------------------------------ */

/* Variables: an image's environment first, then arguments. */
struct build_scope {
	json_t *image;    /* borrowed; NULL: no environment */
	struct strv args; /* "K=V" */
	char escape;
};

struct build_stage {
	const struct df_stage *df;
	const struct build_stage *base;  /* FROM another stage, or NULL */
	struct build_scope scope;        /* scope.image is owned here */
	struct strv layers;              /* diff ids, bottom first */
	char created[TIME_RFC3339_SIZE]; /* of the newest layer; "" while unknown */
	struct df_inst *triggers;        /* ONBUILD of the base image; the arena's */
	size_t n_triggers;
	unsigned step, steps; /* for "[2/4]" */
	bool needed, cmd_set;
};

struct build {
	struct runtime *rt;           /* borrowed */
	struct store *store;          /* borrowed */
	const struct build_config *c; /* borrowed */
	struct arena arena;
	struct dockerfile df;
	struct dockerignore ignore;
	struct build_scope global;  /* ARGs in front of the first FROM */
	struct strv used_args;      /* names of --build-arg that some ARG took */
	struct build_stage *stages; /* one for each of df.stages; the arena's */
	int ctxfd;                  /* the context; -1: none */
	struct build_progress progress;
	int64_t epoch_s; /* SOURCE_DATE_EPOCH; -1: not given */
};

/* --- variables and configuration ------------------------------------------------------------------------ */

const char *build__scope_get(void *scope, const char *name);
int build__scope_set(struct build_scope *s, const char *key, const char *value);
int build__expand(const struct build_scope *s, const char *word, char **ret, struct arena *a, struct err *e);

json_t *build__config_of(json_t *image); /* its "config" object, made when missing; borrowed */
const char *build__config_str(json_t *image, const char *key); /* "" when absent */
/* build__shell() - the words in front of a shell-form command. */
json_t *build__shell(json_t *image); /* new reference */
/* build__abs_path() - @path from the working directory, cleaned. */
int build__abs_path(json_t *image, const char *path, char **ret, struct arena *a);
/* build__clean_path() - absolute, no "." or ".."; NULL: out of memory. */
char *build__clean_path(const char *path, struct arena *a);
int build__history_add(json_t *image, const char *created, const char *created_by, bool empty_layer);
/* build__meta() - an instruction that makes no layer. @cmd_set: CMD stood in this stage already. */
int build__meta(struct build_scope *s, const struct df_inst *inst, bool *cmd_set, struct arena *a,
		struct err *e);

/* --- layers --------------------------------------------------------------------------------------------- */

/* A mounted root with a place to write, all in the store's tmp/; gone with build_root_fini(). */
struct build_root {
	struct store *store;
	int tmpfd;     /* locked directory, or -1 */
	char name[64]; /* "tmp/x-build-..." */
	int mount;     /* detached overlay */
	int upper;
};
#define BUILD_ROOT_NONE                                                                                      \
	{                                                                                                    \
		.tmpfd = -1, .mount = -1, .upper = -1                                                        \
	}
int build__root_open(struct build_root *r, struct store *st, const struct strv *layers, struct err *e);
void build_root_fini(struct build_root *r);
/* build__sweep() - remove what killed builds left, the containers of their steps too. */
void build__sweep(struct store *st);

/* build__step() - RUN, COPY, ADD or WORKDIR: from the cache, or made. */
int build__step(struct build *b, struct build_stage *s, const struct df_inst *inst, struct err *e);

/* build__key_begin() - a digest of everything a step builds on: kind of step, layers below. */
void build__key_begin(struct digest *d, const char *kind, const struct strv *layers);
void build__key_str(struct digest *d, const char *s); /* NULL is told from "" */
void build__key_json(struct digest *d, json_t *v);

/* --- COPY and ADD --------------------------------------------------------------------------------------- */

struct build_source {                 /* one thing to copy */
	const char *path;             /* in the source root, clean, no slash in front; "" is all of it */
	const struct df_heredoc *doc; /* or a here-document, with its text expanded in @doc_text */
	const char *doc_text;
	struct stat st; /* of the thing, symlinks followed; not for documents */
	bool unpack;    /* ADD of an archive */
};

struct build_copy {
	struct build *b;
	struct build_stage *stage;
	const struct df_inst *inst;
	const char *name;        /* "COPY", "ADD" */
	const char *from;        /* --from as written; NULL: the context */
	int srcfd;               /* borrowed: context or other.mount */
	struct build_root other; /* --from's */
	struct strv from_layers;
	struct build_source *v; /* the arena's */
	size_t n, room;
	char *dest;        /* absolute, clean, the arena's */
	bool dest_slash;   /* it was written with a slash at its end */
	const char *chown; /* NULL: 0:0, or with --from as it was */
	bool owner_set, mode_set;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	/* of the walk under way */
	struct digest *digest; /* what is read goes in here */
	int rootfd;            /* the destination root; -1: only digest */
};

/* build__stage_find() - a stage in front of @before by name or number, or NULL. */
const struct build_stage *build__stage_find(const struct build *b, const struct build_stage *before,
					    const char *name);
int build__copy_plan(struct build_copy *c, struct build *b, struct build_stage *s, const struct df_inst *inst,
		     struct err *e);
int build__copy_open(struct build_copy *c, struct err *e); /* find the sources */
void build_copy_fini(struct build_copy *c);
/* build__copy_walk() - every source, in order: digested, and copied when c->rootfd >= 0. */
int build__copy_walk(struct build_copy *c, struct err *e);

bool build__is_remote(const char *word); /* a URL, for ADD */
/* build__copy_untar_fd() - @fd's archive as plain tar in a temporary file. Return: descriptor. */
int build__copy_untar_fd(struct build_copy *c, int fd, struct err *e);

/*
 * build__copy_tree() - @name in @srcdir onto @dstname in @dstdir (-1: only digest); @path: in the source
 * root, for the ignore file.
 */
int build__copy_tree(struct build_copy *c, int srcdir, const char *name, const char *path, int dstdir,
		     const char *dstname, struct err *e);
int build__copy_children(struct build_copy *c, int srcdir, const char *path, int dstdir, struct err *e);
/* build__copy_digest() - what a thing is, without what it holds. */
void build__copy_digest(struct build_copy *c, const char *path, const struct stat *st);
/* build__copy_file() - the open file @in to @out (-1: only digest). */
int build__copy_file(struct build_copy *c, int in, const struct stat *st, int out, struct err *e);
/* build__copy_create() - a new file in place of whatever is no directory. Return: descriptor. */
int build__copy_create(int dstdir, const char *dstname, struct err *e);
int build__copy_meta(struct build_copy *c, int fd, const struct stat *st, struct err *e);
bool build__copy_skips(const struct build_copy *c, const char *path);
/* build__list() - names in a directory, sorted. */
int build__list(int dirfd, struct strv *names);

/* --- RUN ------------------------------------------------------------------------------------------------ */

/* build__run() - the command in @rootfd, its output to the progress; what it changed is in the overlay. */
int build__run(struct build *b, struct build_stage *s, const struct df_inst *inst,
	       const struct build_root *root, struct err *e);
/* build__run_command() - argv as the shell or exec form and here-documents say; new reference. */
json_t *build__run_command(struct build_stage *s, const struct df_inst *inst);

#endif
