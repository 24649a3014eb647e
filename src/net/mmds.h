/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmds.h - a guest's metadata service: a JSON document that a card answers for itself at one link-local address
 *
 * Two halves. The store (struct mmds) is one for a machine: the document, its limit, the rules of access. The responder (struct
 * mmds_net) is one for each card that may ask: ARP and TCP port 80 to the store's address end in it, and everything else goes
 * on to the link. Neither needs a network on the host. All of it runs on the loop's thread.
 */
#ifndef NET_MMDS_H
#define NET_MMDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct buf;
struct err;
struct loop;
struct mmds;
struct mmds_net;

enum {
	MMDS_LIMIT_DEFAULT = 51200, /* bytes of the document as JSON */
	MMDS_CONNECTIONS_MAX = 30,
	MMDS_REQUEST_MAX = 2560, /* bytes of one request */
	MMDS_TTL_MIN_S = 1,
	MMDS_TTL_MAX_S = 21600,
	MMDS_TOKEN_MAX = 96 /* bytes of a token's text with its NUL */
};

#define MMDS_ADDRESS_DEFAULT 0xa9fea9feU /* 169.254.169.254 */

enum mmds_version { MMDS_V1, MMDS_V2 };

struct mmds_config {
	enum mmds_version version; /* V2: a GET needs a token */
	uint32_t ipv4_address;     /* host order, link-local; 0: the default */
	bool imds_compat;          /* text, whatever Accept says */
};

/* --- the store ---------------------------------------------------------------------------------------------- */

/* mmds_new() - an empty store. @limit: bytes the document may have as JSON. */
int mmds_new(struct mmds **ret_m, size_t limit, struct err *e);
void mmds_free(struct mmds *m); /* takes NULL; no responder may be left */

/* mmds_configure() - Return: 0; -EINVAL the address is not link-local (169.254.1.0 to 169.254.254.255). */
int mmds_configure(struct mmds *m, const struct mmds_config *c, struct err *e);
const struct mmds_config *mmds_config(const struct mmds *m);

/**
 * mmds_put() - the document is @json from now on; mmds_patch() merges @json into it
 * Return: 0; -EINVAL no JSON; -EMSGSIZE the document would pass the limit (413); -ENODATA patch before any put
 *         (the document stays as it was)
 * Spec: RFC 7396 for the merge
 */
int mmds_put(struct mmds *m, const char *json, size_t len, struct err *e);
int mmds_patch(struct mmds *m, const char *json, size_t len, struct err *e);
/* mmds_get() - append the document to @to, on one line; "null" while nothing was put. */
void mmds_get(const struct mmds *m, struct buf *to);
bool mmds_has_data(const struct mmds *m);

/* --- the responder ------------------------------------------------------------------------------------------ */

struct mmds_counts {
	uint64_t rx_accepted; /* frames that were ours */
	uint64_t rx_bad;      /* of these, without sense */
	uint64_t rx_count, tx_count, tx_bytes, tx_frames, tx_errors;
	uint64_t connections_created, connections_destroyed;
	uint64_t rx_invalid_token, rx_no_token;
};

/* mmds_net_new() - @m: borrowed. @ready: mmds_net_recv() may have something, by the passing of time; from the loop's thread. */
int mmds_net_new(struct mmds_net **ret_n, struct mmds *m, struct loop *loop, void (*ready)(void *arg),
		 void *arg, struct err *e);
void mmds_net_free(struct mmds_net *n);  /* takes NULL */
void mmds_net_reset(struct mmds_net *n); /* the guest's driver starts anew: no connection is left */

/* mmds_net_send() - a frame from the guest, virtio_net_hdr first. Return: true: it was for us, and is done with; then
 * mmds_net_recv() may have something. */
bool mmds_net_send(struct mmds_net *n, const struct iovec *iov, unsigned n_iov);
/* mmds_net_recv() - the next frame for the guest into @iov, as link_recv(). Return: bytes; -EAGAIN; -EMSGSIZE. */
long mmds_net_recv(struct mmds_net *n, const struct iovec *iov, unsigned n_iov);
/* mmds_net_offloads() - TUN_F_x that the guest takes. */
void mmds_net_offloads(struct mmds_net *n, unsigned tun_f);
const struct mmds_counts *mmds_net_counts(const struct mmds_net *n);

#endif
