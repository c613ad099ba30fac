// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/serve.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/util.h"
#include "lazy-pages/guardian.h"
#include "lazy-pages/huge.h"
#include "lazy-pages/objects.h"
#include "lazy-pages/reorder.h"
#include "lazy-pages/stats.h"

/*
 * The owner thread: one loop that polls the userfaultfds, fills what is touched, and keeps the workers in jobs.
 *
 * Faults come in bursts. In a short one the drain (drain.c) stands still, so that a fault waits for nobody, and the
 * owner does not sleep (SPIN) if there is a third CPU: waking up costs as much as the fill.
 */

#define SPIN_NS 60000
#define BURST_GAP_NS 100000	 /* faults closer than this are a burst */
#define PAUSE_NS 1000000	 /* a burst ends with a pause of this length */
#define SWEEP_PAUSE_NS 100000000 /* and a walk through the memory with one of this */
#define WINDOW_FIRST 16UL	 /* pages filled around a fault: 64 KiB */
#define WINDOW_MIN 1UL
#define WINDOW_SWEEP 64UL /* the least, when a burst has gone on for long */
#define WINDOW_MAX 256UL
#define JOBS_PER_WORKER 2
#define LOOK_NS 200000000 /* how often to look after spaces whose end nothing announces */
#define OWNER_NICE (-10)
#define OWNER_SLICE_NS 100000

int serve_watch(struct server *s, int fd, enum watch what, unsigned row)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)what << 32 | row };

	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev))
		return diag_fail(s->diag, errno, "cannot poll descriptor %d: %s", fd, strerror(errno));
	return 0;
}

void serve_unwatch(struct server *s, int fd)
{
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL);
}

struct shared_row *serve_new_row(struct server *s)
{
	unsigned i = 0;

	while (i < s->nr_rows && s->sh->rows[i].live)
		i++;
	if (i == SHARED_MAX_SPACES)
		return NULL;
	s->nr_rows = MAX(s->nr_rows, i + 1);
	return &s->sh->rows[i];
}

int serve_add_space(struct server *s, struct space *sp)
{
	unsigned row = (unsigned)(sp->row - s->sh->rows);
	bool killed = s->sh->sessions[sp->row->session].failed && sp->row->pidfd >= 0;
	int ret = killed ? 0 : serve_watch(s, sp->row->uffd, WATCH_UFFD, row);

	if (!ret && sp->row->pidfd >= 0)
		ret = serve_watch(s, sp->row->pidfd, WATCH_PIDFD, row);
	sp->window = WINDOW_FIRST;
	s->spaces[row] = sp;
	s->nr_spaces++;
	s->session_spaces[sp->row->session]++;
	drain_start_replay(s, sp);
	return ret;
}

/* The process is gone, or lacks nothing: forget it as soon as no worker is at it. */
static void retire(struct server *s, struct space *sp)
{
	unsigned row = (unsigned)(sp->row - s->sh->rows);

	sp->over = true;
	if (sp->in_flight)
		return;
	diag_debug(s->diag, "process %d (uffd %d): nothing more to fill", sp->row->pid, sp->row->uffd);
	for (size_t i = 0; i < s->nr_faults;) {
		if (s->faults[i].sp == sp)
			s->faults[i] = s->faults[--s->nr_faults];
		else
			i++;
	}
	if (s->focus == sp)
		s->focus = NULL;
	serve_unwatch(s, sp->row->uffd);
	if (sp->row->pidfd >= 0)
		serve_unwatch(s, sp->row->pidfd);
	drain_end_replay(s, row);
	s->spaces[row] = NULL;
	s->nr_spaces--;
	s->session_spaces[sp->row->session]--;
	objects_retire(s, sp);
	space_close(sp);
}

static void process_gone(struct server *s, struct space *sp)
{
	diag_debug(s->diag, "process %d (uffd %d) is gone, %lu pages were not wanted", sp->row->pid, sp->row->uffd,
		   space_remaining(sp));
	space_give_up(sp);
	retire(s, sp);
}

/*
 * A pidfd says that the process has ended; another one may still share its memory (CLONE_VM). The kernel knows: a call
 * on a range where nothing is says ESRCH when the memory is gone.
 */
static void process_ended(struct server *s, struct space *sp)
{
	bool gone = fill_memory_gone(sp), failed = s->sh->sessions[sp->row->session].failed;
	int pidfd = sp->row->pidfd;

	serve_unwatch(s, pidfd);
	if (!gone && failed) {
		fill_poison_rest(sp);
		objects_poison(s->dir, sp->row, s->diag);
	}
	if (gone || failed) {
		process_gone(s, sp);
		return;
	}
	sp->row->pidfd = -1; /* first: a successor must not take the number's next holder for it */
	close(pidfd);
}

/* The end of a forked child, or of one that shared an ended process's memory, shows in a fill only: without a drain
 * there may be none. */
static void look_after(struct server *s, struct space *sp, bool look)
{
	if (sp->row->pidfd >= 0 || sp->object)
		return;
	s->unwatched++;
	if (look && fill_memory_gone(sp))
		sp->over = true;
}

/*
 * How much to fill around a fault. Sequential touches want ever more. Random ones want little, for the sake of the next
 * fault: one page, if the drain goes on beside. Without a drain, when they go on for thousands, somebody walks through
 * all of the memory, and then it is the number of faults that costs.
 */
static uint64_t fault_window(const struct server *s, const struct space *sp, uint64_t addr)
{
	if (PAGE_DOWN(addr) == sp->expected)
		return MIN(sp->window * 2, WINDOW_MAX);
	if (!s->burst)
		return WINDOW_FIRST;
	return MAX(sp->window / 2, MIN(WINDOW_MIN << MIN(s->burst / 1024, 8UL), WINDOW_SWEEP));
}

/* @pages: set to how many were filled from the images */
static int fill_fault(struct server *s, struct space *sp, uint64_t addr, uint64_t *pages)
{
	struct piece p, whole;
	int ret;

	*pages = 0;
	if (reorder_unsettled(sp))
		return -EAGAIN;
	sp->window = fault_window(s, sp, addr);
	ret = objects_fault(s, sp, addr, pages);
	if (ret != -ENOENT)
		return ret;
	ret = space_around(sp, addr, sp->window, &p);
	if (ret == -ENOENT && huge_around(sp, addr, &p))
		ret = 1;
	if (ret == -ENOENT) {
		ret = objects_unknown(s, sp, addr);
		return ret ? MIN(ret, 0) : fill_zero(sp, addr) ?: events_touched(s, sp, addr);
	}
	if (ret == 0) {
		fill_wake(sp, PAGE_DOWN(addr), PAGE_SIZE);
		return 0;
	}
	if (s->opt->network)
		return fetch_fault(s, sp, &p, addr);
	whole = p;
	ret = fill_piece(&s->filler, sp, &p, 0, false, SHARED_FAULT);
	*pages = whole.nr - p.nr;
	record_fault(s->record, sp, &whole, *pages);
	sp->expected = sp->cursor = p.dst;
	s->focus = sp;
	return ret;
}

/* Serve the faults that are queued; those that meet an unread event stay, and those whose pages have yet to come. */
static void serve_faults(struct server *s)
{
	size_t kept = 0, nr = s->nr_faults;

	s->nr_waiting = 0;
	for (size_t i = 0; i < nr && s->nr_faults; i++) {
		struct fault f = s->faults[i];
		uint64_t begin = s->trace ? now_ns() : 0, pages = 0, now;
		int ret;

		if (f.since > s->last_fault + PAUSE_NS)
			s->burst = 0;
		if (f.since > s->last_fault + SWEEP_PAUSE_NS)
			s->sweep = 0;
		ret = f.sp->over ? 0 : fill_fault(s, f.sp, f.addr, &pages);
		if (ret == -EAGAIN || ret == -EINPROGRESS) {
			s->nr_waiting += ret == -EINPROGRESS;
			s->faults[kept++] = f;
			continue;
		}
		if (ret == -ESRCH)
			f.sp->over = true;
		now = now_ns();
		stats_fault(f.sp->stats, now - f.since);
		if (!f.sp->over)
			trace_fault(s->trace, f.sp, f.addr, f.since, begin, now, pages);
		s->gap = (s->gap * 3 + MIN(now - s->last_fault, 10 * BURST_GAP_NS)) / 4;
		s->last_fault = now;
		s->burst = MIN(s->burst + 1, 64 * 1024);
		s->sweep++;
	}
	s->nr_faults = kept;
}

/* Look after each space: trust its map again, retire it when it is through. Return: whether the whole service is, or
 * -errno */
static int settle(struct server *s)
{
	uint64_t now = now_ns();
	bool look = now >= s->looked + LOOK_NS;

	s->looked = look ? now : s->looked;
	s->unwatched = 0;
	s->unsettled = false;
	for (unsigned i = 0; i < s->nr_rows; i++) {
		struct space *sp = s->spaces[i];
		int ret = sp ? events_settle(s, sp) : 0;

		if (ret)
			ret = session_fail(s, (unsigned)sp->row->session, sp, ret);
		if (ret)
			return ret;
		if (!sp)
			continue;
		look_after(s, sp, look);
		s->unsettled |= reorder_unsettled(sp);
		if (sp->over)
			process_gone(s, sp);
		else if (sp->row->settled && !space_remaining(sp) && !objects_keep(s, sp))
			retire(s, sp);
	}
	for (unsigned i = 0; i < s->nr_rows; i++)
		if (s->spaces[i] && objects_orphan(s, s->spaces[i]))
			process_gone(s, s->spaces[i]);
	return session_settle(s);
}

static int on_signal(struct server *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	if (s->opt->keep_serving) {
		diag_info(s->diag, "%s: no more restores; %u processes get the rest of their memory",
			  strsignal((int)info.ssi_signo), s->nr_spaces);
		return session_end_service(s);
	}
	if (!s->nr_spaces)
		return diag_fail(s->diag, EINTR, "ended by %s", strsignal((int)info.ssi_signo));
	diag_warn(s->diag,
		  "%s: the server ends when the memory of its processes is filled, which it does at full speed now",
		  strsignal((int)info.ssi_signo));
	s->sh->hurry = 1;
	serve_set_pace(s);
	return 0;
}

static int dispatch(struct server *s, uint64_t data)
{
	struct space *sp = s->spaces[(uint32_t)data];
	int ret;

	switch ((enum watch)(data >> 32)) {
	case WATCH_UFFD:
		ret = sp ? events_read(s, sp) : 0;
		return ret ? session_fail(s, (unsigned)sp->row->session, sp, ret) : 0;
	case WATCH_WORKERS:
		drain_jobs_back(s, workers_collect(s->workers));
		return 0;
	case WATCH_PIDFD:
		if (sp)
			process_ended(s, sp);
		return 0;
	case WATCH_LISTEN:
		return session_accept(s);
	case WATCH_CONN:
		return session_receive(s, (uint32_t)data);
	case WATCH_SIGNAL:
		return on_signal(s);
	case WATCH_NETWORK:
		fetch_collect(s);
		return 0;
	case WATCH_METRICS:
		return observe_metrics(s);
	case WATCH_SCRAPE:
		observe_scrape(s);
		return 0;
	case WATCH_OWNER:
		return session_abandon(s);
	}
	return 0;
}

/* How long to wait for the next event, in ns; -1: until it comes. */
static int64_t patience(const struct server *s, uint64_t now)
{
	int64_t wait = -1;

	if (s->nr_faults > s->nr_waiting || s->unsettled)
		return SERVE_RETRY_NS;
	if (s->cpus > 2 && s->gap < BURST_GAP_NS && now < s->last_fault + SPIN_NS)
		return 0;
	if (s->held)
		wait = now < s->held ? (int64_t)(s->held - now) : 0;
	if (s->unwatched && (wait < 0 || wait > LOOK_NS))
		wait = LOOK_NS;
	return observe_patience(s, wait);
}

static int wait_events(struct server *s, struct epoll_event *ev, int max)
{
	int64_t wait = patience(s, now_ns());
	struct timespec ts = { wait / 1000000000, wait % 1000000000 };
	int n = epoll_pwait2(s->epoll, ev, max, wait < 0 ? NULL : &ts, NULL);

	if (n < 0 && errno == ENOSYS)
		n = epoll_wait(s->epoll, ev, max, wait < 0 ? -1 : (int)((wait + 999999) / 1000000));
	return n >= 0		? n
	       : errno == EINTR ? 0
				: diag_fail(s->diag, errno, "cannot wait for events: %s", strerror(errno));
}

static int loop(struct server *s)
{
	struct epoll_event ev[64];
	int ret;

	while (!(ret = settle(s))) {
		int n = wait_events(s, ev, (int)ARRAY_SIZE(ev));

		if (n < 0)
			return n;
		for (int i = 0; i < n && !ret; i++)
			ret = dispatch(s, ev[i].data.u64);
		serve_faults(s);
		if (!ret)
			ret = s->opt->network ? fetch_run(s) : drain_run(s);
		observe_tick(s);
		if (ret)
			return ret;
	}
	return MIN(ret, 0);
}

/* As sched_setattr(2) has it; the kernel's header and glibc's exclude each other. */
struct sched_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* A fault stops the program: the owner should get a CPU at once, for the little that it does. */
static void be_prompt(void)
{
	struct sched_attributes attr = {
		.size = sizeof(attr),
		.policy = SCHED_OTHER,
		.nice = OWNER_NICE,
		.runtime = OWNER_SLICE_NS,
	};

	if (syscall(SYS_sched_setattr, 0, &attr, 0))
		setpriority(PRIO_PROCESS, 0, OWNER_NICE);
}

/* A restore that fails before it hands a process over leaves nobody to serve. */
static int watch_owner(struct server *s)
{
	s->owner = -1;
	if (!s->opt->owner || s->sh->listen_fd < 0)
		return 0;
	s->owner = s->sh->loose[LOOSE_OWNER] = (int)syscall(SYS_pidfd_open, s->opt->owner, 0);
	if (s->owner >= 0)
		return serve_watch(s, s->owner, WATCH_OWNER, 0);
	if (errno == ESRCH)
		return session_abandon(s);
	return diag_fail(s->diag, errno, "cannot watch the restore: %s", strerror(errno));
}

/* Descriptors that a successor has to close: the table outlives this process. */
static int own_descriptors(struct server *s)
{
	sigset_t set;
	int ret;

	for (unsigned i = 0; i < SHARED_MAX_LOOSE; i++)
		shared_close(&s->sh->loose[i]);
	s->epoll = s->sh->loose[LOOSE_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = s->sh->loose[LOOSE_SIGNALS] = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->epoll < 0 || s->signals < 0)
		return diag_fail(s->diag, errno, "cannot make a descriptor: %s", strerror(errno));
	ret = workers_new(s->opt->workers, s->diag, &s->workers);
	if (ret)
		return ret;
	s->sh->loose[LOOSE_WORKERS] = workers_fd(s->workers);
	ret = serve_watch(s, s->signals, WATCH_SIGNAL, 0) ?: serve_watch(s, workers_fd(s->workers), WATCH_WORKERS, 0);
	return ret ?: observe_start(s);
}

void serve_set_pace(struct server *s)
{
	pace_start(&s->pace, &s->opt->modes, now_ns());
	if (s->sh->hurry)
		pace_hurry(&s->pace);
}

int serve_source(struct server *s, pid_t image_pid, struct source **out)
{
	int ret;

	for (size_t i = 0; i < s->nr_sources; i++)
		if (s->sources[i].image_pid == image_pid) {
			*out = s->sources[i].src;
			return 0;
		}
	if (grow(&s->sources, s->nr_sources, &s->cap_sources, sizeof(*s->sources)))
		return diag_fail(s->diag, ENOMEM, "out of memory for the pages of process %d", image_pid);
	ret = s->opt->page_server ? source_open_network(s->dir, image_pid, out, s->diag)
				  : source_open_images(s->dir, image_pid, out, s->diag);
	if (!ret && s->opt->network && network_knows(s->opt->network, (struct network_source *)*out)) {
		source_put(*out);
		ret = diag_fail(s->diag, ENOMEM, "out of memory for the pages of process %d", image_pid);
	}
	if (!ret)
		s->sources[s->nr_sources++] = (struct known_source){ image_pid, *out };
	return ret;
}

/* Take over what a dead server has left: its spaces, what it had read, and whoever waits for a page. */
static int adopt(struct server *s)
{
	int ret = 0, row_read = s->sh->inbox.row;

	for (unsigned i = 0; i < SHARED_MAX_SPACES && !ret; i++) {
		struct shared_row *row = &s->sh->rows[i];
		struct source *src;
		struct space *sp;

		if (row->live && row->closing)
			space_close_row(row);
		if (!row->live)
			continue;
		s->nr_rows = i + 1;
		if (row->object) {
			ret = objects_adopt(s, row);
			continue;
		}
		ret = serve_source(s, row->image_pid, &src);
		if (!ret)
			ret = space_adopt(&sp, row, &s->sh->sessions[row->session].stats, src, s->diag);
		if (!ret)
			ret = serve_add_space(s, sp);
	}
	if (!ret) {
		ret = events_replay(s);
		if (ret && s->spaces[row_read])
			ret = session_fail(s, (unsigned)s->spaces[row_read]->row->session, s->spaces[row_read], ret);
	}
	for (unsigned i = 0; i < s->nr_rows && !ret; i++)
		if (s->spaces[i])
			fill_wake(s->spaces[i], FILL_LOWEST, FILL_HIGHEST - FILL_LOWEST);
	return ret;
}

static int serve_start(struct server *s)
{
	int ret = image_dir_open(s->opt->images_dir, &s->dir, s->diag);

	if (ret)
		return ret;
	if (s->opt->no_verify)
		image_dir_trust_pages(s->dir);
	s->record = s->opt->modes.record ? record_new(s->sh) : NULL;
	s->nr_jobs = s->opt->workers * JOBS_PER_WORKER;
	s->jobs = calloc(s->nr_jobs, sizeof(*s->jobs));
	s->objects = objects_new();
	if (!s->jobs || !s->objects || (s->opt->modes.record && !s->record) || filler_init(&s->filler, s->diag, NULL))
		return diag_fail(s->diag, ENOMEM, "out of memory");
	for (unsigned i = 0; i < s->nr_jobs; i++) {
		s->jobs[i].next = s->idle_jobs;
		s->idle_jobs = &s->jobs[i];
	}
	serve_set_pace(s);
	be_prompt();
	snprintf(s->inventory, sizeof(s->inventory), "%s/inventory.img", s->opt->images_dir);
	ret = own_descriptors(s);
	if (!ret && s->opt->network)
		ret = fetch_start(s);
	if (!ret)
		ret = adopt(s);
	ret = ret ?: session_adopt(s);
	return ret ?: watch_owner(s);
}

static void serve_free(struct server *s)
{
	workers_free(s->workers);
	for (unsigned i = 0; i < s->nr_rows; i++) {
		replay_free(s->replays[i]);
		space_close(s->spaces[i]);
	}
	objects_free(s->objects);
	record_free(s->record);
	for (size_t i = 0; i < s->nr_sources; i++)
		source_put(s->sources[i].src);
	free(s->sources);
	image_dir_close(s->dir);
	filler_free(&s->filler);
	free(s->jobs);
	free(s->faults);
	free(s);
}

static unsigned cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

int serve(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	struct server *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return diag_fail(diag, ENOMEM, "out of memory");
	s->opt = opt;
	s->sh = sh;
	s->diag = diag;
	s->cpus = cpus();
	ret = serve_start(s);
	if (!ret)
		ret = loop(s);
	if (!ret && opt->network)
		fetch_finish(s);
	observe_end(s);
	if (!ret) /* else the caller ends the processes: nothing may be closed before */
		serve_free(s);
	return ret;
}
