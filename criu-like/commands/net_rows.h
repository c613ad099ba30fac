/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_NET_ROWS_H
#define THAW_COMMANDS_NET_ROWS_H

#include "criu-like/commands/options.h"
#include "lazy-pages/modes.h"
#include "lazy-pages/net/link.h"

#define NET_ROW(kind, name, at, arg, help, min, max)    \
	{                                               \
		kind, 0, name, at, arg, help, min, max, \
	}
#define NET_AT(base, member) ((base) + offsetof(struct net_options, member))

/* The rows of the options that all commands with connections have. @base: offset of the command's struct net_options.
 */
#define NET_ROWS(base)                                                                                               \
	NET_ROW(OPTION_TEXT, "address", NET_AT(base, address), "ADDRESS", "of the page server (default: 127.0.0.1)", \
		0, 0),                                                                                               \
		NET_ROW(OPTION_UNSIGNED, "port", NET_AT(base, port), "PORT", "of the page server", 0, 65535),        \
		NET_ROW(OPTION_FLAG, "tls", NET_AT(base, tls.on), NULL, "encrypt, and show certificates", 0, 0),     \
		NET_ROW(OPTION_TEXT, "tls-cacert", NET_AT(base, tls.cacert), "FILE",                                 \
			"the authority that signs the other side's certificate", 0, 0),                              \
		NET_ROW(OPTION_TEXT, "tls-cacrl", NET_AT(base, tls.cacrl), "FILE", "what it has revoked", 0, 0),     \
		NET_ROW(OPTION_TEXT, "tls-cert", NET_AT(base, tls.cert), "FILE", "this side's certificate", 0, 0),   \
		NET_ROW(OPTION_TEXT, "tls-key", NET_AT(base, tls.key), "FILE", "its key", 0, 0),                     \
		NET_ROW(OPTION_FLAG, "tls-no-cn-verify", NET_AT(base, tls.any_name), NULL,                           \
			"the server's certificate may be for another host", 0, 0),                                   \
		NET_ROW(OPTION_FLAG, "insecure", NET_AT(base, insecure), NULL,                                       \
			"let memory go to other hosts in the clear", 0, 0)

/* And those of a server whose pages come from a page server. */
#define NET_CLIENT_ROWS(base)                                                                     \
	NET_ROW(OPTION_UNSIGNED, "reconnect-timeout", NET_AT(base, reconnect_timeout), "SECONDS", \
		"try so long to get a lost connection back (default: 60)", 0, 1000000),           \
		NET_ROW(OPTION_TEXT, "compress", NET_AT(base, compress), "METHOD",                \
			"have memory sent compressed: none (default), lz4 or zstd", 0, 0)

#define NET_RECONNECT_S 60

/**
 * command_page_server() - Do the options of a server whose memory comes from a page server go together?
 * @command: name of the command
 * @given: there is to be such a server
 *
 * Return: 0, or 1 after a message on standard error
 */
int command_page_server(const char *command, bool given, const struct net_options *net, const struct lazy_modes *m);

#endif
