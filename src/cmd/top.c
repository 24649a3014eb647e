/* SPDX-License-Identifier: Apache-2.0 */
/* top.c - the processes of a container, read from /proc: no ps is needed on the host or in the image */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/each.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "runtime/runtime.h"
#include "sys/file.h"

enum { PROC_FILE_MAX = 256 << 10, PASSWD_MAX = 1 << 20 };

struct top {
	struct buf out;
	struct buf passwd; /* the host's, for names */
	time_t boot;
	long hertz;
};

struct proc {
	pid_t pid, ppid;
	unsigned uid;
	unsigned tty;
	uint64_t ticks, start_ticks;
	char comm[64];
};

static time_t boot_time(void)
{
	auto_fini(buf) struct buf b = { 0 };
	const char *at;

	if (file_slurp_at(AT_FDCWD, "/proc/stat", &b, 8 << 20) < 0)
		return 0;
	at = strstr(buf_str(&b), "\nbtime ");
	return at ? (time_t)strtoll(at + strlen("\nbtime "), NULL, 10) : 0;
}

/* user_name() - as the host's /etc/passwd has it, or the number. This program is static: no getpwuid(3). */
static const char *user_name(const struct top *t, unsigned uid, char *dst, size_t size)
{
	for (const char *line = buf_str(&t->passwd); *line;
	     line = strchrnul(line, '\n'), line += *line != '\0') {
		size_t name = strcspn(line, ":\n");
		const char *id = line[name] == ':' ? strchr(line + name + 1, ':') : NULL;

		if (!id || !isdigit((unsigned char)id[1]) || strtoul(id + 1, NULL, 10) != uid)
			continue;
		str_format(dst, size, "%.*s", (int)name, line);
		return dst;
	}
	str_format(dst, size, "%u", uid);
	return dst;
}

static unsigned status_uid(pid_t pid)
{
	auto_fini(buf) struct buf b = { 0 };
	char path[64];
	const char *at;

	str_format(path, sizeof(path), "/proc/%d/status", pid);
	if (file_slurp_at(AT_FDCWD, path, &b, PROC_FILE_MAX) < 0)
		return 0;
	at = strstr(buf_str(&b), "\nUid:");
	at = at ? strchr(at + 6, '\t') : NULL; /* the second number is the effective one */
	return at ? (unsigned)strtoul(at, NULL, 10) : 0;
}

/* read_stat() - /proc/PID/stat. -ENOENT: the process has gone. Spec: proc(5) */
static int read_stat(pid_t pid, struct proc *p)
{
	auto_fini(buf) struct buf b = { 0 };
	unsigned long long utime, stime, start;
	const char *open, *close;
	char path[64];
	int r, tty;

	str_format(path, sizeof(path), "/proc/%d/stat", pid);
	r = file_slurp_at(AT_FDCWD, path, &b, PROC_FILE_MAX);
	if (r < 0)
		return r;
	open = strchr(buf_str(&b), '(');
	close = strrchr(buf_str(&b), ')'); /* the name may hold anything */
	if (!open || !close ||
	    sscanf(close + 1,
		   " %*c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
		   &p->ppid, &tty, &utime, &stime, &start) != 5)
		return -EINVAL;
	p->pid = pid;
	p->tty = (unsigned)tty;
	p->ticks = utime + stime;
	p->start_ticks = start;
	str_format(p->comm, sizeof(p->comm), "%.*s", (int)(close - open - 1), open + 1);
	return 0;
}

static void put_command(struct buf *out, const struct proc *p)
{
	auto_fini(buf) struct buf b = { 0 };
	char path[64];

	str_format(path, sizeof(path), "/proc/%d/cmdline", p->pid);
	if (file_slurp_at(AT_FDCWD, path, &b, PROC_FILE_MAX) < 0 || b.len == 0) {
		buf_printf(out, "[%s]", p->comm); /* a zombie, or a thread of the kernel */
		return;
	}
	for (size_t i = 0; i < b.len; i++) {
		unsigned char c = (unsigned char)b.data[i];

		if (c == '\0' && i + 1 == b.len)
			break;
		buf_putc(out, c < ' ' || c == 127 ? ' ' : (char)c); /* a name must not move the cursor */
	}
}

static const char *tty_name(unsigned tty, char *dst, size_t size)
{
	unsigned number = (tty & 0xff) | ((tty >> 12) & 0xfff00);
	unsigned type = (tty >> 8) & 0xfff;

	if (tty == 0)
		str_copy(dst, size, "?");
	else if (type >= 136 && type <= 143)
		str_format(dst, size, "pts/%u", (type - 136) * 256 + number);
	else if (type == 4)
		str_format(dst, size, "tty%u", number);
	else
		str_format(dst, size, "%u:%u", type, number);
	return dst;
}

static void put_process(struct top *t, const struct proc *p)
{
	time_t now = time(NULL), started = t->boot + (time_t)(p->start_ticks / (uint64_t)t->hertz);
	uint64_t seconds = p->ticks / (uint64_t)t->hertz;
	uint64_t alive = now > started ? (uint64_t)(now - started) : 1;
	char user[64], tty[32], stime[16];
	struct tm tm;

	localtime_r(&started, &tm);
	strftime(stime, sizeof(stime), now - started < 86400 ? "%H:%M" : "%b%d", &tm);
	buf_printf(&t->out, "%s\t%d\t%d\t%u\t%s\t%s\t%02u:%02u:%02u\t",
		   user_name(t, p->uid, user, sizeof(user)), p->pid, p->ppid,
		   (unsigned)(seconds * 100 / alive), stime, tty_name(p->tty, tty, sizeof(tty)),
		   (unsigned)(seconds / 3600), (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
	put_command(&t->out, p);
	buf_putc(&t->out, '\n');
}

static int pid_order(const void *a, const void *b)
{
	return *(const pid_t *)a < *(const pid_t *)b ? -1 : 1;
}

static int print_pids(pid_t *pids, size_t n, struct err *e)
{
	struct top t = { .boot = boot_time(), .hertz = sysconf(_SC_CLK_TCK) };
	int r;

	if (n > 1)
		qsort(pids, n, sizeof(*pids), pid_order);
	file_slurp_at(AT_FDCWD, "/etc/passwd", &t.passwd, PASSWD_MAX);
	buf_puts(&t.out, "UID\tPID\tPPID\tC\tSTIME\tTTY\tTIME\tCMD\n");
	for (size_t i = 0; i < n; i++) {
		struct proc p = { 0 };

		if (read_stat(pids[i], &p) < 0)
			continue; /* it has ended meanwhile */
		p.uid = status_uid(pids[i]);
		put_process(&t, &p);
	}
	r = buf_finish(&t.out);
	if (r == 0)
		print_table(buf_str(&t.out));
	buf_fini(&t.out);
	buf_fini(&t.passwd);
	return r < 0 ? err_sys(e, -r, "listing processes") : 0;
}

static int top_main(void *o, int argc, char **argv, struct err *e)
{
	static const char *const usual[] = { "-ef", "-e", "-f", "-eaf", "aux", "-aux" };
	auto_free pid_t *pids = NULL;
	struct runtime *rt;
	bool known = argc == 1;
	char id[65];
	size_t n;
	int r;

	(void)o;
	for (size_t i = 0; i < ARRAY_SIZE(usual) && argc == 2; i++)
		known |= str_eq(argv[1], usual[i]);
	if (!known)
		return err_set(e, EINVAL, "'%s': the columns are always those of ps -ef", argv[1]);
	r = cmd_runtime(&rt, e);
	if (r >= 0)
		r = each_id(rt, argv[0], id, e);
	if (r >= 0)
		r = instance_pids(rt, id, &pids, &n, e);
	return r < 0 ? r : print_pids(pids, n, e);
}

const struct cmd cmd_top = {
	.name = "top",
	.aliases = "container top",
	.group = CMD_LOOK,
	.args = "CONTAINER [-ef]",
	.summary = "List a container's processes",
	.about = "Lists the processes of a running container with their ids on the host, in the columns of "
		 "ps -ef.",
	.min_args = 1,
	.max_args = -1,
	.options_first = true,
	.run = top_main,
	.complete = "@container",
};
