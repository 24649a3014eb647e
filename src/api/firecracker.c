/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker.c - the machine's process: options, the loop, the start of the machine, its end; and its fork */
#include "api/firecracker.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "api/firecracker_front.h"
#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/sock.h"
#include "sys/tun.h"
#include "vm/jail.h"

enum { CONFIG_BYTES_MAX = 4 << 20, JAIL_NOBODY = 65534 };

#define CMDLINE_DEFAULT                                                                                      \
	"reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce"

int fc_id_check(const char *id, struct err *e)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	size_t len = strlen(id);

	if (len < 1 || len > 64)
		return err_set(e, EINVAL, "Invalid instance ID: want 1 to 64 characters, got %zu", len);
	if (id[strspn(id, good)])
		return err_set(e, EINVAL, "Invalid instance ID: '%c': want letters, digits and '-'",
			       id[strspn(id, good)]);
	return 0;
}

const struct machine_config *fc__config(const struct fc *f)
{
	const struct machine_config *m = f->m ? machine_config_of(f->m) : NULL;

	return m ? m : &f->c;
}

void fc__end(struct fc *f, int exit_code)
{
	f->exit_code = exit_code;
	f->loop.stop = true;
}

/* --- what the machine tells ----------------------------------------------------------------------------------- */

static void ended(void *arg, enum machine_end how, int status, const char *why)
{
	struct fc *f = arg;

	(void)status;
	if (how == MACHINE_END_ERROR) {
		fc__log(f, FC_ERROR, "The microVM stopped: %s", why ? why : "error");
		err_set(&f->why, EIO, "%s", why ? why : "the machine stopped");
		fc__end(f, FC_EXIT_GENERIC);
		return;
	}
	fc__log(f, FC_INFO, "The microVM ended%s%s", why ? ": " : "", why ? why : "");
	fc__end(f, FC_EXIT_OK);
}

static void boot_timer(void *arg, int64_t wall_us, int64_t cpu_us)
{
	struct fc *f = arg;

	/* since the process, or the jailer before it, began: what the machine measured began later */
	wall_us = (time_now_ns(CLOCK_MONOTONIC) - f->started) / 1000;
	cpu_us = (time_now_ns(CLOCK_PROCESS_CPUTIME_ID) - f->started_cpu) / 1000 +
		 (int64_t)f->o->parent_cpu_us;
	fc__log(f, FC_INFO, "Guest-boot-time = %6lld us %lld ms, %6lld CPU us %lld CPU ms",
		(long long)wall_us, (long long)wall_us / 1000, (long long)cpu_us, (long long)cpu_us / 1000);
}

struct machine_events fc__events(struct fc *f)
{
	return (struct machine_events){ .ended = ended, .boot_timer = boot_timer, .arg = f };
}

/* --- start ---------------------------------------------------------------------------------------------------- */

/* root_words() - what tells the kernel its root device; "" when there is none. */
static void root_words(const struct machine_config *c, char *dst, size_t size)
{
	*dst = '\0';
	if (c->n_drives > 0 && c->drive[0].root && c->drive[0].partuuid)
		str_format(dst, size, " root=PARTUUID=%s %s", c->drive[0].partuuid,
			   c->drive[0].readonly ? "ro" : "rw");
	else if (c->n_drives > 0 && c->drive[0].root)
		str_format(dst, size, " root=/dev/vda %s", c->drive[0].readonly ? "ro" : "rw");
	for (unsigned i = 0; i < c->n_pmems; i++)
		if (c->pmem[i].root)
			str_format(dst, size, " root=/dev/pmem%u %s", i, c->pmem[i].readonly ? "ro" : "rw");
}

/* make_cmdline() - the words of the user, and behind them ours; what stands behind "--" is for init. */
static int make_cmdline(struct fc *f, struct err *e)
{
	const char *args = f->boot_args ? f->boot_args : CMDLINE_DEFAULT;
	const char *init = strstr(args, " -- ");
	size_t len = init ? (size_t)(init - args) : strlen(args);
	char root[128];
	char *all;

	root_words(&f->c, root, sizeof(root));
	all = str_printf("%.*s%s%s%s", (int)len, args, f->c.pci ? "" : " pci=off", root, init ? init : "");
	if (!all)
		return err_sys(e, ENOMEM, "kernel command line");
	free(f->c.cmdline);
	f->c.cmdline = all;
	if (strlen(all) >= MACHINE_CMDLINE_MAX)
		return err_set(e, EINVAL, "The kernel command line is longer than %d bytes",
			       MACHINE_CMDLINE_MAX);
	return 0;
}

static int reopen(struct machine_file *f, int flags, struct err *e)
{
	if (!f->path || f->fd >= 0)
		return 0;
	f->fd = file_open(AT_FDCWD, f->path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	return f->fd < 0 ? err_sys(e, -f->fd, "'%s'", f->path) : 0;
}

/* reopen_all() - a start that failed has taken some descriptors with it; the next one needs them again. */
static int reopen_all(struct machine_config *c, struct err *e)
{
	int r = reopen(&c->kernel, O_RDONLY, e);

	if (r == 0)
		r = reopen(&c->initrd, O_RDONLY, e);
	for (unsigned i = 0; i < c->n_drives && r == 0; i++)
		r = reopen(&c->drive[i].file, c->drive[i].readonly ? O_RDONLY : O_RDWR, e);
	for (unsigned i = 0; i < c->n_pmems && r == 0; i++)
		r = reopen(&c->pmem[i].file, c->pmem[i].readonly ? O_RDONLY : O_RDWR, e);
	for (unsigned i = 0; i < c->n_nets && r == 0; i++)
		if (c->net[i].tap_fd < 0) {
			c->net[i].tap_fd = tun_open(c->net[i].host_dev, NULL);
			if (c->net[i].tap_fd < 0)
				r = err_sys(e, -c->net[i].tap_fd, "Open tap device '%s'", c->net[i].host_dev);
		}
	return r;
}

int fc__before_guest(struct fc *f, struct err *e)
{
	for (int i = 0; i < f->n_inherited; i++)
		close(f->inherited[i]);
	f->n_inherited = 0;
	return fc__tell_runs(f, e);
}

/* open_gdb() - the socket of the debugger whom the guest waits for, if one is wanted */
static int open_gdb(struct fc *f, struct err *e)
{
	if (!f->gdb_path || f->c.gdb.fd >= 0)
		return 0;
	f->c.gdb.wait = true;
	f->c.gdb.fd = sock_listen_at(AT_FDCWD, f->gdb_path, SOCK_STREAM | SOCK_NONBLOCK, 0600);
	return f->c.gdb.fd < 0 ? err_sys(e, -f->c.gdb.fd, "gdb_socket_path '%s'", f->gdb_path) : 0;
}

int fc__start(struct fc *f, struct err *e)
{
	int r;

	if (!f->has_boot)
		return err_set(e, EINVAL, "Cannot start microvm without kernel configuration");
	if (f->serial.fd >= 0)
		f->c.serial_out = f->serial.fd;
	r = make_cmdline(f, e);
	if (r == 0)
		r = reopen_all(&f->c, e);
	if (r == 0)
		r = machine_config_check(&f->c, e);
	if (r == 0)
		r = open_gdb(f, e);
	if (r == 0) {
		f->events = fc__events(f);
		r = machine_new(&f->m, &f->c, &f->loop, &f->events, e);
	}
	if (r < 0) /* the configuration is still ours: it can be put right */
		return err_wrap(e, r, "Cannot start the microVM");
	r = fc__before_guest(f, e);
	if (r == 0)
		r = machine_start(f->m, e);
	if (r < 0) {
		r = err_wrap(e, r, "Cannot start the microVM");
		f->why = *e;
		fc__end(f, FC_EXIT_GENERIC);
		return r;
	}
	fc__log(f, FC_INFO, "The microVM runs");
	fc__flush_metrics(f);
	return 0;
}

/* --- the process ---------------------------------------------------------------------------------------------- */

/* serial_in() - standard input, when there is something to wait for: epoll takes neither files nor /dev/null. */
static int serial_in(void)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) < 0)
		return -1;
	return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(STDIN_FILENO) ? STDIN_FILENO : -1;
}

/* --- the terminal: bytes as they are typed, for the guest to echo ----------------------------------------------- */

static struct termios terminal; /* as it was; valid while @terminal_set */
static bool terminal_set;

static void terminal_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &terminal) < 0)
		return;
	raw = terminal;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	terminal_set = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void fc__terminal_restore(void)
{
	if (terminal_set)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
}

void fc__refused(struct fc *f, const char *why)
{
	f->n.refused++;
	fc__log(f, FC_ERROR, "API: refused: %s", why);
}

/* open_api() - Return: the listening socket. */
static int open_api(const struct fc_options *o, struct err *e)
{
	int fd = sock_listen_at(AT_FDCWD, o->api_sock, SOCK_STREAM, 0600);

	if (fd == -EADDRINUSE)
		return err_set(e, EADDRINUSE,
			       "Failed to open the API socket at: %s. Check that it is not already used",
			       o->api_sock);
	return fd < 0 ? err_sys(e, -fd, "Failed to open the API socket at: %s", o->api_sock) : fd;
}

static int init_log(struct fc *f, struct err *e)
{
	const struct fc_options *o = f->o;
	int r = 0;

	f->log.level = o->level ? (enum fc_level)fc__level_find(o->level) : FC_INFO;
	f->log.show_level = o->show_level;
	f->log.show_origin = o->show_log_origin;
	f->log.id = o->id;
	prctl(PR_GET_NAME, f->log.thread, 0, 0, 0);
	if (o->module)
		r = fc__set_str(&f->log.module, o->module, e);
	if (r == 0 && o->log_path)
		r = fc__open_log(f, o->log_path, e);
	if (r == 0 && o->metrics_path)
		r = fc__open_metrics(f, o->metrics_path, e);
	return r;
}

/* find_inherited() - where no procfs is, a jailer has left none. */
static void find_inherited(struct fc *f)
{
	int n = fd_list(f->inherited, FC_INHERITED_MAX);

	for (int i = 0; i < n; i++)
		if (f->inherited[i] != f->pair)
			f->inherited[f->n_inherited++] = f->inherited[i];
}

static int init(struct fc *f, struct err *e)
{
	const struct fc_options *o = f->o;
	int r;

	find_inherited(f);
	f->started = o->start_time_us ? (nsec_t)o->start_time_us * 1000 : time_now_ns(CLOCK_MONOTONIC);
	f->started_cpu =
		o->start_cpu_us ? (nsec_t)o->start_cpu_us * 1000 : time_now_ns(CLOCK_PROCESS_CPUTIME_ID);
	machine_config_defaults(&f->c);
	str_copy(f->c.id, sizeof(f->c.id), o->id);
	f->c.engine = o->engine;
	f->c.engine_dir = o->engine_dir;
	f->c.pci = o->pci;
	f->c.boot_timer = o->boot_timer;
	f->c.serial = f->c.i8042 = f->c.vmgenid = true;
	f->c.serial_in = serial_in();
	f->c.serial_out = STDOUT_FILENO;
	f->c.jail = (struct machine_jail){ .on = !o->no_seccomp,
					   .trap = true,
					   .may_stay = true,
					   .work = JAIL_API,
					   .uid = JAIL_NOBODY,
					   .gid = JAIL_NOBODY };
	tzset(); /* the log's clock and the metadata's hashes read a file when first used, and the jail has none */
	json_object_seed(0);
	r = loop_init(&f->loop);
	if (r < 0)
		return err_sys(e, -r, "event loop");
	r = init_log(f, e);
	if (r == 0)
		r = mmds_new(&f->mmds, o->mmds_max, e);
	f->c.mmds = f->mmds;
	return r;
}

static int load_file(struct fc *f, const char *path, size_t max,
		     int (*take)(struct fc *f, const char *text, size_t len, struct err *e), struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int r = file_slurp_at(AT_FDCWD, path, &text, max);

	if (r < 0)
		return err_sys(e, -r, "'%s'", path);
	r = take(f, buf_str(&text), text.len, e);
	return r < 0 ? err_wrap(e, r, "'%s'", path) : 0;
}

static int take_metadata(struct fc *f, const char *text, size_t len, struct err *e)
{
	return mmds_put(f->mmds, text, len, e);
}

/* begin() - files, then what they configure. Return: 0, or an exit status. */
static int begin(struct fc *f, struct err *e)
{
	const struct fc_options *o = f->o;

	if (init(f, e) < 0)
		return FC_EXIT_GENERIC;
	fc__log(f, FC_INFO, "Running hull " HULL_VERSION " with the API of Firecracker v" FC_API_VERSION);
	if (o->metadata && load_file(f, o->metadata, CONFIG_BYTES_MAX, take_metadata, e) < 0)
		return FC_EXIT_GENERIC;
	if (o->config_file) {
		if (load_file(f, o->config_file, CONFIG_BYTES_MAX, fc__load_config, e) < 0 ||
		    fc__start(f, e) < 0)
			return FC_EXIT_CONFIG;
	}
	return fc__pair_open(f, e) < 0 ? FC_EXIT_GENERIC : 0;
}

/* end() - the pair stays open: its end tells the API's process that all else is done. */
static void end(struct fc *f)
{
	fc__flush_metrics(f);
	machine_free(f->m);
	loop_timer_off(&f->loop, &f->metrics.timer);
	machine_config_fini(&f->c);
	mmds_free(f->mmds);
	loop_fini(&f->loop);
	fc__file_fini(&f->serial);
	free(f->boot_args);
	free(f->gdb_path);
	free(f->cpu_json);
	free(f->log.path);
	free(f->log.module);
	free(f->metrics.path);
	free(f->metrics.properties);
	fd_close(&f->log.fd);
	fd_close(&f->metrics.fd);
}

/* machine_process() - @pair: to the API's process, or -1: there is none, and this one does it all. */
static int machine_process(const struct fc_options *o, int pair, struct err *e)
{
	struct fc f = { .o = o,
			.pair = pair,
			.loop.epfd = -1,
			.serial.fd = -1,
			.log.fd = -1,
			.metrics.fd = -1,
			.log.id = o->id };
	int r = begin(&f, e);

	if (r == 0) {
		int rc = loop_run(&f.loop);

		r = rc < 0 ? FC_EXIT_GENERIC : f.exit_code;
		if (rc < 0)
			err_sys(&f.why, -rc, "event loop");
		*e = f.why;
	}
	if (r)
		fc__log(&f, FC_ERROR, "Ending with status %d: %s", r, e->text);
	end(&f);
	return r;
}

/* fork_machine() - Return: the process in the API's process, with its @pair[0]; 0 in the machine's, with @pair[1]; -errno. */
static pid_t fork_machine(int pair[2], int listener)
{
	pid_t parent = getpid(), pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	fd_close(&pair[pid ? 1 : 0]);
	if (pid > 0)
		return pid;
	fd_close(&listener);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(FC_EXIT_GENERIC);
	return 0;
}

/* run_pair() - the API's process, and the machine's out of it. Returns in both. */
static int run_pair(const struct fc_options *o, struct err *e)
{
	int pair[2] = { -1, -1 };
	int listener = open_api(o, e), r;
	pid_t pid;

	if (listener < 0)
		return FC_EXIT_GENERIC;
	r = sock_pair(SOCK_STREAM, pair);
	pid = r < 0 ? r : fork_machine(pair, listener);
	if (pid == 0)
		return machine_process(o, pair[1], e);
	if (pid > 0)
		return fc__front_run(o, listener, pair[0], pid, e);
	err_sys(e, -pid, "the machine's process");
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	fd_close(&listener);
	file_unlink(AT_FDCWD, o->api_sock, 0);
	return FC_EXIT_GENERIC;
}

int fc_run(const struct fc_options *o, struct err *e)
{
	int r;

	fc__signals();
	terminal_raw();
	r = o->no_api ? machine_process(o, -1, e) : run_pair(o, e);
	fc__terminal_restore();
	return r;
}
