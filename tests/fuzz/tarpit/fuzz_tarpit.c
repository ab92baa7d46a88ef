/* Any rules and any sequence of calls: holds stay within what senders bear, the exempt are free,
 * who is covered passes, and what is masked does not drip. Eight octets of rules, then four an
 * event. */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "tarpit/policy.h"
#include "tarpit/retries.h"
#include "tarpit/tarpit.h"
#include "tarpit/tries.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECOND = 1000, CLIENTS = 4, RULES_OCTETS = 8, EVENT_OCTETS = 4 };

/* From nothing to far beyond what the configuration lets through. */
static double step(uint8_t octet)
{
    return octet == 255 ? 1e18 : octet < 128 ? octet / 8.0 : exp2((octet - 128) / 4.0);
}

static uint64_t ms(uint8_t octet)
{
    return (uint64_t)fmin(step(octet) * SECOND, 1e18);
}

static struct tarpit_rules rules_of(const uint8_t *d)
{
    struct tarpit_rules r = config_default_rules();
    r.time = ms(d[0]);
    r.max = ms(d[1]);
    r.growth = step(d[2]);
    r.pace = d[3] & 1;
    r.pace_after = (d[3] >> 1) % 8;
    r.shield = step(d[4]);
    r.good_ratio = step(d[5]);
    r.half_life = d[3] & 64 ? ms(d[6]) : r.half_life;
    r.good_half_life = d[3] & 128 ? r.half_life : r.good_half_life;
    r.network_share = d[7] & 15;
    r.drip = (uint64_t)(d[7] >> 4 & 3) * 7 * SECOND;
    r.patience_offences = d[7] >> 6;
    r.retry_after = ms(d[6]);
    r.login_tries = d[5] >> 5;
    return r;
}

static void check_hold(const struct tarpit *t, const struct tarpit_who *who,
                       const struct tarpit_hold *h)
{
    assert(h->ms <= POLICY_HOLD_MAX);
    assert(h->drip_at_ms == 0 || (h->drip_at_ms < h->ms && !h->masked));
    assert(!who->exempt || (h->ms == 0 && !h->masked));
    assert(t->rules.time != 0 || (h->ms == 0 && !h->masked));
    uint32_t lines = 0;
    for (uint64_t at = 0, next; (next = drip_next(&t->rules, 0, h, lines, at)) != 0; at = next) {
        assert(next >= at && next < h->ms);
        assert(++lines <= POLICY_DRIP_LINES);
    }
}

static struct tarpit_hold ask(struct tarpit *t, const struct tarpit_who *who, struct span user,
                              uint8_t what, uint64_t now, uint64_t later)
{
    enum offence offence = what % OFFENCE_COUNT;
    bool covered = tarpit_debt(t, who, now) == 0;
    struct tarpit_permit permit = user.len == 0 ? tarpit_ask_recipient(t, who, 1 + what % 4u, now)
                                  : what & 128  ? tarpit_ask(t, who, user, now)
                                                : tarpit_ask_password(t, who, user, now);
    assert(permit.turn_end >= permit.turn_begin);
    assert(permit.masked == (permit.turn_end == 0 && permit.hold.masked));
    assert(!permit.tried || !permit.no_try);
    covered = covered && tarpit_debt(t, who, later) == 0;
    struct tarpit_hold h = tarpit_verdict(t, who, user, &permit, offence, later);
    assert(!permit.tried || offence != OFFENCE_NONE || (h.ms == 0 && !h.masked));
    assert(!permit.tried || !permit.masked || offence == OFFENCE_NONE || h.masked);
    assert(!(covered && offence == OFFENCE_NONE && user.len == 0) ||
           (!h.masked &&
            (h.ms == 0 || (h.rule == RULE_NETWORK && h.ms <= policy_time(&t->rules, 1)))));
    return h;
}

/* A message to that many mailboxes. */
static void deliver(struct tarpit *t, const struct tarpit_who *who, uint8_t count, uint64_t now)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t mailbox = i << 16;
        tarpit_good(t, who, &mailbox, 1, now);
    }
}

static void event(struct tarpit *t, const struct tarpit_who *who, const struct addr *peer,
                  const uint8_t *d, uint64_t now)
{
    struct tarpit_hold h = {0};
    switch (d[1] % 10) {
    case 0:
    case 1: h = ask(t, who, (struct span){0}, d[2], now, now + d[3]); break;
    case 2: h = ask(t, who, SPAN("bob"), d[2], now, now + d[3]); break;
    case 3: h = tarpit_offence(t, who, d[2] % OFFENCE_COUNT, now); break;
    case 4:
        h = tarpit_wait(t, who, now);
        assert(tarpit_by_correspondent(t, who, now) == (h.rule == RULE_CORRESPONDENT));
        break;
    case 5: deliver(t, who, d[2], now); break;
    case 6: tarpit_gave_up(t, who, ms(d[2]), now); break;
    case 7: tarpit_logged_in(t, who, peer, SPAN("bob"), now); break;
    case 8: tarpit_trapped(t, who, now); break;
    case 9: tarpit_suspect(t, who, step(d[2]), now); break;
    }
    check_hold(t, who, &h);
    double debt = tarpit_debt(t, who, now);
    assert(debt >= 0 && isfinite(debt));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const text[CLIENTS] = {"192.0.2.1", "192.0.2.2", "2001:db8::1", "10.0.0.1"};
    struct addr peer[CLIENTS];
    struct tarpit_who who[CLIENTS];
    uint64_t now = UINT64_C(1800000000000);

    if (size < RULES_OCTETS)
        return 0;
    struct tarpit t = {.rules = rules_of(data)};
    if (ledger_open(&t.ledger, NULL, 4096) < 0)
        return 0;
    t.tries = calloc(1, tries_size());
    if (!t.tries || retries_open(&t.retries, NULL, 64) < 0) {
        ledger_close(t.ledger);
        free(t.tries);
        return 0;
    }
    for (int c = 0; c < CLIENTS; c++) {
        addr_parse(span_of(text[c]), &peer[c]);
        who[c] = tarpit_who(&t, &peer[c], c == CLIENTS - 1);
        if (c != 2)
            tarpit_sender(&t, &who[c], c == 1 ? (struct span){0} : SPAN("one.example"));
    }
    for (size_t at = RULES_OCTETS; at + EVENT_OCTETS <= size; at += EVENT_OCTETS) {
        int c = data[at] % CLIENTS;
        now += ms(data[at] & 0xfc) / 10;
        event(&t, &who[c], &peer[c], data + at, now);
    }
    ledger_close(t.ledger);
    retries_close(t.retries);
    free(t.tries);
    return 0;
}
