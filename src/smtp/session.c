/* The steps of a session: what it waits for, how octets are read, which command a line is, which
 * reply is sent.
 *
 * smtp_step() loops until the session needs something from the caller. `wait` says why input is not
 * read now (a reply is being sent, a query is open); only with WAIT_NOTHING does the reader of
 * `reading` read some. Every reply goes through session_tell(), which keeps its head in the session
 * and its argument as the envelope's note, so that a held session is this struct and one small
 * block.
 *
 * Commands are in session_hello.c, session_mail.c, session_auth.c, session_data.c, under the table
 * of command.c. No I/O, clock or globals; runs in workers, in the store, and in tests and
 * fuzzers. */
#include "smtp/session.h"

#include <string.h>

#include "smtp/session_part.h"
#include "smtp/text.h"

/* The longest argument that is kept: no reply can have a longer one. */
enum { ARG_MAX = 1024 };

void session_tell(struct smtp_session *s, const struct reply *r)
{
    s->wait = WAIT_TELL;
    s->pending.id = r->id;
    s->pending.code = r->code;
    memcpy(s->pending.enhanced, r->enhanced, sizeof s->pending.enhanced);
    s->pending.offence = r->offence;
    if (r->last)
        s->after = AFTER_END;
    if (r->id == REPLY_AUTH_PROMPT)
        return;
    if (!r->arg.len)
        envelope_drop_note(&s->envelope);
    else if (envelope_set_note(&s->envelope, span_first(r->arg, ARG_MAX), NULL))
        smtp_shut(s, REPLY_BUSY);
}

void session_say_with(struct smtp_session *s, enum reply_id id, struct span arg)
{
    struct reply r = reply_make(id, arg);
    session_tell(s, &r);
}

void session_say_kindly(struct smtp_session *s, enum reply_id id, struct span arg)
{
    struct reply r = reply_make(id, arg);
    r.offence = OFFENCE_NONE;
    session_tell(s, &r);
}

void session_say(struct smtp_session *s, enum reply_id id)
{
    session_say_with(s, id, (struct span){0});
}

void session_void(struct smtp_session *s, enum reply_id id)
{
    s->refusal = (uint16_t)id;
    s->flags |= SMTP_DATA_VOID;
    if (s->flags & SMTP_SPOOL)
        s->flags |= SMTP_VOID_DUE;
}

void session_count_vain(struct smtp_session *s, unsigned steps, uint32_t octets)
{
    unsigned sum = s->junk + steps + octets / SMTP_JUNK_OCTETS;

    /* the most is kept for session_end_junk() */
    s->junk = (sum < SESSION_JUNK_MOST ? sum : SESSION_JUNK_MOST - 1) & SESSION_JUNK_MOST;
}

bool session_is_endless(const struct turn *t, uint32_t octets)
{
    unsigned most = t->service->junk_max * SMTP_JUNK_STEPS * SMTP_JUNK_WITHIN;

    return most && (octets / 2 > t->service->size_max || octets == UINT32_MAX) &&
           t->s->junk + octets / SMTP_JUNK_OCTETS > most;
}

void session_end_junk(struct smtp_session *s)
{
    s->after = AFTER_END;
    s->junk = SESSION_JUNK_MOST; /* smtp_is_junk() */
}

/* Whether s->size has octets of a message that have come in; otherwise it is what MAIL declared. */
static bool has_octets(const struct smtp_session *s)
{
    return s->state == STATE_CHUNKS || s->wait == WAIT_WHOLE || s->wait == WAIT_MESSAGE;
}

void session_reset(struct smtp_session *s)
{
    if (has_octets(s))
        session_count_vain(s, 0, s->size);
    if (s->flags & SMTP_SPOOL)
        s->flags |= SMTP_VOID_DUE;
    s->flags &=
        ~(SMTP_NULL_SENDER | SMTP_UTF8 | SMTP_8BIT | SMTP_DATA_VOID | SMTP_CHUNK_LAST | SMTP_TRIED);
    s->reading = READ_COMMAND;
    s->size = s->chunk_left = 0;
    data_start(&s->data);
    envelope_reset(&s->envelope);
    if (s->state != STATE_FRESH)
        s->state = STATE_READY;
}

void session_message_over(struct smtp_session *s, const struct reply *r)
{
    s->repeats = s->flags & SMTP_LMTP ? (uint16_t)envelope_recipients(&s->envelope) : 1;
    session_reset(s);
    session_count_vain(s, SMTP_JUNK_REFUSED, 0);
    if (r->code < 300)
        s->junk = 0;
    session_tell(s, r);
}

/* Replies whose argument is not the note but the host name. */
static bool takes_hostname(uint16_t id)
{
    return id == REPLY_GREETING || id == REPLY_HELO || id == REPLY_SHUTDOWN ||
           id == REPLY_TIMEOUT || id == REPLY_BUSY || id == REPLY_EVICTED ||
           id == REPLY_TOO_MANY_MAILS || id == REPLY_TOO_MANY_COMMANDS;
}

static struct reply pending_reply(const struct smtp_session *s, const struct smtp_service *service)
{
    struct reply r = {.id = s->pending.id,
                      .code = s->pending.code,
                      .offence = s->pending.offence,
                      .last = s->after == AFTER_END};
    memcpy(r.enhanced, s->pending.enhanced, sizeof r.enhanced);
    if (takes_hostname(r.id))
        r.arg = span_of(service->hostname);
    else if (r.id == REPLY_AUTH_PROMPT)
        r.arg = session_auth_prompt(s);
    else
        r.arg = envelope_note(&s->envelope);
    return r;
}

/* Whether a client that pipelines (RFC 2920) sent this command before it could hear that an earlier
 * one, on which it depends, was refused. That refusal was an offence already, so this is not
 * another one. */
static bool is_consequence(const struct smtp_session *s, const struct command *c)
{
    return c->flags & COMMAND_FOLLOWS && s->flags & SMTP_TRIED && s->state != STATE_CHUNKS;
}

static struct reply refusal(const struct smtp_session *s, const struct command *c)
{
    bool may_come = c->allowed & (1u << s->state);
    if (may_come && c->flags & COMMAND_ESMTP && !(s->flags & SMTP_ESMTP)) /* after HELO */
        return reply_make(REPLY_SEQUENCE, SPAN("EHLO first"));
    if (!(c->flags & COMMAND_RECIPIENTS) || s->state != STATE_SENDER)
        return reply_make(REPLY_SEQUENCE, span_of(smtp_command_refusal(c, s->state)));
    if (s->flags & SMTP_LMTP) /* RFC 2033 4.2 wants this code */
        return reply_make(REPLY_SEQUENCE, SPAN("No valid recipients"));
    return reply_make(REPLY_NO_RECIPIENTS, (struct span){0});
}

/* Refuses a command that this state does not allow. */
static void refuse(struct turn *t, const struct command *c, struct span arg)
{
    struct reply r = refusal(t->s, c);
    if (is_consequence(t->s, c))
        r.offence = OFFENCE_NONE;
    session_tell(t->s, &r);
    if (c->flags & COMMAND_CHUNK)
        session_refuse_chunk(t, arg);
}

static bool is_in_turn(const struct smtp_session *s, const struct command *c)
{
    if (!(c->allowed & (1u << s->state)))
        return false;
    if (c->flags & COMMAND_ESMTP && !(s->flags & SMTP_ESMTP))
        return false;
    return !(c->flags & COMMAND_RECIPIENTS && s->state == STATE_SENDER);
}

/* Whether it is an HTTP request: of a certificate checker that takes every port for a web server's,
 * a browser or a scanner. */
static bool is_http(const struct smtp_session *s, struct span line)
{
    return s->state == STATE_FRESH && memmem(line.at, line.len, " HTTP/", 6);
}

/* Ends the session of a client that means another protocol: it has learnt nothing. */
static void refuse_protocol(struct smtp_session *s, enum reply_id id)
{
    session_say_kindly(s, id, (struct span){0});
    s->after = AFTER_END;
}

/* Whether the command is RSET, and the last reply has refused or deferred a message, which has been
 * counted: Postfix and Exim do so. 500 to 504 are replies to commands, and a refused MAIL sets
 * SMTP_TRIED. */
static bool is_rset_behind_message(const struct smtp_session *s, const struct command *c)
{
    unsigned code = s->pending.code;

    if (!c || c->run != session_rset)
        return false;
    return s->state == STATE_READY && !(s->flags & SMTP_TRIED) && code >= 400 &&
           (code < 500 || code > 504);
}

/* Whether the command brings no mail forward; `c` is NULL for a line that is no command. It is
 * judged before it runs: then the flags say what it gives up. */
static bool is_junk(const struct smtp_session *s, const struct command *c)
{
    if (!c)
        return true;
    if (c->flags & COMMAND_FOLLOWS) /* counted by count_step() */
        return false;
    return c->flags & COMMAND_JUNK || !is_in_turn(s, c);
}

/* The same of what its reply says: one that this service does not have, or whose argument is wrong.
 * A refused MAIL begins a transaction, which counts when it is given up. */
static bool is_refused(const struct smtp_session *s, const struct command *c)
{
    return c && !(c->flags & COMMAND_FOLLOWS) && c->run != session_mail && s->wait == WAIT_TELL &&
           s->pending.code >= 500;
}

void session_count_junk(struct turn *t, unsigned steps)
{
    struct smtp_session *s = t->s;
    uint8_t offence = s->pending.offence;

    if (!t->service->junk_max || s->after == AFTER_END)
        return;
    if (s->junk + steps <= t->service->junk_max * SMTP_JUNK_STEPS) {
        s->junk += steps;
        return;
    }
    smtp_shut(s, REPLY_TOO_MANY_COMMANDS);
    s->pending.offence = offence;
}

/* Counts steps up to `max` (0: any number). False: they are more, and the session ends. */
static bool count_steps(struct smtp_session *s, unsigned steps, unsigned max)
{
    if (max && s->junk + steps > max) {
        smtp_shut(s, REPLY_TOO_MANY_COMMANDS);
        return false;
    }
    s->junk += max ? steps : 0;
    return true;
}

bool session_count_within(struct turn *t, unsigned steps)
{
    return count_steps(t->s, steps, t->service->junk_max * SMTP_JUNK_STEPS * SMTP_JUNK_WITHIN);
}

/* Counts a command of a transaction before it runs, so that nobody is asked in vain. False: the
 * session ends in its place. That happens between two transactions where it can: a client that
 * hears it at RSET or MAIL has lost nothing, and connects again. */
static bool count_step(struct turn *t, const struct command *c)
{
    struct smtp_session *s = t->s;

    if (c->run == session_mail && is_in_turn(s, c)) /* it may give up a refused MAIL */
        return count_steps(s, s->flags & SMTP_TRIED ? SMTP_JUNK_STEPS : 0,
                           t->service->junk_max * SMTP_JUNK_STEPS);
    if (c->flags & COMMAND_CHUNK && s->state == STATE_CHUNKS)
        return true; /* a message may have any number of chunks that have octets */
    return !(c->flags & COMMAND_FOLLOWS) || session_count_within(t, 1);
}

bool smtp_is_junk(const struct smtp_session *s)
{
    return s->pending.id == REPLY_TOO_MANY_COMMANDS || s->junk == SESSION_JUNK_MOST;
}

bool smtp_is_late(const struct smtp_session *s)
{
    return s->junk >= SMTP_JUNK_LATE;
}

static void run_command(struct turn *t, struct span line)
{
    struct span arg = line, verb = text_word(&arg);
    const struct command *c = smtp_command_find(verb, t->service->lmtp);
    arg = span_trim(arg);
    bool junk = is_junk(t->s, c), fresh = t->s->state == STATE_FRESH;
    unsigned steps = is_rset_behind_message(t->s, c) ? 0 : SMTP_JUNK_STEPS;
    if (c && !count_step(t, c))
        return;
    /* a key was pressed; not an attack */
    if (!line.len)
        session_say_kindly(t->s, REPLY_UNKNOWN_COMMAND, line);
    else if (!c && is_http(t->s, line))
        refuse_protocol(t->s, REPLY_NO_HTTP);
    else if (!c)
        session_say(t->s, REPLY_UNKNOWN_COMMAND);
    else if (!is_in_turn(t->s, c))
        refuse(t, c, arg);
    else if (c->flags & COMMAND_BARE && arg.len)
        session_say_with(t->s, REPLY_BAD_ARGUMENT, SPAN("no argument is allowed"));
    else if (c->flags & COMMAND_ARGUMENT && !arg.len)
        session_say_with(t->s, REPLY_BAD_ARGUMENT, SPAN("an argument is needed"));
    else if (c->run)
        c->run(t, arg);
    else
        session_say(t->s, c->reply);
    bool first_hello = fresh && t->s->state == STATE_READY; /* it is needed */
    if ((junk || is_refused(t->s, c)) && !first_hello)
        session_count_junk(t, steps);
}

/* Whether a line that a bare LF ends is accepted. Shells and check tools (`echo QUIT | nc`) write
 * such lines. It does no harm before any mail, with a command whose reply reveals nothing. */
static bool may_be_bare(const struct smtp_session *s, struct span line)
{
    const struct command *c = smtp_command_find(text_word(&line), s->flags & SMTP_LMTP);

    return (s->state == STATE_FRESH || s->state == STATE_READY) && s->reading == READ_COMMAND &&
           c && c->flags & COMMAND_BARE_LF;
}

/* Counts octets of a line that is too long, whose end has come unless `more`. False if nobody's line
 * is so long: then the rest is not read. */
static bool may_drop(struct smtp_session *s, size_t octets, bool more)
{
    size_t dropped = s->chunk_left + octets;

    s->chunk_left = more && dropped <= SMTP_LINE_DROPPED_MAX ? (uint32_t)dropped : 0;
    return dropped <= SMTP_LINE_DROPPED_MAX;
}

enum line_result session_line(struct turn *t, size_t max, enum reply_id too_long, struct span *line)
{
    bool swallow = t->s->flags & SMTP_SWALLOW;
    size_t before = t->in.len;
    enum line_result result = smtp_command_line(&t->in, max, &swallow, line);
    t->s->flags = (uint16_t)((t->s->flags & ~SMTP_SWALLOW) | (swallow ? SMTP_SWALLOW : 0));
    if ((swallow || result == LINE_LONG) && !may_drop(t->s, before - t->in.len, swallow)) {
        session_say(t->s, too_long);
        session_end_junk(t->s);
        return LINE_LONG;
    }
    if (result == LINE_MORE)
        t->want = SMTP_INPUT;
    else if (result == LINE_LONG)
        session_say(t->s, too_long);
    else if (result == LINE_BAD)
        session_say(t->s, REPLY_BAD_LINE);
    else if (result == LINE_BARE && !line->len) /* `echo | openssl s_client` */
        session_say_kindly(t->s, REPLY_BAD_LINE, *line);
    else if (result == LINE_BARE && !may_be_bare(t->s, *line))
        session_say(t->s, REPLY_BAD_LINE);
    else
        return LINE_WHOLE;
    return result;
}

static void read_command(struct turn *t)
{
    struct span line;
    enum line_result result;

    if (t->s->state == STATE_FRESH && !(t->s->flags & SMTP_TLS_ON) && smtp_is_tls(t->in)) {
        t->in = span_after(t->in, t->in.len);
        refuse_protocol(t->s, REPLY_NO_TLS_YET);
        return;
    }
    result = session_line(t, SMTP_LINE_MAX, REPLY_LINE_TOO_LONG, &line);
    if (result == LINE_WHOLE)
        run_command(t, line);
    else if (result != LINE_MORE)
        session_count_junk(t, SMTP_JUNK_STEPS);
}

static void read_octets(struct turn *t)
{
    static void (*const readers[READ_COUNT])(struct turn *) = {
        [READ_COMMAND] = read_command,
        [READ_AUTH] = session_read_auth,
        [READ_DATA] = session_read_data,
        [READ_CHUNK] = session_read_chunk,
    };
    readers[t->s->reading](t);
}

static void tell(struct turn *t)
{
    t->s->wait = WAIT_SENT;
    t->step->reply = pending_reply(t->s, t->service);
    t->want = SMTP_REPLY;
}

/* The reply has been sent: does what follows it. */
static void sent(struct turn *t)
{
    struct smtp_session *s = t->s;
    if (s->repeats > 1) {
        s->repeats--;
        s->wait = WAIT_TELL;
        return;
    }
    s->repeats = 0;
    /* After a prompt the note is LOGIN's user name, or not needed any more. */
    if (s->pending.id != REPLY_AUTH_PROMPT)
        envelope_drop_note(&s->envelope);
    if (s->after == AFTER_END) {
        s->wait = WAIT_END;
    } else if (s->after == AFTER_TLS) {
        s->wait = WAIT_TLS;
        t->in = span_after(t->in, t->in.len);
        t->want = SMTP_START_TLS;
    } else {
        s->wait = WAIT_NOTHING;
    }
    s->after = AFTER_NOTHING;
}

static void need_answer(struct turn *t)
{
    t->want = SMTP_INPUT;
}

static void end(struct turn *t)
{
    t->want = SMTP_END;
}

static void go_round(struct turn *t)
{
    static void (*const waits[WAIT_COUNT])(struct turn *) = {
        [WAIT_NOTHING] = read_octets,
        [WAIT_TELL] = tell,
        [WAIT_SENT] = sent,
        [WAIT_RECIPIENT] = need_answer,
        [WAIT_PASSWORD] = need_answer,
        [WAIT_SCRAM] = need_answer,
        [WAIT_TLS] = need_answer,
        [WAIT_SPOOL] = session_message_begun,
        [WAIT_WHOLE] = session_message_whole,
        [WAIT_MESSAGE] = need_answer,
        [WAIT_END] = end,
    };
    if (t->s->flags & SMTP_VOID_DUE) {
        t->s->flags &= ~(SMTP_VOID_DUE | SMTP_SPOOL);
        t->want = SMTP_MESSAGE_VOID;
        return;
    }
    waits[t->s->wait](t);
}

enum smtp_want smtp_step(struct smtp_session *s, const struct smtp_service *service, struct span in,
                         size_t *used, struct smtp_step *step)
{
    struct turn t = {.s = s, .service = service, .in = in, .step = step, .want = GO_ON};
    while (t.want == GO_ON)
        go_round(&t);
    *used = in.len - t.in.len;
    return (enum smtp_want)t.want;
}

void smtp_start(struct smtp_session *s, bool local)
{
    *s = (struct smtp_session){.flags = local ? SMTP_LOCAL : 0, .state = STATE_FRESH};
    session_say(s, REPLY_GREETING);
}

void smtp_mend(struct smtp_session *s)
{
    s->flags |= SMTP_MENDS;
}

bool smtp_reply_again(const struct smtp_session *s, const struct smtp_service *service,
                      struct reply *reply)
{
    if (s->wait != WAIT_SENT)
        return false;
    *reply = pending_reply(s, service);
    return true;
}

void smtp_shut(struct smtp_session *s, enum reply_id id)
{
    if (s->wait == WAIT_END)
        return;
    session_reset(s);
    s->mechanism = MECHANISM_NONE;
    s->repeats = 0;
    session_say(s, id);
    s->after = AFTER_END;
}

bool smtp_in_data(const struct smtp_session *s)
{
    return s->reading == READ_DATA || s->reading == READ_CHUNK || s->state == STATE_CHUNKS;
}

size_t smtp_octets_due(const struct smtp_session *s)
{
    return s->reading == READ_DATA ? SIZE_MAX : s->reading == READ_CHUNK ? s->chunk_left : 0;
}

bool smtp_in_long_line(const struct smtp_session *s)
{
    return s->flags & SMTP_SWALLOW;
}

void smtp_fit(struct smtp_session *s)
{
    envelope_fit(&s->envelope);
}

void smtp_free(struct smtp_session *s)
{
    envelope_free(&s->envelope);
}
