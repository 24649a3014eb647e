/* SPDX-License-Identifier: Apache-2.0 */
/* user_fuzz.c - any bytes as an image's /etc/passwd and /etc/group */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int root = -1;

static void put(const char *path, const uint8_t *data, size_t size)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

static int root_make(void)
{
	static char dir[] = "/dev/shm/hull-user-fuzz-XXXXXX";
	int fd;

	if (!mkdtemp(dir))
		abort();
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || mkdirat(fd, "etc", 0700) < 0)
		abort();
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const who[] = { "", "root", "a:b", "7", "1:c" };
	char *extra[] = { "g" };

	if (root < 0)
		root = root_make();
	put("etc/passwd", data, size / 2);
	put("etc/group", data + size / 2, size - size / 2);
	for (size_t i = 0; i < sizeof(who) / sizeof(who[0]); i++) {
		struct user u = { 0 };

		if (user_find(root, who[i], extra, i & 1, &u, NULL) == 0 && !u.home)
			abort();
		user_fini(&u);
	}
	return 0;
}
