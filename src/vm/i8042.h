/* SPDX-License-Identifier: Apache-2.0 */
/*
 * i8042.h - as much of a keyboard controller as guests use without a keyboard: a reset, and Ctrl-Alt-Del from outside
 *
 * Spec: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller"
 */
#ifndef VM_I8042_H
#define VM_I8042_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm/bus.h"

struct record_in;
struct record_out;

enum { I8042_PORTS = 5, I8042_OUT_MAX = 16 }; /* 0x60 to 0x64; those between answer nobody */

struct i8042 {
	pthread_mutex_t lock;
	void (*irq)(void *arg, bool level); /* line 1 */
	void (*reset)(void *arg);           /* the guest asked for one; the processor's thread */
	void *arg;                          /* borrowed */
	uint8_t config;                     /* the controller's configuration byte */
	uint8_t outport, expect;            /* expect: the command whose data byte comes next, 0: none */
	bool to_keyboard;                   /* a keyboard command's data byte comes next */
	bool line;
	uint8_t out[I8042_OUT_MAX];
	unsigned out_at, out_n;
};

extern const struct bus_ops i8042_bus; /* @arg: the i8042, at port 0x60, I8042_PORTS wide */

void i8042_init(struct i8042 *k, void (*irq)(void *, bool), void (*reset)(void *), void *arg);
void i8042_fini(struct i8042 *k);
/* i8042_ctrl_alt_del() - press and release the three. Return: 0; -EAGAIN the guest has not read what was typed before. */
int i8042_ctrl_alt_del(struct i8042 *k);
void i8042_save(struct i8042 *k, struct record_out *o);
void i8042_restore(struct i8042 *k, struct record_in *in);

#endif
