/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netdev.c - Theory of operation. A child does it, because half of the work happens in the container's network namespace: it
 * lists the device's addresses here, moves and renames it with one request, enters the namespace, puts the addresses back, and sets
 * the device up. Moving takes addresses away; MTU and hardware address stay.
 */
#include "container/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/sync.h"
#include "sys/file.h"
#include "sys/netlink.h"
#include "sys/ns.h"
#include "sys/sock.h"

enum { ADDRESSES_MAX = 64 };

struct address {
	struct ifaddrmsg header;
	uint8_t local[16], peer[16], broadcast[16];
	size_t local_len, peer_len, broadcast_len;
};

struct addresses {
	unsigned index; /* of the device */
	struct address a[ADDRESSES_MAX];
	size_t n;
};

static void keep(const struct rtattr *attr, uint8_t *dst, size_t *ret_len)
{
	size_t len = RTA_PAYLOAD(attr);

	if (len <= 16) {
		memcpy(dst, RTA_DATA(attr), len);
		*ret_len = len;
	}
}

/* keep_address() - a permanent address of global scope, as the specification asks. */
static int keep_address(void *arg, const struct nlmsghdr *h)
{
	struct addresses *all = arg;
	const struct ifaddrmsg *m = NLMSG_DATA(h);
	struct address *a = &all->a[all->n];
	int left = (int)IFA_PAYLOAD(h);

	if (h->nlmsg_type != RTM_NEWADDR || m->ifa_index != all->index || m->ifa_scope != RT_SCOPE_UNIVERSE ||
	    !(m->ifa_flags & IFA_F_PERMANENT))
		return 0;
	if (all->n == ADDRESSES_MAX)
		return -E2BIG;
	*a = (struct address){ .header = *m };
	for (const struct rtattr *t = IFA_RTA(m); RTA_OK(t, left); t = RTA_NEXT(t, left)) {
		if (t->rta_type == IFA_LOCAL)
			keep(t, a->local, &a->local_len);
		else if (t->rta_type == IFA_ADDRESS)
			keep(t, a->peer, &a->peer_len);
		else if (t->rta_type == IFA_BROADCAST)
			keep(t, a->broadcast, &a->broadcast_len);
	}
	all->n++;
	return 0;
}

static int move(int nl, unsigned index, const char *name, int netns, struct err *e)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_change = IFF_UP };
	struct nl_msg m;
	int r;

	nl_start(&m, RTM_NEWLINK, 0, &link, sizeof(link)); /* down: a device that is up cannot be renamed */
	r = nl_send(nl, &m);
	if (r == 0) {
		link.ifi_change = 0;
		nl_start(&m, RTM_NEWLINK, 0, &link, sizeof(link));
		nl_attr_u32(&m, IFLA_NET_NS_FD, (uint32_t)netns);
		nl_attr_str(&m, IFLA_IFNAME, name);
		r = nl_send(nl, &m);
	}
	return r < 0 ? err_sys(e, -r, "move it into the container as '%s'", name) : 0;
}

static int restore(int nl, const struct addresses *all, unsigned index, struct err *e)
{
	struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP
	};
	struct nl_msg m;
	int r = 0;

	for (size_t i = 0; i < all->n && r == 0; i++) {
		const struct address *a = &all->a[i];
		struct ifaddrmsg header = a->header;

		header.ifa_index = index;
		nl_start(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof(header));
		if (a->local_len)
			nl_attr(&m, IFA_LOCAL, a->local, a->local_len);
		if (a->peer_len)
			nl_attr(&m, IFA_ADDRESS, a->peer, a->peer_len);
		if (a->broadcast_len)
			nl_attr(&m, IFA_BROADCAST, a->broadcast, a->broadcast_len);
		r = nl_send(nl, &m);
	}
	if (r < 0)
		return err_sys(e, -r, "give it its addresses back");
	nl_start(&m, RTM_NEWLINK, 0, &link, sizeof(link));
	r = nl_send(nl, &m);
	return r < 0 ? err_sys(e, -r, "set it up") : 0;
}

static int move_one(const struct oci_net_device *d, int netns, struct err *e)
{
	const char *name = d->name && *d->name ? d->name : d->host_name;
	auto_close int here = nl_open();
	auto_close int there = -1;
	struct addresses all = { .index = if_nametoindex(d->host_name) };
	struct ifaddrmsg any = { .ifa_family = AF_UNSPEC };
	struct nl_msg m;
	int r;

	if (!all.index)
		return err_sys(e, ENODEV, "'%s' on the host", d->host_name);
	nl_start(&m, RTM_GETADDR, 0, &any, sizeof(any));
	r = here < 0 ? here : nl_dump(here, &m, keep_address, &all);
	if (r < 0)
		return err_sys(e, -r, "list its addresses");
	r = move(here, all.index, name, netns, e);
	if (r < 0)
		return r;
	r = ns_set(netns, CLONE_NEWNET);
	there = r < 0 ? r : nl_open();
	return there < 0 ? err_sys(e, -there, "enter the network namespace") :
			   restore(there, &all, if_nametoindex(name), e);
}

static _Noreturn void move_child(const struct oci_net_device *d, int netns, int sock)
{
	struct err e = { 0 };
	int r = move_one(d, netns, &e);

	if (r < 0)
		sync_fail(sock, r, &e);
	else
		sync_send(sock, SYNC_GO, 0, NULL);
	_exit(0);
}

int netdev_move(pid_t pid, const struct oci_linux *lx, struct err *e)
{
	char path[64];
	auto_close int netns = -1;
	int r = 0;

	str_format(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	netns = file_open(AT_FDCWD, path, O_RDONLY, 0);
	if (netns < 0)
		return err_sys(e, -netns, "linux.netDevices: %s", path);
	for (size_t i = 0; i < lx->n_net_devices && r >= 0; i++) {
		const struct oci_net_device *d = &lx->net_devices[i];
		auto_close int pidfd = -1;
		int sock[2];
		siginfo_t info;
		pid_t child;

		r = sock_pair(SOCK_SEQPACKET, sock);
		if (r < 0)
			return err_sys(e, -r, "linux.netDevices.%s", d->host_name);
		child = ns_clone(0, -1, &pidfd);
		if (child == 0)
			move_child(d, netns, sock[1]);
		close(sock[1]);
		r = child < 0 ? err_sys(e, -child, "fork") : sync_expect(sock[0], SYNC_GO, NULL, e);
		close(sock[0]);
		if (child > 0)
			pidfd_wait(pidfd, &info, WEXITED);
		if (r < 0)
			return err_wrap(e, r, "linux.netDevices.%s", d->host_name);
	}
	return 0;
}
