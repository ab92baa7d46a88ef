/* A ledger file of any content: it is set aside or used, and used it never yields a number that is
 * none, holds nobody for ever, and takes new bookings. The first octet chooses: 0 replaces the
 * file, else its header stays and the rest goes over the entries, from a slot on. */
#include <assert.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tarpit/ledger_clock.h"

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LEDGER_SIZE = 2048, HOUR = 3600000 };
#define T0 UINT64_C(1800000000000)

static const struct ledger_decay decay = {HOUR, 24 * HOUR};
static void write_file(const uint8_t *data, size_t size)
{
    struct ledger *l;
    bool whole = data[0] == 0;
    unlink(state_path);
    unlink(state_aside);
    if (!whole) {
        if (ledger_open(&l, state_path, LEDGER_SIZE) < 0)
            abort();
        ledger_close(l);
    }
    int fd = open(state_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    size_t room = whole ? STATE_FILE_PAGE + LEDGER_SIZE : LEDGER_SIZE;
    ssize_t n =
        pwrite(fd, data + 1, size - 1 < room ? size - 1 : room, whole ? 0 : STATE_FILE_PAGE);
    assert(n >= 0);
    close(fd);
}

static void check(const struct ledger_entry *e)
{
    assert(isfinite(e->offences) && e->offences >= 0 && isfinite(e->good) && e->good >= 0);
    assert(e->turn_ms <= T0 + LEDGER_HORIZON_MS && e->debt_ms <= T0 + LEDGER_HORIZON_MS);
}

/* The keeper's looks at the clock, which somebody sets in between. */
static void set_clock(struct ledger *l)
{
    struct clock_reading r = {T0, HOUR, 1};
    struct clock_step step;

    ledger_follow_clock(l, &r, &step);
    r.wall_ms += HOUR;
    ledger_follow_clock(l, &r, &step);
    r.wall_ms -= HOUR;
    ledger_follow_clock(l, &r, &step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ledger *l;
    struct ledger_key k;
    struct ledger_entry e;
    struct addr who;
    uint64_t at = 0;

    if (size < 2)
        return 0;
    state_prepare();
    write_file(data, size);
    if (ledger_open(&l, state_path, LEDGER_SIZE) < 0)
        abort();
    while (ledger_next(l, &at, &decay, T0, &k, &who, &e)) {
        check(&e);
        ledger_add_offences(l, &k, &decay, T0, 1);
        ledger_take_turn(l, &k, T0, 10, T0);
    }
    set_clock(l);
    at = 0;
    while (ledger_next(l, &at, &decay, T0, &k, &who, &e))
        check(&e);
    for (uint8_t i = 0; i < 64; i++) {
        struct addr a = {.family = ADDR_IP4, .octets = {i}};
        k = ledger_key_client(l, &a);
        ledger_add_offences(l, &k, &decay, T0, 1);
        ledger_set_debt(l, &k, T0, T0 + 5);
        if (ledger_get(l, &k, &decay, T0, &e))
            check(&e);
        ledger_mark(l, &k, T0, LEDGER_SUSPECT, HOUR);
        ledger_forget(l, &k);
    }
    struct ledger_stats s = ledger_stats(l);
    assert(s.entries <= s.capacity);
    ledger_close(l);
    return 0;
}
