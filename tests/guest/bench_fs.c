/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fs.c - keep a shared directory busy for "ticks" of the time stamp counter: the file "data" of "size" bytes is read or, with
 * "op=write", written, "bytes" each, "depth" at once, "random" or one after the other; "op=lookup" asks for its name. As in
 * bench_blk.c, nothing else happens between the lines "begin" and "end", and what drives the queue runs in ring 3.
 */
#include "cpu.h"
#include "fuse.h"
#include "virtio.h"

enum {
	VECTOR = 0x58,
	O_RDWR = 2,
	BUFFERS = 16 << 20, /* address of the first */
	NOT_YET = 1,        /* no error of any reply */
	PARTS = 4,          /* of a request */
	LCG_MUL = 1103515245,
	LCG_ADD = 12345,
};

static const char name[] = "data";

static struct slot {
	struct fuse_in in;
	struct fuse_io io;
	struct fuse_out out;
	struct fuse_wrote wrote;
	struct fuse_entry entry;
} slots[VIRTQ_SIZE_MAX];

static struct virtio v;
static struct virtq q;
static struct slot *of[VIRTQ_SIZE_MAX];
static struct fuse_entry file;
static struct fuse_opened opened;
static uint64_t places, next, done, batches, end;
static uint32_t bytes, seed = 1, op;
static unsigned depth, inside;
static bool random;

static uint64_t place(void)
{
	if (random) {
		seed = seed * LCG_MUL + LCG_ADD;
		return (seed >> 8) % places;
	}
	return next++ % places;
}

/* add() - a request: what is sent behind its header, and then what comes back behind the reply's */
static void add(struct slot *s, uint32_t opcode, uint64_t node, const struct virtq_buf *part, unsigned n)
{
	struct virtq_buf buf[PARTS + 1] = { { &s->in, sizeof(s->in), false } };
	unsigned k = 1;

	s->in = (struct fuse_in){ sizeof(s->in), opcode, s->in.unique + 1, node, 0, 0, 1, 0 };
	s->out.error = NOT_YET;
	for (unsigned i = 0; i < n && !part[i].device_writes; i++) {
		s->in.len += part[i].len;
		buf[k++] = part[i];
	}
	buf[k++] = (struct virtq_buf){ &s->out, sizeof(s->out), true };
	for (unsigned i = 0; i < n; i++)
		if (part[i].device_writes)
			buf[k++] = part[i];
	of[virtq_add(&q, buf, k)] = s;
}

static void send(struct slot *s)
{
	uint8_t *data = (uint8_t *)BUFFERS + (uint64_t)(s - slots) * bytes;

	s->io = (struct fuse_io){ .handle = opened.handle, .size = bytes };
	if (op != FUSE_LOOKUP)
		s->io.offset = place() * bytes;
	if (op == FUSE_LOOKUP)
		add(s, op, FUSE_ROOT,
		    (struct virtq_buf[]){ { (void *)name, sizeof(name), false },
					  { &s->entry, sizeof(s->entry), true } },
		    2);
	else if (op == FUSE_READ)
		add(s, op, file.node,
		    (struct virtq_buf[]){ { &s->io, sizeof(s->io), false }, { data, bytes, true } }, 2);
	else
		add(s, op, file.node,
		    (struct virtq_buf[]){ { &s->io, sizeof(s->io), false },
					  { data, bytes, false },
					  { &s->wrote, sizeof(s->wrote), true } },
		    3);
}

/* right() - what came back is all that was asked for */
static bool right(const struct slot *s)
{
	if (s->out.error != 0)
		return false;
	return op == FUSE_READ  ? s->out.len == sizeof(s->out) + bytes :
	       op == FUSE_WRITE ? s->wrote.size == bytes :
				  s->entry.node == file.node;
}

/* work() - send again what came back, until nothing more is there. Return: 0 nothing is; -1 a request failed */
static long work(void *arg)
{
	(void)arg;
	virtq_quiet(&q);
	do {
		bool more = rdtsc() < end;
		uint32_t len;
		uint16_t id;

		while (virtq_take(&q, &id, &len)) {
			if (!right(of[id]))
				return -1;
			done++;
			inside--;
			if (more) {
				send(of[id]);
				inside++;
			}
		}
		virtq_kick(&q);
	} while (virtq_loud(&q, 0));
	return 0;
}

static long begin(void *arg)
{
	for (; inside < depth; inside++)
		send(&slots[inside]);
	return work(arg);
}

static void on_irq(struct trap_frame *f)
{
	(void)f;
	virtio_ack(&v);
}

/* ask() - one request, waited for */
static void ask(uint32_t opcode, uint64_t node, const void *arg, uint32_t len, void *reply,
		uint32_t reply_len)
{
	uint32_t got;

	add(&slots[0], opcode, node,
	    (struct virtq_buf[]){ { (void *)arg, len, false }, { reply, reply_len, true } }, 2);
	virtq_kick(&q);
	virtq_wait(&q, &got);
	if (slots[0].out.error)
		panic("request %u: error %d", opcode, slots[0].out.error);
}

static void open_file(void)
{
	struct fuse_init init = { 7, 31, 4096, 0, 0, { 0 } };
	struct fuse_open how = { O_RDWR, 0 };

	ask(FUSE_INIT, 0, &init, sizeof(init), &init, sizeof(init));
	ask(FUSE_LOOKUP, FUSE_ROOT, name, sizeof(name), &file, sizeof(file));
	ask(FUSE_OPEN, file.node, &how, sizeof(how), &opened, sizeof(opened));
}

int guest_main(void)
{
	const char *what = cmdline_has("op");
	char first = what ? what[0] : 'r';
	long r;

	lapic_on();
	op = first == 'w' ? FUSE_WRITE : first == 'l' ? FUSE_LOOKUP : FUSE_READ;
	bytes = (uint32_t)cmdline_u64("bytes", 4096);
	depth = (unsigned)cmdline_u64("depth", 32);
	random = cmdline_has("random");
	places = cmdline_u64("size", 64 << 20) / bytes;
	if (!virtio_find(&v, VIRTIO_FS, 0))
		panic("no shared directory");
	virtio_begin(&v, 0);
	virtq_init(&v, &q, FUSE_QUEUE);
	virtio_ready(&v, VECTOR);
	if (places == 0 || depth * (v.features & VIRTIO_F_INDIRECT ? 1 : PARTS) > q.size)
		panic("depth %u, %lu places", depth, places);
	open_file();
	trap_on(VECTOR, on_irq);
	print("begin\n");
	end = rdtsc() + cmdline_u64("ticks", 1000000000);
	for (r = ring3(begin, NULL); r == 0 && inside > 0; r = ring3(work, NULL)) {
		wait_irq();
		batches++;
	}
	print("end %lu of %lu bytes, %lu sleeps\n", done, op == FUSE_LOOKUP ? 0 : done * bytes, batches);
	return r < 0;
}
