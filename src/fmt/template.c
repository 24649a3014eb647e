/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: there is no tree; the text is read and obeyed at once, and a loop reads its body
 * again. A branch not taken is read with @live false: its mistakes are found, its values are not computed.
 * Every block returns what ended it.
 */
#include "fmt/template_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

enum stop { STOP_TEXT_END, STOP_END, STOP_ELSE };

static json_t *pipeline(struct template_run *r);
static enum stop run_block(struct template_run *r);
static void run_if(struct template_run *r, bool with);

json_t *template__fail(struct template_run *r, int code, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (r->rc < 0)
		return NULL;
	va_start(ap, fmt);
	str_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++) /* the format is quoted in it: keep to one line */
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	r->rc = err_set(r->e, code, "format: offset %zu: %s", (size_t)(r->at - r->text), text);
	return NULL;
}

json_t *template__keep(struct template_run *r, json_t *fresh)
{
	if (!fresh)
		return template__fail(r, ENOMEM, "%s", err_name(ENOMEM));
	if (r->n_kept == r->cap_kept) {
		size_t cap = r->cap_kept ? 2 * r->cap_kept : 32;
		json_t **bigger = reallocarray(r->kept, cap, sizeof(*bigger));

		if (!bigger) {
			json_decref(fresh);
			return template__fail(r, ENOMEM, "%s", err_name(ENOMEM));
		}
		r->kept = bigger;
		r->cap_kept = cap;
	}
	return r->kept[r->n_kept++] = fresh;
}

static void forget(struct template_run *r, size_t mark)
{
	while (r->n_kept > mark)
		json_decref(r->kept[--r->n_kept]);
}

static bool live(const struct template_run *r)
{
	return r->live && r->flow == FLOW_ON && r->rc == 0;
}

/* --- words ---------------------------------------------------------------------------------------------- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return is_digit(c) || c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (unsigned char)c >= 0x80;
}

static void skip_space(struct template_run *r)
{
	while (is_space(*r->at))
		r->at++;
}

static size_t name_len(const char *s)
{
	size_t n = 0;

	while (is_name(s[n]))
		n++;
	return n;
}

/* take_word() - step over @word when it stands here as a whole. */
static bool take_word(struct template_run *r, const char *word)
{
	size_t len = strlen(word);

	skip_space(r);
	if (strncmp(r->at, word, len) != 0 || is_name(r->at[len]))
		return false;
	r->at += len;
	return true;
}

static bool take_sign(struct template_run *r, const char *sign)
{
	size_t len = strlen(sign);

	skip_space(r);
	if (strncmp(r->at, sign, len) != 0)
		return false;
	r->at += len;
	return true;
}

static bool at_close(struct template_run *r)
{
	skip_space(r);
	return str_starts(r->at, "}}") || str_starts(r->at, "-}}");
}

static void close_action(struct template_run *r)
{
	skip_space(r);
	r->trim = *r->at == '-';
	if (!str_starts(r->at + r->trim, "}}")) {
		template__fail(r, EINVAL, "expected '}}' before '%.16s'", r->at);
		return;
	}
	r->at += 2 + r->trim;
}

/* --- operands ------------------------------------------------------------------------------------------- */

static void quoted_escape(struct template_run *r, struct buf *text)
{
	static const char from[] = "abfnrtv\\\"'", into[] = "\a\b\f\n\r\t\v\\\"'";
	const char *at = *r->at ? strchr(from, *r->at) : NULL;

	if (at) {
		buf_putc(text, into[at - from]);
		r->at++;
	} else {
		template__fail(r, EINVAL, "unknown escape sequence");
	}
}

static json_t *quoted(struct template_run *r, char quote)
{
	auto_fini(buf) struct buf text = { 0 };
	json_t *s;

	for (r->at++; *r->at != quote && r->rc == 0;) {
		if (!*r->at || (quote != '`' && *r->at == '\n')) {
			template__fail(r, EINVAL, "the string has no end");
		} else if (quote != '`' && *r->at == '\\') {
			r->at++;
			quoted_escape(r, &text);
		} else {
			buf_putc(&text, *r->at++);
		}
	}
	if (r->rc < 0)
		return NULL;
	r->at++;
	if (quote != '\'')
		return template__text(r, &text);
	s = text.len == 1 ? template__keep(r, json_integer((unsigned char)text.data[0])) : NULL;
	return s ? s : template__fail(r, EINVAL, "a character constant holds one character");
}

static json_t *number(struct template_run *r)
{
	char *end, *real_end;
	double real = strtod(r->at, &real_end);
	long long n;

	errno = 0;
	n = strtoll(r->at, &end, 0);
	if (errno || is_name(*real_end))
		return template__fail(r, EINVAL, "a number that cannot be read");
	if (real_end > end) {
		r->at = real_end;
		return template__keep(r, json_real(real));
	}
	r->at = end;
	return template__keep(r, json_integer(n));
}

static struct template_var *find_var(struct template_run *r, const char *name, size_t len)
{
	for (size_t i = r->n_vars; i > 0; i--)
		if (r->var[i - 1].len == len && memcmp(r->var[i - 1].name, name, len) == 0)
			return &r->var[i - 1];
	template__fail(r, EINVAL, "variable '$%.*s' is not defined", (int)len, name);
	return NULL;
}

/* add_var() - variables hold a reference of their own: a value may outlive the block that made it. */
static void add_var(struct template_run *r, const char *name, size_t len, json_t *value)
{
	if (r->n_vars == TEMPLATE_VARS_MAX)
		template__fail(r, E2BIG, "more than %d variables", TEMPLATE_VARS_MAX);
	else
		r->var[r->n_vars++] =
			(struct template_var){ .name = name, .len = len, .value = json_incref(value) };
}

static void drop_vars(struct template_run *r, size_t mark)
{
	while (r->n_vars > mark)
		json_decref(r->var[--r->n_vars].value);
}

static json_t *variable(struct template_run *r)
{
	size_t len = name_len(r->at + 1);
	struct template_var *v = find_var(r, r->at + 1, len);

	r->at += 1 + len;
	return v ? v->value : NULL;
}

/* title_of() - "CREATED AT" of CreatedAt, "ID" of ID: a word begins at a capital behind a small letter. */
static json_t *title_of(struct template_run *r, const char *name, size_t len)
{
	json_t *given = r->titles ? json_object_getn(r->titles, name, len) : NULL;
	auto_fini(buf) struct buf text = { 0 };

	if (given)
		return given;
	for (size_t i = 0; i < len; i++) {
		bool small = name[i] >= 'a' && name[i] <= 'z', capital = name[i] >= 'A' && name[i] <= 'Z';

		if (i > 0 && capital && name[i - 1] >= 'a' && name[i - 1] <= 'z')
			buf_putc(&text, ' ');
		buf_putc(&text, small ? (char)(name[i] & ~0x20) : name[i]);
	}
	return template__text(r, &text);
}

static json_t *member(struct template_run *r, json_t *of, const char *name, size_t len)
{
	json_t *v;

	if (!live(r))
		return NULL;
	if (r->header)
		return title_of(r, name, len);
	if (!of)
		return NULL;
	if (!json_is_object(of))
		return template__fail(r, EINVAL, "no field '%.*s' in %s", (int)len, name, template__kind(of));
	v = json_object_getn(of, name, len);
	return json_is_null(v) ? NULL : v;
}

/* members() - the ".A.B" that follow without space. */
static json_t *members(struct template_run *r, json_t *v)
{
	while (*r->at == '.' && is_name(r->at[1]) && r->rc == 0) {
		const char *name = r->at + 1;
		size_t len = name_len(name);

		v = member(r, v, name, len);
		r->at = name + len;
	}
	return v;
}

static json_t *parenthesis(struct template_run *r)
{
	json_t *v;

	if (r->depth++ == TEMPLATE_DEPTH_MAX)
		return template__fail(r, E2BIG, "more than %d levels", TEMPLATE_DEPTH_MAX);
	r->at++;
	v = pipeline(r);
	if (!take_sign(r, ")"))
		return template__fail(r, EINVAL, "expected ')'");
	r->depth--;
	return v;
}

/* operand() - one value; functions without arguments are values too when they stand as one. */
static json_t *operand(struct template_run *r)
{
	char c;

	skip_space(r);
	c = *r->at;
	if (c == '"' || c == '`' || c == '\'')
		return quoted(r, c);
	if (is_digit(c) || ((c == '-' || c == '+') && is_digit(r->at[1])))
		return number(r);
	if (c == '$')
		return members(r, variable(r));
	if (c == '(')
		return members(r, parenthesis(r));
	if (c == '.' && is_name(r->at[1]))
		return members(r, r->dot);
	if (c == '.')
		return r->at++, r->dot;
	if (take_word(r, "true"))
		return template__keep(r, json_true());
	if (take_word(r, "false"))
		return template__keep(r, json_false());
	if (take_word(r, "nil"))
		return NULL;
	if (is_name(c)) {
		const char *name = r->at;
		size_t len = name_len(name);

		r->at += len;
		if (!template__is_function(name, len))
			return template__fail(r, EINVAL, "function '%.*s' is not defined", (int)len, name);
		return live(r) ? template__call(r, name, len, NULL, 0) : NULL;
	}
	return template__fail(r, EINVAL, c ? "unexpected '%.8s'" : "the action has no '}}'%s", r->at);
}

/* --- commands ------------------------------------------------------------------------------------------- */

/* called() - a value with arguments behind it, as methods have: {{.Label "key"}}. */
static json_t *called(struct template_run *r, json_t **arg, size_t n)
{
	const char *key;

	if (!r->header)
		return template__index(r, arg, n);
	key = json_string_value(arg[1]);
	if (!key)
		return arg[0];
	/* of com.example.role the title is what stands behind the last dot */
	key = strrchr(key, '.') ? strrchr(key, '.') + 1 : key;
	return title_of(r, key, strlen(key));
}

/* command() - a function or value with its arguments; @piped, a pipeline's left side, is the last of them. */
static json_t *command(struct template_run *r, bool has_piped, json_t *piped)
{
	json_t *arg[TEMPLATE_ARGS_MAX] = { 0 };
	const char *name;
	size_t n = 0, len = 0;

	skip_space(r);
	name = r->at;
	if (is_name(*name) && !is_digit(*name))
		len = name_len(name);
	if ((len == 4 && memcmp(name, "true", 4) == 0) || (len == 5 && memcmp(name, "false", 5) == 0) ||
	    (len == 3 && memcmp(name, "nil", 3) == 0))
		len = 0;
	r->at += len;
	while (r->rc == 0 && !at_close(r) && *r->at != '|' && *r->at != ')' && *r->at) {
		if (n + has_piped == TEMPLATE_ARGS_MAX)
			return template__fail(r, E2BIG, "more than %d arguments", TEMPLATE_ARGS_MAX);
		arg[n++] = operand(r);
		if (r->rc == 0 && !is_space(*r->at) && !at_close(r) && !strchr("|)", *r->at))
			return template__fail(r, EINVAL, "unexpected '%.8s'", r->at);
	}
	if (n == 0 && len == 0)
		return template__fail(r, EINVAL, "a value is missing");
	if (has_piped)
		arg[n++] = piped;
	if (len > 0 && !template__is_function(name, len))
		return template__fail(r, EINVAL, "function '%.*s' is not defined", (int)len, name);
	if (!live(r))
		return NULL;
	if (len > 0)
		return template__call(r, name, len, arg, n);
	return n == 1 ? arg[0] : called(r, arg, n);
}

static json_t *pipeline(struct template_run *r)
{
	json_t *v = command(r, false, NULL);

	while (r->rc == 0 && take_sign(r, "|"))
		v = command(r, true, v);
	return v;
}

/* assignment() - "$x := pipeline" or "$x = pipeline". Return: false when neither; nothing was read. */
static bool assignment(struct template_run *r)
{
	const char *start = r->at, *name;
	struct template_var *v;
	json_t *value;
	size_t len;

	if (!take_sign(r, "$"))
		return false;
	name = r->at;
	len = name_len(name);
	r->at += len;
	if (len > 0 && take_sign(r, ":=")) {
		add_var(r, name, len, pipeline(r));
		return true;
	}
	if (len == 0 || !take_sign(r, "=")) {
		r->at = start;
		return false;
	}
	v = find_var(r, name, len);
	value = v ? pipeline(r) : NULL;
	if (live(r)) {
		json_incref(value);
		json_decref(v->value);
		v->value = value;
	}
	return true;
}

/* --- blocks --------------------------------------------------------------------------------------------- */

/* must_end() - close a block whose last part stopped at @stop. */
static void must_end(struct template_run *r, enum stop stop, const char *what)
{
	if (stop != STOP_END)
		template__fail(r, EINVAL,
			       stop == STOP_ELSE ? "{{%s}} has two {{else}}" : "{{%s}} has no {{end}}", what);
}

/* run_part() - a branch, taken or only read; variables made in it end with it. */
static enum stop run_part(struct template_run *r, bool taken)
{
	bool outer = r->live;
	size_t vars = r->n_vars;
	enum stop stop;

	r->live = outer && taken;
	stop = run_block(r);
	r->live = outer;
	drop_vars(r, vars);
	return stop;
}

/* run_else_if() - behind {{else if}} or {{else with}}: one more block, whose {{end}} is that of the whole. */
static void run_else_if(struct template_run *r, bool with)
{
	if (r->depth++ == TEMPLATE_DEPTH_MAX)
		template__fail(r, E2BIG, "more than %d levels", TEMPLATE_DEPTH_MAX);
	else
		run_if(r, with);
	r->depth--;
}

static void run_if(struct template_run *r, bool with)
{
	size_t vars = r->n_vars, mark = r->n_kept;
	json_t *dot = r->dot, *v;
	bool truth, outer = r->live;
	enum stop stop;

	v = assignment(r) ? r->var[r->n_vars - 1].value : pipeline(r);
	v = json_incref(v);
	close_action(r);
	truth = live(r) && template__truth(v);
	if (with && truth)
		r->dot = v;
	stop = run_part(r, truth);
	r->dot = dot;
	if (stop == STOP_ELSE) {
		r->live = outer && !truth;
		if (take_word(r, "if")) {
			run_else_if(r, false);
			stop = STOP_END;
		} else if (take_word(r, "with")) {
			run_else_if(r, true);
			stop = STOP_END;
		} else {
			close_action(r);
			stop = run_part(r, true);
		}
		r->live = outer;
	}
	must_end(r, stop, with ? "with" : "if");
	json_decref(v);
	drop_vars(r, vars);
	forget(r, mark);
}

/* The head of a range, and where its body begins. */
struct range {
	const char *name[2];
	size_t len[2];
	int n_names;
	json_t *over;
	const char *body;
	bool trim;
};

static void range_head(struct template_run *r, struct range *g)
{
	const char *start = r->at;

	while (g->n_names < 2 && take_sign(r, "$") && name_len(r->at) > 0) {
		g->name[g->n_names] = r->at;
		g->len[g->n_names] = name_len(r->at);
		r->at += g->len[g->n_names++];
		if (!take_sign(r, ","))
			break;
	}
	if (!take_sign(r, ":=")) { /* it was a pipeline that begins with a variable */
		g->n_names = 0;
		r->at = start;
	}
	g->over = pipeline(r);
	close_action(r);
	g->body = r->at;
	g->trim = r->trim;
}

/* range_once() - the body for one element; takes @key, which is NULL when the body is only read. */
static enum stop range_once(struct template_run *r, const struct range *g, json_t *key, json_t *value)
{
	size_t vars = r->n_vars, mark = r->n_kept;
	json_t *dot = r->dot;
	enum stop stop;

	if (key || live(r))
		key = template__keep(r, key);
	if (g->n_names == 2)
		add_var(r, g->name[0], g->len[0], key);
	if (g->n_names > 0)
		add_var(r, g->name[g->n_names - 1], g->len[g->n_names - 1], value);
	r->dot = value;
	r->at = g->body;
	r->trim = g->trim;
	r->loops++;
	stop = run_block(r);
	r->loops--;
	if (r->flow == FLOW_CONTINUE)
		r->flow = FLOW_ON;
	r->dot = dot;
	drop_vars(r, vars);
	forget(r, mark);
	return stop;
}

static json_t *not_null(json_t *v)
{
	return json_is_null(v) ? NULL : v;
}

static enum stop range_object(struct template_run *r, const struct range *g)
{
	size_t n = json_object_size(g->over), i = 0;
	const char **keys = calloc(n, sizeof(*keys)), *key;
	enum stop stop = STOP_END;
	json_t *v;

	if (!keys) {
		template__fail(r, ENOMEM, "%s", err_name(ENOMEM));
		return STOP_END;
	}
	json_object_foreach(g->over, key, v) keys[i++] = key;
	qsort(keys, n, sizeof(*keys), template__compare_keys);
	for (i = 0; i < n && live(r); i++)
		stop = range_once(r, g, json_string(keys[i]), not_null(json_object_get(g->over, keys[i])));
	free(keys);
	return stop;
}

static enum stop range_list(struct template_run *r, const struct range *g)
{
	enum stop stop = STOP_END;

	for (size_t i = 0; i < json_array_size(g->over) && live(r); i++)
		stop = range_once(r, g, json_integer((json_int_t)i), not_null(json_array_get(g->over, i)));
	return stop;
}

/* range_read() - the body of a loop that has no round. */
static enum stop range_read(struct template_run *r, const struct range *g)
{
	bool outer = r->live;
	enum stop stop;

	r->live = false;
	stop = range_once(r, g, NULL, NULL);
	r->live = outer;
	return stop;
}

static void run_range(struct template_run *r)
{
	size_t vars = r->n_vars, mark = r->n_kept;
	enum template_flow flow = r->flow; /* of the loop around, which may have been left */
	struct range g = { 0 };
	bool any;
	enum stop stop;

	range_head(r, &g);
	json_incref(g.over);
	if (live(r) && g.over && !r->header && !json_is_array(g.over) && !json_is_object(g.over))
		template__fail(r, EINVAL, "range over %s", template__kind(g.over));
	any = live(r) && (json_array_size(g.over) > 0 || json_object_size(g.over) > 0);
	stop = !any ? range_read(r, &g) : json_is_array(g.over) ? range_list(r, &g) : range_object(r, &g);
	r->flow = flow;
	if (stop == STOP_ELSE) {
		close_action(r);
		stop = run_part(r, !any);
	}
	must_end(r, stop, "range");
	json_decref(g.over);
	drop_vars(r, vars);
	forget(r, mark);
}

/* --- text and actions ----------------------------------------------------------------------------------- */

/* run_text() - what stands before the next action, which is opened. Return: false at the end. */
static bool run_text(struct template_run *r)
{
	const char *open = strstr(r->at, "{{"), *from = r->at, *to = open ? open : r->at + strlen(r->at);
	bool trim_before = open && open[2] == '-' && is_space(open[3]);

	while (r->trim && from < to && is_space(*from))
		from++;
	while (trim_before && to > from && is_space(to[-1]))
		to--;
	if (live(r))
		buf_put(r->out, from, (size_t)(to - from));
	r->trim = false;
	r->at = open ? open + 2 + trim_before : to;
	return open;
}

static void run_comment(struct template_run *r)
{
	const char *end = strstr(r->at, "*/");

	if (!end)
		template__fail(r, EINVAL, "the comment has no end");
	else
		r->at = end + 2;
}

static void leave_loop(struct template_run *r, enum template_flow flow)
{
	if (r->loops == 0)
		template__fail(r, EINVAL, "outside of {{range}}");
	close_action(r);
	if (live(r))
		r->flow = flow;
}

static void run_value(struct template_run *r)
{
	size_t mark = r->n_kept;
	json_t *v;

	if (assignment(r)) {
		close_action(r);
		return;
	}
	v = pipeline(r);
	close_action(r);
	if (live(r))
		template__print(r->out, v);
	forget(r, mark);
}

static void run_nested(struct template_run *r, const char *word)
{
	if (r->depth++ == TEMPLATE_DEPTH_MAX)
		template__fail(r, E2BIG, "more than %d levels", TEMPLATE_DEPTH_MAX);
	else if (*word == 'r')
		run_range(r);
	else
		run_if(r, *word == 'w');
	r->depth--;
}

/* run_block() - text and actions up to an {{end}}, closed, an {{else}}, still open, or the end of all. */
static enum stop run_block(struct template_run *r)
{
	while (r->rc == 0) {
		if (!run_text(r))
			return STOP_TEXT_END;
		if (++r->actions > TEMPLATE_ACTIONS_MAX || r->out->len - r->out_start > TEMPLATE_OUTPUT_MAX) {
			template__fail(r, E2BIG, "too much output");
			break;
		}
		if (take_sign(r, "/*")) {
			run_comment(r);
			close_action(r);
		} else if (take_word(r, "end")) {
			close_action(r);
			return STOP_END;
		} else if (take_word(r, "else")) {
			return STOP_ELSE;
		} else if (take_word(r, "if")) {
			run_nested(r, "if");
		} else if (take_word(r, "with")) {
			run_nested(r, "with");
		} else if (take_word(r, "range")) {
			run_nested(r, "range");
		} else if (take_word(r, "break")) {
			leave_loop(r, FLOW_BREAK);
		} else if (take_word(r, "continue")) {
			leave_loop(r, FLOW_CONTINUE);
		} else {
			run_value(r);
		}
	}
	return STOP_TEXT_END;
}

static int run(struct template_run *r, const char *format)
{
	r->text = r->at = format;
	r->live = true;
	r->out_start = r->out->len;
	add_var(r, "", 0, r->dot); /* $ */
	if (run_block(r) != STOP_TEXT_END)
		template__fail(r, EINVAL, "{{end}} or {{else}} without a beginning");
	drop_vars(r, 0);
	forget(r, 0);
	free(r->kept);
	if (r->rc == 0 && buf_finish(r->out) < 0)
		r->rc = err_sys(r->e, ENOMEM, "format");
	return r->rc;
}

int template_render(const char *format, const json_t *value, struct buf *out, struct err *e)
{
	struct template_run r = { .dot = json_is_null(value) ? NULL : (json_t *)value, .out = out, .e = e };

	return run(&r, format);
}

int template_header(const char *format, const json_t *titles, struct buf *out, struct err *e)
{
	struct template_run r = { .titles = titles, .header = true, .out = out, .e = e };

	return run(&r, format);
}

const char *template_is_table(const char *format)
{
	const char *rest = str_after(format, "table");

	if (!rest || (*rest && !is_space(*rest)))
		return NULL;
	while (is_space(*rest))
		rest++;
	return rest;
}

void template_unescape(struct buf *out, const char *format)
{
	for (; *format; format++) {
		if (format[0] == '\\' && (format[1] == 't' || format[1] == 'n'))
			buf_putc(out, *++format == 't' ? '\t' : '\n');
		else
			buf_putc(out, *format);
	}
}
