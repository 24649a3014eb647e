/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_test.c - a machine goes on from its snapshot where it was; damaged and forged files are refused */
#include "fmt/digest.h"
#include <sys/stat.h>

#include "vm/machine_testing.h"
#include "vm/snapshot_internal.h"

enum { HEAD_LEN_AT = 16, HEAD_DIGEST_AT = 24, HEAD_BYTES = 96 };

struct files {
	int state, mem;
};

static struct files files_new(void)
{
	struct files f = { memfd_create("state", MFD_CLOEXEC), memfd_create("mem", MFD_CLOEXEC) };

	assert_true(f.state >= 0 && f.mem >= 0);
	return f;
}

static void files_close(struct files *f)
{
	close(f->state);
	close(f->mem);
}

static int reopened(int fd)
{
	int copy = dup(fd);

	assert_true(copy >= 0);
	assert_int_equal(lseek(copy, 0, SEEK_SET), 0);
	return copy;
}

/* restore() - into @w, which has no machine. */
static int restore(struct world *w, const struct files *f, struct machine_restore *r)
{
	const struct machine_events ev = { .ended = on_ended, .boot_timer = on_boot, .arg = w };

	r->state.fd = reopened(f->state);
	r->mem.fd = r->uffd_sock >= 0 ? -1 : reopened(f->mem);
	r->serial_in = -1;
	r->serial_out = w->out[1];
	w->m = NULL;
	w->e = (struct err){ 0 };
	return machine_restore(&w->m, r, &w->loop, &ev, &w->e);
}

static int restore_plain(struct world *w, const struct files *f)
{
	struct machine_restore r = { .uffd_sock = -1 };

	return restore(w, f, &r);
}

/* counted() - a machine that has counted a while, paused and saved; it is freed. Return: where its counter stood. */
static uint32_t counted(struct world *w, struct files *f, unsigned cpus)
{
	uint32_t at;

	world_open(w, counting, sizeof(counting));
	w->c.cpus = cpus;
	world_make(w);
	assert_return_code(machine_start(w->m, &w->e), 0);
	for (int k = 0; k < 1000 && counter(w) < 100; k++)
		run(w, 1);
	*f = files_new();
	assert_int_equal(machine_save(w->m, MACHINE_SNAPSHOT_FULL, f->state, f->mem, &w->e), -EBUSY);
	assert_return_code(machine_pause(w->m, &w->e), 0);
	at = counter(w);
	assert_true(at >= 100);
	if (machine_save(w->m, MACHINE_SNAPSHOT_FULL, f->state, f->mem, &w->e) < 0)
		fail_msg("%s", w->e.text);
	machine_free(w->m);
	w->m = NULL;
	return at;
}

static void test_a_restored_machine_counts_on_from_where_it_was(void **state)
{
	struct files f;
	struct world w;
	uint32_t at;

	(void)state;
	for (unsigned cpus = 1; cpus <= 2; cpus++) {
		at = counted(&w, &f, cpus);
		if (restore_plain(&w, &f) < 0)
			fail_msg("%s", w.e.text);
		assert_int_equal(machine_state(w.m), MACHINE_PAUSED);
		assert_int_equal(counter(&w), at);
		run(&w, 2);
		assert_int_equal(counter(&w), at);
		assert_return_code(machine_resume(w.m, &w.e), 0);
		for (int k = 0; k < 1000 && counter(&w) == at; k++)
			run(&w, 1);
		assert_true(counter(&w) > at && counter(&w) < at + 100000000);
		assert_int_equal(machine_config_of(w.m)->cpus, cpus);
		world_close(&w);
		files_close(&f);
	}
}

static void test_clones_share_a_snapshot_and_go_their_own_ways(void **state)
{
	struct machine_restore r = { .uffd_sock = -1, .fresh_identity = true };
	uint8_t guid[2][MACHINE_GUID_BYTES];
	struct machine *clone[2];
	struct files f;
	struct world w;
	uint32_t at;

	(void)state;
	at = counted(&w, &f, 1);
	for (int i = 0; i < 2; i++) {
		if (restore(&w, &f, &r) < 0)
			fail_msg("%s", w.e.text);
		clone[i] = w.m;
		memcpy(guid[i], w.m->guid, sizeof(guid[i]));
	}
	assert_memory_not_equal(guid[0], guid[1], sizeof(guid[0]));
	assert_return_code(machine_resume(clone[0], &w.e), 0);
	w.m = clone[0];
	for (int k = 0; k < 1000 && counter(&w) == at; k++)
		run(&w, 1);
	assert_true(counter(&w) != at);
	w.m = clone[1];
	assert_int_equal(counter(&w), at);
	machine_free(clone[0]);
	world_close(&w);
	files_close(&f);
}

static void test_the_memory_file_has_holes_where_memory_is_zero(void **state)
{
	struct files f;
	struct stat st;
	struct world w;

	(void)state;
	counted(&w, &f, 1);
	assert_int_equal(fstat(f.mem, &st), 0);
	assert_int_equal(st.st_size, 4 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20);
	world_close(&w);
	files_close(&f);
}

/* apply() - a difference's data over the file of the snapshot before. */
static void apply(int base, int diff)
{
	off_t at = 0, end = lseek(diff, 0, SEEK_END);
	char page[GMEM_PAGE];

	while ((at = lseek(diff, at, SEEK_DATA)) >= 0 && at < end) {
		assert_int_equal(pread(diff, page, sizeof(page), at), sizeof(page));
		assert_int_equal(pwrite(base, page, sizeof(page), at), sizeof(page));
		at += GMEM_PAGE;
	}
}

static void test_a_difference_over_the_snapshot_before_is_the_next_one(void **state)
{
	struct files full = files_new(), diff = files_new(), sum;
	struct stat st;
	struct world w;
	uint32_t at;

	(void)state;
	world_open(&w, counting, sizeof(counting));
	w.c.track_dirty = true;
	world_make(&w);
	assert_return_code(machine_start(w.m, &w.e), 0);
	run(&w, 20);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	assert_return_code(machine_save(w.m, MACHINE_SNAPSHOT_FULL, full.state, full.mem, &w.e), 0);
	assert_return_code(machine_resume(w.m, &w.e), 0);
	run(&w, 20);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	at = counter(&w);
	assert_return_code(machine_save(w.m, MACHINE_SNAPSHOT_DIFF, diff.state, diff.mem, &w.e), 0);
	assert_int_equal(fstat(diff.mem, &st), 0);
	assert_true(st.st_blocks > 0 && st.st_blocks * 512 <= 64 << 10); /* the counter's page and few more */
	machine_free(w.m);
	apply(full.mem, diff.mem);
	sum = (struct files){ diff.state, full.mem };
	if (restore_plain(&w, &sum) < 0)
		fail_msg("%s", w.e.text);
	assert_int_equal(counter(&w), at);
	world_close(&w);
	files_close(&full);
	files_close(&diff);
}

static void test_a_difference_needs_tracking(void **state)
{
	struct files f = files_new();
	struct world w;

	(void)state;
	world_open(&w, counting, sizeof(counting));
	world_make(&w);
	assert_return_code(machine_start(w.m, &w.e), 0);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	assert_int_equal(machine_save(w.m, MACHINE_SNAPSHOT_DIFF, f.state, f.mem, &w.e), -EINVAL);
	assert_string_equal(w.e.text, "a difference needs a machine whose dirty pages are tracked");
	world_close(&w);
	files_close(&f);
}

static void slurp(int fd, struct buf *b)
{
	char part[4096];
	ssize_t n;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	while ((n = read(fd, part, sizeof(part))) > 0)
		buf_put(b, part, (size_t)n);
	assert_int_equal(buf_finish(b), 0);
}

static void put_state(struct files *f, const char *bytes, size_t len)
{
	assert_int_equal(ftruncate(f->state, 0), 0);
	assert_int_equal(pwrite(f->state, bytes, len, 0), len);
}

static void refused(struct world *w, const struct files *f, const char *why)
{
	assert_true(restore_plain(w, f) < 0);
	assert_null(w->m);
	if (!strstr(w->e.text, why))
		fail_msg("want '%s', got '%s'", why, w->e.text);
}

static void test_damaged_files_are_refused_with_one_line(void **state)
{
	auto_fini(buf) struct buf good = { 0 };
	struct files f;
	struct world w;

	(void)state;
	counted(&w, &f, 1);
	slurp(f.state, &good);
	put_state(&f, "", 0);
	refused(&w, &f, "not even its header");
	put_state(&f, good.data, good.len - 1);
	refused(&w, &f, "cut off");
	good.data[0] ^= 1;
	put_state(&f, good.data, good.len);
	refused(&w, &f, "not a snapshot");
	good.data[0] ^= 1;
	good.data[8] = 9;
	put_state(&f, good.data, good.len);
	refused(&w, &f, "format 9");
	good.data[8] = 1;
	for (size_t at = HEAD_BYTES; at < good.len; at += good.len / 17) {
		good.data[at] ^= 0x10;
		put_state(&f, good.data, good.len);
		refused(&w, &f, "digest");
		good.data[at] ^= 0x10;
	}
	put_state(&f, good.data, good.len);
	assert_int_equal(ftruncate(f.mem, (4 << 20) - 4096), 0);
	refused(&w, &f, "its file has");
	world_close(&w);
	files_close(&f);
}

/* A forger has a right digest. Nothing he writes may crash us; most of it is refused, some merely makes another machine. */
static void test_forged_fields_never_crash(void **state)
{
	auto_fini(buf) struct buf good = { 0 };
	unsigned n_refused = 0, n_tried = 0;
	struct files f;
	struct world w;

	(void)state;
	counted(&w, &f, 1);
	slurp(f.state, &good);
	/* the configuration byte by byte would take minutes of making machines; the fuzz target does that without them */
	for (size_t at = HEAD_BYTES; at < good.len; at += at - HEAD_BYTES < 800 ? 7 : good.len / 67) {
		static const uint8_t with[] = { 0xff, 0x00 };

		for (size_t k = 0; k < sizeof(with); k++) {
			char was = good.data[at];

			if ((uint8_t)was == with[k])
				continue;
			good.data[at] = (char)with[k];
			digest_of(good.data + HEAD_BYTES, good.len - HEAD_BYTES, good.data + HEAD_DIGEST_AT);
			put_state(&f, good.data, good.len);
			n_tried++;
			if (restore_plain(&w, &f) < 0)
				n_refused++;
			machine_free(w.m);
			w.m = NULL;
			good.data[at] = was;
		}
	}
	print_message("%u of %u refused\n", n_refused, n_tried);
	assert_true(n_tried > 100 && n_refused > 20);
	world_close(&w);
	files_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_restored_machine_counts_on_from_where_it_was),
		cmocka_unit_test(test_clones_share_a_snapshot_and_go_their_own_ways),
		cmocka_unit_test(test_the_memory_file_has_holes_where_memory_is_zero),
		cmocka_unit_test(test_a_difference_over_the_snapshot_before_is_the_next_one),
		cmocka_unit_test(test_a_difference_needs_tracking),
		cmocka_unit_test(test_damaged_files_are_refused_with_one_line),
		cmocka_unit_test(test_forged_fields_never_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
