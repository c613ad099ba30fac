// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who must make whom.
 *
 * A process is in the session that its maker was in at that moment, until it starts its own; it is its maker's child,
 * or with CLONE_PARENT its sibling. So for each process there is a session that it must be born in (none in particular
 * for a leader, unless its children need one), and mostly its parent is in that session, before or after the parent's
 * own setsid(2). Where it is not, in this order:
 *
 * - The session's leader is gone: a helper is born with the leader's pid and starts the session.
 * - The session's leader is a sibling: it makes the process with CLONE_PARENT.
 * - The leader is a descendant of the parent: a helper is born to the leader, makes the process, and ends while the
 *   parent is a child subreaper: so the process becomes the parent's, as it once did.
 *
 * A process group whose leader is gone is made by a helper with the leader's pid, born to a member of the group. All
 * helpers end, and are waited for by their parents, when the groups are complete.
 */
#include "criu-like/state/births_plan.h"

#include <errno.h>
#include <signal.h>

#define FIRST_FREE_PID 300 /* below that the kernel gives out no number a second time */
#define PID_LIMIT (1 << 22)

static bool is_leader(const struct process *p)
{
	return p->sid == p->pid;
}

/* The session that a process must be born in, 0: any. */
static pid_t wanted_session(const struct process *p)
{
	return is_leader(p) ? p->born_sid : p->sid;
}

bool births_is_sibling(const struct process *p)
{
	return p->bearer && p->bearer->parent == p->parent;
}

bool births_is_orphan(const struct process *p)
{
	return p->bearer && p->bearer != p->parent && !births_is_sibling(p);
}

bool births_before_session(const struct process *p)
{
	pid_t sid = wanted_session(p);

	return p->bearer && p->bearer == p->parent && is_leader(p->bearer) && sid && sid != p->bearer->pid;
}

/* The session from outside that the root is in, 0: none. */
static pid_t outside_session(const struct tree *tree, bool outside)
{
	return outside && tree->nr && !is_leader(tree->procs[0]) ? tree->procs[0]->sid : 0;
}

static struct process *session_leader(const struct tree *tree, pid_t sid)
{
	struct process *p = tree_find(tree, sid);

	return p && is_leader(p) ? p : NULL;
}

/* Can a leader have been born in that session, as its ancestors are or were in it? */
static bool inherits(const struct process *p, pid_t sid, pid_t outer)
{
	for (const struct process *q = p->parent; q; q = q->parent)
		if (!is_leader(q) || q->pid == sid)
			return q->sid == sid;
	return sid == outer;
}

/* From the leaves up: a leader is born in the session that a child of its needs, if it can have been. */
static void choose_sessions(struct tree *tree, pid_t outer)
{
	for (size_t i = tree->nr; i-- > 1;) {
		struct process *q = tree->procs[i]->parent;
		pid_t sid = wanted_session(tree->procs[i]);

		if (q && sid && is_leader(q) && sid != q->pid && !q->born_sid && inherits(q, sid, outer))
			q->born_sid = sid;
	}
}

static bool parent_can_bear(const struct process *p, pid_t outer)
{
	pid_t sid = wanted_session(p);

	if (!p->parent)
		return !sid || sid == outer;
	return !sid || sid == p->parent->pid || sid == wanted_session(p->parent);
}

static unsigned depth(const struct process *p)
{
	unsigned n = 0;

	while ((p = p->parent))
		n++;
	return n;
}

static bool is_ancestor(const struct process *a, const struct process *p)
{
	while (p && p != a)
		p = p->parent;
	return p == a;
}

static struct process *add_helper(struct tree *tree, pid_t pid, struct process *parent, pid_t sid, pid_t pgid)
{
	struct process *h = tree_add(tree, pid, parent);

	if (!h || !process_add_thread(h, pid))
		return NULL;
	h->helper = h->zombie = true;
	h->sid = sid;
	h->pgid = pgid;
	return h;
}

/* Its place is as deep as any process needs it: those that are higher up become orphans of it. */
static int add_missing_leaders(struct tree *tree, pid_t outer)
{
	size_t nr = tree->nr;

	for (size_t i = 0; i < nr; i++) {
		struct process *p = tree->procs[i], *deepest = p;

		if (parent_can_bear(p, outer) || session_leader(tree, wanted_session(p)))
			continue;
		for (size_t k = i + 1; k < nr; k++) {
			struct process *q = tree->procs[k];

			if (wanted_session(q) == wanted_session(p) && !parent_can_bear(q, outer) &&
			    depth(q) > depth(deepest))
				deepest = q;
		}
		if (!add_helper(tree, wanted_session(p), deepest->parent, wanted_session(p), wanted_session(p)))
			return -ENOMEM;
	}
	return 0;
}

static bool has_number(const struct process *p, pid_t n)
{
	if (p->pid == n || p->sid == n || p->pgid == n)
		return true;
	for (size_t i = 0; i < p->nr_threads; i++)
		if (p->threads[i].tid == n)
			return true;
	return false;
}

/* A number that nobody has, here or in the tree. */
static pid_t free_pid(const struct tree *tree)
{
	for (pid_t n = FIRST_FREE_PID; n < PID_LIMIT; n++) {
		bool taken = !kill(n, 0) || errno != ESRCH || !kill(-n, 0) || errno != ESRCH;

		for (size_t i = 0; !taken && i < tree->nr; i++)
			taken = has_number(tree->procs[i], n);
		if (!taken)
			return n;
	}
	return 0;
}

static int cannot(const struct process *p, struct diag *diag)
{
	return diag_fail(diag, EOPNOTSUPP,
			 "process %d is in session %d, which neither its ancestors nor their other descendants were "
			 "in; Thaw cannot restore that",
			 p->pid, p->sid);
}

static int choose_bearer(struct tree *tree, struct process *p, pid_t outer, struct diag *diag)
{
	struct process *leader, *helper;

	p->bearer = p->parent;
	if (parent_can_bear(p, outer))
		return 0;
	leader = session_leader(tree, wanted_session(p));
	if (!leader || is_ancestor(p, leader))
		return cannot(p, diag);
	if (leader->parent == p->parent) {
		p->bearer = leader;
		return 0;
	}
	if (!p->parent || !is_ancestor(p->parent, leader))
		return cannot(p, diag);
	helper = add_helper(tree, free_pid(tree), leader, leader->pid, leader->pgid);
	if (!helper)
		return -ENOMEM;
	helper->bearer = leader;
	p->bearer = helper;
	return 0;
}

static int add_group_leaders(struct tree *tree, pid_t outer)
{
	for (size_t i = 0; i < tree->nr; i++) {
		struct process *p = tree->procs[i], *leader = tree_find(tree, p->pgid), *helper;

		if (leader)
			leader->leads_group = true;
		if (leader || (p->sid == outer && p->pgid == tree->procs[0]->pgid))
			continue;
		helper = add_helper(tree, p->pgid, p, p->sid, p->pgid);
		if (!helper)
			return -ENOMEM;
		helper->bearer = p;
		helper->leads_group = true;
	}
	return 0;
}

static void link_borne(struct tree *tree)
{
	for (size_t i = tree->nr; i-- > 0;) {
		struct process *p = tree->procs[i];

		if (p->bearer) {
			p->next_borne = p->bearer->first_borne;
			p->bearer->first_borne = p;
		}
	}
}

/* Those reached from the first by births; all, unless two wait for each other. */
static int check_order(const struct tree *tree, struct diag *diag)
{
	for (size_t i = 0; i < tree->nr; i++) {
		const struct process *p = tree->procs[i];
		size_t steps = 0;

		while (p->bearer && steps++ <= tree->nr)
			p = p->bearer;
		if (p != births_first(tree))
			return cannot(tree->procs[i], diag);
	}
	return 0;
}

struct process *births_first(const struct tree *tree)
{
	struct process *root = tree->procs[0];

	return root->bearer ? root->bearer : root;
}

int births_plan(struct tree *tree, bool outside, struct diag *diag)
{
	pid_t outer = outside_session(tree, outside);
	int ret;

	choose_sessions(tree, outer);
	ret = add_missing_leaders(tree, outer);
	for (size_t i = 0, nr = tree->nr; !ret && i < nr; i++)
		ret = choose_bearer(tree, tree->procs[i], outer, diag);
	if (!ret)
		ret = add_group_leaders(tree, outer);
	if (ret)
		return ret;
	for (size_t i = 0; i < tree->nr; i++)
		if (tree->procs[i]->bearer != tree->procs[i]->parent &&
		    (tree->procs[i]->files_of || tree->procs[i]->fs_of))
			return cannot(tree->procs[i], diag); /* whom it shares with must make it */
	link_borne(tree);
	return check_order(tree, diag);
}

int births_check(const struct tree *tree, bool outside, struct diag *diag)
{
	struct tree copy = { 0 };
	int ret = 0;

	for (size_t i = 0; !ret && i < tree->nr; i++) {
		const struct process *p = tree->procs[i];
		struct process *c = tree_add(&copy, p->pid, p->parent ? tree_find(&copy, p->parent->pid) : NULL);

		if (!c || !process_add_thread(c, p->pid)) {
			ret = -ENOMEM;
			break;
		}
		c->sid = p->sid;
		c->pgid = p->pgid;
		c->zombie = p->zombie;
		c->files_of = p->files_of;
		c->fs_of = p->fs_of;
	}
	if (!ret)
		ret = births_plan(&copy, outside, diag);
	tree_free(&copy);
	return ret;
}
