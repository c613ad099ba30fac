// SPDX-License-Identifier: GPL-2.0-only
/* Who makes whom: trees as rows, and a simulation of the births that must end with what the rows say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "criu-like/state/births_plan.h"

#define NR_MAX 12
#define BASE 3000000 /* pids that nobody has */

struct row {
	pid_t pid, ppid, sid, pgid; /* from 1 on; 0 ends the rows */
};

struct task {
	bool born;
	pid_t parent, sid, pgid;
};

static void make(struct tree *tree, const struct row *rows)
{
	for (; rows->pid; rows++) {
		struct process *p =
			tree_add(tree, BASE + rows->pid, rows->ppid ? tree_find(tree, BASE + rows->ppid) : NULL);

		assert_non_null(p);
		assert_non_null(process_add_thread(p, p->pid));
		p->sid = BASE + rows->sid;
		p->pgid = BASE + rows->pgid;
	}
}

static size_t index_of(const struct tree *tree, const struct process *p)
{
	size_t i = 0;

	while (tree->procs[i] != p)
		i++;
	return i;
}

/* What the kernel does: one walk of a task's births, then those of the tasks that it made. */
static void bear(const struct tree *tree, struct task *tasks, const struct process *p)
{
	struct task *self = &tasks[index_of(tree, p)];

	for (int after = 0; after < 2; after++) {
		if (after && p->sid == p->pid)
			self->sid = self->pgid = p->pid;
		if (after && p->leads_group)
			self->pgid = p->pid;
		for (const struct process *c = p->first_borne; c; c = c->next_borne) {
			struct task *t = &tasks[index_of(tree, c)];

			if (births_before_session(c) == after)
				continue;
			assert_false(t->born);
			*t = (struct task){ true, births_is_sibling(c) ? self->parent : p->pid, self->sid, self->pgid };
		}
	}
	for (const struct process *c = p->first_borne; c; c = c->next_borne)
		bear(tree, tasks, c);
}

static void verify(const struct tree *tree, struct task *tasks)
{
	for (size_t i = 0; i < tree->nr; i++) {
		const struct process *p = tree->procs[i];
		const struct task *t = &tasks[i];

		assert_true(t->born);
		assert_int_equal(t->sid, p->sid);
		if (births_is_orphan(p)) {
			assert_true(p->bearer->helper);
			assert_int_equal(t->parent, p->bearer->pid);
		} else {
			assert_int_equal(t->parent, p->parent ? p->parent->pid : 0);
		}
		if (tree_find(tree, p->pgid))
			assert_true(tree_find(tree, p->pgid)->leads_group);
	}
}

static int plan(const struct row *rows, bool outside, size_t *nr_helpers)
{
	struct task tasks[4 * NR_MAX] = { 0 };
	struct tree tree = { 0 };
	struct diag diag;
	size_t nr;
	int ret;

	diag_init(&diag, -1, DIAG_ERROR);
	make(&tree, rows);
	nr = tree.nr;
	assert_int_equal(births_check(&tree, outside, &diag), births_check(&tree, outside, &diag));
	assert_int_equal(tree.nr, nr);
	ret = births_plan(&tree, outside, &diag);
	if (!ret) {
		const struct process *first = births_first(&tree);

		tasks[index_of(&tree, first)] = (struct task){ true, 0, outside ? tree.procs[0]->sid : 0, 0 };
		bear(&tree, tasks, first);
		verify(&tree, tasks);
		*nr_helpers = tree.nr - nr;
	}
	tree_free(&tree);
	return ret;
}

#define PLAN(helpers, outside, ...)                                                                   \
	do {                                                                                          \
		size_t _nr = 99;                                                                      \
		assert_int_equal(plan((const struct row[]){ __VA_ARGS__, { 0 } }, outside, &_nr), 0); \
		assert_int_equal(_nr, helpers);                                                       \
	} while (0)

static void test_inherited(void **state)
{
	PLAN(0, false, { 1, 0, 1, 1 }, { 2, 1, 1, 1 }, { 3, 2, 3, 3 }, { 4, 3, 3, 3 });
	/* born before one setsid, and before two */
	PLAN(0, false, { 1, 0, 1, 1 }, { 2, 1, 2, 2 }, { 3, 2, 1, 1 });
	PLAN(0, false, { 1, 0, 1, 1 }, { 2, 1, 2, 2 }, { 3, 2, 3, 3 }, { 4, 3, 1, 1 }, { 5, 3, 3, 3 });
}

static void test_leader_is_gone(void **state)
{
	PLAN(1, false, { 1, 0, 1, 1 }, { 2, 1, 9, 9 }, { 3, 1, 9, 9 }, { 4, 2, 9, 9 });
	/* a group alone, and one that is not the session's */
	PLAN(1, false, { 1, 0, 1, 1 }, { 2, 1, 1, 9 }, { 3, 1, 1, 9 });
	PLAN(2, false, { 1, 0, 1, 1 }, { 2, 1, 9, 8 });
	/* the root's own */
	PLAN(1, false, { 1, 0, 9, 9 }, { 2, 1, 9, 9 });
	/* a child and a grandchild by another way: the upper one becomes an orphan */
	PLAN(2, false, { 1, 0, 1, 1 }, { 2, 1, 1, 1 }, { 3, 2, 9, 9 }, { 4, 1, 9, 9 });
}

static void test_leader_is_elsewhere(void **state)
{
	/* a sibling, before and behind it in the tree */
	PLAN(0, false, { 1, 0, 1, 1 }, { 2, 1, 2, 2 }, { 3, 1, 2, 2 });
	PLAN(0, false, { 1, 0, 1, 1 }, { 2, 1, 3, 3 }, { 3, 1, 3, 3 });
	/* a nephew */
	PLAN(1, false, { 1, 0, 1, 1 }, { 2, 1, 1, 1 }, { 3, 2, 3, 3 }, { 4, 1, 3, 3 });
}

static void test_outside(void **state)
{
	PLAN(0, true, { 1, 0, 9, 8 }, { 2, 1, 9, 8 }, { 3, 2, 3, 3 }, { 4, 3, 9, 8 });
	/* another group of that session, whose leader is gone */
	PLAN(1, true, { 1, 0, 9, 8 }, { 2, 1, 9, 7 });
}

static void test_refused(void **state)
{
	const struct row own_child[] = { { 1, 0, 2, 2 }, { 2, 1, 2, 2 }, { 0 } };
	const struct row cousin[] = { { 1, 0, 1, 1 }, { 2, 1, 1, 1 }, { 3, 2, 3, 3 },
				      { 4, 1, 1, 1 }, { 5, 4, 3, 3 }, { 0 } };
	size_t nr;

	assert_int_equal(plan(own_child, false, &nr), -EOPNOTSUPP);
	assert_int_equal(plan(cousin, false, &nr), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_leader_is_gone),
		cmocka_unit_test(test_leader_is_elsewhere),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
