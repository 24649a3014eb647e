/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_fuzz.c - a hostile guest at the file server: the input is a program of requests, and of what the host does meanwhile
 *
 * Node ids and handles are mostly ones that were given out, names are few, so that requests meet; the rest is as the input has it.
 * Nothing beside the share's root may have changed in the end.
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

#include "fs/share_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KNOWN = 16 };

struct input {
	const uint8_t *p;
	size_t left;
};

static struct client c;
static uint64_t node[KNOWN], fh[KNOWN];
static unsigned n_node, n_fh;

static uint8_t take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

static const char *take_name(struct input *in)
{
	static const char *const names[] = { "a", "b", "dir", "link", "out", "fifo", "..", "a/b" };

	return names[take(in) & 7];
}

static uint64_t known(struct input *in, const uint64_t *list, unsigned n)
{
	uint8_t b = take(in);

	if (b >= 0xf0)
		return (uint64_t)take(in) << (b & 15) * 4;
	return list[b % (n < KNOWN ? n : KNOWN)];
}

static void learn(uint32_t op, long n)
{
	if (n < (long)sizeof(struct fuse_open_out))
		return;
	if (op == FUSE_OPEN || op == FUSE_OPENDIR)
		fh[n_fh++ % KNOWN] = c.out.open.fh;
	if (op == FUSE_CREATE)
		fh[n_fh++ % KNOWN] = c.out.create.open.fh;
	if (op == FUSE_CREATE || op == FUSE_LOOKUP || op == FUSE_MKDIR || op == FUSE_SYMLINK ||
	    op == FUSE_MKNOD || op == FUSE_LINK)
		node[n_node++ % KNOWN] = c.out.entry.nodeid;
}

/* request() - arguments of 64 bytes: the input's, with known numbers put where most operations have them */
static void request(struct input *in)
{
	static uint8_t data[8192];
	uint8_t args[512] = { 0 };
	uint32_t op = take(in) % 54;
	uint8_t how = take(in);
	size_t fixed = how & 1 ? take(in) : 0, len;
	uint64_t id = known(in, node, n_node), at = 0;

	for (size_t i = 0; i < 64 && in->left > 0; i++)
		args[i] = how & 2 ? take(in) : 0;
	if (how & 4) {
		uint64_t v = op == FUSE_LINK || op == FUSE_RENAME || op == FUSE_RENAME2 ?
				     known(in, node, n_node) :
				     known(in, fh, n_fh);

		memcpy(args, &v, 8);
	}
	if (how & 8) { /* an offset and a size that are small */
		at = take(in);
		memcpy(args + 8, &at, 8);
		args[16] = take(in);
		args[17] = take(in) & 15;
		args[18] = args[19] = 0;
	}
	len = fixed % 128;
	if (how & 16)
		len += (size_t)snprintf((char *)args + len, 100, "%s", take_name(in)) + 1;
	if (how & 32)
		len += (size_t)snprintf((char *)args + len, 100, "%s", take_name(in)) + 1;
	c.uid = how & 64 ? 1000 : 0;
	c.gid = how & 64 ? 1000 : 0;
	c.room = how & 128 ? take(in) : sizeof(c.out.bytes);
	learn(op, client_raw(&c, op, id, args, len, data, op == FUSE_WRITE ? sizeof(data) : 0));
}

/* right_one() - a right OPEN, CREATE or LOOKUP, so that there is something to go on with */
static void right_one(struct input *in)
{
	uint8_t how = take(in);
	uint64_t id = known(in, node, n_node);
	const char *name = take_name(in);

	switch (how & 3) {
	case 0:
		learn(FUSE_CREATE, CLIENT_NAMED(&c, FUSE_CREATE, id, name, struct fuse_create_in,
						{ .flags = O_RDWR, .mode = 0644 }));
		break;
	case 1: learn(FUSE_LOOKUP, client_call(&c, FUSE_LOOKUP, id, NULL, 0, name, NULL)); break;
	case 2:
		learn(FUSE_OPENDIR, CLIENT_CALL(&c, FUSE_OPENDIR, id, struct fuse_open_in, { .flags = 0 }));
		break;
	default:
		learn(FUSE_MKDIR,
		      CLIENT_NAMED(&c, FUSE_MKDIR, id, name, struct fuse_mkdir_in, { .mode = 0755 }));
		break;
	}
}

static void host(struct input *in)
{
	char from[32], to[32];

	snprintf(from, sizeof(from), "root/%s", take_name(in));
	snprintf(to, sizeof(to), "root/%s", take_name(in));
	if (strstr(from, "..") || strstr(to, ".."))
		return;
	if (take(in) & 1)
		renameat2(c.dirfd, from, c.dirfd, to, 2 /* exchange */);
	else
		unlinkat(c.dirfd, from, 0);
}

/* check_outside() - the two directories, the secret, and nothing else */
static void check_outside(void)
{
	int fd = openat(c.dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	char text[8] = { 0 };
	struct stat st;
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	BUG_ON(n != 4);
	fd = openat(c.dirfd, "outside/secret", O_RDONLY | O_CLOEXEC);
	BUG_ON(fd < 0 || read(fd, text, 7) != 6 || strcmp(text, "secret") != 0);
	BUG_ON(fstat(fd, &st) < 0 || st.st_nlink != 1 || (st.st_mode & 07777) != 0600 ||
	       st.st_uid != geteuid());
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t config = take(&in);
	int fd;

	signal(SIGXFSZ, SIG_IGN); /* a guest may fill a disk; a fuzz target must not */
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1 << 20, 1 << 20 });
	client_begin(&c, (struct share_config){ .readonly = config & 1,
						.squash = config & 2,
						.xattr_all = config & 4,
						.cache = (config >> 3) % SHARE_CACHE_COUNT,
						.max_nodes = config & 128 ? 8 : 64 });
	fd = openat(c.dirfd, "outside/secret", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	BUG_ON(fd < 0 || write(fd, "secret", 6) != 6 || fchmod(fd, 0600) < 0);
	close(fd);
	BUG_ON(symlinkat("../outside/secret", c.dirfd, "root/link") < 0);
	BUG_ON(symlinkat("../outside", c.dirfd, "root/out") < 0);
	BUG_ON(mkfifoat(c.dirfd, "root/fifo", 0644) < 0);
	if (config & 64)
		client_init(&c);
	node[0] = FUSE_ROOT_ID;
	fh[0] = 0;
	n_node = n_fh = 1;
	while (in.left > 0) {
		switch (take(&in) & 7) {
		case 0: host(&in); break;
		case 1:
		case 2:
		case 3: right_one(&in); break;
		default: request(&in); break;
		}
	}
	check_outside();
	client_end(&c);
	return 0;
}
