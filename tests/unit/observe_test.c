// SPDX-License-Identifier: GPL-2.0-only
/* What the lazy-pages server tells of itself: the trace is JSON, the metrics are Prometheus', the bar adds up. */
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/metrics.h"
#include "lazy-pages/progress.h"
#include "lazy-pages/stats.h"
#include "lazy-pages/trace.h"

#define SECOND 1000000000ULL

/* A service of which half is there, in two sessions. */
static struct shared *half_way(void)
{
	struct shared *sh = shared_new();

	sh->nr_places = sh->nr_sessions = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct shared_stats *st = &sh->sessions[i].stats;

		st->total = 256 * 50;
		st->pages[SHARED_FAULT] = 256 * 5;
		st->pages[SHARED_WSET] = 256 * 10;
		st->pages[SHARED_DRAIN] = 256 * 5;
		st->gone = 256 * 5;
	}
	for (uint64_t us = 1; us <= 1000; us++)
		stats_fault(&sh->sessions[0].stats, us * 1000);
	return sh;
}

static void bar_has_the_lanes(void **state)
{
	struct shared *sh = half_way();
	struct progress p = { 0 };
	char line[PROGRESS_LEN];

	assert_non_null(strstr(progress_line(&p, sh, SECOND, line), "[###======---~~~...............]"));
	assert_non_null(strstr(line, "50 of 100 MiB, 0 MiB/s; 1000 faults 10 MiB, working set 20 MiB, drain 10 MiB"));
	sh->sessions[0].stats.pages[SHARED_DRAIN] += 256 * 10;
	assert_non_null(strstr(progress_line(&p, sh, SECOND + SECOND / 10, line), " 100 MiB/s"));
	sh->sessions[0].stats.pages[SHARED_DRAIN] += 256 * 2;
	assert_non_null(strstr(progress_line(&p, sh, SECOND + SECOND / 5, line), " 60 MiB/s"));
	memset(&sh->sessions[0].stats, 0, 2 * sizeof(sh->sessions[0]));
	assert_string_equal(progress_line(&p, sh, 2 * SECOND, line), "");
	munmap(sh, sizeof(*sh));
}

static double value(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	assert_non_null(at);
	return atof(at + strlen(name));
}

static void metrics_add_up(void **state)
{
	struct shared *sh = half_way();
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	metrics_write(out, sh, 12800);
	fclose(out);
	assert_true(value(text, "\nthaw_lazy_pages_total{lane=\"fault\"} ") == 2560);
	assert_true(value(text, "\nthaw_lazy_pages_total{lane=\"working_set\"} ") == 5120);
	assert_true(value(text, "\nthaw_lazy_pages_total{lane=\"drain\"} ") == 2560);
	assert_true(value(text, "\nthaw_lazy_missing_pages ") == 12800);
	assert_true(value(text, "\nthaw_lazy_restores_total ") == 2);
	/* A thousand faults of 1 us to 1 ms: those below 1.024 us, 131.072 us, 1.048576 ms. */
	assert_true(value(text, "{le=\"1.024e-06\"} ") == 1);
	assert_true(value(text, "{le=\"0.000131072\"} ") == 131);
	assert_true(value(text, "{le=\"0.001048576\"} ") == 1000);
	assert_true(value(text, "{le=\"+Inf\"} ") == 1000);
	assert_true(value(text, "fault_seconds_count ") == 1000);
	assert_true(value(text, "fault_seconds_sum ") > 0.5004 && value(text, "fault_seconds_sum ") < 0.5006);
	munmap(sh, sizeof(*sh));
}

/* Send a request in these pieces, and take the first line of the answer. */
static void ask(const struct shared *sh, const char *const *pieces, char *line, size_t len)
{
	struct scrape sc = { .fd = -1 };
	int pair[2];
	ssize_t n = 0, got;
	bool over = false;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	sc.fd = pair[1];
	assert_false(metrics_answer(&sc, sh, 0)); /* nothing is there yet */
	for (; *pieces; pieces++) {
		assert_false(over);
		assert_int_equal(send(pair[0], *pieces, strlen(*pieces), 0), strlen(*pieces));
		over = metrics_answer(&sc, sh, 0);
	}
	assert_true(over);
	while ((got = recv(pair[0], line + n, len - 1 - (size_t)n, 0)) > 0)
		n += got;
	line[n] = '\0';
	metrics_close(&sc);
	close(pair[0]);
}

static void requests_are_answered(void **state)
{
	struct shared *sh = half_way();
	char answer[16384], much[METRICS_REQUEST_MAX + 1];

	ask(sh, (const char *[]){ "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", NULL }, answer, sizeof(answer));
	assert_int_equal(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17), 0);
	assert_non_null(strstr(answer, "version=0.0.4"));
	assert_int_equal(value(answer, "Content-Length: "), strlen(strstr(answer, "\r\n\r\n") + 4));
	ask(sh, (const char *[]){ "GET /met", "rics?x=1 HTTP/1.1\r\n", "\r\n", NULL }, answer, sizeof(answer));
	assert_non_null(strstr(answer, "thaw_lazy_missing_pages"));
	ask(sh, (const char *[]){ "GET / HTTP/1.1\r\n\r\n", NULL }, answer, sizeof(answer));
	assert_int_equal(strncmp(answer, "HTTP/1.1 404", 12), 0);
	ask(sh, (const char *[]){ "GET /metrics2 HTTP/1.1\r\n\r\n", NULL }, answer, sizeof(answer));
	assert_int_equal(strncmp(answer, "HTTP/1.1 404", 12), 0);
	ask(sh, (const char *[]){ "POST /metrics HTTP/1.1\r\n\r\n", NULL }, answer, sizeof(answer));
	assert_int_equal(strncmp(answer, "HTTP/1.1 405", 12), 0);
	ask(sh, (const char *[]){ "\r\n\r\n", NULL }, answer, sizeof(answer));
	assert_int_equal(strncmp(answer, "HTTP/1.1 405", 12), 0);
	memset(much, 'x', sizeof(much) - 1);
	much[sizeof(much) - 1] = '\0';
	ask(sh, (const char *[]){ much, NULL }, answer, sizeof(answer));
	assert_int_equal(strncmp(answer, "HTTP/1.1 431", 12), 0);
	munmap(sh, sizeof(*sh));
}

static void addresses_are_understood(void **state)
{
	static const char *const good[] = { "0", ":0", "127.0.0.1:0", "localhost:0", "[127.0.0.1]:0" };
	static const char *const bad[] = { "", ":", "127.0.0.1:", "127.0.0.1:x", "0:0:0", "300.1.1.1:1", "1.2.3.4:0" };
	struct diag diag;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		int fd;

		diag_init(&diag, -1, DIAG_ERROR);
		fd = metrics_listen(good[i], &diag);
		assert_true(fd >= 0);
		close(fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		diag_init(&diag, -1, DIAG_ERROR);
		assert_true(metrics_listen(bad[i], &diag) < 0);
		assert_non_null(strstr(diag.text, "metrics"));
	}
}

/* Two servers, one after the other, and more than fits into a buffer. */
static void trace_is_json(void **state)
{
	static const struct uffd_msg events[] = { { .event = UFFD_EVENT_FORK },
						  { .event = UFFD_EVENT_REMAP, .arg.remap = { 1, 2, 3 } },
						  { .event = UFFD_EVENT_REMOVE, .arg.remove = { 4096, 8192 } },
						  { .event = UFFD_EVENT_UNMAP, .arg.remove = { 4096, 8192 } } };
	struct shared_row row = { .pid = 77 };
	struct space sp = { .row = &row };
	struct job job = { .sp = &sp, .lane = SHARED_DRAIN, .began = 5000, .ended = 7500, .worker = 2, .filled = 9 };
	char path[] = "/tmp/thaw-trace-XXXXXX";
	struct json_object *root, *span;
	struct diag diag;
	int fd;

	close(mkstemp(path));
	diag_init(&diag, -1, DIAG_ERROR);
	fd = trace_begin(path, &diag);
	for (unsigned server = 0; server < 2; server++) {
		struct trace *t = trace_new(fd, 2, &diag);

		trace_fault(t, &sp, UINT64_MAX, 1000, 2000, 4000, 16);
		trace_job(t, &job);
		for (size_t i = 0; i < ARRAY_SIZE(events); i++)
			trace_event(t, &sp, &events[i], 9000);
		for (unsigned i = 0; i < 1000; i++)
			trace_job(t, &job);
		trace_mark(t, "something", 9000);
		assert_true(trace_due(t, 9000));
		trace_missing(t, 512, 9000);
		assert_false(trace_due(t, 9001));
		trace_free(t);
	}
	assert_int_equal(trace_end(fd, 10000, &diag), 0);
	root = json_object_from_file(path);
	assert_non_null(root);
	assert_int_equal(json_object_array_length(root), 2 * (4 + 2 + 4 + 1000 + 2) + 1);
	span = json_object_array_get_idx(root, 4);
	assert_string_equal(json_object_get_string(json_object_object_get(span, "name")), "fault");
	assert_true(json_object_get_double(json_object_object_get(span, "ts")) == 2);
	assert_true(json_object_get_double(json_object_object_get(span, "dur")) == 2);
	span = json_object_object_get(span, "args");
	assert_string_equal(json_object_get_string(json_object_object_get(span, "address")), "0xffffffffffffffff");
	assert_true(json_object_get_double(json_object_object_get(span, "waited")) == 1);
	span = json_object_array_get_idx(root, 5);
	assert_string_equal(json_object_get_string(json_object_object_get(span, "name")), "drain");
	assert_int_equal(json_object_get_int(json_object_object_get(span, "tid")), 2);
	json_object_put(root);
	unlink(path);
}

static void nobody_traces(void **state)
{
	struct job job = { 0 };

	trace_fault(NULL, NULL, 0, 0, 0, 0, 0);
	trace_job(NULL, &job);
	trace_event(NULL, NULL, NULL, 0);
	trace_mark(NULL, "", 0);
	assert_false(trace_due(NULL, UINT64_MAX));
	trace_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bar_has_the_lanes),	 cmocka_unit_test(metrics_add_up),
		cmocka_unit_test(requests_are_answered), cmocka_unit_test(addresses_are_understood),
		cmocka_unit_test(trace_is_json),	 cmocka_unit_test(nobody_traces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
