/* SPDX-License-Identifier: Apache-2.0 */
#include "store/layer_testing.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bug.h"
#include "base/err.h"
#include "sys/call.h"

static void image_path(const struct temp_dir *t, const struct layer_result *r, char *dst, size_t size)
{
	snprintf(dst, size, "%s/%s.erofs", t->path, strchr(r->diff_id, ':') + 1);
}

/* write_and_mount() - Return: mount fd */
static int write_and_mount(const struct buf *b, const struct temp_dir *t)
{
	struct layer_result r;
	struct err e = { 0 };
	char path[256];
	int rc = to_erofs(b, t->fd, NULL, &r, &e);

	if (rc < 0)
		fail_msg("layer_write_erofs: %s", e.text);
	image_path(t, &r, path, sizeof(path));
	assert_true(fsck_accepts(path));
	rc = mount_image(path);
	if (rc < 0)
		fail_msg("mounting the image: %s", strerror(-rc));
	return rc;
}

static void put_sample(struct buf *b)
{
	auto_free char *big = malloc(300000), *deep = str_printf("d/%0240d/%0240d/leaf", 1, 2);
	const char cap[20] = { 1, 0, 0, 2, 0, 32 };

	for (int i = 0; i < 300000; i++)
		big[i] = (char)(i * 7 + i / 4096);
	put_dir(b, "./", 0755);
	put_dir(b, "d/", 01777);
	put_file(b, "d/small", "hello\n");
	put_file(b, "d/empty", "");
	put_pax(b, "mtime", "1234567890.123456789", 20);
	put_tar(b, (struct tar_spec){ .type = '0',
				      .name = "big",
				      .mode = 04755,
				      .uid = 100000,
				      .gid = 5,
				      .data = big,
				      .len = 300000 });
	put_pax(b, "mtime", "-1.5", 4);
	put_tar(b,
		(struct tar_spec){ .type = '0', .name = "/block", .mode = 0600, .data = big, .len = 8192 });
	put_tar(b, (struct tar_spec){
			   .type = '0', .name = "tail", .mode = 0600, .mtime = 5, .data = big, .len = 4090 });
	for (char *slash = strchr(deep, '/'); slash; slash = strchr(slash + 1, '/')) {
		put_pax(b, "path", deep, (size_t)(slash - deep));
		put_dir(b, "short", 0711);
	}
	put_pax(b, "path", deep, strlen(deep));
	put_file(b, "short", "a long path");
	put_link(b, '2', "d/sym", "../../up");
	put_link(b, '1', "hard", "d/small");
	put_link(b, '1', "d/hard", "./hard");
	put_link(b, '1', "hardsym", "d/sym");
	put_tar(b, (struct tar_spec){
			   .type = '3', .name = "chr", .mode = 0640, .gid = 5, .major = 5, .minor = 1 });
	put_tar(b,
		(struct tar_spec){ .type = '4', .name = "blk", .mode = 0600, .major = 259, .minor = 70000 });
	put_tar(b, (struct tar_spec){ .type = '6', .name = "fifo", .mode = 0622 });
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "x%d", i);
		put_pax(b, "SCHILY.xattr.user.same", "for all", 7);
		put_file(b, name, name);
	}
	put_pax(b, "SCHILY.xattr.security.capability", cap, sizeof(cap));
	put_file(b, "capable", "x");
	put_pax(b, "SCHILY.xattr.user.large", big, 3900);
	put_file(b, "xlarge", "x");
	put_pax(b, "SCHILY.xattr.user.on", "a directory", 11);
	put_dir(b, "xdir", 0750);
	put_pax(b, "path", "\303\274n\303\257/\377raw", 10);
	put_file(b, "bytes", "no encoding is assumed");
	for (int i = 0; i < 500; i++) {
		char name[64];

		snprintf(name, sizeof(name), "many/a-name-that-fills-blocks-%d", i);
		put_file(b, name, name);
	}
	put_dir(b, "many", 0555);
	put_dir(b, "\303\274n\303\257", 0755); /* again, and now with what it is to have */
	put_dir(b, "d", 01777);
	put_end(b);
}

static void test_layer_image_and_tree_are_what_tar_unpacks(void **state)
{
	auto_fini(temp_dir) struct temp_dir layers = temp_dir(), tree = temp_dir(), want = temp_dir();
	auto_fini(buf) struct buf b = { 0 };
	auto_free char *cmd = NULL;
	auto_close int image = -1, tar = -1;
	struct layer_result r;
	struct err e = { 0 };

	(void)state;
	if (!can_mount_images())
		skip();
	put_sample(&b);
	tar = openat(layers.fd, "sample.tar", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(file_write(tar, b.data, b.len), 0);
	cmd = str_printf(
		"LC_ALL=C.UTF-8 tar -xpf %s/sample.tar -C %s --numeric-owner --xattrs --xattrs-include='*'",
		layers.path, want.path);
	assert_int_equal(system(cmd), 0);
	image = write_and_mount(&b, &layers);
	assert_same_tree(want.fd, image, "image");
	if (to_tree(&b, tree.fd, 0, &r, &e) < 0)
		fail_msg("%s", e.text);
	assert_same_tree(want.fd, tree.fd, "unpacked");
	assert_int_equal(r.files, 528);
}

static void test_layer_image_is_the_same_bytes_for_the_same_tar(void **state)
{
	auto_fini(temp_dir) struct temp_dir one = temp_dir(), two = temp_dir();
	auto_fini(buf) struct buf b = { 0 }, x = { 0 }, y = { 0 };
	struct layer_result r, again;
	char path[256];

	(void)state;
	put_sample(&b);
	assert_int_equal(to_erofs(&b, one.fd, NULL, &r, NULL), 0);
	assert_int_equal(to_erofs(&b, two.fd, NULL, &again, NULL), 0);
	assert_int_equal(to_erofs(&b, two.fd, NULL, &again, NULL), 0); /* there already: no error */
	assert_string_equal(r.diff_id, again.diff_id);
	image_path(&one, &r, path, sizeof(path));
	assert_int_equal(file_slurp_at(AT_FDCWD, path, &x, 1 << 24), 0);
	image_path(&two, &r, path, sizeof(path));
	assert_int_equal(file_slurp_at(AT_FDCWD, path, &y, 1 << 24), 0);
	assert_int_equal(x.len, r.erofs_bytes);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
}

/* --- compression and digests ------------------------------------------------------------------------ */
static void put_gzip(struct buf *out, const struct buf *in)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)in->data;
	z.avail_in = (uInt)in->len;
	z.avail_out = (uInt)deflateBound(&z, in->len);
	z.next_out = buf_room(out, z.avail_out);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out->len += z.total_out;
	deflateEnd(&z);
}

static void put_zstd(struct buf *out, const struct buf *in)
{
	out->len += ZSTD_compress(buf_room(out, ZSTD_compressBound(in->len)), ZSTD_compressBound(in->len),
				  in->data, in->len, 3);
}

static void put_xz(struct buf *out, const struct buf *in)
{
	size_t at = 0, room = lzma_stream_buffer_bound(in->len);

	assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, (const uint8_t *)in->data,
						 in->len, buf_room(out, room), &at, room),
			 LZMA_OK);
	out->len += at;
}

static void test_layer_is_the_same_in_every_compression(void **state)
{
	static void (*const pack[])(struct buf * out, const struct buf *in) = { put_gzip, put_zstd, put_xz };
	auto_fini(buf) struct buf b = { 0 };
	char plain[DIGEST_SHA256_SIZE], sum[DIGEST_SHA256_SIZE];

	(void)state;
	put_sample(&b);
	digest_of(b.data, b.len, plain);
	for (size_t i = 0; i < ARRAY_SIZE(pack); i++) {
		auto_fini(temp_dir) struct temp_dir t = temp_dir();
		auto_fini(buf) struct buf z = { 0 };
		struct layer_result r = { 0 };
		struct err e = { 0 };
		size_t whole;

		pack[i](&z, &b);
		digest_of(z.data, z.len, sum);
		if (to_erofs(&z, t.fd, sum, &r, &e) < 0)
			fail_msg("%zu: %s", i, e.text);
		assert_string_equal(r.diff_id, plain);
		assert_string_equal(r.blob_digest, sum);
		assert_int_equal(r.tar_bytes, b.len);
		assert_int_equal(r.blob_bytes, z.len);
		assert_int_equal(to_erofs(&z, t.fd, plain, &r, &e), 0); /* either digest names it */
		assert_int_equal(count_names(t.fd), 1);
		whole = z.len;
		for (z.len = 1; z.len < whole; z.len += 1 + z.len / 3) {
			auto_fini(temp_dir) struct temp_dir none = temp_dir();

			assert_int_equal(to_erofs(&z, none.fd, NULL, &r, &e), -EBADMSG);
			assert_int_equal(count_names(none.fd), 0);
		}
		z.len = whole;
		buf_puts(&z, "trailing");
		assert_int_equal(to_erofs(&z, t.fd, NULL, &r, &e), -EBADMSG);
		if (!strstr(e.text, i == 2 ? "xz: " : "follows its end"))
			fail_msg("%zu: %s", i, e.text);
		z.len = whole;
		pack[i](&z, &(struct buf){ .data = (char[1024]){ 0 }, .len = 1024 }); /* a second member */
		if (to_erofs(&z, t.fd, NULL, &r, &e) < 0)
			fail_msg("%zu: %s", i, e.text);
		assert_int_equal(r.tar_bytes, b.len + 1024);
	}
}

/* put_noise() - a file that no compression makes small, so that the layer is decoded by a thread */
static void put_noise(struct buf *b, size_t len)
{
	uint8_t *data = malloc(len);
	uint64_t x = 88172645463325252;

	for (size_t i = 0; i < len; i++, x ^= x << 13, x ^= x >> 7, x ^= x << 17)
		data[i] = (uint8_t)(x >> 32);
	put_tar(b, (struct tar_spec){ .type = '0', .name = "noise", .mode = 0644, .data = data, .len = len });
	put_end(b);
	free(data);
}

static void test_layer_decoded_by_a_thread_is_the_same_and_damage_is_seen(void **state)
{
	auto_fini(temp_dir) struct temp_dir t = temp_dir();
	auto_fini(buf) struct buf b = { 0 }, z = { 0 };
	char plain[DIGEST_SHA256_SIZE];
	struct layer_result r;
	struct err e = { 0 };
	size_t whole;
	int fds;

	(void)state;
	put_noise(&b, 4000000);
	put_gzip(&z, &b);
	digest_of(b.data, b.len, plain);
	fds = count_fds();
	if (to_erofs(&z, t.fd, plain, &r, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(r.diff_id, plain);
	assert_int_equal(r.blob_bytes, z.len);
	file_unlink(t.fd, strcat(strcpy(plain, strchr(r.diff_id, ':') + 1), ".erofs"), 0);
	whole = z.len;
	for (z.len = 300000; z.len < whole; z.len += 900000) {
		assert_int_equal(to_erofs(&z, t.fd, NULL, &r, &e), -EBADMSG);
		assert_non_null(strstr(e.text, "cut short"));
	}
	z.len = whole;
	z.data[whole / 2] ^= 0x55;
	assert_int_equal(to_erofs(&z, t.fd, NULL, &r, &e), -EBADMSG);
	assert_int_equal(count_names(t.fd), 0);
	assert_int_equal(count_fds(), fds);
}

static void test_layer_that_is_not_the_one_expected_leaves_nothing(void **state)
{
	auto_fini(temp_dir) struct temp_dir t = temp_dir();
	auto_fini(buf) struct buf b = { 0 };
	struct layer_result r = { 0 };
	char wrong[DIGEST_TEXT_SIZE], right[DIGEST_TEXT_SIZE];
	struct digest d;
	struct err e = { 0 };

	(void)state;
	put_sample(&b);
	digest_of("other", 5, wrong);
	assert_int_equal(to_erofs(&b, t.fd, wrong, &r, &e), -EBADMSG);
	assert_non_null(strstr(e.text, wrong));
	assert_int_equal(to_erofs(&b, t.fd, "sha256:../../etc/passwd", &r, &e), -EINVAL);
	assert_int_equal(count_names(t.fd), 0);
	assert_int_equal(r.files, 0); /* outputs change only on success */
	digest_init(&d, DIGEST_SHA512);
	digest_update(&d, b.data, b.len);
	digest_final(&d, right);
	assert_int_equal(to_erofs(&b, t.fd, right, &r, &e), 0);
}

/* --- marks of overlayfs's own ----------------------------------------------------------------------- */
static void test_layer_takes_no_overlay_marks_from_the_tar(void **state)
{
	auto_fini(temp_dir) struct temp_dir t = temp_dir();
	auto_fini(buf) struct buf b = { 0 };
	auto_close int m = -1, d = -1;
	char value[16];

	(void)state;
	if (!can_mount_images())
		skip();
	put_pax(&b, "SCHILY.xattr.trusted.overlay.redirect", "/etc", 4);
	put_dir(&b, "d", 0755);
	put_pax(&b, "SCHILY.xattr.user.overlay.opaque", "y", 1);
	put_dir(&b, "e", 0755);
	put_end(&b);
	m = write_and_mount(&b, &t);
	d = openat(m, "d", O_RDONLY | O_CLOEXEC);
	assert_true(d >= 0);
	assert_int_equal(fgetxattr(d, "trusted.overlay.redirect", value, sizeof(value)), -1);
	fd_close(&d);
	d = openat(m, "e", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fgetxattr(d, "user.overlay.opaque", value, sizeof(value)), -1);
}

/* --- whiteouts -------------------------------------------------------------------------------------- */
static void put_lower(struct buf *b)
{
	put_dir(b, "gone", 0755);
	put_file(b, "gone/f", "lower");
	put_dir(b, "opaque", 0755);
	put_file(b, "opaque/old", "lower");
	put_dir(b, "again", 0755);
	put_file(b, "again/old", "lower");
	put_dir(b, "before", 0755);
	put_file(b, "before/old", "lower");
	put_file(b, "file", "lower");
	put_file(b, "kept", "lower");
	put_dir(b, "dir", 0755);
	put_file(b, "dir/w", "lower");
	put_file(b, "dir/kept", "lower");
	put_end(b);
}

static void put_upper(struct buf *b)
{
	put_file(b, ".wh.gone", "");
	put_dir(b, "opaque", 0755);
	put_file(b, "opaque/new", "upper");
	put_file(b, "opaque/.wh..wh..opq", "");
	put_file(b, ".wh.again", ""); /* whiteout first, then a file in it, its parent not named */
	put_file(b, "again/new", "upper");
	put_file(b, "before/new", "upper"); /* the other way round */
	put_file(b, ".wh.before", "");
	put_file(b, "file", "upper");
	put_file(b, ".wh.file", ""); /* speaks of the lower one */
	put_file(b, "dir/.wh.w", "");
	put_file(b, ".wh..wh.plnk", ""); /* AUFS's own */
	put_end(b);
}

static void check_merged(int m)
{
	static const char *const there[] = { "opaque/new", "again/new", "before/new",
					     "file",       "kept",      "dir/kept" };
	static const char *const not_there[] = {
		"gone",  "opaque/old", "again/old",           "before/old",
		"dir/w", ".wh.gone",   "opaque/.wh..wh..opq", ".wh..wh.plnk"
	};
	auto_fini(buf) struct buf b = { 0 };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(there); i++)
		if (fstatat(m, there[i], &st, 0) < 0)
			fail_msg("'%s' is missing", there[i]);
	for (size_t i = 0; i < ARRAY_SIZE(not_there); i++)
		if (fstatat(m, not_there[i], &st, 0) == 0)
			fail_msg("'%s' is there", not_there[i]);
	assert_int_equal(file_slurp_at(m, "file", &b, 100), 0);
	assert_string_equal(b.data, "upper");
	assert_int_equal(count_names(m), 6);
}

/*
 * mount_overlay() - read-only, of two detached or ordinary directories, upper first. -errno where it cannot.
 */
static int mount_overlay(int upper, int lower, bool userxattr)
{
	auto_close int fs = mnt_fsopen("overlay");
	int r = fs;

	if (r >= 0)
		r = mnt_config_fd(fs, "lowerdir+", upper);
	if (r >= 0)
		r = mnt_config_fd(fs, "lowerdir+", lower);
	if (r >= 0 && userxattr)
		r = mnt_config_flag(fs, "userxattr");
	if (r >= 0)
		r = mnt_config_create(fs);
	return r < 0 ? r : mnt_fsmount(fs, 0);
}

static void test_layer_whiteouts_hide_what_is_below_in_images(void **state)
{
	auto_fini(temp_dir) struct temp_dir t = temp_dir();
	auto_fini(buf) struct buf lower = { 0 }, upper = { 0 };
	auto_close int lo = -1, up = -1, m = -1;

	(void)state;
	if (!can_mount_images())
		skip();
	put_lower(&lower);
	put_upper(&upper);
	lo = write_and_mount(&lower, &t);
	up = write_and_mount(&upper, &t);
	m = mount_overlay(up, lo, false);
	if (m < 0) {
		printf("skipped: overlay by descriptors: %s\n", strerror(-m));
		skip();
	}
	check_merged(m);
}

/* unpack_both() - into lo/ and up/ of @t, as user @uid. Return: 0, or fails the test */
static void unpack_both(const struct temp_dir *t, unsigned flags, int *ret_lo, int *ret_up)
{
	auto_fini(buf) struct buf lower = { 0 }, upper = { 0 };
	struct layer_result r;
	struct err e = { 0 };

	put_lower(&lower);
	put_upper(&upper);
	assert_int_equal(mkdirat(t->fd, "lo", 0755), 0);
	assert_int_equal(mkdirat(t->fd, "up", 0755), 0);
	*ret_lo = openat(t->fd, "lo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*ret_up = openat(t->fd, "up", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to_tree(&lower, *ret_lo, flags, &r, &e) < 0 || to_tree(&upper, *ret_up, flags, &r, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_layer_whiteouts_hide_what_is_below_in_trees(void **state)
{
	auto_fini(temp_dir) struct temp_dir t = temp_dir();
	auto_close int lo = -1, up = -1, m = -1;

	(void)state;
	if (geteuid() != 0) {
		printf("skipped: not root\n");
		skip();
	}
	unpack_both(&t, 0, &lo, &up);
	m = mount_overlay(up, lo, false);
	if (m < 0) {
		printf("skipped: overlay by descriptors: %s\n", strerror(-m));
		skip();
	}
	check_merged(m);
}

static long no_mknod(long nr, long a, long b, long c, long d, long e, long f)
{
	return nr == SYS_mknodat ? -EPERM : sys_call_real(nr, a, b, c, d, e, f);
}

static void test_layer_whiteouts_work_without_mknod(void **state)
{
	auto_fini(temp_dir) struct temp_dir t = temp_dir();
	auto_close int lo = -1, up = -1, m = -1;

	(void)state;
	if (geteuid() != 0) {
		printf("skipped: not root\n");
		skip();
	}
	sys_call = no_mknod;
	unpack_both(&t, LAYER_USERXATTR, &lo, &up);
	sys_call = sys_call_real;
	m = mount_overlay(up, lo, true);
	if (m < 0) {
		printf("skipped: overlay by descriptors, or userxattr: %s\n", strerror(-m));
		skip();
	}
	check_merged(m);
}

/* --- faults ----------------------------------------------------------------------------------------- */
static long fail_at, calls;
static int fail_code;

static long failing_call(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr == SYS_unlinkat || ++calls != fail_at)
		return sys_call_real(nr, a, b, c, d, e, f);
	return -fail_code;
}

static void put_small(struct buf *b)
{
	put_dir(b, "d", 0755);
	put_file(b, "d/f", "data");
	put_link(b, '2', "d/s", "f");
	put_link(b, '1', "h", "d/f");
	put_file(b, "d/.wh.w", "");
	put_file(b, "d/.wh..wh..opq", "");
	put_end(b);
}

static void test_layer_image_is_whole_or_not_there_whatever_fails(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	static const int codes[] = { EIO, ENOSPC, EOPNOTSUPP };
	int fds = count_fds();

	(void)state;
	put_small(&b);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		for (fail_at = 1;; fail_at++) {
			auto_fini(temp_dir) struct temp_dir t = temp_dir();
			auto_close int fd = fd_of(b.data, b.len);
			struct layer_result r;
			struct err e = { 0 };
			int rc;

			calls = 0;
			fail_code = codes[i];
			sys_call = failing_call;
			rc = layer_write_erofs(fd, t.fd, NULL, &r, &e);
			sys_call = sys_call_real;
			if (calls < fail_at)
				break;
			if (rc < 0 && !e.text[0])
				fail_msg("call %ld, %s: no text", fail_at, strerror(codes[i]));
			if (rc >= 0)
				assert_int_equal(count_names(t.fd), 1);
			else if (count_names(t.fd) > 1)
				fail_msg("call %ld, %s: something is left", fail_at, strerror(codes[i]));
		}
		assert_true(fail_at > 5);
	}
	assert_int_equal(count_fds(), fds);
}

static void test_layer_unpack_reports_whatever_fails(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	int fds = count_fds();

	(void)state;
	put_small(&b);
	fail_code = EIO;
	for (fail_at = 1;; fail_at++) {
		auto_fini(temp_dir) struct temp_dir t = temp_dir();
		auto_close int fd = fd_of(b.data, b.len);
		struct layer_result r;
		struct err e = { 0 };
		int rc;

		calls = 0;
		sys_call = failing_call;
		rc = layer_unpack(fd, t.fd, geteuid() ? LAYER_ROOTLESS : 0, &r, &e);
		sys_call = sys_call_real;
		if (calls < fail_at)
			break;
		if (rc < 0 && !e.text[0])
			fail_msg("call %ld: no text", fail_at);
	}
	assert_true(fail_at > 20);
	assert_int_equal(count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layer_image_and_tree_are_what_tar_unpacks),
		cmocka_unit_test(test_layer_image_is_the_same_bytes_for_the_same_tar),
		cmocka_unit_test(test_layer_is_the_same_in_every_compression),
		cmocka_unit_test(test_layer_decoded_by_a_thread_is_the_same_and_damage_is_seen),
		cmocka_unit_test(test_layer_that_is_not_the_one_expected_leaves_nothing),
		cmocka_unit_test(test_layer_takes_no_overlay_marks_from_the_tar),
		cmocka_unit_test(test_layer_whiteouts_hide_what_is_below_in_images),
		cmocka_unit_test(test_layer_whiteouts_hide_what_is_below_in_trees),
		cmocka_unit_test(test_layer_whiteouts_work_without_mknod),
		cmocka_unit_test(test_layer_image_is_whole_or_not_there_whatever_fails),
		cmocka_unit_test(test_layer_unpack_reports_whatever_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
