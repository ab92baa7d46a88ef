/* Look-ups of the page: any client, with the number of its held connections; the most refused
 * recipients; accounts beyond their allowance; what would have waited with `observe`. In the web process.
 *
 * Workers and the freezer have the connections and are asked (control/holders.h); the request
 * sleeps until they have answered. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log_ring.h"
#include "control/log_find.h"
#include "web/http_part.h"
#include "web/web_part.h"

/* ---- a client ---- */

struct finding {
    struct sleeper sleeper; /* first */
    struct http *http;
    struct MHD_Connection *connection;
    json_t *answer;
};

static void counted(void *arg, const struct held *held)
{
    struct finding *f = arg;
    struct http *h = f->http;
    json_t *numbers = held_json(held);

    json_object_update(f->answer, numbers);
    json_decref(numbers);
    MHD_resume_connection(f->connection);
    http_run_all(h); /* where find_end() frees `f` */
}

static enum MHD_Result find_end(struct http *h, struct MHD_Connection *c, void *state)
{
    struct finding *f = state;
    json_t *answer = f->answer;

    free(f);
    return http_json(c, answer);
}

enum MHD_Result find_begin(struct http *h, struct MHD_Connection *c, void **state)
{
    const char *text = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "address");
    struct network n;

    if (!text || !network_parse(span_of(text), &n))
        return http_say(c, MHD_HTTP_BAD_REQUEST,
                        "expected an address or a network: 192.0.2.7, 192.0.2.0/24, 2001:db8::1");
    struct whom who = whom_of(&n);
    if (!who.client && !who.own)
        return http_say(c, MHD_HTTP_BAD_REQUEST,
                        "the ledger has only clients and their /24 or /48");
    struct finding *f = calloc(1, sizeof *f);
    if (!f)
        return MHD_NO;
    *f = (struct finding){{find_end}, h, c, known_json(&h->web->steering, &who, clock_wall_ms())};
    *state = f;
    if (!f->answer || holders_count(&h->web->steering.holders, &who.network, counted, f) < 0)
        return find_end(h, c, f);
    MHD_suspend_connection(c);
    return MHD_YES;
}

/* ---- refused recipients ---- */

enum { REFUSED_SHOWN = 10 };

/* Counts a line of `event` for the value of `field`; the last line says why. */
static void count_line(json_t *seen, struct span line, struct span event, const char *field)
{
    struct span to = log_value(line, field), why = log_value(line, "why");
    json_t *row;

    if (!to.len || !why.len || !span_equal(log_value(line, "event"), event))
        return;
    char key[600];
    to = span_first(to, sizeof key - 1);
    memcpy(key, to.at, to.len);
    key[to.len] = '\0';
    row = json_object_get(seen, key);
    if (!row) {
        row = json_pack("{s:s#, s:i, s:s#}", "address", to.at, (int)to.len, "times", 0, "why",
                        why.at, (int)why.len);
        json_object_set_new(seen, key, row); /* refuses what is no text */
        row = json_object_get(seen, key);
    }
    json_object_set_new(row, "why", json_stringn(why.at, why.len));
    json_object_set_new(row, "times",
                        json_integer(json_integer_value(json_object_get(row, "times")) + 1));
}

static int by_times(const void *a, const void *b)
{
    json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "times"));
    json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "times"));
    return (x < y) - (x > y);
}

static json_t *most_of(json_t *seen)
{
    size_t count = json_object_size(seen), i = 0;
    json_t **rows = calloc(count + 1, sizeof *rows), *list = json_array(), *row;
    const char *key;

    if (!rows)
        return list;
    json_object_foreach(seen, key, row)
    {
        rows[i++] = row;
    }
    qsort(rows, count, sizeof *rows, by_times);
    for (i = 0; i < count && i < REFUSED_SHOWN; i++)
        json_array_append(list, rows[i]);
    free(rows);
    return list;
}

/* The values of `field` that the kept lines of `event` name most. */
static enum MHD_Result send_most(const struct http *h, struct MHD_Connection *c, struct span event,
                                 const char *field)
{
    const struct log_ring *ring = h->web->steering.params->log;
    json_t *seen = json_object();
    struct log_kept line;
    uint64_t end = ring ? log_ring_next(ring) : 0;

    for (uint64_t n = log_ring_first(end); n < end; n++)
        if (log_ring_read(ring, n, &line))
            count_line(seen, (struct span){line.text, line.len}, event, field);
    json_t *list = most_of(seen);
    json_decref(seen);
    return http_json(c, list);
}

enum MHD_Result refused_send(const struct http *h, struct MHD_Connection *c)
{
    return send_most(h, c, SPAN("refused"), "to");
}

enum MHD_Result accounts_send(const struct http *h, struct MHD_Connection *c)
{
    return send_most(h, c, SPAN("allowance"), "account");
}

/* ---- observe ---- */

enum MHD_Result observed_send(const struct http *h, struct MHD_Connection *c)
{
    const char *text = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "since");
    const struct steering *s = &h->web->steering;
    uint64_t now = clock_wall_ms(), since;

    if (!observed_since(text, now, &since))
        return http_say(c, MHD_HTTP_BAD_REQUEST, "expected a duration such as 7d\n");
    json_t *told = observed_json(s, since, now);
    if (told)
        json_object_set_new(told, "hostname", json_string(s->params->config->hostname));
    return http_json(c, told);
}
