/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_net.c - cards, vsock, the metadata service; and the two devices with hardly anything to say: entropy, serial */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "net/link.h"
#include "sys/file.h"
#include "sys/tun.h"

/* --- cards ---------------------------------------------------------------------------------------------------- */

static void net_fini(struct machine_net *n)
{
	free(n->host_dev);
	fd_close(&n->tap_fd);
	n->host_dev = NULL;
}

/* read_mac() - "06:00:AC:10:00:02" */
static void read_mac(const struct json_at *at, struct machine_net *n)
{
	const char *s = json_read_str(at, "guest_mac");
	char byte[3] = "";
	char *end;

	if (!s)
		return;
	if (strlen(s) != 17)
		goto bad;
	for (size_t i = 0; i < 6; i++) {
		memcpy(byte, s + 3 * i, 2);
		if (!strchr("0123456789abcdefABCDEF", byte[0]) || (i < 5 && s[3 * i + 2] != ':'))
			goto bad;
		n->mac[i] = (uint8_t)strtoul(byte, &end, 16);
		if (end != byte + 2)
			goto bad;
	}
	n->has_mac = true;
	return;
bad:
	json_fail(at, "guest_mac", EINVAL, "got '%.40s', want a MAC address", s);
}

static int check_net(struct fc_call *c, const struct machine_net *n, const char *dev)
{
	const struct machine_config *m = fc__config(c->f);

	if (!*dev || strlen(dev) >= IFNAMSIZ || strchr(dev, '%') || strchr(dev, '/'))
		return err_set(c->e, EINVAL, "host_dev_name: '%.64s' cannot be a device's name", dev);
	for (unsigned i = 0; i < m->n_nets; i++) {
		const struct machine_net *o = &m->net[i];

		if (str_eq(o->id, n->id))
			continue;
		if (n->has_mac && o->has_mac && memcmp(o->mac, n->mac, 6) == 0)
			return err_set(c->e, EEXIST, "The MAC address is already in use: by '%s'", o->id);
		if (str_eq(o->host_dev, dev))
			return err_set(c->e, EBUSY, "The host device '%s' is already in use: by '%s'", dev,
				       o->id);
	}
	return 0;
}

/* place_net() - where the card of that id stands, or will; what was there gives its tap back first. */
static struct machine_net *place_net(struct fc_call *c, const char *id)
{
	struct machine_config *m = &c->f->c;

	for (unsigned i = 0; i < m->n_nets; i++)
		if (str_eq(m->net[i].id, id))
			return &m->net[i];
	if (!fc__grow(c, (void **)&m->net, &m->n_nets, sizeof(*m->net), MACHINE_NETS_MAX,
		      "network interfaces"))
		return NULL;
	m->net[m->n_nets - 1].tap_fd = -1;
	return &m->net[m->n_nets - 1];
}

static int open_net(struct fc_call *c, struct machine_net *n, const char *dev)
{
	int r = fc__set_str(&n->host_dev, dev, c->e), fd;

	if (r < 0)
		return r;
	fd = c->f->m ? fc__ask(c->f, FC_FILE_TAP) : tun_open(dev, NULL);
	if (fd < 0)
		return err_sys(c->e, -fd, "Open tap device '%s'", dev);
	n->tap_fd = fd;
	return 0;
}

static int add_net(struct fc_call *c, struct machine_net *n, const char *dev)
{
	struct machine_config *m = &c->f->c;
	struct machine_net *place = NULL;
	int r;

	for (unsigned i = 0; i < m->n_nets && !c->f->m; i++)
		if (str_eq(m->net[i].id, n->id) && str_eq(m->net[i].host_dev, dev))
			fd_close(&m->net[i].tap_fd); /* the same one again: a tap has one owner */
	r = open_net(c, n, dev);
	if (r < 0)
		return r;
	if (c->f->m)
		return machine_net_add(c->f->m, n, c->e);
	place = place_net(c, n->id);
	if (!place)
		return -c->e->code;
	net_fini(place);
	*place = *n;
	n->host_dev = NULL;
	n->tap_fd = -1;
	return 0;
}

int fc__put_net(struct fc_call *c)
{
	struct machine_net n = { .kind = MACHINE_NET_TAP, .tap_fd = -1 };
	const struct json_at *b = c->body;
	const char *dev = json_read_str(b, "host_dev_name");
	uint64_t mtu;
	int r;

	fc__read_id(c, "iface_id", n.id);
	json_need(b, "host_dev_name");
	read_mac(b, &n);
	mtu = json_read_u64(b, "mtu", LINK_MTU_MAX, 0);
	if (json_has(b, "mtu") && mtu < LINK_MTU_MIN)
		json_fail(b, "mtu", EINVAL, "got %llu, want %d to %d", (unsigned long long)mtu, LINK_MTU_MIN,
			  LINK_MTU_MAX);
	n.mtu = (uint16_t)mtu;
	fc__read_limiter(b, "rx_rate_limiter", &n.rx);
	fc__read_limiter(b, "tx_rate_limiter", &n.tx);
	r = json_finish(b->doc);
	if (r == 0)
		r = check_net(c, &n, dev);
	if (r == 0)
		r = add_net(c, &n, dev);
	if (r < 0 || !c->f->m)
		net_fini(&n);
	return r;
}

int fc__patch_net(struct fc_call *c)
{
	const struct machine_config *m = fc__config(c->f);
	const struct json_at *b = c->body;
	struct limiter_config rx, tx;
	char id[MACHINE_NAME_MAX + 1];
	unsigned at = 0;
	int r;

	fc__read_id(c, "iface_id", id);
	r = json_finish(b->doc);
	if (r < 0)
		return r;
	while (at < m->n_nets && !str_eq(m->net[at].id, id))
		at++;
	if (at == m->n_nets)
		return err_set(c->e, ENOENT, "Network interface '%s': there is none", id);
	rx = m->net[at].rx;
	tx = m->net[at].tx;
	fc__read_limiter(b, "rx_rate_limiter", &rx);
	fc__read_limiter(b, "tx_rate_limiter", &tx);
	r = json_finish(b->doc);
	if (r < 0)
		return r;
	return machine_net_limit(c->f->m, id, json_has(b, "rx_rate_limiter") ? &rx : NULL,
				 json_has(b, "tx_rate_limiter") ? &tx : NULL, c->e);
}

/* --- vsock ---------------------------------------------------------------------------------------------------- */

int fc__put_vsock(struct fc_call *c)
{
	const struct json_at *b = c->body;
	const char *path = json_read_str(b, "uds_path");
	uint64_t cid = json_read_u64(b, "guest_cid", UINT32_MAX, 0);
	struct stat st;
	int r;

	json_need(b, "guest_cid");
	json_need(b, "uds_path");
	json_read_str(b, "vsock_id");
	c->deprecated = json_has(b, "vsock_id");
	r = json_finish(b->doc);
	if (r < 0)
		return r;
	if (cid < 3)
		return err_set(c->e, EINVAL, "guest_cid: got %llu, want 3 or more", (unsigned long long)cid);
	if (!*path || strlen(path) > 100)
		return err_set(c->e, EINVAL, "uds_path: want a path of 1 to 100 bytes");
	if (file_fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(c->e, EADDRINUSE, "uds_path '%s': is there already", path);
	r = fc__set_str(&c->f->c.vsock.uds_path, path, c->e);
	if (r < 0)
		return r;
	c->f->c.vsock.cid = cid;
	c->f->c.vsock.on = true;
	return 0;
}

/* --- entropy, serial ------------------------------------------------------------------------------------------ */

int fc__put_entropy(struct fc_call *c)
{
	struct limiter_config limit = { 0 };
	int r;

	fc__read_limiter(c->body, "rate_limiter", &limit);
	r = json_finish(c->body->doc);
	if (r < 0)
		return r;
	c->f->c.rng = true;
	c->f->c.rng_limit = limit;
	return 0;
}

int fc__put_serial(struct fc_call *c)
{
	const char *path = json_read_str(c->body, "serial_out_path");
	struct limiter_config limit = { 0 };
	int r;

	fc__read_bucket(c->body, "rate_limiter", &limit.bytes);
	r = json_finish(c->body->doc);
	if (r == 0 && path)
		r = fc__open(c->f, &c->f->serial, FC_FILE_DISK, path, O_RDWR | O_CREAT | O_APPEND,
			     "Serial output", c->e);
	if (r == 0)
		c->f->c.serial_limit = limit;
	return r;
}

/* --- the metadata service ------------------------------------------------------------------------------------- */

static int read_ipv4(const struct json_at *at, uint32_t *ret)
{
	const char *s = json_read_str(at, "ipv4_address");
	struct in_addr in;

	*ret = 0;
	if (!s)
		return 0;
	if (inet_pton(AF_INET, s, &in) != 1)
		json_fail(at, "ipv4_address", EINVAL, "got '%.40s', want an IPv4 address", s);
	else
		*ret = ntohl(in.s_addr);
	return 0;
}

static struct machine_net *find_net(struct machine_config *m, const char *id)
{
	for (unsigned i = 0; id && i < m->n_nets; i++)
		if (str_eq(m->net[i].id, id))
			return &m->net[i];
	return NULL;
}

/* check_ifaces() - the list is not empty, and each is there. */
static int check_ifaces(struct fc_call *c, const struct json_at *list)
{
	json_need(c->body, "network_interfaces");
	for (size_t i = 0; i < json_count(list); i++) {
		struct json_at at = json_item(list, i);

		if (!find_net(&c->f->c, json_read_str(&at, NULL)))
			json_fail(&at, NULL, EINVAL, "there is no such network interface");
	}
	if (json_finish(c->body->doc) < 0)
		return c->body->doc->rc;
	if (json_count(list) == 0)
		return err_set(c->e, EINVAL, "The list of network interfaces is empty");
	return 0;
}

int fc__put_mmds_config(struct fc_call *c)
{
	static const struct json_name versions[] = { { "V1", MMDS_V1 }, { "V2", MMDS_V2 } };
	struct json_at list = json_read_list(c->body, "network_interfaces");
	struct mmds_config m = { .imds_compat = json_read_bool(c->body, "imds_compat", false) };
	int r;

	m.version = (enum mmds_version)json_read_name(c->body, "version", versions, 2, MMDS_V1);
	read_ipv4(c->body, &m.ipv4_address);
	r = check_ifaces(c, &list);
	if (r == 0)
		r = mmds_configure(c->f->mmds, &m, c->e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < c->f->c.n_nets; i++)
		c->f->c.net[i].mmds = false;
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at at = json_item(&list, i);

		find_net(&c->f->c, json_read_str(&at, NULL))->mmds = true;
	}
	c->f->has_mmds_config = true;
	c->deprecated = m.version == MMDS_V1;
	return 0;
}

int fc__get_mmds(struct fc_call *c)
{
	if (mmds_has_data(c->f->mmds))
		mmds_get(c->f->mmds, c->out.to);
	else
		buf_puts(c->out.to, "{}");
	return 0;
}

static int mmds_status(struct fc_call *c, int r)
{
	if (r == -EMSGSIZE)
		c->status = 413;
	return r;
}

int fc__put_mmds(struct fc_call *c)
{
	return mmds_status(c, mmds_put(c->f->mmds, c->text, c->len, c->e));
}

int fc__patch_mmds(struct fc_call *c)
{
	return mmds_status(c, mmds_patch(c->f->mmds, c->text, c->len, c->e));
}
