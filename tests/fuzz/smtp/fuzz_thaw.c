/* Whatever stands in the record of a frozen session, whose check is right (the check finds damage; an
 * attacker that has taken over the freezer can write it): it is refused, or it makes a session that
 * freezes to a record of the same content, whose recipients are as many as it says, and that goes on
 * as sessions do: with whole replies, and no message without DATA.
 *
 * The input is a record without its first word, which is the check; with an odd last octet the
 * numbers are set right, too, that every mired of this version writes. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "dialogue.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD = 28, CHECK = 4, RECORD_MAX = 8192 };

/* smtp/session_freeze.c has the layout. */
static void set_right(char *record, size_t size, bool numbers)
{
    uint32_t block = (uint32_t)(size - RECORD), sum = 2166136261u;
    uint16_t versions[] = {4, REPLY_COUNT};

    if (numbers) {
        memcpy(record + 4, &block, sizeof block);
        memcpy(record + 8, versions, sizeof versions);
    }
    for (size_t i = CHECK; i < size; i++)
        sum = (sum ^ (uint8_t)record[i]) * 16777619u;
    memcpy(record, &sum, sizeof sum);
}

static void check_envelope(const struct envelope *e)
{
    struct envelope_recipient r = {.next = 0};
    uint32_t n = 0;

    while (envelope_next(e, &r))
        n++;
    assert(n == envelope_recipients(e) && (n == 0 || envelope_has_sender(e)));
}

/* The replies from `text` on: each one is whole. */
static void check_replies(struct span text)
{
    while (text.len) {
        size_t end = 0;
        bool more = true;
        while (more) {
            struct span line = span_after(text, end);
            size_t lf = span_find(line, '\n');
            assert(lf >= 5 && lf < line.len);
            more = line.at[3] == '-';
            end += lf + 1;
        }
        assert(!wire_fault(span_first(text, end)));
        text = span_after(text, end);
    }
}

static void go_on(struct smtp_session *s)
{
    struct dialogue t;

    dialogue_open(&t);
    size_t before = t.replies.len;
    smtp_free(&t.session);
    t.session = *s;
    dialogue_go_on(&t);
    dialogue_send(&t, SPAN("NOOP\r\nRCPT TO:<bob@example.org>\r\nRSET\r\n"), 0);
    if (!t.ended)
        dialogue_send(&t, SPAN("MAIL FROM:<a@b.test>\r\nQUIT\r\n"), 0);
    check_replies(span_after(buf_span(&t.replies), before));
    assert(t.body.len == 0 && !t.spool_open);
    dialogue_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char record[RECORD_MAX];
    struct smtp_session s, again;
    struct buf out = {0};

    if (size < RECORD - CHECK + 1 || size > sizeof record - CHECK)
        return 0;
    memcpy(record + CHECK, data, size - 1);
    set_right(record, size - 1 + CHECK, data[size - 1] & 1);
    if (session_thaw(&s, (struct span){record, size - 1 + CHECK}) < 0)
        return 0;
    check_envelope(&s.envelope);
    assert(session_freeze(&s, &out) == 0);
    assert(session_thaw(&again, buf_span(&out)) == 0);
    assert(again.state == s.state && again.wait == s.wait && again.flags == s.flags);
    assert(again.pending.id == s.pending.id && again.pending.code == s.pending.code);
    assert(again.junk == s.junk && again.mails == s.mails && again.repeats == s.repeats);
    assert(span_equal(envelope_block(&again.envelope), envelope_block(&s.envelope)));
    smtp_free(&again);
    buf_free(&out);
    go_on(&s);
    return 0;
}
