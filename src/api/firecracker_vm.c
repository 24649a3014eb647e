/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_vm.c - the machine as a whole: who it is, its size, its kernel, its processors, start and pause */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

enum { MEM_MIB_MAX = 16 << 20 /* 16 TiB */ };

static const struct json_name huge_names[] = { { "None", FC_HUGE_NONE },
					       { "Transparent", FC_HUGE_THP },
					       { "2M", FC_HUGE_2M } };

int fc__get_root(struct fc_call *c)
{
	static const char *const name[] = {
		[FC_BEFORE] = "Not started", [FC_RUNNING] = "Running", [FC_PAUSED] = "Paused"
	};

	json_put_open(&c->out, NULL, '{');
	json_put_str(&c->out, "app_name", "Firecracker");
	json_put_str(&c->out, "id", c->f->log.id);
	json_put_str(&c->out, "state", name[fc__state(c->f)]);
	json_put_str(&c->out, "vmm_version", FC_API_VERSION);
	json_put_close(&c->out, '}');
	return 0;
}

int fc__get_version(struct fc_call *c)
{
	json_put_open(&c->out, NULL, '{');
	json_put_str(&c->out, "firecracker_version", FC_API_VERSION);
	json_put_close(&c->out, '}');
	return 0;
}

/* --- actions -------------------------------------------------------------------------------------------------- */

int fc__put_actions(struct fc_call *c)
{
	enum { START, FLUSH, KEYS };
	static const struct json_name names[] = { { "InstanceStart", START },
						  { "FlushMetrics", FLUSH },
						  { "SendCtrlAltDel", KEYS } };
	uint64_t what;
	int r;

	json_need(c->body, "action_type");
	what = json_read_name(c->body, "action_type", names, ARRAY_SIZE(names), START);
	r = json_finish(c->body->doc);
	if (r < 0)
		return r;
	if (what == START && c->f->m)
		return err_set(c->e, EBUSY,
			       "The requested operation is not supported after starting the microVM");
	if (what != START && !c->f->m)
		return err_set(c->e, EBUSY,
			       "The requested operation is not supported before starting the microVM");
	if (what == START)
		return fc__start(c->f, c->e);
	if (what == KEYS)
		return machine_ctrl_alt_del(c->f->m, c->e);
	fc__flush_metrics(c->f);
	return 0;
}

/* timed() - how long a change of state took; none, when it was so already. */
static int timed(struct fc *f, enum fc_latency which, enum fc_when was, nsec_t since, int rc)
{
	if (rc == 0 && fc__state(f) != was)
		fc__took(f, which, since);
	return rc;
}

int fc__patch_vm(struct fc_call *c)
{
	enum { PAUSED, RESUMED };
	static const struct json_name names[] = { { "Paused", PAUSED }, { "Resumed", RESUMED } };
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	enum fc_when was = fc__state(c->f);
	uint64_t what;
	int r;

	json_need(c->body, "state");
	what = json_read_name(c->body, "state", names, ARRAY_SIZE(names), PAUSED);
	r = json_finish(c->body->doc);
	if (r < 0)
		return r;
	if (what == PAUSED)
		return timed(c->f, FC_LAT_PAUSE, was, now, machine_pause(c->f->m, c->e));
	return timed(c->f, FC_LAT_RESUME, was, now, machine_resume(c->f->m, c->e));
}

/* --- machine-config ------------------------------------------------------------------------------------------- */

struct size { /* of a machine, as it would be */
	uint64_t cpus, mib;
	bool smt, track;
	enum fc_huge huge;
};

int fc__get_machine(struct fc_call *c)
{
	const struct machine_config *m = fc__config(c->f);

	json_put_open(&c->out, NULL, '{');
	json_put_u64(&c->out, "vcpu_count", m->cpus);
	json_put_u64(&c->out, "mem_size_mib", m->mem_bytes >> 20);
	json_put_bool(&c->out, "smt", m->smt);
	json_put_bool(&c->out, "track_dirty_pages", m->track_dirty);
	if (m->cpu_model)
		json_put_str(&c->out, "cpu_template", m->cpu_model);
	json_put_str(&c->out, "huge_pages", huge_names[c->f->huge].name);
	if (c->f->gdb_path)
		json_put_str(&c->out, "gdb_socket_path", c->f->gdb_path);
	json_put_close(&c->out, '}');
	return 0;
}

static int check_size(const struct fc *f, const struct size *s, struct err *e)
{
	if (s->cpus < 1 || s->cpus > ENGINE_CPUS_MAX)
		return err_set(e, EINVAL, "The vCPU number is invalid: got %llu, want 1 to %d",
			       (unsigned long long)s->cpus, ENGINE_CPUS_MAX);
	if (s->smt && s->cpus > 1 && s->cpus % 2)
		return err_set(e, EINVAL, "The vCPU number is invalid: with smt it is 1 or even, got %llu",
			       (unsigned long long)s->cpus);
	if (s->mib < 1 || s->mib > MEM_MIB_MAX)
		return err_set(e, EINVAL, "The memory size (MiB) is invalid: got %llu",
			       (unsigned long long)s->mib);
	if (s->huge == FC_HUGE_2M && s->mib % 2)
		return err_set(e, EINVAL,
			       "The memory size (MiB) is invalid: with pages of 2M it is even, got %llu",
			       (unsigned long long)s->mib);
	if (f->c.balloon.on && f->c.balloon.mib > s->mib)
		return err_set(e, EINVAL,
			       "The memory size (MiB) is smaller than the target of the balloon: %llu < %u",
			       (unsigned long long)s->mib, f->c.balloon.mib);
	return 0;
}

static const struct json_name templates[] = { { "None", 0 }, { "C3", 1 },  { "T2", 2 },  { "T2S", 3 },
					      { "T2CL", 4 }, { "T2A", 5 }, { "V1N1", 6 } };

/* read_template() - the deprecated field. Return: a place in @templates. */
static uint64_t read_template(struct fc_call *c)
{
	uint64_t t = json_read_name(c->body, "cpu_template", templates, ARRAY_SIZE(templates), 0);

	if (json_has(c->body, "cpu_template"))
		c->deprecated = true;
	if (str_eq(templates[t].name, "V1N1"))
		json_fail(c->body, "cpu_template", EINVAL, "V1N1 is for ARM processors");
	return t;
}

static void no_edits(struct machine_config *m)
{
	free(m->cpu_edits.cpuid);
	free(m->cpu_edits.msr);
	m->cpu_edits = (struct machine_cpu_edits){ 0 };
}

/* set_template() - @whole: what the body leaves out has its default again. */
static int set_template(struct fc_call *c, uint64_t template, bool whole)
{
	if (!json_has(c->body, "cpu_template") && !whole)
		return 0;
	if (json_has(c->body, "cpu_template")) { /* the last of template and cpu-config counts */
		no_edits(&c->f->c);
		fc__set_str(&c->f->cpu_json, NULL, NULL);
	}
	return fc__set_str(&c->f->c.cpu_model, template ? templates[template].name : NULL, c->e);
}

/* set_gdb() - @path NULL: no debugger. The start makes the socket; one that was made for a start that failed goes. */
static int set_gdb(struct fc *f, const char *path, struct err *e)
{
	struct stat st;

	if (str_eq(path, f->gdb_path))
		return 0;
	if (path && (!*path || strlen(path) > 100))
		return err_set(e, EINVAL, "gdb_socket_path: want a path of 1 to 100 bytes");
	if (path && file_fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, EADDRINUSE, "gdb_socket_path '%s': is there already", path);
	if (f->c.gdb.fd >= 0)
		file_unlink(AT_FDCWD, f->gdb_path, 0);
	fd_close(&f->c.gdb.fd);
	return fc__set_str(&f->gdb_path, path, e);
}

static int set_size(struct fc_call *c, struct size s, bool whole)
{
	static const enum gmem_pages pages[] = { [FC_HUGE_NONE] = GMEM_PAGES_SMALL,
						 [FC_HUGE_THP] = GMEM_PAGES_THP,
						 [FC_HUGE_2M] = GMEM_PAGES_2M };
	const struct json_at *b = c->body;
	uint64_t template;
	const char *gdb;
	int r;

	s.cpus = json_read_u64(b, "vcpu_count", UINT8_MAX, s.cpus);
	s.mib = json_read_u64(b, "mem_size_mib", UINT64_MAX, s.mib);
	s.smt = json_read_bool(b, "smt", s.smt);
	s.track = json_read_bool(b, "track_dirty_pages", s.track);
	s.huge = (enum fc_huge)json_read_name(b, "huge_pages", huge_names, ARRAY_SIZE(huge_names), s.huge);
	gdb = json_read_str(b, "gdb_socket_path");
	template = read_template(c);
	r = json_finish(b->doc);
	if (r == 0)
		r = check_size(c->f, &s, c->e);
	if (r == 0 && (gdb || whole))
		r = set_gdb(c->f, gdb, c->e);
	if (r < 0)
		return r;
	c->f->c.cpus = (unsigned)s.cpus;
	c->f->c.mem_bytes = s.mib << 20;
	c->f->c.smt = s.smt;
	c->f->c.track_dirty = s.track;
	c->f->c.pages = pages[s.huge];
	c->f->huge = s.huge;
	return set_template(c, template, whole);
}

int fc__put_machine(struct fc_call *c)
{
	json_need(c->body, "vcpu_count");
	json_need(c->body, "mem_size_mib");
	return set_size(c, (struct size){ .huge = FC_HUGE_NONE }, true);
}

int fc__patch_machine(struct fc_call *c)
{
	const struct machine_config *m = &c->f->c;

	if (json_count(c->body) == 0)
		return err_set(c->e, EINVAL, "Empty PATCH request");
	return set_size(c,
			(struct size){ .cpus = m->cpus,
				       .mib = m->mem_bytes >> 20,
				       .smt = m->smt,
				       .track = m->track_dirty,
				       .huge = c->f->huge },
			false);
}

/* --- boot-source ---------------------------------------------------------------------------------------------- */

/* check_cmdline() - printable, and short enough with what start adds to it. */
static int check_cmdline(const char *s, struct err *e)
{
	if (strlen(s) > MACHINE_CMDLINE_MAX - 128)
		return err_set(e, EINVAL, "The kernel command line is invalid: longer than %d bytes",
			       MACHINE_CMDLINE_MAX - 128);
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			return err_set(
				e, EINVAL,
				"The kernel command line is invalid: a byte that is not printable ASCII");
	return 0;
}

int fc__put_boot(struct fc_call *c)
{
	struct machine_file kernel = { .fd = -1 }, initrd = { .fd = -1 };
	const char *path = json_read_str(c->body, "kernel_image_path"),
		   *initrd_path = json_read_str(c->body, "initrd_path"),
		   *args = json_read_str(c->body, "boot_args");
	struct fc *f = c->f;
	int r;

	json_need(c->body, "kernel_image_path");
	r = json_finish(c->body->doc);
	if (r == 0 && args)
		r = check_cmdline(args, c->e);
	if (r == 0)
		r = fc__open(f, &kernel, FC_FILE_DISK, path, O_RDONLY,
			     "The kernel file cannot be opened:", c->e);
	if (r == 0 && initrd_path)
		r = fc__open(f, &initrd, FC_FILE_DISK, initrd_path, O_RDONLY,
			     "The initrd file cannot be opened:", c->e);
	if (r == 0)
		r = fc__set_str(&f->boot_args, args, c->e);
	if (r < 0) {
		fc__file_fini(&kernel);
		fc__file_fini(&initrd);
		return r;
	}
	fc__file_fini(&f->c.kernel);
	fc__file_fini(&f->c.initrd);
	f->c.kernel = kernel;
	f->c.initrd = initrd;
	f->has_boot = true;
	return 0;
}

/* --- cpu-config ----------------------------------------------------------------------------------------------- */

/* read_bits() - "x" keeps a bit, 0 and 1 set it; highest first, what is missing in front is "x". May begin with "0b". */
static struct machine_bits read_bits(const struct json_at *at, unsigned width)
{
	const char *s = json_read_str(at, "bitmap");
	struct machine_bits b = { 0 };
	unsigned n = 0;

	json_need(at, "bitmap");
	if (!s)
		return b;
	if (str_starts(s, "0b"))
		s += 2;
	for (; *s && n <= width; s++) {
		if (*s == '_')
			continue;
		if (!strchr("01x", *s)) {
			json_fail(at, "bitmap", EINVAL, "got '%c', want 0, 1 or x", *s);
			return b;
		}
		b.mask = b.mask << 1 | (*s != 'x');
		b.value = b.value << 1 | (*s == '1');
		n++;
	}
	if (n > width || n == 0)
		json_fail(at, "bitmap", EINVAL, "want 1 to %u digits of 0, 1 or x", width);
	return b;
}

/* read_hex() - "0x1a", "0b11", "17": numbers of this document are strings. */
static uint32_t read_hex(const struct json_at *at, const char *key)
{
	const char *s = json_read_str(at, key);
	unsigned long long n;
	char *end;

	json_need(at, key);
	if (!s)
		return 0;
	errno = 0;
	if (str_starts(s, "0b"))
		n = strtoull(s + 2, &end, 2);
	else
		n = strtoull(s, &end, str_starts(s, "0x") ? 16 : 10);
	if (errno || end == s || *end || *s == '-' || n > UINT32_MAX) {
		json_fail(at, key, EINVAL, "got '%.40s', want a number of 32 bits", s);
		return 0;
	}
	return (uint32_t)n;
}

static void read_leaf(const struct json_at *at, struct machine_cpuid_edit *ret)
{
	static const struct json_name regs[] = { { "eax", 0 }, { "ebx", 1 }, { "ecx", 2 }, { "edx", 3 } };
	struct json_at list = json_read_list(at, "modifiers");

	fc__fields(at, "leaf subleaf flags modifiers");
	json_need(at, "flags");
	json_need(at, "modifiers");
	json_read_u64(at, "flags", UINT32_MAX,
		      0); /* whether the subleaf counts: our tables know that themselves */
	ret->leaf = read_hex(at, "leaf");
	ret->subleaf = read_hex(at, "subleaf");
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at m = json_item(&list, i);

		fc__fields(&m, "register bitmap");
		json_need(&m, "register");
		ret->reg[json_read_name(&m, "register", regs, 4, 0)] = read_bits(&m, 32);
	}
}

static void read_msr(const struct json_at *at, struct machine_msr_edit *ret)
{
	fc__fields(at, "addr bitmap");
	ret->index = read_hex(at, "addr");
	ret->bits = read_bits(at, 64);
}

/* none_of() - what is for other processors, or a capability of KVM to be taken away. */
static void none_of(const struct json_at *at, const char *key, const char *why)
{
	struct json_at list = json_read_list(at, key);

	if (json_count(&list) > 0)
		json_fail(at, key, EOPNOTSUPP, "%s", why);
}

int fc__put_cpu(struct fc_call *c)
{
	struct json_at leaves = json_read_list(c->body, "cpuid_modifiers"),
		       msrs = json_read_list(c->body, "msr_modifiers");
	size_t n = json_count(&leaves), n_msrs = json_count(&msrs);
	auto_free struct machine_cpuid_edit *cpuid = calloc(n + 1, sizeof(*cpuid));
	auto_free struct machine_msr_edit *msr = calloc(n_msrs + 1, sizeof(*msr));
	int r;

	if (!cpuid || !msr)
		return err_sys(c->e, ENOMEM, "cpu-config");
	if (n > MACHINE_CPUID_EDITS_MAX || n_msrs > MACHINE_MSR_EDITS_MAX)
		return err_set(c->e, EINVAL, "cpu-config: more than %d modifiers", MACHINE_CPUID_EDITS_MAX);
	none_of(c->body, "reg_modifiers", "registers by number are for ARM processors");
	none_of(c->body, "vcpu_features", "features by index are for ARM processors");
	none_of(c->body, "kvm_capabilities", "not there yet");
	for (size_t i = 0; i < n; i++) {
		struct json_at at = json_item(&leaves, i);

		read_leaf(&at, &cpuid[i]);
	}
	for (size_t i = 0; i < n_msrs; i++) {
		struct json_at at = json_item(&msrs, i);

		read_msr(&at, &msr[i]);
	}
	r = json_finish(c->body->doc);
	if (r < 0)
		return r;
	no_edits(&c->f->c);
	fc__set_str(&c->f->c.cpu_model, NULL, NULL); /* the last of template and cpu-config counts */
	c->f->c.cpu_edits = (struct machine_cpu_edits){ .cpuid = TAKE_PTR(cpuid),
							.n_cpuid = (unsigned)n,
							.msr = TAKE_PTR(msr),
							.n_msrs = (unsigned)n_msrs };
	return fc__keep_json(&c->f->cpu_json, c->body, c->e);
}
