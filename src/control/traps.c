/* `traps --suggest`: unknown recipients that many strangers have tried, but no client with good
 * mail (R15), as candidates for `traps`. It only proposes; the administrator adds them. In the web
 * process.
 *
 * Each candidate of tarpit/tried.h is looked up in the directories again, one after another: an
 * account that was made an hour ago is no candidate, and neither is an address that has become a
 * trap. */
#include "tarpit/tried.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/control_part.h"
#include "query/query.h"

enum { SUGGESTED_MOST = 100 };

struct suggesting {
    struct tried_address *list;
    size_t count, at;
    json_t *suggested;
    unsigned unasked; /* no directory could answer */
};

static void suggesting_free(void *arg)
{
    struct suggesting *s = arg;

    json_decref(s->suggested);
    free(s->list);
    free(s);
}

/* Orders candidates: those that look like a name last, then by how many networks tried them on how
 * many days. */
static int by_promise(const void *a, const void *b)
{
    const struct tried_address *x = a, *y = b;
    uint64_t of_x = (uint64_t)x->networks * x->days, of_y = (uint64_t)y->networks * y->days;

    if (x->name_like != y->name_like)
        return x->name_like ? 1 : -1;
    return (of_x < of_y) - (of_x > of_y);
}

static void gather(struct suggesting *s, const struct tried *tried, uint64_t now)
{
    struct tried_address a;
    uint32_t at = 0;

    while (s->count < TRIED_CANDIDATES && tried_next(tried, &at, now, &a))
        s->list[s->count++] = a;
    qsort(s->list, s->count, sizeof *s->list, by_promise);
}

static json_t *address_json(const struct tried_address *a)
{
    return json_pack("{s:s, s:i, s:i, s:I, s:I, s:b}", "address", a->address, "networks",
                     (int)a->networks, "days", (int)a->days, "first_ms", (json_int_t)a->first_ms,
                     "last_ms", (json_int_t)a->last_ms, "name_like", a->name_like);
}

static bool is_ours(const struct control *c, const char *address)
{
    const struct config *config = c->steering->params->config;
    const char *sign = strrchr(address, '@');

    return sign && config_is_local(config, span_of(sign + 1)) &&
           !config_is_trap(config, span_of(address));
}

static void answered(struct control *c, const struct answer *a, void *arg);

/* Looks up the next candidate, or sends the result. */
static void go_on(struct control *c, struct suggesting *s)
{
    while (s->at < s->count && !is_ours(c, s->list[s->at].address))
        s->at++;
    if (s->at < s->count && json_array_size(s->suggested) < SUGGESTED_MOST) {
        recipient_ask(c, span_of(s->list[s->at].address), answered, s, suggesting_free);
        return;
    }
    control_done(c, json_pack("{s:O, s:i, s:I}", "suggested", s->suggested, "unasked",
                              (int)s->unasked, "overflowed_ms",
                              (json_int_t)tried_overflowed(c->steering->params->tried)));
    suggesting_free(s);
}

static void answered(struct control *c, const struct answer *a, void *arg)
{
    struct suggesting *s = arg;
    const struct tried_address *of = &s->list[s->at++];

    if (a->result == ANSWER_NO)
        json_array_append_new(s->suggested, address_json(of));
    else if (a->result == ANSWER_YES)
        tried_exists(c->steering->params->tried, span_of(of->address), clock_wall_ms());
    else if (a->result == ANSWER_LATER)
        s->unasked++;
    go_on(c, s);
}

void run_traps(struct control *c, const json_t *args)
{
    struct suggesting *s = calloc(1, sizeof *s);
    struct tried *tried = c->steering->params->tried;
    uint64_t now = clock_wall_ms();

    if (s) {
        s->list = calloc(TRIED_CANDIDATES, sizeof *s->list);
        s->suggested = json_array();
    }
    if (!s || !s->list || !s->suggested) {
        if (s)
            suggesting_free(s);
        control_fail(c, CONTROL_REFUSED, "not enough memory");
        return;
    }
    tried_tend(tried, now);
    gather(s, tried, now);
    go_on(c, s);
}
