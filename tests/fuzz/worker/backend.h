/* The backend of fuzz_whole: it says what house.says tells it to, and remembers what it has taken.
 * Before that, each message is read by readers that end lines in other ways than mired does. */
#ifndef MIRED_FUZZ_BACKEND_H
#define MIRED_FUZZ_BACKEND_H

#include "house.h"

/* How servers have been known to read line ends; `nul`: NULs are dropped first. */
static const struct reader {
    bool lf, cr, nul;
} readers[] = {{false, false, false}, {true, false, false}, {false, true, false},
               {true, true, false},   {false, false, true}, {true, true, true}};

/* Where this reader sees the end of the message: the octets up to and with the line ".". */
static inline size_t reader_ends(const struct reader *r, struct span in)
{
    size_t line = 0; /* octets of this line, 3 for more than that */
    bool dot = false;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.at[i];
        size_t end = 0;
        if (c == '\0' && r->nul)
            continue;
        if (c == '\r' && i + 1 < in.len && in.at[i + 1] == '\n')
            end = 2;
        else if ((c == '\n' && r->lf) || (c == '\r' && r->cr))
            end = 1;
        if (end) {
            if (line == 1 && dot)
                return i + end;
            line = 0;
            i += end - 1;
        } else {
            dot = line == 0 && c == '.';
            line = line < 3 ? line + 1 : line;
        }
    }
    return SIZE_MAX;
}

/* The message as it goes to the backend: no reader ends it early, and it is what the client sent. */
static inline void check_message(struct house *h)
{
    struct buf all = {0};

    assert(buf_add_span(&all, buf_span(&h->body)) == 0 && buf_add_span(&all, SPAN(".\r\n")) == 0);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        assert(reader_ends(&readers[i], buf_span(&all)) == all.len);
    buf_free(&all);
    /* BDAT sends the octets of such a message: a dot among them would not be one of its sender. */
    if (h->session.size == h->body.len)
        for (size_t i = 0; i < h->body.len; i++)
            assert(h->body.at[i] != '.' || (i > 0 && h->body.at[i - 1] != '\n'));
    if (!h->sure)
        return;
    if (!h->sent_in_chunks) {
        assert(span_equal(buf_span(&h->sent), buf_span(&h->body)));
        return;
    }
    if (h->mends)
        return;
    char *plain = malloc(h->body.len + 1);
    bool start = true;
    assert(plain);
    size_t len = data_unstuff(&start, buf_span(&h->body), plain);
    assert(len == h->sent.len || len == h->sent.len + 2);
    assert(h->sent.len == 0 || memcmp(plain, h->sent.at, h->sent.len) == 0);
    free(plain);
}

/* ---- what it says ---- */

enum { SAYS_TAKE, SAYS_LATER, SAYS_REFUSE, SAYS_CLOSE, SAYS_COUNT };

static inline struct span backend_word(unsigned says)
{
    static const struct span word[SAYS_COUNT] = {[SAYS_TAKE] = {"250 2.0.0 Ok\r\n", 14},
                                                 [SAYS_LATER] = {"451 4.3.0 Not now\r\n", 19},
                                                 [SAYS_REFUSE] = {"550 5.7.1 Refused\r\n", 19},
                                                 [SAYS_CLOSE] = {"", 0}};

    return word[says % SAYS_COUNT];
}

/* In two bits each: to MAIL, to the first recipient, to the others, to the message. */
static inline unsigned backend_says(const struct house *h, unsigned what)
{
    return h->says >> what * 2 & 3;
}

static inline uint64_t copy_of(const struct job *job, struct span recipient)
{
    return house_hash(house_hash(job->identity->hash, envelope_sender(job->envelope)), recipient);
}

static inline bool backend_has(const struct house *h, uint64_t copy)
{
    for (size_t i = 0; i < h->takens; i++)
        if (h->taken[i] == copy)
            return true;
    return false;
}

static inline void backend_keeps(struct house *h, uint64_t copy)
{
    if (h->takens < HOUSE_TAKEN)
        h->taken[h->takens++] = copy;
}

/* The commands that mired has sent, one reply each; false: it closes. */
static inline bool backend_replies(struct house *h, struct outbound *o, bool accepted[],
                                   uint32_t *rcpts)
{
    const struct span hello =
        SPAN("250-mail\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
             "250 ENHANCEDSTATUSCODES\r\n");
    struct buf said = {0};
    bool closes = false;

    while (o->out.len && !closes) {
        struct span line = span_first(buf_span(&o->out), span_find(buf_span(&o->out), '\n') + 1);
        struct span answer = backend_word(SAYS_TAKE);
        if (span_starts_fold(line, SPAN("EHLO")) || span_starts_fold(line, SPAN("LHLO")))
            answer = hello;
        else if (span_starts_fold(line, SPAN("MAIL")))
            answer = backend_word(backend_says(h, 0));
        else if (span_starts_fold(line, SPAN("RCPT"))) {
            unsigned says = backend_says(h, *rcpts ? 2 : 1);
            accepted[*rcpts] = says == SAYS_TAKE && backend_says(h, 0) == SAYS_TAKE;
            *rcpts += *rcpts < ENVELOPE_RECIPIENTS_MAX;
            answer = backend_word(says);
        } else if (span_starts_fold(line, SPAN("DATA")))
            answer = SPAN("354 go on\r\n");
        closes = answer.len == 0;
        assert(buf_add_span(&said, answer) == 0);
        buf_drop(&o->out, line.len);
    }
    outbound_input(o, buf_span(&said));
    buf_free(&said);
    return !closes;
}

/* The message was sent: one reply, or with LMTP one for each accepted recipient. */
static inline bool backend_answers(struct house *h, struct outbound *o, const struct job *job,
                                   const bool accepted[], const uint32_t place[], uint32_t rcpts,
                                   const uint64_t copies[])
{
    unsigned says = backend_says(h, 3);
    bool first = true;

    for (uint32_t i = 0; i < rcpts; i++) {
        if (!accepted[i] || (!first && !h->lmtp_behind && says != SAYS_TAKE))
            continue;
        /* With LMTP the others hear the next word. */
        unsigned word = h->lmtp_behind && !first ? (says + 1) % SAYS_COUNT : says;
        if (word == SAYS_TAKE)
            backend_keeps(h, copies[place[i]]);
        if (h->lmtp_behind || first) {
            if (word == SAYS_CLOSE)
                return false;
            outbound_input(o, backend_word(word));
        }
        first = false;
    }
    return true;
}

static inline void backend_run(struct house *h, struct outbound *o, struct job *job,
                               const uint64_t copies[])
{
    static bool accepted[ENVELOPE_RECIPIENTS_MAX + 1];
    static uint32_t place[ENVELOPE_RECIPIENTS_MAX + 1];
    uint32_t rcpts = 0, offered = 0;
    bool up = true, begun = false;

    for (uint32_t i = 0; i < job->recipients; i++)
        if (job->recipient[i].fate != FATE_HAS_IT)
            place[offered++] = i;
    outbound_start(o, h->lmtp_behind, "mired.test", 0);
    outbound_input(o, SPAN("220 mail ESMTP\r\n"));
    while (up && !o->over && o->state != OUTBOUND_DEAD) {
        if (o->state == OUTBOUND_IDLE && !begun) {
            begun = outbound_begin(o, job) == 0;
            assert(begun);
        } else if (o->state == OUTBOUND_BODY) {
            outbound_sent(o);
            up = backend_answers(h, o, job, accepted, place, rcpts, copies);
        } else {
            assert(o->out.len > 0); /* else it would wait for ever */
            up = backend_replies(h, o, accepted, &rcpts);
        }
    }
}

/* Hands the message over, and gives the client's reply. */
static inline void backend_take(struct house *h, struct kept_reply *reply)
{
    const struct envelope *e = &h->session.envelope;
    uint32_t count = envelope_recipients(e), accepted = 0, before = 0, i = 0;
    struct job_recipient *recipient = calloc(count + 1, sizeof *recipient);
    uint64_t *copies = calloc(count + 1, sizeof *copies),
             *mailbox = calloc(count + 1, sizeof *mailbox);
    struct envelope_recipient r = {0};
    struct outbound o = {0};
    bool named = h->body.len && memmem(h->body.at, h->body.len, "Message-ID", 10);
    struct job_identity identity = {
        .hash = house_hash(0, buf_span(&h->body)), .named = named, .known = true};
    struct job job = {.envelope = e,
                      .size = h->body.len,
                      .identity = &identity,
                      .recipient = recipient,
                      .recipients = count};

    assert(recipient && copies && mailbox && count > 0);
    while (envelope_next(e, &r)) {
        mailbox[i] = tarpit_mailbox(&h->tarpit, r.address);
        copies[i++] = copy_of(&job, r.address);
    }
    struct outcome_part part = {&job, 0};
    if (outcome_begin(&job, h->partial, h->now)) {
        backend_run(h, &o, &job, copies);
        if (!o.over)
            part.unsettled = REPLY_BACKEND_DOWN;
    }
    struct reply said =
        outcome_end(&part, 1, h->partial, h->now, (struct outcome_client){0}, &accepted, &before);
    assert(kept_set(reply, &said) == 0);
    assert(said.code >= 200 && said.code < 600);
    for (i = 0; i < count && said.code < 300; i++)
        assert(backend_has(h, copies[i])); /* never a 250 without the backend's */
    if (said.code < 300)
        tarpit_good(&h->tarpit, &h->who, mailbox, count, h->now);
    outbound_free(&o);
    for (i = 0; i < count; i++)
        kept_free(&recipient[i].reply);
    kept_free(&job.whole);
    free(recipient);
    free(copies);
    free(mailbox);
}

#endif
