/* The table of the greeting pause (R22): bots that talk first, bots that wait, and good mail, each
 * with pauses of several lengths (report.h). */
#include "report.h"

#include <string.h>

#include "populations.h"
#include "progress.h"

static const uint64_t pauses_ms[] = {0, 2000, 5000, 10000};

/* A population of the table of senders. */
static const struct sim_population *sender(const char *name)
{
    for (size_t i = 0; i < sim_senders_count; i++)
        if (strcmp(sim_senders[i].name, name) == 0)
            return &sim_senders[i];
    return NULL;
}

static void bots_row(struct table *t, const struct sim_result *r)
{
    table_count(t, (double)r->verdicts / r->attack_hours);
    table_count(t, (double)r->early);
    for (int i = 0; i < 4; i++)
        table_empty(t);
}

static void mail_row(struct table *t, const struct sim_result *r)
{
    table_empty(t);
    table_empty(t);
    table_of(t, (unsigned long)r->delivered, (unsigned long)r->mails);
    table_count(t, (double)r->late);
    table_number(t, r->delivered ? r->delay_sum_s / (double)r->delivered : 0, 2, " s");
    table_number(t, r->delay_worst_s, 0, " s");
}

static bool rows(struct table *t, const char *name, const struct sim_population *p,
                 const struct tarpit_rules *rules, uint64_t seed)
{
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        struct tarpit_rules with = *rules;
        struct sim_result r;
        with.greet = pauses_ms[i];
        progress_step(name, "greet");
        if (!sim_run(p, &with, seed, &r))
            return false;
        table_name(t, name, i > 0);
        table_number(t, (double)pauses_ms[i] / 1000, 0, " s");
        if (p->group[0].role == SIM_HARVEST)
            bots_row(t, &r);
        else
            mail_row(t, &r);
    }
    return true;
}

bool report_greeting(struct table *t, const struct tarpit_rules *rules, uint64_t seed)
{
    static const struct column columns[] = {{"who", "who", false},
                                            {"greet", "greet_seconds", true},
                                            {"verdicts/h", "verdicts_an_hour", true},
                                            {"early talkers", "early_talkers", true},
                                            {"delivered", "delivered", true},
                                            {"late", "late", true},
                                            {"mean delay", "mean_delay_seconds", true},
                                            {"worst", "worst_delay_seconds", true}};
    static const char *const senders[] = {"small site", "big provider", "mailing list"};
    struct sim_population wait = sim_talkers(0), third = sim_talkers(0.33), all = sim_talkers(1);

    table_begin(t, "greeting", columns, 8);
    bool done = rows(t, "3,000 bots that wait", &wait, rules, seed) &&
                rows(t, "a third talks first", &third, rules, seed) &&
                rows(t, "all talk first", &all, rules, seed);
    for (size_t i = 0; done && i < sizeof senders / sizeof senders[0]; i++)
        done = rows(t, senders[i], sender(senders[i]), rules, seed);
    progress_clear();
    if (!done)
        return false;
    table_end(t);
    table_gap(t);
    return true;
}
