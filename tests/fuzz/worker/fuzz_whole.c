/* Whole sessions in virtual time: clients, the session, the tarpit with its ledger, the hand-over and
 * a backend, as a worker joins them, with a model of what must never happen:
 *
 * - a 2yz to a message that a backend has not taken for each recipient (now, or in an earlier try)
 * - octets behind DATA that any reader, strict or lenient, takes for the end of the message
 * - a message that differs from the one that the client sent
 * - a hold, or a masked verdict, for a client that is exempt or has logged in
 * - a command, a chunk or a message with no reply, or with two
 * - more answers to EHLO and VRFY than SMTP_JUNK_MAX without a message between them, or more
 *   recipients that are looked up and commands out of turn than a transaction may have
 * - a hold beyond POLICY_HOLD_MAX; a session that a frozen hold changes
 *
 * The input is a list of operations: client.h makes what a client sends, backend.h is the backend. */
#include "backend.h"
#include "client.h"
#include "house.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the worker's part ---- */

static void must_not_wait(const struct house *h, const struct tarpit_hold *hold)
{
    assert(hold->ms <= POLICY_HOLD_MAX);
    if (h->who.exempt || h->logged_in)
        assert(hold->ms == 0 && !hold->masked);
}

static void know_sender(struct house *h)
{
    const struct envelope *e = &h->session.envelope;
    struct span sender = envelope_sender(e);

    h->who.sender_known = h->who.null_sender = false;
    h->who.pair = 0;
    if (envelope_has_sender(e))
        tarpit_sender(&h->tarpit, &h->who, span_after(sender, address_sign(sender) + 1));
}

/* Judges a verdict; true: it is masked. */
static bool judge(struct house *h, struct span user, enum offence offence)
{
    bool spared = h->session.flags & SMTP_AUTHENTICATED;

    if (spared)
        return false;
    know_sender(h);
    struct tarpit_permit permit = tarpit_ask(&h->tarpit, &h->who, user, h->now);
    h->hold = permit.hold;
    if (!permit.masked)
        h->hold = tarpit_verdict(&h->tarpit, &h->who, user, &permit, offence, h->now);
    h->hold_set = true;
    return h->hold.masked || permit.masked;
}

static void answer_recipient(struct house *h, const struct smtp_step *step)
{
    static const struct {
        const char *local;
        enum recipient_verdict verdict;
        enum offence offence;
    } known[] = {{"nobody", RECIPIENT_UNKNOWN, OFFENCE_RECIPIENT},
                 {"trap", RECIPIENT_TRAP, OFFENCE_TRAP},
                 {"foreign", RECIPIENT_RELAYING, OFFENCE_RELAY}};
    enum recipient_verdict v = RECIPIENT_TAKE;
    enum offence offence = OFFENCE_NONE;

    h->steps++;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_equal(step->box.local, span_of(known[i].local))) {
            v = known[i].verdict;
            offence = known[i].offence;
        }
    if (span_equal(step->box.local, SPAN("down")))
        v = RECIPIENT_LATER;
    else if (judge(h, (struct span){0}, offence))
        v = RECIPIENT_MASKED;
    smtp_recipient_is(&h->session, v, step->address, NULL);
}

static void answer_password(struct house *h, struct smtp_step *step)
{
    bool right = strcmp(step->login.response, "right") == 0;
    bool masked = judge(h, span_of(step->login.user), right ? OFFENCE_NONE : OFFENCE_AUTH);

    if (masked || !right) {
        smtp_password_is(&h->session, masked ? PASSWORD_LATER : PASSWORD_WRONG);
        return;
    }
    tarpit_logged_in(&h->tarpit, &h->who, &h->peer, span_of(step->login.user), h->now);
    smtp_password_is(&h->session, PASSWORD_RIGHT);
}

static bool is_conversation(const struct reply *r)
{
    return r->id == REPLY_HELO || r->id == REPLY_EHLO || r->id == REPLY_START_TLS ||
           r->id == REPLY_SENDER_OK;
}

static struct tarpit_hold decide(struct house *h, const struct reply *r)
{
    if (h->hold_set) {
        h->hold_set = false;
        return h->hold;
    }
    know_sender(h);
    if (r->offence != OFFENCE_NONE)
        return tarpit_offence(&h->tarpit, &h->who, (enum offence)r->offence, h->now);
    if (r->id == REPLY_GREETING)
        return tarpit_greet(&h->tarpit, &h->who, h->now);
    if (is_conversation(r))
        return tarpit_wait(&h->tarpit, &h->who, h->now);
    return (struct tarpit_hold){0};
}

/* Out of the session into a record and back, as the freezer does. */
static void hold_frozen(struct house *h, const struct reply *told)
{
    struct buf record = {0}, before = {0}, after = {0};
    struct reply again;

    if (session_freeze(&h->session, &record) == 0) {
        assert(reply_write(told, &before) == 0);
        smtp_free(&h->session);
        assert(session_thaw(&h->session, buf_span(&record)) == 0);
        assert(smtp_reply_again(&h->session, &h->service, &again));
        assert(reply_write(&again, &after) == 0);
        assert(span_equal(buf_span(&before), buf_span(&after)));
    }
    buf_free(&record);
    buf_free(&before);
    buf_free(&after);
}

/* The first EHLO, and the first one behind TLS, are not junk. */
static void must_be_bounded(struct house *h, const struct reply *r)
{
    enum { FIRST_HELLOS = 2 };

    h->junk += r->id == REPLY_EHLO || r->id == REPLY_HELO || r->id == REPLY_VRFY;
    assert(h->junk <= (size_t)h->service.junk_max + FIRST_HELLOS);
    h->steps += r->id == REPLY_SEQUENCE || r->id == REPLY_NO_RECIPIENTS;
    assert(h->steps <=
           (size_t)h->service.junk_max * SMTP_JUNK_STEPS * SMTP_JUNK_WITHIN + SMTP_JUNK_REFUSED);
}

static void take_reply(struct house *h, const struct reply *r)
{
    struct tarpit_hold hold = decide(h, r);

    must_not_wait(h, &hold);
    must_be_bounded(h, r);
    h->last_code = r->code;
    h->replies++;
    if (hold.ms) {
        if (hold.freeze)
            hold_frozen(h, r);
        h->now += hold.ms;
    }
    if (h->session.flags & SMTP_AUTHENTICATED)
        h->logged_in = h->who.authenticated = true;
}

static void add_body(struct house *h, struct span body)
{
    assert(h->spool_open);
    if (h->body.len + body.len > h->spool_room)
        smtp_body_failed(&h->session);
    else
        assert(buf_add_span(&h->body, body) == 0);
}

static void hand_over(struct house *h)
{
    struct kept_reply reply = {0};

    assert(h->spool_open);
    h->spool_open = false;
    check_message(h);
    backend_take(h, &reply);
    struct reply r = kept_get(&reply);
    h->taken_2yz += r.code < 300;
    h->steps += SMTP_JUNK_REFUSED;
    if (r.code < 300)
        h->junk = h->steps = 0;
    smtp_message_is(&h->session, &r);
    kept_free(&reply);
}

/* True when the client must send something, or the session has ended. */
static bool serve(struct house *h, enum smtp_want want, struct smtp_step *step)
{
    switch (want) {
    case SMTP_INPUT: return true;
    case SMTP_REPLY: take_reply(h, &step->reply); break;
    case SMTP_RECIPIENT: answer_recipient(h, step); break;
    case SMTP_PASSWORD: answer_password(h, step); break;
    case SMTP_SCRAM: smtp_scram_is(&h->session, PASSWORD_LATER, (struct span){0}); break;
    case SMTP_START_TLS: smtp_tls_is_on(&h->session, true); break;
    case SMTP_MESSAGE:
        assert(!h->spool_open);
        h->spool_open = true;
        buf_free(&h->body);
        break;
    case SMTP_BODY: add_body(h, step->body); break;
    case SMTP_MESSAGE_END: hand_over(h); break;
    case SMTP_MESSAGE_VOID:
        h->spool_open = false;
        buf_free(&h->body);
        break;
    case SMTP_END: h->open = false; return true;
    }
    return false;
}

void house_go_on(struct house *h)
{
    for (bool rest = !h->open; !rest;) {
        struct smtp_step step;
        size_t used = SIZE_MAX;
        struct span in = buf_span(&h->input);
        enum smtp_want want = smtp_step(&h->session, &h->service, in, &used, &step);
        assert(used <= in.len);
        rest = serve(h, want, &step);
        buf_drop(&h->input, used);
    }
    assert(!h->open || h->input.len <= SMTP_AUTH_LINE_MAX);
}

void house_send(struct house *h, struct span octets)
{
    while (octets.len && h->open) {
        struct span some = span_first(octets, h->piece ? h->piece : octets.len);
        octets = span_after(octets, some.len);
        assert(buf_add_span(&h->input, some) == 0);
        house_go_on(h);
    }
}

/* ---- the input ---- */

static void house_open(struct house *h, const uint8_t *head)
{
    *h = (struct house){.service = {.hostname = "mx.example.org",
                                    .size_max = head[0] & 1 ? 0 : 300,
                                    .recipients_max = head[0] & 2 ? 2 : 100,
                                    .mails_max = head[0] & 4 ? 3 : 0,
                                    .junk_max = head[1] & 128 ? 3 : SMTP_JUNK_MAX,
                                    .auth = SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN,
                                    .auth_plain_from_afar = true,
                                    .tls = head[0] & 8,
                                    .offer = SMTP_OFFER_ALL,
                                    .able = SMTP_OFFER_ALL},
                        .lmtp_behind = head[0] & 16,
                        .spool_room = head[0] & 32 ? 64 : SIZE_MAX,
                        .mends = head[0] & 64,
                        .piece = head[1] & 15,
                        .now = UINT64_C(1800000000000)};
    h->tarpit.rules = config_default_rules();
    h->tarpit.rules.greet = head[1] & 16 ? 5000 : 0;
    h->tarpit.rules.pace = !(head[1] & 32);
    h->tarpit.rules.shield = head[1] & 64 ? 4 : h->tarpit.rules.shield;
    if (ledger_open(&h->tarpit.ledger, NULL, 4096) < 0 ||
        partial_open(&h->partial, NULL, UINT64_C(86400000)) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct house h;

    if (size < HOUSE_HEAD || size > 2048)
        return 0;
    house_open(&h, data);
    struct span script = {(const char *)data + HOUSE_HEAD, size - HOUSE_HEAD};
    client_connect(&h, 0);
    while (script.len)
        client_does(&h, &script);
    if (h.open) {
        smtp_shut(&h.session, REPLY_SHUTDOWN);
        house_go_on(&h);
        assert(!h.open && !h.spool_open);
    }
    smtp_free(&h.session);
    buf_free(&h.input);
    buf_free(&h.body);
    buf_free(&h.sent);
    ledger_close(h.tarpit.ledger);
    partial_close(h.partial);
    return 0;
}
