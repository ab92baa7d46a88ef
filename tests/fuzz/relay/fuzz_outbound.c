/* Whatever a backend says, in whatever pieces: the hand-over ends in one of its states, never says
 * more than an envelope and a few words, and no message counts as delivered before its final dot
 * was sent. Where the backend offers CHUNKING, the message goes with BDAT. The first octet picks LMTP, whether DSN is
 * needed, with both whether the message has come before, XCLIENT and XFORWARD, and the size of the pieces. */
#include <assert.h>
#include <stdint.h>

#include "smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECIPIENTS = 3 };

static void go_on(struct outbound *o, struct job *job, bool *begun)
{
    static bool named; /* the job began with XCLIENT */

    if (o->state == OUTBOUND_IDLE && !*begun) {
        assert(outbound_begin(o, job) == 0);
        *begun = true;
        named = o->state == OUTBOUND_XCLIENT;
    } else if (o->state == OUTBOUND_BODY) {
        outbound_sent(o);
    }
    for (int i = 0; i < RECIPIENTS; i++)
        assert(job->recipient[i].fate != FATE_DONE || job->sent);
    /* if BDAT is refused and the job goes again, nobody has the message */
    assert(!o->chunks_refused || o->over || o->state != OUTBOUND_DEAD || !job->sent || o->lmtp);
    /* no client's message goes in mired's own name where the backend was to know the client */
    assert(!*begun || !named || o->as_client || o->state <= OUTBOUND_XHELLO ||
           o->state == OUTBOUND_DEAD);
    assert(o->out.len < 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job_recipient recipient[RECIPIENTS] = {0};
    struct envelope envelope = {0};
    struct outbound o;
    bool begun = false;

    if (size < 1)
        return 0;
    envelope_set_sender(&envelope, SPAN("a@b.test"),
                        data[0] & 2 ? SPAN("RET=HDRS") : (struct span){0});
    for (int i = 0; i < RECIPIENTS; i++)
        envelope_add_recipient(&envelope, SPAN("x@example.test"), (struct span){0});
    struct job job = {.envelope = &envelope,
                      .header = SPAN("Received: x\r\n"),
                      .size = 100,
                      .again = (data[0] & 3) == 3,
                      .who = {.client = {.family = ADDR_IP4, .octets = {192, 0, 2, 7}},
                              .helo = SPAN("client.test"),
                              .esmtp = true},
                      .recipient = recipient,
                      .recipients = RECIPIENTS};
    outbound_start(&o, data[0] & 1, "mired.test", data[0] & 128 ? CAP_XCLIENT | CAP_XFORWARD : 0);
    o.chunks = true;
    size_t piece = 1 + (data[0] >> 2 & 31);
    for (size_t at = 1; at < size && o.state != OUTBOUND_DEAD && !o.over; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        outbound_input(&o, (struct span){(const char *)data + at, n});
        go_on(&o, &job, &begun);
    }
    outbound_free(&o);
    for (int i = 0; i < RECIPIENTS; i++)
        kept_free(&recipient[i].reply);
    kept_free(&job.whole);
    envelope_free(&envelope);
    return 0;
}
