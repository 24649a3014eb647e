/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs.c - a shared directory: "file=NAME" is looked up in its root, opened and read; a name that is not there and a way out of
 * the directory are asked for as well; then "made" is created and written, where the share allows it
 */
#include "cpu.h"
#include "fuse.h"
#include "virtio.h"

enum { VECTOR = 0x58, O_WRONLY = 1, O_CREAT = 0100, NAME_BYTES = 64, TAG_BYTES = 36 };

static struct virtio v;
static struct virtq q;
static struct fuse_in in;
static struct fuse_out out;

/* ask() - one request of two parts, either may be empty. Return: the reply's error, 0 or negative */
static int ask(uint32_t opcode, uint64_t node, const void *a, uint32_t a_len, const void *b, uint32_t b_len,
	       void *reply, uint32_t reply_len)
{
	struct virtq_buf buf[5] = { { &in, sizeof(in), false } };
	unsigned n = 1;
	uint32_t len;

	in = (struct fuse_in){
		(uint32_t)sizeof(in) + a_len + b_len, opcode, in.unique + 1, node, 0, 0, 1, 0
	};
	if (a_len)
		buf[n++] = (struct virtq_buf){ (void *)a, a_len, false };
	if (b_len)
		buf[n++] = (struct virtq_buf){ (void *)b, b_len, false };
	buf[n++] = (struct virtq_buf){ &out, sizeof(out), true };
	if (reply_len)
		buf[n++] = (struct virtq_buf){ reply, reply_len, true };
	virtq_add(&q, buf, n);
	virtq_kick(&q);
	virtq_wait(&q, &len);
	if (len < sizeof(out) || out.unique != in.unique)
		panic("a reply of %u bytes to request %lu", len, in.unique);
	return out.error;
}

static int lookup(const char *name, struct fuse_entry *e)
{
	return ask(FUSE_LOOKUP, FUSE_ROOT, name, (uint32_t)strlen(name) + 1, NULL, 0, e, sizeof(*e));
}

static void read_file(const char *name)
{
	static char data[4096];
	struct fuse_entry e = { 0 };
	uint32_t flags[2] = { 0 };
	struct fuse_opened o = { 0 };
	struct fuse_io io = { 0 };
	int r = lookup(name, &e);

	if (r < 0) {
		print("%s: error %d\n", name, r);
		return;
	}
	r = ask(FUSE_OPEN, e.node, flags, sizeof(flags), NULL, 0, &o, sizeof(o));
	io.handle = o.handle;
	io.size = sizeof(data);
	if (r == 0)
		r = ask(FUSE_READ, e.node, &io, sizeof(io), NULL, 0, data, sizeof(data));
	print("%s: %lu bytes, error %d: ", name, e.size, r);
	if (r == 0)
		print_bytes(data, out.len - sizeof(out));
}

static void make_file(void)
{
	const struct {
		uint32_t flags, mode, umask, open_flags;
	} how = { O_WRONLY | O_CREAT, 0100644, 0, 0 };
	struct {
		struct fuse_entry e;
		struct fuse_opened o;
	} made = { 0 };
	struct fuse_io io = { .size = 8 };
	uint32_t wrote[2];
	int r = ask(FUSE_CREATE, FUSE_ROOT, &how, sizeof(how), "made", 5, &made, sizeof(made));

	print("create: error %d\n", r);
	if (r < 0)
		return;
	io.handle = made.o.handle;
	r = ask(FUSE_WRITE, made.e.node, &io, sizeof(io), "by guest", 8, wrote, sizeof(wrote));
	print("write: error %d, %u bytes\n", r, r == 0 ? wrote[0] : 0);
}

int guest_main(void)
{
	struct fuse_init init = { 7, 31, 4096, 0, 0, { 0 } };
	const char *file = cmdline_has("file");
	char name[NAME_BYTES] = { 0 }, tag[TAG_BYTES + 1] = { 0 };
	struct fuse_entry e;
	int r;

	lapic_on();
	if (!virtio_find(&v, VIRTIO_FS, 0))
		panic("no shared directory");
	virtio_begin(&v, 0);
	virtq_init(&v, &q, FUSE_QUEUE);
	virtio_ready(&v, VECTOR);
	for (unsigned i = 0; i < TAG_BYTES; i++)
		tag[i] = (char)virtio_config8(&v, i);
	r = ask(FUSE_INIT, 0, &init, sizeof(init), NULL, 0, &init, sizeof(init));
	print("tag '%s', init: error %d, version %u\n", tag, r, init.major);
	for (unsigned i = 0; file && file[i] && file[i] != ' ' && i < NAME_BYTES - 1; i++)
		name[i] = file[i];
	read_file(name);
	print("missing: error %d\n", lookup("missing", &e));
	print("../up: %s\n", lookup("../up", &e) < 0 ? "refused" : "given");
	make_file();
	return 0;
}
