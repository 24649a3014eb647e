/* SPDX-License-Identifier: Apache-2.0 */
#include "container/seccomp_shrink.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <seccomp.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/guard.h"

enum { X32_BIT = 0x40000000, NR_MAX = 1100 };

static const uint32_t arch_of[] = {
	AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, 1, UINT32_MAX
};
static const uint64_t arg_of[] = { 0, 1, 2, 3, 8, 0x20000, 0x7e020000, UINT32_MAX, 1ULL << 32, UINT64_MAX };

/* result() - what the kernel would do with @p, or -1 when it gets nowhere. */
static int64_t result(const struct sock_filter *p, size_t n, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *f = &p[pc];
		bool yes;

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS: memcpy(&a, (const char *)d + f->k, sizeof(a)); continue;
		case BPF_ALU | BPF_AND | BPF_K: a &= f->k; continue;
		case BPF_RET | BPF_K: return f->k;
		case BPF_JMP | BPF_JA: pc += f->k; continue;
		case BPF_JMP | BPF_JEQ | BPF_K: yes = a == f->k; break;
		case BPF_JMP | BPF_JGT | BPF_K: yes = a > f->k; break;
		case BPF_JMP | BPF_JGE | BPF_K: yes = a >= f->k; break;
		case BPF_JMP | BPF_JSET | BPF_K: yes = a & f->k; break;
		default: return -1;
		}
		pc += yes ? f->jt : f->jf;
	}
	return -1;
}

static void compare(const struct buf *old, const struct buf *new, const struct seccomp_data *d)
{
	const struct sock_filter *p = (const void *)old->data, *q = (const void *)new->data;
	int64_t want = result(p, old->len / sizeof(*p), d), got = result(q, new->len / sizeof(*q), d);

	if (want != got) {
		printf("# arch %#x, number %#x, argument %#llx: want %#llx, got %#llx\n", d->arch,
		       (unsigned)d->nr, (unsigned long long)d->args[0], (unsigned long long)want,
		       (unsigned long long)got);
		fail();
	}
}

/* says_the_same() - for each architecture, all numbers that have a name and their neighbours, and arguments. */
static void says_the_same(const struct buf *old, const struct buf *new)
{
	for (size_t a = 0; a < ARRAY_SIZE(arch_of); a++)
		for (size_t i = 0; i < 4UL * NR_MAX; i++) {
			static const uint32_t base[4] = { 0, X32_BIT, 0x80000000, UINT32_MAX - NR_MAX + 1 };
			struct seccomp_data d = { .nr = (int)(base[i / NR_MAX] + i % NR_MAX),
						  .arch = arch_of[a] };

			for (size_t k = 0; k < 2 * ARRAY_SIZE(arg_of); k++) {
				for (size_t j = 0; j < 6; j++)
					d.args[j] = arg_of[(k + j * (k / ARRAY_SIZE(arg_of))) %
							   ARRAY_SIZE(arg_of)];
				compare(old, new, &d);
			}
		}
}

static void export(scmp_filter_ctx ctx, struct buf *b)
{
	int fd = memfd_create("bpf", MFD_CLOEXEC);
	char chunk[4096];
	ssize_t n;

	assert_return_code(fd, errno);
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_put(b, chunk, (size_t)n);
	close(fd);
	assert_int_equal(buf_finish(b), 0);
}

/* profile() - calls in runs, some of which look at arguments; like those people use, but for any default. */
static void profile(uint32_t otherwise, uint32_t allow, bool tree, struct buf *b)
{
	scmp_filter_ctx ctx = seccomp_init(otherwise);

	assert_non_null(ctx);
	assert_int_equal(seccomp_arch_add(ctx, SCMP_ARCH_X86), 0);
	assert_int_equal(seccomp_arch_add(ctx, SCMP_ARCH_X32), 0);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, tree ? 2 : 1);
	for (int nr = 0; nr < 440; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);
		int known = name ? seccomp_syscall_resolve_name(name) : __NR_SCMP_ERROR;

		free(name);
		if (known == __NR_SCMP_ERROR || nr % 30 < 8)
			continue;
		if (nr % 17 == 0) {
			assert_int_equal(seccomp_rule_add(ctx, allow, known, 1, SCMP_A0(SCMP_CMP_EQ, 8)), 0);
			assert_int_equal(seccomp_rule_add(ctx, allow, known, 2, SCMP_A0(SCMP_CMP_GT, 0x20000),
							  SCMP_A1(SCMP_CMP_MASKED_EQ, 0x7e020000, 0)),
					 0);
		} else {
			assert_int_equal(seccomp_rule_add(ctx, allow, known, 0), 0);
		}
	}
	export(ctx, b);
	seccomp_release(ctx);
}

static void test_what_comes_out_says_the_same_and_is_shorter(void **state)
{
	static const struct {
		uint32_t otherwise, allow;
		bool tree;
	} c[] = {
		{ SCMP_ACT_ERRNO(1), SCMP_ACT_ALLOW, true },
		{ SCMP_ACT_ERRNO(1), SCMP_ACT_ALLOW, false },
		{ SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(38), true },
		{ SCMP_ACT_KILL_PROCESS, SCMP_ACT_LOG, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		auto_fini(buf) struct buf old = { 0 };
		auto_fini(buf) struct buf new = { 0 };

		profile(c[i].otherwise, c[i].allow, c[i].tree, &old);
		assert_int_equal(
			seccomp_shrink((const void *)old.data, old.len / sizeof(struct sock_filter), &new),
			0);
		printf("# %zu instructions become %zu\n", old.len / sizeof(struct sock_filter),
		       new.len / sizeof(struct sock_filter));
		assert_true(new.len < old.len);
		says_the_same(&old, &new);
	}
}

static void test_a_jump_farther_than_a_conditional_one_reaches(void **state)
{
	enum { CALLS = 900 };
	auto_fini(buf) struct buf old = { 0 };
	auto_fini(buf) struct buf new = { 0 };
	struct sock_filter f = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));

	(void)state;
	buf_put(&old, &f, sizeof(f));
	for (uint32_t nr = 0; nr < CALLS; nr++) { /* each with a value of its own, asked for three times */
		const struct sock_filter one[] = {
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 3),
			BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, nr, 2, 0),
			BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, nr, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | nr),
		};

		buf_put(&old, one, sizeof(one));
	}
	f = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	buf_put(&old, &f, sizeof(f));
	assert_int_equal(buf_finish(&old), 0);
	assert_int_equal(seccomp_shrink((const void *)old.data, old.len / sizeof(f), &new), 0);
	says_the_same(&old, &new);
}

static void test_what_is_not_understood_is_left_as_it_is(void **state)
{
	static const struct {
		const char *what;
		struct sock_filter p[4];
	} c[] = {
		{ "bits of a number",
		  { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 1),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD) } },
		{ "arithmetic on a number",
		  { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 4), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) } },
		{ "order of architectures",
		  { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 4, 0, 1),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD) } },
		{ "nothing loaded",
		  { BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) } },
		{ "the accumulator's value",
		  { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		    BPF_STMT(BPF_RET | BPF_A, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) } },
		{ "an end that is not there",
		  { BPF_STMT(BPF_JMP | BPF_JA, 2), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		auto_fini(buf) struct buf out = { 0 };

		printf("# %s\n", c[i].what);
		assert_int_equal(seccomp_shrink(c[i].p, ARRAY_SIZE(c[i].p), &out), -EOPNOTSUPP);
		assert_int_equal(out.len, 0);
	}
	assert_int_equal(seccomp_shrink(NULL, 0, NULL), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_comes_out_says_the_same_and_is_shorter),
		cmocka_unit_test(test_a_jump_farther_than_a_conditional_one_reaches),
		cmocka_unit_test(test_what_is_not_understood_is_left_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
