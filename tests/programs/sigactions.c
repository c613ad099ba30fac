// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * What is done on each signal: default, ignored, or a handler with its flags and mask. After the restore the handlers
 * also run: on the alternative stack, with the mask, once only, with the value that was sent.
 */
#include <sys/syscall.h>
#include <ucontext.h>

#include "harness.h"

#define NR_SIGNALS 64
#define STACK_BYTES 65536

/* As the kernel has it. */
struct action {
	uint64_t handler, flags, restorer, mask;
};

static struct action before[NR_SIGNALS + 1], after[NR_SIGNALS + 1];
static char *stack;
static volatile int runs, value;
static volatile uint64_t mask_inside;
static volatile bool on_stack;

static void handler(int sig, siginfo_t *info, void *context)
{
	uint64_t mask;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
	mask_inside = mask;
	on_stack = (char *)&mask > stack && (char *)&mask < stack + STACK_BYTES;
	value = info->si_value.sival_int;
	runs++;
}

static void read_actions(struct action *all)
{
	for (int sig = 1; sig <= NR_SIGNALS; sig++)
		test_check(!syscall(SYS_rt_sigaction, sig, NULL, &all[sig], sizeof(uint64_t)));
}

static void set_actions(void)
{
	static const int flags[] = { SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_ONSTACK, SA_NOCLDSTOP, SA_NOCLDWAIT };

	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		struct sigaction act = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags[sig % 6] };

		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGUSR2 || sig == 32 || sig == 33 || sig % 5 == 4)
			continue;
		if (sig % 5 == 3)
			act = (struct sigaction){ .sa_handler = SIG_IGN };
		sigaddset(&act.sa_mask, sig % 31 + 1);
		sigaddset(&act.sa_mask, SIGRTMAX - sig % 7);
		test_check(!sigaction(sig, &act, NULL));
	}
}

static void use_handler(void)
{
	struct sigaction act;

	test_check(!sigqueue(getpid(), SIGRTMIN + 5, (union sigval){ .sival_int = 4711 }));
	if (runs != 1 || value != 4711)
		test_fail("the handler ran %d times, with the value %d", runs, value);
	if (!on_stack)
		test_fail("the handler did not run on the alternative stack");
	if (!(mask_inside & 1ULL << (SIGRTMAX - 1)))
		test_fail("signal %d was not blocked in the handler: %#lx", SIGRTMAX, mask_inside);
	test_check(!sigaction(SIGRTMIN + 5, NULL, &act));
	if (act.sa_handler != SIG_DFL)
		test_fail("the handler was not reset by SA_RESETHAND");
}

int main(int argc, char **argv)
{
	struct sigaction once = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND };
	stack_t ss = { .ss_size = STACK_BYTES };

	test_init(argc, argv);
	stack = ss.ss_sp = malloc(STACK_BYTES);
	test_check(stack && !sigaltstack(&ss, NULL));
	set_actions();
	sigaddset(&once.sa_mask, SIGRTMAX);
	test_check(!sigaction(SIGRTMIN + 5, &once, NULL));
	read_actions(before);
	test_ready();
	test_wait();
	read_actions(after);
	for (int sig = 1; sig <= NR_SIGNALS; sig++)
		if (memcmp(&before[sig], &after[sig], sizeof(before[sig])) != 0)
			test_fail("signal %d: handler %#lx flags %#lx mask %#lx, was %#lx %#lx %#lx", sig,
				  after[sig].handler, after[sig].flags, after[sig].mask, before[sig].handler,
				  before[sig].flags, before[sig].mask);
	use_handler();
	test_pass();
}
