/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci.h - an OCI runtime-spec 1.3 configuration (config.json) as checked, typed values
 *
 * oci_spec_parse() is the one door: behind it every enum is known, every path that must be absolute is, every number is in
 * range, strings hold no NUL, and lists are bounded. All memory is the arena's; every pointer may be NULL when the
 * member was absent, every list has a length. Names follow the specification.
 */
#ifndef FMT_OCI_H
#define FMT_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#undef linux /* gnu17 predefines it as 1; here it is a member's name */

struct arena;
struct err;

#define OCI_VERSION "1.3.0"

enum {
	OCI_CONFIG_BYTES_MAX = 16 << 20, /* a larger config.json is refused */
	OCI_LIST_MAX = 65536,            /* entries in any one list */
};

/* A number that may be absent. */
struct oci_i64 {
	bool set;
	int64_t v;
};
struct oci_u64 {
	bool set;
	uint64_t v;
};

struct oci_strs {
	char **v;
	size_t n;
}; /* v[n] is NULL when n > 0 */
struct oci_kv {
	const char *key, *value;
};
struct oci_kvs {
	struct oci_kv *v;
	size_t n;
};

struct oci_idmap {
	uint32_t container_id, host_id, size;
};
struct oci_idmaps {
	struct oci_idmap *v;
	size_t n;
};

/* --- process ------------------------------------------------------------------------------------------------ */

enum oci_cap_set {
	OCI_CAP_BOUNDING,
	OCI_CAP_EFFECTIVE,
	OCI_CAP_INHERITABLE,
	OCI_CAP_PERMITTED,
	OCI_CAP_AMBIENT,
	OCI_CAP_SET_COUNT
};

struct oci_rlimit {
	int resource;
	const char *name;
	uint64_t soft, hard;
}; /* resource: RLIMIT_x */

struct oci_user {
	uint32_t uid, gid;
	struct oci_u64 umask; /* 0..0777 */
	uint32_t *additional_gids;
	size_t n_additional_gids;
	const char *username; /* Windows' field: parsed, refused by the runtime when set alone */
};

struct oci_scheduler {
	int policy; /* SCHED_x */
	int32_t nice, priority;
	uint64_t flags;                     /* SCHED_FLAG_x */
	uint64_t runtime, deadline, period; /* nanoseconds */
};

struct oci_io_priority {
	int class;
	int priority;
}; /* IOPRIO_CLASS_x, 0..7 */

struct oci_process {
	bool terminal;
	uint16_t console_rows, console_cols; /* 0: not given */
	struct oci_user user;
	struct oci_strs args, env; /* args may be empty only before `start` */
	const char *cwd;           /* absolute */
	bool has_capabilities;
	uint64_t caps[OCI_CAP_SET_COUNT]; /* bit n: capability n; unknown CAP_ names are left out */
	struct oci_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privileges;
	const char *apparmor_profile, *selinux_label;
	struct oci_i64 oom_score_adj;
	const struct oci_scheduler *scheduler;
	const struct oci_io_priority *io_priority;
	const char *exec_affinity_initial, *exec_affinity_final; /* "0-3,7" */
};

/* --- mounts ------------------------------------------------------------------------------------------------- */

enum { /* oci_mount.flags: what is neither a mount attribute nor propagation nor file system data */
       OCI_MOUNT_BIND = 1 << 0,
       OCI_MOUNT_RBIND = 1 << 1, /* with OCI_MOUNT_BIND: recursively */
       OCI_MOUNT_TMPCOPYUP = 1 << 2,
       OCI_MOUNT_IDMAP = 1 << 3,
       OCI_MOUNT_RIDMAP = 1 << 4,
       OCI_MOUNT_COPY_SYMLINK = 1 << 5, /* crun: a symlink source is copied as one */
       OCI_MOUNT_SRC_NOFOLLOW = 1 << 6,
       OCI_MOUNT_DEST_NOFOLLOW = 1 << 7,
       OCI_MOUNT_REMOUNT = 1 << 8, /* change what is mounted there already; @type may be NULL then */
};

/* One entry of "mounts", its options sorted into what the kernel's calls take. */
struct oci_mount {
	const char *destination; /* absolute; a relative one is taken from "/", as 1.0 allowed */
	const char *type;        /* file system type; "bind" when OCI_MOUNT_BIND and none was given */
	const char *source;      /* may be NULL */
	uint32_t flags;          /* OCI_MOUNT_x */
	uint64_t attr_set,
		attr_clr; /* MOUNT_ATTR_x for this mount (ro, nosuid, noatime, ...), as mount_setattr(2)
					   wants them: clr has all of MOUNT_ATTR__ATIME when any atime option is given */
	uint64_t rec_set, rec_clr; /* the same for the whole tree under it (rro, rnosuid, ...) */
	uint64_t
		sb_flags; /* MS_SYNCHRONOUS, MS_DIRSYNC, MS_LAZYTIME, MS_MANDLOCK, MS_RDONLY, MS_SILENT... of the superblock */
	uint64_t propagation; /* 0 or MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE */
	bool propagation_rec;
	struct oci_strs data; /* "key" or "key=value" for fsconfig(2), in order */
	struct oci_idmaps uid_mappings, gid_mappings;
};

/* --- linux -------------------------------------------------------------------------------------------------- */

enum oci_ns {
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_MOUNT,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_USER,
	OCI_NS_CGROUP,
	OCI_NS_TIME,
	OCI_NS_COUNT
};

/* oci_ns_name() / oci_ns_flag() - "network" ("/proc" calls it "net": oci_ns_file()) and CLONE_NEWNET. */
const char *oci_ns_name(enum oci_ns ns);
const char *oci_ns_file(enum oci_ns ns);
int oci_ns_flag(enum oci_ns ns);

struct oci_namespace {
	bool present;
	const char *path; /* NULL: a new one */
};

struct oci_time_offset {
	bool set;
	int64_t secs;
	uint32_t nanosecs;
};

struct oci_device {
	char type;        /* 'c' 'b' 'u' 'p' */
	const char *path; /* absolute, in the container */
	int64_t major, minor;
	struct oci_u64 mode; /* permission bits; absent: 0666 */
	uint32_t uid, gid;
};

struct oci_device_rule {
	bool allow;
	char type;                   /* 'a' 'b' 'c' */
	struct oci_i64 major, minor; /* absent or -1: any */
	bool read, write, mknod;
};

struct oci_net_device {
	const char *host_name, *name;
}; /* name: in the container, NULL keeps it */

struct oci_weight_device {
	int64_t major, minor;
	struct oci_u64 weight, leaf_weight;
};
struct oci_throttle {
	int64_t major, minor;
	uint64_t rate;
};
struct oci_throttles {
	struct oci_throttle *v;
	size_t n;
};
struct oci_hugepage {
	const char *page_size;
	uint64_t limit;
};
struct oci_if_prio {
	const char *name;
	uint32_t priority;
};
struct oci_rdma {
	const char *device;
	struct oci_u64 hca_handles, hca_objects;
};

enum oci_throttle_kind { OCI_READ_BPS, OCI_WRITE_BPS, OCI_READ_IOPS, OCI_WRITE_IOPS, OCI_THROTTLE_COUNT };

struct oci_resources {
	struct oci_device_rule *devices;
	size_t n_devices;
	struct {
		struct oci_i64 limit, reservation, swap, kernel, kernel_tcp; /* bytes; -1: no limit */
		struct oci_u64 swappiness;
		bool disable_oom_killer, use_hierarchy, check_before_update;
	} memory;
	struct {
		struct oci_u64 shares, period, realtime_period, burst;
		struct oci_i64 quota, realtime_runtime, idle; /* microseconds; quota -1: none */
		const char *cpus, *mems;
	} cpu;
	struct oci_i64 pids_limit; /* 0 or -1: none */
	struct {
		struct oci_u64 weight, leaf_weight; /* 10..1000 */
		struct oci_weight_device *weight_devices;
		size_t n_weight_devices;
		struct oci_throttles throttle[OCI_THROTTLE_COUNT];
	} block_io;
	struct oci_hugepage *hugepages;
	size_t n_hugepages;
	struct {
		struct oci_u64 class_id;
		struct oci_if_prio *priorities;
		size_t n_priorities;
	} network;
	struct oci_rdma *rdma;
	size_t n_rdma;
	struct oci_kvs unified;
};

struct oci_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	int op;
}; /* op: enum scmp_compare */

struct oci_seccomp_rule {
	struct oci_strs names;
	uint32_t action; /* SECCOMP_RET_x with errno data already in; see errno_ret */
	struct oci_u64 errno_ret;
	struct oci_seccomp_arg *args;
	size_t n_args;
};

struct oci_seccomp {
	uint32_t default_action; /* SECCOMP_RET_x | errno data */
	struct oci_u64 default_errno_ret;
	uint32_t *arches; /* SCMP_ARCH_x (AUDIT_ARCH_x) */
	size_t n_arches;
	uint64_t flags; /* SECCOMP_FILTER_FLAG_x; absent: SPEC_ALLOW, as runc; never TSYNC */
	const char *listener_path, *listener_metadata;
	struct oci_seccomp_rule *rules;
	size_t n_rules;
};

struct oci_rdt {
	const char *clos_id, *l3_cache_schema, *mem_bw_schema;
	struct oci_strs schemata;
	bool enable_cmt, enable_mbm, enable_monitoring;
};

struct oci_memory_policy {
	int mode;
	unsigned flags;
	const char *nodes;
}; /* MPOL_x, MPOL_F_x */

struct oci_personality {
	unsigned long domain;
}; /* PER_LINUX, PER_LINUX32 */

struct oci_linux {
	struct oci_namespace ns[OCI_NS_COUNT];
	struct oci_idmaps uid_mappings, gid_mappings;
	struct oci_time_offset boottime, monotonic;
	struct oci_device *devices;
	size_t n_devices;
	struct oci_net_device *net_devices;
	size_t n_net_devices;
	const char *cgroups_path;
	bool has_resources;
	struct oci_resources resources;
	const struct oci_rdt *rdt;
	const struct oci_memory_policy *memory_policy;
	struct oci_kvs sysctl;
	const struct oci_seccomp *seccomp;
	uint64_t rootfs_propagation; /* 0 or MS_x | MS_REC */
	struct oci_strs masked_paths, readonly_paths;
	const char *mount_label;
	const struct oci_personality *personality;
};

/* --- hooks, whole ------------------------------------------------------------------------------------------- */

enum oci_hook_kind {
	OCI_HOOK_PRESTART,
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER,
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_KIND_COUNT
};

const char *oci_hook_name(enum oci_hook_kind k); /* "createRuntime" */

struct oci_hook {
	const char *path; /* absolute */
	struct oci_strs args, env;
	int64_t timeout_s; /* 0: none */
};

struct oci_hooks {
	struct oci_hook *v;
	size_t n;
};

struct oci_spec {
	const char *oci_version;
	const char *root_path; /* as written: relative to the bundle unless absolute */
	bool root_readonly;
	bool has_process;
	struct oci_process process;
	const char *hostname, *domainname;
	struct oci_mount *mounts;
	size_t n_mounts;
	struct oci_hooks hooks[OCI_HOOK_KIND_COUNT];
	struct oci_kvs annotations;
	struct oci_linux linux;
};

/**
 * oci_spec_parse() - the text of a config.json as checked values
 * @json: @len bytes; borrowed, not needed afterwards
 * @a:    holds everything the result points to
 * Return: 0; -EINVAL with the member's path, what was found and what was expected ("process.user.uid: got a string,
 *         want a number from 0 to 4294967295"), or the line and column of a syntax error; -ENOTSUP for a version
 *         or a value the specification knows and hull does not; -ENOMEM.
 * Spec: OCI runtime-spec 1.3, config.md and config-linux.md
 */
int oci_spec_parse(struct oci_spec *ret_spec, const char *json, size_t len, struct arena *a, struct err *e);

/* oci_process_parse() - the same for a process.json of `exec --process`. */
int oci_process_parse(struct oci_process *ret_p, const char *json, size_t len, struct arena *a,
		      struct err *e);

/* oci_resources_parse() - the same for `update --resources`. */
int oci_resources_parse(struct oci_resources *ret_r, const char *json, size_t len, struct arena *a,
			struct err *e);

/* oci_kvs_get() - the value of @key, or NULL. */
const char *oci_kvs_get(const struct oci_kvs *kvs, const char *key);

/* oci_cap_from_name() - "CAP_SYS_ADMIN" or "sys_admin" to its number. Return: -EINVAL when unknown. */
int oci_cap_from_name(const char *name);
const char *oci_cap_name(int cap); /* "CAP_CHOWN"; NULL beyond the last */

/* oci_signal_from_name() - "TERM", "SIGTERM", "15", "SIGRTMIN+3" to its number. Return: -EINVAL when unknown. */
int oci_signal_from_name(const char *name);
const char *oci_signal_name(int sig); /* "TERM"; NULL when it has none */

/* oci_mount_parse_options() - sort mount options into @m, as config.md's table says; unknown ones become data. */
int oci_mount_parse_options(struct oci_mount *m, char *const *options, size_t n, struct arena *a,
			    struct err *e);

/* oci_spec_default() - the config.json of `spec`; --rootless maps the caller's own id. Return: heap text, or NULL. */
char *oci_spec_default(bool rootless);

/* oci_features() - what `features` prints, from the tables this parser reads by. Return: heap text, or NULL. */
char *oci_features(void);

#endif
