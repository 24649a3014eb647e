/* SPDX-License-Identifier: Apache-2.0 */
/* vm_options.h - a machine's options as it keeps them: the command line's, paths made absolute, as JSON */
#ifndef CMD_VM_OPTIONS_H
#define CMD_VM_OPTIONS_H

#include <jansson.h>

#include "cmd/vm_config.h"

struct instance;
struct machines;
struct machines_disk;
struct machines_launch;

/* vm_options_json() - checked by a dry run: what is missing is told now, not at the first start. Return: the caller's, or NULL with @e. */
json_t *vm_options_json(struct vm_opts *o, struct err *e);

/* vm_options_launch() - the files of the machine @in are opened. @c: as machine_config_defaults() made it; @l->config. */
int vm_options_launch(struct machines *ms, const struct instance *in, bool restoring,
		      struct machine_config *c, struct machines_launch *l, struct err *e);

/* vm_options_disks() - what --disk said of each, the caller's to free; strings are @options' or in @ret_text. */
struct machines_disk *vm_options_disks(const json_t *options, struct strv *ret_text, size_t *ret_n);

/* vm_absolute() - NULL: out of memory. */
char *vm_absolute(const char *path);

#endif
