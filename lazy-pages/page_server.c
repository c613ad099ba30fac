// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/page_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/idmap.h"
#include "common/util.h"
#include "lazy-pages/page_hub.h"
#include "lazy-pages/source/source.h"
#include "lazy-pages/wire/page_receive.h"

/* Pages from a directory of images: a source for each process that was asked for. */
struct image_supply {
	struct page_supply base;
	struct image_dir *dir;
	pthread_mutex_t lock;
	struct idmap sources; /* by pid */
};

static int image_supply_source(struct image_supply *is, uint64_t pid, struct source **out, struct diag *diag)
{
	struct source *src;
	int ret = 0;

	if (pid > INT32_MAX)
		return -ESRCH;
	pthread_mutex_lock(&is->lock);
	src = idmap_get(&is->sources, pid);
	if (!src) {
		ret = image_exists(is->dir, IMG_PAGEMAP, pid) ? source_open_images(is->dir, (pid_t)pid, &src, diag)
							      : -ESRCH;
		if (!ret && idmap_put(&is->sources, pid, src)) {
			source_put(src);
			ret = diag_fail(diag, ENOMEM, "out of memory");
		}
	}
	pthread_mutex_unlock(&is->lock);
	*out = src;
	return ret;
}

static int image_supply_map(struct page_supply *s, uint64_t pid, const struct pagemap **map, struct diag *diag)
{
	struct source *src;
	int ret = image_supply_source((struct image_supply *)s, pid, &src, diag);

	if (!ret)
		*map = &src->map;
	return ret;
}

static int image_supply_read(struct page_supply *s, uint64_t pid, const struct page_run *run, uint64_t skip,
			     uint64_t nr, void *buf, const void **data, struct diag *diag)
{
	struct source *src;
	int ret = image_supply_source((struct image_supply *)s, pid, &src, diag);

	return ret ? ret : src->ops->read(src, run, skip, nr, buf, data, diag);
}

static const struct page_supply_ops image_supply_ops = { .map = image_supply_map, .read = image_supply_read };

/* Serve whoever comes, until a signal says that it is enough. */
static int serve_images(const struct page_server_options *opt, struct image_dir *dir, int listen_fd, int signals,
			struct diag *diag)
{
	struct image_supply is = { .base.ops = &image_supply_ops, .dir = dir, .lock = PTHREAD_MUTEX_INITIALIZER };
	const struct page_hub hub = {
		.listen_fd = listen_fd, .signals = signals, .net = &opt->net, .supply = &is.base, .work_fd = -1
	};
	int ret = page_hub_run(&hub, diag);

	for (size_t i = 0; i < is.sources.cap; i++)
		source_put(is.sources.slots[i].value);
	idmap_free(&is.sources);
	return ret == -EINTR ? 0 : ret;
}

/* Wait for the next connection. Return: 0, or -errno with a sentence (-EINTR: a signal) */
static int await_link(const struct page_server_options *opt, int listen_fd, int signals, struct link **out,
		      struct diag *diag)
{
	for (;;) {
		struct pollfd p[2] = { { listen_fd, POLLIN, 0 }, { signals, POLLIN, 0 } };
		int ret;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return diag_fail(diag, errno, "cannot wait for a connection: %s", strerror(errno));
		if (p[1].revents)
			return diag_fail(diag, EINTR, "ended by a signal before any dump came");
		ret = p[0].revents ? link_accept(listen_fd, out, diag) : -EAGAIN;
		if (ret != -EAGAIN)
			return ret;
	}
}

/* Receive a dump from a connection. Return: as page_receive(), -ENODATA also from those who are refused */
static int receive_from(const struct page_server_options *opt, struct image_dir *dir, struct link *l, struct diag *diag)
{
	struct diag own;

	diag_init(&own, -1, DIAG_ERROR);
	if (!link_secure(l, &opt->net, &own))
		return page_receive(l, dir, diag);
	diag_warn(diag, "refused a connection: %s", own.text);
	return -ENODATA;
}

/* Receive one dump. */
static int receive_dump(const struct page_server_options *opt, struct image_dir *dir, int listen_fd, int signals,
			struct diag *diag)
{
	int ret;

	do {
		struct link *l = NULL;

		ret = await_link(opt, listen_fd, signals, &l, diag);
		if (!ret)
			ret = receive_from(opt, dir, l, diag);
		link_close(l);
	} while (ret == -ENODATA);
	return ret;
}

static int write_pidfile(const struct page_server_options *opt, struct diag *diag)
{
	_cleanup_close_ int dir = -1, fd = -1;
	char text[16];
	int ret;

	if (!opt->pidfile)
		return 0;
	dir = open(opt->work_dir ? opt->work_dir : opt->images_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dir, opt->pidfile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	snprintf(text, sizeof(text), "%d", getpid());
	ret = fd < 0 ? -errno : full_write(fd, text, strlen(text));
	return ret ? diag_fail(diag, -ret, "cannot write the pidfile %s: %s", opt->pidfile, strerror(-ret)) : 0;
}

/* It listens: tell who waits for that. */
static int announce(const struct page_server_options *opt, unsigned port, struct diag *diag)
{
	int ret = write_pidfile(opt, diag);

	if (ret)
		return ret;
	diag_info(diag, "Listening on %s, port %u", opt->net.address ? opt->net.address : NET_LOOPBACK, port);
	if (!opt->net.port) {
		printf("%u\n", port);
		fflush(stdout);
	}
	if (opt->status_fd >= 0 && write(opt->status_fd, "", 1) != 1)
		diag_warn(diag, "cannot write to the status descriptor %d: %s", opt->status_fd, strerror(errno));
	if (opt->status_fd >= 0)
		close(opt->status_fd);
	return 0;
}

static int serve(const struct page_server_options *opt, struct image_dir *dir, int listen_fd, struct diag *diag)
{
	_cleanup_close_ int signals = -1;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return diag_fail(diag, errno, "cannot make a descriptor: %s", strerror(errno));
	return opt->lazy ? serve_images(opt, dir, listen_fd, signals, diag)
			 : receive_dump(opt, dir, listen_fd, signals, diag);
}

/* In the background: nothing is left of the caller's but directory, log and socket. */
static int serve_detached(const struct page_server_options *opt, struct image_dir *dir, int listen_fd,
			  struct diag *diag)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (diag->fd >= 0 && diag->fd <= STDERR_FILENO)
		diag->fd = fcntl(diag->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	return serve(opt, dir, listen_fd, diag);
}

static int start(const struct page_server_options *opt, struct image_dir *dir, struct diag *diag)
{
	_cleanup_close_ int listen_fd = -1;
	unsigned port;
	pid_t pid;

	listen_fd = link_listen(&opt->net, &port, diag);
	if (listen_fd < 0)
		return listen_fd;
	if (!opt->daemon)
		return announce(opt, port, diag) ?: serve(opt, dir, listen_fd, diag);
	pid = fork();
	if (pid < 0)
		return diag_fail(diag, errno, "cannot fork: %s", strerror(errno));
	if (!pid)
		_exit(announce(opt, port, diag) || serve_detached(opt, dir, listen_fd, diag) ? 1 : 0);
	return 0;
}

int page_server_run(const struct page_server_options *opt, struct diag *diag)
{
	struct image_dir *dir;
	int ret =
		opt->lazy ? image_dir_open(opt->images_dir, &dir, diag) : image_dir_create(opt->images_dir, &dir, diag);

	if (ret)
		return ret;
	ret = start(opt, dir, diag);
	image_dir_close(dir);
	return ret;
}
