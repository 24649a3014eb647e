/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/debug.h"

#include <string.h>

#include "base/err.h"
#include "engine/engine.h"
#include "engine/rig.h"

enum { CODE_AT = RIG_FREE_AT, STACK_AT = RIG_FREE_AT + 0x2000, PORT = 0x10 };

/* again: push rax; out PORT,al; pop rax; jmp again: what is looked for comes before the port */
static const uint8_t code[] = { 0x50, 0xe6, PORT, 0x58, 0xeb, 0xfa };

/* stops() - does the guest of that ring, before it comes to its port? In 64-bit mode, for a KVM of software may run older modes otherwise. */
static int stops(struct rig *g, unsigned ring, struct x86_point at, bool *ret_it_does, struct err *e)
{
	const struct x86_debug d = { .n = 1, .point = { at } }, none = { 0 };
	struct engine_exit x;
	int r = rig_start(g, ring, CODE_AT, STACK_AT, e);

	if (r < 0)
		return r;
	r = engine_cpu_debug(g->cpu, &d);
	r = r < 0 ? err_sys(e, -r, "the guest") : rig_run(g, &x, e);
	if (r < 0)
		return r;
	if (x.kind != ENGINE_EXIT_DEBUG && !(x.kind == ENGINE_EXIT_IO && x.addr == PORT))
		return rig_failed(&x, e);
	*ret_it_does = x.kind == ENGINE_EXIT_DEBUG;
	r = rig_settle(g, e);
	if (r < 0)
		return r;
	r = engine_cpu_debug(g->cpu, &none);
	return r < 0 ? err_sys(e, -r, "the guest") : 0;
}

int engine_debug_try(const struct engine_ops *ops, struct engine_debugs *ret_d, struct err *e)
{
	const struct x86_point store = { .addr = STACK_AT - 8, .kind = X86_POINT_WRITE, .len = 8 },
			       second = { .addr = CODE_AT + 1, .len = 1 };
	struct engine_debugs d = { 0 };
	struct rig g = RIG_NONE;
	int r = rig_init(&g, ops, e);

	if (r == 0) {
		memcpy(g.mem + CODE_AT, code, sizeof(code));
		r = stops(&g, 0, store, &d.data, e);
	}
	if (r == 0)
		r = stops(&g, 3, second, &d.user, e);
	rig_fini(&g);
	if (r < 0)
		return err_wrap(e, r, "engine '%s': try how it is debugged", ops->name);
	*ret_d = d;
	return 0;
}
