/* Takes the pictures of `mirectl top`: asks mired for `status` and `clients`, and compares counters
 * with those of the picture before. */
#include "picture.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "show.h"

enum { WAIT_MS = 5000 };

const char *const picture_sorts[PICTURE_SORTS] = {"held", "offences", "good"};

static void keep(json_t *line, void *arg)
{
    json_t **result = arg;

    json_decref(*result);
    *result = json_incref(line);
}

static double sum(const json_t *family, const char *only)
{
    const char *key;
    json_t *value;
    double all = 0;

    json_object_foreach((json_t *)family, key, value)
    {
        if (!only || strcmp(only, key) == 0)
            all += json_number_value(value);
    }
    return all;
}

/* How fast a family of counters grew; after a restart of mired they begin at 0. */
static double rate(const struct picture *p, const json_t *status, const char *name,
                   const char *only, uint64_t now)
{
    double grown =
        sum(json_object_get(status, name), only) - sum(json_object_get(p->status, name), only);

    return p->at_ms && now > p->at_ms && grown >= 0 ? grown * 1000 / (double)(now - p->at_ms) : -1;
}

int picture_take(struct picture *p, const struct options *o, const char *sort, int limit)
{
    json_t *args = json_pack("{s:s, s:i}", "sort", sort, "limit", limit);
    json_t *status = NULL, *clients = NULL;
    struct link l;

    p->exit_status = link_ask(&l, o->socket, "status", NULL, WAIT_MS, keep, &status);
    if (p->exit_status == CTL_DONE)
        p->exit_status = link_ask(&l, o->socket, "clients", args, WAIT_MS, keep, &clients);
    json_decref(args);
    if (p->exit_status != CTL_DONE) {
        snprintf(p->code, sizeof p->code, "%s", l.code);
        snprintf(p->error, sizeof p->error, "%s", l.error);
        json_decref(status);
        json_decref(clients);
        return p->exit_status;
    }
    uint64_t now = clock_mono_ms();
    p->passed = rate(p, status, "messages", "passed", now);
    p->offences = rate(p, status, "offences", NULL, now);
    p->at_ms = now;
    json_decref(p->status);
    json_decref(p->clients);
    p->status = status;
    p->clients = clients;
    return CTL_DONE;
}

void picture_drop(struct picture *p)
{
    json_decref(p->status);
    json_decref(p->clients);
    *p = (struct picture){0};
}

static void with_rate(char *out, size_t room, double total, double a_second)
{
    if (a_second < 0)
        snprintf(out, room, "%.0f", total);
    else
        snprintf(out, room, "%.0f (%.1f a second)", total, a_second);
}

void picture_lines(const struct picture *p, char line[PICTURE_LINES][PICTURE_WIDTH])
{
    const char *version = "?", *hostname = "?";
    json_int_t held = 0, frozen = 0, open = 0;
    double up = 0, held_s = 0;
    char since[64], waited[64], passed[64], offences[64];

    json_unpack(p->status, "{s:s, s:s, s:F, s:I, s:I, s:I, s:F}", "version", &version, "hostname",
                &hostname, "up_seconds", &up, "held", &held, "frozen", &frozen, "open", &open,
                "hold_seconds", &held_s);
    show_span(up, since, sizeof since);
    show_span(held_s, waited, sizeof waited);
    with_rate(passed, sizeof passed, sum(json_object_get(p->status, "messages"), "passed"),
              p->passed);
    with_rate(offences, sizeof offences, sum(json_object_get(p->status, "offences"), NULL),
              p->offences);
    snprintf(line[0], PICTURE_WIDTH, "mired %s at %s, up %s", version, hostname, since);
    snprintf(line[1], PICTURE_WIDTH,
             "held %lld of %lld open, %lld of them without a socket; attackers waited %s",
             held + frozen, open + frozen, frozen, waited);
    snprintf(line[2], PICTURE_WIDTH, "messages %s, offences %s", passed, offences);
}
