/* SPDX-License-Identifier: Apache-2.0 */
#include "container/sync.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "sys/call.h"

static int sync_write(int sock, const struct sync_msg *m)
{
	size_t len = m->type == SYNC_FAILED ? sizeof(*m) : offsetof(struct sync_msg, err);
	long r;

	do {
		r = SYS6(SYS_sendto, sock, m, len, MSG_NOSIGNAL, NULL, 0);
	} while (r == -EINTR);
	return r < 0 ? (int)r : 0;
}

int sync_send(int sock, enum sync_type type, int32_t value, struct err *e)
{
	struct sync_msg m = { .type = type, .value = value };
	int r = sync_write(sock, &m);

	return r < 0 ? err_sys(e, -r, "talk to the other process") : 0;
}

void sync_fail(int sock, int rc, const struct err *e)
{
	struct sync_msg m = { .type = SYNC_FAILED, .value = rc, .err = *e };

	if (!m.err.text[0])
		str_copy(m.err.text, sizeof(m.err.text), err_name(-rc));
	sync_write(sock, &m);
}

int sync_recv(int sock, int32_t *ret_value, struct err *e)
{
	struct sync_msg m;
	long r;

	/* A peer that ended without reading all of ours leaves ECONNRESET, told once, in front of its own last
	 * words. */
	do {
		r = SYS6(SYS_recvfrom, sock, &m, sizeof(m), 0, NULL, NULL);
	} while (r == -EINTR || r == -ECONNRESET);
	if (r < 0)
		return err_sys(e, (int)-r, "talk to the other process");
	if ((size_t)r < offsetof(struct sync_msg, err))
		return err_set(e, ECONNRESET, "the other process ended without a word");
	if (m.type == SYNC_FAILED && (size_t)r < sizeof(m))
		return err_set(e, EPROTO, "the other process sent half a message");
	if (m.type == SYNC_FAILED) {
		m.err.text[sizeof(m.err.text) - 1] = '\0';
		if (e)
			*e = m.err;
		return m.value < 0 ? m.value : -EIO;
	}
	if (ret_value)
		*ret_value = m.value;
	return (int)m.type;
}

int sync_expect(int sock, enum sync_type type, int32_t *ret_value, struct err *e)
{
	int r = sync_recv(sock, ret_value, e);

	if (r >= 0 && r != (int)type)
		return err_set(e, EPROTO, "the other process sent message %d, want %d", r, (int)type);
	return r;
}
