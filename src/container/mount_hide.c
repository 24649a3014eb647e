/* SPDX-License-Identifier: Apache-2.0 */
#include "container/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/mask.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"

enum { MOUNTINFO_BYTES_MAX = 64 << 20 };

/* unescape() - in place: mountinfo writes blanks and backslashes as \040. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* whole_kernel_fs() - the mount point of a mountinfo line that shows all of a procfs or sysfs, else NULL. */
static char *whole_kernel_fs(char *line)
{
	char *type = strstr(line, " - "), *field[5];

	for (int i = 0; i < 5; i++) {
		field[i] = strsep(&line, " ");
		if (!field[i])
			return NULL;
	}
	if (!type || !str_eq(field[3], "/") ||
	    !(str_starts(type, " - proc ") || str_starts(type, " - sysfs ")))
		return NULL;
	unescape(field[4]);
	return field[4];
}

static int hide(const char *path, struct err *e)
{
	auto_close int empty = -1;
	int r = mnt_propagation(path, MS_SLAVE | MS_REC); /* the host's stays */

	if (r == -ENOENT)
		return 0; /* went with one above it */
	if (r == 0)
		r = mnt_detach_at(path);
	if (r == -EINVAL || r == -EPERM) { /* locked in a user namespace */
		empty = ct_mask_empty_dir(e);
		r = empty < 0 ? empty : mnt_attach_at(empty, AT_FDCWD, path, 0);
	}
	return r < 0 ? err_sys(e, -r, "hide the host's '%s'", path) : 0;
}

int ct_mount_hide_host(int rootfd, struct err *e)
{
	auto_fini(buf) struct buf info = { 0 };
	char root[CT_PATH_MAX], link[FD_PATH_SIZE];
	char *line, *rest;
	long n = SYS4(SYS_readlinkat, AT_FDCWD, fd_path(rootfd, link), root, sizeof(root) - 1);
	int r = n < 0 ? (int)n : file_slurp_at(AT_FDCWD, "/proc/self/mountinfo", &info, MOUNTINFO_BYTES_MAX);

	if (r < 0)
		return err_sys(e, -r, "/proc/self/mountinfo");
	root[n] = '\0';
	rest = info.data;
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		const char *path = whole_kernel_fs(line);
		const char *below = path ? str_after(path, root) : NULL;

		if (path && !(below && (*below == '/' || *below == '\0')))
			r = hide(path, e);
	}
	return r;
}
