/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firecracker_metrics.c - PUT /metrics, and a line of JSON at each flush: on demand, every minute, and at the end
 *
 * Counts are those since the line before; latencies are the last one's.
 *
 * syscalls(device): ioctl[1]=TCSETS
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

#define FLUSH_NS (60 * NSEC_PER_SEC)

/* --- signals: counted, and all but SIGPIPE end the process with their own status ----------------------------- */

static const struct {
	int sig, status;
	char name[8];
} signals[] = {
	{ SIGBUS, FC_EXIT_BUS, "sigbus" },
	{ SIGSEGV, FC_EXIT_SEGV, "sigsegv" },
	{ SIGXFSZ, FC_EXIT_XFSZ, "sigxfsz" },
	{ SIGXCPU, FC_EXIT_XCPU, "sigxcpu" },
	{ SIGPIPE, 0, "sigpipe" },
	{ SIGHUP, FC_EXIT_HUP, "sighup" },
	{ SIGILL, FC_EXIT_ILL, "sigill" },
	{ SIGSYS, FC_EXIT_SYS, "sigsys" },
};
static volatile sig_atomic_t signal_count[ARRAY_SIZE(signals)];

/* caught() - the line also says which call a filter refused. */
static void caught(int sig, siginfo_t *info, void *context)
{
	char text[96];
	size_t n;

	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (signals[i].sig != sig)
			continue;
		signal_count[i]++;
		if (!signals[i].status)
			return;
		fc__terminal_restore();
		n = str_format(text, sizeof(text), "hull: firecracker: ended by a signal: %s",
			       signals[i].name);
		if (sig == SIGSYS)
			n += str_format(text + n, sizeof(text) - n, ", system call %d", info->si_syscall);
		text[n++] = '\n';
		if (write(STDERR_FILENO, text, n) < 0)
			_exit(signals[i].status);
		_exit(signals[i].status);
	}
}

int fc__signal_status(int sig)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (signals[i].sig == sig)
			return signals[i].status;
	return 0;
}

void fc__signals(void)
{
	struct sigaction act = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i].sig, &act, NULL);
}

/* --- lines -------------------------------------------------------------------------------------------------- */

void fc__took(struct fc *f, enum fc_latency which, nsec_t since)
{
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);

	f->n.latency_us[which] = (uint64_t)((now - since) / 1000);
	f->n.api_us[which] = (uint64_t)((now - (f->since ? f->since : since)) / 1000);
}

static void put_latencies(const struct fc *f, struct json_out *o)
{
	static const char name[FC_LATENCY_COUNT][24] = {
		[FC_LAT_FULL_CREATE] = "full_create_snapshot",
		[FC_LAT_DIFF_CREATE] = "diff_create_snapshot",
		[FC_LAT_LOAD] = "load_snapshot",
		[FC_LAT_PAUSE] = "pause_vm",
		[FC_LAT_RESUME] = "resume_vm",
	};
	char vmm[32];

	json_put_open(o, "latencies_us", '{');
	for (int i = 0; i < FC_LATENCY_COUNT; i++)
		json_put_u64(o, name[i], f->n.api_us[i]);
	for (int i = 0; i < FC_LATENCY_COUNT; i++) {
		str_format(vmm, sizeof(vmm), "vmm_%s", name[i]);
		json_put_u64(o, vmm, f->n.latency_us[i]);
	}
	json_put_close(o, '}');
}

static void put_groups(const struct fc *f, struct json_out *o)
{
	json_put_open(o, "api_server", '{');
	json_put_u64(o, "process_startup_time_us", (uint64_t)(f->started / 1000));
	json_put_u64(o, "process_startup_time_cpu_us", (uint64_t)(f->started_cpu / 1000));
	json_put_u64(o, "sync_response_fails", 0);
	json_put_u64(o, "sync_vmm_send_timeout_count", 0);
	json_put_u64(o, "refused_request_count", f->n.refused);
	json_put_close(o, '}');
	json_put_open(o, "deprecated_api", '{');
	json_put_u64(o, "deprecated_http_api_calls", f->n.deprecated);
	json_put_close(o, '}');
	fc__put_route_metrics(f, o);
	put_latencies(f, o);
	json_put_open(o, "logger", '{');
	json_put_u64(o, "missed_metrics_count", f->n.metrics_fails);
	json_put_u64(o, "missed_log_count", f->log.missed);
	json_put_close(o, '}');
	json_put_open(o, "seccomp", '{');
	json_put_u64(o, "num_faults", (uint64_t)signal_count[ARRAY_SIZE(signals) - 1]);
	json_put_close(o, '}');
	json_put_open(o, "signals", '{');
	for (size_t i = 0; i + 1 < ARRAY_SIZE(signals); i++)
		json_put_u64(o, signals[i].name, (uint64_t)signal_count[i]);
	json_put_close(o, '}');
	json_put_open(o, "vmm", '{');
	json_put_u64(o, "panic_count", 0);
	json_put_close(o, '}');
	if (f->m)
		machine_metrics(f->m, o);
}

void fc__flush_metrics(struct fc *f)
{
	auto_fini(buf) struct buf line = { 0 };
	struct json_out o = { .to = &line };

	if (!f->metrics.path)
		return;
	json_put_open(&o, NULL, '{');
	json_put_u64(&o, "utc_timestamp_ms", (uint64_t)(time_now_ns(CLOCK_REALTIME) / NSEC_PER_MSEC));
	if (f->metrics.emit_id)
		json_put_str(&o, "id", f->log.id);
	if (f->metrics.properties)
		json_put_raw(&o, "properties", f->metrics.properties);
	put_groups(f, &o);
	json_put_close(&o, '}');
	buf_putc(&line, '\n');
	/* A FIFO whose reader is slow must not stop the machine: the line is lost then, and that is counted. */
	if (buf_finish(&line) < 0 || write(f->metrics.fd, line.data, line.len) != (ssize_t)line.len) {
		f->n.metrics_fails++;
		return;
	}
	f->n = (struct fc_counts){ 0 };
	f->log.missed = 0;
}

static void flush_late(void *arg)
{
	struct fc *f = arg;

	fc__flush_metrics(f);
	loop_timer_set(&f->loop, &f->metrics.timer, FLUSH_NS);
}

int fc__open_metrics(struct fc *f, const char *path, struct err *e)
{
	auto_close int fd = -1;
	int r;

	if (f->metrics.path)
		return err_set(e, EEXIST, "The metrics system was already initialized: '%s'",
			       f->metrics.path);
	fd = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0)
		return err_sys(e, -fd, "Metrics file '%s'", path);
	r = fc__set_str(&f->metrics.path, path, e);
	if (r < 0)
		return r;
	f->metrics.fd = TAKE_FD(fd);
	f->metrics.timer = (struct loop_timer){ .fire = flush_late, .arg = f };
	loop_timer_set(&f->loop, &f->metrics.timer, FLUSH_NS);
	return 0;
}

/* read_properties() - a flat object of strings, kept as text. */
static char *read_properties(const struct json_at *at, struct buf *text)
{
	struct json_out o = { .to = text };
	struct json_at p = json_read_obj(at, "properties");

	if (!p.value)
		return NULL;
	json_put_open(&o, NULL, '{');
	for (size_t i = 0; i < json_count(&p); i++) {
		struct json_at v = json_item(&p, i);

		json_put_str(&o, v.key, json_read_str(&v, NULL));
	}
	json_put_close(&o, '}');
	return buf_take(text);
}

int fc__put_metrics(struct fc_call *c)
{
	auto_fini(buf) struct buf text = { 0 };
	const char *path = json_read_str(c->body, "metrics_path");
	bool emit_id = json_read_bool(c->body, "emit_id", false);
	auto_free char *properties = read_properties(c->body, &text);
	int r;

	json_need(c->body, "metrics_path");
	r = json_finish(c->body->doc);
	if (r == 0)
		r = fc__open_metrics(c->f, path, c->e);
	if (r < 0)
		return r;
	c->f->metrics.emit_id = emit_id;
	c->f->metrics.properties = TAKE_PTR(properties);
	return 0;
}
