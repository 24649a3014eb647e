/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trap.S - vectors, the way to ring 3 and back, and where other processors start
 *
 * ring3() makes the stack it stands on the processor's RSP0: the exception at ring3_end comes back to what ring3()
 * saved there; interrupts that arrive in ring 3 use what is below it and return.
 */
	.text
	.balign 16
	.globl	trap_stubs
trap_stubs:
	.set	n, 0
	.rept	256
	.balign 16
	.if	(n == 8) || (n >= 10 && n <= 14) || (n == 17) || (n == 21)
	.else
	pushq	$0
	.endif
	pushq	$n
	jmp	trap_common
	.set	n, n + 1
	.endr

trap_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	mov	%rsp, %rbp
	and	$-16, %rsp
	cld
	call	trap_dispatch
	mov	%rbp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

/* long ring3(long (*fn)(void *), void *arg) */
	.globl	ring3
ring3:
	pushfq
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	str	%ax
	movzwl	%ax, %eax
	sub	$0x28, %eax		/* 16 bytes a descriptor, 128 a TSS, 16384 a stack */
	lea	tss(,%rax,8), %rcx
	mov	%rsp, 4(%rcx)		/* RSP0 */
	shl	$10, %rax
	lea	user_stacks + 16384 - 16(%rax), %rdx
	mov	48(%rsp), %rax
	or	$0x3000, %eax		/* IOPL 3 */
	cli
	pushq	$0x1b
	push	%rdx
	push	%rax
	pushq	$0x23
	pushq	$ring3_begin
	iretq
ring3_begin:
	mov	%rdi, %rax
	mov	%rsi, %rdi
	call	*%rax
	.globl	ring3_end
ring3_end:
	ud2				/* a syscall or int does not come back on every engine; an exception does */

/* void ring3_return(long result): from that exception's handler to whoever called ring3() */
	.globl	ring3_return
ring3_return:
	mov	%rdi, %rax
	str	%cx
	movzwl	%cx, %ecx
	sub	$0x28, %ecx
	mov	tss + 4(,%rcx,8), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	popfq
	ret

/* Copied to AP_PAGE; a SIPI starts it in real mode with %cs = AP_PAGE / 16. */
	.globl	ap_begin, ap_end
	.code16
ap_begin:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	0x8000 + (ap_gdt_ptr - ap_begin)
	mov	$0x20, %eax
	mov	%eax, %cr4
	mov	0x8000 + (ap_cr3 - ap_begin), %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	xor	%edx, %edx
	mov	$0x100, %eax
	wrmsr
	mov	$0x80000011, %eax
	mov	%eax, %cr0
	ljmpl	$0x08, $ap_start64
	.balign 4
ap_cr3:	.long	pml4
ap_gdt_ptr:
	.word	0x1000
	.long	gdt
ap_end:
	.code64
ap_start64:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$1, %eax
	cpuid
	shr	$24, %ebx
	mov	%ebx, %edi		/* its APIC id is its number */
	inc	%ebx
	shl	$14, %ebx
	lea	ap_stacks(%rbx), %rsp
	xor	%ebp, %ebp
	call	ap_main
1:	cli
	hlt
	jmp	1b

	.bss
	.balign 4096
	.globl	user_stacks, ap_stacks
user_stacks:
	.skip	32 * 16384
ap_stacks:
	.skip	32 * 16384
	.section .note.GNU-stack, "", @progbits
