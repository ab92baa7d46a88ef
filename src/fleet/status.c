/* How the fleet is: each member's figures of itself, which it tells once a second, and what the page
 * and `mirectl fleet` show of them. What other members say was cut to bounds when it was read
 * (members.h); a member that is not present counts in no sum. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "fleet/fleet_part.h"

enum { LISTED_MOST = 100 };

void status_answer(struct fleet *f, uint64_t tag, const char *text)
{
    size_t len = strlen(text), at = 0;
    struct note n = {.kind = NOTE_FLEET_TOLD, .tag = tag};

    do {
        n.len = (uint32_t)(len - at < NOTE_TEXT - 1 ? len - at : NOTE_TEXT - 1);
        memcpy(n.text, text + at, n.len);
        n.text[n.len] = '\0';
        at += n.len;
        n.arg = at < len;
        channel_send(f->params->control, &n);
    } while (at < len);
}

/* ---- this member ---- */

static uint64_t metric(const struct fleet *f, enum metric id)
{
    return f->params->metrics ? metrics_sum(f->params->metrics, id) : 0;
}

void status_own(struct fleet *f, struct hello *h)
{
    uint64_t passed = metric(f, METRIC_MESSAGES_PASSED);
    struct status_mark *mark = &f->mark[f->marks % STATUS_MARKS]; /* the oldest */
    uint64_t ms = f->marks >= STATUS_MARKS ? f->loop.now - mark->at_ms : 0;

    *h = (struct hello){
        .version = SHARE_VERSION,
        .mired = f->params->mired,
        .instance = f->instance,
        .half_life = f->mirror.rules.half_life,
        .good_half_life = f->mirror.rules.good_half_life,
        .keys = book_count(f->mirror.book),
        .skew_ms = f->mirror.skew,
        .held = metric(f, METRIC_HELD),
        .frozen = metric(f, METRIC_FROZEN),
        .passed = passed,
        .passed_milli = ms && passed >= mark->passed ? (passed - mark->passed) * 1000000 / ms : 0,
        .program = MIRED_VERSION,
    };
    *mark = (struct status_mark){f->loop.now, passed};
    f->marks++;
    f->members.at[BOOK_SELF].hello = *h;
}

/* ---- all ---- */

static bool is_present(const struct fleet *f, uint16_t i)
{
    const struct member *m = &f->members.at[i];
    return i == BOOK_SELF || members_is_present(&f->members, m, f->loop.wall);
}

static json_t *member_json(const struct fleet *f, uint16_t i)
{
    const struct member *m = &f->members.at[i];
    const struct hello *h = &m->hello;
    double heard = i == BOOK_SELF || !m->heard_ms || m->heard_ms > f->loop.wall
                       ? 0
                       : (double)(f->loop.wall - m->heard_ms) / 1000;

    return json_pack("{s:s, s:b, s:b, s:b, s:f, s:s, s:I, s:I, s:f, s:I, s:f, s:f, s:I, s:I, s:I, "
                     "s:I, s:f}",
                     "name", m->name, "self", i == BOOK_SELF, "present", is_present(f, i), "heard",
                     i == BOOK_SELF || m->heard_ms, "heard_seconds_ago", heard, "program",
                     h->program, "held", (json_int_t)h->held, "frozen", (json_int_t)h->frozen,
                     "messages_per_second", (double)h->passed_milli / 1000, "messages",
                     (json_int_t)h->passed, "lag_seconds", (double)m->lag_ms / 1000, "skew_seconds",
                     (double)-h->skew_ms / 1000, "keys", (json_int_t)h->keys, "shares",
                     (json_int_t)m->shares, "refused", (json_int_t)m->refused, "version",
                     (json_int_t)h->version, "half_life_seconds", (double)h->half_life / 1000);
}

/* This member first, then those that are present, then the others, up to LISTED_MOST. */
static json_t *members_json(const struct fleet *f)
{
    json_t *list = json_array();

    for (int present = 1; present >= 0; present--)
        for (uint16_t i = 0; i < f->members.count && json_array_size(list) < LISTED_MOST; i++)
            if (is_present(f, i) == present)
                json_array_append_new(list, member_json(f, i));
    return list;
}

static struct hello sums(const struct fleet *f)
{
    struct hello all = {0};

    for (uint16_t i = 0; i < f->members.count; i++) {
        const struct hello *h = &f->members.at[i].hello;
        if (!is_present(f, i))
            continue;
        all.held += h->held;
        all.frozen += h->frozen;
        all.passed += h->passed;
        all.passed_milli += h->passed_milli;
    }
    return all;
}

void status_tell(struct fleet *f, uint64_t tag)
{
    const struct config_fleet *c = &f->params->config->fleet;
    const struct link_redis *home = servers_home(&f->servers);
    bool up = f->state == FLEET_UP && !f->refused;
    json_t *members = members_json(f);
    struct hello all = sums(f);
    size_t listed = json_array_size(members);
    char place[300] = "";

    if (home)
        snprintf(place, sizeof place, strchr(home->host, ':') ? "[%s]:%u" : "%s:%u", home->host,
                 home->port);
    json_t *status = json_pack(
        "{s:s, s:b, s:s, s:s, s:i, s:I, s:I, s:b, s:I, s:f, s:I, s:I, s:f, s:I, s:i, s:o}", "name",
        c->name, "up", up, "why", up ? "" : f->why, "redis", place, "present",
        up ? (int)members_present(&f->members, f->loop.wall) : 1, "keys",
        (json_int_t)book_count(f->mirror.book), "not_shared", (json_int_t)f->outbox.count,
        "sweeping", f->sweeping || f->resync_ms != UINT64_MAX, "redis_memory",
        (json_int_t)f->memory, "shared_seconds_ago",
        f->shared_ms ? (double)(f->loop.wall - f->shared_ms) / 1000 : -1.0, "held",
        (json_int_t)all.held, "frozen", (json_int_t)all.frozen, "messages_per_second",
        (double)all.passed_milli / 1000, "messages", (json_int_t)all.passed, "left_out",
        (int)(f->members.count - listed), "members", members);
    char *text = status ? json_dumps(status, JSON_COMPACT) : NULL;
    status_answer(f, tag, text ? text : "");
    free(text);
    json_decref(status);
}
