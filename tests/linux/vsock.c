// SPDX-License-Identifier: Apache-2.0
/* vsock PORT: standard input to a port of the host's, and what it answers to standard output. */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int copy(int from, int to)
{
	static char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (write(to, buf, n) != n)
			return 1;
	return n < 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_vm host = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	host.svm_port = argc > 1 ? atoi(argv[1]) : 0;
	if (fd < 0 || connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0) {
		perror("vsock");
		return 1;
	}
	if (copy(0, fd) || shutdown(fd, SHUT_WR) < 0)
		return 1;
	return copy(fd, 1);
}
