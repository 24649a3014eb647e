/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.h - ownership by scope: a local that owns says so in its declaration
 *
 *	auto_free char *name = NULL;		free(3)
 *	auto_close int fd = -1;			close(2) unless negative
 *	auto_fini(buf) struct buf b = {0};	buf_fini(&b)
 *	auto_free_(arena) struct arena *a;	arena_free(a)
 *
 * TAKE_FD(fd) and TAKE_PTR(p) hand over at the return. No guard changes errno.
 */
#ifndef BASE_GUARD_H
#define BASE_GUARD_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void guard_free(void *pp)
{
	free(*(void **)pp);
}

static inline void guard_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#define auto_free          __attribute__((cleanup(guard_free)))
#define auto_close         __attribute__((cleanup(guard_close)))
#define auto_fini(module)  __attribute__((cleanup(module##_fini)))
#define auto_free_(module) __attribute__((cleanup(module##_freep)))

/* GUARD_FREEP(x, type) - defines x_freep() for auto_free_(x), once, beside x_free()'s declaration. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes none */
#define GUARD_FREEP(module, type)                                                                            \
	static inline void module##_freep(type **pp)                                                         \
	{                                                                                                    \
		if (*pp)                                                                                     \
			module##_free(*pp);                                                                  \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#define TAKE_FD(fd)                                                                                          \
	({                                                                                                   \
		int taken_ = (fd);                                                                           \
		(fd) = -1;                                                                                   \
		taken_;                                                                                      \
	})
#define TAKE_PTR(p)                                                                                          \
	({                                                                                                   \
		__typeof__(p) taken_ = (p);                                                                  \
		(p) = NULL;                                                                                  \
		taken_;                                                                                      \
	})

/* fd_close() - close and forget: for descriptors that live in a struct. */
static inline void fd_close(int *fd)
{
	guard_close(fd);
	*fd = -1;
}

#endif
