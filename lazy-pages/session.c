// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/serve.h"

/* The restore's side of the server: its connection, and the processes that it hands over. */

int session_accept(struct server *s)
{
	int conn;

	if (s->sh->conn_fd >= 0)
		return 0; /* one restore at a time; the next one waits in the backlog */
	__atomic_store_n(&s->sh->accepting, 1, __ATOMIC_SEQ_CST);
	conn = restore_socket_accept(s->sh->listen_fd);
	s->sh->conn_fd = MAX(conn, -1);
	__atomic_store_n(&s->sh->accepting, 0, __ATOMIC_SEQ_CST);
	if (conn == -EPERM)
		diag_warn(s->diag, "refused the connection of another user");
	if (conn == -EAGAIN || conn == -EPERM || conn == -ECONNABORTED)
		return 0;
	if (conn < 0)
		return diag_fail(s->diag, -conn, "cannot accept a connection: %s", strerror(-conn));
	restore_socket_recorded(&s->sh->rx);
	return serve_watch(s, conn, WATCH_CONN, 0);
}

/* The last number in the NSpid line of a process: its pid as itself sees it; 0 when unknown. */
static pid_t innermost_pid(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *line, *end;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (read_text(AT_FDCWD, path, &text) < 0 || !(line = strstr(text, "\nNSpid:")))
		return 0;
	end = strchrnul(line + 1, '\n');
	*end = '\0';
	return atoi(strrchr(line, '\t') + 1);
}

/* A process speaks for itself in CRIU, perhaps from inside a pid namespace; a whole restore may speak for it too. */
static pid_t pid_here(pid_t pid, pid_t sender)
{
	return sender > 0 && sender != pid && innermost_pid(sender) == pid ? sender : pid;
}

static int take_process(struct server *s, pid_t pid, int uffd, pid_t sender)
{
	struct shared_row *row;
	struct source *src;
	struct space *sp;
	int ret;

	for (unsigned i = 0; i < s->nr_rows; i++) /* a dead server came as far as this */
		if (s->sh->rows[i].live && s->sh->rows[i].uffd == uffd)
			return 0;
	row = serve_new_row(s);
	if (!row) {
		close(uffd);
		return diag_fail(s->diag, EMFILE, "more than %d processes", SHARED_MAX_SPACES);
	}
	*row = (struct shared_row){ .uffd = uffd, .pidfd = -1, .memfd = -1, .image_pid = pid };
	row->pid = pid_here(pid, sender);
	row->pidfd = (int)syscall(SYS_pidfd_open, row->pid, 0);
	if (row->pidfd < 0)
		diag_warn(s->diag, "cannot watch process %d: %s", row->pid, strerror(errno));
	fcntl(uffd, F_SETFL, fcntl(uffd, F_GETFL) | O_NONBLOCK);
	ret = source_open_images(s->dir, pid, &src, s->diag);
	if (ret)
		return ret;
	ret = space_open(&sp, row, &s->sh->stats, src, s->diag);
	source_put(src);
	if (ret)
		return ret;
	s->sh->processes++;
	diag_info(s->diag, "process %d: uffd %d lacks %lu pages", row->pid, uffd, space_remaining(sp));
	return serve_add_space(s, sp);
}

static void close_conn(struct server *s)
{
	int fd = s->sh->conn_fd;

	serve_unwatch(s, fd);
	s->sh->conn_fd = -1; /* first: a successor must not take the number's next holder for it */
	close(fd);
}

/* The first process is here: this server is taken, another may listen in the same place. */
static void close_listen(struct server *s)
{
	int fd = s->sh->listen_fd;

	if (fd < 0)
		return;
	serve_unwatch(s, fd);
	restore_socket_unlink(s->opt->work_dir, fd);
	s->sh->listen_fd = -1;
	close(fd);
}

static void finished(struct server *s)
{
	s->sh->finished = 1;
	s->sh->stats.finished_us = now_us();
	serve_set_pace(s);
	for (unsigned i = 0; i < s->nr_rows; i++)
		s->sh->rows[i].settled = s->sh->rows[i].live;
	diag_info(s->diag, "the restore is through: %u processes, %lu pages to fill", s->sh->processes,
		  s->sh->stats.total);
}

int session_receive(struct server *s)
{
	pid_t pid;
	int uffd, ret;

	for (;;) {
		ret = restore_socket_receive(s->sh->conn_fd, &s->sh->rx, &pid, &uffd);
		if (ret == -EAGAIN)
			return 0;
		if (ret < 0)
			break;
		if (ret == RESTORE_PROCESS && take_process(s, pid, uffd, s->sh->rx.sender))
			return -ECONNABORTED;
		if (ret == RESTORE_DONE)
			finished(s);
		restore_socket_recorded(&s->sh->rx);
		close_listen(s);
	}
	close_conn(s);
	if (ret == -ENODATA && s->sh->listen_fd >= 0) /* somebody only looked whether we listen */
		return session_accept(s);
	if (ret == -ENODATA && s->sh->finished)
		return 0;
	s->sh->lost = 1;
	if (ret == -ENODATA)
		return diag_fail(s->diag, ECONNRESET, "the restore ended before it was through");
	return diag_fail(s->diag, -ret, "the restore's connection broke: %s", strerror(-ret));
}
