/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_NETWORK_PRIV_H
#define THAW_LAZY_NETWORK_PRIV_H

#include <pthread.h>

#include "common/idmap.h"
#include "lazy-pages/source/network.h"
#include "lazy-pages/wire/page_pack.h"

/* What network.c (deliveries, connections) shares with the two protocols, network_criu.c and network_thaw.c. */

/* A request of CRIU's protocol, to be answered in its turn. */
struct request {
	struct request *next;
	struct network_source *src;
	uint64_t slot, nr, vaddr;
	bool urgent;
};

/* The connections to a page server. */
struct wires {
	struct link *bulk;   /* CRIU's protocol: the only one */
	struct link *urgent; /* NULL: CRIU's protocol */
};

struct network {
	const struct net_options *opt;
	struct diag *diag;
	enum page_codec codec;
	int event;
	char peer[64];
	pthread_t receiver, urgent_receiver;
	bool running;
	uint8_t *zeroes;	   /* PAGE_PACK_MAX pages */
	uint64_t owed;		   /* the owner's */
	pthread_mutex_t send_lock; /* of the connections, for those who send or exchange them; taken first */
	struct wires wires;
	bool connected;
	bool pushes;	      /* Thaw's protocol */
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t stopped;
	uint64_t generation;  /* of the connections; 0: none yet */
	uint64_t may_come[2]; /* pages that may come over these: in bulk, as granted, and urgent, as asked for */
	struct idmap sources; /* by id */
	struct request *asked, **last_asked;
	struct delivery *come, **last_come;
	int error;
	bool closing;	 /* the page server has been told that nothing more is wanted ... */
	uint32_t status; /* ... and has answered this */
	bool stopping;	 /* nobody wants a new connection */
	struct delivery *spare;
	unsigned nr_spare;
};

/** delivery_new() - A delivery with a buffer. Return: it, or NULL when out of memory */
struct delivery *delivery_new(struct network *n);

/** delivery_hand_over() - It is the owner's */
void delivery_hand_over(struct network *n, struct delivery *d);

/** network_at_end() - Is the next word of the bulk connection the answer to a PAGE_CLOSE? */
bool network_at_end(struct network *n);

/**
 * network_send() - Send a message, if there is a connection. One that does not take it is shut
 *
 * Return: 0, -ENOTCONN, or -errno
 */
int network_send(struct network *n, bool urgent, const struct page_msg *msg);

/** wires_connect() - Connect, and find out which protocol the other end speaks. Return: 0, or -errno with a sentence */
int wires_connect(const struct net_options *opt, enum page_codec codec, struct wires *w, struct diag *diag);

/** wires_close() - Close what is open */
void wires_close(struct wires *w);

/** criu_receive() - The next answer of CRIU's protocol. Return: 0, -ESHUTDOWN after the last, or -errno */
int criu_receive(struct network *n);

/** criu_ask() - A request of it. Return: 0, or -errno */
int criu_ask(struct network *n, struct network_source *src, uint64_t slot, uint64_t nr, bool urgent);

/** criu_forget_requests() - Free those that were not answered */
void criu_forget_requests(struct network *n);

/** thaw_receive() - The next message of Thaw's protocol. Return: 0, -ESHUTDOWN after the last, or -errno */
int thaw_receive(struct network *n, struct link *l, bool urgent);

#endif
