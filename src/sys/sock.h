/* SPDX-License-Identifier: Apache-2.0 */
/* sock.h - Unix sockets on the file system, by directory descriptor (no 108-byte limit), and descriptors sent over them */
#ifndef SYS_SOCK_H
#define SYS_SOCK_H

#include <stddef.h>
#include <sys/types.h>

int sock_pair(int type, int ret_fd[2]); /* SOCK_SEQPACKET, SOCK_STREAM; O_CLOEXEC */
int sock_listen_at(int dirfd, const char *name, int type,
		   mode_t mode); /* bound, listening; replaces nothing (-EADDRINUSE) */
int sock_connect_at(int dirfd, const char *name, int type); /* dirfd may be AT_FDCWD */
int sock_accept(int fd);
/* sock_send_fd() - @len > 0 bytes with @fd (or -1: none); sock_recv_fd(): *ret_fd -1 when none came. Return: bytes or -errno. */
ssize_t sock_send_fd(int sock, const void *bytes, size_t len, int fd);
ssize_t sock_recv_fd(int sock, void *bytes, size_t len, int *ret_fd);
int sock_peer_uid(int sock, uid_t *ret_uid); /* SO_PEERCRED */
int sock_peer_pid(int sock, pid_t *ret_pid); /* who listened, or who connected */
int sock_loopback_up(void);                  /* set "lo" up in this network namespace */

#endif
