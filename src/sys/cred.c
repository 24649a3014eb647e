/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/cred.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"

enum { MAP_BYTES_MAX = 4096 }; /* more than one page the kernel does not take */

bool cred_in_userns(void)
{
	static int known; /* 1 yes, -1 no */
	auto_fini(buf) struct buf map = { 0 };
	unsigned inside, outside, count;

	if (known)
		return known > 0;
	known = file_slurp_at(AT_FDCWD, "/proc/self/uid_map", &map, MAP_BYTES_MAX) == 0 &&
				sscanf(buf_str(&map), "%u %u %u", &inside, &outside, &count) == 3 &&
				count != UINT32_MAX ?
			1 :
			-1;
	return known > 0;
}

bool cred_groups_denied(void)
{
	auto_fini(buf) struct buf b = { 0 };

	return cred_in_userns() && file_slurp_at(AT_FDCWD, "/proc/self/setgroups", &b, MAP_BYTES_MAX) == 0 &&
	       str_starts(buf_str(&b), "deny");
}

int cred_set_groups(const gid_t *groups, size_t n)
{
	return (int)SYS2(SYS_setgroups, n, groups);
}

int cred_set_ids(uid_t uid, gid_t gid)
{
	long r = SYS3(SYS_setresgid, gid, gid, gid);

	return (int)(r < 0 ? r : SYS3(SYS_setresuid, uid, uid, uid));
}

int cred_get_caps(struct cred_caps *ret_caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct half[2];
	long r = SYS2(SYS_capget, &header, half);

	if (r < 0)
		return (int)r;
	ret_caps->effective = half[0].effective | (uint64_t)half[1].effective << 32;
	ret_caps->permitted = half[0].permitted | (uint64_t)half[1].permitted << 32;
	ret_caps->inheritable = half[0].inheritable | (uint64_t)half[1].inheritable << 32;
	return 0;
}

int cred_set_caps(const struct cred_caps *caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct half[2];

	for (int i = 0; i < 2; i++) {
		half[i].effective = (uint32_t)(caps->effective >> (32 * i));
		half[i].permitted = (uint32_t)(caps->permitted >> (32 * i));
		half[i].inheritable = (uint32_t)(caps->inheritable >> (32 * i));
	}
	return (int)SYS2(SYS_capset, &header, half);
}

int cred_last_cap(void)
{
	static int last = -1;

	if (last >= 0)
		return last;
	for (last = CAP_LAST_CAP; last + 1 < CRED_CAP_MAX; last++)
		if (SYS2(SYS_prctl, PR_CAPBSET_READ, last + 1) < 0)
			break;
	while (last > 0 && SYS2(SYS_prctl, PR_CAPBSET_READ, last) < 0)
		last--;
	return last;
}

int cred_bound_caps(uint64_t keep)
{
	for (int cap = 0; cap <= cred_last_cap(); cap++) {
		long r;

		if (keep >> cap & 1 || SYS2(SYS_prctl, PR_CAPBSET_READ, cap) == 0)
			continue;
		r = SYS2(SYS_prctl, PR_CAPBSET_DROP, cap);
		if (r < 0)
			return (int)r;
	}
	return 0;
}

int cred_ambient_caps(uint64_t raise)
{
	long r = SYS5(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	int first = (int)r;

	for (int cap = 0; raise && cap <= cred_last_cap(); cap++) {
		if (!(raise >> cap & 1))
			continue;
		r = SYS5(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
		if (r < 0 && first == 0)
			first = (int)r;
	}
	return first;
}

int cred_prctl(int option, unsigned long arg2, unsigned long arg3)
{
	return (int)SYS5(SYS_prctl, option, arg2, arg3, 0, 0);
}

int cred_join_keyring(const char *name)
{
	return (int)SYS2(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
}

int cred_keyring_searchable(int serial)
{
	const unsigned user_search = 0x80000; /* KEY_USR_SEARCH: keyrings(7), "permissions" */
	char text[256];
	const char *perm;
	long n = SYS4(SYS_keyctl, KEYCTL_DESCRIBE, serial, text, sizeof(text) - 1);

	if (n < 0)
		return (int)n;
	text[(size_t)n < sizeof(text) ? n : (long)sizeof(text) - 1] = '\0';
	perm = text; /* "type;uid;gid;perm;description" */
	for (int i = 0; perm && i < 3; i++)
		perm = strchr(perm, ';') ? strchr(perm, ';') + 1 : NULL;
	if (!perm)
		return -EIO;
	return (int)SYS3(SYS_keyctl, KEYCTL_SETPERM, serial, (unsigned)strtoul(perm, NULL, 16) | user_search);
}
