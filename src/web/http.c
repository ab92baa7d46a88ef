/* The page, /metrics and live numbers, over libmicrohttpd on the web process' own loop.
 *
 * Reading needs nothing; releasing, exempting and penalising need the token of `token_file` in the
 * X-Mired-Token header (a header, so that no other site's form can send it). No file is read while
 * serving: the page is built in. Live numbers are server-sent events, one a second. */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "web/page.h"
#include "web/web_part.h"

enum { LISTENS_MAX = 8, TICK_MS = 1000, STREAMS_MAX = 32, TOKEN_MAX = 256, WORST = 10 };

struct stream {
    struct stream *next;
    struct http *http;
    struct MHD_Connection *connection;
    struct buf event; /* being sent */
    uint64_t tick;    /* of the last event */
    bool asleep;
};

struct door {
    struct watch watch; /* first */
    struct MHD_Daemon *daemon;
};

struct http {
    struct web *web;
    struct door door[LISTENS_MAX];
    unsigned doors, streams;
    struct stream *stream;
    struct alarm tick;
    uint64_t ticks;
    char token[TOKEN_MAX];
};

/* ---- answers ---- */

static enum MHD_Result send_response(struct MHD_Connection *c, unsigned status,
                                     struct MHD_Response *r, const char *type)
{
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Content-Security-Policy",
                            "default-src 'none'; script-src 'self'; style-src 'self'; "
                            "connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
                            "form-action 'none'; frame-ancestors 'none'");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(r, "Cache-Control", "no-store");
    enum MHD_Result done = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result say(struct MHD_Connection *c, unsigned status, const char *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_MUST_COPY);
    return send_response(c, status, r, "text/plain; charset=utf-8");
}

static enum MHD_Result send_buf(struct MHD_Connection *c, struct buf *b, const char *type)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(b->len, b->at, MHD_RESPMEM_MUST_COPY);
    buf_free(b);
    return send_response(c, MHD_HTTP_OK, r, type);
}

/* ---- live numbers ---- */

static json_t *live_json(const struct web *w)
{
    return json_pack("{s:o, s:o, s:b}", "status", status_json(w), "clients",
                     clients_json(w, WORST, "offences"), "may_change", w->http->token[0] != '\0');
}

static void write_event(struct stream *s)
{
    json_t *live = live_json(s->http->web);
    char *text = live ? json_dumps(live, JSON_COMPACT) : NULL;

    json_decref(live);
    if (text)
        buf_addf(&s->event, "data: %s\n\n", text);
    free(text);
    s->tick = s->http->ticks;
}

static ssize_t read_stream(void *arg, uint64_t at, char *out, size_t most)
{
    struct stream *s = arg;

    if (s->event.len == 0) {
        if (s->tick == s->http->ticks) {
            s->asleep = true;
            MHD_suspend_connection(s->connection);
            return 0;
        }
        write_event(s);
    }
    size_t n = s->event.len < most ? s->event.len : most;
    if (n)
        memcpy(out, s->event.at, n);
    buf_drop(&s->event, n);
    return (ssize_t)n;
}

static void end_stream(void *arg)
{
    struct stream *s = arg, **p = &s->http->stream;

    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    s->http->streams--;
    buf_free(&s->event);
    free(s);
}

static enum MHD_Result open_stream(struct http *h, struct MHD_Connection *c)
{
    struct stream *s = h->streams < STREAMS_MAX ? calloc(1, sizeof *s) : NULL;

    if (!s)
        return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "too many pages are open\n");
    *s = (struct stream){.next = h->stream, .http = h, .connection = c, .tick = UINT64_MAX};
    h->stream = s;
    h->streams++;
    return send_response(
        c, MHD_HTTP_OK,
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_stream, s, end_stream),
        "text/event-stream");
}

static void run_all(struct http *h)
{
    for (unsigned i = 0; i < h->doors; i++)
        MHD_run(h->door[i].daemon);
}

static void wake_streams(struct http *h)
{
    for (struct stream *s = h->stream; s; s = s->next)
        if (s->asleep) {
            s->asleep = false;
            MHD_resume_connection(s->connection);
        }
}

static void tick(struct loop *loop, struct alarm *a)
{
    struct http *h = web_of(loop)->http;

    h->ticks++;
    wake_streams(h);
    run_all(h);
    loop_alarm(loop, a, loop->now + TICK_MS);
}

/* ---- changes ---- */

static bool has_token(const struct http *h, struct MHD_Connection *c)
{
    const char *given = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Mired-Token");
    size_t len = strlen(h->token);
    unsigned char differ = 0;

    if (!given || len == 0 || strlen(given) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        differ |= (unsigned char)(given[i] ^ h->token[i]);
    return differ == 0;
}

static enum MHD_Result change(struct http *h, struct MHD_Connection *c, const char *what)
{
    const char *address = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "address");
    struct network n;

    if (!has_token(h, c))
        return say(c, MHD_HTTP_FORBIDDEN, "the token is needed for this\n");
    if (!address || !network_parse(span_of(address), &n))
        return say(c, MHD_HTTP_BAD_REQUEST, "this is no address\n");
    log_info("the page asks: %s %s", what, address);
    if (!web_change(h->web, what, &n))
        return say(c, MHD_HTTP_NOT_FOUND, "there is no such change\n");
    return say(c, MHD_HTTP_OK, "done\n");
}

/* ---- requests ---- */

static enum MHD_Result send_metrics(struct http *h, struct MHD_Connection *c)
{
    struct buf text = {0};

    exposition(h->web, &text);
    return send_buf(c, &text, "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result send_live(struct http *h, struct MHD_Connection *c)
{
    json_t *live = live_json(h->web);
    char *text = live ? json_dumps(live, JSON_COMPACT) : NULL;
    struct buf b = {0};

    json_decref(live);
    if (text)
        buf_add(&b, text, strlen(text));
    free(text);
    return send_buf(c, &b, "application/json");
}

static enum MHD_Result send_file(struct MHD_Connection *c, const char *path)
{
    const struct page_file *f = page_files;

    while (f->path && strcmp(f->path, path) != 0)
        f++;
    if (!f->path)
        return say(c, MHD_HTTP_NOT_FOUND, "there is nothing here\n");
    return send_response(
        c, MHD_HTTP_OK,
        MHD_create_response_from_buffer(f->len, (void *)(uintptr_t)f->at, MHD_RESPMEM_PERSISTENT),
        f->type);
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **state)
{
    static int seen;
    struct http *h = arg;

    if (!*state) { /* its header is there; the call that counts comes next */
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_len) { /* nothing here takes a body */
        *upload_len = 0;
        return MHD_YES;
    }
    if (strcmp(method, "POST") == 0)
        return change(h, c, path + 1);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD or POST\n");
    if (strcmp(path, "/metrics") == 0)
        return send_metrics(h, c);
    if (strcmp(path, "/live") == 0)
        return send_live(h, c);
    if (strcmp(path, "/events") == 0)
        return open_stream(h, c);
    return send_file(c, path);
}

/* ---- opening ---- */

static void door_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    MHD_run(((struct door *)watch)->daemon);
}

static bool open_door(struct http *h, const char *listen)
{
    struct door *d = &h->door[h->doors];
    struct sockaddr_storage sa;
    struct addr a;

    if (!addr_parse_port(span_of(listen), &a))
        return false;
    addr_to_sockaddr(&a, &sa);
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (a.family == ADDR_IP6 ? MHD_USE_IPv6 : 0);
    /* Reused: at a reload the web process before this one still listens. */
    d->daemon =
        MHD_start_daemon(flags, a.port, NULL, NULL, answer, h, MHD_OPTION_SOCK_ADDR, &sa,
                         MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_CONNECTION_LIMIT, 128u,
                         MHD_OPTION_CONNECTION_TIMEOUT, 60u, MHD_OPTION_END);
    if (!d->daemon) {
        log_error("the page cannot be served at %s: %s", listen, strerror(errno));
        return false;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    d->watch = (struct watch){.fd = info->epoll_fd, .events = EPOLLIN, .ready = door_ready};
    h->doors++;
    return loop_watch(&h->web->loop, &d->watch) == 0;
}

static void read_token(struct http *h, const char *path)
{
    FILE *f = path ? fopen(path, "re") : NULL;

    if (!f)
        return;
    if (!fgets(h->token, sizeof h->token, f))
        h->token[0] = '\0';
    h->token[strcspn(h->token, "\r\n")] = '\0';
    fclose(f);
}

int http_open(struct web *w)
{
    const struct config *config = w->kit->config;

    if (config->web_listen.count == 0)
        return 0;
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    w->http = h;
    h->web = w;
    read_token(h, config->web_token_file);
    for (size_t i = 0; i < config->web_listen.count && h->doors < LISTENS_MAX; i++)
        open_door(h, config->web_listen.at[i]);
    h->tick.due = tick;
    loop_alarm(&w->loop, &h->tick, w->loop.now + TICK_MS);
    return 0;
}

void http_close(struct web *w)
{
    struct http *h = w->http;

    if (!h)
        return;
    loop_alarm_off(&w->loop, &h->tick);
    wake_streams(h); /* the library will not stop with one asleep */
    for (unsigned i = 0; i < h->doors; i++) {
        loop_forget(&w->loop, &h->door[i].watch);
        MHD_stop_daemon(h->door[i].daemon);
    }
    explicit_bzero(h->token, sizeof h->token);
    free(h);
    w->http = NULL;
}
