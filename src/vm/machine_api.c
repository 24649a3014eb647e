/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_api.c - what machine.h promises and no other file gives yet: each refuses and says so. Weak, so that the file that
 * implements one needs no change here; its line here goes then.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "vm/machine.h"

#define WEAK __attribute__((weak))

static int not_yet(struct err *e, const char *what)
{
	return err_set(e, ENOSYS, "%s is not there yet", what);
}

WEAK void machine_config_defaults(struct machine_config *c)
{
	*c = (struct machine_config){ .cpus = 1,
				      .mem_bytes = 128ULL << 20,
				      .kernel.fd = -1,
				      .initrd.fd = -1,
				      .serial = true,
				      .i8042 = true,
				      .serial_in = -1,
				      .serial_out = -1 };
}

static void file_fini(struct machine_file *f)
{
	free(f->path);
	fd_close(&f->fd);
	f->path = NULL;
}

WEAK void machine_config_fini(struct machine_config *c)
{
	file_fini(&c->kernel);
	file_fini(&c->initrd);
	free(c->cmdline);
	free(c->cpu_model);
	for (unsigned i = 0; i < c->n_drives; i++) {
		file_fini(&c->drive[i].file);
		free(c->drive[i].partuuid);
	}
	for (unsigned i = 0; i < c->n_nets; i++) {
		free(c->net[i].host_dev);
		fd_close(&c->net[i].tap_fd);
	}
	for (unsigned i = 0; i < c->n_pmems; i++)
		file_fini(&c->pmem[i].file);
	for (unsigned i = 0; i < c->n_shares; i++)
		file_fini(&c->share[i].dir);
	free(c->drive);
	free(c->net);
	free(c->pmem);
	free(c->share);
	free(c->vsock.uds_path);
	free(c->cpu_edits.cpuid);
	free(c->cpu_edits.msr);
	machine_config_defaults(c);
}

WEAK int machine_config_check(const struct machine_config *c, struct err *e)
{
	(void)c;
	return not_yet(e, "a machine");
}

WEAK int machine_new(struct machine **ret_m, struct machine_config *c, struct loop *loop,
		     const struct machine_events *ev, struct err *e)
{
	(void)ret_m;
	(void)c;
	(void)loop;
	(void)ev;
	return not_yet(e, "a machine");
}

WEAK void machine_stop(struct machine *m)
{
	(void)m;
}

WEAK void machine_free(struct machine *m)
{
	(void)m;
}

WEAK enum machine_state machine_state(const struct machine *m)
{
	(void)m;
	return MACHINE_STOPPED;
}

WEAK const struct machine_config *machine_config_of(const struct machine *m)
{
	(void)m;
	return NULL;
}

WEAK void machine_metrics(struct machine *m, struct json_out *o)
{
	(void)m;
	(void)o;
}

#define REFUSE(name, what, ...)                                                                              \
	WEAK int name(__VA_ARGS__, struct err *e)                                                            \
	{                                                                                                    \
		return not_yet(e, what);                                                                     \
	}

#pragma GCC diagnostic ignored "-Wunused-parameter"
REFUSE(machine_start, "a machine", struct machine *m)
REFUSE(machine_pause, "a machine", struct machine *m)
REFUSE(machine_resume, "a machine", struct machine *m)
REFUSE(machine_drive_path, "changing a drive's file", struct machine *m, const char *id,
       struct machine_file *f)
REFUSE(machine_drive_limit, "changing a drive's limits", struct machine *m, const char *id,
       const struct limiter_config *l)
REFUSE(machine_net_limit, "changing a card's limits", struct machine *m, const char *id,
       const struct limiter_config *rx, const struct limiter_config *tx)
REFUSE(machine_pmem_limit, "changing a pmem device's limits", struct machine *m, const char *id,
       const struct limiter_config *l)
REFUSE(machine_balloon_set, "changing the balloon", struct machine *m, uint32_t mib)
REFUSE(machine_ctrl_alt_del, "Ctrl-Alt-Del", struct machine *m)
REFUSE(machine_balloon_stats, "statistics of the balloon", struct machine *m,
       struct machine_balloon_stats *ret_s)
REFUSE(machine_balloon_interval, "statistics of the balloon", struct machine *m, uint16_t seconds)
REFUSE(machine_balloon_hint, "free page hinting", struct machine *m, bool start, bool ack)
REFUSE(machine_balloon_hint_status, "free page hinting", struct machine *m, uint32_t *ret_host,
       uint32_t *ret_guest)
REFUSE(machine_memhp_request, "memory hot-plug", struct machine *m, uint32_t mib)
REFUSE(machine_memhp_status, "memory hot-plug", struct machine *m, uint32_t *ret_plugged_mib,
       uint32_t *ret_requested_mib)
REFUSE(machine_drive_add, "hot-plug of drives", struct machine *m, struct machine_drive *d)
REFUSE(machine_net_add, "hot-plug of cards", struct machine *m, struct machine_net *n)
REFUSE(machine_pmem_add, "hot-plug of pmem devices", struct machine *m, struct machine_pmem *p)
REFUSE(machine_device_remove, "hot-unplug", struct machine *m, enum machine_device kind, const char *id)
