/* SPDX-License-Identifier: Apache-2.0 */
/* engine_test.c - the contract, driven with a few bytes of guest code; runs on each engine that this host has */
#include "engine/engine.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "engine/debug.h"
#include "fmt/record.h"

enum { XSAVE_XMM0_AT = 160, XSAVE_BV_AT = 512 }; /* Spec: SDM volume 1, 13.4.1 */
enum { MEM_BYTES = 1 << 20, CODE_AT = 0x1000, STACK_AT = 0x8000, DATA_AT = 0x20000, READONLY_AT = 0x80000 };
enum {
	MORE_AT = 2 << 20,
	MORE_BYTES = 2 << 20,
	MORE_SLOT = 2,
	PAGE = 4096,
	MORE_WORDS = MORE_BYTES / PAGE / 64
};

static const char *under_test; /* an engine's name */

struct world {
	const struct engine_ops *ops;
	struct engine_vm *vm;
	struct engine_cpu *cpu;
	uint8_t *mem;
	int fd;
	struct err e;
};

/* world_open() - the engine under test, if it can; a machine of 1 MiB and one processor in real mode at CODE_AT. */
static void world_open_with(struct world *w, const struct engine_config *c)
{
	*w = (struct world){ .fd = -1 };
	w->ops = engine_find(under_test, &w->e);
	if (!w->ops) {
		print_message("%s\n", w->e.text);
		skip();
	}
	assert_return_code(engine_vm_new(w->ops, &w->vm, c, &w->e), 0);
	w->fd = memfd_create("engine-test", MFD_CLOEXEC);
	assert_true(w->fd >= 0);
	assert_int_equal(ftruncate(w->fd, MEM_BYTES), 0);
	w->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	assert_true(w->mem != MAP_FAILED);
	assert_return_code(engine_mem_set(w->vm,
					  &(struct engine_mem){ .size = MEM_BYTES / 2,
								.host = w->mem,
								.fd = w->fd,
								.shared = true,
								.log_dirty = true },
					  &w->e),
			   0);
	assert_return_code(engine_mem_set(w->vm,
					  &(struct engine_mem){ .slot = 1,
								.gpa = READONLY_AT,
								.size = MEM_BYTES / 2,
								.host = w->mem + READONLY_AT,
								.fd = w->fd,
								.fd_offset = READONLY_AT,
								.shared = true,
								.readonly = true },
					  &w->e),
			   0);
	assert_return_code(engine_cpu_new(w->vm, 0, &w->cpu, &w->e), 0);
}

static void world_open(struct world *w)
{
	world_open_with(w, &(struct engine_config){ .n_cpus = 1 });
}

static void world_close(struct world *w)
{
	engine_cpu_free(w->cpu);
	engine_vm_free(w->vm);
	munmap(w->mem, MEM_BYTES);
	close(w->fd);
}

/* start_at() - real mode, flat segments from 0, interrupts off. */
static void start_at(struct world *w, const void *code, size_t len)
{
	struct x86_state s = { .rip = CODE_AT, .rflags = 2, .cr0 = 0x60000010 };

	memcpy(w->mem + CODE_AT, code, len);
	for (int i = 0; i < X86_SEG_COUNT; i++)
		s.seg[i] = (struct x86_segment){ .limit = 0xffff, .attr = 0x93 };
	s.seg[X86_CS].attr = 0x9b;
	s.seg[X86_TR].attr = 0x8b;
	s.seg[X86_LDTR].attr = 0x82;
	s.gdt.limit = s.idt.limit = 0xffff;
	s.gpr[X86_RSP] = STACK_AT;
	assert_return_code(engine_cpu_set(w->cpu, &s, &w->e), 0);
}

static void run(struct world *w, struct engine_exit *x, enum engine_exit_kind want)
{
	assert_return_code(engine_cpu_run(w->cpu, x), 0);
	if (x->kind != want)
		fail_msg("exit: want %d, got %d (%s)", want, x->kind, x->text);
}

static void test_a_port_write_and_a_port_read_reach_the_caller(void **state)
{
	/* mov al,'A'; out 0x10,al; in al,0x11; out 0x12,al; hlt */
	static const uint8_t code[] = { 0xb0, 'A', 0xe6, 0x10, 0xe4, 0x11, 0xe6, 0x12, 0xf4 };
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	start_at(&w, code, sizeof(code));
	run(&w, &x, ENGINE_EXIT_IO);
	assert_true(x.write && x.size == 1 && x.count == 1 && x.addr == 0x10 && x.data[0] == 'A');
	run(&w, &x, ENGINE_EXIT_IO);
	assert_true(!x.write && x.size == 1 && x.addr == 0x11);
	x.data[0] = 'Z';
	run(&w, &x, ENGINE_EXIT_IO);
	assert_true(x.write && x.addr == 0x12 && x.data[0] == 'Z');
	world_close(&w);
}

static void test_a_string_of_port_writes_comes_as_one_exit_or_several(void **state)
{
	/* mov si,0x2000; mov cx,5; mov dx,0x3f8; cld; rep outsb; out 0x10,al; hlt */
	static const uint8_t code[] = { 0xbe, 0x00, 0x20, 0xb9, 0x05, 0x00, 0xba, 0xf8,
					0x03, 0xfc, 0xf3, 0x6e, 0xe6, 0x10, 0xf4 };
	char got[16] = "";
	size_t n = 0;
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	memcpy(w.mem + 0x2000, "hello", 5);
	start_at(&w, code, sizeof(code));
	for (;;) {
		run(&w, &x, ENGINE_EXIT_IO);
		if (x.addr == 0x10)
			break;
		assert_true(x.size == 1 && n + x.count < sizeof(got));
		memcpy(got + n, x.data, x.count);
		n += x.count;
	}
	assert_string_equal(got, "hello");
	world_close(&w);
}

static void test_an_access_to_no_memory_is_an_mmio_exit(void **state)
{
	/* mov ax,0xffff; mov ds,ax; mov dword [0x0010],0x12345678 (0x100000); mov eax,[0x0014]; out 0x10,eax */
	static const uint8_t code[] = { 0xb8, 0xff, 0xff, 0x8e, 0xd8, 0x66, 0xc7, 0x06, 0x10, 0x00, 0x78,
					0x56, 0x34, 0x12, 0x66, 0xa1, 0x14, 0x00, 0x66, 0xe7, 0x10, 0xf4 };
	uint32_t v;
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	start_at(&w, code, sizeof(code));
	run(&w, &x, ENGINE_EXIT_MMIO);
	memcpy(&v, x.data, 4);
	assert_true(x.write && x.size == 4 && x.addr == 0x100000);
	assert_int_equal(v, 0x12345678);
	run(&w, &x, ENGINE_EXIT_MMIO);
	assert_true(!x.write && x.size == 4 && x.addr == 0x100004);
	memcpy(x.data, "\xef\xbe\xad\xde", 4);
	run(&w, &x, ENGINE_EXIT_IO);
	memcpy(&v, x.data, 4);
	assert_int_equal(v, 0xdeadbeef);
	world_close(&w);
}

static void test_a_write_to_a_read_only_slot_is_an_mmio_exit_and_leaves_it(void **state)
{
	/* mov ax,0x8000; mov ds,ax; mov byte [0],1; mov al,[0]; out 0x10,al */
	static const uint8_t code[] = { 0xb8, 0x00, 0x80, 0x8e, 0xd8, 0xc6, 0x06, 0x00,
					0x00, 0x01, 0xa0, 0x00, 0x00, 0xe6, 0x10, 0xf4 };
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	w.mem[READONLY_AT] = 0x5a;
	start_at(&w, code, sizeof(code));
	run(&w, &x, ENGINE_EXIT_MMIO);
	assert_true(x.write && x.addr == READONLY_AT);
	run(&w, &x, ENGINE_EXIT_IO);
	assert_int_equal(x.data[0], 0x5a);
	world_close(&w);
}

static void test_the_dirty_log_names_the_pages_written_since_it_was_asked(void **state)
{
	/* mov byte [0x3000],1; mov byte [0x5000],1; out 0x10,al; mov byte [0x6000],1; out 0x10,al */
	static const uint8_t code[] = { 0xc6, 0x06, 0x00, 0x30, 0x01, 0xc6, 0x06, 0x00, 0x50, 0x01,
					0xe6, 0x10, 0xc6, 0x06, 0x00, 0x60, 0x01, 0xe6, 0x10, 0xf4 };
	uint64_t bits[2] = { 0 };
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	start_at(&w, code, sizeof(code));
	run(&w, &x, ENGINE_EXIT_IO);
	assert_return_code(engine_dirty_get(w.vm, 0, bits, 2), 0);
	assert_int_equal(bits[0] & 0x78, 1 << 3 | 1 << 5);
	run(&w, &x, ENGINE_EXIT_IO);
	bits[0] = 0;
	assert_return_code(engine_dirty_get(w.vm, 0, bits, 2), 0);
	assert_int_equal(bits[0] & 0x78, 1 << 6);
	assert_int_equal(engine_dirty_get(w.vm, 0, bits, 1), -EINVAL);
	assert_int_equal(engine_dirty_get(w.vm, 7, bits, 2), -ENOENT);
	world_close(&w);
}

/* more_open() - 2 MiB with a log, in the guest's tables a large page of its own. */
static uint8_t *more_open(struct world *w)
{
	auto_close int fd = memfd_create("more", MFD_CLOEXEC);
	struct engine_mem m = {
		.slot = MORE_SLOT, .gpa = MORE_AT, .size = MORE_BYTES, .shared = true, .log_dirty = true
	};

	assert_true(fd >= 0 && ftruncate(fd, MORE_BYTES) == 0);
	m.fd = fd;
	m.host = mmap(NULL, MORE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(m.host != MAP_FAILED);
	assert_return_code(engine_mem_set(w->vm, &m, &w->e), 0);
	return m.host;
}

/* start_long() - 64-bit mode, all addresses their own */
static void start_long(struct world *w, struct engine_cpu *cpu, unsigned ring, uint64_t rip, uint64_t rax)
{
	static const uint64_t table[][2] = {
		{ 0x2000, 0x3007 }, { 0x3000, 0x4007 }, { 0x4000, 0x87 }, { 0x4008, MORE_AT | 0x87 }
	};
	struct x86_state s = {
		.rip = rip, .rflags = 0x3002, .cr0 = 0x80010031, .cr3 = 0x2000, .cr4 = 0x20, .efer = 0x500
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		memcpy(w->mem + table[i][0], &table[i][1], 8);
	for (int i = 0; i < X86_SEG_COUNT; i++)
		s.seg[i] = (struct x86_segment){ .limit = 0xffffffff,
						 .selector = (uint16_t)(16 | ring),
						 .attr = (uint16_t)(0xc093 | ring << 5) };
	s.seg[X86_CS].selector = (uint16_t)(8 | ring);
	s.seg[X86_CS].attr = (uint16_t)(0xa09b | ring << 5);
	s.seg[X86_LDTR] = (struct x86_segment){ .attr = 0x82 };
	s.seg[X86_TR] = (struct x86_segment){ .limit = 0x67, .attr = 0x8b };
	s.gpr[X86_RAX] = rax;
	s.gpr[X86_RBX] = DATA_AT;
	s.gpr[X86_RSP] = STACK_AT;
	assert_return_code(engine_cpu_set(cpu, &s, &w->e), 0);
}

/* access_at() - the guest of the next test reads at @read, writes at @write, and has come back for more */
static void access_at(struct world *w, struct engine_exit *x, uint32_t read, uint32_t write)
{
	assert_int_equal(x->addr, 0x10);
	memcpy(x->data, &read, 4);
	run(w, x, ENGINE_EXIT_IO);
	assert_int_equal(x->addr, 0x11);
	memcpy(x->data, &write, 4);
	run(w, x, ENGINE_EXIT_IO);
}

static void test_each_page_is_in_the_log_once_for_each_time_it_is_taken(void **state)
{
	/* again: in eax,0x10; mov rbx,[rax]; in eax,0x11; mov [rax],rax; jmp again */
	static const uint8_t code[] = {
		0xe5, 0x10, 0x48, 0x8b, 0x18, 0xe5, 0x11, 0x48, 0x89, 0x00, 0xeb, 0xf4
	};
	uint64_t bits[MORE_WORDS];
	struct engine_exit x;
	struct world w;

	(void)state;
	for (unsigned ring = 0; ring <= 3; ring += 3) {
		uint8_t *more;

		world_open_with(&w, &(struct engine_config){ .n_cpus = 1, .no_irqchip = true });
		more = more_open(&w);
		memcpy(w.mem + CODE_AT, code, sizeof(code));
		start_long(&w, w.cpu, ring, CODE_AT, 0);
		run(&w, &x, ENGINE_EXIT_IO);
		for (unsigned round = 0; round < 3; round++) {
			memset(bits, 0, sizeof(bits));
			access_at(&w, &x, MORE_AT + 130 * PAGE, MORE_AT + 130 * PAGE + 8);
			access_at(&w, &x, MORE_AT + 130 * PAGE, MORE_AT + 131 * PAGE + round);
			access_at(&w, &x, MORE_AT + 131 * PAGE, MORE_AT + 130 * PAGE + 24);
			access_at(&w, &x, MORE_AT + 130 * PAGE, MORE_AT + 511 * PAGE - 4);
			assert_return_code(engine_dirty_get(w.vm, MORE_SLOT, bits, MORE_WORDS), 0);
			for (unsigned i = 0; i < MORE_WORDS; i++)
				if (bits[i] != (i == 2 ? 3 << 2 : i == 7 ? 3ULL << 62 : 0))
					fail_msg("ring %u, round %u, word %u: 0x%llx", ring, round, i,
						 (unsigned long long)bits[i]);
		}
		memset(bits, 0, sizeof(bits));
		assert_return_code(engine_dirty_get(w.vm, MORE_SLOT, bits, MORE_WORDS), 0);
		assert_int_equal(bits[2] | bits[7], 0);
		world_close(&w);
		munmap(more, MORE_BYTES);
	}
}

static void test_hundreds_of_slots_in_one_file_come_and_go(void **state)
{
	/* again: in eax,0x10; mov rbx,[rax]; in eax,0x11; mov [rax],rax; jmp again */
	static const uint8_t code[] = {
		0xe5, 0x10, 0x48, 0x8b, 0x18, 0xe5, 0x11, 0x48, 0x89, 0x00, 0xeb, 0xf4
	};
	enum { PAGES = MORE_BYTES / PAGE, GONE = 301, FDS_MAX = 64 };
	auto_close int fd = memfd_create("more", MFD_CLOEXEC);
	uint8_t *more = mmap(NULL, MORE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int fds = dup(fd), after;
	struct engine_exit x;
	uint64_t got;
	struct world w;

	(void)state;
	close(fds);
	assert_true(more != MAP_FAILED && ftruncate(fd, MORE_BYTES) == 0);
	world_open_with(&w, &(struct engine_config){ .n_cpus = 1, .no_irqchip = true });
	for (unsigned i = 0; i < PAGES; i++) /* the last page of the file is the first of memory */
		assert_return_code(engine_mem_set(w.vm,
						  &(struct engine_mem){ .slot = ENGINE_SLOTS_MAX - 1 - i,
									.gpa = MORE_AT + i * PAGE,
									.size = PAGE,
									.host = more + (PAGES - 1 - i) * PAGE,
									.fd = fd,
									.fd_offset = (PAGES - 1 - i) * PAGE,
									.shared = true },
						  &w.e),
				   0);
	after = dup(fd);
	close(after);
	assert_true(after - fds < FDS_MAX);
	memcpy(w.mem + CODE_AT, code, sizeof(code));
	start_long(&w, w.cpu, 0, CODE_AT, 0);
	run(&w, &x, ENGINE_EXIT_IO);
	for (unsigned i = 0; i < PAGES; i += 20)
		access_at(&w, &x, MORE_AT + i * PAGE, MORE_AT + i * PAGE + 8);
	for (unsigned i = 0; i < PAGES; i++) {
		memcpy(&got, more + (PAGES - 1 - i) * PAGE + 8, 8);
		assert_int_equal(got, i % 20 ? 0 : MORE_AT + i * PAGE + 8);
	}
	assert_return_code(
		engine_mem_set(w.vm, &(struct engine_mem){ .slot = ENGINE_SLOTS_MAX - 1 - GONE }, &w.e), 0);
	access_at(&w, &x, MORE_AT + (GONE - 1) * PAGE, MORE_AT + (GONE + 1) * PAGE);
	memcpy(x.data, &(uint32_t){ MORE_AT + GONE * PAGE }, 4);
	run(&w, &x, ENGINE_EXIT_MMIO);
	assert_int_equal(x.addr, MORE_AT + GONE * PAGE);
	world_close(&w);
	munmap(more, MORE_BYTES);
}

struct writer {
	struct engine_cpu *cpu;
	pthread_t thread;
};

static void *write_until_kicked(void *arg)
{
	struct writer *w = arg;
	struct engine_exit x;

	return engine_cpu_run(w->cpu, &x) < 0 || x.kind != ENGINE_EXIT_KICKED ? "an exit that is no kick" :
										NULL;
}

/* copy_written() - what the log has since the last time, into @copy */
static unsigned copy_written(struct world *w, const uint8_t *from, uint8_t *copy)
{
	uint64_t bits[MORE_WORDS] = { 0 };
	unsigned n = 0;

	assert_return_code(engine_dirty_get(w->vm, MORE_SLOT, bits, MORE_WORDS), 0);
	for (size_t page = 0; page < MORE_BYTES / PAGE; page++)
		if (bits[page / 64] >> page % 64 & 1) {
			memcpy(copy + page * PAGE, from + page * PAGE, PAGE);
			n++;
		}
	return n;
}

static void test_a_copy_of_what_the_log_has_is_the_memory_though_the_guest_runs(void **state)
{
	/* again: lea rax,[rax*8+rax+0x1234567]; mov rbx,rax; shr rbx,24; and ebx,0x1ffff8; mov [rbx+MORE_AT],rax;
	 * mov ecx,200; 1: dec ecx; jnz 1b; jmp again */
	static const uint8_t code[] = { 0x48, 0x8d, 0x84, 0xc0, 0x67, 0x45, 0x23, 0x01, 0x48, 0x89,
					0xc3, 0x48, 0xc1, 0xeb, 0x18, 0x81, 0xe3, 0xf8, 0xff, 0x1f,
					0x00, 0x48, 0x89, 0x83, 0x00, 0x00, 0x20, 0x00, 0xb9, 0xc8,
					0x00, 0x00, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0xeb, 0xd9 };
	enum { CPUS = 2, TAKES = 30 };
	struct writer writer[CPUS];
	uint8_t *more, *copy = calloc(1, MORE_BYTES);
	unsigned pages = 0;
	struct world w;

	(void)state;
	assert_non_null(copy);
	world_open_with(&w, &(struct engine_config){ .n_cpus = CPUS, .no_irqchip = true });
	more = more_open(&w);
	memcpy(w.mem + CODE_AT, code, sizeof(code));
	writer[0].cpu = w.cpu;
	assert_return_code(engine_cpu_new(w.vm, 1, &writer[1].cpu, &w.e), 0);
	for (unsigned i = 0; i < CPUS; i++) { /* a kernel's and a user's */
		start_long(&w, writer[i].cpu, i * 3, CODE_AT, i);
		assert_int_equal(pthread_create(&writer[i].thread, NULL, write_until_kicked, &writer[i]), 0);
	}
	for (unsigned i = 0; i < TAKES; i++) {
		usleep(2000);
		pages += copy_written(&w, more, copy);
	}
	for (unsigned i = 0; i < CPUS; i++) {
		void *why = "it did not end";

		engine_cpu_kick(writer[i].cpu);
		assert_int_equal(pthread_join(writer[i].thread, &why), 0);
		assert_null(why);
	}
	pages += copy_written(&w, more, copy);
	assert_true(pages > 100);
	assert_memory_equal(copy, more, MORE_BYTES);
	engine_cpu_free(writer[1].cpu);
	world_close(&w);
	munmap(more, MORE_BYTES);
	free(copy);
}

static void test_a_triple_fault_is_a_shutdown(void **state)
{
	static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2, in protected mode without any vector */
	struct x86_state s = { .rip = CODE_AT, .rflags = 2, .cr0 = 0x60000011 };
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	memcpy(w.mem + CODE_AT, code, sizeof(code));
	for (int i = 0; i < X86_SEG_COUNT; i++)
		s.seg[i] = (struct x86_segment){ .limit = 0xffffffff, .selector = 16, .attr = 0xc093 };
	s.seg[X86_CS] = (struct x86_segment){ .limit = 0xffffffff, .selector = 8, .attr = 0xc09b };
	s.seg[X86_TR].attr = 0x8b;
	s.seg[X86_LDTR].attr = 0x82;
	assert_return_code(engine_cpu_set(w.cpu, &s, &w.e), 0);
	run(&w, &x, ENGINE_EXIT_SHUTDOWN);
	world_close(&w);
}

static void test_a_kick_before_the_run_ends_it_at_once_and_only_once(void **state)
{
	/* mov al,1; out 0x10,al; jmp $ */
	static const uint8_t code[] = { 0xb0, 0x01, 0xe6, 0x10, 0xeb, 0xfe };
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	start_at(&w, code, sizeof(code));
	engine_cpu_kick(w.cpu);
	run(&w, &x, ENGINE_EXIT_KICKED);
	run(&w, &x, ENGINE_EXIT_IO);
	world_close(&w);
}

struct runner {
	struct world *w;
	unsigned kicked;
	bool stop;
};

static void *run_until_told(void *arg)
{
	struct runner *r = arg;
	struct engine_exit x;

	while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
		if (engine_cpu_run(r->w->cpu, &x) < 0 || x.kind != ENGINE_EXIT_KICKED)
			return "an exit that is no kick";
		__atomic_fetch_add(&r->kicked, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* kick_often() - each as soon as the one before has arrived, which is when the processor is on its way in again */
static void kick_often(bool in_64_bits)
{
	static const uint8_t code[] = { 0xeb, 0xfe }; /* jmp $ */
	struct world w;
	struct runner r = { .w = &w };
	pthread_t thread;
	void *why = NULL;

	world_open(&w);
	start_at(&w, code, sizeof(code));
	if (in_64_bits)
		start_long(&w, w.cpu, 3, CODE_AT, 0);
	assert_int_equal(pthread_create(&thread, NULL, run_until_told, &r), 0);
	for (int i = 0; i < 200; i++) {
		unsigned before = __atomic_load_n(&r.kicked, __ATOMIC_SEQ_CST);
		nsec_t deadline = time_now_ns(CLOCK_MONOTONIC) + 2 * NSEC_PER_SEC;

		if (i == 199)
			__atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
		engine_cpu_kick(w.cpu);
		while (__atomic_load_n(&r.kicked, __ATOMIC_SEQ_CST) == before)
			if (time_now_ns(CLOCK_MONOTONIC) > deadline)
				fail_msg("kick %d was lost", i);
	}
	assert_int_equal(pthread_join(thread, &why), 0);
	assert_null(why);
	world_close(&w);
}

static void test_no_kick_of_a_running_processor_is_lost(void **state)
{
	(void)state;
	kick_often(false);
	kick_often(true);
}

static void test_a_doorbell_is_signalled_without_an_exit(void **state)
{
	/* mov ax,7; out 0x60,ax; mov ax,8; out 0x60,ax: the second does not match */
	static const uint8_t code[] = { 0xb8, 0x07, 0x00, 0xe7, 0x60, 0xb8, 0x08, 0x00, 0xe7, 0x60, 0xf4 };
	auto_close int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t n = 0;
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	if (engine_ioeventfd(w.vm, true, 0x60, 2, 7, fd, true) == -EOPNOTSUPP) {
		world_close(&w);
		print_message("this engine has no doorbells\n");
		skip();
	}
	start_at(&w, code, sizeof(code));
	run(&w, &x, ENGINE_EXIT_IO);
	assert_true(x.write && x.addr == 0x60 && x.data[0] == 8);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	assert_return_code(engine_ioeventfd(w.vm, true, 0x60, 2, 7, fd, false), 0);
	assert_int_equal(engine_ioeventfd(w.vm, true, 0x60, 3, 7, fd, true), -EINVAL);
	world_close(&w);
}

static void test_halt_without_an_interrupt_controller_is_an_exit(void **state)
{
	static const uint8_t code[] = { 0xf4 };
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open_with(&w, &(struct engine_config){ .n_cpus = 1, .no_irqchip = true });
	start_at(&w, code, sizeof(code));
	run(&w, &x, ENGINE_EXIT_HALT);
	assert_int_equal(engine_irq_set(w.vm, 5, true), -EOPNOTSUPP);
	world_close(&w);
}

/*
 * The old way into a processor: the 8259 pair delivers line 5 as vector 0x25 (LINT0 is ExtINT after reset). The handler
 * writes port 0x30, says end of interrupt and returns to the halt.
 */
static void irq_guest(struct world *w)
{
	static const uint8_t code[] = {
		0xb0, 0x11, 0xe6, 0x20, /* ICW1 */
		0xb0, 0x20, 0xe6, 0x21, /* vectors from 0x20 */
		0xb0, 0x04, 0xe6, 0x21, /* slave on 2 */
		0xb0, 0x01, 0xe6, 0x21, /* 8086 mode */
		0xb0, 0xdf, 0xe6, 0x21, /* all but line 5 masked */
		0xe6, 0x31,             /* ready */
		0xfb,                   /* sti */
		0xf4, 0xeb, 0xfd,       /* again: hlt; jmp again */
	};
	/* mov al,5; out 0x30,al; mov al,0x20; out 0x20,al; iret */
	static const uint8_t handler[] = { 0xb0, 0x05, 0xe6, 0x30, 0xb0, 0x20, 0xe6, 0x20, 0xcf };
	static const uint8_t vector[] = { 0x00, 0x30, 0x00, 0x00 }; /* 0000:3000 */

	memcpy(w->mem + 0x3000, handler, sizeof(handler));
	memcpy(w->mem + 4 * 0x25L, vector, sizeof(vector));
	start_at(w, code, sizeof(code));
}

static void run_to_port(struct world *w, struct engine_exit *x, uint16_t port)
{
	run(w, x, ENGINE_EXIT_IO);
	if (!x->write || x->addr != port)
		fail_msg("port: want a write to 0x%x, got 0x%llx", port, (unsigned long long)x->addr);
}

static void test_an_interrupt_line_and_an_irqfd_wake_a_halted_processor(void **state)
{
	auto_close int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint64_t one = 1;
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	irq_guest(&w);
	run_to_port(&w, &x, 0x31);
	assert_return_code(engine_irq_set(w.vm, 5, true), 0);
	assert_return_code(engine_irq_set(w.vm, 5, false), 0);
	run_to_port(&w, &x, 0x30);
	if (engine_irqfd(w.vm, 5, fd, true) != -EOPNOTSUPP) {
		assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
		run_to_port(&w, &x, 0x30);
		assert_return_code(engine_irqfd(w.vm, 5, fd, false), 0);
	}
	assert_int_equal(engine_irq_set(w.vm, ENGINE_GSIS, true), -EINVAL);
	world_close(&w);
}

/* split_guest() - the new way: pin 5 of the I/O APIC is vector 0x25; the handler writes port 0x30, then says end of interrupt. */
static void split_guest(struct world *w, bool level)
{
	enum { LEVEL_AT = 33 }; /* in the code: bits 8 to 15 of the entry */
	uint8_t code[] = {
		0x67, 0x66, 0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0x00, 0x00, /* local APIC on */
		0x67, 0x66, 0xc7, 0x05, 0x00, 0x00, 0xc0, 0xfe, 0x1a, 0x00, 0x00, 0x00, /* pin 5's entry: */
		0x67, 0x66, 0xc7, 0x05, 0x10, 0x00, 0xc0, 0xfe, 0x25, 0x00, 0x00, 0x00, /* vector 0x25 */
		0xe6, 0x31, 0xfb,                                                       /* ready; sti */
		0xf4, 0xeb, 0xfd,                                                       /* hlt; jmp again */
	};
	/* mov al,5; out 0x30,al; mov dword [local APIC's EOI],0; iret */
	static const uint8_t handler[] = { 0xb0, 0x05, 0xe6, 0x30, 0x67, 0x66, 0xc7, 0x05, 0xb0,
					   0x00, 0xe0, 0xfe, 0x00, 0x00, 0x00, 0x00, 0xcf };
	static const uint8_t vector[] = { 0x00, 0x30, 0x00, 0x00 }; /* 0000:3000 */
	struct x86_state s;

	code[LEVEL_AT] = level ? 0x80 : 0;
	memcpy(w->mem + 0x3000, handler, sizeof(handler));
	memcpy(w->mem + 4 * 0x25L, vector, sizeof(vector));
	start_at(w, code, sizeof(code));
	assert_return_code(engine_cpu_get(w->cpu, &s, &w->e), 0);
	s.seg[X86_DS].limit = UINT32_MAX; /* all memory is within reach, in real mode as well */
	s.seg[X86_DS].attr |= 0x8000;
	assert_return_code(engine_cpu_set(w->cpu, &s, &w->e), 0);
}

static void split_open(struct world *w)
{
	struct engine_vm *vm = NULL;
	int r;

	world_open(w);
	r = engine_vm_new(w->ops, &vm, &(struct engine_config){ .n_cpus = 1, .split_irqchip = true }, &w->e);
	world_close(w);
	engine_vm_free(vm);
	if (r < 0) {
		print_message("%s\n", w->e.text);
		skip();
	}
	world_open_with(w, &(struct engine_config){ .n_cpus = 1, .split_irqchip = true });
}

static void is_halted(struct world *w)
{
	struct engine_exit x;

	engine_cpu_kick(w->cpu);
	run(w, &x, ENGINE_EXIT_KICKED);
	engine_cpu_kick(w->cpu);
	run(w, &x, ENGINE_EXIT_KICKED);
}

static void test_a_split_controller_delivers_a_line_and_an_irqfd(void **state)
{
	auto_close int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint64_t one = 1;
	struct engine_exit x;
	struct world w;

	(void)state;
	split_open(&w);
	split_guest(&w, false);
	run_to_port(&w, &x, 0x31);
	is_halted(&w);
	assert_return_code(engine_irq_set(w.vm, 5, true), 0);
	run_to_port(&w, &x, 0x30);
	is_halted(&w); /* an edge is one interrupt, and the line is up still */
	assert_return_code(engine_irq_set(w.vm, 5, false), 0);
	assert_return_code(engine_irqfd(w.vm, 5, fd, true), 0);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	run_to_port(&w, &x, 0x30);
	assert_return_code(engine_irqfd(w.vm, 5, fd, false), 0);
	assert_int_equal(engine_irq_set(w.vm, 6, true), 0); /* masked */
	is_halted(&w);
	world_close(&w);
}

static void test_a_split_controller_repeats_a_level_until_it_is_down(void **state)
{
	struct engine_exit x;
	struct world w;

	(void)state;
	split_open(&w);
	split_guest(&w, true);
	run_to_port(&w, &x, 0x31);
	assert_return_code(engine_irq_set(w.vm, 5, true), 0);
	for (int i = 0; i < 3; i++)
		run_to_port(&w, &x, 0x30);
	assert_return_code(engine_irq_set(w.vm, 5, false), 0);
	is_halted(&w);
	world_close(&w);
}

/* move() - @a's processor, memory and controllers into @b, which @open makes. @saved: the controllers. */
static void move(struct world *a, struct world *b, void (*open)(struct world *w), struct buf *saved)
{
	static struct x86_state s;
	struct record_out o = { .to = saved };
	struct record_in in;
	struct engine_exit x;

	engine_cpu_kick(a->cpu);
	run(a, &x, ENGINE_EXIT_KICKED);
	assert_return_code(engine_cpu_get(a->cpu, &s, &a->e), 0);
	engine_vm_save(a->vm, &o, &a->e);
	assert_int_equal(a->e.code, 0);
	assert_int_equal(buf_finish(saved), 0);

	open(b);
	memcpy(b->mem, a->mem, MEM_BYTES);
	assert_return_code(engine_cpu_set(b->cpu, &s, &b->e), 0);
	record_init(&in, saved->data, saved->len, &b->e);
	engine_vm_restore(b->vm, &in);
	if (record_finish(&in) < 0)
		fail_msg("%s", b->e.text);
}

/* The processor is at the interrupt: that it has ended it must be told in the other machine, too. */
static void test_a_split_controller_is_saved_and_restored(void **state)
{
	auto_fini(buf) struct buf saved = { 0 };
	struct engine_exit x;
	struct world a, b;

	(void)state;
	split_open(&a);
	split_guest(&a, true);
	run_to_port(&a, &x, 0x31);
	assert_return_code(engine_irq_set(a.vm, 5, true), 0);
	run_to_port(&a, &x, 0x30);
	move(&a, &b, split_open, &saved);
	world_close(&a);
	run_to_port(&b, &x, 0x30);
	assert_return_code(engine_irq_set(b.vm, 5, false), 0);
	is_halted(&b);
	world_close(&b);
}

static void check_same(const struct x86_state *a, const struct x86_state *b)
{
	assert_memory_equal(a->gpr, b->gpr, sizeof(a->gpr));
	assert_int_equal(a->rip, b->rip);
	assert_int_equal(a->rflags, b->rflags);
	for (int i = 0; i < X86_SEG_COUNT; i++) {
		assert_int_equal(a->seg[i].base, b->seg[i].base);
		assert_int_equal(a->seg[i].limit, b->seg[i].limit);
		assert_int_equal(a->seg[i].selector, b->seg[i].selector);
		assert_int_equal(a->seg[i].attr, b->seg[i].attr);
	}
	assert_int_equal(a->cr0, b->cr0);
	assert_int_equal(a->cr4, b->cr4);
	assert_int_equal(a->efer, b->efer);
	assert_int_equal(a->apic_base, b->apic_base);
	assert_int_equal(a->run, b->run);
	assert_int_equal(a->n_msrs, b->n_msrs);
	assert_memory_equal(a->dr, b->dr, sizeof(a->dr));
	assert_int_equal(a->xsave_len, b->xsave_len);
	assert_memory_equal(a->xsave, b->xsave, 512);
	assert_memory_equal(a->lapic, b->lapic, 0x390); /* behind it the timer counts */
}

static void test_the_whole_state_goes_into_another_machine_that_runs_on(void **state)
{
	/* mov eax,0x1234; mov cr2,eax; out 0x10,al; inc ax; out 0x11,ax; hlt */
	static const uint8_t code[] = { 0x66, 0xb8, 0x34, 0x12, 0x00, 0x00, 0x0f, 0x22,
					0xd0, 0xe6, 0x10, 0x40, 0xe7, 0x11, 0xf4 };
	static struct x86_state first, second;
	struct engine_exit x;
	struct world a, b;

	(void)state;
	world_open(&a);
	start_at(&a, code, sizeof(code));
	run(&a, &x, ENGINE_EXIT_IO);
	engine_cpu_kick(a.cpu);
	run(&a, &x, ENGINE_EXIT_KICKED); /* completes the access: nothing is half done now */
	assert_return_code(engine_cpu_get(a.cpu, &first, &a.e), 0);
	assert_int_equal(first.gpr[X86_RAX], 0x1234);
	assert_int_equal(first.cr2, 0x1234);
	assert_true(first.n_msrs > 10);
	first.xsave[XSAVE_BV_AT] |= 2; /* SSE state is there: */
	memcpy(first.xsave + XSAVE_XMM0_AT, "sixteen bytes...", 16);

	world_open(&b);
	memcpy(b.mem, a.mem, MEM_BYTES);
	if (engine_cpu_set(b.cpu, &first, &b.e) < 0)
		fail_msg("%s", b.e.text);
	assert_return_code(engine_cpu_get(b.cpu, &second, &b.e), 0);
	check_same(&first, &second);
	run(&b, &x, ENGINE_EXIT_IO);
	assert_true(x.addr == 0x11 && x.data[0] == 0x35 && x.data[1] == 0x12);
	world_close(&a);
	world_close(&b);
}

static void test_interrupt_controllers_are_saved_and_restored(void **state)
{
	auto_fini(buf) struct buf saved = { 0 };
	struct record_in in;
	struct engine_exit x;
	struct world a, b;

	(void)state;
	world_open(&a);
	irq_guest(&a);
	run_to_port(&a, &x, 0x31);
	move(&a, &b, world_open, &saved);
	assert_return_code(engine_irq_set(b.vm, 5, true), 0);
	run_to_port(&b, &x, 0x30); /* vector and mask came along */
	world_close(&a);

	record_init(&in, saved.data, saved.len / 2, &b.e);
	engine_vm_restore(b.vm, &in);
	assert_true(record_finish(&in) < 0);
	world_close(&b);
}

/* clock_of() - of a machine without lines, whose state is its clock alone: nanoseconds of it, and what time it is. */
static void clock_of(struct world *w, struct buf *saved, uint64_t *ret_clock, uint64_t *ret_real)
{
	struct record_out o = { .to = saved };
	struct record_in in;

	engine_vm_save(w->vm, &o, &w->e);
	assert_int_equal(w->e.code, 0);
	assert_int_equal(buf_finish(saved), 0);
	record_init(&in, saved->data, saved->len, &w->e);
	assert_int_equal(record_open(&in, "clock", 2), 2);
	*ret_clock = record_get_u64(&in);
	*ret_real = record_get_u64(&in);
	record_close(&in);
	assert_int_equal(record_finish(&in), 0);
}

static void test_a_clock_goes_on_where_it_was_or_catches_up_with_the_time(void **state)
{
	static const uint64_t pause_ns = 300 * NSEC_PER_MSEC, slack_ns = 100 * NSEC_PER_MSEC;
	const struct engine_config c = { .n_cpus = 1, .no_irqchip = true };
	auto_fini(buf) struct buf saved = { 0 };
	uint64_t was, was_at, is, is_at;
	struct world a;

	(void)state;
	world_open_with(&a, &c);
	clock_of(&a, &saved, &was, &was_at);
	world_close(&a);
	usleep((useconds_t)(pause_ns / 1000));
	for (unsigned catch_up = 0; catch_up < 2; catch_up++) {
		auto_fini(buf) struct buf after = { 0 };
		nsec_t before = time_now_ns(CLOCK_MONOTONIC), took;
		struct record_in in;
		struct world b;

		world_open_with(&b, &c);
		if (!catch_up) {
			assert_int_equal(engine_vm_catch_up(b.vm, &b.e), -EINVAL); /* nothing was restored */
			b.e = (struct err){ 0 };
		}
		record_init(&in, saved.data, saved.len, &b.e);
		engine_vm_restore(b.vm, &in);
		if (record_finish(&in) < 0 || (catch_up && engine_vm_catch_up(b.vm, &b.e) < 0))
			fail_msg("%s", b.e.text);
		clock_of(&b, &after, &is, &is_at);
		took = time_now_ns(CLOCK_MONOTONIC) - before;
		world_close(&b);
		if (catch_up) { /* as far as the time of day */
			assert_true(is - was >= pause_ns);
			assert_true(is - was < is_at - was_at + slack_ns &&
				    is_at - was_at < is - was + slack_ns);
		} else {
			assert_true(is >= was && is - was <= (uint64_t)took);
		}
	}
}

/* guest_clock() - ns of the paravirtual clock as a guest reads it. Spec: Linux, Documentation/virt/kvm/x86/msr.rst */
static uint64_t guest_clock(struct world *w)
{
	/* mov ecx,0x4b564d01; xor edx,edx; mov eax,0x6001; wrmsr; rdtsc; out 0x10,al; hlt */
	static const uint8_t code[] = { 0x66, 0xb9, 0x01, 0x4d, 0x56, 0x4b, 0x66, 0x31, 0xd2, 0x66, 0xb8,
					0x01, 0x60, 0x00, 0x00, 0x0f, 0x30, 0x0f, 0x31, 0xe6, 0x10, 0xf4 };
	static struct x86_state s;
	struct {
		uint32_t version, pad;
		uint64_t tsc, ns;
		uint32_t mul;
		int8_t shift;
		uint8_t flags, pad2[2];
	} page;
	struct engine_exit x;
	uint64_t since;

	start_at(w, code, sizeof(code));
	run(w, &x, ENGINE_EXIT_IO);
	engine_cpu_kick(w->cpu);
	run(w, &x, ENGINE_EXIT_KICKED);
	assert_return_code(engine_cpu_get(w->cpu, &s, &w->e), 0);
	memcpy(&page, w->mem + 0x6000, sizeof(page));
	since = (s.gpr[X86_RDX] << 32 | (uint32_t)s.gpr[X86_RAX]) - page.tsc;
	since = page.shift < 0 ? since >> -page.shift : since << page.shift;
	return page.ns + (uint64_t)((unsigned __int128)since * page.mul >> 32);
}

static void test_a_guest_reads_the_clock_that_has_caught_up_also_in_the_snapshot_after(void **state)
{
	static const uint64_t pause_ns = 300 * NSEC_PER_MSEC;
	const struct engine_config c = { .n_cpus = 1, .no_irqchip = true };
	static struct x86_state s;
	nsec_t from = time_now_ns(CLOCK_MONOTONIC);
	uint64_t first, was, is;
	struct world a;

	(void)state;
	world_open_with(&a, &c);
	first = was = guest_clock(&a);
	for (unsigned i = 0; i < 3; i++) { /* from machine to machine; the last goes on where it was */
		auto_fini(buf) struct buf saved = { 0 };
		struct record_out o = { .to = &saved };
		struct record_in in;
		struct world b;

		assert_return_code(engine_cpu_get(a.cpu, &s, &a.e), 0);
		engine_vm_save(a.vm, &o, &a.e);
		assert_int_equal(buf_finish(&saved), 0);
		world_close(&a);
		usleep((useconds_t)(pause_ns / 1000));
		world_open_with(&b, &c);
		assert_return_code(engine_cpu_set(b.cpu, &s, &b.e), 0);
		record_init(&in, saved.data, saved.len, &b.e);
		engine_vm_restore(b.vm, &in);
		if (record_finish(&in) < 0 || (i < 2 && engine_vm_catch_up(b.vm, &b.e) < 0))
			fail_msg("%s", b.e.text);
		is = guest_clock(&b);
		assert_true(is > was);
		if (i < 2)
			assert_true(is - was >= pause_ns);
		was = is;
		a = b;
	}
	assert_true(was - first <=
		    (uint64_t)(time_now_ns(CLOCK_MONOTONIC) - from) - pause_ns + NSEC_PER_MSEC);
	world_close(&a);
}

static void test_cpuid_shows_what_it_was_given(void **state)
{
	/* mov eax,0x40000100; cpuid; mov eax,ebx; out 0x10,eax */
	static const uint8_t code[] = { 0x66, 0xb8, 0x00, 0x01, 0x00, 0x40, 0x0f, 0xa2,
					0x66, 0x89, 0xd8, 0x66, 0xe7, 0x10, 0xf4 };
	static struct x86_cpuid table[ENGINE_CPUID_MAX];
	unsigned n = ENGINE_CPUID_MAX;
	uint32_t v;
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	assert_return_code(engine_cpuid_host(w.vm, table, &n, &w.e), 0);
	assert_true(n > 5 && n < ENGINE_CPUID_MAX);
	table[n++] = (struct x86_cpuid){ .leaf = 0x40000100, .ebx = 0xfeedf00d };
	assert_return_code(engine_cpu_cpuid(w.cpu, table, n, &w.e), 0);
	start_at(&w, code, sizeof(code));
	run(&w, &x, ENGINE_EXIT_IO);
	memcpy(&v, x.data, 4);
	assert_int_equal(v, 0xfeedf00d);
	assert_int_equal(engine_cpu_cpuid(w.cpu, table, ENGINE_CPUID_MAX + 1, &w.e), -E2BIG);
	world_close(&w);
}

static void test_what_happens_is_counted_by_name(void **state)
{
	/* again: out 0x10,al; jmp again */
	static const uint8_t code[] = { 0xe6, 0x10, 0xeb, 0xfc };
	struct engine_counter c[ENGINE_COUNTERS_MAX];
	struct engine_exit x;
	struct world w;
	unsigned n;

	(void)state;
	world_open(&w);
	start_at(&w, code, sizeof(code));
	for (int i = 0; i < 3; i++)
		run(&w, &x, ENGINE_EXIT_IO);
	n = engine_cpu_counters(w.cpu, c);
	assert_in_range(n, ENGINE_EXIT_COUNT, ENGINE_COUNTERS_MAX);
	assert_string_equal(c[ENGINE_EXIT_IO].name, "exit-io");
	assert_int_equal(c[ENGINE_EXIT_IO].value, 3);
	assert_int_equal(c[ENGINE_EXIT_SHUTDOWN].value, 0);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(c[i].name, c[k].name);
	world_close(&w);
}

/* again: inc eax; inc eax; push rax; pop rax; mov [rbx],eax; add ecx,[rbx]; out 0x10,al; jmp again */
static const uint8_t debugged[] = { 0xff, 0xc0, 0xff, 0xc0, 0x50, 0x58, 0x89,
				    0x03, 0x03, 0x0b, 0xe6, 0x10, 0xeb, 0xf2 };
enum { STORE = CODE_AT + 6, BEHIND_STORE = CODE_AT + 8, LAST_JUMP = CODE_AT + 12 };

static void stops_at(struct world *w, uint64_t rip, uint64_t rax)
{
	static struct x86_state s;
	struct engine_exit x;

	run(w, &x, ENGINE_EXIT_DEBUG);
	assert_int_equal(x.size, 0);
	assert_return_code(engine_cpu_get(w->cpu, &s, &w->e), 0);
	assert_int_equal(s.rip, rip);
	assert_int_equal(s.gpr[X86_RAX], rax);
	assert_false(s.rflags & 0x100); /* the trap flag is not the guest's */
}

static void debug(struct world *w, const struct x86_debug *d)
{
	assert_return_code(engine_cpu_debug(w->cpu, d), 0);
}

static void test_a_debugger_stops_a_processor_at_an_address_and_steps_it(void **state)
{
	const struct x86_debug at_store = {
		.n = 2, .point = { { .addr = STORE, .len = 1 }, { .addr = LAST_JUMP, .len = 1 } }
	};
	const struct x86_debug none = { 0 }, one_step = { .step = 1 };
	struct x86_debug step_on = at_store;
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	memcpy(w.mem + CODE_AT, debugged, sizeof(debugged));
	start_long(&w, w.cpu, 0, CODE_AT, 0);
	debug(&w, &at_store);
	stops_at(&w, STORE, 2);
	stops_at(&w, STORE, 2); /* as long as it is there */
	step_on.step = 1;
	debug(&w, &step_on);
	stops_at(&w, BEHIND_STORE, 2);
	debug(&w, &at_store);
	run_to_port(&w, &x, 0x10);
	stops_at(&w, LAST_JUMP, 2);
	debug(&w, &one_step);
	stops_at(&w, CODE_AT, 2);
	debug(&w, &none);
	for (int i = 0; i < 5; i++)
		run_to_port(&w, &x, 0x10);
	assert_int_equal(x.data[0], 12);
	debug(&w, &at_store); /* what has run before without */
	stops_at(&w, LAST_JUMP, 12);
	debug(&w, &none);
	run_to_port(&w, &x, 0x10);
	assert_int_equal(x.data[0], 14);
	world_close(&w);
}

static void test_a_debugger_sees_who_touches_memory(void **state)
{
	struct x86_debug d = { .n = 1, .point = { { .addr = DATA_AT, .kind = X86_POINT_WRITE, .len = 4 } } };
	struct engine_debugs can;
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	assert_return_code(engine_debug_try(w.ops, &can, &w.e), 0);
	memcpy(w.mem + CODE_AT, debugged, sizeof(debugged));
	start_long(&w, w.cpu, 0, CODE_AT, 0);
	debug(&w, &d);
	assert_return_code(engine_cpu_run(w.cpu, &x), 0);
	assert_int_equal(x.kind == ENGINE_EXIT_DEBUG, can.data);
	if (!can.data) {
		world_close(&w);
		print_message("this host's KVM does not stop at data\n");
		skip();
	}
	assert_true(x.size == 4 && x.addr == DATA_AT);
	run_to_port(&w, &x, 0x10); /* reading it is nothing */
	d.point[0].kind = X86_POINT_TOUCH;
	debug(&w, &d);
	for (int i = 0; i < 2; i++) {
		run(&w, &x, ENGINE_EXIT_DEBUG);
		assert_true(x.size == 4 && x.addr == DATA_AT);
	}
	run_to_port(&w, &x, 0x10);
	d.point[0] =
		(struct x86_point){ .addr = STACK_AT - 8, .kind = X86_POINT_WRITE, .len = 8 }; /* the stack */
	debug(&w, &d);
	run(&w, &x, ENGINE_EXIT_DEBUG);
	assert_true(x.size == 8 && x.addr == STACK_AT - 8);
	world_close(&w);
}

static void test_a_step_comes_before_an_interrupt(void **state)
{
	static const struct x86_debug step = { .step = 1 }, none = { 0 };
	static struct x86_state s;
	struct engine_exit x;
	struct world w;

	(void)state;
	world_open(&w);
	irq_guest(&w);
	run_to_port(&w, &x, 0x31);
	assert_return_code(engine_irq_set(w.vm, 5, true), 0);
	assert_return_code(engine_irq_set(w.vm, 5, false), 0);
	engine_cpu_kick(w.cpu);
	run(&w, &x, ENGINE_EXIT_KICKED);
	debug(&w, &step);
	/* STI, and HLT where one that waits for what is held back can be stepped over */
	for (int i = 0; i < (strcmp(under_test, "kvm") ? 2 : 1); i++) {
		run(&w, &x, ENGINE_EXIT_DEBUG);
		assert_return_code(engine_cpu_get(w.cpu, &s, &w.e), 0);
		assert_in_range(s.rip, CODE_AT, CODE_AT + 64);
	}
	debug(&w, &none);
	run_to_port(&w, &x, 0x30);
	world_close(&w);
}

static void test_points_that_no_processor_could_stop_at_are_refused(void **state)
{
	static const struct {
		struct x86_point p;
		int r;
	} one[] = {
		{ { .addr = 1, .len = 1 }, 0 },
		{ { .addr = 4, .kind = X86_POINT_WRITE, .len = 4 }, 0 },
		{ { .addr = 4, .len = 4 }, -EINVAL },
		{ { .addr = 2, .kind = X86_POINT_WRITE, .len = 4 }, -EINVAL },
		{ { .addr = 0, .kind = X86_POINT_WRITE, .len = 3 }, -EINVAL },
		{ { .addr = 0, .kind = X86_POINT_WRITE, .len = 16 }, -EINVAL },
		{ { .addr = 0, .kind = X86_POINT_WRITE }, -EINVAL },
		{ { .addr = 0, .kind = X86_POINT_TOUCH + 1, .len = 1 }, -EINVAL },
	};
	static struct x86_debug d;
	struct world w;

	(void)state;
	world_open(&w);
	for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++) {
		d = (struct x86_debug){ .n = 1, .point = { one[i].p } };
		assert_int_equal(engine_debug_check(w.vm, &d), one[i].r);
	}
	for (unsigned i = 0; i < X86_POINTS_MAX; i++)
		d.point[i] = (struct x86_point){ .len = 1 };
	d.n = w.ops->points;
	assert_return_code(engine_cpu_debug(w.cpu, &d), 0);
	d.n++;
	assert_int_equal(engine_cpu_debug(w.cpu, &d), -ENOSPC);
	world_close(&w);
}

enum { BEGUN_BYTES = 512 << 20 }; /* more than is set at once */

/* begin_two() - a machine whose memory is begun and not waited for: two slots, the second from @gpa on. */
static int begin_two(struct world *w, uint64_t gpa)
{
	struct engine_mem m[2] = {
		{ .size = MEM_BYTES / 2, .shared = true },
		{ .slot = 1, .gpa = gpa, .size = BEGUN_BYTES - MEM_BYTES / 2, .shared = true },
	};
	const struct engine_config c = { .n_cpus = 1, .no_irqchip = true };

	*w = (struct world){ .ops = engine_find(under_test, &w->e) };
	if (!w->ops)
		skip();
	assert_return_code(engine_vm_new(w->ops, &w->vm, &c, &w->e), 0);
	w->fd = memfd_create("engine-test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(w->fd, BEGUN_BYTES), 0);
	w->mem = mmap(NULL, BEGUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	assert_true(w->mem != MAP_FAILED);
	m[0].fd = m[1].fd = w->fd;
	m[0].host = w->mem;
	m[1].host = w->mem + MEM_BYTES / 2;
	m[1].fd_offset = MEM_BYTES / 2;
	return engine_mem_begin(w->vm, m, 2, &w->e);
}

static void begun_close(struct world *w)
{
	uint8_t *rest = w->mem + MEM_BYTES;

	world_close(w);
	munmap(rest, BEGUN_BYTES - MEM_BYTES);
}

static void test_memory_that_was_begun_is_there_for_the_first_processor(void **state)
{
	/* mov ax,MEM_BYTES/2/16; mov ds,ax; mov al,[0]; out 0x10,al; hlt */
	static const uint8_t code[] = {
		0xb8, 0x00, MEM_BYTES / 2 / 16 / 256, 0x8e, 0xd8, 0xa0, 0x00, 0x00, 0xe6, 0x10, 0xf4
	};
	struct engine_exit x;
	struct world w;

	(void)state;
	assert_int_equal(begin_two(&w, MEM_BYTES / 2), 0);
	w.mem[MEM_BYTES / 2] = 0x5a;
	assert_return_code(engine_cpu_new(w.vm, 0, &w.cpu, &w.e), 0);
	start_at(&w, code, sizeof(code));
	run(&w, &x, ENGINE_EXIT_IO);
	assert_int_equal(x.data[0], 0x5a);
	begun_close(&w);
}

static void test_memory_that_was_begun_and_cannot_be_is_told_at_the_first_processor(void **state)
{
	struct world w;
	int r;

	(void)state;
	r = begin_two(&w, MEM_BYTES / 4); /* one over the other */
	if (!w.ops->mem_begin) {
		begun_close(&w);
		skip();
	}
	if (r == 0)
		r = engine_cpu_new(w.vm, 0, &w.cpu, &w.e);
	assert_true(r < 0);
	assert_non_null(strstr(w.e.text, "slot 1"));
	begun_close(&w);
}

static void test_states_and_slots_that_make_no_sense_are_refused(void **state)
{
	static struct x86_state s;
	struct world w;

	(void)state;
	world_open(&w);
	s.n_msrs = X86_MSRS_MAX + 1;
	assert_int_equal(engine_cpu_set(w.cpu, &s, &w.e), -EINVAL);
	s.n_msrs = 0;
	s.run = X86_RUN_COUNT;
	assert_int_equal(engine_cpu_set(w.cpu, &s, &w.e), -EINVAL);
	assert_int_equal(
		engine_mem_set(w.vm,
			       &(struct engine_mem){ .slot = 2, .gpa = 1 << 24, .size = 100, .host = w.mem },
			       &w.e),
		-EINVAL);
	assert_int_equal(engine_vm_new(w.ops, &w.vm, &(struct engine_config){ .n_cpus = 33 }, &w.e), -EINVAL);
	assert_string_equal(w.e.text, "33 processors, want 1 to 32");
	world_close(&w);
}

static void test_an_engine_nobody_knows_is_refused_with_those_there_are(void **state)
{
	static const char *const known[] = { NULL, "", "auto", "kvm", "bt" };
	struct err e = { 0 };
	const char *name;

	(void)state;
	assert_null(engine_find("vax", &e));
	assert_string_equal(e.text, "engine 'vax': want auto, kvm, bt");
	name = "as it was";
	assert_int_equal(engine_name_check("vax", &name, &e), -EINVAL);
	assert_string_equal(name, "as it was");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_int_equal(engine_name_check(known[i], &name, &e), 0);
		if (i < 3)
			assert_null(name);
		else
			assert_string_equal(name, known[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_port_write_and_a_port_read_reach_the_caller),
		cmocka_unit_test(test_a_string_of_port_writes_comes_as_one_exit_or_several),
		cmocka_unit_test(test_an_access_to_no_memory_is_an_mmio_exit),
		cmocka_unit_test(test_a_write_to_a_read_only_slot_is_an_mmio_exit_and_leaves_it),
		cmocka_unit_test(test_the_dirty_log_names_the_pages_written_since_it_was_asked),
		cmocka_unit_test(test_each_page_is_in_the_log_once_for_each_time_it_is_taken),
		cmocka_unit_test(test_hundreds_of_slots_in_one_file_come_and_go),
		cmocka_unit_test(test_a_copy_of_what_the_log_has_is_the_memory_though_the_guest_runs),
		cmocka_unit_test(test_a_triple_fault_is_a_shutdown),
		cmocka_unit_test(test_a_kick_before_the_run_ends_it_at_once_and_only_once),
		cmocka_unit_test(test_no_kick_of_a_running_processor_is_lost),
		cmocka_unit_test(test_a_doorbell_is_signalled_without_an_exit),
		cmocka_unit_test(test_halt_without_an_interrupt_controller_is_an_exit),
		cmocka_unit_test(test_an_interrupt_line_and_an_irqfd_wake_a_halted_processor),
		cmocka_unit_test(test_a_split_controller_delivers_a_line_and_an_irqfd),
		cmocka_unit_test(test_a_split_controller_repeats_a_level_until_it_is_down),
		cmocka_unit_test(test_a_split_controller_is_saved_and_restored),
		cmocka_unit_test(test_the_whole_state_goes_into_another_machine_that_runs_on),
		cmocka_unit_test(test_interrupt_controllers_are_saved_and_restored),
		cmocka_unit_test(test_a_clock_goes_on_where_it_was_or_catches_up_with_the_time),
		cmocka_unit_test(test_a_guest_reads_the_clock_that_has_caught_up_also_in_the_snapshot_after),
		cmocka_unit_test(test_cpuid_shows_what_it_was_given),
		cmocka_unit_test(test_what_happens_is_counted_by_name),
		cmocka_unit_test(test_a_debugger_stops_a_processor_at_an_address_and_steps_it),
		cmocka_unit_test(test_a_debugger_sees_who_touches_memory),
		cmocka_unit_test(test_a_step_comes_before_an_interrupt),
		cmocka_unit_test(test_points_that_no_processor_could_stop_at_are_refused),
		cmocka_unit_test(test_memory_that_was_begun_is_there_for_the_first_processor),
		cmocka_unit_test(test_memory_that_was_begun_and_cannot_be_is_told_at_the_first_processor),
		cmocka_unit_test(test_states_and_slots_that_make_no_sense_are_refused),
		cmocka_unit_test(test_an_engine_nobody_knows_is_refused_with_those_there_are),
	};

	int failed = 0;

	for (const struct engine_ops *const *t = engine_table; *t; t++) {
		under_test = (*t)->name;
		failed += cmocka_run_group_tests_name(under_test, tests, NULL, NULL);
	}
	return failed;
}
