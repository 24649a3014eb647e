/* SPDX-License-Identifier: Apache-2.0 */
/* vm_machines.h - what the commands for machines with names have in common */
#ifndef CMD_VM_MACHINES_H
#define CMD_VM_MACHINES_H

#include "cmd/cmd.h"

struct err;
struct machines;

/* vm_machines() - those at the global root, opened; the caller's. */
int vm_machines(struct machines **ret_ms, struct err *e);

/* vm_id() - of a machine by name, id or beginning of one. */
int vm_id(struct machines *ms, const char *name, char ret_id[65], struct err *e);

/* vm_each() - @act on every name, echoed when that went well; a failure is told and the rest goes on. Return: 0, or 1. */
int vm_each(int argc, char **argv, int (*act)(struct machines *ms, const char *id, void *arg, struct err *e),
	    void *arg, struct err *e);

/*
 * vm_join() - the console here, until the machine ends or the detach keys are typed
 * @start: starts it, attached: machines_start(); NULL: it runs
 * Return: its exit status; 0 when detached
 */
struct instance_streams;
struct machines_launch;
int vm_join(struct machines *ms, const char *id, const char *detach_keys, bool no_stdin,
	    struct machines_launch *start, struct err *e);

#endif
