/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Two queues. Nothing is buffered between them and the descriptors: bytes go from the guest's buffers into write(2) and from
 * read(2) into its buffers.
 *
 * Output: a chain that the descriptor takes only in part is put back, and @tx_off remembers how far it got; then the
 * descriptor is watched until it is writable. When it is broken the guest's output is thrown away and counted.
 *
 * Input: the descriptor is watched only while the guest has room. One that cannot be watched (a file, /dev/null) or that has
 * hung up is read without waiting, until its end.
 *
 * The loop's sources are touched in its own thread only: by serve(), by their own callbacks, and by new() and free().
 *
 * syscalls(device): readv writev preadv2 pwritev2 epoll_ctl
 */
#include "virtio/console.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/record.h"
#include "io/loop.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/path.h"
#include "virtio/vdev.h"

enum {
	RX,
	TX,
	QUEUES,
};

enum {
	BATCH_BYTES = 256 << 10, /* moved in a row before other devices get their turn */
	CHAIN_COST = 64,         /* bytes that a chain counts for beside its own: an empty one is not free */
	IOV_AT_ONCE = 64,
	CONSOLE_RECORD_VERSION = 1,
};

#define PTMX makedev(5, 2) /* opened anew it is another terminal's master */

#define CONSOLE_FEATURES (1ULL << VIRTIO_CONSOLE_F_SIZE | 1ULL << VIRTIO_CONSOLE_F_EMERG_WRITE)

struct port_end {      /* one descriptor */
	int fd;        /* owned; -1: none, or its end was met */
	bool socket;   /* a blocking one: each call says that it must not wait */
	bool pollable; /* epoll takes it, and it has not hung up */
	struct loop_source source;
};

struct console {
	struct vdev d;
	struct port_end in, out;
	uint16_t cols, rows;
	uint32_t tx_off; /* bytes of the first waiting chain that are out already */
	struct vq_chain chain;
	uint64_t n_dropped; /* bytes of output that nobody took */
};

static struct console *console_of(struct vdev *d)
{
	return (struct console *)d;
}
static_assert(offsetof(struct console, d) == 0, "the generic part comes first");

/* --- descriptors ----------------------------------------------------------------------------------------- */

/* watch() - ask the loop for @events, or for none. Context: the loop's thread. */
static void watch(struct console *k, struct port_end *p, uint32_t events)
{
	if (!events) {
		loop_remove(k->d.loop,
			    &p->source); /* not just unwanted: a hang-up is told whether asked for or not */
		return;
	}
	if (p->source.fd < 0 && p->fd >= 0 && p->pollable &&
	    loop_add(k->d.loop, &p->source, p->fd, events) < 0)
		p->pollable = false;
}

static void end_close(struct console *k, struct port_end *p)
{
	loop_remove(k->d.loop, &p->source);
	fd_close(&p->fd);
}

/* write_some() - without waiting. Return: bytes, or -errno. */
static long write_some(const struct port_end *p, const struct iovec *iov, unsigned n)
{
	long r;

	do {
		r = p->socket ? SYS6(SYS_pwritev2, p->fd, iov, n, -1L, -1L, RWF_NOWAIT) :
				SYS3(SYS_writev, p->fd, iov, n);
	} while (r == -EINTR);
	return r;
}

static long read_some(const struct port_end *p, const struct iovec *iov, unsigned n)
{
	long r;

	do {
		r = p->socket ? SYS6(SYS_preadv2, p->fd, iov, n, -1L, -1L, RWF_NOWAIT) :
				SYS3(SYS_readv, p->fd, iov, n);
	} while (r == -EINTR);
	return r;
}

/* --- output ---------------------------------------------------------------------------------------------- */

/* skip() - move the cursor over what is out already. */
static void skip(struct vq_chain *c, uint32_t len)
{
	struct iovec iov[IOV_AT_ONCE];
	size_t got;

	for (; len > 0; len -= (uint32_t)got)
		if (vq_read_iov(c, iov, ARRAY_SIZE(iov), len, &got) == 0)
			return; /* the guest made it shorter meanwhile */
}

/* chain_out() - what is left of k->chain. Return: true: all of it is out, or dropped; false: the descriptor takes no more. */
static bool chain_out(struct console *k)
{
	struct iovec iov[IOV_AT_ONCE];
	size_t len;
	unsigned n;

	skip(&k->chain, k->tx_off);
	while ((n = vq_read_iov(&k->chain, iov, ARRAY_SIZE(iov), BATCH_BYTES, &len)) > 0) {
		long r = k->out.fd < 0 ? -EBADF : write_some(&k->out, iov, n);

		if (r < 0 && r != -EAGAIN) {
			end_close(k, &k->out);
			k->n_dropped += len;
			continue;
		}
		if (r > 0)
			k->tx_off += (uint32_t)r;
		if (r < (long)len)
			return false;
	}
	k->tx_off = 0;
	return true;
}

static int tx_serve(struct console *k)
{
	struct vq *q = &k->d.vq[TX];
	uint32_t moved = 0;
	bool room = true;
	int r;

	if (k->out.source.fd >= 0)
		return 0; /* it takes nothing now; its callback goes on */
	while ((r = vq_pop(q, &k->chain)) > 0) {
		moved += k->chain.in_left + CHAIN_COST;
		room = chain_out(k);
		if (!room) {
			vq_undo(q, &k->chain);
			break;
		}
		r = vq_push(q, &k->chain);
		if (r < 0)
			return r;
		if (moved >= BATCH_BYTES) {
			vdev_kick(&k->d, TX);
			break;
		}
	}
	vdev_notify(&k->d, TX);
	if (!room) {
		watch(k, &k->out, EPOLLOUT);
		if (k->out.source.fd < 0) /* it cannot be waited for: one more try, after the others */
			vdev_kick(&k->d, TX);
	}
	return r < 0 ? r : 0;
}

static void on_out(void *arg, uint32_t events)
{
	struct console *k = arg;

	(void)events;
	pthread_mutex_lock(&k->d.lock);
	watch(k, &k->out, 0);
	pthread_mutex_unlock(&k->d.lock);
	vdev_serve(&k->d, TX); /* paused: resume() kicks */
}

/* --- input ----------------------------------------------------------------------------------------------- */

/* chain_in() - Return: bytes; 0 the end of the input; -EAGAIN nothing now */
static long chain_in(struct console *k)
{
	struct iovec iov[IOV_AT_ONCE];
	size_t len;
	unsigned n = vq_write_iov(&k->chain, iov, ARRAY_SIZE(iov), BATCH_BYTES, &len);
	long r = -EAGAIN;

	if (n > 0)
		r = read_some(&k->in, iov, n);
	if (n > 0 && r < 0 && r != -EAGAIN)
		r = 0;
	k->chain.written = r > 0 ? (uint32_t)r : 0;
	return n == 0 ? 1 : r; /* a buffer without room goes back empty */
}

static int rx_serve(struct console *k)
{
	struct vq *q = &k->d.vq[RX];
	uint32_t moved = 0;
	uint32_t want = 0;
	int r = 0;

	while (k->in.fd >= 0 && (r = vq_pop(q, &k->chain)) > 0) {
		long n = chain_in(k);

		if (n <= 0) {
			vq_undo(q, &k->chain);
			if (n == 0)
				end_close(k, &k->in);
			else
				want = EPOLLIN;
			break;
		}
		r = vq_push(q, &k->chain);
		if (r < 0)
			break;
		moved += (uint32_t)n + CHAIN_COST;
		if (moved >= BATCH_BYTES) {
			vdev_kick(&k->d, RX);
			break;
		}
	}
	watch(k, &k->in, want);
	vdev_notify(&k->d, RX);
	return r < 0 ? r : 0;
}

static void on_in(void *arg, uint32_t events)
{
	struct console *k = arg;

	pthread_mutex_lock(&k->d.lock);
	watch(k, &k->in, 0);
	if (events & (EPOLLHUP | EPOLLERR))
		k->in.pollable =
			false; /* it would be told again and again: from here on read until the end */
	pthread_mutex_unlock(&k->d.lock);
	vdev_serve(&k->d, RX); /* not up, or paused: its kick asks again */
}

/* --- the device ------------------------------------------------------------------------------------------ */

static int console_serve(struct vdev *d, unsigned i)
{
	return i == TX ? tx_serve(console_of(d)) : rx_serve(console_of(d));
}

static void console_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	const struct console *k = console_of(d);
	struct virtio_console_config config = {
		.cols = htole16(k->cols),
		.rows = htole16(k->rows),
		.max_nr_ports = htole32(1),
	};

	memset(dst, 0, len);
	if (off < sizeof(config))
		memcpy(dst, (const char *)&config + off,
		       len < sizeof(config) - off ? len : sizeof(config) - off);
}

/* Spec: §5.3.4: emerg_wr, one character, from a driver that has no queues yet; what does not go out at once is dropped. */
static void console_config_write(struct vdev *d, unsigned off, const void *src, unsigned len)
{
	struct console *k = console_of(d);
	struct iovec iov = { (void *)src, 1 };

	if (off != offsetof(struct virtio_console_config, emerg_wr) || len == 0) {
		d->n_ignored++;
		return;
	}
	if (k->out.fd < 0 || write_some(&k->out, &iov, 1) != 1)
		k->n_dropped++;
}

static void console_reset(struct vdev *d)
{
	console_of(d)->tx_off = 0;
}

static void console_save(struct vdev *d, struct record_out *o)
{
	const struct console *k = console_of(d);

	record_begin(o, "CONSOLE", CONSOLE_RECORD_VERSION);
	record_put_u16(o, k->cols);
	record_put_u16(o, k->rows);
	record_put_u32(o, k->tx_off);
	record_end(o);
}

/* The size saved was another terminal's: the guest is told this one's when it differs. */
static void console_restore(struct vdev *d, struct record_in *in)
{
	struct console *k = console_of(d);
	uint16_t cols, rows;

	if (!record_open(in, "CONSOLE", CONSOLE_RECORD_VERSION))
		return;
	cols = record_get_u16(in);
	rows = record_get_u16(in);
	k->tx_off = record_get_u32(in);
	record_close(in);
	if (k->cols == 0 && k->rows == 0) {
		k->cols = cols;
		k->rows = rows;
	} else if (cols != k->cols || rows != k->rows) {
		vdev_config_changed(d);
	}
}

void console_resize(struct vdev *d, uint16_t cols, uint16_t rows)
{
	struct console *k = console_of(d);

	pthread_mutex_lock(&d->lock);
	if (cols != k->cols || rows != k->rows) {
		k->cols = cols;
		k->rows = rows;
		vdev_config_changed(d);
	}
	pthread_mutex_unlock(&d->lock);
}

static void console_free(struct vdev *d)
{
	struct console *k = console_of(d);

	if (d->loop) {
		end_close(k, &k->in);
		end_close(k, &k->out);
	}
	vdev_fini(d);
	fd_close(&k->in.fd);
	fd_close(&k->out.fd);
	free(k);
}

static const struct vdev_ops console_ops = {
	.name = "console",
	.id = VDEV_CONSOLE,
	.config_read = console_config_read,
	.config_write = console_config_write,
	.serve = console_serve,
	.reset = console_reset,
	.save = console_save,
	.restore = console_restore,
	.free = console_free,
};

/*
 * end_open() - our own descriptor for @fd that does not wait. A terminal or a pipe is opened anew, so that O_NONBLOCK is ours
 * alone; a socket cannot be, but can be told with each call; a file never waits, and opened anew it would lose its place.
 */
static int end_open(struct port_end *p, int fd, int mode)
{
	struct stat st;
	int r;

	p->pollable = true;
	if (fd < 0)
		return 0;
	r = file_fstatat(fd, "", &st, AT_EMPTY_PATH);
	if (r < 0)
		return r;
	p->socket = S_ISSOCK(st.st_mode);
	if ((S_ISCHR(st.st_mode) && st.st_rdev != PTMX) || S_ISFIFO(st.st_mode))
		p->fd = path_reopen(fd, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (p->fd < 0)
		p->fd = (int)SYS3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
	return p->fd < 0 ? p->fd : 0;
}

static int console_make(struct console *k, const struct console_config *c, const struct gmem *mem,
			struct loop *loop, struct err *e)
{
	int r = vdev_init(&k->d, &console_ops, "console", mem, loop, CONSOLE_FEATURES, QUEUES, e);

	if (r < 0)
		return r;
	r = end_open(&k->in, c->in_fd, O_RDONLY);
	if (r < 0)
		return err_sys(e, -r, "console: input");
	r = end_open(&k->out, c->out_fd, O_WRONLY);
	return r < 0 ? err_sys(e, -r, "console: output") : 0;
}

int console_new(struct vdev **ret_d, const struct console_config *c, const struct gmem *mem,
		struct loop *loop, struct err *e)
{
	struct console *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return err_sys(e, ENOMEM, "console");
	k->in.fd = k->out.fd = -1;
	k->in.source = (struct loop_source){ .fd = -1, .ready = on_in, .arg = k };
	k->out.source = (struct loop_source){ .fd = -1, .ready = on_out, .arg = k };
	k->cols = c->cols;
	k->rows = c->rows;
	r = console_make(k, c, mem, loop, e);
	if (r < 0) {
		console_free(&k->d);
		return r;
	}
	*ret_d = &k->d;
	return 0;
}
