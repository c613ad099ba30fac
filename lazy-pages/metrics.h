/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_METRICS_H
#define THAW_LAZY_METRICS_H

#include <stddef.h>
#include <stdio.h>

#include "lazy-pages/shared.h"

/*
 * The figures of a server for Prometheus: text over HTTP, --metrics. The owner thread answers between two rounds of its
 * loop, from memory and without waiting for anybody, so that a scrape costs a fault at most some tens of microseconds.
 * There is one connection at a time; a newer one ends an older one that has not asked yet.
 */

#define METRICS_REQUEST_MAX 2048

struct scrape {
	int fd; /* -1: none */
	size_t len;
	char request[METRICS_REQUEST_MAX + 1];
};

/**
 * metrics_listen() - Listen where it was asked for
 * @where: "PORT" or ":PORT" (then on loopback), or "HOST:PORT", "[HOST]:PORT"
 *
 * Return: a non-blocking descriptor, or -errno with a sentence
 */
int metrics_listen(const char *where, struct diag *diag);

/** metrics_accept() - Take a connection. Return: its descriptor, also in @sc, or -1 when there is none */
int metrics_accept(struct scrape *sc, int listen_fd);

/** metrics_answer() - Read of the request what is there, and answer it when that is all. Return: whether it is over,
 * and the connection to be closed */
bool metrics_answer(struct scrape *sc, const struct shared *sh, uint64_t missing);

/** metrics_close() - Close the connection, if there is one */
void metrics_close(struct scrape *sc);

/** metrics_write() - The text; @missing: pages that are missing now */
void metrics_write(FILE *out, const struct shared *sh, uint64_t missing);

#endif
