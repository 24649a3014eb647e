/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker.c - `hull firecracker`, also as a link named firecracker: one machine behind Firecracker's API */
#include <errno.h>
#include <stdio.h>

#include "api/firecracker.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/table.h"
#include "sys/file.h"
#include "vm/machine.h"

struct firecracker_opts {
	const char *api_sock, *id, *config_file, *metadata, *log_path, *level, *module, *metrics_path;
	const char *seccomp_filter, *describe, *engine;
	bool no_api, show_level, show_log_origin, boot_timer, pci, no_seccomp, snapshot_version, version;
	int64_t payload_max, mmds_max, start_time_us, start_cpu_us, parent_cpu_us;
};
#define OPT(member) offsetof(struct firecracker_opts, member)

static const struct opt opts[] = {
	{ "api-sock", 0, OPT_STRING, OPT(api_sock), "PATH",
	  "Unix socket the API is served on (/run/firecracker.socket)", "@file" },
	{ "boot-timer", 0, OPT_FLAG, OPT(boot_timer), NULL,
	  "Log how long the guest took to boot: it writes 123 to 0xc0000000", NULL },
	{ "config-file", 0, OPT_STRING, OPT(config_file), "FILE", "Configure from this file and start",
	  "@file" },
	{ "describe-snapshot", 0, OPT_STRING, OPT(describe), "FILE",
	  "Print the version of a snapshot's format and end", "@file" },
	{ "enable-pci", 0, OPT_FLAG, OPT(pci), NULL, "Devices on PCI instead of MMIO", NULL },
	{ "engine", 0, OPT_STRING, OPT(engine), "NAME",
	  "What executes the processors: auto, kvm or bt (auto; HULL_ENGINE)", "auto kvm bt" },
	{ "http-api-max-payload-size", 0, OPT_INT, OPT(payload_max), "BYTES",
	  "Longest body of a request (51200)", NULL },
	{ "id", 0, OPT_STRING, OPT(id), "ID",
	  "Name of the machine: letters, digits, '-' (anonymous-instance)", NULL },
	{ "level", 0, OPT_STRING, OPT(level), "LEVEL", "Least level worth a log line",
	  "Off Error Warning Info Debug Trace" },
	{ "log-path", 0, OPT_STRING, OPT(log_path), "FILE", "Log into this file or FIFO", "@file" },
	{ "metadata", 0, OPT_STRING, OPT(metadata), "FILE", "JSON that the metadata service starts with",
	  "@file" },
	{ "metrics-path", 0, OPT_STRING, OPT(metrics_path), "FILE", "Metrics into this file or FIFO",
	  "@file" },
	{ "mmds-size-limit", 0, OPT_INT, OPT(mmds_max), "BYTES",
	  "Longest document of the metadata service (as --http-api-max-payload-size)", NULL },
	{ "module", 0, OPT_STRING, OPT(module), "PREFIX", "Log only what comes from there: api", NULL },
	{ "no-api", 0, OPT_FLAG, OPT(no_api), NULL, "No API socket; needs --config-file", NULL },
	{ "no-seccomp", 0, OPT_FLAG, OPT(no_seccomp), NULL, "Without seccomp filters", NULL },
	{ "parent-cpu-time-us", 0, OPT_INT, OPT(parent_cpu_us), "US", "CPU time of whoever started this",
	  NULL },
	{ "seccomp-filter", 0, OPT_STRING, OPT(seccomp_filter), "FILE", "Filters of one's own: refused",
	  "@file" },
	{ "show-level", 0, OPT_FLAG, OPT(show_level), NULL, "The level in each log line", NULL },
	{ "show-log-origin", 0, OPT_FLAG, OPT(show_log_origin), NULL, "File and line in each log line",
	  NULL },
	{ "snapshot-version", 0, OPT_FLAG, OPT(snapshot_version), NULL,
	  "Print the version of snapshots written here and end", NULL },
	{ "start-time-cpu-us", 0, OPT_INT, OPT(start_cpu_us), "US", "CPU clock when this was started", NULL },
	{ "start-time-us", 0, OPT_INT, OPT(start_time_us), "US", "Monotonic clock when this was started",
	  NULL },
	{ "version", 0, OPT_FLAG, OPT(version), NULL, "Print the version and end", NULL },
	{ 0 }
};

static void defaults(void *arg)
{
	struct firecracker_opts *o = arg;

	o->api_sock = FC_SOCKET;
	o->id = "anonymous-instance";
	o->engine = cmd_engine();
	o->payload_max = FC_PAYLOAD_DEFAULT;
	o->mmds_max = -1;
}

/* check() - *ret_engine: as engine_name_check() */
static int check(const struct firecracker_opts *o, const char **ret_engine, struct err *e)
{
	if (o->no_api && !o->config_file)
		return err_set(e, EINVAL, "--no-api needs --config-file");
	if (o->seccomp_filter)
		return err_set(e, EOPNOTSUPP, "--seccomp-filter: filters of one's own are not there yet");
	if (o->payload_max < 0 || o->start_time_us < 0 || o->start_cpu_us < 0 || o->parent_cpu_us < 0 ||
	    o->mmds_max < -1)
		return err_set(e, EINVAL, "a number below zero makes no sense");
	if (o->level && fc_level_check(o->level, e) < 0)
		return -EINVAL;
	if (engine_name_check(o->engine, ret_engine, e) < 0)
		return -EINVAL;
	return fc_id_check(o->id, e);
}

/* print_format() - of the snapshot @path, or of those written here. */
static int print_format(const char *path, struct err *e)
{
	auto_close int fd = path ? file_open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
	int r = path && fd < 0 ? err_sys(e, -fd, "'%s'", path) : machine_snapshot_format(fd, e);

	if (r < 0) {
		cmd_fail(e);
		return FC_EXIT_GENERIC;
	}
	printf("v%d.0.0\n", r);
	return FC_EXIT_OK;
}

static int firecracker_run(void *arg, int argc, char **argv, struct err *e)
{
	const struct firecracker_opts *o = arg;
	struct fc_options f = {
		.api_sock = o->api_sock,
		.id = o->id,
		.config_file = o->config_file,
		.metadata = o->metadata,
		.log_path = o->log_path,
		.level = o->level,
		.module = o->module,
		.metrics_path = o->metrics_path,
		.no_api = o->no_api,
		.boot_timer = o->boot_timer,
		.pci = o->pci,
		.show_level = o->show_level,
		.show_log_origin = o->show_log_origin,
		.no_seccomp = o->no_seccomp,
		.payload_max = (uint64_t)o->payload_max,
		.mmds_max = (uint64_t)(o->mmds_max < 0 ? o->payload_max : o->mmds_max),
		.start_time_us = (uint64_t)o->start_time_us,
		.start_cpu_us = (uint64_t)o->start_cpu_us,
		.parent_cpu_us = (uint64_t)o->parent_cpu_us,
		.engine_dir = cmd_run_dir(),
	};
	int r;

	(void)argc;
	(void)argv;
	if (o->version) {
		printf("Firecracker v%s\nhull %s\n", FC_API_VERSION, HULL_VERSION);
		return FC_EXIT_OK;
	}
	if (o->snapshot_version || o->describe)
		return print_format(o->describe, e);
	r = check(o, &f.engine, e);
	if (r < 0)
		return r;
	r = fc_run(&f, e);
	if (r && e->text[0])
		cmd_fail(e);
	return r;
}

const struct cmd cmd_firecracker = {
	.name = "firecracker",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "Run one machine behind Firecracker's API",
	.about = "One process is one machine, driven over a Unix socket with the requests of Firecracker's "
		 "API, or configured from a "
		 "file. A program written for Firecracker finds the same paths, fields, states and codes. A "
		 "link named firecracker "
		 "that points to hull is this command.\n\n"
		 "Exit status: 0 the guest ended or rebooted, 1 failure, 148 a system call was refused, 149 "
		 "to 157 ended by a signal, "
		 "152 bad configuration file, 153 bad arguments.",
	.examples = "hull firecracker --api-sock /tmp/fc.sock\nServe the API; the machine starts with "
		    "InstanceStart.\n\n"
		    "hull firecracker --no-api --config-file vm.json\nStart what the file describes.",
	.opts = opts,
	.opts_size = sizeof(struct firecracker_opts),
	.defaults = defaults,
	.status_error = FC_EXIT_ARGS,
	.run = firecracker_run,
};
