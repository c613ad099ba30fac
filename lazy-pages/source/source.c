// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/source/source.h"

void source_put(struct source *src)
{
	if (src && !--src->refs)
		src->ops->close(src);
}
