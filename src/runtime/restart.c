/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/restart.h"

#include <errno.h>
#include <stddef.h>

#include "base/str.h"

static const nsec_t first_ns = 100 * NSEC_PER_MSEC, most_ns = 60 * NSEC_PER_SEC,
		    lived_well_ns = 10 * NSEC_PER_SEC;

static const char *const policy_name[RESTART_POLICY_COUNT] = {
	[RESTART_NO] = "no",
	[RESTART_ON_FAILURE] = "on-failure",
	[RESTART_UNLESS_STOPPED] = "unless-stopped",
	[RESTART_ALWAYS] = "always",
};

int restart_policy(const char *name)
{
	if (!name || !*name)
		return RESTART_NO;
	for (int i = 0; i < RESTART_POLICY_COUNT; i++)
		if (str_eq(name, policy_name[i]))
			return i;
	return -EINVAL;
}

nsec_t restart_next(struct restart *r, int exit_code, nsec_t lived_ns, bool stopped)
{
	if (stopped || r->policy == RESTART_NO || (r->policy == RESTART_ON_FAILURE && exit_code == 0))
		return -1;
	if (r->policy == RESTART_ON_FAILURE && r->max_tries > 0 && r->tries >= r->max_tries)
		return -1;
	r->tries++;
	if (lived_ns >= lived_well_ns || r->delay_ns == 0)
		r->delay_ns = first_ns;
	else
		r->delay_ns = r->delay_ns * 2 < most_ns ? r->delay_ns * 2 : most_ns;
	return r->delay_ns;
}
