/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls(loop): ioctl[1]=TCGETS,TCSETS,TCSETSW,TCSETSF */
#include "cmd/vm_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"

enum { KEY_ESCAPE = 1, KEY_QUIT = 'x', KEYS_MAX = 256 };

/* keys_filter() - @in without what is kept back, in place. Return: bytes left; *ret_quit. */
static size_t keys_filter(struct vm_terminal *t, char *in, size_t len, char *out, bool *ret_quit)
{
	size_t n = 0;

	for (size_t i = 0; i < len && !*ret_quit; i++) {
		if (!t->escaped && in[i] == KEY_ESCAPE) {
			t->escaped = true;
			continue;
		}
		if (t->escaped && in[i] == KEY_QUIT)
			*ret_quit = true;
		else if (t->escaped && in[i] != KEY_ESCAPE)
			out[n++] = KEY_ESCAPE;
		if (!*ret_quit)
			out[n++] = in[i];
		t->escaped = false;
	}
	return n;
}

static void on_keys(void *arg, uint32_t events)
{
	struct vm_terminal *t = arg;
	char in[KEYS_MAX], out[2 * KEYS_MAX];
	bool quit = false;
	ssize_t n = read(STDIN_FILENO, in, sizeof(in));
	size_t left;

	(void)events;
	if (n <= 0) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		loop_remove(t->loop, &t->keys); /* hung up: SIGHUP tells the rest */
		return;
	}
	left = keys_filter(t, in, (size_t)n, out, &quit);
	if (left > 0 && write(t->pipe[1], out, left) < 0 && errno != EAGAIN)
		loop_remove(t->loop,
			    &t->keys); /* EAGAIN: the guest has not read 64 KiB of typing; more is lost */
	if (quit)
		t->quit(t->arg);
}

int vm_terminal_open(struct vm_terminal *t, struct loop *loop, void (*quit)(void *arg), void *arg,
		     struct err *e)
{
	int r;

	*t = (struct vm_terminal){ .in_fd = STDIN_FILENO,
				   .pipe = { -1, -1 },
				   .is_tty = isatty(STDIN_FILENO),
				   .loop = loop,
				   .keys = { .fd = -1, .ready = on_keys, .arg = t },
				   .quit = quit,
				   .arg = arg };
	if (!t->is_tty)
		return 0;
	if (pipe2(t->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(e, errno, "the terminal");
	t->in_fd = t->pipe[0];
	r = loop_add(loop, &t->keys, STDIN_FILENO, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "the terminal") : 0;
}

int vm_terminal_raw(struct vm_terminal *t, struct err *e)
{
	struct termios raw;

	if (!t->is_tty)
		return 0;
	if (tcgetattr(STDIN_FILENO, &t->was) < 0)
		return err_sys(e, errno, "the terminal");
	raw = t->was;
	cfmakeraw(&raw);
	raw.c_oflag =
		t->was.c_oflag; /* a guest that writes bare line feeds is readable, one that adds returns too */
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return err_sys(e, errno, "the terminal");
	t->is_raw = true;
	return 0;
}

void vm_terminal_close(struct vm_terminal *t)
{
	if (t->is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &t->was);
	t->is_raw = false;
	if (t->loop)
		loop_remove(t->loop, &t->keys);
	fd_close(&t->pipe[0]);
	fd_close(&t->pipe[1]);
}
