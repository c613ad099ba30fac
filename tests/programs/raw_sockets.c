// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice */
/* Raw sockets of IPv4 and IPv6, with their options. */
#include <arpa/inet.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "harness.h"

/* An echo request to ourselves comes back. */
static void ping(int fd)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct icmphdr req = { .type = ICMP_ECHO }, *reply;
	uint8_t buf[256] = { 0 };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	req.checksum = (uint16_t)~htons(ICMP_ECHO << 8);
	test_check(sendto(fd, &req, sizeof(req), 0, (void *)&to, sizeof(to)) == sizeof(req));
	test_check(recv(fd, buf, sizeof(buf), 0) >= 28);
	reply = (void *)(buf + 20);
	test_check(reply->type == ICMP_ECHOREPLY);
}

int main(int argc, char **argv)
{
	struct sockaddr_in lo = { .sin_family = AF_INET }, name = { 0 };
	int icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP),
	    v6 = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMPV6);
	int tcp = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP), yes = 1, value = 0;
	uint32_t filter = ~(1u << ICMP_ECHOREPLY), now = 0;
	socklen_t len = sizeof(now), name_len = sizeof(name), value_len = sizeof(value);

	test_init(argc, argv);
	test_check(icmp >= 0 && v6 >= 0 && tcp >= 0);
	lo.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	test_check(bind(icmp, (void *)&lo, sizeof(lo)) == 0);
	test_check(setsockopt(icmp, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter)) == 0);
	test_check(setsockopt(tcp, IPPROTO_IP, IP_HDRINCL, &yes, sizeof(yes)) == 0);
	test_ready();
	test_wait();
	test_check(getsockopt(icmp, SOL_RAW, ICMP_FILTER, &now, &len) == 0 && now == filter);
	test_check(getsockname(icmp, (void *)&name, &name_len) == 0 && name.sin_addr.s_addr == lo.sin_addr.s_addr);
	test_check(getsockopt(tcp, IPPROTO_IP, IP_HDRINCL, &value, &value_len) == 0 && value == 1);
	test_check(fcntl(tcp, F_GETFD) == FD_CLOEXEC && fcntl(v6, F_GETFL) & O_NONBLOCK);
	ping(icmp);
	test_pass();
}
