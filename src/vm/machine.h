/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - one virtual machine: memory, processors, devices; made from a configuration, run, paused, saved
 *
 * Theory of operation. A struct machine_config is plain data that a command line, Firecracker's API or a snapshot filled;
 * machine_config_check() is the one door through which it becomes a machine. Threads: the caller's loop thread serves devices and
 * requests; each processor has its thread. machine_x() functions are called from the loop thread only.
 *
 *	CONFIGURED --machine_start--> RUNNING <--pause, resume--> PAUSED      any --> STOPPED
 *
 * Files are opened by who fills the configuration (they may be jailed away later), so configurations hold descriptors beside
 * the names that messages use.
 */
#ifndef VM_MACHINE_H
#define VM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "engine/engine.h"
#include "mem/gmem.h"
#include "virtio/limiter.h"

struct buf;
struct err;
struct json_out;
struct link;
struct loop;
struct machine;
struct mmds;
struct x86_cpuid;
struct x86_state;

enum {
	MACHINE_DRIVES_MAX = 16,
	MACHINE_NETS_MAX = 16,
	MACHINE_PMEMS_MAX = 8,
	MACHINE_SHARES_MAX = 8,
	MACHINE_NAME_MAX = 64,
	MACHINE_CMDLINE_MAX = 2048,
	MACHINE_CPUID_EDITS_MAX = 128,
	MACHINE_MSR_EDITS_MAX = 128,
};

enum machine_state {
	MACHINE_CONFIGURED,
	MACHINE_RUNNING,
	MACHINE_PAUSED,
	MACHINE_STOPPED,
	MACHINE_STATE_COUNT
};

/* How a machine ended. */
enum machine_end {
	MACHINE_END_NONE,
	MACHINE_END_HALT,     /* reset or power-off by the guest */
	MACHINE_END_EXIT,     /* the guest gave an exit status (debug exit port) */
	MACHINE_END_SHUTDOWN, /* triple fault */
	MACHINE_END_PANIC,    /* pvpanic */
	MACHINE_END_KILLED,   /* machine_stop() */
	MACHINE_END_ERROR,
	MACHINE_END_COUNT
};

/* A file that a machine uses: its name for messages and for who asks, and the open descriptor. */
struct machine_file {
	char *path; /* owned; NULL: none */
	int fd;     /* owned; -1: none */
};

struct machine_drive {
	char id[MACHINE_NAME_MAX + 1];
	struct machine_file file;
	char format[8]; /* "raw", "qcow2" */
	bool root, readonly, writeback, async;
	bool backing; /* its backing files are the user's own and may be opened, wherever they are; not saved */
	char *partuuid; /* owned; NULL: none */
	struct limiter_config limit;
};

struct machine_net {
	char id[MACHINE_NAME_MAX + 1];
	char *host_dev; /* owned: tap's name, switch's path, or NULL for the user-mode stack */
	enum { MACHINE_NET_TAP, MACHINE_NET_SWITCH, MACHINE_NET_USER } kind;
	int tap_fd; /* owned; -1: none yet */
	bool has_mac, mmds;
	uint8_t mac[6];
	uint16_t mtu; /* 0: not told */
	struct limiter_config rx, tx;
};

struct machine_pmem {
	char id[MACHINE_NAME_MAX + 1];
	struct machine_file file;
	gpa_t base; /* where it lies; 0: the machine finds a place */
	bool root, readonly;
	struct limiter_config limit;
};

struct machine_share { /* a host directory for the guest */
	char tag[37];
	struct machine_file dir;
	bool readonly;
};

struct machine_vsock {
	bool on;
	uint64_t cid;   /* >= 3 */
	char *uds_path; /* owned */
};

struct machine_balloon {
	bool on, deflate_on_oom, hinting, reporting;
	uint32_t mib;
	uint16_t stats_s;
};

struct machine_memhp {
	bool on;
	gpa_t base; /* where it begins; 0: the machine finds a place */
	uint32_t total_mib, slot_mib, block_mib, requested_mib;
};

struct machine_bits { /* the bits of @mask become those of @value */
	uint64_t mask, value;
};

struct machine_cpuid_edit {
	uint32_t leaf, subleaf;
	struct machine_bits reg[4]; /* eax, ebx, ecx, edx */
};

struct machine_msr_edit {
	uint32_t index;
	struct machine_bits bits;
};

struct machine_cpu_edits { /* what a user changes in what processors show and hold at reset (cpu_edits.c) */
	struct machine_cpuid_edit *cpuid; /* owned arrays */
	unsigned n_cpuid;
	struct machine_msr_edit *msr;
	unsigned n_msrs;
};

struct machine_jail { /* see jail.h */
	bool on; /* the process is the machine's alone: before the first guest instruction it gives up all it does not need */
	bool trap;         /* a system call that is not allowed is a SIGSYS that can be caught */
	bool may_stay;     /* see jail.h */
	unsigned work;     /* enum jail_work of the loop thread's owner */
	uint32_t uid, gid; /* who it becomes when it is root */
};

struct machine_gdb {
	int fd; /* owned; a Unix socket that listens for a debugger, nonblocking; -1: none is wanted. Not saved */
	bool wait; /* no instruction before he says so */
};

struct machine_config {
	char id[MACHINE_NAME_MAX + 1];
	const char *engine;     /* borrowed; NULL: auto */
	const char *engine_dir; /* borrowed; see engine_fastest() */
	unsigned cpus;          /* 1 to ENGINE_CPUS_MAX */
	bool smt, track_dirty, pci, boot_timer;
	bool split_irqchip; /* of the interrupt controller only the local APICs are the kernel's */
	uint64_t mem_bytes; /* whole MiB */
	enum gmem_pages pages;
	struct machine_file kernel, initrd;
	char *cmdline;               /* owned; NULL: the default of the kernel's kind */
	char *cpu_model;             /* owned; NULL: host */
	struct machine_drive *drive; /* owned arrays */
	unsigned n_drives;
	struct machine_net *net;
	unsigned n_nets;
	struct machine_pmem *pmem;
	unsigned n_pmems;
	struct machine_share *share;
	unsigned n_shares;
	struct machine_vsock vsock;
	struct machine_balloon balloon;
	struct machine_memhp memhp;
	struct machine_jail jail;
	struct machine_gdb gdb;
	struct strv pin; /* the host processors of each processor's thread, "0-3,7"; empty: any. Not saved */
	bool rng, serial, i8042, rtc, vmgenid, pvpanic, debug_exit, console;
	struct machine_cpu_edits cpu_edits;
	struct mmds *mmds; /* borrowed, outlives the machine; cards with mmds answer for it; NULL: none */
	struct limiter_config rng_limit, serial_limit;
	int serial_in, serial_out; /* borrowed; -1: none */
};

/* machine_config_defaults() - an empty configuration: 1 processor, 128 MiB, serial and i8042 on, descriptors -1. */
void machine_config_defaults(struct machine_config *c);
void machine_config_fini(struct machine_config *c);
/* machine_config_check() - everything that can be said without making anything: "cpus: 40, want 1 to 32". */
int machine_config_check(const struct machine_config *c, struct err *e);

struct machine_events { /* called from the loop thread; may be NULL each */
	void (*ended)(void *arg, enum machine_end how, int status, const char *why);
	void (*boot_timer)(void *arg, int64_t wall_us, int64_t cpu_us);
	void *arg;
};

/**
 * machine_new() - memory, engine, devices, kernel loaded; nothing runs yet
 * @c: taken on success, and empty then; after a failure what was not used up is still in it
 */
int machine_new(struct machine **ret_m, struct machine_config *c, struct loop *loop,
		const struct machine_events *ev, struct err *e);
int machine_start(struct machine *m, struct err *e);
int machine_pause(struct machine *m, struct err *e); /* 0 also when it is paused already */
int machine_resume(struct machine *m, struct err *e);
/* machine_stop() - no more guest instructions after it returns; one that had not ended has MACHINE_END_KILLED, told by ended(). */
void machine_stop(struct machine *m);
enum machine_state machine_state(const struct machine *m);
/* machine_config_of() - as it stands, also of a restored one; borrowed, until machine_free(). */
const struct machine_config *machine_config_of(const struct machine *m);
void machine_free(struct machine *m); /* takes NULL, a half-made one, a running one */

/* While it runs. Names a device that is not there: -ENOENT. */
int machine_drive_path(struct machine *m, const char *id, struct machine_file *f, struct err *e);
int machine_drive_limit(struct machine *m, const char *id, const struct limiter_config *l, struct err *e);
int machine_net_limit(struct machine *m, const char *id, const struct limiter_config *rx,
		      const struct limiter_config *tx, struct err *e);
int machine_balloon_set(struct machine *m, uint32_t mib, struct err *e);
int machine_ctrl_alt_del(struct machine *m, struct err *e);
int machine_pmem_limit(struct machine *m, const char *id, const struct limiter_config *l, struct err *e);

/* The balloon's statistics as the guest told them last. */
enum { MACHINE_BALLOON_STATS = 16 };
struct machine_balloon_stats {
	uint32_t target_pages, actual_pages;   /* of 4 KiB */
	uint32_t has;                          /* a bit for each of @value that the guest gives */
	uint64_t value[MACHINE_BALLOON_STATS]; /* by tag. Spec: virtio 1.2 §5.5.6.3, VIRTIO_BALLOON_S_x */
};
int machine_balloon_stats(struct machine *m, struct machine_balloon_stats *ret_s, struct err *e);
/* machine_balloon_interval() - of statistics; 0 and not 0 cannot become each other: -EINVAL. */
int machine_balloon_interval(struct machine *m, uint16_t seconds, struct err *e);
/* machine_balloon_hint() - begin or end a run of free page hinting; @ack: pages are given back for good when it stops. */
int machine_balloon_hint(struct machine *m, bool start, bool ack, struct err *e);
int machine_balloon_hint_status(struct machine *m, uint32_t *ret_host, uint32_t *ret_guest, struct err *e);

int machine_memhp_request(struct machine *m, uint32_t mib, struct err *e);
int machine_memhp_status(struct machine *m, uint32_t *ret_plugged_mib, uint32_t *ret_requested_mib,
			 struct err *e);

/* Devices that come and go while it runs: PCI only, -EOPNOTSUPP else. What is added is taken on success. */
enum machine_device { MACHINE_DEVICE_DRIVE, MACHINE_DEVICE_NET, MACHINE_DEVICE_PMEM };
int machine_drive_add(struct machine *m, struct machine_drive *d, struct err *e);
int machine_net_add(struct machine *m, struct machine_net *n, struct err *e);
int machine_pmem_add(struct machine *m, struct machine_pmem *p, struct err *e);
int machine_device_remove(struct machine *m, enum machine_device kind, const char *id, struct err *e);

/* machine_metrics() - append members with the devices' and processors' counts: "block", "net", "vcpu", ... */
void machine_metrics(struct machine *m, struct json_out *o);
/* machine_counters() - append what the engine has counted of each processor since it was made: {"Engine", "Cpus": [{NAME: N}]} */
void machine_counters(struct machine *m, struct json_out *o);

/* --- processors' edits (cpu_edits.c) ------------------------------------------------------------------------ */

/* machine_cpu_edit_cpuid() - into a table as cpuid_table() made it; a leaf that is not there: -ENOENT. */
int machine_cpu_edit_cpuid(const struct machine_cpu_edits *c, struct x86_cpuid *table, unsigned n,
			   struct err *e);
/* machine_cpu_edit_msrs() - into the state before the first instruction; an MSR that is not there counts as 0. -ENOSPC. */
int machine_cpu_edit_msrs(const struct machine_cpu_edits *c, struct x86_state *s, struct err *e);

/* --- snapshots (snapshot.c) --------------------------------------------------------------------------------- */

enum machine_snapshot { MACHINE_SNAPSHOT_FULL, MACHINE_SNAPSHOT_DIFF };

/* machine_save() - of a paused machine: state into @state_fd, memory into @mem_fd (sparse). Both borrowed, and not cut off before:
 * -EBUSY when one is the memory file of which the machine was restored. */
int machine_save(struct machine *m, enum machine_snapshot kind, int state_fd, int mem_fd, struct err *e);

/* machine_snapshot_format() - the format's number in a state file's head; @fd -1: the one that is written here. -EINVAL. */
int machine_snapshot_format(int fd, struct err *e);

struct machine_restore {                /* what a clone has of its own */
	struct machine_file state, mem; /* taken; mem.fd -1 when @uffd_sock */
	int uffd_sock;                  /* -1: none */
	/* The list of pages to fetch ahead; one that is not there is made of what is touched first. Borrowed; NULL: none. */
	const char *ahead_path;
	bool track_dirty, resume, fresh_identity;
	bool clock_realtime; /* the guest's paravirtual clock is put forward by the time that has passed since it was saved */
	const char *vsock_path;          /* NULL: the saved one */
	const char *const *net_override; /* pairs iface, host device; ended by NULL; or NULL */
	struct mmds *mmds;               /* borrowed; NULL: none */
	struct machine_jail jail;
	int serial_in, serial_out; /* borrowed; -1: none */
	const char *engine;        /* borrowed; NULL: auto */
	/* open_file() - what the saved configuration names: "drive", "share", ... Return: descriptor; -errno with @e. NULL: as is. */
	int (*open_file)(void *arg, const char *what, const char *path, int flags, struct err *e);
	/* adopt() - the saved configuration, before anything of it is opened: what the clone has in its place. What has a
	 * descriptor afterwards is not opened by name. Return: 0; -errno with @e. NULL: as is. */
	int (*adopt)(void *arg, struct machine_config *c, struct err *e);
	void *arg;
};
/* machine_restore() - a PAUSED machine, or RUNNING with @resume; its configuration comes from the snapshot. */
int machine_restore(struct machine **ret_m, struct machine_restore *r, struct loop *loop,
		    const struct machine_events *ev, struct err *e);

#endif
