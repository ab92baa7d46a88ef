/* Queries to the clerks, and their answers.
 *
 * A query belongs to one connection. Its answer finds it by its id (a place in a table, and a count
 * that tells an old use of that place from a new one), so an answer that comes after the end of its
 * connection, or after the time-out, is dropped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/log.h"
#include "config/config.h"
#include "query/query.h"
#include "worker/auth_queue.h"
#include "worker/conn.h"
#include "worker/conn_step.h"
#include "worker/journal.h"
#include "worker/login.h"
#include "worker/queries.h"
#include "worker/recipient.h"
#include "worker/worker_part.h"

/* Clients that ask again as soon as they have an answer must not keep the loop here. */
enum { ANSWERS_AT_ONCE = 32 };

struct place {
    struct query *query;
    uint32_t uses;
    uint32_t next_free;
};

/* A queue to the clerks, and the queries that wait because it is full. */
struct queue {
    struct watch watch; /* first */
    struct ring waiting;
    bool watched; /* see wait_for_room() */
};

struct queries {
    struct worker *worker;
    struct watch answer;
    struct queue queue[QUERY_QUEUES];
    struct place *place;
    uint32_t places, free; /* free: equal to places if none is free */
    uint32_t used;         /* places with a query, which may be answered */
};

static struct queries *queries_of(struct loop *loop)
{
    return worker_of(loop)->queries;
}

/* Counts begin with the time in us. No place is used so often, so an answer to a dead worker that
 * had this slot before never matches one of our queries. */
static bool grow(struct queries *a)
{
    uint32_t places = a->places ? a->places * 2 : 64;
    struct place *place = realloc(a->place, places * sizeof *place);
    if (!place)
        return false;
    for (uint32_t i = a->places; i < places; i++)
        place[i] = (struct place){.next_free = i + 1, .uses = (uint32_t)clock_mono_us()};
    a->place = place;
    a->free = a->places;
    a->places = places;
    return true;
}

static enum query_rank rank_of(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);

    if (who.exempt || who.authenticated)
        return RANK_FIRST;
    double debt = tarpit_debt(&w->tarpit, &who, w->loop.wall);
    if (debt <= 0)
        return RANK_USUAL;
    return debt < 2 * w->tarpit.rules.pace_after ? RANK_SLIP : RANK_DEBT;
}

static int send_query(struct queries *a, struct query *q)
{
    const struct worker_params *params = a->worker->params;
    struct query_head head = {.id = q->id,
                              .login_id = q->login_id,
                              .slot = (uint16_t)params->slot,
                              .kind = q->kind,
                              .rank = rank_of(a->worker, q->conn),
                              .client = q->conn->peer};
    struct span first = {q->text + q->kept_len, q->first_len};
    struct span second = {first.at + first.len, q->second_len};

    return query_send(q->login_id ? params->own[scram_id_clerk(q->login_id)]
                                  : params->ask[q->queue],
                      &head, first, second);
}

static void give_place(struct queries *a, struct query *q)
{
    uint32_t at = (uint32_t)q->id;

    a->place[at].query = NULL;
    a->used--;
    a->place[at].next_free = a->free;
    a->free = at;
    q->placed = false;
}

static void query_free(struct query *q)
{
    if (q && q->second_len)
        explicit_bzero(q->text + q->kept_len + q->first_len, q->second_len);
    free(q);
}

/* A queue that has room is always reported, so it is watched only while queries wait. Without the
 * watch their time-out answers them. */
static void wait_for_room(struct loop *loop, struct queue *queue)
{
    if (!queue->watched)
        queue->watched = loop_watch(loop, &queue->watch) == 0;
}

static void wait_no_more(struct loop *loop, struct queue *queue)
{
    if (queue->watched)
        loop_forget(loop, &queue->watch);
    queue->watched = false;
}

static void ask_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct queries *a = queries_of(loop);
    struct queue *queue = (struct queue *)watch;

    /* there is no clerk, and none will come: time-outs answer */
    if (events & (EPOLLHUP | EPOLLERR)) {
        wait_no_more(loop, queue);
        return;
    }
    while (!ring_is_empty(&queue->waiting)) {
        struct query *q = container_of(queue->waiting.next, struct query, waiting);
        int r = send_query(a, q);
        if (r == -EAGAIN)
            return;
        loop_moved(loop);
        q->sent = true;
        ring_remove(&q->waiting); /* after another error the time-out answers */
    }
    wait_no_more(loop, queue);
}

static void answer_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct queries *a = queries_of(loop);
    struct answer answer;

    /* Once all queries have their answers, there is nothing to read. */
    for (int n = 0; n < ANSWERS_AT_ONCE && (n == 0 || a->used); n++) {
        int r = answer_read(watch->fd, &answer);
        if (r != -EAGAIN)
            loop_moved(loop);
        if (r == -EBADMSG)
            continue;
        if (r <= 0) {
            if (r == 0)
                loop_forget(loop, watch);
            return;
        }
        uint32_t at = (uint32_t)answer.id;
        if (at >= a->places || !a->place[at].query || a->place[at].query->id != answer.id)
            continue;
        query_answered(a->worker, a->place[at].query->conn, &answer);
    }
}

int queries_open(struct worker *w)
{
    struct queries *a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->worker = w;
    a->answer = (struct watch){.fd = w->params->answer, .events = EPOLLIN, .ready = answer_ready};
    for (int i = 0; i < QUERY_QUEUES; i++) {
        struct queue *queue = &a->queue[i];
        queue->watch =
            (struct watch){.fd = w->params->ask[i], .events = EPOLLOUT, .ready = ask_ready};
        ring_init(&queue->waiting);
    }
    int error = loop_watch(&w->loop, &a->answer);
    if (error)
        free(a);
    else
        w->queries = a;
    return error;
}

void queries_close(struct queries *a)
{
    if (!a)
        return;
    loop_forget(&a->worker->loop, &a->answer);
    for (int i = 0; i < QUERY_QUEUES; i++)
        wait_no_more(&a->worker->loop, &a->queue[i]);
    free(a->place);
    free(a);
}

bool queries_put(struct worker *w, struct query *q)
{
    struct queries *a = w->queries;
    struct queue *queue;

    if (a->free == a->places && !grow(a))
        return false;
    uint32_t at = a->free;
    struct place *place = &a->place[at];
    a->free = place->next_free;
    place->query = q;
    a->used++;
    q->id = (uint64_t)++place->uses << 32 | at;
    q->placed = true;
    q->queue = q->permit.stranger_to ? QUERY_STRANGERS : QUERY_FIRST;
    queue = &a->queue[q->queue];

    int r = !ring_is_empty(&queue->waiting) && !q->login_id ? -EAGAIN : send_query(a, q);
    if (r < 0 && q->login_id) {
        give_place(a, q);
        return false;
    }
    if (r == -EAGAIN) {
        ring_add(&queue->waiting, &q->waiting);
        wait_for_room(&w->loop, queue);
    } else {
        q->sent = true;
        if (r < 0)
            log_warn("cannot query the clerks: error %d", -r);
    }
    return true;
}

void queries_drop(struct worker *w, struct query *q)
{
    auth_queue_leave(w->auth_queue, q);
    if (q->placed && !q->sent)
        ring_remove(&q->waiting);
    if (q->placed)
        give_place(w->queries, q);
    query_free(q);
}

/* ---- queries ---- */

struct query *query_new(enum query_kind kind, const struct tarpit_permit *permit, struct span kept,
                        struct span first, struct span second)
{
    struct query *q = malloc(sizeof *q + kept.len + first.len + second.len);
    if (!q)
        return NULL;
    *q = (struct query){0};
    q->kind = (uint16_t)kind;
    q->permit = *permit;
    q->kept_len = (uint16_t)kept.len;
    q->first_len = (uint16_t)first.len;
    q->second_len = (uint16_t)second.len;
    if (kept.len)
        memcpy(q->text, kept.at, kept.len);
    if (first.len)
        memcpy(q->text + kept.len, first.at, first.len);
    if (second.len)
        memcpy(q->text + kept.len + first.len, second.at, second.len);
    return q;
}

/* For the log. */
static const char *kind_name(const struct query *q)
{
    return q->kind == QUERY_RECIPIENT  ? "recipient"
           : q->kind == QUERY_PASSWORD ? "password"
                                       : "SCRAM";
}

static const char *result_name(uint16_t result)
{
    static const char *const names[] = {[ANSWER_YES] = "yes",
                                        [ANSWER_NO] = "no",
                                        [ANSWER_LATER] = "later",
                                        [ANSWER_OTHER] = "its source's own reply",
                                        [ANSWER_MORE] = "more"};
    return result && result < sizeof names / sizeof names[0] ? names[result] : "?";
}

bool query_ask(struct worker *w, struct conn *c, struct query *q)
{
    if (!q || !conn_work(c)) {
        query_free(q);
        return false;
    }
    q->conn = c;
    q->asked_ms = w->loop.now;
    if ((q->login_id || auth_queue_enter(w->auth_queue, q)) && !queries_put(w, q)) {
        queries_drop(w, q);
        return false;
    }
    c->work->query = q;
    conn_phase(w, c, CONN_ASKING, QUERY_TIMEOUT_MS);
    journal_step(c, "asks a clerk", "%s%s", kind_name(q),
                 q->auth_queue == AUTH_QUEUE_STANDS ? ", when its turn among strangers comes" : "");
    return true;
}

/* The session has its answer and goes on. */
static void query_done(struct worker *w, struct conn *c, struct query *q)
{
    queries_drop(w, q);
    conn_run(w, c);
}

void query_next(struct worker *w, struct query *q)
{
    struct conn *c = q->conn;

    if (login_judged(w, c, q)) {
        if (!queries_put(w, q))
            query_answered(w, c, NULL);
        return;
    }
    c->work->query = NULL;
    conn_phase(w, c, CONN_READING, w->config->timeout_ms);
    query_done(w, c, q);
}

void query_answered(struct worker *w, struct conn *c, const struct answer *a)
{
    struct query *q = c->work->query;

    journal_step(c, a ? "a clerk answers" : "no clerk answers", "%s, after %.1f s%s%s",
                 kind_name(q), (double)(w->loop.now - q->asked_ms) / 1000, a ? ": " : "",
                 a ? result_name(a->result) : "");
    c->work->query = NULL;
    conn_phase(w, c, CONN_READING, w->config->timeout_ms);
    if (q->kind == QUERY_RECIPIENT)
        recipient_answered(w, c, q, a);
    else
        login_answered(w, c, q, a);
    query_done(w, c, q);
}
