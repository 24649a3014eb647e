/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/du.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

enum { DU_DEPTH_MAX = 512 }; /* deeper trees are cut off: the figure is for reading */

/* sum_dir() - takes @fd, a directory */
static uint64_t sum_dir(int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	uint64_t sum = 0;
	struct dirent *d;

	if (!dir) {
		close(fd);
		return 0;
	}
	while ((d = readdir(dir))) {
		struct stat st;
		int sub;

		if (str_eq(d->d_name, ".") || str_eq(d->d_name, "..") ||
		    file_fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
			sum += (uint64_t)st.st_size;
		if (!S_ISDIR(st.st_mode) || depth >= DU_DEPTH_MAX)
			continue;
		sub = file_open(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (sub >= 0)
			sum += sum_dir(sub, depth + 1);
	}
	closedir(dir);
	return sum;
}

uint64_t du_tree(int fd)
{
	int own = file_open(fd, ".", O_RDONLY | O_DIRECTORY, 0);

	return own < 0 ? 0 : sum_dir(own, 0);
}

uint64_t du_path(const char *path)
{
	int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	return fd < 0 ? 0 : sum_dir(fd, 0);
}
