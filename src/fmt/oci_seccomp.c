/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci_internal.h"

#include <errno.h>
#include <linux/seccomp.h>

#include "base/err.h"

enum { ERRNO_MAX = 4095, SECCOMP_ARGS = 6 };

/* read_action() - an action, errno in the low 16 bits. Spec: "doesn't support an errno, [...] fail" */
static uint32_t read_action(const struct json_at *at, const char *key, const char *errno_key,
			    struct oci_u64 *ret_errno)
{
	uint32_t action = (uint32_t)oci__name(at, key, &oci__seccomp_actions);

	if (action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_TRACE) {
		*ret_errno =
			oci__u64(at, errno_key, action == SECCOMP_RET_ERRNO ? ERRNO_MAX : SECCOMP_RET_DATA);
		return action | (uint32_t)(ret_errno->set ? ret_errno->v : EPERM);
	}
	if (json_has(at, errno_key))
		json_fail(at, errno_key, EINVAL, "action %s returns no errno", json_read_str(at, key));
	return action;
}

static struct oci_seccomp_arg read_arg(const struct json_at *at)
{
	struct json_at arg = json_read_obj(at, NULL);

	json_need(&arg, "index");
	json_need(&arg, "value");
	return (struct oci_seccomp_arg){
		.index = (uint32_t)json_read_u64(&arg, "index", SECCOMP_ARGS - 1, 0),
		.value = json_read_u64(&arg, "value", UINT64_MAX, 0),
		.value_two = json_read_u64(&arg, "valueTwo", UINT64_MAX, 0),
		.op = (int)oci__name(&arg, "op", &oci__seccomp_operators),
	};
}

static void read_rule(const struct json_at *at, struct oci_seccomp_rule *rule)
{
	struct json_at obj = json_read_obj(at, NULL), args = oci__list(&obj, "args");

	rule->names = oci__strs(&obj, "names");
	if (rule->names.n == 0)
		json_fail(&obj, "names", EINVAL, "got none, want at least one system call");
	rule->action = read_action(&obj, "action", "errnoRet", &rule->errno_ret);
	rule->args = json_alloc(at, json_count(&args), sizeof(*rule->args));
	for (size_t i = 0; i < json_count(&args); i++) {
		struct json_at item = json_item(&args, i);

		rule->args[rule->n_args++] = read_arg(&item);
	}
}

static void read_arches(const struct json_at *at, struct oci_seccomp *s)
{
	struct json_at list = oci__list(at, "architectures");

	s->arches = json_alloc(at, json_count(&list), sizeof(*s->arches));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		s->arches[s->n_arches++] = (uint32_t)oci__name(&item, NULL, &oci__seccomp_arches);
	}
}

/* check_listener() - what SCMP_ACT_NOTIFY needs, and what needs it. */
static void check_listener(const struct json_at *at, const struct oci_seccomp *s)
{
	bool notifies = false;

	for (size_t i = 0; i < s->n_rules; i++)
		notifies |= s->rules[i].action == SECCOMP_RET_USER_NOTIF;
	if (s->default_action == SECCOMP_RET_USER_NOTIF)
		json_fail(at, "defaultAction", EINVAL,
			  "SCMP_ACT_NOTIFY cannot be the default: nobody could send its descriptor");
	if (notifies && !s->listener_path)
		json_fail(at, "listenerPath", EINVAL, "missing, and a rule's action is SCMP_ACT_NOTIFY");
	if (s->listener_metadata && !s->listener_path)
		json_fail(at, "listenerMetadata", EINVAL, "given without listenerPath");
	if ((s->flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) && !notifies)
		json_fail(at, "flags", EINVAL,
			  "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY");
}

const struct oci_seccomp *oci__seccomp(const struct json_at *at)
{
	struct json_at obj = json_read_obj(at, "seccomp"), list = oci__list(&obj, "syscalls");
	struct oci_seccomp *s;

	/* Go's empty struct: engines that mean "no filter" write it. */
	if (!json_has(&obj, NULL) || (!oci__str(&obj, "defaultAction") && json_count(&list) == 0))
		return NULL;
	s = json_alloc(at, 1, sizeof(*s));
	if (!s)
		return NULL;
	s->default_action = read_action(&obj, "defaultAction", "defaultErrnoRet", &s->default_errno_ret);
	read_arches(&obj, s);
	/* Absent is not the empty list: it means runc's default, no SSB mitigation (it slows everything). */
	s->flags = json_has(&obj, "flags") ? oci__flags(&obj, "flags", &oci__seccomp_flags) :
					     SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	s->listener_path = oci__path(&obj, "listenerPath");
	s->listener_metadata = oci__str(&obj, "listenerMetadata");
	s->rules = json_alloc(at, json_count(&list), sizeof(*s->rules));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		read_rule(&item, &s->rules[s->n_rules++]);
	}
	check_listener(&obj, s);
	return s;
}
