/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid.c - what must hold for every model on every host */
#include "guest.h"

static void yes(const char *what, bool is)
{
	print("%s %s\n", what, is ? "yes" : "no");
}

int guest_main(void)
{
	struct cpuid one = cpuid(1, 0), hyper = cpuid(0x40000000, 0), seven = cpuid(7, 0),
		     xsave = cpuid(0xd, 0);
	char name[13] = { 0 };

	memcpy(name, &hyper.ebx, 4);
	memcpy(name + 4, &hyper.ecx, 4);
	memcpy(name + 8, &hyper.edx, 4);
	print("hypervisor %s\n", name);
	yes("hypervisor bit", one.ecx >> 31 & 1);
	yes("x2apic", one.ecx >> 21 & 1);
	yes("vmx or svm", (one.ecx >> 5 & 1) || (cpuid(0x80000001, 0).ecx >> 2 & 1));
	yes("pku or la57", (seven.ecx >> 3 & 1) || (seven.ecx >> 16 & 1));
	yes("long mode", cpuid(0x80000001, 0).edx >> 29 & 1);
	yes("state fits", xsave.ecx <= 4096);
	print("apic id %u of leaf 1, %u of leaf b\n", one.ebx >> 24, cpuid(0xb, 0).edx);
	print("processors %u\n", cpuid(0xb, 1).ebx);
	return 0;
}
