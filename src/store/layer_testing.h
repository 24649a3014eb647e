/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_testing.h - for tests of layers: tars made by hand, temporary directories, images mounted, trees
 * compared
 */
#ifndef STORE_LAYER_TESTING_H
#define STORE_LAYER_TESTING_H

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "store/layer.h"
#include "sys/file.h"
#include "sys/mount.h"

/* --- tars ------------------------------------------------------------------------------------------- */
struct tar_spec {
	char type;
	const char *name, *link;
	unsigned mode, uid, gid;
	long mtime;
	const void *data;
	size_t len;
	unsigned major, minor;
};

static inline void put_tar(struct buf *b, struct tar_spec s)
{
	char h[512] = "";
	unsigned sum = 0;

	memcpy(h, s.name, strnlen(s.name, 100));
	snprintf(h + 100, 8, "%07o", s.mode);
	snprintf(h + 108, 8, "%07o", s.uid);
	snprintf(h + 116, 8, "%07o", s.gid);
	snprintf(h + 124, 12, "%011zo", s.len);
	snprintf(h + 136, 12, "%011lo", (unsigned long)s.mtime);
	h[156] = s.type;
	if (s.link)
		memcpy(h + 157, s.link, strnlen(s.link, 100));
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	snprintf(h + 329, 8, "%07o", s.major);
	snprintf(h + 337, 8, "%07o", s.minor);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	buf_put(b, h, 512);
	buf_put(b, s.data, s.len);
	while (b->len % 512)
		buf_putc(b, '\0');
}

static inline void put_pax(struct buf *b, const char *key, const void *value, size_t len)
{
	auto_fini(buf) struct buf r = { 0 };
	size_t n = strlen(key) + len + 3, digits = 1;

	for (size_t i = 10; n + digits >= i; i *= 10)
		digits++;
	buf_printf(&r, "%zu %s=", n + digits, key);
	buf_put(&r, value, len);
	buf_putc(&r, '\n');
	put_tar(b, (struct tar_spec){ .type = 'x', .name = "pax", .data = r.data, .len = r.len });
}

static inline void put_dir(struct buf *b, const char *name, unsigned mode)
{
	put_tar(b, (struct tar_spec){ .type = '5', .name = name, .mode = mode, .mtime = 1000000 });
}

static inline void put_file(struct buf *b, const char *name, const char *text)
{
	put_tar(b, (struct tar_spec){ .type = '0',
				      .name = name,
				      .mode = 0644,
				      .mtime = 1234567,
				      .data = text,
				      .len = strlen(text) });
}

static inline void put_link(struct buf *b, char type, const char *name, const char *target)
{
	put_tar(b, (struct tar_spec){ .type = type, .name = name, .link = target, .mode = 0777, .mtime = 1 });
}

static inline void put_end(struct buf *b)
{
	static const char zeros[1024];

	buf_put(b, zeros, sizeof(zeros));
}

static inline int fd_of(const void *bytes, size_t len)
{
	int fd = file_memfd("layer", 0);

	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, bytes, len), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* --- what both sinks make of the same bytes --------------------------------------------------------- */
static inline int to_erofs(const struct buf *b, int dirfd, const char *expect, struct layer_result *ret,
			   struct err *e)
{
	auto_close int fd = fd_of(b->data, b->len);

	return layer_write_erofs(fd, dirfd, expect, ret, e);
}

static inline int to_tree(const struct buf *b, int dirfd, unsigned flags, struct layer_result *ret,
			  struct err *e)
{
	auto_close int fd = fd_of(b->data, b->len);

	return layer_unpack(fd, dirfd, flags, ret, e);
}

/* --- directories ------------------------------------------------------------------------------------ */
struct temp_dir {
	char path[64];
	int fd;
};

/* All of them are below one, which goes when the program does: a test that fails or skips runs no guards. */
static char temp_top[] = "/tmp/hull-layer-test-XXXXXX";

static inline void temp_top_remove(void)
{
	file_remove_tree(AT_FDCWD, temp_top, NULL);
}

static inline struct temp_dir temp_dir(void)
{
	static unsigned serial;
	struct temp_dir t;

	if (serial++ == 0) {
		assert_non_null(mkdtemp(temp_top));
		atexit(temp_top_remove);
	}
	snprintf(t.path, sizeof(t.path), "%s/%u", temp_top, serial);
	assert_int_equal(mkdir(t.path, 0700), 0);
	t.fd = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t.fd >= 0);
	return t;
}

static inline void temp_dir_fini(struct temp_dir *t)
{
	fd_close(&t->fd);
	file_remove_tree(AT_FDCWD, t->path, NULL);
}

static inline int count_names(int dirfd)
{
	DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static inline int count_fds(void)
{
	auto_close int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return count_names(fd);
}

/* --- images ----------------------------------------------------------------------------------------- */
/* mount_image() - detached. Return: mount fd, or -errno where this kernel or user cannot */
static inline int mount_image(const char *path)
{
	auto_close int fs = mnt_fsopen("erofs");
	int r = fs < 0 ? fs : mnt_config_string(fs, "source", path);

	if (r >= 0)
		r = mnt_config_create(fs);
	return r < 0 ? r : mnt_fsmount(fs, 0);
}

static inline bool can_mount_images(void)
{
	auto_close int fs = geteuid() == 0 ? mnt_fsopen("erofs") : -1;

	if (fs < 0)
		printf("skipped: not root, or no EROFS in this kernel\n");
	return fs >= 0;
}

static inline bool fsck_accepts(const char *path)
{
	auto_free char *cmd = str_printf("fsck.erofs '%s' >/dev/null 2>&1", path);

	if (system("command -v fsck.erofs >/dev/null") != 0) {
		printf("no fsck.erofs here: not checked\n");
		return true;
	}
	return system(cmd) == 0;
}

/* --- trees ------------------------------------------------------------------------------------------ */
static inline void assert_same_xattrs(int a, int b, const char *what)
{
	char pa[64], pb[64], names[2][65536], va[65536], vb[65536];
	ssize_t n, m, count[2] = { 0 };

	snprintf(pa, sizeof(pa), "/proc/self/fd/%d", a);
	snprintf(pb, sizeof(pb), "/proc/self/fd/%d", b);
	n = listxattr(pa, names[0], sizeof(names[0]));
	m = listxattr(pb, names[1], sizeof(names[1]));
	for (char *p = names[0]; n > 0 && p < names[0] + n; p += strlen(p) + 1, count[0]++) {
		ssize_t la = getxattr(pa, p, va, sizeof(va)), lb = getxattr(pb, p, vb, sizeof(vb));

		if (la != lb || memcmp(va, vb, (size_t)la) != 0)
			fail_msg("'%s': extended attribute %s differs (%zd and %zd bytes)", what, p, la, lb);
	}
	for (char *p = names[1]; m > 0 && p < names[1] + m; p += strlen(p) + 1, count[1]++)
		;
	if (count[0] != count[1])
		fail_msg("'%s': %zd and %zd extended attributes", what, count[0], count[1]);
}

static inline void assert_same_content(int a, int b, const char *what)
{
	char x[65536], y[65536];
	ssize_t n, m;

	do {
		n = file_read(a, x, sizeof(x));
		m = file_read(b, y, sizeof(y));
		if (n < 0 || n != m || memcmp(x, y, (size_t)n) != 0)
			fail_msg("'%s': contents differ", what);
	} while (n > 0);
}

static inline void assert_same_tree(int a, int b, const char *what);

static inline void assert_same_inode(int a, int b, const char *name)
{
	auto_close int fa = openat(a, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	auto_close int fb = openat(b, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat sa, sb;
	char la[4096] = "", lb[4096] = "";

	if (fa < 0 || fb < 0)
		fail_msg("'%s' is in only one of the trees", name);
	assert_int_equal(fstat(fa, &sa), 0);
	assert_int_equal(fstat(fb, &sb), 0);
	if (sa.st_mode != sb.st_mode || sa.st_uid != sb.st_uid || sa.st_gid != sb.st_gid ||
	    sa.st_rdev != sb.st_rdev || (!S_ISDIR(sa.st_mode) && sa.st_nlink != sb.st_nlink))
		fail_msg("'%s': mode %o and %o, owner %u:%u and %u:%u, device %lx and %lx, links %lu and %lu",
			 name, sa.st_mode, sb.st_mode, sa.st_uid, sa.st_gid, sb.st_uid, sb.st_gid, sa.st_rdev,
			 sb.st_rdev, sa.st_nlink, sb.st_nlink);
	if (sa.st_mtim.tv_sec != sb.st_mtim.tv_sec || sa.st_mtim.tv_nsec != sb.st_mtim.tv_nsec)
		fail_msg("'%s': time %ld.%09ld and %ld.%09ld", name, sa.st_mtim.tv_sec, sa.st_mtim.tv_nsec,
			 sb.st_mtim.tv_sec, sb.st_mtim.tv_nsec);
	if (S_ISLNK(sa.st_mode)) {
		assert_true(readlinkat(fa, "", la, sizeof(la) - 1) > 0 &&
			    readlinkat(fb, "", lb, sizeof(lb) - 1) > 0);
		assert_string_equal(la, lb);
		return;
	}
	assert_same_xattrs(fa, fb, name);
	if (S_ISREG(sa.st_mode)) {
		auto_close int ra = openat(a, name, O_RDONLY | O_CLOEXEC),
			       rb = openat(b, name, O_RDONLY | O_CLOEXEC);

		assert_same_content(ra, rb, name);
	}
	if (S_ISDIR(sa.st_mode) && !str_eq(name, "."))
		assert_same_tree(fa, fb, name);
}

static inline void assert_same_tree(int a, int b, const char *what)
{
	DIR *d = fdopendir(openat(a, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;

	assert_non_null(d);
	while ((de = readdir(d)))
		if (!str_eq(de->d_name, ".."))
			assert_same_inode(a, b, de->d_name);
	closedir(d);
	if (count_names(a) != count_names(b))
		fail_msg("'%s': %d and %d names", what, count_names(a), count_names(b));
}

#endif
