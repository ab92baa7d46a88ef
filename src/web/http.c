/* The page, /metrics and live numbers, over libmicrohttpd on the web process' own loop: routes, and
 * the common parts of all answers. door.c has the sockets and the first check of a request,
 * stream.c the stream of events, live.c the data, change.c the changes.
 *
 * No file is read while serving: the page is built in, Debian's Chart.js with it. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "base/log.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "web/http_part.h"
#include "web/page.h"
#include "web/web_part.h"

enum {
    RUNS_MAX = 64,       /* runs of the library in one turn of the loop */
    EXCHANGE_MS = 30000, /* from the complete header to the last octet of the answer */
    EXCHANGES_MAX = 128, /* connections that the library has at a time */
    EXCHANGES_ROOM = 96, /* with more than this, the oldest is closed */
};

/* ---- answers ---- */

/* The page loads, runs and sends nothing of or to other sites, and runs no inline scripts; other
 * sites may not frame our page or run our text as a script. */
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
    {"Connection", "close"}, /* otherwise a reload would have to wait for kept connections */
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

enum MHD_Result http_json(struct MHD_Connection *c, json_t *body)
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
        return http_say(c, MHD_HTTP_NOT_FOUND, "not found\n");
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
    if (strcmp(path, "/health") == 0)
        return health_send(h, c);
    if (strcmp(path, "/ready") == 0)
        return ready_send(h, c);
    if (strcmp(path, "/live") == 0)
        return http_json(c, live_json(h));
    if (strcmp(path, "/history") == 0)
        return http_json(c, live_past_json(h));
    if (strcmp(path, "/observed") == 0)
        return observed_send(h, c);
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

    if (!*state) { /* only the header is there; another call follows */
        *state = &seen;
        return MHD_YES;
    }
    if (*state != &seen) /* it has slept */
        return ((struct sleeper *)*state)->wake(h, c, *state);
    if (*upload_len) { /* no request has a body */
        *upload_len = 0;
        return MHD_YES;
    }
    if (strcmp(method, "POST") == 0)
        return change(h, c, path + 1, state);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return http_say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD or POST\n");
    if (strcmp(path, "/client") == 0)
        return find_begin(h, c, state);
    return get(h, c, path);
}

struct addr http_client(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    if (!info || !info->client_addr)
        return (struct addr){0};
    bool six = info->client_addr->sa_family == AF_INET6;
    return addr_from_sockaddr(info->client_addr,
                              six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
}

/* ---- exchanges ---- */

/* Shuts down both sides; the library notices that and closes. */
static void cut(struct http *h, bool oldest)
{
    for (struct ring *r = h->exchanges.next; r != &h->exchanges; r = r->next) {
        struct exchange *e = (struct exchange *)r; /* link is first */
        if (e->endless || (!oldest && e->until > h->web->steering.loop.now))
            continue;
        shutdown(e->fd, SHUT_RDWR);
        if (oldest)
            return;
    }
}

static void exchange_begins(struct http *h, struct MHD_Connection *c, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct exchange *e = info ? calloc(1, sizeof *e) : NULL;

    *context = e;
    if (!e)
        return;
    if (h->exchange_count >= EXCHANGES_ROOM)
        cut(h, true);
    *e =
        (struct exchange){.fd = info->connect_fd, .until = h->web->steering.loop.now + EXCHANGE_MS};
    ring_add(&h->exchanges, &e->link);
    h->exchange_count++;
}

static void exchange_changes(void *arg, struct MHD_Connection *c, void **context,
                             enum MHD_ConnectionNotificationCode what)
{
    struct http *h = arg;
    struct exchange *e = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        exchange_begins(h, c, context);
    } else if (e) {
        ring_remove(&e->link);
        h->exchange_count--;
        free(e);
        *context = NULL;
    }
}

void http_is_endless(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    if (info && info->socket_context)
        ((struct exchange *)info->socket_context)->endless = true;
}

/* ---- ticks ---- */

/* The library reads one buffer at a time and must then be run again. Running it only once for each
 * event would make a large request very slow. */
void http_run(struct door *d)
{
    MHD_UNSIGNED_LONG_LONG ms = 1;

    for (int i = 0; i < RUNS_MAX; i++) {
        MHD_run(d->daemon);
        loop_moved(&d->http->web->steering.loop);
        if (MHD_get_timeout(d->daemon, &ms) != MHD_YES || ms > 0)
            return;
    }
    loop_alarm(&d->http->web->steering.loop, &d->again, d->http->web->steering.loop.now);
}

static void run_again(struct loop *loop, struct alarm *a)
{
    http_run(container_of(a, struct door, again));
    web_end_when_done(web_of(loop));
}

void http_run_all(struct http *h)
{
    for (unsigned i = 0; i < h->doors; i++)
        http_run(&h->door[i]);
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
    cut(h, false);
    http_tell_now(h);
    http_run_all(h);
    loop_alarm(loop, a, loop->now + HTTP_TICK_MS);
    web_end_when_done(h->web);
}

/* ---- opening ---- */

static void door_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    http_run((struct door *)watch);
    web_end_when_done(web_of(loop));
}

static bool open_door(struct http *h, const char *listen)
{
    struct door *d = &h->door[h->doors];
    struct addr a;

    if (!addr_parse_port(span_of(listen), &a)) {
        log_error("cannot serve the page at %s: not an address and port", listen);
        return false;
    }
    *d = (struct door){.http = h, .listening.fd = -1, .again.due = run_again};
    errno = 0;
    d->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, answer,
        h, MHD_OPTION_CONNECTION_LIMIT, (unsigned)EXCHANGES_MAX, MHD_OPTION_CONNECTION_TIMEOUT, 60u,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION, exchange_changes, h,
        MHD_OPTION_END);
    if (!d->daemon) {
        log_error("cannot serve the page at %s: libmicrohttpd does not start%s%s", listen,
                  errno ? ": " : "", errno ? strerror(errno) : "");
        return false;
    }
    h->doors++;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    d->watch = (struct watch){.fd = info->epoll_fd, .events = EPOLLIN, .ready = door_ready};
    int error = loop_watch(&h->web->steering.loop, &d->watch);
    if (!error)
        error = door_listen(d, &a);
    if (error)
        log_error("cannot serve the page at %s: %s", listen, strerrordesc_np(-error));
    return !error;
}

/* Collects our names: `hostname`, the machine's name, and `names`. */
static bool gather_names(struct http *h, const struct config *config)
{
    char machine[256] = "";

    h->names = calloc(config->web_names.count + 3, sizeof *h->names);
    if (!h->names)
        return false;
    if (gethostname(machine, sizeof machine - 1) == 0 && machine[0])
        h->names[h->name_count++] = strdup(machine);
    h->names[h->name_count++] = strdup(config->hostname);
    for (size_t i = 0; i < config->web_names.count; i++)
        h->names[h->name_count++] = strdup(config->web_names.at[i]);
    for (size_t i = 0; i < h->name_count; i++)
        if (!h->names[i])
            return false;
    return true;
}

int http_open(struct web *w)
{
    const struct config *config = w->steering.params->config;

    if (config->web_listen.count == 0)
        return 0;
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    w->http = h;
    h->web = w;
    ring_init(&h->guests);
    ring_init(&h->exchanges);
    if (!gather_names(h, config))
        return -ENOMEM;
    int error = live_open(h);
    if (error)
        return error;
    change_read_token(h, config->web_token_file);
    for (size_t i = 0; i < config->web_listen.count && h->doors < HTTP_DOORS; i++)
        open_door(h, config->web_listen.at[i]);
    h->tick.due = tick;
    loop_alarm(&w->steering.loop, &h->tick, w->steering.loop.now + HTTP_TICK_MS);
    return 0;
}

void http_finish(struct web *w)
{
    struct http *h = w->http;

    if (!h)
        return;
    h->finishing = true;
    stream_wake_all(h);
    for (unsigned i = 0; i < h->doors; i++)
        door_shut(&h->door[i]);
    http_run_all(h);
}

bool http_is_busy(const struct web *w)
{
    const struct http *h = w->http;

    if (h && h->guest_count)
        return true;
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
    loop_alarm_off(&w->steering.loop, &h->tick);
    holders_close(&w->steering.holders);
    member_asks_close(&w->steering.members);
    stream_wake_all(h); /* the library does not stop while a connection is suspended */
    http_run_all(h);
    door_see_off(h);
    for (unsigned i = 0; i < h->doors; i++) {
        door_shut(&h->door[i]);
        door_see_off(h);
        loop_alarm_off(&w->steering.loop, &h->door[i].again);
        loop_forget(&w->steering.loop, &h->door[i].watch);
        MHD_stop_daemon(h->door[i].daemon);
    }
    live_close(h);
    explicit_bzero(h->token, sizeof h->token);
    for (size_t i = 0; i < h->name_count; i++)
        free(h->names[i]);
    free(h->names);
    free(h);
    w->http = NULL;
}
