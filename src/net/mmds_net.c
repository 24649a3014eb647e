/* SPDX-License-Identifier: Apache-2.0 */
#include "net/mmds.h"

#include <errno.h>

#include "base/err.h"

int mmds_net_new(struct mmds_net **ret_n, struct mmds *m, struct loop *loop, void (*ready)(void *arg),
		 void *arg, struct err *e)
{
	(void)ret_n;
	(void)m;
	(void)loop;
	(void)ready;
	(void)arg;
	return err_set(e, EOPNOTSUPP, "no metadata service yet");
}

void mmds_net_free(struct mmds_net *n)
{
	(void)n;
}

void mmds_net_reset(struct mmds_net *n)
{
	(void)n;
}

bool mmds_net_send(struct mmds_net *n, const struct iovec *iov, unsigned n_iov)
{
	(void)n;
	(void)iov;
	(void)n_iov;
	return false;
}

long mmds_net_recv(struct mmds_net *n, const struct iovec *iov, unsigned n_iov)
{
	(void)n;
	(void)iov;
	(void)n_iov;
	return -EAGAIN;
}

const struct mmds_counts *mmds_net_counts(const struct mmds_net *n)
{
	(void)n;
	return NULL;
}
