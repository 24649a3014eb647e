/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_test.h - a box for tests: a small tree, a child in new namespaces that builds a root from it,
 * and ways to look
 */
#ifndef CONTAINER_ROOTFS_TEST_H
#define CONTAINER_ROOTFS_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/rootfs.h"
#include "fmt/oci.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/ns.h"

enum { NS_ALL = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP };

#define NS_JSON                                                                                              \
	"\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"     \
	"{\"type\":\"network\"},{\"type\":\"cgroup\"}"
#define PROC_MOUNT "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"}"
#define DEV_MOUNT                                                                                            \
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\","         \
	"\"strictatime\",\"mode=755\",\"size=65536k\"]}"
#define PTS_MOUNT                                                                                            \
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\","   \
	"\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]}"

/* What a test's child works with. */
struct box {
	char dir[64]; /* temporary directory: root/ vol/ outside/ */
	struct arena arena;
	struct oci_spec spec;
	struct ct_rootfs r;
	int rootfd;
	int fds[16]; /* from ct_mount_open_sources() */
	struct err e;
};

/* In the child: say what was wanted and got, and fail the test. */
#define CHECK(cond, ...)                                                                                     \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond);                           \
			fprintf(stderr, __VA_ARGS__);                                                        \
			fputc('\n', stderr);                                                                 \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)
#define CHECK_INT(got, want)                                                                                 \
	do {                                                                                                 \
		long got_ = (got), want_ = (want);                                                           \
		CHECK(got_ == want_, "got %ld, want %ld", got_, want_);                                      \
	} while (0)

static inline const char *in(struct box *b, const char *rel)
{
	static char path[4][256];
	static int turn;

	turn = (turn + 1) % 4;
	str_format(path[turn], sizeof(path[turn]), "%s/%s", b->dir, rel);
	return path[turn];
}

static inline void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %m", path);
	close(fd);
}

static inline const char *get_file(const char *path)
{
	static char text[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : file_read(fd, text, sizeof(text) - 1);

	CHECK(n >= 0, "%s: %m", path);
	close(fd);
	text[n] = '\0';
	return text;
}

/* mount_line() - the last mountinfo line of @mountpoint, or NULL; the line's fields are as in proc(5). */
static inline const char *mount_line(const char *mountpoint)
{
	static char found[1024];
	static struct buf b;
	char *save = NULL;

	buf_fini(&b);
	b = (struct buf){ 0 };
	CHECK_INT(file_slurp_at(AT_FDCWD, "/proc/self/mountinfo", &b, 1 << 20), 0);
	found[0] = '\0';
	for (char *l = strtok_r(b.data, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char point[512];

		if (sscanf(l, "%*s %*s %*s %*s %511s", point) == 1 && str_eq(point, mountpoint))
			str_copy(found, sizeof(found), l);
	}
	return found[0] ? found : NULL;
}

/* mount_opts() - the per-mount options in it: "rw,nosuid,relatime" */
static inline const char *mount_opts(const char *mountpoint)
{
	static char opts[256];
	const char *line = mount_line(mountpoint);

	CHECK(line, "%s is not mounted", mountpoint);
	CHECK_INT(sscanf(line, "%*s %*s %*s %*s %*s %255s", opts), 1);
	return opts;
}

static inline bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ',') && (p[n] == '\0' || p[n] == ','))
			return true;
	return false;
}

static inline void parse(struct box *b, const char *json)
{
	CHECK(oci_spec_parse(&b->spec, json, strlen(json), &b->arena, &b->e) == 0, "%s", b->e.text);
	b->r.spec = &b->spec;
}

/*
 * box_spec() - a configuration from its parts; @mounts and @linux are JSON list and object members, @top
 * goes before them.
 */
static inline void box_spec(struct box *b, const char *top, const char *mounts, const char *linux_members)
{
	auto_fini(buf) struct buf json = { 0 };

	buf_printf(&json, "{\"ociVersion\":\"1.3.0\",%s%s\"mounts\":[%s],\"linux\":{" NS_JSON "%s]%s%s}}",
		   strstr(top, "\"root\"") ? "" : "\"root\":{\"path\":\"root\"},", top, mounts,
		   strstr(linux_members, "uidMappings") ? ",{\"type\":\"user\"}" : "",
		   *linux_members ? "," : "", linux_members);
	parse(b, buf_str(&json));
}

static inline int prepare(struct box *b)
{
	b->e = (struct err){ 0 };
	return ct_rootfs_prepare(&b->r, &b->rootfd, &b->e);
}

static inline void build(struct box *b)
{
	CHECK(prepare(b) == 0, "%s", b->e.text);
	CHECK(ct_rootfs_enter(&b->r, b->rootfd, &b->e) == 0, "%s", b->e.text);
}

/* refused() - the root cannot be made, with @code and a text that has @word in it. */
static inline void refused(struct box *b, int code, const char *word)
{
	int r = prepare(b);

	if (r == 0)
		r = ct_rootfs_enter(&b->r, b->rootfd, &b->e);
	CHECK(r == -code, "got %d '%s', want %d", r, b->e.text, -code);
	CHECK(strstr(b->e.text, word), "got '%s', want '%s' in it", b->e.text, word);
}

typedef void (*box_fn)(struct box *b);

static inline void box_open(struct box *b)
{
	static const char *const dirs[] = { "root",     "root/proc", "root/sys", "root/dev",
					    "root/etc", "vol",       "outside" };

	*b = (struct box){ .rootfd = -1, .r = { .rootfs_fd = -1 } };
	str_copy(b->dir, sizeof(b->dir), "/tmp/hull-rootfs-test.XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	assert_int_equal(chmod(b->dir, 0755), 0);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(mkdir(in(b, dirs[i]), 0755), 0);
	b->r.rootfs = arena_strdup(&b->arena, in(b, "root"));
}

/*
 * in_namespaces() - @before in a process of its own, @fn in its child in new namespaces. Return: exit
 * status, 0 when good.
 */
static inline int in_namespaces(struct box *b, uint64_t flags, box_fn before, box_fn fn)
{
	int status = -1;
	pid_t pid;

	if (before)
		before(b);
	pid = ns_clone(flags, -1, NULL);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(b);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status ? 1 : 0;
}

/* run_box() - one test: what it makes is gone afterwards, whatever became of it. */
static inline void run_box(uint64_t flags, box_fn before, box_fn fn)
{
	struct box b;
	int status = -1;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("skip: needs root\n");
		skip();
	}
	box_open(&b);
	pid = fork();
	if (pid == 0)
		_exit(in_namespaces(&b, flags, before, fn));
	if (pid > 0)
		waitpid(pid, &status, 0);
	arena_fini(&b.arena);
	assert_int_equal(file_remove_tree(AT_FDCWD, b.dir, NULL), 0);
	assert_true(pid > 0);
	assert_int_equal(status, 0);
}

static inline void check_device(const char *path, unsigned major_nr, unsigned minor_nr)
{
	struct stat st;

	CHECK(lstat(path, &st) == 0 && S_ISCHR(st.st_mode), "%s: %m", path);
	CHECK_INT(major(st.st_rdev), major_nr);
	CHECK_INT(minor(st.st_rdev), minor_nr);
	CHECK_INT(st.st_mode & 0777, 0666);
}

static inline void check_link(const char *path, const char *want)
{
	char got[256];
	ssize_t n = readlink(path, got, sizeof(got) - 1);

	CHECK(n > 0, "%s: %m", path);
	got[n] = '\0';
	CHECK(str_eq(got, want), "%s: got %s, want %s", path, got, want);
}

#endif
