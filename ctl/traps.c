/* `mirectl traps --suggest` as a person reads it. */
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "show.h"
#include "show_part.h"

static const char *day(const json_t *o, const char *key, char out[16])
{
    time_t at = (time_t)(number(o, key) / 1000);

    strftime(out, 16, "%Y-%m-%d", gmtime(&at));
    return out;
}

/* Marks addresses that look like a name. Returns whether there was one. */
static bool print_addresses(const json_t *list)
{
    char first[16], last[16];
    bool names = false;
    size_t i;
    json_t *a;

    printf("%-40s %8s %5s  %-10s  %s\n", "address", "networks", "days", "first", "last");
    json_array_foreach(list, i, a)
    {
        bool name = json_is_true(json_object_get(a, "name_like"));
        names |= name;
        printf("%-40s %8lld %5lld  %s  %s%s\n", json_string_value(json_object_get(a, "address")),
               number(a, "networks"), number(a, "days"), day(a, "first_ms", first),
               day(a, "last_ms", last), name ? "  (a name?)" : "");
    }
    return names;
}

void show_traps(const json_t *result)
{
    const json_t *list = json_object_get(result, "suggested");
    char when[16];

    if (json_array_size(list) == 0) {
        printf("No address to suggest yet: none that does not exist has been tried from five "
               "networks, on three days, and by nobody with good mail.\n");
    } else {
        bool names = print_addresses(list);
        printf("\nNobody with good mail has tried these, and none of them existed in the last "
               "year, as far as mired has seen.\n"
               "To make some of them traps, put them into a file, one a line:\n"
               "    traps = { \"file:/etc/mired/traps\" } in tarpit { }, then mirectl reload\n");
        if (names)
            printf("Leave out names that a new employee might get.\n");
    }
    if (number(result, "unasked"))
        printf("%lld more could not be checked, because no directory answered.\n",
               number(result, "unasked"));
    if (number(result, "overflowed_ms"))
        printf("On %s there was no room for all existing addresses: check the list against your "
               "former users.\n",
               day(result, "overflowed_ms", when));
}
