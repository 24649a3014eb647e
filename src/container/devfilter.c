/* SPDX-License-Identifier: Apache-2.0 */
#include "container/devfilter.h"

#include <linux/bpf.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

enum {
	MAJOR_MAX = (1 << 12) - 1, /* the kernel's dev_t: 12 and 20 bits */
	MINOR_MAX = (1 << 20) - 1,
	INSNS_PER_RULE = 7,
	INSNS_AROUND = 8,
};

/* What every container may use whatever its rules say, as the other runtimes have it. */
static const struct devfilter_rule always[] = {
	{ true, false, 'c', -1, -1, DEVFILTER_MKNOD }, { true, false, 'b', -1, -1, DEVFILTER_MKNOD },
	{ true, false, 'c', 1, 3, DEVFILTER_ALL },    /* null */
	{ true, false, 'c', 1, 5, DEVFILTER_ALL },    /* zero */
	{ true, false, 'c', 1, 7, DEVFILTER_ALL },    /* full */
	{ true, false, 'c', 1, 8, DEVFILTER_ALL },    /* random */
	{ true, false, 'c', 1, 9, DEVFILTER_ALL },    /* urandom */
	{ true, false, 'c', 5, 0, DEVFILTER_ALL },    /* tty */
	{ true, false, 'c', 5, 1, DEVFILTER_ALL },    /* console */
	{ true, false, 'c', 5, 2, DEVFILTER_ALL },    /* ptmx */
	{ true, false, 'c', 136, -1, DEVFILTER_ALL }, /* pts */
};

static int filter_add(struct devfilter *f, const struct devfilter_rule *r)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 32;
		struct devfilter_rule *rule = reallocarray(f->rule, cap, sizeof(*rule));

		if (!rule)
			return -ENOMEM;
		f->rule = rule;
		f->cap = cap;
	}
	f->rule[f->n++] = *r;
	return 0;
}

static int add_oci_rule(struct devfilter *f, const struct oci_device_rule *o)
{
	struct devfilter_rule r = {
		.allow = o->allow,
		.wanted = true,
		.type = o->type,
		.major = o->major.set ? o->major.v : -1,
		.minor = o->minor.set ? o->minor.v : -1,
		.access = (o->read ? DEVFILTER_READ : 0) | (o->write ? DEVFILTER_WRITE : 0) |
			  (o->mknod ? DEVFILTER_MKNOD : 0),
	};
	int rc;

	if (r.major < -1 || r.major > MAJOR_MAX || r.minor < -1 || r.minor > MINOR_MAX)
		return -ERANGE;
	if (!r.access)
		return -EINVAL;
	if (r.type != 'a')
		return filter_add(f, &r);
	if (r.major == -1 && r.minor == -1 && r.access == DEVFILTER_ALL) {
		f->allow = r.allow;
		f->n = 0;
		return 0;
	}
	/* "all types" with a number or less than full access is two rules, not a new default: v1 itself would
	 * take "a 1:3 r" for "everything". */
	r.type = 'c';
	rc = filter_add(f, &r);
	r.type = 'b';
	return rc < 0 ? rc : filter_add(f, &r);
}

int devfilter_build(struct devfilter *ret_f, const struct oci_device_rule *rules, size_t n, struct err *e)
{
	struct devfilter f = { 0 };
	int r = 0;

	if (n > DEVFILTER_RULES_MAX)
		return err_set(e, E2BIG, "linux.resources.devices: %zu rules, hull takes %d", n,
			       DEVFILTER_RULES_MAX);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = add_oci_rule(&f, &rules[i]);
		if (r == -EINVAL)
			err_set(e, EINVAL, "linux.resources.devices[%zu].access: must not be empty", i);
		else if (r < 0)
			err_sys(e, -r, "linux.resources.devices[%zu]", i);
	}
	/* They change nothing where everything is allowed; there they would only tear holes a v1 list cannot
	 * have. */
	for (size_t i = 0; i < ARRAY_SIZE(always) && r == 0 && !(f.allow && f.n == 0); i++)
		r = filter_add(&f, &always[i]);
	if (r < 0) {
		devfilter_fini(&f);
		return err_wrap(e, r, "device filter");
	}
	*ret_f = f;
	return 0;
}

static bool same_range(const struct devfilter_rule *a, const struct devfilter_rule *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

static bool covers(const struct devfilter_rule *a, const struct devfilter_rule *b)
{
	return a->type == b->type && (a->major == -1 || a->major == b->major) &&
	       (a->minor == -1 || a->minor == b->minor);
}

static bool overlaps(const struct devfilter_rule *a, const struct devfilter_rule *b)
{
	return a->type == b->type && (a->major == -1 || b->major == -1 || a->major == b->major) &&
	       (a->minor == -1 || b->minor == -1 || a->minor == b->minor);
}

/* except() - one more exception to the default: widen the one of the same range or append. */
static void except(struct devfilter *f, size_t *n, const struct devfilter_rule *r)
{
	for (size_t i = 0; i < *n; i++)
		if (same_range(&f->rule[i], r)) {
			f->rule[i].access |= r->access;
			f->rule[i].wanted |= r->wanted;
			return;
		}
	f->rule[(*n)++] = *r;
}

/* take_back() - a rule that says the default again: the exceptions it covers lose its bits. */
static int take_back(struct devfilter *f, size_t *n, const struct devfilter_rule *r, struct err *e)
{
	char line[DEVFILTER_LINE_SIZE], other[DEVFILTER_LINE_SIZE];
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		struct devfilter_rule *x = &f->rule[i];

		if ((x->access & r->access) && overlaps(x, r)) {
			if (!covers(r, x))
				return err_set(e, ENOTSUP,
					       "linux.resources.devices: '%s %s' takes back a part of '%s', "
					       "which cgroup v1 cannot express",
					       r->allow ? "allow" : "deny", devfilter_line(r, line),
					       devfilter_line(x, other));
			x->access &= ~r->access;
		}
		if (x->access)
			f->rule[kept++] = *x;
	}
	*n = kept;
	return 0;
}

int devfilter_flatten(struct devfilter *f, struct err *e)
{
	size_t n = 0;
	int r = 0;

	/* The exceptions grow in the front of the array, never past the rule being read. */
	for (size_t i = 0; i < f->n && r == 0; i++) {
		struct devfilter_rule rule = f->rule[i];

		if (rule.allow != f->allow)
			except(f, &n, &rule);
		else
			r = take_back(f, &n, &rule, e);
	}
	if (r == 0)
		f->n = n;
	return r;
}

/* --- BPF ------------------------------------------------------------------------------------------------ */

/* Registers: r1 the context; r2 type, r3 access bits nobody has decided yet, r4 major, r5 minor. */
static struct bpf_insn insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	return (struct bpf_insn){ .code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm };
}

#define JNE  (BPF_JMP | BPF_JNE | BPF_K)
#define MOV  (BPF_ALU | BPF_MOV | BPF_K)
#define EXIT insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define LOAD(dst, member)                                                                                    \
	insn(BPF_LDX | BPF_MEM | BPF_W, dst, 1, (int16_t)offsetof(struct bpf_cgroup_dev_ctx, member), 0)

static size_t compile_rule(struct bpf_insn *p, const struct devfilter_rule *r)
{
	int32_t bits = (int32_t)((r->access & DEVFILTER_READ ? BPF_DEVCG_ACC_READ : 0u) |
				 (r->access & DEVFILTER_WRITE ? BPF_DEVCG_ACC_WRITE : 0u) |
				 (r->access & DEVFILTER_MKNOD ? BPF_DEVCG_ACC_MKNOD : 0u));
	size_t tests, n = 0;

	p[n++] = insn(JNE, 2, 0, 0, r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (r->major >= 0)
		p[n++] = insn(JNE, 4, 0, 0, (int32_t)r->major);
	if (r->minor >= 0)
		p[n++] = insn(JNE, 5, 0, 0, (int32_t)r->minor);
	tests = n;
	if (r->allow) { /* these bits are decided; when none is left, the access is allowed */
		p[n++] = insn(BPF_ALU | BPF_AND | BPF_K, 3, 0, 0, ~bits & 7);
		p[n++] = insn(JNE, 3, 0, 2, 0);
		p[n++] = insn(MOV, 0, 0, 0, 1);
	} else { /* one undecided bit among these refuses the whole access */
		p[n++] = insn(BPF_JMP | BPF_JSET | BPF_K, 3, 0, 1, bits);
		p[n++] = insn(BPF_JMP | BPF_JA, 0, 0, 2, 0);
		p[n++] = insn(MOV, 0, 0, 0, 0);
	}
	p[n++] = EXIT;
	for (size_t i = 0; i < tests; i++)
		p[i].off = (int16_t)(n - i - 1);
	return n;
}

int devfilter_compile(const struct devfilter *f, struct bpf_insn **ret_insn, size_t *ret_n)
{
	struct bpf_insn *p = calloc(f->n * INSNS_PER_RULE + INSNS_AROUND, sizeof(*p));
	size_t n = 0;

	if (!p)
		return -ENOMEM;
	p[n++] = LOAD(2, access_type);
	p[n++] = insn(BPF_ALU | BPF_MOV | BPF_X, 3, 2, 0, 0);
	p[n++] = insn(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	p[n++] = insn(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
	p[n++] = LOAD(4, major);
	p[n++] = LOAD(5, minor);
	for (size_t i = f->n; i-- > 0;) /* the last rule that matches decides, so it is asked first */
		n += compile_rule(p + n, &f->rule[i]);
	p[n++] = insn(MOV, 0, 0, 0, f->allow);
	p[n++] = EXIT;
	*ret_insn = p;
	*ret_n = n;
	return 0;
}

/* --- text ----------------------------------------------------------------------------------------------- */

const char *devfilter_line(const struct devfilter_rule *r, char *dst)
{
	char major[24] = "*", minor[24] = "*";

	if (r->major >= 0)
		str_format(major, sizeof(major), "%lld", (long long)r->major);
	if (r->minor >= 0)
		str_format(minor, sizeof(minor), "%lld", (long long)r->minor);
	str_format(dst, DEVFILTER_LINE_SIZE, "%c %s:%s %s%s%s", r->type, major, minor,
		   r->access & DEVFILTER_READ ? "r" : "", r->access & DEVFILTER_WRITE ? "w" : "",
		   r->access & DEVFILTER_MKNOD ? "m" : "");
	return dst;
}

/* parse_number() - "*" or a number, and the character behind it, which is skipped. */
static int parse_number(const char **s, char behind, int64_t *ret_n)
{
	int64_t n = 0;

	if (**s == '*') {
		n = -1;
		(*s)++;
	} else if (**s < '0' || **s > '9') {
		return -EINVAL;
	}
	for (; n >= 0 && n <= MINOR_MAX && **s >= '0' && **s <= '9'; (*s)++)
		n = n * 10 + (**s - '0');
	if (*(*s)++ != behind)
		return -EINVAL;
	*ret_n = n;
	return 0;
}

static int parse_line(struct devfilter *f, const char *s)
{
	struct devfilter_rule r = { .allow = true, .type = *s };

	if (s[0] == 'a' && (s[1] == '\0' || s[1] == '\n' || s[1] == ' ')) {
		f->allow = true;
		return 0;
	}
	if ((s[0] != 'b' && s[0] != 'c') || s[1] != ' ')
		return -EINVAL;
	s += 2;
	if (parse_number(&s, ':', &r.major) < 0 || parse_number(&s, ' ', &r.minor) < 0)
		return -EINVAL;
	for (; *s && *s != '\n'; s++)
		r.access |= *s == 'r' ? DEVFILTER_READ :
			    *s == 'w' ? DEVFILTER_WRITE :
			    *s == 'm' ? DEVFILTER_MKNOD :
					0;
	return filter_add(f, &r);
}

int devfilter_parse(struct devfilter *ret_f, const char *list)
{
	struct devfilter f = { 0 };
	int r = 0;

	for (const char *s = list; *s && r == 0;) {
		r = parse_line(&f, s);
		s = strchrnul(s, '\n');
		s += *s == '\n';
	}
	if (r < 0) {
		devfilter_fini(&f);
		return r;
	}
	*ret_f = f;
	return 0;
}

bool devfilter_has(const struct devfilter *f, const struct devfilter_rule *r)
{
	for (size_t i = 0; i < f->n; i++)
		if (same_range(&f->rule[i], r) && f->rule[i].access == r->access)
			return true;
	return false;
}

void devfilter_fini(struct devfilter *f)
{
	free(f->rule);
	*f = (struct devfilter){ 0 };
}
