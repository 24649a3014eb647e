/* SPDX-License-Identifier: Apache-2.0 */
/* subid.h - the further ids a user may give to others in his user namespaces: subuid(5), subgid(5) */
#ifndef RUNTIME_SUBID_H
#define RUNTIME_SUBID_H

#include <stddef.h>
#include <sys/types.h>

#include "fmt/oci.h"

enum { SUBID_RANGES_MAX = 32 }; /* of a longer list the rest is not used */

struct subid_map {
	struct oci_idmap range[1 + SUBID_RANGES_MAX];
	struct oci_idmaps list; /* of @range */
};

/**
 * subid_map() - @own as id 0, and from 1 on, without gaps, the ranges that @path has for the user
 * @name: of the user, "" when nobody knows; lines may have his number @uid as well
 * Lines that are none are passed over: newuidmap(1) has the last word. No file, no further ids.
 */
void subid_map(struct subid_map *ret, const char *path, const char *name, uid_t uid, uint32_t own);

/* subid_name() - the name of @uid in the passwd(5) file @path; "" when it has none. */
void subid_name(const char *path, uid_t uid, char *dst, size_t size);

#endif
