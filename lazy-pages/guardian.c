// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/guardian.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/serve.h"

/*
 * The guardian: a process that does nothing but wait for the server's death.
 *
 * When the last descriptor of a userfaultfd closes, the kernel lets later touches read zeros. Server and guardian are
 * two processes with one table of descriptors (CLONE_FILES), so the death of either closes nothing, and there is no
 * moment at which a descriptor that has just come in is in one hand only. What is missing lies in shared memory.
 *
 *	the server dies:   the guardian starts another, which adopts the spaces, applies the events that were read and
 *			   not applied, and wakes all who wait, so that the kernel announces their faults again;
 *	the guardian dies: the server starts another.
 *
 * There is one case in which nobody goes on: the server died while it accepted the restore's connection, and nobody
 * knows its descriptor. It closes with the service, so the restore fails. When servers keep dying without filling
 * anything, the processes are killed, and their ends waited for, before anything closes.
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
	struct piece p;
	int ret = image_dir_open(opt->images_dir, &dir, diag);

	if (ret)
		return ret;
	image_dir_trust_pages(dir); /* only which pages there are matters */
	ret = source_open_images(dir, row->image_pid, &src, diag);
	if (!ret) {
		ret = space_adopt(&sp, row, &sh->stats, src, diag);
		for (uint64_t at = 0; !ret && space_next(sp, at, UINT64_MAX, &p); at = p.dst + p.nr * PAGE_SIZE)
			ret = fill_poison(row->uffd, p.dst, p.nr * PAGE_SIZE);
		if (ret == -ESRCH)
			ret = 0;
	}
	if (!ret)
		space_close(sp);
	image_dir_close(dir);
	return ret;
}

/* Nobody can say any more what the processes lack: end them, before the descriptors close. */
static int kill_all(const struct lazy_options *opt, struct shared *sh, struct diag *diag, const char *why)
{
	unsigned killed = 0, poisoned = 0;

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
		else if (row->live && !poison_space(opt, sh, row, diag))
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

static int start_server(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	pid_t pid = clone_sharing_files();

	if (pid < 0)
		return diag_fail(diag, errno, "cannot start the lazy-pages server: %s", strerror(errno));
	if (!pid)
		server_main(opt, sh, diag);
	if (sh->server_pidfd >= 0)
		close(sh->server_pidfd);
	sh->server = pid;
	sh->server_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (sh->server_pidfd < 0)
		return diag_fail(diag, errno, "cannot watch the lazy-pages server: %s", strerror(errno));
	return 0;
}

/* Wait until the server is gone, all its threads included; pass on signals. */
static void await_server(struct shared *sh, int signals)
{
	struct pollfd p[2] = { { sh->server_pidfd, POLLIN, 0 }, { signals, POLLIN, 0 } };

	for (;;) {
		struct signalfd_siginfo info;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if (p[1].revents && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
			syscall(SYS_pidfd_send_signal, sh->server_pidfd, (int)info.ssi_signo, NULL, 0);
		if (p[0].revents)
			break;
	}
	waitpid(sh->server, NULL, WNOHANG);
}

static uint64_t progress(const struct shared *sh)
{
	const struct shared_stats *st = &sh->stats;

	return st->pages[SHARED_FAULT] + st->pages[SHARED_WSET] + st->pages[SHARED_DRAIN] + st->gone + st->zero_faults;
}

/* Guard server after server until one has brought the service to its end. */
static int guard(const struct lazy_options *opt, struct shared *sh, struct diag *diag, int signals)
{
	uint64_t before = progress(sh);
	unsigned idle_deaths = 0;
	int ret;

	for (;;) {
		await_server(sh, signals);
		if (sh->done)
			return sh->status;
		if (sh->accepting)
			return kill_all(opt, sh, diag, "the lazy-pages server died while it accepted a restore");
		idle_deaths = progress(sh) == before ? idle_deaths + 1 : 0;
		if (idle_deaths == GUARDIAN_MAX_IDLE_DEATHS)
			return kill_all(opt, sh, diag, "the lazy-pages server dies again and again");
		before = progress(sh);
		sh->stats.takeovers++;
		diag_warn(diag, "the lazy-pages server (pid %d) died; another takes over", sh->server);
		ret = start_server(opt, sh, diag);
		if (ret)
			return kill_all(opt, sh, diag, diag->text);
	}
}

static int block_signals(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, old);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int guardian_run(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	sigset_t old;
	_cleanup_close_ int signals = block_signals(&old);
	int ret;

	sh->guardian = getpid();
	sh->guardian_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (signals < 0 || sh->guardian_pidfd < 0)
		return diag_fail(diag, errno, "cannot guard the lazy-pages server: %s", strerror(errno));
	ret = start_server(opt, sh, diag);
	if (!ret)
		ret = guard(opt, sh, diag, signals);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (ret < 0 && !diag->code) { /* logged by the server already */
		diag->code = -ret;
		memcpy(diag->text, sh->text, sizeof(sh->text));
	}
	return ret;
}

int guardian_respawn(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	pid_t pid;

	sh->server = getpid();
	if (sh->guardian_pidfd >= 0)
		close(sh->guardian_pidfd);
	sh->guardian_pidfd = -1;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	pid = clone_sharing_files();
	if (pid < 0)
		return diag_fail(diag, errno, "cannot start another guardian: %s", strerror(errno));
	if (!pid) {
		sigset_t old;
		int ret = guard(opt, sh, diag, block_signals(&old));

		_exit(ret ? 1 : 0);
	}
	sh->guardian = pid;
	sh->guardian_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	diag_warn(diag, "the guardian died; another (pid %d) is there", pid);
	return 0;
}
