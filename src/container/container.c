/* SPDX-License-Identifier: Apache-2.0 */
#include "container/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "container/container_internal.h"
#include "container/hooks.h"
#include "container/rdt.h"
#include "fmt/json.h"
#include "sys/file.h"
#include "sys/ns.h"

enum { KILL_WAIT_MS = 10000, KILL_STEP_MS = 1, KILL_STEP_MAX_MS = 50 };

static const char *const status_name[CT_STATUS_COUNT] = {
	[CT_CREATING] = "creating", [CT_CREATED] = "created", [CT_RUNNING] = "running",
	[CT_PAUSED] = "paused",     [CT_STOPPED] = "stopped",
};

const char *ct_status_name(enum ct_status s)
{
	return status_name[s];
}

int ct_id_check(const char *id, struct err *e)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-";

	if (!*id)
		return err_set(e, EINVAL, "container id: empty");
	if (strlen(id) > CT_ID_MAX)
		return err_set(e, EINVAL, "container id: longer than %d characters", CT_ID_MAX);
	if (id[strspn(id, allowed)] || str_eq(id, ".") || str_eq(id, ".."))
		return err_set(e, EINVAL, "container id '%s': only letters, digits and _ + . - are allowed",
			       id);
	return 0;
}

/* --- the state file ------------------------------------------------------------------------------------------ */

int ct__save(const struct ct *ct, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 }, cgroup = { 0 };
	struct json_out o = { .to = &text };
	int r;

	cgroup_save(&ct->cgroup, &cgroup);
	json_put_open(&o, NULL, '{');
	json_put_str(&o, "bundle", ct->bundle);
	json_put_str(&o, "rootfs", ct->rootfs);
	json_put_i64(&o, "pid", ct->pid);
	json_put_u64(&o, "start_time", ct->start_time);
	json_put_i64(&o, "created_ns", ct->created_ns);
	json_put_str(&o, "cgroup", buf_str(&cgroup));
	json_put_bool(&o, "rootless", ct->rootless);
	json_put_u64(&o, "owner", ct->owner);
	json_put_bool(&o, "ready", ct->ready);
	json_put_str(&o, "intel_rdt", ct->intel_rdt);
	json_put_str(&o, "annotations", ct->annotations);
	json_put_close(&o, '}');
	r = buf_finish(&text);
	if (r == 0)
		r = buf_finish(&cgroup);
	if (r < 0)
		return err_sys(e, -r, "container '%s': state", ct->id);
	return file_replace(ct->dirfd, CT_STATE_FILE, text.data, text.len, 0600, false, e);
}

static char *dup_or_null(const char *s)
{
	return s ? strdup(s) : NULL;
}

/* load_groups() - its creator was killed before it had more to say than where its groups would be. */
static void load_groups(struct ct *ct)
{
	auto_fini(buf) struct buf text = { 0 };

	if (file_slurp_at(ct->dirfd, CT_PHASE_FILE, &text, CT_STATE_BYTES_MAX) < 0)
		return;
	if (text.len > 1 && cgroup_load(&ct->cgroup, buf_str(&text) + 1, NULL) < 0)
		ct->cgroup = (struct cgroup){ 0 };
}

static int load(struct ct *ct, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf text = { 0 };
	struct json_doc doc = { .arena = &a, .e = e };
	struct json_at root;
	const char *cgroup;
	int r = file_slurp_at(ct->dirfd, CT_STATE_FILE, &text, CT_STATE_BYTES_MAX);

	if (r == -ENOENT) {
		load_groups(ct);
		return 0;
	}
	if (r < 0)
		return err_sys(e, -r, CT_STATE_FILE);
	root = json_parse(&doc, text.data, text.len);
	ct->bundle = dup_or_null(json_read_str(&root, "bundle"));
	ct->rootfs = dup_or_null(json_read_str(&root, "rootfs"));
	ct->pid = (pid_t)json_read_i64(&root, "pid", 0, INT32_MAX);
	ct->start_time = json_read_u64(&root, "start_time", UINT64_MAX, 0);
	ct->created_ns = json_read_i64(&root, "created_ns", 0, INT64_MAX);
	ct->rootless = json_read_bool(&root, "rootless", false);
	ct->owner = (uid_t)json_read_u64(&root, "owner", UINT32_MAX, 0);
	ct->ready = json_read_bool(&root, "ready", false);
	ct->intel_rdt = dup_or_null(json_read_str(&root, "intel_rdt"));
	ct->annotations = dup_or_null(json_read_str(&root, "annotations"));
	cgroup = json_read_str(&root, "cgroup");
	r = json_finish(&doc);
	if (r == 0 && cgroup)
		r = cgroup_load(&ct->cgroup, cgroup, e);
	return r < 0 ? err_wrap(e, r, CT_STATE_FILE) : 0;
}

/* find_process() - hold init by a pidfd; it is stopped when that pid is gone or somebody else's. */
static void find_process(struct ct *ct)
{
	ct->pidfd = ct->pid > 0 ? pidfd_open(ct->pid) : -1;
	if (ct->pidfd >= 0 && proc_alive(ct->pid, ct->start_time))
		return;
	fd_close(&ct->pidfd);
	ct->pid = 0;
}

/* open_dir() - an object with its directory, and nothing read from it yet. */
static int open_dir(struct ct **ret_ct, const char *root, const char *id, struct err *e)
{
	auto_close int rootfd = -1;
	struct ct *ct;
	int r = ct_id_check(id, e);

	if (r < 0)
		return r;
	ct = calloc(1, sizeof(*ct));
	if (!ct)
		return err_sys(e, ENOMEM, "container '%s'", id);
	ct->dirfd = ct->pidfd = -1;
	ct->root = strdup(root);
	ct->id = strdup(id);
	rootfd = file_open(AT_FDCWD, root, O_PATH | O_DIRECTORY, 0);
	ct->dirfd = rootfd < 0 ? rootfd : file_open(rootfd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (!ct->root || !ct->id)
		r = err_sys(e, ENOMEM, "container '%s'", id);
	else if (ct->dirfd == -ENOENT)
		r = err_set(e, ENOENT, "container '%s' does not exist", id);
	else if (ct->dirfd < 0)
		r = err_sys(e, -ct->dirfd, "container '%s': %s", id, root);
	if (r < 0)
		ct_free(ct);
	else
		*ret_ct = ct;
	return r;
}

int ct_open(struct ct **ret_ct, const char *root, const char *id, struct err *e)
{
	struct ct *ct;
	int r = open_dir(&ct, root, id, e);

	if (r < 0)
		return r;
	r = load(ct, e);
	if (r < 0) {
		ct_free(ct);
		return err_wrap(e, r, "container '%s'", id);
	}
	find_process(ct);
	*ret_ct = ct;
	return 0;
}

void ct_free(struct ct *ct)
{
	if (!ct)
		return;
	fd_close(&ct->dirfd);
	fd_close(&ct->pidfd);
	cgroup_fini(&ct->cgroup);
	free(ct->root);
	free(ct->id);
	free(ct->bundle);
	free(ct->rootfs);
	free(ct->annotations);
	free(ct->intel_rdt);
	free(ct);
}

char ct__phase(const struct ct *ct)
{
	auto_close int fd = file_open(ct->dirfd, CT_PHASE_FILE, O_RDONLY, 0);
	char phase = 'c';

	if (fd >= 0)
		file_read(fd, &phase, 1);
	return phase;
}

enum ct_status ct_status(const struct ct *ct)
{
	if (ct->pidfd < 0 || !proc_alive(ct->pid, ct->start_time))
		return CT_STOPPED;
	if (ct__phase(ct) == 'c')
		return ct->ready ? CT_CREATED : CT_CREATING;
	return cgroup_frozen(&ct->cgroup) ? CT_PAUSED : CT_RUNNING;
}

int ct_list(const char *root, char ***ret_ids, size_t *ret_n, struct err *e)
{
	struct strv ids = { 0 };
	struct dirent *de;
	DIR *d = opendir(root);

	if (!d && errno != ENOENT)
		return err_sys(e, errno, "%s", root);
	while (d && (de = readdir(d)))
		if (ct_id_check(de->d_name, NULL) == 0)
			strv_add(&ids, de->d_name);
	if (d)
		closedir(d);
	if (strv_finish(&ids) < 0) {
		strv_fini(&ids);
		return err_sys(e, ENOMEM, "%s", root);
	}
	*ret_ids = ids.item;
	*ret_n = ids.len;
	return 0;
}

int ct__state_text(const struct ct *ct, enum ct_status status, pid_t pid, struct buf *json)
{
	struct json_out o = { .to = json, .indent = "  " };

	json_put_open(&o, NULL, '{');
	json_put_str(&o, "ociVersion", OCI_VERSION);
	json_put_str(&o, "id", ct->id);
	json_put_str(&o, "status", ct_status_name(status));
	json_put_i64(&o, "pid", pid);
	json_put_str(&o, "bundle", ct->bundle ? ct->bundle : "");
	if (ct->annotations)
		json_put_raw(&o, "annotations", ct->annotations);
	json_put_close(&o, '}');
	return buf_finish(json);
}

int ct__seccomp_state(const struct ct *ct, const struct oci_seccomp *s, enum ct_status status, pid_t pid,
		      struct buf *json)
{
	auto_fini(buf) struct buf state = { 0 };
	struct json_out o = { .to = json };
	static char *const fds[] = { (char *)"seccompFd" };
	int r = ct__state_text(ct, status, pid, &state);

	if (r < 0)
		return r;
	json_put_open(&o, NULL, '{');
	json_put_str(&o, "ociVersion", OCI_VERSION);
	json_put_strs(&o, "fds", fds, 1);
	json_put_i64(&o, "pid", pid);
	json_put_str(&o, "metadata", s->listener_metadata ? s->listener_metadata : "");
	json_put_raw(&o, "state", buf_str(&state));
	json_put_close(&o, '}');
	return buf_finish(json);
}

int ct_state_json(const struct ct *ct, struct buf *json, struct err *e)
{
	struct json_out o = { .to = json, .indent = "  " };
	enum ct_status status = ct_status(ct);
	char when[TIME_RFC3339_SIZE];

	json_put_open(&o, NULL, '{');
	json_put_str(&o, "ociVersion", OCI_VERSION);
	json_put_str(&o, "id", ct->id);
	json_put_i64(&o, "pid", status == CT_STOPPED ? 0 : ct->pid);
	json_put_str(&o, "status", ct_status_name(status));
	json_put_str(&o, "bundle", ct->bundle ? ct->bundle : "");
	json_put_str(&o, "rootfs", ct->rootfs ? ct->rootfs : "");
	json_put_str(&o, "created", time_rfc3339(ct->created_ns, when));
	if (ct->annotations)
		json_put_raw(&o, "annotations", ct->annotations);
	json_put_str(&o, "owner", "");
	json_put_close(&o, '}');
	return buf_finish(json) < 0 ? err_sys(e, ENOMEM, "container '%s': state", ct->id) : 0;
}

int ct__config(const struct ct *ct, struct oci_spec *ret_spec, struct arena *a, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int r = file_slurp_at(ct->dirfd, CT_CONFIG_FILE, &text, OCI_CONFIG_BYTES_MAX);

	if (r < 0)
		return err_sys(e, -r, "container '%s': its saved " CT_CONFIG_FILE, ct->id);
	r = oci_spec_parse(ret_spec, text.data, text.len, a, e);
	return r < 0 ? err_wrap(e, r, "container '%s': its saved " CT_CONFIG_FILE, ct->id) : 0;
}

int ct_process(const struct ct *ct, struct oci_process *ret_p, struct arena *a, struct err *e)
{
	struct oci_spec *spec = arena_alloc(a, sizeof(*spec));
	int r = spec ? ct__config(ct, spec, a, e) : err_sys(e, ENOMEM, "container '%s'", ct->id);

	if (r < 0)
		return r;
	if (!spec->has_process)
		return err_set(e, EINVAL, "container '%s': its config.json has no process", ct->id);
	*ret_p = spec->process;
	return 0;
}

/* --- signals, freezing, limits -------------------------------------------------------------------------------- */

/* has_cgroups() - are the groups on record this container's? Its creator may have been killed before it knew. */
static bool has_cgroups(const struct ct *ct)
{
	return cgroup_any(&ct->cgroup) && (ct->start_time || ct__phase(ct) != 'm');
}

/* has_pid_ns() - does killing init kill them all? */
static bool has_pid_ns(const struct ct *ct)
{
	auto_fini(arena) struct arena a = { 0 };
	struct oci_spec spec = { 0 };

	if (ct__config(ct, &spec, &a, NULL) < 0)
		return true;
	return spec.linux.ns[OCI_NS_PID].present && !spec.linux.ns[OCI_NS_PID].path;
}

int ct_pids(struct ct *ct, pid_t **ret_pids, size_t *ret_n, struct err *e)
{
	if (cgroup_any(&ct->cgroup))
		return cgroup_pids(&ct->cgroup, ret_pids, ret_n, e);
	if (!has_pid_ns(ct))
		return err_set(
			e, ENOTSUP,
			"container '%s' has neither a cgroup nor a pid namespace that tells its processes",
			ct->id);
	return ct__members(ct->pidfd < 0 ? 0 : ct->pid, ret_pids, ret_n, e);
}

/* kill_members() - of a container that has no cgroup. */
static int kill_members(struct ct *ct, int sig, struct err *e)
{
	auto_free pid_t *pids = NULL;
	size_t n = 0;
	int r;

	if (ct->pidfd < 0)
		return 0;
	if (sig == SIGKILL && has_pid_ns(ct)) /* none of them outlives init */
		return pidfd_send(ct->pidfd, sig);
	r = ct_pids(ct, &pids, &n, e);
	for (size_t i = 0; i < n && r >= 0; i++) {
		auto_close int pidfd = pidfd_open(pids[i]);

		r = pidfd < 0 ? pidfd : pidfd_send(pidfd, sig);
		if (r < 0 && r != -ESRCH)
			return err_sys(e, -r, "container '%s': signal %d to process %d", ct->id, sig,
				       (int)pids[i]);
		r = 0;
	}
	return r;
}

int ct_kill(struct ct *ct, int sig, bool all, struct err *e)
{
	enum ct_status status = ct_status(ct);
	int r;

	/* a shared pid namespace keeps what init leaves behind, which `kill` must reach even when init is gone */
	if (has_cgroups(ct) && (all || (sig == SIGKILL && !has_pid_ns(ct))))
		return cgroup_kill(&ct->cgroup, sig, e);
	if (all)
		return kill_members(ct, sig, e);
	if (status == CT_STOPPED)
		return err_set(e, ESRCH, "container not running");
	r = pidfd_send(ct->pidfd, sig);
	if (r < 0)
		return err_sys(e, -r, "container '%s': signal %d", ct->id, sig);
	if (sig == SIGKILL && status == CT_PAUSED) /* a frozen v1 group does not act on it */
		return cgroup_freeze(&ct->cgroup, false, e);
	return 0;
}

int ct_pause(struct ct *ct, struct err *e)
{
	enum ct_status status = ct_status(ct);

	if (status != CT_RUNNING && status != CT_CREATED)
		return err_set(e, EBUSY, "container '%s' is %s: only a running one can be paused", ct->id,
			       ct_status_name(status));
	if (!cgroup_any(&ct->cgroup))
		return err_set(e, ENOTSUP, "container '%s' cannot be paused: it has no cgroup", ct->id);
	return cgroup_freeze(&ct->cgroup, true, e);
}

int ct_resume(struct ct *ct, struct err *e)
{
	if (ct_status(ct) != CT_PAUSED)
		return err_set(e, EBUSY, "container '%s' is not paused", ct->id);
	return cgroup_freeze(&ct->cgroup, false, e);
}

int ct_update(struct ct *ct, const struct oci_resources *r, struct err *e)
{
	if (ct_status(ct) == CT_STOPPED)
		return err_set(e, ESRCH, "container '%s' is stopped", ct->id);
	return cgroup_update(&ct->cgroup, r, e);
}

/* --- delete --------------------------------------------------------------------------------------------------- */

/* wait_gone() - until init is no more (or a zombie its parent has yet to reap). */
static bool wait_gone(const struct ct *ct)
{
	int step = KILL_STEP_MS;

	for (int waited = 0; waited < KILL_WAIT_MS; waited += step) {
		if (!proc_alive(ct->pid, ct->start_time))
			return true;
		usleep((useconds_t)step * 1000);
		if (step < KILL_STEP_MAX_MS)
			step *= 2;
	}
	return false;
}

static int force_stop(struct ct *ct, struct err *e)
{
	if (ct->pidfd >= 0) {
		pidfd_send(ct->pidfd, SIGKILL);
		if (cgroup_frozen(&ct->cgroup))
			cgroup_freeze(&ct->cgroup, false, NULL);
		if (!wait_gone(ct))
			return err_sys(e, EBUSY, "process %d does not end after SIGKILL", (int)ct->pid);
	}
	return 0;
}

void ct__poststop(const struct ct *ct, struct err *warning)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf state = { 0 };
	struct oci_spec spec;

	if (ct->no_poststop)
		return;
	if (ct__config(ct, &spec, &a, NULL) == 0 && spec.hooks[OCI_HOOK_POSTSTOP].n &&
	    ct__state_text(ct, CT_STOPPED, 0, &state) == 0)
		hooks_run(&spec, OCI_HOOK_POSTSTOP, state.data, state.len, warning);
}

/* remove_cgroups() - with who is left in them; of groups that were only just being made, no more than the directories. */
static int remove_cgroups(struct ct *ct, struct err *e)
{
	bool ours = has_cgroups(ct);
	int r;

	if (ct->cgroup.n == 0)
		return 0;
	if (ours && !cgroup_delete_empty(&ct->cgroup))
		cgroup_kill(&ct->cgroup, SIGKILL, NULL); /* what shared init's pid namespace */
	r = cgroup_delete(&ct->cgroup, ours ? e : NULL);
	return ours ? r : 0;
}

/* remove_dir() - into @trash, when there is such a directory and it is on the same file system; else at once. */
static int remove_dir(struct ct *ct, int trash, struct err *e)
{
	auto_close int rootfd = file_open(AT_FDCWD, ct->root, O_RDONLY | O_DIRECTORY, 0);

	if (rootfd < 0)
		return err_sys(e, -rootfd, "%s", ct->root);
	if (trash >= 0 && file_rename(rootfd, ct->id, trash, ct->id, RENAME_NOREPLACE) == 0)
		return 0;
	return file_remove_tree(rootfd, ct->id, e);
}

int ct_delete(struct ct *ct, bool force, struct err *e)
{
	return ct_delete_into(ct, force, -1, e);
}

int ct_delete_into(struct ct *ct, bool force, int trash, struct err *e)
{
	enum ct_status status = ct_status(ct);
	struct err warning = { 0 };
	int r = 0;

	if (status != CT_STOPPED && status != CT_CREATED && !force)
		return err_set(e, EBUSY, "cannot delete container %s that is not stopped: %s", ct->id,
			       ct_status_name(status));
	if (status != CT_STOPPED)
		r = force_stop(ct, e);
	if (r == 0)
		r = remove_cgroups(ct, e);
	if (r == 0)
		rdt_delete(ct->intel_rdt);
	if (r == 0)
		ct__poststop(ct, &warning);
	if (r == 0)
		r = remove_dir(ct, trash, e);
	if (r < 0)
		return err_wrap(e, r, "container '%s': delete", ct->id);
	if (warning.code && e)
		*e = warning; /* success; the caller may print what a hook said */
	return 0;
}

int ct_delete_damaged(const char *root, const char *id, struct err *e)
{
	struct ct *ct;
	int r = open_dir(&ct, root, id, e);

	if (r < 0)
		return r;
	load_groups(ct);
	r = remove_cgroups(ct, e);
	if (r == 0)
		r = remove_dir(ct, -1, e);
	ct_free(ct);
	return r < 0 ? err_wrap(e, r, "container '%s': delete", id) : 0;
}
