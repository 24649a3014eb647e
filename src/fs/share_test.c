/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/share.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "fs/share_testing.h"

static void put_file(int dirfd, const char *name, const char *text, mode_t mode)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static void begin(struct client *c, struct share_config config)
{
	client_begin(c, config);
	assert_int_equal(client_init(c), sizeof(struct fuse_init_out));
}

static uint64_t create(struct client *c, uint64_t dir, const char *name, uint64_t *ret_fh)
{
	assert_true(CLIENT_NAMED(c, FUSE_CREATE, dir, name, struct fuse_create_in,
				 { .flags = O_RDWR, .mode = S_IFREG | 0644 }) > 0);
	*ret_fh = c->out.create.open.fh;
	return c->out.create.entry.nodeid;
}

static long write_at(struct client *c, uint64_t node, uint64_t fh, uint64_t at, const void *data,
		     uint32_t len, uint32_t flags)
{
	struct fuse_write_in in = { .fh = fh, .offset = at, .size = len, .write_flags = flags };

	return client_raw(c, FUSE_WRITE, node, &in, sizeof(in), data, len);
}

static long read_at(struct client *c, uint64_t node, uint64_t fh, uint64_t at, uint32_t len)
{
	return CLIENT_CALL(c, FUSE_READ, node, struct fuse_read_in, { .fh = fh, .offset = at, .size = len });
}

/* --- negotiation ----------------------------------------------------------------------------------------- */

static void test_nothing_is_served_before_init_and_old_protocols_are_refused(void **state)
{
	struct client c;

	(void)state;
	client_begin(&c, (struct share_config){ 0 });
	assert_int_equal(client_call(&c, FUSE_GETATTR, 1, &(struct fuse_getattr_in){ 0 },
				     sizeof(struct fuse_getattr_in), NULL, NULL),
			 -EIO);
	assert_int_equal(CLIENT_CALL(&c, FUSE_INIT, 0, struct fuse_init_in, { .major = 6, .minor = 9 }),
			 -EPROTO);
	assert_int_equal(CLIENT_CALL(&c, FUSE_INIT, 0, struct fuse_init_in, { .major = 7, .minor = 26 }),
			 -EPROTO);
	assert_int_equal(CLIENT_CALL(&c, FUSE_INIT, 0, struct fuse_init_in, { .major = 8 }),
			 sizeof(struct fuse_init_out));
	assert_int_equal(c.out.init.major, 7);
	/* the short form of kernels before 7.36 */
	assert_int_equal(client_call(&c, FUSE_INIT, 0, &(struct fuse_init_in){ .major = 7, .minor = 31 }, 16,
				     NULL, NULL),
			 sizeof(struct fuse_init_out));
	assert_int_equal(c.out.init.flags, 0); /* nothing was offered */
	assert_int_equal(client_init(&c), sizeof(struct fuse_init_out));
	assert_int_equal(c.out.init.max_write, SHARE_IO_MAX);
	assert_true(c.out.init.flags & FUSE_DO_READDIRPLUS);
	assert_false(c.out.init.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_WRITEBACK_CACHE));
	assert_int_equal(client_call(&c, FUSE_SETLK, 1, NULL, 0, NULL, NULL), -ENOSYS);
	assert_int_equal(client_call(&c, FUSE_IOCTL, 1, NULL, 0, NULL, NULL), -ENOSYS);
	assert_int_equal(client_call(&c, 4095, 1, NULL, 0, NULL, NULL), -ENOSYS);
	client_end(&c);
}

/* --- files ----------------------------------------------------------------------------------------------- */

static void test_a_file_is_made_written_read_and_found_again(void **state)
{
	struct client c;
	uint64_t fh, node;
	struct stat st;

	(void)state;
	begin(&c, (struct share_config){ .cache = SHARE_CACHE_AUTO });
	node = create(&c, 1, "file", &fh);
	assert_int_equal(c.out.create.entry.attr.mode, S_IFREG | 0644);
	assert_int_equal(c.out.create.entry.entry_valid, 1);
	assert_int_equal(write_at(&c, node, fh, 3, "hello", 5, 0), sizeof(struct fuse_write_out));
	assert_int_equal(c.out.write.size, 5);
	assert_int_equal(read_at(&c, node, fh, 0, 100), 8);
	assert_memory_equal(c.out.bytes, "\0\0\0hello", 8);
	assert_int_equal(read_at(&c, node, fh, 8, 100), 0);
	assert_int_equal(CLIENT_CALL(&c, FUSE_FSYNC, node, struct fuse_fsync_in, { .fh = fh }), 0);
	assert_int_equal(CLIENT_CALL(&c, FUSE_FLUSH, node, struct fuse_flush_in, { .fh = fh }), 0);
	assert_int_equal(CLIENT_CALL(&c, FUSE_RELEASE, node, struct fuse_release_in, { .fh = fh }), 0);
	assert_int_equal(read_at(&c, node, fh, 0, 100), -EBADF);
	assert_int_equal(client_lookup(&c, 1, "file", NULL), node);
	assert_int_equal(c.out.entry.attr.size, 8);
	assert_int_equal(fstatat(c.dirfd, "root/file", &st, 0), 0);
	assert_int_equal(st.st_size, 8);
	assert_int_equal(st.st_ino, c.out.entry.attr.ino);
	client_end(&c);
}

static void test_open_takes_only_what_may_be_opened(void **state)
{
	static const struct {
		const char *name;
		uint32_t flags;
		long want;
	} cases[] = {
		{ "file", O_RDONLY, sizeof(struct fuse_open_out) },
		{ "file", O_RDWR | O_APPEND | O_DIRECT | O_NOATIME, sizeof(struct fuse_open_out) },
		{ "file", O_ACCMODE, -EINVAL },
		{ "fifo", O_RDONLY, -EPERM },
		{ "socket", O_RDWR, -EPERM },
		{ "null", O_RDWR, -EPERM },
		{ "link", O_RDONLY, -ELOOP },
		{ "dir", O_RDONLY, -EISDIR },
	};
	struct client c;
	int s, root;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	root = openat(c.dirfd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_file(root, "file", "x", 0644);
	assert_int_equal(mkfifoat(root, "fifo", 0644), 0);
	assert_int_equal(mkdirat(root, "dir", 0755), 0);
	assert_int_equal(mknodat(root, "socket", S_IFSOCK | 0600, 0), 0);
	s = mknodat(root, "null", S_IFCHR | 0666, makedev(1, 3));
	assert_int_equal(symlinkat("file", root, "link"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t node = client_lookup(&c, 1, cases[i].name, NULL);
		long n;

		if (s < 0 && strcmp(cases[i].name, "null") == 0)
			continue; /* no device nodes here */
		assert_int_not_equal(node, 0);
		n = CLIENT_CALL(&c, FUSE_OPEN, node, struct fuse_open_in, { .flags = cases[i].flags });
		if (n != cases[i].want)
			print_error("%s, flags %o: want %ld, got %ld\n", cases[i].name, cases[i].flags,
				    cases[i].want, n);
		assert_int_equal(n, cases[i].want);
	}
	close(root);
	client_end(&c);
}

static void test_attributes_are_set_and_told(void **state)
{
	struct client c;
	uint64_t fh, node;
	struct fuse_setattr_in in = { .valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME | FATTR_ATIME_NOW,
				      .mode = 0600,
				      .size = 4096,
				      .mtime = 1000000000,
				      .mtimensec = 5 };

	(void)state;
	begin(&c, (struct share_config){ 0 });
	node = create(&c, 1, "file", &fh);
	assert_int_equal(CLIENT_CALL(&c, FUSE_SETATTR, node, struct fuse_setattr_in, { .valid = 0 }),
			 sizeof(struct fuse_attr_out));
	assert_true(client_call(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL) > 0);
	assert_int_equal(c.out.attr.attr.mode, S_IFREG | 0600);
	assert_int_equal(c.out.attr.attr.size, 4096);
	assert_int_equal(c.out.attr.attr.mtime, 1000000000);
	assert_int_equal(c.out.attr.attr.mtimensec, 5);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 7 };
	assert_true(client_call(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL) > 0);
	assert_int_equal(c.out.attr.attr.size, 7);
	in.fh = 12345;
	assert_int_equal(client_call(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), -EBADF);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = UINT64_MAX };
	assert_int_equal(client_call(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), -EINVAL);
	/* of a symlink: its own times, never its target's mode */
	assert_true(client_call(&c, FUSE_SYMLINK, 1, NULL, 0, "link", "/etc/passwd") > 0);
	node = c.out.entry.nodeid;
	in = (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0777 };
	assert_int_equal(client_call(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), -EOPNOTSUPP);
	in = (struct fuse_setattr_in){ .valid = FATTR_SIZE };
	assert_int_equal(client_call(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), -ELOOP);
	in = (struct fuse_setattr_in){ .valid = FATTR_MTIME, .mtime = 77 };
	assert_true(client_call(&c, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL) > 0);
	assert_int_equal(c.out.attr.attr.mtime, 77);
	assert_int_equal(c.out.attr.attr.mode & S_IFMT, S_IFLNK);
	assert_int_equal(client_call(&c, FUSE_STATFS, 1, NULL, 0, NULL, NULL),
			 sizeof(struct fuse_statfs_out));
	assert_true(c.out.statfs.st.bsize > 0);
	client_end(&c);
}

static void test_ranges_are_allocated_sought_and_copied(void **state)
{
	struct client c;
	uint64_t a, b, fa, fb;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	a = create(&c, 1, "a", &fa);
	b = create(&c, 1, "b", &fb);
	assert_true(write_at(&c, a, fa, 1 << 20, "data", 4, 0) > 0);
	assert_int_equal(
		CLIENT_CALL(&c, FUSE_LSEEK, a, struct fuse_lseek_in, { .fh = fa, .whence = SEEK_HOLE }), 8);
	assert_int_equal(c.out.lseek.offset, 0);
	assert_int_equal(
		CLIENT_CALL(&c, FUSE_LSEEK, a, struct fuse_lseek_in, { .fh = fa, .whence = SEEK_SET }),
		-EINVAL);
	assert_int_equal(
		CLIENT_CALL(&c, FUSE_FALLOCATE, b, struct fuse_fallocate_in, { .fh = fb, .length = 10000 }),
		0);
	assert_int_equal(CLIENT_CALL(&c, FUSE_FALLOCATE, b, struct fuse_fallocate_in,
				     { .fh = fb, .length = 1, .mode = FALLOC_FL_COLLAPSE_RANGE }),
			 -EOPNOTSUPP);
	assert_int_equal(CLIENT_CALL(&c, FUSE_COPY_FILE_RANGE, a, struct fuse_copy_file_range_in,
				     { .fh_in = fa,
				       .off_in = 1 << 20,
				       .nodeid_out = b,
				       .fh_out = fb,
				       .off_out = 2,
				       .len = 4 }),
			 sizeof(struct fuse_write_out));
	assert_int_equal(c.out.write.size, 4);
	assert_int_equal(read_at(&c, b, fb, 0, 6), 6);
	assert_memory_equal(c.out.bytes, "\0\0data", 6);
	assert_int_equal(CLIENT_CALL(&c, FUSE_COPY_FILE_RANGE, a, struct fuse_copy_file_range_in,
				     { .fh_in = fa, .fh_out = 99, .len = 4 }),
			 -EBADF);
	client_end(&c);
}

/* --- names ----------------------------------------------------------------------------------------------- */

static void test_names_are_made_moved_and_removed(void **state)
{
	struct client c;
	uint64_t dir, fh, file;
	struct stat st;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	assert_true(CLIENT_NAMED(&c, FUSE_MKDIR, 1, "d", struct fuse_mkdir_in, { .mode = 0750 }) > 0);
	dir = c.out.entry.nodeid;
	assert_int_equal(c.out.entry.attr.mode, S_IFDIR | 0750);
	file = create(&c, dir, "f", &fh);
	assert_int_equal(CLIENT_NAMED(&c, FUSE_CREATE, dir, "f", struct fuse_create_in,
				      { .flags = O_RDWR | O_EXCL, .mode = 0644 }),
			 -EEXIST);
	assert_int_equal(create(&c, dir, "f", &fh), file);
	assert_true(CLIENT_NAMED(&c, FUSE_LINK, 1, "hard", struct fuse_link_in, { .oldnodeid = file }) > 0);
	assert_int_equal(c.out.entry.nodeid, file);
	assert_int_equal(c.out.entry.attr.nlink, 2);
	assert_int_equal(client_call(&c, FUSE_RENAME, dir, &(struct fuse_rename_in){ .newdir = 1 },
				     sizeof(struct fuse_rename_in), "f", "g"),
			 0);
	assert_int_equal(fstatat(c.dirfd, "root/g", &st, 0), 0);
	assert_int_equal(client_call(&c, FUSE_RENAME2, 1,
				     &(struct fuse_rename2_in){ .newdir = dir, .flags = RENAME_NOREPLACE },
				     sizeof(struct fuse_rename2_in), "g", "f"),
			 0);
	assert_int_equal(client_call(&c, FUSE_RENAME2, dir,
				     &(struct fuse_rename2_in){ .newdir = dir, .flags = RENAME_WHITEOUT },
				     sizeof(struct fuse_rename2_in), "f", "h"),
			 -EINVAL);
	assert_true(client_call(&c, FUSE_SYMLINK, dir, NULL, 0, "l", "../../outside") > 0);
	assert_int_equal(client_call(&c, FUSE_READLINK, c.out.entry.nodeid, NULL, 0, NULL, NULL), 13);
	assert_memory_equal(c.out.bytes, "../../outside", 13);
	assert_int_equal(client_call(&c, FUSE_READLINK, file, NULL, 0, NULL, NULL), -EINVAL);
	assert_int_equal(client_call(&c, FUSE_RMDIR, 1, NULL, 0, "d", NULL), -ENOTEMPTY);
	assert_int_equal(client_call(&c, FUSE_UNLINK, dir, NULL, 0, "f", NULL), 0);
	assert_int_equal(client_call(&c, FUSE_UNLINK, dir, NULL, 0, "l", NULL), 0);
	assert_int_equal(client_call(&c, FUSE_RMDIR, 1, NULL, 0, "d", NULL), 0);
	assert_int_equal(fstatat(c.dirfd, "root/d", &st, 0), -1);
	client_end(&c);
}

static void test_device_nodes_are_never_made(void **state)
{
	static const struct {
		uint32_t mode;
		long want;
	} cases[] = { { S_IFCHR | 0666, -EPERM },
		      { S_IFBLK | 0666, -EPERM },
		      { S_IFDIR | 0755, -EPERM },
		      { 0644, -EPERM },
		      { S_IFREG | 0644, sizeof(struct fuse_entry_out) },
		      { S_IFIFO | 0644, sizeof(struct fuse_entry_out) },
		      { S_IFSOCK | 0644, sizeof(struct fuse_entry_out) } };
	struct client c;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%zu", i);
		assert_int_equal(CLIENT_NAMED(&c, FUSE_MKNOD, 1, name, struct fuse_mknod_in,
					      { .mode = cases[i].mode, .rdev = 0x103 }),
				 cases[i].want);
	}
	client_end(&c);
}

/* --- directories ----------------------------------------------------------------------------------------- */

/* list() - how many entries of @node, each seen once; @plus: with references */
static unsigned list(struct client *c, uint64_t node, bool plus, uint32_t size, unsigned *ret_refs)
{
	uint64_t fh, at = 0;
	unsigned count = 0;

	*ret_refs = 0;
	assert_true(CLIENT_CALL(c, FUSE_OPENDIR, node, struct fuse_open_in, { 0 }) > 0);
	fh = c->out.open.fh;
	for (;;) {
		long n = CLIENT_CALL(c, plus ? FUSE_READDIRPLUS : FUSE_READDIR, node, struct fuse_read_in,
				     { .fh = fh, .offset = at, .size = size });

		assert_true(n >= 0 && n <= (long)size);
		if (n == 0)
			break;
		for (long i = 0; i < n;) {
			size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
			struct fuse_dirent *d = (void *)(c->out.bytes + i + head);

			if (plus && ((struct fuse_entry_out *)(void *)(c->out.bytes + i))->nodeid)
				(*ret_refs)++;
			count++;
			at = d->off;
			i += (long)FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + d->namelen);
		}
	}
	assert_int_equal(CLIENT_CALL(c, FUSE_FSYNCDIR, node, struct fuse_fsync_in, { .fh = fh }), 0);
	assert_int_equal(CLIENT_CALL(c, FUSE_RELEASEDIR, node, struct fuse_release_in, { .fh = fh }), 0);
	return count;
}

static void test_directories_are_listed_whole_in_any_steps(void **state)
{
	static const uint32_t sizes[] = { 300, 4096, 1 << 20 };
	struct client c;
	unsigned nodes, opened, refs;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	for (int i = 0; i < 300; i++) {
		char name[40];

		snprintf(name, sizeof(name), "root/a-file-with-a-name-%d", i);
		put_file(c.dirfd, name, "", 0644);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(list(&c, 1, false, sizes[i], &refs), 302);
		assert_int_equal(list(&c, 1, true, sizes[i], &refs), 302);
		assert_int_equal(refs, 300);
	}
	share_counts(c.s, &nodes, &opened);
	assert_int_equal(nodes, 301);
	assert_int_equal(opened, 0);
	assert_true(CLIENT_CALL(&c, FUSE_OPENDIR, 1, struct fuse_open_in, { 0 }) > 0);
	assert_int_equal(
		CLIENT_CALL(&c, FUSE_READDIR, 1, struct fuse_read_in, { .fh = c.out.open.fh, .size = 24 }),
		-EINVAL);
	client_end(&c);
}

static void test_a_root_does_not_tell_what_is_above_it(void **state)
{
	struct client c;
	struct stat st;
	long n;
	unsigned seen = 0;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	assert_int_equal(fstatat(c.dirfd, "root", &st, 0), 0);
	assert_true(CLIENT_CALL(&c, FUSE_OPENDIR, 1, struct fuse_open_in, { 0 }) > 0);
	n = CLIENT_CALL(&c, FUSE_READDIR, 1, struct fuse_read_in, { .fh = c.out.open.fh, .size = 4096 });
	for (long i = 0; i < n; seen++) {
		struct fuse_dirent *d = (void *)(c.out.bytes + i);

		assert_int_equal(d->ino, st.st_ino);
		i += (long)FUSE_DIRENT_SIZE(d);
	}
	assert_int_equal(seen, 2);
	client_end(&c);
}

/* --- what must stay out of reach ------------------------------------------------------------------------- */

static void test_names_that_are_not_one_component_are_refused(void **state)
{
	static const char *const names[] = { ".", "..", "a/b", "/", "../outside", "/etc/passwd", "root/" };
	static const uint32_t ops[] = { FUSE_LOOKUP, FUSE_UNLINK, FUSE_RMDIR };
	char longer[300];
	struct client c;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (size_t k = 0; k < sizeof(ops) / sizeof(ops[0]); k++)
			assert_int_equal(client_call(&c, ops[k], 1, NULL, 0, names[i], NULL), -EINVAL);
		assert_int_equal(
			CLIENT_NAMED(&c, FUSE_MKDIR, 1, names[i], struct fuse_mkdir_in, { .mode = 0755 }),
			-EINVAL);
		assert_int_equal(CLIENT_NAMED(&c, FUSE_CREATE, 1, names[i], struct fuse_create_in,
					      { .flags = O_RDWR, .mode = 0644 }),
				 -EINVAL);
		assert_int_equal(client_call(&c, FUSE_RENAME, 1, &(struct fuse_rename_in){ .newdir = 1 }, 8,
					     "x", names[i]),
				 -EINVAL);
		assert_int_equal(client_call(&c, FUSE_SYMLINK, 1, NULL, 0, names[i], "t"), -EINVAL);
	}
	memset(longer, 'x', sizeof(longer));
	longer[256] = '\0';
	assert_int_equal(client_call(&c, FUSE_LOOKUP, 1, NULL, 0, longer, NULL), -ENAMETOOLONG);
	assert_int_equal(client_raw(&c, FUSE_LOOKUP, 1, "", 0, NULL, 0), -EINVAL);
	assert_int_equal(client_raw(&c, FUSE_LOOKUP, 1, "", 1, NULL, 0), -EINVAL);
	assert_int_equal(client_raw(&c, FUSE_LOOKUP, 1, "abc", 3, NULL, 0), -EINVAL);  /* no NUL */
	assert_int_equal(client_raw(&c, FUSE_GETATTR, 1, "abc", 3, NULL, 0), -EINVAL); /* too short */
	client_end(&c);
}

static void test_symlinks_of_the_host_are_shown_and_not_followed(void **state)
{
	struct client c;
	uint64_t node;
	long rc;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	put_file(c.dirfd, "outside/secret", "secret", 0600);
	assert_int_equal(symlinkat("../outside", c.dirfd, "root/out"), 0);
	assert_int_equal(symlinkat("../outside/secret", c.dirfd, "root/file"), 0);
	assert_int_equal(symlinkat("/proc/self/root", c.dirfd, "root/magic"), 0);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "out", "file", "magic" };

		node = client_lookup(&c, 1, names[i], NULL);
		assert_int_equal(c.out.entry.attr.mode & S_IFMT, S_IFLNK);
		client_lookup(&c, node, "secret", &rc);
		assert_int_equal(rc, -ENOTDIR);
		assert_int_equal(CLIENT_CALL(&c, FUSE_OPENDIR, node, struct fuse_open_in, { 0 }), -ENOTDIR);
		assert_int_equal(CLIENT_CALL(&c, FUSE_OPEN, node, struct fuse_open_in, { 0 }), -ELOOP);
		assert_int_equal(CLIENT_NAMED(&c, FUSE_CREATE, 1, names[i], struct fuse_create_in,
					      { .flags = O_RDWR | O_TRUNC, .mode = 0644 }),
				 -ELOOP);
	}
	client_end(&c);
}

static void test_numbers_that_were_not_given_out_are_stale(void **state)
{
	static const uint64_t ids[] = { 0, 2, 7, 1ULL << 32 | 1, UINT64_MAX, UINT32_MAX, 1ULL << 63, 65537 };
	struct client c;
	uint64_t node, fh, again;
	long rc;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		client_lookup(&c, ids[i], "x", &rc);
		assert_int_equal(rc, -ESTALE);
		assert_int_equal(CLIENT_CALL(&c, FUSE_OPEN, ids[i], struct fuse_open_in, { 0 }), -ESTALE);
		assert_int_equal(client_call(&c, FUSE_READLINK, ids[i], NULL, 0, NULL, NULL), -ESTALE);
		assert_int_equal(read_at(&c, 1, ids[i] + 5, 0, 10), -EBADF);
		assert_int_equal(CLIENT_CALL(&c, FUSE_FORGET, ids[i], struct fuse_forget_in, { 5 }), 0);
	}
	/* a number that was, and is given out again with another generation */
	node = create(&c, 1, "a", &fh);
	assert_int_equal(CLIENT_CALL(&c, FUSE_RELEASE, node, struct fuse_release_in, { .fh = fh }), 0);
	assert_int_equal(CLIENT_CALL(&c, FUSE_FORGET, node, struct fuse_forget_in, { 1 }), 0);
	assert_int_equal(CLIENT_CALL(&c, FUSE_OPEN, node, struct fuse_open_in, { 0 }), -ESTALE);
	again = client_lookup(&c, 1, "a", NULL);
	assert_int_not_equal(again, node);
	assert_int_equal((uint32_t)again, (uint32_t)node);
	assert_int_equal(read_at(&c, node, fh, 0, 1), -EBADF);
	/* more forgotten than there was */
	assert_int_equal(CLIENT_CALL(&c, FUSE_FORGET, again, struct fuse_forget_in, { UINT64_MAX }), 0);
	assert_int_equal(CLIENT_CALL(&c, FUSE_FORGET, 1, struct fuse_forget_in, { UINT64_MAX }), 0);
	assert_true(CLIENT_CALL(&c, FUSE_GETATTR, 1, struct fuse_getattr_in, { 0 }) > 0);
	client_end(&c);
}

struct swapper {
	int root;
	int stop;
};

static void *swap(void *arg)
{
	struct swapper *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		renameat2(w->root, "dir", w->root, "link", RENAME_EXCHANGE);
		sched_yield();
	}
	return NULL;
}

static void test_a_directory_swapped_for_a_symlink_leads_nowhere_else(void **state)
{
	struct client c;
	struct swapper w = { 0 };
	pthread_t t;
	unsigned dirs = 0, links = 0;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	put_file(c.dirfd, "outside/secret", "secret", 0644);
	assert_int_equal(mkdirat(c.dirfd, "root/dir", 0755), 0);
	assert_int_equal(symlinkat("../outside", c.dirfd, "root/link"), 0);
	w.root = openat(c.dirfd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(pthread_create(&t, NULL, swap, &w), 0);
	for (int i = 0; i < 200000 && (i < 5000 || !dirs || !links); i++) {
		uint64_t node = client_lookup(&c, 1, "dir", NULL);
		long rc;

		if (!node)
			continue;
		if (S_ISDIR(c.out.entry.attr.mode))
			dirs++;
		else
			links++;
		assert_int_equal(client_lookup(&c, node, "secret", &rc), 0);
		assert_true(rc == -ENOENT || rc == -ENOTDIR);
		CLIENT_CALL(&c, FUSE_FORGET, node, struct fuse_forget_in, { 1 });
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_true(dirs > 0 && links > 0);
	close(w.root);
	client_end(&c);
}

static void test_a_directory_moved_out_of_the_share_does_not_take_the_guest_along(void **state)
{
	struct client c;
	uint64_t node;
	long rc;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	put_file(c.dirfd, "outside/secret", "secret", 0644);
	assert_int_equal(mkdirat(c.dirfd, "root/dir", 0755), 0);
	node = client_lookup(&c, 1, "dir", NULL);
	assert_int_equal(renameat(c.dirfd, "root/dir", c.dirfd, "outside/dir"), 0);
	client_lookup(&c, node, "..", &rc);
	assert_int_equal(rc, -EINVAL);
	client_lookup(&c, node, "secret", &rc);
	assert_int_equal(rc, -ENOENT);
	client_end(&c);
}

static void test_a_readonly_share_refuses_every_change(void **state)
{
	static const uint32_t named[] = { FUSE_UNLINK, FUSE_RMDIR, FUSE_REMOVEXATTR };
	struct client c;
	uint64_t node, fh;

	(void)state;
	client_begin(&c, (struct share_config){ .readonly = true });
	assert_true(client_init(&c) > 0);
	put_file(c.dirfd, "root/file", "text", 0644);
	node = client_lookup(&c, 1, "file", NULL);
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		assert_int_equal(client_call(&c, named[i], 1, NULL, 0, "file", NULL), -EROFS);
	assert_int_equal(CLIENT_NAMED(&c, FUSE_MKDIR, 1, "d", struct fuse_mkdir_in, { .mode = 0755 }),
			 -EROFS);
	assert_int_equal(CLIENT_NAMED(&c, FUSE_MKNOD, 1, "n", struct fuse_mknod_in, { .mode = S_IFREG }),
			 -EROFS);
	assert_int_equal(CLIENT_NAMED(&c, FUSE_LINK, 1, "h", struct fuse_link_in, { node }), -EROFS);
	assert_int_equal(CLIENT_NAMED(&c, FUSE_CREATE, 1, "c", struct fuse_create_in, { .mode = 0644 }),
			 -EROFS);
	assert_int_equal(client_call(&c, FUSE_SYMLINK, 1, NULL, 0, "l", "t"), -EROFS);
	assert_int_equal(
		client_call(&c, FUSE_RENAME, 1, &(struct fuse_rename_in){ .newdir = 1 }, 8, "file", "g"),
		-EROFS);
	assert_int_equal(CLIENT_CALL(&c, FUSE_SETATTR, node, struct fuse_setattr_in, { .valid = FATTR_MODE }),
			 -EROFS);
	assert_int_equal(CLIENT_CALL(&c, FUSE_OPEN, node, struct fuse_open_in, { .flags = O_WRONLY }),
			 -EROFS);
	assert_int_equal(CLIENT_CALL(&c, FUSE_OPEN, node, struct fuse_open_in, { .flags = O_TRUNC }), -EROFS);
	assert_true(CLIENT_CALL(&c, FUSE_OPEN, node, struct fuse_open_in, { .flags = O_RDONLY }) > 0);
	fh = c.out.open.fh;
	assert_int_equal(write_at(&c, node, fh, 0, "x", 1, 0), -EROFS);
	assert_int_equal(read_at(&c, node, fh, 0, 10), 4);
	client_end(&c);
}

/* --- owners ---------------------------------------------------------------------------------------------- */

static void test_files_belong_to_the_guests_user_and_lose_foreign_setgid(void **state)
{
	struct client c;
	struct stat st;
	uint64_t fh, node;

	(void)state;
	if (geteuid() != 0)
		skip();
	begin(&c, (struct share_config){ 0 });
	c.uid = 1234;
	c.gid = 2345;
	create(&c, 1, "file", &fh); /* in root's directory: the guest has checked */
	assert_int_equal(fstatat(c.dirfd, "root/file", &st, 0), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 2345);
	assert_int_equal(geteuid(), 0);
	/* a group directory: the group is inherited, a set-group-id program for it is not made */
	assert_int_equal(mkdirat(c.dirfd, "root/shared", 0777), 0);
	assert_int_equal(fchmodat(c.dirfd, "root/shared", 02777, 0), 0);
	node = client_lookup(&c, 1, "shared", NULL);
	assert_true(CLIENT_NAMED(&c, FUSE_CREATE, node, "prog", struct fuse_create_in,
				 { .flags = O_RDWR, .mode = S_IFREG | 02755 }) > 0);
	assert_int_equal(fstatat(c.dirfd, "root/shared/prog", &st, 0), 0);
	assert_int_equal(st.st_gid, 0);
	assert_false(st.st_mode & S_ISGID);
	assert_true(client_call(&c, FUSE_SYMLINK, 1, NULL, 0, "l", "t") > 0);
	assert_int_equal(c.out.entry.attr.uid, 1234);
	client_end(&c);
}

static void test_a_squashed_share_shows_one_owner_and_keeps_it(void **state)
{
	struct client c;
	struct stat st;
	uint64_t fh, node;

	(void)state;
	begin(&c, (struct share_config){ .squash = true, .uid = 7, .gid = 8 });
	c.uid = c.gid = 1234;
	node = create(&c, 1, "file", &fh);
	assert_int_equal(c.out.create.entry.attr.uid, 7);
	assert_int_equal(c.out.create.entry.attr.gid, 8);
	assert_int_equal(fstatat(c.dirfd, "root/file", &st, 0), 0);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(
		CLIENT_CALL(&c, FUSE_SETATTR, node, struct fuse_setattr_in, { .valid = FATTR_UID, .uid = 0 }),
		-EPERM);
	client_end(&c);
}

static void test_a_write_takes_setuid_away_when_the_guest_says_so(void **state)
{
	struct client c;
	struct stat st;
	uint64_t node, fh;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	put_file(c.dirfd, "root/prog", "x", 06755);
	node = client_lookup(&c, 1, "prog", NULL);
	assert_true(CLIENT_CALL(&c, FUSE_OPEN, node, struct fuse_open_in, { .flags = O_RDWR }) > 0);
	fh = c.out.open.fh;
	assert_true(write_at(&c, node, fh, 0, "y", 1, FUSE_WRITE_KILL_SUIDGID) > 0);
	assert_int_equal(fstatat(c.dirfd, "root/prog", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	client_end(&c);
}

/* --- extended attributes --------------------------------------------------------------------------------- */

static long set_xattr(struct client *c, uint64_t node, const char *name, const char *value)
{
	uint8_t buf[512];
	struct fuse_setxattr_in in = { .size = (uint32_t)strlen(value) };
	size_t n = sizeof(in);

	memcpy(buf, &in, n);
	memcpy(buf + n, name, strlen(name) + 1);
	n += strlen(name) + 1;
	memcpy(buf + n, value, strlen(value));
	return client_raw(c, FUSE_SETXATTR, node, buf, n + strlen(value), NULL, 0);
}

static void test_only_the_users_extended_attributes_pass(void **state)
{
	struct client c;
	uint64_t node, fh;
	char got[16];
	long n;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	node = create(&c, 1, "file", &fh);
	n = set_xattr(&c, node, "user.a", "value");
	if (n == -EOPNOTSUPP) {
		client_end(&c);
		print_message("no extended attributes in /tmp\n");
		skip();
	}
	assert_int_equal(n, 0);
	assert_int_equal(set_xattr(&c, node, "security.capability", "x"), -EPERM);
	assert_int_equal(set_xattr(&c, node, "trusted.overlay.opaque", "y"), -EPERM);
	assert_int_equal(set_xattr(&c, 1, "user.dir", "d"), 0);
	assert_int_equal(
		CLIENT_NAMED(&c, FUSE_GETXATTR, node, "user.a", struct fuse_getxattr_in, { .size = 0 }), 8);
	assert_int_equal(c.out.xattr.size, 5);
	assert_int_equal(
		CLIENT_NAMED(&c, FUSE_GETXATTR, node, "user.a", struct fuse_getxattr_in, { .size = 4 }),
		-ERANGE);
	assert_int_equal(
		CLIENT_NAMED(&c, FUSE_GETXATTR, node, "user.a", struct fuse_getxattr_in, { .size = 64 }), 5);
	assert_memory_equal(c.out.bytes, "value", 5);
	assert_int_equal(CLIENT_NAMED(&c, FUSE_GETXATTR, node, "security.capability", struct fuse_getxattr_in,
				      { .size = 64 }),
			 -ENODATA);
	snprintf(got, sizeof(got), "%s", "hidden");
	n = setxattr(c.dir, "trusted.x", got, 6, 0);
	(void)n; /* if it could be set, it must not be seen */
	assert_int_equal(CLIENT_CALL(&c, FUSE_LISTXATTR, node, struct fuse_getxattr_in, { .size = 64 }), 7);
	assert_memory_equal(c.out.bytes, "user.a", 7);
	assert_int_equal(client_call(&c, FUSE_REMOVEXATTR, node, NULL, 0, "user.a", NULL), 0);
	assert_int_equal(
		CLIENT_NAMED(&c, FUSE_GETXATTR, node, "user.a", struct fuse_getxattr_in, { .size = 64 }),
		-ENODATA);
	client_end(&c);
}

/* --- limits ---------------------------------------------------------------------------------------------- */

static void test_nodes_and_open_files_have_a_limit_that_forgetting_lifts(void **state)
{
	struct client c;
	uint64_t first = 0;
	unsigned nodes, opened, refs;
	long rc = 0;

	(void)state;
	begin(&c, (struct share_config){ .max_nodes = 20 });
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "root/%d", i);
		put_file(c.dirfd, name, "", 0644);
	}
	assert_int_equal(list(&c, 1, true, 4096, &refs), 42); /* all are listed, some with references */
	assert_int_equal(refs, 9);
	for (int i = 0; i < 40 && rc >= 0; i++) {
		char name[8];
		uint64_t node;

		snprintf(name, sizeof(name), "%d", i);
		node = client_lookup(&c, 1, name, &rc);
		first = first ? first : node;
	}
	assert_int_equal(rc, -ENFILE);
	share_counts(c.s, &nodes, &opened);
	assert_int_equal(nodes, 20);
	assert_int_equal(CLIENT_CALL(&c, FUSE_FORGET, first, struct fuse_forget_in, { 2 }), 0);
	client_lookup(&c, 1, "39", &rc);
	share_counts(c.s, &nodes, &opened);
	assert_true(nodes <= 20);
	for (rc = 0; rc >= 0;)
		rc = CLIENT_CALL(&c, FUSE_OPENDIR, 1, struct fuse_open_in, { 0 });
	assert_int_equal(rc, -ENFILE);
	share_counts(c.s, &nodes, &opened);
	assert_true(opened > 0 && opened <= SHARE_OPEN_MAX);
	assert_int_equal(client_call(&c, FUSE_DESTROY, 0, NULL, 0, NULL, NULL), 0);
	share_counts(c.s, &nodes, &opened);
	assert_int_equal(nodes, 1);
	assert_int_equal(opened, 0);
	client_end(&c);
}

static void test_a_reply_never_exceeds_the_guests_room(void **state)
{
	struct client c;
	uint64_t node, fh;

	(void)state;
	begin(&c, (struct share_config){ 0 });
	node = create(&c, 1, "f", &fh);
	assert_true(write_at(&c, node, fh, 0, "0123456789", 10, 0) > 0);
	c.room = 8;
	assert_int_equal(CLIENT_CALL(&c, FUSE_GETATTR, node, struct fuse_getattr_in, { 0 }), -EINVAL);
	assert_int_equal(read_at(&c, node, fh, 0, 10), -EINVAL);
	assert_int_equal(read_at(&c, node, fh, 0, 8), 8);
	assert_int_equal(read_at(&c, node, fh, UINT64_MAX, 8), -EINVAL);
	assert_int_equal(write_at(&c, node, fh, UINT64_MAX, "x", 1, 0), -EINVAL);
	client_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_served_before_init_and_old_protocols_are_refused),
		cmocka_unit_test(test_a_file_is_made_written_read_and_found_again),
		cmocka_unit_test(test_open_takes_only_what_may_be_opened),
		cmocka_unit_test(test_attributes_are_set_and_told),
		cmocka_unit_test(test_ranges_are_allocated_sought_and_copied),
		cmocka_unit_test(test_names_are_made_moved_and_removed),
		cmocka_unit_test(test_device_nodes_are_never_made),
		cmocka_unit_test(test_directories_are_listed_whole_in_any_steps),
		cmocka_unit_test(test_a_root_does_not_tell_what_is_above_it),
		cmocka_unit_test(test_names_that_are_not_one_component_are_refused),
		cmocka_unit_test(test_symlinks_of_the_host_are_shown_and_not_followed),
		cmocka_unit_test(test_numbers_that_were_not_given_out_are_stale),
		cmocka_unit_test(test_a_directory_swapped_for_a_symlink_leads_nowhere_else),
		cmocka_unit_test(test_a_directory_moved_out_of_the_share_does_not_take_the_guest_along),
		cmocka_unit_test(test_a_readonly_share_refuses_every_change),
		cmocka_unit_test(test_files_belong_to_the_guests_user_and_lose_foreign_setgid),
		cmocka_unit_test(test_a_squashed_share_shows_one_owner_and_keeps_it),
		cmocka_unit_test(test_a_write_takes_setuid_away_when_the_guest_says_so),
		cmocka_unit_test(test_only_the_users_extended_attributes_pass),
		cmocka_unit_test(test_nodes_and_open_files_have_a_limit_that_forgetting_lifts),
		cmocka_unit_test(test_a_reply_never_exceeds_the_guests_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
