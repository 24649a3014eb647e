/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.h - an instance's configuration (Docker's shape) as an OCI specification with Docker's defaults
 */
#ifndef RUNTIME_SPEC_H
#define RUNTIME_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;
struct json_out;
struct user;

/* All that the specification is made from. Everything is borrowed. `build` fills it for one step, too. */
struct spec_input {
	const char *id;
	const json_t *config; /* Path, Args, Config, HostConfig, Mounts; members that are absent have their
				 defaults */
	int rootfs_fd;        /* where users and groups are looked up */
	const char *dir;      /* holds hosts, hostname, resolv.conf to be mounted; NULL: none are */
	bool rootless;
	/* who is joined by "container:x" modes; 0: nobody */
	int pid_of_network, pid_of_pid, pid_of_ipc;
	uint16_t rows, cols; /* of the terminal it starts on; 0: not known yet */
};

/**
 * spec_make() - append the text of the specification to @json
 * Return: 0; -EINVAL, -ENOENT for a user or group the image does not know
 */
int spec_make(const struct spec_input *in, struct buf *json, struct err *e);

/* spec_process() - the process object of one more command in an instance (exec). @args: the command; empty
 * members: the instance's. */
struct spec_exec {
	char *const *args;
	size_t n_args;
	char *const *env; /* added to the instance's */
	size_t n_env;
	const char *user, *cwd; /* NULL: the instance's */
	bool tty, privileged;
};
int spec_process(const struct spec_input *in, const struct spec_exec *x, struct buf *json, struct err *e);

/* spec_resources() - linux.resources alone, as `update` needs it: only members that are given. */
int spec_resources(const json_t *host, struct buf *json, struct err *e);

/* --- parts --------------------------------------------- */

uint64_t spec__caps(const json_t *host); /* the capabilities the workload gets, as bits */
int spec__process(const struct spec_input *in, const struct spec_exec *x, struct json_out *o, struct err *e);
int spec__mounts(const struct spec_input *in, struct json_out *o, struct err *e);
int spec__resources(const json_t *host, bool update, struct json_out *o, struct err *e);
int spec__devices(const json_t *host, struct json_out *o, struct err *e); /* "devices" and their rules */
int spec__device_rules(const json_t *host, struct json_out *o, struct err *e);
int spec__seccomp(const json_t *host, uint64_t caps, struct json_out *o,
		  struct err *e); /* nothing when unconfined */

/* spec_seccomp_default() - the default profile for a workload with capabilities @caps, as member "seccomp".
 */
void spec_seccomp_default(struct json_out *o, uint64_t caps);
/* spec_seccomp_convert() - a profile in Docker's or OCI's form as OCI's linux.seccomp. */
int spec_seccomp_convert(const json_t *profile, uint64_t caps, json_t **ret, struct err *e);

#endif
