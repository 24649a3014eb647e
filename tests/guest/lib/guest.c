/* SPDX-License-Identifier: Apache-2.0 */
/* guest.c - start, output and exit of a test guest */
#include "guest.h"

#include "cpu.h"

enum { COM1 = 0x3f8, EXIT_PORT = 0xf4, PANIC_STATUS = 99, LINE_MAX_BYTES = 256 };

struct guest_boot boot;

void *memcpy(void *dst, const void *src, size_t len)
{
	void *to = dst;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(len)::"memory");
	return dst;
}

void *memset(void *dst, int c, size_t len)
{
	void *to = dst;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(c) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *p = a, *q = b;

	for (; len > 0; len--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

_Noreturn void guest_exit(int status)
{
	outb(EXIT_PORT, (uint8_t)status);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* --- output: one string instruction for a whole line, so one exit for all of it --- */

void print_bytes(const char *s, size_t len)
{
	__asm__ volatile("rep outsb" : "+S"(s), "+c"(len) : "d"(COM1) : "memory");
}

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static void put(struct line *l, char c)
{
	if (l->len < LINE_MAX_BYTES)
		l->text[l->len++] = c;
}

static void put_number(struct line *l, uint64_t v, unsigned base, bool minus, unsigned width, char pad)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (minus)
		digits[n++] = '-';
	for (; width > n; width--)
		put(l, pad);
	while (n > 0)
		put(l, digits[--n]);
}

static void put_signed(struct line *l, int64_t v, unsigned width, char pad)
{
	put_number(l, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0, width, pad);
}

static void format(struct line *l, const char *f, va_list ap)
{
	for (; *f; f++) {
		unsigned width = 0;
		bool wide = false;
		char pad = ' ';

		if (*f != '%') {
			put(l, *f);
			continue;
		}
		f++;
		if (*f == '0')
			pad = *f++;
		for (; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (unsigned)(*f - '0');
		for (; *f == 'l' || *f == 'z'; f++)
			wide = true;
		switch (*f) {
		case 'c': put(l, (char)va_arg(ap, int)); break;
		case 'd': put_signed(l, wide ? va_arg(ap, long) : va_arg(ap, int), width, pad); break;
		case 'u':
		case 'x':
			put_number(l, wide ? va_arg(ap, unsigned long) : va_arg(ap, unsigned),
				   *f == 'u' ? 10 : 16, false, width, pad);
			break;
		case 's':
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put(l, *s);
			break;
		case '%': put(l, '%'); break;
		default: return;
		}
	}
}

void print(const char *fmt, ...)
{
	struct line l;
	va_list ap;

	l.len = 0;
	va_start(ap, fmt);
	format(&l, fmt, ap);
	va_end(ap);
	print_bytes(l.text, l.len);
}

_Noreturn void panic(const char *fmt, ...)
{
	struct line l;
	va_list ap;

	l.len = 0;
	va_start(ap, fmt);
	format(&l, fmt, ap);
	va_end(ap);
	print("panic: ");
	print_bytes(l.text, l.len);
	print("\n");
	guest_exit(PANIC_STATUS);
}

/* --- what the loader told --- */

const char *cmdline_has(const char *name)
{
	size_t len = strlen(name);

	for (const char *at = boot.cmdline; *at; at++) {
		if ((at == boot.cmdline || at[-1] == ' ') && memcmp(at, name, len) == 0 &&
		    (at[len] == '\0' || at[len] == ' ' || at[len] == '='))
			return at[len] == '=' ? at + len + 1 : at + len;
	}
	return NULL;
}

uint64_t cmdline_u64(const char *name, uint64_t otherwise)
{
	const char *at = cmdline_has(name);
	uint64_t v = 0;

	if (!at || *at < '0' || *at > '9')
		return otherwise;
	for (; *at >= '0' && *at <= '9'; at++)
		v = v * 10 + (uint64_t)(*at - '0');
	return v;
}

static uint32_t u32_at(const void *p, unsigned offset)
{
	uint32_t v;

	__builtin_memcpy(&v, (const uint8_t *)p + offset, sizeof(v));
	return v;
}

static uint64_t u64_at(const void *p, unsigned offset)
{
	return u32_at(p, offset) | (uint64_t)u32_at(p, offset + 4) << 32;
}

static void add_map(uint64_t addr, uint64_t size, uint32_t type)
{
	if (boot.n_map < ARRAY_SIZE(boot.map))
		boot.map[boot.n_map++] = (struct guest_map){ addr, size, type };
}

static void from_pvh(const void *p)
{
	const uint8_t *map = (const uint8_t *)u64_at(p, 40);
	uint32_t n = u32_at(p, 48);

	if (u32_at(p, 0) != 0x336ec578)
		panic("start information at 0x%lx: no magic", (unsigned long)p);
	boot.cmdline = (const char *)u64_at(p, 24);
	boot.rsdp = u64_at(p, 32);
	if (u32_at(p, 12) > 0) {
		const void *module = (const void *)u64_at(p, 16);

		boot.initrd = u64_at(module, 0);
		boot.initrd_bytes = u64_at(module, 8);
	}
	for (; n > 0; n--, map += 24)
		add_map(u64_at(map, 0), u64_at(map, 8), u32_at(map, 16));
}

static void from_linux64(const void *p)
{
	const uint8_t *zp = p, *map = zp + 0x2d0;

	if (u32_at(p, 0x202) != 0x53726448)
		panic("zero page at 0x%lx: no magic", (unsigned long)p);
	boot.cmdline = (const char *)(uint64_t)u32_at(p, 0x228);
	boot.rsdp = u64_at(p, 0x70);
	boot.initrd = u32_at(p, 0x218) | (uint64_t)u32_at(p, 0xc0) << 32;
	boot.initrd_bytes = u32_at(p, 0x21c) | (uint64_t)u32_at(p, 0xc4) << 32;
	for (unsigned n = zp[0x1e8]; n > 0; n--, map += 20)
		add_map(u64_at(map, 0), u64_at(map, 8), u32_at(map, 16));
}

static void from_multiboot(const void *p)
{
	uint32_t flags = u32_at(p, 0), bytes = u32_at(p, 44);
	uint64_t at = u32_at(p, 48);

	boot.cmdline = flags & 4 ? (const char *)(uint64_t)u32_at(p, 16) : "";
	if (flags & 8 && u32_at(p, 20) > 0) {
		const void *module = (const void *)(uint64_t)u32_at(p, 24);

		boot.initrd = u32_at(module, 0);
		boot.initrd_bytes = u32_at(module, 4) - u32_at(module, 0);
	}
	for (uint64_t end = at + bytes; flags & 64 && at < end; at += u32_at((const void *)at, 0) + 4)
		add_map(u64_at((const void *)at, 4), u64_at((const void *)at, 12),
			u32_at((const void *)at, 20));
}

_Noreturn void guest_start(enum guest_entry entry, const void *info);
_Noreturn void guest_start(enum guest_entry entry, const void *info)
{
	trap_init();
	boot.entry = entry;
	boot.info = info;
	boot.cmdline = "";
	switch (entry) {
	case ENTRY_PVH: from_pvh(info); break;
	case ENTRY_LINUX64: from_linux64(info); break;
	case ENTRY_MULTIBOOT: from_multiboot(info); break;
	}
	guest_exit(guest_main());
}
