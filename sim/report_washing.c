/* The table of spammers that wash their lists, and of those that do not (report.h). */
#include "report.h"

#include "populations.h"
#include "progress.h"
#include "washing.h"

enum { SETTINGS = 4, TOLD_IN_TIME = 3, PATIENCE = 50 };

static const char *const setting_name[SETTINGS] = {"off", "classic 20 s", "mired",
                                                   "mired, `patience_offences = 50`"};

static struct tarpit_rules setting(int s, const struct tarpit_rules *rules)
{
    struct tarpit_rules r = sim_rules(s == TOLD_IN_TIME ? SIM_MIRED : (enum sim_setting)s, rules);

    if (s == TOLD_IN_TIME)
        r.patience_offences = PATIENCE;
    return r;
}

static double held_hours(const struct washing_result *r)
{
    double all = 0;

    for (int day = 0; day < WASHING_DAYS; day++)
        all += r->held_s[day] / 3600;
    return all / WASHING_DAYS;
}

bool report_washing(struct table *t, const struct tarpit_rules *rules, uint64_t seed)
{
    static const struct column columns[] = {{"spammer", "spammer", false},
                                            {"leaves after", "leaves_after_seconds", true},
                                            {"setting", "setting", false},
                                            {"connections on day 1", "day_1", true},
                                            {"day 10", "day_10", true},
                                            {"day 90", "day_90", true},
                                            {"held, hours a day", "held_hours", true},
                                            {"verdicts told", "told", true},
                                            {"spam taken", "spam_taken", true}};
    static const double bears[] = {10, 60, 300};

    table_begin(t, "washing", columns, sizeof columns / sizeof *columns);
    for (int drops = 1; drops >= 0; drops--)
        for (size_t b = 0; b < sizeof bears / sizeof *bears; b++)
            for (int s = 0; s < SETTINGS; s++) {
                struct washing w = {.drops = drops, .dead = 0.8, .bears_s = bears[b]};
                struct tarpit_rules r = setting(s, rules);
                struct washing_result out;
                progress_step("washing", setting_name[s]);
                if (!washing_run(&w, &r, seed, &out))
                    return false;
                table_name(t, drops ? "washes" : "keeps", b > 0 || s > 0);
                table_number(t, bears[b], 0, " s");
                table_text(t, setting_name[s]);
                table_count(t, (double)out.connections[0]);
                table_count(t, (double)out.connections[9]);
                table_count(t, (double)out.connections[WASHING_DAYS - 1]);
                table_number(t, held_hours(&out), 1, "");
                table_count(t, (double)out.told);
                table_count(t, (double)out.spam);
            }
    progress_clear();
    table_end(t);
    return true;
}
