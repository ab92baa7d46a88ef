/* Prints clients, networks and accounts of the ledger in words (show.h). */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "colour.h"
#include "show.h"
#include "show_part.h"

static const char *standing(const json_t *c)
{
    return is(c, "exempt")       ? "exempt"
           : is(c, "shielded")   ? "shielded"
           : is(c, "paced")      ? "paced"
           : real(c, "debt") > 0 ? "in debt"
                                 : "fine";
}

static enum colour colour_of(const json_t *c)
{
    return is(c, "exempt")                         ? COLOUR_GOOD
           : is(c, "shielded")                     ? COLOUR_BAD
           : is(c, "paced") || real(c, "debt") > 0 ? COLOUR_WARN
                                                   : COLOUR_NONE;
}

const char *show_client_title(void)
{
    return "client                                    offences      good standing     held  "
           "next verdict   hold left  last seen";
}

/* How long ago the entry was changed last. */
static void show_seen(const json_t *c, char *out, size_t room)
{
    long long seen = number(c, "seen_ms"), at = number(c, "at_ms");
    char span[48];

    show_span((double)(at - seen) / 1000, span, sizeof span);
    snprintf(out, room, seen ? "%s ago" : "-", span);
}

/* Its held connections, with a socket and without; "-" when they were not counted. */
static void show_held(const json_t *c, char *out, size_t room)
{
    if (json_object_get(c, "held"))
        snprintf(out, room, "%lld", number(c, "held") + number(c, "frozen"));
    else
        snprintf(out, room, "-");
}

void show_client_row(const json_t *c, char *row, size_t room)
{
    char seen[64], held[24];

    show_seen(c, seen, sizeof seen);
    show_held(c, held, sizeof held);
    snprintf(row, room, "%-40s %9.1f %9.1f %-9s %7s %11.0f s %7.0f s  %s", text(c, "address"),
             real(c, "offences"), real(c, "good"), standing(c), held,
             real(c, "next_verdict_seconds"), real(c, "hold_left_seconds"), seen);
}

void show_clients(const json_t *result)
{
    const json_t *list = json_object_get(result, "clients");
    char row[256];
    size_t i;
    json_t *c;

    puts(show_client_title());
    json_array_foreach(list, i, c)
    {
        show_client_row(c, row, sizeof row);
        printf("%s%s%s\n", colour_on(colour_of(c)), row, colour_off(colour_of(c)));
    }
    if (number(result, "unanswered"))
        printf("held: without those of %lld process%s that did not answer\n",
               number(result, "unanswered"), number(result, "unanswered") == 1 ? "" : "es");
}

/* Prints nothing when no process answered. */
static void print_held(const json_t *result)
{
    long long frozen = number(result, "frozen"), all = number(result, "held") + frozen;
    long long missing = number(result, "unanswered");

    if (!json_object_get(result, "held"))
        return;
    printf("%-18s%s%lld connection%s", "held now", missing ? "at least " : "", all,
           all == 1 ? "" : "s");
    if (frozen)
        printf(", %lld of them without a socket", frozen);
    if (missing)
        printf(" (%lld process%s did not answer)", missing, missing == 1 ? "" : "es");
    putchar('\n');
}

static void print_listed(const json_t *result)
{
    const json_t *listed = json_object_get(result, "listed"), *name;
    size_t i;

    json_array_foreach((json_t *)listed, i, name)
    {
        printf("%-18s%s\n", i ? "" : "listed by", json_string_value(name));
    }
}

/* A client in debt may ask at once and pays afterwards, which a bare "0 s" does not say. */
static void print_next_verdict(const json_t *result, const json_t *c)
{
    double wait = real(c, "next_verdict_seconds");

    if (is(c, "exempt"))
        printf("%-18sat once: it is exempt\n", "next verdict");
    else if (is(c, "shielded"))
        printf("%-18snone while it has so many offences; recipients get 450\n", "next verdict");
    else if (wait > 0)
        printf("%-18sin %.0f s: its turn comes then\n", "next verdict", wait);
    else if (real(c, "debt") > 0)
        printf("%-18sat once, but it is in debt: each session begins with a wait, and a refusal is "
               "held for %.0f s or more\n",
               "next verdict", real(result, "basic_hold_seconds"));
    else
        printf("%-18sat once; a refusal is held for %.0f s or more\n", "next verdict",
               real(result, "basic_hold_seconds"));
}

static void print_recent(const json_t *result)
{
    const json_t *recent = json_object_get(result, "recent"), *line;
    size_t i;

    json_array_foreach((json_t *)recent, i, line)
    {
        printf("%-18s%s\n", i ? "" : "last in the log", json_string_value(line));
    }
}

/* "7 of 20 recipients in this hour". */
static void print_bucket(const json_t *account, const char *key, const char *title,
                         const char *period)
{
    const json_t *b = json_object_get(account, key);

    if (json_is_object(b))
        printf("%-18s%.0f of %lld recipients %s\n", title, ceil(real(b, "used") - 0.01),
               number(b, "allowed"), period);
}

static void print_networks(const json_t *account)
{
    const json_t *list = json_object_get(account, "networks"), *n;
    long long all = number(account, "known_networks") + number(account, "new_networks");
    size_t i;

    json_array_foreach((json_t *)list, i, n)
    {
        time_t at = (time_t)(number(n, "known_from_ms") / 1000);
        char when[64] = "", seen[64];
        if (is(n, "new"))
            strftime(when, sizeof when, ", new until %Y-%m-%d %H:%M", localtime(&at));
        show_span((double)(number(account, "at_ms") - number(n, "seen_ms")) / 1000, seen,
                  sizeof seen);
        printf("%-18s%s%s, last login %s ago%s\n", i ? "" : "networks", text(n, "network"), when,
               seen, number(n, "tries_left") ? "" : ", no passwords out of turn left");
    }
    if (all > (long long)i)
        printf("%-18sand %lld more; %lld of all are new\n", "", all - (long long)i,
               number(account, "new_networks"));
}

static void show_account(const json_t *a)
{
    time_t until = (time_t)(number(a, "stolen_until_ms") / 1000);
    char when[64];

    printf("account %s%s\n\n", text(a, "name"), is(a, "limited") ? "" : " has no allowance");
    if (is(a, "stolen")) {
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime(&until));
        printf("%-18s%slooks stolen%s until %s: change its password, then release it\n", "password",
               colour_on(COLOUR_BAD), colour_off(COLOUR_BAD), when);
    }
    print_bucket(a, "per_hour", "sent", "an hour");
    print_bucket(a, "per_day", "", "a day");
    print_bucket(a, "new_per_hour", "from new networks", "an hour");
    print_bucket(a, "new_per_day", "", "a day");
    printf("%-18s%.1f\n", "wrong passwords", real(a, "guesses"));
    print_networks(a);
}

/* R22. The ledger notes the hour. */
static void print_pass(const json_t *c)
{
    double ago = real(c, "at_ms") - real(c, "passed_ms");
    char span[64];

    show_span(ago > 0 ? ago / 1000 : 0, span, sizeof span);
    printf("%-18sat once: it waited %s ago\n", "greeted", span);
}

void show_client(const json_t *result)
{
    if (json_object_get(result, "account")) {
        show_account(json_object_get(result, "account"));
        return;
    }
    const json_t *c = json_object_get(result, "client"), *n = json_object_get(result, "network");

    char seen[64];

    show_seen(c, seen, sizeof seen);
    printf("%s is %s%s%s\n\n", text(c, "address"), colour_on(colour_of(c)), standing(c),
           colour_off(colour_of(c)));
    printf("%-18s%.1f live; good mail (%.0f recipients) reduces them to %.1f\n", "offences",
           real(c, "offences"), real(c, "good"), real(c, "debt"));
    print_next_verdict(result, c);
    printf("%-18s%s\n", "last seen", seen);
    if (real(c, "hold_left_seconds") > 0)
        printf("%-18s%.0f s\n", "last hold ends in", real(c, "hold_left_seconds"));
    if (real(c, "patience_seconds") > 0)
        printf("%-18s%.0f s\n", "hung up after", real(c, "patience_seconds"));
    if (json_integer_value(json_object_get(c, "passed_ms")) > 0)
        print_pass(c);
    print_held(result);
    print_listed(result);
    if (n && strcmp(text(c, "kind"), "network") != 0)
        printf("%-18s%s: %.1f offences, %.0f good\n", "network", text(n, "address"),
               real(n, "offences"), real(n, "good"));
    print_recent(result);
}
