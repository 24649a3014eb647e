/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/launch.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/oci.h"
#include "runtime/rootfs.h"
#include "runtime/runtime_internal.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"

int streams_open(struct streams *s, bool tty, bool with_stdin, struct err *e)
{
	int r = 0;

	if (tty) {
		int pair[2];

		r = sock_pair(SOCK_STREAM, pair);
		if (r < 0)
			return err_sys(e, -r, "console socket");
		s->console_mine = pair[0];
		s->console_theirs = pair[1];
		return 0;
	}
	for (int i = with_stdin ? 0 : 1; i < 3 && r >= 0; i++) {
		int pair[2];

		r = file_pipe(pair);
		if (r < 0)
			break;
		s->mine[i] = pair[i == 0];
		s->theirs[i] = pair[i != 0];
	}
	return r < 0 ? err_sys(e, -r, "standard streams") : 0;
}

static int unblock(int fd)
{
	return fd < 0 ? 0 : (int)SYS3(SYS_fcntl, fd, F_SETFL, O_NONBLOCK | O_RDWR);
}

int streams_settle(struct streams *s, bool tty, struct err *e)
{
	char byte;
	int r = 0;

	for (int i = 0; i < 3; i++)
		fd_close(&s->theirs[i]);
	fd_close(&s->console_theirs);
	if (tty) {
		/* The other end is closed: this ends even when no master was ever sent. */
		ssize_t n = sock_recv_fd(s->console_mine, &byte, sizeof(byte), &s->mine[1]);

		fd_close(&s->console_mine);
		if (n < 0 || s->mine[1] < 0)
			return err_sys(e, n < 0 ? (int)-n : ENOTTY, "the workload's terminal");
		s->mine[0] = (int)SYS3(SYS_fcntl, s->mine[1], F_DUPFD_CLOEXEC,
				       0); /* one for each direction in epoll */
		r = s->mine[0] < 0 ? s->mine[0] : 0;
	}
	for (int i = 0; i < 3 && r >= 0; i++)
		r = unblock(s->mine[i]);
	return r < 0 ? err_sys(e, -r, "standard streams") : 0;
}

void streams_fini(struct streams *s)
{
	for (int i = 0; i < 3; i++) {
		fd_close(&s->mine[i]);
		fd_close(&s->theirs[i]);
	}
	fd_close(&s->console_mine);
	fd_close(&s->console_theirs);
}

/* exit_code() - Docker's: the command itself is at fault when the level says so. */
static int exit_code(int r, const struct err *e)
{
	if (!strstr(e->text, "exec: \""))
		return 125;
	return r == -ENOENT || r == -ENOTDIR ? 127 : 126;
}

static int spec_slurp(const struct launch *l, struct buf *text, struct err *e)
{
	auto_free char *path = str_printf("%s/" INSTANCE_SPEC, l->run_dir);
	int r = path ? file_slurp_at(AT_FDCWD, path, text, INSTANCE_TEXT_MAX) : -ENOMEM;

	return r < 0 ? err_sys(e, -r, "%s/" INSTANCE_SPEC, l->run_dir) : 0;
}

static int make(struct launch *l, const struct iso_ops *ops, const char *text, size_t len, int rootfs_fd,
		struct iso **ret_i, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	struct oci_spec oci = { 0 };
	struct iso_spec s = {
		.id = l->id,
		.state_root = l->levels,
		.bundle = l->dir,
		.oci = &oci,
		.config_text = text,
		.config_len = len,
		.rootfs_fd = rootfs_fd,
		.console_fd = l->tty ? l->streams->console_theirs : -1,
		.rootless = cred_in_userns(),
		.start = true,
		.stdio = { l->streams->theirs[0], l->streams->theirs[1], l->streams->theirs[2] },
	};
	int r = oci_spec_parse(&oci, text, len, &a, e);

	return r < 0 ? r : iso_create(ops, ret_i, &s, e);
}

/*
 * open_mounts() - its mount namespace; -1 when it has ended before us
 * The last user of a namespace takes it apart, mount by mount. That should not be the workload's first process, for whose end
 * somebody waits.
 */
static int open_mounts(pid_t pid)
{
	char path[48];
	int fd;

	str_format(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	fd = file_open(AT_FDCWD, path, O_RDONLY, 0);
	return fd < 0 ? -1 : fd;
}

/* record() - who it is; it may have ended already, but its pid is ours until it is reaped. */
static int record(struct launch *l, const struct iso *i, struct err *e)
{
	int64_t started = proc_start_time(i->pid);

	l->pid = i->pid;
	if (started < 0)
		return err_sys(e, (int)-started, "the workload's first process");
	l->start_time = (uint64_t)started;
	l->mounts = l->keep_mounts ? open_mounts(i->pid) : -1;
	return 0;
}

int launch(struct launch *l, int *ret_code, struct err *e)
{
	const struct iso_ops *ops = iso_find(l->level, e);
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	auto_fini(buf) struct buf text = { 0 };
	auto_close int rootfs = -1;
	int r = ops ? 0 : -EINVAL;

	*ret_code = 125;
	if (r >= 0 && !l->spec_text)
		r = spec_slurp(l, &text, e);
	if (r >= 0 && l->rootfs_fd < 0) {
		rootfs = rootfs_open(l->dir, NULL, e);
		r = rootfs < 0 ? rootfs : 0;
	}
	if (r >= 0)
		r = make(l, ops, l->spec_text ? l->spec_text : buf_str(&text),
			 l->spec_text ? l->spec_len : text.len, l->rootfs_fd >= 0 ? l->rootfs_fd : rootfs, &i,
			 e);
	if (r < 0) {
		*ret_code = exit_code(r, e);
		return r;
	}
	r = record(l, i, e);
	if (r < 0) {
		*ret_code = exit_code(r, e);
		iso_remove(i, -1, NULL);
		return r;
	}
	l->iso = TAKE_PTR(i);
	return r;
}

int launch_end(struct iso *i, int trash, uint64_t *ret_oom_kills, struct err *e)
{
	if (ret_oom_kills)
		*ret_oom_kills = iso_oom_kills(i);
	return iso_remove(i, trash, e);
}

int launch_remove(const char *level, const char *levels, const char *id, uint64_t *ret_oom_kills,
		  struct err *e)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	const struct iso_ops *ops = iso_find(level, e);
	struct err why = { 0 };
	int r = ops ? iso_open(ops, &i, levels, id, &why) : -EINVAL;

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(e, -r, "%s", why.text);
	return launch_end(i, -1, ret_oom_kills, e);
}
