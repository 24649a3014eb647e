/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_mem.c - a machine's memory in a file, and back
 *
 * The file holds the regions of memory one behind the other, in the order of their addresses; what is zero is a hole. A
 * restored machine maps it copy on write: it starts at once, pages come from the page cache when they are touched, and
 * clones share those that none of them writes. An engine whose own processes map the guest's memory has to have a copy made. A difference has the same layout and only the pages written since the
 * snapshot before: laid over that one's file it is the next one's.
 */
/* syscalls(loop): pwrite64 lseek ftruncate fsync */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fmt/record.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/sock.h"
#include "vm/snapshot_internal.h"

enum { LAYOUT_VERSION = 1, WORD_BITS = 64, RUN_PAGES_MAX = 1024 };

/* --- layout ----------------------------------------------------------------------------------------------------- */

void snapshot__layout_save(const struct gmem *mem, struct record_out *o)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < mem->n; i++)
		n += mem->region[i].ram;
	record_begin(o, "memory", LAYOUT_VERSION);
	record_put_u32(o, n);
	for (unsigned i = 0; i < mem->n; i++)
		if (mem->region[i].ram) {
			record_put_u64(o, mem->region[i].base);
			record_put_u64(o, mem->region[i].size);
		}
	record_end(o);
}

void snapshot__layout_restore(struct machine_source *s, struct record_in *in)
{
	uint32_t n;

	if (!record_open(in, "memory", LAYOUT_VERSION))
		return;
	n = record_get_u32(in);
	if (n == 0 || n > GMEM_REGIONS_MAX)
		record_fail(in, "%u regions, want 1 to %d", n, GMEM_REGIONS_MAX);
	for (uint32_t i = 0; i < n && in->rc == 0; i++) {
		uint64_t base = record_get_u64(in), size = record_get_u64(in);

		if (size == 0 || ((base | size) & (GMEM_PAGE - 1)) || s->bytes + size < s->bytes ||
		    s->bytes + size > INT64_MAX)
			record_fail(in, "region %u: 0x%llx bytes at 0x%llx", i, (unsigned long long)size,
				    (unsigned long long)base);
		s->part[i].base = base;
		s->part[i].size = size;
		s->part[i].offset = s->bytes;
		s->bytes += size;
	}
	s->n = in->rc == 0 ? n : 0;
	record_close(in);
}

/* copy_range() - [at, end) of the file @fd to where @to says that @at is */
static int copy_range(int fd, off_t at, off_t end, uint8_t *to)
{
	while (at < end) {
		ssize_t n = pread(fd, to, (size_t)(end - at), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* it became shorter */
		at += n;
		to += n;
	}
	return 0;
}

/* copy_data() - @size bytes of @fd from @offset to @to, which is zero: holes are left out. */
static int copy_data(int fd, uint64_t offset, uint64_t size, uint8_t *to)
{
	const off_t start = (off_t)offset, end = (off_t)(offset + size);
	off_t at = start;
	int r = 0;

	while (at < end && r == 0) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (hole < 0) { /* a file system that does not know: all of it may be data */
			data = at;
			hole = end;
		}
		if (data >= end)
			break;
		at = hole < end ? hole : end;
		r = copy_range(fd, data, at, to + (data - start));
	}
	return r;
}

/* ram_add_copy() - as copied from @offset of the snapshot's memory */
static int ram_add_copy(struct machine *m, gpa_t base, uint64_t size, uint64_t offset, struct err *e)
{
	struct stat st;
	int r = fstat(m->source.fd, &st) < 0 ? -errno : 0;

	if (r < 0)
		return err_sys(e, -r, "memory file");
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < offset + size) /* as gmem_add_file() says it */
		return err_set(e, EINVAL, "memory at 0x%llx: its file has %llu of %llu bytes",
			       (unsigned long long)base,
			       (unsigned long long)((uint64_t)st.st_size > offset ?
							    (uint64_t)st.st_size - offset :
							    0),
			       (unsigned long long)size);
	r = gmem_add_ram(&m->mem, base, size, m->config.pages, e);
	if (r < 0)
		return r;
	r = copy_data(m->source.fd, offset, size, gmem_ptr(&m->mem, base, size));
	return r < 0 ? err_sys(e, -r, "memory at 0x%llx: read its file", (unsigned long long)base) : 0;
}

/* machine__ram_add() - memory of the machine: fresh, or what the snapshot has there. */
int machine__ram_add(struct machine *m, gpa_t base, uint64_t size, struct err *e)
{
	const struct machine_source *s = &m->source;
	int fd;

	if (s->n == 0)
		return gmem_add_ram(&m->mem, base, size, m->config.pages, e);
	for (unsigned i = 0; i < s->n; i++) {
		if (s->part[i].base != base || s->part[i].size != size)
			continue;
		if (s->fd < 0) /* pages come from a handler */
			return gmem_add_ram(&m->mem, base, size, m->config.pages, e);
		if (m->vm->ops->shared_memory)
			return ram_add_copy(m, base, size, s->part[i].offset, e);
		fd = (int)SYS3(SYS_fcntl, s->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return err_sys(e, -fd, "memory file");
		return gmem_add_file(&m->mem, base, size, fd, s->part[i].offset, false, false, true, e);
	}
	return err_set(e, EINVAL, "the snapshot has no memory of 0x%llx bytes at 0x%llx",
		       (unsigned long long)size, (unsigned long long)base);
}

/* --- saving ----------------------------------------------------------------------------------------------------- */

/* One region on its way into the file. */
struct writer {
	int fd;
	bool lazy;       /* what is not there comes when it is looked at */
	uint64_t offset; /* of the region in the file */
	const struct gmem_region *r;
};

static bool is_zero(const uint8_t *page)
{
	const uint64_t *w = (const uint64_t *)(const void *)page;

	if (w[0] || w[GMEM_PAGE / 8 - 1])
		return false;
	return memcmp(page, page + 8, GMEM_PAGE - 8) == 0;
}

static int write_pages(const struct writer *w, uint64_t page, uint64_t n)
{
	const uint8_t *from = w->r->host + page * GMEM_PAGE;
	uint64_t at = w->offset + page * GMEM_PAGE, left = n * GMEM_PAGE;

	while (left > 0) {
		ssize_t done = pwrite(w->fd, from, left, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		from += done;
		at += (uint64_t)done;
		left -= (uint64_t)done;
	}
	return 0;
}

/* write_nonzero() - of the pages [from, to), runs of those that are not all zero. */
static int write_nonzero(const struct writer *w, uint64_t from, uint64_t to)
{
	uint64_t start = from;
	int r = 0;

	for (uint64_t p = from; p < to && r == 0; p++) {
		bool zero = is_zero(w->r->host + p * GMEM_PAGE);

		if (zero || p - start == RUN_PAGES_MAX) {
			if (p > start)
				r = write_pages(w, start, p - start);
			start = zero ? p + 1 : p;
		}
	}
	return r == 0 && to > start ? write_pages(w, start, to - start) : r;
}

/* write_all() - everything that is there. A memory file knows which of its pages have ever been touched. */
static int write_all(const struct writer *w)
{
	const struct gmem_region *g = w->r;
	uint64_t at = 0;
	int r = 0;

	if (g->fd < 0 || !g->shared || w->lazy)
		return write_nonzero(w, 0, g->size / GMEM_PAGE);
	while (at < g->size && r == 0) {
		off_t data = lseek(g->fd, (off_t)(g->fd_offset + at), SEEK_DATA), hole;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(g->fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		at = (uint64_t)data - g->fd_offset;
		if (at >= g->size)
			break;
		data = (off_t)at;
		at = (uint64_t)hole - g->fd_offset;
		if (at > g->size)
			at = g->size;
		r = write_nonzero(w, (uint64_t)data / GMEM_PAGE, (at + GMEM_PAGE - 1) / GMEM_PAGE);
	}
	return r;
}

/* write_dirty() - exactly the pages whose bit is set, zero or not: the file below may have something else there. */
static int write_dirty(const struct writer *w, const uint64_t *bits)
{
	uint64_t pages = w->r->size / GMEM_PAGE, start = 0;
	bool in_run = false;
	int r = 0;

	for (uint64_t p = 0; p <= pages && r == 0; p++) {
		bool dirty = p < pages && (bits[p / WORD_BITS] >> (p % WORD_BITS) & 1);

		if (dirty && !in_run)
			start = p;
		else if (!dirty && in_run)
			r = write_pages(w, start, p - start);
		in_run = dirty;
	}
	return r;
}

/* dirty_take() - pages of region @i written since the last time, by the guest and by its devices. */
static int dirty_take(struct machine *m, unsigned i, uint64_t **ret_bits, struct err *e)
{
	size_t words = (size_t)((m->mem.region[i].size / GMEM_PAGE + WORD_BITS - 1) / WORD_BITS);
	auto_free uint64_t *bits = calloc(words, sizeof(*bits));
	int r;

	if (!bits)
		return err_sys(e, ENOMEM, "dirty pages");
	r = machine__memory_dirty(m, i, bits, words);
	if (r < 0)
		return err_sys(e, -r, "dirty pages");
	gmem_dirty_take(&m->mem, i, bits);
	*ret_bits = TAKE_PTR(bits);
	return 0;
}

int snapshot__mem_save(struct machine *m, enum machine_snapshot kind, int fd, struct err *e)
{
	struct writer w = { .fd = fd, .lazy = m->lazy };
	int r = 0;

	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)gmem_ram_bytes(&m->mem)) < 0)
		return err_sys(e, errno, "memory file");
	for (unsigned i = 0; i < m->mem.n && r == 0; i++) {
		auto_free uint64_t *bits = NULL;

		w.r = &m->mem.region[i];
		if (!w.r->ram)
			continue;
		if (m->config.track_dirty) /* a full one is also what the next difference is to */
			r = dirty_take(m, i, &bits, e);
		if (r == 0) {
			r = kind == MACHINE_SNAPSHOT_DIFF && bits ? write_dirty(&w, bits) : write_all(&w);
			if (r < 0)
				err_sys(e, -r, "memory file");
		}
		w.offset += w.r->size;
	}
	return r;
}

/* --- pages from a handler ----------------------------------------------------------------------------------------- */

static int uffd_open(const struct gmem *mem)
{
	auto_close int fd = (int)SYS1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_MISSING_SHMEM };

	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api) < 0)
		return -errno;
	for (unsigned i = 0; i < mem->n; i++) {
		struct uffdio_register r = { .range = { (uintptr_t)mem->region[i].host, mem->region[i].size },
					     .mode = UFFDIO_REGISTER_MODE_MISSING };

		if (mem->region[i].ram && ioctl(fd, UFFDIO_REGISTER, &r) < 0)
			return -errno;
	}
	return TAKE_FD(fd);
}

int snapshot__uffd_hand_over(const struct gmem *mem, const struct machine_source *s, int sock, struct err *e)
{
	auto_close int fd = uffd_open(mem);
	auto_fini(buf) struct buf text = { 0 };
	struct json_out o = { .to = &text };
	ssize_t n;

	if (fd < 0)
		return err_sys(e, -fd, "userfaultfd");
	json_put_open(&o, NULL, '[');
	for (unsigned i = 0; i < s->n; i++) {
		const struct gmem_region *g = gmem_find(mem, s->part[i].base, s->part[i].size);

		json_put_open(&o, NULL, '{');
		json_put_u64(&o, "base_host_virt_addr", g ? (uintptr_t)g->host : 0);
		json_put_u64(&o, "size", s->part[i].size);
		json_put_u64(&o, "offset", s->part[i].offset);
		json_put_u64(&o, "page_size", GMEM_PAGE);
		json_put_u64(&o, "page_size_kib", GMEM_PAGE); /* so it is: the older name has bytes too */
		json_put_close(&o, '}');
	}
	json_put_close(&o, ']');
	if (buf_finish(&text) < 0)
		return err_sys(e, ENOMEM, "userfaultfd");
	n = sock_send_fd(sock, text.data, text.len, fd);
	return n < 0 ? err_sys(e, (int)-n, "the page fault handler's socket") : 0;
}
