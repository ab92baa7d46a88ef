/* `mirectl connections` for people: a line for each connection, the oldest first. */
#include <stdio.h>
#include <stdlib.h>

#include "show.h"
#include "show_part.h"

static int by_age(const void *a, const void *b)
{
    double x = real(*(json_t *const *)a, "open_seconds");
    double y = real(*(json_t *const *)b, "open_seconds");
    return (x < y) - (x > y);
}

static void print_one(const json_t *c)
{
    const json_t *flags = json_object_get(c, "flags"), *flag;
    char age[64], phase[64];
    size_t i;

    show_span(real(c, "open_seconds"), age, sizeof age);
    show_span(real(c, "phase_seconds"), phase, sizeof phase);
    printf("%-40s %-11s %-12s %-12s %-12s %s", text(c, "address"), text(c, "id"), age,
           text(c, "phase"), phase, text(c, "waits_for"));
    json_array_foreach((json_t *)flags, i, flag)
    {
        printf("%s%s", i ? "," : " [", json_string_value(flag));
    }
    puts(i ? "]" : "");
}

void show_connections(const json_t *result)
{
    const json_t *list = json_object_get(result, "connections");
    size_t n = json_array_size(list);
    json_t **row = calloc(n + 1, sizeof *row);
    long long more = json_integer_value(json_object_get(result, "more"));
    long long missing = json_integer_value(json_object_get(result, "unanswered"));

    if (!row)
        return;
    for (size_t i = 0; i < n; i++)
        row[i] = json_array_get(list, i);
    qsort(row, n, sizeof *row, by_age);
    printf("%-40s %-11s %-12s %-12s %-12s %s\n", "client", "id", "open", "phase", "for",
           "waits for [flags]");
    for (size_t i = 0; i < n; i++)
        print_one(row[i]);
    free(row);
    if (more)
        printf("and %lld more\n", more);
    if (missing)
        printf("%lld worker%s did not answer\n", missing, missing == 1 ? "" : "s");
}
