// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/rpc/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"

#define MAX_REQUEST (1 << 20) /* bytes */

int rpc_receive(int sk, RpcRequest **out, struct diag *diag)
{
	_cleanup_free_ uint8_t *buf = NULL;
	ssize_t len = recv(sk, NULL, 0, MSG_PEEK | MSG_TRUNC);

	if (len > MAX_REQUEST)
		return diag_fail(diag, EPROTO, "a request of %zd bytes is more than a request needs", len);
	if (len > 0) {
		buf = malloc((size_t)len);
		if (!buf)
			return diag_fail(diag, ENOMEM, "out of memory for a request");
		len = recv(sk, buf, (size_t)len, 0);
	}
	if (len < 0 && errno != ECONNRESET)
		return diag_fail(diag, errno, "cannot read a request: %s", strerror(errno));
	if (len <= 0)
		return 0;
	*out = rpc_request__unpack(NULL, (size_t)len, buf);
	if (!*out)
		return diag_fail(diag, EPROTO, "what came is no request: %zd bytes that do not decode", len);
	return 1;
}

int rpc_send(int sk, const RpcReply *reply, struct diag *diag)
{
	size_t len = rpc_reply__get_packed_size(reply);
	_cleanup_free_ uint8_t *buf = malloc(len);

	if (!buf)
		return diag_fail(diag, ENOMEM, "out of memory for a reply");
	rpc_reply__pack(reply, buf);
	if (send(sk, buf, len, MSG_NOSIGNAL) < 0)
		return diag_fail(diag, errno, "cannot send a reply: %s", strerror(errno));
	return 0;
}
