/* SPDX-License-Identifier: Apache-2.0 */
#include "blk/blk_testing.h"

#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blk/qcow2.h"

enum { STEPS = 250 };

static char dir[] = "/tmp/hull-test-qcow2.XXXXXX";
static int top = -1;

static int setup(void **state)
{
	(void)state;
	top = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return top < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	sys_call = sys_call_real;
	close(top);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static int reset_calls(void **state)
{
	(void)state;
	sys_call = sys_call_real;
	testing_fail_after = -1;
	return 0;
}

static struct qcow2_create created(uint64_t size, uint32_t cluster, unsigned version)
{
	struct qcow2_create c = qcow2_create_default;

	c.size = size;
	c.cluster = cluster;
	c.version = version;
	return c;
}

static void make_file(const char *name, const struct qcow2_create *c)
{
	auto_close int fd = file_open(top, name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	struct err e = { 0 };

	assert_true(fd >= 0);
	if (qcow2_make(fd, c, &e) < 0)
		fail_msg("%s", e.text);
}

static int try_open(struct blk **ret_b, const char *name, struct blk_options o, struct err *e)
{
	int fd = file_open(top, name, o.readonly ? O_RDONLY : O_RDWR, 0);

	assert_true(fd >= 0);
	o.format = "qcow2";
	o.ring = true;
	o.backing_max = 4;
	o.backing_dirfd = top;
	return blk_open(ret_b, fd, &o, e);
}

static struct blk *open_image(const char *name, struct blk_options o)
{
	struct err e = { 0 };
	struct blk *b = NULL;

	if (try_open(&b, name, o, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	return b;
}

static void told(void *arg, const char *line)
{
	(void)arg;
	print_message("%s\n", line);
}

/* check_clean() - by hull's own check; the end-to-end tests ask qemu-img */
static void check_clean(const char *name)
{
	struct blk *b = open_image(name, (struct blk_options){ .readonly = true });
	struct qcow2_check c;
	struct err e = { 0 };

	assert_int_equal(qcow2_check(b, QCOW2_FIX_NONE, &c, told, NULL, &e), 0);
	assert_int_equal(c.errors, 0);
	assert_int_equal(c.leaks, 0);
	blk_close(b);
}

struct shape {
	uint32_t cluster;
	unsigned version, refcount_bits;
	uint64_t size;
	bool async;
};

static const struct shape shapes[] = {
	{ 512, 3, 16, 1 << 20, false },     { 512, 2, 16, 1 << 20, true },
	{ 4096, 3, 1, 4 << 20, false },     { 4096, 3, 64, 4 << 20, true },
	{ 65536, 3, 16, 9 << 20, false },   { 65536, 3, 16, 9 << 20, true },
	{ 65536, 2, 16, 9 << 20, false },   { 65536, 3, 2, 9 << 20, true },
	{ 2 << 20, 3, 16, 9 << 20, true },  { 1024, 3, 8, 700 << 10, true },
	{ 2 << 20, 2, 16, 9 << 20, false },
};

static struct blk_options how(const struct shape *s)
{
	return (struct blk_options){ .async = s->async, .no_sync = true };
}

static void some_steps(const struct shape *s, struct testing_model *m, struct blk *b, int n)
{
	for (int i = 0; i < n; i++)
		testing_step(m, b);
	for (int i = 0; i < n / 25; i++)
		testing_batch(m, b);
	if (!s->async)
		return;
	assert_int_equal(blk_flush(b), 0);
}

static void test_holds_what_was_written_in_every_shape(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct shape *s = &shapes[i];
		struct qcow2_create c = created(s->size, s->cluster, s->version);
		struct testing_model m = { calloc(1, s->size), s->size };
		struct blk *b;

		c.refcount_bits = s->refcount_bits;
		make_file("d", &c);
		check_clean("d");
		for (int round = 0; round < 3; round++) {
			b = open_image("d", how(s));
			some_steps(s, &m, b, STEPS / 3);
			testing_check(&m, b);
			assert_int_equal(blk_finish(b), 0);
			check_clean("d");
		}
		b = open_image("d", (struct blk_options){ .readonly = true, .async = s->async });
		testing_check(&m, b);
		blk_close(b);
		free(m.bytes);
	}
}

static void test_a_backing_chain_shows_through_and_is_never_written(void **state)
{
	struct qcow2_create c = created(1 << 20, 4096, 3);
	struct testing_model m = { calloc(1, 2 << 20), 1 << 20 }, base = { calloc(1, 1 << 20), 1 << 20 };
	struct blk *b;

	(void)state;
	make_file("base", &c);
	b = open_image("base", (struct blk_options){ 0 });
	for (int i = 0; i < 60; i++)
		testing_step(&m, b);
	blk_close(b);
	memcpy(base.bytes, m.bytes, base.size);
	c.backing = "base";
	c.backing_format = "qcow2";
	make_file("mid", &c);
	c.backing = "mid";
	c.size = m.size = 2 << 20;
	make_file("top", &c);
	b = open_image("top", (struct blk_options){ .async = true });
	testing_check(&m, b);
	for (int i = 0; i < 60; i++)
		testing_step(&m, b);
	testing_batch(&m, b);
	testing_check(&m, b);
	blk_close(b);
	check_clean("top");
	b = open_image("base", (struct blk_options){ .readonly = true });
	testing_check(&base, b);
	blk_close(b);
	free(m.bytes);
	free(base.bytes);
}

static void refused(const char *name, struct blk_options o, const char *text)
{
	struct err e = { 0 };
	struct blk *b;

	assert_true(try_open(&b, name, o, &e) < 0);
	assert_string_equal(e.text, text);
}

static void test_backing_files_are_opened_only_where_they_may_be(void **state)
{
	struct qcow2_create c = created(1 << 20, 65536, 3);
	struct err e = { 0 };
	struct blk *b;
	int fd;

	(void)state;
	c.backing = "base";
	c.backing_format = "raw";
	make_file("t", &c);
	fd = file_open(top, "t", O_RDWR, 0);
	assert_int_equal(
		blk_open(&b, fd, &(struct blk_options){ .format = "qcow2", .backing_dirfd = top }, &e),
		-EPERM);
	assert_string_equal(e.text, "qcow2: backing file 'base': not allowed here");
	c.backing = "/etc/passwd";
	make_file("t", &c);
	refused("t", (struct blk_options){ 0 }, "qcow2: backing file '/etc/passwd': Operation not permitted");
	c.backing = "../../etc/passwd";
	make_file("t", &c);
	refused("t", (struct blk_options){ 0 },
		"qcow2: backing file '../../etc/passwd': Operation not permitted");
	c.backing = "json:{\"driver\":\"file\"}";
	make_file("t", &c);
	refused("t", (struct blk_options){ 0 },
		"qcow2: backing file 'json:{\"driver\":\"file\"}': only files are supported");
	c.backing = "base";
	c.backing_format = NULL;
	make_file("t", &c);
	refused("t", (struct blk_options){ 0 },
		"qcow2: backing file 'base': the image does not say its format");
	c.backing = "t"; /* itself */
	c.backing_format = "qcow2";
	make_file("t", &c);
	assert_true(try_open(&b, "t", (struct blk_options){ .readonly = true }, &e) < 0);
	assert_non_null(strstr(e.text, "not allowed here"));
}

/* --- hostile images --------------------------------------------------------------------------------------- */

static void poke(const char *name, uint64_t at, uint64_t v, unsigned len)
{
	auto_close int fd = file_open(top, name, O_RDWR, 0);

	v = htobe64(v << (8 * (8 - len)));
	assert_int_equal(pwrite(fd, &v, len, (off_t)at), len);
}

static void test_headers_and_tables_that_lie_are_refused_with_one_line(void **state)
{
	static const struct {
		uint64_t at, v;
		unsigned len;
		const char *text;
	} cases[] = {
		{ 0, 0, 4, "not a qcow2 image" },
		{ 4, 4, 4, "qcow2: version 4, only 2 and 3 are known" },
		{ 20, 31, 4, "qcow2: clusters of 2^31 bytes, want 2^9 to 2^21" },
		{ 24, UINT64_MAX, 8, "qcow2: disk of 18446744073709551615 bytes" },
		{ 24, 1ULL << 40, 8, "qcow2: L1 table of 1 entries, the disk needs 2048" },
		{ 32, 1, 4, "qcow2: encryption is not supported" },
		{ 36, UINT32_MAX, 4, "qcow2: L1 table: 34359738360 bytes, at most 33554432" },
		{ 36, 1 << 20, 4, "qcow2: the file ends before its tables do" },
		{ 40, 12345, 8, "qcow2: L1 table: bad offset 0x3039" },
		{ 40, 1ULL << 40, 8, "qcow2: the file ends before its tables do" },
		{ 40, 65536, 8, "qcow2: refcount table at 0x10000: another table is there" },
		{ 48, 0, 8, "qcow2: refcount table: bad offset 0x0" },
		{ 56, 0, 4, "qcow2: no refcount table" },
		{ 56, UINT32_MAX, 4, "qcow2: refcount table: 281474976645120 bytes, at most 8388608" },
		{ 60, 70000, 4, "qcow2: 70000 snapshots, at most 1024" },
		{ 60, 1, 4, "qcow2: snapshot table: bad offset 0x0" },
		{ 72, 4, 8, "qcow2: the data is in another file: not supported" },
		{ 72, 16, 8, "qcow2: extended L2 entries (subclusters): not supported" },
		{ 72, 1ULL << 40, 8, "qcow2: incompatible feature 40 is not supported" },
		{ 72, 2, 8, "qcow2: the image is marked corrupt: it can only be read" },
		{ 96, 7, 4, "qcow2: refcounts of 2^7 bits" },
		{ 100, 8, 4, "qcow2: header of 8 bytes" },
		{ 116, 1 << 20, 4, "qcow2: a header extension of 1048576 bytes does not fit" },
		{ 65536, 1ULL << 50, 8, "qcow2: refcount block: bad offset 0x4000000000000" },
		{ 65536, 65536, 8, "qcow2: refcount block at 0x10000: another table is there" },
		{ 196608, 131072 | 1ULL << 63, 8, "qcow2: L2 table at 0x20000: another table is there" },
		{ 196608, 1ULL << 63, 8, "qcow2: L2 table: bad offset 0x8000000000000000" },
		{ 196608, 0x30001, 8, "qcow2: L2 table: bad offset 0x30001" },
	};
	struct qcow2_create c = created(1 << 20, 65536, 3);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = { 0 };
		struct blk *b;

		make_file("h", &c);
		poke("h", cases[i].at, cases[i].v, cases[i].len);
		if (try_open(&b, "h", (struct blk_options){ 0 }, &e) == 0)
			fail_msg("case %zu was opened, want: %s", i, cases[i].text);
		assert_string_equal(e.text, cases[i].text);
	}
}

static void test_an_unknown_feature_is_named_by_the_images_own_table(void **state)
{
	struct qcow2_create c = created(1 << 20, 65536, 3);

	(void)state;
	make_file("f", &c);
	/* the table's first entry becomes incompatible feature 9; its name stays */
	poke("f", 121, 9, 1);
	poke("f", 72, 1 << 9, 8);
	refused("f", (struct blk_options){ 0 },
		"qcow2: incompatible feature 9 ('dirty bit') is not supported");
}

static void test_a_guest_cannot_write_over_the_tables_through_an_entry_that_names_them(void **state)
{
	static const uint64_t targets[] = { 0, 65536, 131072, 196608, 262144 };
	struct qcow2_create c = created(1 << 20, 65536, 3);
	uint8_t before[320 << 10], after[320 << 10], buf[512] = { 1 };

	(void)state;
	for (size_t i = 1; i < sizeof(targets) / sizeof(targets[0]); i++) {
		auto_close int fd = -1;
		struct blk *b;

		make_file("o", &c);
		b = open_image("o", (struct blk_options){ 0 });
		assert_int_equal(blk_pwrite(b, buf, 512, 0), 0); /* L2 table at 262144, data at 327680 */
		assert_int_equal(blk_finish(b), 0);
		poke("o", 262144, targets[i] | QCOW2_COPIED, 8);
		fd = file_open(top, "o", O_RDONLY, 0);
		assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
		b = open_image("o", (struct blk_options){ 0 });
		assert_int_equal(blk_pwrite(b, buf, 512, 100), -EUCLEAN);
		blk_close(b);
		assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
		assert_memory_equal(before, after, sizeof(before));
	}
}

/* --- failures --------------------------------------------------------------------------------------------- */

/* work() - a bit of everything; the first error ends it. Return: 0, -errno */
static int work(struct blk *b)
{
	static uint8_t buf[100000];
	struct err e = { 0 };
	int r = 0;

	memset(buf, 5, sizeof(buf));
	for (uint64_t i = 0; i < 4 && r == 0; i++)
		r = blk_pwrite(b, buf, 60000, i * 250000);
	r = r < 0 ? r : blk_flush(b);
	r = r < 0 ? r : qcow2_snapshot_create(b, "s", &e);
	r = r < 0 ? r : blk_pwrite(b, buf, sizeof(buf), 200000);
	r = r < 0 ? r : blk_discard(b, 0, 300000);
	r = r < 0 ? r : blk_zeroes(b, 250000, 70000, false);
	r = r < 0 ? r : qcow2_snapshot_apply(b, "s", &e);
	r = r < 0 ? r : qcow2_snapshot_delete(b, "s", &e);
	r = r < 0 ? r : blk_resize(b, 64 << 20, &e);
	return r < 0 ? r : blk_flush(b);
}

/* Whatever call fails is told, nothing falls over, and the image opens again with nothing wrong in it. */
static void failing_calls(unsigned version, uint32_t cluster)
{
	struct qcow2_create c = created(2 << 20, cluster, version);
	int told_errors = 0;

	for (int n = 0;; n += 1 + n / 20) {
		struct err e = { 0 };
		struct blk *b = NULL;
		int r, rc;

		make_file("n", &c);
		testing_failed = false;
		testing_fail_after = n;
		sys_call = testing_failing;
		r = try_open(&b, "n", (struct blk_options){ 0 }, &e);
		if (r == 0) {
			r = work(b);
			rc = blk_finish(b);
			r = r < 0 ? r : rc;
		}
		sys_call = sys_call_real;
		if (!testing_failed) {
			assert_int_equal(r, 0);
			break;
		}
		told_errors += r < 0; /* some need not be: a commit has another way, a hole is advice */
		b = open_image("n", (struct blk_options){ 0 });
		blk_close(b);
		check_clean("n");
	}
	assert_true(told_errors > 10);
}

static void test_a_failing_call_leaves_an_image_that_opens_clean(void **state)
{
	(void)state;
	failing_calls(3, 65536);
	failing_calls(3, 512);
	failing_calls(2, 4096);
}

static long no_mapping(long nr, long a, long b, long c, long d, long e, long f)
{
	return nr == SYS_madvise ? -EFAULT : sys_call_real(nr, a, b, c, d, e, f);
}

static void test_a_file_that_cannot_be_mapped_is_written_in_order(void **state)
{
	struct qcow2_create c = created(2 << 20, 4096, 3);
	struct blk *b;

	(void)state;
	make_file("m", &c);
	sys_call = no_mapping;
	b = open_image("m", (struct blk_options){ 0 });
	assert_int_equal(work(b), 0);
	assert_int_equal(blk_finish(b), 0);
	sys_call = sys_call_real;
	check_clean("m");
}

/* --- kill ------------------------------------------------------------------------------------------------- */

static void write_for_ever(const char *name, unsigned seed)
{
	struct testing_model m = { calloc(1, 4 << 20), 4 << 20 };
	struct blk *b = open_image(name, (struct blk_options){ .async = true, .no_sync = seed % 2 });

	testing_seed += seed * 77777ULL;
	if (blk_pread(b, m.bytes, m.size, 0) < 0) /* what the one before us left */
		_exit(1);
	for (;;) {
		testing_batch(&m, b);
		testing_step(&m, b);
	}
}

static void test_killed_while_requests_run_beside_each_other_it_is_clean(void **state)
{
	struct qcow2_create c = created(4 << 20, 4096, 3);

	(void)state;
	make_file("k", &c);
	for (unsigned i = 0; i < 40; i++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0) {
			write_for_ever("k", i);
			_exit(0);
		}
		usleep(1000 + (unsigned)(testing_random() % 25000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status)); /* it was at work, and found nothing wrong */
		check_clean("k");
	}
}

static void test_freed_clusters_are_used_again(void **state)
{
	struct qcow2_create c = created(8 << 20, 65536, 3);
	static uint8_t buf[1 << 20];
	struct stat st;
	struct blk *b;

	(void)state;
	memset(buf, 1, sizeof(buf));
	make_file("u", &c);
	b = open_image("u", (struct blk_options){ .no_sync = true });
	for (int i = 0; i < 50; i++) {
		assert_int_equal(blk_pwrite(b, buf, sizeof(buf), (uint64_t)(i % 8) << 20), 0);
		assert_int_equal(blk_flush(b), 0);
		assert_int_equal(blk_discard(b, (uint64_t)(i % 8) << 20, sizeof(buf)), 0);
		assert_int_equal(blk_flush(b), 0);
	}
	blk_close(b);
	assert_int_equal(fstatat(top, "u", &st, 0), 0);
	assert_true(st.st_size < 3 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20); /* and the space is given back */
	check_clean("u");
}

static void test_the_reference_count_table_grows(void **state)
{
	/* blocks of 512 bytes count 256 clusters; a table of 512 bytes has 64 of them: 8 MiB */
	struct qcow2_create c = created(24 << 20, 512, 3);
	static uint8_t buf[1 << 20];
	struct blk *b;

	(void)state;
	make_file("g", &c);
	b = open_image("g", (struct blk_options){ .no_sync = true });
	for (uint64_t i = 0; i < 20; i++) {
		memset(buf, (int)i + 1, sizeof(buf));
		assert_int_equal(blk_pwrite(b, buf, sizeof(buf), i << 20), 0);
	}
	assert_int_equal(blk_finish(b), 0);
	check_clean("g");
	b = open_image("g", (struct blk_options){ .readonly = true });
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(blk_pread(b, buf, 4096, (i << 20) + 777777), 0);
		assert_int_equal(buf[4095], i + 1);
	}
	blk_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holds_what_was_written_in_every_shape),
		cmocka_unit_test(test_a_backing_chain_shows_through_and_is_never_written),
		cmocka_unit_test(test_backing_files_are_opened_only_where_they_may_be),
		cmocka_unit_test(test_headers_and_tables_that_lie_are_refused_with_one_line),
		cmocka_unit_test(test_an_unknown_feature_is_named_by_the_images_own_table),
		cmocka_unit_test(test_a_guest_cannot_write_over_the_tables_through_an_entry_that_names_them),
		cmocka_unit_test_teardown(test_a_failing_call_leaves_an_image_that_opens_clean, reset_calls),
		cmocka_unit_test_teardown(test_a_file_that_cannot_be_mapped_is_written_in_order, reset_calls),
		cmocka_unit_test(test_killed_while_requests_run_beside_each_other_it_is_clean),
		cmocka_unit_test(test_freed_clusters_are_used_again),
		cmocka_unit_test(test_the_reference_count_table_grows),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
