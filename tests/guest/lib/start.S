/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.S - from any of three boot protocols to guest_start(protocol, information) in long mode
 *
 * WITHOUT_PVH and WITHOUT_MULTIBOOT leave out what a loader would choose first. The page tables are data: nothing is
 * computed here, since an engine may interpret every instruction. 4 GiB one to one, open to ring 3; above 3 GiB uncached.
 */
	.section .boot, "a"
#ifndef WITHOUT_MULTIBOOT
	.balign 4
mb_header:
	.long	0x1badb002
	.long	0x10003
	.long	-(0x1badb002 + 0x10003)
	.long	mb_header, load_start, load_end, bss_end, start_multiboot
#endif
#ifndef WITHOUT_PVH
	.section .note.Xen, "a", @note
	.balign 4
	.long	4, 4, 18
	.asciz	"Xen"
	.long	start_pvh
#endif

	.text
	.code32
start_multiboot:
	mov	$2, %edi
	jmp	1f
start_pvh:
	mov	$0, %edi
1:	cli
	cld
	mov	%ebx, %esi
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	$0xc0000080, %ecx	/* EFER.LME */
	xor	%edx, %edx
	mov	$0x100, %eax
	wrmsr
	mov	$0x80000011, %eax	/* PG, ET, PE */
	mov	%eax, %cr0
	lgdt	gdt_ptr
	ljmp	$0x08, $1f
	.code64
1:	mov	%esi, %esi
	jmp	2f

	.globl	start64
start64:				/* %rsi: zero page */
	cli
	cld
	mov	$pml4, %eax
	mov	%rax, %cr3
	lgdt	gdt_ptr
	pushq	$0x08
	pushq	$1f
	lretq
1:	mov	$1, %edi
2:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$stack_top, %esp
	xor	%ebp, %ebp
	call	guest_start
3:	hlt
	jmp	3b

	.data
	.balign 16
	.globl	gdt
gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* 08 ring 0 code */
	.quad	0x00cf93000000ffff	/* 10 ring 0 data */
	.quad	0x00cff3000000ffff	/* 18 ring 3 data */
	.quad	0x00affb000000ffff	/* 20 ring 3 code */
	.quad	0, 0			/* 28 TSS of the first processor, 38 of the second, ... */
	.fill	2 * 31, 8, 0
gdt_end:
	.globl	gdt_ptr
gdt_ptr:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.balign 4096
	.globl	pml4
pml4:	.quad	pdpt + 7
	.fill	511, 8, 0
pdpt:	.quad	pd + 7, pd + 0x1007, pd + 0x2007, pd + 0x3007
	.fill	508, 8, 0
pd:
	.set	i, 0
	.rept	3 * 512
	.quad	(i << 21) + 0x87
	.set	i, i + 1
	.endr
	.rept	512
	.quad	(i << 21) + 0x97
	.set	i, i + 1
	.endr

	.bss
	.balign 16
	.skip	32768
	.globl	stack_top
stack_top:
	.section .note.GNU-stack, "", @progbits
