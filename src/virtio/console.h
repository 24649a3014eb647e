/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.h - virtio-console: one port between the guest and two descriptors
 *
 * What the guest prints goes to @out_fd as fast as that takes it; then the guest waits, nothing is buffered or lost here. What
 * comes from @in_fd is read when the guest has room for it. The descriptors' own flags are not touched: others may share them.
 *
 * Spec: virtio 1.2 §5.3
 */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

#include <stdint.h>

struct err;
struct gmem;
struct loop;
struct vdev;

struct console_config {
	int in_fd, out_fd;   /* borrowed, opened anew or duplicated; -1: none */
	uint16_t cols, rows; /* of the terminal; 0: not known */
};

/**
 * console_new() - the device
 * Context: the loop's thread; SIGPIPE is ignored in this process
 * Return: 0; -ENOMEM; what fcntl(2) and epoll_ctl(2) say
 */
int console_new(struct vdev **ret_d, const struct console_config *c, const struct gmem *mem,
		struct loop *loop, struct err *e);

/* console_resize() - the terminal's size has changed. */
void console_resize(struct vdev *d, uint16_t cols, uint16_t rows);

#endif
