/* SPDX-License-Identifier: Apache-2.0 */
/* shim_config.h - what a shim must know of its instance, since it never opens the database; shim.json tells it of changes */
#ifndef RUNTIME_SHIM_CONFIG_H
#define RUNTIME_SHIM_CONFIG_H

#include "runtime/restart.h"
#include "runtime/runtime.h"

struct shim_config {
	char *id, *name, *image, *level;                /* all owned */
	char *dir, *run_dir, *root, *run_root, *levels; /* absolute */
	bool tty, open_stdin, auto_remove;
	enum restart_policy restart;
	int restart_max;
	int stop_signal, stop_timeout_s;
	uint64_t log_max_size;
	unsigned log_max_files; /* 0: no log */
	struct {
		struct strv test; /* "CMD", "/bin/check", ..; empty: none */
		nsec_t interval, timeout, start_period, start_interval;
		int retries;
	} health;
};

/* shim_config_make() - from an instance's configuration. @c is {0}; shim_config_fini() it, also after a failure. */
int shim_config_make(struct shim_config *c, const struct runtime *rt, const struct instance *in,
		     struct err *e);
/* shim_config_write() - the same to "shim.json" in its run directory @run_fd, for shim_config_read(). */
int shim_config_write(const struct runtime *rt, const struct instance *in, int run_fd, struct err *e);
int shim_config_read(struct shim_config *c, int run_fd, struct err *e); /* @c is {0}; shim_config_fini() it */
void shim_config_fini(struct shim_config *c);

#endif
