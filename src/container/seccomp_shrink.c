/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_shrink.c - a filter program that says the same in fewer instructions
 *
 * Theory of operation. libseccomp tests for each system call by name, so that a profile of 400 calls on three architectures becomes
 * 1,250 instructions, which the kernel checks, converts, translates and tries out anew for each container: 0.5 ms of a start. But
 * the calls a profile allows lie next to each other. What a program says depends on the architecture, the number, and for few
 * numbers on the arguments. So: find all constants the first two are compared with; they cut the numbers into intervals within
 * which every comparison has one outcome. Run the program once for each architecture and interval, until it returns or looks at an
 * argument. Neighbours with the same end are one. What comes out is, for each architecture, a balanced tree of "at least"
 * tests, whose leaves return or lead into that part of the old program which looks at arguments, copied as it is.
 *
 * Only instructions that the kernel itself can try out are used, so that it still finds the calls that are always allowed
 * and runs no filter for them.
 */
#include "container/seccomp_shrink.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/guard.h"

/* What the accumulator may hold in front of an instruction. */
enum { HOLDS_NOTHING = 1, HOLDS_ARCH = 2, HOLDS_NR = 4, HOLDS_OTHER = 8 };

enum {
	ARCH_MAX = 8,
	NEAR = 255, /* how far a conditional jump reaches */
	OPEN = 1,   /* in .jt of an unconditional one, where it means nothing: see put_tree() */
	LOAD = BPF_LD | BPF_W | BPF_ABS,
};

/* Where a run of the program ends: with a value, or in front of the instruction that loads an argument. */
struct end {
	bool fixed;
	uint32_t value; /* or index of that instruction */
};

struct leaf {
	uint32_t from; /* the lowest number it is for; to the next leaf's */
	struct end end;
};

struct shrink {
	const struct sock_filter *in;
	size_t n;
	uint8_t *holds; /* owned; for each instruction, of HOLDS_x; 0: never reached */
	uint32_t *cut;  /* owned; where intervals of numbers begin, ascending */
	size_t n_cuts;
	uint32_t arch[ARCH_MAX];
	size_t n_arches;
	struct leaf *leaf; /* owned; of the architecture just being written */
	size_t n_leaves;
	size_t *at; /* owned; where a copied instruction is in the new program; SIZE_MAX: not copied */
	struct sock_filter *out; /* owned; at most 2 n_cuts for each architecture, and a copy of @in */
	size_t n_out, room;
};

static void shrink_fini(struct shrink *s)
{
	free(s->holds);
	free(s->cut);
	free(s->leaf);
	free(s->at);
	free(s->out);
}

/* --- what the program compares ------------------------------------------------------------------------------- */

static int note_arch(struct shrink *s, const struct sock_filter *f)
{
	if (BPF_OP(f->code) != BPF_JEQ)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < s->n_arches; i++)
		if (s->arch[i] == f->k)
			return 0;
	if (s->n_arches == ARCH_MAX)
		return -EOPNOTSUPP;
	s->arch[s->n_arches++] = f->k;
	return 0;
}

static void note_nr(struct shrink *s, const struct sock_filter *f)
{
	if (BPF_OP(f->code) != BPF_JGT)
		s->cut[s->n_cuts++] = f->k;
	if (BPF_OP(f->code) != BPF_JGE && f->k < UINT32_MAX)
		s->cut[s->n_cuts++] = f->k + 1;
}

static int reach(struct shrink *s, size_t pc, uint8_t holds)
{
	if (pc >= s->n)
		return -EOPNOTSUPP;
	s->holds[pc] |= holds;
	return 0;
}

static int scan_jump(struct shrink *s, size_t pc)
{
	const struct sock_filter *f = &s->in[pc];
	uint8_t holds = s->holds[pc];
	int r = 0;

	if (f->code == (BPF_JMP | BPF_JA))
		return f->k < s->n ? reach(s, pc + 1 + f->k, holds) : -EOPNOTSUPP;
	if (BPF_SRC(f->code) != BPF_K || holds & HOLDS_NOTHING)
		return -EOPNOTSUPP;
	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
	case BPF_JGT:
	case BPF_JGE: break;
	case BPF_JSET: r = holds & (HOLDS_ARCH | HOLDS_NR) ? -EOPNOTSUPP : 0; break;
	default: return -EOPNOTSUPP;
	}
	if (r == 0 && holds & HOLDS_ARCH)
		r = note_arch(s, f);
	if (r == 0 && holds & HOLDS_NR)
		note_nr(s, f);
	if (r == 0)
		r = reach(s, pc + 1 + f->jt, holds);
	return r < 0 ? r : reach(s, pc + 1 + f->jf, holds);
}

/* scan() - jumps lead forward only: once through the program, and all is known. */
static int scan(struct shrink *s)
{
	int r = 0;

	s->holds[0] = HOLDS_NOTHING;
	s->cut[s->n_cuts++] = 0;
	for (size_t pc = 0; pc < s->n && r == 0; pc++) {
		const struct sock_filter *f = &s->in[pc];

		if (s->holds[pc] == 0)
			continue;
		if (f->code == LOAD)
			r = reach(s, pc + 1,
				  f->k == offsetof(struct seccomp_data, arch) ? HOLDS_ARCH :
				  f->k == offsetof(struct seccomp_data, nr)   ? HOLDS_NR :
										HOLDS_OTHER);
		else if (BPF_CLASS(f->code) == BPF_JMP)
			r = scan_jump(s, pc);
		else if (f->code == (BPF_ALU | BPF_AND | BPF_K))
			r = s->holds[pc] == HOLDS_OTHER ? reach(s, pc + 1, HOLDS_OTHER) : -EOPNOTSUPP;
		else if (f->code != (BPF_RET | BPF_K))
			r = -EOPNOTSUPP;
	}
	return r;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void sort_cuts(struct shrink *s)
{
	size_t n = 0;

	qsort(s->cut, s->n_cuts, sizeof(*s->cut), by_value);
	for (size_t i = 0; i < s->n_cuts; i++)
		if (n == 0 || s->cut[n - 1] != s->cut[i])
			s->cut[n++] = s->cut[i];
	s->n_cuts = n;
}

/* --- what it says -------------------------------------------------------------------------------------------- */

static bool holds_true(const struct sock_filter *f, uint32_t a)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ: return a == f->k;
	case BPF_JGT: return a > f->k;
	default: return a >= f->k;
	}
}

/* run() - for one architecture and number; scan() has seen every instruction that this can come to. */
static struct end run(const struct shrink *s, uint32_t arch, uint32_t nr)
{
	uint32_t a = 0;
	size_t pc = 0;

	for (;;) {
		const struct sock_filter *f = &s->in[pc];

		if (f->code == (BPF_RET | BPF_K))
			return (struct end){ .fixed = true, .value = f->k };
		if (f->code == LOAD) {
			if (f->k == offsetof(struct seccomp_data, arch))
				a = arch;
			else if (f->k == offsetof(struct seccomp_data, nr))
				a = nr;
			else
				return (struct end){ .value = (uint32_t)pc };
			pc++;
		} else if (f->code == (BPF_JMP | BPF_JA)) {
			pc += 1 + f->k;
		} else {
			pc += 1 + (holds_true(f, a) ? f->jt : f->jf);
		}
	}
}

static void find_leaves(struct shrink *s, uint32_t arch)
{
	s->n_leaves = 0;
	for (size_t i = 0; i < s->n_cuts; i++) {
		struct end end = run(s, arch, s->cut[i]);
		struct leaf *last = s->n_leaves ? &s->leaf[s->n_leaves - 1] : NULL;

		if (!last || last->end.fixed != end.fixed || last->end.value != end.value)
			s->leaf[s->n_leaves++] = (struct leaf){ s->cut[i], end };
	}
}

/* --- the new program ----------------------------------------------------------------------------------------- */

static struct sock_filter *put(struct shrink *s, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	struct sock_filter *f = &s->out[s->n_out++];

	*f = (struct sock_filter){ code, jt, jf, k };
	return f;
}

/*
 * put_tree() - leaves @from to @to of the current architecture, with the number in the accumulator
 * A jump into the copied part is left open: it says which instruction of the old program it leads to, and @at that this is used.
 */
static void put_tree(struct shrink *s, size_t from, size_t to)
{
	size_t middle = from + (to - from) / 2, test, skip;

	if (to - from == 1) {
		const struct end *e = &s->leaf[from].end;

		if (e->fixed) {
			put(s, BPF_RET | BPF_K, 0, 0, e->value);
		} else {
			put(s, BPF_JMP | BPF_JA, OPEN, 0, e->value);
			s->at[e->value] = 0;
		}
		return;
	}
	test = s->n_out;
	put(s, BPF_JMP | BPF_JGE | BPF_K, 0, 0, s->leaf[middle].from);
	put(s, BPF_JMP | BPF_JA, 0, 0, 0);
	put_tree(s, from, middle);
	skip = s->n_out - test - 2;
	if (skip <= NEAR) { /* the long jump was not needed */
		memmove(&s->out[test + 1], &s->out[test + 2], skip * sizeof(*s->out));
		s->n_out--;
		s->out[test].jt = (uint8_t)skip;
	} else {
		s->out[test].jf = 1;
		s->out[test + 1].k = (uint32_t)skip;
	}
	put_tree(s, middle, to);
}

static void put_arch(struct shrink *s, uint32_t arch)
{
	find_leaves(s, arch);
	if (s->n_leaves > 1)
		put(s, LOAD, 0, 0, offsetof(struct seccomp_data, nr));
	put_tree(s, 0, s->n_leaves);
}

/* other_arch() - one that the program does not know. */
static uint32_t other_arch(const struct shrink *s)
{
	uint32_t arch = 0;

	for (size_t i = 0; i < s->n_arches; i++)
		if (s->arch[i] == arch) {
			arch++;
			i = (size_t)-1;
		}
	return arch;
}

static void put_arches(struct shrink *s)
{
	put(s, LOAD, 0, 0, offsetof(struct seccomp_data, arch));
	for (size_t i = 0; i < s->n_arches; i++) {
		size_t test = s->n_out;

		put(s, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, s->arch[i]);
		put(s, BPF_JMP | BPF_JA, 0, 0, 0);
		put_arch(s, s->arch[i]);
		s->out[test + 1].k = (uint32_t)(s->n_out - test - 2);
	}
	put_arch(s, other_arch(s));
}

/* mark() - all that can be come to from what is to be copied. */
static void mark(struct shrink *s)
{
	for (size_t pc = 0; pc < s->n; pc++) {
		const struct sock_filter *f = &s->in[pc];

		if (s->at[pc] == SIZE_MAX || BPF_CLASS(f->code) == BPF_RET)
			continue;
		if (f->code == (BPF_JMP | BPF_JA)) {
			s->at[pc + 1 + f->k] = 0;
		} else if (BPF_CLASS(f->code) == BPF_JMP) {
			s->at[pc + 1 + f->jt] = 0;
			s->at[pc + 1 + f->jf] = 0;
		} else {
			s->at[pc + 1] = 0;
		}
	}
}

/* copy() - in their old order and no farther apart, so that every jump reaches where it did. */
static void copy(struct shrink *s)
{
	size_t first = s->n_out;

	mark(s);
	for (size_t pc = 0, to = first; pc < s->n; pc++)
		if (s->at[pc] != SIZE_MAX)
			s->at[pc] = to++;
	for (size_t pc = 0; pc < first; pc++)
		if (s->out[pc].code == (BPF_JMP | BPF_JA) && s->out[pc].jt == OPEN)
			s->out[pc] = (struct sock_filter){ BPF_JMP | BPF_JA, 0, 0,
							   (uint32_t)(s->at[s->out[pc].k] - pc - 1) };
	for (size_t pc = 0; pc < s->n; pc++) {
		struct sock_filter *f;

		if (s->at[pc] == SIZE_MAX)
			continue;
		f = put(s, s->in[pc].code, s->in[pc].jt, s->in[pc].jf, s->in[pc].k);
		if (f->code == (BPF_JMP | BPF_JA)) {
			f->k = (uint32_t)(s->at[pc + 1 + f->k] - s->at[pc] - 1);
		} else if (BPF_CLASS(f->code) == BPF_JMP) {
			f->jt = (uint8_t)(s->at[pc + 1 + s->in[pc].jt] - s->at[pc] - 1);
			f->jf = (uint8_t)(s->at[pc + 1 + s->in[pc].jf] - s->at[pc] - 1);
		}
	}
}

static int begin(struct shrink *s)
{
	s->holds = calloc(s->n, sizeof(*s->holds));
	s->at = malloc(s->n * sizeof(*s->at));
	s->cut = malloc((2 * s->n + 1) * sizeof(*s->cut));
	if (!s->holds || !s->at || !s->cut)
		return -ENOMEM;
	for (size_t pc = 0; pc < s->n; pc++)
		s->at[pc] = SIZE_MAX;
	return 0;
}

static int make_room(struct shrink *s)
{
	/* for each architecture: two for the test, one load, and in a tree one for each leaf, two for each node */
	s->room = 1 + (s->n_arches + 1) * (3 + 3 * s->n_cuts) + s->n;
	s->leaf = calloc(s->n_cuts + 1, sizeof(*s->leaf));
	s->out = malloc(s->room * sizeof(*s->out));
	return s->leaf && s->out ? 0 : -ENOMEM;
}

int seccomp_shrink(const struct sock_filter *in, size_t n, struct buf *out)
{
	auto_fini(shrink) struct shrink s = { .in = in, .n = n };
	int r = n ? begin(&s) : -EOPNOTSUPP;

	if (r == 0)
		r = scan(&s);
	if (r < 0)
		return r;
	sort_cuts(&s);
	r = make_room(&s);
	if (r < 0)
		return r;
	put_arches(&s);
	copy(&s);
	if (s.n_out >= n)
		return -EOPNOTSUPP;
	buf_put(out, s.out, s.n_out * sizeof(*s.out));
	return buf_finish(out);
}
