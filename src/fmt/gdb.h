/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb.h - gdb's remote protocol on bytes: packets as they arrive, the commands they are, replies as they leave; no I/O
 *
 *	n = gdb_feed(&in, bytes, len, &event);	until all bytes are taken; at GDB_EVENT_PACKET:
 *	gdb_parse(&in, &c);			c.op says what is wanted; what is not known, or malformed, is an op, too
 *	gdb_put_packet(&out, text, len);
 *
 * The peer is hostile: a packet has a size and a command a number of actions, both below. Numbers are hexadecimal.
 *
 * Spec: Debugging with GDB, appendix E, Remote Serial Protocol: E.1 Overview, E.2 Packets, E.4 General Query Packets
 */
#ifndef FMT_GDB_H
#define FMT_GDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	GDB_PACKET_MAX = 16384, /* bytes between '$' and '#' */
	GDB_ACTIONS_MAX = 40,   /* of one vCont */
	GDB_THREAD_ANY = 0,
	GDB_THREAD_ALL = -1,
};

enum gdb_event {
	GDB_EVENT_NONE,
	GDB_EVENT_PACKET,
	GDB_EVENT_BAD,       /* a packet whose checksum is wrong, or that is too long */
	GDB_EVENT_INTERRUPT, /* Ctrl-C */
};

struct gdb_input { /* empty: all zero */
	unsigned state;
	bool escaped, too_long;
	uint8_t sum, sent; /* of the packet as it is, and as it says */
	size_t len;
	uint8_t data[GDB_PACKET_MAX + 1]; /* escapes undone; a NUL behind it */
};

/* gdb_feed() - up to the next event. Return: how many bytes were taken: all of them when *ret_event is GDB_EVENT_NONE. */
size_t gdb_feed(struct gdb_input *in, const void *bytes, size_t len, enum gdb_event *ret_event);

enum gdb_op {
	GDB_UNKNOWN,   /* the answer is an empty packet */
	GDB_MALFORMED, /* the answer is an error */
	GDB_WHY,       /* why has it stopped? */
	GDB_SUPPORTED,
	GDB_TARGET_XML, /* @addr, @len: which part */
	GDB_ATTACHED,
	GDB_NO_ACKS,
	GDB_REGS_READ,
	GDB_REGS_WRITE, /* @data */
	GDB_REG_READ,   /* @addr: its number */
	GDB_REG_WRITE,  /* and @data */
	GDB_MEM_READ,   /* @addr, @len */
	GDB_MEM_WRITE,  /* @addr, @data */
	GDB_RESUME,     /* @action */
	GDB_RESUME_HOW, /* which actions are there? */
	GDB_THREAD_FOR, /* @thread is what reads and writes mean; with @resumes: the old commands to go on */
	GDB_THREAD_ALIVE,
	GDB_THREAD_NOW,
	GDB_THREADS,
	GDB_THREADS_MORE,
	GDB_THREAD_TEXT,
	GDB_POINT_SET, /* @point, @addr, @len */
	GDB_POINT_CLEAR,
	GDB_DETACH,
	GDB_KILL,
	GDB_OP_COUNT
};

enum gdb_point { GDB_POINT_SOFT, GDB_POINT_HARD, GDB_POINT_WRITE, GDB_POINT_READ, GDB_POINT_ACCESS };

struct gdb_action {
	int thread; /* GDB_THREAD_ALL, or its number; GDB_THREAD_ANY: of the one that GDB_THREAD_FOR named */
	bool step;
};

struct gdb_command {
	enum gdb_op op;
	uint64_t addr, len;
	int thread;
	bool resumes;
	bool tells_soft, tells_hard; /* GDB_SUPPORTED: it wants to be told which kind of breakpoint it was */
	enum gdb_point point;
	const uint8_t *data; /* in the input's packet */
	size_t n_data;
	unsigned n_actions;
	struct gdb_action action[GDB_ACTIONS_MAX];
};

/* gdb_parse() - the packet that has just come; hexadecimal data in it is decoded in place. */
void gdb_parse(struct gdb_input *in, struct gdb_command *ret_c);

void gdb_put_packet(struct buf *out, const void *payload, size_t len);
void gdb_put_hex(struct buf *out, const void *bytes, size_t len);

#endif
