/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firecracker.h - one machine, driven by Firecracker's API: a program written for Firecracker finds the same socket, paths,
 * fields, states, codes and files
 *
 * Theory of operation. One process is one machine. Before InstanceStart requests fill a struct machine_config; files, taps
 * and sockets are opened when they are named, so a refusal comes at once. InstanceStart makes the machine of it; from then on
 * requests are machine_x() calls. Everything runs on one loop thread: one request after the other, between them the devices.
 *
 *	Not started --InstanceStart, snapshot/load--> Running <--PATCH /vm--> Paused
 *
 * The table of firecracker_routes.c says for each method and path in which states it may come, whether it has a body and
 * with which fields. A configuration file is the same bodies, through the same handlers.
 *
 * Non-goals: texts of errors are ours; vhost-user devices, named CPU templates and custom seccomp filters are refused.
 */
#ifndef API_FIRECRACKER_H
#define API_FIRECRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define FC_API_VERSION "1.17.0" /* the version of the API that is spoken here */
#define FC_SOCKET      "/run/firecracker.socket"

enum { FC_PAYLOAD_DEFAULT = 51200, FC_CONNECTIONS_MAX = 10 };

enum fc_exit {
	FC_EXIT_OK = 0,
	FC_EXIT_GENERIC = 1,
	FC_EXIT_LOGIC = 2,
	FC_EXIT_SYS = 148,
	FC_EXIT_BUS = 149,
	FC_EXIT_SEGV = 150,
	FC_EXIT_XFSZ = 151,
	FC_EXIT_CONFIG = 152,
	FC_EXIT_ARGS = 153,
	FC_EXIT_XCPU = 154,
	FC_EXIT_PIPE = 155,
	FC_EXIT_HUP = 156,
	FC_EXIT_ILL = 157,
};

struct fc_options { /* all borrowed */
	const char *api_sock, *id, *config_file, *metadata;
	const char *log_path, *level, *module, *metrics_path;
	bool no_api, boot_timer, pci, show_level, show_log_origin, no_seccomp;
	uint64_t payload_max, mmds_max;                      /* bytes */
	uint64_t start_time_us, start_cpu_us, parent_cpu_us; /* 0: not told */
	const char *engine;                                  /* NULL: auto */
	const char *engine_dir;                              /* see engine_fastest() */
};

/* fc_run() - until the machine ends. Return: enum fc_exit; not 0: @e says why, when there is something to say. */
int fc_run(const struct fc_options *o, struct err *e);

/* fc_id_check() - an instance's name: 1 to 64 letters, digits and '-'. Return: 0; -EINVAL. */
int fc_id_check(const char *id, struct err *e);
/* fc_level_check() - a level of the log, in any case. Return: 0; -EINVAL. */
int fc_level_check(const char *level, struct err *e);

#endif
