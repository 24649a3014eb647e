/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker.h - a small process outside a machine's jail that connects the guest's streams to the host's sockets
 *
 * Theory of operation. A guest may reach the sockets "NAME_PORT" of one directory, and connect(2) wants a path where the
 * jail has none. So the machine asks with a port number, the one thing the guest chooses, and gets the connected socket: a
 * machine that was taken over can ask for nothing else. The broker is forked before the jail, holds the directory and the
 * one socket to the machine, and ends when that does, however that came: then it also removes the machine's listening socket.
 */
#ifndef VM_BROKER_H
#define VM_BROKER_H

#include <stdint.h>

struct err;

/* broker_start() - @dirfd, @name: borrowed. Return: the machine's end, owned by the caller; -errno. */
int broker_start(int dirfd, const char *name, struct err *e);

/* broker_connect() - to "NAME_@port". Return: a non-blocking stream socket, or the broker's -errno. */
int broker_connect(int sock, uint32_t port);

#endif
