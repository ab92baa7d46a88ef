/* The worker process: its channel to the master, when it serves, and its end.
 *
 * It has one loop, and nothing in it blocks: clerks make look-ups, connections to backends are
 * non-blocking, and time is the loop's. A worker ends in one of two ways: drained (it stops
 * accepting and ends with its last connection: reload and upgrade), or stopped (all clients hear
 * 421, within 2 s). */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/metrics.h"
#include "base/sandbox.h"
#include "base/scheduling.h"
#include "config/config.h"
#include "query/notes.h"
#include "relay/relay.h"
#include "worker/accounts.h"
#include "worker/auth_queue.h"
#include "worker/confine.h"
#include "worker/conn.h"
#include "worker/connections.h"
#include "worker/freeze.h"
#include "worker/guard.h"
#include "worker/held.h"
#include "worker/journal.h"
#include "worker/judge.h"
#include "worker/listening.h"
#include "worker/lists.h"
#include "worker/message.h"
#include "worker/proposing.h"
#include "worker/queries.h"
#include "worker/room.h"
#include "worker/sending.h"
#include "worker/tls.h"
#include "worker/tls_stash.h"
#include "worker/worker.h"
#include "worker/worker_part.h"

enum {
    STOP_WITHIN_MS = 1500,   /* for hand-overs in progress at the end, which comes within 2 s */
    OFFERS_WITHIN_MS = 1000, /* how long to wait for the backends' first EHLO */
    DESCRIPTOR_MARGIN = 64,  /* epoll, channels, spool files */
    SUSPECTS_LOOK_MS = 1000, /* how often to check a file that is being written */
};

/* Called when all processes of the generation are ready. Until then the earlier generation serves,
 * and goes on if this one fails. */
static void start_accepting(struct worker *w)
{
    if (w->serving || w->draining)
        return;
    loop_alarm_off(&w->loop, &w->offer_alarm);
    w->serving = true;
    sched_normal();
    int error = freeze_start_taking(w);
    if (!error)
        error = listening_start(w);
    if (error) {
        log_error("cannot accept clients: %s", strerrordesc_np(-error));
        w->loop.stop = true; /* the master starts another worker */
    }
}

static void offers_come_late(struct loop *loop, struct alarm *a)
{
    start_accepting(worker_of(loop));
}

/* While nothing is known of the backends, clients wait in the queue for a moment: a client that is
 * not offered SMTPUTF8 may bounce its message. */
static void serve(struct worker *w)
{
    w->called = true;
    if (w->offers) {
        start_accepting(w);
        return;
    }
    w->offer_alarm.due = offers_come_late;
    loop_alarm(&w->loop, &w->offer_alarm, w->loop.now + OFFERS_WITHIN_MS);
}

static void stop_accepting(struct worker *w)
{
    loop_alarm_off(&w->loop, &w->offer_alarm);
    loop_alarm_off(&w->loop, &w->suspects_alarm);
    listening_stop(w);
    freeze_stop_taking(w);
}

void worker_may_end(struct worker *w)
{
    /* what the freezer does not take comes back at the end of the turn */
    if (w->draining && w->open == 0 && !freeze_is_sending(w) &&
        (w->stash.count == 0 || w->stopping))
        w->loop.stop = true;
}

static void drain(struct worker *w)
{
    if (w->draining)
        return;
    w->draining = true;
    stop_accepting(w);
    worker_may_end(w);
}

static void stop_now(struct loop *loop, struct alarm *a)
{
    loop->stop = true;
}

/* Sends 421 to all clients, except those whose message a backend has: these wait for its reply. */
static void shut_all(struct worker *w)
{
    struct ring ending;

    ring_init(&ending);
    guard_gather(w, NULL, &ending);
    ring_move_all(&ending, &w->awake);
    while (!ring_is_empty(&ending)) {
        struct conn *c = conn_of_link(ending.next);
        if (c->phase == CONN_HANDING) {
            ring_remove(&c->link);
            ring_add(&w->awake, &c->link);
        } else {
            conn_shut(w, c, REPLY_SHUTDOWN);
        }
    }
}

static void stop(struct worker *w)
{
    if (w->stopping)
        return;
    w->stopping = true;
    drain(w);
    shut_all(w);
    w->stop_alarm.due = stop_now;
    loop_alarm(&w->loop, &w->stop_alarm, w->loop.now + STOP_WITHIN_MS);
}

static void tell_again(struct loop *loop, struct alarm *a)
{
    struct worker *w = worker_of(loop);

    relay_tell_again(w->relay);
    lists_tell_again(w);
}

static void control_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct worker *w = worker_of(loop);
    struct note n;
    int r = 1;

    /* Mail has its turn, too, beside queries without end. */
    for (int i = 0; i < NOTES_IN_TURN && ((r = channel_read(watch->fd, &n)) == 1 || r == -EBADMSG);
         i++) {
        loop_moved(loop);
        if (r != 1)
            continue;
        switch ((enum note_kind)n.kind) {
        case NOTE_SERVE: serve(w); break;
        case NOTE_DRAIN:
            drain(w);
            channel_tell(watch->fd, NOTE_DRAINING, 0, 0, NULL);
            break;
        case NOTE_STOP: stop(w); break;
        case NOTE_BACKENDS: tell_again(loop, NULL); break;
        case NOTE_PING: channel_tell(watch->fd, NOTE_PONG, 0, 0, NULL); break;
        case NOTE_RELEASE: held_release(w, &n); break;
        case NOTE_COUNT: held_count(w, &n); break;
        case NOTE_TALLY: held_tally(w, &n); break;
        case NOTE_CONNECTIONS: connections_tell(w, &n); break;
        case NOTE_LISTENER: listening_replace(w, &n); break;
        default: break;
        }
        note_close(&n);
    }
    if (channel_is_over(r)) { /* the master is gone */
        loop_forget(loop, watch);
        stop(w);
    }
}

/* Sessions are offered only extensions that a backend is known to have, and at most the size that
 * one accepts. */
static void backend_changed(void *arg, const struct relay_offer *offer)
{
    struct worker *w = arg;
    uint64_t size = w->config->size_max;

    if (offer->size_max && (size == 0 || offer->size_max < size))
        size = offer->size_max;
    for (size_t i = 0; i < w->config->listen_count; i++) {
        w->service[i].offer = offer->all;
        w->service[i].able = offer->any;
        w->service[i].size_max = size;
        w->service[i].size_free = offer->size_max ? w->config->size_max : 0;
    }
    w->offers = w->offers || offer->settled;
    if (w->offers && w->called)
        start_accepting(w);
}

void worker_tell(struct worker *w, uint32_t kind, const char *text)
{
    enum { AGAIN_MS = 20 };

    if (!channel_may_again(channel_tell(w->params->control, kind, 0, 0, text)))
        return;
    w->tell_alarm.due = tell_again;
    loop_alarm(&w->loop, &w->tell_alarm, w->loop.now + AGAIN_MS);
}

static void backend_reached(void *arg, const char *backend, bool up)
{
    char text[NOTE_TEXT];

    snprintf(text, sizeof text, "%s %s", backend, up ? "up" : "down");
    worker_tell(arg, NOTE_BACKEND, text);
}

static bool make_services(struct worker *w)
{
    const struct config *config = w->config;

    w->service = calloc(config->listen_count, sizeof *w->service);
    if (!w->service)
        return false;
    for (size_t i = 0; i < config->listen_count; i++)
        w->service[i] = (struct smtp_service){
            .hostname = config->hostname,
            .size_max = config->size_max,
            .recipients_max = ENVELOPE_RECIPIENTS_MAX,
            .mails_max = SMTP_MAILS_MAX,
            .junk_max = SMTP_JUNK_MAX,
            .submission = config->listen[i].submission,
            .tls = config->listen[i].tls == TLS_STARTTLS,
            .no_chunking = !config->listen[i].chunking,
            .allow_nul = config->nul == NUL_ALLOW,
        };
    return true;
}

static uint32_t share(uint64_t whole, uint32_t slots)
{
    uint64_t part = (whole + slots - 1) / slots;
    return part > UINT32_MAX ? UINT32_MAX : part ? (uint32_t)part : 1;
}

/* The kernel picks a listener at random, so one client's connections are not spread evenly. Allow
 * four standard deviations above an even share, so that a client gets at least its limit. */
static uint32_t per_client(uint64_t whole, uint32_t slots)
{
    uint32_t part = share(whole, slots);
    if (whole == 0)
        return UINT16_MAX;
    return slots == 1 ? part : part + (uint32_t)(4 * sqrt(part)) + 1;
}

static void set_limits(struct worker *w)
{
    const struct config *config = w->config;
    const struct tarpit_rules *rules = &config->tarpit;
    uint32_t slots = w->params->slots;
    struct rlimit files = {1024, 1024};

    getrlimit(RLIMIT_NOFILE, &files);
    uint32_t backends = (uint32_t)config->backend_count * 64 + DESCRIPTOR_MARGIN;
    uint32_t fits = files.rlim_cur > backends * 2 ? (uint32_t)files.rlim_cur - backends
                                                  : (uint32_t)files.rlim_cur / 2;
    w->open_max = share(config->connections_max, slots);
    if (w->open_max > fits)
        w->open_max = fits;
    w->open_reserve_from = (uint32_t)(w->open_max * (1.0 - rules->reserve));
    w->held_max = rules->held_max ? share(rules->held_max, slots) : w->open_reserve_from;
    if (w->held_max == 0)
        w->held_max = 1;
    w->held_per_client = per_client(rules->held_per_client, slots);
    log_debug("room for %u connections, %u of them for those in debt, %u held, %u of one client",
              w->open_max, w->open_reserve_from, w->held_max, w->held_per_client);
}

/* Checks lists that were being written when this worker started. */
static void look_at_suspects(struct loop *loop, struct alarm *a)
{
    struct worker *w = worker_of(loop);

    if (suspects_look(&w->suspects, loop->now, loop->wall))
        loop_alarm(loop, a, loop->now + SUSPECTS_LOOK_MS);
}

/* Opens the parts that can fail only for lack of memory. */
static bool open_rooms(struct worker *w)
{
    const struct worker_params *params = w->params;

    slab_init(&w->conns, sizeof(struct conn));
    ring_init(&w->awake);
    w->tarpit = (struct tarpit){.rules = params->config->tarpit,
                                .ledger = params->ledger,
                                .retries = params->retries,
                                .tries = params->tries};
    if (!guard_open(&w->guard) || !room_open(w) || !tls_open(w) ||
        !suspects_open(&w->suspects, params->config, params->confirmed))
        return false;
    w->auth_queue = auth_queue_open(params->slots);
    w->accounts = accounts_open();
    if (!listening_open(w) || !w->auth_queue || !w->accounts || !make_services(w))
        return false;
    struct relay_params relay = {.config = params->config,
                                 .loop = &w->loop,
                                 .master = params->control,
                                 .partial = params->partial,
                                 .addresses = params->addresses,
                                 .slots = params->slots,
                                 .sharing = params->sharing,
                                 .counts = params->counts,
                                 .spool_used = params->spool_used,
                                 .changed = backend_changed,
                                 .reached = backend_reached,
                                 .arg = w};
    w->relay = relay_open(&relay);
    return w->relay && lists_open(w) && journal_open(w);
}

static int open_all(struct worker *w)
{
    const struct worker_params *params = w->params;
    int error = loop_open(&w->loop);

    if (error)
        return error;
    w->loop.prefetch = conn_prefetch;
    w->loop.prefetch_octets = sizeof(struct conn);
    if (!open_rooms(w))
        return -ENOMEM;
    if ((error = message_open(w)) || (error = queries_open(w)) || (error = freeze_open(w)))
        return error;
    w->suspects_alarm.due = look_at_suspects;
    if (w->suspects.files)
        loop_alarm(&w->loop, &w->suspects_alarm, w->loop.now + SUSPECTS_LOOK_MS);
    w->control = (struct watch){.fd = params->control, .events = EPOLLIN, .ready = control_ready};
    return loop_watch(&w->loop, &w->control);
}

static void close_all(struct worker *w)
{
    shut_all(w);
    while (!ring_is_empty(&w->awake)) /* these waited for a backend that has taken too long */
        conn_shut(w, conn_of_link(w->awake.next), REPLY_SHUTDOWN);
    freeze_close(w);
    lists_close(w);
    judge_close(w);
    journal_close(w);
    tls_stash_close(w);
    relay_close(w->relay);
    queries_close(w->queries);
    auth_queue_close(w->auth_queue);
    accounts_close(w->accounts);
    sending_close(w);
    message_close(w);
    loop_close(&w->loop);
    free(w->service);
    listening_close(w);
    tls_close(w);
    proposing_close(w);
    suspects_close(&w->suspects);
    guard_close(&w->guard);
    room_close(w);
    free(w);
}

/* Reports events that changed nothing (loop.h): a few are races, many a second are a fault, which
 * the administrator should know of. */
static void tell_idle(struct worker *w)
{
    enum { MANY = 5000, AGAIN_MS = 60000 };
    uint64_t idle = w->loop.idle - w->idle_told;

    if (!idle)
        return;
    metric_add(METRIC_LOOP_IDLE, (int64_t)idle);
    w->idle_told = w->loop.idle;
    if (w->loop.now - w->idle_since > 1000) {
        w->idle_since = w->loop.now;
        w->idle_before = w->loop.idle;
    } else if (w->loop.idle - w->idle_before >= MANY && w->loop.now >= w->warn_of_idle) {
        w->warn_of_idle = w->loop.now + AGAIN_MS;
        log_warn("busy loop: %d wake-ups without work within a second; please report it", MANY);
    }
}

int worker_run(const struct worker_params *params)
{
    struct worker *w = calloc(1, sizeof *w);
    bool more = false;
    if (!w)
        return 1;
    w->params = params;
    w->config = params->config;
    set_limits(w);
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/spool", params->config->state);
    w->spool_room = (struct spool_room){.folder = folder,
                                        .used = params->spool_used,
                                        .max = params->config->spool_max,
                                        .now = &w->loop.now};
    int error = proposing_open(w);
    if (!error)
        error = open_all(w);
    if (error) {
        log_error("worker cannot start: %s", strerrordesc_np(-error));
        return 1;
    }
    if (worker_confine(params->config, w->suspects.files > 0, w->lists) & SANDBOX_ROOT)
        strcpy(folder, "/");
    if (!sending_open(w)) {
        log_error("worker cannot start: %s", strerrordesc_np(ENOMEM));
        return 1;
    }
    relay_begin(w->relay);
    int status = note_ready(params->control, sandbox_compiled());
    while (status == 0 && !w->loop.stop) {
        loop_turn(&w->loop, more ? 0 : -1);
        more = auth_queue_move(w->auth_queue, w);
        freeze_flush(w);
        proposing_flush(w);
        guard_grow(w);
        room_look_after(w);
        tell_idle(w);
        mapfile_tend(false);
    }
    close_all(w);
    return status;
}
