/* A table of orders of any content: it is set aside or used, takes orders, and forgets nothing that
 * it has taken. */
#include "fleet/orderbook.h"

#include <string.h>

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define T0 UINT64_C(1800000000000)

static struct order_kept order(enum order_verb verb, const char *network)
{
    struct order_kept o = {.id = 7, .stamp_ms = T0, .verb = verb};

    assert(network_parse(span_of(network), &o.network));
    return o;
}

static void write_good(void)
{
    struct order_kept one = order(ORDER_EXEMPT, "192.0.2.7/32");
    struct order_kept two = order(ORDER_RELEASE, "2001:db8::/32");
    struct orderbook *b;

    if (orderbook_open(&b, state_path) < 0)
        abort();
    orderbook_take(b, &one, true, T0);
    orderbook_take(b, &two, false, T0);
    orderbook_account_released(b, 0x123a, T0, T0);
    orderbook_close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct order_kept mine = order(ORDER_UNEXEMPT, "192.0.2.7/32"), o, again;
    struct orderbook *b;
    char text[ORDER_TEXT];
    uint32_t at = 0;

    if (size < 1)
        return 0;
    state_damage(data, size, write_good);
    if (orderbook_open(&b, state_path) < 0)
        abort();
    while (orderbook_next(b, &at, T0, &o)) {
        size_t len = orderbook_write(&o, text);
        assert(len < sizeof text && orderbook_read((struct span){text, len}, &again));
    }
    while (orderbook_hear(b, T0, &o))
        assert(o.verb == ORDER_ACCOUNT && o.id == 0x123a && o.stamp_ms == T0);
    mine.stamp_ms = T0 + 1;
    if (orderbook_take(b, &mine, true, T0 + 1) == ORDER_TAKEN)
        assert(orderbook_of(b, &mine.network, false, T0 + 1, &o) && o.stamp_ms == T0 + 1);
    while (orderbook_to_do(b, T0 + 1, &o))
        orderbook_done(b, o.id);
    orderbook_close(b);
    return 0;
}
