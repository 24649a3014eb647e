/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firecracker_front.h - the API process: it owns the socket and the host's paths, and asks the machine's process for answers
 *
 * Theory of operation. Two processes, one pair of sockets. The machine's process is forked before anything is served; it
 * holds struct machine and all that a request changes, and is in its jail before the first guest instruction. This process reads
 * HTTP, passes each request on as a message and waits for its reply:
 *
 *	REQUEST -->                     method, path, body, who asks
 *	        <-- OPEN, FILE -->      any number of times: a file that this request names, and its descriptor
 *	        <-- REPLY               status, body
 *	REFUSED -->                     something that was no HTTP; no reply
 *	        <-- RUNS                once: from now on a guest runs there. Which drives there are, and which are read-only
 *
 * Until RUNS the machine's process has run nothing of a guest and opens files itself. From then on it is not trusted: OPEN
 * has no path, only which of the files of the request under way is meant. firecracker_front.c has a table of what a
 * request of each route names and how it is opened; each is opened once for a request. So a machine that was taken over gets
 * what a client named just then, and drives that were read-only before the guest ran are opened for reading. What else comes is a
 * breach: the machine is killed. Descriptors never travel from the machine to here: they are read without room for any.
 *
 * The machine dies with this process (PR_SET_PDEATHSIG, and it reads the pair's end); this process ends when the machine
 * does, with its status, and takes the socket and the terminal's modes back, however the machine ended.
 */
#ifndef API_FIRECRACKER_FRONT_H
#define API_FIRECRACKER_FRONT_H

#include "api/firecracker_internal.h"
#include "io/http_server.h"

enum { FC_REPLY_MIN = 16 << 20 /* bytes a reply may have beside what bodies can put into one */ };

/* How a file is opened. */
enum fc_how { FC_HOW_READ, FC_HOW_WRITE, FC_HOW_MAKE, FC_HOW_TAP };

struct fc_front {
	struct loop loop;
	struct http_server *server;
	int pair;  /* owned */
	int pidfd; /* owned; of the machine's process */
	struct loop_source pair_source, ended;
	uint64_t reply_max; /* bytes */
	bool runs, broken;  /* RUNS has come; the machine broke the rules, or is gone */
	unsigned n_drives;
	struct fc_msg_drive drive[MACHINE_DRIVES_MAX];
	const struct http_server_request *q; /* under way; NULL: none */
	unsigned asked;                      /* a bit for each enum fc_file that was opened for it */
	int (*open)(const char *path, enum fc_how how); /* -errno */
};

void fc__front_init(struct fc_front *f, const struct fc_options *o);
/* fc__front_serve() - http_server's handler: the request over the pair, and its reply. */
void fc__front_serve(void *arg, const struct http_server_request *q, struct http_server_reply *ret);
/**
 * fc__front_take() - one message of the machine's
 * Return: 1 it is the reply, in @ret; 0 another; -EPROTO it does not belong here
 */
int fc__front_take(struct fc_front *f, uint32_t kind, const void *bytes, size_t len,
		   struct http_server_reply *ret);
/* fc__front_limit() - bytes that a message of this kind may have. */
uint64_t fc__front_limit(const struct fc_front *f, uint32_t kind);
/* fc__front_run() - until the machine's process @pid ends. @listener, @pair: taken. Return: enum fc_exit. */
int fc__front_run(const struct fc_options *o, int listener, int pair, pid_t pid, struct err *e);

#endif
