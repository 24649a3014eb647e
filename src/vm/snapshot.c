/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/guard.h"
#include "vm/machine.h"

int machine_save(struct machine *m, enum machine_snapshot kind, int state_fd, int mem_fd, struct err *e)
{
	(void)m;
	(void)kind;
	(void)state_fd;
	(void)mem_fd;
	return err_set(e, ENOSYS, "snapshots are not there yet");
}

int machine_restore(struct machine **ret_m, struct machine_restore *r, struct loop *loop,
		    const struct machine_events *ev, struct err *e)
{
	(void)ret_m;
	(void)loop;
	(void)ev;
	fd_close(&r->state.fd);
	fd_close(&r->mem.fd);
	fd_close(&r->uffd_sock);
	return err_set(e, ENOSYS, "snapshots are not there yet");
}
