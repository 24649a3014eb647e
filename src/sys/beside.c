/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/beside.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "sys/call.h"

/* What runs there has the caller's thread-local storage, who goes on with it: no errno, and no sanitizer that counts calls. */
#define ALONE __attribute__((no_sanitize("thread")))

static inline ALONE long kernel(const struct beside_call *c)
{
	long r = c->nr;

	__asm__ volatile("syscall"
			 : "+a"(r)
			 : "D"(c->arg[0]), "S"(c->arg[1]), "d"(c->arg[2])
			 : "rcx", "r11", "memory");
	return r;
}

static ALONE void run(struct beside *b)
{
	long r = 0;

	for (size_t i = 0; i < b->n && r >= 0; i++)
		r = b->call[i].result = kernel(&b->call[i]);
}

/* start() - clone(2) whose child has a stack of its own, runs and ends; libc's would be met by sanitizers. Return: its pid or -errno. */
static long start(struct beside *b)
{
	long r = SYS_clone;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "mov %[b], %%rdi\n\t"
			 "call *%[run]\n\t"
			 "mov %[exit], %%eax\n\t"
			 "xor %%edi, %%edi\n\t"
			 "syscall\n"
			 "1:"
			 : "+a"(r)
			 : "D"(CLONE_VM | CLONE_FILES), "S"(b->stack + sizeof(b->stack)),
			   "d"(0), [b] "r"(b), [run] "r"(run), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return r;
}

int beside_start(struct beside *b, struct beside_call *call, size_t n)
{
	sigset_t all, old;
	long r;

	for (size_t i = 0; i < n; i++)
		call[i].result = -ECANCELED;
	b->call = call;
	b->n = n;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* a handler there would run in our memory, twice */
	r = start(b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	b->pid = r < 0 ? 0 : (pid_t)r;
	return r < 0 ? (int)r : 0;
}

void beside_wait(struct beside *b)
{
	while (b->pid && SYS4(SYS_wait4, b->pid, NULL, __WALL, NULL) == -EINTR)
		;
	b->pid = 0;
}
