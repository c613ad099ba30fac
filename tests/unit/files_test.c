// SPDX-License-Identifier: GPL-2.0-only
/* Open files: what a restore refuses of damaged images and changed files, and what a dump refuses of a process. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/arena.h"
#include "criu-like/state/files.h"

#define MAX_FILES 4
#define MAX_FDS 4

/* Images of one process, 100, and what a restore makes of them. */
struct images {
	char path[64];
	FileEntry files[MAX_FILES];
	size_t nr_files;
	FdinfoEntry fds[MAX_FDS], *fdp[MAX_FDS];
	size_t nr_fds;
	RegFileEntry reg;
	PipeEntry pipe;
	UnixSkEntry usk;
	InetSkEntry isk;
	EventpollFileEntry epfd;
	EventpollTfdEntry tfd, *tfds[1];
	EventfdFileEntry efd;
	FownEntry fown;
	SkOptsEntry opts;
	uint32_t words[4];
	PipeDataEntry *pipe_data;
	SkPacketEntry *packet;
	struct diag diag;
};

static int setup(void **state)
{
	struct images *im = test_calloc(1, sizeof(*im));

	strcpy(im->path, "/tmp/files_test.XXXXXX");
	assert_non_null(mkdtemp(im->path));
	diag_init(&im->diag, -1, DIAG_ERROR);
	fown_entry__init(&im->fown);
	reg_file_entry__init(&im->reg);
	pipe_entry__init(&im->pipe);
	unix_sk_entry__init(&im->usk);
	inet_sk_entry__init(&im->isk);
	eventpoll_file_entry__init(&im->epfd);
	eventpoll_tfd_entry__init(&im->tfd);
	eventfd_file_entry__init(&im->efd);
	sk_opts_entry__init(&im->opts);
	im->reg.fown = im->pipe.fown = im->usk.fown = im->isk.fown = im->epfd.fown = im->efd.fown = &im->fown;
	im->usk.opts = im->isk.opts = &im->opts;
	im->reg.name = (char *)"/dev/null";
	im->reg.id = im->pipe.id = im->usk.id = im->isk.id = im->epfd.id = 1;
	im->efd.id = 2;
	im->tfds[0] = &im->tfd;
	for (size_t i = 0; i < MAX_FDS; i++)
		im->fdp[i] = &im->fds[i];
	*state = im;
	return 0;
}

static int teardown(void **state)
{
	struct images *im = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", im->path);
	assert_int_equal(system(command), 0);
	test_free(im);
	return 0;
}

/* Add a file with the next id, and a descriptor for it. */
static FileEntry *add(struct images *im, FdTypes type)
{
	FileEntry *f = &im->files[im->nr_files++];
	FdinfoEntry *e = &im->fds[im->nr_fds];

	file_entry__init(f);
	fdinfo_entry__init(e);
	f->id = e->id = (uint32_t)im->nr_files;
	f->type = e->type = type;
	e->fd = (uint32_t)(10 + im->nr_fds++);
	return f;
}

static void put(struct image_dir *dir, enum image_kind kind, const void *msg, struct diag *diag)
{
	if (image_write_one(dir, kind, 0, msg, diag) < 0)
		fail_msg("%s", diag->text);
}

static void write_images(struct images *im)
{
	InventoryEntry inventory = INVENTORY_ENTRY__INIT;
	struct image_dir *dir;
	struct image_writer *w;

	inventory.img_version = 2;
	assert_int_equal(image_dir_create(im->path, &dir, &im->diag), 0);
	put(dir, IMG_INVENTORY, &inventory, &im->diag);
	assert_int_equal(image_create(dir, IMG_FILES, 0, &w, &im->diag), 0);
	for (size_t i = 0; i < im->nr_files; i++)
		assert_int_equal(image_put(w, &im->files[i]), 0);
	assert_int_equal(image_finish(w), 0);
	if (im->pipe_data)
		put(dir, IMG_PIPES_DATA, im->pipe_data, &im->diag);
	if (im->packet)
		put(dir, IMG_SK_QUEUES, im->packet, &im->diag);
	assert_int_equal(image_dir_commit(dir, &im->diag), 0);
	image_dir_close(dir);
}

static int open_images(struct images *im)
{
	struct process p = { .pid = 100, .fds = im->fdp, .nr_fds = im->nr_fds }, *procs[] = { &p };
	const struct restore_options opt = { .images_dir = im->path };
	struct restore r = { .opt = &opt, .diag = &im->diag, .arena = arena_new(), .tree = { procs, 1 } };
	struct rlimit limit;
	int ret;

	write_images(im);
	getrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(image_dir_open(im->path, &r.dir, &im->diag), 0);
	ret = files_read(&r);
	if (ret == 0)
		ret = files_open_all(&r);
	files_close(&r);
	setrlimit(RLIMIT_NOFILE, &limit);
	image_dir_close(r.dir);
	arena_free(r.arena);
	return ret;
}

static void assert_sentence(const struct diag *diag, int code, const char *words)
{
	assert_int_equal(diag->code, code);
	if (!strstr(diag->text, words))
		fail_msg("'%s' does not say '%s'", diag->text, words);
}

static void assert_refused(struct images *im, int code, const char *words)
{
	assert_int_equal(open_images(im), -code);
	assert_sentence(&im->diag, code, words);
}

static void test_whole(void **state)
{
	struct images *im = *state;

	add(im, FD_TYPES__REG)->reg = &im->reg;
	add(im, FD_TYPES__EVENTFD)->efd = &im->efd;
	assert_int_equal(open_images(im), 0);
}

static void test_ids(void **state)
{
	struct images *im = *state;

	add(im, FD_TYPES__REG)->reg = &im->reg;
	add(im, FD_TYPES__EVENTFD)->efd = &im->efd;
	im->files[1].id = im->efd.id = 1;
	assert_refused(im, EPROTO, "two files with the id 1");
}

static void test_unknown(void **state)
{
	struct images *im = *state;

	add(im, FD_TYPES__TUNF);
	assert_refused(im, ENOTSUP, "TUNF");
}

static void test_empty(void **state)
{
	struct images *im = *state;

	add(im, FD_TYPES__PIPE);
	assert_refused(im, EPROTO, "no content");
}

static void test_inner_id(void **state)
{
	struct images *im = *state;

	im->reg.id = 2;
	add(im, FD_TYPES__REG)->reg = &im->reg;
	assert_refused(im, EPROTO, "another id");
}

static void test_descriptors(void **state)
{
	struct images *im = *state;

	add(im, FD_TYPES__REG)->reg = &im->reg;
	im->fds[0].id = 7;
	assert_refused(im, EPROTO, "descriptor 10 of process 100");
}

static void test_types(void **state)
{
	struct images *im = *state;

	add(im, FD_TYPES__REG)->reg = &im->reg;
	im->fds[0].type = FD_TYPES__PIPE;
	assert_refused(im, EPROTO, "kind PIPE");
}

static void test_twice(void **state)
{
	struct images *im = *state;

	add(im, FD_TYPES__REG)->reg = &im->reg;
	add(im, FD_TYPES__EVENTFD)->efd = &im->efd;
	im->fds[1].fd = 10;
	assert_refused(im, EPROTO, "descriptor 10 is twice");
}

static void test_missing_file(void **state)
{
	struct images *im = *state;

	im->reg.name = (char *)"/nowhere/at/all";
	add(im, FD_TYPES__REG)->reg = &im->reg;
	assert_refused(im, ENOENT, "/nowhere/at/all");
}

static void test_size(void **state)
{
	struct images *im = *state;

	im->reg.name = (char *)"/etc/passwd";
	im->reg.has_size = true;
	im->reg.size = 3;
	add(im, FD_TYPES__REG)->reg = &im->reg;
	assert_refused(im, ESTALE, "/etc/passwd has a size of");
}

static void test_mode(void **state)
{
	struct images *im = *state;

	im->reg.has_mode = true;
	im->reg.mode = S_IFREG | 0600;
	add(im, FD_TYPES__REG)->reg = &im->reg;
	assert_refused(im, ESTALE, "/dev/null has mode");
}

/* Opening it as it was would wait for a writer. */
static void test_became_fifo(void **state)
{
	struct images *im = *state;
	char name[80];

	snprintf(name, sizeof(name), "%s/fifo", im->path);
	assert_int_equal(mkfifo(name, 0600), 0);
	im->reg.name = name;
	im->reg.has_mode = true;
	im->reg.mode = S_IFREG | 0600;
	add(im, FD_TYPES__REG)->reg = &im->reg;
	assert_refused(im, ESTALE, "has mode");
}

static void test_build_id(void **state)
{
	struct images *im = *state;

	im->reg.name = (char *)"/bin/sh";
	im->reg.n_build_id = 4;
	im->reg.build_id = im->words;
	add(im, FD_TYPES__REG)->reg = &im->reg;
	assert_refused(im, ESTALE, "/bin/sh has another build-id");
}

static void test_pipe_data(void **state)
{
	struct images *im = *state;
	PipeDataEntry data = PIPE_DATA_ENTRY__INIT;

	data.pipe_id = 5;
	data.has_size = true;
	data.size = 1u << 31;
	im->pipe_data = &data;
	im->pipe.pipe_id = 5;
	add(im, FD_TYPES__PIPE)->pipe = &im->pipe;
	assert_int_not_equal(open_images(im), 0);
	assert_non_null(strstr(im->diag.text, "pipe"));
}

static void test_peer(void **state)
{
	struct images *im = *state;

	im->usk.type = SOCK_STREAM;
	im->usk.state = TCP_ESTABLISHED;
	im->usk.ino = 5;
	im->usk.peer = 6;
	im->usk.name.data = (uint8_t *)im->words;
	add(im, FD_TYPES__UNIXSK)->usk = &im->usk;
	assert_refused(im, EPROTO, "not in the images");
}

static void test_name(void **state)
{
	struct images *im = *state;
	uint8_t name[200] = "/x";

	im->usk.type = SOCK_STREAM;
	im->usk.state = TCP_CLOSE;
	im->usk.name.data = name;
	im->usk.name.len = sizeof(name);
	add(im, FD_TYPES__UNIXSK)->usk = &im->usk;
	assert_refused(im, EPROTO, "too long a name");
}

static void test_address(void **state)
{
	struct images *im = *state;

	im->isk.family = AF_INET6;
	im->isk.type = SOCK_STREAM;
	im->isk.proto = IPPROTO_TCP;
	im->isk.src_addr = im->isk.dst_addr = im->words;
	im->isk.n_src_addr = im->isk.n_dst_addr = 1;
	add(im, FD_TYPES__INETSK)->isk = &im->isk;
	assert_refused(im, EPROTO, "no proper addresses");
}

static void test_connection(void **state)
{
	struct images *im = *state;

	im->isk.family = AF_INET;
	im->isk.type = SOCK_STREAM;
	im->isk.proto = IPPROTO_TCP;
	im->isk.state = TCP_ESTABLISHED;
	im->isk.dst_port = 80;
	im->isk.src_addr = im->isk.dst_addr = im->words;
	im->isk.n_src_addr = im->isk.n_dst_addr = 1;
	add(im, FD_TYPES__INETSK)->isk = &im->isk;
	assert_refused(im, ENOTSUP, "TCP connection");
}

static void test_target(void **state)
{
	struct images *im = *state;

	im->tfd.tfd = 99;
	im->epfd.tfd = im->tfds;
	im->epfd.n_tfd = 1;
	add(im, FD_TYPES__EVENTPOLL)->epfd = &im->epfd;
	assert_refused(im, EPROTO, "target 99");
}

static void test_flight(void **state)
{
	struct images *im = *state;
	ScmEntry scm = SCM_ENTRY__INIT, *scms[] = { &scm };
	SkPacketEntry packet = SK_PACKET_ENTRY__INIT;

	packet.id_for = 1;
	packet.n_scm = 1;
	packet.scm = scms;
	im->packet = &packet;
	add(im, FD_TYPES__REG)->reg = &im->reg;
	assert_refused(im, EPROTO, "carries what Thaw does not know");
	diag_clear(&im->diag);
	scm.type = SCM_RIGHTS;
	scm.n_rights = 1;
	scm.rights = (uint32_t[]){ 77 };
	assert_refused(im, EPROTO, "in flight with the id 77");
}

/* Dump a child that has what @open_files makes; all its other descriptors are closed. */
static int dump_child(void (*open_files)(void), struct diag *diag)
{
	struct process p = { 0 }, *procs[] = { &p };
	const struct dump_options opt = { .images_dir = "" };
	struct dump d = { .opt = &opt, .diag = diag, .arena = arena_new(), .tree = { procs, 1 } };
	int status, ret;

	diag_init(diag, -1, DIAG_ERROR);
	p.pid = fork();
	assert_true(p.pid >= 0);
	if (!p.pid) {
		open_files();
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(p.pid, &status, WUNTRACED), p.pid);
	assert_true(WIFSTOPPED(status));
	p.proc_fd = proc_open(p.pid);
	p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
	ret = files_dump_init(&d);
	if (ret == 0)
		ret = files_dump_process(&d, &p);
	if (ret == 0)
		ret = files_dump_peers(&d);
	files_dump_free(&d);
	arena_free(d.arena);
	close(p.proc_fd);
	close(p.pidfd);
	kill(p.pid, SIGKILL);
	assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
	return ret;
}

static int outer[2];

static void open_pipe(void)
{
	close_range(0, (unsigned)outer[1] - 1, 0);
	close_range((unsigned)outer[1] + 1, ~0u, 0);
}

static void open_nothing(void)
{
	close_range(0, ~0u, 0);
}

static void open_proc(void)
{
	open_nothing();
	open("/proc/self/status", O_RDONLY);
}

static void open_uffd(void)
{
	open_nothing();
	syscall(SYS_userfaultfd, O_CLOEXEC);
}

static void open_connection(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int server, client;

	open_nothing();
	server = socket(AF_INET, SOCK_STREAM, 0);
	client = socket(AF_INET, SOCK_STREAM, 0);
	listen(server, 1);
	getsockname(server, (void *)&a, &len);
	assert_int_equal(connect(client, (void *)&a, len), 0);
	close(accept(server, NULL, NULL));
}

static void test_dump(void **state)
{
	struct diag diag;

	assert_int_equal(pipe2(outer, O_CLOEXEC), 0);
	assert_int_equal(dump_child(open_nothing, &diag), 0);
	assert_int_equal(dump_child(open_pipe, &diag), -ENOTSUP);
	assert_sentence(&diag, ENOTSUP, "reads from it is outside the dumped tree");
	close(outer[0]);
	assert_int_equal(dump_child(open_pipe, &diag), 0);
	close(outer[1]);
	assert_int_equal(dump_child(open_proc, &diag), 0);
	assert_int_equal(dump_child(open_uffd, &diag), -ENOTSUP);
	assert_sentence(&diag, ENOTSUP, "descriptor 0 of process");
	assert_int_equal(dump_child(open_connection, &diag), -ENOTSUP);
	assert_sentence(&diag, ENOTSUP, "TCP connection");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_whole),     CASE(test_ids),	       CASE(test_unknown),
		CASE(test_empty),     CASE(test_descriptors),  CASE(test_types),
		CASE(test_twice),     CASE(test_missing_file), CASE(test_size),
		CASE(test_mode),      CASE(test_became_fifo),  CASE(test_build_id),
		CASE(test_pipe_data), CASE(test_peer),	       CASE(test_name),
		CASE(test_address),   CASE(test_connection),   CASE(test_target),
		CASE(test_flight),    CASE(test_inner_id),     cmocka_unit_test(test_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
