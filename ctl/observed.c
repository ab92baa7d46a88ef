/* `mirectl observe` for people: first the good mail that would have been late, then typos, then
 * what attackers would have paid, and what to do next. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "show.h"
#include "show_part.h"

static const char *plural(long long n)
{
    return n == 1 ? "" : "s";
}

static void print_sender(const json_t *l)
{
    char late[64], worst[64];
    long long n = number(l, "late"), off = number(l, "put_off"), clients = number(l, "clients");

    printf("  %s from %s", *text(l, "domain") ? text(l, "domain") : "<>", text(l, "address"));
    if (clients > 1)
        printf(" (%lld clients)", clients);
    printf(":");
    if (n) {
        show_span((double)number(l, "late_seconds"), late, sizeof late);
        show_span((double)number(l, "worst_seconds"), worst, sizeof worst);
        printf(" %lld message%s late, %s in all, %s at worst%s", n, plural(n), late, worst,
               off ? ";" : "");
    }
    if (off)
        printf(" %lld message%s deferred with a 450 until the sender retries", off, plural(off));
    printf("\n    why: %s, %s\n", text(l, "rule"), text(l, "why"));
    if (is(l, "exempt"))
        printf("    it is exempt by now\n");
    else if (strcmp(text(l, "rule"), "R22") == 0 && !off)
        printf("    once: it is known afterwards\n");
    else if (is(l, "dubious"))
        printf("    %lld wrong recipients: spare it only if you know it\n", number(l, "typos"));
    else
        printf("    to spare it: %s in mired.conf, then mirectl reload\n", text(l, "setting"));
}

static void print_late(const json_t *result)
{
    bool any = false;
    size_t i;
    json_t *l;

    json_array_foreach(json_object_get(result, "senders"), i, l)
    {
        if (!number(l, "late") && !number(l, "put_off"))
            continue;
        if (!any)
            printf("Good mail that would have been late (of %lld messages):\n",
                   number(result, "messages"));
        any = true;
        print_sender(l);
    }
    if (!any)
        printf("No good mail would have been late (of %lld messages).\n",
               number(result, "messages"));
}

static void print_typos(const json_t *senders)
{
    long long typos = 0, seconds = 0;
    size_t i;
    json_t *l;

    json_array_foreach(senders, i, l)
    {
        if (is(l, "dubious"))
            continue;
        typos += number(l, "typos");
        seconds += number(l, "typo_seconds");
    }
    if (typos)
        printf("\n%lld typo%s of senders of good mail would have been answered %lld s later on "
               "average.\n",
               typos, plural(typos), seconds / typos);
}

static void print_paid(const json_t *result)
{
    const char *rule;
    json_t *count;
    char paid[64];
    bool any = false;

    show_span((double)number(result, "seconds"), paid, sizeof paid);
    printf("\nAttackers would have waited %s on %lld connections; %lld verdicts would not have "
           "been told.\n",
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
    if (!is(result, "observing"))
        printf("mired is not observing: `observe` is off, and replies wait. What follows is from "
               "before.\n");
    if (json_array_size(json_object_get(result, "days")) == 0) {
        printf("Nothing has been observed in that time.\n");
        return;
    }
    print_late(result);
    print_typos(json_object_get(result, "senders"));
    print_paid(result);
    if (is(result, "observing"))
        printf("\nNext: %s.\n", text(result, "next"));
}
