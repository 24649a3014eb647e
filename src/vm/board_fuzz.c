/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board_fuzz.c - any order of accesses of any size to the serial port, keyboard controller and clock, with snapshots in between; and
 * any bytes as their snapshot
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "fmt/record.h"
#include "io/loop.h"
#include "vm/bus.h"
#include "vm/cmos.h"
#include "vm/i8042.h"
#include "vm/serial.h"

struct board {
	struct bus bus;
	struct serial *serial;
	struct i8042 i8042;
	struct cmos cmos;
	bool level;
	unsigned resets;
};

static struct loop loop = { .epfd = -1 };
static int null_fd;

static void on_irq(void *arg, bool level)
{
	struct board *b = arg;

	b->level = level;
}

static void on_reset(void *arg)
{
	struct board *b = arg;

	b->resets++;
}

static void board_open(struct board *b)
{
	const struct serial_config c = {
		.loop = &loop, .in_fd = -1, .out_fd = null_fd, .irq = on_irq, .irq_arg = b
	};

	memset(b, 0, sizeof(*b));
	BUG_ON(serial_new(&b->serial, &c, NULL) < 0);
	i8042_init(&b->i8042, on_irq, on_reset, b);
	cmos_init(&b->cmos, NULL);
	BUG_ON(bus_add(&b->bus, 0x60, I8042_PORTS, &i8042_bus, &b->i8042, NULL) < 0);
	BUG_ON(bus_add(&b->bus, 0x70, CMOS_PORTS, &cmos_bus, &b->cmos, NULL) < 0);
	BUG_ON(bus_add(&b->bus, 0x78, SERIAL_PORTS, &serial_bus, b->serial, NULL) < 0);
}

static void board_close(struct board *b)
{
	serial_free(b->serial);
	i8042_fini(&b->i8042);
	cmos_fini(&b->cmos);
}

static int restore(struct board *b, const void *bytes, size_t len)
{
	struct record_in in;

	record_init(&in, bytes, len, NULL);
	serial_restore(b->serial, &in);
	i8042_restore(&b->i8042, &in);
	cmos_restore(&b->cmos, &in);
	return record_finish(&in);
}

/* What was saved goes in again, whatever the guest had done before. */
static void save_and_restore(struct board *b)
{
	struct buf saved = { 0 };
	struct record_out o = { .to = &saved };

	serial_flush(b->serial, 0);
	serial_save(b->serial, &o);
	i8042_save(&b->i8042, &o);
	cmos_save(&b->cmos, &o);
	BUG_ON(buf_finish(&saved) < 0);
	BUG_ON(restore(b, saved.data, saved.len) < 0);
	buf_fini(&saved);
}

static void access_one(struct board *b, const uint8_t *p)
{
	static const uint8_t len[] = { 1, 1, 1, 2, 4, 8, 0, 7 };
	uint64_t addr = 0x5e + p[1] % 0x24, value = p[2] * 0x0101010101010101ULL;

	switch (p[0] & 3) {
	case 0: bus_read(&b->bus, addr, &value, len[p[0] >> 2 & 7]); break;
	case 1: bus_write(&b->bus, addr, &value, len[p[0] >> 2 & 7]); break;
	case 2: i8042_ctrl_alt_del(&b->i8042); break;
	default: save_and_restore(b); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct board b;

	if (loop.epfd < 0) {
		BUG_ON(loop_init(&loop) < 0);
		null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	board_open(&b);
	restore(&b, data, size);
	for (size_t i = 0; i + 3 <= size; i += 3)
		access_one(&b, data + i);
	save_and_restore(&b);
	board_close(&b);
	return 0;
}
