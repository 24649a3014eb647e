/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/cmos.h"

#include <string.h>

#include "fmt/record.h"

enum {
	REG_SECONDS = 0,
	REG_MINUTES = 2,
	REG_HOURS = 4,
	REG_WEEKDAY = 6,
	REG_DAY = 7,
	REG_MONTH = 8,
	REG_YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	REG_CENTURY = 0x32,
	A_DIVIDER = 0x26, /* 32.768 kHz, 1,024 Hz; the update bit is never seen set */
	B_24_HOURS = 2,
	B_BINARY = 4,
	B_WRITABLE = 0x87, /* set, data mode, 24 hours, daylight saving: kept, interrupts are not */
	D_VALID = 0x80,
	CMOS_VERSION = 1,
};

static nsec_t host_now(void)
{
	return time_now_ns(CLOCK_REALTIME);
}

static uint8_t number(const struct cmos *c, int n)
{
	return (uint8_t)(c->byte[REG_B] & B_BINARY ? n : n / 10 * 16 + n % 10);
}

static uint8_t hours(const struct cmos *c, int n)
{
	int twelve = n % 12 ? n % 12 : 12;

	if (c->byte[REG_B] & B_24_HOURS)
		return number(c, n);
	return number(c, twelve) | (n >= 12 ? 0x80 : 0);
}

static uint8_t reg_read(struct cmos *c)
{
	struct tm tm;

	time_utc(c->now(), &tm); /* in a jail there is no file of time zones to read */
	switch (c->index) {
	case REG_SECONDS: return number(c, tm.tm_sec);
	case REG_MINUTES: return number(c, tm.tm_min);
	case REG_HOURS: return hours(c, tm.tm_hour);
	case REG_WEEKDAY: return number(c, tm.tm_wday + 1);
	case REG_DAY: return number(c, tm.tm_mday);
	case REG_MONTH: return number(c, tm.tm_mon + 1);
	case REG_YEAR: return number(c, tm.tm_year % 100);
	case REG_CENTURY: return number(c, (tm.tm_year + 1900) / 100);
	case REG_A: return A_DIVIDER;
	case REG_C: return 0;
	case REG_D: return D_VALID;
	default: return c->byte[c->index];
	}
}

static void port_read(void *arg, uint64_t off, void *dst, unsigned len)
{
	struct cmos *c = arg;

	if (len != 1 || off != 1)
		return; /* the index cannot be read */
	pthread_mutex_lock(&c->lock);
	*(uint8_t *)dst = reg_read(c);
	pthread_mutex_unlock(&c->lock);
}

static void port_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	struct cmos *c = arg;
	uint8_t v = *(const uint8_t *)src;

	if (len != 1)
		return;
	pthread_mutex_lock(&c->lock);
	if (off == 0)
		c->index = v & (CMOS_BYTES - 1); /* bit 7 masks NMI, which nobody sends */
	else
		c->byte[c->index] = c->index == REG_B ? v & B_WRITABLE : v;
	pthread_mutex_unlock(&c->lock);
}

const struct bus_ops cmos_bus = { .name = "CMOS clock", .read = port_read, .write = port_write };

void cmos_init(struct cmos *c, nsec_t (*now)(void))
{
	*c = (struct cmos){ .now = now ? now : host_now, .byte[REG_B] = B_24_HOURS };
	pthread_mutex_init(&c->lock, NULL);
}

void cmos_fini(struct cmos *c)
{
	pthread_mutex_destroy(&c->lock);
}

void cmos_save(struct cmos *c, struct record_out *o)
{
	pthread_mutex_lock(&c->lock);
	record_begin(o, "cmos", CMOS_VERSION);
	record_put_u8(o, c->index);
	record_put(o, c->byte, sizeof(c->byte));
	record_end(o);
	pthread_mutex_unlock(&c->lock);
}

void cmos_restore(struct cmos *c, struct record_in *in)
{
	if (!record_open(in, "cmos", CMOS_VERSION))
		return;
	pthread_mutex_lock(&c->lock);
	c->index = record_get_u8(in) & (CMOS_BYTES - 1);
	record_get(in, c->byte, sizeof(c->byte));
	c->byte[REG_B] &= B_WRITABLE;
	pthread_mutex_unlock(&c->lock);
	record_close(in);
}
