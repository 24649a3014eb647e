/* SPDX-License-Identifier: Apache-2.0 */
#include "iso/iso.h"

#include "base/bug.h"
#include "base/err.h"

const char *iso_state_name(enum iso_state s)
{
	static const char *const name[ISO_STATE_COUNT] = {
		[ISO_CREATED] = "created",
		[ISO_RUNNING] = "running",
		[ISO_PAUSED] = "paused",
		[ISO_STOPPED] = "stopped",
	};

	BUG_ON(s >= ISO_STATE_COUNT);
	return name[s];
}

static int lacks(const struct iso_ops *ops, const char *what, struct err *e)
{
	return err_set(e, EOPNOTSUPP, "level '%s' cannot %s", ops->name, what);
}

/* needs_life() - most verbs are for a workload that runs, or could at once. */
static int needs_life(const struct iso *i, const char *what, struct err *e)
{
	enum iso_state s = iso_state(i);

	if (s == ISO_RUNNING || s == ISO_PAUSED)
		return 0;
	return err_set(e, EBUSY, "cannot %s: the workload is %s", what, iso_state_name(s));
}

int iso_create(const struct iso_ops *ops, struct iso **ret_i, const struct iso_spec *s, struct err *e)
{
	int r = ops->probe ? ops->probe(e) : 0;

	return r < 0 ? r : ops->create(ret_i, s, e);
}

int iso_open(const struct iso_ops *ops, struct iso **ret_i, const char *state_root, const char *id,
	     struct err *e)
{
	return ops->open ? ops->open(ret_i, state_root, id, e) :
			   lacks(ops, "be opened by another command", e);
}

enum iso_state iso_state(const struct iso *i)
{
	return i->ops->state(i);
}

int iso_start(struct iso *i, struct err *e)
{
	enum iso_state s = iso_state(i);

	if (s != ISO_CREATED)
		return err_set(e, EBUSY, "cannot start: the workload is %s", iso_state_name(s));
	return i->ops->start(i, e);
}

int iso_signal(struct iso *i, int sig, bool all, struct err *e)
{
	if (!i->ops->signal)
		return lacks(i->ops, "be sent signals", e);
	return i->ops->signal(i, sig, all, e);
}

int iso_exec(struct iso *i, const struct iso_exec *x, int *ret_pidfd, struct err *e)
{
	int r = i->ops->exec ? needs_life(i, "exec", e) : lacks(i->ops, "run one more process", e);

	return r < 0 ? r : i->ops->exec(i, x, ret_pidfd, e);
}

int iso_pause(struct iso *i, struct err *e)
{
	int r = i->ops->pause ? needs_life(i, "pause", e) : lacks(i->ops, "be paused", e);

	return r < 0 ? r : i->ops->pause(i, e);
}

int iso_resume(struct iso *i, struct err *e)
{
	int r = i->ops->resume ? needs_life(i, "resume", e) : lacks(i->ops, "be resumed", e);

	return r < 0 ? r : i->ops->resume(i, e);
}

int iso_update(struct iso *i, const struct oci_resources *res, struct err *e)
{
	return i->ops->update ? i->ops->update(i, res, e) : lacks(i->ops, "change its limits", e);
}

int iso_pids(struct iso *i, pid_t **ret_pids, size_t *ret_n, struct err *e)
{
	return i->ops->pids ? i->ops->pids(i, ret_pids, ret_n, e) : lacks(i->ops, "list its processes", e);
}

int iso_usage(struct iso *i, struct iso_usage *ret_u, struct err *e)
{
	*ret_u = (struct iso_usage){ 0 };
	return i->ops->usage ? i->ops->usage(i, ret_u, e) : lacks(i->ops, "tell what it uses", e);
}

uint64_t iso_oom_kills(struct iso *i)
{
	return i->ops->oom_kills ? i->ops->oom_kills(i) : 0;
}

int iso_root(struct iso *i, struct err *e)
{
	int r = i->ops->root ? needs_life(i, "open its root file system", e) :
			       lacks(i->ops, "show its files", e);

	return r < 0 ? r : i->ops->root(i, e);
}

int iso_remove(struct iso *i, int trash, struct err *e)
{
	return i->ops->remove(i, trash, e);
}

void iso_free(struct iso *i)
{
	if (i)
		i->ops->free(i);
}
