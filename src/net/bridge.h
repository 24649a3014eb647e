/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.h - a port of a bridge of the host for one machine */
#ifndef NET_BRIDGE_H
#define NET_BRIDGE_H

struct err;

/**
 * bridge_tap() - a new tap device that is a port of @bridge, up; it is gone when the descriptor is closed
 * Return: its descriptor, for link_take_tap(); -ENODEV no such bridge; -EPERM needs CAP_NET_ADMIN; all with @e
 */
int bridge_tap(const char *bridge, struct err *e);

#endif
