/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a RUN is a short-lived container without shim or row. A child process, the guard,
 * makes it and waits for it, so that it outlives a killed builder just long enough to end the container
 * with it; meanwhile the builder passes the output on. The guard is in a session of its own: Ctrl-C at the
 * terminal ends the builder, and the guard sees that on its pidfd. All state lies in the step's directory
 * in the store's tmp/.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/oci.h"
#include "runtime/build_internal.h"
#include "runtime/launch.h"
#include "runtime/runtime_internal.h"
#include "runtime/spec.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/path.h"

enum { RUN_SHM_BYTES = 64 << 20 };

/* Not among the instances, whose leftovers the runtime sweeps. */
#define RUN_CGROUP "/hull-build"

/* Variables that reach RUN without an ARG, as Docker has it. */
static const char *const proxy_args[] = {
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
	"ftp_proxy",  "NO_PROXY",   "no_proxy",    "ALL_PROXY",   "all_proxy",
};

/* whole_doc() - the here-document that is the whole command, or NULL. */
static const struct df_heredoc *whole_doc(const struct df_inst *inst)
{
	return inst->n_docs == 1 && !inst->json && str_eq(inst->docs[0].word, inst->words[0]) ?
		       &inst->docs[0] :
		       NULL;
}

static bool is_script(const struct df_heredoc *doc)
{
	return doc && str_starts(doc->text, "#!");
}

json_t *build__run_command(struct build_stage *s, const struct df_inst *inst)
{
	const struct df_heredoc *doc = whole_doc(inst);
	auto_fini(buf) struct buf script = { 0 };
	json_t *argv;

	if (is_script(doc)) {
		buf_printf(&script, "/dev/pipes/%s", doc->name);
		return json_pack("[s]", buf_str(&script));
	}
	argv = inst->json ? json_array() : build__shell(s->scope.image);
	for (size_t i = 0; inst->json && i < inst->n_words; i++)
		json_array_append_new(argv, json_string(inst->words[i]));
	if (inst->json)
		return argv;
	buf_puts(&script, doc ? doc->text : inst->words[0]);
	for (size_t i = 0; !doc && i < inst->n_docs; i++)
		buf_printf(&script, "%s%s%s\n", i ? "" : "\n", inst->docs[i].text, inst->docs[i].name);
	json_array_append_new(argv, json_string(buf_str(&script)));
	return argv;
}

/* --- the specification ---------------------------------------------------------------------------------- */

static void add_mount(json_t *mounts, const char *source, const char *target)
{
	json_array_append_new(mounts, json_pack("{ss, ss, ss, s[ss]}", "Type", "bind", "Source", source,
						"Destination", target, "Options", "rbind", "ro"));
}

/* run_env() - the image's, then the arguments that it does not override. */
static json_t *run_env(struct build *b, struct build_stage *s)
{
	json_t *env = json_deep_copy(json_object_get(build__config_of(s->scope.image), "Env"));

	if (!env)
		env = json_array();
	for (size_t i = 0; i < s->scope.args.len; i++) {
		auto_free char *key = strndup(s->scope.args.item[i], strcspn(s->scope.args.item[i], "="));

		if (key && build__scope_get(&s->scope, key) == s->scope.args.item[i] + strlen(key) + 1)
			json_array_append_new(env, json_string(s->scope.args.item[i]));
	}
	for (size_t i = 0; i < sizeof(proxy_args) / sizeof(*proxy_args) && b->c->args; i++) {
		for (size_t k = 0; k < b->c->args->len; k++) {
			const char *arg = b->c->args->item[k];

			if (strcspn(arg, "=") == strlen(proxy_args[i]) && str_starts(arg, proxy_args[i]) &&
			    strchr(arg, '='))
				json_array_append_new(env, json_string(arg));
		}
	}
	return env;
}

/* run_mounts() - a script that is the command, and with the host's network its names. */
static int run_mounts(const struct df_inst *inst, const struct build_root *root, bool host, json_t *mounts,
		      struct err *e)
{
	const struct df_heredoc *doc = whole_doc(inst);
	auto_free char *source = str_printf("%s/%s/script", store_root(root->store), root->name),
		       *target = NULL;

	if (host && access("/etc/resolv.conf", R_OK) == 0)
		add_mount(mounts, "/etc/resolv.conf", "/etc/resolv.conf");
	if (host && access("/etc/hosts", R_OK) == 0)
		add_mount(mounts, "/etc/hosts", "/etc/hosts");
	if (is_script(doc)) {
		int r = file_replace(root->tmpfd, "script", doc->text, strlen(doc->text), 0755, false, e);

		if (r < 0)
			return r;
		if (fchmodat(root->tmpfd, "script", 0755, 0) < 0)
			return err_sys(e, errno, "script");
		target = str_printf("/dev/pipes/%s", doc->name);
		if (!target || !source)
			return err_set(e, ENOMEM, "out of memory");
		add_mount(mounts, source, target);
	}
	return 0;
}

/* run_config() - the step as an instance's configuration in Docker's shape. */
static int run_config(struct build *b, struct build_stage *s, const struct df_inst *inst,
		      const struct build_root *root, json_t **ret, struct err *e)
{
	const char *network = df_flag(inst, "network");
	json_t *argv = build__run_command(s, inst), *args = json_array(), *mounts = json_array();
	int r;

	if (!network || str_eq(network, "default"))
		network = str_eq(b->c->network, "host") ? "host" : "none";
	for (size_t i = 1; i < json_array_size(argv); i++)
		json_array_append(args, json_array_get(argv, i));
	r = run_mounts(inst, root, str_eq(network, "host"), mounts, e);
	*ret = json_pack("{so*, so, so, s{so, ss, ss, ss}, s{ss, ss, sI}}", "Path",
			 json_incref(json_array_get(argv, 0)), "Args", args, "Mounts", mounts, "Config",
			 "Env", run_env(b, s), "User", build__config_str(s->scope.image, "User"),
			 "WorkingDir", build__config_str(s->scope.image, "WorkingDir"), "Hostname", "build",
			 "HostConfig", "NetworkMode", network, "CgroupParent", RUN_CGROUP, "ShmSize",
			 (json_int_t)RUN_SHM_BYTES);
	json_decref(argv);
	if (r >= 0 && !*ret)
		r = err_set(e, ENOMEM, "out of memory");
	return r;
}

/* --- mount points that the runtime makes in the image and that are not the image's business ------------- */

/* note_stubs() - for each mount: the parts of its path that are not there yet, outermost first. */
static void note_stubs(int rootfd, const struct oci_spec *spec, struct strv *stubs)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const char *path = spec->mounts[i].destination;
		bool inside = false;

		for (size_t k = 0; k < spec->n_mounts; k++) {
			size_t n = strlen(spec->mounts[k].destination);

			inside |= k != i && strncmp(path, spec->mounts[k].destination, n) == 0 &&
				  path[n] == '/';
		}
		for (const char *end = path; *end && !inside;) {
			auto_free char *part = NULL;
			auto_close int fd = -1;

			end = strchrnul(end + 1, '/');
			part = strndup(path, (size_t)(end - path));
			fd = part ? path_open_in_root(rootfd, part, O_PATH, 0) : -1;
			if (fd == -ENOENT)
				strv_add(stubs, part);
		}
	}
}

/* remove_stubs() - what is still empty of them. */
static void remove_stubs(int rootfd, const struct strv *stubs)
{
	for (size_t i = stubs->len; i > 0; i--) {
		auto_free char *name = NULL;
		auto_close int dir = path_parent_in_root(rootfd, stubs->item[i - 1], false, &name);
		struct stat st;

		if (dir < 0 || file_fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			file_unlink(dir, name, AT_REMOVEDIR);
		else if (S_ISREG(st.st_mode) && st.st_size == 0)
			file_unlink(dir, name, 0);
	}
}

/* --- running -------------------------------------------------------------------------------------------- */

/* How it ended, from the guard to the builder in one write. */
struct ending {
	int rc, code;
	struct err e;
};

/* wait_for_end() - of the workload, or of the builder (then -ECANCELED). */
static int wait_for_end(const struct iso *iso, int builder, int *ret_code)
{
	auto_close int workload = pidfd_open(iso->pid); /* our child: its number is its own until we wait */
	struct pollfd p[2] = { { .fd = workload, .events = POLLIN }, { .fd = builder, .events = POLLIN } };
	siginfo_t info = { 0 };
	int r;

	if (workload < 0)
		return workload;
	while (!p[0].revents) {
		if (p[1].revents)
			return -ECANCELED;
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
	}
	r = pidfd_wait(workload, &info, WEXITED);
	*ret_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	return r;
}

static void guard_main(const struct iso_spec *spec, int builder, struct ending *end)
{
	const struct iso_ops *level = iso_find("container", &end->e);
	struct iso *iso = NULL;
	int r = level ? iso_create(level, &iso, spec, &end->e) : -ENOSYS;

	if (r >= 0) {
		r = iso_start(iso, &end->e);
		if (r >= 0)
			r = wait_for_end(iso, builder, &end->code);
		if (iso_remove(iso, -1, r < 0 ? NULL : &end->e) < 0 && r >= 0)
			r = -end->e.code;
	}
	iso_free(iso);
	end->rc = r < 0 ? r : 0;
}

/*
 * pass_output() - until the last one who could write is gone
 * When the guard is killed nobody else ends the container: then we do.
 */
static void pass_output(struct build *b, int fd, int guard, const struct iso_spec *spec)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = guard, .events = POLLIN } };
	char chunk[8192];

	while (poll(p, 2, -1) >= 0 || errno == EINTR) {
		ssize_t n;

		if (p[0].revents) {
			n = read(fd, chunk, sizeof(chunk));
			if (n == 0 || (n < 0 && errno != EINTR))
				return;
			if (n > 0)
				build__progress_output(&b->progress, chunk, (size_t)n);
		} else if (p[1].revents) {
			launch_remove("container", spec->state_root, spec->id, NULL, NULL);
			p[1].fd = -1;
		}
	}
}

/* guarded() - run @spec under a guard, its output to the progress. */
static int guarded(struct build *b, struct iso_spec *spec, struct ending *end, struct err *e)
{
	int out[2] = { -1, -1 }, result[2] = { -1, -1 };
	auto_close int builder = pidfd_open(getpid());
	auto_close int guard = -1;
	ssize_t n;
	pid_t pid;

	if (builder < 0 || file_pipe(out) < 0 || file_pipe(result) < 0)
		return err_sys(e, builder < 0 ? -builder : EMFILE, "pipe");
	spec->stdio[0] = -1;
	spec->stdio[1] = spec->stdio[2] = out[1];
	pid = fork();
	if (pid == 0) {
		setsid();
		guard_main(spec, builder, end);
		file_write(result[1], end, sizeof(*end));
		_exit(0);
	}
	fd_close(&out[1]);
	fd_close(&result[1]);
	if (pid > 0) {
		guard = pidfd_open(pid);
		pass_output(b, out[0], guard, spec);
	}
	n = pid < 0 ? -EAGAIN : file_read(result[0], end, sizeof(*end));
	fd_close(&out[0]);
	fd_close(&result[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (n == (ssize_t)sizeof(*end))
		return 0;
	launch_remove("container", spec->state_root, spec->id, NULL,
		      NULL); /* the output may have ended before its guard */
	return err_set(e, EIO, "the process that ran it was killed");
}

/* run_spec() - the step as a checked specification. */
static int run_spec(struct build *b, struct build_stage *s, const struct df_inst *inst,
		    const struct build_root *root, char *id, struct buf *text, struct oci_spec *oci,
		    struct err *e)
{
	auto_json json_t *config = NULL;
	struct spec_input in = { .id = id, .rootfs_fd = root->mount, .rootless = cred_in_userns() };
	unsigned char random[32];
	int r = run_config(b, s, inst, root, &config, e);

	if (r < 0)
		return r;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, errno, "getrandom");
	str_hex(id, random, sizeof(random));
	in.config = config;
	r = spec_make(&in, text, e);
	return r < 0 ? r : oci_spec_parse(oci, text->data, text->len, &b->arena, e);
}

/* sweep_root() - one directory in the store's tmp/: when nobody holds it, end the container of its step, and remove it. */
static void sweep_root(int tmp, const char *store, const char *name)
{
	auto_close int dir = file_open(tmp, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	auto_close int state = -1;
	auto_free char *path = str_printf("%s/tmp/%s/state", store, name);
	auto_fini(strv) struct strv ids = { 0 };

	if (dir < 0 || !path || file_lock(dir, true, false) < 0)
		return;
	state = file_open(dir, "state", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (state >= 0)
		build__list(state, &ids);
	for (size_t i = 0; i < ids.len; i++)
		launch_remove("container", path, ids.item[i], NULL, NULL);
	file_remove_tree(tmp, name, NULL);
}

void build__sweep(struct store *st)
{
	auto_close int tmp = file_open(store_rootfd(st), "tmp", O_RDONLY | O_DIRECTORY, 0);
	auto_fini(strv) struct strv names = { 0 };

	if (tmp < 0 || build__list(tmp, &names) < 0)
		return;
	for (size_t i = 0; i < names.len; i++)
		if (str_starts(names.item[i], STORE_TMP_FOREIGN))
			sweep_root(tmp, store_root(st), names.item[i]);
}

int build__run(struct build *b, struct build_stage *s, const struct df_inst *inst,
	       const struct build_root *root, struct err *e)
{
	auto_fini(strv) struct strv stubs = { 0 };
	auto_fini(buf) struct buf text = { 0 };
	auto_free char *dir = str_printf("%s/%s", store_root(b->store), root->name);
	auto_free char *state = str_printf("%s/state", dir ? dir : "");
	struct ending end = { 0 };
	struct oci_spec oci;
	char id[INSTANCE_ID_SIZE];
	struct iso_spec spec = { .id = id,
				 .oci = &oci,
				 .rootfs_fd = root->mount,
				 .console_fd = -1,
				 .rootless = cred_in_userns() };
	int r;

	if (!dir || !state)
		return err_set(e, ENOMEM, "out of memory");
	r = run_spec(b, s, inst, root, id, &text, &oci, e);
	if (r < 0)
		return err_wrap(e, r, "RUN");
	spec.state_root = state;
	spec.bundle = dir;
	spec.config_text = text.data;
	spec.config_len = text.len;
	note_stubs(root->mount, &oci, &stubs);
	r = guarded(b, &spec, &end, e);
	remove_stubs(root->mount, &stubs);
	if (r >= 0 && end.rc < 0) {
		if (e)
			*e = end.e;
		r = end.rc;
	}
	if (r < 0)
		return err_wrap(e, r, "%.200s", inst->text);
	return end.code ? err_set(e, ECHILD, "%.200s: exit code %d", inst->text, end.code) : 0;
}
