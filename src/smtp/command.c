/* The command table, and lines of input.
 *
 * `table` says what a client may send in which state: a handler is called only if the state and the
 * flags of its row allow it, so it need not check. Lines end with CRLF. A line with a bare CR or a
 * NUL is bad. A line that a bare LF ends has a result of its own, and reading goes on after the LF.
 * Keeps no state; used by session.c. */
#include "smtp/command.h"

#include <string.h>

#include "smtp/session_part.h"
#include "smtp/text.h"

#define IN_ANY         ((1u << STATE_COUNT) - 1)
#define IN_TRANSACTION (IN(SENDER) | IN(RECIPIENTS))

/* A name for HELO that is as short as any real one. */
enum { HELO_PLAIN_MAX = 255 };

/* clang-format off */
static const struct command table[] = {
    /* verb      handler, or reply         allowed in                    503: what to do instead */
    {"EHLO",     session_ehlo,     0,      IN_ANY,                       NULL,
        COMMAND_SMTP_ONLY | COMMAND_CHECK | COMMAND_BARE_LF | COMMAND_JUNK},
    {"HELO",     session_helo,     0,      IN_ANY,                       NULL,
        COMMAND_SMTP_ONLY | COMMAND_CHECK | COMMAND_BARE_LF | COMMAND_JUNK},
    {"LHLO",     session_lhlo,     0,      IN_ANY,                       NULL,
        COMMAND_LMTP_ONLY | COMMAND_CHECK | COMMAND_BARE_LF | COMMAND_JUNK},
    {"MAIL",     session_mail,     0,      IN(READY),                    "The sender is known",
        0},
    {"RCPT",     session_rcpt,     0,      IN_TRANSACTION,               "MAIL first",
        COMMAND_FOLLOWS},
    {"DATA",     session_data,     0,      IN_TRANSACTION,               "MAIL first",
        COMMAND_BARE | COMMAND_RECIPIENTS | COMMAND_FOLLOWS},
    {"BDAT",     session_bdat,     0,      IN_TRANSACTION | IN(CHUNKS),  "MAIL first",
        COMMAND_ESMTP | COMMAND_RECIPIENTS | COMMAND_CHUNK | COMMAND_FOLLOWS},
    {"RSET",     session_rset,     0,      IN_ANY,                       NULL,
        COMMAND_BARE | COMMAND_CHECK | COMMAND_JUNK},
    {"QUIT",     session_quit,     0,      IN_ANY,                       NULL,
        COMMAND_BARE | COMMAND_CHECK | COMMAND_BARE_LF},
    {"STARTTLS", session_starttls, 0,      IN(READY) | IN_TRANSACTION,   NULL,
        COMMAND_ESMTP | COMMAND_BARE},
    {"AUTH",     session_auth,     0,      IN(READY),                    "Not in a transaction",
        COMMAND_ESMTP | COMMAND_ARGUMENT},
    {"NOOP",     NULL, REPLY_OK,           IN_ANY,                       NULL,
        COMMAND_CHECK | COMMAND_JUNK},
    {"VRFY",     NULL, REPLY_VRFY,         IN_ANY,                       NULL,
        COMMAND_ARGUMENT | COMMAND_JUNK},
    {"EXPN",     NULL, REPLY_NO_EXPN,      IN_ANY,                       NULL, COMMAND_JUNK},
    {"HELP",     NULL, REPLY_HELP,         IN_ANY,                       NULL, COMMAND_JUNK},
};
/* clang-format on */

/* The command that a state requires first; NULL: use the command's own text. */
static const char *const first[STATE_COUNT] = {
    [STATE_FRESH] = "EHLO first",
    [STATE_CHUNKS] = "BDAT LAST or RSET first",
    [STATE_BROKEN] = "RSET first",
};

const struct command *smtp_command_at(unsigned index)
{
    return index < sizeof table / sizeof *table ? &table[index] : NULL;
}

const struct command *smtp_command_find(struct span verb, bool lmtp)
{
    const uint16_t unknown = lmtp ? COMMAND_SMTP_ONLY : COMMAND_LMTP_ONLY;
    const char initial = verb.len ? verb.at[0] & ~0x20 : '\0'; /* most rows need no more */

    for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].verb[0] == initial && span_equal_fold(verb, span_of(table[i].verb)))
            return table[i].flags & unknown ? NULL : &table[i];
    return NULL;
}

const char *smtp_command_refusal(const struct command *c, enum smtp_state state)
{
    if (first[state])
        return first[state];
    return c->instead ? c->instead : "EHLO first";
}

/* Judges a line that ends in LF: it may have a CR only before the LF, and no NUL. */
static enum line_result line_of(struct span whole, struct span *line)
{
    size_t cr = span_find(whole, '\r');

    if (memchr(whole.at, 0, whole.len) || (cr < whole.len && cr + 2 != whole.len))
        return LINE_BAD;
    *line = span_first(whole, cr < whole.len ? cr : whole.len - 1);
    return cr < whole.len ? LINE_WHOLE : LINE_BARE;
}

enum line_result smtp_command_line(struct span *in, size_t max, bool *swallow, struct span *line)
{
    size_t lf = span_find(*in, '\n');
    if (lf == in->len) {
        *swallow = *swallow || in->len >= max;
        if (*swallow)
            *in = span_after(*in, in->len);
        return LINE_MORE;
    }
    struct span whole = span_first(*in, lf + 1);
    *in = span_after(*in, whole.len);
    if (*swallow || whole.len > max) {
        *swallow = false;
        return LINE_LONG;
    }
    return line_of(whole, line);
}

/* The record of a TLS ClientHello. */
bool smtp_is_tls(struct span in)
{
    return in.len >= 2 && in.at[0] == 0x16 && in.at[1] == 0x03;
}

static bool is_plain(struct span arg)
{
    for (size_t i = 0; i < arg.len; i++)
        if (arg.at[i] < ' ' || arg.at[i] > '~')
            return false;
    return arg.len <= HELO_PLAIN_MAX;
}

/* Whether the session answers this line of a check tool without an offence. */
static bool is_check(const struct command *c, enum line_result line, struct span arg)
{
    if (!c || !(c->flags & COMMAND_CHECK) || !is_plain(arg))
        return false;
    if (c->flags & COMMAND_BARE && span_trim(arg).len)
        return false;
    return line == LINE_WHOLE || (line == LINE_BARE && c->flags & COMMAND_BARE_LF);
}

enum smtp_early smtp_early(struct span in)
{
    bool swallow = false, quit = false;
    struct span line = {0};

    if (smtp_is_tls(in))
        return SMTP_EARLY_CHECK;
    while (in.len && !quit) {
        enum line_result r = smtp_command_line(&in, SMTP_LINE_MAX, &swallow, &line);
        const struct command *c = smtp_command_find(text_word(&line), false);
        if (!is_check(c, r, line))
            return SMTP_EARLY_TALK;
        quit = c->run == session_quit;
    }
    return quit ? SMTP_EARLY_CHECK : SMTP_EARLY_TALK;
}
