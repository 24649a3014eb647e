/* SPDX-License-Identifier: Apache-2.0 */
/* proto.h - what a shim and those who talk to it say: io/frame.h messages on "<run>/shim/<id>" and on the
 * starter's own pair */
#ifndef RUNTIME_PROTO_H
#define RUNTIME_PROTO_H

#include <stdint.h>

#include "base/err.h"

enum msg {
	/* to the shim */
	PROTO_ATTACH = 1, /* struct msg_attach */
	PROTO_STDIN,      /* bytes */
	PROTO_STDIN_END,
	PROTO_RESIZE, /* struct msg_size */
	PROTO_KILL,   /* struct msg_stop: its signal; answered by PROTO_DONE */
	PROTO_PROXY,  /* struct msg_stop: a signal handed on from an attached terminal; no answer, no other
			 meaning */
	PROTO_STOP,   /* struct msg_stop; PROTO_EXIT follows when the workload has ended */
	PROTO_WAIT,   /* PROTO_EXIT follows when it has ended for good */
	PROTO_PAUSE,  /* answered by PROTO_DONE, like the next two */
	PROTO_RESUME,
	PROTO_RELOAD,  /* shim.json has changed */
	PROTO_DETACH,  /* what follows is the end of the connection, not of standard input */
	PROTO_REMOVED, /* the instance is gone, nothing left to do */
	/* to the keeper of a machine */
	PROTO_HOLD,  /* pause it for as long as this connection lasts; answered by PROTO_DONE */
	PROTO_FILE,  /* a descriptor: where the state goes, the second: memory; or the counters */
	PROTO_SAVE,  /* struct msg_save; answered by PROTO_DONE */
	PROTO_COUNT, /* what the engine has counted, into the file; answered by PROTO_DONE */
	/* from the shim */
	PROTO_STARTED = 64,
	PROTO_FAILED, /* struct msg_failed: the workload could not be started */
	PROTO_STDOUT,
	PROTO_STDERR,
	PROTO_EXIT, /* struct msg_exit */
	PROTO_DONE, /* struct msg_failed: code is 0 or a positive errno */
};

enum { ATTACH_STDIN = 1, ATTACH_STDOUT = 2, ATTACH_STDERR = 4 };

struct msg_attach {
	uint8_t streams;
};
struct msg_size {
	uint16_t rows, cols;
};
struct msg_stop {
	int32_t signal, timeout_s;
}; /* signal 0, timeout -1: the instance's own */
struct msg_failed {
	int32_t code;
	struct err e;
};
struct msg_save {
	uint8_t diff; /* only what was written since the snapshot @base */
	char id[65], base[65];
};
struct msg_exit {
	int32_t code;
	uint8_t remove;
}; /* @remove: whoever started it removes it (--rm) */

#endif
