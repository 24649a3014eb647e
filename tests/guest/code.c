/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - code that is written while it is used: by the processor that runs it, beside data on one page, and by another
 * processor, which has it serialize as the architecture wants. "cpus=2" for the last.
 */
#include "cpu.h"

enum { ROUNDS = 300 };

static uint8_t page[4096] __attribute__((aligned(4096)));
static volatile uint32_t turn, result;

/* write_code() - MOV eax, @n; RET */
static void write_code(uint8_t *at, uint32_t n)
{
	*(volatile uint32_t *)(at + 1) = n;
	*(volatile uint8_t *)(at + 5) = 0xc3;
	*(volatile uint8_t *)at = 0xb8;
}

static uint32_t call(const uint8_t *at)
{
	uint32_t eax;

	__asm__ volatile("call *%1" : "=a"(eax) : "r"(at) : "memory");
	return eax;
}

static unsigned own(void)
{
	unsigned right = 0;

	for (uint32_t n = 0; n < ROUNDS; n++) {
		write_code(page, n);
		right += call(page) == n;
	}
	return right;
}

static unsigned beside(void)
{
	volatile uint32_t *data = (volatile uint32_t *)(page + 2048);
	unsigned right = 0;

	write_code(page, 7);
	for (uint32_t n = 0; n < ROUNDS; n++) {
		*data = n;
		right += call(page) == 7 && *data == n;
	}
	return right;
}

static void other(unsigned cpu)
{
	(void)cpu;
	lapic_on();
	for (;;) {
		spin_until(turn == 1);
		__asm__ volatile("xor %%eax, %%eax\n\tcpuid" ::: "eax", "ebx", "ecx", "edx", "memory");
		result = call(page);
		turn = 0;
	}
}

/* across() - written here, run there; every third time run here, too */
static unsigned across(void)
{
	unsigned right = 0;

	cpu_start(1, other);
	for (uint32_t n = 0; n < ROUNDS; n++) {
		write_code(page, n);
		turn = 1;
		spin_until(turn == 0);
		right += result == n && (n % 3 || call(page) == n);
	}
	return right;
}

int guest_main(void)
{
	lapic_on();
	print("written and run: %u of %u\n", own(), ROUNDS);
	print("beside data: %u of %u\n", beside(), ROUNDS);
	if (cmdline_u64("cpus", 1) > 1)
		print("written here, run there: %u of %u\n", across(), ROUNDS);
	return 0;
}
