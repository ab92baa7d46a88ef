/* DATA and BDAT: a message's octets from the client to the caller's spool.
 *
 * Octets are never copied: step.body points into the input. If a message is refused while it is
 * read (SMTP_DATA_VOID), its spool is freed at once, the rest is read and dropped, and the reply is
 * sent at its end. A chunk is read even if its BDAT is refused (RFC 3030), because its octets would
 * otherwise be read as commands. Chunks are turned into the form of DATA: dots stuffed, CRLF at the
 * end. See session.c for how handlers are called. */
#include "smtp/session_part.h"
#include "smtp/text.h"

void session_data(struct turn *t, struct span arg)
{
    t->s->wait = WAIT_SPOOL;
    t->s->flags |= SMTP_SPOOL;
    t->want = SMTP_MESSAGE;
}

/* The caller has made a spool, or has said that it cannot. */
void session_message_begun(struct turn *t)
{
    struct smtp_session *s = t->s;
    s->wait = WAIT_NOTHING;
    s->size = 0;
    if (s->reading == READ_CHUNK)
        return; /* a chunk is read even without a spool */
    if (s->flags & SMTP_DATA_VOID) {
        s->flags &= ~SMTP_DATA_VOID;
        session_say(s, (enum reply_id)s->refusal);
        return;
    }
    s->reading = READ_DATA;
    s->data.allow_nul = t->service->allow_nul;
    session_say(s, REPLY_START_INPUT);
}

struct reply session_too_large(const struct smtp_session *s, const struct smtp_service *service)
{
    struct reply r = reply_make(REPLY_TOO_LARGE, (struct span){0});
    if (s->size <= service->size_free)
        r.offence = OFFENCE_NONE;
    return r;
}

/* Why the current message is refused. */
static struct reply refusal(const struct turn *t)
{
    return t->s->refusal == REPLY_TOO_LARGE
               ? session_too_large(t->s, t->service)
               : reply_make((enum reply_id)t->s->refusal, (struct span){0});
}

void session_message_whole(struct turn *t)
{
    struct smtp_session *s = t->s;
    if (s->flags & SMTP_DATA_VOID) {
        struct reply r = refusal(t);
        session_message_over(s, &r);
        return;
    }
    s->flags &= ~SMTP_SPOOL;
    s->wait = WAIT_MESSAGE;
    t->want = SMTP_MESSAGE_END;
}

/* Counts octets that have been read, and refuses the message if they are too many or bad. All
 * octets are checked, even after the spool has failed: a fault of the message takes precedence over
 * a lack of ours, so that the reply does not depend on how TCP has split the octets. */
static void judge(struct turn *t, size_t octets)
{
    struct smtp_session *s = t->s;
    s->size = octets < UINT32_MAX - s->size ? s->size + (uint32_t)octets : UINT32_MAX;
    if (s->data.bad)
        session_void(s, s->data.nul ? REPLY_NUL_DATA : REPLY_BAD_DATA);
    else if (t->service->size_max && s->size > t->service->size_max)
        session_void(s, REPLY_TOO_LARGE);
}

/* Ends the session of a client that goes on sending a message which is refused. */
static bool gives_up(struct turn *t)
{
    struct smtp_session *s = t->s;
    if (!(s->flags & SMTP_DATA_VOID) || !session_is_endless(t, s->size))
        return false;
    struct reply r = refusal(t);
    session_message_over(s, &r);
    session_end_junk(s);
    return true;
}

/* Passes `body` to the caller, unless the message is refused. */
static void pass(struct turn *t, struct span body)
{
    if (t->s->flags & SMTP_DATA_VOID || !body.len)
        return;
    t->step->body = body;
    t->want = SMTP_BODY;
}

void session_read_data(struct turn *t)
{
    struct smtp_session *s = t->s;
    struct span in = t->in;
    struct data_found found;
    enum data_result result = data_scan(&s->data, in, &found);
    t->in = span_after(in, found.used);
    if (result == DATA_END) {
        s->reading = READ_COMMAND;
        s->wait = WAIT_WHOLE;
    } else if (!found.used) {
        t->want = SMTP_INPUT;
        return;
    }
    judge(t, found.body - found.dots);
    if (result == DATA_END || !gives_up(t))
        pass(t, span_first(in, found.body));
}

/* <size> ["LAST"] */
static bool chunk_parse(struct span arg, uint32_t *size, bool *last)
{
    struct span number = text_word(&arg);
    uint64_t octets;
    *last = span_equal_fold(arg, SPAN("LAST"));
    if (!span_number(number, &octets) || octets > UINT32_MAX || (arg.len && !*last))
        return false;
    *size = (uint32_t)octets;
    return true;
}

/* Begins to read a chunk. If its size is not known (or is above 4 GiB, and so above any size_max),
 * its octets cannot be told from commands, and the connection ends. */
static bool chunk_begin(struct turn *t, struct span arg)
{
    struct smtp_session *s = t->s;
    bool last;
    if (!chunk_parse(arg, &s->chunk_left, &last)) {
        session_reset(s);
        session_say_with(s, REPLY_BAD_ARGUMENT, SPAN("BDAT size [LAST]"));
        s->after = AFTER_END;
        return false;
    }
    s->reading = READ_CHUNK;
    s->flags = (uint16_t)((s->flags & ~SMTP_CHUNK_LAST) | (last ? SMTP_CHUNK_LAST : 0));
    return true;
}

void session_refuse_chunk(struct turn *t, struct span arg)
{
    struct smtp_session *s = t->s;
    if (!chunk_begin(t, arg))
        return;
    if (session_is_endless(t, s->chunk_left)) {
        s->reading = READ_COMMAND;
        session_end_junk(s);
        return;
    }
    s->wait = WAIT_NOTHING;
    s->flags |= SMTP_DATA_VOID;
    session_count_vain(s, 0, s->chunk_left);
}

void session_bdat(struct turn *t, struct span arg)
{
    struct smtp_session *s = t->s;
    if (t->service->no_chunking) {
        session_say(s, REPLY_UNKNOWN_COMMAND);
        session_refuse_chunk(t, arg);
        return;
    }
    if (!chunk_begin(t, arg))
        return;
    bool is_empty = !s->chunk_left && !(s->flags & SMTP_CHUNK_LAST);
    if ((is_empty && !session_count_within(t, SMTP_JUNK_STEPS)) || s->state == STATE_CHUNKS)
        return;
    s->state = STATE_CHUNKS;
    s->data.allow_nul = t->service->allow_nul;
    s->data.mend = (s->flags & SMTP_MENDS) != 0;
    s->wait = WAIT_SPOOL;
    s->flags |= SMTP_SPOOL;
    t->want = SMTP_MESSAGE;
}

/* A refused chunk has been read. If it belongs to a message, it ends or breaks that message;
 * otherwise the reply to it is waiting. */
static void chunk_refused(struct turn *t)
{
    struct smtp_session *s = t->s;
    if (s->state != STATE_CHUNKS) {
        s->flags &= ~SMTP_DATA_VOID;
        s->wait = WAIT_TELL;
    } else if (s->flags & SMTP_CHUNK_LAST) {
        s->wait = WAIT_WHOLE;
    } else {
        s->flags &= ~SMTP_DATA_VOID;
        s->state = STATE_BROKEN;
        struct reply r = refusal(t);
        session_count_vain(s, 0, s->size);
        session_tell(s, &r);
    }
}

/* The message is complete. Its last line gets a CRLF if it lacks one, because the relay sends it
 * with DATA. */
static void last_chunk_taken(struct turn *t)
{
    struct smtp_session *s = t->s;
    bool unended = data_chunks_end(&s->data);
    judge(t, 0);
    s->wait = WAIT_WHOLE;
    if (unended)
        pass(t, SPAN("\r\n"));
}

/* Line ends are checked over all chunks, and a bad message is refused once. */
static void chunk_end(struct turn *t)
{
    struct smtp_session *s = t->s;
    s->reading = READ_COMMAND;
    if (s->flags & SMTP_DATA_VOID && !s->data.bad)
        chunk_refused(t);
    else if (!(s->flags & SMTP_CHUNK_LAST))
        session_say(s, REPLY_CHUNK_OK);
    else if (s->data.bad)
        s->wait = WAIT_WHOLE;
    else
        last_chunk_taken(t);
}

static void scan_chunk(struct turn *t, struct span in)
{
    struct smtp_session *s = t->s;
    size_t n = data_scan_chunk(&s->data, in);
    t->in = span_after(t->in, n);
    s->chunk_left -= (uint32_t)n;
    judge(t, n);
    if (!gives_up(t))
        pass(t, n ? span_first(in, n) : data_chunk_owes(&s->data));
}

void session_read_chunk(struct turn *t)
{
    struct smtp_session *s = t->s;
    struct span in = s->chunk_left < t->in.len ? span_first(t->in, (size_t)s->chunk_left) : t->in;
    if (!s->chunk_left) {
        chunk_end(t);
    } else if (!in.len) {
        t->want = SMTP_INPUT;
    } else if (s->state != STATE_CHUNKS) { /* the whole chunk is refused, and counted */
        s->chunk_left -= (uint32_t)in.len;
        t->in = span_after(t->in, in.len);
    } else {
        scan_chunk(t, in);
    }
}

void smtp_message_is(struct smtp_session *s, const struct reply *reply)
{
    if (s->wait != WAIT_MESSAGE)
        return;
    session_message_over(s, reply);
}

void smtp_message_next(struct smtp_session *s, const struct reply *reply)
{
    if (s->wait != WAIT_SENT || s->repeats < 2)
        return;
    s->repeats--;
    if (reply->code < 300)
        s->junk = 0;
    session_tell(s, reply);
}

void smtp_body_failed(struct smtp_session *s)
{
    bool reading = smtp_in_data(s) || s->wait == WAIT_SPOOL || s->wait == WAIT_WHOLE;
    if (reading && !(s->flags & SMTP_DATA_VOID))
        session_void(s, REPLY_NO_SPACE);
}
