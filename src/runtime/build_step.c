/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a step that makes a layer has a key, the digest of all that its result depends on:
 * the layers below, what the instruction says after expansion, and the content it copies. The store
 * remembers key -> layer. On a miss the layers below are mounted with an empty upper directory in the
 * store's tmp/, the step writes into that, and the upper directory becomes the layer.
 *
 * COPY --from has a second, quick key of its source's layers instead of its content; a hit spares reading
 * the files. The content is digested once more while it is copied, and that digest names the layer: files
 * that change meanwhile cannot poison the cache.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "fs/overlay.h"
#include "runtime/build_internal.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/path.h"

/* --- a root to write in --------------------------------------------------------------------------------- */

enum { ROOT_TRIES = 16 };

/* tmp_make() - a locked directory in the store's tmp/: build__sweep() removes those that nobody holds. */
static int tmp_make(struct build_root *r, struct err *e)
{
	static unsigned number;
	int rootfd = store_rootfd(r->store), rc = -EEXIST;

	for (int i = 0; i < ROOT_TRIES && (rc == -EEXIST || rc == -ENOENT); i++) {
		struct stat here, there;

		str_format(r->name, sizeof(r->name), "tmp/" STORE_TMP_FOREIGN "build-%d-%u", (int)getpid(),
			   number++);
		rc = mkdirat(rootfd, r->name, 0700) < 0 ? -errno : 0;
		if (rc < 0)
			continue;
		r->tmpfd = file_open(rootfd, r->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		rc = r->tmpfd < 0 ? r->tmpfd : file_lock(r->tmpfd, true, true);
		/* between mkdir and lock somebody may have swept it away */
		if (rc == 0 && (fstat(r->tmpfd, &here) < 0 || file_fstatat(rootfd, r->name, &there, 0) < 0 ||
				here.st_ino != there.st_ino)) {
			fd_close(&r->tmpfd);
			rc = -ENOENT;
		}
	}
	return rc < 0 ? err_sys(e, -rc, "temporary directory %s/%s", store_root(r->store), r->name) : 0;
}

/*
 * lower_paths() - the layers, topmost first, as overlay_open() takes them; an empty directory below them
 * all.
 */
static int lower_paths(struct build_root *r, const struct strv *layers, struct strv *lower, struct err *e)
{
	for (size_t i = layers->len; i > 0; i--) {
		char *path = NULL;
		int rc = store_layer_path(r->store, layers->item[i - 1], &path, e);

		if (rc < 0)
			return rc;
		strv_add(lower, path);
		free(path);
	}
	if (layers->len == 0)
		strv_addf(lower, "%s/%s/empty", store_root(r->store), r->name);
	return strv_finish(lower) < 0 ? err_set(e, ENOMEM, "out of memory") : 0;
}

static int root_mount(struct build_root *r, const struct strv *layers, struct err *e)
{
	auto_fini(strv) struct strv lower = { 0 };
	auto_free char *upper = str_printf("%s/%s/upper", store_root(r->store), r->name);
	auto_free char *work = str_printf("%s/%s/work", store_root(r->store), r->name);
	struct overlay o = { .upper = upper, .work = work, .discard = true, .userxattr = cred_in_userns() };
	int rc = lower_paths(r, layers, &lower, e);

	if (rc < 0)
		return rc;
	if (!upper || !work)
		return err_set(e, ENOMEM, "out of memory");
	o.lower = lower.item;
	o.n_lower = lower.len;
	return overlay_open(&o, e);
}

int build__root_open(struct build_root *r, struct store *st, const struct strv *layers, struct err *e)
{
	static const char *const parts[] = { "upper", "work", "empty" };
	int rc;

	*r = (struct build_root)BUILD_ROOT_NONE;
	r->store = st;
	rc = tmp_make(r, e);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts) && rc >= 0; i++) {
		rc = file_mkdir(r->tmpfd, parts[i], 0755);
		if (rc < 0)
			err_sys(e, -rc, "%s/%s", r->name, parts[i]);
	}
	if (rc >= 0) {
		r->upper = rc = file_open(r->tmpfd, "upper", O_RDONLY | O_DIRECTORY, 0);
		if (rc < 0)
			err_sys(e, -rc, "%s/upper", r->name);
	}
	if (rc >= 0)
		r->mount = rc = root_mount(r, layers, e);
	if (rc < 0)
		build_root_fini(r);
	return rc < 0 ? rc : 0;
}

void build_root_fini(struct build_root *r)
{
	fd_close(&r->mount);
	fd_close(&r->upper);
	if (r->tmpfd >= 0)
		file_remove_tree(store_rootfd(r->store), r->name, NULL);
	fd_close(&r->tmpfd);
}

/* clamp() - no time below @fd later than SOURCE_DATE_EPOCH. */
static int clamp(int fd, int64_t epoch_s)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = epoch_s } };
	auto_fini(strv) struct strv names = { 0 };
	int r = build__list(fd, &names);

	for (size_t i = 0; i < names.len && r >= 0; i++) {
		struct stat st;

		r = file_fstatat(fd, names.item[i], &st, AT_SYMLINK_NOFOLLOW);
		if (r >= 0 && S_ISDIR(st.st_mode)) {
			auto_close int sub =
				file_open(fd, names.item[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

			r = sub < 0 ? sub : clamp(sub, epoch_s);
		}
		if (r >= 0 && st.st_mtim.tv_sec >= epoch_s &&
		    utimensat(fd, names.item[i], times, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
	}
	return r;
}

/* --- keys ----------------------------------------------------------------------------------------------- */

void build__key_str(struct digest *d, const char *s)
{
	const uint64_t len = s ? strlen(s) : UINT64_MAX;

	digest_update(d, &len, sizeof(len));
	if (s)
		digest_update(d, s, strlen(s));
}

void build__key_json(struct digest *d, json_t *v)
{
	auto_free char *text = v ? json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;

	build__key_str(d, text);
}

static void key_strv(struct digest *d, const struct strv *v)
{
	const uint64_t n = v->len;

	digest_update(d, &n, sizeof(n));
	for (size_t i = 0; i < v->len; i++)
		build__key_str(d, v->item[i]);
}

void build__key_begin(struct digest *d, const char *kind, const struct strv *layers)
{
	digest_init(d, DIGEST_SHA256);
	build__key_str(d, "hull build 1");
	build__key_str(d, kind);
	key_strv(d, layers);
}

/* --- one step ------------------------------------------------------------------------------------------- */

/* What a step came to. */
struct result {
	char diff_id[STORE_DIGEST_SIZE]; /* "": it changed nothing */
	char created[TIME_RFC3339_SIZE];
};

struct step {
	struct build *b;
	struct build_stage *stage;
	const struct df_inst *inst;
	struct result result;
};

static const char *created_now(const struct build *b, char *dst)
{
	nsec_t now = time_now_ns(CLOCK_REALTIME);

	if (b->epoch_s >= 0 && now > b->epoch_s * NSEC_PER_SEC)
		now = b->epoch_s * NSEC_PER_SEC;
	return time_rfc3339(now, dst);
}

/* cache_find() - 1: found, and its layer is there; 0: not. */
static int cache_find(struct step *s, const char *key, struct err *e)
{
	auto_free char *text = NULL, *path = NULL;
	char diff_id[STORE_DIGEST_SIZE] = "";
	json_t *facts;
	const char *created;
	int r;

	if (s->b->c->no_cache)
		return 0;
	r = store_cache_get(s->b->store, key, diff_id, &text, e);
	if (r <= 0)
		return r;
	if (*diff_id && store_layer_path(s->b->store, diff_id, &path, NULL) < 0)
		return 0;
	facts = text ? json_loads(text, 0, NULL) : NULL;
	created = json_string_value(json_object_get(facts, "created"));
	r = created && str_copy(s->result.created, sizeof(s->result.created), created) ? 1 : 0;
	json_decref(facts);
	str_copy(s->result.diff_id, sizeof(s->result.diff_id), diff_id);
	return r;
}

static int cache_keep(struct step *s, const char *key, struct err *e)
{
	auto_free char *facts = str_printf("{\"created\":\"%s\"}", s->result.created);

	if (!facts)
		return err_set(e, ENOMEM, "out of memory");
	return store_cache_put(s->b->store, key, s->result.diff_id, facts, e);
}

/* layer_make() - what was written into @root, as a layer. */
static int layer_make(struct step *s, struct build_root *root, struct err *e)
{
	bool empty = false;
	int r = 0;

	fd_close(&root->mount); /* from here on nobody else sees the upper directory */
	if (s->b->epoch_s >= 0) {
		r = clamp(root->upper, s->b->epoch_s);
		if (r < 0)
			return err_sys(e, -r, "set times");
	}
	r = store_layer_from_upper(s->b->store, root->upper, s->result.diff_id, &empty, e);
	if (r < 0)
		return r;
	if (empty)
		s->result.diff_id[0] = '\0';
	created_now(s->b, s->result.created);
	return 0;
}

/* Steps' parts return 1 when the cache had it, 0 when it was made, -errno. */

static int run_step(struct step *s, struct err *e)
{
	auto_fini(build_root) struct build_root root = BUILD_ROOT_NONE;
	struct build_stage *stage = s->stage;
	json_t *config = build__config_of(stage->scope.image), *argv = build__run_command(stage, s->inst);
	char key[STORE_DIGEST_SIZE];
	struct digest d;
	int r;

	build__key_begin(&d, "RUN", &stage->layers);
	build__key_json(&d, argv);
	json_decref(argv);
	for (size_t i = 0; i < s->inst->n_docs; i++)
		build__key_str(&d, s->inst->docs[i].text);
	build__key_json(&d, json_object_get(config, "Env"));
	build__key_json(&d, json_object_get(config, "User"));
	build__key_json(&d, json_object_get(config, "WorkingDir"));
	key_strv(&d, &stage->scope.args);
	build__key_str(&d, df_flag(s->inst, "network"));
	build__key_str(&d, s->b->c->network);
	digest_final(&d, key);
	r = cache_find(s, key, e);
	if (r != 0)
		return r;
	r = build__root_open(&root, s->b->store, &stage->layers, e);
	if (r >= 0)
		r = build__run(s->b, stage, s->inst, &root, e);
	if (r >= 0)
		r = layer_make(s, &root, e);
	return r < 0 ? r : cache_keep(s, key, e);
}

static int workdir_step(struct step *s, struct err *e)
{
	auto_fini(build_root) struct build_root root = BUILD_ROOT_NONE;
	struct build_stage *stage = s->stage;
	auto_close int dir = -1;
	char key[STORE_DIGEST_SIZE];
	struct digest d;
	const char *path;
	int r = build__meta(&stage->scope, s->inst, &stage->cmd_set, &s->b->arena, e);

	if (r < 0)
		return r;
	path = build__config_str(stage->scope.image, "WorkingDir");
	build__key_begin(&d, "WORKDIR", &stage->layers);
	build__key_str(&d, path);
	digest_final(&d, key);
	r = cache_find(s, key, e);
	if (r != 0)
		return r;
	r = build__root_open(&root, s->b->store, &stage->layers, e);
	if (r >= 0)
		r = dir = path_make_in_root(root.mount, path, true, 0755, e);
	if (r >= 0)
		r = layer_make(s, &root, e);
	return r < 0 ? err_wrap(e, r, "WORKDIR") : cache_keep(s, key, e);
}

/* copy_words() - what COPY and ADD say, into a key. */
static void copy_words(struct digest *d, const struct build_copy *c)
{
	const uint32_t mode = c->mode_set ? c->mode : UINT32_MAX;

	build__key_str(d, c->dest);
	digest_update(d, &c->dest_slash, 1);
	build__key_str(d, c->chown);
	digest_update(d, &mode, sizeof(mode));
}

static int copy_quick_key(struct step *s, const struct build_copy *c, char *key, struct err *e)
{
	struct digest d;
	int r = 0;

	build__key_begin(&d, "COPY by layers", &s->stage->layers);
	key_strv(&d, &c->from_layers);
	copy_words(&d, c);
	for (size_t i = 0; i + 1 < s->inst->n_words && r >= 0; i++) {
		char *word;

		r = build__expand(&s->stage->scope, s->inst->words[i], &word, &s->b->arena, e);
		if (r >= 0)
			build__key_str(&d, word);
	}
	digest_final(&d, key);
	return r;
}

/*
 * copy_walk() - digest the sources, and copy them below @rootfd unless that is -1; the key of what was
 * read.
 */
static int copy_walk(struct step *s, struct build_copy *c, int rootfd, char *key, struct err *e)
{
	struct digest d;
	int r;

	build__key_begin(&d, c->name, &s->stage->layers);
	copy_words(&d, c);
	c->digest = &d;
	c->rootfd = rootfd;
	r = build__copy_walk(c, e);
	c->digest = NULL;
	digest_final(&d, key);
	return r;
}

static int copy_make(struct step *s, struct build_copy *c, const char *quick, struct err *e)
{
	auto_fini(build_root) struct build_root root = BUILD_ROOT_NONE;
	char key[STORE_DIGEST_SIZE];
	int r = build__root_open(&root, s->b->store, &s->stage->layers, e);

	if (r >= 0)
		r = copy_walk(s, c, root.mount, key, e);
	if (r >= 0)
		r = layer_make(s, &root, e);
	if (r >= 0)
		r = cache_keep(s, key, e);
	return r >= 0 && *quick ? cache_keep(s, quick, e) : r;
}

static int copy_step(struct step *s, struct err *e)
{
	auto_fini(build_copy) struct build_copy c = { .other = BUILD_ROOT_NONE };
	char quick[STORE_DIGEST_SIZE] = "", key[STORE_DIGEST_SIZE];
	int r = build__copy_plan(&c, s->b, s->stage, s->inst, e);

	if (r >= 0 && c.from && s->inst->n_docs == 0) {
		r = copy_quick_key(s, &c, quick, e);
		r = r < 0 ? r : cache_find(s, quick, e);
	}
	if (r != 0)
		return r;
	r = build__copy_open(&c, e);
	if (r >= 0 && !s->b->c->no_cache) {
		r = copy_walk(s, &c, -1, key, e);
		r = r < 0 ? r : cache_find(s, key, e);
		if (r > 0 && *quick && cache_keep(s, quick, e) < 0)
			return -EIO;
	}
	return r != 0 ? r : copy_make(s, &c, quick, e);
}

/* created_by() - the line of the history. */
static char *created_by(struct build_stage *stage, const struct df_inst *inst)
{
	struct buf b = { 0 };
	json_t *argv;

	if (inst->op != DF_RUN)
		return strdup(inst->text);
	argv = build__run_command(stage, inst);
	buf_puts(&b, "RUN");
	if (stage->scope.args.len > 0)
		buf_printf(&b, " |%zu", stage->scope.args.len);
	for (size_t i = 0; i < stage->scope.args.len; i++)
		buf_printf(&b, " %s", stage->scope.args.item[i]);
	for (size_t i = 0; i < json_array_size(argv); i++)
		buf_printf(&b, " %s", json_string_value(json_array_get(argv, i)));
	json_decref(argv);
	return buf_take(&b);
}

static int apply(struct step *s, struct err *e)
{
	struct build_stage *stage = s->stage;
	auto_free char *by = created_by(stage, s->inst);

	str_copy(stage->created, sizeof(stage->created), s->result.created);
	if (*s->result.diff_id)
		strv_add(&stage->layers, s->result.diff_id);
	if (!by || strv_finish(&stage->layers) < 0 ||
	    build__history_add(stage->scope.image, s->result.created, by, !*s->result.diff_id) < 0)
		return err_set(e, ENOMEM, "out of memory");
	return 0;
}

int build__step(struct build *b, struct build_stage *stage, const struct df_inst *inst, struct err *e)
{
	struct step s = { .b = b, .stage = stage, .inst = inst };
	char title[256];
	int r;

	stage->step++;
	str_format(title, sizeof(title), "[%s%s%u/%u] %s", stage->df->name ? stage->df->name : "",
		   stage->df->name ? " " : "", stage->step, stage->steps, inst->text);
	build__progress_begin(&b->progress, title);
	r = inst->op == DF_RUN     ? run_step(&s, e) :
	    inst->op == DF_WORKDIR ? workdir_step(&s, e) :
				     copy_step(&s, e);
	build__progress_end(&b->progress, r > 0, r < 0);
	return r < 0 ? r : apply(&s, e);
}
