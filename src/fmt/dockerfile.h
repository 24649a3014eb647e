/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerfile.h - a Dockerfile as checked instructions, and its variables
 *
 * dockerfile_parse() is the one door: behind it every instruction and flag is known, argument counts are
 * right, JSON forms are read, here-documents are whole, and stages are cut. Variables are expanded later,
 * one word at a time, because their values depend on what ran before. Everything is the arena's. Errors are
 * "NAME:LINE:COLUMN: what".
 */
#ifndef FMT_DOCKERFILE_H
#define FMT_DOCKERFILE_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct err;

enum {
	DOCKERFILE_BYTES_MAX = 4 << 20,
	DF_INST_MAX = 10000,
	DF_EXPANDED_MAX = 1 << 20, /* bytes one word may become */
	DF_NESTING_MAX = 32,       /* ${a:-${b:-...}} */
};

enum df_op {
	DF_ADD,
	DF_ARG,
	DF_CMD,
	DF_COPY,
	DF_ENTRYPOINT,
	DF_ENV,
	DF_EXPOSE,
	DF_FROM,
	DF_HEALTHCHECK,
	DF_LABEL,
	DF_MAINTAINER,
	DF_ONBUILD,
	DF_RUN,
	DF_SHELL,
	DF_STOPSIGNAL,
	DF_USER,
	DF_VOLUME,
	DF_WORKDIR,
	DF_OP_COUNT
};

struct df_flag {
	const char *name, *value;
}; /* value: "" when only "--link" was written */
struct df_pair {
	const char *key, *value;
}; /* value: NULL in "ARG name" */

struct df_heredoc {
	const char *name; /* without quotes */
	const char *word; /* as it stands on the line, "<<-EOF" */
	const char *text; /* without the closing line; leading tabs gone when it was "<<-" */
	bool expand;      /* the name was not quoted */
	bool strip_tabs;
};

struct df_inst {
	enum df_op op;
	unsigned line;    /* where it begins */
	const char *text; /* as written, on one line, without heredocs: for people and history */
	struct df_flag *flags;
	size_t n_flags;
	bool json; /* the exec form */
	/*
	 * FROM: image, [name]. RUN CMD ENTRYPOINT SHELL HEALTHCHECK ONBUILD USER WORKDIR STOPSIGNAL
	 * MAINTAINER: the array, or the text as one word. The others: the words.
	 */
	char **words;
	size_t n_words;
	struct df_pair *pairs; /* ENV LABEL ARG */
	size_t n_pairs;
	struct df_heredoc *docs;
	size_t n_docs;
};

struct df_stage {
	const char *base; /* unexpanded word of FROM */
	const char *name; /* lower case; NULL: only its number */
	const struct df_inst *from;
	const struct df_inst *inst; /* what follows FROM */
	size_t n_inst;
};

struct dockerfile {
	const char *name;
	char escape;          /* '\\' or '`' */
	struct df_inst *inst; /* all of them */
	size_t n_inst;
	size_t n_global; /* ARGs in front of the first FROM */
	struct df_stage *stages;
	size_t n_stages;
};

/**
 * dockerfile_parse() - the text of a Dockerfile as instructions
 * @name: what errors call it
 * Return: 0; -EINVAL "Dockerfile:3:1: unknown instruction 'COPPY' (did you mean COPY?)"; -EFBIG; -ENOMEM
 */
int dockerfile_parse(struct dockerfile *ret, const char *name, const char *text, size_t len, struct arena *a,
		     struct err *e);

/* dockerfile_parse_one() - a single instruction, as an ONBUILD trigger of an image brings it. */
int dockerfile_parse_one(struct df_inst *ret, const char *name, const char *text, struct arena *a,
			 struct err *e);

const char *df_op_name(enum df_op op);                          /* "COPY" */
const char *df_flag(const struct df_inst *i, const char *name); /* NULL when it was not given */

/* Where $NAME comes from. @lookup: NULL when there is no such variable. */
struct df_vars {
	const char *(*lookup)(void *arg, const char *name);
	void *arg;
	char escape;
};

/**
 * df_expand() - one word: variables replaced, quotes and escapes removed
 * $v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/w} ${v//p/w}
 * Return: 0; -EINVAL with what is wrong in the word; -E2BIG; -ENOMEM
 */
int df_expand(const struct df_vars *v, const char *word, char **ret, struct arena *a, struct err *e);

/* df_expand_doc() - the text of a here-document: variables only, quotes stay. */
int df_expand_doc(const struct df_vars *v, const char *text, char **ret, struct arena *a, struct err *e);

/*
 * df_split() - blank-separated words, blanks in quotes and behind the escape character kept, as are the
 * quotes.
 */
int df_split(const char *text, char escape, char ***ret_words, size_t *ret_n, struct arena *a);

#endif
