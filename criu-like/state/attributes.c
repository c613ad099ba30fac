// SPDX-License-Identifier: GPL-2.0-only
/*
 * What prctl(2) and arch_prctl(2) set, and the image format has no place for. One row says how it is read and set. A
 * new task has what all begin with; only what differs is kept. Those of the process come with its leader, whose list is
 * the last to run: from then on nothing that they forbid (memory to write and execute) is needed.
 *
 * Syscall user dispatch would catch the calls of the dump's batch: it is off while the thread is ours.
 */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/state/kinds.h"

/* Newer than the headers of the systems that thaw is built on. */
#ifndef PR_GET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_GET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

static const struct attribute {
	ThawAttribute which;
	bool of_process, optional; /* optional: a machine where it cannot be set has no need of it */
	long nr;
	uint64_t get[2];
	bool by_pointer; /* get[1] is to point to an int for the value; else it is the result */
	uint64_t set[2];
	unsigned value_at; /* which argument of the setting call it is */
	uint64_t need;	   /* bits of what is read that say that it can be set at all */
	uint64_t usual;
} attributes[] = {
	{ .which = THAW_ATTRIBUTE__TSC,
	  .nr = SYS_prctl,
	  .get = { PR_GET_TSC },
	  .by_pointer = true,
	  .set = { PR_SET_TSC },
	  .value_at = 1,
	  .usual = PR_TSC_ENABLE },
	{ .which = THAW_ATTRIBUTE__CPUID,
	  .nr = ARCH_PRCTL,
	  .get = { ARCH_PRCTL_GET_CPUID },
	  .set = { ARCH_PRCTL_SET_CPUID },
	  .value_at = 1,
	  .usual = 1 },
	{ .which = THAW_ATTRIBUTE__SPECULATIVE_STORES,
	  .optional = true,
	  .nr = SYS_prctl,
	  .get = { PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS },
	  .set = { PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS },
	  .value_at = 2,
	  .need = PR_SPEC_PRCTL,
	  .usual = PR_SPEC_ENABLE },
	{ .which = THAW_ATTRIBUTE__SPECULATIVE_BRANCHES,
	  .optional = true,
	  .nr = SYS_prctl,
	  .get = { PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH },
	  .set = { PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH },
	  .value_at = 2,
	  .need = PR_SPEC_PRCTL,
	  .usual = PR_SPEC_ENABLE },
	{ .which = THAW_ATTRIBUTE__L1D_FLUSH,
	  .optional = true,
	  .nr = SYS_prctl,
	  .get = { PR_GET_SPECULATION_CTRL, PR_SPEC_L1D_FLUSH },
	  .set = { PR_SET_SPECULATION_CTRL, PR_SPEC_L1D_FLUSH },
	  .value_at = 2,
	  .need = PR_SPEC_PRCTL,
	  .usual = PR_SPEC_DISABLE },
	{ .which = THAW_ATTRIBUTE__MCE_KILL,
	  .nr = SYS_prctl,
	  .get = { PR_MCE_KILL_GET },
	  .set = { PR_MCE_KILL, PR_MCE_KILL_SET },
	  .value_at = 2,
	  .usual = PR_MCE_KILL_DEFAULT },
	{ .which = THAW_ATTRIBUTE__IO_FLUSHER,
	  .nr = SYS_prctl,
	  .get = { PR_GET_IO_FLUSHER },
	  .set = { PR_SET_IO_FLUSHER },
	  .value_at = 1 },
	{ .which = THAW_ATTRIBUTE__MDWE,
	  .of_process = true,
	  .nr = SYS_prctl,
	  .get = { PR_GET_MDWE },
	  .set = { PR_SET_MDWE },
	  .value_at = 1 },
	{ .which = THAW_ATTRIBUTE__MEMORY_MERGE,
	  .of_process = true,
	  .optional = true,
	  .nr = SYS_prctl,
	  .get = { PR_GET_MEMORY_MERGE },
	  .set = { PR_SET_MEMORY_MERGE },
	  .value_at = 1 },
	/* What is read has the flags above the bit that says that they are disabled. */
	{ .which = THAW_ATTRIBUTE__THP_FLAGS,
	  .of_process = true,
	  .optional = true,
	  .nr = SYS_prctl,
	  .get = { PR_GET_THP_DISABLE },
	  .set = { PR_SET_THP_DISABLE, 1 },
	  .value_at = 2,
	  .need = 1 },
};

static bool has_attribute(const struct attribute *a, const struct process *p, const struct thread *t)
{
	return !a->of_process || t->tid == p->pid;
}

static int ask_attributes(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		const struct attribute *a = &attributes[i];

		if (has_attribute(a, p, t))
			batch_call(b, 0, a->nr, a->get[0],
				   a->by_pointer ? batch_data(b, NULL, sizeof(int)) : a->get[1]);
	}
	return 0;
}

/* Not there: an older kernel, or a capability is missing without which it cannot have been set. */
static bool is_absent(int64_t result)
{
	return result == -EINVAL || result == -ENOSYS || result == -EPERM || result == -ENODEV ||
	       result == -EOPNOTSUPP || result == -EACCES || result == -EIO || result == -ENXIO;
}

static uint64_t read_attribute(const struct attribute *a, const struct batch *b, size_t idx)
{
	int64_t value = batch_result(b, idx);

	if (value < 0)
		return a->usual;
	if (a->by_pointer)
		value = *(int *)kind_answer(b, idx, 1);
	return ((uint64_t)value & a->need) == a->need ? (uint64_t)value & ~a->need : a->usual;
}

static int keep_attribute(struct dump *d, struct thread *t, ThawAttribute which, uint64_t value)
{
	ThawThreadEntry *e = t->extra;
	ThawAttributeEntry *entry = arena_alloc(d->arena, sizeof(*entry));

	if (!e->attributes)
		e->attributes = arena_array(d->arena, ARRAY_SIZE(attributes), sizeof(*e->attributes));
	if (!entry || !e->attributes)
		return kind_no_memory(d->diag);
	thaw_attribute_entry__init(entry);
	entry->which = which;
	entry->value = value;
	e->attributes[e->n_attributes++] = entry;
	return 0;
}

static int keep_dispatch(struct dump *d, struct thread *t)
{
	const struct dispatch *now = &t->tracee.dispatch;
	ThawDispatchEntry *e;

	if (!now->mode)
		return 0;
	e = arena_alloc(d->arena, sizeof(*e));
	if (!e)
		return kind_no_memory(d->diag);
	thaw_dispatch_entry__init(e);
	e->mode = now->mode;
	e->selector = now->selector;
	e->offset = now->offset;
	e->len = now->len;
	t->extra->dispatch = e;
	return 0;
}

static int take_attributes(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	int ret = keep_dispatch(d, t);

	for (size_t i = 0; !ret && i < ARRAY_SIZE(attributes); i++) {
		const struct attribute *a = &attributes[i];
		uint64_t value;

		if (!has_attribute(a, p, t))
			continue;
		if (batch_result(b, first) < 0 && !is_absent(batch_result(b, first)))
			return kind_unread(d, p, t, batch_result(b, first), "attributes (prctl)");
		value = read_attribute(a, b, first++);
		if (value != a->usual)
			ret = keep_attribute(d, t, a->which, value);
	}
	return ret;
}

static const struct attribute *find_attribute(ThawAttribute which)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (attributes[i].which == which)
			return &attributes[i];
	return NULL;
}

static int tell_attributes(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	for (size_t i = 0; t->extra && i < t->extra->n_attributes; i++) {
		const ThawAttributeEntry *e = t->extra->attributes[i];
		const struct attribute *a = find_attribute(e->which);
		uint64_t arg[6];

		if (!a)
			return diag_fail(r->diag, EOPNOTSUPP, "thread %d has an attribute that thaw does not know (%d)",
					 t->tid, (int)e->which);
		memcpy(arg, (const uint64_t[6]){ a->set[0], a->set[1] }, sizeof(arg));
		arg[a->value_at] = e->value;
		batch_call6(b, a->optional ? 0 : BATCH_MUST, a->nr, arg);
	}
	return 0;
}

static int check_attributes(struct dump *d, struct process *p, struct thread *t)
{
	int ret = tracee_suspend_dispatch(&t->tracee);

	return ret < 0 ? kind_unread(d, p, t, ret, "syscall user dispatch") : 0;
}

static int apply_attributes(struct restore *r, struct process *p, struct thread *t)
{
	const ThawDispatchEntry *e = t->extra ? t->extra->dispatch : NULL;

	/* Put in place at the release. */
	if (e)
		t->tracee.dispatch = (struct dispatch){ e->mode, e->selector, e->offset, e->len };
	return 0;
}

const struct state_kind kind_attributes = {
	.name = "attributes (prctl)",
	.check = check_attributes,
	.ask = ask_attributes,
	.take = take_attributes,
	.tell = tell_attributes,
	.apply = apply_attributes,
};
