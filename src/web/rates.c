/* The rates of good mail, from differences of counters (rates.h). */
#include "web/rates.h"

#include <math.h>

enum { RING = RATES_BACK + 1 };

void rates_mark(struct rates *p, const struct rates_mark *now)
{
    p->last = (p->last + 1) % RING;
    p->mark[p->last] = *now;
    if (p->count < RING)
        p->count++;
}

static const struct rates_mark *newest(const struct rates *p)
{
    return &p->mark[p->last];
}

static const struct rates_mark *oldest(const struct rates *p)
{
    return &p->mark[(p->last + RING - (p->count ? p->count - 1 : 0)) % RING];
}

/* Counters never decrease while the processes that share them run. */
double rates_per_second(const struct rates *p)
{
    const struct rates_mark *from = oldest(p), *to = newest(p);

    if (to->at_ms <= from->at_ms)
        return NAN;
    return (double)(to->passed - from->passed) * 1000 / (double)(to->at_ms - from->at_ms);
}

double rates_p99_ms(const struct rates *p)
{
    const struct rates_mark *from = oldest(p), *to = newest(p);
    uint64_t bucket[METRIC_BUCKETS + 1];

    for (int b = 0; b <= METRIC_BUCKETS; b++)
        bucket[b] = to->bucket[b] - from->bucket[b];
    return metric_quantile_ms(bucket, 0.99);
}
