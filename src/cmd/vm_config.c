/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/vm_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "net/bridge.h"
#include "sys/file.h"
#include "sys/sched.h"
#include "sys/sock.h"
#include "vm/machine.h"

enum { JAIL_NOBODY = 65534 };

#define OPT(member) offsetof(struct vm_opts, member)
/* The first VM_OPTS_RUN are for machines with names only. */
const struct opt vm_config_opts[] = {
	{ "name", 0, OPT_STRING, OPT(name), "NAME", "What it is called (one is made up)", NULL },
	{ "cpu-weight", 0, OPT_INT, OPT(cpu_weight), "N",
	  "Its share of busy host processors beside other machines: 1 to 10000 (100)", NULL },
	{ "cpu-max", 0, OPT_CPUS, OPT(nano_cpus), "NUMBER", "Host processors it may use at most: 1.5", NULL },
	{ "memory-max", 0, OPT_BYTES, OPT(memory_max), "BYTES",
	  "Host memory it may use at most, the guest's and hull's own", NULL },
	{ "kernel", 'k', OPT_STRING, OPT(kernel), "FILE", "Kernel to boot: ELF, bzImage or multiboot",
	  "@file" },
	{ "initrd", 0, OPT_STRING, OPT(initrd), "FILE", "Initial RAM file system", "@file" },
	{ "cmdline", 0, OPT_STRING, OPT(cmdline), "TEXT", "The kernel's command line", NULL },
	{ "memory", 'm', OPT_BYTES, OPT(memory), "BYTES", "Memory, whole MiB (128m)", NULL },
	{ "cpus", 'c', OPT_INT32, OPT(cpus), "N", "Processors, 1 to 32 (1)", NULL },
	{ "cpu", 0, OPT_STRING, OPT(cpu), "MODEL",
	  "What the processors are: 'host' or a named baseline (host)", "host" },
	{ "engine", 0, OPT_STRING, OPT(engine), "NAME",
	  "What executes them: auto, kvm or bt (auto: see hull engine list; HULL_ENGINE)", "auto kvm bt" },
	{ "irqchip", 0, OPT_STRING, OPT(irqchip), "kernel|split",
	  "Where kvm's interrupt controller is; split: all but the local APICs is hull's, without 8259 "
	  "(kernel)",
	  "kernel split" },
	{ "disk", 'd', OPT_LIST, OPT(disk), "FILE[,format=raw|qcow2][,ro][,backing]",
	  "A disk (raw unless said otherwise), 'backing': its backing files may be opened; may be repeated",
	  "@file" },
	{ "net", 'n', OPT_LIST, OPT(net), "none|user|tap=NAME|bridge=NAME|switch=DIR",
	  "A network card and what it is plugged into (none); may be repeated",
	  "none user tap= bridge= switch=" },
	{ "share", 0, OPT_LIST, OPT(share), "DIR:TAG[:ro]", "A host directory the guest can mount by TAG",
	  "@dir" },
	{ "vsock", 0, OPT_STRING, OPT(vsock), "CID[,uds=PATH]",
	  "Sockets between host and guest: the guest's number, 3 or more, and the host's Unix socket", NULL },
	{ "pmem", 0, OPT_LIST, OPT(pmem), "FILE[,ro]",
	  "A file that the guest maps as its memory; may be repeated", "@file" },
	{ "pci", 0, OPT_FLAG, OPT(pci), NULL, "Devices on a PCI bus instead of memory-mapped registers",
	  NULL },
	{ "balloon", 0, OPT_STRING, OPT(balloon), "MIB", "A balloon device that holds so much of the memory",
	  NULL },
	{ "gdb", 0, OPT_STRING, OPT(gdb), "PATH[,wait]",
	  "A Unix socket for a debugger; 'wait': the guest runs when he says so", "@file" },
	{ "no-jail", 0, OPT_FLAG, OPT(no_jail), NULL,
	  "Keep what the process may do: for whoever debugs hull itself", NULL },
	{ "pin", 0, OPT_STRING, OPT(pin), "CPUS[,CPUS...]",
	  "Host processors for each processor's thread: 0, 2-3 or 0+2; one for all, or one for each", NULL },
	{ "track-dirty", 0, OPT_FLAG, OPT(track_dirty), NULL,
	  "Note which memory is written, so that a snapshot can be a difference to the one before", NULL },
	{ "rng", 0, OPT_FLAG, OPT(rng), NULL, "A source of random numbers for the guest", NULL },
	{ "virtio-console", 0, OPT_FLAG, OPT(virtio_console), NULL, "A virtio console beside the serial port",
	  NULL },
	{ 0 }
};

void vm_config_defaults(void *opts)
{
	struct vm_opts *o = opts;

	o->memory = 128LL << 20;
	o->cpus = 1;
	o->engine = cmd_engine();
}

static int open_file(struct machine_file *f, const char *option, const char *path, int flags, struct err *e)
{
	int fd = file_open(AT_FDCWD, path, flags | O_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, -fd, "--%s '%s'", option, path);
	f->fd = fd;
	f->path = strdup(path);
	return f->path ? 0 : err_sys(e, ENOMEM, "--%s", option);
}

/* next_part() - cut the next "a" of "a,b,c" off; NULL when there is none. */
static char *next_part(char **rest, char sep)
{
	char *part = *rest, *end;

	if (!part)
		return NULL;
	end = strchr(part, sep);
	if (end)
		*end++ = '\0';
	*rest = end;
	return part;
}

static int bad_part(const char *option, const char *value, const char *part, const char *want, struct err *e)
{
	return err_set(e, EINVAL, "invalid argument \"%s\" for --%s: '%s', want %s", value, option, part,
		       want);
}

static int read_disk(struct machine_drive *d, unsigned i, const char *value, struct err *e)
{
	auto_free char *copy = strdup(value);
	char *rest = copy, *path = next_part(&rest, ','), *part;

	*d = (struct machine_drive){ .file.fd = -1, .format = "raw", .writeback = true, .async = true };
	str_format(d->id, sizeof(d->id), "disk%u", i);
	if (!copy)
		return err_sys(e, ENOMEM, "--disk");
	while ((part = next_part(&rest, ','))) {
		const char *format = str_after(part, "format=");

		if (format && (str_eq(format, "raw") || str_eq(format, "qcow2")))
			str_copy(d->format, sizeof(d->format), format);
		else if (str_eq(part, "ro"))
			d->readonly = true;
		else if (str_eq(part, "backing"))
			d->backing = true;
		else
			return bad_part("disk", value, part, "format=raw, format=qcow2, ro or backing", e);
	}
	return open_file(&d->file, "disk", path, d->readonly ? O_RDONLY : O_RDWR, e);
}

static int read_pmem(struct machine_pmem *p, unsigned i, const char *value, struct err *e)
{
	auto_free char *copy = strdup(value);
	char *rest = copy, *path = next_part(&rest, ','), *part;

	*p = (struct machine_pmem){ .file.fd = -1 };
	str_format(p->id, sizeof(p->id), "pmem%u", i);
	if (!copy)
		return err_sys(e, ENOMEM, "--pmem");
	while ((part = next_part(&rest, ','))) {
		if (!str_eq(part, "ro"))
			return bad_part("pmem", value, part, "ro", e);
		p->readonly = true;
	}
	return open_file(&p->file, "pmem", path, p->readonly ? O_RDONLY : O_RDWR, e);
}

static int read_net(struct machine_net *n, unsigned i, const char *value, bool dry, struct err *e)
{
	const char *tap = str_after(value, "tap="), *dir = str_after(value, "switch=");
	const char *bridge = str_after(value, "bridge=");

	*n = (struct machine_net){ .tap_fd = -1, .kind = MACHINE_NET_USER };
	str_format(n->id, sizeof(n->id), "net%u", i);
	if (str_eq(value, "user"))
		return 0;
	if (bridge && *bridge) {
		n->kind = MACHINE_NET_TAP;
		n->tap_fd = dry ? -1 : bridge_tap(bridge, e);
		return n->tap_fd < 0 && !dry ? n->tap_fd : 0;
	}
	if (!(tap && *tap) && !(dir && *dir))
		return err_set(e, EINVAL,
			       "invalid argument \"%s\" for --net: want none, user, tap=NAME, bridge=NAME or "
			       "switch=DIR",
			       value);
	n->kind = tap ? MACHINE_NET_TAP : MACHINE_NET_SWITCH;
	n->host_dev = strdup(tap ? tap : dir);
	return n->host_dev ? 0 : err_sys(e, ENOMEM, "--net");
}

static int read_share(struct machine_share *s, const char *value, struct err *e)
{
	auto_free char *copy = strdup(value);
	char *rest = copy, *dir = next_part(&rest, ':'), *tag = next_part(&rest, ':'),
	     *mode = next_part(&rest, ':');

	*s = (struct machine_share){ .dir.fd = -1 };
	if (!copy)
		return err_sys(e, ENOMEM, "--share");
	if (!*dir || !tag || !*tag || !str_copy(s->tag, sizeof(s->tag), tag) || rest)
		return err_set(
			e, EINVAL,
			"invalid argument \"%s\" for --share: want DIR:TAG[:ro], TAG of 1 to %zu bytes",
			value, sizeof(s->tag) - 1);
	if (mode && !str_eq(mode, "ro") && !str_eq(mode, "rw"))
		return bad_part("share", value, mode, "ro or rw", e);
	s->readonly = str_eq(mode, "ro");
	return open_file(&s->dir, "share", dir, O_RDONLY | O_DIRECTORY, e);
}

/* remove_stale() - a socket that nobody listens on is what a killed machine left behind. Anything else stays, and is in the way. */
static void remove_stale(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	if (fd >= 0 && str_copy(addr.sun_path, sizeof(addr.sun_path), path) &&
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 && errno == ECONNREFUSED)
		unlink(path);
}

static int read_vsock(struct machine_config *c, const char *value, bool dry, struct err *e)
{
	auto_free char *copy = strdup(value);
	char *rest = copy, *cid = next_part(&rest, ',');
	const char *uds = rest ? str_after(rest, "uds=") : NULL;

	if (!copy)
		return err_sys(e, ENOMEM, "--vsock");
	if (str_to_u64(cid, &c->vsock.cid) < 0)
		return bad_part("vsock", value, cid, "a number", e);
	if (rest && !(uds && *uds))
		return bad_part("vsock", value, rest, "uds=PATH", e);
	c->vsock.on = true;
	c->vsock.uds_path =
		uds ? strdup(uds) : str_printf("hull-vsock-%llu", (unsigned long long)c->vsock.cid);
	if (!c->vsock.uds_path)
		return err_sys(e, ENOMEM, "--vsock");
	if (!dry)
		remove_stale(c->vsock.uds_path);
	return 0;
}

/* read_gdb() - opened now: where the machine runs later there are no paths. */
static int read_gdb(struct machine_config *c, const char *value, bool dry, struct err *e)
{
	auto_free char *copy = strdup(value);
	char *rest = copy, *path = next_part(&rest, ',');

	if (!copy)
		return err_sys(e, ENOMEM, "--gdb");
	if (rest && !str_eq(rest, "wait"))
		return bad_part("gdb", value, rest, "wait", e);
	if (!*path)
		return bad_part("gdb", value, path, "the path of a socket", e);
	c->gdb.wait = rest;
	if (dry)
		return 0;
	remove_stale(path);
	c->gdb.fd = sock_listen_at(AT_FDCWD, path, SOCK_STREAM | SOCK_NONBLOCK, 0600);
	return c->gdb.fd < 0 ? err_sys(e, -c->gdb.fd, "--gdb '%s'", path) : 0;
}

static int read_balloon(struct machine_config *c, const char *value, struct err *e)
{
	uint64_t mib;

	if (str_to_u64(value, &mib) < 0 || mib > UINT32_MAX)
		return err_set(e, EINVAL, "invalid argument \"%s\" for --balloon: want a number of MiB",
			       value);
	c->balloon.on = c->balloon.deflate_on_oom = c->balloon.reporting = true;
	c->balloon.mib = (uint32_t)mib;
	return 0;
}

/* The arrays grow with the count of what is in them, so that a failure half-way leaves what machine_config_fini() can free. */
static int read_lists(struct machine_config *c, const struct vm_opts *o, struct err *e)
{
	int r = 0;

	c->drive = calloc(o->disk.len + 1, sizeof(*c->drive));
	c->net = calloc(o->net.len + 1, sizeof(*c->net));
	c->share = calloc(o->share.len + 1, sizeof(*c->share));
	c->pmem = calloc(o->pmem.len + 1, sizeof(*c->pmem));
	if (!c->drive || !c->net || !c->share || !c->pmem)
		return err_sys(e, ENOMEM, "a machine");
	for (size_t i = 0; i < o->disk.len && r == 0; i++)
		r = read_disk(&c->drive[c->n_drives++], (unsigned)i, o->disk.item[i], e);
	for (size_t i = 0; i < o->pmem.len && r == 0; i++)
		r = read_pmem(&c->pmem[c->n_pmems++], (unsigned)i, o->pmem.item[i], e);
	for (size_t i = 0; i < o->net.len && r == 0; i++)
		if (!str_eq(o->net.item[i], "none"))
			r = read_net(&c->net[c->n_nets++], (unsigned)i, o->net.item[i], o->dry, e);
	for (size_t i = 0; i < o->share.len && r == 0; i++)
		r = read_share(&c->share[c->n_shares++], o->share.item[i], e);
	return r;
}

/* read_pin() - "0,2-3" as a list for each processor; '+' stands for the comma inside of one. */
static int read_pin(struct machine_config *c, const char *value, struct err *e)
{
	unsigned long bits[SCHED_LIST_MAX / 8 / sizeof(long)];
	auto_fini(strv) struct strv part = { 0 };

	strv_split(&part, value, ',');
	if (part.len != 1 && part.len != c->cpus)
		return err_set(e, EINVAL, "invalid argument \"%s\" for --pin: %zu lists for %u processors",
			       value, part.len, c->cpus);
	for (unsigned i = 0; i < c->cpus; i++) {
		char *list = part.item[part.len == 1 ? 0 : i];

		for (char *plus = list; (plus = strchr(plus, '+'));)
			*plus = ',';
		if (sched_parse_list(list, bits, SCHED_LIST_MAX) <= 0)
			return err_set(e, EINVAL,
				       "invalid argument \"%s\" for --pin: want host processors such as 0, "
				       "2-3 or 0+2",
				       value);
		strv_add(&c->pin, list);
	}
	return strv_finish(&c->pin) < 0 ? err_sys(e, ENOMEM, "--pin") : 0;
}

static int read_irqchip(struct machine_config *c, const char *value, struct err *e)
{
	c->split_irqchip = value && str_eq(value, "split");
	if (value && !c->split_irqchip && !str_eq(value, "kernel"))
		return err_set(e, EINVAL, "invalid argument \"%s\" for --irqchip: want kernel or split",
			       value);
	return 0;
}

static int copy_text(char **slot, const char *text, struct err *e)
{
	if (!text)
		return 0;
	*slot = strdup(text);
	return *slot ? 0 : err_sys(e, ENOMEM, "a machine");
}

int vm_config_read(struct machine_config *c, const struct vm_opts *o, struct err *e)
{
	int r;

	if (!o->kernel)
		return err_set(e, EINVAL, "a machine needs --kernel FILE, see 'hull vm run --help'");
	str_copy(c->id, sizeof(c->id), "vm");
	c->track_dirty = o->track_dirty;
	c->cpus = o->cpus < 0 ? 0 : (unsigned)o->cpus;
	c->mem_bytes = o->memory < 0 ? 0 : (uint64_t)o->memory;
	c->pages = GMEM_PAGES_SMALL;
	c->pci = o->pci;
	c->rng = o->rng;
	c->console = o->virtio_console;
	c->jail = (struct machine_jail){ .on = !o->no_jail, .uid = JAIL_NOBODY, .gid = JAIL_NOBODY };
	c->rtc = c->vmgenid = c->pvpanic = c->debug_exit = true;
	c->engine_dir = cmd_run_dir();
	r = engine_name_check(o->engine, &c->engine, e);
	if (r == 0)
		r = read_irqchip(c, o->irqchip, e);
	if (r == 0)
		r = copy_text(&c->cmdline, o->cmdline, e);
	if (r == 0)
		r = copy_text(&c->cpu_model, o->cpu, e);
	if (r == 0 && !o->restoring)
		r = open_file(&c->kernel, "kernel", o->kernel, O_RDONLY, e);
	if (r == 0 && !o->restoring && o->initrd)
		r = open_file(&c->initrd, "initrd", o->initrd, O_RDONLY, e);
	if (r == 0)
		r = read_lists(c, o, e);
	if (r == 0 && o->vsock)
		r = read_vsock(c, o->vsock, o->dry, e);
	if (r == 0 && o->gdb)
		r = read_gdb(c, o->gdb, o->dry, e);
	if (r == 0 && o->balloon)
		r = read_balloon(c, o->balloon, e);
	if (r == 0 && o->pin)
		r = read_pin(c, o->pin, e);
	return r < 0 || o->restoring ? r : machine_config_check(c, e);
}
