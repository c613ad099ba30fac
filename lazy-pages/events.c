// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "lazy-pages/objects.h"
#include "lazy-pages/reorder.h"
#include "lazy-pages/serve.h"

/*
 * Events, and why their order is safe.
 *
 * A system call that changes the registered address space (munmap, mremap, madvise, fork) raises mmap_changing in the
 * kernel, waits for fills under way, does its work, queues its event and sleeps until that has been read. From the
 * first to the last of these every new fill fails with EAGAIN. So a fill can land wrongly in one way only: its
 * destination was looked up before the event was read, and its system call starts after. The gate closes that hole: the
 * owner shuts it before each read, when no worker is between its look at the gate's number and the end of its system
 * call, and opens it with a new number once the events are in the map. A job from before finds the number changed and
 * goes back to the owner. The owner's own fills are looked up and done between two reads.
 *
 * Faults are announced before events, whichever came first, so a batch's events are applied before its faults are
 * looked up. A fault that meets EAGAIN (an event came meanwhile) stays queued and is looked up again after the read;
 * the kernel does not announce it twice.
 *
 * FORK: the kernel makes the child's copy while fills are shut out, and the gate is shut when the event is applied, so
 * the parent's bits say exactly what the child has.
 *
 * A successor must know what was read: the messages lie in shared memory, and each space's map says which is the last
 * one that is in it. A killed thread finishes its read() first, so none is lost between the kernel and there; and a map
 * changes at one stroke, so none is half applied.
 */

/* How much from @start on, at most @max, is in one registered area. */
static uint64_t area_len(const struct space *sp, uint64_t start, uint64_t max)
{
	uint64_t len = 0, step = PAGE_SIZE;

	if (max && fill_area(sp, start, start + max) > 0)
		return max;
	while (step >= PAGE_SIZE) {
		bool more = len + step <= max && fill_area(sp, start, start + len + step) > 0;

		len += more ? step : 0;
		step = more ? step * 2 : step / 2;
	}
	return len;
}

static int apply_fork(struct server *s, struct space *parent, int uffd)
{
	struct shared_row *row;
	struct space *sp;
	int ret;

	for (unsigned i = 0; i < s->nr_rows; i++) /* a dead server came as far as this */
		if (s->sh->rows[i].live && s->sh->rows[i].uffd == uffd)
			return 0;
	row = serve_new_row(s);
	if (!row)
		return diag_fail(s->diag, EMFILE, "process %d forked, and %d address spaces are being served already",
				 parent->row->pid, SHARED_MAX_SPACES);
	*row = (struct shared_row){
		.uffd = uffd,
		.pidfd = -1,
		.memfd = -1,
		.image_pid = parent->row->image_pid,
		.settled = parent->row->settled,
		.session = parent->row->session,
		.shares = parent->row->shares,
		.huge = parent->row->huge,
	};
	ret = space_fork(&sp, parent, row, s->diag);
	if (ret)
		return ret;
	/* What the parent's other threads have under way is not the child's. */
	ret = reorder_settle(sp) ?: reorder_prune(sp, area_len);
	if (ret)
		return ret;
	space_publish(sp);
	diag_debug(s->diag, "process %d forked: uffd %d lacks %lu pages", parent->row->pid, row->uffd,
		   space_remaining(sp));
	return serve_add_space(s, sp);
}

static int apply_event(struct server *s, struct space *sp, const struct uffd_msg *msg)
{
	switch (msg->event) {
	case UFFD_EVENT_FORK:
		return apply_fork(s, sp, (int)msg->arg.fork.ufd);
	case UFFD_EVENT_REMAP:
		diag_debug(s->diag, "process %d (uffd %d): remap %llx+%llx to %llx", sp->row->pid, sp->row->uffd,
			   msg->arg.remap.from, msg->arg.remap.len, msg->arg.remap.to);
		if (sp->nr_tails < SPACE_MAX_TAILS)
			sp->tail[sp->nr_tails++] = msg->arg.remap.to + msg->arg.remap.len;
		return reorder_remap(sp, msg->arg.remap.from, msg->arg.remap.to, msg->arg.remap.len);
	case UFFD_EVENT_REMOVE:
		diag_debug(s->diag, "process %d (uffd %d): remove %llx-%llx", sp->row->pid, sp->row->uffd,
			   msg->arg.remove.start, msg->arg.remove.end);
		return reorder_remove(sp, msg->arg.remove.start, msg->arg.remove.end);
	case UFFD_EVENT_UNMAP:
		diag_debug(s->diag, "process %d (uffd %d): unmap %llx-%llx", sp->row->pid, sp->row->uffd,
			   msg->arg.remove.start, msg->arg.remove.end);
		return reorder_unmap(sp, msg->arg.remove.start, msg->arg.remove.end);
	}
	return diag_fail(s->diag, EPROTO, "process %d: unknown event %u from its userfaultfd", sp->row->pid,
			 msg->event);
}

/* Apply the inbox's events, those that are not in the map yet. */
static int apply_inbox(struct server *s, struct space *sp, size_t nr, bool replay, bool *changed)
{
	struct shared_inbox *in = &s->sh->inbox;

	for (size_t i = 0; i < nr; i++) {
		int ret;

		if (!in->msg[i].event || in->msg[i].event == UFFD_EVENT_PAGEFAULT)
			continue;
		*changed = true;
		if (!space_begin(sp, in->serial + i))
			continue;
		shared_add(&sp->stats->events, 1);
		if (s->trace)
			trace_event(s->trace, sp, &in->msg[i], now_ns());
		ret = objects_event(s, sp, &in->msg[i], replay) ?: apply_event(s, sp, &in->msg[i]);
		if (ret)
			return diag_fail(s->diag, -ret, "cannot keep up with the memory of process %d: %s",
					 sp->row->pid, strerror(-ret));
		space_commit(sp, in->serial + i);
	}
	return 0;
}

static int queue_fault(struct server *s, struct space *sp, uint64_t addr, uint64_t now)
{
	int ret = grow(&s->faults, s->nr_faults, &s->cap_faults, sizeof(*s->faults));

	if (ret)
		return diag_fail(s->diag, ENOMEM, "out of memory for a fault");
	s->faults[s->nr_faults++] = (struct fault){ sp, addr, now };
	return 0;
}

int events_read(struct server *s, struct space *sp)
{
	struct shared_inbox *in = &s->sh->inbox;
	bool changed = false;
	uint64_t now;
	ssize_t len;
	size_t nr;
	int ret = objects_before_read(s, sp);

	if (ret)
		return ret;
	in->row = (int32_t)(sp->row - s->sh->rows);
	gate_shut(&sp->gate);
	len = read(sp->row->uffd, in->msg, sizeof(in->msg));
	nr = len > 0 ? (size_t)len / sizeof(in->msg[0]) : 0;
	ret = apply_inbox(s, sp, nr, false, &changed);
	gate_open(&sp->gate, changed);
	objects_after_read(s, sp);
	now = now_ns();
	for (size_t i = 0; i < nr && !ret; i++)
		if (in->msg[i].event == UFFD_EVENT_PAGEFAULT)
			ret = queue_fault(s, sp, in->msg[i].arg.pagefault.address, now);
	memset(in->msg, 0, nr * sizeof(in->msg[0]));
	in->serial += SHARED_MAX_MESSAGES;
	in->row = -1;
	return ret;
}

/* The owner changes the map by itself. */
static void change_begin(struct server *s, struct space *sp)
{
	gate_shut(&sp->gate);
	space_begin(sp, s->sh->inbox.serial);
}

static int change_end(struct server *s, struct space *sp, int ret)
{
	space_commit(sp, s->sh->inbox.serial++);
	gate_open(&sp->gate, true);
	return ret ? diag_fail(s->diag, -ret, "cannot keep up with the memory of process %d: %s", sp->row->pid,
			       strerror(-ret))
		   : 0;
}

/* Memory that moves may grow, and its event does not say by how much: from @tail on. */
static int learn_tail(struct space *sp, uint64_t tail)
{
	uint64_t end, len = reorder_known(sp, tail, &end) ? 0 : area_len(sp, tail, FILL_HIGHEST - tail);

	return len ? reorder_area(sp, tail, tail + len) : 0;
}

int events_settle(struct server *s, struct space *sp)
{
	int ret;

	if ((!reorder_unsettled(sp) && !sp->nr_tails) || fill_event_pending(sp))
		return 0;
	change_begin(s, sp);
	ret = reorder_settle(sp);
	while (!ret && sp->nr_tails)
		ret = learn_tail(sp, sp->tail[--sp->nr_tails]);
	return change_end(s, sp, ret);
}

int events_touched(struct server *s, struct space *sp, uint64_t addr)
{
	uint64_t start = PAGE_DOWN(addr), end = start + PAGE_SIZE, below;

	if (reorder_known(sp, addr, &below) || fill_area(sp, start, end) <= 0)
		return 0;
	if (below && fill_area(sp, below, end) > 0)
		start = below;
	change_begin(s, sp);
	return change_end(s, sp, reorder_area(sp, start, end));
}

int events_note_areas(struct server *s, struct space *sp)
{
	int ret = 0;

	change_begin(s, sp);
	for (size_t i = 0; i < sp->src->nr_areas && !ret; i++) {
		const struct source_area *a = &sp->src->areas[i];
		uint64_t end;

		if (reorder_known(sp, a->start, &end) && a->end <= end)
			continue;
		if (fill_area(sp, a->start, a->end) > 0)
			ret = reorder_area(sp, a->start, a->end);
	}
	return change_end(s, sp, ret);
}

int events_replay(struct server *s)
{
	struct shared_inbox *in = &s->sh->inbox;
	bool changed;
	int ret = 0;

	if (in->row >= 0 && s->spaces[in->row])
		ret = apply_inbox(s, s->spaces[in->row], SHARED_MAX_MESSAGES, true, &changed);
	memset(in->msg, 0, sizeof(in->msg));
	in->serial += SHARED_MAX_MESSAGES;
	in->row = -1;
	return ret;
}
