/* R20: what the report of `observe` says would be late is what is late when it is turned off. The
 * same people, the same seed, once with shadows and once for real: mail servers wait and come again
 * as Postfix does, harvesters ask as fast as they are answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "effort.h"
#include "world.h"

enum { SEEDS = 20, LATE_MS = 1000 };

/* 40 servers new to us with many typos; 50 new ones in a /24 of 50 bots; an office behind
 * the address of an infected machine; and clients that talk early. */
static const struct sim_population mixed = {.name = "mixed",
                                            .hours = 0.5,
                                            .group = {
                                                {.role = SIM_MAIL,
                                                 .agents = 120,
                                                 .addresses = 40,
                                                 .per_network = 1,
                                                 .base = 0xc00000,
                                                 .domains = 40,
                                                 .missing = 0.12,
                                                 .recipients = 3,
                                                 .reads_s = 300},
                                                {.role = SIM_MAIL,
                                                 .agents = 60,
                                                 .addresses = 50,
                                                 .per_network = 200,
                                                 .base = 0xd00000,
                                                 .domains = 50,
                                                 .missing = 0.01,
                                                 .recipients = 1,
                                                 .reads_s = 300},
                                                {.role = SIM_MAIL,
                                                 .agents = 60,
                                                 .addresses = 1,
                                                 .per_network = 1,
                                                 .base = 0xe00000,
                                                 .domains = 20,
                                                 .mailboxes = 50,
                                                 .missing = 0.03,
                                                 .recipients = 1,
                                                 .reads_s = 300,
                                                 .history = 40},
                                                {.role = SIM_HARVEST,
                                                 .agents = 50,
                                                 .addresses = 50,
                                                 .per_network = 200,
                                                 .skip = 100,
                                                 .base = 0xd00000,
                                                 .missing = 0.98,
                                                 .recipients = 1,
                                                 .hasty = true},
                                                {.role = SIM_HARVEST,
                                                 .agents = 5,
                                                 .addresses = 1,
                                                 .per_network = 1,
                                                 .base = 0xe00000,
                                                 .missing = 0.98,
                                                 .recipients = 1,
                                                 .leaves = true},
                                                {.role = SIM_EARLY,
                                                 .agents = 500,
                                                 .addresses = 20,
                                                 .per_network = 1,
                                                 .base = 0xf00000,
                                                 .recipients = 1},
                                            }};
enum { SENT = 120 + 60 + 60, AGENTS = SENT + 50 + 5 + 500 };

static bool is_late(const struct sim_fate *f)
{
    return f->put_off || f->late_ms > LATE_MS;
}

struct compared {
    int said, was, both;
    double said_s, was_s; /* of those in both that were put off in neither */
};

static struct compared compare(const struct sim_fate *said, const struct sim_fate *was)
{
    struct compared c = {0};

    for (size_t i = 0; i < SENT; i++) {
        c.said += is_late(&said[i]);
        c.was += is_late(&was[i]);
        c.both += is_late(&said[i]) && is_late(&was[i]);
        if (is_late(&said[i]) && is_late(&was[i]) && !said[i].put_off && !was[i].put_off) {
            c.said_s += (double)said[i].late_ms / 1000;
            c.was_s += (double)was[i].late_ms / 1000;
        }
    }
    return c;
}

static void add(struct compared *all, const struct compared *c)
{
    all->said += c->said;
    all->was += c->was;
    all->both += c->both;
    all->said_s += c->said_s;
    all->was_s += c->was_s;
}

/* More than a tenth off, in number or in time. */
static bool is_far(const struct compared *c)
{
    return c->said > 1.1 * c->was || c->both < 0.9 * c->was || c->said_s > 1.1 * c->was_s ||
           c->said_s < 0.9 * c->was_s;
}

/* All seeds together are within a tenth. A few single ones may not be: two real runs of the same
 * seed differ as well, because each ledger has a key of its own, by which mailboxes share bits of a
 * sketch (R8). */
static void test_r20_what_is_said_to_be_late_is_late(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct compared all = {0};
    uint32_t seeds = effort_of(SEEDS);
    uint32_t far = 0;

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct sim_fate *said = calloc(AGENTS, sizeof *said), *was = calloc(AGENTS, sizeof *was);
        struct sim_result out;
        assert_true(said && was);
        assert_true(sim_run_and_tell(&mixed, &rules, seed, true, said, &out));
        assert_int_equal(out.late, 0); /* nothing really waits */
        assert_true(sim_run_and_tell(&mixed, &rules, seed, false, was, &out));
        struct compared c = compare(said, was);
        assert_in_range(c.was, 20, SENT);
        add(&all, &c);
        far += is_far(&c);
        free(said);
        free(was);
    }
    if (is_far(&all) || far > seeds / 10)
        fail_msg("said %d, was %d, both %d; %.0f s, %.0f s; %d seeds are far off", all.said,
                 all.was, all.both, all.said_s, all.was_s, far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r20_what_is_said_to_be_late_is_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
