/* SPDX-License-Identifier: Apache-2.0 */
/* kvm.h - /dev/kvm: open, ask, map; what the calls mean is engine/kvm's */
#ifndef SYS_KVM_H
#define SYS_KVM_H

#include <stddef.h>

/* kvm_open() - /dev/kvm, close-on-exec. Return: descriptor or -errno. */
int kvm_open(void);

/* kvm_ioctl() - one request, never retried: -EINTR is an answer of KVM_RUN. @arg: pointer or number. Return: >= 0 or -errno. */
long kvm_ioctl(int fd, unsigned long request, const void *arg);
long kvm_ioctl_n(int fd, unsigned long request, unsigned long arg);

/* kvm_map() - the exchange page(s) of a processor. Return: 0 and *ret_p, or -errno. */
int kvm_map(int cpu_fd, size_t size, void **ret_p);
void kvm_unmap(void *p, size_t size); /* takes NULL */

#endif
