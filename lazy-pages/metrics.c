// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/metrics.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/stats.h"

#define FIRST_BUCKET 10 /* powers of two of nanoseconds: from 1 us */
#define LAST_BUCKET 30	/* to 1 s */

/* Split "HOST:PORT". Return: whether it is that */
static bool split(const char *where, char *host, size_t len, const char **port)
{
	const char *colon = strrchr(where, ':');
	size_t n = colon ? (size_t)(colon - where) : 0;

	*port = colon ? colon + 1 : where;
	if (n > 1 && where[0] == '[' && where[n - 1] == ']') {
		where++;
		n -= 2;
	}
	if (n >= len || !**port)
		return false;
	snprintf(host, len, "%.*s", n ? (int)n : (int)len, n ? where : "127.0.0.1");
	return true;
}

static int listen_on(const struct addrinfo *ai)
{
	_cleanup_close_ int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 8))
		return -errno;
	return TAKE_FD(fd);
}

int metrics_listen(const char *where, struct diag *diag)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *ai;
	const char *port;
	char host[256];
	int ret;

	if (!split(where, host, sizeof(host), &port))
		return diag_fail(diag, EINVAL, "'%s' is no place for metrics: use PORT or HOST:PORT", where);
	ret = getaddrinfo(host, port, &hints, &ai);
	if (ret)
		return diag_fail(diag, EINVAL, "cannot serve metrics at '%s': %s; use PORT or HOST:PORT", where,
				 gai_strerror(ret));
	ret = listen_on(ai);
	freeaddrinfo(ai);
	return ret < 0 ? diag_fail(diag, -ret, "cannot serve metrics at %s: %s", where, strerror(-ret)) : ret;
}

void metrics_close(struct scrape *sc)
{
	if (sc->fd >= 0)
		close(sc->fd);
	sc->fd = -1;
	sc->len = 0;
}

int metrics_accept(struct scrape *sc, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -1;
	metrics_close(sc);
	return sc->fd = fd;
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP thaw_lazy_%s %s\n# TYPE thaw_lazy_%s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	fprintf(out, "thaw_lazy_%s %lu\n", name, value);
}

static void write_times(FILE *out, const struct shared_stats *st)
{
	static const char name[] = "fault_seconds";
	uint64_t sum = 0;
	unsigned b = 0;

	head(out, name, "histogram", "From a fault's message to its page.");
	for (unsigned power = FIRST_BUCKET; power <= LAST_BUCKET; power++) {
		for (; b < stats_bucket(1ULL << power); b++)
			sum += st->times[b];
		fprintf(out, "thaw_lazy_%s_bucket{le=\"%.9g\"} %lu\n", name, (double)(1ULL << power) / 1e9, sum);
	}
	fprintf(out, "thaw_lazy_%s_bucket{le=\"+Inf\"} %lu\n", name, st->faults);
	fprintf(out, "thaw_lazy_%s_sum %.9f\n", name, (double)st->sum_ns / 1e9);
	fprintf(out, "thaw_lazy_%s_count %lu\n", name, st->faults);
}

void metrics_write(FILE *out, const struct shared *sh, uint64_t missing)
{
	static const char *const lanes[] = { "fault", "working_set", "drain" };
	struct shared_stats st;

	stats_total(sh, &st);
	head(out, "pages_total", "counter", "Pages filled, by what they were filled for.");
	for (unsigned i = 0; i < SHARED_NR_LANES; i++)
		fprintf(out, "thaw_lazy_pages_total{lane=\"%s\"} %lu\n", lanes[i], st.pages[i]);
	one(out, "missing_pages", "gauge", "Pages that are missing now.", missing);
	one(out, "gone_pages_total", "counter", "Pages that the processes gave back before they were filled.", st.gone);
	one(out, "poisoned_pages_total", "counter", "Pages that could not be had.", st.poisoned);
	one(out, "zero_faults_total", "counter", "Faults on memory that the images do not have.", st.zero_faults);
	one(out, "events_total", "counter", "Events of userfaultfds: fork, mremap, munmap, madvise.", st.events);
	one(out, "restores_total", "counter", "Restores that came.", sh->nr_sessions);
	one(out, "restores_over_total", "counter", "Restores whose processes lack nothing any more.", sh->nr_over);
	one(out, "restores_failed_total", "counter", "Restores whose processes were killed.", sh->nr_failed);
	one(out, "takeovers_total", "counter", "Servers that died and were replaced.", sh->takeovers);
	write_times(out, &st);
}

static void reply(int fd, const char *status, const char *body, size_t len)
{
	char *text = NULL;
	size_t all = 0;
	FILE *out = open_memstream(&text, &all);

	if (!out)
		return;
	fprintf(out,
		"HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n",
		status, len);
	fwrite(body, 1, len, out);
	/* It fits into an empty socket; who does not take it gets no more. */
	if (!fclose(out) && send(fd, text, all, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)all)
		shutdown(fd, SHUT_WR);
	free(text);
}

static void refuse(int fd, const char *status)
{
	char body[64];

	reply(fd, status, body, (size_t)snprintf(body, sizeof(body), "%s\n", status));
}

static void reply_metrics(int fd, const struct shared *sh, uint64_t missing)
{
	char *body = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&body, &len);

	if (!out)
		return;
	metrics_write(out, sh, missing);
	if (!fclose(out))
		reply(fd, "200 OK", body, len);
	free(body);
}

bool metrics_answer(struct scrape *sc, const struct shared *sh, uint64_t missing)
{
	ssize_t n = recv(sc->fd, sc->request + sc->len, METRICS_REQUEST_MAX - sc->len, MSG_DONTWAIT);
	size_t path;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0)
		return true;
	sc->len += (size_t)n;
	sc->request[sc->len] = '\0';
	if (!strstr(sc->request, "\r\n\r\n") && !strstr(sc->request, "\n\n")) {
		if (sc->len == METRICS_REQUEST_MAX)
			refuse(sc->fd, "431 Request Header Fields Too Large");
		return sc->len == METRICS_REQUEST_MAX;
	}
	path = strcspn(sc->request, " ") + 1;
	if (strncmp(sc->request, "GET ", 4) != 0)
		refuse(sc->fd, "405 Method Not Allowed");
	else if (strcspn(sc->request + path, " ?\r\n") != strlen("/metrics") ||
		 strncmp(sc->request + path, "/metrics", strlen("/metrics")) != 0)
		refuse(sc->fd, "404 Not Found");
	else
		reply_metrics(sc->fd, sh, missing);
	return true;
}
