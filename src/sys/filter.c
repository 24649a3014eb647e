/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.c - rules in the order of their calls' numbers, and a tree of comparisons over them
 *
 * The kernel runs a new filter once for every number there is, to know which calls need never be asked about again. Read from
 * the top, a hundred rules cost 0.15 ms there, and a call that is judged by its arguments pays for those before it each time.
 */
#include "sys/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/bug.h"
#include "base/err.h"
#include "sys/call.h"

enum {
	AT_NR = offsetof(struct seccomp_data, nr),
	AT_ARCH = offsetof(struct seccomp_data, arch),
	AT_ARGS = offsetof(struct seccomp_data, args), /* low halves first: little-endian */
	RULE_INSNS = 6,                                /* at most, of one rule */
	LEAF_RULES = 4,                                /* so few are read from the top */
	/* a leaf has one rule at least, its refusal, and a node of two above it; and before them all, what the processor is */
	INSNS_MAX = FILTER_RULES_MAX * (RULE_INSNS + 1 + 2) + 6,
};

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#endif

struct program {
	struct sock_filter insn[INSNS_MAX];
	unsigned n;
	uint32_t otherwise;
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	p->insn[p->n++] = (struct sock_filter){ code, jt, jf, k };
}

static void load(struct program *p, uint32_t at)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, at, 0, 0);
}

/* put_rule() - with the call's number in the accumulator before and, where the rule does not apply, after. */
static void put_rule(struct program *p, const struct filter_rule *r)
{
	if (r->arg < 0) {
		put(p, BPF_JMP | BPF_JEQ | BPF_K, r->nr, 0, 1);
		put(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
		return;
	}
	put(p, BPF_JMP | BPF_JEQ | BPF_K, r->nr, 0, 5);
	load(p, AT_ARGS + 8U * (uint32_t)r->arg);
	put(p, BPF_ALU | BPF_AND | BPF_K, r->mask, 0, 0);
	put(p, BPF_JMP | BPF_JEQ | BPF_K, r->value, 0, 1);
	put(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	load(p, AT_NR);
}

/* middle() - where another call's rules begin, as near to the middle as there is; @n: nowhere */
static unsigned middle(const struct filter_rule *r, unsigned n)
{
	unsigned at = n / 2, up = at, down = at;

	while (up < n && r[up].nr == r[up - 1].nr)
		up++;
	while (down > 0 && r[down].nr == r[down - 1].nr)
		down--;
	return down > 0 && at - down < up - at ? down : up;
}

/* put_rules() - all that is known of a number that comes here is that the rules [r, r + n) are those it may be in */
static void put_rules(struct program *p, const struct filter_rule *r, unsigned n)
{
	unsigned mid = n > LEAF_RULES ? middle(r, n) : n, far;

	if (mid == n) {
		for (unsigned i = 0; i < n; i++)
			put_rule(p, &r[i]);
		put(p, BPF_RET | BPF_K, p->otherwise, 0, 0);
		return;
	}
	put(p, BPF_JMP | BPF_JGE | BPF_K, r[mid].nr, 0, 1);
	far = p->n;
	put(p, BPF_JMP | BPF_JA, 0, 0, 0);
	put_rules(p, r, mid);
	p->insn[far].k = p->n - far - 1;
	put_rules(p, r + mid, n - mid);
}

static bool equal(const struct filter_rule *a, const struct filter_rule *b)
{
	return a->nr == b->nr && a->arg == b->arg && a->mask == b->mask && a->value == b->value;
}

/* allow() - in its place: by number; of one number in the order they came, and alone if that is allowed always. */
static void allow(struct filter *f, const struct filter_rule *r)
{
	unsigned at = f->n, first;

	while (at > 0 && f->rule[at - 1].nr > r->nr)
		at--;
	for (first = at; first > 0 && f->rule[first - 1].nr == r->nr; first--)
		if (f->rule[first - 1].arg < 0 || equal(&f->rule[first - 1], r))
			return;
	if (r->arg < 0 && first < at) {
		memmove(&f->rule[first + 1], &f->rule[at], (f->n - at) * sizeof(*r));
		f->n -= at - first - 1;
		f->rule[first] = *r;
		return;
	}
	if (f->n == FILTER_RULES_MAX) {
		f->rc = -E2BIG;
		return;
	}
	memmove(&f->rule[at + 1], &f->rule[at], (f->n - at) * sizeof(*r));
	f->rule[at] = *r;
	f->n++;
}

void filter_allow(struct filter *f, const struct filter_rule *rule, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		BUG_ON(rule[i].arg > 5);
		allow(f, &rule[i]);
	}
}

int filter_install(const struct filter *f, enum filter_else otherwise, struct err *e)
{
	struct program p = { .otherwise =
				     otherwise == FILTER_TRAP ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS };
	struct sock_fprog prog = { .filter = p.insn };
	int r;

	if (f->rc < 0)
		return err_sys(e, -f->rc, "system call filter");
	load(&p, AT_ARCH); /* the 32-bit entry has other numbers; x32 ones are over all of ours */
	put(&p, BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
	put(&p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	load(&p, AT_NR);
	put_rules(&p, f->rule, f->n);
	prog.len = (unsigned short)p.n;
	r = (int)SYS5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (r >= 0)
		r = (int)SYS3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
	return r < 0 ? err_sys(e, -r, "system call filter") : 0;
}
