/* SPDX-License-Identifier: Apache-2.0 */
/* board.c - the devices of a board that are no virtio devices: serial port, keyboard controller, clock, VMGenID */
#include "vm/board.h"

#include <errno.h>
#include <sys/random.h>

#include "base/err.h"
#include "fmt/record.h"
#include "vm/boot.h"
#include "vm/machine_internal.h"
#include "vm/serial.h"

enum { BOARD_VERSION = 1 };

static void serial_irq(void *arg, bool level)
{
	struct machine *m = arg;

	engine_irq_set(m->vm, BOARD_GSI_SERIAL, level);
}

static void i8042_irq(void *arg, bool level)
{
	struct machine *m = arg;

	engine_irq_set(m->vm, BOARD_GSI_I8042, level);
}

static void i8042_reset(void *arg)
{
	machine__end(arg, MACHINE_END_HALT, 0, "the guest reset itself");
}

static int serial_add(struct machine *m, struct err *e)
{
	const struct serial_config c = {
		.loop = m->loop,
		.in_fd = m->config.console ? -1 : m->config.serial_in, /* then it is that one's */
		.out_fd = m->config.serial_out,
		.limit = m->config.serial_limit,
		.irq = serial_irq,
		.irq_arg = m,
	};
	int r = serial_new(&m->serial, &c, e);

	return r < 0 ? r : bus_add(&m->ports, BOARD_PORT_SERIAL, SERIAL_PORTS, &serial_bus, m->serial, e);
}

int machine__board_add(struct machine *m, struct err *e)
{
	int r = 0;

	i8042_init(&m->i8042, i8042_irq, i8042_reset, m);
	cmos_init(&m->cmos, NULL);
	if (m->config.serial)
		r = serial_add(m, e);
	if (r == 0 && m->config.i8042)
		r = bus_add(&m->ports, BOARD_PORT_I8042_DATA, I8042_PORTS, &i8042_bus, &m->i8042, e);
	if (r == 0 && m->config.rtc)
		r = bus_add(&m->ports, BOARD_PORT_CMOS, CMOS_PORTS, &cmos_bus, &m->cmos, e);
	if (r == 0 && m->config.vmgenid && getrandom(m->guid, sizeof(m->guid), 0) != sizeof(m->guid))
		r = err_sys(e, errno, "the machine's generation");
	return r;
}

void machine__board_fini(struct machine *m)
{
	serial_free(m->serial);
	m->serial = NULL;
	i8042_fini(&m->i8042);
	cmos_fini(&m->cmos);
}

/* syscalls(loop): getrandom */
int machine__guid_renew(struct machine *m, bool tell, struct err *e)
{
	int r;

	if (!m->config.vmgenid)
		return 0;
	if (getrandom(m->guid, sizeof(m->guid), 0) != sizeof(m->guid))
		return err_sys(e, errno, "the machine's generation");
	r = gmem_write(&m->mem, BOOT_VMGENID_GPA, m->guid, sizeof(m->guid));
	if (r == 0 && tell) {
		r = engine_irq_set(m->vm, BOARD_GSI_VMGENID, true);
		engine_irq_set(m->vm, BOARD_GSI_VMGENID, false);
	}
	return r < 0 ? err_sys(e, -r, "the machine's generation") : 0;
}

int machine_ctrl_alt_del(struct machine *m, struct err *e)
{
	int r;

	if (!m->config.i8042)
		return err_set(e, EOPNOTSUPP, "Ctrl-Alt-Del: the machine has no keyboard controller");
	if (m->state != MACHINE_RUNNING && m->state != MACHINE_PAUSED)
		return err_set(e, EBUSY, "Ctrl-Alt-Del: the machine does not run");
	r = i8042_ctrl_alt_del(&m->i8042);
	return r < 0 ? err_set(e, EAGAIN, "Ctrl-Alt-Del: the guest has not read what was typed before") : 0;
}

void machine__board_save(struct machine *m, struct record_out *o)
{
	record_begin(o, "board", BOARD_VERSION);
	record_put(o, m->guid, sizeof(m->guid));
	if (m->serial)
		serial_save(m->serial, o);
	if (m->config.i8042)
		i8042_save(&m->i8042, o);
	if (m->config.rtc)
		cmos_save(&m->cmos, o);
	record_end(o);
}

void machine__board_restore(struct machine *m, struct record_in *in)
{
	if (!record_open(in, "board", BOARD_VERSION))
		return;
	record_get(in, m->guid, sizeof(m->guid));
	if (m->serial)
		serial_restore(m->serial, in);
	if (m->config.i8042)
		i8042_restore(&m->i8042, in);
	if (m->config.rtc)
		cmos_restore(&m->cmos, in);
	record_close(in);
}
