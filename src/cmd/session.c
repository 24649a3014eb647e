/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - what run, create, start, attach and exec have in common */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/run_flags.h"
#include "runtime/session.h"
#include "sys/file.h"

int flag_signal(const char *name)
{
	const char *bare = strncasecmp(name, "SIG", 3) == 0 ? name + 3 : name;
	uint64_t n;

	if (str_to_u64(name, &n) == 0)
		return n > 0 && n < NSIG ? (int)n : -EINVAL;
	for (int sig = 1; sig < NSIG; sig++)
		if (sigabbrev_np(sig) && strcasecmp(sigabbrev_np(sig), bare) == 0)
			return sig;
	if (strncasecmp(bare, "RTMIN+", 6) == 0 && str_to_u64(bare + 6, &n) == 0 && n <= 30)
		return 34 + (int)n; /* as the kernel and the container's libc count, not as ours does */
	if (strncasecmp(bare, "RTMAX-", 6) == 0 && str_to_u64(bare + 6, &n) == 0 && n <= 30)
		return 64 - (int)n;
	return strcasecmp(bare, "RTMIN") == 0 ? 34 : strcasecmp(bare, "RTMAX") == 0 ? 64 : -EINVAL;
}

static int check_attach(const struct strv *attach, struct err *e)
{
	for (size_t i = 0; i < attach->len; i++)
		if (strcasecmp(attach->item[i], "stdin") != 0 && strcasecmp(attach->item[i], "stdout") != 0 &&
		    strcasecmp(attach->item[i], "stderr") != 0)
			return flag_bad(e, "attach", attach->item[i], "stdin, stdout or stderr is wanted");
	return 0;
}

static bool wanted(const struct strv *attach, const char *stream)
{
	if (!attach || attach->len == 0)
		return true;
	for (size_t i = 0; i < attach->len; i++)
		if (strcasecmp(attach->item[i], stream) == 0)
			return true;
	return false;
}

int flag_streams(struct instance_streams *io, bool interactive, bool tty, const struct strv *attach,
		 struct err *e)
{
	unsigned char keys[SESSION_KEYS_MAX];
	int r = attach ? check_attach(attach, e) : 0;

	if (r == 0)
		r = session_keys(io->detach_keys, keys, e);
	if (r < 0)
		return r;
	if (tty && interactive && !isatty(STDIN_FILENO))
		return err_set(e, ENOTTY,
			       "standard input is not a terminal; leave out --tty, or --interactive");
	io->in = interactive && wanted(attach, "stdin") ? STDIN_FILENO : -1;
	io->out = wanted(attach, "stdout") ? STDOUT_FILENO : -1;
	io->err = wanted(attach, "stderr") ? STDERR_FILENO : -1;
	io->tty = tty;
	return 0;
}

/*
 * cidfile_make() - the file must be new: another container's id in it is not overwritten. Return: fd, or
 * -errno.
 */
static int cidfile_make(const char *path, struct err *e)
{
	int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd == -EEXIST)
		return err_set(e, EEXIST,
			       "--cidfile %s: exists already; remove it, or the container it names", path);
	return fd < 0 ? err_sys(e, -fd, "--cidfile %s", path) : fd;
}

/* image_hint() - an image that is not there is the commonest mistake: say what to do */
static int image_hint(struct runtime *rt, const char *image, int rc, struct err *e)
{
	auto_fini(image) struct image im = { 0 };

	if (rc != -ENOENT || store_image_find(runtime_store(rt), image, &im, NULL) != -ENOENT)
		return rc;
	return err_set(e, ENOENT, "no such image: '%s'; 'hull build', 'hull load' or 'hull import' make one",
		       image);
}

static int create(struct runtime *rt, const struct run_flags *f, char ret_id[65], struct err *e)
{
	auto_fini(strv) struct strv warnings = { 0 };
	int r = instance_create(rt, &f->config, ret_id, &warnings, e);

	if (r < 0)
		return image_hint(rt, f->config.image, r, e);
	for (size_t i = 0; i < warnings.len && !f->quiet; i++)
		fprintf(stderr, "hull: warning: %s\n", warnings.item[i]);
	return 0;
}

int run_create(struct run_flags *f, int argc, char **argv, char ret_id[65], struct err *e)
{
	auto_close int cidfile = -1;
	struct runtime *rt;
	int r = run_flags_finish(f, argc, argv, e);

	if (r >= 0)
		r = cmd_runtime(&rt, e);
	if (r >= 0 && f->cidfile) {
		r = cidfile = cidfile_make(f->cidfile, e);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	r = create(rt, f, ret_id, e);
	if (cidfile >= 0 && r < 0)
		file_unlink(AT_FDCWD, f->cidfile, 0);
	if (cidfile >= 0 && r == 0) {
		r = file_write(cidfile, ret_id, 64);
		if (r < 0)
			err_sys(e, -r, "--cidfile %s", f->cidfile);
	}
	return r;
}
