/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer_fuzz.c - hostile layers into both sinks, in a temporary directory; a canary beside it must not change
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "store/layer.h"
#include "sys/call.h"
#include "sys/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char top[] = "/dev/shm/hull-layer-fuzz-XXXXXX";
static int topfd = -1;

static void remove_top(void)
{
	file_remove_tree(AT_FDCWD, top, NULL);
}

/* No disk is waited for. */
static long quick(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr == SYS_fsync || nr == SYS_syncfs || nr == SYS_sync_file_range)
		return 0;
	return sys_call_real(nr, a, b, c, d, e, f);
}

static void set_up(void)
{
	sys_call = quick;
	BUG_ON(!mkdtemp(top));
	topfd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	BUG_ON(topfd < 0);
	BUG_ON(file_replace(topfd, "canary", "alive", 5, 0600, false, NULL) < 0);
	atexit(remove_top);
}

/* put_sums() - see fmt/tar_fuzz.c */
static void put_sums(uint8_t *p, size_t len)
{
	for (; len >= 512; p += 512, len -= 512) {
		unsigned sum = 0;
		char text[8];

		memset(p + 148, ' ', 8);
		for (int i = 0; i < 512; i++)
			sum += p[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(p + 148, text, 7);
	}
}

static void run(int fd, const char *name, unsigned flags, bool image)
{
	struct layer_result r;
	struct err e = { 0 };
	struct stat st;
	int dir, rc;

	BUG_ON(mkdirat(topfd, name, 0700) < 0 || lseek(fd, 0, SEEK_SET) < 0);
	dir = openat(topfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	BUG_ON(dir < 0);
	rc = image ? layer_write_erofs(fd, dir, NULL, &r, &e) : layer_unpack(fd, dir, flags, &r, &e);
	BUG_ON(rc < 0 && !e.text[0]);
	BUG_ON(strpbrk(e.text, "\n\r"));
	close(dir);
	BUG_ON(file_remove_tree(topfd, name, NULL) < 0);
	BUG_ON(fstatat(topfd, "canary", &st, 0) < 0 || st.st_size != 5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free uint8_t *copy = NULL;
	auto_close int fd = -1;

	if (topfd < 0)
		set_up();
	if (size < 1)
		return 0;
	copy = malloc(size);
	fd = file_memfd("fuzz", 0);
	if (!copy || fd < 0)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		put_sums(copy, size - 1);
	BUG_ON(file_write(fd, copy, size - 1) < 0);
	run(fd, "image", 0, true);
	run(fd, "tree", data[0] & 2 ? LAYER_ROOTLESS : data[0] & 4 ? LAYER_USERXATTR : 0, false);
	return 0;
}
