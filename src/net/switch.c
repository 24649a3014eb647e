/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switch.c - a learning switch between machines, without a process in the middle
 *
 * Theory of operation. A switch is a directory (mode 0700). Every member listens on a SEQPACKET socket of its own in it and
 * is connected with every other: a frame goes from the sender's process straight to the receiver's, copied once in and once
 * out. Nothing is forwarded, so there are no loops; when a member dies, its connections end, and the others go on.
 *
 * Joining happens before a machine is jailed, under a lock on the directory's file "lock" that dies with its holder: listen,
 * then connect to every socket that is there already. So of any two members exactly one connects, and members that are in
 * their jails need no more than accept4(2). A socket that nobody listens on any more is removed by the next who joins; the
 * member itself keeps no descriptor of the directory.
 *
 * One uid. The directory lets nobody else in; SO_PEERCRED is asked on both ends besides. A listener's own is what it was when
 * it listened: in a later user namespace both are translated alike.
 *
 * A message is one frame with its virtio_net_hdr: a long TCP segment passes unsplit. The receiver knows what its guest takes
 * and undoes the rest (gso.c). The header is another guest's, and is checked there. Small frames to one peer that are sent
 * together go as one message, a bundle: BUNDLE_MARK and a zero byte, then for each frame two bytes with its length, and the frame with
 * its header. No header begins with BUNDLE_MARK. A message costs more than a microsecond on either side, a frame in a bundle two short
 * copies (measured: see docs/network.md). What is held back for a bundle leaves with link_flush() at the latest.
 *
 * Learning: the source address of what a peer sends is looked for there from then on, for MAC_AGE_NS; a new address takes the
 * place of the one in its bucket that was not heard of for longest. What is not known, and groups, go to all.
 *
 * A peer that does not take its frames (paused, stopped) may hold up the sender for STALL_NS, once: then what is for it is
 * dropped until it takes some again.
 *
 * States of a peer: free (fd -1) -> up (connected or accepted) -> free (end of file, error)
 *
 * syscalls(device): accept4 sendmsg recvmsg getsockopt[2]=SO_PEERCRED setsockopt[2]=SO_SNDBUF epoll_ctl
 */
#include <dirent.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "io/loop.h"
#include "net/gso.h"
#include "net/link.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/sock.h"

enum {
	PEERS_MAX = 63,
	MAC_BUCKETS = 256,
	MAC_WAYS = 4,
	SOCKET_BYTES = 1 << 20, /* asked for each connection; the kernel gives what it allows */
	LOCK_TRIES = 500,       /* 10 ms each */
	HEAD_BYTES = LINK_HDR_BYTES + LINK_ETH_BYTES,
	BUNDLE_MARK = 0x80,      /* a bit of virtio_net_hdr's flags that means nothing */
	BUNDLE_HEAD_BYTES = 2,   /* of the bundle */
	BUNDLE_LEN_BYTES = 2,    /* before each frame */
	BUNDLE_FRAME_MAX = 2048, /* longer ones go alone: copying them would cost more than it saves */
};

#define MAC_AGE_NS (300 * NSEC_PER_SEC)
#define STALL_NS   (50 * NSEC_PER_MSEC)

struct peer {
	struct sw *sw;
	struct loop_source source;
	int fd;            /* owned; -1: free */
	bool readable;     /* it has not said -EAGAIN since it last woke us */
	nsec_t full_since; /* it said -EAGAIN to a frame and has not taken one since; 0: it takes */
};

struct mac {
	uint8_t addr[6];
	uint16_t peer;
	nsec_t heard; /* 0: empty */
};

struct bundle { /* of small frames to one peer, not sent yet */
	unsigned peer, n;
	size_t len; /* with its head */
	uint8_t bytes[LINK_FRAME_MAX];
};

struct sw {
	struct link link;
	struct loop *loop; /* borrowed */
	struct loop_source listener;
	struct loop_timer stall;
	int listen_fd;  /* owned */
	uid_t uid;      /* of whoever is let in when we connect */
	unsigned tun_f; /* what the guest takes */
	unsigned turn;  /* peer to be read next */
	struct gso_cut cut;
	bool cutting;                 /* @bounce holds a frame of which parts are to come */
	bool bundles;                 /* the last message was a bundle: the next is likely to be one */
	unsigned bundle_peer;         /* who sent it */
	size_t bundle_at, bundle_end; /* frames of a received bundle in @bounce that are to come */
	struct bundle out;
	struct peer peer[PEERS_MAX];
	struct mac mac[MAC_BUCKETS][MAC_WAYS];
	uint8_t bounce[LINK_FRAME_MAX];
};

/* --- addresses ---------------------------------------------------------------------------------------------- */

static nsec_t now_coarse(void)
{
	return time_now_ns(CLOCK_MONOTONIC_COARSE);
}

static struct mac *bucket(struct sw *s, const uint8_t *addr)
{
	uint32_t h;

	memcpy(&h, addr + 2, sizeof(h));
	h = (h ^ addr[1]) * 2654435761U;
	return s->mac[h >> 24];
}

static void learn(struct sw *s, const uint8_t *addr, unsigned peer)
{
	struct mac *b = bucket(s, addr), *oldest = b;

	if (addr[0] & 1) /* a group is nobody's address */
		return;
	for (unsigned i = 0; i < MAC_WAYS; i++) {
		if (memcmp(b[i].addr, addr, 6) == 0) {
			oldest = &b[i];
			break;
		}
		if (b[i].heard < oldest->heard)
			oldest = &b[i];
	}
	memcpy(oldest->addr, addr, 6);
	oldest->peer = (uint16_t)peer;
	oldest->heard = now_coarse();
}

/* look_up() - the peer behind an address, or -1. */
static int look_up(struct sw *s, const uint8_t *addr)
{
	const struct mac *b = bucket(s, addr);

	if (addr[0] & 1)
		return -1;
	for (unsigned i = 0; i < MAC_WAYS; i++)
		if (b[i].heard > 0 && memcmp(b[i].addr, addr, 6) == 0)
			return now_coarse() - b[i].heard < MAC_AGE_NS ? b[i].peer : -1;
	return -1;
}

static void forget(struct sw *s, unsigned peer)
{
	for (unsigned i = 0; i < MAC_BUCKETS; i++)
		for (unsigned k = 0; k < MAC_WAYS; k++)
			if (s->mac[i][k].peer == peer)
				s->mac[i][k] = (struct mac){ 0 };
}

/* --- peers -------------------------------------------------------------------------------------------------- */

static void peer_drop(struct sw *s, unsigned i)
{
	loop_remove(s->loop, &s->peer[i].source);
	fd_close(&s->peer[i].fd);
	s->peer[i].full_since = 0;
	s->peer[i].readable = false;
	forget(s, i);
	if (s->out.peer == i && s->out.n > 0) {
		s->link.n_dropped += s->out.n;
		s->out.n = 0;
	}
}

static void peer_ready(void *arg, uint32_t events)
{
	struct peer *p = arg;

	(void)events; /* the end is seen by whoever reads or writes next */
	p->readable = true;
	link_tell(&p->sw->link);
}

/* peer_add() - @fd: connected; taken. Return: 0; -EUSERS. */
static int peer_add(struct sw *s, int fd)
{
	auto_close int mine = fd;
	int size = SOCKET_BYTES;

	for (unsigned i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &s->peer[i];
		int r;

		if (p->fd >= 0)
			continue;
		(void)setsockopt(mine, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* less is only slower */
		*p = (struct peer){ .sw = s, .fd = -1, .readable = true };
		p->source = (struct loop_source){ .fd = -1, .ready = peer_ready, .arg = p };
		r = loop_add(s->loop, &p->source, mine, EPOLLIN | EPOLLOUT | EPOLLET);
		if (r == 0)
			p->fd = TAKE_FD(mine);
		return r;
	}
	return -EUSERS;
}

/* on_member() - somebody joins. Every refusal is a closed connection: whoever it is goes on without us. */
static void on_member(void *arg, uint32_t events)
{
	struct sw *s = arg;
	int fd;

	(void)events;
	while ((fd = sock_accept(s->listen_fd)) >= 0) {
		uid_t theirs, ours;

		if (sock_peer_uid(fd, &theirs) < 0 || sock_peer_uid(s->listen_fd, &ours) < 0 ||
		    theirs != ours)
			guard_close(&fd);
		else
			(void)peer_add(s, fd);
	}
	link_tell(&s->link); /* it may have sent before it was accepted */
}

/* --- frames ------------------------------------------------------------------------------------------------- */

/* post() - one message of @frames to one peer. Return: 0 sent or dropped; -EAGAIN it is full, and not for long. */
static int post(struct sw *s, unsigned i, const struct iovec *iov, unsigned n, unsigned frames, bool may_wait)
{
	struct peer *p = &s->peer[i];
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
	long r = SYS3(SYS_sendmsg, p->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (r >= 0) {
		p->full_since = 0;
		return 0;
	}
	if (r != -EAGAIN) {
		if (r != -EMSGSIZE && r != -ENOBUFS && r != -ENOMEM)
			peer_drop(s, i);
		s->link.n_dropped += frames;
		return 0;
	}
	if (p->full_since == 0)
		p->full_since = now_coarse();
	if (may_wait && now_coarse() - p->full_since < STALL_NS) {
		if (s->stall.at == 0)
			loop_timer_set(s->loop, &s->stall, STALL_NS);
		return -EAGAIN;
	}
	s->link.n_dropped += frames;
	return 0;
}

static int sw_flush(struct link *l)
{
	struct sw *s = (struct sw *)l;
	struct iovec all = { s->out.bytes, s->out.len };
	const size_t skip = BUNDLE_HEAD_BYTES + BUNDLE_LEN_BYTES;
	unsigned n = s->out.n;
	int r;

	if (n == 0)
		return 0;
	if (n == 1)
		all = (struct iovec){ s->out.bytes + skip, s->out.len - skip };
	r = post(s, s->out.peer, &all, 1, n, true);
	if (r == 0)
		s->out.n = 0;
	return r;
}

/* hold_back() - a small frame, for the bundle that goes to @peer. Return: 0; -EAGAIN it is full, and the peer too. */
static int hold_back(struct sw *s, unsigned peer, const struct iovec *iov, unsigned n, size_t len)
{
	struct bundle *b = &s->out;
	uint16_t l = (uint16_t)len;

	if (b->n > 0 && (b->peer != peer || b->len + BUNDLE_LEN_BYTES + len > sizeof(b->bytes))) {
		int r = sw_flush(&s->link);

		if (r < 0)
			return r;
	}
	if (b->n == 0) {
		b->peer = peer;
		b->bytes[0] = BUNDLE_MARK;
		b->bytes[1] = 0;
		b->len = BUNDLE_HEAD_BYTES;
	}
	memcpy(b->bytes + b->len, &l, sizeof(l));
	link_iov_copy(b->bytes + b->len + BUNDLE_LEN_BYTES, len, iov, n, 0);
	b->bytes[b->len + BUNDLE_LEN_BYTES] &=
		(uint8_t)~BUNDLE_MARK; /* alone it must not look like a bundle */
	b->len += BUNDLE_LEN_BYTES + len;
	b->n++;
	return 0;
}

/* looks_like_bundle() - no driver sets such flags, and the receiver would take the frame for a bundle. Not a defence: a guest may set
 * them later, and then sends a bundle of its own making, which the receiver reads as any peer's. */
static bool looks_like_bundle(const struct iovec *iov, unsigned n)
{
	uint8_t flags = 0;

	link_iov_copy(&flags, 1, iov, n, 0);
	return flags & BUNDLE_MARK;
}

static int sw_send(struct link *l, const struct iovec *iov, unsigned n)
{
	struct sw *s = (struct sw *)l;
	size_t len = link_iov_bytes(iov, n);
	uint8_t dst[6];
	int to, r;

	if (looks_like_bundle(iov, n)) {
		l->n_dropped++;
		return 0;
	}
	link_iov_copy(dst, sizeof(dst), iov, n, LINK_HDR_BYTES);
	to = look_up(s, dst);
	if (to >= 0 && s->peer[to].fd < 0)
		to = -1;
	if (to >= 0 && len <= BUNDLE_FRAME_MAX)
		return hold_back(s, (unsigned)to, iov, n, len);
	r = sw_flush(l); /* those before it */
	if (r < 0)
		return r;
	if (to >= 0)
		return post(s, (unsigned)to, iov, n, 1, true);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (s->peer[i].fd >= 0)
			post(s, i, iov, n, 1, false);
	return 0;
}

/* read_peer() - a message, into @iov. Return: all bytes; -EAGAIN; -EMSGSIZE. */
static long read_peer(struct sw *s, unsigned i, struct iovec *iov, unsigned n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
	long r = SYS3(SYS_recvmsg, s->peer[i].fd, &msg, MSG_DONTWAIT);

	if (r == -EAGAIN || r == -EINTR) {
		s->peer[i].readable = r == -EINTR;
		return -EAGAIN;
	}
	if (r <= 0) { /* members send no empty messages: this is the end */
		peer_drop(s, i);
		return -EAGAIN;
	}
	if (msg.msg_flags & MSG_TRUNC || r < HEAD_BYTES) {
		s->link.n_dropped++;
		return -EMSGSIZE;
	}
	return r;
}

static long next_cut(struct sw *s, const struct iovec *iov, unsigned n)
{
	long r = gso_cut_next(&s->cut, iov, n);

	s->cutting = gso_cut_more(&s->cut);
	if (r < 0)
		s->link.n_dropped++;
	return r;
}

/* take_own() - a frame in @bounce: to the guest, in pieces when it takes no other. Return: as recv() */
static long take_own(struct sw *s, unsigned i, uint8_t *frame, size_t len, const struct iovec *iov,
		     unsigned n)
{
	struct gso_need need;

	learn(s, frame + LINK_HDR_BYTES + 6, i);
	if (gso_check(&need, frame, len - LINK_HDR_BYTES) < 0)
		goto drop;
	if (!(need.tun_f & ~s->tun_f)) {
		if (link_iov_fill(iov, n, 0, frame, len) < len)
			goto drop;
		return (long)len;
	}
	if (gso_cut_start(&s->cut, &need, frame + LINK_HDR_BYTES, len - LINK_HDR_BYTES) < 0)
		goto drop;
	s->cutting = true;
	return next_cut(s, iov, n);
drop:
	s->link.n_dropped++;
	return -EMSGSIZE;
}

/* next_of_bundle() - its lengths are a peer's word: what does not fit is the end of it. */
static long next_of_bundle(struct sw *s, const struct iovec *iov, unsigned n)
{
	uint8_t *at = s->bounce + s->bundle_at;
	size_t left = s->bundle_end - s->bundle_at;
	uint16_t len = 0;

	if (left >= BUNDLE_LEN_BYTES)
		memcpy(&len, at, sizeof(len));
	if (len < HEAD_BYTES || len > left - BUNDLE_LEN_BYTES) {
		s->bundle_at = s->bundle_end = 0;
		s->link.n_dropped++;
		return -EMSGSIZE;
	}
	s->bundle_at += BUNDLE_LEN_BYTES + len;
	return take_own(s, s->bundle_peer, at + BUNDLE_LEN_BYTES, len, iov, n);
}

/* take_message() - the @len bytes in @bounce. */
static long take_message(struct sw *s, unsigned i, size_t len, const struct iovec *iov, unsigned n)
{
	s->bundles = s->bounce[0] & BUNDLE_MARK;
	if (!s->bundles)
		return take_own(s, i, s->bounce, len, iov, n);
	s->bundle_peer = i;
	s->bundle_at = BUNDLE_HEAD_BYTES;
	s->bundle_end = len;
	return next_of_bundle(s, iov, n);
}

/*
 * take_direct() - straight into the guest's memory, which takes whatever offload there is; but for the headers, which must not
 * change once they were checked, and for what is longer than the guest's buffers: a bundle may be, and is put together again.
 */
static long take_direct(struct sw *s, unsigned i, const struct iovec *iov, unsigned n)
{
	struct iovec v[LINK_IOV_MAX + 2];
	uint8_t head[HEAD_BYTES];
	size_t room = link_iov_bytes(iov, n);
	struct gso_need need;
	unsigned k;
	long r;

	v[0] = (struct iovec){ head, HEAD_BYTES };
	k = 1 + link_iov_skip(v + 1, iov, n, HEAD_BYTES);
	if (room < sizeof(s->bounce))
		v[k++] = (struct iovec){ s->bounce + room, sizeof(s->bounce) - room };
	r = read_peer(s, i, v, k);
	if (r < 0)
		return r;
	if (head[0] & BUNDLE_MARK) {
		memcpy(s->bounce, head, HEAD_BYTES);
		link_iov_copy(s->bounce + HEAD_BYTES, (size_t)r - HEAD_BYTES, iov, n, HEAD_BYTES);
		return take_message(s, i, (size_t)r, iov, n);
	}
	learn(s, head + LINK_HDR_BYTES + 6, i);
	if ((size_t)r > room || gso_check(&need, head, (size_t)r - LINK_HDR_BYTES) < 0 ||
	    need.tun_f & ~s->tun_f) {
		s->link.n_dropped++;
		return -EMSGSIZE;
	}
	link_iov_fill(iov, n, 0, head, HEAD_BYTES);
	return r;
}

/* take_bounced() - into our memory, and from there on. */
static long take_bounced(struct sw *s, unsigned i, const struct iovec *iov, unsigned n)
{
	long r = read_peer(s, i, &(struct iovec){ s->bounce, sizeof(s->bounce) }, 1);

	return r < 0 ? r : take_message(s, i, (size_t)r, iov, n);
}

static long sw_recv(struct link *l, const struct iovec *iov, unsigned n)
{
	const unsigned all = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	struct sw *s = (struct sw *)l;
	long r;

	if (s->cutting)
		return next_cut(s, iov, n);
	if (s->bundle_at < s->bundle_end)
		return next_of_bundle(s, iov, n);
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		unsigned at = (s->turn + i) % PEERS_MAX;

		if (s->peer[at].fd < 0 || !s->peer[at].readable)
			continue;
		r = (s->tun_f & all) == all && !s->bundles ? take_direct(s, at, iov, n) :
							     take_bounced(s, at, iov, n);
		if (r == -EAGAIN)
			continue;
		s->turn = at + 1; /* the others first, the next time */
		return r;
	}
	return -EAGAIN;
}

static int sw_offloads(struct link *l, unsigned tun_f)
{
	struct sw *s = (struct sw *)l;

	s->tun_f = tun_f;
	return 0;
}

static void on_stall(void *arg)
{
	struct sw *s = arg;

	link_tell(&s->link); /* the card tries again; what is still full drops now */
}

static void sw_free(struct link *l)
{
	struct sw *s = (struct sw *)l;

	for (unsigned i = 0; i < PEERS_MAX; i++)
		peer_drop(s, i);
	loop_timer_off(s->loop, &s->stall);
	loop_remove(s->loop, &s->listener);
	fd_close(&s->listen_fd);
	free(s);
}

static const struct link_ops sw_ops = {
	.name = "switch",
	.send = sw_send,
	.flush = sw_flush,
	.recv = sw_recv,
	.offloads = sw_offloads,
	.free = sw_free,
};

/* --- joining ------------------------------------------------------------------------------------------------ */

/* join_one() - a socket found in the directory: connect, or remove it when its member is dead. */
static int join_one(struct sw *s, int dir, const char *name, struct err *e)
{
	auto_close int fd = sock_connect_at(dir, name, SOCK_SEQPACKET | SOCK_NONBLOCK);
	uid_t uid;
	int r;

	if (fd == -ECONNREFUSED || fd == -ENOENT) {
		file_unlink(dir, name, 0);
		return 0;
	}
	if (fd == -EAGAIN) /* it has not accepted for 128 joins: as good as dead, but not ours to remove */
		return 0;
	if (fd < 0)
		return err_sys(e, -fd, "member '%s'", name);
	r = sock_peer_uid(fd, &uid);
	if (r < 0 || uid != s->uid)
		return err_set(e, EPERM, "member '%s' is another user's", name);
	r = peer_add(s, TAKE_FD(fd));
	return r == -EUSERS ? err_set(e, EUSERS, "%d members already", PEERS_MAX + 1) :
	       r < 0        ? err_sys(e, -r, "member '%s'", name) :
			      0;
}

static int join_all(struct sw *s, int dir, const char *own, struct err *e)
{
	int again = file_open(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *n;
	int r = 0;

	if (!d) {
		guard_close(&again);
		return err_sys(e, again < 0 ? -again : ENOMEM, "reading it");
	}
	while (r == 0 && (n = readdir(d)))
		if (str_starts(n->d_name, "m-") && !str_eq(n->d_name, own))
			r = join_one(s, dir, n->d_name, e);
	closedir(d);
	return r;
}

/* lock() - the directory's lock: held for milliseconds, by whoever joins. */
static int lock(int dir, struct err *e)
{
	auto_close int fd = file_open(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	const struct timespec pause = { .tv_nsec = 10 * NSEC_PER_MSEC };
	int r = fd;

	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		r = file_lock(fd, true, false);
		if (r != -EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	return r < 0 ? err_sys(e, -r, "its lock") : TAKE_FD(fd);
}

static int join(struct sw *s, int dir, struct err *e)
{
	auto_close int held = lock(dir, e);
	uint64_t random;
	char own[32];
	int r;

	if (held < 0)
		return held;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, errno, "getrandom");
	str_format(own, sizeof(own), "m-%016llx", (unsigned long long)random);
	s->listen_fd = sock_listen_at(dir, own, SOCK_SEQPACKET | SOCK_NONBLOCK, 0600);
	if (s->listen_fd < 0)
		return err_sys(e, -s->listen_fd, "listening");
	r = join_all(s, dir, own, e);
	if (r == 0)
		r = loop_add(s->loop, &s->listener, s->listen_fd, EPOLLIN);
	if (r < 0)
		file_unlink(dir, own, 0);
	return r;
}

int link_open_switch(struct link **ret_l, struct loop *loop, const char *path, struct err *e)
{
	auto_close int dir = -1;
	struct sw *s;
	int r = file_mkdir_private(path);

	dir = r < 0 ? r : file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0)
		return dir == -EPERM ?
			       err_set(e, EPERM, "switch '%s': not a directory that is this user's alone",
				       path) :
			       err_sys(e, -dir, "switch '%s'", path);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_sys(e, ENOMEM, "switch '%s'", path);
	s->link = (struct link){ .ops = &sw_ops,
				 .host_offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN };
	s->loop = loop;
	s->listen_fd = -1;
	s->uid = geteuid();
	s->listener = (struct loop_source){ .fd = -1, .ready = on_member, .arg = s };
	s->stall = (struct loop_timer){ .fire = on_stall, .arg = s };
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		s->peer[i].fd = -1;
		s->peer[i].source.fd = -1;
	}
	r = join(s, dir, e);
	if (r < 0) {
		sw_free(&s->link);
		return err_wrap(e, r, "switch '%s'", path);
	}
	*ret_l = &s->link;
	return 0;
}
