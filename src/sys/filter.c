/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/bug.h"
#include "base/err.h"
#include "sys/call.h"

enum {
	AT_NR = offsetof(struct seccomp_data, nr),
	AT_ARCH = offsetof(struct seccomp_data, arch),
	AT_ARGS = offsetof(struct seccomp_data, args), /* low halves first: little-endian */
	RULE_MAX = 6                                   /* instructions of one rule */
};

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#endif

static void put(struct filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	f->insn[f->n++] = (struct sock_filter){ code, jt, jf, k };
}

static void load(struct filter *f, uint32_t at)
{
	put(f, BPF_LD | BPF_W | BPF_ABS, at, 0, 0);
}

/* put_rule() - with the call's number in the accumulator before and, where the rule does not apply, after. */
static void put_rule(struct filter *f, const struct filter_rule *r)
{
	if (r->arg < 0) {
		put(f, BPF_JMP | BPF_JEQ | BPF_K, r->nr, 0, 1);
		put(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
		return;
	}
	put(f, BPF_JMP | BPF_JEQ | BPF_K, r->nr, 0, 5);
	load(f, AT_ARGS + 8U * (uint32_t)r->arg);
	put(f, BPF_ALU | BPF_AND | BPF_K, r->mask, 0, 0);
	put(f, BPF_JMP | BPF_JEQ | BPF_K, r->value, 0, 1);
	put(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	load(f, AT_NR);
}

void filter_allow(struct filter *f, const struct filter_rule *rule, size_t n)
{
	if (f->n == 0) {
		load(f, AT_ARCH); /* the 32-bit entry has other numbers; x32 ones are over all of ours */
		put(f, BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
		put(f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
		load(f, AT_NR);
	}
	for (size_t i = 0; i < n; i++) {
		BUG_ON(rule[i].arg > 5);
		if (f->n + RULE_MAX >= FILTER_INSNS_MAX) { /* one more for the end */
			f->rc = -E2BIG;
			return;
		}
		put_rule(f, &rule[i]);
	}
}

int filter_install(const struct filter *f, enum filter_else otherwise, struct err *e)
{
	struct filter all = *f;
	struct sock_fprog prog = { .filter = all.insn };
	int r;

	if (f->rc < 0)
		return err_sys(e, -f->rc, "system call filter");
	if (f->n == 0)
		filter_allow(&all, NULL, 0);
	put(&all, BPF_RET | BPF_K, otherwise == FILTER_TRAP ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS, 0,
	    0);
	prog.len = (unsigned short)all.n;
	r = (int)SYS5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (r >= 0)
		r = (int)SYS3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
	return r < 0 ? err_sys(e, -r, "system call filter") : 0;
}
