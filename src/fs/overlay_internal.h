/* SPDX-License-Identifier: Apache-2.0 */
/* overlay_internal.h - lets the test take newer kernels' ways away, to walk the older ones */
#ifndef FS_OVERLAY_INTERNAL_H
#define FS_OVERLAY_INTERNAL_H

enum overlay_way {
	OVERLAY_BY_FD = 1,        /* detached layers as descriptors */
	OVERLAY_LOWERDIR_ADD = 2, /* "lowerdir+" strings */
	OVERLAY_FILE_BACKED = 4,  /* EROFS without a loop device */
	OVERLAY_ANY = 7,
};

extern enum overlay_way overlay__ways;

#endif
