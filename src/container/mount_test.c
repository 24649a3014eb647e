/* SPDX-License-Identifier: Apache-2.0 */
#include "container/mount.h"

#include "container/rootfs_test.h"
#include "sys/call.h"

#define IDMAP(c, h) "[{\"containerID\":" #c ",\"hostID\":" #h ",\"size\":10}]"

/* --- mount options --- */

static void bind_options(struct box *b)
{
	static const struct {
		const char *options, *want;
	} cases[] = {
		{ "\"bind\"", "rw,relatime" },
		{ "\"bind\",\"ro\"", "ro,relatime" },
		{ "\"bind\",\"ro\",\"nosuid\",\"nodev\",\"noexec\"", "ro,nosuid,nodev,noexec,relatime" },
		{ "\"bind\",\"noatime\"", "rw,noatime" },
		{ "\"bind\",\"strictatime\"", "rw" },
		{ "\"bind\",\"nodiratime\"", "rw,nodiratime,relatime" },
		{ "\"bind\",\"nosymfollow\"", "rw,relatime,nosymfollow" },
		{ "\"bind\",\"ro\",\"rw\"", "rw,relatime" },
		{ "\"bind\",\"rro\"", "ro,relatime" },
		{ "\"rbind\",\"rro\",\"rnoatime\"", "ro,noatime" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_fini(buf) struct buf mounts = { 0 };
		int status;
		pid_t pid = fork();

		if (pid > 0) {
			waitpid(pid, &status, 0);
			CHECK(status == 0, "options %s", cases[i].options);
			continue;
		}
		CHECK_INT(unshare(CLONE_NEWNS), 0);
		buf_printf(&mounts, PROC_MOUNT ",{\"destination\":\"/v\",\"source\":\"%s\",\"options\":[%s]}",
			   in(b, "vol"), cases[i].options);
		box_spec(b, "", buf_str(&mounts), "");
		build(b);
		CHECK(str_eq(mount_opts("/v"), cases[i].want), "got %s, want %s", mount_opts("/v"),
		      cases[i].want);
		_exit(0);
	}
}

static void test_mount_sets_every_option_of_a_bind(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, bind_options);
}

/* vol/ gets a tmpfs with nosuid, for recursive and locked attributes. */
static void mount_below_vol(struct box *b)
{
	int fs = mnt_fsopen("tmpfs"), tree, r;

	mkdir(in(b, "vol/sub"), 0755);
	CHECK_INT(mnt_propagation("/", MS_SLAVE | MS_REC), 0);
	CHECK_INT(mnt_config_create(fs), 0);
	tree = mnt_fsmount(fs, MOUNT_ATTR_NOSUID);
	r = mnt_attach_at(tree, AT_FDCWD, in(b, "vol/sub"), 0);
	CHECK_INT(r, 0);
	close(tree);
	close(fs);
}

static void recursive(struct box *b)
{
	auto_fini(buf) struct buf mounts = { 0 };

	mount_below_vol(b);
	buf_printf(&mounts, PROC_MOUNT);
	buf_printf(&mounts, ",{\"destination\":\"/one\",\"source\":\"%s\",\"options\":[\"bind\"]}",
		   in(b, "vol"));
	buf_printf(&mounts, ",{\"destination\":\"/all\",\"source\":\"%s\",\"options\":[\"rbind\",\"ro\"]}",
		   in(b, "vol"));
	buf_printf(&mounts, ",{\"destination\":\"/rro\",\"source\":\"%s\",\"options\":[\"rbind\",\"rro\"]}",
		   in(b, "vol"));
	buf_printf(&mounts,
		   ",{\"destination\":\"/suid\",\"source\":\"%s\",\"options\":[\"rbind\",\"rsuid\"]}",
		   in(b, "vol"));
	box_spec(b, "", buf_str(&mounts), "");
	build(b);
	CHECK(!mount_line("/one/sub"), "bind took the mounts below");
	CHECK(has_word(mount_opts("/all"), "ro"), "%s", mount_opts("/all"));
	CHECK(has_word(mount_opts("/all/sub"), "rw"), "%s", mount_opts("/all/sub"));
	CHECK(has_word(mount_opts("/rro/sub"), "ro"), "%s", mount_opts("/rro/sub"));
	CHECK(has_word(mount_opts("/rro/sub"), "nosuid"), "%s", mount_opts("/rro/sub"));
	CHECK(!has_word(mount_opts("/suid/sub"), "nosuid"), "%s", mount_opts("/suid/sub"));
}

static void test_mount_applies_recursive_options_to_the_whole_tree(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, recursive);
}

static void tmpfs_modes(struct box *b)
{
	CHECK_INT(mkdir(in(b, "root/t"), 01770) | chmod(in(b, "root/t"), 01770), 0);
	box_spec(b, "",
		 PROC_MOUNT
		 ",{\"destination\":\"/t\",\"type\":\"tmpfs\"},"
		 "{\"destination\":\"/new/"
		 "dir\",\"type\":\"tmpfs\",\"options\":[\"mode=700\",\"size=64k\",\"uid=5\"]},"
		 "{\"destination\":\"/ro\",\"type\":\"tmpfs\",\"options\":[\"ro\"]},"
		 "{\"destination\":\"/ro/below\",\"type\":\"tmpfs\",\"options\":[\"ro\",\"noexec\"]}",
		 "");
	build(b);

	struct stat st;

	CHECK(stat("/t", &st) == 0, "%m");
	CHECK_INT(st.st_mode & 07777, 01770);
	CHECK(stat("/new/dir", &st) == 0, "%m");
	CHECK_INT(st.st_mode & 07777, 0700);
	CHECK_INT(st.st_uid, 5);
	CHECK(has_word(mount_opts("/ro"), "ro"), "%s", mount_opts("/ro"));
	CHECK(has_word(mount_opts("/ro/below"), "ro"), "%s", mount_opts("/ro/below"));
	CHECK(open("/ro/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EROFS, "%m");
	CHECK(strstr(mount_line("/new/dir"), "size=64k"), "%s", mount_line("/new/dir"));
}

static void test_mount_gives_a_tmpfs_its_directorys_mode_and_read_only_last(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, tmpfs_modes);
}

static void copy_up(struct box *b)
{
	struct stat st;

	CHECK_INT(mkdir(in(b, "root/etc/d"), 0750) | chmod(in(b, "root/etc/d"), 02750), 0);
	put_file(in(b, "root/etc/d/file"), "text");
	CHECK_INT(chown(in(b, "root/etc/d/file"), 7, 8) | chmod(in(b, "root/etc/d/file"), 04751), 0);
	CHECK_INT(symlink("/outside", in(b, "root/etc/link")), 0);
	CHECK_INT(mkfifo(in(b, "root/etc/fifo"), 0600), 0);
	CHECK_INT(chown(in(b, "root/etc"), 3, 4), 0);
	box_spec(b, "", "{\"destination\":\"/etc\",\"type\":\"tmpfs\",\"options\":[\"tmpcopyup\",\"ro\"]}",
		 "");
	build(b);
	CHECK(stat("/etc", &st) == 0, "%m");
	CHECK(st.st_uid == 3 && st.st_gid == 4, "/etc: %u:%u", st.st_uid, st.st_gid);
	CHECK(stat("/etc/d", &st) == 0, "%m");
	CHECK_INT(st.st_mode & 07777, 02750);
	CHECK(stat("/etc/d/file", &st) == 0, "%m");
	CHECK(st.st_uid == 7 && st.st_gid == 8 && (st.st_mode & 07777) == 04751, "%u:%u %o", st.st_uid,
	      st.st_gid, st.st_mode);
	CHECK(str_eq(get_file("/etc/d/file"), "text"), "%s", get_file("/etc/d/file"));
	check_link("/etc/link", "/outside");
	CHECK(stat("/etc/fifo", &st) == 0 && S_ISFIFO(st.st_mode), "%m");
	CHECK(open("/etc/d/file", O_WRONLY | O_CLOEXEC) < 0 && errno == EROFS, "%m");
}

static void test_mount_copies_up_what_a_tmpfs_covers(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, copy_up);
}

static void bind_kinds(struct box *b)
{
	auto_fini(buf) struct buf mounts = { 0 };
	struct stat st;

	put_file(in(b, "vol/file"), "bound");
	CHECK_INT(symlink("file", in(b, "vol/link")), 0);
	CHECK_INT(symlink("nowhere", in(b, "root/there")), 0);
	buf_printf(&mounts, "{\"destination\":\"/a/b/file\",\"source\":\"%s\",\"options\":[\"bind\"]},",
		   in(b, "vol/file"));
	buf_printf(&mounts, "{\"destination\":\"/followed\",\"source\":\"%s\",\"options\":[\"bind\"]},",
		   in(b, "vol/link"));
	buf_printf(&mounts,
		   "{\"destination\":\"/copied/"
		   "link\",\"source\":\"%s\",\"options\":[\"bind\",\"copy-symlink\"]},",
		   in(b, "vol/link"));
	buf_printf(&mounts,
		   "{\"destination\":\"/there\",\"source\":\"%s\",\"options\":[\"bind\",\"src-nofollow\","
		   "\"dest-nofollow\"]},",
		   in(b, "vol/link"));
	buf_printf(&mounts, "{\"destination\":\"/etc/../rel\",\"source\":\"vol\",\"options\":[\"bind\"]}");
	CHECK_INT(chdir(b->dir), 0);
	box_spec(b, "", buf_str(&mounts), "");
	build(b);
	CHECK(str_eq(get_file("/a/b/file"), "bound"), "%s", get_file("/a/b/file"));
	CHECK(stat("/a/b", &st) == 0 && (st.st_mode & 07777) == 0755, "%o", st.st_mode);
	CHECK(str_eq(get_file("/followed"), "bound"), "%s", get_file("/followed"));
	check_link("/copied/link", "file");
	check_link("/there", "file");
	CHECK(str_eq(get_file("/rel/file"), "bound"), "%s", get_file("/rel/file"));
}

static void test_mount_binds_files_links_and_relative_sources(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, bind_kinds);
}

static void remounted(struct box *b)
{
	box_spec(b, "",
		 PROC_MOUNT ",{\"destination\":\"/t\",\"type\":\"tmpfs\",\"options\":[\"size=64k\"]},"
			    "{\"destination\":\"/"
			    "t\",\"type\":\"tmpfs\",\"options\":[\"remount\",\"size=128k\",\"noexec\"]}",
		 "");
	build(b);
	CHECK(strstr(mount_line("/t"), "size=128k"), "%s", mount_line("/t"));
	CHECK(has_word(mount_opts("/t"), "noexec"), "%s", mount_opts("/t"));
}

static void test_mount_changes_an_existing_mount(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, remounted);
}

static void bad_mounts(struct box *b)
{
	static const struct {
		const char *mount;
		int code;
		const char *word;
	} cases[] = {
		{ "{\"destination\":\"/x\",\"source\":\"/nonexistent/dir\",\"options\":[\"bind\"]}", ENOENT,
		  "/nonexistent/dir" },
		{ "{\"destination\":\"/x\",\"type\":\"nosuchfs\"}", ENODEV, "no such file system" },
		{ "{\"destination\":\"/x\",\"type\":\"tmpfs\",\"options\":[\"bogus=1\"]}", EINVAL,
		  "bogus=1" },
		{ "{\"destination\":\"/etc/..\",\"type\":\"tmpfs\"}", EINVAL, "root itself" },
		{ "{\"destination\":\"/etc\",\"source\":\"/dev/null\",\"options\":[\"bind\"]}", ENOTDIR,
		  "directory" },
		{ "{\"destination\":\"/plink\",\"type\":\"proc\"}", ELOOP, "symlink" },
		{ "{\"destination\":\"/plink\",\"type\":\"sysfs\"}", ELOOP, "symlink" },
		{ "{\"destination\":\"/proc\",\"type\":\"tmpfs\"}", EPERM, "only procfs" },
		{ "{\"destination\":\"/proc\",\"source\":\"/etc\",\"options\":[\"bind\"]}", EPERM,
		  "only procfs" },
		{ PROC_MOUNT
		  ",{\"destination\":\"/proc/net/dev\",\"source\":\"/etc/hostname\",\"options\":[\"bind\"]}",
		  EPERM, "inside /proc" },
		{ PROC_MOUNT ",{\"destination\":\"/proc/self\",\"type\":\"tmpfs\"}", EPERM, "inside /proc" },
		{ PROC_MOUNT
		  ",{\"destination\":\"/proc/sys/../sys\",\"source\":\"/etc\",\"options\":[\"bind\"]}",
		  EPERM, "inside /proc" },
		{ PROC_MOUNT ",{\"destination\":\"/plink/sys\",\"source\":\"/etc\",\"options\":[\"bind\"]}",
		  EPERM, "leads into /proc" },
		{ PROC_MOUNT ",{\"destination\":\"/plink\",\"type\":\"tmpfs\"}", EPERM, "leads into /proc" },
		{ "{\"destination\":\"/x\",\"source\":\"/etc\",\"options\":[\"bind\"],\"uidMappings\":" IDMAP(
			  0, 5) ",\"gidMappings\":" IDMAP(0, 5) "}",
		  EINVAL, "id-mapped" },
		{ "{\"destination\":\"/none\",\"source\":\"/etc\",\"options\":[\"bind\",\"dest-nofollow\"]}",
		  ENOENT, "mount point" },
	};

	CHECK_INT(symlink("/proc", in(b, "root/plink")), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			CHECK_INT(unshare(CLONE_NEWNS), 0);
			box_spec(b, "", cases[i].mount, "");
			refused(b, cases[i].code, cases[i].word);
			CHECK(str_starts(b->e.text, "mounts["), "%s", b->e.text);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		CHECK(status == 0, "case %s", cases[i].mount);
	}
}

static void test_mount_refuses_what_is_wrong_by_name(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, bad_mounts);
}

static void proc_files(struct box *b)
{
	auto_fini(buf) struct buf mounts = { 0 };

	put_file(in(b, "vol/uptime"), "1 1\n");
	buf_printf(&mounts,
		   PROC_MOUNT ",{\"destination\":\"/proc/uptime\",\"source\":\"%s\",\"options\":[\"bind\"]},",
		   in(b, "vol/uptime"));
	buf_printf(&mounts, "{\"destination\":\"/host/proc\",\"source\":\"/proc\",\"options\":[\"rbind\"]},");
	buf_printf(&mounts, "{\"destination\":\"/host/proc/bus\",\"type\":\"tmpfs\"}");
	box_spec(b, "", buf_str(&mounts), "");
	build(b);
	CHECK(str_eq(get_file("/proc/uptime"), "1 1\n"), "%s", get_file("/proc/uptime"));
	CHECK(mount_line("/host/proc/bus"), "another procfs may be mounted over");
}

static void test_mount_lets_known_files_of_proc_be_replaced(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, proc_files);
}

/* --- escapes --- */

static void escapes(struct box *b)
{
	auto_fini(buf) struct buf mounts = { 0 };
	char up[256];

	str_format(up, sizeof(up), "../../../../../..%s", in(b, "outside"));
	CHECK_INT(symlink(up, in(b, "root/up")), 0);
	CHECK_INT(symlink(in(b, "outside"), in(b, "root/abs")), 0);
	CHECK_INT(symlink(in(b, "outside/made"), in(b, "root/dangling")), 0);
	buf_printf(&mounts, PROC_MOUNT
		   ",{\"destination\":\"/up\",\"type\":\"tmpfs\"},{\"destination\":\"/abs/"
		   "x\",\"type\":\"tmpfs\"},"
		   "{\"destination\":\"/dangling\",\"source\":\"/dev/null\",\"options\":[\"bind\"]}");
	box_spec(b, "", buf_str(&mounts), "");
	CHECK(prepare(b) == 0, "%s", b->e.text);
	CHECK(!mount_line(in(b, "outside")), "a symlink led a mount outside");
	CHECK(access(in(b, "outside/x"), F_OK) < 0 && access(in(b, "outside/made"), F_OK) < 0,
	      "made outside");
	CHECK(access(in(b, "root/tmp"), F_OK) == 0, "the links' targets were made inside");
	CHECK(ct_rootfs_enter(&b->r, b->rootfd, &b->e) == 0, "%s", b->e.text);
	CHECK(mount_line(in(b, "outside")), "%s", "mounted inside instead");
}

static void test_mount_keeps_symlinked_targets_inside_the_root(void **state)
{
	(void)state;
	run_box(NS_ALL, NULL, escapes);
}

/* swap_for_ever() - root/a is by turns a directory and a symlink to the directory outside. */
static _Noreturn void swap_for_ever(struct box *b)
{
	char dir[256], link[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	str_copy(dir, sizeof(dir), in(b, "root/a"));
	str_copy(link, sizeof(link), in(b, "root/l"));
	for (;;)
		syscall(SYS_renameat2, AT_FDCWD, dir, AT_FDCWD, link, 2 /* RENAME_EXCHANGE */);
}

static void race(struct box *b)
{
	char up[256];
	pid_t pid;

	str_format(up, sizeof(up), "../../../../..%s", in(b, "outside"));
	CHECK_INT(mkdir(in(b, "root/a"), 0755) | symlink(up, in(b, "root/l")), 0);
	mkdir(in(b, "outside/x"), 0755);
	pid = fork();
	if (pid == 0)
		swap_for_ever(b);
	for (int i = 0; i < 200; i++) {
		int status;
		pid_t one = fork();

		if (one == 0) {
			CHECK_INT(unshare(CLONE_NEWNS), 0);
			box_spec(b, "",
				 "{\"destination\":\"/a/x\",\"type\":\"tmpfs\"},{\"destination\":\"/a/y/"
				 "z\",\"type\":\"tmpfs\"}",
				 "\"devices\":[{\"path\":\"/a/n\",\"type\":\"c\",\"major\":1,\"minor\":3}]");
			prepare(b); /* may fail: the path is being pulled away; it may not lead outside */
			CHECK(!mount_line(in(b, "outside/x")) && access(in(b, "outside/y"), F_OK) < 0 &&
				      access(in(b, "outside/n"), F_OK) < 0,
			      "outside was reached");
			_exit(0);
		}
		waitpid(one, &status, 0);
		CHECK_INT(status, 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_mount_keeps_targets_inside_while_they_are_swapped(void **state)
{
	(void)state;
	run_box(NS_ALL & ~CLONE_NEWPID, NULL, race);
}

/* --- id mapping --- */

static void idmap_sources(struct box *b)
{
	auto_fini(buf) struct buf mounts = { 0 };

	put_file(in(b, "vol/file"), "x");
	CHECK_INT(chown(in(b, "vol/file"), 1001, 2001), 0);
	buf_printf(&mounts, "{\"destination\":\"/plain\",\"source\":\"%s\",\"options\":[\"bind\"]},",
		   in(b, "vol"));
	buf_printf(&mounts,
		   "{\"destination\":\"/mapped\",\"source\":\"%s\",\"options\":[\"bind\",\"idmap\",\"ro\"],"
		   "\"uidMappings\":" IDMAP(1000, 50) ",\"gidMappings\":" IDMAP(2000, 60) "},",
		   in(b, "vol"));
	buf_printf(&mounts,
		   "{\"destination\":\"/again\",\"source\":\"%s\",\"options\":[\"rbind\",\"ridmap\"],"
		   "\"uidMappings\":" IDMAP(1000, 50) ",\"gidMappings\":" IDMAP(2000, 60) "}",
		   in(b, "vol"));
	box_spec(b, "", buf_str(&mounts), "");
	CHECK(ct_mount_open_sources(&b->spec, b->fds, &b->e) == 0, "%s", b->e.text);
	CHECK(b->fds[0] == -1 && b->fds[1] >= 0 && b->fds[2] >= 0, "%d %d %d", b->fds[0], b->fds[1],
	      b->fds[2]);
	b->r.source_fds = b->fds;
}

static void idmapped(struct box *b)
{
	static const struct {
		const char *path;
		uid_t uid;
		gid_t gid;
	} cases[] = {
		{ "/plain/file", 1001, 2001 },
		{ "/mapped/file", 51, 61 },
		{ "/again/file", 51, 61 },
	};
	struct stat st;

	build(b);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(stat(cases[i].path, &st) == 0, "%s: %m", cases[i].path);
		CHECK(st.st_uid == cases[i].uid && st.st_gid == cases[i].gid, "%s: got %u:%u, want %u:%u",
		      cases[i].path, st.st_uid, st.st_gid, cases[i].uid, cases[i].gid);
	}
	CHECK(open("/mapped/file", O_WRONLY | O_CLOEXEC) < 0 && errno == EROFS, "%m");
	CHECK_INT(chown("/again/file", 52, 62), 0);
	CHECK(stat("/plain/file", &st) == 0 && st.st_uid == 1002 && st.st_gid == 2002, "chown wrote %u:%u",
	      st.st_uid, st.st_gid);
}

static void test_mount_maps_ids_of_a_bind(void **state)
{
	(void)state;
	run_box(NS_ALL, idmap_sources, idmapped);
}

static void test_mount_sources_name_the_entry_that_failed(void **state)
{
	static const struct {
		const char *source, *maps, *word;
	} cases[] = {
		{ "/nonexistent", IDMAP(0, 5), "source '/nonexistent'" },
		{ "/etc",
		  "[{\"containerID\":0,\"hostID\":5,\"size\":10},{\"containerID\":5,\"hostID\":50,\"size\":"
		  "10}"
		  "]",
		  "uid_map" },
		{ "/proc", IDMAP(0, 5), "does not support it" },
	};

	(void)state;
	if (geteuid() != 0) {
		print_message("skip: needs root\n");
		skip();
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_fini(buf) struct buf mounts = { 0 };
		struct box b = { 0 };
		int fds[2] = { 7, 7 };

		buf_printf(
			&mounts,
			"{\"destination\":\"/ok\",\"source\":\"/"
			"etc\",\"options\":[\"bind\",\"idmap\"],\"uidMappings\":" IDMAP(
				0,
				5) ",\"gidMappings\":" IDMAP(0,
							     5) "},{\"destination\":\"/"
								"x\",\"source\":\"%s\",\"options\":[\"bind\","
								"\"idmap\"],\"uidMappings\":%s,"
								"\"gidMappings\":" IDMAP(0, 5) "}",
			cases[i].source, cases[i].maps);
		box_spec(&b, "", buf_str(&mounts), "");
		assert_true(ct_mount_open_sources(&b.spec, fds, &b.e) < 0);
		if (!str_starts(b.e.text, "mounts[1] '/x': ") || !strstr(b.e.text, cases[i].word))
			fail_msg("got '%s', want '%s' in it", b.e.text, cases[i].word);
		assert_int_equal(fds[0], -1);
		assert_int_equal(fds[1], -1);
		arena_fini(&b.arena);
	}
}

/* --- pure --- */

static void test_path_clean_leaves_no_dots_or_double_slashes(void **state)
{
	static const char *const cases[][2] = {
		{ "/", "/" },
		{ "", "/" },
		{ "a", "/a" },
		{ "/a//b/", "/a/b" },
		{ "/a/./b/..", "/a" },
		{ "/../../x", "/x" },
		{ "/a/../../b/...", "/b/..." },
		{ "/..", "/" },
		{ "//a/b/../../..//c", "/c" },
		{ "/.a/..b", "/.a/..b" },
	};
	char dst[CT_PATH_MAX], longest[2 * CT_PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ct_path_clean(dst, cases[i][0]), 0);
		assert_string_equal(dst, cases[i][1]);
	}
	memset(longest, 'a', sizeof(longest));
	longest[CT_PATH_MAX - 2] = '\0';
	assert_int_equal(ct_path_clean(dst, longest), 0);
	assert_int_equal(strlen(dst), CT_PATH_MAX - 1);
	longest[CT_PATH_MAX - 2] = 'a';
	longest[CT_PATH_MAX - 1] = '\0';
	assert_int_equal(ct_path_clean(dst, longest), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_clean_leaves_no_dots_or_double_slashes),
		cmocka_unit_test(test_mount_sets_every_option_of_a_bind),
		cmocka_unit_test(test_mount_applies_recursive_options_to_the_whole_tree),
		cmocka_unit_test(test_mount_gives_a_tmpfs_its_directorys_mode_and_read_only_last),
		cmocka_unit_test(test_mount_copies_up_what_a_tmpfs_covers),
		cmocka_unit_test(test_mount_binds_files_links_and_relative_sources),
		cmocka_unit_test(test_mount_changes_an_existing_mount),
		cmocka_unit_test(test_mount_refuses_what_is_wrong_by_name),
		cmocka_unit_test(test_mount_lets_known_files_of_proc_be_replaced),
		cmocka_unit_test(test_mount_keeps_symlinked_targets_inside_the_root),
		cmocka_unit_test(test_mount_keeps_targets_inside_while_they_are_swapped),
		cmocka_unit_test(test_mount_maps_ids_of_a_bind),
		cmocka_unit_test(test_mount_sources_name_the_entry_that_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
