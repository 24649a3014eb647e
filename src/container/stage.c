/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c - the process between the caller and the one it wants in other namespaces; container_internal.h says why */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/guard.h"
#include "container/container_internal.h"
#include "container/sync.h"
#include "sys/call.h"
#include "sys/ns.h"

enum { TOLD_BYTES = 4096 };

pid_t ct__stage_start(struct ct_stage *ret_s, int cgroup_fd, struct err *e)
{
	long at = SYS6(SYS_mmap, NULL, TOLD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ct_stage s = { .told = (pid_t *)at, .pidfd = -1 };
	pid_t pid;

	if (at < 0 && at > -TOLD_BYTES)
		return err_sys(e, (int)-at, "memory to share");
	pid = ns_clone(0, cgroup_fd, &s.pidfd);
	if (pid < 0) {
		SYS2(SYS_munmap, s.told, TOLD_BYTES);
		return err_sys(e, -pid, "clone");
	}
	*ret_s = s;
	return pid;
}

int ct__stage_finish(struct ct_stage *s, int sock, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	siginfo_t info = { 0 };
	int r = pidfd_wait(s->pidfd, &info, WEXITED);
	pid_t pid =
		__atomic_load_n(s->told, __ATOMIC_RELAXED); /* the stage has ended: nobody writes any more */

	SYS2(SYS_munmap, s->told, TOLD_BYTES);
	fd_close(&s->pidfd);
	s->told = NULL;
	*ret_pid = pid;
	if (r < 0)
		return err_sys(e, -r, "wait");
	if (pid > 0) {
		*ret_pidfd = pidfd_open(pid);
		if (*ret_pidfd < 0)
			return err_sys(e, -*ret_pidfd, "pidfd_open");
	}
	if (pid > 0 && info.si_code == CLD_EXITED && info.si_status == 0)
		return 0;
	r = sync_recv(sock, NULL, e);
	return r < 0 ? r : err_set(e, EPROTO, "the process that enters the namespaces was killed");
}

void ct__reap(pid_t pid, int pidfd)
{
	siginfo_t info;

	if (pidfd >= 0) {
		pidfd_send(pidfd, SIGKILL);
		pidfd_wait(pidfd, &info, WEXITED);
	} else if (pid > 0) { /* our child, not waited for yet: the number is its own */
		SYS2(SYS_kill, pid, SIGKILL);
		SYS5(SYS_waitid, P_PID, pid, &info, WEXITED, NULL);
	}
}
