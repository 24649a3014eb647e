/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.c - the space program begins: it makes its address space its own, gives up the host, and serves
 *
 * Theory of operation. The kernel has put a stack, the vDSO and nothing else beside the program. The program moves to a stack of its
 * own, unmaps everything above, maps what layout.h says, and installs a filter that leaves it a dozen system
 * calls: to map guest memory's files, to sleep, to set its timer. From here on it counts as the guest.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "engine/bt/space/host.h"
#include "engine/bt/space/interp.h"
#include "engine/bt/space/map.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/run.h"
#include "engine/bt/space/signal.h"
#include "engine/bt/space/system.h"
#include "engine/bt/space/translate.h"

enum { STACK_BYTES = 256 * 1024 };

#define HOST_USER_END 0x7ffffffff000UL
#define PRIVATE_BASE  (BT_ARENA_BASE + 0x100000000UL)

static uint8_t stack[STACK_BYTES] __attribute__((aligned(4096)));
static uint8_t signal_stack[STACK_BYTES] __attribute__((aligned(4096)));

static _Noreturn void quit(enum bt_start why)
{
	for (;;)
		BT_CALL(SYS_exit_group, why);
}

static void *map_at(uint64_t at, uint64_t size, int prot, int flags, int fd, uint64_t offset)
{
	long r = BT_CALL(SYS_mmap, at, size, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);

	if (r != (long)at)
		quit(BT_START_NO_MEMORY);
	return (void *)at;
}

static void *private_at(uint64_t *at, uint64_t size)
{
	void *p =
		map_at(*at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*at += (size + 0x1fffff) & ~0x1fffffUL;
	return p;
}

static void map_shared(uint64_t index, uint64_t n_cpus)
{
	const int rw = PROT_READ | PROT_WRITE;

	map_at(BT_CPU_BASE, BT_CPU_SIZE, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	map_at(BT_FPU_BASE, X86_XSAVE_MAX, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	map_at(BT_VM_BASE, (sizeof(struct bt_vm) + 4095) & ~4095UL, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	map_at(BT_EXCHANGE_BASE, BT_CPUS_MAX * BT_EXCHANGE_STRIDE, rw, MAP_SHARED, BT_FD_EXCHANGE, 0);
	map_at(BT_CACHE_BASE, BT_CACHE_SIZE, rw | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1,
	       0);
	map_at(BT_ARENA_BASE, BT_ARENA_SIZE, rw, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	BT_CALL(SYS_munmap, bt_code_pages(), BT_CODE_BYTES);
	map_at((uint64_t)(uintptr_t)bt_code_pages(), BT_CODE_BYTES, rw, MAP_SHARED, BT_FD_CODE,
	       index * BT_CODE_BYTES);
	map_at(BT_CODES_BASE, n_cpus * BT_CODE_BYTES, PROT_READ, MAP_SHARED, BT_FD_CODE, 0);
	map_at(BT_LOG_BASE, BT_CODE_BYTES, rw, MAP_SHARED, BT_FD_CODE, n_cpus * BT_CODE_BYTES);
	/* what guest memory's slots are put over: an access beside them faults */
	map_at(BT_RAM_BASE, BT_RAM_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void map_private(struct bt_process *p)
{
	uint64_t at = PRIVATE_BASE;

	p->granule = private_at(&at, HOST_USER_END >> 21);
	p->flushable = private_at(&at, BT_GRANULES_MAX * sizeof(*p->flushable));
	p->global = private_at(&at, BT_GRANULES_MAX * sizeof(*p->global));
	p->page_views = private_at(&at, (BT_RAM_SIZE >> 12) * sizeof(*p->page_views));
	p->chunk_views = private_at(&at, (BT_RAM_SIZE >> 21) * sizeof(*p->chunk_views));
	p->view = private_at(&at, BT_VIEWS_MAX * sizeof(*p->view));
	p->store_count = private_at(&at, BT_RAM_SIZE >> 12);
	map_at(BT_TABLE_BASE, BT_TABLES_SIZE, PROT_READ | PROT_WRITE,
	       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	p->n_views = 1;
	p->views_age = 1;
}

/* give_back_at_end() - the turn, if this process ends while it has it: a robust futex is all that it holds. */
static void give_back_at_end(struct bt_exchange *x)
{
	static struct robust_list held;
	static struct robust_list_head head;

	head.list.next = &held;
	held.next = &head.list;
	head.futex_offset = (long)((uintptr_t)&x->turn - (uintptr_t)&held);
	if (BT_CALL(SYS_set_robust_list, &head, sizeof(head)) < 0)
		quit(BT_START_NO_SIGNALS);
}

static void make_timer(struct bt_process *p)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
	struct {
		int type;
		int pid;
	} owner = { 0 /* F_OWNER_TID */, 0 };

	p->tid = (int)BT_CALL(SYS_gettid);
	ev._sigev_un._tid = p->tid;
	owner.pid = p->tid;
	if (BT_CALL(SYS_timer_create, CLOCK_MONOTONIC, &ev, &p->timer) < 0 ||
	    BT_CALL(SYS_fcntl, BT_FD_KICK + p->index, F_SETOWN_EX, &owner) < 0 ||
	    BT_CALL(SYS_fcntl, BT_FD_KICK + p->index, F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
		quit(BT_START_NO_SIGNALS);
}

/*
 * give_up() - all system calls but these; sched_setaffinity(2) of the processor's own processes alone.
 */
static void give_up(const struct bt_spaces *s)
{
	static const uint16_t allowed[] = {
		SYS_futex,         SYS_mmap,       SYS_munmap,        SYS_mprotect,
		SYS_read,          SYS_recvmsg,    SYS_timer_settime, SYS_rt_sigreturn,
		SYS_clock_gettime, SYS_exit_group, SYS_close,
	};
	enum { N = sizeof(allowed) / sizeof(allowed[0]), KILL = 3 + N + 2 + BT_SPACES_MAX /* its place */ };
	struct sock_filter f[N + 8 + BT_SPACES_MAX];
	struct sock_fprog prog = { 0, f };
	int n = 0;

	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, KILL - 2);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < N; i++, n++)
		f[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
						    (uint8_t)(KILL + 1 - (n + 1)), 0);
	f[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setaffinity, 0,
					    (uint8_t)(KILL - (n + 1)));
	n++;
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, args[0]));
	for (int i = 0; i < BT_SPACES_MAX; i++, n++)
		f[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, s->tid[i],
						    (uint8_t)(KILL + 1 - (n + 1)), 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)n;
	if (BT_CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1) < 0 ||
	    BT_CALL(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		quit(BT_START_NO_FILTER);
}

static uint64_t number(const char *s)
{
	uint64_t n = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	return n;
}

/* multiply() - the other processes of this processor, each a copy of the first as it is now: all come back from here. */
static void multiply(struct bt_process *p)
{
	long own = BT_CALL(SYS_getpid);

	for (unsigned i = 1; i < BT_SPACES_MAX; i++) {
		long pid = BT_CALL(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

		if (pid < 0)
			quit(BT_START_NO_PROCESS);
		if (pid > 0)
			continue;
		if (BT_CALL(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL) < 0 || BT_CALL(SYS_getppid) != own)
			quit(BT_START_NO_SIGNALS);
		p->index = i;
		return;
	}
}

/* meet() - until each of the processor's processes knows the others' numbers */
static void meet(struct bt_cpu *c)
{
	struct bt_spaces *s = &c->spaces;
	unsigned own = bt_process()->index;

	s->core[own] = BT_CORES_MAX;
	__atomic_store_n(&s->tid[own], (uint32_t)bt_process()->tid, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < BT_SPACES_MAX; i++)
		while (!__atomic_load_n(&s->tid[i], __ATOMIC_SEQ_CST))
			BT_CALL(SYS_sched_yield);
}

/* go() - on the program's own stack. */
static _Noreturn void go(uint64_t index, uint64_t n_cpus, uint64_t tsc_khz)
{
	struct bt_cpu *c = bt_cpu_here();
	struct bt_vm *vm = (struct bt_vm *)BT_VM_BASE;

	BT_CALL(SYS_munmap, BT_ARENA_BASE, HOST_USER_END - BT_ARENA_BASE);
	map_shared(index, n_cpus);
	map_private(bt_process());
	if (bt_signals_init(signal_stack, sizeof(signal_stack)) < 0)
		quit(BT_START_NO_SIGNALS);
	vm->tsc_khz = tsc_khz;
	vm->n_cpus = (unsigned)n_cpus;
	vm->written = (uint64_t *)BT_LOG_BASE;
	c->vm = vm;
	c->world = &bt_world_space;
	c->exchange = (struct bt_exchange *)(BT_EXCHANGE_BASE + index * BT_EXCHANGE_STRIDE);
	bt_cpu_reset(c, (unsigned)index);
	bt_interp_init(c, map_at(BT_NATIVE_BASE, BT_NATIVE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	bt_translate_init(vm);
	multiply(bt_process());
	make_timer(bt_process());
	give_back_at_end(c->exchange);
	BT_CALL(SYS_prctl, PR_SET_NAME, "hull-space"); /* the file that it is from has another */
	if (bt_process()->index == 0)
		c->exchange->owner = (uint32_t)bt_process()->tid;
	meet(c);
	give_up(&c->spaces);
	bt_run(c);
}

_Noreturn void bt_start(const uint64_t *args);

/* bt_start() - @args: argc, argv[0..], as the kernel leaves them */
_Noreturn void bt_start(const uint64_t *args)
{
	uint64_t index, n_cpus, tsc_khz;

	if (args[0] < 4)
		quit(BT_START_BAD_ARGUMENTS);
	index = number((const char *)args[2]);
	n_cpus = number((const char *)args[3]);
	tsc_khz = number((const char *)args[4]);
	if (index >= n_cpus || n_cpus > BT_CPUS_MAX || tsc_khz == 0)
		quit(BT_START_BAD_ARGUMENTS);
	__asm__ volatile("mov %0, %%rsp\n"
			 "xor %%ebp, %%ebp\n"
			 "call *%4\n"
			 "hlt"
			 :
			 : "r"(stack + sizeof(stack)), "D"(index), "S"(n_cpus), "d"(tsc_khz), "r"(go)
			 : "memory");
	__builtin_unreachable();
}

__asm__(".globl _start\n"
	"_start:\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call bt_start\n"
	"	hlt\n");
