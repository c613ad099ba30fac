/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMON_CLEANUP_H
#define THAW_COMMON_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Cleanup attributes: what a scope owns is given back when the scope ends, on every path.
 * TAKE_FD() and TAKE_PTR() hand ownership on: they return the value and leave nothing to clean.
 */

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_close)))
#define _cleanup_free_ __attribute__((cleanup(cleanup_free)))
#define _cleanup_fclose_ __attribute__((cleanup(cleanup_fclose)))
#define _cleanup_closedir_ __attribute__((cleanup(cleanup_closedir)))

#define TAKE_FD(fd)                             \
	({                                      \
		int *_fdp = &(fd), _fd = *_fdp; \
		*_fdp = -1;                     \
		_fd;                            \
	})

#define TAKE_PTR(ptr)                                     \
	({                                                \
		__typeof__(ptr) *_pp = &(ptr), _p = *_pp; \
		*_pp = NULL;                              \
		_p;                                       \
	})

#endif
