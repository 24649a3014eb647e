/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/kvm.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "sys/call.h"
#include "sys/file.h"

int kvm_open(void)
{
	return file_open(AT_FDCWD, "/dev/kvm", O_RDWR | O_CLOEXEC, 0);
}

long kvm_ioctl(int fd, unsigned long request, const void *arg)
{
	return SYS3(SYS_ioctl, fd, request, arg);
}

long kvm_ioctl_n(int fd, unsigned long request, unsigned long arg)
{
	return SYS3(SYS_ioctl, fd, request, arg);
}

int kvm_map(int cpu_fd, size_t size, void **ret_p)
{
	long r = SYS6(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu_fd, 0);

	if (r < 0 && r > -4096)
		return (int)r;
	*ret_p = (void *)r;
	return 0;
}

void kvm_unmap(void *p, size_t size)
{
	if (p)
		SYS2(SYS_munmap, p, size);
}
