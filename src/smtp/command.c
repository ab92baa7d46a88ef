/* The command table, and lines of input.
 *
 * What a client may say when is all in `table`: handlers are called only when the state and the
 * flags of their row allow it, and need not ask. Lines end at CRLF; one with a bare CR, a bare LF
 * or a NUL is bad as a whole, and reading goes on behind its LF. No state of its own; used by
 * session.c. */
#include "smtp/command.h"

#include <string.h>

#include "smtp/session_part.h"

#define IN_ANY         ((1u << STATE_COUNT) - 1)
#define IN_TRANSACTION (IN(SENDER) | IN(RECIPIENTS))

/* clang-format off */
static const struct command table[] = {
    /* verb      handler, or reply         allowed in                    503: what to do instead */
    {"EHLO",     session_ehlo,     0,      IN_ANY,                       NULL,
        COMMAND_SMTP_ONLY},
    {"HELO",     session_helo,     0,      IN_ANY,                       NULL,
        COMMAND_SMTP_ONLY},
    {"LHLO",     session_lhlo,     0,      IN_ANY,                       NULL,
        COMMAND_LMTP_ONLY},
    {"MAIL",     session_mail,     0,      IN(READY),                    "The sender is known",
        0},
    {"RCPT",     session_rcpt,     0,      IN_TRANSACTION,               "MAIL first",
        COMMAND_FOLLOWS},
    {"DATA",     session_data,     0,      IN_TRANSACTION,               "MAIL first",
        COMMAND_BARE | COMMAND_RECIPIENTS | COMMAND_FOLLOWS},
    {"BDAT",     session_bdat,     0,      IN_TRANSACTION | IN(CHUNKS),  "MAIL first",
        COMMAND_ESMTP | COMMAND_RECIPIENTS | COMMAND_CHUNK | COMMAND_FOLLOWS},
    {"RSET",     session_rset,     0,      IN_ANY,                       NULL,
        COMMAND_BARE},
    {"QUIT",     session_quit,     0,      IN_ANY,                       NULL,
        COMMAND_BARE},
    {"STARTTLS", session_starttls, 0,      IN(READY) | IN_TRANSACTION,   NULL,
        COMMAND_ESMTP | COMMAND_BARE},
    {"AUTH",     session_auth,     0,      IN(READY),                    "Not in a transaction",
        COMMAND_ESMTP | COMMAND_ARGUMENT},
    {"NOOP",     NULL, REPLY_OK,           IN_ANY,                       NULL, 0},
    {"VRFY",     NULL, REPLY_VRFY,         IN_ANY,                       NULL, COMMAND_ARGUMENT},
    {"EXPN",     NULL, REPLY_NO_EXPN,      IN_ANY,                       NULL, 0},
    {"HELP",     NULL, REPLY_HELP,         IN_ANY,                       NULL, 0},
};
/* clang-format on */

/* What comes first in a state, whatever the command; NULL: the command's own text. */
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
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
        if (span_equal_fold(verb, span_of(table[i].verb)))
            return table[i].flags & unknown ? NULL : &table[i];
    return NULL;
}

const char *smtp_command_refusal(const struct command *c, enum smtp_state state)
{
    if (first[state])
        return first[state];
    return c->instead ? c->instead : "EHLO first";
}

/* Whether a line that ends in LF is a sound one: CRLF at its end, no other CR, no NUL. */
static bool line_is_sound(struct span line)
{
    size_t cr = span_find(line, '\r');
    return cr + 2 == line.len && !memchr(line.at, 0, line.len);
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
    if (!line_is_sound(whole))
        return LINE_BAD;
    *line = span_first(whole, whole.len - 2);
    return LINE_WHOLE;
}
