/* SPDX-License-Identifier: Apache-2.0 */
#include "container/devfilter.h"

#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

enum { R = DEVFILTER_READ, W = DEVFILTER_WRITE, M = DEVFILTER_MKNOD };

#define RULE(a, t, ma, mi, acc)                                                                              \
	{                                                                                                    \
		.allow = (a), .type = (t), .major = { (ma) >= 0, (ma) }, .minor = { (mi) >= 0, (mi) },       \
		.read = ((acc)&R) != 0, .write = ((acc)&W) != 0, .mknod = ((acc)&M) != 0                     \
	}

/* run() - a program by the letter of the instruction set, as far as a device filter uses it. */
static int run(const struct bpf_insn *p, size_t n, uint32_t access_type, uint32_t major, uint32_t minor)
{
	const uint32_t ctx[3] = { access_type, major, minor };
	uint64_t reg[11] = { 0 };

	for (size_t pc = 0; pc < n; pc++) {
		const struct bpf_insn *i = &p[pc];

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			assert_int_equal(i->src_reg, 1);
			assert_true(i->off >= 0 && i->off <= 8 && i->off % 4 == 0);
			reg[i->dst_reg] = ctx[i->off / 4];
			break;
		case BPF_ALU | BPF_MOV | BPF_X: reg[i->dst_reg] = (uint32_t)reg[i->src_reg]; break;
		case BPF_ALU | BPF_MOV | BPF_K: reg[i->dst_reg] = (uint32_t)i->imm; break;
		case BPF_ALU | BPF_AND | BPF_K:
			reg[i->dst_reg] = (uint32_t)reg[i->dst_reg] & (uint32_t)i->imm;
			break;
		case BPF_ALU | BPF_RSH | BPF_K: reg[i->dst_reg] = (uint32_t)reg[i->dst_reg] >> i->imm; break;
		case BPF_JMP | BPF_JNE | BPF_K:
			pc += reg[i->dst_reg] != (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += reg[i->dst_reg] & (uint64_t)(int64_t)i->imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_JA: pc += (size_t)i->off; break;
		case BPF_JMP | BPF_EXIT: return (int)reg[0];
		default: fail_msg("instruction %zu: unexpected code %#x", pc, i->code);
		}
	}
	fail_msg("ran off the end");
	return -1;
}

static bool program_allows(const struct devfilter *f, char type, unsigned major, unsigned minor,
			   unsigned access)
{
	auto_free struct bpf_insn *insn = NULL;
	uint32_t bits = (access & R ? BPF_DEVCG_ACC_READ : 0u) | (access & W ? BPF_DEVCG_ACC_WRITE : 0u) |
			(access & M ? BPF_DEVCG_ACC_MKNOD : 0u);
	size_t n;

	assert_int_equal(devfilter_compile(f, &insn, &n), 0);
	return run(insn, n, bits << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR), major,
		   minor) == 1;
}

/* list_allows() - what a v1 list says: with "deny" as the default one exception must hold every bit. */
static bool list_allows(const struct devfilter *f, char type, int major, int minor, unsigned access)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct devfilter_rule *r = &f->rule[i];

		if (r->type != type || (r->major >= 0 && r->major != major) ||
		    (r->minor >= 0 && r->minor != minor))
			continue;
		if (f->allow ? (r->access & access) != 0 : (access & ~r->access) == 0)
			return !f->allow;
	}
	return f->allow;
}

static const struct oci_device_rule docker[] = {
	RULE(false, 'a', -1, -1, 7),
	RULE(true, 'c', 1, 5, 7),
	RULE(true, 'c', 10, 229, R | W),
	RULE(true, 'b', 8, -1, R),
};
static const struct oci_device_rule privileged[] = { RULE(false, 'a', -1, -1, 7),
						     RULE(true, 'a', -1, -1, 7) };
static const struct oci_device_rule not_kmsg[] = { RULE(true, 'a', -1, -1, 7),
						   RULE(false, 'c', 1, 11, R | W) };
static const struct oci_device_rule taken_back[] = { RULE(true, 'c', 10, 229, 7),
						     RULE(false, 'c', 10, -1, W) };
static const struct oci_device_rule hole[] = { RULE(true, 'c', 10, -1, 7), RULE(false, 'c', 10, 229, 7) };
static const struct oci_device_rule all_types[] = { RULE(true, 'a', 10, 229, 7) };

static const struct {
	const char *what;
	const struct oci_device_rule *rules;
	size_t n;
	char type;
	unsigned major, minor, access;
	bool want;
} cases[] = {
	{ "no rule: null", NULL, 0, 'c', 1, 3, R | W, true },
	{ "no rule: ptmx", NULL, 0, 'c', 5, 2, R | W, true },
	{ "no rule: pts/7", NULL, 0, 'c', 136, 7, R | W, true },
	{ "no rule: mknod of anything", NULL, 0, 'b', 8, 1, M, true },
	{ "no rule: mem", NULL, 0, 'c', 1, 1, R, false },
	{ "no rule: a disk", NULL, 0, 'b', 8, 0, R, false },
	{ "no rule: block device with null's number", NULL, 0, 'b', 1, 3, R, false },
	{ "docker: fuse", docker, ARRAY_SIZE(docker), 'c', 10, 229, R | W, true },
	{ "docker: tun", docker, ARRAY_SIZE(docker), 'c', 10, 200, R, false },
	{ "docker: disk read", docker, ARRAY_SIZE(docker), 'b', 8, 17, R, true },
	{ "docker: disk written", docker, ARRAY_SIZE(docker), 'b', 8, 17, R | W, false },
	{ "privileged: mem", privileged, ARRAY_SIZE(privileged), 'c', 1, 1, R | W, true },
	{ "all but kmsg: kmsg", not_kmsg, ARRAY_SIZE(not_kmsg), 'c', 1, 11, R, false },
	{ "all but kmsg: mknod", not_kmsg, ARRAY_SIZE(not_kmsg), 'c', 1, 11, M, true },
	{ "all but kmsg: mem", not_kmsg, ARRAY_SIZE(not_kmsg), 'c', 1, 1, R, true },
	{ "taken back: write", taken_back, ARRAY_SIZE(taken_back), 'c', 10, 229, W, false },
	{ "taken back: read and write", taken_back, ARRAY_SIZE(taken_back), 'c', 10, 229, R | W, false },
	{ "taken back: read", taken_back, ARRAY_SIZE(taken_back), 'c', 10, 229, R, true },
	{ "type a with a number: char", all_types, 1, 'c', 10, 229, R, true },
	{ "type a with a number: block", all_types, 1, 'b', 10, 229, R, true },
	{ "type a with a number is not everything", all_types, 1, 'c', 1, 1, R, false },
};

static void test_the_program_and_the_list_decide_as_the_last_matching_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(devfilter) struct devfilter f = { 0 };
		struct err e = { 0 };

		assert_int_equal(devfilter_build(&f, cases[i].rules, cases[i].n, &e), 0);
		if (program_allows(&f, cases[i].type, cases[i].major, cases[i].minor, cases[i].access) !=
		    cases[i].want)
			fail_msg("program: %s: want %d", cases[i].what, cases[i].want);
		assert_int_equal(devfilter_flatten(&f, &e), 0);
		if (list_allows(&f, cases[i].type, (int)cases[i].major, (int)cases[i].minor,
				cases[i].access) != cases[i].want)
			fail_msg("list: %s: want %d", cases[i].what, cases[i].want);
	}
}

static void test_a_hole_in_a_range_is_exact_in_a_program_and_refused_for_v1(void **state)
{
	auto_fini(devfilter) struct devfilter f = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(devfilter_build(&f, hole, ARRAY_SIZE(hole), &e), 0);
	assert_false(program_allows(&f, 'c', 10, 229, R));
	assert_true(program_allows(&f, 'c', 10, 200, R));
	assert_int_equal(devfilter_flatten(&f, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "c 10:229 rwm"));
	assert_non_null(strstr(e.text, "c 10:* rwm"));
}

static void test_refuses_a_rule_without_access_or_out_of_range(void **state)
{
	static const struct oci_device_rule empty[] = { RULE(true, 'c', 1, 3, 0) },
					    big[] = { RULE(true, 'c', 5000, 3, 7) };
	struct devfilter f = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(devfilter_build(&f, empty, 1, &e), -EINVAL);
	assert_non_null(strstr(e.text, "devices[0].access"));
	assert_int_equal(devfilter_build(&f, big, 1, &e), -ERANGE);
	assert_int_equal(devfilter_build(&f, big, DEVFILTER_RULES_MAX + 1, &e), -E2BIG);
	assert_null(f.rule);
}

static void test_reads_back_what_it_writes_as_v1_lines(void **state)
{
	auto_fini(devfilter) struct devfilter f = { 0 }, back = { 0 }, all = { 0 };
	char text[1024] = "", line[DEVFILTER_LINE_SIZE];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(devfilter_build(&f, docker, ARRAY_SIZE(docker), &e), 0);
	assert_int_equal(devfilter_flatten(&f, &e), 0);
	for (size_t i = 0; i < f.n; i++) {
		strcat(text, devfilter_line(&f.rule[i], line));
		strcat(text, "\n");
	}
	assert_int_equal(devfilter_parse(&back, text), 0);
	assert_int_equal(back.n, f.n);
	for (size_t i = 0; i < f.n; i++)
		assert_true(devfilter_has(&back, &f.rule[i]));
	assert_int_equal(devfilter_parse(&all, "a *:* rwm\n"), 0);
	assert_true(all.allow && all.n == 0);
	assert_int_equal(devfilter_parse(&all, "x 1:3 rwm\n"), -EINVAL);
	assert_int_equal(devfilter_parse(&all, "c 1;3 rwm\n"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_program_and_the_list_decide_as_the_last_matching_rule),
		cmocka_unit_test(test_a_hole_in_a_range_is_exact_in_a_program_and_refused_for_v1),
		cmocka_unit_test(test_refuses_a_rule_without_access_or_out_of_range),
		cmocka_unit_test(test_reads_back_what_it_writes_as_v1_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
