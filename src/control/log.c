/* `log`: reads lines from the ring that all processes write to (base/log_ring.h). In the web
 * process.
 *
 *   args    "about" (what the lines mention; empty: all), "after" (a number: lines from there on),
 *           "limit" (the last so many)
 *   parts   {"time_ms":..., "level":"info", "line":"event=..."}
 *   result  {"next": the number to ask for next}
 *
 * All lines of a session count if one of them mentions `about`: the line at a session's end names
 * no recipient, but belongs to the story of the message. */
#include <stdlib.h>

#include "base/log.h"
#include "base/log_ring.h"
#include "base/siphash.h"
#include "control/control_part.h"
#include "control/log_find.h"

struct reading {
    const struct log_ring *ring;
    bool all;
    struct log_wanted wanted;
    uint64_t at, end;
    uint64_t *session; /* sorted hashes of the sessions to show */
    size_t sessions;
    struct log_kept line;
};

static uint64_t hash_of(struct span session)
{
    static const struct sipkey key;

    return siphash(&key, session.at, session.len);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static struct span text_of(const struct reading *r)
{
    return (struct span){r->line.text, r->line.len};
}

/* Finds the sessions to show in all lines; false without memory. */
static bool find_sessions(struct reading *r)
{
    r->session = calloc(LOG_RING_LINES, sizeof *r->session);
    if (!r->session)
        return false;
    for (uint64_t n = log_ring_first(r->end); n < r->end && r->sessions < LOG_RING_LINES; n++) {
        if (!log_ring_read(r->ring, n, &r->line) || !log_mentions(text_of(r), &r->wanted))
            continue;
        struct span session = log_session(text_of(r));
        if (session.len)
            r->session[r->sessions++] = hash_of(session);
    }
    qsort(r->session, r->sessions, sizeof *r->session, by_value);
    return true;
}

static bool is_wanted(const struct reading *r)
{
    if (r->all || log_mentions(text_of(r), &r->wanted))
        return true;
    struct span session = log_session(text_of(r));
    uint64_t hash = hash_of(session);
    return session.len && bsearch(&hash, r->session, r->sessions, sizeof hash, by_value);
}

static bool next_line(struct reading *r)
{
    while (r->at < r->end)
        if (log_ring_read(r->ring, r->at++, &r->line) && is_wanted(r))
            return true;
    return false;
}

static bool more_lines(struct control *c)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct reading *r = c->state;

    if (!next_line(r)) {
        control_done(c, json_pack("{s:I}", "next", (json_int_t)r->end));
        return false;
    }
    json_t *line = json_stringn(r->line.text, r->line.len);
    if (!line) /* two processes wrote in its slot at once */
        line = json_string("?");
    control_part(c, json_pack("{s:I, s:s, s:o}", "time_ms", (json_int_t)r->line.wall_ms, "level",
                              levels[r->line.level & 3], "line", line));
    return true;
}

static void drop(void *state)
{
    struct reading *r = state;

    free(r->session);
    free(r);
}

/* Skips lines until only the last `limit` matching ones are left. */
static void skip_to_last(struct reading *r, uint64_t limit)
{
    uint64_t n = r->end;

    while (limit && n > r->at)
        limit -= log_ring_read(r->ring, --n, &r->line) && is_wanted(r);
    r->at = n;
}

void run_log(struct control *c, const json_t *args)
{
    const char *about = request_text(args, "about");
    const json_t *after = json_object_get(args, "after"), *limit = json_object_get(args, "limit");
    const struct log_ring *ring = c->steering->params->log;
    struct reading *r = ring ? calloc(1, sizeof *r) : NULL;

    if (!r) {
        control_fail(c, CONTROL_REFUSED, "not enough memory for the log");
        return;
    }
    *r = (struct reading){.ring = ring, .all = !about || !*about, .end = log_ring_next(ring)};
    r->at = log_ring_first(r->end);
    if (!r->all && !log_want(&r->wanted, span_of(about))) {
        drop(r);
        control_fail(c, CONTROL_USAGE, "expected an address of a client, sender or recipient");
        return;
    }
    if (!r->all && !find_sessions(r)) {
        drop(r);
        control_fail(c, CONTROL_REFUSED, "not enough memory");
        return;
    }
    uint64_t from = (uint64_t)json_integer_value(after);
    if (from > r->at && from <= r->end) /* beyond the end: the number is from an earlier mired */
        r->at = from;
    if (limit && json_integer_value(limit) >= 0)
        skip_to_last(r, (uint64_t)json_integer_value(limit));
    c->state = r;
    c->drop = drop;
    c->more = more_lines;
}
