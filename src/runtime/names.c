/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/names.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"

enum { HOST_FILE_MAX = 1 << 20 };

static int put_file(int dirfd, const char *name, const struct buf *text, struct err *e)
{
	auto_close int fd = file_open(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
	int r = fd;

	if (r >= 0)
		r = fchmod(fd, 0644) < 0 ? -errno : 0; /* whatever the umask */
	if (r >= 0)
		r = buf_finish(text);
	if (r >= 0)
		r = file_write(fd, buf_str(text), text->len);
	return r < 0 ? err_sys(e, -r, "write %s", name) : 0;
}

/* put_extra() - --add-host NAME:ADDRESS */
static void put_extra(struct buf *b, const json_t *list)
{
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		const char *text = json_string_value(one);
		size_t len = text ? strcspn(text, ":=") : 0;

		if (text && text[len])
			buf_printf(b, "%s\t%.*s\n", text + len + 1, (int)len, text);
	}
}

static int write_hosts(int dirfd, const json_t *host, bool shared, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };

	if (shared)
		file_slurp_at(AT_FDCWD, "/etc/hosts", &b, HOST_FILE_MAX);
	if (b.len == 0)
		buf_puts(&b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost "
			     "ip6-loopback\nfe00::\tip6-localnet\n"
			     "ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
	put_extra(&b, json_object_get(host, "ExtraHosts"));
	return put_file(dirfd, "hosts", &b, e);
}

static int write_resolv(int dirfd, const json_t *host, bool shared, struct err *e)
{
	const json_t *dns = json_object_get(host, "Dns");
	auto_fini(buf) struct buf b = { 0 };
	json_t *one;
	size_t i;

	if (shared && json_array_size(dns) == 0)
		file_slurp_at(AT_FDCWD, "/etc/resolv.conf", &b, HOST_FILE_MAX);
	json_array_foreach(dns, i, one) buf_printf(&b, "nameserver %s\n", json_string_value(one));
	return put_file(dirfd, "resolv.conf", &b, e);
}

int names_write(int dirfd, const json_t *config, struct err *e)
{
	const json_t *host = json_object_get(config, "HostConfig");
	const char *hostname = instance__str(config, "Config", "Hostname");
	bool shared = str_eq(instance__str(host, NULL, "NetworkMode"), "host");
	auto_fini(buf) struct buf line = { 0 };
	int r = write_hosts(dirfd, host, shared, e);

	if (r >= 0)
		r = write_resolv(dirfd, host, shared, e);
	buf_printf(&line, "%s\n", hostname ? hostname : "localhost");
	return r < 0 ? r : put_file(dirfd, "hostname", &line, e);
}
