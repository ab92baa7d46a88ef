/* The page, /metrics and live numbers, over libmicrohttpd on the web process' own loop: doors,
 * routes and what all answers have in common. The stream of events is stream.c, what is told
 * live.c, what may be changed change.c.
 *
 * No file is read while serving: the page is built in, Debian's Chart.js with it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "web/http_part.h"
#include "web/page.h"
#include "web/web_part.h"

/* Of the library, at the end: whoever has connected is taken in before the door is shut. */
enum { ACCEPT_TURNS = 4 };

/* ---- answers ---- */

/* Nothing of another place is loaded, run or sent to, and nothing that stands in the page itself is
 * run; nobody else's page may show ours or make text of ours a script. */
static const struct {
    const char *name, *value;
} headers[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
     "require-trusted-types-for 'script'"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-store"},
    {"Connection", "close"}, /* or a reload would have to wait for those that are kept */
    {0},
};

enum MHD_Result http_send(struct MHD_Connection *c, unsigned status, struct MHD_Response *r,
                          const char *type)
{
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    for (int i = 0; headers[i].name; i++)
        MHD_add_response_header(r, headers[i].name, headers[i].value);
    enum MHD_Result done = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return done;
}

enum MHD_Result http_say(struct MHD_Connection *c, unsigned status, const char *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_MUST_COPY);
    return http_send(c, status, r, "text/plain; charset=utf-8");
}

static enum MHD_Result send_metrics(struct http *h, struct MHD_Connection *c)
{
    struct buf text = {0};

    exposition(h->web, &text);
    struct MHD_Response *r =
        MHD_create_response_from_buffer(text.len, text.at, MHD_RESPMEM_MUST_COPY);
    buf_free(&text);
    return http_send(c, MHD_HTTP_OK, r, "text/plain; version=0.0.4; charset=utf-8");
}

/* `body` is taken over. */
static enum MHD_Result send_json(struct MHD_Connection *c, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    json_decref(body);
    if (!text)
        return MHD_NO;
    return http_send(c, MHD_HTTP_OK,
                     MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE),
                     "application/json");
}

static enum MHD_Result send_file(struct MHD_Connection *c, const char *path)
{
    const struct page_file *f = page_files;

    while (f->path && strcmp(f->path, path) != 0)
        f++;
    if (!f->path)
        return http_say(c, MHD_HTTP_NOT_FOUND, "there is nothing here\n");
    return http_send(
        c, MHD_HTTP_OK,
        MHD_create_response_from_buffer(f->len, (void *)(uintptr_t)f->at, MHD_RESPMEM_PERSISTENT),
        f->type);
}

/* ---- routes ---- */

static enum MHD_Result get(struct http *h, struct MHD_Connection *c, const char *path)
{
    if (strcmp(path, "/metrics") == 0)
        return send_metrics(h, c);
    if (strcmp(path, "/live") == 0)
        return send_json(c, live_json(h));
    if (strcmp(path, "/history") == 0)
        return send_json(c, live_past_json(h));
    if (strcmp(path, "/events") == 0)
        return stream_open(h, c);
    return send_file(c, path);
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
        return http_say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD or POST\n");
    return get(h, c, path);
}

/* ---- ticks ---- */

static void run_all(struct http *h)
{
    for (unsigned i = 0; i < h->doors; i++)
        MHD_run(h->door[i].daemon);
}

void http_tell_now(struct http *h)
{
    h->ticks++;
    stream_wake_all(h);
}

static void tick(struct loop *loop, struct alarm *a)
{
    struct http *h = web_of(loop)->http;

    live_tick(h);
    http_tell_now(h);
    run_all(h);
    loop_alarm(loop, a, loop->now + HTTP_TICK_MS);
    web_end_when_done(h->web);
}

/* ---- opening ---- */

static void door_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    MHD_run(((struct door *)watch)->daemon);
    web_end_when_done(web_of(loop));
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
    int error = live_open(h);
    if (error)
        return error;
    change_read_token(h, config->web_token_file);
    for (size_t i = 0; i < config->web_listen.count && h->doors < HTTP_DOORS; i++)
        open_door(h, config->web_listen.at[i]);
    h->tick.due = tick;
    loop_alarm(&w->loop, &h->tick, w->loop.now + HTTP_TICK_MS);
    return 0;
}

void http_finish(struct web *w)
{
    struct http *h = w->http;

    if (!h)
        return;
    h->finishing = true;
    stream_wake_all(h);
    for (int turn = 0; turn < ACCEPT_TURNS; turn++)
        run_all(h);
    for (unsigned i = 0; i < h->doors; i++)
        close(MHD_quiesce_daemon(h->door[i].daemon));
}

bool http_is_busy(const struct web *w)
{
    const struct http *h = w->http;

    for (unsigned i = 0; h && i < h->doors; i++)
        if (MHD_get_daemon_info(h->door[i].daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
                ->num_connections > 0)
            return true;
    return false;
}

void http_close(struct web *w)
{
    struct http *h = w->http;

    if (!h)
        return;
    loop_alarm_off(&w->loop, &h->tick);
    stream_wake_all(h); /* the library will not stop with one asleep */
    for (unsigned i = 0; i < h->doors; i++) {
        loop_forget(&w->loop, &h->door[i].watch);
        MHD_stop_daemon(h->door[i].daemon);
    }
    live_close(h);
    explicit_bzero(h->token, sizeof h->token);
    free(h);
    w->http = NULL;
}
