// SPDX-License-Identifier: Apache-2.0
/*
 * bt_guest DIVISOR ROW... - the rows of bench/bt that need a program: the same one in each machine and on the host
 * Each prints "begin ROW" and "end ROW NS": the reader takes its own times of both lines, and compares. DIVISOR makes all shorter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	MATRIX = 192,
	LANES = 4,
	BLOCK = 131072,
	SMALL = 4096,
	DISK = 64 << 20,
	NET = 64 << 20,
	PORT = 7001
};

static volatile uint64_t sink; /* what is computed is wanted */

static void die(const char *what)
{
	printf("failed %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *pages(size_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* --- computing ------------------------------------------------------------------------------------------- */

static void row_integer(long n)
{
	static uint32_t table[4096];
	uint64_t x = 88172645463325252ULL;

	for (long i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (table[x & 4095] < (uint32_t)x)
			table[x & 4095] += (uint32_t)(x >> 32) % 1009;
		else
			table[(x >> 12) & 4095] ^= (uint32_t)x;
	}
	sink = table[17] + x;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* calls through a pointer, and returns */
static void row_calls(long n)
{
	uint32_t *v = malloc(n * sizeof(*v)), x = 2463534242U;

	if (!v)
		die("malloc");
	for (long i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		v[i] = x;
	}
	qsort(v, n, sizeof(*v), compare);
	sink = v[n / 2];
	free(v);
}

/* five bodies that pull at each other: additions, products, quotients and roots of doubles */
static void row_float(long n)
{
	enum { BODIES = 5 };
	double at[BODIES][3], speed[BODIES][3] = { { 0 } };

	for (int i = 0; i < BODIES; i++)
		for (int k = 0; k < 3; k++)
			at[i][k] = i * 1.7 + k * k + 0.1 * i * k;
	for (long step = 0; step < n; step++) {
		for (int i = 0; i < BODIES; i++) {
			for (int j = i + 1; j < BODIES; j++) {
				double d[3], square = 0.01, pull;

				for (int k = 0; k < 3; k++) {
					d[k] = at[i][k] - at[j][k];
					square += d[k] * d[k];
				}
				pull = 0.001 / (square * __builtin_sqrt(square));
				for (int k = 0; k < 3; k++) {
					speed[i][k] -= d[k] * pull;
					speed[j][k] += d[k] * pull;
				}
			}
		}
		for (int i = 0; i < BODIES; i++)
			for (int k = 0; k < 3; k++)
				at[i][k] += 0.001 * speed[i][k];
	}
	sink = (uint64_t)(at[0][0] * 1e6);
}

/* a product of matrices by vectors of four floats */
static void row_matrix(long n)
{
	typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
	static float a[MATRIX][MATRIX];
	static lanes b[MATRIX][MATRIX / LANES], c[MATRIX][MATRIX / LANES];

	for (int i = 0; i < MATRIX; i++)
		for (int j = 0; j < MATRIX; j++) {
			a[i][j] = (float)(i % 7) - (float)(j % 5);
			b[i][j / LANES][j % LANES] = (float)(j % 3) + (float)i / MATRIX;
		}
	for (long round = 0; round < n; round++)
		for (int i = 0; i < MATRIX; i++)
			for (int j = 0; j < MATRIX / LANES; j++) {
				lanes sum = { 0 };

				for (int k = 0; k < MATRIX; k++)
					sum += a[i][k] * b[k][j];
				c[i][j] = sum;
			}
	sink = (uint64_t)c[MATRIX / 2][1][1];
}

/* --- the kernel ------------------------------------------------------------------------------------------ */

static void row_getppid(long n)
{
	for (long i = 0; i < n; i++)
		syscall(SYS_getppid);
}

static void row_stat(long n)
{
	struct stat st;

	for (long i = 0; i < n; i++)
		if (stat("/proc", &st) < 0)
			die("stat");
}

static void row_open(long n)
{
	for (long i = 0; i < n; i++) {
		int fd = open("/dev/null", O_RDONLY);

		if (fd < 0)
			die("open");
		close(fd);
	}
}

/* child: 0: ends at once; 1: becomes this program, which does nothing */
static void births(long n, int becomes)
{
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			if (becomes)
				execl("/proc/self/exe", "bt_guest", (char *)NULL);
			_exit(becomes);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			die("wait");
	}
}

static void row_fork(long n)
{
	births(n, 0);
}
static void row_exec(long n)
{
	births(n, 1);
}

static void row_pingpong(long n)
{
	int to[2], back[2];
	char byte = 0;

	if (pipe(to) < 0 || pipe(back) < 0)
		die("pipe");
	if (fork() == 0) {
		close(to[1]);
		while (read(to[0], &byte, 1) == 1)
			if (write(back[1], &byte, 1) != 1)
				break;
		_exit(0);
	}
	close(to[0]);
	for (long i = 0; i < n; i++)
		if (write(to[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			die("ping");
	close(to[1]);
	close(back[0]);
	close(back[1]);
	wait(NULL);
}

static void row_mmap(long n)
{
	for (long i = 0; i < n; i++) {
		char *p = pages(64 * PAGE, PROT_READ | PROT_WRITE);

		for (int page = 0; page < 64; page++)
			p[page * PAGE] = 1;
		munmap(p, 64 * PAGE);
	}
}

/* --- code that is written -------------------------------------------------------------------------------- */

/* mov eax, imm32; ret */
static void put_code(unsigned char *at, uint32_t value)
{
	unsigned char code[6] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	memcpy(code + 1, &value, sizeof(value));
	memcpy(at, code, sizeof(code));
}

static uint32_t call_code(unsigned char *at)
{
	uint32_t (*f)(void);

	memcpy(&f, &at, sizeof(f));
	return f();
}

/* one place, written and called by turns */
static void row_jit(long n)
{
	unsigned char *p = pages(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);

	for (long i = 0; i < n; i++) {
		put_code(p, (uint32_t)i);
		if (call_code(p) != (uint32_t)i)
			die("jit: an old function ran");
	}
	munmap(p, PAGE);
}

/* new functions one after the other, as a compiler at run time makes them, each called eight times */
static void row_jit_fill(long n)
{
	enum { SIZE = 1 << 20, EACH = 16 };
	unsigned char *p = pages(SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);

	for (long i = 0; i < n; i++) {
		unsigned char *at = p + i * EACH % SIZE;

		put_code(at, (uint32_t)i);
		for (int k = 0; k < 8; k++)
			if (call_code(at) != (uint32_t)i)
				die("jit: an old function ran");
	}
	munmap(p, SIZE);
}

/* a word of data on the page of the function that runs */
static void row_beside(long n)
{
	unsigned char *p = pages(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	volatile uint32_t *word = (volatile uint32_t *)(p + PAGE / 2);

	put_code(p, 7);
	for (long i = 0; i < n; i++) {
		*word += 1;
		if (call_code(p) != 7)
			die("code beside data");
	}
	if (*word != (uint32_t)n)
		die("data beside code");
	munmap(p, PAGE);
}

/* --- devices --------------------------------------------------------------------------------------------- */

static void disk(long n, size_t size, int random)
{
	int fd = open("/dev/vda", O_RDONLY | O_DIRECT);
	char *buf = pages(BLOCK, PROT_READ | PROT_WRITE);
	uint32_t x = 1;

	if (fd < 0)
		die("/dev/vda");
	for (long i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		if (pread(fd, buf, size,
			  (off_t)((random ? x >> 8 : (uint32_t)i) % (DISK / size)) * (off_t)size) !=
		    (ssize_t)size)
			die("read");
	}
	close(fd);
	munmap(buf, BLOCK);
}

static void row_blk(long n)
{
	disk(n, BLOCK, 0);
}
static void row_blk_random(long n)
{
	disk(n, SMALL, 1);
}

/* @n bytes from the host, or to it; it answers one byte in the end */
static void net(long n, char which)
{
	struct sockaddr_in host = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char *buf = pages(BLOCK, PROT_READ | PROT_WRITE);
	char *port = getenv("BENCH_PORT");
	uint64_t want[2] = { (uint64_t)which, (uint64_t)n };

	host.sin_addr.s_addr = htonl(0x0a000202);
	if (port)
		host.sin_port = htons((uint16_t)atoi(port));
	if (fd < 0 || connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0 ||
	    write(fd, want, sizeof(want)) != sizeof(want))
		die("connect");
	for (long done = 0; done < n;) {
		size_t size = n - done < BLOCK ? (size_t)(n - done) : BLOCK;
		ssize_t r = which == 'r' ? read(fd, buf, size) : write(fd, buf, size);

		if (r <= 0)
			die("network");
		done += r;
	}
	if (read(fd, buf, 1) != 1)
		die("network's end");
	close(fd);
	munmap(buf, BLOCK);
}

static void row_net_in(long n)
{
	net(n, 'r');
}
static void row_net_out(long n)
{
	net(n, 'w');
}

/* --- the whole ------------------------------------------------------------------------------------------- */

static const struct row {
	const char *name;
	void (*run)(long n);
	long n;
} rows[] = {
	{ "integer", row_integer, 60000000 },
	{ "calls", row_calls, 1500000 },
	{ "float", row_float, 2000000 },
	{ "matrix", row_matrix, 100 },
	{ "getppid", row_getppid, 400000 },
	{ "stat", row_stat, 100000 },
	{ "open", row_open, 60000 },
	{ "fork", row_fork, 400 },
	{ "exec", row_exec, 200 },
	{ "pingpong", row_pingpong, 10000 },
	{ "mmap", row_mmap, 1000 },
	{ "jit", row_jit, 10000 },
	{ "jit_fill", row_jit_fill, 20000 },
	{ "beside", row_beside, 30000 },
	{ "blk", row_blk, DISK / BLOCK },
	{ "blk_random", row_blk_random, 5000 },
	{ "net_in", row_net_in, NET },
	{ "net_out", row_net_out, NET },
};

static void run(const struct row *r, long divisor)
{
	struct timespec from, to;

	printf("begin %s\n", r->name);
	fflush(stdout);
	clock_gettime(CLOCK_MONOTONIC, &from);
	r->run(r->n / divisor > 0 ? r->n / divisor : 1);
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("end %s %lld\n", r->name,
	       (to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	long divisor = argc > 1 ? atol(argv[1]) : 0;

	if (divisor <= 0)
		return 0; /* what "exec" starts */
	for (int i = 2; i < argc; i++)
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			if (strcmp(argv[i], rows[k].name) == 0)
				run(&rows[k], divisor);
	return 0;
}
