/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/state.h"

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"
#include "sys/inode.h"
#include "sys/ns.h"

#define TIME_NEVER "0001-01-01T00:00:00Z"

static const char *const status_name[INSTANCE_STATUS_COUNT] = {
	[INSTANCE_CREATED] = "created",       [INSTANCE_RUNNING] = "running", [INSTANCE_PAUSED] = "paused",
	[INSTANCE_RESTARTING] = "restarting", [INSTANCE_EXITED] = "exited",   [INSTANCE_DEAD] = "dead",
};

static const char *const health_name[HEALTH_COUNT] = {
	[HEALTH_NONE] = "none",
	[HEALTH_STARTING] = "starting",
	[HEALTH_HEALTHY] = "healthy",
	[HEALTH_UNHEALTHY] = "unhealthy",
};

const char *instance_status_name(enum instance_status s)
{
	BUG_ON(s >= INSTANCE_STATUS_COUNT);
	return status_name[s];
}

void state_fini(struct state *s)
{
	for (size_t i = 0; i < s->n_checks; i++)
		free(s->check[i].output);
	free(s->error);
	*s = (struct state){ 0 };
}

void state_add_check(struct state *s, nsec_t start_ns, nsec_t end_ns, int code, char *output)
{
	if (s->n_checks == STATE_CHECKS) {
		free(s->check[0].output);
		memmove(s->check, s->check + 1, sizeof(s->check[0]) * --s->n_checks);
	}
	s->check[s->n_checks++] = (struct state_check){ start_ns, end_ns, code, output };
}

static void put_time(struct json_out *o, const char *key, nsec_t ns)
{
	char text[TIME_RFC3339_SIZE];

	json_put_str(o, key, ns ? time_rfc3339(ns, text) : TIME_NEVER);
}

static void put_health(struct json_out *o, const struct state *s)
{
	json_put_open(o, "Health", '{');
	json_put_str(o, "Status", health_name[s->health]);
	json_put_i64(o, "FailingStreak", s->failing_streak);
	json_put_open(o, "Log", '[');
	for (size_t i = 0; i < s->n_checks; i++) {
		const struct state_check *c = &s->check[i];

		json_put_open(o, NULL, '{');
		put_time(o, "Start", c->start_ns);
		put_time(o, "End", c->end_ns);
		json_put_i64(o, "ExitCode", c->code);
		json_put_str(o, "Output", c->output ? c->output : "");
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
	json_put_close(o, '}');
}

/*
 * overwrite() - the disk is full, but the file's own block is there: how a workload that filled it has ended must not be lost
 * Who reads at this very instant may see half of each; the next one does not.
 */
static int overwrite(int dirfd, struct buf *b)
{
	auto_close int fd = file_open(dirfd, INSTANCE_STATE, O_WRONLY | O_NOFOLLOW, 0);
	struct stat st;
	int r = fd < 0 ? fd : file_fstatat(fd, "", &st, AT_EMPTY_PATH);

	while (r >= 0 && (off_t)b->len < st.st_size) /* in place of a cut, which would be a second step */
		buf_putc(b, ' ');
	if (r >= 0)
		r = buf_finish(b);
	return r < 0 ? r : inode_pwrite(fd, b->data, b->len, 0);
}

int state_write(int dirfd, const struct state *s, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	struct json_out o = { .to = &b };
	bool live = s->status == INSTANCE_RUNNING || s->status == INSTANCE_PAUSED ||
		    s->status == INSTANCE_RESTARTING;
	int r;

	json_put_open(&o, NULL, '{');
	json_put_str(&o, "Status", instance_status_name(s->status));
	json_put_bool(&o, "Running", live);
	json_put_bool(&o, "Paused", s->status == INSTANCE_PAUSED);
	json_put_bool(&o, "Restarting", s->status == INSTANCE_RESTARTING);
	json_put_bool(&o, "OOMKilled", s->oom_killed);
	json_put_bool(&o, "Dead", false);
	json_put_i64(&o, "Pid", live ? s->pid : 0);
	json_put_i64(&o, "ExitCode", s->exit_code);
	json_put_str(&o, "Error", s->error ? s->error : "");
	put_time(&o, "StartedAt", s->started_ns);
	put_time(&o, "FinishedAt", s->finished_ns);
	if (s->health != HEALTH_NONE)
		put_health(&o, s);
	json_put_i64(&o, "RestartCount", s->restart_count);
	json_put_u64(&o, "PidStart", s->pid_start);
	json_put_i64(&o, "Shim", s->shim_pid);
	json_put_u64(&o, "ShimStart", s->shim_start);
	json_put_close(&o, '}');
	r = buf_finish(&b);
	if (r < 0)
		return err_sys(e, -r, INSTANCE_STATE);
	r = file_replace(dirfd, INSTANCE_STATE, buf_str(&b), b.len, 0600, false, e);
	return (r == -ENOSPC || r == -EDQUOT) && overwrite(dirfd, &b) == 0 ? 0 : r;
}

static nsec_t get_time(const json_t *state, const char *key)
{
	const char *text = instance__str(state, NULL, key);
	nsec_t ns = 0;

	if (!text || str_eq(text, TIME_NEVER) || time_parse_rfc3339(text, &ns) < 0)
		return 0;
	return ns;
}

static const char *const never_ran =
	"{\"Status\":\"created\",\"Running\":false,\"Paused\":false,\"Restarting\":false,\"OOMKilled\":false,"
	"\"Dead\":false,\"Pid\":0,\"ExitCode\":0,\"Error\":\"\",\"StartedAt\":\"" TIME_NEVER
	"\",\"FinishedAt\":\"" TIME_NEVER "\"}";

/* say_dead() - nobody is there to vouch for what the file says, or it says nothing. Takes @why. */
static void say_dead(struct instance *in, char *why)
{
	free(in->error);
	in->error = why;
	in->status = INSTANCE_DEAD;
	in->shim_pid = 0;
	json_object_set_new(in->state, "Status", json_string("dead"));
	json_object_set_new(in->state, "Running", json_false());
	json_object_set_new(in->state, "Paused", json_false());
	json_object_set_new(in->state, "Restarting", json_false());
	json_object_set_new(in->state, "Dead", json_true());
	json_object_set_new(in->state, "Error", json_string(in->error ? in->error : ""));
}

static void take(struct instance *in)
{
	const json_t *s = in->state;
	const char *status = instance__str(s, NULL, "Status"), *error = instance__str(s, NULL, "Error");
	const char *health = instance__str(s, "Health", "Status");

	for (int i = 0; i < INSTANCE_STATUS_COUNT; i++)
		if (str_eq(status, status_name[i]))
			in->status = (enum instance_status)i;
	in->pid = (pid_t)instance__int(s, NULL, "Pid");
	in->shim_pid = (pid_t)instance__int(s, NULL, "Shim");
	in->exit_code = (int)instance__int(s, NULL, "ExitCode");
	in->oom_killed = instance__bool(s, NULL, "OOMKilled");
	in->error = error ? strdup(error) : NULL;
	in->health = health ? strdup(health) : NULL;
	in->started_ns = get_time(s, "StartedAt");
	in->finished_ns = get_time(s, "FinishedAt");
	in->restart_count = (int)instance__int(s, NULL, "RestartCount");
}

pid_t state_shim(const struct instance *in)
{
	uint64_t start = (uint64_t)instance__int(in->state, NULL, "ShimStart");

	return in->shim_pid > 0 && start && proc_alive(in->shim_pid, start) ? in->shim_pid : 0;
}

/* parse() - Return: an object whose status is one we know, or NULL. */
static json_t *parse(const struct buf *b)
{
	json_t *tree = NULL;
	const char *status;

	if (json_tree_parse(&tree, buf_str(b), b->len, NULL) == 0) {
		status = instance__str(tree, NULL, "Status");
		for (size_t i = 0; status && i < ARRAY_SIZE(status_name); i++)
			if (str_eq(status, status_name[i]))
				return tree;
	}
	json_decref(tree);
	return NULL;
}

int state_read(int dirfd, struct instance *in, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = dirfd < 0 ? 0 : file_slurp_at(dirfd, INSTANCE_STATE, &b, INSTANCE_TEXT_MAX);
	bool never = dirfd < 0 || r == -ENOENT;

	if (r == -ENOMEM)
		return err_sys(e, ENOMEM, "instance %.12s: " INSTANCE_STATE, in->id);
	in->state = never ? NULL : parse(&b);
	if (in->state) {
		take(in);
		if ((in->status == INSTANCE_RUNNING || in->status == INSTANCE_PAUSED ||
		     in->status == INSTANCE_RESTARTING) &&
		    !state_shim(in))
			say_dead(in, strdup("its shim is gone; 'hull rm -f' removes it, 'hull start' starts "
					    "it again"));
		return 0;
	}
	r = json_tree_parse(&in->state, never_ran, strlen(never_ran), e);
	if (r < 0)
		return r;
	take(in);
	if (dirfd < 0)
		say_dead(in,
			 str_printf("its directory instances/%.12s... is gone; 'hull rm -f' removes the rest",
				    in->id));
	else if (!never) /* one damaged file must not hide the instance, let alone all of them */
		say_dead(in, str_printf("its " INSTANCE_STATE
					" is damaged; 'hull rm -f' removes it, 'hull start' starts it "
					"again unless it still runs"));
	return 0;
}
