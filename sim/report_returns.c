/* The table of senders that come back after a 4xx, in the situations that they meet (report.h). */
#include "report.h"

#include "progress.h"
#include "schedules.h"

static void row(struct table *t, const struct sim_situation *in, const struct sim_schedule *s,
                const struct sim_result *r, bool again)
{
    table_name(t, in->name, again);
    table_text(t, s->name);
    table_of(t, (unsigned long)r->delivered, (unsigned long)r->mails);
    table_count(t, (double)r->lost);
    table_count(t, (double)r->late);
    table_number(t, r->delivered ? r->delay_sum_s / 60 / (double)r->delivered : 0, 1, " min");
    table_number(t, r->delay_worst_s / 60, 1, " min");
}

bool report_returns(struct table *t, const struct tarpit_rules *rules, uint64_t seed)
{
    static const struct column columns[] = {{"situation", "situation", false},
                                            {"sender", "sender", false},
                                            {"delivered", "delivered", true},
                                            {"lost", "lost", true},
                                            {"late", "late", true},
                                            {"mean delay", "mean_delay_minutes", true},
                                            {"worst", "worst_delay_minutes", true}};

    table_begin(t, "schedules", columns, 7);
    for (size_t k = 0; k < sim_situations_count; k++) {
        bool again = false;
        for (size_t i = 0; i < sim_schedules_count; i++) {
            struct sim_population p = sim_returning(&sim_schedules[i], &sim_situations[k]);
            struct sim_result r;
            if (sim_situations[k].pool && !sim_schedules[i].moves)
                continue;
            progress_step(sim_situations[k].name, sim_schedules[i].name);
            if (!sim_run(&p, rules, seed, &r))
                return false;
            row(t, &sim_situations[k], &sim_schedules[i], &r, again);
            again = true;
        }
    }
    progress_clear();
    table_end(t);
    for (size_t k = 0; k < sim_situations_count; k++)
        table_about(t, sim_situations[k].name, sim_situations[k].about);
    for (size_t i = 0; i < sim_schedules_count; i++)
        table_about(t, sim_schedules[i].name, sim_schedules[i].about);
    table_gap(t);
    return true;
}
