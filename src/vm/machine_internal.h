/* SPDX-License-Identifier: Apache-2.0 */
/* machine_internal.h - one machine as the files of this folder see it */
#ifndef VM_MACHINE_INTERNAL_H
#define VM_MACHINE_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include "base/time.h"
#include "io/loop.h"
#include "vm/board.h"
#include "vm/bus.h"
#include "vm/cmos.h"
#include "vm/i8042.h"
#include "vm/machine.h"

struct boot_device;
struct boot_image;
struct boot_window;
struct vdev;
struct serial;

enum {
	MACHINE_GUID_BYTES = 16,
	MACHINE_WHY_MAX = 200,
};

struct machine_cpu {
	struct machine *m;
	struct engine_cpu *cpu; /* owned */
	pthread_t thread;
	bool has_thread;         /* started and not joined */
	bool held;               /* by the debugger; written under the machine's lock, also read without */
	struct x86_cpuid *cpuid; /* owned; what it shows, for snapshots */
	unsigned n_cpuid;
	uint64_t n_io_in, n_io_out, n_mmio_read, n_mmio_write, n_failures; /* exits; its thread writes */
};

struct machine_source { /* where a restored machine's memory comes from */
	int fd;         /* borrowed memory file, while it is mapped; -1: a page fault handler */
	dev_t dev;      /* which file that was; @ino 0: none */
	ino_t ino;
	uint64_t bytes;     /* of all parts */
	const char *engine; /* on which it was saved; NULL: it does not say */
	unsigned n;
	struct {
		gpa_t base;
		uint64_t size, offset; /* @offset of it in the file */
	} part[GMEM_REGIONS_MAX];
};

struct cpu_scratch { /* too large for a stack */
	struct x86_cpuid host[ENGINE_CPUID_MAX], table[ENGINE_CPUID_MAX];
	struct x86_state state;
};

struct machine_stop { /* a processor has come to where a debugger wants it: ENGINE_EXIT_DEBUG */
	bool hit;
	unsigned cpu;
	uint64_t addr; /* that was touched; @size 0: none was */
	uint8_t size;
};

enum machine_want { MACHINE_WANT_RUN, MACHINE_WANT_PAUSE, MACHINE_WANT_STOP };

struct machine {
	struct machine_config config; /* owned */
	struct loop *loop;            /* borrowed */
	struct machine_events ev;
	enum machine_state state;   /* the loop thread's */
	nsec_t made_wall, made_cpu; /* when machine_new() began: monotonic, processor time */

	struct gmem mem;
	gpa_t hotplug_base; /* where the memory that devices add begins; the guest's memory map ends there */
	struct machine_source source; /* n 0: memory is fresh */
	struct machine_ahead *ahead;  /* owned; NULL: nothing to remember or to fetch */
	bool lazy;                    /* pages come from a handler: one that is not there yet is not zero */
	bool jailed;                  /* all but the filters */
	struct engine_vm *vm;         /* owned */
	struct bus ports, mmio;
	struct machine_cpu cpu[ENGINE_CPUS_MAX];
	unsigned n_cpus;
	struct machine_devices *devices; /* owned; devices.c */

	struct serial *serial; /* owned; NULL: none */
	struct i8042 i8042;
	struct cmos cmos;
	uint8_t guid[MACHINE_GUID_BYTES]; /* what VMGenID shows */

	uint64_t *told; /* owned; metrics.c: what was told of each count the last time */

	struct machine_debugger *debugger; /* owned; NULL: none */

	int broker;    /* owned: who connects vsock's streams when the machine is jailed; -1: none */
	unsigned work; /* enum jail_work of its devices */
	int wake_fd;   /* owned eventfd: processor to loop */
	struct loop_source wake;

	pthread_mutex_t lock; /* of the rest */
	pthread_cond_t changed;
	enum machine_want want; /* also read without the lock, as a hint, by the processors' threads */
	unsigned n_inside;      /* processors' threads that may touch the machine: neither parked nor gone */
	enum machine_end end;   /* the first thing that ended it */
	int end_status;
	char end_why[MACHINE_WHY_MAX];
	struct machine_stop stop; /* the first since the last that was taken */
	bool boot_timer_hit;
	nsec_t boot_wall, boot_cpu;
};

/* machine.c */
struct machine *machine__alloc(struct loop *loop, const struct machine_events *ev);
/* machine__make() - memory, devices and a debugger, then machine__cpus_add(): what a boot and a restore have in common. All that is
 * missing then is a kernel and what processors show. */
int machine__make(struct machine *m, struct err *e);
int machine__cpus_add(struct machine *m, struct err *e);
/* machine__jail() - give up what a running machine may not have, if its process is to: once, before the first guest instruction. */
int machine__jail(struct machine *m, struct err *e);
/* machine__cpuid_keep() - processor @i shows @table, which is remembered for snapshots. */
int machine__cpuid_keep(struct machine *m, unsigned i, const struct x86_cpuid *table, unsigned n,
			struct err *e);

/* config.c */
int machine__config_check_saved(const struct machine_config *c, struct err *e); /* without a kernel */

/* snapshot_mem.c */
int machine__ram_add(struct machine *m, gpa_t base, uint64_t size, struct err *e);

/* ahead.c - the working set of a restored machine */
int machine__ahead_new(struct machine *m, const char *path, struct err *e); /* NULL: nothing to do */
int machine__ahead_start(struct machine *m, struct err *e); /* just before the processors' threads */
void machine__ahead_free(struct machine *m);
/* machine__ahead_stop() - what is not fetched yet comes when it is needed: its thread looks at the memory map no more. */
void machine__ahead_stop(struct machine *m);

/* memory.c - what the guest sees of memory */
/* machine__memory_begin() - RAM, of which alone there is yet; the engine goes on with it behind the return. */
int machine__memory_begin(struct machine *m, struct err *e);
/* machine__memory_show() - every region that it does not see yet. */
int machine__memory_show(struct machine *m, struct err *e);
/* machine__memory_remove() - a device's region goes, if there is one at @base; nobody may be looking. */
void machine__memory_remove(struct machine *m, gpa_t base);
/* machine__memory_part() - memhp's slot_set(). */
int machine__memory_part(void *arg, gpa_t base, uint64_t size, bool on);
/* machine__memory_dirty() - OR in, and clear, which pages of region @i the guest wrote. */
int machine__memory_dirty(struct machine *m, unsigned i, uint64_t *bits, size_t words);

/* ends.c - ports by which a guest ends itself, and the boot timer */
int machine__ends_add(struct machine *m, struct err *e);

/* board.c - serial port, keyboard controller, clock, VMGenID */
int machine__board_add(struct machine *m, struct err *e);
void machine__board_fini(struct machine *m);
void machine__board_save(struct machine *m, struct record_out *o);
void machine__board_restore(struct machine *m, struct record_in *in);
/* machine__guid_renew() - a new identity, written where the guest reads it, and told by its interrupt. */
int machine__guid_renew(struct machine *m, bool tell, struct err *e);

/* run.c - processors' threads */
/* machine__end() - the guest, or the engine, ends the machine: no processor goes on; the loop tells the owner. Any thread. */
void machine__end(struct machine *m, enum machine_end how, int status, const char *why);
void machine__boot_timer(struct machine *m);
int machine__threads_start(struct machine *m, enum machine_want want, struct err *e);
void machine__threads_want(struct machine *m, enum machine_want want); /* returns when they are as wanted */
void machine__wake(void *arg, uint32_t events);
/* machine__hold() - no processor runs any more, whatever is wanted of it; returns when none does. */
void machine__hold(struct machine *m);
void machine__release(struct machine *m, uint32_t cpus); /* those in its bits */
/* machine__stopped() - has a processor stopped for the debugger? All are being held then. machine__stop_take(): which, and why. */
bool machine__stopped(struct machine *m);
bool machine__stop_take(struct machine *m, struct machine_stop *ret_stop);

/* debugger.c */
/* machine__debugger_new() - before there are processors, and before the jail: how they can be debugged is tried with the engine's
 * files. Return: 0 also when the configuration has none */
int machine__debugger_new(struct machine *m, struct err *e);
void machine__debugger_free(struct machine *m);
void machine__debugger_wake(struct machine *m);  /* the loop: a processor may have stopped for it */
void machine__debugger_ended(struct machine *m); /* the machine has */

/* devices.c - virtio devices */
/* machine__devices_add(), and once memory is set (which they may add to): machine__devices_ring(), their doorbells. */
int machine__devices_add(struct machine *m, struct err *e);
int machine__devices_ring(struct machine *m, struct err *e);
/* machine__devices_boot() - what ACPI tells of them: into @img; windows of registers into @dev, of BOARD_DEVICES_MAX. */
void machine__devices_boot(const struct machine *m, struct boot_image *img, struct boot_device *dev);
/* machine__pci_window() - where BARs above 4 GiB are. Return: whether there is one. */
bool machine__pci_window(const struct machine *m, struct boot_window *ret_w);
void machine__devices_pause(struct machine *m);
void machine__devices_resume(struct machine *m);
void machine__devices_save(struct machine *m, struct record_out *o);
void machine__devices_restore(struct machine *m, struct record_in *in);
void machine__devices_free(struct machine *m);
/* machine__devices_each() - @id "" for those that have none; @place: below BOARD_DEVICES_MAX, the device's as long as it is there. */
void machine__devices_each(struct machine *m,
			   void (*each)(void *arg, struct vdev *d, const char *id, unsigned place),
			   void *arg);
/* machine__device_find() - NULL: there is none of that kind (enum vdev_id) and id. */
struct vdev *machine__device_find(struct machine *m, int kind, const char *id);
/* machine__plug() - @d: taken, also on failure. @id: of those that have one, else "". */
int machine__plug(struct machine *m, struct vdev *d, const char *id, struct err *e);
/* machine__unplug() - a device of a machine with PCI goes, and is freed. */
void machine__unplug(struct machine *m, struct vdev *d);

/* metrics.c */
/* machine__metrics_forget() - another device is at this place now. */
void machine__metrics_forget(struct machine *m, unsigned place);

/* kinds.c - what each kind of device is made of, and how it is changed while it runs */
int machine__kinds_add(struct machine *m, struct err *e);
int machine__kinds_start(struct machine *m, struct err *e);
/* machine__drive_add(), ... - one of the configuration's; its file is taken, also on failure. */
int machine__drive_add(struct machine *m, struct machine_drive *d, struct err *e);
int machine__net_add(struct machine *m, struct machine_net *n, struct err *e);
/* machine__pmem_add() - a failure may leave its memory behind: machine__memory_remove(). */
int machine__pmem_add(struct machine *m, struct machine_pmem *p, struct err *e);
/* machine__memory_end() - the first multiple of @align behind all memory, at 4 GiB or above. */
gpa_t machine__memory_end(const struct machine *m, uint64_t align);
/* machine__memory_place() - *@base 0: the first multiple of @align, at 4 GiB or above, with @size bytes that nobody has; else as it
 * was given, if memory can be there: -EINVAL. */
int machine__memory_place(const struct machine *m, gpa_t *base, uint64_t size, uint64_t align, struct err *e);
int machine__balloon_add(struct machine *m, struct err *e); /* kinds_memory.c */
int machine__memhp_add(struct machine *m, struct err *e);

#endif
