/* SPDX-License-Identifier: Apache-2.0 */
/* hotplug_test.c - devices come and go, keep their numbers in snapshots, and are refused where they cannot be */
#include <sys/wait.h>

#include "base/str.h"
#include "virtio/vdev.h"
#include "vm/machine_testing.h"
#include "vm/pcibus.h"

enum { DISK_BYTES = 1 << 20, NOBODY = 65534, REST = 3 };

static int file_of(size_t bytes)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_return_code(ftruncate(fd, (off_t)bytes), errno);
	return fd;
}

static struct machine_drive drive(const char *id, bool async)
{
	struct machine_drive d = { .format = "raw", .async = async };

	strncpy(d.id, id, sizeof(d.id) - 1);
	d.file.fd = file_of(DISK_BYTES);
	d.file.path = strdup("/dev/zero"); /* what a restore opens again */
	return d;
}

static struct machine_pmem pmem(const char *id, size_t bytes)
{
	struct machine_pmem p = { .file.fd = file_of(bytes) };

	strncpy(p.id, id, sizeof(p.id) - 1);
	return p;
}

static void drive_fini(struct machine_drive *d)
{
	fd_close(&d->file.fd);
	free(d->file.path);
}

static void open_pci(struct world *w)
{
	world_open(w, counting, sizeof(counting));
	w->c.pci = w->c.rng = true;
	world_make(w);
	if (machine_start(w->m, &w->e) < 0)
		fail_msg("%s", w->e.text);
}

/* vendor() - of the PCI device @number, as the guest reads it. */
static uint32_t vendor(struct world *w, unsigned number)
{
	uint32_t v;

	bus_read(&w->m->mmio, BOARD_PCI_ECAM + number * 0x8000ULL, &v, sizeof(v));
	return v;
}

static bool counts(struct world *w)
{
	uint32_t at = counter(w);

	for (int k = 0; k < 1000 && counter(w) == at; k++)
		run(w, 1);
	return counter(w) != at;
}

static void test_a_drive_comes_and_goes_on_the_bus(void **state)
{
	struct machine_drive d;
	struct world w;

	(void)state;
	open_pci(&w);
	assert_int_equal(vendor(&w, 1), 0x1af4 | (0x1040 + VDEV_RNG) << 16);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vendor(&w, 2), 0xffffffff);
		d = drive("d", i == 1);
		assert_return_code(machine_drive_add(w.m, &d, &w.e), 0);
		assert_int_equal(vendor(&w, 2), 0x1af4 | (0x1040 + VDEV_BLK) << 16);
		assert_int_equal(machine_config_of(w.m)->n_drives, 1);
		assert_string_equal(machine_config_of(w.m)->drive[0].id, "d");
		assert_true(counts(&w));
		assert_return_code(machine_device_remove(w.m, MACHINE_DEVICE_DRIVE, "d", &w.e), 0);
		assert_int_equal(machine_config_of(w.m)->n_drives, 0);
	}
	assert_int_equal(vendor(&w, 2), 0xffffffff);
	assert_true(counts(&w));
	world_close(&w);
}

static void test_pmem_comes_into_the_memory_map_and_leaves_it(void **state)
{
	struct machine_pmem p;
	struct world w;
	gpa_t at;

	(void)state;
	open_pci(&w);
	for (int i = 0; i < 3; i++) {
		p = pmem("p", DISK_BYTES);
		assert_return_code(machine_pmem_add(w.m, &p, &w.e), 0);
		at = machine_config_of(w.m)->pmem[0].base;
		assert_int_equal(at, BOARD_HIGH_RAM);
		assert_non_null(gmem_ptr(&w.m->mem, at, 4096));
		assert_true(counts(&w));
		assert_return_code(machine_device_remove(w.m, MACHINE_DEVICE_PMEM, "p", &w.e), 0);
		assert_null(gmem_ptr(&w.m->mem, at, 4096));
		assert_true(counts(&w));
	}
	/* two of different sizes: the first one's place is found again */
	p = pmem("a", 4 << 20);
	assert_return_code(machine_pmem_add(w.m, &p, &w.e), 0);
	p = pmem("b", 2 << 20);
	assert_return_code(machine_pmem_add(w.m, &p, &w.e), 0);
	assert_return_code(machine_device_remove(w.m, MACHINE_DEVICE_PMEM, "a", &w.e), 0);
	p = pmem("c", 2 << 20);
	assert_return_code(machine_pmem_add(w.m, &p, &w.e), 0);
	assert_int_equal(machine_config_of(w.m)->pmem[0].base, BOARD_HIGH_RAM + (4 << 20));
	assert_int_equal(machine_config_of(w.m)->pmem[1].base, BOARD_HIGH_RAM);
	assert_true(counts(&w));
	world_close(&w);
}

static void test_a_pmem_device_that_holds_rings_stays(void **state)
{
	struct machine_pmem p = pmem("p", DISK_BYTES);
	struct machine_drive d;
	struct world w;
	struct vdev *v;
	gpa_t at;

	(void)state;
	open_pci(&w);
	assert_return_code(machine_pmem_add(w.m, &p, &w.e), 0);
	d = drive("d", false);
	assert_return_code(machine_drive_add(w.m, &d, &w.e), 0);
	v = machine__device_find(w.m, VDEV_BLK, "d");
	at = machine_config_of(w.m)->pmem[0].base;
	vdev_set_status(v, VDEV_S_ACKNOWLEDGE);
	vdev_set_status(v, VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER);
	vdev_set_features(v, VDEV_F_VERSION_1);
	vdev_set_status(v, VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER | VDEV_S_FEATURES_OK);
	vdev_queue_write(v, 0, VDEV_Q_SIZE, 8);
	for (int reg = 0; reg < REST; reg++) {
		vdev_queue_write(v, 0, VDEV_Q_DESC_LO + 2 * reg, (uint32_t)(at + 4096U * (unsigned)reg));
		vdev_queue_write(v, 0, VDEV_Q_DESC_HI + 2 * reg, (uint32_t)(at >> 32));
	}
	vdev_queue_write(v, 0, VDEV_Q_ENABLE, 1);
	assert_int_equal(vdev_queue_read(v, 0, VDEV_Q_ENABLE), 1);
	assert_int_equal(machine_device_remove(w.m, MACHINE_DEVICE_PMEM, "p", &w.e), -EBUSY);
	assert_non_null(strstr(w.e.text, "drive 'd'"));
	assert_true(counts(&w));
	assert_return_code(machine_device_remove(w.m, MACHINE_DEVICE_DRIVE, "d", &w.e), 0);
	assert_return_code(machine_device_remove(w.m, MACHINE_DEVICE_PMEM, "p", &w.e), 0);
	world_close(&w);
}

static void refused(struct world *w, struct machine_drive d, int want)
{
	assert_int_equal(machine_drive_add(w->m, &d, &w->e), want);
	drive_fini(&d);
}

static void test_what_cannot_come_or_go_is_refused(void **state)
{
	struct machine_pmem p = pmem("p", 0);
	struct machine_drive d = drive("d", false);
	struct world w;
	char id[8];

	(void)state;
	open_pci(&w);
	assert_int_equal(machine_device_remove(w.m, MACHINE_DEVICE_DRIVE, "d", &w.e), -ENOENT);
	assert_int_equal(machine_device_remove(w.m, MACHINE_DEVICE_NET, "d", &w.e), -ENOENT);
	assert_int_equal(machine_pmem_add(w.m, &p, &w.e), -EINVAL); /* an empty file */
	fd_close(&p.file.fd);
	assert_int_equal(w.m->mem.n, 1);
	d.root = true;
	assert_int_equal(machine_drive_add(w.m, &d, &w.e), -EINVAL);
	d.root = false;
	strcpy(d.format,
	       "qcow2"); /* which it is not: found when it is opened, and the configuration is as it was */
	assert_true(machine_drive_add(w.m, &d, &w.e) < 0);
	assert_int_equal(machine_config_of(w.m)->n_drives, 0);
	drive_fini(&d);
	for (int i = 0; i < MACHINE_DRIVES_MAX; i++) {
		str_format(id, sizeof(id), "d%d", i);
		d = drive(id, false);
		assert_return_code(machine_drive_add(w.m, &d, &w.e), 0);
	}
	refused(&w, drive("d3", false), -EEXIST);
	refused(&w, drive("one", false), -E2BIG);
	machine_stop(w.m);
	refused(&w, drive("x", false), -EBUSY);
	world_close(&w);

	world_open(&w, counting, sizeof(counting));
	world_make(&w);
	assert_return_code(machine_start(w.m, &w.e), 0);
	refused(&w, drive("x", false), -EOPNOTSUPP);
	assert_int_equal(machine_device_remove(w.m, MACHINE_DEVICE_DRIVE, "x", &w.e), -EOPNOTSUPP);
	world_close(&w);
}

static int open_again(void *arg, const char *what, const char *path, int flags, struct err *e)
{
	(void)arg;
	(void)what;
	(void)path;
	(void)flags;
	(void)e;
	return file_of(DISK_BYTES);
}

static void test_a_snapshot_keeps_the_numbers_of_what_came_and_went(void **state)
{
	struct machine_restore r = { .uffd_sock = -1, .open_file = open_again, .serial_in = -1 };
	struct machine_drive d;
	struct machine_pmem p;
	uint8_t bar[8], was[8];
	struct world w;
	uint32_t at;
	int files[2];

	(void)state;
	open_pci(&w);
	for (const char *id = "abc"; *id; id++) { /* 2, 3, 4; then 2 is free, and e is behind all at 5 */
		d = drive((char[]){ *id, 0 }, true);
		assert_return_code(machine_drive_add(w.m, &d, &w.e), 0);
	}
	p = pmem("p", DISK_BYTES);
	p.file.path = strdup("p");
	assert_return_code(machine_pmem_add(w.m, &p, &w.e), 0);
	assert_return_code(machine_device_remove(w.m, MACHINE_DEVICE_DRIVE, "a", &w.e), 0);
	assert_return_code(machine_device_remove(w.m, MACHINE_DEVICE_DRIVE, "b", &w.e), 0);
	/* the guest moved a BAR */
	bus_write(&w.m->mmio, BOARD_PCI_ECAM + 4 * 0x8000 + 0x10, (uint32_t[]){ BOARD_PCI_MEM32 }, 4);
	bus_write(&w.m->mmio, BOARD_PCI_ECAM + 4 * 0x8000 + 0x14, (uint32_t[]){ 0 }, 4);
	bus_read(&w.m->mmio, BOARD_PCI_MEM32, was, 8);
	assert_true(was[4] != 0xff);
	files[0] = file_of(0);
	files[1] = file_of(0);
	assert_return_code(machine_pause(w.m, &w.e), 0);
	d = drive("late", false); /* added while it is paused */
	assert_return_code(machine_drive_add(w.m, &d, &w.e), 0);
	if (machine_save(w.m, MACHINE_SNAPSHOT_FULL, files[0], files[1], &w.e) < 0)
		fail_msg("%s", w.e.text);
	at = counter(&w);
	machine_free(w.m);
	w.m = NULL;
	r.state.fd = files[0];
	r.mem.fd = files[1];
	r.serial_out = w.out[1];
	r.engine = getenv("HULL_ENGINE");
	lseek(files[0], 0, SEEK_SET);
	if (machine_restore(&w.m, &r, &w.loop, NULL, &w.e) < 0)
		fail_msg("%s", w.e.text);
	assert_int_equal(counter(&w), at);
	assert_int_equal(vendor(&w, 1), 0x1af4 | (0x1040 + VDEV_RNG) << 16);
	assert_int_equal(vendor(&w, 2), 0x1af4 | (0x1040 + VDEV_BLK) << 16);
	assert_int_equal(vendor(&w, 3), 0xffffffff);
	assert_int_equal(vendor(&w, 4), 0x1af4 | (0x1040 + VDEV_BLK) << 16);
	assert_int_equal(vendor(&w, 5), 0x1af4 | (0x1040 + VDEV_PMEM) << 16);
	bus_read(&w.m->mmio, BOARD_PCI_MEM32, bar, 8);
	assert_memory_equal(bar, was, 8);
	assert_int_equal(machine_config_of(w.m)->n_drives, 2);
	assert_int_equal(machine_config_of(w.m)->pmem[0].base, BOARD_HIGH_RAM);
	assert_return_code(machine_resume(w.m, &w.e), 0);
	assert_true(counts(&w));
	assert_return_code(machine_device_remove(w.m, MACHINE_DEVICE_DRIVE, "c", &w.e), 0);
	assert_int_equal(vendor(&w, 4), 0xffffffff);
	world_close(&w);
}

/* jailed() - in a process of its own. Return: its exit status. */
static int jailed(void)
{
	struct machine_drive d[2] = { drive("a", true), drive("b", false) };
	struct machine_pmem p[2] = { pmem("p", DISK_BYTES), pmem("q", DISK_BYTES) };
	struct world w;

	world_open(&w, counting, sizeof(counting));
	w.c.pci = true;
	w.c.jail = (struct machine_jail){ .on = true, .uid = NOBODY, .gid = NOBODY };
	world_make(&w);
	if (machine_start(w.m, &w.e) < 0)
		return 2;
	for (int i = 0; i < 2; i++)
		if (machine_drive_add(w.m, &d[i], &w.e) < 0 || machine_pmem_add(w.m, &p[i], &w.e) < 0)
			return 3;
	/* a BAR moves, its doorbells with it */
	bus_write(&w.m->mmio, BOARD_PCI_ECAM + 0x8000 + 0x10, (uint32_t[]){ BOARD_PCI_MEM32 }, 4);
	bus_write(&w.m->mmio, BOARD_PCI_ECAM + 0x8000 + 0x14, (uint32_t[]){ 0 }, 4);
	if (!counts(&w))
		return 4;
	if (machine_device_remove(w.m, MACHINE_DEVICE_DRIVE, "a", &w.e) < 0 ||
	    machine_device_remove(w.m, MACHINE_DEVICE_PMEM, "p", &w.e) < 0)
		return 5;
	if (!counts(&w))
		return 6;
	world_close(&w);
	return 0;
}

static void test_devices_come_and_go_in_the_jail(void **state)
{
	int status;
	pid_t pid;

	(void)state;
#ifdef __SANITIZE_THREAD__
	print_message("the sanitizer's own thread: a process with threads gets no user namespace\n");
	skip();
#endif
	if (!engine_find(NULL, NULL) || geteuid() != 0) {
		print_message("needs an engine and root\n");
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(jailed());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		fail_msg("ended by signal %d: a system call that its filter does not have", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_drive_comes_and_goes_on_the_bus),
		cmocka_unit_test(test_pmem_comes_into_the_memory_map_and_leaves_it),
		cmocka_unit_test(test_a_pmem_device_that_holds_rings_stays),
		cmocka_unit_test(test_what_cannot_come_or_go_is_refused),
		cmocka_unit_test(test_a_snapshot_keeps_the_numbers_of_what_came_and_went),
		cmocka_unit_test(test_devices_come_and_go_in_the_jail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
