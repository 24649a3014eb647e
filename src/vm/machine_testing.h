/* SPDX-License-Identifier: Apache-2.0 */
/* machine_testing.h - a machine with a guest of a few bytes, for tests; skips where no engine runs; HULL_ENGINE names one */
#ifndef VM_MACHINE_TESTING_H
#define VM_MACHINE_TESTING_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "vm/machine_internal.h"

enum { LOAD_AT = 0x100000, HEADER_BYTES = 32, GUEST_COUNTER = 0x200000 };

struct world {
	struct loop loop;
	struct loop_timer end;
	struct machine_config c;
	struct machine *m;
	int out[2]; /* pipe: the serial port's output is read from [0] */
	unsigned n_ended, n_boot;
	enum machine_end how;
	int status;
	char why[MACHINE_WHY_MAX];
	int64_t boot_wall_us;
	struct err e;
};

static inline void on_timer(void *arg)
{
	struct world *w = arg;

	w->loop.stop = true;
}

static inline void on_ended(void *arg, enum machine_end how, int status, const char *why)
{
	struct world *w = arg;

	w->n_ended++;
	w->how = how;
	w->status = status;
	strncpy(w->why, why, sizeof(w->why) - 1);
	w->loop.stop = true;
}

static inline void on_boot(void *arg, int64_t wall_us, int64_t cpu_us)
{
	struct world *w = arg;

	(void)cpu_us;
	w->n_boot++;
	w->boot_wall_us = wall_us;
}

/* kernel_fd() - a multiboot kernel that is loaded at LOAD_AT and begins with @code, in 32-bit protected mode, flat. */
static inline int kernel_fd(const void *code, size_t len)
{
	const uint32_t header[HEADER_BYTES / 4] = {
		0x1badb002,
		0x00010000,
		(uint32_t) - (0x1badb002 + 0x00010000),
		LOAD_AT,
		LOAD_AT,
		0,
		0,
		LOAD_AT + HEADER_BYTES,
	};
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, header, sizeof(header)), sizeof(header));
	assert_int_equal(write(fd, code, len), len);
	return fd;
}

static inline void world_open(struct world *w, const void *code, size_t len)
{
	*w = (struct world){ .loop.epfd = -1, .end = { .fire = on_timer, .arg = w } };
	if (!engine_find(getenv("HULL_ENGINE"), &w->e)) {
		print_message("no engine here: %s\n", w->e.text);
		skip();
	}
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(pipe2(w->out, O_CLOEXEC | O_NONBLOCK), 0);
	machine_config_defaults(&w->c);
	w->c.engine = getenv("HULL_ENGINE");
	w->c.mem_bytes = 4 << 20;
	w->c.debug_exit = w->c.pvpanic = w->c.boot_timer = w->c.vmgenid = w->c.rtc = true;
	w->c.serial_out = w->out[1];
	w->c.kernel.fd = kernel_fd(code, len);
}

static inline void world_make(struct world *w)
{
	const struct machine_events ev = { .ended = on_ended, .boot_timer = on_boot, .arg = w };

	if (machine_new(&w->m, &w->c, &w->loop, &ev, &w->e) < 0)
		fail_msg("%s", w->e.text);
}

static inline void world_close(struct world *w)
{
	machine_free(w->m);
	machine_config_fini(&w->c);
	loop_fini(&w->loop);
	close(w->out[0]);
	close(w->out[1]);
}

/* run() - the loop until the machine ends, or @ms have passed. */
static inline void run(struct world *w, int ms)
{
	w->loop.stop = false;
	loop_timer_set(&w->loop, &w->end, ms * NSEC_PER_MSEC);
	assert_int_equal(loop_run(&w->loop), 0);
	loop_timer_off(&w->loop, &w->end);
}

static inline void start_and_run(struct world *w)
{
	world_make(w);
	if (machine_start(w->m, &w->e) < 0)
		fail_msg("%s", w->e.text);
	run(w, 5000);
}

static inline uint32_t counter(struct world *w)
{
	uint32_t v = 0;

	assert_int_equal(gmem_read(&w->m->mem, GUEST_COUNTER, &v, sizeof(v)), 0);
	return v;
}

/* again: inc dword [GUEST_COUNTER]; jmp again */
static const uint8_t counting[] = { 0xff, 0x05, 0x00, 0x00, 0x20, 0x00, 0xeb, 0xf8 };

#endif
