// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make one of the system calls fail that Thaw has other tasks make. Linked with Thaw in the place of what starts them
 * (ld --wrap); its main program is otherwise the same.
 *
 * THAW_FAULT=N: the Nth record of a batch, or remote call, fails with ENOMEM; 0: none. THAW_FAULT_REPORT names a file
 * that gets a line "calls TOTAL" at the end, and "failed NUMBER".
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "criu-like/inject/inject.h"

int __real_inject_write(struct injection *inj, struct diag *diag);
int __real_inject_read(struct injection *inj, struct diag *diag);
int __real_tracee_start_list(struct tracee *t, const struct batch *b, size_t first);
int __real_tracee_syscall(struct tracee *t, uint64_t insn, long nr, const uint64_t arg[6], int64_t *result);
int __wrap_inject_write(struct injection *inj, struct diag *diag);
int __wrap_inject_read(struct injection *inj, struct diag *diag);
int __wrap_tracee_start_list(struct tracee *t, const struct batch *b, size_t first);
int __wrap_tracee_syscall(struct tracee *t, uint64_t insn, long nr, const uint64_t arg[6], int64_t *result);

/* One for the process, since what is wrapped has no room for more. */
static struct {
	unsigned long wanted, calls;
	long failed;
	size_t record; /* in a dump's batch the one that was spoiled, and the argument that it had */
	uint64_t argument;
	bool copied; /* a dump, whose batches are written before their lists are started */
	pid_t owner;
} faults;

static void report(void)
{
	FILE *f = getpid() == faults.owner ? fopen(getenv("THAW_FAULT_REPORT"), "we") : NULL;

	if (!f)
		return;
	fprintf(f, "calls %lu\n", faults.calls);
	if (faults.failed >= 0)
		fprintf(f, "failed %ld\n", faults.failed);
	fclose(f);
}

static bool __attribute__((constructor)) begin(void)
{
	const char *wanted = getenv("THAW_FAULT");

	faults.wanted = wanted ? strtoul(wanted, NULL, 10) : 0;
	faults.failed = -1;
	faults.owner = getpid();
	if (getenv("THAW_FAULT_REPORT"))
		atexit(report);
	return wanted != NULL;
}

static bool is_wanted(long nr)
{
	if (++faults.calls != faults.wanted)
		return false;
	faults.failed = nr;
	return true;
}

/* A call that does nothing but to fail with ENOMEM. */
static void spoil(struct batch_record *r)
{
	r->nr = SYS_mmap;
	r->arg[1] = ~0ULL;
}

int __wrap_inject_read(struct injection *inj, struct diag *diag)
{
	int ret = __real_inject_read(inj, diag);
	struct batch_record *r = batch_record_at(&inj->batch, faults.record);

	if (faults.argument && r)
		r->arg[1] = faults.argument;
	faults.argument = 0;
	return ret;
}

static bool makes_call(const struct batch_record *r)
{
	return !(r->flags & (BATCH_END | BATCH_LARGE));
}

int __wrap_inject_write(struct injection *inj, struct diag *diag)
{
	faults.copied = true;
	for (size_t i = 0; i < inj->batch.nr_records; i++) {
		struct batch_record *r = batch_record_at(&inj->batch, i);

		if (!makes_call(r) || !is_wanted((long)r->nr))
			continue;
		faults.record = i;
		faults.argument = r->arg[1];
		spoil(r);
	}
	return __real_inject_write(inj, diag);
}

int __wrap_tracee_start_list(struct tracee *t, const struct batch *b, size_t first)
{
	for (size_t i = first; !faults.copied; i++) {
		struct batch_record *r = batch_record_at(b, i);

		if (!r || r->flags & BATCH_END)
			break;
		if (makes_call(r) && is_wanted((long)r->nr))
			spoil(r);
	}
	return __real_tracee_start_list(t, b, first);
}

int __wrap_tracee_syscall(struct tracee *t, uint64_t insn, long nr, const uint64_t arg[6], int64_t *result)
{
	if (!is_wanted(nr))
		return __real_tracee_syscall(t, insn, nr, arg, result);
	*result = -ENOMEM;
	return 0;
}
