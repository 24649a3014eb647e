/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/i8042.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "fmt/record.h"

enum {
	PORT_DATA = 0,
	PORT_COMMAND = 4,
	STATUS_OUT_FULL = 1,
	STATUS_SYSTEM = 4,
	STATUS_UNLOCKED = 0x10,
	CONFIG_IRQ = 1,
	CONFIG_KEYBOARD_OFF = 0x10,
	CONFIG_TRANSLATE = 0x40,
	CONFIG_RESET = 0x45, /* interrupt, passed self-test, translation */
	OUTPORT_NO_RESET = 1,
	OUTPORT_RESET = 3, /* out of reset, A20 on */
	CMD_READ_CONFIG = 0x20,
	CMD_WRITE_CONFIG = 0x60,
	CMD_AUX_OFF = 0xa7,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KEYBOARD_TEST = 0xab,
	CMD_KEYBOARD_OFF = 0xad,
	CMD_KEYBOARD_ON = 0xae,
	CMD_READ_OUTPORT = 0xd0,
	CMD_WRITE_OUTPORT = 0xd1,
	CMD_WRITE_AUX = 0xd4,
	CMD_PULSE_RESET = 0xfe,
	KEYBOARD_ACK = 0xfa,
	KEYBOARD_TEST_PASSED = 0xaa,
	I8042_VERSION = 1,
};

static void line_update(struct i8042 *k)
{
	bool level = k->out_n > 0 && (k->config & CONFIG_IRQ);

	if (level == k->line)
		return;
	k->line = level;
	k->irq(k->arg, level);
}

static void put(struct i8042 *k, uint8_t byte)
{
	if (k->out_n < I8042_OUT_MAX)
		k->out[(k->out_at + k->out_n++) % I8042_OUT_MAX] = byte;
}

static uint8_t take(struct i8042 *k)
{
	uint8_t byte = k->out[k->out_at];

	if (k->out_n == 0)
		return byte; /* the last one stays readable */
	if (--k->out_n > 0)
		k->out_at = (k->out_at + 1) % I8042_OUT_MAX;
	if (k->line) { /* each byte has its own edge */
		k->line = false;
		k->irq(k->arg, false);
	}
	return byte;
}

/* command() - Return: whether it resets the machine. */
static bool command(struct i8042 *k, uint8_t cmd)
{
	k->expect = 0;
	switch (cmd) {
	case CMD_READ_CONFIG: put(k, k->config); break;
	case CMD_WRITE_CONFIG:
	case CMD_WRITE_OUTPORT:
	case CMD_WRITE_AUX: k->expect = cmd; break;
	case CMD_AUX_TEST: put(k, 0xff); break; /* there is no mouse */
	case CMD_SELF_TEST: put(k, 0x55); break;
	case CMD_KEYBOARD_TEST: put(k, 0); break;
	case CMD_KEYBOARD_OFF: k->config |= CONFIG_KEYBOARD_OFF; break;
	case CMD_KEYBOARD_ON: k->config &= (uint8_t)~CONFIG_KEYBOARD_OFF; break;
	case CMD_READ_OUTPORT: put(k, k->outport); break;
	case CMD_PULSE_RESET: return true;
	default: break; /* of a controller with more behind it */
	}
	return false;
}

/* keyboard() - a byte for the keyboard: it says yes to everything, and to a reset that it is well. */
static void keyboard(struct i8042 *k, uint8_t v)
{
	put(k, KEYBOARD_ACK);
	if (k->to_keyboard) {
		k->to_keyboard = false;
		return;
	}
	switch (v) {
	case 0xff: put(k, KEYBOARD_TEST_PASSED); break;
	case 0xf2: /* identify: an MF2 keyboard, translated */
		put(k, 0xab);
		put(k, k->config & CONFIG_TRANSLATE ? 0x41 : 0x83);
		break;
	case 0xed:                               /* lights */
	case 0xf0:                               /* scan code set */
	case 0xf3: k->to_keyboard = true; break; /* repeat rate: a byte follows */
	default: break;
	}
}

static bool data_write(struct i8042 *k, uint8_t v)
{
	uint8_t expect = k->expect;

	k->expect = 0;
	switch (expect) {
	case CMD_WRITE_CONFIG: k->config = v; return false;
	case CMD_WRITE_OUTPORT: k->outport = v; return !(v & OUTPORT_NO_RESET);
	case CMD_WRITE_AUX: return false;
	default: keyboard(k, v); return false;
	}
}

static void port_read(void *arg, uint64_t off, void *dst, unsigned len)
{
	struct i8042 *k = arg;

	if (len != 1 || (off != PORT_DATA && off != PORT_COMMAND))
		return;
	pthread_mutex_lock(&k->lock);
	if (off == PORT_DATA)
		*(uint8_t *)dst = take(k);
	else
		*(uint8_t *)dst = STATUS_SYSTEM | STATUS_UNLOCKED | (k->out_n ? STATUS_OUT_FULL : 0);
	line_update(k);
	pthread_mutex_unlock(&k->lock);
}

static void port_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	struct i8042 *k = arg;
	uint8_t v = *(const uint8_t *)src;
	bool reset;

	if (len != 1 || (off != PORT_DATA && off != PORT_COMMAND))
		return;
	pthread_mutex_lock(&k->lock);
	reset = off == PORT_DATA ? data_write(k, v) : command(k, v);
	line_update(k);
	pthread_mutex_unlock(&k->lock);
	if (reset)
		k->reset(k->arg);
}

const struct bus_ops i8042_bus = { .name = "i8042", .read = port_read, .write = port_write };

void i8042_init(struct i8042 *k, void (*irq)(void *, bool), void (*reset)(void *), void *arg)
{
	*k = (struct i8042){
		.irq = irq, .reset = reset, .arg = arg, .config = CONFIG_RESET, .outport = OUTPORT_RESET
	};
	pthread_mutex_init(&k->lock, NULL);
}

void i8042_fini(struct i8042 *k)
{
	pthread_mutex_destroy(&k->lock);
}

int i8042_ctrl_alt_del(struct i8042 *k)
{
	static const uint8_t set1[] = { 0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d };
	static const uint8_t set2[] = { 0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14 };
	const uint8_t *code;
	size_t n;
	int r = -EAGAIN;

	pthread_mutex_lock(&k->lock);
	code = k->config & CONFIG_TRANSLATE ? set1 : set2;
	n = k->config & CONFIG_TRANSLATE ? sizeof(set1) : sizeof(set2);
	if (k->out_n + n <= I8042_OUT_MAX) {
		for (size_t i = 0; i < n; i++)
			put(k, code[i]);
		line_update(k);
		r = 0;
	}
	pthread_mutex_unlock(&k->lock);
	return r;
}

void i8042_save(struct i8042 *k, struct record_out *o)
{
	pthread_mutex_lock(&k->lock);
	record_begin(o, "i8042", I8042_VERSION);
	record_put_u8(o, k->config);
	record_put_u8(o, k->outport);
	record_put_u8(o, k->expect);
	record_put_u8(o, k->to_keyboard);
	record_put_u8(o, k->line);
	record_put_u8(o, (uint8_t)k->out_n);
	for (unsigned i = 0; i < k->out_n; i++)
		record_put_u8(o, k->out[(k->out_at + i) % I8042_OUT_MAX]);
	record_end(o);
	pthread_mutex_unlock(&k->lock);
}

void i8042_restore(struct i8042 *k, struct record_in *in)
{
	unsigned n;

	if (!record_open(in, "i8042", I8042_VERSION))
		return;
	pthread_mutex_lock(&k->lock);
	k->config = record_get_u8(in);
	k->outport = record_get_u8(in);
	k->expect = record_get_u8(in);
	k->to_keyboard = record_get_u8(in) & 1;
	k->line = record_get_u8(in) & 1;
	n = record_get_u8(in);
	if (n > I8042_OUT_MAX) {
		record_fail(in, "%u bytes typed, at most %d", n, I8042_OUT_MAX);
		n = 0;
	}
	k->out_at = k->out_n = 0;
	for (unsigned i = 0; i < n; i++)
		put(k, record_get_u8(in));
	pthread_mutex_unlock(&k->lock);
	record_close(in);
}
