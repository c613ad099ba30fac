/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMON_DIAG_H
#define THAW_COMMON_DIAG_H

#include <pthread.h>
#include <stddef.h>
#include <time.h>

/*
 * Errors and the log.
 *
 * Every function of Thaw returns 0 or a positive result, or -errno. Where a failure needs a sentence (which object,
 * which process, what to do), the place that knows it says so once through diag_fail(), which returns -errno so that
 * `return diag_fail(diag, EINVAL, ...)` is one line. The first sentence is kept: it is nearest to the cause. The
 * command prints it.
 */

enum diag_level { DIAG_ERROR, DIAG_WARN, DIAG_INFO, DIAG_DEBUG };

struct diag {
	int fd;		       /* where the log goes; not owned; -1: nowhere */
	enum diag_level level; /* what is more detailed than this is dropped */
	struct timespec start; /* log lines carry the time since this */
	pthread_mutex_t lock;
	int code;	 /* errno of the first failure, 0: none yet */
	char text[1024]; /* its sentence */
};

/**
 * diag_init() - Start with no failure, the log on @fd
 * @diag: to fill
 * @fd: descriptor of the log, kept by the caller; -1 for none
 * @level: most detailed level that is written
 */
void diag_init(struct diag *diag, int fd, enum diag_level level);

/**
 * diag_fail() - Keep the sentence for a failure, if it is the first, and log it
 * @diag: where to keep it
 * @code: errno value, positive
 * @fmt: one sentence without full stop: what failed, on which object and pid; then what the user can do
 *
 * Return: -@code, never 0
 */
int diag_fail(struct diag *diag, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Lets compilers and analysers know that it never returns 0, so that they follow no path that cannot be. */
#define diag_fail(...)                             \
	({                                         \
		int _ret = diag_fail(__VA_ARGS__); \
		if (_ret >= 0)                     \
			__builtin_unreachable();   \
		_ret;                              \
	})

/** diag_clear() - Forget the kept failure, for the caller that has dealt with it */
void diag_clear(struct diag *diag);

/** diag_log() - Write a log line if @level is wanted; use the macros below */
void diag_log(struct diag *diag, enum diag_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define diag_warn(diag, ...) diag_log(diag, DIAG_WARN, __VA_ARGS__)
#define diag_info(diag, ...) diag_log(diag, DIAG_INFO, __VA_ARGS__)
#define diag_debug(diag, ...)                                    \
	do {                                                     \
		if ((diag)->level >= DIAG_DEBUG)                 \
			diag_log(diag, DIAG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
