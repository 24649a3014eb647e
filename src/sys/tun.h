/* SPDX-License-Identifier: Apache-2.0 */
/* tun.h - tap devices: frames through a descriptor, each with a virtio_net_hdr of 12 bytes in front */
#ifndef SYS_TUN_H
#define SYS_TUN_H

#include <net/if.h>

/**
 * tun_open() - attach to the tap device @name, made when there is none, and set the header's size
 * @name: 1 to 15 bytes; "%d" in it is the kernel's to fill in
 * @ret_name: IFNAMSIZ bytes, what the device is called; may be NULL
 * Return: a non-blocking descriptor; -ENODEV no /dev/net/tun, -EPERM, -EBUSY, -EINVAL the name is another kind of device's
 */
int tun_open(const char *name, char *ret_name);

/* tun_adopt() - make an open descriptor what tun_open() returns: a tap with the header, not blocking. -ENOTTY: it is none. */
int tun_adopt(int fd, char *ret_name);

/* tun_set_offload() - TUN_F_x bits: what the reader takes unsplit, without checksums. */
int tun_set_offload(int fd, unsigned bits);

/* tun_set_up() - the device's administrative state; needs CAP_NET_ADMIN in its network namespace. */
int tun_set_up(const char *name);

#endif
