/* What would have waited, in a file of any content, which other processes change at any moment. */
#include "any_text.h"

#include "any_addr.h"

#include "tarpit/observed.h"

static void hold(struct observed *o, uint64_t now)
{
    struct tarpit_hold h = {
        .ms = any_number, .masked = any_choice & 1, .rule = (uint8_t)any_number};

    observed_hold(o, &h, any_choice & 1, now);
    observed_message(o, now);
}

static void mail(struct observed *o, struct span domain, uint64_t now)
{
    struct observed_mail m = {.client = any_addr(),
                              .domain = domain,
                              .late_ms = any_number,
                              .put_off = any_choice & 1,
                              .rule = (uint8_t)any_number};

    observed_good(o, &m, now);
}

static void lines(const struct observed *o, uint64_t now)
{
    uint32_t at = (uint32_t)any_number;
    struct observed_line line;

    if (observed_next(o, &at, any_number, now, &line)) {
        //@ assert ends: line.domain[OBSERVED_DOMAIN - 1] == 0;
        //@ assert is_a_rule: line.rule < RULE_COUNT;
    }
}

static void sums(const struct observed *o, uint64_t now)
{
    struct observed_sums s;

    observed_sums(o, any_number, now, &s);
}

static void days(const struct observed *o, uint64_t now)
{
    struct observed_day day[OBSERVED_DAYS];
    unsigned n = observed_days(o, any_number, now, day);

    //@ assert fits: n <= OBSERVED_DAYS;
}

static void follow(struct span in)
{
    uint64_t now = any_number;
    struct observed *o;

    if (observed_open(&o, NULL) < 0)
        return;
    switch (any_choice) {
    case 0: hold(o, now); break;
    case 1: mail(o, in, now); break;
    case 2: {
        struct addr client = any_addr();
        observed_typo(o, &client, in, any_number, now);
        break;
    }
    case 3: lines(o, now); break;
    case 4: sums(o, now); break;
    default: days(o, now);
    }
    observed_close(o);
}
