/* The rates of good mail: how many messages a second passed lately, and their p99 in ms. Computed
 * from the counters of a few seconds ago and of now, like Prometheus' rate() and
 * histogram_quantile(). Pure: time and counters are arguments. */
#ifndef MIRED_WEB_RATES_H
#define MIRED_WEB_RATES_H

#include <stdint.h>

#include "base/metrics.h"

enum { RATES_BACK = 10 }; /* marks to look back, one a second */

struct rates_mark {
    uint64_t at_ms; /* of a clock that never steps */
    uint64_t passed;
    uint64_t bucket[METRIC_BUCKETS + 1];
};

struct rates {
    struct rates_mark mark[RATES_BACK + 1]; /* a ring */
    unsigned count, last;
};

/* Adds the current counters. */
void rates_mark(struct rates *p, const struct rates_mark *now);

/* Over the last RATES_BACK marks, or as many as there are. NAN if unknown: the rate before the
 * second mark, the p99 while no mail passed. */
double rates_per_second(const struct rates *p);
double rates_p99_ms(const struct rates *p);

#endif
