/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h - what a test guest has instead of an operating system
 *
 * A program defines guest_main() and returns its exit status. It runs in ring 0 of the first processor, in long mode, memory
 * mapped one to one up to 4 GiB. Ring 0 may be interpreted (0.25 us an instruction): loops there are short, and what works
 * long goes through ring3().
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define barrier()     __asm__ volatile("" ::: "memory")

enum guest_entry { ENTRY_PVH, ENTRY_LINUX64, ENTRY_MULTIBOOT };

struct guest_map {
	uint64_t addr, size;
	uint32_t type;
};

/* What the loader told, whatever its protocol. */
struct guest_boot {
	enum guest_entry entry;
	const void *info; /* start information, zero page, multiboot information */
	const char *cmdline;
	uint64_t initrd, initrd_bytes, rsdp;
	unsigned n_map;
	struct guest_map map[32];
};
extern struct guest_boot boot;

int guest_main(void);

_Noreturn void guest_exit(int status); /* by the debug exit port; halts for ever where there is none */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* status 99 */
/* print() - %s %c %d %u %x with l, width and 0: to COM1 */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void print_bytes(const char *s, size_t len);
/* cmdline_has() - a word NAME, or NAME=value: what is behind "=" (ended by a blank or NUL), else NULL */
const char *cmdline_has(const char *name);
uint64_t cmdline_u64(const char *name, uint64_t otherwise);

#define CHECK(expr)                                                                                          \
	do {                                                                                                 \
		if (!(expr))                                                                                 \
			panic("%s:%d: %s", __FILE__, __LINE__, #expr);                                       \
	} while (0)

void *memcpy(void *dst, const void *src, size_t len);
void *memset(void *dst, int c, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);

/* --- the processor --- */

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (uint64_t)hi << 32;
}
static inline void wrmsr(uint32_t index, uint64_t v)
{
	__asm__ volatile("wrmsr" ::"c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}
struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid c;

	__asm__ volatile("cpuid"
			 : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx)
			 : "a"(leaf), "c"(subleaf));
	return c;
}
static inline uint32_t read32(uint64_t addr)
{
	return *(volatile uint32_t *)addr;
}
static inline void write32(uint64_t addr, uint32_t v)
{
	*(volatile uint32_t *)addr = v;
}
static inline void irq_on(void)
{
	__asm__ volatile("sti" ::: "memory");
}
static inline void irq_off(void)
{
	__asm__ volatile("cli" ::: "memory");
}
/* wait_irq() - sleep until an interrupt came; off before and after. None is lost in between: sti works one later. */
static inline void wait_irq(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}
static inline void relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

#endif
