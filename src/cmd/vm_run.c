/* SPDX-License-Identifier: Apache-2.0 */
/* vm_run.c - `hull vm run`: one machine in the foreground, its console on the terminal */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/table.h"
#include "cmd/vm_config.h"
#include "cmd/vm_terminal.h"
#include "io/loop.h"
#include "sys/file.h"
#include "vm/machine.h"

enum { STATUS_ERROR = 125, STATUS_GUEST_FAILED = 1, INHERITED_MAX = 256 };

struct vm_run { /* what the loop's callbacks share */
	struct loop loop;
	struct loop_source signals;
	int signal_fd; /* owned */
	struct machine *m;
	struct vm_terminal terminal;
	int status;
	struct err *e;
};

/* on_ended() - how the machine ended, as an exit status; what nobody asked for also gets a line. */
static void on_ended(void *arg, enum machine_end how, int status, const char *why)
{
	struct vm_run *v = arg;

	v->loop.stop = true;
	switch (how) {
	case MACHINE_END_EXIT: v->status = status; break;
	case MACHINE_END_PANIC:
	case MACHINE_END_SHUTDOWN:
		v->status = STATUS_GUEST_FAILED;
		vm_terminal_close(&v->terminal);
		fprintf(stderr, "hull: the guest ended: %s\n", why);
		break;
	case MACHINE_END_ERROR: v->status = err_set(v->e, EIO, "the machine stopped: %s", why); break;
	case MACHINE_END_KILLED: /* by a debugger; other stops, whose status is set by who stops, come here, too */
		if (!v->status)
			v->status = 128 + SIGKILL;
		break;
	default: break; /* a halt */
	}
}

static void on_quit(void *arg)
{
	struct vm_run *v = arg;

	v->status = 128 + SIGINT;
	machine_stop(v->m);
}

static void on_signal(void *arg, uint32_t events)
{
	struct vm_run *v = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(v->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	v->status = 128 + (int)info.ssi_signo;
	machine_stop(v->m);
}

/* signals_take() - those that end a program end the machine in an orderly way; before any thread is made, so that all inherit. */
static int signals_take(struct vm_run *v, struct err *e)
{
	sigset_t set;
	int r;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	v->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (v->signal_fd < 0)
		return err_sys(e, errno, "signalfd");
	v->signals = (struct loop_source){ .fd = -1, .ready = on_signal, .arg = v };
	r = loop_add(&v->loop, &v->signals, v->signal_fd, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "the event loop") : 0;
}

static int vm_loop(struct vm_run *v, struct machine_config *c, struct err *e)
{
	const struct machine_events ev = { .ended = on_ended, .arg = v };
	int r = signals_take(v, e);

	if (r == 0)
		r = vm_terminal_open(&v->terminal, &v->loop, on_quit, v, e);
	if (r < 0)
		return r;
	c->serial_in = v->terminal.in_fd;
	c->serial_out = STDOUT_FILENO;
	r = machine_new(&v->m, c, &v->loop, &ev, e);
	if (r == 0)
		r = vm_terminal_raw(&v->terminal, e);
	if (r == 0)
		r = machine_start(v->m, e);
	if (r == 0)
		r = loop_run(&v->loop);
	machine_free(v->m);
	vm_terminal_close(&v->terminal);
	return r < 0 ? r : v->status;
}

/*
 * run_main() - descriptors that came from our parent by accident are closed before a guest could get at them, but not before
 * "--disk /dev/fd/5" has been opened.
 */
static int run_main(void *opts, int argc, char **argv, struct err *e)
{
	int inherited[INHERITED_MAX], n_inherited = fd_list(inherited, INHERITED_MAX);
	struct vm_run v = { .loop.epfd = -1, .signal_fd = -1, .e = e };
	struct machine_config c;
	int r;

	(void)argc;
	(void)argv;
	machine_config_defaults(&c);
	r = vm_config_read(&c, opts, e);
	for (int i = 0; i < n_inherited; i++)
		close(inherited[i]);
	if (r == 0)
		r = loop_init(&v.loop);
	if (r == 0)
		r = vm_loop(&v, &c, e);
	loop_remove(&v.loop, &v.signals);
	fd_close(&v.signal_fd);
	loop_fini(&v.loop);
	machine_config_fini(&c);
	return r;
}

const struct cmd cmd_vm_run = {
	.name = "vm run",
	.group = CMD_LIFE,
	.args = "[OPTIONS]",
	.summary = "Run a virtual machine in the foreground, its console on the terminal",
	.about = "Makes a machine of what the options say, boots the kernel and stays until it ends. Nothing "
		 "of it is kept.\n\n"
		 "The kernel is an ELF vmlinux (by its PVH note, else by Linux's 64-bit protocol), a "
		 "bzImage, or a multiboot "
		 "kernel. The terminal is the first serial port's other end; there Ctrl-A x ends the "
		 "machine, and Ctrl-A "
		 "Ctrl-A is one Ctrl-A for the guest.\n\n"
		 "The exit status is the one the guest writes to port 0xf4 (0 to 255, one byte), 0 when it "
		 "powers off or "
		 "resets, 1 when its kernel panics or it dies of a triple fault, 128 and the signal's number "
		 "when a signal or "
		 "Ctrl-A x ended it, and 125 when hull itself failed.\n\n"
		 "With --gdb PATH a debugger can stop the machine and look into it: gdb's 'target remote "
		 "PATH'. "
		 "The machine stops when "
		 "he comes and runs on when he goes; with ',wait' it does not begin before he says so.",
	.examples = "hull vm run --kernel vmlinux --initrd initrd.img --cmdline 'console=ttyS0 panic=-1'\n"
		    "Boots a Linux kernel with an initramfs.\n\n"
		    "hull vm run --kernel vmlinux --disk root.qcow2,format=qcow2 --cpus 2 --memory 1g\n"
		    "Two processors, 1 GiB, a disk that the guest sees as /dev/vda.",
	.opts = vm_config_opts + VM_OPTS_RUN,
	.opts_size = sizeof(struct vm_opts),
	.defaults = vm_config_defaults,
	.max_args = 0,
	.status_error = STATUS_ERROR,
	.run = run_main,
};
