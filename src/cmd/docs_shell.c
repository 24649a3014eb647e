/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs_shell.c - completion for bash and zsh
 *
 * Both are one small fixed function and data made from the tables: for each command the words of its options,
 * what those take, and what its operands are. "@container" and the like are asked of hull itself.
 */
#include <string.h>

#include "base/buf.h"
#include "base/guard.h"
#include "cmd/docs.h"
#include "cmd/table.h"

/* for_names() - @put for the name of a command and each alias */
static void for_names(const struct cmd *c, void (*put)(struct buf *b, const char *name), struct buf *b)
{
	auto_fini(strv) struct strv alias = { 0 };

	put(b, c->name);
	if (c->aliases)
		strv_split(&alias, c->aliases, ',');
	for (size_t i = 0; i < alias.len; i++)
		put(b, alias.item[i]);
}

static void put_pattern(struct buf *b, const char *name)
{
	bool more = b->len > 0 && b->data[b->len - 1] == '"';

	buf_printf(b, "%s\"%s\"", more ? "|" : "", name);
}

static void put_options(struct buf *b, const struct opt *t)
{
	for (; t && t->name; t++) {
		buf_printf(b, "--%s ", t->name);
		if (t->letter)
			buf_printf(b, "-%c ", t->letter);
	}
	buf_puts(b, "--help");
}

/* put_takes() - "--name=words;" for each option with a value, so that the shell knows which word is one */
static void put_takes(struct buf *b, const struct opt *t)
{
	for (; t && t->name; t++) {
		if (t->kind == OPT_FLAG)
			continue;
		if (t->letter)
			buf_printf(b, "-%c=%s;", t->letter, t->words ? t->words : "");
		buf_printf(b, "--%s=%s;", t->name, t->words ? t->words : "");
	}
}

/* add_group() - the "image" of "image ls", once */
static void add_group(struct strv *v, const char *name)
{
	size_t len = strcspn(name, " ");

	for (size_t i = 0; i < v->len; i++)
		if (strncmp(v->item[i], name, len) == 0 && !v->item[i][len])
			return;
	strv_addf(v, "%.*s", (int)len, name);
}

/* find_groups() - the words that go before others: of commands and of their aliases */
static void find_groups(struct strv *v)
{
	for (const struct cmd *const *c = cmd_table; *c; c++) {
		auto_fini(strv) struct strv name = { 0 };

		strv_add(&name, (*c)->name);
		if ((*c)->aliases)
			strv_split(&name, (*c)->aliases, ',');
		for (size_t i = 0; i < name.len && (*c)->group != CMD_HIDDEN; i++)
			if (strchr(name.item[i], ' '))
				add_group(v, name.item[i]);
	}
}

/* put_first_words() - what may stand first: commands, and the words that go before others */
static void put_first_words(struct buf *b, const struct strv *groups)
{
	buf_puts(b, "oci help");
	for (size_t i = 0; i < groups->len; i++)
		buf_printf(b, " %s", groups->item[i]);
	for (const struct cmd *const *c = cmd_table; *c; c++)
		if ((*c)->group != CMD_HIDDEN && !strchr((*c)->name, ' '))
			buf_printf(b, " %s", (*c)->name);
}

static void put_second_words(struct buf *b, const char *first)
{
	size_t len = strlen(first);

	buf_printf(b, "\t%s) words=\"", first);
	for (const struct cmd *const *c = cmd_table; *c; c++) {
		auto_fini(strv) struct strv name = { 0 };

		strv_add(&name, (*c)->name);
		if ((*c)->aliases)
			strv_split(&name, (*c)->aliases, ',');
		for (size_t i = 0; i < name.len; i++)
			if (strncmp(name.item[i], first, len) == 0 && name.item[i][len] == ' ')
				buf_printf(b, "%s ", name.item[i] + len + 1);
	}
	buf_puts(b, "\" ;;\n");
}

/*
 * put_tables() - the functions of data, the same for both shells: they set $opts, $takes and $operands, or
 * $words
 */
static void put_tables(struct buf *b)
{
	auto_fini(strv) struct strv groups = { 0 };

	find_groups(&groups);
	buf_puts(b, "__hull_first=\"");
	put_first_words(b, &groups);
	buf_puts(b, "\"\n__hull_global=\"");
	put_options(b, cmd_global_opts);
	buf_puts(b, "\"\n__hull_second()\n{\n\twords=\n\tcase \"$1\" in\n");
	for (size_t i = 0; i < groups.len; i++)
		put_second_words(b, groups.item[i]);
	buf_puts(b, "\tesac\n}\n__hull_command()\n{\n\topts= takes= operands=\n\tcase \"$1\" in\n");
	for (const struct cmd *const *c = cmd_table; *c; c++) {
		if ((*c)->group == CMD_HIDDEN)
			continue;
		buf_putc(b, '\t');
		for_names(*c, put_pattern, b);
		buf_puts(b, ")\n\t\topts=\"");
		put_options(b, (*c)->opts);
		buf_puts(b, "\"\n\t\ttakes=\"");
		put_takes(b, (*c)->opts);
		buf_printf(b, "\"\n\t\toperands=\"%s\" ;;\n", (*c)->complete ? (*c)->complete : "");
	}
	buf_puts(b, "\t*) return 1 ;;\n\tesac\n}\n");
	buf_puts(b, "# __hull_words() - the words that a kind such as @container stands for\n"
		    "__hull_words()\n{\n\tcase \"$1\" in\n"
		    "\t@container) hull ps -a --format '{{.Names}}' 2>/dev/null ;;\n"
		    "\t@machine) hull vm ps -a --format '{{.Names}}' 2>/dev/null ;;\n"
		    "\t@image) hull images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null ;;\n"
		    "\t@volume) hull volume ls -q 2>/dev/null ;;\n"
		    "\t*) printf '%s\\n' \"$1\" ;;\n\tesac\n}\n");
}

void docs_bash(struct buf *b)
{
	buf_puts(b, "# bash completion for hull, made by: hull docs bash\n");
	put_tables(b);
	buf_puts(b, "# __hull_offer() - complete $cur from a kind or a list of words\n"
		    "__hull_offer()\n{\n"
		    "\tlocal IFS=$' \\t\\n'\n"
		    "\tcase \"$1\" in\n"
		    "\t@file) COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames 2>/dev/null ;;\n"
		    "\t@dir) COMPREPLY=($(compgen -d -- \"$cur\")); compopt -o filenames 2>/dev/null ;;\n"
		    "\t*) COMPREPLY=($(compgen -W \"$(__hull_words \"$1\")\" -- \"$cur\")) ;;\n"
		    "\tesac\n}\n"
		    "_hull()\n{\n"
		    "\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
		    "\tlocal i=1 cmd= opts= takes= operands= words= rest\n"
		    "\tCOMPREPLY=()\n"
		    "\twhile [ \"$i\" -lt \"$COMP_CWORD\" ]; do\t# past the global options\n"
		    "\t\tcase \"${COMP_WORDS[i]}\" in\n"
		    "\t\t--root|--run-root|--log-format|--log-level|-l) i=$((i + 1)) ;;\n"
		    "\t\t-*|=) ;;\n"
		    "\t\t*) break ;;\n"
		    "\t\tesac\n"
		    "\t\ti=$((i + 1))\n"
		    "\tdone\n"
		    "\tif [ \"$i\" -ge \"$COMP_CWORD\" ]; then\n"
		    "\t\tcase \"$cur\" in\n"
		    "\t\t-*) __hull_offer \"$__hull_global\" ;;\n"
		    "\t\t*) __hull_offer \"$__hull_first\" ;;\n"
		    "\t\tesac\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\tcmd=\"${COMP_WORDS[i]}\"\n"
		    "\t__hull_second \"$cmd\"\n"
		    "\tif [ -n \"$words\" ] && [ $((i + 1)) -eq \"$COMP_CWORD\" ]; then\n"
		    "\t\t__hull_offer \"$words\"\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\t[ -z \"$words\" ] || cmd=\"$cmd ${COMP_WORDS[i+1]}\"\n"
		    "\t__hull_command \"$cmd\" || return\n"
		    "\tif [ \"$cur\" = = ]; then cur=; elif [ \"$prev\" = = ]; then "
		    "prev=\"${COMP_WORDS[COMP_CWORD-2]}\"; fi\n"
		    "\tcase \";$takes\" in\n"
		    "\t*\";$prev=\"*)\n"
		    "\t\trest=\";$takes\"\n"
		    "\t\trest=\"${rest#*\";$prev=\"}\"\n"
		    "\t\t__hull_offer \"${rest%%;*}\" ;;\n"
		    "\t*)\n"
		    "\t\tcase \"$cur\" in\n"
		    "\t\t-*) __hull_offer \"$opts\" ;;\n"
		    "\t\t*) __hull_offer \"$operands\" ;;\n"
		    "\t\tesac ;;\n"
		    "\tesac\n}\n"
		    "complete -F _hull hull\n");
}

void docs_zsh(struct buf *b)
{
	buf_puts(b, "#compdef hull\n# zsh completion for hull, made by: hull docs zsh\n");
	put_tables(b);
	buf_puts(b, "# __hull_offer() - complete from a kind or a list of words\n"
		    "__hull_offer()\n{\n"
		    "\tcase \"$1\" in\n"
		    "\t@file) _files ;;\n"
		    "\t@dir) _files -/ ;;\n"
		    "\t@*) compadd -- ${(f)\"$(__hull_words \"$1\")\"} ;;\n"
		    "\t*) compadd -- ${=1} ;;\n"
		    "\tesac\n}\n"
		    "_hull()\n{\n"
		    "\tlocal i=2 cmd opts takes operands rest cur=\"$PREFIX\" prev=\"$words[CURRENT-1]\"\n"
		    "\tlocal -a line; line=(\"${words[@]}\"); local words\n"
		    "\twhile (( i < CURRENT )); do\n"
		    "\t\tcase \"$line[i]\" in\n"
		    "\t\t--root|--run-root|--log-format|--log-level|-l) (( i++ )) ;;\n"
		    "\t\t-*) ;;\n"
		    "\t\t*) break ;;\n"
		    "\t\tesac\n"
		    "\t\t(( i++ ))\n"
		    "\tdone\n"
		    "\tif (( i >= CURRENT )); then\n"
		    "\t\tif [[ \"$cur\" = -* ]]; then __hull_offer \"$__hull_global\"; else __hull_offer "
		    "\"$__hull_first\"; fi\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\tcmd=\"$line[i]\"\n"
		    "\t__hull_second \"$cmd\"\n"
		    "\tif [[ -n \"$words\" ]] && (( i + 1 == CURRENT )); then __hull_offer \"$words\"; "
		    "return; fi\n"
		    "\t[[ -z \"$words\" ]] || cmd=\"$cmd $line[i+1]\"\n"
		    "\t__hull_command \"$cmd\" || return\n"
		    "\tif [[ \";$takes\" = *\";$prev=\"* ]]; then\n"
		    "\t\trest=\";$takes\"; rest=\"${rest#*\";$prev=\"}\"\n"
		    "\t\t__hull_offer \"${rest%%;*}\"\n"
		    "\telif [[ \"$cur\" = -* ]]; then\n"
		    "\t\t__hull_offer \"$opts\"\n"
		    "\telse\n"
		    "\t\t__hull_offer \"$operands\"\n"
		    "\tfi\n}\n"
		    "_hull \"$@\"\n");
}
