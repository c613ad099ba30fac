// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/net/tls.h"

#include <errno.h>
#include <stdlib.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

/* Of TLS 1.3 what the library holds to be good. */
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define HANDSHAKE_MS 10000

struct tls {
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;
};

static int load(const struct tls_options *opt, gnutls_certificate_credentials_t credentials, struct diag *diag)
{
	int ret = gnutls_certificate_set_x509_trust_file(credentials, opt->cacert, GNUTLS_X509_FMT_PEM);

	if (ret <= 0)
		return diag_fail(diag, EINVAL, "there is no certificate of an authority in %s (--tls-cacert)%s%s",
				 opt->cacert, ret ? ": " : "", ret ? gnutls_strerror(ret) : "");
	if (opt->cacrl) {
		ret = gnutls_certificate_set_x509_crl_file(credentials, opt->cacrl, GNUTLS_X509_FMT_PEM);
		if (ret < 0)
			return diag_fail(diag, EINVAL, "cannot read the revocation list %s (--tls-cacrl): %s",
					 opt->cacrl, gnutls_strerror(ret));
	}
	ret = gnutls_certificate_set_x509_key_file(credentials, opt->cert, opt->key, GNUTLS_X509_FMT_PEM);
	if (ret < 0)
		return diag_fail(diag, EINVAL,
				 "cannot use the certificate %s with the key %s (--tls-cert, --tls-key): %s", opt->cert,
				 opt->key, gnutls_strerror(ret));
	return 0;
}

static int load_new(const struct tls_options *opt, gnutls_certificate_credentials_t *out, struct diag *diag)
{
	const char *missing = !opt->cacert ? "--tls-cacert"
			      : !opt->cert ? "--tls-cert"
			      : !opt->key  ? "--tls-key"
					   : NULL;
	int ret;

	if (missing)
		return diag_fail(diag, EINVAL, "--tls needs %s: both sides show a certificate", missing);
	ret = gnutls_certificate_allocate_credentials(out);
	if (ret)
		return diag_fail(diag, ENOMEM, "cannot prepare TLS: %s", gnutls_strerror(ret));
	ret = load(opt, *out, diag);
	if (ret)
		gnutls_certificate_free_credentials(*out);
	return ret;
}

int tls_check(const struct tls_options *opt, struct diag *diag)
{
	gnutls_certificate_credentials_t credentials;
	int ret = load_new(opt, &credentials, diag);

	if (!ret)
		gnutls_certificate_free_credentials(credentials);
	return ret;
}

static int not_trusted(gnutls_session_t session, const char *peer, struct diag *diag)
{
	unsigned status = gnutls_session_get_verify_cert_status(session);
	gnutls_datum_t text = { 0 };
	int ret;

	gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
	ret = diag_fail(diag, EACCES, "the certificate of %s is not to be trusted: %s", peer,
			text.data ? (const char *)text.data : "it does not verify");
	gnutls_free(text.data);
	return ret;
}

static int handshake(gnutls_session_t session, const char *peer, struct diag *diag)
{
	int ret;

	do
		ret = gnutls_handshake(session);
	while (ret < 0 && ret != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(ret));
	if (ret == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
		return not_trusted(session, peer, diag);
	if (ret < 0)
		return diag_fail(diag, EPROTO, "no TLS with %s: %s; does the other side have --tls, and certificates?",
				 peer, gnutls_strerror(ret));
	return 0;
}

static int make_session(struct tls *t, const struct tls_options *opt, int fd, const char *host)
{
	int ret = gnutls_init(&t->session, host ? GNUTLS_CLIENT : GNUTLS_SERVER);

	if (!ret)
		ret = gnutls_priority_set_direct(t->session, PRIORITIES, NULL);
	if (!ret)
		ret = gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->credentials);
	if (ret)
		return ret;
	if (!host)
		gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert(t->session, opt->any_name ? NULL : host, 0);
	gnutls_handshake_set_timeout(t->session, HANDSHAKE_MS);
	gnutls_transport_set_int(t->session, fd);
	return 0;
}

int tls_start(const struct tls_options *opt, int fd, const char *host, const char *peer, struct tls **out,
	      struct diag *diag)
{
	struct tls *t = calloc(1, sizeof(*t));
	int ret = t ? load_new(opt, &t->credentials, diag) : diag_fail(diag, ENOMEM, "out of memory for TLS");

	if (ret) {
		free(t);
		return ret;
	}
	ret = make_session(t, opt, fd, host);
	if (ret)
		ret = diag_fail(diag, EPROTO, "cannot prepare TLS with %s: %s", peer, gnutls_strerror(ret));
	else
		ret = handshake(t->session, peer, diag);
	if (ret)
		tls_end(t, true);
	else
		*out = t;
	return ret;
}

/* What an error of the library comes to. */
static ssize_t to_errno(ssize_t ret)
{
	switch (ret) {
	case GNUTLS_E_INTERRUPTED:
		return -EINTR;
	case GNUTLS_E_AGAIN:
		return -EAGAIN;
	case GNUTLS_E_PREMATURE_TERMINATION:
		return 0; /* the protocols above have an end of their own */
	case GNUTLS_E_PUSH_ERROR:
	case GNUTLS_E_PULL_ERROR:
		return -ECONNRESET;
	}
	return -EPROTO;
}

ssize_t tls_send(struct tls *t, const void *buf, size_t len)
{
	ssize_t ret = gnutls_record_send(t->session, buf, len);

	return ret < 0 ? (to_errno(ret) ?: -EPIPE) : ret;
}

ssize_t tls_receive(struct tls *t, void *buf, size_t len)
{
	ssize_t ret = gnutls_record_recv(t->session, buf, len);

	return ret < 0 ? to_errno(ret) : ret;
}

void tls_end(struct tls *t, bool broken)
{
	if (!t)
		return;
	/* Also the other's: who closes with that unread resets the connection. */
	if (!broken)
		gnutls_bye(t->session, GNUTLS_SHUT_RDWR);
	if (t->session)
		gnutls_deinit(t->session);
	gnutls_certificate_free_credentials(t->credentials);
	free(t);
}
