/* SPDX-License-Identifier: Apache-2.0 */
/* info.c - info and version */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "container/cgroup.h"
#include "fmt/oci.h"
#include "fs/overlay.h"
#include "runtime/runtime.h"
#include "sys/cred.h"
#include "sys/file.h"

struct format_opts {
	const char *format;
};

static const struct opt format_opts[] = { { "format", 'f', OPT_STRING, offsetof(struct format_opts, format),
					    "FORMAT", "'json' or a template: {{.ServerVersion}}", NULL },
					  { 0 } };

struct counts {
	int all, running, paused, stopped, images;
};

static int count_instance(void *arg, const struct instance *in)
{
	struct counts *c = arg;

	c->all++;
	if (in->status == INSTANCE_RUNNING || in->status == INSTANCE_RESTARTING)
		c->running++;
	else if (in->status == INSTANCE_PAUSED)
		c->paused++;
	else
		c->stopped++;
	return 0;
}

static int count_image(void *arg, const struct image *im)
{
	(void)im;
	((struct counts *)arg)->images++;
	return 0;
}

/* os_name() - PRETTY_NAME of os-release(5); "Linux" without it */
static json_t *os_name(void)
{
	static const char key[] = "PRETTY_NAME=\"";
	auto_fini(buf) struct buf b = { 0 };
	const char *at;

	if (file_slurp_at(AT_FDCWD, "/etc/os-release", &b, 64 << 10) < 0)
		return json_string("Linux");
	at = strstr(buf_str(&b), key);
	at = at ? at + strlen(key) : "Linux";
	return json_format("%.*s", (int)strcspn(at, "\"\n"), at);
}

static const char *cgroup_version(void)
{
	static const char *const name[CGROUP_LAYOUT_COUNT] = {
		[CGROUP_NONE] = "none",
		[CGROUP_V1] = "1",
		[CGROUP_HYBRID] = "1 (hybrid)",
		[CGROUP_V2] = "2",
	};

	struct cgroup cg = { 0 };
	enum cgroup_layout layout = CGROUP_NONE;

	if (cgroup_open(&cg, "/hull/info", "info", CGROUP_FS, NULL) == 0) /* looks, and makes nothing */
		layout = cg.layout;
	cgroup_fini(&cg);
	return name[layout];
}

static json_t *levels(void)
{
	static const char *const name[] = { "container", "sandbox", "microvm", "unikernel", "vm", NULL };
	json_t *list = json_array();

	for (const char *const *n = name; *n; n++)
		if (iso_find(*n, NULL))
			json_array_append_new(list, json_string(*n));
	return list;
}

static json_t *info_object(struct runtime *rt, const struct counts *c)
{
	struct utsname u;
	json_t *info = json_object();

	uname(&u);
	json_object_set_new(info, "ServerVersion", json_string(HULL_VERSION));
	json_object_set_new(info, "Containers", json_integer(c->all));
	json_object_set_new(info, "ContainersRunning", json_integer(c->running));
	json_object_set_new(info, "ContainersPaused", json_integer(c->paused));
	json_object_set_new(info, "ContainersStopped", json_integer(c->stopped));
	json_object_set_new(info, "Images", json_integer(c->images));
	json_object_set_new(info, "Driver", json_string("overlay"));
	json_object_set_new(info, "LayerFormat", json_string(overlay_erofs_mountable() ? "erofs" : "tree"));
	json_object_set_new(info, "LoggingDriver", json_string("json-file"));
	json_object_set_new(info, "CgroupDriver", json_string("cgroupfs"));
	json_object_set_new(info, "CgroupVersion", json_string(cgroup_version()));
	json_object_set_new(info, "Isolation", levels());
	json_object_set_new(info, "OciVersion", json_string(OCI_VERSION));
	json_object_set_new(info, "Rootless", json_boolean(cred_in_userns()));
	json_object_set_new(info, "SecurityOptions",
			    json_pack("[ss]", "name=seccomp,profile=builtin", "name=cgroupns"));
	json_object_set_new(info, "KernelVersion", json_string(u.release));
	json_object_set_new(info, "OperatingSystem", os_name());
	json_object_set_new(info, "OSType", json_string("linux"));
	json_object_set_new(info, "Architecture", json_string(u.machine));
	json_object_set_new(info, "NCPU", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(info, "MemTotal",
			    json_integer((json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE)));
	json_object_set_new(info, "Name", json_string(u.nodename));
	json_object_set_new(info, "DockerRootDir", json_string(store_root(runtime_store(rt))));
	return info;
}

static void print_info(const json_t *info)
{
	static const struct {
		const char *key, *label;
		int indent;
	} line[] = {
		{ "Containers", "Containers", 0 },
		{ "ContainersRunning", "Running", 1 },
		{ "ContainersPaused", "Paused", 1 },
		{ "ContainersStopped", "Stopped", 1 },
		{ "Images", "Images", 0 },
		{ "ServerVersion", "Version", 0 },
		{ "Driver", "Storage Driver", 0 },
		{ "LayerFormat", "Layer Format", 1 },
		{ "LoggingDriver", "Logging Driver", 0 },
		{ "CgroupDriver", "Cgroup Driver", 0 },
		{ "CgroupVersion", "Cgroup Version", 0 },
		{ "OciVersion", "OCI Version", 0 },
		{ "KernelVersion", "Kernel Version", 0 },
		{ "OperatingSystem", "Operating System", 0 },
		{ "OSType", "OSType", 0 },
		{ "Architecture", "Architecture", 0 },
		{ "NCPU", "CPUs", 0 },
		{ "Name", "Name", 0 },
		{ "DockerRootDir", "Root Dir", 0 },
	};
	const json_t *isolation = json_path(info, "Isolation");

	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		const json_t *v = json_object_get(info, line[i].key);

		printf("%*s%s: ", line[i].indent, "", line[i].label);
		if (json_is_string(v))
			puts(json_string_value(v));
		else
			printf("%lld\n", (long long)json_integer_value(v));
	}
	printf("Total Memory: %.4gGiB\nIsolation Levels:",
	       (double)json_integer_value(json_path(info, "MemTotal")) / (1 << 30));
	for (size_t i = 0; i < json_array_size(isolation); i++)
		printf(" %s", json_string_value(json_array_get(isolation, i)));
	printf("\nRootless: %s\n", json_is_true(json_path(info, "Rootless")) ? "true" : "false");
}

static int info_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct format_opts *o = opts;
	struct counts c = { 0 };
	struct runtime *rt;
	json_t *info;
	int r = cmd_runtime(&rt, e);

	(void)argc;
	(void)argv;
	if (r == 0)
		r = instance_each(rt, count_instance, &c, e);
	if (r == 0)
		r = store_image_each(runtime_store(rt), count_image, &c, e);
	if (r < 0)
		return r;
	info = info_object(rt, &c);
	if (o->format)
		r = print_value(o->format, info, e);
	else
		print_info(info);
	json_decref(info);
	return r;
}

/* version_object() - there is one program; scripts ask for either half */
static json_t *version_object(void)
{
	struct utsname u;
	json_t *one;

	uname(&u);
	one = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "Platform", "hull", "Version", HULL_VERSION,
			"OciVersion", OCI_VERSION, "Os", "linux", "Arch",
			str_eq(u.machine, "x86_64") ? "amd64" : u.machine, "KernelVersion", u.release);
	return json_pack("{s:O, s:o}", "Client", one, "Server", one);
}

static int version_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct format_opts *o = opts;
	json_t *version = version_object();
	int r = 0;

	(void)argc;
	(void)argv;
	if (o->format)
		r = print_value(o->format, version, e);
	else
		printf("hull\n Version:      %s\n OCI version:  %s\n OS/Arch:      linux/%s\n Kernel:       "
		       "%s\n",
		       HULL_VERSION, OCI_VERSION, json_path_str(version, "Client.Arch"),
		       json_path_str(version, "Client.KernelVersion"));
	json_decref(version);
	return r;
}

const struct cmd cmd_info = {
	.name = "info",
	.aliases = "system info",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "What this installation and this machine are and can do",
	.opts = format_opts,
	.opts_size = sizeof(struct format_opts),
	.max_args = 0,
	.run = info_main,
};

const struct cmd cmd_version = {
	.name = "version",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "Print the version",
	.opts = format_opts,
	.opts_size = sizeof(struct format_opts),
	.max_args = 0,
	.run = version_main,
};
