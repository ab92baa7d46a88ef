/* /events: an open page's stream of server-sent events, one a second. In the web process.
 *
 * The library asks for octets; if there are none, the connection sleeps until the next tick. All
 * streams send the same events, and a stream with a slow reader skips events. */
#include <stdlib.h>
#include <string.h>

#include "web/http_part.h"

enum { STREAMS_MAX = 32, STREAMS_OF_ONE = 16, BLOCK = 16384 };

struct stream {
    struct stream *next;
    struct http *http;
    struct MHD_Connection *connection;
    struct addr from;
    struct event *event; /* the event that is being sent; NULL: it waits */
    size_t sent;         /* of it */
    uint64_t tick;       /* of the last event */
    bool asleep;
};

static void take_event(struct stream *s)
{
    s->event = live_event(s->http);
    s->sent = 0;
    s->tick = s->http->ticks;
}

static ssize_t read_stream(void *arg, uint64_t at, char *out, size_t most)
{
    struct stream *s = arg;

    if (s->http->finishing)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (!s->event && s->tick != s->http->ticks)
        take_event(s);
    if (!s->event) {
        s->asleep = true;
        MHD_suspend_connection(s->connection);
        return 0;
    }
    size_t left = s->event->len - s->sent, n = left < most ? left : most;
    memcpy(out, s->event->text + s->sent, n);
    s->sent += n;
    if (s->sent == s->event->len) {
        live_event_drop(s->event);
        s->event = NULL;
    }
    return (ssize_t)n;
}

static void end_stream(void *arg)
{
    struct stream *s = arg, **p = &s->http->stream;

    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    s->http->streams--;
    live_event_drop(s->event);
    free(s);
}

static unsigned count_of(const struct http *h, const struct addr *from)
{
    unsigned n = 0;

    for (const struct stream *s = h->stream; s; s = s->next)
        n += addr_equal(&s->from, from);
    return n;
}

enum MHD_Result stream_open(struct http *h, struct MHD_Connection *c)
{
    struct addr from = http_client(c);
    bool room = h->streams < STREAMS_MAX && count_of(h, &from) < STREAMS_OF_ONE;
    struct stream *s = room ? calloc(1, sizeof *s) : NULL;

    if (!s)
        return http_say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "too many pages are open\n");
    *s = (struct stream){
        .next = h->stream, .http = h, .connection = c, .from = from, .tick = UINT64_MAX};
    h->stream = s;
    h->streams++;
    http_is_endless(c);
    return http_send(
        c, MHD_HTTP_OK,
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, s, end_stream),
        "text/event-stream");
}

void stream_wake_all(struct http *h)
{
    for (struct stream *s = h->stream; s; s = s->next)
        if (s->asleep) {
            s->asleep = false;
            MHD_resume_connection(s->connection);
        }
}
