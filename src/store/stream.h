/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - bytes on their way: files as sources, and a writer in a thread of its own at the other end of a
 * pipe */
#ifndef STORE_STREAM_H
#define STORE_STREAM_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fmt/digest.h"
#include "fmt/source.h"

/* A descriptor, or a part of a file, as a source. */
struct stream_fd {
	int fd;        /* borrowed */
	int64_t at;    /* where to read next; -1: wherever the descriptor stands */
	uint64_t left; /* bytes of the part */
	uint8_t bytes[1 << 16];
};
void stream_fd_init(struct stream_fd *s, int fd);
void stream_fd_init_part(struct stream_fd *s, int fd, uint64_t at, uint64_t len);
struct source stream_fd_source(struct stream_fd *s);

/* A source that is digested on its way. */
struct stream_digest {
	struct source from;
	struct digest digest;
};
void stream_digest_init(struct stream_digest *d, const struct source *from, enum digest_alg alg);
struct source stream_digest_source(struct stream_digest *d);

/* Somebody who writes into a pipe while we read from it. */
struct stream_feed {
	/* write() - Context: the thread; SIGPIPE and all others are blocked there. -EPIPE: the reader had
	 * enough. */
	int (*write)(void *arg, int out_fd, struct err *e);
	void *arg;
	/* private */
	pthread_t thread;
	int out_fd;
	int r;
	struct err e;
};

/* stream_feed_start() - Return: the reading end, which the caller closes before stream_feed_end(); -errno. */
int stream_feed_start(struct stream_feed *f, struct err *e);
/* stream_feed_end() - wait for the writer; @r and @e are what the reader said. Return: the failure that came
 * first. */
int stream_feed_end(struct stream_feed *f, int r, struct err *e);

#endif
