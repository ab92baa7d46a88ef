/* Metrics: a table of shared rows. The master maps it, each process writes its own row, web reads
 * them all.
 *
 * A row has one writer, so an addition is a load and a store, and readers see whole 64-bit words.
 */
#include "base/metrics.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "base/siphash.h"

const struct metric_about metric_table[METRIC_COUNT] = {
#define METRIC_ROW(id, metric_kind, metric_family, metric_label, metric_help)                      \
    [METRIC_##id] = {.family = (metric_family),                                                    \
                     .label = (metric_label),                                                      \
                     .help = (metric_help),                                                        \
                     .kind = METRIC_##metric_kind},
    METRICS(METRIC_ROW)
#undef METRIC_ROW
};

const struct metric_time_about metric_time_table[METRIC_TIME_COUNT] = {
#define METRIC_ROW(id, metric_family, metric_label, metric_help)                                   \
    [METRIC_TIME_##                                                                                \
        id] = {.family = (metric_family), .label = (metric_label), .help = (metric_help)},
    METRIC_TIMES(METRIC_ROW)
#undef METRIC_ROW
};

const uint32_t metric_bucket_ms[METRIC_BUCKETS] = {1,   2,   5,   10,   25,   50,
                                                   100, 250, 500, 1000, 5000, 30000};

static struct metrics_row dummy;
static struct metrics_row *own = &dummy;

int metrics_open(struct metrics *m, uint32_t rows)
{
    void *at = mmap(NULL, rows * sizeof(struct metrics_row), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return -errno;
    *m = (struct metrics){.rows = rows, .row = at};
    return 0;
}

void metrics_close(struct metrics *m)
{
    if (own >= m->row && own < m->row + m->rows)
        own = &dummy;
    munmap(m->row, m->rows * sizeof(struct metrics_row));
    *m = (struct metrics){0};
}

void metrics_use(struct metrics_row *row)
{
    own = row ? row : &dummy;
}

static void add(_Atomic uint64_t *value, uint64_t by)
{
    uint64_t old = atomic_load_explicit(value, memory_order_relaxed);

    atomic_store_explicit(value, old + by, memory_order_relaxed);
}

void metric_add(enum metric id, int64_t by)
{
    add(&own->value[id], (uint64_t)by);
}

void metric_set(enum metric id, uint64_t value)
{
    atomic_store_explicit(&own->value[id], value, memory_order_relaxed);
}

void metric_took(enum metric_time id, uint64_t us)
{
    struct metric_histogram *h = &own->time[id];
    int bucket = 0;

    while (bucket < METRIC_BUCKETS && us > (uint64_t)metric_bucket_ms[bucket] * 1000)
        bucket++;
    add(&h->bucket[bucket], 1);
    add(&h->us, us);
}

uint64_t metrics_sum(const struct metrics *m, enum metric id)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m->rows; i++)
        sum += atomic_load_explicit(&m->row[i].value[id], memory_order_relaxed);
    return sum;
}

void metrics_sum_time(const struct metrics *m, enum metric_time id,
                      uint64_t bucket[METRIC_BUCKETS + 1], uint64_t *us)
{
    *us = 0;
    for (int i = 0; i <= METRIC_BUCKETS; i++)
        bucket[i] = 0;
    for (uint32_t r = 0; r < m->rows; r++) {
        const struct metric_histogram *h = &m->row[r].time[id];
        for (int i = 0; i <= METRIC_BUCKETS; i++)
            bucket[i] += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        *us += atomic_load_explicit(&h->us, memory_order_relaxed);
    }
}

double metric_quantile_ms(const uint64_t bucket[METRIC_BUCKETS + 1], double q)
{
    double all = 0, below = 0;

    for (int b = 0; b <= METRIC_BUCKETS; b++)
        all += (double)bucket[b];
    if (all == 0)
        return NAN;
    for (int b = 0; b < METRIC_BUCKETS; b++) {
        double in = (double)bucket[b], from = b ? metric_bucket_ms[b - 1] : 0;
        if (in > 0 && below + in >= q * all)
            return from + (metric_bucket_ms[b] - from) * (q * all - below) / in;
        below += in;
    }
    return metric_bucket_ms[METRIC_BUCKETS - 1];
}

void metrics_reset_gauges(struct metrics_row *row)
{
    for (int id = 0; id < METRIC_COUNT; id++)
        if (metric_table[id].kind == METRIC_GAUGE)
            atomic_store_explicit(&row->value[id], 0, memory_order_relaxed);
}

static void add_text(struct siphash *h, const char *text)
{
    siphash_add(h, text, strlen(text) + 1);
}

uint64_t metrics_layout(void)
{
    static const struct sipkey key;
    struct siphash h;

    siphash_start(&h, &key);
    for (int i = 0; i < METRIC_COUNT; i++) {
        add_text(&h, metric_table[i].family);
        add_text(&h, metric_table[i].label);
    }
    for (int i = 0; i < METRIC_TIME_COUNT; i++) {
        add_text(&h, metric_time_table[i].family);
        add_text(&h, metric_time_table[i].label);
    }
    siphash_add(&h, metric_bucket_ms, sizeof metric_bucket_ms);
    return siphash_end(&h) >> 1 | 1;
}
