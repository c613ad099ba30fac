/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_VMA_STATUS_H
#define THAW_IMAGES_VMA_STATUS_H

/* What a mapping is, as the format's vma_entry.status says it. */
#define VMA_REGULAR (1u << 0)
#define VMA_VSYSCALL (1u << 2)
#define VMA_VDSO (1u << 3)
#define VMA_HEAP (1u << 5)
#define VMA_FILE_PRIVATE (1u << 6)
#define VMA_FILE_SHARED (1u << 7)
#define VMA_ANON_SHARED (1u << 8)
#define VMA_ANON_PRIVATE (1u << 9)
#define VMA_SYSVIPC (1u << 10)
#define VMA_SOCKET (1u << 11)
#define VMA_VVAR (1u << 12)
#define VMA_AIORING (1u << 13)
#define VMA_MEMFD (1u << 14)
#define VMA_SHADOW_STACK (1u << 15)
#define VMA_GUARD (1u << 16) /* lies in others, and stands behind them all */
#define VMA_UNSUPPORTED (1u << 31)

#endif
