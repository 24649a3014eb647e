/* SPDX-License-Identifier: Apache-2.0 */
/* event.h - appending to "<run>/events.json" without a struct runtime, as shims do */
#ifndef RUNTIME_EVENT_H
#define RUNTIME_EVENT_H

#include <stddef.h>

enum { EVENT_FILE_MAX = 4 << 20 }; /* bytes; then it becomes events.json.1 */

/* event__append() - @pairs: @n attribute names, each followed by its value. A failure loses the event,
 * nothing else. */
void event__append(int run_fd, const char *type, const char *action, const char *id, const char *const *pairs,
		   size_t n);

#endif
