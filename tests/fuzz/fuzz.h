/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_TESTS_FUZZ_H
#define THAW_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* What libFuzzer calls with each input; replay.c calls it with files. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
