// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that touch, write, fork, mremap, madvise and munmap at random while their memory arrives, each word checked
 * against a model; with nobody, the server, the guardian, or both, killed at random moments. LAZY_ROUNDS
 * sets the number of rounds, LAZY_SEED the first seed, LAZY_TEST the test.
 */
#include <pthread.h>

#include "tests/unit/lazy_rig.h"

#define THREADS 4u
#define SLICE 2048u /* pages a thread: 8 MiB */
#define CHUNKS 64u
#define OPS 600u

/* A piece of a thread's memory, and what each page must hold: the page in the images, or 0 for zeros, or a value. */
struct chunk {
	char *at;
	uint64_t nr;
	uint64_t *want; /* WROTE set: the page's words are this value */
};

#define WROTE 1u

struct mutator {
	unsigned seed;
	struct chunk chunks[CHUNKS];
	unsigned nr;
	uint64_t bad;
	bool in_child;
};

struct run {
	unsigned seed;
};

static unsigned rnd(struct mutator *m, unsigned n)
{
	m->seed = m->seed * 1103515245 + 12345;
	return (m->seed >> 8) % n;
}

/* A length up to @most, within @left. */
static uint64_t some(struct mutator *m, uint64_t left, unsigned most)
{
	uint64_t nr = rnd(m, most) + 1;

	return MIN(nr, left);
}

RIG_UNTRACKED static void check(struct mutator *m, const struct chunk *c, uint64_t page)
{
	const uint64_t *w = (const uint64_t *)(c->at + page * PAGE_SIZE);
	uint64_t want = c->want[page];
	bool ok = true;

	if (want & WROTE)
		for (unsigned i = 0; i < RIG_WORDS && ok; i++)
			ok = w[i] == want;
	else
		ok = rig_page_is(w, want);
	if (!ok) {
		m->bad++;
		fprintf(stderr, "child: page %p: want %lx, has %lx (%lx)\n", (const void *)w, want, w[0],
			want ? rig_pattern(want, 0) : 0);
	}
}

static void failed(struct mutator *m, const char *what)
{
	fprintf(stderr, "child: %s: %s\n", what, strerror(errno));
	m->bad++;
}

static void touch(struct mutator *m, struct chunk *c)
{
	uint64_t page = rnd(m, (unsigned)c->nr), nr = rnd(m, 4) ? 1 : rnd(m, 64) + 1;

	for (uint64_t p = page; p < c->nr && p < page + nr; p++)
		check(m, c, p);
}

RIG_UNTRACKED static void write_page(struct mutator *m, struct chunk *c)
{
	uint64_t page = rnd(m, (unsigned)c->nr), value = (uint64_t)rnd(m, 1u << 20) << 8 | WROTE;
	uint64_t *w = (uint64_t *)(c->at + page * PAGE_SIZE);

	for (unsigned i = 0; i < RIG_WORDS; i++)
		w[i] = value;
	c->want[page] = value;
}

static void discard(struct mutator *m, struct chunk *c)
{
	uint64_t page = rnd(m, (unsigned)c->nr), nr = some(m, c->nr - page, 100);

	if (madvise(c->at + page * PAGE_SIZE, nr * PAGE_SIZE, MADV_DONTNEED))
		failed(m, "madvise");
	memset(c->want + page, 0, nr * sizeof(*c->want));
	if (rnd(m, 2))
		check(m, c, page);
}

/* Cut a chunk so that [page, page + nr) is one of its own. Return: it, or NULL when there are too many. */
static struct chunk *cut(struct mutator *m, struct chunk *c, uint64_t page, uint64_t nr)
{
	struct chunk all = *c;

	if (m->nr + 2 > CHUNKS)
		return NULL;
	if (page + nr < all.nr)
		m->chunks[m->nr++] =
			(struct chunk){ all.at + (page + nr) * PAGE_SIZE, all.nr - page - nr, all.want + page + nr };
	if (page)
		m->chunks[m->nr++] = (struct chunk){ all.at, page, all.want };
	*c = (struct chunk){ all.at + page * PAGE_SIZE, nr, all.want + page };
	return c;
}

static void move(struct mutator *m, struct chunk *c)
{
	uint64_t page = rnd(m, (unsigned)c->nr), nr = some(m, c->nr - page, 300);
	void *hint, *to;

	c = cut(m, c, page, nr);
	if (!c)
		return;
	/* Half of the time to wherever the kernel likes: perhaps where another thread has just moved away from. */
	hint = rnd(m, 2) ? mmap(NULL, nr * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
	to = mremap(c->at, nr * PAGE_SIZE, nr * PAGE_SIZE, MREMAP_MAYMOVE | (hint ? MREMAP_FIXED : MREMAP_DONTUNMAP),
		    hint);
	if (to == MAP_FAILED) {
		failed(m, "mremap");
		return;
	}
	if (!hint)
		munmap(c->at, nr * PAGE_SIZE);
	c->at = to;
	check(m, c, rnd(m, (unsigned)nr));
}

static void drop(struct mutator *m, struct chunk *c)
{
	uint64_t page = rnd(m, (unsigned)c->nr), nr = some(m, c->nr - page, 50);

	c = cut(m, c, page, nr);
	if (!c)
		return;
	if (munmap(c->at, nr * PAGE_SIZE))
		failed(m, "munmap");
	*c = m->chunks[--m->nr];
}

static void mutate(struct mutator *m, unsigned ops);

static void fork_off(struct mutator *m)
{
	int status;
	pid_t pid;

	if (m->in_child)
		return;
	pid = fork();
	if (!pid) {
		m->in_child = true;
		m->bad = 0;
		mutate(m, 40);
		_exit(m->bad ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		failed(m, "fork");
}

static void mutate(struct mutator *m, unsigned ops)
{
	for (unsigned i = 0; i < ops && m->nr && !m->bad; i++) {
		struct chunk *c = &m->chunks[rnd(m, m->nr)];
		unsigned what = rnd(m, 100);

		if (what < 60)
			touch(m, c);
		else if (what < 75)
			write_page(m, c);
		else if (what < 85)
			discard(m, c);
		else if (what < 94)
			move(m, c);
		else if (what < 98)
			drop(m, c);
		else
			fork_off(m);
	}
}

static void *thread(void *arg)
{
	struct mutator *m = arg;

	mutate(m, OPS);
	for (unsigned i = 0; i < m->nr && !m->bad; i++)
		for (uint64_t p = 0; p < m->chunks[i].nr && !m->bad; p++)
			check(m, &m->chunks[i], p);
	return m;
}

/* The body: THREADS slices of the region, every second page run of which is in the images. */
static int body(void *arg)
{
	const struct run *run = arg;
	static struct mutator m[THREADS];
	pthread_t threads[THREADS];
	uint64_t *want =
		mmap(NULL, THREADS * SLICE * sizeof(*want), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int bad = 0;

	for (unsigned p = 0; p < THREADS * SLICE; p++)
		want[p] = p % 512 < 500 ? RIG_BASE + p * PAGE_SIZE : 0;
	for (unsigned i = 0; i < THREADS; i++) {
		m[i].seed = run->seed * 31 + i;
		m[i].nr = 1;
		m[i].chunks[0] =
			(struct chunk){ (char *)RIG_BASE + (uint64_t)i * SLICE * PAGE_SIZE, SLICE, want + i * SLICE };
		if (pthread_create(&threads[i], NULL, thread, &m[i]))
			return 3;
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		bad |= m[i].bad != 0;
	}
	return bad;
}

enum victim { NOBODY, SERVER, GUARDIAN, IN_TURN, BOTH_AT_ONCE };

static void pause_us(unsigned us)
{
	struct timespec ts = { 0, us * 1000L };

	nanosleep(&ts, NULL);
}

/* Kill at random moments, which is what the sleeps are for. */
static void kill_at_random(struct rig *r, enum victim victim, unsigned *seed)
{
	for (unsigned i = 0; victim != NOBODY && i < 3; i++) {
		pid_t server;

		pause_us(rand_r(seed) % 8000);
		server = rig_server_pid(r);
		if (victim != GUARDIAN && server)
			kill(server, SIGKILL);
		if (victim == SERVER || (victim == IN_TURN && i == 0))
			continue;
		kill(r->server, SIGKILL);
		return;
	}
}

static bool service_alive(const struct rig *r)
{
	char command[192];

	/* The guardian that was started is dead; its successors hold the log open. */
	snprintf(command, sizeof(command), "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q '%s/lazy.log'", r->path);
	return system(command) == 0;
}

static void round_of(struct rig *r, struct run *run, enum victim victim)
{
	unsigned seed = run->seed;
	int child, server;

	r->pages = THREADS * SLICE;
	r->map = (struct pagemap){ .pages_id = 1 };
	for (unsigned p = 0; p < r->pages; p += 512)
		assert_int_equal(pagemap_append(&r->map, RIG_BASE + p * PAGE_SIZE, 500, PE_PRESENT | PE_LAZY), 0);
	rig_child(r, body, run);
	rig_write_images(r);
	rig_serve(r);
	rig_go(r);
	kill_at_random(r, victim, &seed);
	child = rig_wait(&r->child);
	server = rig_wait(&r->server);
	for (unsigned i = 0; server >= 1000 && service_alive(r) && i < 1000; i++)
		pause_us(10000);
	if (child == 1000 + SIGKILL)
		assert_true(rig_logged(r, "processes were killed"));
	else if (child == RIG_NOT_TAKEN) /* the service died before it had taken the memory: then nothing may run */
		assert_true(victim != NOBODY && victim != SERVER);
	else
		assert_int_equal(child, 0);
	if (child == 0 && (victim == NOBODY || victim == SERVER))
		assert_int_equal(server, 0);
	pagemap_free(&r->map);
	r->map = (struct pagemap){ 0 };
}

static void rounds(struct rig *r, enum victim victim)
{
	unsigned nr = (unsigned)atoi(getenv("LAZY_ROUNDS") ?: "5"), first = (unsigned)atoi(getenv("LAZY_SEED") ?: "1");

	rig_need_uffd();
	for (unsigned i = 0; i < nr; i++) {
		struct run run = { first + i };

		round_of(r, &run, victim);
	}
}

static void nobody_dies(void **state)
{
	rounds(*state, NOBODY);
}

static void server_dies(void **state)
{
	rounds(*state, SERVER);
}

static void guardian_dies(void **state)
{
	rounds(*state, GUARDIAN);
}

static void die_in_turn(void **state)
{
	rounds(*state, IN_TURN);
}

static void both_die_at_once(void **state)
{
	rounds(*state, BOTH_AT_ONCE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(nobody_dies), TEST(server_dies), TEST(guardian_dies), TEST(die_in_turn), TEST(both_die_at_once),
	};

	cmocka_set_test_filter(getenv("LAZY_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
