/* Writes a session as a compact record, and restores it (frozen holds).
 *
 * The record is written and read on the same machine, but perhaps by another version of the
 * program. So it has the version of its layout, the length of the reply table (because it refers to
 * rows of that table) and a check against damage, and thawing validates every field. Only a session
 * that needs nothing but time can be frozen. */
#include <errno.h>
#include <string.h>

#include "smtp/session_part.h"

/* A mired from before VERSION_STEPS takes the whole of `code` for a reply code. So a record has this
 * version if it has anything there but the code, and such a mired drops it: when the release that
 * wrote it is rolled back, an abusive client loses its connection instead of hearing a wrong code. A
 * count that fits the older layout is written in that. It is not cut off to fit: a client that is
 * frozen again and again would never meet the limit. */
enum { VERSION = 4, VERSION_STEPS = 5 };

/* The length of the reply table before its last row was added, which changed no other row: records
 * from then can be read. */
enum { REPLIES_BEFORE = REPLY_TOO_MANY_COMMANDS };

/* The record counts MAIL commands in steps, rounded down: a thawed session may have a few more. */
enum { MAILS_STEP = 256 };

/* No code needs more. */
enum { CODE_BITS = 10 };

struct record {
    uint32_t check; /* over everything after it, envelope included */
    uint32_t block; /* octets of the envelope, which follows this */
    uint16_t version, replies;
    uint16_t flags, repeats;
    uint16_t id, code;
    uint8_t enhanced[3], offence;
    /* The junk count is in bits that were 0 before there was one, and in those of `code` from
     * CODE_BITS on. */
    uint8_t state : 4, junk_low : 4, wait : 4, junk_high : 4, after : 4, offered : 4, mails;
};

static_assert(sizeof(struct record) == 28, "a frozen hold is 256 octets in all");

/* Flags that a session may be frozen with. */
enum {
    FLAGS = SMTP_ESMTP | SMTP_AUTHENTICATED | SMTP_TLS_ON | SMTP_LOCAL | SMTP_NULL_SENDER |
            SMTP_UTF8 | SMTP_8BIT | SMTP_LMTP | SMTP_SWALLOW | SMTP_TRIED | SMTP_TLS_BINDS |
            SMTP_MENDS
};

/* FNV-1a: finds damage, not forgery. */
static uint32_t check_of(uint32_t sum, const void *octets, size_t n)
{
    const uint8_t *o = octets;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ o[i]) * 16777619u;
    return sum;
}

static uint32_t check(const struct record *r, struct span block)
{
    const size_t skip = sizeof r->check;
    uint32_t sum = check_of(2166136261u, (const char *)r + skip, sizeof *r - skip);
    return check_of(sum, block.at, block.len);
}

/* Whether the session next needs time or input; used for sessions and for records. */
static bool is_at_rest(uint16_t flags, uint8_t state, uint8_t wait)
{
    return !(flags & ~FLAGS) && state < STATE_COUNT && state != STATE_CHUNKS &&
           (wait == WAIT_NOTHING || wait == WAIT_TELL || wait == WAIT_SENT);
}

int session_freeze(const struct smtp_session *s, struct buf *out)
{
    if (!is_at_rest(s->flags, s->state, s->wait) || s->reading != READ_COMMAND ||
        s->mechanism != MECHANISM_NONE)
        return -EBUSY;
    struct span block = envelope_block(&s->envelope);
    unsigned steps_high = s->junk >> 8;
    struct record r = {.block = (uint32_t)block.len,
                       .version = steps_high ? VERSION_STEPS : VERSION,
                       .replies = REPLY_COUNT,
                       .flags = s->flags,
                       .repeats = s->repeats,
                       .id = s->pending.id,
                       .code = (uint16_t)(s->pending.code | steps_high << CODE_BITS),
                       .offence = s->pending.offence,
                       .state = s->state,
                       .wait = s->wait,
                       .junk_low = s->junk & 15,
                       .junk_high = s->junk >> 4 & 15,
                       .after = s->after,
                       .offered = s->offered,
                       .mails = (uint8_t)(s->mails / MAILS_STEP)};
    memcpy(r.enhanced, s->pending.enhanced, sizeof r.enhanced);
    r.check = check(&r, block);
    if (!buf_room(out, sizeof r + block.len))
        return -ENOMEM;
    return buf_add(out, &r, sizeof r) || buf_add_span(out, block) ? -ENOMEM : 0;
}

/* Whether the reply that waits, if there is one, is one that a client can be told. */
static bool is_reply(const struct record *r)
{
    unsigned code = r->code & ((1 << CODE_BITS) - 1);
    return r->wait == WAIT_NOTHING || (code >= 200 && code <= 599);
}

static bool is_sound(const struct record *r, struct span block)
{
    return (r->version == VERSION || r->version == VERSION_STEPS) &&
           (r->replies == REPLY_COUNT || r->replies == REPLIES_BEFORE) && r->block == block.len &&
           r->check == check(r, block) && is_at_rest(r->flags, r->state, r->wait) && is_reply(r) &&
           r->id < r->replies && r->offence < OFFENCE_COUNT && r->after < AFTER_COUNT &&
           r->repeats <= ENVELOPE_RECIPIENTS_MAX;
}

/* Whether the envelope has what the state requires. */
static bool fits(const struct envelope *e, uint8_t state)
{
    if (state == STATE_SENDER)
        return envelope_has_sender(e) && !envelope_recipients(e);
    if (state == STATE_RECIPIENTS || state == STATE_BROKEN)
        return envelope_has_sender(e) && envelope_recipients(e);
    return !envelope_has_sender(e) && !envelope_recipients(e);
}

int session_thaw(struct smtp_session *s, struct span record)
{
    struct record r;
    *s = (struct smtp_session){0};
    if (record.len < sizeof r)
        return -EBADMSG;
    memcpy(&r, record.at, sizeof r);
    struct span block = span_after(record, sizeof r);
    if (!is_sound(&r, block))
        return -EBADMSG;
    int result = envelope_from_block(&s->envelope, block);
    if (!result && !fits(&s->envelope, r.state)) {
        envelope_free(&s->envelope);
        result = -EBADMSG;
    }
    if (result)
        return result;
    s->pending.id = r.id;
    s->pending.code = r.code & ((1 << CODE_BITS) - 1);
    memcpy(s->pending.enhanced, r.enhanced, sizeof r.enhanced);
    s->pending.offence = r.offence;
    s->flags = r.flags;
    s->repeats = r.repeats;
    s->state = r.state;
    s->offered = r.offered & SMTP_OFFER_ALL;
    s->wait = r.wait;
    s->after = r.after;
    s->mails = (uint16_t)(r.mails * MAILS_STEP);
    s->junk = (uint16_t)(r.code >> CODE_BITS << 8 | r.junk_high << 4 | r.junk_low);
    return 0;
}
