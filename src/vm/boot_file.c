/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/decomp.h"
#include "vm/boot_internal.h"

enum { IN_BYTES = 256 << 10 };

int boot__file_open(struct boot_file *f, int fd, const char *name, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat");
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "not a regular file");
	if (st.st_size == 0)
		return err_set(e, ENOEXEC, "the file is empty");
	if (st.st_size > BOOT_KERNEL_BYTES_MAX)
		return err_set(e, EFBIG, "%lld bytes, at most %d are taken", (long long)st.st_size,
			       BOOT_KERNEL_BYTES_MAX);
	*f = (struct boot_file){ .name = name, .fd = fd, .size = (uint64_t)st.st_size };
	return 0;
}

void boot__file_fini(struct boot_file *f)
{
	if (f->bytes)
		munmap(f->bytes, BOOT_KERNEL_BYTES_MAX);
	f->bytes = NULL;
}

int boot__file_read(const struct boot_file *f, uint64_t offset, void *dst, uint64_t len, struct err *e)
{
	uint8_t *to = dst;

	if (len > f->size || offset > f->size - len)
		return err_set(e, ENOEXEC, "the file ends at %llu, want bytes %llu to %llu",
			       (unsigned long long)f->size, (unsigned long long)offset,
			       (unsigned long long)(offset + len));
	if (f->bytes) {
		memcpy(to, f->bytes + offset, len);
		return 0;
	}
	while (len > 0) {
		ssize_t n = pread(f->fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read at %llu", (unsigned long long)offset);
		if (n == 0) /* somebody cut it short since */
			return err_set(e, ENOEXEC, "the file ends at %llu", (unsigned long long)offset);
		to += n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* The compressed part of a file as a stream. */
struct part {
	const struct boot_file *f;
	uint64_t offset, left;
	uint8_t buf[IN_BYTES];
};

static ssize_t part_next(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct part *p = arg;
	size_t n = p->left < IN_BYTES ? (size_t)p->left : IN_BYTES;
	int r;

	r = boot__file_read(p->f, p->offset, p->buf, n, e);
	if (r < 0)
		return r;
	p->offset += n;
	p->left -= n;
	*ret_bytes = p->buf;
	return (ssize_t)n;
}

static int inflate_all(struct boot_file *f, const struct source *from, struct err *e)
{
	const uint8_t *run = NULL;
	uint64_t len = 0;
	ssize_t n;
	void *to;

	/* Address space for the most there may be; pages come as they are written. */
	to = mmap(NULL, BOOT_KERNEL_BYTES_MAX, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (to == MAP_FAILED)
		return err_sys(e, errno, "memory to decompress to");
	f->bytes = to;
	while ((n = from->next(from->arg, &run, e)) > 0) {
		if ((uint64_t)n > BOOT_KERNEL_BYTES_MAX - len)
			return err_set(e, EFBIG, "decompresses to more than %d bytes", BOOT_KERNEL_BYTES_MAX);
		memcpy(f->bytes + len, run, (size_t)n);
		len += (uint64_t)n;
	}
	f->size = len;
	return n < 0 ? (int)n : 0;
}

/* boot__file_decompress() - @f becomes what the part of it decompresses to; good for boot__file_fini() also on failure */
int boot__file_decompress(struct boot_file *f, uint64_t offset, uint64_t len, const char *kind, struct err *e)
{
	auto_free struct part *p = malloc(sizeof(*p));
	struct decomp *d = NULL;
	struct boot_file plain = *f;
	struct source out;
	int r;

	if (!p)
		return err_sys(e, ENOMEM, "decompress");
	p->f = &plain;
	p->offset = offset;
	p->left = len;
	r = decomp_new_as(&d, &(struct source){ part_next, p }, kind, e);
	if (r < 0)
		return r;
	out = decomp_source(d);
	r = inflate_all(f, &out, e);
	decomp_free(d);
	return r;
}
