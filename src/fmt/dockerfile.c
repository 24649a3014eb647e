/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the text goes through three steps. lines: comments go, continued lines join into
 * one, and each byte's place is kept (struct place) so that errors can point at it. instructions: the first
 * word picks a rule from a table, which says how the rest is read. stages: the list is cut at each FROM.
 * Nothing here knows what an instruction does.
 */
#include "fmt/dockerfile.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/json.h"

/* How the text behind the flags is read. */
enum rest {
	REST_WORDS,
	REST_ARRAY_OR_WORDS,
	REST_ARRAY_OR_TEXT,
	REST_ARRAY,
	REST_TEXT,
	REST_PAIRS,
	REST_NAMES,
	REST_HEALTH,
	REST_TRIGGER,
};

struct rule {
	const char *name;
	enum rest rest;
	size_t min, max;   /* words; max 0: any number */
	const char *flags; /* blank-separated */
	bool docs;
	const char *wants; /* for "COPY wants ..." */
};

static const struct rule rules[] = {
	[DF_ADD] = { "ADD", REST_ARRAY_OR_WORDS, 2, 0,
		     "chown chmod link checksum keep-git-dir unpack exclude", true, "SOURCE... DESTINATION" },
	[DF_ARG] = { "ARG", REST_NAMES, 1, 0, "", false, "NAME[=VALUE]..." },
	[DF_CMD] = { "CMD", REST_ARRAY_OR_TEXT, 0, 0, "", false, "a command" },
	[DF_COPY] = { "COPY", REST_ARRAY_OR_WORDS, 2, 0, "from chown chmod link parents exclude", true,
		      "SOURCE... DESTINATION" },
	[DF_ENTRYPOINT] = { "ENTRYPOINT", REST_ARRAY_OR_TEXT, 0, 0, "", false, "a command" },
	[DF_ENV] = { "ENV", REST_PAIRS, 1, 0, "", false, "NAME=VALUE..." },
	[DF_EXPOSE] = { "EXPOSE", REST_WORDS, 1, 0, "", false, "PORT[/PROTOCOL]..." },
	[DF_FROM] = { "FROM", REST_WORDS, 1, 3, "platform", false, "IMAGE [AS NAME]" },
	[DF_HEALTHCHECK] = { "HEALTHCHECK", REST_HEALTH, 1, 0,
			     "interval timeout start-period start-interval retries", false,
			     "NONE or CMD and a command" },
	[DF_LABEL] = { "LABEL", REST_PAIRS, 1, 0, "", false, "NAME=VALUE..." },
	[DF_MAINTAINER] = { "MAINTAINER", REST_TEXT, 1, 1, "", false, "a name" },
	[DF_ONBUILD] = { "ONBUILD", REST_TRIGGER, 1, 1, "", true, "an instruction" },
	[DF_RUN] = { "RUN", REST_ARRAY_OR_TEXT, 1, 0, "mount network security device", true, "a command" },
	[DF_SHELL] = { "SHELL", REST_ARRAY, 1, 0, "", false, "a JSON array of strings" },
	[DF_STOPSIGNAL] = { "STOPSIGNAL", REST_TEXT, 1, 1, "", false, "a signal" },
	[DF_USER] = { "USER", REST_TEXT, 1, 1, "", false, "USER[:GROUP]" },
	[DF_VOLUME] = { "VOLUME", REST_ARRAY_OR_WORDS, 1, 0, "", false, "PATH..." },
	[DF_WORKDIR] = { "WORKDIR", REST_TEXT, 1, 1, "", false, "a path" },
};
static_assert(ARRAY_SIZE(rules) == DF_OP_COUNT, "a rule for each instruction");

/* From @at of the joined text on, bytes come from @line and @column of the file. */
struct place {
	size_t at;
	unsigned line, column;
};

struct parser {
	const char *name;
	char *next;    /* unread text */
	unsigned line; /* of @next, from 1 */
	char escape;
	struct arena *a;
	struct err *e;
	struct buf joined; /* the instruction at hand */
	struct buf places; /* its struct place */
	bool one;          /* a lone instruction: FROM is not looked for */
};

static void parser_fini(struct parser *p)
{
	buf_fini(&p->joined);
	buf_fini(&p->places);
}

/* fail() - @at: of the joined text. */
static __attribute__((format(printf, 3, 4))) int fail(struct parser *p, size_t at, const char *fmt, ...)
{
	const struct place *v = (const struct place *)(const void *)p->places.data;
	struct place found = { .line = p->line, .column = 1 };
	char text[sizeof(p->e->text)];
	va_list ap;

	for (size_t i = 0; i < p->places.len / sizeof(*v) && v[i].at <= at; i++)
		found = v[i];
	va_start(ap, fmt);
	str_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(p->e, EINVAL, "%s:%u:%u: %s", p->name, found.line,
		       found.column + (unsigned)(at - found.at), text);
}

static int no_memory(struct parser *p)
{
	return err_set(p->e, ENOMEM, "%s: out of memory", p->name);
}

static char *skip_blanks(const char *s)
{
	while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		s++;
	return (char *)s;
}

static void trim_end(char *s)
{
	char *end = s + strlen(s);

	while (end > s && (end[-1] == ' ' || (end[-1] >= '\t' && end[-1] <= '\r')))
		*--end = '\0';
}

/* --- lines ---------------------------------------------------------------------------------------------- */

/* take_line() - the next line without its end; NULL behind the last. */
static char *take_line(struct parser *p)
{
	char *line = p->next, *end;

	if (!line || !*line)
		return NULL;
	end = strchrnul(line, '\n');
	p->next = *end ? end + 1 : end;
	*end = '\0';
	if (end > line && end[-1] == '\r')
		end[-1] = '\0';
	p->line++;
	return line;
}

/*
 * continues() - does @line go on in the next one? Then its end is cut. A doubled escape character is no
 * continuation.
 */
static bool continues(char *line, char escape)
{
	char *end = line + strlen(line);

	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (end == line || end[-1] != escape || (end - 1 > line && end[-2] == escape))
		return false;
	end[-1] = '\0';
	return true;
}

static void join(struct parser *p, const char *text, unsigned column)
{
	struct place at = { .at = p->joined.len, .line = p->line - 1, .column = column };

	buf_put(&p->places, &at, sizeof(at));
	buf_puts(&p->joined, text);
}

/* read_joined() - the next instruction's text into p->joined. Return: 1; 0 at the end. */
static int read_joined(struct parser *p)
{
	bool more = true;
	char *line, *text;

	p->joined.len = p->places.len = 0;
	while (more && (line = take_line(p))) {
		text = skip_blanks(line);
		if (!*text || *text == '#')
			continue; /* comments and empty lines also inside a continued instruction */
		if (p->joined.len > 0)
			text = line;
		more = continues(text, p->escape);
		join(p, text, (unsigned)(text - line) + 1);
	}
	if (buf_finish(&p->joined) < 0 || buf_finish(&p->places) < 0)
		return no_memory(p);
	if (p->joined.len == 0)
		return 0;
	trim_end(p->joined.data);
	p->joined.len = strlen(p->joined.data);
	return 1;
}

/* directive() - "# key=value" in @line. Return: the value (in place) with *ret_key, or NULL. */
static char *directive(char *line, char **ret_key)
{
	char *key = skip_blanks(line), *end;

	if (*key != '#')
		return NULL;
	key = skip_blanks(key + 1);
	for (end = key; isalnum((unsigned char)*end); end++)
		;
	line = skip_blanks(end);
	if (end == key || *line != '=')
		return NULL;
	trim_end(line);
	*end = '\0';
	*ret_key = key;
	return skip_blanks(line + 1);
}

/* read_directives() - the comments at the top that are more than comments. */
static int read_directives(struct parser *p)
{
	static const char *const known[] = { "escape", "syntax", "check" };
	unsigned seen = 0;

	for (;;) {
		auto_free char *line = strndup(p->next, strcspn(p->next, "\n"));
		char *key, *value;
		size_t i = 0;

		if (!line)
			return no_memory(p);
		value = directive(line, &key);
		while (value && i < ARRAY_SIZE(known) && strcasecmp(key, known[i]) != 0)
			i++;
		if (!value || i == ARRAY_SIZE(known))
			return 0;
		take_line(p);
		if (seen & 1U << i)
			return err_set(p->e, EINVAL, "%s:%u:1: the directive '%s' stands here twice", p->name,
				       p->line - 1, known[i]);
		seen |= 1U << i;
		if (i != 0)
			continue;
		if (!str_eq(value, "\\") && !str_eq(value, "`"))
			return err_set(p->e, EINVAL, "%s:%u:1: escape is '\\' or '`', not '%s'", p->name,
				       p->line - 1, value);
		p->escape = *value;
	}
}

/* --- here-documents ------------------------------------------------------------------------------------- */

/* doc_opens() - is @word "[N]<<[-]NAME"? Then *doc is its name, without text yet. */
static int doc_opens(struct parser *p, const char *word, struct df_heredoc *doc)
{
	const char *s = word + strspn(word, "0123456789");
	static const struct df_vars none;
	struct df_vars vars = none;
	char *name;

	if (!str_starts(s, "<<"))
		return 0;
	s += 2;
	doc->strip_tabs = *s == '-';
	s += doc->strip_tabs;
	if (!*s || strpbrk(s, "<$"))
		return 0;
	doc->word = word;
	doc->expand = strpbrk(s, "\"'\\") == NULL;
	vars.escape = p->escape;
	if (df_expand(&vars, s, &name, p->a, NULL) < 0 || !*name)
		return 0;
	doc->name = name;
	return 1;
}

/* doc_read() - the lines up to the one that is the name. */
static int doc_read(struct parser *p, struct df_heredoc *doc)
{
	auto_fini(buf) struct buf text = { 0 };
	char *line;

	while ((line = take_line(p))) {
		if (doc->strip_tabs)
			line += strspn(line, "\t");
		if (str_eq(line, doc->name)) {
			doc->text =
				buf_finish(&text) < 0 ? NULL : arena_strndup(p->a, buf_str(&text), text.len);
			return doc->text ? 0 : no_memory(p);
		}
		buf_puts(&text, line);
		buf_putc(&text, '\n');
	}
	return fail(p, 0, "the here-document '%s' has no end", doc->name);
}

static int read_docs(struct parser *p, struct df_inst *inst, const char *text)
{
	char **words;
	size_t n;
	int r;

	if (!strstr(text, "<<"))
		return 0;
	r = df_split(text, p->escape, &words, &n, p->a);
	inst->docs = r < 0 ? NULL : arena_array(p->a, n + 1, sizeof(*inst->docs));
	if (!inst->docs)
		return no_memory(p);
	for (size_t i = 0; i < n; i++) {
		struct df_heredoc *doc = &inst->docs[inst->n_docs];

		r = doc_opens(p, words[i], doc);
		if (r > 0) {
			inst->n_docs++;
			r = doc_read(p, doc);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- the rest of an instruction, by its rule ------------------------------------------------------------ */

/* array_of_strings() - the exec form. Return: 1; 0 when @text is not one (then it is the shell form). */
static int array_of_strings(struct parser *p, const char *text, struct df_inst *inst)
{
	struct json_doc doc = { .arena = p->a };
	struct json_at root;
	char **words;
	size_t n;

	if (*text != '[')
		return 0;
	root = json_parse(&doc, text, strlen(text));
	n = json_count(&root);
	if (json_finish(&doc) < 0)
		return 0;
	words = arena_array(p->a, n + 1, sizeof(*words));
	if (!words)
		return no_memory(p);
	for (size_t i = 0; i < n; i++) {
		struct json_at item = json_item(&root, i);

		if (!item.value || item.value->kind != JV_STRING)
			return 0;
		words[i] = (char *)item.value->string;
	}
	inst->json = true;
	inst->words = words;
	inst->n_words = n;
	return 1;
}

/* one_word() - @first if any, then all of @text. */
static int one_word(struct parser *p, const char *first, const char *text, struct df_inst *inst)
{
	inst->words = arena_array(p->a, 3, sizeof(*inst->words));
	if (!inst->words)
		return no_memory(p);
	if (first)
		inst->words[inst->n_words++] = (char *)first;
	if (*text)
		inst->words[inst->n_words++] = (char *)text;
	return 0;
}

/* plain_words() - separated by blanks; quotes are nothing special here, as Docker has it for paths. */
static int plain_words(struct parser *p, char *text, struct df_inst *inst)
{
	size_t n = 0;

	for (const char *s = text; *s; s = skip_blanks(s + strcspn(s, " \t\n\v\f\r")))
		n++;
	inst->words = arena_array(p->a, n + 1, sizeof(*inst->words));
	if (!inst->words)
		return no_memory(p);
	for (char *s = text; *s;) {
		char *end = s + strcspn(s, " \t\n\v\f\r"), *next = skip_blanks(end);

		*end = '\0';
		inst->words[inst->n_words++] = s;
		s = next;
	}
	return 0;
}

/* pairs() - "K=V K2=V2", or of old "K all the rest"; @alone: "K" is enough (ARG). */
static int pairs(struct parser *p, const char *text, bool alone, struct df_inst *inst)
{
	char **words;
	size_t n;

	if (df_split(text, p->escape, &words, &n, p->a) < 0)
		return no_memory(p);
	inst->pairs = arena_array(p->a, n + 1, sizeof(*inst->pairs));
	if (!inst->pairs)
		return no_memory(p);
	inst->n_words = n;
	if (n > 0 && !alone && !strchr(words[0], '=')) {
		inst->pairs[inst->n_pairs++] =
			(struct df_pair){ words[0], skip_blanks(text + strlen(words[0])) };
		return n > 1 ? 0 : fail(p, 0, "%s %s has no value", rules[inst->op].name, words[0]);
	}
	for (size_t i = 0; i < n; i++) {
		char *equals = strchr(words[i], '=');

		if (equals)
			*equals++ = '\0';
		if (!*words[i] || (!equals && !alone))
			return fail(p, 0, "%s: '%s%s%s' is not NAME=VALUE", rules[inst->op].name, words[i],
				    equals ? "=" : "", equals ? equals : "");
		inst->pairs[inst->n_pairs++] = (struct df_pair){ words[i], equals };
	}
	return 0;
}

static int health(struct parser *p, char *text, struct df_inst *inst)
{
	size_t n = strcspn(text, " \t");
	char *rest = skip_blanks(text + n);
	struct df_inst array = { 0 };
	int r;

	if (n == 4 && strncasecmp(text, "NONE", 4) == 0)
		return *rest ? fail(p, 0, "HEALTHCHECK NONE takes nothing more") :
			       one_word(p, "NONE", "", inst);
	if (n != 3 || strncasecmp(text, "CMD", 3) != 0)
		return fail(p, 0, "HEALTHCHECK wants %s", rules[DF_HEALTHCHECK].wants);
	if (!*rest)
		return fail(p, 0, "HEALTHCHECK CMD wants a command");
	r = array_of_strings(p, rest, &array);
	if (r <= 0)
		return r < 0 ? r : one_word(p, "CMD", rest, inst);
	inst->words = arena_array(p->a, array.n_words + 2, sizeof(*inst->words));
	if (!inst->words)
		return no_memory(p);
	inst->json = true;
	inst->words[0] = (char *)"CMD";
	for (size_t i = 0; i < array.n_words; i++)
		inst->words[i + 1] = array.words[i];
	inst->n_words = array.n_words + 1;
	return 0;
}

static int find_op(const char *word, size_t len)
{
	for (int op = 0; op < DF_OP_COUNT; op++) {
		if (strlen(rules[op].name) == len && strncasecmp(rules[op].name, word, len) == 0)
			return op;
	}
	return -ENOENT;
}

static int trigger(struct parser *p, char *text, struct df_inst *inst)
{
	int op = find_op(text, strcspn(text, " \t"));

	if (*text && op < 0)
		return fail(p, 0, "ONBUILD: unknown instruction '%.*s'", (int)strcspn(text, " \t"), text);
	if (op == DF_ONBUILD || op == DF_FROM || op == DF_MAINTAINER)
		return fail(p, 0, "ONBUILD cannot hold %s", rules[op].name);
	if (inst->n_docs > 0)
		return fail(p, 0, "ONBUILD with a here-document is not supported");
	return one_word(p, NULL, text, inst);
}

static int read_rest(struct parser *p, char *text, struct df_inst *inst)
{
	const struct rule *rule = &rules[inst->op];
	int r;

	switch (rule->rest) {
	case REST_WORDS: return plain_words(p, text, inst);
	case REST_ARRAY_OR_WORDS:
		r = array_of_strings(p, text, inst);
		return r != 0 ? r : plain_words(p, text, inst);
	case REST_ARRAY_OR_TEXT:
		r = array_of_strings(p, text, inst);
		return r != 0 ? r : one_word(p, NULL, text, inst);
	case REST_ARRAY: return array_of_strings(p, text, inst);
	case REST_TEXT: return one_word(p, NULL, text, inst);
	case REST_PAIRS:
	case REST_NAMES: return pairs(p, text, rule->rest == REST_NAMES, inst);
	case REST_HEALTH: return health(p, text, inst);
	case REST_TRIGGER: return trigger(p, text, inst);
	}
	return 0;
}

/* --- one instruction ------------------------------------------------------------------------------------ */

static bool listed(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *s = list; *s; s += strcspn(s, " "), s += *s == ' ') {
		if (strcspn(s, " ") == n && strncmp(s, word, n) == 0)
			return true;
	}
	return false;
}

/* read_flags() - "--name=value ..." in front of the rest. *text moves behind them. */
static int read_flags(struct parser *p, char **text, struct df_inst *inst)
{
	const size_t room = 32;
	char **words;
	size_t n;

	if (!str_starts(*text, "--"))
		return 0;
	if (df_split(*text, p->escape, &words, &n, p->a) < 0)
		return no_memory(p);
	inst->flags = arena_array(p->a, room, sizeof(*inst->flags));
	if (!inst->flags)
		return no_memory(p);
	for (size_t i = 0; i < n && str_starts(words[i], "--"); i++) {
		size_t at = (size_t)(*text - p->joined.data);
		char *value = strchr(words[i], '=');

		*text = skip_blanks(*text + strlen(words[i]));
		if (!words[i][2])
			return 0; /* "--" ends the flags */
		if (value)
			*value++ = '\0';
		if (!listed(rules[inst->op].flags, words[i] + 2))
			return fail(p, at, "%s has no flag %s", rules[inst->op].name, words[i]);
		if (df_flag(inst, words[i] + 2) && !str_eq(words[i], "--mount") &&
		    !str_eq(words[i], "--exclude"))
			return fail(p, at, "%s %s is given twice", rules[inst->op].name, words[i]);
		if (inst->n_flags == room)
			return fail(p, at, "more than %zu flags", room);
		inst->flags[inst->n_flags++] = (struct df_flag){ words[i] + 2, value ? value : "" };
	}
	return 0;
}

/* distance() - of two words, ignoring case: insertions, deletions, changes. */
static size_t distance(const char *a, size_t len, const char *b)
{
	size_t row[16], m = strlen(b);

	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 0; i < len; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < m; j++) {
			size_t best = diagonal + (toupper((unsigned char)a[i]) != b[j]);

			diagonal = row[j + 1];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j + 1] = diagonal + 1 < best ? diagonal + 1 : best;
		}
	}
	return row[m];
}

static int unknown(struct parser *p, const char *word, size_t len)
{
	const struct rule *near = NULL;
	size_t best = 3;

	for (size_t i = 0; i < DF_OP_COUNT && len <= 16; i++) {
		size_t d = distance(word, len, rules[i].name);

		if (d < best && d < strlen(rules[i].name)) {
			best = d;
			near = &rules[i];
		}
	}
	if (near)
		return fail(p, 0, "unknown instruction '%.*s' (did you mean %s?)", (int)len, word,
			    near->name);
	return fail(p, 0, "unknown instruction '%.*s'", len > 64 ? 64 : (int)len, word);
}

/* read_inst() - p->joined as an instruction. */
static int read_inst(struct parser *p, struct df_inst *inst)
{
	char *text = p->joined.data, *rest;
	size_t len = strcspn(text, " \t");
	const struct rule *rule;
	int r = find_op(text, len);

	if (r < 0)
		return unknown(p, text, len);
	*inst = (struct df_inst){ .op = (enum df_op)r };
	inst->line = ((struct place *)(void *)p->places.data)->line;
	rule = &rules[r];
	inst->text = arena_printf(p->a, "%s %s", rule->name, skip_blanks(text + len));
	rest = skip_blanks(text + len);
	r = read_flags(p, &rest, inst);
	if (r >= 0 && rule->docs)
		r = read_docs(p, inst, rest);
	if (r < 0)
		return r;
	if (!*rest)
		return fail(p, 0, "%s wants %s", rule->name, rule->wants);
	rest = arena_strdup(p->a, rest);
	if (!rest || !inst->text)
		return no_memory(p);
	r = read_rest(p, rest, inst);
	if (r < 0)
		return r;
	if (inst->n_words < rule->min || (rule->max && inst->n_words > rule->max))
		return fail(p, 0, "%s wants %s", rule->name, rule->wants);
	return 0;
}

/* --- stages --------------------------------------------------------------------------------------------- */

static bool stage_name_ok(const char *s)
{
	if (!isalpha((unsigned char)*s))
		return false;
	while (isalnum((unsigned char)*s) || (*s && strchr("-_.", *s)))
		s++;
	return *s == '\0';
}

/* open_stage() - FROM's words into a stage; its name in lower case, as references to it are compared. */
static int open_stage(struct parser *p, const struct df_inst *from, struct df_stage *stage)
{
	char *name = NULL;

	if (from->n_words != 1) {
		if (from->n_words != 3 || strcasecmp(from->words[1], "AS") != 0)
			return fail(p, 0, "FROM wants %s", rules[DF_FROM].wants);
		if (!stage_name_ok(from->words[2]))
			return fail(p, 0, "'%s' is not a name for a stage (letters, digits, '-', '_', '.')",
				    from->words[2]);
		name = arena_strdup(p->a, from->words[2]);
		if (!name)
			return no_memory(p);
		for (char *s = name; *s; s++)
			*s = (char)tolower((unsigned char)*s);
	}
	*stage = (struct df_stage){ .base = from->words[0], .name = name, .from = from };
	return 0;
}

/* place_inst() - the instruction just read belongs in front of, at the head of, or into a stage. */
static int place_inst(struct parser *p, struct dockerfile *df, const struct df_inst *inst)
{
	if (inst->op == DF_FROM) {
		int r = open_stage(p, inst, &df->stages[df->n_stages]);

		df->stages[df->n_stages++].inst = inst + 1;
		return r;
	}
	if (df->n_stages > 0) {
		df->stages[df->n_stages - 1].n_inst++;
		return 0;
	}
	df->n_global++;
	return inst->op == DF_ARG ? 0 :
				    fail(p, 0, "%s stands in front of the first FROM", rules[inst->op].name);
}

/* count_lines() - no more instructions than that, nor than the limit. */
static size_t count_lines(const char *text)
{
	size_t n = 1;

	for (; *text; text++)
		n += *text == '\n';
	return n < DF_INST_MAX ? n : DF_INST_MAX;
}

/* open_text() - a copy of the text that is surely text. */
static int open_text(struct parser *p, const char *text, size_t len)
{
	const char *nul = memchr(text, '\0', len);

	if (len > DOCKERFILE_BYTES_MAX)
		return err_set(p->e, EFBIG, "%s: larger than %d bytes", p->name, DOCKERFILE_BYTES_MAX);
	if (nul)
		return err_set(p->e, EINVAL, "%s: not a text file: a NUL byte at offset %zu", p->name,
			       (size_t)(nul - text));
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
		text += 3;
		len -= 3;
	}
	p->next = arena_strndup(p->a, text, len);
	return p->next ? 0 : no_memory(p);
}

int dockerfile_parse(struct dockerfile *ret, const char *name, const char *text, size_t len, struct arena *a,
		     struct err *e)
{
	auto_fini(parser) struct parser p = { .name = name, .line = 1, .escape = '\\', .a = a, .e = e };
	struct dockerfile df = { .name = name };
	size_t room;
	int r = open_text(&p, text, len);

	if (r >= 0)
		r = read_directives(&p);
	if (r < 0)
		return r;
	df.escape = p.escape;
	room = count_lines(p.next);
	df.inst = arena_array(a, room, sizeof(*df.inst));
	df.stages = arena_array(a, room, sizeof(*df.stages));
	if (!df.inst || !df.stages)
		return no_memory(&p);
	while ((r = read_joined(&p)) > 0) {
		if (df.n_inst == DF_INST_MAX)
			return fail(&p, 0, "more than %d instructions", DF_INST_MAX);
		r = read_inst(&p, &df.inst[df.n_inst]);
		if (r >= 0)
			r = place_inst(&p, &df, &df.inst[df.n_inst++]);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (df.n_stages == 0)
		return err_set(e, EINVAL, "%s: %s", name, df.n_inst ? "no FROM" : "no instructions");
	*ret = df;
	return 0;
}

int dockerfile_parse_one(struct df_inst *ret, const char *name, const char *text, struct arena *a,
			 struct err *e)
{
	auto_fini(parser) struct parser p = { .name = name, .line = 1, .escape = '\\', .a = a, .e = e };
	struct df_inst inst;
	int r = open_text(&p, text, strlen(text));

	if (r >= 0)
		r = read_joined(&p);
	if (r <= 0)
		return r < 0 ? r : err_set(e, EINVAL, "%s: an empty instruction", name);
	r = read_inst(&p, &inst);
	if (r >= 0)
		*ret = inst;
	return r;
}

const char *df_op_name(enum df_op op)
{
	return rules[op].name;
}

const char *df_flag(const struct df_inst *i, const char *name)
{
	for (size_t f = 0; f < i->n_flags; f++) {
		if (str_eq(i->flags[f].name, name))
			return i->flags[f].value;
	}
	return NULL;
}
