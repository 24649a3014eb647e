/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.c - before libc starts: begin again from a protected mount of our own file, while that costs next to nothing
 *
 * sys/seal.h says why a command that makes processes in containers runs from a read-only mount of its file. Getting there is an
 * exec, and what an exec costs a static program is mostly libc's start: relocating itself, and asking the processor what it can do
 * by CPUID instructions, each an exit to the host in a virtual machine. So the static program's entry point is here: raw system
 * calls, no libc, no relocated data. Whatever fails leads on to the usual start, where seal_self() tries again and tells.
 */
#include <fcntl.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

enum { ST_RDONLY_FLAG = 1 }; /* statfs(2): f_flags, ST_RDONLY */

void entry_seal(long *stack);

/* The kernel enters with the arguments at the stack pointer and nothing else that matters: go on to libc with just that. */
__asm__(".globl hull_entry\n"
	".type hull_entry, @function\n"
	"hull_entry:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rbx\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call entry_seal\n"
	"	mov %rbx, %rsp\n"
	"	xor %edx, %edx\n"
	"	jmp _start\n"
	".size hull_entry, . - hull_entry\n");

static long call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return r;
}

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* makes_processes() - is one of the words a command that does? An operand of that name costs an exec, no more. What "vm" makes is in no
 * container. */
static bool makes_processes(long argc, char **argv)
{
	if (argc > 1 && equal(argv[1], "vm"))
		return false;
	for (long i = 1; i < argc; i++)
		if (equal(argv[i], "run") || equal(argv[i], "exec") || equal(argv[i], "create") ||
		    equal(argv[i], "start") || equal(argv[i], "restart") || equal(argv[i], "build"))
			return true;
	return false;
}

void entry_seal(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY };
	struct statfs fs;
	long tree;

	if (!makes_processes(argc, argv))
		return;
	tree = call(SYS_open_tree, AT_FDCWD, (long)"/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, 0,
		    0);
	if (tree < 0)
		return;
	/* the clone of a read-only mount is read-only: then we are where we want to be */
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): the kernel fills it */
	if (call(SYS_fstatfs, tree, (long)&fs, 0, 0, 0) == 0 && !(fs.f_flags & ST_RDONLY_FLAG) &&
	    call(SYS_mount_setattr, tree, (long)"", AT_EMPTY_PATH, (long)&ro, sizeof(ro)) == 0)
		call(SYS_execveat, tree, (long)"", (long)argv, (long)envp, AT_EMPTY_PATH);
	call(SYS_close, tree, 0, 0, 0, 0);
}
