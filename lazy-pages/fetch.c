// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/fetch.h"

#include <errno.h>
#include <string.h>

#include "common/util.h"
#include "lazy-pages/reorder.h"
#include "lazy-pages/serve.h"

/*
 * A fault whose page is not here yet is answered by a request, and stays in the queue of faults until the page has come
 * and been filled. What comes is a delivery, known by the pages' numbers in the images: where they belong now is looked
 * up when it has come, in every space that has pages of this source, so a fork or a mremap() in between does not
 * matter. Urgent ones the owner fills itself, the others are jobs for the workers. One that an event has stopped is
 * looked up again. A delivery is let go of when no space lacks any of its pages.
 *
 * What nobody has touched comes ahead of time. With CRIU's protocol it is asked for, as far as AHEAD; less while
 * somebody waits, since the answers come in the order of the requests. With Thaw's it comes by itself, as far as the
 * page server has been granted it; each new connection is told anew what is missing, and from time to time it is told
 * what is not wanted any more.
 */

#define AHEAD 2048UL	    /* pages */
#define AHEAD_WAITING 256UL /* while somebody waits for a page */
#define WAITING_NS 2000000  /* or has waited so shortly ago */
#define GRANTED 4096UL	    /* pages that may be on their way, or wait to be filled */
#define GRANT 256UL	    /* are granted at once */
#define TELL_NS 20000000    /* between two times that the page server is told what is not wanted any more */

static struct network_source *network_source(const struct space *sp)
{
	return (struct network_source *)sp->src;
}

/* How many pages from @slot on, at most @max, have been asked for, or (@asked false) have not. */
static uint64_t same_asked(const struct network_source *ns, uint64_t slot, uint64_t max, bool asked)
{
	uint64_t nr = 0;

	while (nr < max && ((ns->asked[(slot + nr) / 64] >> (slot + nr) % 64 & 1) != 0) == asked)
		nr++;
	return nr;
}

static void note_asked(struct network_source *ns, uint64_t slot, uint64_t nr, bool asked)
{
	for (uint64_t i = slot; i < slot + nr; i++) {
		if (asked)
			ns->asked[i / 64] |= 1ULL << i % 64;
		else
			ns->asked[i / 64] &= ~(1ULL << i % 64);
	}
}

/* Ask for what of these pages was not asked for yet. */
static int ask(struct server *s, struct network_source *ns, uint64_t slot, uint64_t nr, bool urgent)
{
	uint64_t end = slot + nr;

	while ((slot += same_asked(ns, slot, end - slot, true)) < end) {
		uint64_t some = same_asked(ns, slot, MIN(end - slot, NETWORK_PIECE), false);
		int ret = network_pushes(s->opt->network) ? network_say(s->opt->network, NETWORK_GET, ns, slot, some)
							  : network_ask(s->opt->network, ns, slot, some, urgent);

		if (ret == -ENOMEM)
			return diag_fail(s->diag, ENOMEM, "out of memory for a request");
		note_asked(ns, slot, some, true); /* a broken connection shows in fetch_collect() */
		slot += some;
	}
	return 0;
}

static void queue(struct server *s, struct delivery *a)
{
	a->next = NULL;
	*s->fetch.last = a;
	s->fetch.last = &a->next;
}

/* Take a delivery out of the queue. */
static void unqueue(struct server *s, struct delivery **at)
{
	struct delivery *a = *at;

	*at = a->next;
	if (!a->next)
		s->fetch.last = at;
}

/* Whoever still lacks some of it was not registered there yet: it has to come once more. */
static void want_again(struct server *s, const struct delivery *a)
{
	for (unsigned i = 0; i < s->nr_rows; i++) {
		struct space *sp = s->spaces[i];
		uint64_t slot = a->slot, end = a->slot + a->nr, nr;

		if (!sp || sp->src != a->src || sp->over)
			continue;
		for (; (slot += space_there(sp, slot, end - slot)) < end; slot += nr) {
			nr = space_missing(sp, slot, end - slot);
			note_asked(network_source(sp), slot, nr, false);
			if (network_pushes(s->opt->network))
				network_say(s->opt->network, NETWORK_WANT, network_source(sp), slot, nr);
		}
	}
}

static void let_go(struct server *s, struct delivery *a)
{
	want_again(s, a);
	s->fetch.staged -= a->nr;
	network_release(s->opt->network, a);
}

/* The pages of @p, which are among those of @a. */
static void point_at(struct piece *p, const struct delivery *a)
{
	p->data = a->data ? a->data + (p->run->index + p->skip - a->slot) * PAGE_SIZE : NULL;
}

static int fill_now(struct server *s, struct space *sp, const struct delivery *a, struct piece *p,
		    enum shared_lane lane)
{
	int ret = 0;

	point_at(p, a);
	if (p->data)
		return fill_piece(&s->filler, sp, p, 0, false, lane);
	for (; p->nr && !ret; p->nr--, p->dst += PAGE_SIZE, p->skip++)
		ret = fill_bad(&s->filler, sp, p, -ENODATA, "the page server does not have it");
	return ret;
}

/* Fill it into all spaces that lack it. Return: whether that is done */
static bool place_now(struct server *s, const struct delivery *a, enum shared_lane lane)
{
	bool done = true;

	for (unsigned i = 0; i < s->nr_rows; i++) {
		struct space *sp = s->spaces[i];
		struct piece p;
		int ret = 0;

		if (!sp || sp->src != a->src || sp->over)
			continue;
		if (reorder_unsettled(sp)) {
			done = false;
			continue;
		}
		while (!ret && space_of_pages(sp, a->slot, a->nr, &p))
			ret = fill_now(s, sp, a, &p, lane);
		if (ret == -ESRCH)
			sp->over = true;
		else if (ret)
			done = false;
	}
	return done;
}

/* A job for what one space lacks of it. Return: 1 when there is more to do there, 0, or -errno with a sentence */
static int submit(struct server *s, struct space *sp, struct delivery *a, uint64_t *slot)
{
	struct job *job = s->idle_jobs;
	int ret;

	if (!space_of_pages(sp, *slot, a->slot + a->nr - *slot, &job->piece))
		return 0;
	point_at(&job->piece, a);
	*slot = job->piece.run->index + job->piece.skip + job->piece.nr;
	job->delivery = a;
	a->refs++;
	ret = drain_submit(s, sp, SHARED_DRAIN);
	return ret ? ret : 1;
}

/* Make jobs of it, one for each piece, as far as there are idle ones; a->again tells that there is more to do. */
static int hand_out(struct server *s, struct delivery *a)
{
	for (unsigned i = 0; i < s->nr_rows; i++) {
		struct space *sp = s->spaces[i];
		uint64_t slot = a->slot;
		int ret = 1;

		if (!sp || sp->src != a->src || sp->over)
			continue;
		if (reorder_unsettled(sp)) {
			a->again = true;
			s->feed_after = now_ns() + SERVE_RETRY_NS;
			continue;
		}
		while (ret > 0 && s->idle_jobs)
			ret = submit(s, sp, a, &slot);
		if (ret < 0)
			return ret;
		if (ret > 0)
			a->again = true;
	}
	return 0;
}

void fetch_job_back(struct server *s, struct job *job)
{
	struct delivery *a = job->delivery;

	if (job->piece.nr && job->result != -ESRCH)
		a->again = true;
	job->delivery = NULL;
	if (--a->refs)
		return;
	if (a->again)
		queue(s, a);
	else
		let_go(s, a);
}

static int hand_out_all(struct server *s)
{
	while (s->fetch.first && s->idle_jobs && now_ns() >= s->feed_after) {
		struct delivery *a = s->fetch.first;
		int ret;

		unqueue(s, &s->fetch.first);
		a->again = false;
		if (!a->data) {
			if (place_now(s, a, SHARED_DRAIN))
				let_go(s, a);
			else
				queue(s, a);
			return 0;
		}
		ret = hand_out(s, a);
		if (ret)
			return ret;
		if (!a->refs && a->again)
			queue(s, a);
		else if (!a->refs)
			let_go(s, a);
	}
	return 0;
}

/* The delivery in the queue that has a page, and its place there; NULL: none has. */
static struct delivery **find_queued(struct server *s, const struct source *src, uint64_t slot)
{
	for (struct delivery **at = &s->fetch.first; *at; at = &(*at)->next)
		if ((*at)->src == src && slot >= (*at)->slot && slot - (*at)->slot < (*at)->nr)
			return at;
	return NULL;
}

/* The bulk is to go on behind these pages. */
static void go_on_behind(struct server *s, const struct network_source *ns, const struct piece *p)
{
	uint64_t next = p->run->index + p->skip + p->nr;

	if (next < ns->src.map.nr_present && pagemap_find_page(&ns->src.map, next) == p->run)
		network_say(s->opt->network, NETWORK_FROM, ns, next, 1);
}

int fetch_fault(struct server *s, struct space *sp, struct piece *p, uint64_t addr)
{
	uint64_t slot = p->run->index + p->skip + (PAGE_DOWN(addr) - p->dst) / PAGE_SIZE;
	struct delivery **at = find_queued(s, sp->src, slot);
	int ret;

	if (at) {
		struct piece here;

		ret = space_of_pages(sp, slot, 1, &here) ? fill_now(s, sp, *at, &here, SHARED_FAULT) : 0;
		return ret;
	}
	if (same_asked(network_source(sp), slot, 1, false)) {
		ret = ask(s, network_source(sp), p->run->index + p->skip, p->nr, true);
		if (ret)
			return ret;
		s->focus = sp;
		sp->cursor = sp->expected = p->dst + p->nr * PAGE_SIZE;
		if (network_pushes(s->opt->network))
			go_on_behind(s, network_source(sp), p);
	}
	return -EINPROGRESS;
}

static bool anything_missing(const struct server *s)
{
	for (unsigned i = 0; i < s->nr_rows; i++)
		if (s->spaces[i] && !s->spaces[i]->over && space_remaining(s->spaces[i]))
			return true;
	return false;
}

void fetch_collect(struct server *s)
{
	struct delivery *a = network_collect(s->opt->network, &s->fetch.error);

	while (a) {
		struct delivery *next = a->next;

		s->fetch.staged += a->nr;
		if (a->nr < a->asked) /* the answer was short: ask for the rest once more */
			note_asked((struct network_source *)a->src, a->slot + a->nr, a->asked - a->nr, false);
		if (a->urgent && place_now(s, a, SHARED_FAULT))
			let_go(s, a);
		else
			queue(s, a);
		a = next;
	}
	if (s->fetch.error)
		serve_unwatch(s, network_fd(s->opt->network));
}

static int broken(struct server *s)
{
	int error = s->fetch.error;

	return diag_fail(s->diag, error == -ENODATA ? ECONNRESET : -error,
			 "the page server at %s is gone before all memory has come: %s", network_peer(s->opt->network),
			 error == -ENODATA  ? "it closed the connection"
			 : error == -EPROTO ? "it sent what was not asked for"
					    : strerror(-error));
}

/* The next pages to ask for: behind the cursor, else from the start. */
static bool ask_next(struct server *s, struct space *sp, int *ret)
{
	struct network_source *ns = network_source(sp);
	uint64_t from = sp->cursor;
	bool wrapped = false;

	for (;;) {
		struct piece p;
		uint64_t slot, skip;

		if (!space_next(sp, from, NETWORK_PIECE, &p)) {
			if (wrapped)
				return false;
			wrapped = true;
			from = 0;
			continue;
		}
		slot = p.run->index + p.skip;
		skip = same_asked(ns, slot, p.nr, true);
		from = sp->cursor = p.dst + p.nr * PAGE_SIZE;
		if (skip == p.nr)
			continue;
		*ret = ask(s, ns, slot + skip, p.nr - skip, false);
		pace_spend(&s->pace, p.nr - skip, now_ns());
		return true;
	}
}

static bool may_ask(const struct space *sp)
{
	return sp && sp->row->settled && !sp->over && !reorder_unsettled(sp);
}

/* The space of the last fault first, then all others. Return: 1 when something was asked for, 0, or -errno */
static int ask_some(struct server *s)
{
	int ret = 0;

	if (s->focus && may_ask(s->focus) && ask_next(s, s->focus, &ret))
		return ret ? ret : 1;
	for (unsigned i = 0; i < s->nr_rows; i++)
		if (may_ask(s->spaces[i]) && ask_next(s, s->spaces[i], &ret))
			return ret ? ret : 1;
	return 0;
}

/* Is nothing to come ahead of time while somebody touches memory? Then s->held is set. */
static bool until_idle(struct server *s, uint64_t now)
{
	uint64_t hold = pace_hold(&s->pace, s->last_fault);

	if (!s->pace.modes.until_idle || now >= hold)
		return false;
	s->held = hold;
	return true;
}

/* Ask ahead, as far as that is wanted. */
static int ask_ahead(struct server *s)
{
	uint64_t now = now_ns();
	bool waiting = s->nr_waiting || now < s->last_fault + WAITING_NS;
	int ret = 1;

	if (until_idle(s, now))
		return 0;
	while (ret > 0 && network_owed(s->opt->network) + s->fetch.staged < (waiting ? AHEAD_WAITING : AHEAD)) {
		if (drain_rated(s, now))
			return 0;
		ret = ask_some(s);
	}
	return MIN(ret, 0);
}

/* Pages that no space lacks, of the word of bits that begins with @page. */
static uint64_t nobody_lacks(const struct server *s, const struct network_source *ns, uint64_t page)
{
	uint64_t bits = ~0ULL;

	for (unsigned i = 0; i < s->nr_rows && bits; i++)
		if (s->spaces[i] && s->spaces[i]->src == &ns->src)
			bits &= __atomic_load_n(&s->spaces[i]->there[page / 64], __ATOMIC_ACQUIRE);
	return bits;
}

/* Say of runs of pages whose bits are set in @bits; they are those from @page on. @run, @nr: a run that goes on. */
static void say_runs(struct server *s, const struct network_source *ns, enum network_word word, uint64_t page,
		     uint64_t bits, uint64_t *run, uint64_t *nr)
{
	for (unsigned i = 0; i < 64; i++) {
		bool set = bits >> i & 1;

		if (set && !*nr)
			*run = page + i;
		*nr += set;
		if (!set && *nr) {
			network_say(s->opt->network, word, ns, *run, *nr);
			*nr = 0;
		}
	}
}

/* Tell a new connection all that is missing. */
static void say_wanted(struct server *s, struct network_source *ns)
{
	uint64_t run = 0, nr = 0, pages = ns->src.map.nr_present;

	for (uint64_t page = 0; page < pages; page += 64)
		say_runs(s, ns, NETWORK_WANT, page, ~(nobody_lacks(s, ns, page) | ns->dropped[page / 64]), &run, &nr);
	say_runs(s, ns, NETWORK_WANT, 0, 0, &run, &nr);
}

static void say_dropped(struct server *s, struct network_source *ns)
{
	uint64_t run = 0, nr = 0, pages = ns->src.map.nr_present;

	for (uint64_t page = 0; page < pages; page += 64) {
		uint64_t valid = pages - page < 64 ? (1ULL << (pages - page)) - 1 : ~0ULL;
		uint64_t bits = nobody_lacks(s, ns, page) & ~ns->dropped[page / 64] & valid;

		say_runs(s, ns, NETWORK_DROP, page, bits, &run, &nr);
		ns->dropped[page / 64] |= bits;
	}
	say_runs(s, ns, NETWORK_DROP, 0, 0, &run, &nr);
}

/* Have the page server know what is wanted of whom, and what is not any more. */
static void inform(struct server *s)
{
	uint64_t generation = network_generation(s->opt->network), now = now_ns();
	bool tell = now >= s->fetch.told + TELL_NS;

	if (generation != s->fetch.generation)
		network_owes_nothing(s->opt->network);
	s->fetch.generation = generation;
	s->fetch.told = tell ? now : s->fetch.told;
	for (unsigned i = 0; i < s->nr_rows; i++)
		if (s->spaces[i])
			network_source(s->spaces[i])->had_space = true;
	for (size_t i = 0; i < s->nr_sources; i++) {
		struct network_source *ns = (struct network_source *)s->sources[i].src;

		if (!ns->had_space)
			continue;
		if (ns->generation != generation) {
			memset(ns->asked, 0, (ns->src.map.nr_present / 64 + 1) * sizeof(*ns->asked));
			say_wanted(s, ns);
			ns->generation = generation;
		}
		if (tell)
			say_dropped(s, ns);
	}
}

static bool anything_settled(const struct server *s)
{
	for (unsigned i = 0; i < s->nr_rows; i++)
		if (may_ask(s->spaces[i]))
			return true;
	return false;
}

/* Let more come, as far as that is wanted. */
static void grant(struct server *s)
{
	uint64_t now = now_ns();
	uint64_t some = s->pace.modes.drain_rate ? NETWORK_PIECE : GRANT;

	if (until_idle(s, now))
		return;
	while (network_owed(s->opt->network) + s->fetch.staged + some <= GRANTED && anything_settled(s)) {
		if (drain_rated(s, now))
			return;
		network_grant(s->opt->network, some);
		pace_spend(&s->pace, some, now);
	}
}

static int ask_for_more(struct server *s)
{
	if (!network_pushes(s->opt->network))
		return ask_ahead(s);
	inform(s);
	grant(s);
	return 0;
}

int fetch_run(struct server *s)
{
	int ret = hand_out_all(s);

	s->held = s->fetch.first && now_ns() < s->feed_after ? s->feed_after : 0;
	if (ret)
		return ret;
	if (!s->fetch.error)
		return ask_for_more(s);
	return !s->fetch.staged && anything_missing(s) ? broken(s) : 0;
}

int fetch_start(struct server *s)
{
	int ret = 0;

	s->fetch.last = &s->fetch.first;
	if (s->sh->network_used)
		ret = network_reconnect(s->opt->network, s->diag);
	s->sh->network_used = 1;
	if (!ret)
		ret = network_start(s->opt->network, s->diag);
	if (ret)
		return ret;
	diag_info(s->diag, "Pages come from %s by %s protocol", network_peer(s->opt->network),
		  network_pushes(s->opt->network) ? "Thaw's" : "CRIU's");
	s->sh->loose[LOOSE_NETWORK] = network_fd(s->opt->network);
	return serve_watch(s, network_fd(s->opt->network), WATCH_NETWORK, 0);
}

void fetch_finish(struct server *s)
{
	int ret = network_finish(s->opt->network);

	if (ret)
		diag_warn(s->diag, "all memory is here, but the page server at %s may not know: %s",
			  network_peer(s->opt->network), strerror(-ret));
}
