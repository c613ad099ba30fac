// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Sessions and process groups whose leaders are gone or elsewhere, and orphans. Each process notes its pid, parent,
 * session and group before the dump and compares afterwards.
 */
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "harness.h"

#define NR_MAX 64

struct node {
	const char *what;
	pid_t pid, ppid, sid, pgid;
	int subreaper;
	int wrong; /* 1: right, 2: not */
};

static struct shared {
	int nr, want;
	struct node node[NR_MAX];
} * shared;

static pid_t root;

static void note(struct node *n)
{
	n->pid = getpid();
	n->ppid = getppid();
	n->sid = getsid(0);
	n->pgid = getpgid(0);
	test_check(!prctl(PR_GET_CHILD_SUBREAPER, &n->subreaper));
}

static void await_parent(pid_t parent)
{
	while (getppid() != parent)
		sched_yield();
}

/* Stand in the tree until the verdict is wanted. */
static void __attribute__((noreturn)) stand(const char *what)
{
	struct node *n = &shared->node[__atomic_fetch_add(&shared->nr, 1, __ATOMIC_SEQ_CST)], now;

	note(n);
	n->what = what;
	__atomic_fetch_add(&shared->want, 1, __ATOMIC_SEQ_CST);
	test_wait();
	note(&now);
	if (now.ppid != n->ppid || now.sid != n->sid || now.pgid != n->pgid || now.subreaper != n->subreaper)
		test_fail("%s: parent %d, was %d; session %d, was %d; group %d, was %d; subreaper %d, was %d", what,
			  now.ppid, n->ppid, now.sid, n->sid, now.pgid, n->pgid, now.subreaper, n->subreaper);
	n->wrong = 1;
	while (1)
		pause();
}

static bool child(void)
{
	pid_t pid = fork();

	test_check(pid >= 0);
	if (!pid)
		test_forked();
	return !pid;
}

/* A child of the root that is to be waited for: the orphans that it leaves become the root's. */
#define PASSING(code)                                       \
	do {                                                \
		pid_t _pid = fork();                        \
		test_check(_pid >= 0);                      \
		if (!_pid) {                                \
			test_forked();                      \
			code;                               \
			_exit(0);                           \
		}                                           \
		test_check(waitpid(_pid, NULL, 0) == _pid); \
	} while (0)

static void await_nodes(int nr)
{
	while (__atomic_load_n(&shared->want, __ATOMIC_SEQ_CST) < nr)
		sched_yield();
}

static void gone_leaders(void)
{
	/* The session's leader is gone; two members, one with a group of its own, one with a child. */
	PASSING(
		setsid(); if (child()) {
			await_parent(root);
			if (child())
				stand("grandchild in a session without leader");
			stand("member of a session without leader");
		} if (child()) {
			await_parent(root);
			setpgid(0, 0);
			stand("group leader in a session without leader");
		});
	/* The group's leader is gone, the session is the root's. */
	PASSING(setpgid(0, 0); for (int i = 0; i < 2; i++) if (child()) {
		await_parent(root);
		stand("member of a group without leader");
	});
	/* Both gone, and not the same process. */
	PASSING(setsid(); if (child()) {
		setpgid(0, 0);
		if (child()) {
			await_parent(root);
			stand("member of session and group without leaders");
		}
		_exit(0);
	} wait(NULL));
}

static void sibling_leaders(void)
{
	/* The leader is a sibling. */
	if (child()) {
		setsid();
		PASSING(if (child()) {
			await_parent(root);
			stand("orphan in the session of a sibling");
		});
		stand("leader with a sibling in its session");
	}
	/* The leader is a nephew. */
	if (child()) {
		if (child()) {
			setsid();
			PASSING(if (child()) {
				await_parent(root);
				setpgid(0, 0);
				stand("orphan in the session of a nephew");
			});
			stand("leader with an uncle in its session");
		}
		stand("parent of a leader");
	}
}

static void early_children(void)
{
	/* Born before its parent, and its parent's parent, started sessions. */
	if (child()) {
		if (child()) {
			if (child())
				stand("born before two setsid");
			setsid();
			if (child())
				stand("born after");
			stand("leader, born before its parent's setsid");
		}
		setsid();
		stand("leader with early children");
	}
	/* A leader of a group that has moved on. */
	if (child()) {
		pid_t leader = getpid();

		setpgid(0, 0);
		if (child()) {
			if (child())
				stand("in a group whose leader moved on");
			while (getpgid(leader) == leader)
				sched_yield();
			stand("in a group whose leader moved on, too");
		}
		while (!setpgid(0, getpgid(root)) && getpgid(0) == leader)
			sched_yield();
		stand("group leader that moved on");
	}
}

static void subreapers(void)
{
	if (child()) {
		pid_t self = getpid();

		prctl(PR_SET_CHILD_SUBREAPER, 1);
		PASSING(setsid(); if (child()) {
			await_parent(self);
			stand("orphan of an inner subreaper");
		});
		PASSING(if (child()) {
			setsid();
			await_parent(self);
			stand("session leader, orphan");
		});
		stand("inner subreaper");
	}
}

#define NR 21

int main(int argc, char **argv)
{
	struct node before, now;

	test_init(argc, argv);
	root = getpid();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(shared != MAP_FAILED);
	test_check(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	gone_leaders();
	sibling_leaders();
	early_children();
	subreapers();
	await_nodes(NR);
	note(&before);
	test_ready();
	test_wait();
	note(&now);
	test_check(now.sid == before.sid && now.pgid == before.pgid && now.subreaper == before.subreaper);
	for (int i = 0; i < NR; i++)
		test_check(!kill(shared->node[i].pid, SIGUSR2));
	for (int i = 0; i < NR; i++)
		while (!*(volatile int *)&shared->node[i].wrong) {
			if (kill(shared->node[i].pid, 0))
				_exit(1); /* its verdict stands */
			sched_yield();
		}
	for (int i = 0; i < NR; i++)
		test_check(!kill(shared->node[i].pid, SIGKILL));
	while (wait(NULL) > 0)
		;
	test_pass();
}
