/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.c - space processes: started and ended
 *
 * The program is inside hull: it is put into a file in memory and executed from there. It gets its ends of a few pipes and two
 * numbers, no environment, no capabilities, and dies with the thread that made it, or when its pipe has no other end any more.
 *
 * syscalls(cpu): pidfd_send_signal waitid
 * syscalls(loop): pidfd_send_signal waitid
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "engine/bt/bt_internal.h"
#include "gen/space.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

enum {
	START_MS_MAX = 10000,
	HIGH_FD = 32,
	FIRST_OWN = BT_FD_SOCKET - BT_FD_EXCHANGE /* of what a space is given; before it, the machine's */
};

/* the program's file, whose name the Makefile has put into gen/space.h */
__asm__(".pushsection .rodata\n"
	".balign 16\n"
	"bt_program:\n"
	".incbin \"" HULL_SPACE "\"\n"
	"bt_program_end:\n"
	".balign 4\n"
	"bt_program_bytes: .long bt_program_end - bt_program\n"
	".popsection\n");
extern const uint8_t bt_program[];
extern const uint32_t bt_program_bytes;

static int program_file(void)
{
	auto_close int fd = file_memfd("hull-space", MFD_CLOEXEC | MFD_EXEC);
	int r;

	if (fd == -EINVAL) /* before Linux 6.3 all of them were executable */
		fd = file_memfd("hull-space", MFD_CLOEXEC);
	r = fd < 0 ? fd : file_write(fd, bt_program, bt_program_bytes);
	return r < 0 ? r : TAKE_FD(fd);
}

/* give_up() - what the program does not need: the caller's signals, its descriptors, its powers. */
static int give_up(int program, const int give[BT_FD_COUNT - BT_FD_EXCHANGE])
{
	const uint64_t no_signals = 0;
	const struct cred_caps no_caps = { 0 };
	int high[BT_FD_COUNT - BT_FD_EXCHANGE], high_program;
	int r = (int)SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof(no_signals));

	for (int i = 0; i < BT_FD_COUNT - BT_FD_EXCHANGE; i++)
		high[i] = (int)SYS3(SYS_fcntl, give[i], F_DUPFD, HIGH_FD);
	high_program = (int)SYS3(SYS_fcntl, program, F_DUPFD, HIGH_FD);
	for (int i = 0; i < BT_FD_COUNT - BT_FD_EXCHANGE && r >= 0; i++)
		r = fd_dup_to(high[i], BT_FD_EXCHANGE + i, false);
	if (r >= 0)
		r = fd_dup_to(high_program, BT_FD_COUNT, true);
	if (r >= 0)
		r = fd_close_from(BT_FD_COUNT + 1);
	cred_bound_caps(0); /* else exec gives root all of them again; who may not do it has none */
	cred_set_caps(&no_caps);
	return r;
}

/* child() - between clone and exec: system calls alone. */
static _Noreturn void child(pid_t parent, int program, const int give[BT_FD_COUNT - BT_FD_EXCHANGE],
			    char *const argv[])
{
	static char *const no_env[] = { NULL };

	cred_prctl(PR_SET_PDEATHSIG, SIGKILL, 0);
	if (SYS0(SYS_getppid) == parent && give_up(program, give) >= 0) {
		for (int fd = 0; fd < BT_FD_EXCHANGE; fd++)
			close(fd);
		SYS5(SYS_execveat, BT_FD_COUNT, "", argv, no_env, AT_EMPTY_PATH);
	}
	_exit(1);
}

/* wait_started() - until the space gives its first turn. Who dies before that does not say so through the turn. */
static int wait_started(struct bt_space *s, struct bt_exchange *x)
{
	const struct timespec look = { .tv_nsec = 10 * NSEC_PER_MSEC };
	nsec_t end = time_now_ns(CLOCK_MONOTONIC) + START_MS_MAX * NSEC_PER_MSEC;

	while (__atomic_load_n(&x->turn, __ATOMIC_SEQ_CST) == BT_TURN_START) {
		SYS4(SYS_futex, &x->turn, FUTEX_WAIT, BT_TURN_START, &look);
		s->how = (siginfo_t){ 0 };
		if (pidfd_wait(s->pidfd, &s->how, WEXITED | WNOHANG | WNOWAIT) >= 0 && s->how.si_pid)
			return -ESRCH;
		if (time_now_ns(CLOCK_MONOTONIC) > end)
			return -ETIMEDOUT;
	}
	return 0;
}

/* @give: the space's ends of everything, borrowed */
static int start(struct bt_space *s, const int give[BT_FD_COUNT - BT_FD_EXCHANGE], unsigned index,
		 unsigned n_cpus, uint32_t tsc_khz)
{
	auto_close int program = program_file();
	char cpu[16], cpus[16], khz[16];
	char *const argv[] = { "hull-space", cpu, cpus, khz, NULL };
	pid_t own = getpid();

	if (program < 0)
		return program;
	str_format(cpu, sizeof(cpu), "%u", index);
	str_format(cpus, sizeof(cpus), "%u", n_cpus);
	str_format(khz, sizeof(khz), "%u", tsc_khz);
	s->pid = ns_clone(0, -1, &s->pidfd);
	if (s->pid == 0)
		child(own, program, give, argv);
	return s->pid < 0 ? s->pid : 0;
}

/* ends_make() - both sides of what a space is reached through; @ret_give: the space's ends, caller closes those from FIRST_OWN */
static int ends_make(struct bt_space *s, const struct bt_machine *vm,
		     int ret_give[BT_FD_COUNT - BT_FD_EXCHANGE])
{
	int pair[2], r = sock_pair(SOCK_SEQPACKET, pair);

	ret_give[0] = vm->exchange_fd;
	ret_give[BT_FD_CODE - BT_FD_EXCHANGE] = vm->code_fd;
	for (int i = FIRST_OWN; i < BT_FD_COUNT - BT_FD_EXCHANGE; i++)
		ret_give[i] = -1;
	if (r < 0)
		return r;
	s->sock = pair[0];
	ret_give[BT_FD_SOCKET - BT_FD_EXCHANGE] = pair[1];
	for (int i = 0; i < BT_SPACES_MAX && r >= 0; i++) {
		r = file_pipe(pair);
		if (r < 0)
			break;
		ret_give[BT_FD_KICK - BT_FD_EXCHANGE + i] = pair[0];
		s->kick[i] = pair[1];
		r = (int)SYS3(SYS_fcntl, s->kick[i], F_SETFL, O_NONBLOCK);
	}
	return r;
}

int bt__space_start(struct bt_space *s, const struct bt_machine *vm, struct bt_exchange *x, unsigned index,
		    uint32_t tsc_khz, struct err *e)
{
	int give[BT_FD_COUNT - BT_FD_EXCHANGE], r;
	char why[128];

	*s = (struct bt_space){ .pidfd = -1, .sock = -1 };
	for (int i = 0; i < BT_SPACES_MAX; i++)
		s->kick[i] = -1;
	r = ends_make(s, vm, give);
	x->turn = BT_TURN_START;
	if (r >= 0)
		r = start(s, give, index, vm->n_cpus, tsc_khz);
	for (int i = FIRST_OWN; i < BT_FD_COUNT - BT_FD_EXCHANGE; i++)
		fd_close(&give[i]);
	if (r >= 0)
		r = wait_started(s, x);
	if (r >= 0)
		return 0;
	if (r == -ESRCH)
		bt__space_died(s, why, sizeof(why));
	else
		str_copy(why, sizeof(why), err_name(-r));
	bt__space_end(s);
	return err_set(e, -r, "processor %u: its process cannot start: %s", index, why);
}

void bt__space_end(struct bt_space *s)
{
	siginfo_t info;

	for (int i = 0; i < BT_SPACES_MAX; i++) /* which ends them, too */
		fd_close(&s->kick[i]);
	fd_close(&s->sock);
	if (s->pid > 0 && (s->dead || pidfd_send(s->pidfd, SIGKILL) >= 0)) /* else they die with us */
		pidfd_wait(s->pidfd, &info, WEXITED);
	s->pid = 0;
	fd_close(&s->pidfd);
}

/* What start.c exits with. */
static const char *exit_text(int status)
{
	switch (status) {
	case 1: return "it could not be executed";
	case BT_START_NO_MEMORY: return "the host refused it address space (vm.overcommit_memory, RLIMIT_AS)";
	case BT_START_NO_SIGNALS: return "the host refused it signals and timers";
	case BT_START_NO_PROCESS:
		return "the host refused it more processes (a pids limit, RLIMIT_NPROC): a processor takes "
		       "eight";
	case BT_START_NO_FILTER: return "the host's kernel has no seccomp filters";
	default: return NULL;
	}
}

void bt__space_died(struct bt_space *s, char *dst, size_t size)
{
	const char *text;

	s->dead = true;
	s->how = (siginfo_t){ 0 };
	pidfd_wait(s->pidfd, &s->how, WEXITED | WNOWAIT | WNOHANG);
	if (!s->how.si_pid) { /* one of the others did; how, only its parent knows */
		pidfd_send(s->pidfd, SIGKILL);
		str_copy(dst, size, "it has lost one of its own");
		return;
	}
	text = s->how.si_code == CLD_EXITED ? exit_text(s->how.si_status) : NULL;
	if (text)
		str_copy(dst, size, text);
	else if (s->how.si_code == CLD_EXITED)
		str_format(dst, size, "it ended with status %d", s->how.si_status);
	else if (s->how.si_status == SIGSYS)
		str_copy(dst, size, "it made a system call that it may not make");
	else
		str_format(dst, size, "it was ended by signal %d", s->how.si_status);
}
