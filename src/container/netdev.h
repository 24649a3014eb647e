/* SPDX-License-Identifier: Apache-2.0 */
/* netdev.h - linux.netDevices: network interfaces of the host moved into a container's network namespace */
#ifndef CONTAINER_NETDEV_H
#define CONTAINER_NETDEV_H

#include <sys/types.h>

#include "fmt/oci.h"

struct err;

/**
 * netdev_move() - move each of lx->net_devices into the network namespace of process @pid, under its new name, keeping its
 *                 global addresses, MTU and hardware address, and set it up
 * Return: 0; -errno with "linux.netDevices.eth1: ..."
 * Spec: OCI runtime-spec 1.3, config-linux.md "Network Devices"
 */
int netdev_move(pid_t pid, const struct oci_linux *lx, struct err *e);

#endif
