// SPDX-License-Identifier: GPL-2.0-only
/* Any bytes as an image: it is read to its end or refused with a sentence; what was read can be printed. */
#include <stdio.h>
#include <stdlib.h>

#include "images/codec.h"
#include "images/tree.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *f = size ? fmemopen((void *)data, size, "r") : NULL;
	struct image_reader *r;
	struct diag diag;
	uint64_t len;
	void *msg;
	int ret;

	if (!f)
		return 0;
	diag_init(&diag, -1, DIAG_ERROR);
	ret = image_open_stream(f, size, "input", IMG_NR_KINDS, &r, &diag);
	if (!ret) {
		while ((ret = image_get(r, &msg)) > 0) {
			json_object_put(tree_of_message(msg, size & 1));
			ret = image_skip_raw(r, msg, &len);
			image_free(msg);
			if (ret)
				break;
		}
		image_close(r);
	}
	if (ret && !diag.code)
		abort();
	return 0;
}
