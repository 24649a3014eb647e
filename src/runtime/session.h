/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - the client's side of being attached: terminal, detach keys, signals, half-closed input */
#ifndef RUNTIME_SESSION_H
#define RUNTIME_SESSION_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "runtime/runtime.h"

enum { SESSION_KEYS_MAX = 16 };

struct session {
	const struct instance_streams *io; /* borrowed */
	int sock;                          /* borrowed; to the shim, or -1: an exec without one */
	/* result */
	int code;
	bool remove; /* the instance is ours to remove */
};

/* session_size() - of the terminal @io is connected to; zeros: of none. */
struct winsize session_size(const struct instance_streams *io);
/* session_keys() - "ctrl-p,ctrl-q" as bytes. Return: how many; -EINVAL. */
int session_keys(const char *text, unsigned char keys[SESSION_KEYS_MAX], struct err *e);

/* session_block() - from here on the signals that are handed on wait; before fork. session_unblock(): in the
 * child, or at the end. */
void session_block(const struct instance_streams *io, sigset_t *ret_old);
void session_unblock(const sigset_t *old);

int session_attach(int sock,
		   const struct instance_streams *io); /* ask to be attached, and the terminal's size */

/**
 * session_run() - carry bytes until the workload ends
 * Return: 0, s->code set; INSTANCE_DETACHED; -EPIPE: the shim is gone; -errno
 */
int session_run(struct session *s, struct err *e);

/* session_raw() - the terminal @fd as it is, for the workload's to interpret; session_cooked() as it was. */
struct session_terminal;
struct session_terminal *session_raw(int fd);    /* NULL: not a terminal */
void session_cooked(struct session_terminal *t); /* takes NULL */

/* session_detach_at() - feed @len bytes to the matcher at *@at. Return: true when the keys are complete. */
bool session_detach_at(const unsigned char *keys, int n_keys, int *at, const char *bytes, size_t len);

#endif
