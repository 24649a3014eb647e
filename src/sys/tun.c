/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"

enum { TUN_HDR_BYTES = 12 };

static int set_header(int fd)
{
	int hdr = TUN_HDR_BYTES;

	return (int)SYS3(SYS_ioctl, fd, TUNSETVNETHDRSZ, &hdr);
}

int tun_open(const char *name, char *ret_name)
{
	auto_close int fd = file_open(AT_FDCWD, "/dev/net/tun", O_RDWR | O_NONBLOCK, 0);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int r;

	if (fd == -ENOENT)
		return -ENODEV;
	if (fd < 0)
		return fd;
	if (!*name || !str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name))
		return -EINVAL;
	r = (int)SYS3(SYS_ioctl, fd, TUNSETIFF, &ifr);
	if (r == -EINVAL) { /* a device that was made with several queues wants to hear of it */
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
		r = (int)SYS3(SYS_ioctl, fd, TUNSETIFF, &ifr);
	}
	if (r >= 0)
		r = set_header(fd);
	if (r < 0)
		return r;
	if (ret_name)
		memcpy(ret_name, ifr.ifr_name, IFNAMSIZ);
	return TAKE_FD(fd);
}

/* syscalls(hotplug): ioctl[1]=TUNGETIFF,TUNSETVNETHDRSZ */
int tun_adopt(int fd, char *ret_name)
{
	struct ifreq ifr = { 0 };
	int r = (int)SYS3(SYS_ioctl, fd, TUNGETIFF, &ifr);
	long flags;

	if (r < 0)
		return r;
	if ((ifr.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) != (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		return -ENOTTY;
	flags = SYS3(SYS_fcntl, fd, F_GETFL, 0);
	r = flags < 0 ? (int)flags : (int)SYS3(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
	if (r >= 0)
		r = set_header(fd);
	if (r >= 0 && ret_name)
		memcpy(ret_name, ifr.ifr_name, IFNAMSIZ);
	return r < 0 ? r : 0;
}

int tun_set_offload(int fd, unsigned bits)
{
	return (int)SYS3(SYS_ioctl, fd, TUNSETOFFLOAD, bits);
}

int tun_set_up(const char *name)
{
	auto_close int fd = (int)SYS3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };
	int r;

	if (fd < 0)
		return fd;
	if (!str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name))
		return -EINVAL;
	r = (int)SYS3(SYS_ioctl, fd, SIOCGIFFLAGS, &ifr);
	if (r < 0)
		return r;
	ifr.ifr_flags |= IFF_UP;
	return (int)SYS3(SYS_ioctl, fd, SIOCSIFFLAGS, &ifr);
}
