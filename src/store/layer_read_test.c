/* SPDX-License-Identifier: Apache-2.0 */
#include "store/layer_testing.h"

#include "base/bug.h"
#include "base/err.h"

/* --- hostile layers --------------------------------------------------------------------------------- */
static void put_named(struct buf *b, const char *name)
{
	put_pax(b, "path", name, strlen(name));
	put_file(b, "x", "");
}

static void bad_dotdot(struct buf *b)
{
	put_file(b, "a/../../evil", "x");
}
static void bad_dotdot_only(struct buf *b)
{
	put_dir(b, "..", 0755);
}
static void bad_dotdot_link(struct buf *b)
{
	put_link(b, '1', "l", "../../etc/passwd");
}
static void bad_link_missing(struct buf *b)
{
	put_link(b, '1', "l", "not/there");
}
static void bad_link_dir(struct buf *b)
{
	put_dir(b, "d", 0755);
	put_link(b, '1', "l", "d");
}
static void bad_link_root(struct buf *b)
{
	put_link(b, '1', "l", "/");
}
static void bad_link_whiteout(struct buf *b)
{
	put_file(b, ".wh.w", "");
	put_link(b, '1', "l", "w");
}
static void bad_whiteout_dotdot(struct buf *b)
{
	put_file(b, "d/.wh...", "");
}
static void bad_whiteout_dot(struct buf *b)
{
	put_file(b, "d/.wh..", "");
}
static void bad_whiteout_empty(struct buf *b)
{
	put_file(b, "d/.wh.", "");
}
static void bad_whiteout_parent(struct buf *b)
{
	put_file(b, ".wh.d/f", "");
}
static void bad_file_parent(struct buf *b)
{
	put_file(b, "f", "");
	put_file(b, "f/g", "");
}
static void bad_loop(struct buf *b)
{
	put_link(b, '2', "l", "m");
	put_link(b, '2', "m", "l");
	put_file(b, "l/f", "");
}
static void bad_root_file(struct buf *b)
{
	put_file(b, "/", "");
	b->data[156] = '2';
}
static void bad_type(struct buf *b)
{
	put_tar(b, (struct tar_spec){ .type = 'Q', .name = "q" });
}
static void bad_newline(struct buf *b)
{
	put_named(b, "a\nb/../c");
}

static void bad_long_name(struct buf *b)
{
	auto_free char *name = str_printf("d/%0256d", 1);

	put_named(b, name);
}

static void bad_long_path(struct buf *b)
{
	auto_fini(buf) struct buf name = { 0 };

	while (name.len < 4100)
		buf_puts(&name, "dir/");
	put_named(b, name.data);
}

static void bad_nul(struct buf *b)
{
	put_pax(b, "path", "a\0b", 3);
	put_file(b, "x", "");
}

static void bad_empty_symlink(struct buf *b)
{
	put_link(b, '2', "l", "");
}

static void bad_pax_length(struct buf *b)
{
	put_tar(b, (struct tar_spec){ .type = 'x', .name = "p", .data = "99 path=x\n", .len = 10 });
	put_file(b, "x", "");
}

static void bad_pax_size(struct buf *b)
{
	put_pax(b, "size", "99999999999999999999999", 23);
	put_file(b, "x", "");
}

static void bad_huge(struct buf *b)
{
	put_pax(b, "size", "9223372036854775807", 19);
	put_file(b, "x", "");
}

static void bad_sum(struct buf *b)
{
	put_file(b, "x", "data");
	b->data[100] ^= 1;
}

static void bad_sparse(struct buf *b)
{
	put_tar(b,
		(struct tar_spec){ .type = 'x',
				   .name = "p",
				   .len = 57,
				   .data = "26 GNU.sparse.map=0,4,2,4\n31 GNU.sparse.realsize=1000000\n" });
	put_file(b, "x", "12345678");
}

static const struct {
	const char *what;
	void (*put)(struct buf *b);
	int code; /* 0: any */
	const char *text;
} hostile[] = {
	{ "'..' in a path", bad_dotdot, EBADMSG, "'a/../../evil'" },
	{ "'..' alone", bad_dotdot_only, EBADMSG, "'..'" },
	{ "'..' in a hard link", bad_dotdot_link, EBADMSG, "'..' in a path" },
	{ "hard link to nothing", bad_link_missing, ENOENT, "'not/there'" },
	{ "hard link to a directory", bad_link_dir, EPERM, "is a directory" },
	{ "hard link to the root", bad_link_root, EPERM, "is a directory" },
	{ "hard link to a whiteout", bad_link_whiteout, ENOENT, "'w'" },
	{ "whiteout of '..'", bad_whiteout_dotdot, EBADMSG, "whiteout" },
	{ "whiteout of '.'", bad_whiteout_dot, EBADMSG, "whiteout" },
	{ "whiteout of nothing", bad_whiteout_empty, EBADMSG, "whiteout" },
	{ "a file in a whiteout", bad_whiteout_parent, EBADMSG, "'.wh.'" },
	{ "a file in a file", bad_file_parent, ENOTDIR, "'f/g'" },
	{ "a file in a loop of symlinks", bad_loop, ELOOP, "'l/f'" },
	{ "a root that is no directory", bad_root_file, EBADMSG, "checksum" },
	{ "an unknown type", bad_type, EBADMSG, "0x51" },
	{ "a newline in a name", bad_newline, EBADMSG, "'a?b/../c'" },
	{ "a name too long", bad_long_name, ENAMETOOLONG, "256" },
	{ "a path too long", bad_long_path, ENAMETOOLONG, "4095" },
	{ "a zero byte in a name", bad_nul, EBADMSG, "zero byte" },
	{ "a symlink to nothing", bad_empty_symlink, EBADMSG, "symlink" },
	{ "a pax record too long", bad_pax_length, EBADMSG, "length" },
	{ "a pax size too large", bad_pax_size, EBADMSG, "number" },
	{ "a file of 8 EiB", bad_huge, 0, "'x'" },
	{ "a wrong checksum", bad_sum, EBADMSG, "checksum" },
	{ "sparse pieces that overlap", bad_sparse, EBADMSG, "overlap" },
};

static void check_refused(size_t i, int rc, const struct err *e)
{
	if (rc >= 0)
		fail_msg("%s: was taken", hostile[i].what);
	if ((hostile[i].code && -rc != hostile[i].code) || !strstr(e->text, hostile[i].text))
		fail_msg("%s: want %s and \"%s\", got %s and \"%s\"", hostile[i].what,
			 strerror(hostile[i].code), hostile[i].text, strerror(-rc), e->text);
	assert_null(strpbrk(e->text, "\n\r\t"));
}

static void test_layer_refuses_hostile_entries_in_one_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		auto_fini(temp_dir) struct temp_dir t = temp_dir(), tree = temp_dir();
		auto_fini(buf) struct buf b = { 0 };
		struct layer_result r;
		struct err e = { 0 };

		hostile[i].put(&b);
		put_end(&b);
		check_refused(i, to_erofs(&b, t.fd, NULL, &r, &e), &e);
		assert_int_equal(count_names(t.fd), 0);
		e = (struct err){ 0 };
		check_refused(i, to_tree(&b, tree.fd, geteuid() ? LAYER_ROOTLESS : 0, &r, &e), &e);
	}
}

static void test_layer_cut_anywhere_is_refused(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct layer_result r;
	struct err e;
	size_t whole;

	(void)state;
	put_dir(&b, "d", 0755);
	put_pax(&b, "path", "d/f", 3);
	put_file(&b, "f", "some data that is in the file");
	put_link(&b, '2', "l", "d");
	whole = b.len;
	for (b.len = 0; b.len <= whole; b.len += 128) {
		auto_fini(temp_dir) struct temp_dir t = temp_dir();

		e = (struct err){ 0 };
		if (to_erofs(&b, t.fd, NULL, &r, &e) != -EBADMSG)
			fail_msg("cut behind %zu bytes: %s", b.len, e.text[0] ? e.text : "taken");
		assert_int_equal(count_names(t.fd), 0);
	}
}

static void test_layer_symlinks_lead_nowhere_outside(void **state)
{
	auto_fini(temp_dir) struct temp_dir outside = temp_dir(), tree = temp_dir();
	auto_fini(buf) struct buf b = { 0 };
	char up[128] = "../../../../../../../..";
	struct layer_result r;
	struct stat st;
	struct err e = { 0 };

	(void)state;
	strcat(up, outside.path);
	put_link(&b, '2', "abs", outside.path);
	put_file(&b, "abs/one", "x");
	put_link(&b, '2', "rel", up);
	put_file(&b, "rel/two", "x");
	put_dir(&b, "rel/three", 0755);
	put_file(&b, "rel/.wh.four", "");
	put_link(&b, '2', "rel/five", "/etc");
	put_link(&b, '1', "rel/six", "rel/two");
	put_file(&b, "rel", "the link is replaced, not followed");
	put_end(&b);
	if (to_tree(&b, tree.fd, geteuid() ? LAYER_ROOTLESS : 0, &r, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(count_names(outside.fd), 0);
	/* The same path, but inside */
	assert_int_equal(fstatat(tree.fd, outside.path + 1, &st, 0), 0);
	assert_int_equal(fstatat(tree.fd, "rel", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layer_refuses_hostile_entries_in_one_line),
		cmocka_unit_test(test_layer_cut_anywhere_is_refused),
		cmocka_unit_test(test_layer_symlinks_lead_nowhere_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
