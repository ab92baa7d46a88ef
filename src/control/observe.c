/* `observe`: what would have waited while `observe` was on (R20), for `mirectl observe`. First the
 * clients whose good mail would have been late, heaviest first, then what attackers would have
 * paid. In the web process; goes through the file once a request. */
#include "tarpit/observed.h"

#include <stdlib.h>

#include "base/clock.h"
#include "config/config.h"
#include "config/values.h"
#include "control/control_part.h"

enum { DAY_MS = 24 * 3600 * 1000, SINCE_DAYS = 7, LINES_MOST = 1000 };

static int by_harm(const void *a, const void *b)
{
    const struct observed_line *x = a, *y = b;
    uint64_t of_x = x->late_s + 90 * x->put_off, of_y = y->late_s + 90 * y->put_off;

    return (of_x < of_y) - (of_x > of_y);
}

static json_t *line_json(const struct observed_line *l)
{
    char text[ADDR_TEXT];

    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "address",
                     addr_format(&l->client, text), "domain", l->domain, "late",
                     (json_int_t)l->late, "late_seconds", (json_int_t)l->late_s, "worst_seconds",
                     (json_int_t)l->worst_s, "put_off", (json_int_t)l->put_off, "typos",
                     (json_int_t)l->typos, "typo_seconds", (json_int_t)l->typo_s, "rule",
                     tarpit_rule_name((enum tarpit_rule)l->rule));
}

static json_t *senders(const struct steering *s, uint64_t since, uint64_t now, bool *late)
{
    struct observed_line *line = calloc(OBSERVED_LINES, sizeof *line);
    json_t *list = json_array();
    uint32_t at = 0;
    size_t n = 0;

    while (line && observed_next(s->params->observed, &at, since, now, &line[n]))
        n++;
    if (line)
        qsort(line, n, sizeof *line, by_harm);
    for (size_t i = 0; i < n && i < LINES_MOST; i++) {
        *late |= line[i].late || line[i].put_off;
        json_array_append_new(list, line_json(&line[i]));
    }
    free(line);
    return list;
}

void run_observe(struct control *c, const json_t *args)
{
    const struct steering *s = c->steering;
    const char *text = request_text(args, "since");
    uint64_t now = clock_wall_ms(), ms = SINCE_DAYS * (uint64_t)DAY_MS;
    struct observed_sums sums;
    json_t *rules = json_object();
    bool late = false;

    if (text && (!config_duration(span_of(text), &ms) || ms == 0)) {
        json_decref(rules);
        control_fail(c, CONTROL_USAGE, "expected a duration such as 1d or 7d; 31d are kept");
        return;
    }
    uint64_t since = ms < now ? now - ms : 0;
    observed_sums(s->params->observed, since, now, &sums);
    for (int i = 1; i < RULE_COUNT; i++)
        json_object_set_new(rules, tarpit_rule_name((enum tarpit_rule)i),
                            json_integer((json_int_t)sums.by_rule[i]));
    json_t *list = senders(s, since, now, &late);
    bool long_enough = sums.first_day_ms && sums.first_day_ms + DAY_MS < now;
    control_done(c,
                 json_pack("{s:b, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:b}", "observing",
                           s->params->config->observe, "since_ms", (json_int_t)since,
                           "first_day_ms", (json_int_t)sums.first_day_ms, "senders", list,
                           "replies", (json_int_t)sums.replies, "seconds", (json_int_t)sums.seconds,
                           "connections", (json_int_t)sums.connections, "untold",
                           (json_int_t)sums.untold, "rules", rules, "ready", long_enough && !late));
}
