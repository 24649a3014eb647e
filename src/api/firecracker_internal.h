/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_internal.h - what the files of Firecracker's API share */
#ifndef API_FIRECRACKER_INTERNAL_H
#define API_FIRECRACKER_INTERNAL_H

#include "api/firecracker.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "fmt/json.h"
#include "io/loop.h"
#include "net/mmds.h"
#include "vm/machine.h"

struct http_server;
struct http_server_reply;
struct http_server_request;

/* --- the log (firecracker_logger.c) -------------------------------------------------------------------------- */

enum fc_level { FC_OFF, FC_ERROR, FC_WARN, FC_INFO, FC_DEBUG, FC_TRACE, FC_LEVEL_COUNT };

struct fc_site { /* a place that logs: at most FC_LOG_BURST messages in FC_LOG_WINDOW_NS */
	nsec_t since;
	unsigned n, dropped;
};

struct fc_log {
	char *path; /* owned; NULL: standard output */
	int fd;     /* owned when @path */
	enum fc_level level;
	bool show_level, show_origin, set;
	char *module; /* owned; NULL: all */
	const char *id;
	char thread[17]; /* the loop's: all lines are its */
	uint64_t missed; /* lines that could not be written, or were too many */
};

void fc__log_at(struct fc_log *l, struct fc_site *site, enum fc_level level, const char *file, int line,
		const char *fmt, ...) __attribute__((format(printf, 6, 7)));
#define fc__log(f, level, ...)                                                                               \
	do {                                                                                                 \
		static struct fc_site site_;                                                                 \
		fc__log_at(&(f)->log, &site_, level, __FILE__, __LINE__, __VA_ARGS__);                       \
	} while (0)
int fc__level_find(const char *name); /* any case; -EINVAL */
const char *fc__level_name(enum fc_level level);

/* --- counts (firecracker_metrics.c) --------------------------------------------------------------------------- */

enum { FC_ROUTES_MAX = 64 };

enum fc_latency {
	FC_LAT_FULL_CREATE,
	FC_LAT_DIFF_CREATE,
	FC_LAT_LOAD,
	FC_LAT_PAUSE,
	FC_LAT_RESUME,
	FC_LATENCY_COUNT
};

struct fc_counts { /* since the last line */
	uint64_t route[FC_ROUTES_MAX], route_fails[FC_ROUTES_MAX];
	uint64_t deprecated, refused, metrics_fails;
	uint64_t latency_us[FC_LATENCY_COUNT]; /* of the last one, in the machine */
	uint64_t api_us[FC_LATENCY_COUNT];     /* and since the request was whole */
};

struct fc_metrics {
	char *path; /* owned; NULL: not set */
	int fd;     /* owned */
	bool emit_id;
	char *properties; /* owned JSON object; NULL: none */
	struct loop_timer timer;
};

/* --- the two processes (firecracker_pair.c; see firecracker_front.h) ------------------------------------------- */

enum {
	FC_PAYLOAD_MAX = 1 << 30, /* bytes of a body, whatever the option says */
	FC_MSG_READ_BYTES = 64 << 10,
	FC_INHERITED_MAX = 256,
};

enum fc_msg_kind { /* to the machine, then from it */
		   FC_MSG_REQUEST = 1,
		   FC_MSG_REFUSED,
		   FC_MSG_FILE,
		   FC_MSG_RUNS,
		   FC_MSG_OPEN,
		   FC_MSG_REPLY,
};

struct fc_msg { /* before each; FILE's descriptor comes with it */
	uint32_t kind, reserved;
	uint64_t len;
};

struct fc_msg_request { /* then the target with its NUL, then the body */
	int64_t since;  /* CLOCK_MONOTONIC: when it was whole */
	uint32_t method, uid;
	int32_t pid;
	uint32_t target_len, has_body;
};

struct fc_msg_reply { /* then the body */
	uint32_t status;
	uint8_t has_body, deprecated;
};

struct fc_msg_drive { /* RUNS is an array of them */
	char id[MACHINE_NAME_MAX + 1];
	uint8_t readonly;
};

/* What OPEN may ask for, an uint32_t; the answer is FILE, an int64_t: 0, or -errno without a descriptor. */
enum fc_file { FC_FILE_DISK, FC_FILE_TAP, FC_FILE_STATE, FC_FILE_MEM };

#define FC_MAKE_FLAGS                                                                                        \
	(O_RDWR | O_CREAT) /* of a snapshot's files: cut off once it is known that nobody needs them */
enum { FC_MAKE_MODE = 0600 };

struct fc_part {
	const void *bytes;
	size_t len;
};

/* fc__msg_x() - a whole message, or its parts; they wait. Return: 0; -EPIPE, -ECONNRESET: the peer is gone; -errno. */
int fc__msg_send(int fd, enum fc_msg_kind kind, const struct fc_part *part, unsigned n);
int fc__msg_head(int fd, struct fc_msg *ret_m);
int fc__msg_body(int fd, uint64_t len, struct buf *b); /* the caller has judged @len */

struct fc;
/* fc__pair_open() - requests are served from the pair, when there is one. */
int fc__pair_open(struct fc *f, struct err *e);
/* fc__tell_runs() - just before the first guest instruction: files are to be asked for from now on. */
int fc__tell_runs(struct fc *f, struct err *e);
/* fc__ask() - the file @which of the request under way. Return: descriptor; -errno of its open. */
int fc__ask(struct fc *f, enum fc_file which);
/* fc__open_fd() - opened here before there is a machine, asked for then. */
int fc__open_fd(struct fc *f, enum fc_file which, const char *path, int flags);

/* --- the whole ------------------------------------------------------------------------------------------------- */

struct fc {
	const struct fc_options *o;
	struct loop loop;
	int pair; /* owned; to the API's process; -1: no API */
	struct loop_source pair_source;
	nsec_t since; /* the request under way was whole; 0: none is */
	int inherited[FC_INHERITED_MAX],
		n_inherited; /* descriptors of whoever called us: closed before a guest runs */

	struct machine_config c; /* until it runs; the machine takes it */
	struct machine *m;       /* NULL: not started */
	struct machine_events events;
	bool touched; /* something that a snapshot would bring has been configured */
	bool has_boot;
	enum fc_huge { FC_HUGE_NONE, FC_HUGE_THP, FC_HUGE_2M } huge;
	char *boot_args; /* owned; NULL: the default */
	char *gdb_path;  /* owned; NULL: no debugger */
	char *cpu_json;  /* owned; /cpu-config as it was given */
	struct machine_file serial;

	struct mmds *mmds;
	bool has_mmds_config;
	struct fc_log log;
	struct fc_metrics metrics;
	struct fc_counts n;

	int exit_code;
	struct err why; /* of an exit that is not 0 */
	nsec_t started, started_cpu;
};

/* fc__took() - an action is done that began at @since. */
void fc__took(struct fc *f, enum fc_latency which, nsec_t since);

enum fc_when { FC_BEFORE = 1, FC_RUNNING = 2, FC_PAUSED = 4, FC_AFTER = 6, FC_ALWAYS = 7 };

/* One request, or one entry of the configuration file. */
struct fc_call {
	struct fc *f;
	const struct json_at *body; /* parsed; NULL: none */
	const char *text;           /* of the body */
	size_t len;
	const char *id; /* from the path; NULL: none was given there, the body's counts */
	char path_id[256];
	bool deprecated;     /* set by the handler: something deprecated was used */
	int status;          /* set by the handler; 0: 200 with a reply, 204 without, 400 after a failure */
	struct json_out out; /* the reply, when something is put into it */
	struct err *e;
};

typedef int fc_handler(struct fc_call *c); /* 0; -errno with c->e */

int fc__put_actions(struct fc_call *c);
int fc__get_root(struct fc_call *c), fc__get_version(struct fc_call *c);
int fc__patch_vm(struct fc_call *c), fc__get_vm_config(struct fc_call *c);
int fc__get_machine(struct fc_call *c), fc__put_machine(struct fc_call *c),
	fc__patch_machine(struct fc_call *c);
int fc__put_boot(struct fc_call *c), fc__put_cpu(struct fc_call *c);
int fc__put_drive(struct fc_call *c), fc__patch_drive(struct fc_call *c), fc__delete_drive(struct fc_call *c);
int fc__put_pmem(struct fc_call *c), fc__patch_pmem(struct fc_call *c), fc__delete_pmem(struct fc_call *c);
int fc__put_net(struct fc_call *c), fc__patch_net(struct fc_call *c), fc__delete_net(struct fc_call *c);
int fc__put_vsock(struct fc_call *c), fc__put_entropy(struct fc_call *c), fc__put_serial(struct fc_call *c);
int fc__get_balloon(struct fc_call *c), fc__put_balloon(struct fc_call *c),
	fc__patch_balloon(struct fc_call *c);
int fc__get_balloon_stats(struct fc_call *c), fc__patch_balloon_stats(struct fc_call *c);
int fc__balloon_hint_start(struct fc_call *c), fc__balloon_hint_stop(struct fc_call *c),
	fc__balloon_hint_status(struct fc_call *c);
int fc__get_memhp(struct fc_call *c), fc__put_memhp(struct fc_call *c), fc__patch_memhp(struct fc_call *c);
int fc__put_logger(struct fc_call *c), fc__put_metrics(struct fc_call *c);
int fc__put_mmds_config(struct fc_call *c), fc__get_mmds(struct fc_call *c), fc__put_mmds(struct fc_call *c),
	fc__patch_mmds(struct fc_call *c);
int fc__snapshot_create(struct fc_call *c), fc__snapshot_load(struct fc_call *c);

/* --- routes (firecracker_routes.c) -------------------------------------------------------------------------- */

void fc__serve(void *arg, const struct http_server_request *q, struct http_server_reply *ret);
/* fc__apply() - PUT @path with a body that is parsed already: an entry of the configuration file. */
int fc__apply(struct fc *f, const char *path, const struct json_at *body, struct err *e);
/* fc__put_route_metrics() - the groups get_, put_ and patch_api_requests. */
void fc__put_route_metrics(const struct fc *f, struct json_out *o);
enum fc_when fc__state(const struct fc *f);

/* --- shared by handlers (firecracker_read.c) ------------------------------------------------------------------ */

/* fc__fields() - the members of @at are among @known, words between blanks, and none comes twice. */
void fc__fields(const struct json_at *at, const char *known);
/* fc__read_id() - the member @key, which must be there, be a name and be the path's. Into @dst[MACHINE_NAME_MAX + 1]. */
void fc__read_id(struct fc_call *c, const char *key, char *dst);
/* fc__read_limiter() - the member @key, a rate limiter, into @l: buckets that are not named stay. */
void fc__read_limiter(const struct json_at *at, const char *key, struct limiter_config *l);
void fc__read_bucket(const struct json_at *at, const char *key, struct bucket_config *b);
void fc__put_limiter(struct json_out *o, const char *key, const struct limiter_config *l);
/* fc__open() - a file that a request names; *f, if it held one, is closed on success only. */
int fc__open(struct fc *f, struct machine_file *file, enum fc_file which, const char *path, int flags,
	     const char *what, struct err *e);
void fc__file_fini(struct machine_file *f);
/* fc__grow() - one element more at the end of an owned array; NULL: -ENOMEM, or @max is reached, with c->e. */
void *fc__grow(struct fc_call *c, void **array, unsigned *n, size_t size, unsigned max, const char *what);
/* fc__set_str() - replace an owned string by a copy; NULL is NULL. Return: 0; -ENOMEM. */
int fc__set_str(char **dst, const char *s, struct err *e);
/* fc__keep_json() - replace an owned string by the text of @at. */
int fc__keep_json(char **dst, const struct json_at *at, struct err *e);
int fc__not_yet(struct fc_call *c, const char *what); /* -EOPNOTSUPP: "... is not there yet" */

/* --- life (firecracker.c, firecracker_config.c, ...) --------------------------------------------------------- */

int fc__start(struct fc *f, struct err *e);
struct machine_events fc__events(struct fc *f);
void fc__end(struct fc *f, int exit_code);                   /* after this request: the process ends */
const struct machine_config *fc__config(const struct fc *f); /* as it stands */
int fc__load_config(struct fc *f, const char *text, size_t len, struct err *e);
int fc__open_metrics(struct fc *f, const char *path, struct err *e);
void fc__flush_metrics(struct fc *f);
int fc__open_log(struct fc *f, const char *path, struct err *e);
void fc__terminal_restore(void); /* safe in a signal handler */
void fc__signals(void);
int fc__signal_status(int sig);                    /* the exit status that stands for it; 0: none */
void fc__refused(struct fc *f, const char *why);   /* the API has turned something away */
int fc__before_guest(struct fc *f, struct err *e); /* last thing before the first guest instruction */

#endif
