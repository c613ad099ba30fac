/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_STATS_H
#define THAW_LAZY_STATS_H

#include <stdbool.h>

#include "lazy-pages/shared.h"

/** stats_fault() - Count a fault that took @ns from its message to its page */
void stats_fault(struct shared_stats *st, uint64_t ns);

/** stats_bucket() - The bucket for a time: 16 for each power of two, so that a quantile is within 6 % of the truth */
unsigned stats_bucket(uint64_t ns);

/** stats_filled() - Pages filled, in all lanes */
uint64_t stats_filled(const struct shared_stats *st);

/** stats_quantile() - The fault time that the share @q (0..1) of all faults did not exceed, in ns; 0 without faults */
uint64_t stats_quantile(const struct shared_stats *st, double q);

/** stats_total() - The figures of all sessions together; times that only a session has are 0 */
void stats_total(const struct shared *sh, struct shared_stats *out);

/** stats_bury() - Keep the figures of a session, which is over, in shared->past only */
void stats_bury(struct shared *sh, struct shared_session *ss);

/** stats_write() - Write the figures as JSON to @path. Return: 0, or -errno with a sentence in @diag */
int stats_write(const struct shared *sh, const char *path, struct diag *diag);

/** stats_line() - One line about a session: what was filled and what is gone. @buf: 256 bytes. Return: @buf */
const char *stats_line(const struct shared_stats *st, char *buf);

/** stats_summary() - The same about all of them together. @buf: 256 bytes. Return: @buf */
const char *stats_summary(const struct shared *sh, char *buf);

#endif
