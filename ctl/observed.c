/* `mirectl observe` as a person reads it: first the good mail that would have been late, then
 * typos, then what attackers would have paid, and whether anything speaks against going on. */
#include <stdbool.h>
#include <stdio.h>

#include "show.h"

static long long number(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "-";
}

static void print_late(const json_t *senders)
{
    bool any = false;
    size_t i;
    json_t *l;

    json_array_foreach(senders, i, l)
    {
        char late[64], worst[64];
        if (!number(l, "late") && !number(l, "put_off"))
            continue;
        if (!any)
            printf("Good mail that would have been late:\n");
        any = true;
        show_span((double)number(l, "late_seconds"), late, sizeof late);
        show_span((double)number(l, "worst_seconds"), worst, sizeof worst);
        printf("  %s from %s: %lld messages late, %s in all, %s at worst; %lld put off with a 450 "
               "(%s)\n    to spare it: exempt = { \"%s\" } in mired.conf, or mirectl exempt %s\n",
               *text(l, "domain") ? text(l, "domain") : "<>", text(l, "address"), number(l, "late"),
               late, worst, number(l, "put_off"), text(l, "rule"), text(l, "address"),
               text(l, "address"));
    }
    if (!any)
        printf("No good mail would have been late.\n");
}

static void print_typos(const json_t *senders)
{
    long long typos = 0, seconds = 0;
    size_t i;
    json_t *l;

    json_array_foreach(senders, i, l)
    {
        typos += number(l, "typos");
        seconds += number(l, "typo_seconds");
    }
    if (typos)
        printf("%lld typos of senders of good mail would have been answered %lld s later on "
               "average.\n",
               typos, seconds / typos);
}

static void print_paid(const json_t *result)
{
    const char *rule;
    json_t *count;
    char paid[64];
    bool any = false;

    show_span((double)number(result, "seconds"), paid, sizeof paid);
    printf("Attackers would have waited %s on %lld connections; %lld verdicts would not have been "
           "told.\n",
           paid, number(result, "connections"), number(result, "untold"));
    json_object_foreach(json_object_get(result, "rules"), rule, count)
    {
        if (json_integer_value(count) == 0)
            continue;
        printf("%s%s %lld", any ? ", " : "Replies by rule: ", rule,
               (long long)json_integer_value(count));
        any = true;
    }
    if (any)
        printf("\n");
}

void show_observed(const json_t *result)
{
    const json_t *senders = json_object_get(result, "senders");

    if (!json_is_true(json_object_get(result, "observing")))
        printf("mired is not observing: `observe` is off, and replies wait. What follows is from "
               "before.\n");
    if (!number(result, "first_day_ms")) {
        printf("Nothing has been observed in that time.\n");
        return;
    }
    print_late(senders);
    print_typos(senders);
    print_paid(result);
    if (json_is_true(json_object_get(result, "ready")))
        printf("observe can be turned off: tarpit { observe = false }, then "
               "mirectl reload.\n");
}
