/* One member without Redis: its ledger, table and book in memory, which hear shares as others would
 * write them. For the tests of the fleet. */
#ifndef MIRED_TESTS_FLEET_ALONE_H
#define MIRED_TESTS_FLEET_ALONE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "fleet/mirror.h"

enum { ALONE_PLACES = 1024, ALONE_LEDGER = 65536 };

static const struct sipkey fleet_key = {1, 2};

/* Within a thousandth. */
static inline bool near(double a, double b)
{
    return fabs(a - b) <= 1e-3 * (1 + fmax(fabs(a), fabs(b)));
}

static inline void alone_open(struct mirror *m)
{
    size_t size = others_size(ALONE_PLACES);
    void *mapping = aligned_alloc(64, (size + 63) / 64 * 64);

    memset(mapping, 0, size);
    *m = (struct mirror){.others = others_open(mapping, size), .rules = config_default_rules()};
    assert_int_equal(ledger_open(&m->ledger, NULL, ALONE_LEDGER), 0);
    assert_int_equal(book_open(&m->book, ALONE_PLACES), 0);
    ledger_share(m->ledger, m->others);
    others_activate(m->others, &fleet_key, 1);
}

/* Member `from` says that, over the wire. What reading it returned. */
static inline int alone_say(struct mirror *m, uint16_t from, const struct share *s, uint64_t now)
{
    uint8_t octets[SHARE_VALUE_MOST];
    struct share said = *s, read = {.name = s->name};

    said.stamp_ms = s->at_ms;
    size_t len = share_write(&said, 0, octets);
    int r = share_read(&read, (struct span){(char *)octets, len}, &m->rules, 0, now);
    if (r == 0)
        mirror_take(m, from, &read, now);
    return r;
}

/* What the member knows of the key, others' shares included. */
static inline struct ledger_entry alone_known(const struct mirror *m, const struct ledger_key *k,
                                              uint64_t now)
{
    struct ledger_decay d = {m->rules.half_life, m->rules.good_half_life};
    struct ledger_entry e;

    ledger_get(m->ledger, k, &d, now, &e);
    return e;
}

#endif
