/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_terminal.h - a terminal as a machine's console
 *
 * Keys go to the guest as they are, but for one that is kept back: Ctrl-A and then x ends the machine, Ctrl-A twice is one
 * Ctrl-A for the guest, Ctrl-A and any other key is both. When standard input is no terminal the guest gets it untouched.
 */
#ifndef CMD_VM_TERMINAL_H
#define CMD_VM_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

#include "io/loop.h"

struct err;

struct vm_terminal {
	int in_fd;   /* what the machine reads; the pipe's end, or standard input itself */
	int pipe[2]; /* owned; -1 */
	bool is_tty, is_raw, escaped;
	struct termios was;
	struct loop *loop; /* borrowed */
	struct loop_source keys;
	void (*quit)(void *arg);
	void *arg;
};

int vm_terminal_open(struct vm_terminal *t, struct loop *loop, void (*quit)(void *arg), void *arg,
		     struct err *e);
int vm_terminal_raw(struct vm_terminal *t, struct err *e); /* nothing when it is no terminal */
void vm_terminal_close(struct vm_terminal *t);             /* as it was before; again does no harm */

#endif
