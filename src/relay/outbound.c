/* A backend's other end; see outbound.h.
 *
 * With PIPELINING the whole envelope and DATA go out in one burst, without it one command at a
 * time; the replies come in the same order either way, so one state machine reads both. */
#include "relay/outbound.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "relay/settling.h"

/* ---- kept replies ---- */

int kept_set(struct kept_reply *k, const struct reply *r)
{
    buf_free(&k->text);
    k->code = r->code;
    memcpy(k->enhanced, r->enhanced, sizeof k->enhanced);
    return buf_add_span(&k->text, r->arg);
}

struct reply kept_get(const struct kept_reply *k)
{
    struct reply r = {.id = REPLY_OTHER, .code = k->code, .arg = buf_span(&k->text)};
    r.offence = k->code >= 500 ? OFFENCE_BACKEND : OFFENCE_NONE;
    memcpy(r.enhanced, k->enhanced, sizeof r.enhanced);
    return r;
}

void kept_free(struct kept_reply *k)
{
    buf_free(&k->text);
}

/* ---- what we say ---- */

static bool pipelining(const struct outbound *o)
{
    return o->caps & CAP_PIPELINING;
}

static void die(struct outbound *o)
{
    o->state = OUTBOUND_DEAD;
}

static void say(struct outbound *o, const char *line)
{
    if (buf_addf(&o->out, "%s\r\n", line) < 0)
        die(o);
}

static int say_mail(struct outbound *o)
{
    const struct job *j = o->job;
    struct span sender = envelope_sender(j->envelope);
    struct span params = envelope_sender_params(j->envelope);
    int r = buf_addf(&o->out, "MAIL FROM:<%.*s>", (int)sender.len, sender.at);

    if (r == 0 && o->caps & CAP_SIZE)
        r = buf_addf(&o->out, " SIZE=%lu", (unsigned long)j->size);
    if (r == 0 && j->eightbit && o->caps & CAP_8BITMIME)
        r = buf_addf(&o->out, " BODY=8BITMIME");
    if (r == 0 && j->utf8 && o->caps & CAP_SMTPUTF8)
        r = buf_addf(&o->out, " SMTPUTF8");
    if (r == 0 && params.len && o->caps & CAP_DSN)
        r = buf_addf(&o->out, " %.*s", (int)params.len, params.at);
    return r == 0 ? buf_addf(&o->out, "\r\n") : r;
}

static int say_rcpt(struct outbound *o, const struct envelope_recipient *to)
{
    int r = buf_addf(&o->out, "RCPT TO:<%.*s>", (int)to->address.len, to->address.at);

    if (r == 0 && to->params.len && o->caps & CAP_DSN)
        r = buf_addf(&o->out, " %.*s", (int)to->params.len, to->params.at);
    return r == 0 ? buf_addf(&o->out, "\r\n") : r;
}

/* The RCPT of recipient number `n`, or of all from there on. */
static int say_recipients(struct outbound *o, uint32_t n, bool all)
{
    struct envelope_recipient to = {0};

    for (uint32_t i = 0; envelope_next(o->job->envelope, &to); i++) {
        if (i < n || o->job->recipient[i].fate == FATE_HAS_IT)
            continue;
        int r = say_rcpt(o, &to);
        if (r < 0 || !all)
            return r;
    }
    return 0;
}

/* The next recipient that a reply is due for, from `n` on. */
static uint32_t next_recipient(const struct job *j, uint32_t n)
{
    while (n < j->recipients && j->recipient[n].fate == FATE_HAS_IT)
        n++;
    return n;
}

static int say_envelope(struct outbound *o)
{
    int r = say_mail(o);

    o->state = OUTBOUND_MAIL;
    if (r == 0 && pipelining(o))
        r = say_recipients(o, 0, true);
    if (r == 0 && pipelining(o))
        r = buf_addf(&o->out, "DATA\r\n");
    return r;
}

/* Whose message it is, as far as the backend wants to know; then the envelope. */
int outbound_begin(struct outbound *o, struct job *job)
{
    o->job = job;
    o->at = next_recipient(job, 0);
    o->go = false;
    if (o->introduce & o->caps & CAP_XCLIENT) {
        o->state = OUTBOUND_XCLIENT;
        return introduce_xclient(&o->out, &job->who, o->xclient);
    }
    if (o->introduce & o->caps & CAP_XFORWARD) {
        o->state = OUTBOUND_XFORWARD;
        return introduce_xforward(&o->out, &job->who, o->xforward);
    }
    return say_envelope(o);
}

void outbound_start(struct outbound *o, bool lmtp, const char *hostname, uint32_t introduce)
{
    *o = (struct outbound){
        .lmtp = lmtp, .hostname = hostname, .introduce = introduce, .state = OUTBOUND_GREETING};
}

bool outbound_is_spent(const struct outbound *o)
{
    return o->introduced && !(o->caps & CAP_XCLIENT);
}

void outbound_free(struct outbound *o)
{
    reader_free(&o->reader);
    buf_free(&o->out);
}

/* ---- what we hear ---- */

static void over(struct outbound *o)
{
    o->over = true;
    o->job = NULL;
}

/* The job is over before its data; the connection is good for another. */
static void over_and_reset(struct outbound *o)
{
    over(o);
    say(o, "RSET");
    o->state = OUTBOUND_RSET;
}

static void learn(struct outbound *o, struct span text)
{
    static const struct {
        const char *name;
        uint32_t cap;
    } known[] = {{"PIPELINING", CAP_PIPELINING},
                 {"SIZE", CAP_SIZE},
                 {"8BITMIME", CAP_8BITMIME},
                 {"SMTPUTF8", CAP_SMTPUTF8},
                 {"DSN", CAP_DSN},
                 {"ENHANCEDSTATUSCODES", CAP_ENHANCED},
                 {"XCLIENT", CAP_XCLIENT},
                 {"XFORWARD", CAP_XFORWARD},
                 {"STARTTLS", CAP_STARTTLS},
                 {0}};

    o->caps = 0;
    while (text.len) {
        size_t end = span_find(text, '\n');
        struct span line = span_first(text, end);
        struct span word = span_first(line, span_find(line, ' '));
        for (size_t i = 0; known[i].name; i++)
            if (span_equal_fold(word, span_of(known[i].name)))
                o->caps |= known[i].cap;
        struct span words = span_after(line, word.len + (word.len < line.len));
        if (span_equal_fold(word, SPAN("XCLIENT")))
            o->xclient = introduce_attributes(words);
        if (span_equal_fold(word, SPAN("XFORWARD")))
            o->xforward = introduce_attributes(words);
        text = span_after(text, end + (end < text.len));
    }
}

static void say_hello(struct outbound *o, struct span name, enum outbound_state next)
{
    char line[300];
    int len = name.len < 255 ? (int)name.len : 255;

    snprintf(line, sizeof line, "%s %.*s", o->lmtp ? "LHLO" : "EHLO", len, name.at);
    say(o, line);
    if (o->state != OUTBOUND_DEAD)
        o->state = (uint8_t)next;
}

static void on_greeting(struct outbound *o, const struct reply *r)
{
    if (r->code == 220)
        say_hello(o, span_of(o->hostname), OUTBOUND_HELLO);
    else
        die(o);
}

static void go_to_envelope(struct outbound *o)
{
    if (say_envelope(o) < 0)
        die(o);
}

/* With 220 the backend takes us for the client and begins anew: so it is the client's own name that
 * it hears now. If it will not, the mail is not to suffer for it; but it must not go as that of
 * the client before either. */
static void on_xclient(struct outbound *o, const struct reply *r)
{
    struct span helo = o->job->who.helo;

    if (r->code == 220) {
        o->introduced = true;
        say_hello(o, helo.len ? helo : span_of(o->hostname), OUTBOUND_XHELLO);
    } else if (o->introduced) {
        die(o);
    } else {
        go_to_envelope(o);
    }
}

static void on_xhello(struct outbound *o, const struct reply *r)
{
    if (r->code != 250) {
        die(o);
        return;
    }
    learn(o, r->arg);
    go_to_envelope(o);
}

static void be_ready(struct outbound *o)
{
    o->state = OUTBOUND_IDLE;
    o->served = true;
}

/* What it has is known: STARTTLS, where that is wanted, or work. */
static void known(struct outbound *o)
{
    bool wanted = o->tls != OUTBOUND_TLS_NONE && !o->secure;

    if (wanted && o->caps & CAP_STARTTLS) {
        say(o, "STARTTLS");
        o->state = o->state == OUTBOUND_DEAD ? OUTBOUND_DEAD : OUTBOUND_STARTTLS;
    } else if (wanted && o->tls == OUTBOUND_TLS_NEEDED) {
        die(o);
    } else {
        be_ready(o);
    }
}

static void on_starttls(struct outbound *o, const struct reply *r)
{
    if (r->code == 220)
        o->state = OUTBOUND_SHAKE;
    else if (o->tls == OUTBOUND_TLS_NEEDED)
        die(o);
    else
        be_ready(o);
}

void outbound_secured(struct outbound *o)
{
    o->secure = true;
    say_hello(o, span_of(o->hostname), OUTBOUND_HELLO);
}

static void on_hello(struct outbound *o, const struct reply *r)
{
    char line[300];

    if (r->code == 250) {
        learn(o, r->arg);
        known(o);
    } else if (r->code >= 500 && !o->lmtp && o->state == OUTBOUND_HELLO) {
        snprintf(line, sizeof line, "HELO %.255s", o->hostname);
        say(o, line);
        o->state = OUTBOUND_HELO;
    } else {
        die(o);
    }
}

/* All of the envelope has been answered: may the data go? */
static void on_envelope(struct outbound *o)
{
    o->go = o->job->whole.code < 400 && settling_may_send(o->job);
    if (pipelining(o)) {
        o->state = OUTBOUND_DATA;
    } else if (o->go) {
        say(o, "DATA");
        o->state = OUTBOUND_DATA;
    } else {
        over_and_reset(o);
    }
}

static void next_rcpt(struct outbound *o)
{
    o->at = next_recipient(o->job, o->at);
    if (o->at == o->job->recipients) {
        on_envelope(o);
        return;
    }
    o->state = OUTBOUND_RCPT;
    if (!pipelining(o) && say_recipients(o, o->at, false) < 0)
        die(o);
}

static void on_mail(struct outbound *o, const struct reply *r)
{
    if (r->code >= 300 && kept_set(&o->job->whole, r) < 0) {
        die(o);
        return;
    }
    if (r->code >= 300 && !pipelining(o))
        over_and_reset(o);
    else
        next_rcpt(o);
}

static void on_rcpt(struct outbound *o, const struct reply *r)
{
    struct job_recipient *to = &o->job->recipient[o->at++];

    to->fate = r->code < 300 ? FATE_TAKEN : r->code < 500 ? FATE_LATER : FATE_REFUSED;
    if (to->fate != FATE_TAKEN && kept_set(&to->reply, r) < 0)
        die(o);
    else
        next_rcpt(o);
}

static void on_data(struct outbound *o, const struct reply *r)
{
    if (r->code == 354 && o->go) {
        o->state = OUTBOUND_BODY;
    } else if (r->code == 354) { /* there is no way back but to hang up */
        over(o);
        die(o);
    } else if (o->go && kept_set(&o->job->whole, r) < 0) {
        die(o);
    } else {
        over_and_reset(o);
    }
}

/* LMTP: the next recipient that RCPT had taken. */
static uint32_t next_taken(const struct job *j, uint32_t n)
{
    while (n < j->recipients && j->recipient[n].fate != FATE_TAKEN)
        n++;
    return n;
}

void outbound_sent(struct outbound *o)
{
    o->job->sent = true;
    o->at = next_taken(o->job, 0);
    o->state = OUTBOUND_FINAL;
}

static void on_final(struct outbound *o, const struct reply *said)
{
    struct job *j = o->job;
    struct reply copy = *said, *r = &copy;
    bool going = said->code == 421;

    if (going) /* it is the backend's connection that ends, not the client's */
        r->code = 451;
    enum fate fate = r->code < 300 ? FATE_DONE : r->code < 500 ? FATE_LATER : FATE_REFUSED;

    if (kept_set(&j->whole, r) < 0) {
        die(o);
        return;
    }
    if (!o->lmtp) {
        for (uint32_t i = next_taken(j, 0); i < j->recipients; i = next_taken(j, i + 1)) {
            j->recipient[i].fate = (uint8_t)fate;
            if (fate != FATE_DONE)
                kept_set(&j->recipient[i].reply, r);
        }
    } else {
        j->recipient[o->at].fate = (uint8_t)fate;
        if (fate != FATE_DONE)
            kept_set(&j->recipient[o->at].reply, r);
        o->at = next_taken(j, o->at);
        if (o->at < j->recipients)
            return;
    }
    over(o);
    o->state = going ? OUTBOUND_DEAD : OUTBOUND_IDLE;
}

static void on_reply(struct outbound *o, const struct reply *r)
{
    if (r->code == 421 && o->state != OUTBOUND_FINAL) { /* it is going: as if it had gone already */
        die(o);
        return;
    }
    switch ((enum outbound_state)o->state) {
    case OUTBOUND_GREETING: on_greeting(o, r); break;
    case OUTBOUND_HELLO:
    case OUTBOUND_HELO: on_hello(o, r); break;
    case OUTBOUND_STARTTLS: on_starttls(o, r); break;
    case OUTBOUND_XCLIENT: on_xclient(o, r); break;
    case OUTBOUND_XHELLO: on_xhello(o, r); break;
    case OUTBOUND_XFORWARD: go_to_envelope(o); break;
    case OUTBOUND_MAIL: on_mail(o, r); break;
    case OUTBOUND_RCPT: on_rcpt(o, r); break;
    case OUTBOUND_DATA: on_data(o, r); break;
    case OUTBOUND_FINAL: on_final(o, r); break;
    case OUTBOUND_RSET: o->state = r->code == 250 ? OUTBOUND_IDLE : OUTBOUND_DEAD; break;
    case OUTBOUND_IDLE: /* it speaks unasked */
    case OUTBOUND_SHAKE:
    case OUTBOUND_BODY:
    case OUTBOUND_DEAD: die(o); break;
    }
}

void outbound_input(struct outbound *o, struct span in)
{
    struct reply r;

    while (o->state != OUTBOUND_DEAD) {
        if (o->state == OUTBOUND_SHAKE) { /* what came behind the 220 in clear text is nobody's */
            if (in.len)
                die(o);
            return;
        }
        switch (reader_take(&o->reader, &in, &r)) {
        case READER_MORE: return;
        case READER_BROKEN: die(o); return;
        case READER_REPLY: on_reply(o, &r); break;
        }
    }
}
