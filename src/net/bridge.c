/* SPDX-License-Identifier: Apache-2.0 */
#include "net/bridge.h"

#include <net/if.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/netlink.h"
#include "sys/tun.h"

static int enslave(unsigned tap, unsigned bridge)
{
	struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC, .ifi_index = (int)tap, .ifi_flags = IFF_UP, .ifi_change = IFF_UP
	};
	auto_close int nl = nl_open();
	struct nl_msg m;

	if (nl < 0)
		return nl;
	nl_start(&m, RTM_NEWLINK, 0, &link, sizeof(link));
	nl_attr_u32(&m, IFLA_MASTER, bridge);
	return nl_send(nl, &m);
}

int bridge_tap(const char *bridge, struct err *e)
{
	unsigned index = if_nametoindex(bridge);
	char name[IFNAMSIZ] = "";
	auto_close int fd = -1;
	int r;

	if (index == 0)
		return err_set(e, ENODEV, "bridge '%s': there is none", bridge);
	fd = tun_open("hull%d", name);
	if (fd < 0)
		return err_sys(e, -fd, "bridge '%s': a tap device for it", bridge);
	r = enslave(if_nametoindex(name), index);
	return r < 0 ? err_sys(e, -r, "bridge '%s': tap device '%s' as its port", bridge, name) : TAKE_FD(fd);
}
