/* The page's data: status, the rates of good mail, the worst clients, exemptions, and the past. In
 * the web process.
 *
 * It makes JSON from the counters and the ledger; stream.c and http.c send it. Reading a large
 * ledger takes so long that a waiting mirectl would notice it, so the list of clients is made at
 * most once a tick, and so seldom that it costs at most a tenth of a core. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "config/config.h"
#include "web/http_part.h"
#include "web/web_part.h"

enum { WORST = 10, LOOK_SHARE = 10 };

int live_open(struct http *h)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/history", h->web->steering.params->config->state);
    int error = history_open(&h->history, path);
    if (!error)
        live_tick(h);
    return error;
}

void live_close(struct http *h)
{
    live_event_drop(h->event);
    h->event = NULL;
    json_decref(h->clients);
    json_decref(h->exempt);
    json_decref(h->fleet);
    member_ask_forget(&h->web->steering.members, h);
    history_close(&h->history);
}

/* ---- now and then ---- */

void live_tick(struct http *h)
{
    const struct metrics *m = h->web->steering.params->metrics;
    struct rates_mark mark = {.at_ms = clock_mono_ms(),
                              .passed = metrics_sum(m, METRIC_MESSAGES_PASSED)};
    uint64_t now = clock_wall_ms(), us;

    metrics_sum_time(m, METRIC_TIME_MESSAGE, mark.bucket, &us);
    rates_mark(&h->rates, &mark);
    if (history_is_due(&h->history, now))
        history_put(&h->history, now,
                    (struct history_sample){.held = metrics_sum(m, METRIC_HELD),
                                            .frozen = metrics_sum(m, METRIC_FROZEN),
                                            .per_second = rates_per_second(&h->rates),
                                            .p99_ms = rates_p99_ms(&h->rates)});
}

/* JSON knows no NAN. */
static json_t *real_or_null(double x)
{
    return isnan(x) ? json_null() : json_real(x);
}

json_t *live_past_json(const struct http *h)
{
    uint64_t at = 0, now = clock_wall_ms();
    json_t *samples = json_array();
    struct history_sample s;

    while (history_next(&h->history, now, &at, &s))
        json_array_append_new(samples,
                              json_pack("[I, I, I, o, o]", (json_int_t)(s.at_ms / 1000),
                                        (json_int_t)s.held, (json_int_t)s.frozen,
                                        real_or_null(s.per_second), real_or_null(s.p99_ms)));
    return json_pack("{s:i, s:o}", "every_ms", HISTORY_EVERY_MS, "samples", samples);
}

/* ---- the page's data ---- */

static void look(struct http *h)
{
    uint64_t begun = clock_mono_us();

    if (h->clients && begun / 1000 < h->look_ms)
        return;
    json_decref(h->clients);
    json_decref(h->exempt);
    h->exempt = json_array();
    h->clients = clients_json(&h->web->steering, WORST, "offences", h->exempt);
    h->stolen = stolen_accounts(&h->web->steering);
    h->look_ms = (begun + (clock_mono_us() - begun) * LOOK_SHARE) / 1000;
}

void live_look_again(struct http *h)
{
    h->look_ms = 0;
}

/* ---- the fleet ---- */

static void fleet_told(void *arg, const char *answer)
{
    struct http *h = arg;

    h->asking_fleet = false;
    json_decref(h->fleet);
    h->fleet = answer ? json_loads(answer, 0, NULL) : NULL;
}

/* The answer is shown in the event after this one. Nobody waits for it. */
static void ask_fleet(struct http *h)
{
    if (h->asking_fleet || h->web->steering.params->config->fleet.redis.count == 0)
        return;
    h->asking_fleet = member_ask(&h->web->steering.members, "status", fleet_told, h) == 0;
}

json_t *live_json(struct http *h)
{
    look(h);
    ask_fleet(h);
    return json_pack("{s:o, s:{s:o, s:o}, s:O, s:O, s:o, s:b, s:i, s:O?}", "status",
                     status_json(&h->web->steering), "mail", "per_second",
                     real_or_null(rates_per_second(&h->rates)), "p99_ms",
                     real_or_null(rates_p99_ms(&h->rates)), "clients", h->clients, "exempt",
                     h->exempt, "changes", undo_json(h->web->steering.undo), "may_change",
                     h->token[0] != '\0', "stolen", (int)h->stolen, "fleet", h->fleet);
}

/* ---- events ---- */

static struct event *event_of(const char *json)
{
    static const char before[] = "retry: 1000\ndata: ", after[] = "\n\n";
    size_t len = sizeof before - 1 + strlen(json) + sizeof after - 1;
    struct event *e = malloc(sizeof *e + len + 1);

    if (!e)
        return NULL;
    e->holders = 1;
    e->len = len;
    snprintf(e->text, len + 1, "%s%s%s", before, json, after);
    return e;
}

struct event *live_event(struct http *h)
{
    if (!h->event || h->event_tick != h->ticks) {
        json_t *live = live_json(h);
        char *text = live ? json_dumps(live, JSON_COMPACT) : NULL;

        json_decref(live);
        live_event_drop(h->event);
        h->event = text ? event_of(text) : NULL;
        h->event_tick = h->ticks;
        free(text);
    }
    if (h->event)
        h->event->holders++;
    return h->event;
}

void live_event_drop(struct event *e)
{
    if (e && --e->holders == 0)
        free(e);
}
