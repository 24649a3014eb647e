/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_test.c - a machine goes on from its snapshot where it was; damaged and forged files are refused */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/str.h"
#include "fmt/digest.h"
#include "sys/sock.h"

#include "vm/machine_testing.h"
#include "vm/snapshot_internal.h"
#include "vm/workingset.h"

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
	if (!r->engine)
		r->engine = getenv("HULL_ENGINE");
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
static uint32_t counted_on(const char *engine, struct world *w, struct files *f, unsigned cpus)
{
	uint32_t at;

	world_open(w, counting, sizeof(counting));
	if (engine)
		w->c.engine = engine;
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

static uint32_t counted(struct world *w, struct files *f, unsigned cpus)
{
	return counted_on(NULL, w, f, cpus);
}

/* moves() - from an engine to another, which may be the same */
static void moves(const char *from, const char *to)
{
	struct machine_restore r = { .uffd_sock = -1, .engine = to };
	struct files f;
	struct world w;
	struct stat st;
	uint32_t at = counted_on(from, &w, &f, 1);

	if (restore(&w, &f, &r) < 0) {
		if (str_eq(from, to) || !strstr(w.e.text, "lacks what the saved one has"))
			fail_msg("from %s to %s: %s", from, to, w.e.text);
		print_message("from %s to %s: %s\n", from, to,
			      w.e.text); /* engines show the host's processor differently */
		world_close(&w);
		files_close(&f);
		return;
	}
	assert_int_equal(counter(&w), at);
	assert_return_code(machine_resume(w.m, &w.e), 0);
	for (int k = 0; k < 1000 && counter(&w) == at; k++)
		run(&w, 1);
	if (counter(&w) <= at || counter(&w) > at + 100000000)
		fail_msg("from %s to %s: %u after %u", from, to, counter(&w), at);
	if (w.m->vm->ops->shared_memory) { /* its own copy, with the file's holes */
		assert_int_equal(fstat(w.m->mem.region[0].fd, &st), 0);
		assert_true(st.st_blocks * 512 < 1 << 20);
	}
	world_close(&w);
	files_close(&f);
}

static void test_a_snapshot_goes_on_on_each_engine_that_has_its_processor(void **state)
{
	unsigned n = 0;

	(void)state;
	for (const struct engine_ops *const *a = engine_table; *a; a++)
		for (const struct engine_ops *const *b = engine_table; *b; b++) {
			if ((*a)->probe(NULL) < 0 || (*b)->probe(NULL) < 0)
				continue;
			moves((*a)->name, (*b)->name);
			n++;
		}
	if (!n)
		skip();
}

static void test_where_nobody_says_a_snapshot_goes_on_where_it_was_saved(void **state)
{
	auto_free char *named = getenv("HULL_ENGINE") ? strdup(getenv("HULL_ENGINE")) : NULL;
	unsigned n = 0;

	(void)state;
	for (const struct engine_ops *const *t = engine_table; *t; t++) {
		struct files f;
		struct world w;

		if ((*t)->probe(NULL) < 0)
			continue;
		counted_on((*t)->name, &w, &f, 1);
		unsetenv("HULL_ENGINE");
		if (restore_plain(&w, &f) < 0)
			fail_msg("%s", w.e.text);
		assert_string_equal(w.m->vm->ops->name, (*t)->name);
		if (named)
			setenv("HULL_ENGINE", named, 1);
		world_close(&w);
		files_close(&f);
		n++;
	}
	if (!n)
		skip();
}

static void test_memory_that_is_cut_off_is_no_memory(void **state)
{
	struct files f;
	struct world w;

	(void)state;
	counted(&w, &f, 1);
	assert_int_equal(ftruncate(f.mem, 1 << 20), 0);
	assert_int_equal(restore_plain(&w, &f), -EINVAL);
	assert_non_null(strstr(w.e.text, "its file has"));
	world_close(&w);
	files_close(&f);
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

static void test_without_tracking_a_difference_is_to_the_boot_or_is_refused(void **state)
{
	struct files f = files_new(), g;
	struct world w;
	uint32_t at;

	(void)state;
	world_open(&w, counting, sizeof(counting));
	world_make(&w);
	assert_return_code(machine_start(w.m, &w.e), 0);
	run(&w, 5);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	at = counter(&w);
	assert_return_code(machine_save(w.m, MACHINE_SNAPSHOT_DIFF, f.state, f.mem, &w.e), 0);
	machine_free(w.m);
	if (restore_plain(&w, &f) < 0)
		fail_msg("%s", w.e.text);
	assert_int_equal(counter(&w), at);
	g = files_new();
	assert_int_equal(machine_save(w.m, MACHINE_SNAPSHOT_DIFF, g.state, g.mem, &w.e), -EINVAL);
	assert_string_equal(w.e.text, "a difference of a restored machine needs its dirty pages tracked");
	world_close(&w);
	files_close(&f);
	files_close(&g);
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

/* add_u32() - to a number in the file, which may lie anywhere */
static void add_u32(char *at, int32_t n)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	v += (uint32_t)n;
	memcpy(at, &v, sizeof(v));
}

/* Version 2 of the configuration did not say where the interrupt controller is: its last byte. */
static void test_a_configuration_of_the_version_before_is_read(void **state)
{
	enum { VERSION_AT = 8, LENGTH_AT = 12, PAYLOAD_AT = 16 }; /* in a record */
	auto_fini(buf) struct buf good = { 0 };
	char *config;
	struct files f;
	struct world w;
	uint32_t len;

	(void)state;
	counted(&w, &f, 1);
	slurp(f.state, &good);
	config = good.data ? memmem(good.data, good.len, "config\0\0\3", 9) : NULL;
	assert_non_null(config);
	if (!config)
		return;
	memcpy(&len, config + LENGTH_AT, sizeof(len));
	memmove(config + PAYLOAD_AT + len - 1, config + PAYLOAD_AT + len,
		good.len - (size_t)(config + PAYLOAD_AT + len - good.data));
	config[VERSION_AT] = 2;
	add_u32(config + LENGTH_AT, -1);
	add_u32(good.data + HEAD_BYTES + LENGTH_AT, -1); /* of the record around all */
	add_u32(good.data + HEAD_LEN_AT, -1);
	digest_of(good.data + HEAD_BYTES, good.len - 1 - HEAD_BYTES, good.data + HEAD_DIGEST_AT);
	put_state(&f, good.data, good.len - 1);
	if (restore_plain(&w, &f) < 0)
		fail_msg("%s", w.e.text);
	assert_false(machine_config_of(w.m)->split_irqchip);
	world_close(&w);
	files_close(&f);
}

static void test_a_snapshot_is_not_saved_over_the_memory_it_came_from(void **state)
{
	struct files f, again = files_new();
	struct stat before, after;
	struct world w;
	uint32_t at;

	(void)state;
	at = counted(&w, &f, 1);
	if (restore_plain(&w, &f) < 0)
		fail_msg("%s", w.e.text);
	assert_int_equal(fstat(f.mem, &before), 0);
	for (unsigned k = 0; k < 2; k++) {
		w.e = (struct err){ 0 };
		assert_int_equal(machine_save(w.m, MACHINE_SNAPSHOT_FULL, k ? f.mem : again.state,
					      k ? again.mem : f.mem, &w.e),
				 -EBUSY);
		assert_non_null(strstr(w.e.text, k ? "state file: the machine" : "memory file: the machine"));
	}
	assert_int_equal(machine_save(w.m, MACHINE_SNAPSHOT_FULL, again.mem, again.mem, &w.e), -EINVAL);
	assert_int_equal(fstat(again.state, &after), 0);
	assert_int_equal(after.st_size, 0); /* nothing was written anywhere */
	assert_int_equal(fstat(f.mem, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_int_equal(counter(&w), at);
	assert_return_code(machine_resume(w.m, &w.e), 0);
	for (int k = 0; k < 1000 && counter(&w) == at; k++)
		run(&w, 1);
	assert_true(counter(&w) > at);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	w.e = (struct err){ 0 };
	if (machine_save(w.m, MACHINE_SNAPSHOT_FULL, f.state, again.mem, &w.e) <
	    0) /* the state was read whole */
		fail_msg("%s", w.e.text);
	world_close(&w);
	files_close(&f);
	files_close(&again);
}

/* need_lazy_pages() - else the engine's own processes map the memory, and all of it is copied when it is restored. */
static void need_lazy_pages(void)
{
	const struct engine_ops *ops = engine_find(getenv("HULL_ENGINE"), NULL);

	if (ops && !ops->shared_memory)
		return;
	print_message("the engine wants all of the memory at once\n");
	skip();
}

static void test_the_first_restore_lists_what_it_touched_and_the_next_fetches_it(void **state)
{
	char dir[] = "/tmp/hull-ahead-XXXXXX", list[64];
	struct machine_restore r = { .uffd_sock = -1 };
	struct workingset set;
	struct files f;
	struct world w;
	uint64_t bytes = 0;
	int fd;

	(void)state;
	need_lazy_pages();
	assert_non_null(mkdtemp(dir));
	str_format(list, sizeof(list), "%s/ahead", dir);
	counted(&w, &f, 1);
	r.ahead_path = list;
	for (int round = 0; round < 2; round++) {
		if (restore(&w, &f, &r) < 0)
			fail_msg("%s", w.e.text);
		assert_return_code(machine_resume(w.m, &w.e), 0);
		run(&w, round == 0 ? 1100 : 20);
		machine_free(w.m);
		w.m = NULL;
		fd = open(list, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(workingset_read(&set, fd, 4 << 20), 0);
		assert_true(set.n > 0);
		for (uint32_t i = 0; i < set.n; i++)
			bytes += set.range[i].len;
		assert_true(bytes >= GMEM_PAGE &&
			    bytes < 2 << 20); /* the guest's few pages, and their neighbours */
		workingset_fini(&set);
		close(fd);
	}
	assert_int_equal(unlink(list), 0);
	assert_int_equal(rmdir(dir), 0);
	world_close(&w);
	files_close(&f);
}

/* jailed_fetch() - in a child: a jailed machine that goes on from @f and fetches what @list says. */
static void jailed_fetch(struct world *w, const struct files *f, const char *list, uint32_t at)
{
	struct machine_restore r = { .uffd_sock = -1, .ahead_path = list };

	r.jail = (struct machine_jail){ .on = true, .may_stay = true, .uid = 65534, .gid = 65534 };
	if (restore(w, f, &r) < 0 || machine_resume(w->m, &w->e) < 0)
		_exit(1);
	for (int k = 0; k < 1000 && counter(w) == at; k++)
		run(w, 1);
	machine__ahead_stop(w->m); /* its thread has come to its end */
	_exit(counter(w) > at ? 0 : 2);
}

static void test_what_is_no_list_is_left_alone_and_a_half_made_one_is_made_anew(void **state)
{
	static const struct {
		const char *is;
		off_t after;
	} file[] = { { "root:x:0:0:", 11 }, { "", 8 }, { "HULLWSET", 8 }, { "HULLWSET and more", 8 } };
	char dir[] = "/tmp/hull-ahead-XXXXXX", list[64];
	struct machine_restore r = { .uffd_sock = -1, .ahead_path = list };
	struct files f;
	struct world w;
	struct stat st;
	int fd;

	(void)state;
	need_lazy_pages();
	assert_non_null(mkdtemp(dir));
	str_format(list, sizeof(list), "%s/ahead", dir);
	counted(&w, &f, 1);
	for (size_t i = 0; i < sizeof(file) / sizeof(file[0]); i++) {
		fd = open(list, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_int_equal(write(fd, file[i].is, strlen(file[i].is)), strlen(file[i].is));
		close(fd);
		if (restore(&w, &f, &r) < 0)
			fail_msg("%s", w.e.text);
		machine_free(w.m);
		w.m = NULL;
		assert_int_equal(stat(list, &st), 0);
		assert_int_equal(st.st_size, file[i].after);
	}
	assert_int_equal(unlink(list), 0);
	assert_int_equal(rmdir(dir), 0);
	world_close(&w);
	files_close(&f);
}

static void test_a_jailed_machine_fetches_its_working_set(void **state)
{
	char dir[] = "/tmp/hull-ahead-XXXXXX", list[64];
	struct workingset_range all = { 0, 4 << 20 };
	struct workingset set = { .range = &all, .n = 1 };
	int fd, status = -1;
	struct files f;
	struct world w;
	uint32_t at;
	pid_t pid;

	(void)state;
	need_lazy_pages();
#ifdef __SANITIZE_THREAD__
	print_message("the sanitizer's own thread: a process with threads gets no user namespace\n");
	skip();
#endif
	assert_non_null(mkdtemp(dir));
	str_format(list, sizeof(list), "%s/ahead", dir);
	at = counted(&w, &f, 1);
	fd = open(list, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(workingset_write(&set, fd, 4 << 20), 0);
	close(fd);
	pid = fork();
	if (pid == 0)
		jailed_fetch(&w, &f, list, at);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("want an exit with 0, got status %#x", (unsigned)status);
	assert_int_equal(unlink(list), 0);
	assert_int_equal(rmdir(dir), 0);
	world_close(&w);
	files_close(&f);
}

/* A file that lies about its processors is found out by a process that has no files any more. */
static void test_what_is_behind_the_configuration_is_read_in_the_jail(void **state)
{
	static const char tag[8] = "cpu";
	auto_fini(buf) struct buf good = { 0 };
	struct machine_restore r = { .uffd_sock = -1 };
	int status = -1;
	struct files f;
	struct world w;
	char *cpu;
	pid_t pid;

	(void)state;
#ifdef __SANITIZE_THREAD__
	print_message("the sanitizer's own thread: a process with threads gets no user namespace\n");
	skip();
#endif
	counted(&w, &f, 1);
	slurp(f.state, &good);
	cpu = good.data ? memmem(good.data, good.len, tag, sizeof(tag)) : NULL;
	assert_non_null(cpu);
	if (!cpu)
		return;
	cpu[0] = 'x';
	digest_of(good.data + HEAD_BYTES, good.len - HEAD_BYTES, good.data + HEAD_DIGEST_AT);
	put_state(&f, good.data, good.len);
	r.jail = (struct machine_jail){ .on = true, .may_stay = true, .uid = 65534, .gid = 65534 };
	pid = fork();
	if (pid == 0) {
		if (access("/proc", F_OK) < 0 || restore(&w, &f, &r) >= 0 || !strstr(w.e.text, "xpu"))
			_exit(1);
		_exit(access("/proc", F_OK) < 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("want an exit with 0, got status %#x", (unsigned)status);
	world_close(&w);
	files_close(&f);
}

static void test_a_list_that_makes_no_sense_is_none(void **state)
{
	static const struct {
		const char *name;
		struct workingset_range range[2];
	} bad[] = {
		{ "outside", { { 0, 4096 }, { 8 << 20, 4096 } } },
		{ "over the end", { { 0, 4096 }, { (4 << 20) - 4096, 8192 } } },
		{ "out of order", { { 8192, 4096 }, { 0, 4096 } } },
		{ "overlapping", { { 0, 8192 }, { 4096, 4096 } } },
		{ "no length", { { 0, 4096 }, { 8192, 0 } } },
		{ "not whole pages", { { 0, 4096 }, { 8192, 100 } } },
		{ "wraps", { { 0, 4096 }, { 8192, -4096ULL } } },
	};
	struct workingset_range good[] = { { 0, 4096 }, { 8192, 4096 } };
	struct workingset w = { .range = good, .n = 2 }, got;
	int fd = memfd_create("list", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(workingset_read(&got, fd, 4 << 20), -EBADMSG);
	assert_int_equal(workingset_write(&w, fd, 4 << 20), 0);
	assert_int_equal(workingset_read(&got, fd, 4 << 20), 0);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.range[1].offset, 8192);
	workingset_fini(&got);
	assert_int_equal(workingset_read(&got, fd, 8 << 20), -EBADMSG); /* another memory file's */
	assert_int_equal(ftruncate(fd, 40), 0);
	assert_int_equal(workingset_read(&got, fd, 4 << 20), -EBADMSG);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(good, bad[i].range, sizeof(good));
		assert_int_equal(workingset_write(&w, fd, 4 << 20), 0);
		if (workingset_read(&got, fd, 4 << 20) != -EBADMSG)
			fail_msg("%s: taken", bad[i].name);
	}
	close(fd);
}

/* handler() - serves page faults of a machine that was handed over at @sock, from @mem. In a child, which the test ends. */
static void handler(int sock, int mem)
{
	static char text[4096], page[GMEM_PAGE];
	struct uffd_msg msg;
	unsigned long long base;
	int fd;
	ssize_t n = sock_recv_fd(sock, text, sizeof(text) - 1, &fd);

	if (n <= 0 || fd < 0 || sscanf(text, "[{\"base_host_virt_addr\":%llu", &base) != 1)
		_exit(1);
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		poll(&p, 1, -1);
		if (read(fd, &msg, sizeof(msg)) != sizeof(msg) || msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		msg.arg.pagefault.address &= ~(uint64_t)(GMEM_PAGE - 1);
		if (pread(mem, page, sizeof(page), (off_t)(msg.arg.pagefault.address - base)) != sizeof(page))
			_exit(2);
		ioctl(fd, UFFDIO_COPY,
		      &(struct uffdio_copy){ .dst = msg.arg.pagefault.address,
					     .src = (uintptr_t)page,
					     .len = sizeof(page) });
	}
}

/* pages_lost() - of those with something in them in @before, how many are empty in @after. */
static unsigned pages_lost(int before, int after)
{
	static const char zero[GMEM_PAGE];
	char page[2][GMEM_PAGE];
	unsigned n = 0;

	for (off_t at = 0; at < 4 << 20; at += GMEM_PAGE) {
		assert_int_equal(pread(before, page[0], GMEM_PAGE, at), GMEM_PAGE);
		assert_int_equal(pread(after, page[1], GMEM_PAGE, at), GMEM_PAGE);
		n += memcmp(page[0], zero, GMEM_PAGE) != 0 && memcmp(page[1], zero, GMEM_PAGE) == 0;
	}
	return n;
}

static void test_pages_come_from_a_handler_that_was_handed_the_faults(void **state)
{
	struct machine_restore r = { .uffd_sock = -1 };
	struct files f, again = files_new();
	struct world w;
	int pair[2], status;
	uint32_t at;
	pid_t pid;

	(void)state;
	at = counted(&w, &f, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0)
		handler(pair[1], f.mem);
	close(pair[1]);
	r.uffd_sock = pair[0];
	if (restore(&w, &f, &r) == -EOPNOTSUPP) { /* the engine's own processes map the memory */
		assert_int_equal(kill(pid, SIGKILL), 0);
		waitpid(pid, &status, 0);
		world_close(&w);
		files_close(&f);
		files_close(&again);
		print_message("%s\n", w.e.text);
		skip();
	}
	if (!w.m)
		fail_msg("%s", w.e.text);
	assert_return_code(machine_resume(w.m, &w.e), 0);
	for (int k = 0; k < 1000 && counter(&w) <= at; k++)
		run(&w, 1);
	assert_true(counter(&w) > at && counter(&w) < at + 100000000);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	assert_return_code(machine_save(w.m, MACHINE_SNAPSHOT_FULL, again.state, again.mem, &w.e), 0);
	assert_int_equal(pages_lost(f.mem, again.mem), 0); /* also those nobody had asked for before */
	world_close(&w);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	files_close(&f);
	files_close(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_restored_machine_counts_on_from_where_it_was),
		cmocka_unit_test(test_a_snapshot_goes_on_on_each_engine_that_has_its_processor),
		cmocka_unit_test(test_where_nobody_says_a_snapshot_goes_on_where_it_was_saved),
		cmocka_unit_test(test_memory_that_is_cut_off_is_no_memory),
		cmocka_unit_test(test_clones_share_a_snapshot_and_go_their_own_ways),
		cmocka_unit_test(test_the_memory_file_has_holes_where_memory_is_zero),
		cmocka_unit_test(test_a_difference_over_the_snapshot_before_is_the_next_one),
		cmocka_unit_test(test_without_tracking_a_difference_is_to_the_boot_or_is_refused),
		cmocka_unit_test(test_a_snapshot_is_not_saved_over_the_memory_it_came_from),
		cmocka_unit_test(test_the_first_restore_lists_what_it_touched_and_the_next_fetches_it),
		cmocka_unit_test(test_what_is_no_list_is_left_alone_and_a_half_made_one_is_made_anew),
		cmocka_unit_test(test_a_jailed_machine_fetches_its_working_set),
		cmocka_unit_test(test_what_is_behind_the_configuration_is_read_in_the_jail),
		cmocka_unit_test(test_a_list_that_makes_no_sense_is_none),
		cmocka_unit_test(test_pages_come_from_a_handler_that_was_handed_the_faults),
		cmocka_unit_test(test_damaged_files_are_refused_with_one_line),
		cmocka_unit_test(test_forged_fields_never_crash),
		cmocka_unit_test(test_a_configuration_of_the_version_before_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
