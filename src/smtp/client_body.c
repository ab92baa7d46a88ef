/* How a message goes to a backend (client_part.h): with DATA, or with BDAT (RFC 3030), and what the
 * replies to either come to. client.h says when BDAT is used. */
#include "smtp/client_part.h"

/* ---- BDAT ---- */

bool outbound_may_chunk(const struct outbound *o)
{
    return o->chunks && o->ability.caps & CAP_CHUNKING && !o->job->by_data && o->job->header.len;
}

/* The rest of the message is the last chunk. The caller sends it, and it needs no final dot. */
static void begin_last_chunk(struct outbound *o)
{
    bool failed = buf_add_span(&o->out, SPAN("BDAT ")) ||
                  buf_add_number(&o->out, o->job->size - o->ahead, 1) ||
                  buf_add_span(&o->out, SPAN(" LAST\r\n"));

    o->state = failed ? OUTBOUND_DEAD : OUTBOUND_BODY;
}

/* The header cannot be taken for commands: "Received:" is none, and its other lines begin with a
 * tab or are empty. An empty chunk would not do: Postfix answers it with 551 and Exim with 504. */
static void begin_first_chunk(struct outbound *o)
{
    struct span header = o->job->header;
    bool failed = buf_add_span(&o->out, SPAN("BDAT ")) || buf_add_number(&o->out, header.len, 1) ||
                  buf_add_span(&o->out, SPAN("\r\n")) || buf_add_span(&o->out, header);

    o->ahead = (uint32_t)header.len;
    o->state = failed ? OUTBOUND_DEAD : OUTBOUND_CHUNK;
}

void outbound_begin_chunks(struct outbound *o)
{
    if (o->chunks_work)
        begin_last_chunk(o);
    else
        begin_first_chunk(o);
}

static void refuse_chunks(struct outbound *o, const struct reply *r)
{
    o->chunks_refused = true;
    o->job->sent = false; /* it has refused what was sent */
    outbound_refused(o, STAGE_DATA, r);
}

/* No reply to the header alone is about the message. If it is not the expected one, DATA decides. */
void outbound_on_chunk(struct outbound *o, const struct reply *r)
{
    if (r->code >= 300) {
        refuse_chunks(o, r);
        return;
    }
    o->chunks_work = true;
    begin_last_chunk(o);
}

/* The reply to the last chunk is about the command, not about the message. */
static bool is_about_bdat(const struct outbound *o, const struct reply *r)
{
    return o->chunked && r->code >= 500 && r->code <= 504;
}

/* ---- DATA, and the message ---- */

/* The next recipient whose RCPT was accepted. */
static uint32_t next_taken(const struct job *j, uint32_t n)
{
    while (n < j->recipients && j->recipient[n].fate != FATE_TAKEN)
        n++;
    return n;
}

static enum fate fate_by(const struct reply *r)
{
    return r->code < 300 ? FATE_DONE : r->code < 500 ? FATE_LATER : FATE_REFUSED;
}

/* The reply is about the message for those whose RCPT was accepted. The others have had a reply of
 * their own: a refusal is none of one whose RCPT was deferred. False: there was no memory. */
static bool answer_taken(struct job *j, const struct reply *r)
{
    enum fate fate = fate_by(r);
    bool kept = true;

    for (uint32_t i = next_taken(j, 0); i < j->recipients; i = next_taken(j, i + 1)) {
        j->recipient[i].fate = (uint8_t)fate;
        if (fate != FATE_DONE)
            kept = kept_set(&j->recipient[i].reply, r) == 0 && kept;
    }
    return kept;
}

void outbound_on_data(struct outbound *o, struct reply *r)
{
    if (r->code == 354 && o->go) {
        o->state = OUTBOUND_BODY;
    } else if (r->code == 354) { /* only closing the connection helps */
        outbound_over(o);
        outbound_die(o);
    } else if (!o->go) {
        outbound_over_and_reset(o);
    } else if (r->code < 400) {
        outbound_refused(o, STAGE_DATA, r);
    } else if (outbound_translate(o, STAGE_DATA, r) || !answer_taken(o->job, r)) {
        outbound_die(o);
    } else {
        outbound_over_and_reset(o);
    }
}

/* A reply in the middle of the message, for example because it is too large. The transfer can be
 * stopped only by closing the connection. */
void outbound_on_body(struct outbound *o, struct reply *r)
{
    bool refusal = r->code >= 400;

    if (!outbound_translate(o, STAGE_MESSAGE, r) && refusal && answer_taken(o->job, r))
        outbound_over(o);
    outbound_die(o);
}

void outbound_sent(struct outbound *o)
{
    o->job->sent = true;
    o->at = next_taken(o->job, 0);
    o->state = OUTBOUND_FINAL;
}

/* If the reply is not one to the final dot, or if the backend ends the connection with it, the next
 * message gets another connection. In LMTP the replies after such a one cannot be assigned: each
 * would count for the wrong recipient. */
void outbound_on_final(struct outbound *o, struct reply *r)
{
    struct job *j = o->job;
    bool stray = r->code >= 300 && r->code < 400, going = r->code == 421 || stray;

    if (stray && o->lmtp) {
        outbound_die(o);
        return;
    }
    if (is_about_bdat(o, r)) {
        if (!o->lmtp) {
            refuse_chunks(o, r);
            return;
        }
        o->chunks_refused = true; /* others may have the message: the client tries again */
    }
    outbound_translate(o, STAGE_MESSAGE, r);
    enum fate fate = fate_by(r);

    if (kept_set(&j->whole, r) < 0) {
        outbound_die(o);
        return;
    }
    if (!o->lmtp) {
        answer_taken(j, r); /* without memory they hear 451 */
    } else {
        j->recipient[o->at].fate = (uint8_t)fate;
        if (fate != FATE_DONE)
            kept_set(&j->recipient[o->at].reply, r);
        o->at = next_taken(j, o->at);
        if (o->at < j->recipients)
            return;
    }
    outbound_over(o);
    o->state = going ? OUTBOUND_DEAD : OUTBOUND_IDLE;
}
