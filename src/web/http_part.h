/* Private to the page's files in src/web: http.c (doors, routes, answers), stream.c (/events),
 * live.c (the page's data), change.c (changes from the page). One process, one loop. */
#ifndef MIRED_WEB_HTTP_PART_H
#define MIRED_WEB_HTTP_PART_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "base/ring.h"
#include "web/history.h"
#include "web/rates.h"

enum { HTTP_DOORS = 8, HTTP_TOKEN = 256, HTTP_TICK_MS = 1000 };

struct door {
    struct watch watch;     /* first; of the library */
    struct watch listening; /* fd -1: not any more */
    struct alarm again;     /* set when the library has more to do at once */
    struct http *http;
    struct MHD_Daemon *daemon;
};

/* A connection with a complete request, which the library has. */
struct exchange {
    struct ring link; /* in http->exchanges, the oldest first */
    int fd;
    uint64_t until; /* loop ms */
    bool endless;   /* a stream of events */
};

/* The text of an event of /events, made once for all open pages. */
struct event {
    unsigned holders;
    size_t len;
    char text[];
};

struct http {
    struct web *web;
    struct door door[HTTP_DOORS];
    unsigned doors;
    struct ring guests; /* of door.c: their requests are not complete yet */
    unsigned guest_count;
    struct ring exchanges;
    unsigned exchange_count;
    char **names; /* our names, for Host */
    size_t name_count;
    struct stream *stream;
    unsigned streams;
    struct alarm tick;
    uint64_t ticks;
    bool finishing;
    uint64_t next_wrong_ms; /* loop ms: when the next line about a wrong token may be written */
    unsigned wrong;         /* wrong tokens without a line */
    char token[HTTP_TOKEN]; /* empty: no changes are allowed */

    struct history history;
    struct rates rates;
    json_t *clients, *exempt; /* from the last reading of the ledger */
    unsigned stolen;          /* accounts that look stolen, as of then */
    uint64_t look_ms;         /* monotonic: when it may be read again */
    json_t *fleet;            /* how the fleet is, as the fleet process said last; NULL: unknown */
    bool asking_fleet;
    struct event *event; /* of event_tick */
    uint64_t event_tick;
};

/* A request with a suspended connection: the library's *state points to this, and `wake` answers
 * when the connection has been resumed. Embedded as the first member. */
struct sleeper {
    enum MHD_Result (*wake)(struct http *h, struct MHD_Connection *c, void *state);
};

/* ---- http.c ---- */

/* Answers with a copy of the text, and the headers that all answers have. */
enum MHD_Result http_say(struct MHD_Connection *c, unsigned status, const char *text);

/* Answers with `r`, which is taken over (NULL: the connection is closed). */
enum MHD_Result http_send(struct MHD_Connection *c, unsigned status, struct MHD_Response *r,
                          const char *type);

/* Answers with `body` as JSON, which is taken over. */
enum MHD_Result http_json(struct MHD_Connection *c, json_t *body);

/* Sends the current state to all open pages at once. */
void http_tell_now(struct http *h);

/* The client's address; ADDR_NONE if it is not known. */
struct addr http_client(struct MHD_Connection *c);

/* Lets the library do all that it can do now. */
void http_run(struct door *d);
void http_run_all(struct http *h);

/* This connection has no time-out. */
void http_is_endless(struct MHD_Connection *c);

/* ---- door.c ---- */

/* Begins to listen and to accept requests; d->http must be set. Returns 0 or -errno. */
int door_listen(struct door *d, const struct addr *a);
/* Accepts the clients that have connected, and stops listening. */
void door_shut(struct door *d);
/* Closes all connections without a complete request. */
void door_see_off(struct http *h);

/* ---- stream.c ---- */

enum MHD_Result stream_open(struct http *h, struct MHD_Connection *c);

/* Wakes all streams that wait for the next event. */
void stream_wake_all(struct http *h);

/* ---- live.c ---- */

/* 0 or -errno; closed with http_close(). */
int live_open(struct http *h);
void live_close(struct http *h);

/* Call it once a tick: reads the counters, and stores a sample when one is due. */
void live_tick(struct http *h);

/* Everything that the page shows except the past; the caller owns it. NULL without memory. */
json_t *live_json(struct http *h);

/* The past: {"every_ms": 5000, "samples": [[seconds since 1970, held, frozen, good mail a second,
 * its p99 in ms], ...]}, oldest first; unknown values are null. */
json_t *live_past_json(const struct http *h);

/* The event of this tick, with a reference for the caller; NULL without memory. */
struct event *live_event(struct http *h);
void live_event_drop(struct event *e);

/* Lets the next event read the ledger again. */
void live_look_again(struct http *h);

/* ---- health.c ---- */

enum MHD_Result health_send(const struct http *h, struct MHD_Connection *c);
enum MHD_Result ready_send(const struct http *h, struct MHD_Connection *c);

/* ---- find.c ---- */

/* Answers /client?address=...; the connection sleeps until workers and freezer have counted. */
enum MHD_Result find_begin(struct http *h, struct MHD_Connection *c, void **state);

/* Answers with the most refused recipients: [{"address", "times", "why"}, ...]. */
enum MHD_Result refused_send(const struct http *h, struct MHD_Connection *c);
enum MHD_Result accounts_send(const struct http *h, struct MHD_Connection *c);

/* Answers /observed?since=7d with what would have waited (R20). */
enum MHD_Result observed_send(const struct http *h, struct MHD_Connection *c);

/* ---- change.c ---- */

/* Reads the token. If the file cannot be read, there is a warning, and no changes are allowed. */
void change_read_token(struct http *h, const char *path);

/* Answers a POST to /`what`, at once or after a sleep. */
enum MHD_Result change(struct http *h, struct MHD_Connection *c, const char *what, void **state);

#endif
