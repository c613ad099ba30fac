// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP connections, the restore half; see tcp.c.
 *
 * A new socket in repair mode takes the numbers of both queues; connect() then makes it established without a packet;
 * what is sent to it goes into the queue that was chosen, and counts as received, or as sent already. A FIN in the send
 * queue comes from shutdown(). One in the receive queue has to be received: the packet is made here, with the other
 * end's address on it and the mark that the lock lets through; so is the acknowledgement of a FIN that was sent.
 *
 * In the end (tcp_go) all is unlocked, repair mode ends, and what had never been sent is sent as usual.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/files.h"
#include "criu-like/state/tcp.h"
#include "criu-like/state/tcp_repair.h"

#define QUEUE_MAX (1u << 30) /* sanity of images */
#define PIECE 16384	     /* into a queue at once: the kernel needs it in one piece of memory */
#define FAKE_TTL 64

/* Restore: a connection that waits for tcp_go(). */
struct tcp_again {
	struct opened_file *f;
	TcpStreamEntry *e;
	uint8_t *in, *out; /* the queues, in the arena */
	struct tcp_again *next;
};

bool tcp_is_connection(const struct restore *r, const InetSkEntry *e)
{
	return e->type == SOCK_STREAM && e->proto == IPPROTO_TCP && e->state != TCP_LISTEN && e->dst_port &&
	       !r->opt->tcp_close && !r->dumped_tcp_close &&
	       (e->state != TCP_CLOSE || image_exists(r->dir, IMG_TCP_STREAM, e->ino));
}

static int lock(struct restore *r, const struct net_connection *conns, size_t nr)
{
	char table[NET_LOCK_NAME_MAX];
	int ret;

	tcp_lock_name(image_dir_run_id(r->dir), r->tree.procs[0]->pid, table);
	ret = net_lock_create(table, conns, nr);
	if (ret < 0 && ret != -EEXIST)
		return diag_fail(r->diag, -ret,
				 "cannot lock TCP connections by nftables: %s; use --network-lock skip when something "
				 "else keeps their packets from coming in",
				 strerror(-ret));
	r->files->locked_before = ret == -EEXIST;
	r->files->lock_table = arena_strdup(r->arena, table);
	return r->files->lock_table ? 0 : no_memory(r->diag);
}

int tcp_lock(struct restore *r)
{
	struct net_connection *conns = arena_array(r->arena, r->files->nr + 1, sizeof(*conns));
	size_t nr = 0;

	if (!conns)
		return no_memory(r->diag);
	for_each_used (r, &inet_socket_kind, f)
		if (tcp_is_connection(r, f->entry->isk))
			tcp_fill(f->entry->isk, &conns[nr++]);
	if (!nr)
		return 0;
	if (!r->opt->tcp_established)
		return diag_fail(
			r->diag, ENOTSUP,
			"there are %zu TCP connections in the images: use --tcp-established to restore them, or "
			"--tcp-close to have them closed",
			nr);
	if (r->network_lock == NETWORK_LOCK_IPTABLES)
		diag_warn(r->diag, "the dump locked TCP connections by iptables: those rules stay, delete them");
	return r->network_lock == NETWORK_LOCK_SKIP || tcp_skips_lock(r->opt->network_lock) ? 0 : lock(r, conns, nr);
}

void tcp_unlock_failed(struct restore *r)
{
	if (r->files && r->files->lock_table && !r->files->locked_before)
		net_lock_remove(r->files->lock_table);
}

static int get_queue(struct restore *r, struct image_reader *reader, uint32_t len, uint8_t **out)
{
	*out = arena_alloc(r->arena, (size_t)len + 1);
	if (!*out)
		return no_memory(r->diag);
	return len ? image_get_raw(reader, *out, len) : 0;
}

static int read_stream(struct restore *r, struct tcp_again *c)
{
	uint32_t ino = c->f->entry->isk->ino;
	struct image_reader *reader;
	int ret = image_open(r->dir, IMG_TCP_STREAM, ino, &reader, r->diag);

	if (ret < 0)
		return ret;
	ret = image_get(reader, &c->e);
	if (ret == 0)
		ret = diag_fail(r->diag, EPROTO, "tcp-stream-%x.img is empty", ino);
	else if (ret > 0 &&
		 (c->e->inq_len > QUEUE_MAX || c->e->outq_len > QUEUE_MAX || c->e->unsq_len > c->e->outq_len))
		ret = diag_fail(r->diag, EPROTO, "tcp-stream-%x.img: the lengths of its queues cannot be", ino);
	if (ret > 0)
		ret = get_queue(r, reader, c->e->inq_len, &c->in);
	if (ret == 0)
		ret = get_queue(r, reader, c->e->outq_len, &c->out);
	image_close(reader);
	return ret;
}

/* The numbers that the queues begin with. In a FIN_RECEIVED or FIN_SENT state they count a FIN that is no data. */
static uint32_t first_received(const InetSkEntry *s, const TcpStreamEntry *e)
{
	return e->inq_seq - e->inq_len - tcp_fin_received(s->state);
}

static uint32_t first_sent(const InetSkEntry *s, const TcpStreamEntry *e)
{
	return e->outq_seq - e->outq_len - (tcp_fin_sent(s->state) || s->state == TCP_SYN_SENT);
}

static int choose(struct restore *r, const struct opened_file *f, int queue)
{
	if (setsockopt(f->fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0)
		return opener_fail(r, errno, f, "TCP_REPAIR_QUEUE");
	return 0;
}

static int set_number(struct restore *r, const struct opened_file *f, int queue, uint32_t seq)
{
	int ret = choose(r, f, queue);

	if (ret == 0 && setsockopt(f->fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, sizeof(seq)) < 0)
		return opener_fail(r, errno, f, "TCP_QUEUE_SEQ");
	return ret;
}

static int set_parameters(struct restore *r, const struct opened_file *f, const TcpStreamEntry *e)
{
	struct tcp_repair_opt opts[4];
	size_t nr = 0;

	if (e->opt_mask & TCPI_OPT_SACK)
		opts[nr++] = (struct tcp_repair_opt){ .opt_code = TCPOPT_SACK_PERMITTED };
	if (e->opt_mask & TCPI_OPT_WSCALE)
		opts[nr++] = (struct tcp_repair_opt){ .opt_code = TCPOPT_WINDOW,
						      .opt_val = e->snd_wscale | e->rcv_wscale << 16 };
	if (e->opt_mask & TCPI_OPT_TIMESTAMPS)
		opts[nr++] = (struct tcp_repair_opt){ .opt_code = TCPOPT_TIMESTAMP };
	opts[nr++] = (struct tcp_repair_opt){ .opt_code = TCPOPT_MAXSEG, .opt_val = e->mss_clamp };
	if (setsockopt(f->fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, opts, (socklen_t)(nr * sizeof(*opts))) < 0)
		return opener_fail(r, errno, f, "TCP_REPAIR_OPTIONS");
	if (e->has_timestamp && setsockopt(f->fd, IPPROTO_TCP, TCP_TIMESTAMP, &e->timestamp, sizeof(e->timestamp)) < 0)
		return opener_fail(r, errno, f, "TCP_TIMESTAMP");
	return 0;
}

/* The options come later, and set the sizes to what they were. */
static void widen(const struct opened_file *f)
{
	int most = INT32_MAX / 2;

	setsockopt(f->fd, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most));
	setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &most, sizeof(most));
}

static int send_bytes(struct restore *r, const struct opened_file *f, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = send(f->fd, data, MIN(len, PIECE), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return opener_fail(r, errno, f, "filling a queue");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int set_window(struct restore *r, const struct opened_file *f, const TcpStreamEntry *e)
{
	uint32_t fin = tcp_fin_received(f->entry->isk->state);
	struct tcp_repair_window w = { .snd_wl1 = e->snd_wl1,
				       .snd_wnd = e->snd_wnd,
				       .max_window = e->max_window,
				       .rcv_wnd = e->rcv_wnd + fin,
				       .rcv_wup = e->rcv_wup - fin };

	if (e->has_snd_wnd && setsockopt(f->fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, sizeof(w)) < 0)
		return opener_fail(r, errno, f, "TCP_REPAIR_WINDOW");
	return 0;
}

/* The checksum of the internet, over 16-bit words; @sum: of what comes before. */
static uint32_t add_words(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

struct fake_packet {
	union {
		struct iphdr v4;
		struct ip6_hdr v6;
	} ip;
	struct tcphdr tcp;
};

static size_t write_ip(const struct net_connection *c, struct fake_packet *p)
{
	if (c->family == AF_INET) {
		p->ip.v4 = (struct iphdr){ .version = 4,
					   .ihl = sizeof(p->ip.v4) / 4,
					   .ttl = FAKE_TTL,
					   .protocol = IPPROTO_TCP,
					   .tot_len = htons(sizeof(p->ip.v4) + sizeof(p->tcp)),
					   .saddr = c->remote[0],
					   .daddr = c->local[0] };
		return sizeof(p->ip.v4);
	}
	p->ip.v6.ip6_vfc = 6 << 4;
	p->ip.v6.ip6_plen = htons(sizeof(p->tcp));
	p->ip.v6.ip6_nxt = IPPROTO_TCP;
	p->ip.v6.ip6_hlim = FAKE_TTL;
	memcpy(&p->ip.v6.ip6_src, c->remote, sizeof(p->ip.v6.ip6_src));
	memcpy(&p->ip.v6.ip6_dst, c->local, sizeof(p->ip.v6.ip6_dst));
	return sizeof(p->ip.v6);
}

static void write_tcp(const struct net_connection *c, bool fin, uint32_t seq, uint32_t ack, struct tcphdr *tcp)
{
	size_t address = c->family == AF_INET ? 4 : 16;
	uint32_t sum;

	*tcp = (struct tcphdr){ .source = c->remote_port,
				.dest = c->local_port,
				.seq = htonl(seq),
				.ack_seq = htonl(ack),
				.doff = sizeof(*tcp) / 4,
				.ack = 1,
				.fin = fin,
				.window = UINT16_MAX };
	sum = add_words(IPPROTO_TCP + sizeof(*tcp), c->remote, address);
	tcp->check = fold(add_words(add_words(sum, c->local, address), tcp, sizeof(*tcp)));
}

/* A packet from the other end to this one. */
static int fake(struct restore *r, const struct opened_file *f, bool fin, uint32_t seq, uint32_t ack)
{
	struct net_connection c;
	struct fake_packet p = { 0 };
	uint8_t bytes[sizeof(p)];
	union inet_address to = { 0 };
	_cleanup_close_ int fd = -1;
	int mark = NET_LOCK_MARK, on = 1;
	size_t ip;

	tcp_fill(f->entry->isk, &c);
	ip = write_ip(&c, &p);
	write_tcp(&c, fin, seq, ack, &p.tcp);
	memcpy(bytes, &p.ip, ip);
	memcpy(bytes + ip, &p.tcp, sizeof(p.tcp));
	to.any.sa_family = (sa_family_t)c.family;
	if (c.family == AF_INET)
		memcpy(&to.v4.sin_addr, c.local, sizeof(to.v4.sin_addr));
	else
		memcpy(&to.v6.sin6_addr, c.local, sizeof(to.v6.sin6_addr));
	fd = socket(c.family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	    (c.family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on)) < 0) ||
	    sendto(fd, bytes, ip + sizeof(p.tcp), 0, &to.any, c.family == AF_INET ? sizeof(to.v4) : sizeof(to.v6)) < 0)
		return opener_fail(r, errno, f, "making the packet that closed it");
	return 0;
}

static uint8_t state_now(const struct opened_file *f)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	getsockopt(f->fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info.tcpi_state;
}

/* Loopback delivers at once, but maybe on another CPU. */
static int await_state(struct restore *r, const struct opened_file *f, uint32_t state)
{
	uint64_t until = now_us() + 1000000;

	while (state_now(f) != state) {
		if (now_us() > until)
			return diag_fail(
				r->diag, EPROTO,
				"the TCP connection with id %u has state %u instead of %u after it was restored",
				f->entry->id, state_now(f), state);
		poll(NULL, 0, 1);
	}
	return 0;
}

static int send_fin(struct restore *r, const struct opened_file *f)
{
	return shutdown(f->fd, SHUT_WR) < 0 ? opener_fail(r, errno, f, "shutdown") : 0;
}

/* Can the FIN be sent in repair mode? Not before data that comes only in the end. */
static bool fin_is_sent(uint32_t state, const TcpStreamEntry *e)
{
	return tcp_fin_sent(state) && !e->unsq_len;
}

/* The FINs of both sides, in the order that leads to the state. */
static int close_sides(struct restore *r, const struct opened_file *f, const TcpStreamEntry *e)
{
	uint32_t state = f->entry->isk->state, in = e->inq_seq, acked = e->outq_seq - e->outq_len;
	bool active = !tcp_fin_received(state) || state == TCP_CLOSING; /* ours came first */
	int ret = choose(r, f, TCP_SEND_QUEUE);

	if (tcp_fin_sent(state))
		acked--;
	if (ret == 0 && active && fin_is_sent(state, e))
		ret = send_fin(r, f);
	if (ret == 0 && tcp_fin_received(state)) {
		ret = fake(r, f, true, in - 1, acked);
		if (ret == 0 && !(active && !fin_is_sent(state, e)))
			ret = await_state(r, f, active ? TCP_CLOSING : TCP_CLOSE_WAIT);
	}
	if (ret == 0 && !active && fin_is_sent(state, e))
		ret = send_fin(r, f);
	if (ret == 0 && tcp_fin_acked(state))
		ret = fake(r, f, false, in, e->outq_seq);
	if (ret == 0 && !e->unsq_len)
		ret = await_state(r, f, state);
	return ret;
}

static int make_connection(struct restore *r, const struct tcp_again *c)
{
	const struct opened_file *f = c->f;
	const InetSkEntry *s = f->entry->isk;
	union inet_address a;
	int ret = set_number(r, f, TCP_RECV_QUEUE, first_received(s, c->e));

	if (ret == 0)
		ret = set_number(r, f, TCP_SEND_QUEUE, first_sent(s, c->e));
	if (ret < 0 || s->state == TCP_SYN_SENT)
		return ret;
	if (connect(f->fd, &a.any, inet_address_of(s, s->dst_addr, s->dst_port, &a)) < 0)
		return opener_fail(r, errno, f, "connect");
	ret = set_parameters(r, f, c->e);
	widen(f);
	if (ret == 0)
		ret = choose(r, f, TCP_RECV_QUEUE);
	if (ret == 0)
		ret = send_bytes(r, f, c->in, c->e->inq_len);
	if (ret == 0)
		ret = choose(r, f, TCP_SEND_QUEUE);
	if (ret == 0)
		ret = send_bytes(r, f, c->out, c->e->outq_len - c->e->unsq_len);
	if (ret == 0)
		ret = set_window(r, f, c->e);
	return ret < 0 ? ret : close_sides(r, f, c->e);
}

int tcp_open(struct restore *r, struct opened_file *f)
{
	const InetSkEntry *s = f->entry->isk;
	struct tcp_again *c = arena_alloc(r->arena, sizeof(*c));
	union inet_address a;
	int ret;

	if (!c)
		return no_memory(r->diag);
	*c = (struct tcp_again){ .f = f, .next = r->files->tcp };
	r->files->tcp = c;
	ret = read_stream(r, c);
	if (ret < 0)
		return ret;
	ret = tcp_repair(f->fd, TCP_REPAIR_ON);
	if (ret < 0)
		return opener_fail(r, -ret, f, "TCP_REPAIR");
	if (bind(f->fd, &a.any, inet_address_of(s, s->src_addr, s->src_port, &a)) < 0)
		return diag_fail(r->diag, errno, "cannot bind a TCP connection to port %u again: %s", s->src_port,
				 strerror(errno));
	return make_connection(r, c);
}

/* A connection that was being made: with the same numbers, so that an answer on its way fits. */
static int connect_again(struct restore *r, const struct opened_file *f)
{
	const InetSkEntry *s = f->entry->isk;
	int flags = fcntl(f->fd, F_GETFL), ret = 0;
	union inet_address a;

	if (flags < 0 || fcntl(f->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return opener_fail(r, errno, f, "F_SETFL");
	if (connect(f->fd, &a.any, inet_address_of(s, s->dst_addr, s->dst_port, &a)) < 0 && errno != EINPROGRESS)
		ret = opener_fail(r, errno, f, "connect");
	if (fcntl(f->fd, F_SETFL, flags) < 0 && ret == 0)
		ret = opener_fail(r, errno, f, "F_SETFL");
	return ret;
}

/* The end of repair mode clears SO_REUSEADDR. */
static int let_go(struct restore *r, const struct tcp_again *c)
{
	const InetSkEntry *s = c->f->entry->isk;
	int reuse = s->opts->reuseaddr, ret = tcp_repair(c->f->fd, TCP_REPAIR_OFF);

	widen(c->f);
	if (ret < 0)
		return opener_fail(r, -ret, c->f, "TCP_REPAIR");
	if (s->state == TCP_SYN_SENT)
		ret = connect_again(r, c->f);
	else
		ret = send_bytes(r, c->f, c->out + c->e->outq_len - c->e->unsq_len, c->e->unsq_len);
	if (ret == 0 && tcp_fin_sent(s->state) && !fin_is_sent(s->state, c->e))
		ret = send_fin(r, c->f);
	if (ret == 0 && setsockopt(c->f->fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0)
		return opener_fail(r, errno, c->f, "SO_REUSEADDR");
	return ret < 0 ? ret : socket_buffers_restore(r, c->f, s->opts);
}

int tcp_go(struct restore *r)
{
	int ret = r->files->lock_table ? net_lock_remove(r->files->lock_table) : 0;

	if (ret < 0)
		return diag_fail(r->diag, -ret, "cannot remove the nftables table inet %s: %s", r->files->lock_table,
				 strerror(-ret));
	r->files->lock_table = NULL;
	for (const struct tcp_again *c = r->files->tcp; c && ret == 0; c = c->next)
		ret = let_go(r, c);
	return ret;
}

void tcp_restore_free(struct file_opener *o)
{
	for (struct tcp_again *c = o->tcp; c; c = c->next)
		image_free(c->e);
}
