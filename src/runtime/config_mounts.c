/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_mounts.c - "type=bind,src=/a,dst=/b,ro" and the image's volumes as the list "Mounts"
 *
 * An entry has Docker's members and "Options": what goes into the specification word for word. "Anonymous"
 * marks a volume that goes with its instance, "CopyUp" one that was made now and gets the image's content at
 * its place.
 */
#include <dirent.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/config.h"
#include "runtime/name.h"
#include "runtime/rootfs.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"
#include "sys/path.h"

/* One mount as it was asked for. */
struct ask {
	char *type, *source, *target, *propagation, *mode;
	bool read_only, make_source, no_copy, flat;
	int recursive;    /* of read-only: 0 as far as possible, 1 demanded, -1 only the top */
	struct strv data; /* tmpfs: what the kernel gets */
};

static void ask_fini(struct ask *a)
{
	free(a->type);
	free(a->source);
	free(a->target);
	free(a->propagation);
	free(a->mode);
	strv_fini(&a->data);
}

/* csv_next() - the next field of a CSV record at *@at into @field; "a,b" in quotes is one. */
static bool csv_next(const char **at, struct buf *field)
{
	const char *s = *at;
	bool quoted = *s == '"';

	field->len = 0;
	if (!*s)
		return false;
	for (s += quoted; *s && (quoted || *s != ','); s++) {
		if (quoted && *s == '"' && *++s != '"') {
			quoted = false;
			s--;
			continue;
		}
		buf_putc(field, *s);
	}
	*at = *s == ',' ? s + 1 : s;
	return true;
}

static bool is_true(const char *value)
{
	return !value || str_eq(value, "true") || str_eq(value, "1");
}

static int set_text(char **to, const char *value)
{
	free(*to);
	*to = strdup(value ? value : "");
	return *to ? 0 : -ENOMEM;
}

/* take_bind() / take_tmpfs() - keys of one type. Return: 1 taken, 0 not one of them. */
static int take_bind(struct ask *a, const char *key, const char *value)
{
	if (str_eq(key, "bind-propagation"))
		return set_text(&a->propagation, value) == 0;
	if (str_eq(key, "bind-create-src"))
		a->make_source = is_true(value);
	else if (str_eq(key, "bind-nonrecursive"))
		a->flat = is_true(value);
	else if (str_eq(key, "bind-recursive") && str_eq(value, "disabled"))
		a->flat = true;
	else if (str_eq(key, "bind-recursive") && str_eq(value, "writable"))
		a->recursive = -1;
	else if (str_eq(key, "bind-recursive") && str_eq(value, "readonly"))
		a->recursive = 1;
	else if (!str_eq(key, "bind-recursive") || !str_eq(value, "enabled"))
		return 0;
	return 1;
}

static int take_tmpfs(struct ask *a, const char *key, const char *value)
{
	int64_t bytes;

	if (str_eq(key, "tmpfs-size")) {
		if (!value || (str_to_bytes(value, &bytes) < 0 && !str_ends(value, "%")))
			return 0;
		strv_addf(&a->data, "size=%s", value);
	} else if (str_eq(key, "tmpfs-mode")) {
		if (!value || !*value || strspn(value, "01234567") != strlen(value))
			return 0;
		strv_addf(&a->data, "mode=%s", value);
	} else if (str_eq(a->type,
			  "tmpfs")) { /* the kernel, or the specification's parser, knows what it is */
		strv_addf(&a->data, "%s%s%s", key, value ? "=" : "", value ? value : "");
	} else {
		return 0;
	}
	return 1;
}

static int take_key(struct ask *a, const char *text, const char *key, const char *value, struct err *e)
{
	int r;

	if (str_eq(key, "type"))
		return set_text(&a->type, value);
	if (str_eq(key, "source") || str_eq(key, "src"))
		return set_text(&a->source, value);
	if (str_eq(key, "target") || str_eq(key, "dst") || str_eq(key, "destination"))
		return set_text(&a->target, value);
	if (str_eq(key, "readonly") || str_eq(key, "ro")) {
		a->read_only = is_true(value);
		return 0;
	}
	if (str_eq(key, "z") || str_eq(key, "Z")) /* labels: recorded, SELinux alone gives them a meaning */
		return set_text(&a->mode, key);
	if (str_eq(key, "volume-nocopy")) {
		a->no_copy = is_true(value);
		return 0;
	}
	if (str_eq(key, "consistency") || (str_eq(key, "volume-driver") && str_eq(value, "local")))
		return 0;
	r = str_starts(key, "bind-") ? take_bind(a, key, value) : take_tmpfs(a, key, value);
	return r > 0 ? 0 :
		       err_set(e, EINVAL, "invalid argument \"%s\" for --mount: '%s%s%s' means nothing here",
			       text, key, value ? "=" : "", value ? value : "");
}

static int ask_check(const struct ask *a, const char *text, struct err *e)
{
	static const char *const propagation[] = { "private", "rprivate", "shared",
						   "rshared", "slave",    "rslave" };
	bool bind = str_eq(a->type, "bind"), known = !a->propagation;

	if (!bind && !str_eq(a->type, "volume") && !str_eq(a->type, "tmpfs"))
		return err_set(
			e, EINVAL,
			"invalid argument \"%s\" for --mount: type %s is not one of bind, volume, tmpfs",
			text, a->type);
	if (!a->target || *a->target != '/' || a->target[strspn(a->target, "/.")] == '\0')
		return err_set(
			e, EINVAL,
			"invalid argument \"%s\" for --mount: an absolute target is wanted, and not the root",
			text);
	if (bind && (!a->source || *a->source != '/'))
		return err_set(e, EINVAL, "invalid argument \"%s\" for --mount: an absolute source is wanted",
			       text);
	if (str_eq(a->type, "tmpfs") && a->source)
		return err_set(e, EINVAL, "invalid argument \"%s\" for --mount: a tmpfs has no source", text);
	for (size_t i = 0; i < ARRAY_SIZE(propagation); i++)
		known |= str_eq(a->propagation, propagation[i]);
	if (!known)
		return err_set(e, EINVAL, "invalid argument \"%s\" for --mount: propagation %s", text,
			       a->propagation);
	if (a->recursive == 1 && !a->read_only)
		return err_set(e, EINVAL,
			       "invalid argument \"%s\" for --mount: bind-recursive=readonly needs readonly",
			       text);
	return 0;
}

static int ask_parse(struct ask *a, const char *text, struct err *e)
{
	auto_fini(buf) struct buf field = { 0 };
	const char *at = text;
	int r = set_text(&a->type, "volume");

	while (r >= 0 && csv_next(&at, &field)) {
		char *key = field.data, *eq = key ? strchr(key, '=') : NULL;

		if (eq)
			*eq++ = '\0';
		r = key ? take_key(a, text, key, eq, e) : -EINVAL;
	}
	if (r < 0)
		return e && e->code ? r : err_set(e, EINVAL, "invalid argument \"%s\" for --mount", text);
	return ask_check(a, text, e);
}

static void add_option(json_t *options, const char *word)
{
	json_array_append_new(options, json_string(word));
}

static json_t *mount_new(const char *type, const char *source, const struct ask *a)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "Type", type, "Source", source, "Destination",
			 a->target, "Mode", a->mode ? a->mode : "", "RW", !a->read_only, "Propagation",
			 a->propagation ? a->propagation : "");
}

static int add_bind(json_t *list, const struct ask *a, const char *source, json_t *m, struct err *e)
{
	json_t *options = json_array();
	const char *propagation = a->propagation ? a->propagation : "rprivate";

	if (!m)
		m = mount_new("bind", source, a);
	add_option(options, a->flat ? "bind" : "rbind");
	if (a->read_only)
		add_option(options, a->recursive < 0 || a->flat ? "ro" : "rro");
	add_option(options, propagation);
	config_put_str(m, "Propagation", propagation);
	json_object_set_new(m, "Options", options);
	return json_array_append_new(list, m) == 0 ? 0 : err_sys(e, ENOMEM, "--mount");
}

/* bind_source() - -v makes a missing directory, --mount does not. */
static int bind_source(const struct ask *a, struct err *e)
{
	struct stat st;
	int r = 0;

	BUG_ON(!a->source); /* ask_check() wants one */
	if (stat(a->source, &st) == 0)
		return 0;
	if (errno != ENOENT || !a->make_source)
		return err_sys(e, errno, "bind source '%s'", a->source);
	r = file_mkdirs(AT_FDCWD, a->source, 0755);
	return r < 0 ? err_sys(e, -r, "bind source '%s'", a->source) : 0;
}

static bool is_empty_dir(const char *path)
{
	DIR *d = opendir(path);
	bool empty = d != NULL;
	struct dirent *de;

	while (d && empty && (de = readdir(d)))
		empty = str_eq(de->d_name, ".") || str_eq(de->d_name, "..");
	if (d)
		closedir(d);
	return empty;
}

/* list_volume() - written down before it is made: whoever finds the directory without its row knows what else
 * to remove. */
static int list_volume(int dirfd, const char *name, struct err *e)
{
	auto_close int fd =
		file_open(dirfd, INSTANCE_VOLUMES, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	char line[80];
	int r = fd;

	str_format(line, sizeof(line), "%s\n", name);
	if (r >= 0)
		r = file_write(fd, line, strlen(line));
	return r < 0 ? err_sys(e, -r, "volume %s", name) : 0;
}

void config_forget_volumes(struct runtime *rt, int dirfd)
{
	auto_fini(buf) struct buf text = { 0 };
	auto_fini(strv) struct strv names = { 0 };

	if (file_slurp_at(dirfd, INSTANCE_VOLUMES, &text, INSTANCE_TEXT_MAX) < 0)
		return;
	strv_split(&names, buf_str(&text), '\n');
	for (size_t i = 0; i < names.len; i++)
		if (*names.item[i])
			store_volume_remove(rt->store, names.item[i], NULL);
}

static int add_volume(const struct config_from *from, json_t *list, const struct ask *a, struct err *e)
{
	bool anonymous = !a->source || !*a->source, fresh = false;
	auto_free char *path = NULL;
	char made_up[65];
	json_t *m;
	int r = 0;

	if (anonymous) {
		name_id(made_up);
		r = list_volume(from->dirfd, made_up, e);
	}
	if (r >= 0)
		r = store_volume_make(from->rt->store, anonymous ? made_up : a->source, &path, &fresh, e);
	if (r < 0)
		return r;
	m = mount_new("volume", path, a);
	json_object_set_new(m, "Name", json_string(anonymous ? made_up : a->source));
	json_object_set_new(m, "Driver", json_string("local"));
	json_object_set_new(m, "Anonymous", json_boolean(anonymous));
	json_object_set_new(m, "CopyUp", json_boolean(!a->no_copy && (fresh || is_empty_dir(path))));
	return add_bind(list, a, path, m, e);
}

static int add_tmpfs(json_t *list, const struct ask *a, struct err *e)
{
	json_t *m = mount_new("tmpfs", "", a), *options = json_array();

	add_option(options, "noexec");
	add_option(options, "nosuid");
	add_option(options, "nodev");
	if (a->read_only)
		add_option(options, "ro");
	for (size_t i = 0; i < a->data.len; i++) /* later ones win: "exec" */
		add_option(options, a->data.item[i]);
	json_object_set_new(m, "Options", options);
	return json_array_append_new(list, m) == 0 ? 0 : err_sys(e, ENOMEM, "--tmpfs");
}

static bool has_target(const json_t *list, const char *target)
{
	size_t len = strlen(target), i;
	json_t *m;

	while (len > 1 && target[len - 1] == '/')
		len--;
	json_array_foreach(list, i, m)
	{
		const char *other = json_string_value(json_object_get(m, "Destination"));

		if (other && strncmp(other, target, len) == 0 &&
		    other[len + strspn(other + len, "/")] == '\0')
			return true;
	}
	return false;
}

static int add_asked(const struct config_from *from, json_t *list, const char *text, struct err *e)
{
	auto_fini(ask) struct ask a = { 0 };
	int r = ask_parse(&a, text, e);

	if (r < 0)
		return r;
	if (has_target(list, a.target))
		return err_set(e, EINVAL, "--mount: two mounts at '%s'", a.target);
	if (str_eq(a.type, "volume"))
		return add_volume(from, list, &a, e);
	if (str_eq(a.type, "tmpfs"))
		return add_tmpfs(list, &a, e);
	r = bind_source(&a, e);
	return r < 0 ? r : add_bind(list, &a, a.source, NULL, e);
}

int config_mounts(const struct config_from *from, const json_t *image_config, json_t **ret, struct err *e)
{
	auto_json json_t *list = json_array();
	json_t *volumes = json_object_get(image_config, "Volumes");
	int r = 0;

	for (size_t i = 0; i < from->c->mounts.len && r >= 0; i++)
		r = add_asked(from, list, from->c->mounts.item[i], e);
	for (void *i = json_object_iter(volumes); i && r >= 0; i = json_object_iter_next(volumes, i)) {
		auto_fini(ask) struct ask a = { 0 };

		if (set_text(&a.target, json_object_iter_key(i)) < 0)
			r = err_sys(e, ENOMEM, "volumes");
		else if (*a.target == '/' && a.target[strspn(a.target, "/.")] && !has_target(list, a.target))
			r = add_volume(from, list, &a, e);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	return 0;
}

/* copy_tree() - the content of the directory @from below @root into the directory @to, as a tar stream. */
static int copy_tree(int root, const char *from, int to, struct err *e)
{
	int pipe[2], status = 0, r = file_pipe(pipe);
	pid_t pid;

	if (r < 0)
		return err_sys(e, -r, "pipe");
	pid = fork();
	if (pid == 0) {
		close(pipe[0]);
		_exit(store_tar_tree(root, from, ".", pipe[1], NULL) < 0);
	}
	close(pipe[1]);
	r = pid < 0 ? -errno : store_untar_into(to, "/", pipe[0], true, e);
	close(pipe[0]);
	if (pid > 0 && (waitpid(pid, &status, 0) < 0 || status != 0) && r >= 0)
		r = err_set(e, EIO, "reading it failed");
	return r;
}

static int copy_one(const json_t *m, int root, struct err *e)
{
	const char *target = instance__str(m, NULL, "Destination"),
		   *source = instance__str(m, NULL, "Source");
	auto_close int from = path_open_in_root(root, target, O_RDONLY | O_DIRECTORY, 0);
	auto_close int to = file_open(AT_FDCWD, source, O_RDONLY | O_DIRECTORY, 0);
	struct stat st;
	int r;

	if (from < 0) /* the image has no such directory: nothing to copy */
		return 0;
	if (to < 0 || fstat(from, &st) < 0)
		return err_sys(e, to < 0 ? -to : errno, "volume '%s'", source);
	r = copy_tree(root, target, to, e);
	if (r >= 0 && (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0))
		r = err_sys(e, errno, "owner and mode");
	return r < 0 ? err_wrap(e, r, "copy the image's '%s' into its new volume", target) : 0;
}

int config_copy_up(const json_t *config, const char *dir, struct err *e)
{
	auto_close int root = -1;
	const json_t *list = json_object_get(config, "Mounts");
	json_t *m;
	size_t i;
	int r = 0;

	json_array_foreach(list, i, m)
	{
		if (!instance__bool(m, NULL, "CopyUp") || r < 0)
			continue;
		if (root < 0) {
			root = rootfs_open(dir, NULL, e);
			r = root < 0 ? root : 0;
		}
		if (r >= 0)
			r = copy_one(m, root, e);
		json_object_del(m, "CopyUp");
	}
	return r;
}
