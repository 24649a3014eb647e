/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vfs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fmt/fuse.h"
#include "sys/file.h"
#include "virtio/driver_testing.h"

enum { HIPRIO, REQ };

struct world {
	struct driver t;
	char dir[40];
	int dirfd;
	uint64_t unique;
};

static struct vdev *device(struct world *w, struct driver *t)
{
	struct vfs_config c = { .tag = "share", .share = { .root_fd = w->dirfd } };
	struct vdev *d = NULL;
	struct err e = { 0 };

	if (vfs_new(&d, &c, &t->mem, NULL, &e) < 0)
		fprintf(stderr, "%s\n", e.text);
	BUG_ON(!d);
	BUG_ON(vfs_start(d, NULL, NULL, &e) < 0);
	return d;
}

static void begin_dir(struct world *w)
{
	memset(w, 0, sizeof(*w));
	strcpy(w->dir, "/tmp/hull-vfs-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->dirfd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void end_dir(struct world *w)
{
	close(w->dirfd);
	file_remove_tree(AT_FDCWD, w->dir, NULL);
}

/* used() - wait for the worker; it needs no loop of ours */
static int used(struct driver *t, unsigned q, uint32_t *ret_len)
{
	for (int i = 0; i < 50000; i++) {
		if (driver_has_used(t, q))
			return driver_used(t, q, ret_len);
		if (i > 1000)
			usleep(100);
	}
	return -EAGAIN;
}

/*
 * call() - one request; arguments, then payload in pieces; the reply behind its header into @out
 * Return: bytes of reply, or the error in it
 */
static long call(struct world *w, uint32_t op, uint64_t node, const void *args, uint32_t n_args,
		 const void *data, uint32_t n_data, void *out, uint32_t n_out)
{
	struct fuse_in_header h = { .len = sizeof(h) + n_args + n_data, .opcode = op, .nodeid = node };
	struct fuse_out_header *o;
	gpa_t brk = w->t.brk, reply;
	struct driver_buf b[8];
	unsigned n = 0;
	uint32_t len = 0;

	h.unique = ++w->unique;
	b[n++] = (struct driver_buf){ driver_put(&w->t, &h, sizeof(h)), sizeof(h), false };
	if (n_args)
		b[n++] = (struct driver_buf){ driver_put(&w->t, args, n_args), n_args, false };
	if (n_data) { /* two pieces, the second at an odd place */
		gpa_t at = driver_put(&w->t, data, n_data);
		uint32_t first = n_data > 1000 ? 1000 : n_data;

		b[n++] = (struct driver_buf){ at, first, false };
		if (n_data > first)
			b[n++] = (struct driver_buf){ at + first, n_data - first, false };
	}
	reply = driver_alloc(&w->t, sizeof(*o) + n_out, 8);
	b[n++] = (struct driver_buf){ reply, sizeof(*o), true };
	if (n_out)
		b[n++] = (struct driver_buf){ reply + sizeof(*o), n_out, true };
	assert_true(driver_add(&w->t, REQ, b, n) >= 0);
	driver_kick(&w->t, REQ);
	assert_true(used(&w->t, REQ, &len) >= 0);
	o = driver_ptr(&w->t, reply, sizeof(*o) + n_out);
	assert_true(len >= sizeof(*o) && len == o->len && len <= sizeof(*o) + n_out);
	assert_int_equal(o->unique, h.unique);
	if (o->error == 0 && len > sizeof(*o))
		memcpy(out, o + 1, len - sizeof(*o));
	w->t.brk = brk;
	return o->error ? o->error : (long)(len - sizeof(*o));
}

static void start(struct world *w, uint64_t features)
{
	struct fuse_init_in in = { .major = 7, .minor = 31, .flags = 0x7fffffff };
	struct fuse_init_out out = { 0 };

	driver_init(&w->t, 16 << 20);
	driver_start(&w->t, device(w, &w->t), features);
	assert_int_equal(call(w, FUSE_INIT, 0, &in, sizeof(in), NULL, 0, &out, sizeof(out)), sizeof(out));
	assert_int_equal(out.major, 7);
}

/* make_file() - through the device. Return: its handle. */
static uint64_t make_file(struct world *w, const char *name)
{
	struct {
		struct fuse_create_in in;
		char name[32];
	} args = { .in = { .flags = O_RDWR, .mode = S_IFREG | 0644 } };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = { 0 };

	strcpy(args.name, name);
	assert_int_equal(call(w, FUSE_CREATE, 1, &args, (uint32_t)(sizeof(args.in) + strlen(name) + 1), NULL,
			      0, &out, sizeof(out)),
			 sizeof(out));
	return out.open.fh;
}

static void test_configuration_space_has_the_tag_and_one_queue(void **state)
{
	struct world w;
	char tag[36];
	uint32_t n;

	(void)state;
	begin_dir(&w);
	start(&w, 0);
	vdev_config_read(w.t.d, 0, tag, sizeof(tag));
	assert_string_equal(tag, "share");
	vdev_config_read(w.t.d, 36, &n, 4);
	assert_int_equal(le32toh(n), 1);
	driver_fini(&w.t);
	end_dir(&w);
}

static void test_a_tag_must_be_one(void **state)
{
	static const char *const tags[] = { "", "a-tag-that-is-longer-than-36-characters" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct vfs_config c = { .tag = tags[i], .share.root_fd = AT_FDCWD };
		struct vdev *d = NULL;
		struct err e = { 0 };

		assert_int_equal(vfs_new(&d, &c, NULL, NULL, &e), -EINVAL);
		assert_null(d);
	}
}

static void test_bytes_reach_the_file_and_come_back_on_every_layout(void **state)
{
	static uint8_t block[SHARE_IO_MAX], got[SHARE_IO_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 77 >> 5);
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct world w;
		struct fuse_write_out out;
		struct stat st;
		uint64_t fh;

		begin_dir(&w);
		start(&w, driver_layouts[l].features);
		fh = make_file(&w, "file");
		assert_int_equal(call(&w, FUSE_WRITE, 1,
				      &(struct fuse_write_in){ .fh = fh, .size = sizeof(block), .offset = 3 },
				      sizeof(struct fuse_write_in), block, sizeof(block), &out, sizeof(out)),
				 sizeof(out));
		assert_int_equal(out.size, sizeof(block));
		assert_int_equal(fstatat(w.dirfd, "file", &st, 0), 0);
		assert_int_equal(st.st_size, sizeof(block) + 3);
		assert_int_equal(call(&w, FUSE_READ, 1,
				      &(struct fuse_read_in){ .fh = fh, .size = sizeof(got), .offset = 3 },
				      sizeof(struct fuse_read_in), NULL, 0, got, sizeof(got)),
				 sizeof(got));
		assert_memory_equal(got, block, sizeof(got));
		/* a file that ends: the reply is as long as what was read */
		assert_int_equal(
			call(&w, FUSE_READ, 1,
			     &(struct fuse_read_in){ .fh = fh, .size = 4096, .offset = sizeof(block) },
			     sizeof(struct fuse_read_in), NULL, 0, got, 4096),
			3);
		driver_fini(&w.t);
		end_dir(&w);
	}
}

static void test_lies_about_lengths_are_refused(void **state)
{
	static const struct {
		const char *what;
		uint32_t len, op, room;
		int32_t want; /* INT32_MAX: nothing is written */
	} cases[] = {
		{ "a length below the header's", 39, FUSE_GETATTR, 200, -EINVAL },
		{ "a length beyond the chain", 1000, FUSE_GETATTR, 200, -EINVAL },
		{ "2^32 - 1", UINT32_MAX, FUSE_GETATTR, 200, -EINVAL },
		{ "no arguments", 40, FUSE_GETATTR, 200, -EINVAL },
		{ "a write without arguments", 40, FUSE_WRITE, 200, -EINVAL },
		{ "no room for the reply", 56, FUSE_GETATTR, 16, -EINVAL },
		{ "no room for its header", 56, FUSE_GETATTR, 15, INT32_MAX },
		{ "an unknown operation", 56, 12345, 200, -ENOSYS },
		{ "an operation without reply", 56, FUSE_FORGET, 200, INT32_MAX },
	};
	struct world w;

	(void)state;
	begin_dir(&w);
	start(&w, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fuse_in_header h = {
			.len = cases[i].len, .opcode = cases[i].op, .nodeid = 1, .unique = 9
		};
		gpa_t at = driver_alloc(&w.t, 56, 8), reply = driver_alloc(&w.t, 256, 8);
		struct driver_buf b[2] = { { at, 56, false }, { reply, cases[i].room, true } };
		struct fuse_out_header *o = driver_ptr(&w.t, reply, sizeof(*o));
		uint32_t len = 99;

		memcpy(driver_ptr(&w.t, at, sizeof(h)), &h, sizeof(h));
		assert_true(driver_add(&w.t, REQ, b, 2) >= 0);
		driver_kick(&w.t, REQ);
		assert_true(used(&w.t, REQ, &len) >= 0);
		if (cases[i].want == INT32_MAX ? len != 0 : o->error != cases[i].want)
			print_error("%s: want %d, got %d, length %u\n", cases[i].what, cases[i].want,
				    o->error, len);
		assert_true(cases[i].want == INT32_MAX ? len == 0 : o->error == cases[i].want && len == 16);
	}
	driver_fini(&w.t);
	end_dir(&w);
}

static void test_forgets_come_by_the_other_queue(void **state)
{
	struct world w;
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;
	struct {
		struct fuse_in_header h;
		struct fuse_forget_in in;
	} forget = { .h = { .len = sizeof(forget), .opcode = FUSE_FORGET }, .in = { 1 } };
	uint64_t node;

	(void)state;
	begin_dir(&w);
	start(&w, 0);
	assert_int_equal(mkdirat(w.dirfd, "d", 0755), 0);
	assert_int_equal(call(&w, FUSE_LOOKUP, 1, "d", 2, NULL, 0, &entry, sizeof(entry)), sizeof(entry));
	forget.h.nodeid = node = entry.nodeid;
	{
		struct driver_buf b = { driver_put(&w.t, &forget, sizeof(forget)), sizeof(forget), false };

		assert_true(driver_add(&w.t, HIPRIO, &b, 1) >= 0);
		driver_kick(&w.t, HIPRIO);
		assert_true(used(&w.t, HIPRIO, NULL) >= 0);
	}
	assert_int_equal(call(&w, FUSE_GETATTR, node, &(struct fuse_getattr_in){ 0 }, 16, NULL, 0, &attr,
			      sizeof(attr)),
			 -ESTALE);
	driver_fini(&w.t);
	end_dir(&w);
}

static void test_a_reset_closes_what_was_open_and_the_next_driver_starts_anew(void **state)
{
	struct world w;
	struct fuse_init_in in = { .major = 7, .minor = 31 };
	struct fuse_init_out out = { 0 };
	struct fuse_attr_out attr;
	uint64_t fh;

	(void)state;
	begin_dir(&w);
	start(&w, 0);
	fh = make_file(&w, "file");
	assert_false(driver_restart(&w.t, VDEV_F_PACKED, 0) & VDEV_S_NEEDS_RESET);
	assert_int_equal(
		call(&w, FUSE_GETATTR, 1, &(struct fuse_getattr_in){ 0 }, 16, NULL, 0, &attr, sizeof(attr)),
		-EIO);
	assert_int_equal(call(&w, FUSE_INIT, 0, &in, 16, NULL, 0, &out, sizeof(out)), sizeof(out));
	assert_int_equal(call(&w, FUSE_READ, 1, &(struct fuse_read_in){ .fh = fh, .size = 1 },
			      sizeof(struct fuse_read_in), NULL, 0, &attr, 1),
			 -EBADF);
	driver_fini(&w.t);
	end_dir(&w);
}

static int truncate_file(struct world *w, const char *name, off_t size)
{
	int fd = openat(w->dirfd, name, O_RDWR | O_CLOEXEC);
	int r = ftruncate(fd, size);

	close(fd);
	return r;
}

/* post_reads() - @n reads under way. */
static void post_reads(struct world *w, uint64_t fh, unsigned n)
{
	struct {
		struct fuse_in_header h;
		struct fuse_read_in in;
	} read = { .h = { .len = sizeof(read), .opcode = FUSE_READ, .nodeid = 1 },
		   .in = { .fh = fh, .size = 4096 } };
	gpa_t at = driver_put(&w->t, &read, sizeof(read)), to = driver_alloc(&w->t, 4096 + 16, 8);

	for (unsigned i = 0; i < n; i++) {
		struct driver_buf b[2] = { { at, sizeof(read), false }, { to, 4096 + 16, true } };

		assert_true(driver_add(&w->t, REQ, b, 2) >= 0);
	}
}

static void test_pause_and_reset_come_between_requests_and_lose_none(void **state)
{
	struct world w;

	(void)state;
	begin_dir(&w);
	start(&w, VDEV_F_EVENT_IDX);
	for (int round = 0; round < 30; round++) {
		uint64_t fh = make_file(&w, "file");
		gpa_t brk = w.t.brk;
		unsigned done = 0, quiet;

		assert_int_equal(truncate_file(&w, "file", 8192), 0);
		post_reads(&w, fh, 100);
		driver_kick(&w.t, REQ);
		usleep((useconds_t)round * 20);
		vdev_pause(w.t.d);
		while (driver_has_used(&w.t, REQ) && driver_used(&w.t, REQ, NULL) >= 0)
			done++;
		usleep(1000);
		quiet = driver_has_used(&w.t, REQ);
		assert_int_equal(quiet, 0); /* nothing moves while it is paused */
		vdev_resume(w.t.d);
		for (; done < 100; done++)
			assert_true(used(&w.t, REQ, NULL) >= 0);
		w.t.brk = brk;
	}
	post_reads(&w, 0, 100);
	driver_kick(&w.t, REQ);
	assert_false(driver_restart(&w.t, 0, 0) & VDEV_S_NEEDS_RESET);
	driver_fini(&w.t);
	end_dir(&w);
}

/* told() - how often the guest was interrupted since @before, once that is @want times or after a while */
static unsigned told(struct world *w, unsigned before, unsigned want)
{
	unsigned n = 0;

	for (int i = 0; i < 2000 && n < want; i++) {
		usleep(1000);
		n = __atomic_load_n(&w->t.n_interrupts[REQ], __ATOMIC_RELAXED) - before;
	}
	usleep(5000);
	return __atomic_load_n(&w->t.n_interrupts[REQ], __ATOMIC_RELAXED) - before;
}

static void test_many_answers_interrupt_once_for_some_and_the_first_at_once(void **state)
{
	struct world w;
	unsigned before;
	uint64_t fh;

	(void)state;
	begin_dir(&w);
	start(&w, 0);
	fh = make_file(&w, "file");
	assert_int_equal(told(&w, 0, 2), 2); /* for each that was asked alone */
	before = told(&w, 0, 0);
	post_reads(&w, fh, 100);
	driver_kick(&w.t, REQ);
	for (int i = 0; i < 100; i++)
		assert_true(used(&w.t, REQ, NULL) >= 0);
	assert_int_equal(told(&w, before, 10), 10); /* 1, 2, 4, 8, five times 16, and 5 */
	driver_fini(&w.t);
	end_dir(&w);
}

static void test_a_snapshot_goes_on_with_names_found_anew(void **state)
{
	struct world w;
	struct fuse_entry_out entry;
	struct fuse_attr_out attr;
	struct err e = { 0 };
	uint64_t node, fh;

	(void)state;
	begin_dir(&w);
	start(&w, 0);
	fh = make_file(&w, "file");
	assert_int_equal(call(&w, FUSE_LOOKUP, 1, "file", 5, NULL, 0, &entry, sizeof(entry)), sizeof(entry));
	node = entry.nodeid;
	assert_int_equal(driver_move(&w.t, device(&w, &w.t), &e), 0);
	assert_int_equal(call(&w, FUSE_GETATTR, node, &(struct fuse_getattr_in){ 0 }, 16, NULL, 0, &attr,
			      sizeof(attr)),
			 -ESTALE);
	assert_int_equal(call(&w, FUSE_READ, 1, &(struct fuse_read_in){ .fh = fh, .size = 1 },
			      sizeof(struct fuse_read_in), NULL, 0, &attr, 1),
			 -EBADF);
	assert_int_equal(call(&w, FUSE_LOOKUP, 1, "file", 5, NULL, 0, &entry, sizeof(entry)), sizeof(entry));
	assert_int_not_equal(entry.nodeid, node); /* a number the guest remembers is not given out again */
	assert_true(make_file(&w, "file") != fh);
	driver_fini(&w.t);
	end_dir(&w);
}

static void test_broken_rings_need_a_reset_and_work_after_it(void **state)
{
	struct world w;
	unsigned tried = 0;

	(void)state;
	begin_dir(&w);
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (int kind = 0; kind < HOSTILE_COUNT; kind++) {
			bool is_bad;

			start(&w, driver_layouts[l].features);
			driver_restart(&w.t, driver_layouts[l].features, 0);
			vdev_pause(
				w.t.d); /* its thread looks at rings unasked, and this one is written in no order */
			is_bad = driver_hostile(&w.t, REQ, kind);
			vdev_resume(w.t.d);
			if (is_bad) {
				tried++;
				driver_kick(&w.t, REQ);
				for (int i = 0; i < 2000 && !(vdev_get_status(w.t.d) & VDEV_S_NEEDS_RESET);
				     i++)
					usleep(1000);
				assert_true(vdev_get_status(w.t.d) & VDEV_S_NEEDS_RESET);
				assert_false(driver_restart(&w.t, driver_layouts[l].features, 0) &
					     VDEV_S_NEEDS_RESET);
			}
			driver_fini(&w.t);
		}
	assert_true(tried > 40);
	end_dir(&w);
}

static int refuse(void *arg)
{
	(void)arg;
	return -EACCES;
}

static void test_a_worker_that_cannot_be_jailed_is_no_worker(void **state)
{
	struct world w;
	struct vfs_config c = { .tag = "t" };
	struct vdev *d = NULL;
	struct err e = { 0 };

	(void)state;
	begin_dir(&w);
	c.share.root_fd = w.dirfd;
	assert_int_equal(vfs_new(&d, &c, NULL, NULL, &e), 0);
	assert_int_equal(vfs_start(d, refuse, NULL, &e), -EACCES);
	assert_string_equal(e.text, "share 't': thread: Permission denied");
	vdev_free(d);
	end_dir(&w);
}

static void test_reading_is_fast_enough_to_see_no_copy_too_many(void **state)
{
	static uint8_t block[SHARE_IO_MAX];
	enum { ROUNDS = 256 };
	struct world w;
	struct fuse_write_out out;
	uint64_t fh;
	nsec_t begun;

	(void)state;
	begin_dir(&w);
	start(&w, VDEV_F_PACKED | VDEV_F_INDIRECT);
	fh = make_file(&w, "file");
	assert_int_equal(call(&w, FUSE_WRITE, 1, &(struct fuse_write_in){ .fh = fh, .size = sizeof(block) },
			      sizeof(struct fuse_write_in), block, sizeof(block), &out, sizeof(out)),
			 sizeof(out));
	begun = time_now_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(call(&w, FUSE_READ, 1,
				      &(struct fuse_read_in){ .fh = fh, .size = sizeof(block) },
				      sizeof(struct fuse_read_in), NULL, 0, block, sizeof(block)),
				 sizeof(block));
	print_message("read: %.0f MB/s (and a copy by the driver)\n",
		      ROUNDS * (double)sizeof(block) / 1e6 /
			      ((double)(time_now_ns(CLOCK_MONOTONIC) - begun) / 1e9));
	driver_fini(&w.t);
	end_dir(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration_space_has_the_tag_and_one_queue),
		cmocka_unit_test(test_a_tag_must_be_one),
		cmocka_unit_test(test_bytes_reach_the_file_and_come_back_on_every_layout),
		cmocka_unit_test(test_lies_about_lengths_are_refused),
		cmocka_unit_test(test_forgets_come_by_the_other_queue),
		cmocka_unit_test(test_a_reset_closes_what_was_open_and_the_next_driver_starts_anew),
		cmocka_unit_test(test_pause_and_reset_come_between_requests_and_lose_none),
		cmocka_unit_test(test_many_answers_interrupt_once_for_some_and_the_first_at_once),
		cmocka_unit_test(test_a_snapshot_goes_on_with_names_found_anew),
		cmocka_unit_test(test_broken_rings_need_a_reset_and_work_after_it),
		cmocka_unit_test(test_a_worker_that_cannot_be_jailed_is_no_worker),
		cmocka_unit_test(test_reading_is_fast_enough_to_see_no_copy_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
