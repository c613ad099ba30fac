// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kinds of state must refuse: images that are damaged or ask for what cannot be had, and programs that could
 * not be restored. Each refusal has a sentence.
 */
#include "state.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

/* Messages of a child that stands for an image; the tests damage them. */
struct image {
	struct bench w;
	struct child c;
};

static int setup(void **state)
{
	struct image *im = test_calloc(1, sizeof(*im));

	bench_init(&im->w);
	child_start(&im->w, &im->c, NULL);
	child_dump(&im->w, &im->c);
	batch_reset(&im->w.batch);
	*state = im;
	return 0;
}

static int teardown(void **state)
{
	struct image *im = *state;

	child_end(&im->c);
	bench_free(&im->w);
	test_free(im);
	return 0;
}

static int tell(struct image *im)
{
	return kinds_tell(&im->w.restore, &im->c.process, &im->c.thread, &im->w.batch);
}

static void assert_refused(struct image *im, int code, const char *word)
{
	assert_int_equal(tell(im), -code);
	assert_int_equal(im->w.diag.code, code);
	if (!strstr(im->w.diag.text, word))
		fail_msg("'%s' does not name '%s'", im->w.diag.text, word);
}

static void test_whole(void **state)
{
	assert_int_equal(tell(*state), 0);
}

static void test_actions(void **state)
{
	struct image *im = *state;

	im->c.tc.n_sigactions = 61;
	assert_refused(im, EPROTO, "61");
}

static void test_compat_action(void **state)
{
	struct image *im = *state;

	im->c.tc.sigactions[3]->compat_sigaction = true;
	assert_refused(im, EOPNOTSUPP, "32-bit");
}

static void damage_pending(struct image *im, size_t len, int sig)
{
	SignalQueueEntry *queue = im->c.tc.signals_s;
	SiginfoEntry *entry = arena_alloc(im->w.arena, sizeof(*entry));
	uint8_t *info = arena_alloc(im->w.arena, 128);

	memcpy(info, &sig, sizeof(sig));
	siginfo_entry__init(entry);
	entry->siginfo.data = info;
	entry->siginfo.len = len;
	queue->signals = arena_array(im->w.arena, 1, sizeof(*queue->signals));
	queue->signals[0] = entry;
	queue->n_signals = 1;
}

static void test_short_pending(void **state)
{
	struct image *im = *state;

	damage_pending(im, 100, SIGUSR1);
	assert_refused(im, EPROTO, "100");
}

static void test_odd_pending(void **state)
{
	struct image *im = *state;

	damage_pending(im, 128, 65);
	assert_refused(im, EPROTO, "65");
}

static void test_same_timers(void **state)
{
	struct image *im = *state;
	TaskTimersEntry *timers = im->c.tc.timers;
	PosixTimerEntry *twins = arena_array(im->w.arena, 2, sizeof(*twins));

	timers->posix = arena_array(im->w.arena, 2, sizeof(*timers->posix));
	for (int i = 0; i < 2; i++) {
		posix_timer_entry__init(&twins[i]);
		twins[i].it_id = 77;
		timers->posix[i] = &twins[i];
	}
	timers->n_posix = 2;
	assert_refused(im, EPROTO, "77");
}

static void test_limits(void **state)
{
	struct image *im = *state;
	RlimitEntry **limits = arena_array(im->w.arena, 17, sizeof(*limits));

	for (int i = 0; i < 17; i++)
		limits[i] = im->c.tc.rlimits->rlimits[0];
	im->c.tc.rlimits->rlimits = limits;
	im->c.tc.rlimits->n_rlimits = 17;
	assert_refused(im, EPROTO, "17");
}

static void test_raised_limit(void **state)
{
	struct image *im = *state;
	struct rlimit lim;

	if (have_capability(CAP_SYS_RESOURCE))
		skip();
	getrlimit(RLIMIT_NOFILE, &lim);
	im->c.tc.rlimits->rlimits[RLIMIT_NOFILE]->max = lim.rlim_max + 1;
	assert_refused(im, EPERM, "RLIMIT_NOFILE");
}

/* CRIU's way with ADDR_NO_RANDOMIZE, 0x0040000. */
static void test_personality(void **state)
{
	static const uint32_t stored[] = { 0x0040000, 40000, 0, 4000006 },
			      meant[] = { 0x0040000, 0x0040000, 0, 0x4000006 };
	struct image *im = *state;

	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		size_t at = 0;

		batch_reset(&im->w.batch);
		im->c.tc.personality = stored[i];
		assert_int_equal(tell(im), 0);
		while (batch_record_at(&im->w.batch, at)->nr != SYS_personality)
			at++;
		assert_int_equal(batch_record_at(&im->w.batch, at)->arg[0], meant[i]);
	}
}

static void test_barriers(void **state)
{
	struct image *im = *state;

	im->c.tc.has_membarrier_registration_mask = true;
	im->c.tc.membarrier_registration_mask = 1U << 31 | 1U;
	assert_refused(im, EOPNOTSUPP, "membarrier");
}

static void test_capability(void **state)
{
	struct image *im = *state;

	im->c.thread_core.creds->cap_prm[1] |= 1U << 31;
	assert_refused(im, EPERM, "capability 63");
}

/* Filters that are not there, that lead nowhere, or in a circle. */
static void test_filters(void **state)
{
	struct image *im = *state;
	SeccompFilter filter = SECCOMP_FILTER__INIT, *list = &filter;
	SeccompEntry all = SECCOMP_ENTRY__INIT;
	uint64_t insn = 0x7fff000000000006;

	if (!have_capability(CAP_SYS_ADMIN))
		skip();
	child_stop(&im->c);
	im->c.thread_core.has_seccomp_mode = true;
	im->c.thread_core.seccomp_mode = SECCOMP_MODE__filter;
	im->c.thread_core.has_seccomp_filter = true;
	assert_refused(im, EPROTO, "seccomp.img");
	filter.filter.data = (uint8_t *)&insn;
	filter.filter.len = sizeof(insn);
	all.n_seccomp_filters = 1;
	all.seccomp_filters = &list;
	im->w.restore.seccomp = &all;
	assert_int_equal(tell(im), 0);
	filter.has_prev = true;
	diag_clear(&im->w.diag);
	assert_refused(im, EPROTO, "seccomp.img");
	filter.prev = 7;
	diag_clear(&im->w.diag);
	assert_refused(im, EPROTO, "seccomp.img");
	filter.has_prev = false;
	filter.filter.len = 7;
	diag_clear(&im->w.diag);
	assert_refused(im, EPROTO, "7 bytes");
	child_go(&im->c);
}

/* Programs that are refused: kinds_check() of a child that @make has set up. */
static void check_refuses(void (*make)(void), const char *word)
{
	struct bench w;
	struct child c;

	bench_init(&w);
	child_start(&w, &c, make);
	child_messages(&c);
	c.process.proc_fd = proc_open(c.pid);
	assert_int_equal(proc_read_status(c.process.proc_fd, "status", &c.thread.status), 0);
	c.process.nr_threads = c.thread.status.threads;
	child_stop(&c);
	assert_int_equal(kinds_check(&w.dump, &c.process, &c.thread), word ? -EOPNOTSUPP : 0);
	if (word && !strstr(w.diag.text, word))
		fail_msg("'%s' does not name '%s'", w.diag.text, word);
	child_end(&c);
	bench_free(&w);
}

static void make_nothing(void)
{
}

static void make_deadline(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { .size = 48, .policy = 6, .runtime = 1000000, .deadline = 100000000, .period = 100000000 };

	if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
		_exit(1);
}

static void *__attribute__((noreturn)) idle(void *arg)
{
	for (;;)
		pause();
}

static void make_thread_timer(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_NONE };
	timer_t id;
	pthread_t t;

	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &id) || pthread_create(&t, NULL, idle, NULL))
		_exit(1);
}

static void test_programs(void **state)
{
	check_refuses(make_nothing, NULL);
	check_refuses(make_thread_timer, "timer 0");
}

static void test_deadline(void **state)
{
	cpu_set_t all;

	/* The kernel allows it only to a task that may use all CPUs, and only where the group has time for it. */
	if (!have_capability(CAP_SYS_NICE) || sched_getaffinity(0, sizeof(all), &all) ||
	    CPU_COUNT(&all) != sysconf(_SC_NPROCESSORS_ONLN))
		skip();
	check_refuses(make_deadline, NULL);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_whole),
		ROW(test_actions),
		ROW(test_compat_action),
		ROW(test_short_pending),
		ROW(test_odd_pending),
		ROW(test_same_timers),
		ROW(test_limits),
		ROW(test_raised_limit),
		ROW(test_barriers),
		ROW(test_personality),
		ROW(test_capability),
		ROW(test_filters),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
