/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INJECT_ARCH_SELECT_H
#define THAW_INJECT_ARCH_SELECT_H

/* The one place that chooses a CPU. */
#if defined(__x86_64__)
#include "criu-like/inject/arch/x86_64/arch.h"
#else
#error "Thaw has no criu-like/inject/arch/ for this CPU"
#endif

#endif
