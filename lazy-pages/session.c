// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/huge.h"
#include "lazy-pages/objects.h"
#include "lazy-pages/serve.h"
#include "lazy-pages/stats.h"

/*
 * The restores that a server serves: their connections, and the processes that they hand over.
 *
 * A service is for the first restore that hands something over, and ends with it; with --keep-serving it takes any
 * number, at once and one after another, until it is asked to end, and then it still fills what it has taken. Each
 * restore is a session. Where one cannot go on, its processes are killed, and the others do not notice.
 *
 * A session's number in shared->sessions is its place there.
 */

static struct shared_session *session(struct server *s, unsigned place)
{
	return &s->sh->sessions[place];
}

static void close_conn(struct server *s, struct shared_session *ss)
{
	if (ss->conn_fd < 0)
		return;
	serve_unwatch(s, ss->conn_fd);
	shared_close(&ss->conn_fd);
}

/* One that has never been used, else the one that has been over for longest. */
static struct shared_session *free_session(struct server *s)
{
	struct shared_session *oldest = NULL;

	for (unsigned i = 0; i < s->sh->nr_places; i++) {
		struct shared_session *ss = session(s, i);

		if (ss->state == SESSION_UNUSED)
			return ss;
		if (ss->state == SESSION_OVER && (!oldest || ss->number < oldest->number))
			oldest = ss;
	}
	if (s->sh->nr_places < SHARED_MAX_SESSIONS)
		return session(s, s->sh->nr_places++);
	if (oldest)
		stats_bury(s->sh, oldest);
	return oldest;
}

/* A connection that has just been accepted. */
static int begin(struct server *s, int conn)
{
	struct shared_session *ss;
	int ret = restore_socket_check(conn);

	if (ret) {
		diag_warn(s->diag, "refused a connection: %s", ret == -EPERM ? "another user's" : strerror(-ret));
		close(conn);
		return 0;
	}
	ss = free_session(s);
	if (!ss) {
		diag_warn(s->diag, "refused a restore: %u are being served", SHARED_MAX_SESSIONS);
		close(conn);
		return 0;
	}
	memset(ss, 0, sizeof(*ss));
	ss->conn_fd = conn;
	__atomic_store_n(&ss->state, SESSION_LIVE, __ATOMIC_SEQ_CST);
	return serve_watch(s, conn, WATCH_CONN, (unsigned)(ss - s->sh->sessions));
}

int session_accept(struct server *s)
{
	int conn = s->sh->listen_fd < 0 ? -EAGAIN : restore_socket_accept(s->sh->listen_fd);

	if (conn == -EAGAIN || conn == -ECONNABORTED)
		return 0;
	if (conn < 0)
		return diag_fail(s->diag, -conn, "cannot accept a connection: %s", strerror(-conn));
	return begin(s, conn);
}

/* No more restores. Those that had connected already get their turn. */
static int close_listen(struct server *s, bool take_waiting)
{
	int fd = s->sh->listen_fd, conn, ret = 0;

	if (fd < 0)
		return 0;
	serve_unwatch(s, fd);
	restore_socket_unlink(s->opt->work_dir, fd);
	while (take_waiting && !ret && (conn = restore_socket_accept(fd)) >= 0)
		ret = begin(s, conn);
	s->sh->listen_fd = -1;
	close(fd);
	return ret;
}

int session_end_service(struct server *s)
{
	s->sh->ending = s->sh->hurry = 1;
	serve_set_pace(s);
	return close_listen(s, true);
}

int session_abandon(struct server *s)
{
	if (s->owner >= 0)
		serve_unwatch(s, s->owner);
	if (s->sh->listen_fd < 0)
		return 0;
	diag_info(s->diag, "the restore ended and handed nothing over");
	for (unsigned i = 0; i < s->sh->nr_places; i++) {
		if (session(s, i)->state != SESSION_LIVE)
			continue;
		close_conn(s, session(s, i));
		session(s, i)->state = SESSION_UNUSED;
	}
	return close_listen(s, false);
}

/* The images are those that the pages mapped here belong to. */
static int check_images(struct server *s)
{
	struct shared_images now = { 0 }, *then = &s->sh->images;
	struct stat st;

	if (fstatat(AT_FDCWD, s->inventory, &st, 0))
		return diag_fail(s->diag, errno, "cannot look at %s: %s", s->inventory, strerror(errno));
	now.dev = st.st_dev;
	now.ino = st.st_ino;
	now.size = (uint64_t)st.st_size;
	now.mtime_s = st.st_mtim.tv_sec;
	now.mtime_ns = st.st_mtim.tv_nsec;
	if (!then->ino)
		*then = now;
	if (memcmp(&now, then, sizeof(now)))
		return diag_fail(s->diag, ESTALE,
				 "the images in %s are others than when this server began; start another",
				 image_dir_path(s->dir));
	return 0;
}

/* A restore has said something. The first one has a service without --keep-serving for itself. */
static int number(struct server *s, struct shared_session *ss)
{
	int ret;

	if (ss->number)
		return 0;
	ss->number = ++s->sh->nr_sessions;
	ret = check_images(s);
	if (ret || s->opt->keep_serving)
		return ret;
	for (unsigned i = 0; i < s->sh->nr_places; i++)
		if (session(s, i) != ss && session(s, i)->state == SESSION_LIVE) {
			close_conn(s, session(s, i));
			session(s, i)->state = SESSION_UNUSED;
		}
	return close_listen(s, false);
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

/*
 * A process speaks for itself in CRIU, perhaps from inside a pid namespace, and so it does by its credentials when Thaw
 * has put it into one; else a whole restore speaks for it.
 */
static pid_t pid_here(pid_t pid, pid_t sender)
{
	return sender > 0 && sender != pid && innermost_pid(sender) == pid ? sender : pid;
}

static int take_process(struct server *s, unsigned place, pid_t pid, int uffd, pid_t sender)
{
	struct shared_session *ss = session(s, place);
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
	*row = (struct shared_row){ .uffd = uffd,
				    .pidfd = -1,
				    .memfd = -1,
				    .image_pid = pid,
				    .session = (int32_t)place,
				    .huge = (int32_t)ss->huge };
	row->pid = pid_here(pid, sender);
	row->pidfd = (int)syscall(SYS_pidfd_open, row->pid, 0);
	if (row->pidfd < 0)
		diag_warn(s->diag, "cannot watch process %d: %s", row->pid, strerror(errno));
	fcntl(uffd, F_SETFL, fcntl(uffd, F_GETFL) | O_NONBLOCK);
	ret = serve_source(s, pid, &src);
	if (!ret)
		objects_join(s, row, src);
	if (!ret)
		ret = space_open(&sp, row, &ss->stats, src, s->diag);
	if (ret)
		return ret;
	ss->processes++;
	diag_info(s->diag, "restore %u: process %d: uffd %d lacks %lu pages", ss->number, row->pid, uffd,
		  space_remaining(sp));
	ret = huge_anchor(&s->filler, sp);
	if (ret)
		return diag_fail(s->diag, -ret, "cannot fill huge pages of process %d: %s", row->pid, strerror(-ret));
	ret = serve_add_space(s, sp) ?: events_note_areas(s, sp);
	/* CRIU's processes hand themselves over, and register their memory after that; Thaw's has been. */
	if (!ret && s->replays[row - s->sh->rows])
		s->replays[row - s->sh->rows]->early = sender > 0 && sender != row->pid;
	return ret;
}

static int finished(struct server *s, unsigned place)
{
	struct shared_session *ss = session(s, place);
	int ret = 0;

	ss->finished = 1;
	trace_mark(s->trace, "a restore is through", now_ns());
	ss->stats.finished_us = now_us();
	if (!s->sh->busy_since) {
		s->sh->busy_since = ss->stats.finished_us;
		serve_set_pace(s);
	}
	for (unsigned i = 0; i < s->nr_rows && !ret; i++) {
		if (!s->sh->rows[i].live || s->sh->rows[i].session != (int32_t)place)
			continue;
		s->sh->rows[i].settled = 1;
		ret = events_note_areas(s, s->spaces[i]);
	}
	diag_info(s->diag, "restore %u is through: %u processes, %lu pages to fill", ss->number, ss->processes,
		  ss->stats.total);
	return ret;
}

static int take_word(struct server *s, unsigned place, int word, pid_t pid, int fd)
{
	struct shared_session *ss = session(s, place);
	int ret = number(s, ss);

	if (!ret && word == RESTORE_PROCESS)
		ret = take_process(s, place, pid, fd, ss->rx.sender);
	if (!ret && word == RESTORE_HUGE_PAGES)
		ss->huge = 1;
	if (!ret && word == RESTORE_OBJECT)
		ret = objects_take(s, place, ss->rx.number, fd);
	if (!ret && word == RESTORE_DONE)
		ret = finished(s, place);
	if (!ret)
		restore_socket_recorded(&ss->rx);
	return ret;
}

int session_receive(struct server *s, unsigned place)
{
	struct shared_session *ss = session(s, place);
	pid_t pid;
	int fd, ret;

	if (ss->conn_fd < 0)
		return 0; /* an event from before it was closed */
	for (;;) {
		ret = restore_socket_receive(ss->conn_fd, &ss->rx, &pid, &fd);
		if (ret == -EAGAIN)
			return 0;
		if (ret < 0)
			break;
		ret = take_word(s, place, ret, pid, fd);
		if (ret)
			return session_fail(s, place, NULL, ret);
	}
	if (ret == -ENODATA && !ss->number) { /* somebody only looked whether we listen, or a restore failed early */
		close_conn(s, ss);
		ss->state = SESSION_UNUSED;
		s->sh->nr_over += s->opt->for_restore;
		return 0;
	}
	if (ret == -ENODATA && ss->finished) {
		close_conn(s, ss);
		return 0;
	}
	if (ret == -ENODATA)
		ret = diag_fail(s->diag, ECONNRESET, "the restore ended before it was through");
	else
		ret = diag_fail(s->diag, -ret, "the restore's connection broke: %s", strerror(-ret));
	return session_fail(s, place, NULL, ret);
}

/*
 * Kill one of a session's processes. Its userfaultfd stays open until its end, so that it sees no zeros; nothing more
 * is filled. Where it has no space yet it has not run.
 */
static bool end_process(struct server *s, struct shared_row *row)
{
	struct space *sp = s->spaces[row - s->sh->rows];
	bool killed = !syscall(SYS_pidfd_send_signal, row->pidfd, SIGKILL, NULL, 0);

	row->settled = 0;
	drain_end_replay(s, (unsigned)(row - s->sh->rows));
	if (sp)
		serve_unwatch(s, row->uffd);
	else
		space_close_row(row);
	return killed;
}

/*
 * Children born after the restore, whose pids nobody has told, go on being served as well as the others; but one that
 * is the cause itself gets what it lacks poisoned.
 */
int session_fail(struct server *s, unsigned place, struct space *cause, int ret)
{
	struct shared_session *ss = session(s, place);
	unsigned killed = 0;

	if (!s->opt->keep_serving)
		return ret;
	close_conn(s, ss);
	if (!ss->number)
		ss->number = ++s->sh->nr_sessions;
	s->sh->nr_failed += !ss->failed;
	ss->failed = 1;
	for (unsigned i = 0; i < s->nr_rows; i++) {
		struct shared_row *row = &s->sh->rows[i];

		if (row->session == (int32_t)place && row->uffd > 0 && row->pidfd >= 0)
			killed += end_process(s, row);
	}
	if (cause && cause->row->pidfd < 0) {
		fill_poison_rest(cause);
		objects_poison(s->dir, cause->row, s->diag);
		cause->over = true;
	}
	diag_fail(s->diag, EOWNERDEAD,
		  "restore %u cannot go on: %u processes were killed, because their memory was "
		  "not complete; restore them again",
		  ss->number, killed);
	diag_clear(s->diag);
	return 0;
}

/* The next restore may want the working sets while the service goes on. */
static void write_record(struct server *s)
{
	struct diag own;

	diag_init(&own, -1, DIAG_ERROR);
	if (record_write(s->sh, s->opt->images_dir, &own))
		diag_warn(s->diag, "%s", own.text);
}

static void over(struct server *s, struct shared_session *ss)
{
	char text[256];

	if (s->opt->keep_serving)
		write_record(s);
	ss->stats.drained_us = now_us();
	diag_info(s->diag, "restore %u is over: %s", ss->number, stats_line(&ss->stats, text));
	trace_mark(s->trace, "a restore's memory is there", now_ns());
	s->sh->nr_over++;
	ss->state = SESSION_OVER;
}

bool session_settle(struct server *s)
{
	struct shared *sh = s->sh;
	bool live = false, busy = false;

	for (unsigned i = 0; i < s->sh->nr_places; i++) {
		struct shared_session *ss = session(s, i);

		if (ss->state != SESSION_LIVE)
			continue;
		if (ss->conn_fd < 0 && (ss->finished || ss->failed) && !s->session_spaces[i]) {
			over(s, ss);
			continue;
		}
		live = true;
		busy |= ss->finished;
	}
	if (!busy && sh->busy_since) {
		sh->busy_us += now_us() - sh->busy_since;
		sh->busy_since = 0;
	}
	return !live && (s->opt->keep_serving ? sh->ending && sh->listen_fd < 0 : sh->nr_over > 0 || sh->listen_fd < 0);
}

static bool is_known(const struct server *s, int fd)
{
	for (unsigned i = 0; i < s->sh->nr_places; i++)
		if (s->sh->sessions[i].state == SESSION_LIVE && s->sh->sessions[i].conn_fd == fd)
			return true;
	return false;
}

/* A connection whose number died with the server that had accepted it. */
static int adopt_lost(struct server *s)
{
	DIR *dir = s->sh->listen_fd >= 0 ? opendir("/proc/self/fd") : NULL;
	const struct dirent *e;
	int ret = 0;

	while (dir && !ret && (e = readdir(dir))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] == '.' || is_known(s, fd) || !restore_socket_came_from(fd, s->sh->listen_fd))
			continue;
		diag_info(s->diag, "found connection %d, which the dead server had just accepted", fd);
		ret = begin(s, fd);
	}
	if (dir)
		closedir(dir);
	return ret;
}

int session_adopt(struct server *s)
{
	int ret = check_images(s);

	if (!ret && s->sh->listen_fd >= 0)
		ret = serve_watch(s, s->sh->listen_fd, WATCH_LISTEN, 0);
	for (unsigned i = 0; !ret && i < s->sh->nr_places; i++) {
		const struct shared_session *ss = session(s, i);

		if (ss->state == SESSION_LIVE && ss->conn_fd >= 0)
			ret = serve_watch(s, ss->conn_fd, WATCH_CONN, i);
	}
	if (!ret)
		ret = adopt_lost(s);
	return !ret && s->sh->ending ? session_end_service(s) : ret;
}
