/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_NET_TLS_H
#define THAW_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/diag.h"

/*
 * TLS 1.3 on a connected socket. Both sides show a certificate that the other's authority has signed, and the client
 * wants the server's to be for the host that it connects to.
 */

struct tls_options {
	bool on;
	const char *cacert, *cacrl, *cert, *key; /* files in PEM; cacrl may be NULL */
	bool any_name;				 /* the server's certificate may be for another host */
};

struct tls;

/** tls_check() - Can the options be used? Return: 0, or -errno with a sentence */
int tls_check(const struct tls_options *opt, struct diag *diag);

/**
 * tls_start() - Shake hands on @fd, which stays the caller's
 * @host: the server's name; NULL: this is the server
 * @peer: address of the other end, for messages
 *
 * Return: 0, or -errno with a sentence (-EACCES: not trusted)
 */
int tls_start(const struct tls_options *opt, int fd, const char *host, const char *peer, struct tls **out,
	      struct diag *diag);

/** tls_send() - As send(2). Return: bytes sent, or -errno */
ssize_t tls_send(struct tls *t, const void *buf, size_t len);

/** tls_receive() - As recv(2). Return: bytes received, 0 at the end, or -errno */
ssize_t tls_receive(struct tls *t, void *buf, size_t len);

/** tls_end() - Say good bye, unless the connection is broken, and free; takes NULL */
void tls_end(struct tls *t, bool broken);

#endif
