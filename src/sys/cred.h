/* SPDX-License-Identifier: Apache-2.0 */
/* cred.h - who a process is: ids, capabilities, no_new_privs, keyring; one thread only (raw calls, no libc broadcast) */
#ifndef SYS_CRED_H
#define SYS_CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CRED_CAP_MAX = 64 };

struct cred_caps {
	uint64_t effective, permitted, inheritable;
};

/* cred_in_userns() - is the user namespace one that maps fewer ids than there are, so not the host's own? Asked once. */
bool cred_in_userns(void);

/* cred_groups_denied() - has whoever made this user namespace forbidden setgroups(2) in it, as for a map of one id? */
bool cred_groups_denied(void);

int cred_set_groups(const gid_t *groups, size_t n);
int cred_set_ids(uid_t uid, gid_t gid); /* setresgid, then setresuid */
int cred_get_caps(struct cred_caps *ret_caps);
int cred_set_caps(const struct cred_caps *caps);
int cred_bound_caps(uint64_t keep); /* drop all but @keep from the bounding set */
int cred_ambient_caps(
	uint64_t raise); /* clear the ambient set, then raise @raise; -errno of the first that failed */
int cred_last_cap(void); /* highest capability this kernel knows */
int cred_prctl(int option, unsigned long arg2, unsigned long arg3);
int cred_join_keyring(const char *name); /* a new session keyring; its serial, or -errno */
/* cred_keyring_searchable() - add possessor/user search rights to keyring @serial, as runc does. */
int cred_keyring_searchable(int serial);

#endif
