/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_testing.h - the kernel's own TCP/IP as a guest, behind a tap in a network namespace; for tests only
 *
 *	guest_up(&g, "10.0.2.15", "10.0.2.2")	two namespaces: "host" (loopback) and "guest" (a tap); the caller is in the guest
 *	guest_link(&g, link)			the link under test at the other end of the tap; taken
 *	...	sockets as a program in the guest has them; guest_on_host() around those of the host
 *	guest_down(&g)
 *
 * A thread in the host's namespace runs the loop, and moves frames between tap and link.
 */
#ifndef NET_GUEST_TESTING_H
#define NET_GUEST_TESTING_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "io/loop.h"
#include "net/link.h"
#include "sys/sock.h"
#include "sys/tun.h"

struct guest {
	int host_ns, guest_ns, stop_fd;
	struct loop loop;
	struct loop_source stop;
	struct link *tap, *link;
	bool running;
	pthread_t thread;
	uint64_t n_out, n_in; /* frames */
	bool to_tap_waits, to_link_waits;
	size_t to_tap_len, to_link_len;
	uint8_t to_tap[LINK_FRAME_MAX], to_link[LINK_FRAME_MAX];
};

/* guest_possible() - before the first thread. */
static inline bool guest_possible(void)
{
	return unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0;
}

static inline void guest_on_host(struct guest *g, bool host)
{
	BUG_ON(setns(host ? g->host_ns : g->guest_ns, CLONE_NEWNET) < 0);
}

/* guest_move() - frames from @a to @b until one has no more, or the other no room. */
static inline void guest_move(struct link *a, struct link *b, uint8_t *frame, size_t *len, bool *waits,
			      uint64_t *n)
{
	for (;;) {
		if (!*waits) {
			struct iovec room = { frame, LINK_FRAME_MAX };
			long r = link_recv(a, &room, 1);

			if (r == -EMSGSIZE)
				continue;
			if (r < 0)
				return;
			*len = (size_t)r;
			++*n;
		}
		*waits = link_send(b, &(struct iovec){ frame, *len }, 1) == -EAGAIN;
		if (*waits)
			return;
	}
}

static inline void guest_turn(void *arg)
{
	struct guest *g = arg;

	guest_move(g->tap, g->link, g->to_link, &g->to_link_len, &g->to_link_waits, &g->n_out);
	guest_move(g->link, g->tap, g->to_tap, &g->to_tap_len, &g->to_tap_waits, &g->n_in);
}

static inline void guest_stop(void *arg, uint32_t events)
{
	(void)events;
	((struct guest *)arg)->loop.stop = true;
}

static inline void *guest_run(void *arg)
{
	struct guest *g = arg;

	guest_on_host(g, true);
	guest_turn(g);
	BUG_ON(loop_run(&g->loop) < 0);
	return NULL;
}

static inline struct sockaddr_in guest_addr(const char *ip, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	BUG_ON(inet_pton(AF_INET, ip, &a.sin_addr) != 1);
	return a;
}

/* guest_address() - of the tap, /16 for a link-local one, else /24; and a default route unless @gateway is NULL. */
static inline void guest_address(const char *ip, const char *gateway)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = guest_addr(ip, 0),
			   mask = guest_addr(strncmp(ip, "169.254.", 8) ? "255.255.255.0" : "255.255.0.0", 0);
	struct ifreq ifr = { .ifr_name = "eth0" };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };

	BUG_ON(fd < 0);
	memcpy(&ifr.ifr_addr, &a, sizeof(a));
	BUG_ON(ioctl(fd, SIOCSIFADDR, &ifr) < 0);
	memcpy(&ifr.ifr_netmask, &mask, sizeof(mask));
	BUG_ON(ioctl(fd, SIOCSIFNETMASK, &ifr) < 0);
	if (gateway) {
		a = guest_addr(gateway, 0);
		memcpy(&route.rt_gateway, &a, sizeof(a));
		route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
		BUG_ON(ioctl(fd, SIOCADDRT, &route) < 0);
	}
	close(fd);
}

/* guest_up() - @ip NULL: no address yet. */
static inline void guest_up(struct guest *g, const char *ip, const char *gateway)
{
	int tap;

	memset(g, 0, sizeof(*g));
	g->loop.epfd = -1;
	BUG_ON(unshare(CLONE_NEWNET) < 0 || sock_loopback_up() < 0);
	g->host_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	BUG_ON(unshare(CLONE_NEWNET) < 0 || sock_loopback_up() < 0);
	g->guest_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	BUG_ON(g->host_ns < 0 || g->guest_ns < 0 || loop_init(&g->loop) < 0);
	tap = tun_open("eth0", NULL);
	BUG_ON(tap < 0 || tun_set_up("eth0") < 0);
	if (ip)
		guest_address(ip, gateway);
	BUG_ON(link_take_tap(&g->tap, &g->loop, tap, NULL) < 0);
	g->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	g->stop = (struct loop_source){ .fd = -1, .ready = guest_stop, .arg = g };
	BUG_ON(loop_add(&g->loop, &g->stop, g->stop_fd, EPOLLIN) < 0);
}

/* guest_link() - @link: made on &g->loop; taken. Each end takes what offloads the other leaves. */
static inline void guest_link(struct guest *g, struct link *link, bool offloads)
{
	g->link = link;
	g->tap->ready = link->ready = guest_turn;
	g->tap->arg = link->arg = g;
	BUG_ON(link_offloads(g->tap, offloads ? link->host_offloads : 0) < 0);
	BUG_ON(link_offloads(link, offloads ? g->tap->host_offloads : 0) < 0);
	BUG_ON(pthread_create(&g->thread, NULL, guest_run, g) != 0);
	g->running = true;
}

static inline void guest_down(struct guest *g)
{
	uint64_t one = 1;

	if (g->running) {
		BUG_ON(write(g->stop_fd, &one, sizeof(one)) != sizeof(one));
		pthread_join(g->thread, NULL);
	}
	link_free(g->link);
	link_free(g->tap);
	loop_remove(&g->loop, &g->stop);
	close(g->stop_fd);
	loop_fini(&g->loop);
	close(g->host_ns);
	close(g->guest_ns);
}

/* guest_connect() - a TCP connection as a program in the current namespace makes it. Return: descriptor or -errno. */
static inline int guest_connect(const char *ip, uint16_t port)
{
	struct sockaddr_in a = guest_addr(ip, port);
	struct timeval t = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	BUG_ON(fd < 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

#endif
