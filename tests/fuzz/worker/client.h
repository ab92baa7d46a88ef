/* The clients of fuzz_whole: operations of the input become commands, messages and time. */
#ifndef MIRED_FUZZ_CLIENT_H
#define MIRED_FUZZ_CLIENT_H

#include "house.h"
#include "naive.h"

static inline uint8_t take_octet(struct span *script)
{
    uint8_t c = script->len ? (uint8_t)script->at[0] : 0;

    *script = span_after(*script, 1);
    return c;
}

/* A stranger, another one of the same network, a stranger with IPv6, an exempt client. */
static inline void client_connect(struct house *h, unsigned which)
{
    static const char *const peer[] = {"192.0.2.1", "192.0.2.2", "2001:db8::1", "10.0.0.1"};

    if (h->open) {
        smtp_shut(&h->session, REPLY_SHUTDOWN);
        house_go_on(h);
    }
    smtp_free(&h->session);
    buf_free(&h->input);
    assert(addr_parse(span_of(peer[which % 4]), &h->peer));
    h->who = tarpit_who(&h->tarpit, &h->peer, which % 4 == 3);
    h->logged_in = h->hold_set = h->spool_open = false;
    h->open = h->sure = true;
    h->replies = h->junk = h->steps = 0;
    buf_free(&h->sent);
    smtp_start(&h->session, false);
    if (h->mends)
        smtp_mend(&h->session);
    house_go_on(h);
    assert(h->replies == 1); /* the greeting */
}

/* A command: exactly one reply. */
static inline void client_says(struct house *h, struct span line)
{
    size_t before = h->replies;

    house_send(h, line);
    if (h->sure)
        assert(h->replies == before + 1);
}

#define PIECE(literal)                                                                             \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    } /* for static tables */

/* Pieces of messages: those that smuggle, and those that do not. */
static inline struct span fragment(uint8_t which)
{
    static const struct span piece[] = {
        PIECE("\r\n"),
        PIECE("."),
        PIECE("\r\n.\r\n"),
        PIECE("\n.\n"),
        PIECE("\r.\r"),
        PIECE("\n.\r\n"),
        PIECE("\r\n.\n"),
        PIECE("\r\n\0.\r\n"),
        PIECE("\r\n.\0\r\n"),
        PIECE("\r\n..\r\n"),
        PIECE("\r\n.\r"),
        PIECE("\r\r\n"),
        PIECE("\n"),
        PIECE("\r"),
        PIECE("\0"),
        PIECE("\x80"),
        PIECE("Subject: x\r\n"),
        PIECE("Message-ID: <1@x>\r\n"),
        PIECE("Received: by x\r\n"),
        PIECE("\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"),
        PIECE("text"),
        PIECE("\r\n.\r\nQUIT\r\n"),
        PIECE("\xe2\x80\xa8"),
        PIECE("\x85"),
    };

    return piece[which % (sizeof piece / sizeof *piece)];
}

/* A count, then as many fragments. */
static inline void take_message(struct span *script, struct buf *out)
{
    for (unsigned n = take_octet(script) % 12; n > 0; n--)
        assert(buf_add_span(out, fragment(take_octet(script))) == 0);
}

/* DATA, and if it is accepted, a message and its end: exactly one reply to it. What lies behind an
 * end within the message is read as commands. */
static inline void client_sends_data(struct house *h, struct span *script)
{
    struct buf all = {0};
    struct scanned naive;
    bool in_data = smtp_in_data(&h->session);

    take_message(script, &all);
    assert(buf_add_span(&all, SPAN("\r\n.\r\n")) == 0);
    client_says(h, SPAN("DATA\r\n"));
    if (h->open && h->sure && !in_data && h->last_code == 354) {
        naive_scan(buf_span(&all), &naive);
        assert(naive.ended);
        buf_free(&h->sent);
        assert(buf_add(&h->sent, all.at, naive.body) == 0);
        h->sent_in_chunks = false;
        client_says(h, span_first(buf_span(&all), naive.used));
        h->sure = h->sure && naive.used == all.len;
        house_send(h, span_after(buf_span(&all), naive.used));
    }
    buf_free(&all);
}

/* A chunk: exactly one reply, also where it is refused. */
static inline void client_sends_chunk(struct house *h, struct span *script, bool last)
{
    struct buf chunk = {0}, all = {0};
    bool more = smtp_in_data(&h->session);

    h->sure = h->sure && h->last_code != 334; /* else BDAT is the answer to AUTH's question */
    take_message(script, &chunk);
    assert(buf_addf(&all, "BDAT %u%s\r\n", chunk.len, last ? " LAST" : "") == 0);
    if (chunk.len)
        assert(buf_add_span(&all, buf_span(&chunk)) == 0);
    if (!more || !h->sent_in_chunks)
        buf_free(&h->sent);
    h->sent_in_chunks = true;
    if (chunk.len)
        assert(buf_add_span(&h->sent, buf_span(&chunk)) == 0);
    client_says(h, buf_span(&all));
    buf_free(&chunk);
    buf_free(&all);
}

static inline void client_says_raw(struct house *h, struct span *script)
{
    size_t len = take_octet(script) % 64;

    h->sure = false;
    house_send(h, span_first(*script, len));
    *script = span_after(*script, len);
}

/* One operation of the input. */
static inline void client_does(struct house *h, struct span *script)
{
    static const char *const line[] = {
        "EHLO client.test\r\n",
        "HELO client.test\r\n",
        "MAIL FROM:<joe@one.test>\r\n",
        "MAIL FROM:<>\r\n",
        "MAIL FROM:<ann@two.test> SIZE=100 BODY=8BITMIME\r\n",
        "MAIL FROM:<ann@two.test> RET=HDRS SMTPUTF8\r\n",
        "RCPT TO:<alice@example.org>\r\n",
        "RCPT TO:<bob@example.org>\r\n",
        "RCPT TO:<carol@example.org> NOTIFY=NEVER\r\n",
        "RCPT TO:<nobody@example.org>\r\n",
        "RCPT TO:<trap@example.org>\r\n",
        "RCPT TO:<foreign@elsewhere.test>\r\n",
        "RCPT TO:<down@example.org>\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "VRFY alice\r\n",
        "AUTH PLAIN AGpvZQByaWdodA==\r\n", /* joe, right */
        "AUTH PLAIN AGpvZQB3cm9uZw==\r\n", /* joe, wrong */
        "AUTH LOGIN am9l\r\n",             /* joe */
        "cmlnaHQ=\r\n",                    /* right */
        "*\r\n",
        "STARTTLS\r\n",
        "XYZZY\r\n",
        "QUIT\r\n",
    };
    enum {
        LINES = sizeof line / sizeof *line,
        DOES_DATA = LINES,
        DOES_CHUNK,
        DOES_LAST,
        DOES_RAW,
        DOES_WAIT,
        DOES_CONNECT,
        DOES_BACKEND,
        DOES_COUNT
    };
    unsigned what = take_octet(script) % DOES_COUNT;

    if (what == DOES_CONNECT) {
        client_connect(h, take_octet(script));
    } else if (what == DOES_WAIT) {
        h->now += (uint64_t)1000 << take_octet(script) % 20;
    } else if (what == DOES_BACKEND) {
        h->says = take_octet(script);
    } else if (!h->open) {
        return;
    } else if (what == DOES_DATA) {
        client_sends_data(h, script);
    } else if (what == DOES_CHUNK || what == DOES_LAST) {
        client_sends_chunk(h, script, what == DOES_LAST);
    } else if (what == DOES_RAW) {
        client_says_raw(h, script);
    } else {
        client_says(h, span_of(line[what]));
    }
}

#endif
