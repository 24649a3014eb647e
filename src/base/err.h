/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - the one error idiom: a negative errno to branch on, and a text for whoever asked
 *
 * Fallible functions return 0 or a useful positive, else -errno. Where a person will ask why, the last parameter
 * is a struct err the caller owns. Nothing here allocates, takes locks or uses stdio, so it works at ENOMEM and
 * between clone and exec; one write(2) of the struct carries an error from child to parent.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <errno.h>

struct err {
	int code;       /* positive errno; 0 while nothing failed */
	char text[508]; /* "what we were doing: what it met", no newline */
};

/**
 * err_set() - an error is born: record @code and the text
 * @e:    may be NULL
 * @code: positive errno
 * Return: -@code
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * err_sys() - as err_set(), and ": strerror(@code)" goes behind the text
 * Return: -@code
 */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * err_wrap() - put what we were doing in front of the text: "doing: text"
 * @rc: negative errno of the failure; becomes the code when @e has none yet
 * Return: always @rc, also when @e is NULL
 */
int err_wrap(struct err *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* err_name() - the text of a positive errno, from a table: never allocates, never localises. */
const char *err_name(int code);

#endif
