/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_NETWORK_H
#define THAW_LAZY_NETWORK_H

#include <stdbool.h>

#include "lazy-pages/net/link.h"
#include "lazy-pages/source/source.h"

/*
 * Pages that come from a page server. A thread receives them; whoever wants them asks by number and finds them among
 * the deliveries some time later. All functions are the owner thread's.
 */
struct network;

#define NETWORK_PIECE 64UL /* pages that are asked for at once, at most */

/* Pages that have come. */
struct delivery {
	struct delivery *next;
	struct source *src;
	uint64_t slot, nr;   /* pages of the source's map, by their numbers */
	uint64_t asked;	     /* how many were asked for; the rest has to be asked for once more */
	const uint8_t *data; /* NULL: these pages cannot be had */
	bool urgent;
	unsigned refs; /* jobs that fill from it */
	bool again;    /* not all of it could be filled */
	void *buf;
};

/* What the network source of a process keeps beside its map, in which each lazy page counts as present. */
struct network_source {
	struct source src;
	uint64_t id;	     /* of the process, as the page server knows it */
	uint64_t *asked;     /* bits by number: asked for, or here */
	uint64_t *dropped;   /* will never be asked for, and the page server has been told */
	uint64_t generation; /* of the connections over which it has been said what is wanted */
	bool had_space;	     /* somebody lacks, or lacked, its pages */
};

/**
 * network_connect() - Connect to a page server
 * @opt: kept by the caller
 *
 * Return: 0, or -errno with a sentence
 */
int network_connect(const struct net_options *opt, struct network **out, struct diag *diag);

/** network_reconnect() - The connections are a dead process's: close them and make new ones. Return: 0, or -errno with
 * a sentence */
int network_reconnect(struct network *n, struct diag *diag);

/** network_fds() - The descriptors of its connections; -1: none */
void network_fds(const struct network *n, int fds[2]);

/** network_pushes() - Does the other end speak Thaw's protocol, in which the bulk comes by itself? */
bool network_pushes(const struct network *n);

/** network_generation() - A number that changes with each new connection: what was said before is forgotten */
uint64_t network_generation(struct network *n);

/** network_knows() - Pages of @src may come. Return: 0, or -ENOMEM */
int network_knows(struct network *n, struct network_source *src);

/** network_start() - Start to receive. Return: 0, or -errno with a sentence */
int network_start(struct network *n, struct diag *diag);

/** network_fd() - A descriptor to poll: readable when something has come. Owned by the network */
int network_fd(const struct network *n);

/**
 * network_ask() - Ask for pages, in CRIU's protocol
 * @slot, @nr: of one run of the source's map, at most NETWORK_PIECE
 *
 * Return: 0, or -errno
 */
int network_ask(struct network *n, struct network_source *src, uint64_t slot, uint64_t nr, bool urgent);

enum network_word { NETWORK_WANT, NETWORK_FROM, NETWORK_DROP, NETWORK_GET };

/** network_say() - Say something about pages, in Thaw's protocol (page_wire.h). Return: 0, or -errno */
int network_say(struct network *n, enum network_word word, const struct network_source *src, uint64_t slot,
		uint64_t nr);

/** network_grant() - So many more pages may come by themselves. Return: 0, or -errno */
int network_grant(struct network *n, uint64_t nr);

/** network_owed() - Pages that were asked for and have not been collected */
uint64_t network_owed(const struct network *n);

/**
 * network_collect() - What has come since the last call, linked by next, in its order; or NULL
 * @error: set to 0, or to -errno when the connection has ended; nothing more will come then
 */
struct delivery *network_collect(struct network *n, int *error);

/** network_owes_nothing() - What was asked for over a lost connection will not come */
void network_owes_nothing(struct network *n);

/** network_release() - A delivery is not needed any more */
void network_release(struct network *n, struct delivery *a);

/** network_peer() - Where the pages come from, for messages */
const char *network_peer(const struct network *n);

/** network_finish() - Tell the page server that nothing more is wanted. Return: 0, or -errno */
int network_finish(struct network *n);

/** network_close() - Close the connection; takes NULL */
void network_close(struct network *n);

/**
 * source_open_network() - The source of a process whose pages come from a page server
 * @dir: its pagemap is here
 *
 * Return: 0, or -errno with a sentence
 */
int source_open_network(struct image_dir *dir, pid_t pid, struct source **out, struct diag *diag);

#endif
