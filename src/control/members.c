/* Queries to the fleet process (members.h), and orders from other members. */
#include "control/members.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "control/actions.h"
#include "control/control_part.h"

struct members_asking {
    struct alarm alarm; /* first */
    struct members_asks *asks;
    struct members_asking *next;
    uint64_t tag;
    members_told *told;
    void *arg;
    struct buf answer;
};

static void finish(struct members_asking *k, bool answered)
{
    struct members_asking **p = &k->asks->askings;

    while (*p != k)
        p = &(*p)->next;
    *p = k->next;
    loop_alarm_off(k->asks->loop, &k->alarm);
    bool whole = answered && buf_add(&k->answer, "", 1) == 0;
    if (k->told)
        k->told(k->arg, whole ? k->answer.at : NULL);
    buf_free(&k->answer);
    free(k);
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    finish((struct members_asking *)a, false);
}

void members_did_read(const char *answer, struct members_did *did)
{
    size_t len = answer ? strcspn(answer, ";") : 0;
    const char *missed = !answer ? "the other members" : answer[len] ? answer + len + 1 : "";

    snprintf(did->done, sizeof did->done, "%.*s", (int)len, answer ? answer : "");
    snprintf(did->missed, sizeof did->missed, "%s", missed);
}

int member_ask(struct members_asks *a, const char *query, members_told *told, void *arg)
{
    struct members_asking *k = calloc(1, sizeof *k);
    uint64_t tag = ++a->last_tag;

    if (!k)
        return -ENOMEM;
    int error = channel_tell(a->channel, NOTE_FLEET_ASK, 0, tag, query);
    if (error) {
        free(k);
        return error;
    }
    *k = (struct members_asking){.alarm = {.due = time_is_up},
                                 .asks = a,
                                 .next = a->askings,
                                 .tag = tag,
                                 .told = told,
                                 .arg = arg};
    a->askings = k;
    loop_alarm(a->loop, &k->alarm, a->loop->now + MEMBERS_ANSWER_MS);
    return 0;
}

void member_ask_forget(struct members_asks *a, const void *arg)
{
    for (struct members_asking *k = a->askings; k; k = k->next)
        if (k->arg == arg)
            k->told = NULL;
}

void member_asks_close(struct members_asks *a)
{
    while (a->askings)
        finish(a->askings, false);
}

void member_asks_note(struct members_asks *a, const struct note *n)
{
    struct members_asking *k = a->askings;

    while (k && k->tag != n->tag)
        k = k->next;
    if (!k)
        return;
    if (n->arg >= 0)
        (void)buf_add(&k->answer, n->text, n->len);
    if (n->arg <= 0) /* 1: more comes */
        finish(k, n->arg == 0);
}

/* ---- orders from other members ---- */

struct order {
    struct steering *steering;
    uint64_t tag;
};

static void done(void *arg, const struct action_result *r)
{
    struct order *o = arg;

    channel_tell(o->steering->params->control, NOTE_FLEET_DONE, (int32_t)(r->held + r->frozen),
                 o->tag, NULL);
    free(o);
}

/* Answers with the id of the account's allowance, which is not 0 in a fleet; with "refused" if it was
 * released on an order a moment ago. */
static void release_ordered(struct steering *s, uint64_t tag, const char *name)
{
    struct account_released r;
    char id[24] = "refused";

    if (account_release_ordered(s, name, &r))
        snprintf(id, sizeof id, "%016" PRIx64, r.common);
    channel_tell(s->params->control, NOTE_FLEET_DONE, 0, tag, id);
}

/* "release 192.0.2.0/24 0", "exempt 192.0.2.7/32 1700000000000", "unexempt 192.0.2.7/32 0";
 * "release-account NAME". */
void steering_order(struct steering *s, const struct note *n)
{
    char verb[16], network[ADDR_TEXT], number[24], lasts[32];
    uint64_t until = 0;
    struct action_result r = {0};
    struct action *a = NULL;
    struct network net;
    struct order *o;

    if (strncmp(n->text, "release-account ", 16) == 0) {
        release_ordered(s, n->tag, n->text + 16);
        return;
    }
    if (sscanf(n->text, "%15s %63s %23s", verb, network, number) != 3 ||
        !span_number(span_of(number), &until) || !network_parse(span_of(network), &net) ||
        !(o = calloc(1, sizeof *o)))
        return;
    *o = (struct order){s, n->tag};
    struct whom who = whom_of(&net);
    uint64_t now = clock_wall_ms();
    s->ordered = true;
    if (strcmp(verb, "release") == 0) {
        a = action_release(s, &who, network, true, done, o, &r);
    } else if (strcmp(verb, "exempt") == 0 && (until == 0 || until > now)) {
        snprintf(lasts, sizeof lasts, "%llus", (unsigned long long)((until - now) / 1000 + 1));
        a = action_exempt(s, &who, network, until ? lasts : NULL, done, o, &r);
    } else if (strcmp(verb, "unexempt") == 0) {
        a = action_end_exemption(s, &who, network, done, o, &r);
    }
    s->ordered = false;
    if (!a)
        done(o, &r);
}

/* ---- mirectl fleet ---- */

static void fleet_told(void *arg, const char *answer)
{
    struct control *c = arg;
    json_t *shown = answer ? json_loads(answer, 0, NULL) : NULL;

    c->given_up = NULL;
    c->drop = NULL;
    c->state = NULL;
    if (shown)
        control_done(c, shown);
    else
        control_fail(c, CONTROL_REFUSED,
                     c->steering->params->config->fleet.redis.count
                         ? "the fleet process did not answer"
                         : "this mired is in no fleet: mired.conf has no `fleet` section");
    control_waited(c);
}

static void fleet_drop(void *state)
{
    struct control *c = state;
    member_ask_forget(&c->steering->members, c);
}

void run_fleet(struct control *c, const json_t *args)
{
    if (member_ask(&c->steering->members, "status", fleet_told, c) < 0)
        control_fail(c, CONTROL_REFUSED, "the fleet process cannot be asked now");
    else
        control_wait(c, c, fleet_drop);
}
