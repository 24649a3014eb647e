/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pic.h - the pair of 8259 interrupt controllers of a PC, for engines that have none of their own
 *
 * One thread at a time: the caller locks. Lines 0 to 7 are the master's, 8 to 15 the slave's, which is on the master's line 2:
 * that one is nobody else's.
 *
 * Spec: Intel 8259A; ICH datasheets for the ELCR ports
 */
#ifndef ENGINE_PIC_H
#define ENGINE_PIC_H

#include <stdbool.h>
#include <stdint.h>

struct record_in;
struct record_out;

enum { PIC_LINES = 16 };

/* In the order in which snapshots have a chip's state. */
struct pic_chip {
	uint8_t last, irr, imr, isr;
	uint8_t lowest; /* the line that has the highest priority: they rotate */
	uint8_t base;   /* vector of its line 0 */
	uint8_t read_isr, poll, special_mask;
	uint8_t init; /* which initialization word comes next; 0: none */
	uint8_t auto_eoi, rotate_on_auto_eoi, special_nested, init4;
	uint8_t elcr, elcr_mask; /* bit n: line n is level-triggered; may be */
};

struct pic {
	struct pic_chip chip[2]; /* master, slave */
};

void pic_init(struct pic *p);
void pic_line(struct pic *p, unsigned line, bool up);
bool pic_output(const struct pic *p);   /* is the line to the processor up? */
uint8_t pic_acknowledge(struct pic *p); /* the processor takes the interrupt. Return: its vector */
bool pic_has_port(uint16_t port);
uint8_t pic_read(struct pic *p, uint16_t port);
void pic_write(struct pic *p, uint16_t port, uint8_t value);

/* Its part of the record "irqchip": 16 bytes for each chip. */
void pic_save(const struct pic *p, struct record_out *o);
void pic_restore(struct pic *p, struct record_in *in);

#endif
