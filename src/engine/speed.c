/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/speed.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "engine/engine.h"
#include "engine/rig.h"
#include "sys/file.h"

enum {
	LOOP_AT =
		RIG_FREE_AT, /* a page for each: one written by us behind an engine's back may be code that it has translated */
	EXIT_AT = RIG_FREE_AT + 0x1000,
	STACK_AT = RIG_FREE_AT + 0x10000,
	PORT_DONE = 0x10,
	PORT_COUNT = 0x11,
	LOOP_INSNS = 3,
	LOOPS_FIRST = 500,
	LOOPS_MAX = 1 << 30,
	EXITS_FIRST = 16, /* not counted: the first are slower */
	FULL_SPEED = 4,   /* times the host's own is still that */
	CHOOSE_NS = 1000000,
	KNOWN_BYTES_MAX = 512,
	BOOT_ID_BYTES = 37,
	ROUNDS = 8,
	PARTS = 3, /* of the budget: ring 0, ring 3, exits */
};
#define KNOWN_FILE "engine-auto"

/* The guest's loop, and the host's: three instructions, the last two of which most processors take as one. */
static const uint8_t loop_code[] = {
	0xe5, PORT_COUNT,       /* again: in eax, PORT_COUNT */
	0x89, 0xc1,             /* mov ecx, eax */
	0x48, 0x01,       0xda, /* 1: add rdx, rbx */
	0xff, 0xc9,             /* dec ecx */
	0x75, 0xf9,             /* jnz 1b */
	0xe6, PORT_DONE,        /* out PORT_DONE, al */
	0xeb, 0xf1,             /* jmp again */
};
static const uint8_t exit_code[] = { 0xe6, PORT_DONE, 0xeb, 0xfc }; /* again: out PORT_DONE, al; jmp again */

/* ready() - a machine with both loops */
static int ready(struct rig *g, const struct engine_ops *ops, struct err *e)
{
	int r = rig_init(g, ops, e);

	if (r < 0)
		return r;
	memcpy(g->mem + LOOP_AT, loop_code, sizeof(loop_code));
	memcpy(g->mem + EXIT_AT, exit_code, sizeof(exit_code));
	return 0;
}

/* run_to() - Return: 0 at an access to that port */
static int run_to(struct rig *g, unsigned port, struct engine_exit *x, struct err *e)
{
	int r = rig_run(g, x, e);

	if (r < 0)
		return r;
	return x->kind == ENGINE_EXIT_IO && x->addr == port ? 0 : rig_failed(x, e);
}

static nsec_t now(void)
{
	return time_now_ns(CLOCK_MONOTONIC);
}

/* Rounds of more and more loops, until one is long enough to count; the best of those that count is told: others were disturbed. */
struct rounds {
	nsec_t enough, end; /* that counts; when to stop */
	uint32_t loops;     /* of the next */
	uint64_t best_ps;   /* for an instruction; 0: none has counted */
};

static struct rounds rounds_begin(nsec_t budget)
{
	return (struct rounds){ .enough = budget / ROUNDS, .end = now() + budget, .loops = LOOPS_FIRST };
}

/* round_end() - Return: whether that was the last */
static bool round_end(struct rounds *r, nsec_t took)
{
	const uint64_t ps = (uint64_t)took * 1000 / r->loops / LOOP_INSNS + 1;
	const uint64_t more = (uint64_t)r->enough * 5 / 4 / (uint64_t)(took > 0 ? took : 1) + 1;
	const bool last = now() >= r->end;

	if (took < r->enough && !last && r->loops < LOOPS_MAX) {
		uint64_t next = r->loops * (more > 64 ? 64 : more < 2 ? 2 : more);

		r->loops = next > LOOPS_MAX ? LOOPS_MAX : (uint32_t)next;
		return false;
	}
	if (!r->best_ps || ps < r->best_ps)
		r->best_ps = ps;
	return last;
}

static int measure_ring(struct rig *g, unsigned ring, nsec_t budget, uint64_t *ret_ps, struct err *e)
{
	struct engine_exit x;
	struct rounds rounds;
	bool last = false;
	int r = rig_start(g, ring, LOOP_AT, STACK_AT, e);

	rounds = rounds_begin(budget);
	while (r == 0 && !last) {
		nsec_t from;

		r = run_to(g, PORT_COUNT, &x, e);
		if (r < 0)
			return r;
		memcpy(x.data, &rounds.loops, sizeof(rounds.loops));
		from = now();
		r = run_to(g, PORT_DONE, &x, e);
		last = round_end(&rounds, now() - from);
	}
	if (r == 0)
		*ret_ps = rounds.best_ps;
	return r;
}

static int measure_exits(struct rig *g, nsec_t budget, uint64_t *ret_ns, struct err *e)
{
	nsec_t from = now(), end = from + budget;
	struct engine_exit x;
	uint64_t n = 0;
	int r = rig_start(g, 0, EXIT_AT, STACK_AT, e);

	for (int i = 0; i < EXITS_FIRST && r == 0; i++)
		r = run_to(g, PORT_DONE, &x, e);
	from = now();
	do {
		if (r == 0)
			r = run_to(g, PORT_DONE, &x, e);
		n++;
	} while (r == 0 && now() < end);
	if (r == 0)
		*ret_ns = (uint64_t)(now() - from) / n;
	return r;
}

static uint64_t measure_host(nsec_t budget)
{
	struct rounds rounds = rounds_begin(budget);
	nsec_t from;

	do {
		uint32_t left = rounds.loops;
		uint64_t sum = 0;

		from = now();
		__asm__ volatile("1: add %2, %0\n\tdec %1\n\tjnz 1b"
				 : "+r"(sum), "+r"(left)
				 : "r"(1UL)
				 : "cc");
	} while (!round_end(&rounds, now() - from));
	return rounds.best_ps;
}

int engine_speed(const struct engine_ops *ops, unsigned budget_ms, struct engine_speed *ret_s, struct err *e)
{
	const nsec_t budget = budget_ms * NSEC_PER_MSEC / PARTS;
	struct engine_speed s = { .host_ps = measure_host(budget / 4) };
	struct rig g = RIG_NONE;
	int r = ready(&g, ops, e);

	if (r == 0)
		r = measure_ring(&g, 0, budget, &s.ring0_ps, e);
	if (r == 0)
		r = measure_ring(&g, 3, budget, &s.ring3_ps, e);
	if (r == 0)
		r = measure_exits(&g, budget, &s.exit_ns, e);
	rig_fini(&g);
	if (r < 0)
		return err_wrap(e, r, "engine '%s': measure it", ops->name);
	*ret_s = s;
	return 0;
}

bool engine_speed_is_full(const struct engine_speed *s)
{
	return s->ring0_ps <= s->host_ps * FULL_SPEED;
}

/* --- which is fastest ----------------------------------------------------------------------------------------------- */

/* measure_ring0() - and nothing else: the two speeds lie a thousand times apart, a short look tells them. */
static int measure_ring0(const struct engine_ops *ops, struct engine_speed *ret_s)
{
	struct rig g = RIG_NONE;
	int r = ready(&g, ops, NULL);

	ret_s->host_ps = measure_host(CHOOSE_NS / 4);
	if (r == 0)
		r = measure_ring(&g, 0, CHOOSE_NS, &ret_s->ring0_ps, NULL);
	rig_fini(&g);
	return r;
}

static const struct engine_ops *measure_all(void)
{
	const struct engine_ops *best = NULL;
	uint64_t best_ps = UINT64_MAX;
	struct engine_speed s = { 0 };

	for (const struct engine_ops *const *t = engine_table; *t; t++) {
		if ((*t)->probe(NULL) < 0 || measure_ring0(*t, &s) < 0)
			continue;
		if (engine_speed_is_full(&s))
			return *t;
		if (s.ring0_ps < best_ps) {
			best = *t;
			best_ps = s.ring0_ps;
		}
	}
	return best;
}

/*
 * known_key() - what an answer holds for: this boot of the host, its kernel, this program, the engines that can run. Return: how many of
 * these; the key is empty where the host does not tell.
 */
static unsigned known_key(char *key, size_t size)
{
	auto_fini(buf) struct buf boot = { 0 };
	struct utsname host = { 0 };
	unsigned n = 0;
	size_t len = 0;

	if (file_slurp_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &boot, BOOT_ID_BYTES) == 0 &&
	    boot.len == BOOT_ID_BYTES && uname(&host) == 0)
		len = str_format(key, size, "%.*s %s %s", (int)boot.len - 1, boot.data, host.release,
				 HULL_VERSION);
	for (const struct engine_ops *const *t = engine_table; *t; t++) {
		if ((*t)->probe(NULL) < 0)
			continue;
		if (len && len < size)
			len += str_format(key + len, size - len, " %s", (*t)->name);
		n++;
	}
	if (len == 0 || len + 1 >= size)
		key[0] = '\0';
	return n;
}

/* known_read() - the name behind the key in the file, which nobody but us can have written. Return: NULL when there is none for it */
static const struct engine_ops *known_read(int dir, const char *key)
{
	auto_close int fd = file_open(dir, KNOWN_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	auto_fini(buf) struct buf b = { 0 };
	const size_t len = strlen(key);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    st.st_mode & (S_IWGRP | S_IWOTH) || file_slurp(fd, &b, KNOWN_BYTES_MAX) < 0 || b.len <= len ||
	    memcmp(b.data, key, len) != 0 || b.data[len] != '\n')
		return NULL;
	for (const struct engine_ops *const *t = engine_table; *t; t++)
		if (strlen((*t)->name) == b.len - len - 1 &&
		    memcmp(b.data + len + 1, (*t)->name, b.len - len - 1) == 0 && (*t)->probe(NULL) == 0)
			return *t;
	return NULL;
}

const struct engine_ops *engine_fastest(const char *dir, struct err *e)
{
	auto_close int fd = -1;
	char key[KNOWN_BYTES_MAX / 2], text[KNOWN_BYTES_MAX];
	const struct engine_ops *best;

	if (known_key(key, sizeof(key)) < 2) /* nothing to choose from */
		return engine_find(NULL, e);
	if (dir && key[0] && file_mkdir_private(dir) == 0)
		fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	best = fd >= 0 ? known_read(fd, key) : NULL;
	if (best)
		return best;
	best = measure_all();
	if (!best)
		return engine_find(NULL, e); /* which says why */
	if (fd >= 0)                         /* who cannot keep it measures again */
		file_replace(fd, KNOWN_FILE, text, str_format(text, sizeof(text), "%s\n%s", key, best->name),
			     0600, false, NULL);
	return best;
}
