#include "dialogue.h"

#include <assert.h>
#include <string.h>

bool dialogue_in_session;

static void must(int result)
{
    assert(result == 0);
    (void)result;
}

void dialogue_open(struct dialogue *t)
{
    *t = (struct dialogue){.service = {.hostname = "mx.example.org",
                                       .size_max = 1000000,
                                       .recipients_max = 1000,
                                       .auth = SMTP_AUTH_ALL,
                                       .tls = true,
                                       .offer = SMTP_OFFER_ALL,
                                       .able = SMTP_OFFER_ALL},
                           .verdict = reply_make(REPLY_OK, (struct span){0}),
                           .spool_room = SIZE_MAX};
    dialogue_restart(t, false);
}

void dialogue_restart(struct dialogue *t, bool local)
{
    smtp_free(&t->session);
    smtp_start(&t->session, local);
    t->ended = t->spool_open = false;
    buf_free(&t->input);
    dialogue_go_on(t);
    buf_free(&t->replies);
    buf_free(&t->asked);
}

void dialogue_close(struct dialogue *t)
{
    smtp_free(&t->session);
    buf_free(&t->input);
    buf_free(&t->replies);
    buf_free(&t->asked);
    buf_free(&t->body);
}

static void note(struct dialogue *t, const char *what, struct span arg)
{
    must(buf_addf(&t->asked, "%s", what));
    if (arg.len)
        must(buf_add_span(&t->asked, SPAN(" ")) || buf_add_span(&t->asked, arg));
    must(buf_add_span(&t->asked, SPAN("\n")));
}

static void answer_recipient(struct dialogue *t, const struct smtp_step *step)
{
    static const struct {
        const char *local;
        enum recipient_verdict verdict;
    } known[] = {{"nobody", RECIPIENT_UNKNOWN}, {"foreign", RECIPIENT_RELAYING},
                 {"trap", RECIPIENT_TRAP},      {"down", RECIPIENT_LATER},
                 {"masked", RECIPIENT_MASKED},  {"other", RECIPIENT_OTHER}};
    struct reply other = reply_make(REPLY_OTHER, SPAN("Mailbox full\nfor a week now"));
    enum recipient_verdict verdict = RECIPIENT_TAKE;
    other.code = 552;
    other.enhanced[0] = 5, other.enhanced[1] = 2, other.enhanced[2] = 2;
    other.offence = OFFENCE_BACKEND;

    note(t, "recipient", step->address);
    assert(span_equal(step->address, smtp_asked(&t->session)));
    if (span_equal(step->box.local, SPAN("wait")))
        return;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_equal(step->box.local, span_of(known[i].local)))
            verdict = known[i].verdict;
    dialogue_in_session = true;
    smtp_recipient_is(&t->session, verdict, step->address, &other);
    dialogue_in_session = false;
}

static void answer_password(struct dialogue *t, const struct smtp_step *step)
{
    struct buf login = {0};
    must(buf_addf(&login, "%s %s", step->login.user, step->login.response));
    note(t, "password", buf_span(&login));
    buf_free(&login);
    smtp_password_is(&t->session, !strcmp(step->login.response, "right")   ? PASSWORD_RIGHT
                                  : !strcmp(step->login.response, "later") ? PASSWORD_LATER
                                                                           : PASSWORD_WRONG);
}

/* The first message of "later" is put off, the second is right when its proof is "right". */
static void answer_scram(struct dialogue *t, const struct smtp_step *step)
{
    static const char *const binding[] = {"", " exporter", " end-point"};
    bool first = step->login.user[0];
    bool later = !strcmp(step->login.user, "later");
    struct buf login = {0};
    must(buf_addf(&login, "%s %s%s", first ? step->login.user : "proof", step->login.response,
                  first ? binding[step->login.binding] : ""));
    note(t, "scram", buf_span(&login));
    buf_free(&login);
    if (first)
        smtp_scram_is(&t->session, later ? PASSWORD_LATER : PASSWORD_MORE, SPAN("r=xy,s=eA==,i=1"));
    else if (strstr(step->login.response, ",p=cmlnaHQ="))
        smtp_scram_is(&t->session, PASSWORD_RIGHT, SPAN("v=eA=="));
    else
        smtp_scram_is(&t->session, PASSWORD_WRONG, SPAN(""));
}

static void begin_spool(struct dialogue *t)
{
    note(t, "message", (struct span){0});
    assert(!t->spool_open);
    t->spool_open = true;
    t->answers = false;
    buf_free(&t->body);
    if (t->no_spool)
        smtp_body_failed(&t->session);
}

static void add_body(struct dialogue *t, struct span body)
{
    assert(t->spool_open && body.len);
    if (t->body.len + body.len > t->spool_room)
        smtp_body_failed(&t->session);
    else
        must(buf_add_span(&t->body, body));
}

static void void_spool(struct dialogue *t)
{
    note(t, "void", (struct span){0});
    t->spool_open = false;
    buf_free(&t->body);
}

static void end_spool(struct dialogue *t)
{
    assert(t->spool_open);
    note(t, "end", (struct span){0});
    t->spool_open = t->odd = false;
    t->answers = true;
    dialogue_in_session = true;
    smtp_message_is(&t->session, &t->verdict);
    dialogue_in_session = false;
}

/* Out of the session into a record and back: nothing may be different. */
static void hold_frozen(struct dialogue *t, const struct reply *told)
{
    struct buf record = {0}, before = {0}, after = {0};
    struct reply again;
    if (!session_freeze(&t->session, &record)) {
        must(reply_write(told, &before));
        smtp_free(&t->session);
        must(session_thaw(&t->session, buf_span(&record)));
        bool there = smtp_reply_again(&t->session, &t->service, &again);
        assert(there);
        must(reply_write(&again, &after));
        assert(span_equal(buf_span(&before), buf_span(&after)));
        t->frozen++;
    }
    buf_free(&record);
    buf_free(&before);
    buf_free(&after);
}

static void take_reply(struct dialogue *t, const struct reply *r)
{
    must(reply_write(r, &t->replies));
    t->offences += r->offence != OFFENCE_NONE;
    if (t->freeze)
        hold_frozen(t, r);
    if (t->fit)
        smtp_fit(&t->session);
    if (t->other.code && t->answers) { /* ignored where no recipient waits for a reply */
        t->odd = !t->odd;
        smtp_message_next(&t->session, t->odd ? &t->other : &t->verdict);
    }
}

/* True when the next step needs something new from outside. */
static bool serve(struct dialogue *t, enum smtp_want want, struct smtp_step *step)
{
    switch (want) {
    case SMTP_INPUT: return true;
    case SMTP_REPLY: take_reply(t, &step->reply); break;
    case SMTP_RECIPIENT: answer_recipient(t, step); break;
    case SMTP_PASSWORD: answer_password(t, step); break;
    case SMTP_SCRAM: answer_scram(t, step); break;
    case SMTP_START_TLS:
        note(t, "tls", (struct span){0});
        smtp_tls_is_on(&t->session, !t->tls_12);
        break;
    case SMTP_MESSAGE: begin_spool(t); break;
    case SMTP_BODY: add_body(t, step->body); break;
    case SMTP_MESSAGE_END: end_spool(t); break;
    case SMTP_MESSAGE_VOID: void_spool(t); break;
    case SMTP_END: t->ended = true; return true;
    }
    return false;
}

void dialogue_go_on(struct dialogue *t)
{
    for (bool rest = false; !rest;) {
        struct smtp_step step;
        size_t used = SIZE_MAX;
        struct span in = buf_span(&t->input);
        dialogue_in_session = true;
        enum smtp_want want = smtp_step(&t->session, &t->service, in, &used, &step);
        dialogue_in_session = false;
        assert(used <= in.len);
        rest = serve(t, want, &step);
        buf_drop(&t->input, used);
    }
    assert(t->ended || smtp_asked(&t->session).len || t->input.len <= SMTP_AUTH_LINE_MAX);
}

void dialogue_send(struct dialogue *t, struct span octets, size_t piece)
{
    while (octets.len && !t->ended) {
        struct span some = piece ? span_first(octets, piece) : octets;
        octets = span_after(octets, some.len);
        must(buf_add_span(&t->input, some));
        dialogue_go_on(t);
    }
}
