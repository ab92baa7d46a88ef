/* Runs the populations under each setting and makes tables of the results (report.h). */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "chart.h"
#include "populations.h"
#include "progress.h"

static double an_hour(const struct sim_result *r)
{
    double hours = r->attack_hours;
    if (r->exhausted_s > 0) /* the dictionary was too short for the hour */
        hours = r->exhausted_s / 3600;
    return (double)r->verdicts / hours;
}

static void tell_about(struct table *t, const struct sim_population *p, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_about(t, p[i].name, p[i].about);
    table_gap(t);
}

bool report_attacks(struct table *t, const struct tarpit_rules *rules, uint64_t seed)
{
    static const struct column columns[] = {{"attack", "attack", false},
                                            {"setting", "setting", false},
                                            {"verdicts/h", "verdicts_an_hour", true},
                                            {"of which real", "real", true},
                                            {"hours spent", "hours_spent", true},
                                            {"spam taken", "spam_taken", true},
                                            {"good mail late", "good_mail_late_percent", true}};

    table_begin(t, "attacks", columns, 7);
    for (size_t i = 0; i < sim_attacks_count; i++)
        for (int s = 0; s < SIM_SETTINGS; s++) {
            struct tarpit_rules r = sim_rules((enum sim_setting)s, rules);
            struct sim_result out;
            progress_step(sim_attacks[i].name, sim_setting_name[s]);
            if (!sim_run(&sim_attacks[i], &r, seed, &out))
                return false;
            table_name(t, sim_attacks[i].name, s > 0);
            table_text(t, sim_setting_name[s]);
            table_count(t, an_hour(&out));
            table_count(t, (double)out.found);
            table_count(t, out.hours_spent);
            table_count(t, (double)out.spam);
            if (out.mails)
                table_number(t, 100.0 * (double)out.late / (double)out.mails, 1, " %");
            else
                table_empty(t);
        }
    progress_clear();
    table_end(t);
    tell_about(t, sim_attacks, sim_attacks_count);
    return true;
}

bool report_senders(struct table *t, const struct tarpit_rules *rules, uint64_t seed)
{
    static const struct column columns[] = {{"sender", "sender", false},
                                            {"setting", "setting", false},
                                            {"delivered", "delivered", true},
                                            {"late", "late", true},
                                            {"of correspondents", "correspondents_late", true},
                                            {"mean delay", "mean_delay_seconds", true},
                                            {"worst", "worst_delay_seconds", true},
                                            {"typos told", "typos_told", true}};

    table_begin(t, "senders", columns, 8);
    for (size_t i = 0; i < sim_senders_count; i++)
        for (int s = 0; s < SIM_SETTINGS; s++) {
            struct tarpit_rules r = sim_rules((enum sim_setting)s, rules);
            struct sim_result out;
            progress_step(sim_senders[i].name, sim_setting_name[s]);
            if (!sim_run(&sim_senders[i], &r, seed, &out))
                return false;
            table_name(t, sim_senders[i].name, s > 0);
            table_text(t, sim_setting_name[s]);
            table_of(t, (unsigned long)out.delivered, (unsigned long)out.mails);
            table_number(t, (double)out.late, 0, "");
            if (out.of_correspondents > 0)
                table_of(t, (unsigned long)out.correspondents_late,
                         (unsigned long)out.of_correspondents);
            else
                table_empty(t);
            table_number(t, out.delivered ? out.delay_sum_s / (double)out.delivered : 0, 1, " s");
            table_number(t, out.delay_worst_s, 0, " s");
            table_of(t, (unsigned long)out.typos_told, (unsigned long)out.typos);
        }
    progress_clear();
    table_end(t);
    tell_about(t, sim_senders, sim_senders_count);
    return true;
}

/* One row for each number of connections (or bots), one curve for each setting. */
static bool scale(struct table *t, const char *name, struct chart *c,
                  struct sim_population (*make)(uint32_t), const struct tarpit_rules *rules,
                  uint64_t seed)
{
    const struct column columns[] = {{c->x_title, "size", true},
                                     {"off", "off", true},
                                     {"classic 20 s", "classic", true},
                                     {"mired", "mired", true}};

    table_begin(t, name, columns, 4);
    for (size_t k = 0; k < c->points; k++) {
        struct sim_population p = make((uint32_t)c->x[k]);
        table_count(t, c->x[k]);
        for (int s = 0; s < SIM_SETTINGS; s++) {
            struct tarpit_rules r = sim_rules((enum sim_setting)s, rules);
            struct sim_result out;
            char what[96];
            snprintf(what, sizeof what, "%.0f %s", c->x[k], c->x_title);
            progress_step(what, sim_setting_name[s]);
            if (!sim_run(&p, &r, seed, &out))
                return false;
            c->y[s][k] = an_hour(&out);
            table_count(t, c->y[s][k]);
        }
    }
    progress_clear();
    table_end(t);
    return true;
}

bool report_scaling(struct table *t, const struct tarpit_rules *rules, uint64_t seed,
                    uint32_t bots_most, const char *folder)
{
    struct chart one = {.title = "What a harvest from one address learns",
                        .x_title = "connections of one address",
                        .y_title = "verdicts an hour",
                        .x_least = 1,
                        .x_most = 1000,
                        .y_least = 10,
                        .y_most = 1e8,
                        .points = 4,
                        .curves = SIM_SETTINGS,
                        .x = {1, 10, 100, 1000}};
    struct chart many = one;

    many.title = "What a botnet learns";
    many.x_title = "bots, an address each";
    many.x_most = bots_most;
    many.points = 0;
    for (double x = 1; x <= bots_most; x *= 10)
        many.x[many.points++] = x;
    for (int s = 0; s < SIM_SETTINGS; s++)
        one.name[s] = many.name[s] = sim_setting_name[s];
    if (!scale(t, "verdicts_an_hour_by_connections", &one, sim_harvest, rules, seed) ||
        !scale(t, "verdicts_an_hour_by_bots", &many, sim_botnet, rules, seed))
        return false;
    return !folder ||
           (chart_write(&one, folder, "connections") && chart_write(&many, folder, "bots"));
}

bool report_round(struct table *t, const struct tarpit_rules *rules, uint64_t seed)
{
    static const uint32_t servers[] = {1, 5, 20};
    static const struct column columns[] = {
        {"servers", "servers", true},
        {"setting", "setting", false},
        {"spam taken, each server", "spam_taken_each_server", true},
        {"hours spent", "hours_spent", true}};

    table_begin(t, "round", columns, 4);
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
        for (int s = 0; s <= SIM_SETTINGS; s++) {
            bool fleet = s == SIM_SETTINGS;
            struct tarpit_rules r = sim_rules(fleet ? SIM_MIRED : (enum sim_setting)s, rules);
            struct sim_population p = sim_round(servers[i], fleet);
            struct sim_result out;
            if (fleet && servers[i] == 1)
                continue;
            progress_step("round of servers", fleet ? "one shared ledger" : sim_setting_name[s]);
            if (!sim_run(&p, &r, seed, &out))
                return false;
            table_number(t, servers[i], 0, "");
            table_text(t, fleet ? "mired, one shared ledger" : sim_setting_name[s]);
            table_count(t, (double)out.spam / servers[i]);
            table_count(t, out.hours_spent);
        }
    progress_clear();
    table_end(t);
    return true;
}

bool report_recorded(struct table *t, const struct recorded *r, const struct tarpit_rules *rules)
{
    static const struct column columns[] = {{"setting", "setting", false},
                                            {"verdicts asked for", "verdicts", true},
                                            {"told", "told", true},
                                            {"put off (450)", "put_off", true},
                                            {"all holds, hours", "held_hours", true},
                                            {"longest hold", "longest_hold_seconds", true}};

    table_begin(t, "recorded", columns, 6);
    for (int s = 0; s < SIM_SETTINGS; s++) {
        struct tarpit_rules set = sim_rules((enum sim_setting)s, rules);
        struct recorded_result out;
        progress_step("recorded attack", sim_setting_name[s]);
        if (!recorded_run(r, &set, &out))
            return false;
        table_text(t, sim_setting_name[s]);
        table_number(t, (double)out.verdicts, 0, "");
        table_number(t, (double)out.told, 0, "");
        table_number(t, (double)out.masked, 0, "");
        table_number(t, out.held_s / 3600, 1, "");
        table_number(t, out.longest_s, 0, " s");
    }
    progress_clear();
    table_end(t);
    return true;
}
