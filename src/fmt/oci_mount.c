/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

enum option_kind { OPT_NONE, OPT_ATTR, OPT_ATIME, OPT_SB, OPT_SB_AND_ATTR, OPT_PROPAGATION, OPT_FLAG };

struct option {
	const char *name;
	uint8_t kind;
	bool clear;
	bool rec;      /* of the whole tree */
	uint64_t bits; /* OPT_SB_AND_ATTR is read-only: MS_RDONLY and MOUNT_ATTR_RDONLY are the same bit */
};

static_assert((uint64_t)MS_RDONLY == MOUNT_ATTR_RDONLY, "one entry serves both");

/* In alphabetical order: looked up by bisection, listed by `features`. */
static const struct option option_table[] = {
	{ "async", OPT_SB, true, false, MS_SYNCHRONOUS },
	{ "atime", OPT_ATIME, true, false, MOUNT_ATTR_NOATIME },
	{ "bind", OPT_FLAG, false, false, OCI_MOUNT_BIND },
	{ "copy-symlink", OPT_FLAG, false, false, OCI_MOUNT_COPY_SYMLINK },
	{ "defaults", OPT_NONE, false, false, 0 },
	{ "dest-nofollow", OPT_FLAG, false, false, OCI_MOUNT_DEST_NOFOLLOW },
	{ "dev", OPT_ATTR, true, false, MOUNT_ATTR_NODEV },
	{ "diratime", OPT_ATTR, true, false, MOUNT_ATTR_NODIRATIME },
	{ "dirsync", OPT_SB, false, false, MS_DIRSYNC },
	{ "exec", OPT_ATTR, true, false, MOUNT_ATTR_NOEXEC },
	{ "idmap", OPT_FLAG, false, false, OCI_MOUNT_IDMAP },
	{ "iversion", OPT_SB, false, false, MS_I_VERSION },
	{ "lazytime", OPT_SB, false, false, MS_LAZYTIME },
	{ "loud", OPT_SB, true, false, MS_SILENT },
	{ "mand", OPT_SB, false, false, MS_MANDLOCK },
	{ "noatime", OPT_ATIME, false, false, MOUNT_ATTR_NOATIME },
	{ "nodev", OPT_ATTR, false, false, MOUNT_ATTR_NODEV },
	{ "nodiratime", OPT_ATTR, false, false, MOUNT_ATTR_NODIRATIME },
	{ "noexec", OPT_ATTR, false, false, MOUNT_ATTR_NOEXEC },
	{ "noiversion", OPT_SB, true, false, MS_I_VERSION },
	{ "nolazytime", OPT_SB, true, false, MS_LAZYTIME },
	{ "nomand", OPT_SB, true, false, MS_MANDLOCK },
	{ "norelatime", OPT_ATIME, true, false, MOUNT_ATTR_RELATIME },
	{ "nostrictatime", OPT_ATIME, true, false, MOUNT_ATTR_STRICTATIME },
	{ "nosuid", OPT_ATTR, false, false, MOUNT_ATTR_NOSUID },
	{ "nosymfollow", OPT_ATTR, false, false, MOUNT_ATTR_NOSYMFOLLOW },
	{ "private", OPT_PROPAGATION, false, false, MS_PRIVATE },
	{ "ratime", OPT_ATIME, true, true, MOUNT_ATTR_NOATIME },
	{ "rbind", OPT_FLAG, false, false, OCI_MOUNT_BIND | OCI_MOUNT_RBIND },
	{ "rdev", OPT_ATTR, true, true, MOUNT_ATTR_NODEV },
	{ "rdiratime", OPT_ATTR, true, true, MOUNT_ATTR_NODIRATIME },
	{ "relatime", OPT_ATIME, false, false, MOUNT_ATTR_RELATIME },
	{ "remount", OPT_FLAG, false, false, OCI_MOUNT_REMOUNT },
	{ "rexec", OPT_ATTR, true, true, MOUNT_ATTR_NOEXEC },
	{ "ridmap", OPT_FLAG, false, false, OCI_MOUNT_IDMAP | OCI_MOUNT_RIDMAP },
	{ "rnoatime", OPT_ATIME, false, true, MOUNT_ATTR_NOATIME },
	{ "rnodev", OPT_ATTR, false, true, MOUNT_ATTR_NODEV },
	{ "rnodiratime", OPT_ATTR, false, true, MOUNT_ATTR_NODIRATIME },
	{ "rnoexec", OPT_ATTR, false, true, MOUNT_ATTR_NOEXEC },
	{ "rnorelatime", OPT_ATIME, true, true, MOUNT_ATTR_RELATIME },
	{ "rnostrictatime", OPT_ATIME, true, true, MOUNT_ATTR_STRICTATIME },
	{ "rnosuid", OPT_ATTR, false, true, MOUNT_ATTR_NOSUID },
	{ "rnosymfollow", OPT_ATTR, false, true, MOUNT_ATTR_NOSYMFOLLOW },
	{ "ro", OPT_SB_AND_ATTR, false, false, MOUNT_ATTR_RDONLY },
	{ "rprivate", OPT_PROPAGATION, false, true, MS_PRIVATE },
	{ "rrelatime", OPT_ATIME, false, true, MOUNT_ATTR_RELATIME },
	{ "rro", OPT_ATTR, false, true, MOUNT_ATTR_RDONLY },
	{ "rrw", OPT_ATTR, true, true, MOUNT_ATTR_RDONLY },
	{ "rshared", OPT_PROPAGATION, false, true, MS_SHARED },
	{ "rslave", OPT_PROPAGATION, false, true, MS_SLAVE },
	{ "rstrictatime", OPT_ATIME, false, true, MOUNT_ATTR_STRICTATIME },
	{ "rsuid", OPT_ATTR, true, true, MOUNT_ATTR_NOSUID },
	{ "rsymfollow", OPT_ATTR, true, true, MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", OPT_PROPAGATION, false, true, MS_UNBINDABLE },
	{ "rw", OPT_SB_AND_ATTR, true, false, MOUNT_ATTR_RDONLY },
	{ "shared", OPT_PROPAGATION, false, false, MS_SHARED },
	{ "silent", OPT_SB, false, false, MS_SILENT },
	{ "slave", OPT_PROPAGATION, false, false, MS_SLAVE },
	{ "src-nofollow", OPT_FLAG, false, false, OCI_MOUNT_SRC_NOFOLLOW },
	{ "strictatime", OPT_ATIME, false, false, MOUNT_ATTR_STRICTATIME },
	{ "suid", OPT_ATTR, true, false, MOUNT_ATTR_NOSUID },
	{ "symfollow", OPT_ATTR, true, false, MOUNT_ATTR_NOSYMFOLLOW },
	{ "sync", OPT_SB, false, false, MS_SYNCHRONOUS },
	{ "tmpcopyup", OPT_FLAG, false, false, OCI_MOUNT_TMPCOPYUP },
	{ "unbindable", OPT_PROPAGATION, false, false, MS_UNBINDABLE },
};

const char *oci__mount_option(size_t n)
{
	return n < ARRAY_SIZE(option_table) ? option_table[n].name : NULL;
}

static int compare_name(const void *name, const void *option)
{
	return strcmp(name, ((const struct option *)option)->name);
}

static void set_bits(uint64_t *set, uint64_t *clr, const struct option *o)
{
	*set = o->clear ? *set & ~o->bits : *set | o->bits;
	*clr = o->clear ? *clr | o->bits : *clr & ~o->bits;
}

/*
 * set_atime() - the access time modes are one field of three values, not flags: leaving a mode that is not in
 * force changes nothing, leaving the one in force means relatime, and whoever sets the field must clear all
 * of it (mount_setattr(2)).
 */
static void set_atime(uint64_t *set, uint64_t *clr, const struct option *o)
{
	*clr |= MOUNT_ATTR__ATIME;
	if (!o->clear)
		*set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | o->bits;
	else if ((*set & MOUNT_ATTR__ATIME) == o->bits)
		*set &= ~(uint64_t)MOUNT_ATTR__ATIME;
}

/* set_propagation() - the last one holds, as if applied in turn; what one value cannot say is refused. */
static int set_propagation(struct oci_mount *m, const struct option *o, struct err *e)
{
	bool other = m->propagation && m->propagation != o->bits;

	if (other &&
	    ((m->propagation_rec && !o->rec) || (m->propagation == MS_SLAVE && o->bits == MS_SHARED)))
		return err_set(e, ENOTSUP, "option '%s' after another propagation is not supported: give one",
			       o->name);
	m->propagation_rec = o->rec || (m->propagation_rec && !other);
	m->propagation = o->bits;
	return 0;
}

static int apply(struct oci_mount *m, const struct option *o, struct err *e)
{
	uint64_t *set = o->rec ? &m->rec_set : &m->attr_set;
	uint64_t *clr = o->rec ? &m->rec_clr : &m->attr_clr;

	switch (o->kind) {
	case OPT_ATIME: set_atime(set, clr, o); break;
	case OPT_SB_AND_ATTR:
		m->sb_flags = o->clear ? m->sb_flags & ~o->bits : m->sb_flags | o->bits;
		set_bits(set, clr, o);
		break;
	case OPT_ATTR: set_bits(set, clr, o); break;
	case OPT_SB: m->sb_flags = o->clear ? m->sb_flags & ~o->bits : m->sb_flags | o->bits; break;
	case OPT_PROPAGATION: return set_propagation(m, o, e);
	case OPT_FLAG: m->flags |= (uint32_t)o->bits; break;
	}
	return 0;
}

int oci_mount_parse_options(struct oci_mount *m, char *const *options, size_t n, struct arena *a,
			    struct err *e)
{
	char **data = n ? arena_array(a, n + 1, sizeof(*data)) : NULL;
	size_t n_data = 0;
	int r = 0;

	if (n && !data)
		return err_sys(e, ENOMEM, "mount options");
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct option *o =
			bsearch(options[i], option_table, ARRAY_SIZE(option_table), sizeof(*o), compare_name);

		if (o)
			r = apply(m, o, e);
		else if (*options[i])
			data[n_data++] = options[i];
	}
	if (r < 0)
		return r;
	m->data = (struct oci_strs){ .v = n_data ? data : NULL, .n = n_data };
	return 0;
}

/* check() - combinations that mean nothing, or something else than they say. */
static void check(const struct json_at *at, const struct oci_mount *m)
{
	const uint32_t nofollow = OCI_MOUNT_SRC_NOFOLLOW | OCI_MOUNT_DEST_NOFOLLOW;

	if ((m->flags & OCI_MOUNT_BIND) && m->data.n > 0)
		json_fail(at, "options", EINVAL, "a bind mount cannot take the file system option '%.64s'",
			  m->data.v[0]);
	if ((m->flags & OCI_MOUNT_BIND) && !m->source)
		json_fail(at, "source", EINVAL, "missing: a bind mount needs one");
	if ((m->flags & OCI_MOUNT_TMPCOPYUP) && !str_eq(m->type, "tmpfs"))
		json_fail(at, "options", EINVAL, "tmpcopyup is for tmpfs only");
	if ((m->flags & (nofollow | OCI_MOUNT_COPY_SYMLINK)) && !(m->flags & OCI_MOUNT_BIND))
		json_fail(at, "options", EINVAL,
			  "copy-symlink, src-nofollow and dest-nofollow are for bind mounts only");
	if ((m->flags & nofollow) && (m->flags & OCI_MOUNT_COPY_SYMLINK))
		json_fail(at, "options", EINVAL, "copy-symlink excludes src-nofollow and dest-nofollow");
	if (!m->type && !(m->flags & OCI_MOUNT_REMOUNT))
		json_fail(at, "type", EINVAL, "missing, and it is no bind mount");
	/* Spec: config.md "If specified, it MUST be specified along with gidMappings" */
	if (!m->uid_mappings.n != !m->gid_mappings.n)
		json_fail(at, m->uid_mappings.n ? "gidMappings" : "uidMappings", EINVAL,
			  "missing beside the other");
}

void oci__mount(const struct json_at *at, struct oci_mount *m)
{
	struct json_at obj = json_read_obj(at, NULL);
	struct oci_strs options = oci__strs(&obj, "options");
	struct err e = { 0 };
	int r;

	json_need(&obj, "destination");
	m->destination = oci__str(&obj, "destination");
	if (!m->destination)
		json_fail(&obj, "destination", EINVAL, "got '', want a path");
	m->type = oci__str(&obj, "type");
	m->source = oci__str(&obj, "source");
	m->uid_mappings = oci__idmaps(&obj, "uidMappings");
	m->gid_mappings = oci__idmaps(&obj, "gidMappings");
	r = oci_mount_parse_options(m, options.v, options.n, at->doc->arena, &e);
	if (r < 0)
		json_fail(&obj, "options", e.code, "%s", e.text);
	if (str_eq(m->type, "bind") && !(m->flags & OCI_MOUNT_BIND))
		json_fail(&obj, "type", EINVAL, "bind without the option bind or rbind");
	if (m->flags & OCI_MOUNT_BIND)
		m->type = "bind"; /* whatever was written: config.md calls it a dummy, often "none" */
	if (m->uid_mappings.n)
		m->flags |= OCI_MOUNT_IDMAP; /* runc takes mappings without the option so */
	check(&obj, m);
}
