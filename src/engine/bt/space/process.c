/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/process.h"

struct bt_process *bt_process(void)
{
	static struct bt_process process; /* its own in each process, which is what it is for */

	return &process;
}
