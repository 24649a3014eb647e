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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holds_what_was_written_in_every_shape),
	};

	(void)reset_calls;
	return cmocka_run_group_tests(tests, setup, teardown);
}
