/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logfile.h - an instance's output as Docker's json-file: {"log":"..\n","stream":"stdout","time":"..."}, one
 * line each
 *
 * Rotated by size: log.json is the newest, log.json.1 the one before. A line longer than LOGFILE_LINE_MAX
 * becomes several entries, of which only the last ends in "\n".
 */
#ifndef RUNTIME_LOGFILE_H
#define RUNTIME_LOGFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

enum logfile_stream { LOGFILE_STDOUT, LOGFILE_STDERR, LOGFILE_STREAMS };
enum { LOGFILE_LINE_MAX = 16384 };

struct logfile {
	int dirfd; /* borrowed */
	int fd;    /* owned; -1 until something was said */
	uint64_t size, max_size;
	unsigned max_files; /* 0: nothing is kept */
	struct {
		char *text;
		size_t len;
	} partial[LOGFILE_STREAMS]; /* owned; a line that has not ended yet */
};

void logfile_init(struct logfile *l, int dirfd, uint64_t max_size, unsigned max_files);
/* logfile_put() - @len bytes that the workload wrote. Return: 0, or -errno of the disk; what does not fit on
 * it is lost. */
int logfile_put(struct logfile *l, enum logfile_stream stream, const char *bytes, size_t len, nsec_t when);
int logfile_flush(struct logfile *l, nsec_t when); /* unfinished lines, at the end */
void logfile_fini(struct logfile *l);

#endif
