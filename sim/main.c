/* mired-sim: runs the serving tarpit code against simulated attackers and senders, in virtual time.
 *
 * Reads the tarpit's numbers from a configuration (or takes the defaults), and replays a
 * recorded attack, or looks for the best strategy against them, or runs every synthetic population
 * under `off`, `classic 20 s` and those numbers.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "report.h"

static const char usage[] =
    "usage: mired-sim [-c FILE] [--attack FILE] [--charts FOLDER] [--bots N] "
    "[--search MOVES] [--seed N] [--json]\n"
    "  -c FILE          take tarpit { } of this mired.conf; else the defaults\n"
    "  --attack FILE    replay a recorded attack: SECONDS ADDRESS\n"
    "                   known|unknown|relay|password|message [COUNT], one event a line\n"
    "  --charts FOLDER  write connections.svg and bots.svg there\n"
    "  --bots N         the largest botnet of the curves (100000; a million takes a minute and 2 "
    "GB)\n"
    "  --search MOVES   only look for the best strategy against the rules, for so many moves\n"
    "                   (100000000 take some minutes)\n"
    "  --seed N         of all that is drawn by lot (1): the same seed, the same numbers\n"
    "  --json           one object instead of tables\n";

/* Random enemies of one innocent. */
enum { ENEMIES = 10000 };

struct options {
    const char *config, *attack, *charts;
    uint32_t bots;
    uint64_t seed, search;
    bool json;
};

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"attack", required_argument, NULL, 'a'}, {"charts", required_argument, NULL, 'g'},
        {"bots", required_argument, NULL, 'b'},   {"search", required_argument, NULL, 'S'},
        {"seed", required_argument, NULL, 's'},   {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "c:h", names, NULL)) != -1) {
        switch (option) {
        case 'c': o->config = optarg; break;
        case 'a': o->attack = optarg; break;
        case 'g': o->charts = optarg; break;
        case 'b': o->bots = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'S': o->search = strtoull(optarg, NULL, 10); break;
        case 's': o->seed = strtoull(optarg, NULL, 10); break;
        case 'j': o->json = true; break;
        case 'h': return fputs(usage, stdout) < 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (optind < argc || o->bots < 10 || o->bots > 1000000) {
        fputs(usage, stderr);
        return 2;
    }
    return -1;
}

static bool read_rules(const char *file, struct tarpit_rules *rules)
{
    struct config *config;
    struct buf said = {0};

    *rules = config_default_rules();
    if (!file)
        return true;
    bool right = config_read(file, &config, &said) == 0;
    if (right) {
        *rules = config->tarpit;
        config_free(config);
    } else {
        fwrite(said.at, 1, said.len, stderr);
    }
    buf_free(&said);
    return right;
}

static int replay(struct table *t, const char *file, const struct tarpit_rules *rules)
{
    struct recorded r;
    FILE *in = fopen(file, "r");

    if (!in) {
        perror(file);
        return 1;
    }
    int wrong = recorded_read(in, &r);
    fclose(in);
    if (wrong) {
        fprintf(stderr,
                wrong > 0 ? "%s:%d: not an event in order; see mired-sim --help\n"
                          : "%s: not enough memory\n",
                file, wrong);
        return 1;
    }
    bool done = report_recorded(t, &r, rules);
    recorded_free(&r);
    table_finish(t);
    return done ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options o = {.bots = 100000, .seed = 1};
    struct tarpit_rules rules;
    int status = read_options(argc, argv, &o);

    if (status >= 0)
        return status;
    if (!read_rules(o.config, &rules))
        return 1;
    struct table t = {.json = o.json};
    if (o.attack)
        return replay(&t, o.attack, &rules);
    bool done =
        o.search > 0
            ? report_adversary(&t, &rules, o.seed, o.search)
            : report_attacks(&t, &rules, o.seed) && report_senders(&t, &rules, o.seed) &&
                  report_returns(&t, &rules, o.seed) && report_washing(&t, &rules, o.seed) &&
                  report_greeting(&t, &rules, o.seed) && report_adversary(&t, &rules, o.seed, 0) &&
                  report_enemies(&t, &rules, o.seed, ENEMIES) &&
                  report_scaling(&t, &rules, o.seed, o.bots, o.charts) &&
                  report_round(&t, &rules, o.seed);
    if (done) {
        table_finish(&t);
        return 0;
    }
    fputs("mired-sim: not enough memory, or the charts cannot be written\n", stderr);
    return 1;
}
