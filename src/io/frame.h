/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - small typed messages over a SOCK_SEQPACKET Unix socket: each arrives whole or not at all, maybe
 * with a descriptor
 */
#ifndef IO_FRAME_H
#define IO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { FRAME_MAX = 32768 }; /* bytes of payload; a longer one is refused on both sides */

/**
 * frame_send() - one message
 * @fd:   sent along, stays the caller's; -1: none
 * @wait: block while the peer's buffer is full; else -EAGAIN, and nothing was sent
 * Return: 0; -EMSGSIZE beyond FRAME_MAX; -EPIPE when the peer is gone (never SIGPIPE)
 */
int frame_send(int sock, uint8_t type, const void *payload, size_t len, int fd, bool wait);

/**
 * frame_recv() - the next message
 * @ret_fd: a descriptor that came along, O_CLOEXEC, caller closes; -1 when none did; may be NULL (then one is
 * closed) Return: bytes of payload; -EPIPE at the end; -EAGAIN when there is none and !@wait; -EPROTO when it
 * does not fit @size
 */
ssize_t frame_recv(int sock, uint8_t *ret_type, void *payload, size_t size, int *ret_fd, bool wait);

#endif
