/* Runs the populations under each setting and prints what came of it (report.h). */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "chart.h"
#include "populations.h"

static double an_hour(const struct sim_result *r)
{
    double hours = r->attack_hours;
    if (r->exhausted_s > 0) /* the dictionary was too short for the hour */
        hours = r->exhausted_s / 3600;
    return (double)r->verdicts / hours;
}

static void print_about(const struct sim_population *p, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("- **%s**: %s.\n", p[i].name, p[i].about);
    putchar('\n');
}

/* 1234567 as 1,234,567. */
static void print_count(double value)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.0f", value);

    for (int i = 0; i < n; i++) {
        putchar(digits[i]);
        if ((n - i) % 3 == 1 && i + 1 < n)
            putchar(',');
    }
}

bool report_attacks(const struct tarpit_rules *rules, uint64_t seed)
{
    puts("| attack | setting | verdicts/h | of which real | hours spent | spam taken | good mail "
         "late |");
    puts("|---|---|--:|--:|--:|--:|--:|");
    for (size_t i = 0; i < sim_attacks_count; i++)
        for (int s = 0; s < SIM_SETTINGS; s++) {
            struct tarpit_rules r = sim_rules((enum sim_setting)s, rules);
            struct sim_result out;
            if (!sim_run(&sim_attacks[i], &r, seed, &out))
                return false;
            printf("| %s | %s | ", s == 0 ? sim_attacks[i].name : "", sim_setting_name[s]);
            print_count(an_hour(&out));
            printf(" | ");
            print_count((double)out.found);
            printf(" | ");
            print_count(out.hours_spent);
            printf(" | ");
            print_count((double)out.spam);
            if (out.mails)
                printf(" | %.1f %% |\n", 100.0 * (double)out.late / (double)out.mails);
            else
                puts(" | |");
        }
    putchar('\n');
    print_about(sim_attacks, sim_attacks_count);
    return true;
}

bool report_senders(const struct tarpit_rules *rules, uint64_t seed)
{
    puts("| sender | setting | delivered | late | mean delay | worst | typos told |");
    puts("|---|---|--:|--:|--:|--:|--:|");
    for (size_t i = 0; i < sim_senders_count; i++)
        for (int s = 0; s < SIM_SETTINGS; s++) {
            struct tarpit_rules r = sim_rules((enum sim_setting)s, rules);
            struct sim_result out;
            if (!sim_run(&sim_senders[i], &r, seed, &out))
                return false;
            printf("| %s | %s | %lu of %lu | %lu | ", s == 0 ? sim_senders[i].name : "",
                   sim_setting_name[s], (unsigned long)out.delivered, (unsigned long)out.mails,
                   (unsigned long)out.late);
            double mean = out.delivered ? out.delay_sum_s / (double)out.delivered : 0;
            printf("%.1f s | %.0f s | %lu of %lu |\n", mean, out.delay_worst_s,
                   (unsigned long)out.typos_told, (unsigned long)out.typos);
        }
    putchar('\n');
    print_about(sim_senders, sim_senders_count);
    return true;
}

/* One row for each number of connections (or bots), one curve for each setting. */
static bool scale(struct chart *c, struct sim_population (*make)(uint32_t),
                  const struct tarpit_rules *rules, uint64_t seed)
{
    printf("| %s | off | classic 20 s | mired |\n|--:|--:|--:|--:|\n", c->x_title);
    for (size_t k = 0; k < c->points; k++) {
        struct sim_population p = make((uint32_t)c->x[k]);
        printf("| ");
        print_count(c->x[k]);
        for (int s = 0; s < SIM_SETTINGS; s++) {
            struct tarpit_rules r = sim_rules((enum sim_setting)s, rules);
            struct sim_result out;
            if (!sim_run(&p, &r, seed, &out))
                return false;
            c->y[s][k] = an_hour(&out);
            printf(" | ");
            print_count(c->y[s][k]);
        }
        puts(" |");
    }
    putchar('\n');
    return true;
}

bool report_scaling(const struct tarpit_rules *rules, uint64_t seed, uint32_t bots_most,
                    const char *folder)
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
    if (!scale(&one, sim_harvest, rules, seed) || !scale(&many, sim_botnet, rules, seed))
        return false;
    return !folder ||
           (chart_write(&one, folder, "connections") && chart_write(&many, folder, "bots"));
}

bool report_round(const struct tarpit_rules *rules, uint64_t seed)
{
    static const uint32_t servers[] = {1, 5, 20};

    puts("| servers | setting | spam taken, each server | hours spent |\n|--:|---|--:|--:|");
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
        for (int s = 0; s <= SIM_SETTINGS; s++) {
            bool fleet = s == SIM_SETTINGS;
            struct tarpit_rules r = sim_rules(fleet ? SIM_MIRED : (enum sim_setting)s, rules);
            struct sim_population p = sim_round(servers[i], fleet);
            struct sim_result out;
            if (fleet && servers[i] == 1)
                continue;
            if (!sim_run(&p, &r, seed, &out))
                return false;
            printf("| %u | %s | ", servers[i],
                   fleet ? "mired, one shared ledger" : sim_setting_name[s]);
            print_count((double)out.spam / servers[i]);
            printf(" | ");
            print_count(out.hours_spent);
            puts(" |");
        }
    putchar('\n');
    return true;
}

bool report_recorded(const struct recorded *r, const struct tarpit_rules *rules)
{
    puts("| setting | verdicts asked for | told | put off (450) | all holds, hours | longest hold "
         "|");
    puts("|---|--:|--:|--:|--:|--:|");
    for (int s = 0; s < SIM_SETTINGS; s++) {
        struct tarpit_rules set = sim_rules((enum sim_setting)s, rules);
        struct recorded_result out;
        if (!recorded_run(r, &set, &out))
            return false;
        printf("| %s | %lu | %lu | %lu | %.1f | %.0f s |\n", sim_setting_name[s],
               (unsigned long)out.verdicts, (unsigned long)out.told, (unsigned long)out.masked,
               out.held_s / 3600, out.longest_s);
    }
    putchar('\n');
    return true;
}
