// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this machine's kernel allows a lazy restore at best: fills by size and threads, the round trip of a fault, plain
 * copies to compare. One process plays all parts, with memory that is touched for the first time in each run.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define TOTAL (512UL << 20)
#define ROUNDS 3
#define FAULTS 5000
#define MAX_THREADS 4

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "limits: %s: %s\n", what, strerror(errno));
	exit(errno == EPERM || errno == ENOSYS ? 77 : 1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static char *map(size_t len, int flags)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	madvise(p, len, MADV_NOHUGEPAGE);
	return p;
}

static char *source_pages(size_t len)
{
	char *p = map(len, MAP_PRIVATE | MAP_ANONYMOUS);

	for (size_t i = 0; i < len; i += 8)
		*(uint64_t *)(p + i) = i * 0x9e3779b97f4a7c15ULL + 1;
	return p;
}

static int uffd_new(void *start, size_t len, uint64_t mode, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .range = { (uint64_t)start, len }, .mode = mode };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		die("userfaultfd");
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		die("UFFDIO_REGISTER");
	return fd;
}

/* A row of pieces of one kind of fill, taken by several threads. */
struct fill {
	int uffd;
	char *to, *from;
	size_t len, piece;
	bool minor;
	atomic_size_t next;
};

static void *fill_run(void *arg)
{
	struct fill *f = arg;
	size_t at;

	while ((at = atomic_fetch_add(&f->next, f->piece)) < f->len) {
		struct uffdio_copy copy = { .dst = (uint64_t)f->to + at,
					    .src = (uint64_t)f->from + at,
					    .len = f->piece,
					    .mode = UFFDIO_COPY_MODE_DONTWAKE };
		struct uffdio_continue cont = { .range = { (uint64_t)f->to + at, f->piece },
						.mode = UFFDIO_CONTINUE_MODE_DONTWAKE };

		if (ioctl(f->uffd, f->minor ? UFFDIO_CONTINUE : UFFDIO_COPY, f->minor ? (void *)&cont : (void *)&copy))
			die("fill");
	}
	return NULL;
}

static double fill_seconds(struct fill *f, int threads)
{
	pthread_t thread[MAX_THREADS];
	double start = now();

	f->next = 0;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, fill_run, f))
			die("pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return now() - start;
}

/* GiB/s of the best round, which other work on the machine disturbs least. */
static double copy_rate(char *from, size_t piece, int threads)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct fill f = { .from = from, .len = TOTAL, .piece = piece };
		double rate;

		f.to = map(TOTAL, MAP_PRIVATE | MAP_ANONYMOUS);
		f.uffd = uffd_new(f.to, TOTAL, UFFDIO_REGISTER_MODE_MISSING, 0);
		rate = (double)TOTAL / fill_seconds(&f, threads) / (1UL << 30);
		best = rate > best ? rate : best;
		close(f.uffd);
		munmap(f.to, TOTAL);
	}
	return best;
}

static double continue_rate(int threads)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int memfd = memfd_create("limits", MFD_CLOEXEC);
		struct fill f = { .len = TOTAL, .piece = 2UL << 20, .minor = true };
		double rate;

		if (memfd < 0 || ftruncate(memfd, TOTAL))
			die("memfd");
		f.from = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
		f.to = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
		if (f.from == MAP_FAILED || f.to == MAP_FAILED)
			die("mmap");
		memset(f.from, 1, TOTAL);
		f.uffd = uffd_new(f.to, TOTAL, UFFDIO_REGISTER_MODE_MINOR, UFFD_FEATURE_MINOR_SHMEM);
		rate = (double)TOTAL / fill_seconds(&f, threads) / (1UL << 30);
		best = rate > best ? rate : best;
		close(f.uffd);
		munmap(f.from, TOTAL);
		munmap(f.to, TOTAL);
		close(memfd);
	}
	return best;
}

/* The handler of the round-trip measurement: answers each fault with a piece, waiting in poll or spinning. */
struct handler {
	int uffd;
	char *from;
	size_t piece;
	bool spin;
	atomic_bool stop;
};

static void *handler_run(void *arg)
{
	struct handler *h = arg;
	struct uffd_msg msg;

	while (!h->stop) {
		struct pollfd p = { .fd = h->uffd, .events = POLLIN };
		struct uffdio_copy copy = { .src = (uint64_t)h->from, .len = h->piece };

		if (!h->spin)
			poll(&p, 1, 100);
		if (read(h->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		copy.dst = msg.arg.pagefault.address & ~(h->piece - 1);
		if (ioctl(h->uffd, UFFDIO_COPY, &copy) && errno != EEXIST)
			die("UFFDIO_COPY");
	}
	return NULL;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Median microseconds of a first touch. */
static double round_trip(char *from, size_t piece, bool spin)
{
	static double us[FAULTS];
	size_t len = FAULTS * piece;
	char *to = map(len + piece, MAP_PRIVATE | MAP_ANONYMOUS);
	struct handler h = { .from = from, .piece = piece, .spin = spin };
	pthread_t thread;

	to = (char *)(((uintptr_t)to + piece - 1) & ~(piece - 1));
	h.uffd = uffd_new(to, len, UFFDIO_REGISTER_MODE_MISSING, 0);
	if (pthread_create(&thread, NULL, handler_run, &h))
		die("pthread_create");
	for (int i = 0; i < FAULTS; i++) {
		double start = now();

		(void)*(volatile char *)(to + (size_t)i * piece);
		us[i] = (now() - start) * 1e6;
	}
	h.stop = true;
	pthread_join(thread, NULL);
	close(h.uffd);
	munmap(to, len);
	qsort(us, FAULTS, sizeof(us[0]), compare_doubles);
	return us[FAULTS / 2];
}

static double memcpy_rate(const char *from)
{
	double best = 0;
	char *to = map(TOTAL, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE);

	for (int i = 0; i < ROUNDS; i++) {
		double start = now(), rate;

		memcpy(to, from, TOTAL);
		rate = (double)TOTAL / (now() - start) / (1UL << 30);
		best = rate > best ? rate : best;
	}
	munmap(to, TOTAL);
	return best;
}

/* From a stopped child's memory into a small buffer that stays in the cache. */
static double readv_rate(char *from)
{
	const size_t piece = 256UL << 10;
	char *to = map(piece, MAP_PRIVATE | MAP_ANONYMOUS);
	double best = 0;
	pid_t child;

	for (size_t i = 0; i < TOTAL; i += PAGE)
		from[i] = 1;
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		for (size_t i = 0; i < TOTAL; i += PAGE)
			from[i] = 2; /* pages of its own */
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(child, NULL, WUNTRACED);
	for (int i = 0; i < ROUNDS; i++) {
		double start = now(), rate;

		for (size_t at = 0; at < TOTAL; at += piece) {
			struct iovec local = { to, piece }, remote = { from + at, piece };

			if (process_vm_readv(child, &local, 1, &remote, 1, 0) != (ssize_t)piece)
				die("process_vm_readv");
		}
		rate = (double)TOTAL / (now() - start) / (1UL << 30);
		best = rate > best ? rate : best;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	munmap(to, piece);
	return best;
}

int main(void)
{
	static const size_t pieces[] = { 4096, 16384, 65536, 262144, 2097152 };
	char *from = source_pages(TOTAL);

	printf("UFFDIO_COPY, GiB/s    1 thread  2 threads\n");
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		printf("  pieces of %4zu KiB  %8.2f  %9.2f\n", pieces[i] >> 10, copy_rate(from, pieces[i], 1),
		       copy_rate(from, pieces[i], 2));
	printf("UFFDIO_CONTINUE       %8.2f  %9.2f\n", continue_rate(1), continue_rate(2));
	printf("fault round trip, us      poll   spinning\n");
	printf("  filled with 4 KiB   %8.1f  %9.1f\n", round_trip(from, 4096, false), round_trip(from, 4096, true));
	printf("  filled with 64 KiB  %8.1f  %9.1f\n", round_trip(from, 65536, false), round_trip(from, 65536, true));
	printf("memcpy, GiB/s         %8.2f\n", memcpy_rate(from));
	printf("process_vm_readv      %8.2f\n", readv_rate(from));
	return 0;
}
