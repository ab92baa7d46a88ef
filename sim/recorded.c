/* Reading and replaying a recorded attack (recorded.h). Each event goes through the tarpit at its
 * own time, as a worker would ask it. */
#include "recorded.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tarpit/ledger_table.h"
#include "tarpit/tarpit.h"

#define BEGIN       UINT64_C(1800000000000)
#define LEDGER_SIZE ((uint64_t)64 << 20)

static const char *const kind_name[] = {"known", "unknown", "relay", "password", "message"};

static bool read_kind(const char *word, enum recorded_kind *kind)
{
    for (size_t i = 0; i < sizeof kind_name / sizeof *kind_name; i++)
        if (strcmp(word, kind_name[i]) == 0) {
            *kind = (enum recorded_kind)i;
            return true;
        }
    return false;
}

/* 1: an event; 0: an empty line; -1: wrong. */
static int read_line(char *line, double *seconds, struct recorded_event *e)
{
    char address[64], kind[16], number[8], more;
    unsigned long count = 1;

    line[strcspn(line, "#\n")] = '\0';
    if (line[strspn(line, " \t\r")] == '\0')
        return 0;
    char *rest;
    *seconds = strtod(line, &rest);
    int n = sscanf(rest, "%63s %15s %7s %c", address, kind, number, &more);
    if (n == 3)
        count = strtoul(number, NULL, 10);
    bool right = rest != line && (n == 2 || n == 3) && isfinite(*seconds) &&
                 fabs(*seconds) < 1e12 && count > 0 && count <= 1000000 &&
                 addr_parse(span_of(address), &e->from) && read_kind(kind, &e->kind);
    e->count = (uint32_t)count;
    return right ? 1 : -1;
}

static bool add(struct recorded *r, const struct recorded_event *e)
{
    if ((r->count & (r->count - 1)) == 0) { /* full at each power of two */
        size_t room = r->count ? r->count * 2 : 1;
        struct recorded_event *event = realloc(r->event, room * sizeof *event);
        if (!event)
            return false;
        r->event = event;
    }
    r->event[r->count++] = *e;
    return true;
}

int recorded_read(FILE *in, struct recorded *out)
{
    double first = 0, before = 0, seconds;
    char line[512];

    *out = (struct recorded){0};
    for (int number = 1; fgets(line, sizeof line, in); number++) {
        struct recorded_event e = {0};
        int r = read_line(line, &seconds, &e);
        if (r == 0)
            continue;
        if (out->count == 0)
            first = before = seconds;
        if (r < 0 || seconds < before) {
            recorded_free(out);
            return number;
        }
        before = seconds;
        e.ms = (uint64_t)((seconds - first) * 1000);
        if (!add(out, &e)) {
            recorded_free(out);
            return -ENOMEM;
        }
    }
    return 0;
}

void recorded_free(struct recorded *r)
{
    free(r->event);
    *r = (struct recorded){0};
}

static void note(struct recorded_result *out, const struct tarpit_hold *h)
{
    double seconds = (double)h->ms / 1000;
    out->held_s += seconds;
    if (seconds > out->longest_s)
        out->longest_s = seconds;
}

static void ask(struct tarpit *t, struct tarpit_who *who, const struct recorded_event *e,
                struct recorded_result *out)
{
    bool login = e->kind == RECORDED_PASSWORD;
    struct span user = login ? SPAN("somebody") : (struct span){0};
    enum offence offence = e->kind == RECORDED_KNOWN ? OFFENCE_NONE
                           : login                   ? OFFENCE_AUTH
                                                     : OFFENCE_RECIPIENT;
    struct tarpit_permit l = tarpit_ask(t, who, user, BEGIN + e->ms);
    struct tarpit_hold h = l.hold;

    out->verdicts++;
    if (!l.masked)
        h = tarpit_verdict(t, who, user, &l, offence, BEGIN + e->ms);
    if (h.masked)
        out->masked++;
    else
        out->told++;
    note(out, &h);
}

static void replay(struct tarpit *t, const struct recorded_event *e, struct recorded_result *out)
{
    struct tarpit_who who = tarpit_who(t, &e->from, false);

    if (e->kind == RECORDED_MESSAGE) {
        for (uint32_t i = 0; i < e->count; i++) {
            char name[24];
            int n = snprintf(name, sizeof name, "m%u", i);
            uint64_t mailbox = tarpit_mailbox(t, (struct span){name, (size_t)n});
            tarpit_good(t, &who, &mailbox, 1, BEGIN + e->ms);
        }
        out->messages++;
        return;
    }
    for (uint32_t i = 0; i < e->count; i++) {
        if (e->kind != RECORDED_RELAY) {
            ask(t, &who, e, out);
            continue;
        }
        struct tarpit_hold h = tarpit_offence(t, &who, OFFENCE_RELAY, BEGIN + e->ms);
        note(out, &h);
    }
}

bool recorded_run(const struct recorded *r, const struct tarpit_rules *rules,
                  struct recorded_result *out)
{
    struct tarpit t = {.rules = *rules};

    *out = (struct recorded_result){0};
    if (ledger_open(&t.ledger, NULL, LEDGER_SIZE) < 0)
        return false;
    t.ledger->file.key = (struct sipkey){1, 0}; /* the same each time */
    for (size_t i = 0; i < r->count; i++)
        replay(&t, &r->event[i], out);
    ledger_close(t.ledger);
    return true;
}
