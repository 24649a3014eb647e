/* SPDX-License-Identifier: Apache-2.0 */
/* vm_create.c - machines with names: create, start, snapshot, restore */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "cmd/vm_machines.h"
#include "cmd/vm_options.h"
#include "runtime/machine.h"
#include "sys/file.h"
#include "vm/machine.h"

enum { STATUS_ERROR = 125 };

static inline void json_freep(json_t **j)
{
	json_decref(*j);
}
#define auto_json __attribute__((cleanup(json_freep)))

/* --- create ------------------------------------------------------------------------------------------------------ */

static int create_main(void *opts, int argc, char **argv, struct err *e)
{
	struct vm_opts *o = opts;
	auto_machines struct machines *ms = NULL;
	auto_json json_t *options = vm_options_json(o, e);
	char id[65];
	int r;

	(void)argc;
	(void)argv;
	if (!options)
		return e && e->code ? -e->code : -EINVAL;
	r = vm_machines(&ms, e);
	if (r == 0)
		r = machines_create(ms, o->name, options, NULL, NULL, id, e);
	if (r == 0)
		puts(id);
	return r;
}

/* --- start ------------------------------------------------------------------------------------------------------- */

struct start_opts {
	const char *detach_keys;
	bool attach;
};
#define OPT(member) offsetof(struct start_opts, member)

static const struct opt start_opts[] = { { "attach", 'a', OPT_FLAG, OPT(attach), NULL,
					   "Stay on its console, and end with its exit status", NULL },
					 { "detach-keys", 0, OPT_STRING, OPT(detach_keys), "KEYS",
					   "Keys that leave it running (ctrl-p,ctrl-q)", NULL },
					 { 0 } };

/* start_one() - @o NULL: detached. @s: it does not boot but goes on from there; taken. Return: exit status of an attached one. */
static int start_one(struct machines *ms, const char *id, const struct start_opts *o,
		     struct machines_snapshot *s, struct err *e)
{
	struct machines_launch l = { .state_fd = -1, .mem_fd = -1 };
	auto_fini(instance) struct instance in = { 0 };
	struct machine_config c;
	int code, r = machines_find(ms, id, &in, e);

	machine_config_defaults(&c);
	if (r == 0 && (in.status == INSTANCE_RUNNING || in.status == INSTANCE_PAUSED) && !s)
		return o ? vm_join(ms, id, o->detach_keys, false, NULL, e) :
			   0; /* its files are in use: not opened */
	if (r == 0)
		r = vm_options_launch(ms, &in, s, &c, &l, e);
	if (r == 0 && s) {
		l.state_fd = TAKE_FD(s->state_fd);
		l.mem_fd = TAKE_FD(s->mem_fd);
		str_copy(l.snapshot_id, sizeof(l.snapshot_id), s->id);
		l.ahead_path = s->ahead_path ? vm_absolute(s->ahead_path) : NULL;
	}
	if (r == 0)
		r = o ? vm_join(ms, id, o->detach_keys, false, &l, e) :
			machines_start(ms, id, &l, NULL, &code, e);
	machine_config_fini(&c);
	return r;
}

static int start_detached(struct machines *ms, const char *id, void *arg, struct err *e)
{
	(void)arg;
	return start_one(ms, id, NULL, NULL, e);
}

static int start_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct start_opts *o = opts;
	auto_machines struct machines *ms = NULL;
	char id[65];
	int r;

	if (!o->attach)
		return vm_each(argc, argv, start_detached, NULL, e);
	if (argc > 1)
		return err_set(e, EINVAL, "only one machine at a time can be started and attached");
	r = vm_machines(&ms, e);
	if (r == 0)
		r = vm_id(ms, argv[0], id, e);
	if (r == 0)
		r = start_one(ms, id, o, NULL, e);
	if (r < 0) {
		cmd_fail(e);
		return STATUS_ERROR;
	}
	return r;
}

/* --- snapshot ---------------------------------------------------------------------------------------------------- */

struct snapshot_opts {
	const char *to;
	bool diff, no_disks;
};
#undef OPT
#define OPT(member) offsetof(struct snapshot_opts, member)

static const struct opt snapshot_opts[] = {
	{ "diff", 0, OPT_FLAG, OPT(diff), NULL,
	  "Save only the memory written since its last snapshot, which must be the one in the directory",
	  NULL },
	{ "no-disks", 0, OPT_FLAG, OPT(no_disks), NULL,
	  "Do not copy the disks; a restore then needs --disk for each that is written", NULL },
	{ "to", 0, OPT_STRING, OPT(to), "DIR",
	  "Directory it is put into, made when missing (the machine's own)", "@dir" },
	{ 0 }
};

static int snapshot_into(struct machines *ms, const struct instance *in, const char *dir,
			 const struct snapshot_opts *o, struct err *e)
{
	auto_fini(strv) struct strv text = { 0 };
	struct machines_save s = { .diff = o->diff, .dirfd = -1 };
	auto_free struct machines_disk *disks = NULL;
	auto_close int dirfd = -1;
	size_t n = 0;
	int r = file_mkdirs(AT_FDCWD, dir, 0700);

	if (r >= 0)
		r = dirfd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return err_sys(e, -r, "--to '%s'", dir);
	disks = vm_options_disks(json_object_get(in->config, "Options"), &text, &n);
	if (!disks)
		return err_sys(e, ENOMEM, "snapshot");
	s.dirfd = dirfd;
	s.disk = disks;
	s.n_disks = o->no_disks ? 0 : n;
	return machines_save(ms, in->id, &s, e);
}

static int snapshot_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct snapshot_opts *o = opts;
	auto_fini(instance) struct instance in = { 0 };
	auto_machines struct machines *ms = NULL;
	auto_free char *own = NULL, *dir = NULL;
	int r = vm_machines(&ms, e);

	(void)argc;
	if (r == 0)
		r = machines_find(ms, argv[0], &in, e);
	if (r < 0)
		return r;
	own = machines_path(ms, in.id);
	dir = o->to ? vm_absolute(o->to) : own ? str_printf("%s/snapshot", own) : NULL;
	if (!dir)
		return err_sys(e, ENOMEM, "snapshot");
	r = snapshot_into(ms, &in, dir, o, e);
	if (r == 0)
		puts(dir);
	return r;
}

/* --- restore ----------------------------------------------------------------------------------------------------- */

struct restore_opts {
	struct start_opts start;
	const char *name, *vsock_uds, *ahead, *engine, *gdb;
	struct strv disk, net, pmem;
};
#undef OPT
#define OPT(member) offsetof(struct restore_opts, member)

static const struct opt restore_opts[] = {
	{ "ahead", 0, OPT_STRING, OPT(ahead), "FILE",
	  "The list of memory to fetch ahead, made when it is not there (one in the snapshot's directory)",
	  "@file" },
	{ "attach", 'a', OPT_FLAG, OPT(start.attach), NULL,
	  "Stay on its console, and end with its exit status", NULL },
	{ "detach-keys", 0, OPT_STRING, OPT(start.detach_keys), "KEYS",
	  "Keys that leave it running (ctrl-p,ctrl-q)", NULL },
	{ "disk", 'd', OPT_LIST, OPT(disk), "ID=FILE[,format=raw|qcow2][,ro][,backing]",
	  "This file in place of the saved disk disk0, disk1, ...; it must have what the disk had then",
	  NULL },
	{ "engine", 0, OPT_STRING, OPT(engine), "NAME",
	  "What executes its processors: auto, kvm or bt (as the snapshot's machine; HULL_ENGINE)",
	  "auto kvm bt" },
	{ "gdb", 0, OPT_STRING, OPT(gdb), "PATH[,wait]",
	  "A Unix socket for a debugger; 'wait': the guest goes on when he says so", "@file" },
	{ "name", 0, OPT_STRING, OPT(name), "NAME", "What the new machine is called (one is made up)", NULL },
	{ "net", 'n', OPT_LIST, OPT(net), "ID=user|tap=NAME|bridge=NAME|switch=DIR",
	  "What the saved card net0, net1, ... is plugged into now", NULL },
	{ "pmem", 0, OPT_LIST, OPT(pmem), "ID=FILE[,ro]", "This file in place of the saved pmem0, pmem1, ...",
	  NULL },
	{ "vsock-uds", 0, OPT_STRING, OPT(vsock_uds), "PATH",
	  "The host's Unix socket of its vsock (one of its own)", "@file" },
	{ 0 }
};

/* override() - items "disk0=FILE" or "net0=user" take the place of those of @list. */
static int override(json_t *list, const struct strv *items, const char *option, const char *prefix,
		    struct err *e)
{
	for (size_t i = 0; i < items->len; i++) {
		const char *number = str_after(items->item[i], prefix), *is = strchr(items->item[i], '=');
		auto_free char *digits =
			number && is > number ? strndup(number, (size_t)(is - number)) : NULL;
		auto_free char *whole = NULL;
		uint64_t n;

		if (!digits || str_to_u64(digits, &n) < 0 || !is[1])
			return err_set(
				e, EINVAL,
				"invalid argument \"%s\" for --%s: want %s0=... or another of the saved",
				items->item[i], option, prefix);
		if (n >= json_array_size(list))
			return err_set(e, ENOENT, "--%s %s: the snapshot has no %s%s", option, items->item[i],
				       prefix, digits);
		whole = !str_eq(option, "net") ? vm_absolute(is + 1) : strdup(is + 1);
		if (!whole || json_array_set_new(list, (size_t)n, json_string(whole)) < 0)
			return err_sys(e, ENOMEM, "--%s", option);
	}
	return 0;
}

static bool is_overridden(const struct strv *items, const char *id)
{
	size_t len = strlen(id);

	for (size_t i = 0; i < items->len; i++)
		if (str_starts(items->item[i], id) && items->item[i][len] == '=')
			return true;
	return false;
}

/* check_pmems() - one that is written is in the machine's memory and in the file at once: clones cannot have it in common. */
static int check_pmems(const json_t *pmems, const struct strv *overrides, struct err *e)
{
	for (size_t i = 0; i < json_array_size(pmems); i++) {
		const char *text = json_string_value(json_array_get(pmems, i));
		char id[16];

		str_format(id, sizeof(id), "pmem%zu", i);
		if (text && !str_ends(text, ",ro") && !is_overridden(overrides, id))
			return err_set(e, EBUSY,
				       "%s can be written and is not part of a snapshot: --pmem %s=FILE "
				       "names a copy",
				       id, id);
	}
	return 0;
}

struct restoring {
	const struct machines_snapshot *s;
	const struct restore_opts *o;
};

/* clone_disks() - what is written gets an overlay of its own; the list says so then. */
static int clone_disks(void *arg, struct machines *ms, const char *id, json_t *options, struct err *e)
{
	const struct restoring *v = arg;
	const struct machines_snapshot *s = v->s;
	const struct restore_opts *o = v->o;
	auto_fini(strv) struct strv text = { 0 };
	size_t n = 0;
	auto_free struct machines_disk *disks = vm_options_disks(options, &text, &n);
	int r = disks ? 0 : err_sys(e, ENOMEM, "restore");

	for (size_t i = 0; i < n && r == 0; i++) {
		auto_free char *path = NULL;

		if (disks[i].readonly || is_overridden(&o->disk, disks[i].id))
			continue;
		r = machines_clone_disk(ms, id, s, disks[i].id, &path, e);
		if (r == 0)
			json_array_set_new(json_object_get(options, "Disks"), i,
					   json_format("%s,format=qcow2,backing", path));
	}
	return r;
}

/* own_vsock() - two machines cannot listen at one path: a clone gets its own. */
static int own_vsock(json_t *options, const char *uds, struct err *e)
{
	const char *value = json_string_value(json_object_get(options, "Vsock"));
	auto_free char *path = uds ? vm_absolute(uds) : NULL;
	int cid = value ? (int)strcspn(value, ",") : 0;

	if (uds && !value)
		return err_set(e, EINVAL, "--vsock-uds: the snapshot has no vsock");
	if (value)
		json_object_set_new(options, "Vsock",
				    path ? json_format("%.*s,uds=%s", cid, value, path) :
					   json_format("%.*s", cid, value));
	return 0;
}

/* own_gdb() - likewise; and who debugs the one may not want to debug the other. */
static int own_gdb(json_t *options, const char *value, struct err *e)
{
	auto_free char *whole =
		value ? vm_absolute(value) : NULL; /* what follows the path stays at its end */

	json_object_del(options, "Gdb");
	if (value && (!whole || json_object_set_new(options, "Gdb", json_string(whole)) < 0))
		return err_sys(e, ENOMEM, "--gdb");
	return 0;
}

/* snapshot_dir() - a directory, or a machine's own snapshot. The caller's. */
static char *snapshot_dir(struct machines *ms, const char *what)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_free char *dir = NULL;
	struct stat st;

	if (strchr(what, '/') || stat(what, &st) == 0 || machines_find(ms, what, &in, NULL) < 0)
		return strdup(what);
	dir = machines_path(ms, in.id);
	return dir ? str_printf("%s/snapshot", dir) : NULL;
}

/* clone_make() - the new machine; it has not run yet. */
static int clone_make(struct machines *ms, const struct machines_snapshot *s, const struct restore_opts *o,
		      char id[65], struct err *e)
{
	auto_json json_t *options = json_deep_copy(json_object_get(s->info, "Options"));
	struct restoring v = { s, o };
	const char *engine;
	int r = options ? 0 : err_sys(e, ENOMEM, "restore");

	if (r == 0)
		r = override(json_object_get(options, "Disks"), &o->disk, "disk", "disk", e);
	if (r == 0)
		r = check_pmems(json_object_get(options, "Pmems"), &o->pmem, e);
	if (r == 0)
		r = override(json_object_get(options, "Pmems"), &o->pmem, "pmem", "pmem", e);
	if (r == 0)
		r = override(json_object_get(options, "Networks"), &o->net, "net", "net", e);
	if (r == 0)
		r = own_vsock(options, o->vsock_uds, e);
	if (r == 0)
		r = own_gdb(options, o->gdb, e);
	if (r == 0 && o->engine)
		r = engine_name_check(o->engine, &engine, e);
	if (r == 0 && o->engine && json_object_set_new(options, "Engine", json_string(o->engine)) < 0)
		r = err_sys(e, ENOMEM, "--engine");
	return r < 0 ? r : machines_create(ms, o->name, options, clone_disks, &v, id, e);
}

static int restore(struct machines *ms, const char *what, const struct restore_opts *o, struct err *e)
{
	auto_fini(machines_snapshot) struct machines_snapshot s = MACHINES_SNAPSHOT_NONE;
	auto_free char *dir = snapshot_dir(ms, what);
	char id[65];
	int r = dir ? machines_snapshot_open(&s, dir, e) : err_sys(e, ENOMEM, "restore");

	if (r == 0 && o->ahead) {
		free(s.ahead_path);
		s.ahead_path = strdup(o->ahead);
		r = s.ahead_path ? 0 : err_sys(e, ENOMEM, "restore");
	}
	if (r == 0)
		r = clone_make(ms, &s, o, id, e);
	if (r < 0)
		return r;
	if (!o->start.attach) {
		r = start_one(ms, id, NULL, &s, e);
		if (r == 0)
			puts(id);
	} else {
		r = start_one(ms, id, &o->start, &s, e);
	}
	if (r < 0)
		machines_remove(ms, id, true, NULL); /* it never was */
	return r;
}

static int restore_main(void *opts, int argc, char **argv, struct err *e)
{
	auto_machines struct machines *ms = NULL;
	int r = vm_machines(&ms, e);

	(void)argc;
	return r < 0 ? r : restore(ms, argv[0], opts, e);
}

const struct cmd cmd_vm_create = {
	.name = "vm create",
	.group = CMD_LIFE,
	.args = "[OPTIONS]",
	.summary = "Make a machine with a name, without starting it",
	.about = "Checks what the options say, keeps it under the name, and prints the machine's id; "
		 "hull-vm-start(1) starts it. "
		 "Files are kept by path and opened by each start.\n\n"
		 "Machines share busy host processors in the proportion of their --cpu-weight, each as a "
		 "whole, however many "
		 "processors it has.",
	.examples = "hull vm create --name db --kernel vmlinux --disk db.qcow2,format=qcow2 --memory 1g\n"
		    "Made now, started by: hull vm start db\n\n"
		    "hull vm create --name batch --kernel vmlinux --cpus 2 --pin 2,3 --cpu-weight 20\n"
		    "Each of its processors on a host processor of its own, where others go first.",
	.opts = vm_config_opts,
	.opts_size = sizeof(struct vm_opts),
	.defaults = vm_config_defaults,
	.max_args = 0,
	.run = create_main,
};

const struct cmd cmd_vm_start = {
	.name = "vm start",
	.group = CMD_LIFE,
	.args = "[OPTIONS] MACHINE [MACHINE...]",
	.summary = "Start machines",
	.about = "Boots machines that were made or have ended; one that runs stays as it is. Each gets a "
		 "small process of its "
		 "own that keeps its console and its log; there is no daemon.\n\n"
		 "With --attach the exit status is the machine's: what the guest gives, 0 when it powers off "
		 "or resets, 1 when "
		 "it panics or dies of a triple fault, 137 when it was killed, 125 when hull itself failed.",
	.examples = "hull vm start -a db\nIts console here; Ctrl-P Ctrl-Q leaves it running.",
	.opts = start_opts,
	.opts_size = sizeof(struct start_opts),
	.min_args = 1,
	.max_args = -1,
	.run = start_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_snapshot = {
	.name = "vm snapshot",
	.group = CMD_LIFE,
	.args = "[OPTIONS] MACHINE",
	.summary = "Save a running machine, so that others can go on from there",
	.about = "Pauses the machine, saves its state and memory and copies the disks that it can write, "
		 "lets it go on, and prints the "
		 "directory. A snapshot that is there is replaced when the new one is whole; machines "
		 "restored from "
		 "the old one are not disturbed.\n\n"
		 "With --diff only memory written since the machine's last snapshot is saved, and merged "
		 "with that one's, "
		 "which must be in the directory; it needs a machine made with --track-dirty.",
	.examples = "hull vm snapshot db --to /var/backups/db\nA copy to go back to: hull vm restore "
		    "/var/backups/db",
	.opts = snapshot_opts,
	.opts_size = sizeof(struct snapshot_opts),
	.min_args = 1,
	.max_args = 1,
	.run = snapshot_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_restore = {
	.name = "vm restore",
	.group = CMD_LIFE,
	.args = "[OPTIONS] DIR|MACHINE",
	.summary = "Make a new machine that goes on from a snapshot",
	.about = "Makes a machine of what hull-vm-snapshot(1) put into DIR (or of a machine's own snapshot), "
		 "starts it and prints its id. "
		 "Memory is mapped, not read: it runs at once, and clones of one snapshot share what none of "
		 "them writes. "
		 "Each gets a new generation id, by which its system knows that it is a clone.\n\n"
		 "A second after the first machine went on, the memory that it has touched is listed in the "
		 "snapshot's directory, or where --ahead says; for later ones it is fetched while they run, "
		 "so that they do not wait for the disk page by page. A list that cannot be read or made is "
		 "done without.\n\n"
		 "A disk that is written is an overlay of the clone's own over the copy in the snapshot, "
		 "unless --disk names another "
		 "file. Disks that are only read, and shared directories, are the same for all. A tap device "
		 "can have one "
		 "machine: --net names another for the clone. When the machine has ended, hull-vm-start(1) "
		 "boots it afresh.",
	.examples = "hull vm restore /var/backups/db --name db2\nA second one, from that moment\n\n"
		    "hull vm restore warm --net net0=tap=tap7\nA clone of the machine 'warm', on its own tap "
		    "device",
	.opts = restore_opts,
	.opts_size = sizeof(struct restore_opts),
	.min_args = 1,
	.max_args = 1,
	.status_error = STATUS_ERROR,
	.run = restore_main,
	.complete = "@machine",
};
