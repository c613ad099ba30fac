// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice */
/* Packet sockets: new and bound, with memberships and options. */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <sys/socket.h>

#include "harness.h"

static struct sockaddr_ll packet_name(int fd)
{
	struct sockaddr_ll a = { 0 };
	socklen_t len = sizeof(a);

	test_check(getsockname(fd, (void *)&a, &len) == 0);
	return a;
}

static int packet_option(int fd, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	test_check(getsockopt(fd, SOL_PACKET, name, &value, &len) == 0);
	return value;
}

int main(int argc, char **argv)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_LOOP), .sll_ifindex = 1 };
	struct packet_mreq member = { .mr_ifindex = 1, .mr_type = PACKET_MR_ALLMULTI };
	int packet = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;
	int raw = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_LOOP));

	test_init(argc, argv);
	test_check(packet >= 0 && raw >= 0);
	test_check(bind(raw, (void *)&ll, sizeof(ll)) == 0);
	test_check(setsockopt(raw, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &member, sizeof(member)) == 0);
	test_check(setsockopt(raw, SOL_PACKET, PACKET_AUXDATA, &yes, sizeof(yes)) == 0);
	test_check(setsockopt(packet, SOL_PACKET, PACKET_VERSION, &yes, sizeof(yes)) == 0);
	test_ready();
	test_wait();
	test_check(fcntl(packet, F_GETFL) & O_NONBLOCK && fcntl(packet, F_GETFD) == FD_CLOEXEC);
	test_check(packet_name(raw).sll_ifindex == 1 && packet_name(raw).sll_protocol == htons(ETH_P_LOOP));
	test_check(packet_option(raw, PACKET_AUXDATA) == 1 && packet_option(packet, PACKET_VERSION) == 1);
	test_check(setsockopt(raw, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &member, sizeof(member)) == 0);
	test_pass();
}
