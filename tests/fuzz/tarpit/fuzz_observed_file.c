/* The file of `observe`, of any content: it is set aside or used. Used, its lines end, its domains
 * are texts, its rules have names, its days stay in their order, and it takes new entries. */
#include "tarpit/observed.h"

#include <string.h>

#include "tarpit/tarpit.h"

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define T0 UINT64_C(1800000000000)

static const struct observed_mail mail = {.client = {.family = ADDR_IP4, .octets = {192, 0, 2, 7}},
                                          .domain = {"a.test", 6},
                                          .late_ms = 20000};

static void write_good(void)
{
    struct observed *o;

    if (observed_open(&o, state_path) < 0)
        abort();
    for (uint64_t day = 0; day < 3; day++) {
        observed_message(o, T0 + day * 86400000);
        observed_good(o, &mail, T0 + day * 86400000);
        observed_typo(o, &mail.client, mail.domain, 30000, T0 + day * 86400000);
    }
    observed_close(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct observed *o;
    struct observed_line line;
    struct observed_sums sums;
    struct observed_day day[OBSERVED_DAYS];
    const uint64_t now = T0 + UINT64_C(3) * 86400000;
    uint32_t at = 0, lines = 0;

    if (size < 1)
        return 0;
    state_damage(data, size, write_good);
    if (observed_open(&o, state_path) < 0)
        abort();
    while (observed_next(o, &at, 0, now, &line)) {
        assert(++lines <= OBSERVED_LINES);
        assert(strnlen(line.domain, sizeof line.domain) < sizeof line.domain);
        assert(line.rule < RULE_COUNT);
    }
    observed_sums(o, 0, now, &sums);
    unsigned days = observed_days(o, 0, now, day);
    assert(days <= OBSERVED_DAYS);
    for (unsigned i = 1; i < days; i++)
        assert(day[i].day_ms > day[i - 1].day_ms);
    observed_good(o, &mail, now);
    observed_message(o, now);
    observed_close(o);
    return 0;
}
