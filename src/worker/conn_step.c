/* Steps a connection's session.
 *
 * The session (src/smtp) says what it needs next, and this file gets it: input from io.c, verdicts
 * from recipient.c, a backend's reply from message.c; hold.c decides when a reply is sent. To wait,
 * a step returns to the loop, and continues later in conn_run(). Nothing else steps a session. */
#include "worker/conn_step.h"

#include <assert.h>
#include <string.h>
#include <sys/uio.h>

#include "base/metrics.h"
#include "config/config.h"
#include "worker/conn.h"
#include "worker/hold.h"
#include "worker/io.h"
#include "worker/login.h"
#include "worker/message.h"
#include "worker/recipient.h"
#include "worker/room.h"
#include "worker/tls.h"
#include "worker/worker_part.h"

/* Replies of a pipelined group are sent together, but no more octets than this are collected. */
enum { OUT_ENOUGH = 16 * 1024 };

/* ---- replies ---- */

static void count_reply(struct conn *c, const struct reply *r)
{
    static const enum metric class[] = {METRIC_REPLIES_2, METRIC_REPLIES_3, METRIC_REPLIES_4,
                                        METRIC_REPLIES_5};
    if (r->code >= 200 && r->code < 600)
        metric_add(class[r->code / 100 - 2], 1);
    if (r->code >= 400)
        c->last_code = r->code;
    c->flags &= ~(uint32_t)CONN_GREETING;
}

bool conn_say(struct conn *c, const struct reply *r)
{
    count_reply(c, r);
    return conn_work(c) && reply_write(r, &c->work->out) == 0;
}

bool conn_say_end(struct conn *c, const struct reply *r)
{
    count_reply(c, r);
    return conn_work(c) && reply_end_drip(r, &c->work->out) == 0;
}

/* ---- what the session needs ---- */

/* The result of a step. */
enum go {
    GO_ON,
    GO_WAIT,
    GO_FULL, /* waits until the output has been sent */
    GO_GONE,
};

static enum go say(struct worker *w, struct conn *c, const struct reply *r)
{
    switch (hold_reply(w, c, r)) {
    case HOLD_HELD: return GO_WAIT;
    case HOLD_GONE: return GO_GONE;
    case HOLD_NONE: break;
    }
    if (!conn_say(c, r)) {
        conn_close(w, c, CLOSE_NO_MEMORY);
        return GO_GONE;
    }
    if (c->work->out.len < OUT_ENOUGH)
        return GO_ON;
    if (!io_flush(w, c))
        return GO_GONE;
    return c->work->out.len >= OUT_ENOUGH ? GO_FULL : GO_ON;
}

static enum go finish(struct worker *w, struct conn *c)
{
    if (!io_flush_last(w, c))
        return GO_GONE;
    if (c->work && c->work->out.len) {
        conn_phase(w, c, CONN_CLOSING, w->config->timeout_ms);
        return GO_WAIT;
    }
    io_end(w, c);
    conn_close(w, c, smtp_is_junk(&c->smtp) ? CLOSE_JUNK : CLOSE_QUIT);
    return GO_GONE;
}

static enum go serve(struct worker *w, struct conn *c, enum smtp_want want, struct smtp_step *step)
{
    switch (want) {
    case SMTP_REPLY: return say(w, c, &step->reply);
    case SMTP_RECIPIENT: return recipient_begin(w, c, step) ? GO_ON : GO_WAIT;
    case SMTP_PASSWORD: return login_begin(w, c, step) ? GO_ON : GO_WAIT;
    case SMTP_SCRAM: return login_scram(w, c, step) ? GO_ON : GO_WAIT;
    case SMTP_MESSAGE: return message_begin(w, c) ? GO_ON : GO_WAIT;
    case SMTP_BODY: message_add(w, c, step->body); return GO_ON;
    case SMTP_MESSAGE_VOID: message_void(w, c); return GO_ON;
    case SMTP_MESSAGE_END: return message_end(w, c) ? GO_ON : GO_WAIT;
    case SMTP_END: return finish(w, c);
    case SMTP_START_TLS: return tls_begin(w, c, false) ? GO_WAIT : GO_GONE;
    case SMTP_INPUT: break;
    }
    return GO_WAIT;
}

/* ---- input ---- */

/* Input that the session steps through: first octets that were received where they stay, in the
 * spool, then those in w->input from `at` up to `have`. */
struct input {
    const struct iovec *place;
    int places;
    size_t at, have;
};

/* Moves what is left of the places into w->input. */
static void leave_places(struct worker *w, struct input *in, size_t used)
{
    in->at = in->have = 0;
    for (; in->places; in->places--, in->place++) {
        size_t left = in->place->iov_len - used;
        assert(in->have + left <= sizeof w->input);
        memcpy(w->input + in->have, (char *)in->place->iov_base + used, left);
        in->have += left;
        used = 0;
    }
    w->input_in_use = in->have;
}

enum { STEP_AGAIN = -1 };

/* A step through the first place; returns enum smtp_want or STEP_AGAIN. If the session has used all
 * of it and the message has all of it, the next place follows. Otherwise the octets from there on
 * do not stay where they are, or they are not of the message, or they would be freed with it. */
static int step_in_place(struct worker *w, struct conn *c, struct input *in, struct smtp_step *step)
{
    struct span octets = {in->place->iov_base, in->place->iov_len};
    size_t used = 0;
    int places = in->places;
    enum smtp_want want = smtp_step(&c->smtp, &w->service[c->listener], octets, &used, step);

    if (want == SMTP_BODY && step->body.at == octets.at && step->body.len == octets.len) {
        in->place++;
        in->places--;
        return want;
    }
    leave_places(w, in, used);
    /* the session has not seen what follows the place */
    return want == SMTP_INPUT && places > 1 ? STEP_AGAIN : (int)want;
}

static int step_in_input(struct worker *w, struct conn *c, struct input *in, struct smtp_step *step)
{
    size_t used = 0;
    enum smtp_want want =
        smtp_step(&c->smtp, &w->service[c->listener],
                  (struct span){w->input + in->at, in->have - in->at}, &used, step);

    in->at += used;
    if (want == SMTP_PASSWORD) /* leave no password in the buffer */
        explicit_bzero(w->input + in->at - used, used);
    return want;
}

/* Keeps the unused part of w->input for the next run. */
static bool keep_input(struct worker *w, struct conn *c, const struct input *in)
{
    if (in->at == in->have)
        return true;
    return conn_work(c) && buf_add(&c->work->in, w->input + in->at, in->have - in->at) == 0;
}

/* ---- the run ---- */

static void run(struct worker *w, struct conn *c, struct input *in)
{
    enum go go = GO_ON;
    size_t in_use = w->input_in_use;
    bool moved = in->places > 0;

    login_offers(w);
    c->flags |= CONN_RUNNING;
    c->smtp.trusted = c->flags & CONN_EXEMPT;
    w->input_in_use = in->have;
    while (go == GO_ON) {
        struct smtp_step step;
        int want = in->places ? step_in_place(w, c, in, &step) : step_in_input(w, c, in, &step);
        if (want != STEP_AGAIN)
            go = serve(w, c, (enum smtp_want)want, &step);
    }
    w->input_in_use = in_use;
    if (go == GO_GONE)
        return;
    c->flags &= ~(uint32_t)CONN_RUNNING;
    message_fit(c);
    if (!keep_input(w, c, in)) {
        conn_close(w, c, CLOSE_NO_MEMORY);
        return;
    }
    room_count_envelope(w, c, (uint32_t)envelope_block(&c->smtp.envelope).len);
    /* part of a line is no progress, also when it is too long and dropped */
    if ((moved || in->at) && c->phase == CONN_READING && !smtp_in_data(&c->smtp) &&
        !smtp_in_long_line(&c->smtp))
        loop_alarm(&w->loop, &c->alarm, w->loop.now + w->config->timeout_ms);
    /* with a full output, EPOLLOUT continues, and reads the rest of the input */
    if (go != GO_FULL && !io_flush(w, c))
        return;
    if (w->stopping && c->phase == CONN_READING) { /* its hand-over has ended; see stop() */
        conn_shut(w, c, REPLY_SHUTDOWN);
        return;
    }
    message_rank(w, c);
    conn_rest(c);
    io_want(w, c);
}

void conn_run_input(struct worker *w, struct conn *c, size_t have)
{
    struct input in = {.have = have};

    run(w, c, &in);
}

void conn_run_places(struct worker *w, struct conn *c, const struct iovec *place, int places)
{
    struct input in = {.place = place, .places = places};

    run(w, c, &in);
}

void conn_run(struct worker *w, struct conn *c)
{
    /* the octets of the outer connection, during whose run this answer has come */
    struct buf aside = {0};
    size_t have = 0;

    if (c->flags & CONN_RUNNING) /* the answer came at once: the run that asked goes on */
        return;
    if (c->work && c->work->in.len) {
        assert(c->work->in.len <= sizeof w->input);
        if (w->input_in_use && buf_add(&aside, w->input, w->input_in_use) < 0) {
            conn_close(w, c, CLOSE_NO_MEMORY);
            return;
        }
        have = c->work->in.len;
        memcpy(w->input, c->work->in.at, have);
        buf_free(&c->work->in);
    }
    conn_run_input(w, c, have);
    if (aside.len)
        memcpy(w->input, aside.at, aside.len);
    buf_free(&aside);
}
