/* SPDX-License-Identifier: Apache-2.0 */
#include "container/device.h"

#include "container/rootfs_test.h"

/* --- devices, masks, terminal --- */

static void dev_is_link(struct box *b)
{
	CHECK_INT(rmdir(in(b, "root/dev")), 0);
	put_file(in(b, "outside/ptmx"), "host");
	CHECK_INT(symlink("/outside", in(b, "root/dev")) | mkdir(in(b, "root/outside"), 0755), 0);
	put_file(in(b, "root/outside/ptmx"), "mine");
	box_spec(b, "", "", "");
	refused(b, ENOTDIR, "/dev: is a symlink");
	CHECK(str_eq(get_file(in(b, "root/outside/ptmx")), "mine"), "removed through the link");
}

static void test_devices_are_not_made_through_a_symlinked_dev(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, dev_is_link);
}

static void spec_devices(struct box *b)
{
	struct stat st;

	box_spec(b, "", DEV_MOUNT,
		 "\"devices\":[{\"path\":\"/dev/net/"
		 "tun\",\"type\":\"c\",\"major\":10,\"minor\":200,\"fileMode\":384,\"uid\":5,"
		 "\"gid\":6},{\"path\":\"/x/pipe\",\"type\":\"p\"},{\"path\":\"/dev/"
		 "blk\",\"type\":\"b\",\"major\":7,\"minor\":0},"
		 "{\"path\":\"/dev/zero\",\"type\":\"c\",\"major\":1,\"minor\":5,\"fileMode\":292}]");
	build(b);
	CHECK(lstat("/dev/net/tun", &st) == 0 && S_ISCHR(st.st_mode), "%m");
	CHECK(st.st_uid == 5 && st.st_gid == 6 && (st.st_mode & 0777) == 0600, "%u:%u %o", st.st_uid,
	      st.st_gid, st.st_mode);
	CHECK_INT((long)st.st_rdev, (long)makedev(10, 200));
	CHECK(lstat("/x/pipe", &st) == 0 && S_ISFIFO(st.st_mode), "%m");
	CHECK(lstat("/dev/blk", &st) == 0 && S_ISBLK(st.st_mode), "%m");
	CHECK(lstat("/dev/zero", &st) == 0 && (st.st_mode & 0777) == 0444, "%o", st.st_mode);
}

static void test_devices_of_the_configuration_get_mode_and_owner(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, spec_devices);
}

static void other_null(struct box *b)
{
	put_file(in(b, "root/dev/null"), "");
	box_spec(b, "", "", "");
	refused(b, EEXIST, "/dev/null");
}

static void test_devices_refuse_an_impostor(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, other_null);
}

/*
 * swap_null() - between stage 1 and 2 somebody replaces /dev/null by a link to what he wants bound over
 * /proc files.
 */
static void swap_null(struct box *b)
{
	static const char *const swaps[] = { "file", "link", "zero", "block" };

	for (size_t i = 0; i < sizeof(swaps) / sizeof(swaps[0]); i++) {
		int status, r;
		pid_t pid = fork();

		if (pid > 0) {
			waitpid(pid, &status, 0);
			CHECK(status == 0, "%s", swaps[i]);
			continue;
		}
		CHECK_INT(unshare(CLONE_NEWNS), 0);
		box_spec(b, "", PROC_MOUNT "," DEV_MOUNT,
			 "\"maskedPaths\":[\"/nonexistent\",\"/proc/kcore\",\"/proc/uptime\"]");
		CHECK(prepare(b) == 0, "%s", b->e.text);
		CHECK_INT(unlinkat(b->rootfd, "dev/null", 0), 0);
		if (i == 0)
			r = mknodat(b->rootfd, "dev/null", S_IFREG | 0666, 0);
		else if (i == 1)
			r = symlinkat("/proc/sys/kernel/core_pattern", b->rootfd, "dev/null");
		else if (i == 2)
			r = mknodat(b->rootfd, "dev/null", S_IFCHR | 0666, makedev(1, 5));
		else
			r = mknodat(b->rootfd, "dev/null", S_IFBLK | 0666, makedev(1, 3));
		CHECK_INT(r, 0);
		r = ct_rootfs_enter(&b->r, b->rootfd, &b->e);
		CHECK(r == -EPERM && strstr(b->e.text, "is not the null device"), "%d %s", r, b->e.text);
		_exit(0);
	}
}

static void test_masks_refuse_a_dev_null_that_was_swapped(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, swap_null);
}

static void mask_kinds(struct box *b)
{
	struct stat one, two;

	CHECK_INT(mkdir(in(b, "root/d1"), 0755) | mkdir(in(b, "root/d2"), 0755), 0);
	put_file(in(b, "root/d1/secret"), "x");
	put_file(in(b, "root/f"), "secret");
	CHECK_INT(symlink("d2", in(b, "root/to-d2")), 0);
	put_file(in(b, "root/d2/secret"), "x");
	box_spec(b, "", PROC_MOUNT "," DEV_MOUNT,
		 "\"maskedPaths\":[\"/d1\",\"/to-d2\",\"/f\",\"/none\",\"/d1\"],"
		 "\"readonlyPaths\":[\"/etc\",\"/none\"]");
	build(b);
	CHECK(access("/d1/secret", F_OK) < 0 && access("/d2/secret", F_OK) < 0, "seen through the mask");
	CHECK(stat("/d1", &one) == 0 && stat("/d2", &two) == 0, "%m");
	CHECK(one.st_dev == two.st_dev, "two superblocks for two masks");
	CHECK(mkdir("/d2/x", 0700) < 0 && errno == EROFS, "%m");
	CHECK(str_eq(get_file("/f"), ""), "%s", get_file("/f"));
	CHECK(mkdir("/etc/x", 0700) < 0 && errno == EROFS, "%m");
	CHECK(mkdir("/x", 0700) == 0, "%m");
}

static void test_masks_cover_files_and_directories(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, mask_kinds);
}

static void terminal(struct box *b)
{
	int master, slave;
	char text[8] = "";
	struct stat st;

	box_spec(b,
		 "\"process\":{\"terminal\":true,\"cwd\":\"/"
		 "\",\"args\":[\"x\"],\"user\":{\"uid\":0,\"gid\":0}},",
		 PROC_MOUNT "," DEV_MOUNT "," PTS_MOUNT, "");
	CHECK(prepare(b) == 0, "%s", b->e.text);
	CHECK(ct_rootfs_console(&b->r, b->rootfd, &master, &slave, &b->e) == 0, "%s", b->e.text);
	CHECK(ct_rootfs_enter(&b->r, b->rootfd, &b->e) == 0, "%s", b->e.text);
	CHECK(stat("/dev/console", &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == 136, "%m");
	CHECK(mount_line("/dev/console"), "not bound");
	CHECK(isatty(slave), "no terminal");
	CHECK(write(master, "hi\n", 3) == 3 && read(slave, text, sizeof(text)) == 3 && str_eq(text, "hi\n"),
	      "%s", text);
	CHECK(fcntl(master, F_GETFD) == FD_CLOEXEC && fcntl(slave, F_GETFD) == FD_CLOEXEC,
	      "not close-on-exec");
}

static void test_console_is_the_containers_own_terminal(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, terminal);
}

static void bad_console(struct box *b)
{
	int master = -1, slave = -1, r;

	box_spec(b, "", PROC_MOUNT "," DEV_MOUNT "," PTS_MOUNT, "");
	CHECK(prepare(b) == 0, "%s", b->e.text);
	CHECK_INT(symlinkat("/proc/sys/kernel/core_pattern", b->rootfd, "dev/console"), 0);
	r = ct_rootfs_console(&b->r, b->rootfd, &master, &slave, &b->e);
	CHECK(r == -ELOOP && strstr(b->e.text, "/dev/console"), "%d %s", r, b->e.text);
	CHECK(master == -1 && slave == -1, "outputs of a failure");
	CHECK_INT(unlinkat(b->rootfd, "dev/console", 0), 0);
	CHECK_INT(mnt_detach_at(in(b, "root/dev/pts")), 0);
	CHECK_INT(mknodat(b->rootfd, "dev/pts/ptmx", S_IFCHR | 0666, makedev(5, 2)), 0);
	r = ct_rootfs_console(&b->r, b->rootfd, &master, &slave, &b->e);
	CHECK(r == -EPERM && strstr(b->e.text, "is not a devpts"), "%d %s", r, b->e.text);
}

static void test_console_refuses_what_is_not_what_it_claims(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, bad_console);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices_are_not_made_through_a_symlinked_dev),
		cmocka_unit_test(test_devices_of_the_configuration_get_mode_and_owner),
		cmocka_unit_test(test_devices_refuse_an_impostor),
		cmocka_unit_test(test_masks_refuse_a_dev_null_that_was_swapped),
		cmocka_unit_test(test_masks_cover_files_and_directories),
		cmocka_unit_test(test_console_is_the_containers_own_terminal),
		cmocka_unit_test(test_console_refuses_what_is_not_what_it_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
