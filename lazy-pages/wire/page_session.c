// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/wire/page_session.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/wire/page_pack.h"

/*
 * The bulk goes out as long as there is credit: what was wanted and not sent yet, behind the cursor and then from the
 * start, one process after the other. Pages that went out for a request are not sent again in bulk.
 */

/* What a client wants of a process. */
struct wanted {
	uint64_t pid;
	const struct pagemap *map;
	uint64_t *unsent; /* bits by page number */
	uint64_t cursor;  /* a page number */
};

struct page_session {
	struct page_session *next;
	uint64_t id;
	unsigned users; /* connections; with the lock of page_sessions */
	struct page_supply *supply;
	struct diag *diag;
	enum page_codec codec;
	struct link *bulk;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct wanted *wanted;
	size_t nr, cap;
	size_t turn; /* the process that is being sent */
	uint64_t credit;
	bool ending;
};

/* What a thread that sends has of its own. */
struct sender {
	struct page_session *ss;
	struct link *link;
	char *pages, *room;
};

static int sender_init(struct sender *s, struct page_session *ss, struct link *l)
{
	*s = (struct sender){
		.ss = ss,
		.link = l,
		.pages = aligned_alloc(PAGE_SIZE, PAGE_PACK_MAX * PAGE_SIZE),
		.room = malloc(PAGE_PACK_ROOM),
	};
	return s->pages && s->room ? 0 : -ENOMEM;
}

static void sender_free(struct sender *s)
{
	free(s->pages);
	free(s->room);
}

/* Send pages, zero runs as words. */
static int send_packed(struct sender *s, struct page_msg msg, const char *pages)
{
	uint64_t left = msg.nr_pages;

	msg.command = THAW_PAGES;
	while (left) {
		uint64_t zero = pages_zero(pages, left, true), head[PAGE_MSG_LEN / 8], sum;
		struct iovec iov[3] = { { head, PAGE_MSG_LEN }, { &sum, sizeof(sum) } };
		int ret;

		msg.nr_pages = zero ? zero : pages_zero(pages, left, false);
		iov[2].iov_base = (void *)page_pack(s->ss->codec, pages, s->room, &msg);
		page_msg_encode(&msg, (uint8_t *)head);
		if (!zero) {
			sum = htole64(pages_sum(pages, msg.nr_pages));
			iov[2].iov_len = msg.len - sizeof(sum);
		}
		ret = link_send(s->link, iov, zero ? 1 : 3);
		if (ret)
			return ret;
		left -= msg.nr_pages;
		pages += msg.nr_pages * PAGE_SIZE;
		msg.vaddr += msg.nr_pages * PAGE_SIZE;
	}
	return 0;
}

/* Read and send pages of a run, at most PAGE_PACK_MAX; those that cannot be had one by one. */
static int send_run(struct sender *s, uint64_t pid, const struct page_run *run, uint64_t skip, uint64_t nr)
{
	struct page_msg msg = { .vaddr = run->vaddr + skip * PAGE_SIZE, .whose = pid, .nr_pages = nr };
	struct page_supply *supply = s->ss->supply;
	const void *data;
	struct diag own;
	int ret;

	diag_init(&own, -1, DIAG_ERROR);
	if (!supply->ops->read(supply, pid, run, skip, nr, s->pages, &data, &own))
		return send_packed(s, msg, data);
	for (uint64_t i = 0; nr > 1 && i < nr; i++) {
		ret = send_run(s, pid, run, skip + i, 1);
		if (ret)
			return ret;
	}
	if (nr > 1)
		return 0;
	diag_warn(s->ss->diag, "the page at 0x%llx of process %llu cannot be had: %s", (unsigned long long)msg.vaddr,
		  (unsigned long long)pid, own.text);
	msg.command = THAW_LACK;
	return page_msg_send(s->link, &msg, NULL, 0);
}

static bool is_unsent(const struct wanted *w, uint64_t page)
{
	return w->unsent[page / 64] >> page % 64 & 1;
}

static void set_unsent(struct wanted *w, uint64_t page, uint64_t nr, bool unsent)
{
	for (uint64_t i = page; i < page + nr; i++) {
		if (unsent)
			w->unsent[i / 64] |= 1ULL << i % 64;
		else
			w->unsent[i / 64] &= ~(1ULL << i % 64);
	}
}

/* The first unsent page in [@from, @to), or @to. */
static uint64_t next_unsent(const struct wanted *w, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t word = w->unsent[from / 64] >> from % 64;

		if (word)
			return MIN(from + (uint64_t)__builtin_ctzll(word), to);
		from = (from / 64 + 1) * 64;
	}
	return to;
}

/* With the lock held: the next pages to send in bulk, which count as sent then. Return: whether there are any */
static bool next_bulk(struct page_session *ss, struct wanted *out, const struct page_run **run, uint64_t *skip,
		      uint64_t *nr)
{
	for (size_t i = 0; ss->credit && i < ss->nr; i++, ss->turn = (ss->turn + 1) % ss->nr) {
		struct wanted *w = &ss->wanted[ss->turn];
		uint64_t end = w->map->nr_present, page = next_unsent(w, w->cursor, end), max;

		if (page == end)
			page = next_unsent(w, 0, w->cursor);
		if (page == end || !is_unsent(w, page))
			continue;
		*run = pagemap_find_page(w->map, page);
		*skip = page - (*run)->index;
		max = MIN(MIN((*run)->nr_pages - *skip, PAGE_PACK_MAX), ss->credit);
		*nr = 0;
		while (*nr < max && is_unsent(w, page + *nr))
			++*nr;
		set_unsent(w, page, *nr, false);
		w->cursor = page + *nr;
		ss->credit -= *nr;
		*out = *w;
		return true;
	}
	return false;
}

static void *bulk_sender(void *arg)
{
	struct page_session *ss = arg;
	struct sender s;
	int ret = sender_init(&s, ss, ss->bulk);

	pthread_mutex_lock(&ss->lock);
	while (!ret && !ss->ending) {
		const struct page_run *run;
		struct wanted w;
		uint64_t skip, nr;

		if (!next_bulk(ss, &w, &run, &skip, &nr)) {
			pthread_cond_wait(&ss->changed, &ss->lock);
			continue;
		}
		pthread_mutex_unlock(&ss->lock);
		ret = send_run(&s, w.pid, run, skip, nr);
		pthread_mutex_lock(&ss->lock);
	}
	pthread_mutex_unlock(&ss->lock);
	if (ret)
		link_shut(ss->bulk);
	sender_free(&s);
	return NULL;
}

/* With the lock held: what the client wants of a process, NULL: it is not among those. */
static struct wanted *find_wanted(const struct page_session *ss, uint64_t pid)
{
	for (size_t i = 0; i < ss->nr; i++)
		if (ss->wanted[i].pid == pid)
			return &ss->wanted[i];
	return NULL;
}

static int add_wanted(struct page_session *ss, uint64_t pid, const struct pagemap *map, struct wanted **out)
{
	struct wanted *w = find_wanted(ss, pid);

	if (!w) {
		if (grow(&ss->wanted, ss->nr, &ss->cap, sizeof(*w)))
			return -ENOMEM;
		w = &ss->wanted[ss->nr];
		*w = (struct wanted){ .pid = pid, .map = map };
		w->unsent = calloc(map->nr_present / 64 + 1, sizeof(*w->unsent));
		if (!w->unsent)
			return -ENOMEM;
		ss->nr++;
	}
	*out = w;
	return 0;
}

static int refuse(const struct page_session *ss, const struct link *l, const struct page_msg *msg, const char *why)
{
	diag_warn(ss->diag, "%s sent command 0x%x, %llu pages at 0x%llx of process %llu: %s", link_peer(l),
		  msg->command, (unsigned long long)msg->nr_pages, (unsigned long long)msg->vaddr,
		  (unsigned long long)msg->whose, why);
	return -EPROTO;
}

/* WANT, FROM and DROP: about pages of a run. */
static int on_pages(struct page_session *ss, const struct page_msg *msg)
{
	const struct pagemap *map;
	const struct page_run *run;
	struct wanted *w;
	uint64_t page;
	const char *why = page_find_run(ss->supply, msg, &map, &run, ss->diag);
	int ret = 0;

	if (why)
		return refuse(ss, ss->bulk, msg, why);
	page = run->index + (msg->vaddr - run->vaddr) / PAGE_SIZE;
	pthread_mutex_lock(&ss->lock);
	ret = add_wanted(ss, msg->whose, map, &w);
	if (!ret && msg->command == THAW_FROM) {
		w->cursor = page;
		ss->turn = (size_t)(w - ss->wanted);
	} else if (!ret) {
		set_unsent(w, page, msg->nr_pages, msg->command == THAW_WANT);
	}
	pthread_cond_signal(&ss->changed);
	pthread_mutex_unlock(&ss->lock);
	if (!ret && msg->command == THAW_DROP && ss->supply->ops->forget)
		ss->supply->ops->forget(ss->supply, msg->whose, msg->vaddr, msg->nr_pages);
	return ret;
}

static int on_credit(struct page_session *ss, const struct page_msg *msg)
{
	pthread_mutex_lock(&ss->lock);
	ss->credit += MIN(msg->nr_pages, UINT32_MAX);
	ss->credit = MIN(ss->credit, UINT32_MAX);
	pthread_cond_signal(&ss->changed);
	pthread_mutex_unlock(&ss->lock);
	return 0;
}

static void end_bulk(struct page_session *ss, pthread_t thread, bool shut)
{
	pthread_mutex_lock(&ss->lock);
	ss->ending = true;
	pthread_cond_signal(&ss->changed);
	pthread_mutex_unlock(&ss->lock);
	if (shut)
		link_shut(ss->bulk);
	pthread_join(thread, NULL);
}

/* The bulk connection, whose other half is a thread that sends. */
static enum serve_end serve_bulk(struct page_session *ss)
{
	struct page_msg msg;
	pthread_t thread;
	int ret = -pthread_create(&thread, NULL, bulk_sender, ss);

	if (ret) {
		diag_warn(ss->diag, "no thread to send pages: %s", strerror(-ret));
		return SERVE_LOST;
	}
	while (!ret && !(ret = page_msg_receive(ss->bulk, &msg))) {
		switch (msg.command) {
		case THAW_WANT:
		case THAW_FROM:
		case THAW_DROP:
			ret = on_pages(ss, &msg);
			break;
		case THAW_CREDIT:
			ret = on_credit(ss, &msg);
			break;
		case PAGE_CLOSE:
			end_bulk(ss, thread, false);
			page_finished(ss->bulk, 0);
			return SERVE_END;
		default:
			ret = refuse(ss, ss->bulk, &msg, "there is no such command");
		}
	}
	end_bulk(ss, thread, true);
	diag_warn(ss->diag, "the connection to %s ended before it had all: %s", link_peer(ss->bulk),
		  ret == -ENODATA ? "it was closed" : strerror(-ret));
	return SERVE_LOST;
}

static int on_get(struct sender *s, const struct page_msg *msg)
{
	struct page_session *ss = s->ss;
	const struct pagemap *map;
	const struct page_run *run;
	struct wanted *w;
	uint64_t skip, left = msg->nr_pages;
	const char *why = page_find_run(ss->supply, msg, &map, &run, ss->diag);

	if (why)
		return refuse(ss, s->link, msg, why);
	skip = (msg->vaddr - run->vaddr) / PAGE_SIZE;
	pthread_mutex_lock(&ss->lock);
	w = find_wanted(ss, msg->whose);
	if (w)
		set_unsent(w, run->index + skip, left, false);
	pthread_mutex_unlock(&ss->lock);
	while (left) {
		uint64_t nr = MIN(left, PAGE_PACK_MAX);
		int ret = send_run(s, msg->whose, run, skip, nr);

		if (ret)
			return ret;
		skip += nr;
		left -= nr;
	}
	return 0;
}

/* The urgent connection: it ends with the bulk one, and its end means nothing. */
static void serve_urgent(struct page_session *ss, struct link *l)
{
	struct page_msg msg;
	struct sender s;
	int ret = sender_init(&s, ss, l);

	while (!ret) {
		ret = page_msg_receive(l, &msg);
		if (!ret)
			ret = msg.command == PAGE_GET ? on_get(&s, &msg) : refuse(ss, l, &msg, "it is not urgent");
	}
	sender_free(&s);
}

static struct page_session *session_new(struct link *l, struct page_supply *supply, struct page_sessions *all,
					enum page_codec codec, struct diag *diag)
{
	struct page_session *ss = calloc(1, sizeof(*ss));

	if (!ss || getrandom(&ss->id, sizeof(ss->id), 0) != (ssize_t)sizeof(ss->id)) {
		free(ss);
		return NULL;
	}
	ss->id |= 1; /* never 0 */
	ss->users = 1;
	ss->bulk = l;
	ss->supply = supply;
	ss->diag = diag;
	ss->codec = codec;
	pthread_mutex_init(&ss->lock, NULL);
	pthread_cond_init(&ss->changed, NULL);
	pthread_mutex_lock(&all->lock);
	ss->next = all->first;
	all->first = ss;
	pthread_mutex_unlock(&all->lock);
	return ss;
}

static struct page_session *session_find(struct page_sessions *all, uint64_t id)
{
	struct page_session *ss;

	pthread_mutex_lock(&all->lock);
	ss = all->first;
	while (ss && ss->id != id)
		ss = ss->next;
	if (ss)
		ss->users++;
	pthread_mutex_unlock(&all->lock);
	return ss;
}

static void session_put(struct page_sessions *all, struct page_session *ss)
{
	struct page_session **at = &all->first;
	bool last;

	pthread_mutex_lock(&all->lock);
	last = !--ss->users;
	while (last && *at != ss)
		at = &(*at)->next;
	if (last)
		*at = ss->next;
	pthread_mutex_unlock(&all->lock);
	if (!last)
		return;
	for (size_t i = 0; i < ss->nr; i++)
		free(ss->wanted[i].unsent);
	free(ss->wanted);
	pthread_cond_destroy(&ss->changed);
	pthread_mutex_destroy(&ss->lock);
	free(ss);
}

enum serve_end page_session_serve(struct link *l, struct page_supply *supply, struct page_sessions *all,
				  struct diag *diag)
{
	uint32_t answer = htole32(THAW_ANSWER);
	struct iovec iov = { &answer, sizeof(answer) };
	struct page_session *ss;
	enum serve_end end = SERVE_IGNORED;
	struct page_msg msg = { 0 };
	bool bulk;
	int ret = link_send(l, &iov, 1);

	if (!ret)
		ret = page_msg_receive(l, &msg);
	if (ret || msg.command != THAW_HELLO || msg.nr_pages >= PACK_NR)
		return SERVE_IGNORED;
	bulk = !msg.vaddr;
	ss = bulk ? session_new(l, supply, all, (enum page_codec)msg.nr_pages, diag) : session_find(all, msg.vaddr);
	if (!ss) {
		diag_warn(diag, "%s belongs to no session that there is", link_peer(l));
		return SERVE_IGNORED;
	}
	msg.vaddr = ss->id;
	if (page_msg_send(l, &msg, NULL, 0))
		end = SERVE_IGNORED;
	else if (bulk)
		end = serve_bulk(ss);
	else
		serve_urgent(ss, l);
	session_put(all, ss);
	return end;
}
