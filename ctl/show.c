/* Prints results in words, for a reader in a hurry. --json prints the same result unchanged
 * (mirectl.c). */
#include "show.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "colour.h"
#include "show_part.h"

void show_span(double seconds, char *out, size_t room)
{
    static const struct {
        const char *name;
        unsigned long seconds;
    } units[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
    unsigned long left = seconds > 0 ? (unsigned long)seconds : 0;
    size_t at = 0;
    int printed = 0;

    for (int i = 0; i < 4 && printed < 2 && at < room; i++) {
        unsigned long n = left / units[i].seconds;
        left %= units[i].seconds;
        if (n || (i == 3 && !printed)) {
            at += (size_t)snprintf(out + at, room - at, "%s%lu %s", printed ? " " : "", n,
                                   units[i].name);
            printed++;
        } else if (printed) {
            printed++;
        }
    }
}

/* A family of counters, those that are not 0: "recipient 12, auth 3". */
static void print_family(const char *title, const json_t *family, const char *none)
{
    const char *key;
    json_t *value;
    bool any = false;

    printf("%-18s", title);
    json_object_foreach((json_t *)family, key, value)
    {
        if (json_integer_value(value) == 0)
            continue;
        printf("%s%s %lld", any ? ", " : "", key, (long long)json_integer_value(value));
        any = true;
    }
    printf("%s\n", any ? "" : none);
}

static void print_sources(const char *title, const json_t *list, const char *name,
                          const char *detail)
{
    size_t i;
    json_t *item;

    if (json_array_size(list) == 0)
        printf("%-18snone\n", title);
    json_array_foreach(list, i, item)
    {
        const json_t *up = json_object_get(item, "up");
        printf("%-18s%s", i ? "" : title, text(item, name));
        const char *more = detail ? json_string_value(json_object_get(item, detail)) : NULL;
        if (more && *more)
            printf(" %s", more);
        enum colour colour = json_is_true(up)    ? COLOUR_GOOD
                             : json_is_false(up) ? COLOUR_BAD
                                                 : COLOUR_NONE;
        printf("%s%s%s%s%s\n", up ? ": " : "", colour_on(colour),
               json_is_true(up)    ? "up"
               : json_is_false(up) ? "DOWN"
               : up                ? "not tried yet"
                                   : "",
               colour_off(colour),
               !json_is_true(json_object_get(item, "kept")) ? ""
               : json_is_false(up) ? ", no version of its file can be used; see the log"
                                   : ", but using an earlier version; see the log");
    }
}

void show_recipient(const json_t *result)
{
    printf("%s (%s)\n", text(result, "result"), text(result, "directory"));
}

/* "backends", then each section on a line of its own, the first behind the rule. */
static void print_served(const char *title, const json_t *served)
{
    const json_t *sections = json_object_get(served, "sections"), *section;
    const char *rule = text(served, "rule");
    size_t i;

    json_array_foreach(sections, i, section)
    {
        const json_t *up = json_object_get(section, "up");
        const char *path = json_string_value(json_object_get(section, "path"));
        printf("%-12s%-30s %s%s%s%s\n", i ? "" : title,
               i       ? ""
               : *rule ? rule
                       : "(no domains)",
               text(section, "name"), path ? " " : "", path ? path : "",
               json_is_true(up)    ? ": up"
               : json_is_false(up) ? ": down"
                                   : "");
    }
    if (json_array_size(sections) == 0)
        printf("%-12s%-30s none\n", title, "");
}

void show_route(const json_t *result)
{
    const char *rule = text(result, "rule");

    if (json_is_true(json_object_get(result, "local")))
        printf("%-12s%-30s mail for it is accepted\n", "domains", rule);
    else
        printf("%-12s%-30s not ours: only clients that log in or relay send there\n", "domains",
               "");
    print_served("recipients", json_object_get(result, "recipients"));
    print_served("backend", json_object_get(result, "backends"));
    print_served("auth", json_object_get(result, "auth"));
}

void show_text(const json_t *result)
{
    if (json_is_string(json_object_get(result, "text")))
        puts(text(result, "text"));
}

/* Lists in the DNS; their answers do not count while they fail their tests. */
static void print_lists(const json_t *lists)
{
    size_t i;
    const json_t *l;

    json_array_foreach(lists, i, l)
    {
        bool counts = json_is_true(json_object_get(l, "counts"));
        if (!counts)
            printf("%-18s%s%s %s %s: ignored%s\n", i ? "" : "lists", colour_on(COLOUR_BAD),
                   text(l, "kind"), text(l, "zone"), text(l, "state"), colour_off(COLOUR_BAD));
        else
            printf("%-18s%s %s %s\n", i ? "" : "lists", text(l, "kind"), text(l, "zone"),
                   text(l, "state"));
    }
}

static void print_allowance(const json_t *a)
{
    if (!json_is_true(json_object_get(a, "on")))
        return;
    printf("%-18s%lld recipients or messages put off, %lld accounts looked stolen%s\n",
           "allowances", number(a, "refusals"), number(a, "stolen"),
           json_is_true(json_object_get(a, "kept")) ? "; using an earlier version of the file, see "
                                                      "the log"
                                                    : "");
}

static void print_fleet(const json_t *f)
{
    if (!json_is_object(f))
        return;
    bool up = json_is_true(json_object_get(f, "up"));
    if (up)
        printf("%-18s%s, up: %lld members\n", "fleet", text(f, "name"), number(f, "members"));
    else
        printf("%-18s%s, %sRedis is away, going on alone%s; `mirectl fleet` says why\n", "fleet",
               text(f, "name"), colour_on(COLOUR_BAD), colour_off(COLOUR_BAD));
}

static void print_sandbox(const json_t *s)
{
    long long open = number(s, "none");

    printf("%-18sseccomp in %lld processes, Landlock in %lld, a root directory of its own in %lld",
           "sandbox", number(s, "seccomp"), number(s, "landlock"), number(s, "root"));
    if (open)
        printf("; %s%lld not confined%s", colour_on(COLOUR_BAD), open, colour_off(COLOUR_BAD));
    putchar('\n');
}

/* The users that processes run as: one for all, or several. */
static void print_users(const json_t *users)
{
    const char *other = text(users, "other"), *role;
    const json_t *name;
    bool apart = false;

    if (json_object_size(users) == 0)
        return;
    printf("%-18s", "users");
    json_object_foreach((json_t *)users, role, name)
    {
        if (strcmp(json_string_value(name), other) == 0)
            continue;
        printf("%s%s %s", apart ? ", " : "", role, json_string_value(name));
        apart = true;
    }
    printf("%s %s\n", apart ? ", others" : "all processes run as", other);
}

void show_status(const json_t *result)
{
    const json_t *ledger = json_object_get(result, "ledger");
    time_t since = (time_t)(number(result, "since_ms") / 1000);
    char when[64], up[64], waited[64];

    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime(&since));
    show_span(json_number_value(json_object_get(result, "up_seconds")), up, sizeof up);
    printf("mired %s at %s, up %s (since %s)%s\n\n", text(result, "version"),
           text(result, "hostname"), up, when,
           json_is_true(json_object_get(result, "observing"))
               ? ", observing: nothing waits; `mirectl observe` says what would"
               : "");
    printf("%-18s%lld of %lld open connections, %lld of them without a socket\n", "held now",
           number(result, "held") + number(result, "frozen"),
           number(result, "open") + number(result, "frozen"), number(result, "frozen"));
    show_span(json_number_value(json_object_get(result, "hold_seconds")), waited, sizeof waited);
    printf("%-18s%s\n", "attackers waited", waited);
    if (json_is_false(json_object_get(result, "mail_passes")))
        printf("%-18s%sdoes not pass: %s%s\n", "mail", colour_on(COLOUR_BAD),
               text(result, "mail_waits_for"), colour_off(COLOUR_BAD));
    else if (json_is_string(json_object_get(result, "domain_waits")))
        printf("%-18s%sfor %s waits: all of its backends are down%s\n", "mail",
               colour_on(COLOUR_BAD), text(result, "domain_waits"), colour_off(COLOUR_BAD));
    print_family("messages", json_object_get(result, "messages"), "none yet");
    print_family("offences", json_object_get(result, "offences"), "none yet");
    print_family("verdicts", json_object_get(result, "verdicts"), "none yet");
    print_family("logins", json_object_get(result, "auth"), "none yet");
    printf("%-18s%lld known, room for %lld\n", "ledger", number(ledger, "entries"),
           number(ledger, "capacity"));
    print_sources("backends", json_object_get(result, "backends"), "name", "domains");
    print_sources("directories", json_object_get(result, "directories"), "kind", "path");
    print_lists(json_object_get(result, "lists"));
    print_allowance(json_object_get(result, "allowance"));
    print_fleet(json_object_get(result, "fleet"));
    print_sandbox(json_object_get(result, "sandbox"));
    print_users(json_object_get(result, "users"));
    printf("%-18s%lld, restarted %lld times; configuration %s, read %lld times\n", "workers",
           number(result, "workers"), number(result, "worker_restarts"), text(result, "config"),
           number(result, "generation"));
}

void show_config(const json_t *result)
{
    fputs(text(result, "config"), stdout);
}

void show_exempt(const json_t *result)
{
    const json_t *list = json_object_get(result, "exempt");
    size_t i;
    json_t *e;

    show_text(result);
    json_array_foreach(list, i, e)
    {
        long long until = number(e, "until_ms");
        time_t at = (time_t)(until / 1000);
        char when[64] = "for good";
        if (until)
            strftime(when, sizeof when, "until %Y-%m-%d %H:%M", localtime(&at));
        printf("%-40s %s\n", text(e, "address"), when);
    }
}

void show_line(const json_t *part)
{
    if (json_object_get(part, "address")) {
        json_dumpf(part, stdout, JSON_COMPACT);
        putchar('\n');
    }
}

void show_advice(const json_t *result)
{
    const json_t *list = json_object_get(result, "advice");
    size_t i;
    json_t *a;

    json_array_foreach(list, i, a)
    {
        printf("%s%s\n    # %s\n", i ? "\n" : "", text(a, "setting"), text(a, "reason"));
    }
    if (i == 0)
        printf("Nothing to change: %lld clients are known, and no rule suggests another setting.\n",
               number(result, "clients"));
}
