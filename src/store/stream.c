/* SPDX-License-Identifier: Apache-2.0 */
#include "store/stream.h"

#include <signal.h>
#include <unistd.h>

#include "base/guard.h"
#include "sys/call.h"
#include "sys/file.h"

enum { PIPE_BYTES = 1 << 20 };

void stream_fd_init(struct stream_fd *s, int fd)
{
	s->fd = fd;
	s->at = -1;
	s->left = UINT64_MAX;
}

void stream_fd_init_part(struct stream_fd *s, int fd, uint64_t at, uint64_t len)
{
	s->fd = fd;
	s->at = (int64_t)at;
	s->left = len;
}

static ssize_t fd_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct stream_fd *s = arg;
	size_t want = s->left < sizeof(s->bytes) ? (size_t)s->left : sizeof(s->bytes);
	long n;

	if (want == 0)
		return 0;
	do { /* one read as a rule: what a pipe has is enough, but a decoder wants a few bytes to begin with
	      */
		n = s->at < 0 ? file_read(s->fd, s->bytes, want) :
				SYS4(SYS_pread64, s->fd, s->bytes, want, s->at);
	} while (n == -EINTR);
	if (n < 0)
		return err_sys(e, (int)-n, "read");
	if (n == 0 && s->at >= 0)
		return err_set(e, EBADMSG, "cut short, %llu bytes are missing", (unsigned long long)s->left);
	if (s->at >= 0)
		s->at += n;
	if (s->left != UINT64_MAX)
		s->left -= (uint64_t)n;
	*ret_bytes = s->bytes;
	return n;
}

struct source stream_fd_source(struct stream_fd *s)
{
	return (struct source){ .next = fd_next, .arg = s };
}

static ssize_t digest_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct stream_digest *d = arg;
	ssize_t n = d->from.next(d->from.arg, ret_bytes, e);

	if (n > 0)
		digest_update(&d->digest, *ret_bytes, (size_t)n);
	return n;
}

void stream_digest_init(struct stream_digest *d, const struct source *from, enum digest_alg alg)
{
	d->from = *from;
	digest_init(&d->digest, alg);
}

struct source stream_digest_source(struct stream_digest *d)
{
	return (struct source){ .next = digest_next, .arg = d };
}

static void *feed_main(void *arg)
{
	struct stream_feed *f = arg;

	f->r = f->write(f->arg, f->out_fd, &f->e);
	close(f->out_fd); /* the reader's end of file */
	return NULL;
}

int stream_feed_start(struct stream_feed *f, struct err *e)
{
	sigset_t all, was;
	int fd[2], r = file_pipe(fd);

	if (r < 0)
		return err_sys(e, -r, "pipe");
	SYS3(SYS_fcntl, fd[1], F_SETPIPE_SZ, PIPE_BYTES); /* fewer switches; less will do */
	f->out_fd = fd[1];
	f->e = (struct err){ 0 };
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was); /* the thread inherits it */
	r = pthread_create(&f->thread, NULL, feed_main, f);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (r == 0)
		return fd[0];
	close(fd[0]);
	close(fd[1]);
	return err_sys(e, r, "thread");
}

int stream_feed_end(struct stream_feed *f, int r, struct err *e)
{
	pthread_join(f->thread, NULL);
	if (f->r >= 0 || f->r == -EPIPE) /* nobody read on because of what the reader says */
		return r;
	if (e)
		*e = f->e;
	return f->r;
}
