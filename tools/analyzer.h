/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analyzer.h - tools/lint includes it before every source: what base/ promises, in a form an analyzer can follow
 *
 * The makers of errors live in another file: an analyzer would let them return 0 and then report what nobody set. And
 * clang 14 does not know that a scope's end uses a guarded local: "unused" keeps it from calling its last value dead.
 */
#include "base/err.h"
#include "base/guard.h"

#define err_set(e, code, ...) ((err_set)((e), (code), __VA_ARGS__), lint_negative(code))
#define err_sys(e, code, ...) ((err_sys)((e), (code), __VA_ARGS__), lint_negative(code))
#define err_wrap(e, rc, ...)  ((err_wrap)((e), (rc), __VA_ARGS__), (rc))

#undef auto_free
#undef auto_close
#undef auto_fini
#undef auto_free_
#define auto_free          __attribute__((cleanup(guard_free), unused))
#define auto_close         __attribute__((cleanup(guard_close), unused))
#define auto_fini(module)  __attribute__((cleanup(module##_fini), unused))
#define auto_free_(module) __attribute__((cleanup(module##_freep), unused))

int lint_any(void);

static inline int lint_negative(int code)
{
	int r = lint_any(); /* not -code: clang 14 does not follow a minus */

	(void)code;
	if (r >= 0)
		__builtin_unreachable();
	return r;
}
