/* SPDX-License-Identifier: Apache-2.0 */
#include "blk/blk_testing.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/cachestat.h"

enum { DISK_BYTES = 4 << 20, RAW_STEPS = 600 };

static int raw_file(uint64_t size)
{
	int fd = memfd_create("raw", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct blk *raw(int fd, struct blk_options o)
{
	struct err e = { 0 };
	struct blk *b = NULL;

	o.format = "raw";
	o.ring = true; /* the files of these tests are in memory */
	o.backing_dirfd = -1;
	if (blk_open(&b, fd, &o, &e) < 0)
		fail_msg("%s", e.text);
	return b;
}

static int teardown(void **state)
{
	(void)state;
	sys_call = sys_call_real;
	testing_fail_after = -1;
	return 0;
}

static void test_an_unknown_format_is_refused_and_the_file_closed(void **state)
{
	int fd = raw_file(512);
	struct blk *b = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(blk_open(&b, fd, &(struct blk_options){ .format = "vdi" }, &e), -EINVAL);
	assert_string_equal(e.text, "format 'vdi': only raw and qcow2 are known");
	assert_null(b);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_what_is_no_file_is_refused(void **state)
{
	struct err e = { 0 };
	struct blk *b;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(blk_open(&b, p[0], &(struct blk_options){ .format = "raw" }, &e), -EINVAL);
	assert_string_equal(e.text, "raw disk: neither a file nor a block device");
	close(p[1]);
}

static void test_a_request_beyond_the_end_is_refused(void **state)
{
	struct blk *b = raw(raw_file(4096), (struct blk_options){ 0 });
	char buf[1024] = "";

	(void)state;
	assert_int_equal(blk_pread(b, buf, 1024, 3072), 0);
	assert_int_equal(blk_pread(b, buf, 1024, 3073), -EIO);
	assert_int_equal(blk_pwrite(b, buf, 1, UINT64_MAX), -EIO);
	assert_int_equal(blk_discard(b, 512, UINT64_MAX), -EIO);
	assert_int_equal(blk_zeroes(b, 4096, 1, false), -EIO);
	assert_int_equal(blk_pwrite(b, buf, 0, 4096), 0);
	blk_close(b);
}

static void test_a_read_only_disk_takes_no_write(void **state)
{
	struct blk *b = raw(raw_file(4096), (struct blk_options){ .readonly = true });
	char buf[512] = "";

	(void)state;
	assert_true(blk_is_readonly(b));
	assert_int_equal(blk_pwrite(b, buf, 512, 0), -EROFS);
	assert_int_equal(blk_discard(b, 0, 512), -EROFS);
	assert_int_equal(blk_zeroes(b, 0, 512, true), -EROFS);
	assert_int_equal(blk_flush(b), 0);
	assert_int_equal(blk_pread(b, buf, 512, 0), 0);
	blk_close(b);
}

static void test_half_a_sector_at_the_end_is_not_shown(void **state)
{
	struct blk *b = raw(raw_file(1000), (struct blk_options){ 0 });

	(void)state;
	assert_int_equal(blk_size(b), 512);
	blk_close(b);
}

static void random_steps_on(struct blk *b)
{
	struct testing_model m = { calloc(1, DISK_BYTES), DISK_BYTES };

	for (int i = 0; i < RAW_STEPS; i++)
		testing_step(&m, b);
	testing_check(&m, b);
	for (int i = 0; i < RAW_STEPS / 20; i++) {
		testing_batch(&m, b);
		testing_step(&m, b);
	}
	testing_check(&m, b);
	blk_close(b);
	free(m.bytes);
}

static void random_steps(struct blk_options o)
{
	random_steps_on(raw(raw_file(DISK_BYTES), o));
}

static void test_raw_holds_what_was_written_blocking(void **state)
{
	(void)state;
	random_steps((struct blk_options){ 0 });
}

static void test_raw_holds_what_was_written_through_a_ring(void **state)
{
	struct blk *b = raw(raw_file(512), (struct blk_options){ .async = true });
	bool has_ring = blk_event_fd(b) >= 0;

	(void)state;
	blk_close(b);
	if (!has_ring)
		skip(); /* the kernel gives no io_uring */
	random_steps((struct blk_options){ .async = true });
}

static void test_without_io_uring_requests_complete_at_once(void **state)
{
	struct blk *b;

	(void)state;
	sys_call = testing_no_uring;
	b = raw(raw_file(512), (struct blk_options){ .async = true });
	assert_int_equal(blk_event_fd(b), -1);
	blk_close(b);
	random_steps((struct blk_options){ .async = true });
}

static void test_a_file_in_memory_needs_no_ring(void **state)
{
	struct blk *b;

	(void)state;
	assert_int_equal(
		blk_open(&b, raw_file(512), &(struct blk_options){ .format = "raw", .async = true }, NULL),
		0);
	assert_int_equal(blk_event_fd(b), -1);
	blk_close(b);
}

/* --- files in memory, as machines use them ------------------------------------------------------------------- */

static unsigned n_rw;

static long counting_call(long nr, long a, long b, long c, long d, long e, long f)
{
	n_rw += nr == SYS_preadv || nr == SYS_pwritev;
	return sys_call_real(nr, a, b, c, d, e, f);
}

/* in_memory() - a disk on @fd, and how many of its bytes to read and write took a system call since: n_rw */
static struct blk *in_memory(int fd, bool readonly)
{
	struct err e = { 0 };
	struct blk *b = NULL;

	if (blk_open(&b, fd, &(struct blk_options){ .format = "raw", .async = true, .readonly = readonly },
		     &e) < 0)
		fail_msg("%s", e.text);
	n_rw = 0;
	sys_call = counting_call;
	return b;
}

static uint64_t blocks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks;
}

static bool kernel_tells_what_is_there(void)
{
	struct sys_cachestat_range range = { 0, 4096 };
	struct sys_cachestat stat;
	int fd = raw_file(4096);
	bool tells = syscall(SYS_cachestat, fd, &range, &stat, 0) == 0;

	close(fd);
	return tells;
}

static void test_a_file_in_memory_holds_what_was_written(void **state)
{
	(void)state;
	random_steps_on(in_memory(raw_file(DISK_BYTES), false));
}

static void test_what_a_file_in_memory_has_is_copied_without_a_call(void **state)
{
	static uint8_t buf[3 * 4096], byte;
	int fd = raw_file(1 << 20);
	struct blk *b = in_memory(fd, false);

	(void)state;
	if (!kernel_tells_what_is_there()) {
		blk_close(b);
		skip(); /* a kernel before 6.5 */
	}
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(blk_pwrite(b, buf, sizeof(buf), 8192), 0);
	assert_int_equal(n_rw, 1); /* it was not there before */
	assert_int_equal(blk_pwrite(b, "x", 1, 10000), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(blk_pread(b, buf, sizeof(buf), 8192), 0);
	assert_int_equal(n_rw, 1);
	assert_int_equal(buf[10000 - 8192], 'x');
	assert_int_equal(buf[10001 - 8192], 0x5a);
	assert_int_equal(pread(fd, &byte, 1, 10000), 1); /* others see it */
	assert_int_equal(byte, 'x');
	assert_int_equal(pwrite(fd, "y", 1, 100000), 1); /* and what they write is seen */
	assert_int_equal(blk_pread(b, &byte, 1, 100000), 0);
	assert_int_equal(byte, 'y');
	assert_int_equal(n_rw, 1);
	assert_int_equal(blk_discard(b, 8192, 4096), 0);
	assert_int_equal(blk_pread(b, buf, sizeof(buf), 8192), 0);
	assert_int_equal(n_rw, 2);
	assert_int_equal(buf[10000 - 8192], 0);
	blk_close(b);
}

static void test_reading_holes_of_a_file_in_memory_fills_none(void **state)
{
	static uint8_t buf[1 << 20], zero[1 << 20];
	int fd = raw_file(1 << 20);
	struct blk *b = in_memory(fd, false);
	uint64_t one;

	(void)state;
	assert_int_equal(blk_pwrite(b, "a", 1, 4096), 0);
	one = blocks(fd);
	for (size_t len = 512; len <= sizeof(buf); len *= 2)
		assert_int_equal(blk_pread(b, buf, len, 0), 0);
	assert_int_equal(blocks(fd), one);
	assert_int_equal(buf[4096], 'a');
	assert_int_equal(blk_zeroes(b, 0, 8192, true), 0);
	assert_int_equal(blk_pread(b, buf, sizeof(buf), 0), 0);
	assert_int_equal(blocks(fd), 0);
	assert_memory_equal(buf, zero, sizeof(buf));
	blk_close(b);
}

static void test_a_file_in_memory_may_be_cut_short_by_others(void **state)
{
	static uint8_t buf[4 * 4096];
	int fd = raw_file(8 * 4096);
	struct blk *b = in_memory(fd, false);

	(void)state;
	memset(buf, 1, sizeof(buf));
	assert_int_equal(blk_pwrite(b, buf, sizeof(buf), 0), 0);
	assert_int_equal(blk_pread(b, buf, sizeof(buf), 0), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	for (int i = 0; i < 2; i++) { /* the second time it is known */
		memset(buf, 9, sizeof(buf));
		assert_int_equal(blk_pread(b, buf, sizeof(buf), 0), 0);
		assert_int_equal(buf[4095], 1);
		assert_int_equal(buf[4096], 0);
		assert_int_equal(buf[sizeof(buf) - 1], 0);
	}
	assert_int_equal(blk_pwrite(b, buf, sizeof(buf), 0), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(blk_pwrite(b, buf, sizeof(buf), 0), 0);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	blk_close(b);
}

static void test_a_read_only_file_in_memory_is_read(void **state)
{
	int fd = raw_file(8192);
	struct blk *b;
	char byte = 0;

	(void)state;
	assert_int_equal(pwrite(fd, "z", 1, 5000), 1);
	b = in_memory(fd, true);
	assert_int_equal(blk_pread(b, &byte, 1, 5000), 0);
	assert_int_equal(byte, 'z');
	assert_int_equal(blk_pwrite(b, "q", 1, 5000), -EROFS);
	blk_close(b);
}

static void test_too_many_requests_at_once_must_wait(void **state)
{
	struct blk *b = raw(raw_file(1 << 20), (struct blk_options){ .async = true });
	struct testing_io io[BLK_INFLIGHT_MAX + 1];
	static uint8_t buf[512];
	struct pollfd p = { .fd = blk_event_fd(b), .events = POLLIN };

	(void)state;
	if (p.fd < 0)
		skip();
	for (unsigned i = 0; i <= BLK_INFLIGHT_MAX; i++) {
		io[i] = (struct testing_io){ .iov = { { buf, 512 } } };
		io[i].r = (struct blk_request){ .op = BLK_READ,
						.offset = i * 512,
						.len = 512,
						.iov = io[i].iov,
						.n_iov = 1,
						.done = testing_io_done,
						.arg = &io[i] };
		assert_int_equal(blk_submit(b, &io[i].r), i < BLK_INFLIGHT_MAX ? 0 : -EAGAIN);
	}
	blk_kick(b);
	assert_int_equal(poll(&p, 1, 5000), 1); /* the event descriptor tells of completions */
	assert_int_equal(blk_reap(b, true), BLK_INFLIGHT_MAX);
	assert_int_equal(blk_submit(b, &io[BLK_INFLIGHT_MAX].r), 0);
	assert_int_equal(blk_reap(b, true), 1);
	blk_close(b);
}

static void test_a_bad_request_is_answered_not_started(void **state)
{
	struct blk *b = raw(raw_file(4096), (struct blk_options){ .async = true });
	struct testing_io io = { .iov = { { &io, 512 } } };

	(void)state;
	io.r = (struct blk_request){ .op = BLK_WRITE,
				     .offset = 4096,
				     .len = 512,
				     .iov = io.iov,
				     .n_iov = 1,
				     .done = testing_io_done,
				     .arg = &io };
	assert_int_equal(blk_submit(b, &io.r), 0);
	assert_int_equal(io.n_done, 1);
	assert_int_equal(io.result, -EIO);
	io.r.offset = 0;
	io.r.len = 1024; /* not what the segments sum up to */
	assert_int_equal(blk_submit(b, &io.r), 0);
	assert_int_equal(io.n_done, 2);
	assert_int_equal(io.result, -EINVAL);
	blk_close(b);
}

static void test_discard_gives_space_back_and_map_shows_holes(void **state)
{
	struct blk *b = raw(raw_file(1 << 20), (struct blk_options){ 0 });
	static uint8_t buf[1 << 20];
	struct blk_info info;
	uint64_t len;
	bool data;

	(void)state;
	memset(buf, 1, sizeof(buf));
	assert_int_equal(blk_pwrite(b, buf, 65536, 131072), 0);
	assert_int_equal(blk_map(b, 0, &len, &data), 0);
	assert_false(data);
	assert_int_equal(len, 131072);
	assert_int_equal(blk_map(b, 131072, &len, &data), 0);
	assert_true(data);
	assert_int_equal(len, 65536);
	assert_int_equal(blk_discard(b, 131072, 65536), 0);
	assert_int_equal(blk_map(b, 0, &len, &data), 0);
	assert_false(data);
	assert_int_equal(len, 1 << 20);
	blk_info(b, &info);
	assert_string_equal(info.format, "raw");
	assert_int_equal(info.allocated, 0);
	blk_close(b);
}

static void test_every_failing_call_is_reported(void **state)
{
	(void)state;
	for (int n = 0;; n++) {
		int fd = raw_file(1 << 20), r = 0;
		struct err e = { 0 };
		struct blk *b = NULL;
		char buf[600] = "x";

		testing_failed = false;
		testing_fail_after = n;
		sys_call = testing_failing;
		r = blk_open(&b, fd, &(struct blk_options){ .format = "raw" }, &e);
		if (r == 0) {
			r = blk_pwrite(b, buf, 600, 100);
			r = r < 0 ? r : blk_pread(b, buf, 600, 100);
			r = r < 0 ? r : blk_flush(b);
			r = r < 0 ? r : blk_discard(b, 0, 4096);
			r = r < 0 ? r : blk_zeroes(b, 0, 4096, false);
			r = r < 0 ? r : blk_resize(b, 2 << 20, &e);
			blk_close(b);
		}
		sys_call = sys_call_real;
		if (!testing_failed) {
			assert_int_equal(r, 0);
			assert_true(n > 5);
			return;
		}
		assert_int_equal(r, -EIO);
	}
}

static void test_unaligned_requests_pass_by_direct_io(void **state)
{
	char path[] = "/var/tmp/hull-test-blk.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	struct testing_model m = { calloc(1, 1 << 20), 1 << 20 };
	struct err e = { 0 };
	struct blk *b;

	(void)state;
	unlink(path);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	if (blk_open(&b, fd, &(struct blk_options){ .format = "raw", .direct = true, .async = true }, &e) <
	    0) {
		free(m.bytes);
		skip(); /* the file system has no O_DIRECT */
	}
	for (int i = 0; i < 100; i++)
		testing_step(&m, b);
	for (int i = 0; i < 5; i++)
		testing_batch(&m, b);
	testing_check(&m, b);
	blk_close(b);
	free(m.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_unknown_format_is_refused_and_the_file_closed),
		cmocka_unit_test(test_what_is_no_file_is_refused),
		cmocka_unit_test(test_a_request_beyond_the_end_is_refused),
		cmocka_unit_test(test_a_read_only_disk_takes_no_write),
		cmocka_unit_test(test_half_a_sector_at_the_end_is_not_shown),
		cmocka_unit_test(test_raw_holds_what_was_written_blocking),
		cmocka_unit_test(test_raw_holds_what_was_written_through_a_ring),
		cmocka_unit_test_teardown(test_without_io_uring_requests_complete_at_once, teardown),
		cmocka_unit_test(test_a_file_in_memory_needs_no_ring),
		cmocka_unit_test_teardown(test_a_file_in_memory_holds_what_was_written, teardown),
		cmocka_unit_test_teardown(test_what_a_file_in_memory_has_is_copied_without_a_call, teardown),
		cmocka_unit_test_teardown(test_reading_holes_of_a_file_in_memory_fills_none, teardown),
		cmocka_unit_test_teardown(test_a_file_in_memory_may_be_cut_short_by_others, teardown),
		cmocka_unit_test_teardown(test_a_read_only_file_in_memory_is_read, teardown),
		cmocka_unit_test(test_too_many_requests_at_once_must_wait),
		cmocka_unit_test(test_a_bad_request_is_answered_not_started),
		cmocka_unit_test(test_discard_gives_space_back_and_map_shows_holes),
		cmocka_unit_test_teardown(test_every_failing_call_is_reported, teardown),
		cmocka_unit_test(test_unaligned_requests_pass_by_direct_io),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
