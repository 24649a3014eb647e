/* SPDX-License-Identifier: Apache-2.0 */
#include "container/rdt.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/mount.h"

static const char resctrl[] = "/sys/fs/resctrl";

#ifndef RDTGROUP_SUPER_MAGIC
#define RDTGROUP_SUPER_MAGIC 0x7655821
#endif

static int put_schemata(int dirfd, const struct oci_rdt *rdt, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int r;

	if (rdt->l3_cache_schema)
		buf_printf(&text, "%s\n", rdt->l3_cache_schema);
	if (rdt->mem_bw_schema)
		buf_printf(&text, "%s\n", rdt->mem_bw_schema);
	for (size_t i = 0; i < rdt->schemata.n; i++)
		buf_printf(&text, "%s\n", rdt->schemata.v[i]);
	r = buf_finish(&text);
	if (r == 0 && text.len)
		r = file_put(dirfd, "schemata", buf_str(&text));
	return r < 0 ? err_sys(e, -r, "linux.intelRdt: schemata") : 0;
}

int rdt_apply(const struct oci_rdt *rdt, const char *id, pid_t pid, char **ret_made, struct err *e)
{
	auto_close int root = file_open(AT_FDCWD, resctrl, O_RDONLY | O_DIRECTORY, 0);
	auto_close int dir = -1;
	auto_free char *made = NULL;
	const char *name = rdt->clos_id ? rdt->clos_id : id;
	char text[16];
	int r;

	if (root < 0 || !mnt_fstype_is(root, RDTGROUP_SUPER_MAGIC))
		return err_set(e, EOPNOTSUPP, "linux.intelRdt: resctrl is not mounted on %s", resctrl);
	if (strchr(name, '/') || str_eq(name, ".") || str_eq(name, ".."))
		return err_set(e, EINVAL, "linux.intelRdt.closID '%s': must be the name of one directory",
			       name);
	if (mkdirat(root, name, 0755) == 0)
		made = str_printf("%s/%s", resctrl, name);
	dir = file_open(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	r = dir < 0 ? err_sys(e, -dir, "linux.intelRdt.closID '%s'", name) : put_schemata(dir, rdt, e);
	str_format(text, sizeof(text), "%d", (int)pid);
	if (r == 0) {
		r = file_put(dir, "tasks", text);
		if (r < 0)
			err_sys(e, -r, "linux.intelRdt: tasks");
	}
	if (r < 0)
		rdt_delete(made);
	else
		*ret_made = TAKE_PTR(made);
	return r;
}

void rdt_delete(const char *made)
{
	if (made)
		rmdir(made);
}
