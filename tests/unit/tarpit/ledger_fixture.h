/* What tests of the ledger begin with: one in memory, and an address from its text. */
#ifndef MIRED_TESTS_TARPIT_LEDGER_FIXTURE_H
#define MIRED_TESTS_TARPIT_LEDGER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tarpit/ledger.h"

static inline struct ledger *open_memory(uint64_t size)
{
    struct ledger *l;
    assert_int_equal(ledger_open(&l, NULL, size), 0);
    return l;
}

static inline struct addr addr(const char *text)
{
    struct addr a;
    assert_true(addr_parse(span_of(text), &a));
    return a;
}

#endif
