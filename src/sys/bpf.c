/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/bpf.h"

#include <linux/bpf.h>
#include <string.h>

#include "base/err.h"
#include "sys/call.h"

/* Every descriptor bpf(2) makes is close-on-exec by itself. */
static int bpf_do(int cmd, union bpf_attr *attr)
{
	long r;

	do {
		r = SYS3(SYS_bpf, cmd, attr, sizeof(*attr));
	} while (r == -EAGAIN); /* the verifier was interrupted by a signal */
	return (int)r;
}

int bpf_load_device(const struct bpf_insn *insn, size_t n, struct err *e)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr)); /* the kernel refuses an attribute whose padding is not zero */
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)insn;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uintptr_t)license;
	attr.expected_attach_type = BPF_CGROUP_DEVICE;
	memcpy(attr.prog_name, "hull_device", sizeof("hull_device"));
	fd = bpf_do(BPF_PROG_LOAD, &attr);
	if (fd == -EPERM)
		return err_sys(
			e, EPERM,
			"device filter: BPF_PROG_LOAD (wants CAP_BPF or CAP_SYS_ADMIN in the first user "
			"namespace; before Linux 5.11 RLIMIT_MEMLOCK too)");
	return fd < 0 ? err_sys(e, -fd, "device filter: BPF_PROG_LOAD of %zu instructions", n) : fd;
}

int bpf_attach_device(int cgroup_fd, int prog_fd)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	return bpf_do(BPF_PROG_ATTACH, &attr);
}

int bpf_detach_device(int cgroup_fd, int prog_fd)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	return bpf_do(BPF_PROG_DETACH, &attr);
}

int bpf_query_device(int cgroup_fd, uint32_t ret_ids[BPF_ATTACHED_MAX])
{
	union bpf_attr attr;
	int r;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uintptr_t)ret_ids;
	attr.query.prog_cnt = BPF_ATTACHED_MAX;
	r = bpf_do(BPF_PROG_QUERY, &attr);
	return r < 0 ? r : (int)attr.query.prog_cnt;
}

int bpf_open_id(uint32_t id)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id;
	return bpf_do(BPF_PROG_GET_FD_BY_ID, &attr);
}
