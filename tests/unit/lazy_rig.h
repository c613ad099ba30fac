/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_TESTS_LAZY_RIG_H
#define THAW_TESTS_LAZY_RIG_H

/*
 * A rig for the lazy-pages server without dump or restore: the test writes images of a region, starts a server, and
 * makes a child that registers the region, hands itself over and then runs the test's body on the memory.
 *
 *	test -> child: one byte on a pipe once images and server are there
 *	child -> server: the restore socket's protocol
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/pagestore.h"
#include "images/proto/all.h"
#include "lazy-pages/server.h"
#include "lazy-pages/wire/restore_socket.h"

/* Sanitizers keep most of the address space for themselves. */
#ifdef __SANITIZE_THREAD__
#define RIG_BASE 0x4000000000ull
#else
#define RIG_BASE 0x200000000000ull
#endif
#define RIG_WORDS (PAGE_SIZE / 8)

#define RIG_NOT_TAKEN 200 /* exit status of a child whose memory no server took over */

struct rig {
	char path[64];
	struct diag diag;
	const char *store;
	struct pagemap map; /* what the images have */
	uint64_t pages;	    /* the region, from RIG_BASE */
	pid_t child, server;
	int go;			 /* write end of the child's pipe */
	struct lazy_modes modes; /* of the server */
	bool keep_serving;	 /* so is this */
	bool own_pidns;		 /* children are pid 1 of a PID namespace each, and share the images of that pid */
	pid_t guests[32];	 /* children that a test has put aside, to be killed if it fails */
};

static inline uint64_t rig_pattern(uint64_t page, unsigned word)
{
	return (page * 0x9e3779b97f4a7c15ull + word) | 1;
}

/* The thread sanitizer does not see that mremap() moves memory from one thread's address to another's. */
#define RIG_UNTRACKED __attribute__((no_sanitize("thread")))

/* Is the page at @at what the images have for @page (0: zero)? */
RIG_UNTRACKED static inline bool rig_page_is(const void *at, uint64_t page)
{
	const volatile uint64_t *w = at;

	for (unsigned i = 0; i < RIG_WORDS; i++)
		if (w[i] != (page ? rig_pattern(page, i) : 0))
			return false;
	return true;
}

static inline void rig_write_images(struct rig *r)
{
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	struct image_dir *dir;
	struct page_writer *w;
	uint64_t buf[RIG_WORDS];

	assert_int_equal(image_dir_create(r->path, &dir, &r->diag), 0);
	inv.img_version = 2;
	assert_int_equal(image_write_one(dir, IMG_INVENTORY, 0, &inv, &r->diag), 0);
	assert_int_equal(pagemap_write(dir, IMG_PAGEMAP, r->own_pidns ? 1 : (uint64_t)r->child, &r->map, &r->diag), 0);
	assert_int_equal(page_writer_create(dir, r->store ?: "raw", r->map.pages_id, &w, &r->diag), 0);
	for (size_t i = 0; i < r->map.nr; i++) {
		const struct page_run *run = &r->map.runs[i];

		for (uint64_t p = 0; p < run->nr_pages && (run->flags & PE_PRESENT); p++) {
			struct page_run one = { .vaddr = run->vaddr + p * PAGE_SIZE,
						.nr_pages = 1,
						.index = run->index + p,
						.flags = run->flags };

			for (unsigned k = 0; k < RIG_WORDS; k++)
				buf[k] = rig_pattern(one.vaddr, k);
			assert_int_equal(page_writer_put(w, &one, 1, buf), 0);
		}
	}
	assert_int_equal(page_writer_finish(w), 0);
	assert_int_equal(image_dir_commit(dir, &r->diag), 0);
	image_dir_close(dir);
}

/* In the child: what a restore does. Return: 0, or the line that failed. */
static inline int rig_hand_over(const struct rig *r)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
					      UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP };
	struct uffdio_register reg = { .range = { RIG_BASE, r->pages * PAGE_SIZE },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), conn;
	struct diag diag;

	diag_init(&diag, -1, DIAG_ERROR);
	if (mmap((void *)RIG_BASE, r->pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) != (void *)RIG_BASE)
		return __LINE__;
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		return __LINE__;
	conn = restore_socket_connect(r->path, &diag);
	if (conn < 0 || restore_socket_send(conn, getpid(), getpid(), uffd) || restore_socket_finish(conn))
		return __LINE__;
	close(conn);
	close(uffd);
	return 0;
}

/* Start a child that will run @body on the region; its exit status is what the body returns, 200 when it came to
 * nothing. */
static inline void rig_child(struct rig *r, int (*body)(void *arg), void *arg)
{
	int pipefd[2];
	char byte;

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	r->child = r->own_pidns ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0) : fork();
	assert_true(r->child >= 0);
	if (!r->child) {
		close(pipefd[1]);
		signal(SIGSEGV, SIG_DFL); /* cmocka's are inherited */
		signal(SIGBUS, SIG_DFL);
		if (read(pipefd[0], &byte, 1) != 1)
			_exit(RIG_NOT_TAKEN);
		int line = rig_hand_over(r);

		if (line) {
			fprintf(stderr, "child: line %d: %s\n", line, strerror(errno));
			_exit(RIG_NOT_TAKEN);
		}
		_exit(body(arg));
	}
	close(pipefd[0]);
	r->go = pipefd[1];
}

/* Start the server: a process that runs it in the foreground. */
static inline void rig_serve(struct rig *r)
{
	struct lazy_options opt = { .images_dir = r->path,
				    .status_fd = -1,
				    .stats_file = "stats.json",
				    .modes = r->modes,
				    .keep_serving = r->keep_serving };
	_cleanup_close_ int mine = -1;
	int pipefd[2];
	char log[128], byte;

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	mine = pipefd[0];
	opt.status_fd = pipefd[1];
	r->server = fork();
	assert_true(r->server >= 0);
	if (!r->server) {
		struct diag diag;

		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		snprintf(log, sizeof(log), "%s/lazy.log", r->path);
		diag_init(&diag, open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), DIAG_DEBUG);
		_exit(lazy_server_run(&opt, &diag) ? 1 : 0);
	}
	close(pipefd[1]);
	assert_int_equal(read(mine, &byte, 1), 1);
}

static inline void rig_go(struct rig *r)
{
	assert_int_equal(write(r->go, "", 1), 1);
	close(r->go);
}

/* Wait for a process of the rig. Return: its exit status, or 1000 + the signal that ended it. */
static inline int rig_wait(pid_t *pid)
{
	int status;

	assert_int_equal(waitpid(*pid, &status, 0), *pid);
	*pid = 0;
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The service is a guardian with two children: first its deputy, then the server. Return: the server's pid, or 0. */
static inline pid_t rig_server_pid(const struct rig *r)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *last;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", r->server, r->server);
	if (read_text(AT_FDCWD, path, &text) <= 0 || !(last = strchr(text, ' ')) || atoi(last) <= 0)
		return 0;
	return (pid_t)atoi(last);
}

/* Is @word in the server's log? */
static inline bool rig_logged(const struct rig *r, const char *word)
{
	_cleanup_free_ char *text = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/lazy.log", r->path);
	return read_text(AT_FDCWD, path, &text) > 0 && strstr(text, word);
}

static inline int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	diag_init(&r->diag, -1, DIAG_ERROR);
	strcpy(r->path, "/tmp/thaw-lazy-XXXXXX");
	r->go = -1;
	*state = r;
	return mkdtemp(r->path) ? 0 : -1;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;
	char command[128];
	int ret;

	if (r->child > 0)
		kill(r->child, SIGKILL);
	for (unsigned i = 0; i < ARRAY_SIZE(r->guests); i++)
		if (r->guests[i] > 0)
			kill(r->guests[i], SIGKILL);
	if (r->server > 0) /* killed for good it would only be replaced; with nobody to serve it ends */
		kill(r->server, SIGTERM);
	while (wait(NULL) > 0)
		;
	snprintf(command, sizeof(command), "rm -rf '%s'", r->path);
	ret = getenv("LAZY_KEEP") ? 0 : system(command);
	pagemap_free(&r->map);
	free(r);
	return ret;
}

/* Skip the test where the kernel does not give us what a restore needs. */
static inline void rig_need_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK };
	_cleanup_close_ int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) {
		print_message("no userfaultfd with FORK events: %s\n", strerror(errno));
		skip();
	}
}

#endif
