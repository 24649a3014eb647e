/* SPDX-License-Identifier: Apache-2.0 */
#include "container/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/ns.h"

enum { POLL_MAX_MS = 60 * 60 * 1000 }; /* a timeout of the specification can be longer than poll(2) takes */
#define POLL_MAX_NS (POLL_MAX_MS * NSEC_PER_MSEC)

/* hook_child() - become the hook; the parent learns of a failed exec by the pipe. */
static _Noreturn void hook_child(const struct oci_hook *h, enum oci_hook_kind kind, int in, int report)
{
	char *const plain[] = { (char *)h->path, NULL }, *const none_set[] = { NULL };
	char *const *env = h->env.n ? h->env.v : environ;
	sigset_t none;
	int r = fd_dup_to(in, STDIN_FILENO, false);

	/* A startContainer hook is a program of the image: it gets neither descriptors nor variables of the host. */
	if (kind == OCI_HOOK_START_CONTAINER && !h->env.n)
		env = none_set;
	if (r >= 0)
		r = fd_cloexec_from(3);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (r >= 0)
		r = (int)SYS3(SYS_execve, h->path, h->args.n ? h->args.v : plain, env);
	file_write(report, &r, sizeof(r));
	_exit(127);
}

/* hook_wait() - until it ends, or kill it at its timeout. */
static int hook_wait(const struct oci_hook *h, int pidfd, struct err *e)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	nsec_t end = time_now_ns(CLOCK_MONOTONIC) + h->timeout_s * NSEC_PER_SEC;
	bool late = false;
	siginfo_t info;
	int r;

	while (h->timeout_s > 0 && !late) {
		nsec_t left = end - time_now_ns(CLOCK_MONOTONIC);

		r = left <= 0 ?
			    0 :
			    poll(&p, 1, left < POLL_MAX_NS ? (int)(left / NSEC_PER_MSEC) + 1 : POLL_MAX_MS);
		if (r > 0)
			break;
		late = left <= 0;
	}
	if (late)
		pidfd_send(pidfd, SIGKILL);
	r = pidfd_wait(pidfd, &info, WEXITED);
	if (r < 0)
		return err_sys(e, -r, "wait");
	if (late)
		return err_set(e, ETIMEDOUT, "did not end within %lld s, killed", (long long)h->timeout_s);
	if (info.si_code != CLD_EXITED)
		return err_set(e, EIO, "killed by signal %d", info.si_status);
	return info.si_status ? err_set(e, EIO, "exit code %d", info.si_status) : 0;
}

static int hook_run(const struct oci_hook *h, enum oci_hook_kind kind, const char *state, size_t len,
		    struct err *e)
{
	auto_close int in =
		file_memfd("state", 0); /* not a pipe: a hook that does not read must not block us */
	auto_close int pidfd = -1;
	int report[2], failed = 0;
	ssize_t got;
	pid_t pid;
	int r = in < 0 ? in : file_write(in, state, len);

	if (r >= 0)
		r = (int)SYS3(SYS_lseek, in, 0, SEEK_SET);
	if (r >= 0)
		r = file_pipe(report);
	if (r < 0)
		return err_sys(e, -r, "hand over the state");
	pid = ns_clone(0, -1, &pidfd);
	if (pid == 0)
		hook_child(h, kind, in, report[1]);
	close(report[1]);
	got = pid < 0 ? 0 : file_read(report[0], &failed, sizeof(failed));
	close(report[0]);
	if (pid < 0)
		return err_sys(e, -pid, "fork");
	r = hook_wait(h, pidfd, e);
	return got == sizeof(failed) ? err_sys(e, -failed, "exec") : r;
}

int hooks_run(const struct oci_spec *spec, enum oci_hook_kind kind, const char *state, size_t len,
	      struct err *e)
{
	const struct oci_hooks *hooks = &spec->hooks[kind];

	for (size_t i = 0; i < hooks->n; i++) {
		int r = hook_run(&hooks->v[i], kind, state, len, e);

		if (r < 0)
			return err_wrap(e, r, "hooks.%s[%zu] '%s'", oci_hook_name(kind), i, hooks->v[i].path);
	}
	return 0;
}
