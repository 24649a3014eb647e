/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: parse; find out which stages the target needs; refuse what is not supported before
 * any of it runs; run the needed stages in order; register the last one's configuration and layers as an
 * image. A stage is a configuration (JSON, so that what a base image says and hull does not know is kept)
 * and a list of layers; an instruction changes one or adds to both. Nothing but finished layers and cache
 * rows outlives a killed build, so starting it again goes on where it was.
 */
#include "runtime/build.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/build_internal.h"
#include "runtime/runtime.h"
#include "sys/file.h"
#include "sys/path.h"

#if defined(__x86_64__)
#define BUILD_ARCH "amd64"
#elif defined(__aarch64__)
#define BUILD_ARCH "arm64"
#else
#error "which architecture do images for this machine name?"
#endif

#define BUILD_PLATFORM "linux/" BUILD_ARCH

static const char *const platform_args[] = {
	"TARGETPLATFORM=" BUILD_PLATFORM, "TARGETOS=linux", "TARGETARCH=" BUILD_ARCH, "TARGETVARIANT=",
	"BUILDPLATFORM=" BUILD_PLATFORM,  "BUILDOS=linux",  "BUILDARCH=" BUILD_ARCH,  "BUILDVARIANT=",
};

/* --- input ---------------------------------------------------------------------------------------------- */

static int read_dockerfile(struct build *b, struct buf *text, const char **ret_name, struct err *e)
{
	const char *file = b->c->file;
	int r;

	if (str_eq(file, "-")) {
		*ret_name = "Dockerfile";
		r = file_slurp(STDIN_FILENO, text, DOCKERFILE_BYTES_MAX);
		return r < 0 ? err_sys(e, -r, "Dockerfile from standard input") : 0;
	}
	if (file) {
		const char *slash = strrchr(file, '/');

		*ret_name = slash ? slash + 1 : file;
		r = file_slurp_at(AT_FDCWD, file, text, DOCKERFILE_BYTES_MAX);
	} else if (b->ctxfd < 0) {
		return err_set(e, EINVAL,
			       "no build context and no Dockerfile: name a directory, or a file with -f");
	} else {
		auto_close int fd = path_open_in_root(b->ctxfd, "Dockerfile", O_RDONLY, 0);

		*ret_name = file = "Dockerfile";
		r = fd < 0 ? fd : file_slurp(fd, text, DOCKERFILE_BYTES_MAX);
	}
	return r < 0 ? err_sys(e, -r, "%s%s%s", b->c->file ? "" : b->c->context, b->c->file ? "" : "/",
			       file) :
		       0;
}

/* read_ignore() - "<Dockerfile>.dockerignore" beside a Dockerfile that was named, else the context's. */
static int read_ignore(struct build *b, struct err *e)
{
	auto_free char *own =
		b->c->file ? str_printf("%s.dockerignore", b->c->file) : strdup("Dockerfile.dockerignore");
	auto_fini(buf) struct buf text = { 0 };
	const char *name = own;
	int r;

	if (b->ctxfd < 0)
		return 0;
	if (!own)
		return err_set(e, ENOMEM, "out of memory");
	r = file_slurp_at(b->c->file ? AT_FDCWD : b->ctxfd, own, &text, DOCKERIGNORE_BYTES_MAX);
	if (r == -ENOENT || r == -ENOTDIR) {
		auto_close int fd = path_open_in_root(b->ctxfd, ".dockerignore", O_RDONLY, 0);

		name = ".dockerignore";
		r = fd < 0 ? fd : file_slurp(fd, &text, DOCKERIGNORE_BYTES_MAX);
	}
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "%s", name);
	return dockerignore_parse(&b->ignore, name, buf_str(&text), text.len, &b->arena, e);
}

static int read_epoch(struct build *b, struct err *e)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");

	b->epoch_s = -1;
	if (!text || !*text)
		return 0;
	if (str_to_i64(text, &b->epoch_s) < 0 || b->epoch_s < 0 || b->epoch_s > INT64_MAX / NSEC_PER_SEC)
		return err_set(e, EINVAL, "SOURCE_DATE_EPOCH='%s': not seconds since 1970", text);
	return 0;
}

static int read_input(struct build *b, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	const char *name = "Dockerfile";
	int r;

	if (b->c->context) {
		b->ctxfd = file_open(AT_FDCWD, b->c->context, O_RDONLY | O_DIRECTORY, 0);
		if (b->ctxfd < 0)
			return err_sys(e, -b->ctxfd, "build context '%s'", b->c->context);
	}
	r = read_epoch(b, e);
	if (r >= 0)
		r = read_dockerfile(b, &text, &name, e);
	if (r >= 0)
		r = read_ignore(b, e);
	if (r < 0)
		return r;
	name = arena_strdup(&b->arena, name);
	return name ? dockerfile_parse(&b->df, name, buf_str(&text), text.len, &b->arena, e) : -ENOMEM;
}

/* at() - put "Dockerfile:7" in front of an error. */
static int at(const struct build *b, const struct df_inst *inst, int r, struct err *e)
{
	return r < 0 ? err_wrap(e, r, "%s:%u", b->df.name, inst->line) : r;
}

/* --- arguments ------------------------------------------------------------------------------------------ */

/* build_arg() - the value --build-arg gives for @key, or NULL. */
static const char *build_arg(struct build *b, const char *key)
{
	const char *value = NULL;

	for (size_t i = 0; b->c->args && i < b->c->args->len; i++) {
		const char *arg = b->c->args->item[i];
		size_t n = strcspn(arg, "=");

		if (strncmp(arg, key, n) == 0 && !key[n])
			value = arg[n] ? arg + n + 1 : getenv(key);
	}
	if (value)
		strv_add(&b->used_args, key);
	return value;
}

/* do_arg() - ARG in @scope; @outer: where a name without value may have one, NULL in the global scope. */
static int do_arg(struct build *b, struct build_scope *scope, const struct build_scope *outer,
		  const struct df_inst *inst, struct err *e)
{
	for (size_t i = 0; i < inst->n_pairs; i++) {
		const char *key = inst->pairs[i].key, *value = build_arg(b, key);
		char *text;
		int r = 0;

		if (!value && inst->pairs[i].value) {
			r = build__expand(scope, inst->pairs[i].value, &text, &b->arena, e);
			value = text;
		} else if (!value && outer) {
			value = build__scope_get((void *)outer, key);
		}
		if (r >= 0 && value)
			r = build__scope_set(scope, key, value);
		if (r < 0)
			return err_wrap(e, r, "ARG %s", key);
	}
	return 0;
}

static int global_args(struct build *b, struct err *e)
{
	int r = 0;

	b->global.escape = b->df.escape;
	for (size_t i = 0; i < ARRAY_SIZE(platform_args); i++)
		strv_add(&b->global.args, platform_args[i]);
	for (size_t i = 0; i < b->df.n_global && r >= 0; i++)
		r = at(b, &b->df.inst[i], do_arg(b, &b->global, NULL, &b->df.inst[i], e), e);
	return r;
}

static void tell_unused_args(struct build *b)
{
	for (size_t i = 0; b->c->args && i < b->c->args->len; i++) {
		const char *arg = b->c->args->item[i];
		size_t n = strcspn(arg, "=");
		bool used = n > 6 && (strncasecmp(arg + n - 6, "_proxy", 6) == 0);

		for (size_t k = 0; k < b->used_args.len; k++)
			used |= strncmp(b->used_args.item[k], arg, n) == 0 && !b->used_args.item[k][n];
		if (!used)
			log_warn("build", "--build-arg %.*s: no ARG takes it", (int)n, arg);
	}
}

/* --- plan ----------------------------------------------------------------------------------------------- */

static bool makes_layer(enum df_op op)
{
	return op == DF_RUN || op == DF_COPY || op == DF_ADD || op == DF_WORKDIR;
}

/* refuse() - what the language has and this builder does not. */
static int refuse(const struct df_inst *inst, struct err *e)
{
	static const struct {
		enum df_op op;
		const char *flag;
	} no[] = {
		{ DF_RUN, "mount" },        { DF_RUN, "device" },  { DF_COPY, "parents" },
		{ DF_COPY, "exclude" },     { DF_ADD, "exclude" }, { DF_ADD, "checksum" },
		{ DF_ADD, "keep-git-dir" }, { DF_ADD, "unpack" },
	};
	const char *network = df_flag(inst, "network"), *security = df_flag(inst, "security");

	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		if (inst->op == no[i].op && df_flag(inst, no[i].flag))
			return err_set(e, EOPNOTSUPP, "%s --%s is not supported yet", df_op_name(inst->op),
				       no[i].flag);
	}
	for (size_t i = 0; inst->op == DF_ADD && i + 1 < inst->n_words; i++) {
		if (build__is_remote(inst->words[i]))
			return err_set(e, EOPNOTSUPP, "ADD of a URL is not supported yet");
	}
	if (network && !str_eq(network, "default") && !str_eq(network, "none") && !str_eq(network, "host"))
		return err_set(e, EINVAL, "RUN --network=%s: not default, none or host", network);
	if (security && !str_eq(security, "sandbox"))
		return err_set(e, EOPNOTSUPP, "RUN --security=%s is not supported", security);
	return 0;
}

int build_platform_check(const char *platform, struct err *e)
{
	if (str_eq(platform, BUILD_PLATFORM))
		return 0;
	return err_set(e, EOPNOTSUPP, "--platform=%s: only " BUILD_PLATFORM " can be built here", platform);
}

/* base_of() - FROM's word and platform, expanded. */
static int base_of(struct build *b, const struct build_stage *s, char **ret, struct err *e)
{
	const char *platform = df_flag(s->df->from, "platform");
	char *text;
	int r = build__expand(&b->global, s->df->base, ret, &b->arena, e);

	if (r >= 0 && !**ret)
		r = err_set(e, EINVAL, "'%s' is empty", s->df->base);
	if (r >= 0 && platform) {
		r = build__expand(&b->global, platform, &text, &b->arena, e);
		if (r >= 0 && *text)
			r = build_platform_check(text, e);
	}
	return r < 0 ? err_wrap(e, r, "FROM") : 0;
}

/* need() - mark @s and what it builds on; refuse what it cannot have. */
static int need(struct build *b, struct build_stage *s, struct err *e)
{
	char *base;
	int r;

	if (s->needed)
		return 0;
	s->needed = true;
	s->steps = 1;
	r = base_of(b, s, &base, e);
	if (r < 0)
		return at(b, s->df->from, r, e);
	s->base = build__stage_find(b, s, base);
	if (s->base)
		r = need(b, (struct build_stage *)s->base, e);
	for (size_t i = 0; i < s->df->n_inst && r >= 0; i++) {
		const struct df_inst *inst = &s->df->inst[i];
		const char *from = df_flag(inst, "from");
		const struct build_stage *other = from ? build__stage_find(b, s, from) : NULL;

		s->steps += makes_layer(inst->op);
		r = at(b, inst, refuse(inst, e), e);
		if (r >= 0 && other)
			r = need(b, (struct build_stage *)other, e);
	}
	return r;
}

static int plan(struct build *b, struct build_stage **ret_target, struct err *e)
{
	const struct build_stage *target = NULL;

	b->stages = arena_array(&b->arena, b->df.n_stages, sizeof(*b->stages));
	if (!b->stages)
		return err_set(e, ENOMEM, "out of memory");
	for (size_t i = 0; i < b->df.n_stages; i++) {
		b->stages[i].df = &b->df.stages[i];
		b->stages[i].scope.escape = b->df.escape;
	}
	target = &b->stages[b->df.n_stages - 1];
	if (b->c->target && *b->c->target) {
		target = build__stage_find(b, b->stages + b->df.n_stages, b->c->target);
		if (!target)
			return err_set(e, ENOENT, "%s: no stage is called '%s'", b->df.name, b->c->target);
	}
	*ret_target = (struct build_stage *)target;
	return need(b, *ret_target, e);
}

/* --- stages --------------------------------------------------------------------------------------------- */

static int from_scratch(struct build_stage *s)
{
	s->scope.image = json_pack("{ss, ss, s{}, s[]}", "architecture", BUILD_ARCH, "os", "linux", "config",
				   "history");
	return s->scope.image ? 0 : -ENOMEM;
}

static int from_stage(struct build_stage *s)
{
	const struct build_stage *base = s->base;

	s->scope.image = json_deep_copy(base->scope.image);
	for (size_t i = 0; i < base->layers.len; i++)
		strv_add(&s->layers, base->layers.item[i]);
	for (size_t i = 0; i < base->scope.args.len; i++)
		strv_add(&s->scope.args, base->scope.args.item[i]);
	str_copy(s->created, sizeof(s->created), base->created);
	return s->scope.image && strv_finish(&s->layers) == 0 ? strv_finish(&s->scope.args) : -ENOMEM;
}

static int from_image(struct build *b, struct build_stage *s, const char *ref, struct err *e)
{
	auto_fini(image) struct image im = { 0 };
	const char *created;
	json_error_t je;
	int r = store_image_find(b->store, ref, &im, e);

	if (r < 0)
		return r;
	s->scope.image = json_loads(im.config, 0, &je);
	if (!json_is_object(s->scope.image))
		return err_set(e, EBADMSG, "the configuration of '%s' is damaged: %s", ref, je.text);
	for (size_t i = 0; i < im.n_layers; i++)
		strv_add(&s->layers, im.layers[i]);
	created = json_string_value(json_object_get(s->scope.image, "created"));
	if (created)
		str_copy(s->created, sizeof(s->created), created);
	return strv_finish(&s->layers);
}

/* take_triggers() - the base image's ONBUILD, which run here and are not inherited further. */
static int take_triggers(struct build *b, struct build_stage *s, struct err *e)
{
	json_t *list = json_incref(json_object_get(build__config_of(s->scope.image), "OnBuild"));
	size_t n = json_array_size(list);
	int r = 0;

	json_object_del(build__config_of(s->scope.image), "OnBuild");
	s->triggers = n ? arena_array(&b->arena, n, sizeof(*s->triggers)) : NULL;
	for (size_t i = 0; i < n && s->triggers && r >= 0; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		r = dockerfile_parse_one(&s->triggers[i], "ONBUILD", text ? text : "", &b->arena, e);
		if (r >= 0)
			r = refuse(&s->triggers[i], e);
		s->triggers[i].line = s->df->from->line;
		s->steps += r >= 0 && makes_layer(s->triggers[i].op);
		s->n_triggers++;
	}
	json_decref(list);
	return r;
}

static int begin_stage(struct build *b, struct build_stage *s, struct err *e)
{
	char *ref, title[256];
	int r = base_of(b, s, &ref, e);

	if (r < 0)
		return r;
	if (s->base)
		r = from_stage(s);
	else if (str_eq(ref, "scratch"))
		r = from_scratch(s);
	else
		r = from_image(b, s, ref, e);
	if (r >= 0)
		r = take_triggers(b, s, e);
	if (r < 0)
		return err_wrap(e, r, "FROM %s", ref);
	str_format(title, sizeof(title), "[%s%s%u/%u] %s", s->df->name ? s->df->name : "",
		   s->df->name ? " " : "", ++s->step, s->steps, s->df->from->text);
	build__progress_begin(&b->progress, title);
	build__progress_end(&b->progress, false, false);
	return 0;
}

/*
 * stage_time() - when what is there so far was made. A stage without layers has no time yet: the first
 * build's is kept in the cache, so that the second one makes the same image.
 */
static int stage_time(struct build *b, struct build_stage *s, struct err *e)
{
	auto_free char *kept = NULL;
	char key[STORE_DIGEST_SIZE], diff_id[STORE_DIGEST_SIZE], when[TIME_RFC3339_SIZE];
	nsec_t now = time_now_ns(CLOCK_REALTIME);
	struct digest d;
	int r;

	if (*s->created)
		return 0;
	build__key_begin(&d, "time", &s->layers);
	for (size_t i = 0; i < b->df.n_inst; i++)
		build__key_str(&d, b->df.inst[i].text);
	digest_final(&d, key);
	r = b->c->no_cache || b->epoch_s >= 0 ? 0 : store_cache_get(b->store, key, diff_id, &kept, e);
	if (r < 0)
		return r;
	if (b->epoch_s >= 0 && now > b->epoch_s * NSEC_PER_SEC)
		now = b->epoch_s * NSEC_PER_SEC;
	if (r == 0 || !kept || !str_copy(s->created, sizeof(s->created), kept))
		str_copy(s->created, sizeof(s->created), time_rfc3339(now, when));
	return r == 0 && b->epoch_s < 0 ? store_cache_put(b->store, key, "", s->created, e) : 0;
}

static int do_inst(struct build *b, struct build_stage *s, const struct df_inst *inst, struct err *e)
{
	int r;

	if (makes_layer(inst->op))
		return build__step(b, s, inst, e);
	if (inst->op == DF_ARG)
		r = do_arg(b, &s->scope, &b->global, inst, e);
	else
		r = build__meta(&s->scope, inst, &s->cmd_set, &b->arena, e);
	if (r >= 0)
		r = stage_time(b, s, e);
	return r < 0 ? r : build__history_add(s->scope.image, s->created, inst->text, true);
}

static int run_stage(struct build *b, struct build_stage *s, struct err *e)
{
	int r = at(b, s->df->from, begin_stage(b, s, e), e);

	for (size_t i = 0; i < s->n_triggers && r >= 0; i++)
		r = at(b, &s->triggers[i], do_inst(b, s, &s->triggers[i], e), e);
	for (size_t i = 0; i < s->df->n_inst && r >= 0; i++)
		r = at(b, &s->df->inst[i], do_inst(b, s, &s->df->inst[i], e), e);
	return r;
}

/* --- the image ------------------------------------------------------------------------------------------ */

static int add_labels(struct build *b, json_t *image, struct err *e)
{
	json_t *config = build__config_of(image), *labels = json_object_get(config, "Labels");

	if (!b->c->labels || b->c->labels->len == 0)
		return 0;
	if (!json_is_object(labels)) {
		labels = json_object();
		json_object_set_new(config, "Labels", labels);
	}
	for (size_t i = 0; i < b->c->labels->len; i++) {
		const char *text = b->c->labels->item[i], *equals = strchrnul(text, '=');
		auto_free char *key = strndup(text, (size_t)(equals - text));

		if (!key || !*key ||
		    json_object_set_new(labels, key, json_string(*equals ? equals + 1 : "")) < 0)
			return err_set(e, EINVAL, "--label '%s': not NAME=VALUE", text);
	}
	return 0;
}

static int register_image(struct build *b, struct build_stage *s, char *ret_id, struct err *e)
{
	json_t *image = s->scope.image, *ids = json_array();
	auto_free char *text = NULL;
	int r = stage_time(b, s, e);

	for (size_t i = 0; i < s->layers.len; i++)
		json_array_append_new(ids, json_string(s->layers.item[i]));
	json_object_set_new(image, "rootfs", json_pack("{ss, so}", "type", "layers", "diff_ids", ids));
	json_object_set_new(image, "created", json_string(s->created));
	if (r >= 0)
		r = add_labels(b, image, e);
	text = r < 0 ? NULL : json_dumps(image, JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return r < 0 ? r : err_set(e, ENOMEM, "out of memory");
	r = store_image_put(b->store, text, strlen(text), s->layers.item, s->layers.len,
			    b->c->tags && b->c->tags->len > 0 ? b->c->tags->item[0] : NULL, ret_id, e);
	for (size_t i = 1; b->c->tags && i < b->c->tags->len && r >= 0; i++)
		r = store_image_tag(b->store, ret_id, b->c->tags->item[i], e);
	return r;
}

static int check_tags(const struct strv *tags, struct err *e)
{
	for (size_t i = 0; tags && i < tags->len; i++) {
		auto_free char *full = NULL;
		int r = image_ref_normalize(tags->item[i], &full, e);

		if (r < 0)
			return err_wrap(e, r, "--tag");
	}
	return 0;
}

static void build_fini(struct build *b)
{
	for (size_t i = 0; b->stages && i < b->df.n_stages; i++) {
		json_decref(b->stages[i].scope.image);
		strv_fini(&b->stages[i].scope.args);
		strv_fini(&b->stages[i].layers);
	}
	strv_fini(&b->global.args);
	strv_fini(&b->used_args);
	build_progress_fini(&b->progress);
	fd_close(&b->ctxfd);
	arena_fini(&b->arena);
}

int build_image(struct runtime *rt, const struct build_config *c, char ret_id[STORE_DIGEST_SIZE],
		struct err *e)
{
	auto_fini(build) struct build b = {
		.rt = rt,
		.store = runtime_store(rt),
		.c = c,
		.ctxfd = -1,
		.progress = { .kind = c->progress, .fd = STDERR_FILENO },
	};
	struct build_stage *target = NULL;
	int r = check_tags(c->tags, e);

	if (b.progress.kind == BUILD_AUTO)
		b.progress.kind = isatty(STDERR_FILENO) ? BUILD_TTY : BUILD_PLAIN;
	if (c->network && !str_eq(c->network, "none") && !str_eq(c->network, "host") &&
	    !str_eq(c->network, "default"))
		return err_set(e, EOPNOTSUPP, "--network %s: only none and host exist yet", c->network);
	if (r >= 0)
		build__sweep(b.store);
	if (r >= 0)
		r = read_input(&b, e);
	if (r >= 0)
		r = global_args(&b, e);
	if (r >= 0)
		r = plan(&b, &target, e);
	for (struct build_stage *s = b.stages; r >= 0 && s <= target; s++)
		r = s->needed ? run_stage(&b, s, e) : 0;
	if (r >= 0)
		r = register_image(&b, target, ret_id, e);
	if (r >= 0 && c->progress != BUILD_QUIET)
		tell_unused_args(&b);
	if (r == -ENOSPC)
		return err_wrap(e, r, "the disk of '%s' is full", store_root(b.store));
	return r < 0 ? r : 0;
}
