/* Whatever a Redis says is parsed and read without harm: replies of every kind, the entries of the
 * stream, shares, orders, mixed answers, accounts, members' words. What is taken for a share is within its
 * bounds; an order that is read is written and read alike; no record of a mixed answer delivers a
 * message whose name it does not have. */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "config/config.h"
#include "fleet/members.h"
#include "fleet/orderbook.h"
#include "fleet/replies.h"
#include "fleet/settled.h"
#include "fleet/share.h"
#include "fleet/usage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW UINT64_C(1700000000000)

static struct tarpit_rules rules;

static void take_value(struct ledger_name name, struct span value)
{
    struct share s = {.name = name};

    if (share_read(&s, value, &rules, 0, NOW) < 0)
        return;
    assert(isfinite(s.is.offences) && s.is.offences >= 0 && s.is.offences <= 1000);
    assert(isfinite(s.is.good) && s.is.good >= 0 && s.is.good <= 1e4);
    assert(s.at_ms <= NOW + SHARE_AHEAD_MS && s.is.turn_ms <= s.at_ms + LEDGER_HORIZON_MS);
    share_lasts(&s, &rules);
}

static void take_field(void *arg, struct span name, struct span value)
{
    take_value((struct ledger_name){1, LEDGER_CLIENT}, value);
    take_value((struct ledger_name){1, LEDGER_NETWORK}, value);
}

static void take_account_order(struct span text)
{
    struct order_account o, again;
    char back[ORDER_ACCOUNT_TEXT];

    if (!orderbook_read_account(text, NOW, &o))
        return;
    size_t len = orderbook_write_account(&o, back);
    assert(len > 0 && len < sizeof back);
    assert(orderbook_read_account((struct span){back, len}, NOW, &again));
    assert(again.id == o.id && again.stamp_ms == o.stamp_ms && strcmp(again.name, o.name) == 0);
}

static void take_orders(struct span lines)
{
    struct order_kept o, again;
    char text[ORDER_TEXT];

    take_account_order(lines);
    while (lines.len) {
        size_t end = span_find(lines, '\n');
        if (orderbook_read(span_first(lines, end), &o)) {
            size_t len = orderbook_write(&o, text);
            assert(len < sizeof text && orderbook_read((struct span){text, len}, &again));
            assert(memcmp(&o.network.base.octets, &again.network.base.octets, 16) == 0 &&
                   o.network.bits == again.network.bits && o.id == again.id &&
                   o.stamp_ms == again.stamp_ms && o.until_ms == again.until_ms);
        }
        lines = span_after(lines, end + 1);
    }
}

static void take_settled(struct span batch)
{
    static struct partial_delivery *table;
    struct partial_record r;

    if (!table && partial_open(&table, NULL, 86400000) < 0)
        return;
    while (settled_next(&batch, 0, &r) == 1)
        if (partial_take(table, &r, NOW))
            assert(r.until_ms > NOW && (r.gone || r.what != 3 || r.value <= PARTIAL_RESTS));
    assert(!partial_was_delivered(table, SPAN("a@x"), SPAN("b@y"), partial_named(1), NOW));
}

/* No level is above what an account may have, and nothing is undefined. */
static void take_accounts(struct span batch)
{
    static struct ledger *ledger;
    static struct usage *usage;
    struct usage_share share;

    if (!ledger && (ledger_open(&ledger, NULL, 65536) < 0 || usage_open(&usage, 64) < 0))
        return;
    while (usage_next(&batch, &share) == 1) {
        struct others_event seen = {.name = {share.id, LEDGER_ALLOWANCE},
                                    .hash = share.id,
                                    .what = OTHERS_SENT,
                                    .sent = {.recipients = 1, .most = 9}};
        usage_take(usage, ledger, (uint16_t)(1 + share.epoch % 3), &share, NOW, NOW);
        usage_booked(usage, ledger, &seen, NOW);
        usage_take(usage, ledger, (uint16_t)(1 + share.epoch % 3), &share, NOW, NOW);
        struct ledger_key k = {.hash = share.id, .kind = (uint8_t)LEDGER_ALLOWANCE};
        for (enum ledger_bucket b = 0; b < BUCKET_COUNT; b++) {
            struct ledger_rate rate = usage_rate(LEDGER_BUCKET_MOST, b);
            assert(ledger_bucket_level(ledger, &k, b, rate, NOW) <= rate.most + 1.0);
        }
    }
    while (usage_next_untold(usage, ledger, NOW, &share))
        ;
}

static void take_entry(void *arg, const struct stream_entry *e)
{
    struct span batch = e->shares, value;
    struct ledger_name name;

    hello_read(e->hello);
    take_orders(e->order);
    take_orders(e->standing);
    take_settled(e->settled);
    take_accounts(e->accounts);
    while (share_next(&batch, &name, &value) == 1)
        take_value(name, value);
}

static void take_range(void *arg, uint32_t first, uint32_t last, const struct reply_place *at)
{
    assert(first <= last && last < REDIS_SLOTS && at->port > 0);
}

static void read_all(const redisReply *r)
{
    struct reply_place place = {0};

    reply_error(r);
    reply_is_master(r);
    reply_time_ms(r);
    reply_info(r, "used_memory");
    if (reply_moved(r, &place))
        assert(place.slot < REDIS_SLOTS && place.port > 0);
    reply_master(r, &place);
    reply_slots(r, take_range, NULL);
    reply_fields(r, take_field, NULL);
    reply_entries(r, true, take_entry, NULL);
    reply_entries(r, false, take_entry, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReader *reader = replies_reader();
    void *reply = NULL;

    rules = config_default_rules();
    assert(reader);
    redis_slot((struct span){(const char *)data, size});
    if (redisReaderFeed(reader, (const char *)data, size) == REDIS_OK)
        while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
            read_all(reply);
            freeReplyObject(reply);
            reply = NULL;
        }
    redisReaderFree(reader);
    return 0;
}
