/* `mirectl fleet` as a person reads it: whether the fleet is up, and a line for each member. */
#include <stdbool.h>
#include <stdio.h>

#include "show.h"

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static double real(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static long long whole(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void print_member(const json_t *m)
{
    bool self = json_is_true(json_object_get(m, "self"));
    bool present = json_is_true(json_object_get(m, "present"));
    bool ever = json_is_true(json_object_get(m, "heard"));
    char heard[64], ago[80] = "never";

    show_span(real(m, "heard_seconds_ago"), heard, sizeof heard);
    if (ever)
        snprintf(ago, sizeof ago, "%s ago", heard);
    printf("%-20s %-14s %-8s %9lld %9lld %9.1f %8.3f %10.3f %10lld %8lld\n", text(m, "name"),
           self      ? "this one"
           : present ? "present"
                     : ago,
           text(m, "program"), whole(m, "held"), whole(m, "frozen"), real(m, "messages_per_second"),
           real(m, "lag_seconds"), real(m, "skew_seconds"), whole(m, "shares"),
           whole(m, "refused"));
}

void show_fleet(const json_t *result)
{
    const json_t *members = json_object_get(result, "members");
    bool up = json_is_true(json_object_get(result, "up"));

    if (up)
        printf("%-18s%s, up; Redis at %s\n", "fleet", text(result, "name"), text(result, "redis"));
    else
        printf("%-18s%s, Redis is away: %s\n", "fleet", text(result, "name"), text(result, "why"));
    printf("%-18s%lld present\n", "members", whole(result, "present"));
    printf("%-18s%lld connections at all of them, and %lld without a socket\n", "held",
           whole(result, "held"), whole(result, "frozen"));
    printf("%-18s%.1f messages/s at all of them\n", "good mail",
           real(result, "messages_per_second"));
    printf("%-18s%lld of other members\n", "shares", whole(result, "keys"));
    if (whole(result, "redis_memory"))
        printf("%-18s%.1f MB\n", "Redis' memory", (double)whole(result, "redis_memory") / 1048576);
    printf("%-18s%lld key%s%s\n", "not shared now", whole(result, "not_shared"),
           whole(result, "not_shared") == 1 ? "" : "s",
           json_is_true(json_object_get(result, "sweeping")) ? ", and what a sweep will find" : "");
    printf("\n%-20s %-14s %-8s %9s %9s %9s %8s %10s %10s %8s\n", "member", "heard of", "version",
           "held", "frozen", "mail/s", "lag (s)", "clock (s)", "shares", "refused");
    for (size_t i = 0; i < json_array_size(members); i++)
        print_member(json_array_get(members, i));
    if (whole(result, "left_out"))
        printf("and %lld more\n", whole(result, "left_out"));
}
