/* SPDX-License-Identifier: Apache-2.0 */
/* build.h - an image from a Dockerfile and a directory, every step cached by content */
#ifndef RUNTIME_BUILD_H
#define RUNTIME_BUILD_H

#include <stdbool.h>

#include "base/str.h"
#include "store/store.h"

struct err;
struct runtime;

enum build_progress_kind { BUILD_AUTO, BUILD_PLAIN, BUILD_TTY, BUILD_QUIET };

/* What a person asked for. Empty value {0}; everything is borrowed. */
struct build_config {
	const char *context;       /* a directory; NULL: none, as with "-" */
	const char *file;          /* Dockerfile; "-": standard input; NULL: the context's */
	const char *target;        /* stage by name or number; NULL: the last */
	const char *network;       /* of RUN: "none" (also when NULL) or "host" */
	const struct strv *args;   /* "K=V", or "K" for the environment's value */
	const struct strv *labels; /* "K=V" */
	const struct strv *tags;
	bool no_cache;
	enum build_progress_kind progress;
};

/**
 * build_image() - build, register and tag
 * Progress and the output of RUN go to standard error. Honours SOURCE_DATE_EPOCH: no time in the image is
 * later than that.
 * Context: single-threaded; RUN forks.
 * Return:  0; -errno with "Dockerfile:5: RUN make: exit code 2"
 * Killed at any moment it leaves only what the store removes.
 */
int build_image(struct runtime *rt, const struct build_config *c, char ret_id[STORE_DIGEST_SIZE],
		struct err *e);

/* build_platform_check() - is @platform ("linux/amd64") this machine's? -EOPNOTSUPP names the one that is. */
int build_platform_check(const char *platform, struct err *e);

#endif
