// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/shared.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

struct shared *shared_new(void)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (sh == MAP_FAILED)
		return NULL;
	sh->listen_fd = sh->trace_fd = sh->metrics_fd = -1;
	sh->inbox.row = -1;
	sh->inbox.serial = 1;
	for (unsigned i = 0; i < SHARED_MAX_LOOSE; i++)
		sh->loose[i] = -1;
	return sh;
}

void shared_close(int32_t *fd)
{
	int held = *fd;

	*fd = -1;
	if (held >= 0)
		close(held);
}
