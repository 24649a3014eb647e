/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_internal.h - what the cgroup_*.c files share */
#ifndef CONTAINER_CGROUP_INTERNAL_H
#define CONTAINER_CGROUP_INTERNAL_H

#include "base/err.h"
#include "container/cgroup.h"

#define CGROUP__ROOT "/sys/fs/cgroup"

enum {
	CGROUP__FILE_MAX = 1 << 20, /* a cgroup file longer than this is not read */
	CGROUP__VALUE_MAX = 4096,   /* a value written is shorter */
	CGROUP__FULL_MAX = 128 + CGROUP_PATH_MAX,
};

/* What a limit is written to. Nothing below asks which file system it is on, so tests hand in a plain
 * directory. */
struct cgroup__dir {
	int fd;        /* borrowed */
	bool fresh;    /* just made: nobody is in, everything has its default */
	struct err *e; /* may be NULL */
};

enum cgroup__controller {
	CGROUP__CPU,
	CGROUP__CPUSET,
	CGROUP__MEMORY,
	CGROUP__PIDS,
	CGROUP__IO,
	CGROUP__HUGETLB,
	CGROUP__NET_CLS,
	CGROUP__NET_PRIO,
	CGROUP__RDMA,
	CGROUP__CONTROLLER_COUNT
};

/* Writes what @r asks of one controller. NULL in a table: this version of cgroups has nothing of the kind. */
typedef int (*cgroup__set_fn)(const struct cgroup__dir *d, const struct oci_resources *r);

extern const cgroup__set_fn cgroup__v1_set[CGROUP__CONTROLLER_COUNT];
extern const cgroup__set_fn cgroup__v2_set[CGROUP__CONTROLLER_COUNT];

/* cgroup__set_rdma() - the same file in both versions. */
int cgroup__set_rdma(const struct cgroup__dir *d, const struct oci_resources *r);
uint64_t cgroup__shares_to_weight(uint64_t shares); /* v1's cpu.shares as v2's cpu.weight */

/* --- cgroup_limits.c ------------------------------------------------------------------------------------ */

/* cgroup__put() - write one value. Return: 0; -ENOTSUP when the file is not there; -errno; the text names
 * "linux.resources.@field" and @file. */
int cgroup__put(const struct cgroup__dir *d, const char *field, const char *file, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* cgroup__refuse() - @field is asked for and cannot be had here, because of @why. Return: -ENOTSUP. */
int cgroup__refuse(const struct cgroup__dir *d, const char *field, const char *why);
bool cgroup__has(int dirfd, const char *file);
/* cgroup__page_size_ok() - is @s a huge page size as the kernel's file names have it: "2MB"? */
bool cgroup__page_size_ok(const char *s);
/* cgroup__set_limits() - every limit of @r, each in the hierarchy that has its controller. */
int cgroup__set_limits(struct cgroup *cg, const struct oci_resources *r, bool fresh, bool rootless,
		       struct err *e);
/* cgroup__skip() - remember @name in cg->skipped, once. */
void cgroup__skip(struct cgroup *cg, const char *name);

/* --- cgroup_layout.c ------------------------------------------------------------------------------------ */

/* cgroup__full_path() - "/sys/fs/cgroup/cpu/hull/ID" into @dst of CGROUP__FULL_MAX. */
const char *cgroup__full_path(const struct cgroup_hierarchy *h, char *dst);
/* cgroup__open_dir() - the container's directory, checked to be on a cgroup file system. Return: fd or
 * -errno. */
int cgroup__open_dir(const struct cgroup_hierarchy *h);
/* cgroup__v1() - the opened v1 hierarchy that has @controller, or NULL; cgroup__v2() - the opened v2 one. */
const struct cgroup_hierarchy *cgroup__v1(const struct cgroup *cg, const char *controller);
const struct cgroup_hierarchy *cgroup__v2(const struct cgroup *cg);
/* cgroup__word_in() - is @word one of the words in @list, which any of @sep separate? */
bool cgroup__word_in(const char *list, const char *sep, const char *word);
/* cgroup__check_path() - absolute, printable, no "..", not the root; slashes made single. Return: 0 or
 * -EINVAL. */
int cgroup__check_path(char *dst, size_t size, const char *path, struct err *e);

/* --- cgroup_devices.c ----------------------------------------------------------------------------------- */

int cgroup__set_devices(struct cgroup *cg, const struct oci_resources *r, bool fresh, struct err *e);

/* --- cgroup_procs.c ------------------------------------------------------------------------------------- */

/* cgroup__remove() - rmdir, its children groups first. Return: 0 also when it is gone; -EBUSY: processes are
 * in it. */
int cgroup__remove(const struct cgroup_hierarchy *h);
/* cgroup__populated() - is a process in the group itself? -errno when it cannot be read. */
int cgroup__populated(int dirfd);

/* --- cgroup_file.c -------------------------------------------------------------------------------------- */

/* cgroup__read() - a whole file, NUL-terminated, at most @size - 1 bytes of it. Return: length or -errno. */
int cgroup__read(int dirfd, const char *file, char *dst, size_t size);
/* cgroup__read_u64() - a number; "max" is UINT64_MAX, and so is -1. */
int cgroup__read_u64(int dirfd, const char *file, uint64_t *ret_n);
/* cgroup__key_u64() - the number behind @key in lines of "key number". Return: -ENOENT when there is none. */
int cgroup__key_u64(const char *text, const char *key, uint64_t *ret_n);

/* --- cgroup_systemd.c ----------------------------------------------------------------------------------- */

/* cgroup__systemd_parse() - "slice:prefix:name" into cg->slice, ->unit and ->path. */
int cgroup__systemd_parse(struct cgroup *cg, const char *cgroups_path, const char *id, struct err *e);
/* cgroup__systemd_start() - ask systemd for the scope and start cg->keeper in it. */
int cgroup__systemd_start(struct cgroup *cg, const struct oci_resources *r, struct err *e);
/* cgroup__systemd_call_start() - the call alone, on a connected socket; @bus: of the bus, not of systemd
 * itself. */
int cgroup__systemd_call_start(int fd, bool bus, const struct cgroup *cg, const struct oci_resources *r,
			       struct err *e);
void cgroup__systemd_stop(struct cgroup *cg); /* ask systemd to forget the scope; silent when it is gone */
void cgroup__keeper_end(struct cgroup *cg);

#endif
