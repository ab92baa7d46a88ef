/* A client's octets against a whole session, three times: at once, in random pieces, and with each
 * reply held frozen. What is said, asked and spooled must be the same each time (but STARTTLS,
 * which asks what has come along with it), and what was spooled must be fit to be sent on by DATA.
 *
 * The first two octets say what the service offers, the third seeds the pieces. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "dialogue.h"
#include "naive.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3 };

static void begin(struct dialogue *t, const uint8_t *head, bool tls)
{
    dialogue_open(t);
    t->service.tls = tls;
    t->service.auth = head[0] & 2 ? SMTP_AUTH_ALL : 0;
    t->service.submission = head[0] & 4;
    t->service.lmtp = head[0] & 8;
    t->service.again = t->service.lmtp && head[2] & 4;
    t->service.auth_plain_from_afar = head[0] & 16;
    t->service.offer = head[0] >> 5;
    t->service.size_max = head[1] & 1 ? 0 : 64;
    t->service.recipients_max = head[1] & 2 ? 3 : 1000;
    t->service.mails_max = head[1] & 128 ? 2 : 0;
    t->service.junk_max = head[2] & 1 ? 4 : 0;
    t->service.no_chunking = (head[1] & 12) == 8;
    t->no_spool = (head[1] & 12) == 12;
    t->spool_room = head[1] & 16 ? 32 : SIZE_MAX;
    if (head[1] & 32)
        t->verdict = reply_make(REPLY_NO_RELAY, SPAN("x\r\ny"));
    if (head[2] & 2)
        t->other = reply_make(REPLY_NO_SPACE, (struct span){0});
    dialogue_restart(t, head[1] & 64);
    if ((head[1] & 12) == 4)
        smtp_mend(&t->session);
}

static void send_in_pieces(struct dialogue *t, struct span octets, uint32_t seed)
{
    while (octets.len) {
        seed = seed * 1664525 + 1013904223;
        struct span some = span_first(octets, seed >> 28 ? (seed >> 28) : 100);
        dialogue_send(t, some, 0);
        octets = span_after(octets, some.len);
    }
}

/* Replies one by one: each line of the form that it must have. */
static void check_replies(struct span replies)
{
    while (replies.len) {
        size_t end = 0;
        bool more = true;
        while (more) {
            struct span line = span_after(replies, end);
            size_t lf = span_find(line, '\n');
            assert(lf >= 5 && lf < line.len);
            more = line.at[3] == '-';
            end += lf + 1;
        }
        assert(!wire_fault(span_first(replies, end)));
        replies = span_after(replies, end);
    }
}

static void check_body(const struct dialogue *t)
{
    struct buf all = {0};
    struct scanned s;
    if (t->spool_open || !t->body.len)
        return;
    assert(!buf_add_span(&all, buf_span(&t->body)) && !buf_add_span(&all, SPAN(".\r\n")));
    naive_scan(buf_span(&all), &s);
    assert(s.ended && s.body == t->body.len && !s.bad);
    buf_free(&all);
}

static void check_same(const struct dialogue *a, const struct dialogue *b)
{
    assert(span_equal(buf_span(&a->replies), buf_span(&b->replies)));
    assert(span_equal(buf_span(&a->asked), buf_span(&b->asked)));
    assert(a->spool_open || b->spool_open || span_equal(buf_span(&a->body), buf_span(&b->body)));
    assert(a->ended == b->ended && a->offences == b->offences);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dialogue whole, pieces, frozen;
    if (size < HEAD)
        return 0;
    struct span octets = {(const char *)data + HEAD, size - HEAD};
    bool tls = data[0] & 1;

    begin(&whole, data, tls);
    dialogue_send(&whole, octets, 0);
    check_replies(buf_span(&whole.replies));
    check_body(&whole);

    begin(&pieces, data, tls);
    send_in_pieces(&pieces, octets, data[2]);
    check_replies(buf_span(&pieces.replies));
    check_body(&pieces);
    if (!tls)
        check_same(&whole, &pieces);

    begin(&frozen, data, tls);
    frozen.freeze = true;
    dialogue_send(&frozen, octets, 0);
    if (!frozen.service.mails_max) /* a record counts MAIL commands in steps */
        check_same(&whole, &frozen);

    smtp_shut(&whole.session, REPLY_SHUTDOWN);
    dialogue_go_on(&whole);
    assert(whole.ended && !whole.spool_open);
    dialogue_close(&whole);
    dialogue_close(&pieces);
    dialogue_close(&frozen);
    return 0;
}
