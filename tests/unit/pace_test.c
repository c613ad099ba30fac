// SPDX-License-Identifier: GPL-2.0-only
/* When the drain may go on: arithmetic only, the server itself is in lazy_modes_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/util.h"
#include "lazy-pages/pace.h"

#define SECOND 1000000000ULL
#define MIB (1ULL << 20)

static void no_mode_is_no_limit(void **state)
{
	struct pace p;

	pace_start(&p, &(struct lazy_modes){ 0 }, 5 * SECOND);
	assert_int_equal(pace_hold(&p, 0), 0);
	assert_int_equal(pace_hold(&p, 6 * SECOND), 6 * SECOND + PACE_HOLD_NS);
	assert_true(pace_beside(&p));
	assert_int_equal(pace_limit(&p, 512), 512);
	pace_spend(&p, 512, 6 * SECOND);
	assert_true(pace_next(&p) <= 6 * SECOND);
}

static void on_demand_never_drains(void **state)
{
	struct pace p;

	pace_start(&p, &(struct lazy_modes){ .on_demand = true }, 5 * SECOND);
	assert_true(pace_next(&p) == PACE_NEVER);
	pace_hurry(&p);
	assert_true(pace_next(&p) == 0);
}

static void idle_counts_from_the_last_fault(void **state)
{
	struct pace p;

	pace_start(&p, &(struct lazy_modes){ .until_idle = true }, 5 * SECOND);
	assert_int_equal(pace_hold(&p, 0), 5 * SECOND + PACE_IDLE_NS);
	assert_int_equal(pace_hold(&p, 7 * SECOND), 7 * SECOND + PACE_IDLE_NS);
	assert_false(pace_beside(&p));
	pace_hurry(&p);
	assert_int_equal(pace_hold(&p, 0), 0);
}

/* Drain for ten seconds, each job starting @late after it may. Return: pages. */
static uint64_t drained(uint64_t rate, uint64_t late)
{
	uint64_t now = 100 * SECOND, end = now + 10 * SECOND, pages = 0;
	struct pace p;

	pace_start(&p, &(struct lazy_modes){ .drain_rate = rate }, now);
	for (;;) {
		uint64_t nr = pace_limit(&p, 512);

		now = MAX(now, pace_next(&p)) + late;
		if (now >= end)
			return pages;
		pace_spend(&p, nr, now);
		pages += nr;
	}
}

static void assert_about(uint64_t got, uint64_t want)
{
	assert_in_range(got, want - want / 50 - 1, want + want / 50 + 1);
}

static void rate_is_kept(void **state)
{
	assert_about(drained(100 * MIB, 0), 10 * 100 * MIB / PAGE_SIZE);
	assert_about(drained(1000 * MIB, 0), 10 * 1000 * MIB / PAGE_SIZE);
	assert_about(drained(PAGE_SIZE, 0), 10);
	/* A job that comes a little late is made up for. */
	assert_about(drained(100 * MIB, PACE_SLACK_NS / 10), 10 * 100 * MIB / PAGE_SIZE);
	/* A long pause is not: no burst follows it. */
	assert_true(drained(100 * MIB, SECOND) <= 11 * 512);
}

static void small_rates_make_small_jobs(void **state)
{
	struct pace p;

	pace_start(&p, &(struct lazy_modes){ .drain_rate = 1 }, SECOND);
	assert_int_equal(pace_limit(&p, 512), 1);
	pace_start(&p, &(struct lazy_modes){ .drain_rate = MIB }, SECOND);
	assert_int_equal(pace_limit(&p, 512), MIB / 50 / PAGE_SIZE);
	assert_int_equal(pace_limit(&p, 2), 2);
}

static void what_was_not_filled_is_not_counted(void **state)
{
	struct pace p;

	pace_start(&p, &(struct lazy_modes){ .drain_rate = 100 * MIB }, SECOND);
	pace_spend(&p, 512, SECOND);
	assert_true(pace_next(&p) > SECOND);
	pace_refund(&p, 512);
	assert_true(pace_next(&p) <= SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_mode_is_no_limit),
		cmocka_unit_test(on_demand_never_drains),
		cmocka_unit_test(idle_counts_from_the_last_fault),
		cmocka_unit_test(rate_is_kept),
		cmocka_unit_test(small_rates_make_small_jobs),
		cmocka_unit_test(what_was_not_filled_is_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
