/* SPDX-License-Identifier: Apache-2.0 */
#include "net/link.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <string.h>

int link_send(struct link *l, const struct iovec *iov, unsigned n)
{
	size_t len = link_iov_bytes(iov, n);

	if (len < LINK_HDR_BYTES + LINK_ETH_BYTES || len > LINK_FRAME_MAX || n > LINK_IOV_MAX) {
		l->n_dropped++;
		return 0;
	}
	return l->ops->send(l, iov, n);
}

int link_flush(struct link *l)
{
	return l->ops->flush ? l->ops->flush(l) : 0;
}

long link_recv(struct link *l, const struct iovec *iov, unsigned n)
{
	if (n > LINK_IOV_MAX || link_iov_bytes(iov, n) < LINK_HDR_BYTES + LINK_ETH_BYTES)
		return -ENOBUFS;
	return l->ops->recv(l, iov, n);
}

int link_offloads(struct link *l, unsigned tun_f)
{
	if (!(tun_f & TUN_F_CSUM)) /* segments are cut where checksums are not: there is no other order */
		tun_f = 0;
	return l->ops->offloads ? l->ops->offloads(l, tun_f) : 0;
}

void link_free(struct link *l)
{
	if (l)
		l->ops->free(l);
}

void link_tell(struct link *l)
{
	if (l->ready)
		l->ready(l->arg);
}

size_t link_iov_bytes(const struct iovec *iov, unsigned n)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t here = iov[i].iov_len;

		len += here <= LINK_FRAME_MAX ? here : LINK_FRAME_MAX + 1; /* so the sum cannot overflow */
	}
	return len;
}

/* move() - up to @len bytes between @flat and @iov from @off on, in the direction of @fill. */
static size_t move(char *flat, size_t len, const struct iovec *iov, unsigned n, size_t off, bool fill)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t here = iov[i].iov_len;

		if (off >= here) {
			off -= here;
			continue;
		}
		here = here - off < len - done ? here - off : len - done;
		if (fill)
			memcpy((char *)iov[i].iov_base + off, flat + done, here);
		else
			memcpy(flat + done, (const char *)iov[i].iov_base + off, here);
		done += here;
		off = 0;
	}
	return done;
}

size_t link_iov_copy(void *dst, size_t len, const struct iovec *iov, unsigned n, size_t off)
{
	return move(dst, len, iov, n, off, false);
}

size_t link_iov_fill(const struct iovec *iov, unsigned n, size_t off, const void *src, size_t len)
{
	return move((char *)src, len, iov, n, off, true); /* read only: see move() */
}

unsigned link_iov_skip(struct iovec *to, const struct iovec *iov, unsigned n, size_t off)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t here = iov[i].iov_len;

		if (off >= here) {
			off -= here;
			continue;
		}
		to[k++] = (struct iovec){ (char *)iov[i].iov_base + off, here - off };
		off = 0;
	}
	return k;
}
