// SPDX-License-Identifier: GPL-2.0-only
/* The modes of the lazy-pages server, as the process sees them: which pages come without being touched, and when. */
#include "tests/unit/lazy_rig.h"

#define PAGES 3000u
#define AT(page) ((char *)RIG_BASE + (uint64_t)(page)*PAGE_SIZE)
#define IS(page) rig_page_is(AT(page), (uint64_t)(uintptr_t)AT(page))
#define FAR 2900u /* not near any page that is touched */
#define CHECK(what)                                                               \
	do {                                                                      \
		if (!(what)) {                                                    \
			fprintf(stderr, "child: line %d: %s\n", __LINE__, #what); \
			return 1;                                                 \
		}                                                                 \
	} while (0)

/* A drain of the whole region takes a tenth of this. */
#define TIME_FOR_A_DRAIN 50000

static void start(struct rig *r, int (*body)(void *arg), void *arg)
{
	rig_need_uffd();
	r->pages = PAGES;
	r->map.pages_id = 1;
	assert_int_equal(pagemap_append(&r->map, RIG_BASE, PAGES, PE_PRESENT | PE_LAZY), 0);
	rig_child(r, body, arg);
	rig_write_images(r);
	rig_serve(r);
	rig_go(r);
}

static void both_end_well(struct rig *r)
{
	assert_int_equal(rig_wait(&r->child), 0);
	assert_int_equal(rig_wait(&r->server), 0);
}

/* How many pages of the region are there, without touching any. */
static unsigned there(void)
{
	static const char path[] = "/proc/self/pagemap";
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t entries[PAGES];
	unsigned nr = 0;

	if (full_pread(fd, entries, sizeof(entries), RIG_BASE / PAGE_SIZE * 8) != sizeof(entries))
		return 0;
	for (unsigned i = 0; i < PAGES; i++)
		nr += entries[i] >> 63;
	return nr;
}

static bool all_come(unsigned seconds)
{
	uint64_t end = now_us() + seconds * 1000000ull;

	while (there() < PAGES && now_us() < end)
		usleep(1000);
	return there() == PAGES;
}

static int only_what_is_touched(void *arg)
{
	CHECK(IS(5) && IS(1005));
	usleep(TIME_FOR_A_DRAIN);
	CHECK(there() < 600);
	for (unsigned p = 0; p < PAGES; p += 3)
		CHECK(IS(p));
	return 0;
}

static void on_demand_fills_what_is_touched(void **state)
{
	struct rig *r = *state;

	r->modes.on_demand = true;
	start(r, only_what_is_touched, NULL);
	both_end_well(r);
}

/* The last process with the memory is a child that nobody watches. */
static int leaves_a_child(void *arg)
{
	if (fork())
		return 0;
	CHECK(IS(7));
	return 0;
}

static void on_demand_ends_with_the_last_process(void **state)
{
	struct rig *r = *state;

	r->modes.on_demand = true;
	start(r, leaves_a_child, NULL);
	both_end_well(r);
}

static int tells_and_waits(void *arg)
{
	CHECK(IS(5) && there() < PAGES);
	CHECK(write(*(int *)arg, "", 1) == 1);
	return all_come(20) && IS(FAR) ? 0 : 1;
}

static void terminated_server_drains_first(void **state)
{
	struct rig *r = *state;
	int pipefd[2];
	char byte;

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	r->modes.on_demand = true;
	start(r, tells_and_waits, &pipefd[1]);
	assert_int_equal(read(pipefd[0], &byte, 1), 1);
	assert_int_equal(kill(r->server, SIGTERM), 0);
	both_end_well(r);
	assert_true(rig_logged(r, "at full speed"));
	close(pipefd[0]);
	close(pipefd[1]);
}

static int takes_half_a_second(void *arg)
{
	uint64_t begin = now_us();

	CHECK(all_come(20));
	CHECK(now_us() - begin >= 400000);
	return 0;
}

static void rate_limits_the_drain(void **state)
{
	struct rig *r = *state;

	r->modes.drain_rate = 2 * PAGES * PAGE_SIZE;
	start(r, takes_half_a_second, NULL);
	both_end_well(r);
}

static int touches_and_rests(void *arg)
{
	uint64_t last = now_us(), longest = 0;

	for (unsigned p = 0; p < 100; p++) {
		CHECK(IS(p));
		usleep(1000);
		longest = MAX(longest, now_us() - last);
		last = now_us();
	}
	CHECK(there() < 600 || longest > 400000); /* the machine was too busy to tell */
	CHECK(all_come(20));
	CHECK(now_us() - last > 200000 || longest > 200000);
	return 0;
}

static void busy_memory_is_not_drained(void **state)
{
	struct rig *r = *state;

	r->modes.until_idle = true;
	start(r, touches_and_rests, NULL);
	both_end_well(r);
}

/* The images' pagemap is that of the process that comes now. */
static void rename_pagemap(struct rig *r, pid_t old)
{
	char from[128], to[128];

	snprintf(from, sizeof(from), "%s/pagemap-%d.img", r->path, old);
	snprintf(to, sizeof(to), "%s/pagemap-%d.img", r->path, r->child);
	assert_int_equal(rename(from, to), 0);
}

/* Another process from the same images. @last: the one before, set to this one */
static void start_again(struct rig *r, pid_t *last, int (*body)(void *arg), void *arg)
{
	rig_child(r, body, arg);
	rename_pagemap(r, *last);
	*last = r->child;
	rig_serve(r);
	rig_go(r);
}

static int touches_some(void *arg)
{
	CHECK(IS(FAR) && IS(100));
	*(unsigned *)arg = there();
	return 0;
}

/* What the recorded process got for what it touched comes by itself, and nothing else. */
static int gets_some(void *arg)
{
	unsigned *pages = arg;
	uint64_t end = now_us() + 20000000;

	while (there() < *pages && now_us() < end)
		usleep(100);
	CHECK(there() == *pages);
	CHECK(IS(FAR) && IS(100));
	CHECK(there() == *pages);
	CHECK(IS(1000 + 10 * *pages)); /* another one each time */
	CHECK(there() > *pages);
	*pages = there();
	return 0;
}

static void record_is_replayed(void **state)
{
	struct rig *r = *state;
	unsigned *pages = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t last;

	r->modes = (struct lazy_modes){ .on_demand = true, .record = true };
	start(r, touches_some, pages);
	last = r->child;
	both_end_well(r);
	for (unsigned i = 0; i < 2; i++) { /* what is replayed stays in the set, and what is touched then is added */
		start_again(r, &last, gets_some, pages);
		both_end_well(r);
	}
	munmap(pages, PAGE_SIZE);
}

/* Memory that is moved, thrown away or gone when its turn in the replay comes. */
static int changes_memory(void *arg)
{
	char *to = mmap(NULL, 500 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(mremap(AT(0), 500 * PAGE_SIZE, 500 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	CHECK(!madvise(AT(500), 500 * PAGE_SIZE, MADV_DONTNEED));
	CHECK(!munmap(AT(1000), 500 * PAGE_SIZE));
	CHECK(mmap(AT(1000), 500 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == AT(1000));
	for (unsigned p = 0; p < 500; p++) {
		CHECK(rig_page_is(to + p * PAGE_SIZE, (uint64_t)(uintptr_t)AT(p)));
		CHECK(rig_page_is(AT(500 + p), 0) && rig_page_is(AT(1000 + p), 0));
	}
	for (unsigned p = 1500; p < PAGES; p++)
		CHECK(IS(p));
	return 0;
}

static int touches_all(void *arg)
{
	for (unsigned p = 0; p < PAGES; p++)
		CHECK(IS(p));
	return 0;
}

static void replay_follows_changes(void **state)
{
	struct rig *r = *state;
	pid_t last;

	r->modes = (struct lazy_modes){ .on_demand = true, .record = true };
	start(r, touches_all, NULL);
	last = r->child;
	both_end_well(r);
	for (unsigned i = 0; i < 10; i++) {
		start_again(r, &last, changes_memory, NULL);
		both_end_well(r);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(on_demand_fills_what_is_touched), TEST(on_demand_ends_with_the_last_process),
		TEST(terminated_server_drains_first),  TEST(rate_limits_the_drain),
		TEST(busy_memory_is_not_drained),      TEST(record_is_replayed),
		TEST(replay_follows_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
