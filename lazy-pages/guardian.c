// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/guardian.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/objects.h"
#include "lazy-pages/serve.h"
#include "lazy-pages/stats.h"

/*
 * The guardian: a process that does nothing but wait for the server's death; and its deputy, which waits for the
 * guardian's.
 *
 * When the last descriptor of a userfaultfd closes, the kernel lets later touches read zeros. Server, guardian and
 * deputy are processes with one table of descriptors (CLONE_FILES), so the death of one or two of them closes nothing,
 * and there is no moment at which a descriptor that has just come in is in one hand only. What is missing lies in
 *shared memory.
 *
 *	the server dies:   the guardian starts another, which adopts the spaces, applies the events that were read and
 *			   not applied, and wakes all who wait, so that the kernel announces their faults again;
 *	the guardian dies: the deputy takes its place and makes a deputy;
 *	the deputy dies:   the guardian makes another.
 *
 * A guardian may die with a server half started, and its deputy start one too. Only one of the two may serve: the one
 * whose pid gets into shared->server.
 *
 * When servers keep dying without filling anything, the processes are killed, and their ends waited for, before
 * anything closes.
 */

#define GUARDIAN_MAX_IDLE_DEATHS 5

static pid_t clone_sharing_files(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
}

static void await_end(int pidfd)
{
	struct pollfd p = { pidfd, POLLIN, 0 };

	poll(&p, 1, 5000);
}

/* A child whose pid nobody told us: make what it lacks fail when it is touched. */
static int poison_space(const struct lazy_options *opt, struct shared *sh, struct shared_row *row, struct diag *diag)
{
	struct image_dir *dir;
	struct source *src;
	struct space *sp;
	int ret = image_dir_open(opt->images_dir, &dir, diag);

	if (ret)
		return ret;
	image_dir_trust_pages(dir); /* only which pages there are matters */
	ret = opt->page_server ? source_open_network(dir, row->image_pid, &src, diag)
			       : source_open_images(dir, row->image_pid, &src, diag);
	if (!ret) {
		ret = space_adopt(&sp, row, &sh->sessions[row->session].stats, src, diag);
		if (!ret)
			ret = fill_poison_rest(sp);
	}
	if (!ret)
		ret = objects_poison(dir, row, diag);
	if (!ret)
		space_close(sp);
	image_dir_close(dir);
	return ret;
}

/* A restore that waits for us to take its processes does not reap them, so that their end would not be seen. */
static void hang_up(struct shared *sh)
{
	for (unsigned i = 0; i < sh->nr_places; i++)
		if (sh->sessions[i].state == SESSION_LIVE && sh->sessions[i].conn_fd >= 0)
			shutdown(sh->sessions[i].conn_fd, SHUT_RDWR);
}

/* Nobody can say any more what the processes lack: end them, before the descriptors close. */
static int kill_all(const struct lazy_options *opt, struct shared *sh, struct diag *diag, const char *why)
{
	unsigned killed = 0, poisoned = 0;

	hang_up(sh);
	for (unsigned i = 0; i < SHARED_MAX_SPACES; i++) {
		struct shared_row *row = &sh->rows[i];

		if (row->uffd <= 0 || row->pidfd < 0)
			continue;
		if (!syscall(SYS_pidfd_send_signal, row->pidfd, SIGKILL, NULL, 0))
			killed++;
	}
	for (unsigned i = 0; i < SHARED_MAX_SPACES; i++) {
		struct shared_row *row = &sh->rows[i];

		if (row->uffd <= 0)
			continue;
		if (row->pidfd >= 0)
			await_end(row->pidfd);
		else if (row->live && !row->object && !poison_space(opt, sh, row, diag))
			poisoned++;
	}
	return diag_fail(diag, EOWNERDEAD,
			 "%s: %u processes were killed%s, because their memory was not complete; restore them again",
			 why, killed, poisoned ? " and children of theirs will get SIGBUS" : "");
}

static void record_result(struct shared *sh, int ret, const struct diag *diag)
{
	sh->status = ret;
	memcpy(sh->text, diag->text, sizeof(sh->text) - 1);
	__atomic_store_n(&sh->done, 1, __ATOMIC_SEQ_CST);
}

/* The server process. */
static void __attribute__((noreturn)) server_main(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	int ret = serve(opt, sh, diag);

	if (ret && ret != -EINTR)
		kill_all(opt, sh, diag, diag->code ? diag->text : strerror(-ret));
	record_result(sh, ret, diag);
	_exit(ret ? 1 : 0);
}

/* Make @pid the server after the one in @old. Parent and child both do. Return: whether it is. */
static bool appoint(struct shared *sh, uint64_t old, pid_t pid)
{
	uint64_t new = ((old >> 32) + 1) << 32 | (uint32_t)pid, seen = old;

	return __atomic_compare_exchange_n(&sh->server, &seen, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
	       seen == new;
}

static int start_server(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	uint64_t old = __atomic_load_n(&sh->server, __ATOMIC_SEQ_CST);
	pid_t pid = clone_sharing_files();

	if (pid < 0)
		return diag_fail(diag, errno, "cannot start the lazy-pages server: %s", strerror(errno));
	if (!pid) {
		if (!appoint(sh, old, getpid()))
			_exit(0);
		server_main(opt, sh, diag);
	}
	appoint(sh, old, pid);
	return 0;
}

static int guard(const struct lazy_options *opt, struct shared *sh, struct diag *diag, int signals);

/* Make a deputy. Return: a pidfd of it, or -errno */
static int start_deputy(const struct lazy_options *opt, struct shared *sh, struct diag *diag, int signals)
{
	int me = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid_t pid = clone_sharing_files();
	int fd;

	if (!pid) {
		struct pollfd p = { me, POLLIN, 0 };

		while (poll(&p, 1, -1) != 1)
			;
		if (sh->done)
			_exit(0);
		diag_warn(diag, "the guardian died; its deputy (pid %d) takes its place", getpid());
		_exit(guard(opt, sh, diag, signals) ? 1 : 0);
	}
	fd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : fd;
}

/* Wait until the server is gone, all its threads included; keep a deputy, pass on signals. */
static void await_server(const struct lazy_options *opt, struct shared *sh, struct diag *diag, int signals, int *deputy)
{
	pid_t pid = (pid_t)(uint32_t)__atomic_load_n(&sh->server, __ATOMIC_SEQ_CST);
	_cleanup_close_ int server = (int)syscall(SYS_pidfd_open, pid, 0);

	while (server >= 0) {
		struct pollfd p[3] = { { server, POLLIN, 0 }, { signals, POLLIN, 0 }, { *deputy, POLLIN, 0 } };
		struct signalfd_siginfo info;

		if (poll(p, 3, -1) < 0)
			continue;
		if (p[1].revents && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			sh->ending = opt->keep_serving;
			syscall(SYS_pidfd_send_signal, server, (int)info.ssi_signo, NULL, 0);
		}
		if (p[2].revents) {
			close(*deputy);
			*deputy = start_deputy(opt, sh, diag, signals);
		}
		if (p[0].revents)
			break;
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static uint64_t progress(const struct shared *sh)
{
	struct shared_stats st;

	stats_total(sh, &st);
	return st.pages[SHARED_FAULT] + st.pages[SHARED_WSET] + st.pages[SHARED_DRAIN] + st.gone + st.zero_faults +
	       sh->nr_sessions;
}

/* Guard server after server until one has brought the service to its end. */
static int guard(const struct lazy_options *opt, struct shared *sh, struct diag *diag, int signals)
{
	_cleanup_close_ int deputy = start_deputy(opt, sh, diag, signals);
	uint64_t before = progress(sh);
	unsigned idle_deaths = 0;
	int ret;

	if (deputy < 0)
		diag_warn(diag, "the guardian has no deputy: %s", strerror(-deputy));
	if (!sh->server && (ret = start_server(opt, sh, diag)))
		return ret;
	for (;;) {
		await_server(opt, sh, diag, signals, &deputy);
		if (sh->done)
			return sh->status;
		idle_deaths = progress(sh) == before ? idle_deaths + 1 : 0;
		if (idle_deaths == GUARDIAN_MAX_IDLE_DEATHS)
			return kill_all(opt, sh, diag, "the lazy-pages server dies again and again");
		before = progress(sh);
		sh->takeovers++;
		diag_warn(diag, "the lazy-pages server (pid %u) died; another takes over", (uint32_t)sh->server);
		ret = start_server(opt, sh, diag);
		if (ret)
			return kill_all(opt, sh, diag, diag->text);
	}
}

static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void guardian_block_signals(sigset_t *old)
{
	sigset_t set;

	ending_signals(&set);
	sigprocmask(SIG_BLOCK, &set, old);
}

int guardian_run(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	_cleanup_close_ int signals = -1;
	sigset_t set;
	int ret;

	ending_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return diag_fail(diag, errno, "cannot guard the lazy-pages server: %s", strerror(errno));
	ret = guard(opt, sh, diag, signals);
	__atomic_store_n(&sh->done, 1, __ATOMIC_SEQ_CST);
	if (ret < 0 && !diag->code) { /* logged by the server already */
		diag->code = -ret;
		memcpy(diag->text, sh->text, sizeof(sh->text));
	}
	return ret;
}
