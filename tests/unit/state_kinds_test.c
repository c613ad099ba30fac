// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each kind of state there and back: a child with some state is read, a new child is told the same, and reading that
 * one must give the same messages, byte for byte.
 */
#include "state.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#define MUST(cond) ((cond) ? (void)0 : (dprintf(2, "setup: %s: %s\n", #cond, strerror(errno)), _exit(1)))

/* Time goes on: what is left of a timer, up to @slack seconds less, counts as the same. */
static void same_time(uint64_t *before_s, uint64_t *before_f, uint64_t *after_s, uint64_t *after_f, unsigned slack)
{
	assert_true(*after_s <= *before_s);
	assert_true(*before_s - *after_s <= slack);
	assert_int_equal(!*before_s && !*before_f, !*after_s && !*after_f);
	*after_s = *before_s;
	*after_f = *before_f;
}

static void same_timers(TaskTimersEntry *x, TaskTimersEntry *y)
{
	same_time(&x->real->vsec, &x->real->vusec, &y->real->vsec, &y->real->vusec, 20);
	same_time(&x->virt->vsec, &x->virt->vusec, &y->virt->vsec, &y->virt->vusec, 20);
	same_time(&x->prof->vsec, &x->prof->vusec, &y->prof->vsec, &y->prof->vusec, 20);
	assert_int_equal(x->n_posix, y->n_posix);
	for (size_t i = 0; i < x->n_posix; i++)
		same_time(&x->posix[i]->vsec, &x->posix[i]->vnsec, &y->posix[i]->vsec, &y->posix[i]->vnsec, 20);
}

static void assert_same_message(const ProtobufCMessage *x, const ProtobufCMessage *y)
{
	size_t len = protobuf_c_message_get_packed_size(x);
	uint8_t *a = malloc(len), *b = malloc(len);

	assert_int_equal(len, protobuf_c_message_get_packed_size(y));
	protobuf_c_message_pack(x, a);
	protobuf_c_message_pack(y, b);
	assert_memory_equal(a, b, len);
	free(a);
	free(b);
}

/* Pids in what the state refers to: the child's own is another in the second child. */
static void same_pid(struct child *a, struct child *b)
{
	for (size_t i = 0; i < a->tc.timers->n_posix; i++)
		if (a->tc.timers->posix[i]->notify_thread_id == b->pid)
			a->tc.timers->posix[i]->notify_thread_id = a->pid;
}

/* What is not in the messages: read by @look in the second child, must be true. */
static void round_trip(void (*setup)(void), void (*look)(const struct child *c))
{
	struct bench w;
	struct child a, b;

	bench_init(&w);
	child_start(&w, &a, setup);
	child_dump(&w, &a);
	if (look)
		look(&a);
	child_start(&w, &b, NULL);
	for (size_t i = 0; i < a.tc.timers->n_posix; i++)
		if (a.tc.timers->posix[i]->notify_thread_id == a.pid)
			a.tc.timers->posix[i]->notify_thread_id = b.pid;
	child_restore(&w, &b, &a);
	child_dump(&w, &b);
	same_timers(a.tc.timers, b.tc.timers);
	assert_same_message(&a.core.base, &b.core.base);
	assert_same_message(&a.mm.base, &b.mm.base);
	b.thread.extra->tid = a.thread.extra->tid;
	assert_same_message(&a.thread.extra->base, &b.thread.extra->base);
	same_pid(&a, &b);
	child_end(&a);
	child_end(&b);
	bench_free(&w);
}

static void setup_nothing(void)
{
}

static void test_nothing(void **state)
{
	round_trip(setup_nothing, NULL);
}

static void on_signal(int sig)
{
}

static void setup_signals(void)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_NODEFER | SA_ONSTACK };
	stack_t ss = { .ss_sp = malloc(65536), .ss_size = 65536, .ss_flags = (int)(1U << 31) };
	siginfo_t forged = { .si_signo = SIGIO, .si_code = SI_KERNEL };
	sigset_t all;
	pid_t kid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigaddset(&act.sa_mask, SIGRTMAX);
	sigaddset(&act.sa_mask, 1);
	MUST(sigaction(SIGUSR1, &act, NULL) == 0);
	MUST(sigaction(SIGRTMIN + 2, &act, NULL) == 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	MUST(sigaltstack(&ss, NULL) == 0);
	for (int i = 0; i < 70; i++)
		MUST(sigqueue(getpid(), SIGRTMIN + i % 3, (union sigval){ .sival_int = i }) == 0);
	kid = fork();
	if (!kid)
		_exit(7);
	MUST(waitid(P_PID, (id_t)kid, &(siginfo_t){ 0 }, WEXITED) == 0);
	MUST(syscall(SYS_rt_sigqueueinfo, getpid(), SIGIO, &forged) == 0);
	MUST(kill(getpid(), SIGHUP) == 0);
	MUST(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2) == 0);
	MUST(pthread_sigqueue(pthread_self(), SIGRTMAX, (union sigval){ .sival_int = 5 }) == 0);
}

static void look_signals(const struct child *c)
{
	const siginfo_t *info = (const void *)c->tc.signals_s->signals[0]->siginfo.data;

	assert_int_equal(c->tc.signals_s->n_signals, 70 + 3);
	assert_int_equal(c->thread_core.signals_p->n_signals, 2);
	assert_int_equal(info->si_signo, SIGRTMIN);
	assert_int_equal(info->si_value.sival_int, 0);
	assert_int_equal(c->tc.n_sigactions, 62);
	assert_int_equal(c->tc.sigactions[SIGPIPE - 2]->sigaction, (uintptr_t)SIG_IGN);
	assert_int_equal(c->tc.sigactions[SIGUSR1 - 2]->sigaction, (uintptr_t)on_signal);
	assert_int_equal(c->thread_core.sas->ss_flags, 1U << 31);
	assert_int_equal(c->tc.blk_sigset, ~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1)));
}

static void test_signals(void **state)
{
	round_trip(setup_signals, look_signals);
}

static void setup_timers(void)
{
	struct itimerval it = { .it_interval = { 100, 5 }, .it_value = { 200, 0 } };
	struct itimerspec its = { .it_interval = { 50, 1 }, .it_value = { 500, 0 } };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 9 };
	timer_t id;

	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
	it.it_value.tv_sec = 77;
	MUST(setitimer(ITIMER_PROF, &it, NULL) == 0);
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &id) == 0);
	for (int i = 0; i < 30; i++) {
		timer_t gap;

		MUST(timer_create(CLOCK_MONOTONIC, &ev, &gap) == 0);
		MUST(timer_delete(gap) == 0);
	}
	MUST(timer_settime(id, 0, &its, NULL) == 0);
	ev.sigev_notify = SIGEV_THREAD_ID;
	ev._sigev_un._tid = getpid();
	MUST(timer_create(CLOCK_BOOTTIME, &ev, &id) == 0);
	MUST(timer_settime(id, 0, &its, NULL) == 0);
	ev.sigev_notify = SIGEV_NONE;
	MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, &ev, &id) == 0);
	MUST(timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &id) == 0);
	MUST(timer_settime(id, 0, &its, NULL) == 0);
}

static void look_timers(const struct child *c)
{
	const TaskTimersEntry *t = c->tc.timers;

	assert_int_equal(t->real->isec, 100);
	assert_int_equal(t->real->iusec, 5);
	assert_int_equal(t->n_posix, 4);
	assert_int_equal(t->posix[0]->it_id, 0);
	assert_int_equal(t->posix[0]->sival_ptr, 9);
	assert_int_equal(t->posix[0]->it_sigev_notify, SIGEV_SIGNAL);
	assert_int_equal(t->posix[0]->isec, 50);
	assert_true(t->posix[0]->vsec >= 490);
	assert_int_equal(t->posix[1]->it_id, 31);
	assert_int_equal(t->posix[1]->clock_id, CLOCK_BOOTTIME);
	assert_int_equal(t->posix[1]->notify_thread_id, c->pid);
	assert_int_equal(t->posix[2]->clock_id, (uint32_t)-6);
	assert_int_equal(t->posix[2]->vsec, 0);
	assert_int_equal(t->posix[3]->clock_id, (uint32_t)-2);
}

static void test_timers(void **state)
{
	round_trip(setup_timers, look_timers);
}

/* The same on a kernel without PR_TIMER_CREATE_RESTORE_IDS: numbers are counted up to. */
static void test_timers_counted(void **state)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
		round_trip(setup_timers, look_timers);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Expired and not taken: reads as value 0 with an interval, and must go on. */
static void setup_expired(void)
{
	struct itimerval it = { .it_interval = { 100, 0 }, .it_value = { 0, 1 } };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
	do {
		sigpending(&set);
	} while (!sigismember(&set, SIGALRM));
}

static void test_expired_itimer(void **state)
{
	struct bench w;
	struct child a, b;
	siginfo_t info;

	bench_init(&w);
	child_start(&w, &a, setup_expired);
	child_dump(&w, &a);
	assert_int_equal(a.tc.timers->real->vsec + a.tc.timers->real->vusec, 0);
	assert_int_equal(a.tc.timers->real->isec, 100);
	child_start(&w, &b, NULL);
	child_restore(&w, &b, &a);
	/* The signal is taken: the timer counts again. */
	batch_reset(&w.batch);
	batch_call(&w.batch, 0, SYS_rt_sigtimedwait, batch_data(&w.batch, &(uint64_t){ 1ULL << (SIGALRM - 1) }, 8),
		   batch_data(&w.batch, NULL, sizeof(info)), 0, 8);
	batch_end(&w.batch);
	child_walk(&w, &b, 0);
	assert_int_equal(batch_result(&w.batch, 0), SIGALRM);
	child_dump(&w, &b);
	assert_int_equal(b.tc.timers->real->isec, 100);
	assert_true(b.tc.timers->real->vsec >= 90);
	child_end(&a);
	child_end(&b);
	bench_free(&w);
}

static void setup_limits(void)
{
	MUST(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 100, 200 }) == 0);
	MUST(setrlimit(RLIMIT_CORE, &(struct rlimit){ 4096, 8192 }) == 0);
	MUST(setrlimit(RLIMIT_STACK, &(struct rlimit){ 4UL << 20, RLIM_INFINITY }) == 0);
	MUST(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){ 3, 3 }) == 0);
}

static void look_limits(const struct child *c)
{
	assert_int_equal(c->tc.rlimits->n_rlimits, 16);
	assert_int_equal(c->tc.rlimits->rlimits[RLIMIT_NOFILE]->cur, 100);
	assert_int_equal(c->tc.rlimits->rlimits[RLIMIT_NOFILE]->max, 200);
}

static void test_limits(void **state)
{
	round_trip(setup_limits, look_limits);
}

static void setup_process(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	MUST(write(fd, "500", 3) == 3);
	close(fd);
	MUST(personality(ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT) >= 0);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
	MUST(prctl(PR_SET_NAME, "a b)\n\t\\c 12345") == 0);
	MUST(prctl(PR_SET_PDEATHSIG, SIGHUP) == 0);
	MUST(prctl(PR_SET_DUMPABLE, 0) == 0);
	MUST(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0);
	MUST(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0);
}

static void look_process(const struct child *c)
{
	assert_int_equal(c->tc.oom_score_adj, 500);
	assert_int_equal(c->tc.personality, ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT);
	assert_true(c->tc.child_subreaper);
	assert_true(c->mm.thp_disabled);
	assert_int_equal(c->mm.dumpable, 0);
	assert_string_equal(c->thread_core.comm, "a b)\n\t\\c 12345");
	assert_int_equal(c->thread_core.pdeath_sig, SIGHUP);
}

static void test_process(void **state)
{
	round_trip(setup_process, look_process);
}

static void setup_sched(void)
{
	MUST(setpriority(PRIO_PROCESS, 0, 7) == 0);
	MUST(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){ 0 }) == 0);
}

static void setup_realtime(void)
{
	MUST(sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &(struct sched_param){ 3 }) == 0);
}

static void look_realtime(const struct child *c)
{
	assert_int_equal(c->thread_core.sched_policy, SCHED_RR | SCHED_RESET_ON_FORK);
	assert_int_equal(c->thread_core.sched_prio, 3);
}

static void test_sched(void **state)
{
	round_trip(setup_sched, NULL);
	if (!have_capability(CAP_SYS_NICE))
		skip();
	round_trip(setup_realtime, look_realtime);
}

static void setup_extra(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	MUST(sched_setaffinity(0, sizeof(one), &one) == 0);
	MUST(prctl(PR_SET_TIMERSLACK, 12345678) == 0);
	MUST(syscall(SYS_ioprio_set, 1, 0, 3 << 13) == 0);
}

static void look_extra(const struct child *c)
{
	assert_int_equal(c->thread.extra->timer_slack, 12345678);
	assert_int_equal(c->thread.extra->io_priority, 3 << 13);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
		assert_int_equal(c->thread.extra->cpus.len, 1);
		assert_int_equal(c->thread.extra->cpus.data[0], 1);
	}
}

static void test_extra(void **state)
{
	round_trip(setup_extra, look_extra);
}

static void set_caps(uint64_t eff, uint64_t prm, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)eff, (uint32_t)prm, (uint32_t)inheritable },
		{ (uint32_t)(eff >> 32), (uint32_t)(prm >> 32), (uint32_t)(inheritable >> 32) },
	};

	MUST(syscall(SYS_capset, &header, data) == 0);
}

static uint64_t own_caps(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	MUST(syscall(SYS_capget, &header, data) == 0);
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static void setup_user(void)
{
	MUST(setgroups(3, (gid_t[]){ 7, 1000, 70000 }) == 0);
	MUST(setresgid(1000, 1001, 1002) == 0);
	MUST(setresuid(1000, 1001, 1002) == 0);
	MUST(prctl(PR_SET_DUMPABLE, 1) == 0);
}

/* One of root's files daemons: other ids for files, some capabilities, none to come. */
static void setup_daemon(void)
{
	MUST(setgroups(0, NULL) == 0);
	set_caps(own_caps(), own_caps(), 1U << CAP_CHOWN);
	MUST(prctl(PR_CAPBSET_DROP, CAP_NET_RAW) == 0);
	MUST(prctl(PR_CAPBSET_DROP, CAP_CHOWN) == 0);
	setfsgid(33);
	setfsuid(33);
	set_caps(1U << CAP_SETUID, 1U << CAP_SETUID | 1U << CAP_KILL | 1U << CAP_SETPCAP, 1U << CAP_CHOWN);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

/* A user with an ambient capability, and securebits that forbid more. */
static void setup_ambient(void)
{
	uint64_t caps = 1U << CAP_NET_BIND_SERVICE | 1U << CAP_SETPCAP;

	MUST(prctl(PR_SET_KEEPCAPS, 1) == 0);
	MUST(setresuid(1000, 1000, 1000) == 0);
	set_caps(caps, caps, 1U << CAP_NET_BIND_SERVICE);
	MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) == 0);
	MUST(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE) == 0);
	set_caps(0, 1U << CAP_NET_BIND_SERVICE, 1U << CAP_NET_BIND_SERVICE);
}

static void look_user(const struct child *c)
{
	const CredsEntry *e = c->thread_core.creds;

	assert_int_equal(e->n_groups, 3);
	assert_int_equal(e->groups[2], 70000);
	assert_int_equal(e->fsuid, 1001);
	assert_int_equal(e->cap_prm[0], 0);
	assert_int_equal(c->mm.dumpable, 1);
}

static void look_daemon(const struct child *c)
{
	const CredsEntry *e = c->thread_core.creds;

	assert_int_equal(e->uid, 0);
	assert_int_equal(e->fsuid, 33);
	assert_int_equal(e->fsgid, 33);
	assert_int_equal(e->cap_eff[0], 1U << CAP_SETUID);
	assert_false(e->cap_bnd[0] & (1U << CAP_NET_RAW | 1U << CAP_CHOWN));
	assert_int_equal(e->no_new_privs, 1);
}

static void look_ambient(const struct child *c)
{
	const CredsEntry *e = c->thread_core.creds;

	assert_int_equal(e->cap_amb[0], 1U << CAP_NET_BIND_SERVICE);
	assert_int_equal(e->secbits, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE);
	assert_int_equal(e->cap_eff[0], 0);
}

static void test_creds(void **state)
{
	if (geteuid() != 0 || !have_capability(CAP_SETUID) || !have_capability(CAP_SETPCAP))
		skip();
	round_trip(setup_user, look_user);
	round_trip(setup_daemon, look_daemon);
	round_trip(setup_ambient, look_ambient);
}

static void add_filter(unsigned flags, int nr, int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog) == 0);
}

/* Installed with CAP_SYS_ADMIN and given up after; the program's own calls are not filtered. */
static void setup_filters(void)
{
	add_filter(0, SYS_acct, 77);
	add_filter(SECCOMP_FILTER_FLAG_LOG, SYS_acct, 78);
	MUST(setresuid(1000, 1000, 1000) == 0);
}

static void look_filters(const struct child *c)
{
	assert_int_equal(c->thread_core.seccomp_mode, SECCOMP_MODE__filter);
	assert_int_equal(c->thread_core.seccomp_filter, 1); /* the oldest; as CRIU has it */
	assert_int_equal(c->thread_core.creds->no_new_privs, 0);
}

static void test_filters(void **state)
{
	if (geteuid() != 0 || !have_capability(CAP_SYS_ADMIN))
		skip();
	round_trip(setup_filters, look_filters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	       cmocka_unit_test(test_signals),
		cmocka_unit_test(test_timers),	       cmocka_unit_test(test_timers_counted),
		cmocka_unit_test(test_expired_itimer), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_process),	       cmocka_unit_test(test_sched),
		cmocka_unit_test(test_extra),	       cmocka_unit_test(test_filters),
		cmocka_unit_test(test_creds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
