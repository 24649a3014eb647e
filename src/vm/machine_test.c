/* SPDX-License-Identifier: Apache-2.0 */
/* machine_test.c - a machine from its configuration to its end, with guests of a few bytes; skips where no engine runs */
#include "vm/machine.h"

#include "fmt/record.h"
#include "vm/machine_testing.h"

static void test_each_way_to_end_is_told_once_with_its_status(void **state)
{
	/* each: what the guest does, then hlt */
	static const struct {
		const char *name;
		uint8_t code[24];
		enum machine_end how;
		int status;
	} end[] = {
		{ "debug exit", { 0xb0, 0x2a, 0xe6, 0xf4, 0xf4 }, MACHINE_END_EXIT, 42 },
		{ "debug exit, wide", { 0xb8, 0xff, 0x01, 0, 0, 0xe7, 0xf4, 0xf4 }, MACHINE_END_EXIT, 255 },
		{ "panic", { 0xb0, 1, 0x66, 0xba, 0x05, 0x05, 0xee, 0xf4 }, MACHINE_END_PANIC, 0 },
		{ "power off", { 0xb0, 0x34, 0x66, 0xba, 0x00, 0x06, 0xee, 0xf4 }, MACHINE_END_HALT, 0 },
		{ "ACPI reset", { 0xb0, 1, 0x66, 0xba, 0x02, 0x06, 0xee, 0xf4 }, MACHINE_END_HALT, 0 },
		{ "keyboard reset", { 0xb0, 0xfe, 0xe6, 0x64, 0xf4 }, MACHINE_END_HALT, 0 },
		{ "triple fault", { 0x0f, 0x0b }, MACHINE_END_SHUTDOWN, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(end) / sizeof(end[0]); i++) {
		struct world w;

		world_open(&w, end[i].code, sizeof(end[i].code));
		start_and_run(&w);
		if (w.n_ended != 1 || w.how != end[i].how || w.status != end[i].status)
			fail_msg("%s: want end %d status %d, got end %d status %d (%s), told %u times",
				 end[i].name, end[i].how, end[i].status, w.how, w.status, w.why, w.n_ended);
		assert_int_equal(machine_state(w.m), MACHINE_STOPPED);
		run(&w, 5);
		assert_int_equal(w.n_ended, 1);
		world_close(&w);
		assert_int_equal(w.n_ended, 1);
	}
}

static void test_what_the_guest_printed_is_out_before_the_end_is_told(void **state)
{
	/* mov esi,text; mov ecx,6; mov dx,0x3f8; cld; rep outsb; mov al,0; out 0xf4,al */
	static const uint8_t code[] = { 0xbe, 0x37, 0x00, 0x10, 0x00, 0xb9, 0x06, 0x00, 0x00, 0x00,
					0x66, 0xba, 0xf8, 0x03, 0xfc, 0xf3, 0x6e, 0xb0, 0x00, 0xe6,
					0xf4, 0xf4, 0x90, 'h',  'e',  'l',  'l',  'o',  '\n' };
	char got[16] = "";
	struct world w;

	(void)state;
	world_open(&w, code, sizeof(code));
	start_and_run(&w);
	assert_int_equal(w.how, MACHINE_END_EXIT);
	assert_int_equal(read(w.out[0], got, sizeof(got)), 6);
	assert_string_equal(got, "hello\n");
	world_close(&w);
}

static void test_pause_stops_every_instruction_and_resume_goes_on(void **state)
{
	uint32_t before;
	struct world w;

	(void)state;
	world_open(&w, counting, sizeof(counting));
	world_make(&w);
	assert_int_equal(machine_pause(w.m, &w.e), -EBUSY);
	assert_string_equal(w.e.text, "cannot pause: the machine has not been started");
	assert_return_code(machine_start(w.m, &w.e), 0);
	assert_int_equal(machine_start(w.m, &w.e), -EBUSY);
	for (int i = 0; i < 50; i++) {
		run(&w, 2);
		assert_return_code(machine_pause(w.m, &w.e), 0);
		assert_return_code(machine_pause(w.m, &w.e), 0);
		assert_int_equal(machine_state(w.m), MACHINE_PAUSED);
		before = counter(&w);
		run(&w, 1);
		assert_int_equal(counter(&w), before);
		assert_return_code(machine_resume(w.m, &w.e), 0);
		assert_return_code(machine_resume(w.m, &w.e), 0);
		for (int k = 0; k < 1000 && counter(&w) == before; k++)
			run(&w, 1);
		assert_true(counter(&w) != before);
	}
	machine_stop(w.m);
	assert_true(w.n_ended == 1 && w.how == MACHINE_END_KILLED);
	before = counter(&w);
	run(&w, 2);
	assert_int_equal(counter(&w), before);
	machine_stop(w.m);
	assert_int_equal(w.n_ended, 1);
	assert_int_equal(machine_resume(w.m, &w.e), -EBUSY);
	assert_string_equal(w.e.text, "cannot resume: the machine has ended");
	world_close(&w);
}

static void test_a_machine_may_be_freed_at_any_time(void **state)
{
	struct world w;

	(void)state;
	for (int i = 0; i < 40; i++) {
		world_open(&w, counting, sizeof(counting));
		w.c.cpus = 1 + (unsigned)i % 3;
		world_make(&w);
		if (i % 4 > 0)
			assert_return_code(machine_start(w.m, &w.e), 0);
		if (i % 4 > 1)
			assert_return_code(machine_pause(w.m, &w.e), 0);
		if (i % 4 > 2)
			assert_return_code(machine_resume(w.m, &w.e), 0);
		world_close(&w);
	}
}

static void test_processors_that_wait_to_be_started_can_be_paused_and_stopped(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, counting, sizeof(counting));
	w.c.cpus = 4;
	world_make(&w);
	assert_return_code(machine_start(w.m, &w.e), 0);
	for (int i = 0; i < 20; i++) {
		assert_return_code(machine_pause(w.m, &w.e), 0);
		assert_return_code(machine_resume(w.m, &w.e), 0);
	}
	machine_stop(w.m);
	assert_int_equal(w.how, MACHINE_END_KILLED);
	world_close(&w);
}

static void test_unmapped_and_odd_accesses_read_ones_and_harm_nobody(void **state)
{
	/*
	 * in eax,0x80 must be ones; mov eax,[0xd0000001] must be ones; a write across two pages there; in ax,0x3f8 (odd size);
	 * then status 7 if both were ones, 1 otherwise.
	 */
	static const uint8_t code[] = {
		0xe5, 0x80,                                     /* in eax,0x80 */
		0x23, 0x05, 0x01, 0x00, 0x00, 0xd0,             /* and eax,[0xd0000001] */
		0xc7, 0x05, 0xfe, 0x0f, 0x00, 0xd0, 1, 2, 3, 4, /* mov dword [0xd0000ffe],... */
		0x66, 0xba, 0xf8, 0x03,                         /* mov dx,0x3f8 */
		0x66, 0xef,                                     /* out dx,ax */
		0x40,                                           /* inc eax: 0 if all were ones */
		0x75, 0x06,                                     /* jnz bad */
		0xb0, 0x07, 0xe6, 0xf4, 0xf4, 0x90,             /* status 7 */
		0xb0, 0x01, 0xe6, 0xf4, 0xf4,                   /* bad: status 1 */
	};
	struct world w;

	(void)state;
	world_open(&w, code, sizeof(code));
	start_and_run(&w);
	assert_true(w.how == MACHINE_END_EXIT && w.status == 7);
	assert_true(w.m->ports.n_nobody + w.m->mmio.n_nobody >= 3);
	world_close(&w);
}

static void test_the_boot_timer_is_told_once(void **state)
{
	/* mov byte [0xc0000000],123 twice; mov al,0; out 0xf4,al */
	static const uint8_t code[] = { 0xc6, 0x05, 0,    0,   0,    0xc0, 123,  0xc6, 0x05, 0,
					0,    0,    0xc0, 123, 0xb0, 0,    0xe6, 0xf4, 0xf4 };
	struct world w;

	(void)state;
	world_open(&w, code, sizeof(code));
	start_and_run(&w);
	assert_int_equal(w.n_boot, 1);
	assert_true(w.boot_wall_us > 0 && w.boot_wall_us < 5000000);
	world_close(&w);
}

static void test_an_instruction_the_engine_cannot_do_names_its_address(void **state)
{
	static const uint8_t code[] = {
		0xc5, 0xf8, 0x77, 0xb0, 0, 0xe6, 0xf4, 0xf4
	}; /* vzeroupper; exit 0 */
	struct world w;

	(void)state;
	world_open(&w, code, sizeof(code));
	start_and_run(&w);
	if (w.how != MACHINE_END_ERROR) { /* #UD without vectors is a triple fault; or this host's KVM can */
		print_message("this engine carries it out or lets it fault\n");
		world_close(&w);
		skip();
	}
	assert_non_null(strstr(w.why, "rip 0x100020"));
	world_close(&w);
}

static void test_a_machine_that_cannot_be_made_leaves_the_configuration_to_the_caller(void **state)
{
	static const uint8_t nothing[64];
	struct world w;
	int kept;

	(void)state;
	world_open(&w, counting, sizeof(counting));
	close(w.c.kernel.fd);
	kept = w.c.kernel.fd = memfd_create("no kernel", MFD_CLOEXEC);
	assert_int_equal(write(kept, nothing, sizeof(nothing)), sizeof(nothing));
	assert_int_equal(machine_new(&w.m, &w.c, &w.loop, NULL, &w.e), -ENOEXEC);
	assert_int_equal(w.c.kernel.fd, kept);
	assert_true(fcntl(kept, F_GETFD) >= 0);
	world_close(&w);
}

static void test_configurations_that_make_no_sense_are_refused_in_words(void **state)
{
	static const struct {
		size_t offset;
		uint64_t value;
		size_t size;
		const char *text;
	} bad[] = {
		{ offsetof(struct machine_config, cpus), 0, 4, "cpus: 0, want 1 to 32" },
		{ offsetof(struct machine_config, cpus), 40, 4, "cpus: 40, want 1 to 32" },
		{ offsetof(struct machine_config, mem_bytes), 1000, 8,
		  "memory: 1000 bytes, want 1 MiB to 1024 GiB in whole MiB" },
		{ offsetof(struct machine_config, kernel.fd), 0xffffffff, 4, "kernel: none is given" },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct machine_config c;
		struct err e = { 0 };

		machine_config_defaults(&c);
		c.kernel.fd = 0;
		assert_int_equal(machine_config_check(&c, &e), 0);
		memcpy((char *)&c + bad[i].offset, &bad[i].value, bad[i].size);
		assert_int_equal(machine_config_check(&c, &e), -EINVAL);
		assert_string_equal(e.text, bad[i].text);
	}
	world_open(&w, counting, sizeof(counting));
	w.c.cpus = 33;
	assert_int_equal(machine_new(&w.m, &w.c, &w.loop, NULL, &w.e), -EINVAL);
	world_close(&w);
}

static void test_ctrl_alt_del_reaches_the_guest_and_says_when_it_does_not(void **state)
{
	/* again: in al,0x64; test al,1; jz again; in al,0x60; out 0xf4,al */
	static const uint8_t code[] = { 0xe4, 0x64, 0xa8, 0x01, 0x74, 0xfa, 0xe4, 0x60, 0xe6, 0xf4, 0xf4 };
	struct world w;

	(void)state;
	world_open(&w, code, sizeof(code));
	world_make(&w);
	assert_int_equal(machine_ctrl_alt_del(w.m, &w.e), -EBUSY);
	assert_return_code(machine_start(w.m, &w.e), 0);
	run(&w, 5);
	assert_return_code(machine_ctrl_alt_del(w.m, &w.e), 0);
	run(&w, 5000);
	assert_true(w.how == MACHINE_END_EXIT && w.status == 0x1d);
	world_close(&w);
}

static void test_the_board_and_the_devices_survive_a_snapshot(void **state)
{
	struct buf saved = { 0 };
	struct record_out o = { .to = &saved };
	struct record_in in;
	uint8_t guid[MACHINE_GUID_BYTES];
	struct world a, b;

	(void)state;
	world_open(&a, counting, sizeof(counting));
	a.c.console = true;
	world_make(&a);
	world_open(&b, counting, sizeof(counting));
	b.c.console = true;
	world_make(&b);
	machine__board_save(a.m, &o);
	machine__devices_save(a.m, &o);
	assert_int_equal(buf_finish(&saved), 0);
	record_init(&in, saved.data, saved.len, &b.e);
	machine__board_restore(b.m, &in);
	machine__devices_restore(b.m, &in);
	if (record_finish(&in) < 0)
		fail_msg("%s", b.e.text);
	assert_memory_equal(a.m->guid, b.m->guid, MACHINE_GUID_BYTES);
	assert_int_equal(gmem_read(&a.m->mem, 0xef000, guid, sizeof(guid)), 0);
	assert_memory_equal(a.m->guid, guid, sizeof(guid));
	assert_return_code(machine__guid_renew(b.m, true, &b.e), 0);
	assert_memory_not_equal(a.m->guid, b.m->guid, MACHINE_GUID_BYTES);
	for (size_t cut = 0; cut < saved.len; cut += 7) {
		record_init(&in, saved.data, cut, &b.e);
		machine__board_restore(b.m, &in);
		machine__devices_restore(b.m, &in);
		assert_true(record_finish(&in) < 0);
	}
	world_close(&a);
	world_close(&b);
	buf_fini(&saved);
}

static void test_devices_of_memory_lie_behind_it_and_are_changed_while_it_runs(void **state)
{
	struct machine_balloon_stats stats;
	const struct limiter_config limit = { .bytes = { .size = 1000, .refill_ms = 100 } };
	uint32_t plugged = 1, requested = 1;
	struct world w;

	(void)state;
	world_open(&w, counting, sizeof(counting));
	w.c.balloon = (struct machine_balloon){ .on = true, .mib = 1 };
	w.c.memhp = (struct machine_memhp){ .on = true, .total_mib = 256, .slot_mib = 128, .block_mib = 2 };
	w.c.pmem = calloc(1, sizeof(*w.c.pmem));
	assert_non_null(w.c.pmem);
	w.c.n_pmems = 1;
	w.c.pmem[0] = (struct machine_pmem){ .id = "p", .file.fd = memfd_create("pmem", MFD_CLOEXEC) };
	assert_int_equal(ftruncate(w.c.pmem[0].file.fd, 5000), 0); /* the region is rounded up to 2 MiB */
	world_make(&w);
	assert_int_equal(w.m->mem.n, 3);
	assert_true(w.m->mem.region[1].base == BOARD_HIGH_RAM && !w.m->mem.region[1].ram);
	assert_int_equal(w.m->mem.region[1].size, 2 << 20);
	assert_true(w.m->mem.region[2].base == BOARD_HIGH_RAM + (128 << 20) && w.m->mem.region[2].ram);
	assert_return_code(machine_start(w.m, &w.e), 0);
	assert_return_code(machine_balloon_stats(w.m, &stats, &w.e), 0);
	assert_int_equal(stats.target_pages, 256);
	assert_return_code(machine_memhp_status(w.m, &plugged, &requested, &w.e), 0);
	assert_int_equal(plugged + requested, 0);
	assert_true(machine_memhp_request(w.m, 3, &w.e) < 0); /* no whole block; and the driver is not up */
	assert_return_code(machine_pmem_limit(w.m, "p", &limit, &w.e), 0);
	assert_int_equal(machine_config_of(w.m)->pmem[0].limit.bytes.size, 1000);
	assert_int_equal(machine_pmem_limit(w.m, "q", &limit, &w.e), -ENOENT);
	assert_string_equal(w.e.text, "pmem device 'q': there is none");
	assert_int_equal(machine_drive_limit(w.m, "d", &limit, &w.e), -ENOENT);
	assert_int_equal(machine_net_limit(w.m, "n", &limit, NULL, &w.e), -ENOENT);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_way_to_end_is_told_once_with_its_status),
		cmocka_unit_test(test_what_the_guest_printed_is_out_before_the_end_is_told),
		cmocka_unit_test(test_pause_stops_every_instruction_and_resume_goes_on),
		cmocka_unit_test(test_a_machine_may_be_freed_at_any_time),
		cmocka_unit_test(test_processors_that_wait_to_be_started_can_be_paused_and_stopped),
		cmocka_unit_test(test_unmapped_and_odd_accesses_read_ones_and_harm_nobody),
		cmocka_unit_test(test_the_boot_timer_is_told_once),
		cmocka_unit_test(test_an_instruction_the_engine_cannot_do_names_its_address),
		cmocka_unit_test(test_a_machine_that_cannot_be_made_leaves_the_configuration_to_the_caller),
		cmocka_unit_test(test_configurations_that_make_no_sense_are_refused_in_words),
		cmocka_unit_test(test_ctrl_alt_del_reaches_the_guest_and_says_when_it_does_not),
		cmocka_unit_test(test_the_board_and_the_devices_survive_a_snapshot),
		cmocka_unit_test(test_devices_of_memory_lie_behind_it_and_are_changed_while_it_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
