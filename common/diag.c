// SPDX-License-Identifier: GPL-2.0-only
#include "common/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void diag_init(struct diag *diag, int fd, enum diag_level level)
{
	*diag = (struct diag){ .fd = fd, .level = level, .lock = PTHREAD_MUTEX_INITIALIZER };
	clock_gettime(CLOCK_MONOTONIC, &diag->start);
}

/* One write() a line, so that lines of threads and of forked servers do not mix. */
static void diag_line(struct diag *diag, enum diag_level level, const char *text)
{
	static const char *const word[] = { "Error ", "Warn  ", "", "" };
	struct timespec now;
	char line[1280];
	long usec;
	int len;

	if (diag->fd < 0 || level > diag->level)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	usec = (now.tv_sec - diag->start.tv_sec) * 1000000L + (now.tv_nsec - diag->start.tv_nsec) / 1000;
	len = snprintf(line, sizeof(line), "(%02ld.%06ld) %s%s\n", usec / 1000000, usec % 1000000, word[level], text);
	if (len > (int)sizeof(line) - 1) {
		len = sizeof(line) - 1;
		line[len - 1] = '\n';
	}
	if (write(diag->fd, line, (size_t)len) < 0)
		return; /* a log that cannot be written must not stop the work */
}

int(diag_fail)(struct diag *diag, int code, const char *fmt, ...)
{
	char text[sizeof(diag->text)];
	va_list ap;

	if (code <= 0)
		code = EIO; /* nobody set errno; it is a failure all the same */
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);

	pthread_mutex_lock(&diag->lock);
	if (!diag->code) {
		diag->code = code;
		memcpy(diag->text, text, sizeof(text));
	}
	pthread_mutex_unlock(&diag->lock);
	diag_line(diag, DIAG_ERROR, text);
	return -code;
}

void diag_clear(struct diag *diag)
{
	pthread_mutex_lock(&diag->lock);
	diag->code = 0;
	diag->text[0] = '\0';
	pthread_mutex_unlock(&diag->lock);
}

void diag_log(struct diag *diag, enum diag_level level, const char *fmt, ...)
{
	char text[1200];
	va_list ap;

	if (diag->fd < 0 || level > diag->level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_line(diag, level, text);
}
