/* SPDX-License-Identifier: Apache-2.0 */
/* user.h - "name:group" looked up in an image's /etc/passwd and /etc/group, which are hostile input */
#ifndef RUNTIME_USER_H
#define RUNTIME_USER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { USER_GROUPS_MAX = 1024, USER_FILE_MAX = 4 << 20, USER_LINE_MAX = 65536 };

struct user {
	uint32_t uid, gid;
	uint32_t *groups; /* owned; supplementary */
	size_t n_groups;
	char *home; /* owned; "/" when nobody says */
};

/**
 * user_find() - who @text is in the tree below @rootfd
 * @text:  "", "user", "user:group", each a name or a number; "" is 0:0
 * @extra: further groups, names or numbers; @n_extra of them
 * Numbers need no entry, names do. Supplementary groups are those that list the user, unless a group was
 * named. Return: 0, user_fini() it; -ENOENT: no such user or group; -EINVAL: not a name or number; -EFBIG,
 * -ENOTSUP: the file is not one to be read. Nothing is guessed: what cannot be looked up is an error.
 */
int user_find(int rootfd, const char *text, char *const *extra, size_t n_extra, struct user *ret_u,
	      struct err *e);
void user_fini(struct user *u);

#endif
