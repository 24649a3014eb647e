/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - where a streaming reader gets its bytes from: a file, a socket, a decompressor, a test */
#ifndef FMT_SOURCE_H
#define FMT_SOURCE_H

#include <stdint.h>
#include <sys/types.h>

struct err;

struct source {
	/*
	 * next() - the next run of bytes, of any length; *ret_bytes is borrowed and good until the next call
	 * Return: how many (> 0); 0 at the end, and at every later call; -errno with @e set
	 */
	ssize_t (*next)(void *arg, const uint8_t **ret_bytes, struct err *e);
	void *arg;
};

#endif
