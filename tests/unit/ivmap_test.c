// SPDX-License-Identifier: GPL-2.0-only
/* The interval map against a plain array, operation by operation, at random. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/ivmap.h"
#include "common/util.h"

#define SPAN 300u
#define CAP 200u
#define FAR (1ULL << 62) /* nothing may be cut to 32 bits */

static void compare(const struct ivmap *map, const uint64_t *model)
{
	for (size_t i = 0; i < map->nr; i++) {
		assert_true(map->v[i].start < map->v[i].end);
		if (!i)
			continue;
		assert_true(map->v[i - 1].end <= map->v[i].start);
	}
	for (unsigned at = 0; at < SPAN; at++) {
		size_t i = ivmap_find(map, FAR + at);
		bool in = i < map->nr && map->v[i].start <= FAR + at;

		assert_true(i == map->nr || map->v[i].end > FAR + at);
		assert_int_equal(in, model[at] != 0);
		if (in)
			assert_int_equal(map->v[i].val + (FAR + at - map->v[i].start), model[at]);
	}
}

static void like_an_array(void **state)
{
	struct interval v[CAP];
	struct ivmap map = { v, 0, CAP };
	uint64_t model[SPAN] = { 0 }, moved[SPAN];

	srand(7);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned a = (unsigned)rand() % SPAN, n = (unsigned)rand() % (SPAN - a) % 40 + 1, to;
		uint64_t val = (uint64_t)rand() % 1000 + 1;

		switch (rand() % 3) {
		case 0:
			assert_int_equal(ivmap_set(&map, FAR + a, FAR + a + n, val), 0);
			for (unsigned i = 0; i < n; i++)
				model[a + i] = val + i;
			break;
		case 1:
			assert_int_equal(ivmap_clear(&map, FAR + a, FAR + a + n), 0);
			memset(model + a, 0, n * sizeof(*model));
			break;
		case 2:
			to = (unsigned)rand() % (SPAN - n + 1);
			assert_int_equal(ivmap_move(&map, FAR + a, FAR + to, n), 0);
			memcpy(moved, model + a, n * sizeof(*model));
			memset(model + a, 0, n * sizeof(*model));
			memcpy(model + to, moved, n * sizeof(*model));
			break;
		}
		compare(&map, model);
	}
}

static void neighbours_melt(void **state)
{
	struct interval v[4];
	struct ivmap map = { v, 0, 4 };

	assert_int_equal(ivmap_set(&map, 0, 10, 100), 0);
	assert_int_equal(ivmap_set(&map, 20, 30, 120), 0);
	assert_int_equal(map.nr, 2);
	assert_int_equal(ivmap_set(&map, 10, 20, 110), 0);
	assert_int_equal(map.nr, 1);
	assert_int_equal(map.v[0].end, 30);
	assert_int_equal(ivmap_set(&map, 30, 40, 7), 0);
	assert_int_equal(map.nr, 2);
}

static void full_is_said_and_harmless(void **state)
{
	struct interval v[2], before[2];
	struct ivmap map = { v, 0, 2 };

	assert_int_equal(ivmap_set(&map, 0, 10, 100), 0);
	assert_int_equal(ivmap_set(&map, 20, 30, 500), 0);
	memcpy(before, v, sizeof(v));
	assert_int_equal(ivmap_clear(&map, 3, 5), -ENOSPC);
	assert_int_equal(ivmap_set(&map, 40, 50, 1), -ENOSPC);
	assert_int_equal(ivmap_move(&map, 0, 100, 5), -ENOSPC);
	assert_int_equal(map.nr, 2);
	assert_memory_equal(before, v, sizeof(v));
	assert_int_equal(ivmap_set(&map, 5, 5, 1), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_an_array),
		cmocka_unit_test(neighbours_melt),
		cmocka_unit_test(full_is_said_and_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
