// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/source/network.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/source/network_priv.h"

#define SPARE_MAX 64	     /* buffers that are kept */
#define FINISH_S 10	     /* how long to wait for the last word */
#define BACKOFF_FIRST_MS 20  /* between two tries to connect again ... */
#define BACKOFF_LAST_MS 1000 /* ... at most */

/* The other end answers to itself; anything else than Thaw's word is CRIU's. Return: 1 Thaw's, 0 CRIU's, or -errno */
static int ask_protocol(struct link *l)
{
	const struct page_msg msg = { .command = PAGE_PARENT, .whose = THAW_PROCESS };
	uint32_t answer;
	int ret = page_msg_send(l, &msg, NULL, 0);

	if (!ret)
		ret = link_receive(l, &answer, sizeof(answer));
	return ret ? ret : le32toh(answer) == THAW_ANSWER;
}

/* Say hello, for @session (0: a new one, whose number it is set to). Return: 0, or -errno */
static int say_hello(struct link *l, enum page_codec codec, uint64_t *session)
{
	struct page_msg msg = { .command = THAW_HELLO, .nr_pages = codec, .vaddr = *session };
	int ret = page_msg_send(l, &msg, NULL, 0);

	if (!ret)
		ret = page_msg_receive(l, &msg);
	if (!ret && (msg.command != THAW_HELLO || !msg.vaddr || (*session && msg.vaddr != *session)))
		ret = -EPROTO;
	*session = msg.vaddr;
	return ret;
}

static int greeting_failed(const struct link *l, int error, struct diag *diag)
{
	return diag_fail(diag, error == -ENODATA ? ECONNRESET : -error, "no page server answers at %s: %s",
			 link_peer(l), error == -ENODATA ? "the connection was closed" : strerror(-error));
}

static int connect_urgent(const struct net_options *opt, enum page_codec codec, uint64_t session, struct wires *w,
			  struct diag *diag)
{
	int ret = link_connect(opt, &w->urgent, diag);

	if (ret)
		return ret;
	link_patience(w->urgent, FINISH_S);
	ret = ask_protocol(w->urgent);
	ret = ret == 0 ? -EPROTO : MIN(ret, 0);
	if (!ret)
		ret = say_hello(w->urgent, codec, &session);
	link_patience(w->urgent, 0);
	return ret ? greeting_failed(w->urgent, ret, diag) : 0;
}

int wires_connect(const struct net_options *opt, enum page_codec codec, struct wires *w, struct diag *diag)
{
	struct wires new = { 0 };
	uint64_t session = 0;
	int ret = link_connect(opt, &new.bulk, diag);

	if (ret)
		return ret;
	link_patience(new.bulk, FINISH_S);
	ret = ask_protocol(new.bulk);
	if (ret > 0) {
		ret = say_hello(new.bulk, codec, &session);
		if (ret)
			ret = greeting_failed(new.bulk, ret, diag);
		else
			ret = connect_urgent(opt, codec, session, &new, diag);
	} else if (ret < 0) {
		ret = greeting_failed(new.bulk, ret, diag);
	}
	link_patience(new.bulk, 0);
	if (ret)
		wires_close(&new);
	else
		*w = new;
	return ret;
}

void wires_close(struct wires *w)
{
	link_close(w->bulk);
	link_close(w->urgent);
	*w = (struct wires){ 0 };
}

int network_connect(const struct net_options *opt, struct network **out, struct diag *diag)
{
	struct network *n = calloc(1, sizeof(*n));
	int ret;

	if (!n)
		return diag_fail(diag, ENOMEM, "out of memory for a connection");
	n->opt = opt;
	n->diag = diag;
	n->codec = opt->compress ? page_codec_named(opt->compress) : PACK_RAW;
	n->event = -1;
	n->last_asked = &n->asked;
	n->last_come = &n->come;
	n->zeroes = aligned_alloc(PAGE_SIZE, PAGE_PACK_MAX * PAGE_SIZE);
	pthread_mutex_init(&n->send_lock, NULL);
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->stopped, NULL);
	ret = n->zeroes ? wires_connect(opt, n->codec, &n->wires, diag) : diag_fail(diag, ENOMEM, "out of memory");
	if (ret) {
		network_close(n);
		return ret;
	}
	memset(n->zeroes, 0, PAGE_PACK_MAX * PAGE_SIZE);
	snprintf(n->peer, sizeof(n->peer), "%s", link_peer(n->wires.bulk));
	n->connected = true;
	n->pushes = n->wires.urgent;
	n->generation = 1;
	*out = n;
	return 0;
}

void network_fds(const struct network *n, int fds[2])
{
	fds[0] = n ? link_fd(n->wires.bulk) : -1;
	fds[1] = n && n->wires.urgent ? link_fd(n->wires.urgent) : -1;
}

bool network_pushes(const struct network *n)
{
	return n->pushes;
}

uint64_t network_generation(struct network *n)
{
	uint64_t generation;

	pthread_mutex_lock(&n->lock);
	generation = n->generation;
	pthread_mutex_unlock(&n->lock);
	return generation;
}

int network_knows(struct network *n, struct network_source *src)
{
	int ret;

	pthread_mutex_lock(&n->lock);
	ret = idmap_put(&n->sources, src->id, src);
	pthread_mutex_unlock(&n->lock);
	return ret;
}

struct delivery *delivery_new(struct network *n)
{
	struct delivery *d;
	void *buf;

	pthread_mutex_lock(&n->lock);
	d = n->spare;
	if (d) {
		n->spare = d->next;
		n->nr_spare--;
	}
	pthread_mutex_unlock(&n->lock);
	if (!d) {
		d = calloc(1, sizeof(*d));
		if (d)
			d->buf = aligned_alloc(PAGE_SIZE, NETWORK_PIECE * PAGE_SIZE);
	}
	if (d && !d->buf) {
		free(d);
		return NULL;
	}
	if (d) {
		buf = d->buf;
		*d = (struct delivery){ .buf = buf };
	}
	return d;
}

void network_release(struct network *n, struct delivery *d)
{
	bool keep;

	pthread_mutex_lock(&n->lock);
	keep = n->nr_spare < SPARE_MAX;
	if (keep) {
		d->next = n->spare;
		n->spare = d;
		n->nr_spare++;
	}
	pthread_mutex_unlock(&n->lock);
	if (keep)
		return;
	free(d->buf);
	free(d);
}

static void wake_owner(struct network *n)
{
	const uint64_t one = 1;

	if (write(n->event, &one, sizeof(one)) < 0)
		diag_warn(n->diag, "cannot wake the owner: %s", strerror(errno));
}

void delivery_hand_over(struct network *n, struct delivery *d)
{
	bool first;

	pthread_mutex_lock(&n->lock);
	first = !n->come;
	*n->last_come = d;
	n->last_come = &d->next;
	pthread_mutex_unlock(&n->lock);
	if (first)
		wake_owner(n);
}

bool network_at_end(struct network *n)
{
	bool end;

	pthread_mutex_lock(&n->lock);
	end = n->closing && !n->asked;
	pthread_mutex_unlock(&n->lock);
	return end;
}

int network_send(struct network *n, bool urgent, const struct page_msg *msg)
{
	int ret = -ENOTCONN;

	pthread_mutex_lock(&n->send_lock);
	if (n->connected) {
		struct link *l = urgent ? n->wires.urgent : n->wires.bulk;

		ret = page_msg_send(l, msg, NULL, 0);
		if (ret)
			link_shut(l);
	}
	pthread_mutex_unlock(&n->send_lock);
	return ret;
}

static void *urgent_receiver(void *arg)
{
	struct network *n = arg;

	while (!thaw_receive(n, n->wires.urgent, true))
		;
	link_shut(n->wires.bulk); /* the two live and die together */
	return NULL;
}

/* Receive until the connection ends. Return: why, -errno */
static int receive_all(struct network *n)
{
	bool thaw = n->pushes;
	int ret = thaw ? -pthread_create(&n->urgent_receiver, NULL, urgent_receiver, n) : 0;

	if (ret)
		return ret;
	do
		ret = thaw ? thaw_receive(n, n->wires.bulk, false) : criu_receive(n);
	while (!ret);
	if (thaw) {
		link_shut(n->wires.urgent);
		pthread_join(n->urgent_receiver, NULL);
	}
	return ret;
}

/* Sleep, unless nobody wants the connection any more. Return: whether to go on */
static bool pause_ms(struct network *n, unsigned ms)
{
	struct timespec until;
	bool go_on;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&n->lock);
	while (!n->stopping && !pthread_cond_timedwait(&n->stopped, &n->lock, &until))
		;
	go_on = !n->stopping;
	pthread_mutex_unlock(&n->lock);
	return go_on;
}

/* Try to connect for so long as the options say. Return: 0 with @new set, or -errno */
static int connect_again(struct network *n, struct wires *new)
{
	uint64_t deadline = now_us() + n->opt->reconnect_timeout * 1000000ULL;
	unsigned ms = BACKOFF_FIRST_MS;
	struct diag own;
	int ret;

	do {
		diag_init(&own, -1, DIAG_ERROR);
		ret = wires_connect(n->opt, n->codec, new, &own);
		if (!ret && !new->urgent) { /* it is another server */
			wires_close(new);
			return -EPROTO;
		}
		if (!ret)
			return 0;
		diag_debug(n->diag, "%s", own.text);
		if (!pause_ms(n, ms))
			return -ECANCELED;
		ms = MIN(ms * 2, BACKOFF_LAST_MS);
	} while (now_us() < deadline);
	return ret;
}

/* The connection is lost: make another. Return: 0, or -errno */
static int recover(struct network *n, int why)
{
	struct wires new, old;
	int ret;

	pthread_mutex_lock(&n->send_lock);
	n->connected = false;
	pthread_mutex_unlock(&n->send_lock);
	diag_warn(n->diag, "the connection to %s is lost (%s); trying again for %u s", n->peer,
		  why == -ENODATA ? "it was closed" : strerror(-why), n->opt->reconnect_timeout);
	ret = connect_again(n, &new);
	if (ret)
		return ret;
	pthread_mutex_lock(&n->send_lock);
	old = n->wires;
	n->wires = new;
	n->connected = true;
	pthread_mutex_lock(&n->lock);
	n->generation++;
	n->may_come[0] = n->may_come[1] = 0;
	pthread_mutex_unlock(&n->lock);
	pthread_mutex_unlock(&n->send_lock);
	wires_close(&old);
	diag_warn(n->diag, "the connection to %s is there again", n->peer);
	wake_owner(n);
	return 0;
}

static bool may_recover(struct network *n, int why)
{
	bool wanted;

	pthread_mutex_lock(&n->lock);
	wanted = !n->stopping && !n->closing;
	pthread_mutex_unlock(&n->lock);
	return wanted && n->pushes && why != -EPROTO && why != -ENOMEM && n->opt->reconnect_timeout;
}

static void *receiver(void *arg)
{
	struct network *n = arg;
	int ret;

	do {
		ret = receive_all(n);
		if (!may_recover(n, ret))
			break;
		ret = recover(n, ret) ? ret : 0;
	} while (!ret);
	pthread_mutex_lock(&n->lock);
	n->error = ret;
	pthread_mutex_unlock(&n->lock);
	wake_owner(n);
	return NULL;
}

int network_reconnect(struct network *n, struct diag *diag)
{
	n->diag = diag;
	wires_close(&n->wires);
	n->generation++;
	if (!n->pushes)
		return wires_connect(n->opt, n->codec, &n->wires, diag);
	if (connect_again(n, &n->wires))
		return diag_fail(diag, ENOTCONN, "cannot connect to the page server at %s again", n->peer);
	return 0;
}

int network_start(struct network *n, struct diag *diag)
{
	int ret;

	n->diag = diag;
	n->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->event < 0)
		return diag_fail(diag, errno, "cannot make an eventfd: %s", strerror(errno));
	ret = pthread_create(&n->receiver, NULL, receiver, n);
	if (ret)
		return diag_fail(diag, ret, "cannot start a thread to receive pages: %s", strerror(ret));
	n->running = true;
	return 0;
}

int network_fd(const struct network *n)
{
	return n->event;
}

const char *network_peer(const struct network *n)
{
	return n->peer;
}

uint64_t network_owed(const struct network *n)
{
	return n->owed;
}

int network_ask(struct network *n, struct network_source *src, uint64_t slot, uint64_t nr, bool urgent)
{
	return criu_ask(n, src, slot, nr, urgent);
}

struct delivery *network_collect(struct network *n, int *error)
{
	struct delivery *all;
	uint64_t count;

	if (read(n->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		diag_warn(n->diag, "cannot read the network's event: %s", strerror(errno));
	pthread_mutex_lock(&n->lock);
	all = n->come;
	n->come = NULL;
	n->last_come = &n->come;
	*error = n->error;
	pthread_mutex_unlock(&n->lock);
	for (struct delivery *d = all; d; d = d->next)
		n->owed -= MIN(d->asked, n->owed);
	return all;
}

void network_owes_nothing(struct network *n)
{
	n->owed = 0;
}

/* Nobody wants a connection any more. */
static void stop(struct network *n, bool shut)
{
	if (!n->running)
		return;
	pthread_mutex_lock(&n->lock);
	n->stopping = true;
	pthread_cond_signal(&n->stopped);
	pthread_mutex_unlock(&n->lock);
	pthread_mutex_lock(&n->send_lock);
	if (shut)
		link_shut(n->wires.bulk);
	pthread_mutex_unlock(&n->send_lock);
	pthread_join(n->receiver, NULL);
	n->running = false;
}

int network_finish(struct network *n)
{
	const struct page_msg msg = { .command = PAGE_CLOSE };
	int ret;

	pthread_mutex_lock(&n->lock);
	n->closing = true;
	pthread_mutex_unlock(&n->lock);
	ret = network_send(n, false, &msg);
	if (ret)
		return ret;
	link_patience(n->wires.bulk, FINISH_S);
	stop(n, false);
	return n->error != -ESHUTDOWN ? n->error : n->status ? -EREMOTEIO : 0;
}

static void free_deliveries(struct delivery *d)
{
	while (d) {
		struct delivery *next = d->next;

		free(d->buf);
		free(d);
		d = next;
	}
}

void network_close(struct network *n)
{
	if (!n)
		return;
	stop(n, true);
	criu_forget_requests(n);
	free_deliveries(n->come);
	free_deliveries(n->spare);
	wires_close(&n->wires);
	idmap_free(&n->sources);
	if (n->event >= 0)
		close(n->event);
	pthread_cond_destroy(&n->stopped);
	pthread_mutex_destroy(&n->lock);
	pthread_mutex_destroy(&n->send_lock);
	free(n->zeroes);
	free(n);
}
