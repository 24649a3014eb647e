/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switch_fuzz.c - what another member of a switch sends: frames, bundles of frames, and lies about both
 *
 * The first byte chooses what the guest takes and how its buffers are cut; the rest is one message.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/str.h"
#include "io/loop.h"
#include "net/link.h"
#include "sys/file.h"
#include "sys/sock.h"

enum { FRAMES_MAX = 4 * LINK_FRAME_MAX }; /* of one message; it would be for ever beyond */

static struct loop loop;
static struct link *l;
static int peer = -1;
static char top[] = "/tmp/hull-switch-fuzz-XXXXXX";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void told(void *arg)
{
	(void)arg;
	loop.stop = true;
}

static void gone(void)
{
	link_free(l);
	close(peer);
	loop_fini(&loop);
	file_remove_tree(AT_FDCWD, top, NULL);
}

static void turn(void)
{
	loop.stop = false;
	BUG_ON(loop_run(&loop) < 0);
}

static void begin(void)
{
	char dir[64];
	struct dirent *n;
	DIR *d;

	BUG_ON(!mkdtemp(top) || loop_init(&loop) < 0);
	atexit(gone);
	str_format(dir, sizeof(dir), "%s/sw", top);
	BUG_ON(link_open_switch(&l, &loop, dir, NULL) < 0);
	l->ready = told;
	d = opendir(dir);
	BUG_ON(!d);
	while (peer < 0 && (n = readdir(d)))
		if (str_starts(n->d_name, "m-"))
			peer = sock_connect_at(dirfd(d), n->d_name, SOCK_SEQPACKET);
	closedir(d);
	BUG_ON(peer < 0);
	turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned take[] = { 0, TUN_F_CSUM, TUN_F_CSUM | TUN_F_TSO4,
					 TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN };
	uint8_t *buf;
	size_t room;
	unsigned n = 0;
	long r;

	if (peer < 0)
		begin();
	if (size < 2 || size > LINK_FRAME_MAX + 64)
		return 0;
	link_offloads(l, take[data[0] & 3]);
	room = data[0] & 4 ? 1526 : LINK_FRAME_MAX;
	buf = malloc(room); /* exactly: a byte beyond is found */
	BUG_ON(!buf);
	while (link_recv(l, &(struct iovec){ buf, room }, 1) != -EAGAIN)
		;
	BUG_ON(send(peer, data + 1, size - 1, 0) != (ssize_t)size - 1);
	turn();
	do {
		size_t cut = data[0] & 8 ? 20 : room;
		struct iovec iov[] = { { buf, cut }, { buf + cut, room - cut } };

		r = link_recv(l, iov, 2);
		BUG_ON(r > (long)room || ++n > FRAMES_MAX);
	} while (r != -EAGAIN);
	free(buf);
	return 0;
}
