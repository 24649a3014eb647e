/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's side is played by the test: what it says is written before the request is served. */
#include "api/firecracker_front.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"
#include "sys/file.h"
#include "sys/sock.h"

static struct {
	char path[64];
	enum fc_how how;
	unsigned n;
} opened;

/* note_open() - nothing of the host's is opened; what would have been is remembered. */
static int note_open(const char *path, enum fc_how how)
{
	str_copy(opened.path, sizeof(opened.path), path);
	opened.how = how;
	opened.n++;
	return str_eq(path, "none") ? -ENOENT : file_open(AT_FDCWD, "/dev/null", O_RDWR, 0);
}

struct fixture {
	struct fc_front f;
	struct http_request head;
	struct http_server_request q;
	struct http_server_reply reply;
	int machine; /* its end of the pair */
};

static void up(struct fixture *x)
{
	static const struct fc_options o = { .payload_max = FC_PAYLOAD_DEFAULT,
					     .mmds_max = FC_PAYLOAD_DEFAULT };
	int pair[2];

	memset(x, 0, sizeof(*x));
	memset(&opened, 0, sizeof(opened));
	fc__front_init(&x->f, &o);
	assert_int_equal(loop_init(&x->f.loop), 0);
	assert_int_equal(sock_pair(SOCK_STREAM, pair), 0);
	x->f.pair = pair[0];
	x->machine = pair[1];
	x->f.open = note_open;
}

static void down(struct fixture *x)
{
	buf_fini(&x->reply.body);
	loop_fini(&x->f.loop);
	fd_close(&x->f.pair);
	fd_close(&x->machine);
}

static void say(struct fixture *x, uint32_t kind, const void *bytes, size_t len)
{
	const struct fc_part part = { bytes, len };

	assert_int_equal(fc__msg_send(x->machine, (enum fc_msg_kind)kind, &part, 1), 0);
}

static void say_runs(struct fixture *x)
{
	const struct fc_msg_drive d[] = { { "ro", 1 }, { "rw", 0 } };

	say(x, FC_MSG_RUNS, d, sizeof(d));
}

static void say_open(struct fixture *x, uint32_t which)
{
	say(x, FC_MSG_OPEN, &which, sizeof(which));
}

static void say_reply(struct fixture *x, uint32_t status)
{
	const struct fc_msg_reply m = { .status = status };

	say(x, FC_MSG_REPLY, &m, sizeof(m));
}

/* serve() - one request; the machine has said its part already. Return: the status. */
static int serve(struct fixture *x, enum http_method method, const char *target, const char *body)
{
	buf_fini(&x->reply.body);
	x->head = (struct http_request){ .method = method, .target = target };
	x->q = (struct http_server_request){ .head = &x->head, .body = body, .len = body ? strlen(body) : 0 };
	x->reply = (struct http_server_reply){ .status = 200 };
	fc__front_serve(&x->f, &x->q, &x->reply);
	return x->reply.status;
}

/* got() - the next message that came to the machine; its descriptor, or -1, in *ret_fd. */
static uint32_t got(struct fixture *x, char *dst, size_t size, int *ret_fd)
{
	struct fc_msg m;

	assert_int_equal(sock_recv_fd(x->machine, &m, sizeof(m), ret_fd), sizeof(m));
	assert_true(m.len < size);
	assert_int_equal(file_read(x->machine, dst, m.len), m.len);
	dst[m.len] = '\0';
	return m.kind;
}

static void test_front_passes_a_request_on_and_its_reply_back(void **state)
{
	struct fixture x;
	const struct {
		struct fc_msg_reply m;
		char body[4];
	} __attribute__((packed)) reply = { { .status = 400, .has_body = 1, .deprecated = 1 }, "{ok}" };
	struct fc_msg_request m;
	char text[512];
	int fd;

	(void)state;
	up(&x);
	say(&x, FC_MSG_REPLY, &reply, sizeof(reply));
	assert_int_equal(serve(&x, HTTP_PUT, "/vsock", "{\"guest_cid\":3}"), 400);
	assert_true(x.reply.has_body && x.reply.deprecated);
	assert_int_equal(x.reply.body.len, 4);
	assert_memory_equal(x.reply.body.data, "{ok}", 4);
	assert_int_equal(got(&x, text, sizeof(text), &fd), FC_MSG_REQUEST);
	memcpy(&m, text, sizeof(m));
	assert_int_equal(m.method, HTTP_PUT);
	assert_string_equal(text + sizeof(m), "/vsock");
	assert_string_equal(text + sizeof(m) + m.target_len, "{\"guest_cid\":3}");
	assert_int_equal(opened.n, 0);
	down(&x);
}

static void test_front_opens_what_the_request_names_as_its_table_says(void **state)
{
	static const struct {
		enum http_method method;
		const char *target, *body;
		uint32_t which;
		const char *path;
		enum fc_how how;
	} row[] = {
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}", FC_FILE_DISK, "a",
		  FC_HOW_WRITE },
		{ HTTP_PATCH, "/drives/ro", "{\"drive_id\":\"ro\",\"path_on_host\":\"b\"}", FC_FILE_DISK, "b",
		  FC_HOW_READ },
		{ HTTP_PUT, "/drives/c", "{\"drive_id\":\"c\",\"path_on_host\":\"c\"}", FC_FILE_DISK, "c",
		  FC_HOW_WRITE },
		{ HTTP_PUT, "/drives/d", "{\"drive_id\":\"d\",\"is_read_only\":true,\"path_on_host\":\"d\"}",
		  FC_FILE_DISK, "d", FC_HOW_READ },
		{ HTTP_PATCH, "/drives/d", "{\"drive_id\":\"d\",\"path_on_host\":\"e\"}", FC_FILE_DISK, "e",
		  FC_HOW_READ },
		{ HTTP_PUT, "/pmem/p", "{\"id\":\"p\",\"read_only\":true,\"path_on_host\":\"f\"}",
		  FC_FILE_DISK, "f", FC_HOW_READ },
		{ HTTP_PUT, "/network-interfaces/n", "{\"iface_id\":\"n\",\"host_dev_name\":\"tap0\"}",
		  FC_FILE_TAP, "tap0", FC_HOW_TAP },
		{ HTTP_PUT, "/snapshot/create", "{\"snapshot_path\":\"s\",\"mem_file_path\":\"m\"}",
		  FC_FILE_STATE, "s", FC_HOW_MAKE },
		{ HTTP_PUT, "/snapshot/create", "{\"snapshot_path\":\"s\",\"mem_file_path\":\"m\"}",
		  FC_FILE_MEM, "m", FC_HOW_MAKE },
		{ HTTP_PUT, "/snapshot/create", "{\"snapshot_path\":\"none\",\"mem_file_path\":\"m\"}",
		  FC_FILE_STATE, "none", FC_HOW_MAKE },
	};
	struct fixture x;

	(void)state;
	up(&x);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		char text[512];
		int64_t rc;
		int fd;

		if (i == 0)
			say_runs(&x);
		say_open(&x, row[i].which);
		say_reply(&x, 204);
		opened.n = 0;
		assert_int_equal(serve(&x, row[i].method, row[i].target, row[i].body), 204);
		assert_int_equal(opened.n, 1);
		assert_string_equal(opened.path, row[i].path);
		assert_int_equal(opened.how, row[i].how);
		assert_int_equal(got(&x, text, sizeof(text), &fd), FC_MSG_REQUEST);
		assert_int_equal(got(&x, text, sizeof(text), &fd), FC_MSG_FILE);
		memcpy(&rc, text, sizeof(rc));
		assert_int_equal(rc, str_eq(row[i].path, "none") ? -ENOENT : 0);
		assert_int_equal(fd >= 0, rc == 0);
		fd_close(&fd);
	}
	down(&x);
}

static void test_front_opens_nothing_that_the_request_does_not_name(void **state)
{
	static const struct {
		enum http_method method;
		const char *target, *body;
		uint32_t which;
		bool early; /* no guest runs yet */
	} row[] = {
		{ HTTP_GET, "/vm/config", NULL, FC_FILE_DISK, false },
		{ HTTP_GET, "/drives/rw", NULL, FC_FILE_DISK, false },
		{ HTTP_PATCH, "/vm", "{\"state\":\"Paused\",\"path_on_host\":\"a\"}", FC_FILE_DISK, false },
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}", FC_FILE_STATE,
		  false },
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}", FC_FILE_TAP,
		  false },
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}", 7, false },
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}", 0xffffffff,
		  false },
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}", FC_FILE_DISK,
		  true },
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\"}", FC_FILE_DISK, false },
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":{}}", FC_FILE_DISK,
		  false },
		{ HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"", FC_FILE_DISK,
		  false },
		{ HTTP_PATCH, "/drives/xx", "{\"drive_id\":\"xx\",\"path_on_host\":\"a\"}", FC_FILE_DISK,
		  false },
		{ HTTP_PUT, "/drivesx/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}", FC_FILE_DISK,
		  false },
		{ HTTP_DELETE, "/drives/rw", NULL, FC_FILE_DISK, false },
		{ HTTP_PUT, "/snapshot/create/x", "{\"snapshot_path\":\"s\"}", FC_FILE_STATE, false },
		{ HTTP_PUT, "/snapshot/load", "{\"snapshot_path\":\"s\"}", FC_FILE_STATE, false },
		{ HTTP_PUT, "/logger", "{\"log_path\":\"s\"}", FC_FILE_DISK, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct fixture x;

		up(&x);
		if (!row[i].early)
			say_runs(&x);
		say_open(&x, row[i].which);
		say_reply(&x, 204);
		assert_int_equal(serve(&x, row[i].method, row[i].target, row[i].body), 500);
		assert_true(x.f.broken);
		assert_int_equal(opened.n, 0);
		assert_int_equal(serve(&x, HTTP_GET, "/", NULL), 500); /* nothing is asked of it any more */
		down(&x);
	}
}

static void test_front_opens_a_file_once_for_a_request(void **state)
{
	struct fixture x;

	(void)state;
	up(&x);
	say_runs(&x);
	say_open(&x, FC_FILE_DISK);
	say_open(&x, FC_FILE_DISK);
	assert_int_equal(serve(&x, HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}"),
			 500);
	assert_int_equal(opened.n, 1);
	assert_true(x.f.broken);
	down(&x);
}

static void test_front_learns_once_which_drives_are_read_only(void **state)
{
	const struct fc_msg_drive rw = { "ro", 0 };
	struct fixture x;

	(void)state;
	up(&x);
	say_runs(&x);
	say(&x, FC_MSG_RUNS, &rw, sizeof(rw));
	assert_int_equal(serve(&x, HTTP_GET, "/", NULL), 500);
	assert_true(x.f.broken);
	down(&x);

	up(&x);
	say_runs(&x);
	say_reply(&x, 204);
	assert_int_equal(serve(&x, HTTP_DELETE, "/drives/rw", NULL), 204);
	say_open(&x, FC_FILE_DISK); /* a drive that was unplugged is none */
	assert_int_equal(serve(&x, HTTP_PATCH, "/drives/rw", "{\"drive_id\":\"rw\",\"path_on_host\":\"a\"}"),
			 500);
	assert_int_equal(opened.n, 0);
	down(&x);
}

static void test_front_refuses_messages_that_do_not_belong(void **state)
{
	static const struct fc_msg_reply odd[] = {
		{ .status = 404 },
		{ .status = 0 },
		{ .status = 200, .has_body = 2 },
		{ .status = 200, .deprecated = 9 },
	};
	static const struct fc_msg_drive none = { "", 0 }, three = { "a", 3 };
	struct fc_msg_drive endless = { .readonly = 0 };
	char bytes[sizeof(struct fc_msg_drive) * MACHINE_DRIVES_MAX + 66];
	struct {
		uint32_t kind;
		const void *bytes;
		size_t len;
	} row[] = {
		{ 0, "", 0 },
		{ FC_MSG_REQUEST, bytes, 0 },
		{ FC_MSG_FILE, bytes, 8 },
		{ FC_MSG_REFUSED, bytes, 3 },
		{ 77, bytes, 9 },
		{ FC_MSG_OPEN, bytes, 3 },
		{ FC_MSG_OPEN, bytes, 5 },
		{ FC_MSG_REPLY, bytes, 0 },
		{ FC_MSG_REPLY, bytes, sizeof(odd[0]) - 1 },
		{ FC_MSG_REPLY, &odd[0], sizeof(odd[0]) },
		{ FC_MSG_REPLY, &odd[1], sizeof(odd[0]) },
		{ FC_MSG_REPLY, &odd[2], sizeof(odd[0]) },
		{ FC_MSG_REPLY, &odd[3], sizeof(odd[0]) },
		{ FC_MSG_RUNS, bytes, sizeof(struct fc_msg_drive) - 1 },
		{ FC_MSG_RUNS, bytes, sizeof(bytes) },
		{ FC_MSG_RUNS, &none, sizeof(none) },
		{ FC_MSG_RUNS, &three, sizeof(three) },
		{ FC_MSG_RUNS, &endless, sizeof(endless) },
	};

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	memset(endless.id, 'x', sizeof(endless.id));
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct fixture x;

		up(&x);
		say(&x, row[i].kind, row[i].bytes, row[i].len);
		say_reply(&x, 204);
		assert_int_equal(serve(&x, HTTP_GET, "/", NULL), 500);
		assert_true(x.f.broken);
		assert_false(x.f.runs);
		down(&x);
	}
}

static void test_front_makes_no_room_for_what_is_only_promised(void **state)
{
	const struct fc_msg m = { .kind = FC_MSG_REPLY, .len = UINT64_MAX };
	struct fixture x;

	(void)state;
	up(&x);
	assert_int_equal(file_write(x.machine, &m, sizeof(m)), 0);
	assert_int_equal(serve(&x, HTTP_GET, "/", NULL), 500);
	assert_true(x.f.broken);
	down(&x);
}

static void test_front_takes_no_descriptors_from_the_machine(void **state)
{
	struct {
		struct fc_msg h;
		struct fc_msg_reply m;
	} msg = { { .kind = FC_MSG_REPLY, .len = sizeof(struct fc_msg_reply) }, { .status = 204 } };
	int before[64], after[64], n;
	struct fixture x;

	(void)state;
	up(&x);
	n = fd_list(before, 64);
	assert_int_equal(sock_send_fd(x.machine, &msg, sizeof(msg), STDERR_FILENO), sizeof(msg));
	assert_int_equal(serve(&x, HTTP_GET, "/", NULL), 204);
	assert_int_equal(fd_list(after, 64), n);
	down(&x);
}

static void test_front_answers_500_when_the_machine_is_gone(void **state)
{
	struct fixture x;

	(void)state;
	up(&x);
	fd_close(&x.machine);
	assert_int_equal(serve(&x, HTTP_GET, "/", NULL), 500);
	down(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_front_passes_a_request_on_and_its_reply_back),
		cmocka_unit_test(test_front_opens_what_the_request_names_as_its_table_says),
		cmocka_unit_test(test_front_opens_nothing_that_the_request_does_not_name),
		cmocka_unit_test(test_front_opens_a_file_once_for_a_request),
		cmocka_unit_test(test_front_learns_once_which_drives_are_read_only),
		cmocka_unit_test(test_front_refuses_messages_that_do_not_belong),
		cmocka_unit_test(test_front_makes_no_room_for_what_is_only_promised),
		cmocka_unit_test(test_front_takes_no_descriptors_from_the_machine),
		cmocka_unit_test(test_front_answers_500_when_the_machine_is_gone),
	};

	signal(SIGPIPE, SIG_IGN); /* the process itself counts them */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
