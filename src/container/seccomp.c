/* SPDX-License-Identifier: Apache-2.0 */
#include "container/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <openssl/sha.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/seccomp_shrink.h"
#include "sys/call.h"
#include "sys/file.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum {
	CACHE_FORMAT = 3, /* part of the key: raise it when what is compiled changes */
	X32_BIT = 0x40000000,
	SCAN_MAX = 1024, /* no system call number of x86-64 is near it yet */
	ARGS_MAX = 6,
};

/* --- the key: a digest of every value the program depends on ------------------------------------------------- */

static void hash_u64(SHA256_CTX *h, uint64_t v)
{
	SHA256_Update(h, &v, sizeof(v));
}

static void hash_key(const struct oci_seccomp *s, char *ret_hex)
{
	const struct scmp_version *lib = seccomp_version();
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX h;

	SHA256_Init(&h);
	hash_u64(&h, CACHE_FORMAT);
	hash_u64(&h, lib->major << 16 | lib->minor << 8 | lib->micro);
	hash_u64(&h, s->default_action);
	hash_u64(&h, s->n_arches);
	for (size_t i = 0; i < s->n_arches; i++)
		hash_u64(&h, s->arches[i]);
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct oci_seccomp_rule *r = &s->rules[i];

		hash_u64(&h, r->action);
		hash_u64(&h, r->names.n);
		for (size_t k = 0; k < r->names.n; k++)
			SHA256_Update(&h, r->names.v[k], strlen(r->names.v[k]) + 1);
		hash_u64(&h, r->n_args);
		for (size_t k = 0; k < r->n_args; k++) {
			hash_u64(&h, r->args[k].index);
			hash_u64(&h, r->args[k].value);
			hash_u64(&h, r->args[k].value_two);
			hash_u64(&h, (uint64_t)r->args[k].op);
		}
	}
	SHA256_Final(digest, &h);
	str_hex(ret_hex, digest, sizeof(digest));
}

/* --- compiling ----------------------------------------------------------------------------------------------- */

/* The specification's actions are the kernel's SECCOMP_RET_x; libseccomp has the same numbers but for two names. */
static uint32_t scmp_action(uint32_t action)
{
	return (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF ? SCMP_ACT_NOTIFY : action;
}

static int add_one(scmp_filter_ctx ctx, uint32_t action, int nr, const struct scmp_arg_cmp *args, unsigned n)
{
	int r = seccomp_rule_add_array(ctx, action, nr, n, args);

	return r == -EEXIST ? 0 : r; /* said twice is said once */
}

/* add_call() - one system call with its conditions. Two on the same argument cannot be joined by "and" in one rule of the
 * library; runc takes them as alternatives, and profiles count on it. */
static int add_call(scmp_filter_ctx ctx, const struct oci_seccomp_rule *r, int nr)
{
	struct scmp_arg_cmp args[ARGS_MAX];
	unsigned seen = 0;
	bool twice = false;
	int rc = 0;

	if (r->n_args > ARGS_MAX)
		twice = true;
	for (size_t i = 0; i < r->n_args; i++) {
		const struct oci_seccomp_arg *a = &r->args[i];

		twice |= seen >> a->index & 1;
		seen |= 1U << a->index;
		if (i < ARGS_MAX)
			args[i] = (struct scmp_arg_cmp){ .arg = a->index,
							 .op = (enum scmp_compare)a->op,
							 .datum_a = a->value,
							 .datum_b = a->value_two };
	}
	if (!twice)
		return add_one(ctx, scmp_action(r->action), nr, args, (unsigned)r->n_args);
	for (size_t i = 0; i < r->n_args && rc == 0; i++) {
		const struct oci_seccomp_arg *a = &r->args[i];
		struct scmp_arg_cmp one = { .arg = a->index,
					    .op = (enum scmp_compare)a->op,
					    .datum_a = a->value,
					    .datum_b = a->value_two };

		rc = add_one(ctx, scmp_action(r->action), nr, &one, 1);
	}
	return rc;
}

static int add_rule(scmp_filter_ctx ctx, const struct oci_seccomp *s, size_t i, struct err *e)
{
	const struct oci_seccomp_rule *r = &s->rules[i];

	if (r->action == s->default_action)
		return 0;
	for (size_t k = 0; k < r->names.n; k++) {
		int nr = seccomp_syscall_resolve_name(r->names.v[k]);
		int rc;

		if (nr == __NR_SCMP_ERROR)
			continue; /* newer than the library: the ENOSYS stub answers it */
		rc = add_call(ctx, r, nr);
		if (rc < 0)
			return err_sys(e, -rc, "linux.seccomp.syscalls[%zu] '%s'", i, r->names.v[k]);
	}
	return 0;
}

static int add_arches(scmp_filter_ctx ctx, const struct oci_seccomp *s, struct err *e)
{
	for (size_t i = 0; i < s->n_arches; i++) {
		int r = seccomp_arch_add(ctx, s->arches[i]);

		if (r < 0 && r != -EEXIST)
			return err_sys(e, -r, "linux.seccomp.architectures[%zu]", i);
	}
	return 0;
}

static int export(scmp_filter_ctx ctx, struct buf *bpf)
{
	auto_close int mem = file_memfd("bpf", 0);
	int r = mem < 0 ? mem : seccomp_export_bpf(ctx, mem);

	if (r == 0 && lseek(mem, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : file_slurp(mem, bpf, BPF_MAXINSNS * sizeof(struct sock_filter));
}

/* newest_known() - the highest x86-64 system call number the library has a name for. */
static uint32_t newest_known(void)
{
	for (int nr = SCAN_MAX; nr > 0; nr--) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);

		free(name);
		if (name)
			return (uint32_t)nr;
	}
	return X32_BIT;
}

/* put_stub() - what is newer than the library answers ENOSYS, when the default is to refuse by an error. */
static void put_stub(struct buf *bpf, const struct oci_seccomp *s)
{
	const struct sock_filter stub[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, newest_known(), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	if ((s->default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
		buf_put(bpf, stub, sizeof(stub));
}

/* shorten() - each container's start pays for every instruction. */
static int shorten(const struct buf *whole, struct buf *bpf)
{
	size_t n = whole->len / sizeof(struct sock_filter);
	int r = buf_finish(whole);

	if (r == 0)
		r = seccomp_shrink((const struct sock_filter *)(const void *)whole->data, n, bpf);
	if (r != -EOPNOTSUPP)
		return r;
	buf_put(bpf, whole->data, whole->len);
	return buf_finish(bpf);
}

static int compile(const struct oci_seccomp *s, struct buf *bpf, struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(scmp_action(s->default_action));
	auto_fini(buf) struct buf whole = { 0 };
	int r;

	if (!ctx)
		return err_set(e, EINVAL,
			       "linux.seccomp.defaultAction: not known to libseccomp or this kernel");
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE,
			 2); /* a binary tree: profiles have hundreds of calls */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	r = add_arches(ctx, s, e);
	for (size_t i = 0; i < s->n_rules && r == 0; i++)
		r = add_rule(ctx, s, i, e);
	if (r == 0) {
		put_stub(&whole, s);
		r = export(ctx, &whole);
		if (r == 0)
			r = shorten(&whole, bpf);
		if (r < 0)
			err_sys(e, -r, "linux.seccomp: compile the filter");
	}
	seccomp_release(ctx);
	return r;
}

/* --- the cache: "<key>" holds a program and a digest of key and program -------------------------------------------- */

static void cache_seal(const char *key, const struct buf *bpf, uint8_t ret_digest[SHA256_DIGEST_LENGTH])
{
	SHA256_CTX h;

	SHA256_Init(&h);
	SHA256_Update(&h, key, strlen(key));
	SHA256_Update(&h, bpf->data, bpf->len);
	SHA256_Final(ret_digest, &h);
}

/* cache_read() - what was kept; false when there is none, or it is not what was written (a crash, a bad disk). */
static bool cache_read(int dirfd, const char *key, struct buf *bpf)
{
	const size_t max = BPF_MAXINSNS * sizeof(struct sock_filter) + SHA256_DIGEST_LENGTH;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	bool good = dirfd >= 0 && file_slurp_at(dirfd, key, bpf, max) == 0 && bpf->len > sizeof(digest);

	if (good) {
		bpf->len -= sizeof(digest);
		cache_seal(key, bpf, digest);
		good = bpf->len % sizeof(struct sock_filter) == 0 &&
		       memcmp(digest, bpf->data + bpf->len, sizeof(digest)) == 0;
	}
	if (!good)
		bpf->len = 0;
	return good;
}

/* cache_write() - one that cannot be written only costs time. */
static void cache_write(int dirfd, const char *key, const struct buf *bpf)
{
	auto_fini(buf) struct buf file = { 0 };
	uint8_t digest[SHA256_DIGEST_LENGTH];

	cache_seal(key, bpf, digest);
	buf_put(&file, bpf->data, bpf->len);
	buf_put(&file, digest, sizeof(digest));
	if (dirfd >= 0 && buf_finish(&file) == 0)
		file_replace(dirfd, key, file.data, file.len, 0600, false, NULL);
}

/* --- whole --------------------------------------------------------------------------------------------------- */

static bool notifies(const struct oci_seccomp *s, const char *name)
{
	for (size_t i = 0; i < s->n_rules; i++) {
		if ((s->rules[i].action & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_USER_NOTIF)
			continue;
		if (!name)
			return true;
		for (size_t k = 0; k < s->rules[i].names.n; k++)
			if (str_eq(s->rules[i].names.v[k], name))
				return true;
	}
	return false;
}

static int flags_of(const struct oci_seccomp *s, uint64_t *ret_flags, struct err *e)
{
	bool listens = notifies(s, NULL);

	*ret_flags = s->flags;
	if (listens && !s->listener_path)
		return err_set(e, EINVAL, "linux.seccomp: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath");
	if (listens && notifies(s, "sendmsg"))
		return err_set(e, EINVAL,
			       "linux.seccomp: SCMP_ACT_NOTIFY cannot be used for sendmsg, which hands over "
			       "the listener");
	if ((s->default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
		return err_set(e, EINVAL,
			       "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default");
	if (listens)
		*ret_flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
	else
		*ret_flags &=
			~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV; /* the kernel takes it with a listener only */
	if (listens && *ret_flags & SECCOMP_FILTER_FLAG_TSYNC)
		*ret_flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
	return 0;
}

int ct_seccomp_compile(struct ct_seccomp *ret_f, const struct oci_seccomp *s, int cache_dirfd, struct err *e)
{
	auto_fini(buf) struct buf bpf = { 0 };
	char key[2 * SHA256_DIGEST_LENGTH + 1];
	uint64_t flags;
	int r = flags_of(s, &flags, e);

	if (r < 0)
		return r;
	hash_key(s, key);
	if (!cache_read(cache_dirfd, key, &bpf)) {
		r = compile(s, &bpf, e);
		if (r == 0)
			r = buf_finish(&bpf);
		if (r < 0)
			return err_wrap(e, r, "seccomp");
		cache_write(cache_dirfd, key, &bpf);
	}
	if (bpf.len > BPF_MAXINSNS * sizeof(struct sock_filter))
		return err_set(e, E2BIG, "linux.seccomp: %zu instructions, the kernel takes %d",
			       bpf.len / sizeof(struct sock_filter), BPF_MAXINSNS);
	ret_f->n = bpf.len / sizeof(struct sock_filter);
	ret_f->flags = flags;
	ret_f->insns = (struct sock_filter *)(void *)buf_take(&bpf);
	return 0;
}

int ct_seccomp_load(const struct ct_seccomp *f)
{
	struct sock_fprog prog = { .len = (unsigned short)f->n, .filter = f->insns };

	return (int)SYS3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, f->flags, &prog);
}

void ct_seccomp_fini(struct ct_seccomp *f)
{
	free(f->insns);
	*f = (struct ct_seccomp){ 0 };
}
