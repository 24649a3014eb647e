/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/guard.h"
#include "store/store_internal.h"
#include "sys/file.h"

enum { VOLUME_NAME_MAX = 255, VOLUME_PATH_SIZE = VOLUME_NAME_MAX + 32 };

/* volume_check() - [a-zA-Z0-9][a-zA-Z0-9_.-]*, as Docker has it: never a path. */
static int volume_check(const char *name, struct err *e)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		const char c = name[i];
		const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!alnum && (i == 0 || (c != '_' && c != '.' && c != '-')))
			return err_set(e, EINVAL,
				       "volume name '%.80s': only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed",
				       name);
	}
	if (len == 0 || len > VOLUME_NAME_MAX)
		return err_set(e, EINVAL, "volume name '%.80s': 1 to %d characters are allowed", name,
			       VOLUME_NAME_MAX);
	return 0;
}

/*
 * A volume is there once <name>/_data is: it is made whole under tmp and renamed into place.
 */
static int volume_create(struct store *st, const char *path, struct err *e)
{
	__attribute__((cleanup(store__tmp_fini))) struct store__tmp tmp = STORE_TMP_NONE;
	int r = store__tmp_new(&tmp, st, e);

	if (r < 0)
		return r;
	r = file_mkdir(tmp.dirfd, "volume", 0701);
	if (r >= 0)
		r = file_mkdir(tmp.dirfd, "volume/_data", 0755);
	if (r >= 0)
		r = file_rename(tmp.dirfd, "volume", st->rootfd, path, RENAME_NOREPLACE);
	if (r < 0)
		return r == -EEXIST ? r : err_sys(e, -r, "volume %s/%s", st->root, path);
	r = store__sync_dir(st, "volumes", e);
	return r < 0 ? r : 0;
}

int store_volume_make(struct store *st, const char *name, char **ret_path, bool *ret_new, struct err *e)
{
	char path[VOLUME_PATH_SIZE];
	struct stat data;
	bool fresh = false;
	int r = volume_check(name, e);

	if (r < 0)
		return r;
	str_format(path, sizeof(path), "volumes/%s/_data", name);
	if (file_fstatat(st->rootfd, path, &data, AT_SYMLINK_NOFOLLOW) < 0) {
		str_format(path, sizeof(path), "volumes/%s", name);
		r = volume_create(st, path, e);
		if (r < 0 && r != -EEXIST) /* somebody else made it just now */
			return r;
		fresh = r == 0;
		str_format(path, sizeof(path), "volumes/%s/_data", name);
	}
	if (ret_path) {
		*ret_path = str_printf("%s/%s", st->root, path);
		if (!*ret_path)
			return err_sys(e, ENOMEM, "volume '%s'", name);
	}
	if (ret_new)
		*ret_new = fresh;
	return 0;
}

int store_volume_remove(struct store *st, const char *name, struct err *e)
{
	__attribute__((cleanup(store__tmp_fini))) struct store__tmp tmp = STORE_TMP_NONE;
	char path[VOLUME_PATH_SIZE];
	int r = volume_check(name, e);

	if (r >= 0)
		r = store__tmp_new(&tmp, st, e);
	if (r < 0)
		return r;
	str_format(path, sizeof(path), "volumes/%s", name);
	r = file_rename(st->rootfd, path, tmp.dirfd, "volume",
			0); /* gone at once, whatever removing it takes */
	if (r == -ENOENT)
		return err_set(e, ENOENT, "no such volume: '%s'", name);
	if (r < 0)
		return err_sys(e, -r, "remove volume '%s'", name);
	r = store__sync_dir(st, "volumes", e);
	if (r < 0)
		return r;
	r = file_remove_tree(tmp.dirfd, "volume", e);
	return r < 0 ? err_wrap(e, r, "volume '%s'", name) : 0;
}

int store_volume_each(struct store *st, int (*each)(void *arg, const char *name, const char *path), void *arg,
		      struct err *e)
{
	auto_fini(strv) struct strv names = { 0 };
	int fd = file_open(st->rootfd, "volumes", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	int r = 0;

	if (!d) {
		guard_close(&fd);
		return fd == -ENOENT ? 0 : err_sys(e, fd < 0 ? -fd : ENOMEM, "%s/volumes", st->root);
	}
	while ((de = readdir(d)))
		if (volume_check(de->d_name, NULL) == 0)
			strv_add(&names, de->d_name);
	closedir(d);
	if (strv_finish(&names) < 0)
		return err_sys(e, ENOMEM, "volumes");
	for (size_t i = 0; i < names.len && r >= 0; i++) {
		auto_free char *path = str_printf("%s/volumes/%s/_data", st->root, names.item[i]);

		r = path ? each(arg, names.item[i], path) : err_sys(e, ENOMEM, "volumes");
	}
	return r < 0 ? r : 0;
}
