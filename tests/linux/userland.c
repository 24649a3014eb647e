// SPDX-License-Identifier: Apache-2.0
/*
 * What programs do to a processor that a translator may get wrong: code that changes under one name or another, faults that
 * are caught, registers over switches, single steps. A line for each; the same on the host and in a machine.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, ROUNDS = 500 };

typedef uint32_t function(void);

static void *map(void *at, size_t bytes, int prot, int flags, int fd)
{
	void *p = mmap(at, bytes, prot, flags, fd, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

/* mov eax, value; ret */
static void put(void *at, uint32_t value)
{
	unsigned char code[6] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	memcpy(code + 1, &value, sizeof(value));
	memcpy(at, code, sizeof(code));
}

static uint32_t call(void *at)
{
	function *f;

	memcpy(&f, &at, sizeof(f));
	return f();
}

static int rewritten(void)
{
	unsigned char *p =
		map(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int right = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		put(p + i % 3 * 64, i);
		right += call(p + i % 3 * 64) == i;
	}
	munmap(p, PAGE);
	return right;
}

/* two mappings of one page: written by one name, run by the other */
static int two_names(void)
{
	int fd = memfd_create("code", 0), right = 0;
	unsigned char *w, *x;

	if (fd < 0 || ftruncate(fd, PAGE) < 0)
		return -1;
	w = map(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	x = map(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		put(w, i);
		right += call(x) == i;
	}
	munmap(w, PAGE);
	munmap(x, PAGE);
	close(fd);
	return right;
}

/* never writable and executable at once */
static int by_turns(void)
{
	unsigned char *p = map(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int right = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		mprotect(p, PAGE, PROT_READ | PROT_WRITE);
		put(p, i);
		mprotect(p, PAGE, PROT_READ | PROT_EXEC);
		right += call(p) == i;
	}
	munmap(p, PAGE);
	return right;
}

/* other code at an address that has had some */
static int mapped_anew(void)
{
	unsigned char *p = map(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int right = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		map(p, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
		put(p, i);
		right += call(p) == i;
	}
	munmap(p, PAGE);
	return right;
}

/* a child writes a copy of its own, a child writes what is shared */
static int by_children(int flags)
{
	unsigned char *p = map(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, flags | MAP_ANONYMOUS, -1);
	uint32_t want = 1000;
	int right = 0, status;

	put(p, want);
	for (uint32_t i = 0; i < ROUNDS / 10; i++) {
		right += call(p) == want;
		if (fork() == 0) {
			put(p, i);
			_exit(call(p) != i);
		}
		if (flags & MAP_SHARED)
			want = i;
		right += wait(&status) > 0 && status == 0 && call(p) == want;
	}
	munmap(p, PAGE);
	return right;
}

/* the instruction behind a store is what the store has put there */
static int just_ahead(void)
{
	/* mov [rip + 1], dil -> the immediate of: mov eax, 0; ret */
	static const unsigned char code[] = { 0x40, 0x88, 0x3d, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3 };
	unsigned char *p =
		map(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uint32_t (*f)(int);
	int right = 0;

	memcpy(p, code, sizeof(code));
	memcpy(&f, &p, sizeof(f));
	for (int i = 0; i < ROUNDS; i++)
		right += f(i & 255) == (uint32_t)(i & 255);
	munmap(p, PAGE);
	return right;
}

/* --- faults ---------------------------------------------------------------------------------------------- */

static sigjmp_buf back;
static volatile uintptr_t fault_at;
static volatile int fault_kind;

static void caught(int sig, siginfo_t *si, void *context)
{
	(void)context;
	fault_kind = sig * 100 + si->si_code;
	fault_at = (uintptr_t)si->si_addr;
	siglongjmp(back, 1);
}

/* touch() - what one access does: SIGSEGV, SIGBUS, SIGFPE, SIGILL as signal and code, or 0 */
static int touch(void (*f)(void *), void *at)
{
	fault_kind = 0;
	if (sigsetjmp(back, 1) == 0)
		f(at);
	return fault_kind;
}

static void reads(void *p)
{
	*(volatile char *)p;
}
static void writes(void *p)
{
	*(volatile char *)p = 1;
}
static void runs(void *p)
{
	call(p);
}
static void divides(void *p)
{
	(void)p;
	__asm__ volatile("xor %%ecx, %%ecx; div %%ecx" : : : "eax", "ecx", "edx", "cc");
}
static void undefined(void *p)
{
	(void)p;
	__asm__ volatile("ud2");
}
static void privileged(void *p)
{
	(void)p;
	__asm__ volatile("hlt");
}
static void breaks(void *p)
{
	(void)p;
	__asm__ volatile("int3");
}
static void far_away(void *p)
{
	(void)p;
	*(volatile char *)0x8000000000000000;
}

static void faults(void)
{
	static const int kinds[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };
	char *p = map(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int right = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		sigaction(kinds[i], &sa, NULL);
	munmap(p + PAGE, PAGE);
	printf("read %d, write %d, run %d, gap %d, nil %d\n", touch(reads, p), touch(writes, p),
	       touch(runs, p), touch(reads, p + PAGE), touch(writes, NULL));
	printf("divide %d, undefined %d, privileged %d, breakpoint %d, not canonical %d\n", touch(divides, p),
	       touch(undefined, p), touch(privileged, p), touch(breaks, p), touch(far_away, p));
	for (int i = 0; i < ROUNDS; i++)
		right += touch(writes, p + i) && fault_at == (uintptr_t)p + i;
	printf("addresses of faults: %d\n", right);
	munmap(p, PAGE);
}

/* --- registers ------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	/* the handler spoils what the kernel has to restore */
	__asm__ volatile("vpcmpeqd %%ymm0, %%ymm0, %%ymm0; vpcmpeqd %%ymm9, %%ymm9, %%ymm9; fninit; fldpi"
			 :
			 :
			 : "xmm0", "xmm9");
	ticks += sig == SIGALRM;
}

/* vectors and the x87 over signals, beside children that use them too */
__attribute__((target("avx2"))) static int vectors(void)
{
	struct sigaction sa = { .sa_handler = tick };
	timer_t timer;
	struct itimerspec often = { { 0, 300000 }, { 0, 300000 } };
	__m256i step = _mm256_set1_epi32(3), sum = _mm256_setzero_si256();
	uint32_t lanes[8], n = 0;
	long double x = 0;

	if (!__builtin_cpu_supports("avx2"))
		return 1;
	sigaction(SIGALRM, &sa, NULL);
	timer_create(CLOCK_MONOTONIC, NULL, &timer);
	for (int child = 0; child < 2; child++)
		if (fork() == 0)
			for (volatile double y = 1;; y = y * 1.5 / 1.25)
				if (y > 1e300)
					_exit(0);
	timer_settime(timer, 0, &often, NULL);
	while (ticks < 50) {
		for (int i = 0; i < 1000; i++) {
			sum = _mm256_add_epi32(sum, step);
			x += 0.5L;
			n++;
		}
	}
	timer_delete(timer);
	while (wait(NULL) > 0)
		;
	_mm256_storeu_si256((__m256i *)lanes, sum);
	for (int i = 0; i < 8; i++)
		if (lanes[i] != n * 3)
			return 0;
	return x == 0.5L * n;
}

/* flags and registers of a step at a time, as the debugger sees them */
static int steps(void)
{
	struct user_regs_struct regs;
	int status, n = 0;
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		__asm__ volatile("int3; mov $5, %%ecx; xor %%eax, %%eax; 1: add $3, %%eax; loop 1b; nop; int3"
				 :
				 :
				 : "eax", "ecx", "cc");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	do {
		ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
		waitpid(pid, &status, 0);
		ptrace(PTRACE_GETREGS, pid, 0, &regs);
	} while (++n < 100 && (ptrace(PTRACE_PEEKTEXT, pid, regs.rip - 1, 0) & 0xff) != 0xcc);
	printf("single steps: %d, eax %lld\n", n, regs.rax);
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	return WIFEXITED(status);
}

/* --- threads --------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counted, added;
static unsigned char *shared_code;

static void *worker(void *arg)
{
	static __thread long own;

	for (int i = 0; i < 5000; i++) {
		__atomic_fetch_add(&added, 1, __ATOMIC_SEQ_CST);
		pthread_mutex_lock(&lock);
		counted++;
		put(shared_code, (uint32_t)counted);
		own += call(shared_code) == (uint32_t)counted;
		pthread_mutex_unlock(&lock);
	}
	*(long *)arg = own;
	return NULL;
}

static void threads(void)
{
	pthread_t t[4];
	long right[4], sum = 0;

	shared_code = map(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, worker, &right[i]);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		sum += right[i];
	}
	printf("threads: %ld %ld %ld\n", counted, added, sum);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("code rewritten: %d\n", rewritten());
	printf("under two names: %d\n", two_names());
	printf("writable and executable by turns: %d\n", by_turns());
	printf("mapped anew: %d\n", mapped_anew());
	printf("a child's own: %d, shared: %d\n", by_children(MAP_PRIVATE), by_children(MAP_SHARED));
	printf("just ahead: %d\n", just_ahead());
	faults();
	printf("vectors over signals: %d\n", vectors());
	printf("stepped to the end: %d\n", steps());
	threads();
	return 0;
}
