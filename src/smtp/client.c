/* The client's side of SMTP and LMTP; see client.h.
 *
 * With PIPELINING the whole envelope and DATA are sent in one burst, without it one command at a
 * time. The replies come in the same order, so one state machine handles both. client_hello.c has the
 * beginning of a session, client_body.c the message. */
#include "smtp/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "smtp/client_part.h"

static const char *const state_names[] = {
#define STATE_ROW(id, name) [OUTBOUND_##id] = (name),
    OUTBOUND_STATES(STATE_ROW)
#undef STATE_ROW
};

const char *outbound_state_name(enum outbound_state state)
{
    return (unsigned)state < sizeof state_names / sizeof state_names[0] ? state_names[state] : "?";
}

/* ---- commands ---- */

static bool pipelining(const struct outbound *o)
{
    return o->ability.caps & CAP_PIPELINING;
}

void outbound_die(struct outbound *o)
{
    o->state = OUTBOUND_DEAD;
}

void outbound_over(struct outbound *o)
{
    o->over = true;
    o->job = NULL;
}

static int add(struct outbound *o, struct span text)
{
    return buf_add_span(&o->out, text);
}

void outbound_say(struct outbound *o, const char *line, enum outbound_state next)
{
    bool failed = add(o, span_of(line)) || add(o, SPAN("\r\n"));

    o->state = failed ? OUTBOUND_DEAD : next;
}

static int add_path(struct outbound *o, struct span verb, struct span address)
{
    return add(o, verb) || add(o, address) || add(o, SPAN(">")) ? -ENOMEM : 0;
}

/* The parameters of DSN, if the backend takes them, and the end of the line. */
static int end_command(struct outbound *o, struct span params)
{
    if (params.len && o->ability.caps & CAP_DSN && (add(o, SPAN(" ")) || add(o, params)))
        return -ENOMEM;
    return add(o, SPAN("\r\n"));
}

static int say_mail(struct outbound *o)
{
    const struct job *j = o->job;
    struct span sender = envelope_sender(j->envelope);
    struct span params = envelope_sender_params(j->envelope);
    int r = add_path(o, SPAN("MAIL FROM:<"), sender);

    if (r == 0 && o->ability.caps & CAP_SIZE && (r = add(o, SPAN(" SIZE="))) == 0)
        r = buf_add_number(&o->out, j->size, 1);
    if (r == 0 && j->eightbit && o->ability.caps & CAP_8BITMIME)
        r = add(o, SPAN(" BODY=8BITMIME"));
    if (r == 0 && j->utf8 && o->ability.caps & CAP_SMTPUTF8)
        r = add(o, SPAN(" SMTPUTF8"));
    if (r == 0 && j->again)
        r = add(o, SPAN(" " SMTP_AGAIN));
    return r == 0 ? end_command(o, params) : r;
}

static int say_rcpt(struct outbound *o, const struct envelope_recipient *to)
{
    int r = add_path(o, SPAN("RCPT TO:<"), to->address);

    return r == 0 ? end_command(o, to->params) : r;
}

/* Sends the RCPT of recipient number `n`, or of all from there on. */
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

/* The next recipient, from `n` on, that a reply is due for. */
static uint32_t next_recipient(const struct job *j, uint32_t n)
{
    while (n < j->recipients && j->recipient[n].fate == FATE_HAS_IT)
        n++;
    return n;
}

bool job_may_send(const struct job *j)
{
    bool taken = false;

    for (uint32_t i = 0; i < j->recipients; i++) {
        if (j->recipient[i].fate == FATE_REFUSED)
            return false;
        taken = taken || j->recipient[i].fate == FATE_TAKEN;
    }
    return taken;
}

uint32_t outbound_needs(const struct job *j)
{
    struct envelope_recipient to = {0};
    bool dsn = envelope_sender_params(j->envelope).len > 0;

    while (!dsn && envelope_next(j->envelope, &to))
        dsn = to.params.len > 0;
    return (j->utf8 ? CAP_SMTPUTF8 : 0) | (j->eightbit ? CAP_8BITMIME : 0) | (dsn ? CAP_DSN : 0) |
           (j->again ? CAP_AGAIN : 0);
}

/* Checks the extensions again, because XCLIENT or a restart of the backend may have changed
 * them. */
static int say_envelope(struct outbound *o)
{
    if (outbound_needs(o->job) & ~o->ability.caps) {
        o->job->lacking = true;
        outbound_over(o);
        o->state = OUTBOUND_IDLE;
        return 0;
    }
    o->chunked = outbound_may_chunk(o);
    int r = say_mail(o);

    o->state = OUTBOUND_MAIL;
    if (r == 0 && pipelining(o))
        r = say_recipients(o, 0, true);
    if (r == 0 && pipelining(o) && !o->chunked)
        r = add(o, SPAN("DATA\r\n"));
    return r;
}

/* Names the client, if the backend supports that; then sends the envelope. */
int outbound_begin(struct outbound *o, struct job *job)
{
    o->job = job;
    o->at = next_recipient(job, 0);
    o->go = o->chunked = o->chunks_refused = o->xclient_again = false;
    o->ahead = 0;
    if (o->xclient_caps & o->ability.caps & CAP_XCLIENT) {
        o->state = OUTBOUND_XCLIENT;
        return xclient_command(&o->out, &job->who, o->ability.xclient);
    }
    if (o->xclient_caps & o->ability.caps & CAP_XFORWARD) {
        o->state = OUTBOUND_XFORWARD;
        return xclient_forward_command(&o->out, &job->who, o->ability.xforward);
    }
    return say_envelope(o);
}

void outbound_start(struct outbound *o, bool lmtp, const char *hostname, uint32_t xclient_caps)
{
    *o = (struct outbound){.lmtp = lmtp,
                           .hostname = hostname,
                           .xclient_caps = xclient_caps,
                           .state = OUTBOUND_GREETING};
}

bool outbound_is_spent(const struct outbound *o)
{
    return (o->as_client && !(o->ability.caps & CAP_XCLIENT)) ||
           o->refusals >= OUTBOUND_REFUSALS_MOST;
}

void outbound_free(struct outbound *o)
{
    reader_free(&o->reader);
    kept_free(&o->complaint);
    buf_free(&o->out);
}

void outbound_send_envelope(struct outbound *o)
{
    if (say_envelope(o) < 0)
        outbound_die(o);
}

/* ---- replies ---- */

void outbound_complain(struct outbound *o, enum reply_stage stage, const struct reply *r)
{
    bool named = o->as_client || o->proxied || o->state == OUTBOUND_XCLIENT;
    bool begins = stage < STAGE_MAIL && stage != STAGE_TLS;

    o->of_client = named && (begins || r->code == 421);
    o->complained_of = (uint8_t)stage;
    (void)kept_set(&o->complaint, r);
}

void outbound_refused(struct outbound *o, enum reply_stage stage, const struct reply *r)
{
    outbound_complain(o, stage, r);
    outbound_die(o);
}

bool outbound_translate(struct outbound *o, enum reply_stage stage, struct reply *r)
{
    enum reply_speaker speaker = o->as_client || o->proxied ? SPEAKER_CLIENT : SPEAKER_RELAY;

    if (reply_about(stage, speaker, r) == REPLY_ABOUT_US) {
        outbound_complain(o, stage, r);
        *r = reply_make(REPLY_BACKEND_DOWN, (struct span){0});
        return true;
    }
    r->offence = reply_is_offence(stage, speaker, r) ? OFFENCE_BACKEND : OFFENCE_NONE;
    return false;
}

/* Keeps a reply about all recipients. False: there was no memory, and the connection is dead. */
static bool keep_whole(struct outbound *o, const struct reply *r)
{
    if (kept_set(&o->job->whole, r) == 0)
        return true;
    outbound_die(o);
    return false;
}

void outbound_over_and_reset(struct outbound *o)
{
    outbound_over(o);
    outbound_say(o, "RSET", OUTBOUND_RSET);
}

/* The whole envelope has been answered: decides whether to send the data. */
static void on_envelope(struct outbound *o)
{
    o->go = o->job->whole.code < 400 && job_may_send(o->job);
    if (pipelining(o) && !o->chunked) {
        o->state = OUTBOUND_DATA;
    } else if (o->go && o->chunked) {
        outbound_begin_chunks(o);
    } else if (o->go) {
        outbound_say(o, "DATA", OUTBOUND_DATA);
    } else {
        outbound_over_and_reset(o);
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
        outbound_die(o);
}

/* If the refusal is about us, another connection or backend may help. */
static void on_mail(struct outbound *o, struct reply *r)
{
    if (outbound_translate(o, STAGE_MAIL, r)) {
        outbound_die(o);
        return;
    }
    if (r->code >= 300 && !keep_whole(o, r))
        return;
    if (r->code >= 300 && !pipelining(o))
        outbound_over_and_reset(o);
    else
        next_rcpt(o);
}

static void on_rcpt(struct outbound *o, struct reply *r)
{
    struct job_recipient *to = &o->job->recipient[o->at++];
    /* not a reply to RCPT, so the replies after it cannot be assigned */
    bool stray = r->code >= 300 && r->code < 400;

    outbound_translate(o, STAGE_RCPT, r);
    to->fate = r->code < 300 ? FATE_TAKEN : r->code < 500 ? FATE_LATER : FATE_REFUSED;
    if (stray || (to->fate != FATE_TAKEN && kept_set(&to->reply, r) < 0))
        outbound_die(o);
    else
        next_rcpt(o);
}

/* The stage of the conversation that a reply in this state belongs to. */
static enum reply_stage stage_of(enum outbound_state state)
{
    static const uint8_t stage[] = {
        [OUTBOUND_GREETING] = STAGE_GREETING, [OUTBOUND_HELLO] = STAGE_HELLO,
        [OUTBOUND_HELO] = STAGE_HELLO,        [OUTBOUND_STARTTLS] = STAGE_TLS,
        [OUTBOUND_XCLIENT] = STAGE_XCLIENT,   [OUTBOUND_XHELLO] = STAGE_HELLO,
        [OUTBOUND_XFORWARD] = STAGE_XCLIENT,  [OUTBOUND_MAIL] = STAGE_MAIL,
        [OUTBOUND_RCPT] = STAGE_RCPT,         [OUTBOUND_CHUNK] = STAGE_DATA,
        [OUTBOUND_DATA] = STAGE_DATA,         [OUTBOUND_BODY] = STAGE_MESSAGE,
        [OUTBOUND_FINAL] = STAGE_MESSAGE,     [OUTBOUND_DEAD] = STAGE_MESSAGE};

    return (enum reply_stage)stage[state];
}

/* LMTP servers do not slow down. */
static void count_refusal(struct outbound *o, const struct reply *r)
{
    bool message = o->state >= OUTBOUND_MAIL && o->state <= OUTBOUND_FINAL;

    if (r->code >= 400 && message && !o->lmtp)
        o->refusals++;
    else if (r->code < 300 && o->state == OUTBOUND_FINAL)
        o->refusals = 0;
}

static void on_reply(struct outbound *o, struct reply *r)
{
    bool asked = o->state != OUTBOUND_IDLE && o->state != OUTBOUND_RSET;

    count_refusal(o, r);

    /* the backend ends: treat the connection as closed */
    if (r->code == 421 && o->state != OUTBOUND_FINAL) {
        if (asked)
            outbound_complain(o, stage_of((enum outbound_state)o->state), r);
        outbound_die(o);
        return;
    }
    switch ((enum outbound_state)o->state) {
    case OUTBOUND_GREETING: outbound_on_greeting(o, r); break;
    case OUTBOUND_HELLO:
    case OUTBOUND_HELO: outbound_on_hello(o, r); break;
    case OUTBOUND_STARTTLS: outbound_on_starttls(o, r); break;
    case OUTBOUND_XCLIENT: outbound_on_xclient(o, r); break;
    case OUTBOUND_XHELLO: outbound_on_xhello(o, r); break;
    case OUTBOUND_XFORWARD: outbound_on_xforward(o, r); break;
    case OUTBOUND_MAIL: on_mail(o, r); break;
    case OUTBOUND_RCPT: on_rcpt(o, r); break;
    case OUTBOUND_CHUNK: outbound_on_chunk(o, r); break;
    case OUTBOUND_DATA: outbound_on_data(o, r); break;
    case OUTBOUND_BODY: outbound_on_body(o, r); break;
    case OUTBOUND_FINAL: outbound_on_final(o, r); break;
    case OUTBOUND_RSET: o->state = r->code == 250 ? OUTBOUND_IDLE : OUTBOUND_DEAD; break;
    case OUTBOUND_IDLE: /* it speaks unasked */
    case OUTBOUND_SHAKE:
    case OUTBOUND_DEAD: outbound_die(o); break;
    }
}

void outbound_input(struct outbound *o, struct span in)
{
    struct reply r;

    while (o->state != OUTBOUND_DEAD) {
        if (o->state == OUTBOUND_SHAKE) { /* ignore octets in clear text after the 220 */
            if (in.len)
                outbound_die(o);
            return;
        }
        switch (reader_take(&o->reader, &in, &r)) {
        case READER_MORE: return;
        case READER_BROKEN: outbound_die(o); return;
        case READER_REPLY: on_reply(o, &r); break;
        }
    }
}
